/* SPDX-License-Identifier: MIT
 *
 * Whole ticks by hand: holds, histories, aggregates, columns, selection and the
 * states of rules, against what the policy language says.
 */
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

static void rig_init(struct rig *g, struct fake *f, uint32_t budget)
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

static void rig_free(struct rig *g)
{
	gf_engine_destroy(g->e);
	gf_target_destroy(&g->f->t);
	free(g->img);
}

/* One tick; its events and verdicts are in g afterwards. */
static void tick(struct rig *g)
{
	gf_engine_tick(g->e, NULL);
	g->events = gf_engine_events(g->e, g->ev, 64);
	g->verdicts = gf_engine_verdicts(g->e, g->v, 64);
}

static const struct gf_event *event_of(const struct rig *g, int kind)
{
	for (size_t i = 0; i < g->events; i++)
		if (g->ev[i].kind == kind)
			return &g->ev[i];
	return NULL;
}

static double *column(struct fake *f, uint32_t field)
{
	struct gf_fieldset set = f->fields;

	set.task |= GF_BIT(field);
	gf_target_set_fields(&f->t, &set, NULL);
	return f->t.sample.col[field];
}

/* Ten tasks whose rss is 10 * (row + 1). */
static struct fake *ten_tasks(void)
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
static struct gf_rule *low_memory(int sig)
{
	struct gf_rule *r = rule(&k, 0, host_lt(&k, GF_HF_MEM_AVAILABLE, 5));

	step(&k, r, GF_ACT_SIGNAL, sig, GF_PICK_LARGEST, 0)->key = number_of(&k, GF_TF_RSS);
	return r;
}

static void largest_is_chosen_once(void **state)
{
	struct fake *f = ten_tasks();
	struct rig g;

	(void)state;
	kit_init(&k);
	low_memory(SIGKILL);
	rig_init(&g, f, 10);
	tick(&g);
	assert_int_equal(g.verdicts, 1);
	assert_int_equal(g.v[0].pid, 109);
	assert_int_equal(g.v[0].arg, SIGKILL);
	assert_int_equal(g.v[0].flags, GF_VERDICT_LEAD | GF_VERDICT_LAST);
	assert_non_null(event_of(&g, GF_EV_RULE_ON));
	assert_int_equal(event_of(&g, GF_EV_ACTION)->pid, 109);
	assert_int_equal(event_of(&g, GF_EV_ACTION)->seq, g.v[0].event);
	assert_int_equal(event_of(&g, GF_EV_ACTION)->candidates, 10);
	assert_int_equal(event_of(&g, GF_EV_ACTION)->ranks, 6);
	assert_int_equal(event_of(&g, GF_EV_ACTION)->u.rank[1].pid, 108);
	assert_int_equal(event_of(&g, GF_EV_ACTION)->u.rank[1].why, GF_WHY_RANKED_LOWER);
	/* Settling: held back, said once. */
	tick(&g);
	assert_int_equal(g.verdicts, 0);
	assert_int_equal(event_of(&g, GF_EV_HELD_BACK)->held_back, GF_HB_SETTLE);
	tick(&g);
	assert_int_equal(g.events + g.verdicts, 0);
	/* A dying task that still has memory keeps the rule waiting. */
	f->t.sample.flags[9] |= GF_ROW_EXITING;
	tick(&g);
	assert_int_equal(g.verdicts, 0);
	/* So does one from whom it has been taken, and that is not free yet. */
	f->t.sample.flags[9] |= GF_ROW_LEAVING;
	f->t.sample.col[GF_TF_RSS][9] = 0;
	tick(&g);
	assert_int_equal(g.verdicts, 0);
	f->t.sample.flags[9] &= (uint8_t)~GF_ROW_LEAVING;
	tick(&g);
	assert_int_equal(g.verdicts, 1);
	assert_int_equal(g.v[0].pid, 108);
	/* Off when it is over. */
	f->t.sample.host[GF_HF_MEM_AVAILABLE] = 9;
	tick(&g);
	assert_non_null(event_of(&g, GF_EV_RULE_OFF));
	rig_free(&g);
}

static void unknown_never_fires(void **state)
{
	struct fake *f = ten_tasks();
	struct rig g;

	(void)state;
	kit_init(&k);
	low_memory(SIGKILL);
	rig_init(&g, f, 10);
	f->t.sample.host[GF_HF_MEM_AVAILABLE] = gf_unknown();
	tick(&g);
	assert_int_equal(g.events + g.verdicts, 0);
	/* Nor does a rank that is not known get anybody chosen. */
	f->t.sample.host[GF_HF_MEM_AVAILABLE] = 1;
	for (uint32_t i = 0; i < 10; i++)
		f->t.sample.col[GF_TF_RSS][i] = gf_unknown();
	tick(&g);
	assert_int_equal(g.verdicts, 0);
	assert_int_equal(event_of(&g, GF_EV_NO_VICTIM)->u.rank[0].why, GF_WHY_KEY_UNKNOWN);
	tick(&g);
	assert_null(event_of(&g, GF_EV_NO_VICTIM));
	rig_free(&g);
}

static void stale_sample_does_nothing(void **state)
{
	struct fake *f = ten_tasks();
	struct rig g;

	(void)state;
	kit_init(&k);
	low_memory(SIGKILL);
	rig_init(&g, f, 10);
	f->fail = EIO;
	tick(&g);
	assert_int_equal(g.verdicts, 0);
	assert_int_equal(event_of(&g, GF_EV_HELD_BACK)->held_back, GF_HB_STALE);
	tick(&g);
	assert_int_equal(g.events, 0);
	f->fail = 0;
	tick(&g);
	assert_int_equal(g.verdicts, 1);
	rig_free(&g);
}

static void what_may_never_be_touched(void **state)
{
	static const struct { uint8_t flag, why; } c[] = {
		{ GF_ROW_INIT, GF_WHY_PID1 }, { GF_ROW_KTHREAD, GF_WHY_KTHREAD }, { GF_ROW_SELF, GF_WHY_SELF },
		{ GF_ROW_EXITING, GF_WHY_EXITING }, { GF_ROW_TORN, GF_WHY_TORN }, { GF_ROW_OOM_IMMUNE, GF_WHY_OOM_IMMUNE },
	};
	struct rig g;

	(void)state;
	for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
		struct fake *f = ten_tasks();

		kit_init(&k);
		low_memory(SIGKILL);
		f->t.sample.flags[9] |= c[i].flag;
		f->t.sample.pid[8] = 1; /* pid 1 needs no flag */
		rig_init(&g, f, 10);
		tick(&g);
		assert_int_equal(g.verdicts, 1);
		assert_int_equal(g.v[0].pid, 107);
		assert_int_equal(event_of(&g, GF_EV_ACTION)->u.rank[1].why, c[i].why);
		assert_int_equal(event_of(&g, GF_EV_ACTION)->u.rank[2].why, GF_WHY_PID1);
		rig_free(&g);
	}
}

static void classes_protect_and_sort(void **state)
{
	struct fake *f = ten_tasks();
	double *uid = column(f, GF_TF_UID), *nice = column(f, GF_TF_NICE), *prio = column(f, GF_TF_PRIO);
	struct rig g;
	const struct gf_event *ev;

	(void)state;
	kit_init(&k);
	low_memory(SIGKILL);
	class(&k, GF_CLASS_PROTECT, test_gt(&k, GF_TF_UID, 0));
	class(&k, GF_CLASS_AVOID, test_gt(&k, GF_TF_NICE, 0));
	class(&k, GF_CLASS_PREFER, test_gt(&k, GF_TF_PRIO, 0));
	class(&k, GF_CLASS_UNPROTECT, test_gt(&k, GF_TF_PRIO, 1));
	uid[9] = 1;
	uid[8] = gf_unknown(); /* unknown protects */
	nice[7] = 1;
	prio[2] = prio[3] = 1;
	nice[3] = 1; /* both: avoided */
	prio[1] = 2;
	f->t.sample.flags[1] |= GF_ROW_OOM_IMMUNE; /* unprotected again */
	rig_init(&g, f, 10);
	tick(&g);
	ev = event_of(&g, GF_EV_ACTION);
	assert_int_equal(g.v[0].pid, 102);
	assert_int_equal(ev->protect, 2);
	assert_int_equal(ev->u.rank[1].why, GF_WHY_PROTECTED);
	assert_int_equal(ev->u.rank[1].by, 0);
	assert_int_equal(ev->u.rank[2].why, GF_WHY_PROTECTED);
	assert_int_equal(ev->u.rank[3].why, GF_WHY_AVOIDED);
	assert_int_equal(ev->u.rank[4].why, GF_WHY_NOT_PREFERRED);
	fake_gone(f, 2);
	tick(&g);
	assert_int_equal(g.v[0].pid, 101);
	rig_free(&g);
}

/* SIGTERM, after 5 s SIGKILL for those still there, also when the need is over. */
static void steps_go_on(void **state)
{
	struct fake *f = ten_tasks();
	struct gf_rule *r;
	struct rig g;

	(void)state;
	kit_init(&k);
	r = low_memory(SIGTERM);
	step(&k, r, GF_ACT_SIGNAL, SIGKILL, GF_PICK_SAME, 5 * S);
	r->cooldown_ns = 30 * S;
	rig_init(&g, f, 10);
	f->step_ns = S;
	tick(&g);
	assert_int_equal(g.v[0].arg, SIGTERM);
	f->t.sample.host[GF_HF_MEM_AVAILABLE] = 9;
	for (int i = 0; i < 4; i++) {
		tick(&g);
		assert_int_equal(g.verdicts, 0);
	}
	tick(&g);
	assert_int_equal(g.verdicts, 1);
	assert_int_equal(g.v[0].arg, SIGKILL);
	assert_int_equal(g.v[0].pid, 109);
	assert_int_equal(g.v[0].step, 1);
	/* Gone at once, yet the rule cools down for 30 s from the last step. */
	fake_gone(f, 9);
	f->t.sample.host[GF_HF_MEM_AVAILABLE] = 1;
	tick(&g);
	assert_int_equal(g.verdicts, 0);
	assert_int_equal(event_of(&g, GF_EV_HELD_BACK)->held_back, GF_HB_COOLDOWN);
	for (int i = 0; i < 28; i++) {
		tick(&g);
		assert_int_equal(g.verdicts, 0);
	}
	tick(&g);
	assert_int_equal(g.v[0].pid, 108);
	assert_int_equal(g.v[0].arg, SIGTERM);
	/* This one obeys: the kill is skipped at once, and a new victim needs no wait but the cooldown. */
	fake_gone(f, 8);
	tick(&g);
	assert_non_null(event_of(&g, GF_EV_SKIPPED));
	assert_int_equal(g.verdicts, 0);
	rig_free(&g);
}

/* A pid that another task has now is not the victim any more. */
static void recycled_row_is_not_the_victim(void **state)
{
	struct fake *f = ten_tasks();
	struct gf_rule *r;
	struct rig g;

	(void)state;
	kit_init(&k);
	r = low_memory(SIGTERM);
	step(&k, r, GF_ACT_SIGNAL, SIGKILL, GF_PICK_SAME, 5 * S);
	rig_init(&g, f, 10);
	f->step_ns = 6 * S;
	tick(&g);
	assert_int_equal(g.v[0].pid, 109);
	f->t.sample.gen[9]++;
	f->t.sample.host[GF_HF_MEM_AVAILABLE] = 9;
	tick(&g);
	assert_int_equal(g.verdicts, 0);
	assert_non_null(event_of(&g, GF_EV_SKIPPED));
	rig_free(&g);
}

static void limit_and_budget_hold_back(void **state)
{
	struct fake *f = ten_tasks();
	struct gf_rule *r;
	struct rig g;

	(void)state;
	kit_init(&k);
	r = low_memory(SIGKILL);
	r->limit_n = 2;
	r->limit_window_ns = 20 * S;
	rig_init(&g, f, 3);
	f->step_ns = S;
	for (uint32_t i = 0; i < 2; i++) {
		tick(&g);
		assert_int_equal(g.verdicts, 1);
		fake_gone(f, 9 - i);
	}
	tick(&g);
	assert_int_equal(g.verdicts, 0);
	assert_int_equal(event_of(&g, GF_EV_HELD_BACK)->held_back, GF_HB_LIMIT);
	f->step_ns = 20 * S;
	tick(&g); /* the limit's window is over: one more, then the budget of 3 in 60 s is spent */
	assert_int_equal(g.verdicts, 1);
	fake_gone(f, 7);
	f->step_ns = S;
	tick(&g);
	assert_int_equal(g.verdicts, 0);
	assert_int_equal(event_of(&g, GF_EV_HELD_BACK)->held_back, GF_HB_BUDGET);
	rig_free(&g);
}

/* What one rule has condemned another cannot take, until it is gone. */
static void condemned_is_out_of_reach(void **state)
{
	struct fake *f = ten_tasks();
	struct gf_rule *r;
	struct rig g;

	(void)state;
	kit_init(&k);
	low_memory(SIGTERM);
	r = low_memory(SIGKILL);
	r->settle_ns = 1 * MS;
	rig_init(&g, f, 100);
	tick(&g);
	assert_int_equal(g.verdicts, 2);
	assert_int_equal(g.v[0].pid, 109);
	assert_int_equal(g.v[1].pid, 108);
	tick(&g); /* rule 0 still follows 109; rule 1 has settled and chooses anew, but not 108, which it has killed */
	assert_int_equal(g.verdicts, 1);
	assert_int_equal(g.v[0].pid, 107);
	assert_int_equal(event_of(&g, GF_EV_ACTION)->condemned, 2);
	rig_free(&g);
}

static void observing_does_not_act_nor_claim(void **state)
{
	struct fake *f = ten_tasks();
	struct rig g;

	(void)state;
	kit_init(&k);
	low_memory(SIGTERM)->flags = GF_RULE_OBSERVE;
	((struct gf_rule *)gf_emit_at(&k.e, GF_SEC_RULE, 0))->priority = 1;
	low_memory(SIGKILL);
	rig_init(&g, f, 1);
	tick(&g);
	assert_int_equal(g.verdicts, 2);
	assert_true(g.v[0].flags & GF_VERDICT_OBSERVE);
	assert_int_equal(g.v[0].pid, 109);
	assert_false(g.v[1].flags & GF_VERDICT_OBSERVE);
	assert_int_equal(g.v[1].pid, 109);
	rig_free(&g);

	f = ten_tasks();
	kit_init(&k);
	low_memory(SIGKILL);
	rig_init(&g, f, 1);
	gf_engine_set_observe(g.e, true);
	tick(&g);
	assert_int_equal(g.verdicts, 1);
	assert_true(g.v[0].flags & GF_VERDICT_OBSERVE);
	assert_int_equal(event_of(&g, GF_EV_ACTION)->observed, 1);
	rig_free(&g);
}

static void trees_and_groups(void **state)
{
	struct fake *f = ten_tasks();
	struct gf_sample *s = &f->t.sample;
	double *pgrp = column(f, GF_TF_PGRP);
	struct gf_rule *r;
	struct gf_step *st;
	struct rig g;

	(void)state;
	kit_init(&k);
	r = low_memory(SIGSTOP);
	((struct gf_step *)gf_emit_at(&k.e, GF_SEC_STEP, 0))->group = GF_GROUP_TREE;
	r = rule(&k, 0, 0);
	r->cond = host_lt(&k, GF_HF_MEM_AVAILABLE, 5);
	st = step(&k, r, GF_ACT_SIGNAL, SIGTERM, GF_PICK_LARGEST, 0);
	st->key = number_of(&k, GF_TF_RSS);
	st->group = GF_GROUP_PGRP;
	k.e.fields.task |= GF_BIT(GF_TF_PGRP);
	/* 9 has children 1 and 2, 2 has 3; 4 and 5 are each other's parent. */
	s->parent[1] = s->parent[2] = 9;
	s->parent[3] = 2;
	s->parent[4] = 5;
	s->parent[5] = 4;
	s->flags[1] |= GF_ROW_SELF;
	pgrp[8] = pgrp[7] = pgrp[3] = 77;
	rig_init(&g, f, 10);
	tick(&g);
	assert_int_equal(g.verdicts, 5);
	assert_int_equal(g.v[0].pid, 109);
	assert_int_equal(g.v[1].pid, 102);
	assert_int_equal(g.v[2].pid, 103);
	assert_int_equal(g.v[2].flags, GF_VERDICT_LAST);
	assert_int_equal(g.v[3].pid, 108); /* the group of 8, less 3, which the first rule has */
	assert_int_equal(g.v[4].pid, 107);
	rig_free(&g);
}

/* rss > 50 for 300 ms, per task. */
static void holds_per_task(void **state)
{
	struct fake *f = ten_tasks();
	double *rss = f->t.sample.col[GF_TF_RSS];
	struct gf_rule *r;
	uint32_t h;
	struct rig g;

	(void)state;
	kit_init(&k);
	h = hold(&k, GF_SCOPE_TASK, GF_HOLD_TIME, 300 * MS);
	ldf(&k, 0, GF_TF_RSS);
	ldk(&k, 1, 50);
	op(&k, GF_OP_GT, 0, 0, 1, 0);
	op(&k, GF_OP_HELD, 0, 0, 0, h);
	r = rule(&k, GF_RULE_TASK, prog(&k, GF_SCOPE_TASK, 1, 0, 0, 0));
	step(&k, r, GF_ACT_SIGNAL, SIGKILL, GF_PICK_EACH, 0)->n = 100;
	rig_init(&g, f, 100);
	for (uint32_t i = 0; i < 10; i++)
		rss[i] = 10;
	tick(&g);
	rss[3] = rss[4] = rss[200] = 60;
	tick(&g);
	tick(&g);
	rss[4] = 10; /* a gap */
	tick(&g);
	rss[4] = 60;
	assert_int_equal(g.verdicts, 0);
	tick(&g); /* three periods after the first true tick: 300 ms */
	assert_int_equal(g.verdicts, 1);
	assert_int_equal(g.v[0].pid, 103);
	fake_gone(f, 3);
	tick(&g);
	tick(&g);
	assert_int_equal(g.verdicts, 0);
	tick(&g);
	assert_int_equal(g.verdicts, 1);
	assert_int_equal(g.v[0].pid, 104);
	rig_free(&g);
}

/* A clock that goes back, and one tick lost, start the run anew. */
static void holds_and_clocks(void **state)
{
	struct fake *f = ten_tasks();
	struct gf_rule *r;
	uint32_t h;
	struct rig g;

	(void)state;
	kit_init(&k);
	h = hold(&k, GF_SCOPE_HOST, GF_HOLD_TIME, 300 * MS);
	ldh(&k, 0, GF_HF_MEM_AVAILABLE);
	ldk(&k, 1, 5);
	op(&k, GF_OP_LT, 0, 0, 1, 0);
	op(&k, GF_OP_HELD, 0, 0, 0, h);
	r = rule(&k, 0, prog(&k, GF_SCOPE_HOST, 1, 0, 0, 0));
	step(&k, r, GF_ACT_SIGNAL, SIGKILL, GF_PICK_NEWEST, 0);
	rig_init(&g, f, 100);
	tick(&g);
	tick(&g);
	tick(&g);
	f->t.sample.now_ns -= 500 * S;
	for (int i = 0; i < 3; i++) {
		tick(&g);
		assert_int_equal(g.verdicts, 0);
	}
	f->fail = EIO;
	tick(&g);
	f->fail = 0;
	for (int i = 0; i < 3; i++) {
		tick(&g);
		assert_int_equal(g.verdicts, 0);
	}
	tick(&g);
	assert_int_equal(g.verdicts, 1);
	assert_int_equal(g.v[0].pid, 109);
	rig_free(&g);
}

/* A gate that is not true resets the hold behind it. */
static void gate_resets_hold(void **state)
{
	struct fake *f = ten_tasks();
	struct gf_rule *r;
	uint32_t h, gate;
	struct rig g;

	(void)state;
	kit_init(&k);
	h = hold(&k, GF_SCOPE_TASK, GF_HOLD_PERIODS, 3);
	gate = host_lt(&k, GF_HF_MEM_AVAILABLE, 5);
	ldf(&k, 0, GF_TF_RSS);
	ldk(&k, 1, 95);
	op(&k, GF_OP_GT, 0, 0, 1, 0);
	op(&k, GF_OP_HELD, 0, 0, 0, h);
	r = rule(&k, GF_RULE_TASK, prog(&k, GF_SCOPE_TASK, 1, 0, 0, 0));
	r->gate = gate;
	step(&k, r, GF_ACT_SIGNAL, SIGKILL, GF_PICK_EACH, 0);
	rig_init(&g, f, 100);
	tick(&g);
	tick(&g);
	f->t.sample.host[GF_HF_MEM_AVAILABLE] = 9;
	tick(&g);
	f->t.sample.host[GF_HF_MEM_AVAILABLE] = 1;
	tick(&g);
	tick(&g);
	assert_int_equal(g.verdicts, 0);
	tick(&g);
	assert_int_equal(g.verdicts, 1);
	rig_free(&g);
}

/* Each statistic over a window of 1 s at 100 ms, on values a test can add up. */
static void histories(void **state)
{
	static const uint8_t stats[] = { GF_STAT_RATE, GF_STAT_DELTA, GF_STAT_AVG, GF_STAT_MAX, GF_STAT_MIN, GF_STAT_SUM };
	/* rss = t per tick t: over the last ten ticks 16..25 at t = 25 */
	static const double want[] = { 10, 10, 20.5, 25, 16, 205 };

	(void)state;
	for (size_t i = 0; i < sizeof stats; i++) {
		struct fake *f = ten_tasks();
		struct gf_rule *r;
		struct gf_err err;
		struct gf_term *term;
		uint32_t h, x;
		struct rig g;

		(void)err;
		kit_init(&k);
		h = hist(&k, GF_SCOPE_TASK, stats[i], S, 64);
		sink(&k, number_of(&k, GF_TF_RSS), GF_SINK_HIST, h);
		op(&k, GF_OP_LDX, 0, 0, 0, h);
		ldk(&k, 1, -1);
		op(&k, GF_OP_GT, 0, 0, 1, 0);
		x = prog(&k, GF_SCOPE_TASK, 3, 0, 0, 0);
		term = gf_emit_add(&k.e, GF_SEC_TERM, &h);
		term->prog = x;
		term->values = 1;
		term->scope = GF_SCOPE_TASK;
		term->hold = GF_NONE;
		op(&k, GF_OP_LDX, 0, 0, 0, 0);
		x = prog(&k, GF_SCOPE_TASK, 2, 0, 0, 0);
		ldf(&k, 0, GF_TF_RSS);
		op(&k, GF_OP_KNOWN, 0, 0, 0, 0);
		r = rule(&k, GF_RULE_TASK, prog(&k, GF_SCOPE_TASK, 1, 0, 0, 0));
		r->close = x;
		r->terms = 1;
		step(&k, r, GF_ACT_LOG, 0, GF_PICK_EACH, 0);
		rig_init(&g, f, 100);
		for (int t = 1; t <= 25; t++) {
			struct gf_rule_view v;
			if (t == 15)
				f->t.sample.gen[0]++; /* row 0: another task, window not full at 24 */
			for (uint32_t q = 0; q < 10; q++)
				f->t.sample.col[GF_TF_RSS][q] = t;
			for (uint32_t q = 1; q < 9; q++)
				f->t.sample.flags[q] = 0;
			if (t == 1 || t == 25) {
				gf_engine_swap(g.e, g.img, NULL); /* views are made anew; state is kept */
				gf_engine_rules(g.e, &v, 1, NULL);
			}
			f->t.sample.flags[0] = t < 25 ? GF_ROW_VALID : GF_ROW_VALID | GF_ROW_SELF;
			tick(&g);
			if (t != 1 && t != 25)
				continue;
			assert_int_equal(gf_engine_rules(g.e, &v, 1, NULL), 1);
			if (t == 1 && stats[i] != GF_STAT_SUM)
				assert_true(gf_is_unknown(v.close));
			if (t == 25) {
				assert_int_equal(v.close_pid, 109);
				assert_true(v.close == want[i]);
				assert_true(v.term[0].left == want[i]);
			}
		}
		rig_free(&g);
	}
}

/* tree(rss), parent(), ancestor(), sum, count: against sums by hand. */
static void columns_and_aggregates(void **state)
{
	struct fake *f = ten_tasks();
	struct gf_sample *s = &f->t.sample;
	uint32_t ct, cp, ca, an, as, p;
	struct gf_rule *r;
	struct rig g;

	(void)state;
	kit_init(&k);
	ct = col(&k, GF_COL_TREE);
	cp = col(&k, GF_COL_PARENT);
	ca = col(&k, GF_COL_ANCESTOR);
	an = agg(&k, GF_AGG_COUNT);
	as = agg(&k, GF_AGG_SUM);
	sink(&k, number_of(&k, GF_TF_RSS), GF_SINK_COL, ct);
	p = test_gt(&k, GF_TF_RSS, 95);
	sink(&k, p, GF_SINK_COL, cp);
	p = test_gt(&k, GF_TF_RSS, 95);
	sink(&k, p, GF_SINK_COL, ca);
	op(&k, GF_OP_LDP, 0, 0, 0, ca);
	op(&k, GF_OP_LDP, 1, 0, 0, cp);
	op(&k, GF_OP_NOT, 1, 1, 0, 0);
	op(&k, GF_OP_AND, 0, 0, 1, 0); /* an ancestor, but not the parent, is row 9 */
	p = prog(&k, GF_SCOPE_TASK, 1, 0, 0, 0);
	sink(&k, p, GF_SINK_AGG, an);
	op(&k, GF_OP_LDC, 0, 0, 0, ct);
	ldk(&k, 1, 0);
	op(&k, GF_OP_GE, 0, 0, 1, 0);
	p = prog(&k, GF_SCOPE_TASK, 3, 0, 0, 0);
	sink(&k, p, GF_SINK_AGG, as);
	/* rule: count == 2 and sum == what it is */
	op(&k, GF_OP_LDA, 0, 0, 0, an);
	ldk(&k, 1, 2);
	op(&k, GF_OP_EQ, 0, 0, 1, 0);
	op(&k, GF_OP_LDA, 0, 0, 0, as);
	/* own 10..100 = 550, less torn 60; 3 counts in 2 and 9, 2 and 1 in 9; 0 in 3, 2, 9 */
	ldk(&k, 1, 550 - 60 + (40 + 40) + (30 + 20) + (10 + 10 + 10));
	op(&k, GF_OP_EQ, 1, 0, 1, 0);
	op(&k, GF_OP_AND, 0, 0, 1, 0);
	r = rule(&k, 0, prog(&k, GF_SCOPE_HOST, 1, 0, 0, 0));
	step(&k, r, GF_ACT_LOG, 0, GF_PICK_NONE, 0);
	s->parent[1] = s->parent[2] = 9;
	s->parent[3] = 2;
	s->parent[0] = 3;
	s->flags[5] |= GF_ROW_TORN;
	rig_init(&g, f, 10);
	tick(&g);
	assert_int_equal(g.verdicts, 1);
	assert_int_equal(g.v[0].pid, 0);
	assert_int_equal(g.v[0].action, GF_ACT_LOG);
	rig_free(&g);
}

/* "until": active from below 5 to above 10. */
static void latch_stays_until(void **state)
{
	static const double mem[] = { 20, 4, 7, 10, 11, 7 };
	static const uint8_t want[] = { 0, 1, 1, 1, 0, 0 };
	struct fake *f = ten_tasks();
	struct gf_rule *r;
	uint32_t h;
	struct rig g;

	(void)state;
	kit_init(&k);
	h = hold(&k, GF_SCOPE_HOST, GF_HOLD_LATCH, 0);
	ldh(&k, 0, GF_HF_MEM_AVAILABLE);
	ldk(&k, 1, 5);
	ldk(&k, 2, 10);
	op(&k, GF_OP_LT, 0, 0, 1, 0);
	op(&k, GF_OP_GT, 1, 0, 2, 0);
	op(&k, GF_OP_LATCH, 0, 0, 1, h);
	r = rule(&k, 0, prog(&k, GF_SCOPE_HOST, 1, 0, 0, 0));
	r->settle_ns = 1 * MS;
	step(&k, r, GF_ACT_LOG, 0, GF_PICK_NONE, 0);
	rig_init(&g, f, 0); /* no budget: log needs none */
	for (size_t i = 0; i < sizeof want; i++) {
		f->t.sample.host[GF_HF_MEM_AVAILABLE] = mem[i];
		tick(&g);
		assert_int_equal(g.verdicts, want[i]);
	}
	rig_free(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(largest_is_chosen_once), cmocka_unit_test(unknown_never_fires),
		cmocka_unit_test(stale_sample_does_nothing), cmocka_unit_test(what_may_never_be_touched),
		cmocka_unit_test(classes_protect_and_sort), cmocka_unit_test(steps_go_on),
		cmocka_unit_test(recycled_row_is_not_the_victim), cmocka_unit_test(limit_and_budget_hold_back),
		cmocka_unit_test(condemned_is_out_of_reach), cmocka_unit_test(observing_does_not_act_nor_claim),
		cmocka_unit_test(trees_and_groups), cmocka_unit_test(holds_per_task),
		cmocka_unit_test(holds_and_clocks), cmocka_unit_test(gate_resets_hold), cmocka_unit_test(histories),
		cmocka_unit_test(columns_and_aggregates), cmocka_unit_test(latch_stays_until),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
