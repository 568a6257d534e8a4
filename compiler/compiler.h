/* SPDX-License-Identifier: MIT
 *
 * Policy text to a verified image.
 */
#ifndef GPUFAS_COMPILER_H
#define GPUFAS_COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "compiler/source.h"
#include "gpufas/bytecode.h"

/* For coverage: a condition or a part of one, and a program of the image that gives its truth. */
enum gf_probe_of { GF_PROBE_RULE, GF_PROBE_UNTIL, GF_PROBE_WHERE, GF_PROBE_CLASS };
enum gf_probe_part { GF_PROBE_TERM, GF_PROBE_AND, GF_PROBE_OR };
struct gf_probe {
	struct gf_span span;
	uint32_t prog;
	uint32_t owner; /* number of the rule, or of the class statement, in the image */
	uint32_t depth; /* of and/or around it */
	uint8_t of, part;
};
struct gf_probes {
	struct gf_probe *v; /* free() it */
	size_t n, cap;
};

struct gf_compile_opts {
	enum gf_target_kind target;
	uint64_t period_ns;        /* for lints on holds shorter than a period; 0: 100 ms */
	const char *const *hooks;  /* names that `run` may use; NULL: any (check without a configuration) */
	size_t hook_count;
	bool warnings_off;
	bool no_module;            /* a host that is never sampled by the kernel module */
	/* Resolves a kernel path in the kernel at hand, as gf_btf_path() does: 0, or -errno with a sentence, and which
	 * part of the path it is about. NULL: there is no kernel yet, and paths are taken as they are. */
	int (*path)(void *arg, const char *path, size_t *ret_at, size_t *ret_len, struct gf_err *err);
	void *path_arg;
	struct gf_probes *probes; /* NULL: none are made */
};

/* Compiles files as one policy, in the order given. Whatever is wrong goes to
 * diags (which may also get warnings on success). 0 and an image (malloc'ed,
 * verified, ret_size bytes), -EINVAL when diags has errors, -ENOMEM. */
int gf_compile(const struct gf_source *src, size_t n, const struct gf_compile_opts *opts,
	       struct gf_diags *diags, struct gf_image_header **ret, size_t *ret_size);

/* Checks that an image is one that an engine may run: bounds, types, register
 * use, forward jumps, section limits, checksum. size: bytes at hand. 0, or
 * -EBADMSG with the first thing wrong. Never reads outside [image, image + size),
 * whatever is there. 8-byte aligned image required (-EINVAL). */
int gf_verify(const void *image, size_t size, struct gf_err *err);

/* Prints a verified image so that each rule can be followed by eye. */
void gf_disasm(const struct gf_image_header *image, FILE *out);

/* One canonical form, comments kept. diags gets syntax errors; the result is
 * malloc'ed. -EINVAL when the text does not parse. Idempotent. */
int gf_fmt(const struct gf_source *src, struct gf_diags *diags, char **ret, size_t *ret_len);

/* CRC-32C (Castagnoli), as the image header uses it. */
uint32_t gf_crc32c(uint32_t crc, const void *p, size_t n);

/* The image's checksum over its own bytes with the checksum word taken as 0. */
uint32_t gf_image_checksum(const struct gf_image_header *image);

/* Reads and verifies an image file. free() the result. */
int gf_image_read(const char *path, struct gf_image_header **ret, struct gf_err *err);

/* Field registry as a table, for `fields`, manual and sema. */
struct gf_field_info {
	const char *name, *doc, *sources; /* sources: "BPVKT" letters of fields.def */
	enum gf_dim dim;
	enum gf_pct pct;
	double lo, hi;
	enum gf_scope scope;
	bool str, derived, percpu;
	uint32_t id;          /* enum of its range; derived: the base's id */
	uint64_t window_ns;   /* derived */
	double scale;         /* derived */
};
const struct gf_field_info *gf_fields(size_t *ret_n);
const struct gf_field_info *gf_field_find(const char *name);
/* i, or the field that it is derived from, is in f from now on. */
void gf_fieldset_add(struct gf_fieldset *f, const struct gf_field_info *i);
/* Written as a kernel path is: task->mm->map_count, task->signal->rlim[7].rlim_cur; shorter than GF_PATH_TEXT. */
bool gf_path_ok(const char *text);

/* What `limit` can set. */
struct gf_limit_info {
	const char *name;
	enum gf_dim dim; /* of the value in a policy */
	double lo, hi;   /* of the same */
	double by;       /* what makes a step's amount of it */
	bool of_memory;  /* 80% of it is of mem.total */
	bool whole;      /* the amount is a whole number */
};
const struct gf_limit_info *gf_limit_info(enum gf_limit_kind kind); /* never NULL */
enum gf_limit_kind gf_limit_find(const char *name);                 /* GF_LIMIT_NONE: there is no such */

const char *gf_dim_name(enum gf_dim dim); /* "size", "duration", "number", ... as messages say it */
/* Value as a person reads it: "1.5 GiB", "2.0 s", "87 %". Returns buf. */
const char *gf_value_text(double v, enum gf_dim dim, char *buf, size_t n);

#endif
