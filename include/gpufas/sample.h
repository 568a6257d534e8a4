/* SPDX-License-Identifier: MIT
 *
 * One period's sample: host fields and a table of tasks, one array a field.
 *
 * Rows are stable: a task keeps its row for as long as it lives, freed rows are
 * given out again lowest first, and gen[row] changes whenever a row is given to
 * another identity. A target fills the table, and reads nothing back; an engine
 * only reads it. Arrays of fields that the policy does not need are NULL, except
 * those under "always".
 */
#ifndef GPUFAS_SAMPLE_H
#define GPUFAS_SAMPLE_H

#include "gpufas/fields.h"

#define GF_COMM_LEN 16u

enum gf_row_flags {
	GF_ROW_VALID = 1,      /* a task is here */
	GF_ROW_KTHREAD = 2,
	GF_ROW_EXITING = 4,    /* exiting, zombie or dead */
	GF_ROW_INIT = 8,       /* pid 1 or the init of a container: unkillable */
	GF_ROW_SELF = 16,      /* the daemon or one of its helpers */
	GF_ROW_OOM_IMMUNE = 32, /* oom_score_adj is -1000 */
	GF_ROW_TORN = 64,      /* read inconsistently: never a candidate in this tick */
	GF_ROW_LEAVING = 128,  /* exiting, and not through with it: its memory is being freed still, whatever rss says */
};

/* A string of a row. ver is 0 while the string is not known; it changes whenever
 * the string does, and is never used twice in a table. */
struct gf_strref {
	const char *p;
	uint32_t len;
	uint32_t ver;
};

struct gf_sample {
	uint64_t now_ns;  /* CLOCK_BOOTTIME of the target when the sample was taken */
	uint64_t seq;     /* tick number */
	uint32_t cap;     /* rows allocated, a multiple of 128 */
	uint32_t rows;    /* rows in use: [0, rows), holes included */
	uint32_t live;    /* valid rows */
	uint32_t dropped; /* tasks that found no row (table full) */
	uint32_t epoch;   /* which boot of the target the rows are of, from 1; 0: there is only one */

	/* always, cap entries each */
	uint8_t *flags;      /* enum gf_row_flags */
	uint32_t *gen;
	int32_t *pid;        /* thread group id */
	uint64_t *start_ns;  /* start time since boot; with pid the identity */
	uint32_t *parent;    /* row of the parent, or GF_NONE */
	char (*comm)[GF_COMM_LEN];
	uint32_t *uid;

	/* as the policy needs them */
	double *col[GF_COLS]; /* task fields, then kernel paths */
	struct gf_strref *str[GF_SF_COUNT];
	double host[GF_HF_COUNT]; /* unknown where not needed or not to be had */
};

/* A row's name, somewhere else. */
GF_INLINE void gf_row_comm_copy(char *to, const char *comm)
{
	char c[GF_COMM_LEN];

	GF_UNROLL
	for (uint32_t i = 0; i < GF_COMM_LEN; i++)
		c[i] = comm[i];
	GF_UNROLL
	for (uint32_t i = 0; i < GF_COMM_LEN; i++)
		to[i] = c[i];
}

#endif
