/* SPDX-License-Identifier: MIT
 *
 * Where a tick's time goes, as its leader sees it: for each kind of call what the leader did alone before it, what its own share took, and how long
 * it was until all had ended; marks divide up what it does after the last call. Written to the device's memory, by the leader, only when it is asked for
 * (GPUFAS_GPU_PROFILE, docs/gpu.md); otherwise each call looks at one pointer. Times are of the clock that costs least: the SM's own, and `ns` and
 * `clocks` say what one of its ticks is.
 */
#ifndef GPUFAS_PROFILE_H
#define GPUFAS_PROFILE_H

#include "gpu/now.h"

/* Below 144 they are numbers of jobs (gpu/team.h). */
#define GF_PROFILE_MARKS 160u
enum gf_profile_mark {
	GF_MARK_TICK = 144,  /* counts ticks; what was between two of them */
	GF_MARK_COMMANDS,    /* words of the control page read */
	GF_MARK_SAMPLED,     /* after the sampler's last call */
	GF_MARK_DECIDED,     /* after the rules' last call */
	GF_MARK_DELIVERED,
	GF_MARK_TOLD,        /* figures and rings */
	GF_MARK_KEPT,
	GF_MARK_END
};

struct gf_profile {
	uint64_t ns, clocks;     /* both from its first mark on */
	uint64_t ns_first, clocks_first;
	uint64_t lines;          /* requests to the target's memory that a process takes in a quiet tick */
	uint64_t n[GF_PROFILE_MARKS], lead[GF_PROFILE_MARKS], own[GF_PROFILE_MARKS], all[GF_PROFILE_MARKS];
};

GF_INLINE uint64_t gf_profile_clock(void)
{
#if defined(__CUDA_ARCH__)
	return (uint64_t)clock64();
#else
	return gf_now_ns();
#endif
}

/* One thing more: nobody waits for such an addition. */
GF_INLINE void gf_profile_add(uint64_t *p, uint64_t n)
{
#if defined(__CUDA_ARCH__)
	atomicAdd((unsigned long long *)(void *)p, (unsigned long long)n);
#else
	__atomic_fetch_add(p, n, __ATOMIC_RELAXED);
#endif
}

/* What the leader has done since *last it did before, or as, `what`. */
GF_INLINE void gf_profile_mark(struct gf_profile *f, uint64_t *last, uint32_t what)
{
	uint64_t now;

	if (!f)
		return;
	now = gf_profile_clock();
	if (!*last) {
		f->ns_first = gf_now_ns();
		f->clocks_first = now;
	} else {
		gf_profile_add(&f->lead[what], now - *last);
	}
	gf_profile_add(&f->n[what], 1);
	*last = now;
}

#endif
