// SPDX-License-Identifier: MIT
#include "sim/model_int.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "sim/chain.h"
#include "targets/target.h"

/* What the model itself needs to know of tasks. */
#define NEEDS (GF_BIT(GF_TF_RSS) | GF_BIT(GF_TF_ANON) | GF_BIT(GF_TF_SWAP) | GF_BIT(GF_TF_CPUTIME) | GF_BIT(GF_TF_THREADS) | GF_BIT(GF_TF_STATE))

static struct gf_model *model_of(const struct gf_feed *f)
{
	return (struct gf_model *)(uintptr_t)f;
}

static void reset(struct gf_model *m)
{
	gf_model_reset_rows(m);
	memset(&m->said, 0, sizeof m->said);
	memset(m->load, 0, sizeof m->load);
	m->cpu_saved = m->forks_saved = 0;
	m->touched = false;
	m->now_ns = 0;
	m->epoch = 0;
}

static int model_next(struct gf_feed *f, struct gf_err *err)
{
	struct gf_model *m = model_of(f);
	uint64_t before = m->now_ns;
	int rc;

	if (m->said.reset_ns)
		return -ENODATA;
	rc = gf_feed_next(m->inner, err);
	if (rc == -EAGAIN) {
		f->sample.now_ns = m->inner->sample.now_ns;
		f->sample.seq = m->inner->sample.seq;
		f->wall_ns = m->inner->wall_ns;
	}
	if (rc)
		return rc;
	if (m->epoch != m->inner->sample.epoch || m->inner->sample.now_ns < m->now_ns)
		gf_model_reset_rows(m); /* another boot: all of them are others */
	m->epoch = m->inner->sample.epoch;
	m->now_ns = m->inner->sample.now_ns;
	gf_sample_copy(&f->sample, &m->inner->sample, m->rows);
	f->wall_ns = m->inner->wall_ns;
	if (m->opts.acts)
		gf_model_rows(m);
	gf_model_host(m, before);
	m->rows = m->inner->sample.rows;
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

	m->wanted = *want;
	all.task |= NEEDS & m->inner->info.has.task;
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

	if (m->row)
		gf_model_reset_rows(m);
	free(m->row);
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
	m->opts = *opts;
	m->row = calloc(inner->sample.cap, sizeof *m->row);
	m->what_if = calloc(opts->what_ifs + 1, sizeof *m->what_if);
	if (!m->row || !m->what_if) {
		model_destroy(&m->f);
		return gf_err_set(err, ENOMEM, "out of memory for the model");
	}
	if (opts->what_ifs)
		memcpy(m->what_if, opts->what_if, opts->what_ifs * sizeof *m->what_if);
	m->opts.what_if = m->what_if;
	reset(m);
	*ret = &m->f;
	return 0;
}

void gf_model_said(const struct gf_feed *model, struct gf_model_said *ret)
{
	const struct gf_model *m = model_of(model);
	uint64_t has = m->inner->info.has.task;

	*ret = m->said;
	ret->cpu_ns = m->cpu_saved;
	ret->by_rss = !(has & GF_BIT(GF_TF_ANON)) && has & GF_BIT(GF_TF_RSS);
	ret->no_memory = !(has & (GF_BIT(GF_TF_ANON) | GF_BIT(GF_TF_RSS)));
	ret->no_cpu = !(has & GF_BIT(GF_TF_CPUTIME));
}

/* ---- actions -------------------------------------------------------------------- */

/* What counts while a process runs, and what it holds: both stand still while it is stopped. */
#define STANDS_STILL (GF_BIT(GF_TF_CPUTIME) | GF_BIT(GF_TF_UTIME) | GF_BIT(GF_TF_STIME) | GF_BIT(GF_TF_RSS) | GF_BIT(GF_TF_ANON) | \
		      GF_BIT(GF_TF_FILE) | GF_BIT(GF_TF_SHMEM) | GF_BIT(GF_TF_SWAP) | GF_BIT(GF_TF_VSZ) | GF_BIT(GF_TF_MAJFLT) |   \
		      GF_BIT(GF_TF_MINFLT) | GF_BIT(GF_TF_READ_BYTES) | GF_BIT(GF_TF_WRITE_BYTES) | GF_BIT(GF_TF_FDS) | GF_BIT(GF_TF_THREADS))

static void stop(struct gf_model *m, uint32_t row, bool by_signal)
{
	struct gf_mrow *r = &m->row[row];

	if (r->is != GF_M_LIVES)
		return;
	if (!r->then)
		r->then = calloc(GF_TF_COUNT, sizeof *r->then);
	if (!r->then)
		return; /* as if it had not been stopped; the next one may find memory */
	for (uint32_t c = 0; c < GF_TF_COUNT; c++)
		r->then[c] = STANDS_STILL >> c & 1 ? gf_model_shown(m, c, row) : gf_unknown();
	r->is = GF_M_STOPPED;
	r->stop_signal = by_signal;
	r->since_ns = m->now_ns;
	r->cpu_then = gf_model_true(m, GF_TF_CPUTIME, row);
	m->said.stopped++;
	m->touched = true;
}

static void go_on(struct gf_model *m, uint32_t row)
{
	struct gf_mrow *r = &m->row[row];

	if (r->is != GF_M_STOPPED)
		return;
	if (!r->missed)
		r->missed = calloc(GF_TF_COUNT, sizeof *r->missed);
	for (uint32_t c = 0; r->missed && c < GF_TF_COUNT; c++) {
		double is = gf_model_true(m, c, row);
		r->missed[c] = gf_is_unknown(is) || gf_is_unknown(r->then[c]) ? 0 : is - r->then[c];
	}
	r->is = GF_M_LIVES;
	free(r->then);
	r->then = NULL;
	m->said.continued++;
	if (r->leaves_ns) /* a signal was waiting for it */
		r->leaves_ns = m->now_ns + m->opts.term_ns;
}

static void send(struct gf_model *m, uint32_t row, const struct gf_verdict *v)
{
	struct gf_mrow *r = &m->row[row];

	if (v->arg == SIGSTOP || v->arg == SIGTSTP || v->arg == SIGTTIN || v->arg == SIGTTOU) {
		stop(m, row, true);
	} else if (v->arg == SIGCONT) {
		go_on(m, row);
	} else if (v->arg == SIGKILL) {
		r->leaves_ns = GF_MAX(m->now_ns + m->opts.kill_ns, 1u);
		m->said.killed += !r->killed;
		r->killed = true;
		m->touched = true;
	} else if (gf_verdict_is_lethal(v)) {
		m->touched = true;
		if (r->leaves_ns || m->opts.term_never)
			return;
		r->leaves_ns = GF_MAX(m->now_ns + m->opts.term_ns, 1u);
		m->said.ended++;
	} else {
		m->said.signals++;
	}
}

void gf_model_act(void *model, const struct gf_verdict *v)
{
	struct gf_model *m = model;
	bool there = v->pid && v->row < m->f.sample.cap && m->row[v->row].gen == v->gen && m->row[v->row].is != GF_M_GONE;

	if (!m->opts.acts)
		return;
	m->said.hooks += v->action == GF_ACT_RUN;
	m->said.nmis += v->action == GF_ACT_NMI;
	if (v->action == GF_ACT_RESET || v->action == GF_ACT_PANIC || v->action == GF_ACT_RESTART) {
		m->said.resets++;
		m->said.reset_ns = m->now_ns;
	}
	if (!there)
		return;
	switch (v->action) {
	case GF_ACT_SIGNAL:
		send(m, v->row, v);
		break;
	case GF_ACT_FREEZE:
		stop(m, v->row, false);
		break;
	case GF_ACT_THAW:
		go_on(m, v->row);
		break;
	case GF_ACT_RENICE:
		m->row[v->row].nice += v->arg;
		m->said.reniced++;
		m->touched = true;
		break;
	case GF_ACT_LIMIT:
		m->said.limits++;
		break;
	default:
		break;
	}
}
