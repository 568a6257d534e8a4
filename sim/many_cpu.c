// SPDX-License-Identifier: MIT
/*
 * A sweep by CPUs. Where the recording is in memory each thread takes one run after the other. Where it goes by in windows a group of runs is
 * open at a time, as many as there is memory for, and all of them go through a window before the next one comes.
 */
#include "sim/many_int.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 256u
#define GROUP 4096u /* runs that are open at a time, at most */

struct job {
	struct gf_many *m;
	size_t next; /* atomic */
};

static void failed(struct gf_many *m, int rc, const struct gf_err *err)
{
	pthread_mutex_lock(&m->lock);
	if (!m->rc)
		m->err = *err;
	__atomic_store_n(&m->rc, m->rc ? m->rc : rc, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&m->lock);
}

static bool is_failed(const struct gf_many *m)
{
	return __atomic_load_n(&m->rc, __ATOMIC_RELAXED) != 0;
}

/* ---- all of it in memory ------------------------------------------------------------- */

static void *worker(void *arg)
{
	struct job *j = arg;
	struct gf_many *m = j->m;
	struct gf_outcome_opts o = gf_many_outcome_opts(m);
	struct gf_err err = { "" };
	struct gf_feed *feed = NULL;
	int rc = gf_reel_feed(m->reel, &feed, &err);

	if (rc) {
		failed(m, rc, &err);
		return NULL;
	}
	while (!is_failed(m)) {
		size_t k = __atomic_fetch_add(&j->next, 1, __ATOMIC_RELAXED);
		if (k >= m->n)
			break;
		if (m->todo[k] == GF_RUN_DONE)
			continue;
		gf_outcome_deinit(&m->out[k]);
		rc = gf_outcome_run(feed, m->img[k], &o, &m->out[k], &err);
		if (rc)
			failed(m, rc, &err);
		else
			m->todo[k] = GF_RUN_DONE;
		gf_many_progress(m, 1);
	}
	gf_feed_destroy(feed);
	return NULL;
}

static void in_memory(struct gf_many *m, uint32_t threads)
{
	struct job j = { .m = m };
	pthread_t t[THREADS];
	uint32_t n = 0;

	threads = (uint32_t)GF_MIN(threads, m->n);
	while (n + 1 < threads && !pthread_create(&t[n], NULL, worker, &j))
		n++;
	worker(&j);
	while (n)
		pthread_join(t[--n], NULL);
}

/* ---- windows -------------------------------------------------------------------------- */

struct open_run {
	size_t k;
	struct gf_feed *feed;
	struct gf_outcome_work *work; /* NULL: it is done */
};

/* Threads wait for a window, take runs through it, and wait for the next. */
struct crew {
	struct gf_many *m;
	struct gf_outcome_opts o;
	struct open_run *run;
	size_t runs, next;  /* next: atomic */
	double share;       /* of a run's progress, a window */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	size_t window;      /* counts */
	uint32_t busy;
	bool stop;
};

static void through_window(struct crew *c)
{
	for (;;) {
		size_t i = __atomic_fetch_add(&c->next, 1, __ATOMIC_RELAXED);
		struct gf_err err = { "" };
		struct open_run *r;
		int rc;

		if (i >= c->runs || is_failed(c->m))
			return;
		r = &c->run[i];
		rc = r->work ? gf_outcome_go(r->work, &err) : -EINPROGRESS;
		gf_many_progress(c->m, c->share);
		if (rc == -EINPROGRESS)
			continue;
		gf_outcome_close(r->work);
		r->work = NULL;
		if (rc)
			failed(c->m, rc, &err);
		else
			c->m->todo[r->k] = GF_RUN_DONE;
	}
}

static void *crew_main(void *arg)
{
	struct crew *c = arg;
	size_t seen = 0;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		while (c->window == seen && !c->stop)
			pthread_cond_wait(&c->cond, &c->lock);
		if (c->stop)
			break;
		seen = c->window;
		pthread_mutex_unlock(&c->lock);
		through_window(c);
		pthread_mutex_lock(&c->lock);
		if (!--c->busy)
			pthread_cond_broadcast(&c->cond);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* All frames in turn: the next one is read while the crew is in this one. */
static void pass(struct crew *c, uint32_t threads)
{
	struct gf_reel *reel = c->m->reel;
	struct gf_err err = { "" };
	int rc = gf_reel_begin(reel, &err);

	if (!rc)
		rc = gf_reel_read(reel, 0, &err);
	for (size_t i = 0; i < reel->frames && !rc && !is_failed(c->m); i++) {
		__atomic_store_n(&reel->ready, i + 1, __ATOMIC_RELEASE);
		pthread_mutex_lock(&c->lock);
		c->next = 0;
		c->busy = threads;
		c->window++;
		pthread_cond_broadcast(&c->cond);
		pthread_mutex_unlock(&c->lock);
		if (i + 1 < reel->frames)
			rc = gf_reel_read(reel, i + 1, &err);
		if (!threads)
			through_window(c);
		pthread_mutex_lock(&c->lock);
		while (c->busy)
			pthread_cond_wait(&c->cond, &c->lock);
		pthread_mutex_unlock(&c->lock);
		gf_reel_drop(reel, i);
	}
	if (rc)
		failed(c->m, rc, &err);
}

static int open_one(struct crew *c, size_t k, struct open_run *r, struct gf_err *err)
{
	struct gf_many *m = c->m;
	int rc;

	memset(r, 0, sizeof *r);
	r->k = k;
	gf_outcome_deinit(&m->out[k]);
	rc = gf_reel_feed(m->reel, &r->feed, err);
	if (!rc)
		rc = gf_outcome_open(r->feed, m->img[k], &c->o, &m->out[k], &r->work, err);
	return rc;
}

static size_t in_use(void)
{
	struct mallinfo2 i = mallinfo2();

	return i.uordblks + i.hblkhd;
}

/* Runs from *at on, as many as there is room for; by what the first one takes. */
static int open_group(struct crew *c, size_t *at, uint32_t threads, struct gf_err *err)
{
	struct gf_many *m = c->m;
	size_t before = in_use(), most = GF_MAX(threads, 1u);
	uint64_t memory = m->opts->memory ? m->opts->memory : gf_many_memory();
	int rc = 0;

	for (c->runs = 0; *at < m->n && !rc && c->runs < most; ++*at) {
		if (m->todo[*at] == GF_RUN_DONE)
			continue;
		rc = open_one(c, *at, &c->run[c->runs++], err);
		if (c->runs == 1)
			most = GF_MIN(GF_MAX(most, memory / GF_MAX(in_use() - before, 1u)), GROUP);
	}
	return rc;
}

static void close_group(struct crew *c)
{
	for (size_t i = 0; i < c->runs; i++) {
		gf_outcome_close(c->run[i].work);
		gf_feed_destroy(c->run[i].feed);
	}
	c->runs = 0;
}

static void in_windows(struct gf_many *m, uint32_t threads)
{
	struct crew c = { .m = m, .o = gf_many_outcome_opts(m), .share = 1 / (double)GF_MAX(m->reel->frames, 1u), .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };
	struct gf_err err = { "" };
	pthread_t t[THREADS];
	uint32_t n = 0;
	size_t at = 0;
	int rc = 0;

	c.run = calloc(GROUP, sizeof *c.run);
	if (!c.run)
		rc = gf_err_set(&err, ENOMEM, "out of memory");
	while (!rc && n < threads && !pthread_create(&t[n], NULL, crew_main, &c))
		n++;
	while (!rc && at < m->n && !is_failed(m)) {
		rc = open_group(&c, &at, threads, &err);
		if (!rc && c.runs)
			pass(&c, n);
		close_group(&c);
	}
	if (rc)
		failed(m, rc, &err);
	pthread_mutex_lock(&c.lock);
	c.stop = true;
	pthread_cond_broadcast(&c.cond);
	pthread_mutex_unlock(&c.lock);
	while (n)
		pthread_join(t[--n], NULL);
	free(c.run);
}

int gf_many_cpus(struct gf_many *m, uint32_t threads, struct gf_err *err)
{
	threads = GF_MIN(threads, THREADS);
	if (m->reel->windows)
		in_windows(m, (uint32_t)GF_MIN(threads, m->n));
	else
		in_memory(m, threads);
	if (m->rc && err)
		*err = m->err;
	return m->rc;
}

/* ---- how long it would take ----------------------------------------------------------- */

/* The run in the middle, over the first frame. */
int gf_many_cpus_guess(struct gf_many *m, uint32_t threads, double *ret_s, struct gf_err *err)
{
	struct gf_outcome_opts o = gf_many_outcome_opts(m);
	struct gf_reel *reel = m->reel;
	struct gf_outcome_work *w = NULL;
	struct gf_feed *feed = NULL;
	struct gf_outcome out = { 0 };
	double begun, opened = 0, went = 0;
	int rc = reel->windows ? gf_reel_begin(reel, err) : 0;

	if (!rc && reel->windows) {
		rc = gf_reel_read(reel, 0, err);
		reel->ready = !rc;
	}
	if (!rc && reel->frame[0].ticks)
		o.run.to_ns = GF_MAX(reel->frame[0].tick[reel->frame[0].ticks - 1].now_ns, 1u);
	if (!rc)
		rc = gf_reel_feed(reel, &feed, err);
	begun = gf_many_seconds();
	if (!rc)
		rc = gf_outcome_open(feed, m->img[m->n / 2], &o, &out, &w, err);
	opened = gf_many_seconds();
	if (!rc)
		rc = gf_outcome_go(w, err);
	went = gf_many_seconds();
	rc = rc == -EINPROGRESS ? 0 : rc;
	gf_outcome_close(w);
	*ret_s = ((opened - begun) + (went - opened) * (double)reel->ticks / (double)GF_MAX(out.ticks, 1u)) * (double)m->n / (double)GF_MIN(threads, m->n);
	gf_outcome_deinit(&out);
	if (feed)
		gf_feed_destroy(feed);
	return rc;
}
