/* SPDX-License-Identifier: MIT
 *
 * A new policy's state takes over from the old one's what they have in common. Host and device.
 */
#ifndef GPUFAS_ADOPT_H
#define GPUFAS_ADOPT_H

#include "gpu/state.h"

#define GF_SWAP(type, a, b)          \
	do {                         \
		type swap_x = (a);   \
		(a) = (b);           \
		(b) = swap_x;        \
	} while (0)

GF_INLINE void gf_adopt(struct gf_state *st, struct gf_state *old, const struct gf_adoption *plan)
{
	GF_SWAP(uint32_t *, st->row_gen, old->row_gen);
	GF_SWAP(uint64_t *, st->row_since, old->row_since);
	GF_SWAP(uint64_t *, st->row_tick, old->row_tick);
	GF_SWAP(uint64_t *, st->killed_ns, old->killed_ns);
	GF_SWAP(uint32_t *, st->killed_gen, old->killed_gen);
	GF_SWAP(uint64_t *, st->budget_at, old->budget_at);
	st->budget_head = old->budget_head;
	st->budget_n = old->budget_n;
	st->rows_seen = old->rows_seen;
	st->tick = old->tick;
	st->now_ns = old->now_ns;
	st->last_seq = old->last_seq;
	st->gap = old->gap;
	st->stale_told = old->stale_told;
	st->stale_at = old->stale_at;
	for (uint32_t f = 0; f < GF_SF_COUNT; f++)
		if (st->str_ver[f] && old->str_ver[f])
			GF_SWAP(uint32_t *, st->str_ver[f], old->str_ver[f]);
	for (uint32_t k = 0; k < st->img->sec[GF_SEC_HOLD].count; k++)
		if (plan->hold[k] != GF_NONE)
			GF_SWAP(struct gf_hold_state, st->hold[k], old->hold[plan->hold[k]]);
	for (uint32_t k = 0; k < st->img->sec[GF_SEC_HIST].count; k++)
		if (plan->hist[k] != GF_NONE)
			GF_SWAP(struct gf_hist_state, st->hist[k], old->hist[plan->hist[k]]);
	for (uint32_t k = 0; k < st->img->sec[GF_SEC_RULE].count; k++) {
		if (plan->rule[k] == GF_NONE)
			continue;
		GF_SWAP(struct gf_rule_state, st->rule[k], old->rule[plan->rule[k]]);
		GF_SWAP(struct gf_victim *, st->victim[k], old->victim[plan->rule[k]]);
	}
	for (uint32_t k = 0; k < st->img->sec[GF_SEC_MATCH].count; k++) {
		if (plan->match[k] == GF_NONE)
			continue;
		GF_SWAP(uint8_t *, st->match[k], old->match[plan->match[k]]);
		st->match_fresh[k] = old->match_fresh[plan->match[k]];
	}
}

#endif
