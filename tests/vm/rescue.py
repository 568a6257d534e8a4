# SPDX-License-Identifier: MIT
"""
gpufasd watches guests: what goes wrong in them is put right from outside, the right process is chosen, and what
happens to one guest leaves the others alone. Run by tests/vm/rescue.t; prints TAP.

  rescue.py DIR KERNEL OTHER-KERNEL
"""
import json
import os
import signal
import subprocess
import sys
import time

from guest import BUILD, LATE, SOON, Guest, GuestError, Tap, ctl, initrd
from troubles import troubles_policy

tap = Tap()

POLICY = troubles_policy("5s") + """
rule many-maps
  if comm == "t-futex" and task->mm->map_count > 1 and task->signal->nr_threads == 1 for 500ms
  then freeze it
  then after 2s thaw
  cooldown 1h
"""


class Daemon:
    def __init__(self, dir, targets, policy, mode="enforce"):
        self.dir = dir
        # (lanes of an emulated device would have that priority, too: a GPU takes no CPU from guests)
        device = "gpufasd-emu" in os.environ.get("RESCUE_DAEMON", "")
        with open(dir + "/rescue.policy", "w") as f:
            f.write(policy)
        with open(dir + "/gpufas.yaml", "w") as f:
            f.write("period: 50ms\nmode: %s\nengine: {realtime: %s, mlock: no}\nbudget: {actions: 250, per: 1min}\n" %
                    (mode, "yes" if os.geteuid() == 0 and not device else "no"))
            f.write("audit: {path: %s/audit.jsonl}\ncontrol: {socket: %s/s, group: \"\"}\n" % (dir, dir))
            f.write("policy: {directories: [], files: [%s/rescue.policy]}\ntargets:\n%s" % (dir, targets))
        self.log = open(dir + "/log", "w")
        # the emulated device in the place of a GPU: RESCUE_DAEMON="tests/gpufasd-emu --engine gpu"
        daemon = os.environ.get("RESCUE_DAEMON", "gpufasd").split()
        self.proc = subprocess.Popen([BUILD + "/" + daemon[0]] + daemon[1:] + ["-c", dir + "/gpufas.yaml"], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        end = time.time() + LATE
        while time.time() < end and self.ctl("status")[0]:
            if self.proc.poll() is not None:
                raise GuestError("gpufasd ended: " + self.tail())
            time.sleep(0.1)

    def ctl(self, *args):
        return ctl("--socket", self.dir + "/s", *args)

    def json(self, *args):
        rc, out, err = self.ctl("--json", *args)
        return json.loads(out) if rc == 0 else {}

    def tail(self, n=4000):
        return open(self.dir + "/log").read()[-n:]

    def target(self, name):
        return next((t for t in self.json("status").get("targets", []) if t["name"] == name), {})

    def until(self, what, wait=SOON):
        end = time.time() + wait
        while time.time() < end:
            if what():
                return True
            time.sleep(0.1)
        return False

    def events(self, **want):
        rc, text, _ = self.ctl("--json", "events", "--lines", "1000")
        out = [json.loads(l) for l in text.splitlines() if l.startswith("{")] if rc == 0 else []
        return [e for e in out if all(e.get(k) == v for k, v in want.items())]

    def stop(self):
        if self.proc.poll() is None:
            self.proc.terminate()
            try:
                self.proc.wait(20)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        return self.proc.returncode


def results(d, pid):
    return [m for e in d.events(kind="result") for m in e.get("members", []) if m.get("pid") == pid]


def rescued(d, g, name, culprit, innocent, rule, wait=LATE, sig=9):
    """The culprit is ended by the rule from outside; who stands beside it lives."""
    gone = g.gone(culprit, None, wait)
    tap.ok(gone and int(gone[0].split()[2]) == sig, "%s: ended from outside" % name, d.tail(2500) + "\n".join(e["sentence"] for e in d.events()[-12:]))
    living = [p for p in innocent if g.table().get(p, {}).get("state", "Z") in "ZX"]
    tap.ok(not living, "%s: the others live" % name, living)
    d.until(lambda: any(m.get("exit_us") is not None for m in results(d, culprit)))
    r = [m for m in results(d, culprit) if m.get("exit_us") is not None]
    tap.ok(r, "%s: its end was seen in the guest's memory" % name, results(d, culprit))
    if r:
        tap.note("%s: %s, exit %.1f ms after the store" % (name, r[-1].get("how"), r[-1]["exit_us"] / 1e3))
    # two that fall in one tick are one action, which names the first; its result names all
    acted = [e for e in d.events(kind="result", rule=rule) if any(m.get("pid") == culprit for m in e.get("members", []))]
    tap.ok(acted, "%s: by rule %s" % (name, rule), [e["sentence"] for e in d.events(kind="action")])


def troubles(d, g, cpus):
    innocent = [g.settled("sleep:4"), g.settled("sleepers:3")]
    rescued(d, g, "CPU hog", g.spawn("spin"), innocent, "hog", sig=15)
    h = g.spawn("h-spin")  # which takes no notice of SIGTERM
    rescued(d, g, "CPU hog that ignores SIGTERM", h, innocent, "hog")
    rescued(d, g, "memory hog", g.spawn("grow:600"), innocent, "memory")
    # with throttling off, and one on every CPU: nobody in the guest runs any more, guestd's serial port included
    fifo = [g.spawn("fifo") for _ in range(cpus)]
    start = time.time()
    for p in fifo:
        rescued(d, g, "real-time hog on every CPU", p, innocent, "realtime")
    tap.note("real-time hogs: the guest answers again after %.1f s (1 s for `cpu`, 1 s hold)" % (time.time() - start))
    b = g.spawn("bomb:128")
    gone = g.gone(b, 9, LATE)
    left = d.until(lambda: not [p for p, r in g.table().items() if r["comm"] == "t-bomb" and r["state"] not in "ZX"])
    tap.ok(gone and left, "fork bomb: all of it is ended", d.tail(1500))
    living = [p for p in innocent if g.table().get(p, {}).get("state", "Z") in "ZX"]
    tap.ok(not living, "fork bomb: the others live", living)
    f = g.spawn("futex")
    frozen = d.until(lambda: any(m.get("became") == "delivered" for e in d.events(kind="result", rule="many-maps") for m in e["members"]))
    tap.ok(frozen, "a rule on kernel paths freezes, by what the guest's own BTF says", [e["sentence"] for e in d.events()[-8:]])
    thawed = d.until(lambda: len([1 for e in d.events(kind="result", rule="many-maps") for m in e["members"] if m.get("became") == "delivered"]) >= 2)
    tap.ok(thawed and d.until(lambda: g.table().get(f, {}).get("state") == "S"), "and thaws", g.table().get(f))
    for p in innocent + [f]:
        g.clean(p)
    t = g.trouble()
    tap.ok(not t, "the guest's kernel has nothing to complain of", "\n".join(t))


def by_hand(d, g):
    p = g.settled("h-sleep")
    rc, out, err = d.ctl("signal", "one", str(p), "USR1")
    tap.ok(rc == 0 and g.want(r"^sig %d %d$" % (p, signal.SIGUSR1)), "gpufasctl signal one PID USR1 reaches a sleeper", out + err)
    rc, out, err = d.ctl("signal", "one", "1", "KILL")
    tap.ok(rc == 1 and "init" in (out + err).lower() or "pid 1" in out + err, "and refuses pid 1, and says so", out + err)
    rc, out, err = d.ctl("ps", "--target", "one")
    tap.ok(rc == 0 and "t-sleep" in out, "gpufasctl ps --target one shows the guest's processes", out[:500] + err)
    rc, out, err = d.ctl("fields", "--target", "one", "task->mm")
    tap.ok(rc == 0 and "map_count" in out, "gpufasctl fields --target one task->mm lists members", out[:300] + err)
    g.clean(p)


def main():
    dir, kernel, other = sys.argv[1:4]
    rd = dir + "/initrd"
    initrd(rd)
    g = h = d = None
    cpus = 2
    try:
        g = Guest(dir, "one", kernel, rd, cpus, 512)
        g.trouble()
        targets = "".join("  - {name: %s, kind: vm, qmp: %s/%s/qmp, kick: {qtest: %s/%s/qtest}}\n" % (n, dir, n, dir, n) for n in ("one", "two"))
        d = Daemon(dir, targets, POLICY)
        up = d.until(lambda: d.target("one").get("tasks", 0) > 20, LATE)
        tap.ok(up, "a guest is found and sampled", json.dumps(d.target("one")) + d.tail())
        t = d.target("two")
        tap.ok(t and not t.get("tasks"), "a guest that is not there does not keep the other from it, and status says so", t)
        troubles(d, g, cpus)
        by_hand(d, g)
        h = Guest(dir, "two", other, rd, 1, 512, watched=True)
        tap.ok(d.until(lambda: d.target("two").get("tasks", 0) > 20, LATE), "a guest that starts later is found", json.dumps(d.target("two")) + d.tail(1500))
        p = h.spawn("spin")
        rescued(d, h, "the other guest's CPU hog", p, [], "hog", sig=15)
        d.until(lambda: "ticks" in d.target("one"), LATE)  # (status may be late where all cores are taken)
        ticks = d.target("one")["ticks"]
        h.close()
        tap.ok(d.until(lambda: d.target("two").get("stale") or not d.target("two").get("attached", True)), "a guest that ends is noticed", d.target("two"))
        # (a monitor on a busy machine may be late with its answer: then that is said, and it is asked again)
        on = d.until(lambda: d.target("one").get("ticks", 0) > ticks and not d.target("one").get("stale"), LATE)
        tap.ok(on, "and the other is watched on", d.target("one"))
        if "gpufasd-emu" in os.environ.get("RESCUE_DAEMON", ""):
            tap.skip("another kernel in its place is found again", "beside emulated devices, which take both cores, the guest does not come up in minutes")
            h = None
        else:
            h = Guest(dir, "two", kernel, rd, 1, 512, watched=True)
            tap.ok(d.until(lambda: d.target("two").get("tasks", 0) > 20 and not d.target("two").get("stale"), LATE), "another kernel in its place is found again",
                   json.dumps(d.target("two")) + d.tail(1500))
            p = h.spawn("spin")
            rescued(d, h, "its CPU hog", p, [], "hog", sig=15)
        tap.ok(d.stop() == 0, "gpufasd stops", d.tail())
    except (GuestError, subprocess.TimeoutExpired, OSError, ValueError, KeyError) as e:
        tap.ok(False, "came to its end", "%s: %s\n%s" % (type(e).__name__, e, d.tail() if d else ""))
    finally:
        if d:
            d.stop()
        for x in (g, h):
            if x:
                x.close()
    tap.done()


if __name__ == "__main__":
    main()
