/* SPDX-License-Identifier: MIT
 *
 * The clock of whoever runs this code, in nanoseconds: on a device its own, which is no other's, and goes on within a tick; else
 * CLOCK_MONOTONIC. Only differences of it matter.
 */
#ifndef GPUFAS_NOW_H
#define GPUFAS_NOW_H

#include "gpufas/hd.h"

#if !defined(__CUDA_ARCH__)
#include <time.h>
#endif

GF_INLINE uint64_t gf_now_ns(void)
{
#if defined(__CUDA_ARCH__)
	uint64_t t;
	asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
	return t;
#else
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
#endif
}

#endif
