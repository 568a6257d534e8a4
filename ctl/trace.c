/* SPDX-License-Identifier: MIT */
#include "ctl/trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/text.h"

static void add(struct gf_fieldset *f, const struct gf_field_info *i)
{
	gf_fieldset_add(f, i);
	if (i->derived && i->percpu)
		f->host |= GF_BIT(GF_HF_CPU_COUNT);
}

/* `word` itself, or all of which it is the beginning, up to a dot. */
static bool matches(const char *name, const char *word)
{
	size_t n = strlen(word);

	if (n > 2 && !strcmp(word + n - 2, ".*"))
		n -= 2;
	return !strncmp(name, word, n) && (!name[n] || name[n] == '.');
}

int gf_ctl_fieldset(const struct gf_ctl *ctl, const char *list, const struct gf_fieldset *all, struct gf_fieldset *ret)
{
	const struct gf_field_info *f;
	const char *names[256], *near;
	struct gf_fieldset got = { 0 };
	char *copy = strdup(list), *save;
	size_t n, k = 0;
	int rc = 0;

	if (!copy)
		return gf_ctl_fail(GF_EXIT_NO, "out of memory");
	f = gf_fields(&n);
	for (size_t i = 0; i < n && k < 256; i++)
		names[k++] = f[i].name;
	for (char *w = strtok_r(copy, ", ", &save); w && !rc; w = strtok_r(NULL, ", ", &save)) {
		bool some = !strcmp(w, "all");
		if (some)
			got = *all;
		for (size_t i = 0; i < n; i++)
			if (matches(f[i].name, w)) {
				add(&got, &f[i]);
				some = true;
			}
		near = some ? NULL : gf_nearest(w, names, k);
		if (!some)
			rc = near ? gf_ctl_misuse(ctl, "there is no field `%s`; did you mean `%s`?", w, near) :
				gf_ctl_misuse(ctl, "there is no field `%s` (`gpufasctl fields` lists them)", w);
	}
	free(copy);
	got.host &= all->host;
	got.task &= all->task;
	got.str &= all->str;
	if (!rc && !got.host && !got.task && !got.str)
		rc = gf_ctl_misuse(ctl, "none of the fields `%s` can be had from there", list);
	got.str |= 1u << GF_SF_COMM;
	if (!rc)
		*ret = got;
	return rc;
}

int gf_ctl_trace_finish(struct gft_writer *w, const char *path, struct gft_writer_stats *ret, struct gf_err *err)
{
	struct stat st;
	int rc;

	gft_writer_stats(w, ret);
	rc = gft_writer_finish(w, err);
	if (!rc && !stat(path, &st))
		ret->bytes = (uint64_t)st.st_size; /* with its index */
	return rc;
}

void gf_ctl_trace_say(const char *path, const struct gft_writer_stats *st, FILE *out)
{
	char size[32], span[32], safe[512];
	double each = st->rows ? (double)st->bytes / (double)st->rows : 0;

	fprintf(out, "%s: %llu sample%s over %s, %s (%.2f bytes a process and sample)\n", gf_show_safe(path, safe, sizeof safe),
		(unsigned long long)st->samples, st->samples == 1 ? "" : "s", gf_show_span((double)(st->last_ns - st->first_ns) / 1e9, span, sizeof span),
		gf_show_size((double)st->bytes, size, sizeof size), each);
}

json_t *gf_ctl_trace_json(const char *path, const struct gft_writer_stats *st)
{
	return json_pack("{s:s, s:I, s:I, s:f, s:I}", "file", path, "samples", (json_int_t)st->samples, "bytes", (json_int_t)st->bytes,
			 "seconds", (double)(st->last_ns - st->first_ns) / 1e9, "task_samples", (json_int_t)st->rows);
}

void gf_ctl_field_names(const struct gf_fieldset *has, char *buf, size_t n)
{
	const struct gf_field_info *f;
	size_t count, at = 0;

	buf[0] = 0;
	f = gf_fields(&count);
	for (size_t i = 0; i < count && at + 1 < n; i++) {
		bool in = f[i].scope == GF_SCOPE_HOST ? has->host >> f[i].id & 1 : f[i].str ? has->str >> f[i].id & 1 : has->task >> f[i].id & 1;
		if (in)
			at += (size_t)snprintf(buf + at, n - at, "%s%s", at ? ", " : "", f[i].name);
	}
}

static double number_of(const struct gf_field_info *f, const json_t *v)
{
	if (f->dim == GF_DIM_ENUM_STATE && json_is_string(v) && json_string_length(v) == 1)
		return json_string_value(v)[0];
	return json_is_number(v) ? json_number_value(v) : gf_unknown();
}

static int task_row(const json_t *task, const struct gf_pathset *paths, struct gf_rows *rows, struct gf_err *err)
{
	const struct gf_field_info *f;
	const json_t *comm = json_object_get(task, "comm"), *pid = json_object_get(task, "pid"), *start = json_object_get(task, "start_ns");
	size_t n;
	bool fresh;

	if (!json_is_string(comm) || !json_is_integer(pid) || !json_is_integer(start) || json_integer_value(pid) < 0 ||
	    json_integer_value(pid) > INT32_MAX)
		return gf_err_set(err, EBADMSG, "the daemon's answer has a process without pid, start_ns and comm");
	uint32_t row = gf_rows_task(rows, (int32_t)json_integer_value(pid), (uint64_t)json_integer_value(start),
				    (int32_t)json_integer_value(json_object_get(task, "ppid")), json_string_value(comm), json_string_length(comm), &fresh);
	if (row == GF_NONE)
		return gf_err_set(err, E2BIG, "more than %u processes", GF_ROWS_CAP);
	const json_t *uid = json_object_get(task, "uid");
	rows->s.uid[row] = json_is_integer(uid) ? (uint32_t)json_integer_value(uid) : GF_NONE;
	rows->s.flags[row] |= (uint8_t)json_integer_value(json_object_get(task, "flags"));
	for (uint32_t k = 0; k < paths->n; k++) {
		const json_t *v = json_object_get(task, paths->v[k]);
		gf_rows_path(rows, row, k, json_is_number(v) ? json_number_value(v) : gf_unknown());
	}
	f = gf_fields(&n);
	for (size_t i = 0; i < n; i++) {
		const json_t *v = f[i].scope == GF_SCOPE_TASK && !f[i].derived ? json_object_get(task, f[i].name) : NULL;
		if (v && !f[i].str)
			gf_rows_set(rows, row, (enum gf_task_field)f[i].id, number_of(&f[i], v));
		else if (json_is_string(v))
			gf_rows_text(rows, row, (enum gf_str_field)f[i].id, json_string_value(v), json_string_length(v));
	}
	return 0;
}

json_t *gf_ctl_paths_json(const struct gf_pathset *paths)
{
	json_t *a = json_array();

	for (uint32_t i = 0; i < paths->n; i++)
		json_array_append_new(a, json_string(paths->v[i]));
	return a;
}

int gf_ctl_ps_rows(const json_t *answer, const struct gf_pathset *paths, struct gf_rows *rows, struct gf_err *err)
{
	const json_t *tasks = json_object_get(answer, "tasks"), *host = json_object_get(answer, "host"), *task;
	const struct gf_field_info *f;
	size_t n, i;
	int rc = 0;

	if (!json_is_array(tasks) || !json_is_integer(json_object_get(answer, "now_ns")))
		return gf_err_set(err, EBADMSG, "the daemon's answer has no processes");
	gf_rows_begin(rows, (uint64_t)json_integer_value(json_object_get(answer, "now_ns")));
	rows->s.epoch = (uint32_t)json_integer_value(json_object_get(answer, "epoch"));
	f = gf_fields(&n);
	for (i = 0; i < n; i++)
		if (f[i].scope == GF_SCOPE_HOST && !f[i].derived)
			rows->s.host[f[i].id] = number_of(&f[i], json_object_get(host, f[i].name));
	json_array_foreach(tasks, i, task)
		if (!rc)
			rc = task_row(task, paths, rows, err);
	gf_rows_commit(rows);
	return rc;
}
