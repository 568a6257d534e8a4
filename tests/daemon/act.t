#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Real signals, to processes of this test alone: its policies name no others.
. tests/daemon/lib.sh

if [ "$(id -u)" != 0 ] && ! "$B/gpufasd" --version >/dev/null; then exit 1; fi
cat >"$d/hook" <<'H'
#!/bin/sh
{ echo "rule=$GPUFAS_RULE comm=$GPUFAS_COMM pid=$GPUFAS_PID home=${HOME-unset} arg=$1"; } >"${0%/*}/hooked.new"
mv "${0%/*}/hooked.new" "${0%/*}/hooked"
H
chmod +x "$d/hook"
config "hooks: {mark: [$d/hook, one]}"
nicer=$(nice -n 7 nice) # this test may be a nice one itself
cat >"$d/policy.d/a.policy" <<P
protect comm == "${tag}v" and nice == $nicer
rule victim "its name is enough" if comm == "${tag}v" then SIGTERM it
  notify "{comm} (pid {pid}) has to go" cooldown 1s settle 1s
rule hook if comm == "${tag}h" then run mark cooldown 1h
rule watched if comm == "${tag}w" then SIGKILL it cooldown 1h observe
P
sleeper "${tag}v" "nice -n 7"; spared=$sleeper
sleeper "${tag}w"; watched=$sleeper
start
has "a protected one is not touched, and it is said" "$(until_ok logged 'victim: true, but there is no process' && cat "$d/log")" "victim: true, but there is no process to act on"
sleeper "${tag}v"; victim=$sleeper
until_ok gone "$victim" && ok "the unprotected one of the same name goes" || not_ok "the unprotected one of the same name goes"
wait "$victim"; is "by SIGTERM" $? 143
gone "$spared"; is "the protected one lives" $? 1
until_ok logged "${tag}v (pid $victim) gone .* after SIGTERM"; is "the result is reported, with the time it took" $? 0
until_ok shows '"kind":"result"' ask '{"v":1,"cmd":"events","rule":"victim","last":200}'; e=$got
has "the event names it" "$e" "\"sentence\":\"victim: SIGTERM to ${tag}v (pid $victim"
has "the event has the notification" "$e" "\"notify\":\"${tag}v (pid $victim) has to go\""
has "the event says why not the other" "$e" "protect comm == \\\"${tag}v\\\" and nice == $nicer"
seq=$(grep -o '{"seq":[0-9]*[^{]*"kind":"action","rule":"victim"' <<<"$e" | head -1 | grep -o '[0-9]*' | head -1)
has "explain shows it again" "$(ask "{\"v\":1,\"cmd\":\"explain\",\"event\":$seq}")" "\"seq\":$seq,"
has "and the result refers to it" "$e" "\"about\":$seq"
until_ok logged "watched: would send SIGKILL to ${tag}w" && ok "a rule that observes says what it would do" || not_ok "a rule that observes says what it would do"
gone "$watched"; is "and does not" $? 1

sleeper "${tag}h"; hooked=$sleeper
until_ok test -e "$d/hooked" && ok "a hook is run" || not_ok "a hook is run"
is "with what it must know, and nothing else" "$(cat "$d/hooked")" "rule=hook comm=${tag}h pid=$hooked home=unset arg=one"

has "a signal by hand" "$(ask "{\"v\":1,\"cmd\":\"signal\",\"pid\":$hooked,\"signal\":\"KILL\"}")" '"signal":"SIGKILL","result":"sent"'
until_ok gone "$hooked" && ok "has arrived" || not_ok "has arrived"
sleeper "${tag}m"; mailed=$sleeper
mail() { ask "{\"v\":1,\"cmd\":\"signal\",\"pid\":$1,\"signal\":\"KILL\",\"road\":\"$2\"}"; }
if [ -e /dev/gpufas ]; then
	echo "# /dev/gpufas is there: that its absence is an error is not looked at"
else
	has "by a mailbox that is not there" "$(mail "$mailed" mailbox)" "SIGKILL is not sent to pid $mailed: no /dev/gpufas: the kernel module is not loaded"
fi
has "nor by a road into guests" "$(mail "$mailed" store)" 'leads into guests'
has "nor by one that there is not" "$(mail "$mailed" moon)" 'no such road'
gone "$mailed"; is "and by no other road instead" $? 1
has "by a system call, asked for" "$(mail "$mailed" call)" '"result":"sent"'
until_ok gone "$mailed" && ok "it has arrived, too" || not_ok "it has arrived, too"
has "not to pid 1" "$(ask '{"v":1,"cmd":"signal","pid":1,"signal":"TERM"}')" '"ok":false'
has "not to the daemon" "$(ask "{\"v\":1,\"cmd\":\"signal\",\"pid\":$daemon,\"signal\":\"TERM\"}")" '"ok":false'
ask '{"v":1,"cmd":"observe","on":true}' >/dev/null
sleeper "${tag}v"; second=$sleeper
until_ok logged "victim: would send SIGTERM to ${tag}v (pid $second" && ok "observe mode by command" || not_ok "observe mode by command"
gone "$second"; is "touches nothing" $? 1
has "and sends none by hand" "$(ask "{\"v\":1,\"cmd\":\"signal\",\"pid\":$second,\"signal\":\"TERM\"}")" "observe mode"
ask '{"v":1,"cmd":"observe","on":false}' >/dev/null
until_ok gone "$second" && ok "until it is switched off" || not_ok "until it is switched off"
comes "metrics count it" 'gpufas_actions_total{rule=\"victim\",action=\"SIGTERM\",target=\"this-machine\"} 2' ask '{"v":1,"cmd":"metrics"}'
stop; is "stop" $? 0
echo "1..$n"
