/* SPDX-License-Identifier: MIT
 *
 * trace: what is in recordings.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "ctl/text.h"
#include "ctl/trace.h"
#include "daemon/eventjson.h"
#include "daemon/taskjson.h"
#include "targets/target.h"

static const char *const kinds[GF_TARGET_COUNT] = {
	[GF_TARGET_HOST] = "host", [GF_TARGET_VM] = "vm", [GF_TARGET_IMAGE] = "image", [GF_TARGET_TRACE] = "trace",
};

static const char *wall_text(int64_t ns, char *buf, size_t n)
{
	time_t s = (time_t)(ns / 1000000000);
	struct tm tm;

	if (ns <= 0 || !localtime_r(&s, &tm) || !strftime(buf, n, "%Y-%m-%d %H:%M:%S %Z", &tm))
		snprintf(buf, n, "unknown");
	return buf;
}

/* All of it, from the first sample to the last: damage inside of a block shows only so. */
struct look {
	uint64_t read, failed, rows, damaged;
	struct gf_err err; /* of the first damage */
};

static int look_through(struct gft_reader *r, struct look *l, struct gf_err *err)
{
	struct gf_sample s = { 0 };
	struct gf_err e = { "" };
	int rc;

	while ((rc = gft_reader_next(r, &s, &e)) != -ENODATA) {
		if (rc == -EAGAIN) {
			l->failed++;
		} else if (rc == -EBADMSG) {
			if (!l->damaged++)
				l->err = e;
		} else if (rc) {
			*err = e;
			return rc;
		} else {
			l->read++;
			l->rows += s.dropped; /* the table has no rows: all that are there */
		}
	}
	return 0;
}

static json_t *names_json(const struct gf_fieldset *has)
{
	json_t *a = json_array();
	char names[4096];

	gf_ctl_field_names(has, names, sizeof names);
	for (char *save, *w = strtok_r(names, ", ", &save); w; w = strtok_r(NULL, ", ", &save))
		json_array_append_new(a, json_string(w));
	return a;
}

/* ns, over boots by the wall clock. */
static double length(const struct gft_info *i)
{
	return (double)((int64_t)i->last_ns + i->last_wall_off_ns) - (double)((int64_t)i->first_ns + (i->reboots ? i->wall_off_ns : i->last_wall_off_ns));
}

/* As meant, or else on average. */
static double interval(const struct gft_info *i)
{
	double mean = i->samples > 1 ? length(i) / (double)(i->samples - 1) : 0;

	return (i->interval_ns ? (double)i->interval_ns : mean) / 1e9;
}

static json_t *info_json(const char *path, const struct gft_info *i, const struct look *l)
{
	json_t *j = json_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:b, s:s, s:I, s:I, s:o}", "file", path, "version",
			      (int)i->version, "target", i->target, "kind", kinds[i->kind], "hostname", i->hostname, "road", i->road, "samples",
			      (json_int_t)l->read, "failed_samples", (json_int_t)l->failed, "task_samples", (json_int_t)l->rows, "first_ns",
			      (json_int_t)i->first_ns, "last_ns", (json_int_t)i->last_ns, "interval_s", interval(i), "wall_off_ns",
			      (json_int_t)i->wall_off_ns, "finished", i->indexed, "cut", i->cut, "damaged", (json_int_t)l->damaged, "bytes",
			      (json_int_t)i->bytes, "fields", names_json(&i->has));
	json_t *paths = json_array();

	for (uint32_t k = 0; k < i->has.paths; k++)
		json_array_append_new(paths, json_string(i->path[k]));
	json_object_set_new(j, "paths", paths);
	json_object_set_new(j, "reboots", json_boolean(i->reboots));
	return j;
}

static void info_print(const char *path, const struct gft_info *i, const struct look *l)
{
	char a[512], b[64], c[64], size[32], span[32], names[4096];
	struct gf_lines in = { 0 }, out = { 0 };

	gf_lines_add(&in, GF_LOOK_HEAD, "%s", gf_show_safe(path, a, sizeof a));
	gf_lines_add(&in, GF_LOOK_PLAIN, "  of        %s (%s)%s%s, by %s", i->target, kinds[i->kind], *i->hostname ? " on " : "", i->hostname,
		     *i->road ? i->road : "?");
	gf_lines_add(&in, GF_LOOK_PLAIN, "  from      %s", wall_text((int64_t)i->first_ns + i->wall_off_ns, b, sizeof b));
	gf_lines_add(&in, GF_LOOK_PLAIN, "  to        %s (%s%s)", wall_text((int64_t)i->last_ns + i->last_wall_off_ns, c, sizeof c),
		     gf_show_span(length(i) / 1e9, span, sizeof span), i->reboots ? "; booted anew in between" : "");
	gf_lines_add(&in, GF_LOOK_PLAIN, "  samples   %llu of %.0f processes, %g s apart%s", (unsigned long long)l->read,
		     l->read ? (double)l->rows / (double)l->read : 0, interval(i), l->failed ? "; some could not be taken" : "");
	gf_lines_add(&in, GF_LOOK_PLAIN, "  size      %s, %.2f bytes a process and sample", gf_show_size((double)i->bytes, size, sizeof size),
		     l->rows ? (double)i->bytes / (double)l->rows : 0);
	gf_ctl_field_names(&i->has, names, sizeof names);
	gf_lines_add(&in, GF_LOOK_PLAIN, "  fields    %s", names);
	for (uint32_t k = 0; k < i->has.paths; k++)
		gf_lines_add(&in, GF_LOOK_PLAIN, "  path      %s", i->path[k]);
	if (i->unknown_fields)
		gf_lines_add(&in, GF_LOOK_WARN, "  skipped   %u fields that this version does not know", i->unknown_fields);
	if (l->damaged)
		gf_lines_add(&in, GF_LOOK_BAD, "  damaged   %s", l->err.text);
	else if (*i->cut)
		gf_lines_add(&in, GF_LOOK_WARN, "  end       %s", i->cut);
	else if (!i->indexed)
		gf_lines_add(&in, GF_LOOK_WARN, "  end       it is being written, or its writer was killed");
	gf_lines_wrap(&in, 100, &out);
	gf_lines_print(&out, stdout, false);
	gf_lines_deinit(&in);
	gf_lines_deinit(&out);
}

/* A line a sample. */
static int dump(const char *path)
{
	struct gft_reader *r = NULL;
	struct gf_sample s = { 0 };
	struct gf_err err = { "" };
	struct gf_jbuf b = { 0 };
	struct gf_pathset paths = { 0 };
	char t[64];
	int rc = gft_reader_open(path, &r, &err);

	if (!rc)
		rc = gf_pathset_add_all(&paths, gft_reader_info(r)->path, gft_reader_info(r)->has.paths);
	if (!rc)
		rc = gft_reader_set_paths(r, gf_pathset_v(&paths), paths.n, &err);
	if (!rc)
		rc = gf_sample_init(&s, GF_MAX(gft_reader_info(r)->max_rows, 1u), &err);
	if (!rc)
		rc = gf_sample_set_fields(&s, &gft_reader_info(r)->has, &err);
	while (!rc && (rc = gft_reader_next(r, &s, &err)) != -ENODATA) {
		uint64_t wall = s.now_ns + (uint64_t)gft_reader_wall_off(r);
		if (rc == -EAGAIN) {
			rc = 0;
			continue;
		}
		if (rc)
			break;
		b.n = 0;
		b.comma = false;
		gf_sample_json(&s, gft_reader_info(r)->target, &paths, NULL, &b);
		if (b.failed)
			rc = gf_err_set(&err, ENOMEM, "out of memory");
		else
			printf("{\"time\":\"%s\",%.*s\n", gf_time_text(wall, t, sizeof t), (int)b.n - 1, b.p + 1);
	}
	gf_jbuf_deinit(&b);
	gf_pathset_deinit(&paths);
	gf_sample_deinit(&s);
	gft_reader_close(r);
	return rc == -ENODATA ? GF_EXIT_OK : gf_ctl_fail(GF_EXIT_NO, "%s", err.text[0] ? err.text : strerror(-rc));
}

int gf_cmd_trace(struct gf_ctl *ctl)
{
	json_t *all;
	int rc = GF_EXIT_OK;

	if (ctl->val[GF_O_DUMP] && ctl->val[GF_O_SIZES])
		return gf_ctl_misuse(ctl, "--dump prints the samples, --sizes what they take: not both");
	all = json_array();
	for (int i = 0; i < ctl->args && ctl->val[GF_O_DUMP]; i++)
		rc = dump(ctl->arg[i]) ? GF_EXIT_NO : rc;
	for (int i = 0; i < ctl->args && ctl->val[GF_O_SIZES]; i++)
		rc = gf_ctl_sizes(ctl->arg[i], ctl->json ? all : NULL) ? GF_EXIT_NO : rc;
	for (int i = 0; i < ctl->args && !ctl->val[GF_O_DUMP] && !ctl->val[GF_O_SIZES]; i++) {
		struct gft_reader *r = NULL;
		struct gf_err err = { "" };
		struct look l = { 0 };
		int e = gft_reader_open(ctl->arg[i], &r, &err);
		if (!e)
			e = look_through(r, &l, &err);
		if (e) {
			rc = gf_ctl_fail(GF_EXIT_NO, "%s", err.text[0] ? err.text : strerror(-e));
		} else {
			rc = l.damaged ? GF_EXIT_NO : rc;
			if (ctl->json)
				json_array_append_new(all, info_json(ctl->arg[i], gft_reader_info(r), &l));
			else
				info_print(ctl->arg[i], gft_reader_info(r), &l);
		}
		gft_reader_close(r);
	}
	if (ctl->json && !ctl->val[GF_O_DUMP])
		gf_ctl_json(all, false);
	json_decref(all);
	return rc;
}
