#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 1800
#
# Guests watched and acted on from outside (outside.py), on the kernels that Debian 12 ships, without acceleration.
#   VM_MATRIX=full   every kernel with every number of CPUs, size and page table depth (make vm-matrix)
#   VM_ONLY=NAME     only this guest;  ROUNDS=N kill rounds a guest;  SEED=N repeats a run
. tests/vm/lib.sh
vm_needs
command -v python3 >/dev/null || all_skipped "python3 is not installed (mk/deps.sh test)"
[ -x "$B/tests/vm/guestd" ] || all_skipped "guestd was not built: there is no static C library"

# name,kernel,options: every kernel, number of CPUs, size, machine and depth of page tables at least once
configs="
cloud-5g,linux-image-cloud-amd64,cpus=4,mib=5120,cpu=max
backport-1cpu,linux-image-6.12-cloud-amd64,cpus=1,mib=512,cpu=max+la57=off
backport-4cpu,linux-image-6.12-cloud-amd64,cpus=4,mib=3072,cpu=max,do=signals
plain-pc,linux-image-amd64,cpus=1,mib=3072,machine=pc,cpu=max+la57=off,do=signals
rt,linux-image-rt-amd64,cpus=2,mib=512,refused=1,do=signals
"
if [ "${VM_MATRIX:-}" = full ]; then
	configs=
	for k in cloud:linux-image-cloud-amd64 backport:linux-image-6.12-cloud-amd64 plain:linux-image-amd64; do
		for cpus in 1 4; do for mib in 512 3072 5120; do for la57 in on off; do
			configs="$configs ${k%%:*}-$cpus-$mib-la57$la57,${k#*:},cpus=$cpus,mib=$mib,cpu=max+la57=$la57"
		done; done; done
	done
	configs="$configs rt,linux-image-rt-amd64,cpus=2,mib=512,refused=1"
fi
list=() missing=()
for c in $configs; do
	[ -z "${VM_ONLY:-}" ] || [ "${c%%,*}" = "$VM_ONLY" ] || continue
	meta=${c#*,}
	meta=${meta%%,*}
	if vm_kernel "$meta"; then
		list+=("${c/,$meta/,$V/$meta/vmlinuz}")
	else
		missing+=("skip,${c%%,*},$why")
	fi
done
[ $((${#list[@]} + ${#missing[@]})) -gt 0 ] || all_skipped "there is no guest \"${VM_ONLY:-}\""
python3 -B tests/vm/outside.py "$d" "${list[@]}" "${missing[@]}"
