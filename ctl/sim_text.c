/* SPDX-License-Identifier: MIT
 *
 * simulate, for a terminal.
 */
#include "ctl/sim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/explain.h"
#include "daemon/eventjson.h"
#include "sim/uses.h"

const char *sim_offset(const struct gf_outcome *o, uint64_t now_ns, char *buf, size_t n)
{
	uint64_t ms = now_ns >= o->first_ns ? (now_ns - o->first_ns + 500000) / 1000000 : 0, min = ms / 60000, s = ms / 1000 % 60;
	char part[8] = "";

	if (ms % 1000)
		snprintf(part, sizeof part, ".%03u", (unsigned)(ms % 1000));
	if (min >= 60)
		snprintf(buf, n, "+%lluh%02llum%02llu%ss", (unsigned long long)min / 60, (unsigned long long)min % 60, (unsigned long long)s, part);
	else if (min)
		snprintf(buf, n, "+%llum%02llu%ss", (unsigned long long)min, (unsigned long long)s, part);
	else
		snprintf(buf, n, "+%llu%ss", (unsigned long long)s, part);
	return buf;
}

const char *sim_clock(uint64_t wall_ns, bool day, char *buf, size_t n)
{
	time_t t = (time_t)(wall_ns / 1000000000u);
	struct tm tm;

	buf[0] = 0;
	if (wall_ns && localtime_r(&t, &tm))
		strftime(buf, n, day ? "%Y-%m-%d %H:%M:%S" : "%H:%M:%S", &tm);
	return buf;
}

const char *sim_lacks(const struct sim *s, const struct sim_policy *p, uint32_t rule, char *buf, size_t n)
{
	struct gf_uses u = { 0 };
	struct gf_fieldset has = s->info->has;

	buf[0] = 0;
	for (size_t i = 0; i < s->opts.model.what_ifs; i++)
		if (s->what_if[i].how == GF_WHAT_IF_IS)
			has.host |= GF_BIT(s->what_if[i].field);
	if (!gf_uses_condition(p->img, rule, &u))
		gf_uses_lacks(p->img, &u, &has, s->info->path, buf, n);
	return buf;
}

bool sim_judged(const struct sim *s, const struct sim_policy *p, uint32_t rule)
{
	const struct gf_outcome_rule *r = &p->out.rule[rule];
	char lacks[256];

	return r->ticks_unknown < r->ticks || !*sim_lacks(s, p, rule, lacks, sizeof lacks);
}

int sim_kept_by(const struct sim_policy *p, uint32_t rule)
{
	const struct gf_outcome_rule *r = &p->out.rule[rule];
	int unknown = -1;

	for (uint32_t i = 0; i < r->terms; i++) {
		if (r->term[i].truth == GF_FALSE)
			return (int)i;
		if (r->term[i].truth == GF_UNKNOWN && unknown < 0)
			unknown = (int)i;
	}
	return unknown;
}

const char *sim_term_text(const struct sim_policy *p, const struct gf_event_term *t, char *buf, size_t n)
{
	struct gf_jbuf b = { 0 };
	json_t *j;

	buf[0] = 0;
	gf_terms_json(t, 1, NULL, p->img, &b);
	j = b.failed ? NULL : json_loadb(b.p, b.n, 0, NULL);
	if (j && json_array_size(j))
		gf_explain_term(json_array_get(j, 0), buf, n);
	json_decref(j);
	gf_jbuf_deinit(&b);
	return buf;
}

static void span(double s, char *buf, size_t n)
{
	if (s > 0)
		gf_show_span(s, buf, n);
	else
		snprintf(buf, n, "0s");
}

void sim_print_head(const struct sim *s)
{
	const struct gf_outcome *o = &s->policy[0].out;
	char when[64], last[32], every[32], safe[256];
	double len = (double)(o->last_ns - o->first_ns) / 1e9;

	span(len, last, sizeof last);
	span((double)s->info->interval_ns / 1e9, every, sizeof every);
	printf("recording  %s: %s%s%s, %s at %s, %llu samples of up to %u processes%s%s\n", gf_show_safe(s->info->origin, safe, sizeof safe), s->info->name,
	       *s->info->host && strcmp(s->info->host, s->info->name) ? " of " : "",
	       strcmp(s->info->host, s->info->name) ? s->info->host : "", last, every, (unsigned long long)o->ticks, o->most_tasks,
	       o->first_wall_ns ? ", from " : "", sim_clock(o->first_wall_ns, true, when, sizeof when));
	if (*s->info->cut)
		printf("           %s\n", s->info->cut);
	if (*o->damage)
		printf("           damaged: %s; all before it counts\n", o->damage);
	if (o->stale)
		printf("           in %llu of them sampling had failed\n", (unsigned long long)o->stale);
	printf("assumed    %s\n", s->policy[0].assumes ? s->policy[0].assumed[0] : "nothing");
	for (size_t i = 1; i < s->policy[0].assumes; i++)
		printf("           %s\n", s->policy[0].assumed[i]);
}

void sim_print_event(const struct sim *s, const struct sim_policy *p, const struct gf_event *ev)
{
	char off[32], clock[32], text[1024], safe[2048];
	struct gf_outcome from = { .first_ns = p->out.ticks ? p->out.first_ns : s->opts.run.from_ns ? s->opts.run.from_ns : s->info->first_ns };

	if (ev->kind == GF_EV_RULE_ON || ev->kind == GF_EV_RULE_OFF)
		return;
	gf_event_sentence(ev, p->img, text, sizeof text);
	printf("%12s  %s  %s\n", sim_offset(&from, ev->now_ns, off, sizeof off), sim_clock(ev->wall_ns, false, clock, sizeof clock),
	       gf_show_safe(text, safe, sizeof safe));
}

static void explain(const struct sim *s, const struct sim_policy *p, const struct gf_event *ev)
{
	struct gf_lines lines = { 0 };
	struct gf_jbuf b = { 0 };
	json_t *j;

	gf_event_json(ev, p->img, s->info->name, false, &b);
	j = b.failed ? NULL : json_loadb(b.p, b.n, 0, NULL);
	if (j) {
		json_object_del(j, "decide_us"); /* no time passes */
		gf_explain_event(j, &lines);
		gf_lines_print(&lines, stdout, s->ctl->colour);
		putchar('\n');
	}
	json_decref(j);
	gf_lines_deinit(&lines);
	gf_jbuf_deinit(&b);
}

static const char *state(const struct sim *s, const struct sim_policy *p, uint32_t rule, char *buf, size_t n)
{
	const struct gf_outcome_rule *r = &p->out.rule[rule];

	if (!sim_judged(s, p, rule))
		snprintf(buf, n, "not judged");
	else if (r->close != r->close)
		snprintf(buf, n, r->ticks_true ? "true" : "-");
	else
		snprintf(buf, n, "%d%%", (int)floor(fmin(fmax(r->close, 0), 1) * 100));
	return buf;
}

static void nearest(const struct sim_policy *p, uint32_t rule, bool all)
{
	const struct gf_outcome_rule *r = &p->out.rule[rule];
	int kept = sim_kept_by(p, rule);
	char text[512], safe[1024], off[32];

	if (r->actions || r->close != r->close)
		return;
	printf("%26s nearest at %s", "", sim_offset(&p->out, r->close_ns, off, sizeof off));
	if (r->close_pid)
		printf(" by %s (pid %d)", gf_show_safe(r->close_comm, safe, sizeof safe), r->close_pid);
	if (kept >= 0)
		printf(": kept by %s", gf_show_safe(sim_term_text(p, &r->term[kept], text, sizeof text), safe, sizeof safe));
	else if (r->terms)
		printf(": all of its terms were true, but not for long enough");
	putchar('\n');
	for (uint32_t i = 0; all && i < r->terms; i++)
		printf("%28s %-8s %s\n", "", gf_tri_name(r->term[i].truth),
		       gf_show_safe(sim_term_text(p, &r->term[i], text, sizeof text), safe, sizeof safe));
}

static void held_back(const struct gf_outcome_rule *r)
{
	bool any = false;

	for (uint8_t i = 0; i < 8; i++)
		if (r->held[i]) {
			printf("%s%llu x %s", any ? ", " : "                           held back: ", (unsigned long long)r->held[i], gf_held_back_name(i));
			any = true;
		}
	if (any)
		putchar('\n');
	if (r->no_victims)
		printf("%26s true without anybody to act on: %llu x\n", "", (unsigned long long)r->no_victims);
}

static void print_rules(const struct sim *s, const struct sim_policy *p)
{
	const struct gf_rule *rule = GF_SEC(struct gf_rule, p->img, GF_SEC_RULE);
	char safe[256], close[32], last[32], lacks[512];

	printf("\n%-26s %7s %9s  %s\n", "RULE", "ACTIONS", "TRUE FOR", "CLOSE");
	for (uint32_t i = 0; i < p->out.rules; i++) {
		const struct gf_outcome_rule *r = &p->out.rule[i];
		span((double)r->true_ns / 1e9, last, sizeof last);
		printf("%-26s %7llu %9s  %s%s\n", gf_show_safe(gf_image_str(p->img, rule[i].name), safe, sizeof safe), (unsigned long long)r->actions, last,
		       state(s, p, i, close, sizeof close), r->observed && r->observed == r->actions ? "  (only observed)" : "");
		if (sim_judged(s, p, i))
			nearest(p, i, s->ctl->val[GF_O_EXPLAIN]);
		held_back(r);
		if (*sim_lacks(s, p, i, lacks, sizeof lacks))
			printf("%26s the recording lacks %s: %s\n", "", lacks,
			       sim_judged(s, p, i) ? "it is judged by the rest of its condition only" : "it cannot be judged");
	}
}

static void print_sum(const struct sim *s, const struct sim_policy *p)
{
	const struct gf_outcome *o = &p->out;
	const struct gf_model_said *m = &o->said;
	char under[32], freed[32], took[32];
	double len = (double)(o->last_ns - o->first_ns) / 1e9;

	span((double)o->pressure_ns / 1e9, under, sizeof under);
	span(o->took_s, took, sizeof took);
	printf("\n%llu action%s, %zu victim%s; under pressure (%s) for %s", (unsigned long long)o->actions, o->actions == 1 ? "" : "s", o->victims,
	       o->victims == 1 ? "" : "s", s->pressure_text, under);
	if (s->opts.model.acts && m->freed > 0)
		printf("; %s came back", gf_show_size(m->freed, freed, sizeof freed));
	printf("\n");
	if (m->ended_with || m->unborn)
		printf("descendants that went along: %u, that were never started: %u\n", m->ended_with, m->unborn);
	if (m->psi_read)
		printf("note: pressure (psi.*) was taken as recorded, though something had been ended by then (--assume psi=unknown)\n");
	if (m->limits + m->hooks + m->nmis + m->signals)
		printf("note: not modelled: %u limit%s, %u hook%s, %u NMI%s, %u other signal%s\n", m->limits, m->limits == 1 ? "" : "s", m->hooks,
		       m->hooks == 1 ? "" : "s", m->nmis, m->nmis == 1 ? "" : "s", m->signals, m->signals == 1 ? "" : "s");
	if (m->reset_ns)
		printf("note: the run ends with a reset: what the machine would have done then is not known\n");
	if (!s->speed && o->took_s > 0)
		printf("simulated in %s, %.0f times as fast as it happened\n", took, len / o->took_s);
}

void sim_print_policy(const struct sim *s, const struct sim_policy *p)
{
	char safe[512];

	printf("\n== %s\n", gf_show_safe(p->name, safe, sizeof safe));
	if (s->speed <= 0)
		for (size_t i = 0; i < p->out.events; i++) {
			if (s->ctl->val[GF_O_EXPLAIN])
				explain(s, p, &p->out.event[i]);
			else
				sim_print_event(s, p, &p->out.event[i]);
		}
	if (!p->out.events)
		printf("nothing would have been done\n");
	if (p->out.events_lost)
		printf("... and %llu more\n", (unsigned long long)p->out.events_lost);
	print_rules(s, p);
	print_sum(s, p);
}

static void print_change(const struct sim_policy *p, const struct sim_change *c, const struct gf_outcome *o)
{
	char off[32], text[1024], safe[2048];

	gf_event_sentence(c->ev, p->img, text, sizeof text);
	printf("%c %12s  %s\n", c->side ? '+' : '-', sim_offset(o, c->ev->now_ns, off, sizeof off), gf_show_safe(text, safe, sizeof safe));
}

void sim_print_diff(const struct sim *s)
{
	const struct sim_policy *a = &s->policy[0];

	for (size_t i = 1; i < s->policies; i++) {
		const struct sim_policy *b = &s->policy[i];
		size_t n, same;
		struct sim_change *v = sim_diff(a, b, &n, &same);
		printf("\n--- %s\n+++ %s\n", a->name, b->name);
		if (!v) {
			printf("not compared: out of memory\n");
			continue;
		}
		for (size_t k = 0; v && k < n; k++)
			print_change(v[k].side ? b : a, &v[k], &a->out);
		printf("%zu action%s the same, %zu different; victims %zu and %zu, seconds under pressure %.0f and %.0f\n", same, same == 1 ? "" : "s", n,
		       a->out.victims, b->out.victims, (double)a->out.pressure_ns / 1e9, (double)b->out.pressure_ns / 1e9);
		free(v);
	}
}
