#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Last resorts: refused unless gpufas.yaml allows them, and never done in observe mode. Nothing here allows what could be done:
# that they are done is for a guest to show (tests/vm).
. tests/daemon/lib.sh

config ""
cat >"$d/policy.d/a.policy" <<P
rule panics if uptime > 1s for 100ms then panic cooldown 1h allow W015
rule restarts if uptime > 1s for 100ms then restart cooldown 1h allow W015
rule only-says if uptime > 1s for 100ms then panic cooldown 1h observe allow W015
P
start
comes "a rule that asks for what is not allowed: said when it is loaded" 'rule panics of target this-machine has "panic", which gpufas.yaml does not allow' cat "$d/log"
has "for each" "$got" 'rule restarts of target this-machine has "restart", which'
hasnt "not of one that observes" "$got" 'rule only-says of target this-machine has'
comes "and refused when it is true" 'panics: panic refused: gpufas.yaml (last-resorts), or the kernel module, does not allow it' cat "$d/log"
comes "a restart too" 'restarts: restart refused: gpufas.yaml' cat "$d/log"
comes "that observes: said, not done" 'only-says: would panic' cat "$d/log"
comes "it is in the audit file" '"rule":"panics"' cat "$d/audit.jsonl"
stop; is "stop" $? 0

# nothing is refused where nothing would be done
config "mode: observe"
start
comes "observe mode: said" 'panics: would panic' cat "$d/log"
comes "and not even refused" 'panics: panic was only observed' cat "$d/log"
stop; is "stop in observe mode" $? 0
config "last-resorts: [panick]"
has "a word that is none: said, with what was meant" "$("$B/gpufasd" -c "$d/gpufas.yaml" --check-config 2>&1)" 'did you mean "panic"?'
echo "1..$n"
