/* SPDX-License-Identifier: MIT
 *
 * Values of the configuration, whatever their key: read, with complaints in their places.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config_int.h"

int gf_strlist_add(struct gf_strlist *l, const char *s)
{
	char **v = realloc(l->v, (l->n + 2) * sizeof *v);

	if (!v)
		return -ENOMEM;
	l->v = v;
	v[l->n] = strdup(s);
	v[l->n + 1] = NULL;
	if (!v[l->n])
		return -ENOMEM;
	l->n++;
	return 0;
}

int gf_strlist_addf(struct gf_strlist *l, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return gf_strlist_add(l, text);
}

void gf_strlist_deinit(struct gf_strlist *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct gf_strlist){ 0 };
}

void gf_cfg_error(struct gf_cfg *x, const struct gf_ynode *n, const char *hint, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	gf_diag_add(x->diags, GF_SEV_ERROR, "C004", n->span, hint, "%s", text);
}

void gf_cfg_set(struct gf_cfg *x, char **where, const char *s)
{
	char *d = strdup(s);

	if (!d) {
		x->nomem = true;
		return;
	}
	free(*where);
	*where = d;
}

void gf_cfg_unknown_key(struct gf_cfg *x, const struct gf_ynode *k, const char *what, const char *const *names, size_t count)
{
	const char *near = gf_nearest(k->key->text, names, count);
	char hint[200] = "";

	if (near) {
		snprintf(hint, sizeof hint, "did you mean \"%s\"?", near);
	} else {
		size_t o = (size_t)snprintf(hint, sizeof hint, "known keys: ");
		for (size_t i = 0; i < count && o < sizeof hint; i++)
			o += (size_t)snprintf(hint + o, sizeof hint - o, "%s%s", i ? ", " : "", names[i]);
	}
	gf_cfg_error(x, k->key, hint, "unknown key \"%s\" in %s", k->key->text, what);
}

void gf_cfg_walk(struct gf_cfg *x, const struct gf_ynode *n, const char *what, const struct gf_cfg_key *keys, size_t count)
{
	const char *names[32];
	char hint[200];
	size_t o;

	if (n->kind == GF_Y_NULL)
		return;
	o = (size_t)snprintf(hint, sizeof hint, "write {%s: ...}; keys: ", keys[0].name);
	for (size_t i = 0; i < count; i++) {
		names[i] = keys[i].name;
		if (o < sizeof hint)
			o += (size_t)snprintf(hint + o, sizeof hint - o, "%s%s", i ? ", " : "", names[i]);
	}
	if (n->kind != GF_Y_MAP) {
		gf_cfg_error(x, n, hint, "%s must be a map of keys and values", what);
		return;
	}
	for (const struct gf_ynode *k = n->kid; k; k = k->next) {
		size_t i = 0;
		while (i < count && strcmp(keys[i].name, k->key->text))
			i++;
		if (i < count)
			keys[i].take(x, k);
		else
			gf_cfg_unknown_key(x, k, what, names, count);
	}
}

const char *gf_cfg_text(struct gf_cfg *x, const struct gf_ynode *n, const char *what)
{
	if (n->kind == GF_Y_SCALAR)
		return n->text;
	gf_cfg_error(x, n, NULL, "%s must be a single value", what);
	return NULL;
}

/* One of words; its number, or -1 with an error. */
int gf_cfg_choice(struct gf_cfg *x, const struct gf_ynode *n, const char *what, const char *const *words, size_t count)
{
	const char *s = gf_cfg_text(x, n, what);
	char hint[160];
	size_t o = 0;

	if (!s)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (!strcmp(words[i], s))
			return (int)i;
	const char *near = gf_nearest(s, words, count);
	if (near) {
		snprintf(hint, sizeof hint, "did you mean \"%s\"?", near);
	} else {
		o = (size_t)snprintf(hint, sizeof hint, "one of: ");
		for (size_t i = 0; i < count && o < sizeof hint; i++)
			o += (size_t)snprintf(hint + o, sizeof hint - o, "%s%s", i ? ", " : "", words[i]);
	}
	gf_cfg_error(x, n, hint, "%s cannot be \"%s\"", what, s);
	return -1;
}

bool gf_cfg_bool(struct gf_cfg *x, const struct gf_ynode *n, const char *what, bool *ret)
{
	static const char *const words[] = { "no", "yes", "false", "true", "off", "on" };
	int i = gf_cfg_choice(x, n, what, words, 6);

	if (i >= 0)
		*ret = i & 1;
	return i >= 0;
}

bool gf_cfg_integer(struct gf_cfg *x, const struct gf_ynode *n, const char *what, uint64_t lo, uint64_t hi, uint64_t *ret)
{
	const char *s = gf_cfg_text(x, n, what);
	char *end;

	if (!s)
		return false;
	errno = 0;
	unsigned long long v = strtoull(s, &end, 10);
	if (!isdigit((unsigned char)*s) || *end) {
		gf_cfg_error(x, n, NULL, "%s must be a whole number, not \"%s\"", what, s);
		return false;
	}
	if (errno || v < lo || v > hi) {
		gf_cfg_error(x, n, NULL, "%s must be from %llu to %llu", what, (unsigned long long)lo, (unsigned long long)hi);
		return false;
	}
	*ret = v;
	return true;
}

struct unit {
	const char *name;
	double factor;
};

static const struct unit durations[] = {
	{ "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { "min", 60e9 }, { "h", 3600e9 }, { "d", 86400e9 },
};
static const struct unit sizes[] = {
	{ "B", 1 }, { "KiB", 0x1p10 }, { "MiB", 0x1p20 }, { "GiB", 0x1p30 }, { "TiB", 0x1p40 },
	{ "kB", 1e3 }, { "MB", 1e6 }, { "GB", 1e9 }, { "TB", 1e12 },
	{ "K", 0x1p10 }, { "M", 0x1p20 }, { "G", 0x1p30 }, { "T", 0x1p40 },
};

static int quantity(const char *text, const struct unit *u, size_t n, const char *example, uint64_t *ret, struct gf_err *err)
{
	char *end;

	/* strtod would also take "inf", "nan", hexadecimal and a sign */
	size_t digits = strspn(text, "0123456789.");
	if (!digits)
		return gf_err_set(err, EINVAL, "\"%s\" is not a number with a unit, such as %s", text, example);
	double v = strtod(text, &end);
	if (end != text + digits)
		return gf_err_set(err, EINVAL, "\"%s\" is not a number with a unit, such as %s", text, example);
	while (*end == ' ')
		end++;
	if (!*end && v != 0)
		return gf_err_set(err, EINVAL, "\"%s\" lacks its unit; write for example %s", text, example);
	if (!strcmp(end, "m"))
		return gf_err_set(err, EINVAL, "\"%s\": is minutes (min) or mebibytes (MiB) meant?", text);
	for (size_t i = 0; i < n; i++)
		if (!strcmp(u[i].name, end) || !*end) {
			v *= *end ? u[i].factor : 1;
			if (v > 9e18)
				return gf_err_set(err, EINVAL, "\"%s\" is too large", text);
			*ret = (uint64_t)(v + 0.5);
			return 0;
		}
	return gf_err_set(err, EINVAL, "unknown unit \"%s\" in \"%s\"; write for example %s", end, text, example);
}

int gf_config_duration(const char *text, uint64_t *ret_ns, struct gf_err *err)
{
	return quantity(text, durations, sizeof durations / sizeof *durations, "100ms or 2min", ret_ns, err);
}

int gf_config_size(const char *text, uint64_t *ret_bytes, struct gf_err *err)
{
	return quantity(text, sizes, sizeof sizes / sizeof *sizes, "16MiB", ret_bytes, err);
}

bool gf_cfg_duration(struct gf_cfg *x, const struct gf_ynode *n, const char *what, uint64_t lo, uint64_t hi,
		     const char *range, uint64_t *ret)
{
	const char *s = gf_cfg_text(x, n, what);
	struct gf_err err;
	uint64_t v;

	if (!s)
		return false;
	if (gf_config_duration(s, &v, &err)) {
		gf_cfg_error(x, n, NULL, "%s: %s", what, err.text);
		return false;
	}
	if (v < lo || v > hi) {
		gf_cfg_error(x, n, NULL, "%s must be %s", what, range);
		return false;
	}
	*ret = v;
	return true;
}

void gf_cfg_size(struct gf_cfg *x, const struct gf_ynode *n, const char *what, uint64_t lo, uint64_t hi, const char *range, uint64_t *ret)
{
	const char *s = gf_cfg_text(x, n, what);
	struct gf_err err;
	uint64_t v;

	if (!s)
		return;
	if (gf_config_size(s, &v, &err))
		gf_cfg_error(x, n, NULL, "%s: %s", what, err.text);
	else if (v < lo || v > hi)
		gf_cfg_error(x, n, NULL, "%s must be %s", what, range);
	else
		*ret = v;
}

void gf_cfg_path(struct gf_cfg *x, const struct gf_ynode *n, const char *what, char **ret)
{
	const char *s = gf_cfg_text(x, n, what);

	if (!s)
		return;
	if (*s != '/')
		gf_cfg_error(x, n, "the daemon's working directory is /", "%s must be an absolute path", what);
	else if (strlen(s) > 4000)
		gf_cfg_error(x, n, NULL, "%s is too long for a path", what);
	else
		gf_cfg_set(x, ret, s);
}

void gf_cfg_paths(struct gf_cfg *x, const struct gf_ynode *n, const char *what, struct gf_strlist *ret)
{
	gf_strlist_deinit(ret);
	if (n->kind == GF_Y_NULL)
		return;
	if (n->kind != GF_Y_SEQ) {
		gf_cfg_error(x, n, "write [/a, /b]", "%s must be a list of paths", what);
		return;
	}
	for (const struct gf_ynode *k = n->kid; k; k = k->next) {
		char *p = NULL;
		gf_cfg_path(x, k, what, &p);
		if (p && gf_strlist_add(ret, p))
			x->nomem = true;
		free(p);
	}
}

void gf_cfg_socket(struct gf_cfg *x, const struct gf_ynode *n, const char *what, char **ret)
{
	gf_cfg_path(x, n, what, ret);
	if (*ret && strlen(*ret) > 107)
		gf_cfg_error(x, n, NULL, "%s is longer than the 107 bytes that a socket's path may have", what);
}

bool gf_cfg_none(const struct gf_ynode *n)
{
	return n->kind == GF_Y_NULL || (n->kind == GF_Y_SCALAR && (!*n->text || (n->plain && !strcmp(n->text, "no"))));
}
