// SPDX-License-Identifier: Dual MIT/GPL
/*
 * For guests only: CPUs that spin in the kernel with preemption off, as a driver with a bug would. They take interrupts,
 * and schedule no more.
 */
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/module.h>

static int first = 1;
module_param(first, int, 0444);
MODULE_PARM_DESC(first, "the first CPU that spins; all above do, too");

static int seconds = 10;
module_param(seconds, int, 0444);
MODULE_PARM_DESC(seconds, "for how long");

static struct task_struct *spinner[NR_CPUS];

static int spin(void *arg)
{
	ktime_t until = ktime_add_ms(ktime_get(), seconds * 1000);

	preempt_disable();
	while (ktime_before(ktime_get(), until))
		cpu_relax();
	preempt_enable();
	while (!kthread_should_stop())
		schedule_timeout_idle(HZ / 10);
	return 0;
}

static void spin_exit(void)
{
	int cpu;

	for (cpu = 0; cpu < NR_CPUS; cpu++)
		if (spinner[cpu])
			kthread_stop(spinner[cpu]);
}

static int __init spin_init(void)
{
	struct task_struct *t;
	int cpu;

	for (cpu = num_online_cpus() - 1; cpu >= first; cpu--) {
		t = kthread_create_on_cpu(spin, NULL, cpu, "spin/%u");
		if (IS_ERR(t)) {
			spin_exit();
			return PTR_ERR(t);
		}
		spinner[cpu] = t;
	}
	/* All are there before the first one takes its CPU away. */
	for (cpu = num_online_cpus() - 1; cpu >= first; cpu--)
		wake_up_process(spinner[cpu]);
	return 0;
}

module_init(spin_init);
module_exit(spin_exit);
MODULE_DESCRIPTION("Locks CPUs up, for tests");
MODULE_LICENSE("Dual MIT/GPL");
