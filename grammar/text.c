/* SPDX-License-Identifier: MIT
 *
 * Trees back to text, in the one canonical form.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "grammar/parser.h"

void gf_text_deinit(struct gf_text *t)
{
	free(t->v);
	*t = (struct gf_text){ 0 };
}

void gf_text_add(struct gf_text *t, const char *s, size_t n)
{
	if (t->oom)
		return;
	if (n + 1 > t->cap - t->n) {
		size_t cap = t->cap ? t->cap : 64;
		while (n + 1 > cap - t->n)
			cap *= 2;
		char *v = realloc(t->v, cap);
		if (!v) {
			t->oom = true;
			return;
		}
		t->v = v;
		t->cap = cap;
	}
	memcpy(t->v + t->n, s, n);
	t->n += n;
	t->v[t->n] = 0;
}

void gf_text_printf(struct gf_text *t, const char *fmt, ...)
{
	char buf[256], *big = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(buf, sizeof buf, fmt, ap);
	va_end(ap);
	if (n < 0) {
		t->oom = true;
		return;
	}
	if ((size_t)n < sizeof buf) {
		gf_text_add(t, buf, (size_t)n);
		return;
	}
	va_start(ap, fmt);
	n = vasprintf(&big, fmt, ap);
	va_end(ap);
	if (n < 0) {
		t->oom = true;
		return;
	}
	gf_text_add(t, big, (size_t)n);
	free(big);
}

void gf_text_quote(struct gf_text *t, const char *s, size_t n)
{
	gf_text_add(t, "\"", 1);
	for (size_t i = 0; i < n;) {
		size_t len = gf_utf8_len(s + i, n - i);
		unsigned char c = (unsigned char)s[i];
		/* C1 controls are two bytes, c2 80 to c2 9f */
		bool c1 = len == 2 && c == 0xc2 && (unsigned char)s[i + 1] < 0xa0;
		if (c == '"' || c == '\\')
			gf_text_printf(t, "\\%c", c);
		else if (c == '\n' || c == '\t' || c == '\r')
			gf_text_printf(t, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
		else if (!len || c < 0x20 || c == 0x7f)
			gf_text_printf(t, "\\x%02x", c);
		else if (c1)
			gf_text_printf(t, "\\x%02x\\x%02x", c, (unsigned char)s[i + 1]);
		else
			gf_text_add(t, s + i, len);
		i += len ? len : 1;
	}
	gf_text_add(t, "\"", 1);
}

/* ---- expressions --------------------------------------------------------- */

static const char *const op_text[] = {
	[GF_EX_AND] = "and", [GF_EX_OR] = "or", [GF_EX_LT] = "<",  [GF_EX_LE] = "<=", [GF_EX_GT] = ">",
	[GF_EX_GE] = ">=",   [GF_EX_EQ] = "==", [GF_EX_NE] = "!=", [GF_EX_TILDE] = "~", [GF_EX_ADD] = "+",
	[GF_EX_SUB] = "-",   [GF_EX_MUL] = "*", [GF_EX_DIV] = "/",
};

enum gf_level gf_expr_level(const struct gf_expr *e)
{
	switch (e->kind) {
	case GF_EX_OR:
		return GF_LV_OR;
	case GF_EX_AND:
		return GF_LV_AND;
	case GF_EX_NOT:
		return GF_LV_NOT;
	case GF_EX_LT:
	case GF_EX_LE:
	case GF_EX_GT:
	case GF_EX_GE:
	case GF_EX_EQ:
	case GF_EX_NE:
	case GF_EX_TILDE:
	case GF_EX_BETWEEN:
	case GF_EX_IN:
		return GF_LV_CMP;
	case GF_EX_ADD:
	case GF_EX_SUB:
		return GF_LV_ADD;
	case GF_EX_MUL:
	case GF_EX_DIV:
		return GF_LV_MUL;
	case GF_EX_NEG:
		return GF_LV_NEG;
	default:
		return GF_LV_LEAF;
	}
}

static void write_list(struct gf_text *t, const struct gf_expr *e, uint32_t from)
{
	gf_text_add(t, "(", 1);
	for (uint32_t i = from; i < e->args; i++) {
		if (i > from)
			gf_text_add(t, ", ", 2);
		gf_expr_write(t, e->arg[i], GF_LV_OR);
	}
	if (e->where) {
		gf_text_printf(t, e->args > from ? " where " : "where ");
		gf_expr_write(t, e->where, GF_LV_OR);
	}
	gf_text_add(t, ")", 1);
}

static void write_regex(struct gf_text *t, const struct gf_expr *e)
{
	gf_text_add(t, "/", 1);
	for (uint32_t i = 0; i < e->text_len; i++) {
		if (e->text[i] == '\\' && i + 1 < e->text_len) {
			gf_text_add(t, e->text + i++, 2);
			continue;
		}
		if (e->text[i] == '/')
			gf_text_add(t, "\\", 1);
		gf_text_add(t, e->text + i, 1);
	}
	gf_text_add(t, "/", 1);
}

static void write_binary(struct gf_text *t, const struct gf_expr *e)
{
	enum gf_level lv = gf_expr_level(e);
	/* comparisons do not chain; the others lean to the left */
	gf_expr_write(t, e->arg[0], lv == GF_LV_CMP ? GF_LV_ADD : lv);
	gf_text_printf(t, " %s ", op_text[e->kind]);
	gf_expr_write(t, e->arg[1], (enum gf_level)(lv + 1));
}

void gf_expr_write(struct gf_text *t, const struct gf_expr *e, enum gf_level min)
{
	bool paren = gf_expr_level(e) < min;
	if (paren)
		gf_text_add(t, "(", 1);
	switch (e->kind) {
	case GF_EX_NUMBER:
	case GF_EX_NAME:
	case GF_EX_PATH:
	case GF_EX_BOOL:
		gf_text_add(t, e->text, e->text_len);
		break;
	case GF_EX_STRING:
		gf_text_quote(t, e->text, e->text_len);
		break;
	case GF_EX_REGEX:
		write_regex(t, e);
		break;
	case GF_EX_NOT:
		gf_text_add(t, "not ", 4);
		gf_expr_write(t, e->arg[0], GF_LV_NOT);
		break;
	case GF_EX_NEG:
		/* -(-x), not --x */
		gf_text_add(t, "-", 1);
		gf_expr_write(t, e->arg[0], e->arg[0]->kind == GF_EX_NEG ? GF_LV_LEAF : GF_LV_NEG);
		break;
	case GF_EX_BETWEEN:
		gf_expr_write(t, e->arg[0], GF_LV_ADD);
		gf_text_add(t, " between ", 9);
		gf_expr_write(t, e->arg[1], GF_LV_ADD);
		gf_text_add(t, " and ", 5);
		gf_expr_write(t, e->arg[2], GF_LV_ADD);
		break;
	case GF_EX_IN:
		gf_expr_write(t, e->arg[0], GF_LV_ADD);
		gf_text_add(t, " in ", 4);
		write_list(t, e, 1);
		break;
	case GF_EX_CALL:
		if (e->postfix) {
			/* stands leftmost in its condition, where it takes in all before it */
			gf_expr_write(t, e->arg[0], GF_LV_OR);
			gf_text_add(t, " for ", 5);
			gf_expr_write(t, e->arg[1], GF_LV_LEAF);
			break;
		}
		gf_text_add(t, e->text, e->text_len);
		write_list(t, e, 0);
		break;
	default:
		write_binary(t, e);
		break;
	}
	if (paren)
		gf_text_add(t, ")", 1);
}

/* ---- steps --------------------------------------------------------------- */

void gf_hold_write(struct gf_text *t, const struct gf_for *h)
{
	switch (h->kind) {
	case GF_FOR_NONE:
		break;
	case GF_FOR_TIME:
		gf_text_printf(t, "for %s", h->text);
		break;
	case GF_FOR_PERIODS:
		gf_text_printf(t, "for %.0f periods", h->count);
		break;
	case GF_FOR_TIMES:
		gf_text_printf(t, "for %.0f times within %s", h->count, h->text);
		break;
	}
}

static void write_selector(struct gf_text *t, const struct gf_selector *s)
{
	static const char *const groups[] = {
		[GF_GROUP_ONE] = "",	      [GF_GROUP_TREE] = "tree of ",     [GF_GROUP_PGRP] = "pgrp of ",
		[GF_GROUP_SESSION] = "session of ", [GF_GROUP_CGROUP] = "cgroup of ", [GF_GROUP_USER] = "user of ",
	};
	static const char *const picks[] = {
		[GF_PICK_LARGEST] = "largest", [GF_PICK_SMALLEST] = "smallest",
		[GF_PICK_OLDEST] = "oldest",   [GF_PICK_NEWEST] = "newest",
	};
	const char *pick = s->pick == GF_PICK_EACH ? (s->each ? "each" : "it") : picks[s->pick];
	gf_text_printf(t, " %s%s", groups[s->group], pick);
	if (s->n_given)
		gf_text_printf(t, " %.0f", s->n_value);
	if (s->by) {
		gf_text_add(t, " by ", 4);
		gf_expr_write(t, s->by, GF_LV_OR);
	}
	if (s->where) {
		gf_text_add(t, " where ", 7);
		gf_expr_write(t, s->where, GF_LV_OR);
	}
}

void gf_step_write(struct gf_text *t, const struct gf_step_ast *s)
{
	static const char *const verbs[] = {
		[GF_ACT_RENICE] = "renice", [GF_ACT_LOG] = "log",   [GF_ACT_NOTIFY] = "notify", [GF_ACT_RUN] = "run",
		[GF_ACT_FREEZE] = "freeze", [GF_ACT_THAW] = "thaw", [GF_ACT_LIMIT] = "limit",   [GF_ACT_RESET] = "reset",
		[GF_ACT_NMI] = "nmi",       [GF_ACT_PANIC] = "panic", [GF_ACT_RESTART] = "restart",
	};
	if (s->after_given)
		gf_text_printf(t, "after %s ", s->after_text);
	if (s->action == GF_ACT_SIGNAL)
		gf_text_printf(t, "%s", s->signal ? gf_signal_name(s->signal) : s->name);
	else
		gf_text_printf(t, "%s", s->restore ? "restore" : verbs[s->action]);
	if (s->action == GF_ACT_RENICE)
		gf_text_printf(t, " %+.0f", s->amount);
	if (s->action == GF_ACT_RUN || s->action == GF_ACT_LIMIT)
		gf_text_printf(t, " %s", s->name);
	if (s->action == GF_ACT_LIMIT && !s->restore) {
		gf_text_add(t, " ", 1);
		gf_expr_write(t, s->value, GF_LV_ADD);
	}
	if (s->action == GF_ACT_NOTIFY) {
		gf_text_add(t, " ", 1);
		gf_text_quote(t, s->text, strlen(s->text));
	}
	if (s->has_selector)
		write_selector(t, &s->sel);
}

static char *finish(struct gf_text *t)
{
	if (!t->oom)
		return t->v;
	gf_text_deinit(t);
	return NULL;
}

char *gf_expr_text(const struct gf_expr *e)
{
	struct gf_text t = { 0 };
	gf_expr_write(&t, e, GF_LV_OR);
	return finish(&t);
}

char *gf_step_text(const struct gf_step_ast *s)
{
	struct gf_text t = { 0 };
	gf_step_write(&t, s);
	return finish(&t);
}
