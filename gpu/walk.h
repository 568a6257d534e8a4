/* SPDX-License-Identifier: MIT
 *
 * Steps through a kernel's containers in memory that it goes on changing, and that need not be
 * honest. Every step checks what it follows and every walk is bounded; each function is one
 * lane's work, so that a GPU takes one lane a slot and the CPU a loop.
 */
#ifndef GPUFAS_WALK_H
#define GPUFAS_WALK_H

#include "gpu/kmem.h"
#include "gpu/layout.h"

/* ---- pointers ------------------------------------------------------------- */

/* Where a kernel object of `span` bytes at va is mapped here, or NULL: NULL, unaligned, not of
 * the kernel's half, or not there in one piece (objects of a slab are). */
GF_INLINE const uint8_t *gf_obj(const struct gf_kmem *k, uint64_t va, uint32_t span)
{
	struct gf_gva a = { va };

	return va & 7 || !(va >> 63) ? NULL : gf_kmem_at(k, a, span);
}

/* Numbers of an object that gf_obj has mapped; 0 where the kernel has no such member. */
GF_INLINE uint64_t gf_u64(const uint8_t *p, uint32_t off)
{
	return off == GF_ABSENT ? 0 : gf_load(p + off, 8);
}

GF_INLINE uint32_t gf_u32(const uint8_t *p, uint32_t off)
{
	return off == GF_ABSENT ? 0 : (uint32_t)gf_load(p + off, 4);
}

/*
 * The numbers of an object where it is mapped; or as they have been fetched (gpu/gather.h), by a layout made for that, in which what the kernel does not
 * have leads to a zero. Those stand still, and are loaded as a compiler likes. `still` is a constant wherever one of these is made.
 */
struct gf_src {
	const uint8_t *p;
	int still;
	uint32_t stride; /* fetched: bytes from a word to the one that was behind it */
};

GF_INLINE struct gf_src gf_src_at(const uint8_t *p)
{
	const struct gf_src s = { p, 0, 8 };

	return s;
}

GF_INLINE struct gf_src gf_src_fetched(const uint64_t *w, uint32_t stride)
{
	const struct gf_src s = { (const uint8_t *)w, 1, stride * 8 };

	return s;
}

/* size bytes at off, which is there. */
GF_INLINE uint64_t gf_src_load(const struct gf_src s, uint32_t off, uint32_t size)
{
	if (!s.still)
		return gf_load(s.p + off, size);
	switch (size) {
	case 1: return *(s.p + off);
	case 2: return *(const gf_u16_any *)(const void *)(s.p + off);
	case 4: return *(const gf_u32_any *)(const void *)(s.p + off);
	default: return *(const gf_u64_any *)(const void *)(s.p + off);
	}
}

/* Sixteen bytes at off. */
GF_INLINE void gf_src_text(const struct gf_src s, uint32_t off, char *to)
{
	const uint8_t *p = s.p + (off & ~7u);
	uint32_t by = off % 8 * 8;
	uint64_t v[2];

	if (!s.still) {
		for (uint32_t i = 0; i < 16; i++)
			to[i] = (char)gf_load(s.p + off + i, 1);
		return;
	}
	v[0] = *(const gf_u64_any *)(const void *)p;
	v[1] = *(const gf_u64_any *)(const void *)(p + s.stride);
	if (by) {
		v[0] = v[0] >> by | v[1] << (64 - by);
		v[1] = v[1] >> by | *(const gf_u64_any *)(const void *)(p + 2 * s.stride) << (64 - by);
	}
	for (uint32_t i = 0; i < 16; i++)
		to[i] = (char)(v[i / 8] >> i % 8 * 8);
}

GF_INLINE uint64_t gf_s64(const struct gf_src s, uint32_t off)
{
	return !s.still && off == GF_ABSENT ? 0 : gf_src_load(s, off, 8);
}

GF_INLINE uint32_t gf_s32(const struct gf_src s, uint32_t off)
{
	return !s.still && off == GF_ABSENT ? 0 : (uint32_t)gf_src_load(s, off, 4);
}

/* Memory outside the direct map (vmalloc: dynamic per-CPU parts) is looked up in page tables: what was
 * found is kept here, for one pass and one lane. All zeros: empty. A lane that does it all gains by many; of thousands
 * each sees a few tasks, and its memory is dear. A power of 2. */
#ifndef GF_TLB_WAYS
#if defined(__CUDACC__)
#define GF_TLB_WAYS 4u
#else
#define GF_TLB_WAYS 64u
#endif
#endif

struct gf_tlb {
	uint64_t page[GF_TLB_WAYS]; /* va of the page; 0: none */
	const uint8_t *at[GF_TLB_WAYS];
};

GF_INLINE const uint8_t *gf_tlb_at(const struct gf_kmem *k, struct gf_tlb *t, uint64_t va, uint32_t len)
{
	uint64_t page = va & ~4095ull;
	uint32_t way = (uint32_t)((va >> 12 ^ va >> 21) & (GF_TLB_WAYS - 1));
	struct gf_gva a = { va };

	if (!(va >> 63))
		return NULL; /* page 0 would be an empty way's */
	if (!t || va - k->page_offset < k->direct_size || va - page + len > 4096)
		return gf_kmem_at(k, a, len);
	if (t->page[way] != page) {
		a.v = page;
		const uint8_t *p = gf_kmem_at(k, a, 4096);
		if (!p)
			return NULL;
		t->page[way] = page;
		t->at[way] = p;
	}
	return t->at[way] + (va - page);
}

/* ---- CPUs ----------------------------------------------------------------- */

#define GF_CPUS_MAX 1024u

/* The possible CPUs, in order. */
struct gf_cpus {
	uint32_t n, online;
	uint32_t over; /* there are more than fit: what is summed over CPUs is not known */
	uint32_t reserved;
	uint64_t off[GF_CPUS_MAX];            /* what makes a per-CPU address CPU i's own */
	uint64_t is_online[GF_CPUS_MAX / 64]; /* bit i: as above, not the CPU's number */
};
GF_STATIC_ASSERT(sizeof(struct gf_cpus) == 16 + 8 * GF_CPUS_MAX + GF_CPUS_MAX / 8, "gf_cpus");

GF_INLINE int gf_cpu_in(const struct gf_kmem *k, uint64_t mask, uint32_t cpu)
{
	uint64_t w;

	return gf_kmem_load(k, mask + cpu / 64 * 8, 8, &w) == 0 && (w >> cpu % 64 & 1);
}

/* Which CPUs there are: off[] holds their numbers until gf_cpu_find has been called for each. 0, or -1 when the masks cannot be
 * read or say that no CPU runs. */
GF_INLINE int gf_cpus_masks(const struct gf_kmem *k, const struct gf_layout *l, struct gf_cpus *c)
{
	uint64_t ids = l->max_cpus, w, on, bits = 0;
	const uint8_t *number, *possible, *online;
	uint32_t n = 0, running = 0;

	c->n = c->online = c->over = 0;
	for (uint32_t i = 0; i < GF_CPUS_MAX / 64; i++)
		c->is_online[i] = 0;
	if (!l->per_cpu_offset || !l->cpu_possible || !l->cpu_online) {
		c->off[0] = 0;
		c->is_online[0] = 1;
		c->n = c->online = 1;
		return 0;
	}
	number = l->nr_cpu_ids ? gf_kmem_num(k, l->nr_cpu_ids, 4) : NULL;
	possible = gf_kmem_num(k, l->cpu_possible, 8);
	online = gf_kmem_num(k, l->cpu_online, 8);
	if (!possible || !online || (l->nr_cpu_ids && !number))
		return -1;
	/* Side by side. */
	if (number)
		ids = gf_load(number, 4);
	w = gf_load(possible, 8);
	on = gf_load(online, 8);
	if (!ids)
		return -1;
	for (uint32_t cpu = 0; cpu < GF_MIN(ids, (uint64_t)l->max_cpus); cpu++) {
		if (cpu && cpu % 64 == 0 && (gf_kmem_load(k, l->cpu_possible + cpu / 8, 8, &w) ||
					    gf_kmem_load(k, l->cpu_online + cpu / 8, 8, &on)))
			return -1;
		if (!(w >> cpu % 64 & 1))
			continue;
		if (n == GF_CPUS_MAX) {
			c->over = 1;
			break;
		}
		c->off[n] = cpu;
		bits |= (on >> cpu % 64 & 1) << n % 64;
		running += (uint32_t)(on >> cpu % 64 & 1);
		c->is_online[n / 64] = bits;
		if (++n % 64 == 0)
			bits = 0;
	}
	c->n = n;
	c->online = running;
	return running ? 0 : -1;
}

/* CPU i's offset: 0 or -1. */
GF_INLINE int gf_cpu_find(const struct gf_kmem *k, const struct gf_layout *l, struct gf_cpus *c, uint32_t i)
{
	if (!l->per_cpu_offset || !l->cpu_possible || !l->cpu_online)
		return 0;
	return gf_kmem_load(k, l->per_cpu_offset + 8 * c->off[i], 8, &c->off[i]);
}

GF_INLINE int gf_cpus_read(const struct gf_kmem *k, const struct gf_layout *l, struct gf_cpus *c)
{
	if (gf_cpus_masks(k, l, c))
		return -1;
	for (uint32_t i = 0; i < c->n; i++)
		if (gf_cpu_find(k, l, c, i))
			return -1;
	return 0;
}

GF_INLINE int gf_cpu_online(const struct gf_cpus *c, uint32_t i)
{
	return (int)(c->is_online[i / 64] >> i % 64 & 1);
}

/* ---- lists ---------------------------------------------------------------- */

/* Follows a list_head: 0, or -1 where it does not lead on as one. The end is for the caller to know. */
GF_INLINE int gf_list_next(const struct gf_kmem *k, uint64_t node, uint64_t *ret)
{
	const uint8_t *p = gf_obj(k, node, 16);
	uint64_t next;

	if (!p)
		return -1;
	next = gf_load(p, 8);
	if (next & 7 || !(next >> 63))
		return -1;
	*ret = next;
	return 0;
}

/* ---- the xarray of pids --------------------------------------------------- */

/*
 * init_pid_ns.idr: nodes of 64 slots, of which the leaves' hold struct pid (lib/xarray.c). Pids are below
 * 2^22 (PID_MAX_LIMIT), so a tree has at most four levels. A node belongs to the tree if it says so itself: it points
 * back to the xarray, and its shift is its parent's less 6. One that has just been freed does not (xas_free_nodes).
 */
#define GF_XA_SLOTS 64u
#define GF_XA_STEP  6u
#define GF_XA_LEVELS 4u

enum gf_xa {
	GF_XA_NONE,
	GF_XA_NODE,
	GF_XA_ENTRY, /* a struct pid */
	GF_XA_TORN,  /* changed under the look, or is no tree: something may have been missed */
};

GF_INLINE const uint8_t *gf_xa_node(const struct gf_kmem *k, const struct gf_layout *l, uint64_t node)
{
	const uint8_t *p = gf_obj(k, node, l->xa.span);

	return p && gf_load(p + l->xa.array, 8) == l->xa.array_at ? p : NULL;
}

/* The tree's root: NODE with its address and shift, or NONE (no process at all), TORN. */
GF_INLINE enum gf_xa gf_xa_root(const struct gf_kmem *k, const struct gf_layout *l, uint64_t *ret, uint32_t *ret_shift)
{
	uint64_t e, array = 0;
	const uint8_t *p;
	uint32_t shift = 1;

	if (gf_kmem_load(k, l->init_pid_ns + l->xa.head, 8, &e))
		return GF_XA_TORN;
	if (!e)
		return GF_XA_NONE;
	if ((e & 3) != 2 || e < 4096)
		return GF_XA_TORN;
	p = gf_obj(k, e - 2, l->xa.span);
	if (p) {
		array = gf_load(p + l->xa.array, 8);
		shift = (uint32_t)gf_load(p + l->xa.shift, 1);
	}
	if (!p || array != l->xa.array_at || shift % GF_XA_STEP || shift > GF_XA_STEP * (GF_XA_LEVELS - 1))
		return GF_XA_TORN;
	*ret = e - 2;
	*ret_shift = shift;
	return GF_XA_NODE;
}

/* One slot of a node that gf_xa_node has mapped at p, and whose shift is known. */
GF_INLINE enum gf_xa gf_xa_slot(const struct gf_kmem *k, const struct gf_layout *l, const uint8_t *p, uint32_t shift,
				uint32_t slot, uint64_t *ret)
{
	const uint8_t *at = p + l->xa.slots + slot * 8;

	for (uint32_t look = 0; look < 3; look++) {
		uint64_t e = gf_load(at, 8);

		if (!e || e & 1)
			return GF_XA_NONE;
		if ((e & 3) == 0) {
			*ret = e;
			return shift ? GF_XA_TORN : GF_XA_ENTRY;
		}
		if (e < 4096)
			return e == (256u << 2 | 2) ? GF_XA_TORN : GF_XA_NONE; /* XA_RETRY_ENTRY: the tree has just shrunk */
		const uint8_t *c = shift ? gf_xa_node(k, l, e - 2) : NULL;
		if (c && gf_load(c + l->xa.shift, 1) == shift - GF_XA_STEP && gf_load(at, 8) == e) {
			*ret = e - 2;
			return GF_XA_NODE;
		}
		/* Freed meanwhile? Then the slot has changed as well. */
	}
	return GF_XA_TORN;
}

/* The same for a lane of many, of which none waits longer than for one load: whether a node that is found belongs to the tree is looked at where its
 * own slots are (gf_xa_own). NODE: it is said to be one. */
GF_INLINE enum gf_xa gf_xa_slot_said(const struct gf_layout *l, const uint8_t *p, uint32_t shift, uint32_t slot, uint64_t *ret)
{
	uint64_t e = gf_load(p + l->xa.slots + slot * 8, 8);

	if (!e || e & 1)
		return GF_XA_NONE;
	if ((e & 3) == 0) {
		*ret = e;
		return shift ? GF_XA_TORN : GF_XA_ENTRY;
	}
	if (e < 4096)
		return e == (256u << 2 | 2) ? GF_XA_TORN : GF_XA_NONE; /* XA_RETRY_ENTRY: the tree has just shrunk */
	*ret = e - 2;
	return shift ? GF_XA_NODE : GF_XA_TORN;
}

/* Whether the node mapped at p is the tree's, and of that level. */
GF_INLINE int gf_xa_own(const struct gf_layout *l, const uint8_t *p, uint32_t shift)
{
	uint64_t array = gf_load(p + l->xa.array, 8), has = gf_load(p + l->xa.shift, 1);

	return array == l->xa.array_at && has == shift;
}

/* All entries one after the other, for one lane. A tree of at most 2^22 slots is at most walked once,
 * and no more than `budget` slots of leaves are looked at. */
struct gf_xa_iter {
	uint64_t node[GF_XA_LEVELS];
	const uint8_t *p[GF_XA_LEVELS];
	uint32_t shift[GF_XA_LEVELS], slot[GF_XA_LEVELS];
	uint32_t depth; /* levels entered; 0: at the end */
	uint32_t torn;  /* this many times something did not fit */
	uint64_t budget;
};

GF_INLINE void gf_xa_enter(const struct gf_kmem *k, const struct gf_layout *l, struct gf_xa_iter *it, uint64_t node,
			   uint32_t shift)
{
	const uint8_t *p = gf_xa_node(k, l, node);

	if (!p || it->depth == GF_XA_LEVELS) {
		it->torn++;
		return;
	}
	it->node[it->depth] = node;
	it->p[it->depth] = p;
	it->shift[it->depth] = shift;
	it->slot[it->depth] = 0;
	it->depth++;
}

GF_INLINE void gf_xa_begin(const struct gf_kmem *k, const struct gf_layout *l, struct gf_xa_iter *it, uint64_t budget)
{
	uint64_t node;
	uint32_t shift;
	enum gf_xa e = gf_xa_root(k, l, &node, &shift);

	it->depth = 0;
	it->torn = e != GF_XA_NODE && e != GF_XA_NONE;
	it->budget = budget;
	if (e == GF_XA_NODE)
		gf_xa_enter(k, l, it, node, shift);
}

/* The next entry: 1, or 0 at the end. */
GF_INLINE int gf_xa_next(const struct gf_kmem *k, const struct gf_layout *l, struct gf_xa_iter *it, uint64_t *ret)
{
	while (it->depth) {
		uint32_t d = it->depth - 1, slot = it->slot[d]++;

		if (slot == GF_XA_SLOTS) {
			it->depth--;
			continue;
		}
		if (!it->budget) {
			it->torn++;
			it->depth = 0;
			break;
		}
		it->budget--;
		switch (gf_xa_slot(k, l, it->p[d], it->shift[d], slot, ret)) {
		case GF_XA_ENTRY: return 1;
		case GF_XA_NODE: gf_xa_enter(k, l, it, *ret, it->shift[d] - GF_XA_STEP); break;
		case GF_XA_TORN: it->torn++; break;
		default: break;
		}
	}
	return 0;
}

/* The leader of the process whose id a struct pid is: its task_struct, 0 if the pid is no process's
 * (a thread's, or a group's or session's whose leader is gone), ~0 if this is no struct pid. */
GF_INLINE uint64_t gf_pid_leader(const struct gf_kmem *k, const struct gf_layout *l, uint64_t pid)
{
	const uint8_t *p = gf_obj(k, pid, l->pid.span);
	uint64_t first;

	if (!p)
		return ~0ull;
	first = gf_load(p + l->pid.tgid_first, 8);
	if (!first)
		return 0;
	return first & 7 || !(first >> 63) ? ~0ull : first - l->task.tgid_link;
}

#endif
