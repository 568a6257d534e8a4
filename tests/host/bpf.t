#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The BPF program must load on 6.1, which is not at hand everywhere: so it may use
# no helper that came later (209 is 6.1's last) and no kernel function, and must
# stay far from the verifier's limit.
obj=$BUILD/gen/targets/tasks.bpf.o
echo 1..3

dump=$(command -v llvm-objdump-14 || command -v llvm-objdump)
if [ -z "$dump" ]; then
	echo "ok 1 - no helper younger than Linux 6.1 # SKIP llvm-objdump is not installed"
else
	ids=$("$dump" -d "$obj" | sed -nE 's/.*\bcall (0x[0-9a-f]+|[0-9]+)$/\1/p' | sort -u)
	bad=
	for id in $ids; do
		[ $((id)) -gt 209 ] && bad="$bad $((id))"
	done
	if [ -n "$ids" ] && [ -z "$bad" ]; then
		echo "ok 1 - no helper younger than Linux 6.1"
	else
		echo "not ok 1 - no helper younger than Linux 6.1"
		echo "# helpers:${bad:- none found at all}"
	fi
fi

bpftool=$(command -v bpftool || ls /usr/sbin/bpftool 2>/dev/null)
# shellcheck disable=SC2016
log=$(unshare -m sh -c 'mount -t bpf bpf /sys/fs/bpf && "$0" -d prog load "$1" /sys/fs/bpf/gf_test && echo LOADED' \
	"${bpftool:-false}" "$obj" 2>&1)
insns=$(sed -nE 's/^processed ([0-9]+) insns.*/\1/p' <<<"$log" | sort -n | tail -1)
if [ ! -r /sys/kernel/btf/vmlinux ] || grep -qE 'Operation not permitted|^(unshare|mount): ' <<<"$log" || [ -z "$bpftool" ]; then
	echo "ok 2 - loads here # SKIP BPF is not to be had here"
	echo "ok 3 - far from the verifier's limit # SKIP BPF is not to be had here"
	exit 0
fi
if grep -q LOADED <<<"$log"; then
	echo "ok 2 - loads here"
else
	echo "not ok 2 - loads here"
	tail -5 <<<"$log" | sed 's/^/# /'
fi
if [ "${insns:-1000000}" -lt 100000 ]; then
	echo "ok 3 - far from the verifier's limit"
else
	echo "not ok 3 - far from the verifier's limit"
	echo "# ${insns:-no} instructions processed"
fi
