/* SPDX-License-Identifier: MIT */
#include "ctl/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "targets/qmp.h"

#define QMP_TIMEOUT_MS 5000

static int map_guest(const char *socket, struct gf_ramfile **ret, struct gf_err *err)
{
	struct gf_qmp_guest g;
	struct gf_qmp *q = NULL;
	int r = gf_qmp_connect(socket, QMP_TIMEOUT_MS, &q, err);

	if (r)
		return r;
	r = gf_qmp_guest(q, &g, err);
	gf_qmp_close(q);
	if (r)
		return r;
	r = gf_ramfile_map_files(g.fd, g.what, g.piece, g.pieces, false, ret, err);
	gf_qmp_guest_close(&g);
	return r;
}

int gf_ctl_memory_open(const char *where, struct gf_ctl_memory *ret, struct gf_err *err)
{
	struct gf_ctl_memory m = { 0 };
	struct stat st;
	int r;

	if (stat(where, &st))
		return gf_err_set(err, errno, "cannot look at '%s': %s", where, strerror(errno));
	r = S_ISSOCK(st.st_mode) ? map_guest(where, &m.ram, err) : gf_ramfile_open(where, NULL, 0, false, &m.ram, err);
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
