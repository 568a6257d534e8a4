#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Policies beside what must be said of them: NAME.policy with NAME.err (the parser's
# messages) or NAME.fmt (the canonical form). UPDATE=1 writes what is said now: read
# the difference before it is committed.
set -u
BUILD=${BUILD:-build}
syntax=$BUILD/tests/helpers/syntax
cd "$(dirname "$0")/../.." || exit 1
dir=tests/golden/syntax

n=0
report() { # RESULT NAME
	n=$((n + 1))
	echo "$1 $n - $2"
}
compare() { # NAME WANT GOT STATUS-WANTED STATUS
	if [ -n "${UPDATE:-}" ]; then printf '%s\n' "$3" >"$2"; fi
	if [ "$4" -ne "$5" ]; then
		report "not ok" "$1"
		echo "# exit status $5, not $4"
	elif difference=$(diff -u "$2" <(printf '%s\n' "$3")); then
		report ok "$1"
	else
		report "not ok" "$1"
		printf '%s\n' "$difference" | sed 's/^/# /'
	fi
}

if [ ! -x "$syntax" ]; then
	echo "Bail out! $syntax was not built (make build-tests)"
	exit 1
fi
for err in "$dir"/*.err; do
	policy=${err%.err}.policy
	out=$("$syntax" "$policy")
	status=$?
	compare "${policy##*/}" "$err" "$out" 1 $status
done
for fmt in "$dir"/*.fmt; do
	policy=${fmt%.fmt}.policy
	out=$("$syntax" --fmt "$policy")
	status=$?
	compare "${policy##*/} formatted" "$fmt" "$out" 0 $status
	out=$("$syntax" --fmt "$fmt")
	status=$?
	compare "${fmt##*/} formatted again" "$fmt" "$out" 0 $status
done

# every code of syntax is shown by some example
for code in $(sed -n 's/^GF_CODE("\(E0[0-4][0-9]\)".*/\1/p' compiler/codes.def); do
	if grep -q "\[$code\]" "$dir"/*.err; then report ok "$code has an example"; else report "not ok" "$code has an example"; fi
done
echo "1..$n"
