/* SPDX-License-Identifier: MIT
 *
 * What would have happened: a feed over another feed, in which actions have effects. The other feed says what each process did
 * in truth; who was killed in here leaves, and what it went on to use in truth is not used in here.
 *
 * What it assumes is said by gf_model_assumes(), for people, and in docs/simulate.md.
 */
#ifndef GPUFAS_SIM_MODEL_H
#define GPUFAS_SIM_MODEL_H

#include "gpufas/event.h"
#include "sim/feed.h"

/* Changes a host field from the first sample on. */
struct gf_what_if {
	uint32_t field; /* enum gf_host_field */
	enum { GF_WHAT_IF_IS, GF_WHAT_IF_TIMES, GF_WHAT_IF_PLUS } how;
	double by;
};

struct gf_model_opts {
	bool acts;           /* actions have effects; false: all is as in truth but for what_if */
	uint64_t kill_ns;    /* from SIGKILL to the exit; 0: it is gone in the next sample */
	uint64_t term_ns;    /* from another signal that is meant to end it to the exit */
	bool term_never;     /* such signals are ignored: only SIGKILL ends anything */
	bool children_stay;  /* children that are there already outlive their parent */
	bool psi_unknown;    /* after the first death pressure is not known; false: as recorded */
	const struct gf_what_if *what_if; /* copied */
	size_t what_ifs;
};

/* "8GiB", "=8GiB", "*1.5", "+512MiB", "-1GiB" of "FIELD=...". -EINVAL with a sentence, and what was meant where it is near. */
int gf_what_if_parse(const char *text, struct gf_what_if *ret, struct gf_err *err);
/* "mem.total = 8.0 GiB"; returns buf. */
const char *gf_what_if_text(const struct gf_what_if *w, char *buf, size_t n);

/* inner is borrowed. -ENOMEM. */
int gf_model_create(struct gf_feed *inner, const struct gf_model_opts *opts, struct gf_feed **ret, struct gf_err *err);
/* Something is done, at the time of the model's last sample. For struct gf_run_opts.act. */
void gf_model_act(void *model, const struct gf_verdict *v);

/* What the model has done since it was rewound. */
struct gf_model_said {
	uint32_t killed, ended, ended_with, unborn; /* by SIGKILL; by other signals; as descendants; never started */
	uint32_t stopped, continued, reniced;
	uint32_t limits, resets, nmis, hooks, signals; /* not modelled: said so */
	double freed;      /* bytes that came back, at the time of each exit */
	double cpu_ns;     /* CPU time not used */
	uint64_t reset_ns; /* when a reset ended it all; 0: it did not */
	bool by_rss;       /* memory was counted by rss: the recording has no anon */
	bool no_memory, no_cpu; /* nor rss; no CPU time: neither came back */
	uint32_t psi_read; /* not 0: pressure was given out as recorded, though something had died */
};
void gf_model_said(const struct gf_feed *model, struct gf_model_said *ret);
/* What it assumes, sentence by sentence: calls put for each. */
void gf_model_assumes(const struct gf_feed *model, void (*put)(void *arg, const char *sentence), void *arg);

#endif
