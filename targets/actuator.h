/* SPDX-License-Identifier: MIT
 *
 * Carries verdicts out on this machine: pidfd signals with the identity checked
 * first, renice, cgroup.kill; follows victims through their pidfds until they
 * exit, and reports both as events. A thread of its own, so that nothing that a
 * victim does can make a tick wait.
 */
#ifndef GPUFAS_ACTUATOR_H
#define GPUFAS_ACTUATOR_H

#include <stdbool.h>
#include <stddef.h>

#include "gpufas/err.h"
#include "gpufas/event.h"

struct gf_actuator;
struct gf_kmod; /* targets/kmod.h */

struct gf_actuator_opts {
	int rt_priority;  /* SCHED_FIFO, 0: ordinary */
	uint32_t follow;  /* victims followed at a time, default 4096 */
	uint64_t follow_ns; /* how long after the signal an exit is waited for, default 30 s */
	uint64_t tell_ns;   /* after this a RESULT says that it is still there, default 1 s */
	uint32_t target_index;
	/* Asked before a last resort (panic, restart, nmi, reset), on the actuator's thread; may wait a moment. 0: it may be
	 * done; else enum gf_refused. NULL: none may be. */
	uint8_t (*last_resort)(void *arg, const struct gf_verdict *v);
	void *last_arg;
	const char *sysrq; /* NULL: /proc/sysrq-trigger */
	struct gf_kmod *kmod;  /* signals and last resorts go by it where it can; NULL: none */
	bool only_kmod;        /* and by no other road */
};

/* Takes up to n verdicts; returns how many. Called on the actuator's thread when fd is readable. */
typedef size_t (*gf_verdict_source)(void *arg, struct gf_verdict *buf, size_t n);
/* Is handed RESULT events (seq 0: the receiver numbers them). Of a member that is
 * still there after tell_ns there are two: that (exit_us GF_NONE), and its exit if it
 * is seen. Called on the actuator's thread; must not block. */
typedef void (*gf_event_sink)(void *arg, const struct gf_event *ev);

int gf_actuator_create(const struct gf_actuator_opts *opts, int verdict_fd, gf_verdict_source source,
		       void *source_arg, gf_event_sink sink, void *sink_arg,
		       struct gf_actuator **ret, struct gf_err *err);
void gf_actuator_destroy(struct gf_actuator *a);
/* As gf_vm_actuator_engine (targets/vm.h): an engine that delivers by itself from now on; NULL: none does. Any thread. */
struct gf_vm_engine;
void gf_actuator_engine(struct gf_actuator *a, const struct gf_vm_engine *e);

/* One verdict at once, on the caller's thread: checks that pid still has the
 * start time (to the clock tick that /proc shows), that it is not init of any
 * pid namespace, a kernel thread or this process, then acts. 0, -ESRCH gone,
 * -ESTALE another identity, -EPERM may never be touched or not permitted.
 * ret_pidfd (may be NULL): a pidfd to follow, owned by the caller, or -1. */
int gf_act(const struct gf_verdict *v, int *ret_pidfd);

#endif
