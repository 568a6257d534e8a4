/* SPDX-License-Identifier: MIT
 *
 * The GPU engine over the kernel module's region, with the (emulated) device at it by itself: a region made up in memory, in which a thread
 * of the test plays the module. What is decided while the host's thread stands still, what is refused, what goes away.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "compiler/compiler.h"
#include "gpu/dev_emu.h"
#include "gpu/engine.h"
#include "gpu/engine_gpu.h"
#include "targets/actuator.h"
#include "targets/kmod.h"
#include "targets/target.h"
#include "tests/helpers/fakemodule.h"
#include "tests/helpers/waits.h"
#include "tests/unit/imagetext.h"

#define MS 1000000ull
#define HOG "rule hog if comm == \"hog\" for 20ms then SIGKILL it\n"
#define PANICS "rule ends if mem.free < 1MiB then panic\n"

struct rig {
	struct fake_module m;
	struct gf_target *t;
	struct gf_engine *e;
	struct gf_actuator *a;
	struct gf_image_header *img;
	bool absent;
	struct told told;
	uint64_t frames, gaps, seq, handed; /* recorded: the device's, and what is missing between them; those that the host handed over */
};

/* The host's thread comes by here (--wrap), and can be kept. */
const struct gf_region *__real_gf_kmod_enter(struct gf_kmod *k);
const struct gf_region *__wrap_gf_kmod_enter(struct gf_kmod *k);
static bool stop_host, host_stopped;

const struct gf_region *__wrap_gf_kmod_enter(struct gf_kmod *k)
{
	while (__atomic_load_n(&stop_host, __ATOMIC_SEQ_CST)) {
		__atomic_store_n(&host_stopped, true, __ATOMIC_SEQ_CST);
		usleep(500);
	}
	__atomic_store_n(&host_stopped, false, __ATOMIC_SEQ_CST);
	return __real_gf_kmod_enter(k);
}

static void halt_host(bool halt)
{
	set(&stop_host, halt);
	for (int i = 0; i < 20000 && get(&host_stopped) != halt; i++)
		usleep(1000);
	assert_int_equal(get(&host_stopped), halt);
}

/* ---- the module ---- */

static int m_open(void *arg, uint32_t rows, uint32_t want, uint64_t period_ns, int *ret_fd, uint8_t **ret_map, uint64_t *ret_len, struct gf_err *err)
{
	struct rig *r = arg;

	(void)rows, (void)want, (void)period_ns;
	if (get(&r->absent))
		return gf_err_set(err, ENOENT, "no /dev/gpufas: the kernel module is not loaded");
	*ret_fd = 1000;
	*ret_map = r->m.f.p;
	*ret_len = r->m.f.len;
	return 0;
}

static int m_arm(void *arg, int fd, uint32_t flags)
{
	struct rig *r = arg;

	(void)fd;
	__atomic_store_n(&r->m.f.h->armed, flags, __ATOMIC_SEQ_CST);
	return 0;
}

static int m_kick(void *arg, int fd)
{
	(void)arg, (void)fd;
	return 0;
}

static void m_close(void *arg, int fd, uint8_t *map, uint64_t len)
{
	(void)arg, (void)fd, (void)map, (void)len;
}

/* ---- the engine ---- */

static bool decided(void *arg, const struct gf_sample *s, int rc, uint64_t fp, const struct gf_fieldset *has)
{
	struct rig *r = arg;

	(void)rc, (void)fp;
	if (!has) {
		r->handed++;
		return true;
	}
	r->gaps += r->frames ? s->seq - r->seq - 1 : 0;
	r->seq = s->seq;
	__atomic_fetch_add(&r->frames, 1, __ATOMIC_SEQ_CST);
	return true;
}

static void begin(struct rig *r, const char *policy)
{
	static struct gf_kmod_dev dev;
	const struct gf_engine_opts o = { .period_ns = 2 * MS, .budget_n = 100, .budget_window_ns = 1000 * MS, .kind = GF_ENGINE_GPU,
					  .decided = decided, .decided_arg = r };
	const struct gf_actuator_opts ao = { .tell_ns = 10000 * MS };
	struct gf_err err = { "" };

	gf_emu.life_ns = 20000 * MS; /* this machine may have other things to do */
	fake_make(&r->m.f, 77);
	dev = (struct gf_kmod_dev){ m_open, m_arm, m_kick, m_close, r };
	struct gf_host_opts h = { .sampler = GF_SAMPLER_KMOD, .max_tasks = 256, .module = true, .kmod = &dev, .period_ns = 2 * MS };
	fake_module_begin(&r->m);
	r->img = image_of_text(policy, GF_TARGET_HOST, MS, NULL);
	if (gf_host_create(&h, &r->t, &err) || gf_engine_create(r->t, r->img, &o, &r->e, &err))
		fail_msg("%s", err.text);
	gf_kmod_arm(gf_host_kmod(r->t), GPUFAS_ARM_ACT | GPUFAS_ARM_PANIC);
	assert_int_equal(gf_actuator_create(&ao, gf_engine_verdict_fd(r->e), engine_source, &r->e, told_sink, &r->told, &r->a, &err), 0);
	gf_engine_host_actuator(r->e, r->a);
	assert_int_equal(gf_engine_start(r->e, NULL), 0);
}

static void end(struct rig *r)
{
	gf_engine_stop(r->e);
	gf_actuator_destroy(r->a);
	gf_engine_destroy(r->e);
	gf_target_destroy(r->t);
	fake_module_end(&r->m);
	free(r->m.f.p);
	free(r->img);
	assert_int_equal(gf_emu.used, 0);
	assert_int_equal(gf_emu.enrolled, 0);
	gf_emu = (struct gf_emu){ .devices = 1, .memory = 1ull << 40 };
}

static struct gf_engine_stats stats(struct rig *r) { return engine_stats(r->e); }
static bool until(bool (*what)(void *of, uint64_t a), struct rig *r, uint64_t a) { return wait_until(r->e, what, r, a); }

static bool alone(void *r, uint64_t a) { return stats(r).alone == a; }
static bool ticked(void *r, uint64_t n) { return stats(r).ticks >= n; }
static bool lives(void *r, uint64_t n) { return stats(r).live == n; }
static bool got(void *of, uint64_t n)
{
	struct rig *r = of;

	return __atomic_load_n(&r->m.gots, __ATOMIC_SEQ_CST) >= n;
}
static bool framed(void *of, uint64_t n) { return __atomic_load_n(&((struct rig *)of)->frames, __ATOMIC_SEQ_CST) >= n; }
static bool stale(void *r, uint64_t n) { return stats(r).stale == n; }

static bool told(void *r, uint64_t n) { return told_of(&((struct rig *)r)->told, n); }

/* The device has the region, and has seen who is there. */
static void begin_alone(struct rig *r, const char *policy)
{
	begin(r, policy);
	assert_true(until(alone, r, 1));
	assert_true(until(lives, r, 2));
}

/* ---- tests ---- */

/* The host's thread stands: the device samples, decides, and has it done. Afterwards the host tells what has been. */
static void host_stands(void **state)
{
	struct rig r = { .absent = false };
	uint64_t handed;

	(void)state;
	begin_alone(&r, HOG);
	assert_true(until(framed, &r, 1));
	halt_host(true);
	handed = r.handed;
	set(&r.m.hog, true);
	assert_true(until(got, &r, 1));
	assert_true(get(&host_stopped));
	assert_int_equal(r.m.got[0].pid, 500);
	assert_int_equal(r.m.got[0].start_ns, 6000000);
	assert_int_equal(r.m.got[0].action, GPUFAS_SIGNAL);
	assert_int_equal(r.m.got[0].arg, SIGKILL);
	assert_int_equal(r.m.got[0].flags, 0);
	assert_true(r.m.got[0].deadline_ns > r.m.f.h->now_ns - 400 * MS && r.m.got[0].deadline_ns < r.m.f.h->now_ns + 1000 * MS);
	assert_true(r.m.slot[0] >= FAKE_SLOTS / 2); /* the first half is the host's */
	assert_false(told(&r, 1));
	/* once: the victim is gone, and nobody else is touched */
	usleep(100000);
	assert_int_equal(r.m.gots, 1);
	halt_host(false);
	assert_true(until(told, &r, 1));
	assert_int_equal(r.told.result[0].pid, 500);
	assert_int_equal(r.told.result[0].how, GF_HOW_MODULE);
	assert_int_equal(r.told.result[0].became, GF_BECAME_DELIVERED);
	assert_int_equal(r.told.result[0].error, 0);
	assert_true(r.told.result[0].exit_us != GF_NONE);
	assert_int_equal(r.m.garbled, 0);
	assert_int_equal(stats(&r).takeovers, 0);
	/* What the device decided on meanwhile is recorded, all of it; what the host samples beside it is not. */
	gf_engine_stop(r.e);
	assert_true(r.frames > 20);
	assert_int_equal(r.gaps, 0);
	assert_int_equal(stats(&r).unrecorded, 0);
	assert_int_equal(r.handed, handed);
	end(&r);
}

static void module_refuses(void **state)
{
	struct rig r = { .m.refuse = GPUFAS_WHY_IDENTITY };

	(void)state;
	begin_alone(&r, HOG);
	set(&r.m.hog, true);
	assert_true(until(told, &r, 1));
	assert_int_equal(r.told.result[0].became, GF_BECAME_REFUSED);
	assert_int_equal(r.told.result[0].why, GF_REF_IDENTITY);
	assert_int_equal(r.told.result[0].how, GF_HOW_MODULE);
	assert_int_equal(r.told.result[0].error, -ESTALE);
	end(&r);
}

/* What the mailbox does not take the host is left with: here it finds that there is no such process. */
static void not_armed(void **state)
{
	struct rig r = { .absent = false };

	(void)state;
	begin_alone(&r, HOG);
	gf_kmod_arm(gf_host_kmod(r.t), 0);
	set(&r.m.hog, true);
	assert_true(until(told, &r, 1));
	assert_int_equal(r.told.result[0].how, GF_HOW_CALL);
	assert_int_equal(r.m.gots, 0);
	end(&r);
}

/* Registering is refused: the host hands tables over, as it does without a module. */
static void not_registered(void **state)
{
	struct rig r = { .absent = false };

	(void)state;
	gf_emu.no_enroll = 1;
	begin(&r, HOG);
	assert_true(until(ticked, &r, 20));
	assert_true(until(lives, &r, 2));
	assert_false(stats(&r).alone);
	assert_non_null(strstr(stats(&r).ring_why, "cannot reach the kernel module's memory"));
	assert_int_equal(stats(&r).kind, GF_ENGINE_GPU);
	set(&r.m.hog, true);
	assert_true(until(told, &r, 1));
	assert_int_equal(stats(&r).takeovers, 0);
	end(&r);
}

/* Of a sampler of guests only what makes rows of records is there: without the tree's levels, kept words, texts. */
static void small(void **state)
{
	const struct gf_fieldset all = { .host = ~0ull, .task = ~0ull, .str = (1u << GF_SF_COUNT) - 1, .paths = GF_MAX_PATHS };
	struct gf_sampler *v = calloc(1, sizeof *v);
	struct gf_sample s;
	struct rig r = { .absent = false };
	size_t whole = gf_sampler_layout(v, &s, 256, &all, NULL);
	uint64_t used;

	(void)state;
	begin_alone(&r, HOG);
	used = gf_emu.used;
	end(&r);
	assert_true(used < GF_GPU_STRINGS + whole);
	print_message("# %llu KiB of device memory for 256 tasks; a guest's sampler alone has %zu\n", (unsigned long long)used >> 10, whole >> 10);
	free(v);
}

/* The region is given up, and another one comes. */
static void module_goes(void **state)
{
	struct rig r = { .absent = false };

	(void)state;
	begin_alone(&r, HOG);
	set(&r.absent, true);
	__atomic_store_n(&r.m.f.h->state, GPUFAS_DEAD, __ATOMIC_SEQ_CST);
	assert_true(until(alone, &r, 0));
	assert_int_equal(stats(&r).kind, GF_ENGINE_GPU);
	r.m.f.h->instance = 78;
	__atomic_store_n(&r.m.f.h->state, GPUFAS_SAMPLING, __ATOMIC_SEQ_CST);
	set(&r.absent, false);
	assert_true(until(alone, &r, 1));
	assert_true(until(lives, &r, 2));
	set(&r.m.hog, true);
	assert_true(until(got, &r, 1));
	assert_int_equal(stats(&r).takeovers, 0);
	end(&r);
}

/* A table that stands is no sample; one with a record that cannot be is not acted on. */
static void module_lies(void **state)
{
	struct rig r = { .absent = false };

	(void)state;
	begin_alone(&r, HOG);
	halt_host(true); /* which would go another way */
	set(&r.m.wild, true);
	set(&r.m.hog, true);
	usleep(200000);
	assert_int_equal(r.m.gots, 0);
	halt_host(false);
	end(&r);

	r = (struct rig){ .absent = false };
	begin_alone(&r, HOG);
	set(&r.m.passes, false);
	assert_true(until(stale, &r, 1));
	assert_int_equal(r.m.gots, 0);
	end(&r);
}

/* The policy's last resort. The host asks whether it is allowed (here nobody allows it); only where it does not even take it, it is asked for. */
static void last_resort(void **state)
{
	struct rig r = { .absent = false };

	(void)state;
	begin_alone(&r, PANICS);
	halt_host(true);
	__atomic_store_n(&r.m.mem_free, 1000, __ATOMIC_SEQ_CST);
	assert_true(until(got, &r, 1));
	assert_int_equal(r.m.got[0].action, GPUFAS_PANIC);
	assert_int_equal(r.m.got[0].pid, 0);
	halt_host(false);
	end(&r);

	r = (struct rig){ .absent = false };
	begin_alone(&r, PANICS);
	__atomic_store_n(&r.m.mem_free, 1000, __ATOMIC_SEQ_CST);
	assert_true(until(told, &r, 1));
	assert_int_equal(r.told.result[0].why, GF_REF_NOT_ALLOWED);
	usleep(3500000);
	assert_int_equal(r.m.gots, 0);
	end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_stands),
		cmocka_unit_test(module_refuses),
		cmocka_unit_test(not_armed),
		cmocka_unit_test(not_registered),
		cmocka_unit_test(small),
		cmocka_unit_test(module_goes),
		cmocka_unit_test(module_lies),
		cmocka_unit_test(last_resort),
	};

	gf_dev_backend = &gf_dev_emu;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
