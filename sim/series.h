/* SPDX-License-Identifier: MIT
 *
 * A field's values over a test, in the notation of promtool's input series: "1GiB", "1+2x10", "5x3 _ _x2 stale". Kept as runs:
 * "0x1000000000" takes no memory.
 */
#ifndef GPUFAS_SIM_SERIES_H
#define GPUFAS_SIM_SERIES_H

#include <stdbool.h>

#include "gpufas/err.h"
#include "gpufas/fields.h"

#define GF_SERIES_MAX 1000000000ull /* values in a series */

enum gf_series_mark {
	GF_SERIES_VALUE,
	GF_SERIES_SHARE,   /* a percentage of mem.total or swap.total, as it is then */
	GF_SERIES_UNKNOWN, /* "_": there is no value at this sample */
	GF_SERIES_STALE,   /* what the series is of has ended */
};

struct gf_series_run {
	uint64_t end; /* number of the first value after the run */
	double first, step;
	enum gf_series_mark mark;
};

struct gf_series {
	struct gf_series_run *run;
	size_t runs;
	uint64_t len;
};

/* Where in the text something is wrong, and how to mend it. */
struct gf_series_fault {
	size_t at, len;
	char hint[160];
};

/* Reads text as values of a dimension; shares: percentages stand for shares of a total. Free the result. -EINVAL with the
 * sentence and the place, -ENOMEM. */
int gf_series_parse(const char *text, enum gf_dim dim, enum gf_pct shares, struct gf_series *ret, struct gf_series_fault *fault,
		    struct gf_err *err);
void gf_series_deinit(struct gf_series *s);
/* Value number i; past the end the last one stays. An empty series is unknown. */
enum gf_series_mark gf_series_at(const struct gf_series *s, uint64_t i, double *ret);
/* Number of the first stale value; UINT64_MAX: none. */
uint64_t gf_series_stale(const struct gf_series *s);
/* The number of a task state's letter or of a scheduling policy's name; false: there is no such. */
bool gf_series_word(const char *word, enum gf_dim dim, double *ret);

#endif
