/* SPDX-License-Identifier: MIT */
#include "sim/series.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compiler.h"
#include "grammar/parser.h" /* units, as policies have them */

#define BLANK " \t\r\n"

/* One item of the text: "1GiB-10MiBx20". */
struct item {
	const char *text; /* all of it, NUL-terminated */
	size_t base;      /* where it is in the series */
	size_t at;
	enum gf_dim dim;
	enum gf_pct shares;
	struct gf_series_fault *fault;
	struct gf_err *err;
};

static int wrong(struct item *x, size_t at, size_t len, const char *hint, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
static int wrong(struct item *x, size_t at, size_t len, const char *hint, const char *fmt, ...)
{
	va_list ap;

	x->fault->at = x->base + at;
	x->fault->len = len ? len : 1;
	snprintf(x->fault->hint, sizeof x->fault->hint, "%s", hint ? hint : "");
	va_start(ap, fmt);
	vsnprintf(x->err->text, sizeof x->err->text, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

bool gf_series_word(const char *word, enum gf_dim dim, double *ret)
{
	static const char *const sched[] = { "other", "fifo", "rr", "batch", NULL, "idle", "deadline", "ext" };

	if (dim == GF_DIM_ENUM_STATE) {
		*ret = (unsigned char)word[0];
		return word[0] && strchr("RSDTtZXI", word[0]) && !word[1];
	}
	for (size_t i = 0; i < sizeof sched / sizeof *sched; i++)
		if (sched[i] && !strcmp(sched[i], word)) {
			*ret = (double)i;
			return true;
		}
	return false;
}

static enum gf_unit wanted_unit(enum gf_dim dim)
{
	switch (dim) {
	case GF_DIM_BYTES:
	case GF_DIM_CNT_BYTES:
	case GF_DIM_BYTERATE:
		return GF_UNIT_BYTES;
	case GF_DIM_TIME:
	case GF_DIM_CNT_TIME:
		return GF_UNIT_TIME;
	case GF_DIM_PCT:
		return GF_UNIT_PCT;
	default:
		return GF_UNIT_NONE;
	}
}

static const char *example(enum gf_unit u)
{
	return u == GF_UNIT_BYTES ? "512MiB" : u == GF_UNIT_TIME ? "90s" : u == GF_UNIT_PCT ? "95%" : "500";
}

/* Digits with an exponent, "Inf" or "NaN"; the sign has been read. */
static int digits(struct item *x, double *ret)
{
	const char *s = x->text + x->at;
	size_t n = strspn(s, "0123456789.");
	char buf[64];

	if (!strncmp(s, "Inf", 3) || !strncmp(s, "NaN", 3)) {
		*ret = *s == 'I' ? (double)INFINITY : gf_unknown();
		x->at += 3;
		return 0;
	}
	if (n && (s[n] == 'e' || s[n] == 'E') && (isdigit((unsigned char)s[n + 1]) || ((s[n + 1] == '+' || s[n + 1] == '-') && isdigit((unsigned char)s[n + 2])))) {
		n += 2;
		n += strspn(s + n, "0123456789");
	}
	if (!n || n >= sizeof buf)
		return wrong(x, x->at, n, "write 5, 1.5GiB, 1+2x10, 5x3, _ , _x3 or stale", "%s", n ? "this number is too long" : "a number is missing here");
	memcpy(buf, s, n);
	buf[n] = 0;
	char *end;
	*ret = strtod(buf, &end);
	if (*end)
		return wrong(x, x->at, n, "write 5, 1.5GiB or 1e6", "this number is badly written");
	x->at += n;
	return 0;
}

static int unit(struct item *x, size_t from, double *v, bool *share)
{
	enum gf_unit want = wanted_unit(x->dim), got = GF_UNIT_NONE;
	const char *s = x->text + x->at;
	size_t n = *s == '%' ? 1 : strspn(s, "abcdefghijklmnopqrstuvwyzABCDEFGHIJKLMNOPQRSTUVWXYZ"); /* no x: that is "times" */
	char word[32], hint[120];
	double factor = 1;

	*share = false;
	snprintf(word, sizeof word, "%.*s", (int)n, s);
	if (n && !gf_lex_unit(word, &got, &factor)) {
		const char *near = gf_lex_near_unit(word);
		snprintf(hint, sizeof hint, strcmp(word, "m") ? near ? "did you mean \"%s\"?" : "units are those of policies: KiB MiB GiB, ms s min h, %%" : "minutes are \"min\", mebibytes \"MiB\"", near);
		return wrong(x, x->at, n, hint, "unknown unit \"%s\"", word);
	}
	x->at += n;
	if ((x->dim == GF_DIM_RATE || x->dim == GF_DIM_BYTERATE) && x->text[x->at] == '/') {
		if (x->text[x->at + 1] != 's')
			return wrong(x, x->at, 2, "write 500/s", "a rate is a second");
		x->at += 2;
	}
	*v *= factor;
	if (got == GF_UNIT_PCT && x->shares != GF_PCT_NO && x->shares != GF_PCT_SELF) {
		*share = true;
		return 0;
	}
	if (got == want || (!n && (*v == 0 || !isfinite(*v))))
		return 0;
	snprintf(hint, sizeof hint, "write for example %s", example(want));
	if (!n)
		return wrong(x, from, x->at - from, hint, "this number lacks its unit: a %s is needed", gf_dim_name(x->dim));
	return wrong(x, from, x->at - from, hint, "a %s is needed here", gf_dim_name(x->dim));
}

static int number(struct item *x, bool sign, double *ret, bool *ret_share)
{
	size_t from = x->at;
	bool minus = false;
	int r;

	if (sign && (x->text[x->at] == '-' || x->text[x->at] == '+'))
		minus = x->text[x->at++] == '-';
	r = digits(x, ret);
	if (!r)
		r = unit(x, from, ret, ret_share);
	if (!r && minus)
		*ret = -*ret;
	return r;
}

/* "x10", or nothing. */
static int times(struct item *x, uint64_t *ret, bool *ret_given)
{
	const char *s = x->text + x->at;
	size_t n;

	*ret = 0;
	*ret_given = *s == 'x';
	if (!*ret_given)
		return 0;
	n = strspn(s + 1, "0123456789");
	if (!n)
		return wrong(x, x->at, 1, "write 5x3: 5, and three times more", "after \"x\" a whole number is needed");
	errno = 0;
	*ret = strtoull(s + 1, NULL, 10);
	if (errno || *ret > GF_SERIES_MAX)
		return wrong(x, x->at, n + 1, NULL, "a series has at most %llu values", GF_SERIES_MAX);
	x->at += n + 1;
	return 0;
}

/* "_", "_x3", "stale", a word of an enumeration; *ret_n how many values. 1: it is none of these. */
static int word(struct item *x, struct gf_series_run *run, uint64_t *ret_n)
{
	const char *s = x->text;
	bool given;
	char buf[16];

	if (s[0] == '_') {
		int r;
		x->at = 1;
		r = times(x, ret_n, &given);
		run->mark = GF_SERIES_UNKNOWN;
		if (!given)
			*ret_n = 1;
		return r;
	}
	if (!strncmp(s, "stale", 5) && !s[5]) {
		x->at = 5;
		*ret_n = 1;
		run->mark = GF_SERIES_STALE;
		return 0;
	}
	if (x->dim != GF_DIM_ENUM_STATE && x->dim != GF_DIM_ENUM_SCHED)
		return 1;
	x->at = strspn(s, "abcdefghijklmnopqrstuvwyzABCDEFGHIJKLMNOPQRSTUVWYZ");
	if (s[0] == 'X' && x->dim == GF_DIM_ENUM_STATE)
		x->at = 1;
	snprintf(buf, sizeof buf, "%.*s", (int)x->at, s);
	if (x->dim == GF_DIM_ENUM_SCHED && !strcmp(s, "ext")) { /* the one with an x in it */
		x->at = 3;
		snprintf(buf, sizeof buf, "ext");
	}
	if (!gf_series_word(buf, x->dim, &run->first))
		return wrong(x, 0, strlen(s), x->dim == GF_DIM_ENUM_STATE ? "one of R S D T t Z X I" : "one of other fifo rr batch idle deadline ext",
			     "there is no %s \"%s\"", gf_dim_name(x->dim), s);
	if (times(x, ret_n, &given))
		return -EINVAL;
	++*ret_n;
	return 0;
}

static int item(struct item *x, struct gf_series_run *run, uint64_t *ret_n)
{
	bool given, share = false, step_share = false, step = false;
	int r = word(x, run, ret_n);

	if (r <= 0)
		goto end;
	r = number(x, true, &run->first, &share);
	if (r)
		return r;
	if (x->text[x->at] == '+' || x->text[x->at] == '-') {
		size_t from = x->at;
		step = true;
		r = number(x, true, &run->step, &step_share);
		if (r)
			return r;
		if (share != step_share)
			return wrong(x, from, x->at - from, NULL, "a share and an amount cannot be added");
	}
	r = times(x, ret_n, &given);
	if (r)
		return r;
	if (step && !given)
		return wrong(x, 0, strlen(x->text), "write 1+2x10: 1, 3, 5, and so on, ten times", "a step needs \"x\" and how often");
	++*ret_n; /* as promtool has it: axn is a, and n times more */
	run->mark = run->first != run->first ? GF_SERIES_UNKNOWN : share ? GF_SERIES_SHARE : GF_SERIES_VALUE;
end:
	if (!r && x->text[x->at])
		return wrong(x, x->at, strlen(x->text) - x->at, "values are separated by spaces: 1+2x10 5 _x3 stale", "this cannot stand here");
	return r;
}

static int append(struct gf_series *s, const struct gf_series_run *run, uint64_t n)
{
	struct gf_series_run *v = realloc(s->run, (s->runs + 1) * sizeof *v);

	if (!v)
		return -ENOMEM;
	s->run = v;
	s->len += n;
	v[s->runs] = *run;
	v[s->runs++].end = s->len;
	return 0;
}

int gf_series_parse(const char *text, enum gf_dim dim, enum gf_pct shares, struct gf_series *ret, struct gf_series_fault *fault,
		    struct gf_err *err)
{
	struct gf_series s = { 0 };
	size_t at = strspn(text, BLANK);
	int r = 0;

	while (!r && text[at]) {
		size_t len = strcspn(text + at, BLANK);
		char *one = strndup(text + at, len);
		struct item x = { .text = one, .base = at, .dim = dim, .shares = shares, .fault = fault, .err = err };
		struct gf_series_run run = { 0 };
		uint64_t n = 0;

		r = one ? item(&x, &run, &n) : -ENOMEM;
		if (!r && s.len + n > GF_SERIES_MAX) {
			x.at = 0;
			r = wrong(&x, 0, len, NULL, "a series has at most %llu values", GF_SERIES_MAX);
		}
		if (!r && n)
			r = append(&s, &run, n);
		free(one);
		at += len + strspn(text + at + len, BLANK);
	}
	if (!r && !s.len) {
		struct item x = { .text = text, .fault = fault, .err = err };
		r = wrong(&x, 0, strlen(text), "write 5, 1.5GiB, 1+2x10, 5x3, _x3 or stale", "there are no values here");
	}
	if (r) {
		gf_series_deinit(&s);
		return r;
	}
	*ret = s;
	return 0;
}

void gf_series_deinit(struct gf_series *s)
{
	free(s->run);
	*s = (struct gf_series){ 0 };
}

enum gf_series_mark gf_series_at(const struct gf_series *s, uint64_t i, double *ret)
{
	size_t lo = 0, hi = s->runs;

	*ret = gf_unknown();
	if (!s->len)
		return GF_SERIES_UNKNOWN;
	i = GF_MIN(i, s->len - 1);
	while (lo + 1 < hi) { /* the run that ends after i, and none before it does */
		size_t mid = lo + (hi - lo) / 2;
		if (s->run[mid - 1].end <= i)
			lo = mid;
		else
			hi = mid;
	}
	const struct gf_series_run *run = &s->run[lo];
	if (run->mark == GF_SERIES_VALUE || run->mark == GF_SERIES_SHARE) {
		uint64_t k = i - (lo ? s->run[lo - 1].end : 0);
		*ret = run->first + (k ? run->step * (double)k : 0);
	}
	return run->mark;
}

uint64_t gf_series_stale(const struct gf_series *s)
{
	for (size_t i = 0; i < s->runs; i++)
		if (s->run[i].mark == GF_SERIES_STALE)
			return i ? s->run[i - 1].end : 0;
	return UINT64_MAX;
}
