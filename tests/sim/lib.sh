# SPDX-License-Identifier: MIT
# For tests of recordings: TAP, a directory of their own, and helpers that end with them.
set -u
export LC_ALL=C TZ=UTC
export ASAN_OPTIONS=exitcode=99 UBSAN_OPTIONS=exitcode=99
unset GPUFAS_SOCKET NO_COLOR
B=${BUILD:-build}
ctl=$B/gpufasctl
d=$(mktemp -d) || exit 1
n=0 pids=()

cleanup() {
	for p in "${pids[@]}"; do kill -9 "$p" 2>/dev/null; done
	rm -rf "$d"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

ok() { n=$((n + 1)); echo "ok $n - $1"; }
not_ok() { n=$((n + 1)); echo "not ok $n - $1"; shift; printf '# %s\n' "$@"; }
skip() { n=$((n + 1)); echo "ok $n - $1 # SKIP $2"; }
is() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "got:  $2" "want: $3"; fi; }
has() { if [[ $2 == *"$3"* ]]; then ok "$1"; else not_ok "$1" "got: $2" "want in it: $3"; fi; }
# says NAME COMMAND...: it is right when it prints nothing and succeeds; what it prints is what is wrong.
says() { local name=$1 out; shift; if out=$("$@" 2>&1) && [ -z "$out" ]; then ok "$name"; else not_ok "$name" "${out//$'\n'/$'\n'# }"; fi; }
until_ok() { for _ in $(seq 1200); do "$@" >/dev/null 2>&1 && return 0; sleep 0.05; done; return 1; }
