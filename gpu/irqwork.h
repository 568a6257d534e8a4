/* SPDX-License-Identifier: MIT
 *
 * A forged irq_work: the block that it lies in, and the list of a CPU that it is put on. What is on the lazy list the CPU
 * runs at its next tick, in interrupt context (irq_work_tick).
 *
 * Three words belong to the target's CPUs, too. With atomic operations each is changed as they change it. Without:
 *
 *   Claim of a block. The host has set blocks aside (gf_pseudo_set_aside), by compare-and-swap and under a name of their own, so that
 *   no other watcher takes them; the device has them to itself and says now and then in their first words that it is there.
 *   Whose word has not been renewed for PSEUDO_ASIDE ticks may be taken by others.
 *
 *   Count of a struct pid. A count that somebody changes between our read and our store gets lost, and one too
 *   few frees what is in use. So PSEUDO_PIN is added once, by one store, and never taken off: whatever gets lost beside it, a few,
 *   the count cannot come down to nothing. What that costs is the struct pid (some 100 bytes) of each victim that was sent to on this
 *   road, which is never freed. There must be one when the store lands: the process was found by its number a moment before, and
 *   what is taken out of the tree of numbers is freed an RCU grace period later at the earliest (free_pid), which is
 *   longer than a jiffy; the store is not made later than PSEUDO_PIN_NS after the look. A GPU that is taken away for longer
 *   exactly between that comparison and the store, while the victim is reaped, would write into freed memory: that is the risk
 *   that is left. Of a task (process_timeout) all of it would never be freed: wakes are the host's.
 *
 *   Head of a list. Stored only where it was read as empty just before. What another pushes between this
 *   read and the store landing, 2 to 3 us on a GPU, is lost. On 6.1 only printk's waking of who reads the log is ever on
 *   that list, on 6.12 also consoles that use it: a message of that CPU would be shown late, and its readers not be woken by
 *   that CPU again. What the host pushes there just then is lost, too: it then waits in vain, and says so. Nothing is taken off a
 *   list: for that there is the host.
 */
#ifndef GPUFAS_IRQWORK_H
#define GPUFAS_IRQWORK_H

#include "gpu/now.h"
#include "gpu/victim.h"

#define PSEUDO_CLAIM 0x67667073ull /* high half of a claimed block's first word */
#define PSEUDO_ASIDE_CLAIM 0x67667067ull /* set aside for a device */
#define PSEUDO_REUSE 500u          /* ticks: 0.5 to 5 s */
#define PSEUDO_ASIDE 60000u        /* ticks: 1 to 10 min */
#define PSEUDO_PIN 0x100000u
#define PSEUDO_PIN_NS 100000u
#define PSEUDO_POOL 256u           /* blocks set aside */
#define PSEUDO_CPUS 4096u

/* Blocks that a device has to itself. */
struct gf_pseudo_pool {
	uint32_t n, next;
	uint32_t renewed;               /* low half of jiffies */
	uint32_t reserved;
	uint32_t used[PSEUDO_POOL];     /* when last, as above */
	uint16_t block[PSEUDO_POOL];    /* numbers in gf_pseudo_plain.block */
	uint8_t fresh[PSEUDO_POOL];     /* never used */
};

GF_INLINE uint32_t gf_ps_jiffies(const struct gf_pseudo_plain *p)
{
	uint64_t j = 0;

	gf_ps_get(p, p->s[S_JIFFIES], 8, &j);
	return (uint32_t)j;
}

/* irq_work of a block: offset. Word 1: which use, beyond the list nodes that neither function looks at. */
GF_INLINE uint32_t gf_ps_work_at(const struct gf_pseudo_plain *p, uint32_t block, uint64_t *ret_wake)
{
	uint64_t kind = 0;

	gf_ps_get(p, p->block[block] + 8, 8, &kind);
	*ret_wake = kind == 1;
	return kind == 1 ? PSEUDO_BLOCK_WAKE : p->m[M_KIT_TIMER];
}

GF_INLINE uint64_t gf_ps_block_work(const struct gf_pseudo_plain *p, uint32_t block)
{
	uint64_t wake;

	return p->block[block] + gf_ps_work_at(p, block, &wake);
}

GF_INLINE int gf_ps_drained(const struct gf_pseudo_plain *p, uint32_t block)
{
	uint64_t flags;

	return gf_ps_get(p, gf_ps_block_work(p, block) + p->m[M_IRQW_FLAGS], 4, &flags) && !flags;
}

/* Its sigqueue is in no list. */
GF_INLINE int gf_ps_unlinked(const struct gf_pseudo_plain *p, uint32_t block)
{
	uint64_t at = p->block[block] + PSEUDO_BLOCK_SIGQ + p->m[M_SQ_LIST], next;

	return gf_ps_get(p, at, 8, &next) && next == at;
}

enum gf_pseudo_sent { PSEUDO_TAKEN, PSEUDO_QUEUED, PSEUDO_DROPPED };

/* What became of the signal of a block that has been drained. */
GF_APART enum gf_pseudo_sent gf_ps_block_sent(const struct gf_pseudo_plain *p, uint32_t block)
{
	uint64_t overrun;

	if (!gf_ps_unlinked(p, block))
		return PSEUDO_QUEUED;
	if (!gf_ps_get(p, p->block[block] + PSEUDO_BLOCK_SIGQ + p->m[M_SQ_OVERRUN], 4, &overrun))
		return PSEUDO_DROPPED;
	return overrun == PSEUDO_OVERRUN ? PSEUDO_DROPPED : PSEUDO_TAKEN;
}

/* ---- claiming ---- */

GF_APART int gf_ps_reusable(const struct gf_pseudo_plain *p, uint32_t block, uint64_t word, uint32_t jiffies)
{
	uint32_t age = jiffies - (uint32_t)word;

	if (!word)
		return 1;
	if (word >> 32 == PSEUDO_CLAIM ? age < PSEUDO_REUSE : word >> 32 != PSEUDO_ASIDE_CLAIM || age < PSEUDO_ASIDE)
		return 0;
	return gf_ps_drained(p, block) && gf_ps_unlinked(p, block);
}

/* By compare-and-swap. magic: PSEUDO_CLAIM, PSEUDO_ASIDE_CLAIM. next: where to look first, shared by all threads. GF_NONE: none is free. */
GF_APART uint32_t gf_ps_claim(const struct gf_pseudo_plain *p, uint32_t *next, uint64_t magic)
{
	uint32_t j = gf_ps_jiffies(p);

	for (uint32_t k = 0; k < p->blocks; k++) {
#if defined(__CUDA_ARCH__)
		uint32_t i = (*next)++ % p->blocks;
#else
		uint32_t i = __atomic_fetch_add(next, 1, __ATOMIC_RELAXED) % p->blocks;
#endif
		uint8_t *w = gf_ps_at(p, p->block[i], 8);
		uint64_t was = w ? gf_load(w, 8) : ~0ull;
		if (gf_ps_reusable(p, i, was, j) && gf_ps_cas64(w, was, magic << 32 | j) == was)
			return i;
	}
	return GF_NONE;
}

/* Says that the pool's blocks are in use; to be called more often than every PSEUDO_ASIDE ticks. */
GF_APART void gf_ps_pool_renew(const struct gf_pseudo_plain *p, struct gf_pseudo_pool *pool)
{
	uint32_t j = gf_ps_jiffies(p), keep = 0;
	uint64_t w;

	if (j - pool->renewed < PSEUDO_ASIDE / 64)
		return;
	for (uint32_t i = 0; i < pool->n; i++) {
		/* Somebody has it by now, or it is another memory's. */
		if (!gf_ps_get(p, p->block[pool->block[i]], 8, &w) || w >> 32 != PSEUDO_ASIDE_CLAIM)
			continue;
		gf_ps_set(p, p->block[pool->block[i]], 8, PSEUDO_ASIDE_CLAIM << 32 | j);
		pool->block[keep] = pool->block[i];
		pool->used[keep] = pool->used[i];
		pool->fresh[keep++] = pool->fresh[i];
	}
	pool->n = keep;
	pool->renewed = j;
}

/* Without atomic operations. The same rule of when what has been used may be used again. */
GF_APART uint32_t gf_ps_pool_take(const struct gf_pseudo_plain *p, struct gf_pseudo_pool *pool)
{
	uint32_t j = gf_ps_jiffies(p);
	uint64_t w;

	for (uint32_t k = 0; k < pool->n; k++) {
		uint32_t i = pool->next++ % pool->n, b = pool->block[i];
		if (!gf_ps_get(p, p->block[b], 8, &w) || w >> 32 != PSEUDO_ASIDE_CLAIM || j - (uint32_t)w >= PSEUDO_ASIDE)
			continue;
		if (!pool->fresh[i] && (j - pool->used[i] < PSEUDO_REUSE || !gf_ps_drained(p, b) || !gf_ps_unlinked(p, b)))
			continue;
		pool->fresh[i] = 0;
		pool->used[i] = j;
		return b;
	}
	return GF_NONE;
}

/* ---- filling ---- */

/* What is in a block but its claim, and what says that it is not the kernel's to free: that stays true whoever may
 * still be looking. */
GF_APART void gf_ps_wipe(const struct gf_pseudo_plain *p, uint32_t block)
{
	for (uint32_t at = 8; at < PSEUDO_BLOCK; at += 8)
		if (at != PSEUDO_BLOCK_SIGQ + p->m[M_SQ_FLAGS])
			gf_ps_set(p, p->block[block] + at, 8, 0);
}

/* The sigqueue: in no list, not the kernel's to free (SIGQUEUE_PREALLOC), a timer's (SI_TIMER). The
 * overrun is one that the sender sets to 0 when it queues the signal. */
GF_APART void gf_ps_fill_sigqueue(const struct gf_pseudo_plain *p, uint64_t q, int sig)
{
	gf_ps_set(p, q + p->m[M_SQ_LIST], 8, q + p->m[M_SQ_LIST]);
	gf_ps_set(p, q + p->m[M_SQ_LIST] + 8, 8, q + p->m[M_SQ_LIST]);
	if (!gf_ps_has(p, PART_SEND))
		return;
	gf_ps_set(p, q + p->m[M_SQ_FLAGS], 4, 1);
	gf_ps_set(p, q + p->m[M_SQ_SIGNO], 4, (uint32_t)sig);
	gf_ps_set(p, q + p->m[M_SQ_CODE], 4, (uint32_t)-2);
	gf_ps_set(p, q + p->m[M_SQ_OVERRUN], 4, PSEUDO_OVERRUN);
}

GF_APART void gf_ps_fill_work(const struct gf_pseudo_plain *p, uint64_t work, uint64_t func)
{
	gf_ps_set(p, work + p->m[M_IRQW_FLAGS], 4, 3); /* IRQ_WORK_CLAIMED */
	gf_ps_set(p, work + p->m[M_IRQW_FUNC], 8, func);
}

/* One more reference: never to what has none left, never over into nonsense. */
GF_APART int gf_ps_take_ref(const struct gf_pseudo_plain *p, uint64_t va)
{
	uint8_t *c = gf_ps_at(p, va, 4);
	uint32_t was, now;

	if (!c)
		return 0;
	was = (uint32_t)gf_load(c, 4);
	for (uint32_t i = 0; i < PSEUDO_CAS && was && was <= 0x3fffffff; i++, was = now) {
		now = gf_ps_cas32(c, was, was + 1);
		if (now == was)
			return 1;
	}
	return 0;
}

/* Never the last: nobody would free what it holds. Then it stays, a few hundred bytes lost to the guest. That also
 * keeps a reference that was lost from being dropped: a kernel on one CPU counts without locking the bus. */
GF_APART void gf_ps_drop_ref(const struct gf_pseudo_plain *p, uint64_t va)
{
	uint8_t *c = gf_ps_at(p, va, 4);
	uint32_t was, now;

	if (!c)
		return;
	was = (uint32_t)gf_load(c, 4);
	for (uint32_t i = 0; i < PSEUDO_CAS && was >= 2 && was <= 0x40000000; i++, was = now) {
		now = gf_ps_cas32(c, was, was - 1);
		if (now == was)
			return;
	}
}

/* Keeps the victim's struct pid from being freed for good, without atomic operations: see above. */
GF_APART int gf_ps_pin(const struct gf_pseudo_plain *p, const struct gf_pseudo_victim *v)
{
	uint8_t *c = gf_ps_at(p, v->pid_struct + p->m[M_PID_COUNT], 4);
	uint64_t start = gf_now_ns();
	uint32_t was;

	if (!c || gf_ps_find_pid(p, v->pid) != v->pid_struct)
		return 0;
	was = (uint32_t)gf_load(c, 4);
	if (was >= PSEUDO_PIN)
		return was <= 0x3fffffff;
	if (!was || gf_now_ns() - start > PSEUDO_PIN_NS)
		return 0;
	gf_ps_put(c, 4, was + PSEUDO_PIN);
	return 1;
}

/* Fills a block that is one's own for a signal to the victim: false where its struct pid cannot be held. Not queued yet. */
GF_APART int gf_ps_fill_signal(const struct gf_pseudo_plain *p, uint32_t block, const struct gf_pseudo_victim *v, int sig)
{
	uint64_t s = p->block[block];

	gf_ps_wipe(p, block);
	gf_ps_fill_sigqueue(p, s + PSEUDO_BLOCK_SIGQ, sig);
	if (!(p->atomics ? gf_ps_take_ref(p, v->pid_struct + p->m[M_PID_COUNT]) : gf_ps_pin(p, v)))
		return 0;
	gf_ps_set(p, s + p->m[M_KIT_PID], 8, v->pid_struct);
	gf_ps_set(p, s + p->m[M_KIT_SIGQ], 8, s + PSEUDO_BLOCK_SIGQ);
	gf_ps_fill_work(p, s + p->m[M_KIT_TIMER], p->s[S_SENDER]);
	return 1;
}

/* For waking a task. With atomic operations only. */
GF_APART int gf_ps_fill_wake(const struct gf_pseudo_plain *p, uint32_t block, uint64_t task)
{
	uint64_t s = p->block[block];

	gf_ps_wipe(p, block);
	gf_ps_fill_sigqueue(p, s + PSEUDO_BLOCK_SIGQ, 0);
	if (!gf_ps_take_ref(p, task + p->m[M_TASK_USAGE]))
		return 0;
	gf_ps_set(p, s + 8, 8, 1);
	gf_ps_set(p, s + PSEUDO_BLOCK_WAKE + p->m[M_PT_TASK], 8, task);
	gf_ps_fill_work(p, s + PSEUDO_BLOCK_WAKE, p->s[S_WAKER]);
	return 1;
}

/* Drained: lets go of what it holds. What a device has pinned stays. */
GF_APART void gf_ps_block_done(const struct gf_pseudo_plain *p, uint32_t block)
{
	uint64_t what, wake;

	if (!p->atomics)
		return;
	gf_ps_work_at(p, block, &wake);
	if (wake) {
		if (gf_ps_get(p, p->block[block] + PSEUDO_BLOCK_WAKE + p->m[M_PT_TASK], 8, &what))
			gf_ps_drop_ref(p, what + p->m[M_TASK_USAGE]);
	} else if (gf_ps_get(p, p->block[block] + p->m[M_KIT_PID], 8, &what))
		gf_ps_drop_ref(p, what + p->m[M_PID_COUNT]);
}

/* Never queued, or taken back. */
GF_APART void gf_ps_block_cancel(const struct gf_pseudo_plain *p, uint32_t block)
{
	gf_ps_block_done(p, block);
	gf_ps_set(p, gf_ps_block_work(p, block) + p->m[M_IRQW_FLAGS], 4, 0);
}

/* ---- CPUs ---- */

GF_APART int gf_ps_per_cpu(const struct gf_pseudo_plain *p, uint32_t cpu, uint64_t *ret)
{
	return gf_ps_get(p, p->s[S_PER_CPU] + 8ull * cpu, 8, ret) && *ret;
}

GF_INLINE int gf_ps_in_mask(const struct gf_pseudo_plain *p, uint64_t mask, uint32_t cpu)
{
	uint64_t w;

	return gf_ps_get(p, mask + cpu / 64 * 8, 8, &w) && w >> (cpu & 63) & 1;
}

/* A nohz_full CPU with one task takes no ticks. tick_nohz_full_mask is the mask, or a pointer to it. */
GF_APART int gf_ps_tickless(const struct gf_pseudo_plain *p, uint32_t cpu)
{
	uint64_t on, mask;

	if (!p->s[S_NOHZ_FULL] || !p->s[S_NOHZ_MASK] || !gf_ps_get(p, p->s[S_NOHZ_FULL], 1, &on) || !on)
		return 0;
	if (!gf_ps_get(p, p->s[S_NOHZ_MASK], 8, &mask))
		return 1;
	return gf_ps_in_mask(p, mask >> 63 ? mask : p->s[S_NOHZ_MASK], cpu);
}

struct gf_pseudo_cpu {
	uint32_t cpu;
	uint32_t idle;
	uint64_t next; /* its next timer interrupt */
};

GF_APART int gf_ps_cpu_look(const struct gf_pseudo_plain *p, uint32_t cpu, struct gf_pseudo_cpu *ret)
{
	uint64_t base, curr, idle, head;

	if (!gf_ps_per_cpu(p, cpu, &base) || !gf_ps_member(p, base + p->s[S_RUNQUEUES], M_RQ_CURR, &curr)
	    || !gf_ps_member(p, base + p->s[S_RUNQUEUES], M_RQ_IDLE, &idle)
	    || !gf_ps_member(p, base + p->s[S_HRTIMERS], M_HRT_NEXT, &ret->next)
	    || !gf_ps_get(p, base + p->s[S_LAZY], 8, &head) || (!p->atomics && head))
		return 0;
	ret->cpu = cpu;
	ret->idle = curr == idle;
	return 1;
}

/* The CPU that will drain soonest, of those not in `skip`; GF_NONE: none. One that runs something ticks. Of those that idle, the
 * one whose timer fires first. Without atomic operations only those whose list is empty. */
GF_APART uint32_t gf_ps_cpu(const struct gf_pseudo_plain *p, uint64_t skip, uint32_t *ret_idle)
{
	struct gf_pseudo_cpu best = { GF_NONE, 1, ~0ull }, c;
	uint64_t n = 64;

	if (p->s[S_NR_CPUS])
		gf_ps_get(p, p->s[S_NR_CPUS], 4, &n);
	n = GF_MIN(n, (uint64_t)PSEUDO_CPUS);
	for (uint32_t cpu = 0; cpu < n; cpu++) {
		if ((cpu < 64 && skip >> cpu & 1) || !gf_ps_in_mask(p, p->s[S_ONLINE], cpu) || gf_ps_tickless(p, cpu) || !gf_ps_cpu_look(p, cpu, &c))
			continue;
		if (best.cpu == GF_NONE || c.idle < best.idle || (c.idle == best.idle && c.next < best.next))
			best = c;
	}
	*ret_idle = best.idle;
	return best.cpu;
}

/* ---- queueing: as in lib/llist.c ---- */

GF_APART uint8_t *gf_ps_list(const struct gf_pseudo_plain *p, uint32_t cpu)
{
	uint64_t base;

	return gf_ps_per_cpu(p, cpu, &base) ? gf_ps_at(p, base + p->s[S_LAZY], 8) : NULL;
}

GF_APART int gf_ps_queue(const struct gf_pseudo_plain *p, uint32_t block, uint32_t cpu)
{
	uint64_t node = gf_ps_block_work(p, block) + p->m[M_IRQW_NODE], was, now;
	uint8_t *head = gf_ps_list(p, cpu), *next = gf_ps_at(p, node, 8);

	if (!head || !next)
		return 0;
	if (!p->atomics) {
		gf_ps_put(next, 8, 0);
		gf_ps_fence();
		if (gf_load(head, 8))
			return 0;
		gf_ps_put(head, 8, node);
		return 1;
	}
	was = gf_load(head, 8);
	for (uint32_t i = 0; i < PSEUDO_CAS; i++, was = now) {
		gf_ps_put(next, 8, was);
		gf_ps_fence();
		now = gf_ps_cas64(head, was, node);
		if (now == was)
			return 1;
	}
	return 0;
}

/* Back again; false: somebody has it, or it is not the first. While the node is the head, the list behind it is what it was
 * when it was pushed: nothing takes from the middle, and the CPU takes all at once. */
GF_APART int gf_ps_unqueue(const struct gf_pseudo_plain *p, uint32_t block, uint32_t cpu)
{
	uint64_t node = gf_ps_block_work(p, block) + p->m[M_IRQW_NODE];
	uint8_t *head = gf_ps_list(p, cpu), *next = gf_ps_at(p, node, 8);

	return p->atomics && head && next && gf_ps_cas64(head, node, gf_load(next, 8)) == node;
}

#endif
