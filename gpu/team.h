/* SPDX-License-Identifier: MIT
 *
 * Lanes that work on one target together.
 *
 * One lane leads. It runs sampler, tick and delivery as they are written, one statement after the other. Where there is
 * something to do for every row, slot or rule it makes a call: all lanes, the leader among them, run the body of that
 * job, each its share (those i with i % lanes == lane), and the leader goes on when all have ended. Between calls the other
 * lanes only wait for the next.
 *
 * GF_TEAM 0 (the CPU engine): one lane; a call is a function call, and a share is everything, a chunk at a time.
 * GF_TEAM 1 (the device, and on the host the emulator that tests it): lanes are threads.
 *
 * Results do not depend on the number of lanes. So: what several lanes add to is an integer (gf_team_add), or is added
 * up in an order that does not depend on who did it; a lane writes only what is its share's own.
 *
 * Memory order. A call is two barriers, each an acquire and a release at the scope of the team: a job sees all that the
 * leader wrote before the call and all that any lane wrote in an earlier job; the leader sees all that the job wrote.
 * Within a job lanes see nothing of each other but through gf_team_add and its like.
 */
#ifndef GPUFAS_TEAM_H
#define GPUFAS_TEAM_H

#include "gpu/profile.h"
#include "gpu/touch.h"
#include "gpufas/hd.h"

#ifndef GF_TEAM
#if defined(__CUDACC__)
#define GF_TEAM 1
#else
#define GF_TEAM 0
#endif
#endif

/* What is to be done; numbers are given out by who dispatches: tick jobs from 1, sampler jobs from 64, others from 128. */
struct gf_call {
	uint32_t job; /* 0: the team breaks up */
	uint32_t a, b, c;
};

/* One a team, in memory that all lanes reach; zero when made, but for lanes, blocks and cluster. */
struct gf_team_mem {
	struct gf_call call;
	uint32_t lanes, blocks;
	uint32_t generation, arrived; /* barrier between blocks, where they are no cluster */
	uint32_t cluster, reserved;   /* 1: the grid was launched as one cluster */
	void *host_barrier;           /* emulator: pthread_barrier_t */
	void *ctx;                    /* what gf_team_dispatch works on */
};

struct gf_team {
	struct gf_team_mem *mem;
	uint32_t lane, lanes;
	struct gf_profile *profile; /* the leader's, or NULL */
	uint64_t last;              /* of profile */
	/* Device: what a block loads side by side when a call begins, since barriers between blocks empty its first-level cache: a word here and there of
	 * what describes the work, of which each lane has one; and of programs. All of it stays where it is until it is said anew. */
	const uint32_t *warm;       /* NULL: nothing */
	uint64_t runs;              /* bit a job below 64: it runs programs: */
	const uint8_t *progs[3];    /* they, what they are named by, and what they keep, */
	uint32_t progs_end[3];      /* one after the other: where each ends */
	uint32_t warmed;            /* what was loaded, for no purpose */
};

GF_INLINE struct gf_team gf_team_lane(struct gf_team_mem *mem, uint32_t lane, uint32_t lanes, struct gf_profile *profile)
{
	const struct gf_team t = { mem, lane, lanes, profile, 0, NULL, 0, { NULL, NULL, NULL }, { 0, 0, 0 }, 0 };

	return t;
}

#define GF_TEAM_SECTOR 32u    /* bytes that a cache takes at a time */
#define GF_TEAM_PROGS 98304u  /* bytes of programs at the most */

/* Adds to, or raises, a word that several lanes of a job share. Returns what was there (order among lanes: any). */
GF_INLINE uint32_t gf_team_add(uint32_t *p, uint32_t n)
{
#if defined(__CUDA_ARCH__)
	return atomicAdd(p, n);
#elif GF_TEAM
	return __atomic_fetch_add(p, n, __ATOMIC_RELAXED);
#else
	uint32_t was = *p;
	*p = was + n;
	return was;
#endif
}

GF_INLINE void gf_team_max(uint32_t *p, uint32_t n)
{
#if defined(__CUDA_ARCH__)
	if (*(volatile uint32_t *)p < n) /* most often it is not the first to say so */
		atomicMax(p, n);
#elif GF_TEAM
	uint32_t was = __atomic_load_n(p, __ATOMIC_RELAXED);
	while (was < n && !__atomic_compare_exchange_n(p, &was, n, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
#else
	if (*p < n)
		*p = n;
#endif
}

GF_INLINE void gf_team_add64(uint64_t *p, uint64_t n)
{
#if defined(__CUDA_ARCH__)
	atomicAdd((unsigned long long *)(void *)p, (unsigned long long)n);
#elif GF_TEAM
	__atomic_fetch_add(p, n, __ATOMIC_RELAXED);
#else
	*p += n;
#endif
}

/* The same of 64 bits. */
GF_INLINE void gf_team_max64(uint64_t *p, uint64_t n)
{
#if defined(__CUDA_ARCH__)
	if (*(volatile uint64_t *)p < n)
		atomicMax((unsigned long long *)p, (unsigned long long)n);
#elif GF_TEAM
	uint64_t was = __atomic_load_n(p, __ATOMIC_RELAXED);
	while (was < n && !__atomic_compare_exchange_n(p, &was, n, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
#else
	if (*p < n)
		*p = n;
#endif
}

/* Counts one. Many lanes do so at once, most of them in the same word: on the device one of a warp does it for all. */
GF_INLINE void gf_team_one(uint32_t *p)
{
#if defined(__CUDA_ARCH__)
	uint32_t peers = __match_any_sync(__activemask(), (unsigned long long)(uintptr_t)p);
	uint32_t me;

	asm("mov.u32 %0, %%laneid;" : "=r"(me));
	if (__ffs((int)peers) - 1 == (int)me)
		atomicAdd(p, (uint32_t)__popc(peers));
#else
	gf_team_add(p, 1);
#endif
}

/* Sets bit i of words; neighbouring lanes have neighbouring bits. It is looked at in a later job. n: a count that goes up by one for each. */
GF_INLINE void gf_team_bit(uint32_t *words, uint32_t i, uint32_t *n)
{
#if defined(__CUDA_ARCH__)
	atomicOr(words + i / 32, 1u << i % 32); /* nobody waits for it */
	gf_team_one(n);
#elif GF_TEAM
	__atomic_fetch_or(words + i / 32, 1u << i % 32, __ATOMIC_RELAXED);
	__atomic_fetch_add(n, 1, __ATOMIC_RELAXED);
#else
	words[i / 32] |= 1u << i % 32;
	*n += 1;
#endif
}

/* The same, where most often it is set already. */
GF_INLINE void gf_team_mark(uint32_t *words, uint32_t i)
{
#if defined(__CUDA_ARCH__)
	if (!(*(volatile uint32_t *)(words + i / 32) >> i % 32 & 1))
		atomicOr(words + i / 32, 1u << i % 32);
#elif GF_TEAM
	if (!(__atomic_load_n(words + i / 32, __ATOMIC_RELAXED) >> i % 32 & 1))
		__atomic_fetch_or(words + i / 32, 1u << i % 32, __ATOMIC_RELAXED);
#else
	words[i / 32] |= 1u << i % 32;
#endif
}

/* 1 for the last of n lanes that call it for a word, which is 0 before and after: it sees all that they wrote before they did. Who is the last, nobody
 * knows: what it does must not depend on that. */
GF_INLINE int gf_team_last(uint32_t *p, uint32_t n)
{
#if defined(__CUDA_ARCH__)
	__threadfence();
	if (atomicAdd(p, 1) != n - 1)
		return 0;
	*p = 0;
	__threadfence();
	return 1;
#elif GF_TEAM
	if (__atomic_fetch_add(p, 1, __ATOMIC_ACQ_REL) != n - 1)
		return 0;
	__atomic_store_n(p, 0, __ATOMIC_RELAXED);
	return 1;
#else
	*p = *p + 1 == n ? 0 : *p + 1;
	return !*p;
#endif
}

/* A mark that any lane may set, or look at, within a job: it is a hint, or all set it alike. */
GF_INLINE uint8_t gf_team_flag(const uint8_t *p)
{
#if GF_TEAM && !defined(__CUDACC__)
	return __atomic_load_n(p, __ATOMIC_RELAXED);
#else
	return *p;
#endif
}

GF_INLINE void gf_team_flag_set(uint8_t *p, uint8_t x)
{
#if GF_TEAM && !defined(__CUDACC__)
	__atomic_store_n(p, x, __ATOMIC_RELAXED);
#else
	*p = x;
#endif
}

/* The number from which on a lane takes those of n things that lanes do one at a time, and how many it goes on by. Lanes
 * of a warp that are on different things wait for one another: where there are enough, things are a warp apart. GF_NONE:
 * this lane takes none. */
GF_INLINE uint32_t gf_team_spread(uint32_t lane, uint32_t lanes, uint32_t n, uint32_t *by)
{
	uint32_t apart = n && lanes / n > 1 ? GF_MIN(lanes / n, 32u) : 1;

	*by = lanes / apart;
	return lane % apart || lane / apart >= *by ? GF_NONE : lane / apart;
}

#if GF_TEAM

/*
 * All lanes meet here. Blocks of a cluster (sm_90 and up, the whole grid one cluster) have a barrier in hardware; others
 * meet at a word in memory. A call, which is two barriers, takes on an H100: 0.4 to 0.7 us in one block; 1.1 to 1.5 us in a cluster of
 * 2 to 8 blocks; 4 us through memory.
 */
#if defined(__CUDA_ARCH__)
static __device__ __noinline__ void gf_team_barrier(const struct gf_team *t)
{
	if (t->mem->blocks == 1) {
		__syncthreads();
		return;
	}
#if __CUDA_ARCH__ >= 900
	if (t->mem->cluster) {
		asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;" ::: "memory");
		return;
	}
#endif
	__syncthreads();
	if (threadIdx.x == 0) {
		volatile uint32_t *gen = &t->mem->generation;
		uint32_t was = *gen;

		__threadfence();
		if (atomicAdd(&t->mem->arrived, 1) == t->mem->blocks - 1) {
			t->mem->arrived = 0;
			__threadfence();
			*gen = was + 1;
		} else {
			/* Between ticks it waits long: then it need not look all the time. */
			for (uint32_t i = 0; *gen == was; i++)
				if (i > 1000)
					__nanosleep(500);
		}
		__threadfence();
	}
	__syncthreads();
}
#elif defined(__CUDACC__)
static inline void gf_team_barrier(const struct gf_team *t) { (void)t; }
#else
#include <pthread.h>
static inline void gf_team_barrier(const struct gf_team *t)
{
	pthread_barrier_wait((pthread_barrier_t *)t->mem->host_barrier);
}
#endif

/* The body of a call for one lane; defined by the translation unit that makes teams. */
static GF_HD void gf_team_dispatch(struct gf_team *t, const struct gf_call *call);

/* The call, and beside it what the block is going to want: loads that wait for nothing. Otherwise each of them would be waited for, one after the other,
 * by all. */
GF_INLINE struct gf_call gf_team_take(struct gf_team *t)
{
#if defined(__CUDA_ARCH__)
	uint32_t x = t->warm ? *t->warm : 0, by = blockDim.x * GF_TEAM_SECTOR;
	struct gf_call call = t->mem->call;

	if (call.job < 64 && t->runs >> call.job & 1) {
		const uint8_t *a = t->progs[0], *b = t->progs[1], *c = t->progs[2];
		uint32_t a_end = t->progs_end[0], b_end = t->progs_end[1], n = GF_MIN(t->progs_end[2], GF_TEAM_PROGS);

		for (uint32_t at = threadIdx.x * GF_TEAM_SECTOR; at < n; at += 4 * by) {
			uint32_t v[4];

			GF_UNROLL
			for (uint32_t k = 0; k < 4; k++) {
				uint32_t i = at + k * by < n ? at + k * by : at;
				v[k] = *(const uint32_t *)(const void *)(i < a_end ? a + i : i < b_end ? b + (i - a_end) : c + (i - b_end));
			}
			x ^= v[0] ^ v[1] ^ v[2] ^ v[3];
		}
	}
	t->warmed = x; /* or a compiler would leave them out */
	return call;
#else
	return t->mem->call;
#endif
}

/* Leader. */
static GF_HD __attribute__((noinline, unused)) void gf_team_call(struct gf_team *t, uint32_t job, uint32_t a,
							   uint32_t b, uint32_t c)
{
	struct gf_call call = { job, a, b, c };

	gf_profile_mark(t->profile, &t->last, job);
	t->mem->call = call;
	gf_team_barrier(t);
	gf_team_take(t);
	if (job)
		gf_team_dispatch(t, &call);
	uint64_t own = t->profile ? gf_profile_clock() : 0;
	gf_team_barrier(t);
	if (t->profile) {
		uint64_t now = gf_profile_clock();
		gf_profile_add(&t->profile->own[job], own - t->last);
		gf_profile_add(&t->profile->all[job], now - t->last);
		t->last = now;
	}
}

/* All others: until the leader makes a call with job 0. */
GF_INLINE void gf_team_serve(struct gf_team *t)
{
	for (;;) {
		gf_team_barrier(t);
		struct gf_call call = gf_team_take(t);
		if (call.job)
			gf_team_dispatch(t, &call);
		gf_team_barrier(t);
		if (!call.job)
			return;
	}
}
#endif

#endif
