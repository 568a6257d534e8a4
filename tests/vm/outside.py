# SPDX-License-Identifier: MIT
"""
Guests with real kernels, watched and acted on from outside, against what their own
kernels say. Run by tests/vm/outside.t, which fetches kernels; prints TAP.

  outside.py DIR CONFIG...      CONFIG: NAME,KERNEL,key=value...   (see `configs` in outside.t)
  ROUNDS=N                      kill rounds a guest (default 70)
  DEVICE_ROUNDS=N               those by what a GPU does (default 40)
"""
import collections
import os
import random
import signal
import subprocess
import sys
import time
import zlib

from guest import BUILD, LATE, Guest, GuestError, Tap, ctl, ctl_json, initrd

tap = Tap()
TICK = 10_000_000  # of /proc, ns
SEED = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
ROUNDS = int(os.environ.get("ROUNDS", "70"))
DEVICE_ROUNDS = int(os.environ.get("DEVICE_ROUNDS", "40"))
# What a handler can be told with: all of `kill -l` but the two that have none, and 32, 33, which are libc's own.
SIGNALS = [s for s in range(1, 65) if s not in (9, 19, 32, 33)]


# ---- what is there ---------------------------------------------------------------


def probe(g):
    p = ctl_json("probe", g.ram)
    release = g.read("/proc/sys/kernel/osrelease")[0]
    tap.ok(p.get("release") == release, "probe: it is Linux " + release, p.get("release"))
    tap.ok(p.get("banner", "").startswith(g.read("/proc/version")[0][:100]), "probe: the banner is the guest's /proc/version", p.get("banner"))
    tap.note("probe took %.0f ms" % (p["took_ms"]))
    want = g.ask("symbols")[1]
    out = subprocess.run([BUILD + "/tests/helpers/ksyms", g.ram], capture_output=True, text=True, timeout=LATE)
    got = [int(x) for x in out.stdout.split()] if out.returncode == 0 else out.stderr
    tap.ok(got == want, "every symbol is what the guest's /proc/kallsyms says (%d)" % want[0], "got %s, want %s" % (got, want))
    return p


def outside_table(g):
    d = ctl_json("ps", "--ram", g.ram)
    return {t["pid"]: t for t in d["tasks"]}, d


def row_faults(pid, o, a, b, unknown=None):
    """What is wrong with row o, seen from outside between the guest's own rows a and b of the same process. unknown: into it goes who has no
    `cputime`, where that is no fault."""
    bad = []
    if o["ppid"] not in (a["ppid"], b["ppid"]):
        bad.append("ppid %s, not %s" % (o["ppid"], a["ppid"]))
    # Of kernel threads /proc shows the whole name, and what a worker works on; the task has 15 bytes of the name.
    want = a["comm"][:15] if a["ppid"] == 2 else a["comm"]
    if a["comm"] == b["comm"] and o["comm"] != want and not (want.startswith("kworker") and want.startswith(o["comm"][:10])):
        bad.append("comm %r, not %r" % (o["comm"], a["comm"]))
    if o["uid"] != a["uid"]:
        bad.append("uid %s, not %s" % (o["uid"], a["uid"]))
    if a["state"] == b["state"] and a["state"] in "TtZ" and o["state"] != a["state"]:
        bad.append("state %s, not %s" % (o["state"], a["state"]))
    if a["threads"] == b["threads"] and o["threads"] != a["threads"]:
        bad.append("%s threads, not %d" % (o["threads"], a["threads"]))
    # Counters only grow; /proc shows whole ticks, and user and system time scaled to the precise sum: together they
    # are exact to two ticks.
    lo, hi = (a["utime"] + a["stime"]) * TICK, (b["utime"] + b["stime"]) * TICK
    if unknown is not None and o.get("cputime") is None:
        unknown.append(pid)
    elif not lo - 2 * TICK <= (o.get("cputime") or 0) <= hi + 3 * TICK:
        bad.append("%s ns of CPU, not %d to %d" % (o.get("cputime"), lo, hi))
    return bad


def rss_faults(g, o, a, b, cpus):
    """6.1 and older: pages in per-thread caches (64 a kind and thread) are in none of the counters, here as in /proc. Since 6.2
    /proc adds up approximately (percpu_counter_read_positive): off by up to batch (32, or 2 * CPUs) a CPU and kind."""
    slack = 4096 * 3 * max(64, 2 * cpus, 32 * cpus)
    return [] if min(a["rss"], b["rss"]) - slack <= (o["rss"] or 0) <= max(a["rss"], b["rss"]) + slack else [
        "rss %s, not %d to %d" % (o["rss"], a["rss"], b["rss"])]


def compare(g, a, o, b, cpus, unknown=None):
    faults = []
    for pid in a.keys() & b.keys():
        if a[pid]["start"] != b[pid]["start"]:
            continue
        if pid not in o:
            faults.append("%d (%s) is missing" % (pid, a[pid]["comm"]))
            continue
        bad = row_faults(pid, o[pid], a[pid], b[pid], unknown) + rss_faults(g, o[pid], a[pid], b[pid], cpus)
        if bad:
            faults.append("%d (%s): %s" % (pid, a[pid]["comm"], "; ".join(bad)))
    return faults


def table(g, cpus):
    # No real-time hog among them: the guest's workers that carry what guestd says would wait for the end of it.
    kinds = ["sleep:3", "spin", "stopped", "zombie", "mem:24", "block", "h-poll", "vfork", "sleepers:5", "nice"]
    g.ask("reap 0")
    pids = {k: g.settled(k) for k in kinds}
    before = figures(g)
    a = g.table()
    o, d = outside_table(g)
    b = g.table()
    after = figures(g)
    faults = compare(g, a, o, b, cpus)
    tap.ok(not faults and len(a) > 20, "the table is the guest's own /proc (%d processes)" % len(a), "\n".join(faults))
    ghosts = [p for p in o if p not in a and p not in b]
    tap.ok(len(ghosts) <= 2, "and no other process is in it", ghosts)
    states = {k: o.get(p, {}).get("state") for k, p in pids.items()}
    want = {"stopped": "T", "zombie": "Z", "spin": "R", "sleep:3": "S", "vfork": "D"}
    tap.ok(all(states[k] == s for k, s in want.items()), "states: stopped T, zombie Z, spinning R, asleep S, waiting for a vfork D", states)
    host(d["host"], a, b, before, after)
    g.ask("reap 1")
    for p in pids.values():
        g.clean(p)
    sweep(g)


def figures(g):
    """What the guest itself says of its machine; of what moves on, at this moment."""
    f = {k.rstrip(":"): int(v) * 1024 for k, v, *_ in (l.split() for l in g.read("/proc/meminfo"))}
    stat = dict((l.split(" ", 1)) for l in g.read("/proc/stat"))
    cpu = [int(x) for x in stat["cpu"].split()]
    f.update(forks=int(stat["processes"]), up=float(g.read("/proc/uptime")[0].split()[0]), load=float(g.read("/proc/loadavg")[0].split()[0]),
             busy=(sum(cpu[:3]) + sum(cpu[5:7])) / 100, cpus=sum(1 for k in stat if k.startswith("cpu") and k != "cpu"))
    return f


def host(h, a, b, f, g):
    """h, seen from outside, is between the guest's own figures f and g of before and after."""
    def between(field, key, slack, what, scale=1):
        lo, hi, got = min(f[key], g[key]), max(f[key], g[key]), h.get(field)
        tap.ok(got is not None and lo - slack <= got / scale <= hi + slack, what, "%s, not %s to %s" % (got, lo, hi))

    slack = 8 << 20  # what a CPU keeps to itself
    tap.ok(h.get("mem.total") == f["MemTotal"], "mem.total is MemTotal", "%s %s" % (h.get("mem.total"), f["MemTotal"]))
    for name, key in (("mem.available", "MemAvailable"), ("mem.free", "MemFree"), ("mem.cached", "Cached"), ("mem.slab", "Slab")):
        between(name, key, slack, "%s is %s, to 8 MiB" % (name, key))
    tap.ok(h.get("swap.total") == f["SwapTotal"], "swap.total is SwapTotal", h.get("swap.total"))
    between("tasks.forks", "forks", 0, "tasks.forks is what /proc/stat says")
    between("uptime", "up", 0.1, "uptime is what /proc/uptime says", 1e9)
    between("load.1", "load", 0.5, "load.1 is what /proc/loadavg says")
    between("cpu.busytime", "busy", 0.2, "cpu.busytime is what /proc/stat says", 1e9)
    tap.ok(h.get("cpu.count") == f["cpus"], "cpu.count", h.get("cpu.count"))
    tap.ok(min(len(a), len(b)) - 3 <= (h.get("tasks.count") or 0) <= max(len(a), len(b)) + 3, "tasks.count", h.get("tasks.count"))


def until(what):
    """Waits until it is so; whether it came to be."""
    end = time.time() + LATE
    while not what():
        if time.time() > end:
            return False
        time.sleep(0.5)
    return True


def sweep(g):
    """Ends what tests have left, children of children, too, of whose end guestd hears nothing; those that will not end."""
    left = {}

    def none():
        left.clear()
        left.update((p, r["comm"] + " " + r["state"]) for p, r in g.table().items() if r["comm"].startswith("t-"))
        for p in left:
            g.kill(p)
        return not left

    until(none)
    return left


def churn(g, cpus, n=2000):
    """Many that sleep, and some that fork and exit without end: who lives long must be right, who is dead must go."""
    crowd = g.settled("sleepers:%d" % n)
    storm = [g.settled("forks:8") for _ in range(2)]
    faults, missed, seen, unknown = [], 0, set(), []
    for _ in range(3):
        a = g.table()
        o, d = outside_table(g)
        b = g.table()
        # A CPU that the machine below does not run in the middle of a group's figures: what they are is not known then, and said to be so.
        faults += compare(g, a, o, b, cpus, unknown)
        missed += d.get("dropped", 0)
        seen |= {p for p in o if p not in a and p not in b}
    faults += ["%d: cputime is never known" % p for p in set(unknown) if unknown.count(p) == 3]
    faults += ["cputime of %d rows is not known" % len(unknown)] if len(unknown) > 3 else []
    tap.ok(len(a) >= n and not faults, "%d processes while others fork and exit: who lives is right" % len(a), "\n".join(faults[:10]))
    for p in storm + [crowd]:
        g.kill(p)
        g.gone(p)
    sweep(g)
    a = g.table()
    o, _ = outside_table(g)
    b = g.table()
    ghosts = [p for p in o if p not in a and p not in b]
    tap.ok(len(ghosts) <= 2, "and when they have gone none is seen any more", ghosts)


# ---- what is done ------------------------------------------------------------------


def delivered(d):
    return d.get("became") == "delivered"


def every_signal(g, kind):
    p = g.settled(kind)
    bad = []
    for s in SIGNALS:
        d = g.act(p, s, taken=True)
        if not delivered(d) or not g.want(r"^sig %d %d$" % (p, s)):
            bad.append("%s: %s" % (signal.Signals(s).name if s < 32 else s, d))
    tap.ok(not bad, "every signal reaches a handler: %s" % kind, "\n".join(bad[:8]))
    g.clean(p)


def kill(g, kind):
    p = g.settled(kind)
    d = g.act(p, 9)
    good = g.gone(p, 9)
    if not good:
        g.clean(p)
    return bool(good) and delivered(d), d


def kills(g):
    for kind in ("spin", "spin:16", "nice", "fifo", "sleep", "sleep:16", "poll", "futex", "vfork", "stopped", "block", "ignore"):
        good, d = kill(g, kind)
        tap.ok(good, "SIGKILL ends: %s" % kind, d)
    good, d = kill(g, "spin:64")
    left = [p for p, r in g.table().items() if r["comm"] == "t-spin"]
    tap.ok(good and not left, "SIGKILL of 64 threads leaves nothing", "%s %s" % (d, left))
    good, d = kill(g, "sleep:64")
    left = [p for p, r in g.table().items() if r["comm"] == "t-sleep"]
    tap.ok(good and not left, "SIGKILL of 64 threads that sleep leaves nothing", "%s %s" % (d, left))


def stop_and_go(g):
    for kind in ("spin:4", "sleep:4"):
        p = g.settled(kind)
        d = g.act(p, signal.SIGSTOP)
        stopped = g.want(r"^stopped %d \d+$" % p)
        e = g.act(p, signal.SIGCONT)
        tap.ok(stopped and delivered(d) and g.want(r"^continued %d \d+$" % p) and delivered(e), "SIGSTOP, then SIGCONT: %s" % kind, "%s %s" % (d, e))
        g.clean(p)
    p = g.spawn("stopped")
    g.want(r"^stopped %d \d+$" % p)
    d = g.act(p, signal.SIGCONT)
    tap.ok(g.want(r"^cont %d 0$" % p) and delivered(d), "SIGCONT lets go of who stopped itself", d)
    g.clean(p)


def refusals(g):
    def refused(what, pid, sig, why):
        d = g.act(pid, sig)
        still = not g.want(r"^(killed|exited) %d \d+$" % pid, 0.1) if pid > 2 else True
        tap.ok(d.get("became") == "refused" and d.get("why") in why and still, what, d)

    for kind, sig, why in (("block", 15, ("blocked",)), ("ignore", 15, ("ignored",)), ("sleep", signal.SIGCHLD, ("ignored",)), ("traced", 9, ("traced",))):
        p = g.settled(kind)
        refused("refused: signal %d to a process that is %s" % (sig, why[0]), p, int(sig), why)
        g.clean(p)
    g.ask("reap 0")
    p = g.settled("zombie")
    refused("refused: SIGKILL to a zombie", p, 9, ("gone", "exiting"))
    g.ask("reap 1")
    g.gone(p)
    refused("refused: SIGKILL to pid 1", 1, 9, ("init",))
    refused("refused: SIGKILL to a kernel thread", 2, 9, ("kthread",))
    refused("refused: SIGKILL to nobody", 4_000_000, 9, ("gone",))


def cpu_of(g, pid):
    t = g.table().get(pid)
    return t["utime"] + t["stime"] if t else -1


def pauses(g, store_off):
    if store_off:
        p = g.spawn("spin")
        d = g.act(p, "freeze")
        tap.ok(d.get("became") == "refused" and d.get("why") == "no_road", "freeze is refused where its road is off", d)
        g.clean(p)
        return
    for kind in ("spin:4", "h-sleep:4"):
        p = g.settled(kind)
        d = g.act(p, "freeze")
        one = cpu_of(g, p)
        time.sleep(0.4)
        two = cpu_of(g, p)
        e = g.act(p, "thaw")
        goes_on = "spin" not in kind or until(lambda: cpu_of(g, p) > two)
        good = delivered(d) and delivered(e) and one == two and goes_on and not g.want(r"^(killed|exited|stopped) %d" % p, 0.05)
        tap.ok(good, "freeze halts, thaw lets go, nobody is told: %s" % kind, "%s %s %s %s" % (d, e, one, two))
        p2 = p
        g.act(p2, "freeze")
        k = g.act(p2, 9)
        tap.ok(delivered(k) and g.gone(p2, 9), "and who is frozen can be killed", k)


def limits(g):
    subdir = "/sys/fs/cgroup/lim"
    if g.write("/sys/fs/cgroup/cgroup.subtree_control", "+memory +pids +cpu") != 0:
        tap.skip("limits", "this guest's cgroups have no controllers to limit with")
        return
    g.ask("mkdir " + subdir)
    p = g.settled("forks:3", "lim")
    g.forget(p)
    d = g.act(p, "pids.max=1")
    tap.ok(delivered(d) and g.want(r"^eagain %d 11$" % p), "limit pids.max 1: fork is refused", d)
    tap.ok(g.read(subdir + "/pids.max") == ["1"], "and the guest's own file says so", g.read(subdir + "/pids.max"))
    g.clean(p)
    g.write(subdir + "/pids.max", "max")
    p = g.settled("pages:32", "lim")
    d = g.act(p, "memory.max=%d" % (8 << 20))
    tap.ok(delivered(d) and g.gone(p, 9), "limit memory.max below what is used: the kernel ends it at its next page", d)
    g.clean(p)
    g.write(subdir + "/memory.max", "max")
    p = g.settled("spin")
    d = g.act(p, "rlimit0=0")
    tap.ok(delivered(d) and g.gone(p), "limit rlimit.cpu 0: the kernel ends it", d)
    g.clean(p)


# ---- many rounds ---------------------------------------------------------------------


def rounds(g, n):
    rnd = random.Random(SEED ^ zlib.crc32(g.name.encode()))
    kinds = ["spin", "spin:4", "nice", "fifo", "sleep", "sleep:8", "poll", "futex", "vfork", "stopped", "block", "ignore", "h-spin", "h-sleep", "forks:4", "mem:8"]
    bad, hows, times = [], collections.Counter(), []
    for i in range(n):
        kind = rnd.choice(kinds)
        p = g.spawn(kind)
        time.sleep(rnd.choice((0, 0, 0.002, 0.01, 0.05)))
        d = g.act(p, 9)
        hows["%s %s" % (d.get("road"), d.get("became"))] += 1
        if d.get("exit_us", "-1") != "-1":
            times.append(int(d["exit_us"]))
        if not g.gone(p):
            bad.append("round %d, %s: %s" % (i, kind, d))
            g.clean(p)
    tap.ok(not bad, "%d rounds of SIGKILL: everyone is gone" % n, "seed %d\n%s" % (SEED, "\n".join(bad[:10])))
    times.sort()
    if times:
        tap.note("%s: from store to exit, of %d: median %.1f ms, p90 %.1f, p99 %.1f, worst %.1f; %s" % (
            g.name, len(times), times[len(times) // 2] / 1e3, times[len(times) * 9 // 10] / 1e3, times[len(times) * 99 // 100] / 1e3, times[-1] / 1e3, dict(hows)))
    left = sweep(g)
    tap.ok(not left, "and none is wedged", left)


# ---- what a GPU does ------------------------------------------------------------------


def as_device(g, n, store_only=False):
    """The device's code with plain stores only (--device), and where no host takes what it offers (--alone)."""
    rnd = random.Random(SEED ^ zlib.crc32(g.name.encode()) ^ 1)
    kinds = ["spin", "spin:16", "nice", "fifo", "sleep", "sleep:8", "futex", "vfork", "stopped", "block", "mem:8"]
    bad, hows, times = [], collections.Counter(), collections.defaultdict(list)
    for i in range(n):
        how = "device" if i < n // 2 else "alone"
        kind = kinds[i] if i < len(kinds) else rnd.choice(kinds)
        if how == "alone" and kind in ("sleep", "futex"):
            kind = "spin"  # a guest that idles drains when it likes
        others = [g.spawn("spin") for _ in range(4)] if i % 8 == 3 else []
        p = g.spawn(kind)
        time.sleep(rnd.choice((0.002, 0.01, 0.05)))
        d = g.act(p, 9, device=how)
        hows["%s %s" % (d.get("road"), d.get("by"))] += 1
        if d.get("exit_us", "-1") != "-1":
            times[d["road"]].append(int(d["exit_us"]))
        if not g.gone(p):
            bad.append("round %d, %s, %s: %s" % (i, kind, how, d))
            g.clean(p)
        for o in others:
            g.clean(o)
    tap.ok(not bad, "%d rounds of SIGKILL by plain stores: everyone is gone" % n, "seed %d\n%s" % (SEED, "\n".join(bad[:10])))
    for road, t in sorted(times.items()):
        t.sort()
        tap.note("%s: %s, from store to exit, of %d: median %.1f ms, p90 %.1f, worst %.1f" % (
            g.name, road, len(t), t[len(t) // 2] / 1e3, t[len(t) * 9 // 10] / 1e3, t[-1] / 1e3))
    tap.note("%s: %s" % (g.name, dict(hows)))
    bad = []
    for kind in ("h-spin", "h-spin:4", "h-sleep:4"):
        p = g.settled(kind)
        for s in (15, 10, 1, 40):
            d = g.act(p, s, taken=True, device="device")
            if not delivered(d) or not g.want(r"^sig %d %d$" % (p, s)):
                bad.append("%s, %d: %s" % (kind, s, d))
        g.clean(p)
    for kind in ("spin:4", "sleep:4"):
        p = g.settled(kind)
        d = g.act(p, signal.SIGSTOP, device="device")
        stopped = g.want(r"^stopped %d \d+$" % p)
        e = g.act(p, signal.SIGCONT, device="device")
        if not (stopped and delivered(d) and g.want(r"^continued %d \d+$" % p) and delivered(e)):
            bad.append("%s, STOP and CONT: %s %s" % (kind, d, e))
        f = g.act(p, "freeze", device="device")
        k = g.act(p, 9, device="device")
        if f.get("by") != "host" or not delivered(f) or not g.gone(p, 9):
            bad.append("%s, freeze, which is the host's, and KILL: %s %s" % (kind, f, k))
            g.clean(p)
    tap.ok(not bad, "TERM, USR1, HUP, a real-time signal, STOP, CONT and KILL of who is frozen by plain stores", "\n".join(bad))
    for pid, why in ((1, "init"), (2, "kthread"), (4_000_000, "gone")):
        d = g.act(pid, 9, device="device")
        tap.ok(d.get("became") == "refused" and d.get("why") == why, "and refused: " + why, d)
    g.stop_acting()


def healthy(g):
    t = g.trouble()
    tap.ok(not t, "the guest's kernel has nothing to complain of", "\n".join(t))


# ---- a guest -------------------------------------------------------------------------


def road(p, name):
    """"" where it is on, else why it is not."""
    state = p["roads"].get(name, "not said")
    return "" if state == "on" else state


def one(dir, rd, spec):
    name, kernel, *opts = spec.split(",")
    if name == "skip":
        tap.skip(kernel, ",".join(opts))
        return
    o = dict(x.split("=", 1) for x in opts)
    cpus, mib = int(o.get("cpus", 1)), int(o.get("mib", 512))
    tap.prefix = name + ": "
    end = time.time() + LATE
    while True:  # other tests' guests may have it for now
        shm = os.statvfs("/dev/shm")
        free = shm.f_bavail * shm.f_frsize
        if free >= 700 << 20 or shm.f_blocks * shm.f_frsize < 700 << 20 or time.time() > end:
            break
        time.sleep(1)
    if free < 700 << 20:
        tap.skip("all", "/dev/shm has %d MiB left; a guest writes about 700" % (free >> 20))
        return
    g = None
    try:
        g = Guest(dir, name, kernel, rd, cpus, mib, o.get("machine", "q35"), o.get("cpu", "max").replace("+", ","), append=o.get("append", ""))
        g.trouble()
        do = o.get("do", "all").split("+")
        if "device" in do:
            as_device(g, DEVICE_ROUNDS)
            healthy(g)
            return
        p = probe(g)
        store_off, irq_off = road(p, "freeze, thaw"), road(p, "irq_work")
        table(g, cpus)
        if "all" in do or "churn" in do:
            churn(g, cpus)
        if irq_off:
            tap.ok("PREEMPT_RT" in irq_off or "preempt" in irq_off.lower() or o.get("refused"), "delivery to sleepers is off here, and probe says why", irq_off)
            q = g.settled("sleep")
            d = g.act(q, 9)
            tap.ok(d.get("became") == "refused" and d.get("why") == "no_road" and q in g.table(), "SIGKILL to a sleeper is refused here", d)
            g.clean(q)
        elif o.get("refused"):
            tap.ok(False, "delivery to sleepers should be off here", p.get("roads"))
        else:
            for kind in ("h-spin", "h-sleep", "h-spin:4", "h-sleep:4") if "all" in do else ("h-spin", "h-sleep:4"):
                every_signal(g, kind)
            kills(g)
            stop_and_go(g)
            refusals(g)
            pauses(g, store_off)
            limits(g)
            rounds(g, ROUNDS)
            if cpus > 1 or "all" in do:
                as_device(g, DEVICE_ROUNDS)
        healthy(g)
    except (GuestError, subprocess.TimeoutExpired, OSError, ValueError, KeyError) as e:
        tap.ok(False, "came to its end", "%s: %s" % (type(e).__name__, e))
    finally:
        if g:
            g.close()


def main():
    dir, specs = sys.argv[1], sys.argv[2:]
    tap.note("seed %d" % SEED)
    rd = dir + "/initrd"
    initrd(rd)
    for s in specs:
        start = time.time()
        one(dir, rd, s)
        tap.note("%s: %.0f s" % (s.split(",")[0], time.time() - start))
    tap.done()


if __name__ == "__main__":
    main()
