/* SPDX-License-Identifier: MIT */
#include "ctl/text.h"

#include <math.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wctype.h>

#include "compiler/compiler.h"

bool gf_show_printable(wchar_t c)
{
	unsigned long u = (unsigned long)c;

	/* Marks without width that reorder or hide what follows. */
	if ((u >= 0x200b && u <= 0x200f) || (u >= 0x202a && u <= 0x202e) || (u >= 0x2060 && u <= 0x2069) || u == 0xfeff || u == 0x61c)
		return false;
	return iswprint((wint_t)c) && wcwidth(c) >= 0;
}

const char *gf_show_safe(const char *in, char *out, size_t n)
{
	mbstate_t st = { 0 };
	size_t at = 0;

	while (*in && at + 1 < n) {
		wchar_t c;
		size_t len = mbrtowc(&c, in, strlen(in), &st);
		if (len == (size_t)-1 || len == (size_t)-2 || !len) {
			memset(&st, 0, sizeof st);
			if (!strncmp(in, "…", 3) && at + 3 < n) { /* what messages of ours have */
				memcpy(out + at, "...", 3);
				at += 3;
			} else {
				out[at++] = '?';
			}
			/* One '?' for a whole UTF-8 character in a locale without them. */
			for (in++; ((unsigned char)*in & 0xc0) == 0x80; in++)
				;
			continue;
		}
		if (!gf_show_printable(c)) {
			out[at++] = '?';
		} else {
			if (at + len >= n)
				break;
			memcpy(out + at, in, len);
			at += len;
		}
		in += len;
	}
	if (n)
		out[at] = 0;
	return out;
}

int gf_show_width(const char *s)
{
	mbstate_t st = { 0 };
	int w = 0;

	while (*s) {
		wchar_t c;
		size_t len = mbrtowc(&c, s, strlen(s), &st);
		int cols;
		if (len == (size_t)-1 || len == (size_t)-2 || !len) {
			memset(&st, 0, sizeof st);
			len = 1;
			cols = 1;
		} else {
			cols = wcwidth(c);
		}
		w += cols > 0 ? cols : 0;
		s += len;
	}
	return w;
}

void gf_show_pad(FILE *out, const char *s, int width, bool right)
{
	int w = gf_show_width(s);
	mbstate_t st = { 0 };
	int left = width;

	if (right && w < width)
		fprintf(out, "%*s", width - w, "");
	while (*s) {
		wchar_t c;
		size_t len = mbrtowc(&c, s, strlen(s), &st);
		int cols;
		if (len == (size_t)-1 || len == (size_t)-2 || !len) {
			memset(&st, 0, sizeof st);
			len = 1;
			cols = 1;
		} else {
			cols = wcwidth(c) > 0 ? wcwidth(c) : 0;
		}
		if (cols > left)
			break;
		fwrite(s, 1, len, out);
		left -= cols;
		s += len;
	}
	if (!right && left > 0)
		fprintf(out, "%*s", left, "");
}

void gf_lines_add(struct gf_lines *l, enum gf_look look, const char *fmt, ...)
{
	va_list ap;
	char *raw = NULL, *safe;
	int len;

	va_start(ap, fmt);
	len = vasprintf(&raw, fmt, ap);
	va_end(ap);
	if (len < 0)
		return;
	safe = malloc((size_t)len + 1);
	if (safe && l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 32;
		struct gf_line *v = realloc(l->v, cap * sizeof *v);
		if (!v) {
			free(safe);
			safe = NULL;
		} else {
			l->v = v;
			l->cap = cap;
		}
	}
	if (safe) {
		gf_show_safe(raw, safe, (size_t)len + 1);
		l->v[l->n++] = (struct gf_line){ safe, look };
	}
	free(raw);
}

void gf_lines_deinit(struct gf_lines *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].text);
	free(l->v);
	memset(l, 0, sizeof *l);
}

void gf_lines_print(const struct gf_lines *l, FILE *out, bool colour)
{
	static const char *const on[GF_LOOK_COUNT] = { "", "\033[1m", "\033[2m", "\033[32m", "\033[33m", "\033[31m" };

	for (size_t i = 0; i < l->n; i++) {
		bool c = colour && l->v[i].look != GF_LOOK_PLAIN;
		fprintf(out, "%s%s%s\n", c ? on[l->v[i].look] : "", l->v[i].text, c ? "\033[0m" : "");
	}
}

/* Bytes of s that fit into width columns, cut after a blank where there is one in the last half. */
static size_t fitting(const char *s, int width)
{
	mbstate_t st = { 0 };
	size_t at = 0, blank = 0;
	int used = 0;

	while (s[at]) {
		wchar_t ch;
		size_t len = mbrtowc(&ch, s + at, strlen(s + at), &st);
		int w = 1;
		if (len == (size_t)-1 || len == (size_t)-2 || !len) {
			memset(&st, 0, sizeof st);
			len = 1;
		} else {
			w = wcwidth(ch);
		}
		if (used + w > width)
			return blank ? blank : at ? at : len;
		used += w > 0 ? w : 0;
		at += len;
		if (s[at - 1] == ' ' && used > width / 2)
			blank = at;
	}
	return at;
}

void gf_lines_wrap(const struct gf_lines *in, int width, struct gf_lines *out)
{
	for (size_t i = 0; i < in->n; i++) {
		const char *s = in->v[i].text;
		size_t n = fitting(s, width);
		gf_lines_add(out, in->v[i].look, "%.*s", (int)n, s);
		for (s += n; *s; s += n) {
			n = fitting(s, width - 8);
			gf_lines_add(out, in->v[i].look, "        %.*s", (int)n, s);
		}
	}
}

static const char *scaled(double v, const char *const *unit, int units, double step, const char *sep, char *buf, size_t n)
{
	double a = fabs(v);
	int u = 0;

	/* 1023.6 must become "1.0G", not "1024M". */
	while (u < units - 1 && (u ? a >= step - 0.05 * (a < 10) - 0.5 * (a >= 10) : a >= step)) {
		a /= step;
		u++;
	}
	if (v < 0)
		a = -a;
	if (u == 0 || fabs(a) >= 99.95)
		snprintf(buf, n, "%.0f%s%s", a, sep, unit[u]);
	else
		snprintf(buf, n, "%.1f%s%s", a, sep, unit[u]);
	return buf;
}

static const char *small_size(double v, char *buf, size_t n)
{
	static const char *const unit[] = { "", "K", "M", "G", "T", "P", "E" };

	return scaled(v, unit, 7, 1024, "", buf, n);
}

const char *gf_show_size(double v, char *buf, size_t n)
{
	static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };

	if (isnan(v)) {
		snprintf(buf, n, "-");
		return buf;
	}
	return scaled(v, unit, 7, 1024, " ", buf, n);
}

const char *gf_show_span(double s, char *buf, size_t n)
{
	if (isnan(s))
		snprintf(buf, n, "-");
	else if (s < 0.0000005)
		snprintf(buf, n, "0s");
	else if (s < 0.0009995)
		snprintf(buf, n, "%.0fus", s * 1e6);
	else if (s < 0.9995)
		snprintf(buf, n, "%.0fms", s * 1e3);
	else if (s < 60)
		snprintf(buf, n, "%.1fs", fmin(s, 59.9));
	else if (s < 3600)
		snprintf(buf, n, "%dm%02ds", (int)(s / 60), (int)fmod(s, 60));
	else if (s < 86400)
		snprintf(buf, n, "%dh%02dm", (int)(s / 3600), (int)fmod(s / 60, 60));
	else if (s < 86400e3)
		snprintf(buf, n, "%dd%02dh", (int)(s / 86400), (int)fmod(s / 3600, 24));
	else
		snprintf(buf, n, "%.0fy", s / 86400 / 365.25);
	return buf;
}

const char *gf_show_window(double s, char *buf, size_t n)
{
	if (isnan(s))
		snprintf(buf, n, "-");
	else if (s >= 7200)
		snprintf(buf, n, "%.3g h", s / 3600);
	else if (s >= 120)
		snprintf(buf, n, "%.3g min", s / 60);
	else
		snprintf(buf, n, "%.3g s", s);
	return buf;
}

static const char *count(double v, char *buf, size_t n)
{
	static const char *const unit[] = { "", "k", "M", "G", "T", "P", "E" };

	if (fabs(v) < 1e6 && v == floor(v))
		snprintf(buf, n, "%.0f", v);
	else if (fabs(v) < 1e4)
		snprintf(buf, n, "%.*f", fabs(v) < 100 ? 2 : 0, v);
	else
		scaled(v, unit, 7, 1000, "", buf, n);
	return buf;
}

const char *gf_show_cell(double v, enum gf_dim dim, char *buf, size_t n)
{
	static const char *const sched[] = { "other", "fifo", "rr", "batch", "4", "idle", "deadline" };

	if (!isfinite(v)) {
		snprintf(buf, n, isnan(v) ? "-" : v > 0 ? "inf" : "-inf");
		return buf;
	}
	switch (dim) {
	case GF_DIM_BYTES:
	case GF_DIM_BYTERATE:
	case GF_DIM_CNT_BYTES:
		return small_size(v, buf, n);
	case GF_DIM_TIME:
	case GF_DIM_CNT_TIME:
		return gf_show_span(v / 1e9, buf, n);
	case GF_DIM_PCT:
		snprintf(buf, n, "%.*f", fabs(v) < 999.95 ? 1 : 0, v);
		return buf;
	case GF_DIM_ENUM_STATE:
		if (v > 32 && v < 127)
			snprintf(buf, n, "%c", (char)v);
		else
			snprintf(buf, n, "?");
		return buf;
	case GF_DIM_ENUM_SCHED:
		if (v >= 0 && v < 7)
			snprintf(buf, n, "%s", sched[(int)v]);
		else
			snprintf(buf, n, "%.0f", v);
		return buf;
	case GF_DIM_UID:
		return gf_show_user(v, buf, n);
	case GF_DIM_GID:
		snprintf(buf, n, "%.0f", v);
		return buf;
	case GF_DIM_BOOL:
		snprintf(buf, n, "%s", v != 0 ? "yes" : "no");
		return buf;
	case GF_DIM_NUM:
	case GF_DIM_RATE:
	case GF_DIM_STR:
	case GF_DIM_CNT_NUM:
		break;
	}
	return count(v, buf, n);
}

/* 2026-11-23T05:41:02[.123456789](Z|+01:00) to seconds since the epoch. */
static bool parse_time(const char *s, time_t *ret, int *ret_ms)
{
	struct tm tm = { 0 };
	const char *p = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
	double frac = 0;
	int off = 0, h, m;

	if (!p)
		return false;
	if (*p == '.') {
		char *end;
		frac = strtod(p, &end);
		p = end;
	}
	if ((*p == '+' || *p == '-') && sscanf(p + 1, "%2d:%2d", &h, &m) == 2)
		off = (h * 60 + m) * 60 * (*p == '-' ? -1 : 1);
	else if (*p != 'Z' && *p != 'z')
		return false;
	*ret = timegm(&tm) - off;
	*ret_ms = (int)(frac * 1000);
	return true;
}

const char *gf_show_time(const char *s, bool date, char *buf, size_t n)
{
	time_t t;
	struct tm tm;
	char day[64];
	int ms;

	if (!parse_time(s, &t, &ms) || !localtime_r(&t, &tm)) {
		gf_show_safe(s, buf, n);
		return buf;
	}
	strftime(day, sizeof day, date ? "%Y-%m-%d %H:%M:%S" : "%H:%M:%S", &tm);
	snprintf(buf, n, "%s.%03d", day, ms);
	return buf;
}

bool gf_show_user_numbers;

const char *gf_show_user(double uid, char *buf, size_t n)
{
	/* A name service may be slow: ask once a user. Direct-mapped; a clash asks again. */
	static struct { uint32_t uid; char name[33]; } seen[256];
	uint32_t u;

	if (!(uid >= 0 && uid <= 4294967295.0)) {
		snprintf(buf, n, "-");
		return buf;
	}
	u = (uint32_t)uid;
	if (gf_show_user_numbers) {
		snprintf(buf, n, "%u", u);
		return buf;
	}
	if (!seen[u % 256].name[0] || seen[u % 256].uid != u) {
		struct passwd *pw = getpwuid(u);
		seen[u % 256].uid = u;
		if (pw && *pw->pw_name)
			gf_show_safe(pw->pw_name, seen[u % 256].name, sizeof seen[0].name);
		else
			snprintf(seen[u % 256].name, sizeof seen[0].name, "%u", u);
	}
	snprintf(buf, n, "%s", seen[u % 256].name);
	return buf;
}

const char *gf_show_field(const json_t *o, const char *name, char *buf, size_t n)
{
	const json_t *v = json_object_get(o, name);
	const struct gf_field_info *f = gf_field_find(name);

	if (json_is_string(v))
		return gf_show_safe(json_string_value(v), buf, n);
	if (json_is_boolean(v))
		snprintf(buf, n, "%s", json_is_true(v) ? "yes" : "no");
	else if (!json_is_number(v))
		snprintf(buf, n, "-");
	else if (f && (!strcmp(name, "pid") || !strcmp(name, "ppid") || !strcmp(name, "tgid") ||
		       !strcmp(name, "pgrp") || !strcmp(name, "session")))
		snprintf(buf, n, "%.0f", json_number_value(v));
	else
		gf_show_cell(json_number_value(v), f ? f->dim : GF_DIM_NUM, buf, n);
	return buf;
}

const char *gf_js_str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

double gf_js_num(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

bool gf_js_bool(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

long long gf_js_int(const json_t *o, const char *key)
{
	double v = gf_js_num(o, key);

	if (!(v >= -9.2e18 && v <= 9.2e18))
		return -1;
	return (long long)v;
}
