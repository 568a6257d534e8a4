/* SPDX-License-Identifier: MIT
 *
 * For tests of sweeps: made-up recordings of machines in which processes come, grow, fork and go; a sweep of a dozen policies; whether two
 * outcomes are the same.
 */
#ifndef TESTS_UNIT_SWEEP_KIT_H
#define TESTS_UNIT_SWEEP_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/compiler.h"
#include "sim/many.h"
#include "targets/table.h"
#include "targets/target.h"
#include "tests/unit/plain.h"

#define KIT __attribute__((unused)) static

#define MIB 1048576.0
#define SEC 1000000000ull
#define TASKS 400u

KIT uint64_t rng;

KIT uint32_t rnd(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)((rng >> 11) % n);
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
	uint64_t seed, at, now, back_by;
	uint32_t odd; /* of 100 ticks so many fail; the clock goes back once at `back` */
	uint32_t back;
	uint32_t shorter, rewound; /* so many ticks less at the second time */
	bool no_anon, no_cpu;
	int path[GF_MAX_PATHS];      /* which of machine_path[]; -1: none */
	uint32_t paths;
};

/* Kernel paths that some machines have. */
static const char *const machine_path[] = { "task->mm->map_count", "task->prio", "task->flags" };
#define MACHINE_PATHS 3u

static const char *const names[] = { "init", "postgres", "worker", "leaker", "java", "sshd", "cc1", "nginx" };

KIT void born(struct machine *m, int32_t parent)
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

KIT void live(struct machine *m)
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

KIT void put(struct machine *m, const struct proc *p)
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
	for (uint32_t k = 0; k < m->paths; k++)
		if (s->col[GF_TF_COUNT + k] && m->path[k] >= 0)
			s->col[GF_TF_COUNT + k][row] = (p->pid * (m->path[k] + 3) + (int32_t)m->tick / 4) % 101;
	if (p->pid == 1)
		s->flags[row] |= GF_ROW_INIT;
	if (!(p->pid % 31) && m->tick % 5 == 2)
		s->flags[row] |= GF_ROW_TORN;
	s->host[GF_HF_MEM_AVAILABLE] -= anon;
	s->host[GF_HF_MEM_FREE] -= anon;
	s->host[GF_HF_SWAP_FREE] -= p->swap * MIB;
	s->host[GF_HF_CPU_BUSYTIME] += p->cpu * 1e9;
}

KIT int machine_next(struct gf_feed *f, struct gf_err *err)
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
		m->now -= m->back_by;
	s->seq++;
	s->now_ns = m->now;
	f->wall_ns = (1700000000 + m->tick) * SEC;
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

KIT int machine_rewind(struct gf_feed *f, uint64_t from_ns, struct gf_err *err)
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

KIT int machine_set_fields(struct gf_feed *f, const struct gf_fieldset *want, struct gf_err *err)
{
	return gf_sample_set_fields(&f->sample, want, err);
}

KIT int machine_set_paths(struct gf_feed *f, const char *const *path, size_t n, struct gf_err *err)
{
	struct machine *m = (struct machine *)f;

	(void)err;
	m->paths = (uint32_t)n;
	for (size_t k = 0; k < n; k++) {
		m->path[k] = -1;
		for (uint32_t i = 0; i < m->f.info.has.paths; i++)
			if (!strcmp(machine_path[i], path[k]))
				m->path[k] = (int)i;
	}
	return 0;
}

KIT void machine_make(struct machine *m, uint64_t seed)
{
	static const struct gf_feed_ops ops = { .next = machine_next, .rewind = machine_rewind, .set_fields = machine_set_fields, .set_paths = machine_set_paths };

	memset(m, 0, sizeof *m);
	m->seed = seed * 2654435761u + 88172645463325252ull;
	m->ticks = 30 + rnd(50);
	m->most = 40 + rnd(TASKS - 60);
	m->odd = rnd(3) ? 0 : 8;
	m->back = rnd(4) ? 0 : 20;
	m->back_by = 3 * SEC;
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

KIT void machine_unmake(struct machine *m)
{
	gf_table_deinit(&m->table);
	gf_sample_deinit(&m->f.sample);
}

KIT struct gf_image_header *compile_for(enum gf_target_kind kind, const char *text, bool must)
{
	struct gf_source src = { .name = "test", .text = text, .len = strlen(text) };
	struct gf_compile_opts o = { .target = kind, .period_ns = SEC, .warnings_off = true };
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

KIT struct gf_image_header *compile(const char *text, bool must)
{
	return compile_for(GF_TARGET_HOST, text, must);
}


/* ---- the same? ---------------------------------------------------------------------- */

KIT const char *which_word(const void *a, const void *b, size_t n)
{
	static char text[300];
	size_t at = 0;

	for (size_t i = 0; i + 4 <= n && at < 250; i += 4)
		if (memcmp((const char *)a + i, (const char *)b + i, 4))
			at += (size_t)snprintf(text + at, sizeof text - at, "+%zu: %x and %x ", i, *(const uint32_t *)(const void *)((const char *)a + i),
					       *(const uint32_t *)(const void *)((const char *)b + i));
	return text;
}

KIT void same(const struct gf_outcome *a, const struct gf_outcome *b, uint64_t seed, size_t run)
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

/* ---- a sweep ---------------------------------------------------------------------------- */

#define SWEPT 12u

KIT void sweep(struct gf_many_opts *o, struct gf_outcome *out, struct gf_many_did *did, int want)
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

KIT void compare(const struct gf_outcome *a, struct gf_outcome *b)
{
	for (uint32_t k = 0; k < SWEPT; k++) {
		same(&a[k], &b[k], 7, k);
		gf_outcome_deinit(&b[k]);
	}
}


#endif
