/* SPDX-License-Identifier: MIT */
#ifndef GPUFAS_SIM_MODEL_INT_H
#define GPUFAS_SIM_MODEL_INT_H

#include "sim/model.h"

struct gf_model {
	struct gf_feed f;
	struct gf_feed *inner;
	struct gf_mcore core;
	struct gf_what_if *what_if;
	void *tables;         /* core's */
	/* the sample before, as the core wants it */
	uint8_t *flags;
	uint32_t *gen;
	double *cpu;
	uint32_t epoch;
};

#endif
