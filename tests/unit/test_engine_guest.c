/* SPDX-License-Identifier: MIT
 *
 * The GPU engine over a guest that the (emulated) device samples by itself: a made-up kernel, published as its keeper would. What is long,
 * what is refused, what goes away in the middle.
 */
#include "tests/unit/deviceguest.h"

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

static bool full(void *of, uint64_t n) { return __atomic_load_n(&((struct guest *)of)->e->gpu->out->verdicts_head, __ATOMIC_ACQUIRE) >= n; }

/* Nobody takes verdicts for a while: then rules wait, and none is lost. */
static void verdicts_wait(void **state)
{
	static const uint32_t some[GF_RSS_PARTS] = { 100, 200, 30, 4 };
	static struct gf_verdict v[4096];
	struct guest g;
	uint64_t head;
	size_t n, got = 0;

	(void)state;
	begin(&g, "rule all if comm == \"p\" then SIGTERM user of largest settle 1ms cooldown 1ms observe\n", serving);
	for (uint32_t i = 0; i < 200; i++)
		fake_process(g.f, 1000 + i, "p", some);
	publish(&g);
	assert_true(until(full, &g, 2 * GF_GPU_VERDICTS - 500));
	assert_true(until(ticked, &g, stats(&g).ticks + 50));
	assert_int_equal(stats(&g).verdicts_dropped, 0);
	head = g.e->gpu->out->verdicts_head;
	assert_true(head <= 2 * GF_GPU_VERDICTS);
	for (int i = 0; i < 20000 && got <= head; i++) {
		while ((n = gf_engine_verdicts(g.e, v, 4096)))
			got += n;
		usleep(1000);
	}
	assert_true(got > head);
	assert_int_equal(stats(&g).verdicts_dropped, 0);
	assert_int_equal(stats(&g).kind, GF_ENGINE_GPU);
	end(&g);
}

/* Its clock goes back by an hour: what was to be done then is done now. */
static void clock_back(void **state)
{
	const uint64_t hour = 3600 * SEC_NS;
	struct gf_gpu *d;
	struct guest g;

	(void)state;
	begin(&g, STOPS, serving);
	publish(&g);
	assert_true(until(sampled, &g, 22));
	d = g.e->gpu->gpu;
	gf_emu.hung = true;
	usleep(50000); /* a tick ends meanwhile */
	/* (as if it had been in that hour) */
	gf_gpu_tell(&d->ticked_ns, gf_now_ns() + hour);
	gf_gpu_tell(&d->next_ns, gf_now_ns() + hour);
	gf_gpu_tell(&d->wake_ns, gf_now_ns() + hour);
	gf_emu.hung = false;
	assert_true(until(ticked, &g, stats(&g).ticks + 20));
	assert_true(d->wake_ns < gf_now_ns() + hour / 2);
	end(&g);
}

static int never(struct gf_dev_run *r, struct gf_err *err)
{
	(void)r;
	(void)err;
	return 0;
}

/* Another target's kernel does not end: memory cannot be given back, so the device cannot go on to the next guest. The CPU does. */
static void stuck_neighbour(void **state)
{
	const struct gf_dev_ops stuck = { .poll = never };
	struct gf_gpu_host h = { .ops = &stuck, .run = (struct gf_dev_run *)(void *)&h, .in = &(struct gf_gpu_in){ .stop = UINT64_MAX } };
	struct guest g;
	bool there;

	(void)state;
	gf_emu.life_ns = 20000 * MS;
	pthread_mutex_init(&h.lock, NULL);
	begin(&g, STOPS, serving);
	publish(&g);
	assert_true(until(verdict, &g, SIGSTOP));
	gf_gpu_fleet_join(&h);
	publish(&g);
	there = until(on_cpu, &g, 0);
	gf_gpu_fleet_leave(&h); /* it is gone with this function, whatever comes */
	assert_true(there);
	assert_non_null(strstr(stats(&g).why, "does not end"));
	assert_true(until(ticked, &g, stats(&g).ticks + 5));
	assert_true(until(sampled, &g, 22));
	assert_false(stats(&g).stale);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(watches),
		cmocka_unit_test(long_tick),
		cmocka_unit_test(long_tick_ends),
		cmocka_unit_test(hangs),
		cmocka_unit_test(other_guest),
		cmocka_unit_test(late),
		cmocka_unit_test(stuck_neighbour),
		cmocka_unit_test(verdicts_wait),
		cmocka_unit_test(clock_back),
		cmocka_unit_test(reload_lets_go),
		cmocka_unit_test(registering),
		cmocka_unit_test(refused),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(stopped_host),
		cmocka_unit_test(profile),
		/* the device launches each tick itself */
		{ "relay: watches", watches, relay, persistent, NULL },
		{ "relay: long_tick", long_tick, relay, persistent, NULL },
		{ "relay: long_tick_ends", long_tick_ends, relay, persistent, NULL },
		{ "relay: clock_back", clock_back, relay, persistent, NULL },
		{ "relay: hangs", hangs, relay, persistent, NULL },
		{ "relay: reload_lets_go", reload_lets_go, relay, persistent, NULL },
		{ "relay: registering", registering, relay, persistent, NULL },
		{ "relay: stopped_host", stopped_host, relay, persistent, NULL },
	};

	gf_dev_backend = &gf_dev_emu;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
