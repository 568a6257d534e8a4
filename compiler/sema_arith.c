/* SPDX-License-Identifier: MIT
 *
 * Arithmetic and its dimensions. Times are in ns, rates a second.
 */
#include "compiler/sema_int.h"

bool gf_dim_is_plain(enum gf_dim d)
{
	return d == GF_DIM_NUM || d == GF_DIM_BYTES || d == GF_DIM_TIME || d == GF_DIM_PCT || d == GF_DIM_RATE ||
	       d == GF_DIM_BYTERATE;
}

static const char *total_name(uint8_t base)
{
	return base == BASE_MEM ? "mem.total" : "swap.total";
}

/* 80% of what x is measured by, as a number like x. */
struct gf_node *gf_sema_percent(struct gf_sema_ctx *c, struct gf_node *pct, struct gf_node *x,
				const struct gf_expr *x_expr)
{
	const struct gf_expr *e = pct->expr;
	struct gf_node *n, *total, *k;

	switch (gf_sn(x)->base) {
	case BASE_MEM:
	case BASE_SWAP:
		total = gf_node_field(c, e, gf_field_find(total_name(gf_sn(x)->base)));
		k = gf_node_const(c, e, pct->num / 100, GF_DIM_NUM);
		n = total && k ? gf_node_arith(c, e, GF_N_MUL, k, total, x->dim) : NULL;
		if (!n)
			return NULL;
		gf_sn(n)->base = gf_sn(x)->base;
		return n;
	case BASE_SELF:
		n = gf_node_const(c, e, pct->num, GF_DIM_PCT);
		break;
	case BASE_RATIO:
		n = gf_node_const(c, e, pct->num / 100, GF_DIM_NUM);
		break;
	case BASE_MIX:
		gf_sema_error(c, "E059", e->span,
			      "take the percentage of each part: mem.available < 10% and swap.free < 10%",
			      "%s mixes figures of which a percentage is not the same", gf_sema_text(c, x_expr));
		return NULL;
	default:
		gf_sema_error(c, "E058", e->span,
			      gf_sema_printf(c, "write %s as %s", gf_sema_text(c, e),
					     x->dim == GF_DIM_TIME ? "a duration, such as 5s" :
					     x->dim == GF_DIM_BYTES ? "a size, such as 100MiB" :
								      "a plain number"),
			      "a percentage of what? %s has no total to be a percentage of",
			      gf_sema_text(c, x_expr));
		return NULL;
	}
	if (n)
		gf_sn(n)->base = gf_sn(x)->base;
	return n;
}

/* Literals keep waiting when they meet their like, and turn into the other's measure otherwise. */
static bool settle_percents(struct gf_sema_ctx *c, const struct gf_expr *e, struct gf_node **a, struct gf_node **b)
{
	if (gf_sn(*a)->lit_pct && !gf_sn(*b)->lit_pct)
		*a = gf_sema_percent(c, *a, *b, e->arg[1]);
	else if (gf_sn(*b)->lit_pct && !gf_sn(*a)->lit_pct)
		*b = gf_sema_percent(c, *b, *a, e->arg[0]);
	return *a && *b;
}

static struct gf_node *not_plain(struct gf_sema_ctx *c, const struct gf_node *n, const struct gf_expr *e)
{
	gf_sema_error(c, "E057", e->span, "it can be compared, and that is all",
		      "there is no arithmetic with a %s", gf_dim_name(n->dim));
	return NULL;
}

static struct gf_node *dims_clash(struct gf_sema_ctx *c, const struct gf_expr *e, const struct gf_node *a,
				  const struct gf_node *b, const char *verb)
{
	const char *hint = NULL;

	if (a->dim == GF_DIM_NUM && gf_node_is_const(a))
		hint = gf_sema_printf(c, "give %s a unit", gf_sema_text(c, e->arg[0]));
	else if (b->dim == GF_DIM_NUM && gf_node_is_const(b))
		hint = gf_sema_printf(c, "give %s a unit", gf_sema_text(c, e->arg[1]));
	gf_sema_error(c, "E057", e->span, hint, "%s is a %s and %s is a %s: they cannot be %s",
		      gf_sema_text(c, e->arg[0]), gf_dim_name(a->dim), gf_sema_text(c, e->arg[1]),
		      gf_dim_name(b->dim), verb);
	return NULL;
}

static struct gf_node *sum(struct gf_sema_ctx *c, const struct gf_expr *e, struct gf_node *a, struct gf_node *b)
{
	enum gf_node_kind kind = e->kind == GF_EX_ADD ? GF_N_ADD : GF_N_SUB;
	bool lit = gf_sn(a)->lit_pct && gf_sn(b)->lit_pct;

	if (!settle_percents(c, e, &a, &b))
		return NULL;
	/* Percentages are added to numbers of percent: cpu + 5. */
	bool pct = (a->dim == GF_DIM_PCT && b->dim == GF_DIM_NUM && gf_node_is_const(b)) ||
		   (b->dim == GF_DIM_PCT && a->dim == GF_DIM_NUM && gf_node_is_const(a));

	if (a->dim != b->dim && !pct)
		return dims_clash(c, e, a, b, kind == GF_N_ADD ? "added" : "subtracted");
	struct gf_node *n = gf_node_arith(c, e, kind, a, b, pct ? GF_DIM_PCT : a->dim);

	if (n && lit)
		gf_sn(n)->lit_pct = true;
	return n;
}

/* Dimension of a product, and what to multiply by because times are in ns. False: it has none. */
static bool product_dim(enum gf_dim a, enum gf_dim b, enum gf_dim *ret, double *ret_by)
{
	*ret_by = 1;
	if (a == GF_DIM_NUM || b == GF_DIM_NUM) {
		*ret = a == GF_DIM_NUM ? b : a;
		return true;
	}
	if (b == GF_DIM_TIME) {
		enum gf_dim t = a;

		a = b;
		b = t;
	}
	if (a != GF_DIM_TIME || (b != GF_DIM_RATE && b != GF_DIM_BYTERATE))
		return false;
	*ret_by = 1e-9;
	*ret = b == GF_DIM_RATE ? GF_DIM_NUM : GF_DIM_BYTES;
	return true;
}

static bool quotient_dim(enum gf_dim a, enum gf_dim b, enum gf_dim *ret, double *ret_by)
{
	*ret_by = 1;
	if (a == b) {
		*ret = GF_DIM_NUM;
	} else if (b == GF_DIM_NUM) {
		*ret = a;
	} else if (b == GF_DIM_TIME && (a == GF_DIM_NUM || a == GF_DIM_BYTES)) {
		*ret = a == GF_DIM_NUM ? GF_DIM_RATE : GF_DIM_BYTERATE;
		*ret_by = 1e9;
	} else if ((a == GF_DIM_NUM && b == GF_DIM_RATE) || (a == GF_DIM_BYTES && b == GF_DIM_BYTERATE)) {
		*ret = GF_DIM_TIME;
		*ret_by = 1e9;
	} else {
		return false;
	}
	return true;
}

/* 80% in a product is 0.8. */
static struct gf_node *as_share(struct gf_sema_ctx *c, struct gf_node *n)
{
	return gf_sn(n)->lit_pct ? gf_node_const(c, n->expr, n->num / 100, GF_DIM_NUM) : n;
}

static struct gf_node *product(struct gf_sema_ctx *c, const struct gf_expr *e, struct gf_node *a, struct gf_node *b)
{
	bool quotient = e->kind == GF_EX_DIV;
	enum gf_dim dim;
	double by;

	/* 2 * 40% and 80% / 2 still wait. */
	bool lit = quotient ? gf_sn(a)->lit_pct && b->dim == GF_DIM_NUM && gf_node_is_const(b) :
			      gf_sn(a)->lit_pct != gf_sn(b)->lit_pct && gf_node_is_const(a) && gf_node_is_const(b) &&
				      (a->dim == GF_DIM_NUM || b->dim == GF_DIM_NUM);
	if (!lit) {
		a = as_share(c, a);
		b = as_share(c, b);
		if (!a || !b)
			return NULL;
	}
	if (!(quotient ? quotient_dim : product_dim)(a->dim, b->dim, &dim, &by))
		return dims_clash(c, e, a, b, quotient ? "divided" : "multiplied");
	if (quotient && gf_node_is_const(b) && b->num == 0) {
		gf_sema_error(c, "E087", e->arg[1]->span, NULL, "division by zero");
		return NULL;
	}
	struct gf_node *n = gf_node_arith(c, e, quotient ? GF_N_DIV : GF_N_MUL, a, b, dim);

	if (n && by != 1)
		n = gf_node_scale(c, e, n, by, dim);
	if (n && lit) {
		n->dim = GF_DIM_PCT;
		gf_sn(n)->lit_pct = true;
	}
	return n;
}

struct gf_node *gf_sema_arith(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	struct gf_node *a = gf_sema_number(c, e->arg[0]);
	struct gf_node *b = gf_sema_number(c, e->arg[1]);

	if (!a || !b)
		return NULL;
	if (!gf_dim_is_plain(a->dim))
		return not_plain(c, a, e->arg[0]);
	if (!gf_dim_is_plain(b->dim))
		return not_plain(c, b, e->arg[1]);
	if (e->kind == GF_EX_ADD || e->kind == GF_EX_SUB)
		return sum(c, e, a, b);
	return product(c, e, a, b);
}

struct gf_node *gf_sema_negate(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	struct gf_node *a = gf_sema_number(c, e->arg[0]);

	if (!a)
		return NULL;
	if (!gf_dim_is_plain(a->dim))
		return not_plain(c, a, e->arg[0]);
	struct gf_node *n = gf_node_arith(c, e, GF_N_NEG, a, NULL, a->dim);

	if (n)
		gf_sn(n)->lit_pct = gf_sn(a)->lit_pct;
	return n;
}
