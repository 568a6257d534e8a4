#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# tests/fuzz/fuzz.sh SECONDS PROGRAM...: runs fuzz targets one after the other, each
# from its corpus (tests/fuzz/corpus/NAME, and for images also what the policies
# of the tree compile to). Exit 1 when one of them found something.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
seconds=$1
shift
out=$BUILD/fuzz
mkdir -p "$out/crash"

# Images follow the format: they are made from texts, not kept.
seed_images() {
	mkdir -p "$out/seed/image"
	local f n=0
	for f in policies/*.policy tests/fuzz/corpus/policy/*; do
		for target in host vm; do
			n=$((n + 1))
			"$BUILD/gpufasctl" compile -t $target "$f" -o "$out/seed/image/$n.gfb" >/dev/null 2>&1 || rm -f "$out/seed/image/$n.gfb"
		done
	done
}

status=0
for program in "$@"; do
	name=${program##*/fuzz_}
	mkdir -p "$out/new/$name" "$out/seed/$name"
	[ "$name" = image ] && seed_images
	[ "$name" = policy ] && cp policies/*.policy "$out/seed/policy/"
	dictionary=()
	[ -f "tests/fuzz/$name.dict" ] && dictionary=("-dict=tests/fuzz/$name.dict")
	echo "== $name, $seconds s"
	UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=detect_leaks=1 "$program" -max_total_time="$seconds" -timeout=10 \
		-rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 "${dictionary[@]}" -artifact_prefix="$out/crash/$name-" \
		"$out/new/$name" "$out/seed/$name" "tests/fuzz/corpus/$name" >"$out/$name.log" 2>&1
	rc=$?
	grep -E '^stat::(number_of_executed_units|new_units_added|peak_rss_mb)' "$out/$name.log"
	if [ $rc -ne 0 ]; then
		status=1
		echo "$name: FOUND SOMETHING (input in $out/crash/$name-*)"
		grep -vE '^(#[0-9]+[[:space:]]+(NEW|REDUCE|pulse|INITED)|stat::|[[:space:]]*NEW_FUNC)' "$out/$name.log" | tail -n 60
	fi
done
exit $status
