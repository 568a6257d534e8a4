/* SPDX-License-Identifier: MIT
 *
 * The machine of a policy test: its series as samples, and what becomes of its processes when a policy acts on them.
 */
#ifndef GPUFAS_SIM_PTEST_WORLD_H
#define GPUFAS_SIM_PTEST_WORLD_H

#include "gpufas/event.h"
#include "sim/ptest.h"
#include "sim/feed.h"

/* c is borrowed. *ret is a source like any other. */
int gf_ptest_world_create(const struct gf_ptest_case *c, struct gf_feed **ret, struct gf_err *err);
/* What the verdict does to the process, from the next sample on. arg: the source. */
void gf_ptest_world_act(void *arg, const struct gf_verdict *v);
/* Boot time of the first sample. */
uint64_t gf_ptest_world_start(const struct gf_ptest_case *c);

#endif
