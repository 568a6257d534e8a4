/* SPDX-License-Identifier: MIT
 *
 * What names mean: fields, lets, and which of them the target has.
 *
 * Lets may be used before the line, and the file, that defines them: the files
 * of a policy directory are read in lexical order, and a let's place in it
 * should not matter. Each is checked once, and its node shared by all its uses.
 */
#include <stdlib.h>

#include "compiler/sema_int.h"

/* Longest expression that explanations show with its lets written out. */
#define EXPAND_MAX 100u

static const char *target_letters(const struct gf_compile_opts *o)
{
	switch (o->target) {
	case GF_TARGET_VM:
	case GF_TARGET_IMAGE:
		return "V";
	case GF_TARGET_TRACE:
		return "T";
	default:
		return o->no_module ? "BP" : "BPK";
	}
}

bool gf_sema_has_field(const struct gf_sema_ctx *c, const struct gf_field_info *f)
{
	return strpbrk(f->sources, target_letters(c->opts)) != NULL;
}

struct gf_let *gf_sema_let(struct gf_sema_ctx *c, const char *name)
{
	return gf_names_get(&c->lets, name);
}

static uint32_t text_size(struct gf_sema_ctx *c, const struct gf_expr *e, unsigned depth)
{
	uint64_t n = 1;

	if (!e || depth > 2 * GF_AST_MAX_DEPTH)
		return EXPAND_MAX + 1;
	if (e->kind == GF_EX_NAME) {
		const struct gf_let *let = gf_sema_let(c, e->text);

		return let && let->text_size ? let->text_size : 1;
	}
	for (uint32_t i = 0; i < e->args; i++)
		n += text_size(c, e->arg[i], depth + 1);
	if (e->where)
		n += text_size(c, e->where, depth + 1);
	return (uint32_t)GF_MIN(n, (uint64_t)(EXPAND_MAX + 1));
}

struct gf_node *gf_sema_let_value(struct gf_sema_ctx *c, struct gf_let *let, struct gf_span use)
{
	let->used = true;
	if (let->state == LET_DONE)
		return let->node;
	if (let->state == LET_BUSY) {
		struct gf_diag *d = gf_sema_error(c, "E052", use, "a let cannot use itself, not even through others",
						  "let %s is defined by itself", let->stmt->name);
		if (d)
			gf_diag_note(d, let->stmt->name_span, "its definition");
		return NULL;
	}
	const struct gf_stmt *rule = c->rule;

	let->state = LET_BUSY;
	c->rule = NULL; /* a rule's `allow` is for its own text */
	let->node = gf_sema_any(c, let->stmt->expr);
	c->rule = rule;
	let->text_size = text_size(c, let->stmt->expr, 0);
	let->state = LET_DONE;
	return let->node;
}

const char *gf_sema_near_name(struct gf_sema_ctx *c, const char *name)
{
	size_t n, k = 0;
	const struct gf_field_info *f = gf_fields(&n);
	const char **all;

	if (c->diags->overflow)
		return NULL;
	all = calloc(n + c->lets.used + 2, sizeof *all);
	if (!all)
		return NULL;
	for (size_t i = 0; i < n; i++)
		all[k++] = f[i].name;
	all[k++] = GF_SEMA_TARGET_KIND;
	for (size_t i = 0; i < c->lets.cap; i++)
		if (c->lets.slot[i].key)
			all[k++] = c->lets.slot[i].key;
	const char *near = gf_nearest(name, all, k);

	/* psi.memory.some is the beginning of several */
	for (size_t i = 0; !near && strchr(name, '.') && i < n; i++)
		if (!strncmp(f[i].name, name, strlen(name)) && f[i].name[strlen(name)] == '.')
			near = f[i].name;
	free(all);
	return near;
}

/* Words that other tools use for what has another name here. */
static const char *other_word(const char *name)
{
#define USED "mem.available\" (what is left) or \"mem.total - mem.available" /* in quotes */
	static const char *const word[][2] = {
		{ "mem", USED }, { "memory", USED }, { "mem.used", "mem.total - mem.available" },
		{ "swap.available", "swap.free" }, { "load", "load.1" }, { "loadavg", "load.1" },
		{ "user", "uid" }, { "group", "gid" }, { "name", "comm" }, { "command", "cmdline" },
		{ "args", "cmdline" }, { "path", "exe" }, { "vms", "vsz" }, { "virt", "vsz" }, { "res", "rss" },
		{ "oom_adj", "oom_score_adj" }, { "nproc", "tasks.count" }, { "processes", "tasks.count" },
		{ "tasks", "tasks.count" }, { "iowait", "cpu.iowait" }, { "steal", "cpu.steal" },
		{ "elapsed", "age" }, { "etime", "age" }, { "nlwp", "threads" }, { "sid", "session" },
		{ "pgid", "pgrp" }, { "disk", "read_bytes" }, { "fd", "fds" }, { "files", "fds" },
	};

	for (size_t i = 0; i < sizeof word / sizeof word[0]; i++)
		if (strcmp(word[i][0], name) == 0)
			return word[i][1];
	return NULL;
}

const struct gf_field_info *gf_sema_string_field(const struct gf_expr *e)
{
	const struct gf_field_info *f = e && e->kind == GF_EX_NAME ? gf_field_find(e->text) : NULL;

	return f && f->str ? f : NULL;
}

struct gf_node *gf_sema_name(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	const struct gf_field_info *f = gf_field_find(e->text);
	struct gf_let *let = f ? NULL : gf_sema_let(c, e->text);

	if (let)
		return gf_sema_let_value(c, let, e->span);
	if (gf_sema_is_target(e)) {
		gf_sema_error(c, "E060", e->span, "compare it: " GF_SEMA_TARGET_KIND " == \"vm\"",
			      GF_SEMA_TARGET_KIND " is a text, not a number or condition");
		return NULL;
	}
	if (f && f->str) {
		gf_sema_error(c, "E060", e->span,
			      gf_sema_printf(c, "compare it: %s == \"...\", %s ~ \"...*\", %s in (\"...\", \"...\")",
					     f->name, f->name, f->name),
			      "%s is a text, not a number or condition", f->name);
		return NULL;
	}
	if (f)
		return gf_node_field(c, e, f);
	const char *near = other_word(e->text);

	if (!near)
		near = gf_sema_near_name(c, e->text);
	/* Its let may be what could not be read; what is nearly a field is a slip all the same. */
	if (c->partial && !(near && gf_field_find(near)))
		return NULL;
	gf_sema_error(c, "E050", e->span,
		      near ? gf_sema_printf(c, "did you mean \"%s\"?", near) :
		      !strcmp(e->text, "target") || !strncmp(e->text, "target.", 7) ?
			     "there is " GF_SEMA_TARGET_KIND "; a policy for one target alone is named below it in gpufas.yaml" :
			     "`gpufasctl fields` lists all fields; other names are defined with let",
		      "there is no field and no let named \"%s\"", gf_sema_quoted(c, e->text));
	return NULL;
}

/* The field below n that causes bit `b` of its needs. */
static const struct gf_node *needy(const struct gf_node *n, unsigned b)
{
	for (;;) {
		const struct gf_node *next = NULL;

		for (int i = 0; i < 2; i++)
			if (n->kid[i] && gf_csn(n->kid[i])->need[b / 64] >> (b % 64) & 1) {
				next = n->kid[i];
				break;
			}
		if (!next)
			return n;
		n = next;
	}
}

struct gf_node *gf_sema_finish(struct gf_sema_ctx *c, struct gf_node *n, const struct gf_expr *root)
{
	size_t count;
	const struct gf_field_info *f = gf_fields(&count);

	if (!n || !(gf_sn(n)->need[0] | gf_sn(n)->need[1]))
		return n;
	if (c->never)
		return gf_sema_stand_in(c, n, root);
	if (gf_sn(n)->need[GF_SEMA_NEED_PATH / 64] >> (GF_SEMA_NEED_PATH % 64) & 1)
		gf_sema_path_faults(c, n, root);
	for (unsigned b = 0; b < count && b < GF_SEMA_NEED_PATH; b++) {
		if (!(gf_sn(n)->need[b / 64] >> (b % 64) & 1))
			continue;
		const struct gf_node *leaf = needy(n, b);
		const char *hint;

		if (strcmp(f[b].name, "os.stalled") == 0 && c->opts->target == GF_TARGET_HOST)
			hint = "it needs the kernel module, which this target's \"sampler\" in gpufas.yaml rules out; a policy for several targets "
			       "guards it: available(os.stalled) and ...";
		else
			hint = gf_sema_printf(c, "guard it: available(%s) and ...", f[b].name);
		struct gf_diag *d = gf_sema_error(c, "E077", leaf->span, hint, "%s is not to be had from a %s target",
						  f[b].name, gf_sema_target_name(c));
		if (d && (leaf->span.src != root->span.src || leaf->span.start < root->span.start ||
			  leaf->span.end > root->span.end))
			gf_diag_note(d, root->span, "used here");
	}
	return NULL;
}

static bool mentions_let(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	if (!e)
		return false;
	if (e->kind == GF_EX_NAME)
		return gf_sema_let(c, e->text) != NULL;
	for (uint32_t i = 0; i < e->args; i++)
		if (mentions_let(c, e->arg[i]))
			return true;
	return mentions_let(c, e->where);
}

static struct gf_expr *write_out(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	const struct gf_let *let = e->kind == GF_EX_NAME ? gf_sema_let(c, e->text) : NULL;

	if (let)
		return write_out(c, let->stmt->expr);
	struct gf_expr *r = gf_sema_alloc(c, sizeof *r);

	if (!r)
		return NULL;
	*r = *e;
	if (e->args) {
		r->arg = gf_sema_alloc(c, e->args * sizeof *r->arg);
		if (!r->arg)
			return NULL;
		for (uint32_t i = 0; i < e->args; i++) {
			r->arg[i] = write_out(c, e->arg[i]);
			if (!r->arg[i])
				return NULL;
		}
	}
	if (e->where) {
		r->where = write_out(c, e->where);
		if (!r->where)
			return NULL;
	}
	return r;
}

/* Only called on what has been checked: its lets end, and none of its parts is missing. */
const struct gf_expr *gf_sema_expand(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	if (!mentions_let(c, e) || text_size(c, e, 0) > EXPAND_MAX)
		return e;
	const struct gf_expr *r = write_out(c, e);

	return r ? r : e;
}

struct gf_expr *gf_sema_clone_op(struct gf_sema_ctx *c, const struct gf_expr *from, enum gf_expr_kind kind,
				 struct gf_expr *a, struct gf_expr *b)
{
	struct gf_expr *r = gf_sema_alloc(c, sizeof *r);
	struct gf_expr **arg = gf_sema_alloc(c, 2 * sizeof *arg);

	if (!r || !arg)
		return NULL;
	*r = *from;
	r->kind = kind;
	r->paren = false;
	r->arg = arg;
	r->args = 2;
	arg[0] = a;
	arg[1] = b;
	return r;
}
