# SPDX-License-Identifier: MIT
"""
show.py hostile, shadow: the GPU's engine against the CPU's, over guests' memory with lies in it; and a second policy beside it.
"""
import json
import os
import shutil
import subprocess
import time

from show_base import Crowd, Watch, emit, run
from guest import BUILD, ctl
from rules import rules


class Dump:
    """A guest's memory without the guest."""

    def __init__(self, name, base):
        self.name, self.dir = name, run.dir
        self.ram = "/dev/shm/gpufas-test.%d.%s" % (os.getpid(), name)
        subprocess.run(["cp", "--sparse=always", base, self.ram] if shutil.which("cp") and "coreutils" in subprocess.run(
            ["cp", "--version"], capture_output=True, text=True).stdout else ["cp", base, self.ram], check=True)
        self.file = open(self.ram, "rb")  # who has it open is taken for a guest that stands still

    def close(self):
        self.file.close()
        os.unlink(self.ram)


# what the host's clock has no part in
STABLE = ("pid", "ppid", "comm", "uid", "state", "threads", "nice", "policy", "rss", "anon", "swap", "majflt", "oom_score_adj")


def tables(dumps, engine):
    """{name: {pid: row}} as that engine sees these dumps, and what it says of its ticks."""
    w = Watch(dumps, rules(10), engine, period="20ms", mode="observe", max_tasks=4096, qmp=False, least=0)
    try:
        time.sleep(3)
        got = {}
        for d in dumps:
            rc, text, err = ctl("--socket", w.dir + "/s", "--json", "ps", "--target", d.name)
            rows = json.loads(text) if rc == 0 else {}
            rows = rows.get("tasks", rows) if isinstance(rows, dict) else rows
            got[d.name] = {r["pid"]: {k: r.get(k) for k in STABLE} for r in rows}
        return got, {t["name"]: t for t in w.status()["targets"]}, w.status()["engine"]
    finally:
        w.stop()


def hostile():
    many, seed = (4, 1) if run.args.short else (16, int.from_bytes(os.urandom(3), "big"))
    many, seed = int(os.environ.get("HOSTILE", many)), int(os.environ.get("SEED", seed))
    dumps = []
    try:
        with Crowd(("base", "6.1", 1, 192)) as (g,):
            for kind in ("sleepers:60", "sleep:8", "spin:4", "mem:8", "stopped", "zombie", "vfork"):
                g.spawn(kind)
            time.sleep(2)
            for i in range(many):
                dumps.append(Dump("dump%d" % i, g.ram))
        said = []
        for i, d in enumerate(dumps):
            r = subprocess.run([BUILD + "/tests/helpers/spoil", d.ram, str(seed + i), str(0 if i == 0 else 3 << (i % 10))], capture_output=True, text=True)
            said.append(r.stdout.strip() or r.stderr.strip())
        cpu_rows, cpu_state, _ = tables(dumps, "cpu")
        rows, state, engine = tables(dumps, run.args.engine)
        differ = []
        for d, s in zip(dumps, said):
            a, b = cpu_rows[d.name], rows[d.name]
            bad = [p for p in a.keys() | b.keys() if a.get(p) != b.get(p)]
            # what each engine itself says of its sample: the rows above are read by gpufasctl's own sampler
            own = [(k, cpu_state[d.name].get(k), state[d.name].get(k)) for k in ("tasks", "stale") if cpu_state[d.name].get(k) != state[d.name].get(k)]
            if own:
                differ.append("%s (%s): the engines' own figures (CPU, %s): %s" % (d.name, s, run.args.engine, own))
            if bad:
                differ.append("%s (%s): %d of %d rows, first %s: %s %s" % (d.name, s, len(bad), len(a), bad[0], a.get(bad[0]), b.get(bad[0])))
        with open(run.out + "/hostile.txt", "w") as f:
            f.write("seed %d\n" % seed + "\n".join("%s: %s; CPU %d rows, %s %d rows, ticks %d, stale %s" % (
                d.name, s, len(cpu_rows[d.name]), run.args.engine, len(rows[d.name]), state[d.name]["ticks"], state[d.name].get("stale")) for d, s in zip(dumps, said)) +
                "\n" + "\n".join(differ) + "\n")
        emit("hostile", "%d spoilt guests (seed %d): processes that the %s engine counts in them" % (many, seed, run.args.engine),
             sum(t.get("tasks") or 0 for t in state.values()), "", engine=engine)
        emit("hostile", "differences to what the CPU engine counts", len(differ), "", 0)
        emit("hostile", "fewest ticks over one of them in 3 s at 20 ms", min(t["ticks"] for t in state.values()), "", 100, True)
        if differ:
            print("\n".join("FAILED: " + x[:300] for x in differ[:3]))
    finally:
        for d in dumps:
            d.close()


def shadow():
    """Beside a GPU that samples the guest by itself: what both would do, what the shadow alone would, and what it costs the GPU (nothing)."""
    active = 'rule stops if cpu > 50% for 1s then SIGSTOP it settle 1h\n'
    other = active + 'rule notes if cpu > 50% for 500ms then log it settle 1h\n'
    if run.args.engine != "cpu":  # on samples of its own it may follow paths that the policy in force does not
        other += 'rule deep if task->mm->map_count > 60000 then log\n'
    seconds = 3 if run.args.short else 10
    with Crowd(("shadow", "6.1", 2, 512)) as (g,):
        plain = []
        for second in (None, other):
            w = Watch([g], active, period="20ms", shadow=second)
            try:
                time.sleep(seconds)
                plain.append(w.target()["total_us"])
                if not second:
                    continue
                s = w.target()["shadow"]
                want = "own" if w.kind == "gpu" else "same"
                emit("shadow", "evaluated on %s samples, of 2: %s" % (want, s["samples"]), int(s["samples"] != want or bool(s["why_not"])), "wrong", 0, how=s["how"])
                emit("shadow", "its ticks in %d s at 20 ms" % seconds, s["ticks"], "", 10, True, missed=s["missed"])
                emit("shadow", "a tick of the shadow, on a CPU", s["total_us"], "us")
                p = g.spawn("spin")
                end = time.time() + 60
                while time.time() < end and not (s["agreed"] >= 1 and s["only_shadow"] >= 1):
                    time.sleep(0.5)
                    s = w.target()["shadow"]
                g.kill(p)
                emit("shadow", "acts that both came to (SIGSTOP of a hog)", s["agreed"], "", 1, True)
                emit("shadow", "acts of the shadow alone (log)", s["only_shadow"], "", 1, True, differences=s["differences"])
                emit("shadow", "acts of the policy in force alone", s["only_active"], "", 0, unseen=s["unseen"])
            finally:
                w.stop()
        emit("shadow", "a tick of the policy in force, without a shadow", plain[0], "us")
        emit("shadow", "the same beside one", plain[1], "us")
