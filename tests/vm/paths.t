#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 600
#
# Kernel paths in real kernels: what they lead to is what the guest's own /proc says,
# for members of every kind (through pointers, in arrays, negative ones, single bits), and a path that
# leads nowhere is an error that names the nearest members.
#   VM_KERNELS="rt plain"   also (or only) these: cloud backport plain rt
. tests/vm/lib.sh

vm_needs
put /bin "$(command -v busybox)"
put /real "$(command -v chrt)" "$(command -v nice)" # which busybox has not
cp tests/vm/paths.init "$d/root/init"
(cd "$d/root" && find . | cpio -o -H newc --quiet -R 0:0) | gzip -1 >"$d/initrd"

paths=('task->prio' 'task->static_prio' 'task->signal->nr_threads' 'task->mm->total_vm' 'task->signal->rlim[7].rlim_cur'
	'task->signal->oom_score_adj' 'task->sched_reset_on_fork')

cat >"$d/good.policy" <<'P'
if task->mm->map_count > 60000 and task->signal->rlim[7].rlim_cur < 100 for 2s
then log largest by task->mm->total_vm where task->signal->oom_score_adj < 0
notify "{comm} has {task->mm->map_count} mappings"
if available(task->no_such_member) and task->no_such_member > 5 or task->sched_reset_on_fork == 1 then log it
P
cat >"$d/bad.policy" <<'P'
if task->mm->map_cout > 60000 then log it
if task->signal->rlim[99].rlim_cur > 5 then log it
if task->mm > 5 then log it
P

boot() { # boot META: in the background; returns when it is ready or gone
	rm -f "$d/console" "$d/qmp"
	timeout -k 2 280 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 512 \
		-machine q35,memory-backend=ram0 -object memory-backend-memfd,id=ram0,size=512M,share=on \
		-nodefaults -display none -no-reboot -serial "file:$d/console" -qmp "unix:$d/qmp,server=on,wait=off" \
		-kernel "$V/$1/vmlinuz" -initrd "$d/initrd" -append "console=ttyS0 panic=-1 quiet no_timer_check" </dev/null >"$d/qemu" 2>&1 &
	qemu=$!
	for _ in $(seq 2400); do
		grep -q '^GUEST READY' "$d/console" 2>/dev/null && break
		kill -0 "$qemu" 2>/dev/null || break
		sleep 0.1
	done
	tr -d '\r' <"$d/console" >"$d/lines"
}
look() { # look NAME META: a guest, and everything that is to be seen of it
	local name=$1 out
	boot "$2"
	while ! grep -q '^GUEST READY' "$d/lines" && vm_again "$name"; do boot "$2"; done
	if ! grep -q '^GUEST READY' "$d/console"; then
		not_ok "$name: the guest comes up"
		{ tail -n 20 "$d/console"; tail -n 5 "$d/qemu"; } | sed 's/^/# | /'
		return
	fi
	ok "$name: the guest comes up"
	"$B/tests/helpers/guestpaths" "$d/qmp" "${paths[@]}" >"$d/got" 2>"$d/err" || sed 's/^/# /' "$d/err"
	tr -d '\r' <"$d/console" | sed -n 's/^WANT //p' | sort -n >"$d/want"
	awk '{ print $1 }' "$d/want" | while read -r pid; do sed -n "s/^\($pid\) sleep /\1 /p" "$d/got"; done >"$d/seen"
	if [ "$(wc -l <"$d/want")" = 4 ] && diff "$d/want" "$d/seen" >"$d/diff"; then
		ok "$name: paths lead to what /proc says"
	else
		not_ok "$name: paths lead to what /proc says"
		sed 's/^/# /' "$d/diff"
	fi
	# A kernel thread has no mm: what lies behind it is unknown, not 0; what does not is known.
	if grep -q '^2 kthreadd 120 120 1 - ' "$d/got"; then ok "$name: behind a NULL pointer it is unknown"; else
		not_ok "$name: behind a NULL pointer it is unknown"
		grep '^2 ' "$d/got" | sed 's/^/# /'
	fi
	out=$("$B/gpufasctl" check --strict --ram "$d/qmp" "$d/good.policy" 2>&1)
	if [ "$out" = "$d/good.policy: ok, 2 rules" ]; then ok "$name: check --ram of paths that are there"; else
		not_ok "$name: check --ram of paths that are there"
		echo "${out}" | sed 's/^/# /'
	fi
	out=$("$B/gpufasctl" fields --ram "$d/qmp" 'task->signal->rlim[7]' 'task->mm->map_c' 'task->comm' 2>&1 | tr -s ' ')
	if grep -qx 'task->signal->rlim\[7\].rlim_cur __kernel_ulong_t a number' <<<"$out" && grep -qx 'task->mm->map_count int a number' <<<"$out" &&
		grep -qx 'task->comm\[0..15\] char a number' <<<"$out"; then
		ok "$name: fields --ram: what may follow a path"
	else
		not_ok "$name: fields --ram: what may follow a path"
		echo "${out}" | sed 's/^/# /'
	fi
	out=$("$B/gpufasctl" check --ram "$d/qmp" "$d/bad.policy" 2>&1)
	if grep -q ':1:14: error: struct mm_struct has no member .map_cout. \[E108\]' <<<"$out" && grep -q 'did you mean .map_count' <<<"$out" &&
		grep -q ':2:22: error: .*out of range \[E108\]' <<<"$out" && grep -q ':3:10: error: .*not a number.* \[E108\]' <<<"$out"; then
		ok "$name: check --ram of paths that are not: which member, and the nearest"
	else
		not_ok "$name: check --ram of paths that are not: which member, and the nearest"
		echo "${out}" | sed 's/^/# /'
	fi
}

for k in ${VM_KERNELS:-cloud backport}; do
	vm_meta "$k" || continue
	if ! vm_kernel "$meta"; then
		skip "$k" "$why"
		continue
	fi
	look "$k" "$meta"
	[ -n "$qemu" ] && kill "$qemu" 2>/dev/null # timeout: it passes that on
	wait "$qemu" 2>/dev/null
	qemu=
done
echo "1..$n"
