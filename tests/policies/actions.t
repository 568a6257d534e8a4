#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 180
#
# Shipped rules, acting for real. Their thresholds are lowered so far that they
# fire at once, and every step is limited to processes of this test by name: the
# test looks at that itself before it starts the daemon. What is tried is the
# rest: who is chosen, which signals come, in which order, and who lives.
set -u
plan=13
echo "1..$plan"
. demo/lib.sh
helpers=$BUILD/tests/helpers
tag=gft$$
pids=()
cleanup() {
	stop_daemon
	for p in "${pids[@]}"; do
		case $(cat "/proc/$p/comm" 2>/dev/null) in "$tag"*) kill -KILL "$p" 2>/dev/null ;; esac
	done
	rm -rf "$dir"
}
trap cleanup EXIT
n=0
ok() { n=$((n + 1)); echo "ok $n - $1"; }
bad() {
	n=$((n + 1))
	echo "not ok $n - $1"
	{ ctl events --lines 40; tail -n 20 "$dir/log"; } 2>&1 | sed 's/^/# /'
}
check() { local name=$1; shift; if "$@"; then ok "$name"; else bad "$name"; fi; }
skip_rest() { while [ $n -lt $plan ]; do n=$((n + 1)); echo "ok $n - not tried # SKIP $1"; done; exit 0; }

[ "$(id -u)" -eq 0 ] || skip_rest "needs root: hogs of another user are signalled"
command -v setpriv >/dev/null 2>&1 || skip_rest "there is no setpriv"

wait_for() { # wait_for COMMAND...: up to a minute
	for _ in $(seq 600); do
		"$@" && return 0
		sleep 0.1
	done
	return 1
}
gone() { ! kill -0 "$1" 2>/dev/null; }
launch() { "$@" >/dev/null & pid=$!; pids+=("$pid"); }
size_is() { [ "$(awk '/^VmRSS/ { print $2 }' "/proc/$1/status" 2>/dev/null || echo 0)" -ge $(($2 * 1024)) ]; }
children() { [ "$(pgrep -c -P "$1")" -ge "$2" ]; }

mkdir "$dir/policy.d"
# Memory: always "nearly gone". Forks: always "too many".
sed -e '/^  if mem.available < 4%/,/^      for 3s/c\  if mem.total > 1MiB for 500ms until mem.total < 1MiB' \
	-e "/^rule no-memory/,\$d" -e "/^let swap_gone/d" -e "s/^let worth_it.*/let worth_it = anon + swap > 64MiB/" \
	-e "s/then after 10s/then after 1s/" -e "s/where worth_it/where comm == \"${tag}mem\" and worth_it/" \
	policies/20-low-memory.policy >"$dir/policy.d/20.policy"
sed -e "s/^let bombing.*/let bombing = count(where comm == \"${tag}fork\") > 20/" -e "/^let young/d" \
	-e "s/until tasks.rate < 100\/s//" -e "s/tree(threads) > 1000/tree(threads) > 20/" \
	-e "/^# The kind whose parents/,\$d" -e "s/where uid/where comm == \"${tag}fork\" and uid/" \
	policies/50-fork-bomb.policy >"$dir/policy.d/50.policy"
sed -e "s/if cpu > 95%/if comm == \"${tag}cpu\" and cpu > 20%/" -e "/^ *and cgroup/d" -e "/^ *and psi/d" \
	-e "s/for 10min/for 2s/" -e "/^rule endless/,\$d" policies/60-runaway-cpu.policy >"$dir/policy.d/60.policy"
sed -e "s/30min/2s/; s/10min/1s/; s/age > 1h/age > 1s/; s/512MiB/15MiB/; s/128MiB/5MiB/" -e "/^rule leak-report/,/^\$/d" \
	-e "s/^  if leaking/  if comm == \"${tag}leak\" and leaking/" -e "/^ *and anon >/d" -e "/^ *and mem.available/d" \
	-e "s/for 30s until.*/for 200ms/" policies/30-leak.policy >"$dir/policy.d/30.policy"
# The rule for a bomb without a root, as a policy of its own kind of names.
sed -e "s/^let bombing.*/let swarming = count(where comm == \"${tag}pgrp\") > 20/" -e "/^let young/d" -e "s/if bombing/if swarming/" \
	-e "s/until tasks.rate < 100\/s//" -e "/^# The kind that keeps/,/^\$/d" \
	-e "s/where uid >= 1000 and age < 10s/where comm == \"${tag}pgrp\" and uid >= 1000/" \
	policies/50-fork-bomb.policy >"$dir/policy.d/51.policy"
echo "protect uid == 1234" >"$dir/policy.d/10.policy"

# No step may reach beyond our names: every acting line, or its rule's condition, has one.
safe() {
	local f
	for f in 20 50 51; do
		grep -E '^ *then SIG' "$dir/policy.d/$f.policy" | grep -vq "comm == \"$tag" && return 1
	done
	for f in 30 60; do
		grep -E '^ *if ' "$dir/policy.d/$f.policy" | grep -vq "comm == \"$tag" && return 1
	done
	for f in 30 51; do
		[ "$(grep -cE '^ *then SIG' "$dir/policy.d/$f.policy")" -eq 1 ] || return 1
	done
	[ "$(grep -cE '^ *then SIG' "$dir/policy.d/20.policy")" -eq 1 ] && [ "$(grep -cE '^ *then SIG' "$dir/policy.d/50.policy")" -eq 1 ]
}
if ! safe; then
	bad "every step is limited to this test's processes (the shipped policies have changed: change this test)"
	exit 1
fi
ok "every step is limited to this test's processes"
"$BUILD/gpufasctl" check "$dir/policy.d" >"$dir/check" 2>&1 || { sed 's/^/# /' "$dir/check"; bad "the lowered policies compile"; exit 1; }

launch setpriv --reuid=1234 --clear-groups "$helpers/memhog" --comm "${tag}mem" --limit 200 --rate 400 --seconds 100
kept=$pid
launch "$helpers/memhog" --comm "${tag}mem" --limit 120 --rate 400 --seconds 100 --deaf
deaf=$pid
launch setpriv --reuid=4321 --clear-groups "$helpers/forker" --comm "${tag}fork" --limit 40 --rate 500 --seconds 100
bomb=$pid
launch "$helpers/cpuhog" --comm "${tag}cpu" --seconds 100
spin=$pid
# Sessions, so process groups, of their own, with one name; the swarm's children are the newest.
launch setsid setpriv --reuid=4322 --clear-groups "$helpers/memhog" --comm "${tag}pgrp" --limit 1 --seconds 100
apart=$pid
wait_for size_is "$apart" 1
launch setsid setpriv --reuid=4322 --clear-groups "$helpers/forker" --comm "${tag}pgrp" --limit 40 --rate 500 --seconds 100
swarm=$pid
launch "$helpers/memhog" --comm "${tag}leak" --limit 1500 --rate 15 --seconds 100
leak=$pid
wait_for size_is "$kept" 195 && wait_for size_is "$deaf" 115 && wait_for children "$bomb" 40 && wait_for children "$swarm" 40
# The rule reaches a whole process group: none of this test's own.
own_group() { [ "$(ps -o pgid= -p "$1" | tr -d ' ')" = "$1" ]; }
if ! own_group "$swarm" || ! own_group "$apart"; then bad "the bomb without a root has a process group of its own"; exit 1; fi
ok "the bomb without a root has a process group of its own"

write_config enforce "$dir/policy.d"
start_daemon >&2 || { bad "the daemon starts"; exit 1; }

check "the hog that ignores SIGTERM is ended" wait_for gone "$deaf"
wait "$deaf" 2>/dev/null
[ $? -eq 137 ] && ok "... by SIGKILL, the second step" || bad "... by SIGKILL, the second step"
check "the larger process of the same name, protected, lives" kill -0 "$kept"
check "the root of the tree is ended" wait_for gone "$bomb"
no_forkers() { ! pgrep -x "${tag}fork" >/dev/null; }
check "... with all its children" wait_for no_forkers
no_swarm() { [ -z "$(ps -o pid= -g "$swarm")" ]; }
check "the process group of the bomb without a root is ended" wait_for no_swarm
check "... and nothing beside it" kill -0 "$apart"
nicer() { [ "$(cut -d')' -f2 "/proc/$spin/stat" | awk '{ print $17 }')" = 10 ]; }
check "the busy process is nice 10, and lives" wait_for nicer
check "what grows and grows is ended" wait_for gone "$leak"
wait "$leak" 2>/dev/null
[ $? -eq 143 ] && ok "... by SIGTERM, the first step" || bad "... by SIGTERM, the first step"
term_first() {
	ctl events --json --lines 200 --rule low-memory | grep -o '"step": *"[^"]*"' | head -n 1 | grep -q SIGTERM
}
check "SIGTERM came first" term_first
