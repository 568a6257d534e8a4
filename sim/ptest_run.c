/* SPDX-License-Identifier: MIT */
#include "sim/ptest_run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/eventjson.h"
#include "gpu/state.h"
#include "sim/gft.h"
#include "sim/model.h"
#include "sim/ptest_world.h"
#include "sim/run.h"

/* ---- names ------------------------------------------------------------------------ */

static void says(struct gf_diags *d, struct gf_span span, const char *hint, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static void says(struct gf_diags *d, struct gf_span span, const char *hint, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	gf_diag_addv(d, GF_SEV_ERROR, "C004", span, hint, fmt, ap);
	va_end(ap);
}

/* "did you mean", or all that there are where they are few. */
static void choices(const char *word, const char *const *names, size_t n, char *hint, size_t size)
{
	const char *near = gf_nearest(word, names, n);
	size_t o = 0;

	hint[0] = 0;
	if (near) {
		snprintf(hint, size, "did you mean \"%s\"?", near);
		return;
	}
	for (size_t i = 0; i < n && o < size; i++)
		o += (size_t)snprintf(hint + o, size - o, "%s%s", i ? ", " : "it has: ", names[i]);
}

static void resolve_rule(struct gf_ptest_expect *e, const struct gf_image_header *img, struct gf_diags *diags)
{
	const struct gf_rule *rule = GF_SEC(struct gf_rule, img, GF_SEC_RULE);
	uint32_t n = img->sec[GF_SEC_RULE].count;
	const char **names;
	char hint[300];

	if (!e->rule)
		return;
	for (uint32_t i = 0; i < n; i++)
		if (!strcmp(gf_image_str(img, rule[i].name), e->rule)) {
			e->rule_no = i;
			return;
		}
	names = calloc(n + 1, sizeof *names);
	for (uint32_t i = 0; names && i < n; i++)
		names[i] = gf_image_str(img, rule[i].name);
	choices(e->rule, names, names ? n : 0, hint, sizeof hint);
	says(diags, e->rule_span, hint, "the policy has no rule \"%s\"", e->rule);
	free(names);
}

/* "limit pids.max" is also just "limit". */
static bool same_action(const char *want, const char *is)
{
	size_t n = strlen(want);

	return !strncmp(want, is, n) && (!is[n] || is[n] == ' ');
}

static void resolve_action(struct gf_ptest_expect *e, const struct gf_image_header *img, struct gf_diags *diags)
{
	const struct gf_rule *rule = GF_SEC(struct gf_rule, img, GF_SEC_RULE);
	const struct gf_step *step = GF_SEC(struct gf_step, img, GF_SEC_STEP);
	uint32_t from = e->rule_no == GF_NONE ? 0 : rule[e->rule_no].step;
	uint32_t n = e->rule_no == GF_NONE ? img->sec[GF_SEC_STEP].count : rule[e->rule_no].steps;
	char text[16][80], hint[300];
	const char *names[16];
	size_t have = 0;

	if (!e->action || (e->rule && e->rule_no == GF_NONE))
		return;
	for (uint32_t i = from; i < from + n; i++) {
		char buf[80];
		gf_action_text(img, &step[i], buf, sizeof buf);
		if (same_action(e->action, buf))
			return;
		if (have < 16) {
			memcpy(text[have], buf, sizeof buf);
			names[have] = text[have];
			have++;
		}
	}
	choices(e->action, names, have, hint, sizeof hint);
	if (e->rule)
		says(diags, e->action_span, hint, "the rule \"%s\" has no step \"%s\"", e->rule, e->action);
	else
		says(diags, e->action_span, hint, "the policy has no step \"%s\"", e->action);
}

static void resolve_pid(const struct gf_ptest_case *c, struct gf_ptest_expect *e, struct gf_diags *diags)
{
	const char *names[64];
	char buf[64][24], hint[300];
	size_t n = 0;

	if (!e->pid && !e->task)
		return;
	if (c->recording && !e->task) {
		e->pid_from = e->pid_to = e->pid;
		return;
	}
	for (size_t i = 0; i < c->tasks; i++) {
		const struct gf_ptest_task *t = &c->task[i];
		int32_t last = t->pid + (int32_t)t->count - 1;
		if (e->task ? !strcmp(e->task, t->label) : e->pid >= t->pid && e->pid <= last) {
			e->pid_from = e->task ? t->pid : e->pid;
			e->pid_to = e->task ? last : e->pid;
			return;
		}
		if (n == 64)
			continue;
		snprintf(buf[n], sizeof buf[n], "%d", t->pid);
		names[n] = e->task ? t->label : buf[n];
		n++;
	}
	char pid[16];
	snprintf(pid, sizeof pid, "%d", e->pid);
	choices(e->task ? e->task : pid, names, n, hint, sizeof hint);
	if (e->task)
		says(diags, e->pid_span, c->recording ? "name it by its pid" : hint, "this test has no task \"%s\"", e->task);
	else
		says(diags, e->pid_span, hint, "this test has no process with pid %d", e->pid);
}

void gf_ptest_resolve(struct gf_ptest_case *c, const struct gf_image_header *img, struct gf_diags *diags)
{
	for (size_t i = 0; i < c->expects + c->nones; i++) {
		struct gf_ptest_expect *e = i < c->expects ? &c->expect[i] : &c->none[i - c->expects];
		e->rule_no = GF_NONE;
		resolve_rule(e, img, diags);
		resolve_action(e, img, diags);
		resolve_pid(c, e, diags);
	}
}

/* ---- what is done -------------------------------------------------------------------- */

struct bench {
	struct gf_ptest_case *c;
	const struct gf_image_header *img;
	struct gf_ptest_outcome *o;
	uint64_t first_ns;
	size_t *open; /* [rules] number of its span under way + 1; 0: none */
	int8_t *held; /* [rules] enum gf_held_back that it is held by since it is true; -1: no victim; 0: not */
};

static struct gf_ptest_got *grow_got(struct gf_ptest_outcome *o)
{
	struct gf_ptest_got *v;

	if ((o->gots & (o->gots - 1)) == 0) { /* powers of two: room for as many again */
		v = realloc(o->got, (o->gots ? 2 * o->gots : 1) * sizeof *v);
		if (!v)
			return NULL;
		o->got = v;
	}
	v = &o->got[o->gots++];
	memset(v, 0, sizeof *v);
	return v;
}

static int add_got(struct bench *b, const struct gf_run_tick *t, const struct gf_event *ev, const struct gf_verdict *v, uint32_t processes)
{
	struct gf_ptest_got *g = grow_got(b->o);
	const struct gf_step *step = gf_event_step(ev, b->img);

	if (!g)
		return -ENOMEM;
	g->at_ns = t->now_ns - b->first_ns;
	g->ev = *ev;
	g->processes = processes;
	if (step)
		gf_action_text(b->img, step, g->action, sizeof g->action);
	if (v && v->row != GF_NONE) {
		bool group = v->group != GF_GROUP_ONE;
		g->pid = group ? ev->pid : v->pid;
		memcpy(g->comm, group ? ev->comm : t->sample->comm[v->row], sizeof g->comm);
	}
	return 0;
}

/* An action's verdicts: each process for itself, a group as one. */
static int take_action(struct bench *b, const struct gf_run_tick *t, const struct gf_event *ev)
{
	const struct gf_verdict *group = NULL;
	uint32_t n = 0;
	int r = 0;

	for (size_t i = 0; i < t->verdicts && !r; i++) {
		const struct gf_verdict *v = &t->verdict[i];
		if (v->event != ev->seq)
			continue;
		n += v->row != GF_NONE;
		if (v->group == GF_GROUP_ONE)
			r = add_got(b, t, ev, v, v->row != GF_NONE);
		else
			group = v;
	}
	if (group && !r)
		r = add_got(b, t, ev, group, n);
	return r;
}

static int take_events(struct bench *b, const struct gf_run_tick *t)
{
	const struct gf_rule *rule = GF_SEC(struct gf_rule, b->img, GF_SEC_RULE);
	int r = 0;

	for (size_t i = 0; i < t->events && !r; i++) {
		const struct gf_event *ev = &t->event[i];
		if (ev->rule >= t->rules)
			continue;
		switch (ev->kind) {
		case GF_EV_ACTION:
			b->held[ev->rule] = 0;
			b->o->rule_seen[ev->rule] |= 8;
			b->o->step_taken[rule[ev->rule].step + ev->step]++;
			r = take_action(b, t, ev);
			break;
		case GF_EV_NO_VICTIM:
			b->held[ev->rule] = -1;
			break;
		case GF_EV_HELD_BACK:
			b->held[ev->rule] = (int8_t)ev->held_back;
			break;
		case GF_EV_RULE_ON:
		case GF_EV_RULE_OFF:
			b->held[ev->rule] = 0;
			break;
		default:
			break;
		}
	}
	return r;
}

/* Why a rule that is true does nothing now. */
static int held_now(const struct bench *b, uint32_t rule, const struct gf_rule_view *v)
{
	if (v->truth != GF_TRUE)
		return 0;
	if (v->phase == GF_PHASE_COOLDOWN)
		return GF_HB_COOLDOWN;
	if (v->phase == GF_PHASE_SETTLE)
		return GF_HB_SETTLE;
	return b->held[rule];
}

/* Expectations about rules, and how rules are at the times of those about actions. */
static int look(struct bench *b, const struct gf_run_tick *t, struct gf_ptest_expect *e, bool none)
{
	uint64_t at = t->now_ns - b->first_ns;
	const struct gf_rule_view *v = e->rule_no < t->rules && t->view ? &t->view[e->rule_no] : NULL;
	bool is = false;
	struct gf_ptest_miss *m;

	if (at < e->from_ns || at > e->to_ns || !v || e->met)
		return 0;
	if (e->want == GF_WANT_TRUTH)
		is = v->truth == e->truth;
	else if (e->want == GF_WANT_HELD)
		is = held_now(b, e->rule_no, v) == e->because && v->truth == GF_TRUE;
	e->met |= is;
	if (none && !is)
		return 0;
	m = gf_ptest_miss_of(b->o, e);
	if (!m)
		return -ENOMEM;
	m->none = none;
	/* of a range the time at which it was nearest */
	if (m->has_view && !is && !(v->close >= m->view.close))
		return 0;
	m->at_ns = at;
	m->view = *v;
	m->has_view = true;
	return 0;
}

/* When each rule is true, and for how many. */
static int spans(struct bench *b, const struct gf_run_tick *t)
{
	uint64_t at = t->now_ns - b->first_ns;
	struct gf_ptest_outcome *o = b->o;

	for (uint32_t i = 0; i < t->rules; i++) {
		const struct gf_rule_view *v = &t->view[i];
		struct gf_ptest_span *s = b->open[i] ? &o->span[b->open[i] - 1] : NULL;
		o->rule_seen[i] |= (uint8_t)(1u << v->truth);
		if (s && v->truth == GF_TRUE && s->rows == v->true_rows) {
			s->to_ns = at;
			continue;
		}
		b->open[i] = 0;
		if (v->truth != GF_TRUE)
			continue;
		if ((o->spans & (o->spans - 1)) == 0) {
			s = realloc(o->span, (o->spans ? 2 * o->spans : 1) * sizeof *s);
			if (!s)
				return -ENOMEM;
			o->span = s;
		}
		o->span[o->spans++] = (struct gf_ptest_span){ .from_ns = at, .to_ns = at, .rule = i, .rows = v->true_rows };
		b->open[i] = o->spans;
	}
	return 0;
}

static int look_all(struct bench *b, const struct gf_run_tick *t)
{
	int r = 0;

	for (size_t i = 0; i < b->c->expects && !r; i++)
		r = look(b, t, &b->c->expect[i], false);
	for (size_t i = 0; i < b->c->nones && !r; i++)
		if (b->c->none[i].want != GF_WANT_ACTION)
			r = look(b, t, &b->c->none[i], true);
	return r ? r : spans(b, t);
}

static void probe(struct gf_run *run, const struct gf_probes *p, uint8_t *seen)
{
	for (size_t i = 0; p && i < p->n; i++)
		if ((seen[i] & 5) != 5)
			seen[i] |= gf_engine_truths(gf_run_engine(run), p->v[i].prog);
}

static int steps(struct bench *b, struct gf_run *run, const struct gf_probes *probes, uint8_t *seen, struct gf_err *err)
{
	struct gf_run_tick t;
	int r;

	while (!(r = gf_run_step(run, &t, err))) {
		if (!b->o->ticks++ && b->c->recording)
			b->first_ns = t.now_ns;
		if (b->c->recording && b->c->for_ns && t.now_ns - b->first_ns > b->c->for_ns)
			return 0;
		r = take_events(b, &t);
		if (!r)
			r = look_all(b, &t);
		if (r)
			return r;
		probe(run, probes, seen);
	}
	return r == -ENODATA ? 0 : r;
}

static int make_feed(struct bench *b, struct gf_feed **ret, struct gf_err *err)
{
	if (b->c->recording)
		return gft_feed_open(b->c->recording, ret, err);
	b->first_ns = gf_ptest_world_start(b->c);
	return gf_ptest_world_create(b->c, ret, err);
}

static int run_case(struct bench *b, const struct gf_probes *probes, uint8_t *seen, struct gf_err *err)
{
	struct gf_run_opts opts = {
		.period_ns = b->c->interval_ns, .observe = b->c->observe, .views = true, .budget_n = b->c->budget_n,
		.budget_window_ns = b->c->budget_ns,
	};
	struct gf_model_opts acts = { .acts = true, .term_ns = GF_MODEL_TERM_NS, .children_stay = b->c->children_stay };
	struct gf_ptest_hand hand;
	struct gf_feed *feed = NULL, *model = NULL;
	struct gf_run *run = NULL;
	int r = make_feed(b, &feed, err);

	if (!r && b->c->counterfactual) /* else all goes on as it did */
		r = gf_model_create(feed, &acts, &model, err);
	hand = (struct gf_ptest_hand){ feed, model };
	if (model) {
		opts.act = b->c->recording ? gf_model_act : gf_ptest_world_act;
		opts.act_arg = b->c->recording ? (void *)model : &hand;
	}
	if (!r)
		r = gf_run_create(model ? model : feed, b->img, &opts, &run, err);
	if (!r)
		r = steps(b, run, probes, seen, err);
	if (!r && feed->info.cut[0]) /* what came before has been looked at: but that is not the test */
		r = gf_err_set(err, EBADMSG, "%s: %s", b->c->recording, feed->info.cut);
	gf_run_destroy(run);
	gf_feed_destroy(model);
	gf_feed_destroy(feed);
	return r;
}

int gf_ptest_run(struct gf_ptest_case *c, const struct gf_image_header *img, const struct gf_probes *probes, uint8_t *probe_seen,
		 struct gf_ptest_outcome *ret)
{
	struct bench b = { .c = c, .img = img, .o = ret };
	uint32_t rules = img->sec[GF_SEC_RULE].count;
	struct timespec from, to;
	struct gf_err err = { "" };
	int r = -ENOMEM;

	memset(ret, 0, sizeof *ret);
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (size_t i = 0; i < c->expects; i++)
		c->expect[i].met = false;
	for (size_t i = 0; i < c->nones; i++)
		c->none[i].met = false;
	b.held = calloc(rules + 1, sizeof *b.held);
	b.open = calloc(rules + 1, sizeof *b.open);
	ret->rule_seen = calloc(rules + 1, sizeof *ret->rule_seen);
	ret->step_taken = calloc(img->sec[GF_SEC_STEP].count + 1, sizeof *ret->step_taken);
	if (b.held && b.open && ret->rule_seen && ret->step_taken)
		r = run_case(&b, probes, probe_seen, &err);
	free(b.held);
	free(b.open);
	if (r && r != -ENOMEM)
		snprintf(ret->error, sizeof ret->error, "%s", err.text[0] ? err.text : strerror(-r));
	if (r != -ENOMEM)
		gf_ptest_match(c, ret, img);
	clock_gettime(CLOCK_MONOTONIC, &to);
	ret->seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
	if (r == -ENOMEM)
		gf_ptest_outcome_deinit(ret);
	return r == -ENOMEM ? r : 0;
}

void gf_ptest_outcome_deinit(struct gf_ptest_outcome *o)
{
	free(o->got);
	free(o->miss);
	free(o->span);
	free(o->rule_seen);
	free(o->step_taken);
	memset(o, 0, sizeof *o);
}
