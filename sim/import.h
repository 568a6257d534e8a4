/* SPDX-License-Identifier: MIT
 *
 * Histories of other tools as samples. docs/import.md says which columns are read and what they become.
 */
#ifndef GPUFAS_SIM_IMPORT_H
#define GPUFAS_SIM_IMPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "gpufas/err.h"
#include "gpufas/sample.h"
#include "sim/pathset.h"

struct gf_import_sink {
	/* A sample; wall_off_ns: CLOCK_REALTIME - its time since boot. Not 0: import ends with that. */
	int (*sample)(void *arg, const struct gf_sample *s, int64_t wall_off_ns, struct gf_err *err);
	/* Something is wrong with a line; it is skipped. */
	void (*bad)(void *arg, uint64_t line, const char *what);
	/* Now and then: bytes read. May be NULL. */
	void (*tell)(void *arg, uint64_t bytes, uint64_t samples);
	void *arg;
	uint32_t max_tasks; /* in one sample; 0: GF_ROWS_CAP */
};

struct gf_import_result {
	uint64_t lines, bad, samples;
	uint64_t unlisted;  /* processes taken to sleep on where they were not listed, over all samples */
	uint64_t ignored;   /* columns or metrics that say nothing that we have a field for */
	char ignored_name[64]; /* one of them */
	struct gf_fieldset named; /* that the input names, whether or not it knows them yet */
	struct gf_pathset paths;  /* kernel paths that it names; complete with the first sample. gf_import_result_deinit */
	char hostname[64];  /* as the source says, "" */
};

struct gf_import;

struct gf_import_kind {
	const char *name;   /* of --from */
	const char *doc;    /* one line */
	const char *make;   /* the command that gives such input */
	/* All that it can give; what one input does give depends on its columns. */
	void (*fields)(struct gf_fieldset *ret);
	int (*run)(struct gf_import *im, struct gf_err *err);
};

/* Ends with a NULL name. */
extern const struct gf_import_kind gf_import_kinds[];
const struct gf_import_kind *gf_import_kind(const char *name); /* or NULL */
/* Reads all of `in`. 0; -EBADMSG: this is no such input at all (err says what it looks like); -errno. */
int gf_import(const struct gf_import_kind *kind, FILE *in, const struct gf_import_sink *sink, struct gf_import_result *ret,
	      struct gf_err *err);
void gf_import_result_deinit(struct gf_import_result *r);

#endif
