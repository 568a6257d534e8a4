#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# make demo-vm: a virtual machine with one of Debian's kernels, in which things go wrong, one after the other, and
# gpufasd outside, which has nothing but the guest's memory to see it and to mend it. Ends by itself.
#   VM_KERNEL=linux-image-6.12-cloud-amd64   another kernel (default linux-image-cloud-amd64)
#   VM_ACCEL=tcg                             emulation, also where there is KVM
set -u
# shellcheck disable=SC2317  # cleanup is called by the trap
cd "$(dirname "$0")/.." || exit 1
. tests/vm/lib.sh # whose trap and cleanup are replaced below
. demo/lib.sh
kernel=${VM_KERNEL:-linux-image-cloud-amd64}
cpus=2 mib=512
reader='' follower='' verdict=0

cleanup() {
	for p in "$follower" "$reader"; do [ -n "$p" ] && kill "$p" 2>/dev/null; done
	stop_daemon
	stop_guest
	rm -rf "$dir" "$d"
}
stop_guest() {
	[ -n "$qemu" ] || return 0
	kill -KILL "$qemu" 2>/dev/null
	wait "$qemu" 2>/dev/null
	qemu=
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

now() { echo "${EPOCHREALTIME/[.,]/}"; }
start=$(now)
say() {
	local t=$((($(now) - start) / 100000))
	printf '[%3d.%d s] %s\n' $((t / 10)) $((t % 10)) "$*"
}
die() { say "$*"; exit 1; }
indent() { sed 's/^/            | /'; }
wrong() { say "NOT AS IT SHOULD BE: $*"; verdict=1; }

[ "$(uname -m)" = x86_64 ] || die "the guest's kernel is one for x86-64, and this machine is none"
for t in qemu-system-x86_64 busybox cpio chrt; do
	command -v $t >/dev/null || die "$t is not installed (mk/deps.sh vm)"
done
[ -f "$V/$kernel/vmlinuz" ] || say "Debian's $kernel is fetched"
vm_kernel "$kernel" || die "there is no kernel to boot: $why"

# ---- the guest -------------------------------------------------------------------
make_root() {
	put /bin "$(command -v busybox)" "$(command -v chrt)" "$BUILD"/tests/helpers/{cpuhog,memhog,forkbomb}
	cp demo/vm/init "$d/root/init"
	(cd "$d/root" && find . | cpio -o -H newc --quiet -R 0:0) | gzip -1 >"$dir/initrd"
	mkfifo "$dir/line.in" "$dir/line.out"
}

# boot ACCEL CPU: until the guest has said that it is up. 1: it does not.
boot() {
	: >"$dir/heard"
	exec 7<>"$dir/line.in" 8<>"$dir/line.out"
	qemu-system-x86_64 -name demo -accel "$1" -cpu "$2" -smp $cpus -machine q35,memory-backend=ram0 -m $mib \
		-object memory-backend-memfd,id=ram0,size=${mib}M,share=on \
		-nodefaults -display none -no-reboot -serial "file:$dir/console" -serial "pipe:$dir/line" \
		-qmp "unix:$dir/qmp,server=on,wait=off" -qtest "unix:$dir/qtest,server=on,wait=off" -qtest-log /dev/null \
		-kernel "$V/$kernel/vmlinuz" -initrd "$dir/initrd" -append "console=ttyS0 panic=-1 quiet no_timer_check" \
		</dev/null >"$dir/qemu" 2>&1 7>&- 8>&- &
	qemu=$!
	# What the guest says, with the time at which it came.
	while IFS= read -r line <&8; do printf '%s %s\n' "${EPOCHREALTIME/[.,]/}" "${line%$'\r'}"; done >>"$dir/heard" 7>&- &
	reader=$!
	up=$(hear "$3" '^up ') && return 0
	stop_guest
	kill "$reader" 2>/dev/null
	wait "$reader" 2>/dev/null
	exec 7>&- 8>&-
	return 1
}

# hear SECONDS REGEX: the first line that matches since the last tell; events are shown meanwhile.
heard_from=1
hear() {
	local end=$(($(now) + $1 * 1000000))
	while [ "$(now)" -lt "$end" ]; do
		tail -n +"$heard_from" "$dir/heard" | sed 's/^[0-9]* //' | grep -m1 -E "$2" && return 0
		kill -0 "$qemu" 2>/dev/null || return 1
		sleep 0.1
	done
	return 1
}
tell() {
	heard_from=$(($(wc -l <"$dir/heard") + 1))
	printf '%s\n' "$*" >&7
}
# The longest time without a beat of the guest's since $1, in ms.
silence() {
	awk -v last="$1" -v from="$1" -v to="$(now)" '
		$2 == "beat" && $1 > from { if ($1 - last > max) max = $1 - last; last = $1 }
		END { if (to - last > max) max = to - last; printf "%d", max / 1000 }' "$dir/heard"
}

make_root
accel=
if [ "${VM_ACCEL:-}" != tcg ] && [ -w /dev/kvm ]; then
	if boot kvm host 15; then
		accel=KVM
	else
		say "there is a /dev/kvm here, but no guest comes up on it"
	fi
fi
if [ -z "$accel" ]; then
	accel="TCG: every instruction is emulated, so that the guest is slow"
	boot tcg,thread=multi max 60 || { indent <"$dir/qemu"; tail -n 20 "$dir/console" | indent; die "the guest does not come up"; }
fi
read -r _ release n mem <<<"$up"
say "a guest is up: Linux $release as Debian ships it, $n CPUs, $((mem / 1024)) MiB ($accel)"
say "in it: busybox, a heartbeat that is heard out here, and what will misbehave. Nothing of gpufas."
memory=$((mem / 1024))
tell database 150
hear 10 '^started database ' >/dev/null || die "the guest does not do what it is told"
say "and \"database\", which takes 150 MiB and behaves"

# ---- gpufas ----------------------------------------------------------------------
echo
say "gpufasctl probe: what can be found out from the memory alone"
"$BUILD/gpufasctl" probe "$dir/qmp" >"$dir/probe" 2>&1 || wrong "probe finds no kernel"
sed '/^Where processes are read/,$d' "$dir/probe" | indent

mkdir "$dir/policy.d"
cp demo/vm/demo.policy "$dir/policy.d/"
"$BUILD/gpufasctl" check --strict --target vm "$dir/policy.d" >"$dir/check" || { cat "$dir/check"; exit 1; }
write_config enforce "$dir/policy.d"
cat >>"$dir/gpufas.yaml" <<Y
targets:
  - name: demo
    kind: vm
    qmp: $dir/qmp
    kick: {qtest: $dir/qtest}
budget: {actions: 50, per: 1min}
Y
start_daemon || exit 1
echo
say "gpufasd watches it every 100 ms; the policy, enforced from now on:"
sed -e 1d -e '/^$/d' demo/vm/demo.policy | indent
"$BUILD/gpufasctl" events --follow --socket "$dir/control.sock" >"$dir/events" 2>/dev/null &
follower=$!

# Events as they come. A bomb has a result for each of its processes: the first three are shown, the others counted.
seen=0 results=0
show_events() {
	local line
	while IFS= read -r line; do
		seen=$((seen + 1))
		case $line in *" gone "* | *" gone") results=$((results + 1)); [ $results -gt 3 ] && continue ;; esac
		# its time of day is of no use here: there is ours
		say "  $(sed 's/^[0-9-]* [0-9:.]* *//' <<<"$line")"
	done < <(tail -n +$((seen + 1)) "$dir/events")
}
for ((i = 0; i < 100; i++)); do
	grep -q 'attached: Linux' "$dir/events" && break
	sleep 0.1
done
show_events

# hog TITLE SECONDS NAMES COMMAND: starts it, shows what happens, until each of NAMES has ended.
scenes=0
hog() {
	local title=$1 limit=$2 names=$3 from name got all=yes
	shift 3
	scenes=$((scenes + 1))
	echo
	say "$scenes. $title"
	from=$(now) results=0
	tell "$*"
	hear 10 "^started ${names%% *} " >/dev/null || { wrong "the guest does not do what it is told"; return; }
	local end=$((from + limit * 1000000))
	while [ "$(now)" -lt "$end" ]; do
		show_events
		all=yes
		for name in $names; do
			tail -n +"$heard_from" "$dir/heard" | grep -q " ended $name " || all=no
		done
		[ $all = yes ] && break
		sleep 0.1
	done
	sleep 0.5
	show_events
	[ $results -gt 3 ] && say "  ... and $((results - 3)) more lines like these"
	for name in $names; do
		got=$(hear 1 "^ended $name ") || { wrong "$name has not ended"; continue; }
		got=${got##* }
		if [ "$got" -gt 128 ]; then
			say "   the guest: $name was ended by SIG$(kill -l $((got - 128)))"
		else
			wrong "$name ended by itself, with $got"
		fi
	done
	say "   the guest's heartbeat, five a second: silent for $(silence "$from") ms at most"
}

hog "a process computes without end" 30 cpuhog cpu
hog "a process takes all the memory" 30 memhog memory $((memory - 150)) 60
hog "a fork bomb: every process of it makes ten more a second, and each of those" 40 forkbomb bomb
tell count forkbomb
left=$(hear 10 '^count ') || left="count unknown"
[ "$left" = "count 0" ] && say "   the guest: nothing of it is left" || wrong "processes of the bomb that are left: ${left#count }"
names=$(for ((c = 1; c <= cpus; c++)); do printf 'rt-hog-%d ' $c; done)
hog "a real-time process on every CPU, and no limit on them: nothing else runs in the guest" 40 "$names" realtime

# ---- the end ---------------------------------------------------------------------
echo
tell dmesg
hear 10 '^dmesg$' >/dev/null || wrong "the guest does not answer any more"
complaints=$(tail -n +"$heard_from" "$dir/heard" | sed 's/^[0-9]* //' | grep -vE '^(beat|dmesg)$')
[ -z "$complaints" ] || { wrong "the guest's kernel complains:"; indent <<<"$complaints"; }
[ -n "$complaints" ] || say "the guest's kernel has noticed nothing: no line in its log"
if grep -q ' ended database ' "$dir/heard"; then
	wrong "\"database\" is gone"
else
	say "\"database\", which the policy protects, lives"
fi
# Every SIGKILL and SIGTERM, from the first store to the exit that was seen in the guest's memory.
"$BUILD/gpufasctl" events --json --lines 1000 --socket "$dir/control.sock" 2>/dev/null | tr '{' '\n' |
	sed -nE 's/.*"exit_us":([0-9]+),"how":"([a-z-]+)","became":"delivered".*/\2 \1/p' | sort -k1,1 -k2,2n >"$dir/exits"
for how in store irq-work; do
	awk -v how=$how -v q="'" '$1 == how { us[++n] = $2 } END { if (n) printf "%d processes ended by %s; from the store to the exit seen: %.1f ms in the middle, %.1f ms at most\n",
		n, how == "store" ? "storing into them" : "the kernel" q "s own sender", us[int((n + 1) / 2)] / 1000, us[n] / 1000 }' "$dir/exits" >"$dir/line"
	[ -s "$dir/line" ] && say "$(cat "$dir/line")"
done
[ $verdict -eq 0 ] && say "recovered, all of it, from outside."
exit $verdict
