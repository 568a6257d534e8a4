/* SPDX-License-Identifier: MIT
 *
 * Strings of a process: its control group, executable and command line. One lane a string; each is read
 * once an identity and program, so cost does not matter much, but bounds do.
 */
#ifndef GPUFAS_PATH_H
#define GPUFAS_PATH_H

#include "gpu/walk.h"

#define GF_PATH_DEPTH 256u /* names in one path */
#define GF_NAME_LEN   255u /* NAME_MAX */

/* A path grows from its end, in buf[at, size). */
struct gf_text {
	char *buf;
	uint32_t size, at;
};

/* "/name" before what is there: 0 or -1 (no room, no such memory, a name that ends too late). len GF_ABSENT: up to a NUL. */
GF_OUTLINE int gf_text_name(const struct gf_kmem *k, struct gf_text *t, uint64_t name, uint32_t len)
{
	char c[GF_NAME_LEN + 1];
	uint32_t n = 0;

	for (; n < GF_MIN(len, GF_NAME_LEN + 1); n++) {
		if (gf_kmem_read(k, name + n, &c[n], 1))
			return -1;
		if (!c[n])
			break;
	}
	if (n > GF_NAME_LEN || (len != GF_ABSENT && n != len) || t->at < n + 1)
		return -1;
	t->at -= n;
	for (uint32_t i = 0; i < n; i++)
		t->buf[t->at + i] = c[i];
	t->buf[--t->at] = '/';
	return 0;
}

/* Moves a path to the front of its buffer: its length. "" becomes "/". */
GF_INLINE uint32_t gf_text_done(struct gf_text *t)
{
	uint32_t n = t->size - t->at;

	if (!n) {
		t->buf[0] = '/';
		return 1;
	}
	for (uint32_t i = 0; i < n; i++)
		t->buf[i] = t->buf[t->at + i];
	return n;
}

/* What says which cgroup v2 a task is in: its kernfs_node and that one's number, which is not given out again.
 * task: mapped. 0 or -1. */
GF_INLINE int gf_cgroup_of(const struct gf_kmem *k, const struct gf_layout *l, const uint8_t *task, uint64_t *ret_kn,
			   uint64_t *ret_id)
{
	const struct gf_layout_path *o = &l->path;
	uint64_t at;

	if (l->task.cgroups == GF_ABSENT || o->css_dfl_cgrp == GF_ABSENT || o->cgroup_kn == GF_ABSENT || o->kn_parent == GF_ABSENT ||
	    o->kn_name == GF_ABSENT || o->kn_id == GF_ABSENT)
		return -1;
	at = gf_load(task + l->task.cgroups, 8);
	if (!at || gf_kmem_load(k, at + o->css_dfl_cgrp, 8, &at) || !at || gf_kmem_load(k, at + o->cgroup_kn, 8, &at) || !at)
		return -1;
	*ret_kn = at;
	return gf_kmem_load(k, at + o->kn_id, 8, ret_id);
}

/* The path of a kernfs_node from its root, as kernfs_path() has it: 0 or -1. Not ended by NUL. */
GF_OUTLINE int gf_kernfs_path(const struct gf_kmem *k, const struct gf_layout *l, uint64_t kn, char *buf, uint32_t size,
			     uint32_t *ret_len)
{
	const struct gf_layout_path *o = &l->path;
	struct gf_text t = { buf, size, size };

	for (uint32_t depth = 0; depth < GF_PATH_DEPTH; depth++) {
		uint64_t parent, name;

		if (gf_kmem_load(k, kn + o->kn_parent, 8, &parent))
			return -1;
		if (!parent) {
			*ret_len = gf_text_done(&t);
			return 0;
		}
		if (gf_kmem_load(k, kn + o->kn_name, 8, &name) || gf_text_name(k, &t, name, GF_ABSENT))
			return -1;
		kn = parent;
	}
	return -1;
}

/* The path of an address space's executable up to the top of its mounts (fs/d_path.c): 0 or -1. */
GF_OUTLINE int gf_exe_path(const struct gf_kmem *k, const struct gf_layout *l, uint64_t mm, char *buf, uint32_t size,
			  uint32_t *ret_len)
{
	const struct gf_layout_path *o = &l->path;
	struct gf_text t = { buf, size, size };
	uint64_t file, vfs, dentry, mount;

	if (l->mm.exe_file == GF_ABSENT || o->file_path == GF_ABSENT || o->path_mnt == GF_ABSENT || o->path_dentry == GF_ABSENT ||
	    o->dentry_parent == GF_ABSENT || o->dentry_name == GF_ABSENT || o->dentry_len == GF_ABSENT || o->vfs_root == GF_ABSENT ||
	    o->mount_vfs == GF_ABSENT || o->mount_parent == GF_ABSENT || o->mount_point == GF_ABSENT)
		return -1;
	if (gf_kmem_load(k, mm + l->mm.exe_file, 8, &file) || !file ||
	    gf_kmem_load(k, file + o->file_path + o->path_mnt, 8, &vfs) || !vfs ||
	    gf_kmem_load(k, file + o->file_path + o->path_dentry, 8, &dentry))
		return -1;
	mount = vfs - o->mount_vfs;
	for (uint32_t depth = 0; depth < GF_PATH_DEPTH; depth++) {
		uint64_t root, parent, name, len;

		if (gf_kmem_load(k, mount + o->mount_vfs + o->vfs_root, 8, &root) || gf_kmem_load(k, dentry + o->dentry_parent, 8, &parent))
			return -1;
		if (dentry == root) {
			/* The mount's own root: go on where it is mounted. */
			uint64_t up, point;

			if (gf_kmem_load(k, mount + o->mount_parent, 8, &up) || gf_kmem_load(k, mount + o->mount_point, 8, &point))
				return -1;
			if (up != mount) {
				mount = up;
				dentry = point;
				continue;
			}
		}
		if (dentry == parent && (dentry == root || t.at != t.size)) {
			*ret_len = gf_text_done(&t);
			return 0;
		}
		if (gf_kmem_load(k, dentry + o->dentry_name, 8, &name) || gf_kmem_load(k, dentry + o->dentry_len, 4, &len) ||
		    gf_text_name(k, &t, name, (uint32_t)len))
			return -1;
		if (dentry == parent) { /* a file without a place, such as a memfd: its name is all there is */
			*ret_len = gf_text_done(&t);
			return 0;
		}
		dentry = parent;
	}
	return -1;
}

/* Up to size bytes of an address space's arguments, joined by blanks, out of its own pages: 0, or -1 when one
 * of them is not in memory. */
GF_OUTLINE int gf_cmdline(const struct gf_kmem *k, const struct gf_layout *l, uint64_t mm, char *buf, uint32_t size,
			 uint32_t *ret_len)
{
	struct gf_gva pgd;
	struct gf_gpa table, gpa;
	uint64_t from, to, left;
	uint32_t n = 0;

	if (l->mm.pgd == GF_ABSENT || l->mm.arg_start == GF_ABSENT || l->mm.arg_end == GF_ABSENT ||
	    gf_kmem_load(k, mm + l->mm.pgd, 8, &pgd.v) || gf_kva_gpa(k, pgd, &table, &left) ||
	    gf_kmem_load(k, mm + l->mm.arg_start, 8, &from) || gf_kmem_load(k, mm + l->mm.arg_end, 8, &to) || from > to || to >> 56)
		return -1;
	to = GF_MIN(to, from + size);
	while (from < to) {
		uint64_t part;
		const volatile uint8_t *p;

		if (gf_pt_walk(&k->ram, table, k->levels, from, &gpa, &left))
			return -1;
		part = GF_MIN(GF_MIN(left, to - from), 4096 - (from & 4095));
		p = gf_ram_at(&k->ram, gpa, part);
		if (!p)
			return -1;
		for (uint64_t i = 0; i < part; i++)
			buf[n++] = (char)p[i];
		from += part;
	}
	while (n && !buf[n - 1])
		n--;
	for (uint32_t i = 0; i < n; i++)
		if (!buf[i])
			buf[i] = ' ';
	*ret_len = n;
	return 0;
}

#endif
