#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 240
#
# A guest recorded from outside, in all three ways, and a policy tried on the recordings (record.py).
. tests/vm/lib.sh
vm_needs
command -v python3 >/dev/null || all_skipped "python3 is not installed (mk/deps.sh test)"
[ -x "$B/tests/vm/guestd" ] || all_skipped "guestd was not built: there is no static C library"
vm_kernel linux-image-6.12-cloud-amd64 || all_skipped "$why"
python3 -B tests/vm/record.py "$d" "$V/linux-image-6.12-cloud-amd64/vmlinuz"
