/* SPDX-License-Identifier: MIT
 *
 * What is told of an event, and what is done to a step's victims: one after the other where there is one lane. Where there are several
 * the leader fills in what orders things (numbers, kind, rule, step, who), and lanes take a term, a piece of a template, one who was looked at, a
 * victim each: every one of these waits for several loads of its own.
 *
 * When lanes fill in is no matter, as long as nothing of what they read has changed since. Programs that explain advance nothing (the verifier sees to
 * that). They read the sample, columns, aggregates, histories and automata, which stand still once rules are looked at; and holds, which rules'
 * conditions advance: before the first rule is looked at, or where what a rule reads depends on the rules before it (gf_work.serial), one after the
 * other, and then each rule's events are filled in before the next is looked at. Who was looked at, why and by which key is of the last selection: such
 * events are filled in before the next. Victims are marked at once, by the call that follows their choice.
 * Of gpu/report.h, which includes this.
 */
#ifndef GPUFAS_TELL_H
#define GPUFAS_TELL_H

/* The pieces of a step's template, or where it has none, the rule's; returns how many. */
GF_INLINE uint32_t gf_event_pieces(const struct gf_tick *t, uint32_t rule, uint32_t step, uint32_t *ret_first)
{
	const struct gf_rule *r = &t->c.rule[rule];
	const struct gf_step *sp = &t->c.step[r->step + step];
	uint32_t n = r->notes, at = r->note, own = sp->notes, own_at = sp->note;

	*ret_first = own ? own_at : at;
	return GF_MIN(own ? own : n, GF_EVENT_NOTES);
}

/* A step's k-th victim, chosen just now. */
GF_INLINE void gf_deed_member(struct gf_tick *t, const struct gf_deed *d, uint32_t k)
{
	struct gf_state *st = t->c.st;
	const struct gf_victim v = st->member[k];

	st->victim[d->rule][k] = v;
	if (d->claims) {
		st->condemned[v.row] = d->rule + 1;
		st->condemned_tick[v.row] = st->tick;
	}
	gf_verdict_fill(t, &t->out->verdicts[d->at + k], d, v.row,
			(uint8_t)((k == 0 ? GF_VERDICT_LEAD : 0) | (k + 1 == d->members ? GF_VERDICT_LAST : 0)));
}

#if GF_TEAM
/* One thing of an event. */
GF_INLINE void gf_tell_item(struct gf_tick *t, const struct gf_tell *x, uint32_t k)
{
	struct gf_event *ev = x->ev;
	uint32_t row = x->row, terms = x->terms, notes = x->notes, ranks = x->ranks;

	if (k < terms) {
		gf_explain_term(t, x->term + k, row, &ev->term[k]);
	} else if (k - terms < notes) {
		ev->note[k - terms] = gf_event_note(t, x->note + k - terms, row);
	} else if (k - terms - notes < ranks) {
		k -= terms + notes;
		gf_event_rank_put(t, &ev->u.rank[k], x->rank[k], x->pick, x->last);
	} else if (k == terms + notes + ranks) {
		if (row != GF_NONE)
			gf_event_victim(t->c.s, ev, row);
	} else if (notes) {
		gf_event_text(t, ev->text, x->note, notes, row);
	}
}

GF_INLINE uint32_t gf_tell_items(const struct gf_tell *x)
{
	return (uint32_t)x->terms + x->notes + x->ranks + 2u;
}

/* a: things of events in all, b: victims. */
GF_JOB_BODY gf_job_tell(struct gf_tick *t, uint32_t a, uint32_t b, uint32_t c, uint32_t lane, uint32_t lanes)
{
	const struct gf_work *w = &t->c.st->work;
	uint32_t by;

	(void)c;
	for (uint32_t k = gf_team_spread(lane, lanes, a, &by); k < a; k += by) {
		const struct gf_tell *x = w->tell;
		uint32_t i = k;

		for (; i >= gf_tell_items(x); x++)
			i -= gf_tell_items(x);
		gf_tell_item(t, x, i);
	}
	/* Others than those. */
	for (uint32_t k = lanes - 1 - lane; k < b; k += lanes)
		gf_deed_member(t, &w->deed, k);
}

/* All that is waiting, and a step's victims. */
static GF_HD __attribute__((noinline, unused)) void gf_tell_all(struct gf_tick *t, uint32_t members)
{
	struct gf_work *w = &t->c.st->work;
	uint32_t items = 0;

	for (uint32_t i = 0; i < w->tells; i++)
		items += gf_tell_items(&w->tell[i]);
	if (items || members)
		gf_team_call(t->team, GF_JOB_TELL, items, members, 0);
	w->tells = w->tells_ranks = 0;
}

/* Before the next selection, which would change what these read. */
GF_INLINE void gf_tell_ranks(struct gf_tick *t)
{
	if (t->c.st->work.tells_ranks)
		gf_tell_all(t, 0);
}
#define GF_TELL_ALL(t) gf_tell_all((t), 0)
#else
#define GF_TELL_ALL(t) ((void)(t))
#endif

/* An event's victim, if there is one, the terms as they are for it, and a template of n pieces. */
GF_SELDOM void gf_event_tell(struct gf_tick *t, struct gf_event *ev, uint32_t row, uint32_t first, uint32_t n)
{
	const struct gf_rule *r = &t->c.rule[ev->rule];
	uint32_t terms = GF_MIN(r->terms, GF_EVENT_TERMS), term = r->term;

	ev->terms = (uint8_t)terms;
	ev->notes = (uint8_t)n;
#if GF_TEAM
	struct gf_work *w = &t->c.st->work;
	struct gf_tell *x;

	if (gf_event_lost(t, ev))
		return;
	if (w->tells == GF_TELLS)
		gf_tell_all(t, 0);
	x = &w->tell[w->tells++];
	x->ev = ev;
	x->row = row;
	x->term = term;
	x->note = first;
	x->terms = (uint8_t)terms;
	x->notes = (uint8_t)n;
	x->ranks = 0;
#else
	if (row != GF_NONE)
		gf_event_victim(t->c.s, ev, row);
	for (uint32_t i = 0; i < terms; i++)
		gf_explain_term(t, term + i, row, &ev->term[i]);
	for (uint32_t i = 0; i < n; i++)
		ev->note[i] = gf_event_note(t, first + i, row);
	gf_event_text(t, ev->text, first, n, row);
#endif
}

/* Who was looked at: of the event of which something has just been told. */
GF_SELDOM void gf_event_ranks(struct gf_tick *t, struct gf_event *ev, uint8_t pick, const struct gf_choice *ch)
{
	uint32_t top[GF_EVENT_RANKS], n = gf_event_top(t, pick, ch, top), last = ch->seeds ? t->c.st->pick[ch->seeds - 1] : GF_NONE;

	ev->ranks = (uint8_t)n;
	ev->candidates = ch->candidates;
	ev->never = ch->never;
	ev->protect = ch->protect;
	ev->where = ch->where;
	ev->condemned = ch->condemned;
	ev->chosen = ch->seeds;
#if GF_TEAM
	struct gf_work *w = &t->c.st->work;
	struct gf_tell *x;

	if (gf_event_lost(t, ev))
		return;
	x = &w->tell[w->tells - 1];
	x->ranks = (uint8_t)n;
	x->pick = pick;
	x->last = last;
	for (uint32_t k = 0; k < n; k++)
		x->rank[k] = top[k];
	w->tells_ranks++;
#else
	for (uint32_t k = 0; k < n; k++)
		gf_event_rank_put(t, &ev->u.rank[k], top[k], pick, last);
#endif
}

/* Verdicts on all of a step's victims, for whom there is room. */
GF_INLINE void gf_deed_do(struct gf_tick *t, struct gf_deed *d, uint32_t members)
{
	d->members = members;
	d->at = t->out->verdicts_n;
	t->out->verdicts_n += members;
#if GF_TEAM
	t->c.st->work.deed = *d;
	gf_tell_all(t, members);
#else
	for (uint32_t k = 0; k < members; k++)
		gf_deed_member(t, d, k);
#endif
}

#endif
