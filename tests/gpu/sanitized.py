#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What compute-sanitizer's memcheck has found, judged by what it says of a control (bench/gpu_late.cu).

The engine hands memory to a kernel that runs for as long as the daemon does. Whether the tool knows of memory that was allocated after a kernel was
launched is shown by the control in the same run: a kernel that has nothing of gpufas in it, and reads what was there before, what was allocated
meanwhile, and what is wrong to read. Only if the first is clean, the second is said to be out of bounds and, in the same sentence, inside an
allocation, and the third is found, are findings like the second put down to the tool. All others are faults.

  sanitized.py control BEFORE AFTER BEYOND    three reports of the tool: what they show, in a line; exit status 0: the limit, 1: nothing is excused
  sanitized.py judge REPORT [AFTER]           AFTER: the control's, where it has shown the limit; exit status 0: nothing but what is known
"""
import re
import sys

NO_FINDING = re.compile(r"COMPUTE-SANITIZER|ERROR SUMMARY|Target application returned an error|$")
INVALID = re.compile(r"Invalid (__\w+__ \w+) of size (\d+) bytes")
OUTSIDE = re.compile(r"Access to 0x([0-9a-f]+) is out of bounds")
INSIDE = re.compile(r"and is inside the nearest allocation at 0x([0-9a-f]+) of size (\d+) bytes")
ENDED = re.compile(r"Program hit cudaErrorLaunchFailure \(error 719\)")


class Report:
    def __init__(self, text):
        self.found = []  # (how, first line, place); how: "read of ..." inside an allocation, "ended", or "other"
        self.cut = []    # tests that failed after the first such read, when there was no kernel any more
        self.failed = [] # others
        self.began = "========= COMPUTE-SANITIZER" in text
        block, late = [], False
        for line in text.splitlines():
            if line.startswith("========="):
                body = line[9:]
                if body.startswith("  "):
                    if block:
                        block.append(body.strip())
                    continue
                late |= self.add(block)
                block = [] if NO_FINDING.match(body.strip()) else [body.strip()]
            elif line.startswith("not ok "):
                late |= self.add(block)
                block = []
                (self.cut if late else self.failed).append(line.split(" - ")[-1])
        self.add(block)
        n = re.findall(r"ERROR SUMMARY: (\d+) errors?", text)
        self.errors = int(n[-1]) if n else None

    def add(self, block):
        """True: one that the tool's limit may explain."""
        if not block:
            return False
        text, how = "\n".join(block), "other"
        invalid, outside, inside = INVALID.match(block[0]), OUTSIDE.search(text), INSIDE.search(text)
        if invalid and outside and inside:
            at, size, begin, of = int(outside[1], 16), int(invalid[2]), int(inside[1], 16), int(inside[2])
            how = invalid[1] if begin <= at and at + size <= begin + of else "other"
        elif ENDED.match(block[0]):
            how = "ended"
        self.found.append((how, block[0], next((b for b in block if b.startswith("at ")), "")))
        return how not in ("other", "ended")

    def late(self):
        return {how for how, _, _ in self.found} - {"other", "ended"}

    def whole(self):
        """All that it has found was understood."""
        return self.began and self.errors is not None and self.errors == len(self.found)

    def clean(self):
        return self.whole() and not self.found and not self.cut and not self.failed

    def only(self, kinds):
        """Nothing but reads of these kinds, the first of them before all else, and what comes of a kernel that is ended."""
        hows = [how for how, _, _ in self.found]
        return self.whole() and hows and hows[0] in kinds and set(hows) <= set(kinds) | {"ended"} and not self.failed


def control(before, after, beyond):
    b, a, x = (Report(t) for t in (before, after, beyond))
    if not b.clean():
        return 1, "memory from before the launch is not clean either: %s" % (b.found[0][1] if b.found else "no whole report")
    if not (x.whole() and x.found and x.found[0][0] == "other" and x.found[0][1].startswith("Invalid ")):
        return 1, "what is wrong is not found: it shows nothing"
    if a.clean():
        return 1, "memory allocated after the launch is clean: the tool has no such limit"
    if not (len(a.late()) == 1 and a.only(a.late())):
        return 1, "of memory allocated after the launch it says something else: %s" % (a.found[0][1] if a.found else "no whole report")
    return 0, "memory that was allocated after the kernel's launch is \"out of bounds\" and \"inside the nearest allocation\" at once; from before it is clean"


def judge(report, after):
    r, kinds = Report(report), Report(after).late() if after else set()
    if r.clean():
        return 0, "clean"
    if not kinds or not r.only(kinds):
        odd = [f for f in r.found if f[0] not in kinds and f[0] != "ended"] or r.found
        return 1, "FAILED: %s" % (" ".join(odd[0][1:]) if odd else "tests failed: %s" % ", ".join(r.failed) if r.failed else "no whole report")
    known = [f for f in r.found if f[0] in kinds]
    return 0, "known limit of the tool, shown by the control in this run: %d (%s %s), which ended the kernel%s" % (
        len(known), known[0][1], known[0][2], "; cut short, and not checked from there on: %s" % ", ".join(r.cut) if r.cut else "")


def main(how, *files):
    texts = [open(f, errors="replace").read() for f in files]
    rc, said = control(*texts) if how == "control" else judge(texts[0], texts[1] if len(texts) > 1 else None)
    print(said)
    return rc


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
