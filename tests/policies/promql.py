#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rules of ours beside the same rules in PromQL, over the same series.

promql.py CTL DIR SEED CASES: makes random series, and rules over them in both languages; has `gpufasctl test` say when each
rule is true and for how many processes; and has `promtool test rules` find the same. What of both languages means the same is in
docs/testing-policies.md; what does not is not made here.
"""
import json
import os
import random
import re
import subprocess
import sys

STEPS = 48       # samples in a case, one a second
HOST = ["load.1", "load.5", "load.15", "tasks.running", "tasks.blocked"]
TASK = ["threads", "fds", "oom_score", "prio"]


class Case:
    """Series, and rules in both languages over them."""

    def __init__(self, rng, number):
        self.rng, self.number, self.rules = rng, number, []
        self.gaps = rng.random() < 0.3
        self.unknown = False # whether what is being made may be unknown: PromQL has false for it
        self.host = {f: self.series() for f in HOST}
        self.host["vm.pgscan"] = self.counter()
        self.tasks = []
        self.ends = rng.random() < 0.4
        for k in range(rng.randint(1, 4)):
            starts = rng.choice([0, 0, rng.randint(1, 15)])
            ends = rng.choice([None, rng.randint(starts + 5, STEPS - 5)]) if self.ends else None
            self.tasks.append((k, starts, ends, {f: self.series() for f in TASK}))

    def series(self):
        """promtool's notation, whole numbers from 0 to 19."""
        rng, out, n = self.rng, [], 0
        while n < STEPS:
            kind, k = rng.random(), rng.randint(1, 12)
            if kind < 0.35:
                out.append(f"{rng.randint(0, 19)}x{k}")
                n += k + 1
            elif kind < 0.5:
                out.append(str(rng.randint(0, 19)))
                n += 1
            elif kind < 0.7:
                out.append(f"{rng.randint(0, 4)}+{rng.randint(1, 3)}x{k}")
                n += k + 1
            elif kind < 0.9:
                step = rng.randint(1, 2)
                out.append(f"{step * k + rng.randint(0, 6)}-{step}x{k}")
                n += k + 1
            elif self.gaps:
                out.append("_" if k < 6 else f"_x{k % 4 + 1}")
                n += 1 if k < 6 else k % 4 + 1
        return " ".join(out)

    def counter(self):
        rng, out, at, n = self.rng, [], 0, 0
        while n < STEPS:
            step, k = rng.randint(0, 9), rng.randint(2, 12)
            out.append(f"{at}+{step}x{k}")
            at += step * k
            n += k + 1
        return " ".join(out)

    def metric(self, field):
        return f"{field.replace('.', '_')}_{self.number}"

    # ---- expressions: (ours, PromQL, whether it is of tasks)

    def number_of(self, task):
        rng = self.rng
        field = rng.choice(TASK if task else HOST)
        ours, theirs = field, self.metric(field)
        kind = rng.random()
        if kind < 0.55:
            return ours, theirs
        if kind < 0.7:
            op, k = rng.choice("+-*"), rng.randint(2, 5)
            return f"({ours} {op} {k})", f"({theirs} {op} {k})"
        if kind < 0.8:
            return f"({ours} / 2)", f"({theirs} / 2)"
        other = rng.choice([f for f in (TASK if task else HOST) if f != field])
        op = rng.choice("+-*")
        return f"({ours} {op} {other})", f"({theirs} {op} {self.metric(other)})"

    def window(self):
        """Statistics over a time; of the host: 2 to 8 seconds. Known when the window is full, as ours are."""
        rng, w = self.rng, self.rng.randint(2, 8)
        self.unknown = True
        kind = rng.choice(["rate", "delta", "avg", "max", "min"])
        if kind == "rate":
            m = self.metric("vm.pgscan")
            k = rng.randint(1, 6)
            return f"rate(vm.pgscan, {w}s) > {k}/s", f"((rate({m}[{w}s]) and ({m} offset {w}s)) > {k})"
        field = rng.choice(HOST)
        m = self.metric(field)
        k = rng.randint(1, 12)
        op = rng.choice("<>")
        if kind == "delta":
            k = rng.randint(-6, 6)
            return f"delta({field}, {w}s) {op} {k}", f"((delta({m}[{w}s]) and ({m} offset {w}s)) {op} {k})"
        return f"{kind}({field}, {w}s) {op} {k}", f"(({kind}_over_time({m}[{w - 1}s999ms]) and ({m} offset {w}s)) {op} {k})"

    def over_tasks(self):
        rng = self.rng
        a, b = rng.sample(TASK, 2)
        ma, mb = self.metric(a), self.metric(b)
        k, n = rng.randint(4, 14), rng.randint(0, 2)
        kind = rng.choice(["count", "sum", "max", "any"])
        if kind == "count":
            return f"count(where {a} > {k}) > {n}", f"((count({ma} > {k}) or vector(0)) > {n})"
        if kind == "any":
            return f"any({a} > {k})", f"(count({ma} > {k}) > 0)"
        if kind == "sum":
            return f"sum({b} where {a} > {k}) > {4 * n + 3}", f"((sum({mb} and {ma} > {k}) or vector(0)) > {4 * n + 3})"
        self.unknown = True # of nobody
        return f"max({b} where {a} > {k}) > {4 * n + 3}", f"(max({mb} and {ma} > {k}) > {4 * n + 3})"

    def leaf(self, task):
        rng, kind = self.rng, self.rng.random()
        if not task and not self.gaps:
            if kind < 0.15:
                return self.window()
            if kind < 0.3:
                return self.over_tasks()
        ours, theirs = self.number_of(task)
        if kind > 0.9:
            lo = rng.randint(1, 8)
            hi = lo + rng.randint(2, 8)
            return f"{ours} between {lo} and {hi}", f"({theirs} >= {lo} and {theirs} <= {hi})"
        op = rng.choice(["<", ">", "<=", ">=", "==", "!="])
        k = rng.randint(2, 16)
        return f"{ours} {op} {k}", f"({theirs} {op} {k})"

    def comparison(self, task):
        """A task's may also be of the host."""
        host = not task or self.rng.random() < 0.25
        ours, theirs = self.leaf(not host)
        if task and host: # for each task
            theirs = f"(({self.metric('alive')} and on() {theirs}))"
        return ours, theirs

    def condition(self, task, depth):
        rng = self.rng
        if depth == 0 or rng.random() < 0.3:
            return self.comparison(task)
        before, self.unknown = self.unknown, False
        a, b = self.condition(task, depth - 1), self.condition(task, depth - 1)
        known, self.unknown = not self.unknown, self.unknown or before
        kind = rng.random()
        by = " on(pid)" if task else " on()"
        if kind < 0.15 and not self.gaps and known: # of what is not known the negation is not known, and not true
            every = self.metric("alive" if task else "up")
            return f"not ({a[0]})", f"({every} unless{by} ({a[1]}))"
        if kind < 0.6:
            return f"({a[0]} and {b[0]})", f"({a[1]} and{by} {b[1]})"
        return f"({a[0]} or {b[0]})", f"({a[1]} or{by} {b[1]})"

    def add(self):
        rng, n = self.rng, len(self.rules)
        name, task = f"c{self.number}r{n}", rng.random() < 0.5
        self.unknown = False
        # A rule of tasks reads tasks in both languages alike: a condition of the host only is one of the host.
        own = self.comparison(False) if not task else (lambda f: (f"{f} > 2", f"({self.metric(f)} > 2)"))(rng.choice(TASK))
        cond = self.condition(task, rng.randint(0, 2))
        op = rng.choice(["and", "or"])
        ours = f"({own[0]} {op} {cond[0]})"
        theirs = f"({own[1]} {op}{' on(pid)' if task else ' on()'} {cond[1]})"
        hold = rng.choice([0, 0, 1, 2, 3, 5, 8])
        keep = rng.choice([0, 0, 1, 2, 4, 6])
        head = f"    expr: {theirs}\n"
        text = f"rule {name} if {ours}"
        # Prometheus remembers an alert of a series that has ended, and we nothing of a process that is gone.
        remembers = not self.gaps and not self.unknown and not (task and self.ends)
        kind = rng.random()
        if kind < 0.15 and hold:
            text += f" for {hold} periods"
            head += f"    for: {hold - 1}s\n"
        elif kind < 0.3 and hold and remembers:
            times = max(2, hold // 2)
            within = times + rng.randint(1, 6)
            text += f" {times} times within {within}s"
            head = f"    expr: count_over_time((({theirs}) * 0 + 1)[{within - 1}s999ms:1s]) >= {times}\n"
            keep = 0
        elif hold:
            text += f" for {hold}s"
            head += f"    for: {hold}s\n"
        query = f'count(ALERTS{{alertname="{name}",alertstate="firing"}})'
        if remembers and rng.random() < 0.25:
            text, query, head = self.until(name, task, text, head)
        elif keep and remembers:
            text += f" until held(not {ours}, {keep}s)" # what Prometheus calls keep_firing_for
            head += f"    keep_firing_for: {keep}s\n"
        text += " then log each\n" if task else " then log\n"
        self.rules.append((name, text.replace("then log\n", 'then notify "x"\n'), f"  - alert: {name}\n{head}", query))

    def until(self, name, task, text, head):
        """What has become true stays so until something else is: in PromQL a recording rule that reads itself."""
        self.unknown = False
        ours, theirs = self.comparison(task)
        if self.unknown or len(theirs) == 0:
            return text, f'count(ALERTS{{alertname="{name}",alertstate="firing"}})', head
        by = "pid" if task else ""
        head += f"""  - record: latch_{name}
    expr: (max by({by}) (ALERTS{{alertname="{name}",alertstate="firing"}}) or on({by}) (latch_{name} offset 1s)) unless on({by}) {theirs}
"""
        return text + f" until {ours}", f"count(latch_{name})", head

    # ---- files

    def write(self, directory):
        base = f"{directory}/c{self.number}"
        with open(base + ".policy", "w") as f:
            f.writelines(r[1] for r in self.rules)
        with open(base + ".yaml", "w") as f:
            f.write(f"policy_files: [c{self.number}.policy]\ninterval: 1s\ntests:\n  - name: c{self.number}\n    for: {STEPS - 1}s\n")
            f.write("    strict: no\n    expect: []\n    budget: {actions: 256, per: 1s}\n    host:\n")
            f.writelines(f"      {k}: {v}\n" for k, v in self.host.items())
            f.write("    tasks:\n")
            for k, starts, ends, fields in self.tasks:
                f.write(f"      t{k}:\n        pid: {100 + k}\n        starts: {starts}s\n")
                f.write(f"        ends: {ends}s\n" if ends else "")
                f.writelines(f"        {a}: {b}\n" for a, b in fields.items())
        return base + ".yaml"

    def input_series(self):
        """The same for promtool: a gap is a stale marker, since its queries look back over what is merely missing."""
        for field, v in dict(self.host, up="1").items():
            yield self.metric(field), gaps_are_stale(expand(v)[:STEPS])
        for k, starts, ends, fields in self.tasks:
            for field, v in dict(fields, alive="1").items():
                values = ["_"] * starts + expand(v)[:STEPS - starts]
                values = gaps_are_stale(values[:ends] + ["stale"] if ends else values)
                yield f"{self.metric(field)}{{pid='{100 + k}'}}", ["_"] * starts + values[starts:]


def gaps_are_stale(values):
    return ["stale" if v == "_" else v for v in values]


def expand(series):
    """The notation, written out by hand: an oracle for ours is not to use it. After its end a series keeps its value."""
    out = []
    for item in series.split():
        body, _, times = item.partition("x")
        n = int(times) if times else 0
        if body == "_":
            out += ["_"] * (n if times else 1)
            continue
        at = max(body.find("+"), body.find("-", 1))
        first, step = (int(body[:at]), int(body[at:])) if at > 0 else (int(body), 0)
        out += [str(first + step * i) for i in range(n + 1)]
    return out + out[-1:] * max(0, STEPS - len(out))


def ours(ctl, files):
    """{rule: [count at each second]}, {rule that is refused}"""
    out = subprocess.run([ctl, "test", "--json"] + files, capture_output=True, text=True)
    got = {}
    for f in json.loads(out.stdout)["files"]:
        for t in f["tests"]:
            for s in t["true"]:
                row = got.setdefault(s["rule"], [0] * STEPS)
                for at in range(int(s["from_s"]), int(s["to_s"]) + 1):
                    row[at] = s["rows"]
    return got, out.stderr


def compiles(ctl, case, directory):
    """Leaves out rules that the compiler refuses: those that are always true, say."""
    refused, kept = 0, []
    for rule in case.rules:
        path = f"{directory}/one.policy"
        with open(path, "w") as f:
            f.write(rule[1])
        if subprocess.run([ctl, "check", path], capture_output=True).returncode == 0:
            kept.append(rule)
        else:
            refused += 1
    case.rules = kept
    return refused


def promtool(cases, got, directory):
    with open(f"{directory}/rules.yml", "w") as f:
        f.write("groups:\n- name: all\n  interval: 1s\n  rules:\n")
        for c in cases:
            f.writelines(r[2] for r in c.rules)
        if os.environ.get("LIE"): # a rule that is not the same: the comparison is to find it
            f.write('  - alert: lie\n    expr: vector(1)\n')
    with open(f"{directory}/tests.yml", "w") as f:
        f.write("rule_files: [rules.yml]\nevaluation_interval: 1s\ntests:\n- interval: 1s\n  input_series:\n")
        for c in cases:
            for name, values in c.input_series():
                f.write(f'  - {{series: "{name}", values: "{" ".join(values)}"}}\n')
        f.write("  promql_expr_test:\n")
        for c in cases:
            for name, _, _, query in c.rules:
                row = got.get(name, [0] * STEPS)
                for at in range(STEPS):
                    f.write(f"  - {{expr: '{query}', eval_time: {at}s, exp_samples: [")
                    f.write(f"{{labels: '{{}}', value: {row[at]}}}" if row[at] else "")
                    f.write("]}\n")
        if os.environ.get("LIE"):
            f.write("  - {expr: 'count(ALERTS{alertname=\"lie\"})', eval_time: 5s, exp_samples: []}\n")
    return subprocess.run(["promtool", "test", "rules", f"{directory}/tests.yml"], capture_output=True, text=True)


def main():
    ctl, directory, seed, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    rng = random.Random(seed)
    cases, refused = [], 0
    for number in range(count):
        c = Case(rng, number)
        for _ in range(4):
            c.add()
        refused += compiles(ctl, c, directory)
        if c.rules:
            cases.append(c)
    got, err = ours(ctl, [c.write(directory) for c in cases])
    if err:
        print(err)
    out = promtool(cases, got, directory)
    rules = sum(len(c.rules) for c in cases)
    fired = sum(r[0] in got for c in cases for r in c.rules)
    print(f"seed {seed}: {rules} rules over {len(cases)} machines, {STEPS} samples each; {fired} were true at some time, {refused} refused by the compiler")
    if out.returncode:
        print("\n".join(x for x in (out.stdout + out.stderr).splitlines() if x.strip())[:6000])
        for c in cases:
            for name, text, yml, _ in c.rules:
                if re.search(rf"\b(latch_)?{name}\b", out.stdout + out.stderr):
                    print(text, yml, sep="")
    # a run in which hardly anything happened would show little
    return 1 if out.returncode or err or fired * 3 < rules else 0


if __name__ == "__main__":
    sys.exit(main())
