#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 600
#
# gpufasd and the kernel module: on the machine itself (a guest, which gpufasd runs in), also with an emulated GPU, and for a guest
# that has the module (assisted.py).
#   VM_KERNELS=backport   another kernel
. tests/vm/lib.sh
. tests/vm/kmod.sh

kmod_guest
put /bin "$B/tests/gpufasd-emu" "$B/tests/helpers/holdthreads"
vm_run "$k" "$meta" 2 256 "${VM_LIMIT:-150}" "${VM_DO:-module,modulegpu}"
[ -z "${VM_DO:-}" ] || { echo "1..$n"; exit 0; }
kmod_outside tests/vm/assisted.py
