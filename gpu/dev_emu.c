/* SPDX-License-Identifier: MIT
 *
 * A device without a device: its lanes are threads, its memory is the host's. For tests: everything but the
 * CUDA calls themselves runs as it does on a GPU. Linked into tests only.
 */
#define GF_TEAM 1
#define GF_WIDTH 1
#include "gpu/dev_emu.h"
#define GF_GPU_HOOK() emu_hook()
#define GF_PULSE_HOOK() emu_pulse()

/* What the leader does next: 0 goes on, 1 hangs, 2 dies. */
static int emu_hook(void);
static void emu_pulse(void);

#include "gpu/kernel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/prctl.h>
#include <unistd.h>

struct gf_emu gf_emu = { .devices = 1, .memory = 1ull << 40, .life_ns = 5000000000ull };

struct gf_dev {
	int number;
	uint64_t used;
};

struct gf_dev_run {
	struct gf_dev *dev;
	struct gf_gpu *g;
	pthread_barrier_t barrier;
	uint32_t lanes;
	uint64_t ticks;
	int left; /* atomic: lanes that have not ended */
	int more; /* a kernel has ended, and the next is to come; lane 0 writes it */
	int follow; /* atomic: what the next is to be has been said */
	struct lane {
		struct gf_dev_run *run;
		uint32_t number;
		pthread_t thread;
	} lane[];
};

/* A daemon's device has failed for as long as the file that GPUFAS_EMU_FAILED names is there. */
static bool emu_failed(void)
{
	const char *file = getenv("GPUFAS_EMU_FAILED");

	if (file)
		gf_emu.failed = !access(file, F_OK);
	return gf_emu.failed;
}

static int emu_hook(void)
{
	static uint32_t looks;

	if (!(__atomic_add_fetch(&looks, 1, __ATOMIC_RELAXED) % 1024))
		emu_failed();
	return gf_emu.failed ? 2 : gf_emu.hung;
}

static void emu_pulse(void)
{
	__atomic_add_fetch(&gf_emu.pulses, 1, __ATOMIC_RELAXED);
	if (gf_emu.pulse_us)
		usleep(gf_emu.pulse_us);
}

/* The nth from which on it is refused. */
static bool refused(uint32_t *count, uint32_t from)
{
	uint32_t n = __atomic_add_fetch(count, 1, __ATOMIC_RELAXED);

	return from && n >= from;
}

static int emu_count(struct gf_err *err)
{
	if (!gf_emu.devices)
		gf_err_set(err, ENODEV, "%s", gf_emu.why[0] ? gf_emu.why : "there is no device");
	return gf_emu.devices;
}

static int emu_info(int device, struct gf_dev_info *ret, struct gf_err *err)
{
	if (device < 0 || device >= gf_emu.devices)
		return gf_err_set(err, ENODEV, "there is no device %d", device);
	memset(ret, 0, sizeof *ret);
	snprintf(ret->name, sizeof ret->name, "Emulated GPU %d", device);
	snprintf(ret->uuid, sizeof ret->uuid, "EMU-%d", device);
	ret->multiprocessors = gf_emu.multiprocessors ? gf_emu.multiprocessors : 2;
	ret->memory = ret->memory_free = gf_emu.memory;
	ret->major = 9;
	ret->driver = ret->runtime = 13000;
	ret->host_atomics = gf_emu.host_atomics;
	ret->cooperative = true;
	ret->slice = gf_emu.slice;
	ret->tape = gf_emu.tape;
	ret->life_ns = gf_emu.life_ns;
	return 0;
}

static int emu_open(int device, struct gf_dev **ret, struct gf_err *err)
{
	struct gf_dev *d = calloc(1, sizeof *d);

	if (!d)
		return gf_err_set(err, ENOMEM, "out of memory");
	if (gf_emu.busy) {
		free(d);
		return gf_err_set(err, EBUSY, "the device is in exclusive use by another process");
	}
	d->number = device;
	*ret = d;
	return 0;
}

static void emu_close(struct gf_dev *d)
{
	free(d);
}

struct head {
	uint64_t size, pad[7];
};

static void *emu_alloc(struct gf_dev *d, size_t size)
{
	struct head *h;

	if (refused(&gf_emu.allocations, gf_emu.no_memory))
		return NULL;
	if (__atomic_add_fetch(&d->used, size, __ATOMIC_RELAXED) > gf_emu.memory ||
	    !(h = aligned_alloc(64, (sizeof *h + size + 63) / 64 * 64))) {
		__atomic_sub_fetch(&d->used, size, __ATOMIC_RELAXED);
		return NULL;
	}
	memset(h, 0, sizeof *h + size);
	h->size = size;
	__atomic_add_fetch(&gf_emu.used, size, __ATOMIC_RELAXED);
	return h + 1;
}

static void emu_free(struct gf_dev *d, void *p)
{
	struct head *h = p;

	if (!p)
		return;
	h--;
	__atomic_sub_fetch(&d->used, h->size, __ATOMIC_RELAXED);
	__atomic_sub_fetch(&gf_emu.used, h->size, __ATOMIC_RELAXED);
	free(h);
}

static void *emu_pin(struct gf_dev *d, size_t size, void **ret_device)
{
	void *p = refused(&gf_emu.allocations, gf_emu.no_memory) ? NULL : aligned_alloc(64, (size + 63) / 64 * 64);

	(void)d;
	if (p)
		memset(p, 0, size);
	*ret_device = p;
	return p;
}

static void emu_unpin(struct gf_dev *d, void *p)
{
	(void)d;
	free(p);
}

static int emu_enroll(struct gf_dev *d, void *p, size_t size, void **ret_device, struct gf_err *err)
{
	(void)d;
	(void)size;
	if (gf_emu.enroll_us)
		usleep(gf_emu.enroll_us);
	if (refused(&gf_emu.enrollments, gf_emu.no_enroll))
		return gf_err_set(err, EINVAL, "the memory cannot be registered: invalid argument");
	__atomic_add_fetch(&gf_emu.enrolled, 1, __ATOMIC_RELAXED);
	*ret_device = p;
	return 0;
}

static int emu_release(struct gf_dev *d, void *p, struct gf_err *err)
{
	(void)d;
	(void)p;
	(void)err;
	__atomic_sub_fetch(&gf_emu.enrolled, 1, __ATOMIC_RELAXED);
	return 0;
}

static int emu_copy(struct gf_dev *d, void *to, const void *from, size_t size, struct gf_err *err)
{
	(void)d;
	(void)err;
	memcpy(to, from, size);
	return 0;
}

static void *emu_lane(void *arg)
{
	struct lane *l = arg;
	struct gf_dev_run *r = l->run;

	prctl(PR_SET_NAME, "emulated-lane");
	do {
		while (r->ticks == GF_GPU_PASSES && !l->number && gf_gpu_relay_next(r->g) != GF_RELAY_PASS)
			usleep(50);
		int more = gf_gpu_main(r->g, l->number, r->lanes, r->ticks);
		if (!more && !l->number && __atomic_exchange_n(&r->follow, 0, __ATOMIC_ACQUIRE))
			more = (int)(r->g->passing = 1);
		if (!l->number)
			r->more = more;
		pthread_barrier_wait(&r->barrier);
	} while (r->more);
	__atomic_sub_fetch(&r->left, 1, __ATOMIC_RELEASE);
	return NULL;
}

static uint32_t emu_clusters(struct gf_dev *d, uint32_t blocks, uint32_t threads)
{
	(void)d;
	(void)threads;
	return blocks <= gf_emu.cluster ? gf_emu.multiprocessors / blocks : 0;
}

static int emu_launch(struct gf_dev *d, struct gf_gpu *g, uint32_t blocks, uint32_t threads, bool cluster, uint64_t ticks,
		      struct gf_dev_run **ret, struct gf_err *err)
{
	uint32_t lanes = GF_MIN(blocks * threads, gf_emu.lanes ? gf_emu.lanes : 2);
	struct gf_dev_run *r = calloc(1, sizeof *r + lanes * sizeof *r->lane);
	pthread_attr_t attr;

	(void)cluster; /* its lanes meet as they do anyway */
	if (emu_failed() || !r) {
		free(r);
		return gf_err_set(err, EIO, "an illegal memory access was encountered");
	}
	r->dev = d;
	r->g = g;
	r->lanes = lanes;
	r->left = (int)lanes;
	r->ticks = ticks;
	pthread_barrier_init(&r->barrier, NULL, lanes);
	g->team.lanes = lanes;
	g->team.blocks = 1;
	g->team.host_barrier = &r->barrier;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 512 << 10);
	for (uint32_t i = 0; i < lanes; i++) {
		r->lane[i].run = r;
		r->lane[i].number = i;
		if (pthread_create(&r->lane[i].thread, &attr, emu_lane, &r->lane[i]))
			abort(); /* lanes that wait for others that will never come cannot be taken back */
	}
	pthread_attr_destroy(&attr);
	*ret = r;
	return 0;
}

/* Its lanes are as many in any shape. */
static int emu_follow(struct gf_dev_run *r, struct gf_gpu *g, uint32_t blocks, uint32_t threads, bool cluster, uint64_t ticks, struct gf_err *err)
{
	(void)g;
	(void)blocks;
	(void)threads;
	(void)cluster;
	(void)ticks;
	if (gf_emu.no_follow)
		return gf_err_set(err, gf_emu.no_follow, "its kernel cannot be started");
	__atomic_store_n(&r->follow, 1, __ATOMIC_RELEASE);
	return 0;
}

static int emu_poll(struct gf_dev_run *r, struct gf_err *err)
{
	if (emu_failed())
		return gf_err_set(err, EIO, "an illegal memory access was encountered");
	return __atomic_load_n(&r->left, __ATOMIC_ACQUIRE) == 0;
}

static void emu_forget(struct gf_dev_run *r)
{
	for (uint32_t i = 0; i < r->lanes; i++)
		pthread_join(r->lane[i].thread, NULL);
	pthread_barrier_destroy(&r->barrier);
	free(r);
}

const struct gf_dev_ops gf_dev_emu = {
	.name = "emulator", .count = emu_count, .info = emu_info, .open = emu_open, .close = emu_close, .alloc = emu_alloc,
	.free = emu_free, .pin = emu_pin, .unpin = emu_unpin, .enroll = emu_enroll, .release = emu_release, .copy_in = emu_copy,
	.copy_out = emu_copy, .clusters = emu_clusters, .launch = emu_launch, .follow = emu_follow, .poll = emu_poll, .forget = emu_forget,
};
