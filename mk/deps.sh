#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# mk/deps.sh [build] [test] [vm] [docs] [demo] [bench]     (default: build test vm docs)
#
# Finds out what is missing by trying it, not by asking the package manager: a
# library built by hand is as good as Debian's. As root on Debian (or a relative
# of it) the missing packages are installed; otherwise the command that would do
# it is printed and the exit status is 1.
set -u
export LC_ALL=C
# shellcheck disable=SC2317  # the groups are called by name
[ $# -gt 0 ] || set -- build test vm docs

missing=()
wanted=()
need() { # need PACKAGE WHAT...: reports the package when the check before it failed
	missing+=("$1")
	wanted+=("$2")
}
tool() { PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null 2>&1 || need "$2" "$1"; }
header() { # header FILE LIB PACKAGE [LINE BEFORE]
	command -v "${CC:-gcc}" >/dev/null 2>&1 || { need "$3" "<$1>"; return; }
	printf '%s\n#include <%s>\nint main(void) { return 0; }\n' "${4:-}" "$1" |
		"${CC:-gcc}" -xc - -o /dev/null "-l$2" >/dev/null 2>&1 || need "$3" "<$1>"
}

build_group() {
	tool make make
	tool gcc gcc
	header stdlib.h c libc6-dev
	tool flex flex
	tool bison bison
	tool "${CLANG:-clang}" clang
	tool bpftool bpftool
	header yaml.h yaml libyaml-dev
	header jansson.h jansson libjansson-dev
	header bpf/libbpf.h bpf libbpf-dev
	header libelf.h elf libelf-dev
	header zlib.h z zlib1g-dev
	header zstd.h zstd libzstd-dev
	header curses.h ncursesw libncurses-dev
}
cmocka_lines='#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>'
fuzzer_there() {
	command -v "${CLANG:-clang}" >/dev/null 2>&1 || return 1
	printf 'int LLVMFuzzerTestOneInput(const unsigned char *p, unsigned long n);\nint LLVMFuzzerTestOneInput(const unsigned char *p, unsigned long n) { (void)p; (void)n; return 0; }\n' |
		"${CLANG:-clang}" -fsanitize=fuzzer,address -xc - -o /dev/null >/dev/null 2>&1
}
test_group() {
	tool promtool prometheus # an oracle: rules of ours beside the same in PromQL
	header cmocka.h cmocka libcmocka-dev "$cmocka_lines"
	python3 -c 'import json, socket' >/dev/null 2>&1 || need python3 python3
	tool tmux tmux
	tool ps procps
	tool unshare util-linux
	tool atop atop # what import reads, made by those who write it
	tool pidstat sysstat
	tool chromium chromium # looks at the page that simulate makes
	# libFuzzer and the sanitizers' runtime lie beside clang, under its major version. Where
	# that is not known yet (no clang, no package lists) the second look (below) finds it.
	[ -z "$CLANG_MAJOR" ] || fuzzer_there || need "libclang-rt-$CLANG_MAJOR-dev" "clang's libFuzzer"
}
vm_group() { # guests, for tests/vm
	tool qemu-system-x86_64 qemu-system-x86
	tool busybox busybox-static
	! command -v busybox >/dev/null 2>&1 || ! ldd "$(command -v busybox)" >/dev/null 2>&1 || need busybox-static "a static busybox"
	tool cpio cpio
	tool chrt util-linux
	tool pahole dwarves # reads BTF too: what ours is compared with
	tool xz xz-utils # unpack kernels
	tool zstd zstd
	tool lz4 lz4
	# The module is built for the kernels that Debian 12 ships; elsewhere that test is skipped.
	if grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release; then
		for f in 6.1.0:linux-headers-cloud-amd64 6.12:linux-headers-6.12-cloud-amd64; do
			compgen -G "/usr/src/linux-headers-${f%%:*}*-cloud-amd64" >/dev/null || need "${f#*:}" "headers of the ${f%%:*} kernel"
		done
		tool sparse sparse
		tool dkms dkms
		tool kexec kexec-tools # a panic hands over to a crash kernel
	fi
}
docs_group() { tool scdoc scdoc; }
demo_group() { tool ps procps; }
bench_group() { # and what to compare with
	tool earlyoom earlyoom
	python3 -c 'import json, socket' >/dev/null 2>&1 || need python3 python3
	/usr/bin/python3 -c 'import drgn' >/dev/null 2>&1 || need python3-drgn drgn
}

CLANG_MAJOR=
if command -v "${CLANG:-clang}" >/dev/null 2>&1; then
	CLANG_MAJOR=$("${CLANG:-clang}" -dumpversion | cut -d. -f1)
elif command -v apt-cache >/dev/null 2>&1; then
	CLANG_MAJOR=$(apt-cache depends clang 2>/dev/null | sed -n 's/^ *Depends: clang-\([0-9]*\)$/\1/p')
fi
for g in "$@"; do
	case $g in
	build | test | vm | docs | demo | bench) "${g}_group" ;;
	*) echo "mk/deps.sh: there is no group \"$g\": build, test, vm, docs, demo, bench" >&2; exit 2 ;;
	esac
done
[ ${#missing[@]} -eq 0 ] && exit 0

mapfile -t packages < <(printf '%s\n' "${missing[@]}" | sort -u)
what=$(printf ', %s' "${wanted[@]}")
command="apt-get install -y --no-install-recommends ${packages[*]}"
debian=no
if [ -r /etc/os-release ] && grep -qE '^(ID|ID_LIKE)=.*debian' /etc/os-release && command -v apt-get >/dev/null; then
	debian=yes
fi
if [ $debian = no ]; then
	echo "Missing: ${what#, }." >&2
	echo "This is not Debian, so nothing is installed. Debian's names for the packages: ${packages[*]}" >&2
	exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "Missing: ${what#, }. Install with:" >&2
	echo "  sudo $command" >&2
	exit 1
fi

echo "Missing: ${what#, }. Installing: ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
# Package lists may be absent (containers) or too old: only then are they fetched.
if ! $command >"$log" 2>&1; then
	if ! { apt-get update && $command; } >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		echo "apt-get failed; by hand: apt-get update && $command" >&2
		exit 1
	fi
fi
# Look again: what was installed must be what was missing.
if [ "${DEPS_LOOKS:-0}" -ge 2 ]; then
	echo "Installed, and still missing: ${what#, }. Please report this with the output of: $0 $*" >&2
	exit 1
fi
rm -f "$log"
DEPS_LOOKS=$((${DEPS_LOOKS:-0} + 1)) exec "$0" "$@"
