#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run.sh [--engine gpu|emu|cpu] [--short] [PART...]: on a GPU machine, from the directory that pack.sh has made: tests, demo and
# benchmarks of the GPU engine. Without PART: all. Each part ends by itself, at the latest at its time limit.
#
#   tests      the GPU's unit tests                      sanitize   the same under compute-sanitizer
#   limits     what bounds a tick, measured              rescue     four things go wrong in a guest while gpufasd is stopped
#   tick       100, 1,000, 10,000 tasks, 10, 100 rules   sixteen    sixteen guests at a period of 1 ms
#   latency    fault to store, store to exit             cost       the daemon's CPU time
#   neighbour  what another process on the GPU loses     cpu        a GPU tick beside the CPU engine's
#   hostile    guests' memory with lies in it, what the GPU counts in it against the CPU
#   lost       the kernel is taken away by another client's fault under MPS: the CPU goes on
#   assisted   a guest that has the kernel module: the GPU reads its tables and writes its mailbox
#   simulate   sweeps of policies over recordings: the same as the CPU's, and how fast; by several GPUs, in windows, by trials
#   shadow     a second policy beside the GPU's: what both would do, and what it costs
#
# Results: $OUT/results.jsonl, $OUT/table.txt and logs; tick leaves $OUT/profile.txt, where each tick's time goes; the table is what is printed last. Where there is no GPU each part says
# "skipped: why". Exit status 1 when a part failed.
set -u
here=$(cd "$(dirname "$0")" && pwd)
export LC_ALL=C PYTHONDONTWRITEBYTECODE=1
declare -A limit=([tests]=240 [sanitize]=400 [limits]=90 [rescue]=240 [tick]=560 [sixteen]=240 [latency]=240 [cost]=200 [neighbour]=300 [cpu]=400 [hostile]=200 [simulate]=240 [shadow]=120 [lost]=150 [assisted]=200)
engine=gpu short=
parts=()
while [ $# -gt 0 ]; do
	case $1 in
	--engine) engine=$2; shift ;;
	--short) short=--short ;;
	-h | --help) sed -n '4,21s/^# \{0,1\}//p' "$0"; exit 0 ;;
	*) [ -n "${limit[$1]:-}" ] || { echo "run.sh: there is no part \"$1\" (--help lists them)" >&2; exit 2; }
	   parts+=("$1") ;;
	esac
	shift
done
[ ${#parts[@]} -gt 0 ] || parts=(tests simulate shadow hostile rescue tick sixteen latency cost neighbour lost assisted)

# In the bundle, or in the repository after `make gpu-check`.
if [ -e "$here/kit.tar.xz" ]; then
	kit=$here/kit
	if [ ! -e "$kit/unpacked" ]; then
		rm -rf "$kit"
		mkdir -p "$kit"
		tar -C "$kit" -xJf "$here/kit.tar.xz" 2>/dev/null ||
			python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' "$here/kit.tar.xz" "$kit" || exit 1
		: >"$kit/unpacked"
	fi
	export PATH=$kit/bin:$PATH BUILD=$kit/build
	cd "$kit" || exit 1
	# guests' memory: a machine may have a small /dev/shm or none
	free=$(df -Pm /dev/shm 2>/dev/null | awk 'NR == 2 { print $4 }')
	if [ "${free:-0}" -lt 8192 ] && [ "$(id -u)" = 0 ]; then
		mkdir -p /dev/shm
		mount -t tmpfs -o size=75% gpufas /dev/shm || echo "run.sh: /dev/shm has ${free:-no} MiB, and no other could be mounted" >&2
	fi
else
	cd "$here/../.." || exit 1
	export BUILD=${BUILD:-build}
	[[ $BUILD == /* ]] || BUILD=$PWD/$BUILD
fi
if [ -e "$here/kit.tar.xz" ]; then OUT=${OUT:-$here/out}; else OUT=${OUT:-$BUILD/gpu-out}; fi
mkdir -p "$OUT" && OUT=$(cd "$OUT" && pwd) && export OUT || exit 1

no_gpu() { # why not, or nothing
	[ "$engine" = gpu ] || { echo "--engine $engine"; return; }
	[ -x "$BUILD/bench/gpu_limits" ] || { echo "built without nvcc"; return; }
	"$BUILD/bench/gpu_limits" device 2>&1 | sed -n 's/^skipped: //p; s/^gpu_limits.cu/&/p' | head -n 1
}
row() { printf '%s\n' "$*" >>"$OUT/table.txt"; printf '%s\n' "$*"; }

# tap NAME FILE: adds a file of TAP up
tap() {
	local good bad skips
	good=$(grep -cE '^ok' "$2"); bad=$(grep -cE '^not ok' "$2"); skips=$(grep -ciE '^(not )?ok.*# *skip|^1\.\.0 # skip' "$2")
	bad=$((bad - $(grep -ciE '^not ok.*# *skip' "$2")))
	row "$(printf '%-40s %d ok, %d not ok, %d skipped%s' "$1" $((good - $(grep -ciE '^ok.*# *skip' "$2"))) "$bad" "$skips" "${3:-}")"
	grep -E '^not ok' "$2" | grep -vi '# *skip' | head -n 5
	grep -ohiE '# *skip.*' "$2" | sort | uniq -c | head -n 3
	[ "$bad" -eq 0 ] && [ $((good + skips)) -gt 0 ]
}

run_tests() { # run_tests [PREFIX...]
	local t rc worst=0 name
	[ -z "$(no_gpu)" ] || { row "tests: skipped: $(no_gpu)"; return 0; }
	for t in "$BUILD"/tests/gpu/test_* "$BUILD"/tests/unit/test_{team,gpu,emu,dev}*; do
		case $t in *'*'* | *.o | *.d | *.log) continue ;; esac
		name=${t##*/}
		[ $((SECONDS - start)) -lt "${limit[tests]}" ] || { row "$name: FAILED: not run, no time is left"; worst=1; continue; }
		CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 2 120 "$t" >"$OUT/.tap" 2>&1
		rc=$?
		{ echo "== $name: exit status $rc"; cat "$OUT/.tap"; } >>"$OUT/tests.txt"
		tap "$name" "$OUT/.tap" "$([ $rc -eq 0 ] || echo ", EXIT STATUS $rc")" || worst=1
		[ $rc -eq 0 ] || worst=1
	done
	rm -f "$OUT/.tap"
	return $worst
}

# The real programs, since the tool looks at what it starts itself. Whole reports are in sanitize.txt.
under() { # under TOOL PROGRAM [ARGUMENT...]: the report is in $OUT/.san
	local tool=$1 name=${2##*/} real=$2 rc
	shift 2
	[ -e "$BUILD/../real/$name" ] && real=$BUILD/../real/$name
	GF_TEST_SMALL=1 LD_LIBRARY_PATH=$BUILD/../lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} timeout -k 2 150 \
		"$san" --tool "$tool" --error-exitcode 99 --print-limit 20 "$real" "$@" >"$OUT/.san" 2>&1
	rc=$?
	{ echo "== $tool $name${*:+ $*}: exit status $rc"; tail -c 60000 "$OUT/.san"; } >>"$OUT/sanitize.txt"
	return $rc
}

# What memcheck says of memory that is handed to a kernel which runs (bench/gpu_late.cu): tests/gpu/sanitized.py says what follows from it.
sanitize_control() {
	local how
	for how in before after beyond; do
		under memcheck "$BUILD/bench/gpu_late" $how
		row "$(printf '%-12s %-28s exit status %d  %s' memcheck "gpu_late $how" $? "$(grep -E 'ERROR SUMMARY' "$OUT/.san" | tail -n 1 | sed 's/=* *//')")"
		mv "$OUT/.san" "$OUT/.san-$how"
	done
	row "  control: $(python3 tests/gpu/sanitized.py control "$OUT"/.san-{before,after,beyond})"
	python3 tests/gpu/sanitized.py control "$OUT"/.san-{before,after,beyond} >/dev/null
}

sanitize() {
	local t tool rc worst=0 sum san excuse=
	[ -z "$(no_gpu)" ] || { row "sanitize: skipped: $(no_gpu)"; return 0; }
	san=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
	[ -n "$san" ] || { row "sanitize: skipped: there is no compute-sanitizer here"; return 0; }
	sanitize_control && excuse=$OUT/.san-after
	for t in "$BUILD"/tests/gpu/test_*; do
		case $t in *'*'* | *.o | *.d | *.log) continue ;; esac
		# its tools run kernels one after the other: two that stay would wait for each other
		export GPUFAS_ONE_KERNEL=1
		for tool in memcheck racecheck initcheck; do
			# (seen with compute-sanitizer of CUDA 13.0; under racecheck it does come back)
			unset GPUFAS_NO_RELAY
			[ $tool != initcheck ] || export GPUFAS_NO_RELAY=1
			[ $((SECONDS - start)) -lt "${limit[sanitize]}" ] || { row "$tool ${t##*/}: FAILED: not run, no time is left"; worst=1; continue; }
			under $tool "$t"
			rc=$?
			sum=$(grep -E 'ERROR SUMMARY|RACECHECK SUMMARY' "$OUT/.san" | tail -n 1 | sed 's/=* *//')
			row "$(printf '%-12s %-28s exit status %d  %s' $tool "${t##*/}" $rc "$sum")"
			[ $rc -ne 0 ] || continue
			if [ $rc -ne 99 ] || [ $tool != memcheck ]; then worst=1; continue; fi
			sum=$(python3 tests/gpu/sanitized.py judge "$OUT/.san" ${excuse:+"$excuse"}) || worst=1
			row "  $sum"
		done
	done
	rm -f "$OUT"/.san{,-before,-after,-beyond}
	return $worst
}

status=0
: >"$OUT/table.txt"
[ -e "$here/kit/VERSION" ] && head -n 1 "$here/kit/VERSION" >>"$OUT/table.txt"
row "# $(uname -r), $(nproc) CPUs, $(awk '/MemTotal/ { printf "%d GiB", $2 / 1048576 }' /proc/meminfo), $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | grep . || echo no GPU)"
for p in "${parts[@]}"; do
	start=$SECONDS
	case $p in
	tests) run_tests ;;
	sanitize) sanitize ;;
	*) show=(tests/gpu/show.py --engine "$engine" ${short:+"$short"} "$p")
	   [ "$p" != simulate ] || show=(tests/gpu/simulate.py --engine "$engine" ${short:+"$short"})
	   timeout -k 30 "${limit[$p]}" python3 "${show[@]}" >"$OUT/.part" 2>&1
	   rc=$?
	   cat "$OUT/.part" >>"$OUT/parts.txt"
	   # only what went wrong: the figures are in the table
	   [ $rc -eq 0 ] || grep -E 'FAILED|Error|Traceback|NOT RECOVERED' "$OUT/.part" | head -n 5
	   [ $rc -ne 124 ] || row "$p: FAILED: not done after ${limit[$p]} s"
	   ( exit $rc ) ;;
	esac || { status=1; row "$p: exit status not 0"; }
	rm -f "$OUT/.part"
	echo "# $p: $((SECONDS - start)) s"
done
echo
echo "== results"
cat "$OUT/table.txt"
exit $status
