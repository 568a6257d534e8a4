/* SPDX-License-Identifier: MIT
 *
 * The GPU engine's host side: which devices there are, and which one an engine gets.
 */
#include "gpu/engine_gpu.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SLICE (256ull << 20)  /* a fifth of a second to register; between two of them others have their turn */

const struct gf_dev_ops *gf_dev_backend;

/* Engines on each device; under the lock. */
static pthread_mutex_t spread_lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t spread[GF_GPU_DEVICES];

void gf_gpu_spread(int device, int n)
{
	pthread_mutex_lock(&spread_lock);
	spread[device] += (uint32_t)n;
	pthread_mutex_unlock(&spread_lock);
}
/* Of those that may be used the one with the fewest targets. */
static int choose_device(const struct gf_gpu_opts *o, int n, struct gf_err *err)
{
	int best = -1;

	pthread_mutex_lock(&spread_lock);
	for (int i = 0; i < n && i < (int)GF_GPU_DEVICES; i++)
		if ((!o->devices || o->devices >> i & 1) && (best < 0 || spread[i] < spread[best]))
			best = i;
	pthread_mutex_unlock(&spread_lock);
	if (best < 0)
		return gf_err_set(err, ENODEV, "engine.gpu.devices names none of the %d that are there", n);
	return best;
}

static int count_devices(struct gf_err *err)
{
	if (gf_dev_backend)
		return gf_dev_backend->count(err);
	gf_err_set(err, ENOTSUP, "this program has no code for GPUs");
	return 0;
}

int gf_gpu_open_device(struct gf_engine *e, struct gf_gpu_host *h, struct gf_err *err)
{
	struct gf_engine_stats *f = &e->now;
	const struct gf_gpu_opts *o = &e->opts.gpu;
	struct gf_dev_info d;
	int n = count_devices(err), rc;

	if (!n)
		return -ENODEV;
	h->device = choose_device(o, n, err);
	if (h->device < 0)
		return h->device;
	h->ops = gf_dev_backend;
	rc = h->ops->info(h->device, &d, err);
	if (rc)
		return rc;
	h->slice = d.slice ? d.slice : SLICE;
	h->tape_size = d.tape;
	h->life_ns = d.life_ns ? d.life_ns : GF_GPU_LIFE_NS;
	h->atomics = d.host_atomics;
	f->gpu_device = (uint32_t)h->device;
	snprintf(f->gpu_name, sizeof f->gpu_name, "%.63s", d.name);
	f->gpu_mode = o->mode;
	rc = h->ops->open(h->device, &h->dev, err);
	if (!rc)
		gf_gpu_shape_limits(e, h, &d, n);
	return rc;
}

size_t gf_gpu_list(struct gf_gpu_info *buf, size_t n, struct gf_err *err)
{
	struct gf_dev_info d;
	int count = count_devices(err);

	for (int i = 0; i < count && (size_t)i < n; i++) {
		struct gf_gpu_info *o = &buf[i];
		memset(o, 0, sizeof *o);
		if (gf_dev_backend->info(i, &d, NULL))
			memset(&d, 0, sizeof d);
		o->index = (uint32_t)i;
		o->sms = d.multiprocessors;
		o->cc = d.major * 10 + d.minor;
		o->memory = d.memory;
		o->host_atomics = d.host_atomics;
		o->mig = d.mig;
		pthread_mutex_lock(&spread_lock);
		o->targets = i < (int)GF_GPU_DEVICES ? spread[i] : 0;
		pthread_mutex_unlock(&spread_lock);
		snprintf(o->pci, sizeof o->pci, "%.15s", d.pci);
		snprintf(o->name, sizeof o->name, "%.63s", d.name);
	}
	return (size_t)count;
}
