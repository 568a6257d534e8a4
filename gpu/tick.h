/* SPDX-License-Identifier: MIT
 *
 * One tick over one sample: rows, matches, programs, rules. Host and device; no
 * allocation, no call outside these headers.
 */
#ifndef GPUFAS_TICK_H
#define GPUFAS_TICK_H

#include "gpu/rules.h"

/* Runs a DFA over a string. */
GF_INLINE uint8_t gf_dfa_run(const uint8_t *data, const struct gf_dfa *d, const char *p, uint32_t len)
{
	const uint8_t *klass = data + d->classes_off;
	const uint16_t *trans = (const uint16_t *)(const void *)(data + d->trans_off);
	uint32_t state = 0;

	for (uint32_t i = 0; i < len; i++)
		state = trans[state * d->classes + klass[(uint8_t)p[i]]];
	return data[d->accept_off + state] == 1 ? GF_TRUE : GF_FALSE;
}

/* Brings the matches on one string field up to date: a string is run through its
 * automata when it changed, not every tick. */
GF_INLINE void gf_tick_match(struct gf_tick *t, uint32_t field)
{
	const struct gf_sample *s = t->c.s;
	struct gf_state *st = t->c.st;
	const struct gf_match *m = GF_SEC(struct gf_match, t->c.img, GF_SEC_MATCH);
	const struct gf_dfa *dfa = GF_SEC(struct gf_dfa, t->c.img, GF_SEC_DFA);
	const uint8_t *data = GF_SEC(uint8_t, t->c.img, GF_SEC_DFADATA);
	uint32_t count = t->c.img->sec[GF_SEC_MATCH].count, used = 0, fresh = 0;
	uint32_t *seen = st->str_ver[field];

	for (uint32_t k = 0; k < count; k++) {
		used |= m[k].field == field;
		fresh |= m[k].field == field && st->match_fresh[k];
	}
	if (!used)
		return;
	for (uint32_t row = 0; row < s->rows; row++) {
		const struct gf_strref *str = s->str[field] ? &s->str[field][row] : NULL;
		uint32_t ver = str ? str->ver : 0;
		int changed = seen[row] != ver;

		if (!(s->flags[row] & GF_ROW_VALID) || !(changed || fresh))
			continue;
		for (uint32_t k = 0; k < count; k++) {
			if (m[k].field == field && (changed || st->match_fresh[k]))
				st->match[k][row] = ver ? gf_dfa_run(data, &dfa[m[k].dfa], str->p, str->len)
							: (uint8_t)GF_UNKNOWN;
		}
		if (changed)
			seen[row] = ver;
	}
	for (uint32_t k = 0; k < count; k++)
		if (m[k].field == field)
			st->match_fresh[k] = 0;
}

/* A row with a new identity remembers nothing. */
GF_INLINE void gf_tick_new_row(struct gf_tick *t, uint32_t row)
{
	struct gf_state *st = t->c.st;
	uint32_t holds = t->c.img->sec[GF_SEC_HOLD].count, hists = t->c.img->sec[GF_SEC_HIST].count;
	int had = st->row_since[row] != 0;

	st->row_gen[row] = t->c.s->gen[row];
	st->row_since[row] = t->c.now;
	st->row_tick[row] = st->tick;
	for (uint32_t f = 0; f < GF_SF_COUNT; f++)
		if (st->str_ver[f])
			st->str_ver[f][row] = GF_NONE;
	if (!had)
		return;
	for (uint32_t k = 0; k < holds; k++)
		gf_hold_forget(&t->c.hold[k], &st->hold[k], row);
	for (uint32_t k = 0; k < hists; k++)
		if (t->c.hist[k].scope == GF_SCOPE_TASK && st->hist[k].first[row])
			st->hist[k].first[row] = 0;
}

/* Who is where, and who may be believed. */
GF_INLINE void gf_tick_rows(struct gf_tick *t)
{
	const struct gf_sample *s = t->c.s;
	struct gf_state *st = t->c.st;
	uint32_t up = gf_rows_up(s);

	for (uint32_t row = 0; row < up; row++) {
		uint8_t f = row < s->rows ? s->flags[row] : 0;
		uint8_t valid = (f & GF_ROW_VALID) != 0, torn = valid && (f & GF_ROW_TORN);
		st->lo[row] = torn ? GF_UNKNOWN : GF_FALSE;
		st->hi[row] = (uint8_t)(torn ? GF_UNKNOWN : (valid ? GF_TRUE : GF_FALSE));
		if (valid && (st->row_gen[row] != s->gen[row] || !st->row_since[row]))
			gf_tick_new_row(t, row);
	}
	st->rows_seen = GF_MAX(st->rows_seen, up);
}

/* Sums x[0..64) in a fixed shape. */
GF_INLINE double gf_reduce_sum(double *x)
{
	for (uint32_t k = GF_REDUCE / 2; k; k /= 2)
		for (uint32_t i = 0; i < k; i++)
			x[i] = x[i] + x[i + k];
	return x[0];
}

#define GF_SPAN (GF_WIDTH >= GF_REDUCE ? GF_WIDTH : GF_REDUCE)

/* A program whose result goes to an aggregate. */
GF_INLINE void gf_tick_agg(struct gf_tick *t, uint32_t prog)
{
	struct gf_state *st = t->c.st;
	uint32_t number = t->c.prog[prog].target, up = gf_rows_up(t->c.s);
	const struct gf_agg *agg = &GF_SEC(struct gf_agg, t->c.img, GF_SEC_AGG)[number];
	uint8_t kind = agg->kind, least = agg->maybe ? GF_UNKNOWN : GF_TRUE, top = GF_FALSE;
	double far = kind == GF_AGG_MIN ? -gf_infinity() : gf_infinity();
	double x[GF_SPAN], sum = 0, best = kind == GF_AGG_MAX ? -gf_infinity() : gf_infinity();
	uint64_t trues = 0;
	int lost = 0;
	struct gf_result res;

	for (uint32_t span = 0; span < up; span += GF_SPAN) {
		for (uint32_t sub = 0; sub < GF_SPAN; sub += GF_WIDTH) {
			uint32_t base = span + sub;
			GF_RUN_CHUNK(&t->c, prog, base, t->regs, &res);
			for (uint32_t i = 0; i < GF_WIDTH; i++) {
				uint8_t lo = st->lo[base + i], hi = st->hi[base + i];
				uint8_t p = GF_MIN(hi, res.p[i]);
				double v = res.v[i];
				p = GF_MAX(lo, p);
				top = GF_MAX(top, p);
				if (lo == GF_UNKNOWN || (p == GF_UNKNOWN && v != v)) /* torn, or not known */
					v = far;
				trues += p >= least;
				x[sub + i] = p >= least ? v : 0.0;
				if (p < least)
					continue;
				lost |= v != v;
				if (kind == GF_AGG_MAX ? v > best : v < best)
					best = v;
			}
		}
		if (kind == GF_AGG_SUM)
			for (uint32_t g = 0; g < GF_SPAN; g += GF_REDUCE)
				sum = sum + gf_reduce_sum(x + g);
	}
	switch (kind) {
	case GF_AGG_COUNT:
		st->agg[number] = (double)trues;
		break;
	case GF_AGG_SUM:
		st->agg[number] = sum;
		break;
	case GF_AGG_ANY:
		st->agg[number] = top == GF_UNKNOWN ? gf_unknown() : (top == GF_TRUE ? 1.0 : 0.0);
		break;
	default:
		st->agg[number] = trues && !lost ? best : gf_unknown();
		break;
	}
}

/* A program whose result goes to a column, then the column's transform. */
GF_INLINE void gf_tick_col(struct gf_tick *t, uint32_t prog)
{
	struct gf_state *st = t->c.st;
	uint32_t number = t->c.prog[prog].target, up = gf_rows_up(t->c.s);
	uint8_t kind = GF_SEC(struct gf_col, t->c.img, GF_SEC_COL)[number].kind;
	double *v = st->vcol[number];
	uint8_t *p = st->pcol[number];
	struct gf_result res;

	for (uint32_t base = 0; base < up; base += GF_WIDTH) {
		GF_RUN_CHUNK(&t->c, prog, base, t->regs, &res);
		for (uint32_t i = 0; i < GF_WIDTH; i++) {
			uint8_t lo = st->lo[base + i], hi = st->hi[base + i], x;
			if (v) {
				v[base + i] = hi == GF_TRUE ? res.v[i] : gf_unknown();
			} else {
				x = GF_MIN(hi, res.p[i]);
				p[base + i] = GF_MAX(lo, x);
			}
		}
	}
	if (kind == GF_COL_TREE)
		gf_family_sum(t->c.s, st, v);
	else if (kind == GF_COL_PARENT)
		gf_family_of_parent(t->c.s, st, p);
	else if (kind == GF_COL_ANCESTOR)
		gf_family_ancestor(t->c.s, st, p);
}

GF_INLINE void gf_tick_hist(struct gf_tick *t, uint32_t prog)
{
	struct gf_state *st = t->c.st;
	const struct gf_prog *pr = &t->c.prog[prog];
	const struct gf_hist *h = &t->c.hist[pr->target];
	struct gf_hist_state *hs = &st->hist[pr->target];
	uint32_t up = gf_rows_up(t->c.s);
	struct gf_result res;
	uint8_t ok[GF_WIDTH];

	gf_hist_begin(h, hs, t->c.now);
	if (pr->scope == GF_SCOPE_HOST) {
		gf_run_one(&t->c, prog, 0, t->regs, &res);
		ok[0] = 1;
		gf_hist_push(h, hs, t->c.now, 0, 1, res.v, ok);
		return;
	}
	if (h->scope != GF_SCOPE_TASK)
		return;
	for (uint32_t base = 0; base < up; base += GF_WIDTH) {
		GF_RUN_CHUNK(&t->c, prog, base, t->regs, &res);
		for (uint32_t i = 0; i < GF_WIDTH; i++)
			ok[i] = st->hi[base + i] == GF_TRUE;
		gf_hist_push(h, hs, t->c.now, base, GF_WIDTH, res.v, ok);
	}
}

/* A program that runs every tick. */
GF_INLINE void gf_tick_prog(struct gf_tick *t, uint32_t prog)
{
	const struct gf_prog *pr = &t->c.prog[prog];
	uint32_t up = gf_rows_up(t->c.s);
	struct gf_result res;

	if (pr->sink == GF_SINK_HIST) {
		gf_tick_hist(t, prog);
	} else if (pr->scope == GF_SCOPE_HOST) {
		gf_run_one(&t->c, prog, 0, t->regs, &res);
		if (pr->sink == GF_SINK_AGG)
			t->c.st->agg[pr->target] = res.v[0];
	} else if (pr->sink == GF_SINK_AGG) {
		gf_tick_agg(t, prog);
	} else if (pr->sink == GF_SINK_COL) {
		gf_tick_col(t, prog);
	} else {
		for (uint32_t base = 0; base < up; base += GF_WIDTH)
			GF_RUN_CHUNK(&t->c, prog, base, t->regs, &res);
	}
}

GF_INLINE void gf_tick_shift(uint64_t *x, uint64_t back)
{
	if (*x)
		*x = *x > back ? *x - back : 1;
}

/* The target's clock went back by so much: windows and runs start anew, and what
 * lies in the future by the old clock lies as far in the future by the new one. */
GF_INLINE void gf_tick_clock_back(struct gf_tick *t, uint64_t back)
{
	struct gf_state *st = t->c.st;
	const struct gf_image_header *img = t->c.img;

	for (uint32_t k = 0; k < img->sec[GF_SEC_HIST].count; k++)
		gf_hist_reset(&t->c.hist[k], &st->hist[k], st->rows_seen);
	for (uint32_t i = 0; i < st->rows_seen; i++)
		gf_tick_shift(&st->row_since[i], back);
	for (uint32_t i = 0; i < st->rows_seen; i++)
		gf_tick_shift(&st->killed_ns[i], back);
	gf_tick_shift(&st->stale_at, back);
	for (uint32_t k = 0; k < img->sec[GF_SEC_HOLD].count; k++)
		gf_tick_shift(&st->hold[k].born_ns, back);
	for (uint32_t k = 0; k < img->sec[GF_SEC_RULE].count; k++) {
		struct gf_rule_state *rs = &st->rule[k];
		gf_tick_shift(&rs->due_ns, back);
		gf_tick_shift(&rs->last_ns, back);
		for (uint32_t i = 0; i < GF_MAX_LIMIT; i++)
			gf_tick_shift(&rs->acted[i], back);
	}
	for (uint32_t i = 0; i < st->budget_n; i++)
		gf_tick_shift(&st->budget_at[(st->budget_head + GF_BUDGET_MAX - 1 - i) % GF_BUDGET_MAX], back);
	st->gap = 1;
}

/* Runs of true start anew: nobody looked for a while, so it may have had a gap. */
GF_INLINE void gf_tick_gap(struct gf_tick *t)
{
	struct gf_state *st = t->c.st;

	for (uint32_t k = 0; k < t->c.img->sec[GF_SEC_HOLD].count; k++)
		gf_hold_reset(&t->c.hold[k], &st->hold[k], st->rows_seen);
	st->gap = 0;
}

/* A tick without a sample that can be believed: nothing is evaluated, nobody is
 * chosen, whoever was stopped is let go when it is time, and it is said once. t->c is set up; the sample is not read but for its time. */
static GF_HD __attribute__((noinline, unused)) void gf_tick_stale(struct gf_tick *t)
{
	struct gf_state *st = t->c.st;
	struct gf_event *ev;

	st->gap = 1;
	for (uint32_t k = 0; k < t->c.img->sec[GF_SEC_RULE].count; k++)
		gf_rule_let_go(t, k);
	if (st->stale_told)
		return;
	st->stale_told = 1;
	/* A sampler that fails every other time is told of once in a while. */
	if (st->stale_at && t->c.now - st->stale_at < GF_TELL_NS)
		return;
	st->stale_at = t->c.now;
	ev = gf_event_new(t, GF_EV_HELD_BACK, GF_NONE);
	ev->held_back = GF_HB_STALE;
	ev->observed = t->in->observe;
}

/* One tick. t->c was set up by gf_ctx_init() for this sample. */
static GF_HD __attribute__((noinline, unused)) void gf_tick_run(struct gf_tick *t)
{
	struct gf_state *st = t->c.st;
	const struct gf_image_header *img = t->c.img;
	uint32_t rules = img->sec[GF_SEC_RULE].count;

	if (st->tick && t->c.s->seq == st->last_seq) {
		gf_tick_stale(t);
		return;
	}
	st->stale_told = 0;
	if (t->c.now < st->now_ns)
		gf_tick_clock_back(t, st->now_ns - t->c.now);
	if (st->gap || t->in->gap)
		gf_tick_gap(t);
	st->tick++;
	st->last_seq = t->c.s->seq;
	gf_tick_rows(t);
	for (uint32_t f = 0; f < GF_SF_COUNT; f++)
		gf_tick_match(t, f);
	for (uint32_t k = 0; k < img->tick_progs; k++)
		gf_tick_prog(t, k);
	for (uint32_t k = 0; k < rules; k++)
		gf_rule_follow(t, k);
	for (uint32_t k = 0; k < rules; k++)
		gf_rule_run(t, k);
	st->now_ns = t->c.now;
}

/* How near a rule is to firing, for status and top: the nearest row that could be
 * acted on (GF_NONE for host rules), its closeness, its terms. Between ticks, on
 * the sample of the last one. */
static GF_HD __attribute__((noinline, unused)) void gf_tick_near(struct gf_tick *t, uint32_t rule, double *ret_close,
							   uint32_t *ret_row, struct gf_event_term *terms,
							   uint32_t *ret_terms)
{
	const struct gf_rule *r = &t->c.rule[rule];
	const struct gf_sample *s = t->c.s;
	double best = gf_unknown();
	uint32_t at = GF_NONE, up = gf_rows_up(s);
	struct gf_result res;

	if (r->close != GF_NONE && t->c.prog[r->close].scope == GF_SCOPE_HOST) {
		gf_run_one(&t->c, r->close, 0, t->regs, &res);
		best = res.v[0];
	} else if (r->close != GF_NONE) {
		for (uint32_t base = 0; base < up; base += GF_WIDTH) {
			GF_RUN_CHUNK(&t->c, r->close, base, t->regs, &res);
			for (uint32_t i = 0; i < GF_WIDTH && base + i < s->rows; i++) {
				double v = res.v[i];
				if (!(v == v) || (best == best && v <= best))
					continue;
				if (gf_guard_row(s, base + i) != GF_WHY_CHOSEN)
					continue;
				best = v;
				at = base + i;
			}
		}
	}
	*ret_close = best;
	*ret_row = at;
	*ret_terms = gf_explain_terms(t, rule, at, terms);
}

#endif
