/* SPDX-License-Identifier: MIT
 *
 * gpufasctl's parts: texts in few columns, names made safe, the table of
 * commands, option parsing, terms, the canvas, top's list keys.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/canvas.h"
#include "ctl/ctl.h"
#include "ctl/explain.h"
#include "ctl/text.h"
#include "ctl/top.h"

static void cell_is(double v, enum gf_dim dim, const char *want)
{
	char buf[64];

	assert_string_equal(gf_show_cell(v, dim, buf, sizeof buf), want);
	/* Names of users and policies may be longer; numbers must fit their columns. */
	assert_true(strlen(buf) <= 7);
}

static void test_cells(void **state)
{
	(void)state;
	cell_is(0, GF_DIM_BYTES, "0");
	cell_is(1023, GF_DIM_BYTES, "1023");
	cell_is(1024, GF_DIM_BYTES, "1.0K");
	cell_is(1024.0 * 1024 - 1, GF_DIM_BYTES, "1.0M");
	cell_is(1023.0 * 1024, GF_DIM_BYTES, "1023K");
	cell_is(3.1 * 1024 * 1024 * 1024, GF_DIM_BYTES, "3.1G");
	cell_is(99.97 * 1024, GF_DIM_BYTES, "100K");
	cell_is(1.8e19, GF_DIM_BYTES, "15.6E");
	cell_is((double)NAN, GF_DIM_BYTES, "-");
	cell_is((double)INFINITY, GF_DIM_NUM, "inf");
	cell_is(99.96, GF_DIM_PCT, "100.0");
	cell_is(12345.6, GF_DIM_PCT, "12346");
	cell_is(83, GF_DIM_ENUM_STATE, "S");
	cell_is(7, GF_DIM_ENUM_STATE, "?");
	cell_is(3, GF_DIM_ENUM_SCHED, "batch");
	cell_is(123456, GF_DIM_NUM, "123456");
	cell_is(12345678, GF_DIM_NUM, "12.3M");
	cell_is(-20, GF_DIM_NUM, "-20");
	cell_is(0.31, GF_DIM_NUM, "0.31");
	cell_is(0, GF_DIM_TIME, "0s");
	cell_is(412e3, GF_DIM_TIME, "412us");
	cell_is(999.4e3, GF_DIM_TIME, "999us");
	cell_is(999.6e3, GF_DIM_TIME, "1ms");
	cell_is(340e6, GF_DIM_TIME, "340ms");
	cell_is(999.6e6, GF_DIM_TIME, "1.0s");
	cell_is(59.97e9, GF_DIM_TIME, "59.9s");
	cell_is(60e9, GF_DIM_TIME, "1m00s");
	cell_is(3599.9e9, GF_DIM_TIME, "59m59s");
	cell_is(3600e9, GF_DIM_TIME, "1h00m");
	cell_is(86400e9, GF_DIM_TIME, "1d00h");
	cell_is(86400e9 * 999, GF_DIM_TIME, "999d00h");
	cell_is(1.8e19, GF_DIM_TIME, "570y");
}

static void test_time(void **state)
{
	char buf[64];

	(void)state;
	assert_string_equal(gf_show_time("2026-11-23T05:41:02.123456789Z", true, buf, sizeof buf), "2026-11-23 05:41:02.123");
	assert_string_equal(gf_show_time("2026-11-23T05:41:02Z", false, buf, sizeof buf), "05:41:02.000");
	assert_string_equal(gf_show_time("2026-11-23T06:41:02.5+01:00", true, buf, sizeof buf), "2026-11-23 05:41:02.500");
	assert_string_equal(gf_show_time("2026-11-22T23:41:02.5-06:00", true, buf, sizeof buf), "2026-11-23 05:41:02.500");
	assert_string_equal(gf_show_time("yester\033day", true, buf, sizeof buf), "yester?day");
	assert_string_equal(gf_show_time("", true, buf, sizeof buf), "");
}

static void safe_is(const char *in, const char *want)
{
	char buf[64];

	assert_string_equal(gf_show_safe(in, buf, sizeof buf), want);
}

static void test_safe(void **state)
{
	char small[4];

	(void)state;
	safe_is("plain", "plain");
	safe_is("\033[31mred\007", "?[31mred?");
	safe_is("a\tb\nc", "a?b?c");
	safe_is("\302\233x", "?x");               /* C1: CSI in one character */
	safe_is("a\342\200\256b", "a?b");          /* U+202E turns the line round */
	safe_is("\346\227\245", "\346\227\245");
	safe_is("\346\227", "?");                 /* cut short */
	safe_is("\377\376ok", "??ok");
	safe_is("", "");
	/* Never half a character at the end of the room. */
	assert_string_equal(gf_show_safe("a\346\227\245b", small, sizeof small), "a");
	assert_int_equal(gf_show_width("a\346\227\245b"), 4);
}

static void test_canvas(void **state)
{
	struct gf_canvas c = { 0 };
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	(void)state;
	assert_non_null(f);
	assert_int_equal(gf_canvas_resize(&c, 3, 6), 0);
	gf_canvas_put(&c, 0, 0, GF_LOOK_PLAIN, "%s", "abcdefgh");       /* cut */
	gf_canvas_put(&c, 1, 5, GF_LOOK_PLAIN, "%s", "\346\227\245");   /* two columns into one: left out */
	gf_canvas_put(&c, 1, 0, GF_LOOK_PLAIN, "%s", "\346\227\245\033");
	assert_int_equal(gf_canvas_field(&c, 2, 0, 4, 1, GF_LOOK_PLAIN, "12"), 4);
	gf_canvas_put(&c, 7, 0, GF_LOOK_PLAIN, "outside");
	gf_canvas_put(&c, -1, 0, GF_LOOK_PLAIN, "outside");
	gf_canvas_field(&c, 2, 5, 9, 0, GF_LOOK_PLAIN, "xyz");          /* over the edge */
	gf_canvas_print(&c, f);
	fclose(f);
	assert_string_equal(text, "abcdef\n\346\227\245?\n  12 x\n");
	free(text);
	gf_canvas_deinit(&c);
}

static void term_is(const char *text, const char *left, const char *right, const char *want)
{
	json_t *t = json_pack("{s:s, s:s, s:s}", "text", text, "left_text", left, "right_text", right);
	char buf[256];

	assert_string_equal(gf_explain_term(t, buf, sizeof buf), want);
	json_decref(t);
}

static void test_terms(void **state)
{
	(void)state;
	term_is("mem.available < 5%", "3.1 GiB", "398 MiB", "mem.available 3.1 GiB vs < 398 MiB");
	term_is("rss >= 2 * anon", "1 GiB", "2 GiB", "rss 1 GiB vs >= 2 GiB");
	term_is("comm in (\"a\", \"b\")", "bash", "", "comm in (\"a\", \"b\"): bash");
	term_is("comm == \"x\"", "bash", "", "comm bash vs == \"x\"");
	term_is("count(where age < 1s) > 2000", "12", "2000", "count(where age < 1s) > 2000: 12 vs 2000");
	term_is("a < 1 < 2", "1", "2", "a < 1 < 2: 1 vs 2");
	term_is("available(rss)", "", "", "available(rss)");
	term_is("age > 1h", "unknown", "unknown", "age > 1h: not known");
	term_is("age > 1h", "unknown", "1 h", "age unknown vs > 1 h");
}

static void decisive_is(const char *json, const char *want)
{
	json_t *r = json_loads(json, 0, NULL);

	assert_non_null(r);
	assert_string_equal(gf_js_str(gf_explain_decisive(r), "text"), want);
	json_decref(r);
}

static void test_decisive(void **state)
{
	(void)state;
	decisive_is("{\"truth\":\"false\",\"terms\":[{\"text\":\"a\",\"truth\":\"true\"},{\"text\":\"b\",\"truth\":\"unknown\"},{\"text\":\"c\",\"truth\":\"false\"}]}", "c");
	decisive_is("{\"truth\":\"unknown\",\"terms\":[{\"text\":\"a\",\"truth\":\"true\"},{\"text\":\"b\",\"truth\":\"unknown\"}]}", "b");
	decisive_is("{\"truth\":\"false\",\"terms\":[{\"text\":\"a\",\"truth\":\"true\"},{\"text\":\"b\",\"truth\":\"true\"}]}", "a");
	decisive_is("{\"truth\":\"true\",\"terms\":[{\"text\":\"a\",\"truth\":\"false\"},{\"text\":\"b\",\"truth\":\"true\"}]}", "b");
	decisive_is("{\"terms\":[]}", "");
	decisive_is("{\"terms\":3}", "");
}

static void test_bar(void **state)
{
	char buf[16];

	(void)state;
	assert_string_equal(gf_explain_bar(0.5, 4, buf, sizeof buf), "||  ");
	assert_string_equal(gf_explain_bar(0.999, 4, buf, sizeof buf), "||| "); /* full only when it is */
	assert_string_equal(gf_explain_bar(1, 4, buf, sizeof buf), "||||");
	assert_string_equal(gf_explain_bar(-3, 4, buf, sizeof buf), "    ");
	assert_string_equal(gf_explain_bar(9, 4, buf, sizeof buf), "||||");
	assert_string_equal(gf_explain_bar((double)NAN, 4, buf, sizeof buf), "....");
	assert_int_equal(strlen(gf_explain_bar(1, 40, buf, sizeof buf)), 15);
}

static void test_table(void **state)
{
	(void)state;
	for (const struct gf_ctl_cmd *c = gf_ctl_cmds; c->name; c++) {
		bool seen[256] = { false };
		assert_ptr_equal(gf_ctl_cmd_find(c->name), c);
		assert_non_null(c->run);
		assert_true(c->max_args < 0 || c->min_args <= c->max_args);
		assert_true(c->summary[0] >= 'a' && c->summary[0] <= 'z');
		for (const struct gf_ctl_opt *o = c->opts; o && o->name; o++) {
			assert_true(o->id < GF_O_COUNT);
			assert_true(!o->letter || !seen[(unsigned char)o->letter]);
			seen[(unsigned char)o->letter] = o->letter != 0;
			for (const struct gf_ctl_opt *p = gf_ctl_common; p->name; p++)
				assert_true(strcmp(o->name, p->name) && (!o->letter || o->letter != p->letter));
		}
	}
}

static void test_parse(void **state)
{
	struct gf_ctl ctl = { .cmd = gf_ctl_cmd_find("events") };
	char *argv[] = { (char[]){ "events" }, (char[]){ "-fn7" }, (char[]){ "word" }, (char[]){ "--rule=a b" },
			 (char[]){ "--" }, (char[]){ "-x" }, NULL };

	(void)state;
	assert_int_equal(gf_ctl_parse(&ctl, 6, argv), 0);
	assert_string_equal(ctl.val[GF_O_FOLLOW], "");
	assert_string_equal(ctl.val[GF_O_LAST], "7");
	assert_string_equal(ctl.val[GF_O_RULE], "a b");
	assert_null(ctl.val[GF_O_JSON]);
	assert_int_equal(ctl.args, 2);
	assert_string_equal(ctl.arg[0], "word");
	assert_string_equal(ctl.arg[1], "-x");
}

static void test_number(void **state)
{
	double v = -1;

	(void)state;
	assert_true(gf_ctl_number("12", 0, 20, &v) && v == 12);
	assert_false(gf_ctl_number("", 0, 20, &v));
	assert_false(gf_ctl_number("12x", 0, 20, &v));
	assert_false(gf_ctl_number("nan", 0, 20, &v));
	assert_false(gf_ctl_number("21", 0, 20, &v));
	assert_false(gf_ctl_number("1e999", 0, (double)INFINITY, &v));
	assert_true(v == 12);
}

/* Every key in every state, on data of no use: no step outside any list. */
static void test_keys(void **state)
{
	static const int special[] = { GF_TK_UP, GF_TK_DOWN, GF_TK_PGUP, GF_TK_PGDN, GF_TK_HOME, GF_TK_END,
				       GF_TK_ENTER, GF_TK_ESC, GF_TK_TAB, GF_TK_BACKSPACE, 0x65e5, 0 };
	struct gf_canvas c = { 0 };
	struct gf_top t;
	unsigned seed = 1;

	(void)state;
	gf_top_init(&t, "/nowhere", NULL, 1);
	t.answer[GF_TA_STATUS] = json_object();
	t.answer[GF_TA_RULES] = json_loads("{\"rules\":[{\"name\":\"a\"},{\"name\":3},null,{\"name\":\"b\",\"terms\":[{}]}]}", 0, NULL);
	t.answer[GF_TA_EVENTS] = json_loads("{\"events\":[{\"seq\":1},{\"seq\":\"x\"},4]}", 0, NULL);
	for (int i = 0; i < 20000; i++) {
		int key = rand_r(&seed) % 3 ? special[(size_t)rand_r(&seed) % (sizeof special / sizeof *special)] : rand_r(&seed) % 128;
		gf_top_key(&t, key);
		if (i % 16 == 0) {
			assert_int_equal(gf_canvas_resize(&c, 1 + rand_r(&seed) % 50, 1 + rand_r(&seed) % 160), 0);
			gf_top_draw(&t, &c);
			assert_true(t.list[GF_TP_RULES].sel < 4);
			assert_true(t.list[GF_TP_EVENTS].sel < 3);
			assert_int_equal(t.list[GF_TP_TASKS].sel, 0);
		}
		assert_true(strlen(t.filter) < sizeof t.filter);
	}
	gf_canvas_deinit(&c);
	gf_top_deinit(&t);
}

static void test_filter(void **state)
{
	struct gf_top t;

	(void)state;
	gf_top_init(&t, "/nowhere", NULL, 1);
	gf_top_key(&t, '/');
	gf_top_key(&t, 'q'); /* a letter now, not the end */
	gf_top_key(&t, 0x65e5);
	assert_string_equal(t.filter, "q\346\227\245");
	assert_false(t.quit);
	gf_top_key(&t, GF_TK_BACKSPACE);
	assert_string_equal(t.filter, "q");
	for (int i = 0; i < 200; i++)
		gf_top_key(&t, 'x');
	assert_int_equal(strlen(t.filter), sizeof t.filter - 1);
	gf_top_key(&t, GF_TK_ESC);
	assert_string_equal(t.filter, "");
	gf_top_key(&t, 'q');
	assert_true(t.quit);
	gf_top_deinit(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cells), cmocka_unit_test(test_time), cmocka_unit_test(test_safe),
		cmocka_unit_test(test_canvas), cmocka_unit_test(test_terms), cmocka_unit_test(test_decisive),
		cmocka_unit_test(test_bar), cmocka_unit_test(test_table), cmocka_unit_test(test_parse),
		cmocka_unit_test(test_number), cmocka_unit_test(test_keys), cmocka_unit_test(test_filter),
	};

	setenv("TZ", "UTC", 1);
	if (!setlocale(LC_ALL, "C.UTF-8")) {
		puts("1..0 # SKIP no C.UTF-8 locale");
		return 0;
	}
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("ctl", tests, NULL, NULL);
}
