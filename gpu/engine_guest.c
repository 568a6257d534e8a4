/* SPDX-License-Identifier: MIT
 *
 * Guests that the device looks at, and stores into, by itself: their memory is registered with it, and what was established of
 * their kernel is copied to it. Ticks go on without this thread, which only passes on what they have said, and looks whether the
 * guest is another one.
 *
 * Memory is registered in pieces, some at each look. Giving it back waits until every kernel of the process on the device has ended. So all are told to end, between two
 * ticks each, and are launched again afterwards; their state is in the device's memory and stays.
 */
#include "gpu/engine_gpu.h"

#include "targets/pseudo_do.h"
#include "targets/ramfile.h"
#include "targets/actuator.h"
#include "targets/kmod.h"
#include "targets/vm_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#define IDLE_NS 40000000ull   /* between two looks while nothing is said */
#define BUSY_NS 1000000ull    /* and for BUSY_FOR_NS after something was that may be the host's to do */
#define BUSY_FOR_NS 100000000ull
#define LOOK_NS 50000000ull   /* between two looks at who the guest is */
#define FILL_NS 100000000ull  /* for so long a look goes on registering pieces */
#define VIEWS_EVERY_NS (SEC_NS / 2)

static pthread_mutex_t fleet_lock = PTHREAD_MUTEX_INITIALIZER;
static struct gf_gpu_host *fleet;

/* ---- memory ------------------------------------------------------------------- */

void gf_gpu_fleet_join(struct gf_gpu_host *h)
{
	pthread_mutex_lock(&fleet_lock);
	h->next = fleet;
	fleet = h;
	pthread_mutex_unlock(&fleet_lock);
}

void gf_gpu_fleet_leave(struct gf_gpu_host *h)
{
	pthread_mutex_lock(&fleet_lock);
	for (struct gf_gpu_host **p = &fleet; *p; p = &(*p)->next) {
		if (*p != h)
			continue;
		*p = h->next;
		break;
	}
	pthread_mutex_unlock(&fleet_lock);
}

/* e NULL: gives it back. */
int gf_gpu_guest_memory(struct gf_engine *e, struct gf_gpu_host *h, struct gf_gpu *g, struct gf_err *err)
{
	struct gf_fieldset all = { .host = ~0ull, .task = ~0ull, .str = (1u << GF_SF_COUNT) - 1, .paths = GF_MAX_PATHS };
	struct gf_sampler *v;
	struct gf_deliverer *d;
	uint8_t *block;
	size_t size, at = (sizeof *v + 127) / 128 * 128;
	int rc;

	if (!e) {
		if (h->ops && h->dev) {
			h->ops->free(h->dev, h->sampler_block);
			h->ops->free(h->dev, h->deliverer);
		}
		gf_ring_deinit(&h->told);
		return 0;
	}
	v = calloc(1, sizeof *v);
	d = calloc(1, sizeof *d);
	rc = !v || !d || gf_ring_init(&h->told, GF_GPU_RESULTS, sizeof(struct gf_deliver_result)) ?
		gf_err_set(err, ENOMEM, "out of memory for the engine") : 0;
	if (!rc) {
		size = gf_sampler_layout(v, &g->all, e->st->cap, &all, NULL);
		h->sampler_block = block = h->ops->alloc(h->dev, at + size + 128);
		h->deliverer = h->ops->alloc(h->dev, sizeof *d);
		if (!block || !h->deliverer)
			rc = gf_err_set(err, ENOMEM, "the GPU has no memory for a table of %u tasks of a guest (%zu MiB)", e->st->cap, size >> 20);
	}
	if (!rc) {
		gf_sampler_layout(v, &g->all, e->st->cap, &all, block + at);
		gf_deliver_init(d, 0, 0, h->hand_device, NULL);
		rc = h->ops->copy_in(h->dev, block, v, sizeof *v, err);
	}
	if (!rc)
		rc = h->ops->copy_in(h->dev, h->deliverer, d, sizeof *d, err);
	g->sampler = h->sampler_block;
	g->deliverer = h->deliverer;
	h->taken += rc ? 0 : at + size + sizeof *d;
	free(v);
	free(d);
	return rc;
}

/* ---- a guest's memory -------------------------------------------------------------- */

/* Everything on the device ends between two ticks; false: something does not. Under fleet_lock. */
static bool device_rests(struct gf_gpu_host *of)
{
	struct gf_err err;
	bool all = true;

	for (struct gf_gpu_host *h = fleet; h; h = h->next) {
		if (h->device != of->device)
			continue;
		pthread_mutex_lock(&h->lock);
		gf_gpu_tell(&h->in->stop, h->launches);
		all &= !gf_gpu_ended(h, SEC_NS, &err);
	}
	return all;
}

static void device_goes_on(struct gf_gpu_host *of)
{
	struct gf_err err;

	for (struct gf_gpu_host *h = fleet; h; h = h->next) {
		if (h->device != of->device)
			continue;
		/* One that cannot be launched has no heart: its own thread sees to that. */
		if (h->persistent && !h->run)
			gf_gpu_launch(h, h->engine, 0, &err);
		pthread_mutex_unlock(&h->lock);
	}
}

static void release(struct gf_gpu_host *h, struct gf_gpu_seat *s)
{
	struct gf_err err;

	pthread_mutex_lock(&fleet_lock);
	if (device_rests(h))
		while (s->slices)
			h->ops->release(h->dev, s->slice[--s->slices], &err);
	device_goes_on(h);
	pthread_mutex_unlock(&fleet_lock);
}

/* The next piece of its memory: 0 there are more, 1 that was the last. The device's addresses are those of this process: what else would have
 * to be said of every piece. */
int gf_gpu_enroll_next(struct gf_gpu_host *h, struct gf_gpu_seat *s, const struct gf_ram *ram, struct gf_err *err)
{
	const uintptr_t page = 4095;
	uint8_t *p, *end;
	void *device = NULL;
	size_t n;

	if (s->seg == ram->n)
		return 1;
	if (s->slices == s->room) {
		uint8_t **more = realloc(s->slice, (s->room + 256) * sizeof *more);
		if (!more)
			return gf_err_set(err, ENOMEM, "out of memory");
		s->slice = more;
		s->room += 256;
	}
	p = s->next ? s->next : (uint8_t *)((uintptr_t)ram->seg[s->seg].p & ~page);
	end = (uint8_t *)(((uintptr_t)ram->seg[s->seg].p + ram->seg[s->seg].size + page) & ~page);
	n = GF_MIN((size_t)(end - p), (size_t)h->slice);
	if (h->ops->enroll(h->dev, p, n, &device, err))
		return -EINVAL;
	s->slice[s->slices++] = p;
	if (device != p)
		return gf_err_set(err, ENOTSUP, "the GPU has other addresses for it than the host");
	s->next = p + n == end ? NULL : p + n;
	s->seg += !s->next;
	return s->seg == ram->n;
}

int gf_gpu_guest_block(struct gf_gpu_host *h, const struct gf_guest *g, const struct gf_image_header *img, void **ret, struct gf_err *err)
{
	const struct gf_path *path = GF_SEC(struct gf_path, img, GF_SEC_PATH);
	struct gf_gpu_guest *x = calloc(1, sizeof *x);
	struct gf_gpu_guest *to = x ? h->ops->alloc(h->dev, sizeof *x) : NULL;
	int rc = to ? 0 : gf_err_set(err, ENOMEM, "the GPU has no memory for a guest");

	if (!rc) {
		x->s.mem = g->kernel->mem;
		x->s.layout = g->layout;
		x->s.boot = g->boot;
		x->s.paths = GF_MIN(img->fields.paths, GF_MAX_PATHS);
		for (uint32_t i = 0; i < x->s.paths; i++)
			if (gf_btf_path(g->kernel->btf, gf_image_str(img, path[i].text), &x->s.kpath[i], NULL, NULL, NULL))
				memset(&x->s.kpath[i], 0, sizeof x->s.kpath[i]);
		if (g->pseudo) {
			gf_pseudo_plain(g->pseudo, &x->plain);
			x->plain.mem = &to->s.mem;
			x->plain.atomics = h->atomics;
			x->plain.pulse = h->pulse_device;
			x->acts = 1;
		}
		if (h->seat)
			x->pool = h->seat->pool;
		rc = h->ops->copy_in(h->dev, to, x, sizeof *x, err);
	}
	free(x);
	if (rc && to)
		h->ops->free(h->dev, to);
	else
		*ret = to;
	return rc;
}

int gf_gpu_publish_guest(struct gf_engine *e, struct gf_gpu_host *h, void *block, struct gf_err *err)
{
	int rc = 0;

	pthread_mutex_lock(&h->lock);
	h->in->guest_at = block;
	gf_gpu_tell(&h->in->guest, ++h->guests);
	if (h->run)
		rc = gf_gpu_answered(h, &h->out->guest, h->guests, gf_gpu_patience(e), err);
	pthread_mutex_unlock(&h->lock);
	return rc;
}

void gf_gpu_guest_gone(struct gf_gpu_host *h, bool lost)
{
	struct gf_gpu_seat *s = h->seat;

	if (!s || lost) /* what may still be looked at stays where it is */
		return;
	h->in->guest_at = NULL;
	gf_gpu_tell(&h->in->guest, ++h->guests);
	release(h, s);
	if (s->slices)
		return;
	if (s->guest && s->guest->pseudo)
		gf_pseudo_give_back(s->guest->pseudo, &s->pool);
	h->ops->free(h->dev, s->block);
	if (s->guest)
		gf_guest_put(s->guest);
	else
		gf_kmod_let_go(h->module, s->region);
	free(s->slice);
	free(s);
	h->seat = NULL;
}

static int sit(struct gf_gpu_host *h, struct gf_guest *g, struct gf_err *err)
{
	h->seat = calloc(1, sizeof *h->seat);
	if (!h->seat)
		return gf_err_set(err, ENOMEM, "out of memory");
	h->seat->guest = gf_guest_get(g);
	return 0;
}

/* Some more of its memory; at the end the device is told. A large guest takes a minute: between two looks it may end, the engine may be
 * stopped, and a reload has its turn. */
static int fill(struct gf_engine *e, struct gf_gpu_host *h, struct gf_err *err)
{
	uint64_t begun = gf_engine_clock(CLOCK_MONOTONIC);
	struct gf_gpu_seat *s = h->seat;
	int rc = 0;

	while (!rc && !__atomic_load_n(&e->stop, __ATOMIC_RELAXED)) {
		rc = gf_gpu_enroll_next(h, s, &s->guest->kernel->mem.ram, err);
		if (gf_engine_clock(CLOCK_MONOTONIC) - begun > FILL_NS)
			break;
	}
	if (rc <= 0)
		return rc;
	rc = 0;
	if (s->guest->pseudo && !h->atomics)
		gf_pseudo_set_aside(s->guest->pseudo, &s->pool);
	if (!rc)
		rc = gf_gpu_guest_block(h, s->guest, e->st->img, &s->block, err);
	if (!rc)
		rc = gf_gpu_publish_guest(e, h, s->block, err);
	s->ready = !rc;
	return rc;
}

/* What QEMU gives back to the system of a guest's memory (a balloon, free page reporting, virtio-mem: it punches holes) is gone for
 * everybody but the GPU, whose registration holds the page that was there. When the guest uses that address again it gets another page, and the
 * GPU would go on seeing the old one, for ever and without a sign. */
static int whole(struct gf_gpu_seat *s, struct gf_err *err)
{
	uint64_t n = s->guest->ram ? gf_ramfile_allocated(s->guest->ram) : 0;

	if (n < s->allocated)
		return gf_err_set(err, ENOTSUP, "the guest gives memory back to the host (balloon, page reporting, virtio-mem); a GPU cannot follow that");
	s->allocated = n;
	return 0;
}

/* Another guest, or none: what was there before is let go of first. */
static int look(struct gf_engine *e, struct gf_gpu_host *h, struct gf_err *err)
{
	struct gf_guest *g = gf_vm_guest(e->target, NULL);
	struct gf_vm *vm = (struct gf_vm *)(void *)e->target;
	uint64_t boot = g ? g->boot : 0, have = h->seat ? h->seat->guest->boot : 0;
	int rc = 0;

	h->in->paused = atomic_load(&vm->paused);
	if (boot != have) {
		if (h->seat) {
			rc = h->seat->ready ? gf_gpu_publish_guest(e, h, NULL, err) : 0;
			if (!rc)
				gf_gpu_guest_gone(h, false);
		}
		if (!rc && g && !h->seat)
			rc = sit(h, g, err);
	}
	if (g)
		gf_guest_put(g);
	if (!rc && h->seat && !h->seat->ready && h->seat->guest->boot == boot)
		rc = fill(e, h, err);
	if (!rc && h->seat && h->seat->ready)
		rc = whole(h->seat, err);
	return rc;
}

/* ---- what it says ---------------------------------------------------------------------- */

static size_t results(void *arg, struct gf_deliver_result *buf, size_t n)
{
	struct gf_gpu_host *h = arg;

	return gf_ring_take(&h->told, buf, n);
}

void gf_gpu_connect(struct gf_gpu_host *h, bool on)
{
	struct gf_vm_engine v = { .fd = h->told.fd, .results = results, .arg = h, .hand = h->hand };

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

void gf_gpu_pass_results(struct gf_gpu_host *h)
{
	uint64_t head = gf_gpu_read(&h->out->results_head), at = h->in->results_tail, was = at;

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
	uint64_t ticks = gf_gpu_read(&o->ticks);

	if (ticks == h->device_ticks)
		return;
	n->ticks += ticks - h->device_ticks;
	n->missed += o->missed - h->device_missed;
	h->device_ticks = ticks;
	h->device_missed = o->missed;
	n->late = o->late;
	n->overruns = o->overruns;
	n->last_tick_ns = gf_engine_clock(CLOCK_MONOTONIC);
	n->now_ns = o->now_ns;
	n->sample_ns = o->sample_ns;
	n->total_ns = o->total_ns;
	n->eval_ns = o->total_ns - o->sample_ns;
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
		h->in->clock_offset += GF_MIN(offset - h->in->clock_offset, 1000u);
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

	if (e->gpu && e->gpu->seat && !e->gpu->seat->ready)
		return BUSY_NS;
	return e->gpu && now - e->gpu->busy_ns > BUSY_FOR_NS ? IDLE_NS : BUSY_NS;
}

int gf_gpu_gather(struct gf_engine *e)
{
	struct gf_gpu_host *h = e->gpu;
	uint64_t now = gf_engine_clock(CLOCK_MONOTONIC), said, took;
	struct gf_err err = { "" };
	int rc = 0;

	h->in->observe = e->in.observe;
	/* Stopped, or another one: nothing is stored until look() has sorted it out. */
	const struct gf_vm *vm = h->own ? (const struct gf_vm *)(const void *)e->target : NULL;
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
	while (!gf_gpu_collect(e, h))
		gf_engine_flush(e);
	gf_engine_flush(e);
	gf_gpu_pass_results(h);
	if (said != h->in->verdicts_tail + h->in->results_tail)
		h->busy_ns = now;
	figures(e, h);
	views(e, h, now);
	if (!h->own)
		gf_gpu_ring_side(e, h, now);
	if (!rc)
		rc = alive(e, h, now, &err);
	if (!rc && (now - h->looked_ns > LOOK_NS || (h->seat && !h->seat->ready)) && (h->in->clock_offset || !h->persistent)) {
		h->looked_ns = now;
		now = gf_engine_clock(CLOCK_MONOTONIC);
		rc = h->own ? look(e, h, &err) : gf_gpu_ring_look(e, h, &err);
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
