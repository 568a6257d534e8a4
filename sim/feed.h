/* SPDX-License-Identifier: MIT
 *
 * A feed is a source of samples: something that yields samples one after the other, as they were taken, made up or worked out: a
 * recording, the series of a policy test, another source seen through a model of what actions do. Nobody waits: the
 * next sample is there when it is asked for.
 *
 * The source owns the sample. It sets it up (gf_sample_init) with as many rows as it will ever need, and fills it in
 * next(); whoever asked reads it until the next next(). What sample.h says of rows holds: a task keeps its row while it
 * lives, gen changes when a row goes to another identity, a string's version changes when the string does. A source
 * over a recording gives each task the row that it had when it was recorded: of two tasks that rank alike the one with the
 * lower row is taken. seq changes with every sample. One thread.
 */
#ifndef GPUFAS_SIM_FEED_H
#define GPUFAS_SIM_FEED_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "gpufas/bytecode.h"
#include "gpufas/err.h"
#include "gpufas/sample.h"

struct gf_feed;

struct gf_feed_info {
	char name[64];        /* of the target: what events and reports call it */
	char host[64];        /* machine that it was recorded on, "" not known */
	char origin[256];     /* what a person calls the source: a file's name */
	enum gf_target_kind target_kind; /* policies are compiled for it: a policy for a guest may do what one for a host may not */
	uint64_t first_ns, last_ns;      /* CLOCK_BOOTTIME of the first and the last sample; last 0: not known before the end */
	bool reboots;         /* its clock goes back: last_ns is in the first boot's time, by the wall clock */
	int64_t wall_ns;      /* CLOCK_REALTIME - CLOCK_BOOTTIME at the first sample; 0: not known */
	uint64_t interval_ns; /* usual time between two samples: the period to tick at */
	uint64_t samples;     /* 0: not known before the end */
	struct gf_fieldset has; /* what it can give; a field that it lacks is unknown in every sample */
	const char *path[GF_MAX_PATHS]; /* kernel paths that it can give, has.paths of them */
	char cut[160];        /* the recording ends early or is damaged: where and why, a sentence; "" not so */
	/* As the daemon had it while it was recorded; 0, not known. */
	uint32_t budget_n;
	uint64_t budget_window_ns;
};

struct gf_feed_ops {
	/* The next sample, into src->sample. 0; -ENODATA: there are no more; -EAGAIN: sampling failed at this time (only now_ns
	 * and seq of the sample hold, err says why), go on; -EBADMSG: damage, err says where and what, all
	 * before it was good and nothing comes after it; other -errno. */
	int (*next)(struct gf_feed *src, struct gf_err *err);
	/* Back: the next sample is the first one at or after from_ns by the target's boot time; 0: the very first. */
	int (*rewind)(struct gf_feed *src, uint64_t from_ns, struct gf_err *err);
	/* Which fields are wanted from now on; allocates columns (gf_sample_set_fields), also of those that it lacks. Kernel paths
	 * are those of set_paths(). */
	int (*set_fields)(struct gf_feed *src, const struct gf_fieldset *f, struct gf_err *err);
	/* What the kernel paths in columns GF_TF_COUNT.. are; before set_fields. NULL: the source has none, they stay unknown. */
	int (*set_paths)(struct gf_feed *src, const char *const *path, size_t n, struct gf_err *err);
	void (*destroy)(struct gf_feed *src);
};

/* Every source begins with this. */
struct gf_feed {
	const struct gf_feed_ops *ops;
	struct gf_feed_info info;
	struct gf_sample sample;
	uint64_t wall_ns; /* CLOCK_REALTIME of the sample; 0: not known */
	uint64_t stamp;   /* of what it, or a sample that failed, was made of: a checksum, by which who reads it again sees that it is another; 0: not known */
};

static inline int gf_feed_next(struct gf_feed *src, struct gf_err *err)
{
	return src->ops->next(src, err);
}

static inline int gf_feed_rewind(struct gf_feed *src, uint64_t from_ns, struct gf_err *err)
{
	return src->ops->rewind(src, from_ns, err);
}

static inline int gf_feed_set_fields(struct gf_feed *src, const struct gf_fieldset *f, struct gf_err *err)
{
	return src->ops->set_fields(src, f, err);
}

static inline int gf_feed_set_paths(struct gf_feed *src, const char *const *path, size_t n, struct gf_err *err)
{
	return src->ops->set_paths ? src->ops->set_paths(src, path, n, err) : 0;
}

static inline void gf_feed_destroy(struct gf_feed *src)
{
	if (src)
		src->ops->destroy(src);
}

struct gf_target;

/* A target over a source, which it borrows: an engine ticks over it by hand. Its sample is the source's. */
int gf_trace_create(struct gf_feed *src, struct gf_target **ret, struct gf_err *err);
/* Takes the source's next sample, which the target's next sample() hands over (by itself sample() takes it).
 * 0; -EAGAIN: sample() will fail with it, as it did when it was recorded; -ENODATA, -EBADMSG: no more. */
int gf_trace_next(struct gf_target *t, struct gf_err *err);

#endif
