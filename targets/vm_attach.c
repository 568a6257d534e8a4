// SPDX-License-Identifier: MIT
#include "targets/vm_keep_int.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "targets/qmp_maps.h"

static bool one_of(const char *s, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(s, *list))
			return true;
	return false;
}

/* RunState of QEMU: those in which memory is not, or no longer, the guest's. */
static int check_status(const struct gf_qmp_guest *g, struct gf_err *err)
{
	static const char *const migrated[] = { "postmigrate", "colo", NULL }, *const coming[] = { "inmigrate", NULL },
				*const before[] = { "prelaunch", "preconfig", NULL }, *const off[] = { "shutdown", NULL };

	if (one_of(g->status, migrated))
		return gf_err_set(err, ENOLINK, "the guest has migrated away: watch it where it runs now");
	if (one_of(g->status, coming))
		return gf_err_set(err, ENOLINK, "the guest is migrating in");
	if (one_of(g->status, before))
		return gf_err_set(err, ENOLINK, "QEMU waits to be told to start the guest (-S; \"cont\")");
	if (one_of(g->status, off))
		return gf_err_set(err, ENOLINK, "the guest has shut down");
	return 0;
}

static int map(struct gf_vm_keep *k, const struct gf_qmp_guest *q, uint64_t cr3, struct gf_guest **ret, struct gf_err *err)
{
	struct gf_ramfile *ram;
	int r = gf_ramfile_map_files(q->fd, q->what, q->piece, q->pieces, q->writable, &ram, err);

	if (r)
		return r;
	if (fstat(q->fd[0], &k->file) < 0)
		memset(&k->file, 0, sizeof k->file);
	gf_ramfile_set_cr3(ram, cr3);
	return gf_guest_create(ram, q->writable, ret, err);
}

static int ask(struct gf_vm_keep *k, struct gf_qmp_guest *q, uint64_t *ret_cr3, struct gf_err *err)
{
	int r;

	pthread_mutex_lock(&k->qmp_lock);
	r = gf_qmp_guest(k->q, q, err);
	if (!r) {
		r = gf_qmp_cr3(k->q, ret_cr3, err);
		if (r)
			gf_qmp_guest_close(q);
	}
	pthread_mutex_unlock(&k->qmp_lock);
	return r;
}

static int attach_qmp(struct gf_vm_keep *k, struct gf_guest **ret, bool *ret_paused, struct gf_err *err)
{
	struct gf_qmp_guest q;
	uint64_t cr3 = 0;
	int r = ask(k, &q, &cr3, err);

	if (r)
		return r;
	*ret_paused = strcmp(q.status, "running") != 0;
	r = check_status(&q, err);
	if (!r)
		r = cr3 ? map(k, &q, cr3, ret, err) : gf_err_set(err, ENODATA, "the guest is in its firmware or boot loader");
	gf_qmp_guest_close(&q);
	return r;
}

static int attach_file(struct gf_vm_keep *k, struct gf_guest **ret, struct gf_err *err)
{
	const struct gf_vm_opts *o = &k->vm->o;
	struct gf_ramfile *ram;
	bool writable = true;
	int r;

	if (stat(o->ram_file, &k->file) < 0)
		return gf_err_set(err, errno, "%s: %s: the virtual machine is not running, or its RAM is elsewhere", o->ram_file, strerror(errno));
	r = gf_ramfile_open(o->ram_file, o->piece, o->pieces, true, &ram, err);
	if (r == -EACCES || r == -EROFS) {
		writable = false;
		r = gf_ramfile_open(o->ram_file, o->piece, o->pieces, false, &ram, err);
	}
	return r ? r : gf_guest_create(ram, writable, ret, err);
}

int gf_vm_attach(struct gf_vm_keep *k, struct gf_guest **ret, bool *ret_paused, struct gf_err *err)
{
	*ret_paused = false;
	return k->q ? attach_qmp(k, ret, ret_paused, err) : attach_file(k, ret, err);
}

bool gf_vm_started(const struct gf_guest *g)
{
	return gf_kernel_started(g->kernel);
}

int gf_vm_runs(struct gf_vm_keep *k)
{
	const struct gf_kernel *kernel = k->g->kernel;
	uint64_t cr3;
	int r;

	if (!k->q)
		return -ENOTSUP;
	pthread_mutex_lock(&k->qmp_lock);
	r = gf_qmp_cr3(k->q, &cr3, NULL);
	pthread_mutex_unlock(&k->qmp_lock);
	return r ? r : gf_kernel_runs(kernel, cr3);
}

bool gf_vm_clock(const struct gf_vm_keep *k, uint64_t *ret)
{
	return k->clock_va && gf_kmem_load(&k->g->kernel->mem, k->clock_va, 8, ret) == 0;
}

int gf_vm_file_check(const struct gf_vm_keep *k, struct gf_err *err)
{
	const char *path = k->vm->o.ram_file;
	struct stat st;

	if (gf_ramfile_lost(k->g->ram))
		return gf_err_set(err, ENODATA, "the file that the guest's RAM is in has been cut: the guest is lost; start it again");
	if (!path)
		return 0;
	if (stat(path, &st) < 0)
		return gf_err_set(err, ENOENT, "%s is gone: the guest has ended", path);
	if (st.st_ino != k->file.st_ino || st.st_dev != k->file.st_dev)
		return gf_err_set(err, ESTALE, "%s is another file now: the guest has been started anew", path);
	if (st.st_size < k->file.st_size)
		return gf_err_set(err, ENODATA, "%s has been cut: the guest is lost; start it again", path);
	return 0;
}
