/* SPDX-License-Identifier: MIT
 *
 * Histories: sliding windows in a ring of buckets whose times all rows share.
 *
 * A row's window begins at first[row], the first tick with a known value after
 * its identity appeared (or after a gap of unknown values). Ring columns closed
 * before that hold another task's values, so every read checks the column's time
 * against first[row]; nothing has to be cleared when a row changes hands.
 */
#ifndef GPUFAS_HIST_H
#define GPUFAS_HIST_H

#include "gpu/state.h"

/* IEEE infinity, without math.h. */
GF_INLINE double gf_infinity(void)
{
	union { uint64_t u; double d; } x;
	x.u = 0x7ff0000000000000ull;
	return x.d;
}

/* What an empty bucket holds. */
GF_INLINE double gf_hist_empty(uint8_t stat)
{
	if (stat == GF_STAT_MAX)
		return -gf_infinity();
	if (stat == GF_STAT_MIN)
		return gf_infinity();
	return 0;
}

GF_INLINE int gf_hist_is_diff(uint8_t stat)
{
	return stat == GF_STAT_RATE || stat == GF_STAT_DELTA;
}

/* Once a tick, before any row is pushed: moves the ring on when a bucket ends
 * with this tick, and finds the column to compare with. */
GF_INLINE void gf_hist_begin(const struct gf_hist *h, struct gf_hist_state *hs, uint64_t now)
{
	uint64_t bucket = h->window_ns / (h->slots + 1u);
	uint64_t best = 0;

	hs->now_time = now;
	hs->closing = !hs->acc_start || now - hs->acc_start >= bucket;
	if (hs->closing) {
		hs->head = (hs->head + 1) % hs->cols;
		hs->time[hs->head] = now;
		hs->acc_start = now;
	}
	hs->then = GF_NONE;
	for (uint32_t k = 0; k < hs->cols; k++) {
		uint64_t t = hs->time[k];
		if (t && t + h->window_ns <= now && t > best) {
			best = t;
			hs->then = k;
		}
	}
}

GF_INLINE double gf_hist_join(uint8_t stat, double acc, double v)
{
	if (stat == GF_STAT_MAX)
		return v > acc ? v : acc;
	if (stat == GF_STAT_MIN)
		return v < acc ? v : acc;
	return acc + v;
}

/* This tick's values of rows [base, base + n). ok[i] is 0 where the row's columns
 * are not to be believed (no task, torn). */
GF_INLINE void gf_hist_push(const struct gf_hist *h, struct gf_hist_state *hs, uint64_t now, uint32_t base,
			    const uint32_t n, const double *v, const uint8_t *ok)
{
	const uint8_t stat = h->stat;
	double empty = gf_hist_empty(stat);
	double *col = hs->ring + (size_t)hs->head * hs->stride;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t row = base + i;
		double x = ok[i] ? v[i] : gf_unknown();
		int known = x == x, fresh = hs->first[row] == 0;

		if (stat == GF_STAT_SUM && !known && ok[i]) {
			x = 0;
			known = 1;
		}
		hs->now[row] = x;
		if (!known) {
			if (!fresh && stat != GF_STAT_SUM)
				hs->first[row] = 0;
			if (hs->closing && gf_hist_is_diff(stat))
				col[row] = x;
			else if (hs->closing && stat == GF_STAT_SUM)
				goto close; /* torn: what was counted stays counted */
			continue;
		}
		if (fresh)
			hs->first[row] = now;
		if (gf_hist_is_diff(stat)) {
			if (hs->closing)
				col[row] = x;
			continue;
		}
		hs->acc[row] = gf_hist_join(stat, fresh ? empty : hs->acc[row], x);
		if (stat == GF_STAT_AVG)
			hs->acc_n[row] = fresh ? 1 : hs->acc_n[row] + 1;
		if (!hs->closing)
			continue;
	close:
		col[row] = fresh && !known ? 0 : hs->acc[row];
		hs->acc[row] = empty;
		if (stat == GF_STAT_AVG) {
			hs->n[(size_t)hs->head * hs->stride + row] = hs->acc_n[row];
			hs->acc_n[row] = 0;
		}
	}
}

/* RATE and DELTA of one row. */
GF_INLINE double gf_hist_diff(const struct gf_hist *h, const struct gf_hist_state *hs, uint32_t row)
{
	double d, dt;

	if (hs->then == GF_NONE || !hs->first[row] || hs->time[hs->then] < hs->first[row])
		return gf_unknown();
	d = hs->now[row] - hs->ring[(size_t)hs->then * hs->stride + row];
	if (h->stat == GF_STAT_DELTA)
		return d;
	dt = (double)(hs->now_time - hs->time[hs->then]) / 1e9;
	return d / dt;
}

/* The same of rows [base, base + n). */
GF_INLINE void gf_hist_diffs(const struct gf_hist *h, const struct gf_hist_state *hs, uint32_t base, const uint32_t n,
			     double *d)
{
	const uint64_t *first = hs->first + base;
	const double *now = hs->now + base, *then = hs->ring + base;
	uint64_t t = 0;
	double dt = 1; /* x / 1 is x */

	if (hs->then != GF_NONE) {
		t = hs->time[hs->then];
		then += (size_t)hs->then * hs->stride;
		if (h->stat != GF_STAT_DELTA)
			dt = (double)(hs->now_time - t) / 1e9;
	}
	for (uint32_t i = 0; i < n; i++) {
		double x = (now[i] - then[i]) / dt;
		/* first is set, and not after t. */
		d[i] = first[i] - 1 < t ? x : gf_unknown();
	}
}

/* AVG, MAX, MIN, SUM of rows from ring columns and the running bucket, oldest
 * column first. */
GF_INLINE void gf_hist_window(const struct gf_hist *h, const struct gf_hist_state *hs, uint64_t now,
			      uint32_t base, const uint32_t n, double *d)
{
	const uint8_t stat = h->stat;
	double cnt[GF_ROWS_MOST];

	for (uint32_t i = 0; i < n; i++) {
		d[i] = gf_hist_empty(stat);
		cnt[i] = 0;
	}
	for (uint32_t k = 1; k <= hs->cols; k++) {
		uint32_t c = (hs->head + k) % hs->cols;
		const double *col = hs->ring + (size_t)c * hs->stride + base;
		uint64_t t = hs->time[c];

		if (!t || t + h->window_ns <= now)
			continue;
		for (uint32_t i = 0; i < n; i++) {
			if (t >= hs->first[base + i])
				d[i] = gf_hist_join(stat, d[i], col[i]);
		}
		if (stat == GF_STAT_AVG) {
			const double *nc = hs->n + (size_t)c * hs->stride + base;
			for (uint32_t i = 0; i < n; i++)
				cnt[i] = t >= hs->first[base + i] ? cnt[i] + nc[i] : cnt[i];
		}
	}
	for (uint32_t i = 0; i < n; i++) {
		uint64_t first = hs->first[base + i];
		/* The running bucket: empty when this tick closed one. */
		if (!hs->closing && first)
			d[i] = gf_hist_join(stat, d[i], hs->acc[base + i]);
		if (stat == GF_STAT_SUM) {
			if (!first)
				d[i] = 0;
			continue;
		}
		if (stat == GF_STAT_AVG) {
			double m = cnt[i] + (!hs->closing && first ? hs->acc_n[base + i] : 0);
			d[i] = m > 0 ? d[i] / m : gf_unknown();
		}
		if (!first || now - first < h->window_ns)
			d[i] = gf_unknown();
	}
}

/* LDX: the statistic of rows [base, base + n), or of the host in every lane. */
GF_INLINE void gf_hist_read(const struct gf_hist *h, const struct gf_hist_state *hs, uint64_t now, uint32_t base,
			    const uint32_t n, double *d)
{
	if (h->scope == GF_SCOPE_HOST) {
		double x;
		if (gf_hist_is_diff(h->stat))
			x = gf_hist_diff(h, hs, 0);
		else
			gf_hist_window(h, hs, now, 0, 1, &x);
		for (uint32_t i = 0; i < n; i++)
			d[i] = x;
	} else if (gf_hist_is_diff(h->stat)) {
		gf_hist_diffs(h, hs, base, n, d);
	} else {
		gf_hist_window(h, hs, now, base, n, d);
	}
}

/* Everything starts anew: the clock went back. First the rows, each lane its share; then the rest. */
GF_INLINE void gf_hist_reset_rows(const struct gf_hist *h, struct gf_hist_state *hs, uint32_t rows, uint32_t lane,
				  uint32_t lanes)
{
	if (!hs->acc_start)
		return;
	for (uint32_t i = lane; i < (h->scope == GF_SCOPE_HOST ? 1 : rows); i += lanes)
		hs->first[i] = 0;
}

GF_INLINE void gf_hist_reset(struct gf_hist_state *hs)
{
	if (!hs->acc_start)
		return;
	for (uint32_t k = 0; k < hs->cols; k++)
		hs->time[k] = 0;
	hs->acc_start = 0;
	hs->then = GF_NONE;
}

#endif
