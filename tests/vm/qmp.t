#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 1800
#
# How a guest is got at (QMP, memory backends, layouts) and what is noticed when it stops, reboots, moves or
# ends. Real QEMUs, without acceleration; what is watched from is tests/helpers/vmwatch.
#   VM_DO="layouts life file kicks"   only these parts
. tests/vm/lib.sh

vm_needs
command -v python3 >/dev/null || all_skipped "python3 is not installed"
watch=$B/tests/helpers/vmwatch
[ -x "$watch" ] || all_skipped "$watch has not been built"
cloud=linux-image-cloud-amd64 other=linux-image-6.12-cloud-amd64
vm_kernel $cloud || all_skipped "$why"
pids=()
end_all() { # only processes of our own
	for p in "${pids[@]}"; do kill -9 "$p" 2>/dev/null; done
	rm -f "/dev/shm/gpufas-test.$$".*
	cleanup
}
trap end_all EXIT

mkdir -p "$d/root"
put /bin "$(command -v busybox)"
mkdir -p "$d/root"/{proc,sys,dev}
cat >"$d/root/init" <<'I'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin PS1=
mount -t proc p /proc
mount -t sysfs s /sys
mount -t devtmpfs d /dev
shell=ttyS0
if grep -q '^1: uart:[^u]' /proc/tty/driver/serial; then
	# A second port: the shell is there, and the first is open and nobody writes to it.
	shell=ttyS1
	exec 3</dev/ttyS0
fi
while :; do setsid sh -c "exec sh </dev/$shell >/dev/$shell 2>&1"; done
I
chmod +x "$d/root/init"
(cd "$d/root" && find . | cpio -o -H newc --quiet -R 0:0) | gzip -1 >"$d/initrd"

# guest META ARGS...: a QEMU in the background, its pid in $qemu; its kernel's console is $console, "" for none
console=console=ttyS0
guest() {
	local meta=$1
	shift
	rm -f "$d"/{qmp,mon,ser,ser1,qtest}
	qemu-system-x86_64 -accel tcg,thread=multi -cpu max -nodefaults -display none \
		-qmp "unix:$d/qmp,server=on,wait=off" -qmp "unix:$d/mon,server=on,wait=off" -serial "unix:$d/ser,server=on,wait=off" \
		-kernel "$V/$meta/vmlinuz" -initrd "$d/initrd" -append "$console panic=-1 quiet no_timer_check" "$@" </dev/null >"$d/qemu" 2>&1 8>&- &
	qemu=$!
	pids+=("$qemu")
}
end_guest() {
	kill -9 "$qemu" 2>/dev/null
	wait "$qemu" 2>/dev/null
	qemu=
}
memfd() { echo "-object memory-backend-memfd,id=$1,size=$2,share=on"; }
mon() { tests/vm/peer.py "$1" "$d/mon" "${@:2}"; }
sh_() { tests/vm/peer.py sh "$d/$port" "$@"; } # the guest's shell, on the port $port
port=ser

# watch ARGS...: vmwatch in the background; say COMMAND; expect SECONDS REGEX: a line since the last mark
watch_on() {
	rm -f "$d/in"
	mkfifo "$d/in"
	: >"$d/log"
	"$watch" "$@" <"$d/in" >"$d/log" 2>&1 &
	watcher=$!
	pids+=("$watcher")
	exec 8>"$d/in"
	seen=0
}
watch_off() {
	exec 8>&-
	wait "$watcher"
}
ask() { echo "$1" >&8; }
mark() { seen=$(wc -l <"$d/log"); }
expect() {
	local end=$((SECONDS + $1))
	while [ $SECONDS -le $end ]; do
		tail -n +$((seen + 1)) "$d/log" | grep -qE "$2" && return 0
		kill -0 "$watcher" 2>/dev/null || break
		sleep 0.05
	done
	return 1
}
# check NAME SECONDS REGEX: a test of it. What is to come is waited for, for so long that only a machine that stands still misses it.
check() {
	if expect "$2" "$3"; then
		ok "$1"
	else
		not_ok "$1"
		tail -n +$((seen + 1)) "$d/log" | tail -n 12 | cut -c1-300 | sed 's/^/# | /'
	fi
}
sampled() { # NAME: a sample with tasks in it comes
	local end=$((SECONDS + 120))
	while :; do
		mark
		ask sample
		expect 60 '^sample '
		{ expect 0 '^sample [1-9][0-9]* tasks' || [ $SECONDS -gt $end ]; } && break
		sleep 0.5
	done
	check "$1" 0 '^sample [1-9][0-9]* tasks'
}

attached='^say 5 attached: Linux [^ ]*, KASLR offset 0x[0-9a-f]*, found by '

# ---- backends and layouts: the kernel, and processes, are found in each --------------
layout() { # NAME MACHINE MIB ARGS...
	local name=$1 machine=$2 mib=$3
	shift 3
	guest $cloud -machine "$machine" -m "$mib" -smp 2 "$@"
	watch_on -q "$d/qmp"
	check "$name: the kernel is found" 240 "$attached"
	sampled "$name: its processes are there"
	watch_off
	# Processes are there before the boot is over, and probe answers "no" until it is; so it does when the CPU happens to be on tables of
	# another's just then.
	local end=$((SECONDS + 120)) rc
	while "$B/gpufasctl" probe "$d/qmp" >"$d/probe" 2>&1; rc=$?; [ $rc = 1 ] && grep -qE "still booting|has not come far yet" "$d/probe" && [ $SECONDS -lt $end ]; do
		sleep 0.5
	done
	if [ $rc = 0 ] && grep -q "6\.1\." "$d/probe"; then
		ok "$name: gpufasctl probe finds it"
	else
		not_ok "$name: gpufasctl probe finds it"
		sed 's/^/# | /' "$d/probe"
	fi
	end_guest
}
refused() { # NAME REGEX ARGS...
	local name=$1 words=$2
	shift 2
	guest $cloud -smp 1 "$@"
	watch_on -q "$d/qmp"
	check "$name" 60 "$words"
	mark
	ask sample
	check "$name: samples say so, too" 60 "^sample EOPNOTSUPP .*$words"
	watch_off
	end_guest
}
do_layouts() {
	local ram=/dev/shm/gpufas-test.$$.ram
	layout "q35, 512M, file" q35,memory-backend=m 512 -object "memory-backend-file,id=m,size=512M,mem-path=$ram,share=on"
	rm -f "$ram"
	# shellcheck disable=SC2046  # words on purpose
	layout "q35, 5G, memfd" q35,memory-backend=m 5120 $(memfd m 5G)
	# shellcheck disable=SC2046
	layout "pc, 3G, memfd" pc,memory-backend=m 3072 $(memfd m 3G)
	layout "pc, 5G, file that has no name any more" pc,memory-backend=m 5120 -object memory-backend-file,id=m,size=5G,mem-path=/dev/shm,share=on
	# shellcheck disable=SC2046
	layout "q35, two memfds of one size" q35 1024 $(memfd m0 512M) $(memfd m1 512M) \
		-numa node,memdev=m0,cpus=0 -numa node,memdev=m1,cpus=1
	if [ "$(awk '/HugePages_Free/ { print $2 }' /proc/meminfo)" -ge 256 ]; then
		layout "q35, 512M, memfd of huge pages" q35,memory-backend=m 512 \
			-object memory-backend-memfd,id=m,size=512M,share=on,hugetlb=on,hugetlbsize=2M
	else
		skip "q35, 512M, memfd of huge pages" "fewer than 256 huge pages are free (vm.nr_hugepages)"
	fi
	refused "no backend" "belongs to QEMU alone: start it with -object memory-backend-memfd,id=mem,size=512M,share=on" -m 512
	refused "a backend that is not shared" "not shared: add share=on to -object memory-backend-memfd,id=m" \
		-machine q35,memory-backend=m -m 512 -object memory-backend-memfd,id=m,size=512M,share=off
}

# ---- a life ------------------------------------------------------------------------------
do_life() {
	local kaslr1 kaslr2
	rm -f "$d/qmp"
	watch_on -q "$d/qmp"
	check "QEMU is not running: said" 60 "say 6 there is no QMP socket"
	sleep 3
	[ "$(grep -c '^say' "$d/log")" = 1 ] && ok "and said once" || not_ok "and said once"
	mark
	ask sample
	check "a sample says so" 60 "^sample ENOLINK there is no QMP socket"

	mark
	# shellcheck disable=SC2046
	guest $cloud -machine q35,memory-backend=m -m 512 -smp 2 $(memfd m 512M)
	check "booting: said" 60 "^say (6 waiting for a kernel|3 .*it is still booting)"
	check "attached" 240 "$attached"
	kaslr1=$(sed -n 's/.*attached.*KASLR offset \(0x[0-9a-f]*\).*/\1/p' "$d/log" | tail -n 1)
	sampled "sampled"

	mark
	mon qmp stop >/dev/null
	check "paused: said" 60 "^say 5 paused: it is not sampled"
	mark
	ask sample
	check "paused: no sample" 60 "^sample E[A-Z]+ "
	mark
	mon qmp cont >/dev/null
	check "goes on: said" 60 "^say 5 goes on: Linux 6\.1"
	sampled "goes on: sampled"

	ask hold
	mark
	ask reset
	check "a reset is carried out" 60 "^reset 0"
	check "reset: said" 60 "^say 5 reset: waiting for the next kernel"
	check "rebooted: said" 240 "^say 5 rebooted: Linux 6\.1.*KASLR offset 0x"
	kaslr2=$(sed -n 's/.*rebooted.*KASLR offset \(0x[0-9a-f]*\).*/\1/p' "$d/log" | tail -n 1)
	echo "# KASLR offset $kaslr1, then $kaslr2"
	sampled "rebooted: sampled"
	mark
	ask drop
	check "who held the guest of before has it still" 60 "^drop Linux version 6\.1"

	mark
	sh_ "(sleep 1; reboot -f) & :" >/dev/null
	check "a reboot from inside: said" 60 "^say 5 reset"
	check "and found again" 240 "^say 5 rebooted: Linux 6\.1"

	mark
	end_guest
	check "QEMU killed: said" 60 "^say 5 QEMU has ended"
	mark
	ask sample
	check "and no sample" 60 "^sample ENOLINK"
	if vm_kernel $other; then
		mark
		# shellcheck disable=SC2046
		guest $other -machine pc,memory-backend=ram -m 1024 -smp 1 $(memfd ram 1G)
		check "another machine with another kernel: attached" 240 "^say 5 attached: Linux 6\.12\."
		sampled "and sampled"
	else
		skip "another machine with another kernel" "$why"
	fi

	# Moves to a second QEMU.
	mark
	local first=$qemu mon2=$d/mon2
	local args=(-machine "pc,memory-backend=ram" -m 1024 -smp 1 -object memory-backend-memfd,id=ram,size=1G,share=on)
	qemu-system-x86_64 -accel tcg,thread=multi -cpu max -nodefaults -display none "${args[@]}" -serial null \
		-qmp "unix:$mon2,server=on,wait=off" -incoming "unix:$d/move" </dev/null >"$d/qemu2" 2>&1 8>&- &
	pids+=($!)
	local second=$!
	for _ in $(seq 600); do [ -S "$d/move" ] && break; sleep 0.1; done
	mon qmp migrate "{\"uri\": \"unix:$d/move\"}" >/dev/null
	check "migrated away: said" 60 "^say 5 the guest has migrated away"
	mark
	ask sample
	check "and no sample" 60 "^sample ENOLINK the guest has migrated away"
	watch_off
	watch_on -q "$mon2"
	check "watched where it runs now" 60 "^say 5 attached: Linux 6\.12\."
	watch_off
	kill -9 "$second"
	qemu=$first
	end_guest
}

# ---- a RAM file by hand -----------------------------------------------------------------
do_file() {
	local ram=/dev/shm/gpufas-test.$$.ram
	local backend=(-machine "q35,memory-backend=m" -m 512 -object "memory-backend-file,id=m,size=512M,mem-path=$ram,share=on")
	watch_on -r "$ram"
	check "no RAM file: said" 60 "^say 6 $ram: No such file"
	mark
	guest $cloud "${backend[@]}"
	check "attached" 240 "$attached"
	sampled "sampled"
	mark
	mon qmp system_reset >/dev/null
	check "rebooted: said" 240 "^say 5 rebooted: Linux 6\.1"
	sampled "rebooted: sampled"
	mark
	end_guest
	check "its QEMU killed: said" 60 "^say [45] nobody has $ram open: the guest has ended"
	# A file that is still full of the kernel from before
	mark
	guest $cloud "${backend[@]}"
	sleep 5
	check "the file used again: attached" 240 "^say 5 (attached|rebooted): Linux 6\.1"
	sampled "sampled"
	mark
	end_guest
	rm -f "$ram"
	check "RAM file gone: said" 60 "^say [45] ($ram is gone|nobody has $ram open)"
	mark
	guest $cloud "${backend[@]}"
	check "a new file: attached" 240 "^say 5 attached: Linux 6\.1"
	end_guest
	mark
	truncate -s 4096 "$ram"
	check "cut: said" 60 "^say 4 .*cut"
	ask sample
	check "and the watcher lives" 60 "^sample E"
	watch_off
	rm -f "$ram"
	head -c 64M /dev/urandom >"$ram"
	watch_on -r "$ram"
	check "a file of noise: said" 60 "^say 6 waiting for a kernel: "
	watch_off
}

# ---- kicks ----------------------------------------------------------------------------------
interrupts() { sh_ "grep '^ *$1:' /proc/interrupts" | awk -v c="$2" '{ print $(c + 2) }'; }
port_interrupts() { sh_ "awk '/ttyS0/ { print \$2 + \$3 }' /proc/interrupts"; }
# kicked CPU COUNT ARGS...: a kick is taken, and then COUNT ARGS, which was $now, rises. No clock is part of that: a minute is
# for machines that stand still, and a kick that QEMU was too slow to take is asked for again.
kicked() {
	local end=$((SECONDS + 60)) was=$now
	while :; do
		mark
		ask "kick $1"
		expect 60 '^kick ' && tail -n +$((seen + 1)) "$d/log" | grep -q '^kick 0' && break
		[ $SECONDS -le $end ] || { echo "# not taken: $(tail -n 1 "$d/log")"; return 1; }
		sleep 0.2
	done
	while now=$("${@:2}") && [ "$now" -le "$was" ]; do
		[ $SECONDS -le $end ] || { echo "# taken, and still ${*:2}: $now"; return 1; }
	done
}
do_kicks() {
	local before now first cpu i console='' port=ser1
	# shellcheck disable=SC2046
	guest $cloud -machine q35,memory-backend=m -m 512 -smp 2 $(memfd m 512M) -serial "unix:$d/ser1,server=on,wait=off" \
		-qtest "unix:$d/qtest,server=on,wait=off" -qtest-log none
	watch_on -q "$d/qmp" -k qtest "$d/qtest"
	check "qtest: attached" 240 "$attached"
	for cpu in 0 1; do
		before=$(interrupts IWI $cpu) now=$before
		# one by one: those that come while one is pending are one
		for i in 1 2 3 4 5 6 7 8 9 10; do kicked $cpu interrupts IWI $cpu || break; done
		if [ "$((now - before))" -ge 10 ]; then
			ok "qtest: ten kicks of CPU $cpu arrive"
		else
			not_ok "qtest: ten kicks of CPU $cpu arrive"
			echo "# irq_work interrupts: $before, then $now"
		fi
	done
	mark
	ask nmi
	check "NMI" 60 "^nmi 0"
	watch_off
	watch_on -q "$d/qmp" -k serial "$d/ser"
	check "serial: attached" 60 "$attached"
	# The port is open, nobody writes to it, and what is asked is asked on another one: it has the interrupts of kicks only.
	now=$(port_interrupts)
	if kicked 0 port_interrupts; then ok "serial: a byte is taken"; else not_ok "serial: a byte is taken"; fi
	first=$now
	sleep 3
	before=$(port_interrupts) now=$before
	for i in $(seq 15); do kicked 0 port_interrupts || break; done
	echo "# interrupts of the port in three seconds: $((before - first)), with 15 kicks $((now - before))"
	if [ "$before" = "$first" ] && [ "$((now - before))" -ge 15 ]; then ok "serial: and interrupts"; else not_ok "serial: and interrupts"; fi
	watch_off
	watch_on -q "$d/qmp"
	check "no kick: attached" 60 "$attached"
	mark
	ask "kick 0"
	check "no kick: said" 60 "^kick EOPNOTSUPP"
	watch_off
	end_guest
}

for part in ${VM_DO:-layouts life file kicks}; do "do_$part"; done
echo "1..$n"
