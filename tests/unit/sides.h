/* SPDX-License-Identifier: MIT
 *
 * A tick by the CPU engine's one lane and by a team of lanes, side by side: what they say, and what they remember, must be the same.
 */
#ifndef TESTS_UNIT_SIDES_H
#define TESTS_UNIT_SIDES_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "gpu/chunk.h"
#include "gpu/tick.h"
#include "tests/unit/kit.h"
#include "tests/unit/lanes.h"
#include "tests/unit/plain.h"

static struct gf_regs regs;

/* One side: a state and what its last tick had to say. */
struct side {
	const char *name;
	struct lanes *lanes; /* NULL: the CPU engine's way */
	struct gf_state *st;
	struct gf_event ev[65];
	struct gf_verdict v[256];
	uint64_t seq;
	struct gf_tick_in in;
	struct gf_tick_out out;
	struct gf_tick t;
};

static struct side cpu, team;

KIT void side_init(struct side *x, const char *name, const struct gf_image_header *img, uint32_t cap)
{
	struct gf_err err;

	memset(x, 0, sizeof *x);
	x->name = name;
	assert_int_equal(gf_state_create(img, cap, &x->st, &err), 0);
	x->in.budget_window_ns = S;
}

KIT void side_tick(struct side *x, const struct gf_sample *s, int fails, uint32_t room)
{
	struct gf_tick_out out = { .events = x->ev, .events_cap = 64, .verdicts = x->v, .verdicts_cap = room, .seq = &x->seq };

	memset(x->ev, 0, sizeof x->ev);
	x->out = out;
	x->t.in = &x->in;
	x->t.out = &x->out;
	x->t.regs = &regs;
	x->t.team = NULL;
	gf_ctx_init(&x->t.c, s, x->st);
	if (x->lanes)
		(fails ? lanes_stale : lanes_tick)(x->lanes, &x->t);
	else
		(fails ? gf_tick_stale : gf_tick_run)(&x->t);
}

/* ---- the same? --------------------------------------------------------------- */

static const char *where;

#define SAME(what, a, b)                                                                              \
	do {                                                                                          \
		uint64_t same_a = (uint64_t)(a), same_b = (uint64_t)(b);                              \
		if (same_a != same_b)                                                                 \
			fail_msg("%s: %s: %llu, with lanes %llu", where, what, (unsigned long long)same_a, \
				 (unsigned long long)same_b);                                         \
	} while (0)
#define SAME_AT(what, i, a, b)                                                        \
	do {                                                                          \
		if ((a) != (b)) {                                                     \
			char same_text[80];                                           \
			snprintf(same_text, sizeof same_text, "%s %u", what, (unsigned)(i)); \
			SAME(same_text, a, b);                                        \
		}                                                                     \
	} while (0)

KIT int same_bits(double a, double b)
{
	return (isnan(a) && isnan(b)) || !memcmp(&a, &b, sizeof a);
}

KIT void same_doubles(const char *what, uint32_t number, const double *a, const double *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!same_bits(a[i], b[i]))
			fail_msg("%s: %s %u, at %zu: %a, with lanes %a", where, what, number, i, a[i], b[i]);
}

KIT void same_said(struct side *a, struct side *b)
{
	SAME("events", a->out.events_n, b->out.events_n);
	SAME("events lost", a->out.events_lost, b->out.events_lost);
	SAME("verdicts", a->out.verdicts_n, b->out.verdicts_n);
	SAME("verdicts lost", a->out.verdicts_lost, b->out.verdicts_lost);
	SAME("actions", a->out.actions, b->out.actions);
	SAME("event numbers", a->seq, b->seq);
	for (uint32_t i = 0; i < a->out.events_n; i++) {
		struct gf_event *x = &a->ev[i], *y = &b->ev[i];
		plain_event(x);
		plain_event(y);
		SAME_AT("event's kind", i, x->kind, y->kind);
		SAME_AT("event's rule", i, x->rule, y->rule);
		SAME_AT("event's row", i, x->row, y->row);
		SAME_AT("event's candidates", i, x->candidates, y->candidates);
		for (uint32_t k = 0; k < x->ranks; k++)
			SAME_AT("event's rank", k, x->u.rank[k].pid, y->u.rank[k].pid);
		SAME_AT("event", i, memcmp(x, y, sizeof *x), 0);
	}
	for (uint32_t i = 0; i < a->out.verdicts_n; i++) {
		one_nan(&a->v[i].amount);
		one_nan(&b->v[i].amount);
		SAME_AT("verdict's row", i, a->v[i].row, b->v[i].row);
		SAME_AT("verdict", i, memcmp(&a->v[i], &b->v[i], sizeof a->v[i]), 0);
	}
}

KIT void same_rows(const struct gf_sample *s, const struct gf_state *a, const struct gf_state *b)
{
	for (uint32_t i = 0; i < s->cap; i++) {
		SAME_AT("row's generation", i, a->row_gen[i], b->row_gen[i]);
		SAME_AT("row's time", i, a->row_since[i], b->row_since[i]);
		SAME_AT("row's tick", i, a->row_tick[i], b->row_tick[i]);
		SAME_AT("row's lower bound", i, a->lo[i], b->lo[i]);
		SAME_AT("row's upper bound", i, a->hi[i], b->hi[i]);
		SAME_AT("row condemned by", i, a->condemned[i], b->condemned[i]);
		SAME_AT("row condemned", i, a->condemned_tick[i], b->condemned_tick[i]);
		SAME_AT("row killed", i, a->killed_ns[i], b->killed_ns[i]);
		SAME_AT("mark", i, a->mark[i], b->mark[i]);
		for (uint32_t f = 0; f < GF_SF_COUNT; f++)
			if (a->str_ver[f])
				SAME_AT("row's string", i, a->str_ver[f][i], b->str_ver[f][i]);
		for (uint32_t k = 0; k < a->img->sec[GF_SEC_MATCH].count; k++)
			SAME_AT("match", k, a->match[k][i], b->match[k][i]);
	}
	for (uint32_t k = 0; k < a->img->sec[GF_SEC_COL].count; k++) {
		if (a->vcol[k])
			same_doubles("column", k, a->vcol[k], b->vcol[k], s->rows);
		for (uint32_t i = 0; a->pcol[k] && i < s->rows; i++)
			if (s->flags[i] & GF_ROW_VALID)
				SAME_AT("column", k, a->pcol[k][i], b->pcol[k][i]);
	}
	same_doubles("aggregates", 0, a->agg, b->agg, a->img->sec[GF_SEC_AGG].count);
}

KIT void same_hist(uint32_t k, const struct gf_hist_state *a, const struct gf_hist_state *b)
{
	size_t all = (size_t)a->cols * a->stride;

	SAME_AT("history's head", k, a->head, b->head);
	SAME_AT("history's column to compare with", k, a->then, b->then);
	SAME_AT("history closing", k, a->closing, b->closing);
	SAME_AT("history's bucket", k, a->acc_start, b->acc_start);
	SAME_AT("history's time", k, a->now_time, b->now_time);
	SAME_AT("history's times", k, memcmp(a->time, b->time, a->cols * sizeof *a->time), 0);
	SAME_AT("history's beginnings", k, memcmp(a->first, b->first, a->stride * sizeof *a->first), 0);
	same_doubles("history's ring", k, a->ring, b->ring, all);
	same_doubles("history's bucket", k, a->acc, b->acc, a->stride);
	same_doubles("history's values", k, a->now, b->now, a->stride);
	if (a->n)
		same_doubles("history's counts", k, a->n, b->n, all);
}

KIT void same_hold(uint32_t k, const struct gf_hold *h, const struct gf_hold_state *a, const struct gf_hold_state *b,
		      uint32_t cap)
{
	SAME_AT("hold born", k, a->born_ns, b->born_ns);
	SAME_AT("hold born in tick", k, a->born_tick, b->born_tick);
	for (uint32_t i = 0; i < (h->scope == GF_SCOPE_TASK ? cap : 1); i++) {
		if (h->kind == GF_HOLD_LATCH)
			SAME_AT("latch", k, a->latched[i], b->latched[i]);
		else
			SAME_AT("hold", k, a->since[i], b->since[i]);
	}
}

KIT void same_state(const struct gf_sample *s, const struct gf_state *a, const struct gf_state *b)
{
	const struct gf_hold *h = GF_SEC(struct gf_hold, a->img, GF_SEC_HOLD);

	SAME("tick", a->tick, b->tick);
	SAME("rows seen", a->rows_seen, b->rows_seen);
	SAME("budget used", a->budget_n, b->budget_n);
	SAME("budget", memcmp(a->budget_at, b->budget_at, GF_BUDGET_MAX * sizeof *a->budget_at), 0);
	same_rows(s, a, b);
	for (uint32_t k = 0; k < a->img->sec[GF_SEC_HIST].count; k++)
		same_hist(k, &a->hist[k], &b->hist[k]);
	for (uint32_t k = 0; k < a->img->sec[GF_SEC_HOLD].count; k++)
		same_hold(k, &h[k], &a->hold[k], &b->hold[k], s->cap);
	for (uint32_t k = 0; k < a->img->sec[GF_SEC_RULE].count; k++) {
		SAME_AT("rule's truth", k, a->rule[k].truth, b->rule[k].truth);
		SAME_AT("rule's true rows", k, a->rule[k].true_rows, b->rule[k].true_rows);
		SAME_AT("rule's victims", k, a->rule[k].victims, b->rule[k].victims);
		SAME_AT("rule", k, memcmp(&a->rule[k], &b->rule[k], sizeof a->rule[k]), 0);
		SAME_AT("rule's victim", k, memcmp(a->victim[k], b->victim[k], a->rule[k].victims * sizeof **a->victim), 0);
	}
}

KIT void same_near(struct side *a, struct side *b)
{
	for (uint32_t k = 0; k < a->st->img->sec[GF_SEC_RULE].count; k++) {
		struct gf_event_term x[GF_EVENT_TERMS], y[GF_EVENT_TERMS];
		uint32_t xr, yr, xn, yn;
		double xc, yc;

		gf_tick_near(&a->t, k, &xc, &xr, x, &xn);
		lanes_near(b->lanes, &b->t, k, &yc, &yr, y, &yn);
		SAME_AT("nearest row of rule", k, xr, yr);
		SAME_AT("terms of rule", k, xn, yn);
		same_doubles("closeness of rule", k, &xc, &yc, 1);
	}
}

#endif
