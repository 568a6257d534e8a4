/* SPDX-License-Identifier: MIT
 *
 * Recordings one after the other, as one feed.
 */
#ifndef GPUFAS_SIM_CHAIN_H
#define GPUFAS_SIM_CHAIN_H

#include "sim/feed.h"

/* Opens recordings; they are to be of one target, in the order of time. One alone is handed out as it is. A process that two
 * of them have in the same row goes on, any other begins anew; a hole of over five samples between two is a sample that failed,
 * so that nothing counts as having held over it. -errno with a sentence. */
int gf_chain_open(const char *const *path, size_t n, struct gf_feed **ret, struct gf_err *err);

/* Copies what a feed's sample has into another sample, which has at least as many rows and those columns that are wanted: all
 * rows up to `rows` (of the sample before) that from does not have any more are empty. */
void gf_sample_copy(struct gf_sample *to, const struct gf_sample *from, uint32_t rows);
/* The same, but columns and strings that `from` lacks are left as they are: for who knows which these are. */
void gf_sample_copy_those(struct gf_sample *to, const struct gf_sample *from, uint32_t rows);

#endif
