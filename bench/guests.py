#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Figures of virtual machines: how long a signal takes from the decision to the store, and from the store to the end of its
process, for each state that the process may be in; the first probe of a large guest; what looking at all of its
processes costs, against drgn. Guests are QEMU's, by emulation (TCG): where the guest has to do its part, times are
those of a slow machine.
  BENCH_ROUNDS=N   kills a state and kernel (default 40)
"""
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "vm"))
sys.dont_write_bytecode = True
from guest import BUILD, Guest, GuestError, ctl_json, initrd  # noqa: E402
from rescue import Daemon  # noqa: E402

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "40"))
KERNELS = [("6.1", "linux-image-cloud-amd64"), ("6.12", "linux-image-6.12-cloud-amd64")]
# what it is, guestd's kind, seconds until it is in that state
STATES = [
    ("computing", "spin", 0.05), ("computing, among four others", "spin", 0.1), ("nice 19, among four others", "nice", 0.1),
    ("real time, computing", "fifo", 0.05), ("16 threads, computing", "spin:16", 0.1), ("asleep", "sleep", 0.05), ("waiting for a futex", "futex", 0.05),
    ("64 threads, asleep", "sleep:64", 0.2), ("killable wait (vfork)", "vfork", 0.05), ("stopped", "stopped", 0.05),
]


def row(name, value, unit, limit=""):
    goal = "at most %s %s" % (limit, unit) if limit != "" else ""
    ok = "" if limit == "" else "met" if float(value) <= float(limit) else "MISSED"
    print("%-58s %10.3f %-8s %-18s %s" % (name, value, unit, goal, ok), flush=True)


def at(v, q):
    """The value that a part q of them do not exceed."""
    return v[min(len(v) - 1, max(0, int(-(-q * len(v) // 1)) - 1))] if v else float("nan")


def spread(v, f="%9.2f"):
    v = sorted(v)
    return " ".join(f % at(v, q) for q in (0, 0.5, 0.9, 0.99, 1))


class Deliverer:
    """The helper `pseudo`, which stores from a thread that is woken as the daemon's actuator is."""

    def __init__(self, g):
        self.p = subprocess.Popen([BUILD + "/tests/helpers/pseudo", "--thread", "--wait", "5000", "--kick-qtest", g.dir + "/qtest", g.ram, "-"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def kill(self, pid):
        self.p.stdin.write("%d 9\n" % pid)
        self.p.stdin.flush()
        line = self.p.stdout.readline()
        if not line:
            raise GuestError("pseudo has ended")
        return dict(re.findall(r"(\w+)=(\S*)", line))

    def close(self):
        self.p.stdin.close()
        self.p.wait(10)


def state(g, d, title, kind, settle):
    """Rounds of one state: (decision to store µs, CPU of that µs, exit ms, roads, how many did not end)."""
    store, cpu, gone, roads, lost = [], [], [], {}, 0
    others = [g.spawn("spin") for _ in range(4)] if "among" in title else []
    for _ in range(ROUNDS):
        pid = g.spawn(kind)
        time.sleep(settle)
        r = d.kill(pid)
        roads[r.get("road")] = roads.get(r.get("road"), 0) + 1
        store.append(float(r["store_us"]))
        cpu.append(float(r["cpu_us"]))
        if r.get("became") == "delivered" and int(r["exit_us"]) >= 0:
            gone.append(int(r["exit_us"]) / 1000)
        else:
            lost += 1
            g.kill(pid)
        if not g.gone(pid):
            lost += 1
            g.clean(pid)
    for p in others:
        g.clean(p)
    return store, cpu, gone, roads, lost


def deliveries(dir, kernels):
    every, work = [], []
    for name, kernel in kernels:
        g = Guest(dir, "deliver-" + name, kernel, dir + "/initrd", cpus=2, mib=512)
        try:
            d = Deliverer(g)
            g.trouble()  # what it says while it boots
            print("# SIGKILL, Linux %s, TCG, 2 CPUs, %d times each: from the store to exit_state, ms" % (g.read("/proc/sys/kernel/osrelease")[0], ROUNDS))
            print("# %-32s %9s %9s %9s %9s %9s  by" % ("", "min", "p50", "p90", "p99", "max"))
            for title, kind, settle in STATES:
                store, cpu, gone, roads, lost = state(g, d, title, kind, settle)
                every += store
                work += cpu
                by = ", ".join("%s %d" % x for x in sorted(roads.items()))
                print("%-34s %s  %s%s" % (title, spread(gone), by, "  %d NOT ENDED" % lost if lost else ""), flush=True)
            d.close()
            bad = g.trouble()
            if bad:
                print("the guest's kernel complains: " + bad[0])
        finally:
            g.close()
        print()
    if every:
        print("# %d deliveries, from the decision to the last store of the first try, thread to thread, µs" % len(every))
        print("# %-32s %9s %9s %9s %9s %9s" % ("", "min", "p50", "p90", "p99", "max"))
        print("%-34s %s" % ("decision to store", spread(every, "%9.1f")))
        print("%-34s %s" % ("  of it CPU of the storing thread", spread(work, "%9.1f")))
        row("decision to store, 99 of 100", at(sorted(every), 0.99), "us", 100)


def free_mib():
    m = dict(re.findall(r"(\w+): +(\d+)", open("/proc/meminfo").read()))
    s = os.statvfs("/dev/shm")
    return min(int(m["MemAvailable"]) >> 10, s.f_bavail * s.f_frsize >> 20)


def probe(dir, name, kernel):
    """Of a 4 GiB guest: as it has booted, and after all but a little of its memory has been used."""
    if free_mib() < 6144:
        print("first probe of a 4 GiB guest: not measured, only %d MiB are free for its memory" % free_mib())
        return
    g = Guest(dir, "probe", kernel, dir + "/initrd", cpus=2, mib=4096)
    try:
        for what, fill in (("just booted", 0), ("3.4 GiB of it used", 3400)):
            if fill:
                p = g.spawn("mem:%d" % fill)
                end = time.time() + 120
                while time.time() < end and g.table().get(p, {}).get("rss", 0) < fill << 20:
                    time.sleep(1)
            for how, source in (("by QMP", g.qmp), ("by its RAM file", g.ram)):
                took = []
                for _ in range(5):
                    t = time.time()
                    ctl_json("probe", source)
                    took.append((time.time() - t) * 1000)
                row("probe %s, 4 GiB guest, %s: the first" % (how, what), took[0], "ms", 1000)
                row("  and the slowest of five", max(took), "ms", 1000)
    finally:
        g.close()


def core(g, path):
    """The guest's memory as an ELF core with its VMCOREINFO, which drgn needs: the whole of it as the kernel maps it, and by
    its physical addresses. A copy: drgn cannot look at a guest that runs."""
    p = ctl_json("probe", g.ram)
    with open(g.ram, "rb") as ram:
        ram.seek(int(p["vmcoreinfo"], 16))
        head = ram.read(4096)
    size = struct.unpack("<I", head[4:8])[0]
    note = struct.pack("<III", 11, size, 0) + b"VMCOREINFO\0\0" + head[24:24 + size]
    note += b"\0" * (-len(note) % 4)
    ram_size = os.path.getsize(g.ram)
    text, end = (int(x, 16) for x in p["image"])
    loads = [(int(p["page_offset"], 16), 0, ram_size), (text, text - 0xffffffff80000000 + p["phys_base"], end - text)]
    start = 8192
    out = b"\x7fELF\2\1\1" + b"\0" * 9 + struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 0, 0, 64, 56, 1 + len(loads), 0, 0, 0)
    out += struct.pack("<IIQQQQQQ", 4, 0, 1024, 0, 0, len(note), len(note), 0)
    for va, pa, n in loads:
        out += struct.pack("<IIQQQQQQ", 1, 7, start + pa, va, pa, n, n, 4096)
    with open(path, "wb") as f:
        f.write(out.ljust(1024, b"\0") + note)
    subprocess.run(["dd", "if=" + g.ram, "of=" + path, "bs=1M", "oflag=seek_bytes", "seek=%d" % start, "conv=sparse,notrunc", "status=none"], check=True)
    with open(path, "r+b") as f:
        f.truncate(start + ram_size)


def vmlinux(release, dir):
    """The kernel with its types from Debian's package (some 280 MB): its path, or None and why not."""
    kept = "%s/vm/vmlinux-%s" % (BUILD, release)
    if os.path.exists(kept):
        return kept, ""
    if subprocess.run(["/usr/bin/python3", "-c", "import drgn"], capture_output=True).returncode:
        return None, "python3-drgn is not installed"
    if subprocess.run(["apt-get", "-q", "download", "linux-image-%s-dbg" % release], cwd=dir, capture_output=True).returncode:
        return None, "linux-image-%s-dbg cannot be fetched" % release
    subprocess.run("dpkg-deb --fsys-tarfile linux-image-*-dbg_*.deb | tar -x --wildcards './usr/lib/debug/boot/vmlinux-*'; rm -f linux-image-*-dbg_*.deb",
                   shell=True, cwd=dir)
    got = "%s/usr/lib/debug/boot/vmlinux-%s" % (dir, release)
    if not os.path.exists(got):
        return None, "linux-image-%s-dbg holds no vmlinux" % release
    shutil.move(got, kept)
    return kept, ""


def tick(dir, g):
    """The daemon's own figure of a whole tick, sampled, evaluated and selected, with all rules that are shipped."""
    text = ""
    for f in sorted(os.listdir("policies")):
        if f.endswith(".policy"):
            text += open("policies/" + f).read()
    d = Daemon(dir, "  - {name: table, kind: vm, qmp: %s}\n" % g.qmp, text, mode="observe")
    try:
        d.until(lambda: d.target("table").get("tasks", 0) > 2000, 30)
        time.sleep(10)
        t, rules = d.target("table"), d.json("status")["policy"]["rules"]
        row("one tick of a guest with %d processes, %d shipped rules" % (t["tasks"], rules), t["total_us"] / 1e3, "ms", 4)
        row("  of it sampling", t["sample_us"] / 1e3, "ms")
    finally:
        d.stop()


def table(dir, name, kernel):
    """All processes of one guest, here and by drgn."""
    n = 2000
    g = Guest(dir, "table", kernel, dir + "/initrd", cpus=2, mib=1024)
    try:
        g.spawn("sleepers:%d" % n)
        end = time.time() + 60
        while time.time() < end and len(g.table()) < n:
            time.sleep(1)
        tick(dir, g)
        r = subprocess.run([BUILD + "/tests/helpers/ramsample", g.ram, "20"], capture_output=True, text=True, timeout=120)
        m = re.search(r"\b0 failed, (\d+) live, .*best ([\d.]+) ms", r.stderr)
        print("# " + r.stderr.strip())
        if not m:
            raise GuestError("ramsample: " + r.stderr[-300:])
        row("every field of %s processes of a guest, fastest pass" % m[1], float(m[2]), "ms")
        lib, why = vmlinux(g.read("/proc/sys/kernel/osrelease")[0], dir)
        if not lib:
            print("drgn: no comparison, %s" % why)
            return
        core(g, dir + "/core")
        r = subprocess.run(["/usr/bin/python3", "bench/drgn_table.py", dir + "/core", lib, "3"], capture_output=True, text=True, timeout=300,
                           env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"})
        if r.returncode:
            print("drgn: no comparison: %s" % r.stderr.strip().splitlines()[-1:])
            return
        count, took = r.stdout.split()
        row("  drgn: nine fields of the same %s, in a copy, fastest" % count, float(took), "ms")
        row("  every field here, of drgn's nine", 100 * float(m[2]) / float(took), "%", 100)
    finally:
        g.close()
    print("LibVMI: no comparison, Debian has no package of it" if not shutil.which("vmi-process-list") else "")


def main():
    kernels = [(n, "%s/vm/%s/vmlinuz" % (BUILD, k)) for n, k in KERNELS]
    kernels = [(n, f) for n, f in kernels if os.path.exists(f)]
    missing = [t for t in ("qemu-system-x86_64", "busybox", "cpio") if not shutil.which(t)]
    missing += [t for t in ("tests/vm/guestd", "tests/helpers/pseudo", "tests/helpers/ramsample") if not os.path.exists(BUILD + "/" + t)]
    if missing or not kernels:
        print("guests: nothing is measured, there is no " + ", no ".join(missing or ["kernel in %s/vm" % BUILD]))
        return
    with tempfile.TemporaryDirectory(prefix="gpufas.") as dir:
        initrd(dir + "/initrd")
        for part in sys.argv[1:] or ["deliver", "probe", "table"]:
            if part == "deliver":
                deliveries(dir, kernels)
            elif part == "probe":
                probe(dir, *kernels[0])
            elif part == "table":
                table(dir, *kernels[0])


main()
