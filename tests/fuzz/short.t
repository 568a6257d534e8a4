#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 500
#
# A short run of every fuzz target: each starts from its corpus, so that what was
# found once is tried again, and then looks for 15 seconds (FUZZ_TIME) for more.
set -u
export BUILD
targets=(policy image socket btf memory tasks qmp gft import ptest sim)
echo "1..${#targets[@]}"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
clang=${CLANG:-clang}

why=
if ! command -v "$clang" >/dev/null 2>&1; then
	why="there is no clang"
else
	echo 'int LLVMFuzzerTestOneInput(const unsigned char *p, unsigned long n) { (void)p; (void)n; return 0; }' >"$work/x.c"
	"$clang" -w -fsanitize=fuzzer,address "$work/x.c" -o "$work/x" >/dev/null 2>&1 || why="clang has no libFuzzer here"
fi
# A build that is sanitised already has no use for a second one.
case $BUILD in */san) why="the fuzz targets have sanitizers of their own: they run in the plain build" ;; esac

if [ -z "$why" ] && ! make --no-print-directory SAN= BUILD="$BUILD" build-fuzz >"$work/make" 2>&1; then
	n=0
	for t in "${targets[@]}"; do n=$((n + 1)); echo "not ok $n - $t: the target does not build"; done
	tail -n 30 "$work/make" | sed 's/^/# /'
	exit 1
fi
# One for each core: a target is one thread that never waits.
run() { tests/fuzz/fuzz.sh "${FUZZ_TIME:-15}" "$BUILD/fuzz/fuzz_$1" >"$work/$1" 2>&1; echo $? >"$work/$1.rc"; }
if [ -z "$why" ]; then
	export -f run
	export work
	printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -c 'run {}'
fi
n=0
for t in "${targets[@]}"; do
	n=$((n + 1))
	if [ -n "$why" ]; then
		echo "ok $n - $t # SKIP $why"
	elif [ "$(cat "$work/$t.rc")" = 0 ]; then
		echo "ok $n - $t: $(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$t") inputs, nothing found"
	else
		echo "not ok $n - $t"
		sed 's/^/# /' "$work/$t"
	fi
done
