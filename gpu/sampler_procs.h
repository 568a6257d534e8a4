/* SPDX-License-Identifier: MIT
 *
 * A record of each process, its row, its columns: what each lane does for its share.
 * Of gpu/sampler.h, which has the types and includes this.
 */
#ifndef GPUFAS_SAMPLER_PROCS_H
#define GPUFAS_SAMPLER_PROCS_H

GF_OUTLINE enum gf_task_got gf_lead_read(const struct gf_sampler_guest *g, struct gf_task_ctx *c, struct gf_lead *l, struct gf_task_rec *r)
{
	enum gf_task_got got = GF_TASK_GONE;

	for (uint32_t i = 0; i < 2; i++) {
		uint64_t now;

		got = gf_task_read(c, l->pid, l->task, r);
		if (got != GF_TASK_GONE || i)
			break;
		/* Another thread of it leads since an exec, or it has ended. */
		now = gf_walk_leader(g, l->pid);
		if (!now || now == l->task)
			break;
		l->task = now;
	}
	/* At another's place in the tree, to which no tree leads: so none of a pass' leaders are of one row. */
	return got == GF_TASK_OK && r->pid != (int32_t)l->nr ? GF_TASK_GONE : got;
}

/* A lane has its own, but for the one that is alone, whose is kept from one batch to the next. */
GF_INLINE void gf_tlb_clear(struct gf_tlb *t)
{
	for (uint32_t i = 0; i < GF_TLB_WAYS; i++)
		t->page[i] = 0;
}

/* Out of what was fetched: true, it is whole. */
GF_INLINE int gf_lead_fetched(struct gf_sampler *v, struct gf_task_ctx *c, const struct gf_lead *l, int many, struct gf_task_rec *r)
{
	const struct gf_gather *g = &v->gather;
	const struct gf_kept *k = &v->kept;
	uint32_t row = l->kept, up, has = GF_PARTS_NONE;
	int64_t parts[GF_RSS_PARTS];
	int got;

	if (row == GF_NONE)
		return 0;
	if (v->with_parts && k->va[GF_GO_MM][row]) {
		has = v->has_parts[row];
		if (has == GF_PARTS_NONE)
			return 0;
	}
	GF_UNROLL
	for (uint32_t i = 0; i < GF_RSS_PARTS; i++)
		parts[i] = v->parts[i * g->stride + row];
	/* Many have one parent: its words have been fetched once, if it has a row. Of whom nothing has been there are zeros. */
	up = v->s->parent[row];
	if (up >= v->ready || k->va[GF_GO_TASK][up] != k->va[GF_GO_PARENT][row] ||
	    !gf_src_load(gf_src_fetched(v->words + up, g->stride), g->l.task.thread_pid, 8))
		up = GF_NONE;
	c->parts_cost = has == GF_PARTS_NONE ? 0 : gf_parts_cost(c->cpus, has == GF_PARTS_TOGETHER);
	got = !gf_gather_read(g, k, c, v->words + row, up == GF_NONE ? NULL : v->words + up, parts, row, l->pid, l->task, many, r);
	c->parts_cost = 0;
	return got && r->pid == v->s->pid[row] && r->start_ns == v->s->start_ns[row];
}

GF_INLINE void gf_lead_init(struct gf_sampler *v, const struct gf_task_rec *r)
{
	if (r->pid == 1)
		gf_team_add(&v->init_seen, 1);
}

/* What becomes of a leader that has been read. */
GF_INLINE void gf_lead_got(struct gf_sampler *v, uint32_t from, uint32_t i, enum gf_task_got got, uint32_t starved)
{
	struct gf_table *t = &v->table;
	struct gf_lead *l = &v->lead[i];
	const struct gf_task_rec *r = &v->rec[i - from];

	if (got == GF_TASK_BAD)
		gf_team_add(&v->bad, 1);
	if (got != GF_TASK_OK)
		return;
	gf_lead_init(v, r);
	if (starved) {
		l->state |= GF_LEAD_AGAIN;
		gf_team_add(&v->starved, 1);
	}
	/* Out of what was fetched: it has the row that it had. */
	l->row = l->state & GF_LEAD_SAME ? l->kept : t->hash[gf_table_slot(t, r->pid, r->start_ns)] - 1;
	if (l->row == GF_NONE) {
		gf_team_add(&v->fresh[(i - from) / 32], 1u << (i - from) % 32);
		gf_team_add(&v->fresh_n, 1);
	} else if (t->seen[l->row] == t->pass) {
		l->row = GF_NONE; /* a second time in one pass: no tree has that */
	} else {
		gf_team_max(&v->claim[l->row], ~i);
	}
}

GF_OUTLINE void gf_sampler_slow(struct gf_sampler *v, uint32_t from, uint32_t lane, uint32_t lanes)
{
	struct gf_task_ctx c;
	struct gf_tlb own;
	uint32_t by, k = gf_team_spread(lane, lanes, v->slow_n, &by);

	gf_tlb_clear(&own);
	gf_sampler_ctx(v, &c, &own);
	for (; k < v->slow_n; k += by) {
		uint32_t i = v->slow[k];
		struct gf_lead *l = &v->lead[i];
		enum gf_task_got got = GF_TASK_OK;

		gf_ctx_share(v, &c);
		if (gf_lead_fetched(v, &c, l, 1, &v->rec[i - from])) {
			l->state = GF_LEAD_SAME;
			gf_team_one(&v->fetched);
		} else if (gf_late_begin(v, i)) {
			continue;
		} else {
			gf_ctx_share(v, &c);
			got = gf_lead_read(v->g, &c, l, &v->rec[i - from]);
		}
		gf_lead_got(v, from, i, got, c.starved);
	}
}

/* Of those whose words have come since, or else by one lane. */
GF_OUTLINE void gf_sampler_late(struct gf_sampler *v, uint32_t from, uint32_t lane, uint32_t lanes)
{
	struct gf_task_ctx c;
	struct gf_tlb own;
	uint32_t by, k = gf_team_spread(lane, lanes, v->late_n, &by);

	gf_tlb_clear(&own);
	gf_sampler_ctx(v, &c, &own);
	for (; k < v->late_n; k += by) {
		uint32_t i = v->late[k];
		enum gf_task_got got = GF_TASK_OK;

		if (i == GF_NONE)
			continue;
		gf_ctx_share(v, &c);
		if (gf_late_read(v, &c, &v->lead[i], &v->rec[i - from])) {
			v->lead[i].state = GF_LEAD_LATE;
			gf_team_add(&v->met, 1);
		} else {
			gf_ctx_share(v, &c);
			got = gf_lead_read(v->g, &c, &v->lead[i], &v->rec[i - from]);
		}
		gf_lead_got(v, from, i, got, c.starved);
	}
}

/* One lane: all of them. */
GF_OUTLINE void gf_sampler_read(struct gf_sampler *v, uint32_t from, uint32_t to)
{
	struct gf_task_ctx c;

	gf_sampler_ctx(v, &c, &v->tlb);
	for (uint32_t i = from; i < to; i++) {
		struct gf_lead *l = &v->lead[i];
		enum gf_task_got got;

		gf_ctx_share(v, &c);
		l->row = GF_NONE;
		l->state = 0;
		got = gf_lead_read(v->g, &c, l, &v->rec[i - from]); /* (says whether it starved: no argument beside that) */
		gf_lead_got(v, from, i, got, c.starved);
	}
}

/* Leader: rows for those who have none. */
GF_INLINE void gf_sampler_place(struct gf_sampler *v, uint32_t from, uint32_t to)
{
	struct gf_table *t = &v->table;

	for (uint32_t w = 0; w < (to - from + 31) / 32; w++) {
		uint32_t bits = v->fresh[w];

		v->fresh[w] = 0;
		for (; bits; bits &= bits - 1) {
			uint32_t i = w * 32 + gf_ctz64(bits), slot;
			const struct gf_task_rec *r = &v->rec[i];
			struct gf_lead *l = &v->lead[from + i];

			slot = gf_table_slot(t, r->pid, r->start_ns);
			if (t->hash[slot]) /* twice, as above */
				continue;
			l->row = gf_table_take(t, slot, r->pid, r->start_ns);
			if (l->row == GF_NONE)
				continue;
			l->state |= GF_LEAD_FRESH;
			t->seen[l->row] = t->pass;
			v->claim[l->row] = ~(from + i);
		}
	}
}

GF_INLINE void gf_sampler_paths(struct gf_sampler *v, const struct gf_lead *l, const uint8_t *task)
{
	const struct gf_sampler_guest *g = v->g;
	struct gf_sample *s = v->s;
	uint32_t n = GF_MIN(GF_MIN(g->paths, v->fields.paths), GF_MAX_PATHS);
	double *col;

	if (!n)
		return;
	for (uint32_t i = 0; i < n; i++) {
		col = s->col[GF_TF_COUNT + i];
		if (col)
			col[l->row] = gf_kpath_value(&g->mem, &g->kpath[i], l->task);
	}
	GF_LOAD_FENCE();
	if (gf_task_is(&g->layout.task, task, l->pid, l->task))
		return;
	for (uint32_t i = 0; i < n; i++) {
		col = s->col[GF_TF_COUNT + i];
		if (col)
			col[l->row] = gf_unknown();
	}
}

GF_INLINE void gf_sampler_columns(struct gf_sampler *v, uint32_t row, const struct gf_task_rec *r)
{
	struct gf_sample *s = v->s;
	struct gf_record_env e = v->env;

	v->table.ppid[row] = r->ppid;
	s->flags[row] = gf_record_flags(r);
	s->uid[row] = r->have & GF_REC_UID ? r->euid : GF_NONE;
	gf_row_comm(&v->table, row, r->comm, sizeof r->comm);
	/* Started since the guest's clock last moved: just now. */
	if (e.now_ns && e.now_ns < r->start_ns)
		e.now_ns = r->start_ns;
	gf_record_columns(s, row, r, &e, &v->note[row].shown);
	gf_record_io(s, row, r->have & GF_REC_IO ? 1 : 0, r->read_bytes, r->write_bytes);
}

/* Columns of the row of a leader, whose record is r. */
GF_OUTLINE void gf_lead_fill(struct gf_sampler *v, struct gf_lead *l, const struct gf_task_rec *r)
{
	const struct gf_sampler_guest *g = v->g;
	const uint8_t *task = gf_obj(&g->mem, l->task, g->layout.task.span);
	uint32_t need;

	v->table.seen[l->row] = v->table.pass;
	if (l->state & GF_LEAD_FRESH) {
		const struct gf_row_note none = { { 0, 0 }, r->exec_tag, 0, 0, 0, 0, 0 };
		gf_row_clear(v->s, l->row);
		v->note[l->row] = none;
	}
	gf_sampler_columns(v, l->row, r);
	/* Good where nobody has come or gone; else it is done again. */
	if (v->parents) {
		gf_table_parent(&v->table, l->row);
		gf_team_one(&v->seen_n);
	}
	v->who.pass[l->row] = v->table.pass;
	if (l->state & GF_LEAD_SAME) {
		v->kept.pass[l->row] = v->table.pass; /* and its addresses, which other lanes may be looking at, are what they were */
	} else {
		v->who.pid[l->row] = l->pid;
		v->who.task[l->row] = l->task;
		if (l->state & GF_LEAD_LATE && gf_late_kept(v))
			gf_kept_copy(&v->kept, l->row, l->kept);
		else if (v->team)
			gf_kept_set(&v->gather, &v->kept, &g->mem, &g->layout, l->row, l->pid, l->task, v->table.pass);
	}
	if (!task)
		return;
	gf_sampler_paths(v, l, task);
	if (!(v->fields.str & GF_STR_READ))
		return;
	need = gf_strings_need(v, task, l->row, r, l->state & GF_LEAD_FRESH);
	if (need) {
		l->state |= need * GF_LEAD_NEED;
		gf_team_add(&v->need, 1);
	}
}

/* Those that have not been filled yet: with a team, the slow. */
GF_OUTLINE void gf_sampler_fill(struct gf_sampler *v, uint32_t from, uint32_t to, uint32_t lane, uint32_t lanes)
{
	uint32_t n = v->team ? v->slow_n : to - from;

	for (uint32_t k = lane; k < n; k += lanes) {
		uint32_t i = v->team ? v->slow[k] : from + k;
		struct gf_lead *l = &v->lead[i];

		if (l->row == GF_NONE)
			continue;
		if (v->claim[l->row] != ~i) /* twice: the first has it */
			l->row = GF_NONE;
		else
			gf_lead_fill(v, l, &v->rec[i - from]);
	}
}

/* Teams: who can be read out of what was fetched, and is still as he was then, has the row that he had. The others are put on a list. */
GF_OUTLINE void gf_sampler_quick(struct gf_sampler *v, uint32_t from, uint32_t to, uint32_t lane, uint32_t lanes)
{
	struct gf_task_ctx c;

	gf_sampler_ctx(v, &c, NULL);
	for (uint32_t i = from + lane; i < to; i += lanes) {
		struct gf_lead *l = &v->lead[i];
		struct gf_task_rec *r = &v->rec[i - from];

		gf_ctx_share(v, &c);
		l->row = GF_NONE;
		l->state = 0;
		if (l->kept != GF_NONE && !gf_gather_same(&v->gather, &v->kept, v->words + l->kept, l->kept))
			l->kept = GF_NONE;
		if (!gf_lead_fetched(v, &c, l, 0, r)) {
			v->slow[gf_team_add(&v->slow_n, 1)] = i;
			continue;
		}
		l->row = l->kept;
		l->state = GF_LEAD_SAME;
		gf_team_one(&v->fetched);
		gf_lead_init(v, r);
		gf_lead_fill(v, l, r);
	}
}

GF_OUTLINE void gf_sampler_strings(struct gf_sampler *v, uint32_t from, uint32_t to, uint32_t lane, uint32_t lanes)
{
	const struct gf_sampler_guest *g = v->g;

	if (lane >= v->texts)
		return;
	for (uint32_t i = from + lane; i < to; i += GF_MIN(lanes, v->texts)) {
		struct gf_lead *l = &v->lead[i];
		const uint8_t *task;

		if (l->row == GF_NONE || l->state < GF_LEAD_NEED)
			continue;
		task = gf_obj(&g->mem, l->task, g->layout.task.span);
		if (task)
			gf_strings_read(v, task, l->row, &v->rec[i - from], l->state / GF_LEAD_NEED, v->text + (size_t)lane * GF_TEXT_MAX);
	}
}

/* Those whose share of the budget was too small, with a larger one. */
GF_OUTLINE void gf_sampler_again(struct gf_sampler *v, uint32_t lane, uint32_t lanes)
{
	struct gf_table *t = &v->table;
	struct gf_task_ctx c;
	struct gf_tlb own;

	gf_tlb_clear(&own);
	gf_sampler_ctx(v, &c, &own);
	for (uint32_t i = lane; i < v->n; i += lanes) {
		struct gf_lead *l = &v->lead[i];
		struct gf_task_rec r;

		if (l->row == GF_NONE || !(l->state & GF_LEAD_AGAIN))
			continue;
		gf_ctx_share(v, &c);
		if (gf_lead_read(v->g, &c, l, &r) == GF_TASK_OK && r.pid == t->s->pid[l->row] && r.start_ns == t->s->start_ns[l->row])
			gf_sampler_columns(v, l->row, &r);
		else
			t->s->flags[l->row] |= GF_ROW_TORN; /* ended between the two looks */
	}
}

/* Leader: 0, or -EBADMSG when what is there cannot be a running Linux. */
GF_OUTLINE int gf_sampler_tasks(struct gf_sampler *v)
{
	const struct gf_sampler_guest *g = v->g;

	v->env.now_ns = v->guest_now.boot_ns;
	v->env.total_pages = 0;
	v->env.page = 4096;
	if (v->want & GF_REC_SCORE) {
		struct gf_host_mem m = { &g->mem, NULL, 0, 0 };
		double pages = gf_hf_count(&m, g->layout.host.totalram, 1) + gf_hf_count(&m, g->layout.host.total_swap, 1);
		v->env.total_pages = pages < 1099511627776.0 ? (uint64_t)pages : 0; /* unknown is not less */
	}
	v->init_seen = v->bad = v->starved = v->fetched = v->met = 0;
	v->seen_n = v->fresh_all = v->parents = 0;
	v->share = gf_budget_share(v, v->n);
	for (uint32_t from = 0; from < v->n; from += v->recs) {
		uint32_t to = GF_MIN(v->n, from + v->recs);

		v->slow_n = v->fresh_n = v->need = 0;
		gf_late_turn(v);
		/* For as long as it looks like a pass that is not given up, and is one batch. */
		v->parents = v->team && v->whole && from == 0 && to == v->n;
		gf_sampler_call(v, GF_SJ_READ, from, to, v->team && v->host_due);
		if (v->team)
			v->host_due = 0;
		if (v->slow_n)
			gf_sampler_call(v, GF_SJ_SLOW, from, to, 0);
		if (v->late_n) {
			v->late_n = GF_MIN(v->late_n, v->late_max);
			gf_sampler_call(v, GF_SJ_WORDS, 0, 0, 0);
			gf_sampler_call(v, GF_SJ_LATE, from, to, 0);
		}
		v->fresh_all += v->fresh_n;
		if (v->fresh_n)
			gf_sampler_place(v, from, to);
		v->parents &= v->init_seen && v->bad <= v->n / 4;
		if (v->slow_n || !v->team)
			gf_sampler_call(v, GF_SJ_FILL, from, to, 0);
		if (v->need)
			gf_sampler_call(v, GF_SJ_STRINGS, from, to, 0);
		gf_text_settle(&v->pool);
	}
	if (v->starved) {
		v->share = v->budget / 2 / v->starved;
		gf_sampler_call(v, GF_SJ_AGAIN, 0, 0, 0);
	}
	v->table.unplaced += v->more;
	return !v->init_seen || v->bad > v->n / 4 ? -EBADMSG : 0;
}

#endif
