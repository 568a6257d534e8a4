/* SPDX-License-Identifier: MIT */
#include "daemon/jbuf.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grammar/parser.h" /* gf_utf8_len */

void gf_jbuf_deinit(struct gf_jbuf *b)
{
	free(b->p);
	*b = (struct gf_jbuf){ 0 };
}

static bool room(struct gf_jbuf *b, size_t n)
{
	if (b->failed)
		return false;
	if (b->cap - b->n >= n)
		return true;
	size_t cap = b->cap ? b->cap : 512;
	while (cap - b->n < n) {
		if (cap > SIZE_MAX / 2) {
			b->failed = true;
			return false;
		}
		cap *= 2;
	}
	char *p = realloc(b->p, cap);
	if (!p) {
		b->failed = true;
		return false;
	}
	b->p = p;
	b->cap = cap;
	return true;
}

void gf_jbuf_raw(struct gf_jbuf *b, const char *s, size_t n)
{
	if (!room(b, n))
		return;
	if (n)
		memcpy(b->p + b->n, s, n);
	b->n += n;
}

static void before_value(struct gf_jbuf *b)
{
	if (b->comma)
		gf_jbuf_raw(b, ",", 1);
	b->comma = true;
}

void gf_jbuf_json(struct gf_jbuf *b, const char *json, size_t n)
{
	before_value(b);
	gf_jbuf_raw(b, json, n);
}

void gf_jbuf_open(struct gf_jbuf *b, char bracket)
{
	before_value(b);
	gf_jbuf_raw(b, &bracket, 1);
	b->comma = false;
}

void gf_jbuf_close(struct gf_jbuf *b, char bracket)
{
	gf_jbuf_raw(b, &bracket, 1);
	b->comma = true;
}

void gf_jbuf_key(struct gf_jbuf *b, const char *key)
{
	before_value(b);
	gf_jbuf_raw(b, "\"", 1);
	gf_jbuf_raw(b, key, strlen(key));
	gf_jbuf_raw(b, "\":", 2);
	b->comma = false;
}

void gf_jbuf_strn(struct gf_jbuf *b, const char *s, size_t n)
{
	char esc[8];

	before_value(b);
	gf_jbuf_raw(b, "\"", 1);
	for (size_t i = 0; i < n;) {
		unsigned char c = (unsigned char)s[i];
		size_t len = gf_utf8_len(s + i, n - i);
		if (!len) {
			gf_jbuf_raw(b, esc, (size_t)snprintf(esc, sizeof esc, "\\\\x%02x", c));
			len = 1;
		} else if (c == '"' || c == '\\') {
			gf_jbuf_raw(b, "\\", 1);
			gf_jbuf_raw(b, s + i, 1);
		} else if (c == '\n') {
			gf_jbuf_raw(b, "\\n", 2);
		} else if (c < 0x20 || c == 0x7f) {
			gf_jbuf_raw(b, esc, (size_t)snprintf(esc, sizeof esc, "\\u%04x", c));
		} else {
			gf_jbuf_raw(b, s + i, len);
		}
		i += len;
	}
	gf_jbuf_raw(b, "\"", 1);
}

void gf_jbuf_str(struct gf_jbuf *b, const char *s)
{
	if (s)
		gf_jbuf_strn(b, s, strlen(s));
	else
		gf_jbuf_null(b);
}

void gf_jbuf_num(struct gf_jbuf *b, double v)
{
	char t[40];

	if (!isfinite(v)) {
		gf_jbuf_null(b);
		return;
	}
	/* Counts and bytes are whole: print them as such, all digits. */
	int n = v == floor(v) && fabs(v) < 9e15 ? snprintf(t, sizeof t, "%.0f", v) : snprintf(t, sizeof t, "%.9g", v);
	gf_jbuf_json(b, t, (size_t)n);
}

void gf_jbuf_int(struct gf_jbuf *b, int64_t v)
{
	char t[24];
	gf_jbuf_json(b, t, (size_t)snprintf(t, sizeof t, "%" PRId64, v));
}

void gf_jbuf_uint(struct gf_jbuf *b, uint64_t v)
{
	/* JSON readers keep integers in 64 signed bits; nothing here comes near. */
	gf_jbuf_int(b, v > INT64_MAX ? INT64_MAX : (int64_t)v);
}

void gf_jbuf_bool(struct gf_jbuf *b, bool v)
{
	gf_jbuf_json(b, v ? "true" : "false", v ? 4 : 5);
}

void gf_jbuf_null(struct gf_jbuf *b)
{
	gf_jbuf_json(b, "null", 4);
}

void gf_jbuf_kstr(struct gf_jbuf *b, const char *key, const char *s)
{
	gf_jbuf_key(b, key);
	gf_jbuf_str(b, s);
}

void gf_jbuf_knum(struct gf_jbuf *b, const char *key, double v)
{
	gf_jbuf_key(b, key);
	gf_jbuf_num(b, v);
}

void gf_jbuf_kuid(struct gf_jbuf *b, uint32_t uid)
{
	gf_jbuf_knum(b, "uid", uid == UINT32_MAX ? (double)NAN : uid);
}

void gf_jbuf_kint(struct gf_jbuf *b, const char *key, int64_t v)
{
	gf_jbuf_key(b, key);
	gf_jbuf_int(b, v);
}

void gf_jbuf_kuint(struct gf_jbuf *b, const char *key, uint64_t v)
{
	gf_jbuf_key(b, key);
	gf_jbuf_uint(b, v);
}

void gf_jbuf_kbool(struct gf_jbuf *b, const char *key, bool v)
{
	gf_jbuf_key(b, key);
	gf_jbuf_bool(b, v);
}

/* Marks without width that reorder or hide what follows: nobody's name needs them. */
static unsigned hidden(const char *s, size_t len)
{
	const unsigned char *c = (const unsigned char *)s;
	unsigned u;

	if (len == 2)
		return c[0] == 0xd8 && c[1] == 0x9c ? 0x61c : 0;
	if (len != 3)
		return 0;
	u = (c[0] & 15u) << 12 | (c[1] & 63u) << 6 | (c[2] & 63u);
	return (u >= 0x200b && u <= 0x200f) || (u >= 0x202a && u <= 0x202e) || (u >= 0x2060 && u <= 0x2069) || u == 0xfeff ? u : 0;
}

const char *gf_safe_text(const char *s, size_t n, char *out, size_t size)
{
	size_t o = 0;

	for (size_t i = 0; i < n;) {
		unsigned char c = (unsigned char)s[i];
		size_t len = gf_utf8_len(s + i, n - i);
		/* C0, DEL, C1 (U+0080..U+009F) */
		bool bad = !len || c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)s[i + 1] < 0xa0);
		unsigned u = bad ? 0 : hidden(s + i, len);
		if (bad) {
			if (!len)
				len = 1;
			if (o + 4 * len >= size)
				break;
			for (size_t k = 0; k < len; k++)
				o += (size_t)snprintf(out + o, size - o, "\\x%02x", (unsigned char)s[i + k]);
		} else if (u) {
			if (o + 6 >= size)
				break;
			o += (size_t)snprintf(out + o, size - o, "\\u%04x", u);
		} else {
			if (o + len >= size)
				break;
			memcpy(out + o, s + i, len);
			o += len;
		}
		i += len;
	}
	if (size)
		out[o] = 0;
	return out;
}
