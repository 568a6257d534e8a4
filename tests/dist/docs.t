#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# README.md and docs/: what is named there exists, and examples print what is shown (docs.py).
set -u
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
BUILD=${BUILD:-build}
export LC_ALL=C.UTF-8
unset NO_COLOR GPUFAS_SOCKET COLUMNS LINES
command -v python3 >/dev/null || { echo "1..0 # SKIP python3 is not installed"; exit 0; }
if ! "$BUILD/tests/helpers/simtrace" "$work/leak.gft" leak; then
	echo "Bail out! no recording (make build-tests)"
	exit 1
fi
cp tests/ctl/data/sim-early.policy "$work/early.policy"
python3 tests/dist/docs.py "$BUILD" "$work"
