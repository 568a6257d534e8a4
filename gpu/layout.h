/* SPDX-License-Identifier: MIT
 *
 * Where the walkers find what they read in one kernel: symbol addresses and member
 * offsets, from kallsyms and BTF (targets/layout.c). Plain data, copied into device
 * memory as it is.
 *
 * An offset that the kernel does not have is GF_ABSENT, a symbol 0. `span` of a struct is
 * how many of its bytes must be there for all of its offsets that are not absent to be read.
 */
#ifndef GPUFAS_LAYOUT_H
#define GPUFAS_LAYOUT_H

#include "gpufas/hd.h"

#define GF_ABSENT 0xffffffffu

enum gf_rss_kind {
	GF_RSS_NONE,
	GF_RSS_ATOMIC, /* mm->rss_stat.count[], before 6.2 */
	GF_RSS_PERCPU, /* mm->rss_stat[], struct percpu_counter, since 6.2 (f1a7941243c1) */
};

enum gf_rss_part { GF_RSS_FILE, GF_RSS_ANON, GF_RSS_SWAP, GF_RSS_SHMEM, GF_RSS_PARTS };

struct gf_layout_task {
	uint32_t span;
	uint32_t flags, state, exit_state, prio, static_prio, policy;
	uint32_t pid, tgid, real_parent, group_leader, thread_pid, thread_node, tgid_link;
	uint32_t mm, signal, files, real_cred, cgroups, vfork_done;
	uint32_t start_boottime, comm, self_exec_id;
	uint32_t sum_exec, utime, stime, min_flt, maj_flt, read_bytes, write_bytes;
};

struct gf_layout_signal {
	uint32_t span;
	uint32_t live, nr_threads, thread_head, flags, pgid, sid, stats_seq, oom_score_adj;
	uint32_t sum_sched, utime, stime, prev_utime, prev_stime, min_flt, maj_flt, read_bytes, write_bytes;
};

struct gf_layout_pid {
	uint32_t span;  /* with numbers[0] */
	uint32_t level, tgid_first, numbers;
	uint32_t upid_size, upid_nr;
};

struct gf_layout_mm {
	uint32_t span;
	uint32_t total_vm, pgtables, flags, pgd, arg_start, arg_end, exe_file;
	uint32_t rss_kind;               /* enum gf_rss_kind */
	uint32_t rss[GF_RSS_PARTS];      /* the number itself */
	uint32_t rss_cpu[GF_RSS_PARTS];  /* pointer to its per-CPU parts */
};

struct gf_layout_files {
	uint32_t fdt, max_fds, open_fds, cred_euid, cred_egid;
};

struct gf_layout_xarray {
	uint64_t array_at; /* va of the namespace's xarray, which nodes point back to */
	uint32_t head;     /* xa_head, in struct pid_namespace */
	uint32_t span;     /* of struct xa_node: */
	uint32_t shift, offset, parent, array, slots;
	uint32_t reserved;
};

struct gf_layout_path {
	uint32_t css_dfl_cgrp, cgroup_kn, kn_parent, kn_name, kn_id;
	uint32_t file_path, path_mnt, path_dentry; /* mnt, dentry: within struct file */
	uint32_t dentry_parent, dentry_name, dentry_len;
	uint32_t vfs_root, mount_vfs, mount_parent, mount_point;
};

struct gf_layout_clock {
	uint64_t seq;        /* va of its sequence count */
	uint64_t timekeeper; /* va, of the core timekeeper; 0: not found */
	uint64_t jiffies;
	uint32_t span;
	uint32_t base, xtime_nsec, shift, offs_boot;
};

#define GF_PSI_STATES 6u

enum gf_vm_event {
	GF_VME_PSWPIN, GF_VME_PSWPOUT, GF_VME_PGMAJFAULT, GF_VME_OOM_KILL, GF_VME_PGSCAN, GF_VME_PGSCAN_LAST = 7, GF_VME_COUNT
};
enum gf_node_stat {
	GF_NS_ACTIVE_FILE, GF_NS_INACTIVE_FILE, GF_NS_SLAB_RECLAIMABLE, GF_NS_SLAB_UNRECLAIMABLE, GF_NS_FILE_PAGES, GF_NS_FILE_DIRTY,
	GF_NS_MISC_RECLAIMABLE, GF_NS_SWAPCACHE, GF_NS_COUNT
};
enum gf_cpu_stat { GF_CS_USER, GF_CS_NICE, GF_CS_SYSTEM, GF_CS_IRQ, GF_CS_SOFTIRQ, GF_CS_IOWAIT, GF_CS_STEAL, GF_CS_COUNT };

struct gf_layout_host {
	/* symbols */
	uint64_t totalram, total_swap, nr_swap, zone_stat, node_stat, totalreserve, blockdev_super;
	uint64_t node_data, node_online; /* pglist_data *[], mask; without NUMA node_data is 0 and: */
	uint64_t contig_page_data;
	uint64_t avenrun, nr_threads, total_forks, psi, psi_disabled;
	uint64_t vm_events, cpustat, runqueues, tick_sched; /* per-CPU: to be added to a CPU's offset */
	/* index in its array, or absent */
	uint32_t free_pages;
	uint32_t ns[GF_NS_COUNT];
	uint32_t vme[GF_VME_COUNT]; /* byte offset in vm_event_states */
	uint32_t cs[GF_CS_COUNT];   /* byte offset in kernel_cpustat */
	uint32_t psi_avg[GF_PSI_STATES]; /* byte offset in psi_group: io some, io full, memory some, full, cpu some, full */
	uint32_t psi_updated;
	uint32_t rq_running, rq_curr, rq_idle, rq_iowait;
	uint32_t ts_iowait, ts_entry;
	uint32_t zones_off, zones, zone_size, zone_wmark_low, zone_boost; /* of struct pglist_data; zone */
	uint32_t max_nodes;
	uint32_t sb_inodes, inode_sb_list, inode_mapping, mapping_nrpages;
	uint32_t reserved;
};

struct gf_layout {
	uint64_t init_pid_ns, init_task;
	uint64_t per_cpu_offset; /* array; 0: one CPU, whose per-CPU variables are ordinary ones */
	uint64_t cpu_online, cpu_possible; /* masks; 0: one CPU */
	uint64_t nr_cpu_ids;     /* variable, or 0 */
	uint32_t max_cpus;       /* bits in a mask */
	uint32_t reserved;
	struct gf_layout_clock clock;
	struct gf_layout_host host;
	struct gf_layout_task task;
	struct gf_layout_signal signal;
	struct gf_layout_pid pid;
	struct gf_layout_mm mm;
	struct gf_layout_files files;
	struct gf_layout_xarray xa;
	struct gf_layout_path path;
};
GF_STATIC_ASSERT(sizeof(struct gf_layout) == 856 && offsetof(struct gf_layout, host) == 104 && offsetof(struct gf_layout, task) == 448,
		 "gf_layout");

#endif
