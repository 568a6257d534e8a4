/* SPDX-License-Identifier: MIT
 *
 * The engine: a thread (or a GPU) that runs a tick every period over one target.
 *
 * Threads: the engine's own (real-time, mlocked, no allocation and no blocking
 * call in a tick) and the caller's. Functions here are for the caller's; they
 * never make a tick wait.
 */
#ifndef GPUFAS_ENGINE_H
#define GPUFAS_ENGINE_H

#include <stdbool.h>

#include "gpufas/bytecode.h"
#include "gpufas/err.h"
#include "gpufas/event.h"
#include "gpu/state.h"

struct gf_target; /* targets/target.h */
struct gf_engine;

/* AUTO: a GPU where one answers, else the CPU. */
enum gf_engine_kind { GF_ENGINE_CPU, GF_ENGINE_AUTO, GF_ENGINE_GPU };

/* PERSISTENT: one kernel that never ends. RELAY: a kernel a period, launched by the device itself; in between its multiprocessors are others', and a
 * tick waits until they leave some. LAUNCH: a kernel a period, launched by the host, and so dependent on the host's CPU. */
enum gf_gpu_mode { GF_GPU_PERSISTENT, GF_GPU_LAUNCH, GF_GPU_RELAY };

#define GF_GPU_DEVICES 64u

struct gf_gpu_opts {
	enum gf_gpu_mode mode;
	uint64_t devices;  /* bit i: device i may be used; 0: all. A new target goes to the one with the fewest */
	uint32_t blocks;   /* 0: as the device and the number of processes ask for */
	uint32_t threads;  /* a block; 0: chosen; else a multiple of 32 up to 1024 */
	uint32_t targets;  /* that this process is going to have on its devices in all, for who chooses blocks; 0: one */
};

struct gf_engine_opts {
	enum gf_engine_kind kind;
	struct gf_gpu_opts gpu;
	uint64_t period_ns;      /* 1 ms and up */
	bool observe;            /* never act, whatever the rules say */
	uint32_t max_tasks;      /* rows */
	uint32_t budget_n;       /* actions a budget_window_ns, over all rules; 0: none allowed */
	uint64_t budget_window_ns;
	int rt_priority;         /* SCHED_FIFO, 0: ordinary */
	bool mlock;
	uint32_t target_index;   /* goes into events */
	bool views_always;       /* ticks by hand: rule views are made in each, all of them, whatever the clock says */
	/* After each tick, on the thread that ran it and when verdicts and events are out, with the tick's events: for who evaluates
	 * more on the same sample. rc: of sampling. Not where a device samples by itself. May be NULL. */
	void (*after)(void *arg, int rc, const struct gf_event *ev, uint32_t n);
	void *after_arg;
	/* Each sample that was decided on, whoever took it, in their order, for who records them: right after its tick, or, where a device
	 * samples by itself, some time later; on the thread that ticks, or that swaps or stops the engine. rc: of sampling, not 0: only now_ns and seq hold. fp: of
	 * the image. has: the fields that are in it, NULL: all that were asked for. false: there is no room for it; a device's is asked for again, any
	 * other is lost and counted. May be NULL; set, a device has a ring of mapped memory for it (gpu/tape.h), and its ticks write to it. */
	bool (*decided)(void *arg, const struct gf_sample *s, int rc, uint64_t fp, const struct gf_fieldset *has);
	void *decided_arg;
	uint64_t *event_seq;     /* where events of this engine alone are counted; NULL: with all of the process */
};

/* What one rule looks like now, for status and top. */
struct gf_rule_view {
	uint64_t fp;
	uint8_t truth, phase, reserved[2];
	uint32_t true_rows, victims;
	double close;      /* 0..1, unknown if not computed */
	int32_t close_pid; /* task that is nearest, 0: none */
	char close_comm[GF_COMM_LEN];
	uint64_t fired;
	uint64_t due_in_ns; /* to the next step, end of settle or cooldown; 0: none */
	uint64_t last_ns;   /* boot time of the last action, 0: never */
	uint32_t terms;
	struct gf_event_term term[GF_EVENT_TERMS]; /* of close_pid's row, or of the host */
};

struct gf_engine_stats {
	uint64_t ticks, missed, late, overruns; /* missed: periods without a tick; overruns: ticks longer than the period */
	uint64_t last_tick_ns; /* CLOCK_MONOTONIC of the last finished tick: the heartbeat */
	uint64_t now_ns;       /* target's boot time of the last sample */
	uint64_t sample_ns, eval_ns, total_ns; /* last tick */
	uint64_t sample_avg_ns, eval_avg_ns, total_avg_ns, total_max_ns;
	uint64_t actions, verdicts_dropped, events_dropped, sample_errors;
	uint32_t rows, live, dropped;
	uint64_t image_fp;
	uint64_t reloads;
	uint32_t budget_used, budget_n;
	bool rt, mlocked, observe, stale; /* stale: the last sample failed */
	char note[160]; /* why not rt or mlocked; "" when as asked for */
	uint32_t kind;  /* enum gf_engine_kind that runs it now: CPU or GPU */
	uint32_t gpu_device, gpu_blocks, gpu_threads;
	uint32_t gpu_mode;      /* enum gf_gpu_mode */
	uint32_t takeovers;     /* times the CPU took over from a GPU */
	char gpu_name[64];
	char why[192];          /* why the CPU runs it though a GPU was not ruled out, and how to mend it; "" otherwise */
	uint64_t unrecorded;    /* samples for which opts.decided, or the device's ring, had no room */
	bool alone;             /* this machine's GPU samples from its kernel module, decides and delivers without the host's threads */
	char ring_why[192];     /* why it does not, where there is a module; "" otherwise */
	char sample_error[160]; /* of the last sample that failed */
	double host[GF_HF_COUNT]; /* as last sampled */
};

/* Makes an engine for a target and a verified image (both borrowed: they must
 * outlive the engine, or the image's replacement). All memory is allocated
 * here. The target's field set is set from the image. Errors: -ENOMEM, -EINVAL. */
int gf_engine_create(struct gf_target *target, const struct gf_image_header *image,
		     const struct gf_engine_opts *opts, struct gf_engine **ret, struct gf_err *err);
void gf_engine_destroy(struct gf_engine *e); /* stops it first */

int gf_engine_start(struct gf_engine *e, struct gf_err *err);
void gf_engine_stop(struct gf_engine *e);

/* Replaces the image between two ticks; returns when the engine has let go of
 * the old one, so that the caller may free it. State of holds, histories and
 * rules with equal fingerprints is kept. On error the old image stays in force.
 * -ETIMEDOUT: the engine did not tick within 5 s. */
int gf_engine_swap(struct gf_engine *e, const struct gf_image_header *image, struct gf_err *err);

/* Fields that are sampled beside those of the image, for opts.after; no kernel paths. Any time; errors leave it as it was. */
int gf_engine_also(struct gf_engine *e, const struct gf_fieldset *f, struct gf_err *err);

/* The next number for an event: all events of the process, of engines and of
 * others, share one sequence. Any thread. */
uint64_t gf_event_seq(void);

/* The devices as this process sees them, for status and the log. Any thread; nothing is started. */
struct gf_gpu_info {
	uint32_t index, sms, cc;     /* cc: 90 is compute capability 9.0 */
	uint64_t memory;             /* bytes */
	bool host_atomics;           /* atomics to host memory are granted */
	bool mig;                    /* an instance of a partitioned card */
	uint32_t targets;            /* engines that run on it now */
	char pci[16];                /* "0000:00:06.0", in lower case; "" not known */
	char name[64];
};
/* How many devices; fills up to n. 0: none, and err says why and how to mend it (not built with nvcc, no driver, a driver older
 * than the toolkit, no device). */
size_t gf_gpu_list(struct gf_gpu_info *buf, size_t n, struct gf_err *err);
/* Whether this process' kernels, of which one stays (mode persistent) or none does, are in the way of other processes' on a device: a sentence with the
 * mend into buf, or "" where they are not. Looks at /proc and the MPS pipe. */
void gf_gpu_neighbours(uint32_t device, bool stays, char *buf, size_t n);

void gf_engine_set_observe(struct gf_engine *e, bool observe);

/* Who acts on a guest: an engine that delivers by itself tells it what has become of that. Before start; a outlives the engine's
 * last tick. */
struct gf_vm_actuator;
void gf_engine_actuator(struct gf_engine *e, struct gf_vm_actuator *a);
/* The same of the machine itself, where the device samples from the kernel module's memory. */
struct gf_actuator;
void gf_engine_host_actuator(struct gf_engine *e, struct gf_actuator *a);

/* One tick, by hand, on the caller's thread; for tests, bench and replay. Not
 * while started. */
int gf_engine_tick(struct gf_engine *e, struct gf_err *err);

/* Takes up to n events or verdicts out of the engine's rings (single consumer
 * each); returns how many. *_fd: an eventfd that is readable when there are some. */
size_t gf_engine_events(struct gf_engine *e, struct gf_event *buf, size_t n);
int gf_engine_event_fd(struct gf_engine *e);
size_t gf_engine_verdicts(struct gf_engine *e, struct gf_verdict *buf, size_t n);
int gf_engine_verdict_fd(struct gf_engine *e);

/* For replay, between two ticks by hand on the CPU: what a program that gives a truth gives now over all rows that could be acted
 * on (of host scope: once), as bits 1 << enum gf_tri. */
uint8_t gf_engine_truths(struct gf_engine *e, uint32_t prog);

void gf_engine_stats(const struct gf_engine *e, struct gf_engine_stats *ret);

/* Rule views, as published by a tick at most 500 ms ago; asking keeps them being
 * computed for the next 5 s. Fills up to n, returns the number of rules. ret_fp:
 * the image they belong to. */
size_t gf_engine_rules(struct gf_engine *e, struct gf_rule_view *buf, size_t n, uint64_t *ret_fp);

#endif
