/* SPDX-License-Identifier: MIT
 *
 * What commands that write and show recordings share.
 */
#ifndef GPUFAS_CTL_TRACE_H
#define GPUFAS_CTL_TRACE_H

#include "ctl/ctl.h"
#include "sim/gft.h"
#include "sim/pathset.h"
#include "sim/rows.h"

/* "rss,psi,mem.free" of an option: names of fields, or of groups of them ("psi" is psi.*). Of those that all names. 0 or
 * GF_EXIT_USAGE. */
int gf_ctl_fieldset(const struct gf_ctl *ctl, const char *list, const struct gf_fieldset *all, struct gf_fieldset *ret);
/* Finishes a recording, and says what is in it. */
int gf_ctl_trace_finish(struct gft_writer *w, const char *path, struct gft_writer_stats *ret, struct gf_err *err);
/* One line of what was written. */
void gf_ctl_trace_say(const char *path, const struct gft_writer_stats *st, FILE *out);
json_t *gf_ctl_trace_json(const char *path, const struct gft_writer_stats *st);
/* Names of fields, host first; cut where it would be too long. */
void gf_ctl_field_names(const struct gf_fieldset *f, char *buf, size_t n);
/* What its bytes are for, printed; or added to `all`, where that is not NULL. An exit status. */
int gf_ctl_sizes(const char *path, json_t *all);
/* An answer of `ps` as a sample; paths: what its columns of kernel paths are. */
int gf_ctl_ps_rows(const json_t *answer, const struct gf_pathset *paths, struct gf_rows *rows, struct gf_err *err);
json_t *gf_ctl_paths_json(const struct gf_pathset *paths);

#endif
