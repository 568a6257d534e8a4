#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 300
#
# gpufasctl signal --road: by the kernel module's mailbox, on the machine itself (a guest, which gpufasd runs in) and into a guest
# (byhand.py).
#   VM_KERNELS=backport   another kernel
. tests/vm/lib.sh
. tests/vm/kmod.sh

vm_needs
command -v make >/dev/null || all_skipped "no make"
k=${VM_KERNELS:-cloud}
vm_meta "$k" || exit 1
vm_root
rm -rf "$d/root/tests"
kmod_build "$k" "$meta" || { echo "1..$n"; exit 0; }
vm_run "$k" "$meta" 2 256 "${VM_LIMIT:-120}" byhand
if ! command -v python3 >/dev/null || [ ! -x "$B/tests/vm/guestd" ]; then
	skip "a guest with the module" "no python3, or no static C library"
	echo "1..$n"
	exit 0
fi
python3 -B tests/vm/byhand.py "$d" "$V/$meta/vmlinuz" "$d/root/lib/gpufas.ko" "$n"
