#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 600
#
# The last resort "panic", by the kernel module: the kernel's log says why before, a crash kernel that waits takes over, has the dead
# machine's memory, and gpufasctl reads in there which processes there were.
#   VM_KERNELS=backport   another kernel
#   VM_SYSRQ=1            the panic without the module, too: one boot more
. tests/vm/lib.sh
. tests/vm/kmod.sh

kexec=$(PATH=$PATH:/usr/sbin:/sbin command -v kexec) || all_skipped "kexec is not installed (mk/deps.sh vm)"
kmod_guest
bad=0
# said NAME PATTERN...: each of them, one after the other.
said() {
	local name=$1 at=0 line
	shift
	for pattern; do
		line=$(tail -n +$((at + 1)) "$d/lines" | grep -nE -m1 -- "$pattern" | cut -d: -f1)
		[ -n "$line" ] || { not_ok "$k: $name"; bad=1; return; }
		at=$((at + line))
	done
	ok "$k: $name"
}
told='gpufas: panic of this-machine, by rule ends'
if [ -n "${VM_SYSRQ:-}" ]; then
	vm_boot "$meta" 2 256 "${VM_LIMIT:-500}" last
	said "a panic, by SysRq; the kernel's log says why before" "$told" "Kernel panic - not syncing: sysrq triggered crash"
fi
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
VM_APPEND=crashkernel=192M vm_boot "$meta" 2 512 "${VM_LIMIT:-500}" kdump
said "a crash kernel is loaded and waits" '^ok [0-9]+ - kdump: and waits'
said "a panic, by the module; the kernel's log says why before" "$told" 'Kernel panic - not syncing: gpufas'
said "the crash kernel takes over" '^CRASH [0-9]'
said "and has the memory of the one before: an ELF core" '^CRASH vmcore [0-9]{8,} ELF'
said "in which gpufasctl finds gpufasd" '^CRASH ps .* gpufasd '
said "and who else was there" '^CRASH ps .* sleep '
said "the crash kernel comes to its end" '^CRASH DONE'
[ $bad = 0 ] || { echo "# QEMU's exit status $rc (124: it took too long)"; tail -n 40 "$d/lines" | cut -c1-200 | sed 's/^/# | /'; }
sed -n 's/^CRASH \([0-9v]\)/# \1/p' "$d/lines"
echo "1..$n"
