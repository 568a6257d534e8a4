/* SPDX-License-Identifier: MIT
 *
 * The field registry as a table, and values as people read them.
 */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "compiler/compiler.h"

#define GF_INF INFINITY

static const struct gf_field_info fields[] = {
#define GF_HOST(ident, nm, dm, pc, low, high, src, text)                                                   \
	{ .name = nm, .doc = text, .sources = src, .dim = GF_DIM_##dm, .pct = GF_PCT_##pc, .lo = low,      \
	  .hi = high, .scope = GF_SCOPE_HOST, .id = GF_HF_##ident },
#define GF_TASK(ident, nm, dm, pc, low, high, src, text)                                                   \
	{ .name = nm, .doc = text, .sources = src, .dim = GF_DIM_##dm, .pct = GF_PCT_##pc, .lo = low,      \
	  .hi = high, .scope = GF_SCOPE_TASK, .id = GF_TF_##ident },
#define GF_TSTR(ident, nm, src, text)                                                                      \
	{ .name = nm, .doc = text, .sources = src, .dim = GF_DIM_STR, .pct = GF_PCT_NO, .lo = 0,           \
	  .hi = GF_INF, .scope = GF_SCOPE_TASK, .str = true, .id = GF_SF_##ident },
/* A percentage of all CPUs ends at 100; of one CPU, or a plain rate, it does not. */
#define DERIVED(sc, base_id, nm, dm, win, factor, per, src, text)                                          \
	{ .name = nm, .doc = text, .sources = src, .dim = GF_DIM_##dm,                                     \
	  .pct = GF_DIM_##dm == GF_DIM_PCT ? GF_PCT_SELF : GF_PCT_NO, .lo = 0, .hi = (per) ? 100 : GF_INF, \
	  .scope = sc, .derived = true, .percpu = (per), .id = base_id, .window_ns = win, .scale = factor },
#define GF_DRVH(ident, nm, dm, base, win, factor, per, src, text)                                          \
	DERIVED(GF_SCOPE_HOST, GF_HF_##base, nm, dm, win, factor, per, src, text)
#define GF_DRVT(ident, nm, dm, base, win, factor, per, src, text)                                          \
	DERIVED(GF_SCOPE_TASK, GF_TF_##base, nm, dm, win, factor, per, src, text)
#include "gpufas/fields.def"
#undef DERIVED
};

#define FIELD_COUNT (sizeof fields / sizeof fields[0])

const struct gf_field_info *gf_fields(size_t *ret_n)
{
	*ret_n = FIELD_COUNT;
	return fields;
}

void gf_fieldset_add(struct gf_fieldset *f, const struct gf_field_info *i)
{
	if (i->scope == GF_SCOPE_HOST)
		f->host |= GF_BIT(i->id);
	else if (i->str)
		f->str |= 1u << i->id;
	else
		f->task |= GF_BIT(i->id);
}

const struct gf_field_info *gf_field_find(const char *name)
{
	for (size_t i = 0; i < FIELD_COUNT; i++)
		if (fields[i].name[0] == name[0] && strcmp(fields[i].name, name) == 0)
			return &fields[i];
	return NULL;
}

static size_t identifier(const char *s)
{
	size_t n = 0;

	while (isalnum((unsigned char)s[n]) || s[n] == '_')
		n++;
	return isdigit((unsigned char)*s) ? 0 : n;
}

bool gf_path_ok(const char *s)
{
	size_t n;

	if (strncmp(s, "task->", 6) != 0 || strnlen(s, GF_PATH_TEXT) == GF_PATH_TEXT)
		return false;
	for (s += 4; *s; s += n) {
		if (*s == '[') {
			/* a number, or an enumerator of the kernel's */
			n = 1 + strspn(s + 1, "0123456789");
			n += n == 1 ? identifier(s + 1) : 0;
			if (n == 1 || s[n++] != ']')
				return false;
			continue;
		}
		size_t join = s[0] == '-' && s[1] == '>' ? 2 : *s == '.' ? 1 : 0;

		n = join ? identifier(s + join) : 0;
		if (!n)
			return false;
		n += join;
	}
	return true;
}

const char *gf_dim_name(enum gf_dim dim)
{
	switch (dim) {
	case GF_DIM_NUM:
	case GF_DIM_CNT_NUM:
		return "number";
	case GF_DIM_BYTES:
	case GF_DIM_CNT_BYTES:
		return "size";
	case GF_DIM_TIME:
	case GF_DIM_CNT_TIME:
		return "duration";
	case GF_DIM_PCT:
		return "percentage";
	case GF_DIM_RATE:
		return "number per second";
	case GF_DIM_BYTERATE:
		return "size per second";
	case GF_DIM_ENUM_STATE:
		return "task state";
	case GF_DIM_ENUM_SCHED:
		return "scheduling policy";
	case GF_DIM_UID:
		return "user id";
	case GF_DIM_GID:
		return "group id";
	case GF_DIM_STR:
		return "text";
	case GF_DIM_BOOL:
		return "condition";
	}
	return "value";
}

static void size_text(double v, const char *per, char *buf, size_t n)
{
	static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	size_t k = 0;

	/* 1023.95 would be printed as 1024.0 of the smaller unit. */
	while (k + 1 < sizeof unit / sizeof unit[0] && fabs(v) >= (k ? 1023.95 : 1024)) {
		v /= 1024;
		k++;
	}
	if (k == 0 && v == floor(v))
		snprintf(buf, n, "%.0f B%s", v, per);
	else
		snprintf(buf, n, "%.1f %s%s", v, unit[k], per);
}

/* "1 h 3 min", and "1 h" rather than "1 h 0 min" */
static void two_units(const char *sign, unsigned long a, const char *unit_a, unsigned long b, const char *unit_b,
		      char *buf, size_t n)
{
	if (b)
		snprintf(buf, n, "%s%lu %s %lu %s", sign, a, unit_a, b, unit_b);
	else
		snprintf(buf, n, "%s%lu %s", sign, a, unit_a);
}

static void time_text(double ns, char *buf, size_t n)
{
	const char *sign = ns < 0 ? "-" : "";
	double v = fabs(ns);

	if (v == 0) {
		snprintf(buf, n, "0 s");
	} else if (v < 999.5) {
		snprintf(buf, n, "%s%.0f ns", sign, v);
	} else if (v < 999.95e3) {
		snprintf(buf, n, "%s%.1f us", sign, v / 1e3);
	} else if (v < 999.95e6) {
		snprintf(buf, n, "%s%.1f ms", sign, v / 1e6);
	} else if (v < 59.95e9) {
		snprintf(buf, n, "%s%.1f s", sign, v / 1e9);
	} else if (v < 1e18) {
		unsigned long s = (unsigned long)(v / 1e9 + 0.5);

		if (s < 3600)
			two_units(sign, s / 60, "min", s % 60, "s", buf, n);
		else if (s < 86400)
			two_units(sign, s / 3600, "h", s / 60 % 60, "min", buf, n);
		else
			two_units(sign, s / 86400, "d", s / 3600 % 24, "h", buf, n);
	} else {
		snprintf(buf, n, "%s%.0f d", sign, v / 86400e9);
	}
}

static void number_text(double v, const char *after, char *buf, size_t n)
{
	if (v == floor(v) && fabs(v) < 1e15)
		snprintf(buf, n, "%.0f%s", v, after);
	else if (fabs(v) < 1e15 && fabs(v) >= 0.01)
		snprintf(buf, n, "%.2f%s", v, after);
	else
		snprintf(buf, n, "%.3g%s", v, after);
}

/* SCHED_* of the kernel's uapi; 4 was never given out. */
static const char *sched_text(double v)
{
	static const char *const name[] = { "other", "fifo", "rr", "batch", NULL, "idle", "deadline", "ext" };

	if (!(v >= 0 && v < 8) || v != floor(v))
		return NULL;
	return name[(unsigned)v];
}

const char *gf_value_text(double v, enum gf_dim dim, char *buf, size_t n)
{
	const char *name;

	if (n == 0)
		return buf;
	if (gf_is_unknown(v)) {
		snprintf(buf, n, "unknown");
		return buf;
	}
	if (isinf(v)) {
		snprintf(buf, n, "%sinfinite", v < 0 ? "-" : "");
		return buf;
	}
	switch (dim) {
	case GF_DIM_BYTES:
	case GF_DIM_CNT_BYTES:
		size_text(v, "", buf, n);
		break;
	case GF_DIM_BYTERATE:
		size_text(v, "/s", buf, n);
		break;
	case GF_DIM_TIME:
	case GF_DIM_CNT_TIME:
		time_text(v, buf, n);
		break;
	case GF_DIM_PCT:
		snprintf(buf, n, "%.1f %%", v);
		break;
	case GF_DIM_RATE:
		number_text(v, "/s", buf, n);
		break;
	case GF_DIM_ENUM_STATE:
		if (v > 32 && v < 127)
			snprintf(buf, n, "%c", (char)v);
		else
			number_text(v, "", buf, n);
		break;
	case GF_DIM_ENUM_SCHED:
		name = sched_text(v);
		if (name)
			snprintf(buf, n, "%s", name);
		else
			number_text(v, "", buf, n);
		break;
	case GF_DIM_BOOL:
		snprintf(buf, n, "%s", v != 0 ? "true" : "false");
		break;
	default:
		number_text(v, "", buf, n);
		break;
	}
	return buf;
}
