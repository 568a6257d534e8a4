/* SPDX-License-Identifier: MIT
 *
 * A table of tasks that is filled from somewhere else: another tool's log, an answer of the daemon.
 */
#ifndef GPUFAS_SIM_ROWS_H
#define GPUFAS_SIM_ROWS_H

#include "targets/table.h"
#include "targets/target.h"

#define GF_ROWS_CAP 65536u

struct gf_rows {
	struct gf_sample s;
	struct gf_table t;
};

/* Columns and texts of f, and comm. -ENOMEM. */
int gf_rows_init(struct gf_rows *r, uint32_t cap, const struct gf_fieldset *f, struct gf_err *err);
void gf_rows_deinit(struct gf_rows *r);
/* A new sample: host fields are unknown again. */
void gf_rows_begin(struct gf_rows *r, uint64_t now_ns);
/* The row of a task: its numbers are unknown again, its texts are kept. The same one again in one sample: as it is. comm: at most
 * 15 bytes of it. GF_NONE: the table is full. */
uint32_t gf_rows_task(struct gf_rows *r, int32_t pid, uint64_t start_ns, int32_t ppid, const char *comm, size_t len, bool *ret_new);
/* Goes on as it was in the sample before. False: there is no such row. */
bool gf_rows_keep(struct gf_rows *r, uint32_t row);
bool gf_rows_seen(const struct gf_rows *r, uint32_t row);
void gf_rows_set(struct gf_rows *r, uint32_t row, enum gf_task_field f, double v); /* where there is such a column */
void gf_rows_path(struct gf_rows *r, uint32_t row, uint32_t k, double v); /* of kernel path k, likewise */
double gf_rows_get(const struct gf_rows *r, uint32_t row, enum gf_task_field f);
/* A copy. */
void gf_rows_text(struct gf_rows *r, uint32_t row, enum gf_str_field f, const char *p, size_t len);
/* Rows not seen are freed; s is whole then. */
void gf_rows_commit(struct gf_rows *r);

#endif
