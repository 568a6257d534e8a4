/* SPDX-License-Identifier: MIT
 *
 * limit FIELD VALUE, restore FIELD: what can be limited, in which unit, how far.
 */
#include "compiler/sema_int.h"

static const char *example(struct gf_sema_ctx *c, const struct gf_limit_info *l)
{
	const char *v = l->dim == GF_DIM_BYTES ? "512MiB" : l->dim == GF_DIM_TIME ? "10s" : l->dim == GF_DIM_PCT ? "50%" : "20";

	return gf_sema_printf(c, "such as limit %s %s", l->name, v);
}

static void unknown_limit(struct gf_sema_ctx *c, const struct gf_step_ast *a)
{
	const char *name[GF_LIMIT_COUNT];
	size_t n = 0;

	for (int k = GF_LIMIT_NONE + 1; k < GF_LIMIT_COUNT; k++)
		name[n++] = gf_limit_info((enum gf_limit_kind)k)->name;
	const char *near = gf_nearest(a->name, name, n), *tail = strchr(a->name, '.');

	/* memory.limit, RLIMIT_NOFILE, nofile */
	for (size_t i = 0; i < n && !near; i++) {
		const char *word = strchr(name[i], '.') + 1;

		if (strcasecmp(word, a->name) == 0 || (strncasecmp(a->name, "rlimit_", 7) == 0 && strcasecmp(word, a->name + 7) == 0))
			near = name[i];
	}
	if (!near && strncmp(a->name, "memory", 6) == 0)
		near = "memory.max";
	if (!near && strncmp(a->name, "cpu", 3) == 0)
		near = "cpu.max";
	gf_sema_error(c, "E109", a->name_span,
		      near ? gf_sema_printf(c, "did you mean \"%s\"?", near) :
		      tail ? "there are memory.max, memory.high, pids.max, cpu.max, and rlimit. with what ulimit -a lists" :
			     "a cgroup's limits are memory.max, memory.high, pids.max, cpu.max; a process's begin with rlimit.",
		      "there is nothing to limit named \"%s\"", gf_sema_quoted(c, a->name));
}

/* "max" of cgroups, "unlimited" of ulimit. */
static bool no_limit(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	return e->kind == GF_EX_NAME && !gf_sema_let(c, e->text) &&
	       (strcmp(e->text, "max") == 0 || strcmp(e->text, "unlimited") == 0);
}

/* A waiting percentage is of a CPU, or of mem.total where the limit is of memory. NULL: said. */
static struct gf_node *of_what(struct gf_sema_ctx *c, const struct gf_expr *e, struct gf_node *v,
			       const struct gf_limit_info *l)
{
	if (l->dim == GF_DIM_PCT)
		return gf_node_const(c, e, v->num, GF_DIM_PCT);
	if (!l->of_memory) {
		gf_sema_error(c, "E058", e->span, example(c, l), "a percentage of what? %s has no total to be a percentage of",
			      l->name);
		return NULL;
	}
	if (!(v->num >= 0) || v->num > 100) {
		gf_sema_error(c, "E098", e->span, example(c, l), "%s is from 0%% to 100%% of mem.total", l->name);
		return NULL;
	}
	struct gf_node *total = gf_node_field(c, e, gf_field_find("mem.total"));

	return total ? gf_sema_percent(c, v, total, e) : NULL;
}

static void out_of_range(struct gf_sema_ctx *c, const struct gf_expr *e, const struct gf_limit_info *l)
{
	if (l->dim == GF_DIM_PCT)
		gf_sema_error(c, "E098", e->span, example(c, l), "%s is from %g%% to %g%% of a CPU", l->name, l->lo, l->hi);
	else
		gf_sema_error(c, "E098", e->span, example(c, l), "%s is from %s to %s", l->name,
			      gf_sema_value(c, l->lo, l->dim), gf_sema_value(c, l->hi, l->dim));
}

static void constant(struct gf_sema_ctx *c, const struct gf_expr *e, const struct gf_limit_info *l, double v,
		     struct gf_sema_step *s)
{
	/* 1e-9 has no exact double: what is a whole number of seconds must come out as one. */
	double amount = l->by < 1 ? v / round(1 / l->by) : v;

	if (!(v >= l->lo && v <= l->hi))
		out_of_range(c, e, l);
	else if (l->whole && amount != floor(amount))
		gf_sema_error(c, "E098", e->span, example(c, l), "%s is a whole number%s", l->name,
			      l->dim != GF_DIM_TIME ? "" : l->by < 1e-6 ? " of seconds" : " of microseconds");
	else
		s->amount = l->dim == GF_DIM_BYTES ? floor(amount) : amount;
}

static void computed(struct gf_sema_ctx *c, const struct gf_expr *e, const struct gf_limit_info *l, struct gf_node *v,
		     struct gf_sema_step *s)
{
	const struct gf_snode *n = gf_csn(v);

	if (n->hi < l->lo || n->lo > l->hi) {
		out_of_range(c, e, l);
		return;
	}
	s->value = l->by == 1 ? v : gf_node_scale(c, e, v, l->by, GF_DIM_NUM);
}

void gf_sema_limit(struct gf_sema_ctx *c, const struct gf_step_ast *a, struct gf_sema_step *s)
{
	enum gf_limit_kind kind = a->name ? gf_limit_find(a->name) : GF_LIMIT_NONE;
	const struct gf_limit_info *l = gf_limit_info(kind);
	const struct gf_expr *e = a->value;

	s->limit = (uint8_t)kind;
	if (a->name && kind == GF_LIMIT_NONE)
		unknown_limit(c, a);
	if (a->restore)
		s->amount = -1; /* back to what it was */
	if (a->restore || !e || kind == GF_LIMIT_NONE)
		return;
	if (no_limit(c, e)) {
		/* An unlimited CPU quota has no timer to take one away by: it can be restored only. */
		if (kind == GF_LIMIT_CPU_MAX)
			gf_sema_error(c, "E098", e->span, "give it many CPUs, or: restore cpu.max",
				      "cpu.max can be a percentage only, not unlimited");
		s->amount = INFINITY;
		return;
	}
	struct gf_node *v = gf_sema_finish(c, gf_sema_number(c, e), e);

	if (v && gf_csn(v)->lit_pct)
		v = of_what(c, e, v, l);
	if (!v)
		return;
	if (v->dim != l->dim && !(gf_node_is_const(v) && v->num == 0)) {
		gf_sema_error(c, "E056", e->span, example(c, l), "%s is a %s, and %s is a %s", l->name, gf_dim_name(l->dim),
			      gf_sema_text(c, e), gf_dim_name(v->dim));
		return;
	}
	if (gf_node_is_const(v))
		constant(c, e, l, v->num, s);
	else
		computed(c, e, l, v, s);
}
