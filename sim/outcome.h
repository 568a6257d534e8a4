/* SPDX-License-Identifier: MIT
 *
 * A whole run, and what came of it: the events, how near each rule came, how long the machine was under pressure.
 */
#ifndef GPUFAS_SIM_OUTCOME_H
#define GPUFAS_SIM_OUTCOME_H

#include "sim/model.h"
#include "sim/run.h"

#define GF_OUTCOME_EVENTS 100000u /* more are counted only */

/* One rule over the whole run. */
struct gf_outcome_rule {
	uint64_t actions, steps, no_victims, held[8]; /* first steps; all steps; by enum gf_held_back */
	uint64_t observed;          /* of the actions, those that were only observed */
	uint64_t first_ns, last_ns; /* boot time of the first and the last action; 0: none */
	uint64_t true_ns;           /* how long it was true: from each sample in which it was to the next one */
	bool was_true;              /* in the last sample */
	uint64_t ticks_true, ticks_unknown, ticks;
	/* The nearest that it came while it was not true; close is unknown where that is not known. */
	double close;
	uint64_t close_ns, close_wall_ns;
	int32_t close_pid;
	char close_comm[GF_COMM_LEN];
	uint32_t terms;
	struct gf_event_term term[GF_EVENT_TERMS];
};

struct gf_outcome_victim {
	uint64_t start_ns;
	int32_t pid;
	char comm[GF_COMM_LEN];
};

struct gf_outcome {
	struct gf_event *event; /* those worth telling: all but rules that went on and off */
	size_t events, events_cap;
	uint64_t events_lost;
	struct gf_outcome_rule *rule;
	size_t rules;
	struct gf_outcome_victim *victim; /* processes that were sent a signal to end them, each once */
	size_t victims, victims_cap;
	uint64_t actions;       /* first steps that were not only observed, log and notify left out */
	uint64_t ticks, stale;
	uint64_t first_ns, last_ns, first_wall_ns, last_wall_ns; /* boot time: of the first boot, in which times go on where another one follows (not in a table) */
	uint32_t most_tasks;
	uint64_t pressure_ns;   /* how long opts.pressure was true */
	bool stopped;           /* watch said so */
	char damage[256];       /* the recording is damaged: where; all before it counts */
	struct gf_model_said said;
	double took_s;          /* on the clock on the wall */
	uint64_t digest;        /* opts.table: of all events and verdicts (sim/digest.h) */
};

struct gf_outcome_opts {
	struct gf_run_opts run;     /* act, act_arg and views are set here */
	struct gf_model_opts model;
	struct gf_fieldset also;    /* fields that watch wants sampled */
	const struct gf_image_header *pressure; /* an image whose first rule is true under pressure; NULL: none */
	bool table;                 /* for a table of many runs: nothing of how near rules came, and only so many events */
	uint32_t table_events;
	/* After each tick; recorded: the sample as it was in truth. false: stop. */
	bool (*watch)(void *arg, const struct gf_run_tick *t, const struct gf_sample *recorded);
	void *watch_arg;
	/* The model, before the first tick: what it assumes can be asked. */
	void (*begin)(void *arg, const struct gf_feed *model);
};

/* feed is borrowed and rewound. ret is zeroed first, and to be freed with gf_outcome_deinit also on failure. */
int gf_outcome_run(struct gf_feed *feed, const struct gf_image_header *img, const struct gf_outcome_opts *opts, struct gf_outcome *ret,
		   struct gf_err *err);
/* The same in parts, for a feed that is not all there at a time. go: -EINPROGRESS, as the feed says: call it again when there is more. opts is borrowed until close. */
struct gf_outcome_work;
int gf_outcome_open(struct gf_feed *feed, const struct gf_image_header *img, const struct gf_outcome_opts *opts, struct gf_outcome *ret,
		    struct gf_outcome_work **ret_work, struct gf_err *err);
int gf_outcome_go(struct gf_outcome_work *w, struct gf_err *err);
void gf_outcome_close(struct gf_outcome_work *w);
void gf_outcome_deinit(struct gf_outcome *o);

#endif
