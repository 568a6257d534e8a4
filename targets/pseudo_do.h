/* SPDX-License-Identifier: MIT
 *
 * Carrying one verdict out in a guest: begun with stores, watched by reading, until it is known
 * what became of it. Neither waits: who calls polls, at a pace of its own. One delivery is one thread's at
 * a time; several threads may have deliveries of the same guest.
 */
#ifndef GPUFAS_PSEUDO_DO_H
#define GPUFAS_PSEUDO_DO_H

#include <stdbool.h>

#include "gpufas/event.h"
#include "targets/pseudo.h"

/* Identity of a process in a guest's memory. */
struct gf_pseudo_victim {
	uint64_t task, signal, pid_struct, start;
	int32_t pid;
};

/* WAKE: stored into a sleeper, which is then woken: where the kernel's sender cannot be used. */
enum gf_pseudo_road { GF_ROAD_AUTO, GF_ROAD_STORE, GF_ROAD_IRQ_WORK, GF_ROAD_WAKE };

enum gf_pseudo_phase {
	GF_PHASE_WAITING, /* for a free block: nothing is stored yet */
	GF_PHASE_STORED,  /* waiting for the task to look */
	GF_PHASE_QUEUED,  /* waiting for a CPU to drain its list */
	GF_PHASE_SENT,    /* the kernel has the signal */
	GF_PHASE_PARKING, /* freeze: waiting for all threads */
	GF_PHASE_TAKEN,   /* done but for the exit, where one is meant */
	GF_PHASE_OVER,
};

struct gf_delivery {
	struct gf_pseudo_victim victim;
	uint64_t thread;     /* stored into */
	uint64_t begun_ns, look_ns; /* CLOCK_MONOTONIC: first store, last store or wake */
	uint64_t work[5];    /* pseudo_int.h: struct pseudo_work */
	uint32_t block;      /* of a signal that was sent; GF_NONE */
	uint32_t exit_us;    /* GF_NONE: not seen */
	uint32_t taken_us;   /* from the first store to its being taken, as far as seen; GF_NONE */
	int32_t sig;
	uint8_t action, road, phase, lethal;
	uint8_t how, became, tries, why;
	bool observe;
	uint8_t wakes;       /* of a thread that went to sleep on a stored signal */
};

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
/* Not watched any more: takes back what can be. */
void gf_pseudo_end(struct gf_pseudo *p, struct gf_delivery *d);
/* Whether all is known that there is to know. */
static inline bool gf_delivery_over(const struct gf_delivery *d)
{
	return d->phase == GF_PHASE_OVER;
}
int gf_refused_errno(uint8_t why); /* enum gf_refused: -errno for struct gf_event_member */

/* What has to be undone at the end, of a guest that is let go of and may be attached to again while it runs on: NULL where there is nothing, or
 * no memory. To be freed with free(). */
struct gf_pseudo_records;
struct gf_pseudo_records *gf_pseudo_records(struct gf_pseudo *p);
/* Takes them over, if it is the same kernel at the same place. p is nobody else's yet. */
void gf_pseudo_inherit(struct gf_pseudo *p, const struct gf_pseudo_records *r);
/* What was frozen is let go, what was limited gets its old words, where they are still the same; how many could not be. */
unsigned gf_pseudo_undo(struct gf_pseudo *p, const struct gf_pseudo_kick *kick);

#endif
