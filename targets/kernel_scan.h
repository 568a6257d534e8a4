/* SPDX-License-Identifier: MIT
 *
 * Kernels by what they cannot do without, where VMCOREINFO does not help: their page tables. For kernel.c, and
 * ramfile_guess.c, which looks under several layouts.
 */
#ifndef GPUFAS_KERNEL_SCAN_H
#define GPUFAS_KERNEL_SCAN_H

#include "targets/kernel.h"

/* Page tables that map what may be a kernel's image. Every process's do: more than one is found for a kernel. */
struct gf_scan_tables {
	struct gf_gpa pgd;
	uint32_t levels;    /* at least; with 5 levels the second of these is found, too, and looks like 4 */
	uint64_t phys_base;
	struct gf_gpa pmd;  /* the table that maps the image: one for all of a kernel's */
};

/* The next at or after *gpa (start with 0), which is moved on behind it: 0 or -ENOENT. */
int gf_scan_tables_next(const struct gf_ramfile *f, uint64_t *gpa, struct gf_scan_tables *ret);

/* gf_kernel_find by VMCOREINFO alone: by the note at a guest physical address, or (~0) by any. */
int gf_kernel_find_quick(const struct gf_ramfile *f, uint64_t note, struct gf_kernel **ret, struct gf_err *err);

/* What else is there, for a message, where no kernel was found: always an error with a sentence. */
int gf_scan_why_not(const struct gf_ramfile *f, struct gf_err *err);

#endif
