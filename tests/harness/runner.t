#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The test runner itself: a suite that is broken in every way must not count as passed.
set -u
echo "1..12"
n=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/tests/unit"

case_of() { # case_of NAME BODY: one test program
	printf '#!/bin/bash\n%s\n' "$2" >"$work/tests/unit/test_$1"
	chmod +x "$work/tests/unit/test_$1"
}
expect() { # expect NAME "N passed, N failed, N skipped" EXIT
	local last rc
	last=$(unset TALLY; BUILD=$work TESTS="^$work/tests/unit/test_$1\$" FILE_TIMEOUT=2 tests/run | tail -n 1; exit "${PIPESTATUS[0]}")
	rc=$?
	n=$((n + 1))
	if [ "$last" = "$2" ] && [ $rc -eq "$3" ]; then
		echo "ok $n - $1: $2"
	else
		echo "not ok $n - $1: wanted \"$2\" and exit $3, got \"$last\" and $rc"
	fi
}

case_of good 'echo 1..2; echo "ok 1 - a"; echo "ok 2 - b # SKIP not here"'
expect good "1 passed, 0 failed, 1 skipped" 0
case_of failing 'echo 1..2; echo "ok 1 - a"; echo "not ok 2 - b"; exit 1'
expect failing "1 passed, 1 failed, 0 skipped" 1
case_of crash 'echo 1..1; echo "ok 1 - a"; kill -SEGV $$'
expect crash "1 passed, 1 failed, 0 skipped" 1
case_of short 'echo 1..3; echo "ok 1 - a"'
expect short "1 passed, 1 failed, 0 skipped" 1
case_of silent 'exit 0'
expect silent "0 passed, 1 failed, 0 skipped" 1
case_of planless 'echo "ok 1 - a"'
expect planless "1 passed, 1 failed, 0 skipped" 1
case_of status 'echo 1..1; echo "ok 1 - a"; exit 3'
expect status "1 passed, 1 failed, 0 skipped" 1
case_of hangs 'echo 1..1; echo "ok 1 - a"; sleep 30'
expect hangs "1 passed, 1 failed, 0 skipped" 1
case_of bail 'echo 1..1; echo "Bail out! no disk"; exit 1'
expect bail "0 passed, 1 failed, 0 skipped" 1
case_of nothing_here 'echo "1..0 # SKIP no such kernel"'
expect nothing_here "0 passed, 0 failed, 1 skipped" 0
# cmocka's way of saying that a test was skipped.
case_of cmocka_skip 'echo 1..2; echo "ok 1 - a"; echo "not ok 2 # SKIP b"'
expect cmocka_skip "1 passed, 0 failed, 1 skipped" 0
expect no_such_file "0 passed, 1 failed, 0 skipped" 1
