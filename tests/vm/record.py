# SPDX-License-Identifier: MIT
"""
Recordings of a guest: by gpufasctl from its memory, by gpufasctl through the daemon, by the daemon's own recorder. What is in
them is what the guest's own /proc says, and a policy tried on them chooses whom the daemon chose. Prints TAP.

  record.py DIR KERNEL
"""
import glob
import json
import os
import sys

from guest import LATE, Guest, Tap, ctl, initrd
from rescue import Daemon

tap = Tap()

POLICY = """
protect comm in ("guestd", "sh")
rule hog "the largest goes"
  if max(rss) > 30MiB for 300ms then SIGKILL largest where comm ~ "t-*" cooldown 1h
rule maps if comm == "t-mem" and task->mm->map_count > 1 for 300ms then notify "maps" cooldown 1h
"""


def samples(path):
    rc, out, err = ctl("trace", "--dump", path)
    return [json.loads(l) for l in out.splitlines()], err


def same(name, sample, table, pids):
    """What does not move: all of it is as ps in the guest says."""
    bad, got = [], {t["pid"]: t for t in sample["tasks"]}
    for pid in pids:
        t, want = got.get(pid), table[pid]
        if not t:
            bad.append("pid %d is missing" % pid)
            continue
        bad += ["%s of %d is %s, ps says %s" % (k, pid, t[k], want[k]) for k in ("ppid", "state", "threads", "uid", "comm") if t[k] != want[k]]
        if abs(t["rss"] - want["rss"]) > 1 << 20:
            bad.append("rss of %d is %s, ps says %s" % (pid, t["rss"], want["rss"]))
    if len(got) < len(table) - 2:
        bad.append("%d processes, ps has %d" % (len(got), len(table)))
    tap.ok(not bad, name + ": is what ps in the guest says", "\n".join(bad))


def simulated(dir, path, pid, name):
    rc, out, err = ctl("simulate", dir + "/rescue.policy", "--trace", path, "--json")
    try:
        j = json.loads(out)
        acts = [a for run in j["policies"] for a in (e["event"] for e in run["events"]) if a["kind"] == "action" and a["rule"] == "hog"]
    except (ValueError, KeyError) as e:
        tap.ok(False, name + ": a policy can be tried on it", "%s: %s %s" % (e, out[:800], err))
        return
    tap.ok(acts and acts[0].get("pid") == pid, name + ": a policy tried on it chooses the hog", json.dumps(acts)[:1500] + err)


def facts(path, name, road):
    rc, out, err = ctl("trace", "--json", path)
    t = json.loads(out)[0] if rc == 0 else {}
    tap.ok(rc == 0 and t["kind"] == "vm" and road in t["road"] and t["hostname"] != os.uname().nodename and not t["damaged"],
           name + ": says that it is of a guest", out[:600] + err)
    return t


def main():
    dir, kernel = sys.argv[1:3]
    initrd(dir + "/initrd")
    g = Guest(dir, "web", kernel, dir + "/initrd", cpus=2, mib=256, extra=("-uuid", "5b1d6c0e-0000-4000-8000-000000000001"))
    d = None
    try:
        pids = [g.settled("sleep:3"), g.settled("ignore")]
        hog = g.settled("mem:60")
        table = g.table()
        g.trouble()  # what it had to say before

        one = dir + "/outside.gft"
        rc, out, err = ctl("record", "--ram", g.qmp, "-o", one, "-i", "100ms", "--for", "2s", wait=LATE)
        tap.ok(rc == 0 and "outside.gft" in out, "a guest is recorded from outside", out + err)
        s, err = samples(one)
        if tap.ok(len(s) >= 3, "it has samples", err):
            same("from outside", s[-1], table, pids + [hog])
            tap.ok(s[-1]["host"]["mem.total"] < 256 << 20 and s[-1]["host"]["tasks.count"] >= len(table) - 2, "the host fields are the guest's",
                   s[-1]["host"])
        facts(one, "from outside", "memory")

        d = Daemon(dir, "  - {name: web, kind: vm, qmp: %s}\nrecorder: {directory: %s/box/, samples: ticks}\n" % (g.qmp, dir), POLICY, "observe")
        tap.ok(d.until(lambda: d.events(kind="action", rule="hog"), LATE), "the daemon sees the hog", d.tail())
        two = dir + "/daemon.gft"
        rc, out, err = d.ctl("record", "--target", "web", "-o", two, "-i", "250ms", "--for", "2s")
        tap.ok(rc == 0, "a guest of the daemon's is recorded through it", out + err)
        chosen = [e.get("pid") for e in d.events(kind="action", rule="hog")]
        tap.ok(chosen[:1] == [hog], "whom it would end", chosen)
        simulated(dir, one, hog, "from outside")
        s, err = samples(two)
        if tap.ok(len(s) >= 2, "it has samples", err):
            same("through the daemon", s[-1], table, pids + [hog])
        facts(two, "through the daemon", "daemon")
        simulated(dir, two, hog, "through the daemon")

        d.stop()
        three = glob.glob(dir + "/box/*.gft")
        if tap.ok(three, "the daemon's recorder has written", d.tail()):
            s, err = samples(three[0])
            same("the daemon's recorder", s[-1], table, pids + [hog])
            facts(three[0], "the daemon's recorder", "")
            simulated(dir, three[0], hog, "the daemon's recorder")
            rc, out, err = ctl("simulate", dir + "/rescue.policy", "--trace", three[0])
            tap.ok("the recording lacks task->mm->map_count" in out, "a rule on a kernel path, which is not in it, is named",
                   "%d %s%s" % (rc, out[-1500:], err))
        trouble = g.trouble()
        tap.ok(not trouble, "the guest's kernel has noticed nothing", "\n".join(trouble))
    finally:
        if d:
            d.stop()
        g.close()
    tap.done()


if __name__ == "__main__":
    main()
