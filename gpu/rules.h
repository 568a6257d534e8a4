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

#include "gpu/steps.h"

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
		gf_event_tell(t, ev, row, 0, 0);
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

/* What gf_rule_go() looks at first. */
GF_INLINE void gf_rule_touch(const struct gf_tick *t, uint32_t rule)
{
	const struct gf_rule_state *rs = &t->c.st->rule[rule];

	gf_touched(gf_touch(&t->c.rule[rule], sizeof(struct gf_rule)) ^ gf_touch(rs, offsetof(struct gf_rule_state, acted)) ^
		   gf_touch(&rs->acted_head, sizeof *rs - offsetof(struct gf_rule_state, acted_head)) ^ gf_touch(&t->c.st->budget_at, 16) ^ gf_touch(t->in, sizeof *t->in));
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
			gf_rule_touch(t, k);
			if (w->serial)
				gf_rule_truth(t, k);
			else
				st->rule[k].truth = (uint8_t)w->top[k];
			gf_rule_go(t, k);
			if (w->serial)
				GF_TELL_ALL(t);
		}
		w->want[at / 32] = 0;
	}
	GF_TELL_ALL(t);
}
#endif

#endif
