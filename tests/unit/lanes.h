/* SPDX-License-Identifier: MIT
 *
 * Ticks by a team of lanes, for tests that are themselves compiled for one.
 */
#ifndef TESTS_UNIT_LANES_H
#define TESTS_UNIT_LANES_H

#include "gpu/job.h"

struct lanes;

struct lanes *lanes_new(uint32_t lanes);
void lanes_free(struct lanes *l);
void lanes_tick(struct lanes *l, struct gf_tick *t);
void lanes_stale(struct lanes *l, struct gf_tick *t);
void lanes_near(struct lanes *l, struct gf_tick *t, uint32_t rule, double *close, uint32_t *row, struct gf_event_term *terms,
		uint32_t *n);
struct gf_standing;
int lanes_before(uint8_t pick, const struct gf_standing *a, const struct gf_standing *b); /* of two who may be picked */
unsigned lanes_calls(struct lanes *l); /* since the last time it was asked */
unsigned lanes_jobs(struct lanes *l, uint32_t job); /* ever */

#endif
