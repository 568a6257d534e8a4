#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 600
#
# gpufasd and the kernel module: on the machine itself (a guest, which gpufasd runs in), its last resort with and without the
# module, and for a guest that has the module (assisted.py).
#   VM_KERNELS=backport   another kernel
#   VM_SYSRQ=1            the panic without the module, too: one boot more
. tests/vm/lib.sh
. tests/vm/kmod.sh

vm_needs
command -v make >/dev/null || all_skipped "no make"
k=${VM_KERNELS:-cloud}
vm_meta "$k" || exit 1
vm_root
rm -rf "$d/root/tests"
kmod_build "$k" "$meta" || { echo "1..$n"; exit 0; }
put /bin "$B/tests/gpufasd-emu" "$B/tests/helpers/holdthreads"
vm_run "$k" "$meta" 2 256 "${VM_LIMIT:-150}" "${VM_DO:-module,modulegpu}"
[ -z "${VM_DO:-}" ] || { echo "1..$n"; exit 0; }

# vm_ends WHAT: boots, and expects the guest to end itself; its console is in $d/lines.
vm_ends() {
	timeout -k 2 "${VM_LIMIT:-120}" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 256 -nographic -nodefaults -no-reboot \
		-serial stdio -monitor none -kernel "$V/$meta/vmlinuz" -initrd "$d/initrd" \
		-append "console=ttyS0 panic=-1 quiet VMDO=$1" </dev/null >"$d/console" 2>&1 &
	qemu=$!
	wait "$qemu"
	qemu=
	tr -d '\r' <"$d/console" >"$d/lines"
}
# in_order NAME PATTERN PATTERN: the second comes after the first, and each once.
in_order() {
	local a b
	a=$(grep -n -m1 -- "$2" "$d/lines" | cut -d: -f1)
	b=$(grep -n -m1 -- "$3" "$d/lines" | cut -d: -f1)
	if [ -n "$a" ] && [ -n "$b" ] && [ "$a" -lt "$b" ]; then ok "$1"; else
		not_ok "$1"
		tail -n 25 "$d/lines" | cut -c1-200 | sed 's/^/# | /'
	fi
}
told='gpufas: panic of this-machine, by rule ends'
if [ -n "${VM_SYSRQ:-}" ]; then
	vm_ends last
	in_order "a panic, by SysRq; the kernel's log says why before" "$told" "Kernel panic - not syncing: sysrq triggered crash"
fi
vm_ends lastmodule
in_order "a panic, by the module; the kernel's log says why before" "$told" "Kernel panic - not syncing: gpufas"

if ! command -v python3 >/dev/null || [ ! -x "$B/tests/vm/guestd" ]; then
	skip "a guest with the module" "no python3, or no static C library"
	echo "1..$n"
	exit 0
fi
python3 -B tests/vm/assisted.py "$d" "$V/$meta/vmlinuz" "$d/root/lib/gpufas.ko" "$n"
