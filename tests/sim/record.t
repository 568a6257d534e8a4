#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Recording: what is recorded of this machine is what ps says of it; what is killed, cut or has no room left is whole up to there.
. tests/sim/lib.sh

# ---- this machine, beside ps ------------------------------------------------------
"$B/tests/helpers/memhog" --rate 1000 --limit 40 &
hog=$!
pids+=("$hog")
grown() { [ "$(ps -o rss= -p "$hog")" -gt 40000 ]; }
until_ok grown
setsid -f nice -n 7 sleep 1000 </dev/null >/dev/null 2>&1
niced= niceness=$(($(nice) + 7)) # the tests may be nice themselves
[ $niceness -le 19 ] || niceness=19
sleeps() { niced=$(pgrep -n -x sleep) && [ "$(ps -o ni= -p "$niced")" -eq $niceness ]; }
until_ok sleeps
pids+=("$niced")

out=$("$ctl" record -o "$d/a.gft" --for 1200ms -i 300ms 2>&1)
is "record ends by itself" "$?" 0
has "and says what it has" "$out" "a.gft: "
ps -o pid=,ppid=,pgid=,sess=,euid=,egid=,ni=,nlwp=,vsz=,rss=,etimes=,comm= -p "$hog,$niced,$$" >"$d/ps"
"$ctl" trace --dump "$d/a.gft" >"$d/a.jsonl"
cat >"$d/compare.py" <<'P'
import json, sys
last = [json.loads(l) for l in open(sys.argv[1])][-1]
tasks = {t["pid"]: t for t in last["tasks"]}
if len(open(sys.argv[2]).readlines()) != 3:
    print("ps has not said what they are:", open(sys.argv[2]).read())
for line in open(sys.argv[2]):
    w = line.split(None, 11)
    pid, ppid, pgid, sess, uid, gid, ni, nlwp, vsz, rss, etimes = map(int, w[:11])
    t = tasks.get(pid)
    if not t:
        print(f"pid {pid} is missing")
        continue
    want = dict(ppid=ppid, pgrp=pgid, session=sess, uid=uid, gid=gid, nice=ni, threads=nlwp, vsz=vsz * 1024, comm=w[11].strip())
    for k, v in want.items():
        if t[k] != v:
            print(f"{k} of {pid} is {t[k]}, ps says {v}")
    # what CPUs have not added up yet: 64 pages each, at most
    if abs(t["rss"] - rss * 1024) > 2 << 20:
        print(f"rss of {pid} is {t['rss']}, ps says {rss * 1024}")
    if abs(t["age"] / 1e9 - etimes) > 5:
        print(f"age of {pid} is {t['age'] / 1e9}, ps says {etimes}")
mem = {l.split(":")[0]: int(l.split()[1]) * 1024 for l in open("/proc/meminfo")}
if last["host"]["mem.total"] != mem["MemTotal"]:
    print("mem.total is not /proc's")
ms = [json.loads(l)["now_ns"] for l in open(sys.argv[1])]
if len(ms) < 2 or any(b <= a for a, b in zip(ms, ms[1:])):
    print(f"times are {ms}")
P
says "values are those that ps shows" python3 "$d/compare.py" "$d/a.jsonl" "$d/ps"

# ---- what is in it ----------------------------------------------------------------
got=$("$ctl" trace --json "$d/a.gft")
is "trace reads it" "$?" 0
says "trace says what it is" python3 -c '
import json, sys
t = json.loads(sys.argv[1])[0]
for ok, what in [(t["finished"], "finished"), (t["samples"] == 5, "samples"), (t["kind"] == "host", "kind"), (t["interval_s"] == 0.3, "interval"),
                 ("rss" in t["fields"] and "mem.available" in t["fields"] and "cmdline" in t["fields"], "fields"), (not t["cut"], "cut")]:
    if not ok: print(what, t)' "$got"
"$ctl" import --from jsonl -o "$d/b.gft" "$d/a.jsonl" >/dev/null && "$ctl" trace --dump "$d/b.gft" >"$d/b.jsonl"
says "to JSON and back nothing changes" cmp "$d/a.jsonl" "$d/b.jsonl"
"$ctl" record -o "$d/few.gft" --for 100ms --fields rss,psi 2>/dev/null >&2
is "only the fields that are asked for" "$("$ctl" trace --json "$d/few.gft" | python3 -c '
import json, sys
print(*[f for f in json.load(sys.stdin)[0]["fields"] if not f.startswith("psi.")])')" "rss comm"

# ---- kernel paths, which only guests have ----------------------------------------------
cat >"$d/p.csv" <<'C'
time,pid,comm,rss:MiB,task->mm->map_count,task->signal->oom_score_adj
1795746000,10,java,100,50,-17
1795746000,11,sh,1,20,
1795746001,10,java,100,70000,-17
1795746001,11,sh,1,20,
1795746002,10,java,100,70001,-17
1795746002,11,sh,1,20,5
C
echo 'rule maps if task->mm->map_count > 60000 and task->signal->oom_score_adj < 0 for 1s then SIGTERM it cooldown 1h' >"$d/maps.policy"
"$ctl" import --from csv -o "$d/p.gft" "$d/p.csv" >/dev/null && "$ctl" trace --dump "$d/p.gft" >"$d/p.jsonl"
"$ctl" import --from jsonl -o "$d/q.gft" "$d/p.jsonl" >/dev/null && "$ctl" trace --dump "$d/q.gft" >"$d/q.jsonl"
says "kernel paths are there and back, too" cmp "$d/p.jsonl" "$d/q.jsonl"
is "with their values" "$(python3 -c '
import json, sys
print([[t["task->mm->map_count"], t["task->signal->oom_score_adj"]] for l in sys.stdin for t in json.loads(l)["tasks"]])' <"$d/q.jsonl")" \
	"[[50, -17], [20, None], [70000, -17], [20, None], [70001, -17], [20, 5]]"
has "a rule that reads them is tried on them" "$("$ctl" simulate "$d/maps.policy" "$d/q.gft" 2>&1)" "+2s  02:20:02  maps: SIGTERM to java (pid 10): "
echo 'rule prio if task->prio > 5 for 1s then log it cooldown 1h' >"$d/prio.policy"
out=$("$ctl" simulate "$d/prio.policy" "$d/q.gft" 2>&1)
is "one that is not there is named" "$?:$(grep -c 'the recording lacks task->prio' <<<"$out")" "1:1"
out=$("$ctl" record -o "$d/x.gft" --paths 'task->prio' 2>&1)
is "of this machine there are none" "$?:${out:0:49}" "2:gpufasctl: kernel paths are recorded of guests: n"
out=$("$ctl" record --target web -o "$d/x.gft" --paths task- 2>&1)
has "an arrow that the shell has taken" "$out" "quote it"

# ---- a recording of version 1, written by a program of its time -----------------------------
"$ctl" import --from csv -o "$d/now.gft" tests/sim/data/v1.csv >/dev/null && "$ctl" trace --dump "$d/now.gft" >"$d/now.jsonl"
"$ctl" trace --dump tests/sim/data/v1.gft >"$d/v1.jsonl"
is "it is of version 1" "$("$ctl" trace --json tests/sim/data/v1.gft "$d/now.gft" | grep -c '"version": [12],')$(od -An -tu4 -j8 -N4 tests/sim/data/v1.gft)" "2          1"
is "it has samples" "$(wc -l <"$d/v1.jsonl")" 16
says "what is in it is what a recording of today has of the same input" cmp "$d/v1.jsonl" "$d/now.jsonl"

# ---- what its bytes are for ------------------------------------------------------------
"$ctl" trace --sizes --json "$d/a.gft" tests/sim/data/v1.gft >"$d/sizes.json"
is "trace --sizes" "$?" 0
cat >"$d/sizes.py" <<'P'
import json, os, sys
files = json.load(open(sys.argv[1]))
for t in files:
    parts, total, size = t["fields"], t["bytes"], os.stat(t["file"]).st_size
    dumped = [json.loads(l) for l in os.popen("%s trace --dump %s" % (sys.argv[2], t["file"]))]
    rows = [{(p["pid"], p["start_ns"]) for p in s["tasks"]} for s in dumped]
    come = sum(len(b - a) for a, b in zip(rows, rows[1:]))
    want = {"samples": len(dumped), "key_samples": 1, "key_rows": len(rows[0]), "comings": come, "goings": sum(len(a - b) for a, b in zip(rows, rows[1:])),
            "staying": sum(map(len, rows)) - len(rows[0]) - come}
    for k, v in want.items():
        if t[k] != v:
            print(t["file"], k, t[k], "the samples say", v)
    if abs(sum(c["stored"] for c in total.values()) - size) > 1:
        print("classes add up to", sum(c["stored"] for c in total.values()), "of", size)
    for c in total:
        if abs(sum(p[c]["unpacked"] for p in parts) - total[c]["unpacked"]) > 0:
            print("fields of", c, "do not add up")
    each = (total["staying"]["stored"] + total["key_samples"]["stored"]) / (t["staying"] + t["key_rows"])
    if abs(each - t["steady_bytes"]) > 1e-9 or not 0 <= t["changed"] <= t["staying"]:
        print("steady_bytes", t["steady_bytes"], each, t["changed"])
    if {p["name"] for p in parts if p["name"] in ("rss", "cmdline", "utime")} != {"rss", "cmdline", "utime"}:
        print("fields are missing")
# by hand: rss of v1.csv stays the same for those that sleep, and changes of the others are two bytes at most, in most samples
v1 = next(p for p in files[1]["fields"] if p["name"] == "rss")
if not 10 <= v1["staying"]["unpacked"] <= 16 * (1 + 2 * 3):
    print("rss takes", v1)
P
says "it adds up to the file, and counts what the samples have" python3 "$d/sizes.py" "$d/sizes.json" "$ctl"
out=$("$ctl" trace --sizes "$d/a.gft")
is "for people" "$?:$(grep -c '^processes that stay  \|^BYTES IN THE FILE BY FIELD' <<<"$out")" "0:2"
out=$("$ctl" trace --sizes "$d/p.gft")
has "kernel paths are told by their names" "$out" "task->mm->map_count"
out=$("$ctl" trace --sizes --dump "$d/a.gft" 2>&1)
is "not both" "$?" 2
"$ctl" trace --sizes README.md >/dev/null 2>&1
is "of a file that is none" "$?" 1

# ---- trouble ----------------------------------------------------------------------
out=$("$ctl" record -o "$d/a.gft" --for 1s 2>&1)
is "a file that is there is not written over" "$?" 1
has "and it is said how" "$out" "--force"
out=$("$ctl" record -o "$d/x.gft" --fields rsss 2>&1)
has "a field that is none" "$out" 'did you mean `rss`'
out=$("$ctl" record --target web -o "$d/x.gft" --socket "$d/none" 2>&1)
is "no daemon" "$?" 3

"$ctl" record -o "$d/k.gft" -i 20ms >/dev/null 2>&1 &
p=$!
pids+=("$p")
some() { [ "$(stat -c %s "$d/k.gft" 2>/dev/null || echo 0)" -gt 20000 ]; }
until_ok some
"$ctl" trace --json "$d/k.gft" >"$d/k1"
is "a recording is read while it is written" "$?" 0
kill -9 "$p"
wait "$p" 2>/dev/null
got=$("$ctl" trace --json "$d/k.gft" | python3 -c 'import json, sys; t = json.load(sys.stdin)[0]; print(t["finished"], t["damaged"], t["samples"] > 3)')
is "one whose writer was killed is whole up to there" "$got" "False 0 True"

head -c 15000 "$d/k.gft" >"$d/cut.gft"
"$ctl" trace "$d/cut.gft" >"$d/cut.txt"
is "a cut is no damage" "$?" 0
has "but it is said" "$(cat "$d/cut.txt")" "it ends inside a block"
{ head -c 9000 "$d/k.gft"; printf 'XXXX'; tail -c +9005 "$d/k.gft"; } >"$d/bad.gft"
"$ctl" trace "$d/bad.gft" >"$d/bad.txt"
is "damage is" "$?" 1
has "and where it is" "$(cat "$d/bad.txt")" "is damaged at byte"
out=$("$ctl" trace README.md 2>&1)
has "another file is none" "$out" "README.md is no recording of gpufas"

(ulimit -f 24; exec "$ctl" record -o "$d/full.gft" -i 20ms --for 1min) >"$d/out" 2>&1
is "a full disk ends it" "$?" 1
has "and is said" "$(cat "$d/out")" "File too large; the "
"$ctl" trace "$d/full.gft" >/dev/null
is "what was written is there" "$?" 0
"$ctl" record -o "$d/int.gft" -i 20ms >"$d/out" 2>&1 &
p=$!
pids+=("$p")
some() { [ "$(stat -c %s "$d/int.gft" 2>/dev/null || echo 0)" -gt 5000 ]; }
until_ok some
kill -INT "$p"
wait "$p"
is "Ctrl-C finishes it" "$?:$("$ctl" trace --json "$d/int.gft" | grep -c '"finished": true')" "0:1"

# ---- the daemon's recorder -----------------------------------------------------------
cat >"$d/gpufas.yaml" <<-Y
	period: 100ms
	engine: {realtime: no, mlock: no}
	audit: {path: no}
	policy: {directories: []}
	control: {socket: $d/s, group: ""}
	recorder: {directory: $d/box/, interval: 100ms, size: 4MiB}
Y
export GPUFAS_SOCKET=$d/s
complains() { # NAME RECORDER WANT
	printf 'recorder: {directory: %s/box/, %s}\n' "$d" "$2" >"$d/bad.yaml"
	has "$1" "$("$B/gpufasd" -c "$d/bad.yaml" --check-config 2>&1)" "$3"
}
complains "a path that is none" "paths: [rss]" "this is no kernel path"
complains "paths are a list" "paths: task->mm->map_count" "recorder.paths must be a list of kernel paths"
complains "there are no others in samples of ticks" "samples: ticks, paths: [task->mm->map_count]" "recorder.paths are not in the samples of ticks"
printf 'policy: {directories: []}\nrecorder: {directory: %s/box/, paths: [task->mm->map_count]}\n' "$d" >"$d/good.yaml"
"$B/gpufasd" -c "$d/good.yaml" --check-config >/dev/null 2>&1
is "else it is right" "$?" 0
daemon() {
	"$B/gpufasd" -c "$d/gpufas.yaml" 2>"$d/log" &
	p=$!
	pids+=("$p")
	until_ok "$ctl" status
}
status() { "$ctl" status --json | python3 -c 'import json, sys; d = json.load(sys.stdin); d = d.get("status", d); r = d["recorder"]; t = r["targets"][0]; print(t["samples"], t["files"], t["error"] or "-", r["size"])'; }
samples() { read -r got _ < <(status); [ "${got:-0}" -ge 5 ]; }
daemon
until_ok samples
is "the daemon records" "$(status | cut -d' ' -f2-)" "1 - 4194304"
has "metrics tell" "$("$ctl" metrics)" 'gpufas_recorder_samples_total{target="this-machine"}'
has "status too" "$("$ctl" status)" "of 4.0 MiB in $d/box"
"$ctl" record --target this-machine -o "$d/t.gft" -i 250ms --for 3s >/dev/null 2>&1
is "a target of the daemon's is recorded" "$("$ctl" trace --json "$d/t.gft" | python3 -c 'import json, sys; t = json.load(sys.stdin)[0]; print(t["road"], t["samples"] > 2, "cmdline" in t["fields"])')" "daemon True True"
out=$("$ctl" record --target nobody -o "$d/x.gft" --for 1s 2>&1)
has "one that there is not" "$out" 'no target "nobody"'
kill -9 "$p"
wait "$p" 2>/dev/null
daemon
until_ok samples
is "another file after it was killed" "$(status | cut -d' ' -f2)" 2
kill "$p"
wait "$p"
"$ctl" trace --json "$d"/box/*.gft >"$d/box.json"
is "all of them are whole, the last is finished" "$?:$(grep -c '"finished": true' "$d/box.json")" "0:1"
echo "1..$n"
