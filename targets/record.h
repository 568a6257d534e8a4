/* SPDX-License-Identifier: MIT
 *
 * From a sampler's record of one process to the columns of its row: the same for all targets.
 */
#ifndef GPUFAS_RECORD_H
#define GPUFAS_RECORD_H

#include <stdbool.h>

#include "gpufas/sample.h"
#include "gpufas/taskrec.h"

/* What a sampler must find out so that the columns of f can be filled. */
uint32_t gf_record_want(const struct gf_fieldset *f);

/* What is remembered of a row from one sample to the next. */
struct gf_record_note {
	uint64_t utime_ns, stime_ns; /* as last shown: each may only grow */
};

struct gf_record_env {
	uint64_t now_ns;      /* what ages are counted to */
	uint64_t total_pages; /* RAM and swap; 0: not known */
	double page;          /* bytes */
};

/* enum gf_row_flags, but for GF_ROW_SELF. */
uint8_t gf_record_flags(const struct gf_task_rec *r);
/* All columns of s but read_bytes, write_bytes and children. */
void gf_record_columns(struct gf_sample *s, uint32_t row, const struct gf_task_rec *r, const struct gf_record_env *e,
		       struct gf_record_note *n);
/* read_bytes and write_bytes. */
void gf_record_io(struct gf_sample *s, uint32_t row, bool known, uint64_t read, uint64_t written);

#endif
