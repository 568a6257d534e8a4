#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What would break a daemon: processes that deceive, files that are none, clients in
# a storm, limits that are tight. Policies here name processes of this test alone.
. tests/daemon/lib.sh

hup() { kill -HUP "$daemon"; }
ticks() { ask '{"v":1,"cmd":"status"}' | grep -o '"ticks":[0-9]*'; }
go_on() { local t; t=$(ticks); later() { [ -n "$(ticks)" ] && [ "$(ticks)" != "$t" ]; }; until_ok later; }
alive() { if gone "$2"; then not_ok "$1"; else ok "$1"; fi; }
dies() { if until_ok gone "$2"; then ok "$1"; else not_ok "$1"; fi; }

# ---- files in the policy's directory that are no policies
config ""
cat >"$d/policy.d/a.policy" <<P
rule hog if comm == "${tag}h" then SIGKILL it cooldown 1s
P
echo 'rule if' >"$d/policy.d/a.policy~"
echo 'rule if' >"$d/policy.d/.#a.policy"
echo 'rule if' >"$d/policy.d/#a.policy#"
start
has "backups of editors are no policies" "$(ask '{"v":1,"cmd":"status"}')" '"rules":1'
mkfifo "$d/policy.d/b.policy"
has "a pipe is refused, and nobody waits for it" "$(timeout 60 "$B/tests/helpers/sock" ask "$d/run/s" '{"v":1,"cmd":"reload"}')" "not a regular file"
rm "$d/policy.d/b.policy"; mkdir "$d/policy.d/b.policy"
has "a directory is refused" "$(ask '{"v":1,"cmd":"reload"}')" "is a directory"
rmdir "$d/policy.d/b.policy"; ln -s b.policy "$d/policy.d/b.policy"
has "a link to itself is refused" "$(ask '{"v":1,"cmd":"reload"}')" "stays in force"
rm "$d/policy.d/b.policy"; head -c 5000000 /dev/zero | tr '\0' '#' >"$d/policy.d/b.policy"
has "five megabytes are refused" "$(ask '{"v":1,"cmd":"reload"}')" "stays in force"
rm "$d/policy.d/b.policy"

# ---- reloads in a storm, good and bad, while the rule has work
for i in $(seq 60); do
	if [ $((i % 2)) = 0 ]; then echo 'rule b if rss > 5s then log' >"$d/policy.d/b.policy"; else rm -f "$d/policy.d/b.policy"; fi
	hup; sleep 0.005
done
rm -f "$d/policy.d/b.policy"
has "a storm of reloads: the last is answered" "$(ask '{"v":1,"cmd":"reload"}')" '"ok":true'
sleeper "${tag}h"; dies "and the policy is in force" "$sleeper"
comes "its sentence" "hog: SIGKILL to ${tag}h (pid $sleeper, uid $(id -u)): comm == " ask '{"v":1,"cmd":"events","rule":"hog","last":200}'

# ---- the first ps knows CPU use
has "ps: CPU use at the first time of asking" "$(ask '{"v":1,"cmd":"ps"}' | grep -o "\"pid\":$$,[^}]*\"cpu\":[^,]*" | grep -c '"cpu":[0-9]')" 1
t=$(ticks)
for _ in 1 2 3 4 5; do ask '{"v":1,"cmd":"ps"}' >/dev/null & asked=$!; done
has "others are answered while processes are looked at" "$(ask '{"v":1,"cmd":"ping"}')" '"ok":true'
wait $asked

# ---- clients in a storm
python3 - "$d/run/s" <<'P'
import os, socket, sys
path, held = sys.argv[1], []
def dial():
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    s.settimeout(20)
    return s
for i in range(1500):
    s = dial()
    if i % 3 == 0: s.send(b'{"v":1,"cmd":"status"')
    if i % 3 == 1: s.send(b'{"v":1,"v":1,"cmd":"ping"}\n{"v":1e400}\n\0\0\n\xff\xfe\n{"v":99999999999999999999999,"cmd":"ping"}\n')
    s.close()
for i in range(40):
    s = dial(); s.send(b'{"v":1,"cmd":"events","follow":true}\n'); held.append(s)
for s in held[::2]: s.close()
big = dial()
try:
    big.sendall(b'x' * (3 << 20)); big.shutdown(socket.SHUT_WR)
except OSError: pass
for i in range(60):
    s = dial(); s.send(b'{"v":1,"cmd":"reload"}\n{"v":1,"cmd":"ps"}\n{"v":1,"cmd":"metrics"}\n'); s.close()
P
has "after a storm of clients: answered" "$(ask '{"v":1,"cmd":"ping"}')" '"ok":true'
go_on; is "and ticks go on" $? 0
has "half a number is no signal" "$(ask "{\"v\":1,\"cmd\":\"signal\",\"pid\":$$,\"signal\":\"0x9\"}")" "there is no signal"
fds=$(ls "/proc/$daemon/fd" | wc -l)
hup; until_ok logged reloaded; ask '{"v":1,"cmd":"ps"}' >/dev/null
same() { [ "$(ls "/proc/$daemon/fd" | wc -l)" -le $((fds + 2)) ]; }
until_ok same; is "and descriptors are given back" $? 0
kill -STOP "$daemon"; sleep 0.2; kill -CONT "$daemon"
go_on; is "stopped and continued: ticks go on" $? 0
kill -HUP "$daemon"; stop; is "SIGTERM during a reload: exit status" $? 0

# ---- names of processes that are meant to deceive
cat >"$d/policy.d/a.policy" <<P
rule odd if cmdline ~ /${tag}-odd/ then SIGKILL it cooldown 1s
rule tree if comm == "${tag}t" then SIGTERM tree of it cooldown 1h
P
cat >"$d/odd.py" <<'P'
import ctypes, sys, time
libc = ctypes.CDLL(None)
libc.prctl(15, b"\x1b[2J\n\xff\xc3\"\\", 0, 0, 0)
print("ready", flush=True)
time.sleep(300)
P
python3 "$d/odd.py" "$tag-odd"$'\n\x1b[31m\xff"' "$(head -c 6000 /dev/zero | tr '\0' 'y')" >"$d/odd.out" & odd=$!; pids+=($odd)
until_ok grep -q ready "$d/odd.out" # it has its name
start
dies "a process with a terminal's commands for a name goes" "$odd"
until_ok logged 'odd:.*gone'
is "no control character reaches the log" "$(LC_ALL=C tr -d '\n' <"$d/log" | LC_ALL=C tr -cd '\000-\037\177' | wc -c)" 0
python3 -c '
import json, sys
for l in open(sys.argv[1], "rb"): json.loads(l.decode("utf-8"))
' "$d/audit.jsonl"; is "and the audit file is JSON in UTF-8" $? 0

# ---- the victim's tree holds the daemon
stop
cp "$(command -v bash)" "$d/${tag}t"
cat >"$d/family" <<F
"$B/gpufasd" -c "$d/gpufas.yaml" 2>>"$d/log" & echo \$! >"$d/pid"
"$d/${tag}s" 300 & echo \$! >"$d/child"
wait
F
cp "$(command -v sleep)" "$d/${tag}s"
"$d/${tag}t" "$d/family" & family=$!; pids+=($family)
until_ok test -s "$d/child"; daemon=$(cat "$d/pid"); child=$(cat "$d/child"); pids+=("$daemon" "$child")
dies "a tree with the daemon in it: its root goes" "$family"
dies "its other child goes" "$child"
until_ok ask '{"v":1,"cmd":"ping"}'
alive "the daemon lives" "$daemon"
kill "$daemon"; until_ok gone "$daemon"

# ---- started with nothing on its standard descriptors
cat >"$d/policy.d/a.policy" <<P
rule hog if comm == "${tag}h" then SIGKILL it cooldown 1s
P
: >"$d/log"; "$B/gpufasd" -c "$d/gpufas.yaml" <&- >&- 2>&- & daemon=$!; pids+=("$daemon")
until_ok ask '{"v":1,"cmd":"ping"}'
is "closed stderr: nothing else has its number" "$(readlink "/proc/$daemon/fd/2")" /dev/null
stop

# ---- stderr is a pipe that nobody reads
mkfifo "$d/pipe"; exec 7<>"$d/pipe"
head -c 65536 /dev/zero >&7
"$B/gpufasd" -c "$d/gpufas.yaml" 2>"$d/pipe" 7>&- & daemon=$!; pids+=("$daemon")
until_ok ask '{"v":1,"cmd":"ping"}'
sleeper "${tag}h"; dies "blocked stderr: the signal goes out" "$sleeper"
kill "$daemon"; until_ok gone "$daemon"; is "blocked stderr: it ends" $? 0
exec 7>&-

# ---- a table that is too small, few descriptors
config "targets: [{name: host, kind: host, max-tasks: 128}]"
for _ in $(seq 150); do sleep 300 & pids+=($!); done
start
dropped() { ask '{"v":1,"cmd":"status"}' | grep -q '"dropped":[1-9]'; }
until_ok dropped; is "a table that is full: said" $? 0
go_on; is "and ticks go on" $? 0
stop
config ""
: >"$d/log"; (ulimit -n 32; exec "$B/gpufasd" -c "$d/gpufas.yaml" 2>>"$d/log") & daemon=$!; pids+=("$daemon")
until_ok ask '{"v":1,"cmd":"ping"}'
python3 - "$d/run/s" <<'P'
import socket, sys, time
held = []
for i in range(60):
    s = socket.socket(socket.AF_UNIX); s.settimeout(1)
    try: s.connect(sys.argv[1])
    except OSError: break
    held.append(s)
time.sleep(1)
P
sleeper "${tag}h"; dies "32 descriptors, all taken for a while: the signal still goes out" "$sleeper"
stop

# ---- an audit file whose last line was cut
printf '{"seq":1,"cut' >"$d/audit.jsonl"
start; until_ok grep -q started "$d/audit.jsonl"; stop
is "a cut last line is ended, the next ones are whole" "$(tail -n +2 "$d/audit.jsonl" | grep -vc '^{.*}$')" 0

# ---- a long period beside the watchdog's patience
sed -i 's/^period: .*/period: 3s/' "$d/gpufas.yaml"
"$B/tests/helpers/sock" notify "$d/notify" >"$d/notified" & notifier=$!; pids+=($notifier)
until_ok grep -q ready "$d/notified"
NOTIFY_SOCKET=$d/notify WATCHDOG_USEC=400000 start
often() { [ "$(grep -c WATCHDOG=1 "$d/notified")" -ge 5 ]; }
t=$(ticks); until_ok often
is "WATCHDOG=1 also between ticks that are far apart" "$?" 0
stop; kill $notifier

# ---- namespaces
config ""
if unshare -pf --mount-proc true 2>/dev/null; then
	out=$(unshare -pf "$B/gpufasd" -c "$d/gpufas.yaml" 2>&1 </dev/null)
	has "a /proc of another pid namespace is refused" "$out" "not that of this pid namespace"
else
	skip "a /proc of another pid namespace is refused" "pid namespaces are not permitted"
fi
if unshare -Tf --boottime 100000 true 2>/dev/null; then
	cat >"$d/policy.d/a.policy" <<P
rule hog if comm == "${tag}h" and age < 10min then SIGKILL it cooldown 1s
P
	: >"$d/log"; unshare -Tf --boottime 100000 --kill-child "$B/gpufasd" -c "$d/gpufas.yaml" 2>>"$d/log" & outer=$!; pids+=($outer)
	until_ok ask '{"v":1,"cmd":"ping"}'
	sleeper "${tag}h"; dies "a time namespace: ages and identities are right" "$sleeper"
	kill "$(ask '{"v":1,"cmd":"ping"}' | grep -o '"pid":[0-9]*' | grep -o '[0-9]*')"; wait $outer
else
	skip "a time namespace" "time namespaces are not permitted"
fi
echo "1..$n"
