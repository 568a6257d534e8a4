/* SPDX-License-Identifier: MIT
 *
 * The tasks of a sample as a forest. Parents are read while tasks come and go, so
 * there may be cycles: each is cut where it is found, and every walk ends.
 */
#ifndef GPUFAS_FAMILY_H
#define GPUFAS_FAMILY_H

#include "gpu/state.h"

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

/* Makes the forest of this tick, once. */
static GF_HD __attribute__((noinline, unused)) void gf_family_make(const struct gf_sample *s, struct gf_state *st)
{
	struct gf_family *f = &st->family;
	uint32_t rows = s->rows;

	if (f->tick == st->tick)
		return;
	f->tick = st->tick;
	for (uint32_t i = 0; i < rows; i++) {
		f->depth[i] = GF_DEPTH_UNSET;
		f->count[i] = 0;
	}
	f->count[rows] = 0;
	f->n = 0;
	for (uint32_t i = 0; i < rows; i++) {
		if (!(s->flags[i] & GF_ROW_VALID))
			continue;
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
GF_INLINE void gf_family_sum(const struct gf_sample *s, struct gf_state *st, double *v)
{
	const struct gf_family *f = &st->family;

	gf_family_make(s, st);
	for (uint32_t k = 0; k < f->n; k++) {
		uint32_t row = f->order[k], up = f->up[row];
		if (up == GF_NONE || v[row] != v[row])
			continue;
		v[up] = v[up] != v[up] ? v[row] : v[up] + v[row];
	}
}

/* p[row] becomes truth for some ancestor of the row. */
GF_INLINE void gf_family_ancestor(const struct gf_sample *s, struct gf_state *st, uint8_t *p)
{
	const struct gf_family *f = &st->family;
	uint8_t *own = st->scratch_p;

	gf_family_make(s, st);
	for (uint32_t k = 0; k < f->n; k++)
		own[f->order[k]] = p[f->order[k]];
	for (uint32_t k = f->n; k-- > 0;) {
		uint32_t row = f->order[k], up = f->up[row];
		if (up == GF_NONE)
			p[row] = s->dropped ? GF_UNKNOWN : GF_FALSE;
		else
			p[row] = GF_MAX(own[up], p[up]);
	}
}

/* p[row] becomes truth for the row's parent. */
GF_INLINE void gf_family_of_parent(const struct gf_sample *s, struct gf_state *st, uint8_t *p)
{
	uint8_t *own = st->scratch_p;

	for (uint32_t i = 0; i < s->rows; i++)
		own[i] = p[i];
	for (uint32_t i = 0; i < s->rows; i++) {
		uint32_t up = gf_family_parent(s, i);
		p[i] = up == GF_NONE ? (uint8_t)GF_UNKNOWN : own[up];
	}
}

#endif
