// SPDX-License-Identifier: MIT
#include "sim/many.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gpu/engine_cpu.h"

#define GPU_PAYS 64u /* runs from which on a GPU is asked for, and row ticks: below that CPUs are done before it has started */
#define GPU_PAYS_ROWS 20000000.0

const struct gf_sweep_dev_ops *gf_sweep_backend;

struct many {
	const struct gf_reel *reel; /* NULL: each reads the recording itself, one after the other */
	struct gf_feed *feed;
	const struct gf_image_header *const *img;
	size_t n;
	const struct gf_many_opts *opts;
	struct gf_outcome *out;
	uint8_t *todo;
	size_t next, done;         /* atomic; under lock */
	pthread_mutex_t lock;
	int rc;
	struct gf_err err;
};

static double seconds(void)
{
	return (double)gf_engine_clock(CLOCK_MONOTONIC) / 1e9;
}

static int one(struct many *m, struct gf_feed *feed, size_t k, struct gf_err *err)
{
	struct gf_outcome_opts o = m->opts->outcome;

	o.table = true;
	o.table_events = m->opts->events;
	o.watch = NULL;
	o.begin = NULL;
	gf_outcome_deinit(&m->out[k]);
	return gf_outcome_run(feed, m->img[k], &o, &m->out[k], err);
}

static void finished(struct many *m, int rc, const struct gf_err *err)
{
	pthread_mutex_lock(&m->lock);
	m->done++;
	if (rc && !m->rc) {
		m->rc = rc;
		m->err = *err;
	}
	if (m->opts->progress)
		m->opts->progress(m->opts->progress_arg, (double)m->done);
	pthread_mutex_unlock(&m->lock);
}

static void *worker(void *arg)
{
	struct many *m = arg;
	struct gf_err err = { "" };
	struct gf_feed *feed = m->feed;
	int rc = m->reel ? gf_reel_feed(m->reel, &feed, &err) : 0;

	if (rc) {
		finished(m, rc, &err);
		return NULL;
	}
	while (!__atomic_load_n(&m->rc, __ATOMIC_RELAXED)) {
		size_t k = __atomic_fetch_add(&m->next, 1, __ATOMIC_RELAXED);
		if (k >= m->n)
			break;
		if (!m->todo[k])
			continue;
		rc = one(m, feed, k, &err);
		finished(m, rc, &err);
	}
	if (m->reel)
		gf_feed_destroy(feed);
	return NULL;
}

static uint32_t cpus(const struct gf_many_opts *o)
{
	cpu_set_t set;

	if (o->threads)
		return GF_MIN(o->threads, 256u);
	return sched_getaffinity(0, sizeof set, &set) ? 1 : (uint32_t)GF_MAX(GF_MIN(CPU_COUNT(&set), 256), 1);
}

static int on_cpus(struct many *m, uint32_t threads, struct gf_err *err)
{
	pthread_t t[256];
	uint32_t n = 0;

	threads = m->reel ? (uint32_t)GF_MIN(threads, m->n) : 1;
	while (n + 1 < threads && !pthread_create(&t[n], NULL, worker, m))
		n++;
	worker(m);
	while (n)
		pthread_join(t[--n], NULL);
	if (m->rc && err)
		*err = m->err;
	return m->rc;
}

/* The same kernel paths in all of them: columns of paths are by their number. */
static bool same_paths(const struct gf_image_header *a, const struct gf_image_header *b)
{
	const struct gf_path *p = GF_SEC(struct gf_path, a, GF_SEC_PATH), *q = GF_SEC(struct gf_path, b, GF_SEC_PATH);

	if (a->fields.paths != b->fields.paths)
		return false;
	for (uint32_t i = 0; i < a->fields.paths; i++)
		if (strcmp(gf_image_str(a, p[i].text), gf_image_str(b, q[i].text)))
			return false;
	return true;
}

static void add_fields(struct gf_fieldset *to, const struct gf_fieldset *f)
{
	to->host |= f->host;
	to->task |= f->task;
	to->str |= f->str;
}

/* The recording in memory; *ret NULL: it is too large. */
static int unroll(struct many *m, struct gf_reel **ret, struct gf_many_did *did, struct gf_err *err)
{
	const struct gf_many_opts *o = m->opts;
	const char *path[GF_MAX_PATHS];
	struct gf_reel_opts ro = { .from_ns = o->outcome.run.from_ns, .to_ns = o->outcome.run.to_ns, .most = o->memory, .path = path, .frame_size = o->frame };
	int rc;

	*ret = NULL;
	if (!ro.most)
		ro.most = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 2;
	ro.fields = o->outcome.also;
	if (o->outcome.pressure)
		add_fields(&ro.fields, &o->outcome.pressure->fields);
	for (size_t k = 0; k < m->n; k++) {
		add_fields(&ro.fields, &m->img[k]->fields);
		if (same_paths(m->img[0], m->img[k]))
			continue;
		snprintf(did->why, sizeof did->why, "policies read different kernel paths");
		return 0;
	}
	ro.fields.paths = m->img[0]->fields.paths;
	for (uint32_t i = 0; i < ro.fields.paths; i++)
		path[i] = gf_image_str(m->img[0], GF_SEC(struct gf_path, m->img[0], GF_SEC_PATH)[i].text);
	rc = gf_reel_make(m->feed, &ro, ret, err);
	if (rc != -EFBIG)
		return rc;
	snprintf(did->why, sizeof did->why, "the recording takes more than %llu MiB of memory: one CPU reads it again for each run",
		 (unsigned long long)(ro.most >> 20));
	return 0;
}

static bool pays(const struct many *m)
{
	return m->n >= GPU_PAYS && (double)m->n * (double)m->reel->ticks * m->reel->cap >= GPU_PAYS_ROWS;
}

static int by_device(struct many *m, const struct gf_sweep_dev_ops *ops, struct gf_many_did *did, struct gf_err *err)
{
	struct gf_err why = { "" };
	int rc = !ops ? gf_err_set(&why, ENOTSUP, "this program has no code for GPUs") :
		 gf_many_device(ops, m->reel, m->img, m->n, m->opts, m->out, m->todo, did, &why);

	if (!rc)
		return 0;
	/* What cannot be had is an error where it was asked for; what was lost on the way is done by others. */
	if (m->opts->kind != GF_MANY_AUTO && (rc == -ENODEV || rc == -ENOTSUP))
		return gf_err_set(err, -rc, "%s", why.text);
	if (rc != -ENODEV && rc != -ENOTSUP)
		snprintf(did->why, sizeof did->why, "%.200s: CPUs do the rest", why.text);
	return 0;
}

static size_t left(struct many *m)
{
	size_t n = 0;

	for (size_t k = 0; k < m->n; k++)
		n += m->todo[k] != 0;
	m->done = m->n - n;
	return n;
}

static int run(struct many *m, struct gf_many_did *did, struct gf_err *err)
{
	enum gf_many_kind kind = m->opts->kind;
	uint32_t threads = cpus(m->opts);
	int rc = 0;
	size_t n;

	if (m->reel && (kind == GF_MANY_GPU || kind == GF_MANY_EMU || (kind == GF_MANY_AUTO && pays(m))))
		rc = by_device(m, kind == GF_MANY_EMU ? &gf_sweep_emu : gf_sweep_backend, did, err);
	n = left(m);
	if (rc || !n)
		return rc;
	did->again = did->gpu ? (uint32_t)n : 0;
	if (!did->gpu)
		snprintf(did->engine, sizeof did->engine, "%u CPU%s", m->reel ? threads : 1, m->reel && threads > 1 ? "s" : "");
	return on_cpus(m, threads, err);
}

int gf_many_run(struct gf_feed *feed, const struct gf_image_header *const *img, size_t n, const struct gf_many_opts *opts,
		struct gf_outcome *ret, struct gf_many_did *did, struct gf_err *err)
{
	struct many m = { .feed = feed, .img = img, .n = n, .opts = opts, .out = ret, .lock = PTHREAD_MUTEX_INITIALIZER };
	struct gf_reel *reel = NULL;
	double begun = seconds();
	int rc;

	memset(did, 0, sizeof *did);
	memset(ret, 0, n * sizeof *ret);
	if (!n)
		return 0;
	m.todo = malloc(n);
	if (!m.todo)
		return gf_err_set(err, ENOMEM, "out of memory");
	memset(m.todo, 1, n);
	rc = unroll(&m, &reel, did, err);
	m.reel = reel;
	did->read_s = seconds() - begun;
	begun = seconds();
	if (!rc)
		rc = run(&m, did, err);
	did->run_s = seconds() - begun;
	for (size_t k = 0; k < n; k++)
		did->ticks += ret[k].ticks;
	gf_reel_free(reel);
	free(m.todo);
	return rc;
}
