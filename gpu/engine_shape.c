/* SPDX-License-Identifier: MIT
 *
 * The GPU engine's host side: how many thread blocks a target's kernel has. As many as its processes are worth: each block is a multiprocessor's half that
 * others lack, and where few lanes have something to do, more of them only make each call longer. So it changes with the number of
 * processes, between two ticks.
 */
#include "gpu/engine_gpu.h"

#include <errno.h>

#define AGAIN_NS SEC_NS        /* not more often than that */
#define CALM_NS (10 * SEC_NS)  /* so long there must have been few enough before it is made smaller */
#define FEW_BLOCKS 4u          /* that meet through memory; that a relay has, whose neighbours matter */

/* Measured on an H100, 512 lanes a block (docs/benchmarks.md): from so many processes on more blocks are faster. */
static const struct {
	uint32_t tasks, blocks;
} steps[] = { { 3000, 16 }, { 600, 8 }, { 300, 4 }, { 0, 1 } };

static uint32_t clusters(const struct gf_engine *e, const struct gf_gpu_host *h, uint32_t blocks)
{
	return blocks > 1 && h->ops->clusters ? h->ops->clusters(h->dev, blocks, e->now.gpu_threads) : 0;
}

uint32_t gf_gpu_clusters(const struct gf_engine *e, const struct gf_gpu_host *h, uint32_t blocks)
{
	for (uint32_t i = 0; i < sizeof h->clusters / sizeof *h->clusters; i++)
		if (blocks == 1u << i)
			return h->clusters[i]; /* ticks ask no driver */
	return clusters(e, h, blocks);
}

/* Of what was asked for one is enough; what is chosen all targets must find room for. */
static bool as_cluster(const struct gf_engine *e, const struct gf_gpu_host *h, uint32_t blocks)
{
	return gf_gpu_clusters(e, h, blocks) >= (e->opts.gpu.blocks ? 1u : h->share);
}

void gf_gpu_shape_limits(struct gf_engine *e, struct gf_gpu_host *h, const struct gf_dev_info *d, int devices)
{
	const struct gf_gpu_opts *o = &e->opts.gpu;
	uint32_t usable = 0;

	for (int i = 0; i < devices && i < (int)GF_GPU_DEVICES; i++)
		usable += !o->devices || o->devices >> i & 1;
	h->share = (GF_MAX(o->targets, 1u) + usable - 1) / GF_MAX(usable, 1u);
	h->multiprocessors = d->cooperative ? d->multiprocessors : 1;
	h->mps = d->mps;
	h->calm_ns = CALM_NS;
	e->now.gpu_threads = o->threads ? o->threads : 512;
	for (uint32_t i = 0; i < sizeof h->clusters / sizeof *h->clusters; i++)
		h->clusters[i] = clusters(e, h, 1u << i);
	e->now.gpu_blocks = gf_gpu_shape(e, h, 0);
	h->cluster = as_cluster(e, h, e->now.gpu_blocks);
}

/* Whether all targets' kernels, of so many blocks each, find room on the device at once: kernels stay. Beside neighbours few do. */
static bool fits(const struct gf_engine *e, const struct gf_gpu_host *h, uint32_t blocks)
{
	bool relay = e->opts.gpu.mode == GF_GPU_RELAY;

	if (blocks * h->share > h->multiprocessors || ((relay || h->mps) && blocks > FEW_BLOCKS) || (e->gpu_blocks_most && blocks > e->gpu_blocks_most))
		return false;
	/* What the device launches under MPS has blocks that meet only where they are a cluster. */
	return as_cluster(e, h, blocks) || (blocks <= FEW_BLOCKS && !relay);
}

uint32_t gf_gpu_shape(const struct gf_engine *e, const struct gf_gpu_host *h, uint32_t tasks)
{
	const uint32_t asked = e->opts.gpu.blocks;
	uint32_t n;

	if (asked)
		return asked > h->multiprocessors || (e->opts.gpu.mode == GF_GPU_RELAY && !as_cluster(e, h, asked)) ? 1 : asked;
	for (uint32_t i = 0;; i++) {
		if (tasks < steps[i].tasks)
			continue;
		for (n = steps[i].blocks; n > 1 && !fits(e, h, n); n /= 2)
			;
		return n;
	}
}

/* All that a kernel knows is in the device's memory. One that serves is followed by the next, which is there before it is told to end: from then on the
 * device needs nobody. Where that is refused all stays as it is. One that the host launches for each tick has ended. */
static int change(struct gf_engine *e, struct gf_gpu_host *h, uint32_t blocks, struct gf_err *err)
{
	const bool relay = e->opts.gpu.mode == GF_GPU_RELAY;
	struct gf_team_mem t = { .lanes = blocks * e->now.gpu_threads, .blocks = blocks, .cluster = as_cluster(e, h, blocks) };
	int rc = 0;

	if (!h->persistent) {
		rc = gf_gpu_ended(h, gf_gpu_patience(e), err);
		if (!rc)
			rc = h->ops->copy_in(h->dev, &h->gpu->team.lanes, &t.lanes, offsetof(struct gf_team_mem, reserved) - offsetof(struct gf_team_mem, lanes), err);
	} else {
		rc = h->run ? h->ops->follow(h->run, h->gpu, blocks, e->now.gpu_threads, t.cluster, relay ? GF_GPU_PASSES : 0, err) : -EAGAIN;
	}
	if (rc)
		return rc == -EAGAIN ? 0 : rc;
	h->shaped_from = e->now.gpu_blocks;
	h->cluster = t.cluster;
	e->now.gpu_blocks = blocks;
	if (h->persistent) {
		gf_gpu_tell(&h->in->stop, h->launches++);
		h->heart_ns = gf_engine_clock(CLOCK_MONOTONIC);
	}
	return 0;
}

int gf_gpu_reshape(struct gf_engine *e, struct gf_gpu_host *h, uint32_t tasks, uint64_t now, struct gf_err *err)
{
	uint32_t blocks = e->now.gpu_blocks, want;
	int rc = 0;

	if (e->opts.gpu.blocks || now - h->shaped_ns < AGAIN_NS || pthread_mutex_trylock(&h->lock))
		return 0;
	want = gf_gpu_shape(e, h, tasks);
	if (gf_gpu_shape(e, h, tasks + tasks / 2) >= blocks)
		h->many_ns = now;
	if (want > blocks || (want < blocks && now - h->many_ns > h->calm_ns)) {
		h->shaped_ns = now;
		rc = change(e, h, want, err);
	}
	pthread_mutex_unlock(&h->lock);
	return rc;
}

void gf_gpu_shape_lost(struct gf_engine *e, const struct gf_gpu_host *h)
{
	if (h->shaped_ns && gf_engine_clock(CLOCK_MONOTONIC) - h->shaped_ns < 2 * gf_gpu_patience(e) + AGAIN_NS && e->now.gpu_blocks > h->shaped_from)
		e->gpu_blocks_most = h->shaped_from;
}
