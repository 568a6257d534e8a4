/* SPDX-License-Identifier: MIT
 *
 * simulate: policies over recordings, with the engine and the interpreter of the daemon.
 */
#include "ctl/sim.h"

#include <stdlib.h>
#include <string.h>

#include "sim/chain.h"

static int open_traces(struct sim *s)
{
	struct gf_err err = { "" };

	/* With --apart the others come later, one by one. */
	if (gf_chain_open(s->trace, s->ctl->val[GF_O_APART] ? 1 : s->traces, &s->feed, &err))
		return gf_ctl_fail(GF_EXIT_UNREACHABLE, "%s", err.text);
	s->info = &s->feed->info;
	s->kind = s->info->target_kind;
	if (s->kind == GF_TARGET_IMAGE || s->kind == GF_TARGET_TRACE)
		s->kind = GF_TARGET_HOST;
	return s->ctl->val[GF_O_TARGET] ? gf_ctl_target_kind(s->ctl, &s->kind) : 0;
}

static int read_policy(struct sim *s, const char *name, char **arg, int n)
{
	struct sim_policy *p = &s->policy[s->policies];
	int rc;

	if (s->policies == SIM_POLICIES)
		return gf_ctl_misuse(s->ctl, "more than %d policies side by side", SIM_POLICIES);
	p->name = name;
	s->policies++;
	rc = gf_files_read(arg, n, true, &p->files);
	if (!rc)
		rc = sim_compile(s, p->files.src, p->files.n, false, &p->img);
	if (!rc && !p->img->sec[GF_SEC_RULE].count)
		rc = gf_ctl_fail(GF_EXIT_NO, "%s: there is no rule in it%s", name,
				 s->kind == GF_TARGET_HOST ? " for a host; for a guest compile it with --target vm" : " for such a target");
	return rc;
}

/* --against A,B: one policy of several files. */
static int read_against(struct sim *s, const char *list)
{
	char *copy = strdup(list), *save = NULL, *arg[65];
	int n = 0, rc;

	if (!copy)
		return gf_ctl_fail(GF_EXIT_NO, "out of memory");
	for (char *p = strtok_r(copy, ",", &save); p && n < 65; p = strtok_r(NULL, ",", &save))
		arg[n++] = p;
	rc = n > 64 ? gf_ctl_misuse(s->ctl, "--against: more than 64 files; name their directory") : n ? read_policy(s, list, arg, n) : gf_ctl_misuse(s->ctl, "--against needs a policy");
	free(copy);
	return rc;
}

static int read_policies(struct sim *s)
{
	struct gf_ctl *ctl = s->ctl;
	int rc = read_policy(s, ctl->arg[0], ctl->arg, ctl->args);

	for (size_t i = 0; i < ctl->givens && !rc; i++)
		if (ctl->given[i].id == GF_O_AGAINST)
			rc = read_against(s, ctl->given[i].val);
	return rc;
}

/* What counts as pressure is a condition of the language, and a policy of one rule. */
static int compile_pressure(struct sim *s)
{
	char text[1024];
	struct gf_source src = { .name = "--pressure", .text = text };

	s->pressure_text = s->ctl->val[GF_O_PRESSURE] ? s->ctl->val[GF_O_PRESSURE] : "mem.available < 10%";
	if ((size_t)snprintf(text, sizeof text, "rule pressure if %s then log", s->pressure_text) >= sizeof text)
		return gf_ctl_misuse(s->ctl, "--pressure is too long");
	src.len = strlen(text);
	if (sim_compile(s, &src, 1, true, &s->pressure))
		return GF_EXIT_USAGE;
	if (s->pressure->fields.paths)
		return gf_ctl_misuse(s->ctl, "--pressure cannot follow kernel paths");
	s->opts.pressure = s->pressure;
	return 0;
}

static int write_pictures(struct sim *s)
{
	const struct gf_ctl *ctl = s->ctl;
	int rc = 0;

	if (ctl->val[GF_O_SVG])
		rc = sim_write_svg(s, ctl->val[GF_O_SVG], ctl->val[GF_O_CHART]);
	if (!rc && ctl->val[GF_O_HTML])
		rc = sim_write_html(s, ctl->val[GF_O_HTML]);
	return rc;
}

/* GF_EXIT_NO when some rule could not be judged at all. */
static int verdict(const struct sim *s)
{
	for (size_t i = 0; i < s->policies; i++)
		for (uint32_t r = 0; r < s->policy[i].out.rules; r++)
			if (!sim_judged(s, &s->policy[i], r))
				return GF_EXIT_NO;
	return GF_EXIT_OK;
}

static int replay(struct sim *s)
{
	bool pictures = s->ctl->val[GF_O_SVG] || s->ctl->val[GF_O_HTML];
	int rc = 0;

	for (size_t i = 0; i < s->policies && !rc; i++) {
		struct sim_policy *p = &s->policy[i];
		s->opts.also = (struct gf_fieldset){ 0 };
		if (pictures)
			rc = sim_charts_make(p, s->info, s->opts.run.from_ns, s->opts.run.to_ns, &s->opts.also);
		if (!rc)
			rc = sim_run(s, p, p->name);
	}
	if (!rc)
		rc = write_pictures(s);
	if (rc)
		return rc;
	if (s->ctl->json) {
		rc = sim_print_json(s);
	} else {
		sim_print_head(s);
		for (size_t i = 0; i < s->policies; i++)
			sim_print_policy(s, &s->policy[i]);
		sim_print_diff(s);
	}
	return rc ? rc : verdict(s);
}

static void deinit(struct sim *s)
{
	for (size_t i = 0; i < s->policies; i++) {
		struct sim_policy *p = &s->policy[i];
		gf_outcome_deinit(&p->out);
		sim_charts_free(p->charts);
		gf_files_deinit(&p->files);
		for (size_t k = 0; k < p->assumes; k++)
			free(p->assumed[k]);
		free(p->assumed);
		free(p->img);
	}
	free(s->pressure);
	gf_feed_destroy(s->feed);
	free(s);
}

int gf_cmd_simulate(struct gf_ctl *ctl)
{
	struct sim *s = calloc(1, sizeof *s);
	int rc;

	if (!s)
		return gf_ctl_fail(GF_EXIT_NO, "out of memory");
	s->ctl = ctl;
	rc = sim_args(s);
	if (!rc && ctl->val[GF_O_NUMBERS]) {
		rc = sim_numbers(s);
		deinit(s);
		return rc;
	}
	if (!rc)
		rc = open_traces(s);
	if (!rc)
		rc = sim_args_times(s);
	if (!rc)
		rc = read_policies(s);
	if (!rc)
		rc = compile_pressure(s);
	if (!rc && !ctl->val[GF_O_SWEEP] && (ctl->val[GF_O_ENGINE] || ctl->val[GF_O_APART] || ctl->val[GF_O_MEMORY]))
		rc = gf_ctl_misuse(ctl, "--%s is for --sweep", ctl->val[GF_O_ENGINE] ? "engine" : ctl->val[GF_O_APART] ? "apart" : "memory");
	if (!rc && ctl->val[GF_O_CHART] && !ctl->val[GF_O_SVG] && !ctl->val[GF_O_SWEEP])
		rc = gf_ctl_misuse(ctl, "--chart says which one --svg is to write");
	if (!rc)
		rc = ctl->val[GF_O_SWEEP] ? sim_sweep(s) : replay(s);
	deinit(s);
	return rc;
}
