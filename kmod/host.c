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

static void fill_cpu_times(struct gpufas_host *h, u64 iowait_ns)
{
	static const u8 busy[] = { CPUTIME_USER, CPUTIME_NICE, CPUTIME_SYSTEM, CPUTIME_IRQ, CPUTIME_SOFTIRQ };
	u64 sum = 0, steal = 0;
	int cpu, i;

	for_each_possible_cpu(cpu) {
		const u64 *stat = kcpustat_cpu(cpu).cpustat;

		for (i = 0; i < ARRAY_SIZE(busy); i++)
			sum += READ_ONCE(stat[busy[i]]);
		steal += READ_ONCE(stat[CPUTIME_STEAL]);
	}
	put(h, GPUFAS_H_BUSY, sum);
	put(h, GPUFAS_H_IOWAIT, iowait_ns);
	put(h, GPUFAS_H_STEAL, steal);
	put(h, GPUFAS_H_CPUS, num_online_cpus());
}

static void fill_events(struct gpufas_host *h)
{
#ifdef CONFIG_VM_EVENT_COUNTERS
	u64 scan = 0, fault = 0, oom = 0, in = 0, out = 0;
	int cpu;

	for_each_online_cpu(cpu) {
		const unsigned long *e = per_cpu(vm_event_states, cpu).event;

		scan += READ_ONCE(e[PGSCAN_KSWAPD]) + READ_ONCE(e[PGSCAN_DIRECT]) + gpufas_pgscan_more(e);
		fault += READ_ONCE(e[PGMAJFAULT]);
		oom += READ_ONCE(e[OOM_KILL]);
#ifdef CONFIG_SWAP
		in += READ_ONCE(e[PSWPIN]);
		out += READ_ONCE(e[PSWPOUT]);
#endif
	}
	put(h, GPUFAS_H_PGSCAN, scan);
	put(h, GPUFAS_H_PGMAJFAULT, fault);
	put(h, GPUFAS_H_OOM_KILL, oom);
	if (IS_ENABLED(CONFIG_SWAP)) {
		put(h, GPUFAS_H_PSWPIN, in);
		put(h, GPUFAS_H_PSWPOUT, out);
	}
#endif
}

void gpufas_host_fill(struct gpufas_host *h, const struct gpufas_tally *t, u64 iowait_ns)
{
	int i;

	memset(h, 0, sizeof(*h));
	fill_memory(h);
	for (i = 0; i < 3; i++)
		put(h, GPUFAS_H_LOAD_1 + i, READ_ONCE(avenrun[i]));
	fill_cpu_times(h, iowait_ns);
	put(h, GPUFAS_H_TASKS, t->tasks);
	put(h, GPUFAS_H_THREADS, t->threads);
	if (t->by_thread) {
		put(h, GPUFAS_H_RUNNING, t->running);
		put(h, GPUFAS_H_BLOCKED, t->blocked);
	}
	fill_events(h);
	h->at_ns = ktime_get_boot_fast_ns();
}
