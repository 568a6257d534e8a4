#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 300
#
# The BTF reader against libbpf and pahole, as on the running kernel, on Debian's kernels: their BTF comes out of
# their images. No guest is started.
#   VM_KERNELS="rt plain"   these: cloud backport plain rt
. tests/vm/lib.sh

command -v apt-get dpkg-deb >/dev/null || all_skipped "no Debian packages to be had here"
command -v python3 >/dev/null || all_skipped "there is no python3"
for t in test_btf test_btf_pahole; do
	[ -x "$B/tests/unit/$t" ] || all_skipped "$t is not built (make build-tests)"
done

for k in ${VM_KERNELS:-cloud backport}; do
	vm_meta "$k" || continue
	if ! vm_kernel "$meta"; then
		skip "$k" "$why"
		continue
	fi
	if ! PYTHONDONTWRITEBYTECODE=1 python3 tests/vm/btf.py "$V/$meta/vmlinuz" "$d/btf" 2>"$d/err"; then
		skip "$k" "its image cannot be unpacked: $(tail -n 1 "$d/err")"
		continue
	fi
	for t in test_btf test_btf_pahole; do
		GF_BTF_FILES=$d/btf "$B/tests/unit/$t" >"$d/out" 2>&1
		rc=$?
		# the test says what it has compared in that file
		if [ $rc = 0 ] && grep -q "^# $d/btf: " "$d/out"; then
			ok "$k: $t"
		elif [ $rc = 0 ] && [ $t = test_btf_pahole ] && ! command -v pahole >/dev/null; then
			skip "$k: $t" "there is no pahole (mk/deps.sh vm)"
		else
			not_ok "$k: $t"
		fi
		grep "^# $d/btf: \|not ok\|ERROR" "$d/out" | sed "s|$d/btf|$k|; s/^[# ]*/# /"
	done
done
echo "1..$n"
