/* SPDX-License-Identifier: MIT
 *
 * One process (a thread group's leader) of a memory target into a record: one lane a process. The same quantities
 * as targets/tasks.bpf.c reads, with the same meaning.
 *
 * When a record is whole. A task_struct is freed by RCU, after it has lost its struct pid (__unhash_process): as
 * long as thread_pid still is that of the walk after everything has been read, all of it was read from a living
 * task. mm and the exec count are compared as well: where another program has taken over, the read is done again.
 * What was torn three times is marked so.
 *
 * How exact. Sums over threads are one consistent picture: they are read under the sequence count under which a
 * dying thread moves its figures into signal_struct (kernel/exit.c, __exit_signal). sum_exec_runtime of a thread
 * that runs just now is as of its last tick or switch: up to one tick behind (4 ms at 250 Hz; on a nohz_full CPU
 * that is never interrupted, up to a second) for each CPU. /proc asks the scheduler, which adds the rest
 * (task_sched_runtime).
 */
#ifndef GPUFAS_TASKS_H
#define GPUFAS_TASKS_H

#include "gpu/taskmem.h"

#define GF_PF_EXITING     0x4u
#define GF_PF_IO_WORKER   0x10u
#define GF_PF_USER_WORKER 0x4000u
#define GF_PF_KTHREAD     0x200000u
#define GF_SIGNAL_UNKILLABLE 0x40u
#define GF_PID_LIMIT 4194304u /* PID_MAX_LIMIT */
#define GF_PID_LEVELS 32u     /* MAX_PID_NS_LEVEL */

enum gf_task_got {
	GF_TASK_OK,
	GF_TASK_GONE, /* it has ended meanwhile, or another thread leads */
	GF_TASK_BAD,  /* there is no such process where the walk has led */
};

/* As fs/proc/array.c, get_task_state(). */
GF_INLINE uint8_t gf_state_letter(uint32_t s, uint32_t exit)
{
	if ((s & 0x402) == 0x402 && !exit)
		return 'I';
	if (s & (0x1000 | 0x8000)) /* waiting for an RT lock; frozen */
		s = 2 | (s & ~0x7fu);
	s = (s | exit) & 0x7f;
	if (s & 0x40)
		return 'P';
	if (s & 0x20)
		return 'Z';
	if (s & 0x10)
		return 'X';
	if (s & 8)
		return 't';
	if (s & 4)
		return 'T';
	if (s & 2)
		return 'D';
	return s & 1 ? 'S' : 'R';
}

/* The number of a struct pid in the initial namespace; 0: none. */
GF_INLINE int32_t gf_pid_nr(const struct gf_task_ctx *c, uint64_t pid)
{
	const uint8_t *p = pid ? gf_obj(c->k, pid, c->l->pid.span) : NULL;
	uint32_t nr = p ? (uint32_t)gf_load(p + c->l->pid.numbers + c->l->pid.upid_nr, 4) : 0;

	return nr <= GF_PID_LIMIT ? (int32_t)nr : 0;
}

/* Whether a process is the first of a pid namespace other than the initial one. */
GF_INLINE int gf_pid_is_first(const struct gf_task_ctx *c, uint64_t pid)
{
	const struct gf_layout_pid *o = &c->l->pid;
	uint64_t level, nr;

	if (gf_kmem_load(c->k, pid + o->level, 4, &level) || !level || level > GF_PID_LEVELS)
		return 0;
	return gf_kmem_load(c->k, pid + o->numbers + level * o->upid_size + o->upid_nr, 4, &nr) == 0 && nr == 1;
}

/* A group's figures so far, and the thread that still has what the leader has given back. */
struct gf_threads {
	uint64_t run, utime, stime, minflt, majflt, rbytes, wbytes;
	const uint8_t *holder; /* task_struct with the address space, mapped */
};

GF_INLINE void gf_thread_add(const struct gf_task_ctx *c, const struct gf_layout_task *o, const struct gf_src t, struct gf_threads *s)
{
	if (c->want & GF_REC_CPU)
		s->run += gf_s64(t, o->sum_exec);
	if (c->want & GF_REC_SPLIT) {
		s->utime += gf_s64(t, o->utime);
		s->stime += gf_s64(t, o->stime);
	}
	if (c->want & GF_REC_FAULTS) {
		s->minflt += gf_s64(t, o->min_flt);
		s->majflt += gf_s64(t, o->maj_flt);
	}
	if (c->want & GF_REC_IO) {
		s->rbytes += gf_s64(t, o->read_bytes);
		s->wbytes += gf_s64(t, o->write_bytes);
	}
	if (!t.still && !s->holder && gf_s64(t, o->mm)) /* what was fetched is no task_struct */
		s->holder = t.p;
}

/* All threads: 0, or -1 when the list does not come back to where it began. */
GF_INLINE int gf_threads_walk(struct gf_task_ctx *c, uint64_t sig, struct gf_threads *s)
{
	uint64_t head = sig + c->l->signal.thread_head, node;

	if (gf_list_next(c->k, head, &node))
		return -1;
	for (uint32_t i = 0; node != head; i++) {
		uint64_t task = node - c->l->task.thread_node;
		const uint8_t *t = gf_obj(c->k, task, c->l->task.span);

		if (i == GF_REC_THREADS || !t || gf_spend(c, 1) || gf_load(t + c->l->task.signal, 8) != sig)
			return -1;
		gf_thread_add(c, &c->l->task, gf_src_at(t), s);
		if (gf_list_next(c->k, node, &node))
			return -1;
	}
	return 0;
}

/* What threads count, the living ones' and what the dead have left; false when the group kept changing. What has been fetched is of one thread. l: where
 * numbers of task and sp are. */
GF_INLINE int gf_threads_sum_of(struct gf_task_ctx *c, const struct gf_layout *l, const struct gf_src task, uint64_t sig, const struct gf_src sp,
				struct gf_threads *s, struct gf_task_rec *r)
{
	const uint32_t counters = GF_REC_CPU | GF_REC_SPLIT | GF_REC_FAULTS | GF_REC_IO;
	const struct gf_layout_signal *o = &l->signal;

	for (uint32_t look = 0; look < 4 && !c->starved; look++) {
		uint32_t before = gf_s32(sp, o->stats_seq);
		struct gf_threads z = { 0 };
		uint32_t have = c->want & counters;

		if (before & 1)
			continue;
		gf_src_fence(sp);
		z.run = gf_s64(sp, o->sum_sched);
		z.utime = gf_s64(sp, o->utime);
		z.stime = gf_s64(sp, o->stime);
		z.minflt = gf_s64(sp, o->min_flt);
		z.majflt = gf_s64(sp, o->maj_flt);
		z.rbytes = gf_s64(sp, o->read_bytes);
		z.wbytes = gf_s64(sp, o->write_bytes);
		if (sp.still || gf_s32(sp, o->nr_threads) <= 1)
			gf_thread_add(c, &l->task, task, &z);
		else if (gf_threads_walk(c, sig, &z))
			continue;
		r->prev_utime_ns = gf_s64(sp, o->prev_utime);
		r->prev_stime_ns = gf_s64(sp, o->prev_stime);
		gf_src_fence(sp);
		if (gf_s32(sp, o->stats_seq) != before)
			continue;
		*s = z;
		if ((z.run | z.utime | z.stime) >> 62)
			return 0; /* a century: no such time */
		r->run_ns = z.run;
		r->utime_ns = z.utime;
		r->stime_ns = z.stime;
		r->minflt = z.minflt;
		r->majflt = z.majflt;
		r->read_bytes = z.rbytes;
		r->write_bytes = z.wbytes;
		if (c->l->task.read_bytes == GF_ABSENT)
			have &= ~(uint32_t)GF_REC_IO;
		r->have |= have;
		return 1;
	}
	return 0;
}

GF_OUTLINE int gf_threads_sum(struct gf_task_ctx *c, const uint8_t *task, uint64_t sig, const uint8_t *sp, struct gf_threads *s,
			     struct gf_task_rec *r)
{
	return gf_threads_sum_of(c, c->l, gf_src_at(task), sig, gf_src_at(sp), s, r);
}

/* What objects that a process points to say of it. */
struct gf_around {
	int32_t ppid, pgrp, session;
	uint32_t creds; /* how many of the next two are known */
	uint32_t euid, egid;
	int first;      /* of a pid namespace */
	int lent;       /* its memory is its parent's, which waits for it */
};

GF_INLINE void gf_read_around(struct gf_task_ctx *c, uint64_t pid, const uint8_t *p, const uint8_t *sp, struct gf_around *a)
{
	const struct gf_layout_task *o = &c->l->task;
	const struct gf_layout_signal *so = &c->l->signal;
	const uint8_t *parent = gf_obj(c->k, gf_load(p + o->real_parent, 8), o->span);
	uint64_t cred = gf_load(p + o->real_cred, 8), v;
	uint32_t n = parent ? gf_u32(parent, o->tgid) : 0;

	a->ppid = n <= GF_PID_LIMIT ? (int32_t)n : 0;
	if (c->want & GF_REC_IDS) {
		a->pgrp = gf_pid_nr(c, gf_load(sp + so->pgid, 8));
		a->session = gf_pid_nr(c, gf_load(sp + so->sid, 8));
	}
	if (cred && !(cred & 7) && !gf_kmem_load(c->k, cred + c->l->files.cred_euid, 4, &v)) {
		a->euid = (uint32_t)v;
		a->creds = 1;
		if (!gf_kmem_load(c->k, cred + c->l->files.cred_egid, 4, &v)) {
			a->egid = (uint32_t)v;
			a->creds = 2;
		}
	}
	a->first = gf_pid_is_first(c, pid);
	a->lent = c->want & GF_REC_PGTABLES && gf_u64(p, o->mm) && gf_u64(p, o->vfork_done) && parent && gf_u64(parent, o->mm) == gf_u64(p, o->mm);
}

/* l: where the numbers of p, the task, and sp, its signal_struct, are. */
GF_INLINE void gf_read_identity(struct gf_task_ctx *c, const struct gf_layout *l, const struct gf_around *a, const struct gf_src p,
				const struct gf_src sp, struct gf_task_rec *r)
{
	const struct gf_layout_task *o = &l->task;
	const struct gf_layout_signal *so = &l->signal;
	uint32_t flags = gf_s32(p, o->flags);

	r->start_ns = gf_s64(p, o->start_boottime);
	r->pid = (int32_t)gf_s32(p, o->tgid);
	r->ppid = a->ppid;
	r->exec_tag = gf_s32(p, o->self_exec_id);
	if (c->want & GF_REC_IDS) {
		r->pgrp = a->pgrp;
		r->session = a->session;
		r->have |= GF_REC_IDS;
	}
	r->euid = a->euid;
	r->egid = a->egid;
	if (a->creds == 2)
		r->have |= GF_REC_UID;
	r->threads = gf_s32(sp, so->nr_threads);
	r->prio = (short)(gf_s32(p, o->prio) - 100u);
	r->nice = (signed char)(gf_s32(p, o->static_prio) - 120u);
	r->policy = (uint8_t)gf_s32(p, o->policy);
	r->oom_adj = (short)gf_src_load(sp, so->oom_score_adj, 2);
	r->state = gf_state_letter(gf_s32(p, o->state), gf_s32(p, o->exit_state));
	gf_src_text(p, o->comm, r->comm);
	r->comm[sizeof r->comm - 1] = 0;
	r->have |= GF_REC_STAT;
	if (r->oom_adj >= -1000 && r->oom_adj <= 1000)
		r->have |= GF_REC_ADJ;
	if (flags & (GF_PF_KTHREAD | GF_PF_USER_WORKER | GF_PF_IO_WORKER))
		r->flags |= GF_REC_KTHREAD;
	/* A leader that has left while its threads live on: a process all the same. */
	if (!gf_s32(sp, so->live) || ((flags & GF_PF_EXITING) && r->threads <= 1))
		r->flags |= GF_REC_EXITING;
	if (gf_s32(sp, so->flags) & GF_SIGNAL_UNKILLABLE || a->first)
		r->flags |= GF_REC_INIT;
	if (a->lent)
		r->flags |= GF_REC_OOM_SKIP;
}

/* True: it has none, and that is all that there is to know. */
GF_INLINE int gf_read_no_memory(uint64_t mm, struct gf_task_rec *r)
{
	if (mm && !(r->flags & GF_REC_KTHREAD))
		return 0;
	r->flags |= GF_REC_NO_MM;
	/* Nothing left to measure, unless threads live on whose memory was not found. */
	if (r->flags & (GF_REC_KTHREAD | GF_REC_EXITING))
		r->have |= GF_REC_RSS | GF_REC_SWAP | GF_REC_PGTABLES | GF_REC_VSZ;
	return 1;
}

GF_INLINE void gf_read_memory(struct gf_task_ctx *c, const uint8_t *p, const struct gf_threads *s, struct gf_task_rec *r)
{
	const uint32_t all = GF_REC_RSS | GF_REC_SWAP | GF_REC_PGTABLES | GF_REC_VSZ;
	const struct gf_layout_task *o = &c->l->task;
	const uint8_t *holder = p;
	uint64_t mm = gf_u64(p, o->mm);

	if (!mm && s->holder) {
		holder = s->holder;
		mm = gf_u64(holder, o->mm);
	}
	if (gf_read_no_memory(mm, r))
		return;
	if (c->want & all)
		gf_read_mm(c, mm, r);
	GF_LOAD_FENCE();
	/* It must be the task's own all the while. */
	if (gf_u64(holder, o->mm) != mm) {
		r->have &= ~all;
		r->flags |= GF_REC_TORN;
	}
}

/* Not &&: all of it is loaded at once. */
GF_INLINE int gf_task_is_of(const struct gf_layout_task *o, const struct gf_src p, uint64_t pid, uint64_t task)
{
	uint64_t own = gf_src_load(p, o->thread_pid, 8), leader = gf_src_load(p, o->group_leader, 8);
	uint32_t tgid = gf_s32(p, o->tgid), tid = gf_s32(p, o->pid);

	return (own == pid) & (leader == task) & (tgid == tid) & (tgid - 1 < GF_PID_LIMIT);
}

GF_INLINE int gf_task_is(const struct gf_layout_task *o, const uint8_t *p, uint64_t pid, uint64_t task)
{
	return gf_task_is_of(o, gf_src_at(p), pid, task);
}

GF_INLINE void gf_read_files(struct gf_task_ctx *c, const uint8_t *holder, struct gf_task_rec *r)
{
	uint64_t files = gf_u64(holder, c->l->task.files);

	if (files)
		gf_read_fds(c, holder, files, r);
	else if (r->flags & (GF_REC_EXITING | GF_REC_KTHREAD))
		r->have |= GF_REC_FDS;
}

/* Reads what c->want asks for of the process that leads `task` and whose struct pid is `pid` (both of the
 * walk). OK: r is filled, r->have says with what, and r->flags whether it is torn. */
GF_OUTLINE enum gf_task_got gf_task_read(struct gf_task_ctx *c, uint64_t pid, uint64_t task, struct gf_task_rec *r)
{
	const uint32_t sums = GF_REC_CPU | GF_REC_SPLIT | GF_REC_FAULTS | GF_REC_IO;
	const struct gf_layout_task *o = &c->l->task;
	const uint8_t *p = gf_obj(c->k, task, o->span);

	if (!p)
		return GF_TASK_BAD;
	for (uint32_t look = 0; look < 3; look++) {
		uint64_t sig = gf_load(p + o->signal, 8), cred = gf_load(p + o->real_cred, 8);
		uint32_t exec = gf_u32(p, o->self_exec_id), flags = gf_u32(p, o->flags);
		const uint8_t *sp = gf_obj(c->k, sig, c->l->signal.span);
		struct gf_threads s = { 0 };
		struct gf_task_rec z = { 0 };
		struct gf_around a = { 0 };

		if (!gf_task_is(o, p, pid, task))
			return GF_TASK_GONE;
		if (!sp)
			return GF_TASK_BAD;
		GF_LOAD_FENCE();
		gf_read_around(c, pid, p, sp, &a);
		gf_read_identity(c, c->l, &a, gf_src_at(p), gf_src_at(sp), &z);
		if ((c->want & sums || (!gf_u64(p, o->mm) && z.threads > 1)) && !gf_threads_sum(c, p, sig, sp, &s, &z))
			z.flags |= GF_REC_TORN;
		gf_read_memory(c, p, &s, &z);
		if (c->want & GF_REC_FDS) {
			const uint8_t *holder = gf_u64(p, o->files) || !s.holder ? p : s.holder;
			gf_read_files(c, holder, &z);
		}
		GF_LOAD_FENCE();
		*r = z;
		if (!gf_task_is(o, p, pid, task))
			return GF_TASK_GONE;
		if (gf_u32(p, o->self_exec_id) != exec || gf_load(p + o->real_cred, 8) != cred || ((gf_u32(p, o->flags) ^ flags) & GF_PF_EXITING))
			r->flags |= GF_REC_TORN;
		if (!(r->flags & GF_REC_TORN) || c->starved)
			break;
	}
	return GF_TASK_OK;
}

#endif
