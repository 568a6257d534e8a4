/* SPDX-License-Identifier: MIT
 *
 * Whole ticks by hand: selection and the states of rules, against what the policy language says.
 */
#include "tests/unit/tickrig.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(largest_is_chosen_once), cmocka_unit_test(unknown_never_fires),
		cmocka_unit_test(stale_sample_does_nothing), cmocka_unit_test(what_may_never_be_touched),
		cmocka_unit_test(classes_protect_and_sort), cmocka_unit_test(steps_go_on),
		cmocka_unit_test(recycled_row_is_not_the_victim), cmocka_unit_test(limit_and_budget_hold_back),
		cmocka_unit_test(condemned_is_out_of_reach), cmocka_unit_test(observing_does_not_act_nor_claim),
		cmocka_unit_test(trees_and_groups),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
