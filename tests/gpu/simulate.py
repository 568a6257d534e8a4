#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Sweeps on the GPU: simulate.py [--engine gpu|emu|cpu] [--short]. First the GPU against the CPU, over random policies and recordings
(tests/unit/test_sweep.c, built for the GPU), then gpufasctl simulate --sweep as a user has it, the same sweep by all GPUs and by all CPUs of this
machine: whether the tables are the same, and runs x samples a second. The same by one GPU, by all of them where one has no memory left, with a recording that
goes by in windows, and as --engine auto decides. Figures go to OUT/results.jsonl and OUT/table.txt, as show.py's do.
"""
import argparse
import ctypes
import os
import re
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import show_base as show  # noqa: E402

BUILD = os.environ.get("BUILD", "build")
POLICY = """rule low-memory "memory is nearly gone"
  if mem.available < 10% for 2s until mem.available > 20%
  then SIGTERM largest where not comm ~ "data*"
  then after 5s SIGKILL
  cooldown 30s
rule grows if rate(rss, 10s) > 15MiB/s for 3s then log largest
rule hog if tree(rss) > 40% and age > 1min then SIGTERM largest where comm != "database" then after 5s SIGKILL
rule many if count(where cpu > 50%) > 20 then renice +5 largest by cpu
"""


def equal(engine, short, seconds):
    """The GPU against the CPU, as many random cases as fit into the time."""
    test = BUILD + ("/tests/gpu/test_sweep" if engine == "gpu" else "/tests/unit/test_sweep")
    if not os.path.exists(test):
        return show.skipped("simulate", "there is no " + test)
    end, cases, runs, ticks, n = time.time() + seconds, 0, 0, 0, 4 if short else 20
    while time.time() < end:
        r = subprocess.run([test], capture_output=True, text=True, timeout=60, env=dict(os.environ, GF_CASES=str(n), CMOCKA_MESSAGE_OUTPUT="TAP"))
        seed = re.search(r"GF_SEED=(\d+)", r.stdout + r.stderr)
        m = re.search(r"# (\d+) runs, (\d+) ticks", r.stdout)
        if r.returncode or not m:
            print(r.stdout[-1500:], r.stderr[-1500:])
            print("FAILED: seed %s" % (seed.group(1) if seed else "?"))
            show.emit("simulate", "random sweeps that are not the same (seed %s)" % (seed.group(1) if seed else "?"), 1, "", 0)
            return 1
        cases, runs, ticks = cases + n, runs + int(m.group(1)), ticks + int(m.group(2))
        if short:
            break
        n *= 2 if time.time() + 3 * seconds / 4 < end else 1
        time.sleep(1)  # the seed is the time
    show.emit("simulate", "random policies x recordings, by %s and CPU the same to the last bit" % engine, runs, "", ticks=ticks, recordings=cases)
    return 0


def sweep(engine, trace, runs, more=(), env=None):
    """The figures that --engine prints, and the table."""
    side = int(round(runs ** 0.5))
    cmd = [BUILD + "/gpufasctl", "simulate", "--json", "--engine", engine, show.run.dir + "/sweep.policy", "--trace", trace,
           "--sweep", "low-memory.threshold=%s" % ",".join("%g%%" % (1 + 30.0 * i / side) for i in range(side)),
           "--sweep", "low-memory.cooldown=%s" % ",".join("%ds" % (5 + i) for i in range(side))]
    r = subprocess.run(cmd + list(more), capture_output=True, text=True, timeout=90, env=dict(os.environ, **(env or {})))
    m = re.search(r"^(\d+) runs on (.*): ([0-9.e+]+) runs x samples a second \(([0-9.]+) s; the recording was read in ([0-9.]+) s", r.stderr, re.M)
    if r.returncode or not m:
        raise OSError("gpufasctl simulate --engine %s: %s" % (engine, r.stderr[-400:]))
    odd = [x for x in r.stderr.splitlines() if x.startswith("gpufasctl:")]

    def said(what):
        f = re.search(what, r.stderr)
        return float(f.group(1)) if f else 0.0
    return dict(table=r.stdout, on=m.group(2), rate=float(m.group(3)), seconds=float(m.group(4)), read=float(m.group(5)), odd=odd, err=r.stderr,
                opened=said(r"of that ([0-9.]+) s until GPUs"), by_cpus=said(r"a trial said: ([0-9.]+) s by CPUs"), by_gpus=said(r"first frame said: ([0-9.]+) s by GPUs"))


def cards():
    """How many GPUs CUDA shows; the driver's library, or None."""
    try:
        cuda, n = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
        return (n.value, cuda) if not cuda.cuInit(0) and not cuda.cuDeviceGetCount(ctypes.byref(n)) else (0, None)
    except OSError:
        return 0, None


def hog(number):
    """Holds nearly all memory of a GPU until it is killed: a process of its own, that says when it has it."""
    text = """
import ctypes, sys, time
c = ctypes.CDLL("libcuda.so.1")
ctx, free, total, p = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t(), ctypes.c_void_p()
assert not c.cuInit(0) and not c.cuDevicePrimaryCtxRetain(ctypes.byref(ctx), %d) and not c.cuCtxSetCurrent(ctx)
for left in (600 << 20, 80 << 20, 8 << 20):
    c.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
    while free.value > left and not c.cuMemAlloc_v2(ctypes.byref(p), ctypes.c_size_t(free.value - left)):
        c.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
print("held", flush=True)
time.sleep(300)
""" % number
    p = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
    return p, p.stdout.readline().strip() == "held"


def differs(what, a, b):
    show.emit("simulate", what + ": tables that differ", int(a["table"] != b["table"]), "", 0)
    return a["table"] != b["table"]


def several(trace, runs, what, all_of_them):
    """One card against all, and all where one of them has no memory."""
    n, _ = cards()
    if n < 2:
        return bool(show.skipped("simulate", "several GPUs: there is %s" % ("one only" if n else "none")))
    one = sweep("gpu", trace, runs, env={"CUDA_VISIBLE_DEVICES": "0"})
    show.emit("simulate", what + "by one GPU of %d" % n, one["rate"] / 1e6, "M/s", on=one["on"], seconds=one["seconds"], opened=one["opened"])
    show.emit("simulate", what + "all GPUs, times as fast as one", all_of_them["rate"] / one["rate"], "")
    show.emit("simulate", what + "the same, without opening them", (one["seconds"] - one["opened"]) / max(all_of_them["seconds"] - all_of_them["opened"], 1e-3), "")
    bad = differs(what + "one GPU and all", one, all_of_them)
    if not re.match(r"%d x " % n, all_of_them["on"]):
        print("FAILED: not by all GPUs: %s" % all_of_them["on"])
        bad = True
    p, held = hog(0)
    try:
        if not held:
            return bad | bool(show.skipped("simulate", "a GPU without memory: it could not be taken"))
        short = sweep("gpu", trace, runs)
        show.emit("simulate", what + "by the others, one having no memory", short["rate"] / 1e6, "M/s", on=short["on"], odd=short["odd"])
        bad |= differs(what + "one having no memory", short, all_of_them)
        if not any("GPU 0: " in x and "the others do its share" in x for x in short["odd"]):
            print("FAILED: nothing is said of GPU 0: %s" % short["err"][-400:])
            bad = True
    finally:
        p.kill()
        p.wait()
    return bad


def windows(engine, trace, runs, what, want):
    """The recording in windows: as if there were no memory for it."""
    w = sweep(engine, trace, runs, more=["--memory", "1B"])
    show.emit("simulate", what + "in windows", w["rate"] / 1e6, "M/s", on=w["on"], seconds=w["seconds"], odd=w["odd"])
    if "goes by in windows" not in w["err"]:
        print("FAILED: it did not go by in windows")
        return True
    return differs(what + "in windows", w, want)


def auto(trace, runs, what, cpu, want):
    """What the trials say, and what it took."""
    a = sweep("auto", trace, runs)
    show.emit("simulate", what + "auto: s, on %s" % a["on"], a["seconds"], "s", opened=a["opened"])
    show.emit("simulate", what + "auto: the trial's guess for CPUs", a["by_cpus"], "s", took=cpu["seconds"])
    if a["by_gpus"]:
        show.emit("simulate", what + "auto: the first frame's guess for GPUs", a["by_gpus"], "s", took=a["seconds"] - a["opened"])
    return differs(what + "auto", a, want)


def figure(engine, tasks, seconds, runs):
    trace = "%s/%d.gft" % (show.run.dir, tasks)
    subprocess.run([BUILD + "/tests/helpers/simtrace", trace, "leak", str(tasks), str(seconds)], check=True, timeout=60)
    a, b = sweep(engine, trace, runs), sweep("cpu", trace, runs)
    what = "%d runs, %d tasks, %d samples: " % (runs, tasks, seconds)
    show.emit("simulate", what + "by %s" % engine, a["rate"] / 1e6, "M/s", on=a["on"], seconds=a["seconds"], read=a["read"], odd=a["odd"])
    show.emit("simulate", what + "until GPUs were there", a["opened"], "s")
    show.emit("simulate", what + "by " + b["on"], b["rate"] / 1e6, "M/s", seconds=b["seconds"])
    show.emit("simulate", what + "times as fast", a["rate"] / b["rate"], "")
    bad = differs(what + "GPUs and CPUs", a, b)
    for x in a["odd"]:
        print(x)
    bad |= windows(engine, trace, runs, what, b)
    if engine == "gpu":
        bad |= auto(trace, runs, what, b, b)
        bad |= several(trace, runs, what, a)
    return bad


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--engine", default="gpu", choices=("gpu", "emu", "cpu"))
    p.add_argument("--short", action="store_true")
    args = p.parse_args()
    show.run.out = os.environ["OUT"] = os.environ.get("OUT") or tempfile.mkdtemp(prefix="gpufas-out.")
    os.makedirs(show.run.out, exist_ok=True)
    if args.engine == "cpu":
        return show.skipped("simulate", "--engine cpu: there is nothing to compare")
    if args.engine == "gpu" and not os.path.exists(BUILD + "/tests/gpu/test_sweep"):
        return show.skipped("simulate", "built without nvcc")
    if args.engine == "gpu":
        r = subprocess.run([BUILD + "/tests/gpu/test_sweep"], capture_output=True, text=True, timeout=60, env=dict(os.environ, GF_CASES="1", CMOCKA_MESSAGE_OUTPUT="TAP"))
        m = re.search(r"1\.\.0 # SKIP (.*)", r.stdout)
        if m:
            return show.skipped("simulate", m.group(1))
    with tempfile.TemporaryDirectory(prefix="gpufas.") as show.run.dir:
        with open(show.run.dir + "/sweep.policy", "w") as f:
            f.write(POLICY)
        bad = equal(args.engine, args.short, 3 if args.short else 20)
        for tasks, seconds, runs in ((40, 60, 16),) if args.short else ((100, 1200, 4096), (1000, 300, 1024)):
            try:
                bad |= figure(args.engine, tasks, seconds, runs)
            except (OSError, subprocess.SubprocessError) as e:
                bad = 1
                print("FAILED: %s" % str(e)[-600:])
                show.emit("simulate", "a sweep of %d tasks that failed" % tasks, 1, "", 0)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main() or 0)
