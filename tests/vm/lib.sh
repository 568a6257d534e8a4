# SPDX-License-Identifier: MIT
# Debian's kernels in QEMU, without KVM and without root: an initramfs of busybox and
# what was built. Kernels are fetched once and kept in $BUILD/vm.
set -u
export LC_ALL=C
B=${BUILD:-build}
V=$B/vm
n=0
d=$(mktemp -d) || exit 1
qemu=
cleanup() {
	[ -n "$qemu" ] && kill "$qemu" 2>/dev/null # timeout: it ends QEMU, too
	rm -rf "$d"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

all_skipped() { echo "1..0 # SKIP $1"; exit 0; }
ok() { n=$((n + 1)); echo "ok $n - $1"; }
not_ok() { n=$((n + 1)); echo "not ok $n - $1"; }
skip() { n=$((n + 1)); echo "ok $n - $1 # SKIP $2"; }

vm_needs() {
	[ "$(uname -m)" = x86_64 ] || all_skipped "the guests are for x86-64"
	[ -z "$(nm "$B/gpufasd" 2>/dev/null | grep -m1 __asan_init)" ] ||
		all_skipped "AddressSanitizer's memory does not fit into the guest"
	for t in qemu-system-x86_64 busybox cpio chrt; do
		command -v $t >/dev/null || all_skipped "$t is not installed (mk/deps.sh vm)"
	done
	ldd "$(command -v busybox)" >/dev/null 2>&1 && all_skipped "busybox is not static (mk/deps.sh vm)"
	command -v apt-get dpkg-deb >/dev/null || all_skipped "no Debian packages to be had here"
}

# vm_meta NAME: the package of the kernel that VM_KERNELS calls so, in $meta.
vm_meta() {
	case $1 in
	cloud) meta=linux-image-cloud-amd64 ;;
	backport) meta=linux-image-6.12-cloud-amd64 ;;
	plain) meta=linux-image-amd64 ;;
	rt) meta=linux-image-rt-amd64 ;;
	*) not_ok "VM_KERNELS: there is no \"$1\""; return 1 ;;
	esac
}

# vm_kernel META: the kernel that META (linux-image-...) depends on, in $V/META/vmlinuz.
# What was fetched before is used as long as it is there: remove $V for newer ones.
# On failure says why in $why. Files that run at the same time fetch one after the other.
vm_kernel() {
	local lock rc
	why=
	[ -f "$V/$1/vmlinuz" ] && return 0
	mkdir -p "$V"
	exec {lock}>"$V/.lock"
	flock "$lock"
	vm_fetch "$1"
	rc=$?
	exec {lock}>&-
	return $rc
}
vm_fetch() {
	local meta=$1 dir=$V/$1 image
	[ -f "$dir/vmlinuz" ] && return 0
	image=$(apt-cache depends "$meta" 2>/dev/null | sed -nE 's/^ *Depends: (linux-image-[0-9].*)/\1/p' | head -n 1)
	if [ -z "$image" ] && [ "$(id -u)" = 0 ] && [ ! -e "$V/.updated" ]; then
		# no package lists, as in a fresh container
		apt-get update >/dev/null 2>&1
		: >"$V/.updated"
		image=$(apt-cache depends "$meta" 2>/dev/null | sed -nE 's/^ *Depends: (linux-image-[0-9].*)/\1/p' | head -n 1)
	fi
	[ -n "$image" ] || { why="apt knows no $meta"; return 1; }
	mkdir "$d/deb"
	if ! (cd "$d/deb" && timeout 120 apt-get -q download "$image") >"$d/apt" 2>&1; then
		why="$image cannot be fetched"
		rm -rf "$d/deb"
		return 1
	fi
	rm -rf "$dir.new"
	mkdir -p "$dir.new"
	dpkg-deb --fsys-tarfile "$d"/deb/*.deb | tar -x -C "$dir.new" --wildcards './boot/vmlinuz-*' 2>"$d/apt"
	rm -rf "$d/deb"
	mv "$dir.new"/boot/vmlinuz-* "$dir.new/vmlinuz" || { why="$image holds no kernel"; return 1; }
	rm -rf "$dir.new/boot"
	mv "$dir.new" "$dir"
}

# put DEST FILE...: programs into the initramfs, with the libraries they need.
put() {
	local to=$1 f lib
	shift
	mkdir -p "$d/root$to"
	for f in "$@"; do
		cp "$f" "$d/root$to/"
		strip -g "$d/root$to/${f##*/}" 2>/dev/null
		for lib in $(ldd "$f" 2>/dev/null | grep -oE '/[^ ]+'); do
			[ -e "$d/root$lib" ] && continue
			mkdir -p "$d/root${lib%/*}"
			cp -L "$lib" "$d/root$lib"
		done
	done
}

# The part of the initramfs that all kernels share.
vm_root() {
	mkdir -p "$d/root"
	put /bin "$(command -v busybox)" "$B/gpufasd" "$B/gpufasctl" "$B"/tests/helpers/{memhog,cpuhog}
	put /tests "$B"/tests/unit/test_{table,actuator,engine,host}
	# busybox has these in another form, or not at all
	put /real "$(command -v chrt)" "$(command -v ps)" "$(command -v nice)" "$(command -v dash)"
	# which pthread_exit() loads by name
	put /lib/x86_64-linux-gnu /lib/x86_64-linux-gnu/libgcc_s.so.1
	mkdir -p "$d/root/policies"
	cp policies/*.policy "$d/root/policies/"
	cp tests/vm/init "$d/root/init"
}

# vm_again WHAT: did WHAT, whose console is $d/lines, die of what gpufas had no part in (emulator-fault)? Then says so: it is run again, at most twice in a file.
vm_agains=0
vm_again() {
	local fault
	[ $vm_agains -lt 2 ] && fault=$(tests/vm/emulator-fault "$d/lines") || return 1
	vm_agains=$((vm_agains + 1))
	echo "# $1 is booted again: $fault"
}

# vm_boot META CPUS MIB SECONDS WHAT,...: boots $d/root with META's kernel, which is there. The console is in $d/lines, what became of QEMU in $rc
# (124: it took too long).
vm_boot() {
	(cd "$d/root" && find . | cpio -o -H newc --quiet -R 0:0) | gzip -1 >"$d/initrd"
	vm_boot_once "$@"
	while vm_again "a guest of $2 CPUs"; do vm_boot_once "$@"; done
}
vm_boot_once() {
	timeout -k 2 "$4" qemu-system-x86_64 ${VM_ACCEL:--accel tcg,thread=multi} -cpu max -smp "$2" -m "$3" \
		-nographic -nodefaults -no-reboot -serial stdio -monitor none \
		-kernel "$V/$1/vmlinuz" -initrd "$d/initrd" \
		-append "console=ttyS0 panic=-1 quiet no_timer_check ${VM_APPEND:-} VMDO=$5" </dev/null >"$d/console" 2>&1 &
	qemu=$!
	wait "$qemu"
	rc=$?
	qemu=
	tr -d '\r' <"$d/console" >"$d/lines"
}

# vm_run NAME META CPUS MIB SECONDS WHAT,...: boots, and passes the guest's TAP on,
# NAME before each test.
vm_run() {
	local name=$1 meta=$2 cpus=$3 mib=$4 limit=$5 what=$6 line planned= ran=0 done=no rc
	if ! vm_kernel "$meta"; then
		skip "$name" "$why"
		return
	fi
	vm_boot "$meta" "$cpus" "$mib" "$limit" "$what"
	while IFS= read -r line; do
		case $line in
		"ok "*" - "*) ran=$((ran + 1)); ok "$name: ${line#* - }" ;;
		"not ok "*" - "*) ran=$((ran + 1)); not_ok "$name: ${line#* - }" ;;
		"# "*) echo "# $name: ${line#\# }" ;;
		1..*) planned=${line#1..} ;;
		"GUEST DONE") done=yes ;;
		esac
	done <"$d/lines"
	if [ $done = yes ] && [ "$planned" = "$ran" ]; then
		ok "$name: the guest came to its end"
	else
		not_ok "$name: the guest came to its end"
		echo "# exit status $rc (124: it took longer than $limit s), $ran tests of ${planned:-?}"
		# what its kernel died of, if that shows; otherwise its last words
		{ grep -m1 -A25 -E 'Oops|(int3|fault): 0000|BUG:|Kernel panic' "$d/lines" || tail -n 40 "$d/lines"; } | sed 's/^/# | /'
	fi
}
