/* SPDX-License-Identifier: MIT
 *
 * What has become of an actuator's verdicts, until it is told: members of one action together.
 */
#ifndef GPUFAS_RESULTS_H
#define GPUFAS_RESULTS_H

#include "targets/actuator.h"

#define GF_RESULTS 1024u

struct gf_result {
	uint64_t event;
	uint32_t rule;
	uint8_t step, observed;
	struct gf_event_member m;
};

struct gf_results {
	gf_event_sink sink;
	void *sink_arg;
	uint32_t target_index;
	uint32_t n;
	uint64_t first_ns; /* CLOCK_MONOTONIC, when the oldest of them came */
	struct gf_result result[GF_RESULTS];
};

/* Tells what there is first, if there is no room. */
void gf_results_add(struct gf_results *r, const struct gf_verdict *v, const struct gf_event_member *m);
void gf_results_flush(struct gf_results *r);

#endif
