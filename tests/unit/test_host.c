// SPDX-License-Identifier: MIT
/*
 * The two samplers against each other, and both against ps: /proc is the kernel's
 * own account, which the BPF program must reproduce from the kernel's memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "targets/strings.h"
#include "targets/target.h"
#include "tests/helpers/crowd.h"
#include "tests/unit/crew.h"

#define TICK 1e7
#define assert_near(a, b, e) assert_true(fabs((double)(a) - (double)(b)) <= (e))

static const char *const task_name[] = {
#define GF_TASK(id, name, ...) name,
#include "gpufas/fields.def"
};

static const struct gf_fieldset everything = { ~0ull, ~0ull, ~0u, 0 };

struct rig {
	pid_t pid[HELPERS];
	struct gf_target *bpf; /* NULL where it is refused */
	struct gf_target *proc;
	char refused[512];
	bool immune; /* ODD's oom_score_adj is -1000, as it tried */
};

static struct gf_target *host(enum gf_host_sampler sampler, uint32_t max, struct gf_err *err)
{
	struct gf_host_opts o = { .sampler = sampler, .max_tasks = max };
	struct gf_target *t = NULL;

	if (gf_host_create(&o, &t, err))
		return NULL;
	if (gf_target_set_fields(t, &everything, err))
		fail_msg("%s", err->text);
	return t;
}

static void sample(struct gf_target *t)
{
	struct gf_err err = { "" };

	if (gf_target_sample(t, &err))
		fail_msg("%s", err.text);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof *r);
	struct gf_err err = { "" };
	int p[2];
	char c;

	assert_int_equal(pipe(p), 0);
	ready_fd = p[1];
	for (int i = 0; i < HELPERS; i++) {
		r->pid[i] = fork();
		if (!r->pid[i]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			what[i]();
			(void)!write(ready_fd, "x", 1);
			for (;;)
				pause();
		}
		assert_int_equal(read(p[0], &c, 1), 1);
	}
	usleep(50000);
	char name[64];
	int adj = 0;
	snprintf(name, sizeof name, "/proc/%d/oom_score_adj", r->pid[ODD]);
	FILE *f = fopen(name, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &adj), 1);
	fclose(f);
	r->immune = adj == -1000;
	r->proc = host(GF_SAMPLER_PROC, 4096, &err);
	assert_non_null(r->proc);
	r->bpf = host(GF_SAMPLER_BPF, 4096, &err);
	snprintf(r->refused, sizeof r->refused, "%s", err.text);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	gf_target_destroy(r->bpf);
	gf_target_destroy(r->proc);
	for (int i = 0; i < HELPERS; i++) {
		kill(r->pid[i], SIGKILL);
		waitpid(r->pid[i], NULL, 0);
	}
	free(r);
	return 0;
}

static uint32_t row_of(const struct gf_target *t, pid_t pid)
{
	for (uint32_t i = 0; i < t->sample.rows; i++)
		if (t->sample.flags[i] && t->sample.pid[i] == pid)
			return i;
	return GF_NONE;
}

static double value(const struct gf_target *t, pid_t pid, int field)
{
	uint32_t row = row_of(t, pid);

	return row == GF_NONE ? gf_unknown() : t->sample.col[field][row];
}

/* ---- one against the other --------------------------------------------------- */

/* How far apart the two may be for a process that does nothing in between. */
static double bound(int field)
{
	switch (field) {
	case GF_TF_AGE:     /* taken one after the other; start cut to a tick */
		return 5e9;
	case GF_TF_CPUTIME: /* two numbers cut to ticks; exec time up to a tick behind */
		return 3 * TICK;
	case GF_TF_UTIME:   /* cut to a tick; the split is scaled, and frozen by whoever asks first */
	case GF_TF_STIME:
		return 3 * TICK;
	case GF_TF_OOM_SCORE: /* the kernel's counters may lag by a batch: one point at the edge */
		return 1;
	}
	return 0;
}

static bool helper_agrees(const struct rig *r, int i, char *why, size_t size)
{
	static const char *const who[] = { "threaded", "large", "open", "odd", "writing", "session",
					   "leaderless", "stopped", "dead" };
	uint32_t b = row_of(r->bpf, r->pid[i]), p = row_of(r->proc, r->pid[i]);
	const struct gf_sample *sb = &r->bpf->sample, *sp = &r->proc->sample;

	if (b == GF_NONE || p == GF_NONE) {
		snprintf(why, size, "%s is missing: %u %u", who[i], b, p);
		return false;
	}
	for (int f = 0; f < GF_TF_COUNT; f++) {
		double x = sb->col[f][b], y = sp->col[f][p];
		if (gf_is_unknown(x) || gf_is_unknown(y) || fabs(x - y) > bound(f)) {
			snprintf(why, size, "%s: %s is %.0f by BPF, %.0f by /proc", who[i], task_name[f], x, y);
			return false;
		}
	}
	snprintf(why, size, "%s: flags %x %x, comm %s %s", who[i], sb->flags[b], sp->flags[p], sb->comm[b], sp->comm[p]);
	return sb->flags[b] == sp->flags[p] && !strcmp(sb->comm[b], sp->comm[p]) && sb->uid[b] == sp->uid[p] &&
	       sb->start_ns[b] / 10000000 == sp->start_ns[p] / 10000000;
}

/* All the others on this machine: what does not change under one's eyes. */
static bool others_agree(const struct rig *r, char *why, size_t size)
{
	static const int still[] = { GF_TF_PPID, GF_TF_PGRP, GF_TF_SESSION, GF_TF_UID, GF_TF_GID,
				     GF_TF_POLICY, GF_TF_PRIO, GF_TF_NICE, GF_TF_OOM_SCORE_ADJ };
	const struct gf_sample *sp = &r->proc->sample, *sb = &r->bpf->sample;
	unsigned common = 0;

	for (uint32_t p = 0; p < sp->rows; p++) {
		uint32_t b = sp->flags[p] ? row_of(r->bpf, sp->pid[p]) : GF_NONE;
		if (b == GF_NONE || sb->start_ns[b] / 10000000 != sp->start_ns[p] / 10000000 ||
		    sp->col[GF_TF_AGE][p] < 2e9)
			continue; /* gone, or still on its way to being what it is */
		for (size_t i = 0; i < sizeof still / sizeof *still; i++)
			if (sb->col[still[i]][b] != sp->col[still[i]][p]) {
				snprintf(why, size, "%d %s: %s", sp->pid[p], sp->comm[p], task_name[still[i]]);
				return false;
			}
		common++;
	}
	snprintf(why, size, "only %u processes in common", common);
	return common >= HELPERS / 2;
}

/* The two look one after the other, and the machine lives on in between: what
 * differs must differ every time to be wrong. */
static void test_bpf_and_proc_agree(void **state)
{
	struct rig *r = *state;
	char why[256] = "";

	if (!r->bpf) {
		print_message("# %s\n", r->refused);
		skip();
	}
	for (int tries = 0; tries < 20; tries++) {
		bool ok = true;
		sample(r->proc);
		sample(r->bpf);
		for (int i = 0; ok && i < HELPERS; i++)
			ok = helper_agrees(r, i, why, sizeof why);
		if (ok && others_agree(r, why, sizeof why))
			return;
		usleep(150000);
	}
	fail_msg("%s", why);
}

static void check_known(struct gf_target *t, const struct rig *r)
{
	const struct gf_sample *s = &t->sample;

	assert_near(value(t, r->pid[THREADED], GF_TF_THREADS), 3, 0);
	assert_true(value(t, r->pid[THREADED], GF_TF_CPUTIME) >= 2 * TICK);
	assert_in_range(value(t, r->pid[LARGE], GF_TF_ANON), 24 * MIB, 200 * MIB);
	/* Where this program lies on a tmpfs (the root of a guest's initramfs), what all have mapped of it is shmem, too. */
	double mapped = value(t, r->pid[SESSION], GF_TF_SHMEM);
	assert_true(mapped >= 0);
	assert_in_range(value(t, r->pid[LARGE], GF_TF_SHMEM) - mapped, 9 * MIB, 10 * MIB);
	assert_in_range(value(t, r->pid[LEADERLESS], GF_TF_RSS), 5 * MIB, 200 * MIB);
	assert_false(s->flags[row_of(t, r->pid[LEADERLESS])] & GF_ROW_EXITING);
	assert_true(s->flags[row_of(t, r->pid[DEAD])] & GF_ROW_EXITING);
	assert_near(value(t, r->pid[DEAD], GF_TF_STATE), 'Z', 0);
	assert_near(value(t, r->pid[STOPPED], GF_TF_STATE), 'T', 0);
	assert_near(value(t, r->pid[SESSION], GF_TF_SESSION), r->pid[SESSION], 0);
	assert_near(value(t, r->pid[SESSION], GF_TF_CHILDREN), 1, 0);
	uint32_t odd = row_of(t, r->pid[ODD]);
	assert_string_equal(s->comm[odd], "a) R 1\n(b c");
	if (!geteuid()) {
		assert_int_equal(s->uid[odd], 65534);
		assert_near(s->col[GF_TF_GID][odd], 65533, 0);
		/* -1000 needs CAP_SYS_RESOURCE, which a container's root may lack. */
		bool immune = s->col[GF_TF_OOM_SCORE_ADJ][odd] == -1000;
		assert_int_equal(immune, r->immune);
		assert_int_equal(!!(s->flags[odd] & GF_ROW_OOM_IMMUNE), immune);
		assert_near(s->col[GF_TF_OOM_SCORE][odd], 0, immune ? 0 : 2000);
	}
	assert_near(s->col[GF_TF_POLICY][odd], SCHED_BATCH, 0);
	/* This one and its children are its own; a grandchild is not. */
	uint32_t me = row_of(t, getpid());
	assert_true(s->flags[me] & GF_ROW_SELF);
	assert_true(s->flags[odd] & GF_ROW_SELF);
	assert_int_equal(s->parent[odd], me);
	uint32_t grand = GF_NONE;
	for (uint32_t i = 0; i < s->rows; i++)
		if (s->flags[i] && s->parent[i] == row_of(t, r->pid[SESSION]))
			grand = i;
	assert_int_not_equal(grand, GF_NONE);
	assert_false(s->flags[grand] & GF_ROW_SELF);
}

static void test_known_values(void **state)
{
	struct rig *r = *state;

	sample(r->proc);
	check_known(r->proc, r);
	if (r->bpf) {
		sample(r->bpf);
		check_known(r->bpf, r);
	}
}

static void test_against_ps(void **state)
{
	struct rig *r = *state;
	struct gf_target *t = r->bpf ? r->bpf : r->proc;
	unsigned lines = 0;
	char cmd[512] = "ps -o pid=,ppid=,pgid=,sid=,uid=,gid=,nlwp=,min_flt=,maj_flt=,vsz=,rss= -p 1";

	for (int i = 0; i < HELPERS; i++)
		if (i != LEADERLESS && i != DEAD) /* of these ps shows no memory */
			snprintf(cmd + strlen(cmd), sizeof cmd - strlen(cmd), ",%d", r->pid[i]);
	FILE *f = popen(cmd, "r");
	assert_non_null(f);
	sample(t);
	double v[11];
	static const int field[] = { GF_TF_PID, GF_TF_PPID, GF_TF_PGRP, GF_TF_SESSION, GF_TF_UID, GF_TF_GID,
				     GF_TF_THREADS, GF_TF_MINFLT, GF_TF_MAJFLT, GF_TF_VSZ, GF_TF_RSS };
	while (fscanf(f, "%lf %lf %lf %lf %lf %lf %lf %lf %lf %lf %lf", v, v + 1, v + 2, v + 3, v + 4, v + 5, v + 6,
		      v + 7, v + 8, v + 9, v + 10) == 11) {
		if (v[0] == 1)
			continue;
		lines++;
		for (int i = 0; i < 11; i++) {
			double x = value(t, (pid_t)v[0], field[i]), y = i >= 9 ? v[i] * 1024 : v[i];
			/* ps takes rss from stat, which leaves out what each CPU
			 * has not folded in yet: up to a batch in three counters. */
			double slack = i == 10 ? 3.0 * get_nprocs_conf() * GF_MAX(32, 2 * get_nprocs_conf()) * 4096 : 0;
			if (!(fabs(x - y) <= slack))
				fail_msg("%.0f: %s is %.0f, ps says %.0f", v[0], task_name[field[i]], x, y);
		}
	}
	if (pclose(f) == 127 << 8)
		skip();
	assert_int_equal(lines, HELPERS - 2);
}

/* ---- host fields ------------------------------------------------------------- */

static void test_host_fields(void **state)
{
	struct rig *r = *state;
	struct sysinfo si;
	const double *h = r->proc->sample.host;

	sample(r->proc);
	assert_int_equal(sysinfo(&si), 0);
	assert_near(h[GF_HF_MEM_TOTAL], (double)si.totalram * si.mem_unit, 0);
	assert_near(h[GF_HF_SWAP_TOTAL], (double)si.totalswap * si.mem_unit, 4096);
	assert_near(h[GF_HF_SWAP_USED], h[GF_HF_SWAP_TOTAL] - h[GF_HF_SWAP_FREE], 0);
	assert_near(h[GF_HF_CPU_COUNT], (double)sysconf(_SC_NPROCESSORS_ONLN), 0);
	assert_near(h[GF_HF_LOAD_15], (double)si.loads[2] / 65536, 0.3);
	assert_near(h[GF_HF_UPTIME] / 1e9, (double)si.uptime, 5);
	assert_true(h[GF_HF_MEM_AVAILABLE] > 0 && h[GF_HF_MEM_AVAILABLE] <= h[GF_HF_MEM_TOTAL]);
	assert_true(h[GF_HF_TASKS_COUNT] >= HELPERS && h[GF_HF_TASKS_THREADS] >= h[GF_HF_TASKS_COUNT]);
	assert_true(h[GF_HF_TASKS_RUNNING] >= 1);
	assert_true(h[GF_HF_CPU_BUSYTIME] > 0 && h[GF_HF_VM_PSWPIN] >= 0 && h[GF_HF_VM_PGSCAN] >= 0);
	double forks = h[GF_HF_TASKS_FORKS];
	pid_t pid = fork();
	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
	sample(r->proc);
	assert_true(h[GF_HF_TASKS_FORKS] >= forks + 1);
	if (!access("/proc/pressure/memory", R_OK))
		assert_in_range(h[GF_HF_PSI_MEM_SOME_10], 0, 100);
	/* Fields that are not asked for are not read. */
	struct gf_fieldset few = { .host = GF_BIT(GF_HF_MEM_FREE) };
	assert_int_equal(gf_target_set_fields(r->proc, &few, NULL), 0);
	sample(r->proc);
	assert_false(gf_is_unknown(h[GF_HF_MEM_FREE]));
	assert_true(gf_is_unknown(h[GF_HF_LOAD_1]));
	assert_int_equal(gf_target_set_fields(r->proc, &everything, NULL), 0);
}

/* ---- strings ----------------------------------------------------------------- */

static const struct gf_strref *wait_string(struct gf_target *t, pid_t pid, int field, const char *is)
{
	for (int i = 0; i < 5000; i++) {
		sample(t);
		uint32_t row = row_of(t, pid);
		const struct gf_strref *s = row == GF_NONE ? NULL : &t->sample.str[field][row];
		if (s && s->ver && (!is || !strcmp(s->p, is)))
			return s;
		usleep(1000);
	}
	fail_msg("no string %s of %d", is ? is : "", pid);
	return NULL;
}

/* The library's call comes here (--wrap): what the kernel shows between an exec's new memory and its arguments. */
struct gf_string *__real_gf_strings_take(struct gf_strings *s);
struct gf_string *__wrap_gf_strings_take(struct gf_strings *s);
static uint32_t emptied, empties;

struct gf_string *__wrap_gf_strings_take(struct gf_strings *s)
{
	struct gf_string *all = __real_gf_strings_take(s);

	for (struct gf_string *a = all; a; a = a->next) {
		if (a->field != GF_SF_CMDLINE || a->error || emptied == empties || strncmp(a->text, "sleep 2000", 10))
			continue;
		a->len = 0;
		a->text[0] = 0;
		emptied++;
	}
	return all;
}

/* None at all is no command line yet: asked again, and then it is known. */
static void half_exec(struct gf_target *t)
{
	pid_t pid = fork();
	uint32_t row;

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl("/bin/sleep", "sleep", "2000", NULL);
		_exit(1);
	}
	emptied = 0;
	empties = 2;
	for (int i = 0; i < 5000 && !emptied; i++) {
		sample(t);
		usleep(1000);
	}
	assert_in_range(emptied, 1, 2); /* two of one look may be answered together */
	for (int i = 0; i < 20; i++) {
		sample(t);
		row = row_of(t, pid);
		assert_true(row != GF_NONE);
		assert_true(!t->sample.str[GF_SF_CMDLINE][row].ver || t->sample.str[GF_SF_CMDLINE][row].len);
		usleep(5000);
	}
	wait_string(t, pid, GF_SF_CMDLINE, "sleep 2000");
	assert_int_equal(emptied, 2);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	empties = 0;
}

static void strings_of(struct gf_target *t)
{
	int go[2];
	char c;

	assert_int_equal(pipe(go), 0);
	pid_t pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, "sleep"); /* the exec must be seen without it */
		close(go[1]);
		(void)!read(go[0], &c, 1);
		execl("/bin/sleep", "sleep", "1000", NULL);
		_exit(1);
	}
	close(go[0]);
	const struct gf_strref *before = wait_string(t, pid, GF_SF_CMDLINE, NULL);
	uint32_t ver = before->ver;
	assert_null(strstr(before->p, "sleep 1000"));
	/* What was read of the program before the exec must not outlive it. */
	close(go[1]);
	assert_int_not_equal(wait_string(t, pid, GF_SF_CMDLINE, "sleep 1000")->ver, ver);
	assert_non_null(strstr(wait_string(t, pid, GF_SF_EXE, NULL)->p, "/"));
	assert_int_equal(wait_string(t, pid, GF_SF_CGROUP, NULL)->p[0], '/');
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	sample(t);
	assert_int_equal(row_of(t, pid), GF_NONE);
}

static void test_strings(void **state)
{
	struct rig *r = *state;

	strings_of(r->proc);
	if (r->bpf)
		strings_of(r->bpf);
	half_exec(r->proc);
	/* Kernel threads have none, and that is known. */
	struct gf_sample *s = &r->proc->sample;
	for (uint32_t i = 0; i < s->rows; i++)
		if (s->flags[i] & GF_ROW_KTHREAD) {
			assert_int_not_equal(s->str[GF_SF_EXE][i].ver, 0);
			assert_int_equal(s->str[GF_SF_CMDLINE][i].len, 0);
		}
}

/* ---- hardship ----------------------------------------------------------------- */

static void storm(void)
{
	for (;;) {
		pid_t pid = fork();
		if (!pid) {
			pthread_t t;
			pthread_create(&t, NULL, burn_and_end, NULL);
			execl("/bin/true", "true", NULL);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	}
}

static void test_storm(void **state)
{
	struct rig *r = *state;
	pid_t p[2];

	for (int i = 0; i < 2; i++) {
		p[i] = fork();
		if (!p[i]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			storm();
		}
	}
	for (int i = 0; i < 150; i++) {
		struct gf_target *t = i % 2 && r->bpf ? r->bpf : r->proc;
		sample(t);
		assert_near(value(t, r->pid[THREADED], GF_TF_THREADS), 3, 0);
		assert_true(row_of(t, r->pid[LARGE]) != GF_NONE);
		usleep(2000);
	}
	for (int i = 0; i < 2; i++) {
		kill(p[i], SIGKILL);
		waitpid(p[i], NULL, 0);
	}
}

static void test_table_full(void **state)
{
	struct rig *r = *state;
	struct gf_err err;
	struct gf_target *t = host(GF_SAMPLER_PROC, 1, &err);
	struct crowd c;

	assert_int_equal(t->sample.cap, 128);
	assert_int_equal(crowd_start(&c, 200), 0);
	sample(t);
	assert_int_equal(t->sample.live, 128);
	assert_true(t->sample.dropped >= 72);
	sample(r->proc);
	assert_near(t->sample.host[GF_HF_TASKS_COUNT], t->sample.live + t->sample.dropped, 0);
	crowd_end(&c);
	gf_target_destroy(t);
}

/* Owner and OOM adjustment, where no rule names them, may be some passes old by
 * /proc, but not more; where one does they are of the pass. */
static void test_remembered(void **state)
{
	static const struct gf_fieldset none = { 0 }, owner = { .task = GF_BIT(GF_TF_UID) | GF_BIT(GF_TF_OOM_SCORE_ADJ) };
	struct gf_host_opts o = { .sampler = GF_SAMPLER_PROC, .max_tasks = 8192 };
	struct gf_target *t = NULL;
	struct gf_err err = { "" };
	int go[2], done[2], passes = 0;
	uint32_t row;
	char c;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(pipe(go) | pipe(done), 0);
	assert_int_equal(gf_host_create(&o, &t, &err), 0);
	assert_int_equal(gf_target_set_fields(t, &none, &err), 0);
	pid_t pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (read(go[0], &c, 1) == 1) {
			if (c == 'u' && setresuid(65534, 65534, 0))
				_exit(1);
			if (c == 'b' && seteuid(0))
				_exit(1);
			(void)!write(done[1], "", 1);
		}
		_exit(0);
	}
	for (int i = 0; i < 3; i++)
		sample(t);
	assert_int_not_equal(row = row_of(t, pid), GF_NONE);
	assert_int_equal(t->sample.uid[row], 0);
	assert_int_equal(write(go[1], "u", 1) + read(done[0], &c, 1), 2);
	do
		sample(t);
	while (t->sample.uid[row] != 65534 && ++passes < 8);
	assert_int_equal(t->sample.uid[row], 65534);

	assert_int_equal(gf_target_set_fields(t, &owner, &err), 0);
	assert_int_equal(write(go[1], "b", 1) + read(done[0], &c, 1), 2);
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/oom_score_adj", pid);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "321");
	assert_int_equal(fclose(f), 0);
	sample(t);
	assert_int_equal(t->sample.uid[row], 0);
	assert_near(t->sample.col[GF_TF_OOM_SCORE_ADJ][row], 321, 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	gf_target_destroy(t);
	for (int i = 0; i < 2; i++) {
		close(go[i]);
		close(done[i]);
	}
}

/* By /proc the memory of who has had no fault is remembered: what grows or shrinks
 * must be seen in the next pass all the same. */
static void test_memory_at_once(void **state)
{
	static const struct gf_fieldset f = { .task = GF_BIT(GF_TF_RSS) };
	const size_t size = 16u << 20;
	struct gf_host_opts o = { .sampler = GF_SAMPLER_PROC, .max_tasks = 8192 };
	struct gf_target *t = NULL;
	struct gf_err err = { "" };
	int go[2], done[2];
	char c;

	(void)state;
	assert_int_equal(pipe(go) | pipe(done), 0);
	assert_int_equal(gf_host_create(&o, &t, &err), 0);
	assert_int_equal(gf_target_set_fields(t, &f, &err), 0);
	pid_t pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		for (int k = 0; read(go[0], &c, 1) == 1; k++) {
			if (k % 2 == 0)
				memset(p, 1, size);
			else
				madvise(p, size, MADV_DONTNEED);
			(void)!write(done[1], "", 1);
		}
		_exit(0);
	}
	for (int i = 0; i < 20; i++)
		sample(t);
	double small = value(t, pid, GF_TF_RSS);
	for (int k = 0; k < 6; k++) {
		assert_int_equal(write(go[1], "x", 1) + read(done[0], &c, 1), 2);
		sample(t);
		double rss = value(t, pid, GF_TF_RSS);
		if (k % 2 == 0)
			assert_true(rss >= small + (double)size);
		else
			assert_true(rss < small + (double)size / 4);
		sample(t); /* remembered now */
		assert_near(value(t, pid, GF_TF_RSS), rss, 0);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	gf_target_destroy(t);
	for (int i = 0; i < 2; i++) {
		close(go[i]);
		close(done[i]);
	}
}

static void test_crowd(void **state)
{
	struct rig *r = *state;
	uint32_t n = crowd_limit(30000);
	struct gf_err err;
	struct crowd c;

	(void)r;
	if (n < 5000)
		skip(); /* too little memory for a crowd */
	assert_int_equal(crowd_start(&c, n), 0);
	print_message("# %u processes\n", c.count);
	for (int k = 0; k < 2; k++) {
		struct gf_target *t = host(k ? GF_SAMPLER_PROC : GF_SAMPLER_BPF, 65536, &err);
		if (!t)
			continue;
		sample(t);
		uint32_t keeper = row_of(t, c.keeper);
		assert_int_not_equal(keeper, GF_NONE);
		assert_near(t->sample.col[GF_TF_CHILDREN][keeper], c.count, 0);
		assert_int_equal(t->sample.dropped, 0);
		gf_target_destroy(t);
	}
	crowd_end(&c);
}

/* In a pid namespace of its own the next pid can be chosen. 0 right, 77 cannot. */
static int recycle(enum gf_host_sampler sampler)
{
	struct gf_err err;
	char number[32];

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("proc", "/proc", "proc", 0, NULL))
		return 77;
	struct gf_target *t = host(sampler, 128, &err);
	if (!t)
		return 77;
	pid_t first = fork();
	if (!first)
		for (;;)
			pause();
	sample(t);
	uint32_t row = row_of(t, first);
	if (row == GF_NONE || row_of(t, 1) == GF_NONE || !(t->sample.flags[row_of(t, 1)] & GF_ROW_INIT))
		return 1;
	if (t->sample.flags[row] & GF_ROW_INIT || t->sample.parent[row] != row_of(t, 1))
		return 2;
	uint64_t start = t->sample.start_ns[row];
	uint32_t gen = t->sample.gen[row];
	kill(first, SIGKILL);
	waitpid(first, NULL, 0);
	usleep(50000);
	int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	snprintf(number, sizeof number, "%d", first - 1);
	if (fd < 0 || write(fd, number, strlen(number)) < 0)
		return 77;
	pid_t second = fork();
	if (!second)
		for (;;)
			pause();
	if (second != first)
		return 77;
	sample(t);
	uint32_t now = row_of(t, second);
	if (now == GF_NONE || t->sample.start_ns[now] == start)
		return 3;
	if (now == row && t->sample.gen[now] == gen)
		return 4;
	if (t->sample.flags[row] && row != now && t->sample.pid[row] == first)
		return 5; /* the dead one is still there */
	gf_target_destroy(t);
	return 0;
}

static void recycled(enum gf_host_sampler sampler)
{
	int status;
	pid_t outer = fork();

	if (!outer) {
		if (unshare(CLONE_NEWPID | CLONE_NEWNS))
			_exit(77);
		pid_t init = fork();
		if (!init)
			_exit(recycle(sampler));
		waitpid(init, &status, 0);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 99);
	}
	assert_int_equal(waitpid(outer, &status, 0), outer);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

static void test_recycled_by_bpf(void **state)
{
	(void)state;
	recycled(GF_SAMPLER_BPF);
}

static void test_recycled_by_proc(void **state)
{
	(void)state;
	recycled(GF_SAMPLER_PROC);
}

/* Without the right to load programs: /proc, and the reason is kept. */
static void test_fallback(void **state)
{
	int status;

	(void)state;
	if (geteuid())
		skip();
	pid_t pid = fork();
	if (!pid) {
		struct gf_host_opts o = { .sampler = GF_SAMPLER_AUTO, .max_tasks = 4096 };
		struct gf_err err = { "" };
		struct gf_target *t;
		if (setgid(65534) || setuid(65534))
			_exit(9);
		if (gf_host_create(&o, &t, &err))
			_exit(1);
		if (!strstr(t->road, "proc: BPF refused") || !strstr(t->road, "not permitted"))
			_exit(2);
		gf_target_set_fields(t, &everything, &err);
		if (gf_target_sample(t, &err) || t->sample.live < HELPERS)
			_exit(3);
		o.sampler = GF_SAMPLER_BPF;
		struct gf_target *none;
		_exit(gf_host_create(&o, &none, &err) == 0 || !err.text[0] ? 4 : 0);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bpf_and_proc_agree),
		cmocka_unit_test(test_known_values),
		cmocka_unit_test(test_against_ps),
		cmocka_unit_test(test_host_fields),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_storm),
		cmocka_unit_test(test_table_full),
		cmocka_unit_test(test_remembered),
		cmocka_unit_test(test_memory_at_once),
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_recycled_by_bpf),
		cmocka_unit_test(test_recycled_by_proc),
		cmocka_unit_test(test_fallback),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
