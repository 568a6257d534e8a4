#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 300
#
# What teams of lanes make of a real guest's memory is, bit for bit, what the CPU's one lane makes of it: the memory of live guests, copied, and
# sampled by both (test_sampler, GF_RAM).
. tests/vm/lib.sh
vm_needs
command -v python3 >/dev/null || all_skipped "python3 is not installed (mk/deps.sh test)"
[ -x "$B/tests/vm/guestd" ] || all_skipped "guestd was not built: there is no static C library"
n=0
for m in linux-image-cloud-amd64 linux-image-6.12-cloud-amd64; do
	n=$((n + 1))
	if ! vm_kernel $m; then
		echo "ok $n - $m # SKIP $why"
		continue
	fi
	if PYTHONPATH=tests/vm python3 -B - "$d" "$V/$m/vmlinuz" <<-'PY' && GF_RAM=$d/copy GF_LEAST=60 "$B/tests/unit/test_sampler" >"$d/said" 2>&1; then
		import shutil, sys, time
		from guest import Guest, initrd
		dir, kernel = sys.argv[1:]
		initrd(dir + "/initrd")
		g = Guest(dir, "same", kernel, dir + "/initrd", 2, 256)
		try:
		    for kind in ("sleepers:40", "sleep:8", "spin:3", "mem:8", "stopped", "zombie", "vfork"):
		        g.spawn(kind)
		    time.sleep(1)
		    shutil.copyfile(g.ram, dir + "/copy")
		finally:
		    g.close()
	PY
		grep '^# .*processes' "$d/said"
		echo "ok $n - $m"
	else
		sed 's/^/# /' "$d/said" | tail -n 20
		echo "not ok $n - $m"
	fi
	rm -f "$d/copy"
done
echo "1..$n"
