/* SPDX-License-Identifier: MIT
 *
 * Words of processes that the last pass has seen, fetched by a team's lanes beside the walk (gpu/gather.h).
 * Of gpu/sampler.h, which has the types and includes this.
 */
#ifndef GPUFAS_SAMPLER_FETCH_H
#define GPUFAS_SAMPLER_FETCH_H

GF_INLINE uint32_t gf_sampler_wanted(const struct gf_sampler *v)
{
	uint32_t want = v->want;

	if (want & GF_REC_SCORE)
		want |= GF_REC_RSS | GF_REC_SWAP | GF_REC_PGTABLES;
	if (want & GF_REC_RSS_SUM)
		want |= GF_REC_RSS;
	return want;
}

/* What the look at one process may spend, from the beginning. */
GF_INLINE void gf_ctx_share(const struct gf_sampler *v, struct gf_task_ctx *c)
{
	c->budget = v->share;
	c->starved = 0;
}

GF_INLINE void gf_sampler_ctx(struct gf_sampler *v, struct gf_task_ctx *c, struct gf_tlb *tlb)
{
	c->k = &v->g->mem;
	c->l = &v->g->layout;
	c->cpus = &v->cpus;
	c->tlb = tlb;
	c->want = gf_sampler_wanted(v);
	gf_ctx_share(v, c);
	c->parts_cost = 0;
	c->pages = NULL;
	c->pass = v->table.pass;
	c->pulse = v->pulse;
}

/* One half of the budget in n equal parts. */
GF_INLINE uint32_t gf_budget_share(const struct gf_sampler *v, uint32_t n)
{
	return GF_MAX(v->budget / 2 / GF_MAX(n, 1u), 16u);
}

/* Words of rows [from, to) that were kept at that pass, by each lane: neighbours load neighbouring words. Rows go by GF_GATHER_DEEP: so many loads of a
 * lane are under way at a time, and lie side by side in W. */
GF_OUTLINE void gf_sampler_words(struct gf_sampler *v, uint32_t from, uint32_t to, uint32_t pass, uint32_t lane, uint32_t lanes)
{
	const struct gf_gather *g = &v->gather;
	uint32_t n = g->n, items = (to - from + GF_GATHER_DEEP - 1) / GF_GATHER_DEEP * n;

	for (uint32_t i = lane; i < items; i += lanes) {
		uint32_t first = from + i / n * GF_GATHER_DEEP, k = i % n;
		const uint64_t *at = v->kept.at[g->of[k]];
		uint64_t *to_w = v->words + (size_t)k * g->stride + first;
		uint64_t w[GF_GATHER_DEEP];

		GF_UNROLL
		for (uint32_t j = 0; j < GF_GATHER_DEEP; j++)
			w[j] = (first + j < to) & (v->kept.pass[first + j] == pass) ? at[first + j] : 0;
		GF_UNROLL
		for (uint32_t j = 0; j < GF_GATHER_DEEP; j++)
			if (w[j])
				w[j] = gf_load((const uint8_t *)(uintptr_t)(w[j] + g->off[k]), 8);
		GF_UNROLL
		for (uint32_t j = 0; j < GF_GATHER_DEEP; j++)
			to_w[j] = w[j];
	}
}

/* Those of rows [ready, fetch). */
GF_INLINE void gf_sampler_gather(struct gf_sampler *v, uint32_t lane, uint32_t lanes)
{
	gf_sampler_words(v, v->ready, v->fetch, v->fetching, lane, lanes);
}

/* Whether a row's parts are there. */
enum gf_parts { GF_PARTS_TOGETHER, GF_PARTS_NONE, GF_PARTS_APART };

/* The CPUs' parts of a row's page counters, whose words are there. c: with pages. */
GF_INLINE enum gf_parts gf_row_parts(const struct gf_sampler *v, struct gf_task_ctx *c, uint32_t row, int64_t *sum)
{
	const struct gf_gather *g = &v->gather;
	uint64_t base[GF_RSS_PARTS];
	uint32_t bad = 0;
	int together;

	for (uint32_t k = 0; k < GF_RSS_PARTS; k++) {
		base[k] = gf_src_load(gf_src_fetched(v->words + row, g->stride), g->l.mm.rss_cpu[k], 8);
		bad |= base[k] & 3 || !base[k];
	}
	together = gf_parts_together(base);
	if (bad || gf_spend(c, gf_parts_cost(c->cpus, together)) || gf_percpu_sum(c, base, sum))
		return GF_PARTS_NONE;
	return together ? GF_PARTS_TOGETHER : GF_PARTS_APART;
}

/* Of all rows: neighbours' often lie side by side. After all words are there. */
GF_OUTLINE void gf_sampler_parts(struct gf_sampler *v, uint32_t lane, uint32_t lanes)
{
	uint32_t stride = v->gather.stride;
	struct gf_task_ctx c;

	gf_sampler_ctx(v, &c, NULL);
	c.pages = v->pages;
	/* How many processes there are among whom to deal is not known yet: as many as there were. Each pays once more out of its share of this pass. */
	for (uint32_t i = lane; i < v->ready; i += lanes) {
		int64_t sum[GF_RSS_PARTS] = { 0 };

		if (v->kept.pass[i] != v->fetching || !v->kept.va[GF_GO_MM][i])
			continue;
		c.budget = gf_budget_share(v, v->s->rows);
		v->has_parts[i] = (uint8_t)gf_row_parts(v, &c, i, sum);
		for (uint32_t k = 0; k < GF_RSS_PARTS; k++)
			v->parts[k * stride + i] = sum[k];
	}
}

/* Leader: rows up to this one are the share of the call that comes. Of `parts` of all. */
GF_INLINE void gf_fetch_share(struct gf_sampler *v, uint32_t n, uint32_t parts)
{
	uint32_t rows = v->fetching ? v->s->rows : 0;

	v->fetch = GF_MIN(rows, v->ready + ((uint32_t)((uint64_t)rows * n / parts) + 31) / 32 * 32);
}

GF_INLINE void gf_fetch_done(struct gf_sampler *v)
{
	v->ready = v->fetch;
}

/* Whether there are CPUs' parts that are wanted. */
GF_INLINE int gf_fetch_parts(const struct gf_sampler *v)
{
	return v->g->layout.mm.rss_kind == GF_RSS_PERCPU && v->gather.want & (GF_REC_RSS | GF_REC_SWAP | GF_REC_PGTABLES);
}

/* Leader: a pass begins. Whose words are fetched in it: what the last one has kept, if that is what is wanted now. How they are dealt out to calls: the
 * first takes longest, and the more the fewer levels the tree had; what is left then, the look at leaves takes. */
GF_INLINE void gf_fetch_begin(struct gf_sampler *v)
{
	const struct gf_gather *g = &v->gather;
	int good = !v->plain && !v->region && !g->bad && g->boot == v->g->boot && g->want == gf_sampler_wanted(v);

	v->fetching = good ? v->table.pass : 0;
	v->with_parts = v->fetching && gf_fetch_parts(v);
	v->parts_due = v->with_parts;
	v->ready = 0;
	gf_fetch_share(v, 2, 2 + v->calls);
}

#endif
