/* SPDX-License-Identifier: MIT
 *
 * The kernel module's region (include/uapi/gpufas.h) as its reader sees it: a process that has the device open, or
 * an observer of a guest's RAM, or a GPU with the pages registered. Wherever it lies, it is memory that others write: each word
 * is loaded once, and what it says is held against bounds before it is used. What makes no sense is an error or a torn record.
 *
 * The same for host and device: no call of an operating system, no atomic operation; plain words, stored in order.
 */
#ifndef GPUFAS_GPU_REGION_H
#define GPUFAS_GPU_REGION_H

#include <errno.h>
#include <string.h>

#include "gpu/ram.h"
#include "gpufas/bytecode.h"
#include "gpufas/sample.h"
#include "gpufas/taskrec.h"
#include "uapi/gpufas.h"

#define GF_REGION_PAGE 4096u
#define GF_REGION_MAX (256ull << 20) /* bytes */

/* What a module does for who watches from outside. */
enum gf_region_by { GF_REGION_SAMPLES = 1, GF_REGION_DELIVERS = 2 };

/* A piece of it that lies in one. */
struct gf_region_span {
	uint8_t *p;
	uint64_t off, len;
};

/* What was found in the header, once. */
struct gf_region {
	struct gf_region_span span[GPUFAS_CHUNKS];
	uint32_t spans;
	uint32_t control, cpu, cpu_step, cpus, host, verdict, verdict_step, answer, answer_step, slots;
	uint32_t table[GPUFAS_TABLES], rows;
	uint64_t size, instance;
};

enum gf_region_bad { GF_RB_NONE, GF_RB_MAGIC, GF_RB_VERSION, GF_RB_DEAD, GF_RB_SIZES, GF_RB_PLACES, GF_RB_CHUNKS };

/* Stores before it are seen before stores after it. */
#if defined(__CUDA_ARCH__)
#define GF_STORE_FENCE() __threadfence_system()
#define GF_FULL_FENCE() __threadfence_system() /* ... and before loads after it */
#else
#define GF_STORE_FENCE() __atomic_thread_fence(__ATOMIC_RELEASE)
#define GF_FULL_FENCE() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

GF_INLINE void gf_store64(uint8_t *p, uint64_t v)
{
	*(volatile uint64_t *)(void *)p = v;
}

/* Where len bytes at off are, if they lie in one piece; else NULL. */
GF_INLINE uint8_t *gf_region_at(const struct gf_region *r, uint64_t off, uint64_t len)
{
	uint32_t lo = 0, hi = r->spans;

	while (lo + 1 < hi) {
		uint32_t mid = (lo + hi) / 2;
		if (r->span[mid].off <= off)
			lo = mid;
		else
			hi = mid;
	}
	if (!r->spans || off < r->span[lo].off)
		return NULL;
	off -= r->span[lo].off;
	return off <= r->span[lo].len && len <= r->span[lo].len - off ? r->span[lo].p + off : NULL;
}

/* A copy of 8-byte words, each loaded once. off and len are multiples of 8; spans are, too, so that no word lies across two. */
GF_INLINE int gf_region_copy(const struct gf_region *r, uint64_t off, void *to, uint64_t len)
{
	uint64_t *out = (uint64_t *)to;
	const uint8_t *p = gf_region_at(r, off, len);

	for (uint64_t i = 0; i < len; i += 8) {
		const uint8_t *q = p ? p + i : gf_region_at(r, off + i, 8);
		if (!q)
			return -EBADMSG;
		*out++ = gf_load(q, 8);
	}
	return 0;
}

GF_INLINE uint64_t gf_region_word(const struct gf_region *r, uint64_t off)
{
	const uint8_t *p = gf_region_at(r, off, 8);

	return p ? gf_load(p, 8) : 0;
}

GF_INLINE uint32_t gf_region_half(const struct gf_region *r, uint64_t off)
{
	const uint8_t *p = gf_region_at(r, off, 4);

	return p ? (uint32_t)gf_load(p, 4) : 0;
}

#define GF_REGION_HEAD(member) ((uint64_t)offsetof(struct gpufas_header, member))

/* n of `step` bytes from off on are inside, behind the header's page, and lie on words. */
GF_INLINE int gf_region_inside(uint64_t size, uint64_t off, uint64_t step, uint64_t n)
{
	return off >= GF_REGION_PAGE && off <= size && !(off & 7) && !(step & 7) && step <= GF_REGION_PAGE && (!n || (size - off) / step >= n);
}

/* Takes over what a copy of the header says, after it has been held against bounds. Spans are set by the caller before. */
GF_INLINE enum gf_region_bad gf_region_take(struct gf_region *r, const struct gpufas_header *h)
{
	if (h->magic != GPUFAS_MAGIC)
		return GF_RB_MAGIC;
	if (h->version != GPUFAS_VERSION)
		return GF_RB_VERSION;
	if (h->state == GPUFAS_DEAD || !h->instance)
		return GF_RB_DEAD;
	if (h->header_size < sizeof *h || h->header_size > GF_REGION_PAGE || h->page_size != GF_REGION_PAGE || h->control_size < sizeof(struct gpufas_control) ||
	    h->cpu_size < sizeof(struct gpufas_cpu) || h->host_size < sizeof(struct gpufas_host) || h->verdict_size < sizeof(struct gpufas_verdict) ||
	    h->answer_size < sizeof(struct gpufas_answer) || h->table_size != sizeof(struct gpufas_table) || h->rec_size != sizeof(struct gf_task_rec) ||
	    !h->slots || h->slots > 65536 || h->cpus > 65536 || !h->rows || h->rows > GPUFAS_ROWS_MAX)
		return GF_RB_SIZES;
	if (h->region_size < GF_REGION_PAGE || h->region_size > GF_REGION_MAX || h->region_size % GF_REGION_PAGE)
		return GF_RB_SIZES;
	uint64_t size = h->region_size;
	if (!gf_region_inside(size, h->control_off, h->control_size, 1) || !gf_region_inside(size, h->cpu_off, h->cpu_size, h->cpus) ||
	    !gf_region_inside(size, h->host_off, h->host_size, 1) || !gf_region_inside(size, h->verdict_off, h->verdict_size, h->slots) ||
	    !gf_region_inside(size, h->answer_off, h->answer_size, h->slots))
		return GF_RB_PLACES;
	for (uint32_t i = 0; i < GPUFAS_TABLES; i++) {
		if (!gf_region_inside(size, h->table_off[i], sizeof(struct gpufas_table), 1) ||
		    !gf_region_inside(size, (uint64_t)h->table_off[i] + sizeof(struct gpufas_table), sizeof(struct gf_task_rec), h->rows))
			return GF_RB_PLACES;
		r->table[i] = h->table_off[i];
	}
	r->control = h->control_off;
	r->cpu = h->cpu_off;
	r->cpu_step = h->cpu_size;
	r->cpus = h->cpus;
	r->host = h->host_off;
	r->verdict = h->verdict_off;
	r->verdict_step = h->verdict_size;
	r->answer = h->answer_off;
	r->answer_step = h->answer_size;
	r->slots = h->slots;
	r->rows = h->rows;
	r->size = size;
	r->instance = h->instance;
	return GF_RB_NONE;
}

/* Whether it is still the region that was taken, and given up by nobody. A few loads. */
GF_INLINE int gf_region_alive(const struct gf_region *r)
{
	return gf_region_word(r, 0) == GPUFAS_MAGIC && gf_region_word(r, GF_REGION_HEAD(instance)) == r->instance &&
	       gf_region_half(r, GF_REGION_HEAD(state)) != GPUFAS_DEAD;
}

/* ---- the task table ----------------------------------------------------------------- */

/* One look at the newest whole table. */
struct gf_region_look {
	uint64_t seq, pass, first_ns, last_ns;
	uint32_t off; /* of its records */
	uint32_t table, count, total, threads;
};

/* 0; -ESTALE: the region is no more; -ENODATA: no table yet; -EAGAIN: it is just being written; -EBADMSG: it makes no sense. */
GF_INLINE int gf_region_begin(const struct gf_region *r, struct gf_region_look *ret)
{
	struct gpufas_table t;
	uint32_t latest;

	if (!gf_region_alive(r))
		return -ESTALE;
	latest = gf_region_half(r, GF_REGION_HEAD(latest));
	if (latest == GPUFAS_NO_TABLE)
		return -ENODATA;
	if (latest >= GPUFAS_TABLES)
		return -EBADMSG;
	GF_LOAD_FENCE();
	ret->table = latest;
	ret->seq = gf_region_word(r, r->table[latest] + offsetof(struct gpufas_table, seq));
	if (ret->seq & 1)
		return -EAGAIN;
	GF_LOAD_FENCE();
	if (gf_region_copy(r, r->table[latest], &t, sizeof t))
		return -EBADMSG;
	ret->pass = t.pass;
	ret->first_ns = t.first_ns;
	ret->last_ns = t.last_ns;
	ret->count = t.count;
	ret->total = t.total;
	ret->threads = t.threads;
	ret->off = r->table[latest] + (uint32_t)sizeof t;
	if (t.seq != ret->seq)
		return -EAGAIN;
	return t.count > r->rows || t.count > t.total || t.first_ns > t.last_ns || t.last_ns > GF_MAX_NS ? -EBADMSG : 0;
}

/* 0: what was copied since gf_region_begin() was of one table. -EAGAIN: it was written meanwhile. */
GF_INLINE int gf_region_end(const struct gf_region *r, const struct gf_region_look *l)
{
	GF_LOAD_FENCE();
	return gf_region_word(r, r->table[l->table] + offsetof(struct gpufas_table, seq)) == l->seq && gf_region_alive(r) ? 0 : -EAGAIN;
}

GF_INLINE int64_t gf_region_pages(int64_t v)
{
	return v < 0 ? 0 : v > (1ll << 40) ? 1ll << 40 : v;
}

/* Makes of a record what a kernel could have written. 0: it names no process. A value that cannot be is taken as not known; a record
 * in which one could not be is torn, so that nobody acts on it. */
GF_INLINE int gf_region_mend(struct gf_task_rec *r, uint64_t last_ns)
{
	int odd = 0;

	if (r->pid < 1 || r->pid > 4194304 || r->start_ns > last_ns + 1000000000u)
		return 0;
	if (r->ppid < 0 || r->ppid > 4194304 || r->pgrp < 0 || r->session < 0) {
		r->ppid = r->pgrp = r->session = 0;
		r->have &= ~(unsigned)GF_REC_IDS;
		odd = 1;
	}
	r->have &= (GF_REC_UID << 1) - 1;
	r->have &= ~(unsigned)(GF_REC_SCORE | GF_REC_RSS_SUM);
	if (r->have & GF_REC_ADJ && (r->oom_adj < -1000 || r->oom_adj > 1000)) {
		r->have &= ~(unsigned)GF_REC_ADJ;
		odd = 1;
	}
	if (r->have & GF_REC_STAT && (r->nice < -20 || r->nice > 19 || r->policy > 7 || r->prio < -101 || r->prio > 39 || r->state < 'A' || r->state > 'z')) {
		r->have &= ~(unsigned)GF_REC_STAT;
		odd = 1;
	}
	r->file = gf_region_pages(r->file);
	r->anon = gf_region_pages(r->anon);
	r->shmem = gf_region_pages(r->shmem);
	r->swap = gf_region_pages(r->swap);
	r->vsz = (unsigned long long)gf_region_pages((int64_t)r->vsz);
	if (r->pgtables > 1ull << 52)
		r->pgtables = 1ull << 52;
	r->comm[15] = 0;
	if (odd)
		r->flags |= GF_REC_TORN;
	return 1;
}

/* Record i of the table that is looked at. 1, 0: it is no process, -EBADMSG. */
GF_INLINE int gf_region_rec(const struct gf_region *r, const struct gf_region_look *l, uint32_t i, struct gf_task_rec *ret)
{
	if (gf_region_copy(r, l->off + (uint64_t)i * sizeof *ret, ret, sizeof *ret))
		return -EBADMSG;
	return gf_region_mend(ret, l->last_ns);
}

/* The process that has this pid in the newest whole table. 0; -ENOENT: none; -errno as of gf_region_begin() and _end(). */
GF_INLINE int gf_region_find(const struct gf_region *r, int32_t pid, struct gf_task_rec *ret)
{
	struct gf_region_look l;
	int q = gf_region_begin(r, &l), found = 0;

	for (uint32_t i = 0; !q && !found && i < l.count; i++)
		found = gf_region_rec(r, &l, i, ret) == 1 && ret->pid == pid;
	if (!q)
		q = gf_region_end(r, &l);
	return q ? q : found ? 0 : -ENOENT;
}

/* ---- the machine as a whole ------------------------------------------------------------- */

/* The clock of the machine, as somebody sees it who has another one. */
struct gf_region_clock {
	uint64_t jiffies, moved_ns, instance;
};

/* Since when (of the reader's clock) the machine has kept no time: how long ago. */
GF_INLINE uint64_t gf_region_stalled(const struct gf_region *r, struct gf_region_clock *c, uint64_t reader_ns)
{
	uint64_t jiffies = gf_region_word(r, GF_REGION_HEAD(jiffies));

	if (jiffies != c->jiffies || c->instance != r->instance || reader_ns < c->moved_ns) {
		c->jiffies = jiffies;
		c->moved_ns = reader_ns;
		c->instance = r->instance;
	}
	return reader_ns - c->moved_ns;
}

/* Host fields of `want` (1 << enum gf_host_field) that the module knows, into host[]. Returns which. */
GF_INLINE uint64_t gf_region_host(const struct gf_region *r, uint64_t want, double *host)
{
	static const struct {
		uint8_t from, to;
		double unit;
	} map[] = {
		{ GPUFAS_H_MEM_TOTAL, GF_HF_MEM_TOTAL, 1 }, { GPUFAS_H_MEM_FREE, GF_HF_MEM_FREE, 1 },
		{ GPUFAS_H_MEM_AVAILABLE, GF_HF_MEM_AVAILABLE, 1 }, { GPUFAS_H_MEM_DIRTY, GF_HF_MEM_DIRTY, 1 },
		{ GPUFAS_H_MEM_SLAB, GF_HF_MEM_SLAB, 1 }, { GPUFAS_H_SWAP_FREE, GF_HF_SWAP_FREE, 1 },
		{ GPUFAS_H_LOAD_1, GF_HF_LOAD_1, 1 / 2048.0 }, { GPUFAS_H_LOAD_5, GF_HF_LOAD_5, 1 / 2048.0 },
		{ GPUFAS_H_LOAD_15, GF_HF_LOAD_15, 1 / 2048.0 }, { GPUFAS_H_CPUS, GF_HF_CPU_COUNT, 1 },
		{ GPUFAS_H_BUSY, GF_HF_CPU_BUSYTIME, 1 }, { GPUFAS_H_IOWAIT, GF_HF_CPU_IOWTIME, 1 },
		{ GPUFAS_H_STEAL, GF_HF_CPU_STEALTIME, 1 }, { GPUFAS_H_THREADS, GF_HF_TASKS_THREADS, 1 },
		{ GPUFAS_H_RUNNING, GF_HF_TASKS_RUNNING, 1 }, { GPUFAS_H_BLOCKED, GF_HF_TASKS_BLOCKED, 1 },
		{ GPUFAS_H_PGSCAN, GF_HF_VM_PGSCAN, 1 }, { GPUFAS_H_PGMAJFAULT, GF_HF_VM_PGMAJFAULT, 1 },
		{ GPUFAS_H_OOM_KILL, GF_HF_VM_OOM_KILL, 1 }, { GPUFAS_H_PSWPIN, GF_HF_VM_PSWPIN, 1 },
		{ GPUFAS_H_PSWPOUT, GF_HF_VM_PSWPOUT, 1 },
	};
	struct gpufas_host h;
	uint64_t got = 0;
	int whole = 0;

	for (uint32_t i = 0; i < 4 && !whole; i++) {
		if (gf_region_copy(r, r->host, &h, sizeof h) || h.seq & 1)
			continue;
		GF_LOAD_FENCE();
		whole = gf_region_word(r, r->host) == h.seq;
	}
	for (uint32_t i = 0; whole && i < sizeof map / sizeof *map; i++) {
		if (!(want & GF_BIT(map[i].to)) || !(h.have & GF_BIT(map[i].from)))
			continue;
		host[map[i].to] = (double)h.v[map[i].from] * map[i].unit;
		got |= GF_BIT(map[i].to);
	}
	return got;
}

/* What the module is to do from its next pass on. */
GF_INLINE void gf_region_ask(const struct gf_region *r, uint32_t want, uint64_t period_ns, uint64_t poll_ns, uint64_t beat)
{
	uint8_t *p = gf_region_at(r, r->control, sizeof(struct gpufas_control));

	if (!p)
		return;
	*(volatile uint32_t *)(void *)(p + offsetof(struct gpufas_control, want)) = want;
	gf_store64(p + offsetof(struct gpufas_control, period_ns), period_ns);
	gf_store64(p + offsetof(struct gpufas_control, poll_ns), poll_ns);
	gf_store64(p + offsetof(struct gpufas_control, beat), beat);
}

/* What a record must hold so that the columns of a policy can be filled: the module's want of gf_record_want(). */
GF_INLINE uint32_t gf_region_want(uint32_t want)
{
	if (want & GF_REC_SCORE)
		want |= GF_REC_RSS | GF_REC_SWAP | GF_REC_PGTABLES | GF_REC_ADJ;
	if (want & GF_REC_RSS_SUM)
		want |= GF_REC_RSS;
	return want & ~(unsigned)(GF_REC_RSS_SUM | GF_REC_SCORE) & ((GF_REC_UID << 1) - 1);
}

#endif
