/* SPDX-License-Identifier: MIT
 *
 * The black box: the last hours of every target, in a bounded directory. A thread of its own looks at the targets with samplers
 * of its own, with all fields (a policy that is tried later may want others than today's), and writes: no tick ever waits for
 * it, nor for a disk.
 */
#ifndef GPUFAS_DAEMON_RECORDER_H
#define GPUFAS_DAEMON_RECORDER_H

#include <stddef.h>

#include "daemon/jbuf.h"
#include "gpufas/err.h"
#include "sim/gft_ring.h"

struct gf_daemon;
struct gf_policy;
struct gf_recorder;

struct gf_recorder_stats {
	struct gft_ring_stats ring;
	uint64_t failed;   /* samples that could not be taken or written */
	uint64_t lost;     /* of ticks: those that there was no room for */
	uint64_t cost_ns;  /* CPU time of the recorder's thread, for all targets together */
	bool recorded;     /* images are not */
	char error[256];   /* why the last one could not be taken or written, "" */
};

/* Targets and engines must be there, and stay until it is destroyed; no engine runs yet. *ret NULL where nothing is to be recorded. */
int gf_recorder_create(struct gf_daemon *d, struct gf_recorder **ret, struct gf_err *err);
void gf_recorder_start(struct gf_recorder *r); /* engines run: what is not of ticks is sampled from now on */
void gf_recorder_destroy(struct gf_recorder *r); /* after the engines have stopped; waits for a write under way */
/* Target i is about to have this policy: room for its kernel paths where ticks are recorded, and what they are called. One thread at a time.
 * -ENOMEM: as many as there was room for are recorded. */
int gf_recorder_expect(struct gf_recorder *r, size_t i, struct gf_policy *p);
/* Of target i. */
void gf_recorder_stats(struct gf_recorder *r, size_t i, struct gf_recorder_stats *ret);
/* "recorder":{...} of status. r may be NULL. */
void gf_recorder_json(struct gf_daemon *d, struct gf_jbuf *b);

#endif
