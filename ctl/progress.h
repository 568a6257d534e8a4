/* SPDX-License-Identifier: MIT
 *
 * How far long work has come: a bar with rate and time left on a terminal, else a plain line now and then. On stderr, and
 * nothing at all where the work is done within a second.
 */
#ifndef GPUFAS_CTL_PROGRESS_H
#define GPUFAS_CTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct gf_progress {
	const char *what;    /* "simulate" */
	const char *unit;    /* "samples" */
	double total;        /* 0: not known */
	uint64_t begun, told; /* ns, CLOCK_MONOTONIC */
	bool terminal, shown;
};

void gf_progress_begin(struct gf_progress *p, const char *what, const char *unit, double total);
void gf_progress_at(struct gf_progress *p, double done);
void gf_progress_end(struct gf_progress *p); /* takes the bar away */

#endif
