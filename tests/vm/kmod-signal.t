#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 300
#
# gpufasctl signal --road: by the kernel module's mailbox, on the machine itself (a guest, which gpufasd runs in) and into a guest
# (byhand.py).
#   VM_KERNELS=backport   another kernel
. tests/vm/lib.sh
. tests/vm/kmod.sh

kmod_guest
vm_run "$k" "$meta" 2 256 "${VM_LIMIT:-120}" byhand
kmod_outside tests/vm/byhand.py
