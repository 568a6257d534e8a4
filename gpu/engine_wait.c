/* SPDX-License-Identifier: MIT
 *
 * The GPU engine's host side: launching the device's kernel, words that both write and read, and waiting for it no longer than it may take.
 */
#include "gpu/engine_gpu.h"

#include <errno.h>
#include <time.h>

#define QUICK 200u            /* looks at the answer before the thread naps between them */
#define NAP_NS 20000
#define LOOK_NS 5000000ull    /* after so long without an answer the device is asked whether it runs */

uint64_t gf_gpu_read(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

void gf_gpu_tell(uint64_t *p, uint64_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static void nap(void)
{
	struct timespec ts = { 0, NAP_NS };

	nanosleep(&ts, NULL);
}

int gf_gpu_launch(struct gf_gpu_host *h, const struct gf_engine *e, uint64_t ticks, struct gf_err *err)
{
	int rc = h->ops->launch(h->dev, h->gpu, e->now.gpu_blocks, e->now.gpu_threads, h->cluster, ticks, &h->run, err);

	if (!rc) {
		h->launches++;
		h->persistent = !ticks || ticks == GF_GPU_PASSES;
		h->heart_ns = gf_engine_clock(CLOCK_MONOTONIC); /* it has been resting: it has that long for its first beat */
	}
	return rc;
}

int gf_gpu_serve(struct gf_gpu_host *h, const struct gf_engine *e, struct gf_err *err)
{
	return gf_gpu_launch(h, e, e->opts.gpu.mode == GF_GPU_RELAY ? GF_GPU_PASSES : 0, err);
}

bool gf_gpu_beats(struct gf_gpu_host *h, uint64_t now)
{
	uint64_t heart = h->out ? gf_gpu_read(&h->out->heart) : 0, pulse = h->out ? gf_gpu_read(&h->out->pulse) : 0;

	if (heart == h->heart && pulse == h->pulse)
		return false;
	h->heart = heart;
	h->pulse = pulse;
	h->heart_ns = now;
	return true;
}

/* Waits for a kernel that ends by itself, or was told to: for so long without a sign of life, or ten times as long. */
int gf_gpu_ended(struct gf_gpu_host *h, uint64_t patience, struct gf_err *err)
{
	uint64_t begun = gf_engine_clock(CLOCK_MONOTONIC), since = begun, now;
	bool late = false;
	int rc = 0;

	/* Whoever is stopped between a look and the clock looks once more. */
	while (h->run && !(rc = h->ops->poll(h->run, err))) {
		if (late)
			return gf_err_set(err, ETIMEDOUT, "its kernel does not end");
		now = gf_engine_clock(CLOCK_MONOTONIC);
		since = gf_gpu_beats(h, now) ? now : since;
		late = now - since > patience || now - begun > 10 * patience;
		if (!late)
			nap();
	}
	if (rc < 0)
		return rc;
	if (h->run)
		h->ops->forget(h->run);
	h->run = NULL;
	return 0;
}

/* Until the device has answered. */
int gf_gpu_answered(struct gf_gpu_host *h, const uint64_t *p, uint64_t want, uint64_t patience, struct gf_err *err)
{
	uint64_t begun = 0, looked = 0, since = 0, now;
	int rc;

	for (uint32_t i = 0; gf_gpu_read(p) != want; i++) {
		if (i < QUICK)
			continue;
		now = gf_engine_clock(CLOCK_MONOTONIC);
		begun = begun ? begun : now;
		looked = looked ? looked : now;
		since = !since || gf_gpu_beats(h, now) ? now : since;
		if (now - looked > LOOK_NS) {
			looked = now;
			rc = h->run ? h->ops->poll(h->run, err) : 1;
			if (rc && gf_gpu_read(p) == want)
				return 0;
			if (rc < 0)
				return rc;
			if (rc)
				return gf_err_set(err, EIO, "its kernel has ended by itself");
		}
		/* Whoever is stopped between a look and the clock looks once more. */
		if ((now - since > patience || now - begun > 10 * patience) && gf_gpu_read(p) != want)
			return gf_err_set(err, ETIMEDOUT, "it has not answered for %.1f s", (double)(now - begun) / 1e9);
		nap();
	}
	return 0;
}

uint64_t gf_gpu_patience(const struct gf_engine *e)
{
	return GF_MAX(e->gpu ? e->gpu->life_ns : GF_GPU_LIFE_NS, 10 * e->opts.period_ns);
}
