#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Many targets in one daemon. This machine stands for two: each has a policy, a period and a mode of its own.
. tests/daemon/lib.sh
ctl() { "$B/gpufasctl" --socket "$d/run/s" "$@"; }
mkdir "$d/own"

targets() { # extra lines of the second
	config "targets:
- name: one
- name: two
  sampler: proc
  period: 70ms
  max-tasks: 4096
  mode: observe
  policy: {directories: [$d/own]}
$*"
}
targets
echo "rule all if comm == \"${tag}v\" then SIGTERM it cooldown 1s settle 1s" >"$d/policy.d/a.policy"
echo "rule mine if comm == \"${tag}x\" then SIGKILL it cooldown 1h" >"$d/own/b.policy"

out=$("$B/gpufasd" -c "$d/gpufas.yaml" --check-config)
has "--check-config counts for each" "$out" "two (host): 1 rule in 1 file"
echo "rule bad if rss > 5s then log" >"$d/own/c.policy"
out=$("$B/gpufasd" -c "$d/gpufas.yaml" --check-config 2>&1); rc=$?
is "a policy that one target cannot have: exit status" $rc 1
has "names that target" "$out" "target two: the policy has 1 error"
rm "$d/own/c.policy"

start
s=$(ask '{"v":1,"cmd":"status"}')
has "status has both" "$s" '"name":"two","kind":"host","road":"proc","mode":"observe","period_ns":70000000,"engine":{"kind":"cpu"'
has "and how signals go, and that the kernel module is ruled out" "$s" '"delivery":"pidfd","module":"not to be used"'
has "and each one's policy" "$s" '"policy":{"files":["'"$d/own/b.policy"'"]'
has "the daemon as a whole acts" "$s" '"mode":"enforce","period_ns":50000000,"engine"'
has "rules of the first" "$(ask '{"v":1,"cmd":"rules"}')" '"target":"one","rules":[{"name":"all"'
has "rules of the second" "$(ask '{"v":1,"cmd":"rules","target":"two"}')" '"target":"two","rules":[{"name":"mine"'
has "explain finds who has the rule" "$(ask '{"v":1,"cmd":"explain","rule":"mine"}')" '"target":"two","rule":{"name":"mine"'
has "explain for a target that has not" "$(ask '{"v":1,"cmd":"explain","rule":"mine","target":"one"}')" 'there is no rule \"mine\" for target one'
has "no such target" "$(ask '{"v":1,"cmd":"ps","target":"twoo"}')" 'there is no target \"twoo\"; did you mean \"two\"?'
has "ps of the second" "$(ask '{"v":1,"cmd":"ps","target":"two"}')" '{"target":"two","now_ns"'
has "a status for people names both rules' targets" "$(ctl status)" "  two              mine "
has "and both policies" "$(ctl status)" "$d/own/b.policy"

sleeper "${tag}v"; victim=$sleeper
sleeper "${tag}x"; watched=$sleeper
until_ok logged "two: mine: would send SIGKILL to ${tag}x (pid $watched"; is "an event names its target; the one that observes observes" $? 0
until_ok gone "$victim"; is "the other acts" $? 0
wait "$victim"; is "with its own policy" $? 143
gone "$watched"; is "the first leaves alone what is the second's" $? 1
until_ok logged "one: all: ${tag}v (pid $victim) gone"; is "and reports it" $? 0
until_ok shows '"target":"one","kind":"result"' ask '{"v":1,"cmd":"events","last":1000}'; both=$got second=$(ask '{"v":1,"cmd":"events","last":1000,"target":"two"}')
has "events of all" "$both" '"target":"one","kind":"result"'
hasnt "events of one are of that one" "$second" '"target":"one"'
has "and all of that one" "$second" '"target":"two","kind":"action","rule":"mine"'
hasnt "what is about the daemon is about no target" "$(grep -o '{"seq":[0-9]*,[^{]*"gpufasd [^"]*"' <<<"$both")" '"target"'
m=$(ctl metrics)
has "metrics: actions" "$m" 'gpufas_actions_total{rule="all",action="SIGTERM",target="one"} 1'
has "metrics: modes" "$m" 'gpufas_observe{target="two"} 1'
# What rules are is published a few times a second: that the victim is gone may come with the next.
trues() { ctl metrics | grep '^gpufas_rule_true' | tr '\n' ' '; }
comes "metrics: rules of both" 'gpufas_rule_true{rule="all",target="one"} 0 gpufas_rule_true{rule="mine",target="two"}' trues
is "metrics: no family twice" "$(grep '^# TYPE' <<<"$m" | sort | uniq -d)" ""
is "top shows the one that is asked for" "$(ctl top --once --target two | grep -c '^ *mine ')$(ctl top --once --target two | grep -c '^ *all ')" 10

# ---- all policies, or none
echo "rule all2 if comm == \"$tag-none\" then log" >"$d/policy.d/a.policy"
echo "rule bad if rss > 5s then log" >"$d/own/b.policy"
r=$(ask '{"v":1,"cmd":"reload"}')
has "a reload that one target refuses is refused" "$r" "target two: the policy has 1 error; the old policy stays in force"
has "for all" "$(ask '{"v":1,"cmd":"rules"}')" '"name":"all"'
rm "$d/own/b.policy"
echo "rule fine if comm == \"$tag-none\" then log" >"$d/own/b.policy"
has "a reload counts over all" "$(ask '{"v":1,"cmd":"reload"}')" '"data":{"rules":2,"kept":0'
has "the first has its new one" "$(ask '{"v":1,"cmd":"rules"}')" '"name":"all2"'
has "the second, too" "$(ask '{"v":1,"cmd":"rules","target":"two"}')" '"name":"fine"'
targets "- name: three"
has "a new target waits for a restart" "$(ask '{"v":1,"cmd":"reload"}')" "changes of targets take effect only after a restart"
targets; sed -i 's/mode: observe/mode: enforce/' "$d/gpufas.yaml"; ask '{"v":1,"cmd":"reload"}' >/dev/null
comes "a mode does not" "two: mode is enforce now" ask '{"v":1,"cmd":"events","last":3}'

# ---- observe
targets; ask '{"v":1,"cmd":"reload"}' >/dev/null
modes() { ask '{"v":1,"cmd":"status"}' | grep -o '"mode":"[a-z]*"' | tr '\n' ' '; }
is "modes again" "$(modes)" '"mode":"enforce" "mode":"enforce" "mode":"observe" '
ask '{"v":1,"cmd":"observe","on":true}' >/dev/null
is "observe on is for all" "$(modes)" '"mode":"observe" "mode":"observe" "mode":"observe" '
has "observe off names who goes on" "$(ctl observe off)" "but two goes on observing, as its own mode says"
is "and leaves it" "$(modes)" '"mode":"enforce" "mode":"enforce" "mode":"observe" '
ctl observe off --target two >/dev/null
is "unless it is named" "$(modes)" '"mode":"enforce" "mode":"enforce" "mode":"enforce" '
ctl observe on --target two >/dev/null
sleeper "${tag}w"; w=$sleeper
has "no signal through one that observes" "$(ask "{\"v\":1,\"cmd\":\"signal\",\"target\":\"two\",\"pid\":$w,\"signal\":\"TERM\"}")" "target two is in observe mode"
has "but through the other" "$(ask "{\"v\":1,\"cmd\":\"signal\",\"target\":\"one\",\"pid\":$w,\"signal\":\"TERM\"}")" '"result":"sent"'
until_ok gone "$w"; is "it goes" $? 0
stop; is "stop" $? 0

# ---- guests and images that are not there: said, and the others unharmed
head -c 1000000 /dev/zero >"$d/zeros"
rm "$d/own/b.policy"
echo "rule v if target.kind != \"host\" and task->mm->map_count > 5 and comm == \"$tag-none\" then SIGKILL it cooldown 1min" >"$d/own/v.policy"
echo "rule all if comm == \"${tag}v\" then SIGTERM it cooldown 1s settle 1s" >"$d/policy.d/a.policy"
config "targets:
- name: here
- {name: away, kind: vm, qmp: $d/no.qmp, policy: {files: [$d/own/v.policy]}}
- {name: file, kind: vm, ram: $d/no.ram}
- {name: zeros, kind: image, file: $d/zeros}
- {name: core, kind: image, file: $d/no.core}
"
start
t() { ask '{"v":1,"cmd":"status"}' | grep -o "{\"name\":\"$1\",\"kind.*" | sed 's/},{"name":.*//'; }
comes "a guest that is not there waits" '"mode":"enforce","state":"waiting","release":""' t away
comes "and status says why" "there is no QMP socket $d/no.qmp" t away
comes "so does one of a RAM file" "$d/no.ram" t file
comes "an image without a kernel" '"stale":true' t zeros
has "is never acted on" "$(t zeros)" '"mode":"observe"'
comes "an image that is not there" "$d/no.core: No such file" t core
ticks() { t "$1" | grep -o '"ticks":[0-9]*'; }
for k in here away core; do
	before=$(ticks $k)
	more() { [ "$(ticks $k)" != "$before" ]; }
	until_ok more; is "ticks of $k go on" $? 0
done
hasnt "this machine is well" "$(t here)" '"stale":true'
sleeper "${tag}v"; victim=$sleeper
until_ok gone "$victim"; is "and watched" $? 0
has "ps of a guest that is not there" "$(ask '{"v":1,"cmd":"ps","target":"away"}')" "there is no QMP socket"
has "ps of an image that is not there" "$(ask '{"v":1,"cmd":"ps","target":"core"}')" "no.core: No such file"
has "a signal into a guest that is not there" "$(ask '{"v":1,"cmd":"signal","target":"away","pid":5,"signal":"KILL"}')" "SIGKILL is not sent to pid 5: the guest is not attached"
by() { ask "{\"v\":1,\"cmd\":\"signal\",\"target\":\"$1\",\"pid\":5,\"signal\":\"KILL\",\"road\":\"$2\"}"; }
has "nor by its mailbox" "$(by away mailbox)" "SIGKILL is not sent to pid 5: the guest is not attached"
has "nor by a system call" "$(by away call)" "is for this machine; into a guest: store"
has "no road leads into an image" "$(by core mailbox)" "it is never acted on"
has "fields of a guest that is not there" "$(ask '{"v":1,"cmd":"fields","target":"away","path":"task"}')" "there is no QMP socket"
has "what a target is, is known without its kernel" "$(ask '{"v":1,"cmd":"fields","target":"away"}')" '"kind":"vm","release":""'
has "this machine has no kernel paths" "$(ask '{"v":1,"cmd":"fields","path":"task"}')" "kernel paths are for guests and images"
has "an image acts for nobody" "$(ctl observe off -t core 2>&1)" "it is never acted on"
has "reload" "$(ask '{"v":1,"cmd":"reload"}')" '"ok":true'
has "metrics: stale ones" "$(ctl metrics)" 'gpufas_stale{target="away"} 1'
stop; is "stop with guests that are not there" $? 0
echo "1..$n"
