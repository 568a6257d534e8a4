/* SPDX-License-Identifier: MIT
 *
 * The text behind a recording's header: what was recorded and which fields, by name, so that a version that has other
 * numbers for them, or does not know one, reads it all the same.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "sim/gft_int.h"

static const char *const guesses[GFT_GUESSES] = {
	[GFT_AS_BEFORE] = "before", [GFT_NOW] = "now", [GFT_AGE] = "age", [GFT_PID] = "pid", [GFT_UID] = "uid", [GFT_CPU] = "cpu", [GFT_RSS] = "rss",
};

static const char *const host_name[GF_HF_COUNT] = {
#define GF_HOST(id, name, ...) [GF_HF_##id] = name,
#include "gpufas/fields.def"
};
static const uint8_t host_dim[GF_HF_COUNT] = {
#define GF_HOST(id, name, dim, ...) [GF_HF_##id] = GF_DIM_##dim,
#include "gpufas/fields.def"
};
static const char *const task_name[GF_TF_COUNT] = {
#define GF_TASK(id, name, ...) [GF_TF_##id] = name,
#include "gpufas/fields.def"
};
static const char *const str_name[GF_SF_COUNT] = {
#define GF_TSTR(id, name, ...) [GF_SF_##id] = name,
#include "gpufas/fields.def"
};

const char *gft_task_name(unsigned field)
{
	return task_name[field];
}

const char *gft_text_name(unsigned field)
{
	return str_name[field];
}

static uint8_t guess_of(unsigned field, const struct gf_fieldset *has)
{
	switch (field) {
	case GF_TF_AGE:
		return GFT_AGE;
	case GF_TF_PID:
	case GF_TF_TGID:
		return GFT_PID;
	case GF_TF_UID:
		return GFT_UID;
	case GF_TF_STIME:
		return has->task >> GF_TF_CPUTIME & 1 ? GFT_CPU : GFT_AS_BEFORE;
	case GF_TF_ANON:
	case GF_TF_FILE:
	case GF_TF_SHMEM:
		return has->task >> GF_TF_RSS & 1 ? GFT_RSS : GFT_AS_BEFORE;
	}
	return GFT_AS_BEFORE;
}

void gft_col_role(struct gft_col *c)
{
	c->sum = c->field == GF_TF_RSS || c->field == GF_TF_ANON || c->field == GF_TF_FILE;
	if (c->field == GF_TF_RSS || c->field == GF_TF_CPUTIME)
		c->role = GFT_WHOLE;
	else if (c->sum || c->field == GF_TF_UTIME)
		c->role = GFT_PART;
}

void gft_cols_of(const struct gft_writer_opts *o, struct gft_cols *ret)
{
	const struct gf_fieldset *has = &o->has;

	memset(ret, 0, sizeof *ret);
	for (unsigned i = 0; i < GF_HF_COUNT; i++) {
		/* the kernel shows load averages and pressure with two digits */
		bool two = host_dim[i] == GF_DIM_PCT || i == GF_HF_LOAD_1 || i == GF_HF_LOAD_5 || i == GF_HF_LOAD_15;
		if (has->host >> i & 1)
			ret->host[ret->hosts++] = (struct gft_col){ .field = (int16_t)i, .decimals = two ? 2 : 0, .guess = i == GF_HF_UPTIME ? GFT_NOW : GFT_AS_BEFORE };
	}
	for (unsigned i = 0; i < GF_TF_COUNT; i++)
		if (has->task >> i & 1) {
			ret->task[ret->tasks] = (struct gft_col){ .field = (int16_t)i, .guess = guess_of(i, has) };
			gft_col_role(&ret->task[ret->tasks++]);
		}
	for (unsigned i = 0; i < has->paths && i < GF_MAX_PATHS; i++)
		ret->task[ret->tasks++] = (struct gft_col){ .field = (int16_t)(GF_TF_COUNT + i) };
	for (unsigned i = 0; i < GF_SF_COUNT; i++)
		if (has->str >> i & 1 && i != GF_SF_COMM) /* that is always there */
			ret->str[ret->strs++] = (int16_t)i;
}

void gft_cols_deinit(struct gft_cols *c)
{
	for (uint32_t i = 0; i < c->paths; i++)
		free(c->path[i]);
	memset(c, 0, sizeof *c);
}

__attribute__((format(printf, 2, 3)))
static void line(struct gft_buf *b, const char *fmt, ...)
{
	char t[512];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(t, sizeof t, fmt, ap);
	va_end(ap);
	n = GF_MIN(n, (int)sizeof t - 1);
	for (int i = 0; i < n; i++)
		if (t[i] == '\n' || !t[i])
			t[i] = ' ';
	gft_put(b, t, (size_t)n);
	gft_put(b, "\n", 1);
}

void gft_meta_write(const struct gft_writer_opts *o, const struct gft_cols *c, struct gft_buf *to)
{
	line(to, "target %.63s", o->target ? o->target : "");
	line(to, "hostname %.255s", o->hostname ? o->hostname : "");
	line(to, "road %.127s", o->road ? o->road : "");
	if (o->has.str & 1u << GF_SF_COMM)
		line(to, "comm");
	for (uint32_t i = 0; i < c->hosts; i++)
		line(to, "host %s %u %s", host_name[c->host[i].field], c->host[i].decimals, guesses[c->host[i].guess]);
	if (o->budget_n)
		line(to, "budget %u %llu", o->budget_n, (unsigned long long)o->budget_window_ns);
	for (uint32_t i = 0; i < c->tasks; i++)
		if (c->task[i].field >= GF_TF_COUNT)
			line(to, "path %s", o->path[c->task[i].field - GF_TF_COUNT]);
		else
			line(to, "task %s %u %s", task_name[c->task[i].field], c->task[i].decimals, guesses[c->task[i].guess]);
	for (uint32_t i = 0; i < c->strs; i++)
		line(to, "text %s", str_name[c->str[i]]);
}

static int16_t find(const char *const *names, unsigned n, const char *name)
{
	for (unsigned i = 0; i < n; i++)
		if (!strcmp(names[i], name))
			return (int16_t)i;
	return -1;
}

/* "NAME DECIMALS GUESS" */
static bool read_col(char *s, const char *const *names, unsigned n, bool host, struct gft_col *v, uint32_t *count, int16_t *ret)
{
	char *dec = strchr(s, ' '), *guess = dec ? strchr(dec + 1, ' ') : NULL;
	int16_t g;

	if (!guess || *count == GFT_MAX_COLS || guess != dec + 2 || dec[1] < '0' || dec[1] > '4')
		return false;
	*dec = *guess = 0;
	g = find(guesses, GFT_GUESSES, guess + 1);
	if (g < 0 || (host && g > GFT_NOW)) /* the others are of rows */
		return false;
	*ret = find(names, n, s);
	for (uint32_t i = 0; *ret >= 0 && i < *count; i++)
		if (v[i].field == *ret)
			return false;
	v[*count] = (struct gft_col){ .field = *ret, .decimals = (uint8_t)(dec[1] - '0'), .guess = (uint8_t)g };
	if (!host)
		gft_col_role(&v[*count]);
	(*count)++;
	return true;
}

static void text(char *to, size_t n, const char *from)
{
	snprintf(to, n, "%.*s", (int)n - 1, from);
}

static bool read_path(const char *s, struct gft_info *info, struct gft_cols *c)
{
	if (c->paths == GF_MAX_PATHS || c->tasks == GFT_MAX_COLS || strlen(s) >= GF_PATH_TEXT || !(c->path[c->paths] = strdup(s)))
		return false;
	info->path[c->paths] = c->path[c->paths];
	c->task[c->tasks++] = (struct gft_col){ .field = (int16_t)(GF_TF_COUNT + c->paths++) };
	info->has.paths = c->paths;
	return true;
}

static bool read_line(char *s, struct gft_info *info, struct gft_cols *c)
{
	char *rest = strchr(s, ' ');
	int16_t f;

	if (rest)
		*rest++ = 0;
	else
		rest = s + strlen(s);
	if (!strcmp(s, "target")) {
		text(info->target, sizeof info->target, rest);
	} else if (!strcmp(s, "hostname")) {
		text(info->hostname, sizeof info->hostname, rest);
	} else if (!strcmp(s, "road")) {
		text(info->road, sizeof info->road, rest);
	} else if (!strcmp(s, "comm")) {
		info->has.str |= 1u << GF_SF_COMM;
	} else if (!strcmp(s, "host")) {
		if (!read_col(rest, host_name, GF_HF_COUNT, true, c->host, &c->hosts, &f))
			return false;
		info->unknown_fields += f < 0;
		info->has.host |= f < 0 ? 0 : GF_BIT(f);
	} else if (!strcmp(s, "task")) {
		if (!read_col(rest, task_name, GF_TF_COUNT, false, c->task, &c->tasks, &f))
			return false;
		info->unknown_fields += f < 0;
		info->has.task |= f < 0 ? 0 : GF_BIT(f);
	} else if (!strcmp(s, "path")) {
		return read_path(rest, info, c);
	} else if (!strcmp(s, "budget")) {
		unsigned long long ns;
		if (sscanf(rest, "%u %llu", &info->budget_n, &ns) == 2)
			info->budget_window_ns = ns;
	} else if (!strcmp(s, "text")) {
		f = find(str_name, GF_SF_COUNT, rest);
		if (c->strs == GFT_MAX_STRS || f == GF_SF_COMM || (f >= 0 && info->has.str >> f & 1))
			return false;
		c->str[c->strs++] = f;
		info->unknown_fields += f < 0;
		info->has.str |= f < 0 ? 0 : 1u << f;
	}
	return true; /* words of later versions say nothing of how to read the rest: skipped */
}

int gft_meta_read(const char *from, size_t n, struct gft_info *info, struct gft_cols *c, struct gf_err *err)
{
	char *copy = malloc(n + 1), *save = NULL;
	int at = 0, rc = 0;

	if (!copy)
		return gf_err_set(err, ENOMEM, "out of memory");
	memcpy(copy, from, n);
	copy[n] = 0;
	if (memchr(from, 0, n))
		rc = gf_err_set(err, EBADMSG, "its list of fields is no text");
	for (char *s = strtok_r(copy, "\n", &save); s && !rc; s = strtok_r(NULL, "\n", &save)) {
		at++;
		if (!read_line(s, info, c))
			rc = gf_err_set(err, EBADMSG, "its list of fields is damaged in line %d", at);
	}
	free(copy);
	return rc;
}
