/* SPDX-License-Identifier: MIT
 *
 * Pointers that do not lead to one place in the kernel's memory: per-CPU ones (each CPU adds its own offset), and those
 * into a process's memory. clang notes them in BTF (type tags, Linux 5.17 and later); gcc, which Debian builds kernels
 * with, does not: hence a table of those a task may be asked for. One that is not in it is still harmless: the bare number
 * is no address of the kernel's, and the path's value unknown.
 */
#include "targets/btf_int.h"

#include <string.h>

#define PERCPU "percpu"
#define USER   "user"

/* Declared __percpu or __user in include/linux, kernel, mm and fs of 6.1, 6.12 and 6.18. */
static const struct { const char *in, *member, *space; } spaces[] = {
	{ "task_struct", "robust_list", USER },
	{ "task_struct", "compat_robust_list", USER },
	{ "task_struct", "rseq", USER },
	{ "mm_struct", "pcpu_cid", PERCPU },
	{ "psi_group", "pcpu", PERCPU },
	{ "cgroup", "rstat_cpu", PERCPU },
	{ "cgroup", "rstat_base_cpu", PERCPU },
	{ "cgroup_subsys_state", "rstat_cpu", PERCPU },
	{ "mem_cgroup", "vmstats_percpu", PERCPU },
	{ "mem_cgroup", "events_percpu", PERCPU },
	{ "mem_cgroup_per_node", "lruvec_stats_percpu", PERCPU },
	{ "perf_cgroup", "info", PERCPU },
	{ "pmu", "pmu_cpu_context", PERCPU },
	{ "pmu", "cpu_pmu_context", PERCPU },
	{ "mount", "mnt_pcp", PERCPU },
	{ "srcu_struct", "sda", PERCPU },
	{ "bpf_prog", "stats", PERCPU },
	{ "trace_event_call", "perf_events", PERCPU },
	{ "block_device", "bd_stats", PERCPU },
	{ "request_queue", "queue_ctx", PERCPU },
	{ "bio_set", "cache", PERCPU },
	{ "swap_info_struct", "percpu_cluster", PERCPU },
	{ "zone", "per_cpu_pageset", PERCPU },
	{ "zone", "per_cpu_zonestats", PERCPU },
	{ "pglist_data", "per_cpu_nodestats", PERCPU },
	{ "kmem_cache", "cpu_slab", PERCPU },
	{ "kmem_cache", "cpu_sheaves", PERCPU },
	{ "netns_core", "prot_inuse", PERCPU },
	{ "netns_ct", "stat", PERCPU },
	{ "net_device", "lstats", PERCPU },
	{ "net_device", "tstats", PERCPU },
	{ "net_device", "dstats", PERCPU },
	{ "net_device", "core_stats", PERCPU },
	{ "net_device", "xdp_bulkq", PERCPU },
};

/* By the tags that may stand between a pointer and what it points to. */
static const char *by_tag(const struct gf_btf *b, uint32_t type)
{
	static const char *const tags[] = { PERCPU, USER, "iomem" };
	uint32_t id = gf_btf_at(b, b->bare[type])->type;

	for (uint32_t i = 0; i < GF_BTF_CHAIN; i++) {
		const struct btf_type *t = gf_btf_at(b, id);
		if (!gf_btf_is_modifier(gf_btf_kind(t)))
			break;
		/* with kind_flag (6.14 and later) it is some other attribute */
		if (gf_btf_kind(t) == BTF_KIND_TYPE_TAG && !BTF_INFO_KFLAG(t->info))
			for (size_t k = 0; k < sizeof tags / sizeof *tags; k++)
				if (!strcmp(gf_btf_str(b, t->name_off), tags[k]))
					return tags[k];
		id = t->type;
	}
	return NULL;
}

const char *gf_btf_space(const struct gf_btf *b, uint32_t type, uint32_t in, const char *name, size_t len)
{
	const char *tag, *s;

	if (gf_btf_kind(gf_btf_at(b, b->bare[type])) != BTF_KIND_PTR)
		return NULL;
	tag = by_tag(b, type);
	if (tag || !in)
		return tag;
	s = gf_btf_str(b, gf_btf_at(b, b->bare[in])->name_off);
	for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++)
		if (!strcmp(s, spaces[i].in) && strlen(spaces[i].member) == len && !strncmp(name, spaces[i].member, len))
			return spaces[i].space;
	return NULL;
}
