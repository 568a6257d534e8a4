/* SPDX-License-Identifier: MIT
 *
 * sim/model.c and sim/run.c over a feed that is made up here.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/compiler.h"
#include "sim/model.h"
#include "sim/outcome.h"
#include "sim/run.h"
#include "targets/table.h"
#include "targets/target.h"

#define MIB 1048576.0
#define SEC 1000000000ull
#define TICKS 40u

/* One process of the made-up machine. */
struct who {
	int32_t pid, ppid;
	unsigned from, to;  /* ticks that it is there in */
	double anon, grows; /* MiB, and MiB a tick */
	double cpu;         /* seconds a tick */
};

struct made {
	struct gf_feed f;
	struct gf_table table;
	const struct who *who;
	size_t n;
	unsigned tick, fails; /* fails: tick at which sampling fails, 0: never */
};

static const struct gf_fieldset all_fields = {
	.host = UINT64_MAX >> (64 - GF_HF_COUNT),
	.task = GF_BIT(GF_TF_PID) | GF_BIT(GF_TF_PPID) | GF_BIT(GF_TF_RSS) | GF_BIT(GF_TF_ANON) | GF_BIT(GF_TF_SWAP) | GF_BIT(GF_TF_CPUTIME) |
		GF_BIT(GF_TF_THREADS) | GF_BIT(GF_TF_STATE) | GF_BIT(GF_TF_NICE) | GF_BIT(GF_TF_CHILDREN),
	.str = 1u << GF_SF_COMM,
};

static void put(struct made *m, const struct who *w)
{
	struct gf_sample *s = &m->f.sample;
	double age = (double)(m->tick - w->from);
	bool fresh;
	uint32_t row = gf_table_row(&m->table, w->pid, w->pid == 1 ? 1 : (100 + w->from) * SEC, w->ppid, &fresh);
	double anon = (w->anon + w->grows * age) * MIB;
	const double value[GF_TF_COUNT] = { [GF_TF_PID] = w->pid,	[GF_TF_PPID] = w->ppid, [GF_TF_RSS] = anon + MIB,
					    [GF_TF_ANON] = anon,	[GF_TF_CPUTIME] = w->cpu * age * 1e9,
					    [GF_TF_THREADS] = 2,	[GF_TF_STATE] = 'R', [GF_TF_NICE] = 0 };

	gf_table_comm(&m->table, row, "proc", 4);
	for (uint32_t c = 0; c < GF_TF_COUNT; c++)
		if (s->col[c] && all_fields.task >> c & 1 && c != GF_TF_CHILDREN)
			s->col[c][row] = value[c];
	if (w->pid == 1)
		s->flags[row] |= GF_ROW_INIT;
	s->host[GF_HF_MEM_AVAILABLE] -= anon;
	s->host[GF_HF_MEM_FREE] -= anon;
	s->host[GF_HF_CPU_BUSYTIME] += value[GF_TF_CPUTIME];
}

static int made_next(struct gf_feed *f, struct gf_err *err)
{
	struct made *m = (struct made *)f;
	struct gf_sample *s = &f->sample;

	if (m->tick == TICKS)
		return -ENODATA;
	m->tick++;
	s->seq++;
	s->now_ns = (100 + m->tick) * SEC;
	f->wall_ns = s->now_ns + 1700000000 * SEC;
	if (m->tick == m->fails)
		return gf_err_set(err, EAGAIN, "made to fail");
	s->host[GF_HF_MEM_TOTAL] = s->host[GF_HF_MEM_AVAILABLE] = s->host[GF_HF_MEM_FREE] = 1000 * MIB;
	s->host[GF_HF_CPU_BUSYTIME] = 0;
	s->host[GF_HF_PSI_MEM_FULL_10] = 7;
	s->host[GF_HF_LOAD_1] = 3;
	gf_table_begin(&m->table);
	for (size_t i = 0; i < m->n; i++)
		if (m->tick >= m->who[i].from && m->tick < m->who[i].to)
			put(m, &m->who[i]);
	gf_table_commit(&m->table);
	s->host[GF_HF_TASKS_COUNT] = s->live;
	s->host[GF_HF_TASKS_THREADS] = 2 * s->live;
	s->host[GF_HF_TASKS_RUNNING] = s->live;
	s->host[GF_HF_TASKS_FORKS] = 50 + m->tick;
	return 0;
}

static int made_rewind(struct gf_feed *f, uint64_t from_ns, struct gf_err *err)
{
	struct made *m = (struct made *)f;

	(void)err;
	m->tick = from_ns > 101 * SEC ? (unsigned)(from_ns / SEC - 101) : 0;
	return 0;
}

static int made_set_fields(struct gf_feed *f, const struct gf_fieldset *want, struct gf_err *err)
{
	return gf_sample_set_fields(&f->sample, want, err);
}

static const struct gf_feed_ops made_ops = { .next = made_next, .rewind = made_rewind, .set_fields = made_set_fields };

static void make(struct made *m, const struct who *who, size_t n)
{
	memset(m, 0, sizeof *m);
	assert_int_equal(gf_sample_init(&m->f.sample, 128, NULL), 0);
	assert_int_equal(gf_table_init(&m->table, &m->f.sample, NULL), 0);
	m->f.ops = &made_ops;
	m->f.info = (struct gf_feed_info){ .name = "made", .target_kind = GF_TARGET_HOST, .first_ns = 101 * SEC, .interval_ns = SEC, .has = all_fields };
	m->who = who;
	m->n = n;
}

static void unmake(struct made *m)
{
	gf_table_deinit(&m->table);
	gf_sample_deinit(&m->f.sample);
}

/* A process by its pid in the model's sample; GF_NONE: not there. */
static uint32_t row_of(const struct gf_feed *f, int32_t pid)
{
	for (uint32_t i = 0; i < f->sample.rows; i++)
		if (f->sample.flags[i] & GF_ROW_VALID && f->sample.pid[i] == pid)
			return i;
	return GF_NONE;
}

static bool there(const struct gf_feed *f, int32_t pid)
{
	return row_of(f, pid) != GF_NONE;
}

static void act(struct gf_feed *f, int32_t pid, uint8_t action, int arg)
{
	uint32_t row = row_of(f, pid);
	struct gf_verdict v = { .pid = pid, .row = row, .action = action, .arg = arg };

	assert_int_not_equal(row, GF_NONE);
	v.gen = f->sample.gen[row];
	v.start_ns = f->sample.start_ns[row];
	gf_model_act(f, &v);
}

static double host(const struct gf_feed *f, uint32_t field)
{
	return f->sample.host[field];
}

static void next(struct gf_feed *f, unsigned n)
{
	while (n--)
		assert_int_equal(gf_feed_next(f, NULL), 0);
}

static struct gf_feed *model(struct made *m, struct gf_model_opts o)
{
	struct gf_feed *f;

	o.acts = true;
	assert_int_equal(gf_model_create(&m->f, &o, &f, NULL), 0);
	assert_int_equal(gf_feed_set_fields(f, &all_fields, NULL), 0);
	assert_int_equal(gf_feed_rewind(f, 0, NULL), 0);
	return f;
}

static const struct who family[] = {
	{ 1, 0, 0, 99, 1, 0, 0 },
	{ 10, 1, 0, 30, 100, 10, 0.5 }, /* the one that is acted on; it ends by itself at 30 */
	{ 11, 10, 0, 35, 20, 0, 0 },    /* child, there before */
	{ 12, 10, 8, 35, 30, 0, 0 },    /* child, started later */
	{ 13, 12, 9, 35, 5, 0, 0 },     /* its child */
	{ 20, 1, 0, 99, 50, 0, 0.1 },
};

/* The family: 10 is killed at its fifth sample, and five more go by. */
static struct gf_feed *five_after(struct made *m, struct gf_model_opts o)
{
	struct gf_feed *f;

	make(m, family, 6);
	f = model(m, o);
	next(f, 5);
	act(f, 10, GF_ACT_SIGNAL, SIGKILL);
	next(f, 5);
	return f;
}

static void test_kill(void **state)
{
	struct made m;
	struct gf_feed *f;
	struct gf_model_said said;

	(void)state;
	make(&m, family, 6);
	f = model(&m, (struct gf_model_opts){ 0 });
	next(f, 5);
	assert_true(there(f, 10));
	/* untouched it is as in truth */
	assert_true(host(f, GF_HF_MEM_AVAILABLE) == m.f.sample.host[GF_HF_MEM_AVAILABLE]);
	act(f, 10, GF_ACT_SIGNAL, SIGKILL);
	next(f, 1);
	assert_false(there(f, 10));
	assert_false(there(f, 11));
	assert_true(there(f, 20));
	/* tick 6: 10 has 160 MiB in truth, 11 has 20 */
	assert_true(host(f, GF_HF_MEM_AVAILABLE) == m.f.sample.host[GF_HF_MEM_AVAILABLE] + 180 * MIB);
	assert_true(host(f, GF_HF_MEM_FREE) == m.f.sample.host[GF_HF_MEM_FREE] + 180 * MIB);
	assert_true(host(f, GF_HF_TASKS_COUNT) == 2);
	assert_true(host(f, GF_HF_TASKS_THREADS) == 4);
	assert_true(host(f, GF_HF_TASKS_RUNNING) == 2);
	/* CPU time from the sample before it died on: half a second */
	assert_true(host(f, GF_HF_CPU_BUSYTIME) == m.f.sample.host[GF_HF_CPU_BUSYTIME] - 0.5e9);
	next(f, 4);
	/* those started later never are, nor theirs */
	assert_false(there(f, 12));
	assert_false(there(f, 13));
	assert_true(host(f, GF_HF_TASKS_FORKS) == m.f.sample.host[GF_HF_TASKS_FORKS] - 2);
	assert_true(host(f, GF_HF_LOAD_1) < 3 && host(f, GF_HF_LOAD_1) > 2.8);
	next(f, 25);
	/* it has ended in truth, too: its memory is not given back twice, what it did not compute stays saved */
	assert_true(host(f, GF_HF_MEM_AVAILABLE) == m.f.sample.host[GF_HF_MEM_AVAILABLE]);
	assert_true(host(f, GF_HF_CPU_BUSYTIME) < m.f.sample.host[GF_HF_CPU_BUSYTIME]);
	gf_model_said(f, &said);
	assert_int_equal(said.killed, 1);
	assert_int_equal(said.ended_with, 1);
	assert_int_equal(said.unborn, 2);
	assert_true(said.freed == 180 * MIB);
	gf_feed_destroy(f);
	unmake(&m);
}

static void test_children_stay(void **state)
{
	struct made m;
	struct gf_feed *f;
	uint32_t row;

	(void)state;
	f = five_after(&m, (struct gf_model_opts){ .children_stay = true });
	row = row_of(f, 11);
	assert_int_not_equal(row, GF_NONE);
	assert_int_equal(f->sample.parent[row], row_of(f, 1));
	assert_true(f->sample.col[GF_TF_PPID][row] == 1);
	assert_false(there(f, 12));
	/* init has 20 and, adopted, 11 */
	assert_true(f->sample.col[GF_TF_CHILDREN][row_of(f, 1)] == 2);
	gf_feed_destroy(f);
	unmake(&m);
}

static void test_term(void **state)
{
	struct made m;
	struct gf_feed *f;

	(void)state;
	make(&m, family, 6);
	f = model(&m, (struct gf_model_opts){ .term_ns = 3 * SEC });
	next(f, 5);
	act(f, 10, GF_ACT_SIGNAL, SIGTERM);
	act(f, 20, GF_ACT_SIGNAL, SIGHUP); /* what becomes of that nobody knows */
	next(f, 2);
	assert_true(there(f, 10));
	next(f, 1);
	assert_false(there(f, 10));
	assert_true(there(f, 20));
	gf_feed_destroy(f);
	f = model(&m, (struct gf_model_opts){ .term_never = true });
	next(f, 5);
	act(f, 10, GF_ACT_SIGNAL, SIGTERM);
	next(f, 10);
	assert_true(there(f, 10));
	act(f, 10, GF_ACT_SIGNAL, SIGKILL);
	next(f, 1);
	assert_false(there(f, 10));
	gf_feed_destroy(f);
	unmake(&m);
}

static void test_stop(void **state)
{
	struct made m;
	struct gf_feed *f;
	uint32_t row;
	double then, cpu;

	(void)state;
	make(&m, family, 6);
	f = model(&m, (struct gf_model_opts){ .term_ns = SEC });
	next(f, 5);
	row = row_of(f, 10);
	then = f->sample.col[GF_TF_ANON][row];
	cpu = f->sample.col[GF_TF_CPUTIME][row];
	act(f, 10, GF_ACT_SIGNAL, SIGSTOP);
	next(f, 5);
	assert_true(f->sample.col[GF_TF_ANON][row] == then);
	assert_true(f->sample.col[GF_TF_CPUTIME][row] == cpu);
	assert_true(f->sample.col[GF_TF_STATE][row] == 'T');
	/* it would have grown by 50 MiB; its child of tick 8, which has one of its own, was not started */
	assert_true(host(f, GF_HF_MEM_AVAILABLE) == m.f.sample.host[GF_HF_MEM_AVAILABLE] + 85 * MIB);
	assert_true(host(f, GF_HF_CPU_BUSYTIME) == m.f.sample.host[GF_HF_CPU_BUSYTIME] - 2.5e9);
	assert_false(there(f, 12));
	assert_true(there(f, 11));
	act(f, 10, GF_ACT_SIGNAL, SIGCONT);
	next(f, 2);
	/* it goes on where it was */
	assert_true(f->sample.col[GF_TF_ANON][row] == then + 20 * MIB);
	assert_true(f->sample.col[GF_TF_CPUTIME][row] == cpu + 1e9);
	/* a signal waits for a process that is stopped */
	act(f, 10, GF_ACT_FREEZE, 0);
	act(f, 10, GF_ACT_SIGNAL, SIGTERM);
	next(f, 4);
	assert_true(there(f, 10));
	act(f, 10, GF_ACT_THAW, 0);
	next(f, 1);
	assert_false(there(f, 10));
	gf_feed_destroy(f);
	unmake(&m);
}

static void test_others(void **state)
{
	const struct gf_what_if w[] = { { GF_HF_MEM_TOTAL, GF_WHAT_IF_IS, 2000 * MIB } };
	struct made m;
	struct gf_feed *f;
	struct gf_model_said said;

	(void)state;
	make(&m, family, 6);
	f = model(&m, (struct gf_model_opts){ .psi_unknown = true, .what_if = w, .what_ifs = 1 });
	next(f, 5);
	assert_true(host(f, GF_HF_MEM_TOTAL) == 2000 * MIB);
	assert_true(host(f, GF_HF_MEM_AVAILABLE) == m.f.sample.host[GF_HF_MEM_AVAILABLE] + 1000 * MIB);
	assert_true(host(f, GF_HF_PSI_MEM_FULL_10) == 7);
	act(f, 20, GF_ACT_RENICE, 15);
	act(f, 20, GF_ACT_RENICE, 15);
	act(f, 20, GF_ACT_LIMIT, 0);
	act(f, 10, GF_ACT_SIGNAL, SIGKILL);
	next(f, 1);
	assert_true(f->sample.col[GF_TF_NICE][row_of(f, 20)] == 19);
	assert_true(gf_is_unknown(host(f, GF_HF_PSI_MEM_FULL_10)));
	gf_model_said(f, &said);
	assert_int_equal(said.limits, 1);
	assert_int_equal(said.reniced, 2);
	/* after a reset nothing is known */
	gf_model_act(f, &(struct gf_verdict){ .action = GF_ACT_RESET });
	assert_int_equal(gf_feed_next(f, NULL), -ENODATA);
	/* and rewound all is as before */
	assert_int_equal(gf_feed_rewind(f, 0, NULL), 0);
	next(f, 6);
	assert_true(there(f, 10));
	assert_true(f->sample.col[GF_TF_NICE][row_of(f, 20)] == 0);
	gf_feed_destroy(f);
	unmake(&m);
}

/* Nothing that comes later puts an exit off, and each process has ended by one thing. */
static void test_killed_again(void **state)
{
	struct made m;
	struct gf_feed *f;
	struct gf_model_said said;

	(void)state;
	make(&m, family, 6);
	f = model(&m, (struct gf_model_opts){ .kill_ns = 3 * SEC, .term_ns = 2 * SEC });
	next(f, 5);
	act(f, 10, GF_ACT_SIGNAL, SIGKILL);
	act(f, 20, GF_ACT_SIGNAL, SIGTERM);
	next(f, 1);
	act(f, 20, GF_ACT_SIGNAL, SIGKILL); /* it would be gone later by that */
	next(f, 1);
	act(f, 10, GF_ACT_SIGNAL, SIGKILL);
	assert_false(there(f, 20));
	next(f, 1);
	assert_false(there(f, 10));
	gf_model_said(f, &said);
	assert_int_equal(said.killed, 1);
	assert_int_equal(said.ended, 1);
	gf_feed_destroy(f);
	/* who is stopped is not ended by the first, but by the second */
	f = model(&m, (struct gf_model_opts){ .term_ns = SEC });
	next(f, 5);
	act(f, 20, GF_ACT_SIGNAL, SIGSTOP);
	act(f, 20, GF_ACT_SIGNAL, SIGTERM);
	next(f, 3);
	assert_true(there(f, 20));
	act(f, 20, GF_ACT_SIGNAL, SIGKILL);
	next(f, 1);
	assert_false(there(f, 20));
	gf_model_said(f, &said);
	assert_int_equal(said.killed, 1);
	assert_int_equal(said.ended, 0);
	gf_feed_destroy(f);
	/* nice beyond its ends is not kept in mind */
	f = model(&m, (struct gf_model_opts){ 0 });
	next(f, 5);
	act(f, 20, GF_ACT_RENICE, 15);
	act(f, 20, GF_ACT_RENICE, 15);
	act(f, 20, GF_ACT_RENICE, -5);
	next(f, 1);
	assert_true(f->sample.col[GF_TF_NICE][row_of(f, 20)] == 14);
	gf_feed_destroy(f);
	unmake(&m);
}

/* Another boot: counters begin anew, so nothing of the boot before is taken off them; what was saved is remembered. */
static void test_reboot(void **state)
{
	struct made m;
	struct gf_feed *f;
	struct gf_model_said said;

	(void)state;
	f = five_after(&m, (struct gf_model_opts){ 0 });
	gf_model_said(f, &said);
	assert_true(said.cpu_ns == 2.5e9);
	assert_true(host(f, GF_HF_CPU_BUSYTIME) == m.f.sample.host[GF_HF_CPU_BUSYTIME] - 2.5e9);
	m.f.sample.epoch++;
	next(f, 1);
	assert_true(there(f, 10));
	assert_true(host(f, GF_HF_CPU_BUSYTIME) == m.f.sample.host[GF_HF_CPU_BUSYTIME]);
	assert_true(host(f, GF_HF_TASKS_FORKS) == m.f.sample.host[GF_HF_TASKS_FORKS]);
	assert_true(host(f, GF_HF_LOAD_1) == 3);
	act(f, 10, GF_ACT_SIGNAL, SIGKILL);
	next(f, 1);
	assert_true(host(f, GF_HF_CPU_BUSYTIME) == m.f.sample.host[GF_HF_CPU_BUSYTIME] - 0.5e9);
	gf_model_said(f, &said);
	assert_true(said.cpu_ns == 3e9);
	gf_feed_destroy(f);
	unmake(&m);
}

static void test_what_if(void **state)
{
	static const struct { const char *text, *says; } bad[] = {
		{ "mem.totl=8GiB", "did you mean mem.total?" }, { "rss=1GiB", "a field of processes" }, { "mem.total", "FIELD=VALUE" },
		{ "mem.total=lots", "a size, such as 8GiB" }, { "cpu.busy=5", "worked out from cpu.busytime" }, { "mem.total=*-2", "0 or more" },
		{ "uptime=5GiB", "a time" },
	};
	struct gf_what_if w;
	struct gf_err err;

	(void)state;
	assert_int_equal(gf_what_if_parse("mem.total=8GiB", &w, &err), 0);
	assert_true(w.field == GF_HF_MEM_TOTAL && w.how == GF_WHAT_IF_IS && w.by == 8192 * MIB);
	assert_int_equal(gf_what_if_parse("mem.total=*0.5", &w, &err), 0);
	assert_true(w.how == GF_WHAT_IF_TIMES && w.by == 0.5);
	assert_int_equal(gf_what_if_parse("swap.free=-512MiB", &w, &err), 0);
	assert_true(w.how == GF_WHAT_IF_PLUS && w.by == -512 * MIB);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(gf_what_if_parse(bad[i].text, &w, &err), -EINVAL);
		if (!strstr(err.text, bad[i].says))
			fail_msg("%s: %s", bad[i].text, err.text);
	}
}

static struct gf_image_header *compile(const char *text)
{
	struct gf_source src = { .name = "t", .text = text, .len = strlen(text) };
	struct gf_compile_opts o = { .target = GF_TARGET_HOST, .period_ns = SEC };
	struct gf_diags d = { 0 };
	struct gf_image_header *img = NULL;
	size_t size;

	if (gf_compile(&src, 1, &o, &d, &img, &size)) {
		gf_diags_print(&d, &src, 1, stderr, false);
		fail();
	}
	gf_diags_deinit(&d);
	return img;
}

static bool quiet(void *arg, const struct gf_run_tick *t, const struct gf_sample *recorded)
{
	uint64_t *sum = arg;

	(void)recorded;
	/* everything that a tick says, to the last bit */
	for (size_t i = 0; i < t->events * sizeof *t->event; i++)
		*sum = *sum * 1099511628211ull ^ ((const uint8_t *)t->event)[i];
	for (size_t i = 0; i < t->verdicts * sizeof *t->verdict; i++)
		*sum = *sum * 1099511628211ull ^ ((const uint8_t *)t->verdict)[i];
	for (size_t i = 0; i < t->rules * sizeof *t->view; i++)
		*sum = *sum * 1099511628211ull ^ ((const uint8_t *)t->view)[i];
	return true;
}

static void test_outcome(void **state)
{
	struct gf_image_header *img = compile("rule mem if mem.available < 60% for 3s then SIGTERM largest then after 5s SIGKILL cooldown 10s\n"
					      "rule never if anon > 90% then log\n"
					      "rule blind if load.5 > 1 then log\n"),
			       *pressed = compile("rule pressure if mem.available < 60% then log");
	struct made m;
	struct gf_outcome o;
	uint64_t sum[2] = { 1, 1 };

	(void)state;
	for (int i = 0; i < 2; i++) {
		make(&m, family, 6);
		m.fails = 20;
		struct gf_outcome_opts opts = { .model = { .acts = true, .term_never = true }, .pressure = pressed, .watch = quiet, .watch_arg = &sum[i] };
		assert_int_equal(gf_outcome_run(&m.f, img, &opts, &o, NULL), 0);
		assert_int_equal(o.ticks, TICKS);
		assert_int_equal(o.stale, 1);
		/* under 600 MiB from tick 21 on, in truth: 10 has 100 + 10 a tick, others 86 from tick 9 on */
		assert_true(o.rule[0].actions >= 1);
		assert_int_equal(o.event[o.events - 1].kind == GF_EV_ACTION || o.event[o.events - 1].kind == GF_EV_HELD_BACK, 1);
		assert_int_equal(o.rule[1].actions, 0);
		assert_true(o.rule[1].close > 0.2 && o.rule[1].close < 1);
		assert_int_equal(o.rule[1].close_pid, 10);
		assert_int_equal(o.rule[2].ticks_unknown, o.rule[2].ticks);
		assert_int_equal(o.victims, o.rule[0].actions);
		assert_true(o.pressure_ns >= 2 * SEC);
		assert_int_equal(o.event[0].wall_ns, o.event[0].now_ns + 1700000000 * SEC);
		gf_outcome_deinit(&o);
		unmake(&m);
	}
	assert_int_equal(sum[0], sum[1]);
	assert_int_not_equal(sum[0], 1);
	free(img);
	free(pressed);
}

/* From each sample in which it is true to the next one; not over one that failed, nor a hole. */
static void test_true_for(void **state)
{
	static const struct who grows[] = { { 1, 0, 0, 99, 1, 0, 0 }, { 10, 1, 5, 9, 500, 0, 0 }, { 11, 1, 30, 99, 500, 0, 0 } };
	struct gf_image_header *img = compile("rule mem if mem.available < 60% then log");

	(void)state;
	for (int table = 0; table < 2; table++)
		for (unsigned fails = 0; fails < 8; fails += 7) {
			struct gf_outcome_opts opts = { .model = { .acts = true }, .pressure = img, .table = table != 0 };
			struct gf_outcome o;
			struct made m;
			make(&m, grows, 3);
			m.fails = fails;
			assert_int_equal(gf_outcome_run(&m.f, img, &opts, &o, NULL), 0);
			/* ticks 5 to 8, of which 7 may fail; 30 to the last one, which is tick 40 */
			assert_int_equal(o.rule[0].true_ns, (fails ? 3 : 4) * SEC + 10 * SEC);
			assert_int_equal(o.rule[0].true_ns, o.pressure_ns);
			gf_outcome_deinit(&o);
			unmake(&m);
		}
	free(img);
}

/* With effects there is less to do than without. */
static void test_effect(void **state)
{
	struct gf_image_header *img = compile("rule mem if mem.available < 70% then SIGKILL largest cooldown 2s");
	struct gf_outcome_opts opts = { .model = { .acts = true } };
	struct made m;
	struct gf_outcome with, without;

	(void)state;
	make(&m, family, 6);
	assert_int_equal(gf_outcome_run(&m.f, img, &opts, &with, NULL), 0);
	opts.model.acts = false;
	assert_int_equal(gf_outcome_run(&m.f, img, &opts, &without, NULL), 0);
	assert_int_equal(with.actions, 1);
	assert_int_equal(with.victim[0].pid, 10);
	assert_true(without.actions > with.actions);
	gf_outcome_deinit(&with);
	gf_outcome_deinit(&without);
	free(img);
	unmake(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kill),	cmocka_unit_test(test_children_stay), cmocka_unit_test(test_term),    cmocka_unit_test(test_stop),
		cmocka_unit_test(test_killed_again), cmocka_unit_test(test_reboot),
		cmocka_unit_test(test_others),	cmocka_unit_test(test_what_if),	      cmocka_unit_test(test_outcome), cmocka_unit_test(test_effect),
		cmocka_unit_test(test_true_for),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
