/* SPDX-License-Identifier: MIT
 *
 * The interpreter over a whole chunk, built for each width of vector and chosen
 * once. The operations are the same IEEE ones in each (no contraction, no
 * reassociation), so the results are the same bits. Include before gpu/tick.h.
 */
#ifndef GPUFAS_CHUNK_H
#define GPUFAS_CHUNK_H

#define GF_RUN_CHUNK(c, prog, base, r, ret) gf_chunk_fn((c), (prog), (base), (r), (ret))

#include "gpu/interp.h"

typedef void (*gf_chunk_t)(const struct gf_ctx *c, uint32_t prog, uint32_t base, struct gf_regs *r,
			   struct gf_result *ret);

#define GF_CHUNK_BODY(name)                                                                                   \
	static void name(const struct gf_ctx *c, uint32_t prog, uint32_t base, struct gf_regs *r,             \
			 struct gf_result *ret)                                                                \
	{                                                                                                      \
		gf_interp(c, prog, base, GF_WIDTH, r, ret);                                                    \
	}

GF_CHUNK_BODY(gf_chunk_plain)
#if defined(__x86_64__)
__attribute__((target("avx2"))) GF_CHUNK_BODY(gf_chunk_avx2)
__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,prefer-vector-width=512"))) GF_CHUNK_BODY(gf_chunk_avx512)
#endif

static gf_chunk_t gf_chunk_fn = gf_chunk_plain;

/* Chooses for this machine; `most` caps the choice: 0 plain, 1 AVX2, 2 AVX-512. */
static inline const char *gf_chunk_choose(int most)
{
	gf_chunk_fn = gf_chunk_plain;
#if defined(__x86_64__)
	__builtin_cpu_init();
	if (most >= 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
		gf_chunk_fn = gf_chunk_avx512;
		return "avx512";
	}
	if (most >= 1 && __builtin_cpu_supports("avx2")) {
		gf_chunk_fn = gf_chunk_avx2;
		return "avx2";
	}
#endif
	return "plain";
}

#endif
