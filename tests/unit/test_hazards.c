/* SPDX-License-Identifier: MIT
 *
 * Wrong kills and kills that never come: what may go wrong between choosing and
 * acting, when samples fail or are torn, when queues are full, when modes change in
 * the middle of a rule's steps, when victims do not go.
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
	struct gf_event ev[2048];
	struct gf_verdict v[17000];
	size_t events, verdicts;
};

static struct kit k;
static struct rig g;

static void rig_init(struct fake *f, uint32_t budget)
{
	struct gf_engine_opts o = { .period_ns = 100 * MS, .budget_n = budget, .budget_window_ns = 60 * S };
	struct gf_err err = { "" };

	memset(&g, 0, sizeof g);
	g.f = f;
	g.img = kit_image(&k, &err);
	if (!g.img)
		fail_msg("verifier: %s", err.text);
	assert_int_equal(gf_engine_create(&f->t, g.img, &o, &g.e, &err), 0);
}

static void rig_free(void)
{
	gf_engine_destroy(g.e);
	gf_target_destroy(&g.f->t);
	free(g.img);
}

static void take(void)
{
	g.events = gf_engine_events(g.e, g.ev, 2048);
	g.verdicts = gf_engine_verdicts(g.e, g.v, 17000);
}

static void tick(void)
{
	gf_engine_tick(g.e, NULL);
	take();
}

static const struct gf_event *event_of(int kind)
{
	for (size_t i = 0; i < g.events; i++)
		if (g.ev[i].kind == kind)
			return &g.ev[i];
	return NULL;
}

static double *column(struct fake *f, uint32_t field)
{
	struct gf_fieldset set = f->fields;

	set.task |= GF_BIT(field);
	gf_target_set_fields(&f->t, &set, NULL);
	return f->t.sample.col[field];
}

/* n tasks whose rss is 10 * (row + 1), on a machine short of memory. */
static struct fake *tasks(uint32_t cap, uint32_t n)
{
	struct fake *f = fake_new(cap);
	double *rss = column(f, GF_TF_RSS);

	for (uint32_t i = 0; i < n; i++) {
		fake_task(f, i);
		rss[i] = 10.0 * (i + 1);
	}
	f->t.sample.host[GF_HF_MEM_AVAILABLE] = 1;
	f->step_ns = S;
	return f;
}

static void memory(double x)
{
	g.f->t.sample.host[GF_HF_MEM_AVAILABLE] = x;
}

/* mem.available < 5: signal to the largest by rss, or its group. */
static struct gf_rule *low_memory(int sig, uint8_t group)
{
	struct gf_rule *r = rule(&k, 0, host_lt(&k, GF_HF_MEM_AVAILABLE, 5));
	struct gf_step *s = step(&k, r, GF_ACT_SIGNAL, sig, GF_PICK_LARGEST, 0);

	s->key = number_of(&k, GF_TF_RSS);
	s->group = group;
	return r;
}

/* ---- who is reached ---------------------------------------------------------- */

/* Two users that could not be read are not one user. */
static void unknown_user_is_no_group(void **state)
{
	struct fake *f = tasks(256, 10);

	(void)state;
	kit_init(&k);
	low_memory(SIGKILL, GF_GROUP_USER);
	for (uint32_t i = 0; i < 10; i++)
		f->t.sample.uid[i] = GF_NONE;
	rig_init(f, 10);
	tick();
	assert_int_equal(g.verdicts, 1);
	assert_int_equal(g.v[0].pid, 109);
	rig_free();
}

/* SIGKILL was sent, and the task stays (uninterruptible sleep): after the settle time
 * the next one is taken, not the same for ever. */
static void killed_is_not_chosen_again(void **state)
{
	struct fake *f = tasks(256, 10);

	(void)state;
	kit_init(&k);
	low_memory(SIGKILL, GF_GROUP_ONE)->settle_ns = 3 * S;
	rig_init(f, 10);
	tick();
	assert_int_equal(g.v[0].pid, 109);
	for (int i = 0; i < 2; i++) {
		tick();
		assert_int_equal(g.verdicts, 0);
	}
	tick();
	assert_int_equal(g.verdicts, 1);
	assert_int_equal(g.v[0].pid, 108);
	assert_int_equal(event_of(GF_EV_ACTION)->u.rank[1].pid, 109);
	assert_int_equal(event_of(GF_EV_ACTION)->u.rank[1].why, GF_WHY_CONDEMNED);
	assert_int_equal(event_of(GF_EV_ACTION)->u.rank[1].by, 0); /* followed until just now */
	/* The row of another identity is nobody's victim. */
	f->t.sample.gen[9]++;
	for (int i = 0; i < 3; i++)
		tick();
	assert_int_equal(g.verdicts, 1);
	assert_int_equal(g.v[0].pid, 109);
	rig_free();
}

static void protected_is_told_as_protected(void **state)
{
	struct fake *f = tasks(256, 10);

	(void)state;
	kit_init(&k);
	low_memory(SIGKILL, GF_GROUP_ONE);
	class(&k, GF_CLASS_PROTECT, test_gt(&k, GF_TF_RSS, 95));
	class(&k, GF_CLASS_AVOID, test_gt(&k, GF_TF_RSS, 85));
	rig_init(f, 10);
	tick();
	assert_int_equal(g.v[0].pid, 107);
	assert_int_equal(event_of(GF_EV_ACTION)->u.rank[0].klass, 1);
	assert_int_equal(event_of(GF_EV_ACTION)->u.rank[1].klass, 3);
	assert_int_equal(event_of(GF_EV_ACTION)->u.rank[2].klass, 2);
	rig_free();
}

/* ---- later steps --------------------------------------------------------------- */

/* A victim that cannot be read in the very tick in which its step is due is waited
 * for, but not for ever. */
static void torn_victim_is_waited_for(void **state)
{
	struct fake *f = tasks(256, 10);
	struct gf_rule *r;

	(void)state;
	kit_init(&k);
	r = low_memory(SIGTERM, GF_GROUP_ONE);
	step(&k, r, GF_ACT_SIGNAL, SIGKILL, GF_PICK_SAME, 2 * S);
	r->settle_ns = 3 * S;
	rig_init(f, 10);
	tick();
	memory(9);
	tick();
	f->t.sample.flags[9] |= GF_ROW_TORN;
	tick();
	assert_int_equal(g.verdicts, 0);
	assert_null(event_of(GF_EV_SKIPPED));
	f->t.sample.flags[9] = GF_ROW_VALID;
	tick();
	assert_int_equal(g.verdicts, 1);
	assert_int_equal(g.v[0].arg, SIGKILL);
	rig_free();

	f = tasks(256, 10);
	kit_init(&k);
	r = low_memory(SIGTERM, GF_GROUP_ONE);
	step(&k, r, GF_ACT_SIGNAL, SIGKILL, GF_PICK_SAME, 2 * S);
	r->settle_ns = 3 * S;
	rig_init(f, 10);
	tick();
	memory(9);
	f->t.sample.flags[9] |= GF_ROW_TORN;
	for (int i = 0; i < 4; i++) {
		tick();
		assert_int_equal(g.verdicts + (event_of(GF_EV_SKIPPED) != NULL), 0);
	}
	tick();
	assert_int_equal(g.verdicts, 0);
	assert_non_null(event_of(GF_EV_SKIPPED));
	rig_free();
}

/* SIGSTOP, 2 s, SIGCONT. */
static void stop_and_go(void)
{
	struct fake *f = tasks(256, 10);

	kit_init(&k);
	step(&k, low_memory(SIGSTOP, GF_GROUP_ONE), GF_ACT_SIGNAL, SIGCONT, GF_PICK_SAME, 2 * S);
	rig_init(f, 10);
}

static void stopped_is_let_go(void **state)
{
	(void)state;
	/* Torn: the identity is enough. */
	stop_and_go();
	tick();
	assert_int_equal(g.v[0].arg, SIGSTOP);
	g.f->t.sample.flags[9] |= GF_ROW_TORN;
	tick();
	tick();
	assert_int_equal(g.verdicts, 1);
	assert_int_equal(g.v[0].arg, SIGCONT);
	rig_free();
	/* Another identity is nobody to be let go. */
	stop_and_go();
	tick();
	g.f->t.sample.gen[9]++;
	g.f->t.sample.flags[9] |= GF_ROW_TORN;
	for (int i = 0; i < 3; i++) {
		memory(9);
		tick();
		assert_int_equal(g.verdicts, 0);
	}
	rig_free();
	/* No sample at all: nothing is decided, but what was stopped goes on in time, once. */
	stop_and_go();
	tick();
	g.f->fail = EIO;
	for (int i = 0; i < 8; i++) {
		g.f->t.sample.now_ns += S; /* a target's clock goes on when its sampler fails */
		tick();
		assert_int_equal(g.verdicts, i == 1);
		assert_true(!g.verdicts || g.v[0].arg == SIGCONT);
	}
	rig_free();
}

/* Observing is switched off between the steps of a rule, or on. */
static void steps_stay_as_they_began(void **state)
{
	struct fake *f = tasks(256, 10);

	(void)state;
	kit_init(&k);
	step(&k, low_memory(SIGTERM, GF_GROUP_ONE), GF_ACT_SIGNAL, SIGKILL, GF_PICK_SAME, 2 * S);
	rig_init(f, 10);
	gf_engine_set_observe(g.e, true);
	tick();
	assert_true(g.v[0].flags & GF_VERDICT_OBSERVE);
	gf_engine_set_observe(g.e, false);
	tick();
	tick();
	assert_int_equal(g.verdicts, 1);
	assert_int_equal(g.v[0].arg, SIGKILL); /* which no SIGTERM came before */
	assert_true(g.v[0].flags & GF_VERDICT_OBSERVE);
	assert_int_equal(event_of(GF_EV_ACTION)->observed, 1);
	rig_free();

	stop_and_go();
	tick();
	assert_false(g.v[0].flags & GF_VERDICT_OBSERVE);
	gf_engine_set_observe(g.e, true);
	tick();
	tick();
	assert_int_equal(g.verdicts, 1);
	assert_int_equal(g.v[0].arg, SIGCONT);
	assert_false(g.v[0].flags & GF_VERDICT_OBSERVE);
	rig_free();
}

/* The engine ends: nobody stays stopped. */
static void ending_lets_go(void **state)
{
	size_t stops = 0, conts = 0;

	(void)state;
	stop_and_go();
	g.f->step_ns = 1;
	assert_int_equal(gf_engine_start(g.e, NULL), 0);
	for (int i = 0; i < 20000 && !stops; i++) {
		usleep(1000);
		take();
		stops += g.verdicts;
	}
	assert_int_equal(stops, 1);
	assert_int_equal(g.v[0].arg, SIGSTOP);
	gf_engine_stop(g.e);
	take();
	for (size_t i = 0; i < g.verdicts; i++)
		conts += g.v[i].arg == SIGCONT && g.v[i].pid == 109;
	assert_int_equal(conts, 1);
	gf_engine_stop(g.e);
	take();
	assert_int_equal(g.verdicts, 0);
	rig_free();
}

/* A rule of the same name and fingerprint with other steps (which a fingerprint
 * should make impossible) takes over no victims. */
static void other_steps_are_another_rule(void **state)
{
	struct fake *f = tasks(256, 10);
	struct gf_image_header *next;
	struct gf_err err = { "" };

	(void)state;
	kit_init(&k);
	step(&k, low_memory(SIGUSR1, GF_GROUP_ONE), GF_ACT_LOG, 0, GF_PICK_SAME, 2 * S);
	rig_init(f, 10);
	tick();
	assert_int_equal(g.verdicts, 1);
	kit_init(&k);
	step(&k, low_memory(SIGUSR1, GF_GROUP_ONE), GF_ACT_SIGNAL, SIGKILL, GF_PICK_SAME, 2 * S);
	next = kit_image(&k, &err);
	assert_non_null(next);
	assert_int_equal(gf_engine_swap(g.e, next, NULL), 0);
	free(g.img);
	g.img = next;
	memory(9);
	for (int i = 0; i < 4; i++) {
		tick();
		assert_int_equal(g.verdicts, 0);
	}
	rig_free();
}

/* ---- room ------------------------------------------------------------------------ */

#define TREE 3000u

/* Nobody takes verdicts: a group is reached as a whole or not, and those stopped are
 * all let go in the end. */
static void groups_are_never_halved(void **state)
{
	struct fake *f = tasks(4096, TREE);
	struct gf_engine_stats st;
	struct gf_rule *r;
	uint32_t stops = 0, conts = 0;

	(void)state;
	kit_init(&k);
	r = low_memory(SIGSTOP, GF_GROUP_TREE);
	step(&k, r, GF_ACT_SIGNAL, SIGCONT, GF_PICK_SAME, S);
	r->settle_ns = S;
	for (uint32_t i = 0; i + 1 < TREE; i++)
		f->t.sample.parent[i] = TREE - 1;
	rig_init(f, 1000);
	for (int i = 0; i < 40; i++) {
		gf_engine_tick(g.e, NULL);
		if (i == 30)
			memory(9);
		if (i < 30)
			continue;
		take();
		for (size_t j = 0; j < g.verdicts; j++) {
			stops += g.v[j].arg == SIGSTOP;
			conts += g.v[j].arg == SIGCONT;
		}
	}
	gf_engine_stats(g.e, &st);
	assert_int_equal(st.verdicts_dropped, 0);
	assert_int_equal(stops % TREE, 0);
	assert_true(stops >= 2 * TREE);
	assert_int_equal(conts, stops);
	rig_free();
}

/* More than one action can reach: the first ones of the tree, and how many not. */
static void huge_group_says_what_is_left(void **state)
{
	struct fake *f = tasks(8192, 6000);

	(void)state;
	kit_init(&k);
	low_memory(SIGKILL, GF_GROUP_TREE);
	for (uint32_t i = 0; i < 5999; i++)
		f->t.sample.parent[i] = 5999;
	rig_init(f, 10);
	tick();
	assert_int_equal(g.verdicts, GF_STATE_VICTIMS);
	assert_int_equal(g.v[0].pid, 6099);
	assert_int_equal(event_of(GF_EV_ACTION)->members, GF_STATE_VICTIMS);
	assert_int_equal(event_of(GF_EV_ACTION)->count, 6000 - GF_STATE_VICTIMS);
	rig_free();
}

/* ---- what is said -------------------------------------------------------------- */

/* A rule that is true every other tick says so a few times a minute, with the number
 * of what it left unsaid, and in the end how it stands. */
static void flapping_is_not_a_flood(void **state)
{
	struct fake *f = tasks(256, 10);
	uint32_t said = 0, unsaid = 0;
	uint8_t last = 0;

	(void)state;
	kit_init(&k);
	low_memory(SIGKILL, GF_GROUP_ONE);
	rig_init(f, 0); /* no budget: held back each time */
	f->step_ns = 10 * MS;
	for (int i = 0; i < 12000 + 6001; i++) { /* two minutes, and a quiet one */
		memory(i % 2 || i >= 12000 ? 9 : 1);
		tick();
		assert_int_equal(g.verdicts, 0);
		said += (uint32_t)g.events;
		for (size_t j = 0; j < g.events; j++) {
			unsaid += g.ev[j].count;
			last = g.ev[j].kind;
		}
	}
	assert_true(said >= 6);
	assert_true(said <= 3 * 25);
	assert_int_equal(said + unsaid, 18000 + 1); /* on, held back, off; and the one at the end */
	assert_int_equal(last, GF_EV_RULE_OFF);
	rig_free();
}

/* Many rules have something to say in the tick in which one acts: the action is
 * explained nevertheless. */
static void actions_are_always_explained(void **state)
{
	struct fake *f = tasks(256, 10);
	struct gf_engine_stats st;

	(void)state;
	kit_init(&k);
	for (int i = 0; i < 400; i++) {
		struct gf_rule *r = rule(&k, 0, host_lt(&k, GF_HF_MEM_AVAILABLE, 5));
		step(&k, r, GF_ACT_RENICE, 1, GF_PICK_NEWEST, 0)->where = test_gt(&k, GF_TF_RSS, 1e9);
	}
	low_memory(SIGKILL, GF_GROUP_ONE);
	rig_init(f, 10);
	tick();
	assert_int_equal(g.verdicts, 1);
	assert_non_null(event_of(GF_EV_ACTION));
	assert_int_equal(event_of(GF_EV_ACTION)->seq, g.v[0].event);
	gf_engine_stats(g.e, &st);
	assert_true(st.events_dropped > 0);
	rig_free();
}

/* A sampler that fails for long, or every other time: told once, nothing done. */
static void failing_sampler_is_told_once(void **state)
{
	struct gf_engine_stats st;
	uint32_t told = 0;

	(void)state;
	kit_init(&k);
	low_memory(SIGKILL, GF_GROUP_ONE);
	rig_init(tasks(256, 10), 10);
	g.f->fail = EIO;
	for (int i = 0; i < 600; i++) {
		tick();
		told += (uint32_t)g.events;
		assert_int_equal(g.verdicts, 0);
	}
	assert_int_equal(told, 1);
	gf_engine_stats(g.e, &st);
	assert_int_equal(st.sample_errors, 600);
	assert_true(st.stale);
	assert_string_not_equal(st.sample_error, "");
	memory(9);
	g.f->step_ns = 10 * MS;
	for (int i = 0; i < 200; i++) {
		g.f->fail = i % 2 ? EIO : 0;
		tick();
		told += (uint32_t)g.events;
	}
	assert_int_equal(told, 1);
	g.f->fail = 0;
	tick();
	gf_engine_stats(g.e, &st);
	assert_false(st.stale);
	rig_free();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unknown_user_is_no_group), cmocka_unit_test(killed_is_not_chosen_again),
		cmocka_unit_test(protected_is_told_as_protected), cmocka_unit_test(torn_victim_is_waited_for),
		cmocka_unit_test(stopped_is_let_go), cmocka_unit_test(steps_stay_as_they_began),
		cmocka_unit_test(ending_lets_go), cmocka_unit_test(other_steps_are_another_rule),
		cmocka_unit_test(groups_are_never_halved), cmocka_unit_test(huge_group_says_what_is_left),
		cmocka_unit_test(flapping_is_not_a_flood), cmocka_unit_test(actions_are_always_explained),
		cmocka_unit_test(failing_sampler_is_told_once),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
