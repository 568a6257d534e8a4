// SPDX-License-Identifier: MIT
/*
 * Sampling by /proc, where BPF is refused. Start times, and so identities, are as
 * precise as /proc shows them: a clock tick, 10 ms. CPU times likewise.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "targets/host.h"
#include "targets/proc.h"

#define DENTS (64u << 10)
#define FILE_BUF 4096u
/* Owner and OOM adjustment cost a file each and hardly ever change. Where the
 * policy does not name them they are read at birth, after an exec, and then in
 * one pass out of this many, in turn. So is the memory of a process that stat
 * shows to have had no page fault since, and the same sizes: nobody gets memory
 * without a fault. */
#define MEMO_PASSES 8u

struct proc_sampler {
	struct gf_host_road s;
	int dir;      /* of /proc */
	uint32_t passes;
	uint64_t page;
	char *dents;
	char *more;   /* a second directory, while dents is in use */
	char buf[FILE_BUF];
};

/* Reads a small file at once. Length, or -errno; ends in NUL. */
static ssize_t slurp(struct proc_sampler *p, int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do
		n = read(fd, p->buf, sizeof p->buf - 1);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		n = -errno;
	close(fd);
	if (n >= 0)
		p->buf[n] = 0;
	return n;
}

/* The process has gone; its row goes with it. Anything else is a fault of ours. */
static bool is_gone(ssize_t e)
{
	return e == -ENOENT || e == -ESRCH;
}

/* The value after `key` at the start of a line. */
static bool value(const char *text, const char *key, unsigned long long *ret)
{
	size_t len = strlen(key);

	for (const char *p = text; p; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
		if (!strncmp(p, key, len)) {
			char *end;
			*ret = strtoull(p + len, &end, 10);
			return end != p + len;
		}
	return false;
}

/* The last number of NSpid: the pid in the innermost namespace. */
static bool is_ns_init(const char *status)
{
	const char *p = strstr(status, "\nNSpid:");
	unsigned long last = 0;

	if (!p)
		return false;
	p += 7;
	while (*p == '\t' || *p == ' ') {
		char *end;
		last = strtoul(p, &end, 10);
		if (end == p)
			break;
		p = end;
	}
	return last == 1;
}

static int next_entry(char *buf, long *at, long *len, int fd, const char **ret_name)
{
	struct { uint64_t ino; int64_t off; uint16_t reclen; uint8_t type; char name[]; } *d;

	if (*at >= *len) {
		*at = 0;
		do
			*len = syscall(SYS_getdents64, fd, buf, DENTS);
		while (*len < 0 && errno == EINTR);
		if (*len <= 0)
			return *len < 0 ? -errno : 0;
	}
	d = (void *)(buf + *at);
	*at += d->reclen;
	*ret_name = d->name;
	return 1;
}

/* "task/TID/statm" of some thread but the leader, which has left: the memory is
 * still the process's. */
static bool other_thread(struct proc_sampler *p, int dir, int32_t pid, const char *file, char path[64])
{
	int fd = openat(dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long at = 0, len = 0;
	const char *name;
	bool found = false;

	if (fd < 0)
		return false;
	while (!found && next_entry(p->more, &at, &len, fd, &name) > 0) {
		long tid = strtol(name, NULL, 10);
		if (tid > 0 && tid != pid) {
			snprintf(path, 64, "task/%ld/%s", tid, file);
			found = true;
		}
	}
	close(fd);
	return found;
}

static int count_fds(struct proc_sampler *p, int dir, const char *path, struct gf_task_rec *r)
{
	struct stat st;
	const char *name;
	long at = 0, len = 0;
	uint32_t n = 0;
	int e, fd;

	/* The size is the number since 6.2 (f1f1f2569901); before, it was 0. */
	if (!fstatat(dir, path, &st, 0) && st.st_size > 0) {
		r->fds = (uint32_t)st.st_size;
		r->have |= GF_REC_FDS;
		return 0;
	}
	fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while ((e = next_entry(p->more, &at, &len, fd, &name)) > 0)
		n += name[0] != '.';
	close(fd);
	if (e)
		return e;
	r->fds = n;
	r->have |= GF_REC_FDS;
	return 0;
}

static int read_status_memory(struct proc_sampler *p, int dir, const char *name, struct gf_task_rec *r)
{
	ssize_t n = slurp(p, dir, name);
	unsigned long long size, anon, file, shmem, swap, kib = p->page / 1024;

	if (n < 0)
		return (int)n;
	if (value(p->buf, "VmSize:", &size)) {
		r->vsz = size / kib;
		r->have |= GF_REC_VSZ;
	}
	if (value(p->buf, "RssAnon:", &anon) && value(p->buf, "RssFile:", &file) && value(p->buf, "RssShmem:", &shmem)) {
		r->anon = (long long)(anon / kib);
		r->file = (long long)(file / kib);
		r->shmem = (long long)(shmem / kib);
		r->have |= GF_REC_RSS;
		if (value(p->buf, "VmSwap:", &swap)) {
			r->swap = (long long)(swap / kib);
			r->have |= GF_REC_SWAP;
		}
	}
	return 0;
}

/* Whether something of the memory that is wanted is not known. */
static bool lacks_memory(uint32_t want, uint32_t have)
{
	want &= GF_REC_RSS | GF_REC_RSS_SUM | GF_REC_SWAP | GF_REC_VSZ;
	if (have & GF_REC_RSS)
		want &= ~(uint32_t)GF_REC_RSS_SUM;
	return want & ~have;
}

/* What stat itself says of the memory. False: there is more to be read. */
static bool memory_of_stat(const struct proc_sampler *p, uint32_t want, const struct gf_proc_stat *st, struct gf_task_rec *r)
{
	const uint32_t memory = GF_REC_RSS | GF_REC_RSS_SUM | GF_REC_SWAP | GF_REC_VSZ;

	if (!(want & memory))
		return true;
	if (r->flags & (GF_REC_KTHREAD | GF_REC_EXITING)) {
		r->have |= memory; /* none left, or never any */
		return true;
	}
	r->vsz = st->vsz / p->page;
	if (st->vsz)
		r->have |= GF_REC_VSZ;
	return !lacks_memory(want, r->have);
}

static int read_memory(struct proc_sampler *p, int dir, uint32_t want, const struct gf_proc_stat *st,
		       struct gf_task_rec *r)
{
	bool split = want & (GF_REC_RSS | GF_REC_SWAP);
	char path[64];
	const char *name = split ? "status" : "statm";

	if (st->state == 'Z') {
		if (!other_thread(p, dir, st->pid, name, path))
			return 0;
		name = path;
	}
	if (split)
		return read_status_memory(p, dir, name, r);
	/* Not the rss of stat: that leaves out what CPUs have not folded in. */
	ssize_t n = slurp(p, dir, name);
	unsigned long long size, rss;
	if (n < 0)
		return (int)n;
	if (sscanf(p->buf, "%llu %llu", &size, &rss) == 2 && size) {
		r->anon = (long long)rss;
		r->vsz = size;
		r->have |= GF_REC_RSS_SUM | GF_REC_VSZ;
	}
	return 0;
}

static int read_extra(struct proc_sampler *p, int dir, uint32_t want, struct gf_task_rec *r)
{
	ssize_t n = r->have & GF_REC_ADJ ? 0 : slurp(p, dir, "oom_score_adj");
	char path[64];
	int e = 0;

	if (n > 0) {
		r->oom_adj = (short)strtol(p->buf, NULL, 10);
		r->have |= GF_REC_ADJ;
	} else if (is_gone(n)) {
		return (int)n;
	}
	if (want & GF_REC_SCORE && (n = slurp(p, dir, "oom_score")) > 0) {
		r->oom_score = (short)strtol(p->buf, NULL, 10);
		r->have |= GF_REC_SCORE;
	}
	if (want & GF_REC_FDS) {
		if (r->flags & (GF_REC_KTHREAD | GF_REC_EXITING))
			r->have |= GF_REC_FDS;
		else if (r->state != 'Z')
			e = count_fds(p, dir, "fd", r);
		else if (other_thread(p, dir, r->pid, "fd", path))
			e = count_fds(p, dir, path, r);
	}
	return is_gone(n) ? (int)n : is_gone(e) ? e : 0;
}

static void from_stat(const struct gf_proc_stat *st, struct gf_task_rec *r)
{
	r->pid = st->pid;
	r->ppid = st->ppid;
	r->pgrp = st->pgrp;
	r->session = st->session;
	r->start_ns = st->start_ticks * GF_TICK_NS;
	r->utime_ns = r->prev_utime_ns = st->utime_ticks * GF_TICK_NS;
	r->stime_ns = r->prev_stime_ns = st->stime_ticks * GF_TICK_NS;
	r->run_ns = r->utime_ns + r->stime_ns;
	r->minflt = st->minflt;
	r->majflt = st->majflt;
	r->threads = st->threads;
	r->prio = (short)st->prio;
	r->nice = (signed char)st->nice;
	r->policy = (unsigned char)st->policy;
	r->state = (unsigned char)st->state;
	r->exec_tag = st->startstack * 31 + st->arg_start;
	memcpy(r->comm, st->comm, sizeof r->comm);
	r->have = GF_REC_CPU | GF_REC_SPLIT | GF_REC_FAULTS | GF_REC_IDS | GF_REC_STAT;
	if (st->flags & GF_PF_KTHREAD)
		r->flags |= GF_REC_KTHREAD;
	if ((st->flags & GF_PF_EXITING || st->state == 'Z' || st->state == 'X') && st->threads <= 1)
		r->flags |= GF_REC_EXITING;
}

/* Whether it is the init of a namespace never changes: asked once, at its birth. */
static int learn_init(struct proc_sampler *p, int dir, struct gf_task_rec *r)
{
	ssize_t n = slurp(p, dir, "status");

	if (n < 0)
		return (int)n;
	if (is_ns_init(p->buf))
		r->flags |= GF_REC_INIT;
	return 0;
}

/* Takes over what is remembered and need not be of this pass. */
static void take_memo(const struct proc_sampler *p, const struct gf_host_memo *m, const struct gf_proc_stat *st, uint32_t want,
		      struct gf_task_rec *r)
{
	if (m->init)
		r->flags |= GF_REC_INIT;
	if (m->exec_tag != r->exec_tag || (m->row + p->passes) % MEMO_PASSES == 0)
		return;
	const struct gf_memory_memo *mem = &m->memory;
	if (mem->have && mem->faults == st->minflt + st->majflt && mem->stat_rss == (uint64_t)st->rss_pages &&
	    mem->vsz == st->vsz && st->state != 'Z') {
		r->anon = mem->anon;
		r->file = mem->file;
		r->shmem = mem->shmem;
		r->swap = mem->swap;
		r->have |= mem->have;
	}
	if (!(want & GF_REC_UID_NOW) && m->have & GF_REC_UID) {
		r->euid = m->euid;
		r->egid = m->egid;
		r->have |= GF_REC_UID;
	}
	if (!(want & GF_REC_ADJ_NOW) && m->have & GF_REC_ADJ) {
		r->oom_adj = m->oom_adj;
		r->have |= GF_REC_ADJ;
	}
}

static void remember(struct gf_host *h, uint32_t row, const struct gf_proc_stat *st, const struct gf_task_rec *r)
{
	struct gf_memory_memo m = {
		.faults = st->minflt + st->majflt, .stat_rss = (uint64_t)st->rss_pages, .vsz = st->vsz,
		.anon = r->anon, .file = r->file, .shmem = r->shmem, .swap = r->swap,
		.have = r->have & (GF_REC_RSS | GF_REC_RSS_SUM | GF_REC_SWAP),
	};

	gf_host_remember_memory(h, row, &m);
}

static int read_stat(struct proc_sampler *p, int dir, const char *path, struct gf_proc_stat *st)
{
	ssize_t n = slurp(p, dir, path);

	return n < 0 ? (int)n : gf_proc_stat_parse(p->buf, (size_t)n, st);
}

/* All that is wanted, through one descriptor of the directory: that stays with
 * the process when its pid is given to another, so that nothing can mix. */
static int read_all(struct proc_sampler *p, struct gf_host *h, const char *name, uint32_t want, struct gf_task_rec *r)
{
	struct gf_host_memo memo;
	struct gf_proc_stat st;
	struct stat owner;
	int dir = openat(p->dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int e = dir < 0 ? -errno : read_stat(p, dir, "stat", &st);
	bool known = false;

	if (!e) {
		from_stat(&st, r);
		known = gf_host_knows(h, r->pid, r->start_ns, &memo);
		if (known)
			take_memo(p, &memo, &st, want, r);
		else
			e = learn_init(p, dir, r);
	}
	/* The directory belongs to the effective user, also where a process that
	 * must not be dumped gives its files to root. */
	if (!e && !(r->have & GF_REC_UID) && !fstat(dir, &owner)) {
		r->euid = owner.st_uid;
		r->egid = owner.st_gid;
		r->have |= GF_REC_UID;
	}
	if (!e && !memory_of_stat(p, want, &st, r)) {
		e = read_memory(p, dir, want, &st, r);
		if (!e && known)
			remember(h, memo.row, &st, r);
	}
	if (!e)
		e = read_extra(p, dir, want, r);
	if (dir >= 0)
		close(dir);
	return e;
}

/* One file says it all, and the rest is remembered: the usual case for a process
 * that sleeps. */
static bool read_stat_alone(struct proc_sampler *p, struct gf_host *h, const char *name, uint32_t want,
			    struct gf_task_rec *r, int *ret_e)
{
	struct gf_host_memo memo;
	struct gf_proc_stat st;
	char path[32];

	if (want & (GF_REC_SCORE | GF_REC_FDS | GF_REC_UID_NOW | GF_REC_ADJ_NOW))
		return false;
	snprintf(path, sizeof path, "%s/stat", name);
	*ret_e = read_stat(p, p->dir, path, &st);
	if (*ret_e)
		return true;
	from_stat(&st, r);
	if (!gf_host_knows(h, r->pid, r->start_ns, &memo))
		return false;
	take_memo(p, &memo, &st, want, r);
	return (r->have & (GF_REC_UID | GF_REC_ADJ)) == (GF_REC_UID | GF_REC_ADJ) && memory_of_stat(p, want, &st, r);
}

/* 0: put, or gone in the meantime. An error means that the pass is worth nothing. */
static int read_process(struct proc_sampler *p, struct gf_host *h, const char *name, uint32_t want, struct gf_err *err)
{
	struct gf_task_rec r = { 0 };
	int e;

	if (!read_stat_alone(p, h, name, want, &r, &e)) {
		r = (struct gf_task_rec){ 0 };
		e = read_all(p, h, name, want, &r);
	}
	if (!e)
		gf_host_put(h, &r);
	if (!e || is_gone(e))
		return 0;
	return gf_err_set(err, -e, "cannot read /proc/%s: %s", name, strerror(-e));
}

static int proc_pass(struct gf_host_road *s, struct gf_host *h, uint32_t want, struct gf_err *err)
{
	struct proc_sampler *p = (struct proc_sampler *)(void *)s;
	long at = 0, len = 0;
	const char *name;
	int e;

	p->passes++;
	if (lseek(p->dir, 0, SEEK_SET) < 0)
		return gf_err_set(err, errno, "cannot read /proc: %s", strerror(errno));
	while ((e = next_entry(p->dents, &at, &len, p->dir, &name)) > 0) {
		if (name[0] < '1' || name[0] > '9')
			continue;
		int r = read_process(p, h, name, want, err);
		if (r)
			return r;
	}
	if (e)
		return gf_err_set(err, -e, "cannot list /proc: %s", strerror(-e));
	return 0;
}

static void proc_destroy(struct gf_host_road *s)
{
	struct proc_sampler *p = (struct proc_sampler *)(void *)s;

	if (p->dir >= 0)
		close(p->dir);
	free(p->dents);
	free(p->more);
	free(p);
}

int gf_host_proc_create(struct gf_host_road **ret, struct gf_err *err)
{
	struct proc_sampler *p = calloc(1, sizeof *p);

	if (!p)
		return gf_err_set(err, ENOMEM, "no memory for the /proc sampler");
	p->s.pass = proc_pass;
	p->s.destroy = proc_destroy;
	p->page = (uint64_t)sysconf(_SC_PAGESIZE);
	p->dents = malloc(DENTS);
	p->more = malloc(DENTS);
	p->dir = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!p->dents || !p->more || p->dir < 0) {
		int e = p->dir < 0 ? errno : ENOMEM;
		proc_destroy(&p->s);
		return gf_err_set(err, e, "cannot open /proc (is it mounted?): %s", strerror(e));
	}
	*ret = &p->s;
	return 0;
}
