/* SPDX-License-Identifier: MIT
 *
 * Which row of a sample belongs to which process. Private to the targets.
 *
 * A pass is one look at all processes: begin, a row for each process seen,
 * then commit (rows not seen are freed) or, when the look was cut short, abort:
 * nothing is freed and every row is marked torn.
 */
#ifndef GPUFAS_TABLE_H
#define GPUFAS_TABLE_H

#include <stdbool.h>

#include "gpu/table.h"
#include "gpufas/err.h"

/* s must have been set up by gf_sample_init and must outlive the table. */
int gf_table_init(struct gf_table *t, struct gf_sample *s, struct gf_err *err);
void gf_table_deinit(struct gf_table *t);

void gf_table_begin(struct gf_table *t);
/* The row of a process, marked seen; a free one, cleared (columns unknown, gen
 * moved on), where it has none yet. GF_NONE when the table is full: counted.
 * No allocation. */
uint32_t gf_table_row(struct gf_table *t, int32_t pid, uint64_t start_ns, int32_t ppid, bool *ret_new);
/* Frees rows not seen in this pass; sets rows, live, dropped, parents, and the
 * children column where there is one. */
void gf_table_commit(struct gf_table *t);
/* The pass was not complete: all rows stay, none is fit to be acted on. */
void gf_table_abort(struct gf_table *t);

/* GF_NONE if there is none. */
uint32_t gf_table_find(const struct gf_table *t, int32_t pid, uint64_t start_ns);
/* A version that no string of this table has had; never 0. */
uint32_t gf_table_ver(struct gf_table *t);
/* Sets the command name (at most 15 bytes) and, when it differs, its version. */
void gf_table_comm(struct gf_table *t, uint32_t row, const char *comm, size_t len);

#endif
