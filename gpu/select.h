/* SPDX-License-Identifier: MIT
 *
 * Selection: from candidates to seeds, from seeds to members of their groups, and
 * the evidence of who was passed over and why.
 */
#ifndef GPUFAS_SELECT_H
#define GPUFAS_SELECT_H

#include "gpu/family.h"
#include "gpu/guard.h"
#include "gpu/interp.h"

struct gf_tick_in {
	uint64_t budget_window_ns;
	uint32_t budget_n;
	uint32_t target;
	uint8_t observe; /* never act, whatever the rules say */
	uint8_t gap;     /* time passed unobserved (suspend): runs of true start anew */
	uint8_t reserved[6];
};

/* Where a tick puts what it has to say. events has room for events_cap + 1: the
 * last is written and thrown away when there are more. */
struct gf_tick_out {
	struct gf_event *events;
	struct gf_verdict *verdicts;
	uint64_t *seq; /* next event number; shared with others */
	uint32_t events_cap, events_n, events_lost;
	uint32_t verdicts_cap, verdicts_n, verdicts_lost;
	uint64_t actions;
};

struct gf_tick {
	struct gf_ctx c;
	const struct gf_tick_in *in;
	struct gf_tick_out *out;
	struct gf_regs *regs;
};

/* What a selection found. Seeds are in st->pick, best first; st->why says of
 * every candidate what became of it, of other rows GF_WHY_COUNT. */
struct gf_choice {
	uint32_t candidates, never, protect, where, condemned, seeds;
};

#define GF_KLASS_PROTECTED 3u

GF_INLINE uint32_t gf_rows_up(const struct gf_sample *s)
{
	return GF_MIN((s->rows + GF_ROW_BLOCK - 1) / GF_ROW_BLOCK * GF_ROW_BLOCK, s->cap);
}

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

/* Classes of all rows, once a tick and only when some rule selects. */
static GF_HD __attribute__((noinline, unused)) void gf_classes_make(struct gf_tick *t)
{
	struct gf_state *st = t->c.st;
	const struct gf_class *k = GF_SEC(struct gf_class, t->c.img, GF_SEC_CLASS);
	uint32_t count = t->c.img->sec[GF_SEC_CLASS].count, up = gf_rows_up(t->c.s);
	struct gf_result res;

	if (st->klass_tick == st->tick)
		return;
	st->klass_tick = st->tick;
	for (uint32_t i = 0; i < up; i++) {
		st->klass[i] = 1;
		st->unprot[i] = 0;
		st->klass_by[i] = GF_NONE;
	}
	for (uint32_t j = 0; j < count; j++) {
		for (uint32_t base = 0; base < up; base += GF_WIDTH) {
			GF_RUN_CHUNK(&t->c, k[j].prog, base, t->regs, &res);
			for (uint32_t i = 0; i < GF_WIDTH; i++)
				gf_class_row(st, &k[j], j, base + i, res.p[i]);
		}
	}
}

/* 1 when row a ranks before row b, class aside. A total order: two engines, or
 * two runs, never choose differently. */
GF_INLINE int gf_rank_before(const struct gf_sample *s, const struct gf_state *st, uint8_t pick, uint32_t a, uint32_t b)
{
	double x = st->key[a], y = st->key[b];

	if ((x != x) != (y != y))
		return y != y;
	if (pick == GF_PICK_LARGEST && x != y && x == x)
		return x > y;
	if (pick == GF_PICK_SMALLEST && x != y && x == x)
		return x < y;
	if (s->start_ns[a] != s->start_ns[b])
		return pick == GF_PICK_OLDEST ? s->start_ns[a] < s->start_ns[b] : s->start_ns[a] > s->start_ns[b];
	if (s->pid[a] != s->pid[b])
		return s->pid[a] < s->pid[b];
	return a < b;
}

GF_INLINE int gf_pick_before(const struct gf_sample *s, const struct gf_state *st, uint8_t pick, uint32_t a, uint32_t b)
{
	if (st->klass[a] != st->klass[b])
		return st->klass[a] < st->klass[b];
	return gf_rank_before(s, st, pick, a, b);
}

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
GF_INLINE uint32_t gf_pick_best(const struct gf_sample *s, struct gf_state *st, uint8_t pick, uint32_t max)
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
	struct gf_result res = { NULL, NULL, NULL };

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

/* Picks at most max seeds for a step. */
static GF_HD __attribute__((noinline, unused)) void gf_select(struct gf_tick *t, uint32_t rule,
							const struct gf_step *step, uint32_t max,
							struct gf_choice *ch)
{
	const struct gf_sample *s = t->c.s;
	struct gf_state *st = t->c.st;
	uint32_t up = gf_rows_up(s);
	struct gf_choice zero = { 0, 0, 0, 0, 0, 0 };

	*ch = zero;
	gf_classes_make(t);
	for (uint32_t base = 0; base < up; base += GF_WIDTH)
		gf_select_chunk(t, rule, step, base, ch);
	ch->seeds = gf_pick_best(s, st, step->pick, GF_MIN(max, GF_MAX_PICK));
	if (!ch->seeds)
		return;
	for (uint32_t row = 0; row < s->rows; row++) {
		uint8_t best = st->klass[st->pick[ch->seeds - 1]];
		if (st->why[row] != GF_WHY_CHOSEN)
			continue;
		st->why[row] = GF_WHY_RANKED_LOWER;
		if (st->klass[row] > best)
			st->why[row] = st->klass[row] == 2 ? GF_WHY_AVOIDED : GF_WHY_NOT_PREFERRED;
	}
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

/* Members of one seed's group that may be touched, the seed first. */
GF_INLINE void gf_group_members(struct gf_tick *t, uint32_t rule, uint8_t group, uint32_t seed,
				    struct gf_members *m)
{
	const struct gf_sample *s = t->c.s;
	struct gf_state *st = t->c.st;
	const struct gf_family *f = &st->family;
	uint8_t *in = st->scratch_p;

	gf_member_add(s, st, seed, m);
	if (group == GF_GROUP_ONE)
		return;
	if (group == GF_GROUP_TREE) {
		/* Parents first, so that a stopped or killed parent starts no more children. */
		gf_family_make(s, st);
		for (uint32_t k = f->n; k-- > 0;) {
			uint32_t row = f->order[k], up = f->up[row];
			in[row] = (uint8_t)(row == seed || (up != GF_NONE && in[up]));
			if (in[row] && gf_member_why(s, st, row, rule) == GF_WHY_CHOSEN)
				gf_member_add(s, st, row, m);
		}
		return;
	}
	for (uint32_t row = 0; row < s->rows; row++) {
		if ((s->flags[row] & GF_ROW_VALID) && gf_same_group(s, group, seed, row) &&
		    gf_member_why(s, st, row, rule) == GF_WHY_CHOSEN)
			gf_member_add(s, st, row, m);
	}
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
