#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A daemon that is not there, not allowed, stuck, or no daemon at all.
. tests/ctl/lib.sh

out=$($ctl status --socket "$work/none" 2>&1); rc=$?
is "no daemon: exit 3" $rc 3
has "no daemon: says how to start it" "$out" "systemctl start gpufasd"
out=$(GPUFAS_SOCKET=$work/none $ctl events -f 2>&1); rc=$?
is "events -f without a daemon does not wait for ever" $rc 3
touch "$work/file"
out=$($ctl ps --socket "$work/file" 2>&1); rc=$?
is "a file that is no socket: exit 3" $rc 3
out=$($ctl ps --socket "$work/$(printf 'x%.0s' $(seq 200))" 2>&1); rc=$?
is "a path longer than sockets have: exit 3" $rc 3
has "a path longer than sockets have: says so" "$out" "longer than"

start_fake
kill "$fake"; wait "$fake" 2>/dev/null
out=$($ctl status 2>&1); rc=$?
is "a socket nobody listens at: exit 3" $rc 3
has "a socket nobody listens at: says how to start" "$out" "systemctl start gpufasd"
start_fake

if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	chmod 755 "$work"; chmod 660 "$work/s"; cp "$ctl" "$work/ctl"
	out=$(setpriv --reuid 65534 --regid 65534 --clear-groups "$work/ctl" status 2>&1); rc=$?
	is "not allowed: exit 3" $rc 3
	has "not allowed: names the group to join" "$out" "join group gpufas"
else
	for t in "exit 3" "names the group to join"; do n=$((n + 1)); echo "ok $n - not allowed: $t # SKIP not root"; done
fi

# try NAME WANTED_RC PATTERN: gpufasctl status with $work/d/status.raw as it is now
try()
{
	local out rc
	out=$(timeout 30 $ctl ${4:-status} 2>&1); rc=$?
	is "$1: exit $2" $rc "$2"
	has "$1: says so" "$out" "$3"
}
raw=$work/d/status.raw
printf 'HTTP/1.1 400 Bad Request\r\n\r\n' >"$raw"
try "another service" 3 "does not answer as gpufasd does"
: >"$raw"
try "closes at once" 3 "without an answer"
printf '{"v":1,"ok":true,"data":{"version":"0.' >"$raw"
try "dies midway" 3 "in the middle of its answer"
printf '{"v":1,"ok":true}\n' >"$raw"
try "an answer without data" 3 "does not answer as gpufasd does"
printf '{"v":2,"ok":true,"data":{}}\n' >"$raw"
try "another version of the protocol" 3 "version 2 of the protocol"
printf '[1,2]\n' >"$raw"
try "an array" 3 "does not answer as gpufasd does"
printf '{"v":1,"ok":false}\n' >"$raw"
try "a refusal without a reason" 1 "gave no reason"
printf '{"v":1,"ok":false,"error":"no\\u001b[31m"}\n' >"$raw"
try "an escape in a refusal" 1 'no?\[31m'
{ printf '{"v":1,"ok":true,"data":{"a":"'; head -c 3000000 /dev/zero | tr '\0' x; printf '"}}\n'; } >"$raw"
try "a long answer is read whole" 0 "gpufasd"
head -c 200000 /dev/urandom >"$raw"
out=$(timeout 30 $ctl status 2>&1); rc=$?
is "noise: exit 3" $rc 3
for i in $(seq 30); do printf '['; done >"$raw"; printf '\n' >>"$raw"
try "brackets" 3 "does not answer"

# Data of the wrong types everywhere: no crash, whatever it shows.
rm "$raw"
crash=0
for w in 'null' '{}' '[]' '"x"' '-1e308' '[{}]' '[null]' 'true'; do
	for c in status rules ps events explain ping; do
		printf '{"v":1,"ok":true,"data":{"rules":%s,"rule":%s,"event":%s,"events":%s,"targets":%s,"tasks":%s,"host":%s,"policy":%s,"budget":%s,"engine":%s,"period_ns":%s,"version":%s,"mode":%s}}\n' \
			"$w" "$w" "$w" "$w" "$w" "$w" "$w" "$w" "$w" "$w" "$w" "$w" "$w" >"$work/d/$c.json"
	done
	for c in "status" "ps" "events" "explain 1" "explain x" "top --once"; do
		# shellcheck disable=SC2086
		timeout 30 $ctl $c >/dev/null 2>&1
		[ $? -ge 4 ] && { crash=1; echo "# $c with $w"; }
	done
done
is "data of wrong types: no crash" $crash 0
cp $here/data/*.json "$work/d/"

# One that stalls: said after five seconds, all commands at once.
for c in status ps events metrics; do touch "$work/d/$c.stall"; done
pids=()
for c in status ps "events -f" metrics "top --once"; do
	# shellcheck disable=SC2086
	{ timeout 60 $ctl $c >"$work/stall.${c%% *}" 2>&1; echo "exit $?" >>"$work/stall.${c%% *}"; } &
	pids+=($!)
done
wait "${pids[@]}"
for c in status ps events metrics top; do
	is "$c of a stalled daemon: exit 3" "$(tail -1 "$work/stall.$c")" "exit 3"
	has "$c of a stalled daemon: says so" "$(cat "$work/stall.$c")" "has not answered for 5 s"
done
rm "$work"/d/*.stall

$ctl status >/dev/full 2>/dev/null
is "output that cannot be written is no success" $? 1
plan
