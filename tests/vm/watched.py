# SPDX-License-Identifier: MIT
"""A guest that has the kernel module, and the gpufasd that watches it from outside, for tests that are begun by kmod.sh's kmod_outside."""
import subprocess
import sys

from guest import Guest, GuestError, initrd
from rescue import Daemon, tap

CPUS = 2


class Watched:
    """main() of such a test: Watched(policy).run(what), with what(self) doing it and telling `tap`."""

    def __init__(self, policy):
        self.dir, self.kernel, self.module, before = sys.argv[1:5]
        tap.n = int(before)
        self.policy = policy
        self.guest = self.d = None

    def daemon(self, more="", also=""):
        """Begins a gpufasd; more: what else its target says, also: what else its configuration."""
        qmp = self.guest.qmp
        self.d = Daemon(self.dir, "  - {name: one, kind: vm, qmp: %s, kick: {qtest: %s/qtest}%s}\n%s" % (qmp, self.guest.dir, more, also), self.policy)
        return self.d

    def stops(self, prefix=""):
        tap.ok(self.d.stop() == 0, prefix + "gpufasd stops", self.d.tail())

    def run(self, what):
        try:
            initrd(self.dir + "/initrd.watched", [self.module])
            self.guest = Guest(self.dir, "one", self.kernel, self.dir + "/initrd.watched", CPUS, 256)
            self.guest.trouble()
            what(self)
            t = self.guest.trouble()
            tap.ok(not t, "the guest's kernel has nothing to complain of", "\n".join(t))
        except (GuestError, subprocess.TimeoutExpired, OSError, ValueError, KeyError) as e:
            tap.ok(False, "came to its end", "%s: %s\n%s" % (type(e).__name__, e, self.d.tail() if self.d else ""))
        finally:
            if self.d:
                self.d.stop()
            if self.guest:
                self.guest.close()
        tap.done()
