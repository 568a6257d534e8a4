/* SPDX-License-Identifier: MIT
 *
 * kallsyms as it lies in a kernel's memory (kernel/kallsyms.c; scripts/kallsyms.c): every encoding from
 * 5.10 to 6.18. Copied and decoded once; look-ups are by a sorted index.
 */
#ifndef GPUFAS_KALLSYMS_H
#define GPUFAS_KALLSYMS_H

#include "gpu/kmem.h"
#include "gpufas/err.h"

struct gf_kallsyms;

/* Addresses of the tables in the target, 0 where not known (token_index can be found from token_table). */
struct gf_kallsyms_at {
	uint64_t names, num_syms, token_table, token_index, offsets, relative_base, markers;
	uint64_t stext;  /* what the symbol _stext must come out as; 0: not known */
};

/* -EBADMSG, -ENOTSUP, -ENOMEM with a sentence. */
int gf_kallsyms_read(const struct gf_kmem *k, const struct gf_kallsyms_at *at, struct gf_kallsyms **ret, struct gf_err *err);
/* Without being told where: looks for the tables by their shape in the image that k's page tables map at GF_KERNEL_MAP
 * + phys_base (they lie together, in one of two orders). stext: as above, or 0. -ENOTSUP: no such tables. */
int gf_kallsyms_search(const struct gf_kmem *k, uint64_t stext, struct gf_kallsyms **ret, struct gf_err *err);
void gf_kallsyms_free(struct gf_kallsyms *s);

int gf_kallsyms_find(const struct gf_kallsyms *s, const char *name, uint64_t *ret_va); /* 0 or -ENOENT */
/* Walks all, in the table's order: ascending addresses but for per-CPU ones. */
size_t gf_kallsyms_count(const struct gf_kallsyms *s);
const char *gf_kallsyms_name(const struct gf_kallsyms *s, size_t i, uint64_t *ret_va, char *ret_type);
/* Symbol at or before va: its name, or NULL; ret_off bytes into it. */
const char *gf_kallsyms_at_va(const struct gf_kallsyms *s, uint64_t va, uint64_t *ret_off);
/* Bytes from va to the next symbol, 0 if none. */
uint64_t gf_kallsyms_size(const struct gf_kallsyms *s, uint64_t va);
const char *gf_kallsyms_encoding(const struct gf_kallsyms *s); /* for probe: "offsets from _text, base relative" */

#endif
