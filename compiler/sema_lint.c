/* SPDX-License-Identifier: MIT
 *
 * Rules that are in order and still not what was meant.
 */
#include <signal.h>

#include "compiler/sema_int.h"
#include "gpufas/event.h"

/* Signals that end a process which does not handle them, and are sent for that. */
static bool kills(const struct gf_sema_step *s)
{
	static const int sig[] = { SIGKILL, SIGTERM, SIGABRT, SIGINT, SIGQUIT, SIGSEGV, SIGBUS, SIGILL, SIGFPE,
				   SIGTRAP, SIGSYS, SIGXCPU, SIGXFSZ, SIGSTKFLT };

	if (s->action != GF_ACT_SIGNAL)
		return false;
	for (size_t i = 0; i < sizeof sig / sizeof sig[0]; i++)
		if (sig[i] == s->arg)
			return true;
	return false;
}

/* Does every way to true lead through held()? */
static bool holds(const struct gf_node *n)
{
	switch (n->kind) {
	case GF_N_HELD:
		return true;
	case GF_N_AND:
		return holds(n->kid[0]) || holds(n->kid[1]);
	case GF_N_OR:
		return holds(n->kid[0]) && holds(n->kid[1]);
	default:
		return false;
	}
}

static void lint_kill(struct gf_sema_ctx *c, const struct gf_sema_rule *r)
{
	if (r->hold != GF_FOR_NONE || r->cooldown_ns || r->observe || holds(r->cond))
		return;
	for (uint32_t i = 0; i < r->steps; i++)
		if (kills(&r->step[i])) {
			gf_sema_warn(c, "W002", r->step[i].ast->action_span,
				     "such as: if ... for 2s then ... cooldown 30s",
				     "one sample is enough for this kill, and the next may follow at once: the rule "
				     "has neither a hold time nor a cooldown");
			return;
		}
}

/* Has nearly every process more than this of it? */
static bool all_have(uint32_t field, double least)
{
	switch (field) {
	case GF_TF_NICE:
	case GF_TF_OOM_SCORE_ADJ:
	case GF_TF_SWAP:
	case GF_TF_SHMEM:
	case GF_TF_MAJFLT:
	case GF_TF_READ_BYTES:
	case GF_TF_WRITE_BYTES:
	case GF_TF_CHILDREN:
		return least < 0; /* 0 is what most have */
	default:
		return least <= 0;
	}
}

static bool broad(const struct gf_node *n, bool negated);

/* Both of two, or one of them, by the operator and whether it is negated. */
static bool broad_both(const struct gf_node *n, bool negated)
{
	bool a = broad(n->kid[0], negated), b = broad(n->kid[1], negated);

	return (n->kind == GF_N_AND) != negated ? a && b : a || b;
}

/* Is this, or its contrary, true of nearly all processes? "No" may be "cannot tell". */
static bool broad(const struct gf_node *n, bool negated)
{
	if (n->scope != GF_SCOPE_TASK)
		return true; /* it chooses nobody */
	switch (n->kind) {
	case GF_N_NOT:
		return broad(n->kid[0], !negated);
	case GF_N_HELD:
		return broad(n->kid[0], negated);
	case GF_N_AND:
	case GF_N_OR:
		return broad_both(n, negated);
	case GF_N_MATCH:
		return negated;
	case GF_N_GT:
		return !negated && n->kid[0]->kind == GF_N_TASK && n->kid[1]->kind == GF_N_CONST &&
		       all_have(n->kid[0]->id, n->kid[1]->num);
	default:
		return false;
	}
}

static void lint_all(struct gf_sema_ctx *c, const struct gf_sema_rule *r)
{
	bool all = false;

	for (uint32_t i = 0; i < r->steps && !r->observe; i++) {
		const struct gf_sema_step *s = &r->step[i];

		/* one that chooses nobody goes on with whom the last one chose */
		if (s->pick != GF_PICK_SAME && s->pick != GF_PICK_NONE)
			all = s->pick == GF_PICK_EACH && broad(r->cond, false) && (!s->where || broad(s->where, false));
		if (!all || !kills(s))
			continue;
		gf_sema_warn(c, "W017", s->ast->action_span, "choose with largest, newest ..., or say more precisely who is meant",
			     "this would end nearly every process that is not protected");
		return;
	}
}

/* Whether a number is made of the time that the target's clock has stood for. */
static bool of_stalled(const struct gf_node *n)
{
	return n && ((n->kind == GF_N_HOST && n->id == GF_HF_OS_STALLED) || of_stalled(n->kid[0]) || of_stalled(n->kid[1]));
}

/* Does every way to true ask whether the system stands? */
static bool asks_stalled(const struct gf_node *n)
{
	switch (n->kind) {
	case GF_N_AND:
		return asks_stalled(n->kid[0]) || asks_stalled(n->kid[1]);
	case GF_N_OR:
		return asks_stalled(n->kid[0]) && asks_stalled(n->kid[1]);
	case GF_N_HELD:
		return asks_stalled(n->kid[0]);
	case GF_N_GT:
	case GF_N_GE:
		return of_stalled(n->kid[0]);
	case GF_N_LT:
	case GF_N_LE:
		return of_stalled(n->kid[1]);
	default:
		return false;
	}
}

/* The whole of a machine for less than its standing still. */
static void lint_last_resort(struct gf_sema_ctx *c, const struct gf_sema_rule *r)
{
	for (uint32_t i = 0; i < r->steps; i++) {
		const struct gf_sema_step *s = &r->step[i];
		const char *what = s->action == GF_ACT_PANIC ? "panic" : s->action == GF_ACT_RESTART ? "restart" :
				   s->action == GF_ACT_RESET ? "reset" : "nmi";

		if (!gf_action_last_resort(s->action) || asks_stalled(r->cond))
			continue;
		gf_sema_warn(c, "W015", s->ast->action_span, "such as: if os.stalled > 30s and ...; or end a process instead",
			     "%s may end all that runs, and the condition does not ask whether the system still runs (os.stalled)", what);
		if (r->hold == GF_FOR_NONE && !holds(r->cond) && !r->observe)
			gf_sema_warn(c, "W016", s->ast->action_span, "such as: if ... for 1min then ...",
				     "one sample is enough for this %s: the rule has no hold time", what);
		return;
	}
}

static void lint_until(struct gf_sema_ctx *c, const struct gf_sema_rule *r)
{
	struct gf_diag *d = NULL;

	/* "N times within" may be true when the condition itself is not. */
	if (!r->until || r->hold == GF_FOR_TIMES)
		return;
	/* What ends a rule comes first. */
	if (gf_node_implies(r->cond, r->until))
		d = gf_sema_error(c, "E082", r->until->span, "until says when the rule ends, such as the opposite of its "
							     "condition with some distance",
				  "this rule never fires: until is true whenever its condition is");
	else if (gf_node_exhausts(r->cond, r->until) && gf_node_excludes(r->cond, r->until))
		d = gf_sema_warn(c, "W008", r->until->span, "leave it out, or end the rule at some distance",
				 "until says nothing: without it the rule ends at the same moment");
	if (d)
		gf_diag_note(d, r->cond->span, "the rule's condition");
}

/* Leaves of a condition, as explanations list them. */
static uint32_t terms(const struct gf_node *n)
{
	if (!n || n->term)
		return n != NULL;
	if (n->kind != GF_N_AND && n->kind != GF_N_OR && n->kind != GF_N_NOT)
		return 0;
	return terms(n->kid[0]) + terms(n->kid[1]);
}

static void lint_terms(struct gf_sema_ctx *c, const struct gf_sema_rule *r)
{
	uint32_t n = terms(r->cond);

	if (n > GF_EVENT_TERMS)
		gf_sema_warn(c, "W012", r->cond->span, "split it into several rules, or put values into sets: in (...)",
			     "an explanation shows the first %u comparisons, and this condition has %u",
			     GF_EVENT_TERMS, n);
}

/* What is to be as it was, and no step before it has changed. */
static void lint_restore(struct gf_sema_ctx *c, const struct gf_sema_rule *r)
{
	for (uint32_t i = 0; i < r->steps; i++) {
		const struct gf_sema_step *s = &r->step[i];
		bool changed = s->pick != GF_PICK_SAME;

		if (s->action != GF_ACT_LIMIT || !s->ast->restore || !s->limit)
			continue;
		for (uint32_t k = 0; k < i; k++)
			changed |= r->step[k].action == GF_ACT_LIMIT && r->step[k].limit == s->limit && !r->step[k].ast->restore;
		if (!changed)
			gf_sema_warn(c, "W013", s->ast->span, "restore undoes a limit of this rule's, or of the processes that it selects",
				     "no step before this one has limited %s", s->ast->name);
	}
}

void gf_sema_lint_rule(struct gf_sema_ctx *c, const struct gf_sema_rule *r)
{
	lint_kill(c, r);
	lint_all(c, r);
	lint_terms(c, r);
	lint_until(c, r);
	lint_restore(c, r);
	lint_last_resort(c, r);
}

/* a is true no later than b, if their conditions begin to be true together. */
static bool no_later(const struct gf_sema_rule *a, const struct gf_sema_rule *b)
{
	if (a->hold == GF_FOR_NONE)
		return true;
	if (a->hold != b->hold)
		return false;
	if (a->hold == GF_FOR_TIMES)
		return a->hold_ns >= b->hold_ns && a->hold_count <= b->hold_count;
	return a->hold_ns <= b->hold_ns && a->hold_count <= b->hold_count;
}

static uint64_t hash_of(const struct gf_node *n)
{
	return n ? n->hash : 0;
}

/* a, earlier, does all that b would do. */
static bool same_deed(const struct gf_sema_rule *a, const struct gf_sema_rule *b)
{
	const struct gf_sema_step *s = a->step, *t = b->step;

	if (s->action != t->action || s->arg != t->arg || s->group != t->group)
		return false;
	if (s->action == GF_ACT_LIMIT &&
	    (s->limit != t->limit || s->amount != t->amount || hash_of(s->value) != hash_of(t->value)))
		return false;
	if (s->action == GF_ACT_RUN && strcmp(s->ast->name, t->ast->name) != 0)
		return false;
	if (s->action == GF_ACT_LOG || s->action == GF_ACT_NOTIFY)
		return false; /* they differ in what they say */
	if (s->pick != t->pick || s->n != t->n || hash_of(s->key) != hash_of(t->key))
		return false;
	if (s->where && !(t->where && gf_node_implies(t->where, s->where)))
		return false;
	return !a->limit_n && a->cooldown_ns <= b->cooldown_ns;
}

/* a, earlier, takes every task that b could choose. */
static bool takes_all(const struct gf_sema_rule *a, const struct gf_sema_rule *b)
{
	const struct gf_sema_step *s = a->step;

	return a->task && b->task && a->cond->scope == GF_SCOPE_TASK && b->cond->scope == GF_SCOPE_TASK &&
	       s->pick == GF_PICK_EACH && !s->where && s->action == GF_ACT_SIGNAL && !a->limit_n && !a->cooldown_ns &&
	       b->step->pick != GF_PICK_NONE;
}

static bool lint_shadow(struct gf_sema_ctx *c, const struct gf_sema_rule *a, const struct gf_sema_rule *b)
{
	struct gf_diag *d;

	if (!a->steps || !b->steps || a->observe || !(gf_csn(a->cond)->keys & gf_csn(b->cond)->keys))
		return false;
	bool same = same_deed(a, b);

	if ((!same && !takes_all(a, b)) || !no_later(a, b) || !gf_node_implies(b->cond, a->cond))
		return false;
	/* b may stay active when its condition is over: only if a does as well it comes too late */
	if (b->until && !(a->until && gf_node_implies(a->until, b->until)))
		return false;
	c->rule = b->ast;
	d = gf_sema_warn(c, "W007", b->ast->name ? b->ast->name_span : b->cond->span,
			 "put the stricter rule first (priority, or order), or merge them",
			 same ? "rule %s adds nothing: whenever it is true, rule %s comes first and does the same" :
				"rule %s is left no task: whenever it is true, rule %s comes first and takes them",
			 b->name, a->name);
	c->rule = NULL;
	if (d)
		gf_diag_note(d, a->ast->name ? a->ast->name_span : a->cond->span, "the earlier rule");
	return true;
}

/* Everything that the rule could choose is protected. */
static void lint_protected(struct gf_sema_ctx *c, const struct gf_sema_rule *r)
{
	if (!r->cond || !r->steps || r->step->pick == GF_PICK_NONE)
		return;
	for (uint32_t i = 0; i < c->out->classes; i++) {
		const struct gf_sema_class *k = &c->out->klass[i];
		bool all = k->kind == GF_CLASS_PROTECT && k->cond &&
			   ((r->cond->scope == GF_SCOPE_TASK && gf_node_implies(r->cond, k->cond)) ||
			    (r->step->where && gf_node_implies(r->step->where, k->cond)));

		if (!all)
			continue;
		c->rule = r->ast;
		struct gf_diag *d = gf_sema_warn(c, "W010", r->ast->name ? r->ast->name_span : r->cond->span, NULL,
						 "rule %s never finds a victim: every task that it could choose is "
						 "protected", r->name);
		c->rule = NULL;
		if (d)
			gf_diag_note(d, k->ast->span, "protected here");
		return;
	}
}

/* Only for a policy without errors: every rule has its condition and its steps. */
void gf_sema_lint_policy(struct gf_sema_ctx *c)
{
	const struct gf_sema *s = c->out;

	if (c->opts->warnings_off)
		return; /* every pair of rules is looked at: no small part of a large policy's time */
	for (uint32_t j = 0; j < s->rules; j++) {
		lint_protected(c, &s->rule[j]);
		for (uint32_t i = 0; i < j; i++)
			if (lint_shadow(c, &s->rule[i], &s->rule[j]))
				break;
	}
}
