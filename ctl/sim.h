/* SPDX-License-Identifier: MIT
 *
 * simulate: what its files share.
 */
#ifndef GPUFAS_CTL_SIM_H
#define GPUFAS_CTL_SIM_H

#include "ctl/ctl.h"
#include "ctl/files.h"
#include "ctl/text.h"
#include "daemon/jbuf.h"
#include "sim/knobs.h"
#include "sim/outcome.h"

#define SIM_POLICIES 16
#define SIM_WHAT_IFS 16
#define SIM_SWEEPS 4
#define SIM_SWEPT 10000u /* runs in all */

struct sim_charts;

/* A policy, and what came of it. */
struct sim_policy {
	const char *name;       /* as given */
	struct gf_files files;
	struct gf_image_header *img;
	struct gf_outcome out;
	struct sim_charts *charts; /* NULL: not wanted */
	char **assumed;         /* sentences of the model */
	size_t assumes;
};

struct sim {
	struct gf_ctl *ctl;
	struct gf_feed *feed;   /* all recordings, one after the other */
	const struct gf_feed_info *info;
	const char *trace[GF_CTL_GIVEN];
	size_t traces;
	struct sim_policy policy[SIM_POLICIES];
	size_t policies;
	enum gf_target_kind kind; /* that policies are compiled for */
	struct gf_outcome_opts opts;
	struct gf_what_if what_if[SIM_WHAT_IFS];
	struct gf_image_header *pressure;
	const char *pressure_text;
	double speed;           /* 0: as fast as it goes */
};

/* sim_args.c. All: 0, or an exit code with the complaint printed. */
int sim_args(struct sim *s);             /* before the recording is open */
int sim_args_times(struct sim *s);       /* --from, --to: when it is */
int sim_compile(struct sim *s, const struct gf_source *src, size_t n, bool quiet, struct gf_image_header **ret);

/* sim_run.c: one policy over the recording, with progress; charts if p->charts. */
int sim_run(struct sim *s, struct sim_policy *p, const char *label);

/* sim_text.c */
void sim_print_head(const struct sim *s);
void sim_print_policy(const struct sim *s, const struct sim_policy *p);
void sim_print_event(const struct sim *s, const struct sim_policy *p, const struct gf_event *ev);
void sim_print_diff(const struct sim *s);
/* Fields that the recording lacks and a rule's condition reads; "" none. Returns buf. */
const char *sim_lacks(const struct sim *s, const struct sim_policy *p, uint32_t rule, char *buf, size_t n);
bool sim_judged(const struct sim *s, const struct sim_policy *p, uint32_t rule); /* it was true or false at some time */
/* Which term kept a rule from firing at its nearest: index, or -1. */
int sim_kept_by(const struct sim_policy *p, uint32_t rule);
/* "mem.available 1.2 GiB vs < 398 MiB"; returns buf. */
const char *sim_term_text(const struct sim_policy *p, const struct gf_event_term *t, char *buf, size_t n);
/* "+2m10.0s"; returns buf. */
const char *sim_offset(const struct gf_outcome *o, uint64_t now_ns, char *buf, size_t n);
/* "05:43:10", local time, with the day where `day`; "" where it is not known. */
const char *sim_clock(uint64_t wall_ns, bool day, char *buf, size_t n);

/* sim_diff.c: actions of two policies that differ, by time. */
struct sim_change {
	int side; /* 0: only the first's, 1: only the other's */
	const struct gf_event *ev;
};
struct sim_change *sim_diff(const struct sim_policy *a, const struct sim_policy *b, size_t *ret_n, size_t *ret_same); /* NULL: out of memory */

/* sim_json.c */
void sim_json_head(const struct sim *s, struct gf_jbuf *b);
void sim_json_policy(const struct sim *s, const struct sim_policy *p, struct gf_jbuf *b);
int sim_print_json(const struct sim *s);

/* sim_sweep.c */
int sim_sweep(struct sim *s);
int sim_numbers(struct sim *s);

/* sim_chart.c: what charts are made of. */
int sim_charts_make(struct sim_policy *p, const struct gf_feed_info *info, uint64_t from_ns, uint64_t to_ns, struct gf_fieldset *ret_also);
void sim_charts_take(struct sim_charts *c, const struct gf_run_tick *t, const struct gf_sample *recorded);
void sim_charts_free(struct sim_charts *c);

/* sim_svg.c, sim_html.c */
int sim_write_svg(const struct sim *s, const char *path, const char *chart);
int sim_write_html(const struct sim *s, const char *path);

#endif
