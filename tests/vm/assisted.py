# SPDX-License-Identifier: MIT
"""
A guest that has the kernel module, watched from outside: its processes are sampled from the module's table in the guest's RAM,
and signals go through its mailbox. Run by tests/vm/assisted.t; prints TAP.

  assisted.py DIR KERNEL MODULE TESTS-BEFORE
"""
import json
import os
import time

from guest import LATE
from replay import replayed
from rescue import rescued, results, tap
from watched import CPUS, Watched

POLICY = """
protect comm in ("guestd", "sh") or comm ~ "t-sleep*"

rule realtime "a real-time process leaves nothing to the others"
  if policy in ("fifo", "rr") and cpu > 60% for 1s
  then SIGKILL it

rule hog "a process computes without end"
  if policy == "other" and cpu > 35% for 1s
  then SIGTERM it
  then after 5s SIGKILL
"""


def road(d):
    return d.target("one").get("road", "")


def how(d, pid):
    return sorted({m.get("how") for m in results(d, pid)})


def by_gpu(w, innocent):
    """The same where an emulated GPU watches: it samples from the module's table and delivers by its mailbox, and from outside while there is none."""
    os.environ["RESCUE_DAEMON"] = "tests/gpufasd-emu --engine gpu"
    os.remove(w.dir + "/audit.jsonl")
    g, d = w.guest, w.daemon(also="recorder: {directory: %s/box, samples: ticks}\n" % w.dir)
    used = "assisted: the GPU samples and delivers by the module in it"
    up = d.until(lambda: used in road(d), LATE)
    tap.ok(up, "GPU: the guest's module is found, and status says so", json.dumps(d.target("one")) + d.tail())
    t = d.target("one")
    tap.ok((t.get("sampled_by"), t.get("delivered_by")) == ("module", "module"), "GPU: in JSON, too", t)
    p = g.spawn("spin")
    rescued(d, g, "GPU: CPU hog", p, innocent, "hog", sig=15)
    tap.ok(how(d, p) == ["module"], "GPU: by the module's mailbox", results(d, p))
    p = g.spawn("spin")
    tap.ok(g.ask("unload gpufas")[1] == [0], "GPU: the module is unloaded while it is used")
    out = d.until(lambda: "assisted" not in road(d) and d.target("one").get("tasks", 0) > 20 and not d.target("one").get("stale"), LATE)
    tap.ok(out, "GPU: it goes on from outside, and status says so", json.dumps(d.target("one")) + d.tail(1500))
    rescued(d, g, "GPU: CPU hog, without the module", p, innocent, "hog", sig=15)
    tap.ok("module" not in how(d, p), "GPU: from outside", results(d, p))
    tap.ok(g.ask("load /bin/gpufas.ko assisted=1")[1] == [0], "GPU: the module is loaded again")
    tap.ok(d.until(lambda: used in road(d), LATE), "GPU: and used again", json.dumps(d.target("one")) + d.tail(1500))
    p = g.spawn("spin")
    rescued(d, g, "GPU: CPU hog, with the module again", p, innocent, "hog", sig=15)
    tap.ok(how(d, p) == ["module"], "GPU: by the module's mailbox again", results(d, p))
    t = d.target("one")
    tap.ok(t.get("engine", {}).get("kind") == "gpu" and not t.get("engine", {}).get("takeovers"), "GPU: it was the GPU all the time", t.get("engine"))
    w.stops("GPU: ")
    replayed(w.dir, w.dir + "/box", 3, "GPU, by the module and from outside")


def assisted(w):
    g, d = w.guest, w.daemon()
    up = d.until(lambda: "assisted: sampled and delivered to" in road(d), LATE)
    tap.ok(up, "the guest's module is found, and status says so", json.dumps(d.target("one")) + d.tail())
    t = d.target("one")
    failed = t.get("sample_errors", 0)  # before there was a kernel
    tap.ok(len(g.table()) == t.get("tasks"), "as many processes as the guest itself counts", (len(g.table()), t))
    innocent = [g.settled("sleep:4")]
    p = g.spawn("spin")
    rescued(d, g, "CPU hog", p, innocent, "hog", sig=15)
    tap.ok(how(d, p) == ["module"], "by the module's mailbox", results(d, p))
    fifo = [g.spawn("fifo") for _ in range(CPUS)]
    start = time.time()
    for p in fifo:
        rescued(d, g, "real-time hog on every CPU", p, innocent, "realtime")
        tap.ok(how(d, p) == ["module"], "by the module's mailbox", results(d, p))
    tap.note("real-time hogs: the guest answers again after %.1f s (1 s for `cpu`, 1 s hold)" % (time.time() - start))
    t = d.target("one")
    tap.ok(t.get("sample_errors") == failed, "no sample has failed since", (failed, t.get("sample_errors"), t.get("sample_error")))
    w.stops()
    d = w.daemon(", assisted: off")
    tap.ok(d.until(lambda: d.target("one").get("tasks", 0) > 20, LATE) and "assisted" not in road(d), "assisted: off, and it is not used", road(d))
    p = g.spawn("spin")
    rescued(d, g, "CPU hog", p, innocent, "hog", sig=15)
    tap.ok("module" not in how(d, p), "from outside, as without it", results(d, p))
    w.stops()
    by_gpu(w, innocent)


if __name__ == "__main__":
    Watched(POLICY).run(assisted)
