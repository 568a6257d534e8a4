#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 300
#
# The last resort "panic", by the kernel module, where a crash kernel waits: it takes over, has the dead machine's memory, and
# gpufasctl reads in there which processes there were.
#   VM_KERNELS=backport   another kernel
. tests/vm/lib.sh
. tests/vm/kmod.sh

vm_needs
command -v make >/dev/null || all_skipped "no make"
kexec=$(PATH=$PATH:/usr/sbin:/sbin command -v kexec) || all_skipped "kexec is not installed (mk/deps.sh vm)"
k=${VM_KERNELS:-cloud}
vm_meta "$k" || exit 1
vm_root
rm -rf "$d/root/tests"
kmod_build "$k" "$meta" || { echo "1..$n"; exit 0; }
# the crash kernel and its initramfs
mv "$d/root" "$d/kept"
put /bin "$(command -v busybox)" "$B/gpufasctl"
cp tests/vm/kdump.init "$d/root/init"
(cd "$d/root" && find . | cpio -o -H newc --quiet -R 0:0) | gzip -1 >"$d/crash"
rm -rf "$d/root"
mv "$d/kept" "$d/root"
put /bin "$kexec"
mkdir -p "$d/root/kdump"
cp "$V/$meta/vmlinuz" "$d/root/kdump/vmlinuz"
mv "$d/crash" "$d/root/kdump/initrd"
(cd "$d/root" && find . | cpio -o -H newc --quiet -R 0:0) | gzip -1 >"$d/initrd"
timeout -k 2 "${VM_LIMIT:-220}" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 512 -nographic -nodefaults -no-reboot \
	-serial stdio -monitor none -kernel "$V/$meta/vmlinuz" -initrd "$d/initrd" \
	-append "console=ttyS0 panic=-1 quiet crashkernel=192M VMDO=kdump" </dev/null >"$d/console" 2>&1 &
qemu=$!
wait "$qemu"
qemu=
tr -d '\r' <"$d/console" >"$d/lines"
bad=0
said() {
	if grep -qE -- "$2" "$d/lines"; then ok "$k: $1"; else not_ok "$k: $1"; bad=1; fi
}
said "a crash kernel is loaded and waits" '^ok [0-9]+ - kdump: and waits'
said "a panic, by the module" 'Kernel panic - not syncing: gpufas'
said "the crash kernel takes over" '^CRASH [0-9]'
said "and has the memory of the one before: an ELF core" '^CRASH vmcore [0-9]{8,} ELF'
said "in which gpufasctl finds gpufasd" '^CRASH ps .* gpufasd '
said "and who else was there" '^CRASH ps .* sleep '
said "the crash kernel comes to its end" '^CRASH DONE'
[ $bad = 0 ] || tail -n 40 "$d/lines" | cut -c1-200 | sed 's/^/# | /'
sed -n 's/^CRASH \([0-9v]\)/# \1/p' "$d/lines"
echo "1..$n"
