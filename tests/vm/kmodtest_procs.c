// SPDX-License-Identifier: MIT
/*
 * The table equals /proc: for processes at rest every number, for all processes which they are; and host fields.
 */
#include "kmodtest.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static bool slurp(char *buf, size_t n, const char *fmt, int pid)
{
	char path[64];

	snprintf(path, sizeof path, fmt, pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	size_t got = fread(buf, 1, n - 1, f);
	buf[got] = 0;
	fclose(f);
	return true;
}

static long long key(const char *text, const char *name)
{
	const char *p = strstr(text, name);

	return p ? atoll(p + strlen(name)) : -1;
}

static void same(const char *what, int pid, long long got, long long want)
{
	if (got != want)
		printf("# pid %d, %s: the table has %lld, /proc %lld\n", pid, what, got, want);
}
#define SAME(what, got, want) do { same(what, r->pid, (long long)(got), (long long)(want)); good &= (long long)(got) == (long long)(want); } while (0)

static int count_fds(int pid)
{
	char path[64];
	int n = 0;

	snprintf(path, sizeof path, "/proc/%d/fd", pid);
	DIR *d = opendir(path);
	if (!d)
		return -1;
	for (struct dirent *e; (e = readdir(d)); )
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

/* Everything of a process that is at rest. */
static bool equals(const struct gf_task_rec *r)
{
	char stat[1024], status[4096], io[512], adj[64];
	long long v[53];
	bool good = true;
	int n = 3;

	if (!slurp(stat, sizeof stat, "/proc/%d/stat", r->pid) || !slurp(status, sizeof status, "/proc/%d/status", r->pid) ||
	    !slurp(adj, sizeof adj, "/proc/%d/oom_score_adj", r->pid) || !slurp(io, sizeof io, "/proc/%d/io", r->pid))
		return false;
	char *p = strrchr(stat, ')');
	char state = p[2];
	*p = 0;
	good &= !strcmp(strchr(stat, '(') + 1, r->comm);
	for (char *w = strtok(p + 4, " "); w && n < 53; w = strtok(NULL, " "))
		v[++n] = atoll(w);
	SAME("state", r->state, state);
	SAME("ppid", r->ppid, v[4]);
	SAME("pgrp", r->pgrp, v[5]);
	SAME("session", r->session, v[6]);
	SAME("minflt", r->minflt, v[10]);
	SAME("majflt", r->majflt, v[12]);
	SAME("prio", r->prio, v[18]);
	SAME("nice", r->nice, v[19]);
	SAME("threads", r->threads, v[20]);
	SAME("start", r->start_ns / 10000000, v[22]);
	SAME("vsz", r->vsz * 4096, v[23]);
	SAME("policy", r->policy, v[41]);
	SAME("uid", r->euid, key(strstr(status, "\nUid:") + 5, "\t") < 0 ? -1 : atoll(strchr(strstr(status, "\nUid:\t") + 6, '\t')));
	SAME("anon", r->anon * 4, key(status, "\nRssAnon:"));
	SAME("file", r->file * 4, key(status, "\nRssFile:"));
	SAME("shmem", r->shmem * 4, key(status, "\nRssShmem:"));
	SAME("swap", r->swap * 4, key(status, "\nVmSwap:"));
	SAME("pgtables", r->pgtables / 1024, key(status, "\nVmPTE:"));
	SAME("oom_score_adj", r->oom_adj, atoll(adj));
	SAME("read_bytes", r->read_bytes, key(io, "\nread_bytes: "));
	SAME("write_bytes", r->write_bytes, key(io, "\nwrite_bytes: "));
	SAME("fds", r->fds, count_fds(r->pid));
	/* /proc shows ticks of 10 ms of what is scaled: near is enough. */
	long long ticks = v[14] + v[15];
	good &= llabs((long long)(r->run_ns / 10000000) - ticks) <= 1;
	const unsigned all = GF_REC_RSS | GF_REC_SWAP | GF_REC_PGTABLES | GF_REC_CPU | GF_REC_SPLIT | GF_REC_FAULTS | GF_REC_IO | GF_REC_FDS |
			     GF_REC_IDS | GF_REC_ADJ | GF_REC_VSZ | GF_REC_STAT | GF_REC_UID;
	SAME("have", r->have & all, all);
	SAME("flags", r->flags, 0);
	return good;
}

static bool at_rest(struct kt *k, pid_t pid, const char *what)
{
	struct gf_task_rec r;
	bool good = false;

	/* /proc itself is read by us and not by it, so it stays at rest; but an interrupt may be accounted in between. */
	for (int n = 0; n < 3 && !good; n++)
		good = kt_record(k, pid, &r) && equals(&r);
	kt_ok(good, "the table equals /proc: %s", what);
	return good;
}

static unsigned proc_pids(int *pids, unsigned cap)
{
	unsigned n = 0;
	DIR *d = opendir("/proc");

	for (struct dirent *e; d && (e = readdir(d)); )
		if (atoi(e->d_name) > 0 && n < cap)
			pids[n++] = atoi(e->d_name);
	if (d)
		closedir(d);
	return n;
}

/* Which processes there are: those that were there before and after are there in between. */
static void everybody(struct kt *k)
{
	static int before[4096], after[4096];
	struct gpufas_table t;
	unsigned missing = 0, both = 0, kthreads = 0, rising = 1;

	unsigned n = proc_pids(before, KT_COUNT(before));
	ioctl(k->fd, GPUFAS_IOC_PASS);
	struct gf_task_rec *r = kt_table(k, &t);
	unsigned m = proc_pids(after, KT_COUNT(after));
	for (unsigned i = 0; i < n; i++) {
		bool stays = false, seen = false;
		for (unsigned j = 0; j < m; j++)
			stays |= after[j] == before[i];
		for (unsigned j = 0; j < t.count; j++)
			seen |= r[j].pid == before[i];
		both += stays;
		missing += stays && !seen;
	}
	for (unsigned j = 0; j < t.count; j++) {
		kthreads += !!(r[j].flags & GF_REC_KTHREAD);
		rising &= !j || r[j].pid > r[j - 1].pid;
	}
	kt_ok(!missing && both > 10, "every process of /proc is in the table (%u)", both);
	kt_ok(t.count <= both + 3 && rising, "each once, and no others (%u)", t.count);
	kt_ok(kthreads > 10 && r[0].pid == 1 && r[0].flags & GF_REC_INIT, "kernel threads and pid 1 are marked");
	free(r);
}

static void host(struct kt *k)
{
	const struct gpufas_host *h = (const void *)(k->mem + k->h->host_off);
	char mem[4096], text[8192], load[128], want[64];

	ioctl(k->fd, GPUFAS_IOC_PASS);
	slurp(mem, sizeof mem, "/proc/meminfo", 0);
	slurp(text, sizeof text, "/proc/vmstat", 0);
	slurp(load, sizeof load, "/proc/loadavg", 0);
	kt_ok(h->v[GPUFAS_H_MEM_TOTAL] == (uint64_t)key(mem, "MemTotal:") * 1024, "mem.total");
	double d = fabs((double)h->v[GPUFAS_H_MEM_AVAILABLE] - (double)key(mem, "MemAvailable:") * 1024);
	kt_ok(d < 8 << 20, "mem.available is near /proc's");
	d = fabs((double)h->v[GPUFAS_H_MEM_FILE] - (double)(key(mem, "\nCached:") + key(mem, "Buffers:")) * 1024);
	kt_ok(d < 4 << 20, "file pages are near Cached and Buffers");
	kt_ok(h->v[GPUFAS_H_SWAP_FREE] == (uint64_t)key(mem, "SwapFree:") * 1024, "swap.free");
	kt_ok(h->v[GPUFAS_H_OOM_KILL] == (uint64_t)key(text, "oom_kill "), "vm.oom_kill");
	kt_ok(h->v[GPUFAS_H_CPUS] == (uint64_t)sysconf(_SC_NPROCESSORS_ONLN), "cpu.count");
	snprintf(want, sizeof want, "%.1f", (double)h->v[GPUFAS_H_LOAD_1] / 2048);
	kt_ok(fabs(atof(load) - atof(want)) < 0.3, "load.1");
	kt_ok(!(h->seq & 1) && h->have >> GPUFAS_H_TASKS & 1 && h->v[GPUFAS_H_TASKS] > 10 && h->v[GPUFAS_H_THREADS] >= h->v[GPUFAS_H_TASKS],
	      "tasks.count and tasks.threads");
	kt_ok(!(h->have >> GPUFAS_H_RUNNING & 1), "tasks.running is not counted unasked");
	k->c->flags = GPUFAS_COUNT_THREADS;
	ioctl(k->fd, GPUFAS_IOC_PASS);
	ioctl(k->fd, GPUFAS_IOC_PASS);
	kt_ok(h->have >> GPUFAS_H_RUNNING & 1 && h->v[GPUFAS_H_RUNNING] >= 1 && h->v[GPUFAS_H_RUNNING] < 20, "tasks.running, asked for (%llu)",
	      (unsigned long long)h->v[GPUFAS_H_RUNNING]);
	k->c->flags = 0;
}

/* Only what is asked for. */
static void columns(struct kt *k, pid_t pid)
{
	struct gf_task_rec r;

	k->c->want = GF_REC_CPU;
	ioctl(k->fd, GPUFAS_IOC_PASS);
	kt_ok(kt_record(k, pid, &r) && !(r.have & (GF_REC_RSS | GF_REC_FDS | GF_REC_IO)) && r.have & GF_REC_CPU && !r.anon && !r.fds,
	      "columns that nobody wants are not fetched");
	k->c->want = ~0u;
	ioctl(k->fd, GPUFAS_IOC_PASS);
}

int kt_procs(void)
{
	struct kt k;
	struct gf_task_rec r;
	pid_t p[KT_KINDS];

	kt_nursery();
	kt_open(&k, 0);
	for (int i = KT_SLEEPER; i <= KT_ZOMBIE; i++)
		p[i] = kt_spawn((enum kt_kind)i);
	at_rest(&k, p[KT_SLEEPER], "a sleeper");
	at_rest(&k, p[KT_STOPPED], "a stopped process");
	at_rest(&k, p[KT_THREADS], "sixteen threads");
	kt_ok(kt_record(&k, p[KT_ZOMBIE], &r) && r.state == 'Z' && r.flags & GF_REC_EXITING && r.have & GF_REC_RSS && !r.anon, "a zombie");
	uint64_t was = kt_record(&k, p[KT_HOG], &r) ? r.run_ns : 0;
	usleep(300000);
	kt_ok(kt_record(&k, p[KT_HOG], &r) && r.state == 'R' && r.run_ns > was, "a hog's time grows");
	everybody(&k);
	columns(&k, p[KT_SLEEPER]);
	host(&k);
	for (int i = KT_SLEEPER; i <= KT_ZOMBIE; i++)
		kt_end(p[i]);
	kt_ok(!kt_record(&k, p[KT_SLEEPER], &r), "who is gone is in the table no more");
	kt_close(&k);
	return 0;
}
