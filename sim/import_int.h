/* SPDX-License-Identifier: MIT
 *
 * What importers share: lines, complaints, samples that are put together from lines.
 */
#ifndef GPUFAS_SIM_IMPORT_INT_H
#define GPUFAS_SIM_IMPORT_INT_H

#include <sys/types.h>

#include "sim/import.h"
#include "sim/rows.h"

#define IM_MAX_LINE (64u << 20)
#define IM_KEEP_NS 300000000000ull /* a process that is not listed is there for so long, where only busy ones are */

/* Counters that a source gives as changes, or as rates, are added up. */
enum im_acc { IM_UTIME, IM_STIME, IM_MINFLT, IM_MAJFLT, IM_READ, IM_WRITE, IM_ACCS };

struct gf_import {
	FILE *in;
	const struct gf_import_sink *sink;
	struct gf_import_result *res;
	char *line;           /* the line read last, without its end; len bytes */
	size_t cap, len;
	uint64_t bytes;
	struct gf_rows rows;
	struct gf_fieldset fields; /* of rows, less kernel paths */
	double *acc[IM_ACCS]; /* [rows.s.cap] */
	uint64_t *listed_ns;  /* [rows.s.cap] when a row was listed last */
	double host[GF_HF_COUNT]; /* counters of the host, added up */
	int64_t boot_ns;      /* CLOCK_REALTIME of the boot */
	bool boot_known;
	uint64_t now_ns;      /* of the sample being put together */
	uint64_t before_ns;   /* of the one before; 0: there was none */
	bool open;            /* a sample is being put together */
	bool tasks;           /* the input has processes */
	bool idle_listed;     /* one that did nothing is listed: all are */
	bool full_said;
};

/* The next line. False: the end, or *ret_rc. */
bool im_line(struct gf_import *im, int *ret_rc, struct gf_err *err);
/* Says that something is wrong with the line read last. */
__attribute__((format(printf, 2, 3)))
void im_bad(struct gf_import *im, const char *fmt, ...);
void im_ignored(struct gf_import *im, const char *name);
/* Of lines at wall_ns. Ends the sample before, if that is of another time. -EINVAL: time goes back (said). */
int im_begin(struct gf_import *im, int64_t wall_ns, struct gf_err *err);
int im_end(struct gf_import *im, struct gf_err *err);
/* Row of a process; start_ns since boot, UINT64_MAX: not known (then when it was seen first). GF_NONE: no room (said). */
uint32_t im_task(struct gf_import *im, int64_t pid, uint64_t start_ns, int64_t ppid, const char *comm, size_t len);
void im_add(struct gf_import *im, uint32_t row, enum im_acc what, enum gf_task_field f, double change);
void im_set(struct gf_import *im, uint32_t row, enum gf_task_field f, double v);
/* The number of a kernel path, new ones only up to the first sample. GF_NONE: there is no room, or it comes too late (said as ignored). */
uint32_t im_path(struct gf_import *im, const char *path);
void im_host(struct gf_import *im, enum gf_host_field f, double v);
void im_host_add(struct gf_import *im, enum gf_host_field f, double change);

/* What follows from all: tasks.count, tasks.threads, uptime. Before im_end. */
void im_count(struct gf_import *im);

/* Numbers: all of the text, finite. */
bool im_number(const char *s, size_t n, double *ret);
bool im_whole(const char *s, size_t n, int64_t *ret);
/* "1795746502", "1795746502.25", milliseconds, "2026-11-27T02:28:22.5Z", "2026-11-27 02:28:22+01:00" (no zone: UTC). */
bool im_time(const char *s, size_t n, int64_t *ret_wall_ns);

/* csv.c: cuts a line in place (RFC 4180: quotes, doubled inside); a field may hold the separator, no line end. Returns how
 * many, at most max; -1: a quote without its end. */
int im_csv(char *line, size_t len, char **field, int max);

int im_run_atop(struct gf_import *im, struct gf_err *err);
int im_run_atop_json(struct gf_import *im, struct gf_err *err); /* its first line has been read */
int im_run_pidstat(struct gf_import *im, struct gf_err *err);
int im_run_csv(struct gf_import *im, struct gf_err *err);
int im_run_jsonl(struct gf_import *im, struct gf_err *err);
int im_run_node(struct gf_import *im, struct gf_err *err);

#endif
