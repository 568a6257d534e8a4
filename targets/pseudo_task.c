// SPDX-License-Identifier: MIT
/*
 * Finding a process in a guest's memory by its pid, and judging what its threads are doing. The structures
 * change while they are read: every walk is bounded, and what is found is checked against what led to it.
 */
#include "targets/pseudo_int.h"

#include "gpufas/sample.h"
#include "targets/proc.h"

#define PF_EXITING 0x4u
#define PF_IO_WORKER 0x10u
#define PF_USER_WORKER 0x4000u /* 6.4 and up; before, of kernel modules' loaders: left alone, too */
#define PF_KTHREAD 0x200000u
#define SIGNAL_GROUP_EXIT 0x4u
#define SIGNAL_UNKILLABLE 0x40u

/* An xarray: an entry whose low bits are 10 is a node, unless it is small. */
uint64_t pseudo_idr(const struct gf_pseudo *p, uint64_t head, uint64_t base, uint64_t index)
{
	uint64_t e, shift, b = 0;
	uint32_t bits = p->slots ? (uint32_t)__builtin_ctz(p->slots) : 6;

	if (!pseudo_get(p, head, 8, &e) || !pseudo_get(p, base, 4, &b) || index < b)
		return 0;
	index -= b;
	if ((e & 3) != 2)
		return index ? 0 : e;
	for (int depth = 0; depth < 12 && (e & 3) == 2 && e > 4096; depth++) {
		uint64_t node = e - 2;
		if (!pseudo_member(p, node, M_XN_SHIFT, &shift) || shift > 60 || (!depth && index >> shift >> bits))
			return 0;
		if (!pseudo_get(p, node + p->m[M_XN_SLOTS] + (index >> shift & (p->slots - 1)) * 8, 8, &e))
			return 0;
		if (!shift)
			return e & 3 ? 0 : e;
	}
	return 0;
}

static uint64_t find_pid(const struct gf_pseudo *p, int32_t pid)
{
	uint64_t ns = p->s[S_INIT_PID_NS];

	return pseudo_idr(p, ns + p->m[M_PIDNS_HEAD], ns + p->m[M_PIDNS_BASE], (uint64_t)pid);
}

/* The leader of the thread group whose number this is. */
static uint64_t leader_of(const struct gf_pseudo *p, uint64_t pid_struct)
{
	uint64_t link;

	if (!pid_struct || !pseudo_member(p, pid_struct, M_PID_TGID, &link) || link < p->m[M_TASK_LINK_TGID])
		return 0;
	return link - p->m[M_TASK_LINK_TGID];
}

/* A start time is compared to the clock tick: a sample may have it from elsewhere than this member. */
static bool same_start(uint64_t a, uint64_t b)
{
	return a == b || a / GF_TICK_NS == b / GF_TICK_NS;
}

static uint8_t find_once(const struct gf_pseudo *p, int32_t pid, uint64_t start_ns, struct gf_pseudo_victim *v)
{
	uint64_t id, tgid;

	*v = (struct gf_pseudo_victim){ .pid = pid };
	v->pid_struct = find_pid(p, pid);
	if (!v->pid_struct)
		return GF_REF_GONE;
	v->task = leader_of(p, v->pid_struct);
	if (!v->task)
		return start_ns ? GF_REF_GONE : GF_REF_IDENTITY; /* of a thread, a group or a session */
	if (!pseudo_member(p, v->task, M_TASK_PID, &id) || !pseudo_member(p, v->task, M_TASK_TGID, &tgid)
	    || !pseudo_member(p, v->task, M_TASK_START, &v->start) || !pseudo_member(p, v->task, M_TASK_SIGNAL, &v->signal))
		return GF_REF_TORN;
	if ((int32_t)id != pid || (int32_t)tgid != pid || !v->signal)
		return GF_REF_TORN;
	return start_ns && !same_start(v->start, start_ns) ? GF_REF_IDENTITY : GF_REF_NONE;
}

struct tally {
	uint32_t live;
	bool traced;
};

static bool count_live(void *arg, const struct pseudo_thread *t)
{
	struct tally *n = arg;

	n->live++;
	n->traced |= t->traced;
	return true;
}

/* What may not be touched, whatever the road. */
static uint8_t judge(const struct gf_pseudo *p, const struct gf_pseudo_victim *v)
{
	struct tally n = { 0 };
	uint64_t flags, sig;

	if (pseudo_gone(p, v))
		return GF_REF_GONE;
	if (!pseudo_member(p, v->task, M_TASK_FLAGS, &flags) || !pseudo_member(p, v->signal, M_SIG_FLAGS, &sig))
		return GF_REF_TORN;
	if (flags & (PF_KTHREAD | PF_IO_WORKER | PF_USER_WORKER))
		return GF_REF_KTHREAD;
	if (sig & SIGNAL_UNKILLABLE || v->pid == 1)
		return GF_REF_INIT;
	if (sig & SIGNAL_GROUP_EXIT)
		return GF_REF_EXITING;
	uint8_t r = pseudo_threads(p, v, 0, count_live, &n);
	if (r)
		return r;
	return !n.live ? GF_REF_EXITING : n.traced ? GF_REF_TRACED : GF_REF_NONE;
}

uint8_t pseudo_find(const struct gf_pseudo *p, int32_t pid, uint64_t start_ns, struct gf_pseudo_victim *ret)
{
	uint8_t r = GF_REF_TORN;

	for (int tries = 0; tries < 4 && r == GF_REF_TORN; tries++) {
		r = find_once(p, pid, start_ns, ret);
		if (!r)
			r = judge(p, ret);
	}
	return r;
}

bool pseudo_is_past(const struct gf_pseudo *p, int32_t pid, uint64_t start_ns)
{
	struct gf_pseudo_victim v;
	uint8_t r = pseudo_find(p, pid, start_ns, &v);

	return r == GF_REF_GONE || r == GF_REF_IDENTITY || r == GF_REF_EXITING;
}

/* Same process, same memory. */
static bool is_there(const struct gf_pseudo *p, const struct gf_pseudo_victim *v)
{
	uint64_t id, start, signal;

	return find_pid(p, v->pid) == v->pid_struct && leader_of(p, v->pid_struct) == v->task
	       && pseudo_member(p, v->task, M_TASK_PID, &id) && (int32_t)id == v->pid
	       && pseudo_member(p, v->task, M_TASK_START, &start) && start == v->start
	       && pseudo_member(p, v->task, M_TASK_SIGNAL, &signal) && signal == v->signal;
}

uint8_t pseudo_same(const struct gf_pseudo *p, const struct gf_pseudo_victim *v)
{
	uint64_t flags, sig;

	if (!is_there(p, v))
		return GF_REF_GONE;
	if (!pseudo_member(p, v->task, M_TASK_FLAGS, &flags) || !pseudo_member(p, v->signal, M_SIG_FLAGS, &sig))
		return GF_REF_TORN;
	if (flags & (PF_KTHREAD | PF_IO_WORKER | PF_USER_WORKER))
		return GF_REF_KTHREAD;
	if (sig & SIGNAL_UNKILLABLE)
		return GF_REF_INIT;
	return sig & SIGNAL_GROUP_EXIT ? GF_REF_EXITING : GF_REF_NONE;
}

/* A leader that has exited stays until the last of its threads has. */
bool pseudo_gone(const struct gf_pseudo *p, const struct gf_pseudo_victim *v)
{
	uint64_t exit_state, threads;

	/* Twice: a walk may meet the tree of numbers being changed. */
	if (!is_there(p, v) && !is_there(p, v))
		return true;
	return pseudo_member(p, v->task, M_TASK_EXIT_STATE, &exit_state) && exit_state
	       && pseudo_member(p, v->signal, M_SIG_NR_THREADS, &threads) && threads <= 1;
}

bool pseudo_thread_read(const struct gf_pseudo *p, uint64_t task, int sig, struct pseudo_thread *ret)
{
	uint64_t flags, exit_state, on_rq, on_cpu = 0, blocked, trace;

	if (!pseudo_member(p, task, M_TASK_FLAGS, &flags) || !pseudo_member(p, task, M_TASK_EXIT_STATE, &exit_state)
	    || !pseudo_member(p, task, M_TASK_STATE, &ret->state) || !pseudo_member(p, task, M_TASK_ON_RQ, &on_rq)
	    || !pseudo_member(p, task, M_TASK_BLOCKED, &blocked) || !pseudo_member(p, task, M_TASK_PTRACE, &trace))
		return false;
	pseudo_member(p, task, M_TASK_ON_CPU, &on_cpu); /* none without SMP */
	ret->task = task;
	ret->traced = trace;
	ret->flags = (uint32_t)flags;
	ret->exit_state = (uint32_t)exit_state;
	ret->on_cpu = (uint32_t)on_cpu == 1;
	ret->runnable = !ret->state && (uint32_t)on_rq == 1;
	ret->blocked = sig > 0 && sig <= 64 && blocked >> (sig - 1) & 1;
	return true;
}

uint8_t pseudo_threads(const struct gf_pseudo *p, const struct gf_pseudo_victim *v, int sig,
		       bool (*fn)(void *arg, const struct pseudo_thread *t), void *arg)
{
	uint64_t head = v->signal + p->m[M_SIG_THREADS], at = head, next, owner;
	struct pseudo_thread t;

	for (uint32_t n = 0; n < THREADS_MAX; n++) {
		if (!pseudo_get(p, at, 8, &next))
			return GF_REF_TORN;
		if (next == head)
			return GF_REF_NONE;
		if (next < p->m[M_TASK_THREAD_NODE])
			return GF_REF_TORN;
		uint64_t task = next - p->m[M_TASK_THREAD_NODE];
		if (!pseudo_member(p, task, M_TASK_SIGNAL, &owner) || owner != v->signal || !pseudo_thread_read(p, task, sig, &t))
			return GF_REF_TORN;
		if (!t.exit_state && !(t.flags & (PF_EXITING | PF_KTHREAD | PF_IO_WORKER | PF_USER_WORKER)) && !fn(arg, &t))
			return GF_REF_NONE;
		at = next;
	}
	return GF_REF_TORN;
}
