/* SPDX-License-Identifier: MIT
 *
 * A feed that is made up: a machine of a few processes, a tick a second.
 */
#ifndef GPUFAS_TEST_MADEFEED_H
#define GPUFAS_TEST_MADEFEED_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sim/model.h"
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

static inline void put(struct made *m, const struct who *w)
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

static inline int made_next(struct gf_feed *f, struct gf_err *err)
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

static inline int made_rewind(struct gf_feed *f, uint64_t from_ns, struct gf_err *err)
{
	struct made *m = (struct made *)f;

	(void)err;
	m->tick = from_ns > 101 * SEC ? (unsigned)(from_ns / SEC - 101) : 0;
	return 0;
}

static inline int made_set_fields(struct gf_feed *f, const struct gf_fieldset *want, struct gf_err *err)
{
	return gf_sample_set_fields(&f->sample, want, err);
}

static const struct gf_feed_ops made_ops = { .next = made_next, .rewind = made_rewind, .set_fields = made_set_fields };

static inline void make(struct made *m, const struct who *who, size_t n)
{
	memset(m, 0, sizeof *m);
	assert_int_equal(gf_sample_init(&m->f.sample, 128, NULL), 0);
	assert_int_equal(gf_table_init(&m->table, &m->f.sample, NULL), 0);
	m->f.ops = &made_ops;
	m->f.info = (struct gf_feed_info){ .name = "made", .target_kind = GF_TARGET_HOST, .first_ns = 101 * SEC, .interval_ns = SEC, .has = all_fields };
	m->who = who;
	m->n = n;
}

static inline void unmake(struct made *m)
{
	gf_table_deinit(&m->table);
	gf_sample_deinit(&m->f.sample);
}

/* A process by its pid in the model's sample; GF_NONE: not there. */
static inline uint32_t row_of(const struct gf_feed *f, int32_t pid)
{
	for (uint32_t i = 0; i < f->sample.rows; i++)
		if (f->sample.flags[i] & GF_ROW_VALID && f->sample.pid[i] == pid)
			return i;
	return GF_NONE;
}

static inline bool there(const struct gf_feed *f, int32_t pid)
{
	return row_of(f, pid) != GF_NONE;
}

static inline void act(struct gf_feed *f, int32_t pid, uint8_t action, int arg)
{
	uint32_t row = row_of(f, pid);
	struct gf_verdict v = { .pid = pid, .row = row, .action = action, .arg = arg };

	assert_int_not_equal(row, GF_NONE);
	v.gen = f->sample.gen[row];
	v.start_ns = f->sample.start_ns[row];
	gf_model_act(f, &v);
}

static inline double host(const struct gf_feed *f, uint32_t field)
{
	return f->sample.host[field];
}

static inline void next(struct gf_feed *f, unsigned n)
{
	while (n--)
		assert_int_equal(gf_feed_next(f, NULL), 0);
}

static inline struct gf_feed *model(struct made *m, struct gf_model_opts o)
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
static inline struct gf_feed *five_after(struct made *m, struct gf_model_opts o)
{
	struct gf_feed *f;

	make(m, family, 6);
	f = model(m, o);
	next(f, 5);
	act(f, 10, GF_ACT_SIGNAL, SIGKILL);
	next(f, 5);
	return f;
}

#endif
