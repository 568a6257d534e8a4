#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# check, compile, disasm, fmt, fields: exit codes, files, what is said.
. tests/ctl/lib.sh
p=$work/p
mkdir -p "$p/policy.d" "$p/empty"
cat >"$p/policy.d/10-a.policy" <<'P'
let shells = comm in ("bash", "zsh")
protect shells
P
cat >"$p/policy.d/20-b.policy" <<'P'
rule big if rss > 80% for 2s then SIGTERM largest cooldown 1min
rule idle-eater if cpu > 95% for 30s then renice +5 it cooldown 1min
P
echo 'not a policy' >"$p/policy.d/README"
printf 'rule x\n  if rss > 5s then SIGKILL largest\nrule y if rsss > 1GiB for 1s then SIGKILL largest cooldown 1s\n' >"$p/bad.policy"

out=$($ctl check "$p/policy.d" 2>"$work/err"); rc=$?
is "check DIR: exit 0" $rc 0
is "check DIR: *.policy in order, one policy" "$out" "$p/policy.d/10-a.policy: ok, 0 rules
$p/policy.d/20-b.policy: ok, 2 rules"
out=$($ctl check "$p/bad.policy" 2>"$work/err"); rc=$?
is "check of errors: exit 1" $rc 1
has "check of errors: place" "$(cat "$work/err")" "$p/bad.policy:2:"
has "check of errors: caret" "$(cat "$work/err")" "^"
has "check of errors: a second error in the same run" "$(cat "$work/err")" "$p/bad.policy:3:"
is "check of errors: the count" "$out" "$p/bad.policy: 2 errors"
for i in $(seq 4098); do echo "rule r$i if rss > 5GiB and comm == \"x$i\" for 2s then log it cooldown 1s"; done >"$p/many.policy"
$ctl check "$p/many.policy" >/dev/null 2>"$work/err"
has "check of too many rules: the first that is too many" "$(cat "$work/err")" "many.policy:4097:6: error: the policy has more than 4096 rules"
sed -n 1,1100p "$p/many.policy" >"$p/texts.policy"
$ctl check "$p/texts.policy" >/dev/null 2>"$work/err"
has "check of too many texts: the first that is too many" "$(cat "$work/err")" "texts.policy:1025:1: error: the policy needs more than 1024 matches"
has "check of too many texts: the mend" "$(cat "$work/err")" 'comm in ("a", "b", ...)'
rm "$p/many.policy" "$p/texts.policy"
echo 'mode: observe' >"$p/gpufas.yaml"
out=$($ctl check "$p/gpufas.yaml" 2>&1); rc=$?
is "check of a configuration: exit 1" $rc 1
is "check of a configuration: one line that says what checks it" "$(grep -c . <<<"$out") $(grep -o 'gpufasd --check-config' <<<"$out")" "1 gpufasd --check-config"
rm "$p/gpufas.yaml"
is "check -: standard input" "$($ctl check - <"$p/policy.d/20-b.policy")" "<stdin>: ok, 2 rules"
printf 'if rss > 80%% then SIGKILL largest\n' >"$p/warn.policy"
$ctl check "$p/warn.policy" >"$work/out" 2>/dev/null
is "check of a warning: exit 0" $? 0
has "check of a warning: counted" "$(cat "$work/out")" "ok, 1 rule, 1 warning"
$ctl check --strict "$p/warn.policy" >/dev/null 2>&1
is "check --strict of a warning: exit 1" $? 1
# Guests: other fields and actions, kernel paths, and a memory to look these up in.
printf 'if task->mm->map_count > 60000 for 2s then freeze it then after 5s thaw\n' >"$p/guest.policy"
$ctl check "$p/guest.policy" >/dev/null 2>"$work/err"
is "check of a guest's policy for a host: exit 1" $? 1
has "check of a guest's policy for a host: why" "$(cat "$work/err")" "only vm targets have it"
is "check --target vm" "$($ctl check --target vm "$p/guest.policy")" "$p/guest.policy: ok, 1 rule"
$ctl check --target host --ram "$p/guest.policy" "$p/guest.policy" >/dev/null 2>"$work/err"
is "check --ram for a host: exit 2" $? 2
$ctl check --ram "$work/nothing" "$p/guest.policy" >/dev/null 2>"$work/err"
is "check --ram of what is not there: exit 3" $? 3
has "check --ram of what is not there: named" "$(cat "$work/err")" "$work/nothing"
$ctl check --ram "$p/guest.policy" "$p/guest.policy" >/dev/null 2>"$work/err"
is "check --ram of what is no memory: exit 3" $? 3
$ctl fields --ram "$work/nothing" 'task->mm' >/dev/null 2>"$work/err"
is "fields --ram of what is not there: exit 3" $? 3
has "fields --ram of what is not there: named" "$(cat "$work/err")" "$work/nothing"
$ctl fields 'task->mm' >/dev/null 2>"$work/err"
is "fields of a path without a kernel: exit 2" $? 2
has "fields of a path without a kernel: what to add" "$(cat "$work/err")" "--ram"
printf 'if task->mm->rss_stat[MM_ANONPAGES].count > 5 then log it\n' >"$p/enum.policy"
is "check: an enumerator as an index" "$($ctl check --target vm "$p/enum.policy")" "$p/enum.policy: ok, 1 rule"
is "fmt: an enumerator as an index" "$($ctl fmt "$p/enum.policy")" "$(cat "$p/enum.policy")"
rm "$p/enum.policy"
rm "$p/guest.policy"
$ctl check "$p/none.policy" >/dev/null 2>"$work/err"
is "check of a missing file: exit 1" $? 1
has "check of a missing file: named" "$(cat "$work/err")" "$p/none.policy"
$ctl check "$p/empty" >/dev/null 2>"$work/err"
is "check of an empty directory: exit 1" $? 1
has "check --json: ok" "$($ctl check --json "$p/policy.d" | tr -d ' \n')" '"ok":true,"rules":2,'
has "check --json: diags" "$($ctl check --json "$p/bad.policy" | tr -d ' \n')" '"ok":false,"rules":0,'

$ctl compile "$p/policy.d" -o "$p/out.gfb"
is "compile: exit 0" $? 0
is "compile: an image" "$(head -c 4 "$p/out.gfb")" "GFB1"
echo keep >"$p/keep.gfb"
$ctl compile "$p/bad.policy" -o "$p/keep.gfb" 2>/dev/null
is "compile of errors: exit 1" $? 1
is "compile of errors: the file is as it was" "$(cat "$p/keep.gfb")" keep
$ctl compile "$p/policy.d" -o - >"$p/stdout.gfb"
is "compile -o -: the same image" "$(cmp "$p/out.gfb" "$p/stdout.gfb" 2>&1)" ""
is "compile leaves no other file behind" "$(cd "$p" && ls | tr '\n' ' ')" "bad.policy empty keep.gfb out.gfb policy.d stdout.gfb warn.policy "
$ctl compile "$p/policy.d" -o /dev/full 2>/dev/null
is "compile to a full disk: exit 1" $? 1

has "disasm of an image names its rules" "$($ctl disasm "$p/out.gfb")" "idle-eater"
is "disasm of sources: the same" "$($ctl disasm "$p/policy.d" | md5sum)" "$($ctl disasm "$p/out.gfb" | md5sum)"
{ head -c 200 "$p/out.gfb"; printf X; tail -c +202 "$p/out.gfb"; } >"$p/flip.gfb"
$ctl disasm "$p/flip.gfb" >"$work/out" 2>"$work/err"
is "disasm of a changed image: exit 1" $? 1
is "disasm of a changed image: nothing shown" "$(cat "$work/out")" ""
head -c 100 "$p/out.gfb" >"$p/short.gfb"
$ctl disasm "$p/short.gfb" >/dev/null 2>&1
is "disasm of half an image: exit 1" $? 1
is "disasm --opcodes: as many as op.def has" "$($ctl disasm --opcodes | tail -n +2 | wc -l)" "$(grep -c '^GF_OP(' include/gpufas/op.def)"

printf '# why\nrule   z   if rss>1GiB   for 2s then SIGTERM   largest cooldown 1min\n' >"$p/ugly.policy"
chmod 640 "$p/ugly.policy"
ln -s ugly.policy "$p/link.policy"
before=$(cat "$p/ugly.policy")
$ctl fmt --check "$p/ugly.policy" >"$work/out"
is "fmt --check: exit 1" $? 1
is "fmt --check: names it" "$(cat "$work/out")" "$p/ugly.policy"
is "fmt --check: leaves it" "$(cat "$p/ugly.policy")" "$before"
want=$($ctl fmt "$p/ugly.policy")
is "fmt -: the same as fmt FILE" "$($ctl fmt - <"$p/ugly.policy")" "$want"
$ctl fmt -w "$p/link.policy"
is "fmt -w: exit 0" $? 0
is "fmt -w: what fmt prints" "$(cat "$p/ugly.policy")" "$want"
is "fmt -w: mode kept" "$(stat -c %a "$p/ugly.policy")" 640
is "fmt -w: a link stays a link" "$(readlink "$p/link.policy")" ugly.policy
has "fmt keeps comments" "$want" "# why"
$ctl fmt --check "$p/ugly.policy"
is "fmt --check afterwards: exit 0" $? 0
before=$(cat "$p/bad.policy")
printf 'rule if if\n' >"$p/syntax.policy"
$ctl fmt -w "$p/syntax.policy" 2>/dev/null
is "fmt -w of what does not parse: exit 1" $? 1
is "fmt -w of what does not parse: left alone" "$(cat "$p/syntax.policy")" "rule if if"

names=$(grep -cE '^GF_(HOST|TASK|TSTR|DRVH|DRVT)\(' include/gpufas/fields.def)
is "fields: every one of the registry" "$($ctl fields | tail -n +2 | wc -l)" "$names"
is "fields --target host: with what only the kernel module tells" "$($ctl fields --target host | grep -c '^os.stalled')" 1
is "fields --target vm: with what only memory tells" "$($ctl fields --target vm | grep -c "^os.stalled\|^cmdline")" 2
is "fields --target kmod: without what the module does not read" "$($ctl fields --target kmod | grep -c "^cmdline")" 0
is "fields NAME" "$($ctl fields oom_score_adj | tail -n +2 | cut -d' ' -f1)" "oom_score_adj"
if command -v scdoc >/dev/null; then
	{ printf 'gpufas-fields(7)\n\n# NAME\n\nx - y\n\n'; $ctl fields --man; } | scdoc >"$work/man" 2>"$work/err"
	is "fields --man is scdoc" "$?$(cat "$work/err")" 0
else
	n=$((n + 1)); echo "ok $n - fields --man is scdoc # SKIP no scdoc"
fi
plan
