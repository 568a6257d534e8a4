#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The daemon on an emulated GPU: what runs where, rules that act, reloads, and a device that fails.
. tests/daemon/lib.sh

export GPUFAS_EMU_FAILED=$d/failed
start() { # daemon's options
	: >"$d/log"
	"$B/tests/gpufasd-emu" -c "$d/gpufas.yaml" "$@" 2>>"$d/log" &
	daemon=$!
	pids+=("$daemon")
	until_ok ask '{"v":1,"cmd":"ping"}' || echo "# the daemon does not answer"
}
status() { ask '{"v":1,"cmd":"status"}'; }
on() { status | grep -q "\"engine\":{\"kind\":\"$1\""; }
ticks() { status | grep -o '"ticks":[0-9]*' | head -1 | cut -d: -f2; }

for mode in persistent launch; do
	rm -f "$d/failed" "$d"/policy.d/*
	config ""
	sed -i "s/^engine: .*/engine: {realtime: no, mlock: no, kind: gpu, gpu: {mode: $mode}}/" "$d/gpufas.yaml"
	cat >"$d/policy.d/a.policy" <<-P
	rule first if comm == "$tag-a" for 200ms then SIGTERM it
	P
	start
	s=$(status)
	has "$mode: status: a GPU runs it" "$s" '"engine":{"kind":"gpu"'
	has "$mode: and which" "$s" "Emulated GPU 0"
	sleeper $tag-a
	until_ok gone $sleeper && ok "$mode: a rule acts" || not_ok "$mode: a rule acts" "$(status)"
	echo "rule second if comm == \"$tag-b\" for 200ms then SIGSTOP it then after 1s SIGKILL" >"$d/policy.d/b.policy"
	has "$mode: a reload" "$(ask '{"v":1,"cmd":"reload"}')" '"data":{"rules":2,"kept":1'
	on gpu && ok "$mode: on the GPU still" || not_ok "$mode: on the GPU still" "$(status)"
	has "$mode: rule views" "$(ask '{"v":1,"cmd":"rules"}')" '"name":"second"'
	# in the second of two steps
	sleeper $tag-b
	until_ok grep -q "^State:.T" /proc/$sleeper/status && ok "$mode: the new rule's first step" || not_ok "$mode: the new rule's first step"
	touch "$d/failed"
	until_ok on cpu && ok "$mode: a device that fails: the CPU goes on" || not_ok "$mode: a device that fails: the CPU goes on" "$(status)"
	until_ok gone $sleeper && ok "$mode: and takes the rule's second step" || not_ok "$mode: and takes the rule's second step" "$(status)"
	s=$(status)
	has "$mode: status says why" "$s" "illegal memory access"
	has "$mode: and counts" "$s" '"takeovers":1'
	until_ok logged "was given up" && ok "$mode: the log says so" || not_ok "$mode: the log says so"
	sleeper $tag-a
	until_ok gone $sleeper && ok "$mode: rules act still" || not_ok "$mode: rules act still" "$(status)"
	t=$(ticks)
	later() { [ "$(ticks)" -gt "$t" ]; }
	until_ok later && ok "$mode: ticks go on" || not_ok "$mode: ticks go on"
	has "$mode: and status, what brings it back" "$s" '`gpufasctl reload` tries it again'
	r=$("$B/gpufasctl" --socket "$d/run/s" reload 2>&1)
	has "$mode: gpufasctl reload tries it again, and says what became of that" "$r" "could not be had again"
	has "$mode: so does status" "$(status)" "could not be had again"
	until_ok logged "could not be had again" && ok "$mode: and the log" || not_ok "$mode: and the log"
	rm "$d/failed"
	r=$("$B/gpufasctl" --socket "$d/run/s" reload 2>&1)
	hasnt "$mode: once the device is well gpufasctl reload has no more to say" "$r" "had again"
	on gpu && ok "$mode: and it is used again" || not_ok "$mode: and it is used again" "$(status)"
	has "$mode: gpufasctl status says so" "$("$B/gpufasctl" --socket "$d/run/s" status 2>&1)" "used again; the CPU had taken over 1 time"
	sleeper $tag-a
	until_ok gone $sleeper && ok "$mode: and acts" || not_ok "$mode: and acts" "$(status)"
	stop
	is "$mode: and it ends in peace" $? 0
done
echo "1..$n"
