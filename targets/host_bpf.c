// SPDX-License-Identifier: MIT
/*
 * Sampling by the BPF task iterator: one system call for a few hundred processes
 * instead of several for each.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "targets/host.h"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion" /* bpftool's writing */
#include "targets/tasks.skel.h"
#pragma GCC diagnostic pop

#define BUF (256u << 10)
#define AGAIN_MAX 1000 /* an iterator over very many dead entries says EAGAIN */

struct bpf_sampler {
	struct gf_host_road s;
	struct tasks *skel;
	struct bpf_link *link;
	char *buf;
	int64_t boot_ns; /* what our time namespace adds to the boot time */
};

static int silent(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
	return 0;
}

static void put_all(struct bpf_sampler *b, struct gf_host *h, const char *buf, size_t len)
{
	struct gf_task_rec r;

	for (size_t at = 0; at + sizeof r <= len; at += sizeof r) {
		memcpy(&r, buf + at, sizeof r);
		r.start_ns += (uint64_t)b->boot_ns;
		gf_host_put(h, &r);
	}
}

static int read_records(struct bpf_sampler *b, struct gf_host *h, int fd, struct gf_err *err)
{
	size_t have = 0;
	int again = 0;

	for (;;) {
		ssize_t n = read(fd, b->buf + have, BUF - have);
		if (n < 0 && (errno == EINTR || (errno == EAGAIN && ++again < AGAIN_MAX)))
			continue;
		if (n < 0)
			return gf_err_set(err, errno, "the task iterator stopped in the middle: %s", strerror(errno));
		if (!n)
			break;
		have += (size_t)n;
		size_t whole = have / sizeof(struct gf_task_rec) * sizeof(struct gf_task_rec);
		put_all(b, h, b->buf, whole);
		have -= whole;
		memmove(b->buf, b->buf + whole, have);
	}
	if (have)
		return gf_err_set(err, EIO, "the task iterator ended inside a record");
	return 0;
}

static int bpf_pass(struct gf_host_road *s, struct gf_host *h, uint32_t want, struct gf_err *err)
{
	struct bpf_sampler *b = (struct bpf_sampler *)(void *)s;

	if (want & (GF_REC_RSS_SUM | GF_REC_SCORE))
		want |= GF_REC_RSS;
	b->skel->bss->want = want & ~(unsigned)(GF_REC_RSS_SUM | GF_REC_SCORE);
	int fd = bpf_iter_create(bpf_link__fd(b->link));
	if (fd < 0)
		return gf_err_set(err, errno, "cannot start the task iterator: %s", strerror(errno));
	int r = read_records(b, h, fd, err);
	close(fd);
	if (!r && b->skel->bss->failed)
		r = gf_err_set(err, ENOTSUP, "the task iterator does not know this kernel's memory counters");
	return r;
}

static void bpf_destroy(struct gf_host_road *s)
{
	struct bpf_sampler *b = (struct bpf_sampler *)(void *)s;

	bpf_link__destroy(b->link);
	tasks__destroy(b->skel);
	free(b->buf);
	free(b);
}

/* "0-3,8-11" into the numbers themselves. */
static int possible_cpus(uint32_t *cpus, uint32_t *ret_n)
{
	FILE *f = fopen("/sys/devices/system/cpu/possible", "re");
	unsigned a, b, n = 0;
	int c;

	if (!f)
		return -errno;
	while (fscanf(f, "%u", &a) == 1) {
		b = a;
		c = fgetc(f);
		if (c == '-') {
			if (fscanf(f, "%u", &b) != 1)
				break;
			c = fgetc(f);
		}
		for (; a <= b; a++) {
			if (n == GF_REC_CPUS) {
				fclose(f);
				return -E2BIG;
			}
			cpus[n++] = a;
		}
		if (c != ',')
			break;
	}
	fclose(f);
	*ret_n = n;
	return n ? 0 : -ENODATA;
}

/* The kernel's start times are those of the initial time namespace; CLOCK_BOOTTIME and
 * /proc are ours. The file tells of the namespace that children get: only where that
 * is ours too is it known what ours is. */
static int time_offset(int64_t *ret_ns)
{
	char own[64], childs[64], line[128];
	ssize_t a = readlink("/proc/self/ns/time", own, sizeof own);
	ssize_t b = readlink("/proc/self/ns/time_for_children", childs, sizeof childs);
	long long s, ns;
	int r = 0;

	*ret_ns = 0;
	if (a < 0 && errno == ENOENT)
		return 0; /* a kernel without time namespaces */
	if (a <= 0 || a != b || memcmp(own, childs, (size_t)a))
		return -EXDEV;
	FILE *f = fopen("/proc/self/timens_offsets", "re");
	if (!f)
		return -EXDEV;
	while (fgets(line, sizeof line, f))
		if ((sscanf(line, "boottime %lld %lld", &s, &ns) == 2 || sscanf(line, "7 %lld %lld", &s, &ns) == 2))
			*ret_ns = s * 1000000000 + ns;
	if (ferror(f))
		r = -EXDEV;
	fclose(f);
	return r;
}

/* Runs the iterator once with nobody listening, so that a kernel it cannot read
 * shows now, when /proc can still be taken, and not in the first tick. */
static int try_out(struct bpf_sampler *b)
{
	ssize_t n;
	int fd;

	b->skel->bss->want = GF_REC_RSS;
	fd = bpf_iter_create(bpf_link__fd(b->link));
	if (fd < 0)
		return -errno;
	do
		n = read(fd, b->buf, BUF);
	while (n > 0 || (n < 0 && errno == EINTR));
	int r = n < 0 ? -errno : 0;
	close(fd);
	if (!r && (b->skel->bss->failed || !b->skel->bss->cpu_off_known))
		r = -ENOTSUP;
	return r;
}

static const char *refusal(int e)
{
	switch (e) {
	case EPERM:
	case EACCES:
		return "not permitted (needs CAP_BPF and CAP_PERFMON)";
	case ENOENT:
	case ESRCH:
		return "kernel has no BTF";
	case E2BIG:
		return "more CPUs than it can sum";
	case EXDEV:
		return "this time namespace's offset is not known";
	case ENOTSUP:
		return "unknown memory counters";
	}
	return strerror(e);
}

int gf_host_bpf_create(struct gf_host_road **ret, struct gf_err *err)
{
	struct bpf_sampler *b = calloc(1, sizeof *b);
	libbpf_print_fn_t old = libbpf_set_print(silent);
	const char *what = "out of memory";
	int r = -ENOMEM;

	if (b)
		b->buf = malloc(BUF);
	if (!b || !b->buf)
		goto out;
	b->s.pass = bpf_pass;
	b->s.destroy = bpf_destroy;
	what = "clocks";
	r = time_offset(&b->boot_ns);
	if (r)
		goto out;
	what = "opening";
	b->skel = tasks__open();
	r = b->skel ? 0 : -errno;
	if (!r)
		r = possible_cpus(b->skel->bss->cpus, &b->skel->bss->ncpus);
	if (!r) {
		what = "loading";
		r = access("/sys/kernel/btf/vmlinux", R_OK) ? -ENOENT : tasks__load(b->skel);
	}
	if (!r) {
		what = "attaching";
		b->link = bpf_program__attach_iter(b->skel->progs.gf_tasks, NULL);
		r = b->link ? 0 : -errno;
	}
	if (!r) {
		what = "trying";
		r = try_out(b);
	}
out:
	libbpf_set_print(old);
	if (!r) {
		*ret = &b->s;
		return 0;
	}
	if (b)
		bpf_destroy(&b->s);
	return gf_err_set(err, -r, "BPF refused, %s: %s", what, refusal(-r));
}
