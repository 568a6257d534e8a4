/* SPDX-License-Identifier: MIT
 *
 * A target: something whose tasks can be sampled and acted on.
 */
#ifndef GPUFAS_TARGET_H
#define GPUFAS_TARGET_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "gpufas/err.h"
#include "gpufas/event.h"
#include "gpufas/sample.h"

struct gf_target;

enum gf_host_sampler { GF_SAMPLER_AUTO, GF_SAMPLER_BPF, GF_SAMPLER_PROC, GF_SAMPLER_KMOD };

enum gf_host_delivery { GF_DELIVERY_AUTO, GF_DELIVERY_PIDFD, GF_DELIVERY_KMOD };

struct gf_kmod_dev; /* targets/kmod.h */
struct gf_kmod;

struct gf_target_ops {
	const char *kind; /* "host", "vm", ... */
	/* Takes one sample into t's table. Engine thread; no allocation, no call
	 * that a sampled task can block. Errors leave the last table marked stale. */
	int (*sample)(struct gf_target *t, struct gf_err *err);
	/* Which fields to sample from now on. Between two samples; may allocate. */
	int (*set_fields)(struct gf_target *t, const struct gf_fieldset *f, struct gf_err *err);
	void (*destroy)(struct gf_target *t);
	/* The policy's kernel paths, in the order of their columns; before set_fields, between two samples. Copies
	 * them. What a kernel lacks is unknown there, and said once. NULL: the target has no kernel memory. */
	int (*set_paths)(struct gf_target *t, const char *const *path, size_t n, struct gf_err *err);
	/* How it is sampled and delivered to, as of now, one line. Any thread. NULL: t->road says it. */
	void (*describe)(struct gf_target *t, char *buf, size_t n);
};

/* Every target begins with this. */
struct gf_target {
	const struct gf_target_ops *ops;
	char name[64];
	char road[128]; /* how it is sampled, for status: "bpf", "proc: BPF refused: ..." */
	enum gf_target_kind target_kind;
	struct gf_sample sample;
};

static inline int gf_target_sample(struct gf_target *t, struct gf_err *err)
{
	return t->ops->sample(t, err);
}

static inline int gf_target_set_fields(struct gf_target *t, const struct gf_fieldset *f, struct gf_err *err)
{
	return t->ops->set_fields(t, f, err);
}

static inline int gf_target_set_paths(struct gf_target *t, const char *const *path, size_t n, struct gf_err *err)
{
	if (t->ops->set_paths)
		return t->ops->set_paths(t, path, n, err);
	return n ? gf_err_set(err, ENOTSUP, "target %s has no kernel memory to follow a path in", t->name) : 0;
}

static inline const char *gf_target_describe(struct gf_target *t, char *buf, size_t n)
{
	if (t->ops->describe)
		t->ops->describe(t, buf, n);
	else
		snprintf(buf, n, "%s", t->road);
	return buf;
}

static inline void gf_target_destroy(struct gf_target *t)
{
	if (t)
		t->ops->destroy(t);
}

struct gf_host_opts {
	enum gf_host_sampler sampler;
	enum gf_host_delivery delivery;
	bool module;        /* it may use the kernel module, which serves one: false for whoever only looks, whatever the sampler says */
	uint64_t period_ns; /* of the ticks; 0: 100 ms. What the kernel module goes by */
	uint32_t max_tasks; /* rows, rounded up to a multiple of 128 */
	const int32_t *self_pids; /* processes never to be touched, beside this one and its children; copied */
	size_t self_count;
	/* News of the kernel module, one sentence; level as syslog's. Any thread; must not block. May be NULL. */
	void (*say)(void *arg, int level, const char *text);
	void *say_arg;
	const struct gf_kmod_dev *kmod; /* instead of the device, for tests; NULL: the device */
};
/* The kernel module of a host target, NULL where it is not to be used. */
struct gf_kmod *gf_host_kmod(struct gf_target *t);
/* Up to n processes that are never to be touched, beside this one and its children; how many. */
size_t gf_host_self(const struct gf_target *t, int32_t *buf, size_t n);
/* Of a host target, for status: "kmod", "pidfd", "none"; and what is to be said of the module. Any thread. */
const char *gf_host_delivers(struct gf_target *t);
const char *gf_host_module(struct gf_target *t, char *buf, size_t n);

/* By which road a signal by hand goes. */
enum gf_hand { GF_HAND_AUTO, GF_HAND_CALL, GF_HAND_STORE, GF_HAND_IRQ_WORK, GF_HAND_MAILBOX, GF_HAND_COUNT };

/* This machine. AUTO takes BPF and falls back to /proc, saying why in ->road. */
int gf_host_create(const struct gf_host_opts *opts, struct gf_target **ret, struct gf_err *err);

/* Rows for a sample: allocates the "always" arrays, and the columns of f on
 * gf_sample_set_fields (columns no longer needed are kept). targets/table.c */
int gf_sample_init(struct gf_sample *s, uint32_t cap, struct gf_err *err);
int gf_sample_set_fields(struct gf_sample *s, const struct gf_fieldset *f, struct gf_err *err);
void gf_sample_deinit(struct gf_sample *s);

#endif
