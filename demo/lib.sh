# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Shared by run.sh and demo.sh: a daemon of our own in a directory of our own.
# Sourced; needs BUILD. Sets $dir, $ctl, $daemon.

BUILD=${BUILD:-build}
daemon=
dir=$(mktemp -d "${TMPDIR:-/tmp}/gpufas.XXXXXX") || exit 1
ctl() { "$BUILD/gpufasctl" "$@" --socket "$dir/control.sock"; }

stop_daemon() {
	[ -n "$daemon" ] || return 0
	kill -TERM "$daemon" 2>/dev/null
	wait "$daemon" 2>/dev/null
	daemon=
}

write_config() { # write_config MODE POLICY_DIR
	# Root gets what the installed daemon has; others do without, and are told.
	local rt=yes lock=yes
	[ "$(id -u)" -eq 0 ] || rt=no lock=no
	# AddressSanitizer's shadow is terabytes of address space: nothing to lock.
	case $BUILD in *san*) lock=no ;; esac
	cat >"$dir/gpufas.yaml" <<-YAML
		period: 100ms
		mode: $1
		engine:
		  realtime: $rt
		  mlock: $lock
		policy:
		  directories: [$2]
		audit:
		  path: $dir/audit.jsonl
		control:
		  socket: $dir/control.sock
		  group: ""
		  mode: 0600
		log:
		  journal: no
	YAML
}

# Starts the daemon with the configuration and waits until it answers.
start_daemon() {
	"$BUILD/gpufasd" -c "$dir/gpufas.yaml" >"$dir/log" 2>&1 &
	daemon=$!
	for _ in $(seq 100); do
		if ctl status >/dev/null 2>&1; then return 0; fi
		kill -0 "$daemon" 2>/dev/null || break
		sleep 0.1
	done
	echo "gpufasd did not come up. It said:" >&2
	cat "$dir/log" >&2
	return 1
}
