/* SPDX-License-Identifier: MIT */
#include "targets/results.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int by_event(const void *x, const void *y)
{
	const struct gf_result *a = x, *b = y;

	if (a->event != b->event)
		return a->event < b->event ? -1 : 1;
	return a->observed - b->observed;
}

void gf_results_flush(struct gf_results *r)
{
	struct gf_event ev;
	uint32_t i = 0;

	qsort(r->result, r->n, sizeof *r->result, by_event);
	while (i < r->n) {
		const struct gf_result *first = &r->result[i];

		memset(&ev, 0, sizeof ev);
		ev.kind = GF_EV_RESULT;
		ev.about = first->event;
		ev.rule = first->rule;
		ev.step = first->step;
		ev.row = ev.uid = GF_NONE;
		ev.observed = first->observed;
		ev.target = r->target_index;
		ev.now_ns = now_ns(CLOCK_BOOTTIME);
		ev.wall_ns = now_ns(CLOCK_REALTIME);
		for (; i < r->n && ev.count < GF_EVENT_MEMBERS && !by_event(&r->result[i], first); i++)
			ev.u.member[ev.count++] = r->result[i].m;
		ev.members = ev.count;
		r->sink(r->sink_arg, &ev);
	}
	r->n = 0;
}

void gf_results_add(struct gf_results *r, const struct gf_verdict *v, const struct gf_event_member *m)
{
	if (r->n == GF_RESULTS)
		gf_results_flush(r);
	if (!r->n)
		r->first_ns = now_ns(CLOCK_MONOTONIC);
	r->result[r->n++] = (struct gf_result){ v->event, v->rule, v->step, !!(v->flags & GF_VERDICT_OBSERVE), *m };
}
