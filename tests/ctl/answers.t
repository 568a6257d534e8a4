#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What gpufasctl makes of a daemon's answers, word for word.
. tests/ctl/lib.sh
start_fake

# shellcheck disable=SC2317
quiet_clock() { "$@" | sed 's/[0-9][0-9]:[0-9][0-9]:[0-9][0-9]$/HH:MM:SS/'; }

golden status $ctl status
golden ps $ctl ps
golden ps-columns $ctl ps --columns pid,user,comm,exe --sort -pid -n 3
golden ps-all $ctl ps -o all -s cpu
golden ps-json $ctl ps --json -o pid,cpu -s age
golden events $ctl events
golden events-json $ctl events --json
golden explain-rule $ctl explain cpu-hog
golden explain-event $ctl explain 12
golden metrics $ctl metrics
golden reload $ctl reload
golden observe $ctl observe on
golden signal $ctl signal host 5 term
golden top-once quiet_clock env COLUMNS=120 LINES=24 $ctl top --once
golden top-once-80 quiet_clock env COLUMNS=80 LINES=24 $ctl top --once --sort rss
golden status-colour $ctl status --color always

# What it asks, as control.h has it.
: >"$work/d/log"
$ctl signal host 5 9 >/dev/null; $ctl signal host 5 SIGRTMIN+3 >/dev/null; $ctl events -n 7 --rule x >/dev/null
is "a signal's number becomes its name" "$(sed -n 1p "$work/d/log")" '{"target":"host","pid":5,"signal":"SIGKILL","v":1,"cmd":"signal"}'
is "real-time signals" "$(sed -n 2p "$work/d/log")" '{"target":"host","pid":5,"signal":"SIGRTMIN+3","v":1,"cmd":"signal"}'
$ctl signal host 5 TERM --road mailbox >/dev/null
is "the road is passed on" "$(sed -n 4p "$work/d/log")" '{"target":"host","pid":5,"signal":"SIGTERM","road":"mailbox","v":1,"cmd":"signal"}'
is "events of one rule" "$(sed -n 3p "$work/d/log")" '{"last":7,"follow":false,"rule":"x","v":1,"cmd":"events"}'

# Nothing that a process is called may reach the terminal as an escape.
esc=0
for c in "status" "ps" "ps -o all" "events" "explain cpu-hog" "explain 12" "top --once" "ps --json" "events --json" "explain 12 --json"; do
	# shellcheck disable=SC2086
	$ctl $c 2>&1 | LC_ALL=C grep -q $'[\x01-\x08\x0b-\x1f\x7f]' && { esc=1; echo "# control character in: $c"; }
done
is "no control characters in any output" $esc 0
LC_ALL=C $ctl ps 2>&1 | LC_ALL=C grep -q $'[\x80-\xff]'
is "in the C locale nothing but ASCII" $? 1
has "the C locale shows names it cannot write as ?" "$(LC_ALL=C $ctl ps)" "???"

if command -v python3 >/dev/null; then
	bad=0
	for c in "status" "ps" "explain cpu-hog" "explain 12" "reload" "observe on" "signal host 5 KILL" "metrics" "help" "version" "fields"; do
		# shellcheck disable=SC2086
		$ctl $c --json | python3 -c 'import json,sys; json.load(sys.stdin)' || { bad=1; echo "# no JSON: $c --json"; }
	done
	is "--json is JSON to an independent reader" $bad 0
else
	n=$((n + 1)); echo "ok $n - --json is JSON to an independent reader # SKIP no python3"
fi

# Many targets: each with its own; a guest's signal with what became of it.
cp $here/many-status.json "$work/d/status.json"
golden status-many $ctl status

# What runs the ticks: alike for all and said once, or each for itself.
gpu='"engine":{"kind":"gpu","device":0,"name":"NVIDIA H100 80GB HBM3","mode":"persistent","blocks":4,"threads":256,"why":"","takeovers":0},'
lost='"engine":{"kind":"cpu","why":"GPU 0 does not answer: unspecified launch failure; look at dmesg","takeovers":1},'
shared='"shared":[{"device":0,"text":"shared with x\\u001b[1m (pid 7): half"}],'
sed "s/^    \"road\":/    $gpu&/; s/\"rt\": true/$shared&/; s/\"kind\": \"cpu\"/\"kind\": \"gpu\"/" $here/many-status.json >"$work/d/status.json"
golden status-gpu $ctl status
sed "0,/^    \"road\":/s//    $lost&/" $here/data/status.json >"$work/d/status.json"
golden status-taken-over $ctl status
sed "s/^    \"road\": \"bpf\"/    $gpu&/; s/^    \"road\": \"there/    $lost&/; s/^    \"road\": \"att/    ${gpu/device\":0/device\":1}&/" $here/many-status.json >"$work/d/status.json"
golden status-engines $ctl status
sed "0,/^    \"road\":/s//    ${gpu/takeovers\":0/takeovers\":2}&/" $here/data/status.json >"$work/d/status.json"
out=$($ctl status 2>&1)
has "status: a GPU that is used again" "$out" "used again; the CPU had taken over 2 times"
[[ $out != *"took over from the GPU"* ]]; is "status: and not that the CPU has it" $? 0
# A shadow on samples of its own: how it is evaluated, what it could not see, and that its guest is not there.
shadow='"shadow": {"files": ["/s.policy"], "rules": 2, "why_not": "", "samples": "own", "how": "on samples of its own", "stale": true, "sample_error": "there is no guest", "ticks": 9, "agreed": 1, "only_shadow": 1, "only_active": 3, "unseen": 2, "lost": 4, "differences": [{"only": "active", "unseen": true, "sentence": "r: SIGKILL to a"}, {"only": "shadow", "unseen": false, "sentence": "s: would send SIGKILL to b"}]},'
sed "s|^    \"road\": \"att|    $shadow&|" $here/many-status.json >"$work/d/status.json"
out=$($ctl status 2>&1)
for want in "2 rules from /s.policy: 1 actions as the policy in force, 1 alone, 3 not" "on samples of its own" "the shadow is STALE: there is no guest" \
	"of 2 of those not done the process had gone before the shadow looked again" "4 actions of the policy in force came too fast" \
	"only in force: r: SIGKILL to a (gone before the shadow looked)" "only shadow  : s: would send SIGKILL to b"; do
	has "status: a shadow: $want" "$out" "$want"
done
cp $here/many-status.json "$work/d/status.json"
: >"$work/d/log"
$ctl events -t web >/dev/null; $ctl explain cpu-hog -t web >/dev/null; $ctl observe off --target web >/dev/null; $ctl ps -t web >/dev/null
is "--target is passed on" "$(grep -c '"target":"web"' "$work/d/log")" 5
cat >"$work/d/signal.json" <<'J'
{"v":1,"ok":true,"data":{"pid":5,"signal":"SIGTERM","result":"sent","text":"gone after 3 ms (by a store)","member":{"pid":5,"error":"","exit_us":3000,"how":"store","became":"delivered","tries":1}}}
J
golden signal-guest $ctl signal web 5 term
cat >"$work/d/fields.json" <<'J'
{"v":1,"ok":true,"data":{"target":"web","kind":"vm","release":"6.1.0","path":"task->mm","prefix":"task->mm->","members":[{"name":"map_count","type":"int","off":112,"size":4,"pointer":false,"number":true,"next":""},{"name":"pgd","type":"pgd_t *","off":72,"size":8,"pointer":true,"number":false,"next":"->"}]}}
J
golden fields-target $ctl fields --target web 'task->mm'
cp $here/data/*.json "$work/d/"

# Refusals: the daemon's own sentence, exit 1.
cat >"$work/d/reload.json" <<'J'
{"v":1,"ok":false,"error":"the policy has errors","diags":[{"severity":"error","code":"E012","file":"a.policy","line":3,"col":8,"end_line":3,"end_col":11,"message":"`rss` is a size and `5s` a duration","hint":"compare it with a size, such as 5MiB"}]}
J
golden reload-refused $ctl reload
golden reload-refused-json $ctl reload --json
cat >"$work/d/explain.json" <<'J'
{"v":1,"ok":false,"error":"there is no rule \"cpu-hgo\"; did you mean \"cpu-hog\"?"}
J
golden explain-unknown $ctl explain cpu-hgo

# Follow: what is there, what comes, and over a restart.
printf '%s\n' '{"v":1,"event":{"seq":14,"time":"2026-11-23T05:42:00Z","sentence":"later"}}' '{"v":1,"lost":3}' >"$work/d/follow.jsonl"
$ctl events -f -n 3 >"$work/out" 2>"$work/err" &
f=$!
until_ok grep -q lost "$work/err"
is "-f: kept events, then new ones" "$(grep -o '#[0-9]*' "$work/out" | tr '\n' ' ')" "#11 #12 #13 #14 "
has "-f: says what was lost" "$(cat "$work/err")" "3 events were lost"
printf '%s\n' '{"v":1,"event":{"seq":15,"time":"2026-11-23T05:42:01Z","sentence":"after"}}' >"$work/d/follow.jsonl"
touch "$work/d/drop"
until_ok grep -q '#15' "$work/out"
has "-f: connects again" "$(cat "$work/err")" "gpufasd is gone; retrying"
is "-f: repeats nothing" "$(grep -c '#1[1-5]' "$work/out")" 5
has "-f: asks for what it has not seen" "$(tail -1 "$work/d/log")" '"since_seq":14'
printf '%s\n' '{"v":1,"ok":true,"data":{"pid":4343,"version":"0.1.0"}}' >"$work/d/ping.json"
touch "$work/d/drop"
twice() { [ "$(grep -c '#11' "$work/out")" = 2 ]; }
until_ok twice
is "-f: another daemon's numbers are new ones" "$(grep -c '#11' "$work/out")" 2
kill $f
plan
