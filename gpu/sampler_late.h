/* SPDX-License-Identifier: MIT
 *
 * Teams: who was not there at the last pass, or has changed since then, is fetched as well (gpu/gather.h), but in three calls of his own: where his
 * objects are, his words, his record. One lane that reads him as a CPU does waits for forty loads, one after the other; so it is ten.
 *
 * Where. Rows that nobody has are at the end of the table. The last of them are lent to those of whom words are fetched late: kept addresses and
 * words are as a row's are. They are not rows, and none of it is looked at in another pass.
 *
 * Why it is not torn. The argument is that of gpu/gather.h with one difference: K is in this pass, after A. So that the struct pid leads to
 * the task A has found itself, and K, G and S all come after it; that K, G and S agree says the same. Nobody says when who has that number must have
 * started: it is whoever has it at G, as it is where one lane reads.
 *
 * Of gpu/sampler.h, which has the types and includes this.
 */
#ifndef GPUFAS_SAMPLER_LATE_H
#define GPUFAS_SAMPLER_LATE_H

/* Leader: before those that must wait are read. Half of what is free is lent: newcomers need rows, too. */
GF_INLINE void gf_late_turn(struct gf_sampler *v)
{
	v->late_n = 0;
	v->late_max = v->team && !v->plain && !v->gather.bad ? (v->cap - v->s->rows) / 2 / GF_GATHER_DEEP * GF_GATHER_DEEP : 0;
	v->late_max = GF_MIN(v->late_max, v->recs);
}

/* Leader i's objects are looked for. True: its words can be fetched. */
GF_INLINE int gf_late_begin(struct gf_sampler *v, uint32_t i)
{
	struct gf_lead *l = &v->lead[i];
	uint32_t n = v->late_max ? gf_team_add(&v->late_n, 1) : 0, row = v->cap - 1 - n;

	if (n >= v->late_max)
		return 0;
	gf_kept_set(&v->gather, &v->kept, &v->g->mem, &v->g->layout, row, l->pid, l->task, v->table.pass);
	if (v->kept.pass[row] != v->table.pass) {
		v->late[n] = GF_NONE;
		return 0;
	}
	v->late[n] = i;
	l->kept = row;
	return 1;
}

GF_INLINE void gf_late_words(struct gf_sampler *v, uint32_t lane, uint32_t lanes)
{
	gf_sampler_words(v, (v->cap - v->late_n) / GF_GATHER_DEEP * GF_GATHER_DEEP, v->cap, v->table.pass, lane, lanes);
}

/* True: it is whole. */
GF_INLINE int gf_late_read(struct gf_sampler *v, struct gf_task_ctx *c, const struct gf_lead *l, struct gf_task_rec *r)
{
	const struct gf_kept *k = &v->kept;
	const uint64_t *words = v->words + l->kept;
	int64_t parts[GF_RSS_PARTS] = { 0 };
	struct gf_task_ctx all = *c;

	all.pages = v->pages;
	if (gf_fetch_parts(v) && k->va[GF_GO_MM][l->kept] && gf_row_parts(v, &all, l->kept, parts) == GF_PARTS_NONE)
		return 0;
	c->budget = all.budget;
	GF_LOAD_FENCE();
	return gf_gather_same(&v->gather, k, words, l->kept) &&
	       !gf_gather_read(&v->gather, k, c, words, NULL, parts, l->kept, l->pid, l->task, 1, r) && r->pid == (int32_t)l->nr;
}

/* What was kept in spare rows is still there: newcomers have been given none of them. */
GF_INLINE int gf_late_kept(const struct gf_sampler *v)
{
	return v->s->rows <= v->cap - v->late_n;
}

#endif
