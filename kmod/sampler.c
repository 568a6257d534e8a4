// SPDX-License-Identifier: Dual MIT/GPL
/*
 * A timer on each CPU, in hard interrupt context. Each notes that its CPU lives, looks into the mailbox, and if a slice of
 * the pass is due and no other CPU is at it, does that slice. So the work goes on as long as any CPU takes
 * timer interrupts, and nobody waits for anybody.
 *
 * A pass walks the pids of the initial namespace in order of their numbers, from a cursor that is a number: between
 * two slices nothing is held. It fills one of three tables. `lead` says which is being filled; a walk has one owner
 * at a time (walk.owner), who alone touches it and its table. Should the owner stop in the middle of a slice (a virtual
 * CPU that is not run any more) another CPU leaves it that table, begins a new pass in one that is free, and moves
 * `lead` there. When the old owner comes back it finds that it does not lead any more, and lets go.
 */
#include "module.h"

#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/idr.h>
#include <linux/irqflags.h>
#include <linux/kernel_stat.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/smp.h>
#include <linux/tick.h>
#include <linux/timekeeping.h>
#include <asm/irq_regs.h>

#include "compat.h"

#define PERIOD_NS 100000000ull
#define POLL_NS 10000000ull
#define GAP_SLICES 5        /* a pass uses a fifth of a CPU while it runs */
#define LOST_NS 200000000ull /* an owner that has done nothing for so long is given up */
#define LOOK_EVERY 16       /* pids of no process, from one look at the clock to the next */
#define MOST_VERDICTS 8     /* in one interrupt */

struct walk {
	atomic_t owner; /* CPU + 1, 0: none */
	u64 beat_ns;    /* when the owner last did something */
	u64 due_ns;     /* when the next slice is due; monotonic, as all times here but in tables */
	u64 begun_ns;   /* 0: the next slice is the first */
	u64 work_ns;
	u64 first_ns;   /* boot time */
	u64 seq;        /* the table's */
	int cursor;
	int last_cpu;
	u32 want, slices, count, pids;
	struct gpufas_tally tally;
};

struct cpu_state {
	struct hrtimer timer;
	u64 beats, irq_ns, irq_max_ns;
	u64 same_ns, resched_ns, kernel_ns, iowait_ns;
	u64 switches;
	struct task_struct *task; /* only compared */
};

static DEFINE_PER_CPU(struct cpu_state, cpu_state);
static struct walk walks[GPUFAS_TABLES];
static atomic_t lead = ATOMIC_INIT(0);
static struct gpufas_region *region; /* set while timers run */
static bool running;                 /* under cpus_read_lock() */
static enum cpuhp_state hp_state;

static struct {
	atomic64_t slices, slice_ns, slice_max_ns, passes, takeovers, lost, late;
	u64 pass_ns, pass_span_ns, pids;
	atomic_t filling;
} stat;

static u64 now_mono(void)
{
	return ktime_get_mono_fast_ns();
}

static u64 bounded(u64 v, u64 fallback, u64 least, u64 most)
{
	return v ? clamp(v, least, most) : fallback;
}

static u64 period_ns(const struct gpufas_region *r)
{
	return bounded(READ_ONCE(r->control->period_ns), PERIOD_NS, GPUFAS_PERIOD_MIN_NS, GPUFAS_PERIOD_MAX_NS);
}

static u64 poll_ns(const struct gpufas_region *r)
{
	return bounded(READ_ONCE(r->control->poll_ns), POLL_NS, GPUFAS_POLL_MIN_NS, GPUFAS_POLL_MAX_NS);
}

static void keep_max(atomic64_t *max, u64 v)
{
	s64 old = atomic64_read(max);

	while ((u64)old < v && !atomic64_try_cmpxchg(max, &old, v))
		;
}

/* ---- a pass ---- */

static void begin(struct gpufas_region *r, int i, u64 now)
{
	struct walk *w = &walks[i];
	struct gpufas_table *t = r->table[i];

	w->begun_ns = now;
	w->first_ns = ktime_get_boot_fast_ns();
	w->work_ns = 0;
	w->cursor = 1;
	w->slices = w->count = w->pids = 0;
	w->want = READ_ONCE(r->control->want);
	memset(&w->tally, 0, sizeof(w->tally));
	w->tally.by_thread = READ_ONCE(r->control->flags) & GPUFAS_COUNT_THREADS;
	w->seq |= 1;
	WRITE_ONCE(t->seq, w->seq);
	smp_wmb();
}

static void finish_table(struct gpufas_region *r, int i, u64 pass)
{
	struct walk *w = &walks[i];
	struct gpufas_table *t = r->table[i];

	t->pass = pass;
	t->first_ns = w->first_ns;
	t->last_ns = ktime_get_boot_fast_ns();
	t->count = w->count;
	t->total = w->tally.tasks;
	t->threads = w->tally.threads;
	t->want = w->want;
	t->slices = w->slices;
	t->last_cpu = raw_smp_processor_id();
	t->work_ns = w->work_ns;
	smp_wmb();
	w->seq++;
	WRITE_ONCE(t->seq, w->seq);
}

static void publish_counters(struct gpufas_region *r)
{
	struct gpufas_header *h = r->header;
	struct gpufas_counters c = {};
	int cpu;

	for_each_possible_cpu(cpu) {
		const struct cpu_state *s = per_cpu_ptr(&cpu_state, cpu);

		c.irqs += READ_ONCE(s->beats);
		c.irq_ns += READ_ONCE(s->irq_ns);
		c.irq_max_ns = max(c.irq_max_ns, READ_ONCE(s->irq_max_ns));
	}
	c.slices = atomic64_read(&stat.slices);
	c.slice_ns = atomic64_read(&stat.slice_ns);
	c.slice_max_ns = atomic64_read(&stat.slice_max_ns);
	c.passes = atomic64_read(&stat.passes);
	c.takeovers = atomic64_read(&stat.takeovers);
	c.lost = atomic64_read(&stat.lost);
	c.late = atomic64_read(&stat.late);
	c.pass_ns = stat.pass_ns;
	c.pass_span_ns = stat.pass_span_ns;
	c.pids = stat.pids;
	c.busy = atomic64_read(&gpufas_count_busy);
	c.long_groups = atomic64_read(&gpufas_count_long);
	gpufas_mailbox_count(&c);
	h->count = c;
	gpufas_guard_budget(&h->budget_left, &h->budget_ns);
	WRITE_ONCE(h->wall_ns, ktime_get_real_fast_ns() - ktime_get_boot_fast_ns());
	WRITE_ONCE(h->period_ns, period_ns(r));
	WRITE_ONCE(h->poll_ns, poll_ns(r));
	WRITE_ONCE(h->slice_ns, gpufas_slice_ns());
	WRITE_ONCE(h->want, READ_ONCE(r->control->want));
}

static void publish_host(struct gpufas_region *r, const struct walk *w)
{
	u64 iowait = 0;
	int cpu;

	/* Held by a CPU that was stopped: what is there grows old, and says so. */
	if (atomic_cmpxchg_acquire(&stat.filling, 0, 1))
		return;
	for_each_possible_cpu(cpu)
		iowait += READ_ONCE(per_cpu_ptr(&cpu_state, cpu)->iowait_ns);
	gpufas_host_fill(r, &w->tally, iowait);
	publish_counters(r);
	atomic_set_release(&stat.filling, 0);
}

/* A walk that nobody owns, for the next pass: the table that readers need least. The caller's own if there is no other. */
static int next_walk(int mine, int me)
{
	int k, i;

	for (k = 1; k < GPUFAS_TABLES; k++) {
		i = (mine + k) % GPUFAS_TABLES;
		if (!atomic_cmpxchg_acquire(&walks[i].owner, 0, me))
			return i;
	}
	return mine;
}

/* All pids have been looked at. Moving `lead` is what makes the pass count: who has lost it has lost the pass. */
static void finish(struct gpufas_region *r, int i, u64 now, int me)
{
	struct walk *w = &walks[i];
	u64 period = period_ns(r), due = w->begun_ns + period;
	int next = next_walk(i, me);
	u64 pass;

	if (due <= now) /* it took longer than a period: no faster than one after the other */
		due = now + gpufas_slice_ns() * GAP_SLICES;
	WRITE_ONCE(walks[next].due_ns, due);
	walks[next].begun_ns = 0;
	if (atomic_cmpxchg(&lead, i, next) == i) {
		pass = atomic64_inc_return(&stat.passes);
		finish_table(r, i, pass);
		WRITE_ONCE(r->header->latest, i);
		WRITE_ONCE(r->header->pass, pass);
		stat.pass_ns = w->work_ns;
		stat.pass_span_ns = now - w->begun_ns;
		stat.pids = w->pids;
		publish_host(r, w);
	}
	if (next != i)
		atomic_set_release(&walks[next].owner, 0);
}

static void count_thread(struct walk *w, struct pid *pid)
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
	struct walk *w = &walks[i];
	struct gf_task_rec rec;

	if (!gpufas_record(leader, w->want, end, alone, &rec))
		return false;
	w->tally.tasks++;
	w->tally.threads += rec.threads;
	if (w->count < r->rows)
		((struct gf_task_rec *)(r->table[i] + 1))[w->count++] = rec;
	return true;
}

/* Goes on with walk i, which the caller owns, for one slice's time. True when all pids have been looked at. */
static bool walk_on(struct gpufas_region *r, int i, u64 end)
{
	struct walk *w = &walks[i];
	struct task_struct *leader;
	struct pid *pid;
	bool alone = true;
	u64 now;

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
		if (now >= end || atomic_read(&lead) != i)
			return false;
	}
	return true;
}

static void slice(struct gpufas_region *r, int i, u64 start, int me)
{
	struct walk *w = &walks[i];
	u64 now, length = gpufas_slice_ns();
	bool all;

	if (!w->begun_ns) {
		if (w->due_ns && start > w->due_ns + period_ns(r))
			atomic64_inc(&stat.late);
		begin(r, i, start);
	} else if (w->last_cpu != me && start > w->due_ns + length * GAP_SLICES) {
		atomic64_inc(&stat.takeovers);
	}
	w->last_cpu = me;
	w->slices++;
	rcu_read_lock();
	all = walk_on(r, i, start + length);
	rcu_read_unlock();
	now = now_mono();
	w->work_ns += now - start;
	WRITE_ONCE(w->due_ns, now + length * (GAP_SLICES - 1));
	if (all)
		finish(r, i, now, me);
	now = now_mono();
	atomic64_inc(&stat.slices);
	atomic64_add(now - start, &stat.slice_ns);
	keep_max(&stat.slice_max_ns, now - start);
}

/* The owner of the pass has stopped: begin another, in a table that is free. */
static void take_over(struct gpufas_region *r, int i, u64 now, int me)
{
	int j = next_walk(i, me);

	if (j == i)
		return; /* two CPUs have stopped in two tables: the last whole one is left to the readers */
	WRITE_ONCE(walks[j].due_ns, now);
	walks[j].begun_ns = 0;
	WRITE_ONCE(walks[j].beat_ns, now);
	if (atomic_cmpxchg(&lead, i, j) == i) {
		atomic64_inc(&stat.lost);
		slice(r, j, now, me);
	}
	atomic_set_release(&walks[j].owner, 0);
}

/* A slice, if one is due or the caller will not wait, and nobody is at it. When the next one is due. */
static u64 sample(struct gpufas_region *r, u64 now, bool at_once)
{
	int i = atomic_read(&lead), me = raw_smp_processor_id() + 1;
	struct walk *w = &walks[i];

	if (!at_once && now < READ_ONCE(w->due_ns))
		return READ_ONCE(w->due_ns);
	if (!atomic_cmpxchg_acquire(&w->owner, 0, me)) {
		WRITE_ONCE(w->beat_ns, now);
		if (atomic_read(&lead) == i)
			slice(r, i, now, me);
		atomic_set_release(&w->owner, 0);
	} else if (now > READ_ONCE(w->beat_ns) + LOST_NS) {
		take_over(r, i, now, me);
	}
	return READ_ONCE(walks[atomic_read(&lead)].due_ns);
}

/* ---- timers ---- */

/* What this interrupt finds its CPU doing. Two looks that meet the same task with the same number of switches: it did
 * not switch in between. */
static void note_cpu(struct gpufas_region *r, struct cpu_state *s, u64 boot)
{
	struct gpufas_cpu *c = &r->cpu[raw_smp_processor_id()];
	struct pt_regs *regs = get_irq_regs();
	bool user = regs && user_mode(regs), idle = is_idle_task(current);
	u64 switches = current->nvcsw + current->nivcsw, iowait;

	if (s->task != current || s->switches != switches) {
		s->task = current;
		s->switches = switches;
		s->same_ns = boot;
		s->kernel_ns = s->resched_ns = 0;
	}
	if (user || idle)
		s->kernel_ns = 0;
	else if (!s->kernel_ns)
		s->kernel_ns = boot;
	if (!need_resched())
		s->resched_ns = 0;
	else if (!s->resched_ns)
		s->resched_ns = boot;
	iowait = get_cpu_iowait_time_us(raw_smp_processor_id(), NULL);
	s->iowait_ns = iowait == (u64)-1 ? READ_ONCE(kcpustat_this_cpu->cpustat[CPUTIME_IOWAIT]) : iowait * NSEC_PER_USEC;

	WRITE_ONCE(c->beats, s->beats);
	WRITE_ONCE(c->same_ns, s->same_ns);
	WRITE_ONCE(c->resched_ns, s->resched_ns);
	WRITE_ONCE(c->kernel_ns, s->kernel_ns);
	WRITE_ONCE(c->pid, current->pid);
	WRITE_ONCE(c->flags, GPUFAS_CPU_ONLINE | (idle ? GPUFAS_CPU_IDLE : 0) | (user ? GPUFAS_CPU_USER : 0));
	WRITE_ONCE(c->prio_policy, (u32)current->prio << 8 | (current->policy & 0xff));
	WRITE_ONCE(c->irq_ns, s->irq_ns);
	WRITE_ONCE(c->irq_max_ns, s->irq_max_ns);
	WRITE_ONCE(c->iowait_ns, s->iowait_ns);
	WRITE_ONCE(c->beat_ns, boot);
	WRITE_ONCE(r->header->now_ns, boot);
	WRITE_ONCE(r->header->jiffies, get_jiffies_64());
}

static enum hrtimer_restart tick(struct hrtimer *timer)
{
	struct cpu_state *s = container_of(timer, struct cpu_state, timer);
	struct gpufas_region *r = region;
	u64 start = now_mono(), poll = poll_ns(r), due, spent;

	s->beats++;
	note_cpu(r, s, ktime_get_boot_fast_ns());
	gpufas_mailbox_poll(r, MOST_VERDICTS);
	due = sample(r, now_mono(), false);
	spent = now_mono() - start;
	s->irq_ns += spent;
	s->irq_max_ns = max(s->irq_max_ns, spent);
	/* At the latest after a poll's time; sooner if the next slice is due then, never without a pause. */
	due = due > start ? due - start : 0;
	hrtimer_forward_now(timer, ns_to_ktime(max(min(due, poll), gpufas_slice_ns() * (GAP_SLICES - 1))));
	return HRTIMER_RESTART;
}

/* On its own CPU. Spread, so that the CPUs take turns. */
static void start_timer(void *unused)
{
	struct cpu_state *s = this_cpu_ptr(&cpu_state);
	u64 at = poll_ns(region) * (smp_processor_id() + 1);

	memset(s, 0, sizeof(*s));
	hrtimer_setup(&s->timer, tick, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	do_div(at, num_possible_cpus());
	hrtimer_start(&s->timer, ns_to_ktime(at), HRTIMER_MODE_REL_PINNED_HARD);
}

static int cpu_online_cb(unsigned int cpu)
{
	unsigned long flags;

	if (running) {
		local_irq_save(flags);
		start_timer(NULL);
		local_irq_restore(flags);
	}
	return 0;
}

static int cpu_offline_cb(unsigned int cpu)
{
	if (running) {
		hrtimer_cancel(&per_cpu_ptr(&cpu_state, cpu)->timer);
		WRITE_ONCE(region->cpu[cpu].flags, 0);
	}
	return 0;
}

int gpufas_sampler_init(void)
{
	int r = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "gpufas:online", cpu_online_cb, cpu_offline_cb);

	if (r < 0)
		return r;
	hp_state = r;
	return 0;
}

void gpufas_sampler_exit(void)
{
	cpuhp_remove_state(hp_state);
}

void gpufas_sampler_start(struct gpufas_region *r)
{
	memset(walks, 0, sizeof(walks));
	memset(&stat, 0, sizeof(stat));
	atomic64_set(&gpufas_count_busy, 0);
	atomic64_set(&gpufas_count_long, 0);
	atomic_set(&lead, 0);
	publish_counters(r);
	cpus_read_lock();
	region = r;
	running = true;
	on_each_cpu(start_timer, NULL, 1);
	cpus_read_unlock();
	WRITE_ONCE(r->header->state, GPUFAS_SAMPLING);
}

void gpufas_sampler_stop(void)
{
	int cpu;

	cpus_read_lock();
	if (running) {
		running = false;
		for_each_online_cpu(cpu)
			hrtimer_cancel(&per_cpu_ptr(&cpu_state, cpu)->timer);
		WRITE_ONCE(region->header->state, GPUFAS_PAUSED);
		region = NULL;
	}
	cpus_read_unlock();
}

int gpufas_sampler_pass(void)
{
	struct gpufas_region *r = region;
	u64 want = atomic64_read(&stat.passes) + 1;
	int i = atomic_read(&lead);

	if (READ_ONCE(walks[i].begun_ns))
		want++; /* the one under way has begun before */
	while ((u64)atomic64_read(&stat.passes) < want) {
		u64 before = atomic64_read(&stat.slices);

		local_irq_disable();
		sample(r, now_mono(), true);
		local_irq_enable();
		if (signal_pending(current))
			return -EINTR;
		if ((u64)atomic64_read(&stat.slices) == before)
			usleep_range(50, 200); /* another CPU is at it */
		else
			cond_resched();
	}
	return 0;
}
