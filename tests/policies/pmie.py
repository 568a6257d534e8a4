#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Rules of ours beside the same rules in PCP's language, over the same history: pmie.py CTL DIR SEED RULES. The series become a PCP
archive, which pmie replays; it and `gpufasctl test` must find each rule true at the same times. Debian's own python3 has the module.
"""
import os
import random
import re
import subprocess
import sys

sys.dont_write_bytecode = True
import cpmapi
import promql
from pcp import pmapi, pmi

START = 1700000000


def archive(case, path):
    log = pmi.pmiLogImport(path)
    log.pmiSetHostname("test")
    log.pmiSetTimezone("UTC")
    values = {f: promql.expand(v)[:promql.STEPS] for f, v in case.host.items()}
    for field in values:
        sem = cpmapi.PM_SEM_COUNTER if field == "vm.pgscan" else cpmapi.PM_SEM_INSTANT
        log.pmiAddMetric(metric(field), cpmapi.PM_ID_NULL, cpmapi.PM_TYPE_DOUBLE, cpmapi.PM_INDOM_NULL, sem, pmapi.pmUnits(0, 0, 0, 0, 0, 0))
    for at in range(promql.STEPS):
        for field, v in values.items():
            log.pmiPutValue(metric(field), "", v[at])
        log.pmiWrite(START + at, 0)


def metric(field):
    return "gf." + field.replace(".", "_")


def leaf(rng, span):
    """Of the last span samples, each: "@0..span-1"."""
    at = f" @0..{span - 1}" if span else ""
    field, op, k = rng.choice(promql.HOST), rng.choice(["<", ">", "<=", ">=", "==", "!="]), rng.randint(2, 15)
    if not span and rng.random() < 0.2:
        k = rng.randint(1, 7)
        return f"rate(vm.pgscan, 1s) > {k}/s", f"{metric('vm.pgscan')} > {k}", 1
    if not span and rng.random() < 0.3:
        kind, w = rng.choice(["avg", "min", "max"]), rng.randint(2, 6)
        op = rng.choice("<>")
        return f"{kind}({field}, {w}s) {op} {k}", f"({kind}_sample {metric(field)} @0..{w - 1}) {op} {k}", w
    if rng.random() < 0.4:
        other, sign = rng.choice(promql.HOST), rng.choice("+-*")
        return f"({field} {sign} {other}) {op} {k}", f"({metric(field)}{at} {sign} {metric(other)}{at}) {op} {k}", 0
    return f"{field} {op} {k}", f"{metric(field)}{at} {op} {k}", 0


def condition(rng, depth, span):
    if depth == 0 or rng.random() < 0.2:
        return leaf(rng, span)
    a, b = condition(rng, depth - 1, span), condition(rng, depth - 1, span)
    kind, from_s = rng.random(), max(a[2], b[2])
    if kind < 0.2:
        return f"not ({a[0]})", f"(! ({a[1]}))", a[2]
    word, sign = ("and", "&&") if kind < 0.6 else ("or", "||")
    return f"({a[0]} {word} {b[0]})", f"(({a[1]}) {sign} ({b[1]}))", from_s


def make(rng, n):
    """Rules as promql.Case has them: name, ours, theirs, from which second both are known."""
    out = []
    for i in range(n):
        span = rng.choice([0, 0, 0, 2, 3, 5])
        ours, theirs, from_s = condition(rng, rng.randint(0, 2), span)
        hold = f" for {span} periods" if span else ""
        out.append((f"c0r{i}", f'rule c0r{i} if {ours}{hold} then notify "x"\n', f"c0r{i} = {f'all_sample ({theirs})' if span else theirs};\n", from_s))
    return out


def pmie(rules, path, directory):
    with open(f"{directory}/rules.pmie", "w") as f:
        f.writelines(r[2] for r in rules)
    if os.environ.get("LIE"):
        with open(f"{directory}/rules.pmie", "a") as f:
            f.write(f"{rules[0][0]}x = 1 > 0;\n")
    out = subprocess.run(["pmie", "-a", path, "-Z", "UTC", "-t", "1sec", "-v", "-c", f"{directory}/rules.pmie"], capture_output=True, text=True)
    got = {}
    for name, h, m, s, value in re.findall(r"^(c0r\d+x?) \(\w+ \w+ +\d+ (\d+):(\d+):(\d+) \d+\): (\w+)", out.stdout, re.M):
        at = int(h) * 3600 + int(m) * 60 + int(s) - START % 86400
        got.setdefault(name, {})[at] = value == "true"
    return got, out.stderr


def main():
    ctl, directory, seed, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    rng = random.Random(seed)
    case = promql.Case(rng, 0)
    while case.gaps:
        case = promql.Case(rng, 0)
    case.rules = make(rng, count)
    refused = promql.compiles(ctl, case, directory)
    ours, err = promql.ours(ctl, [case.write(directory)])
    archive(case, f"{directory}/a")
    theirs, said = pmie(case.rules, f"{directory}/a", directory)
    wrong = compared = fired = 0
    for name, text, pcp, from_s in case.rules + ([(case.rules[0][0] + "x", "(not the same)\n", "", 0)] if os.environ.get("LIE") else []):
        row = ours.get(name, [0] * promql.STEPS)
        fired += any(row)
        seconds = [at for at in range(from_s, promql.STEPS) if at in theirs.get(name, {})]
        compared += len(seconds)
        bad = [at for at in seconds if bool(row[at]) != theirs[name][at]]
        if bad or len(seconds) < promql.STEPS - from_s - 1:
            wrong += 1
            print(f"{text}{pcp}  differ at {bad[:10]} s; {len(seconds)} compared")
    print(f"seed {seed}: {len(case.rules)} rules, {compared} samples; {fired} were true at some time, {refused} refused by the compiler, {wrong} differ")
    print(err if err else said if wrong else "", end="")
    return 1 if wrong or err or fired * 3 < len(case.rules) else 0


if __name__ == "__main__":
    sys.exit(main())
