#!/bin/bash
# SPDX-License-Identifier: MIT
#
# pack.sh DIR: everything that a GPU machine without network needs, in one directory: programs, tests, benchmarks, QEMU with its
# firmware, guests' kernels and their initramfs. What is packed is DIR/kit.tar.xz; DIR/run.sh unpacks it there and runs tests, demo
# and benchmarks. That machine has an x86-64 Linux with glibc 2.36 or newer, bash, python3 and NVIDIA's driver; nothing else.
#
# How programs find their libraries: they are Debian 12's, linked against its glibc, and run with the loader, the glibc and the
# libcuda.so.1 of the machine they come to, since a program can have only one glibc and the driver's library wants that
# machine's. All other libraries are in lib/ and are named by LD_LIBRARY_PATH, in a wrapper of a few lines around each program, so that
# nothing else on the machine sees them. Guests' programs are static.
set -eu
cd "$(dirname "$0")/../.."
export BUILD=${BUILD:-build} LC_ALL=C
to=${1:?usage: pack.sh DIR}
limit=$((60 << 20))
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
k=$work/kit
mkdir -p "$k"/{bin,lib,real,share,modules} "$k/build"/{tests/{helpers,vm,gpu,unit},bench,vm,gpu} "$to"

# Which of a program's libraries come with it: all but what belongs to glibc, the compiler or the driver.
libs() { # libs FILE...
	ldd "$@" 2>/dev/null | sed -nE 's/.*=> (\/[^ ]+).*/\1/p' | sort -u |
		grep -vE '/(libc|libm|libpthread|libdl|librt|libresolv|libutil|libnsl|libanl|libgcc_s|libstdc\+\+|libcuda|libnvidia-[^/]*|ld-linux[^/]*)\.so'
}
wrap() { # wrap FILE DEST [LINE]: FILE as DEST, started with the libraries
	local f=$1 dest=$2 up
	cp -L "$f" "$k/real/${dest##*/}"
	strip -g "$k/real/${dest##*/}" 2>/dev/null || true
	libs "$f" | while IFS= read -r l; do [ -e "$k/lib/${l##*/}" ] || cp -L "$l" "$k/lib/"; done
	up=$(dirname "$dest" | sed -E 's/[^/]+/../g')
	# shellcheck disable=SC2016
	printf '#!/bin/bash\nk=$(cd "${BASH_SOURCE%%/*}/%s" && pwd)\nexport LD_LIBRARY_PATH=$k/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}\n%s\nexec "$k/real/%s" %s"$@"\n' \
		"$up" "${3:-}" "${dest##*/}" "${4:-}" >"$k/$dest"
	chmod +x "$k/$dest"
}
need() { [ -e "$1" ] || { echo "pack.sh: there is no $1 (make gpu-bundle builds it)" >&2; exit 1; }; }

# gpufas, its tests, its benchmarks
for f in gpufasd gpufasctl bench/bench_fault bench/bench_vm tests/helpers/{pseudo,ramsample,spoil,simtrace}; do
	need "$BUILD/$f"
	wrap "$BUILD/$f" "build/$f"
done
shopt -s nullglob
for f in "$BUILD"/bench/gpu_* "$BUILD"/tests/gpu/test_* "$BUILD"/tests/unit/test_{team,gpu,emu,dev}*; do
	case $f in *.o | *.d | *.log) continue ;; esac
	[ -x "$f" ] && wrap "$f" "build/${f#"$BUILD"/}"
done
need "$BUILD/tests/vm/guestd"
cp "$BUILD/tests/vm/guestd" "$k/build/tests/vm/"
mkdir -p "$k"/tests/{vm,gpu,fuzz} "$k/policies"
cp tests/vm/{guest.py,rescue.py,troubles.py,emulator-fault} "$k/tests/vm/"
cp tests/gpu/*.{py,sh,t} "$k/tests/gpu/"
cp -r tests/fuzz/corpus "$k/tests/fuzz/"
cp -r tests/unit/data "$k/build/tests/unit/" 2>/dev/null || true
cp policies/*.policy "$k/policies/"

# QEMU: with -kernel, -nographic and no devices it reads five files. Its accelerators and devices are modules.
qemu=$(command -v qemu-system-x86_64) || { echo "pack.sh: there is no qemu-system-x86_64" >&2; exit 1; }
# shellcheck disable=SC2016
wrap "$qemu" bin/qemu-system-x86_64 'export QEMU_MODULE_DIR=$k/modules' '-L "$k/share" '
for m in /usr/lib/*/qemu/accel-tcg-x86_64.so /usr/lib/*/qemu/accel-qtest-x86_64.so; do cp "$m" "$k/modules/"; done
for f in bios-256k.bin kvmvapic.bin linuxboot.bin linuxboot_dma.bin pvh.bin; do
	for d in /usr/share/seabios /usr/share/qemu /usr/share/qemu-system-x86; do
		if [ -e "$d/$f" ]; then cp -L "$d/$f" "$k/share/"; break; fi
	done
	need "$k/share/$f"
done
busybox=$(command -v busybox)
cp "$busybox" "$k/bin/"
# Demo and tests in shell want these, and a machine may have none of them.
for t in cpio find gzip; do ln -s busybox "$k/bin/$t"; done

# guests
# shellcheck source=tests/vm/lib.sh
(
	. tests/vm/lib.sh
	for m in linux-image-cloud-amd64 linux-image-6.12-cloud-amd64; do
		vm_kernel $m || { echo "pack.sh: $m: $why" >&2; exit 1; }
	done
)
for m in linux-image-cloud-amd64 linux-image-6.12-cloud-amd64; do
	mkdir "$k/build/vm/$m"
	cp "$BUILD/vm/$m/vmlinuz" "$k/build/vm/$m/"
done
# The module for the first of them, where its headers are: a guest that has it is another road for the GPU.
(
	. tests/vm/lib.sh
	. tests/vm/kmod.sh
	d=$(mktemp -d "$BUILD/kmod-pack.XXXXXX")
	mkdir -p "$d/root/lib"
	n=0
	ok() { :; }
	not_ok() { echo "pack.sh: not $1" >&2; }
	skip() { echo "pack.sh: $1: $2; \`run.sh assisted\` will skip" >&2; }
	kmod_build 6.1 linux-image-cloud-amd64 && cp "$d/root/lib/gpufas.ko" "$k/build/gpu/"
	rm -rf "$d"
)
python3 - "$k/build/gpu/initrd" <<-'PY'
	import sys
	sys.path.insert(0, "tests/vm")
	sys.dont_write_bytecode = True
	import guest
	guest.initrd(sys.argv[1])
PY

git rev-parse HEAD >"$k/VERSION" 2>/dev/null || true
git status --porcelain --untracked-files=no 2>/dev/null | sed 's/^/changed: /' >>"$k/VERSION" || true
tar -C "$k" --sort=name --owner=0 --group=0 -cf - . | xz -T0 -4 >"$to/kit.tar.xz"
cp tests/gpu/run.sh "$to/run.sh"
size=$(du -sb "$to" | cut -f1)
echo "$to: $((size / 1024 / 1024)).$((size / 1024 % 1024 * 10 / 1024)) MiB, unpacked $(du -sm "$k" | cut -f1) MiB: $(find "$k" -type f | wc -l) files, $(find "$k/build" -name 'test_*' -perm /1 | wc -l) test programs"
[ "$size" -lt "$limit" ] || { echo "pack.sh: larger than $((limit >> 20)) MiB" >&2; exit 1; }
