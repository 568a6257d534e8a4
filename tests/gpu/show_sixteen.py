# SPDX-License-Identifier: MIT
"""
show.py sixteen: sixteen guests at a period of 1 ms.
"""
import time

from show_base import Crowd, Watch, emit, run
from rules import rules


def now(w):
    """Figures of all targets. A first question wakes the engines' threads, which look four times a second while nobody asks."""
    w.status()
    time.sleep(0.3)
    return {t["name"]: t for t in w.status()["targets"]}


def sixteen():
    seconds, many = (5, 3) if run.args.short else (60, 16)
    period = "1ms" if run.args.engine == "gpu" else "100ms"
    with Crowd(*(("vm%d" % i, "6.1" if i % 2 else "6.12", 1, 192) for i in range(many))) as guests:
        for g in guests[::4]:
            g.spawn("forks:2")
        w = Watch(guests, rules(10), period=period, mode="observe", max_tasks=4096)
        try:
            time.sleep(3)
            a = now(w)
            start = time.time()
            time.sleep(seconds)
            b = now(w)
            took = time.time() - start
            d = {k: [b[n][k] - a[n][k] for n in a] for k in ("ticks", "missed", "late", "overruns")}
            emit("sixteen", "%d guests, period %s, %d s: ticks in all" % (many, period, seconds), sum(d["ticks"]), "", each=d["ticks"], took=took)
            emit("sixteen", "ticks of the guest with the fewest, a second", min(d["ticks"]) / took, "/s")
            emit("sixteen", "ticks missed, all guests", sum(d["missed"]), "", 0)
            emit("sixteen", "ticks that took longer than the period", sum(d["overruns"]), "", 0)
            emit("sixteen", "longest tick since the start, all guests", max(t["total_max_us"] for t in b.values()), "us")
        finally:
            w.stop()
