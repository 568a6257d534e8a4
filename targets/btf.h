/* SPDX-License-Identifier: MIT
 *
 * BTF as it lies in a kernel's memory (Documentation/bpf/btf.rst), read for member offsets. By hand and not
 * with libbpf because the bytes are a guest's: every index is checked, every walk bounded.
 */
#ifndef GPUFAS_BTF_H
#define GPUFAS_BTF_H

#include <stddef.h>
#include <stdint.h>

#include "gpufas/err.h"
#include "gpu/kpath.h"

#define GF_BTF_MAX (32u << 20) /* bytes of BTF taken at most */

struct gf_btf;

/* Takes a copy of data. -EBADMSG with what is wrong, -ENOMEM. Checks all types once, so that look-ups need
 * not. */
int gf_btf_create(const void *data, size_t size, struct gf_btf **ret, struct gf_err *err);
void gf_btf_free(struct gf_btf *b);
uint32_t gf_btf_types(const struct gf_btf *b);

/* What may follow a member in a path. */
enum gf_btf_next { GF_BTF_NOTHING, GF_BTF_DOT, GF_BTF_ARROW, GF_BTF_INDEX };

struct gf_btf_member {
	uint32_t off;       /* bytes from the start of the outermost struct */
	uint32_t size;      /* bytes; of an array all of it */
	uint8_t bit, bits;  /* bit field: bit inside the loaded number at off, width; else 0, 0 */
	uint8_t is_signed, is_pointer;
	uint8_t is_number;  /* may stand in a rule as it is: an integer, a bool, an enum of at most 8 bytes */
	uint8_t next;       /* enum gf_btf_next */
	uint32_t type;      /* id, modifiers and typedefs removed */
	uint32_t elem;      /* array: bytes of an element, else 0 */
};

/* Struct or union by its tag, or typedef by its name ("task_struct", "pid_t"): id, 0 if none. */
uint32_t gf_btf_type(const struct gf_btf *b, const char *name);
uint32_t gf_btf_size(const struct gf_btf *b, uint32_t type); /* bytes, 0 if none */
/* "se.sum_exec_runtime", "pid_links[1]", "rlim[7].rlim_cur": members of anonymous structs and unions are found as
 * in C; indices are checked against the array's length. Does not go through pointers. 0, -ENOENT, -EINVAL. */
int gf_btf_member(const struct gf_btf *b, const char *type, const char *path, struct gf_btf_member *ret);
/* Value of an enumerator, by name, in any enum: 0 or -ENOENT. (PIDTYPE_TGID, MM_ANONPAGES, NR_FILE_PAGES...) */
int gf_btf_enum(const struct gf_btf *b, const char *name, int64_t *ret);
/* Address space of a per-CPU or other variable's type: id of the type of a `VAR`, 0 if none (cloud kernels have per-CPU
 * ones only). */
uint32_t gf_btf_var(const struct gf_btf *b, const char *name);

/* `task->signal->rlim[7].rlim_cur` to what gf_kpath_value() follows. 0; -EINVAL with a sentence for the user
 * that names the member that is not there, the struct it was looked for in and up to three nearest members; the
 * span of the offending part inside the path goes to ret_at, ret_len (may be NULL). */
int gf_btf_path(const struct gf_btf *b, const char *path, struct gf_kpath *ret, size_t *ret_at, size_t *ret_len,
		struct gf_err *err);
/* Members that may follow a path ("task->mm"), for listings: calls fn for each, in order of offset. type: as C would
 * write it. -EINVAL as above. */
typedef void (*gf_btf_each)(void *arg, const char *name, const char *type, const struct gf_btf_member *m);
int gf_btf_list(const struct gf_btf *b, const char *path, gf_btf_each fn, void *arg, struct gf_err *err);
/* The same for a path that is being written: "task->mm->" lists what "task->mm" does, "task->mm->ma" the members that
 * start with ma, and a path to a number that one. prefix (n bytes) and a name that fn gets are a path together. */
int gf_btf_complete(const struct gf_btf *b, const char *path, char *prefix, size_t n, gf_btf_each fn, void *arg,
		    struct gf_err *err);

#endif
