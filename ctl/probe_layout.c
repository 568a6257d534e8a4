/* SPDX-License-Identifier: MIT */
#include "ctl/probe.h"

#include <inttypes.h>

#define FIELDS_TASK(X) \
	X(task, flags) X(task, state) X(task, exit_state) X(task, prio) X(task, static_prio) X(task, policy) X(task, pid) \
	X(task, tgid) X(task, real_parent) X(task, group_leader) X(task, thread_pid) X(task, thread_node) X(task, tgid_link) \
	X(task, mm) X(task, signal) X(task, files) X(task, real_cred) X(task, cgroups) X(task, vfork_done) \
	X(task, start_boottime) X(task, comm) X(task, self_exec_id) X(task, sum_exec) X(task, utime) X(task, stime) \
	X(task, min_flt) X(task, maj_flt) X(task, read_bytes) X(task, write_bytes)
#define FIELDS_SIGNAL(X) \
	X(signal, live) X(signal, nr_threads) X(signal, thread_head) X(signal, flags) X(signal, pgid) X(signal, sid) \
	X(signal, stats_seq) X(signal, oom_score_adj) X(signal, sum_sched) X(signal, utime) X(signal, stime) \
	X(signal, prev_utime) X(signal, prev_stime) X(signal, min_flt) X(signal, maj_flt) X(signal, read_bytes) \
	X(signal, write_bytes)
#define FIELDS_PID(X) \
	X(pid, level) X(pid, tgid_first) X(pid, numbers) X(pid, upid_size) X(pid, upid_nr)
#define FIELDS_MM(X) \
	X(mm, total_vm) X(mm, pgtables) X(mm, flags) X(mm, pgd) X(mm, arg_start) X(mm, arg_end) X(mm, exe_file)
#define FIELDS_FILES(X) \
	X(files, fdt) X(files, max_fds) X(files, open_fds) X(files, cred_euid) X(files, cred_egid)
#define FIELDS_XA(X) \
	X(xa, head) X(xa, shift) X(xa, offset) X(xa, parent) X(xa, array) X(xa, slots)
#define FIELDS_PATH(X) \
	X(path, css_dfl_cgrp) X(path, cgroup_kn) X(path, kn_parent) X(path, kn_name) X(path, kn_id) X(path, file_path) \
	X(path, path_mnt) X(path, path_dentry) X(path, dentry_parent) X(path, dentry_name) X(path, dentry_len) \
	X(path, vfs_root) X(path, mount_vfs) X(path, mount_parent) X(path, mount_point)

struct field {
	const char *name;
	size_t at; /* in struct gf_layout */
};

#define FIELD(part, name) { #name, offsetof(struct gf_layout, part.name) },
#define PART(NAME, part) { part, (const struct field[]){ FIELDS_##NAME(FIELD) { NULL, 0 } } }

static const struct {
	const char *name; /* as C would */
	const struct field *field;
} parts[] = {
	PART(TASK, "task"), PART(SIGNAL, "signal"), PART(PID, "pid"), PART(MM, "mm"), PART(FILES, "files"),
	PART(XA, "xarray"), PART(PATH, "paths"),
};

json_t *gf_probe_layout(const struct gf_layout *l)
{
	json_t *all = json_object();

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		json_t *part = json_object();

		for (const struct field *f = parts[i].field; f->name; f++) {
			uint32_t off = *(const uint32_t *)(const void *)((const char *)l + f->at);

			json_object_set_new(part, f->name, off == GF_ABSENT ? json_null() : json_integer(off));
		}
		json_object_set_new(all, parts[i].name, part);
	}
	return all;
}

#define CPUS 8192u /* NR_CPUS at most */
#define SHOWN 4u

static bool bit_of(const struct gf_kernel *k, uint64_t mask, uint32_t i)
{
	uint64_t word;

	return mask && gf_kmem_load(&k->mem, mask + i / 64 * 8, 8, &word) == 0 && word >> i % 64 & 1;
}

json_t *gf_probe_cpus(const struct gf_kernel *k, const struct gf_layout *l)
{
	json_t *areas = json_array();
	uint32_t online = 0, possible = 0;
	char text[32];

	if (!l->per_cpu_offset) {
		json_decref(areas);
		return json_pack("{s:i, s:i}", "online", 1, "possible", 1);
	}
	for (uint32_t i = 0; i < GF_MIN(l->max_cpus, CPUS); i++) {
		uint64_t off;

		online += bit_of(k, l->cpu_online, i);
		if (!bit_of(k, l->cpu_possible, i))
			continue;
		if (possible++ < SHOWN && gf_kmem_load(&k->mem, l->per_cpu_offset + i * 8, 8, &off) == 0) {
			snprintf(text, sizeof text, "0x%" PRIx64, off);
			json_array_append_new(areas, json_string(text));
		}
	}
	return json_pack("{s:i, s:i, s:o}", "online", (int)online, "possible", (int)possible, "per_cpu_offset", areas);
}
