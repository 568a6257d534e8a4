/* SPDX-License-Identifier: MIT
 *
 * Globs and sets of strings, written as anchored regular expressions, so that
 * every kind of string test ends up as one automaton.
 */
#include <stdlib.h>
#include <string.h>

#include "compiler/regex.h"

struct text {
	char *p;
	size_t n, cap;
	bool failed;
};

static void put(struct text *t, const char *s, size_t n)
{
	if (t->failed)
		return;
	if (t->n + n + 1 > t->cap) {
		size_t cap = (t->n + n + 1) * 2;
		char *p = realloc(t->p, cap);
		if (!p) {
			free(t->p);
			*t = (struct text){ .failed = true };
			return;
		}
		t->p = p;
		t->cap = cap;
	}
	memcpy(t->p + t->n, s, n);
	t->n += n;
	t->p[t->n] = '\0';
}

static void put_literal(struct text *t, char c)
{
	if (c && strchr(".[]{}()*+?|^$\\", c))
		put(t, "\\", 1);
	put(t, &c, 1);
}

/* The bytes of s as an ERE bracket expression. There a '\' means itself, so what
 * is special is placed where it is not: ']' first, '[', '^' and '-' last. */
static void put_bracket(struct text *t, const struct re_set *s, bool neg)
{
	unsigned n = 0, only = 0;
	for (unsigned c = 1; c < 256; c++) {
		if (re_set_has(s, c)) {
			n++;
			only = c;
		}
	}
	if (n == 1 && !neg) {
		put_literal(t, (char)only);
		return;
	}
	put(t, neg ? "[^" : "[", neg ? 2 : 1);
	size_t start = t->n;
	if (re_set_has(s, ']'))
		put(t, "]", 1);
	for (unsigned c = 1; c < 256; c++) {
		unsigned end = c;
		if (!re_set_has(s, c) || strchr("][^-", (int)c))
			continue;
		while (end < 255 && re_set_has(s, end + 1) && !strchr("][^-", (int)end + 1))
			end++;
		char range[3] = { (char)c, '-', (char)end };
		if (end - c >= 2) {
			put(t, range, 3);
			c = end;
		} else {
			put(t, range, 1);
		}
	}
	if (re_set_has(s, '['))
		put(t, "[", 1);
	bool caret_first = re_set_has(s, '^') && t->n == start && !neg;
	if (caret_first)
		put(t, "-", 1); /* only '^' and '-' are in the set: [-^] */
	if (re_set_has(s, '^'))
		put(t, "^", 1);
	if (re_set_has(s, '-') && !caret_first)
		put(t, "-", 1);
	put(t, "]", 1);
}

/* A glob's [...] at g[i]; returns the offset after it, or 0 when it is never
 * closed (the '[' then means itself). */
static size_t glob_bracket(const char *g, size_t len, size_t i, struct text *t)
{
	struct re_set s = { 0 };
	size_t k = i + 1;
	bool neg = k < len && (g[k] == '!' || g[k] == '^');
	bool any = false;
	k += neg;
	for (size_t first = k; k < len && (g[k] != ']' || k == first); k++) {
		if (g[k] == '\\' && k + 1 < len)
			k++;
		unsigned lo = (unsigned char)g[k], hi = lo;
		if (k + 2 < len && g[k + 1] == '-' && g[k + 2] != ']') {
			k += 2;
			if (g[k] == '\\' && k + 1 < len)
				k++;
			hi = (unsigned char)g[k];
		}
		for (unsigned c = lo; c <= hi; c++) {
			re_set_add(&s, c);
			any = true;
		}
	}
	if (k >= len)
		return 0;
	if (any)
		put_bracket(t, &s, neg);
	else if (neg)
		put(t, ".", 1);
	else
		put(t, "(.^)", 4); /* an empty range: nothing matches */
	return k + 1;
}

char *gf_glob_to_regex(const char *glob, size_t len)
{
	struct text t = { 0 };
	put(&t, "^", 1);
	for (size_t i = 0; i < len; ) {
		size_t next = 0;
		switch (glob[i]) {
		case '*':
			put(&t, ".*", 2);
			break;
		case '?':
			put(&t, ".", 1);
			break;
		case '[':
			next = glob_bracket(glob, len, i, &t);
			if (!next)
				put_literal(&t, '[');
			break;
		case '\\':
			if (i + 1 < len)
				i++;
			put_literal(&t, glob[i]);
			break;
		default:
			put_literal(&t, glob[i]);
		}
		i = next ? next : i + 1;
	}
	put(&t, "$", 1);
	return t.p;
}

char *gf_set_to_regex(const char *const *s, const size_t *len, size_t n)
{
	struct text t = { 0 };
	if (!n)
		put(&t, ".^", 2); /* nothing can match */
	for (size_t i = 0; i < n; i++) {
		put(&t, i ? "|" : "^(", i ? 1 : 2);
		for (size_t k = 0; k < len[i]; k++)
			put_literal(&t, s[i][k]);
	}
	if (n)
		put(&t, ")$", 2);
	return t.p;
}
