/* SPDX-License-Identifier: MIT
 *
 * Memory, names and sentences of sema.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "compiler/arena.h"
#include "compiler/sema_int.h"

void *gf_sema_alloc(struct gf_sema_ctx *c, size_t size)
{
	void *p = gf_arena_alloc(&c->out->arena, size);

	if (!p)
		c->oom = true;
	return p;
}

void gf_sema_free(struct gf_sema *s)
{
	if (s)
		gf_arena_free(&s->arena);
	free(s);
}

const char *gf_sema_printf(struct gf_sema_ctx *c, const char *fmt, ...)
{
	char buf[512];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(buf, sizeof buf, fmt, ap);
	va_end(ap);
	if (n < 0)
		return "";
	size_t len = (size_t)n < sizeof buf ? (size_t)n : sizeof buf - 1;
	char *s = gf_sema_alloc(c, len + 1);

	if (!s)
		return "";
	memcpy(s, buf, len);
	return s;
}

struct gf_diag *gf_sema_error(struct gf_sema_ctx *c, const char *code, struct gf_span span, const char *hint,
			      const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	struct gf_diag *d = gf_diag_addv(c->diags, GF_SEV_ERROR, code, span, hint, fmt, ap);
	va_end(ap);
	return d;
}

struct gf_diag *gf_sema_warn(struct gf_sema_ctx *c, const char *code, struct gf_span span, const char *hint,
			     const char *fmt, ...)
{
	va_list ap;

	if (c->opts->warnings_off)
		return NULL;
	if (c->rule)
		for (uint32_t i = 0; i < c->rule->clauses.allows; i++)
			if (strcmp(c->rule->clauses.allow[i], code) == 0)
				return NULL;
	va_start(ap, fmt);
	struct gf_diag *d = gf_diag_addv(c->diags, GF_SEV_WARNING, code, span, hint, fmt, ap);
	va_end(ap);
	return d;
}

#define TEXT_CUT 60u

const char *gf_sema_quoted(struct gf_sema_ctx *c, const char *s)
{
	char buf[TEXT_CUT + 4];
	size_t n = 0;

	while (s[n] && n < TEXT_CUT) {
		buf[n] = iscntrl((unsigned char)s[n]) ? '?' : s[n];
		n++;
	}
	/* Not in the middle of a character. */
	while (s[n] && n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80)
		n--;
	buf[n] = '\0';
	return gf_sema_printf(c, "%s%s", buf, s[n] ? "..." : "");
}

const char *gf_sema_text(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	char *s = gf_expr_text(e);

	if (!s)
		return "this";
	const char *cut = gf_sema_quoted(c, s);

	free(s);
	return cut;
}

const char *gf_sema_value(struct gf_sema_ctx *c, double v, enum gf_dim dim)
{
	char buf[64];

	return gf_sema_printf(c, "%s", gf_value_text(v, dim, buf, sizeof buf));
}

/* Bytes of source that one byte of a literal's value took; at is on its first. */
static size_t literal_step(const char *text, size_t at, size_t end, char quote)
{
	if (text[at] != '\\' || at + 1 >= end)
		return 1;
	if (quote == '/') /* only the slash loses its backslash */
		return text[at + 1] == '/' ? 2 : 1;
	if (text[at + 1] == 'x') {
		size_t n = 2;

		while (n < 4 && at + n < end && isxdigit((unsigned char)text[at + n]))
			n++;
		return n;
	}
	return 2;
}

struct gf_span gf_sema_inside(const struct gf_sema_ctx *c, struct gf_span lit, size_t off, size_t len)
{
	if (lit.src >= c->out->srcs)
		return lit;
	const struct gf_source *src = &c->out->src[lit.src];
	size_t at = lit.start, end = lit.end < src->len ? lit.end : src->len;

	while (at < end && src->text[at] != '"' && src->text[at] != '/')
		at++;
	if (at >= end)
		return lit;
	char quote = src->text[at++];
	struct gf_span ret = { .src = lit.src, .start = (uint32_t)at, .end = (uint32_t)at };

	for (size_t i = 0; i < off + len && at < end; i++) {
		if (src->text[at] == quote)
			break;
		at += literal_step(src->text, at, end, quote);
		if (i + 1 == off)
			ret.start = (uint32_t)at;
	}
	ret.end = (uint32_t)(at < end ? at : end);
	if (ret.end <= ret.start)
		ret.end = ret.start + 1;
	return ret;
}

static uint64_t name_hash(const char *s)
{
	uint64_t h = 0xcbf29ce484222325ull;

	while (*s)
		h = (h ^ (unsigned char)*s++) * 0x100000001b3ull;
	return h ^ (h >> 29);
}

static struct gf_name_slot *name_slot(const struct gf_names *t, const char *key)
{
	size_t i = name_hash(key) & (t->cap - 1);

	while (t->slot[i].key && strcmp(t->slot[i].key, key) != 0)
		i = (i + 1) & (t->cap - 1);
	return &t->slot[i];
}

void *gf_names_get(const struct gf_names *t, const char *key)
{
	return t->cap ? name_slot(t, key)->value : NULL;
}

static int names_grow(struct gf_names *t)
{
	struct gf_names bigger = { .cap = t->cap ? 2 * t->cap : 64 };

	bigger.slot = calloc(bigger.cap, sizeof *bigger.slot);
	if (!bigger.slot)
		return -ENOMEM;
	for (size_t i = 0; i < t->cap; i++)
		if (t->slot[i].key)
			*name_slot(&bigger, t->slot[i].key) = t->slot[i];
	bigger.used = t->used;
	free(t->slot);
	*t = bigger;
	return 0;
}

int gf_names_put(struct gf_names *t, const char *key, void *value)
{
	if (2 * (t->used + 1) > t->cap && names_grow(t) < 0)
		return -ENOMEM;
	struct gf_name_slot *s = name_slot(t, key);

	t->used += !s->key;
	s->key = key;
	s->value = value;
	return 0;
}

void gf_names_deinit(struct gf_names *t)
{
	free(t->slot);
	*t = (struct gf_names){ 0 };
}
