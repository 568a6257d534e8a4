/* SPDX-License-Identifier: MIT
 *
 * Policies run over a feed that is made up (sim/run.c, sim/outcome.c): what became of it.
 */
#include "tests/unit/madefeed.h"

#include "compiler/compiler.h"
#include "sim/outcome.h"
#include "sim/run.h"

static struct gf_image_header *compile(const char *text)
{
	struct gf_source src = { .name = "t", .text = text, .len = strlen(text) };
	struct gf_compile_opts o = { .target = GF_TARGET_HOST, .period_ns = SEC };
	struct gf_diags d = { 0 };
	struct gf_image_header *img = NULL;
	size_t size;

	if (gf_compile(&src, 1, &o, &d, &img, &size)) {
		gf_diags_print(&d, &src, 1, stderr, false);
		fail();
	}
	gf_diags_deinit(&d);
	return img;
}

static bool quiet(void *arg, const struct gf_run_tick *t, const struct gf_sample *recorded)
{
	uint64_t *sum = arg;

	(void)recorded;
	/* everything that a tick says, to the last bit */
	for (size_t i = 0; i < t->events * sizeof *t->event; i++)
		*sum = *sum * 1099511628211ull ^ ((const uint8_t *)t->event)[i];
	for (size_t i = 0; i < t->verdicts * sizeof *t->verdict; i++)
		*sum = *sum * 1099511628211ull ^ ((const uint8_t *)t->verdict)[i];
	for (size_t i = 0; i < t->rules * sizeof *t->view; i++)
		*sum = *sum * 1099511628211ull ^ ((const uint8_t *)t->view)[i];
	return true;
}

static void test_outcome(void **state)
{
	struct gf_image_header *img = compile("rule mem if mem.available < 60% for 3s then SIGTERM largest then after 5s SIGKILL cooldown 10s\n"
					      "rule never if anon > 90% then log\n"
					      "rule blind if load.5 > 1 then log\n"),
			       *pressed = compile("rule pressure if mem.available < 60% then log");
	struct made m;
	struct gf_outcome o;
	uint64_t sum[2] = { 1, 1 };

	(void)state;
	for (int i = 0; i < 2; i++) {
		make(&m, family, 6);
		m.fails = 20;
		struct gf_outcome_opts opts = { .model = { .acts = true, .term_never = true }, .pressure = pressed, .watch = quiet, .watch_arg = &sum[i] };
		assert_int_equal(gf_outcome_run(&m.f, img, &opts, &o, NULL), 0);
		assert_int_equal(o.ticks, TICKS);
		assert_int_equal(o.stale, 1);
		/* under 600 MiB from tick 21 on, in truth: 10 has 100 + 10 a tick, others 86 from tick 9 on */
		assert_true(o.rule[0].actions >= 1);
		assert_int_equal(o.event[o.events - 1].kind == GF_EV_ACTION || o.event[o.events - 1].kind == GF_EV_HELD_BACK, 1);
		assert_int_equal(o.rule[1].actions, 0);
		assert_true(o.rule[1].close > 0.2 && o.rule[1].close < 1);
		assert_int_equal(o.rule[1].close_pid, 10);
		assert_int_equal(o.rule[2].ticks_unknown, o.rule[2].ticks);
		assert_int_equal(o.victims, o.rule[0].actions);
		assert_true(o.pressure_ns >= 2 * SEC);
		assert_int_equal(o.event[0].wall_ns, o.event[0].now_ns + 1700000000 * SEC);
		gf_outcome_deinit(&o);
		unmake(&m);
	}
	assert_int_equal(sum[0], sum[1]);
	assert_int_not_equal(sum[0], 1);
	free(img);
	free(pressed);
}

/* From each sample in which it is true to the next one; not over one that failed, nor a hole. */
static void test_true_for(void **state)
{
	static const struct who grows[] = { { 1, 0, 0, 99, 1, 0, 0 }, { 10, 1, 5, 9, 500, 0, 0 }, { 11, 1, 30, 99, 500, 0, 0 } };
	struct gf_image_header *img = compile("rule mem if mem.available < 60% then log");

	(void)state;
	for (int table = 0; table < 2; table++)
		for (unsigned fails = 0; fails < 8; fails += 7) {
			struct gf_outcome_opts opts = { .model = { .acts = true }, .pressure = img, .table = table != 0 };
			struct gf_outcome o;
			struct made m;
			make(&m, grows, 3);
			m.fails = fails;
			assert_int_equal(gf_outcome_run(&m.f, img, &opts, &o, NULL), 0);
			/* ticks 5 to 8, of which 7 may fail; 30 to the last one, which is tick 40 */
			assert_int_equal(o.rule[0].true_ns, (fails ? 3 : 4) * SEC + 10 * SEC);
			assert_int_equal(o.rule[0].true_ns, o.pressure_ns);
			gf_outcome_deinit(&o);
			unmake(&m);
		}
	free(img);
}

/* With effects there is less to do than without. */
static void test_effect(void **state)
{
	struct gf_image_header *img = compile("rule mem if mem.available < 70% then SIGKILL largest cooldown 2s");
	struct gf_outcome_opts opts = { .model = { .acts = true } };
	struct made m;
	struct gf_outcome with, without;

	(void)state;
	make(&m, family, 6);
	assert_int_equal(gf_outcome_run(&m.f, img, &opts, &with, NULL), 0);
	opts.model.acts = false;
	assert_int_equal(gf_outcome_run(&m.f, img, &opts, &without, NULL), 0);
	assert_int_equal(with.actions, 1);
	assert_int_equal(with.victim[0].pid, 10);
	assert_true(without.actions > with.actions);
	gf_outcome_deinit(&with);
	gf_outcome_deinit(&without);
	free(img);
	unmake(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outcome), cmocka_unit_test(test_effect), cmocka_unit_test(test_true_for),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
