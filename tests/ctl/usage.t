#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Arguments: what is accepted, what is refused and how; help; completions.
. tests/ctl/lib.sh
export GPUFAS_SOCKET=$work/none

# refuse PATTERN ARG...: exit 2, nothing on stdout, the pattern on stderr
refuse()
{
	local pat=$1 out err rc
	shift
	out=$($ctl "$@" 2>"$work/err"); rc=$?
	err=$(cat "$work/err")
	if [ $rc = 2 ] && [ -z "$out" ] && [[ $err == *$pat* ]]; then
		ok "refused: $*"
	else
		not_ok "refused: $*"
		echo "# exit $rc, stdout '$out', stderr '$err', wanted *$pat*"
	fi
}
refuse "Usage"
refuse 'did you mean `status`' stauts
refuse 'there is no command `rewind`' rewind x
refuse 'probe needs' probe
refuse '--layout is' probe --layout 0:2G x
refuse 'there is no command `imagine`' imagine
refuse 'did you mean `--columns`' ps --colums pid
refuse 'did you mean `--follow`' events --folow
refuse 'has no option `-z`' ps -z
refuse 'needs F,F' ps --columns
refuse 'takes no argument' status --json=yes
refuse 'has no option `--socket`' check --socket x
refuse 'one argument too many' status now
refuse 'check needs' check
refuse 'did you mean `rss`' ps --columns pid,rsss
refuse "is the host's" ps --sort mem.free
refuse 'is a number' ps -n many
refuse 'is a number' events -n -3
refuse 'is not a process id' signal host abc TERM
refuse 'is not a process id' signal host 0 TERM
refuse 'is not a process id' signal host -- -1 TERM
refuse 'did you mean SIGTERM' signal host 5 TREM
refuse 'there is no signal' signal host 5 65
refuse 'there is no signal' signal host 5 SIGRTMIN+99
refuse 'did you mean mailbox' signal host 5 TERM --road mailbx
refuse 'there is no road' signal host 5 TERM --road moon
refuse 'on or off' observe maybe
refuse 'seconds' top -d 0
refuse 'no column' top --once --sort anon
refuse 'auto, always or never' status --color blue
refuse '--target is' check --target mars /dev/null
refuse 'needs --ram FILE' dry-run /dev/null
refuse '--layout is' dry-run /dev/null --ram /dev/null --layout 0:1GiB
refuse 'multiples of 4KiB' ps --ram /dev/null --layout 0:1GiB@1
refuse '--for is a time' dry-run /dev/null --ram /dev/null --for 5
refuse '--layout is for --ram' ps --layout 0:1GiB@0
refuse '--period is' check --period 5m /dev/null
refuse 'compile needs -o' compile /dev/null
refuse 'choose one' fmt -w --check /dev/null
refuse 'standard input' fmt -w -
refuse 'disasm needs' disasm
refuse '--once' top </dev/null

is "options before the command" "$($ctl --color never --socket "$work/x" status 2>&1 | grep -c "$work/x")" 1
$ctl fields --target mars >/dev/null 2>&1; is "fields of a target want the daemon" $? 3
is "-h anywhere" "$($ctl ps -h | head -1)" "Usage: gpufasctl ps [OPTION...]"
is "--help alone" "$($ctl --help | head -1)" "Usage: gpufasctl COMMAND [OPTION...] [ARGUMENT...]"
is "help COMMAND is COMMAND --help" "$($ctl help events)" "$($ctl events --help)"
has "--version" "$($ctl --version)" "gpufasctl "
is "version and --version agree" "$($ctl version)" "$($ctl --version)"

# Every command has help; the completions know every command and long option, and no others.
bad=0
commands=$($ctl help --json | sed -n 's/^      "name": "\(.*\)",$/\1/p')
[ "$(echo "$commands" | wc -l)" -ge 16 ] || bad=1
for c in $commands; do
	$ctl help "$c" | grep -q '^Usage: gpufasctl' || { bad=1; echo "# no help: $c"; }
	[ "$($ctl help "$c" | awk 'length > 130' | wc -l)" = 0 ] || { bad=1; echo "# long lines: $c"; }
done
is "every command has help" $bad 0

long_options() { $ctl help "$1" | sed -n 's/^  \(-., \|    \)--\([a-z-]*\).*/--\2/p' | sort; }
bash_words()
{
	bash -c '. dist/completion/gpufasctl.bash; COMP_WORDS=(gpufasctl "$@"); COMP_CWORD=$#; _gpufasctl 2>/dev/null; printf "%s\n" "${COMPREPLY[@]}"' x "$@" | sort
}
bad=0
is "bash completes the commands" "$(bash_words '' | grep -v '^-')" "$(echo "$commands" | sort)"
for c in $commands; do
	[ "$(bash_words "$c" -)" = "$(long_options "$c")" ] || { bad=1; echo "# $c: bash has" $(bash_words "$c" -) "not" $(long_options "$c"); }
done
is "bash completes each command's options" $bad 0
bad=0
for c in $commands; do
	# that command's part of the zsh file, with the lists it refers to
	part=$(sed -n "/^\t\t[a-z|]*\b$c\b[a-z|]*)\$/,/;;/p" dist/completion/_gpufasctl)
	[ -n "$part" ] || { bad=1; echo "# $c: not in the zsh file"; continue; }
	[[ $part == *'$daemon'* ]] && part+=" --socket --json"
	[[ $part == *'$kind'* ]] && part+=" --target"
	[[ $part == *'$ram'* ]] && part+=" --ram"
	[[ $part == *'$common'* ]] && part+=" --help --color"
	zsh_has=$(grep -oE -e '--[a-z]+(-[a-z]+)*' <<<"$part" | sort -u)
	[ "$zsh_has" = "$(long_options "$c")" ] || { bad=1; echo "# $c: zsh has" $zsh_has "not" $(long_options "$c"); }
done
is "zsh completes each command's options" $bad 0

start_fake
PATH=$(cd "$BUILD" && pwd):$PATH
is "bash completes rules" "$(bash_words explain lo)" "low-memory"
is "bash completes targets" "$(bash_words signal '')" "host"
is "bash completes signals" "$(bash_words signal host 5 SIGKI)$(bash_words signal host 5 KI)" "SIGKILLKILL"
is "bash completes roads" "$(bash_words signal --road m)" "mailbox"
is "bash completes processes" "$(bash_words signal host 77)" "777"
is "bash completes fields" "$(bash_words ps --sort rs)" "rss"
plan
