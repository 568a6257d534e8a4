#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A shadow policy beside the one in force.
. tests/daemon/lib.sh
ctl="$B/gpufasctl --socket $d/run/s"
mkdir "$d/shadow.d"
rule() { echo "rule $1 if comm == \"$2\" and age > 200ms then $3 it cooldown 100ms settle 1s"; }
rule end-a "$tag-a" SIGKILL >"$d/policy.d/a.policy"
{ rule also-a "$tag-a" SIGKILL; rule end-b "$tag-b" SIGKILL; } >"$d/shadow.d/s.policy"

# (the shadow's end-b would act again and again: the budget is not what is tested here)
config "shadow: {directories: [$d/shadow.d]}" "
budget: {actions: 256, per: 1min}
recorder: {directory: \"\"}"
start
is "status: the shadow's rules" "$($ctl status --json | python3 -c 'import json,sys; s=json.load(sys.stdin)["targets"][0]["shadow"]; print(s["rules"], s["why_not"], s["actions"])')" "2  0"
sleeper "$tag-b"; b=$sleeper
sleeper "$tag-a"; a=$sleeper
until_ok gone "$a"; is "the policy in force ends its process" $? 0
field() { $ctl status --json | python3 -c 'import json,sys; s=json.load(sys.stdin)["targets"][0]["shadow"]; print(s and s[sys.argv[1]])' "$1"; }
comes "both came to the same on that one" 1 field agreed
comes "the shadow alone would have ended the other" 'only shadow  : end-b: would send SIGKILL to' $ctl status
gone "$b"; is "and it is alive" $? 1
has "status: on which samples" "$($ctl status)" 'on the samples of the policy in force, behind its ticks'
has "metrics: nothing unseen" "$($ctl metrics)" 'gpufas_shadow_unseen_total{target="this-machine"} 0'
has "metrics" "$($ctl metrics)" 'gpufas_shadow_only_shadow_total{target="this-machine"} '
has "metrics: what both did" "$($ctl metrics)" 'gpufas_shadow_agreed_total{target="this-machine"} 1'
hasnt "the audit knows nothing of it" "$(cat "$d/audit.jsonl")" end-b

# Reload: both or neither; another shadow; none any more.
echo 'rule broken if' >"$d/shadow.d/s.policy"
$ctl reload >"$d/out" 2>&1; is "a shadow that does not compile: the reload fails" $? 1
has "and says that it is the shadow" "$(cat "$d/out")" "the shadow policy"
is "and the old one stays" "$(field rules)" 2
rule other "$tag-c" SIGTERM >"$d/shadow.d/s.policy"
$ctl reload >/dev/null; is "another shadow" "$(field rules)" 1
before=$(field actions)
sleeper "$tag-c"
more() { [ "$(field actions)" -gt "$before" ]; }
until_ok more; is "which is evaluated" $? 0
config "recorder: {directory: \"\"}"
$ctl reload >/dev/null; is "none any more" "$(field rules)" None
config "shadow: {files: [$d/none.policy]}" "
recorder: {directory: \"\"}"
$ctl reload >"$d/out" 2>&1; is "a file that is not there" $? 1
stop
echo 'if rsss > 5GiB then log' >"$d/wrong.policy"
config "shadow: {files: [$d/wrong.policy]}"
out=$("$B/gpufasd" -c "$d/gpufas.yaml" --check-config 2>&1); rc=$?
is "--check-config looks at the shadow, too: exit status" $rc 1
has "--check-config looks at the shadow, too: place" "$out" "wrong.policy:1:4: error: "
config "shadow: {file: [$d/none.policy]}"
"$B/gpufasd" -c "$d/gpufas.yaml" --check-config >"$d/out" 2>&1
has "an unknown key" "$(cat "$d/out")" 'did you mean "files"'

echo "1..$n"
