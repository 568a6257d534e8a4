/* SPDX-License-Identifier: MIT
 *
 * VMCOREINFO: what a kernel says of itself for crash dumps (kernel/vmcore_info.c; Documentation/admin-guide/kdump/
 * vmcoreinfo.rst), lines of KEY=VALUE in an ELF note at the start of a page. Anybody in a guest can write one like it.
 */
#ifndef GPUFAS_VMCOREINFO_H
#define GPUFAS_VMCOREINFO_H

#include "gpu/kmem.h"
#include "targets/ramfile.h"

#define GF_VMCOREINFO_MAX 8192u /* bytes of text taken at most; kernels up to 6.18 reserve 4096 */

struct gf_vmcoreinfo {
	uint64_t gpa; /* of the note; ~0: from a core's headers */
	char release[128];
	/* Addresses, 0 where not told. */
	uint64_t swapper_pg_dir, stext;
	uint64_t names, num_syms, token_table, token_index, offsets, relative_base;
	uint64_t phys_base; /* may be "negative" */
	uint64_t kaslr;     /* ~0: not told */
	uint64_t sme_mask;
	uint32_t levels;    /* 4 or 5 */
	bool foreign;       /* of a Linux for another architecture: only release can be used */
};

/* 0, or -EBADMSG: not of a Linux. */
int gf_vmcoreinfo_parse(const char *text, size_t len, struct gf_vmcoreinfo *ret);
/* Where a search stands; start with { gpa, 0 }. Asking a file where its holes are takes time: once for each range. */
struct gf_vmcoreinfo_pos {
	uint64_t gpa;      /* looked at up to here */
	uint64_t data_end; /* there is data up to here */
};

/* The next note that can be parsed before end; pos is moved on behind it: 0, or -ENOENT. */
int gf_vmcoreinfo_next(const struct gf_ramfile *f, struct gf_vmcoreinfo_pos *pos, uint64_t end, struct gf_vmcoreinfo *ret);

#endif
