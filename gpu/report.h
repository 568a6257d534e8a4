/* SPDX-License-Identifier: MIT
 *
 * Events with their evidence: terms, runners-up, values for notify templates.
 */
#ifndef GPUFAS_REPORT_H
#define GPUFAS_REPORT_H

#include "gpu/select.h"

/* A zeroed event; never NULL. Lost ones are counted. A quarter of the room is for
 * actions alone: what was done is never left unexplained for news of less weight. */
GF_SELDOM struct gf_event *gf_event_new(struct gf_tick *t, uint8_t kind, uint32_t rule)
{
	struct gf_tick_out *out = t->out;
	uint32_t cap = kind == GF_EV_ACTION ? out->events_cap : out->events_cap - out->events_cap / 4;
	struct gf_event *ev;
	uint64_t *w;

	if (out->events_n < cap) {
		ev = &out->events[out->events_n++];
	} else {
		ev = &out->events[out->events_cap];
		out->events_lost++;
	}
	w = (uint64_t *)(void *)ev;
	for (size_t i = 0; i < sizeof *ev / 8; i++)
		w[i] = 0;
#if defined(__CUDA_ARCH__)
	ev->seq = (*out->seq)++;
#else
	ev->seq = __atomic_fetch_add(out->seq, 1, __ATOMIC_RELAXED);
#endif
	ev->kind = kind;
	ev->rule = rule;
	ev->now_ns = t->c.s->now_ns;
	ev->image_fp = t->c.img->fp;
	ev->target = t->in->target;
	ev->row = GF_NONE;
	return ev;
}

/* Who has no room for it is told in any case, and thrown away. */
GF_INLINE int gf_event_lost(const struct gf_tick *t, const struct gf_event *ev)
{
	return ev == &t->out->events[t->out->events_cap];
}

GF_INLINE void gf_event_victim(const struct gf_sample *s, struct gf_event *ev, uint32_t row)
{
	/* Loads first, here and below: what is stored could be what is loaded next, as far as a compiler can tell, and a device waits for each. */
	uint64_t start = s->start_ns[row];
	int32_t pid = s->pid[row];
	uint32_t uid = s->uid[row];

	gf_row_comm_copy(ev->comm, s->comm[row]);
	ev->row = row;
	ev->pid = pid;
	ev->uid = uid;
	ev->start_ns = start;
}

/* Runs a program that explains, for the row or the host. 0 when it cannot be. */
GF_INLINE int gf_explain(struct gf_tick *t, uint32_t prog, uint32_t row, struct gf_result *res)
{
	if (prog == GF_NONE)
		return 0;
	if (t->c.prog[prog].scope == GF_SCOPE_TASK && row == GF_NONE)
		return 0;
	gf_run_one(&t->c, prog, t->c.prog[prog].scope == GF_SCOPE_TASK ? row : 0, t->regs, res);
	return 1;
}

/* A term of a rule's condition as it is for a row. */
GF_SELDOM void gf_explain_term(struct gf_tick *t, uint32_t number, uint32_t row, struct gf_event_term *to)
{
	const struct gf_term *x = &GF_SEC(struct gf_term, t->c.img, GF_SEC_TERM)[number];
	uint8_t values = x->values;
	struct gf_result res;

	to->term = number;
	to->left = to->right = gf_unknown();
	to->truth = GF_UNKNOWN;
	if (!gf_explain(t, x->prog, row, &res))
		return;
	to->truth = res.p[0];
	if (values > 0)
		to->left = res.v[0];
	if (values > 1)
		to->right = res.v2[0];
}

/* All of them; returns how many. */
GF_SELDOM uint32_t gf_explain_terms(struct gf_tick *t, uint32_t rule, uint32_t row, struct gf_event_term *to)
{
	const struct gf_rule *r = &t->c.rule[rule];
	uint32_t n = GF_MIN(r->terms, GF_EVENT_TERMS), first = r->term;

	for (uint32_t i = 0; i < n; i++)
		gf_explain_term(t, first + i, row, &to[i]);
	return n;
}

/* The strings of a template of n pieces, as the victim's row has them now. */
static GF_HD __attribute__((noinline, unused)) void gf_event_text(const struct gf_tick *t, char *text, uint32_t at, uint32_t n, uint32_t row)
{
	const struct gf_note *note = GF_SEC(struct gf_note, t->c.img, GF_SEC_NOTE) + at;
	const struct gf_sample *s = t->c.s;
	uint32_t to = 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct gf_strref *col = note[i].str ? s->str[note[i].str - 1] : NULL;
		const char *p = "?";
		uint32_t len = 1;

		if (!note[i].str)
			continue;
		if (row != GF_NONE && col && col[row].ver) {
			p = col[row].p;
			len = col[row].len;
		} else if (row != GF_NONE && note[i].str == GF_SF_COMM + 1) {
			p = s->comm[row];
			for (len = 0; len < GF_COMM_LEN && p[len]; len++)
				;
		}
		if (to + 1 >= GF_EVENT_TEXT)
			return;
		len = GF_MIN(len, GF_EVENT_TEXT - 1 - to);
		for (uint32_t k = 0; k < len; k++)
			text[to + k] = p[k];
		to += len + 1;
	}
}

/* The number of a template's piece. */
GF_SELDOM double gf_event_note(struct gf_tick *t, uint32_t number, uint32_t row)
{
	struct gf_result res;

	return gf_explain(t, GF_SEC(struct gf_note, t->c.img, GF_SEC_NOTE)[number].prog, row, &res) ? res.v[0] : gf_unknown();
}

/* One who was looked at. last: the last who was picked, GF_NONE: nobody was. */
GF_SELDOM void gf_event_rank_put(struct gf_tick *t, struct gf_event_rank *to, uint32_t row, uint8_t pick, uint32_t last)
{
	const struct gf_sample *s = t->c.s;
	const struct gf_state *st = t->c.st;
	uint8_t klass = st->klass[row], why = gf_picked_why(s, st, pick, row, st->why[row], last);
	uint32_t by = st->klass_by[row], uid = s->uid[row];
	uint64_t start = s->start_ns[row];
	double key = st->key[row];
	int32_t pid = s->pid[row];

	/* Looked at only then: it is never a victim of this very step, whose rows may just be being marked. */
	if (why == GF_WHY_CONDEMNED)
		by = st->condemned_tick[row] == st->tick ? st->condemned[row] - 1 : GF_NONE;
	else if (why != GF_WHY_PROTECTED && why != GF_WHY_AVOIDED && !(why == GF_WHY_CHOSEN && klass == 0))
		by = GF_NONE;
	gf_row_comm_copy(to->comm, s->comm[row]);
	to->key = key;
	to->start_ns = start;
	to->pid = pid;
	to->uid = uid;
	to->why = why;
	to->klass = klass;
	to->by = by;
}

/* Who is told of: the first seeds, then whoever ranks best by the key alone, classes and exclusions aside, since "why not that one?" is what is
 * asked. Returns how many. */
GF_SELDOM uint32_t gf_event_top(struct gf_tick *t, uint8_t pick, const struct gf_choice *ch, uint32_t *top)
{
	struct gf_state *st = t->c.st;
	uint32_t lead = GF_MIN(ch->seeds, GF_EVENT_RANKS / 2), n = lead;

	for (uint32_t k = 0; k < lead; k++)
		top[k] = st->pick[k];
#if GF_TEAM
	uint32_t all = GF_MIN(ch->candidates, GF_EVENT_RANKS);

	(void)pick;
	if (all && !st->work.ranked)
		gf_top_make(t, 0, GF_EVENT_RANKS);
	st->work.ranked = 1;
	for (uint32_t i = 0; i < all && n < GF_EVENT_RANKS; i++) {
		uint32_t row = st->work.best[GF_TOP_RANK][i], listed = 0;
		for (uint32_t k = 0; k < lead; k++)
			listed |= top[k] == row;
		if (!listed)
			top[n++] = row;
	}
#else
	const struct gf_sample *s = t->c.s;

	for (uint32_t row = 0; row < s->rows; row++) {
		uint32_t k, listed = 0;
		if (st->why[row] == GF_WHY_COUNT)
			continue;
		for (k = 0; k < lead; k++)
			listed |= top[k] == row;
		if (listed || (n == GF_EVENT_RANKS && !gf_rank_before(s, st, pick, row, top[n - 1])))
			continue;
		k = n < GF_EVENT_RANKS ? n++ : n - 1;
		for (; k > lead && gf_rank_before(s, st, pick, row, top[k - 1]); k--)
			top[k] = top[k - 1];
		top[k] = row;
	}
#endif
	return n;
}

#define GF_SIGKILL 9 /* on every Linux; signal.h is not for the device */

/* How many more verdicts there is room for in this tick. A step is taken with all
 * of its verdicts or not at all: half a tree stopped, or stopped and not let go,
 * would be worse than a tick's delay. */
GF_INLINE uint32_t gf_verdict_room(const struct gf_tick *t)
{
	return t->out->verdicts_cap - GF_MIN(t->out->verdicts_n, t->out->verdicts_cap);
}

/* To what a step limits this row. Unknown where it cannot be computed now, or comes out as less than nothing. */
GF_SELDOM double gf_verdict_amount(struct gf_tick *t, const struct gf_step *sp, uint32_t row)
{
	struct gf_result res;

	if (sp->action != GF_ACT_LIMIT)
		return 0;
	if (sp->value == GF_NONE)
		return sp->amount;
	if (!gf_explain(t, sp->value, row, &res) || !(res.v[0] >= 0))
		return gf_unknown();
	return res.v[0];
}

/* A verdict; row GF_NONE: to no task. */
GF_SELDOM void gf_verdict_fill(struct gf_tick *t, struct gf_verdict *v, const struct gf_deed *d, uint32_t row, uint8_t flags)
{
	const struct gf_step *sp = &t->c.step[t->c.rule[d->rule].step + d->step];
	const struct gf_sample *s = t->c.s;
	const struct gf_step x = *sp;
	const struct gf_deed of = *d;
	uint64_t start = row == GF_NONE ? 0 : s->start_ns[row];
	int32_t pid = row == GF_NONE ? 0 : s->pid[row];
	uint32_t gen = row == GF_NONE ? 0 : s->gen[row], epoch = s->epoch;

	v->event = of.event;
	v->row = row;
	v->start_ns = start;
	v->pid = pid;
	v->gen = gen;
	v->rule = of.rule;
	v->step = of.step;
	v->action = x.action;
	v->group = of.group;
	v->flags = (uint8_t)(flags | (of.observed ? GF_VERDICT_OBSERVE : 0));
	v->arg = x.arg;
	v->limit = x.limit;
	v->epoch = epoch;
	for (uint32_t k = 0; k < sizeof v->reserved; k++)
		v->reserved[k] = 0;
	v->amount = gf_verdict_amount(t, sp, row);
	if (row != GF_NONE && x.action == GF_ACT_SIGNAL && x.arg == GF_SIGKILL && !of.observed) {
		t->c.st->killed_ns[row] = t->c.now;
		t->c.st->killed_gen[row] = gen;
	}
}

GF_INLINE struct gf_deed gf_deed(const struct gf_event *ev, uint32_t rule, uint32_t step, uint8_t group, int claims)
{
	const struct gf_deed d = { ev->seq, rule, 0, 0, (uint8_t)step, group, ev->observed, claims != 0 };

	return d;
}

/* The next one. */
GF_SELDOM void gf_verdict_put(struct gf_tick *t, const struct gf_deed *d, uint32_t row, uint8_t flags)
{
	struct gf_tick_out *out = t->out;

	if (out->verdicts_n == out->verdicts_cap)
		out->verdicts_lost++;
	else
		gf_verdict_fill(t, &out->verdicts[out->verdicts_n++], d, row, flags);
}

#include "gpu/tell.h"

#endif
