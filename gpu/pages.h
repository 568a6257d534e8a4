/* SPDX-License-Identifier: MIT
 *
 * Pages outside the direct map (per-CPU memory), looked up once for all lanes of a pass. A look-up is four loads, each of which must wait for
 * the last; there are few such pages, and most are asked for at every pass: those are looked up again at its beginning, a lane a page.
 */
#ifndef GPUFAS_PAGES_H
#define GPUFAS_PAGES_H

#include "gpu/kmem.h"
#include "gpu/team.h"

#define GF_PAGES 8192u
#define GF_PAGES_WAYS 4u

/* Where pages outside the direct map are, for all lanes. It is looked up anew at each pass. */
struct gf_pages {
	uint64_t page[GF_PAGES]; /* va; 0: none */
	uint64_t at[GF_PAGES];   /* mapped; 0: not yet */
	uint32_t used[GF_PAGES]; /* the pass at which it was last asked for */
	/* Those that there are, side by side: lanes of a warp then wait for the same lines of upper tables together. Loads of one line by different warps
	 * are done one after the other, half a microsecond each. */
	uint32_t list[2][GF_PAGES];
	uint32_t n[2], turn;     /* which list is this pass's */
};

GF_INLINE uint64_t gf_shared_get(const uint64_t *p)
{
#if defined(__CUDACC__)
	return *(const volatile uint64_t *)p;
#else
	return __atomic_load_n(p, __ATOMIC_RELAXED);
#endif
}

GF_INLINE void gf_shared_set(uint64_t *p, uint64_t v)
{
#if defined(__CUDACC__)
	*(volatile uint64_t *)p = v;
#else
	__atomic_store_n(p, v, __ATOMIC_RELAXED);
#endif
}

/* True: it was 0 and is v now. */
GF_INLINE int gf_shared_claim(uint64_t *p, uint64_t v)
{
#if defined(__CUDA_ARCH__)
	return atomicCAS((unsigned long long *)p, 0ull, (unsigned long long)v) == 0;
#elif defined(__CUDACC__)
	*p = v;
	return 1;
#else
	uint64_t none = 0;
	return __atomic_compare_exchange_n(p, &none, v, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
#endif
}

GF_INLINE void gf_shared_stamp(uint32_t *p, uint32_t v)
{
#if defined(__CUDACC__)
	if (*(volatile uint32_t *)p != v)
		*(volatile uint32_t *)p = v;
#else
	if (__atomic_load_n(p, __ATOMIC_RELAXED) != v)
		__atomic_store_n(p, v, __ATOMIC_RELAXED);
#endif
}

/* Leader: another pass begins; gf_pages_renew must follow before a page is asked for. */
GF_INLINE void gf_pages_turn(struct gf_pages *t)
{
	t->turn ^= 1;
	t->n[t->turn] = 0;
}

/* A share of all pages: those that the last pass asked for are looked up again, the others forgotten. pass: this one's number. */
GF_INLINE void gf_pages_renew(struct gf_pages *t, const struct gf_kmem *mem, uint32_t pass, uint32_t lane, uint32_t lanes)
{
	const uint32_t *old = t->list[!t->turn];
	uint32_t n = GF_MIN(t->n[!t->turn], GF_PAGES);

	for (uint32_t k = lane; k < n; k += lanes) {
		uint32_t i = old[k];
		struct gf_gva a = { t->page[i] };

		t->at[i] = t->used[i] + 1 != pass ? 0 : (uint64_t)(uintptr_t)gf_kmem_at(mem, a, 4096);
		if (t->at[i])
			t->list[t->turn][gf_team_add(&t->n[t->turn], 1)] = i;
		else
			t->page[i] = 0;
	}
}

GF_INLINE uint32_t gf_pages_home(uint64_t va)
{
	return (uint32_t)((va >> 12) * 0x9e3779b97f4a7c15ull >> 40) & (GF_PAGES - GF_PAGES_WAYS);
}

/* As gf_tlb_at. */
GF_CALLED const uint8_t *gf_pages_at(struct gf_pages *t, const struct gf_kmem *k, uint32_t pass, uint64_t va, uint32_t len)
{
	uint64_t page = va & ~4095ull, at;
	uint32_t home = gf_pages_home(va);
	struct gf_gva a = { va };

	if (!(va >> 63))
		return NULL;
	if (va - k->page_offset < k->direct_size || va - page + len > 4096)
		return gf_kmem_at(k, a, len);
	for (uint32_t i = home; i < home + GF_PAGES_WAYS; i++)
		if (gf_shared_get(&t->page[i]) == page) {
			at = gf_shared_get(&t->at[i]);
			if (!at)
				break;
			gf_shared_stamp(&t->used[i], pass);
			return (const uint8_t *)(uintptr_t)at + (va - page);
		}
	a.v = page;
	at = (uint64_t)(uintptr_t)gf_kmem_at(k, a, 4096);
	if (!at)
		return NULL;
	for (uint32_t i = home; i < home + GF_PAGES_WAYS; i++) {
		uint64_t was = gf_shared_get(&t->page[i]);

		if (was == page)
			break;
		if (!was && gf_shared_claim(&t->page[i], page)) {
			gf_shared_stamp(&t->used[i], pass);
			gf_shared_set(&t->at[i], at);
			t->list[t->turn][gf_team_add(&t->n[t->turn], 1)] = i;
			break;
		}
	}
	return (const uint8_t *)(uintptr_t)at + (va - page);
}

/* The first place at which a page is looked for, of several addresses at once: their loads do not wait for one another. NULL: it is to be looked for by
 * gf_pages_at. n at most GF_PAGES_DEEP. */
#define GF_PAGES_DEEP 4u
GF_INLINE void gf_pages_peek(struct gf_pages *t, const struct gf_kmem *k, uint32_t pass, const uint64_t *va, uint32_t len, const uint8_t **ret)
{
	uint64_t page[GF_PAGES_DEEP], at[GF_PAGES_DEEP];

	GF_UNROLL
	for (uint32_t i = 0; i < GF_PAGES_DEEP; i++) {
		page[i] = gf_shared_get(&t->page[gf_pages_home(va[i])]);
		at[i] = gf_shared_get(&t->at[gf_pages_home(va[i])]);
	}
	GF_UNROLL
	for (uint32_t i = 0; i < GF_PAGES_DEEP; i++) {
		uint32_t in = (uint32_t)(va[i] & 4095);
		int there = va[i] >> 63 && page[i] == va[i] - in && at[i] && in + len <= 4096 && va[i] - k->page_offset >= k->direct_size;

		ret[i] = there ? (const uint8_t *)(uintptr_t)at[i] + in : NULL;
		if (there)
			gf_shared_stamp(&t->used[gf_pages_home(va[i])], pass);
	}
}

#endif
