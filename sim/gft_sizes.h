/* SPDX-License-Identifier: MIT
 *
 * What a recording's bytes are for. While it is read, what each part of each sample takes is put aside, and each is packed as
 * the whole was, but by itself; what they come to is scaled to what is in the file. So bytes before packing are exact, and
 * those in the file are shares.
 */
#ifndef GPUFAS_SIM_GFT_SIZES_H
#define GPUFAS_SIM_GFT_SIZES_H

#include <stddef.h>

#include "sim/gft.h"

enum gft_cost {
	GFT_COST_FRAME,   /* header, block headers, samples' heads, lengths of lists, index: as much whoever runs */
	GFT_COST_HOST,    /* host fields */
	GFT_COST_KEY,     /* processes in key samples, which are written anew there */
	GFT_COST_COMING,  /* processes in the sample that they come in, and their going */
	GFT_COST_STAYING, /* processes that were there in the sample before: what has changed of them */
	GFT_COSTS
};

struct gft_size {
	uint64_t raw;     /* bytes before packing */
	double stored;    /* of the file */
};

struct gft_size_part {
	char name[64];    /* of a field; "row" of what is no field */
	struct gft_size size[GFT_COSTS];
};

struct gft_sizes {
	struct gft_size all[GFT_COSTS];
	uint64_t samples, keys;
	uint64_t comings, goings; /* without those in key samples */
	uint64_t key_rows;        /* in key samples */
	uint64_t staying, moving; /* processes and samples; moving: of which something had changed */
	struct gft_size_part *part; /* malloc'ed */
	size_t parts;
};

/* Reads all of it. -ENOMEM, -EBADMSG, -errno with a sentence. */
int gft_sizes_of(const char *path, struct gft_sizes *ret, struct gf_err *err);
void gft_sizes_deinit(struct gft_sizes *s);
/* Bytes that a process costs in a sample, key samples included, comings and goings not. */
double gft_sizes_steady(const struct gft_sizes *s);

#endif
