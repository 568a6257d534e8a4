/* SPDX-License-Identifier: MIT
 *
 * A guest's sampler by teams of several sizes, side by side with the library's own, which is compiled for one lane: what they make of memory is compared
 * bit for bit.
 */
#ifndef GPUFAS_TESTS_SAMPLERS_H
#define GPUFAS_TESTS_SAMPLERS_H

#define GF_TEAM 1
#define GF_WIDTH 1
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gpu/sampler.h"
#include "targets/vm_int.h"
#include "tests/helpers/fakekernel.h"

#define STEP 50000000ull
#define TEAMS 3
#define SIMS (TEAMS + 1)

/* ---- teams ------------------------------------------------------------------ */

struct crew {
	struct gf_team_mem mem;
	pthread_barrier_t barrier;
	struct gf_team team[8];
	pthread_t thread[8];
};

static GF_HD void gf_team_dispatch(struct gf_team *t, const struct gf_call *call)
{
	gf_sampler_job((struct gf_sampler *)t->mem->ctx, call, t->lane, t->lanes);
}

static inline void *serve(void *arg)
{
	gf_team_serve(arg);
	return NULL;
}

static inline struct crew *crew_new(uint32_t lanes, void *ctx)
{
	struct crew *c = calloc(1, sizeof *c);

	c->mem = (struct gf_team_mem){ .lanes = lanes, .blocks = 1, .host_barrier = &c->barrier, .ctx = ctx };
	assert_int_equal(pthread_barrier_init(&c->barrier, NULL, lanes), 0);
	for (uint32_t i = 0; i < lanes; i++) {
		c->team[i] = (struct gf_team){ .mem = &c->mem, .lane = i, .lanes = lanes };
		if (i)
			assert_int_equal(pthread_create(&c->thread[i], NULL, serve, &c->team[i]), 0);
	}
	return c;
}

static inline void crew_free(struct crew *c)
{
	if (!c)
		return;
	gf_team_call(&c->team[0], 0, 0, 0, 0);
	for (uint32_t i = 1; i < c->mem.lanes; i++)
		pthread_join(c->thread[i], NULL);
	pthread_barrier_destroy(&c->barrier);
	free(c);
}

/* ---- samplers side by side -------------------------------------------------- */

struct sim {
	struct gf_sampler v;
	struct gf_sample s;
	struct crew *crew; /* NULL: alone */
	void *mem;
	uint32_t *ver;     /* of strings in the last sample */
};

struct bench {
	struct fake *f;
	struct gf_sampler_guest g;
	struct gf_vm *vm;  /* the library's own, which is compiled for one lane */
	uint32_t *ver;
	struct sim sim[SIMS];
};

static const uint32_t lanes_of[SIMS] = { 0, 1, 3, 8 };
static const struct gf_target_ops ops = {
	.kind = "vm", .sample = gf_vm_sample, .set_fields = gf_vm_set_fields, .set_paths = gf_vm_set_paths,
	.describe = gf_vm_describe, .destroy = gf_vm_unmake,
};
static const struct gf_fieldset all = { ~0ull >> (64 - GF_HF_COUNT), ~0ull >> (64 - GF_TF_COUNT), (1u << GF_SF_COUNT) - 1, 0 };
static uint64_t seed; /* of this run */

static inline void publish(struct bench *b)
{
	gf_vm_publish(b->vm, fake_guest(b->f));
	gf_vm_reap(b->vm);
	b->g.mem = b->f->k->mem;
	b->g.layout = b->f->l;
	b->g.boot++;
	b->g.still = 1;
}

static inline void bench_init(struct bench *b, struct fake *f, uint32_t cap, const struct gf_fieldset *fields)
{
	struct gf_fieldset plain = *fields;
	struct gf_err err = { "" };

	memset(b, 0, sizeof *b);
	b->f = f;
	plain.paths = 0;
	assert_int_equal(gf_vm_make(&(struct gf_vm_opts){ .name = "g", .max_tasks = cap }, &ops, &b->vm, &err), 0);
	b->vm->image = true;
	b->vm->step_ns = STEP;
	publish(b);
	assert_int_equal(gf_target_set_fields(&b->vm->t, &plain, &err), 0);
	b->ver = calloc(b->vm->t.sample.cap * GF_SF_COUNT, sizeof *b->ver);
	for (uint32_t i = 0; i < SIMS; i++) {
		struct sim *s = &b->sim[i];
		size_t size = gf_sampler_layout(&s->v, &s->s, cap, fields, NULL);

		s->mem = aligned_alloc(128, size);
		memset(s->mem, 0xa5, size);
		assert_int_equal(gf_sampler_layout(&s->v, &s->s, cap, fields, s->mem), size);
		gf_sampler_bind(&s->v, &s->s);
		/* As the CPU has it, or all at once. */
		s->v.recs = i == 1 ? 32 : s->v.recs;
		s->crew = lanes_of[i] ? crew_new(lanes_of[i], &s->v) : NULL;
		s->ver = calloc(s->s.cap * GF_SF_COUNT, sizeof *s->ver);
		gf_sampler_init(&s->v, s->crew ? s->crew->team : NULL);
	}
}

static inline void bench_done(struct bench *b)
{
	gf_target_destroy(&b->vm->t);
	free(b->ver);
	for (uint32_t i = 0; i < SIMS; i++) {
		crew_free(b->sim[i].crew);
		free(b->sim[i].mem);
		free(b->sim[i].ver);
	}
}

#define SAME(what) \
	do { \
		if (!(what)) \
			fail_msg("SEED=%llu: %u lanes, tick %llu, row %u, field %u: not %s", (unsigned long long)seed, lanes, \
				 (unsigned long long)x->seq, row, field, #what); \
	} while (0)

static inline void compare_strings(const struct gf_sample *x, const struct gf_sample *y, uint32_t *xver, uint32_t *yver, uint32_t lanes)
{
	for (uint32_t field = 0; field < GF_SF_COUNT; field++)
		for (uint32_t row = 0; x->str[field] && row < x->cap; row++) {
			const struct gf_strref *a = &x->str[field][row], *b = &y->str[field][row];
			uint32_t *av = &xver[row * GF_SF_COUNT + field], *bv = &yver[row * GF_SF_COUNT + field];

			SAME(!a->ver == !b->ver);
			SAME(a->len == b->len);
			SAME(!a->ver || !memcmp(a->p, b->p, a->len));
			/* Numbers are theirs, but they change together. */
			SAME((a->ver == *av) == (b->ver == *bv));
			*bv = b->ver;
		}
}

static inline void compare(const struct gf_sample *x, const struct gf_sample *y, uint32_t *xver, uint32_t *yver, uint32_t lanes)
{
	uint32_t row = 0, field = 0;

	SAME(x->now_ns == y->now_ns);
	SAME(x->seq == y->seq);
	SAME(x->epoch == y->epoch);
	SAME(x->rows == y->rows);
	SAME(x->live == y->live);
	SAME(x->dropped == y->dropped);
	for (field = 0; field < GF_HF_COUNT; field++)
		SAME(!memcmp(&x->host[field], &y->host[field], 8) || (gf_is_unknown(x->host[field]) && gf_is_unknown(y->host[field])));
	for (row = 0; row < x->cap; row++) {
		SAME(x->flags[row] == y->flags[row]);
		SAME(x->gen[row] == y->gen[row]);
		SAME(x->pid[row] == y->pid[row]);
		SAME(x->start_ns[row] == y->start_ns[row]);
		if (row >= x->rows)
			continue;
		SAME(x->parent[row] == y->parent[row]);
		SAME(x->uid[row] == y->uid[row]);
		SAME(!memcmp(x->comm[row], y->comm[row], GF_COMM_LEN));
		for (field = 0; field < GF_COLS; field++)
			SAME(!x->col[field] || !y->col[field] || !memcmp(&x->col[field][row], &y->col[field][row], 8));
	}
	compare_strings(x, y, xver, yver, lanes);
}

static inline void remember(const struct gf_sample *x, uint32_t *ver)
{
	for (uint32_t field = 0; field < GF_SF_COUNT; field++)
		for (uint32_t row = 0; x->str[field] && row < x->cap; row++)
			ver[row * GF_SF_COUNT + field] = x->str[field][row].ver;
}

/* One sample by each; what the library's said of it. with_vm false: they are to be compared with each other only. */
static inline int tick(struct bench *b, bool with_vm)
{
	struct gf_err err = { "" };
	int r = gf_target_sample(&b->vm->t, &err), first = r;

	for (uint32_t i = 0; i < SIMS; i++) {
		struct sim *s = &b->sim[i];
		int got = gf_sampler_run(&s->v, s->crew ? s->crew->team : NULL, &b->g, (s->s.seq + 1) * STEP);

		if (!i && !with_vm)
			first = got;
		assert_int_equal(got, first);
		if (with_vm)
			compare(&b->vm->t.sample, &s->s, b->ver, s->ver, lanes_of[i]);
		else if (i)
			compare(&b->sim[0].s, &s->s, b->sim[0].ver, s->ver, lanes_of[i]);
	}
	remember(&b->vm->t.sample, b->ver);
	if (!with_vm)
		remember(&b->sim[0].s, b->sim[0].ver);
	return first;
}

#endif
