#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# emulator-fault against consoles of guests that died so (Debian's 6.12, QEMU 7.2, nothing of gpufas in them), and against the like that
# must not be taken for it.
set -u
n=0
d=$(mktemp -d) || exit 1
trap 'rm -rf "$d"' EXIT
is() { # is WHY|no NAME [--watched]: what of $d/console?
	local got
	n=$((n + 1))
	# shellcheck disable=SC2086
	got=$(tests/vm/emulator-fault ${3:-} "$d/console") || got=no
	# shellcheck disable=SC2053 # a pattern
	if [[ $got == $1 ]]; then echo "ok $n - $2"; else
		echo "not ok $n - $2"
		echo "# got \"$got\", wanted \"$1\""
	fi
}
stale='a breakpoint was run at sched_clock_cpu+0x9/0x190 that is not in memory*'
early='the kernel died at __kmalloc_node_track_caller_noprof+0x21a/0x440 before its first process*'

breakpoint() { # breakpoint BYTE LINE: the console of a breakpoint before which BYTE stands in memory; LINE came before
	cat <<-C
	Booting from ROM..
	$2
	[    5.910654] Oops: int3: 0000 [#1] PREEMPT SMP NOPTI
	[    5.911468] CPU: 1 UID: 0 PID: 0 Comm: swapper/1 Not tainted 6.12.117+deb12-cloud-amd64 #1  Debian 6.12.117-1~deb12u1
	[    5.911949] RIP: 0010:sched_clock_cpu+0x9/0x190
	[    5.912630] Code: 00 e9 b8 fe ff ff 66 66 90 90 90 90 90 90 90 90 f3 0f 1e fa 41 54 55 53 $1 <90> e8 c1 ed f0 ff 48 03 05 c2 91 d2 01 48 89 c2 5b
	[    5.921751] Call Trace:
	[    5.923774]  update_rq_clock+0x35/0x1a0
	[    5.924711] RIP: 0010:pv_native_safe_halt+0xf/0x20
	[    5.924747] Code: 22 d7 c3 cc cc cc cc 0f 1f 40 00 90 90 90 90 90 90 90 f3 0f 1e fa eb 07 0f 00 2d f5 6d 37 00 fb f4 <c3> cc cc cc cc 66 66 2e 0f
	[    5.933595] Modules linked in:
	[    5.934972] Kernel panic - not syncing: Fatal exception in interrupt
	C
}
double() { # double LINE [MODULES]
	cat <<-C
	Booting from ROM..
	$1
	[    1.057203] traps: PANIC: double fault, error_code: 0x0
	[    1.057203] Oops: double fault: 0000 [#1] PREEMPT SMP NOPTI
	[    1.057203] RIP: 0010:__kmalloc_node_track_caller_noprof+0x21a/0x440
	[    1.057203] Code: 00 00 49 8b 34 24 48 01 f8 48 33 18 48 89 c1 48 89 f8 48 0f c9 48 31 cb 48 8d 8a 65 48 0f c7 0e 0f 85 bb fe ff ff <41> 8b 44 24 28
	[    1.057203] Call Trace:
	[    1.057203]  kstrdup+0x38/0x70
	[    1.057203] Modules linked in:${2:-}
	[    1.057203] Kernel panic - not syncing: Fatal exception in interrupt
	C
}

breakpoint 66 "" >"$d/console"
is "$stale" "a breakpoint that is not in memory"
is "$stale" "in a guest that is watched, too" --watched
breakpoint 66 "GUEST UP" >"$d/console"
is "$stale" "and after the first process began"
breakpoint 66 "GUEST UP" | sed 's/$/\r/; s/Oops: int3/int3/' >"$d/console"
is "$stale" "as 6.1 writes it, over a serial line"
breakpoint cc "GUEST UP" >"$d/console"
is no "not a breakpoint that is there"
breakpoint 66 "GUEST UP" | grep -v Code: >"$d/console"
is no "nor one of which the code is not shown"
breakpoint 66 "GUEST UP" | sed '0,/Code:.*/s//Code: Unable to access opcode bytes at 0xffffffffc0a41fe6./' >"$d/console"
is no "nor one of which the code cannot be read, whatever stands in another trace"
breakpoint 66 "GUEST UP" | sed 's/sched_clock_cpu.*/gpufas_look+0x9\/0x190 [gpufas]/' >"$d/console"
is no "nor one in a module"
breakpoint 66 "GUEST UP" | sed 's/sched_clock_cpu.*/0xffffffffc0a41fe7/' >"$d/console"
is no "nor one where no function is, as of a module that has gone"
double "" >"$d/console"
is "$early" "a kernel that dies before its first process"
is no "not in a guest that is watched" --watched
double "" " gpufas(OE)" >"$d/console"
is no "nor with the module"
double "GUEST UP" >"$d/console"
is no "nor after the first process began"
double "" | grep -vE "RIP|Oops|double" >"$d/console"
is no "nor one that gives up without a fault"
double "" | grep -v panic >"$d/console"
is no "nor a kernel that lives on"
printf 'GUEST UP\nok 1 - it works\n1..1\nGUEST DONE\n' >"$d/console"
is no "nor one that is well"
: >"$d/console"
is no "nor one that says nothing"
rm "$d/console"
is no "nor where there is no console" 2>/dev/null
echo "1..$n"
