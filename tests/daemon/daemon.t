#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The daemon: start, stop, reload, clients that misbehave, a full disk, systemd.
. tests/daemon/lib.sh

# ---- configuration and command line
config "perod: 1s"
out=$("$B/gpufasd" -c "$d/gpufas.yaml" --check-config 2>&1); rc=$?
is "a wrong key: exit status" $rc 1
has "a wrong key: its place and the nearest" "$out" "gpufas.yaml:6:1: error: unknown key \"perod\""
has "a wrong key: the nearest" "$out" 'did you mean "period"?'
config ""
echo "rule a if rss > 5s then SIGKILL largest" >"$d/policy.d/a.policy"
out=$("$B/gpufasd" -c "$d/gpufas.yaml" --check-config 2>&1); rc=$?
is "a wrong policy: exit status" $rc 1
has "a wrong policy: place" "$out" "a.policy:1:"
out=$("$B/gpufasd" -c "$d/none.yaml" --observe 2>&1); rc=$?
is "a configuration that is not there: exit status" $rc 1
has "a configuration that is not there: said" "$out" "none.yaml"
"$B/gpufasd" --no-such-option >/dev/null 2>&1; is "usage error" $? 2
rm "$d/policy.d/a.policy"
out=$("$B/gpufasd" -c "$d/gpufas.yaml" --observe --engine gpu 2>&1); rc=$?
is "no GPU engine here: exit status" $rc 1
has "no GPU engine here: said" "$out" "GPU engine"
has "no GPU engine here: the mend" "$out" "--engine auto"
config "hooks: {page: [/nowhere/page]}"
out=$("$B/gpufasd" -c "$d/gpufas.yaml" --check-config 2>&1); rc=$?
is "no rule and a hook that is not there are no errors" $rc 0
has "no rule at all is said" "$out" "there is no *.policy file in $d/policy.d: no rule is in force"
has "a hook that is not there is said" "$out" "the hook page: /nowhere/page: No such file"
check_json() { "$B/gpufasd" -c "$d/gpufas.yaml" --check-config --json 2>&1 | python3 -c 'import json,sys; o=json.load(sys.stdin); print(eval(sys.argv[1], o))' "$1"; }
is "--json: no error" "$(check_json 'ok, error, len(diags), len(notes), targets[0]["rules"]')" "(True, None, 0, 2, 0)"
config "perod: 1s"
is "--json: place and mend of what is wrong in gpufas.yaml" "$(check_json 'ok, diags[0]["line"], diags[0]["col"], diags[0]["hint"]')" \
	"(False, 6, 1, 'did you mean \"period\"?')"
config ""
echo 'if rsss > 5GiB then log' >"$d/policy.d/a.policy"
is "--json: of what is wrong in a policy" "$(check_json 'ok, error, diags[0]["code"], diags[0]["hint"]')" "(False, 'the policy has 1 error', 'E050', 'did you mean \"rss\"?')"
mv "$d/policy.d" "$d/away"
is "--json: of what has no place" "$(check_json 'ok, diags, "cannot read the policy directory" in error')" "(False, [], True)"
mv "$d/away" "$d/policy.d"
rm "$d/policy.d/a.policy"
"$B/gpufasd" -c "$d/gpufas.yaml" --json >/dev/null 2>&1; is "--json alone is wrong usage" $? 2
out=$("$B/gpufasd" -c "$d/gpufas.yaml" --check-config --engine gpu 2>&1); rc=$?
if [ $rc = 1 ]; then
	has "no GPU: --check-config says why" "$out" "there is no GPU for it: "
else
	skip "no GPU: --check-config says why" "there is one"
fi

# ---- start, status, second instance
cat >"$d/policy.d/a.policy" <<P
rule quiet "never" if comm == "$tag-none" and rss > 1GiB for 2s then SIGTERM it then after 5s SIGKILL cooldown 1min
P
"$B/tests/helpers/sock" notify "$d/notify" >"$d/notified" & pids+=($!); notifier=$!
until_ok grep -q ready "$d/notified"
NOTIFY_SOCKET=$d/notify WATCHDOG_USEC=200000 start
s=$(ask '{"v":1,"cmd":"status"}')
has "status: rules" "$s" '"rules":1'
has "status: mode" "$s" '"mode":"enforce"'
has "status: no error" "$s" '"last_reload_error":""'
if [ $rc = 1 ]; then
	has "status: the CPU runs it" "$s" '"engine":{"kind":"cpu","why":"'
	has "status: and why, as --check-config had it" "$s" '"engine":{"kind":"cpu","why":"auto: '"$(sed -n 's/.*for it: \(.*\) (with .*/\1/p' <<<"$out")"
	has "status: the target's engine" "$s" '"engine":{"kind":"cpu","why":"","takeovers":0,"rt":false,"mlocked":false}'
	m=$(ask '{"v":1,"cmd":"metrics"}')
	has "metrics: what runs a target" "$m" 'gpufas_engine_info{target=\"this-machine\",engine=\"cpu\"} 1'
	has "metrics: takeovers" "$m" 'gpufas_engine_takeovers_total{target=\"this-machine\"} 0'
else
	skip "status: why the CPU runs it" "a GPU does"
fi
has "rules" "$(ask '{"v":1,"cmd":"rules"}')" '"name":"quiet","title":"never"'
has "explain a rule: known truth at the first time of asking" "$(ask '{"v":1,"cmd":"explain","rule":"quiet"}')" '"truth":"false"'
has "explain: nearest rule" "$(ask '{"v":1,"cmd":"explain","rule":"quit"}')" 'did you mean \"quiet\"'
has "ps: this script" "$(ask '{"v":1,"cmd":"ps"}')" "\"pid\":$$,"
out=$("$B/gpufasd" -c "$d/gpufas.yaml" --observe 2>&1); rc=$?
is "second daemon: exit status" $rc 1
has "second daemon: refused" "$out" "another gpufasd is running"
has "the first still answers" "$(ask '{"v":1,"cmd":"ping"}')" "\"pid\":$daemon,"

# ---- what systemd hears
until_ok grep -q WATCHDOG=1 "$d/notified" && ok "WATCHDOG=1 while ticks advance" || not_ok "WATCHDOG=1 while ticks advance" "$(cat "$d/notified")"
until_ok grep -q READY=1 "$d/notified" && ok "READY=1" || not_ok "READY=1"
kill -HUP "$daemon"
until_ok grep -q MONOTONIC_USEC= "$d/notified" && ok "RELOADING=1 with its time" || not_ok "RELOADING=1 with its time"
until_ok logged "reloaded: 1 rule, 1 of them unchanged" && ok "SIGHUP reloads, state of equal rules is kept" || not_ok "SIGHUP reloads"

# ---- reload
echo "rule two if comm == \"$tag-none\" then log cooldown 1min" >"$d/policy.d/b.policy"
has "reload takes a new file" "$(ask '{"v":1,"cmd":"reload"}')" '"data":{"rules":2,"kept":1'
fp=$(ask '{"v":1,"cmd":"status"}' | grep -o '"fp":"[0-9a-f]*"' | head -1)
echo "rule three if rss > 5s then SIGKILL largest" >"$d/policy.d/c.policy"
r=$(ask '{"v":1,"cmd":"reload"}')
has "a wrong policy is refused" "$r" '"ok":false'
has "with its place" "$r" '"line":1'
out=$("$B/gpufasctl" --socket "$d/run/s" reload 2>&1); rc=$?
is "gpufasctl reload of a wrong policy: exit status" $rc 1
has "with the line and a caret" "$out" "
   1 | rule three if rss > 5s then SIGKILL largest
     |               ^~~~~~~~
     | "
s=$(ask '{"v":1,"cmd":"status"}')
has "the old policy stays in force" "$s" "$fp"
hasnt "and status says why" "$s" '"last_reload_error":""'
until_ok grep -q "c.policy:1:" "$d/log" # the answer does not wait for the log
has "the log shows the place" "$(cat "$d/log")" "c.policy:1:"
config "period: 1s"   # twice
has "a wrong configuration is refused" "$(ask '{"v":1,"cmd":"reload"}')" "stays in force"
config "" ; mv "$d/policy.d" "$d/away"
has "a policy directory that has vanished is refused" "$(ask '{"v":1,"cmd":"reload"}')" "stays in force"
mkdir "$d/policy.d"
has "one that has become empty is said" "$("$B/gpufasctl" --socket "$d/run/s" reload 2>&1)" "no *.policy file in $d/policy.d: no rule is in force"
rmdir "$d/policy.d"
mv "$d/away" "$d/policy.d"; rm "$d/policy.d/c.policy"
sed -i 's/period: 50ms/period: 70ms/' "$d/gpufas.yaml"
has "what needs a restart is named" "$(ask '{"v":1,"cmd":"reload"}')" "changes of period take effect only after a restart"
has "and the error is forgotten" "$(ask '{"v":1,"cmd":"status"}')" '"last_reload_error":""'

# ---- clients that misbehave
has "garbage" "$(ask 'what?')" '"ok":false'
has "another version" "$(ask '{"v":99,"cmd":"ping"}')" "version 99"
has "unknown command" "$(ask '{"v":1,"cmd":"dance"}')" "unknown command"
has "wrong type" "$(ask '{"v":1,"cmd":"events","last":"x"}')" '\"last\" must be'
has "a megabyte of nothing" "$(ask "$(head -c 100000 /dev/zero | tr '\0' '[')")" "nested"
"$B/tests/helpers/sock" deaf "$d/run/s" '{"v":1,"cmd":"ps"}' >"$d/deaf" & pids+=($!)
"$B/tests/helpers/sock" deaf "$d/run/s" '{"v":1,"cmd":"events","follow":true}' >"$d/deaf2" & pids+=($!)
until_ok grep -q sent "$d/deaf"
t=$(ask '{"v":1,"cmd":"status"}' | grep -o '"ticks":[0-9]*')
has "clients that never read: others are answered" "$(ask '{"v":1,"cmd":"ping"}')" '"ok":true'
later() { [ "$(ask '{"v":1,"cmd":"status"}' | grep -o '"ticks":[0-9]*')" != "$t" ]; }
until_ok later && ok "and ticks go on" || not_ok "and ticks go on"

# ---- metrics, by a reader of our own
ask '{"v":1,"cmd":"metrics"}' | sed 's/^{"v":1,"ok":true,"data":{"text":"//; s/"}}$//; s/\\n/\n/g; s/\\"/"/g; s/\\\\/\\/g' >"$d/metrics"
bad=$(grep -vE '^(# HELP [a-z_]+ [^ ].*|# TYPE [a-z_]+ (counter|gauge)|[a-z_]+(\{[a-z_]+="([^"\\]|\\.)*"(,[a-z_]+="([^"\\]|\\.)*")*\})? ([0-9.e+-]+|NaN|[+-]Inf)|)$' "$d/metrics")
is "metrics: every line is one of the format" "$bad" ""
is "metrics: no family twice" "$(grep '^# TYPE' "$d/metrics" | sort | uniq -d)" ""
is "metrics: counters end in _total" "$(awk '/^# TYPE .* counter/ && $3 !~ /_total$/' "$d/metrics")" ""
has "metrics: rules" "$(cat "$d/metrics")" 'gpufas_rule_true{rule="quiet",target="this-machine"} 0'
has "metrics: reloads" "$(cat "$d/metrics")" 'gpufas_reloads_total{result="error"} 4'
if command -v promtool >/dev/null; then
	promtool check metrics <"$d/metrics" >"$d/promtool" 2>&1; is "metrics: promtool" "$?$(cat "$d/promtool")" 0
else
	skip "metrics: promtool" "prometheus is not installed"
fi

# ---- stop
stop; is "SIGTERM: exit status" $? 0
until_ok grep -q STOPPING=1 "$d/notified" && ok "STOPPING=1" || not_ok "STOPPING=1"
kill $notifier
[ ! -e "$d/run/s" ] && ok "the socket is gone" || not_ok "the socket is gone"
has "the audit file tells of start and stop" "$(cat "$d/audit.jsonl")" "gpufasd stopped"
kill -9 "$daemon" 2>/dev/null; config ""; start --observe
kill -9 "$daemon"; wait "$daemon" 2>/dev/null
[ -S "$d/run/s" ] && start --observe && has "a dead daemon's socket is taken over" "$(ask '{"v":1,"cmd":"ping"}')" "\"pid\":$daemon,"
has "observe mode that the command line asked for stays" "$(ask '{"v":1,"cmd":"observe","on":false}')" "started with --observe"
stop

# ---- a full disk under the audit file
mkdir "$d/disk"
if mount -t tmpfs -o size=64k none "$d/disk" 2>/dev/null; then
	audit=$d/disk/audit.jsonl config ""
	head -c 65536 /dev/zero >"$d/disk/ballast" 2>/dev/null
	start --observe
	failing() { ask '{"v":1,"cmd":"status"}' | grep -q '"audit_error":"the audit file'; }
	until_ok failing && ok "full disk: status says so" || not_ok "full disk: status says so" "$(ask '{"v":1,"cmd":"status"}')"
	comes "full disk: an event says so" "No space left" ask '{"v":1,"cmd":"events"}'
	t=$(ask '{"v":1,"cmd":"status"}' | grep -o '"ticks":[0-9]*')
	until_ok later && ok "full disk: ticks go on" || not_ok "full disk: ticks go on"
	rm "$d/disk/ballast"
	mended() { ask '{"v":1,"cmd":"reload"}' >/dev/null; ask '{"v":1,"cmd":"status"}' | grep -q '"audit_error":""'; }
	until_ok mended && ok "room again: written again" || not_ok "room again: written again"
	is "no half lines" "$(grep -vc '^{.*}$' "$d/disk/audit.jsonl")" 0
	stop
else
	skip "a full disk under the audit file" "mount is not permitted"
fi
skip "a clock that jumps" "the wall clock cannot be set in a test; holds and periods use CLOCK_BOOTTIME, which cannot jump"
echo "1..$n"
