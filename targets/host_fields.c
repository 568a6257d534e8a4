// SPDX-License-Identifier: MIT
/*
 * Fields of the machine as a whole. Each file is opened when a policy first needs
 * it and read again in place every tick; a file that no field needs is not read.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "targets/host.h"
#include "targets/proc.h"

enum file { MEMINFO, VMSTAT, STAT, LOADAVG, PSI_CPU, PSI_MEM, PSI_IO, ONLINE, FILES };

static const char *const path[FILES] = {
	"/proc/meminfo", "/proc/vmstat", "/proc/stat", "/proc/loadavg",
	"/proc/pressure/cpu", "/proc/pressure/memory", "/proc/pressure/io", "/sys/devices/system/cpu/online",
};

#define HF(x) GF_BIT(GF_HF_##x)
#define PSI6(x) (HF(PSI_##x##_SOME_10) | HF(PSI_##x##_SOME_60) | HF(PSI_##x##_SOME_300) | \
		 HF(PSI_##x##_FULL_10) | HF(PSI_##x##_FULL_60) | HF(PSI_##x##_FULL_300))

static const uint64_t serves[FILES] = {
	HF(MEM_TOTAL) | HF(MEM_AVAILABLE) | HF(MEM_FREE) | HF(MEM_CACHED) | HF(MEM_DIRTY) | HF(MEM_SLAB) |
		HF(SWAP_TOTAL) | HF(SWAP_FREE) | HF(SWAP_USED),
	HF(VM_PGSCAN) | HF(VM_PGMAJFAULT) | HF(VM_OOM_KILL) | HF(VM_PSWPIN) | HF(VM_PSWPOUT),
	HF(CPU_BUSYTIME) | HF(CPU_IOWTIME) | HF(CPU_STEALTIME) | HF(TASKS_RUNNING) | HF(TASKS_BLOCKED) | HF(TASKS_FORKS),
	HF(LOAD_1) | HF(LOAD_5) | HF(LOAD_15) | HF(TASKS_THREADS),
	PSI6(CPU), PSI6(MEM), PSI6(IO),
	HF(CPU_COUNT),
};

struct gf_host_fields {
	int fd[FILES];
	uint64_t want;
	char *buf;
	size_t size;
};

int gf_host_fields_create(struct gf_host_fields **ret, struct gf_err *err)
{
	struct gf_host_fields *f = calloc(1, sizeof *f);

	if (!f)
		return gf_err_set(err, ENOMEM, "no memory for host fields");
	for (int i = 0; i < FILES; i++)
		f->fd[i] = -1;
	*ret = f;
	return 0;
}

void gf_host_fields_destroy(struct gf_host_fields *f)
{
	if (!f)
		return;
	for (int i = 0; i < FILES; i++)
		if (f->fd[i] >= 0)
			close(f->fd[i]);
	free(f->buf);
	free(f);
}

/* Length read, 0 when there is nothing to be had. Ends in NUL. */
static size_t slurp(struct gf_host_fields *f, int file)
{
	size_t len = 0;

	if (f->fd[file] < 0 || f->size < 2)
		return 0;
	while (len < f->size - 1) {
		ssize_t n = pread(f->fd[file], f->buf + len, f->size - 1 - len, (off_t)len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	f->buf[len] = 0;
	return len;
}

/* The buffer is sized by what the files hold now, with room to grow: it must not
 * be allocated in a tick, and a generous one would be locked memory. */
static int size_buffer(struct gf_host_fields *f, int file, struct gf_err *err)
{
	char piece[4096];
	size_t len = 0;
	ssize_t n;

	while ((n = pread(f->fd[file], piece, sizeof piece, (off_t)len)) > 0)
		len += (size_t)n;
	len += len / 2 + 4096;
	if (len <= f->size)
		return 0;
	char *buf = realloc(f->buf, len);
	if (!buf)
		return gf_err_set(err, ENOMEM, "no memory to read %s", path[file]);
	f->buf = buf;
	f->size = len;
	return 0;
}

int gf_host_fields_want(struct gf_host_fields *f, uint64_t want, struct gf_err *err)
{
	for (int i = 0; i < FILES; i++) {
		if (!(want & serves[i]))
			continue;
		if (f->fd[i] < 0)
			f->fd[i] = open(path[i], O_RDONLY | O_CLOEXEC);
		if (f->fd[i] < 0)
			continue; /* a kernel without it: unknown */
		int r = size_buffer(f, i, err);
		if (r)
			return r;
	}
	f->want = want;
	return 0;
}

/* A decimal at *p, which moves past it and blanks before it. */
static bool number(const char **p, double *ret)
{
	const char *s = *p;
	double v = 0, scale = 1;

	while (*s == ' ' || *s == '\t')
		s++;
	if (*s < '0' || *s > '9')
		return false;
	for (; *s >= '0' && *s <= '9'; s++)
		v = v * 10 + (*s - '0');
	if (*s == '.')
		for (s++; *s >= '0' && *s <= '9'; s++) {
			scale *= 10;
			v = v * 10 + (*s - '0');
		}
	*p = s;
	*ret = v / scale;
	return true;
}

struct key {
	const char *name; /* with what ends it */
	int field;
	double unit;
};

/* Lines "name number": values of those in keys, added up where two name a field. */
static void read_keys(const char *p, const struct key *keys, size_t n, double *host)
{
	while (*p) {
		for (size_t i = 0; i < n; i++) {
			size_t len = strlen(keys[i].name);
			const char *q = p + len;
			double v;
			if (strncmp(p, keys[i].name, len) || !number(&q, &v))
				continue;
			double *h = &host[keys[i].field];
			*h = gf_is_unknown(*h) ? v * keys[i].unit : *h + v * keys[i].unit;
			break;
		}
		p += strcspn(p, "\n");
		p += *p == '\n';
	}
}

static void read_meminfo(const char *p, double *host)
{
	static const struct key keys[] = {
		{ "MemTotal:", GF_HF_MEM_TOTAL, 1024 }, { "MemFree:", GF_HF_MEM_FREE, 1024 },
		{ "MemAvailable:", GF_HF_MEM_AVAILABLE, 1024 }, { "Cached:", GF_HF_MEM_CACHED, 1024 },
		{ "Dirty:", GF_HF_MEM_DIRTY, 1024 }, { "Slab:", GF_HF_MEM_SLAB, 1024 },
		{ "SwapTotal:", GF_HF_SWAP_TOTAL, 1024 }, { "SwapFree:", GF_HF_SWAP_FREE, 1024 },
	};

	read_keys(p, keys, sizeof keys / sizeof *keys, host);
	host[GF_HF_SWAP_USED] = host[GF_HF_SWAP_TOTAL] - host[GF_HF_SWAP_FREE];
}

static void read_vmstat(const char *p, double *host)
{
	/* Who scans is split up in more ways with each kernel; by what is scanned
	 * for, pages are counted a second time in pgscan_anon and pgscan_file. */
	static const struct key keys[] = {
		{ "pgscan_kswapd ", GF_HF_VM_PGSCAN, 1 }, { "pgscan_direct ", GF_HF_VM_PGSCAN, 1 },
		{ "pgscan_khugepaged ", GF_HF_VM_PGSCAN, 1 }, { "pgscan_proactive ", GF_HF_VM_PGSCAN, 1 },
		{ "pgmajfault ", GF_HF_VM_PGMAJFAULT, 1 }, { "oom_kill ", GF_HF_VM_OOM_KILL, 1 },
		{ "pswpin ", GF_HF_VM_PSWPIN, 1 }, { "pswpout ", GF_HF_VM_PSWPOUT, 1 },
	};

	read_keys(p, keys, sizeof keys / sizeof *keys, host);
}

static void read_stat(const char *p, double *host)
{
	static const struct key keys[] = {
		{ "procs_running ", GF_HF_TASKS_RUNNING, 1 }, { "procs_blocked ", GF_HF_TASKS_BLOCKED, 1 },
		{ "processes ", GF_HF_TASKS_FORKS, 1 },
	};
	double v[8]; /* user nice system idle iowait irq softirq steal; guests are in user and nice */
	const double tick = (double)GF_TICK_NS;
	const char *q = p + 4;
	size_t n = 0;

	if (!strncmp(p, "cpu ", 4))
		while (n < 8 && number(&q, &v[n]))
			n++;
	if (n == 8) {
		host[GF_HF_CPU_BUSYTIME] = (v[0] + v[1] + v[2] + v[5] + v[6]) * tick;
		host[GF_HF_CPU_IOWTIME] = v[4] * tick;
		host[GF_HF_CPU_STEALTIME] = v[7] * tick;
	}
	read_keys(p, keys, sizeof keys / sizeof *keys, host);
}

static void read_loadavg(const char *p, double *host)
{
	double a, b, c, running, threads;

	if (!number(&p, &a) || !number(&p, &b) || !number(&p, &c))
		return;
	host[GF_HF_LOAD_1] = a;
	host[GF_HF_LOAD_5] = b;
	host[GF_HF_LOAD_15] = c;
	if (number(&p, &running) && *p == '/' && (p++, number(&p, &threads)))
		host[GF_HF_TASKS_THREADS] = threads;
}

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=0", then the same with "full". */
static void read_psi(const char *p, double *some, double *full)
{
	static const char *const name[] = { "avg10=", "avg60=", "avg300=" };

	while (*p) {
		double *out = !strncmp(p, "some ", 5) ? some : !strncmp(p, "full ", 5) ? full : NULL;
		const char *q = p + 5;
		for (int i = 0; out && i < 3; i++) {
			size_t len = strlen(name[i]);
			if (strncmp(q, name[i], len))
				break;
			q += len;
			if (!number(&q, &out[i]))
				break;
			q += *q == ' ';
		}
		p += strcspn(p, "\n");
		p += *p == '\n';
	}
}

/* "0-3,5": how many. */
static double count_list(const char *p)
{
	double n = 0, a, b;

	while (number(&p, &a)) {
		b = a;
		if (*p == '-' && (p++, !number(&p, &b)))
			return gf_unknown();
		n += b - a + 1;
		if (*p == ',')
			p++;
	}
	return n > 0 ? n : gf_unknown();
}

void gf_host_fields_read(struct gf_host_fields *f, struct gf_sample *s, uint64_t known)
{
	double *h = s->host;

	for (int i = 0; i < GF_HF_COUNT; i++)
		h[i] = gf_unknown();
	if (f->want & HF(UPTIME))
		h[GF_HF_UPTIME] = (double)s->now_ns;
	for (int i = 0; i < FILES; i++) {
		if (!(f->want & serves[i] & ~known) || !slurp(f, i))
			continue;
		switch (i) {
		case MEMINFO: read_meminfo(f->buf, h); break;
		case VMSTAT: read_vmstat(f->buf, h); break;
		case STAT: read_stat(f->buf, h); break;
		case LOADAVG: read_loadavg(f->buf, h); break;
		case PSI_CPU: read_psi(f->buf, h + GF_HF_PSI_CPU_SOME_10, h + GF_HF_PSI_CPU_FULL_10); break;
		case PSI_MEM: read_psi(f->buf, h + GF_HF_PSI_MEM_SOME_10, h + GF_HF_PSI_MEM_FULL_10); break;
		case PSI_IO: read_psi(f->buf, h + GF_HF_PSI_IO_SOME_10, h + GF_HF_PSI_IO_FULL_10); break;
		case ONLINE: h[GF_HF_CPU_COUNT] = count_list(f->buf); break;
		}
	}
}
