/* SPDX-License-Identifier: MIT
 *
 * From argv to a command: dispatch, help, and mistakes answered with the
 * nearest right word.
 */
#include "ctl/ctl.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gpufas/control.h"

const struct gf_ctl_cmd *gf_ctl_cmd_find(const char *name)
{
	for (const struct gf_ctl_cmd *c = gf_ctl_cmds; c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

int gf_ctl_fail(int code, const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("gpufasctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

int gf_ctl_misuse(const struct gf_ctl *ctl, const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("gpufasctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	if (ctl && ctl->cmd)
		fprintf(stderr, " (see `gpufasctl help %s`)\n", ctl->cmd->name);
	else
		fputs(" (see `gpufasctl help`)\n", stderr);
	return GF_EXIT_USAGE;
}

void gf_ctl_json(const json_t *j, bool one_line)
{
	json_dumpf(j, stdout, (one_line ? JSON_COMPACT : JSON_INDENT(2)) | JSON_REAL_PRECISION(16));
	putchar('\n');
}

bool gf_ctl_number(const char *s, double lo, double hi, double *ret)
{
	char *end;
	double v;

	if (!*s)
		return false;
	errno = 0;
	v = strtod(s, &end);
	if (errno || *end || isnan(v) || v < lo || v > hi)
		return false;
	*ret = v;
	return true;
}

static void print_opt(const struct gf_ctl_opt *o, FILE *out)
{
	char left[64];

	if (o->letter)
		snprintf(left, sizeof left, "-%c, --%s%s%s", o->letter, o->name, o->arg ? " " : "", o->arg ? o->arg : "");
	else
		snprintf(left, sizeof left, "    --%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
	fprintf(out, "  %-24s %s\n", left, o->help);
}

static bool applies(const struct gf_ctl_cmd *cmd, enum gf_ctl_option id)
{
	return (id != GF_O_JSON || cmd->json) && (id != GF_O_SOCKET || cmd->daemon);
}

void gf_ctl_usage(const struct gf_ctl_cmd *cmd, FILE *out)
{
	fprintf(out, "Usage: gpufasctl %s [OPTION...]%s%s\n\n", cmd->name, *cmd->args ? " " : "", cmd->args);
	fprintf(out, "%c%s.\n", cmd->summary[0] - 'a' + 'A', cmd->summary + 1);
	if (cmd->help)
		fprintf(out, "%s", cmd->help);
	fputs("\nOptions:\n", out);
	for (const struct gf_ctl_opt *o = cmd->opts; o && o->name; o++)
		print_opt(o, out);
	for (const struct gf_ctl_opt *o = gf_ctl_common; o->name; o++)
		if (applies(cmd, o->id))
			print_opt(o, out);
}

static void usage(FILE *out)
{
	fputs("Usage: gpufasctl COMMAND [OPTION...] [ARGUMENT...]\n\n"
	      "Checks policies for gpufasd and talks to the daemon.\n\nCommands:\n", out);
	for (const struct gf_ctl_cmd *c = gf_ctl_cmds; c->name; c++)
		fprintf(out, "  %-9s %s\n", c->name, c->summary);
	fputs("\n`gpufasctl help COMMAND` tells a command's options. Exit codes: 0 done; 1 the\n"
	      "answer is no; 2 wrong usage; 3 the daemon cannot be reached.\n", out);
}

static json_t *opt_json(const struct gf_ctl_opt *o)
{
	char letter[2] = { o->letter, 0 };

	return json_pack("{s:s, s:s*, s:s*, s:s}", "name", o->name, "letter", o->letter ? letter : NULL,
			 "argument", o->arg, "help", o->help);
}

/* The table of commands for programs: completions are tested against it. */
static json_t *cmds_json(void)
{
	json_t *list = json_array();

	for (const struct gf_ctl_cmd *c = gf_ctl_cmds; c->name; c++) {
		json_t *opts = json_array();
		for (const struct gf_ctl_opt *o = c->opts; o && o->name; o++)
			json_array_append_new(opts, opt_json(o));
		for (const struct gf_ctl_opt *o = gf_ctl_common; o->name; o++)
			if (applies(c, o->id))
				json_array_append_new(opts, opt_json(o));
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o}", "name", c->name, "arguments", c->args,
						      "summary", c->summary, "options", opts));
	}
	return json_pack("{s:o}", "commands", list);
}

static int unknown_cmd(const char *word)
{
	const char *names[64];
	const char *near;
	size_t n = 0;

	for (const struct gf_ctl_cmd *c = gf_ctl_cmds; c->name && n < 64; c++)
		names[n++] = c->name;
	near = gf_nearest(word, names, n);
	if (near)
		return gf_ctl_misuse(NULL, "there is no command `%s`; did you mean `%s`?", word, near);
	return gf_ctl_misuse(NULL, "there is no command `%s`", word);
}

int gf_cmd_help(struct gf_ctl *ctl)
{
	const struct gf_ctl_cmd *cmd;

	if (ctl->json) {
		json_t *j = cmds_json();
		gf_ctl_json(j, false);
		json_decref(j);
		return GF_EXIT_OK;
	}
	if (!ctl->args) {
		usage(stdout);
		return GF_EXIT_OK;
	}
	cmd = gf_ctl_cmd_find(ctl->arg[0]);
	if (!cmd)
		return unknown_cmd(ctl->arg[0]);
	gf_ctl_usage(cmd, stdout);
	return GF_EXIT_OK;
}

int gf_cmd_version(struct gf_ctl *ctl)
{
	if (ctl->json) {
		json_t *j = json_pack("{s:s, s:i, s:i}", "version", GF_VERSION, "protocol", GF_CTL_VERSION,
				      "image", (int)GF_IMAGE_VERSION);
		gf_ctl_json(j, true);
		json_decref(j);
	} else {
		printf("gpufasctl %s (protocol %d, image format %u)\n", GF_VERSION, GF_CTL_VERSION, GF_IMAGE_VERSION);
	}
	return GF_EXIT_OK;
}

/* Where the command's word is: options that every command takes may stand
 * before it. Moves it to the front of argv; -1: there is none. */
static int command_first(int argc, char **argv)
{
	int at = 1;

	while (at < argc && argv[at][0] == '-' && argv[at][1]) {
		if (!strcmp(argv[at], "--socket") || !strcmp(argv[at], "--color"))
			at++;
		at++;
	}
	if (at >= argc)
		return -1;
	char *word = argv[at];
	memmove(argv + 2, argv + 1, (size_t)(at - 1) * sizeof *argv);
	argv[1] = word;
	return 0;
}

static int no_command(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-h") || !strcmp(argv[i], "--help")) {
			usage(stdout);
			return GF_EXIT_OK;
		}
		if (!strcmp(argv[i], "-V") || !strcmp(argv[i], "--version")) {
			struct gf_ctl ctl = { .json = false };
			return gf_cmd_version(&ctl);
		}
	}
	if (argc > 1)
		return gf_ctl_misuse(NULL, "no command after `%s`", argv[argc - 1]);
	usage(stderr);
	return GF_EXIT_USAGE;
}

static int choose_colour(struct gf_ctl *ctl)
{
	const char *when = ctl->val[GF_O_COLOR] ? ctl->val[GF_O_COLOR] : "auto";
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	if (!strcmp(when, "always"))
		ctl->colour = true;
	else if (!strcmp(when, "never"))
		ctl->colour = false;
	else if (!strcmp(when, "auto"))
		ctl->colour = isatty(STDOUT_FILENO) && !(no && *no) && !(term && !strcmp(term, "dumb"));
	else
		return gf_ctl_misuse(ctl, "--color is auto, always or never, not `%s`", when);
	return 0;
}

static int run(int argc, char **argv)
{
	struct gf_ctl ctl = { .json = false };
	const char *env = getenv(GF_CTL_SOCKET_ENV);
	int rc;

	if (argc < 2 || command_first(argc, argv) < 0)
		return no_command(argc, argv);
	ctl.cmd = gf_ctl_cmd_find(argv[1]);
	if (!ctl.cmd)
		return unknown_cmd(argv[1]);
	rc = gf_ctl_parse(&ctl, argc - 1, argv + 1);
	if (rc)
		return rc;
	if (ctl.val[GF_O_HELP]) {
		gf_ctl_usage(ctl.cmd, stdout);
		return GF_EXIT_OK;
	}
	rc = choose_colour(&ctl);
	if (rc)
		return rc;
	if (ctl.args < ctl.cmd->min_args || (ctl.cmd->max_args >= 0 && ctl.args > ctl.cmd->max_args)) {
		if (ctl.args > ctl.cmd->max_args && ctl.cmd->max_args >= 0)
			return gf_ctl_misuse(&ctl, "`%s` is one argument too many", ctl.arg[ctl.cmd->max_args]);
		return gf_ctl_misuse(&ctl, "%s needs %s", ctl.cmd->name, ctl.cmd->args);
	}
	ctl.json = ctl.val[GF_O_JSON] != NULL;
	ctl.socket = ctl.val[GF_O_SOCKET] ? ctl.val[GF_O_SOCKET] : env && *env ? env : GF_CTL_SOCKET;
	return ctl.cmd->run(&ctl);
}

int gf_ctl_main(int argc, char **argv)
{
	int rc;

	setlocale(LC_CTYPE, "");
	rc = run(argc, argv);
	/* A full disk under the output must not look like success. */
	if ((fflush(stdout) || ferror(stdout)) && rc == GF_EXIT_OK)
		rc = gf_ctl_fail(GF_EXIT_NO, "the output could not be written: %s", strerror(errno));
	return rc;
}
