# SPDX-License-Identifier: MIT
"""
show.py rescue, assisted: things go wrong in a guest while all of gpufasd is stopped; the same where the guest has the kernel module.
"""
import contextlib
import os
import time

from show_base import Crowd, Stopped, Watch, emit, kernel, run, skipped, threads
from guest import BUILD, Guest, GuestError, ctl, initrd
from troubles import troubles_policy

RESCUE = troubles_policy("1s")


def trouble(w, g, name, kinds, rule, lines, wait=60, whole=None):
    """One thing goes wrong while the daemon is stopped; the row says in how many seconds it was over."""
    innocent = [g.spawn("sleep:4"), g.spawn("sleepers:3")]
    time.sleep(1.2)
    with Stopped(w) as s:
        start = time.time()
        pids = [g.spawn(k) for k in kinds]
        gone = [g.gone(p, None, wait) for p in pids]
        while whole and time.time() - start < wait and [1 for r in g.table().values() if r["comm"] == whole and r["state"] not in "ZX"]:
            s.look()
            time.sleep(0.05)
        took = time.time() - start
        s.look()
        left = [p for p, r in g.table().items() if whole and r["comm"] == whole and r["state"] not in "ZX"]
        living = all(g.table().get(p, {}).get("state", "Z") not in "ZX" for p in innocent)
        time.sleep(0.3)
    good = all(gone) and living and not left and (not s.on or (not s.wrong and s.moved == 0))
    end = time.time() + 10
    seen = []
    while time.time() < end and not seen:
        ev = w.events()
        seen = [e for e in ev if e.get("kind") == "result" and e.get("rule") == rule and any(m.get("pid") in pids for m in e.get("members", []))]
        time.sleep(0.1)
    exits = [m["exit_us"] / 1e3 for e in seen for m in e.get("members", []) if m.get("pid") in pids and m.get("exit_us") is not None]
    lines.append("== %s: %s; %d threads of gpufasd %s, CPU time moved by %s ns%s" % (
        name, "recovered in %.1f s" % took if good else "NOT RECOVERED", len(threads(w.pid())),
        "stopped (state T)" if s.on else "not stopped: no GPU", s.moved if s.on else "-", "; " + str(s.wrong[:3]) if s.on and s.wrong else ""))
    lines += ["   guest: %s" % (m[0] if m else "no word of pid %d" % p) for p, m in zip(pids, gone)]
    acts = [e for e in ev if e.get("rule") == rule and e.get("kind") in ("action", "result")]
    lines += ["   told afterwards: " + e["sentence"] for e in acts[-4:]]
    if not good:
        lines += ["   left %s, others live: %s, all gone: %s" % (left, living, [bool(x) for x in gone]), w.tail(600)]
    emit("rescue", "%s: ended %s" % (name, "while gpufasd was stopped" if s.on else "(not stopped: no GPU)"), took if good else float("nan"), "s",
         ok_all=good, told=len(seen), exit_ms=max(exits) if exits else None, stopped=s.on)
    for p in innocent + pids:
        g.clean(p)
    return good and bool(seen)


SCENES = (("CPU hog", ["spin"], "hog", None),
          ("CPU hog that ignores SIGTERM", ["h-spin"], "hog", None),
          ("memory hog", ["mem:600"], "memory", None),
          ("fork bomb", ["bomb:256"], "bomb", "t-bomb"),
          ("real-time hogs, one on each vCPU", ["fifo", "fifo"], "realtime", None))


def scenes(g, engine, which, lines):
    """True: in each of them the right processes ended, and it was told afterwards."""
    all_good = True
    w = Watch([g], RESCUE, engine, period="10ms", env=None)
    try:
        time.sleep(2)
        for name, kinds, rule, whole in which:
            try:
                all_good &= trouble(w, g, name, kinds, rule, lines, whole=whole)
            except GuestError as e:
                all_good = False
                lines.append("== %s: %s" % (name, e))
        bad = g.trouble()
        lines.append("the guest's kernel complains: %s" % bad[:3] if bad else "the guest's kernel has nothing to complain of")
        lines.append("gpufasctl status: " + ctl("--socket", w.dir + "/s", "status")[1][:1500])
    finally:
        w.stop()
    return all_good


def rescue():
    lines = []
    with Crowd(("rescue", "6.1", 2, 512)) as (g,):
        g.trouble()
        good = scenes(g, None, SCENES, lines)
        emit("rescue", "all of it recovered, told afterwards, the right processes", int(good), "", 1, True)
        if run.args.engine != "cpu":
            # the device launches each tick itself: it goes on without the host as well
            lines.append("== mode relay")
            good = scenes(g, "gpu mode=relay", [("relay: " + n, *rest) for n, *rest in SCENES if n in ("CPU hog", "fork bomb") or rest[1] == "realtime"], lines)
            emit("rescue", "the same in mode relay", int(good), "", 1, True)
    with open(run.out + "/rescue.txt", "w") as f:
        f.write("\n".join(lines) + "\n")
    print("\n".join(l[:200] for l in lines if l.startswith("==") or "complain" in l))


def assisted():
    """A guest that has the kernel module: the GPU samples from the module's table in the guest's RAM and sends by its mailbox; then while gpufasd is stopped."""
    if run.args.engine == "cpu":
        return skipped("assisted", "the GPU's road is what is to be seen")
    module = BUILD + "/gpu/gpufas.ko"
    if not os.path.exists(module):
        return skipped("assisted", "there is no module for the guest in the bundle (linux-headers were missing when it was packed)")
    used = "assisted: the GPU samples and delivers by the module in it"
    policy = 'protect comm in ("guestd", "sh") or comm ~ "t-sleep*"\nrule hog if policy == "other" and cpu > 35% for 2s then SIGTERM it then after 5s SIGKILL\n' \
             'rule realtime if policy in ("fifo", "rr") and cpu > 60% for 1s then SIGKILL it\n'
    initrd(run.dir + "/initrd.assisted", [module])
    g = Guest(run.dir, "assisted", kernel("6.1"), run.dir + "/initrd.assisted", 2, 512)
    try:
        g.trouble()
        w = Watch([g], policy, period="10ms")
        try:
            end = time.time() + 60
            while time.time() < end and used not in w.target().get("road", ""):
                time.sleep(0.1)
            t = w.target()
            emit("assisted", "status: %s" % t.get("road"), int(used in t.get("road", "")), "", 1, True)
            start = t["ticks"]
            time.sleep(3)
            t = w.target()
            emit("assisted", "ticks in 3 s at 10 ms, by the module's tables", t["ticks"] - start, "", 100, True, total_us=t["total_us"], errors=t.get("sample_errors"))
            for name, kinds, sig in (("CPU hog", ["spin"], "hog"), ("real-time hogs on both CPUs", ["fifo"] * 2, "realtime")):
                for stopped in (False, True):
                    with (Stopped(w) if stopped else contextlib.nullcontext()) as s:
                        begun = time.time()
                        pids = [g.spawn(k) for k in kinds]
                        gone = [g.gone(p, None, 60) for p in pids]
                        took = time.time() - begun
                    end = time.time() + 10
                    how = set()
                    while time.time() < end and not how:
                        how = {m.get("how") for e in w.events() if e.get("kind") == "result" for m in e.get("members", []) if m.get("pid") in pids}
                        time.sleep(0.1)
                    good = all(gone) and how == {"module"} and (not stopped or not s.on or (not s.wrong and s.moved == 0))
                    emit("assisted", "%s%s: ended by %s" % (name, ", all of gpufasd stopped" if stopped else "", "/".join(sorted(map(str, how)))),
                         took if good else float("nan"), "s", 60)
                    for p in pids:
                        g.clean(p)
            bad = g.trouble()
            emit("assisted", "complaints of the guest's kernel%s" % (": " + str(bad[:2]) if bad else ""), len(bad), "", 0)
        finally:
            w.stop()
    finally:
        g.close()
