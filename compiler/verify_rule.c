/* SPDX-License-Identifier: MIT
 *
 * The verifier's look at classes, rules, steps, terms and notes.
 */
#include "compiler/verify.h"
#include "gpufas/event.h"

#define BAD(v, i, fmt, ...) vf_bad(v, "rule %u: " fmt, i, ##__VA_ARGS__)

/* A program that is not of the tick, in this scope, with exactly these results. */
static bool is_prog(const struct verify *v, uint32_t prog, uint8_t scope, uint8_t results)
{
	return prog < v->n[GF_SEC_PROG] && prog >= v->h->tick_progs && v->results[prog] == results
	    && GF_SEC(struct gf_prog, v->h, GF_SEC_PROG)[prog].scope == scope;
}

/* The same, and it may run any number of times: it advances nothing. */
static bool is_pure(const struct verify *v, uint32_t prog, uint8_t scope, uint8_t results)
{
	return is_prog(v, prog, scope, results) && !v->advances[prog];
}

static bool in_section(const struct verify *v, enum gf_section k, uint32_t first, uint32_t n)
{
	return first <= v->n[k] && n <= v->n[k] - first;
}

static int check_classes(struct verify *v)
{
	const struct gf_class *c = GF_SEC(struct gf_class, v->h, GF_SEC_CLASS);
	for (uint32_t i = 0; i < v->n[GF_SEC_CLASS]; i++) {
		if (c[i].kind > GF_CLASS_AVOID || c[i].reserved[0] || c[i].reserved[1] || c[i].reserved[2] || c[i].reserved1)
			return vf_bad(v, "class %u is of no kind that there is", i);
		if (!is_pure(v, c[i].prog, GF_SCOPE_TASK, GF_END_P))
			return vf_bad(v, "class %u: its program is not a test of a task", i);
		if (!vf_str(v, c[i].text) || !vf_str(v, c[i].file))
			return vf_bad(v, "class %u: a text is not there", i);
	}
	return 0;
}

static int check_notes(struct verify *v, uint32_t rule, uint32_t first, uint32_t n)
{
	const struct gf_note *t = GF_SEC(struct gf_note, v->h, GF_SEC_NOTE);
	if (n > GF_EVENT_NOTES || !in_section(v, GF_SEC_NOTE, first, n))
		return BAD(v, rule, "its message has more than %u fields, or they are not there", GF_EVENT_NOTES);
	for (uint32_t i = first; i < first + n; i++) {
		if (!vf_str(v, t[i].text) || t[i].dim > GF_DIM_CNT_TIME || t[i].str > GF_SF_COUNT || t[i].reserved || t[i].reserved1)
			return BAD(v, rule, "note %u is malformed", i);
		if (t[i].prog != GF_NONE && (t[i].str || (!is_pure(v, t[i].prog, GF_SCOPE_TASK, GF_END_V) && !is_pure(v, t[i].prog, GF_SCOPE_HOST, GF_END_V))))
			return BAD(v, rule, "note %u: its program does not give a number", i);
		if (t[i].str && t[i].str - 1 != GF_SF_COMM && !(v->h->fields.str & GF_BIT(t[i].str - 1)))
			return BAD(v, rule, "note %u reads a string that is not in the field set", i);
	}
	return 0;
}

static int check_action(struct verify *v, uint32_t rule, const struct gf_step *s)
{
	if (s->action >= GF_ACT_COUNT || s->pick > GF_PICK_NONE || s->group > GF_GROUP_USER || s->key_dim > GF_DIM_CNT_TIME)
		return BAD(v, rule, "a step does something that there is not");
	for (uint32_t k = 0; k < sizeof s->reserved1; k++)
		if (s->reserved1[k])
			return BAD(v, rule, "a step's reserved bytes are not zero");
	if (s->action == GF_ACT_SIGNAL ? s->arg < 1 || s->arg > 64 : s->action == GF_ACT_RENICE ? s->arg < -40 || s->arg > 40 : s->arg != 0)
		return BAD(v, rule, "a step's signal or nice value is %d", s->arg);
	if (s->action == GF_ACT_LIMIT ? !s->limit || s->limit >= GF_LIMIT_COUNT : s->limit || s->value != GF_NONE)
		return BAD(v, rule, "a step limits something that there is not");
	if (s->amount != s->amount || (s->value != GF_NONE && s->amount != 0))
		return BAD(v, rule, "a step's amount is not a number, or given twice");
	if (s->value != GF_NONE && !is_pure(v, s->value, GF_SCOPE_TASK, GF_END_V) && !is_pure(v, s->value, GF_SCOPE_HOST, GF_END_V))
		return BAD(v, rule, "the program of a step's amount does not give a number");
	return 0;
}

static int check_step(struct verify *v, uint32_t rule, const struct gf_step *s, bool first)
{
	bool ranked = s->pick == GF_PICK_LARGEST || s->pick == GF_PICK_SMALLEST;
	int r = check_action(v, rule, s);
	if (r < 0)
		return r;
	if (first && s->pick == GF_PICK_SAME)
		return BAD(v, rule, "the first step has no step before it whose victims it could act on");
	if (!s->n || s->n > GF_MAX_PICK)
		return BAD(v, rule, "a step picks %u, not 1 to %u", s->n, GF_MAX_PICK);
	if (s->where != GF_NONE && !is_pure(v, s->where, GF_SCOPE_TASK, GF_END_P))
		return BAD(v, rule, "the program of a step's where is not a test of a task");
	if (ranked ? !is_pure(v, s->key, GF_SCOPE_TASK, GF_END_V) : s->key != GF_NONE)
		return BAD(v, rule, "the program of a step's rank does not give a task's number, or there is none to rank");
	if (s->after_ns > GF_MAX_NS)
		return BAD(v, rule, "a step comes too long after the one before");
	if (!vf_str(v, s->text) || !vf_str(v, s->shown) || !vf_str(v, s->key_text))
		return BAD(v, rule, "a step's text is not there");
	if ((s->group == GF_GROUP_PGRP && !(v->h->fields.task & GF_BIT(GF_TF_PGRP)))
	    || (s->group == GF_GROUP_SESSION && !(v->h->fields.task & GF_BIT(GF_TF_SESSION)))
	    || (s->group == GF_GROUP_CGROUP && !(v->h->fields.str & GF_BIT(GF_SF_CGROUP))))
		return BAD(v, rule, "a step's group needs a field that is not in the field set");
	return check_notes(v, rule, s->note, s->notes);
}

static int check_term(struct verify *v, uint32_t rule, const struct gf_term *t, bool task)
{
	static const uint8_t results[] = { GF_END_P, GF_END_P | GF_END_V, GF_END_P | GF_END_V | GF_END_V2 };
	if (t->values > 2 || t->scope > GF_SCOPE_TASK || (t->scope == GF_SCOPE_TASK && !task) || t->dim > GF_DIM_CNT_TIME || t->str > GF_SF_COUNT)
		return BAD(v, rule, "a term is malformed");
	if (!vf_str(v, t->text) || (t->hold != GF_NONE && t->hold >= v->n[GF_SEC_HOLD]))
		return BAD(v, rule, "a term's text or hold is not there");
	if (!is_pure(v, t->prog, t->scope, results[t->values]))
		return BAD(v, rule, "a term's program does not give what the term says");
	return 0;
}

static int check_programs(struct verify *v, uint32_t i, const struct gf_rule *t)
{
	uint8_t scope = t->flags & GF_RULE_TASK ? GF_SCOPE_TASK : GF_SCOPE_HOST;
	if (!is_prog(v, t->cond, scope, GF_END_P))
		return BAD(v, i, "its condition's program is not a test of a task (or of the host)");
	/* Run twice in a tick, holds would advance twice. */
	if (v->advances[t->cond] && v->advances[t->cond]++ > 1)
		return BAD(v, i, "its condition advances holds and is another rule's condition too");
	if (t->gate != GF_NONE && !is_pure(v, t->gate, GF_SCOPE_HOST, GF_END_P))
		return BAD(v, i, "its gate's program is not a test of the host");
	if (t->close != GF_NONE && !is_pure(v, t->close, scope, GF_END_V))
		return BAD(v, i, "the program for how near it is does not give a number");
	return 0;
}

static int check_rule(struct verify *v, uint32_t i, const struct gf_rule *t)
{
	int r;
	if (t->flags & ~(uint32_t)(GF_RULE_OBSERVE | GF_RULE_TASK) || t->reserved)
		return BAD(v, i, "unknown flags");
	if (!vf_str(v, t->name) || !vf_str(v, t->title) || !vf_str(v, t->file) || !vf_str(v, t->text))
		return BAD(v, i, "a text is not there");
	if (t->cooldown_ns > GF_MAX_NS || t->settle_ns > GF_MAX_NS || t->limit_window_ns > GF_MAX_NS)
		return BAD(v, i, "a duration is too long");
	if (t->limit_n > GF_MAX_LIMIT || (t->limit_n && !t->limit_window_ns))
		return BAD(v, i, "a limit of %u, at most %u, or in no time", t->limit_n, GF_MAX_LIMIT);
	if (!t->steps || t->steps > GF_MAX_STEPS || !in_section(v, GF_SEC_STEP, t->step, t->steps))
		return BAD(v, i, "it has no steps, more than %u, or they are not there", GF_MAX_STEPS);
	if (t->terms > GF_MAX_TERMS || !in_section(v, GF_SEC_TERM, t->term, t->terms))
		return BAD(v, i, "it has more than %u terms, or they are not there", GF_MAX_TERMS);
	if ((r = check_programs(v, i, t)) < 0)
		return r;
	const struct gf_step *s = GF_SEC(struct gf_step, v->h, GF_SEC_STEP) + t->step;
	for (uint32_t k = 0; k < t->steps; k++)
		if ((r = check_step(v, i, &s[k], k == 0)) < 0)
			return r;
	const struct gf_term *m = GF_SEC(struct gf_term, v->h, GF_SEC_TERM) + t->term;
	for (uint32_t k = 0; k < t->terms; k++)
		if ((r = check_term(v, i, &m[k], t->flags & GF_RULE_TASK)) < 0)
			return r;
	return check_notes(v, i, t->note, t->notes);
}

int vf_policy(struct verify *v)
{
	const struct gf_rule *t = GF_SEC(struct gf_rule, v->h, GF_SEC_RULE);
	int r = check_classes(v);
	for (uint32_t i = 0; r == 0 && i < v->n[GF_SEC_RULE]; i++)
		r = check_rule(v, i, &t[i]);
	for (uint32_t i = v->h->tick_progs; r == 0 && i < v->n[GF_SEC_PROG]; i++)
		if (v->advances[i] == 1)
			return vf_bad(v, "program %u advances holds and is neither of the tick nor a rule's condition", i);
	return r;
}
