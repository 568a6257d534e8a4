/* SPDX-License-Identifier: MIT
 *
 * One policy test over its world or its recording, and how what happened differs from what it expects.
 */
#ifndef GPUFAS_SIM_PTEST_RUN_H
#define GPUFAS_SIM_PTEST_RUN_H

#include "gpu/engine.h"
#include "sim/ptest.h"

/* Something that was done: a step to one process, or to a group of them at once, or to nobody (notify). */
struct gf_ptest_got {
	uint64_t at_ns;       /* of the test */
	struct gf_event ev;
	char action[80];
	int32_t pid;          /* of a group: of the one that it was chosen for; 0: nobody */
	char comm[GF_COMM_LEN];
	uint32_t processes;
	bool expected;
	const struct gf_ptest_expect *forbidden; /* by this expect_none, or NULL */
};

/* An expectation that was not met, or an expect_none that was about more than actions. */
struct gf_ptest_miss {
	const struct gf_ptest_expect *e;
	bool none;
	uint64_t at_ns;        /* when it was looked at last */
	bool has_view;
	struct gf_rule_view view; /* of its rule, then */
	const struct gf_ptest_got *near; /* what was done instead, NULL: nothing like it */
	uint32_t processes;    /* reached, where it says how many and that is all that is wrong; else 0 */
};

/* A rule was true in all samples of a time, for so many processes (of the host: 1). */
struct gf_ptest_span {
	uint64_t from_ns, to_ns; /* both count */
	uint32_t rule, rows;
};

struct gf_ptest_outcome {
	struct gf_ptest_got *got;
	size_t gots;
	struct gf_ptest_miss *miss;
	size_t misses;
	struct gf_ptest_span *span; /* in the order of their beginnings */
	size_t spans;
	uint64_t ticks;
	double seconds;
	uint8_t *rule_seen;    /* [rules] 1 << enum gf_tri of the rule; 8: it acted */
	uint32_t *step_taken;  /* [steps] how often */
	char error[512];       /* it could not be run to its end; "" */
	bool failed;
};

/* What a test says of rules, actions and processes against its policy: whatever there is not goes to diags. */
void gf_ptest_resolve(struct gf_ptest_case *c, const struct gf_image_header *img, struct gf_diags *diags);

/* Runs it. probe_seen: [probes->n], bits 1 << enum gf_tri are added; probes may be NULL. 0, also when the test fails;
 * -ENOMEM. */
int gf_ptest_run(struct gf_ptest_case *c, const struct gf_image_header *img, const struct gf_probes *probes, uint8_t *probe_seen,
		 struct gf_ptest_outcome *ret);
void gf_ptest_outcome_deinit(struct gf_ptest_outcome *o);

/* Called by the above: which expectations what was done meets. ptest_match.c */
/* The entry in the list of misses; made where it has none yet. NULL: no memory. */
struct gf_ptest_miss *gf_ptest_miss_of(struct gf_ptest_outcome *o, const struct gf_ptest_expect *e);
void gf_ptest_match(struct gf_ptest_case *c, struct gf_ptest_outcome *o, const struct gf_image_header *img);

#endif
