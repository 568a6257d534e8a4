/* SPDX-License-Identifier: MIT
 *
 * What a rule's steps do: whom they reach, the victims that they choose, what is told of them.
 * Of gpu/rules.h, which includes this.
 */
#ifndef GPUFAS_STEPS_H
#define GPUFAS_STEPS_H

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
	uint32_t first, n;

	ev->step = (uint8_t)step;
	ev->observed = gf_step_observes(t, rule, step);
	if (step == 0) {
		rs->action = ev->seq;
		rs->observed = ev->observed;
	} else {
		ev->about = rs->action;
	}
	n = gf_event_pieces(t, rule, step, &first);
	gf_event_tell(t, ev, row, first, n);
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
	struct gf_deed d;

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
	d = gf_deed(ev, rule, step, sp[from].group, 0);
	for (uint32_t k = first; k <= last; k++) {
		uint8_t flags = (uint8_t)((k == first ? GF_VERDICT_LEAD : 0) | (k == last ? GF_VERDICT_LAST : 0));
		if (gf_step_reaches(t->c.s, &sp[step], &v[k]))
			gf_verdict_put(t, &d, v[k].row, flags);
	}
	return GF_STEP_TAKEN;
}

/* Nothing to choose: says so, and who was passed over. */
GF_SELDOM void gf_rule_no_victim(struct gf_tick *t, uint32_t rule, uint32_t step, const struct gf_choice *ch)
{
	struct gf_rule_state *rs = &t->c.st->rule[rule];
	struct gf_event *ev;
	uint32_t first, n;

	if (rs->told & GF_TOLD_NO_VICTIM)
		return;
	rs->told |= GF_TOLD_NO_VICTIM;
	ev = gf_rule_tell(t, GF_EV_NO_VICTIM, rule);
	if (!ev)
		return;
	ev->step = (uint8_t)step;
	n = gf_event_pieces(t, rule, step, &first);
	gf_event_tell(t, ev, GF_NONE, first, n);
	gf_event_ranks(t, ev, t->c.step[t->c.rule[rule].step + step].pick, ch);
}

#if GF_TEAM
/* a: rule. */
GF_JOB_BODY gf_job_cond(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	(void)b;
	(void)c;
	for (uint32_t row = lane; row < gf_rows_up(t->c.s); row += lanes)
		gf_cond_row(t, a, row);
}
#endif

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
	struct gf_deed d;

#if GF_TEAM
	gf_tell_ranks(t);
#endif
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
	d = gf_deed(ev, rule, step, sp->group, claims);
	gf_deed_do(t, &d, m.n);
	rs->victims = m.n;
	gf_rule_count(t, rule, sp, ch.seeds);
	return GF_STEP_TAKEN;
}

/* A step to no task. */
GF_SELDOM enum gf_step_done gf_step_none(struct gf_tick *t, uint32_t rule, uint32_t step, uint32_t row)
{
	const struct gf_step *sp = &t->c.step[t->c.rule[rule].step + step];
	struct gf_event *ev;
	struct gf_deed d;

	if (!gf_verdict_room(t)) {
		gf_rule_held_back(t, rule, GF_HB_BUSY);
		return GF_STEP_WAIT;
	}
	ev = gf_rule_acted(t, rule, step, row);
	d = gf_deed(ev, rule, step, GF_GROUP_ONE, 0);
	gf_verdict_put(t, &d, GF_NONE, GF_VERDICT_LEAD | GF_VERDICT_LAST);
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
	if (gf_cond_due(t, rule))
		gf_team_call(t->team, GF_JOB_COND, rule, 0, 0);
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

#endif
