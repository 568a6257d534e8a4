/* SPDX-License-Identifier: MIT */
#include "ctl/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>


#define QMP_TIMEOUT_MS 5000

static int map_guest(const char *socket, bool writable, struct gf_ramfile **ret, struct gf_qmp_guest *g, struct gf_err *err)
{
	struct gf_qmp *q = NULL;
	uint64_t cr3 = 0;
	int r = gf_qmp_connect(socket, QMP_TIMEOUT_MS, &q, err);

	if (r)
		return r;
	r = gf_qmp_guest(q, g, err);
	if (!r && gf_qmp_cr3(q, &cr3, NULL))
		cr3 = 0; /* then a kernel of an earlier boot may be found, which is said of none */
	gf_qmp_close(q);
	if (r)
		return r;
	r = gf_ramfile_map_files(g->fd, g->what, g->piece, g->pieces, writable && g->writable, ret, err);
	gf_qmp_guest_close(g);
	if (!r)
		gf_ramfile_set_cr3(*ret, cr3);
	return r;
}

int gf_ctl_memory_map(const char *where, const struct gf_ram_piece *piece, size_t n, bool writable, struct gf_ramfile **ret,
		      struct gf_qmp_guest *ret_guest, struct gf_err *err)
{
	struct stat st;

	memset(ret_guest, 0, sizeof *ret_guest);
	if (!strncmp(where, GF_QMP_LIBVIRT, sizeof GF_QMP_LIBVIRT - 1))
		return map_guest(where, writable, ret, ret_guest, err);
	if (stat(where, &st))
		return gf_err_set(err, errno, "cannot look at '%s': %s", where, strerror(errno));
	if (S_ISSOCK(st.st_mode) && n)
		return gf_err_set(err, EINVAL, "%s is a QMP socket: QEMU knows the layout itself", where);
	if (S_ISSOCK(st.st_mode))
		return map_guest(where, writable, ret, ret_guest, err);
	/* What cannot be opened for writing (no right to, a program that runs) can be looked at. */
	if (writable && gf_ramfile_open(where, piece, n, true, ret, NULL) == 0)
		return 0;
	return gf_ramfile_open(where, piece, n, false, ret, err);
}

int gf_ctl_memory_open(const char *where, struct gf_ctl_memory *ret, struct gf_err *err)
{
	struct gf_ctl_memory m = { 0 };
	struct gf_qmp_guest g;
	int r = gf_ctl_memory_map(where, NULL, 0, false, &m.ram, &g, err);

	if (!r)
		r = gf_kernel_find(m.ram, &m.kernel, err);
	if (r) {
		gf_ctl_memory_close(&m);
		return r;
	}
	*ret = m;
	return 0;
}

void gf_ctl_memory_close(struct gf_ctl_memory *m)
{
	gf_kernel_free(m->kernel);
	if (m->ram)
		gf_ramfile_close(m->ram);
	*m = (struct gf_ctl_memory){ 0 };
}

int gf_ctl_memory_path(void *arg, const char *path, size_t *ret_at, size_t *ret_len, struct gf_err *err)
{
	const struct gf_ctl_memory *m = arg;
	struct gf_kpath p;

	return gf_btf_path(m->kernel->btf, path, &p, ret_at, ret_len, err);
}
