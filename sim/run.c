// SPDX-License-Identifier: MIT
#include "sim/run.h"

#include <stdlib.h>
#include <string.h>

#include "sim/grow.h"
#include "targets/target.h"

#define PERIOD_NS 100000000ull
#define BUDGET 10u /* the daemon's own, where gpufas.yaml says nothing else */
#define BUDGET_NS 60000000000ull

struct gf_run {
	struct gf_feed *src;
	struct gf_target *target;
	struct gf_engine *engine;
	struct gf_run_opts opts;
	uint64_t ticks, seq;
	struct gf_rule_view *view;
	size_t rules;
	struct gf_event *event;
	size_t events, events_cap;
	struct gf_verdict *verdict;
	size_t verdicts, verdicts_cap;
};

void gf_run_budget(const struct gf_run_opts *o, const struct gf_feed_info *in, uint32_t *ret_n, uint64_t *ret_window_ns)
{
	*ret_n = o->budget_window_ns ? o->budget_n : in->budget_window_ns ? in->budget_n : BUDGET;
	*ret_window_ns = o->budget_window_ns ? o->budget_window_ns : in->budget_window_ns ? in->budget_window_ns : BUDGET_NS;
}

static int make_engine(struct gf_run *run, const struct gf_image_header *img, struct gf_err *err)
{
	const struct gf_feed_info *in = &run->src->info;
	struct gf_engine_opts o = {
		.kind = GF_ENGINE_CPU, .period_ns = run->opts.period_ns, .observe = run->opts.observe,
		.max_tasks = run->src->sample.cap,
		.views_always = run->opts.views, .event_seq = &run->seq,
	};

	if (!o.period_ns)
		o.period_ns = in->interval_ns ? in->interval_ns : PERIOD_NS;
	gf_run_budget(&run->opts, in, &o.budget_n, &o.budget_window_ns);
	return gf_engine_create(run->target, img, &o, &run->engine, err);
}

static int also(struct gf_run *run, const struct gf_image_header *img, struct gf_err *err)
{
	struct gf_fieldset all = img->fields;

	all.host |= run->opts.also.host;
	all.task |= run->opts.also.task;
	all.str |= run->opts.also.str;
	return gf_target_set_fields(run->target, &all, err);
}

int gf_run_create(struct gf_feed *src, const struct gf_image_header *img, const struct gf_run_opts *opts, struct gf_run **ret,
		  struct gf_err *err)
{
	struct gf_run *run = calloc(1, sizeof *run);
	int rc;

	if (!run)
		return gf_err_set(err, ENOMEM, "out of memory for a run");
	run->src = src;
	run->opts = *opts;
	run->seq = 1;
	run->rules = img->sec[GF_SEC_RULE].count;
	run->view = calloc(run->rules + 1, sizeof *run->view);
	rc = run->view ? gf_trace_create(src, &run->target, err) : gf_err_set(err, ENOMEM, "out of memory for a run");
	if (!rc)
		rc = make_engine(run, img, err);
	if (!rc && (opts->also.host | opts->also.task | opts->also.str))
		rc = also(run, img, err);
	if (!rc)
		rc = gf_feed_rewind(src, opts->from_ns, err);
	if (rc) {
		gf_run_destroy(run);
		return rc;
	}
	*ret = run;
	return 0;
}

struct gf_engine *gf_run_engine(struct gf_run *run)
{
	return run->engine;
}

void gf_run_destroy(struct gf_run *run)
{
	if (!run)
		return;
	gf_engine_destroy(run->engine);
	gf_target_destroy(run->target);
	free(run->view);
	free(run->event);
	free(run->verdict);
	free(run);
}

/* All that the tick put into the engine's rings; with the source's time. */
static int take(struct gf_run *run, struct gf_err *err)
{
	size_t n;

	run->events = run->verdicts = 0;
	do {
		if (!gf_grow(&run->event, &run->events_cap, run->events + 64, sizeof *run->event))
			return gf_err_set(err, ENOMEM, "out of memory for events");
		n = gf_engine_events(run->engine, run->event + run->events, 64);
		run->events += n;
	} while (n == 64);
	do {
		if (!gf_grow(&run->verdict, &run->verdicts_cap, run->verdicts + 64, sizeof *run->verdict))
			return gf_err_set(err, ENOMEM, "out of memory for verdicts");
		n = gf_engine_verdicts(run->engine, run->verdict + run->verdicts, 64);
		run->verdicts += n;
	} while (n == 64);
	for (size_t i = 0; i < run->events; i++) {
		run->event[i].wall_ns = run->src->wall_ns;
		run->event[i].decide_ns = 0;
	}
	return 0;
}

static void act(struct gf_run *run)
{
	if (!run->opts.act)
		return;
	for (size_t i = 0; i < run->verdicts; i++)
		if (!(run->verdict[i].flags & GF_VERDICT_OBSERVE))
			run->opts.act(run->opts.act_arg, &run->verdict[i]);
}

int gf_run_step(struct gf_run *run, struct gf_run_tick *ret, struct gf_err *err)
{
	int rc = gf_trace_next(run->target, err), r;

	if (rc && rc != -EAGAIN)
		return rc;
	if (run->opts.to_ns && run->src->sample.now_ns > run->opts.to_ns)
		return -ENODATA;
	gf_engine_tick(run->engine, NULL); /* what fails here is the sample, and rc says it */
	r = take(run, err);
	if (r)
		return r;
	act(run);
	memset(ret, 0, sizeof *ret);
	ret->number = ++run->ticks;
	ret->now_ns = run->src->sample.now_ns;
	ret->wall_ns = run->src->wall_ns;
	ret->stale = rc != 0;
	ret->sample = &run->src->sample;
	ret->event = run->event;
	ret->events = run->events;
	ret->verdict = run->verdict;
	ret->verdicts = run->verdicts;
	ret->rules = run->rules;
	if (run->opts.views) {
		gf_engine_rules(run->engine, run->view, run->rules, NULL);
		ret->view = run->view;
	}
	return 0;
}
