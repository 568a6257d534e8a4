#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# simulate: policies over made-up recordings; what is printed, the page, and what hostile names can do to it (nothing).
. tests/ctl/lib.sh
low=tests/ctl/data/sim-low.policy early=tests/ctl/data/sim-early.policy
trace() { "$BUILD/tests/helpers/simtrace" "$work/$1.gft" "$@" || not_ok "simtrace $*"; }
trace leak
trace calm 10 30
trace hostile 5 200
# Where the recording is, and how long it took, are other each time.
# Progress is shown where a machine is slow.
sim() { $ctl simulate "$@" 2>&1 | sed -e "s|$work/||g" -e '/^simulated in /d' -e '/^s[a-z]*: [0-9]* of [0-9]* /d'; return "${PIPESTATUS[0]}"; }

golden sim-text sim $low "$work/leak.gft"
golden sim-explain sim -e --assume term=never --assume children=stay $low "$work/leak.gft"
golden sim-diff sim $early --against $low --trace "$work/leak.gft"
golden sim-recorded sim --as-recorded $early "$work/leak.gft"
golden sim-sweep sim --sweep low-memory.threshold=5%..20%/5% --sweep low-memory.for=1s,10s $early "$work/leak.gft"
golden sim-numbers sim --numbers $low

is "a run is the same every time" "$(sim --json $low "$work/leak.gft" | md5sum)" "$(sim --json $low "$work/leak.gft" | md5sum)"
sim $early "$work/calm.gft" >"$work/out"
is "nothing to do, all rules judged: exit 0" $? 0
has "nothing to do: said so" "$(cat "$work/out")" "nothing would have been done"
sim $low "$work/calm.gft" >/dev/null
is "a rule that cannot be judged: exit 1" $? 1
has "part of a recording" "$(sim $low "$work/leak.gft" --from 2min --to 150s)" "30.0s at 1.0s, 31 samples"
has "from the end" "$(sim $low "$work/leak.gft" --from -10s)" "11 samples"
has "a time on the clock" "$(sim $low "$work/leak.gft" --from 09:48:40 --to '2026-11-25 09:48:50')" "11 samples"
has "another machine" "$(sim $early "$work/leak.gft" --what-if mem.total=8GiB)" "0 actions, 0 victims"
"$BUILD/tests/helpers/simtrace" "$work/a.gft" leak 40 138
"$BUILD/tests/helpers/simtrace" "$work/b.gft" leak 40 162 138
"$BUILD/tests/helpers/simtrace" "$work/c.gft" leak 40 150 150
acts() { sim "$@" | grep '^ *+.*low-memory: SIGKILL' | sed 's/;.*//'; }
is "two recordings, one after the other, are as one" "$(acts $early "$work/a.gft" "$work/b.gft")" "$(acts $early "$work/leak.gft")"
has "over a hole nothing counts as having held" "$(acts $early "$work/a.gft" "$work/c.gft")" "+2m32s"
has "two recordings in the wrong order" "$(sim $early "$work/leak.gft" "$work/leak.gft")" "before"
has "--speed prints as it goes" "$(sim $early "$work/leak.gft" --speed 10000)" "low-memory: SIGKILL to leaker"
has "another meaning of pressure" "$(sim $early "$work/leak.gft" --pressure 'mem.available < 50%')" "under pressure (mem.available < 50%) for 1m14s"

says() { # says WHAT PATTERN ARGUMENTS...: refused, and how
	local out rc
	out=$(sim "${@:3}"); rc=$?
	[ $rc -ne 0 ] || out="(exit 0) $out"
	has "$1" "$out" "$2"
}
says "no recording" 'simulate needs a recording: --trace FILE' $low
says "a recording that is none" 'is no recording' $low --trace $low
says "a recording that is not there" 'No such file' $low --trace "$work/none.gft"
says "a sweep of an unknown number" 'did you mean low-memory.threshold?' $low "$work/leak.gft" --sweep low-memory.treshold=1%,2%
says "a value of another kind" 'with low-memory.for at 5%' $low "$work/leak.gft" --sweep low-memory.for=5%
says "what if an unknown field" 'did you mean mem.total?' $low "$work/leak.gft" --what-if mem.totl=1GiB
for more in "" "--json" "--json --as-recorded" "--apart $work/calm.gft" "--json --apart $work/calm.gft"; do
	# shellcheck disable=SC2086
	is "a sweep by the emulated GPU is that by CPUs $more" "$($ctl simulate $early "$work/leak.gft" $more --sweep low-memory.threshold=5%..20%/5% --engine emu 2>"$work/emu" | md5sum)" \
		"$($ctl simulate $early "$work/leak.gft" $more --sweep low-memory.threshold=5%..20%/5% --engine cpu 2>/dev/null | md5sum)"
done
has "where it ran" "$(cat "$work/emu")" "runs on Emulated GPU: "
has "--apart says of which recording a row is" "$(sim $early "$work/leak.gft" "$work/calm.gft" --apart --sweep low-memory.threshold=5%,6% 2>/dev/null)" "calm.gft"
is "a recording in windows gives the same table" "$($ctl simulate $early "$work/leak.gft" --sweep low-memory.threshold=5%..20%/5% --memory 1B --engine cpu 2>"$work/windows" | md5sum)" \
	"$($ctl simulate $early "$work/leak.gft" --sweep low-memory.threshold=5%..20%/5% --engine cpu 2>/dev/null | md5sum)"
has "and that is said" "$(cat "$work/windows")" "and goes by in windows"
says "a memory that is none" 'size such as 512MiB' $low "$work/leak.gft" --sweep low-memory.threshold=1%,2% --memory 5%
says "memory without a sweep" '--memory is for --sweep' $low "$work/leak.gft" --memory 5GiB
table() { sim $early "$work/leak.gft" --sweep "$1" | sed -n 's/^\([^ ]*\) .*/\1/p' | tr '\n' ' '; }
is "values in the smallest of a range's units" "$(table low-memory.cooldown=1s..2min/30s)" "low-memory.cooldown 1s 31s 61s 91s "
is "large and small numbers have no exponent" "$(table low-memory.threshold=0.0001%,20000000000B)" "low-memory.mem.available 0.0001% 20000000000B "
says "a part without a sample" 'there is no sample in that part' $early "$work/leak.gft" --sweep low-memory.threshold=1%,2% --from 10.1s --to 10.2s
says "a table and explanations" 'for --explain run the policy that you like by itself' $early "$work/leak.gft" --sweep low-memory.threshold=1%,2% -e
head -c 9000 "$work/leak.gft" >"$work/cut.gft"
sim $early "$work/cut.gft" --sweep low-memory.threshold=1%,2% >"$work/out"
is "a recording that is cut: swept" $? 0
has "and it is said where it ends" "$(cat "$work/out")" "cut.gft: it ends"
sim $low "$work/leak.gft" --sweep low-memory.threshold=1%,2% >"$work/out"
is "a sweep of a policy with a rule that cannot be judged: exit 1" $? 1
has "and which rule, and why" "$(cat "$work/out")" "cannot be judged: the recording lacks"
says "a time after the end" 'is after the recording ends (it is of ' $low "$work/leak.gft" --from 2h
says "minutes" '(minutes are min)' $low "$work/leak.gft" --from 5m
says "the end before the beginning" '--to 10s is before --from 20s' $low "$work/leak.gft" --from 20s --to 10s
says "an assumption without a unit" 'kill= is a time such as 5s, not `5`' $low "$work/leak.gft" --assume kill=5
says "a policy for guests" 'for a guest compile it with --target vm' policies/80-guests.policy "$work/leak.gft"
: >"$work/empty.gft"
says "an empty recording" 'empty.gft is empty' $low "$work/empty.gft"
says "which chart, of none" '--chart says which one --svg is to write' $low "$work/leak.gft" --chart mem.available
says "an engine that is none" 'did you mean gpu?' $low "$work/leak.gft" --sweep low-memory.threshold=1%,2% --engine gpx
says "an engine without a sweep" 'is for --sweep' $low "$work/leak.gft" --engine cpu
says "an unknown assumption" 'did you mean children?' $low "$work/leak.gft" --assume childrn=stay
says "a time that is none" '--from is a time into the recording' $low "$work/leak.gft" --from noon
says "--to before --from" 'is before --from' $low "$work/leak.gft" --from 60s --to 30s
says "--from behind the end" 'after the recording ends' $low "$work/leak.gft" --from 2h
says "a pressure that does not compile" 'E0' $low "$work/leak.gft" --pressure 'mem.available < 5s'
says "both modes" 'exclude each other' $low "$work/leak.gft" --as-recorded --counterfactual
says "a chart that is not there" 'did you mean mem.available?' $low "$work/leak.gft" --svg "$work/x.svg" --chart mem.availabl
says "a page that cannot be written" 'No such file' $low "$work/leak.gft" --html "$work/none/x.html"

# Damage in the middle: all before it counts.
size=$(stat -c %s "$work/leak.gft")
head -c $((size * 2 / 3)) "$work/leak.gft" >"$work/cut.gft"
out=$(sim $early "$work/cut.gft"); rc=$?
is "a recording that was cut: exit 0" $rc 0
has "a recording that was cut: what is there was simulated" "$out" "low-memory: SIGKILL to leaker"

# JSON and pictures hold, whatever processes are called.
sim --json $early "$work/hostile.gft" >"$work/h.json"
is "hostile names: JSON" "$(python3 -c 'import json,sys; d=json.load(open(sys.argv[1])); print(d["policies"][0]["events"][0]["event"]["pid"])' "$work/h.json" 2>&1)" 900
$ctl simulate $early --against $low "$work/hostile.gft" --html "$work/h.html" --svg "$work/h.svg" >/dev/null 2>&1
is "hostile names: SVG is XML" "$(python3 -c 'import sys,xml.dom.minidom as m; m.parse(sys.argv[1]); print("yes")' "$work/h.svg" 2>&1)" yes
is "hostile names: no element and no control character out of a name" \
	"$(grep -c $'<b>&\\|\x1b' "$work/h.html" "$work/h.svg" | paste -sd' ')" "$work/h.html:0 $work/h.svg:0"
is "nothing from elsewhere, no script" "$(grep -oE '<script|https?://[a-z.]*|url\(|@import|<(img|iframe|link|object)| on[a-z]+=' "$work/h.html" | sort -u)" "http://www.w"
is "every mark leads to an explanation" "$(python3 - "$work/h.html" <<'P'
import re, sys
t = open(sys.argv[1]).read()
to, ids = set(re.findall(r'href="#([^"]*)"', t)) - {'-'}, set(re.findall(r'id="([^"]*)"', t))
print(len(to) > 3, sorted(to - ids))
P
)" "True []"

# Names that reorder what follows, and so many actions that marks would hide the lines; one sample is no hour.
python3 - "$work" <<'P'
import sys
with open(sys.argv[1] + "/many.csv", "w") as f:
    f.write("time,mem.total:MiB,mem.available:MiB,pid,comm,rss:MiB\n")
    for i in range(2000):
        f.write("%d,4096,%d,7,ab\u202ecd\u200b,%d\n" % (1795746000 + i, 1000 + i % 7, 50 + i % 3))
P
head -n 2 "$work/many.csv" >"$work/one.csv"
for f in many one; do $ctl import --from csv -o "$work/$f.gft" "$work/$f.csv" >/dev/null; done
echo 'rule often if rss > 10MiB then log it cooldown 1s' >"$work/often.policy"
$ctl simulate "$work/often.policy" "$work/many.gft" --budget 250/1s --html "$work/many.html" >"$work/many.txt" 2>&1
is "marks that are near are one, and say how many" "$(python3 - "$work/many.html" <<'P'
import re, sys
t = open(sys.argv[1]).read()
charts = re.findall(r"<svg.*?</svg>", t, re.S)
marks = [re.findall(r'<a class="mark[^>]*><title>(?:(\d+) from here on, first )?', c) for c in charts]
print(len(charts), {20 < len(m) < 120 for m in marks}, {sum(int(n or 1) for n in m) for m in marks} == {len(re.findall(r'<article', t)) - len(re.findall(r'held back', re.search('What it would have done.*?</table>', t, re.S)[0]))})
P
)" "3 {True} True"
is "nothing reorders text, or hides" "$(grep -c $'\u202e\\|\u200b' "$work/many.html"):$(grep -c 'ab\\u202ecd\\u200b' "$work/many.html" | sed 's/[1-9][0-9]*/some/')" "0:some"
$ctl simulate "$work/often.policy" "$work/one.gft" --svg "$work/one.svg" >/dev/null 2>&1
is "a chart of one sample is no hour long, and shows it" "$(grep -c '+10m' "$work/one.svg"):$(grep -c 'class="line" d="M[0-9.]* [0-9.]*h.1"' "$work/one.svg")" 0:1

if command -v chromium >/dev/null; then
	# What a browser makes of it: the page as it stands, its text, and an explanation that opens by its address.
	look() { timeout 60 chromium --headless --no-sandbox --disable-gpu --user-data-dir="$work/chromium" "$@" 2>/dev/null; }
	mark=$(grep -oE 'href="#p0e[0-9]+"' "$work/h.html" | head -1 | tr -d '"' | cut -d'#' -f2)
	look --window-size=1100,900 --screenshot="$work/a.png" "file://$work/h.html"
	look --window-size=1100,900 --screenshot="$work/b.png" "file://$work/h.html#$mark"
	look --dump-dom "file://$work/h.html" >"$work/dom.html"
	has "chromium: a picture" "$(head -c 8 "$work/a.png" | od -An -c | tr -d ' ')" 'PNG'
	[ -s "$work/b.png" ] && ! cmp -s "$work/a.png" "$work/b.png" && ok "chromium: a mark opens its explanation" || not_ok "chromium: a mark opens its explanation"
	is "chromium: no bold text was made of a name" "$(grep -c '<b>&amp;\|<b></b>' "$work/dom.html")" 0
	has "chromium: the name is shown as it is" "$(cat "$work/dom.html")" '&lt;b&gt;&amp;'
else
	n=$((n + 1)); echo "ok $n - the page in a browser # SKIP chromium is not installed"
fi
plan
