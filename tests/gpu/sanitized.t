#!/bin/bash
# SPDX-License-Identifier: MIT
# timeout: 60
# What run.sh's part sanitize excuses, and what not: reports in the words of compute-sanitizer 13.0, some spoilt.
set -u
export LC_ALL=C PYTHONDONTWRITEBYTECODE=1
n=0
d=$(mktemp -d) || exit 1
trap 'rm -rf "$d"' EXIT

printf '========= COMPUTE-SANITIZER\nbefore: read as written\n========= ERROR SUMMARY: 0 errors\n' >"$d/before"
report() { # report FUNCTION BEGIN SIZE [LINE OF THE PROGRAM'S...]: a read of 8 bytes at 0x2a9a99b2b8
	local f=$1 begin=$2 size=$3
	shift 3
	cat <<-END
		========= COMPUTE-SANITIZER
		1..3
		ok 1 - first
		========= Invalid __global__ read of size 8 bytes
		=========     at $f+0x4c0
		=========     by thread (0,0,0) in block (0,0,0)
		=========     Access to 0x2a9a99b2b8 is out of bounds
		=========     and is inside the nearest allocation at $begin of size $size bytes
		=========     Saved host backtrace up to driver entry point at kernel launch time
		=========         Host Frame: main [0x1b91a] in program
		========= 
		========= Program hit cudaErrorLaunchFailure (error 719) due to "unspecified launch failure" on CUDA API call to cudaStreamQuery.
		=========     Saved host backtrace up to driver entry point at error
		=========         Host Frame: main [0x1b91a] in program
		========= 
		$(printf '%s\n' "$@")
		========= Target application returned an error
		========= ERROR SUMMARY: 2 errors
	END
}
report 'reader(mail *)' 0x2a9a99b000 2164 >"$d/after"
sed 's/and is inside .*/and is 1 bytes after the nearest allocation at 0x2a9a89b000 of size 1048576 bytes/' "$d/after" >"$d/beyond"
report 'gf_gpu_take_on(gf_gpu *)' 0x2a9a99b000 2164 'not ok 2 - runs' >"$d/life"

expect() { # expect STATUS WORDS HOW FILE...
	local want=$1 words=$2 said rc
	shift 2
	n=$((n + 1))
	said=$(cd "$d" && python3 "$here/sanitized.py" "$@" 2>&1)
	rc=$?
	if [ $rc -eq "$want" ] && [[ $said == *$words* ]]; then
		echo "ok $n - $*: $words"
	else
		printf 'not ok %d - %s: %s\n# %d, %s\n' $n "$*" "$words" $rc "$said"
	fi
}
spoil() { sed "$1" "$d/$2" >"$d/$3"; }
here=$PWD/tests/gpu

expect 0 "out of bounds" control before after beyond
expect 1 "no such limit" control before before beyond
expect 1 "something else" control before beyond beyond
expect 1 "it shows nothing" control before after before
expect 1 "it shows nothing" control before after after
expect 1 "not clean either" control after after beyond
expect 1 "no whole report" control before /dev/null beyond

expect 0 "clean" judge before
expect 1 "FAILED: Invalid" judge life
expect 0 "not checked from there on: runs" judge life after
expect 1 "FAILED: Invalid" judge life beyond
spoil 's/of size 2164/of size 21/' life outside
expect 1 "FAILED: Invalid" judge outside after
spoil 's/global__ read/global__ write/' life write
expect 1 "write" judge write after
spoil 's/global__ read/shared__ read/' life shared
expect 1 "shared" judge shared after
spoil 's/^ok 1/not ok 1/' life first
expect 1 "FAILED" judge first after
spoil 's/SUMMARY: 2/SUMMARY: 3/' life more
expect 1 "FAILED" judge more after
spoil '/ERROR SUMMARY/d' life cut
expect 1 "FAILED" judge cut after
spoil 's/cudaErrorLaunchFailure (error 719)/cudaErrorInvalidValue (error 1)/' life api
expect 1 "cudaErrorInvalidValue" judge api after
echo "1..$n"
