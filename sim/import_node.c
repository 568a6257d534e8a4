/* SPDX-License-Identifier: MIT
 *
 * Series of Prometheus' node exporter as CSV. Wide: a column of time, and one a series, named node_memory_MemFree_bytes or
 * node_cpu_seconds_total{cpu="0",mode="idle"}. Long: columns time (or timestamp), metric (or name, __name__), value, and labels
 * as columns of their own, or within the metric.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim/import_int.h"

#define MAX_COLUMNS 4096
#define MAX_CPUS 4096

enum special { PLAIN, CPU_TIME, UPTIME_OF_BOOT, SWAP_TOTAL, SWAP_FREE, SUM };

static const struct metric {
	const char *name;
	enum gf_host_field f;
	enum special special;
} metrics[] = {
	{ "node_memory_MemTotal_bytes", GF_HF_MEM_TOTAL, PLAIN }, { "node_memory_MemAvailable_bytes", GF_HF_MEM_AVAILABLE, PLAIN },
	{ "node_memory_MemFree_bytes", GF_HF_MEM_FREE, PLAIN }, { "node_memory_Cached_bytes", GF_HF_MEM_CACHED, PLAIN },
	{ "node_memory_Dirty_bytes", GF_HF_MEM_DIRTY, PLAIN }, { "node_memory_Slab_bytes", GF_HF_MEM_SLAB, PLAIN },
	{ "node_memory_SwapTotal_bytes", GF_HF_SWAP_TOTAL, SWAP_TOTAL }, { "node_memory_SwapFree_bytes", GF_HF_SWAP_FREE, SWAP_FREE },
	{ "node_load1", GF_HF_LOAD_1, PLAIN }, { "node_load5", GF_HF_LOAD_5, PLAIN }, { "node_load15", GF_HF_LOAD_15, PLAIN },
	{ "node_cpu_seconds_total", GF_HF_CPU_BUSYTIME, CPU_TIME }, { "node_procs_running", GF_HF_TASKS_RUNNING, PLAIN },
	{ "node_procs_blocked", GF_HF_TASKS_BLOCKED, PLAIN }, { "node_forks_total", GF_HF_TASKS_FORKS, PLAIN },
	{ "node_processes_pids", GF_HF_TASKS_COUNT, PLAIN }, { "node_processes_threads", GF_HF_TASKS_THREADS, PLAIN },
	{ "node_vmstat_pgmajfault", GF_HF_VM_PGMAJFAULT, PLAIN }, { "node_vmstat_oom_kill", GF_HF_VM_OOM_KILL, PLAIN },
	{ "node_vmstat_pswpin", GF_HF_VM_PSWPIN, PLAIN }, { "node_vmstat_pswpout", GF_HF_VM_PSWPOUT, PLAIN },
	{ "node_vmstat_pgscan_kswapd", GF_HF_VM_PGSCAN, SUM }, { "node_vmstat_pgscan_direct", GF_HF_VM_PGSCAN, SUM },
	{ "node_vmstat_pgscan_khugepaged", GF_HF_VM_PGSCAN, SUM }, { "node_boot_time_seconds", GF_HF_UPTIME, UPTIME_OF_BOOT },
};

/* What a series is. */
struct series {
	const struct metric *m; /* NULL: nothing that we have a field for */
	int cpu;                /* of CPU_TIME */
	char mode[16];
};

/* The value of label `key` in {a="x",key="value"}; *ret_len 0 where it is not there. */
static const char *label(const char *s, const char *key, size_t *ret_len)
{
	size_t n = strlen(key);
	const char *p = strchr(s, '{');

	*ret_len = 0;
	while (p && *p && *p != '}') {
		p += strspn(p, "{, ");
		bool ours = !strncmp(p, key, n) && p[n] == '=';
		p = strchr(p, '=');
		if (!p)
			break;
		bool quoted = p[1] == '"';
		p += 1 + quoted;
		const char *end = quoted ? strchr(p, '"') : p + strcspn(p, ",}");
		if (!end)
			break;
		if (ours) {
			*ret_len = (size_t)(end - p);
			return p;
		}
		p = end + quoted;
	}
	return "";
}

/* A recording is of one machine: the first that is named. False: this series is of another. */
static bool ours(struct gf_import *im, const char *instance, size_t n)
{
	char name[sizeof im->res->hostname];

	snprintf(name, sizeof name, "%.*s", (int)GF_MIN(n, sizeof name - 1), instance);
	if (!*name)
		return true;
	if (!*im->res->hostname)
		snprintf(im->res->hostname, sizeof im->res->hostname, "%s", name);
	return !strcmp(im->res->hostname, name);
}

static void name_series(struct gf_import *im, const char *name, const char *cpu, size_t cpu_len, const char *mode, size_t mode_len, struct series *ret)
{
	size_t n = strcspn(name, "{ ");
	int64_t c = 0;

	*ret = (struct series){ .cpu = -1 };
	for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++)
		if (strlen(metrics[i].name) == n && !strncmp(metrics[i].name, name, n))
			ret->m = &metrics[i];
	if (ret->m && ret->m->special == CPU_TIME) {
		if (!cpu_len || !mode_len || mode_len >= sizeof ret->mode || !im_whole(cpu, cpu_len, &c) || c < 0 || c >= MAX_CPUS)
			ret->m = NULL;
		else
			memcpy(ret->mode, mode, mode_len);
		ret->cpu = (int)c;
	}
	if (!ret->m)
		im_ignored(im, name);
}

struct node {
	uint8_t seen[MAX_CPUS]; /* CPUs of this sample */
	double total, free;     /* swap */
	double sum[GF_HF_COUNT];
	bool some;
};

static void fresh(struct node *x)
{
	memset(x, 0, sizeof *x);
	x->total = x->free = gf_unknown();
}

static void put(struct gf_import *im, struct node *x, const struct series *s, double v)
{
	static const char *const busy[] = { "user", "nice", "system", "irq", "softirq" };
	enum gf_host_field f = s->m->f;

	x->some = true;
	switch (s->m->special) {
	case CPU_TIME:
		f = !strcmp(s->mode, "iowait") ? GF_HF_CPU_IOWTIME : !strcmp(s->mode, "steal") ? GF_HF_CPU_STEALTIME : GF_HF_COUNT;
		for (int i = 0; i < 5; i++)
			if (!strcmp(busy[i], s->mode))
				f = GF_HF_CPU_BUSYTIME;
		x->seen[s->cpu] = 1;
		if (f != GF_HF_COUNT)
			im_host(im, f, x->sum[f] += v * 1e9);
		return;
	case SUM:
		im_host(im, f, x->sum[f] += v);
		return;
	case UPTIME_OF_BOOT:
		if (v > 0 && v < 1e11)
			im_host(im, f, (double)im->now_ns + (double)im->boot_ns - v * 1e9);
		return;
	case SWAP_TOTAL:
		x->total = v;
		break;
	case SWAP_FREE:
		x->free = v;
		break;
	case PLAIN:
		break;
	}
	im_host(im, f, v);
}

static int flush(struct gf_import *im, struct node *x, struct gf_err *err)
{
	double cpus = 0;

	if (!im->open)
		return 0;
	for (int i = 0; i < MAX_CPUS; i++)
		cpus += x->seen[i];
	if (cpus > 0)
		im_host(im, GF_HF_CPU_COUNT, cpus);
	if (!gf_is_unknown(x->total + x->free))
		im_host(im, GF_HF_SWAP_USED, x->total - x->free);
	fresh(x);
	return im_end(im, err);
}

/* Lines of one time in a row are one sample. */
static int at_time(struct gf_import *im, struct node *x, int64_t at, struct gf_err *err)
{
	bool same = im->open && at >= im->boot_ns && (uint64_t)(at - im->boot_ns) == im->now_ns;
	int rc = same ? 0 : flush(im, x, err);

	return rc ? rc : im_begin(im, at, err);
}

static int wide(struct gf_import *im, struct node *x, char **name, int n, int time, struct gf_err *err)
{
	struct series *s = calloc((size_t)n, sizeof *s);
	char **v = calloc(MAX_COLUMNS, sizeof *v);
	int rc = s && v ? 0 : gf_err_set(err, ENOMEM, "out of memory");
	bool some = false;

	for (int i = 0; i < n && !rc; i++) {
		size_t a, b;
		const char *cpu = label(name[i], "cpu", &a), *mode = label(name[i], "mode", &b);
		if (i == time)
			continue;
		name_series(im, name[i], cpu, a, mode, b, &s[i]);
		if (s[i].m) {
			const char *inst = label(name[i], "instance", &a);
			if (!ours(im, inst, a)) {
				im_ignored(im, name[i]);
				s[i].m = NULL;
			}
		}
		some |= s[i].m != NULL;
	}
	if (!rc && !some)
		rc = gf_err_set(err, EBADMSG, "no column is a series of the node exporter that there is a field for, such as node_memory_MemFree_bytes");
	while (!rc && im_line(im, &rc, err)) {
		int64_t at;
		double d;
		int k = im->len ? im_csv(im->line, im->len, v, MAX_COLUMNS) : 0;
		if (!im->len)
			continue;
		if (k != n || !im_time(v[time], strlen(v[time]), &at)) {
			if (k != n)
				im_bad(im, k < 0 ? "a quote has no end" : "it has %d columns, and the first line %d", k, n);
			else
				im_bad(im, "there is no time that can be read");
			continue;
		}
		rc = at_time(im, x, at, err);
		if (rc == -EINVAL) {
			rc = 0;
			continue;
		}
		for (int i = 0; i < n && !rc; i++) {
			if (i == time || !s[i].m || !*v[i] || !strcmp(v[i], "NaN") || !strcmp(v[i], "null"))
				continue;
			if (im_number(v[i], strlen(v[i]), &d))
				put(im, x, &s[i], d);
			else
				im_bad(im, "%.60s is %.40s, which is no number", name[i], v[i]);
		}
	}
	free(s);
	free(v);
	return rc;
}

static int column(char **name, int n, const char *const *words)
{
	for (; *words; words++)
		for (int i = 0; i < n; i++)
			if (!strcasecmp(name[i], *words))
				return i;
	return -1;
}

static int tall(struct gf_import *im, struct node *x, char **name, int n, int time, int metric, int value, struct gf_err *err)
{
	static const char *const cpus[] = { "cpu", NULL }, *const modes[] = { "mode", NULL }, *const instances[] = { "instance", NULL };
	int of = column(name, n, instances), cpu = column(name, n, cpus), mode = column(name, n, modes), rc = 0;
	char *v[64];

	while (!rc && im_line(im, &rc, err)) {
		struct series s;
		size_t a, b;
		int64_t at;
		double d;
		if (!im->len)
			continue;
		int k = im_csv(im->line, im->len, v, 64);
		if (k != n || !im_time(v[time], strlen(v[time]), &at) || !im_number(v[value], strlen(v[value]), &d)) {
			im_bad(im, k != n ? "it has not as many columns as the first line" : "its time or its value cannot be read");
			continue;
		}
		const char *c = cpu >= 0 ? v[cpu] : label(v[metric], "cpu", &a), *m = mode >= 0 ? v[mode] : label(v[metric], "mode", &b);
		a = cpu >= 0 ? strlen(c) : a;
		b = mode >= 0 ? strlen(m) : b;
		name_series(im, v[metric], c, a, m, b, &s);
		if (!s.m)
			continue;
		const char *inst = of >= 0 ? v[of] : label(v[metric], "instance", &a);
		if (!ours(im, inst, of >= 0 ? strlen(inst) : a)) {
			im_ignored(im, v[metric]);
			continue;
		}
		rc = at_time(im, x, at, err);
		if (!rc)
			put(im, x, &s, d);
		else if (rc == -EINVAL)
			rc = 0;
	}
	return rc;
}

int im_run_node(struct gf_import *im, struct gf_err *err)
{
	static const char *const times[] = { "time", "timestamp", "date", NULL }, *const names[] = { "metric", "__name__", "name", NULL };
	static const char *const values[] = { "value", NULL };
	char **name = calloc(MAX_COLUMNS, sizeof *name), *head = NULL;
	struct node *x = calloc(1, sizeof *x);
	int rc = 0, n = 0;

	if (!name || !x)
		rc = gf_err_set(err, ENOMEM, "out of memory");
	if (!rc && !im_line(im, &rc, err) && !rc)
		rc = gf_err_set(err, EBADMSG, "there is nothing in it");
	if (!rc && !(head = strdup(im->line)))
		rc = gf_err_set(err, ENOMEM, "out of memory");
	if (!rc) {
		fresh(x);
		n = im_csv(head, strlen(head), name, MAX_COLUMNS);
		int time = n > 0 ? column(name, n, times) : -1, metric = n > 0 ? column(name, n, names) : -1, value = n > 0 ? column(name, n, values) : -1;
		if (time < 0)
			rc = gf_err_set(err, EBADMSG, "its first line must name the columns, and one of them time (or timestamp)");
		else if (metric >= 0 && value >= 0)
			rc = tall(im, x, name, n, time, metric, value, err);
		else
			rc = wide(im, x, name, n, time, err);
	}
	if (!rc)
		rc = flush(im, x, err);
	free(head);
	free(name);
	free(x);
	return rc;
}
