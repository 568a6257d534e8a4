/* SPDX-License-Identifier: MIT
 *
 * Words of mapped memory: each is read and written whole, and numbers order what they go with.
 * Of gpu/kernel.h, which includes this.
 */
#ifndef GPUFAS_KERNEL_WORDS_H
#define GPUFAS_KERNEL_WORDS_H

/* ---- words of mapped memory ---------------------------------------------------- */

GF_INLINE uint64_t gf_gpu_word(const uint64_t *p)
{
#if defined(__CUDA_ARCH__)
	return *(const volatile uint64_t *)p;
#else
	return __atomic_load_n(p, __ATOMIC_RELAXED);
#endif
}

GF_INLINE void gf_gpu_set_word(uint64_t *p, uint64_t v)
{
#if defined(__CUDA_ARCH__)
	*(volatile uint64_t *)p = v;
#else
	__atomic_store_n(p, v, __ATOMIC_RELAXED);
#endif
}

/* All before it is seen before all after it, by the host as well. */
GF_INLINE void gf_gpu_fence(void)
{
#if defined(__CUDA_ARCH__)
	__threadfence_system();
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

GF_INLINE uint64_t gf_gpu_number(const uint64_t *p)
{
	uint64_t v = gf_gpu_word(p);

	gf_gpu_fence();
	return v;
}

GF_INLINE void gf_gpu_answer(uint64_t *p, uint64_t v)
{
	gf_gpu_fence();
	gf_gpu_set_word(p, v);
}

GF_INLINE void gf_gpu_nap(void)
{
#if defined(__CUDA_ARCH__)
#if __CUDA_ARCH__ >= 700
	__nanosleep(GF_GPU_NAP_NS);
#endif
#else
	struct timespec t = { 0, (long)GF_GPU_NAP_NS };
	nanosleep(&t, NULL);
#endif
}

/* Words from i = lane in steps of lanes. */
GF_INLINE void gf_gpu_get(void *to, const void *from, size_t bytes, uint32_t lane, uint32_t lanes)
{
	uint64_t *d = (uint64_t *)to;
	const uint64_t *s = (const uint64_t *)from;

	for (size_t i = lane; i < bytes / 8; i += lanes)
		d[i] = gf_gpu_word(s + i);
}

GF_INLINE void gf_gpu_put(void *to, const void *from, size_t bytes, uint32_t lane, uint32_t lanes)
{
	uint64_t *d = (uint64_t *)to;
	const uint64_t *s = (const uint64_t *)from;

	for (size_t i = lane; i < bytes / 8; i += lanes)
		gf_gpu_set_word(d + i, s[i]);
}

#endif
