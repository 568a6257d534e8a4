/* SPDX-License-Identifier: MIT
 *
 * An engine's inside, shared by engine_cpu.c (ticks), engine_run.c (thread, turns), engine_make.c, engine_swap.c (another policy) and
 * engine_gpu.c (ticks that a GPU runs).
 */
#ifndef GPUFAS_ENGINE_CPU_H
#define GPUFAS_ENGINE_CPU_H

#include <poll.h>
#include <pthread.h>

#include "gpu/engine.h"
#include "gpu/ring.h"
#include "gpu/select.h"

#define ENGINE_EVENTS 1024u    /* ring; a tick stages ENGINE_STAGED */
#define ENGINE_STAGED 256u
#define ENGINE_VERDICTS 16384u /* ring */
#define ENGINE_ACTS 8192u      /* verdicts of one tick */
#define ENGINE_FAULT_AHEAD 1024u
#define SEC_NS 1000000000ull

/* Whose turn it is with target, state and image. */
enum engine_turn { TURN_FREE, TURN_TICK, TURN_CALLER };

/* Rule views: a header and one view a rule, published together. */
struct engine_views {
	uint64_t seq;   /* of gf_seq_publish */
	uint64_t fp;
	uint32_t n;
	uint32_t next; /* rules before it are in work; 0: begins anew */
	struct gf_rule_view *shown, *work; /* n each; work is the engine's */
};

struct gf_engine {
	struct gf_target *target;
	struct gf_engine_opts opts;
	struct gf_state *st;
	struct gf_regs *regs;
	struct gf_tick_in in;
	struct gf_tick_out out;
	struct gf_ring events, verdicts;
	struct engine_views views;
	struct gf_fieldset also;      /* sampled beside what the image reads */
	struct gf_engine_stats now;   /* engine's own */
	struct gf_engine_stats shown; /* published */
	uint64_t shown_seq;
	uint64_t views_at, asked_at;  /* CLOCK_MONOTONIC; asked_at atomic */
	uint64_t missed_told, missed_at; /* MISSED events: count told, when */
	uint32_t faulted;             /* rows whose memory is there */
	struct gf_err err;
	struct gf_gpu_host *gpu;      /* who runs the ticks; NULL: the CPU. engine_gpu.c */
	struct gf_gpu_host *gpu_past; /* who did until it failed: what it holds is freed at the end */
	uint32_t gpu_tries;           /* reloads in a row that tried a GPU again and came to nothing */
	uint32_t gpu_blocks_most;     /* more found no room on the device; 0: that has not happened */
	/* thread */
	pthread_t thread;
	pthread_mutex_t mutex;        /* between callers; the engine never takes it */
	bool running;                 /* under mutex */
	int turn;                     /* atomic enum engine_turn */
	int stop;                     /* atomic */
	int observe;                  /* atomic */
	uint64_t next_ns;             /* atomic: when the next tick is due */
	int64_t suspended_ns;         /* CLOCK_BOOTTIME - CLOCK_MONOTONIC, when last looked */
	bool look;                    /* at what the GPU looks at, though its time has not come */
};

uint64_t gf_engine_clock(int clock); /* ns */
uint64_t gf_engine_rest(uint64_t period_ns, uint64_t took_ns); /* least pause after a tick */
int gf_engine_tick_now(struct gf_engine *e); /* one tick; 0 or the sampler's -errno */
void gf_engine_report_missed(struct gf_engine *e, uint64_t now);
void gf_engine_release(struct gf_engine *e, const struct gf_adoption *plan, uint32_t news); /* before a swap or, plan NULL, at the end: lets go what rules that go away have stopped */
void gf_engine_flush(struct gf_engine *e);
uint64_t *gf_engine_seq_word(void); /* where event numbers are counted */
void gf_engine_publish_stats(struct gf_engine *e);

/* engine_gpu.c. st is there, fields are set; -errno with the reason, in a sentence, also in now.why. */
struct gf_gpu_next;
int gf_gpu_create(struct gf_engine *e, struct gf_err *err);
void gf_gpu_destroy(struct gf_engine *e);
int gf_gpu_start(struct gf_engine *e, struct gf_err *err);
/* Ends it, and puts what it knew of rules into e->st. */
void gf_gpu_stop(struct gf_engine *e);
/* One tick over the target's sample: e->out is filled as by gf_tick_run(). Not 0: the GPU is given up, and e->st has
 * what it knew: the tick is to be run here. ret_stale: as st->stale_told. */
int gf_gpu_tick(struct gf_engine *e, bool failed, bool views, bool *ret_stale);
uint32_t gf_gpu_budget_used(const struct gf_engine *e);
/* A swap: the new state is made beside the old one; then, in the caller's turn, what rules know is brought to e->st (for
 * those that go away), and the device takes the new state on (not 0: the GPU is given up). */
int gf_gpu_prepare(struct gf_engine *e, const struct gf_image_header *img, const struct gf_adoption *plan, struct gf_gpu_next **ret,
		   struct gf_err *err);
int gf_gpu_adopt(struct gf_engine *e, struct gf_gpu_next *next);
/* Guests are sampled by the device itself. Then there is no tick here: what was said is gathered, at a pace of its own (paces), or one
 * tick is launched and waited for. Not 0: the GPU is given up. engine_told.c */
bool gf_gpu_own(const struct gf_engine *e);
bool gf_gpu_paces(const struct gf_engine *e);
uint64_t gf_gpu_pace(const struct gf_engine *e); /* ns to the next look */
#define GF_GPU_WATCHED 2
nfds_t gf_gpu_watch(const struct gf_engine *e, struct pollfd ret[GF_GPU_WATCHED]); /* what can be read when there is something to look at at once; how many */
void gf_gpu_wake(struct gf_engine *e);       /* something is to be told the device at once. Any thread */
int gf_gpu_gather(struct gf_engine *e);
bool gf_gpu_tape_pass(struct gf_engine *e, struct gf_gpu_host *h); /* engine_tape.c: false: not all of the device's samples found room */
void gf_gpu_drop(struct gf_engine *e, struct gf_gpu_next *next);
/* A reload tries a GPU that was given up once more, a few times. In the caller's turn, with the new policy in e->st. */
void gf_gpu_retry(struct gf_engine *e);

/* engine_run.c. A caller's turn, under mutex, early in the pause between two ticks if it can be had; then it is to be given back. */
int gf_engine_turn_caller(struct gf_engine *e, struct gf_err *err);
void gf_engine_turn_give(struct gf_engine *e);
/* engine_make.c */
int gf_engine_set_fields(struct gf_engine *e, const struct gf_image_header *img, struct gf_err *err);

int gf_engine_views_make(const struct gf_image_header *img, struct engine_views *ret);

#endif
