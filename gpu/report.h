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

/* The terms of a rule's condition as they are for a row; returns how many. */
GF_SELDOM uint32_t gf_explain_terms(struct gf_tick *t, uint32_t rule, uint32_t row, struct gf_event_term *to)
{
	const struct gf_rule *r = &t->c.rule[rule];
	const struct gf_term *term = GF_SEC(struct gf_term, t->c.img, GF_SEC_TERM);
	uint32_t n = GF_MIN(r->terms, GF_EVENT_TERMS);
	struct gf_result res;

	for (uint32_t i = 0; i < n; i++) {
		const struct gf_term *x = &term[r->term + i];
		to[i].term = r->term + i;
		to[i].left = to[i].right = gf_unknown();
		to[i].truth = GF_UNKNOWN;
		if (!gf_explain(t, x->prog, row, &res))
			continue;
		to[i].truth = res.p[0];
		if (x->values > 0)
			to[i].left = res.v[0];
		if (x->values > 1)
			to[i].right = res.v2[0];
	}
	return n;
}

/* The template's strings, as the victim's row has them now. */
static GF_HD __attribute__((noinline, unused)) void gf_event_text(const struct gf_tick *t, struct gf_event *ev, uint32_t at)
{
	const struct gf_note *note = GF_SEC(struct gf_note, t->c.img, GF_SEC_NOTE) + at;
	uint32_t to = 0;

	for (uint32_t i = 0; i < ev->notes; i++) {
		const struct gf_strref *col = note[i].str ? t->c.s->str[note[i].str - 1] : NULL;
		const char *p = "?";
		uint32_t n = 1;

		if (!note[i].str)
			continue;
		if (ev->row != GF_NONE && col && col[ev->row].ver) {
			p = col[ev->row].p;
			n = col[ev->row].len;
		} else if (ev->row != GF_NONE && note[i].str == GF_SF_COMM + 1) {
			p = ev->comm;
			for (n = 0; n < GF_COMM_LEN && p[n]; n++)
				;
		}
		if (to + 1 >= GF_EVENT_TEXT)
			return;
		n = GF_MIN(n, GF_EVENT_TEXT - 1 - to);
		for (uint32_t k = 0; k < n; k++)
			ev->text[to + k] = p[k];
		to += n + 1;
	}
}

/* Terms, and the numbers and strings of the notify template. step: GF_NONE for none. */
GF_SELDOM void gf_event_evidence(struct gf_tick *t, struct gf_event *ev, uint32_t rule, uint32_t step, uint32_t row)
{
	const struct gf_rule *r = &t->c.rule[rule];
	const struct gf_note *note = GF_SEC(struct gf_note, t->c.img, GF_SEC_NOTE);
	uint32_t at = r->note, n = r->notes;
	struct gf_result res;

	ev->terms = (uint8_t)gf_explain_terms(t, rule, row, ev->term);
	if (step != GF_NONE && t->c.step[r->step + step].notes) {
		at = t->c.step[r->step + step].note;
		n = t->c.step[r->step + step].notes;
	}
	ev->notes = (uint8_t)GF_MIN(n, GF_EVENT_NOTES);
	for (uint32_t i = 0; i < ev->notes; i++)
		ev->note[i] = gf_explain(t, note[at + i].prog, row, &res) ? res.v[0] : gf_unknown();
	gf_event_text(t, ev, at);
}

GF_SELDOM void gf_event_rank_put(struct gf_tick *t, struct gf_event_rank *to, uint32_t row)
{
	const struct gf_sample *s = t->c.s;
	const struct gf_state *st = t->c.st;
	uint8_t why = st->why[row], klass = st->klass[row];
	uint32_t klass_by = st->klass_by[row], condemned = st->condemned[row], uid = s->uid[row];
	int now = st->condemned_tick[row] == st->tick;
	uint64_t start = s->start_ns[row];
	double key = st->key[row];
	int32_t pid = s->pid[row];

	gf_row_comm_copy(to->comm, s->comm[row]);
	to->key = key;
	to->start_ns = start;
	to->pid = pid;
	to->uid = uid;
	to->why = why;
	to->klass = klass;
	to->by = GF_NONE;
	if (why == GF_WHY_PROTECTED || why == GF_WHY_AVOIDED || (why == GF_WHY_CHOSEN && klass == 0))
		to->by = klass_by;
	else if (why == GF_WHY_CONDEMNED && now)
		to->by = condemned - 1;
}

/* Who was looked at: the first seeds, then whoever ranks best by the key alone,
 * classes and exclusions aside, since "why not that one?" is what is asked. */
GF_SELDOM void gf_event_ranks(struct gf_tick *t, struct gf_event *ev, uint8_t pick, const struct gf_choice *ch)
{
	struct gf_state *st = t->c.st;
	uint32_t top[GF_EVENT_RANKS], lead = GF_MIN(ch->seeds, GF_EVENT_RANKS / 2), n = lead;

	for (uint32_t k = 0; k < lead; k++)
		top[k] = st->pick[k];
#if GF_TEAM
	st->work.leads = lead;
	for (uint32_t k = 0; k < lead; k++)
		st->work.lead[k] = top[k];
	n += gf_top_make(t, GF_TOP_RANK, pick, GF_EVENT_RANKS - lead, top + lead);
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
	for (uint32_t k = 0; k < n; k++)
		gf_event_rank_put(t, &ev->u.rank[k], top[k]);
	ev->ranks = (uint8_t)n;
	ev->candidates = ch->candidates;
	ev->never = ch->never;
	ev->protect = ch->protect;
	ev->where = ch->where;
	ev->condemned = ch->condemned;
	ev->chosen = ch->seeds;
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

/* One verdict; row GF_NONE: to no task. */
GF_SELDOM void gf_verdict_put(struct gf_tick *t, const struct gf_event *ev, uint32_t rule, uint32_t step, uint8_t group,
			      uint32_t row, uint8_t flags)
{
	const struct gf_step *sp = &t->c.step[t->c.rule[rule].step + step];
	const struct gf_sample *s = t->c.s;
	struct gf_tick_out *out = t->out;
	struct gf_verdict *v;

	if (out->verdicts_n == out->verdicts_cap) {
		out->verdicts_lost++;
		return;
	}
	v = &out->verdicts[out->verdicts_n++];
	const struct gf_step x = *sp;
	uint64_t start = row == GF_NONE ? 0 : s->start_ns[row], seq = ev->seq;
	int32_t pid = row == GF_NONE ? 0 : s->pid[row];
	uint32_t gen = row == GF_NONE ? 0 : s->gen[row], epoch = s->epoch;
	uint8_t observed = ev->observed;

	v->event = seq;
	v->row = row;
	v->start_ns = start;
	v->pid = pid;
	v->gen = gen;
	v->rule = rule;
	v->step = (uint8_t)step;
	v->action = x.action;
	v->group = group;
	v->flags = (uint8_t)(flags | (observed ? GF_VERDICT_OBSERVE : 0));
	v->arg = x.arg;
	v->limit = x.limit;
	v->epoch = epoch;
	for (uint32_t k = 0; k < sizeof v->reserved; k++)
		v->reserved[k] = 0;
	v->amount = gf_verdict_amount(t, sp, row);
	if (row != GF_NONE && x.action == GF_ACT_SIGNAL && x.arg == GF_SIGKILL && !observed) {
		t->c.st->killed_ns[row] = t->c.now;
		t->c.st->killed_gen[row] = gen;
	}
}

#endif
