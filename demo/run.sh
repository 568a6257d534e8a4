#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# make run: gpufasd watches this machine with the shipped policies, in observe mode
# (it decides and reports, and sends nothing), and its live screen is shown. It has a
# directory of its own under /tmp; nothing else is written, and both end together.
set -u
cd "$(dirname "$0")/.." || exit 1
. demo/lib.sh
trap 'stop_daemon; rm -rf "$dir"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

write_config observe "$PWD/policies"
start_daemon || exit 1

if [ "$(id -u)" -ne 0 ]; then
	echo "Not root, so gpufasd reads /proc instead of using BPF, runs at ordinary priority, and knows"
	echo "less about other users' processes (exe, fds, I/O). \`sudo make run\` shows everything."
fi

if [ -t 0 ] && [ -t 1 ]; then
	ctl top
	exit
fi

# No terminal: a few seconds of the same as text.
sleep 4
echo "== gpufasctl top --once"
ctl top --once || exit 1
echo
echo "== gpufasctl status"
ctl status || exit 1
echo
echo "== gpufasctl events"
ctl events || exit 1
