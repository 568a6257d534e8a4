#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 600
#
# The kernel module in Debian's kernels: built without a warning, loaded, used, abused, unloaded.
#   VM_KERNELS="cloud backport"   which kernels
#   VM_DO=user,busy               only these parts (tests/vm/kmod.init)
. tests/vm/lib.sh
. tests/vm/kmod.sh

vm_needs
kmod_needs
kmod_root tests/vm/kmod.init
put /bin "$B/gpufasd" "$B/gpufasctl"
for k in ${VM_KERNELS:-cloud backport}; do
	vm_meta "$k" || continue
	kmod_build "$k" "$meta" || continue
	# One kernel is enough for what is the daemon's; mem comes last: no module is loaded any more under lockdown.
	vm_run "$k" "$meta" 2 256 "${VM_LIMIT:-200}" "${VM_DO:-user,busy$([ "$k" = cloud ] || echo ,record),mem}"
	[ "$k" = cloud ] && [ -z "${VM_DO:-}" ] || continue
	VM_ACCEL="-accel tcg,thread=single -icount shift=1,sleep=off" vm_run "$k, counted" "$meta" 1 256 "${VM_LIMIT:-200}" bound
done
echo "1..$n"
