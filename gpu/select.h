/* SPDX-License-Identifier: MIT
 *
 * Selection: from candidates to seeds, from seeds to members of their groups, and
 * the evidence of who was passed over and why.
 */
#ifndef GPUFAS_SELECT_H
#define GPUFAS_SELECT_H

#include "gpu/family.h"
#include "gpu/guard.h"
#include "gpu/job.h"

#define GF_KLASS_PROTECTED 3u

/* One class statement over one row. Unknown protects, and avoids. */
GF_INLINE void gf_class_row(struct gf_state *st, const struct gf_class *k, uint32_t number, uint32_t row, uint8_t p)
{
	switch (k->kind) {
	case GF_CLASS_PROTECT:
		if (p != GF_FALSE && st->klass[row] != GF_KLASS_PROTECTED) {
			st->klass[row] = GF_KLASS_PROTECTED;
			st->klass_by[row] = number;
		}
		break;
	case GF_CLASS_UNPROTECT:
		if (p == GF_TRUE)
			st->unprot[row] = 1;
		break;
	case GF_CLASS_PREFER:
		if (p == GF_TRUE && st->klass[row] == 1) {
			st->klass[row] = 0;
			st->klass_by[row] = number;
		}
		break;
	default:
		/* A task that is both preferred and avoided is avoided. */
		if (p != GF_FALSE && st->klass[row] < 2) {
			st->klass[row] = 2;
			st->klass_by[row] = number;
		}
		break;
	}
}

/* Classes of all rows. */
GF_JOB_BODY gf_job_classes(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	struct gf_state *st = t->c.st;
	const struct gf_class *k = GF_SEC(struct gf_class, t->c.img, GF_SEC_CLASS);
	uint32_t count = t->c.img->sec[GF_SEC_CLASS].count, up = gf_rows_up(t->c.s);
	struct gf_result res;

	GF_UNUSED3(a, b, c);
	for GF_SHARE(base, up) {
		for (uint32_t i = base; i < base + GF_WIDTH; i++) {
			st->klass[i] = 1;
			st->unprot[i] = 0;
			st->klass_by[i] = GF_NONE;
		}
	}
	for (uint32_t j = 0; j < count; j++) {
		for GF_SHARE(base, up) {
			GF_RUN_CHUNK(&t->c, k[j].prog, base, t->regs, &res);
			for (uint32_t i = 0; i < GF_WIDTH; i++)
				gf_class_row(st, &k[j], j, base + i, res.p[i]);
		}
	}
}

/* Once a tick and only when some rule selects. */
static GF_HD __attribute__((noinline, unused)) void gf_classes_make(struct gf_tick *t)
{
	struct gf_state *st = t->c.st;

	if (st->klass_tick == st->tick)
		return;
	st->klass_tick = st->tick;
	GF_TICK_CALL(t, GF_JOB_CLASSES, gf_job_classes, 0, 0, 0);
}

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

/* 1 when another rule has the row in this tick. */
GF_INLINE int gf_condemned(const struct gf_state *st, uint32_t row, uint32_t rule)
{
	return st->condemned_tick[row] == st->tick && st->condemned[row] != rule + 1;
}

/* 1 when the row was sent SIGKILL a short while ago: it can do nothing but die, if
 * it may take long (uninterruptible sleep). Choosing it once more would help nobody,
 * and would keep a rule from ever coming to the next one. */
GF_INLINE int gf_killed(const struct gf_sample *s, const struct gf_state *st, uint32_t row)
{
	return st->killed_ns[row] && st->killed_gen[row] == s->gen[row] && st->now_ns < st->killed_ns[row] + GF_KILLED_NS;
}

/* CHOSEN when the row may be a member of a group: guards only, no where and no rank. */
GF_INLINE uint8_t gf_member_why(const struct gf_sample *s, const struct gf_state *st, uint32_t row, uint32_t rule)
{
	uint8_t why = gf_guard_row(s, row);

	if (why != GF_WHY_CHOSEN)
		return why;
	if ((s->flags[row] & GF_ROW_OOM_IMMUNE) && !st->unprot[row])
		return GF_WHY_OOM_IMMUNE;
	if (st->klass[row] == GF_KLASS_PROTECTED)
		return GF_WHY_PROTECTED;
	if (gf_condemned(st, row, rule) || gf_killed(s, st, row))
		return GF_WHY_CONDEMNED;
	return GF_WHY_CHOSEN;
}

GF_INLINE int gf_any_true(const uint8_t *p)
{
	uint8_t any = 0;

	for (uint32_t i = 0; i < GF_WIDTH; i++)
		any |= p[i] == GF_TRUE;
	return any;
}

/* Sorts one chunk of rows into candidates that may be picked and others. */
GF_INLINE void gf_select_chunk(struct gf_tick *t, uint32_t rule, const struct gf_step *step, uint32_t base,
			       struct gf_choice *ch)
{
	const struct gf_sample *s = t->c.s;
	struct gf_state *st = t->c.st;
	int by_start = step->pick == GF_PICK_OLDEST || step->pick == GF_PICK_NEWEST;
	int by_task = (t->c.rule[rule].flags & GF_RULE_TASK) != 0;
	uint8_t where[GF_WIDTH], why;
	struct gf_result res = GF_RESULT_NONE;

	if (by_task && !gf_any_true(st->cond + base)) {
		for (uint32_t i = 0; i < GF_WIDTH; i++)
			st->why[base + i] = GF_WHY_COUNT;
		return;
	}
	for (uint32_t i = 0; i < GF_WIDTH; i++)
		where[i] = GF_TRUE;
	if (step->where != GF_NONE) {
		GF_RUN_CHUNK(&t->c, step->where, base, t->regs, &res);
		for (uint32_t i = 0; i < GF_WIDTH; i++)
			where[i] = res.p[i];
	}
	if (step->key != GF_NONE)
		GF_RUN_CHUNK(&t->c, step->key, base, t->regs, &res);
	for (uint32_t i = 0; i < GF_WIDTH; i++) {
		uint32_t row = base + i;
		st->why[row] = GF_WHY_COUNT;
		st->key[row] = gf_unknown();
#if GF_TEAM
		st->work.rank[row] = 0;
#endif
		if (row >= s->rows || !(s->flags[row] & GF_ROW_VALID) || (by_task && st->cond[row] != GF_TRUE))
			continue;
		ch->candidates++;
		if (by_start)
			st->key[row] = s->start_ns[row] < t->c.now ? (double)(t->c.now - s->start_ns[row]) : 0.0;
		else
			st->key[row] = step->key != GF_NONE ? res.v[i] : 0.0;
		why = gf_member_why(s, st, row, rule);
		/* Protection is told before a where that would not have taken it either. */
		if (why == GF_WHY_PROTECTED)
			ch->protect++;
		else if (why == GF_WHY_OOM_IMMUNE)
			ch->protect++;
		else if (why != GF_WHY_CHOSEN && why != GF_WHY_CONDEMNED)
			ch->never++;
		else if (where[i] != GF_TRUE) {
			why = GF_WHY_WHERE;
			ch->where++;
		} else if (why == GF_WHY_CONDEMNED)
			ch->condemned++;
		else if (st->key[row] != st->key[row])
			why = GF_WHY_KEY_UNKNOWN;
		st->why[row] = why;
	}
}

/* Sorts all rows. a: rule, b: step's number in the image. */
GF_JOB_BODY gf_job_select(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	struct gf_choice ch = { 0, 0, 0, 0, 0, 0 }, *to = &t->c.st->work.choice;
	uint32_t up = gf_rows_up(t->c.s);

	(void)c;
	for GF_SHARE(base, up)
		gf_select_chunk(t, a, &t->c.step[b], base, &ch);
#if GF_TEAM
	for (uint32_t row = lane; row < up; row += lanes)
		if (t->c.st->why[row] == GF_WHY_CHOSEN)
			gf_team_one(&t->c.st->work.count);
	if (!ch.candidates)
		return;
	gf_team_add(&to->candidates, ch.candidates);
	gf_team_add(&to->never, ch.never);
	gf_team_add(&to->protect, ch.protect);
	gf_team_add(&to->where, ch.where);
	gf_team_add(&to->condemned, ch.condemned);
#else
	*to = ch;
#endif
}

/* Who was not picked: a is the class of the last who was. */
GF_JOB_BODY gf_job_why(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	struct gf_state *st = t->c.st;

	(void)b;
	(void)c;
	for (uint32_t row = lane; row < t->c.s->rows; row += lanes) {
		if (st->why[row] != GF_WHY_CHOSEN)
			continue;
		st->why[row] = GF_WHY_RANKED_LOWER;
		if (st->klass[row] > a)
			st->why[row] = st->klass[row] == 2 ? GF_WHY_AVOIDED : GF_WHY_NOT_PREFERRED;
	}
}

/* Picks at most max seeds for a step. The rule's condition is in st->cond. */
static GF_HD __attribute__((noinline, unused)) void gf_select(struct gf_tick *t, uint32_t rule,
							const struct gf_step *step, uint32_t max,
							struct gf_choice *ch)
{
	struct gf_state *st = t->c.st;
	struct gf_choice zero = { 0, 0, 0, 0, 0, 0 };

	gf_classes_make(t);
	st->work.choice = zero;
	st->work.count = 0;
	GF_TICK_CALL(t, GF_JOB_SELECT, gf_job_select, rule, (uint32_t)(step - t->c.step), 0);
	*ch = st->work.choice;
#if GF_TEAM
	ch->seeds = gf_pick_team(t, step->pick, GF_MIN(max, GF_MAX_PICK));
#else
	ch->seeds = gf_pick_best(t->c.s, st, step->pick, GF_MIN(max, GF_MAX_PICK));
#endif
	if (!ch->seeds)
		return;
	GF_TICK_CALL(t, GF_JOB_WHY, gf_job_why, st->klass[st->pick[ch->seeds - 1]], 0, 0);
	for (uint32_t k = 0; k < ch->seeds; k++)
		st->why[st->pick[k]] = GF_WHY_CHOSEN;
}

struct gf_members {
	uint32_t n;
	uint32_t left; /* for whom there was no room */
};

GF_INLINE void gf_member_add(const struct gf_sample *s, struct gf_state *st, uint32_t row, struct gf_members *m)
{
	if (st->mark[row])
		return;
	if (m->n == GF_STATE_VICTIMS) {
		m->left++;
		return;
	}
	st->mark[row] = 1;
	st->member[m->n].row = row;
	st->member[m->n].gen = s->gen[row];
	m->n++;
}

GF_INLINE int gf_same_string(const struct gf_strref *a, const struct gf_strref *b)
{
	if (!a->ver || !b->ver || a->len != b->len)
		return 0;
	for (uint32_t i = 0; i < a->len; i++)
		if (a->p[i] != b->p[i])
			return 0;
	return 1;
}

/* 1 when row and seed belong to the same group. Unknown is not the same; session
 * and group 0 are the kernel's, user GF_NONE is one that could not be read; the root cgroup is the whole machine, which
 * nobody means by "its cgroup". */
GF_INLINE int gf_same_group(const struct gf_sample *s, uint8_t group, uint32_t seed, uint32_t row)
{
	const double *col = NULL;
	const struct gf_strref *str = s->str[GF_SF_CGROUP];

	switch (group) {
	case GF_GROUP_PGRP:
		col = s->col[GF_TF_PGRP];
		break;
	case GF_GROUP_SESSION:
		col = s->col[GF_TF_SESSION];
		break;
	case GF_GROUP_USER:
		return s->uid[seed] != GF_NONE && s->uid[row] == s->uid[seed];
	case GF_GROUP_CGROUP:
		return str && str[seed].len > 1 && gf_same_string(&str[seed], &str[row]);
	default:
		break;
	}
	return col && col[seed] > 0 && col[row] == col[seed];
}

/* Rows of a seed's group that may be touched: 1 in scratch_p. a: rule, b: group, c: seed. */
GF_JOB_BODY gf_job_group(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	const struct gf_sample *s = t->c.s;
	struct gf_state *st = t->c.st;
	uint8_t *in = st->scratch_p;

	for (uint32_t row = lane; row < gf_rows_up(s); row += lanes) {
		in[row] = row < s->rows && (s->flags[row] & GF_ROW_VALID) && gf_same_group(s, (uint8_t)b, c, row) &&
			  gf_member_why(s, st, row, a) == GF_WHY_CHOSEN;
#if GF_TEAM
		if (in[row])
			gf_team_one(&st->work.count);
#endif
	}
}

/* Members of a tree where its forest was made: parents first, so that a stopped or killed parent starts no more children. */
GF_SELDOM void gf_tree_members(struct gf_tick *t, uint32_t rule, uint32_t seed, struct gf_members *m)
{
	const struct gf_sample *s = t->c.s;
	struct gf_state *st = t->c.st;
	const struct gf_family *f = &st->family;
	uint8_t *in = st->scratch_p;

	for (uint32_t k = f->n; k-- > 0;) {
		uint32_t row = f->order[k], up = f->up[row];
		in[row] = (uint8_t)(row == seed || (up != GF_NONE && in[up]));
		if (in[row] && gf_member_why(s, st, row, rule) == GF_WHY_CHOSEN)
			gf_member_add(s, st, row, m);
	}
}

#if GF_TEAM
/* The same without a forest: each row looks whether the seed is above it. a: rule, c: seed. */
GF_JOB_BODY gf_job_tree(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	const struct gf_sample *s = t->c.s;
	struct gf_state *st = t->c.st;

	(void)b;
	for (uint32_t row = lane; row < gf_rows_up(s); row += lanes) {
		uint8_t under = 0;
		if (row < s->rows && (s->flags[row] & GF_ROW_VALID) && gf_family_climb(s, &st->family, row, c, &under))
			gf_team_max(&st->work.cyclic, 1);
		st->scratch_p[row] = under && gf_member_why(s, st, row, a) == GF_WHY_CHOSEN;
		if (st->scratch_p[row])
			gf_team_one(&st->work.count);
	}
}

/* Rows marked in scratch_p, work.count of them, by row, into rank. */
GF_INLINE uint32_t gf_marked_rows(struct gf_state *st)
{
	const uint64_t *words = (const uint64_t *)(const void *)st->scratch_p;
	uint32_t n = 0;

	for (uint32_t i = 0; n < st->work.count; i++) {
		if (!words[i])
			continue;
		for (uint32_t k = 0; k < 8; k++)
			if (st->scratch_p[i * 8 + k])
				st->work.rank[n++] = i * 8 + k;
	}
	return n;
}

/* 1 when row a comes after row b in a tree: parents first, and as gf_tree_members() goes through them. */
GF_INLINE int gf_tree_after(const struct gf_family *f, uint32_t a, uint32_t b)
{
	return f->depth[a] != f->depth[b] ? f->depth[a] > f->depth[b] : a < b;
}

GF_INLINE void gf_tree_sink(const struct gf_family *f, uint32_t *h, uint32_t n, uint32_t i)
{
	uint32_t x = h[i];

	for (uint32_t k = 2 * i + 1; k < n; k = 2 * i + 1) {
		if (k + 1 < n && gf_tree_after(f, h[k + 1], h[k]))
			k++;
		if (!gf_tree_after(f, h[k], x))
			break;
		h[i] = h[k];
		i = k;
	}
	h[i] = x;
}

static GF_HD __attribute__((noinline, unused)) void gf_tree_sort(const struct gf_family *f, uint32_t *h, uint32_t n)
{
	for (uint32_t k = n / 2; k-- > 0;)
		gf_tree_sink(f, h, n, k);
	for (uint32_t k = n; k > 1; k--) {
		uint32_t last = h[0];
		h[0] = h[k - 1];
		h[k - 1] = last;
		gf_tree_sink(f, h, k - 1, 0);
	}
}
#endif

/* Members of one seed's group that may be touched, the seed first. */
GF_SELDOM void gf_group_members(struct gf_tick *t, uint32_t rule, uint8_t group, uint32_t seed,
				    struct gf_members *m)
{
	const struct gf_sample *s = t->c.s;
	struct gf_state *st = t->c.st;

	gf_member_add(s, st, seed, m);
	if (group == GF_GROUP_ONE)
		return;
#if GF_TEAM
	uint32_t n;

	st->work.count = 0;
	st->work.cyclic = 0;
	gf_team_call(t->team, group == GF_GROUP_TREE ? GF_JOB_TREE : GF_JOB_GROUP, rule, group, seed);
	if (st->work.cyclic) {
		gf_family_make(t);
		gf_tree_members(t, rule, seed, m);
		return;
	}
	n = gf_marked_rows(st);
	if (group == GF_GROUP_TREE)
		gf_tree_sort(&st->family, st->work.rank, n);
	for (uint32_t k = 0; k < n; k++)
		gf_member_add(s, st, st->work.rank[k], m);
#else
	if (group == GF_GROUP_TREE) {
		gf_family_make(t);
		gf_tree_members(t, rule, seed, m);
		return;
	}
	for (uint32_t row = 0; row < s->rows; row++) {
		if ((s->flags[row] & GF_ROW_VALID) && gf_same_group(s, group, seed, row) &&
		    gf_member_why(s, st, row, rule) == GF_WHY_CHOSEN)
			gf_member_add(s, st, row, m);
	}
#endif
}

/* All members of the picked seeds into st->member. */
static GF_HD __attribute__((noinline, unused)) struct gf_members gf_select_members(struct gf_tick *t, uint32_t rule,
										   const struct gf_step *step,
										   uint32_t seeds)
{
	struct gf_state *st = t->c.st;
	struct gf_members m = { 0, 0 };

	for (uint32_t k = 0; k < seeds; k++)
		gf_group_members(t, rule, step->group, st->pick[k], &m);
	for (uint32_t k = 0; k < m.n; k++)
		st->mark[st->member[k].row] = 0;
	return m;
}

#endif
