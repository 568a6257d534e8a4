/* SPDX-License-Identifier: MIT
 *
 * Evaluation alone: tasks x rules a second on one core, and what a whole tick
 * (evaluation, rules, one selection) costs over the same table.
 *
 * 10,000 rows, 100 rules of mixed conditions: comparisons of columns with
 * constants, arithmetic, and/or with short cuts, matches, rates, holds. The
 * values are such that both sides of every condition occur.
 */
#include <stdio.h>
#include <time.h>

#include "gpu/chunk.h"
#include "gpu/tick.h"
#include "tests/unit/kit.h"

#define ROWS 10000u
#define CAP 10112u
#define RULES 100u
#define GOAL 100.0 /* million tasks x rules a second */

static struct kit k;
static struct gf_regs regs;
static struct gf_event events[65];
static struct gf_verdict verdicts[4096];

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* comm begins with 's': a DFA of three states. */
static uint32_t add_match(void)
{
	uint32_t c, t, a, n;
	struct gf_dfa *d;
	struct gf_match *m;

	((uint8_t *)gf_emit_bytes(&k.e, GF_SEC_DFADATA, 256, 2, &c))['s'] = 1;
	memcpy(gf_emit_bytes(&k.e, GF_SEC_DFADATA, 12, 2, &t), (uint16_t[]){ 1, 2, 1, 1, 2, 2 }, 12);
	((uint8_t *)gf_emit_bytes(&k.e, GF_SEC_DFADATA, 3, 2, &a))[2] = 1;
	d = gf_emit_add(&k.e, GF_SEC_DFA, &n);
	*d = (struct gf_dfa){ c, t, a, 3, 2 };
	m = gf_emit_add(&k.e, GF_SEC_MATCH, &n);
	m->field = GF_SF_COMM;
	k.e.fields.str |= (uint32_t)GF_BIT(GF_SF_COMM);
	return n;
}

/* rss > c and (nice < 10 or uid == n), in one of five variations. */
static void add_rule(uint32_t n, uint32_t match, uint32_t rate)
{
	struct gf_rule *r;
	uint32_t jump;

	ldf(&k, 0, n % 2 ? GF_TF_RSS : GF_TF_ANON);
	if (n % 5 == 1)
		op(&k, GF_OP_LDX, 0, 0, 0, rate);
	ldk(&k, 1, 100 + n);
	op(&k, GF_OP_GT, 0, 0, 1, 0);
	jump = k.len;
	if (n % 5 == 2)
		op(&k, GF_OP_JAF, 0, 0, 0, 0);
	ldf(&k, 2, GF_TF_NICE);
	ldk(&k, 3, 10);
	op(&k, GF_OP_LT, 1, 2, 3, 0);
	ldf(&k, 4, GF_TF_UID);
	ldk(&k, 5, 1000 + n);
	op(&k, GF_OP_EQ, 2, 4, 5, 0);
	op(&k, GF_OP_OR, 1, 1, 2, 0);
	if (n % 5 == 3)
		op(&k, GF_OP_MATCH, 1, 0, 0, match);
	op(&k, GF_OP_AND, 0, 0, 1, 0);
	if (n % 5 == 2)
		k.code[jump].imm = k.len;
	if (n % 5 == 4)
		op(&k, GF_OP_HELD, 0, 0, 0, hold(&k, GF_SCOPE_TASK, GF_HOLD_TIME, 3600 * S));
	r = rule(&k, GF_RULE_TASK, prog(&k, GF_SCOPE_TASK, 1, 0, 0, 0));
	step(&k, r, GF_ACT_LOG, 0, GF_PICK_EACH, 0)->n = 1;
	r->limit_n = n == 0; /* one rule selects, as in a tick in which something happens; the others are held back */
	r->limit_window_ns = 3600 * S;
	r->cooldown_ns = 3600 * S;
}

static struct fake *make_tasks(const struct gf_image_header *img)
{
	struct fake *f = fake_new(CAP);
	struct gf_sample *s = &f->t.sample;

	gf_target_set_fields(&f->t, &img->fields, NULL);
	for (uint32_t i = 0; i < ROWS; i++) {
		fake_task(f, i);
		s->col[GF_TF_RSS][i] = s->col[GF_TF_ANON][i] = (i * 7919) % 220;
		s->col[GF_TF_NICE][i] = i % 40 - 20.0;
		s->col[GF_TF_UID][i] = 1000 + i % 100;
		s->str[GF_SF_COMM][i] = (struct gf_strref){ i % 3 ? "sleep" : "bash", i % 3 ? 5 : 4, i + 1 };
	}
	return f;
}

static void measure(struct fake *f, struct gf_state *st, int most)
{
	uint64_t seq = 1, rounds = 0;
	struct gf_tick_in in = { .budget_window_ns = S };
	struct gf_tick_out out = { .events = events, .events_cap = 64, .verdicts = verdicts, .verdicts_cap = 4096, .seq = &seq };
	struct gf_tick t = { .in = &in, .out = &out, .regs = &regs };
	const char *vectors = gf_chunk_choose(most);
	double begun, eval, tick, rate;

	f->t.ops->sample(&f->t, NULL);
	gf_ctx_init(&t.c, &f->t.sample, st);
	gf_tick_run(&t);
	begun = seconds();
	do {
		for (uint32_t r = 0; r < RULES; r++)
			gf_rule_truth(&t, r);
		rounds++;
	} while ((eval = seconds() - begun) < 0.5);
	rate = (double)rounds * ROWS * RULES / eval / 1e6;
	rounds = 0;
	begun = seconds();
	do {
		f->t.ops->sample(&f->t, NULL);
		gf_ctx_init(&t.c, &f->t.sample, st);
		out.events_n = out.verdicts_n = 0;
		gf_tick_run(&t);
		rounds++;
	} while ((tick = seconds() - begun) < 0.5);
	printf("%-8s %8.0f M tasks x rules/s (goal: at least %.0f)   whole tick %.3f ms\n", vectors, rate, GOAL,
	       tick / (double)rounds * 1e3);
}

int main(void)
{
	struct gf_image_header *img;
	struct gf_err err = { "" };
	struct gf_state *st;
	struct fake *f;
	uint32_t match, rate;

	kit_init(&k);
	match = add_match();
	rate = hist(&k, GF_SCOPE_TASK, GF_STAT_RATE, S, 8);
	sink(&k, number_of(&k, GF_TF_RSS), GF_SINK_HIST, rate);
	for (uint32_t n = 0; n < RULES; n++)
		add_rule(n, match, rate);
	img = kit_image(&k, &err);
	if (!img) {
		fprintf(stderr, "bench_eval: %s\n", err.text);
		return 1;
	}
	f = make_tasks(img);
	if (gf_state_create(img, CAP, &st, &err)) {
		fprintf(stderr, "bench_eval: %s\n", err.text);
		return 1;
	}
	printf("evaluation: %u tasks, %u rules, one core\n", ROWS, RULES);
	for (int most = 0; most <= 2; most++)
		measure(f, st, most);
	gf_state_destroy(st);
	gf_target_destroy(&f->t);
	free(img);
	return 0;
}
