#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""docs.py BUILD WORK: what README.md and docs/*.md say that a program can look up, as TAP: links, anchors and
pictures, names of source files, make's targets, gpufasctl's commands and options, keys of gpufas.yaml, and the README's examples with
what they print. What it cannot see: figures, output of what needs a guest or a GPU, whether a sentence is true."""
import glob
import os
import re
import subprocess
import sys

build, work = os.path.abspath(sys.argv[1]), sys.argv[2]
docs = ["README.md"] + sorted(glob.glob("docs/*.md"))
text = {f: open(f, encoding="utf-8").read() for f in docs}
count = 0


def result(name, faults):
    global count
    count += 1
    print(f"{'not ok' if faults else 'ok'} {count} - {name}")
    for f in faults:
        print("# " + f.replace("\n", "\n# "))


def run(*args, **kw):
    return subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **kw)


def lines(f):
    return enumerate(text[f].split("\n"), 1)


def anchors(f):
    out = set()
    for line in open(f, encoding="utf-8"):
        if re.match(r"#+ ", line):
            head = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", line.lstrip("#").strip()).replace("`", "").replace("*", "")
            out.add(re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-"))
    return out


def links():
    for f in docs:
        for n, line in lines(f):
            for to in re.findall(r"\]\(([^)\s]+)\)", line):
                path, _, anchor = to.partition("#")
                where = os.path.normpath(os.path.join(os.path.dirname(f), path)) if path else f
                if "://" in to:
                    continue
                if not os.path.exists(where):
                    yield f"{f}:{n}: there is no {where}"
                elif anchor and anchor not in anchors(where):
                    yield f"{f}:{n}: {where} has no heading #{anchor}"


def sources():
    """Names of files of ours in backquotes."""
    for f in docs:
        for n, line in lines(f):
            for name in re.findall(r"`((?:tests|bench|gpu|sim|policies|include|kmod|daemon|ctl|compiler|targets|grammar|man|dist|demo|mk)/[\w./*-]+)`", line):
                if not glob.glob(name) and not (name.startswith("bench/") and glob.glob(name + ".*")):
                    yield f"{f}:{n}: there is no {name}"


def targets():
    rules = "\n".join(open(m, encoding="utf-8").read() for m in ["Makefile"] + glob.glob("mk/*.mk"))
    for f in docs:
        for n, line in lines(f):
            for t in re.findall(r"(?:^    (?:sudo )?|`|&& (?:sudo )?)(?:[A-Z]+=\S+ )?make (?:[A-Z]+=\S* )*([a-z][a-z-]+)", line):
                if not re.search(rf"^(?:[\w-]+ )*{t}(?: [\w-]+)*:(?!=)", rules, re.M):
                    yield f"{f}:{n}: there is no make {t}"


def commands():
    """Commands with their options, in backquotes or as a line to be typed."""
    known, asked = {}, 0
    for f in docs:
        for n, line in lines(f):
            typed = re.findall(r"`(gpufas(?:ctl|d)[^`]*)`", line) + re.findall(r"^    (?:\$ |sudo |.*\| )?(gpufas(?:ctl|d) .*)", line)
            for cmd in typed:
                words = re.split(r"\s+(?:#|\||>|\d?>)", cmd)[0].split()
                sub = words[1] if len(words) > 1 and words[0] == "gpufasctl" else ""
                if sub.startswith("-"):
                    sub = ""
                if not re.fullmatch(r"[a-z-]*", sub):
                    continue
                key = (words[0], sub)
                if key not in known:
                    known[key] = run(f"{build}/{words[0]}", *(["help", sub] if sub else ["--help"]))
                if known[key].returncode:
                    yield f"{f}:{n}: {words[0]} has no command {sub}"
                    continue
                for opt in re.findall(r"(?<!\S)(--?[a-z][a-z-]*)", " ".join(words[1:])):
                    asked += 1
                    if not re.search(rf"(?:^|[\s,|]){opt}(?:[\s,=]|$)", known[key].stdout, re.M):
                        yield f"{f}:{n}: {words[0]} {sub} has no {opt}"
    if asked < 20:
        yield f"only {asked} options were found: the documents are written another way"


def settings():
    """`key: value` of gpufas.yaml in backquotes."""
    keys = "period|mode|engine|targets|policy|shadow|budget|last-resorts|hooks|audit|recorder|control|log"
    found = 0
    os.makedirs(f"{work}/policy.d", exist_ok=True)
    for f in docs:
        for n, line in lines(f):
            for s in re.findall(rf"`((?:{keys}): [^`…]*)`", line) + re.findall(rf"^    ((?:{keys}): (?:\[|{{)[^…]*)$", line):
                if s.startswith("mode: ") and not re.match(r"mode: (observe|enforce)", s):
                    s = f"engine: {{gpu: {{{s}}}}}"
                elif s.startswith("policy: /") or s.endswith(": no"):
                    continue
                found += 1
                with open(f"{work}/c.yaml", "w", encoding="utf-8") as out:
                    out.write(s + "\n")
                    if not s.startswith("policy:"):
                        out.write(f"policy: {{directories: [{work}/policy.d]}}\n")
                r = run(f"{build}/gpufasd", "--check-config", "-c", f"{work}/c.yaml")
                if "error: " in r.stdout:
                    yield f"{f}:{n}: {s}\n{r.stdout}"
    if found < 10:
        yield f"only {found} settings were found: the documents are written another way"


def blocks(f):
    """Indented blocks, without their indentation."""
    for b in re.findall(r"(?:^    .*\n|^\n(?=    ))+", text[f], re.M):
        yield "\n".join(line[4:] for line in b.strip("\n").split("\n")) + "\n"


def examples():
    """The README's files as it shows them, and what is printed of them."""
    for b in list(blocks("README.md")) + list(blocks("docs/testing-policies.md")):
        for start, name in (("rule first ", "first.policy"), ("rule low-memory ", "low-memory.policy"),
                            ("policy_files: [low-memory", "low-memory.yaml"), ("# low-memory.yaml", "right.yaml")):
            if b.startswith(start):
                with open(f"{work}/{name}", "w", encoding="utf-8") as out:
                    out.write(b)
    shown = 0
    for b in blocks("README.md"):
        m = re.match(r"\$ gpufasctl ((?:check|test|simulate) .*)\n", b)
        if not m:
            continue
        shown += 1
        got = run(f"{build}/gpufasctl", *m[1].split(), cwd=work, env={**os.environ, "TZ": "UTC"}).stdout
        at = 0
        for want in b[m.end():].rstrip("\n").split("\n"):
            if want in ("...", ""):
                continue
            want = want.removesuffix(" ...")
            at = got.find(want, at)
            if at < 0:
                yield f"README: gpufasctl {m[1]}: this is not printed, or not there: {want}\ngot:\n{got}"
                break
    if shown < 4:
        yield f"only {shown} examples were found in README.md"
    r = run(f"{build}/gpufasctl", "test", "right.yaml", cwd=work)
    if r.returncode or "1 passed" not in r.stdout:
        yield "docs/testing-policies.md: its first test does not pass:\n" + r.stdout


result("links, headings and pictures are there", list(links()))
result("source files that are named are there", list(sources()))
result("make has the targets that are named", list(targets()))
result("gpufasctl and gpufasd have the commands and options that are named", list(commands()))
result("settings are such as gpufasd takes", list(settings()))
result("examples print what is shown", list(examples()))
print(f"1..{count}")
