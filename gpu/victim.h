/* SPDX-License-Identifier: MIT
 *
 * Finding a process in a target's memory by its pid, and judging what its threads are doing. The structures
 * change while they are read: every walk is bounded, and what is found is checked against what led to it.
 */
#ifndef GPUFAS_VICTIM_H
#define GPUFAS_VICTIM_H

#include "gpu/pseudo.h"

#define GF_START_TICK_NS 10000000ull /* of start times in /proc */

#define GF_TASK_EXITING 0x4u
#define GF_TASK_IO_WORKER 0x10u
#define GF_TASK_USER_WORKER 0x4000u /* 6.4 and up; before, of kernel modules' loaders: left alone, too */
#define GF_TASK_KTHREAD 0x200000u
#define GF_TASK_NOT_OURS (GF_TASK_KTHREAD | GF_TASK_IO_WORKER | GF_TASK_USER_WORKER)
#define GF_GROUP_EXIT 0x4u
#define GF_GROUP_UNKILLABLE 0x40u

/* Identity of a process in a target's memory. */
struct gf_pseudo_victim {
	uint64_t task, signal, pid_struct, start;
	int32_t pid;
	uint32_t reserved;
};

/* include/linux/sched/jobctl.h: STOP_DEQUEUED, STOP_PENDING, STOP_CONSUME, STOPPED (since 5.19). */
#define GF_JOBCTL_STOPPING (1ull << 16 | 1ull << 17 | 1ull << 18 | 1ull << 26)

struct gf_pseudo_thread {
	uint64_t task;
	uint64_t state;
	uint32_t flags, exit_state;
	uint8_t on_cpu, runnable, blocked, traced;
	uint32_t stopping, reserved; /* it has taken a stop signal, and is about to stop itself, or has been stopped so before */
};

/* Looks an index up in an idr: entry or 0. An xarray: an entry whose low bits are 10 is a node, unless it is small. */
GF_APART uint64_t gf_ps_idr(const struct gf_pseudo_plain *p, uint64_t head, uint64_t base, uint64_t index)
{
	const uint8_t *at = gf_ps_at(p, head, 8), *base_at = gf_ps_at(p, base, 4);
	uint64_t e, shift, b;
	uint32_t bits = 0;

	while (bits < 8 && 1u << bits < p->slots)
		bits++;
	if (!p->slots || !at || !base_at)
		return 0;
	/* Loads of a target's memory take a microsecond on a device: what does not wait for another is under way beside it, here and below. */
	e = gf_load(at, 8);
	b = gf_load(base_at, 4);
	if (index < b)
		return 0;
	index -= b;
	if ((e & 3) != 2)
		return index ? 0 : e;
	for (int depth = 0; depth < 12 && (e & 3) == 2 && e > 4096; depth++) {
		uint64_t node = e - 2;
		if (!gf_ps_member(p, node, M_XN_SHIFT, &shift) || shift > 60 || (!depth && index >> shift >> bits))
			return 0;
		if (!gf_ps_get(p, node + p->m[M_XN_SLOTS] + (index >> shift & (p->slots - 1)) * 8, 8, &e))
			return 0;
		if (!shift)
			return e & 3 ? 0 : e;
	}
	return 0;
}

GF_APART uint64_t gf_ps_find_pid(const struct gf_pseudo_plain *p, int32_t pid)
{
	uint64_t ns = p->s[S_INIT_PID_NS];

	return gf_ps_idr(p, ns + p->m[M_PIDNS_HEAD], ns + p->m[M_PIDNS_BASE], (uint64_t)pid);
}

/* The leader of the thread group whose number this is. */
GF_APART uint64_t gf_ps_leader(const struct gf_pseudo_plain *p, uint64_t pid_struct)
{
	uint64_t link;

	if (!pid_struct || !gf_ps_member(p, pid_struct, M_PID_TGID, &link) || link < p->m[M_TASK_LINK_TGID])
		return 0;
	return link - p->m[M_TASK_LINK_TGID];
}

/* What is looked at of a thread. TASK_SIGNAL first: whose it is. */
#define GF_THREAD_MEMBERS { M_TASK_SIGNAL, M_TASK_FLAGS, M_TASK_EXIT_STATE, M_TASK_STATE, M_TASK_ON_RQ, M_TASK_BLOCKED, M_TASK_PTRACE, M_TASK_ON_CPU }
enum { GF_TM_SIGNAL, GF_TM_FLAGS, GF_TM_EXIT_STATE, GF_TM_STATE, GF_TM_ON_RQ, GF_TM_BLOCKED, GF_TM_PTRACE, GF_TM_ON_CPU, GF_TM_COUNT };

/* 1; 0: it is not one of that signal_struct's, or not there. */
GF_APART int gf_ps_thread_read(const struct gf_pseudo_plain *p, uint64_t task, uint64_t signal, int sig, struct gf_pseudo_thread *ret)
{
	static const uint8_t which[GF_TM_COUNT] = GF_THREAD_MEMBERS;
	uint64_t v[GF_TM_COUNT], jobctl = 0;

	/* There is no on_cpu without SMP. */
	if (!gf_ps_members(p, task, which, p->msize[M_TASK_ON_CPU] ? GF_TM_COUNT : GF_TM_COUNT - 1, v) || v[GF_TM_SIGNAL] != signal)
		return 0;
	if (!p->msize[M_TASK_ON_CPU])
		v[GF_TM_ON_CPU] = 0;
	if (gf_ps_has(p, PART_FREEZE))
		gf_ps_member(p, task, M_TASK_JOBCTL, &jobctl);
	ret->stopping = (jobctl & GF_JOBCTL_STOPPING) != 0;
	ret->task = task;
	ret->state = v[GF_TM_STATE];
	ret->traced = v[GF_TM_PTRACE] != 0;
	ret->flags = (uint32_t)v[GF_TM_FLAGS];
	ret->exit_state = (uint32_t)v[GF_TM_EXIT_STATE];
	ret->on_cpu = (uint32_t)v[GF_TM_ON_CPU] == 1;
	ret->runnable = !ret->state && (uint32_t)v[GF_TM_ON_RQ] == 1;
	ret->blocked = sig > 0 && sig <= 64 && v[GF_TM_BLOCKED] >> (sig - 1) & 1;
	return 1;
}

/* The live threads of a group, one after the other. */
struct gf_pseudo_walk {
	uint64_t head, at, signal;
	uint32_t n;
};

GF_INLINE void gf_ps_threads(const struct gf_pseudo_plain *p, const struct gf_pseudo_victim *v, struct gf_pseudo_walk *w)
{
	w->head = w->at = v->signal + p->m[M_SIG_THREADS];
	w->signal = v->signal;
	w->n = 0;
}

/* 1: t is the next; 0: there are no more; -1: the list is none. */
GF_APART int gf_ps_thread_next(const struct gf_pseudo_plain *p, struct gf_pseudo_walk *w, int sig, struct gf_pseudo_thread *t)
{
	uint64_t next;

	while (w->n++ < PSEUDO_THREADS) {
		if (!(w->n & 255))
			gf_pulse(p->pulse);
		if (!gf_ps_get(p, w->at, 8, &next))
			return -1;
		if (next == w->head)
			return 0;
		if (next < p->m[M_TASK_THREAD_NODE])
			return -1;
		uint64_t task = next - p->m[M_TASK_THREAD_NODE];
		if (!gf_ps_thread_read(p, task, w->signal, sig, t))
			return -1;
		w->at = next;
		if (!t->exit_state && !(t->flags & (GF_TASK_EXITING | GF_TASK_NOT_OURS)))
			return 1;
	}
	return -1;
}

/* What is looked at of a process. */
#define GF_LEADER_MEMBERS { M_TASK_PID, M_TASK_TGID, M_TASK_START, M_TASK_SIGNAL, M_TASK_FLAGS, M_TASK_EXIT_STATE }
enum { GF_LM_PID, GF_LM_TGID, GF_LM_START, GF_LM_SIGNAL, GF_LM_FLAGS, GF_LM_EXIT_STATE, GF_LM_COUNT };

GF_APART int gf_ps_leader_read(const struct gf_pseudo_plain *p, uint64_t task, uint64_t *ret)
{
	static const uint8_t which[GF_LM_COUNT] = GF_LEADER_MEMBERS;

	return gf_ps_members(p, task, which, GF_LM_COUNT, ret);
}

/* Same process, same memory; then ret is what was seen of its leader. */
GF_APART int gf_ps_is_there(const struct gf_pseudo_plain *p, const struct gf_pseudo_victim *v, uint64_t *ret)
{
	return gf_ps_find_pid(p, v->pid) == v->pid_struct && gf_ps_leader(p, v->pid_struct) == v->task && gf_ps_leader_read(p, v->task, ret)
	       && (int32_t)ret[GF_LM_PID] == v->pid && ret[GF_LM_START] == v->start && ret[GF_LM_SIGNAL] == v->signal;
}

/* A leader that has exited stays until the last of its threads has. */
GF_INLINE int gf_ps_has_exited(const struct gf_pseudo_plain *p, const struct gf_pseudo_victim *v, const uint64_t *leader)
{
	uint64_t threads;

	return leader[GF_LM_EXIT_STATE] && gf_ps_member(p, v->signal, M_SIG_NR_THREADS, &threads) && threads <= 1;
}

GF_APART int gf_ps_gone(const struct gf_pseudo_plain *p, const struct gf_pseudo_victim *v)
{
	uint64_t leader[GF_LM_COUNT];

	/* Twice: a walk may meet the tree of numbers being changed. */
	if (!gf_ps_is_there(p, v, leader) && !gf_ps_is_there(p, v, leader))
		return 1;
	return gf_ps_has_exited(p, v, leader);
}

/* A start time is compared to the clock tick: a sample may have it from elsewhere than this member. */
GF_INLINE int gf_ps_same_start(uint64_t a, uint64_t b)
{
	return a == b || a / GF_START_TICK_NS == b / GF_START_TICK_NS;
}

GF_APART uint8_t gf_ps_find_once(const struct gf_pseudo_plain *p, int32_t pid, uint64_t start_ns, struct gf_pseudo_victim *v, uint64_t *leader)
{
	v->task = v->signal = v->start = 0;
	v->pid = pid;
	v->reserved = 0;
	v->pid_struct = gf_ps_find_pid(p, pid);
	if (!v->pid_struct)
		return GF_REF_GONE;
	v->task = gf_ps_leader(p, v->pid_struct);
	if (!v->task)
		return start_ns ? GF_REF_GONE : GF_REF_IDENTITY; /* of a thread, a group or a session */
	if (!gf_ps_leader_read(p, v->task, leader))
		return GF_REF_TORN;
	v->start = leader[GF_LM_START];
	v->signal = leader[GF_LM_SIGNAL];
	if ((int32_t)leader[GF_LM_PID] != pid || (int32_t)leader[GF_LM_TGID] != pid || !v->signal)
		return GF_REF_TORN;
	return start_ns && !gf_ps_same_start(v->start, start_ns) ? GF_REF_IDENTITY : GF_REF_NONE;
}

/* What may not be touched, whatever the road: by what gf_ps_find_once has just seen of its leader, and its threads. */
GF_APART uint8_t gf_ps_judge(const struct gf_pseudo_plain *p, const struct gf_pseudo_victim *v, const uint64_t *leader)
{
	struct gf_pseudo_thread t;
	struct gf_pseudo_walk w;
	uint64_t sig;
	uint32_t live = 0, traced = 0;
	int r;

	if (gf_ps_has_exited(p, v, leader))
		return GF_REF_GONE;
	if (!gf_ps_member(p, v->signal, M_SIG_FLAGS, &sig))
		return GF_REF_TORN;
	if (leader[GF_LM_FLAGS] & GF_TASK_NOT_OURS)
		return GF_REF_KTHREAD;
	if (sig & GF_GROUP_UNKILLABLE || v->pid == 1)
		return GF_REF_INIT;
	if (sig & GF_GROUP_EXIT)
		return GF_REF_EXITING;
	gf_ps_threads(p, v, &w);
	while ((r = gf_ps_thread_next(p, &w, 0, &t)) > 0) {
		live++;
		traced |= t.traced;
	}
	if (r)
		return GF_REF_TORN;
	return !live ? GF_REF_EXITING : traced ? GF_REF_TRACED : GF_REF_NONE;
}

/* 0 or enum gf_refused. start_ns 0: whoever has the pid. */
GF_APART uint8_t gf_ps_find(const struct gf_pseudo_plain *p, int32_t pid, uint64_t start_ns, struct gf_pseudo_victim *ret)
{
	uint64_t leader[GF_LM_COUNT];
	uint8_t r = GF_REF_TORN;

	for (int tries = 0; tries < 4 && r == GF_REF_TORN; tries++) {
		r = gf_ps_find_once(p, pid, start_ns, ret, leader);
		if (!r)
			r = gf_ps_judge(p, ret, leader);
	}
	return r;
}

/* Still that process, and not gone: right before a store. */
GF_APART uint8_t gf_ps_same(const struct gf_pseudo_plain *p, const struct gf_pseudo_victim *v)
{
	uint64_t leader[GF_LM_COUNT], sig;

	if (!gf_ps_is_there(p, v, leader))
		return GF_REF_GONE;
	if (!gf_ps_member(p, v->signal, M_SIG_FLAGS, &sig))
		return GF_REF_TORN;
	if (leader[GF_LM_FLAGS] & GF_TASK_NOT_OURS)
		return GF_REF_KTHREAD;
	if (sig & GF_GROUP_UNKILLABLE)
		return GF_REF_INIT;
	return sig & GF_GROUP_EXIT ? GF_REF_EXITING : GF_REF_NONE;
}

/* The group has taken what ends it. */
GF_INLINE int gf_ps_group_exits(const struct gf_pseudo_plain *p, const struct gf_pseudo_victim *v)
{
	uint64_t flags;

	return gf_ps_member(p, v->signal, M_SIG_FLAGS, &flags) && flags & GF_GROUP_EXIT;
}

/* Still one of the victim's threads, not exiting. */
GF_APART int gf_ps_thread_there(const struct gf_pseudo_plain *p, const struct gf_pseudo_victim *v, uint64_t task, int sig,
				 struct gf_pseudo_thread *t)
{
	return gf_ps_thread_read(p, task, v->signal, sig, t) && !t->exit_state && !(t->flags & GF_TASK_EXITING);
}

#endif
