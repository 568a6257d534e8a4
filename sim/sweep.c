/* SPDX-License-Identifier: MIT
 *
 * Ranges of values for a policy's numbers, and texts with them.
 */
#include "sim/knobs.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char *text, *base; /* base: the unit that its kind can be written in without loss */
	double by;
};

static const struct unit units[] = {
	{ "", "", 1 }, { "%", "%", 1 }, { "/s", "/s", 1 }, { "/min", "/min", 1 },
	{ "B", "B", 1 }, { "K", "B", 1024 }, { "KiB", "B", 1024 }, { "M", "B", 1048576 }, { "MiB", "B", 1048576 },
	{ "G", "B", 1073741824 }, { "GiB", "B", 1073741824 }, { "T", "B", 1099511627776 }, { "TiB", "B", 1099511627776 },
	{ "kB", "B", 1e3 }, { "MB", "B", 1e6 }, { "GB", "B", 1e9 }, { "TB", "B", 1e12 },
	{ "MiB/s", "MiB/s", 1 }, { "KiB/s", "KiB/s", 1 }, { "GiB/s", "GiB/s", 1 }, { "B/s", "B/s", 1 },
	{ "ns", "ns", 1 }, { "us", "ns", 1e3 }, { "ms", "ns", 1e6 }, { "s", "ns", 1e9 }, { "min", "ns", 60e9 },
	{ "h", "ns", 3600e9 }, { "d", "ns", 86400e9 },
};

/* "5%" from p up to end; the unit of the number in the policy where it has none. */
static int quantity(const char *p, size_t len, const char *like, double *ret, const struct unit **ret_unit)
{
	char buf[48], *end;
	double v;

	if (!len || len >= sizeof buf)
		return -EINVAL;
	memcpy(buf, p, len);
	buf[len] = 0;
	v = strtod(buf, &end);
	if (end == buf || !(fabs(v) < 1e15))
		return -EINVAL;
	if (!*end)
		end = (char *)(uintptr_t)like;
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (!strcmp(units[i].text, end)) {
			*ret = v;
			*ret_unit = &units[i];
			return 0;
		}
	return -EINVAL;
}

/* As the policy language has numbers: without an exponent. */
static void print(double v, const struct unit *u, char *buf, size_t n)
{
	char number[40];
	size_t len = (size_t)snprintf(number, sizeof number, "%.*f", fabs(v) >= 1e6 ? 3 : 9, fabs(v) < 1e-9 ? 0 : v);

	while (len > 1 && len < sizeof number && number[len - 1] == '0')
		len--;
	if (len && len < sizeof number && number[len - 1] == '.')
		len--;
	snprintf(buf, n, "%.*s%s", (int)len, number, u->text);
}

static const struct unit *base_of(const struct unit *u)
{
	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (!strcmp(units[i].text, u->base))
			return &units[i];
	return u;
}

static int range(const char *text, const char *dots, const char *like, struct gf_sweep *s, struct gf_err *err)
{
	const char *slash = strrchr(dots + 2, '/'), *end = text + strlen(text);
	const struct unit *u[3];
	double v[3];
	size_t n;

	/* 100/s..500/s/100/s: the last slash that begins a number. */
	while (slash && slash > dots && !strchr("0123456789.", slash[1])) {
		const char *before = slash;
		for (slash = before - 1; slash > dots && *slash != '/'; slash--)
			;
	}
	if (!slash || slash <= dots + 1 || quantity(text, (size_t)(dots - text), like, &v[0], &u[0]) ||
	    quantity(dots + 2, (size_t)(slash - dots - 2), like, &v[1], &u[1]) || quantity(slash + 1, (size_t)(end - slash - 1), like, &v[2], &u[2]))
		return gf_err_set(err, EINVAL, "\"%.60s\" is no range: write FROM..TO/STEP, such as 2%%..10%%/1%%", text);
	if (u[0] != u[1] || u[0] != u[2]) {
		const struct unit *base = base_of(u[0]), *small = u[0];
		if (base != base_of(u[1]) || base != base_of(u[2]))
			return gf_err_set(err, EINVAL, "\"%.60s\": the three are not of one kind", text);
		for (int i = 1; i < 3; i++)
			small = u[i]->by < small->by ? u[i] : small;
		for (int i = 0; i < 3; i++) {
			v[i] = v[i] * u[i]->by / small->by;
			u[i] = small;
		}
	}
	if (!(v[2] > 0) || v[1] < v[0])
		return gf_err_set(err, EINVAL, "\"%.60s\" leads nowhere: FROM must not be over TO, and STEP is over 0", text);
	if ((v[1] - v[0]) / v[2] > GF_SWEEP_VALUES - 1)
		return gf_err_set(err, EINVAL, "\"%.60s\" is over %u values: take a longer step", text, GF_SWEEP_VALUES);
	n = (size_t)floor((v[1] - v[0]) / v[2] + 1e-9) + 1;
	s->value = calloc(n, sizeof *s->value);
	if (!s->value)
		return gf_err_set(err, ENOMEM, "out of memory");
	for (s->n = 0; s->n < n; s->n++)
		print(v[0] + (double)s->n * v[2], u[0], s->value[s->n], sizeof *s->value);
	return 0;
}

static int values(const char *text, const char *like, struct gf_sweep *s, struct gf_err *err)
{
	const struct unit *u;
	size_t n = 1;
	double v;

	for (const char *p = text; *p; p++)
		n += *p == ',';
	if (n > GF_SWEEP_VALUES)
		return gf_err_set(err, EINVAL, "more than %u values", GF_SWEEP_VALUES);
	s->value = calloc(n, sizeof *s->value);
	if (!s->value)
		return gf_err_set(err, ENOMEM, "out of memory");
	for (const char *p = text; s->n < n; p += strcspn(p, ",") + 1) {
		size_t len = strcspn(p, ",");
		if (quantity(p, len, like, &v, &u))
			return gf_err_set(err, EINVAL, "\"%.*s\" is no value: write a number with its unit, such as 5%%, 8GiB, 30s", (int)(len < 60 ? len : 60), p);
		print(v, u, s->value[s->n++], sizeof *s->value);
	}
	return 0;
}

int gf_sweep_parse(const struct gf_knobs *k, const char *text, struct gf_sweep *ret, struct gf_err *err)
{
	const char *eq = strrchr(text, '='), *dots, *like;
	char name[200];
	int rc;

	memset(ret, 0, sizeof *ret);
	if (!eq || eq == text || !eq[1] || (size_t)(eq - text) >= sizeof name)
		return gf_err_set(err, EINVAL, "\"%.80s\" is not NAME=FROM..TO/STEP, such as low-memory.threshold=2%%..10%%/1%%", text);
	snprintf(name, sizeof name, "%.*s", (int)(eq - text), text);
	rc = gf_knob_named(k, name, &ret->knob, err);
	if (rc)
		return rc;
	for (like = ret->knob->text; *like && strchr("+-0123456789.", *like); like++)
		;
	while (*like == ' ')
		like++;
	dots = strstr(eq + 1, "..");
	rc = dots ? range(eq + 1, dots, like, ret, err) : values(eq + 1, like, ret, err);
	if (rc)
		gf_sweep_deinit(ret);
	return rc;
}

void gf_sweep_deinit(struct gf_sweep *s)
{
	free(s->value);
	memset(s, 0, sizeof *s);
}

/* One file's text with the numbers in it replaced; those of one file do not overlap. */
static char *replaced(const struct gf_source *src, uint32_t number, const struct gf_sweep *s, const size_t *at, size_t sweeps)
{
	size_t room = src->len + 1 + sweeps * sizeof *s->value, o = 0, i = 0;
	char *t = malloc(room);

	while (t && i < src->len) {
		size_t k;
		for (k = 0; k < sweeps && !(s[k].knob->span.src == number && s[k].knob->span.start == i); k++)
			;
		if (k == sweeps) {
			t[o++] = src->text[i++];
			continue;
		}
		o += (size_t)snprintf(t + o, room - o, "%s", s[k].value[at[k]]);
		i = s[k].knob->span.end;
	}
	if (t)
		t[o] = 0;
	return t;
}

int gf_knobs_set(const struct gf_source *src, size_t n, const struct gf_sweep *s, const size_t *at, size_t sweeps, struct gf_source *ret)
{
	for (size_t i = 0; i < n; i++) {
		char *t = replaced(&src[i], (uint32_t)i, s, at, sweeps);
		if (!t) {
			while (i)
				free((char *)(uintptr_t)ret[--i].text);
			return -ENOMEM;
		}
		ret[i] = (struct gf_source){ .name = src[i].name, .text = t, .len = strlen(t) };
	}
	return 0;
}
