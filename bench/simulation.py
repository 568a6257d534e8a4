#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
How much faster than it happened history is simulated: half an hour of 1,000 processes at one sample a second, by gpufasctl simulate as a user
has it. What counts is CPU time, user and system, as the kernel tells it of the process that has ended (wait4's rusage), so that a busy machine
changes little; a second of history may take 1 ms of it: 1,000 times real time. Middle one of ROUNDS (3).
  busy   each process moves in every sample     leak   a few move, one grows until it is killed     all   busy, all shipped policies
"""
import glob
import os
import re
import statistics
import subprocess
import sys
import tempfile

BUILD = os.environ.get("BUILD", "build")
TASKS, SECONDS, LIMIT = 1000, 1800, 1.0  # ms a second of history
ROUNDS = int(os.environ.get("ROUNDS", "3"))
SOME = ["policies/%s.policy" % p for p in ("10-essentials", "20-low-memory", "30-leak", "60-runaway-cpu")]


def simulate(out, args):
    """CPU seconds of a run; what it printed is in out."""
    with open(out, "w") as f:
        p = subprocess.Popen([BUILD + "/gpufasctl", "simulate", *args], stdout=f, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
    with open(out) as f:
        text = f.read()
    # 1: a rule reads what was not recorded, which is said; anything else is no run
    if p.returncode not in (0, 1) or not re.search(r"[0-9,]+ times as fast", text):
        sys.exit("gpufasctl simulate %s: exit status %d\n%s" % (" ".join(args), p.returncode, text[-500:]))
    return used.ru_utime + used.ru_stime


def row(name, value, unit, goal, ok):
    print("%-58s %10.3f %-8s %-18s %s" % (name, value, unit, goal, "met" if ok else "MISSED"), flush=True)


def main():
    missed = False
    with tempfile.TemporaryDirectory(prefix="gpufas.") as d:
        for kind, policies in (("busy", SOME), ("leak", SOME), ("all", sorted(glob.glob("policies/*.policy")))):
            trace = "%s/%s.gft" % (d, kind)
            subprocess.run([BUILD + "/tests/helpers/simtrace", trace, "busy" if kind == "all" else kind, str(TASKS), str(SECONDS)], check=True, stdout=subprocess.DEVNULL)
            runs = [simulate(d + "/out", policies + [trace]) for _ in range(ROUNDS)]
            cpu = statistics.median(runs)
            ms = cpu / SECONDS * 1e3
            what = "simulate %s, %d processes, %d policies: " % (kind, TASKS, len(policies))
            row(what + "CPU a s of history", ms, "ms", "at most %g ms" % LIMIT, ms <= LIMIT)
            row(what + "times real time", SECONDS / cpu, "", "at least %d" % (1000 / LIMIT), ms <= LIMIT)
            missed |= ms > LIMIT
    return missed


if __name__ == "__main__":
    sys.exit(main())
