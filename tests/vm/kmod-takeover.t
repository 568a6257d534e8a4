#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 300
#
# CPUs that are lost in the kernel while they sample or deliver: with interrupts off, with preemption off, stopped in the middle of a
# slice, of a table's publication, of host fields, of a verdict. Others go on. And RAM that is taken out while it is mapped.
#   VM_KERNELS="cloud backport"   which kernels (default: cloud)
#   VM_DO=takeover,hotmem         only these parts (tests/vm/kmod.init)
. tests/vm/lib.sh
. tests/vm/kmod.sh

vm_needs
kmod_needs
for k in ${VM_KERNELS:-cloud}; do
	vm_meta "$k" || continue
	rm -rf "$d/root"
	kmod_root tests/vm/kmod.init
	kmod_build "$k" "$meta" || continue
	spin_build || { not_ok "$k: the module that spins builds"; tail -n 5 "$d/spin.log" | sed 's/^/# | /'; continue; }
	VM_ACCEL="-accel tcg,thread=multi -object memory-backend-ram,id=dimm,size=128M -device pc-dimm,id=dimm0,memdev=dimm" \
		VM_APPEND=memhp_default_state=online_movable \
		vm_run "$k" "$meta" 4 256,slots=2,maxmem=1G "${VM_LIMIT:-150}" "${VM_DO:-hotmem,takeover}"
done
echo "1..$n"
