/* SPDX-License-Identifier: MIT
 *
 * BTF made by hand, and a kernel's cut down to a few structs.
 */
#ifndef TESTS_UNIT_BTF_MAKE_H
#define TESTS_UNIT_BTF_MAKE_H

#include <linux/btf.h>

#include "tests/unit/btf_kit.h"

/* ---- BTF by hand ------------------------------------------------------------------ */

struct maker {
	uint32_t t[1 << 16];
	size_t words;
	char s[1 << 16];
	size_t chars;
	struct btf_header h;
	struct bytes out;
};

KIT struct maker *mk(void)
{
	struct maker *m = calloc(1, sizeof *m);

	m->chars = 1;
	m->h = (struct btf_header){ .magic = BTF_MAGIC, .version = BTF_VERSION, .hdr_len = sizeof m->h };
	return m;
}

KIT uint32_t str(struct maker *m, const char *s)
{
	uint32_t at = (uint32_t)m->chars;

	if (!*s)
		return 0;
	memcpy(m->s + at, s, strlen(s) + 1);
	m->chars += strlen(s) + 1;
	return at;
}

KIT void word(struct maker *m, uint32_t w)
{
	m->t[m->words++] = w;
}

KIT void type(struct maker *m, const char *name, uint32_t kind, uint32_t vlen, uint32_t size_or_type)
{
	word(m, str(m, name));
	word(m, kind << 24 | vlen);
	word(m, size_or_type);
}

KIT void member(struct maker *m, const char *name, uint32_t id, uint32_t off)
{
	word(m, str(m, name));
	word(m, id);
	word(m, off);
}

KIT void make(struct maker *m)
{
	m->h.type_len = (uint32_t)m->words * 4;
	m->h.str_off = m->h.type_len;
	m->h.str_len = (uint32_t)m->chars;
	m->out.n = sizeof m->h + m->h.type_len + m->h.str_len;
	m->out.p = malloc(m->out.n);
	memcpy(m->out.p, &m->h, sizeof m->h);
	memcpy(m->out.p + sizeof m->h, m->t, m->h.type_len);
	memcpy(m->out.p + sizeof m->h + m->h.type_len, m->s, m->h.str_len);
}

KIT void drop(struct maker *m)
{
	free(m->out.p);
	free(m);
}

KIT struct maker *with_int(void)
{
	struct maker *m = mk();

	type(m, "int", BTF_KIND_INT, 0, 4);
	word(m, BTF_INT_SIGNED << 24 | 32);
	return m;
}

/* ---- a kernel's, cut down ---------------------------------------------------------- */

/* A kernel's BTF without most of its types, or a round of mutations would take minutes: what is fewer than four
 * steps from these structs. What they refer to further on becomes int. */
struct cut {
	const uint8_t *types;
	const char *strs;
	uint32_t *at, n;
	uint32_t *fresh; /* by old id: new one, 0: left out */
	struct maker *m;
};

KIT uint32_t more_words(const struct btf_type *t)
{
	static const uint8_t each[] = { [BTF_KIND_STRUCT] = 3, [BTF_KIND_UNION] = 3, [BTF_KIND_ENUM] = 2, [BTF_KIND_ENUM64] = 3,
					[BTF_KIND_FUNC_PROTO] = 2, [BTF_KIND_DATASEC] = 3, [31] = 0 };
	uint32_t kind = BTF_INFO_KIND(t->info);

	if (kind == BTF_KIND_INT || kind == BTF_KIND_VAR || kind == BTF_KIND_DECL_TAG)
		return 1;
	return kind == BTF_KIND_ARRAY ? 3 : each[kind] * BTF_INFO_VLEN(t->info);
}

static const struct btf_type *cut_at(const struct cut *c, uint32_t id)
{
	return (const void *)(c->types + c->at[id]);
}

/* Calls fn for the ids in type words w; kinds that are not members' are not followed. */
KIT void refs(const struct btf_type *t, uint32_t *w, void (*fn)(void *, uint32_t *), void *arg)
{
	uint32_t kind = BTF_INFO_KIND(t->info), vlen = BTF_INFO_VLEN(t->info);

	if (kind == BTF_KIND_PTR || (kind >= BTF_KIND_TYPEDEF && kind <= BTF_KIND_RESTRICT) || kind == BTF_KIND_TYPE_TAG ||
	    kind == BTF_KIND_FUNC_PROTO)
		fn(arg, &w[2]);
	if (kind == BTF_KIND_ARRAY) {
		fn(arg, &w[3]);
		fn(arg, &w[4]);
	}
	for (uint32_t i = 0; i < vlen && (kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION); i++)
		fn(arg, &w[3 + 3 * i + 1]);
	for (uint32_t i = 0; i < vlen && kind == BTF_KIND_FUNC_PROTO; i++)
		fn(arg, &w[3 + 2 * i + 1]);
}

KIT void want(void *arg, uint32_t *id)
{
	struct cut *c = arg;

	if (*id && !c->fresh[*id])
		c->fresh[*id] = UINT32_MAX;
}

KIT void renumber(void *arg, uint32_t *id)
{
	struct cut *c = arg;

	if (*id)
		*id = c->fresh[*id] ? c->fresh[*id] : 1;
}

KIT void copy_names(struct cut *c, const struct btf_type *t, uint32_t *w)
{
	uint32_t kind = BTF_INFO_KIND(t->info), vlen = BTF_INFO_VLEN(t->info), step = vlen ? more_words(t) / vlen : 0;

	w[0] = str(c->m, c->strs + w[0]);
	for (uint32_t i = 0; i < vlen && kind != BTF_KIND_DATASEC; i++)
		w[3 + step * i] = str(c->m, c->strs + w[3 + step * i]);
}

KIT struct maker *cut_down(const struct bytes *raw)
{
	static const char *const roots[] = { "task_struct", "mm_struct", "signal_struct", "rlimit", "cred", "pid", "upid" };
	struct btf_header h;
	struct cut c = { .m = with_int() };
	uint32_t next = 1;

	memcpy(&h, raw->p, sizeof h);
	c.types = raw->p + h.hdr_len + h.type_off;
	c.strs = (const char *)raw->p + h.hdr_len + h.str_off;
	c.at = calloc(h.type_len / 12 + 2, sizeof *c.at);
	c.fresh = calloc(h.type_len / 12 + 2, sizeof *c.fresh);
	for (uint32_t at = 0; at < h.type_len; at += 12 + 4 * more_words(cut_at(&c, c.n)))
		c.at[++c.n] = at;
	for (uint32_t id = 1; id <= c.n; id++)
		for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
			if (BTF_INFO_KIND(cut_at(&c, id)->info) == BTF_KIND_STRUCT && !strcmp(c.strs + cut_at(&c, id)->name_off, roots[i]))
				c.fresh[id] = UINT32_MAX;
	for (int round = 0; round < 3; round++) {
		/* those wanted before this round only */
		uint8_t *now = calloc(c.n + 1, 1);
		for (uint32_t id = 1; id <= c.n; id++)
			now[id] = c.fresh[id] != 0;
		for (uint32_t id = 1; id <= c.n; id++)
			if (now[id] && (round == 0 || !more_words(cut_at(&c, id)) || BTF_INFO_KIND(cut_at(&c, id)->info) == BTF_KIND_ARRAY))
				refs(cut_at(&c, id), (uint32_t *)(uintptr_t)cut_at(&c, id), want, &c);
		free(now);
	}
	for (uint32_t id = 1; id <= c.n; id++)
		if (c.fresh[id] && c.m->words + 3 + more_words(cut_at(&c, id)) < 40000)
			c.fresh[id] = ++next, c.m->words += 3 + more_words(cut_at(&c, id));
		else
			c.fresh[id] = 0;
	c.m->words = 4;
	for (uint32_t id = 1; id <= c.n; id++) {
		const struct btf_type *t = cut_at(&c, id);
		uint32_t *w = c.m->t + c.m->words;
		if (!c.fresh[id])
			continue;
		memcpy(w, t, 12 + 4 * more_words(t));
		c.m->words += 3 + more_words(t);
		refs(t, w, renumber, &c);
		copy_names(&c, t, w);
		assert_true(c.m->chars < sizeof c.m->s - 4096);
	}
	free(c.at);
	free(c.fresh);
	make(c.m);
	return c.m;
}

#endif
