/* SPDX-License-Identifier: MIT
 *
 * import: histories that other tools have written, as recordings.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/progress.h"
#include "ctl/text.h"
#include "ctl/trace.h"
#include "sim/import.h"

#define SAID 20 /* bad lines that are said one by one */

struct import {
	struct gf_ctl *ctl;
	const char *path; /* of the input, as people call it */
	struct gft_writer_opts opts;
	struct gft_writer *writer;
	struct gf_import_result res;
	struct gf_progress progress;
	uint64_t bytes; /* of the input; 0: not known */
	uint64_t bad;
	uint64_t first_ns, second_ns;
};

static int put(void *arg, const struct gf_sample *s, int64_t wall_off_ns, struct gf_err *err)
{
	struct import *im = arg;

	int rc = gft_writer_paths(im->writer, gf_pathset_v(&im->res.paths), im->res.paths.n);

	if (rc)
		return gf_err_set(err, -rc, "out of memory");
	if (im->res.paths.n) /* only guests have them */
		gft_writer_kind(im->writer, GF_TARGET_VM);
	gft_writer_keep(im->writer, &im->res.named);
	gft_writer_hostname(im->writer, im->res.hostname);
	return gft_writer_append_at(im->writer, s, wall_off_ns, err);
}

static void bad(void *arg, uint64_t line, const char *what)
{
	struct import *im = arg;
	char safe[512];

	if (im->bad++ >= SAID)
		return;
	gf_progress_end(&im->progress);
	fprintf(stderr, "%s:%llu: ", im->path, (unsigned long long)line);
	fprintf(stderr, "%s\n", gf_show_safe(what, safe, sizeof safe));
}

static void tell(void *arg, uint64_t bytes, uint64_t samples)
{
	struct import *im = arg;

	(void)samples;
	if (!im->ctl->json)
		gf_progress_at(&im->progress, (double)bytes / 0x1p20);
}

static int list(const struct gf_ctl *ctl)
{
	json_t *all = json_array();
	struct gf_lines in = { 0 }, out = { 0 };
	char names[4096];

	for (const struct gf_import_kind *k = gf_import_kinds; k->name; k++) {
		struct gf_fieldset f = { 0 };
		k->fields(&f);
		gf_ctl_field_names(&f, names, sizeof names);
		json_t *fields = json_array();
		gf_lines_add(&in, GF_LOOK_HEAD, "%s: %s", k->name, k->doc);
		if (*k->make)
			gf_lines_add(&in, GF_LOOK_PLAIN, "    made by   %s", k->make);
		gf_lines_add(&in, GF_LOOK_PLAIN, "    can give  %s", names);
		for (char *save, *w = strtok_r(names, ", ", &save); w; w = strtok_r(NULL, ", ", &save))
			json_array_append_new(fields, json_string(w));
		json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:o}", "name", k->name, "doc", k->doc, "made_by", k->make, "fields", fields));
	}
	if (ctl->json) {
		gf_ctl_json(all, false);
	} else {
		gf_lines_wrap(&in, 100, &out);
		gf_lines_print(&out, stdout, ctl->colour);
	}
	gf_lines_deinit(&in);
	gf_lines_deinit(&out);
	json_decref(all);
	return GF_EXIT_OK;
}

static int finish(struct import *im, int rc, struct gf_err *err)
{
	const char *out = im->ctl->val[GF_O_OUTPUT];
	struct gft_writer_stats st;
	struct gf_err end = { "" };

	gf_progress_end(&im->progress);
	int e = gf_ctl_trace_finish(im->writer, out, &st, &end);
	im->writer = NULL;
	if (im->bad > SAID)
		fprintf(stderr, "%s: %llu more lines were wrong\n", im->path, (unsigned long long)(im->bad - SAID));
	if (rc)
		gf_ctl_fail(0, "%s: %s", im->path, err->text[0] ? err->text : strerror(-rc));
	else if (e)
		gf_ctl_fail(0, "%s", end.text);
	if (!st.samples)
		return rc || e ? GF_EXIT_NO : gf_ctl_fail(GF_EXIT_NO, "%s: there is no sample in it", im->path);
	if (im->ctl->json) {
		json_t *j = gf_ctl_trace_json(out, &st);
		json_object_set_new(j, "lines", json_integer((json_int_t)im->res.lines));
		json_object_set_new(j, "bad_lines", json_integer((json_int_t)im->res.bad));
		json_object_set_new(j, "ignored", json_integer((json_int_t)im->res.ignored));
		gf_ctl_json(j, false);
		json_decref(j);
	} else {
		gf_ctl_trace_say(out, &st, stdout);
		if (im->res.ignored)
			printf("%llu column%s or series there is no field for %s left out, such as %s\n", (unsigned long long)im->res.ignored,
			       im->res.ignored == 1 ? "" : "s", im->res.ignored == 1 ? "was" : "were", im->res.ignored_name);
		if (im->res.unlisted)
			printf("Only busy processes are listed: others are taken to sleep on for up to 5 min after they were seen last\n");
	}
	return rc || e || im->res.bad ? GF_EXIT_NO : GF_EXIT_OK;
}

static int run(struct import *im, const struct gf_import_kind *kind, FILE *in)
{
	struct gf_import_sink sink = { .sample = put, .bad = bad, .tell = tell, .arg = im };
	struct gf_err err = { "" };
	struct stat st;
	char road[64];
	int rc;

	signal(SIGXFSZ, SIG_IGN);
	if (!fstat(fileno(in), &st) && S_ISREG(st.st_mode))
		im->bytes = (uint64_t)st.st_size;
	snprintf(road, sizeof road, "import from %s", kind->name);
	im->opts.road = road;
	kind->fields(&im->opts.has);
	rc = gft_writer_create(im->ctl->val[GF_O_OUTPUT], &im->opts, &im->writer, &err);
	if (rc)
		return gf_ctl_fail(GF_EXIT_NO, "%s", err.text);
	gf_progress_begin(&im->progress, "import", "MiB", (double)im->bytes / 0x1p20);
	rc = gf_import(kind, in, &sink, &im->res, &err);
	return finish(im, rc, &err);
}

int gf_cmd_import(struct gf_ctl *ctl)
{
	const char *from = ctl->val[GF_O_FROM], *names[16], *near;
	struct import im = { .ctl = ctl };
	const struct gf_import_kind *kind;
	size_t n = 0;
	FILE *in;
	int rc;

	if (ctl->val[GF_O_LIST])
		return list(ctl);
	if (!from || !ctl->val[GF_O_OUTPUT] || !ctl->args)
		return gf_ctl_misuse(ctl, "import needs --from KIND, -o FILE.gft and the file to read (--list shows the kinds)");
	kind = gf_import_kind(from);
	for (const struct gf_import_kind *k = gf_import_kinds; k->name; k++)
		names[n++] = k->name;
	near = kind ? NULL : gf_nearest(from, names, n);
	if (!kind)
		return near ? gf_ctl_misuse(ctl, "nothing is imported from `%s`; did you mean `%s`?", from, near) :
			gf_ctl_misuse(ctl, "nothing is imported from `%s` (--list shows what is)", from);
	bool standard = !strcmp(ctl->arg[0], "-");
	in = standard ? stdin : fopen(ctl->arg[0], "re");
	if (!in)
		return gf_ctl_fail(GF_EXIT_NO, "%s: %s", ctl->arg[0], strerror(errno));
	im.path = standard ? "<stdin>" : ctl->arg[0];
	im.opts = (struct gft_writer_opts){
		.target = ctl->val[GF_O_TARGET] ? ctl->val[GF_O_TARGET] : "this-machine", .kind = GF_TARGET_HOST, .hostname = "",
		.replace = ctl->val[GF_O_FORCE] != NULL, .drop_unknown = true, .drop_columns = true,
	};
	rc = run(&im, kind, in);
	gf_import_result_deinit(&im.res);
	if (!standard)
		fclose(in);
	return rc;
}
