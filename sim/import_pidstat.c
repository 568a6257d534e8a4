/* SPDX-License-Identifier: MIT
 *
 * sysstat's pidstat -h (12.x): a line of names beginning with "# Time", then a line a process. Lines of one time are one
 * sample. Without -H the time is that of the day, and the day is in the first line. What is given a second is multiplied
 * by the time since the sample before.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "sim/import_int.h"

#define MAX_COLUMNS 64
#define KIB 1024.0

enum what { NOTHING, PID, UID, COMMAND, TGID, USR, SYS, CPU, MINFLT, MAJFLT, VSZ, RSS, READ, WRITE, THREADS, FDS, PRIO, POLICY };

static const struct { const char *name; enum what what; } names[] = {
	{ "PID", PID }, { "UID", UID }, { "Command", COMMAND }, { "TGID", TGID }, { "%usr", USR }, { "%system", SYS }, { "%CPU", CPU },
	{ "minflt/s", MINFLT }, { "majflt/s", MAJFLT }, { "VSZ", VSZ }, { "RSS", RSS }, { "kB_rd/s", READ }, { "kB_wr/s", WRITE },
	{ "threads", THREADS }, { "fd-nr", FDS }, { "prio", PRIO }, { "policy", POLICY },
};

struct pidstat {
	enum what column[MAX_COLUMNS];
	int columns;      /* 0: the line of names has not come */
	int64_t day_ns;   /* 0 h of the day */
	int64_t last_ns;  /* of the day, to see midnight */
	bool cpu_split;   /* %usr and %system are there */
};

/* "Linux 6.1.0 (host) \t11/27/26 \t_x86_64_" or with 2026-11-27, as the locale has it. */
static void first_line(struct gf_import *im, struct pidstat *p)
{
	char *open = strchr(im->line, '('), *close = open ? strchr(open, ')') : NULL;
	int y, m, d;
	struct tm tm = { 0 };

	if (!close)
		return;
	snprintf(im->res->hostname, sizeof im->res->hostname, "%.*s", (int)GF_MIN(close - open - 1, 63), open + 1);
	if (sscanf(close + 1, " %4d-%2d-%2d", &y, &m, &d) != 3 || y < 1970) {
		if (sscanf(close + 1, " %2d/%2d/%4d", &m, &d, &y) != 3)
			return;
		y += y < 100 ? 2000 : 0;
	}
	if (m < 1 || m > 12 || d < 1 || d > 31 || y < 1970 || y > 2200)
		return;
	tm = (struct tm){ .tm_year = y - 1900, .tm_mon = m - 1, .tm_mday = d };
	p->day_ns = (int64_t)timegm(&tm) * 1000000000;
}

static void read_names(struct gf_import *im, struct pidstat *p)
{
	char *save, *w = strtok_r(im->line + 1, " \t", &save);

	p->columns = 0;
	p->cpu_split = false;
	while ((w = strtok_r(NULL, " \t", &save)) && p->columns < MAX_COLUMNS) {
		enum what what = NOTHING;
		for (size_t i = 0; i < sizeof names / sizeof *names; i++)
			if (!strcmp(names[i].name, w))
				what = names[i].what;
		p->cpu_split |= what == SYS;
		p->column[p->columns++] = what;
	}
}

/* The time at the line's beginning: "1795746502", "02:18:32", "02:18:32 AM". Moves *s behind it. */
static bool take_time(struct pidstat *p, char **s, int64_t *ret_ns)
{
	int h, m, sec, n = 0, more = 0;
	char half[3] = "";
	int64_t epoch;
	char *end = strchr(*s, ' ');

	if (end && im_whole(*s, (size_t)(end - *s), &epoch) && epoch > 86400 && epoch < 1ll << 33) {
		*ret_ns = epoch * 1000000000;
		*s = end;
		return true;
	}
	if (sscanf(*s, "%2d:%2d:%2d%n", &h, &m, &sec, &n) != 3 || h < 0 || h > 23 || m < 0 || m > 59 || sec < 0 || sec > 60)
		return false;
	*s += n;
	if (sscanf(*s, " %2[AMP]%n", half, &more) == 1 && (!strcmp(half, "AM") || !strcmp(half, "PM"))) {
		*s += more;
		h = h % 12 + (half[0] == 'P' ? 12 : 0);
	}
	*ret_ns = (h * 3600 + m * 60 + sec) * 1000000000ll;
	if (*ret_ns < p->last_ns - 43200000000000ll)
		p->day_ns += 86400000000000ll; /* past midnight */
	p->last_ns = *ret_ns;
	*ret_ns += p->day_ns;
	return true;
}

struct values {
	double v[POLICY + 1];
	const char *policy, *command;
};

static bool take_values(const struct pidstat *p, char *s, struct values *ret)
{
	for (int i = 0; i <= POLICY; i++)
		ret->v[i] = gf_unknown();
	ret->policy = "";
	ret->command = NULL;
	for (int i = 0; i < p->columns; i++) {
		s += strspn(s, " \t");
		if (p->column[i] == COMMAND && i == p->columns - 1) {
			ret->command = s; /* the rest: it may have blanks */
			return *s != 0;
		}
		size_t n = strcspn(s, " \t");
		if (!n)
			return false;
		if (s[n])
			s[n++] = 0;
		if (p->column[i] == POLICY)
			ret->policy = s;
		else if (p->column[i] != NOTHING && !im_number(s, strlen(s), &ret->v[p->column[i]]) && strcmp(s, "-"))
			return false;
		s += n;
	}
	return false;
}

/* Scheduling classes as pidstat names them. */
static double policy_number(const char *s)
{
	static const char *const policies[] = { "NORMAL", "FIFO", "RR", "BATCH", "ISO", "IDLE", "DEADLN" };

	for (int i = 0; i < 7; i++)
		if (!strcmp(policies[i], s))
			return i;
	return gf_unknown();
}

static void put(struct gf_import *im, const struct pidstat *p, const struct values *v, double dt)
{
	const char *command = v->command + (strncmp(v->command, "|__", 3) ? 0 : 3);
	uint32_t row = im_task(im, v->v[PID] >= 1 && v->v[PID] <= INT32_MAX ? (int64_t)v->v[PID] : -1, UINT64_MAX, 0, command, strlen(command));

	if (row == GF_NONE)
		return;
	if (v->v[UID] >= 0 && v->v[UID] < 4294967295.0)
		im->rows.s.uid[row] = (uint32_t)v->v[UID];
	im_set(im, row, GF_TF_UID, v->v[UID]);
	if (p->cpu_split) {
		im_add(im, row, IM_UTIME, GF_TF_UTIME, v->v[USR] / 100 * dt);
		im_add(im, row, IM_STIME, GF_TF_STIME, v->v[SYS] / 100 * dt);
		im_set(im, row, GF_TF_CPUTIME, im->acc[IM_UTIME][row] + im->acc[IM_STIME][row]);
		im->idle_listed |= v->v[USR] == 0 && v->v[SYS] == 0 && !(v->v[MINFLT] > 0) && !(v->v[READ] > 0) && !(v->v[WRITE] > 0);
	}
	if (!gf_is_unknown(v->v[MINFLT])) {
		im_add(im, row, IM_MINFLT, GF_TF_MINFLT, v->v[MINFLT] * dt / 1e9);
		im_add(im, row, IM_MAJFLT, GF_TF_MAJFLT, v->v[MAJFLT] * dt / 1e9);
		im_set(im, row, GF_TF_VSZ, v->v[VSZ] * KIB);
		im_set(im, row, GF_TF_RSS, v->v[RSS] * KIB);
	}
	if (v->v[READ] >= 0) /* -1: not to be had */
		im_add(im, row, IM_READ, GF_TF_READ_BYTES, v->v[READ] * KIB * dt / 1e9);
	if (v->v[WRITE] >= 0)
		im_add(im, row, IM_WRITE, GF_TF_WRITE_BYTES, v->v[WRITE] * KIB * dt / 1e9);
	im_set(im, row, GF_TF_THREADS, v->v[THREADS]);
	im_set(im, row, GF_TF_FDS, v->v[FDS] >= 0 ? v->v[FDS] : gf_unknown());
	if (*v->policy) {
		im_set(im, row, GF_TF_POLICY, policy_number(v->policy));
		/* pidstat shows the real-time priority, 0 for others */
		im_set(im, row, GF_TF_PRIO, v->v[PRIO] > 0 ? -1 - v->v[PRIO] : gf_unknown());
	}
}

static int one_line(struct gf_import *im, struct pidstat *p, struct gf_err *err)
{
	struct values v;
	char *s = im->line + strspn(im->line, " \t");
	int64_t at;
	int rc;

	if (!strncmp(s, "Average:", 8))
		return 0;
	if (!take_time(p, &s, &at) || !take_values(p, s, &v) || !v.command) {
		im_bad(im, "this line has not the columns that the line of names (# Time ...) has");
		return 0;
	}
	if (!p->day_ns && at < 86400000000000ll) {
		im_bad(im, "the day is not known: the first line (Linux ...) is missing, or use pidstat -H");
		return 0;
	}
	if (gf_is_unknown(v.v[PID]) || v.v[PID] == 0)
		return 0; /* a thread: its TGID is - and its TID says the rest */
	rc = im_begin(im, at, err);
	if (rc)
		return rc == -EINVAL ? 0 : rc;
	put(im, p, &v, im->before_ns ? (double)(im->now_ns - im->before_ns) : 0);
	return 0;
}

int im_run_pidstat(struct gf_import *im, struct gf_err *err)
{
	struct pidstat p = { 0 };
	int rc;

	while (im_line(im, &rc, err)) {
		if (!strncmp(im->line, "Linux ", 6)) {
			first_line(im, &p);
		} else if (im->line[0] == '#') {
			read_names(im, &p);
		} else if (im->len && !p.columns) {
			return gf_err_set(err, EBADMSG, "this is not what pidstat -h writes: there is no line that begins with \"# Time\"");
		} else if (im->len) {
			rc = one_line(im, &p, err);
			if (rc)
				return rc;
		}
	}
	return rc;
}
