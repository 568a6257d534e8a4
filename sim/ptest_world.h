/* SPDX-License-Identifier: MIT
 *
 * The machine of a policy test: its series as samples. What becomes of its processes when a policy acts on them is the model's (sim/model.h),
 * as over a recording, but for what a test says of each process: which signals it ignores, and how long it takes to end.
 */
#ifndef GPUFAS_SIM_PTEST_WORLD_H
#define GPUFAS_SIM_PTEST_WORLD_H

#include "gpufas/event.h"
#include "sim/ptest.h"
#include "sim/feed.h"

/* c is borrowed. *ret is a source like any other. */
int gf_ptest_world_create(const struct gf_ptest_case *c, struct gf_feed **ret, struct gf_err *err);
struct gf_ptest_hand {
	struct gf_feed *world, *model; /* the model is over the world */
};
/* What the verdict does to the process, from the next sample on. arg: a gf_ptest_hand. */
void gf_ptest_world_act(void *arg, const struct gf_verdict *v);
/* Boot time of the first sample. */
uint64_t gf_ptest_world_start(const struct gf_ptest_case *c);

#endif
