#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 300
# What tests and benchmarks on a GPU machine are started with: without a GPU each part says so and why, and says nothing else.
# And the device's own tests, where a device answers.
set -u
export LC_ALL=C
B=${BUILD:-build}
n=0
d=$(mktemp -d) || exit 1
trap 'rm -rf "$d"' EXIT
check() { n=$((n + 1)); if [ "$1" -eq 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; sed 's/^/# /' "${3:-/dev/null}" | head -n 20; fi; }
skip() { n=$((n + 1)); echo "ok $n - $1 # SKIP $2"; }

for i in 10 100; do
	python3 tests/gpu/rules.py $i >"$d/r.policy"
	"$B/gpufasctl" check --strict "$d/r.policy" >"$d/said" 2>&1 && grep -q "$i rules" "$d/said"
	check $? "$i rules for the tick: no error, no warning, none covered by another" "$d/said"
done
bash tests/gpu/run.sh nothing >"$d/said" 2>&1
[ $? -eq 2 ]
check $? "an unknown part is refused" "$d/said"

why=
if [ ! -x "$B/bench/gpu_limits" ]; then
	why="nvcc is not installed"
else
	"$B/bench/gpu_limits" device >"$d/gpu" 2>&1 || why=$(head -n 1 "$d/gpu")
	[ -n "$why" ] || why=$(sed -n 's/^skipped: //p' "$d/gpu")
fi
if [ -z "$why" ]; then
	skip "without a GPU every part says that it is skipped" "there is a GPU"
else
	parts="limits tests sanitize rescue tick sixteen latency cost neighbour cpu hostile simulate shadow"
	# shellcheck disable=SC2086
	OUT=$d/out bash tests/gpu/run.sh $parts >"$d/said" 2>&1
	rc=$?
	left=
	for p in $parts; do grep -q "^$p: skipped: ..*" "$d/out/table.txt" || left="$left $p"; done
	[ $rc -eq 0 ] && [ -z "$left" ]
	check $? "without a GPU every part says that it is skipped and why$left" "$d/said"
fi

for t in "$B"/tests/gpu/test_*; do
	case $t in *'*'* | *.o | *.d | *.log) continue ;; esac
	if [ -n "$why" ]; then
		skip "${t##*/}" "$why"
	else
		timeout 120 "$t" >"$d/said" 2>&1
		check $? "${t##*/}" "$d/said"
	fi
done
echo "1..$n"
