/* SPDX-License-Identifier: MIT
 *
 * Carrying one verdict out in a guest: begun with stores, watched by reading, until it is known
 * what became of it. Neither waits: who calls polls, at a pace of its own. One delivery is one thread's at
 * a time; several threads may have deliveries of the same guest.
 */
#ifndef GPUFAS_PSEUDO_DO_H
#define GPUFAS_PSEUDO_DO_H

#include <stdbool.h>

#include "gpu/deliver.h"
#include "gpufas/event.h"
#include "targets/pseudo.h"

/* An interrupt for a CPU that idles: 0 or -errno (-ENOTSUP: there is none). */
struct gf_pseudo_kick {
	int (*fn)(void *arg, uint32_t cpu);
	void *arg;
};

/* Finds, judges and stores. v: action, pid, start_ns, arg, limit, amount, flags. d->became GF_BECAME_REFUSED: nothing was
 * stored, d->why says why. */
void gf_pseudo_begin(struct gf_pseudo *p, const struct gf_verdict *v, enum gf_pseudo_road road,
		     const struct gf_pseudo_kick *kick, struct gf_delivery *d);
/* Looks what has become of it, and does again what has to be. True: something changed. */
bool gf_pseudo_poll(struct gf_pseudo *p, struct gf_delivery *d, const struct gf_pseudo_kick *kick);
/* Goes on with what a device has offered and this host has taken. */
void gf_pseudo_take_over(struct gf_pseudo *p, const struct gf_deliver_result *offer, const struct gf_pseudo_kick *kick, struct gf_delivery *d);
/* Goes on with what a device that has been lost was delivering: of how far it had come only what can be read in the target. */
void gf_pseudo_resume(struct gf_pseudo *p, const struct gf_verdict *v, const struct gf_pseudo_kick *kick, struct gf_delivery *d);
/* Not watched any more: takes back what can be. */
void gf_pseudo_end(struct gf_pseudo *p, struct gf_delivery *d);
int gf_refused_errno(uint8_t why); /* enum gf_refused: -errno for struct gf_event_member */

/* Blocks for a device that has no atomic operations on this memory: up to PSEUDO_POOL, no more than half of those there are. Nobody
 * else takes them until the device has not said for PSEUDO_ASIDE ticks that it is there, or they are given back. */
void gf_pseudo_set_aside(struct gf_pseudo *p, struct gf_pseudo_pool *ret);
void gf_pseudo_give_back(struct gf_pseudo *p, const struct gf_pseudo_pool *pool); /* the device stores nothing any more */
/* What a device is given: put `mem` in, and `atomics` if it has them for this memory. */
void gf_pseudo_plain(const struct gf_pseudo *p, struct gf_pseudo_plain *ret);

/* What has to be undone at the end, of a guest that is let go of and may be attached to again while it runs on: NULL where there is nothing, or
 * no memory. To be freed with free(). */
struct gf_pseudo_records;
struct gf_pseudo_records *gf_pseudo_records(struct gf_pseudo *p);
/* Takes them over, if it is the same kernel at the same place. p is nobody else's yet. */
void gf_pseudo_inherit(struct gf_pseudo *p, const struct gf_pseudo_records *r);
/* What was frozen is let go, what was limited gets its old words, where they are still the same; how many could not be. */
unsigned gf_pseudo_undo(struct gf_pseudo *p, const struct gf_pseudo_kick *kick);

#endif
