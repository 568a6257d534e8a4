/* SPDX-License-Identifier: MIT
 *
 * GPU engines over guests on one (emulated) device, while everything happens to them that may, in any order: reloads, other shapes, guests that come,
 * go and pause, engines that end and begin. STORM_SECONDS=N makes it longer, SEED=N another, with STORM_FAILS=1 the device fails, too.
 */
#include "tests/unit/deviceguest.h"

#include <stdlib.h>

#define GUESTS 2u

static const char *const policies[] = {
	"rule stops if comm == \"victim\" then SIGSTOP it then after 20ms SIGCONT settle 1ms cooldown 1ms\n",
	"rule stops if comm == \"victim\" then SIGSTOP it then after 1h SIGCONT settle 1h\nrule noise if mem.total > 1MiB then log settle 1ms cooldown 1ms\n",
	"rule many if rss > 1KiB then SIGTERM tree of largest settle 1ms cooldown 3ms\n",
	"rule held if rss > 1KiB for 10ms then log cooldown 1ms\nrule x if cmdline ~ \"p*\" then log cooldown 1ms\n",
	"rule never if mem.total < 1MiB then log\n",
};
#define POLICIES (sizeof policies / sizeof *policies)

struct one {
	struct guest g;
	bool paused, running, observes;
};

static struct gf_image_header *image[POLICIES];
static uint64_t seed;

static uint32_t some(uint32_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % n;
}

static void begin_one(struct one *o, enum gf_gpu_mode mode)
{
	static const uint32_t pages[GF_RSS_PARTS] = { 100, 200, 30, 4 };
	uint32_t n = some(100);

	memset(o, 0, sizeof *o);
	begin(&o->g, policies[some(POLICIES)], mode);
	for (uint32_t i = 0; i < n; i++)
		fake_process(o->g.f, 1000 + i, "p", pages);
	o->running = true;
}

static void end_one(struct one *o)
{
	gf_engine_destroy(o->g.e);
	gf_target_destroy(&o->g.vm->t);
	fake_free(o->g.f);
	free(o->g.img[0]);
}

static void reshape(struct gf_engine *e)
{
	static const uint32_t n[] = { 1, 400, 700, 4000 };
	struct gf_gpu_host *h = __atomic_load_n(&e->gpu, __ATOMIC_ACQUIRE);
	struct gf_err err = { "" };

	/* (the emulator takes one that follows at a time) */
	if (!h || !h->persistent || h->launches != h->gpu->launches + 1)
		return;
	h->shaped_ns = 0;
	h->calm_ns = 1;
	assert_int_equal(gf_gpu_reshape(e, h, n[some(4)], gf_engine_clock(CLOCK_MONOTONIC), &err), 0);
}

static void happens(struct one *o, uint32_t what)
{
	struct guest *g = &o->g;
	struct gf_err err = { "" };

	switch (what) {
	case 0: case 1:
		publish(g);
		gf_vm_reap(g->vm);
		break;
	case 2:
		gf_vm_retire(g->vm);
		break;
	case 3: case 4:
		gf_vm_set_paused(g->vm, o->paused = !o->paused);
		break;
	case 5: case 6: case 7:
		if (gf_engine_swap(g->e, image[some(POLICIES)], &err))
			fail_msg("%s", err.text);
		break;
	case 8: case 9:
		if (o->running)
			reshape(g->e);
		break;
	case 10:
		if (o->running)
			gf_engine_stop(g->e);
		else
			assert_int_equal(gf_engine_start(g->e, NULL), 0);
		o->running = !o->running;
		break;
	case 11:
		gf_engine_set_observe(g->e, o->observes = !o->observes);
		break;
	case 12: {
		struct gf_rule_view v[8];
		uint64_t fp;
		gf_engine_rules(g->e, v, 8, &fp);
		break;
	}
	default:
		break;
	}
}

static void drain(struct guest *g)
{
	static struct gf_event ev[256];
	static struct gf_verdict v[256];

	while (gf_engine_events(g->e, ev, 256) == 256)
		;
	while (gf_engine_verdicts(g->e, v, 256) == 256)
		;
}

static bool well(void *of, uint64_t n)
{
	struct guest *g = of;

	drain(g);
	return ticked(g, n) && stats(g).live >= 22 && !stats(g).stale;
}

/* It goes on as if nothing had been. */
static void goes_on(struct one *o)
{
	if (!o->running)
		assert_int_equal(gf_engine_start(o->g.e, NULL), 0);
	gf_vm_set_paused(o->g.vm, false);
	publish(&o->g);
	assert_true(until(well, &o->g, stats(&o->g).ticks + 5));
	gf_vm_reap(o->g.vm);
}

static void storm(enum gf_gpu_mode mode, uint64_t ns, bool fails)
{
	uint64_t until = gf_engine_clock(CLOCK_MONOTONIC) + ns;
	struct one o[GUESTS];

	gf_emu = (struct gf_emu){ .devices = 1, .memory = 1ull << 40, .multiprocessors = 132, .cluster = 16, 
				.lanes = 1 + some(3), .life_ns = fails ? 500 * MS : 60000 * MS, .slice = 1u << (17 + some(6)) };
	for (uint32_t i = 0; i < GUESTS; i++)
		begin_one(&o[i], mode);
	while (gf_engine_clock(CLOCK_MONOTONIC) < until) {
		struct one *one = &o[some(GUESTS)];
		happens(one, some(14));
		if (fails && !some(40)) {
			if (some(2))
				gf_emu.hung = true;
			else
				gf_emu.failed = true;
			usleep(some(1000000));
			gf_emu.hung = gf_emu.failed = false;
		}
		drain(&one->g);
		if (some(3))
			usleep(some(8000));
	}
	for (uint32_t i = 0; i < GUESTS; i++) {
		goes_on(&o[i]);
		if (!fails && stats(&o[i].g).kind != GF_ENGINE_GPU)
			fail_msg("%s", stats(&o[i].g).why);
	}
	for (uint32_t i = 0; i < GUESTS; i++)
		end_one(&o[i]);
	if (fails)
		return;
	assert_int_equal(gf_emu.used, 0);
	assert_int_equal(gf_emu.enrolled, 0);
}

static void all(void **state)
{
	uint64_t s = (uint64_t)atoi(getenv("STORM_SECONDS") ? getenv("STORM_SECONDS") : "3");
	bool fails = getenv("STORM_FAILS");

	(void)state;
	for (int mode = 0; mode <= GF_GPU_RELAY; mode++)
		storm((enum gf_gpu_mode)mode, s * SEC_NS / 3, fails);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(all) };
	int rc;

	seed = getenv("SEED") ? (uint64_t)atoll(getenv("SEED")) : 1;
	gf_dev_backend = &gf_dev_emu;
	for (uint32_t i = 0; i < POLICIES; i++)
		image[i] = image_of_text(policies[i], GF_TARGET_VM, MS, NULL);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	for (uint32_t i = 0; i < POLICIES; i++)
		free(image[i]);
	return rc;
}
