/* SPDX-License-Identifier: Dual MIT/GPL
 *
 * A pass over all processes: what sampler.c (who walks), publish.c (what is shown of it) and timers.c (when) share.
 */
#ifndef GPUFAS_PASS_H
#define GPUFAS_PASS_H

#include "module.h"

#define GPUFAS_GAP_SLICES 5         /* a pass uses a fifth of a CPU while it runs */
#define GPUFAS_LOST_NS 200000000ull /* a CPU that was at something and has done nothing for so long is given up */

/* One table being filled. Its owner alone touches it. */
struct gpufas_walk {
	atomic_t owner; /* CPU + 1, 0: none */
	u64 beat_ns;    /* when the owner last did something */
	u64 due_ns;     /* when the next slice is due; monotonic, as all times here but in tables */
	u64 begun_ns;   /* 0: the next slice is the first */
	u64 work_ns;
	u64 step_ns;    /* the longest that one process took lately */
	u64 first_ns;   /* boot time */
	u64 last_ns;    /* likewise: when the last process had been looked at */
	u64 seq;        /* the table's */
	u64 pass;       /* in the order in which passes have begun */
	int cursor;
	int last_cpu;
	bool all;       /* processes have been looked at */
	u32 want, slices, count, pids;
	struct gpufas_tally tally;
	struct gpufas_sums sums;
};

struct gpufas_stat {
	atomic64_t slices, slice_ns, slice_max_ns, passes, takeovers, lost, late;
};
extern struct gpufas_stat gpufas_stat;

/* sampler.c. A slice, if one is due or the caller will not wait, and nobody is at it; interrupts are off, and there is time until `end`.
 * When the next is due. */
u64 gpufas_sample(struct gpufas_region *r, u64 now, u64 end, bool at_once);
void gpufas_sample_reset(void);

/* publish.c */
void gpufas_publish_reset(struct gpufas_region *r);
void gpufas_table_begin(struct gpufas_region *r, int i, struct gpufas_walk *w);
/* Table i is whole, and the pass counts: who has moved the lead away from it calls this, and still owns w. */
void gpufas_publish(struct gpufas_region *r, int i, struct gpufas_walk *w, u64 now);

/* timers.c */
u64 gpufas_period_ns(const struct gpufas_region *r);
u64 gpufas_poll_ns(const struct gpufas_region *r);

#endif
