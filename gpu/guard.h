/* SPDX-License-Identifier: MIT
 *
 * What may never be touched, whatever a policy says. Every victim passes here:
 * seeds, members of groups, and the victims of later steps. The actuator checks
 * the identity once more, right before it acts.
 */
#ifndef GPUFAS_GUARD_H
#define GPUFAS_GUARD_H

#include "gpufas/event.h"
#include "gpufas/sample.h"

/* GF_WHY_CHOSEN when the row may be touched, else why not. */
GF_INLINE uint8_t gf_guard_row(const struct gf_sample *s, uint32_t row)
{
	uint8_t f = s->flags[row];

	if (!(f & GF_ROW_VALID))
		return GF_WHY_EXITING;
	if ((f & GF_ROW_INIT) || s->pid[row] <= 1)
		return GF_WHY_PID1;
	if (f & GF_ROW_KTHREAD)
		return GF_WHY_KTHREAD;
	if (f & GF_ROW_SELF)
		return GF_WHY_SELF;
	if (f & GF_ROW_EXITING)
		return GF_WHY_EXITING;
	if (f & GF_ROW_TORN)
		return GF_WHY_TORN;
	return GF_WHY_CHOSEN;
}

/* 1 when the row still has the identity and may be touched. */
GF_INLINE int gf_guard_same(const struct gf_sample *s, uint32_t row, uint32_t gen)
{
	return row < s->rows && s->gen[row] == gen && gf_guard_row(s, row) == GF_WHY_CHOSEN;
}

/* The same for an action that only lets go (SIGCONT, thaw): the identity is enough,
 * whether or not the rest could be read in this tick. Whoever was stopped must not
 * stay so for it. */
GF_INLINE int gf_guard_same_letgo(const struct gf_sample *s, uint32_t row, uint32_t gen)
{
	uint8_t why;

	if (row >= s->rows || s->gen[row] != gen)
		return 0;
	why = gf_guard_row(s, row);
	return why == GF_WHY_CHOSEN || why == GF_WHY_TORN;
}

/* 1 when a victim is out of the way: its row is someone else's, or it is dead and
 * (where memory is sampled) has given its memory back. A dying hog that still
 * holds its memory must not make a rule take the next one. */
GF_INLINE int gf_guard_gone(const struct gf_sample *s, uint32_t row, uint32_t gen)
{
	const double *rss = s->col[GF_TF_RSS];

	if (row >= s->rows || !(s->flags[row] & GF_ROW_VALID) || s->gen[row] != gen)
		return 1;
	if (!(s->flags[row] & GF_ROW_EXITING) || s->flags[row] & GF_ROW_LEAVING)
		return 0;
	return rss ? rss[row] == 0 : 1;
}

#endif
