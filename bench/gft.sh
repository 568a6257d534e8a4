#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# make bench-gft: what a recording takes, of a machine at work: a build that goes round and round (processes that live for a tenth
# of a second), processes that compute, grow and fork, and a hundred that sleep. SECONDS_LONG: how long it records (120).
set -u
cd "$(dirname "$0")/.." || exit 1
long=${SECONDS_LONG:-120}
d=$(mktemp -d) || exit 1
pids=()
cleanup() {
	for p in "${pids[@]}"; do kill -TERM -- "-$p" 2>/dev/null; done
	wait 2>/dev/null
	rm -rf "$d"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
set -m # each in a group of its own
build() { while :; do for f in sim/*.c; do ${CC:-gcc} -std=gnu11 -D_GNU_SOURCE -I. -Iinclude -I"$BUILD/gen" -O2 -c "$f" -o "$d/$1.o" 2>/dev/null; done; done; }
forks() { while :; do /bin/true; sleep 0.2; done; }
"$BUILD/tests/helpers/sleepers" 100 $((long + 60)) >/dev/null & pids+=($!)
nice "$BUILD/tests/helpers/cpuhog" >/dev/null & pids+=($!)
nice "$BUILD/tests/helpers/memhog" --rate 1 --limit 400 >/dev/null & pids+=($!)
(build a) & pids+=($!)
(forks) & pids+=($!)
set +m
sleep 2
"$BUILD/gpufasctl" record -o "$d/work.gft" --for "${long}s" -i 1s >/dev/null 2>&1 || exit 1
"$BUILD/gpufasctl" trace --sizes "$d/work.gft" | sed 1d
[ -z "${KEEP:-}" ] || cp "$d/work.gft" "$KEEP"
"$BUILD/gpufasctl" trace --sizes --json "$d/work.gft" | python3 -c '
import json, sys
t, limit = json.load(sys.stdin)[0], 3
each = t["steady_bytes"]
print("\n%d samples, %.0f processes, %.1f come a second: %.2f bytes a process that stays and sample, at most %d: %s"
      % (t["samples"], (t["staying"] + t["key_rows"]) / t["samples"], t["comings"] / t["samples"], each, limit, "met" if each <= limit else "MISSED"))
sys.exit(each > limit)'
