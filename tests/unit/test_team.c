/* SPDX-License-Identifier: MIT
 *
 * A tick by a team of lanes, as on the device, and the same tick by the CPU engine's one lane: verdicts, events and all
 * that is remembered must be the same, whatever the number of lanes.
 */
#include <time.h>

#include "tests/unit/progen.h"
#include "tests/unit/sides.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CASES 60u
#else
#define CASES 600u
#endif
#define CAP_MAX 1152u
#define TICKS 10

static struct progen gen;

/* ---- tests ------------------------------------------------------------------- */

static uint64_t base_seed(void)
{
	const char *s = getenv("GF_SEED");
	uint64_t seed = s ? strtoull(s, NULL, 0) : (uint64_t)time(NULL) * 1000;

	printf("# GF_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

static uint32_t cases(uint32_t n)
{
	const char *s = getenv("GF_CASES");

	return s ? (uint32_t)strtoul(s, NULL, 0) : n;
}

/* Time and the table go on. Parents in circles come of themselves; in half of the cases there are none. */
static void go_on(struct fake *f, int circles)
{
	struct gf_sample *s = &f->t.sample;

	progen_table(&gen, f);
	if (!rnd(&gen, 10))
		s->now_ns -= rnd(&gen, 5000) * 100 * MS;
	f->step_ns = rnd(&gen, 5) * 77 * MS;
	for (uint32_t i = 0; i < s->cap && !circles; i++)
		if (s->parent[i] != GF_NONE && s->parent[i] >= i)
			s->parent[i] = i && rnd(&gen, 8) ? i - 1 - rnd(&gen, GF_MIN(i, 8)) : GF_NONE;
	s->dropped = !rnd(&gen, 4);
	if (rnd(&gen, 12)) /* else the sampler is stuck */
		f->t.ops->sample(&f->t, NULL);
}

static void one_case(struct lanes *l, uint64_t seed, uint32_t lanes)
{
	static const uint32_t caps[] = { 128, 256, 640, CAP_MAX };
	struct gf_err err = { "" };
	struct gf_image_header *img;
	struct fake *f;
	char at[96];
	int circles;

	gen.share = (int)(seed % 3 == 0);
	img = progen_image(&gen, seed, 1, &err);
	if (!img)
		fail_msg("seed %llu: verifier: %s", (unsigned long long)seed, err.text);
	/* Trees more often than they come of themselves: they are what lanes go about differently. */
	for (uint32_t k = 0; k < img->sec[GF_SEC_STEP].count; k++)
		if (!rnd(&gen, 3))
			((struct gf_step *)((uint8_t *)img + img->sec[GF_SEC_STEP].off))[k].group = GF_GROUP_TREE;
	f = fake_new(caps[rnd(&gen, 16) ? rnd(&gen, 2) : 2 + rnd(&gen, 2)]);
	gf_target_set_fields(&f->t, &img->fields, NULL);
	side_init(&cpu, "cpu", img, f->t.sample.cap);
	side_init(&team, "team", img, f->t.sample.cap);
	team.lanes = l;
	circles = (int)rnd(&gen, 2);
	where = at;
	for (int k = 0; k < TICKS; k++) {
		int fails = !rnd(&gen, 12);
		uint32_t room = rnd(&gen, 3) ? 256 : rnd(&gen, 20);

		snprintf(at, sizeof at, "GF_SEED=%llu lanes %u tick %d", (unsigned long long)seed, lanes, k);
		if (k || rnd(&gen, 8))
			go_on(f, circles);
		cpu.in.budget_n = team.in.budget_n = rnd(&gen, 20);
		cpu.in.gap = team.in.gap = !rnd(&gen, 12);
		cpu.in.observe = team.in.observe = !rnd(&gen, 8);
		side_tick(&cpu, &f->t.sample, fails, room);
		side_tick(&team, &f->t.sample, fails, room);
		same_said(&cpu, &team);
		same_state(&f->t.sample, cpu.st, team.st);
		if (!fails && !rnd(&gen, 3))
			same_near(&cpu, &team);
	}
	gf_state_destroy(cpu.st);
	gf_state_destroy(team.st);
	gf_target_destroy(&f->t);
	free(img);
}

static void with_lanes(uint32_t lanes, uint32_t n)
{
	uint64_t seed = base_seed() + lanes * !getenv("GF_SEED");
	struct lanes *l = lanes_new(lanes);

	n = cases(n);
	printf("# vectors: %s, %u lanes, %u images\n", gf_chunk_choose(2), lanes, n);
	for (uint32_t k = 0; k < n; k++)
		one_case(l, seed + 16 * k, lanes);
	/* Every kind of job was there. */
	for (uint32_t k = 1; k < GF_JOB_ENDS; k++)
		if (n >= CASES / 4 && !lanes_jobs(l, k))
			printf("# job %u was never called\n", k);
	lanes_free(l);
}

static void one_lane(void **state)
{
	(void)state;
	with_lanes(1, 2 * CASES);
}

static void two_lanes(void **state)
{
	(void)state;
	with_lanes(2, CASES / 2);
}

static void three_lanes(void **state)
{
	(void)state;
	with_lanes(3, CASES / 2);
}

static void eight_lanes(void **state)
{
	(void)state;
	with_lanes(8, CASES / 4);
}

static void many_lanes(void **state)
{
	(void)state;
	with_lanes(45, CASES / 20);
}

/* A hundred rules of which none has anything to do. */
static void few_calls_when_nothing_happens(void **state)
{
	struct lanes *l = lanes_new(3);
	struct gf_image_header *img;
	struct gf_err err = { "" };
	struct fake *f = fake_new(256);
	struct kit k;
	uint32_t rate, p, a;

	(void)state;
	kit_init(&k);
	rate = hist(&k, GF_SCOPE_TASK, GF_STAT_RATE, S, 8);
	sink(&k, number_of(&k, GF_TF_RSS), GF_SINK_HIST, rate);
	p = test_gt(&k, GF_TF_RSS, 5);
	a = agg(&k, GF_AGG_COUNT);
	sink(&k, p, GF_SINK_AGG, a);
	for (uint32_t n = 0; n < 100; n++) {
		struct gf_rule *r;

		op(&k, GF_OP_LDX, 0, 0, 0, rate);
		ldk(&k, 1, 1e6 + n);
		op(&k, GF_OP_GT, 0, 0, 1, 0);
		op(&k, GF_OP_HELD, 0, 0, 0, hold(&k, GF_SCOPE_TASK, GF_HOLD_TIME, S));
		r = rule(&k, GF_RULE_TASK, prog(&k, GF_SCOPE_TASK, 1, 0, 0, 0));
		if (n % 2) {
			r = gf_emit_at(&k.e, GF_SEC_RULE, n);
			op(&k, GF_OP_LDA, 0, 0, 0, a);
			ldk(&k, 1, 3);
			op(&k, GF_OP_GT, 0, 0, 1, 0);
			p = prog(&k, GF_SCOPE_HOST, 1, 0, 0, 0);
			((struct gf_rule *)gf_emit_at(&k.e, GF_SEC_RULE, n))->gate = p;
		}
		step(&k, r, GF_ACT_LOG, 0, GF_PICK_EACH, 0);
	}
	img = kit_image(&k, &err);
	if (!img)
		fail_msg("%s", err.text);
	gf_target_set_fields(&f->t, &img->fields, NULL);
	for (uint32_t i = 0; i < 200; i++) {
		fake_task(f, i);
		f->t.sample.col[GF_TF_RSS][i] = i;
	}
	side_init(&team, "team", img, 256);
	team.lanes = l;
	for (int n = 0; n < 30; n++) {
		f->t.ops->sample(&f->t, NULL);
		lanes_calls(l);
		side_tick(&team, &f->t.sample, 0, 64);
	}
	assert_int_equal(team.out.events_n, 0);
	a = lanes_calls(l);
	printf("# %u calls in a quiet tick of 100 rules\n", a);
	assert_true(a <= 10);
	gf_state_destroy(team.st);
	gf_target_destroy(&f->t);
	free(img);
	lanes_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_lane),
		cmocka_unit_test(two_lanes),
		cmocka_unit_test(three_lanes),
		cmocka_unit_test(eight_lanes),
		cmocka_unit_test(many_lanes),
		cmocka_unit_test(few_calls_when_nothing_happens),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
