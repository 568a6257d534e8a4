/* SPDX-License-Identifier: MIT
 *
 * What becomes of a guest is told the device that samples it at once, also where its host's thread would look only after an hour: the real keeper
 * with a QEMU monitor of our own, the engine with the emulated device. In place of finding a kernel in memory the keeper is given a made-up one.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "gpu/dev_emu.h"
#include "gpu/engine.h"
#include "gpu/engine_gpu.h"
#include "targets/ramfile.h"
#include "targets/vm_keep_int.h"
#include "tests/helpers/fakekernel.h"
#include "tests/helpers/waits.h"
#include "tests/unit/fakeqmp.h"
#include "tests/unit/imagetext.h"

#define MS 1000000ull
#define HOUR_NS (3600 * SEC_NS)
#define RAM (4u << 20)
#define EVENT(name, data) "{\"event\": \"" name "\", \"data\": {" data "}}\r\n"

struct rig {
	struct fake *f;
	struct fakeqmp q;
	struct gf_target *t;
	struct gf_vm *vm;
	struct gf_image_header *img;
	struct gf_engine *e;
	char path[64]; /* of its RAM file: a name is what makes long pauses possible */
};

static struct rig *rig;
static atomic_bool boots, stays; /* the keeper finds a kernel; the one it has found is there still */

/* ---- what the keeper calls (--wrap) ------------------------------------------------ */

int __wrap_gf_vm_attach(struct gf_vm_keep *k, struct gf_guest **ret, bool *ret_paused, struct gf_err *err);
bool __wrap_gf_vm_started(const struct gf_guest *g);
bool __wrap_gf_kernel_still_there(const struct gf_kernel *k);

int __wrap_gf_vm_attach(struct gf_vm_keep *k, struct gf_guest **ret, bool *ret_paused, struct gf_err *err)
{
	const struct gf_ram_piece piece = { 0, 4096, 0 };
	struct gf_guest *g;
	int fd, rc;

	(void)k;
	if (!atomic_load(&boots))
		return gf_err_set(err, ENODATA, "there is no kernel yet");
	fd = open(rig->path, O_RDWR | O_CLOEXEC);
	g = fake_guest(rig->f);
	rc = gf_ramfile_map(fd, "ram", &piece, 1, true, &g->ram, err);
	close(fd);
	atomic_store(&stays, true);
	*ret_paused = false;
	*ret = g;
	return rc;
}

bool __wrap_gf_vm_started(const struct gf_guest *g)
{
	(void)g;
	return true;
}

bool __wrap_gf_kernel_still_there(const struct gf_kernel *k)
{
	(void)k;
	return atomic_load(&stays);
}

/* ---- the engine's thread, when it sleeps --------------------------------------------- */

int __real_ppoll(struct pollfd *p, nfds_t n, const struct timespec *ts, const sigset_t *mask);
int __wrap_ppoll(struct pollfd *p, nfds_t n, const struct timespec *ts, const sigset_t *mask);
static _Atomic(const char *) between; /* said by QEMU when the thread has looked, and before it sleeps */
static atomic_uint slept, woken;      /* times that it slept to the end, that it was woken */

static bool is_paused(void *of, uint64_t a) { return atomic_load(&((struct rig *)of)->vm->paused) == a; }

static void say(struct rig *r, const char *event)
{
	fake_send(atomic_load(&r->q.client), event, strlen(event));
}

int __wrap_ppoll(struct pollfd *p, nfds_t n, const struct timespec *ts, const sigset_t *mask)
{
	const char *event = atomic_exchange(&between, NULL);
	int rc;

	if (event) {
		say(rig, event);
		wait_until(NULL, is_paused, rig, true);
	}
	rc = __real_ppoll(p, n, ts, mask);
	atomic_fetch_add(rc > 0 ? &woken : &slept, 1);
	return rc;
}

/* For an hour. */
static bool asleep(void *of, uint64_t a)
{
	(void)a;
	return __atomic_load_n(&((struct rig *)of)->e->next_ns, __ATOMIC_RELAXED) > gf_engine_clock(CLOCK_MONOTONIC) + HOUR_NS / 2;
}

static bool slept_more(void *of, uint64_t n)
{
	(void)of;
	return atomic_load(&slept) >= n;
}

/* ---- what the device knows, and does -------------------------------------------------- */

static bool holds(void *of, uint64_t a) { (void)of; return !!__atomic_load_n(&gf_emu.enrolled, __ATOMIC_RELAXED) == a; }
static bool stands(void *of, uint64_t a) { return !!__atomic_load_n(&((struct rig *)of)->e->gpu->out->stale, __ATOMIC_RELAXED) == a; }

/* The device samples it: before its first tick it has said nothing. */
static bool sampled(void *of, uint64_t live)
{
	return gf_gpu_read(&((struct rig *)of)->e->gpu->out->live) == live && stands(of, false);
}

static const struct fake_answer answers[] = {
	{ "query-status", "{\"return\": {\"running\": false, \"status\": \"paused\"}, \"id\": #}\r\n" },
	{ NULL, NULL },
};

static void begin(struct rig *r)
{
	const struct gf_engine_opts o = { .period_ns = 2 * MS, .kind = GF_ENGINE_GPU, .gpu = { .mode = GF_GPU_PERSISTENT } };
	static const uint32_t some[GF_RSS_PARTS] = { 100, 200, 30, 4 };
	struct gf_err err = { "" };

	memset(r, 0, sizeof *r);
	rig = r;
	gf_emu.life_ns = 20 * SEC_NS; /* this machine may have other things to do */
	r->f = fake_new(RAM, 1, 0);
	fake_process(r->f, 1, "init", some);
	strcpy(r->path, "/dev/shm/gpufas-news-XXXXXX");
	int fd = mkstemp(r->path);
	assert_true(fd >= 0 && !ftruncate(fd, 4096) && pwrite(fd, "x", 1, 0) == 1); /* (a file of zeros is refused) */
	close(fd);
	atomic_store(&boots, true);
	fake_start(&r->q, answers, NULL, true);
	assert_int_equal(gf_vm_create(&(struct gf_vm_opts){ .name = "g", .qmp = r->q.path, .max_tasks = 256 }, &r->t, &err), 0);
	r->vm = (struct gf_vm *)(void *)r->t;
	r->img = image_of_text("rule r if mem.total < 1MiB then log\n", GF_TARGET_VM, MS, NULL);
	if (gf_engine_create(r->t, r->img, &o, &r->e, &err))
		fail_msg("%s", err.text);
	r->e->gpu->quiet_ns = HOUR_NS;
	r->e->gpu->quiet_for_ns = 0;
	assert_int_equal(gf_engine_start(r->e, NULL), 0);
	if (!wait_until(r->e, sampled, r, 1)) {
		gf_vm_describe(r->t, err.text, sizeof err.text);
		fail_msg("%s", err.text);
	}
	assert_true(wait_until(r->e, asleep, r, 0));
}

static void end(struct rig *r)
{
	assert_int_equal(engine_stats(r->e).kind, GF_ENGINE_GPU);
	gf_engine_destroy(r->e);
	gf_target_destroy(r->t);
	fake_stop(&r->q);
	fake_free(r->f);
	free(r->img);
	unlink(r->path);
	assert_int_equal(gf_emu.used, 0);
	assert_int_equal(gf_emu.enrolled, 0);
	gf_emu = (struct gf_emu){ .devices = 1, .memory = 1ull << 40 };
}

/* Said while the thread sleeps: the device does as it should, and the thread sleeps again. */
static void said(struct rig *r, const char *event, bool (*what)(void *of, uint64_t a), bool want)
{
	assert_true(wait_until(r->e, asleep, r, 0));
	say(r, event);
	if (!wait_until(r->e, what, r, want))
		fail_msg("not told: %s", event);
}

static void paused(void **state)
{
	struct rig r;

	(void)state;
	begin(&r);
	for (int i = 0; i < 20; i++) {
		said(&r, EVENT("STOP", ""), stands, true);
		said(&r, EVENT("RESUME", ""), stands, false);
	}
	end(&r);
}

static void between_look_and_sleep(void **state)
{
	struct rig r;

	(void)state;
	begin(&r);
	for (int i = 0; i < 3; i++) {
		atomic_store(&between, EVENT("STOP", "")); /* (it sleeps in slices) */
		if (!wait_until(r.e, stands, &r, true))
			fail_msg("not told, %d", i);
		assert_null(atomic_load(&between));
		said(&r, EVENT("RESUME", ""), stands, false);
	}
	end(&r);
}

/* The guest is let go of, and its memory with it; the next one is found. */
static void reset(void **state)
{
	struct rig r;

	(void)state;
	begin(&r);
	for (int i = 0; i < 3; i++) {
		atomic_store(&boots, false);
		said(&r, EVENT("RESET", ""), holds, false);
		assert_true(wait_until(r.e, stands, &r, true));
		atomic_store(&boots, true);
		assert_true(wait_until(r.e, sampled, &r, 1));
	}
	/* from a snapshot, as another kernel */
	said(&r, EVENT("STOP", ""), stands, true);
	atomic_store(&boots, false);
	atomic_store(&stays, false);
	said(&r, EVENT("RESUME", ""), holds, false);
	end(&r);
}

static void gone(void **state)
{
	static const char *const how[] = { EVENT("MIGRATION", "\"status\": \"completed\""), EVENT("SHUTDOWN", "\"guest\": true") };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct rig r;

		begin(&r);
		if (i < 2) {
			said(&r, how[i], holds, false);
		} else { /* QEMU ends */
			atomic_store(&boots, false);
			assert_true(wait_until(r.e, asleep, &r, 0));
			shutdown(atomic_load(&r.q.client), SHUT_RDWR);
			assert_true(wait_until(r.e, holds, &r, false));
		}
		end(&r);
	}
}

static bool observes(void *of, uint64_t a) { return gf_gpu_read(&((struct rig *)of)->e->gpu->in->observe) == a; }

/* Not the guest, but what may be done to it. */
static void observe(void **state)
{
	struct rig r;

	(void)state;
	begin(&r);
	for (int i = 1; i < 5; i++) {
		assert_true(wait_until(r.e, asleep, &r, 0));
		gf_engine_set_observe(r.e, i % 2 == 1);
		assert_true(wait_until(r.e, observes, &r, i % 2 == 1));
	}
	end(&r);
}

/* What has been told wakes nobody again. */
static void idle(void **state)
{
	struct rig r;
	unsigned before;

	(void)state;
	begin(&r);
	said(&r, EVENT("STOP", ""), stands, true);
	assert_true(wait_until(r.e, asleep, &r, 0));
	assert_true(wait_until(r.e, slept_more, &r, atomic_load(&slept) + 1));
	before = atomic_load(&woken);
	assert_true(wait_until(r.e, slept_more, &r, atomic_load(&slept) + 2));
	assert_int_equal(atomic_load(&woken), before);
	end(&r);
}

static unsigned open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Targets, and engines over one target, come and go. */
static void no_leaks(void **state)
{
	const struct gf_engine_opts o = { .period_ns = 2 * MS, .kind = GF_ENGINE_GPU, .gpu = { .mode = GF_GPU_PERSISTENT } };
	unsigned before = open_files();
	struct rig r;

	(void)state;
	for (int i = 0; i < 3; i++) {
		begin(&r);
		gf_engine_destroy(r.e);
		unsigned with = open_files();
		assert_int_equal(gf_engine_create(r.t, r.img, &o, &r.e, NULL), 0);
		gf_engine_destroy(r.e);
		assert_int_equal(open_files(), with);
		assert_int_equal(gf_engine_create(r.t, r.img, &o, &r.e, NULL), 0);
		end(&r);
		assert_int_equal(open_files(), before);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paused), cmocka_unit_test(between_look_and_sleep), cmocka_unit_test(reset),
		cmocka_unit_test(gone), cmocka_unit_test(observe), cmocka_unit_test(idle), cmocka_unit_test(no_leaks),
	};

	gf_dev_backend = &gf_dev_emu;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
