# SPDX-License-Identifier: MIT
# For tests of the daemon: one of its own, with its own socket, that touches only
# processes whose names this test has made up.
set -u
unset GPUFAS_SOCKET NOTIFY_SOCKET JOURNAL_STREAM
B=${BUILD:-build}
d=$(mktemp -d) || exit 1
n=0 pids=() daemon=
tag=gf$$            # in the names of all processes that policies here may name

cleanup() {
	# a stopped process takes a signal only when it goes on
	for p in "${pids[@]}"; do kill -9 "$p" 2>/dev/null; done
	mountpoint -q "$d/disk" 2>/dev/null && umount "$d/disk"
	rm -rf "$d"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

ok() { n=$((n + 1)); echo "ok $n - $1"; }
not_ok() { n=$((n + 1)); echo "not ok $n - $1"; shift; printf '# %s\n' "$@"; sed 's/^/# log: /' "$d/log" 2>/dev/null | tail -20; }
skip() { n=$((n + 1)); echo "ok $n - $1 # SKIP $2"; }
is() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "got:  $2" "want: $3"; fi; }
has() { if [[ $2 == *"$3"* ]]; then ok "$1"; else not_ok "$1" "got: $2" "want in it: $3"; fi; }
hasnt() { if [[ $2 != *"$3"* ]]; then ok "$1"; else not_ok "$1" "got: $2" "unwanted in it: $3"; fi; }
# Waits until a command succeeds; a minute is for machines that stand still.
until_ok() { for _ in $(seq ${GF_TRIES:-1200}); do "$@" >/dev/null 2>&1 && return 0; sleep 0.05; done; return 1; }
# comes NAME WANT COMMAND...: what COMMAND prints comes to have WANT in it; it is in $got. What is logged and what is done is
# to be asked for a moment later only: the reporter has a thread of its own.
got=
shows() { got=$("${@:2}"); [[ $got == *"$1"* ]]; }
comes() { until_ok shows "${@:2}"; has "$1" "$got" "$2"; }
gone() { ! kill -0 "$1" 2>/dev/null; }
ask() { "$B/tests/helpers/sock" ask "$d/run/s" "$1"; }
logged() { grep -q -- "$1" "$d/log"; }

config() { # extra lines
	cat >"$d/gpufas.yaml" <<-Y
	period: 50ms
	engine: {realtime: no, mlock: no}
	audit: {path: ${audit:-$d/audit.jsonl}, max-size: 64KiB, keep: 1}
	policy: {directories: [$d/policy.d]}
	control: {socket: $d/run/s, group: ""}
	$*
	Y
}
start() { # daemon's options
	: >"$d/log"
	"$B/gpufasd" -c "$d/gpufas.yaml" "$@" 2>>"$d/log" &
	daemon=$!
	pids+=("$daemon")
	until_ok ask '{"v":1,"cmd":"ping"}' || echo "# the daemon does not answer"
}
stop() { kill "$daemon"; wait "$daemon"; }
# It has its name; or had it, and a rule has ended it already.
named() { gone "$2" || grep -qx "$1" "/proc/$2/comm"; }
# A process that sleeps under a name of its own; its pid in $sleeper.
sleeper() { # name [command before]
	[ -x "$d/$1" ] || cp "$(command -v sleep)" "$d/$1"
	${2:-} "$d/$1" 300 &
	sleeper=$!
	pids+=("$sleeper")
	until_ok named "$1" "$sleeper"
}
mkdir "$d/policy.d"
