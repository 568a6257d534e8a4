#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Talks to a guest from a test.

peer.py qmp SOCKET COMMAND [JSON]     one QMP command; prints what it returns
peer.py hmp SOCKET LINE               one line for the human monitor
peer.py sh SOCKET COMMAND [SECONDS]   a command for the shell on a serial port; prints what it prints
peer.py wait SOCKET WORDS [SECONDS]   until the guest has said WORDS on a serial port
Exit status 1 when there is no answer in time (20 s unless told).
"""
import json
import re
import socket
import sys
import time

what, path, words = sys.argv[1:4]
more = sys.argv[4] if len(sys.argv) > 4 else None
end = time.monotonic() + (float(more) if more and what in ("sh", "wait") else 20)


def dial():
    while True:
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(path)
            return s
        except OSError:
            s.close()
            if time.monotonic() > end:
                sys.exit(f"{path}: nobody listens")
            time.sleep(0.05)


def until(s, mark, text=b""):
    while mark not in text:
        s.settimeout(max(0.01, end - time.monotonic()))
        try:
            more_text = s.recv(65536)
        except OSError:
            more_text = b""
        if not more_text:
            sys.stderr.write(text.decode(errors="replace"))
            sys.exit(1)
        text += more_text
    return text


def qmp(command, arguments):
    s = dial()
    until(s, b"\n")
    for line in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments, "id": 7}):
        s.sendall(json.dumps(line).encode() + b"\n")
    text = b""
    while True:
        text = until(s, b"\n", text)
        line, _, text = text.partition(b"\n")
        answer = json.loads(line)
        if answer.get("id") == 7:
            if "error" in answer:
                sys.exit(answer["error"]["desc"])
            return answer["return"]


if what == "qmp":
    print(json.dumps(qmp(words, json.loads(more or "{}"))))
elif what == "hmp":
    print(qmp("human-monitor-command", {"command-line": words}))
elif what == "wait":
    until(dial(), words.encode())
else:
    s = dial()
    # The mark is put together by the shell, so that the echo of the line is not taken for it.
    s.sendall(f"\n{words}; echo END''OF''IT\n".encode())
    text = until(s, b"ENDOFIT\r\n").decode(errors="replace")
    text = re.sub("\x1b\\[[0-9;]*[A-Za-z]", "", text)  # the shell asks the terminal where its cursor is
    print(text[text.index("END''OF''IT") + 11 :].replace("\r", "").replace("ENDOFIT\n", "").strip())
