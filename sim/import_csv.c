/* SPDX-License-Identifier: MIT
 *
 * CSV and JSON lines whose columns and members are named as fields are. Lines of one time are one sample. A line with a pid
 * says something of a process, and may repeat what it says of the host; one without is of the host alone.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compiler.h"
#include "sim/import_int.h"

#define MAX_COLUMNS 256

enum what { NOTHING, TIME, PID, START, COMM, FIELD, PATH };

struct column {
	enum what what;
	const struct gf_field_info *field;
	double factor;
	char name[GF_PATH_TEXT];
	uint32_t path; /* number of a kernel path */
};

static const struct { const char *name; double factor; bool time; } units[] = {
	{ "B", 1, false }, { "KiB", 0x1p10, false }, { "MiB", 0x1p20, false }, { "GiB", 0x1p30, false }, { "kB", 1e3, false }, { "MB", 1e6, false },
	{ "GB", 1e9, false }, { "ns", 1, true }, { "us", 1e3, true }, { "ms", 1e6, true }, { "s", 1e9, true }, { "min", 60e9, true }, { "h", 3600e9, true },
};

static bool is_time(const struct gf_field_info *f)
{
	return f->dim == GF_DIM_TIME || f->dim == GF_DIM_CNT_TIME;
}

static bool is_bytes(const struct gf_field_info *f)
{
	return f->dim == GF_DIM_BYTES || f->dim == GF_DIM_CNT_BYTES;
}

/* "rss", "rss:KiB", "time"; times are in seconds where nothing is said, sizes in bytes. */
static enum what name_column(char *s, struct column *c)
{
	char *unit = strchr(s, ':');

	*c = (struct column){ .factor = 1 };
	snprintf(c->name, sizeof c->name, "%s", s);
	if (!strcmp(s, "time") || !strcmp(s, "timestamp"))
		return c->what = TIME;
	if (gf_path_ok(s))
		return c->what = PATH;
	if (unit)
		*unit++ = 0;
	if (!strcmp(s, "start") || !strcmp(s, "start_ns")) {
		c->factor = s[5] ? 1 : 1e9;
		return c->what = START;
	}
	c->field = gf_field_find(s);
	if (!c->field || c->field->derived)
		return c->what = NOTHING;
	if (is_time(c->field))
		c->factor = 1e9;
	for (size_t i = 0; unit && i < sizeof units / sizeof *units; i++)
		if (!strcmp(units[i].name, unit)) {
			if (units[i].time ? !is_time(c->field) : !is_bytes(c->field))
				return c->what = NOTHING;
			c->factor = units[i].factor;
			unit = NULL;
		}
	if (unit)
		return c->what = NOTHING;
	if (c->field->scope == GF_SCOPE_TASK && !c->field->str && c->field->id == GF_TF_PID)
		return c->what = PID;
	if (c->field->str && c->field->id == GF_SF_COMM)
		return c->what = COMM;
	return c->what = FIELD;
}

static bool value_of(const struct column *c, const char *s, size_t n, double *ret)
{
	if (c->field->dim == GF_DIM_ENUM_STATE && n == 1) {
		*ret = (uint8_t)*s;
		return true;
	}
	if (!im_number(s, n, ret))
		return false;
	*ret *= c->factor;
	return true;
}

static void put_number(struct gf_import *im, uint32_t row, const struct gf_field_info *f, double v)
{
	if (f->scope == GF_SCOPE_HOST)
		im_host(im, (enum gf_host_field)f->id, v);
	else if (row != GF_NONE)
		im_set(im, row, (enum gf_task_field)f->id, v);
	if (row != GF_NONE && f->scope == GF_SCOPE_TASK && f->id == GF_TF_UID && v >= 0 && v < 4294967295.0)
		im->rows.s.uid[row] = (uint32_t)v;
	if (row != GF_NONE && f->scope == GF_SCOPE_TASK && f->id == GF_TF_STATE && (v == 'Z' || v == 'X'))
		im->rows.s.flags[row] |= GF_ROW_EXITING;
	if (row != GF_NONE && f->scope == GF_SCOPE_TASK && f->id == GF_TF_OOM_SCORE_ADJ && v == -1000)
		im->rows.s.flags[row] |= GF_ROW_OOM_IMMUNE;
}

/* All processes are listed in each sample: who is not has gone. */
static uint32_t task(struct gf_import *im, int64_t pid, uint64_t start, int64_t ppid, const char *comm, size_t len)
{
	uint32_t row = im_task(im, pid, start, ppid, comm, len);

	im->idle_listed = true;
	if (row != GF_NONE && pid == 1)
		im->rows.s.flags[row] |= GF_ROW_INIT;
	return row;
}

/* Texts of a process at a line: which columns are what. */
static int csv_row(struct gf_import *im, const struct column *c, char **v, int n, struct gf_err *err)
{
	const char *comm = "";
	int64_t at = 0, pid = 0;
	uint64_t start = UINT64_MAX;
	double d, ppid = 0;
	bool timed = false;
	uint32_t row = GF_NONE;
	int rc;

	for (int i = 0; i < n; i++) {
		size_t len = strlen(v[i]);
		if (!len || c[i].what == NOTHING)
			continue;
		if (c[i].what == TIME)
			timed = im_time(v[i], len, &at);
		else if (c[i].what == PID && (!im_whole(v[i], len, &pid) || pid < 1))
			return im_bad(im, "pid is %.40s", v[i]), 0;
		else if (c[i].what == START && im_number(v[i], len, &d) && d >= 0 && d * c[i].factor < 9e18)
			start = (uint64_t)(d * c[i].factor);
		else if (c[i].what == COMM)
			comm = v[i];
		else if (c[i].what == FIELD && !c[i].field->str && !value_of(&c[i], v[i], len, &d))
			return im_bad(im, "%s is %.40s, which is no number", c[i].name, v[i]), 0;
		else if (c[i].what == FIELD && c[i].field->scope == GF_SCOPE_TASK && !c[i].field->str && c[i].field->id == GF_TF_PPID)
			ppid = d;
		else if (c[i].what == PATH && !im_number(v[i], len, &d))
			return im_bad(im, "%s is %.40s, which is no number", c[i].name, v[i]), 0;
	}
	if (!timed)
		return im_bad(im, "there is no time that can be read (seconds since 1970, or RFC 3339)"), 0;
	rc = im_begin(im, at, err);
	if (rc)
		return rc == -EINVAL ? 0 : rc;
	if (pid)
		row = task(im, pid, start, ppid >= 0 && ppid <= INT32_MAX ? (int64_t)ppid : 0, comm, strlen(comm));
	for (int i = 0; i < n; i++) {
		size_t len = strlen(v[i]);
		if (len && c[i].what == PATH && row != GF_NONE && im_number(v[i], len, &d))
			gf_rows_path(&im->rows, row, c[i].path, d);
		if (!len || c[i].what != FIELD)
			continue;
		if (c[i].field->str && row != GF_NONE)
			gf_rows_text(&im->rows, row, (enum gf_str_field)c[i].field->id, v[i], len);
		else if (!c[i].field->str && value_of(&c[i], v[i], len, &d))
			put_number(im, row, c[i].field, d);
	}
	return 0;
}

static int read_header(struct gf_import *im, struct column *c, int *ret_n, struct gf_err *err)
{
	char *name[MAX_COLUMNS];
	int n = im_csv(im->line, im->len, name, MAX_COLUMNS);
	bool time = false, some = false;

	for (int i = 0; i < n; i++) {
		enum what w = name_column(name[i], &c[i]);
		time |= w == TIME;
		some |= w == FIELD;
		if (w == FIELD)
			gf_fieldset_add(&im->res->named, c[i].field);
		if (w == PATH)
			c[i].path = im_path(im, c[i].name);
		some |= w == PATH;
		if (w == NOTHING)
			im_ignored(im, c[i].name);
	}
	if (!time || !some)
		return gf_err_set(err, EBADMSG, "its first line must name the columns: time, and fields such as mem.available, pid, comm, rss:KiB "
				  "(`gpufasctl fields` lists them)");
	*ret_n = n;
	return 0;
}

int im_run_csv(struct gf_import *im, struct gf_err *err)
{
	struct column *c = calloc(MAX_COLUMNS, sizeof *c);
	char *v[MAX_COLUMNS];
	int n = 0, rc = c ? 0 : gf_err_set(err, ENOMEM, "out of memory");

	if (!rc && !im_line(im, &rc, err) && !rc)
		rc = gf_err_set(err, EBADMSG, "there is nothing in it");
	if (!rc)
		rc = read_header(im, c, &n, err);
	while (!rc && im_line(im, &rc, err)) {
		if (!im->len)
			continue;
		int k = im_csv(im->line, im->len, v, MAX_COLUMNS);
		if (k < 0)
			im_bad(im, "a quote has no end");
		else if (k != n)
			im_bad(im, "it has %d columns, and the first line %d", k, n);
		else
			rc = csv_row(im, c, v, n, err);
	}
	free(c);
	return rc;
}

/* ---- JSON lines ------------------------------------------------------------------- */

static bool json_value(const struct gf_field_info *f, const json_t *v, double *ret)
{
	if (f->dim == GF_DIM_ENUM_STATE && json_is_string(v) && json_string_length(v) == 1) {
		*ret = (uint8_t)json_string_value(v)[0];
		return true;
	}
	if (!json_is_number(v))
		return false;
	*ret = json_number_value(v);
	return true;
}

static void json_fields(struct gf_import *im, uint32_t row, enum gf_scope scope, json_t *o)
{
	const char *key;
	json_t *v;
	double d;

	json_object_foreach(o, key, v) {
		const struct gf_field_info *f = gf_field_find(key);
		if (!f && scope == GF_SCOPE_TASK && row != GF_NONE && gf_path_ok(key)) {
			gf_rows_path(&im->rows, row, im_path(im, key), json_is_number(v) ? json_number_value(v) : gf_unknown());
			continue;
		}
		if (!f || f->scope != scope || f->derived)
			continue;
		gf_fieldset_add(&im->res->named, f);
		if (json_is_null(v))
			continue;
		if (f->str && json_is_string(v) && row != GF_NONE)
			gf_rows_text(&im->rows, row, (enum gf_str_field)f->id, json_string_value(v), json_string_length(v));
		else if (!f->str && json_value(f, v, &d))
			put_number(im, row, f, d);
		else
			im_bad(im, "\"%.40s\" is not of its kind", key);
	}
}

static bool whole_member(const json_t *o, const char *key, int64_t *ret)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_integer(v))
		return false;
	*ret = json_integer_value(v);
	return true;
}

static void json_task(struct gf_import *im, json_t *o)
{
	const json_t *comm = json_object_get(o, "comm");
	int64_t pid, ppid = 0, start, flags;

	if (!json_is_object(o) || !whole_member(o, "pid", &pid) || pid < 1) {
		im_bad(im, "a process has no pid");
		return;
	}
	whole_member(o, "ppid", &ppid);
	bool known = whole_member(o, "start_ns", &start) && start >= 0;
	uint32_t row = task(im, pid, known ? (uint64_t)start : UINT64_MAX, ppid < 0 ? 0 : ppid, json_is_string(comm) ? json_string_value(comm) : "",
			    json_is_string(comm) ? json_string_length(comm) : 0);
	if (row == GF_NONE)
		return;
	if (whole_member(o, "flags", &flags))
		im->rows.s.flags[row] |= (uint8_t)flags;
	json_fields(im, row, GF_SCOPE_TASK, o);
}

/* Its time: "time" in seconds or as text, or "now_ns" since boot, as `ps` has it. */
static bool json_time(struct gf_import *im, const json_t *o, int64_t *ret)
{
	const json_t *t = json_object_get(o, "time");
	char s[64];

	if (json_is_string(t) && !im_time(json_string_value(t), json_string_length(t), ret))
		return false;
	if (json_is_string(t)) {
		int64_t now;
		if (!im->boot_known && whole_member(o, "now_ns", &now) && now >= 0 && now <= *ret) { /* both: then the boot is known */
			im->boot_ns = *ret - now;
			im->boot_known = true;
		}
		return true;
	}
	if (json_is_number(t)) {
		snprintf(s, sizeof s, "%.9f", json_number_value(t));
		return json_is_integer(t) ? (snprintf(s, sizeof s, "%lld", (long long)json_integer_value(t)), im_time(s, strlen(s), ret)) :
			im_time(s, strlen(s), ret);
	}
	if (!whole_member(o, "now_ns", ret) || *ret < 0)
		return false;
	im->boot_known = true; /* at 0: which day that was nobody says */
	return true;
}

static int json_line(struct gf_import *im, json_t *o, struct gf_err *err)
{
	json_t *tasks = json_object_get(o, "tasks"), *host = json_object_get(o, "host"), *t;
	int64_t at;
	size_t i;
	int rc;

	if (!json_time(im, o, &at)) {
		im_bad(im, "there is no time that can be read (\"time\": seconds since 1970 or RFC 3339; or \"now_ns\")");
		return 0;
	}
	rc = im_begin(im, at, err);
	if (rc)
		return rc == -EINVAL ? 0 : rc;
	if (json_is_object(host))
		json_fields(im, GF_NONE, GF_SCOPE_HOST, host);
	else
		json_fields(im, GF_NONE, GF_SCOPE_HOST, o);
	if (json_is_array(tasks)) {
		json_array_foreach(tasks, i, t)
			json_task(im, t);
		im->idle_listed = true;
	} else if (json_object_get(o, "pid")) {
		json_task(im, o);
	}
	return 0;
}

int im_run_jsonl(struct gf_import *im, struct gf_err *err)
{
	int rc;

	while (im_line(im, &rc, err)) {
		json_error_t e;
		if (!im->len)
			continue;
		json_t *o = json_loadb(im->line, im->len, 0, &e);
		if (json_is_object(o))
			rc = json_line(im, o, err);
		else
			im_bad(im, "column %d: %s", e.column, o ? "an object is wanted" : e.text);
		json_decref(o);
		if (rc)
			return rc;
	}
	return rc;
}
