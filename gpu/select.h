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

/* Classes of a chunk of rows. */
GF_INLINE void gf_class_chunk(struct gf_tick *t, uint32_t base)
{
	struct gf_state *st = t->c.st;
	const struct gf_class *k = GF_SEC(struct gf_class, t->c.img, GF_SEC_CLASS);
	uint32_t count = t->c.img->sec[GF_SEC_CLASS].count;
	struct gf_result res;

	for (uint32_t i = base; i < base + GF_WIDTH; i++) {
		st->klass[i] = 1;
		st->unprot[i] = 0;
		st->klass_by[i] = GF_NONE;
	}
	for (uint32_t j = 0; j < count; j++) {
		GF_RUN_CHUNK(&t->c, k[j].prog, base, t->regs, &res);
		for (uint32_t i = 0; i < GF_WIDTH; i++)
			gf_class_row(st, &k[j], j, base + i, res.p[i]);
	}
}

#include "gpu/top.h"

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

/* A task rule's condition for one row. */
GF_INLINE uint8_t gf_rule_row(const struct gf_tick *t, uint32_t rule, uint32_t row)
{
	struct gf_result res;
	uint8_t x;

	gf_run_one(&t->c, t->c.rule[rule].cond, row, t->regs, &res);
	x = GF_MIN(t->c.st->hi[row], res.p[0]);
	return GF_MAX(t->c.st->lo[row], x);
}

/* What is made of a row beside its being sorted. */
enum gf_select_also {
	GF_SELECT_CLASSES = 1, /* once a tick and only when some rule selects */
	GF_SELECT_COND = 2,    /* with lanes: the rule's condition */
};

#if GF_TEAM
/* A rule's truth for one row into st->cond, and the first row of which it is true. For a second time in a tick: holds and
 * latches that the condition advances stay as they are, since what they are given is the same. */
GF_INLINE void gf_cond_row(struct gf_tick *t, uint32_t rule, uint32_t row)
{
	struct gf_state *st = t->c.st;
	uint8_t x = gf_rule_row(t, rule, row);

	st->cond[row] = x;
	if (x == GF_TRUE)
		gf_team_max(&st->work.first, ~row);
}

/* 1 when st->cond is to be made of a rule: with one lane it is there, since rules are taken one after the other. With several they were looked at
 * together. From now on it counts as made. */
GF_INLINE int gf_cond_due(struct gf_tick *t, uint32_t rule)
{
	struct gf_work *w = &t->c.st->work;

	if (!(t->c.rule[rule].flags & GF_RULE_TASK) || (w->cond_rule == rule + 1 && w->cond_tick == t->c.st->tick))
		return 0;
	w->first = 0;
	w->cond_rule = rule + 1;
	w->cond_tick = t->c.st->tick;
	return 1;
}
#endif

/* Sorts all rows. a: rule, b: step's number in the image, c: enum gf_select_also. */
GF_JOB_BODY gf_job_select(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	struct gf_choice ch = { 0, 0, 0, 0, 0, 0 }, *to = &t->c.st->work.choice;
	const struct gf_step *step = &t->c.step[b];
	uint32_t up = gf_rows_up(t->c.s);

	for GF_SHARE(base, up) {
		if (c & GF_SELECT_CLASSES)
			gf_class_chunk(t, base);
#if GF_TEAM
		if (c & GF_SELECT_COND)
			gf_cond_row(t, a, base);
#endif
		gf_select_chunk(t, a, step, base, &ch);
#if GF_TEAM
		if (t->c.st->why[base] == GF_WHY_CHOSEN)
			gf_team_one(&t->c.st->work.count);
		gf_top_row(t, step->pick, 0, base);
#endif
	}
#if GF_TEAM
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

/* Picks at most max seeds for a step. The rule's condition is in st->cond, or with lanes on its way there. */
static GF_HD __attribute__((noinline, unused)) void gf_select(struct gf_tick *t, uint32_t rule,
							const struct gf_step *step, uint32_t max,
							struct gf_choice *ch)
{
	struct gf_state *st = t->c.st;
	struct gf_choice zero = { 0, 0, 0, 0, 0, 0 };
	uint32_t also = st->klass_tick == st->tick ? 0 : GF_SELECT_CLASSES;

#if GF_TEAM
	also |= gf_cond_due(t, rule) ? GF_SELECT_COND : 0u;
	st->work.ranked = 0;
#endif
	st->klass_tick = st->tick;
	st->work.choice = zero;
	st->work.count = 0;
	GF_TICK_CALL(t, GF_JOB_SELECT, gf_job_select, rule, (uint32_t)(step - t->c.step), also);
	*ch = st->work.choice;
#if GF_TEAM
	ch->seeds = gf_pick_team(t, step->pick, GF_MIN(max, GF_MAX_PICK));
#else
	ch->seeds = gf_pick_best(t->c.s, st, step->pick, GF_MIN(max, GF_MAX_PICK));
#endif
}

/* Why somebody was not picked, or that he was: why is what gf_job_select made of the row, last the last who was picked, GF_NONE: nobody was. */
GF_INLINE uint8_t gf_picked_why(const struct gf_sample *s, const struct gf_state *st, uint8_t pick, uint32_t row, uint8_t why, uint32_t last)
{
	if (why != GF_WHY_CHOSEN || last == GF_NONE || row == last || gf_pick_before(s, st, pick, row, last))
		return why;
	if (st->klass[row] > st->klass[last])
		return st->klass[row] == 2 ? (uint8_t)GF_WHY_AVOIDED : (uint8_t)GF_WHY_NOT_PREFERRED;
	return GF_WHY_RANKED_LOWER;
}

#include "gpu/members.h"

#endif
