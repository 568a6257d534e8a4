/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim/import_int.h"

#define T(f) GF_BIT(GF_TF_##f)
#define H(f) GF_BIT(GF_HF_##f)
#define MEMORY (H(MEM_TOTAL) | H(MEM_AVAILABLE) | H(MEM_FREE) | H(MEM_CACHED) | H(MEM_DIRTY) | H(MEM_SLAB) | H(SWAP_TOTAL) | H(SWAP_FREE) | H(SWAP_USED))
#define LOADS (H(LOAD_1) | H(LOAD_5) | H(LOAD_15) | H(CPU_COUNT) | H(CPU_BUSYTIME) | H(CPU_IOWTIME) | H(CPU_STEALTIME))

static void atop_fields(struct gf_fieldset *f)
{
	f->host = MEMORY | LOADS | H(TASKS_COUNT) | H(TASKS_THREADS) | H(UPTIME) | H(VM_PGSCAN) | H(VM_OOM_KILL) | H(VM_PSWPIN) | H(VM_PSWPOUT) |
		  H(PSI_CPU_SOME_10) | H(PSI_CPU_SOME_60) | H(PSI_CPU_SOME_300) | H(PSI_MEM_SOME_10) | H(PSI_MEM_SOME_60) | H(PSI_MEM_SOME_300) |
		  H(PSI_MEM_FULL_10) | H(PSI_MEM_FULL_60) | H(PSI_MEM_FULL_300) | H(PSI_IO_SOME_10) | H(PSI_IO_SOME_60) | H(PSI_IO_SOME_300) |
		  H(PSI_IO_FULL_10) | H(PSI_IO_FULL_60) | H(PSI_IO_FULL_300);
	f->task = T(PID) | T(TGID) | T(PPID) | T(UID) | T(GID) | T(STATE) | T(NICE) | T(PRIO) | T(POLICY) | T(THREADS) | T(AGE) | T(CPUTIME) |
		  T(UTIME) | T(STIME) | T(RSS) | T(SWAP) | T(VSZ) | T(MAJFLT) | T(MINFLT) | T(READ_BYTES) | T(WRITE_BYTES) | T(CHILDREN);
	f->str = 1u << GF_SF_COMM | 1u << GF_SF_CMDLINE | 1u << GF_SF_CGROUP;
}

static void pidstat_fields(struct gf_fieldset *f)
{
	f->task = T(PID) | T(TGID) | T(UID) | T(CPUTIME) | T(UTIME) | T(STIME) | T(MINFLT) | T(MAJFLT) | T(VSZ) | T(RSS) | T(READ_BYTES) |
		  T(WRITE_BYTES) | T(THREADS) | T(FDS) | T(PRIO) | T(POLICY);
	f->str = 1u << GF_SF_COMM;
}

static void node_fields(struct gf_fieldset *f)
{
	f->host = MEMORY | LOADS | H(TASKS_COUNT) | H(TASKS_THREADS) | H(TASKS_RUNNING) | H(TASKS_BLOCKED) | H(TASKS_FORKS) | H(UPTIME) |
		  H(VM_PGSCAN) | H(VM_PGMAJFAULT) | H(VM_OOM_KILL) | H(VM_PSWPIN) | H(VM_PSWPOUT);
}

static void all_fields(struct gf_fieldset *f)
{
	f->host = GF_BIT(GF_HF_COUNT) - 1;
	f->task = GF_BIT(GF_TF_COUNT) - 1;
	f->str = (1u << GF_SF_COUNT) - 1;
}

const struct gf_import_kind gf_import_kinds[] = {
	{ "atop", "atop, of 2.8 and later: parseable text (-P) or JSON (-J)", "atop -r LOG -P CPU,CPL,MEM,SWP,PAG,PSI,PRG,PRC,PRM,PRD",
	  atop_fields, im_run_atop },
	{ "pidstat", "sysstat's pidstat -h, with any of its columns", "pidstat -h -H -p ALL -u -r -d -v 1", pidstat_fields, im_run_pidstat },
	{ "node-exporter", "host series of Prometheus' node exporter as CSV, wide or long", "", node_fields, im_run_node },
	{ "csv", "CSV whose columns are fields' names (docs/import.md)", "", all_fields, im_run_csv },
	{ "jsonl", "JSON, a line each: samples as `gpufasctl ps --json` shows them, or tasks", "gpufasctl ps --json | jq -c .", all_fields, im_run_jsonl },
	{ NULL, NULL, NULL, NULL, NULL },
};

const struct gf_import_kind *gf_import_kind(const char *name)
{
	for (const struct gf_import_kind *k = gf_import_kinds; k->name; k++)
		if (!strcmp(k->name, name))
			return k;
	return NULL;
}

bool im_line(struct gf_import *im, int *ret_rc, struct gf_err *err)
{
	ssize_t n;

	*ret_rc = 0;
	errno = 0;
	n = getline(&im->line, &im->cap, im->in);
	if (n < 0) {
		if (errno)
			*ret_rc = gf_err_set(err, errno, "%s", strerror(errno));
		return false;
	}
	im->bytes += (uint64_t)n;
	im->res->lines++;
	if ((size_t)n > IM_MAX_LINE) {
		*ret_rc = gf_err_set(err, EBADMSG, "line %llu is longer than %u MiB", (unsigned long long)im->res->lines, IM_MAX_LINE >> 20);
		return false;
	}
	if (im->res->lines == 1 && n >= 3 && !memcmp(im->line, "\xef\xbb\xbf", 3)) { /* a byte order mark, as spreadsheets write it */
		n -= 3;
		memmove(im->line, im->line + 3, (size_t)n);
	}
	while (n && (im->line[n - 1] == '\n' || im->line[n - 1] == '\r'))
		n--;
	im->line[n] = 0;
	im->len = (size_t)n;
	if (im->sink->tell && im->res->lines % 64 == 0)
		im->sink->tell(im->sink->arg, im->bytes, im->res->samples);
	return true;
}

void im_bad(struct gf_import *im, const char *fmt, ...)
{
	char t[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t, sizeof t, fmt, ap);
	va_end(ap);
	im->res->bad++;
	im->sink->bad(im->sink->arg, im->res->lines, t);
}

void im_ignored(struct gf_import *im, const char *name)
{
	if (!im->res->ignored++)
		snprintf(im->res->ignored_name, sizeof im->res->ignored_name, "%s", name);
}

int im_begin(struct gf_import *im, int64_t wall_ns, struct gf_err *err)
{
	int rc;

	if (!im->boot_known) { /* nobody says when it was: a day before, so that no time is below 0 */
		im->boot_ns = wall_ns - 86400000000000ll;
		im->boot_known = true;
	}
	if (wall_ns < im->boot_ns) {
		im_bad(im, "its time is before the machine's boot");
		return -EINVAL;
	}
	uint64_t now = (uint64_t)wall_ns - (uint64_t)im->boot_ns;
	if (im->open && now == im->now_ns)
		return 0;
	if (now <= im->now_ns && (im->open || im->res->samples)) {
		im_bad(im, "its time is not after that of the sample before");
		return -EINVAL;
	}
	rc = im_end(im, err);
	if (rc)
		return rc;
	im->before_ns = im->now_ns;
	im->now_ns = now;
	im->open = true;
	im->idle_listed = false;
	gf_rows_begin(&im->rows, now);
	return 0;
}

/* Where only those are listed that did something, the others sleep on. */
static void keep_unlisted(struct gf_import *im)
{
	struct gf_sample *s = &im->rows.s;

	for (uint32_t i = 0; i < s->rows; i++) {
		if (!s->flags[i] || gf_rows_seen(&im->rows, i) || im->now_ns - im->listed_ns[i] > IM_KEEP_NS)
			continue;
		gf_rows_keep(&im->rows, i);
		im->res->unlisted++;
		if (s->col[GF_TF_AGE] && !gf_is_unknown(s->col[GF_TF_AGE][i]))
			s->col[GF_TF_AGE][i] = (double)(im->now_ns - s->start_ns[i]);
	}
}

int im_end(struct gf_import *im, struct gf_err *err)
{
	if (!im->open)
		return 0;
	im->open = false;
	if (!im->idle_listed)
		keep_unlisted(im);
	gf_rows_commit(&im->rows);
	im->res->samples++;
	return im->sink->sample(im->sink->arg, &im->rows.s, im->boot_ns, err);
}

/* Known by its pid alone: whoever has it already. */
static uint64_t first_seen(struct gf_import *im, int32_t pid)
{
	uint32_t row = gf_table_pid(&im->rows.t, pid);

	return row == GF_NONE ? im->now_ns : im->rows.s.start_ns[row];
}

uint32_t im_task(struct gf_import *im, int64_t pid, uint64_t start_ns, int64_t ppid, const char *comm, size_t len)
{
	bool fresh;

	if (pid < 1 || pid > INT32_MAX || ppid < 0 || ppid > INT32_MAX) {
		im_bad(im, "there is no such pid");
		return GF_NONE;
	}
	if (start_ns == UINT64_MAX)
		start_ns = first_seen(im, (int32_t)pid);
	uint32_t row = gf_rows_task(&im->rows, (int32_t)pid, start_ns, (int32_t)ppid, comm, GF_MIN(len, GF_COMM_LEN - 1), &fresh);
	if (row == GF_NONE) {
		if (!im->full_said)
			im_bad(im, "more than %u processes in one sample: those beyond are left out", im->rows.s.cap);
		im->full_said = true;
		return row;
	}
	for (int i = 0; fresh && i < IM_ACCS; i++)
		im->acc[i][row] = 0;
	im->listed_ns[row] = im->now_ns;
	im->tasks = true;
	im_set(im, row, GF_TF_PID, (double)pid);
	im_set(im, row, GF_TF_TGID, (double)pid);
	return row;
}

void im_add(struct gf_import *im, uint32_t row, enum im_acc what, enum gf_task_field f, double change)
{
	if (isfinite(change) && change > 0)
		im->acc[what][row] += change;
	gf_rows_set(&im->rows, row, f, im->acc[what][row]);
}

void im_set(struct gf_import *im, uint32_t row, enum gf_task_field f, double v)
{
	gf_rows_set(&im->rows, row, f, isfinite(v) ? v : gf_unknown());
}

uint32_t im_path(struct gf_import *im, const char *path)
{
	uint32_t k = gf_pathset_find(&im->res->paths, path);
	struct gf_fieldset f = im->fields;

	if (k != GF_NONE)
		return k;
	f.paths = im->res->paths.n + 1;
	/* A column first: a path without one would be written as if it had been looked for. */
	if (!im->res->samples && f.paths <= GF_MAX_PATHS && !gf_sample_set_fields(&im->rows.s, &f, NULL) && !gf_pathset_add(&im->res->paths, path))
		return f.paths - 1;
	im_ignored(im, path);
	return GF_NONE;
}

void im_host(struct gf_import *im, enum gf_host_field f, double v)
{
	im->rows.s.host[f] = isfinite(v) ? v : gf_unknown();
}

void im_host_add(struct gf_import *im, enum gf_host_field f, double change)
{
	if (isfinite(change) && change > 0)
		im->host[f] += change;
	im->rows.s.host[f] = im->host[f];
}

void im_count(struct gf_import *im)
{
	const struct gf_sample *s = &im->rows.s;
	double tasks = 0, threads = 0;

	for (uint32_t i = 0; i < s->rows; i++)
		if (s->flags[i] && (gf_rows_seen(&im->rows, i) || !im->idle_listed)) {
			tasks++;
			threads += gf_rows_get(&im->rows, i, GF_TF_THREADS);
		}
	if (tasks > 0) {
		im_host(im, GF_HF_TASKS_COUNT, tasks);
		im_host(im, GF_HF_TASKS_THREADS, threads);
	}
	im_host(im, GF_HF_UPTIME, (double)im->now_ns);
}

bool im_number(const char *s, size_t n, double *ret)
{
	char t[64], *end;

	if (!n || n >= sizeof t || !strchr("0123456789+-.", s[0]))
		return false;
	memcpy(t, s, n);
	t[n] = 0;
	if (strpbrk(t, "xX"))
		return false;
	*ret = strtod(t, &end);
	return end == t + n && isfinite(*ret);
}

bool im_whole(const char *s, size_t n, int64_t *ret)
{
	char t[32], *end;

	if (!n || n >= sizeof t || !strchr("0123456789-", s[0]))
		return false;
	memcpy(t, s, n);
	t[n] = 0;
	errno = 0;
	*ret = strtoll(t, &end, 10);
	return end == t + n && !errno;
}

static bool rfc3339(const char *s, size_t n, int64_t *ret)
{
	char t[64];
	struct tm tm = { 0 };
	int y, mo, d, h, mi, used = 0, oh = 0, om = 0;
	double sec, off = 0;
	char sign = 0;

	if (n >= sizeof t)
		return false;
	memcpy(t, s, n);
	t[n] = 0;
	if (sscanf(t, "%4d-%2d-%2d%*1[T ]%2d:%2d:%lf%n", &y, &mo, &d, &h, &mi, &sec, &used) != 6)
		return false;
	if (t[used] == 'Z' || t[used] == 'z')
		used++;
	else if (sscanf(t + used, "%c%2d:%2d", &sign, &oh, &om) == 3 && (sign == '+' || sign == '-'))
		used += 6, off = (sign == '+' ? 1 : -1) * (oh * 3600.0 + om * 60.0);
	if ((size_t)used != n || mo < 1 || mo > 12 || d < 1 || d > 31 || h < 0 || h > 24 || mi < 0 || mi > 59 || !(sec >= 0 && sec < 61) || y < 1970 || y > 2200)
		return false;
	tm = (struct tm){ .tm_year = y - 1900, .tm_mon = mo - 1, .tm_mday = d, .tm_hour = h, .tm_min = mi };
	*ret = ((int64_t)timegm(&tm) - (int64_t)off) * 1000000000 + (int64_t)llround(sec * 1e9);
	return true;
}

bool im_time(const char *s, size_t n, int64_t *ret)
{
	double v;
	int64_t w;

	while (n && *s == ' ')
		s++, n--;
	while (n && s[n - 1] == ' ')
		n--;
	if (im_whole(s, n, &w) && w >= 0) { /* seconds, or the milli-, micro- or nanoseconds that some tools have */
		int64_t unit = w < 9000000000ll ? 1000000000 : w < 9000000000000ll ? 1000000 : w < 9000000000000000ll ? 1000 : 1;
		*ret = w * unit;
		return true;
	}
	if (im_number(s, n, &v) && v >= 0 && v < 9e9) {
		*ret = (int64_t)v * 1000000000 + (int64_t)llround((v - floor(v)) * 1e9);
		return true;
	}
	return rfc3339(s, n, ret);
}

static void deinit(struct gf_import *im)
{
	for (int i = 0; i < IM_ACCS; i++)
		free(im->acc[i]);
	free(im->listed_ns);
	free(im->line);
	gf_rows_deinit(&im->rows);
}

void gf_import_result_deinit(struct gf_import_result *r)
{
	gf_pathset_deinit(&r->paths);
}

int gf_import(const struct gf_import_kind *kind, FILE *in, const struct gf_import_sink *sink, struct gf_import_result *res, struct gf_err *err)
{
	struct gf_import im = { .in = in, .sink = sink, .res = res };
	struct gf_fieldset f = { 0 };
	int rc;

	memset(res, 0, sizeof *res);
	kind->fields(&f);
	im.fields = f;
	im.fields.str |= 1u << GF_SF_COMM;
	rc = gf_rows_init(&im.rows, sink->max_tasks ? sink->max_tasks : GF_ROWS_CAP, &f, err);
	for (int i = 0; i < IM_ACCS && !rc; i++)
		if (!(im.acc[i] = calloc(im.rows.s.cap, sizeof **im.acc)))
			rc = gf_err_set(err, ENOMEM, "out of memory");
	if (!rc && !(im.listed_ns = calloc(im.rows.s.cap, sizeof *im.listed_ns)))
		rc = gf_err_set(err, ENOMEM, "out of memory");
	if (!rc)
		rc = kind->run(&im, err);
	if (!rc)
		rc = im_end(&im, err);
	deinit(&im);
	return rc;
}
