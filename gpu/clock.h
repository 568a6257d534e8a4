/* SPDX-License-Identifier: MIT
 *
 * A memory target's own clock, and the time that its samples are stamped with.
 *
 * The kernel's timekeeper is as of its last tick: up to a tick behind, and standing still where all CPUs idle
 * without one (NO_HZ). A sample's time must go on when the target hangs, or no hold would ever be
 * over: it is the watcher's clock, aligned to the target's at the start and pushed forward whenever the target's is ahead.
 */
#ifndef GPUFAS_CLOCK_H
#define GPUFAS_CLOCK_H

#include "gpu/kmem.h"
#include "gpu/layout.h"

struct gf_clock_now {
	uint64_t boot_ns; /* CLOCK_BOOTTIME as of the last tick; 0: not known */
	uint64_t mono_ns; /* CLOCK_MONOTONIC */
	uint64_t jiffies;
};

/* Both clocks, as kernel/time/timekeeping.c has them without what has passed since the last tick. A target that
 * stands still in the middle of an update keeps its count odd: then what is there is taken. */
GF_INLINE void gf_clock_read(const struct gf_kmem *k, const struct gf_layout *l, struct gf_clock_now *ret)
{
	const struct gf_layout_clock *o = &l->clock;
	struct gf_clock_now c = { 0 };
	struct gf_gva tk = { o->timekeeper };
	const uint8_t *p = o->timekeeper ? gf_kmem_at(k, tk, o->span) : NULL, *seq = gf_kmem_num(k, o->seq, 4);
	const uint8_t *jiffies = o->jiffies ? gf_kmem_num(k, o->jiffies, 8) : NULL;

	if (jiffies)
		c.jiffies = gf_load(jiffies, 8); /* beside the count */
	for (uint32_t look = 0; p && seq && look < 64; look++) {
		uint64_t before = gf_load(seq, 4), after, base, nsec, boot;
		uint32_t shift;

		GF_LOAD_FENCE();
		base = gf_load(p + o->base, 8);
		nsec = gf_load(p + o->xtime_nsec, 8);
		shift = (uint32_t)gf_load(p + o->shift, 4);
		boot = gf_load(p + o->offs_boot, 8);
		GF_LOAD_FENCE();
		after = gf_load(seq, 4);
		if (shift > 63)
			break;
		c.mono_ns = base + (nsec >> shift);
		c.boot_ns = c.mono_ns + boot;
		if (before == after && !(before & 1))
			break;
	}
	if (c.boot_ns >> 62)
		c.boot_ns = c.mono_ns = 0;
	*ret = c;
}

struct gf_clock {
	uint64_t now_ns;      /* of the last sample */
	int64_t ahead;        /* the target's boot time less the watcher's clock */
	uint64_t boot_ns, jiffies; /* the target's, as last seen */
	uint64_t moved_ns;    /* watcher's clock when they last moved, or every CPU idled */
	uint32_t started;
	uint32_t reserved;
};
GF_STATIC_ASSERT(sizeof(struct gf_clock) == 48, "gf_clock");

/* One sample at `host_ns` of the watcher's own clock, at which the target's says c. idle: all CPUs idle. A clock of
 * zeros starts. ret_stalled: for how long the target's clock has stood still though there was something to do. */
GF_INLINE uint64_t gf_clock_tick(struct gf_clock *s, uint64_t host_ns, const struct gf_clock_now *c, int idle,
				 uint64_t *ret_stalled)
{
	int moved = c->boot_ns != s->boot_ns || c->jiffies != s->jiffies;
	uint64_t now;

	if (!s->started) {
		s->ahead = c->boot_ns ? (int64_t)(c->boot_ns - host_ns) : 0;
		s->now_ns = 0;
	}
	if (!s->started || moved || idle || host_ns < s->moved_ns)
		s->moved_ns = host_ns;
	s->started = 1;
	s->boot_ns = c->boot_ns;
	s->jiffies = c->jiffies;
	if (c->boot_ns && (int64_t)(c->boot_ns - host_ns) > s->ahead)
		s->ahead = (int64_t)(c->boot_ns - host_ns);
	now = host_ns + (uint64_t)s->ahead;
	s->now_ns = GF_MAX(now, s->now_ns);
	*ret_stalled = host_ns - s->moved_ns;
	return s->now_ns;
}

/* The target did not run until now (paused): the time that passed was none of its. */
GF_INLINE void gf_clock_resume(struct gf_clock *s, uint64_t host_ns)
{
	if (!s->started)
		return;
	s->ahead = (int64_t)(s->now_ns - host_ns);
	s->moved_ns = host_ns;
}

#endif
