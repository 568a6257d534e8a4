# SPDX-License-Identifier: MIT
"""
show.py neighbour, lost: what another process on the GPU loses; and a kernel that the driver takes away for another's fault.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import time

from show_base import Crowd, Watch, emit, keep, run, skipped
from guest import BUILD, GuestError, ctl
from rules import rules
from show_tick import fill


class Mps:
    """An MPS server of our own; env is for its clients. Why there is none: .why."""

    def __init__(self, name):
        self.control = shutil.which("nvidia-cuda-mps-control", path=os.environ.get("PATH", "") + ":/usr/local/nvidia/bin:/usr/bin:/usr/local/cuda/bin")
        self.env = {"CUDA_MPS_PIPE_DIRECTORY": "%s/%s-pipe" % (run.dir, name), "CUDA_MPS_LOG_DIRECTORY": "%s/%s-log" % (run.dir, name)}
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


NEIGHBOUR = r"""
import sys, time
import torch
n = 8192
a = torch.randn(n, n, device="cuda", dtype=torch.bfloat16)
b = torch.randn(n, n, device="cuda", dtype=torch.bfloat16)
c = torch.empty(n, n, device="cuda", dtype=torch.bfloat16)
h = torch.zeros(128 << 20, dtype=torch.uint8).pin_memory()
d, d2 = (torch.zeros(128 << 20, dtype=torch.uint8, device="cuda") for _ in range(2))
for _ in range(20):
    torch.matmul(a, b, out=c)
    d.copy_(h, non_blocking=True)
    d.copy_(d2)
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
    copied = []
    for to, source in ((d, h), (d, d2)):
        t0 = torch.cuda.Event(enable_timing=True); t1 = torch.cuda.Event(enable_timing=True)
        t0.record()
        for _ in range(20):
            to.copy_(source, non_blocking=True)
        t1.record()
        torch.cuda.synchronize()
        copied.append(20 * h.numel() / (t0.elapsed_time(t1) / 1e3) / 1e9)
    print("rate %g %g %g" % (sum(rates) / len(rates), *copied), flush=True)
"""


class Neighbour:
    """Another process that multiplies matrices on the GPU: PyTorch, or where that is missing a kernel of ours."""

    def __init__(self, env=None):
        self.env = dict(os.environ, PYTHONUNBUFFERED="1", **(env or {}))
        self.own = subprocess.run([sys.executable, "-c", "import torch; assert torch.cuda.is_available()"], env=self.env, capture_output=True).returncode != 0
        self.proc = None
        self.copied = []  # GB/s from the host's memory, on the device, beside the rate asked for last
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
        v = [float(x) for x in self.proc.stdout.readline().split()[1:]]
        self.copied = v[1:]
        return v[0]

    def close(self):
        if self.proc:
            self.proc.stdin.close()
            try:
                self.proc.wait(20)
            except subprocess.TimeoutExpired:
                self.proc.kill()


class Stays:
    """A control: a kernel that does nothing but stay."""

    def __init__(self, env, blocks, lanes):
        self.proc = subprocess.Popen([BUILD + "/bench/gpu_limits", "stay", str(blocks), str(lanes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                     env=dict(os.environ, **(env or {})))
        while (line := self.proc.stdout.readline()).strip() != "stays":
            if not line:
                raise GuestError("gpu_limits stay ended")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proc.stdin.close()
        self.proc.wait(20)


def under(env, seconds, g, what, watches):
    """Rates of one neighbour: alone, beside each watch, alone again."""
    n = Neighbour(env)
    with_what = "a plain FP32 kernel" if n.own else "PyTorch, bf16 8192"
    try:
        alone = n.rate(seconds)
        copied = n.copied
        emit("neighbour", "matrix products%s, alone (%s)" % (what, with_what), alone, "TFLOP/s")
        got = {}
        for name, engine, period, limit in watches:
            w = Watch([g], rules(10), engine, period=period, mode="observe", env=env)
            try:
                time.sleep(2)
                a = w.target()
                start = time.time()
                got[name] = n.rate(seconds)
                t, e, took = w.target(), w.status()["engine"], time.time() - start
                emit("neighbour", "  beside gpufasd%s, %s" % (what, name), got[name], "TFLOP/s", missed=t["missed"] - a["missed"], ticks=t["ticks"] - a["ticks"], took=took,
                     longest_us=t["total_max_us"], engine=e, copied=n.copied)
                for a_, b_, c in zip(copied, n.copied, ("from the host's memory", "on the device")):
                    emit("neighbour", "    its copies %s, %.0f GB/s alone: lost" % (c, a_), 100 * (1 - b_ / a_), "%")
                emit("neighbour", "    ticks of gpufasd in that time, of those that were due", 100 * (t["ticks"] - a["ticks"]) * float(period[:-2]) / 1e3 / took, "%")
            finally:
                w.stop()
        with Stays(env, 1, 32):
            got["nothing of gpufas, but one warp, asleep"] = n.rate(seconds)
        again = n.rate(seconds)
        emit("neighbour", "  alone again%s" % what, again, "TFLOP/s")
        watches = watches + [("nothing of gpufas, but one warp, asleep", None, None, None)]
        for name, engine, period, limit in watches:
            emit("neighbour", "  lost%s beside %s" % (what, name if engine is None else "gpufasd, " + name), 100 * (1 - got[name] / ((alone + again) / 2)), "%", limit)
    finally:
        n.close()


def neighbour():
    if run.args.engine != "gpu":
        return skipped("neighbour", "there is no GPU to share")
    seconds = 2 if run.args.short else 6
    with Crowd(("neighbour", "6.1", 1, 512)) as (g,):
        fill(g, 1000)
        both = [("relay, 1 ms", "gpu mode=relay", "1ms", None), ("relay, 10 ms", "gpu mode=relay", "10ms", None), ("persistent", "gpu mode=persistent", "1ms", None)]
        under(None, seconds, g, "", both)
        mps = Mps("mps")
        if mps.why:
            return skipped("neighbour", mps.why + ": nothing measured under MPS")
        try:
            under(mps.env, seconds, g, " under MPS", [
                ("relay, 1 ms", "gpu mode=relay", "1ms", 2), ("relay, 10 ms", "gpu mode=relay", "10ms", 2), ("relay, 100 ms", "gpu mode=relay", "100ms", 2),
                ("persistent", "gpu mode=persistent", "1ms", None), ("persistent, 1 block", "gpu mode=persistent blocks=1", "1ms", None),
                ("one launch by the host a period, 10 ms", "gpu mode=launch", "10ms", None)])
        finally:
            mps.close()


def lost():
    """The kernel is taken away from gpufasd by the driver: another client of the same MPS server reads where there is no memory, and CUDA ends all clients' work."""
    if run.args.engine != "gpu":
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
