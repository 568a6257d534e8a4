// SPDX-License-Identifier: MIT
/*
 * A sweep by devices, all that there are. Each has a thread here and a share of the runs, by its lanes, and takes it in batches as large as it has
 * memory for. A frame is judged while the next one is on its way. In windows (sim/reel.h) one thread reads, and all devices go through
 * the same window; a round is one batch of each. Who fails is left; its runs are shared out among the others in the next round.
 */
#include "sim/many_int.h"

#include <stdlib.h>
#include <string.h>

#define DEVICES 64u

struct round;

struct device {
	struct gf_batch b;
	struct round *of;
	uint32_t number;
	pthread_t thread;
	bool threaded, alive, used, slow;
	size_t staged;       /* under the round's lock: frames that it needs no more on this side */
	double told, guess_s;
	uint32_t batches;
	int rc;
	struct gf_err err;
};

struct round {
	struct gf_many *m;
	const struct gf_sweep_dev_ops *ops;
	double most_s;
	struct device *dev;
	uint32_t n;
	/* windows */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	size_t ready;        /* frames that have been read */
	int rc;              /* of reading */
	struct gf_err err;
};

/* ---- one device, on its thread ------------------------------------------------------- */

static int get_frame(struct device *d, size_t i, struct gf_err *err)
{
	struct round *r = d->of;
	int rc;

	pthread_mutex_lock(&r->lock);
	while (r->ready <= i && !r->rc)
		pthread_cond_wait(&r->cond, &r->lock);
	rc = r->ready > i ? 0 : r->rc;
	if (rc)
		*err = r->err;
	pthread_mutex_unlock(&r->lock);
	return rc;
}

static void let_go(struct device *d, size_t staged)
{
	pthread_mutex_lock(&d->of->lock);
	d->staged = staged;
	pthread_cond_broadcast(&d->of->cond);
	pthread_mutex_unlock(&d->of->lock);
}

static int send_frame(struct device *d, size_t i, struct gf_err *err)
{
	int rc = get_frame(d, i, err);

	if (!rc)
		rc = gf_batch_send(&d->b, i, i % 2, err);
	let_go(d, i + 1);
	return rc;
}

/* After the first frame: whether all of its share is done in time. */
static bool in_time(struct device *d, double took)
{
	const struct gf_reel *reel = d->of->m->reel;
	uint32_t ticks = reel->plan[0].ticks - reel->plan[0].first;
	size_t batches = (d->b.n - d->b.done + d->b.runs - 1) / d->b.runs;

	if (!ticks || d->guess_s > 0)
		return true;
	d->guess_s = took * (double)reel->ticks / ticks * (double)batches;
	return !(d->of->most_s > 0) || d->guess_s < d->of->most_s || reel->frames == 1;
}

static int through_frames(struct device *d, struct gf_err *err)
{
	struct gf_batch *b = &d->b;
	size_t frames = d->of->m->reel->frames;
	int rc = send_frame(d, 0, err);

	for (size_t i = 0; i < frames && !rc; i++) {
		double begun = gf_many_seconds();
		rc = b->ops->sent(b->dev, err);
		if (!rc)
			rc = gf_batch_start(b, i, i % 2, err);
		if (!rc && i + 1 < frames)
			rc = send_frame(d, i + 1, err); /* while it runs */
		if (!rc)
			rc = b->ops->wait(b->dev, err);
		if (rc)
			break;
		d->told += (double)b->runs / (double)frames;
		gf_many_progress(d->of->m, (double)b->runs / (double)frames);
		if (!i && !in_time(d, gf_many_seconds() - begun)) {
			d->slow = true;
			break;
		}
	}
	return rc;
}

static int one_batch(struct device *d, size_t *most, struct gf_err *err)
{
	struct gf_batch *b = &d->b;
	int rc = gf_batch_make(b, GF_MIN(*most, b->n - b->done), err);

	d->told = 0;
	if (!rc)
		rc = through_frames(d, err);
	if (!rc && !d->slow)
		rc = gf_batch_results(b, err);
	if (rc || d->slow)
		gf_many_progress(d->of->m, -d->told); /* others will do it again */
	else
		d->used = true;
	gf_batch_drop(b);
	b->done += b->runs;
	d->batches++;
	*most = b->runs; /* the next one need not try in vain */
	return rc;
}

static void *device_main(void *arg)
{
	struct device *d = arg;
	struct gf_batch *b = &d->b;
	size_t most = b->n;
	bool once = d->of->m->reel->windows;

	d->rc = b->frame_size || !b->n ? 0 : gf_batch_frames(b, &d->err);
	while (!d->rc && !d->slow && b->done < b->n) {
		d->rc = one_batch(d, &most, &d->err);
		if (once)
			break;
	}
	let_go(d, SIZE_MAX);
	return NULL;
}

static void *device_open(void *arg)
{
	struct device *d = arg;

	d->b.ops = d->of->ops;
	d->b.m = d->of->m;
	d->rc = d->b.ops->open(d->number, &d->b.dev, &d->b.info, &d->err);
	d->alive = !d->rc;
	return NULL;
}

/* ---- all of them ---------------------------------------------------------------------- */

/* fn on a thread for each that is alive, or on this one where there can be none. `read`: what is done meanwhile. */
static void all(struct round *r, void *(*fn)(void *), void (*read)(struct round *r))
{
	for (uint32_t i = 0; i < r->n; i++)
		if (r->dev[i].alive)
			r->dev[i].threaded = !pthread_create(&r->dev[i].thread, NULL, fn, &r->dev[i]);
	for (uint32_t i = 0; i < r->n; i++) {
		struct device *d = &r->dev[i];
		if (d->threaded || !d->alive) /* in this order: a thread may change the other */
			continue;
		if (!read) {
			fn(d);
			continue;
		}
		d->rc = gf_err_set(&d->err, EAGAIN, "no thread can be started for it");
		let_go(d, SIZE_MAX);
	}
	if (read)
		read(r);
	for (uint32_t i = 0; i < r->n; i++)
		if (r->dev[i].threaded)
			pthread_join(r->dev[i].thread, NULL);
	for (uint32_t i = 0; i < r->n; i++)
		r->dev[i].threaded = false;
}

static bool all_have(struct round *r, size_t staged)
{
	for (uint32_t i = 0; i < r->n; i++)
		if (r->dev[i].alive && r->dev[i].staged < staged)
			return false;
	return true;
}

static bool all_gone(struct round *r)
{
	return all_have(r, SIZE_MAX);
}

/* Frame after frame, one ahead of those who take the longest. */
static void read_windows(struct round *r)
{
	struct gf_reel *reel = r->m->reel;
	int rc = gf_reel_begin(reel, &r->err);

	for (size_t i = 0; !rc && i < reel->frames; i++) {
		bool gone;
		pthread_mutex_lock(&r->lock);
		while (i && !all_have(r, i - 1))
			pthread_cond_wait(&r->cond, &r->lock);
		gone = all_gone(r);
		pthread_mutex_unlock(&r->lock);
		if (gone)
			break;
		if (i > 1)
			gf_reel_drop(reel, i - 2);
		rc = gf_reel_read(reel, i, &r->err);
		pthread_mutex_lock(&r->lock);
		if (!rc)
			r->ready = i + 1;
		pthread_mutex_unlock(&r->lock);
		pthread_cond_broadcast(&r->cond);
	}
	pthread_mutex_lock(&r->lock);
	r->rc = rc;
	pthread_mutex_unlock(&r->lock);
	pthread_cond_broadcast(&r->cond);
}

/* What is to be done, in shares by how many lanes each has. Returns how much that is. */
static size_t share_out(struct round *r)
{
	struct gf_many *m = r->m;
	uint64_t lanes = 0, sum = 0;
	size_t left = 0, at = 0, given = 0;

	for (size_t k = 0; k < m->n; k++)
		left += m->todo[k] == GF_RUN_TODO;
	for (uint32_t i = 0; i < r->n; i++)
		lanes += r->dev[i].alive ? r->dev[i].b.info.lanes : 0;
	for (uint32_t i = 0; i < r->n; i++) {
		struct device *d = &r->dev[i];
		size_t until;
		d->b.n = d->b.done = 0;
		d->staged = 0;
		if (!d->alive)
			continue;
		sum += d->b.info.lanes;
		until = sum == lanes ? left : (size_t)((double)left * (double)sum / (double)lanes);
		for (; at < m->n && given < until; at++)
			if (m->todo[at] == GF_RUN_TODO) {
				d->b.of[d->b.n++] = at;
				given++;
			}
	}
	return left;
}

static void name_of(const struct round *r, const struct device *d, char *buf, size_t n)
{
	if (r->n == 1)
		buf[0] = 0;
	else
		snprintf(buf, n, "GPU %u: ", d->number);
}

/* Those that have failed are out. Returns how many there are still. */
static uint32_t count_out(struct round *r)
{
	uint32_t alive = 0;
	char name[32];

	for (uint32_t i = 0; i < r->n; i++)
		alive += r->dev[i].alive && !r->dev[i].rc && !r->dev[i].slow;
	for (uint32_t i = 0; i < r->n; i++) {
		struct device *d = &r->dev[i];
		if (!d->alive || (!d->rc && !d->slow))
			continue;
		d->alive = false;
		name_of(r, d, name, sizeof name);
		if (d->rc)
			gf_many_why(r->m, "%s%.200s: %s", name, d->err.text, alive ? "the others do its share" : "CPUs do the rest");
		else
			gf_many_why(r->m, "%swould take %.1f s: %s", name, d->guess_s, alive ? "the others do its share" : "CPUs do the rest");
	}
	return alive;
}

static int rounds(struct round *r, struct gf_err *err)
{
	size_t left = share_out(r), before = SIZE_MAX;
	uint32_t alive = r->n;

	/* each round does something, or somebody is out */
	while (left && alive && (left < before || alive < r->n)) {
		bool windows = r->m->reel->windows;
		uint32_t were = alive;
		before = left;
		r->ready = windows ? 0 : r->m->reel->frames;
		r->rc = 0;
		all(r, device_main, windows ? read_windows : NULL);
		if (r->rc)
			return gf_err_set(err, -r->rc, "%s", r->err.text);
		alive = count_out(r);
		left = share_out(r);
		if (left == before && alive == were)
			break;
	}
	return 0;
}

static void tell(struct round *r)
{
	struct gf_many_did *did = r->m->did;
	const char *name = NULL;
	bool same = true;
	size_t at = 0;

	for (uint32_t i = 0; i < r->n; i++) {
		struct device *d = &r->dev[i];
		did->batches += d->batches;
		did->lanes = d->b.lanes ? d->b.lanes : did->lanes;
		did->gpu |= d->batches > 0;
		did->gpu_guess_s = GF_MAX(did->gpu_guess_s, d->guess_s);
		if (!d->used)
			continue;
		did->devices++;
		same = same && (!name || !strcmp(name, d->b.info.name));
		name = d->b.info.name;
	}
	if (same && name && did->devices > 1)
		snprintf(did->engine, sizeof did->engine, "%u x %s", did->devices, name);
	else if (same && name)
		snprintf(did->engine, sizeof did->engine, "%s", name);
	for (uint32_t i = 0; !same && i < r->n; i++)
		if (r->dev[i].used && at < sizeof did->engine)
			at += (size_t)snprintf(did->engine + at, sizeof did->engine - at, "%s%s", at ? ", " : "", r->dev[i].b.info.name);
}

/* Who can be opened. None at all, and none that could be another time: an error. */
static int open_all(struct round *r, struct gf_err *err)
{
	double begun = gf_many_seconds();
	uint32_t open = 0;
	int rc = -ENODEV;

	for (uint32_t i = 0; i < r->n; i++)
		r->dev[i].alive = true;
	all(r, device_open, NULL);
	r->m->did->open_s = gf_many_seconds() - begun;
	for (uint32_t i = 0; i < r->n; i++) {
		open += r->dev[i].alive;
		if (r->dev[i].rc && r->dev[i].rc != -ENOTSUP && r->dev[i].rc != -ENODEV)
			rc = 0;
	}
	for (uint32_t i = 0; i < r->n && open < r->n; i++) {
		char name[32];
		name_of(r, &r->dev[i], name, sizeof name);
		if (r->dev[i].rc && (open || !rc))
			gf_many_why(r->m, "%s%.200s: %s", name, r->dev[i].err.text, open ? "the others do its share" : "CPUs do the rest");
	}
	if (!open && rc)
		return gf_err_set(err, -r->dev[0].rc, "%s", r->dev[0].err.text);
	return 0;
}

int gf_many_gpus(struct gf_many *m, const struct gf_sweep_dev_ops *ops, double most_s, struct gf_err *err)
{
	struct round r = { .m = m, .ops = ops, .most_s = most_s, .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };
	uint64_t may = m->opts->devices ? m->opts->devices : UINT64_MAX;
	int found = ops->count(err), rc = 0;

	if (found < 0)
		return found;
	r.dev = calloc(DEVICES, sizeof *r.dev);
	if (!r.dev)
		return gf_err_set(err, ENOMEM, "out of memory");
	for (uint32_t i = 0; i < DEVICES && i < (uint32_t)found; i++)
		if (may >> i & 1) {
			r.dev[r.n].number = i;
			r.dev[r.n].of = &r;
			r.dev[r.n].b.of = calloc(m->n + 1, sizeof(size_t));
			rc = r.dev[r.n++].b.of ? rc : gf_err_set(err, ENOMEM, "out of memory");
		}
	if (!rc && !r.n)
		rc = gf_err_set(err, ENODEV, "of %d GPUs there is none that may be used", found);
	if (!rc)
		rc = open_all(&r, err);
	if (!rc)
		rc = rounds(&r, err);
	tell(&r);
	for (uint32_t i = 0; i < r.n; i++) {
		gf_batch_close(&r.dev[i].b);
		free(r.dev[i].b.of);
	}
	free(r.dev);
	return rc;
}
