#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 300
# What a GPU stores into a made-up kernel in host memory (deliver.cu).
PATH=$PATH:/usr/local/cuda/bin
BUILD=${BUILD:-build}
skip() { echo "1..0 # SKIP $1"; exit 0; }
command -v nvcc >/dev/null || skip "nvcc is not installed"
[ -e /dev/nvidiactl ] || skip "there is no GPU"
out=$BUILD/tests/gpu
mkdir -p "$out"
if ! { "${CC:-gcc}" -std=gnu11 -O2 -D_GNU_SOURCE -I. -Iinclude -c -o "$out/deliver_fake.o" tests/gpu/deliver_fake.c &&
	nvcc -arch=native -fmad=false -I. -Iinclude -o "$out/deliver" tests/gpu/deliver.cu "$out/deliver_fake.o" "$BUILD/libgpufas.a" \
		-lyaml -ljansson -lbpf -lelf -lz -lm -lpthread; } >"$out/deliver.log" 2>&1; then
	sed 's/^/# /' "$out/deliver.log"
	echo "1..1"
	echo "not ok 1 - deliver.cu is built"
	exit 1
fi
exec "$out/deliver"
