#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# make bench: all figures, with their limits beside them. Run it on a machine that does nothing
# else. Makes 10,000 sleeping processes of its own, which end with it.
set -u
cd "$(dirname "$0")/.." || exit 1
. demo/lib.sh
for p in "$BUILD/bench/bench_e2e" "$BUILD/tests/helpers/sleepers" "$BUILD/gpufasd"; do
	[ -x "$p" ] || { echo "$p is not there: make bench builds it" >&2; rm -rf "$dir"; exit 1; }
done
sleepers=
cleanup() {
	stop_daemon
	stop_sleepers
	rm -rf "$dir"
}
stop_sleepers() {
	[ -n "$sleepers" ] || return 0
	kill -TERM -- "-$sleepers" 2>/dev/null
	wait "$sleepers" 2>/dev/null
	sleepers=
	# 10,000 exits take a moment, and would disturb what comes next.
	for _ in $(seq 300); do
		[ "$(processes)" -lt 300 ] && break
		sleep 0.1
	done
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

row() { # row NAME VALUE UNIT LIMIT-OR-EMPTY
	awk -v name="$1" -v v="$2" -v unit="$3" -v limit="$4" 'BEGIN {
		goal = ok = ""
		if (limit != "") { goal = "at most " limit " " unit; ok = v + 0 <= limit + 0 ? "met" : "MISSED" }
		printf "%-58s %10.3f %-8s %-18s %s\n", name, v, unit, goal, ok
	}'
}
start_sleepers() {
	local made
	"$BUILD/tests/helpers/sleepers" "$1" 300 >"$dir/sleepers" &
	sleepers=$!
	for _ in $(seq 300); do
		made=$(sed -n 's/^ready //p' "$dir/sleepers")
		[ -n "$made" ] && break
		sleep 0.1
	done
	[ "${made:-0}" -eq "$1" ] || { echo "only ${made:-0} of $1 processes could be made" >&2; exit 1; }
	sleep 1
}
processes() { compgen -G '/proc/[0-9]*' | wc -l; }
# CPU time of all threads of a process, in ns.
cpu_ns() { awk '{ n += $1 } END { printf "%d", n }' "/proc/$1/task/"*/schedstat 2>/dev/null; }

echo "# $(grep -m1 'model name' /proc/cpuinfo | sed 's/.*: //'), $(nproc) CPUs; Linux $(uname -r); $(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' /etc/os-release)"
echo "# load before: $(cut -d' ' -f1-3 /proc/loadavg)"
echo

# Virtual machines: a subshell for what the guests' library sets.
guests() {
	echo
	(
		. tests/vm/lib.sh
		for k in linux-image-cloud-amd64 linux-image-6.12-cloud-amd64; do
			vm_kernel $k || echo "guests with $k: not measured, $why"
		done
	)
	python3 bench/guests.py
}

if [ "${1:-}" = simulation ]; then
	exec python3 bench/simulation.py
fi

# `bench.sh daemon`: only the figures of the daemon as a whole; `bench.sh guests`: only those of virtual machines.
if [ "${1:-}" = guests ]; then
	guests
	exit
fi
if [ "${1:-}" != daemon ]; then
for b in "$BUILD"/bench/bench_*; do
	case $b in *.d | *.o | */bench_e2e | *'*'*) continue ;; esac
	[ -x "$b" ] && "$b"
done
"$BUILD/bench/bench_e2e" rest

echo
start_sleepers 10000
"$BUILD/bench/bench_e2e" tick >"$dir/tick"
grep -v '^#' "$dir/tick"
proc_ms=$(sed -n 's/^# \/proc, sizes, names, times total_ms //p' "$dir/tick")

# earlyoom's victim scan over the same processes, without its debug output, which would
# slow it down: it says "low memory!" before the scan and whom it found after it. The
# thresholds make it believe that memory is always low; --dryrun: it kills nothing.
if command -v earlyoom >/dev/null 2>&1; then
	timeout -s INT 5 earlyoom --dryrun -m 99,98 -s 100,100 -r 0 2>&1 | while IFS= read -r line; do
		t=${EPOCHREALTIME/[.,]/}
		case $line in
		"low memory!"*) from=$t ;;
		"sending SIG"*" to process"*) [ -n "${from:-}" ] && echo $((t - from)); from= ;;
		esac
	done | sort -n >"$dir/earlyoom"
	us=$(sed -n "$((($(wc -l <"$dir/earlyoom") + 1) / 2))p" "$dir/earlyoom")
	if [ -n "$us" ]; then
		ms=$(awk -v us="$us" 'BEGIN { print us / 1000 }')
		row "earlyoom $(earlyoom -v 2>&1 | sed -n 's/^earlyoom *//p' | head -n 1): victim scan, the same processes" "$ms" ms ""
		row "/proc, sizes, names, times: a whole tick, against earlyoom's scan" "$(awk -v a="$proc_ms" -v b="$ms" 'BEGIN { print 100 * a / b }')" % 100
	else
		echo "earlyoom's scan could not be timed"
	fi
else
	echo "earlyoom is not installed: no comparison"
fi
else
	start_sleepers 10000
fi

mkdir "$dir/policy.d"
"$BUILD/bench/bench_e2e" policy 100 quiet >"$dir/policy.d/bench.policy"
write_config observe "$dir/policy.d"
start_daemon || exit 1
sleep 5
row "daemon: resident memory, 10,000 processes and 100 rules" "$(awk '/^VmRSS/ { print $2 / 1024 }' "/proc/$daemon/status")" MiB 32
stop_daemon
stop_sleepers

# 200 processes: as many of our own as are missing. No rule is true: an idle watchdog.
"$BUILD/bench/bench_e2e" policy 100 quiet >"$dir/policy.d/bench.policy"
have=$(processes)
[ "$have" -lt 199 ] && start_sleepers $((199 - have))
sleep 1
start_daemon || exit 1
sleep 3
before=$(cpu_ns "$daemon")
from=${EPOCHREALTIME/[.,]/}
sleep 20
after=$(cpu_ns "$daemon")
to=${EPOCHREALTIME/[.,]/}
row "daemon: CPU at a 100 ms period, $(processes) processes, 100 rules" \
	"$(awk -v n=$((after - before)) -v t=$((to - from)) 'BEGIN { print n / t / 10 }')" % 1
stop_daemon

# Reloads through the whole daemon: compile, verify, swap, at a 10 ms period.
sed -i 's/^period:.*/period: 10ms/' "$dir/gpufas.yaml"
start_daemon || exit 1
sleep 1
missed() { ctl status --json | tr ',{' '\n\n' | sed -n 's/.*"missed": *\([0-9]*\).*/\1/p' | head -n 1; }
before=$(missed)
for i in $(seq 30); do
	"$BUILD/bench/bench_e2e" policy $((90 + i)) quiet >"$dir/policy.d/bench.policy"
	ctl reload >/dev/null 2>&1 || echo "reload $i failed"
done
row "daemon: ticks missed in 30 reloads at a 10 ms period" "$(($(missed) - before))" "" 0
[ "${1:-}" = daemon ] || { python3 bench/simulation.py; guests; }
