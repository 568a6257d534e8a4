/* SPDX-License-Identifier: MIT
 *
 * Kernel paths: `task->mm->map_count`. Where they lead is known only of a kernel at
 * hand (gf_compile_opts.path), and where there is none, when one is found. A path that the
 * target, or its kernel, can never give is treated as a field that it cannot:
 * available() of it is false and guards what stands beside it.
 */
#include <errno.h>

#include "compiler/sema_int.h"

/* The sentence up to "; " says what is wrong, the rest of it how to mend it. */
static const struct gf_path_fault *fault(struct gf_sema_ctx *c, const char *sentence, size_t at, size_t len)
{
	const char *cut = strstr(sentence, "; ");
	struct gf_path_fault *f = gf_sema_alloc(c, sizeof *f);

	if (!f)
		return NULL;
	f->what = cut ? gf_sema_printf(c, "%.*s", (int)(cut - sentence), sentence) : gf_sema_printf(c, "%s", sentence);
	f->hint = cut ? gf_sema_printf(c, "%s", cut + 2) : NULL;
	f->at = (uint32_t)at;
	f->len = (uint32_t)len;
	return f;
}

struct gf_node *gf_sema_path(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	bool memory = c->opts->target == GF_TARGET_VM || c->opts->target == GF_TARGET_IMAGE;
	struct gf_err err = { "" };
	size_t at = 0, len = e->text_len;

	if (!gf_path_ok(e->text))
		return NULL; /* the parser has said so */
	struct gf_node *n = gf_node_make(c, e, GF_N_PATH, 0, NULL, NULL);

	if (!n)
		return NULL;
	n->scope = GF_SCOPE_TASK;
	n->pattern = e->text;
	gf_node_rehash(n);
	if (memory && c->opts->path && c->opts->path(c->opts->path_arg, e->text, &at, &len, &err) < 0) {
		if (at > e->text_len || len > e->text_len - at || !len) {
			at = 0;
			len = e->text_len;
		}
		gf_sn(n)->fault = fault(c, err.text, at, len);
	}
	if (!memory || gf_sn(n)->fault)
		gf_sn(n)->need[GF_SEMA_NEED_PATH / 64] |= 1ull << (GF_SEMA_NEED_PATH % 64);
	return n;
}

static bool lacks(const struct gf_node *n)
{
	return n && gf_csn(n)->need[GF_SEMA_NEED_PATH / 64] >> (GF_SEMA_NEED_PATH % 64) & 1;
}

/* The part of the path that is wrong. Of a path in a message the whole: its text is not at the source's own place. */
static struct gf_span fault_span(const struct gf_node *n, const struct gf_path_fault *f)
{
	struct gf_span span = n->span;

	if (f && span.end - span.start == n->expr->text_len) {
		span.start += f->at;
		span.end = span.start + f->len;
	}
	return span;
}

/* Whoever guards a path has kernels in mind that lack it; but what is nearly the name of a member is more likely
 * misspelt, and the guard would leave its rule out without a word. */
void gf_sema_path_guarded(struct gf_sema_ctx *c, const struct gf_node *n)
{
	const struct gf_path_fault *f = n->kind == GF_N_PATH ? gf_csn(n)->fault : NULL;

	if (f && f->hint && !strncmp(f->hint, "did you mean", 12))
		gf_sema_warn(c, "W014", fault_span(n, f), f->hint, "available(%s) is false of this kernel: %s", gf_sema_text(c, n->expr), f->what);
}

static void say(struct gf_sema_ctx *c, const struct gf_node *n, const struct gf_expr *root)
{
	const struct gf_path_fault *f = gf_csn(n)->fault;
	struct gf_span span = fault_span(n, f);
	struct gf_diag *d;

	if (f)
		d = gf_sema_error(c, "E108", span, f->hint, "%s", f->what);
	else
		d = gf_sema_error(c, "E076", span,
				  "in a policy for several targets write: target.kind != \"host\" and ...",
				  "kernel paths are read from a guest's memory: a %s target has none, vm and image targets do",
				  gf_sema_target_name(c));
	if (d && (span.src != root->span.src || span.start < root->span.start || span.end > root->span.end))
		gf_diag_note(d, root->span, "used here");
}

void gf_sema_path_faults(struct gf_sema_ctx *c, const struct gf_node *n, const struct gf_expr *root)
{
	if (n->kind == GF_N_PATH)
		say(c, n, root);
	for (int i = 0; i < 2; i++)
		if (lacks(n->kid[i]))
			gf_sema_path_faults(c, n->kid[i], root);
}
