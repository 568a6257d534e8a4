/* SPDX-License-Identifier: MIT
 *
 * Who there is: the tree of pids, level by level, a lane a slot.
 * Of gpu/sampler.h, which has the types and includes this.
 */
#ifndef GPUFAS_SAMPLER_WALK_H
#define GPUFAS_SAMPLER_WALK_H

GF_OUTLINE void gf_sampler_job(struct gf_sampler *v, const struct gf_call *call, uint32_t lane, uint32_t lanes);

/* Leader. */
GF_INLINE void gf_sampler_call(struct gf_sampler *v, uint32_t job, uint32_t a, uint32_t b, uint32_t c)
{
	struct gf_call call = { job, a, b, c };

#if GF_TEAM
	if (v->team) {
		GF_SAMPLER_TIMED(job, 0);
		gf_team_call(v->team, job, a, b, c);
		GF_SAMPLER_TIMED(job, 1);
		return;
	}
#endif
	gf_sampler_job(v, &call, 0, 1);
}

/* ---- who there is ----------------------------------------------------------- */

GF_INLINE int gf_walk_is(const struct gf_layout_task *o, const struct gf_src p, uint64_t pid, uint64_t task, uint64_t start)
{
	return (gf_s64(p, o->start_boottime) == start) & gf_task_is_of(o, p, pid, task);
}

/* The process behind one entry of a leaf: its task's address; 0: none. */
GF_INLINE uint64_t gf_walk_leader(const struct gf_sampler_guest *g, uint64_t pid)
{
	uint64_t task = gf_pid_leader(&g->mem, &g->layout, pid);

	/* No struct pid where the tree says: freed since, or overwritten. There is no process behind it. */
	return task == ~0ull ? 0 : task;
}

/* The same of one that most often was there at the last pass: its task then, if that still says to be it; or else whom the struct pid leads to. Where
 * words of it have been fetched they are asked, and nothing is read here. Where not, the struct pid is read first, which most often says the same.
 * The argument is in gpu/gather.h. */
GF_INLINE uint64_t gf_walk_who(const struct gf_sampler *v, uint64_t pid, uint32_t nr)
{
	const struct gf_sampler_guest *g = v->g;
	const struct gf_layout_task *o = &g->layout.task;
	uint32_t row = gf_table_pid(&v->table, (int32_t)nr);
	uint64_t task = row != GF_NONE && v->who.pass[row] == v->table.pass - 1 && v->who.pid[row] == pid ? v->who.task[row] : 0, now;
	int fetched = task && row < v->ready && v->kept.pass[row] == v->fetching;
	const uint8_t *p;

	if (fetched && gf_walk_is(&v->gather.l.task, gf_src_fetched(v->words + row, v->gather.stride), pid, task, v->s->start_ns[row]))
		return task;
	now = gf_walk_leader(g, pid);
	if (fetched || !task || now == task)
		return now;
	p = gf_obj(&g->mem, task, o->span);
	return p && gf_walk_is(o, gf_src_at(p), pid, task, v->s->start_ns[row]) ? task : now;
}

/* The row of process nr, where what was kept of it is of this very task. */
GF_INLINE uint32_t gf_kept_row(const struct gf_sampler *v, int32_t nr, uint64_t pid, uint64_t task)
{
	const struct gf_kept *k = &v->kept;
	uint32_t row = v->fetching ? gf_table_pid(&v->table, nr) : GF_NONE;

	return row != GF_NONE && k->pass[row] == v->fetching && k->va[GF_GO_TASK][row] == task && k->va[GF_GO_PID][row] == pid ? row : GF_NONE;
}

/* One entry of the next level, or one leader, is the at-th. nr: the first pid below it, or its own. */
GF_INLINE void gf_walk_put(struct gf_sampler *v, uint32_t shift, uint32_t at, uint32_t nr, uint64_t found, uint64_t task)
{
	if (shift) {
		if (at < GF_WALK_NODES) {
			v->node[!v->level][at] = found;
			v->nr[!v->level][at] = nr;
		}
	} else if (at < v->cap) {
		v->lead[at].pid = found;
		v->lead[at].task = task;
		v->lead[at].nr = nr;
		v->lead[at].kept = v->team ? gf_kept_row(v, (int32_t)nr, found, task) : GF_NONE;
	}
}

/* All of a batch by the one lane there is. */
GF_INLINE void gf_walk_alone(struct gf_sampler *v, uint32_t from, uint32_t n, uint32_t shift)
{
	const struct gf_sampler_guest *g = v->g;
	const struct gf_kmem *k = &g->mem;
	const struct gf_layout *l = &g->layout;
	uint32_t next = v->next, torn = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t node = v->node[v->level][from + i];
		const uint8_t *p = gf_obj(k, node, l->xa.span);

		for (uint32_t slot = 0; p && slot < GF_XA_SLOTS; slot++) {
			uint64_t found, task = 0;
			uint32_t nr = v->nr[v->level][from + i] + (slot << shift);
			enum gf_xa e = gf_xa_slot(k, l, p, shift, slot, &found);

			torn += e == GF_XA_TORN;
			if (e == GF_XA_ENTRY) {
				task = gf_walk_who(v, found, nr);
#if !defined(__CUDA_ARCH__)
				if (task)
					__builtin_prefetch(gf_obj(k, task, l->task.span));
#endif
			}
			if (task || e == GF_XA_NODE)
				gf_walk_put(v, shift, next++, nr, found, task);
		}
		torn += !gf_xa_node(k, l, node); /* given back meanwhile */
	}
	v->next = next;
	v->torn += torn;
}

enum gf_walk_also {
	GF_WALK_CPUS = 0x100,  /* what GF_SJ_CPUS does, by lanes that have no slot */
	GF_WALK_LOOSE = 0x200, /* nodes below are not collected: each has the number of its slot */
	GF_WALK_PARTS = 0x400, /* beside collecting: parts of page counters */
};

GF_OUTLINE void gf_walk_slots(struct gf_sampler *v, uint32_t from, uint32_t n, uint32_t how, uint32_t lane, uint32_t lanes)
{
	const struct gf_sampler_guest *g = v->g;
	const struct gf_layout *l = &g->layout;
	uint32_t shift = how & 0xff;

	if (v->above && lane == lanes - 1 && !gf_xa_node(&g->mem, l, v->above))
		gf_team_add(&v->torn, 1); /* given back meanwhile */
	for (uint32_t i = lane; i < n * GF_XA_SLOTS; i += lanes) {
		uint32_t slot = i % GF_XA_SLOTS;
		uint64_t node = v->node[v->level][from + i / GF_XA_SLOTS], found = 0, task = 0;
		const uint8_t *p = node ? gf_obj(&g->mem, node, l->xa.span) : NULL;
		enum gf_xa e = p ? gf_xa_slot_said(l, p, shift, slot, &found) : GF_XA_NONE;

		if (node && (!p || !gf_xa_own(l, p, shift))) {
			/* Not a node of the tree, or none any more: said once. */
			if (!slot)
				gf_team_add(&v->torn, 1);
			e = GF_XA_NONE;
		}
		if (e == GF_XA_TORN)
			gf_team_add(&v->torn, 1);
		if (e == GF_XA_ENTRY)
			task = gf_walk_who(v, found, v->nr[v->level][from + i / GF_XA_SLOTS] + slot);
		if (how & GF_WALK_LOOSE) {
			v->node[!v->level][i] = e == GF_XA_NODE ? found : 0;
			v->nr[!v->level][i] = v->nr[v->level][from] + (slot << shift);
			continue;
		}
		if (!task && e != GF_XA_NODE)
			continue;
		v->found[0][i] = found;
		v->found[1][i] = task;
		gf_team_bit(v->mask[v->turn], i, &v->count[v->turn][i / GF_XA_SLOTS / GF_WALK_GROUP]);
	}
}

/* How many bits are set in words [from, to). Eight loads are under way at a time. */
GF_INLINE uint32_t gf_walk_bits(const uint64_t *words, uint32_t from, uint32_t to)
{
	uint32_t n = 0;

	GF_ROLLED
	for (uint32_t j = from; j < to; j += 8) {
		uint64_t w[8];

		GF_UNROLL
		for (uint32_t k = 0; k < 8; k++)
			w[k] = j + k < to ? words[j + k] : 0;
		GF_UNROLL
		for (uint32_t k = 0; k < 8; k++)
			n += gf_popcount(w[k]);
	}
	return n;
}

GF_OUTLINE void gf_walk_collect(struct gf_sampler *v, uint32_t from, uint32_t n, uint32_t shift, uint32_t lane, uint32_t lanes)
{
	const struct gf_sampler_guest *g = v->g;
	const uint32_t *count = v->count[v->turn];
	const uint64_t *mask = (const uint64_t *)(const void *)v->mask[v->turn]; /* a word a node */

	for (uint32_t i = lane; i < n * GF_XA_SLOTS; i += lanes) {
		uint32_t node = i / GF_XA_SLOTS, slot = i % GF_XA_SLOTS, group = node / GF_WALK_GROUP, at = v->begin;

		if (!(mask[node] >> slot & 1))
			continue;
		for (uint32_t j = 0; j < group; j++)
			at += count[j];
		at += gf_walk_bits(mask, group * GF_WALK_GROUP, node) + gf_popcount(mask[node] & ((1ull << slot) - 1));
		gf_walk_put(v, shift, at, v->nr[v->level][from + node] + (slot << shift), v->found[0][i], v->found[1][i]);
	}
	for (uint32_t i = lane; i < n; i += lanes) {
		uint64_t node = v->node[v->level][from + i];

		if (node && !gf_xa_node(&g->mem, &g->layout, node))
			gf_team_add(&v->torn, 1); /* given back meanwhile */
	}
	/* For the next batch. */
	for (uint32_t i = lane; i < GF_WALK_BATCH * GF_XA_SLOTS / 32; i += lanes)
		v->mask[!v->turn][i] = 0;
	for (uint32_t i = lane; i < GF_WALK_BATCH / GF_WALK_GROUP; i += lanes)
		v->count[!v->turn][i] = 0;
}

/* Leader: all slots of nodes [from, from + n) of this level. The root's children, which are few, are not collected but taken as they are. */
GF_INLINE void gf_walk_batch(struct gf_sampler *v, uint32_t from, uint32_t n, uint32_t shift, int loose)
{
	uint32_t groups = (n + GF_WALK_GROUP - 1) / GF_WALK_GROUP, more = 0, also = v->cpus_due ? (uint32_t)GF_WALK_CPUS : 0;

	if (!v->team) {
		gf_walk_alone(v, from, n, shift);
		return;
	}
	v->cpus_due = 0;
	v->begin = v->next;
	gf_fetch_share(v, 1, shift ? 2 + v->calls : 1);
	gf_sampler_call(v, GF_SJ_SLOTS, from, n, shift | also | (loose ? (uint32_t)GF_WALK_LOOSE : 0));
	gf_fetch_done(v);
	v->above = loose ? v->node[v->level][from] : 0;
	if (loose) {
		v->next = GF_XA_SLOTS;
		return;
	}
	also = !shift && v->parts_due ? (uint32_t)GF_WALK_PARTS : 0;
	v->parts_due &= !also;
	gf_sampler_call(v, GF_SJ_COLLECT, from, n, shift | also);
	for (uint32_t i = 0; i < groups; i++)
		more += v->count[v->turn][i];
	v->next += more;
	v->turn = !v->turn;
}

/* Leader: all processes' leaders. False: the tree was not whole. */
GF_OUTLINE int gf_walk(struct gf_sampler *v, int first)
{
	const struct gf_sampler_guest *g = v->g;
	uint64_t root = v->root;
	uint32_t shift = v->root_shift, nodes = 1, calls = 0;
	enum gf_xa e = v->team && first ? (enum gf_xa)v->root_state : gf_xa_root(&g->mem, &g->layout, &root, &shift);

	v->n = v->more = v->torn = 0;
	v->above = 0;
	if (e != GF_XA_NODE)
		return e == GF_XA_NONE;
	v->level = 0;
	v->node[0][0] = root;
	v->nr[0][0] = 0;
	for (;;) {
		v->next = 0;
		calls += shift ? (nodes + GF_WALK_BATCH - 1) / GF_WALK_BATCH : 0;
		for (uint32_t i = 0; i < nodes; i += GF_WALK_BATCH)
			gf_walk_batch(v, i, GF_MIN(nodes - i, GF_WALK_BATCH), shift, nodes == 1 && shift);
		if (!shift || !v->next)
			break;
		v->torn += v->next > GF_WALK_NODES;
		nodes = GF_MIN(v->next, GF_WALK_NODES);
		v->level = !v->level;
		shift -= GF_XA_STEP;
	}
	v->calls = calls;
	if (!shift) {
		v->n = GF_MIN(v->next, v->cap);
		v->more = v->next - v->n;
	}
	return !v->torn;
}

#endif
