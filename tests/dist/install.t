#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# make install: the tree under DESTDIR is complete, an operator's files are kept by
# a second install and by uninstall, and the unit is one that systemd reads.
set -u
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
D=$work/root
n=0
echo "1..29"
ok() { n=$((n + 1)); echo "ok $n - $1"; }
bad() { n=$((n + 1)); echo "not ok $n - $1"; [ ! -s "$work/out" ] || sed 's/^/# /' "$work/out"; }
skip() { n=$((n + 1)); echo "ok $n - $1 # SKIP $2"; }
try() { local name=$1; shift; if "$@" >"$work/out" 2>&1; then ok "$name"; else bad "$name"; fi; }
mk() { make --no-print-directory BUILD="$BUILD" DESTDIR="$D" "$@"; }

try "make install" mk install
for f in usr/sbin/gpufasd usr/bin/gpufasctl; do
	try "$f is a program" test -x "$D/$f"
done
for f in usr/lib/systemd/system/gpufasd.service usr/lib/sysusers.d/gpufas.conf etc/gpufas/gpufas.yaml \
	etc/gpufas/policy.d/10-essentials.policy usr/share/gpufas/policies/20-low-memory.policy \
	usr/share/gpufas/gpufas.yaml usr/share/gpufas/gpufasd-gpu.conf usr/share/bash-completion/completions/gpufasctl \
	usr/share/zsh/vendor-completions/_gpufasctl usr/share/doc/gpufas/README.md usr/share/doc/gpufas/LICENSE; do
	try "$f" test -s "$D/$f"
done
for p in gpufasd.8 gpufasctl.1 gpufas-policy.5 gpufas-test.5 gpufas-fields.7; do
	if command -v scdoc >/dev/null 2>&1; then
		try "man page $p" test -s "$D/usr/share/man/man${p##*.}/$p"
	else
		skip "man page $p" "there is no scdoc"
	fi
done
try "... with its tests, which pass there" bash -c 'diff -r policies "$1/usr/share/gpufas/policies" && "$1/usr/bin/gpufasctl" test "$1"/usr/share/gpufas/policies/tests/*.yaml' - "$D"
try "every shipped policy is installed" diff -r -x tests policies "$D/etc/gpufas/policy.d"
# Whoever installs it has not asked for a kill yet.
try "the shipped configuration observes" grep -q '^mode: *observe' "$D/etc/gpufas/gpufas.yaml"
try "the installed configuration and policies are right" env -i PATH="$PATH" bash -c '
	sed "s|/etc/gpufas|$1/etc/gpufas|g" "$1/etc/gpufas/gpufas.yaml" >"$2" && "$1/usr/sbin/gpufasd" -c "$2" --check-config' - "$D" "$work/gpufas.yaml"

if command -v systemd-analyze >/dev/null 2>&1; then
	# The program must be where the unit says: give it that for the check.
	sed "s|/usr/sbin/gpufasd|$D/usr/sbin/gpufasd|" "$D/usr/lib/systemd/system/gpufasd.service" >"$work/gpufasd.service"
	if systemd-analyze verify --man=no "$work/gpufasd.service" >"$work/out" 2>&1 && ! grep -q gpufasd "$work/out"; then
		ok "systemd-analyze verify"
	elif grep -qiE 'failed to (connect|initialize|create|allocate)|host is down|no such device' "$work/out" && ! grep -q 'gpufasd.service:' "$work/out"; then
		skip "systemd-analyze verify" "systemd-analyze cannot run here: $(head -n 1 "$work/out")"
	else
		bad "systemd-analyze verify"
	fi
else
	skip "systemd-analyze verify" "there is no systemd-analyze"
fi
if command -v systemd-sysusers >/dev/null 2>&1; then
	mkdir -p "$D/etc"
	try "systemd-sysusers makes the group" bash -c 'systemd-sysusers --root="$1" "$1/usr/lib/sysusers.d/gpufas.conf" && grep -q "^gpufas:" "$1/etc/group"' - "$D"
else
	skip "systemd-sysusers makes the group" "there is no systemd-sysusers"
fi

echo '# mine' >>"$D/etc/gpufas/gpufas.yaml"
echo '# mine' >>"$D/etc/gpufas/policy.d/20-low-memory.policy"
try "a second install" mk install
try "... keeps what the operator changed" bash -c 'tail -n 1 "$1/etc/gpufas/gpufas.yaml" | grep -q mine && tail -n 1 "$1/etc/gpufas/policy.d/20-low-memory.policy" | grep -q mine' - "$D"
try "make uninstall" mk uninstall
find "$D" -type f -o -type l | grep -v "^$D/etc/" >"$work/out"
if [ -s "$work/out" ]; then bad "... leaves nothing outside etc"; else ok "... leaves nothing outside etc"; fi
