/* SPDX-License-Identifier: MIT
 *
 * simulate's options, as the run wants them.
 */
#include "ctl/sim.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/when.h"

static int assume(struct sim *s, const char *text)
{
	static const char *const keys[] = { "kill", "term", "children", "psi" };
	struct gf_model_opts *m = &s->opts.model;
	const char *eq = strchr(text, '='), *how = eq ? eq + 1 : "", *near;
	char key[32];

	snprintf(key, sizeof key, "%.*s", eq ? (int)(eq - text) : 31, text);
	if (!strcmp(key, "kill")) {
		if (!gf_when_span(how, &m->kill_ns))
			return 0;
		return gf_ctl_misuse(s->ctl, "--assume kill= is a time such as 5s, not `%s`", how);
	}
	if (!strcmp(key, "term")) {
		m->term_never = !strcmp(how, "never");
		if (m->term_never || !gf_when_span(how, &m->term_ns))
			return 0;
		return gf_ctl_misuse(s->ctl, "--assume term= is a time such as 5s, or never, not `%s`", how);
	}
	if (!strcmp(key, "children") && (!strcmp(how, "stay") || !strcmp(how, "go"))) {
		m->children_stay = *how == 's';
		return 0;
	}
	if (!strcmp(key, "psi") && (!strcmp(how, "recorded") || !strcmp(how, "unknown"))) {
		m->psi_unknown = *how == 'u';
		return 0;
	}
	near = gf_nearest(key, keys, 4);
	return gf_ctl_misuse(s->ctl, "--assume %s: it is kill=TIME, term=TIME|never, children=go|stay or psi=recorded|unknown%s%s%s", text,
			     near && strcmp(near, key) ? "; did you mean " : "", near && strcmp(near, key) ? near : "",
			     near && strcmp(near, key) ? "?" : "");
}

static int budget(struct sim *s, const char *text)
{
	struct gf_run_opts *r = &s->opts.run;
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end != '/' || n > GF_BUDGET_MAX || gf_when_span(end + 1, &r->budget_window_ns) || !r->budget_window_ns)
		return gf_ctl_misuse(s->ctl, "--budget is a number of actions and a time, such as 10/1min, not `%s`", text);
	r->budget_n = (uint32_t)n;
	return 0;
}

static int what_if(struct sim *s, const char *text)
{
	struct gf_model_opts *m = &s->opts.model;
	struct gf_err err = { "" };

	if (m->what_ifs == SIM_WHAT_IFS)
		return gf_ctl_misuse(s->ctl, "more than %d --what-if", SIM_WHAT_IFS);
	if (gf_what_if_parse(text, &s->what_if[m->what_ifs], &err))
		return gf_ctl_misuse(s->ctl, "--what-if: %s", err.text);
	m->what_if = s->what_if;
	m->what_ifs++;
	return 0;
}

static bool is_recording(const char *name)
{
	size_t n = strlen(name);

	return n > 4 && !strcmp(name + n - 4, ".gft");
}

/* Recordings among the arguments go to the recordings, the others stay. */
static void sort_arguments(struct sim *s)
{
	struct gf_ctl *ctl = s->ctl;
	int n = 0;

	for (int i = 0; i < ctl->args; i++) {
		if (is_recording(ctl->arg[i]) && s->traces < GF_CTL_GIVEN)
			s->trace[s->traces++] = ctl->arg[i];
		else
			ctl->arg[n++] = ctl->arg[i];
	}
	ctl->args = n;
}

int sim_args(struct sim *s)
{
	struct gf_ctl *ctl = s->ctl;
	double speed = 0;
	int rc = 0;

	s->opts.model.term_ns = GF_MODEL_TERM_NS;
	s->opts.model.acts = !ctl->val[GF_O_AS_RECORDED];
	if (ctl->val[GF_O_AS_RECORDED] && ctl->val[GF_O_COUNTERFACTUAL])
		return gf_ctl_misuse(ctl, "--counterfactual and --as-recorded exclude each other");
	for (size_t i = 0; i < ctl->givens && !rc; i++) {
		const char *v = ctl->given[i].val;
		if (ctl->given[i].id == GF_O_TRACE && s->traces < GF_CTL_GIVEN)
			s->trace[s->traces++] = v;
		else if (ctl->given[i].id == GF_O_ASSUME)
			rc = assume(s, v);
		else if (ctl->given[i].id == GF_O_WHAT_IF)
			rc = what_if(s, v);
		else if (ctl->given[i].id == GF_O_BUDGET)
			rc = budget(s, v);
	}
	if (!rc && ctl->val[GF_O_SPEED] && (!gf_ctl_number(ctl->val[GF_O_SPEED], 0.01, 1e6, &speed)))
		rc = gf_ctl_misuse(ctl, "--speed is a number from 0.01 to 1000000, not `%s`", ctl->val[GF_O_SPEED]);
	s->speed = speed;
	sort_arguments(s);
	if (!rc && !ctl->args)
		rc = gf_ctl_misuse(ctl, "simulate needs a policy");
	if (!rc && !s->traces && !ctl->val[GF_O_NUMBERS])
		rc = gf_ctl_misuse(ctl, "simulate needs a recording: --trace FILE (`gpufasctl record` makes one)");
	return rc;
}

static int moment(struct sim *s, enum gf_ctl_option id, uint64_t *ret)
{
	const struct gf_when w = { s->info->first_ns, s->info->last_ns, s->info->wall_ns };
	const char *text = s->ctl->val[id];
	char *unit = NULL;

	if (!text || !gf_when_moment(text, &w, ret))
		return 0;
	strtod(text, &unit);
	return gf_ctl_misuse(s->ctl, "--%s is a time into the recording such as 90s or 10min, before its end such as -5min, or on the clock such as 05:41 or \"2026-11-23 05:41\", not `%s`%s",
			     id == GF_O_FROM ? "from" : "to", text, unit != text && !strcmp(unit, "m") ? " (minutes are min)" : unit != text && !*unit ? " (seconds are s)" : "");
}

/* " (it is of 25.0s, from 2026-11-27 09:27:38 to 2026-11-27 09:28:03)"; returns buf. */
static const char *extent(const struct gf_feed_info *in, char *buf, size_t n)
{
	char len[32], from[64], to[64];
	uint64_t wall = in->wall_ns ? (uint64_t)((int64_t)in->first_ns + in->wall_ns) : 0;

	buf[0] = 0;
	if (in->last_ns < in->first_ns)
		return buf;
	gf_show_span((double)(in->last_ns - in->first_ns) / 1e9, len, sizeof len);
	if (wall)
		snprintf(buf, n, " (it is of %s, from %s to %s)", len, sim_clock(wall, true, from, sizeof from),
			 sim_clock(wall + (in->last_ns - in->first_ns), true, to, sizeof to));
	else
		snprintf(buf, n, " (it is of %s)", len);
	return buf;
}

int sim_args_times(struct sim *s)
{
	char buf[200];
	struct gf_run_opts *r = &s->opts.run;
	int rc = 0;

	if (s->info->reboots && (s->ctl->val[GF_O_FROM] || s->ctl->val[GF_O_TO]))
		return gf_ctl_misuse(s->ctl, "--from and --to are times of one boot, and the machine was booted anew in this recording: leave them out%s",
				     s->traces > 1 ? ", or name the recordings of one boot only" : "");
	rc = moment(s, GF_O_FROM, &r->from_ns);
	if (!rc)
		rc = moment(s, GF_O_TO, &r->to_ns);
	if (!rc && r->to_ns && r->to_ns < GF_MAX(r->from_ns, s->info->first_ns))
		rc = r->from_ns > s->info->first_ns ?
		     gf_ctl_misuse(s->ctl, "--to %s is before --from %s", s->ctl->val[GF_O_TO], s->ctl->val[GF_O_FROM]) :
		     gf_ctl_misuse(s->ctl, "--to %s is before the recording begins%s", s->ctl->val[GF_O_TO], extent(s->info, buf, sizeof buf));
	if (!rc && s->info->last_ns && r->from_ns > s->info->last_ns)
		rc = gf_ctl_misuse(s->ctl, "--from %s is after the recording ends%s", s->ctl->val[GF_O_FROM], extent(s->info, buf, sizeof buf));
	return rc;
}

int sim_compile(struct sim *s, const struct gf_source *src, size_t n, bool quiet, struct gf_image_header **ret)
{
	struct gf_compile_opts opts = { .target = s->kind, .period_ns = s->info ? s->info->interval_ns : 0, .warnings_off = quiet };
	struct gf_diags diags = { .limit = 100 };
	size_t size;
	int r = gf_compile(src, n, &opts, &diags, ret, &size);

	if (!quiet || r)
		gf_diags_print(&diags, src, n, stderr, s->ctl->colour && isatty(STDERR_FILENO));
	gf_diags_deinit(&diags);
	if (r == -ENOMEM)
		return gf_ctl_fail(GF_EXIT_NO, "out of memory");
	return r ? GF_EXIT_NO : GF_EXIT_OK;
}
