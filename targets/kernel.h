/* SPDX-License-Identifier: MIT
 *
 * The Linux kernel in a target's memory: found by what it says of itself there (the
 * VMCOREINFO note, page tables, kallsyms, BTF), with no symbol file and no agent.
 * Everything that is read is hostile until checked: no read outside the memory, no
 * loop and no allocation sized by guest data without a cap.
 */
#ifndef GPUFAS_KERNEL_H
#define GPUFAS_KERNEL_H

#include <stdbool.h>

#include "gpu/kmem.h"
#include "targets/btf.h"
#include "targets/ramfile.h"

struct gf_kallsyms; /* targets/kallsyms.h */

struct gf_kernel {
	struct gf_kmem mem;           /* with a copy of the ramfile's gf_ram: the file must outlive the kernel */
	struct gf_kallsyms *syms;
	struct gf_btf *btf;
	char release[128];            /* "6.1.0-32-cloud-amd64" */
	char banner[512];             /* linux_banner, one line */
	char found_by[64];            /* "VMCOREINFO", or by what else */
	char notes[512];              /* what could not be had, a sentence each, "" if all is well */
	uint64_t kaslr;               /* bytes that the image was moved by; ~0: not known */
	uint64_t vmcoreinfo_gpa;      /* of the note, or ~0 */
	uint64_t took_ns;             /* to find all this */
};

/* Errors with a sentence that says how to mend it: -ENODATA (no Linux here, or booting still: may come),
 * -ENOTSUP (another architecture, a kernel without BTF or kallsyms), -EBADMSG (what is there contradicts
 * itself), -ENOMEM. Freed by gf_kernel_free. */
int gf_kernel_find(const struct gf_ramfile *f, struct gf_kernel **ret, struct gf_err *err);
void gf_kernel_free(struct gf_kernel *k);

/* Whether the kernel found is still the one that runs there (cheap: a few reads). After a reboot it is not. */
bool gf_kernel_still_there(const struct gf_kernel *k);

/* Whether the page tables that a CPU uses (its CR3) map the kernel k where it is: 1, or 0, another one runs. -ENOENT: k
 * does not say where it is. */
int gf_kernel_runs(const struct gf_kernel *k, uint64_t cr3);

/* Whether it has come so far as to start the first process. Before that not all can be had of it that will be. */
bool gf_kernel_started(const struct gf_kernel *k);

/* Address of a symbol: 0, or -ENOENT. Names compare whole. Where a name stands more than once, the first. */
int gf_kernel_sym(const struct gf_kernel *k, const char *name, uint64_t *ret_va);
/* Of several names the first that there is. -ENOENT. */
int gf_kernel_sym_any(const struct gf_kernel *k, const char *const *names, size_t n, uint64_t *ret_va);

#endif
