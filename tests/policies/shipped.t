#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Every policy that is shipped compiles without an error or a warning, alone and
# with all the others, for every kind of target, is in canonical form, and is explained.
set -u
ctl=$BUILD/gpufasctl
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

files=(policies/*.policy)
echo "1..$((5 * ${#files[@]} + 7))"
n=0
ok() { n=$((n + 1)); echo "ok $n - $1"; }
bad() {
	n=$((n + 1))
	echo "not ok $n - $1"
	sed 's/^/# /' "$work/out"
}
try() { # try NAME COMMAND...
	local name=$1
	shift
	if "$@" >"$work/out" 2>&1; then ok "$name"; else bad "$name"; fi
}

for f in "${files[@]}"; do
	b=${f##*/}
	try "$b: check --strict" "$ctl" check --strict "$f"
	try "$b: check --strict for guests" "$ctl" check --strict --target vm "$f"
	try "$b: canonical form" "$ctl" fmt --check "$f"
	try "$b: compiles to an image that disassembles" bash -c '"$1" compile "$2" -o "$3" && "$1" disasm "$3"' - "$ctl" "$f" "$work/x.gfb"
	# Whoever opens the file is told what it does, when it fires and how to tune it.
	try "$b: says what, when and how" bash -c 'grep -q "^# What it does" "$1" && grep -q "^# How to tune" "$1"' - "$f"
done

try "at least eight policies" test ${#files[@]} -ge 8
for t in host vm image; do
	try "all together: check --strict for $t" "$ctl" check --strict --target $t "${files[@]}"
done
# Rules for guests are none of a host's, and the other way round.
rules() { "$ctl" disasm --target "$1" "${files[@]}" 2>/dev/null | grep -c "^rule $2"; }
try "guests have their rules" test "$(rules vm guest-)" -ge 2
try "... and a host has none of them, but renices" test "$(rules host guest-)$(rules host 'runaway-cpu ')$(rules vm 'runaway-cpu ')" = 010
# The oracle for the tests above: the same command does refuse a wrong file.
echo 'if rss > 180% then SIGKILL largest' >"$work/wrong.policy"
if "$ctl" check --strict "$work/wrong.policy" >"$work/out" 2>&1; then
	bad "a wrong policy is refused"
else
	ok "a wrong policy is refused"
fi
