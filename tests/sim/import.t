#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 180
# Import: histories of atop and pidstat that are made here, beside /proc; logs of other versions and of other tools, by their values.
. tests/sim/lib.sh

imports() { # imports KIND FILE NAME: its samples are in $d/NAME.jsonl then
	"$ctl" import --from "$1" -o "$d/$3.gft" --force "$2" >"$d/$3.out" 2>&1
	local rc=$?
	"$ctl" trace --dump "$d/$3.gft" >"$d/$3.jsonl" 2>/dev/null
	return $rc
}

# ---- real ones ------------------------------------------------------------------------
make_real() {
	"$B/tests/helpers/cpuhog" >/dev/null 2>&1 &
	cpu=$!
	"$B/tests/helpers/memhog" --rate 20 --limit 400 >/dev/null 2>&1 &
	mem=$!
	pids+=("$cpu" "$mem")
	python3 - "$cpu" "$mem" >"$d/proc.jsonl" <<-'P' &
		import json, os, sys, time
		tick = os.sysconf("SC_CLK_TCK")
		while True:
		    out = {"time": time.time()}
		    for pid in sys.argv[1:]:
		        try:
		            s = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
		        except OSError:
		            sys.exit()
		        out[pid] = {"ticks": int(s[11]) + int(s[12]), "minflt": int(s[7]), "vsz": int(s[20]), "rss": int(s[21]) * 4096}
		    print(json.dumps(out), flush=True)
		    time.sleep(0.1)
	P
	pids+=($!)
	[ -z "$with_pidstat" ] || pidstat -h -H -p ALL -u -r -d -v 1 6 >"$d/pidstat" 2>/dev/null &
	local p=$!
	if [ -n "$with_atop" ]; then atop -a -w "$d/raw" 1 6 >/dev/null 2>&1; else sleep 6; fi
	[ -z "$with_pidstat" ] || wait "$p"
}
with_atop='' with_pidstat=''
command -v atop >/dev/null 2>&1 && with_atop=1
command -v pidstat >/dev/null 2>&1 && with_pidstat=1
[ -z "$with_atop$with_pidstat" ] || make_real

# What was imported of the two hogs is between what /proc showed just before and just after.
cat >"$d/beside.py" <<'P'
import datetime, json, sys
got = [json.loads(l) for l in open(sys.argv[1])]
proc = [json.loads(l) for l in open(sys.argv[2])]
what = sys.argv[3].split(",")
cpu, mem = sys.argv[4:6]
bounds = {"rss": 2 << 20, "vsz": 0, "minflt": 0}
checked = 0
base = {}
if len(got) < 4:
    print(f"{len(got)} samples")
for s in got:
    at = datetime.datetime.fromisoformat(s["time"][:19] + "+00:00").timestamp()
    # a log says the second, not when in it: all that was seen in the seconds around it
    if proc[0]["time"] > at - 1.5 or proc[-1]["time"] < at + 1.5:
        continue
    near = [p for p in proc if at - 1.5 <= p["time"] <= at + 2.5]
    tasks = {str(t["pid"]): t for t in s["tasks"]}
    for pid in (cpu, mem):
        t, ps = tasks.get(pid), [p[pid] for p in near if pid in p]
        if not t or len(ps) < 10:
            continue
        for k in what:
            if k == "cputime":
                v, lo, hi = t[k] / 1e7, min(p["ticks"] for p in ps), max(p["ticks"] for p in ps)
            else:
                v, lo, hi = t[k], min(p[k] for p in ps) - bounds[k], max(p[k] for p in ps) + bounds[k]
            if "--rates" in sys.argv and k in ("cputime", "minflt"):
                # a tool of rates: what is added up from its first sample on
                base.setdefault((pid, k), (v, lo, hi))
                b = base[pid, k]
                v, lo, hi = v - b[0], lo - b[2] - 2, hi - b[1] + 2
            checked += 1
            if not lo - 1 <= v <= hi + 1:
                print(f"{k} of {pid} at {s['time']} is {v}, /proc had {lo} to {hi}")
if checked < 6:
    print(f"only {checked} values could be compared")
P

if [ -n "$with_atop" ]; then
	atop -r "$d/raw" -P CPU,CPL,MEM,SWP,PAG,PSI,PRG,PRC,PRM,PRD >"$d/atop.P" 2>/dev/null
	atop -r "$d/raw" -J CPU,CPL,MEM,SWP,PAG,PSI,PRG,PRC,PRM,PRD >"$d/atop.J" 2>/dev/null
	imports atop "$d/atop.P" P
	is "atop -P is imported" "$?" 0
	imports atop "$d/atop.J" J
	is "atop -J is imported" "$?" 0
	says "values of atop -P are /proc's" python3 "$d/beside.py" "$d/P.jsonl" "$d/proc.jsonl" rss,vsz,minflt,cputime "$cpu" "$mem"
	says "values of atop -J are /proc's" python3 "$d/beside.py" "$d/J.jsonl" "$d/proc.jsonl" rss,vsz,minflt,cputime "$cpu" "$mem"
	cat >"$d/same.py" <<-'P'
		import json, sys
		a, b = ([json.loads(l) for l in open(f)] for f in sys.argv[1:3])
		cut = {"policy", "cmdline"}  # not in JSON; cut there at 128 bytes
		if len(a) != len(b): print(len(a), len(b))
		for x, y in zip(a, b):
		    for k in set(x["host"]) | set(y["host"]):
		        u, v = x["host"].get(k), y["host"].get(k)
		        if u != v: print(k, u, v)
		    u, v = ({t["pid"]: {k: w for k, w in t.items() if k not in cut} for t in s["tasks"]} for s in (x, y))
		    for p in set(u) | set(v):
		        if u.get(p) != v.get(p):
		            print(p, [(k, u[p][k], v[p].get(k)) for k in u.get(p, {}) if p in v and u[p][k] != v[p].get(k)] or "missing")
	P
	says "-P and -J say the same" python3 "$d/same.py" "$d/P.jsonl" "$d/J.jsonl"
	says "memory of the host is /proc's" python3 -c '
import json, sys
s = [json.loads(l) for l in open(sys.argv[1])][-1]
mem = {l.split(":")[0]: int(l.split()[1]) * 1024 for l in open("/proc/meminfo")}
if s["host"]["mem.total"] != mem["MemTotal"]: print("mem.total", s["host"]["mem.total"], mem["MemTotal"])
if abs(s["host"]["mem.free"] - mem["MemFree"]) > mem["MemTotal"] // 4: print("mem.free", s["host"]["mem.free"], mem["MemFree"])
if abs(s["host"]["uptime"] / 1e9 - float(open("/proc/uptime").read().split()[0])) > 30: print("uptime", s["host"]["uptime"])' "$d/P.jsonl"
	out=$("$ctl" import --from atop -o "$d/x.gft" "$d/raw" 2>&1)
	has "atop's own log: how to go on" "$out" "atop -r FILE -P "
else
	for t in "atop -P is imported" "atop -J is imported" "values of atop -P are /proc's" "values of atop -J are /proc's" "-P and -J say the same" \
		"memory of the host is /proc's" "atop's own log: how to go on"; do skip "$t" "there is no atop"; done
fi
if [ -n "$with_pidstat" ]; then
	imports pidstat "$d/pidstat" p
	is "pidstat is imported" "$?" 0
	says "values of pidstat are /proc's" python3 "$d/beside.py" "$d/p.jsonl" "$d/proc.jsonl" rss,vsz,minflt,cputime "$cpu" "$mem" --rates
else
	for t in "pidstat is imported" "values of pidstat are /proc's"; do skip "$t" "there is no pidstat (sysstat)"; done
fi
for p in "${pids[@]}"; do kill -9 "$p" 2>/dev/null; done

# ---- known ones -------------------------------------------------------------------------
field() { # field FILE SAMPLE EXPRESSION: of s (the sample) and t (its processes by pid)
	python3 -c '
import json, sys
s = [json.loads(l) for l in open(sys.argv[1])][int(sys.argv[2])]
t, h = {x["pid"]: x for x in s["tasks"]}, s["host"]
print(eval(sys.argv[3]))' "$@"
}

# atop 2.12, whose lines have more columns at their ends, and available memory
cat >"$d/new.P" <<'A'
RESET
CPU web 1795746000 2026/11/27 02:20:00 1000 100 4 100 200 10 40000 30 5 15 7 0 2400 100 0 0
MEM web 1795746000 2026/11/27 02:20:00 1000 4096 1000000 200000 300000 5000 40000 77 20000 0 900 0 0 2097152 0 0 0 0 0 1 2 3000 1073741824 0 0 650000 12345
PRG web 1795746000 2026/11/27 02:20:00 1000 1 (systemd) S 0 0 1 1 0 1795745000 (/sbin/init splash) 0 0 1 0 0 0 0 0 0 0 0 y 0 0 - - (/init.scope) 0 0
PRG web 1795746000 2026/11/27 02:20:00 1000 77 (a) S (b) R 33 33 77 3 0 1795745500 (sh -c echo (1) 2 3) 1 1 2 0 34 35 0 0 0 0 0 y 0 0 - - (/system.slice/web.service) 0 0
PRC web 1795746000 2026/11/27 02:20:00 1000 77 (a) S (b) R 100 150 50 -5 115 0 0 2 0 77 y 5 (-) 0 -3 -2 100 3
PRM web 1795746000 2026/11/27 02:20:00 1000 77 (a) S (b) R 4096 20000 10000 100 20000 10000 2500 4 8 43176 132 512 77 y 0 0 -3 -2 -3 -2
PRD web 1795746000 2026/11/27 02:20:00 1000 77 (a) S (b) R n y 10 200 5 100 0 77 n y
SEP
CPU web 1795746010 2026/11/27 02:20:10 10 100 4 1 2 0 400 0 0 0 0 0 2400 100 0 0
PRG web 1795746010 2026/11/27 02:20:10 10 1 (systemd) S 0 0 1 1 0 1795745000 (/sbin/init splash) 0 0 1 0 0 0 0 0 0 0 0 y 0 0 - - (/init.scope) 0 0
PRG web 1795746010 2026/11/27 02:20:10 10 77 (a) S (b) E 33 33 77 3 0 1795745500 (sh) 1 1 2 0 34 35 0 0 0 0 510 y 0 0 - - (-) 1795746010 0
PRC web 1795746010 2026/11/27 02:20:10 10 1 (systemd) S 100 0 0 0 120 0 0 2 0 1 y 5 (-) 0 -3 -2 100 3
SEP
A
imports atop "$d/new.P" new
is "atop 2.12: -P" "$?:$(field "$d/new.jsonl" 0 '(h["mem.available"], h["cpu.busytime"], t[77]["comm"], t[77]["cmdline"], t[77]["cgroup"], t[77]["uid"], t[77]["gid"])')" \
	"0:(2662400000, 3300000000, 'a) S (b', 'sh -c echo (1) 2 3', '/system.slice/web.service', 34, 35)"
is "and its counters" "$(field "$d/new.jsonl" 0 '(t[77]["utime"], t[77]["stime"], t[77]["rss"], t[77]["swap"], t[77]["majflt"], t[77]["read_bytes"], t[77]["write_bytes"], t[77]["nice"], t[77]["prio"], t[77]["age"])')" \
	"(1500000000, 500000000, 10240000, 524288, 4, 102400, 51200, -5, 15, 500000000000)"
is "who has ended is gone, counters go on" "$(field "$d/new.jsonl" 1 '(sorted(t), h["cpu.busytime"], s["now_ns"])')" "([1], 3330000000, 1010000000000)"

for v in 2.11.1 2.13.0; do
	for k in P J; do
		imports atop "tests/sim/data/atop-$v.$k" "real$v$k"
		is "a log of atop $v: -$k" "$?:$("$ctl" trace --json "$d/real$v$k.gft" | python3 -c 'import json, sys; t = json.load(sys.stdin)[0]; print(t["hostname"], t["samples"], "psi.io.full.avg60" in t["fields"])'):$(
			field "$d/real$v$k.jsonl" -1 '(h["mem.total"] // 1024, h["mem.available"] > 20e9, h["cpu.count"], [(x["comm"], abs(x["rss"] // 1024 - {"odd) S 1 2": 1804, "python3": 64732}.get(x["comm"], 0)) < 256, x["vsz"] // 1024, x["state"]) for x in t.values()])')" \
			"0:web1 3 True:(24684084, True, 2, [('kthreadd', True, 0, 'S'), ('odd) S 1 2', True, 2920, 'S'), ('python3', True, 67768, 'S')])"
	done
done

sed -e 's/1795746010/1795746000/' "$d/new.P" >"$d/again.P"
imports atop "$d/again.P" again
is "a second sample of the same time is refused" "$?:$(wc -l <"$d/again.jsonl"):$(grep -c "again.P:[0-9]*: its time is not after" "$d/again.out")" "1:1:4"

cat >"$d/new.J" <<'A'
{"host": "web", "timestamp": 1795746000, "elapsed": 1000, "CPU": {"hertz": 100, "nrcpu": 4, "stime": 100, "utime": 200, "ntime": 10, "itime": 1, "wtime": 30, "Itime": 5, "Stime": 15, "steal": 7}, "MEM": {"physmem": 4096000000, "freemem": 5, "availablemem": 2662400000}, "PRG": [{"pid": 77, "name": "(x)", "state": "R", "tgid": 77, "nthr": 3, "btime": "1795745500", "cmdline": "(y)", "ppid": 1, "euid": 34, "egid": 35, "isproc": 1, "cgroup": "(/a.slice)"}, {"pid": 78, "name": "(t)", "state": "R", "btime": "1795745500", "isproc": 0}], "PRC": [{"pid": 77, "utime": 150, "stime": 50, "nice": 0, "prio": 120, "isproc": 1}], "PRM": [{"pid": 77, "vmem": 20, "rmem": 10, "vswap": 0, "minflt": 1, "majflt": 2}]}
{"host": "web", "timestamp": 17957460
A
imports atop "$d/new.J" newj
is "atop -J: a line that is cut" "$?" 1
has "is named" "$(cat "$d/newj.out")" "new.J:2: column "
is "and the rest is there" "$(field "$d/newj.jsonl" 0 '(h["mem.available"], sorted(t), t[77]["utime"], t[77]["rss"], t[77]["cgroup"])')" "(2662400000, [77], 1500000000, 10240, '/a.slice')"

printf '%s\n' 'time,mem.available:MiB,psi.memory.some.avg10,pid,ppid,comm,rss:KiB,cputime,state,favourite' \
	'1795746000,512,1.25,10,1,"a,""b",100,1.5,S,x' '1795746000,,,11,10,c,7,0.25,D,' '1795746001.5,256,,11,10,c,x,0.5,D,' \
	'1795746001.5,256,,11,10,c,9,0.5,D,' '"1795746002' '1795746000,1,,,,,,,,' '2026-11-27T02:20:05Z,128,2,12,1,d,1,0,R' \
	'2026-11-27T02:20:05Z,128,2,12,1,d,1,0,R,' >"$d/t.csv"
imports csv "$d/t.csv" csv
is "CSV with bad lines" "$?" 1
is "each of them is named" "$(grep -c "^$d/t.csv:[0-9]*: " "$d/csv.out"): $(sed -n 's/^.*t.csv:\([0-9]*\): .*/\1/p' "$d/csv.out" | tr '\n' ' ')" "4: 4 6 7 8 "
has "a column without a field is said" "$(cat "$d/csv.out")" "favourite"
is "CSV: the first" "$(field "$d/csv.jsonl" 0 '(h["mem.available"], h["psi.memory.some.avg10"], t[10]["comm"], t[10]["rss"], t[10]["cputime"], t[11]["state"], t[11]["ppid"])')" \
	"(536870912, 1.25, 'a,\"b', 102400, 1500000000, 'D', 10)"
is "CSV: the last" "$(field "$d/csv.jsonl" -1 '(s["time"], h["mem.available"], sorted(t))')" "('2026-11-27T02:20:05.000000000Z', 134217728, [12])"

printf '%s\n' '"Time","node_memory_MemAvailable_bytes","node_cpu_seconds_total{cpu=""0"",mode=""user""}","node_cpu_seconds_total{cpu=""1"",mode=""system""}","node_load1","node_disk_io_now"' \
	'1795746000000,5000,7.5,1.25,0.25,3' '1795746015000,6000,8.5,1.25,NaN,3' >"$d/wide.csv"
{ printf '\xef\xbb\xbf'; cat "$d/wide.csv"; } >"$d/bom.csv"
imports node-exporter "$d/bom.csv" bom
imports node-exporter "$d/wide.csv" wide
is "node exporter, wide" "$?:$(field "$d/wide.jsonl" 1 '(h["mem.available"], h["cpu.busytime"], h["cpu.count"], "load.1" in h, len(t), s["time"][:19])')" \
	"0:(6000, 9750000000, 2, False, 0, '2026-11-27T02:20:15')"
says "a byte order mark, as spreadsheets write it, is no part of the first name" cmp "$d/bom.jsonl" "$d/wide.jsonl"
printf '%s\n' 'timestamp,metric,value' '1795746000,node_load1,0.5' '1795746000,"node_cpu_seconds_total{cpu=""1"",mode=""iowait""}",77' '1795746000,node_memory_SwapTotal_bytes,100' \
	'1795746000,node_memory_SwapFree_bytes,40' '1795746015,node_load1,0.75' >"$d/long.csv"
imports node-exporter "$d/long.csv" long
is "node exporter, long" "$?:$(field "$d/long.jsonl" 0 '(h["load.1"], h["cpu.iowaittime"], h["swap.used"])'):$(field "$d/long.jsonl" 1 'h["load.1"]')" "0:(0.5, 77000000000, 60):0.75"

printf '%s\n' 'timestamp,metric,value' '1795746000,"node_load1{instance=""db1:9100""}",0.5' '1795746000,"node_load1{instance=""db2:9100""}",7' >"$d/two.csv"
imports node-exporter "$d/two.csv" two
is "node exporter: of several machines the first, and its name" "$?:$(field "$d/two.jsonl" 0 'h["load.1"]'):$("$ctl" trace --json "$d/two.gft" | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["hostname"])')" \
	"0:0.5:db1:9100"
has "and that another was left out" "$(cat "$d/two.out")" 'such as node_load1{instance="db2:9100"}'

# ---- what is none -----------------------------------------------------------------------
for kind in atop pidstat node-exporter csv jsonl; do
	out=$("$ctl" import --from $kind -o "$d/no.gft" --force README.md 2>&1)
	is "$kind: another text is refused" "$?:$([ -e "$d/no.gft" ] && echo left)" "1:"
done
has "from what is none" "$("$ctl" import --from atoq -o "$d/no.gft" x 2>&1)" 'did you mean `atop`'
has "--list" "$("$ctl" import --list)" "pidstat: sysstat's"
is "--list --json" "$("$ctl" import --list --json | python3 -c 'import json, sys; print([k["name"] for k in json.load(sys.stdin) if "mem.available" in k["fields"]])')" "['atop', 'node-exporter', 'csv', 'jsonl']"
echo "1..$n"
