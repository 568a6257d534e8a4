#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# make kmod-debug: a small kernel with KASAN, lockdep, RCU and object debugging, built from Debian's source, and the
# module's tests in it. Long: a kernel is compiled. Not part of CI.
#   KSOURCE=/usr/src/linux-source-6.1.tar.xz   its source, a tarball or a tree (default: the newest linux-source-*.tar.xz)
. tests/vm/lib.sh
. tests/vm/kmod.sh

vm_needs
kmod_needs
src=${KSOURCE:-$(ls /usr/src/linux-source-*.tar.xz 2>/dev/null | sort -V | tail -n 1)}
[ -n "$src" ] || all_skipped "no kernel source (apt-get install linux-source-6.1; or KSOURCE=)"
name=$(basename "$src" .tar.xz)
tree=$src
if [ -f "$src" ]; then
	tree=$V/src-$name
	[ -f "$tree/Makefile" ] || { mkdir -p "$tree" && tar -xf "$src" -C "$tree" --strip-components=1; } || exit 1
fi
out=$(realpath -m "$V/debug-$name")
mkdir -p "$out"
config() {
	make -s -C "$tree" O="$out" tinyconfig && cat tests/vm/kmod-debug.config >>"$out/.config" && make -s -C "$tree" O="$out" olddefconfig
}
{ [ -f "$out/.config" ] || config; } >"$d/config.log" 2>&1 || { tail "$d/config.log"; not_ok "the kernel is configured"; exit 1; }
for need in KASAN PROVE_LOCKING DEBUG_OBJECTS_TIMERS; do
	grep -q "^CONFIG_$need=y" "$out/.config" || { not_ok "the kernel has $need"; exit 1; }
done
if ! nice make -s -C "$tree" O="$out" -j"$(nproc)" bzImage modules >"$out/build.log" 2>&1; then
	tail -n 20 "$out/build.log"
	not_ok "the kernel builds"
	exit 1
fi
mkdir -p "$V/debug"
cp "$out/arch/x86/boot/bzImage" "$V/debug/vmlinuz"
kmod_root tests/vm/kmod.init
rel=$(cat "$out/include/config/kernel.release")
rm -rf "$B/kmod/$rel"
make --no-print-directory kmod BUILD="$B" KDIR="$out" >"$d/kbuild" 2>&1 && cp "$B/kmod/$rel/gpufas.ko" "$d/root/lib/" || {
	tail -n 20 "$d/kbuild"
	not_ok "the module builds"
	exit 1
}
# KASAN tells of every mistake, not of the first only, which may be the kernel's own.
VM_APPEND=kasan_multi_shot vm_run "$name with KASAN and lockdep" debug 2 1024 "${VM_LIMIT:-1800}" "${VM_DO:-user,busy,mem}"
echo "1..$n"
