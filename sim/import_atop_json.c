/* SPDX-License-Identifier: MIT
 *
 * atop -J (json.c of 2.8.1 and of 2.12): an object a line. Members are looked for by name, so that it does not matter which
 * version wrote them. Counters are changes since the line before; in the first since boot.
 */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "sim/import_int.h"

#define SECTOR 512.0
#define KIB 1024.0

/* A number, which some versions write as a string. */
static double num(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	double d;

	if (json_is_string(v) && im_number(json_string_value(v), json_string_length(v), &d))
		return d;
	return json_is_number(v) ? json_number_value(v) : gf_unknown();
}

static void host(struct gf_import *im, const json_t *j)
{
	const json_t *cpu = json_object_get(j, "CPU"), *cpl = json_object_get(j, "CPL"), *mem = json_object_get(j, "MEM");
	const json_t *swp = json_object_get(j, "SWP"), *pag = json_object_get(j, "PAG"), *psi = json_object_get(j, "PSI");
	static const struct { const char *key; enum gf_host_field f; } pressure[] = {
		{ "cs10", GF_HF_PSI_CPU_SOME_10 }, { "cs60", GF_HF_PSI_CPU_SOME_60 }, { "cs300", GF_HF_PSI_CPU_SOME_300 },
		{ "ms10", GF_HF_PSI_MEM_SOME_10 }, { "ms60", GF_HF_PSI_MEM_SOME_60 }, { "ms300", GF_HF_PSI_MEM_SOME_300 },
		{ "mf10", GF_HF_PSI_MEM_FULL_10 }, { "mf60", GF_HF_PSI_MEM_FULL_60 }, { "mf300", GF_HF_PSI_MEM_FULL_300 },
		{ "ios10", GF_HF_PSI_IO_SOME_10 }, { "ios60", GF_HF_PSI_IO_SOME_60 }, { "ios300", GF_HF_PSI_IO_SOME_300 },
		{ "iof10", GF_HF_PSI_IO_FULL_10 }, { "iof60", GF_HF_PSI_IO_FULL_60 }, { "iof300", GF_HF_PSI_IO_FULL_300 },
	};

	if (cpu) {
		double tick = 1e9 / num(cpu, "hertz");
		im_host(im, GF_HF_CPU_COUNT, num(cpu, "nrcpu"));
		im_host_add(im, GF_HF_CPU_BUSYTIME, tick * (num(cpu, "stime") + num(cpu, "utime") + num(cpu, "ntime") + num(cpu, "Itime") + num(cpu, "Stime")));
		im_host_add(im, GF_HF_CPU_IOWTIME, tick * num(cpu, "wtime"));
		im_host_add(im, GF_HF_CPU_STEALTIME, tick * num(cpu, "steal"));
	}
	im_host(im, GF_HF_LOAD_1, num(cpl, "lavg1"));
	im_host(im, GF_HF_LOAD_5, num(cpl, "lavg5"));
	im_host(im, GF_HF_LOAD_15, num(cpl, "lavg15"));
	im_host(im, GF_HF_MEM_TOTAL, num(mem, "physmem"));
	im_host(im, GF_HF_MEM_FREE, num(mem, "freemem"));
	im_host(im, GF_HF_MEM_CACHED, num(mem, "cachemem"));
	im_host(im, GF_HF_MEM_SLAB, num(mem, "slabmem"));
	im_host(im, GF_HF_MEM_DIRTY, num(mem, "cachedrt"));
	im_host(im, GF_HF_MEM_AVAILABLE, num(mem, "availablemem"));
	im_host(im, GF_HF_SWAP_TOTAL, num(swp, "totswap"));
	im_host(im, GF_HF_SWAP_FREE, num(swp, "freeswap"));
	im_host(im, GF_HF_SWAP_USED, num(swp, "totswap") - num(swp, "freeswap"));
	if (pag) {
		im_host_add(im, GF_HF_VM_PGSCAN, num(pag, "pgscans"));
		im_host_add(im, GF_HF_VM_PSWPIN, num(pag, "swins"));
		im_host_add(im, GF_HF_VM_PSWPOUT, num(pag, "swouts"));
		if (num(pag, "oomkills") >= 0)
			im_host_add(im, GF_HF_VM_OOM_KILL, num(pag, "oomkills"));
	}
	for (size_t i = 0; i < sizeof pressure / sizeof *pressure && json_string_value(json_object_get(psi, "psi")) &&
	     *json_string_value(json_object_get(psi, "psi")) == 'y'; i++)
		im_host(im, pressure[i].f, num(psi, pressure[i].key));
}

static const char *text(const json_t *o, const char *key, size_t *ret_len)
{
	const json_t *v = json_object_get(o, key);
	const char *s = json_string_value(v);
	size_t n = json_string_length(v);

	if (s && n >= 2 && s[0] == '(' && s[n - 1] == ')')
		s++, n -= 2;
	*ret_len = s ? n : 0;
	return s ? s : "";
}

static bool is_process(const json_t *o)
{
	const json_t *v = json_object_get(o, "isproc");

	return !v || (json_is_string(v) ? *json_string_value(v) == 'y' || *json_string_value(v) == '1' : json_is_true(v) || json_integer_value(v) == 1);
}

static void one_task(struct gf_import *im, const json_t *o)
{
	size_t name_len, cmd_len, cg_len;
	/* "name" in 2.8, "cmd" in 2.11 */
	const char *name = text(o, json_object_get(o, "name") ? "name" : "cmd", &name_len), *cmd = text(o, "cmdline", &cmd_len), *cg = text(o, "cgroup", &cg_len);
	const char *st = json_string_value(json_object_get(o, "state"));
	double pid = num(o, "pid"), ppid = num(o, "ppid"), start = num(o, "btime") * 1e9 - (double)im->boot_ns, uid = num(o, "euid");

	if (!is_process(o) || (st && *st == 'E'))
		return;
	if (!(pid >= 1 && pid <= INT32_MAX) || !st || gf_is_unknown(start)) {
		im_bad(im, "a process in PRG has no pid, state or btime");
		return;
	}
	uint32_t row = im_task(im, (int64_t)pid, start > 0 && start < 9e18 ? (uint64_t)start : 0, ppid >= 0 && ppid <= INT32_MAX ? (int64_t)ppid : 0, name,
			       name_len);
	if (row == GF_NONE)
		return;
	im->rows.s.uid[row] = uid >= 0 && uid < 4294967295.0 ? (uint32_t)uid : GF_NONE;
	if (pid == 2 || ppid == 2)
		im->rows.s.flags[row] |= GF_ROW_KTHREAD;
	if (pid == 1)
		im->rows.s.flags[row] |= GF_ROW_INIT;
	if (*st == 'Z' || *st == 'X')
		im->rows.s.flags[row] |= GF_ROW_EXITING;
	im_set(im, row, GF_TF_PPID, ppid);
	im_set(im, row, GF_TF_UID, uid);
	im_set(im, row, GF_TF_GID, num(o, "egid"));
	im_set(im, row, GF_TF_STATE, (uint8_t)*st);
	im_set(im, row, GF_TF_THREADS, num(o, "nthr"));
	im_set(im, row, GF_TF_AGE, (double)(im->now_ns - GF_MIN(im->now_ns, im->rows.s.start_ns[row])));
	if (cmd_len)
		gf_rows_text(&im->rows, row, GF_SF_CMDLINE, cmd, cmd_len);
	if (cg_len && *cg == '/')
		gf_rows_text(&im->rows, row, GF_SF_CGROUP, cg, cg_len);
}

/* The row of a process that PRG has named. The lists are in one order: PRG's entry says what the others do not, that this is
 * a thread, or has ended, and only bears the same number. */
static uint32_t row_of(struct gf_import *im, const json_t *prg, size_t i, const json_t *o)
{
	const json_t *g = json_array_get(prg, i);
	const char *st = json_string_value(json_object_get(g, "state"));
	double pid = num(o, "pid");
	bool told = g && num(g, "pid") == pid;

	if (told && (!is_process(g) || (st && *st == 'E')))
		return GF_NONE;
	uint32_t row = pid >= 1 && pid <= INT32_MAX && is_process(o) ? gf_table_pid(&im->rows.t, (int32_t)pid) : GF_NONE;

	return row != GF_NONE && gf_rows_seen(&im->rows, row) ? row : GF_NONE;
}

static void details(struct gf_import *im, const json_t *j, double hertz)
{
	const json_t *prg = json_object_get(j, "PRG"), *o;
	size_t i;

	json_array_foreach(json_object_get(j, "PRC"), i, o) {
		uint32_t row = row_of(im, prg, i, o);
		double u = num(o, "utime") / hertz * 1e9, s = num(o, "stime") / hertz * 1e9;
		if (row == GF_NONE)
			continue;
		im->idle_listed |= u == 0 && s == 0;
		im_add(im, row, IM_UTIME, GF_TF_UTIME, u);
		im_add(im, row, IM_STIME, GF_TF_STIME, s);
		im_set(im, row, GF_TF_CPUTIME, im->acc[IM_UTIME][row] + im->acc[IM_STIME][row]);
		im_set(im, row, GF_TF_NICE, num(o, "nice"));
		im_set(im, row, GF_TF_PRIO, num(o, "prio") - 100);
		im_set(im, row, GF_TF_POLICY, num(o, "policy"));
	}
	json_array_foreach(json_object_get(j, "PRM"), i, o) {
		uint32_t row = row_of(im, prg, i, o);
		if (row == GF_NONE)
			continue;
		im_set(im, row, GF_TF_VSZ, KIB * num(o, "vmem"));
		im_set(im, row, GF_TF_RSS, KIB * num(o, "rmem"));
		im_set(im, row, GF_TF_SWAP, KIB * num(o, "vswap"));
		im_add(im, row, IM_MINFLT, GF_TF_MINFLT, num(o, "minflt"));
		im_add(im, row, IM_MAJFLT, GF_TF_MAJFLT, num(o, "majflt"));
	}
	json_array_foreach(json_object_get(j, "PRD"), i, o) {
		uint32_t row = row_of(im, prg, i, o);
		if (row == GF_NONE)
			continue;
		im_add(im, row, IM_READ, GF_TF_READ_BYTES, SECTOR * num(o, "rsz"));
		im_add(im, row, IM_WRITE, GF_TF_WRITE_BYTES, SECTOR * num(o, "wsz"));
	}
}

static int one_object(struct gf_import *im, const json_t *j, struct gf_err *err)
{
	double at = num(j, "timestamp"), elapsed = num(j, "elapsed"), hertz = num(json_object_get(j, "CPU"), "hertz");
	const json_t *o;
	size_t i;
	int rc;

	if (!(at >= 0 && at < 9e9) || !(elapsed >= 0 && elapsed <= at)) {
		im_bad(im, "the object has no timestamp or elapsed: is this what atop -J writes?");
		return 0;
	}
	if (!im->boot_known) {
		im->boot_ns = ((int64_t)at - (int64_t)elapsed) * 1000000000;
		im->boot_known = true;
	}
	rc = im_begin(im, (int64_t)at * 1000000000, err);
	if (rc)
		return rc == -EINVAL ? 0 : rc;
	if (json_is_string(json_object_get(j, "host")) && !*im->res->hostname)
		snprintf(im->res->hostname, sizeof im->res->hostname, "%s", json_string_value(json_object_get(j, "host")));
	host(im, j);
	json_array_foreach(json_object_get(j, "PRG"), i, o)
		one_task(im, o);
	details(im, j, hertz > 0 ? hertz : 100);
	im_count(im);
	return im_end(im, err);
}

int im_run_atop_json(struct gf_import *im, struct gf_err *err)
{
	int rc = 0;

	do {
		json_error_t e;
		if (!im->len)
			continue;
		json_t *j = json_loadb(im->line, im->len, 0, &e);
		if (json_is_object(j))
			rc = one_object(im, j, err);
		else
			im_bad(im, "column %d: %s", e.column, j ? "an object is wanted" : e.text);
		json_decref(j);
		if (rc)
			return rc;
	} while (im_line(im, &rc, err));
	return rc;
}
