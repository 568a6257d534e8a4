#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The actions that the daemon took in a scripted run are exactly those that `simulate` gives on the recording of that run.
. tests/daemon/lib.sh
cat >"$d/policy.d/a.policy" <<P
rule term if comm == "$tag-x" and age > 300ms then SIGTERM it cooldown 100ms settle 1s
rule stop if comm == "$tag-y" and age > 1s then SIGSTOP it then after 500ms SIGKILL cooldown 100ms settle 1s
rule held if comm == "$tag-z" for 1s then SIGKILL largest cooldown 2s limit 2 per 1min
P
config "recorder: {directory: \"$d/box\", samples: ticks}"
start
sleeper "$tag-y"; y=$sleeper
sleeper "$tag-x"; x=$sleeper
sleeper "$tag-z"; z1=$sleeper
sleeper "$tag-z"; z2=$sleeper
sleeper "$tag-z"; z3=$sleeper
two_of_three() { local k=0 p; for p in $z1 $z2 $z3; do gone "$p" && k=$((k + 1)); done; [ $k -ge 2 ]; }
until_ok gone "$x"; until_ok gone "$y"; until_ok two_of_three
until_ok grep -q 'held_back.*limit' "$d/audit.jsonl" # the third is spared by the limit
stop
acts() { # of JSON lines, in the order of the samples: which rule did what to whom, when
	python3 -c '
import json, sys
for line in sys.stdin:
    e = json.loads(line)
    if e["kind"] in ("action", "held-back", "no-victim", "skipped"):
        print(e["kind"], e["rule"], e.get("action", e.get("held_back")), e.get("pid", 0), e.get("start_ns", 0))'
}
live=$(acts <"$d/audit.jsonl")
simulated() {
	"$B/gpufasctl" simulate "$d/policy.d" "$d"/box/*.gft --json "$@" 2>>"$d/log" | python3 -c '
import json, sys
for e in json.load(sys.stdin)["policies"][0]["events"]: print(json.dumps(e["event"]))' | acts
}
is "the daemon did what was scripted" "$(grep -c '^action' <<<"$live")" 5
is "simulate says the same, event by event" "$(simulated --as-recorded)" "$live"
is "with effects of its own it does the same" "$(simulated --assume term=0s | grep '^action')" "$(grep '^action' <<<"$live")"
echo "1..$n"
