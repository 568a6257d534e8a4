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
		if (first >> 32 == PSEUDO_CLAIM || first >> 32 == PSEUDO_ASIDE_CLAIM)
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
	if (need > PSEUDO_BLOCK_SIGQ || p->m[M_SQ_OVERRUN] + 64 > BLOCK - PSEUDO_BLOCK_SIGQ || p->m[M_PT_TASK] + 8 > PSEUDO_BLOCK_SIGQ - PSEUDO_BLOCK_WAKE
	    || p->m[M_KIT_LOCK] < 16 || p->m[M_SQ_FLAGS] % 8)
		pseudo_turn_off(p, PART_SEND | PART_WAKE, "its k_itimer and sigqueue do not go into a block of %u bytes", BLOCK);
	for (uint64_t gpa = FIRST; gpa < LAST && p->blocks < PSEUDO_BLOCKS; gpa += 4096) {
		uint64_t va = p->k->mem.page_offset + gpa;
		if (!is_ram(p, gpa) || ++ram == 0 || !is_reserved(p, gpa) || ++reserved == 0 || !is_unused(p, va))
			continue;
		for (uint32_t at = 0; at < 4096 && p->blocks < PSEUDO_BLOCKS; at += BLOCK)
			p->block[p->blocks++] = va + at;
	}
	if (p->blocks < 4096 / BLOCK)
		pseudo_turn_off(p, PART_SEND | PART_WAKE, "no page of the first MiB is certain to be unused (%u of RAM, %u of them reserved)", ram, reserved);
}
