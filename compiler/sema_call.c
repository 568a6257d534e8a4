/* SPDX-License-Identifier: MIT
 *
 * Functions: which there are, and those that look back in time.
 */
#include "compiler/sema_int.h"

#define WINDOW_MAX_NS 86400e9

static bool is(const struct gf_expr *e, const char *name)
{
	return strcmp(e->text, name) == 0;
}

/* NULL: said. Otherwise the node of the window, and its length. */
struct gf_node *gf_sema_window(struct gf_sema_ctx *c, const struct gf_expr *e, uint64_t *ret_ns)
{
	struct gf_node *w = gf_sema_number(c, e);

	if (!w)
		return NULL;
	if (!gf_node_is_const(w) || w->dim != GF_DIM_TIME) {
		const char *hint = gf_node_is_const(w) && w->dim == GF_DIM_NUM ?
					   gf_sema_printf(c, "give it a unit: %ss", gf_sema_text(c, e)) :
					   "such as 5s or 10min";

		gf_sema_error(c, "E072", e->span, hint, "the window is a fixed duration, and %s is not",
			      gf_sema_text(c, e));
		return NULL;
	}
	if (!(w->num >= 1) || w->num > WINDOW_MAX_NS) {
		gf_sema_error(c, "E072", e->span, "windows are at least 1ns and at most 24h long",
			      "a window of %s is too %s", gf_sema_text(c, e), w->num >= 1 ? "long" : "short");
		return NULL;
	}
	if (w->num < (double)c->period_ns)
		gf_sema_warn(c, "W005", e->span, "make it at least as long as two periods",
			     "the window is shorter than a period (%s): it sees two samples at most",
			     gf_sema_value(c, (double)c->period_ns, GF_DIM_TIME));
	*ret_ns = (uint64_t)(w->num + 0.5);
	return w;
}

static struct gf_node *wants(struct gf_sema_ctx *c, const struct gf_expr *e, const char *form)
{
	gf_sema_error(c, "E071", e->span, gf_sema_printf(c, "it is written %s", form), "%s is not used like this",
		      e->text);
	return NULL;
}

/* rate() of what is measured in `dim`: its dimension, and what to multiply by. */
static bool rate_dim(enum gf_dim dim, enum gf_dim *ret, double *ret_by)
{
	*ret_by = 1;
	switch (dim) {
	case GF_DIM_NUM:
		*ret = GF_DIM_RATE;
		return true;
	case GF_DIM_BYTES:
		*ret = GF_DIM_BYTERATE;
		return true;
	case GF_DIM_TIME: /* time per time: ns a second as percent */
		*ret = GF_DIM_PCT;
		*ret_by = 1e-7;
		return true;
	case GF_DIM_PCT:
		*ret = GF_DIM_PCT;
		return true;
	default:
		return false;
	}
}

static struct gf_node *history(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	enum gf_stat stat = is(e, "rate")  ? GF_STAT_RATE :
			    is(e, "delta") ? GF_STAT_DELTA :
			    is(e, "avg")   ? GF_STAT_AVG :
			    is(e, "max")   ? GF_STAT_MAX :
					     GF_STAT_MIN;
	uint64_t window = 0;
	enum gf_dim dim;
	double by = 1;

	if (e->args != 2 || e->where)
		return wants(c, e, gf_sema_printf(c, "%s(rss, 5s)", e->text));
	struct gf_node *x = gf_sema_any(c, e->arg[0]);
	struct gf_node *w = gf_sema_window(c, e->arg[1], &window);

	if (!x || !w)
		return NULL;
	if (gf_node_is_pred(x)) {
		gf_sema_error(c, "E073", e->arg[0]->span,
			      gf_sema_printf(c, "whether it has held all the time is held(%s, %s)",
					     gf_sema_text(c, e->arg[0]), gf_sema_text(c, e->arg[1])),
			      "%s is a condition, and %s() is of numbers", gf_sema_text(c, e->arg[0]), e->text);
		return NULL;
	}
	if (gf_node_is_const(x) || !gf_dim_is_plain(x->dim)) {
		gf_sema_error(c, "E074", e->arg[0]->span, NULL, "%s%s has no history: it %s",
			      gf_node_is_const(x) ? "" : "a ",
			      gf_node_is_const(x) ? gf_sema_text(c, e->arg[0]) : gf_dim_name(x->dim),
			      gf_node_is_const(x) ? "never changes" : "is a name, not an amount");
		return NULL;
	}
	dim = x->dim;
	if (stat == GF_STAT_RATE && !rate_dim(x->dim, &dim, &by)) {
		gf_sema_error(c, "E074", e->arg[0]->span,
			      gf_sema_printf(c, "how much it changes is delta(%s, %s)", gf_sema_text(c, e->arg[0]),
					     gf_sema_text(c, e->arg[1])),
			      "%s is a rate already", gf_sema_text(c, e->arg[0]));
		return NULL;
	}
	struct gf_node *n = gf_node_hist(c, e, stat, window, x);

	if (!n)
		return NULL;
	n->dim = dim;
	if (by != 1)
		n = gf_node_scale(c, e, n, by, dim);
	if (n && dim == GF_DIM_PCT)
		gf_sn(n)->base = BASE_SELF;
	return n;
}

static struct gf_node *held(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	uint64_t window = 0;

	if (e->args != 2 || e->where)
		return wants(c, e, "held(cpu > 90%, 10s)");
	struct gf_node *p = gf_sema_pred(c, e->arg[0]);
	struct gf_node *w = gf_sema_window(c, e->arg[1], &window);

	if (!p || !w || p->kind == GF_N_TRUE || p->kind == GF_N_FALSE)
		return p && w ? p : NULL; /* said where it stands */
	struct gf_node *n = gf_node_make(c, gf_sema_expand(c, e), GF_N_HELD, 0, p, NULL);

	if (!n)
		return NULL;
	n->span = e->span;
	n->window_ns = window;
	n->term = true;
	gf_node_rehash(n);
	return n;
}

static const char *const functions[] = { "rate", "delta", "avg",    "max",	"min",	  "held",      "count",
					 "sum",	 "any",	  "tree",   "ancestor", "parent", "available" };

static struct gf_node *unknown_function(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	size_t n = sizeof functions / sizeof functions[0];
	const char *near = gf_nearest(e->text, functions, n);

	if (!near && (is(e, "mean") || is(e, "average")))
		near = "avg";
	if (!near && (is(e, "exists") || is(e, "some")))
		near = "any";
	gf_sema_error(c, "E070", e->op_span,
		      near ? gf_sema_printf(c, "did you mean \"%s\"?", near) :
			     "there are rate, delta, avg, max, min, held, count, sum, any, tree, ancestor, parent, "
			     "available",
		      "there is no function named \"%s\"", gf_sema_quoted(c, e->text));
	return NULL;
}

struct gf_node *gf_sema_call(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	if (is(e, "rate") || is(e, "delta"))
		return history(c, e);
	if (is(e, "avg") || is(e, "max") || is(e, "min"))
		return e->args == 2 && !e->where ? history(c, e) : gf_sema_aggregate(c, e);
	if (is(e, "held"))
		return held(c, e);
	if (is(e, "count") || is(e, "sum"))
		return gf_sema_aggregate(c, e);
	if (is(e, "any") || is(e, "tree") || is(e, "ancestor") || is(e, "parent"))
		return gf_sema_relative(c, e);
	if (is(e, "available"))
		return gf_sema_available(c, e);
	return unknown_function(c, e);
}
