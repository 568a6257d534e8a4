/* SPDX-License-Identifier: MIT
 *
 * What the texts of numbers, strings and regular expressions stand for.
 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "grammar/parser.h"

static const struct {
	const char *name;
	enum gf_unit unit;
	double factor;
} units[] = {
	{ "B", GF_UNIT_BYTES, 1 },
	{ "KiB", GF_UNIT_BYTES, 0x1p10 }, { "MiB", GF_UNIT_BYTES, 0x1p20 }, { "GiB", GF_UNIT_BYTES, 0x1p30 },
	{ "TiB", GF_UNIT_BYTES, 0x1p40 }, { "kB", GF_UNIT_BYTES, 1e3 },     { "MB", GF_UNIT_BYTES, 1e6 },
	{ "GB", GF_UNIT_BYTES, 1e9 },     { "TB", GF_UNIT_BYTES, 1e12 },    { "K", GF_UNIT_BYTES, 0x1p10 },
	{ "M", GF_UNIT_BYTES, 0x1p20 },   { "G", GF_UNIT_BYTES, 0x1p30 },   { "T", GF_UNIT_BYTES, 0x1p40 },
	{ "ns", GF_UNIT_TIME, 1 },        { "us", GF_UNIT_TIME, 1e3 },      { "ms", GF_UNIT_TIME, 1e6 },
	{ "s", GF_UNIT_TIME, 1e9 },       { "min", GF_UNIT_TIME, 60e9 },    { "h", GF_UNIT_TIME, 3600e9 },
	{ "d", GF_UNIT_TIME, 86400e9 },   { "%", GF_UNIT_PCT, 1 },
};
#define UNITS (sizeof units / sizeof *units)

/* What people write elsewhere. */
static const char *const habits[][2] = {
	{ "sec", "s" },     { "secs", "s" },    { "second", "s" },  { "seconds", "s" }, { "msec", "ms" },
	{ "usec", "us" },   { "nsec", "ns" },   { "mins", "min" },  { "minute", "min" }, { "minutes", "min" },
	{ "hr", "h" },      { "hrs", "h" },     { "hour", "h" },    { "hours", "h" },   { "day", "d" },
	{ "days", "d" },    { "byte", "B" },    { "bytes", "B" },   { "k", "K" },       { "g", "G" },
	{ "t", "T" },       { "percent", "%" }, { "pct", "%" },     { "Ki", "KiB" },    { "Mi", "MiB" },
	{ "Gi", "GiB" },    { "Ti", "TiB" },
};

const char *gf_lex_unit_meant(const char *s)
{
	for (size_t i = 0; i < UNITS; i++)
		if (!strcmp(s, units[i].name))
			return s;
	for (size_t i = 0; i < sizeof habits / sizeof *habits; i++)
		if (!strcmp(s, habits[i][0]))
			return habits[i][1];
	for (size_t i = 0; i < UNITS; i++)
		if (!strcasecmp(s, units[i].name) && strcmp(s, "m"))
			return units[i].name;
	return NULL;
}

bool gf_lex_unit(const char *s, enum gf_unit *ret, double *ret_factor)
{
	for (size_t i = 0; i < UNITS; i++)
		if (!strcmp(s, units[i].name)) {
			*ret = units[i].unit;
			*ret_factor = units[i].factor;
			return true;
		}
	return false;
}

const char *gf_lex_near_unit(const char *unit)
{
	const char *names[UNITS], *meant = gf_lex_unit_meant(unit);

	if (meant)
		return meant;
	for (size_t i = 0; i < UNITS; i++)
		names[i] = units[i].name;
	return strlen(unit) > 1 ? gf_nearest(unit, names, UNITS) : NULL;
}

static void bad_unit(struct gf_parser *p, const char *digits, const char *unit, struct gf_span at)
{
	char hint[160];
	if (!strcmp(unit, "m")) {
		snprintf(hint, sizeof hint, "did you mean \"%.40smin\" or \"%.40sMiB\"?", digits, digits);
		gf_parser_error(p, "E011", at, hint, "\"m\" may mean minutes or megabytes");
		return;
	}
	const char *near = gf_lex_near_unit(unit);
	if (*unit == 'e' && isdigit((unsigned char)unit[1]))
		snprintf(hint, sizeof hint, "numbers have no exponents; write 1_000_000, or 1GB");
	else if (near)
		snprintf(hint, sizeof hint, "did you mean \"%.40s%s\"?", digits, near);
	else
		snprintf(hint, sizeof hint, "sizes: B KiB MiB GiB TiB kB MB GB TB; durations: ns us ms s min h d; %%");
	gf_parser_error(p, "E010", at, hint, "unknown unit \"%.40s\"", unit);
}

/* "1_000.5" to 1000.5: length of the digits in s, or 0 when they are badly written. */
static size_t digits_of(const char *s, size_t n, char *out, size_t cap)
{
	size_t i = 0, o = 0;
	bool point = false;
	for (; i < n; i++) {
		if (s[i] == '_' && i && isdigit((unsigned char)s[i - 1]) && i + 1 < n &&
		    isdigit((unsigned char)s[i + 1]))
			continue;
		if (s[i] == '.') {
			if (point || i + 1 == n || !isdigit((unsigned char)s[i + 1]))
				return 0;
			point = true;
		} else if (!isdigit((unsigned char)s[i])) {
			break;
		}
		if (o + 1 < cap)
			out[o++] = s[i];
	}
	out[o] = 0;
	return i;
}

struct gf_expr *gf_lex_number(struct gf_parser *p, const char *s, size_t n, struct gf_span at)
{
	struct gf_expr *e = gf_make_leaf(p, GF_EX_NUMBER, (struct gf_lexeme){ gf_parser_text(p, s, n), (uint32_t)n }, at);
	if (!e)
		return NULL;
	p->last_number = e;
	char digits[400], unit[48];
	const char *slash = memchr(s, '/', n);
	size_t body = slash ? (size_t)(slash - s) : n;
	size_t len = digits_of(s, body, digits, sizeof digits);
	snprintf(unit, sizeof unit, "%.*s", (int)(body - len), s + len);
	if (!len || strpbrk(unit, "._")) {
		gf_parser_error(p, "E009", at, "write 1500, 1.5GiB or 1_000", "this number is badly written");
		e->bad = true;
		e->text = "0";
		e->text_len = 1;
		return e;
	}
	e->num = strtod(digits, NULL);
	size_t u = 0;
	while (u < UNITS && strcmp(unit, units[u].name))
		u++;
	if (u < UNITS) {
		e->unit = units[u].unit;
		e->num *= units[u].factor;
	} else if (*unit) {
		digits[40] = 0;
		bad_unit(p, digits, unit, at);
		e->bad = true;
	}
	if (slash) {
		e->per_sec = true;
		if (slash[1] == 'm')
			e->num /= 60;
		if (!e->bad && (e->unit == GF_UNIT_TIME || e->unit == GF_UNIT_PCT)) {
			gf_parser_error(p, "E021", at, "write 500/s or 10MiB/s", "only a number or a size can be a rate");
			e->bad = true;
		}
	}
	/* 64 bits of bytes or nanoseconds; more digits than sizeof digits are more than that anyway */
	if (len >= sizeof digits || !(e->num < 0x1p63)) {
		gf_parser_error(p, "E012", at, NULL, "this number is too large");
		e->bad = true;
		e->num = 0;
	}
	return e;
}

/* Value of a hexadecimal digit, or -1. */
static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void bad_escape(struct gf_parser *p, struct gf_span at, size_t off, size_t n)
{
	struct gf_span where = { at.src, at.start + 1 + (uint32_t)off, at.start + 1 + (uint32_t)(off + n) };
	gf_parser_error(p, "E005", where, "a backslash itself is written \\\\",
			"a string knows the escapes \\\" \\\\ \\n \\r \\t and \\xHH, not this");
}

/* Byte i behind the first quote. A NUL has been told of. */
static void no_control(struct gf_parser *p, char c, struct gf_span at, size_t i, const char *hint, const char *what)
{
	struct gf_span where = { at.src, at.start + 1 + (uint32_t)i, at.start + 2 + (uint32_t)i };

	if (((unsigned char)c < 0x20 && c && c != '\t') || c == 0x7f)
		gf_parser_error(p, "E007", where, hint, "%s", what);
}

struct gf_lexeme gf_lex_string(struct gf_parser *p, const char *s, size_t n, struct gf_span at)
{
	char *out = gf_parser_alloc(p, n + 1);
	size_t o = 0;
	if (!out)
		return (struct gf_lexeme){ 0 };
	for (size_t i = 0; i < n; i++) {
		no_control(p, s[i], at, i, "write it as \\xHH", "a control character inside a string");
		if (s[i] != '\\') {
			if (s[i]) /* a NUL has been told of */
				out[o++] = s[i];
			continue;
		}
		static const char from[] = "\"\\nrt", to[] = "\"\\\n\r\t";
		char c = i + 1 < n ? s[i + 1] : 0;
		const char *known = c ? strchr(from, c) : NULL;
		if (known) {
			out[o++] = to[known - from];
			i++;
		} else if (c == 'x' && i + 3 < n && hex(s[i + 2]) >= 0 && hex(s[i + 3]) >= 0 &&
			   (s[i + 2] != '0' || s[i + 3] != '0')) {
			out[o++] = (char)(hex(s[i + 2]) * 16 + hex(s[i + 3]));
			i += 3;
		} else {
			bad_escape(p, at, i, c ? 2 : 1);
			out[o++] = '\\';
		}
	}
	return (struct gf_lexeme){ out, (uint32_t)o };
}

struct gf_lexeme gf_lex_regex(struct gf_parser *p, const char *s, size_t n, struct gf_span at)
{
	char *out = gf_parser_alloc(p, n + 1);
	size_t o = 0;
	if (!out)
		return (struct gf_lexeme){ 0 };
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\\' && i + 1 < n) {
			if (s[i + 1] != '/')
				out[o++] = '\\';
			i++;
		}
		no_control(p, s[i], at, i, "a dot stands for any character", "a control character inside a regular expression");
		if (s[i])
			out[o++] = s[i];
	}
	return (struct gf_lexeme){ out, (uint32_t)o };
}

size_t gf_utf8_len(const char *s, size_t n)
{
	const unsigned char *u = (const unsigned char *)s;
	if (!n)
		return 0;
	if (u[0] < 0x80)
		return 1;
	size_t len = u[0] >= 0xf0 && u[0] <= 0xf4 ? 4 : u[0] >= 0xe0 && u[0] < 0xf0 ? 3 : u[0] >= 0xc2 && u[0] < 0xe0 ? 2 : 0;
	if (!len || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((u[i] & 0xc0) != 0x80)
			return 0;
	/* over-long forms, surrogates, past U+10FFFF */
	if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] >= 0xa0) || (u[0] == 0xf0 && u[1] < 0x90) ||
	    (u[0] == 0xf4 && u[1] >= 0x90))
		return 0;
	return len;
}

bool gf_lex_check_bytes(struct gf_parser *p)
{
	const char *s = p->src->text;
	size_t n = p->src->len;
	if (n >= 2 && (!memcmp(s, "\xff\xfe", 2) || !memcmp(s, "\xfe\xff", 2))) {
		gf_parser_error(p, "E006", (struct gf_span){ p->index, 0, 2 }, "save the file as UTF-8", "this text is in UTF-16");
		return false;
	}
	for (size_t i = 0; i < n;) {
		size_t len = gf_utf8_len(s + i, n - i);
		if (len && s[i]) {
			i += len;
			continue;
		}
		size_t from = i;
		bool nul = !s[i];
		while (i < n && (nul ? !s[i] : !gf_utf8_len(s + i, n - i)))
			i++;
		struct gf_span at = { p->index, (uint32_t)from, (uint32_t)i };
		if (nul)
			gf_parser_error(p, "E007", at, "delete it", "a NUL byte; is this a text file?");
		else
			gf_parser_error(p, "E006", at, "save the file as UTF-8", "these bytes are not UTF-8");
	}
	return true;
}
