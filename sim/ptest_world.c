/* SPDX-License-Identifier: MIT
 *
 * A test's series as samples, as if nothing was ever done: what becomes of processes when a policy acts on them is the model's.
 */
#include "sim/ptest_world.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "sim/model.h"
#include "targets/table.h"
#include "targets/target.h"

/* One process. */
struct proc {
	const struct gf_ptest_task *t;
	int32_t pid;
	uint64_t starts_ns, ends_ns; /* of the test */
	double cputime;              /* ns, where cpu is given */
};

struct world {
	struct gf_feed src;
	const struct gf_ptest_case *c;
	struct gf_table table;
	struct proc *proc;
	uint32_t *of_row;            /* [cap] process, GF_NONE: nobody's */
	size_t procs;
	uint64_t tick, ticks;
	double drv[GF_DF_COUNT];     /* derived host fields, added up */
	const struct gf_field_info *drv_info[GF_DF_COUNT];
	struct gf_fieldset want;
	const char *path[GF_MAX_PATHS];
	size_t paths;
};

uint64_t gf_ptest_world_start(const struct gf_ptest_case *c)
{
	return c->uptime_ns;
}

/* What a field is when a test does not say: that of a process that nobody would look at. */
static double idle(const struct proc *p, uint32_t f)
{
	switch (f) {
	case GF_TF_UID:
	case GF_TF_GID:
		return p->t->kthread || p->pid == 1 ? 0 : 1000;
	case GF_TF_PGRP:
	case GF_TF_SESSION:
		return p->pid;
	case GF_TF_STATE:
		return 'S';
	case GF_TF_PRIO:
		return 20;
	case GF_TF_THREADS:
		return 1;
	default:
		return 0;
	}
}

static double value(const struct world *w, const struct gf_series *s, uint64_t i, enum gf_pct pct)
{
	double v;
	enum gf_series_mark m = gf_series_at(s, i, &v);

	if (m == GF_SERIES_SHARE)
		return v / 100 * w->src.sample.host[pct == GF_PCT_SWAP ? GF_HF_SWAP_TOTAL : GF_HF_MEM_TOTAL];
	return m == GF_SERIES_VALUE ? v : gf_unknown();
}

static double task_value(const struct world *w, const struct proc *p, uint32_t f, uint64_t i);

/* rss is anon + file + shmem: what is not said follows from what is. */
static double memory(const struct world *w, const struct proc *p, uint32_t f, uint64_t i)
{
	const struct gf_series *col = p->t->col;
	bool parts = col[GF_TF_ANON].len || col[GF_TF_FILE].len || col[GF_TF_SHMEM].len;

	if (f == GF_TF_VSZ)
		return task_value(w, p, GF_TF_RSS, i);
	if (f == GF_TF_RSS)
		return task_value(w, p, GF_TF_ANON, i) + task_value(w, p, GF_TF_FILE, i) + task_value(w, p, GF_TF_SHMEM, i);
	return f == GF_TF_ANON && !parts && col[GF_TF_RSS].len ? task_value(w, p, GF_TF_RSS, i) : 0;
}

static double task_value(const struct world *w, const struct proc *p, uint32_t f, uint64_t i)
{
	const struct gf_series *s = &p->t->col[f];
	static const enum gf_pct pct[GF_TF_COUNT] = {
#define GF_TASK(id, name, dim, p, ...) [GF_TF_##id] = GF_PCT_##p,
#include "gpufas/fields.def"
	};

	if (s->len)
		return value(w, s, i, pct[f]);
	if (f == GF_TF_RSS || f == GF_TF_ANON || f == GF_TF_FILE || f == GF_TF_SHMEM || f == GF_TF_VSZ)
		return memory(w, p, f, i);
	return idle(p, f);
}

static uint64_t age_at(const struct proc *p, uint64_t now)
{
	return p->t->age_ns + (now - p->starts_ns);
}

/* Number of the process' sample: its series begin when it does. */
static uint64_t index_of(const struct world *w, const struct proc *p, uint64_t now)
{
	return (now - p->starts_ns) / w->c->interval_ns;
}

static double column(const struct world *w, const struct proc *p, uint32_t f, uint64_t now)
{
	uint64_t i = index_of(w, p, now);

	switch (f) {
	case GF_TF_PID:
	case GF_TF_TGID:
		return p->pid;
	case GF_TF_PPID:
		return p->t->ppid;
	case GF_TF_AGE:
		return (double)age_at(p, now);
	case GF_TF_CPUTIME:
	case GF_TF_UTIME:
		if (p->t->cpu.len && !p->t->col[f].len)
			return p->cputime;
		break;
	default:
		break;
	}
	return task_value(w, p, f, i);
}

static uint8_t flags_of(const struct proc *p, double state, double oom)
{
	uint8_t f = GF_ROW_VALID;

	if (p->pid == 1 || p->t->init)
		f |= GF_ROW_INIT;
	if (p->t->kthread)
		f |= GF_ROW_KTHREAD;
	if (state == 'Z' || state == 'X')
		f |= GF_ROW_EXITING;
	if (oom == -1000)
		f |= GF_ROW_OOM_IMMUNE;
	return f;
}

/* The CPU time that it has used since the sample before. */
static void spend(struct world *w, struct proc *p, uint64_t now)
{
	uint64_t step = w->c->interval_ns;
	double v;

	if (!p->t->cpu.len || !w->tick || now < p->starts_ns + step)
		return;
	v = value(w, &p->t->cpu, index_of(w, p, now), GF_PCT_SELF);
	if (v == v)
		p->cputime += v / 100 * (double)step;
}

static void strings(struct world *w, const struct proc *p, uint32_t row)
{
	for (uint32_t f = 0; f < GF_SF_COUNT; f++) {
		struct gf_strref *ref = w->src.sample.str[f] ? &w->src.sample.str[f][row] : NULL;
		const char *s = p->t->str[f] ? p->t->str[f] : f == GF_SF_CGROUP ? "/" : p->t->kthread ? "" : p->t->label;
		if (f == GF_SF_COMM) {
			gf_table_comm(&w->table, row, s, strlen(s));
		} else if (ref && !ref->ver) {
			ref->p = s;
			ref->len = (uint32_t)strlen(s);
			ref->ver = gf_table_ver(&w->table);
		}
	}
}

static int put(struct world *w, struct proc *p, uint64_t now, struct gf_err *err)
{
	struct gf_sample *s = &w->src.sample;
	uint64_t start = gf_ptest_world_start(w->c) + p->starts_ns - p->t->age_ns, i = index_of(w, p, now);
	bool fresh;
	double uid;
	uint32_t row = gf_table_row(&w->table, p->pid, start, p->t->ppid, &fresh);

	if (row == GF_NONE)
		return gf_err_set(err, ENOSPC, "more processes than the table has rows");
	spend(w, p, now);
	w->of_row[row] = (uint32_t)(p - w->proc);
	for (uint32_t f = 0; f < GF_TF_COUNT; f++)
		if (s->col[f])
			s->col[f][row] = column(w, p, f, now);
	for (size_t k = 0; k < w->paths; k++)
		for (size_t n = 0; n < p->t->paths; n++)
			if (s->col[GF_TF_COUNT + k] && !strcmp(p->t->path[n].text, w->path[k]))
				s->col[GF_TF_COUNT + k][row] = value(w, &p->t->path[n].series, i, GF_PCT_NO);
	uid = task_value(w, p, GF_TF_UID, i);
	s->uid[row] = uid == uid ? (uint32_t)uid : GF_NONE;
	s->flags[row] = flags_of(p, column(w, p, GF_TF_STATE, now), task_value(w, p, GF_TF_OOM_SCORE_ADJ, i));
	strings(w, p, row);
	return 0;
}

/* ---- the host ----------------------------------------------------------------------- */

static double host_value(const struct world *w, uint32_t f)
{
	const struct gf_series *s = &w->c->host[f];
	static const enum gf_pct pct[GF_HF_COUNT] = {
#define GF_HOST(id, name, dim, p, ...) [GF_HF_##id] = GF_PCT_##p,
#include "gpufas/fields.def"
	};

	return s->len ? value(w, s, w->tick, pct[f]) : gf_unknown();
}

static void derived_fields(struct world *w)
{
	double *host = w->src.sample.host, step = (double)w->c->interval_ns;

	for (uint32_t d = 0; d < GF_DF_COUNT; d++) {
		const struct gf_field_info *f = w->drv_info[d];
		double v = w->c->drv[d].len ? value(w, &w->c->drv[d], w->tick, GF_PCT_SELF) : gf_unknown();
		if (!w->c->drv[d].len)
			continue;
		/* per second, as the compiler has it: rate(base) * scale, over the CPUs */
		if (w->tick && v == v)
			w->drv[d] += v / f->scale * (f->percpu ? host[GF_HF_CPU_COUNT] : 1) * step / 1e9;
		host[f->id] = v == v ? w->drv[d] : v;
	}
}

static void fill(double *v, double by)
{
	if (*v != *v)
		*v = by;
}

/* What follows from the others, and what is counted. */
static void host_rest(struct world *w)
{
	struct gf_sample *s = &w->src.sample;
	double *h = s->host, threads = 0, running = 0, blocked = 0;

	for (uint32_t r = 0; r < s->rows; r++) {
		const struct proc *p = s->flags[r] ? &w->proc[w->of_row[r]] : NULL;
		double state;
		if (!p)
			continue;
		state = column(w, p, GF_TF_STATE, s->now_ns - gf_ptest_world_start(w->c));
		threads += task_value(w, p, GF_TF_THREADS, index_of(w, p, s->now_ns - gf_ptest_world_start(w->c)));
		running += state == 'R';
		blocked += state == 'D';
	}
	if (!w->c->host[GF_HF_TASKS_COUNT].len)
		h[GF_HF_TASKS_COUNT] = s->live;
	if (!w->c->host[GF_HF_TASKS_THREADS].len)
		h[GF_HF_TASKS_THREADS] = threads;
	if (!w->c->host[GF_HF_TASKS_RUNNING].len)
		h[GF_HF_TASKS_RUNNING] = running;
	if (!w->c->host[GF_HF_TASKS_BLOCKED].len)
		h[GF_HF_TASKS_BLOCKED] = blocked;
	h[GF_HF_UPTIME] = (double)s->now_ns;
}

static void host(struct world *w)
{
	struct gf_sample *s = &w->src.sample;

	for (uint32_t f = 0; f < GF_HF_COUNT; f++)
		s->host[f] = gf_unknown();
	s->host[GF_HF_MEM_TOTAL] = host_value(w, GF_HF_MEM_TOTAL); /* shares are of these */
	s->host[GF_HF_SWAP_TOTAL] = host_value(w, GF_HF_SWAP_TOTAL);
	for (uint32_t f = 0; f < GF_HF_COUNT; f++)
		s->host[f] = host_value(w, f);
	fill(&s->host[GF_HF_CPU_COUNT], 1);
	fill(&s->host[GF_HF_SWAP_USED], s->host[GF_HF_SWAP_TOTAL] - s->host[GF_HF_SWAP_FREE]);
	fill(&s->host[GF_HF_SWAP_FREE], s->host[GF_HF_SWAP_TOTAL] - s->host[GF_HF_SWAP_USED]);
	derived_fields(w);
}

/* ---- the source --------------------------------------------------------------------- */

static int world_next(struct gf_feed *src, struct gf_err *err)
{
	struct world *w = (struct world *)src;
	uint64_t now = w->tick * w->c->interval_ns;
	int r = 0;

	if (w->tick >= w->ticks)
		return -ENODATA;
	src->sample.now_ns = gf_ptest_world_start(w->c) + now;
	src->sample.seq = w->tick + 1;
	host(w);
	gf_table_begin(&w->table);
	for (size_t i = 0; i < w->procs && !r; i++)
		if (now >= w->proc[i].starts_ns && now < w->proc[i].ends_ns)
			r = put(w, &w->proc[i], now, err);
	if (r)
		return r;
	gf_table_commit(&w->table);
	host_rest(w);
	w->tick++;
	return 0;
}

static void reset(struct world *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->c->tasks; i++) {
		const struct gf_ptest_task *t = &w->c->task[i];
		for (uint32_t k = 0; k < t->count; k++) {
			uint64_t at = t->starts_ns + k * t->every_ns;
			w->proc[n++] = (struct proc){ .t = t, .pid = t->pid + (int32_t)k, .starts_ns = at, .ends_ns = t->ends_ns };
		}
	}
	w->tick = 0;
	memset(w->drv, 0, sizeof w->drv);
}

static int world_rewind(struct gf_feed *src, uint64_t from_ns, struct gf_err *err)
{
	struct world *w = (struct world *)src;

	if (from_ns > src->info.first_ns)
		return gf_err_set(err, EINVAL, "a test begins at its beginning");
	gf_table_begin(&w->table);
	gf_table_commit(&w->table);
	reset(w);
	return 0;
}

static int world_set_fields(struct gf_feed *src, const struct gf_fieldset *f, struct gf_err *err)
{
	((struct world *)src)->want = *f;
	return gf_sample_set_fields(&src->sample, f, err);
}

static int world_set_paths(struct gf_feed *src, const char *const *path, size_t n, struct gf_err *err)
{
	struct world *w = (struct world *)src;

	if (n > GF_MAX_PATHS)
		return gf_err_set(err, EINVAL, "too many kernel paths");
	memcpy(w->path, path, n * sizeof *path);
	w->paths = n;
	return 0;
}

static void world_destroy(struct gf_feed *src)
{
	struct world *w = (struct world *)src;

	gf_table_deinit(&w->table);
	gf_sample_deinit(&src->sample);
	free(w->proc);
	free(w->of_row);
	free(w);
}

static void info(struct world *w)
{
	struct gf_feed_info *in = &w->src.info;
	size_t all, d = 0;
	const struct gf_field_info *f = gf_fields(&all);

	snprintf(in->name, sizeof in->name, "test");
	snprintf(in->origin, sizeof in->origin, "%.250s", w->c->name);
	in->target_kind = w->c->target;
	in->first_ns = gf_ptest_world_start(w->c);
	in->samples = w->ticks = gf_ptest_ticks(w->c);
	in->last_ns = in->first_ns + (w->ticks - 1) * w->c->interval_ns;
	in->interval_ns = w->c->interval_ns;
	in->has.host = GF_BIT(GF_HF_COUNT) - 1;
	in->has.task = GF_BIT(GF_TF_COUNT) - 1;
	in->has.str = (uint32_t)GF_BIT(GF_SF_COUNT) - 1;
	for (size_t i = 0; i < all; i++)
		if (f[i].derived && d < GF_DF_COUNT)
			w->drv_info[d++] = &f[i];
}

int gf_ptest_world_create(const struct gf_ptest_case *c, struct gf_feed **ret, struct gf_err *err)
{
	static const struct gf_feed_ops ops = {
		.next = world_next, .rewind = world_rewind, .set_fields = world_set_fields, .set_paths = world_set_paths,
		.destroy = world_destroy,
	};
	struct world *w = calloc(1, sizeof *w);
	int r;

	if (!w)
		return gf_err_set(err, ENOMEM, "out of memory for a test");
	w->src.ops = &ops;
	w->c = c;
	for (size_t i = 0; i < c->tasks; i++)
		w->procs += c->task[i].count;
	info(w);
	r = gf_sample_init(&w->src.sample, (uint32_t)w->procs + 1, err);
	if (!r)
		r = gf_table_init(&w->table, &w->src.sample, err);
	w->proc = calloc(w->procs + 1, sizeof *w->proc);
	w->of_row = calloc(w->src.sample.cap + 1, sizeof *w->of_row);
	if (!r && (!w->proc || !w->of_row))
		r = gf_err_set(err, ENOMEM, "out of memory for a test");
	if (r) {
		world_destroy(&w->src);
		return r;
	}
	reset(w);
	*ret = &w->src;
	return 0;
}

/* ---- what is done to processes --------------------------------------------------------- */

void gf_ptest_world_act(void *arg, const struct gf_verdict *v)
{
	struct gf_ptest_hand *hand = arg;
	struct world *w = (struct world *)hand->world;
	const struct proc *p = v->row < w->src.sample.rows && w->src.sample.flags[v->row] ? &w->proc[w->of_row[v->row]] : NULL;

	if (v->action == GF_ACT_RESET || v->action == GF_ACT_PANIC || v->action == GF_ACT_RESTART)
		return; /* the test goes on */
	if (!p || p->pid != v->pid)
		return;
	if (v->action == GF_ACT_SIGNAL && v->arg != SIGKILL && v->arg != SIGSTOP && v->arg > 0 && v->arg < 64 && p->t->ignores >> v->arg & 1)
		return;
	gf_model_act_in(hand->model, v, p->t->dies_ns);
}
