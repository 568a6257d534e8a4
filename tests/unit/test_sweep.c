/* SPDX-License-Identifier: MIT
 *
 * sim/many.c: sweeps by a device against gf_outcome_run() on the CPU, over made-up recordings of machines in which processes come, grow,
 * fork and go, with random policies: the same tables, events and digests. Which device: the emulated one, or where this is built for
 * it (tests/gpu/) the GPU.
 *   GF_SEED=N    another start (printed)          GF_CASES=N   so many recordings (default 8, or 150 on a GPU)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "compiler/compiler.h"
#include "sim/many.h"
#include "targets/table.h"
#include "targets/target.h"
#include "tests/unit/plain.h"

#ifndef GF_TEST_DEV
#define KIND GF_MANY_EMU
#define CASES 8u
#define RUNS 10u
#define EMULATED 1
#else
#define KIND GF_MANY_GPU
#define CASES 150u
#define RUNS 48u
#define EMULATED 0
#endif

#define MIB 1048576.0
#define SEC 1000000000ull
#define TASKS 400u
#define EVENTS 256u

static uint64_t rng;

static uint32_t rnd(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)((rng >> 11) % n);
}

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *s = getenv(name);

	return s && *s ? strtoull(s, NULL, 0) : otherwise;
}

/* ---- a machine ------------------------------------------------------------------ */

struct proc {
	int32_t pid, parent; /* parent: index, -1: init */
	uint64_t start;
	double anon, grows, cpu, burns, swap;
	uint32_t uid, name, renamed;
	char state;
	bool there;
};

struct machine {
	struct gf_feed f;
	struct gf_table table;
	struct proc proc[TASKS];
	uint32_t procs, tick, ticks, most, born;
	uint64_t seed, at, now;
	uint32_t odd; /* of 100 ticks so many fail; the clock goes back once at `back` */
	uint32_t back;
	uint32_t shorter, rewound; /* so many ticks less at the second time */
	bool no_anon, no_cpu;
};

static const char *const names[] = { "init", "postgres", "worker", "leaker", "java", "sshd", "cc1", "nginx" };

static void born(struct machine *m, int32_t parent)
{
	struct proc *p = NULL;

	for (uint32_t i = 1; i < m->most && !p; i++)
		if (!m->proc[i].there)
			p = &m->proc[i];
	if (!p)
		return;
	m->procs = GF_MAX(m->procs, (uint32_t)(p - m->proc) + 1);
	memset(p, 0, sizeof *p);
	p->there = true;
	p->pid = (int32_t)(100 + m->born++);
	p->parent = parent;
	p->start = m->now > 1 ? m->now - rnd(1000000000) : 1;
	p->anon = 5 + rnd(60);
	p->grows = rnd(6) ? 0 : rnd(30);
	p->burns = rnd(5) ? 0.01 * rnd(10) : 0.2 + 0.1 * rnd(8);
	p->swap = rnd(4) ? 0 : rnd(20);
	p->uid = 1000 + rnd(3);
	p->name = 1 + rnd(7);
	p->state = "SSSRD"[rnd(5)];
}

static void live(struct machine *m)
{
	for (uint32_t i = 1; i < m->procs; i++) {
		struct proc *p = &m->proc[i];
		if (!p->there)
			continue;
		p->anon += p->grows;
		p->cpu += p->burns;
		if (!rnd(60))
			p->grows = rnd(40);
		if (!rnd(80))
			p->name = 1 + rnd(7);
		if (!rnd(30))
			p->state = "SSSRD"[rnd(5)];
		if (!rnd(12))
			born(m, (int32_t)i);
		if (!rnd(50)) {
			p->there = false;
			for (uint32_t k = 1; k < m->procs; k++)
				if (m->proc[k].parent == (int32_t)i)
					m->proc[k].parent = -1;
		}
	}
	if (!rnd(3))
		born(m, -1);
}

static void put(struct machine *m, const struct proc *p)
{
	struct gf_sample *s = &m->f.sample;
	bool fresh;
	uint32_t row = gf_table_row(&m->table, p->pid, p->start, p->pid == 1 ? 0 : p->parent < 0 ? 1 : m->proc[p->parent].pid, &fresh);
	double anon = p->anon * MIB + 4096.0 * (p->pid % 7) + 0.25 * (p->pid % 3);
	const double value[GF_TF_COUNT] = {
		[GF_TF_PID] = p->pid, [GF_TF_PPID] = p->parent < 0 ? 1 : m->proc[p->parent].pid, [GF_TF_UID] = p->uid, [GF_TF_RSS] = anon + MIB,
		[GF_TF_ANON] = m->no_anon ? gf_unknown() : anon, [GF_TF_SWAP] = p->swap * MIB, [GF_TF_CPUTIME] = p->cpu * 1e9 + 0.5,
		[GF_TF_THREADS] = 1 + p->pid % 4, [GF_TF_STATE] = p->state, [GF_TF_NICE] = p->pid % 9 - 4, [GF_TF_AGE] = (double)(m->now - p->start),
	};

	if (row == GF_NONE)
		return;
	gf_table_comm(&m->table, row, names[p->name], (uint32_t)strlen(names[p->name]));
	s->uid[row] = p->uid;
	for (uint32_t c = 0; c < GF_TF_COUNT; c++)
		if (s->col[c] && m->f.info.has.task >> c & 1 && c != GF_TF_CHILDREN)
			s->col[c][row] = value[c];
	if (p->pid == 1)
		s->flags[row] |= GF_ROW_INIT;
	if (!(p->pid % 31) && m->tick % 5 == 2)
		s->flags[row] |= GF_ROW_TORN;
	s->host[GF_HF_MEM_AVAILABLE] -= anon;
	s->host[GF_HF_MEM_FREE] -= anon;
	s->host[GF_HF_SWAP_FREE] -= p->swap * MIB;
	s->host[GF_HF_CPU_BUSYTIME] += p->cpu * 1e9;
}

static int machine_next(struct gf_feed *f, struct gf_err *err)
{
	struct machine *m = (struct machine *)f;
	struct gf_sample *s = &f->sample;
	uint64_t kept = rng;
	int rc = 0;

	if (m->tick + (m->rewound > 1 ? m->shorter : 0) >= m->ticks)
		return -ENODATA;
	rng = m->at;
	m->tick++;
	m->now += m->tick == m->back ? 0 : SEC / 2 + rnd(1000000000);
	if (m->tick == m->back)
		m->now -= 3 * SEC;
	s->seq++;
	s->now_ns = m->now;
	f->wall_ns = s->now_ns + 1700000000 * SEC;
	live(m);
	if (rnd(100) < m->odd) {
		rc = gf_err_set(err, EAGAIN, "made to fail");
	} else {
		s->host[GF_HF_MEM_TOTAL] = s->host[GF_HF_MEM_AVAILABLE] = s->host[GF_HF_MEM_FREE] = 4000 * MIB;
		s->host[GF_HF_SWAP_TOTAL] = s->host[GF_HF_SWAP_FREE] = 2000 * MIB;
		s->host[GF_HF_SWAP_USED] = 0;
		s->host[GF_HF_CPU_BUSYTIME] = 0;
		s->host[GF_HF_PSI_MEM_FULL_10] = rnd(60);
		s->host[GF_HF_LOAD_1] = 1 + 0.37 * rnd(20);
		gf_table_begin(&m->table);
		for (uint32_t i = 0; i < m->procs; i++)
			if (m->proc[i].there)
				put(m, &m->proc[i]);
		gf_table_commit(&m->table);
		s->host[GF_HF_TASKS_COUNT] = s->live;
		s->host[GF_HF_TASKS_THREADS] = 2 * s->live;
		s->host[GF_HF_TASKS_RUNNING] = s->live / 3;
		s->host[GF_HF_TASKS_BLOCKED] = s->live / 7;
		s->host[GF_HF_TASKS_FORKS] = m->born;
	}
	m->at = rng;
	rng = kept;
	return rc;
}

static int machine_rewind(struct gf_feed *f, uint64_t from_ns, struct gf_err *err)
{
	struct machine *m = (struct machine *)f;
	uint64_t kept = rng;

	(void)from_ns;
	(void)err;
	m->rewound++;
	/* As a recording has it: the same rows each time. */
	gf_table_deinit(&m->table);
	memset(f->sample.flags, 0, f->sample.cap);
	memset(f->sample.gen, 0, f->sample.cap * sizeof *f->sample.gen);
	f->sample.rows = f->sample.live = 0;
	assert_int_equal(gf_table_init(&m->table, &f->sample, NULL), 0);
	rng = m->at = m->seed;
	memset(m->proc, 0, sizeof m->proc);
	m->tick = m->born = 0;
	m->now = 1000 * SEC;
	m->proc[0] = (struct proc){ .pid = 1, .parent = -1, .start = 1, .anon = 3, .there = true, .state = 'S' };
	m->procs = 1;
	for (uint32_t i = 0; i < m->most / 2; i++)
		born(m, i > 4 && rnd(2) ? (int32_t)(1 + rnd(m->procs - 1)) : -1);
	m->at = rng;
	rng = kept;
	return 0;
}

static int machine_set_fields(struct gf_feed *f, const struct gf_fieldset *want, struct gf_err *err)
{
	return gf_sample_set_fields(&f->sample, want, err);
}

static void machine_make(struct machine *m, uint64_t seed)
{
	static const struct gf_feed_ops ops = { .next = machine_next, .rewind = machine_rewind, .set_fields = machine_set_fields };

	memset(m, 0, sizeof *m);
	m->seed = seed * 2654435761u + 88172645463325252ull;
	m->ticks = 30 + rnd(50);
	m->most = 40 + rnd(TASKS - 60);
	m->odd = rnd(3) ? 0 : 8;
	m->back = rnd(4) ? 0 : 20;
	m->no_anon = !rnd(4);
	m->f.ops = &ops;
	m->f.info = (struct gf_feed_info){ .name = "made", .target_kind = GF_TARGET_HOST, .first_ns = 1000 * SEC, .interval_ns = SEC,
		.has = { .host = UINT64_MAX >> (64 - GF_HF_COUNT), .str = 1u << GF_SF_COMM,
			 .task = GF_BIT(GF_TF_PID) | GF_BIT(GF_TF_PPID) | GF_BIT(GF_TF_UID) | GF_BIT(GF_TF_RSS) | GF_BIT(GF_TF_SWAP) | GF_BIT(GF_TF_THREADS) |
				 GF_BIT(GF_TF_STATE) | GF_BIT(GF_TF_NICE) | GF_BIT(GF_TF_CHILDREN) | GF_BIT(GF_TF_AGE) } };
	if (!m->no_anon)
		m->f.info.has.task |= GF_BIT(GF_TF_ANON);
	if (rnd(5))
		m->f.info.has.task |= GF_BIT(GF_TF_CPUTIME);
	assert_int_equal(gf_sample_init(&m->f.sample, 512, NULL), 0);
	assert_int_equal(gf_table_init(&m->table, &m->f.sample, NULL), 0);
}

static void machine_unmake(struct machine *m)
{
	gf_table_deinit(&m->table);
	gf_sample_deinit(&m->f.sample);
}

/* ---- policies -------------------------------------------------------------------- */

static const char *one_of(const char *const *v, uint32_t n)
{
	return v[rnd(n)];
}
#define ANY(...) one_of((const char *const[]){ __VA_ARGS__ }, sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

/* One of two dozen shapes of a rule, with numbers in it. */
static size_t rule_text(char *to, size_t n, uint32_t k, const uint32_t *num)
{
	char cond[256], step[256];

	switch (num[0] % 10) {
	case 0: snprintf(cond, sizeof cond, "mem.available < %u%%", 5 + num[1] % 60); break;
	case 1: snprintf(cond, sizeof cond, "rss > %uMiB", 20 + num[1] % 300); break;
	case 2: snprintf(cond, sizeof cond, "rate(rss, 3s) > %uMiB/s and comm ~ \"*e*\"", num[1] % 30); break;
	case 3: snprintf(cond, sizeof cond, "count(where comm == \"worker\") > %u", num[1] % 12); break;
	case 4: snprintf(cond, sizeof cond, "swap.free < %u%% or load.1 > %u", 30 + num[1] % 60, num[2] % 12); break;
	case 5: snprintf(cond, sizeof cond, "tasks.count > %u and children > %u", num[1] % 200, num[2] % 3); break;
	case 6: snprintf(cond, sizeof cond, "tree(rss) > %uMiB", 50 + num[1] % 900); break;
	case 7: snprintf(cond, sizeof cond, "psi.memory.full.avg10 > %u%%", num[1] % 60); break;
	case 8: snprintf(cond, sizeof cond, "sum(rss where uid == %u) > %uMiB", 1000 + num[2] % 3, 200 + num[1] % 2000); break;
	default: snprintf(cond, sizeof cond, "cpu > %u%% and age > %us", num[1] % 90, num[2] % 20); break;
	}
	switch (num[3] % 9) {
	case 0: snprintf(step, sizeof step, "SIGKILL largest"); break;
	case 1: snprintf(step, sizeof step, "SIGTERM largest where not comm ~ \"post*\" then after %us SIGKILL", num[4] % 6); break;
	case 2: snprintf(step, sizeof step, "SIGSTOP newest then after %us SIGCONT", 1 + num[4] % 9); break;
	case 3: snprintf(step, sizeof step, "SIGKILL %u largest by swap", 1 + num[4] % 4); break;
	case 4: snprintf(step, sizeof step, "renice +%u largest", 1 + num[4] % 15); break;
	case 5: snprintf(step, sizeof step, "SIGKILL tree of oldest where comm != \"init\""); break;
	case 6: snprintf(step, sizeof step, "log"); break;
	case 7: snprintf(step, sizeof step, "notify \"{comm} has {rss}\" then SIGTERM smallest"); break;
	default: snprintf(step, sizeof step, "SIGSTOP largest then after %us SIGKILL", num[4] % 7); break;
	}
	return (size_t)snprintf(to, n, "rule r%u if %s%s%s then %s cooldown %us%s\n", k, cond, num[5] % 3 ? "" : " for 2s",
				num[5] % 5 ? "" : " until mem.available > 70%", step, num[6] % 20, num[6] % 4 ? "" : " limit 2 per 1min");
}

#define RULES 4u
#define NUMS 7u

static struct gf_image_header *compile(const char *text, bool must)
{
	struct gf_source src = { .name = "test", .text = text, .len = strlen(text) };
	struct gf_compile_opts o = { .target = GF_TARGET_HOST, .period_ns = SEC, .warnings_off = true };
	struct gf_diags d = { .limit = 100 };
	struct gf_image_header *img = NULL;
	size_t size;
	int rc = gf_compile(&src, 1, &o, &d, &img, &size);

	if (rc && must)
		gf_diags_print(&d, &src, 1, stderr, false);
	gf_diags_deinit(&d);
	assert_true(!rc || !must);
	return rc ? NULL : img;
}

/* Policies of one shape with other numbers, as a sweep has them; `wild`: of other shapes as well. */
static size_t policies(struct gf_image_header **img, size_t n, bool wild, uint32_t *refused)
{
	uint32_t num[RULES][NUMS], rules = 1 + rnd(RULES);
	size_t made = 0;

	for (uint32_t r = 0; r < RULES; r++)
		for (uint32_t k = 0; k < NUMS; k++)
			num[r][k] = rnd(10000);
	for (size_t i = 0; i < 4 * n && made < n; i++) {
		char text[4096];
		size_t at = rnd(2) ? (size_t)snprintf(text, sizeof text, "protect comm == \"sshd\"\nprefer comm == \"leaker\"\n") : 0;
		for (uint32_t r = 0; r < rules; r++) {
			for (uint32_t k = wild ? 0 : 1; k < NUMS; k++)
				if (k != 3 && rnd(2))
					num[r][k] = rnd(10000);
			if (wild && !rnd(3))
				num[r][3] = rnd(10000);
			at += rule_text(text + at, sizeof text - at, r, num[r]);
		}
		text[at] = 0;
		img[made] = compile(text, false);
		if (img[made])
			made++;
		else
			++*refused;
	}
	return made;
}

/* ---- the same? ---------------------------------------------------------------------- */

static const char *which_word(const void *a, const void *b, size_t n)
{
	static char text[300];
	size_t at = 0;

	for (size_t i = 0; i + 4 <= n && at < 250; i += 4)
		if (memcmp((const char *)a + i, (const char *)b + i, 4))
			at += (size_t)snprintf(text + at, sizeof text - at, "+%zu: %x and %x ", i, *(const uint32_t *)(const void *)((const char *)a + i),
					       *(const uint32_t *)(const void *)((const char *)b + i));
	return text;
}

static void same(const struct gf_outcome *a, const struct gf_outcome *b, uint64_t seed, size_t run)
{
#define SAME(field)                                                                                                              \
	do {                                                                                                                     \
		if (a->field != b->field)                                                                                        \
			fail_msg("seed %llu, run %zu: " #field ": %llu on the CPU, %llu on the device", (unsigned long long)seed, run, \
				 (unsigned long long)a->field, (unsigned long long)b->field);                                          \
	} while (0)
	SAME(rules);
	SAME(ticks);
	SAME(stale);
	SAME(actions);
	SAME(victims);
	SAME(events);
	SAME(events_lost);
	SAME(first_ns);
	SAME(last_ns);
	SAME(first_wall_ns);
	SAME(last_wall_ns);
	SAME(most_tasks);
	for (size_t k = 0; k < a->rules; k++) {
		struct gf_outcome_rule x = a->rule[k], y = b->rule[k];
		x.close = y.close = 0;
		if (memcmp(&x, &y, sizeof x))
			fail_msg("seed %llu, run %zu: rule %zu differs: %llu and %llu actions, true for %llu and %llu ns", (unsigned long long)seed, run, k,
				 (unsigned long long)x.actions, (unsigned long long)y.actions, (unsigned long long)x.true_ns, (unsigned long long)y.true_ns);
	}
	for (size_t k = 0; k < a->events; k++) {
		struct gf_event x = a->event[k], y = b->event[k];
		x.wall_ns = y.wall_ns = 0;
		plain_event(&x);
		plain_event(&y);
		if (memcmp(&x, &y, sizeof x))
			fail_msg("seed %llu, run %zu: event %zu differs", (unsigned long long)seed, run, k);
	}
	for (size_t k = 0; k < a->victims; k++)
		if (memcmp(&a->victim[k], &b->victim[k], sizeof *a->victim))
			fail_msg("seed %llu, run %zu: victim %zu differs", (unsigned long long)seed, run, k);
	SAME(pressure_ns);
	SAME(digest);
	if (memcmp(&a->said, &b->said, sizeof a->said))
		fail_msg("seed %llu, run %zu: what the model says differs in %s; %.17g and %.17g bytes freed", (unsigned long long)seed, run,
			 which_word(&a->said, &b->said, sizeof a->said), a->said.freed, b->said.freed);
	assert_string_equal(a->damage, b->damage);
#undef SAME
}

/* What has been seen in all cases, so that it is known that the comparison was of something. */
static struct {
	uint64_t runs, ticks, actions, victims, events, pressure, ended_with, unborn, stopped, continued, reniced, again, batches, windows, devices;
} seen;

static void random_opts(struct gf_many_opts *o, struct gf_what_if *w, const struct gf_image_header *pressure)
{
	memset(o, 0, sizeof *o);
	o->kind = KIND;
	o->events = EVENTS;
	o->frame = rnd(2) ? 1 + rnd(400000) : 0;
	o->memory = rnd(3) ? 0 : 1 + rnd(300000); /* it goes by in windows */
	o->outcome.pressure = pressure;
	o->outcome.model = (struct gf_model_opts){
		.acts = rnd(8) != 0, .kill_ns = rnd(2) ? 0 : rnd(4) * SEC, .term_ns = rnd(5) * SEC, .term_never = !rnd(6), .children_stay = !rnd(3),
		.psi_unknown = !rnd(3), .what_if = w, .what_ifs = rnd(3) ? 0 : 1,
	};
	*w = (struct gf_what_if){ GF_HF_MEM_TOTAL, GF_WHAT_IF_TIMES, 0.5 };
	o->outcome.run.observe = !rnd(10);
	if (!rnd(3)) {
		o->outcome.run.budget_n = 1 + rnd(5);
		o->outcome.run.budget_window_ns = 20 * SEC;
	}
	if (!rnd(5))
		o->outcome.run.to_ns = (1000 + rnd(40)) * SEC;
}

static void look(const struct gf_outcome *o)
{
	seen.runs++;
	seen.ticks += o->ticks;
	seen.actions += o->actions;
	seen.victims += o->victims;
	seen.events += o->events;
	seen.pressure += o->pressure_ns != 0;
	seen.ended_with += o->said.ended_with;
	seen.unborn += o->said.unborn;
	seen.stopped += o->said.stopped;
	seen.continued += o->said.continued;
	seen.reniced += o->said.reniced;
}

static void one_case(uint64_t seed, uint32_t *refused)
{
	struct gf_image_header *img[RUNS], *pressure;
	struct gf_outcome dev[RUNS], cpu;
	struct gf_many_opts o;
	struct gf_outcome_opts oo;
	struct gf_many_did did;
	struct gf_what_if w;
	struct gf_err err = { "" };
	struct machine m;
	size_t n;

	rng = seed * 0x9e3779b97f4a7c15ull | 1;
	rnd(2);
	machine_make(&m, seed);
	n = policies(img, RUNS, !rnd(3), refused);
	pressure = compile(ANY("rule p if mem.available < 30% then log", "rule p if rss > 100MiB then log", "rule p if psi.memory.full.avg10 > 20% for 2s then log"), true);
	random_opts(&o, &w, rnd(6) ? pressure : NULL);
	gf_sweep_emu_opts = (struct gf_sweep_emu_opts){ .lanes = 1 + rnd(3), .devices = 1 + rnd(3) };
	if (EMULATED && !rnd(4))
		o.kind = GF_MANY_CPU;
	if (!EMULATED) /* all cards, or the first one */
		o.devices = rnd(2);
	if (gf_many_run(&m.f, (const struct gf_image_header *const *)img, n, &o, dev, &did, &err))
		fail_msg("seed %llu: %s", (unsigned long long)seed, err.text);
	assert_true(did.gpu || !n || o.kind == GF_MANY_CPU);
	assert_string_equal(did.why, "");
	seen.windows += did.windows;
	seen.devices += did.devices > 1;
	seen.again += did.again;
	seen.batches += did.batches;
	oo = o.outcome;
	oo.table = true;
	oo.table_events = EVENTS;
	for (size_t k = 0; k < n; k++) {
		/* The reference reads the recording as it is, without a reel. */
		if (gf_outcome_run(&m.f, img[k], &oo, &cpu, &err))
			fail_msg("seed %llu: %s", (unsigned long long)seed, err.text);
		same(&cpu, &dev[k], seed, k);
		look(&cpu);
		gf_outcome_deinit(&cpu);
		gf_outcome_deinit(&dev[k]);
		free(img[k]);
	}
	free(pressure);
	machine_unmake(&m);
}

static void same_as_cpu(void **state)
{
	uint64_t seed = number("GF_SEED", (uint64_t)time(NULL)), cases = number("GF_CASES", getenv("GF_TEST_SMALL") ? 4 : CASES);
	uint32_t refused = 0;

	(void)state;
	printf("# GF_SEED=%llu, %llu recordings\n", (unsigned long long)seed, (unsigned long long)cases);
	for (uint64_t n = 0; n < cases; n++)
		one_case(seed + n, &refused);
	printf("# %llu runs, %llu ticks, %llu actions, %llu victims, %llu events: all the same; %llu runs by the CPU after all, %u policies refused\n",
	       (unsigned long long)seen.runs, (unsigned long long)seen.ticks, (unsigned long long)seen.actions, (unsigned long long)seen.victims,
	       (unsigned long long)seen.events, (unsigned long long)seen.again, refused);
	printf("# %llu recordings in windows, %llu by several devices\n", (unsigned long long)seen.windows, (unsigned long long)seen.devices);
	printf("# %llu ended with parents, %llu unborn, %llu stopped, %llu went on, %llu reniced, %llu runs under pressure\n", (unsigned long long)seen.ended_with,
	       (unsigned long long)seen.unborn, (unsigned long long)seen.stopped, (unsigned long long)seen.continued, (unsigned long long)seen.reniced,
	       (unsigned long long)seen.pressure);
	assert_true(seen.runs > seen.again && seen.actions && seen.victims && seen.events);
}

/* ---- what goes wrong ------------------------------------------------------------------- */

#define SWEPT 12u

static void sweep(struct gf_many_opts *o, struct gf_outcome *out, struct gf_many_did *did, int want)
{
	struct gf_image_header *img[SWEPT];
	struct gf_err err = { "" };
	struct machine m;

	rng = 4711;
	machine_make(&m, 7);
	for (uint32_t k = 0; k < SWEPT; k++) {
		char text[256];
		snprintf(text, sizeof text, "rule low if mem.available < %u%% then SIGKILL largest cooldown 5s", 40 + 4 * k);
		img[k] = compile(text, true);
	}
	assert_int_equal(gf_many_run(&m.f, (const struct gf_image_header *const *)img, SWEPT, o, out, did, &err), want);
	for (uint32_t k = 0; k < SWEPT; k++)
		free(img[k]);
	machine_unmake(&m);
}

static void compare(const struct gf_outcome *a, struct gf_outcome *b)
{
	for (uint32_t k = 0; k < SWEPT; k++) {
		same(&a[k], &b[k], 7, k);
		gf_outcome_deinit(&b[k]);
	}
}

/* Nothing at all is in the range that is asked for; there are samples, but none that is good. */
static void recordings_without_samples(void **state)
{
	(void)state;
	for (int k = 0; k < 3; k++) {
		struct gf_many_opts o = { .kind = KIND, .events = 100, .frame = k == 2 ? 1 : 0, .outcome.model.acts = true };
		struct gf_outcome_opts oo;
		struct gf_outcome dev[1], cpu;
		struct gf_many_did did;
		struct gf_err err = { "" };
		struct machine m;
		const struct gf_image_header *img = compile("rule low if mem.available < 90% then SIGKILL largest cooldown 5s", true);
		rng = 4711;
		machine_make(&m, 7);
		m.odd = k ? 100 : 0;
		o.outcome.run.to_ns = k ? 0 : 1000 * SEC;
		oo = o.outcome;
		oo.table = true;
		oo.table_events = 100;
		if (gf_many_run(&m.f, &img, 1, &o, dev, &did, &err))
			fail_msg("%d: %s", k, err.text);
		assert_true(did.gpu && !did.again);
		assert_int_equal(gf_outcome_run(&m.f, img, &oo, &cpu, &err), 0);
		assert_true(k ? cpu.stale && cpu.stale == cpu.ticks : !cpu.ticks);
		same(&cpu, &dev[0], 7, (size_t)k);
		gf_outcome_deinit(&cpu);
		gf_outcome_deinit(&dev[0]);
		free((void *)(uintptr_t)img);
		machine_unmake(&m);
	}
}

static void threads_are_the_same(void **state)
{
	struct gf_many_opts o = { .kind = GF_MANY_CPU, .threads = 1, .events = 100, .outcome.model.acts = true };
	struct gf_outcome a[SWEPT], b[SWEPT];
	struct gf_many_did did;
	uint64_t actions = 0;

	(void)state;
	sweep(&o, a, &did, 0);
	o.threads = 5;
	o.memory = 1u << 30;
	sweep(&o, b, &did, 0);
	assert_string_equal(did.engine, "5 CPUs");
	compare(a, b);
	assert_false(did.windows);
	/* In windows: it takes more memory than it may. Of the runs, too, there is room for as many as there are threads only. */
	o.memory = 1;
	for (uint64_t frame = 1; frame < 1000000; frame *= 30) {
		o.frame = frame;
		for (o.threads = 1; o.threads < 8; o.threads += 2) {
			sweep(&o, b, &did, 0);
			assert_true(did.windows);
			assert_string_equal(did.why, "");
			compare(a, b);
		}
	}
	for (uint32_t k = 0; k < SWEPT; k++) {
		actions += a[k].actions;
		gf_outcome_deinit(&a[k]);
	}
	assert_true(actions > 0);
}

#if EMULATED
static void little_memory_makes_batches(void **state)
{
	struct gf_many_opts o = { .kind = GF_MANY_EMU, .events = 100, .frame = 50000, .outcome.model.acts = true };
	struct gf_outcome a[SWEPT], b[SWEPT];
	struct gf_many_did did;

	(void)state;
	o.kind = GF_MANY_CPU;
	sweep(&o, a, &did, 0);
	o.kind = GF_MANY_EMU;
	gf_sweep_emu_opts = (struct gf_sweep_emu_opts){ .lanes = 2, .memory = 3u << 20 };
	sweep(&o, b, &did, 0);
	if (!did.gpu || did.batches < 2 || did.again)
		fail_msg("%d %u %u %s", did.gpu, did.batches, did.again, did.why);
	compare(a, b);
	/* Not even for one: the CPUs do it, and it is said. */
	gf_sweep_emu_opts.memory = 60000;
	sweep(&o, b, &did, 0);
	assert_non_null(strstr(did.why, "memory"));
	compare(a, b);
	for (uint32_t k = 0; k < SWEPT; k++)
		gf_outcome_deinit(&a[k]);
	gf_sweep_emu_opts = (struct gf_sweep_emu_opts){ 0 };
}

static void a_device_that_fails_is_left(void **state)
{
	struct gf_many_opts o = { .kind = GF_MANY_CPU, .events = 100, .frame = 50000, .outcome.model.acts = true };
	struct gf_outcome a[SWEPT], b[SWEPT];
	struct gf_many_did did;

	(void)state;
	sweep(&o, a, &did, 0);
	o.kind = GF_MANY_EMU;
	for (uint32_t k = 1; k < 8; k += 2) {
		gf_sweep_emu_opts = (struct gf_sweep_emu_opts){ .lanes = 2, .memory = 3u << 20, .fails_after = k };
		sweep(&o, b, &did, 0);
		assert_string_equal(did.why, "the device has failed: CPUs do the rest");
		assert_true(did.again > 0);
		compare(a, b);
	}
	/* None there: an error where it was asked for. */
	gf_sweep_emu_opts = (struct gf_sweep_emu_opts){ .absent = true };
	sweep(&o, b, &did, -ENODEV);
	for (uint32_t k = 0; k < SWEPT; k++)
		gf_outcome_deinit(&b[k]);
	for (uint32_t k = 0; k < SWEPT; k++)
		gf_outcome_deinit(&a[k]);
	gf_sweep_emu_opts = (struct gf_sweep_emu_opts){ 0 };
}

static void sweep_on(struct gf_sweep_emu_opts e, const struct gf_many_opts *o, const struct gf_outcome *want, struct gf_many_did *did)
{
	struct gf_many_opts emu = *o;
	struct gf_outcome b[SWEPT];

	gf_sweep_emu_opts = e;
	emu.kind = GF_MANY_EMU;
	sweep(&emu, b, did, 0);
	compare(want, b);
	gf_sweep_emu_opts = (struct gf_sweep_emu_opts){ 0 };
}

#define IS(did, n, engine_is, why_is)                                                           \
	do {                                                                                    \
		if ((did).devices != (n) || strcmp((did).engine, engine_is) || strcmp((did).why, why_is)) \
			fail_msg("%u devices, \"%s\", \"%s\"", (did).devices, (did).engine, (did).why); \
	} while (0)

/* Shares; one that is lost, short of memory or in others' hands: the others do its share, with a word. In memory and in windows. */
static void several_devices(void **state)
{
	struct gf_many_opts o = { .kind = GF_MANY_CPU, .events = 100, .frame = 50000, .outcome.model.acts = true };
	struct gf_outcome a[SWEPT];
	struct gf_many_did did;

	(void)state;
	sweep(&o, a, &did, 0);
	for (int windows = 0; windows < 2; windows++) {
		o.memory = windows ? 1 : 0;
		sweep_on((struct gf_sweep_emu_opts){ .devices = 3 }, &o, a, &did);
		IS(did, 3, "3 x Emulated GPU", "");
		assert_int_equal(did.batches, 3);
		assert_int_equal(did.windows, windows);
		o.devices = 4 + 2;
		sweep_on((struct gf_sweep_emu_opts){ .devices = 3 }, &o, a, &did);
		IS(did, 2, "2 x Emulated GPU", "");
		o.devices = 0;
		for (uint32_t after = 1; after < 5; after += 3) {
			sweep_on((struct gf_sweep_emu_opts){ .devices = 3, .these = 2, .fails_after = after }, &o, a, &did);
			IS(did, 2, "2 x Emulated GPU", "GPU 1: the device has failed: the others do its share");
			assert_int_equal(did.again, 0);
		}
		sweep_on((struct gf_sweep_emu_opts){ .devices = 2, .these = 1, .refuses = true }, &o, a, &did);
		IS(did, 1, "Emulated GPU", "GPU 0: the device cannot be opened: the others do its share");
		sweep_on((struct gf_sweep_emu_opts){ .devices = 2, .these = 1, .memory = 400000 }, &o, a, &did);
		if (did.devices != 1 || !strstr(did.why, "GPU 0: it has no memory for ") || !strstr(did.why, ": the others do its share"))
			fail_msg("%u devices, \"%s\"", did.devices, did.why);
		/* little: several batches each */
		sweep_on((struct gf_sweep_emu_opts){ .devices = 2, .memory = 1500000 }, &o, a, &did);
		IS(did, 2, "2 x Emulated GPU", "");
		assert_true(did.batches > 2);
		/* all of them, one after the other */
		sweep_on((struct gf_sweep_emu_opts){ .devices = 2, .fails_after = 2 }, &o, a, &did);
		IS(did, 0, did.engine, "GPU 0: the device has failed: CPUs do the rest; GPU 1: the device has failed: CPUs do the rest");
		assert_int_equal(did.again, SWEPT);
		sweep_on((struct gf_sweep_emu_opts){ .devices = 2, .refuses = true }, &o, a, &did);
		IS(did, 0, did.engine, "GPU 0: the device cannot be opened: CPUs do the rest; GPU 1: the device cannot be opened: CPUs do the rest");
	}
	for (uint32_t k = 0; k < SWEPT; k++)
		gf_outcome_deinit(&a[k]);
}

/* AUTO goes by trials on both: a short sweep asks for no GPU, one that would take longer there than here is not done there. */
static void trials_decide(void **state)
{
	struct gf_many_opts o = { .kind = GF_MANY_AUTO, .events = 100, .frame = 50000, .outcome.model.acts = true };
	struct gf_outcome a[SWEPT];
	struct gf_many_did did;

	(void)state;
	gf_sweep_backend = &gf_sweep_emu;
	for (int k = 0; k < 6; k++) {
		o.memory = k % 2 ? 1 : 0;
		o.asks_s = k < 2 ? 1e9 : 1e-9;
		/* the emulator is slower than the CPUs, unless these have been told to take part one by one: what is compared is what was measured */
		gf_sweep_emu_opts = (struct gf_sweep_emu_opts){ .slow_us = k >= 4 ? 200000 : 0 };
		sweep(&o, a, &did, 0);
		assert_true(did.cpu_guess_s > 0);
		if (k < 2) {
			assert_false(did.gpu);
			assert_true(did.gpu_guess_s == 0);
			assert_string_equal(did.why, "");
		} else {
			assert_true(did.gpu && did.gpu_guess_s > 0);
			assert_int_equal(did.devices, did.gpu_guess_s < did.cpu_guess_s);
			assert_int_equal(strstr(did.why, "would take") != NULL, did.gpu_guess_s >= did.cpu_guess_s);
		}
		if (k >= 4)
			assert_int_equal(did.devices, 0);
		for (uint32_t i = 0; i < SWEPT; i++)
			gf_outcome_deinit(&a[i]);
	}
	gf_sweep_backend = NULL;
	gf_sweep_emu_opts = (struct gf_sweep_emu_opts){ 0 };
}

/* A recording that is shorter when it is read again for the next windows. */
static void changed_meanwhile(void **state)
{
	(void)state;
	for (int gpu = 0; gpu < 2; gpu++) {
		struct gf_many_opts o = { .kind = gpu ? GF_MANY_EMU : GF_MANY_CPU, .events = 100, .memory = 1, .frame = 50000, .outcome.model.acts = true };
		const struct gf_image_header *img = compile("rule low if mem.available < 90% then SIGKILL largest cooldown 5s", true);
		struct gf_outcome out[1];
		struct gf_many_did did;
		struct gf_err err = { "" };
		struct machine m;
		rng = 4711;
		machine_make(&m, 7);
		m.shorter = 10;
		assert_int_equal(gf_many_run(&m.f, &img, 1, &o, out, &did, &err), -ESTALE);
		assert_string_equal(err.text, "the recording is being changed while it is read");
		gf_outcome_deinit(&out[0]);
		free((void *)(uintptr_t)img);
		machine_unmake(&m);
	}
}

/* A GPU that is not there: asked for it is an error, else CPUs. */
static void no_gpu(void **state)
{
	struct gf_many_opts o = { .kind = GF_MANY_GPU };
	struct gf_outcome b[SWEPT];
	struct gf_many_did did;

	(void)state;
	gf_sweep_backend = NULL;
	sweep(&o, b, &did, -ENOTSUP);
	o.kind = GF_MANY_AUTO;
	sweep(&o, b, &did, 0);
	assert_false(did.gpu);
	for (uint32_t k = 0; k < SWEPT; k++)
		gf_outcome_deinit(&b[k]);
}

/* More to say, or to do, in one sample than the device has room for: the CPU does it. */
static void too_much_is_done_by_the_cpu(void **state)
{
	struct gf_many_opts o = { .kind = GF_MANY_EMU, .events = 100, .outcome.model.acts = true };
	struct gf_outcome dev[1], cpu;
	struct gf_outcome_opts oo = o.outcome;
	struct gf_many_did did;
	struct gf_err err = { "" };
	struct machine m;
	char text[8192];
	size_t at = 0;
	const struct gf_image_header *img;

	(void)state;
	rng = 99;
	machine_make(&m, 3);
	for (int k = 0; k < 90; k++)
		at += (size_t)snprintf(text + at, sizeof text - at, "rule r%d if mem.available < %d%% then log\n", k, 50 + k % 49);
	img = compile(text, true);
	assert_int_equal(gf_many_run(&m.f, &img, 1, &o, dev, &did, &err), 0);
	assert_int_equal(did.again, 1);
	oo.table = true;
	oo.table_events = 100;
	assert_int_equal(gf_outcome_run(&m.f, img, &oo, &cpu, &err), 0);
	same(&cpu, &dev[0], 3, 0);
	gf_outcome_deinit(&cpu);
	gf_outcome_deinit(&dev[0]);
	free((void *)(uintptr_t)img);
	machine_unmake(&m);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_as_cpu), cmocka_unit_test(recordings_without_samples), cmocka_unit_test(threads_are_the_same),
#if EMULATED
		cmocka_unit_test(little_memory_makes_batches), cmocka_unit_test(a_device_that_fails_is_left), cmocka_unit_test(no_gpu),
		cmocka_unit_test(too_much_is_done_by_the_cpu), cmocka_unit_test(several_devices), cmocka_unit_test(trials_decide),
		cmocka_unit_test(changed_meanwhile),
#endif
	};

#if !EMULATED
	struct gf_sweep_dev_info info;
	struct gf_sweep_dev *d;
	struct gf_err err = { "" };

	gf_sweep_backend = &gf_sweep_gpu;
	if (gf_sweep_gpu.open(0, &d, &info, &err)) {
		printf("1..0 # SKIP %s\n", err.text);
		return 0;
	}
	printf("# %s\n", info.name);
	gf_sweep_gpu.close(d);
#endif
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
