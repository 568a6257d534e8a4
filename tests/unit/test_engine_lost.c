/* SPDX-License-Identifier: MIT
 *
 * Whatever an emulated device does wrong ends with the CPU engine going on, and a reload tries it again.
 */
#include "tests/unit/gpurig.h"

/* Whatever happens to the device, the CPU goes on: with the same ticks, in the rule's second step. */
static void taken_over(volatile bool *what, enum gf_gpu_mode mode, const char *why)
{
	struct life l = life_begin(10 * MS, mode);
	struct gf_engine_stats st;
	struct gf_verdict v[64];
	uint64_t before;
	size_t n, stops = 0, conts = 0;
	uint32_t spent;

	for (int i = 0; i < 1000 && !stops; i++) {
		usleep(2000);
		for (n = gf_engine_verdicts(l.e, v, 64); n--;)
			stops += v[n].arg == SIGSTOP;
	}
	assert_true(stops);
	wait_ticks(l.e, 1);
	gf_engine_stats(l.e, &st);
	spent = st.budget_used;
	assert_true(spent);
	before = ticks(l.e);
	*what = true;
	for (int i = 0; i < 3000 && on_gpu(l.e); i++)
		usleep(1000);
	assert_false(on_gpu(l.e));
	wait_ticks(l.e, 5);
	gf_engine_stats(l.e, &st);
	assert_true(st.ticks > before);
	assert_int_equal(st.takeovers, 1);
	assert_true(st.budget_used >= spent); /* nothing is given back within a minute */
	assert_non_null(strstr(st.why, why));
	assert_true(heard(l.e, "was given up"));
	for (int i = 0; i < 3000 && conts < stops; i++) {
		for (n = gf_engine_verdicts(l.e, v, 64); n--;)
			conts += v[n].arg == SIGCONT;
		usleep(1000);
	}
	assert_int_equal(conts, stops);
	*what = false;
	usleep(20000);
	life_end(&l);
}

static void hangs(void **state)
{
	(void)state;
	taken_over(&gf_emu.hung, GF_GPU_PERSISTENT, "not answered");
}

static void fails(void **state)
{
	(void)state;
	taken_over(&gf_emu.failed, GF_GPU_PERSISTENT, "illegal memory access");
}

static void fails_launched(void **state)
{
	(void)state;
	taken_over(&gf_emu.failed, GF_GPU_LAUNCH, "illegal memory access");
}

static void relays(void **state)
{
	(void)state;
	taken_over(&gf_emu.hung, GF_GPU_RELAY, "not answered");
	taken_over(&gf_emu.failed, GF_GPU_RELAY, "illegal memory access");
}

/* A reload tries it again: what the device was is known to the CPU, and goes back with it. One that still fails is said to. */
static void tried_again(void **state)
{
	struct gf_engine_stats st;
	struct gf_verdict v[64];
	size_t n, stops, conts;

	(void)state;
	for (int how = 0; how < 3; how++) {
		struct life l = life_begin(10 * MS, GF_GPU_PERSISTENT);
		struct gf_image_header *next = make_image(1, SIGSTOP); /* the same rule: its state stays */
		for (stops = conts = 0; !stops;) {
			usleep(2000);
			for (n = gf_engine_verdicts(l.e, v, 64); n--;)
				stops += v[n].arg == SIGSTOP;
		}
		*(how ? &gf_emu.failed : &gf_emu.hung) = true;
		for (int i = 0; i < 10000 && on_gpu(l.e); i++)
			usleep(1000);
		assert_false(on_gpu(l.e));
		gf_engine_stats(l.e, &st);
		assert_non_null(strstr(st.why, "`gpufasctl reload` tries it again"));
		if (how < 2) {
			gf_emu.failed = gf_emu.hung = false;
			usleep(100000); /* its kernel ends */
		}
		assert_int_equal(gf_engine_swap(l.e, next, NULL), 0);
		gf_engine_stats(l.e, &st);
		assert_int_equal(st.kind, how < 2 ? GF_ENGINE_GPU : GF_ENGINE_CPU);
		assert_true(how < 2 ? !st.why[0] : strstr(st.why, "could not be had again") && strstr(st.why, "`gpufasctl reload` tries it again"));
		wait_ticks(l.e, 20);
		/* who was stopped is let go, now or when the step is due */
		for (int i = 0; i < 3000 && conts < stops; i++) {
			for (n = gf_engine_verdicts(l.e, v, 64); n--;)
				conts += v[n].arg == SIGCONT;
			usleep(1000);
		}
		assert_true(conts >= stops);
		assert_int_equal(on_gpu(l.e), how < 2);
		gf_engine_stop(l.e); /* what the policy is of is freed first */
		free(l.img);
		l.img = next;
		gf_emu.failed = false;
		life_end(&l);
	}
}

static void set_rss(struct fake *f, double v)
{
	for (uint32_t i = 0; i < ROWS; i++)
		f->t.sample.col[GF_TF_RSS][i] = v;
}

static void ticks_by_hand(struct life *l, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(gf_engine_tick(l->e, NULL), 0);
}

/* What the CPU knew when it went on for a device the first time is not what it knows when it does so again: meanwhile the device has looked. */
static void given_up_twice(void **state)
{
	static const char text[] = "rule latch if mem.available < 1000B until mem.available > 3000B then log\n"
				   "rule hold if mem.available < 2500B for 1s then log\n"
				   "rule window if delta(rss, 1s) > 1000B then log\n"
				   "rule most if max(rss, 1s) > 1000000B then log\n";
	struct life l = { .f = make_tasks(), .img = image_of_text(text, GF_TARGET_HOST, 100 * MS, NULL) };
	struct gf_image_header *next = image_of_text(text, GF_TARGET_HOST, 100 * MS, NULL);

	(void)state;
	l.e = make_engine(l.f, l.img, 100 * MS, GF_ENGINE_GPU, GF_GPU_LAUNCH);
	low(l.f, 5000);
	set_rss(l.f, 100);
	ticks_by_hand(&l, 3);
	gf_emu.failed = true;
	low(l.f, 500);
	ticks_by_hand(&l, 15);
	assert_false(on_gpu(l.e));
	assert_int_equal(l.e->st->rule[0].truth, GF_TRUE);
	assert_int_equal(l.e->st->rule[1].truth, GF_TRUE);
	set_rss(l.f, 2e6);
	ticks_by_hand(&l, 1);
	assert_int_equal(l.e->st->rule[2].truth, GF_TRUE);
	gf_emu.failed = false;
	usleep(100000); /* its kernel ends */
	assert_int_equal(gf_engine_swap(l.e, next, NULL), 0);
	assert_true(on_gpu(l.e));
	low(l.f, 5000);
	set_rss(l.f, 3000);
	ticks_by_hand(&l, 15);
	gf_emu.failed = true;
	low(l.f, 2000);
	set_rss(l.f, 5000);
	ticks_by_hand(&l, 1);
	assert_false(on_gpu(l.e));
	assert_int_equal(l.e->st->rule[0].truth, GF_FALSE);
	for (uint32_t i = 1; i < 4; i++)
		assert_int_not_equal(l.e->st->rule[i].truth, GF_TRUE);
	ticks_by_hand(&l, 15);
	assert_int_equal(l.e->st->rule[0].truth, GF_FALSE);
	assert_int_equal(l.e->st->rule[1].truth, GF_TRUE);
	set_rss(l.f, 9000);
	ticks_by_hand(&l, 1);
	assert_int_equal(l.e->st->rule[2].truth, GF_TRUE);
	assert_int_equal(l.e->st->rule[3].truth, GF_FALSE);
	gf_emu.failed = false;
	free(l.img);
	l.img = next;
	life_end(&l);
}

static void lose(struct life *l)
{
	gf_emu.failed = true;
	for (int i = 0; i < 10000 && on_gpu(l->e); i++)
		usleep(1000);
	assert_false(on_gpu(l->e));
	gf_emu.failed = false;
}

/* A reload, by a policy that is the same: what runs the ticks then, and what status says. */
static void reloaded(struct life *l, bool gpu, const char *why)
{
	struct gf_image_header *next = make_image(1, SIGKILL), *old = l->img;
	struct gf_engine_stats st;

	l->img = next;
	assert_int_equal(gf_engine_swap(l->e, next, NULL), 0);
	gf_engine_stats(l->e, &st);
	free(old);
	assert_int_equal(st.kind, gpu ? GF_ENGINE_GPU : GF_ENGINE_CPU);
	if (!why)
		assert_string_equal(st.why, "");
	else if (!strstr(st.why, why))
		fail_msg("%s lacks %s", st.why, why);
}

/* Three reloads in a row that come to nothing, and it is left alone; one that works for a while ends the row, however often it has been lost. */
static void tried_three_times(void **state)
{
	struct life l = life_begin(10 * MS, GF_GPU_PERSISTENT);
	struct gf_engine_stats st;

	(void)state;
	for (int i = 0; i < 6; i++) {
		l.e->gpu->proven_ns = 0;
		lose(&l);
		reloaded(&l, true, NULL);
		wait_ticks(l.e, 3);
	}
	lose(&l); /* within the minute: the try before was in vain */
	for (int i = 1; i < 3; i++) {
		gf_emu.failed = true;
		reloaded(&l, false, i < 2 ? "`gpufasctl reload` tries it again" : "restart gpufasd to use it again");
		gf_emu.failed = false;
	}
	reloaded(&l, false, "restart gpufasd to use it again"); /* though it is well */
	gf_engine_stats(l.e, &st);
	assert_int_equal(st.takeovers, 7); /* a try is none */
	assert_true(heard(l.e, "restart gpufasd"));
	wait_ticks(l.e, 3);
	life_end(&l);
}

static int created(enum gf_engine_kind kind, struct gf_engine **ret, struct gf_err *err, struct fake *f, struct gf_image_header *img)
{
	struct gf_engine_opts o = { .period_ns = 10 * MS, .kind = kind };

	return gf_engine_create(&f->t, img, &o, ret, err);
}

/* What keeps a device from being used: an error where it must be one, else a reason. */
static void no_device(void **state)
{
	struct fake *f = make_tasks();
	struct gf_image_header *img = make_image(1, SIGSTOP);
	struct gf_engine *e = NULL;
	struct gf_err err = { "" };
	struct gf_engine_stats st;

	(void)state;
	for (int i = 0; i < 3; i++) {
		gf_emu.devices = i != 0;
		gf_emu.busy = i == 1;
		gf_emu.memory = i == 2 ? 1 << 20 : 1ull << 40;
		assert_true(created(GF_ENGINE_GPU, &e, &err, f, img) < 0);
		assert_non_null(strstr(err.text, i == 0 ? "no device" : i == 1 ? "exclusive" : "no memory"));
		assert_int_equal(created(GF_ENGINE_AUTO, &e, &err, f, img), 0);
		gf_engine_stats(e, &st);
		assert_int_equal(st.kind, GF_ENGINE_CPU);
		assert_string_not_equal(st.why, "");
		assert_int_equal(gf_engine_tick(e, NULL), 0);
		gf_engine_destroy(e);
		assert_int_equal(gf_emu.used, 0);
	}
	gf_emu.devices = 1;
	gf_emu.busy = false;
	gf_emu.memory = 1ull << 40;
	assert_int_equal(created(GF_ENGINE_CPU, &e, &err, f, img), 0);
	gf_engine_stats(e, &st);
	assert_string_equal(st.why, "");
	gf_engine_destroy(e);
	gf_target_destroy(&f->t);
	free(img);
}

/* A policy for which the device has no room is run by the CPU, and the reload is none that failed. */
static void no_room_for_a_reload(void **state)
{
	struct life l = life_begin(10 * MS, GF_GPU_PERSISTENT);
	struct gf_image_header *next = make_image(7, SIGSTOP);
	struct gf_engine_stats st;

	(void)state;
	wait_ticks(l.e, 3);
	gf_emu.memory = gf_emu.used;
	assert_int_equal(gf_engine_swap(l.e, next, NULL), 0);
	wait_ticks(l.e, 3);
	gf_engine_stats(l.e, &st);
	assert_int_equal(st.kind, GF_ENGINE_CPU);
	assert_int_equal(st.image_fp, 7);
	assert_non_null(strstr(st.why, "no room"));
	gf_emu.memory = 1ull << 40;
	free(l.img);
	l.img = next;
	life_end(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hangs), cmocka_unit_test(fails), cmocka_unit_test(fails_launched), cmocka_unit_test(relays),
		cmocka_unit_test(given_up_twice), cmocka_unit_test(tried_again), cmocka_unit_test(tried_three_times), cmocka_unit_test(no_device),
		cmocka_unit_test(no_room_for_a_reload),
	};

	gf_dev_backend = &gf_dev_emu;
	gf_emu.life_ns = S;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
