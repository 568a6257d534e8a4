/* SPDX-License-Identifier: MIT
 *
 * What a rule does over time: idle, its steps, settling, cooling down.
 *
 *   idle ──true, allowed, victims found──► steps ──last step──► settle ──► cooldown ──► idle
 *
 * - Steps go on when the condition has become false: who sent SIGTERM means the
 *   SIGKILL for those that ignored it, and a SIGSTOP must be followed by its
 *   SIGCONT. Only a later step that selects anew wants the condition still true.
 * - An action is one seed (a group counts as one); a step without a victim that is
 *   not merely log or notify is one action too. Later steps on the same victims
 *   are part of it. `limit` and the budget count actions; the budget leaves out
 *   log and notify, and rules that only observe.
 * - Observed, everything runs as if acted; since nothing dies, settle ends by time.
 */
#ifndef GPUFAS_RULES_H
#define GPUFAS_RULES_H

#include "gpu/report.h"

GF_INLINE int gf_action_harmless(uint8_t action)
{
	return action == GF_ACT_LOG || action == GF_ACT_NOTIFY;
}

GF_INLINE int gf_step_selects(const struct gf_step *step)
{
	return step->pick != GF_PICK_SAME && step->pick != GF_PICK_NONE;
}

/* 1 when the rule's victims are out of reach of other rules: it does something to
 * them, and not only in its own imagination. */
GF_INLINE int gf_rule_claims(const struct gf_tick *t, uint32_t rule)
{
	const struct gf_rule *r = &t->c.rule[rule];

	if ((r->flags & GF_RULE_OBSERVE) && !t->in->observe)
		return 0;
	for (uint32_t k = 0; k < r->steps; k++)
		if (!gf_action_harmless(t->c.step[r->step + k].action) && t->c.step[r->step + k].pick != GF_PICK_NONE)
			return 1;
	return 0;
}

GF_INLINE int gf_rule_selects(const struct gf_tick *t, uint32_t rule)
{
	const struct gf_rule *r = &t->c.rule[rule];

	for (uint32_t k = 0; k < r->steps; k++)
		if (gf_step_selects(&t->c.step[r->step + k]))
			return 1;
	return 0;
}

GF_INLINE uint8_t gf_rule_observes(const struct gf_tick *t, uint32_t rule)
{
	return (uint8_t)(t->in->observe || (t->c.rule[rule].flags & GF_RULE_OBSERVE));
}

/* How many times in ring [n of cap, newest before head] lie within window of now. */
GF_INLINE uint32_t gf_ring_count(const uint64_t *ring, uint32_t cap, uint32_t head, uint32_t n, uint64_t now,
				 uint64_t window)
{
	uint32_t count = 0;

	for (uint32_t k = 1; k <= n; k++) {
		if (ring[(head + cap - k) % cap] + window <= now)
			break;
		count++;
	}
	return count;
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

GF_INLINE uint32_t gf_budget_left(const struct gf_tick *t)
{
	const struct gf_state *st = t->c.st;
	uint32_t of = GF_MIN(t->in->budget_n, GF_BUDGET_MAX);
	uint32_t used = gf_ring_count(st->budget_at, GF_BUDGET_MAX, st->budget_head, st->budget_n, t->c.now,
				      t->in->budget_window_ns);
	return used < of ? of - used : 0;
}

GF_INLINE uint32_t gf_limit_left(const struct gf_tick *t, uint32_t rule)
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

/* Once per activation: why a true rule does not act. */
GF_INLINE void gf_rule_held_back(struct gf_tick *t, uint32_t rule, uint8_t why)
{
	struct gf_rule_state *rs = &t->c.st->rule[rule];
	struct gf_event *ev;

	if (rs->told & (1u << why))
		return;
	rs->told = (uint8_t)(rs->told | (1u << why));
	ev = gf_event_new(t, GF_EV_HELD_BACK, rule);
	ev->held_back = why;
	ev->observed = gf_rule_observes(t, rule);
	ev->step = rs->phase == GF_PHASE_STEPS ? rs->next_step : 0;
}

/* Counts n actions of a step. */
GF_INLINE void gf_rule_count(struct gf_tick *t, uint32_t rule, const struct gf_step *step, uint32_t n)
{
	struct gf_state *st = t->c.st;
	struct gf_rule_state *rs = &st->rule[rule];

	gf_ring_add(rs->acted, GF_MAX_LIMIT, &rs->acted_head, &rs->acted_n, t->c.now, n);
	if (gf_step_budgeted(t, rule, step))
		gf_ring_add(st->budget_at, GF_BUDGET_MAX, &st->budget_head, &st->budget_n, t->c.now, n);
	rs->fired += n;
	t->out->actions += n;
}

GF_INLINE void gf_rule_skip(struct gf_tick *t, uint32_t rule, uint32_t step)
{
	struct gf_rule_state *rs = &t->c.st->rule[rule];
	struct gf_event *ev = gf_event_new(t, GF_EV_SKIPPED, rule);

	ev->step = (uint8_t)step;
	ev->about = rs->action;
	ev->observed = gf_rule_observes(t, rule);
}

/* The event of a step taken; the rule's first step gives later ones their "about". */
GF_INLINE struct gf_event *gf_rule_acted(struct gf_tick *t, uint32_t rule, uint32_t step, uint32_t row)
{
	struct gf_rule_state *rs = &t->c.st->rule[rule];
	struct gf_event *ev = gf_event_new(t, GF_EV_ACTION, rule);

	ev->step = (uint8_t)step;
	ev->observed = gf_rule_observes(t, rule);
	if (step == 0)
		rs->action = ev->seq;
	else
		ev->about = rs->action;
	if (row != GF_NONE)
		gf_event_victim(t->c.s, ev, row);
	gf_event_evidence(t, ev, rule, step, row);
	rs->last_ns = t->c.now;
	return ev;
}

/* A step on the victims of the one before. 0: none of them is there. */
GF_INLINE int gf_step_same(struct gf_tick *t, uint32_t rule, uint32_t step)
{
	struct gf_state *st = t->c.st;
	struct gf_rule_state *rs = &st->rule[rule];
	const struct gf_victim *v = st->victim[rule];
	const struct gf_step *sp = &t->c.step[t->c.rule[rule].step];
	uint32_t n = 0, last = 0, first = GF_NONE, from = step;
	struct gf_event *ev;

	for (uint32_t k = 0; k < rs->victims; k++) {
		if (!gf_guard_same(t->c.s, v[k].row, v[k].gen))
			continue;
		if (first == GF_NONE)
			first = v[k].row;
		last = k;
		n++;
	}
	if (!n)
		return 0;
	while (from && !gf_step_selects(&sp[from]))
		from--;
	ev = gf_rule_acted(t, rule, step, first);
	ev->chosen = ev->members = n;
	for (uint32_t k = 0; k < rs->victims; k++) {
		uint8_t flags = (uint8_t)((v[k].row == first ? GF_VERDICT_LEAD : 0) | (k == last ? GF_VERDICT_LAST : 0));
		if (gf_guard_same(t->c.s, v[k].row, v[k].gen))
			gf_verdict_put(t, ev, rule, step, sp[from].group, v[k].row, flags);
	}
	return 1;
}

/* A step with a selector of its own. 0: nothing could be chosen. */
GF_INLINE int gf_step_select(struct gf_tick *t, uint32_t rule, uint32_t step, uint32_t max)
{
	struct gf_state *st = t->c.st;
	struct gf_rule_state *rs = &st->rule[rule];
	const struct gf_step *sp = &t->c.step[t->c.rule[rule].step + step];
	int claims = gf_rule_claims(t, rule);
	struct gf_choice ch;
	struct gf_event *ev;
	uint32_t n;

	gf_select(t, rule, sp, GF_MIN(max, sp->n), &ch);
	rs->victims = 0;
	if (!ch.seeds) {
		if (rs->told & GF_TOLD_NO_VICTIM)
			return 0;
		rs->told |= GF_TOLD_NO_VICTIM;
		ev = gf_event_new(t, GF_EV_NO_VICTIM, rule);
		ev->step = (uint8_t)step;
		ev->observed = gf_rule_observes(t, rule);
		gf_event_ranks(t, ev, sp->pick, &ch);
		gf_event_evidence(t, ev, rule, step, GF_NONE);
		return 0;
	}
	n = gf_select_members(t, rule, sp, ch.seeds);
	ev = gf_rule_acted(t, rule, step, st->pick[0]);
	gf_event_ranks(t, ev, sp->pick, &ch);
	ev->members = n;
	for (uint32_t k = 0; k < n; k++) {
		uint32_t row = st->member[k].row;
		st->victim[rule][k] = st->member[k];
		if (claims) {
			st->condemned[row] = rule + 1;
			st->condemned_tick[row] = st->tick;
		}
		gf_verdict_put(t, ev, rule, step, sp->group, row,
			       (uint8_t)((k == 0 ? GF_VERDICT_LEAD : 0) | (k + 1 == n ? GF_VERDICT_LAST : 0)));
	}
	rs->victims = n;
	gf_rule_count(t, rule, sp, ch.seeds);
	return 1;
}

/* A step to no task. */
GF_INLINE void gf_step_none(struct gf_tick *t, uint32_t rule, uint32_t step, uint32_t row)
{
	const struct gf_step *sp = &t->c.step[t->c.rule[rule].step + step];
	struct gf_event *ev = gf_rule_acted(t, rule, step, row);

	gf_verdict_put(t, ev, rule, step, GF_GROUP_ONE, GF_NONE, GF_VERDICT_LEAD | GF_VERDICT_LAST);
	if (step == 0 || !gf_action_harmless(sp->action))
		gf_rule_count(t, rule, sp, 1);
}

/* How many actions the step may be now; 0 and an event when none. */
GF_INLINE uint32_t gf_step_allowed(struct gf_tick *t, uint32_t rule, const struct gf_step *step)
{
	uint32_t n = gf_limit_left(t, rule), b;

	if (!n) {
		gf_rule_held_back(t, rule, GF_HB_LIMIT);
		return 0;
	}
	if (!gf_step_budgeted(t, rule, step))
		return n;
	b = gf_budget_left(t);
	if (!b)
		gf_rule_held_back(t, rule, GF_HB_BUDGET);
	return GF_MIN(n, b);
}

/* The first row for which the condition holds, GF_NONE for host rules. */
GF_INLINE uint32_t gf_rule_first(const struct gf_tick *t, uint32_t rule)
{
	if (!(t->c.rule[rule].flags & GF_RULE_TASK) || t->c.st->rule[rule].truth != GF_TRUE)
		return GF_NONE;
	for (uint32_t i = 0; i < t->c.s->rows; i++)
		if (t->c.st->cond[i] == GF_TRUE)
			return i;
	return GF_NONE;
}

/* One later step, due or overdue. */
GF_INLINE void gf_rule_later(struct gf_tick *t, uint32_t rule, uint32_t step)
{
	struct gf_state *st = t->c.st;
	struct gf_rule_state *rs = &st->rule[rule];
	const struct gf_step *sp = &t->c.step[t->c.rule[rule].step + step];
	uint32_t max, row = GF_NONE;

	if (sp->pick == GF_PICK_SAME) {
		if (!gf_step_same(t, rule, step))
			gf_rule_skip(t, rule, step);
	} else if (sp->pick == GF_PICK_NONE) {
		if (!gf_action_harmless(sp->action) && !gf_step_allowed(t, rule, sp))
			return;
		/* What it tells is about the victim, where there still is one. */
		for (uint32_t k = 0; k < rs->victims && row == GF_NONE; k++)
			if (!gf_guard_gone(t->c.s, st->victim[rule][k].row, st->victim[rule][k].gen))
				row = st->victim[rule][k].row;
		gf_step_none(t, rule, step, row);
	} else if (rs->truth != GF_TRUE) {
		rs->victims = 0;
		gf_rule_skip(t, rule, step);
	} else {
		max = gf_step_allowed(t, rule, sp);
		if (max)
			gf_step_select(t, rule, step, max);
		else
			rs->victims = 0;
	}
}

/* Steps that are due; then on to settling. */
GF_INLINE void gf_rule_steps(struct gf_tick *t, uint32_t rule)
{
	const struct gf_rule *r = &t->c.rule[rule];
	struct gf_rule_state *rs = &t->c.st->rule[rule];
	const struct gf_step *sp = &t->c.step[r->step];

	while (rs->next_step < r->steps) {
		uint32_t k = rs->next_step;
		/* Nobody left to wait for: the next victim need not wait either. */
		if (t->c.now < rs->due_ns && !(sp[k].pick == GF_PICK_SAME && !rs->victims))
			return;
		rs->next_step = (uint8_t)(k + 1);
		gf_rule_later(t, rule, k);
		if (k + 1 < r->steps)
			rs->due_ns = t->c.now + sp[k + 1].after_ns;
	}
	rs->phase = GF_PHASE_SETTLE;
	rs->due_ns = rs->last_ns + r->settle_ns;
}

/* A true rule that is idle: takes its first step if it may. */
GF_INLINE void gf_rule_fire(struct gf_tick *t, uint32_t rule)
{
	const struct gf_rule *r = &t->c.rule[rule];
	struct gf_rule_state *rs = &t->c.st->rule[rule];
	const struct gf_step *sp = &t->c.step[r->step];
	uint32_t max;

	if (!r->steps)
		return;
	max = gf_step_allowed(t, rule, sp);
	if (!max)
		return;
	if (!gf_step_selects(sp))
		gf_step_none(t, rule, 0, gf_rule_first(t, rule));
	else if (!gf_step_select(t, rule, 0, max))
		return;
	rs->phase = GF_PHASE_STEPS;
	rs->next_step = 1;
	if (r->steps > 1)
		rs->due_ns = t->c.now + sp[1].after_ns;
	gf_rule_steps(t, rule);
}

/* Settling and cooling down come to their ends. */
GF_INLINE void gf_rule_rest(struct gf_tick *t, uint32_t rule)
{
	const struct gf_rule *r = &t->c.rule[rule];
	struct gf_rule_state *rs = &t->c.st->rule[rule];

	if (rs->phase == GF_PHASE_SETTLE &&
	    (t->c.now >= rs->due_ns || (!rs->victims && gf_rule_selects(t, rule)))) {
		rs->phase = GF_PHASE_COOLDOWN;
		rs->due_ns = rs->last_ns + r->cooldown_ns;
		rs->victims = 0;
	}
	if (rs->phase == GF_PHASE_COOLDOWN && t->c.now >= rs->due_ns) {
		rs->phase = GF_PHASE_IDLE;
		rs->due_ns = 0;
	}
}

/* Victims that are gone leave the list; the others are out of other rules' reach. */
GF_INLINE void gf_rule_follow(struct gf_tick *t, uint32_t rule)
{
	struct gf_state *st = t->c.st;
	struct gf_rule_state *rs = &st->rule[rule];
	struct gf_victim *v = st->victim[rule];
	uint32_t n = 0;
	int claims;

	if (!rs->victims)
		return;
	claims = gf_rule_claims(t, rule);
	for (uint32_t k = 0; k < rs->victims; k++) {
		if (gf_guard_gone(t->c.s, v[k].row, v[k].gen))
			continue;
		if (claims) {
			st->condemned[v[k].row] = rule + 1;
			st->condemned_tick[v[k].row] = st->tick;
		}
		v[n++] = v[k];
	}
	rs->victims = n;
}

/* Gate and condition. Sets truth, true_rows, and for task rules st->cond. */
GF_INLINE void gf_rule_truth(struct gf_tick *t, uint32_t rule)
{
	const struct gf_rule *r = &t->c.rule[rule];
	struct gf_state *st = t->c.st;
	struct gf_rule_state *rs = &st->rule[rule];
	uint32_t up = gf_rows_up(t->c.s), trues = 0;
	struct gf_result res;
	uint8_t top = GF_FALSE;

	rs->true_rows = 0;
	if (r->gate != GF_NONE) {
		gf_run_one(&t->c, r->gate, 0, t->regs, &res);
		if (res.p[0] != GF_TRUE) {
			rs->truth = res.p[0];
			for (uint32_t k = st->rule_hold_at[rule]; k < st->rule_hold_at[rule + 1]; k++) {
				struct gf_hold_state *hs = &st->hold[st->rule_hold[k]];
				if (rs->truth == GF_FALSE)
					gf_hold_born(hs, st, t->c.now);
				gf_hold_reset(&t->c.hold[st->rule_hold[k]], hs, st->rows_seen);
			}
			return;
		}
	}
	if (!(r->flags & GF_RULE_TASK)) {
		gf_run_one(&t->c, r->cond, 0, t->regs, &res);
		rs->truth = res.p[0];
		rs->true_rows = rs->truth == GF_TRUE;
		return;
	}
	for (uint32_t base = 0; base < up; base += GF_WIDTH) {
		const uint8_t *lo = st->lo + base, *hi = st->hi + base;
		uint8_t *cond = st->cond + base;
		GF_RUN_CHUNK(&t->c, r->cond, base, t->regs, &res);
		GF_IVDEP
		for (uint32_t i = 0; i < GF_WIDTH; i++) {
			uint8_t x = GF_MIN(hi[i], res.p[i]);
			cond[i] = GF_MAX(lo[i], x);
		}
		for (uint32_t i = 0; i < GF_WIDTH; i++) {
			trues += cond[i] == GF_TRUE;
			top = GF_MAX(top, cond[i]);
		}
	}
	rs->truth = top;
	rs->true_rows = trues;
}

/* Says when a rule becomes true and when it stops. Unknown does neither. */
GF_INLINE void gf_rule_edge(struct gf_tick *t, uint32_t rule)
{
	struct gf_rule_state *rs = &t->c.st->rule[rule];
	struct gf_event *ev;
	uint32_t row;

	if (rs->truth == GF_TRUE && !rs->was_true) {
		rs->was_true = 1;
		rs->told = 0;
		row = gf_rule_first(t, rule);
		ev = gf_event_new(t, GF_EV_RULE_ON, rule);
		ev->candidates = rs->true_rows;
		if (row != GF_NONE)
			gf_event_victim(t->c.s, ev, row);
		ev->terms = (uint8_t)gf_explain_terms(t, rule, row, ev->term);
		ev->observed = gf_rule_observes(t, rule);
	} else if (rs->truth == GF_FALSE && rs->was_true) {
		rs->was_true = 0;
		ev = gf_event_new(t, GF_EV_RULE_OFF, rule);
		ev->observed = gf_rule_observes(t, rule);
	}
}

/* One rule's part of a tick. */
GF_INLINE void gf_rule_run(struct gf_tick *t, uint32_t rule)
{
	struct gf_rule_state *rs = &t->c.st->rule[rule];

	gf_rule_truth(t, rule);
	gf_rule_edge(t, rule);
	if (rs->phase == GF_PHASE_STEPS)
		gf_rule_steps(t, rule);
	else if (rs->phase != GF_PHASE_IDLE)
		gf_rule_rest(t, rule);
	if (rs->truth != GF_TRUE)
		return;
	if (rs->phase == GF_PHASE_IDLE)
		gf_rule_fire(t, rule);
	else if (rs->phase == GF_PHASE_SETTLE && rs->last_ns != t->c.now)
		gf_rule_held_back(t, rule, GF_HB_SETTLE);
	else if (rs->phase == GF_PHASE_COOLDOWN)
		gf_rule_held_back(t, rule, GF_HB_COOLDOWN);
}

#endif
