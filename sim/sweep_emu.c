/* SPDX-License-Identifier: MIT
 *
 * A device without a device: lanes are threads, its memory is the host's. What a GPU would run, for tests and for who has none.
 */
#define GF_TEAM 1
#define GF_WIDTH 1
#include "sim/swept.h"

#include "sim/sweep_dev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct gf_sweep_emu_opts gf_sweep_emu_opts;

struct gf_sweep_dev {
	uint64_t used;
	bool failed;
};

struct head {
	uint64_t size, pad[7];
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

static int emu_open(uint32_t number, struct gf_sweep_dev **ret, struct gf_sweep_dev_info *info, struct gf_err *err)
{
	struct gf_sweep_dev *d;

	if (gf_sweep_emu_opts.absent || number)
		return gf_err_set(err, ENODEV, "there is no such device");
	d = calloc(1, sizeof *d);
	if (!d)
		return gf_err_set(err, ENOMEM, "out of memory");
	snprintf(info->name, sizeof info->name, "Emulated GPU");
	info->lanes = 128;
	info->memory = gf_sweep_emu_opts.memory ? gf_sweep_emu_opts.memory : 1ull << 30;
	*ret = d;
	return 0;
}

static void emu_close(struct gf_sweep_dev *d)
{
	free(d);
}

static void *emu_alloc(struct gf_sweep_dev *d, size_t size)
{
	uint64_t most = gf_sweep_emu_opts.memory ? gf_sweep_emu_opts.memory : UINT64_MAX;
	struct head *h;

	if (d->used + size > most || size > SIZE_MAX / 2)
		return NULL;
	h = aligned_alloc(64, (sizeof *h + size + 63) / 64 * 64);
	if (!h)
		return NULL;
	memset(h, 0, sizeof *h + size);
	h->size = size;
	d->used += size;
	return h + 1;
}

static void emu_free(struct gf_sweep_dev *d, void *p)
{
	struct head *h = p;

	if (!p)
		return;
	d->used -= h[-1].size;
	free(h - 1);
}

static int emu_copy(struct gf_sweep_dev *d, void *to, const void *from, size_t size, struct gf_err *err)
{
	if (d->failed)
		return gf_err_set(err, EIO, "the device has failed");
	memcpy(to, from, size);
	return 0;
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

	if (gf_sweep_emu_opts.fails_after && ++gf_sweep_emu_opts.starts > gf_sweep_emu_opts.fails_after)
		d->failed = true;
	if (d->failed)
		return gf_err_set(err, EIO, "the device has failed");
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
	return 0;
}

static int emu_wait(struct gf_sweep_dev *d, struct gf_err *err)
{
	return d->failed ? gf_err_set(err, EIO, "the device has failed") : 0;
}

const struct gf_sweep_dev_ops gf_sweep_emu = {
	.name = "emu", .open = emu_open, .close = emu_close, .alloc = emu_alloc, .free = emu_free, .copy_in = emu_copy, .copy_out = emu_copy,
	.start = emu_start, .wait = emu_wait,
};
