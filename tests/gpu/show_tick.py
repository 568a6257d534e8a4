# SPDX-License-Identifier: MIT
"""
show.py limits, tick, cpu, latency, cost: how long a tick takes and what bounds it, how long a kill takes, and what watching costs the CPU.
"""
import json
import os
import re
import subprocess
import time

from show_base import Crowd, Watch, at, comm, emit, run, skipped, threads
from guest import BUILD, GuestError
from rules import rules


def limits():
    """Measured in this run: {hop: us, gather: {how: M/s}, bandwidth: GB/s}."""
    r = subprocess.run([BUILD + "/bench/gpu_limits", "256" if run.args.short else "1024"], capture_output=True, text=True, timeout=120)
    m = {"gather": {}}
    for l in r.stdout.splitlines():
        if not l.startswith("{"):
            skipped("limits", re.sub("^skipped: ", "", l))
            return None
        x = json.loads(l)
        emit("limits", "%s: %s" % (x["what"], x["how"]), x["value"], x["unit"])
        if x["what"] == "gather":
            m["gather"][x["how"]] = x["value"]
        else:
            m.setdefault(x["what"], x["value"])
    if r.returncode:
        raise GuestError("gpu_limits ended with %d: %s" % (r.returncode, r.stderr.strip()[-300:]))
    return m


def ticks(w, seconds):
    """Times of ticks, as the engine has measured them by its own clock: every tick that a question hits."""
    total, sample, seen, end = [], [], -1, time.time() + seconds
    while time.time() < end:
        t = w.target()
        if t["ticks"] != seen and not t.get("stale"):
            total.append(t["last_total_us"])
            sample.append(t["last_sample_us"])
            seen = t["ticks"]
        time.sleep(0.004)
    return total, sample, w.target()


def floor(m, n, lines):
    """What a tick over n processes cannot be faster than, from what was measured in this run. A tick depends on: the tree's
    head, its levels, a process's words, a look whether it is still the same, the doorbell. A process takes so many requests of up to 128 bytes as the
    engine says (its profile); their pages are few enough for the GPU to know them all."""
    levels = 1 if n < 60 else 2 if n < 4000 else 3
    hops = 1 + levels + 3
    return hops, hops * m["hop"], n * lines / m["near"], n * lines * 32 / m["bandwidth"] / 1e3


def crowd_guest(n):
    """Memory for n processes in MiB."""
    return 256 if n <= 200 else 512 if n <= 2000 else 2048


def fill(g, n, wait=400):
    """Until the guest has n processes."""
    start = time.time()
    have = 0
    while time.time() - start < wait:
        # not by table: 10,000 lines through a serial port take a minute
        have = int(g.read("/proc/loadavg")[0].split()[3].split("/")[1])
        if have >= n:
            break
        if time.time() - start < 1:
            g.spawn("sleepers:%d" % max(1, n - have + 8))  # kernel threads come and go
        time.sleep(1)
    return have, time.time() - start


GOAL = {(1000, 10): 100, (10000, 10): 500, (10000, 100): 1000}


def tick(sizes=(100, 1000, 10000), engines=None, counts=(10, 100)):
    m = limits()
    seconds = 2 if run.args.short else 3
    if engines is None:
        engines = ["gpu blocks=%d" % b for b in (1, 4, 8, 16)] if run.args.engine == "gpu" else ["gpu"] if run.args.engine == "emu" else []
        engines.append("cpu")
    if run.args.short:
        sizes = [s for s in sizes if s <= 1000]
    # for who makes it faster: "1000,10000", "10", "gpu blocks=8;cpu"
    sizes = [int(x) for x in os.environ["TICK_SIZES"].split(",")] if os.environ.get("TICK_SIZES") else sizes
    counts = [int(x) for x in os.environ["TICK_RULES"].split(",")] if os.environ.get("TICK_RULES") else counts
    engines = os.environ["TICK_ENGINES"].split(";") if os.environ.get("TICK_ENGINES") else engines
    with Crowd(*(("tasks-%d" % n, "6.1", 2 if n > 2000 else 1, crowd_guest(n)) for n in sizes)) as guests:
        for n, g in zip(sizes, guests):
            have, took = fill(g, n)
            print("# %d processes in the guest after %.0f s" % (have, took), flush=True)
            time.sleep(2)
            for count in counts:
                for engine in engines:
                    for quiet in (False, True):
                        try:
                            one_tick(g, n, count, engine, seconds, quiet, m)
                        except GuestError as e:
                            skipped("tick", "%d tasks, %d rules, %s: %s" % (n, count, engine, str(e)[-300:]))


def one_tick(g, n, count, engine, seconds, quiet, m):
    # where its time goes, for who makes it faster: gpufasd appends a table when it ends (docs/gpu.md)
    profile = os.environ.setdefault("GPUFAS_GPU_PROFILE", os.path.join(os.environ["OUT"], "profile.txt"))
    with open(profile, "a") as f:
        f.write("== %d tasks, %d rules, %s%s\n" % (n, count, engine, ", none true" if quiet else ""))
    w = Watch([g], rules(count, quiet), engine, period="50ms" if n > 2000 and engine.startswith("cpu") else "2ms", mode="observe")
    try:
        time.sleep(1)
        total, sample, t = ticks(w, seconds)
        limit = GOAL.get((n, count)) if w.real else None
        name = engine.replace("blocks=", "").replace("gpu", "GPU, blocks").replace("cpu", "CPU engine")
        emit("tick", "%d tasks, %d rules%s, %s: half" % (n, count, " (none true)" if quiet else "", name), at(total, 0.5), "us", limit, tasks=t["tasks"], rules=count, quiet=quiet, engine=engine,
             p99=at(total, 0.99), sample_p50=at(sample, 0.5), n=len(total), max=t["total_max_us"], missed=t["missed"], rows=t["rows"])
    finally:
        w.stop()
    lines = re.findall(r"; (\d+) lines of memory a task", open(profile).read().rpartition("\n== ")[2]) if os.path.exists(profile) else []
    if m and w.real and lines and (n, count) not in shown:
        shown.add((n, count))
        hops, by_hop, by_request, by_byte = floor(m, n, int(lines[-1]))
        emit("tick", "%d tasks, %d rules: limit, %d dependent hops" % (n, count, hops), by_hop, "us", tasks=n)
        emit("tick", "%d tasks, %d rules: limit, %s requests each at the rate measured" % (n, count, lines[-1]), by_request, "us", tasks=n)
        emit("tick", "%d tasks, %d rules: limit, 32 bytes of each at the bandwidth measured" % (n, count), by_byte, "us", tasks=n)


shown = set()


def cpu():
    tick(engines=["cpu"] if run.args.engine == "cpu" else ["gpu", "cpu"])


def latency():
    rounds = 15 if run.args.short else 120
    with Crowd(("latency", "6.1", 2, 512)) as (g,):
        for period in ("1ms", "10ms"):
            w = Watch([g], "rule fault if oom_score_adj == 999 then SIGKILL it\n", period=period)
            f = subprocess.Popen([BUILD + "/bench/bench_fault", g.ram, str(int(period[:-2]) * 1000)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            store, gone, roads, lost, unseen = [], [], {}, 0, 0
            try:
                f.stdout.readline()
                g.ask("reap 0")  # who has ended stays to be looked at
                for _ in range(rounds):
                    p = g.spawn("spin")
                    time.sleep(0.05)
                    f.stdin.write("%d\n" % p)
                    f.stdin.flush()
                    r = dict(re.findall(r"(\w+)=(\S*)", f.stdout.readline()))
                    roads[r["road"]] = roads.get(r["road"], 0) + 1
                    if float(r["store_us"]) < 0 or float(r["exit_us"]) < 0:
                        unseen += r["road"] == "unseen"
                        lost += r["road"] != "unseen"
                        g.kill(p)
                        continue
                    store.append(float(r["store_us"]) / 1e3)
                    gone.append(float(r["exit_us"]) / 1e3)
                g.ask("reap 1")
            finally:
                f.stdin.close()
                f.wait(10)
                w.stop()
            for what, v in (("fault to store", store), ("store to exit_state", gone)):
                for q, word in ((0.5, "half"), (0.99, "99 of 100")):
                    emit("latency", "period %s, %d kills, %s: %s" % (period, len(v), what, word), at(v, q), "ms", engine=run.args.engine, roads=roads, lost=lost, unseen=unseen)
            if lost:
                emit("latency", "period %s: kills that did not come" % period, lost, "", 0)


def cost():
    """Of watching: the policy shipped for guests, of which nothing comes true here."""
    seconds = 6 if run.args.short else 30
    policy = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../policies/80-guests.policy")).read()
    with Crowd(("cost", "6.1", 1, 512)) as (g,):
        fill(g, 300)
        for period in ("100ms", "1ms") if run.args.engine == "gpu" else ("100ms",):
            w = Watch([g], policy, period=period, mode="enforce")
            try:
                time.sleep(4)
                a, start = threads(w.pid()), time.time()
                time.sleep(seconds)
                b, took = threads(w.pid()), time.time() - start
                used = sum(ns - a.get(t, (0, 0))[1] for t, (_, ns) in b.items()) / 1e9
                emit("cost", "CPU time of gpufasd, period %s, %d s" % (period, seconds), 100 * used / took, "% of 1", 0.1 if run.args.engine == "gpu" else None,
                     used_s=used, threads=len(b))
                most = sorted(((ns - a.get(t, (0, 0))[1], t) for t, (_, ns) in b.items()), reverse=True)[:6]
                print("   " + ", ".join("%s %.3f %%" % (comm(w.pid(), t), ns / took / 1e7) for ns, t in most))
            finally:
                w.stop()
