/* SPDX-License-Identifier: MIT
 *
 * The tick compiled as for the device, run by threads.
 */
#define GF_TEAM 1
#define GF_WIDTH 1

#include "gpu/tick.h"

#include "tests/unit/lanes.h"
#include "tests/unit/team.h"

struct lanes {
	struct emu *e;
	struct gf_tick *t;
	unsigned calls, jobs[64];
};

static void gf_team_dispatch(struct gf_team *t, const struct gf_call *call)
{
	struct lanes *l = t->mem->ctx;

	if (!t->lane) {
		l->calls++;
		l->jobs[call->job & 63]++;
	}
	gf_tick_job(l->t, call, t->lane, t->lanes);
}

struct lanes *lanes_new(uint32_t lanes)
{
	struct lanes *l = calloc(1, sizeof *l);

	l->e = emu_new(lanes, l);
	return l;
}

void lanes_free(struct lanes *l)
{
	emu_free(l->e);
	free(l);
}

static struct gf_tick *with(struct lanes *l, struct gf_tick *t)
{
	t->team = &l->e->lane[0].team;
	t->regs = NULL;
	l->t = t;
	return t;
}

void lanes_tick(struct lanes *l, struct gf_tick *t)
{
	gf_tick_run(with(l, t));
}

void lanes_stale(struct lanes *l, struct gf_tick *t)
{
	gf_tick_stale(with(l, t));
}

void lanes_near(struct lanes *l, struct gf_tick *t, uint32_t rule, double *close, uint32_t *row, struct gf_event_term *terms,
		uint32_t *n)
{
	gf_tick_near(with(l, t), rule, close, row, terms, n);
}

int lanes_before(uint8_t pick, const struct gf_standing *a, const struct gf_standing *b)
{
	struct gf_top_entry x = gf_top_entry(pick, 0, a), y = gf_top_entry(pick, 0, b);

	return gf_top_before(&x, &y);
}

unsigned lanes_calls(struct lanes *l)
{
	unsigned n = l->calls;

	l->calls = 0;
	return n;
}

unsigned lanes_jobs(struct lanes *l, uint32_t job)
{
	return l->jobs[job & 63];
}
