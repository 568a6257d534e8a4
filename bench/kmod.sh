#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# make bench-kmod: what the kernel module costs, in guests of Debian's kernels, emulated (TCG): every instruction of theirs takes
# many times what it takes on hardware, and a slice is as long as ever. Then once more with a clock that counts instructions.
#   COUNTED_ONLY=1   only that; MAIL_ONLY=1: only the mailbox
#   TASKS=1000       how many processes (1000,10000)
. tests/vm/lib.sh
. tests/vm/kmod.sh

vm_needs
kmod_needs
for k in ${VM_KERNELS:-cloud backport}; do
	vm_meta "$k" || continue
	rm -rf "$d/root"
	kmod_root tests/vm/kmod-bench.init
	kmod_build "$k" "$meta" >"$d/built" || { cat "$d/built"; continue; }
	export VM_APPEND="TASKS=${TASKS:-1000,10000}"
	[ -n "${COUNTED_ONLY:-}" ] || vm_run "$k (TCG)" "$meta" 2 4096 "${VM_LIMIT:-900}" "$([ -n "${MAIL_ONLY:-}" ] && echo mail || echo bench)" | grep '^#'
	[ -z "${MAIL_ONLY:-}" ] || continue
	# Time by instructions, 2 ns each, whatever else the machine below does: what an interrupt takes cannot be
	# the time in which the guest's CPU was not run.
	VM_ACCEL="-accel tcg,thread=single -icount shift=1,sleep=off" vm_run "$k (2 ns an instruction)" "$meta" 1 4096 "${VM_LIMIT:-900}" counted | grep '^#'
done
