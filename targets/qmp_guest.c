// SPDX-License-Identifier: MIT
/*
 * Where a guest's RAM is. QEMU says which backends make it up (qom-list /objects) and where they are in the guest
 * (info mtree -f). Which file that is, and from which byte on, its own address space says: gpa2hva has the address
 * that a piece is mapped at, /proc/PID/maps the file, /proc/PID/fd a way to open it. That holds for files, memfds of
 * one size, huge pages, paths that have been deleted or are another mount namespace's. Where /proc may not be read
 * there is the backend's path left.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "targets/qmp_int.h"
#include "targets/qmp_maps.h"

struct backend {
	char id[64], type[48], path[256]; /* path: mem-path, "" */
	uint64_t size;
	bool share;
};

struct ask {
	struct gf_qmp *q;
	struct gf_err *err;
	struct gf_qmp_guest *g;
	pid_t pid[2];          /* who QEMU may be */
	char *mtree;
	struct backend backend[GF_QMP_PIECES];
	size_t backends;
};

static int get(struct ask *a, const char *path, const char *property, json_t **ret)
{
	return gf_qmp_command(a->q, "qom-get", json_pack("{s:s, s:s}", "path", path, "property", property), ret, a->err);
}

/* A property that may not be there. */
static int get_if(struct ask *a, const char *path, const char *property, json_t **ret)
{
	int r = get(a, path, property, ret);

	if (r == -EREMOTEIO)
		*ret = NULL;
	return r == -EREMOTEIO ? 0 : r;
}

int gf_qmp_status(struct gf_qmp *q, char *buf, size_t n, struct gf_err *err)
{
	json_t *o;
	int r = gf_qmp_command(q, "query-status", NULL, &o, err);

	if (r)
		return r;
	gf_qmp_copy(buf, n, json_string_value(json_object_get(o, "status")));
	json_decref(o);
	return 0;
}

int gf_qmp_cr3(struct gf_qmp *q, uint64_t *ret, struct gf_err *err)
{
	const char *cr0, *cr3;
	char *text;
	int r = gf_qmp_hmp(q, "info registers", &text, err);

	if (r)
		return r;
	cr0 = strstr(text, "CR0=");
	cr3 = strstr(text, "CR3=");
	if (cr0 && cr3)
		*ret = strtoull(cr0 + 4, NULL, 16) >> 31 & 1 ? strtoull(cr3 + 4, NULL, 16) : 0;
	else
		r = gf_err_set(err, EPROTO, "QEMU does not tell the registers of CPU 0");
	free(text);
	return r;
}

/* The QEMU whose virtual CPU's thread is tid, as seen from here: after -daemonize or with a socket that was
 * handed down, who made the socket is somebody else. */
static pid_t thread_group(json_int_t tid)
{
	char path[64], line[256];
	pid_t pid = 0;
	FILE *f;

	if (tid <= 0 || tid > INT32_MAX)
		return 0;
	snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "Tgid: %d", &pid) == 1)
			break;
	if (f)
		fclose(f);
	return pid;
}

static int ask_cpus(struct ask *a)
{
	const char *arch = NULL;
	json_t *o, *cpu;
	size_t i;
	int r = gf_qmp_command(a->q, "query-cpus-fast", NULL, &o, a->err);

	if (r)
		return r;
	a->g->cpus = (uint32_t)json_array_size(o);
	json_array_foreach(o, i, cpu) {
		arch = json_string_value(json_object_get(cpu, "target"));
		a->pid[1] = thread_group(json_integer_value(json_object_get(cpu, "thread-id")));
		break;
	}
	if (arch && strcmp(arch, "x86_64"))
		r = gf_err_set(a->err, ENOTSUP, "the guest %s is a machine of architecture %.30s: only x86-64 guests (qemu-system-x86_64) can be "
			       "watched", a->g->name, arch);
	json_decref(o);
	return r;
}

static int ask_machine(struct ask *a)
{
	json_t *o;
	int r = gf_qmp_command(a->q, "query-name", NULL, &o, a->err);

	if (r)
		return r;
	gf_qmp_copy(a->g->name, sizeof a->g->name, json_string_value(json_object_get(o, "name")));
	json_decref(o);
	r = gf_qmp_status(a->q, a->g->status, sizeof a->g->status, a->err);
	if (r)
		return r;
	r = gf_qmp_command(a->q, "query-kvm", NULL, &o, a->err);
	if (r && r != -EREMOTEIO)
		return r;
	if (!r) {
		a->g->kvm = json_is_true(json_object_get(o, "enabled"));
		json_decref(o);
	}
	r = get_if(a, "/machine", "type", &o);
	if (r)
		return r;
	gf_qmp_copy(a->g->machine, sizeof a->g->machine, json_string_value(o));
	json_decref(o);
	return ask_cpus(a);
}

static int private_ram(struct ask *a, const struct backend *b)
{
	char size[32];

	if (!b)
		return gf_err_set(a->err, ENOTSUP, "the guest's RAM belongs to QEMU alone: start it with -object "
				  "memory-backend-memfd,id=mem,size=SIZE,share=on -machine memory-backend=mem (SIZE as with -m; libvirt: "
				  "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>)");
	snprintf(size, sizeof size, "%" PRIu64 "M", b->size >> 20);
	if (strcmp(b->type, "memory-backend-ram"))
		return gf_err_set(a->err, ENOTSUP, "the guest's RAM (%s) is not shared: add share=on to -object %s,id=%s,... and start QEMU again "
				  "(libvirt: <memoryBacking><access mode='shared'/></memoryBacking>)", b->id, b->type, b->id);
	return gf_err_set(a->err, ENOTSUP, "the guest's RAM (%s) belongs to QEMU alone: start it with -object "
			  "memory-backend-memfd,id=mem,size=%s,share=on -machine memory-backend=mem beside -m %s (libvirt: "
			  "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>)", b->id, size, size);
}

static int ask_backend(struct ask *a, const char *id, const char *type)
{
	struct backend *b = &a->backend[a->backends];
	char path[96];
	json_t *share = NULL, *size = NULL, *file = NULL;
	int r;

	if (a->backends == GF_QMP_PIECES)
		return gf_err_set(a->err, E2BIG, "the guest's memory has more than %u backends", GF_QMP_PIECES);
	if (strlen(id) >= sizeof b->id)
		return gf_err_set(a->err, EPROTO, "QEMU has a memory backend with a name longer than can be");
	gf_qmp_copy(b->id, sizeof b->id, id);
	gf_qmp_copy(b->type, sizeof b->type, type);
	snprintf(path, sizeof path, "/objects/%s", b->id);
	r = get(a, path, "share", &share);
	if (!r)
		r = get(a, path, "size", &size);
	if (!r)
		r = get_if(a, path, "mem-path", &file);
	if (!r) {
		b->share = json_is_true(share);
		b->size = (uint64_t)json_integer_value(size);
		snprintf(b->path, sizeof b->path, "%s", json_is_string(file) ? json_string_value(file) : "");
		a->backends++;
	}
	json_decref(share);
	json_decref(size);
	json_decref(file);
	return r;
}

static int ask_backends(struct ask *a)
{
	json_t *o, *e;
	size_t i;
	int r = gf_qmp_command(a->q, "qom-list", json_pack("{s:s}", "path", "/objects"), &o, a->err);

	if (r)
		return r;
	json_array_foreach(o, i, e) {
		const char *id = json_string_value(json_object_get(e, "name")), *type = json_string_value(json_object_get(e, "type"));
		char kind[48];

		if (id && type && sscanf(type, "child<%47[a-z0-9-]>", kind) == 1 && !strncmp(kind, "memory-backend-", 15))
			r = ask_backend(a, id, kind);
		if (r)
			break;
	}
	json_decref(o);
	return r;
}

/* gpa2hva: "Host virtual address for 0x100000 (m0) is 0x7fb9940ff000". 0: it does not say. */
static int host_address(struct ask *a, uint64_t gpa, uint64_t *ret)
{
	char line[48], *text;
	const char *is;
	int r;

	snprintf(line, sizeof line, "gpa2hva 0x%" PRIx64, gpa);
	r = gf_qmp_hmp(a->q, line, &text, a->err);
	if (r)
		return r;
	is = strstr(text, " is 0x");
	*ret = is ? strtoull(is + 6, NULL, 16) : 0;
	free(text);
	return 0;
}

/* A QEMU that a guest has broken out into answers what it likes. With more rights than it has, we would open other
 * guests' memory and any file for it: it is only believed about itself, and about files of its own. */
static bool trusted(const struct ask *a)
{
	return a->q->uid == 0 || a->q->uid == geteuid() || geteuid() != 0;
}

static bool gone(pid_t pid)
{
	return pid <= 0 || (kill(pid, 0) < 0 && errno == ESRCH);
}

static bool uid_is(pid_t pid, uid_t uid)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof path, "/proc/%d", (int)pid);
	return stat(path, &st) == 0 && st.st_uid == uid;
}

/* Whether the process that the virtual CPU is said to be a thread of may be QEMU, where the one that made the socket is not. */
static bool may_be_qemu(const struct ask *a, pid_t pid)
{
	return trusted(a) || (gone(a->pid[0]) && uid_is(pid, a->q->uid));
}

static int cut(struct ask *a, const struct backend *b)
{
	return gf_err_set(a->err, ENODATA, "the file that the guest's RAM is in (%s, %.128s) has been cut while QEMU runs: the guest is lost; start "
			  "it again", b->id, b->path[0] ? b->path : b->type);
}

/* By the backend's own path, for those who may open that, but not look into QEMU. */
static int open_path(struct ask *a, const struct backend *b, struct gf_ram_piece *p, int *ret)
{
	char path[64], full[PATH_MAX];
	json_t *o;
	struct stat st = { 0 };
	int fd, r;

	if (!b->path[0])
		return gf_err_set(a->err, EACCES, "the guest's RAM (%s, %s) can only be opened through /proc/%d/fd, which is not permitted: run as "
				  "root or as QEMU's user", b->id, b->type, (int)a->q->pid);
	snprintf(path, sizeof path, "/objects/%.32s", b->id);
	r = get_if(a, path, "offset", &o);
	if (r)
		return r;
	p->off += (uint64_t)json_integer_value(o);
	json_decref(o);
	if (b->path[0] != '/')
		snprintf(full, sizeof full, "/proc/%d/cwd/%s", (int)a->q->pid, b->path);
	else
		snprintf(full, sizeof full, "%s", b->path);
	/* Opening a device may do things. */
	if (stat(full, &st) == 0 && (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode) || (!trusted(a) && st.st_uid != a->q->uid)))
		return gf_err_set(a->err, EACCES, "QEMU says that the guest's RAM is in %s, which is not a file of its own", full);
	fd = open(full, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && (errno == EACCES || errno == EROFS)) {
		fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		a->g->writable = false;
	}
	if (fd < 0)
		return gf_err_set(a->err, errno, "the guest's RAM is in %s, which cannot be opened: %s", full, strerror(errno));
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size < p->off + p->size) {
		close(fd);
		return cut(a, b);
	}
	if (!S_ISREG(st.st_mode) || (!trusted(a) && st.st_uid != a->q->uid)) {
		close(fd);
		return gf_err_set(a->err, EACCES, "the guest's RAM is in a file in %s that only /proc/%d/fd leads to, which is not permitted: run as "
				  "root or as QEMU's user", full, (int)a->q->pid);
	}
	*ret = fd;
	return 0;
}

static int open_piece(struct ask *a, const struct backend *b, struct gf_ram_piece *p, int *ret)
{
	uint64_t hva;
	bool writable;
	int r = host_address(a, p->gpa, &hva);

	if (r)
		return r;
	for (size_t i = 0; hva && i < 2; i++) {
		if (a->pid[i] <= 0 || (i && (a->pid[i] == a->pid[0] || !may_be_qemu(a, a->pid[i]))))
			continue;
		r = gf_qmp_maps_open(a->pid[i], hva, p->size, ret, &p->off, &writable);
		if (r == -ENOTSUP)
			return private_ram(a, b);
		if (r == -ENODATA)
			return cut(a, b);
		if (r)
			continue;
		a->q->pid = a->pid[i];
		a->g->writable = a->g->writable && writable;
		return 0;
	}
	return open_path(a, b, p, ret);
}

/* Into its place by address. */
static void add_piece(struct gf_qmp_guest *g, const struct gf_ram_piece *p, int fd)
{
	size_t i = g->pieces++;

	for (; i && g->piece[i - 1].gpa > p->gpa; i--) {
		g->piece[i] = g->piece[i - 1];
		g->fd[i] = g->fd[i - 1];
	}
	g->piece[i] = *p;
	g->fd[i] = fd;
}

static int take_backend(struct ask *a, const struct backend *b)
{
	struct gf_qmp_guest *g = a->g;
	struct gf_ram_piece p[GF_QMP_PIECES];
	size_t n = 0, len = strlen(g->what);
	int r = gf_mtree_parse(a->mtree, b->id, p, GF_QMP_PIECES, &n, a->err);

	if (r == -ENODATA)
		return 0; /* of a device, or not plugged */
	if (r)
		return r;
	if (!b->share)
		return private_ram(a, b);
	if (g->pieces + n > GF_QMP_PIECES)
		return gf_err_set(a->err, E2BIG, "the guest's memory is in more than %u pieces", GF_QMP_PIECES);
	for (size_t i = 0; i < n; i++) {
		int fd;

		r = open_piece(a, b, &p[i], &fd);
		if (r)
			return r;
		add_piece(g, &p[i], fd);
	}
	snprintf(g->what + len, sizeof g->what - len, "%s%s%s%s%s%s", len ? ", " : "", b->id, " (", b->path[0] ? "" : b->type, b->path, ")");
	return 0;
}

static int ask_all(struct ask *a)
{
	int r = ask_machine(a);

	if (!r)
		r = ask_backends(a);
	if (!r)
		r = gf_qmp_hmp(a->q, "info mtree -f", &a->mtree, a->err);
	for (size_t i = 0; !r && i < a->backends; i++)
		r = take_backend(a, &a->backend[i]);
	if (!r && !a->g->pieces)
		r = private_ram(a, NULL);
	return r;
}

int gf_qmp_guest(struct gf_qmp *q, struct gf_qmp_guest *ret, struct gf_err *err)
{
	struct gf_qmp_guest *g = calloc(1, sizeof *g);
	struct ask a = { .q = q, .err = err, .g = g, .pid = { q->pid } };
	int r;

	if (!g)
		return gf_err_set(err, ENOMEM, "no memory");
	g->writable = true;
	r = ask_all(&a);
	free(a.mtree);
	if (r)
		gf_qmp_guest_close(g);
	else
		*ret = *g;
	free(g);
	return r;
}

void gf_qmp_guest_close(struct gf_qmp_guest *g)
{
	for (size_t i = 0; i < g->pieces; i++)
		close(g->fd[i]);
	g->pieces = 0;
}
