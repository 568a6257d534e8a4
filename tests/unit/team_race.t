#!/bin/bash
# SPDX-License-Identifier: MIT
# A team's tick with every access of every lane watched.
BUILD=${BUILD:-build}
bin=$BUILD/tests/helpers/team_race
echo 1..1
case $BUILD in */san) echo "ok 1 - lanes do not race # SKIP it has a sanitizer of its own: it runs in the plain build"; exit 0 ;; esac
if [ ! -x "$bin" ]; then
	echo "ok 1 - lanes do not race # SKIP ThreadSanitizer is not there"
	exit 0
fi
# A machine that randomises addresses more than ThreadSanitizer can bear.
run=()
if ! GF_CASES=1 TSAN_OPTIONS=exitcode=66 "$bin" >"$BUILD/tests/team_race.log" 2>&1 && grep -q 'unexpected memory mapping' "$BUILD/tests/team_race.log"; then
	run=(setarch -R)
fi
if TSAN_OPTIONS=halt_on_error=1 GF_CASES=${GF_CASES:-40} "${run[@]}" "$bin" >"$BUILD/tests/team_race.log" 2>&1; then
	grep '^#' "$BUILD/tests/team_race.log"
	echo "ok 1 - lanes do not race"
else
	head -60 "$BUILD/tests/team_race.log" | sed 's/^/# /'
	echo "not ok 1 - lanes do not race"
	exit 1
fi
