#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 600
#
# Guests in trouble, with the module and somebody outside who holds its region (kmod_outside.py), and the same without the
# module: SCHED_FIFO hogs on every CPU, a fork bomb, swap thrash, a CPU locked up in the kernel, all of them.
#   VM_KERNELS="cloud backport"   which kernels (default: cloud)
. tests/vm/lib.sh
. tests/vm/kmod.sh

vm_needs
kmod_needs
command -v python3 >/dev/null || all_skipped "python3 is not installed (mk/deps.sh test)"

# guest NAME META WHAT: runs it, with kmod_outside.py beside it; what they said is in $d/lines and $d/outside.
guest() {
	guest_once "$@"
	while vm_again "$1"; do guest_once "$@"; done
	sed -n "s/^END \(.*\)/# $1: \1/p" "$d/lines"
	sed "s/^/# $1: outside: /" "$d/outside"
}
guest_once() {
	rm -f "$d/ram" "$d/swap" "$d/console" "$d/outside"
	truncate -s 256M "$d/ram"
	truncate -s 768M "$d/swap"
	: >"$d/console"
	timeout -k 2 "${VM_LIMIT:-150}" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 256 -machine q35,memory-backend=ram0 \
		-object "memory-backend-file,id=ram0,size=256M,mem-path=$d/ram,share=on" \
		-drive "file=$d/swap,if=none,id=swap,format=raw" -device nvme,drive=swap,serial=swap \
		-nodefaults -display none -no-reboot -serial "file:$d/console" \
		-kernel "$V/$2/vmlinuz" -initrd "$d/initrd" -append "console=ttyS0 panic=-1 quiet VMDO=$3" </dev/null >"$d/qemu" 2>&1 &
	qemu=$!
	timeout "${VM_LIMIT:-150}" python3 -B tests/vm/kmod_outside.py "$d/ram" "$d/console" "${VM_LIMIT:-150}" >"$d/outside" 2>&1 &
	local out=$!
	wait "$qemu"
	qemu=
	kill "$out" 2>/dev/null
	wait "$out" 2>/dev/null
	tr -d '\r' <"$d/console" >"$d/lines"
}
# ended NAME HOW WHAT: scene NAME ended so.
ended() {
	if grep -qE "^END $1 $2( |\$)" "$d/lines"; then ok "$3"; else
		not_ok "$3"
		tail -n 12 "$d/lines" | sed 's/^/# | /'
	fi
}
said() { if grep -qE "$1" "$d/outside"; then ok "$2"; else not_ok "$2"; fi; }

for k in ${VM_KERNELS:-cloud}; do
	vm_meta "$k" || continue
	rm -rf "$d/root"
	kmod_root tests/vm/kmod-rescue.init
	put /real "$(command -v taskset)"
	kmod_build "$k" "$meta" || continue
	spin_build || { not_ok "$k: the module that spins builds"; continue; }
	(cd "$d/root" && find . | cpio -o -H newc --quiet -R 0:0) | gzip -1 >"$d/initrd"
	guest "$k" "$meta" kmod
	said "^FOUND" "$k: the region is found in the guest's RAM"
	ended fifo :137:137 "$k: SCHED_FIFO hogs on every CPU are killed from outside"
	said "^GROWN [0-9]" "$k: a fork bomb grows"
	ended bomb :137 "$k: and is killed from outside"
	said "^KILLED forkbomb" "$k: one after the other"
	ended swap :137:137 "$k: who thrashes swap is killed from outside"
	said "^STUCK 1" "$k: a CPU that schedules no more is seen"
	ended lockup :137 "$k: and the hog on the other one is killed"
	if grep -q "^LOG $" "$d/lines"; then ok "$k: the kernel complains of nothing but the lockup"; else not_ok "$k: the kernel complains of nothing but the lockup"; grep ^LOG "$d/lines" | sed 's/^/# /'; fi
	said "^STALLED" "$k: that no CPU schedules is seen"
	if ! grep -qE "^(END stall|GUEST DONE)" "$d/lines"; then ok "$k: and the machine is restarted"; else not_ok "$k: and the machine is restarted"; fi
	guest "$k, without" "$meta" bare
	said "^NOTHING" "$k, without the module: there is no region"
	ended fifo :142:142 "$k, without: the hogs run until their alarms end them"
	ended bomb :142 "$k, without: a fork bomb goes on until its alarms end it"
	ended swap :0:0 "$k, without: who thrashes goes on"
	ended lockup :142 "$k, without: nobody ends the hog"
done
echo "1..$n"
