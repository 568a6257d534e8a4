#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The tests of the shipped policies: they pass, they look at every rule, step and branch, and they notice when a policy is changed.
set -u
ctl=$BUILD/gpufasctl
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
n=0
ok() { n=$((n + 1)); echo "ok $n - $1"; }
not_ok() { n=$((n + 1)); echo "not ok $n - $1"; }
is() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1"; printf '# got:    %s\n# wanted: %s\n' "$2" "$3"; fi; }

"$ctl" test --minimum 100 --coverage policies/tests/*.yaml >"$work/out" 2>&1
rc=$?
is "all pass, and all rules and branches are looked at" "$rc$(grep -E '^  FAIL|error:|: never|has never|was never' "$work/out" | head -5)" 0
is "every step is taken" "$(awk '$1 == "all" { split($3, a, "/"); print a[1] - a[2] }' "$work/out")" 0
for p in policies/*.policy; do
	b=$(basename "$p" .policy)
	[ -f "policies/tests/$b.yaml" ] && grep -q "/$b.policy" "policies/tests/$b.yaml" && continue
	bad=1
	echo "# $b has no test file"
done
is "every policy has a test file of its own" "${bad:-0}" 0

# A policy that says something else: its tests must fail. FILE SED
mutants=0 missed=
while read -r file change; do
	rm -rf "$work/p"
	cp -r policies "$work/p"
	sed -i -E "$change" "$work/p/$file.policy"
	cmp -s "policies/$file.policy" "$work/p/$file.policy" && { missed+=" [$file: \"$change\" changes nothing]"; continue; }
	"$ctl" check "$work/p/$file.policy" >"$work/check" 2>&1 || { missed+=" [$file: \"$change\" is no policy]"; continue; }
	mutants=$((mutants + 1))
	"$ctl" test "$work/p/tests/$file.yaml" >/dev/null 2>&1 && missed+=" [$file: \"$change\"]"
done <<'E2'
10-essentials s/^protect comm in \("sshd", /protect comm in (/
10-essentials s/^avoid comm in.*//
10-essentials s/^prefer.*//
20-low-memory s/mem.available < 4%/mem.available < 3%/
20-low-memory s/for 3s until/for 2s until/
20-low-memory s/until mem.available > 8%/until mem.available > 40%/
20-low-memory s/SIGTERM largest by anon \+ swap/SIGTERM largest by anon/
20-low-memory s/after 10s SIGKILL/after 9s SIGKILL/
20-low-memory s/cooldown 10s/cooldown 5s/
20-low-memory s/swap.free < 10%/swap.free < 60%/
30-leak s/delta\(anon, 30min\) > 512MiB and/delta(anon, 30min) > 4GiB and/
30-leak s/age > 1h/age > 1s/
30-leak s/cooldown 1h/cooldown 2h/
40-swap-thrash s/> 1000\/s/> 5\/s/
40-swap-thrash s/ and anon \+ swap > 64MiB//
40-swap-thrash s/where rate\(majflt, 10s\) > 20\/s and/where/
50-fork-bomb s/SIGSTOP tree of largest/SIGSTOP largest/
50-fork-bomb s/uid >= 1000/uid < 5000/
50-fork-bomb s/SIGSTOP pgrp of newest/SIGSTOP newest/
60-runaway-cpu s/for 10min/for 9min/
60-runaway-cpu s/nice < 10/nice < 19/
60-runaway-cpu s/cpu > 95% for 6h/cpu > 95% for 5h/
70-reports s/fds > 4096/fds > 8000/
70-reports s/> 500 for 5min/> 300 for 5min/
70-reports s/until tasks.blocked < 10/until tasks.blocked < 90/
80-guests s/then freeze it/then log it/
80-guests s/os.stalled > 30s/os.stalled > 29s/
80-guests s/limit 2 per 1h  observe/limit 2 per 1h/
90-last-resorts s/os.stalled > 30s/os.stalled > 29s/
90-last-resorts s/after 30s restart/after 20s restart/
E2
is "policies that were changed are noticed ($mutants of them)" "$missed" ""
is "... and there were enough" "$((mutants >= 30))" 1

# Paths are those of the test file, wherever it is run.
cp -r policies "$work/moved"
case $ctl in /*) ;; *) ctl=$PWD/$ctl ;; esac
is "they find their policies from anywhere" "$(cd / && "$ctl" test "$work"/moved/tests/*.yaml 2>&1 | tail -1 | grep -c ' 0 failed$')" 1
echo "1..$n"
