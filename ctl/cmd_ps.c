/* SPDX-License-Identifier: MIT
 *
 * ps: the daemon's table of tasks, chosen columns, sorted.
 */
#include "ctl/ctl.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/peer.h"
#include "ctl/ram.h"
#include "ctl/text.h"
#include "ctl/trace.h"

#define MAX_COLUMNS 64

struct column {
	const char *name;
	const struct gf_field_info *info;
	int width;
	bool right;
};

static struct {
	const char *field;
	bool reverse, text;
} sort_by;

static int compare(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
	double u, v, p = gf_js_num(x, "pid"), q = gf_js_num(y, "pid");
	int c = 0;

	if (sort_by.text) {
		c = strcmp(gf_js_str(x, sort_by.field), gf_js_str(y, sort_by.field));
	} else {
		u = gf_js_num(x, sort_by.field);
		v = gf_js_num(y, sort_by.field);
		if (isnan(u) != isnan(v))
			return isnan(u) ? 1 : -1; /* unknown last, whichever way round */
		if (u != v)
			c = u > v ? -1 : 1;
	}
	if (sort_by.reverse)
		c = -c;
	return c ? c : p < q ? -1 : p > q;
}

static const struct gf_field_info *task_field(struct gf_ctl *ctl, const char *name, int *ret_rc)
{
	const struct gf_field_info *f = gf_field_find(name), *all;
	const char *names[128], *near;
	size_t n, k = 0;

	*ret_rc = 0;
	if (f && f->scope == GF_SCOPE_TASK)
		return f;
	all = gf_fields(&n);
	for (size_t i = 0; i < n && k < 128; i++)
		if (all[i].scope == GF_SCOPE_TASK)
			names[k++] = all[i].name;
	near = gf_nearest(name, names, k);
	if (f)
		*ret_rc = gf_ctl_misuse(ctl, "`%s` is the host's, not a process's (`gpufasctl status` shows it)", name);
	else if (near)
		*ret_rc = gf_ctl_misuse(ctl, "there is no field `%s`; did you mean `%s`?", name, near);
	else
		*ret_rc = gf_ctl_misuse(ctl, "there is no field `%s` (`gpufasctl fields` lists them)", name);
	return NULL;
}

/* The columns asked for, comma-separated, cut up in spec. */
static int choose_columns(struct gf_ctl *ctl, char *spec, struct column *col, size_t *ret_n)
{
	size_t n = 0;
	int rc;

	for (char *save, *w = strtok_r(spec, ", ", &save); w; w = strtok_r(NULL, ", ", &save)) {
		if (gf_path_ok(w) && n < MAX_COLUMNS) {
			col[n++] = (struct column){ .name = w, .right = true };
			continue;
		}
		const struct gf_field_info *f = task_field(ctl, !strcmp(w, "user") ? "uid" : w, &rc);
		if (!f)
			return rc;
		if (n == MAX_COLUMNS)
			return gf_ctl_misuse(ctl, "more than %d columns", MAX_COLUMNS);
		col[n++] = (struct column){ .name = f->name, .info = f, .right = !f->str && f->dim != GF_DIM_ENUM_STATE && f->dim != GF_DIM_UID };
	}
	if (!n)
		return gf_ctl_misuse(ctl, "no column was named");
	*ret_n = n;
	return 0;
}

/* Every task field that some row has, in the registry's order; then kernel paths. */
static void all_columns(const json_t *data, struct column *col, size_t *ret_n)
{
	const json_t *tasks = json_object_get(data, "tasks"), *path;
	size_t n, k = 0, i;
	const struct gf_field_info *f = gf_fields(&n);
	const json_t *row;

	for (size_t j = 0; j < n && k < MAX_COLUMNS; j++) {
		bool have = false;
		json_array_foreach(tasks, i, row) {
			const json_t *v = json_object_get(row, f[j].name);
			if (v && !json_is_null(v)) {
				have = true;
				break;
			}
		}
		if (f[j].scope == GF_SCOPE_TASK && have)
			col[k++] = (struct column){ .name = f[j].name, .info = &f[j], .right = !f[j].str && f[j].dim != GF_DIM_ENUM_STATE && f[j].dim != GF_DIM_UID };
	}
	json_array_foreach(json_object_get(data, "paths"), i, path)
		if (json_is_string(path) && k < MAX_COLUMNS)
			col[k++] = (struct column){ .name = json_string_value(path), .right = true };
	*ret_n = k;
}

/* Strings may be 4 KiB: a cell is a line of a screen at most, but the last column whole. */
static const char *cell(const json_t *row, const struct column *c, char *buf, size_t n)
{
	return gf_show_field(row, c->name, buf, n);
}

static void print_table(struct gf_ctl *ctl, json_t **row, size_t rows, struct column *col, size_t cols)
{
	char buf[4096];

	for (size_t c = 0; c < cols; c++) {
		bool last = c + 1 == cols;
		col[c].width = (int)strlen(col[c].name);
		for (size_t i = 0; i < rows && !last; i++) {
			int w = gf_show_width(cell(row[i], &col[c], buf, sizeof buf));
			col[c].width = w > 40 ? 40 : w > col[c].width ? w : col[c].width;
		}
		if (last && col[c].right)
			for (size_t i = 0; i < rows; i++) {
				int w = gf_show_width(cell(row[i], &col[c], buf, sizeof buf));
				col[c].width = w > col[c].width ? w : col[c].width;
			}
	}
	if (ctl->colour)
		fputs("\033[1m", stdout);
	for (size_t c = 0; c < cols; c++) {
		char up[GF_PATH_TEXT];
		size_t k;
		for (k = 0; col[c].name[k] && k + 1 < sizeof up; k++)
			up[k] = (char)(col[c].info && col[c].name[k] >= 'a' && col[c].name[k] <= 'z' ? col[c].name[k] - 32 : col[c].name[k]);
		up[k] = 0;
		if (c + 1 == cols && !col[c].right)
			fputs(up, stdout);
		else
			gf_show_pad(stdout, up, col[c].width, col[c].right);
		fputs(c + 1 == cols ? "" : " ", stdout);
	}
	puts(ctl->colour ? "\033[0m" : "");
	for (size_t i = 0; i < rows; i++) {
		for (size_t c = 0; c < cols; c++) {
			cell(row[i], &col[c], buf, sizeof buf);
			if (c + 1 == cols && !col[c].right)
				fputs(buf, stdout);
			else
				gf_show_pad(stdout, buf, col[c].width, col[c].right);
			fputs(c + 1 == cols ? "" : " ", stdout);
		}
		putchar('\n');
	}
}

/* Says which columns are empty throughout. */
static void note_unknown(json_t *const *row, size_t rows, const struct column *col, size_t cols)
{
	for (size_t c = 0; c < cols && rows; c++) {
		bool have = false;
		for (size_t i = 0; i < rows && !have; i++) {
			const json_t *v = json_object_get(row[i], col[c].name);
			have = v && !json_is_null(v);
		}
		if (!have) {
			fflush(stdout);
			fprintf(stderr, "gpufasctl: %s is not known here, or not yet\n", col[c].name);
		}
	}
}

static void print_json(json_t *data, json_t **row, size_t rows, const struct column *col, size_t cols)
{
	json_t *list = json_array();

	for (size_t i = 0; i < rows; i++) {
		json_t *o = cols ? json_object() : json_incref(row[i]);
		for (size_t c = 0; c < cols; c++) {
			json_t *v = json_object_get(row[i], col[c].name);
			json_object_set_new(o, col[c].name, v ? json_incref(v) : json_null());
		}
		json_array_append_new(list, o);
	}
	json_object_set_new(data, "tasks", list);
	gf_ctl_json(data, false);
}

static int choose_sort(struct gf_ctl *ctl)
{
	const char *s = ctl->val[GF_O_SORT] ? ctl->val[GF_O_SORT] : "rss";
	const struct gf_field_info *f;
	int rc;

	sort_by.reverse = *s == '-';
	s += sort_by.reverse;
	sort_by.field = s;
	if (gf_path_ok(s))
		return 0;
	f = task_field(ctl, s, &rc);
	if (!f)
		return rc;
	sort_by.field = f->name;
	sort_by.text = f->str;
	return 0;
}

static int show(struct gf_ctl *ctl, json_t *data, struct column *col, size_t cols, double max)
{
	json_t *tasks = json_object_get(data, "tasks"), *t;
	size_t n = json_array_size(tasks), i, rows = 0;
	json_t **row = malloc((n + 1) * sizeof *row);

	if (!row)
		return gf_ctl_fail(GF_EXIT_NO, "out of memory");
	json_array_foreach(tasks, i, t)
		if (json_is_object(t))
			row[rows++] = t;
	qsort(row, rows, sizeof *row, compare);
	if (max < (double)rows)
		rows = (size_t)max;
	if (ctl->json) {
		for (i = 0; i < rows; i++)
			json_incref(row[i]);
		print_json(data, row, rows, col, cols);
		for (i = 0; i < rows; i++)
			json_decref(row[i]);
	} else {
		if (!cols)
			all_columns(data, col, &cols);
		print_table(ctl, row, rows, col, cols);
		note_unknown(row, rows, col, cols);
	}
	free(row);
	return GF_EXIT_OK;
}

/* Kernel paths among what is shown and sorted by. */
static int paths_of(struct gf_ctl *ctl, const struct column *col, size_t cols, struct gf_pathset *ret)
{
	int rc = sort_by.field && gf_path_ok(sort_by.field) ? gf_pathset_add(ret, sort_by.field) : 0;

	for (size_t i = 0; i < cols && !rc; i++)
		if (!col[i].info)
			rc = gf_pathset_add(ret, col[i].name);
	return !rc ? 0 : rc == -E2BIG ? gf_ctl_misuse(ctl, "more than %u kernel paths", GF_MAX_PATHS) : gf_ctl_fail(GF_EXIT_NO, "out of memory");
}

static json_t *request(const struct gf_ctl *ctl, const struct gf_pathset *paths)
{
	json_t *rq = json_object();

	if (ctl->val[GF_O_TARGET])
		json_object_set_new(rq, "target", json_string(ctl->val[GF_O_TARGET]));
	if (paths->n)
		json_object_set_new(rq, "paths", gf_ctl_paths_json(paths));
	return rq;
}

int gf_cmd_ps(struct gf_ctl *ctl)
{
	const char *spec = ctl->val[GF_O_COLUMNS] ? ctl->val[GF_O_COLUMNS] : "pid,uid,state,cpu,rss,swap,age,threads,comm";
	/* JSON has every field unless columns were asked for. */
	bool all = !strcmp(spec, "all") || (ctl->json && !ctl->val[GF_O_COLUMNS]);
	struct column col[MAX_COLUMNS];
	struct gf_pathset paths = { 0 };
	char *copy = strdup(spec);
	size_t cols = 0;
	double max = 1e9;
	json_t *data;
	int rc = 0;

	if (ctl->val[GF_O_LAST] && !gf_ctl_number(ctl->val[GF_O_LAST], 1, 1e9, &max))
		rc = gf_ctl_misuse(ctl, "--lines is a number, at least 1, not `%s`", ctl->val[GF_O_LAST]);
	if (!rc && !copy)
		rc = gf_ctl_fail(GF_EXIT_NO, "out of memory");
	if (!rc && !all)
		rc = choose_columns(ctl, copy, col, &cols);
	if (!rc)
		rc = choose_sort(ctl);
	if (!rc)
		rc = paths_of(ctl, col, cols, &paths);
	if (!rc && ctl->val[GF_O_LAYOUT] && !ctl->val[GF_O_RAM])
		rc = gf_ctl_misuse(ctl, "--layout is for --ram");
	if (!rc && ctl->val[GF_O_RAM])
		rc = gf_ctl_ram_ps(ctl, &paths, &data);
	else if (!rc)
		rc = gf_ctl_call(ctl, "ps", request(ctl, &paths), &data, NULL);
	if (!rc) {
		rc = show(ctl, data, col, cols, max);
		json_decref(data);
	}
	gf_pathset_deinit(&paths);
	free(copy);
	return rc;
}
