#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 1500
#
# What the host target, the actuators and the shipped policies do on the kernels
# that Debian 12 ships, in guests without acceleration.
#   VM_KERNELS="rt plain"   also (or only) these: cloud backport plain rt
#   VM_DO=unit,memory       only these parts (tests/vm/init)
. tests/vm/lib.sh

vm_needs
vm_root
for k in ${VM_KERNELS:-cloud backport}; do
	vm_meta "$k" || continue
	vm_run "$k, 2 CPUs" "$meta" 2 512 "${VM_LIMIT:-480}" "${VM_DO:-road,unit,memory,runaway}"
	[ -z "${VM_DO1-x}" ] || vm_run "$k, 1 CPU" "$meta" 1 512 "${VM_LIMIT:-480}" "${VM_DO1-road,fifo}"
done
echo "1..$n"
