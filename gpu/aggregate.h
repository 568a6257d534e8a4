/* SPDX-License-Identifier: MIT
 *
 * Aggregates: counts, sums, extremes over all rows that a condition holds for, the same to the last bit for any number of lanes.
 * Of gpu/tick.h, which includes this.
 */
#ifndef GPUFAS_AGGREGATE_H
#define GPUFAS_AGGREGATE_H

/* Sums x[0..64) in a fixed shape. */
GF_INLINE double gf_reduce_sum(double *x)
{
	for (uint32_t k = GF_REDUCE / 2; k; k /= 2)
		for (uint32_t i = 0; i < k; i++)
			x[i] = x[i] + x[i + k];
	return x[0];
}

#define GF_SPAN (GF_WIDTH >= GF_REDUCE ? GF_WIDTH : GF_REDUCE)

/* MAX, MIN: zero of either sign is zero, so that it does not matter which of several came first. */
GF_INLINE double gf_agg_best(double best)
{
	return best + 0.0;
}

#if !GF_TEAM
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
		st->agg[number] = trues && !lost ? gf_agg_best(best) : gf_unknown();
		break;
	}
}

#else
/* Numbers as integers of the same order; never 0. */
GF_INLINE uint64_t gf_agg_code(double v)
{
	union { uint64_t u; double d; } x;

	x.d = gf_agg_best(v);
	return x.u >> 63 ? ~x.u : x.u | 1ull << 63;
}

GF_INLINE double gf_agg_decode(uint64_t code)
{
	union { uint64_t u; double d; } x;

	x.u = code >> 63 ? code & ~(1ull << 63) : ~code;
	return x.d;
}

/* A lane's part of an aggregate: counts and bests go to gf_work.acc, what is to be summed up to gf_work.x. */
GF_INLINE void gf_tick_agg_rows(struct gf_tick *t, uint32_t prog, uint32_t lane, uint32_t lanes)
{
	struct gf_state *st = t->c.st;
	uint32_t number = t->c.prog[prog].target, up = gf_rows_up(t->c.s);
	const struct gf_agg *agg = &GF_SEC(struct gf_agg, t->c.img, GF_SEC_AGG)[number];
	struct gf_agg_sum *acc = &st->work.acc[number];
	uint8_t kind = agg->kind, least = agg->maybe ? GF_UNKNOWN : GF_TRUE;
	double far = kind == GF_AGG_MIN ? -gf_infinity() : gf_infinity();
	double *x = kind == GF_AGG_SUM ? st->work.x + (size_t)st->work.plan[st->work.sum + number] * st->cap : NULL;
	uint32_t n = gf_part_rows(up, lanes);
	struct gf_result res;

	for (uint32_t row = lane * n; row < up; row += (lanes - 1) * n) {
		GF_RUN_PART(&t->c, prog, row, n, t->regs, &res);
		for (uint32_t i = 0; i < n; i++, row++) {
			uint8_t lo = st->lo[row], hi = st->hi[row], p;
			double v;
			p = GF_MIN(hi, res.p[i]);
			p = GF_MAX(lo, p);
			v = lo == GF_UNKNOWN || (p == GF_UNKNOWN && res.v[i] != res.v[i]) ? far : res.v[i];
			if (x)
				x[row] = p >= least ? v : 0.0;
			if (kind == GF_AGG_ANY && p)
				gf_team_max(&acc->top, p);
			if (p < least || x || kind == GF_AGG_ANY)
				continue;
			gf_team_one(&acc->trues);
			if (kind == GF_AGG_COUNT)
				continue;
			if (v != v)
				gf_team_max(&acc->lost, 1);
			else
				gf_team_max64(&acc->best, kind == GF_AGG_MAX ? gf_agg_code(v) : ~gf_agg_code(v));
		}
	}
}

/* A sum's groups of rows. a: level. */
GF_JOB_BODY gf_job_sums(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	struct gf_work *w = &t->c.st->work;
	const uint32_t *at = w->plan + w->level_at + a;
	uint32_t cap = t->c.st->cap, groups = gf_rows_up(t->c.s) / GF_REDUCE;

	(void)b;
	(void)c;
	for (uint32_t k = at[0]; k < at[1]; k++) {
		const struct gf_prog *pr = &t->c.prog[w->plan[w->order + k]];
		uint32_t n = pr->sink == GF_SINK_AGG ? w->plan[w->sum + pr->target] : GF_NONE;
		if (n == GF_NONE)
			continue;
		for (uint32_t g = lane; g < groups; g += lanes)
			w->part[(size_t)n * (cap / GF_REDUCE) + g] = gf_reduce_sum(w->x + (size_t)n * cap + g * GF_REDUCE);
	}
}

/* Aggregates from what lanes left. a: level. */
GF_JOB_BODY gf_job_aggs(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	struct gf_state *st = t->c.st;
	struct gf_work *w = &st->work;
	const struct gf_agg *agg = GF_SEC(struct gf_agg, t->c.img, GF_SEC_AGG);
	const uint32_t *at = w->plan + w->level_at + a;
	uint32_t groups = gf_rows_up(t->c.s) / GF_REDUCE, n = at[1] - at[0], by;
	struct gf_agg_sum zero = { 0, 0, 0, 0, 0 };

	(void)b;
	(void)c;
	for (uint32_t k = gf_team_spread(lane, lanes, n, &by); k < n; k += by) {
		const struct gf_prog *pr = &t->c.prog[w->plan[w->order + at[0] + k]];
		struct gf_agg_sum x;
		const double *part;
		double v = 0;
		if (pr->sink != GF_SINK_AGG || pr->scope != GF_SCOPE_TASK)
			continue;
		x = w->acc[pr->target];
		w->acc[pr->target] = zero;
		switch (agg[pr->target].kind) {
		case GF_AGG_COUNT:
			v = (double)x.trues;
			break;
		case GF_AGG_SUM:
			part = w->part + (size_t)w->plan[w->sum + pr->target] * (st->cap / GF_REDUCE);
			for (uint32_t g = 0; g < groups; g++)
				v = v + part[g];
			break;
		case GF_AGG_ANY:
			v = x.top == GF_UNKNOWN ? gf_unknown() : (x.top == GF_TRUE ? 1.0 : 0.0);
			break;
		default:
			v = !x.trues || x.lost ? gf_unknown()
			    : gf_agg_decode(agg[pr->target].kind == GF_AGG_MAX ? x.best : ~x.best);
			break;
		}
		st->agg[pr->target] = v;
	}
}
#endif

#endif
