/* SPDX-License-Identifier: MIT
 *
 * A device without a device: lanes are threads. What a GPU would run, for tests and for who has none. Its memory is mapped, and is open
 * only while it copies or runs: who looks at it otherwise faults here, as on a GPU.
 */
#define GF_TEAM 1
#define GF_WIDTH 1
#include "sim/swept.h"

#include "sim/sweep_dev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOCKS 16u

struct gf_sweep_emu_opts gf_sweep_emu_opts;

/* Its end is the end of `room` bytes of pages, behind which there is one that is never open. */
struct block {
	uint8_t *map, *p;
	size_t room, size;
};

struct gf_sweep_dev {
	struct block block[BLOCKS];
	uint64_t used, memory;
	size_t page;
	uint32_t starts, fails_after;
	bool failed;
	/* on its way: it arrives as late as it may */
	void *to;
	const void *from;
	size_t size;
};

struct job {
	struct gf_swept *v;
	size_t stride;
	uint32_t n, lanes, first, ticks;
	uint8_t *frame;
	const struct gf_reel_tick *tick;
	pthread_barrier_t barrier;
};

struct lane {
	struct job *j;
	uint32_t number;
};

static int emu_count(struct gf_err *err)
{
	if (gf_sweep_emu_opts.absent)
		return gf_err_set(err, ENODEV, "there is no such device");
	return (int)GF_MAX(gf_sweep_emu_opts.devices, 1u);
}

static int emu_open(uint32_t number, struct gf_sweep_dev **ret, struct gf_sweep_dev_info *info, struct gf_err *err)
{
	const struct gf_sweep_emu_opts *o = &gf_sweep_emu_opts;
	bool it = !o->these || o->these >> number & 1;
	struct gf_sweep_dev *d;

	if (number >= (uint32_t)emu_count(NULL))
		return gf_err_set(err, ENODEV, "there is no such device");
	if (o->refuses && it)
		return gf_err_set(err, EIO, "the device cannot be opened");
	d = calloc(1, sizeof *d);
	if (!d)
		return gf_err_set(err, ENOMEM, "out of memory");
	d->page = (size_t)sysconf(_SC_PAGESIZE);
	snprintf(info->name, sizeof info->name, "Emulated GPU");
	info->lanes = 128;
	d->memory = it && o->memory ? o->memory : UINT64_MAX;
	d->fails_after = it ? o->fails_after : 0;
	info->memory = GF_MIN(d->memory, 1ull << 30);
	*ret = d;
	return 0;
}

static void block_drop(struct gf_sweep_dev *d, struct block *b)
{
	if (!b->map)
		return;
	munmap(b->map, b->room + d->page);
	d->used -= b->size;
	memset(b, 0, sizeof *b);
}

static void emu_close(struct gf_sweep_dev *d)
{
	for (uint32_t i = 0; i < BLOCKS; i++)
		block_drop(d, &d->block[i]);
	free(d);
}

static void *emu_alloc(struct gf_sweep_dev *d, size_t size)
{
	struct block *b = d->block;

	while (b < d->block + BLOCKS && b->map)
		b++;
	if (b == d->block + BLOCKS || size > d->memory || d->used + size > d->memory || size > SIZE_MAX / 2)
		return NULL;
	b->room = (size + d->page - 1) / d->page * d->page;
	b->map = mmap(NULL, b->room + d->page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (b->map == MAP_FAILED) {
		b->map = NULL;
		return NULL;
	}
	b->size = size;
	b->p = b->map + b->room - (size + 63) / 64 * 64;
	d->used += size;
	return b->p;
}

static void emu_free(struct gf_sweep_dev *d, void *p)
{
	for (uint32_t i = 0; i < BLOCKS; i++)
		if (d->block[i].map && d->block[i].p == p)
			block_drop(d, &d->block[i]);
}

static int access_to(struct gf_sweep_dev *d, int prot, struct gf_err *err)
{
	for (uint32_t i = 0; i < BLOCKS; i++)
		if (d->block[i].room && mprotect(d->block[i].map, d->block[i].room, prot))
			return gf_err_set(err, EIO, "the device's memory cannot be reached: %s", strerror(errno));
	return 0;
}

static int copy(struct gf_sweep_dev *d, void *to, const void *from, size_t size, struct gf_err *err)
{
	int rc;

	if (d->failed)
		return gf_err_set(err, EIO, "the device has failed");
	rc = access_to(d, PROT_READ | PROT_WRITE, err);
	if (rc)
		return rc;
	memcpy(to, from, size);
	return access_to(d, PROT_NONE, err);
}

/* All of [p, p + size) in one of its blocks. */
static bool is_its(const struct gf_sweep_dev *d, const void *p, size_t size)
{
	for (uint32_t i = 0; i < BLOCKS; i++) {
		const struct block *b = &d->block[i];
		if (b->map && (const uint8_t *)p >= b->p && (const uint8_t *)p <= b->p + b->size && size <= (size_t)(b->p + b->size - (const uint8_t *)p))
			return true;
	}
	return false;
}

static int emu_copy_in(struct gf_sweep_dev *d, void *to, const void *from, size_t size, struct gf_err *err)
{
	return is_its(d, to, size) ? copy(d, to, from, size, err) : gf_err_set(err, EIO, "copying: that is not the device's memory");
}

static int emu_copy_out(struct gf_sweep_dev *d, void *to, const void *from, size_t size, struct gf_err *err)
{
	return is_its(d, from, size) ? copy(d, to, from, size, err) : gf_err_set(err, EIO, "copying: that is not the device's memory");
}

static void *emu_stage_alloc(struct gf_sweep_dev *d, size_t size)
{
	(void)d;
	return malloc(size);
}

static void emu_stage_free(struct gf_sweep_dev *d, void *p)
{
	(void)d;
	free(p);
}

static int emu_send(struct gf_sweep_dev *d, void *to, const void *from, size_t size, struct gf_err *err)
{
	if (d->size)
		return gf_err_set(err, EIO, "two are on their way");
	d->to = to;
	d->from = from;
	d->size = size;
	return 0;
}

static int emu_sent(struct gf_sweep_dev *d, struct gf_err *err)
{
	size_t size = d->size;

	d->size = 0;
	return size ? emu_copy_in(d, d->to, d->from, size, err) : 0;
}

/* One team goes from policy to policy. */
static void *lane_main(void *arg)
{
	struct lane *l = arg;
	struct job *j = l->j;

	for (uint32_t k = 0; k < j->n; k++) {
		struct gf_swept *v = (struct gf_swept *)(void *)((uint8_t *)j->v + k * j->stride);
		if (!l->number) {
			v->team.host_barrier = &j->barrier;
			v->team.lanes = j->lanes;
		}
		pthread_barrier_wait(&j->barrier);
		gf_swept_main(v, j->frame, j->tick, j->first, j->ticks, l->number, j->lanes);
	}
	return NULL;
}

static int emu_start(struct gf_sweep_dev *d, struct gf_swept *v, size_t stride, uint32_t n, uint32_t lanes, uint8_t *frame,
		     const struct gf_reel_tick *tick, uint32_t first, uint32_t ticks, struct gf_err *err)
{
	uint32_t want = gf_sweep_emu_opts.lanes ? gf_sweep_emu_opts.lanes : 2;
	struct job j = { .v = v, .stride = stride, .n = n, .first = first, .ticks = ticks, .frame = frame, .tick = tick };
	struct lane lane[16];
	pthread_t thread[16];
	int rc;

	if (d->fails_after && ++d->starts > d->fails_after)
		d->failed = true;
	usleep(gf_sweep_emu_opts.slow_us);
	if (d->failed)
		return gf_err_set(err, EIO, "the device has failed");
	rc = access_to(d, PROT_READ | PROT_WRITE, err);
	if (rc)
		return rc;
	j.lanes = GF_MIN(GF_MIN(want, lanes), 16u);
	pthread_barrier_init(&j.barrier, NULL, j.lanes);
	for (uint32_t i = 0; i < j.lanes; i++) {
		lane[i] = (struct lane){ &j, i };
		if (i && pthread_create(&thread[i], NULL, lane_main, &lane[i]))
			abort(); /* lanes that wait for others that will never come cannot be taken back */
	}
	lane_main(&lane[0]);
	for (uint32_t i = 1; i < j.lanes; i++)
		pthread_join(thread[i], NULL);
	pthread_barrier_destroy(&j.barrier);
	return access_to(d, PROT_NONE, err);
}

static int emu_wait(struct gf_sweep_dev *d, struct gf_err *err)
{
	return d->failed ? gf_err_set(err, EIO, "the device has failed") : 0;
}

const struct gf_sweep_dev_ops gf_sweep_emu = {
	.name = "emu", .count = emu_count, .stage_alloc = emu_stage_alloc, .stage_free = emu_stage_free, .send = emu_send, .sent = emu_sent, .open = emu_open, .close = emu_close, .alloc = emu_alloc, .free = emu_free, .copy_in = emu_copy_in,
	.copy_out = emu_copy_out, .start = emu_start, .wait = emu_wait,
};
