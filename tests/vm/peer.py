#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Talks to a guest from a test.

peer.py qmp SOCKET COMMAND [JSON]     one QMP command; prints what it returns
peer.py hmp SOCKET LINE               one line for the human monitor
peer.py sh SOCKET COMMAND [SECONDS]   a command for the shell on a serial port; prints what it prints
peer.py wait SOCKET WORDS [SECONDS]   until the guest has said WORDS on a serial port
Exit status 1 when there is no answer in time: a minute unless told, and two for a shell that is not there yet.
"""
import json
import os
import select
import socket
import sys
import time

what, path, words = sys.argv[1:4]
more = sys.argv[4] if len(sys.argv) > 4 else None
wait = float(more) if more and what in ("sh", "wait") else 60
end = time.monotonic() + wait


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
    # Only what is between two marks is the answer: around it are the echo of the line, what the kernel says, the banner of
    # a shell that has just come up, and its prompt, which may be cut anywhere. The shell puts the marks together, so that
    # the echo of the line is not taken for one; and nobody else's are the same.
    def say(word):
        return f"echo {word[:2]}''{word[2:]}"

    here, begin, done = (f"{w}{os.getpid()}x" for w in ("HERE", "BEGIN", "DONE"))
    end = time.monotonic() + 120
    s = dial()
    text, again = b"", 0.0
    while here.encode() + b"\r\n" not in text:
        now = time.monotonic()
        if now > end:
            sys.stderr.write(text.decode(errors="replace"))
            sys.exit(f"{path}: no shell answers")
        if now > again:  # what is typed before the shell has the port may be lost
            s.sendall(f"\n{say(here)}\n".encode())
            again = now + 2
        if select.select([s], [], [], 0.5)[0]:
            got = s.recv(65536)
            if not got:
                sys.exit(f"{path}: closed")
            text += got
    end = time.monotonic() + wait
    s.sendall(f"{say(begin)}; {words}; {say(done)}\n".encode())
    text = until(s, begin.encode() + b"\r\n").partition(begin.encode() + b"\r\n")[2]
    text = until(s, done.encode() + b"\r\n", text).partition(done.encode() + b"\r\n")[0]
    print(text.decode(errors="replace").replace("\r", "").strip())
