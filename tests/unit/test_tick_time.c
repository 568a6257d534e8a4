/* SPDX-License-Identifier: MIT
 *
 * Whole ticks by hand: what is so for a time or over one (holds, histories, latches), columns and aggregates, against what the policy language says.
 */
#include "tests/unit/tickrig.h"

/* A task rule: rss has been above the limit for so long. */
static struct gf_rule *rss_above(double limit, uint8_t kind, uint64_t n)
{
	uint32_t h = hold(&k, GF_SCOPE_TASK, kind, n);

	ldf(&k, 0, GF_TF_RSS);
	ldk(&k, 1, limit);
	op(&k, GF_OP_GT, 0, 0, 1, 0);
	op(&k, GF_OP_HELD, 0, 0, 0, h);
	return rule(&k, GF_RULE_TASK, prog(&k, GF_SCOPE_TASK, 1, 0, 0, 0));
}

/* rss > 50 for 300 ms, per task. */
static void holds_per_task(void **state)
{
	struct fake *f = ten_tasks();
	double *rss = f->t.sample.col[GF_TF_RSS];
	struct gf_rule *r;
	struct rig g;

	(void)state;
	kit_init(&k);
	r = rss_above(50, GF_HOLD_TIME, 300 * MS);
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
	uint32_t gate;
	struct rig g;

	(void)state;
	kit_init(&k);
	gate = host_lt(&k, GF_HF_MEM_AVAILABLE, 5);
	r = rss_above(95, GF_HOLD_PERIODS, 3);
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
		cmocka_unit_test(holds_per_task), cmocka_unit_test(holds_and_clocks), cmocka_unit_test(gate_resets_hold),
		cmocka_unit_test(histories), cmocka_unit_test(columns_and_aggregates), cmocka_unit_test(latch_stays_until),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
