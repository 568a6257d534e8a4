/* SPDX-License-Identifier: MIT
 *
 * The table of commands. Usage, completion tests and dispatch all read it.
 */
#include "ctl/ctl.h"

#define END { .name = NULL }
#define OPTS(...) .opts = (const struct gf_ctl_opt[]){ __VA_ARGS__, END }
#define OPT(id_, name_, letter_, arg_, help_) \
	{ .id = (id_), .name = (name_), .letter = (letter_), .arg = (arg_), .help = (help_) }

#define OPT_TARGET_KIND OPT(GF_O_TARGET, "target", 't', "KIND", "for a target of this kind: host (default), vm, image, trace")
#define OPT_RAM OPT(GF_O_RAM, "ram", 0, "FILE|QMP", "look kernel paths up in this guest's memory: a QMP socket, a RAM file, a dump")
#define OPT_TARGET_NAME OPT(GF_O_TARGET, "target", 't', "NAME", "this target of the daemon's (default: the first)")
#define OPT_PERIOD OPT(GF_O_PERIOD, "period", 0, "TIME", "the period to warn about too short holds for (default 100ms)")
#define OPT_RAM_FILE OPT(GF_O_RAM, "ram", 0, "FILE", "without a daemon: the memory in this file (a raw RAM file, or an ELF core)")
#define OPT_LAYOUT OPT(GF_O_LAYOUT, "layout", 'l', "GPA:SIZE@OFFSET,...", "where the pieces of a RAM file are in the guest (default: found out)")
#define OPT_FORCE OPT(GF_O_FORCE, "force", 0, NULL, "write over a file that is there already")
#define OPT_RECORDING OPT(GF_O_OUTPUT, "output", 'o', "FILE.gft", "the recording to write")
#define OPT_STRICT OPT(GF_O_STRICT, "strict", 0, NULL, "warnings count as errors")

const struct gf_ctl_opt gf_ctl_common[] = {
	OPT(GF_O_HELP, "help", 'h', NULL, "show this"),
	OPT(GF_O_COLOR, "color", 0, "WHEN", "auto (default), always or never; NO_COLOR is honoured"),
	OPT(GF_O_JSON, "json", 0, NULL, "print JSON"),
	OPT(GF_O_SOCKET, "socket", 0, "PATH", "the daemon's control socket (default: $GPUFAS_SOCKET, or /run/gpufas/control.sock)"),
	END,
};

const struct gf_ctl_cmd gf_ctl_cmds[] = {
	{ .name = "check", .args = "FILE|DIR...", .run = gf_cmd_check, .min_args = 1, .max_args = -1, .json = true,
	  .summary = "check policies without loading them",
	  .help = "All files given are checked together, as one policy, in the order given; a\n"
		  "directory stands for its *.policy files in lexical order, which is how gpufasd\n"
		  "reads /etc/gpufas/policy.d. `-` is standard input. Exits 1 when there are errors.\n",
	  OPTS(OPT_TARGET_KIND, OPT_RAM, OPT_STRICT, OPT_PERIOD) },
	{ .name = "compile", .args = "FILE|DIR... -o OUT.gfb", .run = gf_cmd_compile, .min_args = 1, .max_args = -1,
	  .summary = "compile policies to an image",
	  .help = "All files given become one image. Nothing is written when there are errors.\n",
	  OPTS(OPT(GF_O_OUTPUT, "output", 'o', "OUT.gfb", "the image to write; - is standard output"),
	       OPT_TARGET_KIND, OPT_RAM, OPT_STRICT, OPT_PERIOD) },
	{ .name = "disasm", .args = "OUT.gfb|FILE.policy...", .run = gf_cmd_disasm, .min_args = 0, .max_args = -1,
	  .summary = "show what a policy was compiled to",
	  .help = "An image is verified first and shown only if an engine would run it. Policy\n"
		  "files are compiled, as one policy, and shown.\n",
	  OPTS(OPT_TARGET_KIND, OPT(GF_O_OPCODES, "opcodes", 0, NULL, "print the table of opcodes instead")) },
	{ .name = "fmt", .args = "FILE...", .run = gf_cmd_fmt, .min_args = 1, .max_args = -1,
	  .summary = "print policies in one canonical form",
	  .help = "Comments are kept. `-` is standard input.\n",
	  OPTS(OPT(GF_O_WRITE, "write", 'w', NULL, "rewrite the files that differ"),
	       OPT(GF_O_CHECK, "check", 0, NULL, "only name the files that differ; exit 1 if there are any")) },
	{ .name = "fields", .args = "[FIELD...|PATH...]", .run = gf_cmd_fields, .min_args = 0, .max_args = -1, .json = true, .daemon = true,
	  .summary = "list the fields that a policy can name",
	  .help = "With arguments only fields whose names contain one of them. With --ram, or with\n"
		  "a target's name, arguments that are kernel paths, such as task->mm, are shown with what\n"
		  "may follow them in that kernel.\n",
	  OPTS(OPT_RAM, OPT(GF_O_TARGET, "target", 't', "KIND|NAME", "only fields of this kind of target (host, vm, image, trace, kmod), or of this target"),
	       OPT(GF_O_MAN, "man", 0, NULL, "print the sections of gpufas-fields(7), as scdoc source")) },
	{ .name = "probe", .args = "RAM|CORE|QMP", .run = gf_cmd_probe, .min_args = 1, .max_args = 1, .json = true,
	  .summary = "look for a kernel in a guest's memory or a dump, and tell what could be done with it",
	  .help = "RAM is the file that a guest's memory is in, CORE an ELF core of it (QEMU's\n"
		  "dump-guest-memory, kdump), QMP the socket of a running QEMU. Nothing is written.\n"
		  "Exits 1 when there is no kernel that can be read, or something is missing.\n",
	  OPTS(OPT_LAYOUT) },
	{ .name = "dry-run", .args = "FILE|DIR... --ram FILE", .run = gf_cmd_dry_run, .min_args = 1, .max_args = -1, .json = true,
	  .summary = "say what a policy would do on a machine whose memory is in a file",
	  .help = "Ticks on that one moment, as if all stayed as it was, and says what happens and\n"
		  "why, as `events` does. Nothing is written. With --json each event is one line.\n",
	  OPTS(OPT_RAM_FILE, OPT_LAYOUT, OPT(GF_O_FOR, "for", 0, "TIME", "for so long (default 60s; it takes no such time)"),
	       OPT(GF_O_PERIOD, "period", 0, "TIME", "between two ticks (default 100ms)")) },
	{ .name = "test", .args = "FILE.yaml...", .run = gf_cmd_test, .min_args = 1, .max_args = -1, .json = true,
	  .summary = "run unit tests of policies",
	  .help = "The files are as gpufas-test(5) says. Exits 1 when a test fails, or a file or a\n"
		  "policy has errors.\n",
	  OPTS(OPT(GF_O_RUN, "run", 0, "REGEX", "only tests whose name matches"),
	       OPT(GF_O_JUNIT, "junit", 0, "FILE", "write the results as JUnit's XML, too; - is standard output"),
	       OPT(GF_O_COVERAGE, "coverage", 0, NULL, "say which rules, steps and branches no test has looked at"),
	       OPT(GF_O_MINIMUM, "minimum", 0, "PERCENT", "fail unless all rules have fired and so many branches were seen")) },
	{ .name = "simulate", .args = "POLICY... --trace FILE...", .run = gf_cmd_simulate, .min_args = 1, .max_args = -1, .json = true,
	  .summary = "say what a policy would have done over a recording, and why",
	  .help = "POLICY is a file or a directory, as for `check`; all given are one policy. Arguments\n"
		  "that end in .gft are recordings, as with --trace; several are replayed in the order given.\n"
		  "Actions have effects: who is killed leaves, and its memory and CPU time come back. What\n"
		  "is assumed is printed. Exits 1 when a rule cannot be judged by what was recorded.\n",
	  OPTS(OPT(GF_O_TRACE, "trace", 0, "FILE", "a recording (repeatable)"),
	       OPT(GF_O_AGAINST, "against", 0, "POLICY,...", "another policy, side by side with the first (repeatable)"),
	       OPT(GF_O_COUNTERFACTUAL, "counterfactual", 0, NULL, "actions have effects (default)"),
	       OPT(GF_O_AS_RECORDED, "as-recorded", 0, NULL, "actions have no effect but what the recording shows"),
	       OPT(GF_O_WHAT_IF, "what-if", 0, "FIELD=VALUE", "on another machine: mem.total=8GiB, mem.total=*0.5, swap.total=0 (repeatable)"),
	       OPT(GF_O_ASSUME, "assume", 0, "WHAT=HOW", "kill=TIME, term=TIME|never, children=go|stay, psi=recorded|unknown (repeatable)"),
	       OPT(GF_O_FROM, "from", 0, "TIME", "from here: 90s or 10min into the recording, -5min before its end, or a time of day"),
	       OPT(GF_O_TO, "to", 0, "TIME", "up to here"),
	       OPT(GF_O_SPEED, "speed", 0, "N", "at N times real time, to watch (default: as fast as it goes)"),
	       OPT(GF_O_SWEEP, "sweep", 0, "NAME=RANGE", "try a number with other values: low-memory.threshold=2%..10%/1% (repeatable)"),
	       OPT(GF_O_ENGINE, "engine", 0, "KIND", "runs a sweep on the CPUs or on all GPUs: cpu, gpu, emu (an emulated one) or auto"),
	       OPT(GF_O_MEMORY, "memory", 0, "SIZE", "that a sweep's recording may take up; more of it goes by in windows (default: half of what is free)"),
	       OPT(GF_O_APART, "apart", 0, NULL, "sweeps over each recording by itself, not over all as one"),
	       OPT(GF_O_NUMBERS, "numbers", 0, NULL, "list the numbers of the policy by the names that --sweep takes"),
	       OPT(GF_O_PRESSURE, "pressure", 0, "CONDITION", "what counts as being under pressure (default: mem.available < 10%)"),
	       OPT(GF_O_BUDGET, "budget", 0, "N/TIME", "as in gpufas.yaml (default: as recorded, or 10/1min)"),
	       OPT(GF_O_EXPLAIN, "explain", 'e', NULL, "each event in full, and each rule's nearest moment"),
	       OPT(GF_O_HTML, "html", 0, "FILE", "a report to look at, in one page"),
	       OPT(GF_O_SVG, "svg", 0, "FILE", "one chart"),
	       OPT(GF_O_CHART, "chart", 0, "NAME", "which chart --svg is of (default: the first)"), OPT_TARGET_KIND) },
	{ .name = "record", .args = "-o FILE.gft [POLICY...]", .run = gf_cmd_record, .min_args = 0, .max_args = -1, .json = true, .daemon = true,
	  .summary = "record samples, to try policies on later",
	  .help = "Of this machine, without the daemon; with --target of one of the daemon's targets;\n"
		  "with --ram of a guest. Ends after --for, or at Ctrl-C; what has been recorded is in\n"
		  "the file at any time, whatever happens. `trace FILE` shows what is in it.\n"
		  "Of a guest kernel paths can be recorded, too: those that a POLICY reads (with\n"
		  "--target also those of the daemon's), and --paths.\n",
	  OPTS(OPT_RECORDING, OPT(GF_O_FOR, "for", 0, "TIME", "for so long (default: until Ctrl-C)"),
	       OPT(GF_O_INTERVAL, "interval", 'i', "TIME", "between two samples (default 1s)"),
	       OPT(GF_O_FIELDS, "fields", 0, "F,F,...", "only these fields, or groups such as psi (default: all)"),
	       OPT(GF_O_PATHS, "paths", 0, "P,P,...", "of a guest also these kernel paths, such as 'task->mm->map_count'"),
	       OPT(GF_O_TARGET, "target", 't', "NAME", "this target of the daemon's"),
	       OPT(GF_O_RAM, "ram", 0, "FILE|QMP", "a guest: its QMP socket or its RAM file"), OPT_LAYOUT, OPT_FORCE) },
	{ .name = "import", .args = "--from KIND -o FILE.gft FILE|-", .run = gf_cmd_import, .min_args = 0, .max_args = 1, .json = true,
	  .summary = "make a recording of what another tool has written",
	  .help = "Lines that cannot be read are named (file:line: why) and left out; then it exits 1.\n"
		  "--list shows the kinds, and which fields each can give.\n",
	  OPTS(OPT(GF_O_FROM, "from", 0, "KIND", "atop, pidstat, node-exporter, csv or jsonl"), OPT_RECORDING, OPT_FORCE,
	       OPT(GF_O_TARGET, "target", 't', "NAME", "what the machine is called in the recording (default this-machine)"),
	       OPT(GF_O_LIST, "list", 0, NULL, "show the kinds, and the fields of each")) },
	{ .name = "trace", .args = "FILE.gft...", .run = gf_cmd_trace, .min_args = 1, .max_args = -1, .json = true,
	  .summary = "show what is in recordings, and whether they are whole",
	  .help = "Reads them from end to end. Exits 1 when one is damaged.\n",
	  OPTS(OPT(GF_O_DUMP, "dump", 0, NULL, "print their samples, each a line of JSON, as `import --from jsonl` takes them"),
	       OPT(GF_O_SIZES, "sizes", 0, NULL, "show what their bytes are for")) },
	{ .name = "reload", .args = "", .run = gf_cmd_reload, .min_args = 0, .max_args = 0, .json = true, .daemon = true,
	  .summary = "have the daemon read its policies again",
	  .help = "On any error the policy in force stays in force, and the errors are shown.\n" },
	{ .name = "status", .args = "", .run = gf_cmd_status, .min_args = 0, .max_args = 0, .json = true, .daemon = true,
	  .summary = "show how the daemon is, its targets and its rules" },
	{ .name = "ps", .args = "", .run = gf_cmd_ps, .min_args = 0, .max_args = 0, .json = true, .daemon = true,
	  .summary = "list the processes of a target as the rules see them",
	  .help = "A - is a value that is not known for this process, or not yet.\n",
	  OPTS(OPT(GF_O_SORT, "sort", 's', "FIELD", "largest first; -FIELD: smallest first (default rss)"),
	       OPT(GF_O_COLUMNS, "columns", 'o', "F,F,...", "these fields, or `all` that are sampled"),
	       OPT(GF_O_LAST, "lines", 'n', "N", "at most N processes"), OPT_TARGET_NAME, OPT_RAM_FILE, OPT_LAYOUT) },
	{ .name = "top", .args = "", .run = gf_cmd_top, .min_args = 0, .max_args = 0, .daemon = true,
	  .summary = "watch rules and processes on a live screen",
	  .help = "Press h on the screen for its keys.\n",
	  OPTS(OPT(GF_O_DELAY, "delay", 'd', "SECONDS", "between two looks (default 1, at least 0.1)"),
	       OPT(GF_O_ONCE, "once", 'b', NULL, "print one screen as text ($COLUMNS by $LINES) and end"),
	       OPT(GF_O_SORT, "sort", 's', "FIELD", "sort processes by this column first (default cpu)"), OPT_TARGET_NAME) },
	{ .name = "events", .args = "", .run = gf_cmd_events, .min_args = 0, .max_args = 0, .json = true, .daemon = true,
	  .summary = "show what happened, one sentence a line",
	  .help = "With --json each event is one line. `explain NUMBER` tells more about one.\n",
	  OPTS(OPT(GF_O_FOLLOW, "follow", 'f', NULL, "go on with events as they happen, over restarts of the daemon"),
	       OPT(GF_O_LAST, "lines", 'n', "N", "the last N events (default 20)"),
	       OPT(GF_O_RULE, "rule", 'r', "RULE", "only this rule's"),
	       OPT(GF_O_TARGET, "target", 't', "NAME", "only this target's")) },
	{ .name = "explain", .args = "EVENT|RULE", .run = gf_cmd_explain, .min_args = 1, .max_args = 1, .json = true, .daemon = true,
	  .summary = "say why an event happened, or how close a rule is",
	  .help = "EVENT is the number that `events` shows.\n",
	  OPTS(OPT(GF_O_TARGET, "target", 't', "NAME", "the rule of this target (default: the first that has it)")) },
	{ .name = "signal", .args = "TARGET PID SIGNAL", .run = gf_cmd_signal, .min_args = 3, .max_args = 3, .json = true, .daemon = true,
	  .summary = "send a signal through the daemon, under its guards",
	  .help = "What the daemon never touches (pid 1, kernel threads, itself) it does not\n"
		  "touch for this command either.\n",
	  OPTS(OPT(GF_O_ROAD, "road", 0, "ROAD", "auto (default), call, mailbox (the kernel module's), in a guest also store, irq-work")) },
	{ .name = "observe", .args = "on|off", .run = gf_cmd_observe, .min_args = 1, .max_args = 1, .json = true, .daemon = true,
	  .summary = "switch observe mode: rules report what they would do and do nothing",
	  .help = "Targets whose own mode in gpufas.yaml is observe go on observing unless named.\n",
	  OPTS(OPT(GF_O_TARGET, "target", 't', "NAME", "only for this target")) },
	{ .name = "metrics", .args = "", .run = gf_cmd_metrics, .min_args = 0, .max_args = 0, .json = true, .daemon = true,
	  .summary = "print the daemon's figures in Prometheus' text format" },
	{ .name = "help", .args = "[COMMAND]", .run = gf_cmd_help, .min_args = 0, .max_args = 1, .json = true,
	  .summary = "show this, or help on one command" },
	{ .name = "version", .args = "", .run = gf_cmd_version, .min_args = 0, .max_args = 0, .json = true,
	  .summary = "show the version" },
	{ .name = NULL },
};
