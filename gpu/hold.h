/* SPDX-License-Identifier: MIT
 *
 * Holds ("for 5s", "for 3 periods") and latches ("until"). One entry a row; a
 * block of rows in which nothing is set is neither read nor written, so a hold
 * that no task comes near costs no memory.
 */
#ifndef GPUFAS_HOLD_H
#define GPUFAS_HOLD_H

#include "gpu/state.h"
#include "gpu/team.h"

/* Since when, in the hold's unit, a run counts as having been seen from its
 * beginning only if it began later. */
GF_INLINE uint64_t gf_hold_seen(const struct gf_hold *h, const struct gf_hold_state *hs,
				const struct gf_state *st, uint32_t row)
{
	if (h->kind == GF_HOLD_PERIODS) {
		uint64_t t = h->scope == GF_SCOPE_TASK ? st->row_tick[row] : 0;
		return GF_MAX(t, hs->born_tick);
	} else {
		uint64_t t = h->scope == GF_SCOPE_TASK ? st->row_since[row] : 0;
		return GF_MAX(t, hs->born_ns);
	}
}

/* One row's step. Also what the device runs. */
GF_INLINE uint8_t gf_hold_step(const struct gf_hold *h, struct gf_hold_state *hs, const struct gf_state *st,
			       uint64_t at, uint32_t row, uint8_t p)
{
	uint64_t since = hs->since[row], run;

	if (p != GF_TRUE) {
		if (since)
			hs->since[row] = 0;
		return p;
	}
	if (!since)
		hs->since[row] = since = at;
	run = at - since + (h->kind == GF_HOLD_PERIODS ? 1 : 0);
	if (run >= h->amount)
		return GF_TRUE;
	return since <= gf_hold_seen(h, hs, st, row) ? GF_UNKNOWN : GF_FALSE;
}

GF_INLINE void gf_hold_born(struct gf_hold_state *hs, const struct gf_state *st, uint64_t now)
{
	if (!hs->born_ns) {
		hs->born_ns = now;
		hs->born_tick = st->tick;
	}
}

/* A block of which n rows were looked at: does one of them have something set? Who looks at a part of a block does not
 * know of the others, and takes nothing back. */
GF_INLINE void gf_hold_mark(struct gf_hold_state *hs, uint32_t block, uint32_t n, uint8_t set)
{
#if GF_TEAM
	if (set && !gf_team_flag(&hs->any[block]))
		gf_team_flag_set(&hs->any[block], 1);
	if (set && !gf_team_flag(&hs->used))
		gf_team_flag_set(&hs->used, 1);
	(void)n;
#else
	if (set || n == GF_ROW_BLOCK)
		hs->any[block] = set;
	if (set)
		hs->used = 1;
#endif
}

/* HELD over rows [base, base + n). Rows that are torn count as unknown, rows
 * without a task as false, whatever their columns say. */
GF_INLINE void gf_hold_update(const struct gf_hold *h, struct gf_hold_state *hs, const struct gf_state *st,
			      uint64_t now, uint32_t base, const uint32_t n, const uint8_t *p, uint8_t *d)
{
	uint64_t at = h->kind == GF_HOLD_PERIODS ? st->tick : now;
	uint32_t block = base / GF_ROW_BLOCK;
	uint8_t top = 0, set = 0;
	const uint8_t *lo = st->lo + base, *hi = st->hi + base;
	const uint64_t *since = hs->since + base;

#if !GF_TEAM /* lanes would all write it: a job before this one has */
	gf_hold_born(hs, st, now);
#endif
	if (h->scope == GF_SCOPE_HOST) {
		uint8_t x = gf_hold_step(h, hs, st, at, 0, p[0]);
		for (uint32_t i = 0; i < n; i++)
			d[i] = x;
		hs->any[0] = 1;
		hs->used = 1;
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint8_t x = GF_MIN(hi[i], p[i]);
		x = GF_MAX(lo[i], x);
		d[i] = x;
	}
	for (uint32_t i = 0; i < n; i++)
		top = GF_MAX(top, d[i]);
	if (top != GF_TRUE && !gf_team_flag(&hs->any[block]))
		return;
	for (uint32_t i = 0; i < n; i++) {
		/* Not true and was not: nothing changes. */
		if (d[i] != GF_TRUE && !since[i])
			continue;
		d[i] = gf_hold_step(h, hs, st, at, base + i, d[i]);
		set |= since[i] != 0;
	}
	gf_hold_mark(hs, block, n, set);
}

/* LATCH: set by `on`, cleared by `off` when it is true. Both true: cleared, since
 * what ends an activation must be able to. */
GF_INLINE uint8_t gf_latch_step(uint8_t *latched, uint8_t on, uint8_t off)
{
	uint8_t is = *latched;

	if (off == GF_TRUE)
		is = 0;
	else if (on == GF_TRUE)
		is = 1;
	if (is != *latched)
		*latched = is;
	if (is)
		return off == GF_UNKNOWN ? GF_UNKNOWN : GF_TRUE;
	/* Not set: as the setting condition says, unless the clearing one holds it down. */
	return off == GF_TRUE ? GF_FALSE : on;
}

GF_INLINE void gf_latch_update(const struct gf_hold *h, struct gf_hold_state *hs, const struct gf_state *st,
			       uint32_t base, const uint32_t n, const uint8_t *on, const uint8_t *off, uint8_t *d)
{
	uint32_t block = base / GF_ROW_BLOCK;
	uint8_t top = 0, set = 0, any;

	if (h->scope == GF_SCOPE_HOST) {
		uint8_t x = gf_latch_step(&hs->latched[0], on[0], off[0]);
		for (uint32_t i = 0; i < n; i++)
			d[i] = x;
		return;
	}
	any = gf_team_flag(&hs->any[block]);
	/* Clamped first, into locals of at most a block: d may be the register of on or off. */
	for (uint32_t i = 0; i < n; i++) {
		uint8_t x = GF_MIN(st->hi[base + i], on[i]);
		top = GF_MAX(top, x);
	}
	for (uint32_t i = 0; i < n; i++) {
		uint8_t lo = st->lo[base + i], hi = st->hi[base + i];
		uint8_t a = GF_MAX(lo, GF_MIN(hi, on[i])), b = GF_MAX(lo, GF_MIN(hi, off[i]));
		if (top != GF_TRUE && !any)
			d[i] = b == GF_TRUE ? (uint8_t)GF_FALSE : a;
		else
			d[i] = hi ? gf_latch_step(&hs->latched[base + i], a, b) : (uint8_t)GF_FALSE;
		if (top == GF_TRUE || any)
			set |= hs->latched[base + i] != 0;
	}
	gf_hold_mark(hs, block, n, set);
}

/* CHELD: how much of the hold has passed. */
GF_INLINE void gf_hold_share(const struct gf_hold *h, const struct gf_hold_state *hs, uint64_t now, uint64_t tick,
			     uint32_t base, const uint32_t n, double *d)
{
	uint64_t at = h->kind == GF_HOLD_PERIODS ? tick : now;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t row = h->scope == GF_SCOPE_TASK ? base + i : 0;
		double x = 0;

		if (h->kind == GF_HOLD_LATCH) {
			if (gf_team_flag(&hs->any[row / GF_ROW_BLOCK]) || h->scope == GF_SCOPE_HOST)
				x = hs->latched[row] ? 1 : 0;
		} else if (gf_team_flag(&hs->any[row / GF_ROW_BLOCK]) && hs->since[row]) {
			uint64_t run = at - hs->since[row] + (h->kind == GF_HOLD_PERIODS ? 1 : 0);
			x = run >= h->amount ? 1 : (double)run / (double)h->amount;
		}
		d[i] = x;
	}
}

/* Forgets one row (task scope). */
GF_INLINE void gf_hold_forget(const struct gf_hold *h, struct gf_hold_state *hs, uint32_t row)
{
	if (h->scope != GF_SCOPE_TASK || !hs->any[row / GF_ROW_BLOCK])
		return;
	if (h->kind == GF_HOLD_LATCH)
		hs->latched[row] = 0;
	else
		hs->since[row] = 0;
}

/* Forgets all runs, of a lane's share of the blocks; a latch stays as it is. rows: those ever seen. */
GF_INLINE void gf_hold_reset_share(const struct gf_hold *h, struct gf_hold_state *hs, uint32_t rows, uint32_t lane,
				   uint32_t lanes)
{
	if (!hs->used || h->kind == GF_HOLD_LATCH)
		return;
	if (h->scope == GF_SCOPE_HOST)
		rows = 1;
	for (uint32_t base = lane * GF_ROW_BLOCK; base < rows; base += lanes * GF_ROW_BLOCK) {
		uint32_t n = h->scope == GF_SCOPE_HOST ? 1 : GF_ROW_BLOCK;
		if (!hs->any[base / GF_ROW_BLOCK])
			continue;
		for (uint32_t i = 0; i < n; i++)
			hs->since[base + i] = 0;
		hs->any[base / GF_ROW_BLOCK] = 0;
	}
}

/* The same of all. */
GF_INLINE void gf_hold_reset(const struct gf_hold *h, struct gf_hold_state *hs, uint32_t rows)
{
	gf_hold_reset_share(h, hs, rows, 0, 1);
	if (h->kind != GF_HOLD_LATCH)
		hs->used = 0;
}

#endif
