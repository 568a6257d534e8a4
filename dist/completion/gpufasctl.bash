# SPDX-License-Identifier: MIT
# bash completion for gpufasctl

_gpufasctl_names()
{
	# names of rules or targets from the daemon, if it can be asked
	gpufasctl "$@" --json 2>/dev/null
}

_gpufasctl_rules()
{
	_gpufasctl_names status | sed -n '/^  "rules":/,$s/^      "name": "\(.*\)",\{0,1\}$/\1/p'
}

_gpufasctl_targets()
{
	_gpufasctl_names status | sed -n '/^  "targets":/,/^  \]/s/^      "name": "\(.*\)",\{0,1\}$/\1/p'
}

_gpufasctl_fields()
{
	gpufasctl fields --target host 2>/dev/null | awk 'NR > 1 && $2 == "task" { print $1 }'
}

# Fields after the last comma of what is typed.
_gpufasctl_columns()
{
	local last=${1##*,}
	COMPREPLY=($(compgen -P "${1%"$last"}" -W "all $(_gpufasctl_fields)" -- "$last"))
}

_gpufasctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd='' args=0 i
	local common='--help --color' daemon='--json --socket'
	local commands='check compile disasm fmt fields probe dry-run simulate test record import trace reload status ps top events explain signal observe metrics help version'
	local words=''

	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--socket|--color|--target|--period|--output|--sort|--columns|--lines|--rule|--delay|--ram|--layout|--for|--interval|--fields|--from|-i|--run|--junit|--minimum|--trace|--against|--what-if|--assume|--to|--speed|--sweep|--engine|--road|--memory|--pressure|--budget|--html|--svg|--chart|-l|-o|-t|-s|-n|-r|-d)
			((i++)) ;;
		-*) ;;
		*)
			if [[ -z $cmd ]]; then cmd=${COMP_WORDS[i]}; else ((args++)); fi ;;
		esac
	done

	case $prev in
	--socket) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
	--ram) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
	--color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
	--period) COMPREPLY=($(compgen -W '10ms 100ms 1s' -- "$cur")); return ;;
	--target|-t)
		case $cmd in
		fields) words="host vm image trace kmod $(_gpufasctl_targets)" ;;
		ps|top|events|explain|observe|record) words=$(_gpufasctl_targets) ;;
		import) return ;;
		*) words='host vm image trace' ;;
		esac
		COMPREPLY=($(compgen -W "$words" -- "$cur")); return ;;
	--output) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
	-o)
		if [[ $cmd == ps ]]; then
			_gpufasctl_columns "$cur"
		else
			compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur"))
		fi
		return ;;
	--columns) _gpufasctl_columns "$cur"; return ;;
	--sort|-s)
		if [[ $cmd == top ]]; then
			words='pid uid comm state cpu rss swap cputime age threads nice oom_score_adj'
		else
			words=$(_gpufasctl_fields)
		fi
		COMPREPLY=($(compgen -W "$words" -- "$cur")); return ;;
	--rule|-r)
		if [[ $cmd == events ]]; then
			COMPREPLY=($(compgen -W "$(_gpufasctl_rules)" -- "$cur")); return
		fi ;;
	--lines|-n|--delay|-d|--layout)
		return ;;
	--junit) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
	--minimum|--run) return ;;
	--interval|-i) COMPREPLY=($(compgen -W '100ms 1s 10s' -- "$cur")); return ;;
	--from)
		[[ $cmd == simulate ]] || COMPREPLY=($(compgen -W 'atop pidstat node-exporter csv jsonl' -- "$cur"))
		return ;;
	--fields) _gpufasctl_columns "$cur"; return ;;
	--trace|--against|--html|--svg) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
	--assume) COMPREPLY=($(compgen -W 'kill=0s term=1s term=never children=go children=stay psi=recorded psi=unknown' -- "$cur")); return ;;
	--what-if) COMPREPLY=($(compgen -W 'mem.total= swap.total= cpu.count=' -- "$cur")); return ;;
	--sweep)
		words=$(gpufasctl simulate --numbers "${COMP_WORDS[@]:2:COMP_CWORD-3}" 2>/dev/null | awk '{ print $1 "=" }')
		COMPREPLY=($(compgen -W "$words" -- "$cur")); return ;;
	--road) COMPREPLY=($(compgen -W 'auto call mailbox store irq-work' -- "$cur")); return ;;
	--engine) COMPREPLY=($(compgen -W 'cpu gpu emu auto' -- "$cur")); return ;;
	--to|--speed|--pressure|--budget|--chart|--paths) return ;;
	--for) COMPREPLY=($(compgen -W '1s 60s 10min' -- "$cur")); return ;;
	esac

	if [[ -z $cmd ]]; then
		COMPREPLY=($(compgen -W "$commands --help --version --color --socket" -- "$cur"))
		return
	fi
	if [[ $cur == -* ]]; then
		case $cmd in
		check) words="$common --json --target --ram --strict --period" ;;
		compile) words="$common --output --target --ram --strict --period" ;;
		disasm) words="$common --target --opcodes" ;;
		fmt) words="$common --write --check" ;;
		fields) words="$common $daemon --ram --target --man" ;;
		probe) words="$common --json --layout" ;;
		dry-run) words="$common --json --ram --layout --for --period" ;;
		simulate) words="$common --json --trace --against --counterfactual --as-recorded --what-if --assume --from --to --speed --sweep --engine --memory --apart"
			words+=" --numbers --pressure --budget --explain --html --svg --chart --target" ;;
		test) words="$common --json --run --junit --coverage --minimum" ;;
		record) words="$common $daemon --output --for --interval --fields --paths --target --ram --layout --force" ;;
		import) words="$common --json --from --output --force --target --list" ;;
		trace) words="$common --json --dump --sizes" ;;
		reload|status|metrics) words="$common $daemon" ;;
		signal) words="$common $daemon --road" ;;
		explain|observe) words="$common $daemon --target" ;;
		ps) words="$common $daemon --sort --columns --lines --target --ram --layout" ;;
		top) words="$common --socket --delay --once --sort --target" ;;
		events) words="$common $daemon --follow --lines --rule --target" ;;
		help|version) words="$common --json" ;;
		esac
		COMPREPLY=($(compgen -W "$words" -- "$cur"))
		return
	fi
	case $cmd in
	check|compile|fmt|dry-run)
		compopt -o filenames
		COMPREPLY=($(compgen -f -X '!*.policy' -- "$cur") $(compgen -d -- "$cur")) ;;
	simulate)
		compopt -o filenames
		COMPREPLY=($(compgen -f -X '!*.@(policy|gft)' -- "$cur") $(compgen -d -- "$cur")) ;;
	disasm)
		compopt -o filenames
		COMPREPLY=($(compgen -f -X '!*.@(policy|gfb)' -- "$cur") $(compgen -d -- "$cur")) ;;
	test)
		compopt -o filenames
		COMPREPLY=($(compgen -f -X '!*.@(yaml|yml)' -- "$cur") $(compgen -d -- "$cur")) ;;
	trace)
		compopt -o filenames
		COMPREPLY=($(compgen -f -X '!*.gft' -- "$cur") $(compgen -d -- "$cur")) ;;
	record)
		compopt -o filenames
		COMPREPLY=($(compgen -f -X '!*.policy' -- "$cur") $(compgen -d -- "$cur")) ;;
	import) ((args == 0)) && { compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); } ;;
	probe) ((args == 0)) && { compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); } ;;
	explain) ((args == 0)) && COMPREPLY=($(compgen -W "$(_gpufasctl_rules)" -- "$cur")) ;;
	observe) ((args == 0)) && COMPREPLY=($(compgen -W 'on off' -- "$cur")) ;;
	help) ((args == 0)) && COMPREPLY=($(compgen -W "$commands" -- "$cur")) ;;
	signal)
		case $args in
		0) COMPREPLY=($(compgen -W "$(_gpufasctl_targets)" -- "$cur")) ;;
		1) COMPREPLY=($(compgen -W "$(gpufasctl ps --columns pid 2>/dev/null | tail -n +2)" -- "$cur")) ;;
		2)
			words=$(compgen -A signal -- SIG)
			COMPREPLY=($(compgen -W "$words" -- "$cur"))
			# as `kill` does, without SIG as well
			((${#COMPREPLY[@]})) || COMPREPLY=($(compgen -W "${words//SIG/}" -- "$cur")) ;;
		esac ;;
	esac
	return 0
}

complete -F _gpufasctl gpufasctl
