/* SPDX-License-Identifier: MIT
 *
 * Many policies over one recording, each a world of its own: what becomes of each, as a table. By a GPU, where all of them run at
 * once, or by all CPUs. What comes out is the same to the last bit.
 */
#ifndef GPUFAS_SIM_MANY_H
#define GPUFAS_SIM_MANY_H

#include "sim/outcome.h"
#include "sim/reel.h"
#include "sim/sweep_dev.h"

enum gf_many_kind {
	GF_MANY_CPU,
	GF_MANY_GPU,  /* or an error */
	GF_MANY_EMU,  /* the emulated device */
	GF_MANY_AUTO, /* a GPU where there is one and so many runs that it pays, else CPUs */
};

struct gf_many_opts {
	enum gf_many_kind kind;
	uint32_t device;           /* which GPU */
	uint32_t threads;          /* CPU; 0: as many as there are CPUs for us */
	uint32_t events;           /* that each outcome keeps */
	uint64_t memory;           /* bytes that the recording may take up; 0: half of what is free */
	uint64_t frame;            /* bytes of a frame; 0: as gf_reel_opts */
	struct gf_outcome_opts outcome; /* no watch, no begin; table is set */
	void (*progress)(void *arg, double done); /* in runs; from one thread at a time */
	void *progress_arg;
};

struct gf_many_did {
	char engine[160];          /* "4 CPUs", "NVIDIA H100 80GB HBM3" */
	char why[256];             /* why it is not what was asked for, "" otherwise */
	bool gpu;
	uint32_t again;            /* runs that the device left to the CPU */
	uint32_t batches, lanes;
	uint64_t ticks;            /* of all runs */
	double read_s, run_s;      /* the recording; the runs */
};

/* The feed is borrowed, and read. img: n verified images. ret: n outcomes, zeroed first; each is to be freed with gf_outcome_deinit()
 * also on failure. */
int gf_many_run(struct gf_feed *feed, const struct gf_image_header *const *img, size_t n, const struct gf_many_opts *opts,
		struct gf_outcome *ret, struct gf_many_did *did, struct gf_err *err);

/* many_dev.c: those of runs whose todo[k] is not 0, on a device; what it has done is 0 then. -errno: it has failed, and the rest is not
 * done. */
int gf_many_device(const struct gf_sweep_dev_ops *ops, const struct gf_reel *reel, const struct gf_image_header *const *img, size_t n,
		   const struct gf_many_opts *opts, struct gf_outcome *ret, uint8_t *todo, struct gf_many_did *did, struct gf_err *err);

#endif
