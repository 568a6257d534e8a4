/* SPDX-License-Identifier: MIT
 *
 * simtrace OUT.gft SCENARIO [TASKS [SECONDS [FROM]]]: a made-up recording at 1 s, of a machine with 4 GiB and TASKS quiet processes.
 *
 *   leak    a process (pid 900, "leaker") grows by 20 MiB a second from second 60, until the machine has nothing left; it forks
 *           a helper every 30 s ("helper", pids 2000 and up). A big, steady one ("database", pid 500) is there from the start.
 *   calm    nothing happens
 *   busy    as calm, every process' memory and CPU time moves in every sample (for figures)
 *   hostile as leak, the process' name being markup and control characters
 *
 * TASKS: 40, SECONDS: 300, FROM: the first second of it, 0.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/gft.h"
#include "targets/table.h"
#include "targets/target.h"

#define MIB 1048576.0
#define SEC 1000000000ull
#define BOOT (1000 * SEC)
#define WALL 1795600000ull /* seconds: the same day wherever and whenever it is made */

static struct gf_sample s;
static struct gf_table table;
static double anon_all;

static void task(int32_t pid, int32_t ppid, uint64_t start, const char *comm, double anon, double cpu_s)
{
	bool fresh;
	uint32_t row = gf_table_row(&table, pid, start, ppid, &fresh);

	s.uid[row] = pid < 100 ? 0 : 54321; /* nobody has a name for it */
	gf_table_comm(&table, row, comm, strlen(comm));
	s.col[GF_TF_PID][row] = pid;
	s.col[GF_TF_PPID][row] = ppid;
	s.col[GF_TF_UID][row] = s.uid[row];
	s.col[GF_TF_ANON][row] = anon;
	s.col[GF_TF_FILE][row] = 2 * MIB;
	s.col[GF_TF_RSS][row] = anon + 2 * MIB;
	s.col[GF_TF_SWAP][row] = 0;
	s.col[GF_TF_CPUTIME][row] = cpu_s * 1e9;
	s.col[GF_TF_THREADS][row] = 1;
	s.col[GF_TF_NICE][row] = 0;
	s.col[GF_TF_STATE][row] = 'S';
	s.col[GF_TF_AGE][row] = (double)(s.now_ns - start);
	if (pid == 1)
		s.flags[row] |= GF_ROW_INIT;
	anon_all += anon;
}

static void quiet(long tasks, long second, bool busy)
{
	char comm[32];

	for (long i = 0; i < tasks; i++) {
		snprintf(comm, sizeof comm, "quiet%ld", i);
		task((int32_t)(3000 + i), 1, BOOT - 500 * SEC, comm, (busy ? (double)(i % 50 + (second * (i + 7)) % 13) / 8 : 1) * MIB,
		     busy ? 0.01 * (double)(second * (i % 5)) : 0);
	}
}

static void host(long second, double total)
{
	double used = 300 * MIB + anon_all;

	s.host[GF_HF_MEM_TOTAL] = total;
	s.host[GF_HF_MEM_AVAILABLE] = fmax(total - used, 0);
	s.host[GF_HF_MEM_FREE] = fmax(total - used - 200 * MIB, 0);
	s.host[GF_HF_SWAP_TOTAL] = s.host[GF_HF_SWAP_FREE] = s.host[GF_HF_SWAP_USED] = 0;
	s.host[GF_HF_CPU_COUNT] = 4;
	s.host[GF_HF_CPU_BUSYTIME] = 0.3e9 * (double)second;
	s.host[GF_HF_TASKS_COUNT] = s.live;
	s.host[GF_HF_TASKS_THREADS] = s.live;
	s.host[GF_HF_TASKS_FORKS] = 5000 + (double)second / 30;
	s.host[GF_HF_LOAD_1] = 0.5;
	s.host[GF_HF_UPTIME] = (double)s.now_ns;
}

static void second_of(const char *scenario, long tasks, long second, bool leaks)
{
	const char *comm = strcmp(scenario, "hostile") ? "leaker" : "<b>&\"'\x1b[31m]]>";
	double grown = second > 60 ? (double)(second - 60) : 0;

	anon_all = 0;
	s.seq++;
	s.now_ns = BOOT + (uint64_t)second * SEC;
	gf_table_begin(&table);
	task(1, 0, SEC, "init", 4 * MIB, 1);
	task(50, 1, 2 * SEC, "sshd", 3 * MIB, 0.1);
	task(500, 1, 5 * SEC, "database", 1500 * MIB, 10 + 0.05 * (double)second);
	quiet(tasks, second, !strcmp(scenario, "busy"));
	if (leaks) {
		task(900, 1, BOOT - 10 * SEC, comm, (50 + fmin(20 * grown, 2100)) * MIB, 1 + 0.2 * (double)second);
		for (long k = 1; 30 * k <= second; k++)
			task((int32_t)(2000 + k), 900, BOOT + (uint64_t)(30 * k) * SEC, "helper", 10 * MIB, 0);
	}
	gf_table_commit(&table);
	host(second, 4096 * MIB);
}

int main(int argc, char **argv)
{
	struct gft_writer_opts o = {
		.target = "web1", .kind = GF_TARGET_HOST, .hostname = "web1", .road = "made up", .interval_ns = SEC, .replace = true,
		.wall_off_ns = (int64_t)(WALL * SEC - BOOT), .drop_unknown = true,
	};
	const char *scenario = argc > 2 ? argv[2] : "";
	long tasks = argc > 3 ? atol(argv[3]) : 40, seconds = argc > 4 ? atol(argv[4]) : 300, from = argc > 5 ? atol(argv[5]) : 0;
	bool leaks = !strcmp(scenario, "leak") || !strcmp(scenario, "hostile");
	struct gft_writer *w;
	struct gf_err err = { "" };

	if (argc < 3 || from < 0 || tasks < 0 || seconds < 1 || (!leaks && strcmp(scenario, "calm") && strcmp(scenario, "busy"))) {
		fprintf(stderr, "simtrace OUT.gft leak|calm|busy|hostile [TASKS [SECONDS [FROM]]]\n");
		return 2;
	}
	o.has.host = UINT64_MAX >> (64 - GF_HF_COUNT);
	for (uint32_t i = GF_HF_PSI_CPU_SOME_10; i <= GF_HF_PSI_IO_FULL_300; i++)
		o.has.host &= ~GF_BIT(i);
	o.has.task = GF_BIT(GF_TF_PID) | GF_BIT(GF_TF_PPID) | GF_BIT(GF_TF_UID) | GF_BIT(GF_TF_ANON) | GF_BIT(GF_TF_FILE) | GF_BIT(GF_TF_RSS) |
		     GF_BIT(GF_TF_SWAP) | GF_BIT(GF_TF_CPUTIME) | GF_BIT(GF_TF_THREADS) | GF_BIT(GF_TF_NICE) | GF_BIT(GF_TF_STATE) | GF_BIT(GF_TF_AGE);
	o.has.str = 1u << GF_SF_COMM;
	if (gf_sample_init(&s, (uint32_t)tasks + 256, &err) || gf_sample_set_fields(&s, &o.has, &err) || gf_table_init(&table, &s, &err) ||
	    gft_writer_create(argv[1], &o, &w, &err)) {
		fprintf(stderr, "simtrace: %s\n", err.text);
		return 1;
	}
	for (long i = 0; i < seconds; i++) {
		second_of(scenario, tasks, from + i, leaks);
		if (gft_writer_append_at(w, &s, o.wall_off_ns, &err)) {
			fprintf(stderr, "simtrace: %s\n", err.text);
			return 1;
		}
	}
	return gft_writer_finish(w, &err) ? 1 : 0;
}
