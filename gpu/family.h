/* SPDX-License-Identifier: MIT
 *
 * The tasks of a sample as a forest. Parents are read while tasks come and go, so
 * there may be cycles: each is cut where it is found, and every walk ends.
 */
#ifndef GPUFAS_FAMILY_H
#define GPUFAS_FAMILY_H

#include "gpu/job.h"

#define GF_DEPTH_UNSET 0xffffffffu
#define GF_DEPTH_PATH  0xfffffffeu

GF_INLINE uint32_t gf_family_parent(const struct gf_sample *s, uint32_t row)
{
	uint32_t p = s->parent[row];

	return p < s->rows && p != row && (s->flags[p] & GF_ROW_VALID) ? p : GF_NONE;
}

/* Depth of row and of all above it that have none yet. */
GF_INLINE void gf_family_walk(const struct gf_sample *s, struct gf_family *f, uint32_t row)
{
	uint32_t r = row, n = 0, base = 0, p;

	if (f->depth[row] != GF_DEPTH_UNSET)
		return;
	for (;;) {
		f->depth[r] = GF_DEPTH_PATH;
		n++;
		p = gf_family_parent(s, r);
		if (p != GF_NONE && f->depth[p] == GF_DEPTH_PATH)
			p = GF_NONE; /* a cycle */
		f->up[r] = p;
		if (p == GF_NONE)
			break;
		if (f->depth[p] != GF_DEPTH_UNSET) {
			base = f->depth[p] + 1;
			break;
		}
		r = p;
	}
	for (r = row; n; n--, r = f->up[r])
		f->depth[r] = base + n - 1;
}

#if GF_TEAM
/* Depth and parent of one row, and whether `seed` is the row or above it. 1: its ancestors are in a circle, and where that
 * is cut is for gf_family_walk() to say. */
GF_INLINE int gf_family_climb(const struct gf_sample *s, struct gf_family *f, uint32_t row, uint32_t seed, uint8_t *under)
{
	uint32_t n = 0, mark = row, until = 2;

	*under = row == seed;
	for (uint32_t r = gf_family_parent(s, row); r != GF_NONE; r = gf_family_parent(s, r)) {
		n++;
		*under |= r == seed;
		if (r == mark)
			return 1;
		if (n == until) { /* Brent's way to find out */
			mark = r;
			until *= 2;
		}
	}
	f->depth[row] = n;
	f->up[row] = gf_family_parent(s, row);
	return 0;
}

GF_JOB_BODY gf_job_family(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	const struct gf_sample *s = t->c.s;
	struct gf_state *st = t->c.st;
	uint8_t under;

	GF_UNUSED3(a, b, c);
	for (uint32_t row = lane; row < s->rows; row += lanes) {
		st->family.count[row] = 0;
		if ((s->flags[row] & GF_ROW_VALID) && gf_family_climb(s, &st->family, row, GF_NONE, &under))
			gf_team_max(&st->work.cyclic, 1);
	}
}
#endif

/* Makes the forest of this tick, once. */
static GF_HD __attribute__((noinline, unused)) void gf_family_make(struct gf_tick *t)
{
	const struct gf_sample *s = t->c.s;
	struct gf_state *st = t->c.st;
	struct gf_family *f = &st->family;
	uint32_t rows = s->rows;
	int walk = 1;

	if (f->tick == st->tick)
		return;
	f->tick = st->tick;
#if GF_TEAM
	st->work.cyclic = 0;
	gf_team_call(t->team, GF_JOB_FAMILY, 0, 0, 0);
	walk = st->work.cyclic != 0;
#endif
	for (uint32_t i = 0; i < rows && walk; i++) {
		f->depth[i] = GF_DEPTH_UNSET;
		f->count[i] = 0;
	}
	f->count[rows] = 0;
	f->n = 0;
	for (uint32_t i = 0; i < rows; i++) {
		if (!(s->flags[i] & GF_ROW_VALID))
			continue;
		if (walk)
			gf_family_walk(s, f, i);
		f->count[f->depth[i]]++;
		f->n++;
	}
	/* Deepest first: count[d] becomes the place of the first row of depth d. */
	for (uint32_t d = rows, at = 0; d-- > 0;) {
		uint32_t k = f->count[d];
		f->count[d] = at;
		at += k;
	}
	for (uint32_t i = 0; i < rows; i++) {
		if (s->flags[i] & GF_ROW_VALID)
			f->order[f->count[f->depth[i]]++] = i;
	}
}

/* v[row] becomes the sum over the row and its descendants; unknown values are
 * left out, and a sum of nothing known is unknown. */
GF_INLINE void gf_family_sum(struct gf_tick *t, double *v)
{
	const struct gf_family *f = &t->c.st->family;

	gf_family_make(t);
	for (uint32_t k = 0; k < f->n; k++) {
		uint32_t row = f->order[k], up = f->up[row];
		if (up == GF_NONE || v[row] != v[row])
			continue;
		v[up] = v[up] != v[up] ? v[row] : v[up] + v[row];
	}
}

/* A column's truths into scratch_p. a: column. */
GF_JOB_BODY gf_job_own(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	struct gf_state *st = t->c.st;
	const uint8_t *p = st->pcol[a];

	(void)b;
	(void)c;
	for (uint32_t i = lane; i < t->c.s->rows; i += lanes)
		st->scratch_p[i] = p[i];
}

/* p[row] becomes truth for some ancestor of the row, once the forest is made. */
GF_INLINE void gf_family_ancestors(struct gf_tick *t, uint8_t *p)
{
	const struct gf_family *f = &t->c.st->family;
	const uint8_t *own = t->c.st->scratch_p;

	for (uint32_t k = f->n; k-- > 0;) {
		uint32_t row = f->order[k], up = f->up[row];
		if (up == GF_NONE)
			p[row] = t->c.s->dropped ? GF_UNKNOWN : GF_FALSE;
		else
			p[row] = GF_MAX(own[up], p[up]);
	}
}

#if GF_TEAM
/* The same: each row looks at all above it. */
GF_JOB_BODY gf_job_ancestor(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	const struct gf_sample *s = t->c.s;
	struct gf_state *st = t->c.st;
	uint8_t *p = st->pcol[a];

	(void)b;
	(void)c;
	for (uint32_t row = lane; row < s->rows; row += lanes) {
		uint8_t x = s->dropped ? GF_UNKNOWN : GF_FALSE;
		uint32_t n = 0, mark = row, until = 2;
		if (!(s->flags[row] & GF_ROW_VALID))
			continue;
		for (uint32_t r = gf_family_parent(s, row); r != GF_NONE; r = gf_family_parent(s, r)) {
			x = GF_MAX(x, st->scratch_p[r]);
			if (r == mark) {
				gf_team_max(&st->work.cyclic, 1);
				break;
			}
			if (++n == until) {
				mark = r;
				until *= 2;
			}
		}
		p[row] = x;
	}
}
#endif

GF_INLINE void gf_family_ancestor(struct gf_tick *t, uint32_t column)
{
	struct gf_state *st = t->c.st;

	GF_TICK_CALL(t, GF_JOB_OWN, gf_job_own, column, 0, 0);
#if GF_TEAM
	st->work.cyclic = 0;
	gf_team_call(t->team, GF_JOB_ANCESTOR, column, 0, 0);
	if (!st->work.cyclic)
		return;
#endif
	gf_family_make(t);
	gf_family_ancestors(t, st->pcol[column]);
}

/* p[row] becomes truth for the row's parent. a: column. */
GF_JOB_BODY gf_job_parent(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	const uint8_t *own = t->c.st->scratch_p;
	uint8_t *p = t->c.st->pcol[a];

	(void)b;
	(void)c;
	for (uint32_t i = lane; i < t->c.s->rows; i += lanes) {
		uint32_t up = gf_family_parent(t->c.s, i);
		p[i] = up == GF_NONE ? (uint8_t)GF_UNKNOWN : own[up];
	}
}

GF_INLINE void gf_family_of_parent(struct gf_tick *t, uint32_t column)
{
	GF_TICK_CALL(t, GF_JOB_OWN, gf_job_own, column, 0, 0);
	GF_TICK_CALL(t, GF_JOB_PARENT, gf_job_parent, column, 0, 0);
}

#endif
