/* SPDX-License-Identifier: MIT
 *
 * Sentences, carets and their alignment, JSON, nearest names, reading sources.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "compiler/source.h"

static struct gf_source source(const char *text)
{
	return (struct gf_source){ .name = "file.policy", .text = text, .len = strlen(text) };
}

static char *print(const struct gf_diags *d, const struct gf_source *src, size_t n, bool json)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	assert_non_null(out);
	if (json)
		gf_diags_json(d, src, n, out);
	else
		gf_diags_print(d, src, n, out, false);
	fclose(out);
	return text;
}

static void expect_one(const char *text, uint32_t start, uint32_t end, const char *want)
{
	struct gf_source src = source(text);
	struct gf_diags d = { 0 };
	gf_diag_add(&d, GF_SEV_ERROR, "E050", (struct gf_span){ 0, start, end }, NULL, "bad");
	char *got = print(&d, &src, 1, false);
	assert_string_equal(got, want);
	free(got);
	gf_diags_deinit(&d);
}

static void test_print(void **state)
{
	(void)state;
	struct gf_source src = source("# a\n\nif rsss > 80% then SIGKILL largest\n");
	struct gf_diags d = { 0 };
	struct gf_diag *g = gf_diag_add(&d, GF_SEV_ERROR, "E050", (struct gf_span){ 0, 8, 12 }, "did you mean \"rss\"?",
					"unknown field \"%s\"", "rsss");
	gf_diag_note(g, (struct gf_span){ 0, 0, 3 }, "the file begins here");
	gf_diag_add(&d, GF_SEV_WARNING, "W001", (struct gf_span){ 0, 0, 1 }, NULL, "first by place");
	char *got = print(&d, &src, 1, false);
	assert_string_equal(got, "file.policy:1:1: warning: first by place [W001]\n"
				 "   1 | # a\n"
				 "     | ^\n"
				 "file.policy:3:4: error: unknown field \"rsss\" [E050]\n"
				 "   3 | if rsss > 80% then SIGKILL largest\n"
				 "     |    ^~~~\n"
				 "     | did you mean \"rss\"?\n"
				 "file.policy:1:1: note: the file begins here\n"
				 "   1 | # a\n"
				 "     | ^~~\n");
	assert_int_equal(d.errors, 1);
	assert_int_equal(d.warnings, 1);
	free(got);
	gf_diags_deinit(&d);
}

static void test_caret(void **state)
{
	(void)state;
	expect_one("\tif\tx", 4, 5, "file.policy:1:5: error: bad [E050]\n   1 |         if      x\n     |                 ^\n");
	/* the tab itself is as wide as it is shown */
	expect_one("ab\tc", 2, 3, "file.policy:1:3: error: bad [E050]\n   1 | ab      c\n     |   ^~~~~~\n");
	expect_one("\"é日\xcc\x81\" xy", 10, 12,
		   "file.policy:1:11: error: bad [E050]\n   1 | \"é日\xcc\x81\" xy\n     |       ^~\n");
	expect_one("日本 x", 0, 6, "file.policy:1:1: error: bad [E050]\n   1 | 日本 x\n     | ^~~~\n");
	/* what would move the cursor or hide is shown as its number */
	expect_one("a\x1b[31m\xff\xe2\x80\xae" "b", 10, 11,
		   "file.policy:1:11: error: bad [E050]\n   1 | a\\x1b[31m\\xff\\u202eb\n     |                    ^\n");
	/* several lines: the first; carriage returns are not shown */
	expect_one("ab\r\ncd", 1, 6, "file.policy:1:2: error: bad [E050]\n   1 | ab\n     |  ^\n");
	/* nothing is underlined at the end of the text, or beyond it */
	expect_one("ab", 2, 2, "file.policy:1:3: error: bad [E050]\n   1 | ab\n     |   ^\n");
	expect_one("ab\n", 900, 901, "file.policy:2:1: error: bad [E050]\n   2 | \n     | ^\n");
	expect_one("", 0, 0, "file.policy:1:1: error: bad [E050]\n   1 | \n     | ^\n");
}

static void test_window(void **state)
{
	(void)state;
	char text[1001];
	for (int i = 0; i < 1000; i++)
		text[i] = (char)('a' + i % 26);
	text[1000] = 0;
	memcpy(text + 500, "THERE", 5);
	struct gf_source src = source(text);
	static const uint32_t at[] = { 0, 1, 60, 500, 940, 998 };
	for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
		struct gf_diags d = { 0 };
		gf_diag_add(&d, GF_SEV_ERROR, "E050", (struct gf_span){ 0, at[i], at[i] + 2 }, NULL, "bad");
		char *got = print(&d, &src, 1, false);
		char *line = strchr(got, '\n') + 1, *caret = strchr(line, '\n') + 1;
		/* the character above the caret is the span's: "…" is three bytes, one column */
		size_t shown = (size_t)(caret - line) - 1, column = strcspn(caret, "^");
		bool cut = strncmp(line + 7, "…", 3) == 0;
		assert_true(shown <= 7 + 100 + 6);
		assert_int_equal(cut, at[i] > 100 / 3 + 1);
		assert_memory_equal(line + column + (cut ? 2 : 0), text + at[i], 2);
		assert_memory_equal(caret + column, "^~\n", 3);
		free(got);
		gf_diags_deinit(&d);
	}
}

/* A line of megabytes costs no more than a long one. */
static void test_huge_line(void **state)
{
	(void)state;
	size_t n = 3 << 20;
	char *text = malloc(n);
	assert_non_null(text);
	memset(text, 'x', n);
	memcpy(text + n / 2, "THERE", 5);
	struct gf_source src = { .name = "file.policy", .text = text, .len = n };
	struct gf_diags d = { 0 };
	uint32_t at = (uint32_t)(n / 2);
	gf_diag_add(&d, GF_SEV_ERROR, "E050", (struct gf_span){ 0, at, at + 5 }, NULL, "bad");
	char *got = print(&d, &src, 1, false);
	char *line = strchr(got, '\n') + 1, *caret = strchr(line, '\n') + 1;
	assert_memory_equal(line + strcspn(caret, "^") + 2, "THERE", 5);
	assert_true(strlen(got) < 400);
	free(got);
	free(text);
	gf_diags_deinit(&d);
}

static void test_collect(void **state)
{
	(void)state;
	struct gf_source src = source("abc");
	struct gf_diags d = { .limit = 2 };
	struct gf_span at = { 0, 0, 1 };
	assert_non_null(gf_diag_add(&d, GF_SEV_ERROR, "E001", at, NULL, "one"));
	/* the same again is not said again */
	assert_null(gf_diag_add(&d, GF_SEV_ERROR, "E001", at, NULL, "one"));
	assert_int_equal(d.errors, 1);
	assert_non_null(gf_diag_add(&d, GF_SEV_ERROR, "E001", at, NULL, "two"));
	assert_null(gf_diag_add(&d, GF_SEV_ERROR, "E001", at, NULL, "three"));
	gf_diag_note(NULL, at, "goes nowhere");
	assert_int_equal(d.errors, 3);
	assert_int_equal(d.n, 2);
	assert_true(d.overflow);
	assert_non_null(gf_diag_add(&d, GF_SEV_WARNING, "W001", at, NULL, "warnings have their own limit"));
	char *got = print(&d, &src, 1, false);
	assert_non_null(strstr(got, "\n1 more error not shown; mend these first\n"));
	free(got);
	/* a place in no source that is at hand */
	got = print(&d, &src, 0, false);
	assert_int_equal(strncmp(got, "error: one [E001]\n", 18), 0);
	free(got);
	gf_diags_deinit(&d);
	assert_int_equal(d.limit, 2);
}

static void test_json(void **state)
{
	(void)state;
	struct gf_source src = source("a\nbcd\xff");
	struct gf_diags d = { 0 };
	char *got = print(&d, &src, 1, true);
	assert_string_equal(got, "[]\n");
	free(got);
	struct gf_diag *g = gf_diag_add(&d, GF_SEV_ERROR, "E006", (struct gf_span){ 0, 3, 5 }, NULL, "bad \"%s\"\n", "\xff");
	gf_diag_note(g, (struct gf_span){ 0, 0, 1 }, "there");
	gf_diag_add(&d, GF_SEV_WARNING, "W002", (struct gf_span){ 0, 0, 1 }, "hint", "w");
	got = print(&d, &src, 1, true);
	assert_ptr_equal(strchr(got, '\n'), got + strlen(got) - 1);
	json_t *all = json_loads(got, 0, NULL);
	assert_int_equal(json_array_size(all), 2);
	json_t *o = json_array_get(all, 1);
	const char *severity, *code, *file, *message;
	json_t *hint;
	int line, col, end_line, end_col, note_line;
	assert_int_equal(json_unpack(o, "{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:s, s:o, s:{s:i}}", "severity", &severity, "code",
				     &code, "file", &file, "line", &line, "col", &col, "end_line", &end_line, "end_col",
				     &end_col, "message", &message, "hint", &hint, "note", "line", &note_line),
			 0);
	assert_string_equal(severity, "error");
	assert_string_equal(code, "E006");
	assert_string_equal(file, "file.policy");
	assert_int_equal(line * 1000 + col, 2002);
	assert_int_equal(end_line * 1000 + end_col, 2004);
	assert_string_equal(message, "bad \"\xef\xbf\xbd\"\n");
	assert_true(json_is_null(hint));
	assert_int_equal(note_line, 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(all, 0), "hint")), "hint");
	json_decref(all);
	free(got);
	gf_diags_deinit(&d);
}

static void test_nearest(void **state)
{
	(void)state;
	static const char *const names[] = { "then", "cooldown", "rss", "SIGKILL", "mem.available", "it", "cpu" };
	static const char *const v[][2] = {
		{ "theen", "then" }, { "cooldwon", "cooldown" }, { "rsss", "rss" },  { "SIGKIL", "SIGKILL" },
		{ "sigkill", "SIGKILL" }, { "RSS", "rss" },	 { "mem.avialable", "mem.available" },
		{ "ti", "it" },	     { "cpu", "cpu" },		 { "xyz", NULL },    { "", NULL }, { "x", NULL },
		{ "cooldooown", "cooldown" }, { "coooooldooown", NULL },
	};
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		const char *got = gf_nearest(v[i][0], names, sizeof names / sizeof *names);
		if (!v[i][1])
			assert_null(got);
		else
			assert_string_equal(got ? got : "(none)", v[i][1]);
	}
	char huge[5000];
	memset(huge, 'a', sizeof huge);
	huge[sizeof huge - 1] = 0;
	assert_null(gf_nearest(huge, names, 1));
}

static void test_source(void **state)
{
	(void)state;
	char path[] = "/tmp/gpufas-test-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	struct gf_source s;
	struct gf_err err = { "" };
	assert_int_equal(gf_source_read(path, &s, &err), 0);
	assert_int_equal(s.len, 0);
	gf_source_free(&s);
	assert_int_equal(write(fd, "ab\ncd\n", 6), 6);
	assert_int_equal(gf_source_read(path, &s, &err), 0);
	assert_int_equal(s.len, 6);
	assert_string_equal(s.name, path);
	static const uint32_t want[][2] = { { 1, 1 }, { 1, 2 }, { 1, 3 }, { 2, 1 }, { 2, 2 }, { 2, 3 }, { 3, 1 }, { 3, 1 } };
	for (uint32_t i = 0; i < 8; i++) {
		uint32_t line, col;
		gf_source_locate(&s, i, &line, &col);
		assert_int_equal(line, want[i][0]);
		assert_int_equal(col, want[i][1]);
	}
	gf_source_free(&s);
	assert_int_equal(ftruncate(fd, 4 << 20), 0);
	assert_int_equal(gf_source_read(path, &s, &err), 0);
	gf_source_free(&s);
	assert_int_equal(ftruncate(fd, (4 << 20) + 1), 0);
	assert_int_equal(gf_source_read(path, &s, &err), -EFBIG);
	assert_non_null(strstr(err.text, "4 MiB"));
	close(fd);
	unlink(path);
	assert_int_equal(gf_source_read(path, &s, &err), -ENOENT);
	assert_non_null(strstr(err.text, path));
	assert_int_equal(gf_source_read("/tmp", &s, &err), -EISDIR);
	assert_int_equal(gf_source_read("/tmp", &s, NULL), -EISDIR);
}

int main(void)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_print),	cmocka_unit_test(test_caret),	cmocka_unit_test(test_window),
		cmocka_unit_test(test_huge_line), cmocka_unit_test(test_collect), cmocka_unit_test(test_json),	cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_source),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
