// SPDX-License-Identifier: MIT
#include "sim/outcome.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gpu/engine_cpu.h"
#include "sim/digest.h"
#include "targets/target.h"

/* A second engine over the sample that the first one has just seen. */
struct mirror {
	struct gf_target t;
	struct gf_feed *of;
	bool stale;
};

static int mirror_sample(struct gf_target *t, struct gf_err *err)
{
	struct mirror *m = (struct mirror *)t;

	t->sample = m->of->sample;
	return m->stale ? gf_err_set(err, EAGAIN, "stale") : 0;
}

static int mirror_set_fields(struct gf_target *t, const struct gf_fieldset *f, struct gf_err *err)
{
	(void)t;
	(void)f;
	(void)err;
	return 0; /* they are among those of the first engine */
}

static void mirror_destroy(struct gf_target *t)
{
	(void)t;
}

struct gf_outcome_work {
	const struct gf_image_header *img;
	const struct gf_outcome_opts *opts;
	struct gf_outcome *o;
	struct gf_feed *feed, *model;
	struct gf_run *run;
	struct mirror mirror;
	struct gf_engine *second;
	uint64_t second_seq;
	uint64_t raw_ns, shift_ns; /* boot time of the last tick, and what makes it the first boot's */
	bool pressed;
};

static bool more(void **p, size_t *cap, size_t n, size_t size)
{
	size_t want = *cap ? 2 * *cap : 64;
	void *q;

	if (n < *cap)
		return true;
	q = realloc(*p, want * size);
	if (!q)
		return false;
	*p = q;
	*cap = want;
	return true;
}

static const struct gf_step *step_of(const struct gf_outcome_work *w, uint32_t rule, uint32_t step)
{
	const struct gf_rule *r = &GF_SEC(struct gf_rule, w->img, GF_SEC_RULE)[rule];

	return step < r->steps ? &GF_SEC(struct gf_step, w->img, GF_SEC_STEP)[r->step + step] : NULL;
}

static void count_action(struct gf_outcome_work *w, const struct gf_event *ev, struct gf_outcome_rule *r)
{
	const struct gf_step *s = step_of(w, ev->rule, ev->step);

	r->steps++;
	if (ev->step)
		return;
	r->actions++;
	r->observed += ev->observed;
	r->first_ns = r->first_ns ? r->first_ns : ev->now_ns + w->shift_ns;
	r->last_ns = ev->now_ns + w->shift_ns;
	w->o->actions += !ev->observed && s && s->action != GF_ACT_LOG && s->action != GF_ACT_NOTIFY;
}

static void take_event(struct gf_outcome_work *w, const struct gf_event *ev)
{
	struct gf_outcome *o = w->o;

	if (ev->rule < o->rules) {
		struct gf_outcome_rule *r = &o->rule[ev->rule];
		if (ev->kind == GF_EV_ACTION)
			count_action(w, ev, r);
		else if (ev->kind == GF_EV_NO_VICTIM)
			r->no_victims++;
		else if (ev->kind == GF_EV_HELD_BACK && ev->held_back < 8)
			r->held[ev->held_back]++;
	}
	if (ev->kind == GF_EV_RULE_ON || ev->kind == GF_EV_RULE_OFF)
		return;
	if (o->events >= (w->opts->table ? w->opts->table_events : GF_OUTCOME_EVENTS) || !more((void **)&o->event, &o->events_cap, o->events, sizeof *o->event)) {
		o->events_lost++;
		return;
	}
	o->event[o->events] = *ev;
	o->event[o->events++].now_ns += w->shift_ns;
}

static void take_verdict(struct gf_outcome_work *w, const struct gf_verdict *v)
{
	struct gf_outcome *o = w->o;

	if (v->flags & GF_VERDICT_OBSERVE || !v->pid || !gf_verdict_is_lethal(v))
		return;
	for (size_t i = 0; i < o->victims; i++)
		if (o->victim[i].pid == v->pid && o->victim[i].start_ns == v->start_ns)
			return;
	if (!more((void **)&o->victim, &o->victims_cap, o->victims, sizeof *o->victim))
		return;
	o->victim[o->victims] = (struct gf_outcome_victim){ .start_ns = v->start_ns, .pid = v->pid };
	memcpy(o->victim[o->victims++].comm, w->model->sample.comm[v->row], GF_COMM_LEN);
}

/* The same without how near rules came, which takes longer than all else. */
static void take_truths(struct gf_outcome_work *w)
{
	const struct gf_rule_state *rs = gf_run_engine(w->run)->st->rule;

	for (size_t i = 0; i < w->o->rules; i++) {
		struct gf_outcome_rule *r = &w->o->rule[i];
		r->ticks++;
		r->ticks_unknown += rs[i].truth == GF_UNKNOWN;
		r->was_true = rs[i].truth == GF_TRUE;
		r->ticks_true += r->was_true;
	}
}

/* ns that the last tick stands for: until this one, but not over a hole in the recording. */
static uint64_t lasted(const struct gf_outcome_work *w, uint64_t now)
{
	uint64_t before = w->o->last_ns, most = 3 * (w->feed->info.interval_ns ? w->feed->info.interval_ns : 1000000000u);

	if (!w->o->ticks || now <= before)
		return 0;
	return GF_MIN(now - before, most);
}

static void take_views(struct gf_outcome_work *w, const struct gf_run_tick *t)
{
	for (size_t i = 0; i < t->rules; i++) {
		const struct gf_rule_view *v = &t->view[i];
		struct gf_outcome_rule *r = &w->o->rule[i];

		r->ticks++;
		r->ticks_unknown += v->truth == GF_UNKNOWN;
		r->was_true = v->truth == GF_TRUE;
		if (r->was_true) {
			r->ticks_true++;
			continue;
		}
		if (!(v->close == v->close) || (r->close == r->close && v->close <= r->close))
			continue;
		r->close = v->close;
		r->close_ns = t->now_ns;
		r->close_wall_ns = t->wall_ns;
		r->close_pid = v->close_pid;
		memcpy(r->close_comm, v->close_comm, sizeof r->close_comm);
		r->terms = v->terms;
		memcpy(r->term, v->term, sizeof r->term);
	}
}

static void look_for_pressure(struct gf_outcome_work *w, bool stale, uint64_t dt)
{
	struct gf_event ev[16];
	struct gf_verdict v[16];

	if (!w->second)
		return;
	w->o->pressure_ns += w->pressed ? dt : 0;
	w->mirror.stale = stale;
	gf_engine_tick(w->second, NULL);
	while (gf_engine_events(w->second, ev, 16) == 16)
		;
	while (gf_engine_verdicts(w->second, v, 16) == 16)
		;
	w->pressed = !stale && w->second->st->rule[0].truth == GF_TRUE;
}

/* Another boot's clock begins anew. Times go on in that of the first one, by the wall clock, or where that is not known as if the next sample had come
 * in time. A table's stay as they are, as on a device: nobody looks at them. */
static void follow_boots(struct gf_outcome_work *w, struct gf_run_tick *t)
{
	const struct gf_outcome *o = w->o;

	if (o->ticks && t->now_ns < w->raw_ns && !w->opts->table) {
		uint64_t next = o->last_ns + (w->feed->info.interval_ns ? w->feed->info.interval_ns : 1000000000u);
		uint64_t by_wall = t->wall_ns && o->first_wall_ns ? o->first_ns + (t->wall_ns - o->first_wall_ns) : 0;
		w->shift_ns = (by_wall > o->last_ns && by_wall <= INT64_MAX ? by_wall : next) - t->now_ns;
	}
	w->raw_ns = t->now_ns;
	t->now_ns += w->shift_ns;
}

static void take(struct gf_outcome_work *w, const struct gf_run_tick *t)
{
	struct gf_outcome *o = w->o;
	uint64_t dt = lasted(w, t->now_ns);

	if (!o->ticks) {
		o->first_ns = t->now_ns;
		o->first_wall_ns = t->wall_ns;
	}
	for (size_t i = 0; w->opts->table && i < t->events; i++)
		o->digest = gf_digest_event(o->digest, &t->event[i]);
	for (size_t i = 0; i < t->events; i++)
		take_event(w, &t->event[i]);
	for (size_t i = 0; w->opts->table && i < t->verdicts; i++)
		o->digest = gf_digest_verdict(o->digest, &t->verdict[i]);
	for (size_t i = 0; i < t->verdicts; i++)
		take_verdict(w, &t->verdict[i]);
	for (size_t i = 0; i < o->rules; i++) {
		o->rule[i].true_ns += o->rule[i].was_true ? dt : 0;
		o->rule[i].was_true = false;
	}
	if (!t->stale && w->opts->table)
		take_truths(w);
	else if (!t->stale)
		take_views(w, t);
	look_for_pressure(w, t->stale, dt);
	o->ticks++;
	o->stale += t->stale;
	o->last_ns = t->now_ns;
	o->last_wall_ns = t->wall_ns;
	o->most_tasks = GF_MAX(o->most_tasks, t->sample->live);
}

static int make_second(struct gf_outcome_work *w, struct gf_err *err)
{
	static const struct gf_target_ops ops = {
		.kind = "mirror", .sample = mirror_sample, .set_fields = mirror_set_fields, .destroy = mirror_destroy,
	};
	struct gf_engine_opts o = {
		.kind = GF_ENGINE_CPU, .period_ns = w->feed->info.interval_ns, .observe = true,
		.event_seq = &w->second_seq,
	};

	if (!w->opts->pressure)
		return 0;
	if (!o.period_ns)
		o.period_ns = 1000000000u;
	w->mirror.t.ops = &ops;
	w->mirror.t.target_kind = GF_TARGET_TRACE;
	w->mirror.of = w->model;
	w->mirror.t.sample = w->model->sample;
	return gf_engine_create(&w->mirror.t, w->opts->pressure, &o, &w->second, err);
}

static int make(struct gf_outcome_work *w, struct gf_err *err)
{
	struct gf_run_opts ro = w->opts->run;
	int rc;

	w->o->rules = w->img->sec[GF_SEC_RULE].count;
	w->o->rule = calloc(w->o->rules + 1, sizeof *w->o->rule);
	if (!w->o->rule)
		return gf_err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < w->o->rules; i++)
		w->o->rule[i].close = gf_unknown();
	rc = gf_model_create(w->feed, &w->opts->model, &w->model, err);
	if (rc)
		return rc;
	ro.views = !w->opts->table;
	ro.act = gf_model_act;
	ro.act_arg = w->model;
	ro.also = w->opts->also;
	if (w->opts->pressure) {
		ro.also.host |= w->opts->pressure->fields.host;
		ro.also.task |= w->opts->pressure->fields.task;
		ro.also.str |= w->opts->pressure->fields.str;
	}
	rc = gf_run_create(w->model, w->img, &ro, &w->run, err);
	return rc ? rc : make_second(w, err);
}

static int loop(struct gf_outcome_work *w, struct gf_err *err)
{
	struct gf_run_tick t;
	int rc;

	if (w->opts->begin && !w->o->ticks)
		w->opts->begin(w->opts->watch_arg, w->model);
	while (!(rc = gf_run_step(w->run, &t, err))) {
		follow_boots(w, &t);
		take(w, &t);
		gf_model_said(w->model, &w->o->said); /* now: it goes on to the first sample that is not wanted any more */
		if (w->opts->watch && !w->opts->watch(w->opts->watch_arg, &t, &w->feed->sample)) {
			w->o->stopped = true;
			return 0;
		}
	}
	if (rc == -EBADMSG && w->o->ticks) {
		snprintf(w->o->damage, sizeof w->o->damage, "%.255s", err && *err->text ? err->text : "damaged");
		return 0;
	}
	return rc == -ENODATA ? 0 : rc;
}

int gf_outcome_open(struct gf_feed *feed, const struct gf_image_header *img, const struct gf_outcome_opts *opts, struct gf_outcome *ret,
		    struct gf_outcome_work **ret_work, struct gf_err *err)
{
	uint64_t begun = gf_engine_clock(CLOCK_MONOTONIC);
	struct gf_outcome_work *w = calloc(1, sizeof *w);
	int rc;

	memset(ret, 0, sizeof *ret);
	if (!w)
		return gf_err_set(err, ENOMEM, "out of memory");
	*w = (struct gf_outcome_work){ .img = img, .opts = opts, .o = ret, .feed = feed, .second_seq = 1 };
	rc = make(w, err);
	ret->took_s = (double)(gf_engine_clock(CLOCK_MONOTONIC) - begun) / 1e9;
	if (rc)
		gf_outcome_close(w);
	else
		*ret_work = w;
	return rc;
}

int gf_outcome_go(struct gf_outcome_work *w, struct gf_err *err)
{
	uint64_t begun = gf_engine_clock(CLOCK_MONOTONIC);
	int rc = loop(w, err);

	w->o->took_s += (double)(gf_engine_clock(CLOCK_MONOTONIC) - begun) / 1e9;
	return rc;
}

void gf_outcome_close(struct gf_outcome_work *w)
{
	struct gf_engine_stats st = { 0 };

	if (!w)
		return;
	if (w->model && !w->o->ticks)
		gf_model_said(w->model, &w->o->said);
	if (w->run)
		gf_engine_stats(gf_run_engine(w->run), &st);
	w->o->events_lost += st.events_dropped; /* more in one sample than the engine has room for */
	gf_engine_destroy(w->second);
	gf_run_destroy(w->run);
	gf_feed_destroy(w->model);
	free(w);
}

int gf_outcome_run(struct gf_feed *feed, const struct gf_image_header *img, const struct gf_outcome_opts *opts, struct gf_outcome *ret,
		   struct gf_err *err)
{
	struct gf_outcome_work *w = NULL;
	int rc = gf_outcome_open(feed, img, opts, ret, &w, err);

	if (!rc)
		rc = gf_outcome_go(w, err);
	gf_outcome_close(w);
	return rc;
}

void gf_outcome_deinit(struct gf_outcome *o)
{
	free(o->event);
	free(o->rule);
	free(o->victim);
	memset(o, 0, sizeof *o);
}
