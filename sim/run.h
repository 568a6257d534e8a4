/* SPDX-License-Identifier: MIT
 *
 * A policy over a source: the engine of production, ticked by hand once a sample, as fast as it goes. Nothing depends on the
 * clock on the wall: two runs over equal sources are equal to the last bit (numbers of events count from 1 in each run, times
 * are the source's).
 */
#ifndef GPUFAS_SIM_RUN_H
#define GPUFAS_SIM_RUN_H

#include "gpu/engine.h"
#include "sim/feed.h"

struct gf_run;

struct gf_run_opts {
	uint64_t period_ns;   /* 0: the source's interval, or 100 ms */
	bool observe;         /* as gpufasd's mode: rules report what they would do */
	bool views;           /* how near each rule is, in every tick */
	uint32_t budget_n;    /* with a window of 0: as recorded, else the daemon's own default */
	uint64_t budget_window_ns;
	uint64_t from_ns, to_ns; /* of the target's boot time; 0: from the first, to the last */
	struct gf_fieldset also; /* fields that are wanted beside the policy's (no kernel paths) */
	/* Told of each verdict that is not merely observed, after the tick that reached it: the model behind the source. */
	void (*act)(void *arg, const struct gf_verdict *v);
	void *act_arg;
};

/* What one tick saw and said; good until the next step. */
struct gf_run_tick {
	uint64_t number;  /* from 1 */
	uint64_t now_ns, wall_ns; /* boot time; CLOCK_REALTIME, 0: not known */
	bool stale;       /* sampling failed in the recording: nothing was evaluated */
	const struct gf_sample *sample;
	const struct gf_event *event;
	size_t events;
	const struct gf_verdict *verdict;
	size_t verdicts;
	const struct gf_rule_view *view; /* one a rule, where opts.views; else NULL */
	size_t rules;
};

/* src and img (verified) are borrowed. Rewinds the source. */
int gf_run_create(struct gf_feed *src, const struct gf_image_header *img, const struct gf_run_opts *opts, struct gf_run **ret,
		  struct gf_err *err);
/* How many actions in which time a run may take. */
void gf_run_budget(const struct gf_run_opts *o, const struct gf_feed_info *in, uint32_t *ret_n, uint64_t *ret_window_ns);
/* One tick. 0; -ENODATA: the end; -EBADMSG: the source is damaged from here on, err says where; other -errno. */
int gf_run_step(struct gf_run *run, struct gf_run_tick *ret, struct gf_err *err);
/* The engine, to be looked into between two steps. */
struct gf_engine *gf_run_engine(struct gf_run *run);
void gf_run_destroy(struct gf_run *run);

#endif
