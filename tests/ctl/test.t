#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# gpufasctl test: what is wrong with a file is said with its place; what differs is explained; results for machines.
. tests/ctl/lib.sh
data=$here/data/ptest

golden test-bad $ctl test $data/bad.yaml
golden test-unknown $ctl test $data/unknown.yaml
golden test-fails $ctl test $data/fails.yaml
golden test-coverage $ctl test --coverage --minimum 100 --run right $data/fails.yaml

is "what stopping and renicing do to who is signalled" "$($ctl test $data/stopped.yaml | tail -1)" "2 passed, 0 failed"
is "--run: only those" "$($ctl test --run 'is right$' $data/fails.yaml; echo $?)" "$data/fails.yaml
  ok    this one is right
1 passed, 0 failed, 1 not run
0"
$ctl test --run nothing $data/fails.yaml >"$work/out" 2>&1; is "--run: nothing matches" "$?" 1
$ctl test --run '(' $data/fails.yaml >"$work/out" 2>&1; is "--run: no expression" "$?$(grep -c 'regular expression' "$work/out")" 21
$ctl test --minimum 101 $data/fails.yaml >"$work/out" 2>&1; is "--minimum: no percentage" $? 2
$ctl test $data/none.yaml >"$work/out" 2>&1; is "no such file" "$?$(grep -c none.yaml "$work/out")" 11
printf 'policy_files: [%s/%s/one.policy\n' "$PWD" $data >"$work/broken.yaml"
$ctl test "$work/broken.yaml" >"$work/out" 2>&1; is "not YAML" "$?$(grep -c 'C001' "$work/out")" 11
echo 'rule x if rsss > 1GiB then log' >"$work/x.policy"
printf 'policy_files: [x.policy]\ntests: [{name: a, expect: []}]\n' >"$work/x.yaml"
$ctl test "$work/x.yaml" >"$work/out" 2>&1; is "a policy with errors" "$?$(grep -c 'x.policy:1:11: error' "$work/out")" 11

# JUnit and JSON, read by others' parsers
$ctl test --junit "$work/j.xml" --json $data/fails.yaml $data/unknown.yaml >"$work/j.json" 2>/dev/null
cat >"$work/read.py" <<'P'
import json, sys, xml.etree.ElementTree as E
s = E.parse(sys.argv[1]).getroot().findall("testsuite")
print([(x.get("tests"), x.get("failures"), x.get("errors")) for x in s])
print([(c.get("name"), c.find("failure") is not None, c.find("error") is not None) for x in s for c in x.findall("testcase")])
print("low-memory: SIGTERM to hog" in s[0].find("testcase/failure").text)
j = json.load(open(sys.argv[2]))
print(j["passed"], j["failed"], j["errors"], [t["ok"] for t in j["files"][0]["tests"]])
t = j["files"][0]["tests"][0]
print([m["line"] for m in t["missing"]], [(a["at_s"], a["action"], a["pid"], a["ok"]) for a in t["actions"]])
P
is "JUnit and JSON" "$(python3 "$work/read.py" "$work/j.xml" "$work/j.json")" "[('2', '1', '0'), ('1', '0', '1')]
[('too early, and the wrong one', True, False), ('this one is right', False, False), ('reads and compiles', False, True)]
True
1 1 1 [False, True]
[10, 11, 13, 12] [(3.0, 'SIGTERM', 4242, False), (8.0, 'SIGKILL', 4242, False)]"
$ctl test --junit "$work/no/such" $data/fails.yaml >"$work/out" 2>&1; is "JUnit: a place that is none" "$?$(grep -c 'no/such' "$work/out")" 11

# What is said of time and of processes
run() { cat >"$work/t.yaml"; $ctl test "$work/t.yaml" >"$work/out" 2>&1; echo "$?$(grep -vE 'passed|t.yaml$|  ok' "$work/out")"; }
cp $data/one.policy "$work/"
is "a task starts, ends, and its pid goes to another" "$(run <<'Y'
policy_files: [one.policy]
tests:
  - name: lives
    host: {mem.total: 1GiB, mem.available: 10MiBx40}
    tasks:
      first: {pid: 70, rss: 500MiB, ends: 10s, ignores: TERM}
      second: {pid: 70, rss: 100MiBx3 stale, starts: 20s, ignores: TERM}
      late: {pid: 71, rss: 1MiB, starts: 30s}
    counterfactual: no
    expect:
      - {at: 2s, rule: low-memory, action: SIGTERM, task: first}
      - {at: 7s, rule: low-memory, action: SIGKILL, task: first}
      - {at: 20s, rule: low-memory, action: SIGTERM, task: second}
      - {at: 30s, rule: low-memory, action: SIGTERM, task: late}
      - {at: 35s, rule: low-memory, action: SIGKILL, task: late}
Y
)" 0
is "a budget holds" "$(run <<'Y'
policy_files: [one.policy]
budget: {actions: 1, per: 1min}
tests:
  - name: budget
    host: {mem.total: 1GiB, mem.available: 10MiBx40}
    tasks: {a: {rss: 50MiB}, b: {rss: 40MiB}}
    expect:
      - {at: 2s, rule: low-memory, action: SIGTERM, task: a}
      - {at: 3s..15s, rule: low-memory, because: cooldown}
      - {at: 20s, rule: low-memory, because: budget}
Y
)" 0
is "strict: no looks only at what is listed" "$(run <<'Y'
policy_files: [one.policy]
strict: no
tests:
  - name: listed
    host: {mem.total: 1GiB, mem.available: 10MiBx40}
    tasks: {a: {rss: 50MiB}, b: {rss: 40MiB}}
    expect:
      - {at: 12s, rule: low-memory, signal: TERM, task: b}
    expect_none:
      - {signal: KILL}
Y
)" 0
# A recording in the place of series: what is killed leaves, unless told otherwise
{
	echo 'time,mem.total:MiB,mem.available:MiB,pid,ppid,comm,rss:MiB,anon:MiB,state'
	for i in $(seq 0 30); do
		echo "$((1795746000 + i)),1000,$((i < 5 ? 500 : 50)),10,1,hog,600,600,S"
		echo "$((1795746000 + i)),1000,$((i < 5 ? 500 : 50)),11,1,other,100,100,S"
	done
} >"$work/r.csv"
$ctl import --from csv -o "$work/r.gft" "$work/r.csv" >"$work/out" 2>&1 || cat "$work/out"
is "a recording: who is ended leaves" "$(run <<'Y'
policy_files: [one.policy]
tests:
  - name: recorded
    recording: r.gft
    expect:
      - {at: 7s, rule: low-memory, action: SIGTERM, pid: 10}
      - {at: 9s, rule: low-memory, is: false}
Y
)" 0
is "... and goes on without the model" "$(run <<'Y'
policy_files: [one.policy]
counterfactual: no
tests:
  - name: recorded
    recording: r.gft
    expect:
      - {at: 7s, rule: low-memory, action: SIGTERM, pid: 10}
      - {at: 12s, rule: low-memory, action: SIGKILL, pid: 10}
      - {at: 22s, rule: low-memory, action: SIGTERM, pid: 11}
      - {at: 27s, rule: low-memory, action: SIGKILL, pid: 11}
Y
)" 0
# Series and a recording of the same history have one model: what simulate says is exactly what the test sees.
{
	echo 'time,mem.total:MiB,mem.available:MiB,pid,start,ppid,comm,rss:MiB,anon:MiB,cputime,state'
	for i in $(seq 0 40); do
		for p in 1,0,init,5 10,1,parent,600 11,10,child,300 12,11,grandchild,200 20,1,other,$((100 + 2 * i)); do
			IFS=, read -r pid ppid comm rss <<<"$p"
			echo "$((1795746000 + i)),10000,$((i < 5 ? 5000 : 50)),$pid,1,$ppid,$comm,$rss,$rss,$i,S"
		done
		[ $i -lt 12 ] || echo "$((1795746000 + i)),10000,50,13,86411,10,late,250,250,0,S"
	done
} >"$work/tree.csv"
$ctl import --from csv -o "$work/tree.gft" "$work/tree.csv" >"$work/out" 2>&1 || cat "$work/out"
cat >"$work/tree.policy" <<'P'
protect pid == 1
rule stop if mem.available < 25% for 1s then SIGSTOP largest where comm == "other" then after 5s SIGCONT cooldown 1h
rule low if mem.available < 25% for 2s then SIGKILL largest cooldown 4s
rule grows if rss > 130MiB and comm == "other" for 1s then log it cooldown 1h
P
for children in go stay; do
	$ctl simulate --json "$work/tree.policy" "$work/tree.gft" --assume children=$children >"$work/sim.json" 2>/dev/null
	python3 - "$work/sim.json" $children >"$work/tree.yaml" <<'P'
import json, sys
print("policy_files: [tree.policy]\nchildren: %s\ntests:\n  - name: tree\n    host: {mem.total: 10000MiB, mem.available: 5000MiBx4 50MiBx35}" % sys.argv[2])
print("    tasks:\n      init: {pid: 1, rss: 5MiB}")
for pid, ppid, comm, rss in ((10, 1, "parent", "600MiB"), (11, 10, "child", "300MiB"), (12, 11, "grandchild", "200MiB"), (20, 1, "other", "100MiB+2MiBx40")):
    print("      %s: {pid: %d, ppid: %d, rss: %s}" % (comm, pid, ppid, rss))
print("      late: {pid: 13, ppid: 10, rss: 250MiB, starts: 12s}\n    expect:")
sim = json.load(open(sys.argv[1]))
run = sim["policies"][0]
for e in run["events"]:
    ev = e["event"]
    if ev["kind"] == "action":
        print("      - {at: %gs, rule: %s, pid: %d, action: %s}" % (e["at_s"], ev["rule"], ev["pid"], ev["step"].split("after 5s ")[-1].split()[0]))
P
	is "one model, children=$children: what simulate says is what the test sees" "$($ctl test "$work/tree.yaml" 2>&1)" "$work/tree.yaml
  ok    tree
1 passed, 0 failed"
	cp "$work/tree.yaml" "$work/tree.$children"
done
is "children make a difference" "$(sed -n 's/.*at: \(.*\), rule.*pid: \([0-9]*\).*/\1:\2/p' "$work/tree.go" | paste -sd' ')
$(sed -n 's/.*at: \(.*\), rule.*pid: \([0-9]*\).*/\1:\2/p' "$work/tree.stay" | paste -sd' ')" "6s:20 7s:10 11s:20 22s:20
6s:20 7s:10 11s:20 11s:11 15s:12 22s:20"
head -c 900 "$work/r.gft" >"$work/cut.gft"
is "a recording that is cut is a failure, with the place" "$(run <<'Y' | grep -c 'could not be run to its end: .*cut.gft'
policy_files: [one.policy]
tests: [{name: cut, recording: cut.gft, expect: []}]
Y
)" 1
is "a recording that is not there" "$(run <<'Y' | grep -c 't.yaml:2:33: error: there is no recording'
policy_files: [one.policy]
tests: [{name: none, recording: none.gft, expect: []}]
Y
)" 1
plan
