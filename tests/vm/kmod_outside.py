#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Stands outside a guest that has the module, with nothing but its RAM's file: finds the region by its signature, reads the
task table, writes verdicts, as a GPU or a hypervisor would. kmod_outside.py RAM CONSOLE SECONDS: acts in the scenes that the
guest's console names (kmod-rescue.init), and tells what it did, a line each."""
import mmap
import os
import struct
import sys
import time

MAGIC = 0x4e4f494745524647
M64 = (1 << 64) - 1
SIGNAL, RESTART = 1, 4
SENT, EXITED, REFUSED = 1, 2, 4


def check(instance, seq, start, deadline, cookie, pid, arg, action, flags):
    h = instance
    for w in (seq, start, deadline, cookie, (pid & 0xffffffff) << 32 | arg & 0xffffffff, action << 48 | flags << 32, 0, 1):
        h = (h ^ w) * 0x9e3779b97f4a7c15 & M64
        h ^= h >> 29
    return h


class Region:
    """The region, put together from the guest's RAM. RAM below 2 GiB lies in the file where it lies in the guest."""

    def __init__(self, ram, pa):
        self.ram, self.pa = ram, pa
        self.slot = 0
        h = ram[pa:pa + 4096]
        (magic, version, _, self_pa, self.instance, size) = struct.unpack_from("<QIIQQQ", h, 0)
        if magic != MAGIC or version != 1 or self_pa != pa:
            raise ValueError("not a region")
        words = struct.unpack_from("<19I", h, 56)
        self.cpu_off, self.cpu_size, self.cpus = words[2:5]
        self.verdict_off, self.answer_off, self.slots = words[7], words[9], words[11]
        self.table_off, self.table_size, self.rec_size = words[12:15], words[15], words[16]
        chunks = words[18]
        self.chunks = [struct.unpack_from("<QQ", h, 2536 - 2048 + 16 * i) for i in range(chunks)]
        if sum(c[1] for c in self.chunks) != size:
            raise ValueError("chunks")
        self.size = size

    def at(self, off):
        for pa, n in self.chunks:
            if off < n:
                return pa + off
            off -= n
        raise ValueError("past the end")

    def read(self, off, n):
        out = b""
        while n:
            piece = min(n, 4096 - off % 4096)
            pa = self.at(off)
            out += self.ram[pa:pa + piece]
            off += piece
            n -= piece
        return out

    def u64(self, off):
        return struct.unpack("<Q", self.read(off, 8))[0]

    def alive(self):
        return struct.unpack_from("<Q", self.ram[self.pa:self.pa + 8])[0] == MAGIC and struct.unpack_from("<I", self.ram[self.pa + 44:self.pa + 48])[0] != 0

    def now(self):
        return self.u64(136)

    def passes(self):
        return self.u64(160)

    def table(self):
        """[(pid, start, comm, policy, pages in swap, flags)] of the newest whole table."""
        for _ in range(50):
            latest = struct.unpack("<I", self.read(168, 4))[0]
            if latest > 2:
                continue
            off = self.table_off[latest]
            seq = self.u64(off)
            count = struct.unpack("<I", self.read(off + 32, 4))[0]
            raw = self.read(off + self.table_size, count * self.rec_size)
            if seq & 1 or self.u64(off) != seq:
                continue
            rows = []
            for i in range(count):
                r = raw[i * self.rec_size:(i + 1) * self.rec_size]
                (start,) = struct.unpack_from("<Q", r, 0)
                (pid,) = struct.unpack_from("<i", r, 136)
                (flags,) = struct.unpack_from("<I", r, 172)
                (swapped,) = struct.unpack_from("<Q", r, 104)
                rows.append((pid, start, r[192:208].split(b"\0")[0].decode(), r[183], swapped, flags))
            return rows
        return []

    def cpu(self, i):
        """(beat, same, resched, kernel) of CPU i, boot time in ns."""
        (beat, _, same, resched, kernel) = struct.unpack("<5Q", self.read(self.cpu_off + i * self.cpu_size, 40))
        return beat, same, resched, kernel

    def put(self, off, data):
        pa = self.at(off)
        self.ram[pa:pa + len(data)] = data

    def send(self, action, pid=0, start=0, arg=0):
        """Writes a verdict as a GPU would, plain stores and its number last. (slot, seq)."""
        i, self.slot = self.slot, (self.slot + 1) % self.slots
        seq = max(self.u64(200), getattr(self, "last", 0)) + 1
        self.last = seq
        deadline = self.now() + 20 * 10 ** 9
        off = self.verdict_off + 64 * i
        c = check(self.instance, seq, start, deadline, 7, pid, arg, action, 0)
        self.put(off + 8, struct.pack("<QQQQiiHHIQ", c, start, deadline, 7, pid, arg, action, 0, 0, 0))
        self.put(off, struct.pack("<Q", seq))
        return i, seq

    def answer(self, i, seq, seconds=10):
        """(state, why, exit - at in ms) or None."""
        off = self.answer_off + 64 * i
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            a = struct.unpack("<QQQQiiHHI", self.read(off, 48))
            if a[0] == seq and a[6] != SENT:
                return a[6], a[7], (a[3] - a[2]) / 1e6 if a[3] else 0
            time.sleep(0.001)
        return None


def find(ram):
    want = struct.pack("<Q", MAGIC)
    for pa in range(0, len(ram), 4096):
        if ram[pa:pa + 8] == want:
            try:
                r = Region(ram, pa)
            except ValueError:
                continue
            if r.alive():
                return r
    return None


def say(*what):
    print(*what, flush=True)


def kill(r, rows):
    sent = [(row, r.send(SIGNAL, row[0], row[1], 9)) for row in rows]
    for row, (i, seq) in sent:
        a = r.answer(i, seq)
        if a and a[0] == EXITED:
            say("KILLED", row[2], row[0], "%.1f" % a[2])
        elif not a or a[1] not in (5, 10):  # gone, exiting
            say("NOT-KILLED", row[2], row[0], a)


def act(r, name, seen):
    """One look at the guest in scene `name`."""
    rows = r.table()
    if name in ("fifo", "lockup"):
        hogs = [x for x in rows if x[2] == "cpuhog" and x[3] == 1 and x[0] not in seen]
        if len(hogs) < (2 if name == "fifo" else 1):
            return
        if name == "lockup":
            # Only once the other CPU has been seen to schedule no more, for two seconds.
            stuck = [i for i in range(r.cpus) if r.cpu(i)[0] and r.cpu(i)[3] and r.now() - r.cpu(i)[3] > 2 * 10 ** 9]
            if not stuck:
                return
            say("STUCK", *stuck)
        kill(r, hogs)
        seen.update((x[0], 1) for x in hogs)
    elif name == "bomb":
        # Only once it has grown: then there are more with every look.
        bombs = [x for x in rows if x[2] == "forkbomb" and not x[5] & 2]
        if len(bombs) >= 30 or seen.get("grown"):
            if "grown" not in seen:
                say("GROWN", len(bombs))
            seen["grown"] = 1
            kill(r, bombs[:100])
    elif name == "swap":
        hogs = [x for x in rows if x[2] == "kmodtest" and x[4] > 1000 and x[0] not in seen]
        if len(hogs) == 2:
            kill(r, hogs)
            seen.update((x[0], 1) for x in hogs)
    elif name == "stall":
        beats = [r.cpu(i) for i in range(r.cpus)]
        if all(b[3] and r.now() - b[3] > 3 * 10 ** 9 for b in beats if b[0]) and r.now() - max(b[0] for b in beats) < 10 ** 9:
            say("STALLED", r.passes())
            r.send(RESTART)
            seen["done"] = 1
            time.sleep(2)


def main():
    path, console, limit = sys.argv[1:4]
    until = time.monotonic() + float(limit)
    while not os.path.exists(path) or not os.path.getsize(path):
        time.sleep(0.05)
    fd = os.open(path, os.O_RDWR)
    ram = mmap.mmap(fd, 0)
    r, scene, seen = None, "", {}
    while time.monotonic() < until:
        with open(console, errors="replace") as f:
            lines = [x.split() for x in f.read().splitlines() if x.startswith(("SCENE", "END", "GUEST DONE"))]
        now = lines[-1] if lines else []
        if now[:1] == ["GUEST"]:
            break
        name = now[1] if now[:1] == ["SCENE"] else ""
        if name != scene:
            scene = name
            seen = {}
        if scene and not r:
            r = find(ram)
            say("FOUND" if r else "NOTHING", scene, hex(r.pa) if r else "")
            if not r:
                break
        if scene and r and "done" not in seen:
            act(r, scene, seen)
        time.sleep(0.05)


main()
