// SPDX-License-Identifier: Dual MIT/GPL
/*
 * For guests only: CPUs that are lost in the kernel, as by a driver with a bug. With preemption off (they take interrupts, and
 * schedule no more), with interrupts off, or stopped in the middle of a function of another module, as a virtual CPU
 * is that is not run any more.
 */
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/timekeeping.h>

static int first = 1;
module_param(first, int, 0444);
MODULE_PARM_DESC(first, "the first CPU that spins; all above do, too");

static int only = -1;
module_param(only, int, 0444);
MODULE_PARM_DESC(only, "this CPU alone");

static int seconds = 10;
module_param(seconds, int, 0444);
MODULE_PARM_DESC(seconds, "for how long");

static bool irqs;
module_param(irqs, bool, 0444);
MODULE_PARM_DESC(irqs, "with interrupts off");

static char *at;
module_param(at, charp, 0444);
MODULE_PARM_DESC(at, "where this function begins, instead: the next CPUs that come there");

static int times = 1;
module_param(times, int, 0444);
MODULE_PARM_DESC(times, "so many CPUs");

static int spare = -1;
module_param(spare, int, 0444);
MODULE_PARM_DESC(spare, "but not this one");

static unsigned long stopped;
module_param(stopped, ulong, 0444);
MODULE_PARM_DESC(stopped, "which CPUs have been lost, a bit each");

static struct task_struct *spinner[NR_CPUS];
static atomic_t left;

static void spin_here(void)
{
	u64 until = ktime_get_mono_fast_ns() + seconds * 1000000000ull;

	set_bit(raw_smp_processor_id(), &stopped);
	while (ktime_get_mono_fast_ns() < until)
		cpu_relax();
}

static int spin(void *arg)
{
	preempt_disable();
	if (irqs)
		local_irq_disable();
	spin_here();
	if (irqs)
		local_irq_enable();
	preempt_enable();
	while (!kthread_should_stop())
		schedule_timeout_idle(HZ / 10);
	return 0;
}

static int on_probe(struct kprobe *p, struct pt_regs *regs)
{
	if (raw_smp_processor_id() != spare && atomic_dec_if_positive(&left) >= 0)
		spin_here();
	return 0;
}

static struct kprobe probe = { .pre_handler = on_probe };

static void spin_exit(void)
{
	int cpu;

	if (at)
		unregister_kprobe(&probe);
	for (cpu = 0; cpu < NR_CPUS; cpu++)
		if (spinner[cpu])
			kthread_stop(spinner[cpu]);
}

static int __init spin_init(void)
{
	struct task_struct *t;
	int cpu;

	if (at) {
		atomic_set(&left, times);
		probe.symbol_name = at;
		return register_kprobe(&probe);
	}
	for (cpu = num_online_cpus() - 1; cpu >= (only < 0 ? first : 0); cpu--) {
		if (only >= 0 && cpu != only)
			continue;
		t = kthread_create_on_cpu(spin, NULL, cpu, "spin/%u");
		if (IS_ERR(t)) {
			spin_exit();
			return PTR_ERR(t);
		}
		spinner[cpu] = t;
	}
	/* All are there before the first one takes its CPU away. */
	for (cpu = num_online_cpus() - 1; cpu >= 0; cpu--)
		if (spinner[cpu])
			wake_up_process(spinner[cpu]);
	return 0;
}

module_init(spin_init);
module_exit(spin_exit);
MODULE_DESCRIPTION("Locks CPUs up, for tests");
MODULE_LICENSE("Dual MIT/GPL");
