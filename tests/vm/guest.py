# SPDX-License-Identifier: MIT
"""A guest in QEMU whose RAM is a file here, with guestd (guestd.c) in it, for tests from outside."""
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time

# Who is ended by a time limit still ends its guests and removes their RAM files.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

BUILD = os.environ.get("BUILD", "build")
HERE = os.path.dirname(os.path.abspath(__file__))

INIT = """#!/bin/busybox sh
/bin/busybox echo GUEST UP
/bin/busybox --install -s /bin
export PATH=/bin HOME=/
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev; mount -t tmpfs t /tmp
mkdir -p /sys/fs/cgroup; mount -t cgroup2 c /sys/fs/cgroup
for c in memory pids cpu; do echo +$c >/sys/fs/cgroup/cgroup.subtree_control; done 2>/dev/null
echo -1 >/proc/sys/kernel/sched_rt_runtime_us
echo 0 >/proc/sys/kernel/printk
[ ! -f /bin/gpufas.ko ] || insmod /bin/gpufas.ko assisted=1
[ -e /dev/ttyS1 ] || mknod /dev/ttyS1 c 4 65
while :; do guestd /dev/ttyS1; done
"""


class Tap:
    def __init__(self):
        self.n = self.failed = 0
        self.prefix = ""

    def note(self, text):
        for line in str(text).splitlines():
            print("# " + line, flush=True)

    def ok(self, good, name, why=""):
        self.n += 1
        self.failed += not good
        print("%sok %d - %s%s" % ("" if good else "not ", self.n, self.prefix, name), flush=True)
        if not good and why:
            self.note(str(why)[:2000])
        return bool(good)

    def skip(self, name, why):
        self.n += 1
        print("ok %d - %s%s # SKIP %s" % (self.n, self.prefix, name, why), flush=True)

    def done(self):
        print("1..%d" % self.n, flush=True)
        sys.exit(1 if self.failed else 0)


def initrd(path, extra=()):
    """An initramfs of busybox, guestd and what else is named."""
    root = path + ".root"
    shutil.rmtree(root, ignore_errors=True)
    for d in ("bin", "proc", "sys", "dev", "tmp", "run", "etc"):
        os.makedirs(os.path.join(root, d))
    for f in (shutil.which("busybox"), BUILD + "/tests/vm/guestd", *extra):
        shutil.copy(f, root + "/bin/")
    with open(root + "/init", "w") as f:
        f.write(INIT)
    os.chmod(root + "/init", 0o755)
    with open(path, "wb") as out:
        find = subprocess.Popen(["find", "."], cwd=root, stdout=subprocess.PIPE)
        cpio = subprocess.Popen(["cpio", "-o", "-H", "newc", "--quiet", "-R", "0:0"], cwd=root, stdin=find.stdout, stdout=subprocess.PIPE)
        subprocess.run(["gzip", "-1"], stdin=cpio.stdout, stdout=out, check=True)
    shutil.rmtree(root)


class GuestError(Exception):
    pass


# What comes is waited for. These are for machines that stand still: on a busy one a guest may not run for many seconds.
BOOTS = 3
SOON = 60.0
LATE = 240.0
STATES = dict.fromkeys(("sleep", "poll", "futex", "block", "ignore", "traced", "mem", "sleepers"), "S") | {
    "vfork": "D", "stopped": "T", "zombie": "Z", "spin": "R", "nice": "R"}


class Guest:
    """Boots; `ram` is its RAM file, `qmp` its monitor's socket. watched: somebody who watches guests waits for this one."""

    def __init__(self, dir, name, kernel, initrd, cpus=1, mib=512, machine="q35", cpu="max", backend="file", append="", extra=(), watched=False):
        self.dir = os.path.join(dir, name)
        os.makedirs(self.dir, exist_ok=True)
        self.name = name
        # One name for all that one test makes: what an earlier one that was killed has left goes with it.
        self.ram = "/dev/shm/gpufas-test.%d.%s" % (os.getpid(), name)
        self.qmp = self.dir + "/qmp"
        self.pseudo = None
        obj = "memory-backend-file,mem-path=" + self.ram if backend == "file" else "memory-backend-memfd"
        args = ["qemu-system-x86_64", "-name", name, "-accel", "tcg,thread=multi", "-cpu", cpu, "-smp", str(cpus),
                "-machine", machine + ",memory-backend=ram0", "-object", obj + ",id=ram0,share=on,size=%dM" % mib, "-m", str(mib),
                "-nodefaults", "-display", "none", "-no-reboot",
                "-serial", "file:%s/console" % self.dir,
                "-serial", "unix:%s/guestd,server=on,wait=off" % self.dir,
                "-qmp", "unix:%s,server=on,wait=off" % self.qmp,
                "-qtest", "unix:%s/qtest,server=on,wait=off" % self.dir, "-qtest-log", "/dev/null",
                "-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 panic=-1 no_timer_check " + append, *extra]
        for left in reversed(range(BOOTS)):
            self.log = []
            self.buf = b""
            self.chan = None
            with open(self.dir + "/qemu", "w") as err:
                self.proc = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=err, stderr=err)
            try:
                self.connect()
                break
            except GuestError:
                fault = self.emulator_fault(watched)
                self.close()
                if not fault or not left:
                    raise
                print("# %s is booted again: %s" % (name, fault), flush=True)
            except BaseException:
                self.close()
                raise

    def emulator_fault(self, watched):
        """What shows that gpufas had no part in it that it did not come up, or nothing (emulator-fault)."""
        return subprocess.run([HERE + "/emulator-fault", *(["--watched"] if watched else []), self.dir + "/console"],
                              stdout=subprocess.PIPE, text=True).stdout.strip()

    def connect(self):
        end = time.time() + LATE
        while time.time() < end and self.proc.poll() is None:
            try:
                self.chan = socket.socket(socket.AF_UNIX)
                self.chan.connect(self.dir + "/guestd")
                break
            except OSError:
                self.chan.close()
                time.sleep(0.05)
        if not self.want(r"^ready$", LATE):
            raise GuestError("the guest did not come up: " + self.last_words())

    def last_words(self):
        words = open(self.dir + "/qemu").read()[-500:]
        try:
            words += open(self.dir + "/console", errors="replace").read()[-1500:]
        except OSError:
            pass
        return words

    def pump(self, wait):
        r, _, _ = select.select([self.chan], [], [], wait)
        if r:
            got = self.chan.recv(1 << 16)
            if not got:
                raise GuestError("the guest has gone: " + self.last_words())
            self.buf += got
        *lines, self.buf = self.buf.split(b"\n")
        self.log += [l.decode(errors="replace").rstrip("\r") for l in lines]

    def want(self, regex, wait=SOON):
        """The first line that matches, taken out of what was said; None when the time is up."""
        end = time.time() + wait
        while True:
            for i, l in enumerate(self.log):
                m = re.search(regex, l)
                if m:
                    del self.log[i]
                    return m
            left = end - time.time()
            if left <= 0:
                return None
            self.pump(min(left, 0.05))

    def forget(self, pid):
        """What has been said of a process so far does not count any more."""
        self.pump(0)
        self.log = [l for l in self.log if not re.match(r"(sig|killed|exited|stopped|continued|cont|eagain) %d " % pid, l)]

    def ask(self, line, wait=LATE):
        """A command; (the lines of its answer, its numbers)."""
        self.chan.sendall(line.encode() + b"\n")
        end = time.time() + wait
        while time.time() < end:
            self.pump(0.05)
            for i, l in enumerate(self.log):
                if l.startswith("ok "):
                    out = [x[2:] for x in self.log[:i] if x.startswith("| ")]
                    self.log = [x for x in self.log[:i] if not x.startswith("| ")] + self.log[i + 1:]
                    return out, [int(x) for x in l.split()[1:]]
        raise GuestError("no answer to %r: %s" % (line, self.last_words()))

    def spawn(self, kind, cgroup=""):
        self.chan.sendall(("spawn %s %s" % (kind, cgroup)).strip().encode() + b"\n")
        m = self.want(r"^pid (-?\d+)$", LATE)
        if not m or int(m[1]) < 0:
            raise GuestError("cannot spawn %s: %s" % (kind, self.last_words()))
        return int(m[1])

    def kill(self, pid, sig=9):
        return self.ask("kill %d %d" % (pid, sig))[1][0]

    def gone(self, pid, sig=None, wait=SOON):
        return self.want(r"^(killed|exited) %d %s$" % (pid, r"\d+" if sig is None else sig), wait)

    def clean(self, pid):
        """Ends what is left of a process."""
        if self.kill(pid) == 0:
            self.kill(pid, signal.SIGCONT)
            self.gone(pid)

    def read(self, path):
        return self.ask("read " + path)[0]

    def write(self, path, text):
        return self.ask("write %s %s" % (path, text))[1][0]

    def settled(self, kind, cgroup=""):
        """Spawns, and waits until the guest's own /proc says that the process has become what it is to be."""
        pid = self.spawn(kind, cgroup)
        base, _, n = kind.removeprefix("h-").partition(":")
        if base == "fifo":  # nothing that the guest says would come while it runs
            time.sleep(0.3)
            return pid
        if base == "sleepers" and not self.want(r"^ready %d " % pid, LATE):
            raise GuestError("%s are not all there" % kind)
        end = time.time() + LATE
        while time.time() < end:
            r = self.table(pid).get(pid, {})
            if (r.get("comm") == "t-" + base and r["state"] in STATES.get(base, "RSD") and
                    (base not in ("spin", "nice", "sleep", "block", "ignore", "traced") or r["threads"] == int(n or 1)) and
                    (base not in ("mem", "pages") or r["rss"] >= int(n) << 20)):
                return pid
            time.sleep(0.02)
        raise GuestError("%s has not become one: %s" % (kind, r))

    def table(self, pid=""):
        """{pid: row} as the guest's own /proc has it."""
        t = {}
        for l in self.ask(("table %s" % pid).strip())[0]:
            pid, ppid, state, threads, start, utime, stime, rss, euid, comm = l.split(" ", 9)
            t[int(pid)] = dict(ppid=int(ppid), state=state, threads=int(threads), start=int(start), utime=int(utime), stime=int(stime),
                               rss=int(rss) * 4096, uid=int(euid), comm=comm)
        return t

    def trouble(self):
        """What the guest's kernel has complained of since the last time."""
        noise = re.compile(r"clocksource|TSC|tsc|hrtimer: interrupt took|perf: interrupt took|random:|sched: RT throttling|"
                           r"workqueue: .* hogged CPU|Out of memory|oom|Memory cgroup|Killed process|cgroup: fork rejected|process \d+ .* (un)?used greatest stack")
        out, oom = [], False
        for l in self.ask("log")[0]:
            # what the OOM killer, whom a limit has called, says of itself: up to the end of its trace
            oom = oom or "invoked oom-killer" in l
            if not oom and not noise.search(l):
                out.append(l)
            oom = oom and "</TASK>" not in l
        return out

    # ---- from outside ------------------------------------------------------------

    def act(self, pid, what, *, taken=False, device=""):
        """Delivers by the helper `pseudo`; what it says, as a dict. taken: of a signal that has a handler, though most end a
        process: it is followed until it has been taken. device: "device", by what a GPU without atomic operations does; "alone",
        and no host takes what it offers."""
        if self.pseudo and self.pseudo_as != (taken, device):
            self.stop_acting()
        self.pseudo_as = taken, device
        if not self.pseudo:
            self.pseudo = subprocess.Popen([BUILD + "/tests/helpers/pseudo", "--wait", "60000", *(["--taken"] if taken else []),
                                            *(["--" + device] if device else []), "--kick-qtest",
                                            self.dir + "/qtest", self.ram, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pseudo.stdin.write("%d %s\n" % (pid, what))
        self.pseudo.stdin.flush()
        line = self.pseudo.stdout.readline()
        if not line:
            raise GuestError("pseudo ended with %s" % self.pseudo.wait())
        return dict(re.findall(r"(\w+)=(\S*)", line))

    def stop_acting(self):
        if self.pseudo:
            self.pseudo.stdin.close()
            self.pseudo.wait(10)
            self.pseudo = None

    def close(self):
        try:
            self.stop_acting()
        except (OSError, subprocess.TimeoutExpired):
            self.pseudo.kill()
        if self.proc and self.proc.poll() is None:
            self.proc.kill()
        if self.proc:
            self.proc.wait()
        if self.chan:
            self.chan.close()
        try:
            os.unlink(self.ram)
        except OSError:
            pass


def ctl(*args, wait=LATE):
    """gpufasctl; (exit status, what it printed, its complaints)."""
    p = subprocess.run([BUILD + "/gpufasctl", *args], capture_output=True, text=True, timeout=wait)
    return p.returncode, p.stdout, p.stderr


def ctl_json(*args, wait=LATE):
    rc, out, err = ctl("--json", *args, wait=wait)
    if rc:
        raise GuestError("gpufasctl %s: exit status %d: %s" % (" ".join(args), rc, err))
    return json.loads(out)
