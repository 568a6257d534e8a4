/* SPDX-License-Identifier: MIT
 *
 * The GPU engine over a guest that the (emulated) device samples by itself: a made-up kernel, published as its keeper would. The test is to be linked with
 * --wrap=gf_vm_sample.
 */
#ifndef GPUFAS_TEST_DEVICEGUEST_H
#define GPUFAS_TEST_DEVICEGUEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "compiler/compiler.h"
#include "gpu/dev_emu.h"
#include "gpu/engine.h"
#include "gpu/engine_gpu.h"
#include "targets/ramfile.h"
#include "targets/vm_int.h"
#include "tests/helpers/fakekernel.h"
#include "tests/helpers/waits.h"
#include "tests/unit/imagetext.h"

#define MS 1000000ull
#define RAM (16u << 20)
#define NOISE "rule noise if mem.total > 1MiB then log settle 1ms cooldown 1ms\n"
#define STOPS "rule stops if comm == \"victim\" then SIGSTOP it then after 1h SIGCONT settle 1h\n"

struct guest {
	struct fake *f;
	struct gf_vm *vm;
	struct gf_engine *e;
	struct gf_image_header *img[4];
	uint32_t images;
};

static const struct gf_target_ops ops = {
	.kind = "vm", .sample = gf_vm_sample, .set_fields = gf_vm_set_fields, .set_paths = gf_vm_set_paths,
	.describe = gf_vm_describe, .destroy = gf_vm_unmake,
};

/* The library's calls of it come here (--wrap): what is slow on the host can be made slow. */
int __real_gf_vm_sample(struct gf_target *t, struct gf_err *err);
int __wrap_gf_vm_sample(struct gf_target *t, struct gf_err *err);
static uint32_t sample_us;
static enum gf_gpu_mode serving = GF_GPU_PERSISTENT;

int __wrap_gf_vm_sample(struct gf_target *t, struct gf_err *err)
{
	usleep(sample_us);
	return __real_gf_vm_sample(t, err);
}

static inline const struct gf_image_header *compile(struct guest *g, const char *policy)
{
	g->img[g->images] = image_of_text(policy, GF_TARGET_VM, MS, NULL);
	return g->img[g->images++];
}

static inline int try_begin(struct guest *g, const char *policy, enum gf_engine_kind kind, enum gf_gpu_mode mode, struct gf_err *err)
{
	const struct gf_engine_opts o = { .period_ns = 2 * MS, .budget_n = 100, .budget_window_ns = 1000 * MS, .kind = kind, .gpu = { .mode = mode } };
	static const uint32_t some[GF_RSS_PARTS] = { 100, 200, 30, 4 };

	memset(g, 0, sizeof *g);
	if (!gf_emu.life_ns)
		gf_emu.life_ns = 20000 * MS; /* this machine may have other things to do */
	g->f = fake_new(RAM, 1, 0);
	fake_process(g->f, 1, "init", some);
	for (uint32_t i = 0; i < 20; i++)
		fake_process(g->f, 100 + 3 * i, "p", some);
	fake_process(g->f, 500, "victim", some);
	assert_int_equal(gf_vm_make(&(struct gf_vm_opts){ .name = "g", .max_tasks = 256 }, &ops, &g->vm, err), 0);
	return gf_engine_create(&g->vm->t, compile(g, policy), &o, &g->e, err);
}

static inline void begin(struct guest *g, const char *policy, enum gf_gpu_mode mode)
{
	struct gf_err err = { "" };

	if (try_begin(g, policy, GF_ENGINE_GPU, mode, &err))
		fail_msg("%s", err.text);
	assert_int_equal(gf_engine_start(g->e, NULL), 0);
}

static inline void publish(struct guest *g)
{
	gf_vm_publish(g->vm, fake_guest(g->f));
}

static inline void end(struct guest *g)
{
	gf_engine_destroy(g->e);
	gf_target_destroy(&g->vm->t);
	fake_free(g->f);
	for (uint32_t i = 0; i < g->images; i++)
		free(g->img[i]);
	assert_int_equal(gf_emu.used, 0);
	assert_int_equal(gf_emu.enrolled, 0);
	gf_emu = (struct gf_emu){ .devices = 1, .memory = 1ull << 40 };
	sample_us = 0;
}

static inline struct gf_engine_stats stats(struct guest *g) { return engine_stats(g->e); }
static inline bool until(bool (*what)(void *of, uint64_t a), struct guest *g, uint64_t a) { return wait_until(NULL, what, g, a); }

static inline bool sampled(void *g, uint64_t live) { return stats(g).live == live; }
static inline bool ticked(void *g, uint64_t n) { return stats(g).ticks >= n; }
static inline bool on_cpu(void *g, uint64_t n) { return n == 0 && stats(g).kind == GF_ENGINE_CPU; }
static inline bool registers(void *g, uint64_t n) { (void)g; return __atomic_load_n(&gf_emu.enrollments, __ATOMIC_RELAXED) >= n; }

static inline bool verdict(void *of, uint64_t sig)
{
	struct guest *g = of;
	struct gf_event ev[64];
	struct gf_verdict v[64];
	size_t n;
	bool seen = false;

	gf_engine_events(g->e, ev, 64);
	for (n = gf_engine_verdicts(g->e, v, 64); n--;)
		seen |= v[n].action == GF_ACT_SIGNAL && v[n].pid == 500 && v[n].arg == (int)sig;
	return seen;
}

static inline int relay(void **state)
{
	(void)state;
	serving = GF_GPU_RELAY;
	return 0;
}

static inline int persistent(void **state)
{
	(void)state;
	serving = GF_GPU_PERSISTENT;
	return 0;
}

#endif
