// SPDX-License-Identifier: Dual MIT/GPL
/*
 * Host fields: what /proc shows, as far as a module can reach it without waiting. Only words that are exported
 * and only ever read here; a sum over CPUs is not one instant, as it is not in /proc either.
 */
#include "module.h"

#include <linux/cpumask.h>
#include <linux/kernel_stat.h>
#include <linux/mm.h>
#include <linux/sched/loadavg.h>
#include <linux/swap.h>
#include <linux/timekeeping.h>
#include <linux/vmstat.h>

#include "compat.h"

#define LOOK_EVERY 8 /* CPUs, from one look at the clock to the next */

static void put(struct gpufas_host *h, int field, u64 v)
{
	h->v[field] = v;
	h->have |= 1ull << field;
}

static u64 bytes(unsigned long pages)
{
	return (u64)pages << PAGE_SHIFT;
}

static void fill_memory(struct gpufas_host *h)
{
	unsigned long file = global_node_page_state(NR_FILE_PAGES);
	long swap = get_nr_swap_pages();
	unsigned long cached = 0;

#ifdef CONFIG_SWAP
	cached = global_node_page_state_pages(NR_SWAPCACHE);
#endif
	put(h, GPUFAS_H_MEM_TOTAL, bytes(totalram_pages()));
	put(h, GPUFAS_H_MEM_FREE, bytes(global_zone_page_state(NR_FREE_PAGES)));
	put(h, GPUFAS_H_MEM_AVAILABLE, bytes(si_mem_available()));
	put(h, GPUFAS_H_MEM_FILE, bytes(file > cached ? file - cached : 0));
	put(h, GPUFAS_H_MEM_DIRTY, bytes(global_node_page_state(NR_FILE_DIRTY)));
	put(h, GPUFAS_H_MEM_SLAB, bytes(global_node_page_state_pages(NR_SLAB_RECLAIMABLE_B) +
					      global_node_page_state_pages(NR_SLAB_UNRECLAIMABLE_B)));
	put(h, GPUFAS_H_SWAP_FREE, bytes(swap > 0 ? swap : 0));
}

static void add_cpu(struct gpufas_sums *s, int cpu)
{
	static const u8 busy[] = { CPUTIME_USER, CPUTIME_NICE, CPUTIME_SYSTEM, CPUTIME_IRQ, CPUTIME_SOFTIRQ };
	const u64 *stat = kcpustat_cpu(cpu).cpustat;
	int i;

	for (i = 0; i < ARRAY_SIZE(busy); i++)
		s->busy += READ_ONCE(stat[busy[i]]);
	s->steal += READ_ONCE(stat[CPUTIME_STEAL]);
	gpufas_timers_add(s, cpu);
}

/* What a CPU has counted goes to another one when it is taken out. */
static void add_events(struct gpufas_sums *s, int cpu)
{
#ifdef CONFIG_VM_EVENT_COUNTERS
	const unsigned long *e = per_cpu(vm_event_states, cpu).event;

	s->pgscan += READ_ONCE(e[PGSCAN_KSWAPD]) + READ_ONCE(e[PGSCAN_DIRECT]) + gpufas_pgscan_more(e);
	s->majfault += READ_ONCE(e[PGMAJFAULT]);
	s->oom += READ_ONCE(e[OOM_KILL]);
#ifdef CONFIG_SWAP
	s->swapin += READ_ONCE(e[PSWPIN]);
	s->swapout += READ_ONCE(e[PSWPOUT]);
#endif
#endif
}

bool gpufas_host_sum(struct gpufas_sums *s, u64 end)
{
	int n = 0;

	while (s->cpu < nr_cpu_ids) {
		if (n++ % LOOK_EVERY == LOOK_EVERY - 1 && ktime_get_mono_fast_ns() >= end)
			return false;
		if (cpu_possible(s->cpu))
			add_cpu(s, s->cpu);
		if (cpu_online(s->cpu))
			add_events(s, s->cpu);
		s->cpu++;
	}
	return true;
}

static void fill_sums(struct gpufas_host *h, const struct gpufas_sums *s)
{
	put(h, GPUFAS_H_BUSY, s->busy);
	put(h, GPUFAS_H_IOWAIT, s->iowait);
	put(h, GPUFAS_H_STEAL, s->steal);
	put(h, GPUFAS_H_CPUS, num_online_cpus());
	if (!IS_ENABLED(CONFIG_VM_EVENT_COUNTERS))
		return;
	put(h, GPUFAS_H_PGSCAN, s->pgscan);
	put(h, GPUFAS_H_PGMAJFAULT, s->majfault);
	put(h, GPUFAS_H_OOM_KILL, s->oom);
	if (IS_ENABLED(CONFIG_SWAP)) {
		put(h, GPUFAS_H_PSWPIN, s->swapin);
		put(h, GPUFAS_H_PSWPOUT, s->swapout);
	}
}

void gpufas_host_fill(struct gpufas_host *h, const struct gpufas_tally *t, const struct gpufas_sums *s)
{
	int i;

	memset(h, 0, sizeof(*h));
	fill_memory(h);
	for (i = 0; i < 3; i++)
		put(h, GPUFAS_H_LOAD_1 + i, READ_ONCE(avenrun[i]));
	fill_sums(h, s);
	put(h, GPUFAS_H_TASKS, t->tasks);
	put(h, GPUFAS_H_THREADS, t->threads);
	if (t->by_thread) {
		put(h, GPUFAS_H_RUNNING, t->running);
		put(h, GPUFAS_H_BLOCKED, t->blocked);
	}
	h->at_ns = ktime_get_boot_fast_ns();
}
