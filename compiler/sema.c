/* SPDX-License-Identifier: MIT
 *
 * From trees to meaning: lets, classes, rules, and their order.
 */
#include <errno.h>
#include <stdlib.h>

#include "compiler/sema_int.h"

#define DEFAULT_PERIOD_NS 100000000ull

static void count_statements(struct gf_ast *const *ast, size_t n, size_t *lets, size_t *rules, size_t *classes)
{
	*lets = *rules = *classes = 0;
	for (size_t i = 0; i < n; i++)
		for (const struct gf_stmt *st = ast[i]->first; st; st = st->next) {
			*lets += st->kind == GF_ST_LET;
			*rules += st->kind == GF_ST_RULE;
			*classes += st->kind != GF_ST_LET && st->kind != GF_ST_RULE;
		}
}

static void define(struct gf_sema_ctx *c, const struct gf_stmt *st, struct gf_let *let)
{
	const struct gf_let *first = st->name ? gf_sema_let(c, st->name) : NULL;

	if (!st->name)
		return;
	let->stmt = st;
	if (gf_field_find(st->name) || strcmp(st->name, GF_SEMA_TARGET_KIND) == 0) {
		gf_sema_error(c, "E053", st->name_span, "choose another name", "%s is a field already", st->name);
		return;
	}
	if (first) {
		struct gf_diag *d = gf_sema_error(c, "E051", st->name_span, "choose another name",
						  "there is already a let named \"%s\"", st->name);
		if (d)
			gf_diag_note(d, first->stmt->name_span, "the first one");
		return;
	}
	if (gf_names_put(&c->lets, st->name, let) < 0)
		c->oom = true;
}

static const uint8_t class_kind[] = {
	[GF_ST_PROTECT] = GF_CLASS_PROTECT,
	[GF_ST_UNPROTECT] = GF_CLASS_UNPROTECT,
	[GF_ST_PREFER] = GF_CLASS_PREFER,
	[GF_ST_AVOID] = GF_CLASS_AVOID,
};

static const char *const class_name[] = { "protect", "unprotect", "prefer", "avoid" };

static void check_class(struct gf_sema_ctx *c, const struct gf_stmt *st, struct gf_sema_class *k)
{
	k->ast = (struct gf_stmt *)st;
	k->kind = class_kind[st->kind];
	k->cond = gf_sema_condition(c, st->expr, class_name[k->kind]);
	/* "protect uptime < 5min" makes sense: nothing is touched so early. The others sort tasks. */
	if (k->cond && k->kind != GF_CLASS_PROTECT && !gf_sema_need_task(c, k->cond, st->expr, class_name[k->kind]))
		k->cond = NULL;
}

static void check_name(struct gf_sema_ctx *c, const struct gf_stmt *st)
{
	const struct gf_stmt *first = st->name ? gf_names_get(&c->rules, st->name) : NULL;

	if (!st->name)
		return;
	if (first) {
		struct gf_diag *d = gf_sema_error(c, "E090", st->name_span, "choose another name",
						  "there is already a rule named \"%s\"", st->name);
		if (d)
			gf_diag_note(d, first->name_span, "the first one");
	} else if (gf_names_put(&c->rules, st->name, (void *)st) < 0) {
		c->oom = true;
	}
}

static void check_statements(struct gf_sema_ctx *c, struct gf_ast *const *ast, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (const struct gf_stmt *st = ast[i]->first; st && !c->oom; st = st->next) {
			if (st->kind == GF_ST_RULE) {
				if (c->out->rules == GF_MAX_RULES) { /* now: the rest would take long, and say no more */
					gf_sema_error(c, "E205", st->name ? st->name_span : st->span, "use fewer rules, or sets: comm in (...)",
						      "the policy has more than %u rules", GF_MAX_RULES);
					return;
				}
				check_name(c, st);
				gf_sema_rule_check(c, st, &c->out->rule[c->out->rules]);
				/* A rule that this target makes impossible is none of its rules. */
				if (!gf_sema_never_here(c->out->rule[c->out->rules].cond))
					c->out->rules++;
			} else if (st->kind != GF_ST_LET) {
				check_class(c, st, &c->out->klass[c->out->classes++]);
			}
		}
}

/* Lowering takes for granted that every statement has its condition. One that got lost without
 * a word would be a fault of ours; it must not be one that acts. */
static void check_complete(struct gf_sema_ctx *c)
{
	static const char lost[] = "this is not understood, and gpufas cannot say why";
	static const char hint[] = "this is a fault of gpufas: please report it with the policy";

	for (uint32_t i = 0; i < c->out->rules; i++)
		if (!c->out->rule[i].cond || (c->out->rule[i].ast->until && !c->out->rule[i].until))
			gf_sema_error(c, "E199", c->out->rule[i].ast->span, hint, lost);
	for (uint32_t i = 0; i < c->out->classes; i++)
		if (!c->out->klass[i].cond)
			gf_sema_error(c, "E199", c->out->klass[i].ast->span, hint, lost);
}

/* Higher priority first, equal ones in the order of the text. */
static int order(const void *a, const void *b)
{
	const struct gf_sema_rule *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	if (x->ast->span.src != y->ast->span.src)
		return x->ast->span.src < y->ast->span.src ? -1 : 1;
	return x->ast->span.start < y->ast->span.start ? -1 : x->ast->span.start > y->ast->span.start;
}

static void check_lets(struct gf_sema_ctx *c, struct gf_let *let, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool used = let[i].used;

		/* those that lost to an earlier one of their name are not looked at again */
		if (!let[i].stmt || gf_sema_let(c, let[i].stmt->name) != &let[i])
			continue;
		gf_sema_let_value(c, &let[i], let[i].stmt->name_span);
		let[i].used = used;
	}
}

static void unused_lets(struct gf_sema_ctx *c, const struct gf_let *let, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (let[i].stmt && !let[i].used && gf_sema_let(c, let[i].stmt->name) == &let[i])
			gf_sema_warn(c, "W001", let[i].stmt->name_span, "delete it, or use it", "let %s is not used",
				     let[i].stmt->name);
}

static void check(struct gf_sema_ctx *c, struct gf_ast *const *ast, size_t n)
{
	size_t lets, rules, classes, k = 0;

	count_statements(ast, n, &lets, &rules, &classes);
	struct gf_let *let = gf_sema_alloc(c, (lets + 1) * sizeof *let);

	c->out->rule = gf_sema_alloc(c, (rules + 1) * sizeof *c->out->rule);
	c->out->klass = gf_sema_alloc(c, (classes + 1) * sizeof *c->out->klass);
	if (c->oom)
		return;
	for (size_t i = 0; i < n; i++)
		for (const struct gf_stmt *st = ast[i]->first; st; st = st->next)
			if (st->kind == GF_ST_LET)
				define(c, st, &let[k++]);
	if (c->oom)
		return;
	check_lets(c, let, lets);
	check_statements(c, ast, n);
	if (!c->oom && !c->diags->errors)
		check_complete(c);
	if (c->oom || c->diags->errors)
		return; /* what is wrong may be what the rest was for */
	qsort(c->out->rule, c->out->rules, sizeof *c->out->rule, order);
	gf_sema_lint_policy(c);
	unused_lets(c, let, lets);
}

int gf_sema(struct gf_ast *const *ast, size_t n, const struct gf_source *src, const struct gf_compile_opts *opts,
	    struct gf_diags *diags, struct gf_sema **ret)
{
	struct gf_sema_ctx c = { .opts = opts, .diags = diags };

	c.out = calloc(1, sizeof *c.out);
	if (!c.out)
		return -ENOMEM;
	c.out->src = src;
	c.out->srcs = n;
	c.period_ns = opts->period_ns ? opts->period_ns : DEFAULT_PERIOD_NS;
	c.partial = diags->errors > 0;
	check(&c, ast, n);
	gf_names_deinit(&c.lets);
	gf_names_deinit(&c.rules);
	gf_names_deinit(&c.patterns);
	if (c.oom || diags->errors) {
		gf_sema_free(c.out);
		return c.oom ? -ENOMEM : -EINVAL;
	}
	*ret = c.out;
	return 0;
}
