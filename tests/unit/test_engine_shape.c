/* SPDX-License-Identifier: MIT
 *
 * How many blocks a target gets on an emulated device, and on which of several.
 */
#include "tests/unit/gpurig.h"

static uint32_t blocks_now(struct gf_engine *e)
{
	struct gf_engine_stats st;

	gf_engine_stats(e, &st);
	return st.gpu_blocks;
}

/* How many blocks a target of so many processes gets where nobody says so. */
static void blocks_chosen(void **state)
{
	static const struct {
		uint32_t tasks, multiprocessors, cluster, targets, devices;
		enum gf_gpu_mode mode;
		uint32_t want;
	} of[] = {
		{ 3000, 132, 16, 0, 1, GF_GPU_PERSISTENT, 16 }, { 2999, 132, 16, 1, 1, GF_GPU_PERSISTENT, 8 }, { 599, 132, 16, 1, 1, GF_GPU_PERSISTENT, 4 },
		{ 299, 132, 16, 1, 1, GF_GPU_PERSISTENT, 1 }, { 3000, 132, 8, 1, 1, GF_GPU_PERSISTENT, 8 }, { 3000, 132, 0, 1, 1, GF_GPU_PERSISTENT, 4 },
		/* kernels stay: all of them must find room */
		{ 3000, 132, 16, 8, 1, GF_GPU_PERSISTENT, 16 }, { 3000, 132, 16, 9, 1, GF_GPU_PERSISTENT, 8 }, { 3000, 132, 16, 17, 1, GF_GPU_PERSISTENT, 4 },
		{ 3000, 132, 16, 16, 2, GF_GPU_PERSISTENT, 16 }, { 3000, 132, 16, 200, 1, GF_GPU_PERSISTENT, 1 }, { 3000, 8, 16, 1, 1, GF_GPU_PERSISTENT, 8 },
		/* what the device launches has no other blocks that meet, and few */
		{ 3000, 132, 0, 1, 1, GF_GPU_RELAY, 1 }, { 3000, 132, 16, 1, 1, GF_GPU_RELAY, 4 },
	};
	struct gf_image_header *img = make_image(1, SIGSTOP);
	struct fake *f = make_tasks();

	(void)state;
	for (uint32_t i = 0; i < sizeof of / sizeof *of; i++) {
		struct gf_engine_opts o = { .period_ns = 10 * MS, .kind = GF_ENGINE_GPU, .gpu = { .mode = of[i].mode, .targets = of[i].targets } };
		struct gf_err err = { "" };
		struct gf_engine *e;
		uint32_t got;
		gf_emu.devices = (int)of[i].devices;
		gf_emu.multiprocessors = of[i].multiprocessors;
		gf_emu.cluster = of[i].cluster;
		if (gf_engine_create(&f->t, img, &o, &e, &err))
			fail_msg("case %u: %s", i, err.text);
		assert_int_equal(blocks_now(e), 1); /* nobody has been seen yet */
		got = gf_gpu_shape(e, e->gpu, of[i].tasks);
		if (got != of[i].want)
			fail_msg("case %u: %u blocks, not %u", i, got, of[i].want);
		gf_engine_destroy(e);
	}
	gf_target_destroy(&f->t);
	free(img);
	gf_emu.devices = 1;
	gf_emu.multiprocessors = gf_emu.cluster = 0;
}

static void wait_blocks(struct gf_engine *e, uint32_t n)
{
	for (int i = 0; i < 20000 && blocks_now(e) != n; i++)
		usleep(1000);
	assert_int_equal(blocks_now(e), n);
	assert_true(on_gpu(e));
	wait_ticks(e, 5);
}

/* They change with the processes that there are, between two ticks, while it serves. */
static void blocks_changed(void **state)
{
	(void)state;
	gf_emu.multiprocessors = 132;
	gf_emu.cluster = 16;
	blocks = 0;
	for (int mode = 0; mode <= GF_GPU_RELAY; mode++) {
		struct life l = { .f = fake_new(1024), .img = make_image(1, SIGSTOP) };
		for (uint32_t i = 0; i < 700; i++)
			fake_task(l.f, i);
		l.f->step_ns = 10 * MS;
		l.e = make_engine(l.f, l.img, 10 * MS, GF_ENGINE_GPU, (enum gf_gpu_mode)mode);
		l.e->gpu->calm_ns = 100 * MS;
		assert_int_equal(gf_engine_start(l.e, NULL), 0);
		wait_blocks(l.e, mode == GF_GPU_RELAY ? 4 : 8);
		gf_engine_stop(l.e);
		for (uint32_t i = 100; i < 700; i++)
			fake_gone(l.f, i);
		assert_int_equal(gf_engine_start(l.e, NULL), 0);
		wait_blocks(l.e, 1);
		life_end(&l);
	}
	blocks = 1;
	gf_emu.multiprocessors = gf_emu.cluster = 0;
}

static struct life many_begin(void)
{
	struct life l = { .f = fake_new(1024), .img = make_image(1, SIGSTOP) };

	gf_emu.multiprocessors = 132;
	gf_emu.cluster = 16;
	blocks = 0;
	for (uint32_t i = 0; i < 700; i++)
		fake_task(l.f, i);
	l.f->step_ns = 10 * MS;
	l.e = make_engine(l.f, l.img, 10 * MS, GF_ENGINE_GPU, GF_GPU_PERSISTENT);
	return l;
}

static void many_end(struct life *l)
{
	life_end(l);
	blocks = 1;
	gf_emu.multiprocessors = gf_emu.cluster = 0;
}

/* A shape that is refused changes nothing. */
static void shape_refused(void **state)
{
	struct life l = many_begin();

	(void)state;
	gf_emu.no_follow = EAGAIN;
	assert_int_equal(gf_engine_start(l.e, NULL), 0);
	wait_ticks(l.e, 50);
	assert_int_equal(blocks_now(l.e), 1);
	assert_true(on_gpu(l.e));
	gf_emu.no_follow = 0;
	wait_blocks(l.e, 8);
	many_end(&l);
}

/* One that fails half way costs the device, since nobody knows what it would run next: the CPU goes on, from the tick that was run. */
static void shape_failed(void **state)
{
	struct life l = many_begin();

	(void)state;
	gf_emu.no_follow = EIO;
	assert_int_equal(gf_engine_start(l.e, NULL), 0);
	for (int i = 0; i < 10000 && on_gpu(l.e); i++)
		usleep(1000);
	assert_false(on_gpu(l.e));
	assert_true(heard(l.e, "its kernel cannot be started"));
	wait_ticks(l.e, 20);
	gf_emu.no_follow = 0;
	many_end(&l);
}

/* One that is never placed costs a takeover, once: the next reload tries the GPU without it. */
static void shape_lost(void **state)
{
	struct life l = many_begin();
	struct gf_image_header *next = make_image(1, SIGSTOP);

	(void)state;
	assert_int_equal(gf_engine_start(l.e, NULL), 0);
	wait_blocks(l.e, 8);
	gf_emu.hung = true;
	for (int i = 0; i < 10000 && on_gpu(l.e); i++)
		usleep(1000);
	assert_false(on_gpu(l.e));
	gf_emu.hung = false;
	usleep(100000); /* it ends */
	assert_int_equal(gf_engine_swap(l.e, next, NULL), 0);
	free(l.img);
	l.img = next;
	assert_true(on_gpu(l.e));
	usleep(1200000);
	wait_ticks(l.e, 20);
	assert_true(on_gpu(l.e));
	assert_int_equal(blocks_now(l.e), 1);
	many_end(&l);
}

/* What rules know stays: the CPU, which has no shape, says the same tick by tick. */
static void same_in_any_shape(void **state)
{
	struct pair p;

	(void)state;
	gf_emu.multiprocessors = 132;
	gf_emu.cluster = 16;
	blocks = 0;
	pair_begin(&p, GF_GPU_LAUNCH);
	p.e[1]->gpu->calm_ns = 1;
	for (uint32_t i = 0, n = ROWS; i < 90; i++) {
		if (i % 10 == 5)
			both(&p, low, i % 20 == 5 ? 100 : 1);
		for (; i >= 30 && i < 60 && n > 100; n--)
			both(&p, leave, n - 1);
		for (; i >= 60 && n < ROWS; n++)
			both(&p, come, n);
		if (i == 30 || i == 60)
			usleep(1100000); /* not more often than once a second */
		pair_tick(&p);
		assert_int_equal(blocks_now(p.e[1]), i >= 30 && i < 60 ? 1 : 4);
	}
	assert_true(p.events > 3);
	assert_true(p.verdicts > 3);
	assert_true(on_gpu(p.e[1]));
	pair_end(&p);
	blocks = 1;
	gf_emu.multiprocessors = gf_emu.cluster = 0;
}

/* Of several devices a new engine goes to the one with the fewest; of those that may be used. */
static void spread(void **state)
{
	struct life l[4];
	struct gf_gpu_info info[4];
	struct gf_engine_stats st;

	(void)state;
	gf_emu.devices = 3;
	for (int i = 0; i < 4; i++) {
		l[i] = life_begin(20 * MS, GF_GPU_PERSISTENT);
		gf_engine_stats(l[i].e, &st);
		assert_int_equal(st.gpu_device, i % 3);
	}
	assert_int_equal(gf_gpu_list(info, 4, NULL), 3);
	assert_int_equal(info[0].targets, 2);
	assert_int_equal(info[2].targets, 1);
	for (int i = 0; i < 4; i++)
		wait_ticks(l[i].e, 3);
	for (int i = 0; i < 4; i++) {
		gf_engine_destroy(l[i].e);
		gf_target_destroy(&l[i].f->t);
		free(l[i].img);
	}
	assert_int_equal(gf_gpu_list(info, 4, NULL), 3);
	assert_int_equal(info[0].targets, 0);
	assert_int_equal(gf_emu.used, 0);
	gf_emu.devices = 1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_chosen), cmocka_unit_test(blocks_changed), cmocka_unit_test(same_in_any_shape), cmocka_unit_test(shape_refused),
		cmocka_unit_test(shape_failed), cmocka_unit_test(shape_lost), cmocka_unit_test(spread),
	};

	gf_dev_backend = &gf_dev_emu;
	gf_emu.life_ns = S;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
