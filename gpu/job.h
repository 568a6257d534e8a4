/* SPDX-License-Identifier: MIT
 *
 * What a tick works on, and how its loops over rows become jobs of a team.
 */
#ifndef GPUFAS_JOB_H
#define GPUFAS_JOB_H

#include "gpufas/event.h"

#include "gpu/interp.h"
#include "gpu/team.h"

struct gf_tick_in {
	uint64_t budget_window_ns;
	uint32_t budget_n;
	uint32_t target;
	uint8_t observe; /* never act, whatever the rules say */
	uint8_t gap;     /* time passed unobserved (suspend): runs of true start anew */
	uint8_t reserved[6];
};

/* Where a tick puts what it has to say. events has room for events_cap + 1: the
 * last is written and thrown away when there are more. */
struct gf_tick_out {
	struct gf_event *events;
	struct gf_verdict *verdicts;
	uint64_t *seq; /* next event number; shared with others */
	uint32_t events_cap, events_n, events_lost;
	uint32_t verdicts_cap, verdicts_n, verdicts_lost;
	uint64_t actions;
};

/* With a team it lies where all lanes see it, and only the leader writes to it. */
struct gf_tick {
	struct gf_ctx c;
	const struct gf_tick_in *in;
	struct gf_tick_out *out;
	struct gf_regs *regs;  /* one lane's; lanes of a team have their own */
	struct gf_team *team;  /* the leader's; NULL: one lane */
};

/* Jobs of a tick (gf_call.job). */
enum gf_tick_job {
	GF_JOB_BACK = 1, GF_JOB_GAP, GF_JOB_ROWS, GF_JOB_LEVEL, GF_JOB_SUMS, GF_JOB_AGGS, GF_JOB_GATES, GF_JOB_TRUTHS,
	GF_JOB_COND, GF_JOB_SELECT, GF_JOB_BEST, GF_JOB_RANK, GF_JOB_PLACE, GF_JOB_TELL, GF_JOB_GROUP,
	GF_JOB_TREE, GF_JOB_FAMILY, GF_JOB_OWN, GF_JOB_PARENT, GF_JOB_ANCESTOR, GF_JOB_NEAR, GF_JOB_ENDS
};
GF_STATIC_ASSERT(GF_JOB_ENDS <= 64, "numbers from 64 on are the sampler's");

/* A job's body is written for one lane of several, and takes its share. With one lane it is called as it is, and
 * becomes part of the caller. */
#if GF_TEAM
#define GF_TICK_CALL(t, job, body, a, b, c) gf_team_call((t)->team, (job), (a), (b), (c))
#define GF_JOB_BODY static GF_HD __attribute__((noinline, unused)) void
#else
#define GF_TICK_CALL(t, job, body, a, b, c) body((t), (a), (b), (c), 0, 1)
#define GF_JOB_BODY GF_INLINE void
#endif
#define GF_UNUSED3(a, b, c) ((void)(a), (void)(b), (void)(c))

/* Bases of the chunks of rows that are a lane's. */
#define GF_SHARE(base, up) \
	(uint32_t base = lane * GF_WIDTH; base < (up); base += lanes * GF_WIDTH)

/* How many rows are run at a time: a chunk, or where some lane would have several to do, a few; otherwise each lane takes one. */
GF_INLINE uint32_t gf_part_rows(uint32_t up, uint32_t lanes)
{
	return GF_WIDTH > 1 ? GF_WIDTH : up > lanes ? GF_LANE_ROWS : 1;
}

#if GF_WIDTH > 1
#define GF_RUN_PART(c, prog, base, n, r, ret) GF_RUN_CHUNK((c), (prog), (base), (r), (ret))
#else
#define GF_RUN_PART(c, prog, base, n, r, ret) ((n) > 1 ? gf_run_rows((c), (prog), (base), (ret)) : gf_run_lane((c), (prog), (base), (ret)))
#endif

GF_INLINE uint32_t gf_rows_up(const struct gf_sample *s)
{
	return GF_MIN((s->rows + GF_ROW_BLOCK - 1) / GF_ROW_BLOCK * GF_ROW_BLOCK, s->cap);
}

#endif
