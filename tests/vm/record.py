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

from guest import LATE, Guest, ctl, initrd
from replay import replayed
from rescue import Daemon, tap

POLICY = """
protect comm in ("guestd", "sh")
rule hog "the largest goes"
  if max(rss) > 30MiB for 300ms then SIGKILL largest where comm ~ "t-*" cooldown 1h
rule maps if comm == "t-mem" and task->mm->map_count > 1 for 300ms then notify "maps" cooldown 1h
"""
OTHER = POLICY + 'rule big if comm == "t-mem" and task->mm->total_vm > 100 for 300ms then notify "big" cooldown 1h\n'
MAPS, VM, ADJ = "task->mm->map_count", "task->mm->total_vm", "task->signal->oom_score_adj"
ENDS = """
protect comm in ("guestd", "sh")
rule hog if max(rss) > 30MiB for 300ms then SIGKILL largest where comm ~ "t-*" cooldown 1s
rule spin if comm == "t-spin" and cpu > 35% for 1s then SIGTERM it then after 1s SIGKILL
rule maps if comm == "t-sleep" and task->mm->map_count > 1 for 300ms then notify "maps" cooldown 2s
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


def truth(g, pid):
    """What kernel paths must be, by the guest's own /proc."""
    return {MAPS: len([l for l in g.read("/proc/%d/maps" % pid) if "[vsyscall]" not in l]), VM: int(g.read("/proc/%d/statm" % pid)[0].split()[0]),
            ADJ: int(g.read("/proc/%d/oom_score_adj" % pid)[0])}


def paths(name, sample, want, true):
    """These kernel paths are in it, with the values that are true."""
    got = {t["pid"]: t for t in sample["tasks"]}
    bad = ["%s of %d is %s, /proc says %s" % (p, pid, got.get(pid, {}).get(p), t[p]) for pid, t in true.items() for p in want
           if got.get(pid, {}).get(p) != t[p]]
    bad += ["kthreadd's %s is %s" % (p, got[2][p]) for p in want if "->mm->" in p and got[2][p] is not None]
    tap.ok(sample.get("paths") == want and not bad, name + ": kernel paths are what /proc says", "\n".join(bad) or sample.get("paths"))


def simulated(dir, path, pid, name):
    rc, out, err = ctl("simulate", dir + "/rescue.policy", "--trace", path, "--json")
    try:
        j = json.loads(out)
        acts = [a for run in j["policies"] for a in (e["event"] for e in run["events"]) if a["kind"] == "action"]
    except (ValueError, KeyError) as e:
        tap.ok(False, name + ": a policy can be tried on it", "%s: %s %s" % (e, out[:800], err))
        return
    hogs, maps = ([a for a in acts if a["rule"] == r] for r in ("hog", "maps"))
    tap.ok(rc == 0 and hogs and hogs[0].get("pid") == pid, name + ": a policy tried on it chooses the hog", json.dumps(acts)[:1500] + err)
    tap.ok(maps, name + ": a rule that reads a kernel path fires on it", json.dumps(acts)[:1500] + err)


def facts(path, name, road):
    rc, out, err = ctl("trace", "--json", path)
    t = json.loads(out)[0] if rc == 0 else {}
    tap.ok(rc == 0 and t["kind"] == "vm" and road in t["road"] and t["hostname"] != os.uname().nodename and not t["damaged"],
           name + ": says that it is of a guest", out[:600] + err)
    return t


def by_gpu(dir, g, hog):
    """An emulated GPU samples by itself: simulated, the recording of its ticks gives what it did, event by event."""
    os.environ["RESCUE_DAEMON"] = "tests/gpufasd-emu --engine gpu"
    os.remove(dir + "/audit.jsonl")
    d = Daemon(dir, "  - {name: web, kind: vm, qmp: %s, kick: {qtest: %s/web/qtest}}\nrecorder: {directory: %s/box3/, samples: ticks}\n" %
               (g.qmp, dir, dir), ENDS)
    try:
        tap.ok(g.gone(hog, None, LATE), "GPU: the hog is ended", d.tail())
        tap.ok(g.gone(g.spawn("spin"), None, LATE), "GPU: one that computes, too", d.tail())
        d.until(lambda: d.events(kind="action", rule="maps"), LATE)
        t, rec = d.target("web"), d.json("status")["recorder"]["targets"][0]
        tap.ok(t["engine"]["kind"] == "gpu" and not t["engine"].get("takeovers") and rec["lost"] == 0, "GPU: it was the GPU, and no tick was lost",
               json.dumps([t, rec]))
    finally:
        d.stop()
    box = replayed(dir, dir + "/box3", 3, "GPU")
    if box:
        facts(box, "GPU", "ticks of the GPU")


def main():
    dir, kernel = sys.argv[1:3]
    initrd(dir + "/initrd")
    g = Guest(dir, "web", kernel, dir + "/initrd", cpus=2, mib=256, extra=("-uuid", "5b1d6c0e-0000-4000-8000-000000000001"))
    d = None
    try:
        pids = [g.settled("sleep:3"), g.settled("ignore")]
        hog = g.settled("mem:60")
        table = g.table()
        true = {pid: truth(g, pid) for pid in pids + [hog]}
        g.trouble()  # what it had to say before

        one = dir + "/outside.gft"
        with open(dir + "/maps.policy", "w") as f:
            f.write(POLICY)
        rc, out, err = ctl("record", "--ram", g.qmp, "-o", one, "-i", "100ms", "--for", "2s", "--paths", VM + "," + ADJ, dir + "/maps.policy", wait=LATE)
        tap.ok(rc == 0 and "outside.gft" in out, "a guest is recorded from outside", out + err)
        s, err = samples(one)
        if tap.ok(len(s) >= 3, "it has samples", err):
            same("from outside", s[-1], table, pids + [hog])
            paths("from outside", s[-1], [VM, ADJ, MAPS], true)
            tap.ok(s[-1]["host"]["mem.total"] < 256 << 20 and s[-1]["host"]["tasks.count"] >= len(table) - 2, "the host fields are the guest's",
                   s[-1]["host"])
        t = facts(one, "from outside", "memory")
        tap.ok(t.get("paths") == [VM, ADJ, MAPS], "trace names its kernel paths", t)
        rc, out, err = ctl("record", "--ram", g.qmp, "-o", dir + "/no.gft", "--paths", "task->mm->total_vn", "--for", "1s")
        tap.ok(rc and "total_vn" in err and "total_vm" in err, "a path that leads nowhere is an error that names the nearest", "%d %s%s" % (rc, out, err))

        d = Daemon(dir, "  - {name: web, kind: vm, qmp: %s}\nrecorder: {directory: %s/box/, samples: ticks}\n" % (g.qmp, dir), POLICY, "observe")
        tap.ok(d.until(lambda: d.events(kind="action", rule="hog"), LATE), "the daemon sees the hog", d.tail())
        rc, out, err = d.ctl("ps", "--target", "web", "-o", "pid," + VM)
        tap.ok("%d %d" % (hog, true[hog][VM]) in [" ".join(l.split()) for l in out.splitlines()], "ps shows a kernel path", out + err)
        two = dir + "/daemon.gft"
        rc, out, err = d.ctl("record", "--target", "web", "-o", two, "-i", "250ms", "--for", "2s", "--paths", ADJ)
        tap.ok(rc == 0, "a guest of the daemon's is recorded through it", out + err)
        chosen = [e.get("pid") for e in d.events(kind="action", rule="hog")]
        tap.ok(chosen[:1] == [hog], "whom it would end", chosen)
        simulated(dir, one, hog, "from outside")
        s, err = samples(two)
        if tap.ok(len(s) >= 2, "it has samples", err):
            same("through the daemon", s[-1], table, pids + [hog])
            paths("through the daemon", s[-1], [MAPS, *([VM] if VM in s[-1]["paths"] else []), ADJ], true) # ps was asked for VM a moment ago
        facts(two, "through the daemon", "daemon")
        simulated(dir, two, hog, "through the daemon")

        with open(dir + "/rescue.policy", "w") as f:
            f.write(OTHER)
        rc, out, err = d.ctl("reload")
        tap.ok(rc == 0 and d.until(lambda: d.events(kind="action", rule="big"), LATE), "the daemon has another policy, which reads one more", out + err + d.tail())
        d.stop()
        three = sorted(glob.glob(dir + "/box/*.gft"), key=os.path.getmtime)
        if tap.ok(len(three) == 2, "the daemon's recorder has written a file for each", "%s %s" % (three, d.tail())):
            for path, want in zip(three, ([MAPS], [MAPS, VM])):
                name = "the daemon's recorder, %d paths" % len(want)
                s, err = samples(path)
                same(name, s[-1], table, pids + [hog])
                paths(name, s[-1], want, true)
                facts(path, name, "")
                simulated(dir, path, hog, name)
            rc, out, err = ctl("simulate", dir + "/rescue.policy", "--trace", three[0])
            tap.ok("the recording lacks " + VM in out, "a rule on a kernel path that is not in it is named", "%d %s%s" % (rc, out[-1500:], err))
            rc, out, err = ctl("simulate", dir + "/rescue.policy", "--as-recorded", "--trace", three[0], "--trace", three[1], "--json")
            acts = [e["event"].get("rule") for run in json.loads(out)["policies"] for e in run["events"] if e["event"]["kind"] == "action"]
            tap.ok("maps" in acts and "big" in acts, "both one after the other have it", acts)
        d = Daemon(dir, "  - {name: web, kind: vm, qmp: %s}\nrecorder: {directory: %s/box2/, interval: 100ms, paths: [%s]}\n" % (g.qmp, dir, ADJ), POLICY,
                   "observe")
        d.until(lambda: d.json("status")["recorder"]["targets"][0]["samples"] > 5, LATE)
        d.stop()
        four = glob.glob(dir + "/box2/*.gft")
        if tap.ok(len(four) == 1, "a recorder with samples of its own", d.tail()):
            s, err = samples(four[0])
            same("samples of its own", s[-1], table, pids + [hog])
            paths("samples of its own", s[-1], [MAPS, ADJ], true)
        d = None
        by_gpu(dir, g, hog)
        trouble = g.trouble()
        tap.ok(not trouble, "the guest's kernel has noticed nothing", "\n".join(trouble))
    finally:
        if d:
            d.stop()
        g.close()
    tap.done()


if __name__ == "__main__":
    main()
