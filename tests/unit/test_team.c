/* SPDX-License-Identifier: MIT
 *
 * A tick by a team of lanes, as on the device, and the same tick by the CPU engine's one lane: verdicts, events and all
 * that is remembered must be the same, whatever the number of lanes.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <cmocka.h>

#include "gpu/chunk.h"
#include "gpu/tick.h"
#include "tests/unit/lanes.h"
#include "tests/unit/plain.h"
#include "tests/unit/progen.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CASES 60u
#else
#define CASES 600u
#endif
#define CAP_MAX 1152u
#define TICKS 10

static struct progen gen;
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

static void side_init(struct side *x, const char *name, const struct gf_image_header *img, uint32_t cap)
{
	struct gf_err err;

	memset(x, 0, sizeof *x);
	x->name = name;
	assert_int_equal(gf_state_create(img, cap, &x->st, &err), 0);
	x->in.budget_window_ns = S;
}

static void side_tick(struct side *x, const struct gf_sample *s, int fails, uint32_t room)
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

static int same_bits(double a, double b)
{
	return (isnan(a) && isnan(b)) || !memcmp(&a, &b, sizeof a);
}

static void same_doubles(const char *what, uint32_t number, const double *a, const double *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!same_bits(a[i], b[i]))
			fail_msg("%s: %s %u, at %zu: %a, with lanes %a", where, what, number, i, a[i], b[i]);
}

static void same_said(struct side *a, struct side *b)
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

static void same_rows(const struct gf_sample *s, const struct gf_state *a, const struct gf_state *b)
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

static void same_hist(uint32_t k, const struct gf_hist_state *a, const struct gf_hist_state *b)
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

static void same_hold(uint32_t k, const struct gf_hold *h, const struct gf_hold_state *a, const struct gf_hold_state *b,
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

static void same_state(const struct gf_sample *s, const struct gf_state *a, const struct gf_state *b)
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

static void same_near(struct side *a, struct side *b)
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

/* Who ranks before whom, as lanes compare it and as one lane does: whatever numbers there are. */
static void same_order(void **state)
{
	static const double key[] = { -INFINITY, -1e308, -1, -5e-324, -0.0, 0, 5e-324, 0.5, 1, 1e308, INFINITY, NAN, -NAN };
	static const uint64_t start[] = { 0, 1, 5, ~0ull };
	static const int32_t pid[] = { INT32_MIN, -1, 0, 1, 77, INT32_MAX };
	static const uint8_t picks[] = { GF_PICK_LARGEST, GF_PICK_SMALLEST, GF_PICK_OLDEST, GF_PICK_NEWEST, GF_PICK_EACH };
	enum { N = 13 * 4 * 6 };
	struct gf_standing x[N];
	uint32_t n = 0, before = 0;

	(void)state;
	for (size_t i = 0; i < sizeof key / sizeof *key; i++)
		for (size_t j = 0; j < sizeof start / sizeof *start; j++)
			for (size_t k = 0; k < sizeof pid / sizeof *pid; k++, n++)
				x[n] = (struct gf_standing){ key[i], start[j], pid[k], n * 7 % N };
	assert_int_equal(n, N);
	for (size_t p = 0; p < sizeof picks; p++)
		for (uint32_t i = 0; i < N; i++)
			for (uint32_t k = 0; k < N; k++) {
				int is = i != k && gf_standing_before(picks[p], &x[i], &x[k]);
				if (is != lanes_before(picks[p], &x[i], &x[k]))
					fail_msg("pick %u: %a %llu %d and %a %llu %d", picks[p], x[i].key, (unsigned long long)x[i].start_ns, x[i].pid,
						 x[k].key, (unsigned long long)x[k].start_ns, x[k].pid);
				before += (uint32_t)is;
			}
	assert_int_equal(before, sizeof picks * (N * (N - 1) / 2));
}

/* Three rules that act in one tick, each on another: what the later ones pass over is told. */
static void few_calls_when_rules_act(void **state)
{
	struct lanes *l = lanes_new(3);
	struct gf_image_header *img;
	struct gf_err err = { "" };
	struct fake *f = fake_new(256);
	uint32_t p, key, all, condemned = 0;
	struct kit k;

	(void)state;
	kit_init(&k);
	for (uint32_t n = 0; n < 3; n++) {
		struct gf_rule *r;
		struct gf_step *s;

		ldh(&k, 0, 0);
		ldk(&k, 1, 1);
		op(&k, GF_OP_LT, 0, 1, 0, 0);
		p = prog(&k, GF_SCOPE_HOST, 1, 0, 0, 0);
		ldf(&k, 0, GF_TF_RSS);
		key = prog(&k, GF_SCOPE_TASK, 2, 0, 0, 0);
		r = rule(&k, 0, p);
		s = step(&k, r, GF_ACT_SIGNAL, 15, GF_PICK_LARGEST, 0);
		s->key = key;
		s->n = 1;
	}
	img = kit_image(&k, &err);
	if (!img)
		fail_msg("%s", err.text);
	gf_target_set_fields(&f->t, &img->fields, NULL);
	for (uint32_t i = 0; i < 200; i++) {
		fake_task(f, i);
		f->t.sample.col[GF_TF_RSS][i] = (i * 37) % 200;
	}
	f->t.sample.host[0] = 5;
	side_init(&cpu, "cpu", img, 256);
	side_init(&team, "team", img, 256);
	team.lanes = l;
	team.in.budget_n = cpu.in.budget_n = 10;
	where = "three rules";
	f->t.ops->sample(&f->t, NULL);
	f->t.sample.host[0] = 5;
	side_tick(&cpu, &f->t.sample, 0, 64);
	lanes_calls(l);
	side_tick(&team, &f->t.sample, 0, 64);
	all = lanes_calls(l);
	same_said(&cpu, &team);
	same_state(&f->t.sample, cpu.st, team.st);
	assert_int_equal(team.out.verdicts_n, 3);
	assert_int_equal(team.out.events_n, 6); /* each says that it is true, and acts */
	for (uint32_t i = 0; i < 3; i++) {
		const struct gf_event *ev = &team.ev[2 * i + 1];
		assert_int_equal(ev->kind, GF_EV_ACTION);
		for (uint32_t r = 0; r < ev->ranks; r++)
			condemned += ev->u.rank[r].why == GF_WHY_CONDEMNED && ev->u.rank[r].by < i;
	}
	assert_int_equal(condemned, 0 + 1 + 2);
	printf("# %u calls in a tick in which three rules act\n", all);
	assert_true(all <= 3 + 3 * 3);
	gf_state_destroy(cpu.st);
	gf_state_destroy(team.st);
	gf_target_destroy(&f->t);
	free(img);
	lanes_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_order),
		cmocka_unit_test(one_lane),
		cmocka_unit_test(two_lanes),
		cmocka_unit_test(three_lanes),
		cmocka_unit_test(eight_lanes),
		cmocka_unit_test(many_lanes),
		cmocka_unit_test(few_calls_when_nothing_happens),
		cmocka_unit_test(few_calls_when_rules_act),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
