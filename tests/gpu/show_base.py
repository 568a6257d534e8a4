# SPDX-License-Identifier: MIT
"""
What all parts of show.py stand on: figures, guests, and gpufasd over them.
"""
import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import types

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(HERE, "..", "vm")]
from guest import BUILD, Guest, GuestError, ctl, initrd  # noqa: E402

KERNEL = {"6.1": "linux-image-cloud-amd64", "6.12": "linux-image-6.12-cloud-amd64"}
run = types.SimpleNamespace(args=None, out=None, dir=None)  # what show.py was started with; where results go; where guests and daemons live


def kernel(name="6.1"):
    return "%s/vm/%s/vmlinuz" % (BUILD, KERNEL[name])


def emit(part, what, value, unit, limit=None, least=False, **more):
    """A figure: into the files, and printed as a row of the table."""
    ok = "" if limit is None else "met" if (value >= limit if least else value <= limit) else "MISSED"
    with open(run.out + "/results.jsonl", "a") as f:
        f.write(json.dumps(dict(part=part, what=what, value=value, unit=unit, limit=limit, ok=ok, **more)) + "\n")
    goal = "" if limit is None else "at %s %g" % ("least" if least else "most", limit)
    v = "%.4g" % value if isinstance(value, float) else str(value)
    line = ("%-66s %9s %-8s %-14s %s" % (what[:66], v, unit, goal, ok)).rstrip()
    with open(run.out + "/table.txt", "a") as f:
        f.write(line + "\n")
    print(line, flush=True)


def skipped(part, why):
    with open(run.out + "/results.jsonl", "a") as f:
        f.write(json.dumps(dict(part=part, skipped=why)) + "\n")
    with open(run.out + "/table.txt", "a") as f:
        f.write("%s: skipped: %s\n" % (part, why))
    print("%s: skipped: %s" % (part, why), flush=True)


def at(v, q):
    """The value that a part q of them do not exceed."""
    v = sorted(v)
    return v[min(len(v) - 1, max(0, int(-(-q * len(v) // 1)) - 1))] if v else float("nan")


class Watch:
    """gpufasd over guests; `engine` may be cpu, gpu, or gpu with settings ("gpu blocks=4 mode=launch")."""

    made = 0

    def __init__(self, guests, policy, engine=None, period="1ms", mode="enforce", env=None, max_tasks=16384, qmp=True, least=5, shadow=None):
        Watch.made += 1
        self.dir = "%s/watch.%d" % (run.dir, Watch.made)
        os.mkdir(self.dir)
        kind, *settings = (engine or run.args.engine).split()
        self.real = kind == "gpu" and run.args.engine == "gpu"
        emulated = kind != "cpu" and run.args.engine == "emu"
        kind = self.kind = "cpu" if kind == "cpu" else "gpu"
        gpu = ", ".join("%s: %s" % tuple(s.split("=")) for s in settings)
        with open(self.dir + "/show.policy", "w") as f:
            f.write(policy)
        with open(self.dir + "/gpufas.yaml", "w") as f:
            f.write("period: %s\nmode: %s\n" % (period, mode))
            f.write("engine: {kind: %s, realtime: %s, mlock: no%s}\n" % (kind, "yes" if os.geteuid() == 0 else "no", ", gpu: {%s}" % gpu if gpu else ""))
            f.write("budget: {actions: 256, per: 1s}\naudit: {path: %s/audit.jsonl}\n" % self.dir)
            if shadow:
                with open(self.dir + "/shadow.policy", "w") as p:
                    p.write(shadow)
                f.write("shadow: {files: [%s/shadow.policy]}\n" % self.dir)
            f.write("control: {socket: %s/s, group: \"\"}\npolicy: {directories: [], files: [%s/show.policy]}\ntargets:\n" % (self.dir, self.dir))
            for g in guests:
                src = "qmp: %s" % g.qmp if qmp else "ram: {file: %s}" % g.ram
                kick = ", kick: {qtest: %s/qtest}" % g.dir if qmp else ""
                f.write("  - {name: %s, kind: vm, %s, max-tasks: %d%s}\n" % (g.name, src, max_tasks, kick))
        self.log = open(self.dir + "/log", "w")
        self.proc = subprocess.Popen([BUILD + ("/tests/gpufasd-emu" if emulated else "/gpufasd"), "-c", self.dir + "/gpufas.yaml"], stdin=subprocess.DEVNULL, stdout=self.log,
                                     stderr=self.log, env=dict(os.environ, **(env or {})))
        self.names = [g.name for g in guests]
        self.sock = self.buf = None
        self.up = False
        try:
            self.wait_up(guests, least)
            self.up = True
        except BaseException:
            self.stop()
            raise

    def wait_up(self, guests, least):
        end = time.time() + 60 + 10 * len(guests)
        while time.time() < end:
            if self.proc.poll() is not None:
                raise GuestError("gpufasd ended: " + self.tail())
            try:
                t = {x["name"]: x for x in self.status()["targets"]}
                if all(t[n].get("tasks", 0) >= least and t[n]["ticks"] > 2 for n in self.names):
                    break
            except (OSError, KeyError, ValueError):
                pass
            time.sleep(0.1)
        else:
            raise GuestError("gpufasd does not see its guests: " + self.tail())
        s = self.status()
        for e in [s["engine"]] + [t["engine"] for t in s["targets"] if isinstance(t.get("engine"), dict)]:
            if self.kind == "gpu" and e["kind"] != "gpu":
                raise GuestError("the engine is %s, not gpu: %s" % (e["kind"], e.get("why", "")))

    def tail(self, n=1500):
        return open(self.dir + "/log").read()[-n:]

    def status(self):
        """By the control socket itself, since gpufasctl takes longer to start than a tick takes."""
        if not self.sock:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(20)
            self.sock.connect(self.dir + "/s")
            self.buf = b""
        try:
            self.sock.sendall(b'{"v":1,"cmd":"status"}\n')
            while b"\n" not in self.buf:
                got = self.sock.recv(1 << 16)
                if not got:
                    raise OSError("gpufasd has closed its socket")
                self.buf += got
        except OSError:
            self.sock.close()
            self.sock = None
            raise
        line, self.buf = self.buf.split(b"\n", 1)
        return json.loads(line)["data"]

    def target(self, name=None):
        return next(t for t in self.status()["targets"] if t["name"] == (name or self.names[0]))

    def events(self):
        rc, text, _ = ctl("--socket", self.dir + "/s", "--json", "events", "--lines", "1000")
        return [json.loads(l) for l in text.splitlines() if l.startswith("{")] if rc == 0 else []

    def pid(self):
        return self.proc.pid

    def taken_over(self):
        """Figures of a GPU that are the CPU's would be worse than none."""
        try:
            s = self.status()
            e = s["engine"]
            whys = [e.get("why")] + [t["engine"].get("why") for t in s["targets"] if isinstance(t.get("engine"), dict)]
            if e["kind"] != "gpu" or e.get("takeovers"):
                emit("engine", "the CPU took over: %s" % next((w for w in whys if w), e["kind"]), e.get("takeovers", 0) or 1, "times", 0)
        except (OSError, KeyError, ValueError) as x:
            emit("engine", "gpufasd did not answer at the end: %s" % x, 1, "times", 0)

    def stop(self):
        if self.kind == "gpu" and self.up:
            if self.proc.poll() is None:
                self.taken_over()
            else:
                emit("engine", "gpufasd ended by itself with %s" % self.proc.returncode, 1, "times", 0)
        if self.sock:
            self.sock.close()
            self.sock = None
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGCONT)
            self.proc.terminate()
            try:
                self.proc.wait(20)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        shutil.copy(self.dir + "/log", "%s/watch.%d.log" % (keep(), Watch.made))
        return self.proc.returncode


def keep():
    d = os.path.join(run.dir, "logs")
    os.makedirs(d, exist_ok=True)
    return d


def threads(pid):
    """{tid: (state, ns on a CPU)} of a process of the host."""
    t = {}
    for d in glob.glob("/proc/%d/task/*" % pid):
        try:
            state = open(d + "/stat").read().rsplit(")", 1)[1].split()[0]
            try:
                ns = int(open(d + "/schedstat").read().split()[0])
            except OSError:  # a kernel without
                f = open(d + "/stat").read().rsplit(")", 1)[1].split()
                ns = (int(f[11]) + int(f[12])) * 10_000_000
            t[int(os.path.basename(d))] = (state, ns)
        except OSError:
            pass
    return t


def comm(pid, tid):
    try:
        return open("/proc/%d/task/%d/comm" % (pid, tid)).read().strip()
    except OSError:
        return "?"


def initramfs():
    """The one that the bundle brings, or one made here."""
    have = BUILD + "/gpu/initrd"
    if os.path.exists(have):
        return have
    if not os.path.exists(run.dir + "/initrd"):
        initrd(run.dir + "/initrd")
    return run.dir + "/initrd"


class Crowd:
    """Guests that are booted at the same time, and closed together."""

    def __init__(self, *specs):
        self.guests, faults = [None] * len(specs), []
        rd = initramfs()

        def boot(i, spec):
            try:
                name, k, cpus, mib = spec
                self.guests[i] = Guest(run.dir, name, kernel(k), rd, cpus, mib)
            except Exception as e:  # said where all are waited for
                faults.append("%s: %s" % (spec[0], e))
        ts = [threading.Thread(target=boot, args=(i, s)) for i, s in enumerate(specs)]
        for t in ts:
            t.start()
        for t in ts:
            t.join()
        if faults:
            self.close()
            raise GuestError("; ".join(faults))

    def __enter__(self):
        return self.guests

    def __exit__(self, *_):
        self.close()

    def close(self):
        for g in self.guests:
            if g:
                g.close()


class Stopped:
    """All threads of the daemon are stopped, and that they were is shown."""

    def __init__(self, w):
        self.w = w
        self.on = w.real

    def __enter__(self):
        if not self.on:
            return self
        os.kill(self.w.pid(), signal.SIGSTOP)
        end = time.time() + 5
        while any(s not in "T" for s, _ in threads(self.w.pid()).values()) and time.time() < end:
            time.sleep(0.01)
        self.before = threads(self.w.pid())
        self.wrong = [s for s, _ in self.before.values() if s != "T"]
        return self

    def look(self):
        if self.on:
            now = threads(self.w.pid())
            self.wrong += [s for s, _ in now.values() if s != "T"]
            self.moved = sum(now[t][1] - self.before[t][1] for t in self.before if t in now)
            self.wrong += ["a thread has come or gone"] if now.keys() != self.before.keys() else []

    def __exit__(self, *_):
        if self.on:
            self.look()
            os.kill(self.w.pid(), signal.SIGCONT)
