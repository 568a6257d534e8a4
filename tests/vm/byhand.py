# SPDX-License-Identifier: MIT
"""
Signals by hand into a guest: by its kernel module's mailbox and by no other road, and by the others. Run by tests/vm/kmod-signal.t;
prints TAP.

  byhand.py DIR KERNEL MODULE TESTS-BEFORE
"""
from guest import LATE
from rescue import tap
from watched import Watched

POLICY = 'rule none\n  if comm == "no-such-one"\n  then SIGKILL it\n'


def send(d, pid, sig, road):
    rc, out, err = d.ctl("signal", "one", str(pid), sig, "--road", road)
    return (out + err).strip(), rc


def arrives(w, pid, name, number, road, by, what):
    """A process that has a handler gets it, and what is said names the road."""
    said, rc = send(w.d, pid, name, road)
    tap.ok(rc == 0 and by in said and w.guest.want("sig %d %d" % (pid, number)), what, said)


def refused(w, pid, name, why, what):
    said, rc = send(w.d, pid, name, "mailbox")
    tap.ok(rc == 1 and why in said, what, said)


def signals(w):
    g, d = w.guest, w.daemon()
    tap.ok(d.until(lambda: "assisted: sampled and delivered to" in d.target("one").get("road", ""), LATE), "the guest's module is found", d.tail())
    p = g.settled("h-sleep")
    arrives(w, p, "USR1", 10, "mailbox", "by the kernel module", "by the mailbox")
    said, rc = send(d, p, "KILL", "mailbox")
    tap.ok(rc == 0 and "gone after" in said and "by the kernel module" in said and g.gone(p, 9), "one that ends it, and when it was gone", said)
    p = g.settled("h-sleep")
    arrives(w, p, "USR1", 10, "auto", "by the kernel module", "auto takes it, too")
    arrives(w, p, "USR2", 12, "irq-work", "by the kernel's own sender", "another road, asked for, is taken")
    refused(w, 1, "KILL", "it is an init", "not to pid 1")
    refused(w, 2, "KILL", "it is a kernel thread", "not to a kernel thread")
    refused(w, 30000, "KILL", "has no such process", "not to nobody")
    refused(w, p, "RTMIN", "only signals 1 to 31", "no real-time signals")
    w.stops()
    d = w.daemon(more=", assisted: off")
    tap.ok(d.until(lambda: d.target("one").get("tasks", 0) > 20, LATE), "without it", d.tail())
    refused(w, p, "USR1", "assisted: off", "the mailbox is not to be used: an error that says so")
    said, rc = send(d, p, "KILL", "auto")
    tap.ok(rc == 0 and "by the kernel module" not in said and g.gone(p, 9), "auto goes from outside then", said)
    w.stops()


if __name__ == "__main__":
    Watched(POLICY).run(signals)
