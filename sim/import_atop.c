/* SPDX-License-Identifier: MIT
 *
 * atop -P (man atop, PARSEABLE OUTPUT; parseable.c of 2.8.1 and of 2.12). Lines of one sample end with SEP; in the one after
 * RESET counters are since boot, later ones since the sample before. Names and command lines stand in parentheses and may
 * hold some themselves.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim/import_int.h"

#define SECTOR 512.0
#define KIB 1024.0
#define MAX_WORDS 40

/* A line behind its six words. */
struct line {
	char *word[MAX_WORDS];
	int n;
};

static double num(const struct line *l, int i)
{
	double v;

	return i < l->n && im_number(l->word[i], strlen(l->word[i]), &v) ? v : gf_unknown();
}

static void split(char *s, struct line *l)
{
	char *save;

	for (char *w = strtok_r(s, " ", &save); w && l->n < MAX_WORDS; w = strtok_r(NULL, " ", &save))
		l->word[l->n++] = w;
}

static void host_cpu(struct gf_import *im, const struct line *l)
{
	double tick = 1e9 / num(l, 0);

	im_host(im, GF_HF_CPU_COUNT, num(l, 1));
	im_host_add(im, GF_HF_CPU_BUSYTIME, tick * (num(l, 2) + num(l, 3) + num(l, 4) + num(l, 7) + num(l, 8)));
	im_host_add(im, GF_HF_CPU_IOWTIME, tick * num(l, 6));
	im_host_add(im, GF_HF_CPU_STEALTIME, tick * num(l, 9));
}

static void host_load(struct gf_import *im, const struct line *l)
{
	im_host(im, GF_HF_LOAD_1, num(l, 1));
	im_host(im, GF_HF_LOAD_5, num(l, 2));
	im_host(im, GF_HF_LOAD_15, num(l, 3));
}

static void host_mem(struct gf_import *im, const struct line *l)
{
	double page = num(l, 0);

	im_host(im, GF_HF_MEM_TOTAL, page * num(l, 1));
	im_host(im, GF_HF_MEM_FREE, page * num(l, 2));
	im_host(im, GF_HF_MEM_CACHED, page * num(l, 3));
	im_host(im, GF_HF_MEM_SLAB, page * num(l, 5));
	im_host(im, GF_HF_MEM_DIRTY, page * num(l, 6));
	im_host(im, GF_HF_MEM_AVAILABLE, page * num(l, 24)); /* since 2.10 */
}

static void host_swap(struct gf_import *im, const struct line *l)
{
	double page = num(l, 0);

	im_host(im, GF_HF_SWAP_TOTAL, page * num(l, 1));
	im_host(im, GF_HF_SWAP_FREE, page * num(l, 2));
	im_host(im, GF_HF_SWAP_USED, page * (num(l, 1) - num(l, 2)));
}

static void host_pages(struct gf_import *im, const struct line *l)
{
	im_host_add(im, GF_HF_VM_PGSCAN, num(l, 1));
	im_host_add(im, GF_HF_VM_PSWPIN, num(l, 4));
	im_host_add(im, GF_HF_VM_PSWPOUT, num(l, 5));
	if (num(l, 6) >= 0) /* -1: this kernel does not count them */
		im_host_add(im, GF_HF_VM_OOM_KILL, num(l, 6));
}

static void host_psi(struct gf_import *im, const struct line *l)
{
	static const enum gf_host_field f[15] = {
		GF_HF_PSI_CPU_SOME_10, GF_HF_PSI_CPU_SOME_60, GF_HF_PSI_CPU_SOME_300, GF_HF_PSI_MEM_SOME_10, GF_HF_PSI_MEM_SOME_60,
		GF_HF_PSI_MEM_SOME_300, GF_HF_PSI_MEM_FULL_10, GF_HF_PSI_MEM_FULL_60, GF_HF_PSI_MEM_FULL_300, GF_HF_PSI_IO_SOME_10,
		GF_HF_PSI_IO_SOME_60, GF_HF_PSI_IO_SOME_300, GF_HF_PSI_IO_FULL_10, GF_HF_PSI_IO_FULL_60, GF_HF_PSI_IO_FULL_300,
	};

	if (!l->n || strcmp(l->word[0], "y"))
		return;
	for (int i = 0; i < 15; i++)
		im_host(im, f[i], num(l, 1 + i / 3 * 4 + i % 3));
}

/* ---- processes --------------------------------------------------------------------- */

/* "PID (NAME) S ": moves *s behind the blank after the state. The name is that with the last ") S " within its fifteen bytes. */
static bool take_name(char **s, int64_t *ret_pid, char **ret_name, size_t *ret_len, char *ret_state)
{
	char *p = strchr(*s, ' '), *end = NULL;

	if (!p || !im_whole(*s, (size_t)(p - *s), ret_pid))
		return false;
	p++;
	if (*p != '(') { /* -Z: one word */
		end = strchr(p, ' ');
		if (!end || !end[1] || (end[2] && end[2] != ' '))
			return false;
		*ret_name = p;
		*ret_len = (size_t)(end - p);
		*ret_state = end[1];
		*s = end + (end[2] ? 3 : 2);
		return true;
	}
	for (char *q = p + 1; *q && q <= p + GF_COMM_LEN; q++)
		if (q[0] == ')' && q[1] == ' ' && q[2] && q[2] != ' ' && (!q[3] || q[3] == ' '))
			end = q;
	if (!end)
		return false;
	*ret_name = p + 1;
	*ret_len = (size_t)(end - p - 1);
	*ret_state = end[2];
	*s = end + (end[3] ? 4 : 3);
	return true;
}

/* Whether what is behind a command line's end looks so: eleven numbers, and y or n. */
static bool is_tail(const char *s)
{
	for (int i = 0; i < 11; i++) {
		size_t n = strspn(s, "-0123456789");
		if (!n || s[n] != ' ')
			return false;
		s += n + 1;
	}
	return (*s == 'y' || *s == 'n') && (!s[1] || s[1] == ' ');
}

/* "(COMMAND LINE) 0 ...": the last place that may be its end. */
static bool take_cmdline(char **s, char **ret, size_t *ret_len)
{
	char *p = *s, *end = NULL;

	if (*p != '(') {
		end = strchr(p, ' ');
		if (!end)
			return false;
		*ret = p;
		*ret_len = (size_t)(end - p);
		*s = end + 1;
		return true;
	}
	for (char *q = p + 1; (q = strstr(q, ") ")); q++)
		if (is_tail(q + 2))
			end = q;
	if (!end)
		return false;
	*ret = p + 1;
	*ret_len = (size_t)(end - p - 1);
	*s = end + 2;
	return true;
}

/* Where a process has no row yet in this sample it is not known when it was started: PRG comes first. */
static uint32_t row_of(struct gf_import *im, int64_t pid)
{
	uint32_t row = pid > 0 && pid <= INT32_MAX ? gf_table_pid(&im->rows.t, (int32_t)pid) : GF_NONE;

	return row != GF_NONE && gf_rows_seen(&im->rows, row) ? row : GF_NONE;
}

static bool prg(struct gf_import *im, char *s)
{
	char *name, *cmd, state;
	size_t name_len, cmd_len;
	int64_t pid;
	struct line a = { 0 }, b = { 0 };

	if (!take_name(&s, &pid, &name, &name_len, &state))
		return false;
	/* ruid rgid tgid nthr exitcode btime */
	char *at = s;
	for (int i = 0; i < 6 && at; i++)
		at = (at = strchr(at, ' ')) ? at + 1 : NULL;
	if (!at)
		return false;
	at[-1] = 0;
	split(s, &a);
	if (!take_cmdline(&at, &cmd, &cmd_len))
		return false;
	/* ppid nthrrun nthrslpi nthrslpu euid egid suid sgid fsuid fsgid elaps isproc vpid ctid utsname excode cgroup */
	split(at, &b);
	if (a.n != 6 || b.n < 12 || gf_is_unknown(num(&a, 5)) || gf_is_unknown(num(&b, 0)))
		return false;
	if (state == 'E' || b.word[11][0] == 'n') /* it has ended; a thread */
		return true;
	double start = num(&a, 5) * 1e9 - (double)im->boot_ns, ppid = num(&b, 0);
	uint32_t row = im_task(im, pid, start > 0 && start < 9e18 ? (uint64_t)start : 0, ppid >= 0 && ppid <= INT32_MAX ? (int64_t)ppid : 0, name,
			       name_len);
	if (row == GF_NONE)
		return true;
	double euid = num(&b, 4);
	im->rows.s.uid[row] = euid >= 0 && euid < 4294967295.0 ? (uint32_t)euid : GF_NONE;
	if (ppid == 2 || pid == 2)
		im->rows.s.flags[row] |= GF_ROW_KTHREAD;
	if (pid == 1)
		im->rows.s.flags[row] |= GF_ROW_INIT;
	if (state == 'Z' || state == 'X')
		im->rows.s.flags[row] |= GF_ROW_EXITING;
	im_set(im, row, GF_TF_PPID, ppid);
	im_set(im, row, GF_TF_UID, euid);
	im_set(im, row, GF_TF_GID, num(&b, 5));
	im_set(im, row, GF_TF_STATE, (uint8_t)state);
	im_set(im, row, GF_TF_THREADS, num(&a, 3));
	im_set(im, row, GF_TF_AGE, (double)(im->now_ns - GF_MIN(im->now_ns, im->rows.s.start_ns[row])));
	if (cmd_len && !(cmd_len == 1 && cmd[0] == '_'))
		gf_rows_text(&im->rows, row, GF_SF_CMDLINE, cmd, cmd_len);
	if (b.n > 16 && b.word[16][0] == '(' && b.word[16][1] == '/')
		gf_rows_text(&im->rows, row, GF_SF_CGROUP, b.word[16] + 1, strcspn(b.word[16] + 1, ")"));
	return true;
}

static void cpu_of(struct gf_import *im, uint32_t row, const struct line *l)
{
	double tick = 1e9 / num(l, 0), u = num(l, 1) * tick, s = num(l, 2) * tick;

	im->idle_listed |= u == 0 && s == 0;
	im_add(im, row, IM_UTIME, GF_TF_UTIME, u);
	im_add(im, row, IM_STIME, GF_TF_STIME, s);
	im_set(im, row, GF_TF_CPUTIME, im->acc[IM_UTIME][row] + im->acc[IM_STIME][row]);
	im_set(im, row, GF_TF_NICE, num(l, 3));
	im_set(im, row, GF_TF_PRIO, num(l, 4) - 100); /* atop's is 100 above that of /proc */
	im_set(im, row, GF_TF_POLICY, num(l, 6));
}

static void memory_of(struct gf_import *im, uint32_t row, const struct line *l)
{
	im_set(im, row, GF_TF_VSZ, KIB * num(l, 1));
	im_set(im, row, GF_TF_RSS, KIB * num(l, 2));
	im_set(im, row, GF_TF_SWAP, KIB * num(l, 11));
	im_add(im, row, IM_MINFLT, GF_TF_MINFLT, num(l, 6));
	im_add(im, row, IM_MAJFLT, GF_TF_MAJFLT, num(l, 7));
}

static void disk_of(struct gf_import *im, uint32_t row, const struct line *l)
{
	if (l->n < 6 || l->word[1][0] != 'y') /* this kernel does not account for it */
		return;
	im_add(im, row, IM_READ, GF_TF_READ_BYTES, SECTOR * num(l, 3));
	im_add(im, row, IM_WRITE, GF_TF_WRITE_BYTES, SECTOR * num(l, 5));
}

/* PRC, PRM and PRD: of a process that PRG has named. is: the word that says whether it is one. */
static bool of_process(struct gf_import *im, char *s, int is, void (*take)(struct gf_import *im, uint32_t row, const struct line *l))
{
	struct line l = { 0 };
	char *name, state;
	size_t len;
	int64_t pid;

	if (!take_name(&s, &pid, &name, &len, &state))
		return false;
	split(s, &l);
	if (l.n <= is || (l.word[is][0] != 'y' && l.word[is][0] != 'n'))
		return false;
	uint32_t row = row_of(im, pid);
	if (l.word[is][0] == 'y' && row != GF_NONE && state != 'E')
		take(im, row, &l);
	return true;
}

/* A label's line behind its head. False: it is not as it should be. */
static bool take(struct gf_import *im, const char *label, char *s)
{
	static const struct {
		const char *label;
		void (*take)(struct gf_import *im, const struct line *l);
		int least;
	} host[] = {
		{ "CPU", host_cpu, 10 }, { "CPL", host_load, 4 }, { "MEM", host_mem, 7 }, { "SWP", host_swap, 3 }, { "PAG", host_pages, 7 },
		{ "PSI", host_psi, 1 },
	};
	struct line l = { 0 };

	if (!strcmp(label, "PRG"))
		return prg(im, s);
	if (!strcmp(label, "PRC"))
		return of_process(im, s, 10, cpu_of);
	if (!strcmp(label, "PRM"))
		return of_process(im, s, 13, memory_of);
	if (!strcmp(label, "PRD"))
		return of_process(im, s, 9, disk_of);
	for (size_t i = 0; i < sizeof host / sizeof *host; i++) {
		if (strcmp(host[i].label, label))
			continue;
		split(s, &l);
		if (l.n < host[i].least)
			return false;
		host[i].take(im, &l);
		return true;
	}
	return true; /* disks, networks: nothing that we have a field for */
}

/* "LABEL HOST EPOCH DATE TIME INTERVAL rest"; host names have no blanks. */
static int one_line(struct gf_import *im, bool reset, struct gf_err *err)
{
	char *word[7], *p = im->line;
	int64_t epoch, elapsed;
	int n = 0, rc;

	for (; n < 6 && p; n++) {
		word[n] = p;
		p = strchr(p, ' ');
		if (p)
			*p++ = 0;
	}
	if (n < 6 || !p || strlen(word[0]) != 3 || !im_whole(word[2], strlen(word[2]), &epoch) || epoch < 0 || epoch > 1ll << 33 ||
	    !im_whole(word[5], strlen(word[5]), &elapsed) || elapsed < 0 || elapsed > 1ll << 33) {
		im_bad(im, "this is no line of atop -P: LABEL HOST EPOCH DATE TIME INTERVAL ... is what it should be");
		return 0;
	}
	if (!*im->res->hostname)
		snprintf(im->res->hostname, sizeof im->res->hostname, "%s", word[1]);
	if (!im->boot_known && reset) { /* then the interval is since boot */
		im->boot_ns = (epoch - elapsed) * 1000000000;
		im->boot_known = true;
	}
	rc = im_begin(im, epoch * 1000000000, err);
	if (rc)
		return rc == -EINVAL ? 0 : rc;
	if (!take(im, word[0], p))
		im_bad(im, "%s has not the columns that it should have", word[0]);
	return 0;
}

static int run_text(struct gf_import *im, struct gf_err *err)
{
	bool reset = false;
	int rc = 0;

	do {
		if (!strcmp(im->line, "RESET")) {
			reset = true;
		} else if (!strcmp(im->line, "SEP")) {
			if (im->open)
				im_count(im);
			rc = im_end(im, err);
			reset = false;
		} else if (im->len) {
			rc = one_line(im, reset, err);
		}
		if (rc)
			return rc;
	} while (im_line(im, &rc, err));
	if (!rc && im->open)
		im_count(im);
	return rc;
}

int im_run_atop(struct gf_import *im, struct gf_err *err)
{
	static const uint8_t raw[2][4] = { { 0xef, 0xbe, 0xed, 0xfe }, { 0xfe, 0xed, 0xbe, 0xef } };
	int rc;

	if (!im_line(im, &rc, err))
		return rc ? rc : gf_err_set(err, EBADMSG, "there is nothing in it");
	for (int i = 0; i < 2; i++)
		if (im->len >= 4 && !memcmp(im->line, raw[i], 4))
			return gf_err_set(err, EBADMSG, "this is atop's own log, which only atop reads: atop -r FILE -P "
					  "CPU,CPL,MEM,SWP,PAG,PSI,PRG,PRC,PRM,PRD | gpufasctl import --from atop -o OUT.gft -");
	if (im->line[0] == '{')
		return im_run_atop_json(im, err);
	if (strcmp(im->line, "RESET") && strcmp(im->line, "SEP") && !(im->len > 4 && im->line[3] == ' '))
		return gf_err_set(err, EBADMSG, "this is not what atop -P or atop -J writes");
	return run_text(im, err);
}
