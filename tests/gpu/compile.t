#!/bin/bash
# SPDX-License-Identifier: MIT
# The host/device headers must also be C++ that nvcc compiles.
PATH=$PATH:/usr/local/cuda/bin
BUILD=${BUILD:-build}
echo 1..1
if ! command -v nvcc >/dev/null; then
	echo "ok 1 - headers compile for the device # SKIP nvcc is not installed"
	exit 0
fi
out=$BUILD/tests/gpu
mkdir -p "$out"
# -fmad=false: as -ffp-contract=off, the same bits as on the CPU.
if nvcc -c -fmad=false -Werror all-warnings -I. -Iinclude -o "$out/compile.o" tests/gpu/compile.cu >"$out/compile.log" 2>&1; then
	echo "ok 1 - headers compile for the device"
else
	sed 's/^/# /' "$out/compile.log"
	echo "not ok 1 - headers compile for the device"
	exit 1
fi
