/* SPDX-License-Identifier: MIT
 *
 * A command's options through getopt_long, with complaints of our own.
 */
#include "ctl/ctl.h"

#include <getopt.h>
#include <string.h>

#define MAX_OPTS 32

/* A command's own options and those common ones that it takes. */
static size_t collect(const struct gf_ctl_cmd *cmd, const struct gf_ctl_opt *list[MAX_OPTS])
{
	size_t n = 0;

	for (const struct gf_ctl_opt *o = cmd->opts; o && o->name && n < MAX_OPTS; o++)
		list[n++] = o;
	for (const struct gf_ctl_opt *o = gf_ctl_common; o->name && n < MAX_OPTS; o++) {
		if ((o->id == GF_O_JSON && !cmd->json) || (o->id == GF_O_SOCKET && !cmd->daemon))
			continue;
		list[n++] = o;
	}
	return n;
}

static int unknown_option(const struct gf_ctl *ctl, const char *word, const struct gf_ctl_opt *const *list, size_t n)
{
	const char *names[MAX_OPTS], *near;
	char bare[64];

	if (word[0] != '-' || word[1] != '-')
		return gf_ctl_misuse(ctl, "%s has no option `%s`", ctl->cmd->name, word);
	snprintf(bare, sizeof bare, "%.*s", (int)strcspn(word + 2, "="), word + 2);
	for (size_t i = 0; i < n; i++)
		names[i] = list[i]->name;
	near = gf_nearest(bare, names, n);
	if (near)
		return gf_ctl_misuse(ctl, "%s has no option `--%s`; did you mean `--%s`?", ctl->cmd->name, bare, near);
	return gf_ctl_misuse(ctl, "%s has no option `--%s`", ctl->cmd->name, bare);
}

/* getopt reports by what it returns and where it stands; say it in a sentence. */
static int complain(const struct gf_ctl *ctl, int c, char **argv, const struct gf_ctl_opt *const *list, size_t n)
{
	const char *word = argv[optind - 1];
	char shown[3] = { '-', (char)optopt, 0 };

	if (c == ':') {
		if (optopt >= 256) {
			const struct gf_ctl_opt *o = list[optopt - 256];
			return gf_ctl_misuse(ctl, "--%s needs %s", o->name, o->arg);
		}
		return gf_ctl_misuse(ctl, "%s needs an argument", shown);
	}
	if (optopt >= 256)
		return gf_ctl_misuse(ctl, "--%s takes no argument", list[optopt - 256]->name);
	if (optopt)
		return unknown_option(ctl, shown, list, n);
	return unknown_option(ctl, word, list, n);
}

int gf_ctl_parse(struct gf_ctl *ctl, int argc, char **argv)
{
	const struct gf_ctl_opt *list[MAX_OPTS];
	struct option longs[MAX_OPTS + 1];
	char shorts[2 * MAX_OPTS + 2];
	size_t n = collect(ctl->cmd, list), s = 0;
	int c;

	memset(longs, 0, sizeof longs);
	shorts[s++] = ':';
	for (size_t i = 0; i < n; i++) {
		longs[i] = (struct option){ list[i]->name, list[i]->arg ? required_argument : no_argument, NULL,
					    256 + (int)i };
		if (list[i]->letter) {
			shorts[s++] = list[i]->letter;
			if (list[i]->arg)
				shorts[s++] = ':';
		}
	}
	shorts[s] = 0;
	optind = 0; /* GNU: start afresh (the unit tests parse many times) */
	opterr = 0;
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const struct gf_ctl_opt *o = NULL;
		for (size_t i = 0; i < n; i++)
			if (c == 256 + (int)i || (list[i]->letter && c == list[i]->letter))
				o = list[i];
		if (!o)
			return complain(ctl, c, argv, list, n);
		ctl->val[o->id] = o->arg ? optarg : "";
		if (!o->arg)
			continue;
		if (ctl->givens == GF_CTL_GIVEN)
			return gf_ctl_misuse(ctl, "more than %d options", GF_CTL_GIVEN);
		ctl->given[ctl->givens].id = o->id;
		ctl->given[ctl->givens++].val = optarg;
	}
	ctl->arg = argv + optind;
	ctl->args = argc - optind;
	return 0;
}
