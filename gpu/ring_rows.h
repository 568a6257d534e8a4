/* SPDX-License-Identifier: MIT
 *
 * Rows from a table that a kernel module has made (gpu/region.h), by the lanes of a team or by the one there is: in place of a walk in a guest that
 * has the module, and for the machine itself (gpu/ring_sample.h). Part of gpu/sampler.h.
 *
 *   copy   words of records, neighbouring lanes neighbouring words
 *   rows   a lane a record: what cannot be is thrown out; its row, where it has one
 *   fill   columns
 *   then rows and parents as after a walk
 */
#ifndef GPUFAS_RING_ROWS_H
#define GPUFAS_RING_ROWS_H

#define GF_MR_SELF 64u
#define GF_MR_DEEP 4u
#define GF_MR_WORDS (sizeof(struct gf_task_rec) / 8)
#define GF_MR_OLD_NS 1000000000ull

/* Where the watcher is a process of the machine it watches. What strings such rows have the host has told (gpu/kernel_ring.h). */
struct gf_mr_selfs {
	int32_t me; /* it and its children, and ... */
	uint32_t n;
	int32_t self[GF_MR_SELF]; /* ... these are never touched */
};

/* ---- jobs: records [from, from + n) of the table that is looked at ---- */

GF_OUTLINE void gf_mr_copy(struct gf_sampler *v, uint32_t from, uint32_t n, uint32_t lane, uint32_t lanes)
{
	uint64_t *to = (uint64_t *)(void *)v->rec, off = v->look.off + (uint64_t)from * sizeof(struct gf_task_rec);
	uint64_t words = (uint64_t)n * GF_MR_WORDS;
	const uint8_t *whole = gf_region_at(v->region, off, words * 8);

	for (uint64_t i = lane; i < words; i += (uint64_t)lanes * GF_MR_DEEP) {
		uint64_t w[GF_MR_DEEP];

		GF_UNROLL
		for (uint32_t k = 0; k < GF_MR_DEEP; k++) {
			uint64_t at = i + (uint64_t)k * lanes;
			w[k] = at >= words ? 0 : whole ? gf_load(whole + at * 8, 8) : gf_region_word(v->region, off + at * 8);
		}
		GF_UNROLL
		for (uint32_t k = 0; k < GF_MR_DEEP; k++)
			if (i + (uint64_t)k * lanes < words)
				to[i + (uint64_t)k * lanes] = w[k];
	}
}

GF_OUTLINE void gf_mr_rows(struct gf_sampler *v, uint32_t n, uint32_t lane, uint32_t lanes)
{
	for (uint32_t i = lane; i < n; i += lanes) {
		v->lead[i].row = GF_NONE;
		v->lead[i].state = 0;
		if (!gf_region_mend(&v->rec[i], v->look.last_ns))
			gf_team_add(&v->odd, 1);
		else
			gf_lead_got(v, 0, i, GF_TASK_OK, 0);
	}
}

GF_INLINE int gf_mr_is_self(const struct gf_mr_selfs *g, const struct gf_task_rec *r)
{
	if (r->pid == g->me || r->ppid == g->me)
		return 1;
	for (uint32_t i = 0; i < g->n && i < GF_MR_SELF; i++)
		if (g->self[i] == r->pid)
			return 1;
	return 0;
}

GF_INLINE void gf_mr_forget(struct gf_sample *s, uint32_t row)
{
	const struct gf_strref none = { NULL, 0, 0 };

	for (uint32_t f = 0; f < GF_SF_COUNT; f++)
		if (GF_STR_READ & 1u << f && s->str[f])
			s->str[f][row] = none;
}

GF_OUTLINE void gf_mr_fill(struct gf_sampler *v, uint32_t n, uint32_t lane, uint32_t lanes)
{
	for (uint32_t i = lane; i < n; i += lanes) {
		const struct gf_task_rec *r = &v->rec[i];
		uint32_t row = v->lead[i].row;
		struct gf_row_note *note;

		if (row == GF_NONE || v->claim[row] != ~i) /* twice: the first has it */
			continue;
		note = &v->note[row];
		v->table.seen[row] = v->table.pass;
		if (v->lead[i].state & GF_LEAD_FRESH) {
			const struct gf_row_note none = { { 0, 0 }, r->exec_tag, 0, 0, 0, 0, 0 };
			gf_row_clear(v->s, row);
			*note = none;
		} else if (v->selfs && note->exec_tag != r->exec_tag) {
			gf_mr_forget(v->s, row);
			note->exec_tag = r->exec_tag;
			note->retry_ns = v->s->now_ns; /* what the host saw before is another program's */
		}
		gf_sampler_columns(v, row, r);
		if (v->selfs && gf_mr_is_self(v->selfs, r))
			v->s->flags[row] |= GF_ROW_SELF;
		v->claim[row] = 0;
	}
}

/* ---- the leader's ---- */

/* All of the table that v->look is at. 0; -EAGAIN: what was read is not of one table, or one of its records cannot be. */
GF_OUTLINE int gf_mr_take(struct gf_sampler *v)
{
	const struct gf_region_look *l = &v->look;

	v->env.page = 4096;
	v->init_seen = v->bad = v->starved = v->odd = 0;
	v->parents = v->fresh_all = 0;
	for (uint32_t from = 0; from < l->count; from += v->recs) {
		uint32_t n = GF_MIN(l->count - from, v->recs);

		gf_sampler_call(v, GF_SJ_RING_COPY, from, n, 0);
		v->fresh_n = 0;
		gf_sampler_call(v, GF_SJ_RING_ROWS, from, n, 0);
		if (v->fresh_n)
			gf_sampler_place(v, 0, n);
		gf_sampler_call(v, GF_SJ_RING_FILL, from, n, 0);
	}
	v->table.unplaced += l->total - l->count;
	return gf_region_end(v->region, l) || v->odd || !v->init_seen ? -EAGAIN : 0;
}

/* The table of the module in a guest instead of a walk. As above; -ENODATA: nothing was taken, walk. */
GF_OUTLINE int gf_mr_of_guest(struct gf_sampler *v)
{
	const struct gf_region_look *l = &v->look;
	uint64_t now = v->guest_now.boot_ns;

	if (gf_region_begin(v->region, &v->look) || !now || l->last_ns > now + GF_MR_OLD_NS ||
	    (now > l->last_ns && now - l->last_ns > GF_MR_OLD_NS))
		return -ENODATA;
	v->env.now_ns = now;
	v->env.total_pages = 0;
	return gf_mr_take(v);
}

#endif
