# SPDX-License-Identifier: MIT
"""
Signals by hand into a guest: by its kernel module's mailbox and by no other road, and by the others. Run by tests/vm/kmod-signal.t;
prints TAP.

  byhand.py DIR KERNEL MODULE TESTS-BEFORE
"""
import subprocess
import sys

from guest import LATE, Guest, GuestError, initrd
from rescue import Daemon, tap

POLICY = 'rule none\n  if comm == "no-such-one"\n  then SIGKILL it\n'
TARGET = "  - {name: one, kind: vm, qmp: %s/one/qmp, kick: {qtest: %s/one/qtest}%s}\n"


def send(d, pid, sig, road):
    rc, out, err = d.ctl("signal", "one", str(pid), sig, "--road", road)
    return (out + err).strip(), rc


def main():
    dir, kernel, module = sys.argv[1:4]
    tap.n = int(sys.argv[4])
    rd = dir + "/initrd.byhand"
    initrd(rd, [module])
    g = d = None
    try:
        g = Guest(dir, "one", kernel, rd, 2, 256)
        g.trouble()
        d = Daemon(dir, TARGET % (dir, dir, ""), POLICY)
        tap.ok(d.until(lambda: "assisted: sampled and delivered to" in d.target("one").get("road", ""), LATE), "the guest's module is found", d.tail())
        p = g.settled("h-sleep")
        said, rc = send(d, p, "USR1", "mailbox")
        tap.ok(rc == 0 and "by the kernel module" in said and g.want("sig %d 10" % p), "by the mailbox", said)
        said, rc = send(d, p, "KILL", "mailbox")
        tap.ok(rc == 0 and "gone after" in said and "by the kernel module" in said and g.gone(p, 9), "one that ends it, and when it was gone", said)
        p = g.settled("h-sleep")
        said, rc = send(d, p, "USR1", "auto")
        tap.ok(rc == 0 and "by the kernel module" in said and g.want("sig %d 10" % p), "auto takes it, too", said)
        said, rc = send(d, p, "USR2", "irq-work")
        tap.ok(rc == 0 and "by the kernel's own sender" in said and g.want("sig %d 12" % p), "another road, asked for, is taken", said)
        said, rc = send(d, 1, "KILL", "mailbox")
        tap.ok(rc == 1 and "it is an init" in said, "not to pid 1", said)
        said, rc = send(d, 2, "KILL", "mailbox")
        tap.ok(rc == 1 and "it is a kernel thread" in said, "not to a kernel thread", said)
        said, rc = send(d, 30000, "KILL", "mailbox")
        tap.ok(rc == 1 and "has no such process" in said, "not to nobody", said)
        said, rc = send(d, p, "RTMIN", "mailbox")
        tap.ok(rc == 1 and "only signals 1 to 31" in said, "no real-time signals", said)
        tap.ok(d.stop() == 0, "gpufasd stops", d.tail())
        d = Daemon(dir, TARGET % (dir, dir, ", assisted: off"), POLICY)
        tap.ok(d.until(lambda: d.target("one").get("tasks", 0) > 20, LATE), "without it", d.tail())
        said, rc = send(d, p, "USR1", "mailbox")
        tap.ok(rc == 1 and "assisted: off" in said, "the mailbox is not to be used: an error that says so", said)
        said, rc = send(d, p, "KILL", "auto")
        tap.ok(rc == 0 and "by the kernel module" not in said and g.gone(p, 9), "auto goes from outside then", said)
        tap.ok(d.stop() == 0, "gpufasd stops", d.tail())
        t = g.trouble()
        tap.ok(not t, "the guest's kernel has nothing to complain of", "\n".join(t))
    except (GuestError, subprocess.TimeoutExpired, OSError, ValueError, KeyError) as e:
        tap.ok(False, "came to its end", "%s: %s\n%s" % (type(e).__name__, e, d.tail() if d else ""))
    finally:
        if d:
            d.stop()
        if g:
            g.close()
    tap.done()


if __name__ == "__main__":
    main()
