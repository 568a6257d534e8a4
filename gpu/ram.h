/* SPDX-License-Identifier: MIT
 *
 * Physical memory of a target, mapped into this address space (on the device: into
 * the GPU's). What is in it is not trusted and changes while it is read: every access
 * is bounds-checked here, and one aligned load each, so that what was checked is what
 * is used.
 */
#ifndef GPUFAS_RAM_H
#define GPUFAS_RAM_H

#include "gpufas/hd.h"

#define GF_RAM_SEGS 64u

/* Addresses that must not be mixed up. */
struct gf_gva { uint64_t v; }; /* guest virtual, of its kernel */
struct gf_gpa { uint64_t v; }; /* guest physical */

struct gf_ram_seg {
	uint64_t gpa;  /* first byte */
	uint64_t size; /* bytes, at least 1 */
	uint8_t *p;    /* where it is mapped; not the segment's own */
};

/* Ascending, disjoint; what one segment does not wholly hold cannot be read. */
struct gf_ram {
	uint32_t n;
	uint32_t writable; /* 0: a store would fault */
	struct gf_ram_seg seg[GF_RAM_SEGS];
};
GF_STATIC_ASSERT(sizeof(struct gf_ram) == 8 + 24 * GF_RAM_SEGS, "gf_ram");

/* Where len bytes at gpa are, or NULL. */
GF_INLINE uint8_t *gf_ram_at(const struct gf_ram *r, struct gf_gpa gpa, uint64_t len)
{
	GF_ROLLED
	for (uint32_t i = 0; i < r->n && i < GF_RAM_SEGS; i++) {
		const struct gf_ram_seg *s = &r->seg[i];

		if (gpa.v >= s->gpa && gpa.v - s->gpa < s->size)
			return len <= s->size - (gpa.v - s->gpa) ? s->p + (gpa.v - s->gpa) : NULL;
	}
	return NULL;
}

/* One load, past every cache, of 1, 2, 4 or 8 bytes; p may be unaligned (then the load may be torn). */
GF_INLINE uint64_t gf_load(const uint8_t *p, uint32_t size)
{
	switch (size) {
	case 1: return *(const volatile uint8_t *)p;
	case 2: return *(const volatile gf_u16_any *)(const void *)p;
	case 4: return *(const volatile gf_u32_any *)(const void *)p;
	default: return *(const volatile gf_u64_any *)(const void *)p;
	}
}

#endif
