/* SPDX-License-Identifier: MIT
 *
 * The audit file: every event, a JSON object a line, size-limited.
 */
#ifndef GPUFAS_DAEMON_AUDIT_H
#define GPUFAS_DAEMON_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "gpufas/err.h"

struct gf_audit;

struct gf_audit_opts {
	const char *path;  /* copied */
	uint64_t max_size; /* bytes; a file that would become larger is put aside first */
	uint32_t keep;     /* files put aside, path.1 (newest) to path.<keep>; 0: it starts over */
	/* Told once when writing begins to fail (text) and once when it works again
	 * (NULL), on the audit's own thread. May be NULL. */
	void (*trouble)(void *arg, const char *text, uint64_t lost);
	void *arg;
};

/* Starts a thread that alone touches the file: a full, slow or dead disk holds
 * up nothing else. What cannot be written is counted, and the file is tried again
 * after one second, then two, up to half a minute. Lines are whole or not there.
 * The file is synced whenever the queue has been emptied. A file that cannot be
 * opened now is trouble, not an error here. */
int gf_audit_create(const struct gf_audit_opts *opts, struct gf_audit **ret, struct gf_err *err);
void gf_audit_destroy(struct gf_audit *a);
/* line: without newline. Never blocks. */
void gf_audit_put(struct gf_audit *a, const char *line, size_t n);
/* Whether all that was put so far has been written and synced, or counted as lost. */
bool gf_audit_settled(struct gf_audit *a);
uint64_t gf_audit_lost(struct gf_audit *a);
/* The sentence about what is wrong, "" when nothing is. Returns buf. */
const char *gf_audit_error(struct gf_audit *a, char *buf, size_t n);

#endif
