/* SPDX-License-Identifier: Dual MIT/GPL
 *
 * Inside the module: what its parts share.
 *
 *	main.c     parameters, the device file, who owns the region
 *	region.c   the pinned memory and its layout
 *	timers.c   a timer a CPU
 *	sampler.c  passes over all processes, in slices (pass.h)
 *	publish.c  what a pass leaves in the region
 *	record.c   one process into its record
 *	host.c     host fields
 *	mailbox.c  verdicts, applied once, and their answers
 *	guard.c    what is never touched; the budget
 *	physmem.c  /dev/gpufas-mem
 *
 * Everything that a timer calls runs in hard interrupt context: no lock is waited for but siglock and the run
 * queue's (as kill(2) and the kernel's own timers do, from there too), nothing is allocated but by
 * GFP_ATOMIC within kill_pid(), and nothing loops without a bound.
 */
#ifndef GPUFAS_MODULE_H
#define GPUFAS_MODULE_H

#include <linux/sched.h>
#include <linux/types.h>

#include "uapi/gpufas.h"

struct page;

struct gpufas_region {
	struct page **pages;
	unsigned long npages;
	void *mem;
	struct gpufas_header *header;
	struct gpufas_control *control;
	struct gpufas_cpu *cpu;
	struct gpufas_host *host;
	struct gpufas_verdict *verdict;
	struct gpufas_answer *answer;
	struct gpufas_table *table[GPUFAS_TABLES];
	u64 instance; /* as in the header, which is never read back */
	u32 rows;
};

/* region.c. For process context; rows as the reader wants them. */
struct gpufas_region *gpufas_region_create(u32 rows);
void gpufas_region_destroy(struct gpufas_region *r);
int gpufas_region_mmap(struct gpufas_region *r, struct vm_area_struct *vma);

/* timers.c */
int gpufas_sampler_init(void);
void gpufas_sampler_exit(void);
/* Timers on all CPUs. The region must stay until gpufas_sampler_stop() has returned. */
void gpufas_sampler_start(struct gpufas_region *r);
void gpufas_sampler_stop(void);
/* sampler.c. One whole pass that begins now, by the caller and whoever else comes by. Sleeps. */
int gpufas_sampler_pass(struct gpufas_region *r);

/* record.c. False: not before `end` (ktime_get_mono_fast_ns()), come again; only unless `alone`, which is given when nothing
 * else was done in this slice. Under RCU. */
bool gpufas_record(struct task_struct *leader, u32 want, u64 end, bool alone, struct gf_task_rec *rec);
extern atomic64_t gpufas_count_busy, gpufas_count_long;

/* host.c: fills host fields in, but seq; GPUFAS_H_TASKS to _BLOCKED it is given. */
struct gpufas_tally {
	u32 tasks, threads, running, blocked;
	bool by_thread; /* running and blocked are known */
};
/* What is added up CPU by CPU: on a machine of many, in several slices. */
struct gpufas_sums {
	int cpu; /* the next one */
	u64 busy, steal, iowait;
	u64 pgscan, majfault, oom, swapin, swapout;
	u64 irqs, irq_ns, irq_max_ns;
};
void gpufas_timers_add(struct gpufas_sums *s, int cpu); /* timers.c */
/* False: not all before `end` (ktime_get_mono_fast_ns()), come again. */
bool gpufas_host_sum(struct gpufas_sums *s, u64 end);
void gpufas_host_fill(struct gpufas_host *h, const struct gpufas_tally *t, const struct gpufas_sums *s);

/* mailbox.c */
void gpufas_mailbox_reset(struct gpufas_region *r);
/* Looks at slots; interrupts are off. Takes at most `most` verdicts, and begins with none after `end` (ktime_get_mono_fast_ns()). False: there
 * are slots left, or another CPU was at one. */
bool gpufas_mailbox_poll(struct gpufas_region *r, unsigned int most, u64 end);
void gpufas_mailbox_count(struct gpufas_counters *c);

/* guard.c */
enum gpufas_why gpufas_guard(struct task_struct *leader, u64 start_ns, const struct gpufas_control *c);
void gpufas_guard_set_opener(struct pid *pid);
void gpufas_guard_arm(u32 flags, u32 budget, u64 budget_ns);
u32 gpufas_guard_armed(void);
bool gpufas_guard_spend(u64 now_ns, bool observe);
void gpufas_guard_budget(u64 *left, u64 *until_ns);

/* main.c: the parameters as others see them */
bool gpufas_last_resorts(void);
u64 gpufas_slice_ns(void);

/* physmem.c */
int gpufas_physmem_init(bool wanted);
void gpufas_physmem_exit(void);

#endif
