#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What is shown of the GPU engine, each part by itself, with gpufasd and gpufasctl as a user has them and guests in QEMU
(by emulation, without KVM). Figures go to OUT/results.jsonl, a JSON line each, and to OUT/table.txt.

  show.py PART...      limits rescue tick sixteen latency cost neighbour cpu hostile
  --engine gpu|emu|cpu emu, cpu: rehearsals on a machine without a GPU, by the emulated device (whose lanes are threads of
                       gpufasd, so that it is not stopped) or by the CPU; what only a GPU can do is said to be skipped
  --short              fewer and shorter measurements, for a rehearsal
"""
import argparse
import contextlib
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(HERE, "..", "vm")]
from guest import BUILD, Guest, GuestError, ctl, initrd  # noqa: E402
from rules import rules  # noqa: E402

KERNEL = {"6.1": "linux-image-cloud-amd64", "6.12": "linux-image-6.12-cloud-amd64"}
args = None
out = None
dir = None


def kernel(name="6.1"):
    return "%s/vm/%s/vmlinuz" % (BUILD, KERNEL[name])


def emit(part, what, value, unit, limit=None, least=False, **more):
    """A figure: into the files, and printed as a row of the table."""
    ok = "" if limit is None else "met" if (value >= limit if least else value <= limit) else "MISSED"
    with open(out + "/results.jsonl", "a") as f:
        f.write(json.dumps(dict(part=part, what=what, value=value, unit=unit, limit=limit, ok=ok, **more)) + "\n")
    goal = "" if limit is None else "at %s %g" % ("least" if least else "most", limit)
    v = "%.4g" % value if isinstance(value, float) else str(value)
    line = ("%-66s %9s %-8s %-14s %s" % (what[:66], v, unit, goal, ok)).rstrip()
    with open(out + "/table.txt", "a") as f:
        f.write(line + "\n")
    print(line, flush=True)


def skipped(part, why):
    with open(out + "/results.jsonl", "a") as f:
        f.write(json.dumps(dict(part=part, skipped=why)) + "\n")
    with open(out + "/table.txt", "a") as f:
        f.write("%s: skipped: %s\n" % (part, why))
    print("%s: skipped: %s" % (part, why), flush=True)


def at(v, q):
    """The value that a part q of them do not exceed."""
    v = sorted(v)
    return v[min(len(v) - 1, max(0, int(-(-q * len(v) // 1)) - 1))] if v else float("nan")


# ---- the daemon -------------------------------------------------------------------


class Watch:
    """gpufasd over guests; `engine` may be cpu, gpu, or gpu with settings ("gpu blocks=4 mode=launch")."""

    made = 0

    def __init__(self, guests, policy, engine=None, period="1ms", mode="enforce", env=None, max_tasks=16384, qmp=True, least=5, shadow=None):
        Watch.made += 1
        self.dir = "%s/watch.%d" % (dir, Watch.made)
        os.mkdir(self.dir)
        kind, *settings = (engine or args.engine).split()
        self.real = kind == "gpu" and args.engine == "gpu"
        emulated = kind != "cpu" and args.engine == "emu"
        kind = self.kind = "cpu" if kind == "cpu" else "gpu"
        gpu = ", ".join("%s: %s" % tuple(s.split("=")) for s in settings)
        with open(self.dir + "/show.policy", "w") as f:
            f.write(policy)
        with open(self.dir + "/gpufas.yaml", "w") as f:
            f.write("period: %s\nmode: %s\n" % (period, mode))
            f.write("engine: {kind: %s, realtime: %s, mlock: no%s}\n" % (kind, "yes" if os.geteuid() == 0 else "no", ", gpu: {%s}" % gpu if gpu else ""))
            f.write("budget: {actions: 256, per: 1s}\naudit: {path: %s/audit.jsonl}\n" % self.dir)
            if shadow:
                with open(self.dir + "/shadow.policy", "w") as p:
                    p.write(shadow)
                f.write("shadow: {files: [%s/shadow.policy]}\n" % self.dir)
            f.write("control: {socket: %s/s, group: \"\"}\npolicy: {directories: [], files: [%s/show.policy]}\ntargets:\n" % (self.dir, self.dir))
            for g in guests:
                src = "qmp: %s" % g.qmp if qmp else "ram: {file: %s}" % g.ram
                kick = ", kick: {qtest: %s/qtest}" % g.dir if qmp else ""
                f.write("  - {name: %s, kind: vm, %s, max-tasks: %d%s}\n" % (g.name, src, max_tasks, kick))
        self.log = open(self.dir + "/log", "w")
        self.proc = subprocess.Popen([BUILD + ("/tests/gpufasd-emu" if emulated else "/gpufasd"), "-c", self.dir + "/gpufas.yaml"], stdin=subprocess.DEVNULL, stdout=self.log,
                                     stderr=self.log, env=dict(os.environ, **(env or {})))
        self.names = [g.name for g in guests]
        self.sock = self.buf = None
        self.up = False
        try:
            self.wait_up(guests, least)
            self.up = True
        except BaseException:
            self.stop()
            raise

    def wait_up(self, guests, least):
        end = time.time() + 60 + 10 * len(guests)
        while time.time() < end:
            if self.proc.poll() is not None:
                raise GuestError("gpufasd ended: " + self.tail())
            try:
                t = {x["name"]: x for x in self.status()["targets"]}
                if all(t[n].get("tasks", 0) >= least and t[n]["ticks"] > 2 for n in self.names):
                    break
            except (OSError, KeyError, ValueError):
                pass
            time.sleep(0.1)
        else:
            raise GuestError("gpufasd does not see its guests: " + self.tail())
        s = self.status()
        for e in [s["engine"]] + [t["engine"] for t in s["targets"] if isinstance(t.get("engine"), dict)]:
            if self.kind == "gpu" and e["kind"] != "gpu":
                raise GuestError("the engine is %s, not gpu: %s" % (e["kind"], e.get("why", "")))

    def tail(self, n=1500):
        return open(self.dir + "/log").read()[-n:]

    def status(self):
        """By the control socket itself, since gpufasctl takes longer to start than a tick takes."""
        if not self.sock:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(20)
            self.sock.connect(self.dir + "/s")
            self.buf = b""
        try:
            self.sock.sendall(b'{"v":1,"cmd":"status"}\n')
            while b"\n" not in self.buf:
                got = self.sock.recv(1 << 16)
                if not got:
                    raise OSError("gpufasd has closed its socket")
                self.buf += got
        except OSError:
            self.sock.close()
            self.sock = None
            raise
        line, self.buf = self.buf.split(b"\n", 1)
        return json.loads(line)["data"]

    def target(self, name=None):
        return next(t for t in self.status()["targets"] if t["name"] == (name or self.names[0]))

    def events(self):
        rc, text, _ = ctl("--socket", self.dir + "/s", "--json", "events", "--lines", "1000")
        return [json.loads(l) for l in text.splitlines() if l.startswith("{")] if rc == 0 else []

    def pid(self):
        return self.proc.pid

    def taken_over(self):
        """Figures of a GPU that are the CPU's would be worse than none."""
        try:
            s = self.status()
            e = s["engine"]
            whys = [e.get("why")] + [t["engine"].get("why") for t in s["targets"] if isinstance(t.get("engine"), dict)]
            if e["kind"] != "gpu" or e.get("takeovers"):
                emit("engine", "the CPU took over: %s" % next((w for w in whys if w), e["kind"]), e.get("takeovers", 0) or 1, "times", 0)
        except (OSError, KeyError, ValueError) as x:
            emit("engine", "gpufasd did not answer at the end: %s" % x, 1, "times", 0)

    def stop(self):
        if self.kind == "gpu" and self.up:
            if self.proc.poll() is None:
                self.taken_over()
            else:
                emit("engine", "gpufasd ended by itself with %s" % self.proc.returncode, 1, "times", 0)
        if self.sock:
            self.sock.close()
            self.sock = None
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGCONT)
            self.proc.terminate()
            try:
                self.proc.wait(20)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        shutil.copy(self.dir + "/log", "%s/watch.%d.log" % (keep(), Watch.made))
        return self.proc.returncode


def keep():
    d = os.path.join(dir, "logs")
    os.makedirs(d, exist_ok=True)
    return d


def threads(pid):
    """{tid: (state, ns on a CPU)} of a process of the host."""
    t = {}
    for d in glob.glob("/proc/%d/task/*" % pid):
        try:
            state = open(d + "/stat").read().rsplit(")", 1)[1].split()[0]
            try:
                ns = int(open(d + "/schedstat").read().split()[0])
            except OSError:  # a kernel without
                f = open(d + "/stat").read().rsplit(")", 1)[1].split()
                ns = (int(f[11]) + int(f[12])) * 10_000_000
            t[int(os.path.basename(d))] = (state, ns)
        except OSError:
            pass
    return t


def comm(pid, tid):
    try:
        return open("/proc/%d/task/%d/comm" % (pid, tid)).read().strip()
    except OSError:
        return "?"


def initramfs():
    """The one that the bundle brings, or one made here."""
    have = BUILD + "/gpu/initrd"
    if os.path.exists(have):
        return have
    if not os.path.exists(dir + "/initrd"):
        initrd(dir + "/initrd")
    return dir + "/initrd"


class Crowd:
    """Guests that are booted at the same time, and closed together."""

    def __init__(self, *specs):
        self.guests, faults = [None] * len(specs), []
        rd = initramfs()

        def boot(i, spec):
            try:
                name, k, cpus, mib = spec
                self.guests[i] = Guest(dir, name, kernel(k), rd, cpus, mib)
            except Exception as e:  # said where all are waited for
                faults.append("%s: %s" % (spec[0], e))
        ts = [threading.Thread(target=boot, args=(i, s)) for i, s in enumerate(specs)]
        for t in ts:
            t.start()
        for t in ts:
            t.join()
        if faults:
            self.close()
            raise GuestError("; ".join(faults))

    def __enter__(self):
        return self.guests

    def __exit__(self, *_):
        self.close()

    def close(self):
        for g in self.guests:
            if g:
                g.close()


# ---- rescue -----------------------------------------------------------------------

RESCUE = """
protect comm in ("guestd", "sh") or comm ~ "t-sleep*"

rule memory "memory is nearly gone"
  if mem.available < 30% for 300ms until mem.available > 45%
  then SIGKILL largest where rate(rss, 1s) > 1MiB/s

rule realtime "a real-time process leaves nothing to the others"
  if policy in ("fifo", "rr") and cpu > 60% for 1s
  then SIGKILL it

rule hog "a process computes without end"
  if policy == "other" and cpu > 35% and rate(rss, 1s) < 1MiB/s for 2s
  then SIGTERM it
  then after 1s SIGKILL

rule bomb "processes make processes"
  if count(where comm == "t-bomb") > 60 until count(where comm == "t-bomb") < 1
  then SIGKILL tree of oldest where comm == "t-bomb"
  settle 300ms
"""


class Stopped:
    """All threads of the daemon are stopped, and that they were is shown."""

    def __init__(self, w):
        self.w = w
        self.on = w.real

    def __enter__(self):
        if not self.on:
            return self
        os.kill(self.w.pid(), signal.SIGSTOP)
        end = time.time() + 5
        while any(s not in "T" for s, _ in threads(self.w.pid()).values()) and time.time() < end:
            time.sleep(0.01)
        self.before = threads(self.w.pid())
        self.wrong = [s for s, _ in self.before.values() if s != "T"]
        return self

    def look(self):
        if self.on:
            now = threads(self.w.pid())
            self.wrong += [s for s, _ in now.values() if s != "T"]
            self.moved = sum(now[t][1] - self.before[t][1] for t in self.before if t in now)
            self.wrong += ["a thread has come or gone"] if now.keys() != self.before.keys() else []

    def __exit__(self, *_):
        if self.on:
            self.look()
            os.kill(self.w.pid(), signal.SIGCONT)


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


def rescue():
    cpus = 2
    lines, all_good = [], True
    with Crowd(("rescue", "6.1", cpus, 512)) as (g,):
        g.trouble()
        w = Watch([g], RESCUE, period="10ms", env=None)
        try:
            time.sleep(2)
            for name, kinds, rule, whole in (
                    ("CPU hog", ["spin"], "hog", None),
                    ("CPU hog that ignores SIGTERM", ["h-spin"], "hog", None),
                    ("memory hog", ["mem:600"], "memory", None),
                    ("fork bomb", ["bomb:256"], "bomb", "t-bomb"),
                    ("real-time hogs, one on each vCPU", ["fifo"] * cpus, "realtime", None)):
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
    with open(out + "/rescue.txt", "w") as f:
        f.write("\n".join(lines) + "\n")
    print("\n".join(l[:200] for l in lines if l.startswith("==") or "complain" in l))
    emit("rescue", "all of it recovered, told afterwards, the right processes", int(all_good), "", 1, True)


# ---- tick -------------------------------------------------------------------------


def limits():
    """Measured in this run: {hop: us, gather: {how: M/s}, bandwidth: GB/s}."""
    r = subprocess.run([BUILD + "/bench/gpu_limits", "256" if args.short else "1024"], capture_output=True, text=True, timeout=120)
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


def floor(m, n):
    """What a tick over n processes cannot be faster than, from what was measured in this run. A tick depends on: the tree's
    head, its levels, struct pid, task_struct, mm or signal, a look whether it is still the same. A process is six requests of up to 128
    bytes: struct pid, three lines of task_struct, signal_struct, mm_struct."""
    levels = 1 if n < 60 else 2 if n < 4000 else 3
    hops = 1 + levels + 4
    best = max(v for k, v in m["gather"].items() if k.startswith("128 B"))
    return hops, hops * m["hop"], n * 6 / best, n * 6 * 128 / m["bandwidth"] / 1e3


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
    seconds = 2 if args.short else 3
    if engines is None:
        engines = ["gpu blocks=%d" % b for b in (1, 4, 8, 16)] if args.engine == "gpu" else ["gpu"] if args.engine == "emu" else []
        engines.append("cpu")
    if args.short:
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
            if m:
                hops, by_hop, by_request, by_byte = floor(m, n)
                emit("tick", "%d tasks: limit, %d dependent hops" % (n, hops), by_hop, "us", tasks=n)
                emit("tick", "%d tasks: limit, 6 requests each at the rate measured" % n, by_request, "us", tasks=n)
                emit("tick", "%d tasks: limit, 768 bytes each at the bandwidth measured" % n, by_byte, "us", tasks=n)
            for count in counts:
                for engine in engines:
                    for quiet in (False, True):
                        try:
                            one_tick(g, n, count, engine, seconds, quiet)
                        except GuestError as e:
                            skipped("tick", "%d tasks, %d rules, %s: %s" % (n, count, engine, str(e)[-300:]))


def one_tick(g, n, count, engine, seconds, quiet):
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


def cpu():
    tick(engines=["cpu"] if args.engine == "cpu" else ["gpu", "cpu"])


# ---- sixteen ----------------------------------------------------------------------


def sixteen():
    seconds, many = (5, 3) if args.short else (60, 16)
    period = "1ms" if args.engine == "gpu" else "100ms"
    with Crowd(*(("vm%d" % i, "6.1" if i % 2 else "6.12", 1, 192) for i in range(many))) as guests:
        for g in guests[::4]:
            g.spawn("forks:2")
        w = Watch(guests, rules(10), period=period, mode="observe", max_tasks=4096)
        try:
            time.sleep(3)
            a = {t["name"]: t for t in w.status()["targets"]}
            start = time.time()
            time.sleep(seconds)
            b = {t["name"]: t for t in w.status()["targets"]}
            took = time.time() - start
            d = {k: [b[n][k] - a[n][k] for n in a] for k in ("ticks", "missed", "late", "overruns")}
            emit("sixteen", "%d guests, period %s, %d s: ticks in all" % (many, period, seconds), sum(d["ticks"]), "", each=d["ticks"], took=took)
            emit("sixteen", "ticks of the guest with the fewest, a second", min(d["ticks"]) / took, "/s")
            emit("sixteen", "ticks missed, all guests", sum(d["missed"]), "", 0)
            emit("sixteen", "ticks that took longer than the period", sum(d["overruns"]), "", 0)
            emit("sixteen", "longest tick, all guests", max(t["total_max_us"] for t in b.values()), "us")
        finally:
            w.stop()


# ---- latency ----------------------------------------------------------------------


def latency():
    rounds = 15 if args.short else 120
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
                    emit("latency", "period %s, %d kills, %s: %s" % (period, len(v), what, word), at(v, q), "ms", engine=args.engine, roads=roads, lost=lost, unseen=unseen)
            if lost:
                emit("latency", "period %s: kills that did not come" % period, lost, "", 0)


# ---- cost -------------------------------------------------------------------------


def cost():
    """Of watching: the policy shipped for guests, of which nothing comes true here."""
    seconds = 6 if args.short else 30
    policy = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../policies/80-guests.policy")).read()
    with Crowd(("cost", "6.1", 1, 512)) as (g,):
        fill(g, 300)
        for period in ("100ms", "1ms") if args.engine == "gpu" else ("100ms",):
            w = Watch([g], policy, period=period, mode="enforce")
            try:
                time.sleep(4)
                a, start = threads(w.pid()), time.time()
                time.sleep(seconds)
                b, took = threads(w.pid()), time.time() - start
                used = sum(ns - a.get(t, (0, 0))[1] for t, (_, ns) in b.items()) / 1e9
                emit("cost", "CPU time of gpufasd, period %s, %d s" % (period, seconds), 100 * used / took, "% of 1", 0.1 if args.engine == "gpu" else None,
                     used_s=used, threads=len(b))
                most = sorted(((ns - a.get(t, (0, 0))[1], t) for t, (_, ns) in b.items()), reverse=True)[:6]
                print("   " + ", ".join("%s %.3f %%" % (comm(w.pid(), t), ns / took / 1e7) for ns, t in most))
            finally:
                w.stop()


# ---- neighbour --------------------------------------------------------------------

NEIGHBOUR = r"""
import sys, time
import torch
n = 8192
a = torch.randn(n, n, device="cuda", dtype=torch.bfloat16)
b = torch.randn(n, n, device="cuda", dtype=torch.bfloat16)
c = torch.empty(n, n, device="cuda", dtype=torch.bfloat16)
for _ in range(20):
    torch.matmul(a, b, out=c)
torch.cuda.synchronize()
print("ready", flush=True)
for line in sys.stdin:
    end, rates = time.time() + float(line), []
    for _ in range(10):
        torch.matmul(a, b, out=c)
    torch.cuda.synchronize()
    while time.time() < end:
        t0 = torch.cuda.Event(enable_timing=True); t1 = torch.cuda.Event(enable_timing=True)
        t0.record()
        for _ in range(50):
            torch.matmul(a, b, out=c)
        t1.record()
        torch.cuda.synchronize()
        rates.append(50 * 2 * n ** 3 / (t0.elapsed_time(t1) / 1e3) / 1e12)
    rates.sort()
    print("rate %g %g %g" % (sum(rates) / len(rates), rates[0], rates[-1]), flush=True)
"""


class Neighbour:
    """Another process that multiplies matrices on the GPU: PyTorch, or where that is missing a kernel of ours."""

    def __init__(self, env=None):
        self.env = dict(os.environ, PYTHONUNBUFFERED="1", **(env or {}))
        self.own = subprocess.run([sys.executable, "-c", "import torch; assert torch.cuda.is_available()"], env=self.env, capture_output=True).returncode != 0
        self.proc = None
        if not self.own:
            self.err = open(keep() + "/neighbour.log", "a")
            self.proc = subprocess.Popen([sys.executable, "-c", NEIGHBOUR], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.err, text=True, env=self.env)
            if self.proc.stdout.readline().strip() != "ready":
                raise GuestError("PyTorch does not run: " + open(keep() + "/neighbour.log").read()[-300:])

    def rate(self, seconds):
        if self.own:
            r = subprocess.run([BUILD + "/bench/gpu_limits", "matmul", str(seconds)], env=self.env, capture_output=True, text=True, timeout=60 + seconds)
            m = re.search(r'"matmul".*"value": ([\d.e+]+)', r.stdout)
            if not m:
                raise GuestError(r.stdout[-200:] + r.stderr[-200:])
            return float(m[1])
        self.proc.stdin.write("%g\n" % seconds)
        self.proc.stdin.flush()
        return float(self.proc.stdout.readline().split()[1])

    def close(self):
        if self.proc:
            self.proc.stdin.close()
            try:
                self.proc.wait(20)
            except subprocess.TimeoutExpired:
                self.proc.kill()


def under(env, seconds, g, what, watches):
    """Rates of one neighbour: alone, beside each watch, alone again."""
    n = Neighbour(env)
    with_what = "a plain FP32 kernel" if n.own else "PyTorch, bf16 8192"
    try:
        alone = n.rate(seconds)
        emit("neighbour", "matrix products%s, alone (%s)" % (what, with_what), alone, "TFLOP/s")
        got = {}
        for name, engine, period, limit in watches:
            w = Watch([g], rules(10), engine, period=period, mode="observe", env=env)
            try:
                time.sleep(2)
                got[name] = n.rate(seconds)
                t, e = w.target(), w.status()["engine"]
                emit("neighbour", "  beside gpufasd%s, %s" % (what, name), got[name], "TFLOP/s", missed=t["missed"], ticks=t["ticks"], engine=e)
            finally:
                w.stop()
        again = n.rate(seconds)
        emit("neighbour", "  alone again%s" % what, again, "TFLOP/s")
        for name, engine, period, limit in watches:
            emit("neighbour", "  lost beside gpufasd%s, %s" % (what, name), 100 * (1 - got[name] / ((alone + again) / 2)), "%", limit)
    finally:
        n.close()


def neighbour():
    if args.engine != "gpu":
        return skipped("neighbour", "there is no GPU to share")
    seconds = 2 if args.short else 6
    with Crowd(("neighbour", "6.1", 1, 512)) as (g,):
        fill(g, 1000)
        both = [("persistent", "gpu mode=persistent", "1ms", None), ("one launch a period, 10 ms", "gpu mode=launch", "10ms", None)]
        under(None, seconds, g, "", both)
        mps = Mps("mps")
        if mps.why:
            return skipped("neighbour", mps.why + ": nothing measured under MPS")
        try:
            under(mps.env, seconds, g, " under MPS", [
                ("persistent", "gpu mode=persistent", "1ms", 2), ("persistent, 1 block", "gpu mode=persistent blocks=1", "1ms", 2),
                ("persistent, 1 block, 10 ms", "gpu mode=persistent blocks=1", "10ms", 2), ("one launch a period, 10 ms", "gpu mode=launch", "10ms", None)])
        finally:
            mps.close()


# ---- assisted ---------------------------------------------------------------------


def assisted():
    """A guest that has the kernel module: the GPU samples from the module's table in the guest's RAM and sends by its mailbox; then while gpufasd is stopped."""
    if args.engine == "cpu":
        return skipped("assisted", "the GPU's road is what is to be seen")
    module = BUILD + "/gpu/gpufas.ko"
    if not os.path.exists(module):
        return skipped("assisted", "there is no module for the guest in the bundle (linux-headers were missing when it was packed)")
    used = "assisted: the GPU samples and delivers by the module in it"
    policy = 'protect comm in ("guestd", "sh") or comm ~ "t-sleep*"\nrule hog if policy == "other" and cpu > 35% for 2s then SIGTERM it then after 5s SIGKILL\n' \
             'rule realtime if policy in ("fifo", "rr") and cpu > 60% for 1s then SIGKILL it\n'
    initrd(dir + "/initrd.assisted", [module])
    g = Guest(dir, "assisted", kernel("6.1"), dir + "/initrd.assisted", 2, 512)
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


# ---- lost -------------------------------------------------------------------------


class Mps:
    """An MPS server of our own; env is for its clients. Why there is none: .why."""

    def __init__(self, name):
        self.control = shutil.which("nvidia-cuda-mps-control", path=os.environ.get("PATH", "") + ":/usr/local/nvidia/bin:/usr/bin:/usr/local/cuda/bin")
        self.env = {"CUDA_MPS_PIPE_DIRECTORY": "%s/%s-pipe" % (dir, name), "CUDA_MPS_LOG_DIRECTORY": "%s/%s-log" % (dir, name)}
        self.why = None if self.control else "there is no nvidia-cuda-mps-control here"
        if self.why:
            return
        for d in self.env.values():
            os.mkdir(d)
        r = subprocess.run([self.control, "-d"], env=dict(os.environ, **self.env), capture_output=True, text=True, timeout=30)
        if r.returncode:
            self.why = "MPS does not start: " + (r.stdout + r.stderr)[-300:]

    def close(self):
        if self.why:
            return
        subprocess.run([self.control], input="quit\n", env=dict(os.environ, **self.env), capture_output=True, text=True, timeout=60)
        for f in glob.glob(self.env["CUDA_MPS_LOG_DIRECTORY"] + "/*.log"):
            shutil.copy(f, keep())


def lost():
    """The kernel is taken away from gpufasd by the driver: another client of the same MPS server reads where there is no memory, and CUDA ends all clients' work."""
    if args.engine != "gpu":
        return skipped("lost", "there is no GPU to lose")
    mps = Mps("lost")
    if mps.why:
        return skipped("lost", mps.why)
    try:
        with Crowd(("lost", "6.1", 1, 512)) as (g,):
            w = Watch([g], "rule hog if cpu > 50% for 1s then SIGKILL it settle 1s\n", period="10ms", env=mps.env)
            try:
                time.sleep(1)
                start = time.time()
                r = subprocess.run([BUILD + "/bench/gpu_limits", "fault"], env=dict(os.environ, **mps.env), capture_output=True, text=True, timeout=60)
                print("# the other client: " + (r.stdout + r.stderr).strip()[-200:], flush=True)
                e = w.status()["engine"]
                while time.time() - start < 30 and not e.get("takeovers"):
                    time.sleep(0.05)
                    e = w.status()["engine"]
                took = time.time() - start
                why = next((x for x in re.findall(r"was given up: (.*)", w.tail())), "?")
                emit("lost", "from the other's start to the CPU's taking over: %s" % why, took if e.get("takeovers") else float("nan"), "s", 30)
                was = w.target()["ticks"]
                time.sleep(1)
                emit("lost", "ticks of the CPU in the second after", w.target()["ticks"] - was, "", 50, True)
                p = g.spawn("spin")
                emit("lost", "a hog ended by it (0: not in 30 s)", int(bool(g.gone(p, None, 30))), "", 1, True)
                rc, text, err = ctl("--socket", w.dir + "/s", "reload")
                time.sleep(2)
                e = w.status()["engine"]
                print("# after a reload: the engine is %s; %s" % (e["kind"], w.tail(700)), flush=True)
                emit("lost", "reload after it", rc, "exit status", 0, engine=e)
                w.up = False  # that the CPU has taken over is what was wanted
            finally:
                w.stop()
    finally:
        mps.close()


# ---- hostile ----------------------------------------------------------------------


class Dump:
    """A guest's memory without the guest."""

    def __init__(self, name, base):
        self.name, self.dir = name, dir
        self.ram = "/dev/shm/gpufas-test.%d.%s" % (os.getpid(), name)
        subprocess.run(["cp", "--sparse=always", base, self.ram] if shutil.which("cp") and "coreutils" in subprocess.run(
            ["cp", "--version"], capture_output=True, text=True).stdout else ["cp", base, self.ram], check=True)
        self.file = open(self.ram, "rb")  # who has it open is taken for a guest that stands still

    def close(self):
        self.file.close()
        os.unlink(self.ram)


# what the host's clock has no part in
STABLE = ("pid", "ppid", "comm", "uid", "state", "threads", "nice", "policy", "rss", "anon", "swap", "majflt", "oom_score_adj")


def tables(dumps, engine):
    """{name: {pid: row}} as that engine sees these dumps, and what it says of its ticks."""
    w = Watch(dumps, rules(10), engine, period="20ms", mode="observe", max_tasks=4096, qmp=False, least=0)
    try:
        time.sleep(3)
        got = {}
        for d in dumps:
            rc, text, err = ctl("--socket", w.dir + "/s", "--json", "ps", "--target", d.name)
            rows = json.loads(text) if rc == 0 else {}
            rows = rows.get("tasks", rows) if isinstance(rows, dict) else rows
            got[d.name] = {r["pid"]: {k: r.get(k) for k in STABLE} for r in rows}
        return got, {t["name"]: t for t in w.status()["targets"]}, w.status()["engine"]
    finally:
        w.stop()


def hostile():
    many, seed = (4, 1) if args.short else (16, int.from_bytes(os.urandom(3), "big"))
    many, seed = int(os.environ.get("HOSTILE", many)), int(os.environ.get("SEED", seed))
    dumps = []
    try:
        with Crowd(("base", "6.1", 1, 192)) as (g,):
            for kind in ("sleepers:60", "sleep:8", "spin:4", "mem:8", "stopped", "zombie", "vfork"):
                g.spawn(kind)
            time.sleep(2)
            for i in range(many):
                dumps.append(Dump("dump%d" % i, g.ram))
        said = []
        for i, d in enumerate(dumps):
            r = subprocess.run([BUILD + "/tests/helpers/spoil", d.ram, str(seed + i), str(0 if i == 0 else 3 << (i % 10))], capture_output=True, text=True)
            said.append(r.stdout.strip() or r.stderr.strip())
        cpu_rows, cpu_state, _ = tables(dumps, "cpu")
        rows, state, engine = tables(dumps, args.engine)
        differ = []
        for d, s in zip(dumps, said):
            a, b = cpu_rows[d.name], rows[d.name]
            bad = [p for p in a.keys() | b.keys() if a.get(p) != b.get(p)]
            # what each engine itself says of its sample: the rows above are read by gpufasctl's own sampler
            own = [(k, cpu_state[d.name].get(k), state[d.name].get(k)) for k in ("tasks", "stale") if cpu_state[d.name].get(k) != state[d.name].get(k)]
            if own:
                differ.append("%s (%s): the engines' own figures (CPU, %s): %s" % (d.name, s, args.engine, own))
            if bad:
                differ.append("%s (%s): %d of %d rows, first %s: %s %s" % (d.name, s, len(bad), len(a), bad[0], a.get(bad[0]), b.get(bad[0])))
        with open(out + "/hostile.txt", "w") as f:
            f.write("seed %d\n" % seed + "\n".join("%s: %s; CPU %d rows, %s %d rows, ticks %d, stale %s" % (
                d.name, s, len(cpu_rows[d.name]), args.engine, len(rows[d.name]), state[d.name]["ticks"], state[d.name].get("stale")) for d, s in zip(dumps, said)) +
                "\n" + "\n".join(differ) + "\n")
        emit("hostile", "%d spoilt guests (seed %d): processes that the %s engine counts in them" % (many, seed, args.engine),
             sum(t.get("tasks") or 0 for t in state.values()), "", engine=engine)
        emit("hostile", "differences to what the CPU engine counts", len(differ), "", 0)
        emit("hostile", "fewest ticks over one of them in 3 s at 20 ms", min(t["ticks"] for t in state.values()), "", 100, True)
        if differ:
            print("\n".join("FAILED: " + x[:300] for x in differ[:3]))
    finally:
        for d in dumps:
            d.close()


# ---- a second policy ------------------------------------------------------------------


def shadow():
    """Beside a GPU that samples the guest by itself: what both would do, what the shadow alone would, and what it costs the GPU (nothing)."""
    active = 'rule stops if cpu > 50% for 1s then SIGSTOP it settle 1h\n'
    other = active + 'rule notes if cpu > 50% for 500ms then log it settle 1h\n'
    if args.engine != "cpu":  # on samples of its own it may follow paths that the policy in force does not
        other += 'rule deep if task->mm->map_count > 60000 then log\n'
    seconds = 3 if args.short else 10
    with Crowd(("shadow", "6.1", 2, 512)) as (g,):
        plain = []
        for second in (None, other):
            w = Watch([g], active, period="20ms", shadow=second)
            try:
                time.sleep(seconds)
                plain.append(w.target()["total_us"])
                if not second:
                    continue
                s = w.target()["shadow"]
                want = "own" if w.kind == "gpu" else "same"
                emit("shadow", "evaluated on %s samples, of 2: %s" % (want, s["samples"]), int(s["samples"] != want or bool(s["why_not"])), "wrong", 0, how=s["how"])
                emit("shadow", "its ticks in %d s at 20 ms" % seconds, s["ticks"], "", 10, True, missed=s["missed"])
                emit("shadow", "a tick of the shadow, on a CPU", s["total_us"], "us")
                p = g.spawn("spin")
                end = time.time() + 60
                while time.time() < end and not (s["agreed"] >= 1 and s["only_shadow"] >= 1):
                    time.sleep(0.5)
                    s = w.target()["shadow"]
                g.kill(p)
                emit("shadow", "acts that both came to (SIGSTOP of a hog)", s["agreed"], "", 1, True)
                emit("shadow", "acts of the shadow alone (log)", s["only_shadow"], "", 1, True, differences=s["differences"])
                emit("shadow", "acts of the policy in force alone", s["only_active"], "", 0, unseen=s["unseen"])
            finally:
                w.stop()
        emit("shadow", "a tick of the policy in force, without a shadow", plain[0], "us")
        emit("shadow", "the same beside one", plain[1], "us")


PARTS = dict(shadow=shadow, hostile=hostile, limits=limits, rescue=rescue, tick=tick, sixteen=sixteen, latency=latency, cost=cost, neighbour=neighbour, lost=lost, assisted=assisted, cpu=cpu)


def missing():
    """What is not there that all parts need, in words."""
    if args.engine == "gpu":
        r = subprocess.run([BUILD + "/bench/gpu_limits", "device"], capture_output=True, text=True) if os.path.exists(BUILD + "/bench/gpu_limits") else None
        if not r:
            return "bench/gpu_limits is not built (no nvcc)"
        if r.stdout.startswith("skipped: "):
            return r.stdout.strip()[9:]
        if r.returncode:
            print("gpu_limits: FAILED: " + (r.stdout + r.stderr).strip()[-300:])
            sys.exit(1)
    need = [BUILD + "/gpufasd", BUILD + "/tests/vm/guestd", BUILD + "/bench/bench_fault", kernel()]
    if "sixteen" in args.parts:
        need.append(kernel("6.12"))
    gone = [f for f in need if not os.path.exists(f)] + [t for t in ("qemu-system-x86_64",) if not shutil.which(t)]
    return "there is no " + ", no ".join(gone) if gone else ""


def main():
    global args, out, dir
    p = argparse.ArgumentParser()
    p.add_argument("parts", nargs="+", choices=PARTS)
    p.add_argument("--engine", default="gpu", choices=("gpu", "emu", "cpu"))
    p.add_argument("--short", action="store_true")
    args = p.parse_args()
    out = os.environ["OUT"] = os.environ.get("OUT") or tempfile.mkdtemp(prefix="gpufas-out.")
    os.makedirs(out, exist_ok=True)
    why = missing()
    bad = 0
    with tempfile.TemporaryDirectory(prefix="gpufas.") as dir:
        for part in args.parts:
            if why:
                skipped(part, why)
                continue
            start = time.time()
            try:
                PARTS[part]()
            except (GuestError, OSError, ValueError, KeyError, subprocess.TimeoutExpired) as e:
                bad = 1
                with open(out + "/table.txt", "a") as f:
                    f.write("%s: FAILED: %s\n" % (part, " ".join(str(e).split())[-300:]))
                print("%s: FAILED: %s: %s" % (part, type(e).__name__, str(e)[-1500:]), flush=True)
            print("# %s: %.0f s" % (part, time.time() - start), flush=True)
        if os.path.isdir(dir + "/logs"):
            subprocess.run(["tar", "-czf", "%s/logs-%s.tar.gz" % (out, args.parts[0]), "-C", dir, "logs"], check=False)
    sys.exit(bad)


if __name__ == "__main__":
    main()
