/* SPDX-License-Identifier: MIT
 *
 * What a device that samples by itself says: events, verdicts, what became of them, figures. The engine's thread passes them on, looks whether the
 * device lives, and between whiles at what it looks at.
 */
#include "gpu/engine_gpu.h"

#include "targets/actuator.h"
#include "targets/vm_int.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define IDLE_NS 40000000ull   /* between two looks while nothing is said */
#define DRIFT 20000u          /* two clocks drift apart by less than a 20,000th, 50 ppm */
#define BUSY_NS 1000000ull    /* and for BUSY_FOR_NS after something was that may be the host's to do */
#define BUSY_FOR_NS 100000000ull
#define LOOK_NS 50000000ull   /* between two looks at who the guest is */
#define TAPE_TICKS 4u         /* and while they are recorded, so many ticks */
#define VIEWS_EVERY_NS (SEC_NS / 2)

static size_t results(void *arg, struct gf_deliver_result *buf, size_t n)
{
	struct gf_gpu_host *h = arg;

	return gf_ring_take(&h->told, buf, n);
}

void gf_gpu_connect(struct gf_gpu_host *h, bool on)
{
	struct gf_vm_engine v = { .fd = h->told.fd, .results = results, .arg = h, .hand = h->hand };

	if (h->own && !on)
		atomic_store(&((struct gf_vm *)(void *)h->engine->target)->by_gpu, 0);
	if (h->actuator)
		gf_vm_actuator_engine(h->actuator, on ? &v : NULL);
	if (h->host_actuator)
		gf_actuator_engine(h->host_actuator, on ? &v : NULL);
}

void gf_engine_host_actuator(struct gf_engine *e, struct gf_actuator *a)
{
	struct gf_gpu_host *h = __atomic_load_n(&e->gpu, __ATOMIC_ACQUIRE);

	if (!h || !h->module)
		return;
	h->host_actuator = a;
	gf_gpu_connect(h, true);
}

void gf_engine_actuator(struct gf_engine *e, struct gf_vm_actuator *a)
{
	struct gf_gpu_host *h = __atomic_load_n(&e->gpu, __ATOMIC_ACQUIRE);

	if (!h || !h->own)
		return;
	h->actuator = a;
	gf_gpu_connect(h, true);
}

/* head: as it was before the verdicts that they are of were collected, and those verdicts' events: the device goes on meanwhile. */
void gf_gpu_pass_results(struct gf_gpu_host *h, uint64_t head)
{
	uint64_t at = h->in->results_tail, was = at;

	for (; at != head && gf_ring_room(&h->told); at++) {
		struct gf_deliver_result *r = &h->results[at % GF_GPU_RESULTS];
		r->event = gf_gpu_our_number(h, r->event);
		r->verdict.event = r->event;
		gf_ring_put(&h->told, r);
	}
	gf_gpu_tell(&h->in->results_tail, at);
	if (at != was)
		gf_ring_wake(&h->told);
}

static void figures(struct gf_engine *e, struct gf_gpu_host *h)
{
	static const char *const why[] = {
		[GF_SW_CPUS] = "the guest's list of CPUs makes no sense any more",
		[GF_SW_TASKS] = "the guest's memory does not hold the processes of a running Linux any more",
		[GF_SW_TORN] = "the guest's list of processes kept changing while it was read",
	};
	const struct gf_gpu_out *o = h->out;
	struct gf_engine_stats *n = &e->now;
	uint64_t ticks = gf_gpu_read(&o->ticks), missed, sampled, total;

	if (ticks == h->device_ticks)
		return;
	/* The device may be in its next tick, and write: each is read once, and two of them may be of two ticks. */
	missed = gf_gpu_read(&o->missed);
	sampled = gf_gpu_read(&o->sample_ns);
	total = gf_gpu_read(&o->total_ns);
	n->ticks += ticks - h->device_ticks;
	n->missed += missed - h->device_missed;
	h->device_ticks = ticks;
	h->device_missed = missed;
	n->late = o->late;
	n->overruns = o->overruns;
	n->last_tick_ns = gf_engine_clock(CLOCK_MONOTONIC);
	n->now_ns = o->now_ns;
	n->sample_ns = sampled;
	n->total_ns = total;
	n->eval_ns = total > sampled ? total - sampled : 0;
	n->sample_avg_ns = n->sample_avg_ns ? n->sample_avg_ns - n->sample_avg_ns / 16 + n->sample_ns / 16 : n->sample_ns;
	n->eval_avg_ns = n->eval_avg_ns ? n->eval_avg_ns - n->eval_avg_ns / 16 + n->eval_ns / 16 : n->eval_ns;
	n->total_avg_ns = n->total_avg_ns ? n->total_avg_ns - n->total_avg_ns / 16 + n->total_ns / 16 : n->total_ns;
	n->total_max_ns = o->total_max_ns;
	n->sample_errors = o->sample_errors;
	n->rows = (uint32_t)o->rows;
	n->live = (uint32_t)o->live;
	n->dropped = (uint32_t)o->dropped;
	n->stale = o->stale;
	memcpy(n->host, o->host, sizeof n->host);
	if (h->own)
		atomic_store(&((struct gf_vm *)(void *)e->target)->by_gpu, GF_VM_BY_GPU | (uint32_t)o->by_module);
	if (!o->error)
		return;
	if (h->seat && o->why && o->why < sizeof why / sizeof *why && o->error != ENOLINK)
		snprintf(n->sample_error, sizeof n->sample_error, "%s", why[o->why]);
	else
		gf_target_describe(e->target, n->sample_error, sizeof n->sample_error);
	if (o->error == EBADMSG && h->seat && h->seat->guest)
		gf_vm_suspect(e->target, h->seat->guest);
}

static void clocks(struct gf_gpu_host *h, uint64_t now)
{
	uint64_t heart = h->heart, offset, theirs;

	/* In the middle of something long the clock is not told anew. */
	if (!gf_gpu_beats(h, now) || h->heart == heart)
		return;
	/* Its clock was read before ours: the least difference is the nearest. It is made larger by and by, for clocks drift. */
	theirs = gf_gpu_read(&h->out->clock_ns);
	offset = gf_engine_clock(CLOCK_MONOTONIC) - theirs;
	if (!h->in->clock_offset || (int64_t)(offset - h->in->clock_offset) < 0 || offset - h->in->clock_offset > SEC_NS)
		h->in->clock_offset = offset;
	else
		h->in->clock_offset += GF_MIN(offset - h->in->clock_offset, (now - h->clock_ns) / DRIFT);
	h->clock_ns = now;
}

static void views(struct gf_engine *e, struct gf_gpu_host *h, uint64_t now)
{
	uint64_t asked = __atomic_load_n(&e->asked_at, __ATOMIC_RELAXED);

	if (h->views != h->views_done && gf_gpu_read(&h->out->views) == h->views) {
		gf_seq_publish(&e->views.seq, e->views.shown, h->views_at, e->views.n * sizeof *h->views_at);
		h->views_done = h->views;
	}
	if (!asked || now - asked > 5 * SEC_NS || (e->views_at && now - e->views_at < VIEWS_EVERY_NS) || h->views != h->views_done)
		return;
	e->views_at = now;
	gf_gpu_tell(&h->in->views, ++h->views);
}

static int alive(struct gf_engine *e, struct gf_gpu_host *h, uint64_t now, struct gf_err *err)
{
	uint64_t beaten;
	int rc = 0;

	/* The driver is asked only when there is no other sign of life. Who holds the lock is launching it, or makes all rest for a
	 * moment. */
	if (!h->persistent || h->heart_ns == now || pthread_mutex_trylock(&h->lock))
		return 0;
	rc = h->run ? h->ops->poll(h->run, err) : 1;
	now = gf_engine_clock(CLOCK_MONOTONIC);
	gf_gpu_beats(h, now);
	beaten = h->heart_ns; /* a launch moves it, under the lock */
	pthread_mutex_unlock(&h->lock);
	if (rc < 0)
		return rc;
	if (rc)
		return gf_err_set(err, EIO, "its kernel has ended by itself");
	if (now - beaten > gf_gpu_patience(e))
		return gf_err_set(err, ETIMEDOUT, "its heart has not beaten for %.1f s", (double)(now - beaten) / 1e9);
	return 0;
}

bool gf_gpu_own(const struct gf_engine *e)
{
	const struct gf_gpu_host *h = e->gpu;

	return h && (h->own || (h->module && h->seat && h->seat->ready));
}

bool gf_gpu_paces(const struct gf_engine *e)
{
	return gf_gpu_own(e) && e->gpu->persistent;
}

uint64_t gf_gpu_pace(const struct gf_engine *e)
{
	uint64_t now = gf_engine_clock(CLOCK_MONOTONIC);

	const struct gf_gpu_host *h = e->gpu;
	uint64_t asked = __atomic_load_n(&e->asked_at, __ATOMIC_RELAXED);

	if (!h || (h->seat && !h->seat->ready) || h->tape_waits || now - h->busy_ns <= BUSY_FOR_NS)
		return BUSY_NS;
	/* Who records has room for some samples, not for all that a fast device takes meanwhile. */
	if (h->tape)
		return GF_MIN(IDLE_NS, GF_MAX(TAPE_TICKS * e->opts.period_ns, BUSY_NS));
	/* Memory that is given back must not wait to be noticed, nor a guest that is stopped or reset: where they tell of themselves. */
	if (!h->own || !h->seat || !h->seat->watch_sure || h->news < 0)
		return IDLE_NS;
	return now - h->busy_ns > h->quiet_for_ns && now - asked > h->quiet_for_ns ? h->quiet_ns : IDLE_NS;
}

nfds_t gf_gpu_watch(const struct gf_engine *e, struct pollfd ret[GF_GPU_WATCHED])
{
	const struct gf_gpu_host *h = e->gpu;
	const int fd[GF_GPU_WATCHED] = { h ? h->news : -1, h && h->seat ? h->seat->watch : -1 };
	nfds_t n = 0;

	for (int i = 0; i < GF_GPU_WATCHED; i++)
		if (fd[i] >= 0)
			ret[n++] = (struct pollfd){ .fd = fd[i], .events = POLLIN };
	return n;
}

void gf_gpu_wake(struct gf_engine *e)
{
	const struct gf_gpu_host *h = __atomic_load_n(&e->gpu, __ATOMIC_ACQUIRE);

	if (h && h->own)
		gf_vm_tell_news((struct gf_vm *)(void *)e->target);
}

int gf_gpu_gather(struct gf_engine *e)
{
	struct gf_gpu_host *h = e->gpu;
	uint64_t now = gf_engine_clock(CLOCK_MONOTONIC), said, took, results_head, verdicts_head;
	struct gf_err err = { "" };
	int rc = 0;

	struct gf_vm *vm = h->own ? (struct gf_vm *)(void *)e->target : NULL;
	if (vm && e->look)
		gf_vm_news_seen(vm); /* what comes after this wakes us again */
	h->in->observe = __atomic_load_n(&e->observe, __ATOMIC_SEQ_CST) != 0;
	/* Stopped, or another one: nothing is stored until look() has sorted it out. */
	h->in->paused = vm && (atomic_load(&vm->paused) || (h->seat && atomic_load(&vm->guest) != h->seat->guest));
	if (e->in.gap)
		gf_gpu_tell(&h->in->gap, ++h->gap);
	e->in.gap = 0;
	if (!h->persistent) {
		pthread_mutex_lock(&h->lock);
		h->in->now_ns = now;
		rc = gf_gpu_ended(h, gf_gpu_patience(e), &err);
		if (!rc)
			rc = gf_gpu_launch(h, e, 1, &err);
		if (!rc)
			rc = gf_gpu_ended(h, gf_gpu_patience(e), &err);
		pthread_mutex_unlock(&h->lock);
	} else {
		h->in->now_ns = 0;
	}
	clocks(h, now);
	said = h->in->verdicts_tail + h->in->results_tail;
	results_head = gf_gpu_read(&h->out->results_head);
	verdicts_head = gf_gpu_read(&h->out->verdicts_head);
	while (!gf_gpu_collect(e, h))
		gf_engine_flush(e);
	gf_engine_flush(e);
	if (h->in->verdicts_tail >= verdicts_head) /* else there was no room for some that results are of */
		gf_gpu_pass_results(h, results_head);
	if (said != h->in->verdicts_tail + h->in->results_tail || h->in->verdicts_tail < verdicts_head)
		h->busy_ns = now;
	gf_gpu_tape_pass(e, h);
	figures(e, h);
	views(e, h, now);
	if (!h->own)
		gf_gpu_ring_side(e, h, now);
	if (!rc)
		rc = alive(e, h, now, &err);
	if (!rc && !e->now.stale)
		rc = gf_gpu_reshape(e, h, e->now.live, now, &err);
	if (!rc && (now - h->looked_ns > LOOK_NS || e->look || (h->seat && !h->seat->ready)) && (h->in->clock_offset || !h->persistent)) {
		h->looked_ns = now;
		e->look = false;
		now = gf_engine_clock(CLOCK_MONOTONIC);
		rc = h->own ? gf_gpu_guest_look(e, h, &err) : gf_gpu_ring_look(e, h, &err);
		/* Registering takes long, and nobody listened; a launch meanwhile has set it already. */
		took = gf_engine_clock(CLOCK_MONOTONIC) - now;
		h->heart_ns = GF_MIN(h->heart_ns + took, now + took);
	}
	if (!rc)
		return 0;
	gf_gpu_take_over(e, &err);
	gf_engine_flush(e);
	return rc;
}
