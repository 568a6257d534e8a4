#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# top on a real screen: a terminal of tmux, keys typed, what is shown read back.
. tests/ctl/lib.sh
if ! command -v tmux >/dev/null; then
	echo "1..0 # SKIP no tmux"
	exit 0
fi
start_fake
t="tmux -L gpufas-test-$$ -f /dev/null"
trap '$t kill-server 2>/dev/null; finish' EXIT

# start NAME COLUMNS ROWS TERM ARG...
start()
{
	local name=$1 x=$2 y=$3 term=$4
	shift 4
	$t new-session -d -s "$name" -x "$x" -y "$y" \
		"trap : INT; stty -g >$work/$name.before; env TERM=$term LC_ALL=$LC_ALL TZ=UTC GPUFAS_SOCKET=$GPUFAS_SOCKET $PWD/$ctl top $* 2>$work/$name.err; echo \$? >$work/$name.rc; stty -g >$work/$name.after; sleep 60"
}
screen() { $t capture-pane -p -t "$1"; }
keys() { local s=$1; shift; $t send-keys -t "$s" "$@"; }
# shows NAME SESSION PATTERN: the screen comes to hold the pattern (a glob)
holds()
{
	s=$(screen "$1")
	# shellcheck disable=SC2053
	[[ $s == *$2* ]]
}
shows()
{
	local s=
	until_ok holds "$2" "$3" && { ok "$1"; return; }
	not_ok "$1"
	echo "# lacks: $3"
	sed 's/^/# /' <<<"$s"
}
# first COMM of the first task shown
shows_first() { shows "$1" "$2" "THR*"$'\n'"*$3*"$'\n'"*"; }
ended() { until_ok test -s "$work/$1.rc"; cat "$work/$1.rc"; }

start a 100 30 xterm-256color -d 0.2
shows "the header" a "gpufas host by bpf  OBSERVING  every 100ms"
shows "memory" a "60% 3.1G of 7.8G left"
shows "a rule, how close, and what decides" a "low-memory             false   idle     [[]|       ] 11%     0   never mem.available 3.1 GiB vs < 398"
shows "tasks, by CPU share at first" a "*Tasks (6, by CPU%)"
line() { screen a | sed -n "$(($(screen a | grep -n ' PID USER' | cut -d: -f1) + 1))p"; }
# the task on top comes to be $2
first_is()
{
	l=$(line)
	[[ $l == *" $1 "* ]]
}
top_is()
{
	local l=
	until_ok first_is "$2" && { ok "$1"; return; }
	not_ok "$1"
	sed 's/^/# /' <<<"$l"
}
top_is "the busiest on top" "burn?[31m"
keys a M; top_is "M: the largest on top" "leaky server"
keys a r; top_is "r: the smallest, and unknown still last" "zed"
keys a N; top_is "N: the lowest pid" "init"
keys a T; top_is "T: the most CPU time" "burn?[31m"
keys a S; top_is "S: the most swap" "leaky server"
keys a '>'; shows "> moves the sort column" a "by TIME"
keys a '<' '<'; shows "< moves it back" a "by RSS"
keys a /; keys a -l 888; shows "/: a filter is typed" a "Show tasks whose name contains, or whose user or pid is: 888_"
keys a Enter; shows "/: only what matches" a 'Tasks (6, 1 match "888", by RSS)'
keys a Escape; shows "Esc drops the filter" a "*Tasks (6, by RSS)"
keys a K; shows "K hides kernel threads" a "no kernel threads"
keys a K Tab Down; shows "Tab and Down: the selected rule in full" a "(not for long enough yet)"
keys a Enter; shows "Enter explains the rule" a "all terms hold; not yet for long enough"
shows "with its last events" a "#12  cpu-hog: would send SIGSTOP"
keys a Escape; shows "Esc goes back" a "*Rules (4)"
keys a e; shows "e: events" a "*Events (3, newest first)"
keys a Down Enter; shows "Enter explains the event" a "protected, by protect interactive"
keys a Escape; keys a e; shows "e again: tasks" a "*Tasks (6"
keys a h; shows "h: help" a "sort by memory, CPU share, CPU time, pid, swap"
keys a Escape Space; shows "Space pauses" a "PAUSED"
keys a Space

$t resize-window -t a -x 80 -y 24
shows "80x24: the state instead of truth and phase" a "RULE             STATE    CLOSENESS      FIRED    LAST"
last_line() { screen a | tail -1 | grep -q 'q quit'; }
until_ok last_line; is "80x24: the last line is the keys" $? 0
$t resize-window -t a -x 40 -y 8
shows "too small: says so" a "40x8, and 60x14 is needed."
$t resize-window -t a -x 140 -y 40
shows "wide: command lines" a "COMMAND"

kill "$fake"; wait "$fake" 2>/dev/null; fake=
shows "the daemon is gone: said, the last picture kept" a "NO DAEMON"
shows "the daemon is gone: retrying" a "daemon gone, retrying:"
sed -i 's/"mode": "observe"/"mode": "enforce"/' $work/d/status.json
"$BUILD/tests/helpers/fakesock" "$work/s" "$work/d" &
fake=$!
shows "connects again" a "ENFORCING"
touch "$work/d/ps.stall"; sleep 0.5
keys a h; shows "keys work while the daemon stalls" a "What the columns of rules say"
rm "$work/d/ps.stall"
keys a q
is "q: exit 0" "$(ended a)" 0
until_ok test -s "$work/a.after"
is "q: the terminal is as it was" "$(cat "$work/a.after")" "$(cat "$work/a.before")"
is "q: nothing on stderr" "$(cat "$work/a.err")" ""

start b 80 24 screen -d 0.2
shows "TERM=screen" b "Rules (4)"
pid=$(pgrep -f "top -d 0.2" -u "$(id -u)" -P "$($t list-panes -t b -F '#{pane_pid}')")
# the shell in between may have become env, and env gpufasctl
kill -TERM "${pid:-$($t list-panes -t b -F '#{pane_pid}')}"
is "SIGTERM ends it as SIGTERM" "$(ended b)" 143
until_ok test -s "$work/b.after"
is "SIGTERM: the terminal is as it was" "$(cat "$work/b.after")" "$(cat "$work/b.before")"

start c 80 24 dumb
is "TERM=dumb: exit 2" "$(ended c)" 2
has "TERM=dumb: says to use status" "$(cat "$work/c.err")" "use \`gpufasctl status\`"
start e 80 24 no-such-terminal
is "an unknown terminal: exit 2" "$(ended e)" 2

GPUFAS_SOCKET=$work/none start g 80 24 xterm
shows "no daemon: waits for one" g "Waiting for gpufasd."
shows "no daemon: says how to start it" g "systemctl start"
keys g C-c
is "Ctrl-C ends it" "$(ended g)" 130
plan
