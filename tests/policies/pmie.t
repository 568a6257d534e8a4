#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Random rules, ours and the same ones in PCP's language, over one history: pmie finds them true at the same times. Not installed by
# mk/deps.sh: setting Debian's pcp up fails where there is no systemd, as in containers. SEED= for one that was printed.
set -u
seed=${SEED:-$(date +%s%N | tail -c 10 | sed 's/^0*//')}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
if ! command -v pmie >/dev/null || ! /usr/bin/python3 -c 'import pcp.pmi' 2>/dev/null; then
	echo "1..1"
	echo "ok 1 - rules in PCP's language are true at the same times # SKIP pmie (package pcp) and python3-pcp are needed"
	exit 0
fi
echo "1..2"
if /usr/bin/python3 tests/policies/pmie.py "$BUILD/gpufasctl" "$work" "$seed" 60 >"$work/out" 2>&1; then
	echo "ok 1 - rules in PCP's language are true at the same times: $(tail -n 1 "$work/out")"
else
	echo "not ok 1 - rules in PCP's language are true at the same times"
	sed 's/^/# /' "$work/out"
fi
rm -f "$work"/a.*
if ! LIE=1 /usr/bin/python3 tests/policies/pmie.py "$BUILD/gpufasctl" "$work" "$seed" 10 >"$work/out" 2>&1 && grep -q '(not the same)' "$work/out"; then
	echo "ok 2 - one that is not the same is found"
else
	echo "not ok 2 - one that is not the same is found"
	sed 's/^/# /' "$work/out"
fi
