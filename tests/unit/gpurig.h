/* SPDX-License-Identifier: MIT
 *
 * The GPU engine over an emulated device for tests: a policy that acts, tasks for it, the CPU engine beside it, one that runs by itself.
 */
#ifndef TESTS_UNIT_GPURIG_H
#define TESTS_UNIT_GPURIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "gpu/dev_emu.h"
#include "gpu/engine_gpu.h"
#include "tests/unit/imagetext.h"
#include "tests/unit/kit.h"

static struct kit k;
static uint32_t blocks = 1, threads = 512;

#define ROWS 300u

/* Kills the largest while memory is low: steps, a tree, a hold, a history, a limit. */
KIT struct gf_image_header *make_image(uint64_t fp, uint32_t kill)
{
	struct gf_err err = { "" };
	struct gf_image_header *img;
	struct gf_rule *r;
	struct gf_step *s;
	uint32_t h, x;

	kit_init(&k);
	k.e.fp = fp;
	x = hist(&k, GF_SCOPE_TASK, GF_STAT_RATE, S, 8);
	sink(&k, number_of(&k, GF_TF_RSS), GF_SINK_HIST, x);
	h = hold(&k, GF_SCOPE_HOST, GF_HOLD_PERIODS, 3);
	ldh(&k, 0, GF_HF_MEM_AVAILABLE);
	ldk(&k, 1, 5);
	op(&k, GF_OP_LT, 0, 0, 1, 0);
	op(&k, GF_OP_HELD, 0, 0, 0, h);
	r = rule(&k, 0, prog(&k, GF_SCOPE_HOST, 1, 0, 0, 0));
	r->settle_ns = 10 * MS;
	s = step(&k, r, GF_ACT_SIGNAL, (int)kill, GF_PICK_LARGEST, 0);
	s->key = number_of(&k, GF_TF_RSS);
	s->group = GF_GROUP_TREE;
	step(&k, r, GF_ACT_SIGNAL, SIGCONT, GF_PICK_SAME, S / 2);
	img = kit_image(&k, &err);
	if (!img)
		fail_msg("verifier: %s", err.text);
	return img;
}

KIT struct fake *make_tasks(void)
{
	struct fake *f = fake_new(512);

	for (uint32_t i = 0; i < ROWS; i++)
		fake_task(f, i);
	f->t.sample.host[GF_HF_MEM_AVAILABLE] = 1;
	return f;
}

KIT struct gf_engine *make_engine(struct fake *f, const struct gf_image_header *img, uint64_t period, enum gf_engine_kind kind,
				     enum gf_gpu_mode mode)
{
	struct gf_engine_opts o = {
		.period_ns = period, .budget_n = 1000, .budget_window_ns = 60 * S, .kind = kind, .gpu = { .mode = mode, .blocks = blocks, .threads = threads },
	};
	struct gf_engine *e = NULL;
	struct gf_err err = { "" };

	if (gf_engine_create(&f->t, img, &o, &e, &err))
		fail_msg("%s", err.text);
	for (uint32_t i = 0; i < ROWS; i++)
		f->t.sample.col[GF_TF_RSS][i] = i;
	return e;
}

KIT uint64_t ticks(struct gf_engine *e)
{
	struct gf_engine_stats st;

	gf_engine_stats(e, &st);
	return st.ticks;
}

KIT void wait_ticks(struct gf_engine *e, uint64_t n)
{
	uint64_t from = ticks(e);

	for (int i = 0; i < 20000 && ticks(e) < from + n; i++)
		usleep(1000);
	assert_true(ticks(e) >= from + n);
}

KIT int on_gpu(struct gf_engine *e)
{
	struct gf_engine_stats st;

	gf_engine_stats(e, &st);
	return st.kind == GF_ENGINE_GPU;
}

/* ---- two engines side by side ------------------------------------------------------ */

struct pair {
	struct fake *f[2];
	struct gf_engine *e[2];
	struct gf_image_header *img[4];
	uint32_t images;
	uint64_t delta; /* between the two engines' event numbers */
	uint32_t events, verdicts;
};

KIT void pair_begin(struct pair *p, enum gf_gpu_mode mode)
{
	memset(p, 0, sizeof *p);
	p->img[p->images++] = make_image(1, SIGSTOP);
	for (int i = 0; i < 2; i++) {
		p->f[i] = make_tasks();
		p->f[i]->step_ns = 100 * MS;
		p->e[i] = make_engine(p->f[i], p->img[0], 100 * MS, i ? GF_ENGINE_GPU : GF_ENGINE_CPU, mode);
	}
	assert_true(on_gpu(p->e[1]));
	assert_false(on_gpu(p->e[0]));
}

KIT void pair_end(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		gf_engine_destroy(p->e[i]);
		gf_target_destroy(&p->f[i]->t);
	}
	for (uint32_t i = 0; i < p->images; i++)
		free(p->img[i]);
	assert_int_equal(gf_emu.used, 0);
}

/* Event numbers are the process's: the two engines' are apart, in one order. */
KIT void pair_tick(struct pair *p)
{
	static struct gf_event ev[2][64];
	static struct gf_verdict v[2][4096];
	size_t n[2], m[2];
	uint64_t base[2] = { 0, 0 };

	for (int i = 0; i < 2; i++) {
		assert_int_equal(gf_engine_tick(p->e[i], NULL), 0);
		n[i] = gf_engine_events(p->e[i], ev[i], 64);
		m[i] = gf_engine_verdicts(p->e[i], v[i], 4096);
		base[i] = n[i] ? ev[i][0].seq : 0;
	}
	assert_int_equal(n[0], n[1]);
	assert_int_equal(m[0], m[1]);
	for (size_t k2 = 0; k2 < n[0]; k2++) {
		assert_int_equal(ev[0][k2].seq - base[0], ev[1][k2].seq - base[1]);
		for (int i = 0; i < 2; i++) {
			ev[i][k2].wall_ns = 0;
			ev[i][k2].decide_ns = 0;
			ev[i][k2].seq = 0;
			ev[i][k2].about = ev[i][k2].about != 0;
		}
		assert_memory_equal(&ev[0][k2], &ev[1][k2], sizeof ev[0][0]);
	}
	for (size_t k2 = 0; k2 < m[0]; k2++) {
		assert_int_equal(v[0][k2].event - base[0], v[1][k2].event - base[1]);
		v[0][k2].event = v[1][k2].event = 0;
		assert_memory_equal(&v[0][k2], &v[1][k2], sizeof v[0][0]);
	}
	p->events += (uint32_t)n[0];
	p->verdicts += (uint32_t)m[0];
}

KIT void both(struct pair *p, void (*fn)(struct fake *f, uint32_t a), uint32_t a)
{
	fn(p->f[0], a);
	fn(p->f[1], a);
}

KIT void low(struct fake *f, uint32_t a)
{
	f->t.sample.host[GF_HF_MEM_AVAILABLE] = a;
}

KIT void leave(struct fake *f, uint32_t a)
{
	fake_gone(f, a);
}

KIT void come(struct fake *f, uint32_t a)
{
	fake_task(f, a);
	f->t.sample.col[GF_TF_RSS][a] = a;
}

/* ---- one that lives --------------------------------------------------------------------- */

struct life {
	struct fake *f;
	struct gf_engine *e;
	struct gf_image_header *img;
};

KIT struct life life_begin(uint64_t period, enum gf_gpu_mode mode)
{
	struct life l = { .f = make_tasks(), .img = make_image(1, SIGSTOP) };

	l.f->step_ns = period;
	l.e = make_engine(l.f, l.img, period, GF_ENGINE_GPU, mode);
	assert_int_equal(gf_engine_start(l.e, NULL), 0);
	return l;
}

KIT void life_end(struct life *l)
{
	gf_engine_destroy(l->e);
	gf_target_destroy(&l->f->t);
	free(l->img);
	assert_int_equal(gf_emu.used, 0);
}

/* 1: an event that says so has come. */
KIT int heard(struct gf_engine *e, const char *what)
{
	static struct gf_event ev[64];
	size_t n;

	while ((n = gf_engine_events(e, ev, 64)))
		for (size_t i = 0; i < n; i++)
			if (ev[i].kind == GF_EV_DAEMON && strstr(ev[i].text, what) && ev[i].rule == GF_NONE)
				return 1;
	return 0;
}

#endif
