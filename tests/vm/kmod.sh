# SPDX-License-Identifier: MIT
# For tests of the kernel module; after lib.sh.

kmod_needs() {
	[ -x "$B/tests/vm/kmodtest" ] || all_skipped "kmodtest is not built (no static C library)"
	[ -x "$(command -v make)" ] || all_skipped "no make"
}

# kmod_root INIT: the initramfs' programs.
kmod_root() {
	mkdir -p "$d/root/lib"
	put /bin "$(command -v busybox)" "$B/tests/vm/kmodtest" "$B"/tests/helpers/{memhog,cpuhog,forkbomb}
	put /real "$(command -v chrt)" "$(command -v nice)"
	put /lib/x86_64-linux-gnu /lib/x86_64-linux-gnu/libgcc_s.so.1
	cp "$1" "$d/root/init"
}

# kmod_build NAME META: the module for META's kernel into the initramfs; a test of its own, for it must give no warning. What one file has
# built without, of the same sources and headers, serves the next.
kmod_build() {
	local rel off lock sparse= stamp like name
	if ! vm_kernel "$2"; then
		skip "$1: the module builds" "$why"
		return 1
	fi
	# Documentation/arch/x86/boot.rst: kernel_version
	off=$(od -An -tu2 -j526 -N2 "$V/$2/vmlinuz")
	rel=$(tail -c +$((off + 513)) "$V/$2/vmlinuz" | head -c 100 | tr '\0' ' ' | cut -d ' ' -f 1)
	dir=/usr/src/linux-headers-$rel
	if [ ! -d "$dir" ]; then
		skip "$1: the module builds" "no headers of $rel (apt-get install linux-headers-$rel)"
		return 1
	fi
	command -v sparse >/dev/null && sparse=C=1
	# One at a time: other files build theirs in the same place.
	mkdir -p "$B/kmod"
	exec {lock}>"$B/kmod/.lock"
	flock "$lock"
	name="$1: the module builds without a warning (W=1${sparse:+, sparse})"
	stamp=$B/kmod/$rel.good
	like="$sparse $(md5sum <"$dir/Module.symvers")"
	: >"$d/begun"
	# (as a make of its own: what `make -j test` hands down is another's, and warns of it)
	if [ -f "$B/kmod/$rel/gpufas.ko" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$like" ] &&
		[ -z "$(find kmod include/uapi include/gpufas mk/kmod.mk -newer "$stamp")" ]; then
		ok "$name"
	elif rm -rf "$B/kmod/$rel" "$stamp" &&
		env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make --no-print-directory kmod BUILD="$B" KDIR="$dir" KFLAGS="W=1 $sparse" >"$d/kbuild" 2>&1 &&
		! grep -vE 'KMOD|^Skipping BTF' "$d/kbuild" >"$d/kbuild.said"; then
		ok "$name"
		echo "$like" >"$stamp"
		touch -r "$d/begun" "$stamp"
	else
		not_ok "$name"
		tail -n 20 "$d/kbuild" | sed 's/^/# | /'
	fi
	cp "$B/kmod/$rel/gpufas.ko" "$d/root/lib/"
	exec {lock}>&-
	[ -f "$d/root/lib/gpufas.ko" ] || return 1
	strip -g "$d/root/lib/gpufas.ko"
}

# spin_build: tests/vm/spin for the kernel of the last kmod_build.
spin_build() {
	cp -r tests/vm/spin "$d/spin" && env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -C "$dir" M="$d/spin" modules >"$d/spin.log" 2>&1 && cp "$d/spin/spin.ko" "$d/root/lib/" &&
		strip -g "$d/root/lib/spin.ko" && rm -rf "$d/spin"
}

# kmod_guest: for guests that gpufasd runs in, and that have the module in /lib: $k, $meta and the initramfs. Without a module there is
# nothing to be done.
kmod_guest() {
	vm_needs
	[ -x "$(command -v make)" ] || all_skipped "no make"
	k=${VM_KERNELS:-cloud}
	vm_meta "$k" || exit 1
	vm_root
	rm -rf "$d/root/tests"
	kmod_build "$k" "$meta" || { echo "1..$n"; exit 0; }
}

# kmod_outside SCRIPT: goes on with a guest that has the module, seen from outside; the last thing that a test does.
kmod_outside() {
	if ! command -v python3 >/dev/null || [ ! -x "$B/tests/vm/guestd" ]; then
		skip "a guest with the module" "no python3, or no static C library"
		echo "1..$n"
		exit 0
	fi
	python3 -B "$1" "$d" "$V/$meta/vmlinuz" "$d/root/lib/gpufas.ko" "$n"
}
