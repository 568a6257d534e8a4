/* SPDX-License-Identifier: MIT
 *
 * Functions over tasks: aggregates, relatives, and what is there at all.
 */
#include "compiler/sema_int.h"

static bool is(const struct gf_expr *e, const char *name)
{
	return strcmp(e->text, name) == 0;
}

bool gf_sema_need_task(struct gf_sema_ctx *c, const struct gf_node *n, const struct gf_expr *e, const char *what)
{
	if (n->scope == GF_SCOPE_TASK)
		return true;
	if ((n->kind == GF_N_TRUE || n->kind == GF_N_FALSE) && gf_csn(n)->target)
		return true;
	gf_sema_error(c, "E075", e->span, "host fields (with a dot) belong in the rule's condition",
		      "%s says the same of every task: %s needs a task field, such as rss or comm",
		      gf_sema_text(c, e), what);
	return false;
}

static struct gf_node *wants(struct gf_sema_ctx *c, const struct gf_expr *e, const char *form)
{
	gf_sema_error(c, "E071", e->span, gf_sema_printf(c, "it is written %s", form), "%s is not used like this",
		      e->text);
	return NULL;
}

static const char *aggregate_form(const struct gf_expr *e)
{
	return is(e, "count") ? "count() or count(where age < 1min)" :
	       is(e, "sum")   ? "sum(rss) or sum(rss where uid >= 1000)" :
	       is(e, "avg")   ? "avg(rss, 1min) over time, or avg(rss where uid >= 1000) over tasks" :
	       is(e, "max")   ? "max(rss, 1min) over time, or max(rss where uid >= 1000) over tasks" :
				"min(rss, 1min) over time, or min(rss where uid >= 1000) over tasks";
}

/* Condition of `where` or of a function about tasks. Never constant but by the target. */
static struct gf_node *task_condition(struct gf_sema_ctx *c, const struct gf_expr *e, const char *what)
{
	struct gf_node *p = gf_sema_pred(c, e);

	if (!p || !gf_sema_need_task(c, p, e, what))
		return NULL;
	return p;
}

static struct gf_node *aggregate(struct gf_sema_ctx *c, const struct gf_expr *e, enum gf_agg_kind kind,
				 struct gf_node *where, struct gf_node *value)
{
	struct gf_node *n = gf_node_make(c, e, GF_N_AGG, kind, where, value);

	if (!n)
		return NULL;
	struct gf_snode *s = gf_sn(n);

	n->scope = GF_SCOPE_HOST; /* one number for all tasks */
	s->keys = 0;
	if (kind == GF_AGG_COUNT) {
		s->lo = 0;
		return n;
	}
	const struct gf_snode *v = gf_csn(value);

	n->dim = value->dim;
	s->base = v->base;
	if (kind == GF_AGG_SUM) {
		s->lo = v->lo >= 0 ? 0 : -INFINITY;
		s->rlo = v->rlo >= 0 ? 0 : NAN;
		s->rhi = v->rlo >= 0 ? INFINITY : NAN;
	} else {
		s->lo = v->lo;
		s->hi = v->hi;
		s->rlo = v->rlo;
		s->rhi = v->rhi;
	}
	return n;
}

struct gf_node *gf_sema_aggregate(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	bool count = is(e, "count");
	struct gf_node *where = NULL, *value = NULL;
	bool bad = false;

	if (e->args != (count ? 0 : 1))
		return wants(c, e, aggregate_form(e));
	if (!count) {
		value = gf_sema_number(c, e->arg[0]);
		if (value && !gf_dim_is_plain(value->dim)) {
			gf_sema_error(c, "E074", e->arg[0]->span, "tasks are counted with count(where ...)",
				      "%s() is of amounts, and %s is a %s", e->text, gf_sema_text(c, e->arg[0]),
				      gf_dim_name(value->dim));
			value = NULL;
		}
		if (value && !gf_sema_need_task(c, value, e->arg[0], e->text))
			value = NULL;
		bad = !value;
	}
	if (e->where) {
		where = task_condition(c, e->where, "where");
		if (where && where->kind == GF_N_TRUE)
			where = NULL; /* the target's doing: all tasks */
		else
			bad |= !where;
	}
	if (bad)
		return NULL;
	if (!is(e, "avg"))
		return aggregate(c, e,
				 count	      ? GF_AGG_COUNT :
				 is(e, "sum") ? GF_AGG_SUM :
				 is(e, "max") ? GF_AGG_MAX :
						GF_AGG_MIN,
				 where, value);
	/* Over no tasks the quotient is unknown, as an average should be. */
	struct gf_node *sum = aggregate(c, e, GF_AGG_SUM, where, value);
	struct gf_node *n = aggregate(c, e, GF_AGG_COUNT, where, NULL);
	struct gf_node *q = sum && n ? gf_node_arith(c, e, GF_N_DIV, sum, n, value->dim) : NULL;

	if (q) {
		gf_sn(q)->base = gf_sn(value)->base;
		gf_sn(q)->rlo = gf_sn(value)->rlo;
		gf_sn(q)->rhi = gf_sn(value)->rhi;
	}
	return q;
}

static struct gf_node *tree(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	if (e->args != 1 || e->where)
		return wants(c, e, "tree(rss)");
	struct gf_node *v = gf_sema_any(c, e->arg[0]);

	if (!v)
		return NULL;
	if (gf_node_is_pred(v) || !gf_dim_is_plain(v->dim)) {
		gf_sema_error(c, "E074", e->arg[0]->span, "such as tree(rss) > 4GiB",
			      "tree() sums an amount over a task and its descendants, and %s is a %s",
			      gf_sema_text(c, e->arg[0]), gf_node_is_pred(v) ? "condition" : gf_dim_name(v->dim));
		return NULL;
	}
	if (!gf_sema_need_task(c, v, e->arg[0], "tree()"))
		return NULL;
	struct gf_node *n = gf_node_make(c, e, GF_N_TREE, 0, v, NULL);

	if (!n)
		return NULL;
	n->dim = v->dim;
	gf_sn(n)->base = gf_sn(v)->base;
	/* At least the task itself, which may be unknown and then is left out. */
	gf_sn(n)->lo = gf_sn(v)->lo >= 0 ? 0 : -INFINITY;
	gf_sn(n)->rlo = gf_sn(v)->rlo >= 0 ? 0 : NAN;
	gf_sn(n)->rhi = gf_sn(v)->rlo >= 0 ? INFINITY : NAN;
	return n;
}

struct gf_node *gf_sema_relative(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	if (is(e, "tree"))
		return tree(c, e);
	bool any = is(e, "any");
	const struct gf_expr *cond = e->args == 1 && !e->where ? e->arg[0] :
				     any && e->args == 0       ? e->where :
								 NULL;

	if (!cond)
		return wants(c, e, gf_sema_printf(c, "%s(comm == \"make\")", e->text));
	struct gf_node *p = task_condition(c, cond, gf_sema_printf(c, "%s()", e->text));

	if (!p)
		return NULL;
	if (p->kind == GF_N_TRUE || p->kind == GF_N_FALSE)
		return p; /* of the target */
	struct gf_node *n = gf_node_make(c, gf_sema_expand(c, e),
					 any		    ? GF_N_ANYCOL :
					 is(e, "ancestor") ? GF_N_ANCESTOR :
							     GF_N_PARENT,
					 0, p, NULL);

	if (!n)
		return NULL;
	n->span = e->span;
	n->term = true;
	if (any)
		n->scope = GF_SCOPE_HOST;
	return n;
}

/* Known now? What the target can never give is simply false, and guards what stands beside it. */
struct gf_node *gf_sema_available(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	if (e->args != 1 || e->where)
		return wants(c, e, "available(exe)");
	const struct gf_field_info *f = gf_sema_string_field(e->arg[0]);
	struct gf_node *v;

	if (f && !gf_sema_has_field(c, f))
		return gf_node_truth(c, e, false, true);
	if (f) {
		/* a pattern that every text matches is true as soon as the text is known */
		v = gf_node_match(c, e, f->id, "");
		v = v ? gf_node_make(c, e, GF_N_PV, 0, v, NULL) : NULL;
	} else {
		v = gf_sema_any(c, e->arg[0]);
		if (v && (gf_node_is_pred(v) || gf_node_is_const(v))) {
			gf_sema_error(c, "E078", e->arg[0]->span, "such as available(exe)",
				      "available() is of a field, and %s is none", gf_sema_text(c, e->arg[0]));
			return NULL;
		}
		if (v && (gf_sn(v)->need[0] | gf_sn(v)->need[1])) {
			gf_sema_path_guarded(c, v);
			return gf_node_truth(c, e, false, true);
		}
	}
	struct gf_node *n = v ? gf_node_make(c, gf_sema_expand(c, e), GF_N_KNOWN, 0, v, NULL) : NULL;

	if (!n)
		return NULL;
	n->span = e->span;
	n->term = true;
	return n;
}
