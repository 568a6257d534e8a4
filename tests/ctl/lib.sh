# SPDX-License-Identifier: MIT
# For the tests of gpufasctl: a daemon made of files, TAP, golden texts.
# UPDATE=1 writes the golden texts anew (read the difference before committing).

export LC_ALL=C.UTF-8 TZ=UTC TERM=xterm
# A sanitizer's complaint must not look like an answer "no".
export ASAN_OPTIONS=exitcode=99 UBSAN_OPTIONS=exitcode=99
unset NO_COLOR GPUFAS_SOCKET COLUMNS LINES
BUILD=${BUILD:-build}
here=tests/ctl
ctl=$BUILD/gpufasctl
work=$(mktemp -d)
n=0
fake=

finish()
{
	[ -n "$fake" ] && kill "$fake" 2>/dev/null
	rm -rf "$work"
}
trap finish EXIT

ok()
{
	n=$((n + 1))
	echo "ok $n - $1"
}

not_ok()
{
	n=$((n + 1))
	echo "not ok $n - $1"
}

# is NAME GOT WANTED
is()
{
	if [ "$2" = "$3" ]; then
		ok "$1"
	else
		not_ok "$1"
		printf '# got:    %s\n# wanted: %s\n' "${2//$'\n'/$'\n'# }" "${3//$'\n'/$'\n'# }"
	fi
}

# has NAME TEXT PATTERN (a glob)
has()
{
	# shellcheck disable=SC2053
	if [[ $2 == *$3* ]]; then ok "$1"; else
		not_ok "$1"
		printf '# %s\n# lacks: %s\n' "${2//$'\n'/$'\n'# }" "$3"
	fi
}

# golden NAME COMMAND...: its output (both streams) and exit code are those of golden/NAME.txt
golden()
{
	local name=$1
	shift
	{ "$@" 2>&1; echo "exit $?"; } >"$work/got"
	[ -n "${UPDATE:-}" ] && cp "$work/got" "$here/golden/$name.txt"
	if diff -u "$here/golden/$name.txt" "$work/got" >"$work/diff"; then
		ok "$name"
	else
		not_ok "$name"
		sed 's/^/# /' "$work/diff"
	fi
}

# Waits until a command succeeds; a minute is for machines that stand still.
until_ok()
{
	local _
	for _ in $(seq 1200); do
		"$@" && return 0
		sleep 0.05
	done
	return 1
}

# Starts a daemon that answers from a copy of data/ in $work/d, at $work/s.
start_fake()
{
	mkdir -p "$work/d"
	cp $here/data/*.json "$work/d/"
	rm -f "$work/s" # the one of before says nothing of whether this one listens
	"$BUILD/tests/helpers/fakesock" "$work/s" "$work/d" &
	fake=$!
	until_ok test -S "$work/s"
	export GPUFAS_SOCKET=$work/s
}

plan()
{
	echo "1..$n"
}
