/* SPDX-License-Identifier: MIT
 *
 * What a device that samples by itself writes down of each sample that it has decided on, for who wants them all (a recorder of
 * ticks): frames in a ring in mapped memory, of as many bytes each as it takes. The device writes a frame by all lanes, then its end's number; the host
 * reads, and gives the room back by a number of its own (gpu/gpu.h). Where there is no room the device goes on without, and counts it: it waits
 * for nobody.
 *
 * A frame has the rows in use of the columns that the policy reads, and their strings: each is whole by itself, so that one that is
 * missing is missed by no other.
 */
#ifndef GPUFAS_TAPE_H
#define GPUFAS_TAPE_H

#include "gpufas/sample.h"

#define GF_TAPE_STEP 64u                 /* frames are this many bytes, times something */
#define GF_TAPE_ROW 704u                 /* a row of all columns, at most, without strings */
#define GF_TAPE_LEAST (8ull << 20)

/* Its beginning; then arrays, as gf_tape_layout() has them, then strings. */
struct gf_tape_frame {
	uint64_t bytes;      /* all of it; 0: there is none before the ring's end, go on at its beginning */
	uint64_t now_ns, seq, fp; /* fp: of the image it was decided by */
	uint64_t error;      /* sampling failed with this errno: nothing follows, and only now_ns and seq hold */
	uint64_t rows, live, dropped, epoch;
	uint64_t n;          /* rows that follow: those in use, rounded up to 8 */
	struct gf_fieldset has;
	double host[GF_HF_COUNT];
};

/* The ring, for tables of cap rows: two frames of all columns find room, wherever the first begins. */
GF_INLINE uint64_t gf_tape_size(uint32_t cap)
{
	uint64_t n = 2ull * GF_TAPE_ROW * cap;

	return n < GF_TAPE_LEAST ? GF_TAPE_LEAST : (n + 0xfffff) & ~0xfffffull;
}

GF_INLINE int gf_tape_has_col(const struct gf_fieldset *f, uint32_t k)
{
	return k < GF_TF_COUNT ? (int)(f->task >> k & 1) : k - GF_TF_COUNT < f->paths;
}

#endif
