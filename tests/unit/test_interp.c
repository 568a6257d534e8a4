/* SPDX-License-Identifier: MIT
 *
 * The interpreter against a second one, written row by row from op.def's formulas
 * and knowing nothing of chunks; and random verified images under a storm of
 * tasks, which must neither crash nor hang (also under ASan and UBSan).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

#include "gpu/chunk.h"
#include "gpu/tick.h"
#include "tests/unit/progen.h"

#define ROWS 384u

/* ---- the reference --------------------------------------------------------- */

struct ref {
	const struct gf_image_header *img;
	const struct gf_sample *s;
	double agg[16], vcol[16][ROWS];
	int pcol[16][ROWS];
	uint32_t gen[ROWS];
	int known[ROWS];
	uint64_t first_ns[ROWS], first_tick[ROWS], tick;
	/* per hold and row: when the run began (time, tick), latch */
	struct { uint64_t ns[ROWS], tick[ROWS], born_ns, born_tick; int run[ROWS], latch[ROWS]; } hold[64];
};

static int ref_valid(const struct ref *r, uint32_t row)
{
	return row < r->s->rows && (r->s->flags[row] & GF_ROW_VALID);
}

static int ref_torn(const struct ref *r, uint32_t row)
{
	return ref_valid(r, row) && (r->s->flags[row] & GF_ROW_TORN);
}

static int ref_match(const struct ref *r, uint32_t n, uint32_t row)
{
	const struct gf_match *m = &GF_SEC(struct gf_match, r->img, GF_SEC_MATCH)[n];
	const struct gf_dfa *d = &GF_SEC(struct gf_dfa, r->img, GF_SEC_DFA)[m->dfa];
	const uint8_t *data = GF_SEC(uint8_t, r->img, GF_SEC_DFADATA);
	const struct gf_strref *str = &r->s->str[m->field][row];
	unsigned state = 0;

	if (!str->ver)
		return 1;
	for (uint32_t i = 0; i < str->len; i++) {
		unsigned c = data[d->classes_off + (unsigned char)str->p[i]];
		uint16_t next;
		memcpy(&next, data + d->trans_off + 2 * (state * d->classes + c), 2);
		state = next;
	}
	return data[d->accept_off + state] ? 2 : 0;
}

/* held(p): true for long enough, else false, or unknown where the run may be older than our sight of it. */
static int ref_held(struct ref *r, uint32_t n, int task, uint32_t row, int p)
{
	const struct gf_hold *h = &GF_SEC(struct gf_hold, r->img, GF_SEC_HOLD)[n];
	uint64_t seen_ns = r->hold[n].born_ns, seen_tick = r->hold[n].born_tick, now = r->s->now_ns;
	int enough, always;

	if (p != 2) {
		r->hold[n].run[row] = 0;
		return p;
	}
	if (!r->hold[n].run[row]) {
		r->hold[n].run[row] = 1;
		r->hold[n].ns[row] = now;
		r->hold[n].tick[row] = r->tick;
	}
	if (task && r->first_ns[row] > seen_ns) {
		seen_ns = r->first_ns[row];
		seen_tick = r->first_tick[row];
	}
	enough = h->kind == GF_HOLD_TIME ? now - r->hold[n].ns[row] >= h->amount
					 : r->tick - r->hold[n].tick[row] + 1 >= h->amount;
	always = h->kind == GF_HOLD_TIME ? r->hold[n].ns[row] == seen_ns : r->hold[n].tick[row] == seen_tick;
	return enough ? 2 : always ? 1 : 0;
}

static int ref_latch(struct ref *r, uint32_t n, uint32_t row, int on, int off)
{
	int *l = &r->hold[n].latch[row];

	if (off == 2) {
		*l = 0;
		return 0;
	}
	if (on == 2)
		*l = 1;
	return *l ? (off == 1 ? 1 : 2) : on;
}

static double ref_near(double a, double b)
{
	double q;

	if (isnan(a) || isnan(b))
		return 0;
	if (a > b)
		return 1;
	if (a == b)
		return 0.9999999;
	q = b > 0 ? (a > 0 ? a / b : 0) : b < 0 ? b / a : 0;
	return q >= 0.9999999 ? 0.9999999 : q;
}

static double ref_near_eq(double a, double b)
{
	double q;

	if (isnan(a) || isnan(b))
		return 0;
	if (a == b)
		return 1;
	if ((a < 0) != (b < 0))
		return 0;
	q = fmin(fabs(a), fabs(b)) / fmax(fabs(a), fabs(b));
	return q >= 0.9999999 ? 0.9999999 : q;
}

static int ref_compare(unsigned o, double a, double b)
{
	int t;

	if (isnan(a) || isnan(b))
		return 1;
	switch (o) {
	case GF_OP_LT: t = a < b; break;
	case GF_OP_LE: t = a <= b; break;
	case GF_OP_GT: t = a > b; break;
	case GF_OP_GE: t = a >= b; break;
	case GF_OP_EQ: t = a == b; break;
	default: t = a != b; break;
	}
	return t ? 2 : 0;
}

static double ref_number(unsigned o, double a, double b)
{
	if (o == GF_OP_NEG)
		return -a;
	if (isnan(a) || isnan(b))
		return o == GF_OP_CGT || o == GF_OP_CLT || o == GF_OP_CEQ ? 0 : NAN;
	switch (o) {
	case GF_OP_ADD: return a + b;
	case GF_OP_SUB: return a - b;
	case GF_OP_MUL: return a * b;
	case GF_OP_DIV: return b == 0 ? NAN : a / b;
	case GF_OP_MIN: return a < b ? a : b;
	case GF_OP_MAX: return a > b ? a : b;
	case GF_OP_CGT: return ref_near(a, b);
	case GF_OP_CLT: return ref_near(b, a);
	default: return ref_near_eq(a, b);
	}
}

/* A program for one row, jumps never taken. Row -1: host. */
static void ref_run(struct ref *r, uint32_t number, int row, int *ret_p, double *ret_v)
{
	const struct gf_prog *pr = &GF_SEC(struct gf_prog, r->img, GF_SEC_PROG)[number];
	const struct gf_insn *in = GF_SEC(struct gf_insn, r->img, GF_SEC_CODE) + pr->code;
	const double *konst = GF_SEC(double, r->img, GF_SEC_CONST);
	double v[16] = { 0 };
	int p[16] = { 0 };
	uint32_t at = row < 0 ? 0 : (uint32_t)row;

	for (; in->op != GF_OP_END; in++) {
		switch (in->op) {
		case GF_OP_LDF: v[in->d] = r->s->col[in->imm][at]; break;
		case GF_OP_LDH: v[in->d] = r->s->host[in->imm]; break;
		case GF_OP_LDK: v[in->d] = konst[in->imm]; break;
		case GF_OP_LDA: v[in->d] = r->agg[in->imm]; break;
		case GF_OP_LDC: v[in->d] = r->vcol[in->imm][at]; break;
		case GF_OP_LDP: p[in->d] = r->pcol[in->imm][at]; break;
		case GF_OP_AND: p[in->d] = p[in->a] < p[in->b] ? p[in->a] : p[in->b]; break;
		case GF_OP_OR: p[in->d] = p[in->a] > p[in->b] ? p[in->a] : p[in->b]; break;
		case GF_OP_NOT: p[in->d] = 2 - p[in->a]; break;
		case GF_OP_PSET: p[in->d] = (int)in->imm; break;
		case GF_OP_KNOWN: p[in->d] = isnan(v[in->a]) ? 0 : 2; break;
		case GF_OP_MATCH: p[in->d] = ref_match(r, in->imm, at); break;
		case GF_OP_CPV: v[in->d] = p[in->a] == 2; break;
		case GF_OP_PV: v[in->d] = p[in->a] == 1 ? (double)NAN : (double)(p[in->a] / 2); break;
		case GF_OP_JAF: case GF_OP_JAT: break;
		case GF_OP_HELD: case GF_OP_LATCH: {
			int a = p[in->a], b = p[in->b];
			if (row >= 0 && ref_torn(r, at))
				a = b = 1;
			if (row >= 0 && !ref_valid(r, at))
				a = b = 0;
			p[in->d] = in->op == GF_OP_HELD ? ref_held(r, in->imm, row >= 0, at, a)
							: row >= 0 && !ref_valid(r, at) ? 0 : ref_latch(r, in->imm, at, a, b);
			break;
		}
		case GF_OP_LT: case GF_OP_LE: case GF_OP_GT: case GF_OP_GE: case GF_OP_EQ: case GF_OP_NE:
			p[in->d] = ref_compare(in->op, v[in->a], v[in->b]);
			break;
		default:
			v[in->d] = ref_number(in->op, v[in->a], v[in->b]);
			break;
		}
	}
	*ret_p = p[in->a];
	*ret_v = v[in->b];
	if (row >= 0 && ref_torn(r, at)) {
		*ret_p = 1;
		*ret_v = NAN;
	} else if (row >= 0 && !ref_valid(r, at)) {
		*ret_p = 0;
		*ret_v = NAN;
	}
}

/* Pairwise inside 64, halves first: the shape that hd.h promises. */
static double ref_sum64(const double *x, uint32_t n)
{
	double a[32];

	if (n == 1)
		return x[0];
	for (uint32_t i = 0; i < n / 2; i++)
		a[i] = x[i] + x[i + n / 2];
	return ref_sum64(a, n / 2);
}

static double ref_aggregate(struct ref *r, uint32_t number, int kind, int maybe)
{
	double x[ROWS], best = NAN, sum = 0;
	int top = 0, p, lost = 0;
	unsigned trues = 0;

	for (uint32_t i = 0; i < ROWS; i++) {
		double v;
		ref_run(r, number, (int)i, &p, &v);
		top = p > top ? p : top;
		if (maybe && p == 1) {
			p = 2;
			if (isnan(v))
				v = kind == GF_AGG_MIN ? -INFINITY : INFINITY;
		}
		x[i] = p == 2 ? v : 0;
		if (p != 2)
			continue;
		trues++;
		lost |= isnan(v);
		if (isnan(best) || (kind == GF_AGG_MAX ? v > best : v < best))
			best = v;
	}
	for (uint32_t i = 0; i < ROWS; i += 64)
		sum += ref_sum64(x + i, 64);
	switch (kind) {
	case GF_AGG_COUNT: return trues;
	case GF_AGG_SUM: return sum;
	case GF_AGG_ANY: return top == 1 ? (double)NAN : (double)(top / 2);
	default: return lost ? NAN : best + 0.0; /* tick.h: zero of either sign is zero */
	}
}

static void ref_new_rows(struct ref *r)
{
	r->tick++;
	for (uint32_t i = 0; i < r->s->rows; i++) {
		if (!ref_valid(r, i) || (r->known[i] && r->gen[i] == r->s->gen[i]))
			continue;
		r->known[i] = 1;
		r->gen[i] = r->s->gen[i];
		r->first_ns[i] = r->s->now_ns;
		r->first_tick[i] = r->tick;
		for (uint32_t h = 0; h < r->img->sec[GF_SEC_HOLD].count; h++)
			if (GF_SEC(struct gf_hold, r->img, GF_SEC_HOLD)[h].scope == GF_SCOPE_TASK)
				r->hold[h].run[i] = r->hold[h].latch[i] = 0;
	}
}

/* When a hold was first looked at: at the first tick for those of the tick, when
 * the gate first was not unknown for those of a rule. */
static void ref_born(struct ref *r, uint32_t number, int reset)
{
	const struct gf_prog *pr = &GF_SEC(struct gf_prog, r->img, GF_SEC_PROG)[number];
	const struct gf_insn *in = GF_SEC(struct gf_insn, r->img, GF_SEC_CODE) + pr->code;

	for (; in->op != GF_OP_END; in++) {
		if (in->op != GF_OP_HELD)
			continue;
		if (reset != 1 && !r->hold[in->imm].born_ns) {
			r->hold[in->imm].born_ns = r->s->now_ns;
			r->hold[in->imm].born_tick = r->tick;
		}
		if (reset)
			memset(r->hold[in->imm].run, 0, sizeof r->hold[in->imm].run);
	}
}

static int same_bits(double a, double b)
{
	return (isnan(a) && isnan(b)) || !memcmp(&a, &b, sizeof a);
}

/* One tick by the reference, compared with the state after the same tick. */
static void ref_tick(struct ref *r, const struct gf_state *st, uint64_t seed)
{
	const struct gf_prog *pr = GF_SEC(struct gf_prog, r->img, GF_SEC_PROG);
	const struct gf_rule *rl = GF_SEC(struct gf_rule, r->img, GF_SEC_RULE);
	uint32_t k, i;
	int p;
	double v;

	ref_new_rows(r);
	for (k = 0; k < r->img->tick_progs; k++) {
		uint32_t to = pr[k].target;
		ref_born(r, k, 0);
		if (pr[k].sink == GF_SINK_AGG) {
			r->agg[to] = ref_aggregate(r, k, GF_SEC(struct gf_agg, r->img, GF_SEC_AGG)[to].kind,
						   GF_SEC(struct gf_agg, r->img, GF_SEC_AGG)[to].maybe);
			if (!same_bits(r->agg[to], st->agg[to]))
				fail_msg("seed %llu tick %llu aggregate %u: %a, reference %a", (unsigned long long)seed,
					 (unsigned long long)r->tick, to, st->agg[to], r->agg[to]);
			continue;
		}
		for (i = 0; i < ROWS; i++) {
			int value = st->vcol[to] != NULL;
			ref_run(r, k, (int)i, &p, &v);
			r->vcol[to][i] = v;
			r->pcol[to][i] = p;
			if (i < r->s->rows && (value ? !same_bits(v, st->vcol[to][i]) : p != st->pcol[to][i]))
				fail_msg("seed %llu tick %llu column %u row %u: %a or %u, reference %a or %d",
					 (unsigned long long)seed, (unsigned long long)r->tick, to, i,
					 value ? st->vcol[to][i] : 0, value ? 0 : st->pcol[to][i], v, p);
		}
	}
	for (k = 0; k < r->img->sec[GF_SEC_RULE].count; k++) {
		int top = 0;
		unsigned trues = 0;
		if (rl[k].gate != GF_NONE) {
			ref_run(r, rl[k].gate, -1, &top, &v);
			if (top != 2)
				ref_born(r, rl[k].cond, top == 0 ? 2 : 1);
		}
		if (rl[k].gate == GF_NONE || top == 2) {
			ref_born(r, rl[k].cond, 0);
			top = 0;
			for (i = 0; i < ((rl[k].flags & GF_RULE_TASK) ? ROWS : 1); i++) {
				ref_run(r, rl[k].cond, (rl[k].flags & GF_RULE_TASK) ? (int)i : -1, &p, &v);
				top = p > top ? p : top;
				trues += p == 2;
			}
		}
		if (top != st->rule[k].truth || trues != st->rule[k].true_rows)
			fail_msg("seed %llu tick %llu rule %u: truth %u in %u rows, reference %d in %u",
				 (unsigned long long)seed, (unsigned long long)r->tick, k, st->rule[k].truth,
				 st->rule[k].true_rows, top, trues);
	}
}

/* ---- tests ----------------------------------------------------------------- */

static struct progen gen;
static struct gf_regs regs;
static struct gf_event events[65];
static struct gf_verdict verdicts[4096];
static uint64_t event_seq;

static void run_tick(struct fake *f, struct gf_state *st, uint32_t budget)
{
	struct gf_tick_in in = { .budget_n = budget, .budget_window_ns = S };
	struct gf_tick_out out = { .events = events, .events_cap = 64, .verdicts = verdicts, .verdicts_cap = 4096,
				   .seq = &event_seq };
	struct gf_tick t = { .in = &in, .out = &out, .regs = &regs };

	f->t.ops->sample(&f->t, NULL);
	gf_ctx_init(&t.c, &f->t.sample, st);
	gf_tick_run(&t);
	for (uint32_t i = 0; i < out.verdicts_n; i++) {
		const struct gf_verdict *v = &verdicts[i];
		const struct gf_step *sp = &t.c.step[t.c.rule[v->rule].step + v->step];
		/* Who is only let go may be torn; all else holds for them, too. */
		if (v->pid && !(gf_step_lets_go(sp) ? gf_guard_same_letgo : gf_guard_same)(&f->t.sample, v->row, v->gen))
			fail_msg("a verdict on what may never be touched");
	}
	for (uint32_t k = 0; k < st->img->sec[GF_SEC_RULE].count; k++) {
		struct gf_event_term terms[GF_EVENT_TERMS];
		uint32_t row, n;
		double close;
		gf_tick_near(&t, k, &close, &row, terms, &n);
	}
}

static uint64_t base_seed(void)
{
	const char *s = getenv("GF_SEED");
	uint64_t seed = s ? strtoull(s, NULL, 0) : (uint64_t)time(NULL);

	printf("# GF_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

static void diff(int most, uint32_t cases)
{
	static struct ref r;
	uint64_t seed = base_seed();

	printf("# vectors: %s, %u images\n", gf_chunk_choose(most), cases);
	for (uint32_t n = 0; n < cases; n++, seed++) {
		struct gf_err err = { "" };
		struct gf_image_header *img = progen_image(&gen, seed, 0, &err);
		struct fake *f;
		struct gf_state *st;

		if (!img)
			fail_msg("seed %llu: verifier: %s", (unsigned long long)seed, err.text);
		f = fake_new(ROWS);
		gf_target_set_fields(&f->t, &img->fields, NULL);
		assert_int_equal(gf_state_create(img, ROWS, &st, &err), 0);
		memset(&r, 0, sizeof r);
		r.img = img;
		r.s = &f->t.sample;
		for (int k = 0; k < 6; k++) {
			progen_table(&gen, f);
			run_tick(f, st, 10);
			ref_tick(&r, st, seed);
		}
		gf_state_destroy(st);
		gf_target_destroy(&f->t);
		free(img);
	}
}

#if defined(__SANITIZE_ADDRESS__)
#define CASES 40u
#else
#define CASES 400u
#endif

static void same_as_reference_plain(void **state)
{
	(void)state;
	diff(0, CASES);
}

static void same_as_reference_avx2(void **state)
{
	(void)state;
	diff(1, CASES);
}

static void same_as_reference_avx512(void **state)
{
	(void)state;
	diff(2, CASES);
}

/* Everything at once, clocks that jump included: must end, and never touch what may not be. */
static void verified_images_cannot_crash(void **state)
{
	uint64_t seed = base_seed();

	(void)state;
	gf_chunk_choose(2);
	for (uint32_t n = 0; n < 2 * CASES; n++, seed++) {
		struct gf_err err = { "" };
		struct gf_image_header *img = progen_image(&gen, seed, 1, &err);
		struct fake *f;
		struct gf_state *st, *st2;
		struct gf_adoption *plan;

		if (!img)
			fail_msg("seed %llu: verifier: %s", (unsigned long long)seed, err.text);
		f = fake_new(ROWS);
		gf_target_set_fields(&f->t, &img->fields, NULL);
		assert_int_equal(gf_state_create(img, ROWS, &st, &err), 0);
		for (int k = 0; k < 12; k++) {
			progen_table(&gen, f);
			if (!rnd(&gen, 10))
				f->t.sample.now_ns -= rnd(&gen, 5000) * 100 * MS;
			f->step_ns = rnd(&gen, 5) * 77 * MS;
			run_tick(f, st, rnd(&gen, 20));
			if (k != 6)
				continue;
			/* and over a reload of the same image */
			assert_int_equal(gf_state_create(img, ROWS, &st2, &err), 0);
			assert_int_equal(gf_state_plan(img, img, &plan), 0);
			assert_int_equal(gf_adoption_rules(plan), img->sec[GF_SEC_RULE].count);
			gf_state_prefault(st2, 0, ROWS);
			gf_state_adopt(st2, st, plan);
			gf_state_destroy(st);
			free(plan);
			st = st2;
		}
		gf_state_destroy(st);
		gf_target_destroy(&f->t);
		free(img);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_as_reference_plain),
		cmocka_unit_test(same_as_reference_avx2),
		cmocka_unit_test(same_as_reference_avx512),
		cmocka_unit_test(verified_images_cannot_crash),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
