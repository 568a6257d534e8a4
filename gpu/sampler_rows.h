/* SPDX-License-Identifier: MIT
 *
 * Rows at the end of a pass: those that nobody had are freed, torn ones, parents and children.
 * Of gpu/sampler.h, which has the types and includes this.
 */
#ifndef GPUFAS_SAMPLER_ROWS_H
#define GPUFAS_SAMPLER_ROWS_H

GF_INLINE void gf_sampler_unseen(struct gf_sampler *v, uint32_t lane, uint32_t lanes)
{
	struct gf_sample *s = v->s;
	uint32_t live = 0, last = 0;

	for (uint32_t i = lane; i < s->rows; i += lanes) {
		v->table.kids[i] = 0;
		v->claim[i] = 0;
		if (!s->flags[i])
			continue;
		if (v->table.seen[i] == v->table.pass) {
			live++;
			last = i + 1;
			continue;
		}
		for (uint32_t f = 0; f < GF_SF_COUNT; f++)
			if (GF_STR_READ & 1u << f)
				gf_string_forget(v, i, f);
		gf_row_clear(s, i);
		gf_team_add(&v->gone[i / 32], 1u << i % 32);
		gf_team_add(&v->gone_n, 1);
	}
	if (live)
		gf_team_add(&v->live, live);
	gf_team_max(&v->last, last);
}

/* Leader: frees rows not seen in this pass; sets rows, live, dropped, parents, and the children column where there is one. */
GF_OUTLINE void gf_sampler_commit(struct gf_sampler *v)
{
	struct gf_sample *s = v->s;

	/* As many as there were, and all of them: rows stay as they are, and parents are known already. */
	if (v->parents && !v->starved && !v->fresh_all && v->seen_n == s->live && !s->col[GF_TF_CHILDREN]) {
		s->dropped = v->table.unplaced;
		return;
	}
	v->live = v->last = v->gone_n = 0;
	gf_sampler_call(v, GF_SJ_UNSEEN, 0, 0, 0);
	for (uint32_t w = 0; v->gone_n && w < (s->rows + 31) / 32; w++) {
		uint32_t bits = v->gone[w];

		if (!bits)
			continue;
		v->gone[w] = 0;
		for (; bits; bits &= bits - 1)
			gf_table_release(&v->table, w * 32 + gf_ctz64(bits));
	}
	gf_text_settle(&v->pool);
	s->live = v->live;
	s->rows = v->last;
	s->dropped = v->table.unplaced;
	gf_sampler_call(v, GF_SJ_PARENTS, 0, 0, 0);
	if (s->col[GF_TF_CHILDREN])
		gf_sampler_call(v, GF_SJ_CHILDREN, 0, 0, 0);
}

/* Leader: the pass was not complete. All rows stay, none is fit to be acted on. */
GF_OUTLINE void gf_sampler_abort(struct gf_sampler *v)
{
	v->live = 0;
	gf_sampler_call(v, GF_SJ_TORN, 0, 0, 0);
	v->s->live = v->live;
	v->s->dropped = v->table.unplaced;
}

GF_INLINE void gf_sampler_torn(struct gf_sampler *v, uint32_t lane, uint32_t lanes)
{
	struct gf_sample *s = v->s;
	uint32_t live = 0;

	for (uint32_t i = lane; i < s->rows; i += lanes) {
		v->claim[i] = 0;
		if (!s->flags[i])
			continue;
		s->flags[i] |= GF_ROW_TORN;
		live++;
	}
	if (live)
		gf_team_add(&v->live, live);
}

/* No pass has number 0: what is of that is of none. */
GF_INLINE void gf_sampler_begin(struct gf_sampler *v)
{
	v->table.pass += v->table.pass == UINT32_MAX ? 2u : 1u;
	v->table.unplaced = 0;
}

#endif
