/* SPDX-License-Identifier: MIT
 *
 * Memory that one lane is about to read here and there, loaded side by side: a barrier between blocks has emptied the cache, and each of its lines would be
 * waited for in turn. On a device only.
 */
#ifndef GPUFAS_TOUCH_H
#define GPUFAS_TOUCH_H

#include "gpufas/hd.h"

#define GF_TOUCH_BYTES 32u /* that a cache takes at a time */

/* A word of each of what lies in [p, p + bytes); bytes is a constant. To be handed to gf_touched() with others of the kind. */
GF_INLINE uint32_t gf_touch(const void *p, uint32_t bytes)
{
#if defined(__CUDA_ARCH__)
	const uint8_t *at = (const uint8_t *)((uintptr_t)p & ~(uintptr_t)3);
	uint32_t x = 0;

	GF_UNROLL
	for (uint32_t i = 0; i < bytes; i += GF_TOUCH_BYTES)
		x ^= *(const uint32_t *)(const void *)(at + i);
	return x;
#else
	(void)p;
	(void)bytes;
	return 0;
#endif
}

/* From here on it is there; a compiler would leave it out otherwise. */
GF_INLINE void gf_touched(uint32_t x)
{
#if defined(__CUDA_ARCH__)
	asm volatile("" ::"r"(x));
#else
	(void)x;
#endif
}

#endif
