// SPDX-License-Identifier: MIT
#include "targets/layout.h"

#include <errno.h>
#include <string.h>

/* One offset: of a member of a struct, by the first of up to three names that the kernel has. */
struct want_member {
	uint32_t to; /* in struct gf_layout */
	const char *type;
	const char *name[3];
	bool must;
};

#define AT(field) (uint32_t) offsetof(struct gf_layout, field)

static const struct want_member task_members[] = {
	{ AT(task.flags), "task_struct", { "flags" }, true },
	{ AT(task.state), "task_struct", { "__state", "state" }, true }, /* 2f064a59a11f, 5.14 */
	{ AT(task.exit_state), "task_struct", { "exit_state" }, true },
	{ AT(task.prio), "task_struct", { "prio" }, true },
	{ AT(task.static_prio), "task_struct", { "static_prio" }, true },
	{ AT(task.policy), "task_struct", { "policy" }, true },
	{ AT(task.pid), "task_struct", { "pid" }, true },
	{ AT(task.tgid), "task_struct", { "tgid" }, true },
	{ AT(task.real_parent), "task_struct", { "real_parent" }, true },
	{ AT(task.group_leader), "task_struct", { "group_leader" }, true },
	{ AT(task.thread_pid), "task_struct", { "thread_pid" }, true },
	{ AT(task.thread_node), "task_struct", { "thread_node" }, true },
	{ AT(task.tgid_link), "task_struct", { "pid_links[1]" }, true },
	{ AT(task.mm), "task_struct", { "mm" }, true },
	{ AT(task.signal), "task_struct", { "signal" }, true },
	{ AT(task.files), "task_struct", { "files" }, true },
	{ AT(task.real_cred), "task_struct", { "real_cred" }, true },
	{ AT(task.cgroups), "task_struct", { "cgroups" }, false },
	{ AT(task.vfork_done), "task_struct", { "vfork_done" }, false },
	{ AT(task.start_boottime), "task_struct", { "start_boottime" }, true },
	{ AT(task.comm), "task_struct", { "comm" }, true },
	{ AT(task.self_exec_id), "task_struct", { "self_exec_id" }, false },
	{ AT(task.sum_exec), "task_struct", { "se.sum_exec_runtime" }, true },
	{ AT(task.utime), "task_struct", { "utime" }, true },
	{ AT(task.stime), "task_struct", { "stime" }, true },
	{ AT(task.min_flt), "task_struct", { "min_flt" }, true },
	{ AT(task.maj_flt), "task_struct", { "maj_flt" }, true },
	{ AT(task.read_bytes), "task_struct", { "ioac.read_bytes" }, false },
	{ AT(task.write_bytes), "task_struct", { "ioac.write_bytes" }, false },
};

static const struct want_member signal_members[] = {
	{ AT(signal.live), "signal_struct", { "live" }, true },
	{ AT(signal.nr_threads), "signal_struct", { "nr_threads" }, true },
	{ AT(signal.thread_head), "signal_struct", { "thread_head" }, true },
	{ AT(signal.flags), "signal_struct", { "flags" }, true },
	{ AT(signal.pgid), "signal_struct", { "pids[2]" }, true },
	{ AT(signal.sid), "signal_struct", { "pids[3]" }, true },
	{ AT(signal.stats_seq), "signal_struct", { "stats_lock.seqcount.seqcount.sequence", "stats_lock.seqcount.sequence" }, true },
	{ AT(signal.oom_score_adj), "signal_struct", { "oom_score_adj" }, true },
	{ AT(signal.sum_sched), "signal_struct", { "sum_sched_runtime" }, true },
	{ AT(signal.utime), "signal_struct", { "utime" }, true },
	{ AT(signal.stime), "signal_struct", { "stime" }, true },
	{ AT(signal.prev_utime), "signal_struct", { "prev_cputime.utime" }, false },
	{ AT(signal.prev_stime), "signal_struct", { "prev_cputime.stime" }, false },
	{ AT(signal.min_flt), "signal_struct", { "min_flt" }, true },
	{ AT(signal.maj_flt), "signal_struct", { "maj_flt" }, true },
	{ AT(signal.read_bytes), "signal_struct", { "ioac.read_bytes" }, false },
	{ AT(signal.write_bytes), "signal_struct", { "ioac.write_bytes" }, false },
};

static const struct want_member pid_members[] = {
	{ AT(pid.level), "pid", { "level" }, true },
	{ AT(pid.tgid_first), "pid", { "tasks[1].first" }, true },
	{ AT(pid.numbers), "pid", { "numbers" }, true },
};

static const struct want_member mm_members[] = {
	{ AT(mm.total_vm), "mm_struct", { "total_vm" }, true },
	{ AT(mm.pgtables), "mm_struct", { "pgtables_bytes" }, false },
	{ AT(mm.flags), "mm_struct", { "flags" }, false }, /* a bitmap since 6.18: the same bits in the same place */
	{ AT(mm.pgd), "mm_struct", { "pgd" }, false },
	{ AT(mm.arg_start), "mm_struct", { "arg_start" }, false },
	{ AT(mm.arg_end), "mm_struct", { "arg_end" }, false },
	{ AT(mm.exe_file), "mm_struct", { "exe_file" }, false },
};

static const struct want_member xa_members[] = {
	{ AT(xa.shift), "xa_node", { "shift" }, true },
	{ AT(xa.offset), "xa_node", { "offset" }, true },
	{ AT(xa.parent), "xa_node", { "parent" }, true },
	{ AT(xa.array), "xa_node", { "array" }, true },
	{ AT(xa.slots), "xa_node", { "slots" }, true },
};

/* Those that do not share a span. */
static const struct want_member other_members[] = {
	{ AT(pid.upid_nr), "upid", { "nr" }, true },
	{ AT(xa.head), "pid_namespace", { "idr.idr_rt.xa_head" }, true },
	{ AT(files.fdt), "files_struct", { "fdt" }, true },
	{ AT(files.max_fds), "fdtable", { "max_fds" }, true },
	{ AT(files.open_fds), "fdtable", { "open_fds" }, true },
	{ AT(files.cred_euid), "cred", { "euid" }, true },
	{ AT(files.cred_egid), "cred", { "egid" }, true },
	{ AT(path.css_dfl_cgrp), "css_set", { "dfl_cgrp" }, false },
	{ AT(path.cgroup_kn), "cgroup", { "kn" }, false },
	{ AT(path.kn_parent), "kernfs_node", { "__parent", "parent" }, false }, /* 741c10b096bc, 6.15 */
	{ AT(path.kn_name), "kernfs_node", { "name" }, false },
	{ AT(path.kn_id), "kernfs_node", { "id" }, false },
	{ AT(path.file_path), "file", { "f_path", "__f_path" }, false },
	{ AT(path.path_mnt), "path", { "mnt" }, false },
	{ AT(path.path_dentry), "path", { "dentry" }, false },
	{ AT(path.dentry_parent), "dentry", { "d_parent" }, false },
	{ AT(path.dentry_name), "dentry", { "d_name.name", "__d_name.name" }, false },
	{ AT(path.dentry_len), "dentry", { "d_name.len", "__d_name.len" }, false },
	{ AT(path.vfs_root), "vfsmount", { "mnt_root" }, false },
	{ AT(path.mount_vfs), "mount", { "mnt" }, false },
	{ AT(path.mount_parent), "mount", { "mnt_parent" }, false },
	{ AT(path.mount_point), "mount", { "mnt_mountpoint" }, false },
	{ AT(host.psi_updated), "psi_group", { "avg_last_update" }, false },
	{ AT(host.rq_running), "rq", { "nr_running" }, false },
	{ AT(host.rq_curr), "rq", { "curr" }, false },
	{ AT(host.rq_idle), "rq", { "idle" }, false },
	{ AT(host.rq_iowait), "rq", { "nr_iowait" }, false },
	{ AT(host.ts_iowait), "tick_sched", { "iowait_sleeptime" }, false },
	{ AT(host.ts_entry), "tick_sched", { "idle_entrytime" }, false },
	{ AT(host.zones_off), "pglist_data", { "node_zones" }, false },
	{ AT(host.zone_boost), "zone", { "watermark_boost" }, false }, /* 1c30844d2dfe, 5.0 */
	{ AT(host.sb_inodes), "super_block", { "s_inodes" }, false },
	{ AT(host.inode_sb_list), "inode", { "i_sb_list" }, false },
	{ AT(host.inode_mapping), "inode", { "i_mapping" }, false },
	{ AT(host.mapping_nrpages), "address_space", { "nrpages" }, false },
};

static void put(struct gf_layout *l, uint32_t to, uint32_t v)
{
	memcpy((char *)l + to, &v, sizeof v);
}

static int member(const struct gf_kernel *k, const char *type, const char *const name[3], struct gf_btf_member *ret)
{
	for (int i = 0; i < 3 && name[i]; i++)
		if (gf_btf_member(k->btf, type, name[i], ret) == 0)
			return 0;
	return -ENOENT;
}

/* span: raised to the end of the last of them, or NULL. */
static int fill(const struct gf_kernel *k, struct gf_layout *l, const struct want_member *w, size_t n, uint32_t *span,
		struct gf_err *err)
{
	for (size_t i = 0; i < n; i++) {
		struct gf_btf_member m;

		if (member(k, w[i].type, w[i].name, &m)) {
			if (w[i].must)
				return gf_err_set(err, ENOTSUP, "the type information of Linux %s has no member %s in struct %s: this kernel is not "
						  "understood", k->release, w[i].name[0], w[i].type);
			continue;
		}
		put(l, w[i].to, m.off);
		if (span)
			*span = GF_MAX(*span, m.off + GF_MAX(m.size, 8u));
	}
	return 0;
}

static void fill_rss(const struct gf_kernel *k, struct gf_layout *l)
{
	static const char *const part[GF_RSS_PARTS] = {
		[GF_RSS_FILE] = "MM_FILEPAGES", [GF_RSS_ANON] = "MM_ANONPAGES", [GF_RSS_SWAP] = "MM_SWAPENTS", [GF_RSS_SHMEM] = "MM_SHMEMPAGES",
	};
	struct gf_layout_mm *o = &l->mm;
	struct gf_btf_member m;

	for (uint32_t i = 0; i < GF_RSS_PARTS; i++) {
		char path[64];
		int64_t at;

		if (gf_btf_enum(k->btf, part[i], &at) || at < 0 || at > 15)
			return;
		snprintf(path, sizeof path, "rss_stat[%d].count", (int)at);
		if (gf_btf_member(k->btf, "mm_struct", path, &m) == 0) {
			o->rss[i] = m.off;
			o->span = GF_MAX(o->span, m.off + 8);
			snprintf(path, sizeof path, "rss_stat[%d].counters", (int)at);
			if (gf_btf_member(k->btf, "mm_struct", path, &m))
				return; /* a kernel for one CPU has no parts: struct percpu_counter is the count */
			o->rss_cpu[i] = m.off;
			o->span = GF_MAX(o->span, m.off + 8);
			o->rss_kind = i == GF_RSS_PARTS - 1 ? GF_RSS_PERCPU : GF_RSS_NONE;
			continue;
		}
		snprintf(path, sizeof path, "rss_stat.count[%d]", (int)at);
		if (gf_btf_member(k->btf, "mm_struct", path, &m))
			return;
		o->rss[i] = m.off;
		o->span = GF_MAX(o->span, m.off + 8);
		o->rss_kind = i == GF_RSS_PARTS - 1 ? GF_RSS_ATOMIC : GF_RSS_NONE;
	}
}

static void fill_clock(const struct gf_kernel *k, struct gf_layout *l)
{
	struct gf_layout_clock *o = &l->clock;
	struct gf_btf_member tk, m;
	uint64_t va;

	gf_kernel_sym(k, "jiffies_64", &o->jiffies);
	/* struct tk_data since 6.13; before, a struct without a name: a sequence count, then the timekeeper. Its symbol
	 * is that of an array whose first element is the core timekeeper since 6.17. */
	if (gf_kernel_sym_any(k, (const char *const[]){ "tk_core", "timekeeper_data" }, 2, &va))
		return;
	o->seq = va;
	if (gf_btf_member(k->btf, "tk_data", "timekeeper", &tk) == 0) {
		o->timekeeper = va + tk.off;
		if (gf_btf_member(k->btf, "tk_data", "seq", &m) == 0)
			o->seq = va + m.off;
	} else {
		uint32_t t = gf_btf_type(k->btf, "seqcount_raw_spinlock_t"), size = t ? gf_btf_size(k->btf, t) : 0;
		if (!size)
			t = gf_btf_type(k->btf, "seqcount_raw_spinlock"), size = t ? gf_btf_size(k->btf, t) : 0;
		o->timekeeper = va + (size ? (size + 7) / 8 * 8 : 8);
	}
	if (gf_btf_member(k->btf, "timekeeper", "tkr_mono.base", &m))
		goto none;
	o->base = m.off;
	if (gf_btf_member(k->btf, "timekeeper", "tkr_mono.xtime_nsec", &m))
		goto none;
	o->xtime_nsec = m.off;
	if (gf_btf_member(k->btf, "timekeeper", "tkr_mono.shift", &m))
		goto none;
	o->shift = m.off;
	if (gf_btf_member(k->btf, "timekeeper", "offs_boot", &m))
		goto none;
	o->offs_boot = m.off;
	o->span = gf_btf_size(k->btf, gf_btf_type(k->btf, "timekeeper"));
	/* It points to a clock source of the kernel's, twice to the same mask: else it is not where it was thought to be. */
	if (gf_btf_member(k->btf, "timekeeper", "tkr_mono.mask", &m) == 0) {
		uint64_t mask = 0;
		if (gf_kmem_load(&k->mem, o->timekeeper + m.off, 8, &mask) || !mask || mask & (mask + 1))
			goto none;
	}
	return;
none:
	o->timekeeper = 0;
}

static void fill_index(const struct gf_kernel *k, uint32_t *to, const char *name, uint32_t scale)
{
	int64_t v;

	if (gf_btf_enum(k->btf, name, &v) == 0 && v >= 0 && v < 1024)
		*to = (uint32_t)v * scale;
}

static void fill_indices(const struct gf_kernel *k, struct gf_layout_host *o)
{
	static const char *const ns[GF_NS_COUNT] = {
		[GF_NS_ACTIVE_FILE] = "NR_ACTIVE_FILE", [GF_NS_INACTIVE_FILE] = "NR_INACTIVE_FILE",
		[GF_NS_SLAB_RECLAIMABLE] = "NR_SLAB_RECLAIMABLE_B", [GF_NS_SLAB_UNRECLAIMABLE] = "NR_SLAB_UNRECLAIMABLE_B",
		[GF_NS_FILE_PAGES] = "NR_FILE_PAGES", [GF_NS_FILE_DIRTY] = "NR_FILE_DIRTY",
		[GF_NS_MISC_RECLAIMABLE] = "NR_KERNEL_MISC_RECLAIMABLE", [GF_NS_SWAPCACHE] = "NR_SWAPCACHE",
	};
	static const char *const vme[GF_VME_COUNT] = {
		"PSWPIN", "PSWPOUT", "PGMAJFAULT", "OOM_KILL", "PGSCAN_KSWAPD", "PGSCAN_DIRECT", "PGSCAN_KHUGEPAGED", "PGSCAN_PROACTIVE",
	};
	static const char *const cs[GF_CS_COUNT] = {
		"CPUTIME_USER", "CPUTIME_NICE", "CPUTIME_SYSTEM", "CPUTIME_IRQ", "CPUTIME_SOFTIRQ", "CPUTIME_IOWAIT", "CPUTIME_STEAL",
	};
	static const char *const psi[GF_PSI_STATES] = {
		"PSI_IO_SOME", "PSI_IO_FULL", "PSI_MEM_SOME", "PSI_MEM_FULL", "PSI_CPU_SOME", "PSI_CPU_FULL",
	};
	struct gf_btf_member m;

	fill_index(k, &o->free_pages, "NR_FREE_PAGES", 1);
	for (int i = 0; i < GF_NS_COUNT; i++)
		fill_index(k, &o->ns[i], ns[i], 1);
	for (int i = 0; i < GF_VME_COUNT; i++)
		fill_index(k, &o->vme[i], vme[i], 8);
	for (int i = 0; i < GF_CS_COUNT; i++)
		fill_index(k, &o->cs[i], cs[i], 8);
	if (gf_btf_member(k->btf, "psi_group", "avg", &m) == 0)
		for (uint32_t i = 0; i < GF_PSI_STATES; i++) {
			fill_index(k, &o->psi_avg[i], psi[i], 3 * 8);
			if (o->psi_avg[i] != GF_ABSENT)
				o->psi_avg[i] += m.off;
		}
}

static void fill_zones(const struct gf_kernel *k, struct gf_layout_host *o)
{
	struct gf_btf_member zones, m;
	uint32_t mask = gf_btf_size(k->btf, gf_btf_type(k->btf, "nodemask_t"));
	char path[32];
	int64_t at;
	uint64_t va;

	o->zones = o->zone_size = 0;
	if (gf_btf_member(k->btf, "pglist_data", "node_zones", &zones) || !zones.elem || gf_btf_enum(k->btf, "WMARK_LOW", &at) || at < 0)
		return;
	snprintf(path, sizeof path, "_watermark[%d]", (int)at);
	if (gf_btf_member(k->btf, "zone", path, &m))
		return;
	o->zone_wmark_low = m.off;
	o->zone_size = zones.elem;
	o->zones = zones.size / zones.elem;
	o->max_nodes = 1;
	/* Nodes are in an array of pointers where there can be several (CONFIG_NUMA). */
	if (gf_kernel_sym(k, "contig_page_data", &o->contig_page_data) == 0)
		return;
	if (gf_kernel_sym(k, "node_data", &o->node_data) || gf_kernel_sym(k, "node_states", &va) || !mask ||
	    gf_btf_enum(k->btf, "N_ONLINE", &at) || at < 0)
		o->zones = 0;
	o->max_nodes = mask * 8;
	o->node_online = va + (uint64_t)at * mask;
}

static void fill_host(const struct gf_kernel *k, struct gf_layout_host *o)
{
	const struct {
		const char *name;
		uint64_t *to;
	} sym[] = {
		{ "_totalram_pages", &o->totalram }, { "total_swap_pages", &o->total_swap }, { "nr_swap_pages", &o->nr_swap },
		{ "vm_zone_stat", &o->zone_stat }, { "vm_node_stat", &o->node_stat }, { "totalreserve_pages", &o->totalreserve },
		{ "blockdev_superblock", &o->blockdev_super }, { "avenrun", &o->avenrun }, { "nr_threads", &o->nr_threads },
		{ "total_forks", &o->total_forks }, { "psi_system", &o->psi }, { "psi_disabled", &o->psi_disabled },
		{ "vm_event_states", &o->vm_events }, { "kernel_cpustat", &o->cpustat }, { "runqueues", &o->runqueues },
		{ "tick_cpu_sched", &o->tick_sched },
	};

	for (size_t i = 0; i < sizeof sym / sizeof *sym; i++)
		gf_kernel_sym(k, sym[i].name, sym[i].to);
	fill_indices(k, o);
	fill_zones(k, o);
}

static int fill_symbols(const struct gf_kernel *k, struct gf_layout *l, struct gf_err *err)
{
	uint32_t mask = gf_btf_size(k->btf, gf_btf_type(k->btf, "cpumask"));

	if (gf_kernel_sym(k, "init_pid_ns", &l->init_pid_ns))
		return gf_err_set(err, ENOTSUP, "the symbol table of Linux %s has no init_pid_ns: it was built without CONFIG_KALLSYMS_ALL, which "
				  "Debian's kernels have", k->release);
	gf_kernel_sym(k, "init_task", &l->init_task);
	gf_kernel_sym(k, "__per_cpu_offset", &l->per_cpu_offset);
	gf_kernel_sym(k, "__cpu_online_mask", &l->cpu_online);
	gf_kernel_sym(k, "__cpu_possible_mask", &l->cpu_possible);
	gf_kernel_sym(k, "nr_cpu_ids", &l->nr_cpu_ids);
	l->max_cpus = GF_MIN(mask, 1u << 13) * 8;
	return 0;
}

/* Offsets and indices are absent until found; symbols, sizes and counts 0. */
static void blank(struct gf_layout *l)
{
	memset(l, 0, sizeof *l);
	memset(&l->task, 0xff, sizeof l->task);
	memset(&l->signal, 0xff, sizeof l->signal);
	memset(&l->pid, 0xff, sizeof l->pid);
	memset(&l->mm, 0xff, sizeof l->mm);
	memset(&l->files, 0xff, sizeof l->files);
	memset(&l->path, 0xff, sizeof l->path);
	memset(&l->host.free_pages, 0xff, sizeof l->host - offsetof(struct gf_layout_host, free_pages));
	l->task.span = l->signal.span = l->pid.span = l->mm.span = 0;
	l->mm.rss_kind = GF_RSS_NONE;
}

#define FILL(list, span) fill(k, &l, list, sizeof list / sizeof *list, span, err)

int gf_layout_fill(const struct gf_kernel *k, struct gf_layout *ret, struct gf_err *err)
{
	struct gf_btf_member idr;
	struct gf_layout l;
	int r;

	blank(&l);
	r = fill_symbols(k, &l, err);
	if (!r)
		r = FILL(task_members, &l.task.span);
	if (!r)
		r = FILL(signal_members, &l.signal.span);
	if (!r)
		r = FILL(pid_members, &l.pid.span);
	if (!r)
		r = FILL(mm_members, &l.mm.span);
	if (!r)
		r = FILL(xa_members, &l.xa.span);
	if (!r)
		r = FILL(other_members, NULL);
	if (r)
		return r;
	l.pid.upid_size = gf_btf_size(k->btf, gf_btf_type(k->btf, "upid"));
	l.pid.span = GF_MAX(l.pid.span, l.pid.numbers + l.pid.upid_size);
	l.task.span = GF_MAX(l.task.span, l.task.comm + 16);
	if (gf_btf_member(k->btf, "pid_namespace", "idr.idr_rt", &idr))
		return gf_err_set(err, ENOTSUP, "the process ids of Linux %s are not in an xarray: this kernel is not understood", k->release);
	l.xa.array_at = l.init_pid_ns + idr.off;
	fill_rss(k, &l);
	fill_clock(k, &l);
	fill_host(k, &l.host);
	*ret = l;
	return 0;
}
