/* SPDX-License-Identifier: MIT
 *
 * sim/knobs.c, sim/sweep.c: the numbers of a policy by name, and texts with others in them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "sim/knobs.h"
#include "sim/when.h"

static const char policy[] =
	"let few = 20%\nlet big = rss > 1GiB or 5 < nice\n"
	"rule low \"title 5s\"\n  if mem.available < 5% for 2s until mem.available > few\n  then SIGTERM largest 3 where not big and rate(rss, 5s) > 10MiB\n"
	"  then after 5s SIGKILL\n  cooldown 30s limit 3 per 10min settle 4s\n"
	"rule storm if tasks.rate > 500/s or count(where age < 1s) > 2000 then log cooldown 1s\n"
	"rule often if cpu.busy > 90% 3 times within 10s then log cooldown 1s\n"
	"if mem.free between 1MiB and 2MiB for 4 periods then log cooldown 1s\n";

static struct gf_source src = { .name = "a.policy", .text = policy, .len = sizeof policy - 1 };

static void find(struct gf_knobs *k)
{
	assert_int_equal(gf_knobs_find(&src, 1, k), 0);
}

static void test_names(void **state)
{
	static const struct { const char *name, *text; } want[] = {
		{ "few", "20%" }, { "big.rss", "1GiB" }, { "big.nice", "5" }, { "low.mem.available", "5%" }, { "low.for", "2s" },
		{ "low.victims", "3" }, { "low.where.window", "5s" }, { "low.where.rate(rss,5s)", "10MiB" }, { "low.after", "5s" },
		{ "low.cooldown", "30s" }, { "low.limit", "3" }, { "low.per", "10min" }, { "low.settle", "4s" }, { "storm.tasks.rate", "500/s" },
		{ "storm.age", "1s" }, { "a.policy:10.mem.free", "1MiB" }, { "a.policy:10.mem.free#2", "2MiB" }, { "a.policy:10.for", "4" },
	};
	const struct gf_knob *v;
	struct gf_knobs k;
	struct gf_err err;

	(void)state;
	find(&k);
	for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
		if (gf_knob_named(&k, want[i].name, &v, &err))
			fail_msg("%s", err.text);
		assert_string_equal(v->text, want[i].text);
	}
	assert_int_equal(gf_knob_named(&k, "low.threshold", &v, &err), 0);
	assert_string_equal(v->name, "low.mem.available");
	assert_true(gf_knob_is_threshold(&k, v));
	assert_int_equal(gf_knob_named(&k, "storm.threshold", &v, &err), -EINVAL);
	assert_non_null(strstr(err.text, "could be any of: storm.tasks.rate"));
	assert_int_equal(gf_knob_named(&k, "low.treshold", &v, &err), -EINVAL);
	assert_non_null(strstr(err.text, "did you mean low.threshold?"));
	assert_int_equal(gf_knob_named(&k, "low.cooldwn", &v, &err), -EINVAL);
	assert_non_null(strstr(err.text, "did you mean low.cooldown?"));
	assert_int_equal(gf_knob_named(&k, "lo.cooldown", &v, &err), -EINVAL);
	assert_non_null(strstr(err.text, "did you mean low.cooldown?"));
	gf_knobs_deinit(&k);
}

static void test_ranges(void **state)
{
	static const struct { const char *text, *first, *last; size_t n; } good[] = {
		{ "low.threshold=2%..10%/2%", "2%", "10%", 5 }, { "low.threshold=2..10/4", "2%", "10%", 3 }, { "low.for=500ms..2s/500ms", "500ms", "2000ms", 4 },
		{ "big.rss=1GiB..2GiB/512MiB", "1024MiB", "2048MiB", 3 }, { "low.limit=1,5,9", "1", "9", 3 },
		{ "storm.tasks.rate=100/s..300/s/100/s", "100/s", "300/s", 3 }, { "low.threshold=0.1%..0.3%/0.1%", "0.1%", "0.3%", 3 },
		{ "low.for=1s..10min/90s", "1s", "541s", 7 }, { "big.rss=10000000000B,20000000000B", "10000000000B", "20000000000B", 2 },
		{ "low.threshold=0.00001%,1%", "0.00001%", "1%", 2 },
	};
	static const struct { const char *text, *says; } bad[] = {
		{ "low.threshold", "is not NAME=" }, { "low.threshold=", "is not NAME=" }, { "low.threshold=5%..2%/1%", "leads nowhere" },
		{ "low.threshold=1%..5%/0%", "leads nowhere" }, { "low.threshold=1%..5%", "FROM..TO/STEP" }, { "low.threshold=1%..5s/1%", "not of one kind" },
		{ "low.threshold=0%..100%/0.001%", "over 1000 values" }, { "low.threshold=x", "is no value" }, { "low.limit=1,,3", "is no value" },
		{ "low.threshold=1e999%..5%/1%", "FROM..TO/STEP" }, { "low.limit=1e17", "is no value" },
	};
	struct gf_knobs k;
	struct gf_sweep s;
	struct gf_err err;

	(void)state;
	find(&k);
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		if (gf_sweep_parse(&k, good[i].text, &s, &err))
			fail_msg("%s", err.text);
		assert_int_equal(s.n, good[i].n);
		assert_string_equal(s.value[0], good[i].first);
		assert_string_equal(s.value[s.n - 1], good[i].last);
		gf_sweep_deinit(&s);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(gf_sweep_parse(&k, bad[i].text, &s, &err), -EINVAL);
		if (!strstr(err.text, bad[i].says))
			fail_msg("%s: %s", bad[i].text, err.text);
	}
	gf_knobs_deinit(&k);
}

/* Numbers go into the text as it has them: no exponents, no digits that are lost or made up. */
static void test_numbers(void **state)
{
	static const struct { const char *sweep, *values; } want[] = {
		{ "big.rss=100GiB..1TiB/462GiB", "100GiB 562GiB 1024GiB" }, { "low.threshold=0.1%..0.3%/0.1%", "0.1% 0.2% 0.3%" },
		{ "low.threshold=0.00001%,1e-4%,0%", "0.00001% 0.0001% 0%" }, { "big.rss=1e14B..3e14B/1e14B", "100000000000000B 200000000000000B 300000000000000B" },
		{ "low.cooldown=1h..2h/30min", "60min 90min 120min" },
	};
	struct gf_knobs k;
	struct gf_sweep s;
	struct gf_err err = { "" };
	char all[256];

	(void)state;
	find(&k);
	for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
		if (gf_sweep_parse(&k, want[i].sweep, &s, &err))
			fail_msg("%s: %s", want[i].sweep, err.text);
		*all = 0;
		for (size_t n = 0; n < s.n; n++)
			snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", n ? " " : "", s.value[n]);
		assert_string_equal(all, want[i].values);
		gf_sweep_deinit(&s);
	}
	assert_int_equal(gf_sweep_parse(&k, "big.rss=1e30B", &s, &err), -EINVAL);
	assert_int_equal(gf_sweep_parse(&k, "big.rss=1e19TiB..2e19GiB/1TiB", &s, &err), -EINVAL);
	gf_knobs_deinit(&k);
}

static void span_is(const char *text, uint64_t ns)
{
	uint64_t got = 1;

	assert_int_equal(gf_when_span(text, &got), 0);
	assert_int_equal(got, ns);
}

/* How long, and when in a recording that begins 100 s after the boot, on 2026-11-27 at 02:20:00. */
static void test_when(void **state)
{
	static const struct gf_when w = { 100000000000ull, 400000000000ull, 1795746000000000000ll - 100000000000ll }, undated = { 100, 400, 0 };
	static const struct { const char *text; double s; } want[] = {
		{ "90s", 190 }, { "+1.5min", 190 }, { "-1min", 340 }, { "-1h", 100 }, { "0", 100 }, { "2026-11-27 02:21", 160 }, { "2026-11-27T02:20:30Z", 130 },
		{ "02:20:05", 105 }, { "02:19", 100 + 86400 - 60 }, { "2026-11-27 02:18:00", 1e-9 }, { "1950-01-01 00:00", 1e-9 },
	};
	static const char *const none[] = { "noon", "", "5", "90 s", "1e400s", "99999999d", "-", "24:61", "2026-11-27 02:21 or so", "nans", "infs" };
	uint64_t ns;

	(void)state;
	setenv("TZ", "UTC", 1);
	tzset();
	span_is("250ms", 250000000);
	span_is("1.5h", 5400000000000ull);
	span_is("0", 0);
	for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
		if (gf_when_moment(want[i].text, &w, &ns))
			fail_msg("%s is refused", want[i].text);
		if ((double)ns != want[i].s * 1e9)
			fail_msg("%s is at %g s, not %g", want[i].text, (double)ns / 1e9, want[i].s);
	}
	for (size_t i = 0; i < sizeof none / sizeof *none; i++)
		assert_int_equal(gf_when_moment(none[i], &w, &ns), -EINVAL);
	/* years beyond what nanoseconds can say */
	assert_int_equal(gf_when_moment("9999-01-01 00:00", &w, &ns), 0);
	assert_true(ns > w.last_ns);
	assert_int_equal(gf_when_moment("02:20", &undated, &ns), -EINVAL);
	assert_int_equal(gf_when_moment("-10ns", &undated, &ns), 0);
	assert_int_equal(ns, 390);
}

static void test_text(void **state)
{
	struct gf_source out;
	struct gf_sweep s[2];
	struct gf_knobs k;
	const size_t at[2] = { 1, 2 };

	(void)state;
	find(&k);
	assert_int_equal(gf_sweep_parse(&k, "low.threshold=2%..10%/1%", &s[0], NULL), 0);
	assert_int_equal(gf_sweep_parse(&k, "low.for=1s,5s,10s", &s[1], NULL), 0);
	assert_int_equal(gf_knobs_set(&src, 1, s, at, 2, &out), 0);
	assert_non_null(strstr(out.text, "if mem.available < 3% for 10s until mem.available > few"));
	/* and nothing else is another */
	assert_int_equal(out.len, src.len + 1);
	assert_non_null(strstr(out.text, "rule low \"title 5s\""));
	free((char *)(uintptr_t)out.text);
	gf_sweep_deinit(&s[0]);
	gf_sweep_deinit(&s[1]);
	gf_knobs_deinit(&k);
	/* a text that does not parse has none */
	out = (struct gf_source){ .name = "x", .text = "rule if if", .len = 10 };
	assert_int_equal(gf_knobs_find(&out, 1, &k), 0);
	assert_int_equal(k.n, 0);
	gf_knobs_deinit(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_names), cmocka_unit_test(test_ranges), cmocka_unit_test(test_text),
		cmocka_unit_test(test_numbers), cmocka_unit_test(test_when),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
