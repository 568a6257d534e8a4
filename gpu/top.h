/* SPDX-License-Identifier: MIT
 *
 * The order of candidates, and the best few of many: a heap on one lane, lists that are joined where there are several.
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
/* By what rows are ranked in lists of the best: those that may be picked, by class and rank; all that were looked at, by
 * rank; those that are near, by how near (gf_tick_near). */
enum gf_top { GF_TOP_PICK, GF_TOP_RANK, GF_TOP_NEAR };

/* One of a list: by what it is ranked, next to it, since a lane has its list to itself while it makes it. */
struct gf_top_entry {
	struct gf_standing at;
	uint8_t klass;
};

struct gf_top_list {
	struct gf_top_entry e[GF_TOP_MAX];
	uint32_t n, max;
};

/* But for those that may be picked. */
GF_INLINE int gf_top_has(const struct gf_state *st, uint32_t how, uint32_t row)
{
	if (how == GF_TOP_NEAR)
		return st->key[row] == st->key[row];
	if (st->why[row] == GF_WHY_COUNT)
		return 0;
	for (uint32_t k = 0; k < st->work.leads; k++)
		if (st->work.lead[k] == row)
			return 0;
	return 1;
}

/* By what GF_TOP_GROUP rows are ranked: loads that do not wait for one another. GF_NONE: nobody. */
GF_INLINE void gf_top_look(const struct gf_tick *t, const uint32_t *row, struct gf_top_entry *to)
{
	GF_UNROLL
	for (uint32_t i = 0; i < GF_TOP_GROUP; i++) {
		uint32_t r = row[i] == GF_NONE ? 0 : row[i];
		to[i].at = gf_standing(t->c.s, t->c.st, r);
		to[i].klass = t->c.st->klass[r];
	}
}

GF_INLINE int gf_top_before(uint32_t how, uint8_t pick, const struct gf_top_entry *a, const struct gf_top_entry *b)
{
	if (how == GF_TOP_NEAR)
		return a->at.key > b->at.key || (a->at.key == b->at.key && a->at.row < b->at.row);
	if (how == GF_TOP_PICK && a->klass != b->klass)
		return a->klass < b->klass;
	return gf_standing_before(pick, &a->at, &b->at);
}

/* Puts one where it belongs: 1, or 0, it ranks below a list that is full. */
GF_CALLED int gf_top_put(uint32_t how, uint8_t pick, struct gf_top_list *list, const struct gf_top_entry *x)
{
	const struct gf_top_entry me = *x;
	uint32_t k = list->n;

	for (; k && gf_top_before(how, pick, &me, &list->e[k - 1]); k--)
		if (k < list->max)
			list->e[k] = list->e[k - 1];
	if (k == list->max)
		return 0;
	list->e[k] = me;
	list->n = GF_MIN(list->n + 1, list->max);
	return 1;
}

/* The same of lists, each the best first: who comes after one for whom there is no room has none either. */
static GF_HD __attribute__((noinline, unused)) void gf_top_join(const struct gf_tick *t, uint32_t how, uint8_t pick, struct gf_top_list *list,
								const uint32_t *from, uint32_t lists)
{
	for (uint32_t at = 0; at < lists; at += GF_TOP_GROUP) {
		struct gf_top_entry head[GF_TOP_GROUP];
		uint32_t row[GF_TOP_GROUP];

		GF_UNROLL
		for (uint32_t i = 0; i < GF_TOP_GROUP; i++)
			row[i] = at + i < lists ? from[(at + i) * GF_TOP_MAX] : GF_NONE;
		gf_top_look(t, row, head);
		for (uint32_t i = 0; i < GF_TOP_GROUP; i++) {
			const uint32_t *more = from + (at + i) * GF_TOP_MAX;
			uint32_t k = 1;

			if (row[i] == GF_NONE || !gf_top_put(how, pick, list, &head[i]))
				continue;
			for (; k < list->max && more[k] != GF_NONE; k++) {
				struct gf_top_entry x = { gf_standing(t->c.s, t->c.st, more[k]), t->c.st->klass[more[k]] };
				if (!gf_top_put(how, pick, list, &x))
					break;
			}
		}
	}
}

/* A group's rows from the first on, before `end`. */
GF_INLINE void gf_top_rows(const struct gf_tick *t, uint32_t how, uint8_t pick, struct gf_top_list *list, uint32_t first, uint32_t end)
{
	/* Who may be picked, of all rows of a group in one load: most often few. */
	uint64_t why = how == GF_TOP_PICK ? *(const uint64_t *)(const void *)(t->c.st->why + first) : 0;
	struct gf_top_entry x[GF_TOP_GROUP];
	uint32_t row[GF_TOP_GROUP], any = 0;

	GF_UNROLL
	for (uint32_t i = 0; i < GF_TOP_GROUP; i++) {
		int is = first + i < end && (how == GF_TOP_PICK ? (why >> i * 8 & 255) == GF_WHY_CHOSEN : gf_top_has(t->c.st, how, first + i));
		row[i] = is ? first + i : GF_NONE;
		any |= (uint32_t)is;
	}
	if (!any)
		return;
	gf_top_look(t, row, x);
	for (uint32_t i = 0; i < GF_TOP_GROUP; i++)
		if (row[i] != GF_NONE)
			gf_top_put(how, pick, list, &x[i]);
}

/* The best of each group of rows (round 0) or of lists. a: how, pick, max in a byte each; b: round; c: rows or lists. */
GF_JOB_BODY gf_job_top(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	struct gf_work *w = &t->c.st->work;
	uint32_t how = a & 255, max = a >> 16 & 255, groups = (c + GF_TOP_GROUP - 1) / GF_TOP_GROUP, by;
	uint8_t pick = (uint8_t)(a >> 8 & 255);
	const uint32_t *from = w->list[(b + 1) & 1];
	struct gf_top_list list;

	for (uint32_t g = gf_team_spread(lane, lanes, groups, &by); g < groups; g += by) {
		uint32_t *to = w->list[b & 1] + g * GF_TOP_MAX, first = g * GF_TOP_GROUP, end = GF_MIN(c, first + GF_TOP_GROUP);
		list.n = 0;
		list.max = max;
		if (b)
			gf_top_join(t, how, pick, &list, from + first * GF_TOP_MAX, end - first);
		else
			gf_top_rows(t, how, pick, &list, first, end);
		for (uint32_t k = 0; k < max; k++)
			to[k] = k < list.n ? list.e[k].at.row : GF_NONE;
	}
}

/* Lists that the leader puts together alone. */
#define GF_TOP_LISTS 20u

/* The max best rows, best first, into to; returns how many there are. */
static GF_HD __attribute__((noinline, unused)) uint32_t gf_top_make(struct gf_tick *t, uint32_t how, uint8_t pick,
								   uint32_t max, uint32_t *to)
{
	struct gf_work *w = &t->c.st->work;
	uint32_t lists = t->c.s->rows, round = 0;
	struct gf_top_list list;

	if (!max)
		return 0;
	do {
		gf_team_call(t->team, GF_JOB_TOP, how | (uint32_t)pick << 8 | max << 16, round++, lists);
		lists = (lists + GF_TOP_GROUP - 1) / GF_TOP_GROUP;
	} while (lists > GF_TOP_LISTS);
	list.n = 0;
	list.max = max;
	gf_top_join(t, how, pick, &list, w->list[(round + 1) & 1], lists);
	for (uint32_t k = 0; k < list.n; k++)
		to[k] = list.e[k].at.row;
	return list.n;
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

/* The max best of the rows with why CHOSEN, of which there are work.count, best first, into st->pick. */
GF_SELDOM uint32_t gf_pick_team(struct gf_tick *t, uint8_t pick, uint32_t max)
{
	uint32_t n = GF_MIN(max, t->c.st->work.count);

	if (n <= GF_TOP_MAX)
		return gf_top_make(t, GF_TOP_PICK, pick, n, t->c.st->pick);
	gf_team_call(t->team, GF_JOB_RANK, pick, 0, 0);
	gf_team_call(t->team, GF_JOB_PLACE, n, 0, 0);
	return n;
}
#endif

#endif
