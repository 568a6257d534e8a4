/* SPDX-License-Identifier: MIT
 *
 * Inside sweeps: many.c (what is run where), many_cpu.c (threads), many_gpus.c (devices side by side), many_dev.c (a batch on a device).
 */
#ifndef GPUFAS_SIM_MANY_INT_H
#define GPUFAS_SIM_MANY_INT_H

#include <pthread.h>

#include "sim/many.h"
#include "sim/pathset.h"

enum { GF_RUN_DONE, GF_RUN_TODO, GF_RUN_INEXACT /* a device has no room for it */ };

struct gf_many {
	struct gf_reel *reel;
	struct gf_pathset paths; /* that the reel has */
	struct gf_feed *feed;
	const struct gf_image_header *const *img;
	size_t n;
	const struct gf_many_opts *opts;
	struct gf_outcome *out;
	uint8_t *todo;        /* [n] GF_RUN_...: one owner each at a time */
	struct gf_many_did *did;
	pthread_mutex_t lock; /* what follows, did->why and opts->progress */
	double done;
	int rc;
	struct gf_err err;
};

double gf_many_seconds(void);
uint64_t gf_many_memory(void); /* half of what this machine has left */
/* So much of a run, or of several, is done. */
void gf_many_progress(struct gf_many *m, double more);
/* Another sentence for did->why. Under the lock. */
void gf_many_why(struct gf_many *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct gf_outcome_opts gf_many_outcome_opts(const struct gf_many *m);

/* many_cpu.c: all that is to be done still. */
int gf_many_cpus(struct gf_many *m, uint32_t threads, struct gf_err *err);
/* How long all of it would take them, by a trial. */
int gf_many_cpus_guess(struct gf_many *m, uint32_t threads, double *ret_s, struct gf_err *err);

/* many_gpus.c: what devices can do of it. -ENODEV, -ENOTSUP: there are none. What they fail to do is left. most_s: AUTO; devices that would take
 * longer leave it, too; 0: they do not. */
int gf_many_gpus(struct gf_many *m, const struct gf_sweep_dev_ops *ops, double most_s, struct gf_err *err);

/* many_dev.c: a device, and runs that it goes through together. */
struct gf_batch {
	const struct gf_sweep_dev_ops *ops;
	struct gf_sweep_dev *dev;
	struct gf_sweep_dev_info info;
	struct gf_many *m;
	size_t *of;        /* [n] numbers of the runs that are to be done */
	size_t n, done;
	/* frames: one is judged while the next comes */
	uint8_t *frame_dev[2], *stage[2];
	size_t frame_size;
	/* of the batch at hand */
	size_t runs, rules_size;
	uint32_t lanes;
	uint8_t *head, *head_dev; /* made here, and where it is to be */
	size_t head_size, image_at, pressure_at;
	uint8_t *table_dev;
	size_t table_size;
};

/* Room for frames. */
int gf_batch_frames(struct gf_batch *b, struct gf_err *err);
/* As many of the runs that are next as there is memory for, at most `most`. */
int gf_batch_make(struct gf_batch *b, size_t most, struct gf_err *err);
/* Frame i into buffer `at` on this side, and on its way to the device. */
int gf_batch_send(struct gf_batch *b, size_t i, uint32_t at, struct gf_err *err);
int gf_batch_start(struct gf_batch *b, size_t i, uint32_t at, struct gf_err *err);
/* Outcomes of those that the device could do; runs are marked. */
int gf_batch_results(struct gf_batch *b, struct gf_err *err);
void gf_batch_drop(struct gf_batch *b);
void gf_batch_close(struct gf_batch *b); /* the device, too */

#endif
