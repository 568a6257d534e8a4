/* SPDX-License-Identifier: MIT
 *
 * The host's side of the GPU engine: what one engine has on its device, from its beginning to its end.
 *
 * The engine's thread (engine_run.c) stays who it is: it keeps the period, samples, and passes on events and verdicts. Only
 * between a sample and its events it waits for the device instead of running the tick itself (engine_table.c, engine_wait.c). So a device that
 * does not answer costs one tick its time, and the CPU goes on with that same tick: a takeover (engine_takeover.c). Policies are
 * engine_policy.c's; guests, which the device samples by itself, engine_guest.c's, and what it says of them engine_told.c's.
 */
#include "gpu/engine_gpu.h"

#include "targets/vm_int.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAST_NS (SEC_NS / 2)    /* for so long a recorder may take what is left when the engine stops */
#define PROVEN_NS (60 * SEC_NS)
#define QUIET_NS (SEC_NS / 4) /* who changes a guest or a mode wakes the thread */
#define QUIET_FOR_NS (10 * SEC_NS)
#define RULES_LEAST 512u      /* views and states of so many rules find room, whatever the first policy has */

/* ---- memory -------------------------------------------------------------------- */

void *gf_gpu_take(void *arg, size_t size)
{
	struct gf_gpu_host *h = arg;
	void *p = h->ops->alloc(h->dev, size);

	if (p)
		h->taken += size;
	return p;
}

static void give(void *arg, void *p)
{
	struct gf_gpu_host *h = arg;

	h->ops->free(h->dev, p);
}

static size_t mapped_layout(struct gf_gpu_host *h, uint32_t cap, void *base)
{
	size_t at = 0, kept = sizeof *h->kept[0] + h->rules_room * sizeof(struct gf_rule_state);
	uint8_t *p;

	GF_GPU_TAKE(struct gf_gpu_in *, h->in, 1);
	GF_GPU_TAKE(struct gf_gpu_out *, h->out, 1);
	GF_GPU_TAKE(struct gf_gpu_table *, h->table, 1);
	GF_GPU_TAKE(char *, h->strings, GF_GPU_STRINGS + 8);
	GF_GPU_TAKE(struct gf_event *, h->events, GF_GPU_EVENTS);
	GF_GPU_TAKE(struct gf_verdict *, h->verdicts, GF_GPU_VERDICTS);
	GF_GPU_TAKE(struct gf_rule_view *, h->views_at, h->rules_room);
	for (int i = 0; i < 3; i++) {
		GF_GPU_TAKE(uint8_t *, p, kept);
		h->kept[i] = (struct gf_gpu_kept *)(void *)p;
	}
	if (h->own || h->module) {
		GF_GPU_TAKE(struct gf_deliver_result *, h->results, GF_GPU_RESULTS);
		GF_GPU_TAKE(struct gf_deliver_hand *, h->hand, 1);
	}
	if (h->tape_size)
		GF_GPU_TAKE(uint8_t *, h->tape, h->tape_size);
	if (h->own)
		return at;
	GF_GPU_TAKE(uint8_t *, p, gf_gpu_rows_layout(&h->rows, cap, NULL));
	gf_gpu_rows_layout(&h->rows, cap, p);
	return at;
}

static size_t fixed_layout(struct gf_gpu *g, uint32_t cap, bool own, void *base)
{
	size_t at = (sizeof *g + 63) / 64 * 64;
	uint8_t *p;

	GF_GPU_TAKE(char *, g->strings, GF_GPU_STRINGS + 8);
	GF_GPU_TAKE(struct gf_rule_state *, g->kept_last, g->rules_room);
	GF_GPU_TAKE(struct gf_event *, g->tick_out.events, GF_GPU_STAGED + 1);
	GF_GPU_TAKE(struct gf_verdict *, g->tick_out.verdicts, GF_GPU_ACTS);
	if (own)
		return at; /* the sampler has its own */
	GF_GPU_TAKE(uint8_t *, p, gf_gpu_sample_layout(&g->all, cap, NULL));
	gf_gpu_sample_layout(&g->all, cap, p);
	return at;
}

/* What of the mapped memory the device sees where. */
static void mapped_addresses(const struct gf_gpu_host *h, struct gf_gpu *g, uint32_t cap, void *device)
{
	struct gf_gpu_host o = *h;

	mapped_layout(&o, cap, device);
	g->in = o.in;
	g->out = o.out;
	g->table = o.table;
	g->rows = o.rows;
	g->strings_in = o.strings;
	g->events = o.events;
	g->verdicts = o.verdicts;
	g->views = o.views_at;
	g->results = o.results;
	g->tape.ring = o.tape;
	g->tape.size = o.tape_size;
	g->kept[0] = o.kept[0];
	g->kept[1] = o.kept[1];
	g->kept[2] = o.kept[2];
}
/* ---- life ------------------------------------------------------------------------------- */

int gf_gpu_start(struct gf_engine *e, struct gf_err *err)
{
	struct gf_gpu_host *h = e->gpu;
	struct gf_err why = { "" };
	int rc;

	if (e->opts.gpu.mode == GF_GPU_LAUNCH)
		return 0;
	pthread_mutex_lock(&h->lock);
	rc = gf_gpu_ended(h, GF_GPU_START_NS, &why);
	if (!rc)
		rc = gf_gpu_serve(h, e, &why);
	h->heart_ns = gf_engine_clock(CLOCK_MONOTONIC);
	pthread_mutex_unlock(&h->lock);
	gf_gpu_connect(h, true);
	if (rc) {
		gf_gpu_take_over(e, &why);
		if (err)
			*err = why;
	}
	return rc;
}

void gf_gpu_stop(struct gf_engine *e)
{
	struct gf_gpu_host *h = e->gpu;
	bool own = e->gpu && gf_gpu_own(e);
	struct gf_err err;
	int rc;

	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	gf_gpu_tell(&h->in->stop, h->launches);
	rc = gf_gpu_ended(h, gf_gpu_patience(e), &err);
	h->persistent = false;
	pthread_mutex_unlock(&h->lock);
	if (rc) {
		gf_gpu_take_over(e, &err);
		return;
	}
	gf_gpu_collect_last(e, h);
	if (own)
		gf_gpu_pass_results(h, gf_gpu_read(&h->out->results_head));
	gf_gpu_tape_last(e, h, LAST_NS);
	gf_gpu_profile_write(h, e);
	gf_gpu_connect(h, false);
	gf_gpu_guest_gone(h, false);
	if (own)
		gf_target_sample(e->target, NULL);
	gf_gpu_import_last(e, h);
}
void gf_gpu_host_free(struct gf_gpu_host *h)
{
	struct gf_err err;

	if (!h)
		return;
	/* What a kernel that does not end can reach has to stay. */
	if (h->run) {
		int rc;
		pthread_mutex_lock(&h->lock);
		h->persistent = false;
		gf_gpu_tell(&h->in->stop, UINT64_MAX);
		rc = gf_gpu_ended(h, SEC_NS / 10, &err);
		if (rc == -EIO) {
			h->ops->forget(h->run); /* a device that has failed runs nothing */
			h->run = NULL;
			rc = 0;
		}
		pthread_mutex_unlock(&h->lock);
		if (rc)
			return;
	}
	gf_gpu_guest_gone(h, false);
	gf_gpu_guest_memory(NULL, h, NULL, NULL);
	gf_gpu_mirror_drop(h->mirror);
	h->ops->free(h->dev, h->block);
	h->ops->free(h->dev, h->fixed);
	gf_gpu_profile_free(h);
	if (h->pinned)
		h->ops->unpin(h->dev, h->pinned);
	if (h->counted) {
		gf_gpu_spread(h->device, -1);
		gf_gpu_fleet_leave(h);
	}
	h->ops->close(h->dev);
	for (uint32_t f = 0; f < GF_SF_COUNT; f++)
		free(h->sent[f]);
	gf_gpu_tape_free(h);
	pthread_mutex_destroy(&h->lock);
	free(h->past);
	free(h->index);
	free(h);
}

void gf_gpu_destroy(struct gf_engine *e)
{
	gf_gpu_host_free(e->gpu);
	gf_gpu_host_free(e->gpu_past);
	e->gpu = e->gpu_past = NULL;
}

/* Everything that lasts as long as the engine. */
static int make_memory(struct gf_engine *e, struct gf_gpu_host *h, struct gf_err *err)
{
	uint32_t cap = e->st->cap, size = 256;
	bool sampler = h->own || h->module;
	struct gf_gpu g;
	void *device = NULL;
	size_t fixed;

	while (size < 2 * cap)
		size *= 2;
	h->index_mask = size - 1;
	h->index = calloc(size, sizeof *h->index);
	h->past = calloc(GF_GPU_PAST, sizeof *h->past);
	for (uint32_t f = 0; f < GF_SF_COUNT; f++)
		if (!(h->sent[f] = calloc(cap, sizeof *h->sent[f])))
			return gf_err_set(err, ENOMEM, "out of memory for the engine");
	if (!h->index || !h->past)
		return gf_err_set(err, ENOMEM, "out of memory for the engine");
	if (gf_gpu_tape_make(e, h, err))
		return -ENOMEM;
	h->rules_room = GF_MIN(GF_MAX(RULES_LEAST, 2 * e->st->img->sec[GF_SEC_RULE].count), GF_MAX_RULES);
	memset(&g, 0, sizeof g);
	g.rules_room = h->rules_room;
	fixed = fixed_layout(&g, cap, sampler, NULL);
	h->fixed = gf_gpu_take(h, fixed);
	h->pinned = h->ops->pin(h->dev, mapped_layout(h, cap, NULL), &device);
	if (!h->fixed || !h->pinned)
		return gf_err_set(err, ENOMEM, "the GPU has no memory for a table of %u tasks", cap);
	mapped_layout(h, cap, h->pinned);
	fixed_layout(&g, cap, sampler, h->fixed);
	mapped_addresses(h, &g, cap, device);
	h->gpu = h->fixed;
	g.period_ns = e->opts.period_ns;
	g.team.ctx = h->gpu;
	if (sampler) {
		struct gf_gpu_host o = *h;
		int rc;
		mapped_layout(&o, cap, device);
		h->hand_device = o.hand;
		h->pulse_device = &o.out->pulse;
		rc = gf_gpu_guest_memory(e, h, &g, err);
		if (rc)
			return rc;
		g.by_ring = h->module != NULL;
	}
	gf_gpu_profile_make(h, &g);
	g.team.blocks = e->now.gpu_blocks;
	g.team.cluster = h->cluster;
	g.team.lanes = e->now.gpu_blocks * e->now.gpu_threads;
	g.sample = g.all;
	memset(g.sample.col, 0, sizeof g.sample.col); /* until an image wants them */
	memset(g.sample.str, 0, sizeof g.sample.str);
	g.seq = 1;
	g.tick_in = e->in;
	g.tick_out.events_cap = GF_GPU_STAGED;
	g.tick_out.verdicts_cap = GF_GPU_ACTS;
	g.tick_out.seq = &h->gpu->seq;
	return h->ops->copy_in(h->dev, h->gpu, &g, sizeof g, err);
}

static int make(struct gf_engine *e, struct gf_gpu_host *h, struct gf_err *err)
{
	struct gf_gpu_next *n = NULL;
	int rc = make_memory(e, h, err);

	if (!rc)
		rc = gf_gpu_next_make(h, e->st->img, e->st->cap, NULL, &n, err);
	/* The first kernel: that it can be run, and what it is to begin with. */
	if (!rc)
		rc = gf_gpu_next_adopt(e, h, n, err);
	if (!rc)
		rc = gf_gpu_ended(h, GF_GPU_START_NS, err);
	if (h->run && rc)
		return rc; /* it may still be reading: everything stays */
	gf_gpu_next_drop(n);
	return rc;
}

int gf_gpu_create(struct gf_engine *e, struct gf_err *err)
{
	struct gf_gpu_host *h = calloc(1, sizeof *h);
	struct gf_err why = { "" };
	int rc;

	if (!h)
		return gf_err_set(err, ENOMEM, "out of memory for the engine");
	h->place = (struct gf_state_place){ gf_gpu_take, give, h };
	pthread_mutex_init(&h->lock, NULL);
	h->since_ns = gf_engine_clock(CLOCK_MONOTONIC);
	h->proven_ns = PROVEN_NS;
	h->quiet_ns = QUIET_NS;
	h->quiet_for_ns = QUIET_FOR_NS;
	h->own = e->target->target_kind == GF_TARGET_VM && e->target->ops->sample == gf_vm_sample;
	h->news = h->own ? gf_vm_news((struct gf_vm *)(void *)e->target) : -1;
	/* A kernel that is launched for each tick needs the host anyway. */
	h->module = e->opts.gpu.mode == GF_GPU_LAUNCH ? NULL : gf_host_kmod(e->target);
	rc = gf_gpu_open_device(e, h, &why);
	if (!rc) {
		rc = make(e, h, &why);
		if (rc)
			gf_gpu_host_free(h);
	} else {
		free(h);
	}
	if (rc) {
		snprintf(e->now.why, sizeof e->now.why, "%.190s", why.text);
		return gf_err_set(err, -rc, "the GPU cannot be used: %s", why.text);
	}
	gf_gpu_spread(h->device, 1);
	h->engine = e;
	gf_gpu_fleet_join(h);
	h->counted = true;
	e->gpu = h;
	return 0;
}
