/* SPDX-License-Identifier: MIT
 *
 * What a sweep needs of a device. Backends: CUDA (sim/sweep_cuda.cu), an emulator whose lanes are threads (sim/sweep_emu.c), none
 * (sim/sweep_none.c). Unlike the engine's (gpu/dev.h) kernels here end by themselves, and nobody minds waiting.
 */
#ifndef GPUFAS_SIM_SWEEP_DEV_H
#define GPUFAS_SIM_SWEEP_DEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gpufas/err.h"

struct gf_swept;
struct gf_reel_tick;
struct gf_sweep_dev;

struct gf_sweep_dev_info {
	char name[96];
	uint32_t lanes; /* that are in flight at a time, over all of it */
	uint64_t memory;
};

struct gf_sweep_dev_ops {
	const char *name; /* "gpu", "emu" */
	/* How many there are; -ENODEV, -ENOTSUP: there is none; err says why. */
	int (*count)(struct gf_err *err);
	/* Any thread; what follows is for one thread a device at a time. -ENODEV, -ENOTSUP: there is none, or none that this was built for; err says why. number: which of several. */
	int (*open)(uint32_t number, struct gf_sweep_dev **ret, struct gf_sweep_dev_info *info, struct gf_err *err);
	void (*close)(struct gf_sweep_dev *d);
	void *(*alloc)(struct gf_sweep_dev *d, size_t size); /* zeroed; NULL: there is no room */
	void (*free)(struct gf_sweep_dev *d, void *p);
	int (*copy_in)(struct gf_sweep_dev *d, void *to, const void *from, size_t size, struct gf_err *err);
	int (*copy_out)(struct gf_sweep_dev *d, void *to, const void *from, size_t size, struct gf_err *err);
	/* Memory on this side, from which is sent. NULL: there is none. */
	void *(*stage_alloc)(struct gf_sweep_dev *d, size_t size);
	void (*stage_free)(struct gf_sweep_dev *d, void *p);
	/* From staged memory, which is not touched before sent() has returned; a kernel that runs goes on meanwhile. One at a time. */
	int (*send)(struct gf_sweep_dev *d, void *to, const void *from, size_t size, struct gf_err *err);
	int (*sent)(struct gf_sweep_dev *d, struct gf_err *err);
	/* n policies, v[k] each stride bytes after the one before, over ticks [first, ticks) of the frame at `frame`. Begins it. */
	int (*start)(struct gf_sweep_dev *d, struct gf_swept *v, size_t stride, uint32_t n, uint32_t lanes, uint8_t *frame,
		     const struct gf_reel_tick *tick, uint32_t first, uint32_t ticks, struct gf_err *err);
	/* Until it is done. -EIO: the device has failed, for good. */
	int (*wait)(struct gf_sweep_dev *d, struct gf_err *err);
};

extern const struct gf_sweep_dev_ops gf_sweep_gpu, gf_sweep_emu;
/* What a program runs sweeps on that are to be run on a GPU: its main() says so. NULL: nothing was linked. */
extern const struct gf_sweep_dev_ops *gf_sweep_backend;

/* The emulator, for tests: how many devices (0: 1); threads a team (0: 2); memory of each in bytes (0: all there is); bit i of `these`: only device i is
 * short of memory, fails after so many starts (fails_after, 0: never), or cannot be opened (refuses) (0: all are like that). */
struct gf_sweep_emu_opts {
	uint32_t devices, lanes;
	uint64_t memory, these;
	uint32_t fails_after, slow_us; /* slow_us: a start takes so much longer */
	bool absent, refuses;
};
extern struct gf_sweep_emu_opts gf_sweep_emu_opts;

#endif
