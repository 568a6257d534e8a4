/* SPDX-License-Identifier: MIT
 *
 * gpufasctl: what its commands share. A command is an entry of gf_ctl_cmds; it
 * gets its parsed options and arguments in a struct gf_ctl and returns an exit
 * code.
 */
#ifndef GPUFAS_CTL_H
#define GPUFAS_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "compiler/compiler.h"
#include "gpufas/err.h"

enum gf_exit {
	GF_EXIT_OK = 0,
	GF_EXIT_NO = 1,          /* the answer is no: a policy with errors, a request refused */
	GF_EXIT_USAGE = 2,
	GF_EXIT_UNREACHABLE = 3, /* no daemon, or none that answers */
};

enum gf_ctl_option {
	GF_O_HELP, GF_O_JSON, GF_O_SOCKET, GF_O_COLOR,
	GF_O_TARGET, GF_O_RAM, GF_O_STRICT, GF_O_PERIOD, GF_O_OUTPUT, GF_O_OPCODES, GF_O_WRITE, GF_O_CHECK, GF_O_MAN,
	GF_O_SORT, GF_O_COLUMNS, GF_O_LAST, GF_O_FOLLOW, GF_O_RULE, GF_O_DELAY, GF_O_ONCE,
	GF_O_LAYOUT, GF_O_FOR,
	GF_O_RUN, GF_O_JUNIT, GF_O_COVERAGE, GF_O_MINIMUM,
	GF_O_TRACE, GF_O_AGAINST, GF_O_AS_RECORDED, GF_O_COUNTERFACTUAL, GF_O_WHAT_IF, GF_O_ASSUME, GF_O_FROM, GF_O_TO, GF_O_SPEED,
	GF_O_SWEEP, GF_O_ENGINE, GF_O_MEMORY, GF_O_APART, GF_O_NUMBERS, GF_O_PRESSURE, GF_O_HTML, GF_O_SVG, GF_O_CHART, GF_O_EXPLAIN, GF_O_BUDGET,
	GF_O_INTERVAL, GF_O_FIELDS, GF_O_PATHS, GF_O_FORCE, GF_O_LIST, GF_O_DUMP, GF_O_SIZES, GF_O_ROAD,
	GF_O_COUNT
};

/* One option of a command. A list ends with a NULL name. */
struct gf_ctl_opt {
	const char *name; /* long name */
	const char *arg;  /* what its argument is called, NULL: it takes none */
	const char *help;
	enum gf_ctl_option id;
	char letter;      /* or 0 */
};

struct gf_ctl;

struct gf_ctl_cmd {
	const char *name;
	const char *args;    /* arguments, as usage shows them */
	const char *summary; /* one line */
	const char *help;    /* paragraphs, or NULL */
	const struct gf_ctl_opt *opts;
	int min_args, max_args; /* max_args < 0: any number */
	bool json;           /* takes --json */
	bool daemon;         /* talks to the daemon: takes --socket */
	int (*run)(struct gf_ctl *ctl);
};

#define GF_CTL_GIVEN 64

struct gf_ctl {
	const struct gf_ctl_cmd *cmd;
	const char *val[GF_O_COUNT]; /* an option's argument, "" for one without, NULL when not given */
	/* All options with an argument, in the order given: for those that may be given more than once. */
	struct { enum gf_ctl_option id; const char *val; } given[GF_CTL_GIVEN];
	size_t givens;
	char **arg;
	int args;
	bool json, colour;
	const char *socket;
};

/* Every command, by family; ends with a NULL name. */
extern const struct gf_ctl_cmd gf_ctl_cmds[];
/* Options that every command takes; --json and --socket only where the command does. */
extern const struct gf_ctl_opt gf_ctl_common[];

const struct gf_ctl_cmd *gf_ctl_cmd_find(const char *name);

/* The whole program: parses, runs, returns the exit code. */
int gf_ctl_main(int argc, char **argv);

/* Parses argv (argv[0] is the command's name) by ctl->cmd's options into ctl.
 * 0, or GF_EXIT_USAGE with the complaint printed to stderr. */
int gf_ctl_parse(struct gf_ctl *ctl, int argc, char **argv);
/* Prints usage of one command. */
void gf_ctl_usage(const struct gf_ctl_cmd *cmd, FILE *out);

/* "gpufasctl: sentence" on stderr; returns code. */
__attribute__((format(printf, 2, 3)))
int gf_ctl_fail(int code, const char *fmt, ...);
/* The same for usage mistakes: adds where help is to be had. Returns GF_EXIT_USAGE. */
__attribute__((format(printf, 2, 3)))
int gf_ctl_misuse(const struct gf_ctl *ctl, const char *fmt, ...);

/* Prints JSON on stdout, ending in a newline. */
void gf_ctl_json(const json_t *j, bool one_line);

/* Number in s, all of it, within [lo, hi]. false otherwise. */
bool gf_ctl_number(const char *s, double lo, double hi, double *ret);

/* Policies: cmd_policy.c. */
int gf_cmd_check(struct gf_ctl *ctl);
int gf_cmd_compile(struct gf_ctl *ctl);
int gf_cmd_disasm(struct gf_ctl *ctl);
int gf_cmd_fmt(struct gf_ctl *ctl);
int gf_cmd_fields(struct gf_ctl *ctl);
/* Memory: cmd_probe.c. */
int gf_cmd_probe(struct gf_ctl *ctl);
/* The daemon: cmd_daemon.c, cmd_ps.c, cmd_events.c, top.c. */
int gf_cmd_reload(struct gf_ctl *ctl);
int gf_cmd_status(struct gf_ctl *ctl);
int gf_cmd_observe(struct gf_ctl *ctl);
int gf_cmd_signal(struct gf_ctl *ctl);
int gf_cmd_metrics(struct gf_ctl *ctl);
int gf_cmd_ps(struct gf_ctl *ctl);
int gf_cmd_events(struct gf_ctl *ctl);
int gf_cmd_explain(struct gf_ctl *ctl);
int gf_cmd_top(struct gf_ctl *ctl);
/* Memory without a daemon: cmd_dryrun.c. */
int gf_cmd_dry_run(struct gf_ctl *ctl);
/* Policies over made-up machines: cmd_test.c. */
int gf_cmd_test(struct gf_ctl *ctl);
/* Recordings: sim.c. */
int gf_cmd_simulate(struct gf_ctl *ctl);
/* Recordings: cmd_record.c, cmd_trace.c, cmd_import.c. */
int gf_cmd_record(struct gf_ctl *ctl);
int gf_cmd_trace(struct gf_ctl *ctl);
int gf_cmd_import(struct gf_ctl *ctl);
/* About itself: ctl.c. */
int gf_cmd_help(struct gf_ctl *ctl);
int gf_cmd_version(struct gf_ctl *ctl);

#endif
