/* SPDX-License-Identifier: MIT
 *
 * promtool's notation: what its documentation says, what we add, and what is refused with its place.
 */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gpufas/hd.h"
#include "sim/series.h"

/* All values, as text: "1 2 _ S": S is stale. */
static const char *written(const char *text, enum gf_dim dim, enum gf_pct pct, uint64_t n)
{
	static char buf[4096];
	struct gf_series s;
	struct gf_series_fault fault;
	struct gf_err err = { "" };
	size_t o = 0;

	buf[0] = 0;
	if (gf_series_parse(text, dim, pct, &s, &fault, &err)) {
		snprintf(buf, sizeof buf, "%zu+%zu %s", fault.at, fault.len, err.text);
		return buf;
	}
	for (uint64_t i = 0; i < (n ? n : s.len); i++) {
		double v;
		enum gf_series_mark m = gf_series_at(&s, i, &v);
		static const char *const marks[] = { "", "%", "_", "S" };
		if (m == GF_SERIES_VALUE || m == GF_SERIES_SHARE)
			o += (size_t)snprintf(buf + o, sizeof buf - o, "%s%g%s", i ? " " : "", v, marks[m]);
		else
			o += (size_t)snprintf(buf + o, sizeof buf - o, "%s%s", i ? " " : "", marks[m]);
	}
	gf_series_deinit(&s);
	return buf;
}
#define NUM(text, n) written(text, GF_DIM_NUM, GF_PCT_NO, n)

/* The lines of promtool's documentation, as they stand there. */
static void documented(void **state)
{
	(void)state;
	assert_string_equal(NUM("-2+4x3", 0), "-2 2 6 10");
	assert_string_equal(NUM(" 1-2x4", 0), "1 -1 -3 -5 -7");
	assert_string_equal(NUM(" 1x4", 0), "1 1 1 1 1");
	assert_string_equal(NUM(" 1 _x3 stale", 0), "1 _ _ _ S");
	assert_string_equal(NUM("1+0x6 0 0 0 0 0 0 0 0", 0), "1 1 1 1 1 1 1 0 0 0 0 0 0 0 0");
	assert_string_equal(NUM("0 0 0 0 0 0 0 10x2", 0), "0 0 0 0 0 0 0 10 10 10");
	assert_string_equal(NUM("_ _ 1 stale 2", 0), "_ _ 1 S 2");
}

static void numbers(void **state)
{
	(void)state;
	assert_string_equal(NUM("1.5 1e3 2E-1 +4 -Inf Inf NaN 1e+2", 0), "1.5 1000 0.2 4 -inf inf _ 100");
	assert_string_equal(NUM("3x0 _x0 7", 0), "3 7");
	assert_string_equal(NUM("0.5+0.25x3", 0), "0.5 0.75 1 1.25");
	assert_string_equal(NUM("5 6", 5), "5 6 6 6 6");
	assert_string_equal(NUM("5 stale", 4), "5 S S S");
	assert_string_equal(NUM("1+-2x2 1--2x2", 0), "2+1 a number is missing here");
}

static void units(void **state)
{
	(void)state;
	assert_string_equal(written("1KiB+1KiBx2 0 2kB", GF_DIM_BYTES, GF_PCT_MEM, 0), "1024 2048 3072 0 2000");
	assert_string_equal(written("40%-10%x2", GF_DIM_BYTES, GF_PCT_MEM, 0), "40% 30% 20%");
	assert_string_equal(written("1s 2min", GF_DIM_TIME, GF_PCT_NO, 0), "1e+09 1.2e+11");
	assert_string_equal(written("95%x1", GF_DIM_PCT, GF_PCT_SELF, 0), "95 95");
	assert_string_equal(written("500/s 20x1", GF_DIM_RATE, GF_PCT_NO, 0), "500 20 20");
	assert_string_equal(written("Sx1 Z X _ Dx0", GF_DIM_ENUM_STATE, GF_PCT_NO, 0), "83 83 90 88 _ 68");
	assert_string_equal(written("fifox1 ext idle", GF_DIM_ENUM_SCHED, GF_PCT_NO, 0), "1 1 7 5");
}

static void refused(void **state)
{
	(void)state;
	assert_string_equal(written("1GiB 16", GF_DIM_BYTES, GF_PCT_MEM, 0), "5+2 this number lacks its unit: a size is needed");
	assert_string_equal(written("1GiB+1x3", GF_DIM_BYTES, GF_PCT_MEM, 0), "4+2 this number lacks its unit: a size is needed");
	assert_string_equal(written("1GiB+1%x3", GF_DIM_BYTES, GF_PCT_MEM, 0), "4+3 a share and an amount cannot be added");
	assert_string_equal(written("5m", GF_DIM_TIME, GF_PCT_NO, 0), "1+1 unknown unit \"m\"");
	assert_string_equal(NUM("1+2", 0), "0+3 a step needs \"x\" and how often");
	assert_string_equal(NUM("1 2x", 0), "3+1 after \"x\" a whole number is needed");
	assert_string_equal(NUM("1 2x-3", 0), "3+1 after \"x\" a whole number is needed");
	assert_string_equal(NUM("1,2", 0), "1+2 this cannot stand here");
	assert_string_equal(NUM("_y", 0), "1+1 this cannot stand here");
	assert_string_equal(NUM("stale2", 0), "0+1 a number is missing here");
	assert_string_equal(NUM("1.2.3", 0), "0+5 this number is badly written");
	assert_string_equal(NUM("  ", 0), "0+2 there are no values here");
	assert_string_equal(NUM("1x99999999999", 0), "1+12 a series has at most 1000000000 values");
	assert_string_equal(NUM("1x999999999 1x9", 0), "12+3 a series has at most 1000000000 values");
}

/* Long ones take no memory, and any value is found at once. */
static void runs(void **state)
{
	struct gf_series s;
	struct gf_series_fault fault;
	struct gf_err err;
	double v;

	(void)state;
	assert_int_equal(gf_series_parse("0+1x499999998 7 _x10 3+2x99 stale", GF_DIM_NUM, GF_PCT_NO, &s, &fault, &err), 0);
	assert_int_equal(s.runs, 5);
	assert_int_equal(gf_series_at(&s, 123456789, &v), GF_SERIES_VALUE);
	assert_true(v == 123456789);
	assert_int_equal(gf_series_at(&s, 499999999, &v), GF_SERIES_VALUE);
	assert_true(v == 7);
	assert_int_equal(gf_series_at(&s, 500000009, &v), GF_SERIES_UNKNOWN);
	assert_true(v != v);
	assert_int_equal(gf_series_at(&s, 500000010, &v), GF_SERIES_VALUE);
	assert_true(v == 3);
	assert_int_equal(gf_series_at(&s, 500000109, &v), GF_SERIES_VALUE);
	assert_true(v == 201);
	assert_int_equal(gf_series_stale(&s), 500000110);
	assert_int_equal(gf_series_at(&s, UINT64_MAX, &v), GF_SERIES_STALE);
	gf_series_deinit(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documented), cmocka_unit_test(numbers), cmocka_unit_test(units), cmocka_unit_test(refused), cmocka_unit_test(runs),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
