#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Random rules, ours and the same ones in PromQL, over the same random series: `promtool test rules` finds them true at the same
# times and for as many processes. A seed that was printed is tried again with SEED=. CASES= for a longer run.
set -u
seed=${SEED:-$(date +%s%N | tail -c 10 | sed 's/^0*//')}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
if ! command -v promtool >/dev/null || ! command -v python3 >/dev/null; then
	echo "1..1"
	echo "ok 1 - rules in PromQL are true at the same times # SKIP promtool (package prometheus) and python3 are needed"
	exit 0
fi
echo "1..2"
cases=${CASES:-60}
if python3 tests/policies/promql.py "$BUILD/gpufasctl" "$work" "$seed" "$cases" >"$work/out" 2>&1; then
	echo "ok 1 - rules in PromQL are true at the same times: $(head -n 1 "$work/out")"
else
	echo "not ok 1 - rules in PromQL are true at the same times"
	sed 's/^/# /' "$work/out"
fi
if LIE=1 python3 tests/policies/promql.py "$BUILD/gpufasctl" "$work" "$seed" 4 >"$work/out" 2>&1; then
	echo "not ok 2 - one that is not the same is found"
else
	grep -q 'alertname=."lie' "$work/out" && echo "ok 2 - one that is not the same is found" || { echo "not ok 2 - one that is not the same is found"; sed 's/^/# /' "$work/out"; }
fi
