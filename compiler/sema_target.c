/* SPDX-License-Identifier: MIT
 *
 * target.kind: which kind of target a policy is compiled for, so that one policy can
 * serve several. Known now: it folds, and a rule that it makes impossible is left
 * out, with whatever this target could not do.
 */
#include "compiler/sema_int.h"

static const char *const kinds[GF_TARGET_COUNT] = { "host", "vm", "image", "trace" };

const char *gf_sema_target_name(const struct gf_sema_ctx *c)
{
	return (unsigned)c->opts->target < GF_TARGET_COUNT ? kinds[c->opts->target] : "this";
}

bool gf_sema_is_target(const struct gf_expr *e)
{
	return e && e->kind == GF_EX_NAME && strcmp(e->text, GF_SEMA_TARGET_KIND) == 0;
}

/* -1: said. Else whether it is this kind. */
static int is_kind(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	if (e->kind != GF_EX_STRING) {
		gf_sema_error(c, "E060", e->span, "such as " GF_SEMA_TARGET_KIND " == \"vm\"",
			      GF_SEMA_TARGET_KIND " is a text: it is compared with a text in quotes");
		return -1;
	}
	for (size_t i = 0; i < GF_TARGET_COUNT; i++)
		if (strcmp(e->text, kinds[i]) == 0)
			return i == (size_t)c->opts->target;
	const char *near = gf_nearest(e->text, kinds, GF_TARGET_COUNT);

	gf_sema_error(c, "E068", e->span,
		      near ? gf_sema_printf(c, "did you mean \"%s\"?", near) : "there are host, vm, image and trace",
		      "there is no kind of target named \"%s\"", gf_sema_quoted(c, e->text));
	return -1;
}

struct gf_node *gf_sema_target_test(struct gf_sema_ctx *c, const struct gf_expr *e, const struct gf_expr *rhs)
{
	if (e->kind != GF_EX_EQ && e->kind != GF_EX_NE) {
		gf_sema_error(c, "E061", e->op_span, "use ==, != or in", GF_SEMA_TARGET_KIND " is one of a few words");
		return NULL;
	}
	int is = is_kind(c, rhs);

	return is < 0 ? NULL : gf_node_truth(c, e, is == (e->kind == GF_EX_EQ), true);
}

struct gf_node *gf_sema_target_in(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	bool in = false, bad = false;

	for (uint32_t i = 1; i < e->args; i++) {
		int is = e->arg[i] ? is_kind(c, e->arg[i]) : -1;

		in |= is > 0;
		bad |= is < 0;
	}
	return bad ? NULL : gf_node_truth(c, e, in, true);
}

bool gf_sema_never_here(const struct gf_node *cond)
{
	return cond && cond->kind == GF_N_FALSE && gf_csn(cond)->target;
}

/* Stands for what the target cannot give, in a rule that is never true there. */
struct gf_node *gf_sema_stand_in(struct gf_sema_ctx *c, const struct gf_node *n, const struct gf_expr *e)
{
	if (gf_node_is_pred(n))
		return gf_node_truth(c, e, false, true);
	return gf_node_field(c, e, gf_field_find(n->scope == GF_SCOPE_TASK ? "rss" : "mem.total"));
}
