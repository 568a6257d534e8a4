/* SPDX-License-Identifier: MIT
 *
 * Whole ticks by hand.
 */
#ifndef GPUFAS_TEST_TICKRIG_H
#define GPUFAS_TEST_TICKRIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <signal.h>

#include "gpu/engine.h"
#include "tests/unit/kit.h"

struct rig {
	struct fake *f;
	struct gf_engine *e;
	struct gf_image_header *img;
	struct gf_event ev[64];
	struct gf_verdict v[64];
	size_t events, verdicts;
};

static struct kit k;

static inline void rig_init(struct rig *g, struct fake *f, uint32_t budget)
{
	struct gf_engine_opts o = { .period_ns = 100 * MS, .budget_n = budget, .budget_window_ns = 60 * S };
	struct gf_err err = { "" };

	memset(g, 0, sizeof *g);
	g->f = f;
	g->img = kit_image(&k, &err);
	if (!g->img)
		fail_msg("verifier: %s", err.text);
	assert_int_equal(gf_engine_create(&f->t, g->img, &o, &g->e, &err), 0);
}

static inline void rig_free(struct rig *g)
{
	gf_engine_destroy(g->e);
	gf_target_destroy(&g->f->t);
	free(g->img);
}

/* One tick; its events and verdicts are in g afterwards. */
static inline void tick(struct rig *g)
{
	gf_engine_tick(g->e, NULL);
	g->events = gf_engine_events(g->e, g->ev, 64);
	g->verdicts = gf_engine_verdicts(g->e, g->v, 64);
}

static inline const struct gf_event *event_of(const struct rig *g, int kind)
{
	for (size_t i = 0; i < g->events; i++)
		if (g->ev[i].kind == kind)
			return &g->ev[i];
	return NULL;
}

static inline double *column(struct fake *f, uint32_t field)
{
	struct gf_fieldset set = f->fields;

	set.task |= GF_BIT(field);
	gf_target_set_fields(&f->t, &set, NULL);
	return f->t.sample.col[field];
}

/* Ten tasks whose rss is 10 * (row + 1). */
static inline struct fake *ten_tasks(void)
{
	struct fake *f = fake_new(256);
	double *rss = column(f, GF_TF_RSS);

	for (uint32_t i = 0; i < 10; i++) {
		fake_task(f, i);
		rss[i] = 10.0 * (i + 1);
	}
	f->t.sample.host[GF_HF_MEM_AVAILABLE] = 1;
	return f;
}

/* mem.available < 5: signal largest by rss. */
static inline struct gf_rule *low_memory(int sig)
{
	struct gf_rule *r = rule(&k, 0, host_lt(&k, GF_HF_MEM_AVAILABLE, 5));

	step(&k, r, GF_ACT_SIGNAL, sig, GF_PICK_LARGEST, 0)->key = number_of(&k, GF_TF_RSS);
	return r;
}

#endif
