/* SPDX-License-Identifier: MIT
 *
 * How much a rule may do (limit, budget), and how much it may say.
 *
 * News of a rule other than its actions (true, false, held back, no victim, skipped)
 * is told at most GF_TELL_MAX times a minute; what was left unsaid is counted, and
 * the next event says how much it was. A rule that goes on and off each tick so
 * cannot drive other rules' events out of the ring, nor fill a disk.
 */
#ifndef GPUFAS_ALLOW_H
#define GPUFAS_ALLOW_H

#include "gpu/report.h"

#define GF_TELL_MAX 20u
#define GF_TELL_NS 60000000000ull
#define GF_SIGCONT 18 /* Linux, all but alpha, mips, parisc and sparc */

GF_INLINE int gf_action_harmless(uint8_t action)
{
	return action == GF_ACT_LOG || action == GF_ACT_NOTIFY;
}

GF_INLINE int gf_step_selects(const struct gf_step *step)
{
	return step->pick != GF_PICK_SAME && step->pick != GF_PICK_NONE;
}

/* 1 when the step only undoes what an earlier one did to the same victims. It is
 * taken whatever becomes of the rule: nobody may stay stopped, or limited. */
GF_INLINE int gf_step_lets_go(const struct gf_step *step)
{
	return step->pick == GF_PICK_SAME &&
	       (step->action == GF_ACT_THAW || (step->action == GF_ACT_SIGNAL && step->arg == GF_SIGCONT) ||
		(step->action == GF_ACT_LIMIT && step->value == GF_NONE && step->amount < 0));
}

GF_INLINE uint8_t gf_rule_observes(const struct gf_tick *t, uint32_t rule)
{
	return (uint8_t)(t->in->observe || (t->c.rule[rule].flags & GF_RULE_OBSERVE));
}

/* 1 when a step is to be observed only. All steps of a run are as the first was: a
 * SIGKILL must not follow a SIGTERM that was never sent, and whoever was stopped is
 * let go also when observing has begun in between. */
GF_INLINE uint8_t gf_step_observes(const struct gf_tick *t, uint32_t rule, uint32_t step)
{
	const struct gf_rule_state *rs = &t->c.st->rule[rule];

	if (step && rs->observed)
		return 1;
	if (step && gf_step_lets_go(&t->c.step[t->c.rule[rule].step + step]))
		return 0;
	return gf_rule_observes(t, rule);
}

/* How many times in ring [n of cap, newest before head] lie within window of now.
 * The ring is in order of time, so it need not be walked. */
GF_SELDOM uint32_t gf_ring_count(const uint64_t *ring, uint32_t cap, uint32_t head, uint32_t n, uint64_t now,
				 uint64_t window)
{
	uint32_t lo = 0, hi = n;

	while (lo < hi) {
		uint32_t k = lo + (hi - lo + 1) / 2; /* are the k newest within? */
		if (ring[(head + cap - k) % cap] + window > now)
			lo = k;
		else
			hi = k - 1;
	}
	return lo;
}

GF_INLINE void gf_ring_add(uint64_t *ring, uint32_t cap, uint32_t *head, uint32_t *n, uint64_t now, uint32_t times)
{
	for (; times; times--) {
		ring[*head] = now;
		*head = (*head + 1) % cap;
		if (*n < cap)
			++*n;
	}
}

GF_SELDOM uint32_t gf_budget_left(const struct gf_tick *t)
{
	const struct gf_state *st = t->c.st;
	uint32_t of = GF_MIN(t->in->budget_n, GF_BUDGET_MAX);
	uint32_t used = gf_ring_count(st->budget_at, GF_BUDGET_MAX, st->budget_head, st->budget_n, t->c.now,
				      t->in->budget_window_ns);
	return used < of ? of - used : 0;
}

GF_SELDOM uint32_t gf_limit_left(const struct gf_tick *t, uint32_t rule)
{
	const struct gf_rule *r = &t->c.rule[rule];
	const struct gf_rule_state *rs = &t->c.st->rule[rule];
	uint32_t of = GF_MIN(r->limit_n, GF_MAX_LIMIT), used;

	if (!r->limit_n)
		return GF_MAX_PICK;
	used = gf_ring_count(rs->acted, GF_MAX_LIMIT, rs->acted_head, rs->acted_n, t->c.now, r->limit_window_ns);
	return used < of ? of - used : 0;
}

/* 1 when actions of this step count against the budget. */
GF_INLINE int gf_step_budgeted(const struct gf_tick *t, uint32_t rule, const struct gf_step *step)
{
	if ((t->c.rule[rule].flags & GF_RULE_OBSERVE) && !t->in->observe)
		return 0;
	return !gf_action_harmless(step->action);
}

/* Counts n actions of a step. */
GF_SELDOM void gf_rule_count(struct gf_tick *t, uint32_t rule, const struct gf_step *step, uint32_t n)
{
	struct gf_state *st = t->c.st;
	struct gf_rule_state *rs = &st->rule[rule];

	gf_ring_add(rs->acted, GF_MAX_LIMIT, &rs->acted_head, &rs->acted_n, t->c.now, n);
	if (gf_step_budgeted(t, rule, step))
		gf_ring_add(st->budget_at, GF_BUDGET_MAX, &st->budget_head, &st->budget_n, t->c.now, n);
	rs->fired += n;
	t->out->actions += n;
}

/* An event about a rule, or NULL when it has said enough for now.
 * What the rule remembers (told, was_true) is the same whether or not it was said. */
GF_SELDOM struct gf_event *gf_rule_tell(struct gf_tick *t, uint8_t kind, uint32_t rule)
{
	struct gf_rule_state *rs = &t->c.st->rule[rule];
	struct gf_event *ev;

	if (!rs->tell_ns || t->c.now - rs->tell_ns >= GF_TELL_NS) {
		rs->tell_ns = t->c.now;
		rs->told_n = 0;
	}
	if (rs->told_n >= GF_TELL_MAX) {
		rs->unsaid++;
		return NULL;
	}
	rs->told_n++;
	ev = gf_event_new(t, kind, rule);
	ev->observed = gf_rule_observes(t, rule);
	ev->count = rs->unsaid;
	rs->unsaid = 0;
	return ev;
}

/* Once per activation: why a true rule does not act. */
GF_SELDOM void gf_rule_held_back(struct gf_tick *t, uint32_t rule, uint8_t why)
{
	struct gf_rule_state *rs = &t->c.st->rule[rule];
	struct gf_event *ev;

	if (rs->told & (1u << why))
		return;
	rs->told = (uint8_t)(rs->told | (1u << why));
	ev = gf_rule_tell(t, GF_EV_HELD_BACK, rule);
	if (!ev)
		return;
	ev->held_back = why;
	ev->step = rs->phase == GF_PHASE_STEPS ? rs->next_step : 0;
}

#endif
