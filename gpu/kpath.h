/* SPDX-License-Identifier: MIT
 *
 * A kernel path (`task->mm->map_count`), resolved for one kernel: hops through
 * pointers from the thread group leader's task_struct, then one scalar. Made from the
 * target's BTF (targets/btf.h), followed here. A NULL or bad pointer makes the value
 * unknown.
 */
#ifndef GPUFAS_KPATH_H
#define GPUFAS_KPATH_H

#include "gpu/kmem.h"
#include "gpufas/fields.h"

#define GF_KPATH_HOPS 8u

struct gf_kpath {
	uint32_t hop[GF_KPATH_HOPS]; /* byte offsets at which a pointer is loaded, in order */
	uint32_t hops;
	uint32_t off;      /* of the scalar, from the last pointer */
	uint8_t size;      /* 1, 2, 4, 8; 0: not resolved for this kernel */
	uint8_t is_signed;
	uint8_t bit, bits; /* bit field: first bit inside the loaded number, how many; bits 0: none */
	uint32_t reserved;
};
GF_STATIC_ASSERT(sizeof(struct gf_kpath) == 48, "gf_kpath");

GF_INLINE double gf_kpath_value(const struct gf_kmem *k, const struct gf_kpath *p, uint64_t task)
{
	uint64_t at = task, v;
	uint32_t width = p->bits ? p->bits : p->size * 8u;

	if (!p->size)
		return gf_unknown();
	for (uint32_t i = 0; i < p->hops && i < GF_KPATH_HOPS; i++)
		if (gf_kmem_load(k, at + p->hop[i], 8, &at) || !at)
			return gf_unknown();
	if (gf_kmem_load(k, at + p->off, p->size, &v))
		return gf_unknown();
	if (p->bits)
		v >>= p->bit;
	if (width < 64)
		v &= (1ull << width) - 1;
	if (!p->is_signed)
		return (double)v;
	if (width < 64 && v >> (width - 1))
		v |= ~0ull << width;
	return (double)(int64_t)v;
}

#endif
