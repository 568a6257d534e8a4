/* SPDX-License-Identifier: MIT */
#include "daemon/gpus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/daemon.h"
#include "daemon/outbox.h"

#define LOOK_EVERY_S 60
#define FIRST_LOOK_S 3

/* ---- the choice ------------------------------------------------------------------ */

static bool may_use(const struct gf_config *c, uint32_t device)
{
	return !c->gpu.devices || (device < GF_GPU_DEVICES && c->gpu.devices & 1ull << device);
}

/* "3, 5": devices that are asked for and not there. */
static void missing(const struct gf_config *c, const struct gf_gpu_info *v, size_t n, char *buf, size_t size)
{
	uint64_t left = c->gpu.devices;
	size_t o = 0;

	for (size_t i = 0; i < n; i++)
		left &= v[i].index < GF_GPU_DEVICES ? ~(1ull << v[i].index) : ~0ull;
	buf[0] = 0;
	for (uint32_t i = 0; i < GF_GPU_DEVICES && o < size; i++)
		if (left & 1ull << i)
			o += (size_t)snprintf(buf + o, size - o, "%s%u", o ? ", " : "", i);
}

static void list(const struct gf_gpu_info *v, size_t n, char *buf, size_t size)
{
	size_t o = 0;

	buf[0] = 0;
	for (size_t i = 0; i < n && o < size; i++)
		o += (size_t)snprintf(buf + o, size - o, "%s%u (%.63s)", o ? ", " : "", v[i].index, v[i].name);
}

int gf_gpus_choose(const struct gf_config *c, const struct gf_gpu_info *v, size_t n, const struct gf_err *none,
		   enum gf_engine_kind *ret, char *why, size_t size, struct gf_err *err)
{
	char text[400], lacking[160];
	size_t usable = 0;

	*ret = GF_ENGINE_CPU;
	if (c->engine == GF_ENGINE_CPU) {
		snprintf(why, size, "as configured");
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		usable += may_use(c, v[i].index);
	if (!n) {
		snprintf(text, sizeof text, "%.390s", none->text[0] ? none->text : "no GPU was found");
	} else if (!usable) {
		char there[280];
		list(v, n, there, sizeof there);
		snprintf(text, sizeof text, "engine.gpu.devices names no GPU that there is; there %s %s", n == 1 ? "is" : "are", there);
	}
	if (!usable && c->engine == GF_ENGINE_GPU)
		return gf_err_set(err, ENODEV, "the GPU engine is asked for and there is no GPU for it: %s (with engine.kind auto, or "
				  "--engine auto, the CPU would do)", text);
	if (!usable) {
		snprintf(why, size, "auto: %s", text);
		return 0;
	}
	*ret = c->engine;
	why[0] = 0;
	missing(c, v, n, lacking, sizeof lacking);
	if (*lacking)
		snprintf(why, size, "engine.gpu.devices: there is no GPU %s", lacking);
	return 0;
}

int gf_gpus_choose_here(const struct gf_config *c, enum gf_engine_kind *ret, char *why, size_t size, struct gf_err *err)
{
	struct gf_gpu_info v[GF_GPU_DEVICES] = { 0 };
	struct gf_err none = { "" };
	size_t n = c->engine == GF_ENGINE_CPU ? 0 : gf_gpu_list(v, GF_GPU_DEVICES, &none);

	return gf_gpus_choose(c, v, GF_MIN(n, (size_t)GF_GPU_DEVICES), &none, ret, why, size, err);
}

/* ---- in words -------------------------------------------------------------------- */

const char *gf_engine_kind_name(uint32_t kind)
{
	return kind == GF_ENGINE_GPU ? "gpu" : "cpu";
}

const char *gf_gpu_mode_name(uint32_t mode)
{
	return mode == GF_GPU_LAUNCH ? "launch" : mode == GF_GPU_RELAY ? "relay" : "persistent";
}

bool gf_engine_needs_host(const struct gf_engine_stats *st)
{
	return st->kind != GF_ENGINE_GPU || st->gpu_mode == GF_GPU_LAUNCH;
}

const char *gf_engine_place(const struct gf_engine_stats *st, char *buf, size_t n)
{
	if (st->kind == GF_ENGINE_GPU)
		snprintf(buf, n, "GPU %u (%.*s)", st->gpu_device, (int)sizeof st->gpu_name, st->gpu_name);
	else
		snprintf(buf, n, "the CPU");
	return buf;
}

void gf_engine_json(const struct gf_engine_stats *st, struct gf_jbuf *b)
{
	gf_jbuf_open(b, '{');
	gf_jbuf_kstr(b, "kind", gf_engine_kind_name(st->kind));
	if (st->kind == GF_ENGINE_GPU) {
		gf_jbuf_kuint(b, "device", st->gpu_device);
		gf_jbuf_kstr(b, "name", st->gpu_name);
		gf_jbuf_kstr(b, "mode", gf_gpu_mode_name(st->gpu_mode));
		gf_jbuf_kuint(b, "blocks", st->gpu_blocks);
		gf_jbuf_kuint(b, "threads", st->gpu_threads);
	}
	gf_jbuf_kstr(b, "why", st->why);
	gf_jbuf_kuint(b, "takeovers", st->takeovers);
	gf_jbuf_kbool(b, "rt", st->rt);
	gf_jbuf_kbool(b, "mlocked", st->mlocked);
	gf_jbuf_close(b, '}');
}

/* ---- neighbours ------------------------------------------------------------------ */

struct gf_gpus {
	const struct gf_daemon *d;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool stop;
	char text[GF_GPU_DEVICES][400]; /* under lock */
};

/* Bit i: device i. ret_stays: those on which a kernel stays. */
static uint64_t devices_in_use(const struct gf_daemon *d, uint64_t *ret_stays)
{
	struct gf_engine_stats st;
	uint64_t mask = 0, bit;

	*ret_stays = 0;
	for (size_t i = 0; i < d->watches; i++) {
		gf_engine_stats(d->watch[i].engine, &st);
		if (gf_engine_needs_host(&st) || st.gpu_device >= GF_GPU_DEVICES)
			continue;
		bit = 1ull << st.gpu_device;
		mask |= bit;
		*ret_stays |= st.gpu_mode == GF_GPU_PERSISTENT ? bit : 0;
	}
	return mask;
}

static void look(struct gf_gpus *g, uint32_t device, bool ours, bool stays)
{
	char text[sizeof *g->text] = "", before[sizeof *g->text];

	if (ours)
		gf_gpu_neighbours(device, stays, text, sizeof text);
	pthread_mutex_lock(&g->lock);
	memcpy(before, g->text[device], sizeof before);
	memcpy(g->text[device], text, sizeof text);
	pthread_mutex_unlock(&g->lock);
	/* who comes and goes among many is not news */
	if (*text && !*before)
		gf_reporter_say_of(g->d->reporter, GF_NONE, LOG_WARNING, "GPU %u is %s", device, text);
	else if (*before && !*text && ours)
		gf_reporter_say_of(g->d->reporter, GF_NONE, LOG_NOTICE, "GPU %u is not shared any more", device);
}

static void *gpus_thread(void *arg)
{
	struct gf_gpus *g = arg;
	struct timespec due;

	clock_gettime(CLOCK_MONOTONIC, &due);
	due.tv_sec += FIRST_LOOK_S;
	pthread_mutex_lock(&g->lock);
	while (!g->stop) {
		if (pthread_cond_timedwait(&g->cond, &g->lock, &due) != ETIMEDOUT)
			continue;
		pthread_mutex_unlock(&g->lock);
		uint64_t stays, ours = devices_in_use(g->d, &stays);
		for (uint32_t i = 0; i < GF_GPU_DEVICES; i++)
			look(g, i, ours & 1ull << i, stays & 1ull << i);
		clock_gettime(CLOCK_MONOTONIC, &due);
		due.tv_sec += LOOK_EVERY_S;
		pthread_mutex_lock(&g->lock);
	}
	pthread_mutex_unlock(&g->lock);
	return NULL;
}

static void release(struct gf_gpus *g)
{
	pthread_mutex_destroy(&g->lock);
	pthread_cond_destroy(&g->cond);
	free(g);
}

int gf_gpus_create(const struct gf_daemon *d, struct gf_gpus **ret, struct gf_err *err)
{
	struct gf_gpus *g = calloc(1, sizeof *g);

	if (!g)
		return gf_err_set(err, ENOMEM, "out of memory");
	g->d = d;
	pthread_mutex_init(&g->lock, NULL);
	gf_cond_init(&g->cond);
	int r = gf_thread_start(&g->thread, "gpufasd-gpus", gpus_thread, g, err);
	if (r)
		release(g);
	else
		*ret = g;
	return r;
}

void gf_gpus_destroy(struct gf_gpus *g)
{
	if (!g)
		return;
	gf_thread_end(g->thread, &g->lock, &g->cond, &g->stop);
	release(g);
}

const char *gf_gpus_neighbours(struct gf_gpus *g, uint32_t device, char *buf, size_t n)
{
	buf[0] = 0;
	if (!g || device >= GF_GPU_DEVICES)
		return buf;
	pthread_mutex_lock(&g->lock);
	snprintf(buf, n, "%s", g->text[device]);
	pthread_mutex_unlock(&g->lock);
	return buf;
}
