#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# probe on made-up memory: what it finds, as text and as JSON, and what it says where there is nothing to find.
# (tests/vm has it on real kernels.)
. tests/ctl/lib.sh
mk=$BUILD/tests/helpers/mkram

# no NAME STATUS PATTERN ARG...: probe fails with this status and a sentence
no()
{
	local name=$1 want=$2 pat=$3 out rc
	shift 3
	out=$($ctl probe "$@" 2>&1 >"$work/out"); rc=$?
	if [ $rc = "$want" ] && [[ $out == gpufasctl:\ *$pat* ]] && [ ! -s "$work/out" ]; then
		ok "$name"
	else
		not_ok "$name"
		echo "# exit $rc, $out, wanted $want and *$pat*"
	fi
}
# json FILE EXPRESSION: of probe's answer
json()
{
	$ctl probe --json "$1" | python3 -c "import json, sys; j = json.load(sys.stdin); print($2)"
}

for kind in kernel high core zeros arm64 booting; do
	"$mk" "$work/$kind" $kind || { echo "Bail out! cannot write $work/$kind"; exit 1; }
done
text=$($ctl probe "$work/kernel"); rc=$?
has "release" "$text" "Linux 6.1.0-1-test
"
has "how" "$text" "VMCOREINFO at guest address 0x"
has "page tables" "$text" "4 levels"
has "memory" "$text" "0x0:0x4000000@0x0"
has "why processes cannot be read" "$text" "Missing
  "
is "something is missing: exit 1" $rc 1
if command -v python3 >/dev/null; then
	is "symbols and types" "$(json "$work/kernel" "j['symbols']['count'] > 1500, j['btf']['types'] > 0")" "True True"
	is "KASLR" "$(json "$work/kernel" "j['kaslr'], j['phys_base'], j['page_offset']")" "0x1f200000 $((0x1000000 - 0x20200000)) 0xffff888040000000"
	is "a hole is found" "$(json "$work/high" "[p['gpa'] + ':' + p['size'] for p in j['memory']['pieces']]")" \
		"['0x0:0xc0000000', '0x100000000:0x80000000']"
	is "a core is read only" "$(json "$work/core" "j['release'], j['memory']['writable'], j['memory']['pieces'][0]['offset']")" \
		"6.1.0-1-test False 0x234"
else
	for t in "symbols and types" KASLR "a hole is found" "a core is read only"; do ok "$t # SKIP there is no python3"; done
fi
has "layout by hand" "$($ctl probe --layout 0:64MiB@0 "$work/kernel")" "0x0:0x4000000@0x0"
no "a layout that is not this file's" 1 "cut short" --layout 0:2G@0,4G:3G@2G "$work/kernel"
no "a layout with a hole at the wrong place" 1 "" --layout 0:32M@32M,4G:32M@0 "$work/kernel"
no "zeros" 1 "nothing but zeros" "$work/zeros"
no "another architecture" 1 "arm64" "$work/arm64"
no "still booting" 1 "booting" "$work/booting"
no "a text" 1 "not the memory of a machine" Makefile
no "a program" 1 "not a core" "$ctl"
no "no such file" 3 "cannot look" "$work/none"
if command -v python3 >/dev/null; then
	python3 -c "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])" "$work/sock"
	echo 'if rss > 1% then SIGTERM it' >"$work/p.policy"
	has "dry-run of a socket" "$($ctl dry-run "$work/p.policy" --ram "$work/sock" 2>&1)" "is a socket: give a RAM file"
else
	ok "dry-run of a socket # SKIP there is no python3"
fi
no "a directory" 1 "" "$work"
printf 'KDUMP   %100s' x >"$work/kdump"
no "a compressed dump" 1 "makedumpfile" "$work/kdump"
head -c 100 "$work/core" >"$work/short"
no "a core without end" 1 "not complete" "$work/short"
echo "1..$n"
