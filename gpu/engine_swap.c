/* SPDX-License-Identifier: MIT
 *
 * An engine's policy replaced by another while it runs, and what is sampled beside what a policy reads. All is made beforehand; in the
 * caller's turn, between two ticks, it is only put in place.
 */
#include "gpu/engine_cpu.h"
#include "targets/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The new state's memory is faulted in here, not in the tick after the swap. Returns
 * how many rows it is good for. */
static uint32_t fault_before(struct gf_engine *e, struct gf_state *st)
{
	struct gf_engine_stats now;
	uint32_t rows;

	if (!e->opts.mlock)
		return 0;
	gf_engine_stats(e, &now);
	rows = GF_MIN(now.rows + ENGINE_FAULT_AHEAD, st->cap);
	gf_state_prefault(st, 0, rows);
	return rows;
}

static bool same_paths(const struct gf_image_header *a, const struct gf_image_header *b)
{
	for (uint32_t i = 0; i < a->fields.paths && i < b->fields.paths; i++)
		if (strcmp(gf_image_path(a, i), gf_image_path(b, i)))
			return false;
	return a->fields.paths == b->fields.paths;
}

/* Between two ticks: the new fields, then the new state with what it takes over. */
static int swap_now(struct gf_engine *e, struct gf_state *st, const struct gf_adoption *plan, uint32_t faulted,
		    struct gf_gpu_next *next, struct gf_err *err)
{
	const struct gf_image_header *from = e->st->img, *to = st->img;
	bool was_gpu = e->gpu;
	int rc = 0;

	if (memcmp(&from->fields, &to->fields, sizeof from->fields) || !same_paths(from, to)) {
		rc = gf_engine_set_fields(e, to, err);
		if (rc) {
			gf_engine_set_fields(e, from, NULL);
			return rc;
		}
	}
	if (e->gpu)
		gf_gpu_adopt(e, next); /* with it e->st knows what the device knew of the old rules */
	gf_engine_release(e, plan, to->sec[GF_SEC_RULE].count);
	gf_state_adopt(st, e->st, plan);
	e->st = st;
	e->faulted = GF_MIN(faulted, e->faulted); /* tables taken over: as far as they were */
	e->views_at = 0;
	e->now.reloads++;
	if (!was_gpu && !next) /* not one that this reload itself has cost, nor one that was lost since `next` was made on it */
		gf_gpu_retry(e);
	gf_engine_publish_stats(e);
	return 0;
}

/* A caller that has its turn runs at the engine's priority, or whatever else wants
 * the core would make the engine wait for it. */
struct priority {
	struct sched_param p;
	int policy;
	bool raised;
};

static void priority_raise(const struct gf_engine *e, struct priority *was)
{
	struct sched_param p = { .sched_priority = e->opts.rt_priority };

	was->raised = e->running && e->now.rt && !pthread_getschedparam(pthread_self(), &was->policy, &was->p) &&
		      was->policy != SCHED_FIFO && !pthread_setschedparam(pthread_self(), SCHED_FIFO, &p);
}

static void priority_back(const struct priority *was)
{
	if (was->raised)
		pthread_setschedparam(pthread_self(), was->policy, &was->p);
}

int gf_engine_also(struct gf_engine *e, const struct gf_fieldset *f, struct gf_err *err)
{
	struct gf_fieldset was;
	int rc;

	pthread_mutex_lock(&e->mutex);
	rc = gf_engine_turn_caller(e, err);
	if (!rc) {
		was = e->also;
		e->also = *f;
		rc = gf_engine_set_fields(e, e->st->img, err);
		if (rc) {
			e->also = was;
			gf_engine_set_fields(e, e->st->img, NULL);
		}
		gf_engine_turn_give(e);
	}
	pthread_mutex_unlock(&e->mutex);
	return rc;
}

int gf_engine_swap(struct gf_engine *e, const struct gf_image_header *image, struct gf_err *err)
{
	struct engine_views views = { 0 }, old_views;
	struct gf_adoption *plan = NULL;
	struct gf_state *st = NULL, *old;
	struct priority was = { .raised = false };
	struct gf_gpu_next *next = NULL;
	uint32_t faulted = 0;
	int rc;

	pthread_mutex_lock(&e->mutex);
	old = e->st;
	rc = gf_state_create(image, old->cap, &st, err);
	if (!rc && (gf_state_plan(old->img, image, &plan) || gf_engine_views_make(image, &views)))
		rc = gf_err_set(err, ENOMEM, "out of memory for the new policy");
	if (!rc && e->gpu)
		rc = gf_gpu_prepare(e, image, plan, &next, err);
	if (!rc && !e->gpu)
		faulted = fault_before(e, st);
	if (!rc) {
		priority_raise(e, &was);
		rc = gf_engine_turn_caller(e, err);
	}
	if (!rc) {
		rc = swap_now(e, st, plan, faulted, next, err);
		if (!rc) {
			old_views = e->views;
			e->views = views;
			views = old_views;
			st = old;
		}
		gf_engine_turn_give(e);
	}
	priority_back(&was);
	gf_gpu_drop(e, next);
	gf_state_destroy(st);
	free(plan);
	free(views.shown);
	free(views.work);
	pthread_mutex_unlock(&e->mutex);
	return rc;
}
