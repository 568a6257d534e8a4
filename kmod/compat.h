/* SPDX-License-Identifier: Dual MIT/GPL
 *
 * What has changed between the kernels that the module is built for, each with the commit that changed it.
 */
#ifndef GPUFAS_COMPAT_H
#define GPUFAS_COMPAT_H

#include <linux/hrtimer.h>
#include <linux/mm.h>
#include <linux/percpu_counter.h>
#include <linux/version.h>
#include <linux/vmstat.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0) /* bc292ab00f6c */
static inline void vm_flags_mod(struct vm_area_struct *vma, vm_flags_t set, vm_flags_t clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0) /* 908a1d775422 */
static inline void hrtimer_setup(struct hrtimer *timer, enum hrtimer_restart (*function)(struct hrtimer *),
				 clockid_t clock, enum hrtimer_mode mode)
{
	hrtimer_init(timer, clock, mode);
	timer->function = function;
}
#endif

/* Pages that mm counts as `member`, as exactly as /proc shows them. Since 6.2 (f1a7941243c1) each CPU keeps
 * a part back. No lock: a part that moves meanwhile may be missed by at most the counter's batch. */
static inline s64 gpufas_mm_pages(struct mm_struct *mm, int member)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
	return max_t(s64, atomic_long_read(&mm->rss_stat.count[member]), 0);
#elif defined(CONFIG_SMP)
	struct percpu_counter *c = &mm->rss_stat[member];
	s64 sum = READ_ONCE(c->count);
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*per_cpu_ptr(c->counters, cpu));
	return max_t(s64, sum, 0);
#else
	return percpu_counter_read_positive(&mm->rss_stat[member]);
#endif
}

static inline bool gpufas_oom_skip(const struct mm_struct *mm)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 18, 0) /* the flags have become a bitmap */
	return test_bit(MMF_OOM_SKIP, &mm->flags);
#else
	return mm_flags_test(MMF_OOM_SKIP, mm);
#endif
}

/* On a run queue and meant to run. */
static inline bool gpufas_runnable(const struct task_struct *t)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0) /* 152e11f6df29: a task that sleeps may stay queued for a while */
	return READ_ONCE(t->on_rq);
#else
	return READ_ONCE(t->on_rq) && !READ_ONCE(t->se.sched_delayed);
#endif
}

/* Scans by others than kswapd and those who allocate. */
static inline u64 gpufas_pgscan_more(const unsigned long *event)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0) /* 57e9cc50f4dd: counted as direct before */
	return 0;
#else
	return READ_ONCE(event[PGSCAN_KHUGEPAGED]);
#endif
}

#endif
