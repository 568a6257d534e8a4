/* SPDX-License-Identifier: MIT
 *
 * The order of candidates, and the best few of many: a heap on one lane; where there are several, the best of each few rows in a list, made by the
 * lane that has done the last of them, and then a lane for each of a list counts who comes before it; of many lists each few are made one in the same way.
 * Of gpu/select.h, which includes this.
 */
#ifndef GPUFAS_TOP_H
#define GPUFAS_TOP_H

/* By what rows are ranked. */
struct gf_standing {
	double key;
	uint64_t start_ns;
	int32_t pid;
	uint32_t row;
};

GF_INLINE struct gf_standing gf_standing(const struct gf_sample *s, const struct gf_state *st, uint32_t row)
{
	const struct gf_standing x = { st->key[row], s->start_ns[row], s->pid[row], row };

	return x;
}

/* 1 when a ranks before b, class aside. A total order: two engines, or
 * two runs, never choose differently. */
GF_INLINE int gf_standing_before(uint8_t pick, const struct gf_standing *a, const struct gf_standing *b)
{
	double x = a->key, y = b->key;

	if ((x != x) != (y != y))
		return y != y;
	if (pick == GF_PICK_LARGEST && x != y && x == x)
		return x > y;
	if (pick == GF_PICK_SMALLEST && x != y && x == x)
		return x < y;
	if (a->start_ns != b->start_ns)
		return pick == GF_PICK_OLDEST ? a->start_ns < b->start_ns : a->start_ns > b->start_ns;
	if (a->pid != b->pid)
		return a->pid < b->pid;
	return a->row < b->row;
}

GF_INLINE int gf_rank_before(const struct gf_sample *s, const struct gf_state *st, uint8_t pick, uint32_t a, uint32_t b)
{
	const struct gf_standing x = gf_standing(s, st, a), y = gf_standing(s, st, b);

	return gf_standing_before(pick, &x, &y);
}

GF_INLINE int gf_pick_before(const struct gf_sample *s, const struct gf_state *st, uint8_t pick, uint32_t a, uint32_t b)
{
	if (st->klass[a] != st->klass[b])
		return st->klass[a] < st->klass[b];
	return gf_rank_before(s, st, pick, a, b);
}

#if !GF_TEAM
/* Sinks heap[i]; the worst pick is at the root. */
GF_INLINE void gf_pick_sink(const struct gf_sample *s, struct gf_state *st, uint8_t pick, uint32_t n, uint32_t i)
{
	uint32_t *h = st->pick, x = h[i];

	for (uint32_t k = 2 * i + 1; k < n; k = 2 * i + 1) {
		if (k + 1 < n && gf_pick_before(s, st, pick, h[k], h[k + 1]))
			k++;
		if (!gf_pick_before(s, st, pick, x, h[k]))
			break;
		h[i] = h[k];
		i = k;
	}
	h[i] = x;
}

/* The max best of the rows with why CHOSEN, best first, into st->pick. */
GF_SELDOM uint32_t gf_pick_best(const struct gf_sample *s, struct gf_state *st, uint8_t pick, uint32_t max)
{
	uint32_t *h = st->pick, n = 0;

	for (uint32_t row = 0; row < s->rows; row++) {
		if (st->why[row] != GF_WHY_CHOSEN)
			continue;
		if (n < max) {
			uint32_t i = n++;
			h[i] = row;
			for (; i && gf_pick_before(s, st, pick, h[(i - 1) / 2], row); i = (i - 1) / 2) {
				h[i] = h[(i - 1) / 2];
				h[(i - 1) / 2] = row;
			}
		} else if (max && gf_pick_before(s, st, pick, row, h[0])) {
			h[0] = row;
			gf_pick_sink(s, st, pick, n, 0);
		}
	}
	for (uint32_t k = n; k > 1; k--) {
		uint32_t worst = h[0];
		h[0] = h[k - 1];
		h[k - 1] = worst;
		gf_pick_sink(s, st, pick, k - 1, 0);
	}
	return n;
}

#else
/* Lists of the best: of those that may be picked, by class and rank; of all that were looked at, by rank, or by how near they are (gf_tick_near). */
enum gf_top { GF_TOP_PICK, GF_TOP_RANK };

#define GF_TOP_STEP 16u /* lists that are looked at one after the other are so many apart: who is not among the best finds out soon, in whatever order rows are */

#define GF_TOP_HEADS 4u /* of so many at a time; in registers */

/* The order of numbers, as that of integers: 0 for what is not known, which comes last. */
GF_INLINE uint64_t gf_top_code(double v)
{
	union { double d; uint64_t u; } x;

	x.d = v + 0.0; /* -0 becomes 0 */
	if (v != v)
		return 0;
	return x.u >> 63 ? ~x.u : x.u | 1ull << 63;
}

/* What gf_standing_before() compares, and a class, as numbers one after the other: nothing of it depends on how it is picked. */
GF_INLINE struct gf_top_entry gf_top_entry(uint8_t pick, uint32_t klass, const struct gf_standing *x)
{
	uint64_t code = gf_top_code(x->key);
	struct gf_top_entry e;

	e.key = !code || pick == GF_PICK_LARGEST ? code : pick == GF_PICK_SMALLEST ? ~code : 1;
	e.start = pick == GF_PICK_OLDEST ? ~x->start_ns : x->start_ns;
	e.klass = klass;
	e.pid = (uint32_t)x->pid ^ 0x80000000u;
	e.row = x->row;
	e.n = 0;
	return e;
}

GF_INLINE int gf_top_before(const struct gf_top_entry *a, const struct gf_top_entry *b)
{
	if (a->klass != b->klass)
		return a->klass < b->klass;
	if (a->key != b->key)
		return a->key > b->key;
	if (a->start != b->start)
		return a->start > b->start;
	return a->pid != b->pid ? a->pid < b->pid : a->row < b->row;
}

/* A group's entries, best first: each goes to where as many are as come before it. Who is none has class GF_NONE. */
GF_INLINE void gf_top_sort(struct gf_top_entry *e, struct gf_top_entry *to)
{
	uint32_t at[GF_TOP_GROUP] = { 0 }, n = 0;

	GF_UNROLL
	for (uint32_t i = 0; i < GF_TOP_GROUP; i++)
		n += e[i].klass != GF_NONE;
	if (!n) {
		to->klass = GF_NONE;
		to->n = 0;
		return;
	}
	GF_UNROLL
	for (uint32_t i = 0; i < GF_TOP_GROUP; i++) {
		e[i].n = n;
		GF_UNROLL
		for (uint32_t k = 0; k < i; k++) {
			uint32_t first = (uint32_t)gf_top_before(&e[k], &e[i]);
			at[i] += first;
			at[k] += !first;
		}
	}
	GF_UNROLL
	for (uint32_t i = 0; i < GF_TOP_GROUP; i++)
		to[at[i]] = e[i];
}

/* Both lists of a group of rows, by a lane that sees by what all of them are ranked. near: by how near they are, one list. */
static GF_HD __attribute__((noinline, unused)) void gf_top_group(const struct gf_tick *t, uint8_t pick, int near, uint32_t group)
{
	const struct gf_state *st = t->c.st;
	struct gf_top_entry e[GF_TOP_GROUP];
	struct gf_standing x[GF_TOP_GROUP];
	uint32_t first = group * GF_TOP_GROUP;
	uint8_t why[GF_TOP_GROUP], klass[GF_TOP_GROUP];

	GF_UNROLL
	for (uint32_t i = 0; i < GF_TOP_GROUP; i++) {
		x[i] = gf_standing(t->c.s, st, first + i);
		why[i] = st->why[first + i];
		klass[i] = st->klass[first + i];
	}
	GF_UNROLL
	for (uint32_t i = 0; i < GF_TOP_GROUP; i++) {
		int is = near ? first + i < t->c.s->rows && x[i].key == x[i].key : why[i] != GF_WHY_COUNT;
		if (near) {
			x[i].start_ns = 0;
			x[i].pid = 0;
		}
		e[i] = gf_top_entry(pick, is ? 0 : GF_NONE, &x[i]);
	}
	gf_top_sort(e, st->work.list[GF_TOP_RANK] + group * GF_TOP_MAX);
	if (near)
		return;
	GF_UNROLL
	for (uint32_t i = 0; i < GF_TOP_GROUP; i++)
		e[i].klass = why[i] == GF_WHY_CHOSEN ? klass[i] : GF_NONE;
	gf_top_sort(e, st->work.list[GF_TOP_PICK] + group * GF_TOP_MAX);
}

/* A lane has done a row of its group: who is the last of them makes the lists. */
GF_INLINE void gf_top_row(const struct gf_tick *t, uint8_t pick, int near, uint32_t row)
{
	if (gf_team_last(&t->c.st->work.arrived[row / GF_TOP_GROUP], GF_TOP_GROUP))
		gf_top_group(t, pick, near, row / GF_TOP_GROUP);
}

/* How many of a list come before one, of whom its first is known to. */
GF_CALLED uint32_t gf_top_ahead(const struct gf_top_entry *list, const struct gf_top_entry *me)
{
	uint32_t n = 1, all = list->n;

	while (n < all && gf_top_before(&list[n], me))
		n++;
	return n;
}

/* Lists that are looked at: from first on, n of them, GF_TOP_STEP or less apart. */
struct gf_top_lists {
	const struct gf_top_entry *all;
	uint32_t first, n, step;
};

GF_INLINE struct gf_top_lists gf_top_lists(const struct gf_top_entry *all, uint32_t first, uint32_t n)
{
	struct gf_top_lists l = { all, first, n, (n + GF_TOP_HEADS - 1) / GF_TOP_HEADS };

	l.step = GF_MIN(l.step, GF_TOP_STEP);
	return l;
}

/* How many entries of all lists but its own come before an entry; GF_NONE: max or more. entries: of all lists together, own and all. */
static GF_HD __attribute__((noinline, unused)) uint32_t gf_top_before_me(const struct gf_top_lists *l, const struct gf_top_entry *me, uint32_t own,
									 uint32_t max, uint32_t *entries)
{
	uint32_t n = 0, all = 0;

	for (uint32_t first = 0; first < l->step; first++) {
		for (uint32_t k = first; k < l->n; k += l->step * GF_TOP_HEADS) {
			struct gf_top_entry head[GF_TOP_HEADS];

			GF_UNROLL
			for (uint32_t i = 0; i < GF_TOP_HEADS; i++)
				head[i] = l->all[(l->first + (k + i * l->step < l->n ? k + i * l->step : k)) * GF_TOP_MAX];
			GF_UNROLL
			for (uint32_t i = 0; i < GF_TOP_HEADS; i++) {
				uint32_t list = l->first + k + i * l->step;
				if (k + i * l->step >= l->n)
					continue;
				all += head[i].n;
				if (list != own && head[i].n && gf_top_before(&head[i], me))
					n += gf_top_ahead(l->all + list * GF_TOP_MAX, me);
			}
			if (n >= max)
				return GF_NONE;
		}
	}
	*entries = all;
	return n;
}

/* One of a list, the at-th: if fewer than max of all lists come before it, it is as many-th of the best. */
GF_INLINE void gf_top_place(struct gf_work *w, uint32_t how, const struct gf_top_entry *all, uint32_t at, uint32_t max, uint32_t own, uint32_t lists)
{
	const struct gf_top_lists l = gf_top_lists(all, 0, lists);
	const struct gf_top_entry me = all[own * GF_TOP_MAX + at];
	uint32_t n, entries;

	if (at >= all[own * GF_TOP_MAX].n)
		return;
	n = gf_top_before_me(&l, &me, own, max - at, &entries);
	if (n != GF_NONE)
		w->best[how][at + n] = me.row;
}

/* The same among the GF_TOP_FAN lists of which its own is: they become one. */
GF_INLINE void gf_top_merge(struct gf_work *w, uint32_t how, uint32_t at, uint32_t max, uint32_t own, uint32_t lists)
{
	uint32_t first = own / GF_TOP_FAN * GF_TOP_FAN, n, entries;
	struct gf_top_entry *to = w->merged[how] + own / GF_TOP_FAN * GF_TOP_MAX;
	const struct gf_top_lists l = gf_top_lists(w->list[how], first, GF_MIN(GF_TOP_FAN, lists - first));
	struct gf_top_entry me = l.all[own * GF_TOP_MAX + at];

	if (at >= l.all[own * GF_TOP_MAX].n) {
		/* That none of them has any is said by the first. */
		if (at || own != first)
			return;
		me.klass = GF_NONE;
	}
	n = gf_top_before_me(&l, &me, own, max - at, &entries);
	if (n == GF_NONE || (me.klass == GF_NONE && entries))
		return;
	me.n = GF_MIN(entries, max);
	to[at + n] = me;
}

/* The best of all lists. a: how many of those that may be picked, and of all, in a byte each; b: lists; c: enum gf_top_stage. */
enum gf_top_stage { GF_TOP_ONCE, GF_TOP_MERGE, GF_TOP_MERGED };

GF_JOB_BODY gf_job_best(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	struct gf_work *w = &t->c.st->work;
	uint32_t picks = a & 255, ranks = a >> 8 & 255;
	struct gf_top_entry **from = c == GF_TOP_MERGED ? w->merged : w->list;

#if defined(__CUDA_ARCH__)
	/* All lanes look at the first of every list: side by side once, and then they are in the cache. */
	for (uint32_t i = threadIdx.x; c != GF_TOP_MERGE && i < 2 * b; i += blockDim.x)
		gf_touched(from[i < b ? GF_TOP_RANK : GF_TOP_PICK][i % b * GF_TOP_MAX].n);
#endif
	for (uint32_t k = lane; k < (picks + ranks) * b; k += lanes) {
		uint32_t at = k / b, how = at < picks ? GF_TOP_PICK : GF_TOP_RANK, max = at < picks ? picks : ranks;

		at -= at < picks ? 0 : picks;
		if (c == GF_TOP_MERGE)
			gf_top_merge(w, how, at, max, k % b, b);
		else
			gf_top_place(w, how, from[how], at, max, k % b, b);
	}
}

/* Leader: the best of the lists that the rows' job has made. Who is among the best looks at every list: of many, some are made one before. */
GF_INLINE void gf_top_make(struct gf_tick *t, uint32_t picks, uint32_t ranks)
{
	uint32_t lists = gf_rows_up(t->c.s) / GF_TOP_GROUP, max = picks | ranks << 8;

	if (lists > 2 * GF_TOP_FAN) {
		gf_team_call(t->team, GF_JOB_BEST, max, lists, GF_TOP_MERGE);
		gf_team_call(t->team, GF_JOB_BEST, max, (lists + GF_TOP_FAN - 1) / GF_TOP_FAN, GF_TOP_MERGED);
	} else if (lists) {
		gf_team_call(t->team, GF_JOB_BEST, max, lists, GF_TOP_ONCE);
	}
}

/* Of each row that may be picked: how many of a group of others come before it, added up. */
GF_JOB_BODY gf_job_rank(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	const struct gf_sample *s = t->c.s;
	struct gf_state *st = t->c.st;
	uint32_t rows = s->rows, groups = (rows + GF_REDUCE - 1) / GF_REDUCE, g = lane / rows, row = lane % rows;

	(void)b;
	(void)c;
	while (g < groups) {
		uint32_t n = 0, end = GF_MIN(rows, (g + 1) * GF_REDUCE);
		if (st->why[row] == GF_WHY_CHOSEN) {
			for (uint32_t i = g * GF_REDUCE; i < end; i++)
				n += st->why[i] == GF_WHY_CHOSEN && i != row && gf_pick_before(s, st, (uint8_t)a, i, row);
			if (n)
				gf_team_add(&st->work.rank[row], n);
		}
		row += lanes % rows;
		g += lanes / rows;
		if (row >= rows) {
			row -= rows;
			g++;
		}
	}
}

/* Whoever has fewer than a before it is picked. */
GF_JOB_BODY gf_job_place(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	struct gf_state *st = t->c.st;

	(void)b;
	(void)c;
	for (uint32_t row = lane; row < t->c.s->rows; row += lanes)
		if (st->why[row] == GF_WHY_CHOSEN && st->work.rank[row] < a)
			st->pick[st->work.rank[row]] = row;
}

/* The max best of the rows with why CHOSEN, of which there are work.count, best first, into st->pick; and beside them who ranks best of all. */
GF_SELDOM uint32_t gf_pick_team(struct gf_tick *t, uint8_t pick, uint32_t max)
{
	struct gf_state *st = t->c.st;
	struct gf_work *w = &st->work;
	uint32_t n = GF_MIN(max, w->count);

	if (!n)
		return 0;
	gf_top_make(t, n <= GF_TOP_MAX ? n : 0, GF_TOP_RANKS);
	w->ranked = 1;
	if (n <= GF_TOP_MAX) {
		for (uint32_t k = 0; k < n; k++)
			st->pick[k] = w->best[GF_TOP_PICK][k];
		return n;
	}
	gf_team_call(t->team, GF_JOB_RANK, pick, 0, 0);
	gf_team_call(t->team, GF_JOB_PLACE, n, 0, 0);
	return n;
}
#endif

#endif
