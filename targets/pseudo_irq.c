// SPDX-License-Identifier: MIT
/*
 * A CPU's lazy list: what is on it the CPU runs at its next tick, in interrupt context
 * (irq_work_tick). Pushing and taking back are one compare-and-swap each, as in lib/llist.c.
 */
#include "targets/pseudo_int.h"

#define CPUS_MAX 4096u

static bool per_cpu(const struct gf_pseudo *p, uint32_t cpu, uint64_t *ret)
{
	return pseudo_get(p, p->s[S_PER_CPU] + 8ull * cpu, 8, ret) && *ret;
}

static bool in_mask(const struct gf_pseudo *p, uint64_t mask, uint32_t cpu)
{
	uint64_t w;

	return pseudo_get(p, mask + cpu / 64 * 8, 8, &w) && w >> (cpu & 63) & 1;
}

/* A nohz_full CPU with one task takes no ticks. tick_nohz_full_mask is the mask, or a pointer to it. */
static bool tickless(const struct gf_pseudo *p, uint32_t cpu)
{
	uint64_t on, mask;

	if (!p->s[S_NOHZ_FULL] || !p->s[S_NOHZ_MASK] || !pseudo_get(p, p->s[S_NOHZ_FULL], 1, &on) || !on)
		return false;
	if (!pseudo_get(p, p->s[S_NOHZ_MASK], 8, &mask))
		return true;
	return in_mask(p, mask >> 63 ? mask : p->s[S_NOHZ_MASK], cpu);
}

struct cpu_look {
	uint32_t cpu;
	bool idle;
	uint64_t next; /* its next timer interrupt */
};

static bool look(const struct gf_pseudo *p, uint32_t cpu, struct cpu_look *ret)
{
	uint64_t base, curr, idle, head;

	if (!per_cpu(p, cpu, &base) || !pseudo_member(p, base + p->s[S_RUNQUEUES], M_RQ_CURR, &curr)
	    || !pseudo_member(p, base + p->s[S_RUNQUEUES], M_RQ_IDLE, &idle)
	    || !pseudo_member(p, base + p->s[S_HRTIMERS], M_HRT_NEXT, &ret->next)
	    || !pseudo_get(p, base + p->s[S_LAZY], 8, &head))
		return false;
	ret->cpu = cpu;
	ret->idle = curr == idle;
	return true;
}

/* One that runs something ticks. Of those that idle, the one whose timer fires first. */
uint32_t pseudo_cpu(const struct gf_pseudo *p, uint64_t not, bool *ret_idle)
{
	struct cpu_look best = { GF_NONE, true, UINT64_MAX }, c;
	uint64_t n = 64;

	if (p->s[S_NR_CPUS])
		pseudo_get(p, p->s[S_NR_CPUS], 4, &n);
	n = GF_MIN(n, CPUS_MAX);
	for (uint32_t cpu = 0; cpu < n; cpu++) {
		if ((cpu < 64 && not >> cpu & 1) || !in_mask(p, p->s[S_ONLINE], cpu) || tickless(p, cpu) || !look(p, cpu, &c))
			continue;
		if (best.cpu == GF_NONE || c.idle < best.idle || (c.idle == best.idle && c.next < best.next))
			best = c;
	}
	*ret_idle = best.idle;
	return best.cpu;
}

static uint64_t *list_of(const struct gf_pseudo *p, uint32_t cpu)
{
	uint64_t base;

	return per_cpu(p, cpu, &base) ? pseudo_at(p, base + p->s[S_LAZY], 8) : NULL;
}

bool pseudo_queue(struct gf_pseudo *p, uint32_t block, uint32_t cpu)
{
	uint64_t *head = list_of(p, cpu), node = pseudo_block_work(p, block) + p->m[M_IRQW_NODE];
	uint64_t *next = pseudo_at(p, node, 8), was;

	if (!head || !next)
		return false;
	was = __atomic_load_n(head, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < CAS_MAX; i++) {
		__atomic_store_n(next, was, __ATOMIC_RELAXED);
		if (__atomic_compare_exchange_n(head, &was, node, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
			return true;
	}
	return false;
}

/* While the node is the head, the list behind it is what it was when it was pushed: nothing takes from
 * the middle, and the CPU takes all at once. */
bool pseudo_unqueue(struct gf_pseudo *p, uint32_t block, uint32_t cpu)
{
	uint64_t *head = list_of(p, cpu), node = pseudo_block_work(p, block) + p->m[M_IRQW_NODE];
	uint64_t *next = pseudo_at(p, node, 8), was = node;

	return head && next && __atomic_compare_exchange_n(head, &was, __atomic_load_n(next, __ATOMIC_RELAXED), false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

#define MOVE_NS 100000000ull /* a CPU that has not drained in this time does not tick */
#define KICK_NS 20000000ull

static void kick_it(struct pseudo_work *w, const struct gf_pseudo_kick *kick)
{
	if (!kick || !kick->fn || !w->idle)
		return;
	kick->fn(kick->arg, w->cpu);
	w->kick_ns = pseudo_now();
}

static bool put_on(struct gf_pseudo *p, struct pseudo_work *w, const struct gf_pseudo_kick *kick)
{
	w->cpu = pseudo_cpu(p, w->cpus, &w->idle);
	if (w->cpu == GF_NONE || !pseudo_queue(p, w->block, w->cpu))
		return false;
	w->look_ns = pseudo_now();
	kick_it(w, kick);
	return true;
}

bool pseudo_work_start(struct gf_pseudo *p, struct pseudo_work *w, uint32_t block, const struct gf_pseudo_kick *kick)
{
	*w = (struct pseudo_work){ .block = block };
	if (put_on(p, w, kick))
		return true;
	pseudo_block_cancel(p, block);
	w->block = GF_NONE;
	return false;
}

/* The others, one after the other; after a lap from the start. */
static void move(struct gf_pseudo *p, struct pseudo_work *w, const struct gf_pseudo_kick *kick)
{
	bool idle;

	w->look_ns = pseudo_now();
	if (w->cpu < 64)
		w->cpus |= 1ull << w->cpu;
	if (pseudo_cpu(p, w->cpus, &idle) == GF_NONE)
		w->cpus = 0;
	if (!pseudo_unqueue(p, w->block, w->cpu))
		return; /* it has just been taken, or others are before it: it stays where it is */
	if (!put_on(p, w, kick)) {
		w->cpus = 0;
		pseudo_queue(p, w->block, w->cpu == GF_NONE ? 0 : w->cpu);
	}
}

bool pseudo_work_done(struct gf_pseudo *p, struct pseudo_work *w, const struct gf_pseudo_kick *kick)
{
	uint64_t now = pseudo_now();

	if (pseudo_drained(p, w->block)) {
		pseudo_block_done(p, w->block);
		return true;
	}
	if (now - w->look_ns >= MOVE_NS)
		move(p, w, kick);
	else if (w->kick_ns && now - w->kick_ns >= KICK_NS)
		kick_it(w, kick);
	return false;
}

bool pseudo_work_stop(struct gf_pseudo *p, struct pseudo_work *w)
{
	if (!pseudo_unqueue(p, w->block, w->cpu))
		return false;
	pseudo_block_cancel(p, w->block);
	w->block = GF_NONE;
	return true;
}

static uint32_t reap(struct gf_pseudo *p, const struct gf_pseudo_kick *kick)
{
	uint32_t keep = 0;

	for (uint32_t i = 0; i < p->wakes; i++)
		if (!pseudo_work_done(p, &p->wake[i], kick))
			p->wake[keep++] = p->wake[i];
	p->wakes = keep;
	return keep;
}

bool pseudo_wake(struct gf_pseudo *p, uint64_t task, const struct gf_pseudo_kick *kick)
{
	bool ok = false;

	pthread_mutex_lock(&p->lock);
	if (p->wakes == WAKES_MAX)
		reap(p, kick);
	uint32_t block = p->wakes < WAKES_MAX ? pseudo_block_wake(p, task) : GF_NONE;
	if (block != GF_NONE && pseudo_work_start(p, &p->wake[p->wakes], block, kick)) {
		p->wakes++;
		ok = true;
	}
	pthread_mutex_unlock(&p->lock);
	return ok;
}

uint32_t pseudo_wakes(struct gf_pseudo *p, const struct gf_pseudo_kick *kick)
{
	pthread_mutex_lock(&p->lock);
	uint32_t n = reap(p, kick);
	pthread_mutex_unlock(&p->lock);
	return n;
}
