/* SPDX-License-Identifier: MIT
 *
 * Rules: the condition, how long it has to hold, and the clauses.
 */
#include "compiler/sema_int.h"

#define SETTLE_NS	10000000000ull /* until it has passed, a rule waits for its victims to go */
#define HOLD_MAX_NS	(30 * 86400e9)
#define WITHIN_MAX_NS	86400e9 /* kept in a history */
#define CLAUSE_MAX_NS	(365 * 86400e9)
#define PRIORITY_MAX	1000000
#define PERIODS_MAX	1000000

bool gf_sema_whole(struct gf_sema_ctx *c, double v, double lo, double hi, struct gf_span span, const char *what,
		   uint32_t *ret)
{
	if (v == floor(v) && v >= lo && v <= hi) {
		*ret = (uint32_t)v;
		return true;
	}
	if (!c->partial) /* a number that could not be read has got a stand-in */
		gf_sema_error(c, "E098", span, NULL, "%s is a whole number from %.0f to %.0f", what, lo, hi);
	return false;
}

bool gf_sema_duration(struct gf_sema_ctx *c, double ns, double lo, double hi, struct gf_span span, const char *what,
		      uint64_t *ret)
{
	if (ns >= lo && ns <= hi) {
		*ret = (uint64_t)(ns + 0.5);
		return true;
	}
	if (!c->partial)
		gf_sema_error(c, "E098", span, NULL, ns < lo ? "%s is at least %s" : "%s is at most %s",
			      what, ns < lo && lo <= 1 ? "1ns" : gf_sema_value(c, ns < lo ? lo : hi, GF_DIM_TIME));
	return false;
}

static const char *const warning_codes[] = {
#define GF_CODE(code, text) code,
#include "compiler/codes.def"
#undef GF_CODE
};

static void check_allow(struct gf_sema_ctx *c, const struct gf_clauses *k)
{
	size_t n = sizeof warning_codes / sizeof warning_codes[0];

	for (uint32_t i = 0; i < k->allows; i++) {
		const char *code = k->allow[i];
		bool known = false;

		for (size_t j = 0; j < n; j++)
			known |= strcmp(warning_codes[j], code) == 0;
		if (known && code[0] == 'W')
			continue;
		if (c->partial)
			continue; /* the parser takes only what looks like a number of a warning */
		const char *near = known ? NULL : gf_nearest(code, warning_codes, n);

		gf_sema_error(c, "E103", k->allow_span[i],
			      known			? "mend what it says" :
			      near && near[0] == 'W'	? gf_sema_printf(c, "did you mean \"%s\"?", near) :
							  "the number stands behind each warning, in brackets",
			      known ? "%s is an error: only warnings can be silenced" : "there is no warning %s",
			      gf_sema_quoted(c, code));
	}
}

/* N times within D cannot be more often than there are samples in D. */
static void check_times(struct gf_sema_ctx *c, const struct gf_for *h, const struct gf_sema_rule *r)
{
	double most = floor((double)r->hold_ns / (double)c->period_ns) + 1;

	if (r->hold_count <= 0 || (double)r->hold_count <= most)
		return;
	gf_sema_error(c, "E104", h->span, "allow a longer time, or ask for fewer",
		      "with a period of %s there are at most %.0f samples within this time",
		      gf_sema_value(c, (double)c->period_ns, GF_DIM_TIME), most);
}

static void check_hold(struct gf_sema_ctx *c, const struct gf_for *h, struct gf_sema_rule *r)
{
	uint32_t n = 0;

	r->hold = h->kind;
	switch (h->kind) {
	case GF_FOR_NONE:
		break;
	case GF_FOR_TIME:
		if (!gf_sema_duration(c, h->ns, 1, HOLD_MAX_NS, h->span, "for", &r->hold_ns))
			break;
		if (r->hold_ns < c->period_ns)
			gf_sema_warn(c, "W004", h->span, "hold for several periods, or leave it out",
				     "this is shorter than a period (%s): one sample is enough",
				     gf_sema_value(c, (double)c->period_ns, GF_DIM_TIME));
		break;
	case GF_FOR_PERIODS:
		gf_sema_whole(c, h->count, 1, PERIODS_MAX, h->span, "the number of periods", &n);
		r->hold_count = n;
		if (n == 1)
			gf_sema_warn(c, "W004", h->span, "hold for several periods, or leave it out",
				     "a condition that is true at all is true for one period");
		break;
	case GF_FOR_TIMES:
		if (!gf_sema_whole(c, h->count, 1, PERIODS_MAX, h->span, "the number of times", &n) ||
		    !gf_sema_duration(c, h->ns, 1, WITHIN_MAX_NS, h->span, "within", &r->hold_ns))
			break;
		r->hold_count = n;
		check_times(c, h, r);
		break;
	}
}

static void check_clauses(struct gf_sema_ctx *c, const struct gf_clauses *k, struct gf_sema_rule *r)
{
	uint32_t n = 0;

	r->observe = k->observe;
	r->settle_ns = SETTLE_NS;
	if (k->cooldown)
		gf_sema_duration(c, k->cooldown_ns, 1, CLAUSE_MAX_NS, k->cooldown_span, "cooldown", &r->cooldown_ns);
	if (k->settle)
		gf_sema_duration(c, k->settle_ns, 0, CLAUSE_MAX_NS, k->settle_span, "settle", &r->settle_ns);
	if (k->limit && gf_sema_whole(c, k->limit_n, 1, GF_MAX_LIMIT, k->limit_span, "the number of a limit", &n) &&
	    gf_sema_duration(c, k->limit_ns, 1, CLAUSE_MAX_NS, k->limit_span, "the time of a limit", &r->limit_ns))
		r->limit_n = n;
	if (!k->priority)
		return;
	if (fabs(k->priority_v) <= PRIORITY_MAX && k->priority_v == floor(k->priority_v))
		r->priority = (int32_t)k->priority_v;
	else if (!c->partial)
		gf_sema_error(c, "E098", k->priority_span, NULL, "priority is a whole number from -%d to %d",
			      PRIORITY_MAX, PRIORITY_MAX);
}

static const char *rule_name(struct gf_sema_ctx *c, const struct gf_stmt *st)
{
	uint32_t line = 0, col = 0;

	if (st->name)
		return st->name;
	if (st->span.src >= c->out->srcs)
		return "?";
	gf_source_locate(&c->out->src[st->span.src], st->span.start, &line, &col);
	return gf_sema_printf(c, "%s:%u", c->out->src[st->span.src].name, line);
}

void gf_sema_rule_check(struct gf_sema_ctx *c, const struct gf_stmt *st, struct gf_sema_rule *r)
{
	const struct gf_clauses *k = &st->clauses;
	bool victim = false;

	c->rule = st;
	*r = (struct gf_sema_rule){ 0 };
	r->ast = (struct gf_stmt *)st;
	r->name = rule_name(c, st);
	r->title = st->title ? st->title : "";
	check_allow(c, k);
	r->cond = gf_sema_condition(c, st->expr, "the condition of this rule");
	c->never = gf_sema_never_here(r->cond);
	check_hold(c, &st->hold, r);
	if (st->until)
		r->until = gf_sema_condition(c, st->until, "until");
	r->task = (r->cond && r->cond->scope == GF_SCOPE_TASK) || (r->until && r->until->scope == GF_SCOPE_TASK);
	check_clauses(c, k, r);
	gf_sema_steps(c, st, r);
	for (uint32_t i = 0; i < r->steps; i++)
		victim |= r->step[i].pick != GF_PICK_NONE;
	if (k->notify && k->notify_text)
		gf_sema_notes(c, r, k->notify_text, k->notify_span, victim, &r->note, &r->notes);
	if (r->cond && !c->never && (!st->until || r->until))
		gf_sema_lint_rule(c, r);
	c->never = false;
	c->rule = NULL;
}
