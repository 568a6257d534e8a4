/* SPDX-License-Identifier: MIT
 *
 * simulate --json: one object.
 */
#include "ctl/sim.h"

#include <stdlib.h>

#include "daemon/eventjson.h"

static void seconds(struct gf_jbuf *b, const char *key, uint64_t ns)
{
	gf_jbuf_knum(b, key, (double)ns / 1e9);
}

void sim_json_head(const struct sim *s, struct gf_jbuf *b)
{
	const struct gf_outcome *o = &s->policy[0].out;
	char t[64];

	gf_jbuf_key(b, "recording");
	gf_jbuf_open(b, '{');
	gf_jbuf_kstr(b, "file", s->info->origin);
	gf_jbuf_kstr(b, "target", s->info->name);
	gf_jbuf_kstr(b, "host", s->info->host);
	if (o->first_wall_ns)
		gf_jbuf_kstr(b, "from", gf_time_text(o->first_wall_ns, t, sizeof t));
	seconds(b, "length_s", o->last_ns - o->first_ns);
	seconds(b, "interval_s", s->info->interval_ns);
	gf_jbuf_kuint(b, "samples", o->ticks);
	gf_jbuf_kuint(b, "failed_samples", o->stale);
	gf_jbuf_kuint(b, "most_processes", o->most_tasks);
	gf_jbuf_kstr(b, "cut", s->info->cut);
	gf_jbuf_kstr(b, "damage", o->damage);
	gf_jbuf_close(b, '}');
	gf_jbuf_kbool(b, "counterfactual", s->opts.model.acts);
	gf_jbuf_kstr(b, "pressure", s->pressure_text);
	gf_jbuf_key(b, "assumed");
	gf_jbuf_open(b, '[');
	for (size_t i = 0; i < s->policy[0].assumes; i++)
		gf_jbuf_str(b, s->policy[0].assumed[i]);
	gf_jbuf_close(b, ']');
}

static void nearest(const struct sim_policy *p, uint32_t rule, struct gf_jbuf *b)
{
	const struct gf_outcome_rule *r = &p->out.rule[rule];
	int kept = sim_kept_by(p, rule);
	char text[512];

	gf_jbuf_key(b, "nearest");
	if (r->close != r->close) {
		gf_jbuf_null(b);
		return;
	}
	gf_jbuf_open(b, '{');
	gf_jbuf_knum(b, "closeness", r->close);
	seconds(b, "at_s", r->close_ns - p->out.first_ns);
	if (r->close_pid) {
		gf_jbuf_kint(b, "pid", r->close_pid);
		gf_jbuf_key(b, "comm");
		gf_jbuf_strn(b, r->close_comm, sizeof r->close_comm);
	}
	if (kept >= 0)
		gf_jbuf_kstr(b, "kept_by", sim_term_text(p, &r->term[kept], text, sizeof text));
	gf_jbuf_key(b, "terms");
	gf_terms_json(r->term, r->terms, r->close_pid ? r->close_comm : NULL, p->img, b);
	gf_jbuf_close(b, '}');
}

static void rule_json(const struct sim *s, const struct sim_policy *p, uint32_t i, struct gf_jbuf *b)
{
	const struct gf_rule *rule = &GF_SEC(struct gf_rule, p->img, GF_SEC_RULE)[i];
	const struct gf_outcome_rule *r = &p->out.rule[i];
	char lacks[512];

	gf_jbuf_open(b, '{');
	gf_jbuf_kstr(b, "name", gf_image_str(p->img, rule->name));
	gf_jbuf_kstr(b, "file", gf_image_str(p->img, rule->file));
	gf_jbuf_kuint(b, "line", rule->line);
	gf_jbuf_kuint(b, "actions", r->actions);
	gf_jbuf_kuint(b, "steps", r->steps);
	gf_jbuf_kuint(b, "observed", r->observed);
	seconds(b, "true_s", r->true_ns);
	gf_jbuf_kuint(b, "no_victims", r->no_victims);
	gf_jbuf_key(b, "held_back");
	gf_jbuf_open(b, '{');
	for (uint8_t k = 1; k < 8; k++)
		if (r->held[k])
			gf_jbuf_kuint(b, gf_held_back_name(k), r->held[k]);
	gf_jbuf_close(b, '}');
	gf_jbuf_kbool(b, "judged", sim_judged(s, p, i));
	gf_jbuf_kstr(b, "lacks", sim_lacks(s, p, i, lacks, sizeof lacks));
	nearest(p, i, b);
	gf_jbuf_close(b, '}');
}

static void model_json(const struct gf_model_said *m, struct gf_jbuf *b)
{
	gf_jbuf_key(b, "model");
	gf_jbuf_open(b, '{');
	gf_jbuf_kuint(b, "killed", m->killed);
	gf_jbuf_kuint(b, "ended", m->ended);
	gf_jbuf_kuint(b, "descendants_ended", m->ended_with);
	gf_jbuf_kuint(b, "never_started", m->unborn);
	gf_jbuf_kuint(b, "stopped", m->stopped);
	gf_jbuf_kuint(b, "continued", m->continued);
	gf_jbuf_kuint(b, "reniced", m->reniced);
	gf_jbuf_kuint(b, "not_modelled", m->limits + m->hooks + m->nmis + m->signals);
	gf_jbuf_kbool(b, "reset", m->reset_ns != 0);
	gf_jbuf_kbool(b, "pressure_as_recorded", m->psi_read != 0);
	gf_jbuf_knum(b, "freed_bytes", m->freed);
	gf_jbuf_knum(b, "cpu_saved_s", m->cpu_ns / 1e9);
	gf_jbuf_close(b, '}');
}

static void event_json(const struct sim *s, const struct sim_policy *p, const struct gf_event *ev, struct gf_jbuf *b)
{
	gf_jbuf_open(b, '{');
	seconds(b, "at_s", ev->now_ns - p->out.first_ns);
	gf_jbuf_key(b, "event");
	gf_event_json(ev, p->img, s->info->name, false, b);
	gf_jbuf_close(b, '}');
}

void sim_json_policy(const struct sim *s, const struct sim_policy *p, struct gf_jbuf *b)
{
	gf_jbuf_open(b, '{');
	gf_jbuf_kstr(b, "policy", p->name);
	gf_jbuf_kuint(b, "actions", p->out.actions);
	gf_jbuf_kuint(b, "victims", p->out.victims);
	seconds(b, "under_pressure_s", p->out.pressure_ns);
	model_json(&p->out.said, b);
	gf_jbuf_key(b, "rules");
	gf_jbuf_open(b, '[');
	for (uint32_t i = 0; i < p->out.rules; i++)
		rule_json(s, p, i, b);
	gf_jbuf_close(b, ']');
	gf_jbuf_key(b, "events");
	gf_jbuf_open(b, '[');
	for (size_t i = 0; i < p->out.events; i++)
		event_json(s, p, &p->out.event[i], b);
	gf_jbuf_close(b, ']');
	gf_jbuf_kuint(b, "events_left_out", p->out.events_lost);
	gf_jbuf_close(b, '}');
}

static void diff_json(const struct sim *s, const struct sim_policy *a, const struct sim_policy *o, struct gf_jbuf *b)
{
	size_t n, same;
	struct sim_change *v = sim_diff(a, o, &n, &same);

	gf_jbuf_open(b, '{');
	gf_jbuf_kstr(b, "a", a->name);
	gf_jbuf_kstr(b, "b", o->name);
	gf_jbuf_kuint(b, "same", same);
	gf_jbuf_key(b, "different");
	gf_jbuf_open(b, '[');
	for (size_t i = 0; v && i < n; i++) {
		gf_jbuf_open(b, '{');
		gf_jbuf_kstr(b, "only", v[i].side ? "b" : "a");
		gf_jbuf_key(b, "what");
		event_json(s, v[i].side ? o : a, v[i].ev, b);
		gf_jbuf_close(b, '}');
	}
	gf_jbuf_close(b, ']');
	gf_jbuf_close(b, '}');
	free(v);
}

int sim_print_json(const struct sim *s)
{
	struct gf_jbuf b = { 0 };
	int rc = GF_EXIT_OK;

	gf_jbuf_open(&b, '{');
	sim_json_head(s, &b);
	gf_jbuf_key(&b, "policies");
	gf_jbuf_open(&b, '[');
	for (size_t i = 0; i < s->policies; i++)
		sim_json_policy(s, &s->policy[i], &b);
	gf_jbuf_close(&b, ']');
	gf_jbuf_key(&b, "diff");
	gf_jbuf_open(&b, '[');
	for (size_t i = 1; i < s->policies; i++)
		diff_json(s, &s->policy[0], &s->policy[i], &b);
	gf_jbuf_close(&b, ']');
	gf_jbuf_close(&b, '}');
	if (b.failed)
		rc = gf_ctl_fail(GF_EXIT_NO, "out of memory");
	else
		printf("%.*s\n", (int)b.n, b.p);
	gf_jbuf_deinit(&b);
	return rc;
}
