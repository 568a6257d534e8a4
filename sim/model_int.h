/* SPDX-License-Identifier: MIT */
#ifndef GPUFAS_SIM_MODEL_INT_H
#define GPUFAS_SIM_MODEL_INT_H

#include "sim/model.h"

enum gf_mrow_is {
	GF_M_LIVES,
	GF_M_STOPPED, /* by SIGSTOP or the freezer */
	GF_M_GONE,
};

/* A process of the inner feed, by its row there. */
struct gf_mrow {
	uint32_t gen;       /* identity that this is about */
	uint8_t is;         /* enum gf_mrow_is */
	bool known;         /* seen before */
	bool unborn;        /* it was never started */
	bool killed;        /* on its way out by SIGKILL */
	bool stop_signal;   /* stopped by a signal: its state shows it */
	uint64_t since_ns;  /* gone or stopped from this time on */
	uint64_t leaves_ns; /* it is to exit then; 0: it is not */
	double nice;        /* to be added */
	double cpu_then;    /* CPU time in truth, a sample ago */
	double *then;       /* [GF_TF_COUNT] stopped: the values that it stopped with; else NULL */
	double *missed;     /* [GF_TF_COUNT] continued: what it would have done while it was stopped */
};

struct gf_model {
	struct gf_feed f;
	struct gf_feed *inner;
	struct gf_model_opts opts;
	struct gf_what_if *what_if;
	struct gf_mrow *row;  /* [cap] */
	uint32_t rows;        /* rows of the last sample */
	bool touched;         /* some process is not as in truth */
	struct gf_fieldset wanted;
	struct gf_model_said said;
	double cpu_saved;     /* ns, of all that are gone or stopped, since the beginning */
	double forks_saved;
	double load[3];       /* what is missing in load.1, .5, .15 */
	uint64_t now_ns;
	uint32_t epoch;
};

/* model_rows.c: brings rows up to date with the inner sample, then shows them in the model's own. */
void gf_model_rows(struct gf_model *m);
void gf_model_reset_rows(struct gf_model *m);
/* A task's number in truth and as shown; unknown where the inner feed has none. */
double gf_model_true(const struct gf_model *m, uint32_t field, uint32_t row);
double gf_model_shown(const struct gf_model *m, uint32_t field, uint32_t row);
/* model_host.c: host fields, when the rows are done. */
void gf_model_host(struct gf_model *m, uint64_t before_ns);

#endif
