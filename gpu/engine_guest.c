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

#include "targets/assist.h"
#include "targets/kmod.h"
#include "targets/pseudo_do.h"
#include "targets/ramfile.h"
#include "targets/vm_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define FILL_NS 100000000ull  /* for so long a look goes on registering pieces */

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
	struct gf_fieldset all = { .host = ~0ull, .task = ~0ull, .str = (1u << GF_SF_COUNT) - 1,
				   .paths = h->own ? GF_MAX_PATHS : 0 };
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
		size = gf_sampler_layout_of(v, &g->all, e->st->cap, &all, h->module != NULL, NULL);
		h->sampler_block = block = h->ops->alloc(h->dev, at + size + 128);
		h->deliverer = h->ops->alloc(h->dev, sizeof *d);
		if (!block || !h->deliverer)
			rc = gf_err_set(err, ENOMEM, "the GPU has no memory for a table of %u tasks%s (%zu MiB)", e->st->cap,
					h->own ? " of a guest" : "", size >> 20);
	}
	if (!rc) {
		gf_sampler_layout_of(v, &g->all, e->st->cap, &all, h->module != NULL, block + at);
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
		if (h->in->stop != UINT64_MAX) /* given up: for good */
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
			gf_gpu_serve(h, h->engine, &err);
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

/* The region of the module in it, NULL: there is none. It stays for as long as the guest is held. */
static const struct gf_region *module_of(const struct gf_guest *g)
{
	return g->assist ? atomic_load(&g->assist->region) : NULL;
}

static void fill_guest(struct gf_gpu_host *h, const struct gf_image_header *img, struct gf_gpu_guest *x, struct gf_gpu_guest *to)
{
	const struct gf_path *path = GF_SEC(struct gf_path, img, GF_SEC_PATH);
	const struct gf_guest *g = h->seat->guest;

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
		x->plain.walked = (uint32_t *)(void *)((uint8_t *)h->deliverer + offsetof(struct gf_deliverer, walked));
		x->acts = 1;
	}
	x->pool = h->seat->pool;
	/* The module in it: what memory its region lies in is part of what is registered. */
	h->seat->region = module_of(g);
	if (h->seat->region) {
		x->ring.r = *h->seat->region;
		x->assisted = 1;
	}
}

int gf_gpu_seat_block(struct gf_gpu_host *h, const struct gf_image_header *img, void **ret, struct gf_err *err)
{
	struct gf_gpu_guest *x = calloc(1, sizeof *x), *to = x ? h->ops->alloc(h->dev, sizeof *x) : NULL;
	int rc = to ? 0 : gf_err_set(err, ENOMEM, "the GPU has no memory for what it has to know of %s", h->seat->guest ? "a guest" : "the kernel module");

	if (!rc) {
		if (h->seat->guest)
			fill_guest(h, img, x, to);
		else
			gf_gpu_ring_fill(h, &x->ring);
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
	if (s->watch >= 0)
		close(s->watch);
	if (s->guest)
		gf_guest_put(s->guest);
	else
		gf_kmod_let_go(h->module);
	free(s->slice);
	free(s);
	h->seat = NULL;
}

/* The device, which has been told, lets go of it. An error: something on it does not end, so that no memory can be given back: there is no going on to another. */
int gf_gpu_seat_leave(struct gf_engine *e, struct gf_gpu_host *h, struct gf_err *err)
{
	int rc = h->seat->ready ? gf_gpu_publish_guest(e, h, NULL, err) : 0;

	if (rc)
		return rc;
	gf_gpu_guest_gone(h, false);
	return h->seat ? gf_err_set(err, EBUSY, "a kernel on it does not end, and until it does no memory can be given back") : 0;
}

static int sit(struct gf_engine *e, struct gf_gpu_host *h, struct gf_guest *g, struct gf_err *err)
{
	h->seat = calloc(1, sizeof *h->seat);
	if (!h->seat)
		return gf_err_set(err, ENOMEM, "out of memory");
	h->seat->guest = gf_guest_get(g);
	h->seat->watch = g->ram ? gf_ramfile_watch(g->ram, &h->seat->watch_sure) : -ENOENT; /* before anything is registered */
	if (g->ram && h->seat->watch < 0)
		gf_gpu_tell_event(e, LOG_WARNING, "a guest's memory cannot be watched by inotify: %s (fs.inotify.max_user_instances, max_user_watches). "
				  "That it gives some back is seen by its size alone", strerror(-h->seat->watch));
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
		rc = gf_gpu_seat_block(h, e->st->img, &s->block, err);
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

	if (n < s->allocated || gf_ramfile_watch_saw(s->watch))
		return gf_err_set(err, ENOTSUP, "the guest gives memory back to the host (balloon, page reporting, virtio-mem); a GPU cannot follow that");
	s->allocated = n;
	return 0;
}

/* Its module has come, gone, or come again: the device is told. Until then it sees by the module's memory itself that there is none. */
static int look_at_module(struct gf_engine *e, struct gf_gpu_host *h, struct gf_err *err)
{
	struct gf_gpu_seat *s = h->seat;
	void *was = s->block, *block;
	int rc;

	if (s->region == module_of(s->guest))
		return 0;
	rc = gf_gpu_seat_block(h, h->img, &block, err);
	if (rc)
		return rc;
	s->block = block;
	rc = gf_gpu_publish_guest(e, h, block, err);
	if (!rc)
		h->ops->free(h->dev, was);
	return rc;
}

/* Another guest, or none: what was there before is let go of first. */
int gf_gpu_guest_look(struct gf_engine *e, struct gf_gpu_host *h, struct gf_err *err)
{
	struct gf_guest *g = gf_vm_guest(e->target, NULL);
	struct gf_vm *vm = (struct gf_vm *)(void *)e->target;
	uint64_t boot = g ? g->boot : 0, have = h->seat ? h->seat->guest->boot : 0;
	int rc = 0;

	/* Another one: what the device knows is not to be stored by until it has let go of it. */
	h->in->paused = atomic_load(&vm->paused) || boot != have;
	if (boot != have) {
		if (h->seat)
			rc = gf_gpu_seat_leave(e, h, err);
		if (!rc && g)
			rc = sit(e, h, g, err);
		if (!rc)
			h->in->paused = atomic_load(&vm->paused);
	}
	if (g)
		gf_guest_put(g);
	if (!rc && h->seat && !h->seat->ready && h->seat->guest->boot == boot)
		rc = fill(e, h, err);
	if (!rc && h->seat && h->seat->ready)
		rc = whole(h->seat, err);
	if (!rc && h->seat && h->seat->ready)
		rc = look_at_module(e, h, err);
	return rc;
}
