/* SPDX-License-Identifier: MIT
 *
 * Finding a process in a target's memory by its pid, and judging what its threads are doing. The structures
 * change while they are read: every walk is bounded, and what is found is checked against what led to it.
 *
 * Whether a process is (still) there its own structures say, without the tree of numbers (gf_ps_leads): of a task and a struct pid that somebody
 * names, a sampler or an earlier look, one look sees that
 *   the task's thread_pid is that struct pid, and the struct pid's first thread group is this very task: each names the other;
 *   its pid and tgid are the number that is meant; and its start time and its signal_struct, where they are known, are those.
 * That is no less than what the tree says. The tree has a struct pid from before the task is attached to it (alloc_pid) until after it has been detached
 * (free_pid, from __change_pid, when nobody is attached any more): who is attached is in the tree, under the number that task->pid is.
 *   Exit and reaping.   __unhash_process() sets thread_pid to NULL and empties the struct pid's list before either is freed, by RCU: memory that has been
 *                       freed, and not been used since, says so itself.
 *   Memory used anew.   Whoever has it now has another start time, or another number; and does not get it sooner than a grace period after the
 *                       above: the words of one look, a few microseconds, are of one owner. (Who is switched out in
 *                       the middle of one sees it as late as that; what is stored is stored soon after a look, or not: gf_delivery_fresh.)
 *   Exec by a thread.   de_thread() exchanges struct pids and numbers between it and the old leader, which is then reaped: the old leader's task no
 *                       longer has the number, nor the struct pid. Then, as whenever anything of this does not hold, the tree is asked, and has the last word.
 * Who names the two need not be believed: a wrong hint is one look in vain.
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

GF_INLINE const uint8_t *gf_ps_slot(const struct gf_pseudo_plain *p, uint64_t node, uint64_t slot)
{
	return gf_ps_at(p, node + p->m[M_XN_SLOTS] + (slot & (p->slots - 1)) * 8, 8);
}

/* Looks an index up in an idr: entry or 0. An xarray: an entry whose low bits are 10 is a node, unless it is small. */
GF_APART uint64_t gf_ps_idr(const struct gf_pseudo_plain *p, uint64_t head, uint64_t base, uint64_t index)
{
	const uint8_t *at = gf_ps_at(p, head, 8), *base_at = gf_ps_at(p, base, 4);
	uint64_t e, shift, b;
	uint32_t bits = 0, below = 0;

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
		const uint8_t *level = p->msize[M_XN_SHIFT] ? gf_ps_at(p, node + p->m[M_XN_SHIFT], 1) : NULL;
		/* Below the root a node's level is one less, most often: then its slot is known before it has said so. */
		const uint8_t *slot = depth ? gf_ps_slot(p, node, index >> below) : level;

		if (!level || !slot)
			return 0;
		shift = gf_load(level, 1);
		e = gf_load(slot, depth ? 8 : 1);
		if (shift > 60 || (!depth && index >> shift >> bits))
			return 0;
		if (!depth || shift != below) {
			slot = gf_ps_slot(p, node, index >> shift);
			if (!slot)
				return 0;
			e = gf_load(slot, 8);
		}
		if (!shift)
			return e & 3 ? 0 : e;
		below = shift > bits ? (uint32_t)shift - bits : 0;
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

/* What is looked at of a thread. TASK_SIGNAL first: whose it is. The last are not in every kernel. */
#define GF_THREAD_MEMBERS { M_TASK_SIGNAL, M_TASK_FLAGS, M_TASK_EXIT_STATE, M_TASK_STATE, M_TASK_ON_RQ, M_TASK_BLOCKED, M_TASK_PTRACE, M_TASK_THREAD_NODE, M_TASK_ON_CPU, M_TASK_JOBCTL }
enum { GF_TM_SIGNAL, GF_TM_FLAGS, GF_TM_EXIT_STATE, GF_TM_STATE, GF_TM_ON_RQ, GF_TM_BLOCKED, GF_TM_PTRACE, GF_TM_NEXT, GF_TM_ON_CPU, GF_TM_JOBCTL, GF_TM_COUNT };
GF_STATIC_ASSERT(GF_TM_COUNT <= PSEUDO_TOGETHER, "a thread is looked at in one go");

/* 1; 0: it is not one of that signal_struct's, or not there. ret_next: what its list goes on with. */
GF_APART int gf_ps_thread_look(const struct gf_pseudo_plain *p, uint64_t task, uint64_t signal, int sig, struct gf_pseudo_thread *ret, uint64_t *ret_next)
{
	static const uint8_t which[GF_TM_COUNT] = GF_THREAD_MEMBERS;
	uint64_t v[GF_TM_COUNT];

	/* There is no on_cpu without SMP; where it is, it must be readable. */
	if (!gf_ps_members(p, task, which, gf_ps_has(p, PART_FREEZE) ? GF_TM_COUNT : GF_TM_JOBCTL, p->msize[M_TASK_ON_CPU] ? GF_TM_JOBCTL : GF_TM_ON_CPU, v)
	    || v[GF_TM_SIGNAL] != signal)
		return 0;
	if (!gf_ps_has(p, PART_FREEZE))
		v[GF_TM_JOBCTL] = 0;
	ret->stopping = (v[GF_TM_JOBCTL] & GF_JOBCTL_STOPPING) != 0;
	ret->task = task;
	ret->state = v[GF_TM_STATE];
	ret->traced = v[GF_TM_PTRACE] != 0;
	ret->flags = (uint32_t)v[GF_TM_FLAGS];
	ret->exit_state = (uint32_t)v[GF_TM_EXIT_STATE];
	ret->on_cpu = (uint32_t)v[GF_TM_ON_CPU] == 1;
	ret->runnable = !ret->state && (uint32_t)v[GF_TM_ON_RQ] == 1;
	ret->blocked = sig > 0 && sig <= 64 && v[GF_TM_BLOCKED] >> (sig - 1) & 1;
	*ret_next = v[GF_TM_NEXT];
	return 1;
}

GF_INLINE int gf_ps_thread_read(const struct gf_pseudo_plain *p, uint64_t task, uint64_t signal, int sig, struct gf_pseudo_thread *ret)
{
	uint64_t next;

	return gf_ps_thread_look(p, task, signal, sig, ret, &next);
}

/* The live threads of a group, one after the other. */
struct gf_pseudo_walk {
	uint64_t head, signal;
	uint64_t next; /* as it was read beside what was before it; 0: to be read at the head */
	uint32_t n;
};

GF_INLINE void gf_ps_threads(const struct gf_pseudo_plain *p, const struct gf_pseudo_victim *v, struct gf_pseudo_walk *w)
{
	w->head = v->signal + p->m[M_SIG_THREADS];
	w->signal = v->signal;
	w->next = 0;
	w->n = 0;
}

/* 1: t is the next; 0: there are no more; -1: the list is none. */
GF_APART int gf_ps_thread_next(const struct gf_pseudo_plain *p, struct gf_pseudo_walk *w, int sig, struct gf_pseudo_thread *t)
{
	while (w->n++ < PSEUDO_THREADS) {
		if (!(w->n & 255))
			gf_pulse(p->pulse);
		if (!(w->n & 15) && p->walked)
			*p->walked += 16;
		if (!w->next && !gf_ps_get(p, w->head, 8, &w->next))
			return -1;
		if (w->next == w->head)
			return 0;
		if (w->next < p->m[M_TASK_THREAD_NODE])
			return -1;
		if (!gf_ps_thread_look(p, w->next - p->m[M_TASK_THREAD_NODE], w->signal, sig, t, &w->next) || !w->next)
			return -1;
		if (!t->exit_state && !(t->flags & (GF_TASK_EXITING | GF_TASK_NOT_OURS)))
			return 1;
	}
	return -1;
}

/* What is looked at of a process. The last is not in every kernel. */
#define GF_LEADER_MEMBERS { M_TASK_PID, M_TASK_TGID, M_TASK_START, M_TASK_SIGNAL, M_TASK_FLAGS, M_TASK_EXIT_STATE, M_TASK_THREAD_PID }
enum { GF_LM_PID, GF_LM_TGID, GF_LM_START, GF_LM_SIGNAL, GF_LM_FLAGS, GF_LM_EXIT_STATE, GF_LM_THREAD_PID, GF_LM_COUNT };

GF_APART int gf_ps_leader_look(const struct gf_pseudo_plain *p, uint64_t task, const uint8_t *also, uint64_t *ret, uint64_t *ret_also)
{
	static const uint8_t which[GF_LM_COUNT] = GF_LEADER_MEMBERS;

	return gf_ps_members_and(p, task, which, GF_LM_COUNT, GF_LM_THREAD_PID, also, ret, ret_also);
}

GF_INLINE int gf_ps_leader_read(const struct gf_pseudo_plain *p, uint64_t task, uint64_t *ret)
{
	return gf_ps_leader_look(p, task, NULL, ret, NULL);
}

/* 1: this task leads the process of this number and this struct pid, by what the two say of each other: see above. Then ret is what was seen of it. */
GF_APART int gf_ps_leads(const struct gf_pseudo_plain *p, uint64_t task, uint64_t pid_struct, int32_t pid, uint64_t *ret)
{
	const uint8_t *at;
	uint64_t link = 0;

	if (!task || !pid_struct || pid <= 0 || p->msize[M_TASK_THREAD_PID] != 8)
		return 0;
	at = gf_ps_at(p, pid_struct + p->m[M_PID_TGID], 8);
	return at && gf_ps_leader_look(p, task, at, ret, &link) && ret[GF_LM_THREAD_PID] == pid_struct && link == task + p->m[M_TASK_LINK_TGID]
	       && (int32_t)ret[GF_LM_PID] == pid && (int32_t)ret[GF_LM_TGID] == pid && ret[GF_LM_SIGNAL];
}

/* Same process, same memory; then ret is what was seen of its leader. */
GF_APART int gf_ps_is_there(const struct gf_pseudo_plain *p, const struct gf_pseudo_victim *v, uint64_t *ret)
{
	int leads = gf_ps_leads(p, v->task, v->pid_struct, v->pid, ret);

	if (!leads)
		leads = gf_ps_find_pid(p, v->pid) == v->pid_struct && gf_ps_leader(p, v->pid_struct) == v->task && gf_ps_leader_read(p, v->task, ret);
	return leads && (int32_t)ret[GF_LM_PID] == v->pid && ret[GF_LM_START] == v->start && ret[GF_LM_SIGNAL] == v->signal;
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

/* Where a process was a moment ago; task 0: nobody knows. */
struct gf_pseudo_hint {
	uint64_t task, pid_struct;
};

GF_APART uint8_t gf_ps_find_once(const struct gf_pseudo_plain *p, int32_t pid, uint64_t start_ns, const struct gf_pseudo_hint *hint,
				 struct gf_pseudo_victim *v, uint64_t *leader)
{
	v->task = v->signal = v->start = 0;
	v->pid = pid;
	v->reserved = 0;
	if (hint && hint->task && start_ns && gf_ps_leads(p, hint->task, hint->pid_struct, pid, leader) && gf_ps_same_start(leader[GF_LM_START], start_ns)) {
		v->task = hint->task;
		v->pid_struct = hint->pid_struct;
		v->start = leader[GF_LM_START];
		v->signal = leader[GF_LM_SIGNAL];
		return GF_REF_NONE;
	}
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
	static const uint8_t which[] = { M_SIG_FLAGS, M_SIG_THREADS };
	struct gf_pseudo_thread t;
	struct gf_pseudo_walk w;
	uint64_t group[2], sig;
	uint32_t live = 0, traced = 0;
	int r;

	if (gf_ps_has_exited(p, v, leader))
		return GF_REF_GONE;
	if (!gf_ps_members(p, v->signal, which, 2, 2, group))
		return GF_REF_TORN;
	sig = group[0];
	if (leader[GF_LM_FLAGS] & GF_TASK_NOT_OURS)
		return GF_REF_KTHREAD;
	if (sig & GF_GROUP_UNKILLABLE || v->pid == 1)
		return GF_REF_INIT;
	if (sig & GF_GROUP_EXIT)
		return GF_REF_EXITING;
	gf_ps_threads(p, v, &w);
	w.next = group[1];
	while ((r = gf_ps_thread_next(p, &w, 0, &t)) > 0) {
		live++;
		traced |= t.traced;
	}
	if (r)
		return GF_REF_TORN;
	return !live ? GF_REF_EXITING : traced ? GF_REF_TRACED : GF_REF_NONE;
}

/* 0 or enum gf_refused. start_ns 0: whoever has the pid. hint: NULL, or where it may be. */
GF_APART uint8_t gf_ps_find(const struct gf_pseudo_plain *p, int32_t pid, uint64_t start_ns, const struct gf_pseudo_hint *hint, struct gf_pseudo_victim *ret)
{
	uint64_t leader[GF_LM_COUNT];
	uint8_t r = GF_REF_TORN;

	for (int tries = 0; tries < 4 && r == GF_REF_TORN; tries++) {
		r = gf_ps_find_once(p, pid, start_ns, tries ? NULL : hint, ret, leader);
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
