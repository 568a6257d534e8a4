// SPDX-License-Identifier: Dual MIT/GPL
/*
 * A timer on each CPU, in hard interrupt context. Each notes that its CPU lives and what it met there, looks into the mailbox, and
 * samples where that is due. So the work goes on as long as any CPU takes timer interrupts.
 */
#include "pass.h"

#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/hrtimer.h>
#include <linux/kernel_stat.h>
#include <linux/smp.h>
#include <linux/tick.h>
#include <linux/timekeeping.h>
#include <asm/irq_regs.h>

#include "compat.h"

#define PERIOD_NS 100000000ull
#define POLL_NS 10000000ull
#define MOST_VERDICTS 8     /* in one interrupt */

struct cpu_state {
	struct hrtimer timer;
	u64 beats, irq_ns, irq_max_ns;
	u64 same_ns, resched_ns, kernel_ns, iowait_ns;
	u64 switches;
	struct task_struct *task; /* only compared */
};

static DEFINE_PER_CPU(struct cpu_state, cpu_state);
static struct gpufas_region *region; /* set while timers run */
static bool running;                 /* under cpus_read_lock() */
static enum cpuhp_state hp_state;

static u64 bounded(u64 v, u64 fallback, u64 least, u64 most)
{
	return v ? clamp(v, least, most) : fallback;
}

u64 gpufas_period_ns(const struct gpufas_region *r)
{
	return bounded(READ_ONCE(r->control->period_ns), PERIOD_NS, GPUFAS_PERIOD_MIN_NS, GPUFAS_PERIOD_MAX_NS);
}

u64 gpufas_poll_ns(const struct gpufas_region *r)
{
	return bounded(READ_ONCE(r->control->poll_ns), POLL_NS, GPUFAS_POLL_MIN_NS, GPUFAS_POLL_MAX_NS);
}

void gpufas_timers_add(struct gpufas_sums *to, int cpu)
{
	const struct cpu_state *s = per_cpu_ptr(&cpu_state, cpu);

	to->irqs += READ_ONCE(s->beats);
	to->irq_ns += READ_ONCE(s->irq_ns);
	to->irq_max_ns = max(to->irq_max_ns, READ_ONCE(s->irq_max_ns));
	to->iowait += READ_ONCE(s->iowait_ns);
}

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
	u64 start = ktime_get_mono_fast_ns(), length = gpufas_slice_ns(), poll = gpufas_poll_ns(r), due, spent;

	s->beats++;
	note_cpu(r, s, ktime_get_boot_fast_ns());
	/* All of it together takes no longer than a slice may: what the mailbox takes, sampling does not have. */
	gpufas_mailbox_poll(r, MOST_VERDICTS, start + length / 2);
	due = gpufas_sample(r, ktime_get_mono_fast_ns(), start + length, false);
	spent = ktime_get_mono_fast_ns() - start;
	s->irq_ns += spent;
	s->irq_max_ns = max(s->irq_max_ns, spent);
	/* At the latest after a poll's time; sooner if the next slice is due then, never without a pause. */
	due = due > start ? due - start : 0;
	hrtimer_forward_now(timer, ns_to_ktime(max(min(due, poll), length * (GPUFAS_GAP_SLICES - 1))));
	return HRTIMER_RESTART;
}

/* On its own CPU. Spread, so that the CPUs take turns. */
static void start_timer(void *unused)
{
	struct cpu_state *s = this_cpu_ptr(&cpu_state);
	u64 at = gpufas_poll_ns(region) * (smp_processor_id() + 1);

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
	gpufas_sample_reset();
	gpufas_publish_reset(r);
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
