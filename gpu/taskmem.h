/* SPDX-License-Identifier: MIT
 *
 * What one process has: memory, descriptors. Part of gpu/tasks.h.
 *
 * How exact. vsz, pgtables and, before 6.2, rss are single words: exact at the moment of the load (threads of
 * kernels before 6.2 keep up to 64 page faults each to themselves, as /proc does not see them either:
 * SPLIT_RSS_COUNTING). Since 6.2 the four page counters are a word and a part a CPU, summed here. A CPU that folds
 * its part into the word between our two looks is counted twice or not at all: then we look again, three times;
 * after that the sum may be off by one batch (percpu_counter_batch, at least 32 and twice the online CPUs) for
 * each CPU that did so. /proc/PID/stat shows the word alone
 * (percpu_counter_read_positive), and so may differ from the sum by up to batch - 1 pages for each CPU and
 * counter, in either direction, without either being wrong; statm and status do so, too, in kernels that do not
 * have get_mm_counter_sum() (6.12.117 has it).
 */
#ifndef GPUFAS_TASKMEM_H
#define GPUFAS_TASKMEM_H

#include "gpu/pages.h"
#include "gpu/pulse.h"
#include "gpu/walk.h"
#include "gpufas/taskrec.h"

#define GF_MMF_OOM_SKIP 21 /* include/linux/sched/coredump.h, since 4.10 */

/* What all lanes of a pass read with. */
struct gf_task_ctx {
	const struct gf_kmem *k;
	const struct gf_layout *l;
	const struct gf_cpus *cpus;
	struct gf_tlb *tlb; /* the lane's own, or NULL */
	uint32_t want;      /* enum gf_rec_have */
	/* Loads that may still be spent on what the target alone says the length of (threads, bitmaps, CPUs): a
	 * bound on what a hostile one can make a tick cost. */
	uint32_t budget;
	uint32_t starved; /* more were needed */
	uint32_t parts_cost; /* what the parts of this process that have been fetched have cost, and have not been paid for */
	struct gf_pages *pages; /* instead of tlb: all lanes' own, of that pass */
	uint32_t pass;
	uint64_t *pulse;        /* gpu/pulse.h, or NULL */
};

GF_INLINE int gf_spend(struct gf_task_ctx *c, uint32_t n)
{
	if (c->budget < n) {
		c->starved = 1;
		return -1;
	}
#if GF_TEAM
	if ((c->budget ^ (c->budget - n)) & ~1023u)
		gf_pulse(c->pulse);
#endif
	c->budget -= n;
	return 0;
}

/* Between looks at an object. */
GF_INLINE void gf_src_fence(const struct gf_src s)
{
	if (!s.still)
		GF_LOAD_FENCE();
}

/* Memory that may lie outside the direct map. */
GF_INLINE const uint8_t *gf_ctx_at(const struct gf_task_ctx *c, uint64_t va, uint32_t len)
{
	return c->pages ? gf_pages_at(c->pages, c->k, c->pass, va, len) : gf_tlb_at(c->k, c->tlb, va, len);
}

#define GF_PARTS_DEEP GF_PAGES_DEEP /* CPUs whose parts are under way at a time */

/* The four counters of a CPU lie side by side: they are looked up once. */
GF_INLINE int gf_parts_together(const uint64_t *base)
{
	int together = 1;

	for (uint32_t i = 1; i < GF_RSS_PARTS; i++)
		together &= base[i] - base[0] < 64;
	return together;
}

/* Loads that wait for one another, of one look at all CPUs' parts. */
GF_INLINE uint32_t gf_parts_cost(const struct gf_cpus *cpus, int together)
{
	return (cpus->n + GF_PARTS_DEEP - 1) / GF_PARTS_DEEP * (together ? 1 : GF_RSS_PARTS);
}

/* Adds each CPU's part of counters at base[]: 0 or -1. Most often the four lie side by side: then they are two or three words. Paid for by the caller. */
GF_INLINE int gf_percpu_sum(const struct gf_task_ctx *c, const uint64_t *base, int64_t *sum)
{
	int together = gf_parts_together(base), row = base[0] % 4 == 0;

	for (uint32_t i = 1; i < GF_RSS_PARTS; i++)
		row &= base[i] - base[0] == 4 * i;
	for (uint32_t cpu = 0; cpu < c->cpus->n; cpu += GF_PARTS_DEEP) {
		const uint8_t *p[GF_PARTS_DEEP];
		uint64_t va[GF_PARTS_DEEP], w[GF_PARTS_DEEP][3];
		uint32_t n = GF_MIN(c->cpus->n - cpu, GF_PARTS_DEEP);

		GF_UNROLL
		for (uint32_t k = 0; k < GF_PARTS_DEEP; k++) {
			va[k] = k < n ? base[0] + c->cpus->off[cpu + k] : 0;
			p[k] = NULL;
		}
		if (c->pages)
			gf_pages_peek(c->pages, c->k, c->pass, va, 4 + 64, p);
		GF_UNROLL
		for (uint32_t k = 0; k < GF_PARTS_DEEP; k++)
			if (k >= n || !together || va[k] % 4)
				p[k] = NULL;
			else if (!p[k])
				p[k] = gf_ctx_at(c, va[k], 4 + 64);
		GF_UNROLL
		for (uint32_t k = 0; k < GF_PARTS_DEEP; k++) {
			uint32_t odd = (uint32_t)((uintptr_t)p[k] & 4);

			w[k][0] = w[k][1] = w[k][2] = 0;
			if (!p[k] || !row || (uintptr_t)p[k] & 3)
				continue;
			w[k][0] = gf_load(p[k] - odd, 8);
			w[k][1] = gf_load(p[k] - odd + 8, 8);
			if (odd)
				w[k][2] = gf_load(p[k] + 12, 4);
		}
		GF_UNROLL
		for (uint32_t k = 0; k < GF_PARTS_DEEP; k++) {
			uint32_t odd = (uint32_t)((uintptr_t)p[k] & 4) * 8;

			if (k >= n)
				continue;
			if (p[k] && row && !((uintptr_t)p[k] & 3)) {
				sum[0] += (int32_t)(w[k][0] >> odd);
				sum[1] += (int32_t)(odd ? w[k][1] : w[k][0] >> 32);
				sum[2] += (int32_t)(odd ? w[k][1] >> 32 : w[k][1]);
				sum[3] += (int32_t)(odd ? w[k][2] : w[k][1] >> 32);
				continue;
			}
			for (uint32_t i = 0; i < GF_RSS_PARTS; i++) {
				const uint8_t *q = p[k] ? p[k] + (base[i] - base[0]) : gf_ctx_at(c, base[i] + c->cpus->off[cpu + k], 4);
				if (!q)
					return -1;
				sum[i] += (int32_t)gf_load(q, 4);
			}
		}
	}
	return 0;
}

/* The four page counters of an address space: 0 or -1. parts: what CPUs have of them, summed, where that has been fetched, too. */
GF_INLINE int gf_read_rss(struct gf_task_ctx *c, const struct gf_layout_mm *o, const struct gf_src p, const int64_t *parts, int64_t *v)
{
	if (o->rss_kind == GF_RSS_NONE || (o->rss_kind == GF_RSS_PERCPU && c->cpus->over))
		return -1;
	for (uint32_t look = 0; look < 3; look++) {
		uint64_t base[GF_RSS_PARTS];
		int64_t word[GF_RSS_PARTS], sum[GF_RSS_PARTS] = { 0 };
		int same = 1;

		for (uint32_t i = 0; i < GF_RSS_PARTS; i++)
			word[i] = (int64_t)gf_src_load(p, o->rss[i], 8);
		if (p.still) {
			if (gf_spend(c, c->parts_cost))
				return -1;
			for (uint32_t i = 0; i < GF_RSS_PARTS && o->rss_kind == GF_RSS_PERCPU; i++)
				sum[i] = parts[i];
		} else if (o->rss_kind == GF_RSS_PERCPU) {
			for (uint32_t i = 0; i < GF_RSS_PARTS; i++) {
				base[i] = gf_src_load(p, o->rss_cpu[i], 8);
				if (base[i] & 3 || !base[i])
					return -1;
			}
			/* Another look is not worth to starve for: the last one is off by some batches at the most. */
			uint32_t cost = gf_parts_cost(c->cpus, gf_parts_together(base));
			if (look && c->budget < cost)
				break;
			gf_src_fence(p);
			if (gf_spend(c, cost) || gf_percpu_sum(c, base, sum))
				return -1;
			gf_src_fence(p);
		}
		for (uint32_t i = 0; i < GF_RSS_PARTS; i++) {
			same &= p.still || o->rss_kind != GF_RSS_PERCPU || (int64_t)gf_src_load(p, o->rss[i], 8) == word[i];
			v[i] = GF_MAX((int64_t)((uint64_t)word[i] + (uint64_t)sum[i]), (int64_t)0);
			if (v[i] >> 40)
				return -1; /* more than 4 PiB: no such count */
		}
		if (same)
			break;
	}
	return 0;
}

/* o: where p's numbers are. */
GF_INLINE void gf_read_mm_of(struct gf_task_ctx *c, const struct gf_layout_mm *o, const struct gf_src p, const int64_t *parts,
			     struct gf_task_rec *r)
{
	int64_t v[GF_RSS_PARTS];

	/* No more than is wanted: each is a line of its own, which is what a request of a device costs. */
	if (c->want & GF_REC_VSZ) {
		r->vsz = gf_s64(p, o->total_vm);
		r->have |= GF_REC_VSZ;
	}
	if (!(c->want & (GF_REC_RSS | GF_REC_SWAP | GF_REC_PGTABLES)))
		return;
	if (!gf_read_rss(c, o, p, parts, v)) {
		r->file = v[GF_RSS_FILE];
		r->anon = v[GF_RSS_ANON];
		r->swap = v[GF_RSS_SWAP];
		r->shmem = v[GF_RSS_SHMEM];
		r->have |= GF_REC_RSS | GF_REC_SWAP;
	}
	if (!(c->want & GF_REC_PGTABLES))
		return;
	if (c->l->mm.pgtables != GF_ABSENT) {
		r->pgtables = gf_s64(p, o->pgtables);
		if (!(r->pgtables >> 52))
			r->have |= GF_REC_PGTABLES;
	}
	if (gf_s64(p, o->flags) >> GF_MMF_OOM_SKIP & 1)
		r->flags |= GF_REC_OOM_SKIP;
}

GF_OUTLINE void gf_read_mm(struct gf_task_ctx *c, uint64_t mm, struct gf_task_rec *r)
{
	const uint8_t *p = gf_obj(c->k, mm, c->l->mm.span);

	if (p)
		gf_read_mm_of(c, &c->l->mm, gf_src_at(p), NULL, r);
	else
		r->flags |= GF_REC_TORN;
}

GF_INLINE uint32_t gf_popcount(uint64_t w)
{
	w -= (w >> 1) & 0x5555555555555555ull;
	w = (w & 0x3333333333333333ull) + ((w >> 2) & 0x3333333333333333ull);
	w = (w + (w >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return (uint32_t)((w * 0x0101010101010101ull) >> 56);
}

/* Descriptors of the files_struct that a task holds at *holder (mapped). */
GF_OUTLINE void gf_read_fds(struct gf_task_ctx *c, const uint8_t *holder, uint64_t files, struct gf_task_rec *r)
{
	const struct gf_layout_files *o = &c->l->files;
	uint64_t fdt, again, bits, max;
	uint32_t words, n = 0;

	if (files & 7 || gf_kmem_load(c->k, files + o->fdt, 8, &fdt) || fdt & 7 || gf_kmem_load(c->k, fdt + o->max_fds, 4, &max) ||
	    gf_kmem_load(c->k, fdt + o->open_fds, 8, &bits) || bits & 7)
		return;
	words = (uint32_t)((max + 63) / 64);
	if (words > GF_REC_FD_WORDS || gf_spend(c, words))
		return;
	for (uint32_t i = 0; i < words; i++) {
		const uint8_t *p = gf_tlb_at(c->k, c->tlb, bits + 8ull * i, 8); /* a large bitmap lies in vmalloc memory */
		if (!p)
			return;
		n += gf_popcount(gf_load(p, 8));
	}
	GF_LOAD_FENCE();
	/* Given back meanwhile, or grown: what was counted may be anything. */
	if (gf_load(holder + c->l->task.files, 8) != files || gf_kmem_load(c->k, files + o->fdt, 8, &again) || again != fdt)
		return;
	r->fds = n;
	r->have |= GF_REC_FDS;
}

#endif
