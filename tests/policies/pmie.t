#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# timeout: 120
#
# Random rules, ours and the same ones in PCP's language, over one history: pmie finds them true at the same times. SEED= for one
# that was printed. Debian's pcp is not installed for this: its set-up fails where there is no systemd, as in containers. What
# is needed of it is unpacked into build/pcp, once.
set -u
seed=${SEED:-$(date +%s%N | tail -c 10 | sed 's/^0*//')}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
python=/usr/bin/python3 # for which Debian's modules are
dir=${BUILD%/san}/pcp
[ "${dir#/}" != "$dir" ] || dir=$PWD/$dir

skipped() {
	echo "1..1"
	echo "ok 1 - rules in PCP's language are true at the same times # SKIP $1"
	exit 0
}
there() { command -v pmie >/dev/null && $python -c 'import pcp.pmi' 2>/dev/null; }

# unpack: packages into $dir, and links by which python finds their libraries.
unpack() {
	local list
	rm -rf "$dir" "$dir.new"
	mkdir -p "$dir.new/debs"
	list=$(apt-cache depends pcp 2>/dev/null | sed -nE 's/^ *Depends: (libpcp.*)/\1/p')
	[ -n "$list" ] || { why="apt knows no pcp"; return 1; }
	ldconfig -p | grep -q 'libsasl2\.so\.2' || list="$list libsasl2-2"
	# shellcheck disable=SC2086
	(cd "$dir.new/debs" && timeout 60 apt-get -q download pcp python3-pcp pcp-conf $list) >"$work/apt" 2>&1 || { why="pcp cannot be fetched"; return 1; }
	# (not all of it: make reads each *.d below its build directory)
	for deb in "$dir.new"/debs/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$dir.new" --wildcards ./usr/bin/pmie './usr/lib/lib*' './usr/lib/*-linux-gnu/*' './usr/lib/python3/*' ./etc/pcp.conf 2>/dev/null
	done
	[ -x "$dir.new/usr/bin/pmie" ] && [ -f "$dir.new/etc/pcp.conf" ] || { why="pcp's packages have not what is wanted of them"; return 1; }
	rm -rf "$dir.new/debs"
	for lib in "$dir.new"/usr/lib/libpcp*.so.* "$dir.new"/usr/lib/*/libpcp*.so.*; do
		[ ! -e "$lib" ] || ln -sf "${lib##*/}" "${lib%.so.*}.so"
	done
	sed -E "s,=/(etc|usr|var|run),=$dir/\\1," "$dir.new/etc/pcp.conf" >"$dir.new/pcp.conf"
	mv "$dir.new" "$dir"
}

if ! there; then
	for t in "$python" apt-get apt-cache dpkg-deb ld flock; do
		command -v "$t" >/dev/null || skipped "pmie (package pcp) and python3-pcp are needed, or $t to fetch them"
	done
	mkdir -p "${dir%/*}"
	exec 9>"$dir.lock"
	flock 9
	[ -e "$dir/pcp.conf" ] || unpack || skipped "$why"
	exec 9>&-
	lib=$dir/usr/lib:$(echo "$dir"/usr/lib/*-linux-gnu)
	export PCP_CONF=$dir/pcp.conf LD_LIBRARY_PATH=$lib PYTHONPATH=$dir/usr/lib/python3/dist-packages PATH=$dir/usr/bin:$PATH
	there || skipped "Debian's pmie does not run here: $({ pmie -C /dev/null; $python -c 'import pcp.pmi'; } 2>&1 | tail -n 1)"
fi
echo "1..2"
if $python tests/policies/pmie.py "$BUILD/gpufasctl" "$work" "$seed" 60 >"$work/out" 2>&1; then
	echo "ok 1 - rules in PCP's language are true at the same times: $(tail -n 1 "$work/out")"
else
	echo "not ok 1 - rules in PCP's language are true at the same times"
	sed 's/^/# /' "$work/out"
fi
rm -f "$work"/a.*
if ! LIE=1 $python tests/policies/pmie.py "$BUILD/gpufasctl" "$work" "$seed" 10 >"$work/out" 2>&1 && grep -q '(not the same)' "$work/out"; then
	echo "ok 2 - one that is not the same is found"
else
	echo "not ok 2 - one that is not the same is found"
	sed 's/^/# /' "$work/out"
fi
