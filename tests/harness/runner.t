#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The test runner itself: a suite that is broken in every way must not count as passed.
set -u
echo "1..22"
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
	last=$(unset TALLY JOBS; BUILD=$work TESTS="^$work/tests/unit/test_$1\$" FILE_TIMEOUT=2 tests/run | tail -n 1; exit "${PIPESTATUS[0]}")
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

# What is at the end: why, who, and how many; the last line stays the last.
end_of() { # end_of EXPRESSION [VARIABLE=VALUE...]
	(unset TALLY JOBS; env BUILD="$work" TESTS="^$work/tests/unit/test_($1)\$" FILE_TIMEOUT=20 "${@:2}" tests/run >"$work/log" 2>&1)
}
check() { # check NAME COMMAND...
	n=$((n + 1))
	if "${@:2}"; then echo "ok $n - $1"; else echo "not ok $n - $1"; sed 's/^/# /' "$work/log"; fi
}
line() { grep -nxF -- "$1" "$work/log" | tail -n 1 | cut -d : -f 1; }
in_order() { # in_order LINE...: the log has them, in this order
	local at=0 next l
	for l in "$@"; do
		next=$(line "$l")
		[ -n "$next" ] && [ "$next" -gt "$at" ] || return 1
		at=$next
	done
}
case_of wordy 'echo 1..3; echo "before it"; echo "not ok 1 - a"; echo "# got: 7"; echo "ok 2 - b"; seq 100; echo "not ok 3 - c"; exit 1'
end_of 'wordy|good|failing'
check "what failed is named at the end, after what it has said" in_order "What failed tests have said:" "   | # got: 7" "Failed:" \
	"  $work/tests/unit/test_wordy: a" "  $work/tests/unit/test_wordy: c" "3 passed, 3 failed, 1 skipped"
check "and nothing of what passed" [ "$(sed -n '/^What failed/,$p' "$work/log" | grep -cE 'test_good|[|] ok ')" = 0 ]
case_of many 'echo 1..99; for i in $(seq 99); do echo "not ok $i - n$i"; echo "# got: $i"; done; exit 1'
end_of many
check "40 lines of a file" [ "$(grep -c '^   | ' "$work/log")" = 40 ]
case_of skips 'echo 1..4; for i in 1 2 3 4; do echo "ok $i - s$i # SKIP no such thing"; done'
end_of skips
check "equal reasons are one line" in_order "Skipped:" "  no such thing ($work/tests/unit/test_skips: s1, $work/tests/unit/test_skips: s2, and 2 more)"

# Two that wait for each other end only side by side; beside one that is alone there is nobody.
export W=$work
meet='echo 1..1; touch "$W/at-$me"; for i in $(seq 100); do [ -e "$W/at-$other" ] && { echo "ok 1 - met"; exit; }; sleep 0.1; done; echo "not ok 1 - met"'
case_of left "me=left other=right; $meet"
case_of right "me=right other=left; $meet"
end_of 'left|right' JOBS=2
check "as many files at a time as are asked for" in_order "2 passed, 0 failed, 0 skipped"
sole='echo 1..1; if mkdir "$W/sole"; then sleep 0.5; rmdir "$W/sole"; echo "ok 1 - sole"; else echo "not ok 1 - sole"; fi'
for i in 1 2 3; do case_of "sole$i" "$sole"; done
end_of 'sole.' JOBS=3
check "without that they are beside each other" [ -n "$(grep '^not ok' "$work/log")" ]
for i in 1 2 3; do case_of "sole$i" "# alone
$sole"; done
end_of 'sole.' JOBS=3
check "who is alone is alone" in_order "3 passed, 0 failed, 0 skipped"
slow='for i in 1 2 3 4; do echo "# $me $i"; sleep 0.2; done; echo 1..1; echo "ok 1 - $me"'
case_of slow1 "me=a; $slow"
case_of slow2 "me=b; $slow"
end_of 'slow.' JOBS=2
check "what a file prints is kept together" [ "$(grep -E '^# [ab] [0-9]' "$work/log" | cut -c 3 | uniq | wc -l)" = 2 ]

# CI adds two runs up, and names the run.
printf '%s\n' 'run build' 'fail x.t: one' 'said x.t: # why' 'skip y.t: two # SKIP no y' 'count 3 1 1' 'run build/san' 'skip y.t: two # SKIP no y' 'count 2 0 1' >"$work/tally"
tests/tally "$work/tally" >"$work/log"
rc=$?
check "runs are added up" in_order "  no y (y.t: two, y.t: two)" "== x.t (build)" "  x.t: one (build)" "5 passed, 1 failed, 2 skipped"
check "and fail together" [ $rc -eq 1 ]
