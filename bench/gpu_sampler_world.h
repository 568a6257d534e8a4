/* SPDX-License-Identifier: MIT
 *
 * A made-up kernel with many processes, in shared memory: what bench/gpu_sampler.cu samples.
 */
#ifndef GPUFAS_BENCH_GPU_SAMPLER_WORLD_H
#define GPUFAS_BENCH_GPU_SAMPLER_WORLD_H

#include "gpu/kmem.h"
#include "gpu/layout.h"

struct world {
	struct gf_kmem mem;
	struct gf_layout layout;
	uint8_t *p;
	uint64_t size;
};

#ifdef __cplusplus
extern "C"
#endif
int world_make(struct world *w, uint64_t size, uint32_t processes);

#endif
