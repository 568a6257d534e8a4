/* SPDX-License-Identifier: MIT
 *
 * Many policies over one recording, each a world of its own: what becomes of each, as a table. By GPUs, where all of them run at
 * once, or by all CPUs. What comes out is the same to the last bit. A recording that does not fit into memory goes by in windows.
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
	GF_MANY_AUTO, /* GPUs where there are some and it pays, by trials on both; else CPUs */
};

struct gf_many_opts {
	enum gf_many_kind kind;
	uint64_t devices;          /* bit i: GPU i may be used; 0: all of them */
	uint32_t threads;          /* CPU; 0: as many as there are CPUs for us */
	uint32_t events;           /* that each outcome keeps */
	uint64_t memory;           /* bytes that the recording may take up; 0: half of what is available */
	uint64_t frame;            /* bytes of a frame; 0: as gf_reel_opts */
	double asks_s;             /* AUTO: GPUs are asked for where CPUs would take so many seconds; 0: 1 */
	struct gf_outcome_opts outcome; /* no watch, no begin; table is set */
	void (*reading)(void *arg, double ticks); /* samples that have been read, before the first run */
	void (*progress)(void *arg, double done); /* in runs; from one thread at a time */
	void *progress_arg;
};

struct gf_many_did {
	char engine[160];          /* "4 CPUs", "2 x NVIDIA H100 80GB HBM3" */
	char why[400];             /* why it is not what was asked for, "" otherwise */
	bool gpu;
	bool windows;              /* the recording was not in memory all at once */
	uint32_t devices;          /* that have done something */
	uint32_t again;            /* runs that were left to the CPUs after a device had begun */
	uint32_t inexact;          /* of them, those that said or did more in one sample than a device has room for */
	uint32_t batches, lanes;
	uint64_t ticks;            /* of all runs */
	double read_s, run_s;      /* the recording; the runs */
	double open_s;             /* of run_s: until the devices were there */
	double cpu_guess_s, gpu_guess_s; /* AUTO: what the trials said of all runs; 0: there was none */
};

/* The feed is borrowed, and read. img: n verified images. ret: n outcomes, zeroed first; each is to be freed with gf_outcome_deinit()
 * also on failure. */
int gf_many_run(struct gf_feed *feed, const struct gf_image_header *const *img, size_t n, const struct gf_many_opts *opts,
		struct gf_outcome *ret, struct gf_many_did *did, struct gf_err *err);

#endif
