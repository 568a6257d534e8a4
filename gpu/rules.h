/* SPDX-License-Identifier: MIT
 *
 * What a rule does over time: idle, its steps, settling, cooling down.
 *
 *   idle ──true, allowed, victims found──► steps ──last step──► settle ──► cooldown ──► idle
 *
 * - Steps go on when the condition has become false: who sent SIGTERM means the
 *   SIGKILL for those that ignored it, and a SIGSTOP must be followed by its
 *   SIGCONT. Only a later step that selects anew wants the condition still true, and a
 *   reset: a machine that has come round must not be reset for what it was.
 * - An action is one seed (a group counts as one); a step without a victim that is
 *   not merely log or notify is one action too. Later steps on the same victims
 *   are part of it. `limit` and the budget count actions; the budget leaves out
 *   log and notify, and rules that only observe.
 * - Observed, everything runs as if acted; since nothing dies, settle ends by time.
 * - A step that lets go of its victims (SIGCONT, thaw, restore) is taken also while samples
 *   fail, when observing has begun since, and when the rule or the engine ends.
 */
#ifndef GPUFAS_RULES_H
#define GPUFAS_RULES_H

#include "gpu/allow.h"

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

GF_SELDOM void gf_rule_skip(struct gf_tick *t, uint32_t rule, uint32_t step)
{
	struct gf_event *ev = gf_rule_tell(t, GF_EV_SKIPPED, rule);

	if (!ev)
		return;
	ev->step = (uint8_t)step;
	ev->about = t->c.st->rule[rule].action;
	ev->observed = gf_step_observes(t, rule, step);
}

/* The event of a step taken; the rule's first step gives later ones their "about". */
GF_SELDOM struct gf_event *gf_rule_acted(struct gf_tick *t, uint32_t rule, uint32_t step, uint32_t row)
{
	struct gf_rule_state *rs = &t->c.st->rule[rule];
	struct gf_event *ev = gf_event_new(t, GF_EV_ACTION, rule);

	ev->step = (uint8_t)step;
	ev->observed = gf_step_observes(t, rule, step);
	if (step == 0) {
		rs->action = ev->seq;
		rs->observed = ev->observed;
	} else {
		ev->about = rs->action;
	}
	if (row != GF_NONE)
		gf_event_victim(t->c.s, ev, row);
	gf_event_evidence(t, ev, rule, step, row);
	rs->last_ns = t->c.now;
	return ev;
}

/* What became of a step. */
enum gf_step_done { GF_STEP_NONE, GF_STEP_TAKEN, GF_STEP_WAIT };

/* 1 when a step on the victims of the one before may reach this one. */
GF_INLINE int gf_step_reaches(const struct gf_sample *s, const struct gf_step *step, const struct gf_victim *v)
{
	return gf_step_lets_go(step) ? gf_guard_same_letgo(s, v->row, v->gen) : gf_guard_same(s, v->row, v->gen);
}

/* A step on the victims of the one before. NONE: none of them is there. WAIT: some
 * could not be read in this tick (for at most the rule's settle time), or there is
 * no room. */
GF_SELDOM enum gf_step_done gf_step_same(struct gf_tick *t, uint32_t rule, uint32_t step)
{
	struct gf_state *st = t->c.st;
	struct gf_rule_state *rs = &st->rule[rule];
	const struct gf_victim *v = st->victim[rule];
	const struct gf_rule *r = &t->c.rule[rule];
	const struct gf_step *sp = &t->c.step[r->step];
	uint32_t n = 0, last = 0, first = GF_NONE, from = step, torn = 0;
	struct gf_event *ev;

	for (uint32_t k = 0; k < rs->victims; k++) {
		if (!gf_step_reaches(t->c.s, &sp[step], &v[k])) {
			torn += (uint32_t)gf_guard_same_letgo(t->c.s, v[k].row, v[k].gen);
			continue;
		}
		if (first == GF_NONE)
			first = k;
		last = k;
		n++;
	}
	if (torn && t->c.now < rs->due_ns + r->settle_ns)
		return GF_STEP_WAIT;
	if (!n)
		return GF_STEP_NONE;
	if (n > gf_verdict_room(t)) {
		gf_rule_held_back(t, rule, GF_HB_BUSY);
		return GF_STEP_WAIT;
	}
	while (from && !gf_step_selects(&sp[from]))
		from--;
	ev = gf_rule_acted(t, rule, step, v[first].row);
	ev->chosen = ev->members = n;
	for (uint32_t k = first; k <= last; k++) {
		uint8_t flags = (uint8_t)((k == first ? GF_VERDICT_LEAD : 0) | (k == last ? GF_VERDICT_LAST : 0));
		if (gf_step_reaches(t->c.s, &sp[step], &v[k]))
			gf_verdict_put(t, ev, rule, step, sp[from].group, v[k].row, flags);
	}
	return GF_STEP_TAKEN;
}

/* Nothing to choose: says so, and who was passed over. */
GF_SELDOM void gf_rule_no_victim(struct gf_tick *t, uint32_t rule, uint32_t step, const struct gf_choice *ch)
{
	struct gf_rule_state *rs = &t->c.st->rule[rule];
	struct gf_event *ev;

	if (rs->told & GF_TOLD_NO_VICTIM)
		return;
	rs->told |= GF_TOLD_NO_VICTIM;
	ev = gf_rule_tell(t, GF_EV_NO_VICTIM, rule);
	if (!ev)
		return;
	ev->step = (uint8_t)step;
	gf_event_ranks(t, ev, t->c.step[t->c.rule[rule].step + step].pick, ch);
	gf_event_evidence(t, ev, rule, step, GF_NONE);
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

#if GF_TEAM
/* A rule's truth row by row into st->cond, and the first row of which it is true. For a second time in a tick: holds and
 * latches that the condition advances stay as they are, since what they are given is the same. a: rule. */
GF_JOB_BODY gf_job_cond(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	struct gf_state *st = t->c.st;

	(void)b;
	(void)c;
	for (uint32_t row = lane; row < gf_rows_up(t->c.s); row += lanes) {
		st->cond[row] = gf_rule_row(t, a, row);
		if (st->cond[row] == GF_TRUE)
			gf_team_max(&st->work.first, ~row);
	}
}
#endif

/* With one lane it is there, since rules are taken one after the other. With several they were looked at together. */
GF_INLINE void gf_rule_cond(struct gf_tick *t, uint32_t rule)
{
#if GF_TEAM
	struct gf_work *w = &t->c.st->work;

	if (!(t->c.rule[rule].flags & GF_RULE_TASK) || (w->cond_rule == rule + 1 && w->cond_tick == t->c.st->tick))
		return;
	w->first = 0;
	gf_team_call(t->team, GF_JOB_COND, rule, 0, 0);
	w->cond_rule = rule + 1;
	w->cond_tick = t->c.st->tick;
#else
	(void)t;
	(void)rule;
#endif
}

/* A step with a selector of its own. NONE: nothing could be chosen. WAIT: there is
 * no room for the verdicts. */
GF_SELDOM enum gf_step_done gf_step_select(struct gf_tick *t, uint32_t rule, uint32_t step, uint32_t max)
{
	struct gf_state *st = t->c.st;
	struct gf_rule_state *rs = &st->rule[rule];
	const struct gf_step *sp = &t->c.step[t->c.rule[rule].step + step];
	int claims = gf_rule_claims(t, rule);
	struct gf_members m;
	struct gf_choice ch;
	struct gf_event *ev;

	gf_rule_cond(t, rule);
	gf_select(t, rule, sp, GF_MIN(max, sp->n), &ch);
	if (!ch.seeds) {
		rs->victims = 0;
		gf_rule_no_victim(t, rule, step, &ch);
		return GF_STEP_NONE;
	}
	m = gf_select_members(t, rule, sp, ch.seeds);
	if (m.n > gf_verdict_room(t)) {
		gf_rule_held_back(t, rule, GF_HB_BUSY);
		return GF_STEP_WAIT;
	}
	ev = gf_rule_acted(t, rule, step, st->pick[0]);
	gf_event_ranks(t, ev, sp->pick, &ch);
	ev->members = m.n;
	ev->count = m.left;
	for (uint32_t k = 0; k < m.n; k++) {
		uint32_t row = st->member[k].row;
		st->victim[rule][k] = st->member[k];
		if (claims) {
			st->condemned[row] = rule + 1;
			st->condemned_tick[row] = st->tick;
		}
		gf_verdict_put(t, ev, rule, step, sp->group, row,
			       (uint8_t)((k == 0 ? GF_VERDICT_LEAD : 0) | (k + 1 == m.n ? GF_VERDICT_LAST : 0)));
	}
	rs->victims = m.n;
	gf_rule_count(t, rule, sp, ch.seeds);
	return GF_STEP_TAKEN;
}

/* A step to no task. */
GF_SELDOM enum gf_step_done gf_step_none(struct gf_tick *t, uint32_t rule, uint32_t step, uint32_t row)
{
	const struct gf_step *sp = &t->c.step[t->c.rule[rule].step + step];
	struct gf_event *ev;

	if (!gf_verdict_room(t)) {
		gf_rule_held_back(t, rule, GF_HB_BUSY);
		return GF_STEP_WAIT;
	}
	ev = gf_rule_acted(t, rule, step, row);
	gf_verdict_put(t, ev, rule, step, GF_GROUP_ONE, GF_NONE, GF_VERDICT_LEAD | GF_VERDICT_LAST);
	if (step == 0 || !gf_action_harmless(sp->action))
		gf_rule_count(t, rule, sp, 1);
	return GF_STEP_TAKEN;
}

/* How many actions the step may be now; 0 and an event when none. */
GF_SELDOM uint32_t gf_step_allowed(struct gf_tick *t, uint32_t rule, const struct gf_step *step)
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
GF_SELDOM uint32_t gf_rule_first(struct gf_tick *t, uint32_t rule)
{
	if (!(t->c.rule[rule].flags & GF_RULE_TASK) || t->c.st->rule[rule].truth != GF_TRUE)
		return GF_NONE;
#if GF_TEAM
	gf_rule_cond(t, rule);
	return ~t->c.st->work.first;
#else
	for (uint32_t i = 0; i < t->c.s->rows; i++)
		if (t->c.st->cond[i] == GF_TRUE)
			return i;
	return GF_NONE;
#endif
}

/* One later step, due or overdue. WAIT: not yet, nothing was done. */
GF_SELDOM enum gf_step_done gf_rule_later(struct gf_tick *t, uint32_t rule, uint32_t step)
{
	struct gf_state *st = t->c.st;
	struct gf_rule_state *rs = &st->rule[rule];
	const struct gf_step *sp = &t->c.step[t->c.rule[rule].step + step];
	enum gf_step_done done;
	uint32_t max, row = GF_NONE;

	if (sp->pick == GF_PICK_SAME) {
		done = gf_step_same(t, rule, step);
		if (done == GF_STEP_NONE)
			gf_rule_skip(t, rule, step);
		return done;
	}
	if (gf_action_last_resort(sp->action) && rs->truth != GF_TRUE) {
		gf_rule_skip(t, rule, step);
		return GF_STEP_NONE;
	}
	if (sp->pick == GF_PICK_NONE) {
		if (!gf_action_harmless(sp->action) && !gf_step_allowed(t, rule, sp))
			return GF_STEP_NONE;
		/* What it tells is about the victim, where there still is one. */
		for (uint32_t k = 0; k < rs->victims && row == GF_NONE; k++)
			if (!gf_guard_gone(t->c.s, st->victim[rule][k].row, st->victim[rule][k].gen))
				row = st->victim[rule][k].row;
		return gf_step_none(t, rule, step, row);
	}
	if (rs->truth != GF_TRUE) {
		rs->victims = 0;
		gf_rule_skip(t, rule, step);
		return GF_STEP_NONE;
	}
	max = gf_step_allowed(t, rule, sp);
	if (max)
		return gf_step_select(t, rule, step, max);
	rs->victims = 0;
	return GF_STEP_NONE;
}

/* Takes the next step; 0 when it has to wait. */
GF_SELDOM int gf_rule_advance(struct gf_tick *t, uint32_t rule)
{
	const struct gf_rule *r = &t->c.rule[rule];
	struct gf_rule_state *rs = &t->c.st->rule[rule];
	uint32_t k = rs->next_step;

	if (gf_rule_later(t, rule, k) == GF_STEP_WAIT)
		return 0;
	rs->next_step = (uint8_t)(k + 1);
	if (k + 1 < r->steps)
		rs->due_ns = t->c.now + t->c.step[r->step + k + 1].after_ns;
	return 1;
}

/* Steps that are due; then on to settling. */
GF_SELDOM void gf_rule_steps(struct gf_tick *t, uint32_t rule)
{
	const struct gf_rule *r = &t->c.rule[rule];
	struct gf_rule_state *rs = &t->c.st->rule[rule];
	const struct gf_step *sp = &t->c.step[r->step];

	while (rs->next_step < r->steps) {
		/* Nobody left to wait for: the next victim need not wait either. */
		if (t->c.now < rs->due_ns && !(sp[rs->next_step].pick == GF_PICK_SAME && !rs->victims))
			return;
		if (!gf_rule_advance(t, rule))
			return;
	}
	rs->phase = GF_PHASE_SETTLE;
	rs->due_ns = rs->last_ns + r->settle_ns;
}

/* While nothing can be seen no rule goes on, but for letting go of victims. */
GF_SELDOM void gf_rule_let_go(struct gf_tick *t, uint32_t rule)
{
	const struct gf_rule *r = &t->c.rule[rule];
	struct gf_rule_state *rs = &t->c.st->rule[rule];

	while (rs->phase == GF_PHASE_STEPS && rs->next_step < r->steps && rs->victims && t->c.now >= rs->due_ns &&
	       gf_step_lets_go(&t->c.step[r->step + rs->next_step]))
		if (!gf_rule_advance(t, rule))
			return;
}

/* A true rule that is idle: takes its first step if it may. */
GF_SELDOM void gf_rule_fire(struct gf_tick *t, uint32_t rule)
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
	if ((gf_step_selects(sp) ? gf_step_select(t, rule, 0, max)
				 : gf_step_none(t, rule, 0, gf_rule_first(t, rule))) != GF_STEP_TAKEN)
		return;
	rs->phase = GF_PHASE_STEPS;
	rs->next_step = 1;
	if (r->steps > 1)
		rs->due_ns = t->c.now + sp[1].after_ns;
	gf_rule_steps(t, rule);
}

/* Settling and cooling down come to their ends. */
GF_SELDOM void gf_rule_rest(struct gf_tick *t, uint32_t rule)
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
GF_SELDOM void gf_rule_follow(struct gf_tick *t, uint32_t rule)
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

GF_STATIC_ASSERT(GF_WIDTH < 256, "rows of a chunk are counted in a byte");
GF_STATIC_ASSERT(GF_ROW_BLOCK % GF_LANE_ROWS == 0, "a lane's rows are of one block");

/* Gate, and the condition of a host rule. Sets truth and true_rows. 1: a task rule whose condition is to be looked at. */
GF_SELDOM int gf_rule_gate(struct gf_tick *t, uint32_t rule)
{
	const struct gf_rule *r = &t->c.rule[rule];
	struct gf_state *st = t->c.st;
	struct gf_rule_state *rs = &st->rule[rule];
	struct gf_result res;

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
			return 0;
		}
	}
#if GF_TEAM
	if (!(r->flags & GF_RULE_TASK) || t->c.s->rows)
		for (uint32_t k = st->rule_hold_at[rule]; k < st->rule_hold_at[rule + 1]; k++)
			gf_hold_born(&st->hold[st->rule_hold[k]], st, t->c.now);
#endif
	if (r->flags & GF_RULE_TASK)
		return 1;
	gf_run_one(&t->c, r->cond, 0, t->regs, &res);
	rs->truth = res.p[0];
	rs->true_rows = rs->truth == GF_TRUE;
	return 0;
}

#if !GF_TEAM
/* Gate and condition. Sets truth, true_rows, and for task rules st->cond. */
GF_INLINE void gf_rule_truth(struct gf_tick *t, uint32_t rule)
{
	const struct gf_rule *r = &t->c.rule[rule];
	struct gf_state *st = t->c.st;
	struct gf_rule_state *rs = &st->rule[rule];
	uint32_t up = gf_rows_up(t->c.s), trues = 0;
	struct gf_result res;
	uint8_t top = GF_FALSE;

	if (!gf_rule_gate(t, rule))
		return;
	for (uint32_t base = 0; base < up; base += GF_WIDTH) {
		const uint8_t *lo = st->lo + base, *hi = st->hi + base;
		uint8_t *cond = st->cond + base, n = 0;
		const uint8_t *p;
		GF_RUN_CHUNK(&t->c, r->cond, base, t->regs, &res);
		p = res.p; /* a store of bytes could change res */
		GF_IVDEP
		for (uint32_t i = 0; i < GF_WIDTH; i++) {
			uint8_t x = GF_MIN(hi[i], p[i]);
			cond[i] = GF_MAX(lo[i], x);
		}
		for (uint32_t i = 0; i < GF_WIDTH; i++) {
			n = (uint8_t)(n + (cond[i] == GF_TRUE));
			top = GF_MAX(top, cond[i]);
		}
		trues += n;
	}
	rs->truth = top;
	rs->true_rows = trues;
}

#else
/* 1 when there may be something to say or to do about a rule although it is not true. */
GF_INLINE uint8_t gf_rule_busy(const struct gf_rule_state *rs)
{
	return rs->phase != GF_PHASE_IDLE || rs->was_true || rs->unsaid || rs->victims;
}

/* A rule's gate and what can be known of it before its rows are looked at. */
GF_INLINE int gf_rule_open(struct gf_tick *t, uint32_t rule)
{
	struct gf_work *w = &t->c.st->work;
	struct gf_rule_state *rs = &t->c.st->rule[rule];
	int open = gf_rule_gate(t, rule);

	if (open)
		rs->truth = GF_FALSE;
	w->top[rule] = rs->truth;
	if (rs->truth == GF_TRUE || gf_rule_busy(rs))
		gf_team_mark(w->want, rule);
	return open;
}

/* All rules. */
GF_JOB_BODY gf_job_gates(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	struct gf_work *w = &t->c.st->work;
	uint32_t rules = t->c.img->sec[GF_SEC_RULE].count, by;

	GF_UNUSED3(a, b, c);
	for (uint32_t k = gf_team_spread(lane, lanes, rules, &by); k < rules; k += by)
		if (gf_rule_open(t, k))
			w->open[gf_team_add(&w->open_n, 1)] = k;
}

/* Conditions of all task rules that are open, row by row. a: leave them in st->cond (of one rule). */
GF_JOB_BODY gf_job_truths(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	struct gf_state *st = t->c.st;
	struct gf_work *w = &st->work;
	uint32_t parts = gf_rows_up(t->c.s) / GF_LANE_ROWS, n = w->open_n, k = lane / parts, part = lane % parts;
	const uint8_t *los = st->lo, *his = st->hi;
	struct gf_result res;
	struct gf_regs r;

	(void)b;
	(void)c;
	while (k < n) {
		uint32_t rule = w->open[k], row = part * GF_LANE_ROWS, trues = 0, first = 0;
		uint32_t lo = *(const gf_u32_any *)(const void *)(los + row), hi = *(const gf_u32_any *)(const void *)(his + row);
		uint8_t top = GF_FALSE;

		/* Not as a function of its own, which would save and restore registers for each, and hand back numbers that nobody wants here. */
		gf_interp(&t->c, t->c.rule[rule].cond, row, GF_LANE_ROWS, &r, &res);
		GF_UNROLL
		for (uint32_t i = GF_LANE_ROWS; i-- > 0;) {
			uint8_t x = (uint8_t)GF_MIN(hi >> 8 * i & 255, res.p[i]);
			x = (uint8_t)GF_MAX(lo >> 8 * i & 255, x);
			if (a)
				st->cond[row + i] = x;
			first = x == GF_TRUE ? row + i : first;
			trues += x == GF_TRUE;
			top = GF_MAX(top, x);
		}
		if (trues) {
			gf_team_add(&st->rule[rule].true_rows, trues);
			if (a)
				gf_team_max(&w->first, ~first);
		}
		if (top) {
			gf_team_max(&w->top[rule], top);
			gf_team_mark(w->want, rule);
		}
		part += lanes % parts;
		k += lanes / parts;
		if (part >= parts) {
			part -= parts;
			k++;
		}
	}
}

/* One rule, after those before it: gf_work.serial. */
GF_INLINE void gf_rule_truth(struct gf_tick *t, uint32_t rule)
{
	struct gf_work *w = &t->c.st->work;

	if (gf_rule_open(t, rule)) {
		w->open[0] = rule;
		w->open_n = 1;
		w->first = 0;
		if (t->c.s->rows)
			gf_team_call(t->team, GF_JOB_TRUTHS, 1, 0, 0);
		w->cond_rule = rule + 1;
		w->cond_tick = t->c.st->tick;
	}
	t->c.st->rule[rule].truth = (uint8_t)w->top[rule];
}
#endif

/* Says when a rule becomes true and when it stops. Unknown does neither. */
GF_SELDOM void gf_rule_edge(struct gf_tick *t, uint32_t rule)
{
	struct gf_rule_state *rs = &t->c.st->rule[rule];
	struct gf_event *ev;
	uint32_t row;

	if (rs->truth == GF_TRUE && !rs->was_true) {
		rs->was_true = 1;
		rs->told = 0;
		ev = gf_rule_tell(t, GF_EV_RULE_ON, rule);
		if (!ev)
			return;
		row = gf_rule_first(t, rule);
		ev->candidates = rs->true_rows;
		if (row != GF_NONE)
			gf_event_victim(t->c.s, ev, row);
		ev->terms = (uint8_t)gf_explain_terms(t, rule, row, ev->term);
	} else if (rs->truth == GF_FALSE && rs->was_true) {
		rs->was_true = 0;
		gf_rule_tell(t, GF_EV_RULE_OFF, rule);
	} else if (rs->unsaid && t->c.now - rs->tell_ns >= GF_TELL_NS) {
		/* Something was left unsaid and nothing came after it: how it stands now. */
		gf_rule_tell(t, rs->was_true ? GF_EV_RULE_ON : GF_EV_RULE_OFF, rule);
	}
}

/* A rule's part of a tick, its truth being known. */
GF_SELDOM void gf_rule_go(struct gf_tick *t, uint32_t rule)
{
	struct gf_rule_state *rs = &t->c.st->rule[rule];

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

#if !GF_TEAM
GF_INLINE void gf_rules_run(struct gf_tick *t)
{
	uint32_t rules = t->c.img->sec[GF_SEC_RULE].count;

	for (uint32_t k = 0; k < rules; k++)
		gf_rule_follow(t, k);
	for (uint32_t k = 0; k < rules; k++) {
		gf_rule_truth(t, k);
		gf_rule_go(t, k);
	}
}
#else
/* Of rules [at, at + 32) those that the leader looks at: a load for all of them. */
GF_INLINE uint32_t gf_rules_want(const struct gf_work *w, uint32_t at, uint32_t rules)
{
	if (!w->serial)
		return w->want[at / 32];
	return rules - at < 32 ? (1u << (rules - at)) - 1 : ~0u;
}

/* All truths together, and then, in order, those rules of which there may be something to say. For the others
 * gf_rule_go() would do nothing. */
static GF_HD __attribute__((noinline, unused)) void gf_rules_run(struct gf_tick *t)
{
	struct gf_state *st = t->c.st;
	struct gf_work *w = &st->work;
	uint32_t rules = t->c.img->sec[GF_SEC_RULE].count;

	if (!w->serial && rules) {
		w->open_n = 0;
		gf_team_call(t->team, GF_JOB_GATES, 0, 0, 0);
		if (w->open_n && t->c.s->rows)
			gf_team_call(t->team, GF_JOB_TRUTHS, 0, 0, 0);
	}
	for (uint32_t at = 0; at < rules; at += 32)
		for (uint32_t bits = gf_rules_want(w, at, rules); bits; bits &= bits - 1)
			gf_rule_follow(t, at + gf_ctz64(bits));
	for (uint32_t at = 0; at < rules; at += 32) {
		for (uint32_t bits = gf_rules_want(w, at, rules); bits; bits &= bits - 1) {
			uint32_t k = at + gf_ctz64(bits);
			if (w->serial)
				gf_rule_truth(t, k);
			else
				st->rule[k].truth = (uint8_t)w->top[k];
			gf_rule_go(t, k);
		}
		w->want[at / 32] = 0;
	}
}
#endif

#endif
