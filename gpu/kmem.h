/* SPDX-License-Identifier: MIT
 *
 * The kernel's virtual addresses of an x86-64 Linux target, through its own page
 * tables. Plain data: copied as it is into device memory.
 *
 * Two ranges need no tables: the kernel image, and the direct map, which maps physical
 * memory one to one from page_offset on (Documentation/arch/x86/x86_64/mm.rst).
 * Everything else (vmalloc: per-CPU chunks, stacks) is walked, 4 or 5 levels, pages of
 * 4 KiB, 2 MiB and 1 GiB. A walk is bounded by the number of levels.
 */
#ifndef GPUFAS_KMEM_H
#define GPUFAS_KMEM_H

#include "gpu/ram.h"

#define GF_KERNEL_MAP 0xffffffff80000000ull /* __START_KERNEL_map */

struct gf_kmem {
	struct gf_ram ram;
	struct gf_gpa pgd;      /* swapper_pg_dir */
	uint32_t levels;        /* 4 or 5 */
	uint32_t reserved;
	uint64_t phys_base;     /* gpa = va - GF_KERNEL_MAP + phys_base, in the image; may be "negative" */
	uint64_t image, image_end; /* va of _text and _end; image_end 0: not known yet */
	uint64_t page_offset;   /* va of gpa 0 in the direct map; 0: not known yet */
	uint64_t direct_size;   /* bytes of it: highest gpa + 1 */
};

#define GF_PTE_PRESENT 1ull
#define GF_PTE_PSE     0x80ull
#define GF_PTE_GLOBAL  0x100ull
#define GF_PTE_ADDR    0x000ffffffffff000ull

/* Physical address behind va by the page tables at pgd: 0, or -1 when nothing is mapped there
 * (or the tables lead out of memory). ret_left: bytes up to the end of the page. */
GF_OUTLINE int gf_pt_walk(const struct gf_ram *ram, struct gf_gpa pgd, uint32_t levels, uint64_t va,
			 struct gf_gpa *ret, uint64_t *ret_left)
{
	uint64_t table = pgd.v & GF_PTE_ADDR;

	for (uint32_t level = levels; level >= 1; level--) {
		uint32_t shift = 12 + 9 * (level - 1);
		struct gf_gpa at = { table + (va >> shift & 511) * 8 };
		const uint8_t *p = gf_ram_at(ram, at, 8);
		uint64_t e, size = 1ull << shift;

		if (!p)
			return -1;
		e = gf_load(p, 8);
		if (!(e & GF_PTE_PRESENT))
			return -1;
		if (level == 1 || (level <= 3 && (e & GF_PTE_PSE))) {
			/* bit 12 of a large page's entry is PAT, above are reserved zeros */
			ret->v = (e & GF_PTE_ADDR & ~(size - 1)) | (va & (size - 1));
			*ret_left = size - (va & (size - 1));
			return 0;
		}
		table = e & GF_PTE_ADDR;
	}
	return -1;
}

/* Physical address of a kernel virtual one: 0 or -1. */
GF_INLINE int gf_kva_gpa(const struct gf_kmem *k, struct gf_gva va, struct gf_gpa *ret, uint64_t *ret_left)
{
	if (k->page_offset && va.v - k->page_offset < k->direct_size) {
		ret->v = va.v - k->page_offset;
		*ret_left = k->direct_size - ret->v;
		return 0;
	}
	if (k->image_end && va.v >= k->image && va.v < k->image_end) {
		ret->v = va.v - GF_KERNEL_MAP + k->phys_base;
		*ret_left = k->image_end - va.v;
		return 0;
	}
	if (va.v >> 63 == 0)
		return -1; /* user space is not the kernel's */
	return gf_pt_walk(&k->ram, k->pgd, k->levels, va.v, ret, ret_left);
}

/* Where len bytes at va are mapped here, or NULL: also when they cross a page behind which
 * memory is not contiguous. */
GF_CALLED uint8_t *gf_kmem_at(const struct gf_kmem *k, struct gf_gva va, uint64_t len)
{
	struct gf_gpa gpa;
	uint64_t left;

	if (gf_kva_gpa(k, va, &gpa, &left) || len > left)
		return NULL;
	return gf_ram_at(&k->ram, gpa, len);
}

/* Where a number of 1, 2, 4 or 8 bytes is, or NULL. An unaligned one is refused: no kernel variable that is read is. For who loads several side by side,
 * where gf_kmem_load waits for each. */
GF_INLINE const uint8_t *gf_kmem_num(const struct gf_kmem *k, uint64_t va, uint32_t size)
{
	struct gf_gva a = { va };

	return va & (size - 1) ? NULL : gf_kmem_at(k, a, size);
}

/* One number: 0 or -1. */
GF_CALLED int gf_kmem_load(const struct gf_kmem *k, uint64_t va, uint32_t size, uint64_t *ret)
{
	const uint8_t *p = gf_kmem_num(k, va, size);

	if (!p)
		return -1;
	*ret = gf_load(p, size);
	return 0;
}

/* Bytes, over page borders: 0 or -1 (part of dst may be written then). */
GF_OUTLINE int gf_kmem_read(const struct gf_kmem *k, uint64_t va, void *dst, uint64_t len)
{
	uint8_t *d = (uint8_t *)dst;

	while (len) {
		struct gf_gva a = { va };
		struct gf_gpa gpa;
		uint64_t left, n;
		const volatile uint8_t *p;

		if (gf_kva_gpa(k, a, &gpa, &left))
			return -1;
		n = GF_MIN(GF_MIN(left, len), 4096 - (va & 4095));
		p = gf_ram_at(&k->ram, gpa, n);
		if (!p)
			return -1;
		for (uint64_t i = 0; i < n; i++)
			d[i] = p[i];
		d += n;
		va += n;
		len -= n;
	}
	return 0;
}

#endif
