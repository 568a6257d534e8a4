#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# make kmod-stress: loaded and unloaded again and again under load, and longer fuzzing. By hand.
#   ROUNDS=500   VM_KERNELS="cloud backport"
. tests/vm/lib.sh
. tests/vm/kmod.sh

vm_needs
kmod_needs
for k in ${VM_KERNELS:-cloud backport}; do
	vm_meta "$k" || continue
	rm -rf "$d/root"
	kmod_root tests/vm/kmod.init
	kmod_build "$k" "$meta" || continue
	echo "${ROUNDS:-500}" >"$d/root/rounds"
	vm_run "$k" "$meta" 2 512 "${VM_LIMIT:-3600}" "${VM_DO:-stress,fuzzing}"
done
echo "1..$n"
