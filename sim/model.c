// SPDX-License-Identifier: MIT
#include "sim/model_int.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "sim/chain.h"
#include "targets/target.h"

static struct gf_model *model_of(const struct gf_feed *f)
{
	return (struct gf_model *)(uintptr_t)f;
}

static void reset(struct gf_model *m)
{
	struct gf_mcore *c = &m->core;

	gf_mcore_reset_rows(c);
	memset(&c->said, 0, sizeof c->said);
	c->now_ns = 0;
	c->before.rows = 0;
	m->epoch = 0;
}

/* How much of what is missing in load is left after so long. */
void gf_model_keep(uint64_t dt_ns, double *ret)
{
	static const double tau[3] = { 60, 300, 900 };

	for (int k = 0; k < 3; k++)
		ret[k] = exp(-((double)dt_ns / 1e9) / tau[k]);
}

/* What the next sample will want to know of this one. */
static void remember(struct gf_model *m)
{
	const struct gf_sample *s = &m->inner->sample;
	const double *cpu = m->core.task_has >> GF_TF_CPUTIME & 1 ? s->col[GF_TF_CPUTIME] : NULL;

	memcpy(m->flags, s->flags, s->rows * sizeof *m->flags);
	memcpy(m->gen, s->gen, s->rows * sizeof *m->gen);
	if (cpu)
		memcpy(m->cpu, cpu, s->rows * sizeof *m->cpu);
	m->core.before = (struct gf_mbefore){ s->rows, m->flags, m->gen, cpu ? m->cpu : NULL };
}

static int model_next(struct gf_feed *f, struct gf_err *err)
{
	struct gf_model *m = model_of(f);
	struct gf_mcore *c = &m->core;
	uint64_t before = c->now_ns;
	int rc;

	if (c->said.reset_ns)
		return -ENODATA;
	rc = gf_feed_next(m->inner, err);
	if (rc == -EAGAIN) {
		f->sample.now_ns = m->inner->sample.now_ns;
		f->sample.seq = m->inner->sample.seq;
		f->wall_ns = m->inner->wall_ns;
	}
	if (rc)
		return rc;
	if (m->epoch != m->inner->sample.epoch || m->inner->sample.now_ns < c->now_ns) {
		gf_mcore_reset_rows(c); /* another boot: all of them are others */
		c->before.rows = 0;
	}
	m->epoch = m->inner->sample.epoch;
	c->now_ns = m->inner->sample.now_ns;
	c->dt_ns = before && c->now_ns > before ? c->now_ns - before : 0;
	gf_model_keep(c->dt_ns, c->keep);
	gf_sample_copy(&f->sample, &m->inner->sample, c->rows);
	f->wall_ns = m->inner->wall_ns;
	if (c->opts.acts && c->touched)
		gf_mcore_rows(c, NULL, 0);
	gf_mcore_host(c, f->sample.host);
	c->rows = m->inner->sample.rows;
	if (c->opts.acts)
		remember(m);
	return 0;
}

static int model_rewind(struct gf_feed *f, uint64_t from_ns, struct gf_err *err)
{
	reset(model_of(f));
	return gf_feed_rewind(model_of(f)->inner, from_ns, err);
}

static int model_set_fields(struct gf_feed *f, const struct gf_fieldset *want, struct gf_err *err)
{
	struct gf_model *m = model_of(f);
	struct gf_fieldset all = *want;
	int rc;

	all.task |= GF_MODEL_NEEDS & m->inner->info.has.task;
	m->core.task_has = all.task;
	m->core.host_wants = want->host;
	rc = gf_feed_set_fields(m->inner, &all, err);
	return rc ? rc : gf_sample_set_fields(&f->sample, want, err);
}

static int model_set_paths(struct gf_feed *f, const char *const *path, size_t n, struct gf_err *err)
{
	return gf_feed_set_paths(model_of(f)->inner, path, n, err);
}

static void model_destroy(struct gf_feed *f)
{
	struct gf_model *m = model_of(f);

	free(m->tables);
	free(m->flags);
	free(m->gen);
	free(m->cpu);
	free(m->what_if);
	gf_sample_deinit(&f->sample);
	free(m);
}

int gf_model_create(struct gf_feed *inner, const struct gf_model_opts *opts, struct gf_feed **ret, struct gf_err *err)
{
	static const struct gf_feed_ops ops = {
		.next = model_next, .rewind = model_rewind, .set_fields = model_set_fields, .set_paths = model_set_paths,
		.destroy = model_destroy,
	};
	struct gf_model *m = calloc(1, sizeof *m);
	int rc;

	if (!m)
		return gf_err_set(err, ENOMEM, "out of memory for the model");
	rc = gf_sample_init(&m->f.sample, inner->sample.cap, err);
	if (rc) {
		free(m);
		return rc;
	}
	m->f.ops = &ops;
	m->f.info = inner->info;
	m->inner = inner;
	m->core.opts = *opts;
	m->core.in = &inner->sample;
	m->core.out = &m->f.sample;
	m->tables = calloc(1, gf_mcore_layout(&m->core, inner->sample.cap, true, NULL));
	m->flags = calloc(inner->sample.cap, sizeof *m->flags);
	m->gen = calloc(inner->sample.cap, sizeof *m->gen);
	m->cpu = calloc(inner->sample.cap, sizeof *m->cpu);
	m->what_if = calloc(opts->what_ifs + 1, sizeof *m->what_if);
	if (!m->tables || !m->flags || !m->gen || !m->cpu || !m->what_if) {
		model_destroy(&m->f);
		return gf_err_set(err, ENOMEM, "out of memory for the model");
	}
	gf_mcore_layout(&m->core, inner->sample.cap, true, m->tables);
	if (opts->what_ifs)
		memcpy(m->what_if, opts->what_if, opts->what_ifs * sizeof *m->what_if);
	m->core.opts.what_if = m->what_if;
	reset(m);
	*ret = &m->f;
	return 0;
}

void gf_model_said(const struct gf_feed *model, struct gf_model_said *ret)
{
	const struct gf_model *m = model_of(model);
	uint64_t has = m->inner->info.has.task;

	*ret = m->core.said;
	ret->cpu_ns += m->core.cpu_saved;
	ret->by_rss = !(has & GF_BIT(GF_TF_ANON)) && has & GF_BIT(GF_TF_RSS);
	ret->no_memory = !(has & (GF_BIT(GF_TF_ANON) | GF_BIT(GF_TF_RSS)));
	ret->no_cpu = !(has & GF_BIT(GF_TF_CPUTIME));
}

/* ---- actions -------------------------------------------------------------------- */

_Static_assert(SIGKILL == GF_M_SIGKILL && SIGCONT == GF_M_SIGCONT && SIGSTOP == GF_M_SIGSTOP && SIGTSTP == 20 && SIGTTIN == 21 &&
		       SIGTTOU == GF_M_SIGTTOU, "signals");

void gf_model_act(void *model, const struct gf_verdict *v)
{
	gf_mcore_act(&((struct gf_model *)model)->core, v);
}

void gf_model_act_in(struct gf_feed *model, const struct gf_verdict *v, uint64_t exit_ns)
{
	struct gf_mcore *c = &model_of(model)->core;

	c->opts.kill_ns = c->opts.term_ns = exit_ns;
	gf_mcore_act(c, v);
}
