#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What sema says, word by word: each sema/NAME.policy beside what is expected in
# NAME.err. "# semacheck: OPTIONS" in the first line is given to semacheck.
# NAME begins with the code that it is about, or with "ok": nothing is said.
# GOLDEN_WRITE=1 writes the expectations anew: read the difference before committing it.
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
check=$top/${BUILD:-build}/tests/helpers/semacheck
[ "${BUILD:-}" = "${BUILD#/}" ] || check=$BUILD/tests/helpers/semacheck
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

if [ ! -x "$check" ]; then
	echo "Bail out! $check was not built (make build-tests)"
	exit 1
fi
cd "$here/sema" || exit 1
for f in *.policy; do
	name=${f%.policy}
	read -r line <"$f"
	opts=
	case $line in '# semacheck: '*) opts=${line#'# semacheck: '} ;; esac
	# shellcheck disable=SC2086 # several options
	"$check" $opts "$f" >"$tmp/out" 2>"$tmp/stderr"
	rc=$?
	[ -z "${GOLDEN_WRITE:-}" ] || cp "$tmp/out" "$name.err"
	ok=0
	case $name in e*) want=1 ;; *) want=0 ;; esac
	[ $rc = $want ] || { echo "# exit $rc, not $want"; ok=1; }
	[ -s "$tmp/stderr" ] && { sed 's/^/# /' "$tmp/stderr"; ok=1; }
	diff -u "$name.err" "$tmp/out" >"$tmp/diff" || { sed 's/^/# /' "$tmp/diff"; ok=1; }
	code=${name%%-*}
	if [ "$code" = ok ]; then
		[ ! -s "$name.err" ] || ok=1
	else
		grep -q "\[${code^^}\]" "$name.err" || { echo "# [${code^^}] is not in $name.err"; ok=1; }
	fi
	result $ok "$name"
done

# Every code of sema's has a test; E199 is for faults that are not known.
ok=0
for code in $(grep -o '^GF_CODE("[EW][0-9]*' "$top/compiler/codes.def" | cut -d'"' -f2); do
	case $code in
	E0[0-4]* | E2* | E199) continue ;;
	esac
	grep -qs "\[$code\]" ./*.err || { echo "# no test for $code"; ok=1; }
done
result $ok "every code is tested"

# Every code that is said is in codes.def.
ok=0
for code in $(grep -oh '"[EW][0-9][0-9][0-9]"' "$top"/compiler/*.c "$top"/grammar/*.[cly] | tr -d '"' | sort -u); do
	grep -q "^GF_CODE(\"$code\"" "$top/compiler/codes.def" || { echo "# $code is not in codes.def"; ok=1; }
done
result $ok "every code is in the table"

ok=0
(cd "$top" && "$check" policies/*.policy) >"$tmp/out" 2>&1 || ok=1
[ ! -s "$tmp/out" ] || { sed 's/^/# /' "$tmp/out"; ok=1; }
result $ok "nothing is said of the shipped policies"

# Lets across files, in any order of the files.
printf 'if hog then log it\n' >"$tmp/a.policy"
printf 'let hog = rss > 5GiB\n' >"$tmp/b.policy"
ok=0
"$check" "$tmp/a.policy" "$tmp/b.policy" >"$tmp/out" && "$check" "$tmp/b.policy" "$tmp/a.policy" >>"$tmp/out" || ok=1
[ ! -s "$tmp/out" ] || ok=1
result $ok "lets are known in all files of a policy"

# Lets that double at each step end in an error, not in all memory.
{
	echo 'let a0 = rss > 1GiB or comm == "x"'
	for i in $(seq 1 60); do echo "let a$i = held(a$((i - 1)), ${i}s) and held(a$((i - 1)), ${i}min)"; done
	echo 'if a60 then log it'
} >"$tmp/bomb.policy"
ok=0
(ulimit -t 20; "$check" "$tmp/bomb.policy") >"$tmp/out" 2>&1
[ $? = 1 ] && grep -q '\[E079\]' "$tmp/out" && [ "$(grep -c 'error:' "$tmp/out")" = 1 ] || { head -5 "$tmp/out"; ok=1; }
result $ok "lets that double are refused"

# Each let is checked once, on top of those before it; the other way round it is all one expression.
for i in $(seq 1 900); do echo "let a$i = a$((i - 1)) + 1MiB"; done >"$tmp/lets"
{ echo 'let a0 = rss'; cat "$tmp/lets"; echo 'if a900 > 1GiB then log it'; } >"$tmp/up.policy"
{ tac "$tmp/lets"; echo 'let a0 = rss'; echo 'if a900 > 1GiB then log it'; } >"$tmp/down.policy"
ok=0
"$check" "$tmp/up.policy" >"$tmp/out" 2>&1 || { head -5 "$tmp/out"; ok=1; }
"$check" "$tmp/down.policy" >"$tmp/out" 2>&1
[ $? = 1 ] && grep -q "\[E079\]" "$tmp/out" || { head -5 "$tmp/out"; ok=1; }
result $ok "long chains of lets"

echo "1..$n"
exit $bad
