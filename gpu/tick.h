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

/* The matches on one string field of one row. changed: the string did; otherwise only those that are new. */
GF_SELDOM void gf_tick_match_row(struct gf_tick *t, uint32_t field, uint32_t row, int changed)
{
	const struct gf_strref *str = t->c.s->str[field] ? &t->c.s->str[field][row] : NULL;
	struct gf_state *st = t->c.st;
	const struct gf_match *m = GF_SEC(struct gf_match, t->c.img, GF_SEC_MATCH);
	const struct gf_dfa *dfa = GF_SEC(struct gf_dfa, t->c.img, GF_SEC_DFA);
	const uint8_t *data = GF_SEC(uint8_t, t->c.img, GF_SEC_DFADATA);
	uint32_t count = t->c.img->sec[GF_SEC_MATCH].count, ver = str ? str->ver : 0;

	for (uint32_t k = 0; k < count; k++) {
		if (m[k].field == field && (changed || st->match_fresh[k]))
			st->match[k][row] = ver ? gf_dfa_run(data, &dfa[m[k].dfa], str->p, str->len) : (uint8_t)GF_UNKNOWN;
	}
	if (changed)
		st->str_ver[field][row] = ver;
}

/* Brings the matches on one string field up to date in rows [base, base + n): a string
 * is run through its automata when it changed, not every tick. */
GF_INLINE void gf_tick_match(struct gf_tick *t, uint32_t field, uint32_t base, uint32_t n)
{
	const struct gf_sample *s = t->c.s;
	const struct gf_strref *str = s->str[field];
	const uint32_t *seen = t->c.st->str_ver[field];
	uint32_t end = GF_MIN(base + n, s->rows);
	uint8_t fresh = t->c.st->work.fresh;

	for (uint32_t row = base; row < end; row++) {
		int changed = seen[row] != (str ? str[row].ver : 0);

		if (s->flags[row] & GF_ROW_VALID && (changed || fresh))
			gf_tick_match_row(t, field, row, changed);
	}
}

/* A row with a new identity remembers nothing. */
GF_SELDOM void gf_tick_new_row(struct gf_tick *t, uint32_t row)
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
GF_INLINE void gf_tick_row(struct gf_tick *t, uint32_t row)
{
	const struct gf_sample *s = t->c.s;
	struct gf_state *st = t->c.st;
	uint8_t f = row < s->rows ? s->flags[row] : 0;
	uint8_t valid = (f & GF_ROW_VALID) != 0, torn = valid && (f & GF_ROW_TORN);

	st->lo[row] = torn ? GF_UNKNOWN : GF_FALSE;
	st->hi[row] = (uint8_t)(torn ? GF_UNKNOWN : (valid ? GF_TRUE : GF_FALSE));
	if (valid && (st->row_gen[row] != s->gen[row] || !st->row_since[row]))
		gf_tick_new_row(t, row);
}

/* What has to be there before the programs of the tick: rows, matches, and what holds and histories have of no row. */
GF_JOB_BODY gf_job_rows(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	struct gf_state *st = t->c.st;
	uint32_t up = gf_rows_up(t->c.s), progs = t->c.img->tick_progs, by;

	GF_UNUSED3(a, b, c);
	for GF_SHARE(base, up) {
		for (uint32_t i = 0; i < GF_WIDTH; i++)
			gf_tick_row(t, base + i);
		for (uint32_t f = st->work.fields; f; f &= f - 1)
			gf_tick_match(t, gf_ctz64(f), base, GF_WIDTH);
	}
	for (uint32_t k = gf_team_spread(lane, lanes, progs, &by); k < progs; k += by) {
		const struct gf_prog *pr = &t->c.prog[k];
		if (pr->sink == GF_SINK_HIST)
			gf_hist_begin(&t->c.hist[pr->target], &st->hist[pr->target], t->c.now);
	}
#if GF_TEAM
	for (uint32_t k = lane; k < st->work.prog_holds; k += lanes) {
		uint32_t hold = st->work.plan[st->work.prog_hold + k];
		if (t->c.hold[hold].scope == GF_SCOPE_HOST || up)
			gf_hold_born(&st->hold[hold], st, t->c.now);
	}
#endif
}

GF_INLINE void gf_tick_rows(struct gf_tick *t)
{
	struct gf_state *st = t->c.st;
	uint32_t matches = t->c.img->sec[GF_SEC_MATCH].count;

	GF_TICK_CALL(t, GF_JOB_ROWS, gf_job_rows, 0, 0, 0);
	st->rows_seen = GF_MAX(st->rows_seen, gf_rows_up(t->c.s));
	if (!st->work.fresh)
		return;
	for (uint32_t k = 0; k < matches; k++)
		st->match_fresh[k] = 0;
	st->work.fresh = 0;
}

#include "gpu/aggregate.h"

/* A program whose result goes to a column. */
GF_INLINE void gf_tick_col_rows(struct gf_tick *t, uint32_t prog, uint32_t lane, uint32_t lanes)
{
	struct gf_state *st = t->c.st;
	uint32_t number = t->c.prog[prog].target, up = gf_rows_up(t->c.s);
	double *v = st->vcol[number];
	uint8_t *p = st->pcol[number];
	uint32_t n = gf_part_rows(up, lanes);
	struct gf_result res;

	for (uint32_t base = lane * n; base < up; base += lanes * n) {
		GF_RUN_PART(&t->c, prog, base, n, t->regs, &res);
		for (uint32_t i = 0; i < n; i++) {
			uint8_t lo = st->lo[base + i], hi = st->hi[base + i], x;
			if (v) {
				v[base + i] = hi == GF_TRUE ? res.v[i] : gf_unknown();
			} else {
				x = GF_MIN(hi, res.p[i]);
				p[base + i] = GF_MAX(lo, x);
			}
		}
	}
}

/* Then the column's transform, when all rows are there. */
GF_INLINE void gf_tick_col(struct gf_tick *t, uint32_t number)
{
	uint8_t kind = GF_SEC(struct gf_col, t->c.img, GF_SEC_COL)[number].kind;

	if (kind == GF_COL_TREE)
		gf_family_sum(t, t->c.st->vcol[number]);
	else if (kind == GF_COL_PARENT)
		gf_family_of_parent(t, number);
	else if (kind == GF_COL_ANCESTOR)
		gf_family_ancestor(t, number);
}

GF_INLINE void gf_tick_hist_rows(struct gf_tick *t, uint32_t prog, uint32_t lane, uint32_t lanes)
{
	struct gf_state *st = t->c.st;
	const struct gf_prog *pr = &t->c.prog[prog];
	const struct gf_hist *h = &t->c.hist[pr->target];
	struct gf_hist_state *hs = &st->hist[pr->target];
	uint32_t up = gf_rows_up(t->c.s), n = gf_part_rows(up, lanes);
	struct gf_result res;
	uint8_t ok[GF_ROWS_MOST];

	if (h->scope != GF_SCOPE_TASK)
		return;
	for (uint32_t base = lane * n; base < up; base += lanes * n) {
		GF_RUN_PART(&t->c, prog, base, n, t->regs, &res);
		for (uint32_t i = 0; i < n; i++)
			ok[i] = st->hi[base + i] == GF_TRUE;
		gf_hist_push(h, hs, t->c.now, base, n, res.v, ok);
	}
}

/* A program of host scope that runs every tick. */
GF_INLINE void gf_tick_host(struct gf_tick *t, uint32_t prog)
{
	const struct gf_prog *pr = &t->c.prog[prog];
	struct gf_result res;
	uint8_t ok = 1;

	gf_run_one(&t->c, prog, 0, t->regs, &res);
	if (pr->sink == GF_SINK_HIST)
		gf_hist_push(&t->c.hist[pr->target], &t->c.st->hist[pr->target], t->c.now, 0, 1, res.v, &ok);
	else if (pr->sink == GF_SINK_AGG)
		t->c.st->agg[pr->target] = res.v[0];
}

/* A program that runs every tick over a lane's rows, up to where all lanes' rows are needed. */
GF_INLINE void gf_tick_prog_rows(struct gf_tick *t, uint32_t prog, uint32_t lane, uint32_t lanes)
{
	uint32_t up = gf_rows_up(t->c.s), n = gf_part_rows(up, lanes);
	uint8_t sink = t->c.prog[prog].sink;
	struct gf_result res;

	if (sink == GF_SINK_HIST) {
		gf_tick_hist_rows(t, prog, lane, lanes);
	} else if (sink == GF_SINK_COL) {
		gf_tick_col_rows(t, prog, lane, lanes);
	} else if (sink == GF_SINK_AGG) {
#if GF_TEAM
		gf_tick_agg_rows(t, prog, lane, lanes);
#else
		gf_tick_agg(t, prog);
#endif
	} else {
		for (uint32_t base = lane * n; base < up; base += lanes * n)
			GF_RUN_PART(&t->c, prog, base, n, t->regs, &res);
	}
}

#if !GF_TEAM
/* The programs of the tick, in their order. */
GF_INLINE void gf_tick_progs(struct gf_tick *t)
{
	for (uint32_t k = 0; k < t->c.img->tick_progs; k++) {
		if (t->c.prog[k].scope == GF_SCOPE_HOST) {
			gf_tick_host(t, k);
			continue;
		}
		gf_tick_prog_rows(t, k, 0, 1);
		if (t->c.prog[k].sink == GF_SINK_COL)
			gf_tick_col(t, t->c.prog[k].target);
	}
}
#else
/* The programs of a level: each lane runs those of tasks over its rows, and some of those of the host. a: level. */
GF_JOB_BODY gf_job_level(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	const struct gf_work *w = &t->c.st->work;
	const uint32_t *at = w->plan + w->level_at + a, *order = w->plan + w->order;
	uint32_t n = at[1] - at[0], by;

	(void)b;
	(void)c;
	for (uint32_t k = at[0]; k < at[1]; k++)
		if (t->c.prog[order[k]].scope == GF_SCOPE_TASK)
			gf_tick_prog_rows(t, order[k], lane, lanes);
	for (uint32_t k = gf_team_spread(lane, lanes, n, &by); k < n; k += by)
		if (t->c.prog[order[at[0] + k]].scope == GF_SCOPE_HOST)
			gf_tick_host(t, order[at[0] + k]);
}

static GF_HD __attribute__((noinline, unused)) void gf_tick_progs(struct gf_tick *t)
{
	const struct gf_work *w = &t->c.st->work;

	for (uint32_t level = 0; level < w->levels; level++) {
		const uint32_t *at = w->plan + w->level_at + level;
		uint32_t what = w->plan[w->level_what + level];

		gf_team_call(t->team, GF_JOB_LEVEL, level, 0, 0);
		if (what & GF_LEVEL_SUMS)
			gf_team_call(t->team, GF_JOB_SUMS, level, 0, 0);
		if (what & GF_LEVEL_AGGS)
			gf_team_call(t->team, GF_JOB_AGGS, level, 0, 0);
		if (!(what & GF_LEVEL_COLS))
			continue;
		for (uint32_t k = at[0]; k < at[1]; k++) {
			const struct gf_prog *pr = &t->c.prog[w->plan[w->order + k]];
			if (pr->sink == GF_SINK_COL)
				gf_tick_col(t, pr->target);
		}
	}
}
#endif

GF_INLINE void gf_tick_shift(uint64_t *x, uint64_t back)
{
	if (*x)
		*x = *x > back ? *x - back : 1;
}

/* All times that belong to a row, a hold or a rule. a, b: by how much, low word first. */
GF_JOB_BODY gf_job_back(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	struct gf_state *st = t->c.st;
	const struct gf_image_header *img = t->c.img;
	uint64_t back = (uint64_t)b << 32 | a;

	(void)c;
	for (uint32_t k = 0; k < img->sec[GF_SEC_HIST].count; k++)
		gf_hist_reset_rows(&t->c.hist[k], &st->hist[k], st->rows_seen, lane, lanes);
	for (uint32_t i = lane; i < st->rows_seen; i += lanes)
		gf_tick_shift(&st->row_since[i], back);
	for (uint32_t i = lane; i < st->rows_seen; i += lanes)
		gf_tick_shift(&st->killed_ns[i], back);
	for (uint32_t k = lane; k < img->sec[GF_SEC_HOLD].count; k += lanes)
		gf_tick_shift(&st->hold[k].born_ns, back);
	for (uint32_t k = lane; k < img->sec[GF_SEC_RULE].count; k += lanes) {
		struct gf_rule_state *rs = &st->rule[k];
		gf_tick_shift(&rs->due_ns, back);
		gf_tick_shift(&rs->last_ns, back);
		for (uint32_t i = 0; i < GF_MAX_LIMIT; i++)
			gf_tick_shift(&rs->acted[i], back);
	}
}

/* The target's clock went back by so much: windows and runs start anew, and what
 * lies in the future by the old clock lies as far in the future by the new one. */
GF_INLINE void gf_tick_clock_back(struct gf_tick *t, uint64_t back)
{
	struct gf_state *st = t->c.st;

	GF_TICK_CALL(t, GF_JOB_BACK, gf_job_back, (uint32_t)back, (uint32_t)(back >> 32), 0);
	for (uint32_t k = 0; k < t->c.img->sec[GF_SEC_HIST].count; k++)
		gf_hist_reset(&st->hist[k]);
	gf_tick_shift(&st->stale_at, back);
	for (uint32_t i = 0; i < st->budget_n; i++)
		gf_tick_shift(&st->budget_at[(st->budget_head + GF_BUDGET_MAX - 1 - i) % GF_BUDGET_MAX], back);
	st->gap = 1;
}

GF_JOB_BODY gf_job_gap(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	struct gf_state *st = t->c.st;

	GF_UNUSED3(a, b, c);
	for (uint32_t k = 0; k < t->c.img->sec[GF_SEC_HOLD].count; k++)
		gf_hold_reset_share(&t->c.hold[k], &st->hold[k], st->rows_seen, lane, lanes);
}

/* Runs of true start anew: nobody looked for a while, so it may have had a gap. */
GF_INLINE void gf_tick_gap(struct gf_tick *t)
{
	struct gf_state *st = t->c.st;

	GF_TICK_CALL(t, GF_JOB_GAP, gf_job_gap, 0, 0, 0);
	for (uint32_t k = 0; k < t->c.img->sec[GF_SEC_HOLD].count; k++)
		if (t->c.hold[k].kind != GF_HOLD_LATCH)
			st->hold[k].used = 0;
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
	GF_TELL_ALL(t);
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
	gf_tick_progs(t);
	gf_rules_run(t);
	st->now_ns = t->c.now;
}

#if GF_TEAM
/* How near each row is to a rule, into key; unknown for who may not be touched. a: program. */
GF_JOB_BODY gf_job_near(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	const struct gf_sample *s = t->c.s;
	struct gf_result res;

	(void)b;
	(void)c;
	for (uint32_t row = lane; row < gf_rows_up(s); row += lanes) {
		if (row < s->rows) {
			gf_run_lane(&t->c, a, row, &res);
			t->c.st->key[row] = gf_guard_row(s, row) == GF_WHY_CHOSEN ? res.v[0] : gf_unknown();
			if (t->c.st->key[row] == t->c.st->key[row])
				gf_team_one(&t->c.st->work.count);
		}
		gf_top_row(t, GF_PICK_LARGEST, 1, row);
	}
}
#endif

/* The row for which a program gives most, and how much. */
GF_INLINE uint32_t gf_tick_nearest(struct gf_tick *t, uint32_t prog, double *best)
{
	const struct gf_sample *s = t->c.s;
	uint32_t at = GF_NONE;
#if GF_TEAM
	if (!s->rows)
		return at;
	t->c.st->work.count = 0;
	gf_team_call(t->team, GF_JOB_NEAR, prog, 0, 0);
	if (!t->c.st->work.count)
		return at;
	gf_top_make(t, 0, 1);
	at = t->c.st->work.best[GF_TOP_RANK][0];
	*best = t->c.st->key[at];
#else
	uint32_t up = gf_rows_up(s);
	struct gf_result res;

	for (uint32_t base = 0; base < up; base += GF_WIDTH) {
		GF_RUN_CHUNK(&t->c, prog, base, t->regs, &res);
		for (uint32_t i = 0; i < GF_WIDTH && base + i < s->rows; i++) {
			double v = res.v[i];
			if (!(v == v) || (*best == *best && v <= *best))
				continue;
			if (gf_guard_row(s, base + i) != GF_WHY_CHOSEN)
				continue;
			*best = v;
			at = base + i;
		}
	}
#endif
	return at;
}

/* How near a rule is to firing, for status and top: the nearest row that could be
 * acted on (GF_NONE for host rules), its closeness, its terms. Between ticks, on
 * the sample of the last one. */
static GF_HD __attribute__((noinline, unused)) void gf_tick_near(struct gf_tick *t, uint32_t rule, double *ret_close,
							   uint32_t *ret_row, struct gf_event_term *terms,
							   uint32_t *ret_terms)
{
	const struct gf_rule *r = &t->c.rule[rule];
	double best = gf_unknown();
	uint32_t at = GF_NONE;
	struct gf_result res;

	if (r->close != GF_NONE && t->c.prog[r->close].scope == GF_SCOPE_HOST) {
		gf_run_one(&t->c, r->close, 0, t->regs, &res);
		best = res.v[0];
	} else if (r->close != GF_NONE) {
		at = gf_tick_nearest(t, r->close, &best);
	}
	*ret_close = best;
	*ret_row = at;
	*ret_terms = gf_explain_terms(t, rule, at, terms);
}

#if GF_TEAM
/* A lane's share of a call: what gf_team_dispatch() does for jobs below 64. */
static GF_HD __attribute__((noinline, unused)) void gf_tick_job(struct gf_tick *t, const struct gf_call *call, uint32_t lane,
							 uint32_t lanes)
{
#define GF_JOB(number, body)                                            \
	case number:                                                    \
		body(t, call->a, call->b, call->c, lane, lanes);        \
		break
	switch (call->job) {
	GF_JOB(GF_JOB_BACK, gf_job_back);
	GF_JOB(GF_JOB_GAP, gf_job_gap);
	GF_JOB(GF_JOB_ROWS, gf_job_rows);
	GF_JOB(GF_JOB_LEVEL, gf_job_level);
	GF_JOB(GF_JOB_SUMS, gf_job_sums);
	GF_JOB(GF_JOB_AGGS, gf_job_aggs);
	GF_JOB(GF_JOB_GATES, gf_job_gates);
	GF_JOB(GF_JOB_TRUTHS, gf_job_truths);
	GF_JOB(GF_JOB_COND, gf_job_cond);
	GF_JOB(GF_JOB_SELECT, gf_job_select);
	GF_JOB(GF_JOB_BEST, gf_job_best);
	GF_JOB(GF_JOB_RANK, gf_job_rank);
	GF_JOB(GF_JOB_PLACE, gf_job_place);
	GF_JOB(GF_JOB_TELL, gf_job_tell);
	GF_JOB(GF_JOB_GROUP, gf_job_group);
	GF_JOB(GF_JOB_TREE, gf_job_tree);
	GF_JOB(GF_JOB_FAMILY, gf_job_family);
	GF_JOB(GF_JOB_OWN, gf_job_own);
	GF_JOB(GF_JOB_PARENT, gf_job_parent);
	GF_JOB(GF_JOB_ANCESTOR, gf_job_ancestor);
	GF_JOB(GF_JOB_NEAR, gf_job_near);
	default:
		break;
	}
#undef GF_JOB
}
#endif

#endif
