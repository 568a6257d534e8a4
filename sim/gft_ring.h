/* SPDX-License-Identifier: MIT
 *
 * The last hours of a target in a directory: recordings one after the other, the oldest removed for new ones. Each is whole by
 * itself and can be copied away at any time.
 */
#ifndef GPUFAS_SIM_GFT_RING_H
#define GPUFAS_SIM_GFT_RING_H

#include "sim/gft.h"

#define GFT_RING_LEAST (4u << 20)
#define GFT_RING_PARTS 8u

struct gft_ring;

struct gft_ring_opts {
	const char *dir;       /* made, one level, where it is not there */
	uint64_t max_bytes;    /* of this ring's files together; at least GFT_RING_LEAST */
	uint64_t keep_ns;      /* older files go; 0: only the size counts */
	struct gft_writer_opts writer; /* target names the files: "NAME-20261127T021500Z.gft" */
};

struct gft_ring_stats {
	uint64_t bytes, files, samples, removed;
	uint64_t oldest_ns;    /* CLOCK_REALTIME at which the oldest file was begun, as its name says; 0: none */
};

/* Nothing is written yet. opts is copied; what it points to, but for the names, is not. */
int gft_ring_create(const struct gft_ring_opts *opts, struct gft_ring **ret, struct gf_err *err);
/* As gft_writer_append; begins a new file, and removes old ones, as need be. After an error what was written is whole, and it may
 * be tried again. */
int gft_ring_append(struct gft_ring *r, const struct gf_sample *s, struct gf_err *err);
int gft_ring_failed(struct gft_ring *r, uint64_t now_ns, uint64_t seq, const char *why, struct gf_err *err);
/* The next sample begins a new file, with these fields. */
int gft_ring_set(struct gft_ring *r, const struct gf_fieldset *has, const char *const *path, const char *road);
void gft_ring_stats(const struct gft_ring *r, struct gft_ring_stats *ret);
void gft_ring_destroy(struct gft_ring *r); /* finishes the file */

#endif
