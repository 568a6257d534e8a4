#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
What is shown of the GPU engine, each part by itself, with gpufasd and gpufasctl as a user has them and guests in QEMU
(by emulation, without KVM). Figures go to OUT/results.jsonl, a JSON line each, and to OUT/table.txt.

  show.py PART...      limits tick cpu latency cost (show_tick.py), rescue assisted (show_rescue.py), sixteen (show_sixteen.py),
                       neighbour lost (show_neighbour.py), hostile shadow (show_hostile.py)
  --engine gpu|emu|cpu emu, cpu: rehearsals on a machine without a GPU, by the emulated device (whose lanes are threads of
                       gpufasd, so that it is not stopped) or by the CPU; what only a GPU can do is said to be skipped
  --short              fewer and shorter measurements, for a rehearsal
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from show_base import kernel, run, skipped  # noqa: E402
from guest import BUILD, GuestError  # noqa: E402
from show_hostile import hostile, shadow  # noqa: E402
from show_neighbour import lost, neighbour  # noqa: E402
from show_rescue import assisted, rescue  # noqa: E402
from show_sixteen import sixteen  # noqa: E402
from show_tick import cost, cpu, latency, limits, tick  # noqa: E402

PARTS = dict(shadow=shadow, hostile=hostile, limits=limits, rescue=rescue, tick=tick, sixteen=sixteen, latency=latency, cost=cost,
             neighbour=neighbour, lost=lost, assisted=assisted, cpu=cpu)


def missing():
    """What is not there that all parts need, in words."""
    if run.args.engine == "gpu":
        r = subprocess.run([BUILD + "/bench/gpu_limits", "device"], capture_output=True, text=True) if os.path.exists(BUILD + "/bench/gpu_limits") else None
        if not r:
            return "bench/gpu_limits is not built (no nvcc)"
        if r.stdout.startswith("skipped: "):
            return r.stdout.strip()[9:]
        if r.returncode:
            print("gpu_limits: FAILED: " + (r.stdout + r.stderr).strip()[-300:])
            sys.exit(1)
    need = [BUILD + "/gpufasd", BUILD + "/tests/vm/guestd", BUILD + "/bench/bench_fault", kernel()]
    if "sixteen" in run.args.parts:
        need.append(kernel("6.12"))
    gone = [f for f in need if not os.path.exists(f)] + [t for t in ("qemu-system-x86_64",) if not shutil.which(t)]
    return "there is no " + ", no ".join(gone) if gone else ""


def main():
    p = argparse.ArgumentParser()
    p.add_argument("parts", nargs="+", choices=PARTS)
    p.add_argument("--engine", default="gpu", choices=("gpu", "emu", "cpu"))
    p.add_argument("--short", action="store_true")
    run.args = p.parse_args()
    run.out = os.environ["OUT"] = os.environ.get("OUT") or tempfile.mkdtemp(prefix="gpufas-out.")
    os.makedirs(run.out, exist_ok=True)
    why = missing()
    bad = 0
    with tempfile.TemporaryDirectory(prefix="gpufas.") as run.dir:
        for part in run.args.parts:
            if why:
                skipped(part, why)
                continue
            start = time.time()
            try:
                PARTS[part]()
            except (GuestError, OSError, ValueError, KeyError, subprocess.TimeoutExpired) as e:
                bad = 1
                with open(run.out + "/table.txt", "a") as f:
                    f.write("%s: FAILED: %s\n" % (part, " ".join(str(e).split())[-300:]))
                print("%s: FAILED: %s: %s" % (part, type(e).__name__, str(e)[-1500:]), flush=True)
            print("# %s: %.0f s" % (part, time.time() - start), flush=True)
        if os.path.isdir(run.dir + "/logs"):
            subprocess.run(["tar", "-czf", "%s/logs-%s.tar.gz" % (run.out, run.args.parts[0]), "-C", run.dir, "logs"], check=False)
    sys.exit(bad)


if __name__ == "__main__":
    main()
