#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 900
#
# rescue.py with an emulated GPU, which samples the guests and stores into them by itself.
. tests/vm/lib.sh
vm_needs
command -v python3 >/dev/null || all_skipped "python3 is not installed (mk/deps.sh test)"
[ -x "$B/tests/vm/guestd" ] || all_skipped "guestd was not built: there is no static C library"
for m in linux-image-cloud-amd64 linux-image-6.12-cloud-amd64; do
	vm_kernel $m || all_skipped "$why"
done
RESCUE_DAEMON="tests/gpufasd-emu --engine gpu" python3 -B tests/vm/rescue.py "$d" "$V/linux-image-6.12-cloud-amd64/vmlinuz" "$V/linux-image-cloud-amd64/vmlinuz"
