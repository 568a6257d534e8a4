/* SPDX-License-Identifier: MIT
 *
 * A kernel in memory, for commands that look at one: of a guest that runs, or in a file.
 */
#ifndef GPUFAS_CTL_MEMORY_H
#define GPUFAS_CTL_MEMORY_H

#include "targets/kernel.h"
#include "targets/qmp.h"
#include "targets/ramfile.h"

struct gf_ctl_memory {
	struct gf_ramfile *ram;
	struct gf_kernel *kernel;
};

/* Only the memory, for commands that tell what is in it: with the layout of a raw file (n 0: found out), for writing
 * where that is allowed. A guest's QEMU tells about it in ret_guest, whose name is "" for files; its fds are closed. */
int gf_ctl_memory_map(const char *where, const struct gf_ram_piece *piece, size_t n, bool writable, struct gf_ramfile **ret,
		      struct gf_qmp_guest *ret_guest, struct gf_err *err);

/* where: a QMP socket, a RAM file, or an ELF core. Read only. 0, or -errno with a sentence. */
int gf_ctl_memory_open(const char *where, struct gf_ctl_memory *ret, struct gf_err *err);
void gf_ctl_memory_close(struct gf_ctl_memory *m);

/* As gf_compile_opts.path; arg: struct gf_ctl_memory *. */
int gf_ctl_memory_path(void *arg, const char *path, size_t *ret_at, size_t *ret_len, struct gf_err *err);

#endif
