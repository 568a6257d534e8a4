// SPDX-License-Identifier: Dual MIT/GPL
/*
 * One process into its record: what targets/tasks.bpf.c finds out, found out in hard interrupt context.
 *
 * Under RCU a task, its signal_struct and its credentials stay. Its address space and its descriptors stay only while it has
 * them, which alloc_lock guards: it is tried, never waited for (the CPU that holds it may be the one that was
 * interrupted), and a record whose lock was busy says that its memory is not known.
 */
#include "module.h"

#include <linux/cred.h>
#include <linux/fdtable.h>
#include <linux/oom.h>
#include <linux/pid.h>
#include <linux/sched/cputime.h>
#include <linux/sched/coredump.h>
#include <linux/sched/mm.h>
#include <linux/sched/prio.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/timekeeping.h>

#include "compat.h"

#define SUM_TRIES 4
#define LOCK_TRIES 8
#define LOOK_EVERY 32 /* threads, from one look at the clock to the next */

atomic64_t gpufas_count_busy, gpufas_count_long;

#define COUNTERS (GF_REC_CPU | GF_REC_SPLIT | GF_REC_FAULTS | GF_REC_IO)

struct sums {
	u64 run, utime, stime, minflt, majflt, read, write;
	struct task_struct *holder; /* a thread that still has the address space */
};

enum summed { SUM_DONE, SUM_TORN, SUM_LATE };

/* The number that the initial namespace knows a pid by. */
static int number(struct pid *pid)
{
	return pid ? pid->numbers[0].nr : 0;
}

static void fill_identity(struct task_struct *task, struct gf_task_rec *r)
{
	struct signal_struct *sig = task->signal;
	struct task_struct *parent = rcu_dereference(task->real_parent);
	const struct cred *cred = __task_cred(task);
	unsigned int flags = READ_ONCE(task->flags);

	r->start_ns = task->start_boottime;
	r->pid = task->tgid;
	r->ppid = parent->tgid;
	r->exec_tag = READ_ONCE(task->self_exec_id);
	r->pgrp = number(READ_ONCE(sig->pids[PIDTYPE_PGID]));
	r->session = number(READ_ONCE(sig->pids[PIDTYPE_SID]));
	r->euid = __kuid_val(cred->euid);
	r->egid = __kgid_val(cred->egid);
	r->threads = READ_ONCE(sig->nr_threads);
	r->prio = READ_ONCE(task->prio) - MAX_RT_PRIO;
	r->nice = task_nice(task);
	r->policy = READ_ONCE(task->policy);
	r->oom_adj = READ_ONCE(sig->oom_score_adj);
	r->state = task_state_to_char(task);
	memcpy(r->comm, task->comm, sizeof(r->comm)); /* as it is: being set, it may be half of two names */
	r->comm[sizeof(r->comm) - 1] = 0;
	r->have = GF_REC_IDS | GF_REC_ADJ | GF_REC_STAT | GF_REC_UID;
	if (flags & PF_KTHREAD)
		r->flags |= GF_REC_KTHREAD;
	/* A leader that has left while its threads live on: a process all the same. */
	if (!atomic_read(&sig->live) || (flags & PF_EXITING && r->threads <= 1))
		r->flags |= GF_REC_EXITING;
	if (READ_ONCE(sig->flags) & SIGNAL_UNKILLABLE)
		r->flags |= GF_REC_INIT;
	if (READ_ONCE(task->vfork_done) && READ_ONCE(parent->mm) == READ_ONCE(task->mm))
		r->flags |= GF_REC_OOM_SKIP;
}

static void add_thread(struct sums *s, struct task_struct *t)
{
	s->run += READ_ONCE(t->se.sum_exec_runtime);
	s->utime += READ_ONCE(t->utime);
	s->stime += READ_ONCE(t->stime);
	s->minflt += READ_ONCE(t->min_flt);
	s->majflt += READ_ONCE(t->maj_flt);
#ifdef CONFIG_TASK_IO_ACCOUNTING
	s->read += READ_ONCE(t->ioac.read_bytes);
	s->write += READ_ONCE(t->ioac.write_bytes);
#endif
	if (!s->holder && READ_ONCE(t->mm))
		s->holder = t;
}

static void add_dead(struct sums *s, const struct signal_struct *sig)
{
	s->run = READ_ONCE(sig->sum_sched_runtime);
	s->utime = READ_ONCE(sig->utime);
	s->stime = READ_ONCE(sig->stime);
	s->minflt = READ_ONCE(sig->min_flt);
	s->majflt = READ_ONCE(sig->maj_flt);
#ifdef CONFIG_TASK_IO_ACCOUNTING
	s->read = READ_ONCE(sig->ioac.read_bytes);
	s->write = READ_ONCE(sig->ioac.write_bytes);
#endif
}

/*
 * What the living threads count and what the dead have left, as one consistent picture: a thread that dies moves its
 * figures over under stats_lock (kernel/exit.c, __exit_signal). The count is only looked at: where a writer
 * is at it, another try, never a wait.
 */
static enum summed sum_threads(struct task_struct *leader, u64 end, struct sums *s)
{
	struct signal_struct *sig = leader->signal;
	struct task_struct *t;
	unsigned int seq, n;
	int try;

	for (try = 0; try < SUM_TRIES; try++) {
		seq = raw_seqcount_begin(&sig->stats_lock.seqcount);
		memset(s, 0, sizeof(*s));
		add_dead(s, sig);
		n = 0;
		list_for_each_entry_rcu(t, &sig->thread_head, thread_node) {
			add_thread(s, t);
			if (++n % LOOK_EVERY == 0 && ktime_get_mono_fast_ns() >= end)
				return SUM_LATE;
		}
		if (!read_seqcount_retry(&sig->stats_lock.seqcount, seq))
			return SUM_DONE;
	}
	return SUM_TORN;
}

static void fill_sums(const struct sums *s, struct signal_struct *sig, u32 want, struct gf_task_rec *r)
{
	r->run_ns = s->run;
	r->utime_ns = s->utime;
	r->stime_ns = s->stime;
	r->prev_utime_ns = READ_ONCE(sig->prev_cputime.utime);
	r->prev_stime_ns = READ_ONCE(sig->prev_cputime.stime);
	r->minflt = s->minflt;
	r->majflt = s->majflt;
	r->read_bytes = s->read;
	r->write_bytes = s->write;
	r->have |= want & COUNTERS;
	if (!IS_ENABLED(CONFIG_TASK_IO_ACCOUNTING))
		r->have &= ~GF_REC_IO;
}

static void fill_mm(struct mm_struct *mm, u32 want, struct gf_task_rec *r)
{
	r->vsz = READ_ONCE(mm->total_vm);
	r->have |= GF_REC_VSZ;
	if (!(want & (GF_REC_RSS | GF_REC_RSS_SUM | GF_REC_SWAP | GF_REC_PGTABLES | GF_REC_SCORE)))
		return;
	r->file = gpufas_mm_pages(mm, MM_FILEPAGES);
	r->anon = gpufas_mm_pages(mm, MM_ANONPAGES);
	r->swap = gpufas_mm_pages(mm, MM_SWAPENTS);
	r->shmem = gpufas_mm_pages(mm, MM_SHMEMPAGES);
	r->pgtables = mm_pgtables_bytes(mm);
	r->have |= GF_REC_RSS | GF_REC_SWAP | GF_REC_PGTABLES;
	if (gpufas_oom_skip(mm))
		r->flags |= GF_REC_OOM_SKIP;
}

static void fill_fds(struct task_struct *task, struct gf_task_rec *r)
{
	struct files_struct *files = task->files;
	struct fdtable *fdt;
	unsigned int words, i, n = 0;

	if (!files) {
		if (r->flags & (GF_REC_EXITING | GF_REC_KTHREAD))
			r->have |= GF_REC_FDS;
		return;
	}
	fdt = rcu_dereference_raw(files->fdt);
	words = DIV_ROUND_UP(READ_ONCE(fdt->max_fds), BITS_PER_LONG);
	if (words > GF_REC_FD_WORDS)
		return;
	for (i = 0; i < words; i++)
		n += hweight_long(READ_ONCE(fdt->open_fds[i]));
	r->fds = n;
	r->have |= GF_REC_FDS;
}

/* alloc_lock is held: what the task has stays. */
static void fill_locked(struct task_struct *holder, u32 want, struct gf_task_rec *r)
{
	/* What a kernel thread has is borrowed. */
	struct mm_struct *mm = r->flags & GF_REC_KTHREAD ? NULL : holder->mm;

	if (mm) {
		fill_mm(mm, want, r);
	} else {
		r->flags |= GF_REC_NO_MM;
		/* Nothing left to measure, unless threads live on whose memory was not found. */
		if (r->flags & (GF_REC_KTHREAD | GF_REC_EXITING))
			r->have |= GF_REC_RSS | GF_REC_SWAP | GF_REC_PGTABLES | GF_REC_VSZ;
	}
	if (want & GF_REC_FDS)
		fill_fds(holder, r);
}

/* holder: the leader, or where it has left its address space already a thread that has not. */
static void fill_held(struct task_struct *holder, u32 want, struct gf_task_rec *r)
{
	int try;

	for (try = 0; try < LOCK_TRIES; try++) {
		if (spin_trylock(&holder->alloc_lock)) {
			fill_locked(holder, want, r);
			spin_unlock(&holder->alloc_lock);
			return;
		}
		cpu_relax();
	}
	atomic64_inc(&gpufas_count_busy);
}

bool gpufas_record(struct task_struct *leader, u32 want, u64 end, bool alone, struct gf_task_rec *r)
{
	struct task_struct *holder = leader;
	struct sums s;

	memset(r, 0, sizeof(*r));
	fill_identity(leader, r);
	if (want & COUNTERS || (!READ_ONCE(leader->mm) && r->threads > 1)) {
		switch (sum_threads(leader, end, &s)) {
		case SUM_DONE:
			fill_sums(&s, leader->signal, want, r);
			if (!READ_ONCE(leader->mm) && s.holder)
				holder = s.holder;
			break;
		case SUM_TORN:
			r->flags |= GF_REC_TORN;
			break;
		case SUM_LATE:
			if (!alone)
				return false;
			atomic64_inc(&gpufas_count_long);
			break;
		}
	}
	fill_held(holder, want, r);
	return true;
}
