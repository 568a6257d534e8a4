#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# make demo: two hogs of our own misbehave, gpufasd ends them, and a process of the
# same name, which a policy protects, lives. The policy that enforces is limited to
# the three: no other process of this machine can be chosen.
set -u
# shellcheck disable=SC2317  # cleanup is called by the trap
cd "$(dirname "$0")/.." || exit 1
. demo/lib.sh
helpers=$BUILD/tests/helpers
cgroup=''
pids=()
follower=''

cleanup() {
	[ -n "$follower" ] && kill "$follower" 2>/dev/null
	stop_daemon
	# A number may have been given to somebody else by now: only what bears our name.
	for p in "${pids[@]}"; do
		case $(cat "/proc/$p/comm" 2>/dev/null) in demo-*) kill -KILL "$p" 2>/dev/null ;; esac
	done
	wait 2>/dev/null
	if [ -n "$cgroup" ]; then rmdir "$cgroup/keep" "$cgroup" 2>/dev/null; fi
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

start=${EPOCHREALTIME/[.,]/}
say() {
	local t=$(((${EPOCHREALTIME/[.,]/} - start) / 100000))
	printf '[%3d.%d s] %s\n' $((t / 10)) $((t % 10)) "$*"
}

# A cgroup of our own, in the v2 tree wherever it is mounted: at its root as root, below
# our own cgroup otherwise (systemd hands that to users).
make_cgroup() {
	local mount own
	mount=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
	[ -n "$mount" ] || return 1
	own=
	[ "$(id -u)" -eq 0 ] || own=$(sed -n 's/^0:://p' /proc/self/cgroup)
	cgroup_path="${own%/}/gpufas-demo.$$"
	mkdir "$mount$cgroup_path" 2>/dev/null || return 1
	cgroup=$mount$cgroup_path
	mkdir "$cgroup/keep" 2>/dev/null || return 1
}

launch() { # launch CGROUP-OR-EMPTY PROGRAM ARGS...: sets $pid
	local where=$1
	shift
	(
		if [ -n "$where" ]; then echo "$BASHPID" >"$where/cgroup.procs" || exit 1; fi
		exec "$@" >/dev/null
	) &
	pid=$!
	pids+=("$pid")
}

if make_cgroup; then
	say "a cgroup for the demo: $cgroup"
	keep_in=$cgroup/keep
else
	say "no cgroup v2 can be made here: the policy is limited to the three processes by name and pid"
	[ -n "$cgroup" ] && rmdir "$cgroup" 2>/dev/null
	cgroup='' keep_in=''
fi

launch "$keep_in" "$helpers/memhog" --comm demo-memhog --limit 220 --rate 220 --seconds 60
kept=$pid
say "demo-memhog (pid $kept) takes 220 MiB: it is the one to be protected"
launch "$cgroup" "$helpers/memhog" --comm demo-memhog --limit 320 --rate 60 --seconds 60 --deaf
hog=$pid
say "demo-memhog (pid $hog) grows by 60 MiB a second up to 320 MiB, and ignores SIGTERM"
launch "$cgroup" "$helpers/cpuhog" --comm demo-cpuhog --seconds 60
spin=$pid
say "demo-cpuhog (pid $spin) spins"

mkdir "$dir/policy.d"
policy=$dir/policy.d/demo.policy
if [ -n "$cgroup" ]; then
	cat >"$policy" <<-POLICY
		let ours = cgroup ~ "$cgroup_path*"
		protect cgroup == "$cgroup_path/keep"
	POLICY
else
	cat >"$policy" <<-POLICY
		let ours = pid in ($kept, $hog, $spin)
		protect pid == $kept
	POLICY
fi
cat >>"$policy" <<'POLICY'

rule demo-memory "a process of the demo is too large"
  if ours and comm == "demo-memhog" and rss > 200MiB for 1s
  then SIGTERM largest
  then after 2s SIGKILL
  cooldown 1s  limit 5 per 1min

rule demo-cpu "a process of the demo does not stop computing"
  if ours and cpu > 30% for 3s
  then renice +10 it
  then after 2s SIGKILL
  cooldown 1s  limit 5 per 1min
POLICY
say "the policy, enforced from now on:"
sed 's/^/            | /' "$policy"
"$BUILD/gpufasctl" check --strict "$policy" || exit 1

write_config enforce "$dir/policy.d"
start_daemon || exit 1
say "gpufasd is up; what it reports:"
# Not by ctl: the number of the function's shell is not that of the program, which would stay.
"$BUILD/gpufasctl" events --follow --socket "$dir/control.sock" >"$dir/events" 2>/dev/null &
follower=$!

# The follower's lines, as they come, until both hogs are gone (or 40 s are over).
seen=0
show_events() {
	local line
	while IFS= read -r line; do
		seen=$((seen + 1))
		# Its time of day is of no use here: there is ours.
		say "  $(sed 's/^[0-9-]* [0-9:.]* *//' <<<"$line")"
	done < <(tail -n +$((seen + 1)) "$dir/events")
}
for _ in $(seq 200); do
	sleep 0.2
	show_events
	kill -0 "$hog" || kill -0 "$spin" || break
done 2>/dev/null # the shell's own word on children that were killed, too
sleep 1.5
show_events

echo
say "why the memory hog, and not the other process of the same name:"
number=$("$BUILD/gpufasctl" events --json --lines 200 --rule demo-memory --socket "$dir/control.sock" |
	sed -n 's/.*"seq": *\([0-9]*\).*"kind": *"action".*/\1/p' | head -n 1)
[ -n "$number" ] && ctl explain "$number" | sed 's/^/            | /'

# What became of them: 137 is SIGKILL.
verdict=0
ended() { # ended PID NAME
	local rc
	if kill -0 "$1" 2>/dev/null; then
		say "NOT AS IT SHOULD BE: $2 (pid $1) lives"
		verdict=1
		return
	fi
	wait "$1" 2>/dev/null
	rc=$?
	if [ $rc -gt 128 ]; then
		say "$2 (pid $1) was ended by SIG$(kill -l $((rc - 128)))"
	else
		say "NOT AS IT SHOULD BE: $2 (pid $1) ended by itself, with $rc"
		verdict=1
	fi
}
echo
ended "$hog" demo-memhog
ended "$spin" demo-cpuhog
if kill -0 "$kept" 2>/dev/null && grep -q '^State:.[SR]' "/proc/$kept/status"; then
	say "the protected demo-memhog (pid $kept) lives, with $(awk '/^VmRSS/ { printf "%d MiB", $2 / 1024 }' "/proc/$kept/status")"
else
	say "NOT AS IT SHOULD BE: the protected demo-memhog (pid $kept) is gone"
	verdict=1
fi
[ $verdict -eq 0 ] && say "recovered."
exit $verdict
