/* SPDX-License-Identifier: MIT
 *
 * An engine made and ended, and what callers ask of it.
 */
#include "gpu/engine_cpu.h"
#include "targets/target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_opts(const struct gf_target *target, const struct gf_engine_opts *o, struct gf_err *err)
{
	if (o->period_ns < 1000000)
		return gf_err_set(err, EINVAL, "the period is %llu ns; 1 ms is the shortest",
				  (unsigned long long)o->period_ns);
	if (o->budget_n > GF_BUDGET_MAX)
		return gf_err_set(err, EINVAL, "the budget is %u actions; %u is the most that is counted", o->budget_n,
				  GF_BUDGET_MAX);
	if (o->budget_n && (!o->budget_window_ns || o->budget_window_ns > GF_MAX_NS))
		return gf_err_set(err, EINVAL, "a budget of %u actions in %llu ns is none; name a time it is for",
				  o->budget_n, (unsigned long long)o->budget_window_ns);
	if (!target->sample.cap)
		return gf_err_set(err, EINVAL, "target %s has no table of tasks", target->name);
	return 0;
}

static int make_buffers(struct gf_engine *e)
{
	void *regs = NULL;

	if (posix_memalign(&regs, 64, sizeof *e->regs))
		return -ENOMEM;
	memset(regs, 0, sizeof *e->regs);
	e->regs = regs;
	e->out.events = calloc(ENGINE_STAGED + 1, sizeof *e->out.events);
	e->out.verdicts = calloc(ENGINE_ACTS, sizeof *e->out.verdicts);
	e->out.events_cap = ENGINE_STAGED;
	e->out.verdicts_cap = ENGINE_ACTS;
	e->out.seq = e->opts.event_seq ? e->opts.event_seq : gf_engine_seq_word();
	if (!e->out.events || !e->out.verdicts || gf_ring_init(&e->events, ENGINE_EVENTS, sizeof(struct gf_event)) ||
	    gf_ring_init(&e->verdicts, ENGINE_VERDICTS, sizeof(struct gf_verdict)))
		return -ENOMEM;
	return 0;
}

/* What an image reads, to the target: first where its kernel paths lead, then which fields are wanted. */
int gf_engine_set_fields(struct gf_engine *e, const struct gf_image_header *img, struct gf_err *err)
{
	struct gf_target *target = e->target;
	struct gf_fieldset all = img->fields;
	const char *text[GF_MAX_PATHS];
	uint32_t n = img->fields.paths;
	int rc;

	for (uint32_t i = 0; i < n; i++)
		text[i] = gf_image_path(img, i);
	rc = n || target->ops->set_paths ? gf_target_set_paths(target, text, n, err) : 0;
	all.host |= e->also.host;
	all.task |= e->also.task;
	all.str |= e->also.str;
	return rc ? rc : gf_target_set_fields(target, &all, err);
}

/* The GPU where one is wanted. With "auto" it is no error that there is none: the engine says why. */
static int choose(struct gf_engine *e, struct gf_err *err)
{
	int rc;

	if (e->opts.kind == GF_ENGINE_CPU)
		return 0;
	rc = gf_gpu_create(e, err);
	return e->opts.kind == GF_ENGINE_GPU ? rc : 0;
}

int gf_engine_create(struct gf_target *target, const struct gf_image_header *image,
		     const struct gf_engine_opts *opts, struct gf_engine **ret, struct gf_err *err)
{
	struct gf_engine *e;
	int rc = check_opts(target, opts, err);

	if (rc)
		return rc;
	e = calloc(1, sizeof *e);
	if (!e)
		return gf_err_set(err, ENOMEM, "out of memory for the engine");
	e->target = target;
	e->opts = *opts;
	e->observe = opts->observe;
	e->in.budget_n = opts->budget_n;
	e->in.budget_window_ns = opts->budget_window_ns;
	e->in.target = opts->target_index;
	pthread_mutex_init(&e->mutex, NULL);
	if (make_buffers(e) || gf_engine_views_make(image, &e->views)) {
		rc = gf_err_set(err, ENOMEM, "out of memory for the engine");
		goto fail;
	}
	rc = gf_engine_set_fields(e, image, err);
	if (!rc)
		rc = gf_state_create(image, target->sample.cap, &e->st, err);
	if (!rc)
		rc = choose(e, err);
	if (rc)
		goto fail;
	gf_engine_publish_stats(e);
	*ret = e;
	return 0;
fail:
	gf_engine_destroy(e);
	return rc;
}

void gf_engine_destroy(struct gf_engine *e)
{
	if (!e)
		return;
	gf_engine_stop(e);
	gf_gpu_destroy(e);
	gf_ring_deinit(&e->events);
	gf_ring_deinit(&e->verdicts);
	gf_state_destroy(e->st);
	free(e->views.shown);
	free(e->views.work);
	free(e->out.events);
	free(e->out.verdicts);
	free(e->regs);
	pthread_mutex_destroy(&e->mutex);
	free(e);
}

void gf_engine_set_observe(struct gf_engine *e, bool observe)
{
	if (__atomic_exchange_n(&e->observe, observe, __ATOMIC_SEQ_CST) != observe)
		gf_gpu_wake(e);
}

size_t gf_engine_events(struct gf_engine *e, struct gf_event *buf, size_t n)
{
	return gf_ring_take(&e->events, buf, n);
}

int gf_engine_event_fd(struct gf_engine *e)
{
	return e->events.fd;
}

size_t gf_engine_verdicts(struct gf_engine *e, struct gf_verdict *buf, size_t n)
{
	return gf_ring_take(&e->verdicts, buf, n);
}

int gf_engine_verdict_fd(struct gf_engine *e)
{
	return e->verdicts.fd;
}

void gf_engine_stats(const struct gf_engine *e, struct gf_engine_stats *ret)
{
	gf_seq_read(&e->shown_seq, ret, &e->shown, sizeof *ret);
}

size_t gf_engine_rules(struct gf_engine *e, struct gf_rule_view *buf, size_t n, uint64_t *ret_fp)
{
	size_t rules;

	__atomic_store_n(&e->asked_at, gf_engine_clock(CLOCK_MONOTONIC), __ATOMIC_RELAXED);
	/* A swap replaces the views; the engine itself is not held up by the mutex. */
	pthread_mutex_lock(&e->mutex);
	rules = e->views.n;
	gf_seq_read(&e->views.seq, buf, e->views.shown, GF_MIN(n, rules) * sizeof *buf);
	if (ret_fp)
		*ret_fp = e->views.fp;
	pthread_mutex_unlock(&e->mutex);
	return rules;
}
