/* SPDX-License-Identifier: MIT
 *
 * The GPU engine over a guest that the (emulated) device samples by itself: a made-up kernel, published as its keeper would. What is long,
 * what is refused, what goes away in the middle.
 */
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

static const struct gf_image_header *compile(struct guest *g, const char *policy)
{
	g->img[g->images] = image_of_text(policy, GF_TARGET_VM, MS, NULL);
	return g->img[g->images++];
}

static int try_begin(struct guest *g, const char *policy, enum gf_engine_kind kind, enum gf_gpu_mode mode, struct gf_err *err)
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

static void begin(struct guest *g, const char *policy, enum gf_gpu_mode mode)
{
	struct gf_err err = { "" };

	if (try_begin(g, policy, GF_ENGINE_GPU, mode, &err))
		fail_msg("%s", err.text);
	assert_int_equal(gf_engine_start(g->e, NULL), 0);
}

static void publish(struct guest *g)
{
	gf_vm_publish(g->vm, fake_guest(g->f));
}

static void end(struct guest *g)
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

static struct gf_engine_stats stats(struct guest *g) { return engine_stats(g->e); }
static bool until(bool (*what)(void *of, uint64_t a), struct guest *g, uint64_t a) { return wait_until(NULL, what, g, a); }

static bool sampled(void *g, uint64_t live) { return stats(g).live == live; }
static bool ticked(void *g, uint64_t n) { return stats(g).ticks >= n; }
static bool on_cpu(void *g, uint64_t n) { return n == 0 && stats(g).kind == GF_ENGINE_CPU; }
static bool registers(void *g, uint64_t n) { (void)g; return __atomic_load_n(&gf_emu.enrollments, __ATOMIC_RELAXED) >= n; }

static bool verdict(void *of, uint64_t sig)
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

static void watches(void **state)
{
	(void)state;
	for (int mode = 0; mode < 2; mode++) {
		struct guest g;
		begin(&g, STOPS, (enum gf_gpu_mode)mode);
		publish(&g);
		assert_true(until(sampled, &g, 22));
		assert_true(until(verdict, &g, SIGSTOP));
		end(&g);
	}
}

/* A tick longer than the host's patience: the device says that it lives. */
static void long_tick(void **state)
{
	struct guest g;
	uint64_t n;
	struct fake_task t;
	static const uint32_t some[GF_RSS_PARTS] = { 100, 200, 30, 4 };

	(void)state;
	gf_emu.life_ns = 1000 * MS;
	begin(&g, "rule r if cpu > 90% for 1s then log\n", serving);
	t = fake_process(g.f, 900, "many", some);
	for (uint32_t i = 0; i < 3500; i++)
		fake_thread(g.f, &t, 1000 + i, 900);
	publish(&g);
	assert_true(until(sampled, &g, 23));
	gf_emu.pulse_us = 900000;
	n = gf_emu.pulses;
	for (int i = 0; i < 20000 && gf_emu.pulses < n + 3; i++)
		usleep(1000);
	assert_true(gf_emu.pulses >= n + 3);
	gf_emu.pulse_us = 0;
	n = stats(&g).ticks;
	assert_true(until(ticked, &g, n + 5));
	assert_int_equal(stats(&g).kind, GF_ENGINE_GPU);
	assert_string_equal(stats(&g).why, "");
	assert_true(stats(&g).total_max_ns > 1000 * MS);
	end(&g);
}

/* One that is told to rest, or to end, while another is there already to follow it in another shape: its tick is not left half done. */
static void long_tick_ends(void **state)
{
	static const uint32_t some[GF_RSS_PARTS] = { 100, 200, 30, 4 };
	struct gf_err err = { "" };
	struct gf_gpu_host *h;
	struct fake_task t;
	struct guest g;
	uint64_t n;

	(void)state;
	gf_emu.multiprocessors = 132;
	gf_emu.cluster = 16;
	begin(&g, "rule r if cpu > 90% for 1s then log\n" NOISE, serving);
	h = g.e->gpu;
	t = fake_process(g.f, 900, "many", some);
	for (uint32_t i = 0; i < 3500; i++)
		fake_thread(g.f, &t, 1000 + i, 900);
	publish(&g);
	assert_true(until(sampled, &g, 23));
	gf_emu.pulse_us = 100000;
	n = gf_emu.pulses;
	for (int i = 0; i < 20000 && gf_emu.pulses < n + 3; i++)
		usleep(1000);
	n = h->gpu->ticks;
	assert_int_equal(gf_gpu_reshape(g.e, h, 700, gf_engine_clock(CLOCK_MONOTONIC), &err), 0);
	assert_int_equal(h->launches, h->gpu->launches + 2);
	gf_engine_stop(g.e);
	gf_emu.pulse_us = 0;
	assert_int_equal(stats(&g).kind, GF_ENGINE_GPU);
	assert_true(h->gpu->ticks > n);
	assert_int_equal(h->gpu->tick_out.events_n, 0);
	end(&g);
}

/* And one that says nothing is given up, while its guest is looked at again and again. */
static void hangs(void **state)
{
	struct guest g;

	(void)state;
	gf_emu.life_ns = 1000 * MS;
	begin(&g, STOPS, serving);
	publish(&g);
	assert_true(until(verdict, &g, SIGSTOP));
	gf_emu.hung = true;
	assert_true(until(on_cpu, &g, 0));
	assert_non_null(strstr(stats(&g).why, "heart"));
	gf_emu.hung = false;
	usleep(100000); /* it ends */
	end(&g);
}

static bool told_guest(void *of, uint64_t n) { return __atomic_load_n(&((struct guest *)of)->e->gpu->in->guest, __ATOMIC_ACQUIRE) > n; }

/* It was booted anew, its RAM is the same: until the device has said that it has let go of what was there, nothing is stored by that. */
static void other_guest(void **state)
{
	const struct gf_gpu_in *in;
	struct guest g;
	uint64_t n;

	(void)state;
	gf_emu.life_ns = 20000 * MS;
	begin(&g, STOPS, serving);
	publish(&g);
	assert_true(until(verdict, &g, SIGSTOP));
	in = g.e->gpu->in;
	n = in->guest;
	gf_emu.hung = true;
	usleep(10000);
	publish(&g);
	assert_true(until(told_guest, &g, n));
	assert_true(__atomic_load_n(&in->paused, __ATOMIC_RELAXED));
	gf_emu.hung = false;
	assert_true(until(verdict, &g, SIGSTOP));
	assert_false(__atomic_load_n(&in->paused, __ATOMIC_RELAXED));
	assert_int_equal(stats(&g).kind, GF_ENGINE_GPU);
	end(&g);
}

static void *wakes(void *arg)
{
	(void)arg;
	usleep(1500000);
	gf_emu.hung = false;
	return NULL;
}

/* A device is given its time for its first kernel, too. */
static void late(void **state)
{
	pthread_t thread;
	struct guest g;

	(void)state;
	gf_emu.life_ns = 20000 * MS;
	gf_emu.hung = true;
	assert_int_equal(pthread_create(&thread, NULL, wakes, NULL), 0);
	begin(&g, STOPS, serving);
	pthread_join(thread, NULL);
	assert_int_equal(stats(&g).kind, GF_ENGINE_GPU);
	end(&g);
}

/* A rule goes away between its SIGSTOP and its SIGCONT, while others change what is kept in every tick, and the host is slow: its victim is let go. */
static void reload_lets_go(void **state)
{
	struct guest g;

	(void)state;
	begin(&g, STOPS NOISE, serving);
	publish(&g);
	assert_true(until(verdict, &g, SIGSTOP));
	sample_us = 100000; /* fifty ticks */
	assert_int_equal(gf_engine_swap(g.e, compile(&g, NOISE "rule other if mem.total < 1MiB then log\n"), NULL), 0);
	sample_us = 0;
	assert_true(until(verdict, &g, SIGCONT));
	assert_int_equal(stats(&g).kind, GF_ENGINE_GPU);
	end(&g);
}

/* Registering a large guest takes long: neither its end, nor a reload, nor the engine's stop waits for it. */
static void registering(void **state)
{
	struct guest g;
	uint32_t slices = RAM / (64u << 10), n;

	(void)state;
	for (int what = 0; what < 3; what++) {
		gf_emu.slice = 64u << 10;
		gf_emu.enroll_us = 20000;
		begin(&g, STOPS, serving);
		publish(&g);
		assert_true(until(registers, &g, 2));
		if (what == 1)
			assert_int_equal(gf_engine_swap(g.e, compile(&g, NOISE), NULL), 0);
		if (what == 2) {
			gf_vm_retire(g.vm);
			n = gf_emu.enrollments + 20;
			for (int i = 0; i < 20000 && (gf_emu.enrolled || gf_vm_guest(&g.vm->t, &(struct gf_err){ "" })); i++)
				usleep(1000);
			assert_true(gf_emu.enrollments < n);
			gf_emu.enroll_us = 0;
			publish(&g);
			assert_true(until(verdict, &g, SIGSTOP));
			gf_vm_reap(g.vm);
			assert_int_equal(stats(&g).kind, GF_ENGINE_GPU);
		} else {
			gf_engine_stop(g.e);
			assert_true(gf_emu.enrollments < slices);
		}
		end(&g);
	}
}

/* At each piece: the CPU takes over, says why, and nothing stays registered. */
static void refused(void **state)
{
	(void)state;
	for (uint32_t n = 1; n <= 4; n++) {
		struct guest g;
		gf_emu.slice = RAM / 4;
		gf_emu.no_enroll = n;
		begin(&g, STOPS, serving);
		publish(&g);
		assert_true(until(on_cpu, &g, 0));
		assert_non_null(strstr(stats(&g).why, "cannot be registered"));
		assert_int_equal(gf_emu.enrolled, 0);
		assert_true(until(verdict, &g, SIGSTOP));
		end(&g);
	}
}

/* No memory at each of the places where some is asked for: a sentence, the CPU, and all is given back. */
static void no_memory(void **state)
{
	struct gf_err err = { "" };
	struct guest g;
	uint32_t n;

	(void)state;
	for (n = 1; n < 1000; n++) {
		gf_emu.no_memory = n;
		assert_int_equal(try_begin(&g, STOPS NOISE, GF_ENGINE_AUTO, serving, &err), 0);
		if (stats(&g).kind == GF_ENGINE_GPU)
			break;
		if (!strstr(stats(&g).why, "no memory") && !strstr(stats(&g).why, "out of memory"))
			fail_msg("allocation %u: \"%s\"", n, stats(&g).why);
		publish(&g);
		assert_int_equal(gf_engine_start(g.e, NULL), 0);
		assert_true(until(verdict, &g, SIGSTOP));
		end(&g);
	}
	assert_true(n > 5);
	/* and for what a guest needs, and a reload */
	gf_emu.no_memory = gf_emu.allocations + 1;
	assert_int_equal(gf_engine_start(g.e, NULL), 0);
	publish(&g);
	assert_true(until(on_cpu, &g, 0));
	assert_non_null(strstr(stats(&g).why, "no memory"));
	assert_true(until(verdict, &g, SIGSTOP));
	end(&g);
}

/* Somebody punches a hole into the guest's memory, as a balloon does: the GPU would not see what comes there next. */
static void hole(bool filled)
{
	const struct gf_ram_piece piece = { 0, RAM, 0 };
	struct gf_err err = { "" };
	struct gf_guest *gg;
	struct guest g;
	char path[] = "/dev/shm/gpufas-hole-XXXXXX";
	/* (of what its maker does to a memfd new kernels do not tell) */
	int fd = filled ? mkstemp(path) : memfd_create("ram", MFD_CLOEXEC);
	char *map;

	begin(&g, STOPS, serving);
	assert_int_equal(ftruncate(fd, RAM), 0);
	for (uint32_t at = 0; at < RAM; at += 4096)
		assert_int_equal(pwrite(fd, "x", 1, at), 1);
	map = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	gg = fake_guest(g.f);
	assert_int_equal(gf_ramfile_map(fd, "ram", &piece, 1, false, &gg->ram, &err), 0);
	gf_vm_publish(g.vm, gg);
	assert_true(until(sampled, &g, 22));
	for (int i = 0; i < 20000 && !(g.e->gpu->seat && __atomic_load_n(&g.e->gpu->seat->allocated, __ATOMIC_RELAXED)); i++)
		usleep(1000);
	for (uint32_t at = 0; at < RAM; at += 4096) /* a guest's own stores are none */
		map[at]++;
	usleep(120000);
	assert_int_equal(stats(&g).kind, GF_ENGINE_GPU);
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, RAM / 2, 8192), 0);
	if (filled) /* as a guest does, by a mapping */
		memset(map + RAM / 2, 'y', 8192);
	assert_true(until(on_cpu, &g, 0));
	assert_non_null(strstr(stats(&g).why, "balloon"));
	if (filled)
		unlink(path);
	munmap(map, RAM);
	close(fd);
	end(&g);
}

static void balloon(void **state)
{
	(void)state;
	hole(false);
}

/* There is as much memory as before at the next look; but it is another. */
static void balloon_filled(void **state)
{
	(void)state;
	hole(true);
}

/* Where a tick's time goes is written to a file, if that is asked for; and how many calls a tick takes in which nobody comes or goes. */
static void profile(void **state)
{
	char path[] = "/tmp/gpufas-profile-XXXXXX", line[256];
	double calls = 0;
	int fd = mkstemp(path), sampled_at = 0, clean = 0, lines = 0;
	struct guest g;
	FILE *f;

	(void)state;
	assert_true(fd >= 0);
	setenv("GPUFAS_GPU_PROFILE", path, 1);
	begin(&g, "rule r if rss > 1GiB or rate(rss, 1s) > 1GiB/s for 1s then log\n", serving);
	publish(&g);
	assert_true(until(sampled, &g, 22));
	assert_true(until(ticked, &g, stats(&g).ticks + 400));
	end(&g);
	unsetenv("GPUFAS_GPU_PROFILE");
	f = fdopen(fd, "r");
	while (fgets(line, sizeof line, f)) {
		sampled_at += strstr(line, "sample: read") != NULL;
		clean += strstr(line, "ticks of 22 tasks") != NULL;
		sscanf(line, "# %*[^;]; %d lines of memory a task", &lines);
		sscanf(line, "together %lf", &calls);
	}
	fclose(f);
	unlink(path);
	assert_int_equal(sampled_at, 1);
	assert_int_equal(clean, 1);
	/* task_struct of the made-up kernel, signal_struct, mm, cred; task, signal once more */
	if (lines < 6 || lines > 30)
		fail_msg("%d lines a task", lines);
	/* a tree of four levels: 9, then 4 for rules, 1 for what is told */
	if (calls < 5 || calls > 14.5)
		fail_msg("%g calls a tick", calls);
}

/* The host was stopped between its look and its clock: an answer that is there by then counts, however late it is. */
static uint64_t word;
static int polls;

static int slow_poll(struct gf_dev_run *r, struct gf_err *err)
{
	(void)r;
	(void)err;
	usleep(20000);
	word = 1;
	return polls++ > 0;
}

static void forget(struct gf_dev_run *r)
{
	(void)r;
}

static void stopped_host(void **state)
{
	const struct gf_dev_ops slow = { .poll = slow_poll, .forget = forget };
	struct gf_gpu_host h = { .ops = &slow, .run = (struct gf_dev_run *)(void *)&word };
	struct gf_err err = { "" };

	(void)state;
	assert_int_equal(gf_gpu_answered(&h, &word, 1, 5 * MS, &err), 0);
	polls = 0;
	assert_int_equal(gf_gpu_ended(&h, 5 * MS, &err), 0);
	assert_null(h.run);
	/* and none that never comes */
	assert_int_equal(gf_gpu_answered(&h, &word, 2, 5 * MS, &err), -EIO);
}

static int relay(void **state)
{
	(void)state;
	serving = GF_GPU_RELAY;
	return 0;
}

static int persistent(void **state)
{
	(void)state;
	serving = GF_GPU_PERSISTENT;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(watches),
		cmocka_unit_test(long_tick),
		cmocka_unit_test(long_tick_ends),
		cmocka_unit_test(hangs),
		cmocka_unit_test(other_guest),
		cmocka_unit_test(late),
		cmocka_unit_test(reload_lets_go),
		cmocka_unit_test(registering),
		cmocka_unit_test(refused),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(balloon), cmocka_unit_test(balloon_filled),
		cmocka_unit_test(stopped_host),
		cmocka_unit_test(profile),
		/* the device launches each tick itself */
		{ "relay: watches", watches, relay, persistent, NULL },
		{ "relay: long_tick", long_tick, relay, persistent, NULL },
		{ "relay: long_tick_ends", long_tick_ends, relay, persistent, NULL },
		{ "relay: hangs", hangs, relay, persistent, NULL },
		{ "relay: reload_lets_go", reload_lets_go, relay, persistent, NULL },
		{ "relay: registering", registering, relay, persistent, NULL },
		{ "relay: balloon", balloon, relay, persistent, NULL },
		{ "relay: stopped_host", stopped_host, relay, persistent, NULL },
	};

	gf_dev_backend = &gf_dev_emu;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
