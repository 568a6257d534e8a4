// SPDX-License-Identifier: MIT
#include "sim/many_int.h"

#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gpu/engine_cpu.h"

#define ASKS_S 1.0 /* AUTO: for less than that no GPU is opened, however long it takes to open one (open_s says it) */

const struct gf_sweep_dev_ops *gf_sweep_backend;

double gf_many_seconds(void)
{
	return (double)gf_engine_clock(CLOCK_MONOTONIC) / 1e9;
}

void gf_many_progress(struct gf_many *m, double more)
{
	pthread_mutex_lock(&m->lock);
	m->done += more;
	if (m->opts->progress)
		m->opts->progress(m->opts->progress_arg, m->done);
	pthread_mutex_unlock(&m->lock);
}

void gf_many_why(struct gf_many *m, const char *fmt, ...)
{
	char *to = m->did->why;
	size_t at = strlen(to), room = sizeof m->did->why;
	va_list ap;

	if (at && at + 2 < room)
		at += (size_t)snprintf(to + at, room - at, "; ");
	va_start(ap, fmt);
	vsnprintf(to + at, room - at, fmt, ap);
	va_end(ap);
}

struct gf_outcome_opts gf_many_outcome_opts(const struct gf_many *m)
{
	struct gf_outcome_opts o = m->opts->outcome;

	o.table = true;
	o.table_events = m->opts->events;
	o.watch = NULL;
	o.begin = NULL;
	return o;
}

/* Free pages alone are few on a machine that has run for a while: the page cache gives way. */
uint64_t gf_many_memory(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib ? kib * 512 : (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 2;
}

static uint32_t cpus(const struct gf_many_opts *o)
{
	cpu_set_t set;

	if (o->threads)
		return GF_MIN(o->threads, 256u);
	return sched_getaffinity(0, sizeof set, &set) ? 1 : (uint32_t)GF_MAX(GF_MIN(CPU_COUNT(&set), 256), 1);
}

/* Kernel paths of a policy that the recording has: those of all policies together are columns once, however many policies there are. Others are
 * unknown, and take no column. */
static int add_paths(struct gf_many *m, const struct gf_image_header *img)
{
	const struct gf_feed_info *has = &m->feed->info;
	int rc = 0;

	for (uint32_t i = 0; i < img->fields.paths && !rc; i++)
		for (uint32_t k = 0; k < has->has.paths && !rc; k++)
			if (!strcmp(has->path[k], gf_image_path(img, i)))
				rc = gf_pathset_add(&m->paths, has->path[k]);
	return rc;
}

static void add_fields(struct gf_fieldset *to, const struct gf_fieldset *f)
{
	to->host |= f->host;
	to->task |= f->task;
	to->str |= f->str;
}

/* The recording in memory, or as windows of it. */
static int unroll(struct gf_many *m, struct gf_err *err)
{
	const struct gf_many_opts *o = m->opts;
	struct gf_reel_opts ro = { .from_ns = o->outcome.run.from_ns, .to_ns = o->outcome.run.to_ns, .path = gf_pathset_v(&m->paths), .frame_size = o->frame,
				    .progress = o->reading, .progress_arg = o->progress_arg };

	ro.most = o->memory ? o->memory : gf_many_memory();
	ro.fields = o->outcome.also;
	if (o->outcome.pressure)
		add_fields(&ro.fields, &o->outcome.pressure->fields);
	for (size_t k = 0; k < m->n; k++) {
		add_fields(&ro.fields, &m->img[k]->fields);
		if (add_paths(m, m->img[k]))
			return gf_err_set(err, ENOMEM, "out of memory for the recording");
	}
	ro.fields.paths = m->paths.n;
	return gf_reel_make(m->feed, &ro, &m->reel, err);
}

static int by_devices(struct gf_many *m, const struct gf_sweep_dev_ops *ops, double most_s, struct gf_err *err)
{
	struct gf_err why = { "" };
	int rc = !ops ? gf_err_set(&why, ENOTSUP, "this program has no code for GPUs") : gf_many_gpus(m, ops, most_s, &why);

	if (!rc)
		return 0;
	/* What cannot be had is an error where it was asked for; what was lost on the way is done by others. */
	if (m->opts->kind != GF_MANY_AUTO && (rc == -ENODEV || rc == -ENOTSUP))
		return gf_err_set(err, -rc, "%s", why.text);
	if (rc != -ENODEV && rc != -ENOTSUP)
		gf_many_why(m, "%.200s: CPUs do the rest", why.text);
	return 0;
}

/* AUTO: whether the trial says that CPUs would take long enough for a GPU to be asked. */
static int asks(struct gf_many *m, uint32_t threads, bool *ret, struct gf_err *err)
{
	double most = m->opts->asks_s > 0 ? m->opts->asks_s : ASKS_S;
	int rc = 0;

	*ret = false;
	if (gf_sweep_backend)
		rc = gf_many_cpus_guess(m, threads, &m->did->cpu_guess_s, err);
	*ret = !rc && m->did->cpu_guess_s >= most;
	return rc;
}

static size_t left(const struct gf_many *m)
{
	size_t n = 0;

	for (size_t k = 0; k < m->n; k++)
		n += m->todo[k] != GF_RUN_DONE;
	return n;
}

static int run(struct gf_many *m, struct gf_err *err)
{
	enum gf_many_kind kind = m->opts->kind;
	struct gf_many_did *did = m->did;
	uint32_t threads = cpus(m->opts);
	bool gpu = kind == GF_MANY_GPU || kind == GF_MANY_EMU;
	size_t n;
	int rc = 0;

	if (kind == GF_MANY_AUTO)
		rc = asks(m, threads, &gpu, err);
	if (!rc && gpu)
		rc = by_devices(m, kind == GF_MANY_EMU ? &gf_sweep_emu : gf_sweep_backend, kind == GF_MANY_AUTO ? did->cpu_guess_s : 0, err);
	n = left(m);
	if (rc || !n)
		return rc;
	did->again = did->gpu ? (uint32_t)n : 0;
	for (size_t k = 0; k < m->n; k++)
		did->inexact += m->todo[k] == GF_RUN_INEXACT;
	if (!did->devices)
		snprintf(did->engine, sizeof did->engine, "%u CPU%s", threads, threads > 1 ? "s" : "");
	return gf_many_cpus(m, threads, err);
}

int gf_many_run(struct gf_feed *feed, const struct gf_image_header *const *img, size_t n, const struct gf_many_opts *opts,
		struct gf_outcome *ret, struct gf_many_did *did, struct gf_err *err)
{
	struct gf_many m = { .feed = feed, .img = img, .n = n, .opts = opts, .out = ret, .did = did, .lock = PTHREAD_MUTEX_INITIALIZER };
	double begun = gf_many_seconds();
	int rc;

	memset(did, 0, sizeof *did);
	memset(ret, 0, n * sizeof *ret);
	if (!n)
		return 0;
	m.todo = malloc(n);
	if (!m.todo)
		return gf_err_set(err, ENOMEM, "out of memory");
	memset(m.todo, GF_RUN_TODO, n);
	rc = unroll(&m, err);
	did->windows = m.reel && m.reel->windows;
	did->read_s = gf_many_seconds() - begun;
	begun = gf_many_seconds();
	if (!rc)
		rc = run(&m, err);
	did->run_s = gf_many_seconds() - begun;
	for (size_t k = 0; k < n; k++)
		did->ticks += ret[k].ticks;
	gf_reel_free(m.reel);
	gf_pathset_deinit(&m.paths);
	free(m.todo);
	return rc;
}
