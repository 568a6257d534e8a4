/* SPDX-License-Identifier: MIT
 *
 * The GPU engine over an emulated device says, bit for bit, what the CPU engine says of the same tables, and lives. With GF_TEST_DEV the same over that
 * device.
 */
#include "tests/unit/gpurig.h"

#ifdef GF_TEST_DEV
struct gf_emu gf_emu; /* nobody looks at it */
#else
#define GF_TEST_DEV gf_dev_emu
#endif

static void scenario(enum gf_gpu_mode mode)
{
	struct pair p;

	pair_begin(&p, mode);
	for (uint32_t i = 0; i < 60; i++) {
		if (i % 10 == 5)
			both(&p, low, i % 20 == 5 ? 100 : 1);
		if (i % 7 == 3)
			both(&p, leave, ROWS - 1 - i / 7);
		if (i % 7 == 6)
			both(&p, come, ROWS - 1 - i / 7);
		if (i == 30 || i == 45) {
			p.img[p.images] = make_image(i, i == 30 ? SIGSTOP : SIGKILL);
			for (int e = 0; e < 2; e++)
				assert_int_equal(gf_engine_swap(p.e[e], p.img[p.images], NULL), 0);
			p.images++;
		}
		if (i == 50 || i == 55)
			for (int e = 0; e < 2; e++)
				gf_engine_set_observe(p.e[e], i == 50);
		pair_tick(&p);
	}
	assert_true(p.events > 3);
	assert_true(p.verdicts > 3);
	assert_true(on_gpu(p.e[1]));
	pair_end(&p);
}

static void same_launched(void **state)
{
	(void)state;
	scenario(GF_GPU_LAUNCH);
}

static void same_on_lanes(void **state)
{
	static const uint32_t shape[][2] = { { 1, 32 }, { 1, 1024 }, { 2, 256 }, { 4, 512 } };

	(void)state;
	for (uint32_t i = 0; i < sizeof shape / sizeof *shape; i++) {
		gf_emu.lanes = i + 1;
		blocks = shape[i][0];
		threads = shape[i][1];
		scenario(GF_GPU_LAUNCH);
	}
	gf_emu.lanes = 0;
	blocks = 1;
	threads = 512;
}

static void lives(enum gf_gpu_mode mode)
{
	struct life l = life_begin(10 * MS, mode);
	struct gf_image_header *next = make_image(2, SIGSTOP);
	struct gf_rule_view v[4];
	struct gf_engine_stats st;
	uint64_t fp;

	gf_engine_rules(l.e, v, 4, &fp);
	wait_ticks(l.e, 80);
	assert_int_equal(gf_engine_rules(l.e, v, 4, &fp), 1);
	assert_int_equal(v[0].truth, GF_TRUE);
	assert_int_equal(gf_engine_swap(l.e, next, NULL), 0);
	wait_ticks(l.e, 10);
	gf_engine_stop(l.e);
	assert_int_equal(gf_engine_start(l.e, NULL), 0);
	wait_ticks(l.e, 10);
	gf_engine_stats(l.e, &st);
	assert_int_equal(st.kind, GF_ENGINE_GPU);
	assert_string_equal(st.why, "");
	assert_int_equal(st.image_fp, 2);
	free(l.img);
	l.img = next;
	life_end(&l);
}

/* First where each kernel is launched after the reload: a tool that knows only of memory from before a launch sees all of the reload there. */
static void runs_launched(void **state)
{
	(void)state;
	lives(GF_GPU_LAUNCH);
}

static void runs(void **state)
{
	(void)state;
	lives(GF_GPU_PERSISTENT);
}

static void runs_relayed(void **state)
{
	if (getenv("GPUFAS_NO_RELAY")) {
		print_message("# SKIP runs_relayed: under this tool a relay was seen not to come back\n");
		skip();
	}
	(void)state;
	lives(GF_GPU_RELAY);
}

/* Several on one device: one ends, is launched anew and ends while the others go on. */
static void beside(void **state)
{
	(void)state;
	if (getenv("GPUFAS_ONE_KERNEL")) {
		print_message("# SKIP beside: kernels are run one after the other here\n");
		skip();
	}
	for (int mode = 0; mode <= GF_GPU_RELAY; mode += GF_GPU_RELAY) {
		struct life a = life_begin(10 * MS, (enum gf_gpu_mode)mode), b = life_begin(10 * MS, (enum gf_gpu_mode)mode);
		wait_ticks(a.e, 10);
		wait_ticks(b.e, 10);
		for (int i = 0; i < 3; i++) {
			gf_engine_stop(a.e);
			wait_ticks(b.e, 10);
			assert_int_equal(gf_engine_start(a.e, NULL), 0);
			wait_ticks(a.e, 10);
		}
		assert_true(on_gpu(a.e) && on_gpu(b.e));
		gf_engine_destroy(a.e);
		gf_target_destroy(&a.f->t);
		free(a.img);
		wait_ticks(b.e, 20);
		assert_true(on_gpu(b.e));
		life_end(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_launched), cmocka_unit_test(same_on_lanes), cmocka_unit_test(runs_launched), cmocka_unit_test(runs),
		cmocka_unit_test(runs_relayed), cmocka_unit_test(beside),
	};

	gf_dev_backend = &GF_TEST_DEV;
	gf_emu.life_ns = S;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
