/* SPDX-License-Identifier: MIT
 *
 * What the GPU engine needs of a device: memory that it sees, and a kernel that runs on it. Two backends: CUDA
 * (engine_cuda.cu) and an emulator whose lanes are threads, for tests (dev_emu.c). The runtime in engine_gpu.c knows neither.
 *
 * Kernels of gpufas do not end by themselves. So none of these calls may wait for what runs on the device, but for
 * the copy that it makes itself; allocating and freeing included.
 */
#ifndef GPUFAS_DEV_H
#define GPUFAS_DEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gpufas/err.h"

struct gf_gpu; /* gpu/gpu.h */
struct gf_dev;
struct gf_dev_run;

struct gf_dev_info {
	char name[96];
	char uuid[48];      /* as nvidia-smi prints it: GPU-..., MIG-... */
	char pci[16];       /* "0000:00:06.0", in lower case */
	uint32_t multiprocessors;
	uint64_t memory, memory_free; /* bytes */
	uint32_t major, minor; /* compute capability */
	uint32_t driver, runtime; /* as CUDA numbers them: 13000 is 13.0 */
	bool host_atomics;  /* atomics to host memory are honoured by CPUs */
	bool cooperative;   /* kernels of several blocks that meet */
	bool mig;           /* a part of a GPU */
	bool mps;           /* this process is a client of MPS there */
	bool exclusive;     /* one process only */
	uint64_t life_ns;   /* without a sign of life for so long it is given up; 0: a second */
	uint64_t slice;     /* bytes of a guest that are registered at a time; 0: 256 MiB */
	uint64_t tape;      /* bytes of samples that wait to be recorded; 0: by the size of the table (gpu/tape.h) */
};

struct gf_dev_ops {
	const char *name; /* "cuda", "emulator" */
	/* How many devices there are: 0 with a sentence in err where there is none, and why. */
	int (*count)(struct gf_err *err);
	int (*info)(int device, struct gf_dev_info *ret, struct gf_err *err);
	/* -ENODEV, -EBUSY, -ENOMEM, -ENOTSUP (the driver is too old, no code for this GPU). */
	int (*open)(int device, struct gf_dev **ret, struct gf_err *err);
	void (*close)(struct gf_dev *d);

	void *(*alloc)(struct gf_dev *d, size_t size); /* zeroed device memory, or NULL */
	void (*free)(struct gf_dev *d, void *p);
	/* Host memory that both see; zeroed. Its address here, and in ret_device the device's. Before anything runs. */
	void *(*pin)(struct gf_dev *d, size_t size, void **ret_device);
	void (*unpin)(struct gf_dev *d, void *p);
	/* Memory that is there already, of whatever origin; page boundaries. */
	int (*enroll)(struct gf_dev *d, void *p, size_t size, void **ret_device, struct gf_err *err);
	int (*release)(struct gf_dev *d, void *p, struct gf_err *err);
	/* Done when they return. */
	int (*copy_in)(struct gf_dev *d, void *to, const void *from, size_t size, struct gf_err *err);
	int (*copy_out)(struct gf_dev *d, void *to, const void *from, size_t size, struct gf_err *err);

	/* How many clusters, which meet in hardware, of so many blocks of so many lanes there is room for while nothing else runs. NULL: there are none. */
	uint32_t (*clusters)(struct gf_dev *d, uint32_t blocks, uint32_t threads);
	/* Runs gf_gpu_main() over g (a device address): blocks of threads lanes, one cluster if `cluster`, until it is told to stop or,
	 * ticks not 0, so many ticks were run (or what gpu/gpu.h says of some numbers). Of GF_GPU_PASSES the device launches all kernels but the first. */
	int (*launch)(struct gf_dev *d, struct gf_gpu *g, uint32_t blocks, uint32_t threads, bool cluster, uint64_t ticks,
		      struct gf_dev_run **ret, struct gf_err *err);
	/* The same in another shape, behind the kernels that r runs: it begins when they have ended, and needs nobody for that.
	 * -EAGAIN: refused, and all is as before. Any other error: what r runs cannot be relied on any more. */
	int (*follow)(struct gf_dev_run *r, struct gf_gpu *g, uint32_t blocks, uint32_t threads, bool cluster, uint64_t ticks, struct gf_err *err);
	/* 0: it runs. 1: it has ended. -EIO: it, or the device, has failed, for good. Never waits. */
	int (*poll)(struct gf_dev_run *r, struct gf_err *err);
	void (*forget)(struct gf_dev_run *r); /* a run that has ended or failed */
};

/* The backend that this program is linked with; NULL: none. Set before any engine is made. */
extern const struct gf_dev_ops *gf_dev_backend;
extern const struct gf_dev_ops gf_dev_cuda; /* engine_cuda.cu, or dev_none.c where there was no nvcc */
extern const struct gf_dev_ops gf_dev_emu;  /* dev_emu.c */

#endif
