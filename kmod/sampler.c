// SPDX-License-Identifier: Dual MIT/GPL
/*
 * Every CPU's timer comes by here. If a slice of the pass is due and no other CPU is at it, it does that slice. Nobody waits
 * for anybody.
 *
 * A pass walks the pids of the initial namespace in order of their numbers, from a cursor that is a number: between
 * two slices nothing is held. It fills one of three tables. `lead` says which is being filled; a walk has one owner
 * at a time (walk.owner), who alone touches it and its table. Should the owner stop in the middle of a slice (a virtual
 * CPU that is not run any more) another CPU leaves it that table, begins a new pass in one that is free, and moves
 * `lead` there. When the old owner comes back it finds that it does not lead any more, and lets go.
 */
#include "pass.h"

#include <linux/delay.h>
#include <linux/idr.h>
#include <linux/irqflags.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/smp.h>
#include <linux/timekeeping.h>

#include "compat.h"

#define LOOK_EVERY 16       /* pids of no process, from one look at the clock to the next */

static struct gpufas_walk walks[GPUFAS_TABLES];
static atomic_t lead = ATOMIC_INIT(0);

static u64 now_mono(void)
{
	return ktime_get_mono_fast_ns();
}

static void keep_max(atomic64_t *max, u64 v)
{
	s64 old = atomic64_read(max);

	while ((u64)old < v && !atomic64_try_cmpxchg(max, &old, v))
		;
}

static void begin(struct gpufas_region *r, int i, u64 now)
{
	struct gpufas_walk *w = &walks[i];

	w->begun_ns = now;
	w->first_ns = ktime_get_boot_fast_ns();
	w->work_ns = 0;
	w->step_ns /= 2;
	w->cursor = 1;
	w->all = false;
	w->slices = w->count = w->pids = 0;
	w->want = READ_ONCE(r->control->want);
	memset(&w->tally, 0, sizeof(w->tally));
	memset(&w->sums, 0, sizeof(w->sums));
	w->tally.by_thread = READ_ONCE(r->control->flags) & GPUFAS_COUNT_THREADS;
	gpufas_table_begin(r, i, w);
}

/* A walk that nobody owns, for the next pass: the table that readers need least. The caller's own if there is no other. Not the one that leads
 * by now, which nobody owns between two slices: it becomes the lead only by who owns it, so that the look at it holds. */
static int next_walk(int mine, int me)
{
	int k, i;

	for (k = 1; k < GPUFAS_TABLES; k++) {
		i = (mine + k) % GPUFAS_TABLES;
		if (atomic_cmpxchg_acquire(&walks[i].owner, 0, me))
			continue;
		if (atomic_read(&lead) != i)
			return i;
		atomic_set_release(&walks[i].owner, 0);
	}
	return mine;
}

/* All pids have been looked at. Moving `lead` is what makes the pass count: who has lost it has lost the pass. */
static void finish(struct gpufas_region *r, int i, u64 now, int me)
{
	struct gpufas_walk *w = &walks[i];
	u64 due = w->begun_ns + gpufas_period_ns(r);
	int next;

	w->all = false;
	if (atomic_read(&lead) != i) { /* given up meanwhile */
		w->begun_ns = 0;
		return;
	}
	next = next_walk(i, me);
	if (due <= now) /* it took longer than a period: no faster than one after the other */
		due = now + gpufas_slice_ns() * GPUFAS_GAP_SLICES;
	if (next != i) {
		WRITE_ONCE(walks[next].beat_ns, now);
		walks[next].begun_ns = 0;
	}
	WRITE_ONCE(walks[next].due_ns, due);
	if (atomic_cmpxchg(&lead, i, next) == i)
		gpufas_publish(r, i, w, now);
	if (next != i)
		atomic_set_release(&walks[next].owner, 0);
	else
		w->begun_ns = 0;
}

static void count_thread(struct gpufas_walk *w, struct pid *pid)
{
	struct task_struct *t = pid_task(pid, PIDTYPE_PID);

	if (!t)
		return;
	if (gpufas_runnable(t))
		w->tally.running++;
	else if (t->in_iowait)
		w->tally.blocked++;
}

/* False: there was no time for it in this slice. */
static bool take_process(struct gpufas_region *r, int i, struct task_struct *leader, u64 end, bool alone)
{
	struct gpufas_walk *w = &walks[i];
	struct gf_task_rec rec;

	if (!gpufas_record(leader, w->want, end, alone, &rec))
		return false;
	w->tally.tasks++;
	w->tally.threads += rec.threads;
	if (w->count < r->rows)
		((struct gf_task_rec *)(r->table[i] + 1))[w->count++] = rec;
	return true;
}

/* Goes on with walk i, which the caller owns, for as long as there is time for another process. True when all pids have been looked at. */
static bool walk_on(struct gpufas_region *r, int i, u64 end)
{
	struct gpufas_walk *w = &walks[i];
	struct task_struct *leader;
	struct pid *pid;
	bool alone = true;
	u64 now, before = now_mono();

	while ((pid = idr_get_next(&init_pid_ns.idr, &w->cursor))) {
		leader = pid_task(pid, PIDTYPE_TGID);
		if (leader && !take_process(r, i, leader, end, alone))
			return false;
		if (w->tally.by_thread)
			count_thread(w, pid);
		w->cursor++;
		w->pids++;
		alone = false;
		if (!leader && w->pids % LOOK_EVERY)
			continue;
		now = now_mono();
		WRITE_ONCE(w->beat_ns, now);
		/* One that took very long was not the process' fault: its CPU was not run. */
		w->step_ns = max(w->step_ns, min(now - before, gpufas_slice_ns() / 8));
		before = now;
		if (now + w->step_ns >= end || atomic_read(&lead) != i)
			return false;
	}
	w->last_ns = ktime_get_boot_fast_ns();
	return true;
}

/* A little is kept for the end of a slice, and an eighth for showing the table: where that is not left it is shown in the next one. */
static void slice(struct gpufas_region *r, int i, u64 start, u64 end, int me)
{
	struct gpufas_walk *w = &walks[i];
	u64 now, length = gpufas_slice_ns(), show = end - length / 8;

	if (!w->begun_ns) {
		if (w->due_ns && start > w->due_ns + gpufas_period_ns(r))
			atomic64_inc(&gpufas_stat.late);
		begin(r, i, start);
	} else if (w->last_cpu != me && start > w->due_ns + length * GPUFAS_GAP_SLICES) {
		atomic64_inc(&gpufas_stat.takeovers);
	}
	w->last_cpu = me;
	w->slices++;
	rcu_read_lock();
	w->all = w->all || walk_on(r, i, end - length / 32);
	rcu_read_unlock();
	now = now_mono();
	w->work_ns += now - start;
	WRITE_ONCE(w->due_ns, now + length * (GPUFAS_GAP_SLICES - 1));
	if (w->all && gpufas_host_sum(&w->sums, show) && now_mono() < show)
		finish(r, i, now, me);
	now = now_mono();
	atomic64_inc(&gpufas_stat.slices);
	atomic64_add(now - start, &gpufas_stat.slice_ns);
	keep_max(&gpufas_stat.slice_max_ns, now - start);
}

/* The owner of the pass has stopped: begin another, in a table that is free. */
static void take_over(struct gpufas_region *r, int i, u64 now, u64 end, int me)
{
	int j = next_walk(i, me);

	if (j == i)
		return; /* every table is held by a CPU that has stopped in it */
	WRITE_ONCE(walks[j].due_ns, now);
	walks[j].begun_ns = 0;
	WRITE_ONCE(walks[j].beat_ns, now);
	if (atomic_cmpxchg(&lead, i, j) == i) {
		atomic64_inc(&gpufas_stat.lost);
		slice(r, j, now, end, me);
	}
	atomic_set_release(&walks[j].owner, 0);
}

u64 gpufas_sample(struct gpufas_region *r, u64 now, u64 end, bool at_once)
{
	int i = atomic_read(&lead), me = raw_smp_processor_id() + 1;
	struct gpufas_walk *w = &walks[i];

	if (!at_once && now < READ_ONCE(w->due_ns))
		return READ_ONCE(w->due_ns);
	if (now + gpufas_slice_ns() / 4 > end)
		return now; /* the mailbox has taken it all: next time */
	if (!atomic_cmpxchg_acquire(&w->owner, 0, me)) {
		WRITE_ONCE(w->beat_ns, now);
		if (atomic_read(&lead) == i)
			slice(r, i, now, end, me);
		atomic_set_release(&w->owner, 0);
	} else if (now > READ_ONCE(w->beat_ns) + GPUFAS_LOST_NS) {
		take_over(r, i, now, end, me);
	}
	return READ_ONCE(walks[atomic_read(&lead)].due_ns);
}

void gpufas_sample_reset(void)
{
	memset(walks, 0, sizeof(walks));
	atomic_set(&lead, 0);
}

int gpufas_sampler_pass(struct gpufas_region *r)
{
	u64 want = atomic64_read(&gpufas_stat.passes) + 1;
	int i = atomic_read(&lead);

	if (READ_ONCE(walks[i].begun_ns))
		want++; /* the one under way has begun before */
	while ((u64)atomic64_read(&gpufas_stat.passes) < want) {
		u64 before = atomic64_read(&gpufas_stat.slices), now;

		local_irq_disable();
		now = now_mono();
		gpufas_sample(r, now, now + gpufas_slice_ns(), true);
		local_irq_enable();
		if (signal_pending(current))
			return -EINTR;
		if ((u64)atomic64_read(&gpufas_stat.slices) == before)
			usleep_range(50, 200); /* another CPU is at it */
		else
			cond_resched();
	}
	return 0;
}
