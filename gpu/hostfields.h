/* SPDX-License-Identifier: MIT
 *
 * Host fields of a memory target, computed as its kernel computes what /proc shows: a handful of words, and
 * sums over CPUs. Parts that do not depend on each other may be different lanes' work.
 *
 * How exact. Memory: the global counters, without what CPUs keep back (up to stat_threshold pages each, 125 at most), as
 * /proc/meminfo reads them. PSI averages are as of their last update, every 2 s while anything happens; once all CPUs
 * idle they are let decay as the kernel would when it wakes. CPU times are in ns, /proc/stat's in ticks of 10 ms.
 */
#ifndef GPUFAS_HOSTFIELDS_H
#define GPUFAS_HOSTFIELDS_H

#include "gpu/clock.h"
#include "gpu/team.h"
#include "gpu/walk.h"
#include "gpufas/fields.h"

#define GF_BLOCK_DEVICES 4096u
#define GF_NODES_MAX 1024u /* MAX_NUMNODES of x86 at the most */
#define GF_FIXED_1 2048.0 /* include/linux/sched/loadavg.h: 11 bits behind the point */
#define GF_PSI_PERIOD_NS 2000000000ull

struct gf_host_state {
	uint64_t psi_updated, psi_seen_ns; /* avg_last_update as last seen, and when it was first seen to be that */
	uint32_t idle; /* all CPUs idled at the last look */
	uint32_t reserved;
};

/* Parts of the work that do not depend on each other; then each CPU's of each sum. */
enum gf_host_part { GF_HP_MEMORY, GF_HP_AVAILABLE, GF_HP_CACHED, GF_HP_COUNTS, GF_HP_PSI, GF_HP_PARTS };

/*
 * The words that a part read at the last pass, in the order in which it read them: it will read the same ones, if no list has changed. A team loads
 * them side by side at the beginning of a pass (gf_host_words_load); the part, which would wait for one after the other, then finds them here. What it
 * asks for that is not there, or not next, is loaded as ever.
 */
#define GF_HOST_WORDS 64u /* of a part */

struct gf_host_said {
	uint64_t va, v;
	uint64_t size;  /* bytes */
	uint64_t there; /* v is of this pass */
};

struct gf_host_words {
	struct gf_host_said word[GF_HP_PARTS][GF_HOST_WORDS];
	uint32_t n[GF_HP_PARTS];
	uint32_t reserved;
};

/* What a part reads. */
struct gf_host_mem {
	const struct gf_kmem *mem;
	struct gf_host_words *words; /* or NULL */
	uint32_t part, at;           /* words that it has asked for */
};

/* A team, at the beginning of a pass, before any part. */
GF_OUTLINE void gf_host_words_load(struct gf_host_words *w, const struct gf_kmem *k, uint32_t lane, uint32_t lanes)
{
	for (uint32_t i = lane; i < GF_HP_PARTS * GF_HOST_WORDS; i += lanes) {
		uint32_t part = i / GF_HOST_WORDS, at = i % GF_HOST_WORDS;

		if (at < w->n[part])
			w->word[part][at].there = !gf_kmem_load(k, w->word[part][at].va, (uint32_t)w->word[part][at].size, &w->word[part][at].v);
	}
}

/* As gf_kmem_load. */
GF_OUTLINE int gf_host_load(struct gf_host_mem *m, uint64_t va, uint32_t size, uint64_t *ret)
{
	struct gf_host_words *w = m->words;
	uint32_t i = m->at++;
	struct gf_host_said *to, x;

	if (!w || i >= GF_HOST_WORDS)
		return gf_kmem_load(m->mem, va, size, ret);
	to = &w->word[m->part][i];
	x = *to;
	/* Not &&: all of it is loaded at once. */
	if ((i < w->n[m->part]) & (x.va == va) & (x.size == size) & (x.there != 0)) {
		*ret = x.v;
		return 0;
	}
	to->va = va;
	to->size = size;
	to->there = 0;
	return gf_kmem_load(m->mem, va, size, ret);
}

/* As gf_list_next. */
GF_INLINE int gf_host_next(struct gf_host_mem *m, uint64_t node, uint64_t *ret)
{
	uint64_t next;

	if (gf_host_load(m, node, 8, &next) || next & 7 || !(next >> 63))
		return -1;
	*ret = next;
	return 0;
}

GF_OUTLINE double gf_hf_count(struct gf_host_mem *k, uint64_t at, double unit)
{
	uint64_t v;

	if (!at || gf_host_load(k, at, 8, &v))
		return gf_unknown();
	return (int64_t)v > 0 ? (double)v * unit : 0;
}

/* Pages of a global counter; 0 or -1. */
GF_OUTLINE int gf_hf_pages(struct gf_host_mem *k, uint64_t array, uint32_t i, int64_t *ret)
{
	uint64_t v;

	if (!array || i == GF_ABSENT || gf_host_load(k, array + 8ull * i, 8, &v) || (int64_t)v >> 52 > 0)
		return -1;
	*ret = GF_MAX((int64_t)v, (int64_t)0);
	return 0;
}

GF_OUTLINE int gf_hf_node(struct gf_host_mem *k, const struct gf_layout *l, enum gf_node_stat i, int64_t *ret)
{
	return gf_hf_pages(k, l->host.node_stat, l->host.ns[i], ret);
}

/* Low watermarks of one node's zones, added to *sum. */
GF_OUTLINE int gf_hf_zones(struct gf_host_mem *k, const struct gf_layout *l, uint64_t pgdat, int64_t *sum)
{
	const struct gf_layout_host *o = &l->host;

	for (uint32_t z = 0; z < GF_MIN(o->zones, 16u); z++) {
		uint64_t at = pgdat + o->zones_off + (uint64_t)z * o->zone_size, low, boost = 0;

		if (gf_host_load(k, at + o->zone_wmark_low, 8, &low) ||
		    (o->zone_boost != GF_ABSENT && gf_host_load(k, at + o->zone_boost, 8, &boost)) ||
		    low >> 40 || boost >> 40)
			return -1;
		*sum += (int64_t)(low + boost);
	}
	return 0;
}

GF_OUTLINE int gf_hf_wmark_low(struct gf_host_mem *k, const struct gf_layout *l, int64_t *ret)
{
	const struct gf_layout_host *o = &l->host;
	int64_t sum = 0;
	uint64_t w = 0, pgdat;
	uint32_t nodes = GF_MIN(o->max_nodes, GF_NODES_MAX);

	if (!o->zones)
		return -1;
	if (!o->node_data) {
		if (gf_hf_zones(k, l, o->contig_page_data, &sum))
			return -1;
		*ret = sum;
		return 0;
	}
	for (uint32_t first = 0; first < nodes; first += 64) {
		if (gf_host_load(k, o->node_online + first / 8, 8, &w))
			return -1;
		/* Room for a thousand nodes, and one is there: not all bits are looked at. */
		for (; w; w &= w - 1) {
			uint32_t n = first + gf_ctz64(w);

			if (n >= nodes)
				break;
			if (gf_host_load(k, o->node_data + 8ull * n, 8, &pgdat) || !pgdat || gf_hf_zones(k, l, pgdat, &sum))
				return -1;
		}
	}
	*ret = sum;
	return 0;
}

/* mm/show_mem.c, si_mem_available(). Pages, or -1. */
GF_OUTLINE int64_t gf_hf_available(struct gf_host_mem *k, const struct gf_layout *l)
{
	int64_t low, free, active, inactive, slab, misc, cache, reclaimable, v;
	uint64_t reserve;

	if (gf_hf_wmark_low(k, l, &low) || gf_hf_pages(k, l->host.zone_stat, l->host.free_pages, &free) || !l->host.totalreserve ||
	    gf_host_load(k, l->host.totalreserve, 8, &reserve) || reserve >> 52 || gf_hf_node(k, l, GF_NS_ACTIVE_FILE, &active) ||
	    gf_hf_node(k, l, GF_NS_INACTIVE_FILE, &inactive) || gf_hf_node(k, l, GF_NS_SLAB_RECLAIMABLE, &slab) ||
	    gf_hf_node(k, l, GF_NS_MISC_RECLAIMABLE, &misc))
		return -1;
	cache = active + inactive;
	cache -= GF_MIN(cache / 2, low);
	reclaimable = slab + misc;
	reclaimable -= GF_MIN(reclaimable / 2, low);
	v = free - (int64_t)reserve + cache + reclaimable;
	return GF_MAX(v, (int64_t)0);
}

/* Pages cached of block devices themselves (block/bdev.c, nr_blockdev_pages()): 0 or -1. */
GF_OUTLINE int gf_hf_buffers(struct gf_host_mem *k, const struct gf_layout *l, int64_t *ret)
{
	const struct gf_layout_host *o = &l->host;
	uint64_t sb, head, node, mapping, pages, sum = 0;

	if (!o->blockdev_super || o->sb_inodes == GF_ABSENT || o->inode_sb_list == GF_ABSENT || o->inode_mapping == GF_ABSENT ||
	    o->mapping_nrpages == GF_ABSENT || gf_host_load(k, o->blockdev_super, 8, &sb) || !sb)
		return -1;
	head = sb + o->sb_inodes;
	if (gf_host_next(k, head, &node))
		return -1;
	for (uint32_t i = 0; node != head; i++) {
		uint64_t inode = node - o->inode_sb_list;

		if (i == GF_BLOCK_DEVICES || gf_host_load(k, inode + o->inode_mapping, 8, &mapping) ||
		    gf_host_load(k, mapping + o->mapping_nrpages, 8, &pages) || pages >> 52 || gf_host_next(k, node, &node))
			return -1;
		sum += pages;
	}
	*ret = (int64_t)sum;
	return 0;
}

/* fs/proc/meminfo.c: Cached. Pages, or -1. */
GF_OUTLINE int64_t gf_hf_cached(struct gf_host_mem *k, const struct gf_layout *l)
{
	int64_t files, swapped = 0, buffers;
	uint64_t swap = 1;

	if (gf_hf_node(k, l, GF_NS_FILE_PAGES, &files) || gf_hf_buffers(k, l, &buffers))
		return -1;
	if (gf_hf_node(k, l, GF_NS_SWAPCACHE, &swapped)) {
		/* Before 5.12 (b6038942480e) it is counted by swap device: not followed. Without swap there is none. */
		if (!l->host.total_swap || gf_host_load(k, l->host.total_swap, 8, &swap) || swap)
			return -1;
		swapped = 0;
	}
	return GF_MAX(files - swapped - buffers, (int64_t)0);
}

GF_OUTLINE double gf_hf_bytes(int64_t pages)
{
	return pages < 0 ? gf_unknown() : (double)pages * 4096.0;
}

#define GF_HF_MEM (GF_BIT(GF_HF_MEM_TOTAL) | GF_BIT(GF_HF_MEM_AVAILABLE) | GF_BIT(GF_HF_MEM_FREE) | GF_BIT(GF_HF_MEM_CACHED) | \
		   GF_BIT(GF_HF_MEM_DIRTY) | GF_BIT(GF_HF_MEM_SLAB) | GF_BIT(GF_HF_SWAP_TOTAL) | GF_BIT(GF_HF_SWAP_FREE) | \
		   GF_BIT(GF_HF_SWAP_USED))

GF_OUTLINE void gf_hf_memory(struct gf_host_mem *k, const struct gf_layout *l, double *h)
{
	int64_t a, b;

	h[GF_HF_MEM_TOTAL] = gf_hf_count(k, l->host.totalram, 4096);
	h[GF_HF_MEM_FREE] = gf_hf_bytes(gf_hf_pages(k, l->host.zone_stat, l->host.free_pages, &a) ? -1 : a);
	h[GF_HF_MEM_DIRTY] = gf_hf_bytes(gf_hf_node(k, l, GF_NS_FILE_DIRTY, &a) ? -1 : a);
	h[GF_HF_MEM_SLAB] = gf_hf_bytes(gf_hf_node(k, l, GF_NS_SLAB_RECLAIMABLE, &a) ||
					gf_hf_node(k, l, GF_NS_SLAB_UNRECLAIMABLE, &b) ? -1 : a + b);
	h[GF_HF_SWAP_TOTAL] = gf_hf_count(k, l->host.total_swap, 4096);
	h[GF_HF_SWAP_FREE] = gf_hf_count(k, l->host.nr_swap, 4096);
	h[GF_HF_SWAP_USED] = h[GF_HF_SWAP_TOTAL] - h[GF_HF_SWAP_FREE];
}

#include "gpu/host_sums.h"

/* Whether CPU i has nothing to do, or is not online: 1, 0, or -1 (not known). */
GF_OUTLINE int gf_cpu_idle(const struct gf_kmem *k, const struct gf_layout *l, const struct gf_cpus *c, uint32_t i)
{
	const struct gf_layout_host *o = &l->host;
	uint64_t rq = o->runqueues + c->off[i], n, curr, idle;
	const uint8_t *at[3];

	if (!o->runqueues || o->rq_running == GF_ABSENT || o->rq_curr == GF_ABSENT || o->rq_idle == GF_ABSENT)
		return -1;
	if (!gf_cpu_online(c, i))
		return 1;
	at[0] = gf_kmem_num(k, rq + o->rq_running, 4);
	at[1] = gf_kmem_num(k, rq + o->rq_curr, 8);
	at[2] = gf_kmem_num(k, rq + o->rq_idle, 8);
	if (!at[0] || !at[1] || !at[2])
		return -1;
	n = gf_load(at[0], 4);
	curr = gf_load(at[1], 8);
	idle = gf_load(at[2], 8);
	return !n && curr == idle;
}

/* Whether no CPU has anything to do: 1, 0, or -1 (not known). */
GF_OUTLINE int gf_cpus_idle(const struct gf_kmem *k, const struct gf_layout *l, const struct gf_cpus *c)
{
	for (uint32_t i = 0; i < c->n; i++) {
		int r = gf_cpu_idle(k, l, c, i);
		if (r != 1)
			return r;
	}
	return 1;
}

#define GF_HF_PSI_FIRST GF_HF_PSI_CPU_SOME_10
#define GF_HF_PSI_LAST  GF_HF_PSI_IO_FULL_300

/* kernel/sched/psi.c, calc_avgs(): an average that nothing has been added to for `missed` periods. */
GF_OUTLINE uint64_t gf_psi_decay(uint64_t avg, uint64_t missed, uint32_t window)
{
	const uint64_t keep = window == 0 ? 1677 : window == 1 ? 1981 : 2034; /* EXP_10s, EXP_60s, EXP_300s */

	for (uint64_t i = 0; avg && i < GF_MIN(missed, (uint64_t)2000); i++)
		avg = avg * keep >> 11;
	return avg;
}

GF_OUTLINE void gf_hf_psi(struct gf_host_mem *k, const struct gf_layout *l, struct gf_host_state *s, uint64_t now_ns, double *h)
{
	/* By resource as fields.def has them: cpu, memory, io; each some, full. */
	static const uint8_t state[3][2] = { { 4, 5 }, { 2, 3 }, { 0, 1 } };
	const struct gf_layout_host *o = &l->host;
	uint64_t off = 0, updated = 0, v, missed = 0;

	if (!o->psi || (o->psi_disabled && !gf_host_load(k, o->psi_disabled, 4, &off) && off))
		return;
	if (o->psi_updated != GF_ABSENT && gf_host_load(k, o->psi + o->psi_updated, 8, &updated))
		return;
	if (updated != s->psi_updated || !s->psi_seen_ns) {
		s->psi_updated = updated;
		s->psi_seen_ns = now_ns;
	}
	if (s->idle && now_ns - s->psi_seen_ns >= 2 * GF_PSI_PERIOD_NS)
		missed = (now_ns - s->psi_seen_ns) / GF_PSI_PERIOD_NS - 1;
	for (uint32_t res = 0; res < 3; res++)
		for (uint32_t full = 0; full < 2; full++)
			for (uint32_t w = 0; w < 3; w++) {
				uint32_t at = o->psi_avg[state[res][full]];
				double *to = &h[GF_HF_PSI_FIRST + res * 6 + full * 3 + w];

				if (at == GF_ABSENT || gf_host_load(k, o->psi + at + w * 8, 8, &v) || v > 101 * 2048)
					continue;
				/* All CPUs' being waited for is not defined for the whole machine (psi_show()). */
				*to = res == 0 && full ? 0 : (double)gf_psi_decay(v, missed, w) / GF_FIXED_1;
			}
}

GF_OUTLINE uint32_t gf_host_parts(const struct gf_cpus *c)
{
	return GF_HP_PARTS + GF_HS_COUNT * c->n;
}

/* h has been set to unknown, and sums to 0. want: 1 << enum gf_host_field. */
GF_OUTLINE void gf_host_part(struct gf_host_mem *k, const struct gf_layout *l, const struct gf_cpus *c, struct gf_host_state *s,
			    struct gf_host_sums *sums, uint64_t want, uint64_t now_ns, uint64_t mono_ns, double *h, uint32_t part, int alone)
{
	const struct gf_layout_host *o = &l->host;
	const uint64_t psi = (GF_BIT(GF_HF_PSI_LAST) - GF_BIT(GF_HF_PSI_FIRST)) | GF_BIT(GF_HF_PSI_LAST);
	uint64_t v;

	k->part = part;
	k->at = 0;
	switch (part) {
	case GF_HP_MEMORY:
		if (want & GF_HF_MEM)
			gf_hf_memory(k, l, h);
		break;
	case GF_HP_AVAILABLE:
		if (want & GF_BIT(GF_HF_MEM_AVAILABLE))
			h[GF_HF_MEM_AVAILABLE] = gf_hf_bytes(gf_hf_available(k, l));
		break;
	case GF_HP_CACHED:
		if (want & GF_BIT(GF_HF_MEM_CACHED))
			h[GF_HF_MEM_CACHED] = gf_hf_bytes(gf_hf_cached(k, l));
		break;
	case GF_HP_COUNTS:
		for (uint32_t i = 0; i < 3; i++)
			if (want & (GF_BIT(GF_HF_LOAD_1) << i))
				h[GF_HF_LOAD_1 + i] = gf_hf_count(k, o->avenrun ? o->avenrun + 8 * i : 0, 1 / GF_FIXED_1);
		if (want & GF_BIT(GF_HF_CPU_COUNT))
			h[GF_HF_CPU_COUNT] = c->online;
		if (want & GF_BIT(GF_HF_TASKS_THREADS) && o->nr_threads && !gf_host_load(k, o->nr_threads, 4, &v))
			h[GF_HF_TASKS_THREADS] = (double)v;
		if (want & GF_BIT(GF_HF_TASKS_FORKS))
			h[GF_HF_TASKS_FORKS] = gf_hf_count(k, o->total_forks, 1);
		break;
	case GF_HP_PSI:
		if (want & psi)
			gf_hf_psi(k, l, s, now_ns, h);
		break;
	default:
		part -= GF_HP_PARTS;
		if (gf_hs_wanted(want, part % GF_HS_COUNT))
			gf_hs_add(k->mem, o, c, part % GF_HS_COUNT, part / GF_HS_COUNT, mono_ns, sums, alone);
		return;
	}
	if (k->words)
		k->words->n[part] = GF_MIN(k->at, GF_HOST_WORDS);
}

/* When all parts are done: what the sums say. */
GF_OUTLINE void gf_host_sums_set(const struct gf_layout *l, const struct gf_cpus *c, const struct gf_host_sums *sums, uint64_t want, double *h)
{
	const struct gf_layout_host *o = &l->host;

	if (want & GF_BIT(GF_HF_CPU_BUSYTIME)) {
		double sum = 0;
		for (uint32_t i = GF_CS_USER; i <= GF_CS_SOFTIRQ; i++)
			sum += gf_hs_value(o, c, sums, GF_HS_CPU + i);
		h[GF_HF_CPU_BUSYTIME] = sum;
	}
	if (want & GF_BIT(GF_HF_CPU_IOWTIME))
		h[GF_HF_CPU_IOWTIME] = gf_hs_value(o, c, sums, GF_HS_CPU + GF_CS_IOWAIT);
	if (want & GF_BIT(GF_HF_CPU_STEALTIME))
		h[GF_HF_CPU_STEALTIME] = gf_hs_value(o, c, sums, GF_HS_CPU + GF_CS_STEAL);
	if (want & GF_BIT(GF_HF_TASKS_RUNNING))
		h[GF_HF_TASKS_RUNNING] = gf_hs_value(o, c, sums, GF_HS_RUNNING);
	if (want & GF_BIT(GF_HF_TASKS_BLOCKED)) {
		/* A CPU's count may be below 0, one for all is not: tasks sleep on one CPU and wake on another. */
		double sum = gf_hs_value(o, c, sums, GF_HS_BLOCKED);
		h[GF_HF_TASKS_BLOCKED] = gf_is_unknown(sum) ? sum : (double)(uint32_t)(uint64_t)sum;
	}
	if (want & GF_BIT(GF_HF_VM_PSWPIN))
		h[GF_HF_VM_PSWPIN] = gf_hs_value(o, c, sums, GF_HS_EVENT + GF_VME_PSWPIN);
	if (want & GF_BIT(GF_HF_VM_PSWPOUT))
		h[GF_HF_VM_PSWPOUT] = gf_hs_value(o, c, sums, GF_HS_EVENT + GF_VME_PSWPOUT);
	if (want & GF_BIT(GF_HF_VM_PGMAJFAULT))
		h[GF_HF_VM_PGMAJFAULT] = gf_hs_value(o, c, sums, GF_HS_EVENT + GF_VME_PGMAJFAULT);
	if (want & GF_BIT(GF_HF_VM_OOM_KILL))
		h[GF_HF_VM_OOM_KILL] = gf_hs_value(o, c, sums, GF_HS_EVENT + GF_VME_OOM_KILL);
	if (want & GF_BIT(GF_HF_VM_PGSCAN)) {
		double sum = gf_unknown();
		for (uint32_t i = GF_VME_PGSCAN; i <= GF_VME_PGSCAN_LAST; i++) {
			double d = gf_hs_value(o, c, sums, GF_HS_EVENT + i);
			if (!gf_is_unknown(d))
				sum = gf_is_unknown(sum) ? d : sum + d;
		}
		h[GF_HF_VM_PGSCAN] = sum;
	}
}

/* Fills h (all GF_HF_COUNT are set, to unknown where not wanted or not to be had), but for tasks.count, uptime and
 * os.stalled, by one lane alone. */
GF_OUTLINE void gf_host_fields_walk(const struct gf_kmem *k, const struct gf_layout *l, const struct gf_cpus *c,
				   struct gf_host_state *s, uint64_t want, uint64_t now_ns, uint64_t mono_ns, double *h)
{
	struct gf_host_sums sums = { { 0 }, { 0 }, 0 };
	struct gf_host_mem m = { k, NULL, 0, 0 };

	for (uint32_t i = 0; i < GF_HF_COUNT; i++)
		h[i] = gf_unknown();
	for (uint32_t i = 0; i < gf_host_parts(c); i++)
		gf_host_part(&m, l, c, s, &sums, want, now_ns, mono_ns, h, i, 1);
	gf_host_sums_set(l, c, &sums, want, h);
}

#endif
