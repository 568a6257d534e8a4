/* SPDX-License-Identifier: MIT
 *
 * A kernel in memory, for commands that look at one: of a guest that runs, or in a file.
 */
#ifndef GPUFAS_CTL_MEMORY_H
#define GPUFAS_CTL_MEMORY_H

#include "targets/kernel.h"
#include "targets/ramfile.h"

struct gf_ctl_memory {
	struct gf_ramfile *ram;
	struct gf_kernel *kernel;
};

/* where: a QMP socket, a RAM file, or an ELF core. Read only. 0, or -errno with a sentence. */
int gf_ctl_memory_open(const char *where, struct gf_ctl_memory *ret, struct gf_err *err);
void gf_ctl_memory_close(struct gf_ctl_memory *m);

/* As gf_compile_opts.path; arg: struct gf_ctl_memory *. */
int gf_ctl_memory_path(void *arg, const char *path, size_t *ret_at, size_t *ret_len, struct gf_err *err);

#endif
