/* SPDX-License-Identifier: MIT */
#include "daemon/recorder.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/daemon.h"
#include "daemon/eventjson.h"
#include "daemon/outbox.h"
#include "daemon/taskjson.h"
#include "targets/vm.h"

#define SLACK 1024u              /* rows beyond those that the engine has */
#define RETRY_NS 10000000000ull  /* after an error of the disk; or ten intervals */
#define STOP_NS 2000000000ull
#define HOLE 5u                  /* ticks */

/* One target. */
struct rec {
	struct gf_watch *watch;
	bool ticks;               /* what the watch's tape has, instead of samples of our own */
	struct gf_target *target; /* the sampler; NULL: to be made */
	struct gf_tape *tape;     /* that is read: the watch's, or the one before */
	struct gf_tape_of of;     /* what the file has of ticks: of whom, and which fields */
	struct gf_policy **coming;/* that samples on the tape may be of, in their order; under the lock */
	size_t comings;
	uint64_t lost;            /* taken from the tape, and not written */
	uint64_t seq, last_ns;    /* of the last tick that was written; 0: there was none, or another's */
	uint64_t fp;              /* of the image whose kernel paths these are: */
	struct gf_pathset paths;
	bool renew;                /* these are new, and have not been set everywhere yet */
	struct gft_ring *ring;
	uint64_t retry_ns;        /* CLOCK_MONOTONIC; 0: nothing is wrong with the disk */
	bool said;                /* of the failure that goes on */
	struct gf_recorder_stats now;   /* the thread's */
	struct gf_recorder_stats shown; /* under the lock */
};

struct gf_recorder {
	struct gf_daemon *daemon;
	uint64_t interval_ns;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool started, stop, ended; /* under the lock */
	struct rec *rec;
	size_t recs;
};

/* ---- the thread ------------------------------------------------------------------ */

/* Kernel paths of samples from now on: what the policy reads, and what is to be recorded whatever it reads. *ret_new: others than before. */
static int find_paths(struct rec *c, struct gf_policy *p, bool *ret_new, struct gf_err *err)
{
	const struct gf_pathset *also = &c->watch->daemon->config->recorder_paths;
	struct gf_pathset want = { 0 };
	int rc = p ? gf_pathset_add_image(&want, p->img) : 0;

	if (!rc && !c->ticks)
		rc = gf_pathset_add_all(&want, gf_pathset_v(also), also->n);
	if (rc == -ENOMEM) {
		gf_pathset_deinit(&want);
		return gf_err_set(err, ENOMEM, "out of memory");
	}
	*ret_new = c->renew |= !gf_pathset_same(&want, &c->paths);
	gf_pathset_deinit(&c->paths);
	c->paths = want;
	return 0;
}

/* What is sampled for the recorder. Where a device samples by itself it is what the policy reads. */
static struct gf_fieldset fields(const struct rec *c)
{
	struct gf_fieldset f = c->of.some ? c->of.has : gf_fields_of(c->watch->config->kind);

	f.paths = c->paths.n;
	return f;
}

/* Another policy may read other kernel paths: these begin another file. */
static int follow_policy(struct rec *c, struct gf_err *err)
{
	struct gf_policy *p = gf_policies_newest(c->watch->policies);
	struct gf_fieldset f;
	bool is_new = false;
	int rc = 0;

	if (c->watch->config->kind != GF_TARGET_HOST && p && p->img->fp != c->fp) {
		rc = find_paths(c, p, &is_new, err);
		c->fp = rc ? 0 : p->img->fp;
	}
	gf_policy_put(p);
	f = fields(c);
	if (!rc && is_new)
		rc = gf_target_set_paths(c->target, gf_pathset_v(&c->paths), c->paths.n, err);
	if (!rc && is_new)
		rc = gf_target_set_fields(c->target, &f, err);
	if (!rc && is_new)
		rc = gft_ring_set(c->ring, &f, gf_pathset_v(&c->paths), c->target->road);
	if (rc)
		c->fp = 0; /* once more, then */
	else
		c->renew = false;
	return rc;
}

static int make(struct rec *c, struct gf_err *err)
{
	const struct gf_watch *w = c->watch;
	struct gf_fieldset f = fields(c);
	struct gf_engine_stats st;

	gf_engine_stats(w->engine, &st);
	uint32_t rows = st.live + st.dropped;
	struct gf_host_opts o = { .sampler = w->config->sampler, .max_tasks = GF_MIN(rows + rows / 4 + SLACK, w->config->max_tasks) };
	int rc = w->config->kind == GF_TARGET_HOST ? gf_host_create(&o, &c->target, err) :
		gf_vm_create_view(w->target, o.max_tasks, &c->target, err);
	if (!rc && f.paths)
		rc = gf_target_set_paths(c->target, gf_pathset_v(&c->paths), f.paths, err);
	if (!rc)
		rc = gf_target_set_fields(c->target, &f, err);
	if (!rc)
		rc = gft_ring_set(c->ring, &f, gf_pathset_v(&c->paths), c->target->road);
	if (rc) {
		gf_target_destroy(c->target);
		c->target = NULL;
	}
	return rc;
}

static void trouble(struct rec *c, int rc, const struct gf_err *err)
{
	c->now.failed++;
	snprintf(c->now.error, sizeof c->now.error, "%.250s", err->text[0] ? err->text : strerror(-rc));
}

/* Once when it begins, and once when it is over. */
static void disk_trouble(struct rec *c, int rc, const struct gf_err *err)
{
	struct gf_reporter *rep = c->watch->daemon->reporter;

	trouble(c, rc, err);
	if (!c->retry_ns)
		gf_reporter_say_of(rep, c->watch->index, LOG_WARNING, "nothing is recorded for now: %s", c->now.error);
	c->retry_ns = gf_daemon_clock(CLOCK_MONOTONIC) + GF_MIN(RETRY_NS, 10 * c->watch->daemon->config->recorder_interval_ns);
}

static void written(struct rec *c, int rc, const struct gf_err *err)
{
	if (rc) {
		disk_trouble(c, rc, err);
		return;
	}
	if (c->retry_ns)
		gf_reporter_say_of(c->watch->daemon->reporter, c->watch->index, LOG_NOTICE, "recording goes on");
	c->retry_ns = 0;
	c->now.error[0] = 0;
}

/* A file of the samples of ticks, as these are taken now. */
static int begin_ticks(struct rec *c)
{
	struct gf_fieldset f = fields(c);
	char how[128], road[128];

	snprintf(road, sizeof road, "ticks%s, %.100s", c->of.some ? " of the GPU" : "", gf_target_describe(c->watch->target, how, sizeof how));
	return gft_ring_set(c->ring, &f, gf_pathset_v(&c->paths), road);
}

/* The policy that a sample is of: those before it will not come any more. One that no one has any more, NULL. */
static struct gf_policy *policy_of(struct gf_recorder *r, struct rec *c, uint64_t fp)
{
	struct gf_policy *p = NULL;
	size_t i = 0;

	pthread_mutex_lock(&r->lock);
	while (i < c->comings && c->coming[i]->img->fp != fp)
		i++;
	if (i < c->comings) {
		p = gf_policy_get(c->coming[i]);
		for (size_t k = 0; k < i; k++)
			gf_policy_put(c->coming[k]);
		memmove(c->coming, c->coming + i, (c->comings - i) * sizeof(struct gf_policy *));
		c->comings -= i;
	}
	pthread_mutex_unlock(&r->lock);
	return p ? p : gf_policies_find(c->watch->policies, fp);
}

/* From here on another policy's samples, or with other fields. -ESRCH: nobody knows what the columns of kernel paths are called. */
static int turn_to(struct gf_recorder *r, struct rec *c, const struct gf_tape_of *of, struct gf_err *err)
{
	bool other = of->some != c->of.some || (of->some && memcmp(&of->has, &c->of.has, sizeof of->has)), is_new = false;
	struct gf_policy *p = of->fp == c->fp ? NULL : policy_of(r, c, of->fp);
	int rc = 0;

	if (of->fp != c->fp)
		rc = p ? find_paths(c, p, &is_new, err) : gf_err_set(err, ESRCH, "the policy that a tick was of is known no more");
	gf_policy_put(p);
	if (rc) {
		c->fp = 0;
		return rc;
	}
	c->of = *of;
	c->renew |= other;
	rc = c->renew ? begin_ticks(c) : 0;
	c->fp = rc ? 0 : of->fp;
	c->renew &= rc != 0;
	return rc;
}

/* Tapes in turn: one ends where something is on a later one. */
static const struct gf_sample *next_of_tape(struct rec *c, struct gf_tape_of *ret)
{
	const struct gf_sample *s;

	while (!(s = gf_tape_take(c->tape, ret))) {
		struct gf_tape *after = gf_tape_after(__atomic_load_n(&c->watch->tape, __ATOMIC_ACQUIRE), c->tape);
		if (!after)
			return NULL;
		s = gf_tape_take(c->tape, ret); /* what came before that was looked at */
		if (s)
			return s;
		c->tape = after;
	}
	return s;
}

/* Of more than a few ticks that are missing a word in the recording: nothing counts as having held all the time, as over a hole between
 * two recordings (sim/chain.h). */
static void hole(struct rec *c, const struct gf_sample *s)
{
	uint64_t n = c->seq && s->seq > c->seq ? s->seq - c->seq - 1 : 0;
	char why[128];

	snprintf(why, sizeof why, "%llu ticks are missing: they came faster than they could be written, or the disk was full", (unsigned long long)n);
	if (n > HOLE && s->now_ns > c->last_ns)
		gft_ring_failed(c->ring, c->last_ns + (s->now_ns - c->last_ns) / 2, c->seq + 1, why, NULL);
}

/* All that the engine has decided on since. While the disk is full, say, it stays where it is, until there is no room any more. */
static void tape(struct gf_recorder *r, struct rec *c)
{
	struct gf_err err = { "" };
	const struct gf_sample *s;
	struct gf_engine_stats st;
	struct gf_tape_of of;
	int rc = 0;

	while ((!rc || rc == -ESRCH) && (s = next_of_tape(c, &of))) {
		if (of.some != c->of.some)
			c->seq = 0; /* who samples now counts by itself */
		hole(c, s);
		rc = of.rc ? gft_ring_failed(c->ring, s->now_ns, s->seq, "sampling failed", &err) : turn_to(r, c, &of, &err);
		if (!rc && !of.rc)
			rc = gft_ring_append(c->ring, s, &err);
		c->lost += rc != 0;
		if (!rc) {
			c->seq = s->seq;
			c->last_ns = s->now_ns;
		}
		if (rc == -ESRCH)
			trouble(c, rc, &err);
		else if (rc || !of.rc)
			written(c, rc, &err);
	}
	gf_engine_stats(c->watch->engine, &st);
	c->now.lost = c->lost + st.unrecorded;
}

static void sample(struct rec *c)
{
	struct gf_err err = { "" };
	int rc = c->target ? 0 : make(c, &err);

	if (!rc)
		rc = follow_policy(c, &err);
	if (!rc)
		rc = gf_target_sample(c->target, &err);
	if (rc) {
		if (!c->said && c->target)
			gft_ring_failed(c->ring, c->target->sample.now_ns, c->target->sample.seq, err.text, NULL);
		c->said = true;
		trouble(c, rc, &err);
		return;
	}
	c->said = false;
	rc = gft_ring_append(c->ring, &c->target->sample, &err);
	written(c, rc, &err);
	if (rc)
		return;
	if (c->target->sample.dropped && c->target->sample.cap < c->watch->config->max_tasks) {
		gf_target_destroy(c->target); /* it has become too small */
		c->target = NULL;
	}
}

static void show(struct gf_recorder *r, struct rec *c, uint64_t cost)
{
	gft_ring_stats(c->ring, &c->now.ring);
	c->now.cost_ns = cost;
	pthread_mutex_lock(&r->lock);
	c->shown = c->now;
	pthread_mutex_unlock(&r->lock);
}

static void release(struct gf_recorder *r)
{
	for (size_t i = 0; i < r->recs; i++) {
		gft_ring_destroy(r->rec[i].ring);
		gf_target_destroy(r->rec[i].target);
		gf_pathset_deinit(&r->rec[i].paths);
		while (r->rec[i].comings)
			gf_policy_put(r->rec[i].coming[--r->rec[i].comings]);
		free(r->rec[i].coming);
	}
	pthread_mutex_destroy(&r->lock);
	pthread_cond_destroy(&r->cond);
	free(r->rec);
	free(r);
}

/* Whether to go on; ret_started: engines run. */
static bool wait_until(struct gf_recorder *r, uint64_t at, bool *ret_started)
{
	struct timespec t = { (time_t)(at / 1000000000u), (long)(at % 1000000000u) };

	pthread_mutex_lock(&r->lock);
	while (!r->stop && pthread_cond_timedwait(&r->cond, &r->lock, &t) != ETIMEDOUT)
		;
	bool go_on = !r->stop;
	*ret_started = r->started;
	pthread_mutex_unlock(&r->lock);
	return go_on;
}

static void *recorder_thread(void *arg)
{
	struct gf_recorder *r = arg;
	uint64_t next = gf_daemon_clock(CLOCK_MONOTONIC);
	bool started;

	while (wait_until(r, next, &started)) {
		for (size_t i = 0; i < r->recs; i++) {
			struct rec *c = &r->rec[i];
			if (c->ring && (!c->retry_ns || gf_daemon_clock(CLOCK_MONOTONIC) >= c->retry_ns)) {
				if (c->ticks)
					tape(r, c);
				else if (started)
					sample(c);
				show(r, c, gf_daemon_clock(CLOCK_THREAD_CPUTIME_ID));
			}
		}
		next += r->interval_ns;
		next = GF_MAX(next, gf_daemon_clock(CLOCK_MONOTONIC)); /* what was missed is not made up for */
	}
	for (size_t i = 0; i < r->recs; i++) {
		if (r->rec[i].ticks && !r->rec[i].retry_ns)
			tape(r, &r->rec[i]);
		gft_ring_destroy(r->rec[i].ring); /* with its index */
		r->rec[i].ring = NULL;
	}
	pthread_mutex_lock(&r->lock);
	r->ended = true;
	pthread_cond_broadcast(&r->cond);
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* ---- the daemon's side ---------------------------------------------------------------- */

static int make_ring(struct gf_recorder *r, struct rec *c, struct gf_err *err)
{
	const struct gf_config *cf = r->daemon->config;
	struct gft_ring_opts o = {
		.dir = cf->recorder_dir, .keep_ns = cf->recorder_keep_ns, .max_bytes = cf->recorder_size / r->recs,
		.writer = {
			.target = c->watch->name, .kind = c->watch->config->kind, .interval_ns = cf->recorder_ticks ? c->watch->period_ns : r->interval_ns, .wall_off_ns = INT64_MIN,
			.hostname = c->watch->config->kind == GF_TARGET_HOST ? NULL : "", .sync = true,
			/* of ticks the first may be before the kernel module has told of the host: what it does not know comes later */
			.drop_unknown = !cf->recorder_ticks,
			.budget_n = cf->budget_n, .budget_window_ns = cf->budget_window_ns,
		},
	};

	c->now.recorded = c->shown.recorded = true;
	return gft_ring_create(&o, &c->ring, err);
}

/* The watch's tape, with all fields, as our own samples have. */
static int make_tape(struct gf_recorder *r, struct rec *c, struct gf_err *err)
{
	struct gf_fieldset f;
	bool is_new;
	int rc;

	if (!r->daemon->config->recorder_ticks)
		return 0;
	c->ticks = true;
	rc = find_paths(c, c->watch->policy, &is_new, err);
	if (rc)
		return rc;
	f = fields(c);
	rc = gf_tape_create(c->watch->target->sample.cap ? c->watch->target->sample.cap : c->watch->config->max_tasks, &f, NULL, &c->tape, err);
	if (!rc)
		rc = begin_ticks(c);
	if (rc)
		return rc;
	c->fp = c->of.fp = c->watch->policy->img->fp;
	__atomic_store_n(&c->watch->tape, c->tape, __ATOMIC_RELEASE);
	c->watch->also_tape = f;
	r->interval_ns = GF_MIN(r->interval_ns, 2 * c->watch->period_ns);
	return gf_watch_also(c->watch, err);
}

int gf_recorder_create(struct gf_daemon *d, struct gf_recorder **ret, struct gf_err *err)
{
	struct gf_recorder *r;
	size_t n = 0;
	int rc = 0;

	*ret = NULL;
	for (size_t i = 0; i < d->watches; i++)
		n += d->watch[i].config->kind != GF_TARGET_IMAGE; /* nothing changes in an image */
	if (!*d->config->recorder_dir || !n)
		return 0;
	if (d->config->recorder_size / n < GFT_RING_LEAST)
		return gf_err_set(err, EINVAL, "recorder.size is too small for %zu targets: use %zuMiB or more", n, n * (GFT_RING_LEAST >> 20));
	r = calloc(1, sizeof *r);
	if (!r || !(r->rec = calloc(n, sizeof *r->rec))) {
		free(r);
		return gf_err_set(err, ENOMEM, "out of memory");
	}
	r->daemon = d;
	r->interval_ns = d->config->recorder_interval_ns;
	r->recs = n;
	n = 0;
	for (size_t i = 0; i < d->watches && !rc; i++)
		if (d->watch[i].config->kind != GF_TARGET_IMAGE) {
			r->rec[n].watch = &d->watch[i];
			rc = make_ring(r, &r->rec[n], err);
			if (!rc)
				rc = make_tape(r, &r->rec[n], err);
			n++;
		}
	pthread_mutex_init(&r->lock, NULL);
	gf_cond_init(&r->cond);
	if (!rc)
		rc = gf_thread_start(&r->thread, "gpufasd-record", recorder_thread, r, err);
	if (rc)
		release(r);
	else
		*ret = r;
	return rc;
}

void gf_recorder_start(struct gf_recorder *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->started = true;
	pthread_mutex_unlock(&r->lock);
}

void gf_recorder_destroy(struct gf_recorder *r)
{
	struct timespec t;

	if (!r)
		return;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += (time_t)(STOP_NS / 1000000000u);
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_cond_broadcast(&r->cond);
	while (!r->ended && pthread_cond_timedwait(&r->cond, &r->lock, &t) != ETIMEDOUT)
		;
	bool ended = r->ended;
	pthread_mutex_unlock(&r->lock);
	if (!ended)
		gf_log(LOG_WARNING, "the recorder's disk does not answer: its last samples are not waited for");
	pthread_join(r->thread, NULL);
	release(r);
}

/* It is kept until samples of a later one are there. */
static int remember(struct gf_recorder *r, struct rec *c, struct gf_policy *p)
{
	struct gf_policy **v;

	pthread_mutex_lock(&r->lock);
	v = realloc(c->coming, (c->comings + 1) * sizeof *v);
	if (v) {
		v[c->comings++] = gf_policy_get(p);
		c->coming = v;
	}
	pthread_mutex_unlock(&r->lock);
	return v ? 0 : -ENOMEM;
}

/* The ticking thread may have the old tape in its hands, and the recorder reads it to its end: it stays. */
int gf_recorder_expect(struct gf_recorder *r, size_t i, struct gf_policy *p)
{
	for (size_t k = 0; r && k < r->recs; k++) {
		struct gf_watch *w = r->rec[k].watch;
		struct gf_fieldset f = gf_fields_of(w->config->kind);
		struct gf_tape *t;

		if (w->index != i || !r->rec[k].ticks)
			continue;
		if (remember(r, &r->rec[k], p))
			return -ENOMEM;
		f.paths = p->img->fields.paths;
		if (f.paths <= gf_tape_paths(w->tape))
			continue;
		if (gf_tape_create(gf_tape_cap(w->tape), &f, w->tape, &t, NULL))
			return -ENOMEM;
		__atomic_store_n(&w->tape, t, __ATOMIC_RELEASE);
	}
	return 0;
}

void gf_recorder_stats(struct gf_recorder *r, size_t i, struct gf_recorder_stats *ret)
{
	*ret = (struct gf_recorder_stats){ 0 };
	for (size_t k = 0; r && k < r->recs; k++) {
		if (r->rec[k].watch->index != i)
			continue;
		pthread_mutex_lock(&r->lock);
		*ret = r->rec[k].shown;
		pthread_mutex_unlock(&r->lock);
	}
}

void gf_recorder_json(struct gf_daemon *d, struct gf_jbuf *b)
{
	const struct gf_config *c = d->config;
	struct gf_recorder_stats s;
	char t[64];

	gf_jbuf_key(b, "recorder");
	gf_jbuf_open(b, '{');
	gf_jbuf_kstr(b, "directory", d->recorder ? c->recorder_dir : "");
	gf_jbuf_knum(b, "interval_s", (double)c->recorder_interval_ns / 1e9);
	gf_jbuf_kuint(b, "size", c->recorder_size);
	gf_jbuf_knum(b, "keep_s", (double)c->recorder_keep_ns / 1e9);
	gf_jbuf_key(b, "targets");
	gf_jbuf_open(b, '[');
	for (size_t i = 0; i < d->watches; i++) {
		gf_recorder_stats(d->recorder, i, &s);
		if (!s.recorded)
			continue;
		gf_jbuf_open(b, '{');
		gf_jbuf_kstr(b, "name", d->watch[i].name);
		gf_jbuf_kuint(b, "bytes", s.ring.bytes);
		gf_jbuf_kuint(b, "files", s.ring.files);
		gf_jbuf_kuint(b, "samples", s.ring.samples);
		gf_jbuf_kuint(b, "failed", s.failed);
		gf_jbuf_kuint(b, "lost", s.lost);
		gf_jbuf_kstr(b, "oldest", s.ring.oldest_ns ? gf_time_text(s.ring.oldest_ns, t, sizeof t) : "");
		gf_jbuf_kstr(b, "error", s.error);
		gf_jbuf_close(b, '}');
	}
	gf_jbuf_close(b, ']');
	gf_jbuf_close(b, '}');
}
