/* SPDX-License-Identifier: MIT
 *
 * Where a sampler and a sample lie in one piece of memory: how much, and which array where.
 * Of gpu/sampler.h, which has the types and includes this.
 */
#ifndef GPUFAS_SAMPLER_LAYOUT_H
#define GPUFAS_SAMPLER_LAYOUT_H

/* Gives out memory from an address that may be another machine's. */
struct gf_bump {
	uint64_t base;
	size_t used;
};

GF_INLINE void *gf_bump(struct gf_bump *b, size_t n, size_t size)
{
	size_t at = b->used;

	b->used += (n * size + 127) / 128 * 128;
	return b->base ? (void *)(uintptr_t)(b->base + at) : NULL;
}

/* A sample's rows, with the columns of f. */
GF_INLINE void gf_sample_bump(struct gf_bump *b, struct gf_sample *s, uint32_t cap, const struct gf_fieldset *f)
{
	s->cap = (cap + 127) / 128 * 128;
	s->flags = (uint8_t *)gf_bump(b, s->cap, sizeof *s->flags);
	s->gen = (uint32_t *)gf_bump(b, s->cap, sizeof *s->gen);
	s->pid = (int32_t *)gf_bump(b, s->cap, sizeof *s->pid);
	s->start_ns = (uint64_t *)gf_bump(b, s->cap, sizeof *s->start_ns);
	s->parent = (uint32_t *)gf_bump(b, s->cap, sizeof *s->parent);
	s->comm = (char (*)[GF_COMM_LEN])gf_bump(b, s->cap, sizeof *s->comm);
	s->uid = (uint32_t *)gf_bump(b, s->cap, sizeof *s->uid);
	for (uint32_t i = 0; i < GF_COLS; i++) {
		int need = i < GF_TF_COUNT ? (int)(f->task >> i & 1) : i - GF_TF_COUNT < f->paths;
		s->col[i] = need ? (double *)gf_bump(b, s->cap, sizeof *s->col[i]) : NULL;
	}
	for (uint32_t i = 0; i < GF_SF_COUNT; i++)
		s->str[i] = f->str >> i & 1 ? (struct gf_strref *)gf_bump(b, s->cap, sizeof *s->str[i]) : NULL;
}

GF_INLINE void gf_table_bump(struct gf_bump *b, struct gf_table *t, uint32_t cap)
{
	t->mask = gf_table_size(cap) - 1;
	t->hash = (uint32_t *)gf_bump(b, t->mask + 1, sizeof *t->hash);
	t->seen = (uint32_t *)gf_bump(b, cap, sizeof *t->seen);
	t->ppid = (int32_t *)gf_bump(b, cap, sizeof *t->ppid);
	t->used = (uint64_t *)gf_bump(b, cap / 64, sizeof *t->used);
	t->kids = (uint32_t *)gf_bump(b, cap, sizeof *t->kids);
}

/* What those strings in `str` that are read need; slots that there are already are kept. */
GF_INLINE void gf_sampler_bump_strings(struct gf_bump *b, struct gf_sampler *v, uint32_t str)
{
	for (uint32_t i = 0; i < GF_SF_COUNT; i++)
		if (str & GF_STR_READ & (1u << i) && !v->slot[i])
			v->slot[i] = (char *)gf_bump(b, v->cap, GF_TEXT_SHORT);
	if (!(str & GF_STR_READ) || v->text)
		return;
	v->text = (char *)gf_bump(b, v->texts, GF_TEXT_MAX);
	for (uint32_t i = 0; i < GF_TEXT_CLASSES; i++) {
		struct gf_text_class *c = &v->pool.c[i];
		c->size = gf_text_class_size(i);
		c->n = gf_text_class_n(i, v->cap);
		c->mem = (char *)gf_bump(b, c->n, c->size);
		c->free = (uint32_t *)gf_bump(b, c->n, sizeof *c->free);
		c->back = (uint32_t *)gf_bump(b, c->n, sizeof *c->back);
	}
}

/* What records become rows by. */
GF_INLINE void gf_sampler_bump_rows(struct gf_bump *b, struct gf_sampler *v)
{
	gf_table_bump(b, &v->table, v->cap);
	v->note = (struct gf_row_note *)gf_bump(b, v->cap, sizeof *v->note);
	v->claim = (uint32_t *)gf_bump(b, v->cap, sizeof *v->claim);
	v->gone = (uint32_t *)gf_bump(b, v->cap / 32, sizeof *v->gone);
	v->fresh = (uint32_t *)gf_bump(b, v->recs / 32, sizeof *v->fresh);
	v->lead = (struct gf_lead *)gf_bump(b, v->cap, sizeof *v->lead);
	v->rec = (struct gf_task_rec *)gf_bump(b, v->recs, sizeof *v->rec);
}

/* What a team has beside that: 81 words a row, of which a policy needs half, and what is kept of it. */
GF_INLINE void gf_sampler_bump_words(struct gf_bump *b, struct gf_sampler *v)
{
	for (uint32_t i = 0; i < GF_GO_COUNT; i++) {
		v->kept.va[i] = i == GF_GO_TASK ? v->who.task : i == GF_GO_PID ? v->who.pid : (uint64_t *)gf_bump(b, v->cap, sizeof *v->kept.va[i]);
		v->kept.at[i] = (uint64_t *)gf_bump(b, v->cap, sizeof *v->kept.at[i]);
	}
	v->kept.exec = (uint32_t *)gf_bump(b, v->cap, sizeof *v->kept.exec);
	v->kept.seq = (uint32_t *)gf_bump(b, v->cap, sizeof *v->kept.seq);
	v->kept.level = (uint32_t *)gf_bump(b, v->cap, sizeof *v->kept.level);
	v->kept.pass = (uint32_t *)gf_bump(b, v->cap, sizeof *v->kept.pass);
	v->words = (uint64_t *)gf_bump(b, (size_t)v->cap * (GF_GATHER_WORDS + 1), sizeof *v->words);
	v->parts = (int64_t *)gf_bump(b, (size_t)v->cap * GF_RSS_PARTS, sizeof *v->parts);
	v->has_parts = (uint8_t *)gf_bump(b, v->cap, sizeof *v->has_parts);
	v->slow = (uint32_t *)gf_bump(b, v->recs, sizeof *v->slow);
	v->late = (uint32_t *)gf_bump(b, v->recs, sizeof *v->late);
	v->pages = (struct gf_pages *)gf_bump(b, 1, sizeof *v->pages);
	v->host_words = (struct gf_host_words *)gf_bump(b, 1, sizeof *v->host_words);
}

/* What is the sampler's own, but for strings and for what only teams need. v->cap, v->recs are set. */
GF_INLINE void gf_sampler_bump(struct gf_bump *b, struct gf_sampler *v)
{
	gf_sampler_bump_rows(b, v);
	v->who.pid = (uint64_t *)gf_bump(b, v->cap, sizeof *v->who.pid);
	v->who.task = (uint64_t *)gf_bump(b, v->cap, sizeof *v->who.task);
	v->who.pass = (uint32_t *)gf_bump(b, v->cap, sizeof *v->who.pass);
	for (uint32_t i = 0; i < 2; i++) {
		v->node[i] = (uint64_t *)gf_bump(b, GF_WALK_NODES, sizeof *v->node[i]);
		v->nr[i] = (uint32_t *)gf_bump(b, GF_WALK_NODES, sizeof *v->nr[i]);
		v->found[i] = (uint64_t *)gf_bump(b, GF_WALK_BATCH * GF_XA_SLOTS, sizeof *v->found[i]);
	}
	for (uint32_t i = 0; i < 2; i++)
		v->mask[i] = (uint32_t *)gf_bump(b, GF_WALK_BATCH * GF_XA_SLOTS / 32, sizeof *v->mask[i]);
}

/* What must be read for the columns of f. */
GF_INLINE uint32_t gf_sampler_want(const struct gf_fieldset *f)
{
	uint32_t want = gf_record_want(f);

	/* Group and session are two more objects a process: only where they are read. */
	if (!(f->task & (GF_BIT(GF_TF_PGRP) | GF_BIT(GF_TF_SESSION))))
		want &= ~(uint32_t)GF_REC_IDS;
	return want;
}

/* Where everything is from `base` on, for at least cap rows and the fields of f: v and s then hold pointers that are good where base is. Returns how many bytes; base NULL: only that. v and s
 * are made anew; then, where base is good, gf_sampler_bind and gf_sampler_init. rows: for gf_mr_take alone, which walks nowhere and reads no strings. */
GF_INLINE size_t gf_sampler_layout_of(struct gf_sampler *v, struct gf_sample *s, uint32_t cap, const struct gf_fieldset *f, int rows, void *base)
{
	const struct gf_sampler none = { 0 };
	const struct gf_sample empty = { 0 };
	struct gf_bump b = { (uint64_t)(uintptr_t)base, 0 };

	*v = none;
	*s = empty;
	gf_sample_bump(&b, s, cap, f);
	for (uint32_t i = 0; i < GF_HF_COUNT; i++)
		s->host[i] = gf_unknown();
	v->cap = v->recs = s->cap;
	v->texts = GF_SAMPLER_TEXTS;
	v->budget = GF_SAMPLER_BUDGET;
	v->fields = *f;
	v->want = gf_sampler_want(f);
	if (rows) {
		v->recs = GF_MIN(v->recs, GF_MR_RECS);
		gf_sampler_bump_rows(&b, v);
	} else {
		gf_sampler_bump(&b, v);
		gf_sampler_bump_words(&b, v);
		gf_sampler_bump_strings(&b, v, f->str);
	}
	v->base = (uint8_t *)base;
	v->size = b.used;
	return b.used;
}

GF_INLINE size_t gf_sampler_layout(struct gf_sampler *v, struct gf_sample *s, uint32_t cap, const struct gf_fieldset *f, void *base)
{
	return gf_sampler_layout_of(v, s, cap, f, 0, base);
}

/* Where v's sample is, once both are where they are used. */
GF_INLINE void gf_sampler_bind(struct gf_sampler *v, struct gf_sample *s)
{
	v->s = s;
	v->table.s = s;
}

#endif
