/* SPDX-License-Identifier: MIT
 *
 * The files that a target's physical memory is in, mapped: a raw RAM file, a memfd of
 * a running QEMU, an ELF core. A file that is cut while it is mapped does not end the
 * daemon: the lost part reads as zeros from then on, and `lost` is set.
 */
#ifndef GPUFAS_RAMFILE_H
#define GPUFAS_RAMFILE_H

#include <stdbool.h>

#include "gpu/ram.h"
#include "gpufas/err.h"

#define GF_RAMFILE_FILES 16u

struct gf_ramfile; /* mappings and what they are of; refcounted by nobody: one owner */

/* One piece of guest physical memory in a file. */
struct gf_ram_piece {
	uint64_t gpa, size; /* bytes, multiples of 4096 */
	uint64_t off;       /* of the first byte in the file */
};

/* Maps pieces of fd (borrowed: duplicated where needed) shared; writable: for stores, too. `what` names it in
 * messages. Errors with a sentence: -EINVAL (overlaps, too many, private file or not the size that
 * the layout says), -EACCES, -ENOMEM, -ENODATA (a file of zeros only, or empty). */
int gf_ramfile_map(int fd, const char *what, const struct gf_ram_piece *piece, size_t n, bool writable,
		   struct gf_ramfile **ret, struct gf_err *err);
/* The same where RAM is in several files (one a NUMA node): piece i is in fd[i]. */
int gf_ramfile_map_files(const int *fd, const char *what, const struct gf_ram_piece *piece, size_t n, bool writable,
			 struct gf_ramfile **ret, struct gf_err *err);
/* A file by name: an ELF core (its PT_LOADs), or raw, with the layout given (n 0: one piece, the whole file
 * at 0, or split at the usual hole of QEMU's q35 or pc machine where the kernel found there says so). */
int gf_ramfile_open(const char *path, const struct gf_ram_piece *piece, size_t n, bool writable,
		    struct gf_ramfile **ret, struct gf_err *err);
void gf_ramfile_close(struct gf_ramfile *f);

/* What a CPU's CR3 is just now, where that is known. A reboot does not clear memory, so that a kernel that no longer runs
 * may be found in it: with this, one that these page tables do not map is passed over. */
void gf_ramfile_set_cr3(struct gf_ramfile *f, uint64_t cr3);

const struct gf_ram *gf_ramfile_ram(const struct gf_ramfile *f);
bool gf_ramfile_lost(const struct gf_ramfile *f); /* a part of it is gone */
/* Bytes of its files that there is memory for. Less than before: somebody has given some back to the system (punched holes). */
uint64_t gf_ramfile_allocated(const struct gf_ramfile *f);
/* Tells of it, also where the hole is filled again at once: an inotify descriptor, the caller's to close, which can be read when somebody has changed
 * the files by a system call (fallocate, madvise MADV_REMOVE, write, truncate). Stores into mappings, which are what a guest does, are none.
 * -errno where there is none to be had. ret_sure: nothing is missed (of what a memfd's maker does to it Linux 6.13 and up do not tell). */
int gf_ramfile_watch(const struct gf_ramfile *f, bool *ret_sure);
/* Whether something has come on it, which is then read. */
bool gf_ramfile_watch_saw(int fd);
/* Ranges of guest physical memory that hold data at all (a sparse file's holes left out: reading them would fill
 * them), ascending; up to n, the last of which then holds all the rest. */
size_t gf_ramfile_data(const struct gf_ramfile *f, struct gf_ram_piece *buf, size_t n);
/* The first such range that ends behind gpa, cut to start there at the earliest. False: no more. */
bool gf_ramfile_next(const struct gf_ramfile *f, uint64_t gpa, struct gf_ram_piece *ret);
/* Text of the VMCOREINFO note that an ELF core carries, not ended by NUL; NULL if none. */
const char *gf_ramfile_vmcoreinfo(const struct gf_ramfile *f, size_t *ret_len);
uint64_t gf_ramfile_cr3(const struct gf_ramfile *f); /* 0: not known */
struct gf_ram_piece gf_ramfile_piece(const struct gf_ramfile *f, uint32_t i); /* as gf_ramfile_ram()->seg[i] */
const char *gf_ramfile_what(const struct gf_ramfile *f); /* for messages */

#endif
