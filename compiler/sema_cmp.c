/* SPDX-License-Identifier: MIT
 *
 * Comparisons of numbers: dimensions, percentages, ranges.
 *
 * A percentage of memory becomes a product with mem.total, so that reports show
 * sizes. A percentage of swap becomes the share used, (x / swap.total) * 100
 * compared with the number: without swap the quotient is unknown, and
 * `swap.free <= 10%` does not fire on a machine that has none.
 */
#include "compiler/sema_int.h"

enum verdict { VARIES, ALWAYS, NEVER };

static bool is_zero(const struct gf_node *n)
{
	return gf_node_is_const(n) && n->num == 0;
}

static const char *unit_example(enum gf_dim d)
{
	switch (d) {
	case GF_DIM_BYTES:
		return "MiB";
	case GF_DIM_TIME:
		return "s";
	case GF_DIM_BYTERATE:
		return "MiB/s";
	case GF_DIM_RATE:
		return "/s";
	case GF_DIM_PCT:
		return "%";
	default:
		return NULL;
	}
}

static const char *clash_hint(struct gf_sema_ctx *c, const struct gf_node *l, const struct gf_node *r,
			      const struct gf_expr *le, const struct gf_expr *re)
{
	if (gf_node_is_const(l) && !gf_node_is_const(r))
		return clash_hint(c, r, l, re, le);
	const char *x = gf_sema_text(c, le), *v = gf_sema_text(c, re);

	if (l->dim == GF_DIM_ENUM_STATE)
		return "compare it with a letter in quotes: state == \"D\"";
	if (l->dim == GF_DIM_ENUM_SCHED)
		return "compare it with a name in quotes: policy == \"fifo\"";
	if (l->dim == GF_DIM_UID || l->dim == GF_DIM_GID)
		return l->dim == GF_DIM_UID ? "compare it with a number, or with a user's name in quotes" :
					      "compare it with a number, or with a group's name in quotes";
	if ((r->dim == GF_DIM_RATE && l->dim == GF_DIM_NUM) ||
	    (r->dim == GF_DIM_BYTERATE && l->dim == GF_DIM_BYTES))
		return gf_sema_printf(c, "how fast it changes is rate(%s, 5s)", x);
	if (r->dim == GF_DIM_NUM && gf_node_is_const(r) && unit_example(l->dim))
		return gf_sema_printf(c, "give %s a unit: %s%s", v, v, unit_example(l->dim));
	if (gf_node_is_const(r) && unit_example(l->dim))
		return gf_sema_printf(c, "compare %s with a %s, such as %s%s", x, gf_dim_name(l->dim),
				      l->dim == GF_DIM_RATE ? "500" : "5", unit_example(l->dim));
	return NULL;
}

static const char *article(enum gf_dim d)
{
	return d == GF_DIM_BOOL ? "a condition" : gf_dim_name(d);
}

/* Is l comparable with a constant r of another dimension? */
static bool takes(const struct gf_node *l, const struct gf_node *r)
{
	if (!gf_node_is_const(r))
		return false;
	if (is_zero(r) && gf_dim_is_plain(l->dim) && gf_dim_is_plain(r->dim))
		return true; /* nothing is nothing in every unit */
	switch (l->dim) {
	case GF_DIM_PCT:
	case GF_DIM_RATE:
	case GF_DIM_UID:
	case GF_DIM_GID:
		return r->dim == GF_DIM_NUM;
	case GF_DIM_BYTERATE:
		return r->dim == GF_DIM_BYTES; /* rate(rss, 5s) > 10MiB: a second, what else */
	default:
		return false;
	}
}

static bool dims_agree(struct gf_sema_ctx *c, const struct gf_expr *e, const struct gf_node *l,
		       const struct gf_node *r, const struct gf_expr *le, const struct gf_expr *re)
{
	if (l->dim == r->dim || takes(l, r) || takes(r, l)) {
		const struct gf_node *x = gf_node_is_const(r) ? l : r, *k = gf_node_is_const(r) ? r : l;

		if (x->dim == GF_DIM_PCT && k->dim == GF_DIM_NUM && k->num > 0 && k->num < 1)
			gf_sema_warn(c, "W009", k->expr->span,
				     gf_sema_printf(c, "write %g%%, or %g%% if that is what is meant",
						    k->num * 100, k->num),
				     "%s is less than one percent", gf_sema_text(c, k->expr));
		return true;
	}
	gf_sema_error(c, "E056", e->span, clash_hint(c, l, r, le, re),
		      "%s is a %s and %s is a %s: they cannot be compared", gf_sema_text(c, le), article(l->dim),
		      gf_sema_text(c, re), article(r->dim));
	return false;
}

static struct gf_node *share_of_swap(struct gf_sema_ctx *c, struct gf_node *x)
{
	struct gf_node *total = gf_node_field(c, x->expr, gf_field_find("swap.total"));
	struct gf_node *q = total ? gf_node_arith(c, x->expr, GF_N_DIV, x, total, GF_DIM_NUM) : NULL;
	struct gf_node *n = q ? gf_node_scale(c, x->expr, q, 100, GF_DIM_PCT) : NULL;

	if (!n)
		return NULL;
	struct gf_snode *s = gf_sn(n);
	const struct gf_snode *k = gf_csn(x);

	s->base = BASE_SELF;
	if (!isnan(k->rlo)) {
		s->lo = fmax(s->lo, k->rlo * 100);
		s->hi = fmin(s->hi, k->rhi * 100);
	}
	return n;
}

/* One side is a waiting percentage, the other is not. */
static bool settle(struct gf_sema_ctx *c, struct gf_node **pct, struct gf_node **x, const struct gf_expr *xe)
{
	if (gf_sn(*x)->base == BASE_SWAP) {
		*x = share_of_swap(c, *x);
		*pct = gf_node_const(c, (*pct)->expr, (*pct)->num, GF_DIM_PCT);
	} else {
		*pct = gf_sema_percent(c, *pct, *x, xe);
	}
	return *pct && *x;
}

static enum verdict judge(enum gf_node_kind op, double llo, double lhi, double rlo, double rhi)
{
	switch (op) {
	case GF_N_LT:
		return lhi < rlo ? ALWAYS : llo >= rhi ? NEVER : VARIES;
	case GF_N_LE:
		return lhi <= rlo ? ALWAYS : llo > rhi ? NEVER : VARIES;
	case GF_N_GT:
		return judge(GF_N_LT, rlo, rhi, llo, lhi);
	case GF_N_GE:
		return judge(GF_N_LE, rlo, rhi, llo, lhi);
	case GF_N_EQ:
		if (lhi < rlo || rhi < llo)
			return NEVER;
		return llo == lhi && rlo == rhi && llo == rlo ? ALWAYS : VARIES;
	default: {
		enum verdict v = judge(GF_N_EQ, llo, lhi, rlo, rhi);

		return v == ALWAYS ? NEVER : v == NEVER ? ALWAYS : VARIES;
	}
	}
}

static enum verdict verdict_of(enum gf_node_kind op, const struct gf_node *l, const struct gf_node *r)
{
	const struct gf_snode *a = gf_csn(l), *b = gf_csn(r);
	enum verdict v = judge(op, a->lo, a->hi, b->lo, b->hi);

	if (v == VARIES && a->base == b->base && (a->base == BASE_MEM || a->base == BASE_SWAP) && !isnan(a->rlo) &&
	    !isnan(b->rlo))
		v = judge(op, a->rlo, a->rhi, b->rlo, b->rhi);
	return v;
}

static const char *end_text(struct gf_sema_ctx *c, double v, enum gf_dim dim)
{
	return dim == GF_DIM_PCT ? gf_sema_printf(c, "%g%%", v) : gf_sema_value(c, v, dim);
}

/* "nice is between -20 and 19" */
static const char *range_text(struct gf_sema_ctx *c, const struct gf_node *n, const struct gf_expr *e,
			      const struct gf_node *with)
{
	const struct gf_snode *s = gf_csn(n);
	const char *x = gf_sema_text(c, e);
	bool share = s->base == gf_csn(with)->base && (s->base == BASE_MEM || s->base == BASE_SWAP) && !isnan(s->rlo);

	if (share && isfinite(s->rhi))
		return gf_sema_printf(c, "%s is between %g%% and %g%% of %s", x, s->rlo * 100, s->rhi * 100,
				      s->base == BASE_MEM ? "mem.total" : "swap.total");
	if (isfinite(s->lo) && isfinite(s->hi))
		return gf_sema_printf(c, "%s is between %s and %s", x, end_text(c, s->lo, n->dim),
				      end_text(c, s->hi, n->dim));
	if (isfinite(s->lo))
		return gf_sema_printf(c, "%s is never below %s", x, end_text(c, s->lo, n->dim));
	if (isfinite(s->hi))
		return gf_sema_printf(c, "%s is never above %s", x, end_text(c, s->hi, n->dim));
	return NULL;
}

static void normal_form(struct gf_snode *s, enum gf_node_kind op, const struct gf_node *l, const struct gf_node *r,
			bool mirrored)
{
	static const uint8_t mirror[] = { GF_N_GT, GF_N_GE, GF_N_LT, GF_N_LE, GF_N_EQ, GF_N_NE };

	if (gf_node_is_const(r)) {
		s->bound_kind = BOUND_ABS;
		s->bound = r->num;
		s->key = l->hash;
	} else if (r->kind == GF_N_MUL && gf_node_is_const(r->kid[0]) && r->kid[1]->kind == GF_N_HOST &&
		   r->kid[1]->id == GF_HF_MEM_TOTAL) {
		s->bound_kind = BOUND_RATIO;
		s->bound = r->kid[0]->num;
		s->key = l->hash + 1;
	} else if (!mirrored) {
		normal_form(s, (enum gf_node_kind)mirror[op - GF_N_LT], r, l, true);
		return;
	} else {
		s->key = s->n.hash;
		return;
	}
	s->op = (uint8_t)op;
}

static void warn_counter(struct gf_sema_ctx *c, const struct gf_expr *e, const struct gf_node *x,
			 const struct gf_node *k, const struct gf_expr *xe)
{
	if (!gf_csn(x)->cnt || x->dim == GF_DIM_TIME || !gf_node_is_const(k) || is_zero(k))
		return;
	const char *t = gf_sema_text(c, xe);

	gf_sema_warn(c, "W003", e->span, gf_sema_printf(c, "rate(%s, 5s) or delta(%s, 1min)", t, t),
		     "%s only ever grows: once true, this stays true", t);
}

/* A number that things are counted or named by: never a fraction. */
static bool is_whole(const struct gf_node *n)
{
	if (n->dim != GF_DIM_NUM && n->dim != GF_DIM_UID && n->dim != GF_DIM_GID)
		return false;
	if (n->kind == GF_N_HOST)
		return n->id != GF_HF_LOAD_1 && n->id != GF_HF_LOAD_5 && n->id != GF_HF_LOAD_15;
	return n->kind == GF_N_TASK || (n->kind == GF_N_AGG && n->id == GF_AGG_COUNT);
}

static bool is_fraction(const struct gf_node *n)
{
	return gf_node_is_const(n) && n->num != floor(n->num);
}

/* The comparison as a node, and whether it can come out both ways. NULL after an error. */
static struct gf_node *make(struct gf_sema_ctx *c, const struct gf_expr *e, enum gf_node_kind op, struct gf_node *l,
			    struct gf_node *r, const struct gf_expr *le, const struct gf_expr *re,
			    enum verdict *ret_v, const char **ret_why)
{
	if (gf_sn(l)->lit_pct != gf_sn(r)->lit_pct &&
	    !(gf_sn(l)->lit_pct ? settle(c, &l, &r, re) : settle(c, &r, &l, le)))
		return NULL;
	if (!dims_agree(c, e, l, r, le, re))
		return NULL;
	if (l->hash == r->hash && !gf_node_is_const(l)) {
		gf_sema_error(c, "E086", e->span, NULL, "%s is compared with itself", gf_sema_text(c, le));
		return NULL;
	}
	*ret_v = verdict_of(op, l, r);
	*ret_why = gf_node_is_const(l) && gf_node_is_const(r) ? "both sides are fixed values" :
		   gf_node_is_const(l)			      ? range_text(c, r, re, l) :
								range_text(c, l, le, r);
	if ((op == GF_N_EQ || op == GF_N_NE) && ((is_whole(l) && is_fraction(r)) || (is_whole(r) && is_fraction(l)))) {
		*ret_v = op == GF_N_EQ ? NEVER : ALWAYS;
		*ret_why = gf_sema_printf(c, "%s is a whole number", gf_sema_text(c, is_whole(l) ? le : re));
	}
	struct gf_node *n = gf_node_make(c, gf_sema_expand(c, e), op, 0, l, r);

	if (!n)
		return NULL;
	n->span = e->span;
	n->term = true;
	normal_form(gf_sn(n), op, l, r, false);
	gf_sn(n)->keys = 1ull << (gf_sn(n)->key & 63);
	warn_counter(c, e, l, r, le);
	warn_counter(c, e, r, l, re);
	return n;
}

static struct gf_node *report(struct gf_sema_ctx *c, const struct gf_expr *e, enum verdict v, const char *why)
{
	gf_sema_error(c, v == ALWAYS ? "E080" : "E081", e->span, why, "%s is %s true", gf_sema_text(c, e),
		      v == ALWAYS ? "always" : "never");
	return NULL;
}

struct gf_node *gf_sema_compare_nodes(struct gf_sema_ctx *c, const struct gf_expr *e, enum gf_node_kind op,
				      struct gf_node *l, struct gf_node *r, const struct gf_expr *le,
				      const struct gf_expr *re)
{
	enum verdict v;
	const char *why;
	struct gf_node *n = make(c, e, op, l, r, le, re, &v, &why);

	return n && v != VARIES ? report(c, e, v, why) : n;
}

static enum gf_node_kind op_of(enum gf_expr_kind k)
{
	return (enum gf_node_kind)(GF_N_LT + (k - GF_EX_LT));
}

/* A side of a comparison: a number, or a string for which the other side stands. */
static bool sides(struct gf_sema_ctx *c, const struct gf_expr *a, const struct gf_expr *b, bool equality,
		  struct gf_node **ret_a, struct gf_node **ret_b)
{
	if (a->kind == GF_EX_STRING && b->kind != GF_EX_STRING)
		return sides(c, b, a, equality, ret_b, ret_a);
	*ret_a = gf_sema_number(c, a);
	if (b->kind != GF_EX_STRING) {
		*ret_b = gf_sema_number(c, b);
		return *ret_a && *ret_b;
	}
	if (!*ret_a)
		return false;
	if (!equality && !gf_dim_is_plain((*ret_a)->dim)) {
		gf_sema_error(c, "E061", b->span, "use ==, != or in", "a name has no order");
		return false;
	}
	*ret_b = gf_sema_named_value(c, b, *ret_a, a);
	return *ret_b != NULL;
}

/* uid == root, state == Z: names of values stand in quotes. */
static bool unquoted(struct gf_sema_ctx *c, const struct gf_expr *e, const struct gf_expr *a, const struct gf_expr *b)
{
	const struct gf_field_info *f = a->kind == GF_EX_NAME ? gf_field_find(a->text) : NULL;

	if (!f || f->str || b->kind != GF_EX_NAME || gf_field_find(b->text) || gf_sema_let(c, b->text))
		return false;
	if (f->dim != GF_DIM_UID && f->dim != GF_DIM_GID && f->dim != GF_DIM_ENUM_STATE && f->dim != GF_DIM_ENUM_SCHED)
		return false;
	gf_sema_error(c, "E060", b->span, f->dim == GF_DIM_ENUM_STATE && strlen(b->text) > 1 ? "a state is a letter in quotes, as ps shows it: \"D\"" :
		      e->kind != GF_EX_EQ && e->kind != GF_EX_NE ? "a name has no order: use ==, != or in" :
		      gf_sema_printf(c, "%s %s \"%s\"?", f->name, e->kind == GF_EX_NE ? "!=" : "==", gf_sema_quoted(c, b->text)),
		      "%s is compared with %sa name in quotes", f->name, f->dim == GF_DIM_UID || f->dim == GF_DIM_GID ? "a number, or " : "");
	return true;
}

struct gf_node *gf_sema_compare(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	const struct gf_expr *a = e->arg[0], *b = e->arg[1];
	const struct gf_field_info *f = gf_sema_string_field(a), *g = gf_sema_string_field(b);
	bool equality = e->kind == GF_EX_EQ || e->kind == GF_EX_NE;
	struct gf_node *l, *r;

	if (!a || !b)
		return NULL;
	if (f)
		return gf_sema_string_test(c, e, f, b);
	if (g)
		return gf_sema_string_test(c, e, g, a);
	if (gf_sema_is_target(a) || gf_sema_is_target(b))
		return gf_sema_target_test(c, e, gf_sema_is_target(a) ? b : a);
	if (unquoted(c, e, a, b) || !sides(c, a, b, equality, &l, &r))
		return NULL;
	if (!equality && (l->dim == GF_DIM_ENUM_STATE || l->dim == GF_DIM_ENUM_SCHED)) {
		gf_sema_error(c, "E061", e->op_span, "use ==, != or in", "a %s has no order", gf_dim_name(l->dim));
		return NULL;
	}
	return gf_sema_compare_nodes(c, e, op_of(e->kind), l, r, a, b);
}

/* One half of `x between A and B`, as a comparison that can be shown. */
static struct gf_node *half(struct gf_sema_ctx *c, const struct gf_expr *e, enum gf_expr_kind kind, struct gf_node *x,
			    struct gf_node *b, struct gf_expr *be, enum verdict *ret_v, const char **ret_why)
{
	struct gf_expr *h = gf_sema_clone_op(c, e, kind, e->arg[0], be);

	return h ? make(c, h, op_of(kind), x, b, e->arg[0], be, ret_v, ret_why) : NULL;
}

struct gf_node *gf_sema_between(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	const struct gf_field_info *f = gf_sema_string_field(e->arg[0]);

	if (f) {
		gf_sema_error(c, "E061", e->op_span, "use ==, ~ or in", "%s is a text: texts have no order", f->name);
		return NULL;
	}
	struct gf_node *x = gf_sema_number(c, e->arg[0]);
	enum verdict va, vb;
	const char *why, *why_b;

	if (x && !gf_dim_is_plain(x->dim) && x->dim != GF_DIM_UID && x->dim != GF_DIM_GID) {
		gf_sema_error(c, "E061", e->op_span, "use ==, != or in", "a %s has no order", gf_dim_name(x->dim));
		return NULL;
	}
	struct gf_node *a = gf_sema_number(c, e->arg[1]), *b = gf_sema_number(c, e->arg[2]);

	if (!x || !a || !b)
		return NULL;
	if (gf_node_is_const(a) && gf_node_is_const(b) && a->dim == b->dim && a->num > b->num) {
		gf_sema_error(c, "E085", e->span, "the smaller value comes first", "nothing is between %s and %s",
			      gf_sema_text(c, e->arg[1]), gf_sema_text(c, e->arg[2]));
		return NULL;
	}
	a = half(c, e, GF_EX_GE, x, a, e->arg[1], &va, &why);
	b = half(c, e, GF_EX_LE, x, b, e->arg[2], &vb, &why_b);
	if (!a || !b)
		return NULL;
	if (va == NEVER || vb == NEVER)
		return report(c, e, NEVER, va == NEVER ? why : why_b);
	if (va == ALWAYS && vb == ALWAYS)
		return report(c, e, ALWAYS, why);
	if (va == ALWAYS || vb == ALWAYS)
		return va == ALWAYS ? b : a; /* between 0 and B */
	return gf_node_make(c, e, GF_N_AND, 0, a, b);
}

struct gf_node *gf_sema_in(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	const struct gf_field_info *f = gf_sema_string_field(e->arg[0]);

	if (f)
		return gf_sema_string_in(c, e, f);
	if (gf_sema_is_target(e->arg[0]))
		return gf_sema_target_in(c, e);
	struct gf_node *x = gf_sema_number(c, e->arg[0]), *all = NULL;
	bool bad = !x;

	for (uint32_t i = 1; i < e->args; i++) {
		struct gf_expr *v = e->arg[i];
		struct gf_expr *eq = v ? gf_sema_clone_op(c, e, GF_EX_EQ, e->arg[0], v) : NULL;
		struct gf_node *k = NULL;

		if (!eq || !x)
			return NULL;
		eq->span = v->span;
		k = v->kind == GF_EX_STRING ? gf_sema_named_value(c, v, x, e->arg[0]) : gf_sema_number(c, v);
		struct gf_node *n = k ? gf_sema_compare_nodes(c, eq, GF_N_EQ, x, k, e->arg[0], v) : NULL;

		bad |= !n;
		if (!n)
			continue;
		n->term = e->args == 2;
		if (all && gf_node_implies(n, all))
			gf_sema_warn(c, "W006", v->span, "delete it", "%s is in the list twice", gf_sema_text(c, v));
		all = all ? gf_node_make(c, gf_sema_expand(c, e), GF_N_OR, 0, all, n) : n;
		if (!all)
			return NULL;
	}
	if (bad || !all)
		return NULL;
	all->term = true;
	return all;
}
