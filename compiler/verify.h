/* SPDX-License-Identifier: MIT
 *
 * What the parts of the verifier share.
 */
#ifndef GPUFAS_VERIFY_H
#define GPUFAS_VERIFY_H

#include <stdbool.h>

#include "compiler/compiler.h"
#include "compiler/image.h"

struct verify {
	const struct gf_image_header *h;
	struct gf_err *err;
	uint32_t n[GF_SEC_COUNT];
	/* program + 1 that produces each; 0: none yet */
	uint32_t agg_by[GF_MAX_AGGS], col_by[2 * GF_MAX_COLS], hist_by[GF_MAX_HISTS];
	uint8_t updated[GF_MAX_HOLDS]; /* a HELD or LATCH of it was seen */
	uint8_t results[GF_MAX_PROGS]; /* END's d */
	uint8_t advances[GF_MAX_PROGS]; /* 1: contains HELD or LATCH; 2: and is some rule's condition */
	uint64_t fp[GF_MAX_HOLDS];
};

__attribute__((format(printf, 2, 3)))
int vf_bad(struct verify *v, const char *fmt, ...);

/* The programs' code (verify_prog.c); the tables that it refers to are checked already. */
int vf_programs(struct verify *v);
/* Classes, rules, steps, terms, notes (verify_rule.c); programs are checked already. */
int vf_policy(struct verify *v);
bool vf_str(const struct verify *v, uint32_t off);

#endif
