#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 240
#
# DKMS with the kernel module: added, built, installed and removed as it does for a new kernel, in a directory of its own.
#   DKMS_ALL=1   for each kernel whose headers are here, not for one only
set -u
export LC_ALL=C
B=${BUILD:-build}
all_skipped() { echo "1..0 # SKIP $1"; exit 0; }
command -v dkms >/dev/null || all_skipped "dkms is not installed (mk/deps.sh vm)"
[ "$(id -u)" = 0 ] || all_skipped "dkms is for root"
[ -z "$(nm "$B/gpufasd" 2>/dev/null | grep -m1 __asan_init)" ] || all_skipped "the module is no other where the rest is built with AddressSanitizer"
[ "$(uname -m)" = x86_64 ] || all_skipped "the module is built on x86-64 only"
shopt -s nullglob
headers=(/usr/src/linux-headers-*-amd64)
[ ${#headers[@]} -gt 0 ] || all_skipped "no kernel headers (mk/deps.sh vm)"
[ -n "${DKMS_ALL:-}" ] || headers=("${headers[0]}")
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
n=0
ok() { n=$((n + 1)); echo "ok $n - $1"; }
try() {
	local name=$1
	shift
	n=$((n + 1))
	if "$@" >"$work/out" 2>&1; then echo "ok $n - $name"; else echo "not ok $n - $name"; tail -n 20 "$work/out" "$D/var/lib/dkms/gpufas"/*/build/make.log 2>/dev/null | sed 's/^/# | /'; fi
}
has() { grep -q -- "$1" "$2"; }

D=$work/root
mkdir -p "$D/var/lib/dkms" "$D/lib/modules"
# (signed by a key of this test's, not by the machine's)
run() {
	dkms --sourcetree "$D/usr/src" --dkmstree "$D/var/lib/dkms" --installtree "$D/lib/modules" \
		--directive "mok_signing_key=$work/mok.key" --directive "mok_certificate=$work/mok.pub" "$@"
}
version=$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' kmod/dkms.conf)
gpufas=gpufas/$version
try "make kmod-dkms" env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make --no-print-directory kmod-dkms BUILD="$B" DESTDIR="$D"
try "dkms add" run add "$gpufas"
for h in "${headers[@]}"; do
	rel=${h#/usr/src/linux-headers-}
	mkdir -p "$D/lib/modules/$rel"
	try "$rel: dkms build" run build "$gpufas" -k "$rel/x86_64" --kernelsourcedir "$h"
	try "$rel: dkms install" run install "$gpufas" -k "$rel/x86_64" --kernelsourcedir "$h" --no-depmod
	ko=$(find "$D/lib/modules/$rel" -name 'gpufas.ko*' 2>/dev/null)
	modinfo "$ko" >"$work/info" 2>&1
	try "$rel: the module is where new ones go" test "${ko%.ko*}" = "$D/lib/modules/$rel/updates/dkms/gpufas"
	try "$rel: and is that kernel's" has "^vermagic: *$rel " "$work/info"
	try "$rel: of this version" has "^version: *$version\$" "$work/info"
	run status "$gpufas" >"$work/status" 2>&1
	try "$rel: dkms status" has "$rel.*installed" "$work/status"
done
try "it is to be built for every new kernel" has '^AUTOINSTALL="yes"' "$D/usr/src/gpufas-$version/dkms.conf"
try "dkms remove" run remove "$gpufas" --all --no-depmod
try "nothing is left" test -z "$(find "$D/lib/modules" "$D/var/lib/dkms" -name 'gpufas.ko*')"
echo "1..$n"
