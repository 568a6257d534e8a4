#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What policies are compiled to: asm/NAME.policy beside its disassembly in
# NAME.asm. The image is written, read back and verified on the way. "# gfc: OPTIONS" in the
# first line is given to gfc.
# GOLDEN_WRITE=1 writes the expectations anew: read the difference before committing it.
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
gfc=$top/${BUILD:-build}/tests/helpers/gfc
[ "${BUILD:-}" = "${BUILD#/}" ] || gfc=$BUILD/tests/helpers/gfc
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
n=0 bad=0

result() { # status name
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		bad=1
	fi
}

if [ ! -x "$gfc" ]; then
	echo "Bail out! $gfc was not built (make build-tests)"
	exit 1
fi
cd "$here/asm" || exit 1
for f in *.policy; do
	name=${f%.policy}
	read -r line <"$f"
	opts=
	case $line in '# gfc: '*) opts=${line#'# gfc: '} ;; esac
	# shellcheck disable=SC2086 # several options
	"$gfc" $opts -o "$tmp/image.gfb" "$f" >"$tmp/direct" 2>"$tmp/stderr" && "$gfc" -d "$tmp/image.gfb" >"$tmp/out" 2>>"$tmp/stderr"
	rc=$?
	[ -z "${GOLDEN_WRITE:-}" ] || [ "$rc" != 0 ] || cp "$tmp/out" "$name.asm"
	[ "$rc" = 0 ] && cmp -s "$tmp/direct" "$tmp/out" && diff -u "$name.asm" "$tmp/out" >"$tmp/diff"
	ok=$?
	result "$ok" "asm: $name"
	[ "$ok" = 0 ] || sed 's/^/# /' "$tmp/stderr" "$tmp/diff"
done
"$gfc" -d "$here/asm.t" >"$tmp/out" 2>&1
[ $? = 1 ] && grep -q 'not a usable policy image' "$tmp/out"
result $? "asm: what is no image is refused with a sentence"
echo "1..$n"
exit "$bad"
