// SPDX-License-Identifier: MIT
/*
 * Memory that nothing in the guest uses, cut into blocks, each for one forged irq_work
 * and what its function takes: pages of the first MiB, which Linux reserves as a whole
 * on x86 and then leaves alone but for the trampolines that it copies there. Taken are pages
 * that the firmware gave as RAM, that the kernel has marked reserved, and that are all zero.
 *
 * A block is claimed by a compare-and-swap in its first word, so that two watchers of one guest do not
 * take the same. It is never given back: it may be taken again once the guest's clock has moved on by
 * REUSE since the claim, and only if nothing in the guest can reach it any more (its irq_work has run, its sigqueue
 * is in no list). That a sigqueue has just been unlinked does not mean that its reader is done with it: hence the
 * time, in the guest's ticks, which stand still when the guest does.
 */
#include <string.h>

#include "targets/pseudo_int.h"

#define FIRST 0x20000u /* below: where kernels that check for BIOS corruption look, and boot loaders */
#define LAST 0x9f000u
#define CLAIM 0x67667073ull /* high half of a claimed block's first word */
#define REUSE 500u     /* ticks: 0.5 to 5 s */

/* layout of a block, for both uses */
#define WAKE_AT 128u   /* the wake's timer, apart from the k_itimer's irq_work */

static uint64_t claim_word(const struct gf_pseudo *p)
{
	uint64_t j = 0;

	pseudo_get(p, p->s[S_JIFFIES], 8, &j);
	return CLAIM << 32 | (uint32_t)j;
}

static bool is_ram(const struct gf_pseudo *p, uint64_t gpa)
{
	uint64_t table, n;
	uint8_t e[20];

	if (!pseudo_get(p, p->s[S_E820], 8, &table) || !pseudo_member(p, table, M_E820_N, &n) || n > 4096)
		return false;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t addr, size;
		uint32_t type;
		if (gf_kmem_read(&p->k->mem, table + p->m[M_E820_ENTRY] + i * p->e820_size, e, sizeof e))
			return false;
		memcpy(&addr, e, 8);
		memcpy(&size, e + 8, 8);
		memcpy(&type, e + 16, 4);
		if (gpa >= addr && gpa - addr < size)
			return type == 1 && size - (gpa - addr) >= 4096;
	}
	return false;
}

static bool is_reserved(const struct gf_pseudo *p, uint64_t gpa)
{
	uint64_t map, flags;

	return pseudo_get(p, p->s[S_VMEMMAP], 8, &map)
	       && pseudo_member(p, map + (gpa >> 12) * p->page_size, M_PAGE_FLAGS, &flags) && flags >> p->pg_reserved & 1;
}

/* All zero, or cut into blocks already, by an earlier watcher. */
static bool is_unused(const struct gf_pseudo *p, uint64_t va)
{
	for (uint32_t at = 0; at < 4096; at += BLOCK) {
		uint64_t first, v;
		if (!pseudo_get(p, va + at, 8, &first))
			return false;
		if (first >> 32 == CLAIM)
			continue;
		for (uint32_t i = 0; i < BLOCK; i += 8)
			if (!pseudo_get(p, va + at + i, 8, &v) || v)
				return false;
	}
	return true;
}

void pseudo_blocks(struct gf_pseudo *p)
{
	uint32_t ram = 0, reserved = 0;
	uint32_t need = p->m[M_KIT_TIMER] + 64;

	if (!pseudo_has(p, PART_SEND) && !pseudo_has(p, PART_WAKE))
		return;
	if (need > BLOCK_SIGQ || p->m[M_SQ_OVERRUN] + 64 > BLOCK - BLOCK_SIGQ || p->m[M_PT_TASK] + 8 > BLOCK_SIGQ - WAKE_AT
	    || p->m[M_KIT_LOCK] < 16 || p->m[M_SQ_FLAGS] % 8)
		pseudo_turn_off(p, PART_SEND | PART_WAKE, "its k_itimer and sigqueue do not go into a block of %u bytes", BLOCK);
	for (uint64_t gpa = FIRST; gpa < LAST && p->blocks < BLOCKS_MAX; gpa += 4096) {
		uint64_t va = p->k->mem.page_offset + gpa;
		if (!is_ram(p, gpa) || ++ram == 0 || !is_reserved(p, gpa) || ++reserved == 0 || !is_unused(p, va))
			continue;
		for (uint32_t at = 0; at < 4096 && p->blocks < BLOCKS_MAX; at += BLOCK)
			p->block[p->blocks++] = va + at;
	}
	if (p->blocks < 4096 / BLOCK)
		pseudo_turn_off(p, PART_SEND | PART_WAKE, "no page of the first MiB is certain to be unused (%u of RAM, %u of them reserved)", ram, reserved);
}

/* irq_work of a block: offset. */
static uint32_t work_at(const struct gf_pseudo *p, uint32_t block, bool *ret_wake)
{
	uint64_t kind = 0;

	/* word 1: which use, beyond the list nodes that neither function looks at */
	pseudo_get(p, p->block[block] + 8, 8, &kind);
	*ret_wake = kind == 1;
	return *ret_wake ? WAKE_AT : p->m[M_KIT_TIMER];
}

uint64_t pseudo_block_work(const struct gf_pseudo *p, uint32_t block)
{
	bool wake;

	return p->block[block] + work_at(p, block, &wake);
}

bool pseudo_drained(const struct gf_pseudo *p, uint32_t block)
{
	uint64_t flags;

	return pseudo_get(p, pseudo_block_work(p, block) + p->m[M_IRQW_FLAGS], 4, &flags) && !flags;
}

static bool unlinked(const struct gf_pseudo *p, uint32_t block)
{
	uint64_t at = p->block[block] + BLOCK_SIGQ + p->m[M_SQ_LIST], next;

	return pseudo_get(p, at, 8, &next) && next == at;
}

static bool reusable(const struct gf_pseudo *p, uint32_t block, uint64_t word)
{
	if (!word)
		return true;
	return word >> 32 == CLAIM && (uint32_t)((uint32_t)claim_word(p) - (uint32_t)word) >= REUSE && pseudo_drained(p, block)
	       && unlinked(p, block);
}

static uint32_t claim(struct gf_pseudo *p)
{
	for (uint32_t k = 0; k < p->blocks; k++) {
		uint32_t i = __atomic_fetch_add(&p->next_block, 1, __ATOMIC_RELAXED) % p->blocks;
		uint64_t *w = pseudo_at(p, p->block[i], 8);
		uint64_t was = w ? __atomic_load_n(w, __ATOMIC_ACQUIRE) : ~0ull;
		if (reusable(p, i, was) && __atomic_compare_exchange_n(w, &was, claim_word(p), false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			return i;
	}
	return GF_NONE;
}

/* What is in a block but its claim, and what says that it is not the kernel's to free: that stays true whoever may
 * still be looking. */
static void wipe(const struct gf_pseudo *p, uint32_t block)
{
	for (uint32_t at = 8; at < BLOCK; at += 8)
		if (at != BLOCK_SIGQ + p->m[M_SQ_FLAGS])
			pseudo_set(p, p->block[block] + at, 8, 0);
}

/* The sigqueue: in no list, not the kernel's to free (SIGQUEUE_PREALLOC), a timer's (SI_TIMER). The
 * overrun is one that the sender sets to 0 when it queues the signal. */
static void fill_sigqueue(const struct gf_pseudo *p, uint64_t q, int sig)
{
	pseudo_set(p, q + p->m[M_SQ_LIST], 8, q + p->m[M_SQ_LIST]);
	pseudo_set(p, q + p->m[M_SQ_LIST] + 8, 8, q + p->m[M_SQ_LIST]);
	if (!pseudo_has(p, PART_SEND))
		return;
	pseudo_set(p, q + p->m[M_SQ_FLAGS], 4, 1);
	pseudo_set(p, q + p->m[M_SQ_SIGNO], 4, (uint32_t)sig);
	pseudo_set(p, q + p->m[M_SQ_CODE], 4, (uint32_t)-2);
	pseudo_set(p, q + p->m[M_SQ_OVERRUN], 4, PSEUDO_OVERRUN);
}

static void fill_work(const struct gf_pseudo *p, uint64_t work, uint64_t func)
{
	pseudo_set(p, work + p->m[M_IRQW_FLAGS], 4, 3); /* IRQ_WORK_CLAIMED */
	pseudo_set(p, work + p->m[M_IRQW_FUNC], 8, func);
}

/* One more reference: never to what has none left, never over into nonsense. */
static bool take_ref(const struct gf_pseudo *p, uint64_t va)
{
	uint32_t *c = (uint32_t *)(void *)pseudo_at(p, va, 4), was;

	if (!c)
		return false;
	was = __atomic_load_n(c, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < CAS_MAX && was && was <= 0x3fffffff; i++)
		if (__atomic_compare_exchange_n(c, &was, was + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			return true;
	return false;
}

/* Never the last: nobody would free what it holds. Then it stays, a few hundred bytes lost to the guest. That also
 * keeps a reference that was lost from being dropped: a kernel on one CPU counts without locking the bus. */
static void drop_ref(const struct gf_pseudo *p, uint64_t va)
{
	uint32_t *c = (uint32_t *)(void *)pseudo_at(p, va, 4), was;

	if (!c)
		return;
	was = __atomic_load_n(c, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < CAS_MAX && was >= 2 && was <= 0x40000000; i++)
		if (__atomic_compare_exchange_n(c, &was, was - 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			return;
}

uint32_t pseudo_block_signal(struct gf_pseudo *p, const struct gf_pseudo_victim *v, int sig)
{
	uint32_t i = claim(p);
	uint64_t s;

	if (i == GF_NONE)
		return i;
	s = p->block[i];
	wipe(p, i);
	fill_sigqueue(p, s + BLOCK_SIGQ, sig);
	if (!take_ref(p, v->pid_struct + p->m[M_PID_COUNT]))
		return GF_NONE;
	pseudo_set(p, s + p->m[M_KIT_PID], 8, v->pid_struct);
	pseudo_set(p, s + p->m[M_KIT_SIGQ], 8, s + BLOCK_SIGQ);
	fill_work(p, s + p->m[M_KIT_TIMER], p->s[S_SENDER]);
	return i;
}

uint32_t pseudo_block_wake(struct gf_pseudo *p, uint64_t task)
{
	uint32_t i = claim(p);
	uint64_t s;

	if (i == GF_NONE)
		return i;
	s = p->block[i];
	wipe(p, i);
	fill_sigqueue(p, s + BLOCK_SIGQ, 0);
	if (!take_ref(p, task + p->m[M_TASK_USAGE]))
		return GF_NONE;
	pseudo_set(p, s + 8, 8, 1);
	pseudo_set(p, s + WAKE_AT + p->m[M_PT_TASK], 8, task);
	fill_work(p, s + WAKE_AT, p->s[S_WAKER]);
	return i;
}

void pseudo_block_done(struct gf_pseudo *p, uint32_t block)
{
	uint64_t what;
	bool wake;

	work_at(p, block, &wake);
	if (wake) {
		if (pseudo_get(p, p->block[block] + WAKE_AT + p->m[M_PT_TASK], 8, &what))
			drop_ref(p, what + p->m[M_TASK_USAGE]);
	} else if (pseudo_get(p, p->block[block] + p->m[M_KIT_PID], 8, &what))
		drop_ref(p, what + p->m[M_PID_COUNT]);
}

void pseudo_block_cancel(struct gf_pseudo *p, uint32_t block)
{
	pseudo_block_done(p, block);
	pseudo_set(p, pseudo_block_work(p, block) + p->m[M_IRQW_FLAGS], 4, 0);
}

enum pseudo_sent pseudo_block_sent(const struct gf_pseudo *p, uint32_t block)
{
	uint64_t overrun;

	if (!unlinked(p, block))
		return PSEUDO_QUEUED;
	if (!pseudo_get(p, p->block[block] + BLOCK_SIGQ + p->m[M_SQ_OVERRUN], 4, &overrun))
		return PSEUDO_DROPPED;
	return overrun == PSEUDO_OVERRUN ? PSEUDO_DROPPED : PSEUDO_TAKEN;
}
