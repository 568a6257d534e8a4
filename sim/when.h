/* SPDX-License-Identifier: MIT
 *
 * Times as people write them: how long, and when in a recording.
 */
#ifndef GPUFAS_SIM_WHEN_H
#define GPUFAS_SIM_WHEN_H

#include <stdint.h>

/* "90s", "1.5h", "0". -EINVAL: it is none, or beyond GF_MAX_NS. */
int gf_when_span(const char *text, uint64_t *ret_ns);

/* A recording's, as in gf_feed_info. */
struct gf_when {
	uint64_t first_ns, last_ns;
	int64_t wall_ns; /* 0: the time of day is not known */
};

/* "90s" into it, "-5min" before its end, or a time on the clock ("2026-11-23 05:41", "05:41:30" of the recording's day), in ns since boot, at
 * least 1. -EINVAL. */
int gf_when_moment(const char *text, const struct gf_when *w, uint64_t *ret_ns);

#endif
