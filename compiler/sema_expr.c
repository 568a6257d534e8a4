/* SPDX-License-Identifier: MIT
 *
 * Expressions: which part of sema each kind is for.
 */
#include "compiler/sema_int.h"

static struct gf_node *literal(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	enum gf_dim dim = GF_DIM_NUM;

	if (e->bad)
		return NULL; /* the lexer has said so */
	switch (e->unit) {
	case GF_UNIT_NONE:
		dim = e->per_sec ? GF_DIM_RATE : GF_DIM_NUM;
		break;
	case GF_UNIT_BYTES:
		dim = e->per_sec ? GF_DIM_BYTERATE : GF_DIM_BYTES;
		break;
	case GF_UNIT_TIME:
		dim = GF_DIM_TIME;
		break;
	case GF_UNIT_PCT:
		dim = GF_DIM_PCT;
		break;
	}
	struct gf_node *n = gf_node_const(c, e, e->num, dim);

	if (n)
		gf_sn(n)->lit_pct = e->unit == GF_UNIT_PCT;
	return n;
}

static struct gf_node *text(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	gf_sema_error(c, "E054", e->span, "such as comm == \"sshd\" or comm ~ \"chrom*\"",
		      "a text can only be compared with a field that is one");
	return NULL;
}

static struct gf_node *dispatch(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	switch (e->kind) {
	case GF_EX_NUMBER:
		return literal(c, e);
	case GF_EX_STRING:
	case GF_EX_REGEX:
		return text(c, e);
	case GF_EX_NAME:
		return gf_sema_name(c, e);
	case GF_EX_PATH:
		return gf_sema_path(c, e);
	case GF_EX_BOOL:
		return gf_node_truth(c, e, e->num != 0, false);
	case GF_EX_NOT:
		return gf_sema_not(c, e);
	case GF_EX_NEG:
		return gf_sema_negate(c, e);
	case GF_EX_AND:
	case GF_EX_OR:
		return gf_sema_junction(c, e);
	case GF_EX_LT:
	case GF_EX_LE:
	case GF_EX_GT:
	case GF_EX_GE:
	case GF_EX_EQ:
	case GF_EX_NE:
		return gf_sema_compare(c, e);
	case GF_EX_TILDE:
		return gf_sema_tilde(c, e);
	case GF_EX_BETWEEN:
		return gf_sema_between(c, e);
	case GF_EX_IN:
		return gf_sema_in(c, e);
	case GF_EX_ADD:
	case GF_EX_SUB:
	case GF_EX_MUL:
	case GF_EX_DIV:
		return gf_sema_arith(c, e);
	case GF_EX_CALL:
		return gf_sema_call(c, e);
	}
	return NULL;
}

struct gf_node *gf_sema_any(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	if (!e || c->oom)
		return NULL;
	if (c->depth >= GF_SEMA_MAX_DEPTH) {
		gf_sema_error(c, "E079", e->span, "name parts of it with let, and split the rule",
			      "this is nested too deeply: more than %u levels with its lets written out",
			      GF_SEMA_MAX_DEPTH);
		return NULL;
	}
	c->depth++;
	struct gf_node *n = dispatch(c, e);

	c->depth--;
	return n;
}

struct gf_node *gf_sema_number(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	struct gf_node *n = gf_sema_any(c, e);

	if (!n || !gf_node_is_pred(n))
		return n;
	gf_sema_error(c, "E054", e->span, "conditions are joined with and, or, not",
		      "%s is a condition, and a number is needed here", gf_sema_text(c, e));
	return NULL;
}

static const char *example_of(struct gf_sema_ctx *c, const struct gf_node *n, const struct gf_expr *e)
{
	const char *t = gf_sema_text(c, e);

	if (gf_node_is_const(n))
		return "compare something with it, such as rss > 1GiB";
	switch (n->dim) {
	case GF_DIM_BYTES:
		return gf_sema_printf(c, "compare it, such as %s > 1GiB", t);
	case GF_DIM_TIME:
		return gf_sema_printf(c, "compare it, such as %s > 10s", t);
	case GF_DIM_PCT:
		return gf_sema_printf(c, "compare it, such as %s > 90%%", t);
	case GF_DIM_RATE:
		return gf_sema_printf(c, "compare it, such as %s > 100/s", t);
	case GF_DIM_BYTERATE:
		return gf_sema_printf(c, "compare it, such as %s > 10MiB/s", t);
	case GF_DIM_ENUM_STATE:
		return gf_sema_printf(c, "compare it, such as %s == \"D\"", t);
	case GF_DIM_ENUM_SCHED:
		return gf_sema_printf(c, "compare it, such as %s == \"fifo\"", t);
	default:
		return gf_sema_printf(c, "compare it, such as %s > 10", t);
	}
}

struct gf_node *gf_sema_pred(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	struct gf_node *n = gf_sema_any(c, e);

	if (!n || gf_node_is_pred(n))
		return n;
	gf_sema_error(c, "E055", e->span, example_of(c, n, e), "%s is a %s, and a condition is needed here",
		      gf_sema_text(c, e), gf_dim_name(n->dim));
	return NULL;
}

struct gf_node *gf_sema_condition(struct gf_sema_ctx *c, const struct gf_expr *e, const char *what)
{
	struct gf_node *n = gf_sema_finish(c, gf_sema_pred(c, e), e);

	if (!n || (n->kind != GF_N_TRUE && n->kind != GF_N_FALSE) || gf_sn(n)->target)
		return n;
	gf_sema_error(c, "E084", e->span, "a statement that is not wanted is put behind #", "%s is always %s", what,
		      n->kind == GF_N_TRUE ? "true" : "false");
	return NULL;
}
