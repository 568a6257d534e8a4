#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
drgn_table.py CORE VMLINUX PASSES: walks all processes of a core with drgn and reads of each what a table of processes has.
Prints how many, and the time of the fastest pass in ms. By Debian's own Python, whose drgn is.
"""
import sys
import time

import drgn
from drgn.helpers.linux.pid import for_each_task

prog = drgn.Program()
prog.set_core_dump(sys.argv[1])
prog.load_debug_info([sys.argv[2]])


def rss(mm):
    return sum(mm.rss_stat.count[i].counter.value_() for i in range(4)) if mm else 0


def table():
    rows = []
    for t in for_each_task(prog):
        if t.pid.value_() != t.tgid.value_():
            continue
        rows.append((t.pid.value_(), t.real_parent.tgid.value_(), t.comm.string_(), t.cred.euid.val.value_(), t.member_("__state").value_(),
                     t.signal.nr_threads.value_(), t.start_boottime.value_(), t.se.sum_exec_runtime.value_(), rss(t.mm)))
    return rows


best = None
for _ in range(int(sys.argv[3])):
    start = time.perf_counter()
    rows = table()
    took = time.perf_counter() - start
    best = took if best is None else min(best, took)
print(len(rows), best * 1000)
