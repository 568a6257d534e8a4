/* SPDX-License-Identifier: MIT
 *
 * A sample as JSON, as `ps` answers it (gpufas/control.h).
 */
#ifndef GPUFAS_DAEMON_TASKJSON_H
#define GPUFAS_DAEMON_TASKJSON_H

#include "daemon/jbuf.h"
#include "gpufas/bytecode.h"
#include "gpufas/sample.h"
#include "sim/pathset.h"

/* All fields that this kind of target can give; no kernel paths. */
struct gf_fieldset gf_fields_of(enum gf_target_kind kind);
void gf_host_json(const double *host, struct gf_jbuf *b); /* {field: value} of those known */
/* paths: what the columns of kernel paths are, or NULL: there are none; cpu: [rows] percent of a CPU, or NULL: not known. */
void gf_sample_json(const struct gf_sample *s, const char *target, const struct gf_pathset *paths, const double *cpu, struct gf_jbuf *b);

#endif
