/* SPDX-License-Identifier: MIT
 *
 * A source as a target. Nobody acts on it: what becomes of verdicts is the source's own affair (sim/model.c).
 */
#include "sim/feed.h"

#include <stdlib.h>
#include <string.h>

#include "targets/target.h"

struct trace {
	struct gf_target t;
	struct gf_feed *src;
	bool taken; /* the source's sample has not been handed over yet */
	int rc;     /* of the source's next() for it */
	struct gf_err err;
};

int gf_trace_next(struct gf_target *target, struct gf_err *err)
{
	struct trace *t = (struct trace *)target;

	t->err.text[0] = 0;
	t->rc = gf_feed_next(t->src, &t->err);
	t->taken = true;
	if (t->rc && err)
		*err = t->err;
	/* Arrays are the source's. */
	if (!t->rc || t->rc == -EAGAIN)
		t->t.sample = t->src->sample;
	return t->rc;
}

static int trace_sample(struct gf_target *target, struct gf_err *err)
{
	struct trace *t = (struct trace *)target;

	if (!t->taken)
		gf_trace_next(target, NULL);
	t->taken = false;
	if (t->rc && err)
		*err = t->err;
	return t->rc;
}

static int trace_set_fields(struct gf_target *target, const struct gf_fieldset *f, struct gf_err *err)
{
	struct trace *t = (struct trace *)target;
	int rc = gf_feed_set_fields(t->src, f, err);

	t->t.sample = t->src->sample;
	return rc;
}

static int trace_set_paths(struct gf_target *target, const char *const *path, size_t n, struct gf_err *err)
{
	return gf_feed_set_paths(((struct trace *)target)->src, path, n, err);
}

static void trace_destroy(struct gf_target *target)
{
	free(target);
}

int gf_trace_create(struct gf_feed *src, struct gf_target **ret, struct gf_err *err)
{
	static const struct gf_target_ops ops = {
		.kind = "trace", .sample = trace_sample, .set_fields = trace_set_fields, .set_paths = trace_set_paths,
		.destroy = trace_destroy,
	};
	struct trace *t = calloc(1, sizeof *t);

	if (!t)
		return gf_err_set(err, ENOMEM, "out of memory for a trace");
	t->t.ops = &ops;
	t->src = src;
	t->t.target_kind = GF_TARGET_TRACE;
	memcpy(t->t.name, src->info.name, sizeof t->t.name);
	snprintf(t->t.road, sizeof t->t.road, "%.100s", src->info.origin);
	t->t.sample = src->sample;
	*ret = &t->t;
	return 0;
}
