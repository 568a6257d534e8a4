/* SPDX-License-Identifier: MIT
 *
 * JUnit's XML, as build servers read it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/files.h"
#include "ctl/test.h"

/* What XML cannot hold becomes '?'. Names are UTF-8: jansson has checked it. */
static void text(FILE *f, const char *s)
{
	for (; *s; s++)
		switch (*s) {
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		case '&':
			fputs("&amp;", f);
			break;
		case '"':
			fputs("&quot;", f);
			break;
		case '\n':
		case '\t':
			fputc(*s, f);
			break;
		default:
			fputc((unsigned char)*s < 0x20 ? '?' : *s, f);
		}
}

static void attribute(FILE *f, const char *name, const char *s)
{
	fprintf(f, " %s=\"", name);
	text(f, s);
	fputc('"', f);
}

static void testcase(FILE *f, const char *file, const json_t *t)
{
	const json_t *report = json_object_get(t, "report");

	fputs("    <testcase", f);
	attribute(f, "classname", file);
	attribute(f, "name", gf_js_str(t, "name"));
	attribute(f, "file", file);
	fprintf(f, " line=\"%lld\" time=\"%.6f\"", gf_js_int(t, "line"), gf_js_num(t, "seconds"));
	if (gf_js_bool(t, "ok")) {
		fputs("/>\n", f);
		return;
	}
	fputs(">\n      <failure", f);
	attribute(f, "message", json_array_size(report) ? json_string_value(json_array_get(report, 0)) + strspn(json_string_value(json_array_get(report, 0)), " ") : "");
	fputs(">", f);
	for (size_t i = 0; i < json_array_size(report); i++) {
		text(f, json_string_value(json_array_get(report, i)));
		fputc('\n', f);
	}
	fputs("</failure>\n    </testcase>\n", f);
}

static void testsuite(FILE *f, const json_t *file)
{
	const json_t *tests = json_object_get(file, "tests");
	size_t n = json_array_size(tests), failed = 0;
	bool error = gf_js_bool(file, "error");
	double seconds = 0;

	for (size_t i = 0; i < n; i++) {
		failed += !gf_js_bool(json_array_get(tests, i), "ok");
		seconds += gf_js_num(json_array_get(tests, i), "seconds");
	}
	fputs("  <testsuite", f);
	attribute(f, "name", gf_js_str(file, "file"));
	fprintf(f, " tests=\"%zu\" failures=\"%zu\" errors=\"%d\" time=\"%.6f\">\n", n + error, failed, error, seconds);
	for (size_t i = 0; i < n; i++)
		testcase(f, gf_js_str(file, "file"), json_array_get(tests, i));
	if (error) {
		fputs("    <testcase", f);
		attribute(f, "classname", gf_js_str(file, "file"));
		fputs(" name=\"reads and compiles\"><error message=\"the file, or a policy of it, has errors: they were printed\"/></testcase>\n", f);
	}
	fputs("  </testsuite>\n", f);
}

int gf_test_junit(const struct gf_test *t, const char *path, struct gf_err *err)
{
	char *buf = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&buf, &n);
	int r;

	if (!f)
		return gf_err_set(err, ENOMEM, "out of memory");
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n", f);
	for (size_t i = 0; i < json_array_size(t->files); i++)
		testsuite(f, json_array_get(t->files, i));
	fputs("</testsuites>\n", f);
	r = fclose(f) ? gf_err_set(err, ENOMEM, "out of memory") : gf_ctl_write_file(path, buf, n, err);
	free(buf);
	return r;
}
