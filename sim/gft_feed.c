/* SPDX-License-Identifier: MIT
 *
 * A recording as a feed.
 */
#include <stdlib.h>
#include <string.h>

#include "sim/gft.h"
#include "sim/feed.h"
#include "targets/target.h"

struct recording {
	struct gf_feed src;
	struct gft_reader *reader;
	uint64_t seq;  /* of the samples that were handed over: they count on over a rewind, too */
};

static int next(struct gf_feed *src, struct gf_err *err)
{
	struct recording *rec = (struct recording *)src;
	int rc = gft_reader_next(rec->reader, &src->sample, err);

	if (!rc || rc == -EAGAIN) {
		src->sample.seq = ++rec->seq;
		src->wall_ns = src->sample.now_ns + (uint64_t)gft_reader_wall_off(rec->reader);
		src->stamp = gft_reader_stamp(rec->reader);
	}
	return rc;
}

static int rewind_to(struct gf_feed *src, uint64_t from_ns, struct gf_err *err)
{
	struct gf_sample *s = &src->sample;

	/* Identities are numbered from the beginning again, so that two runs have the same ones. */
	memset(s->flags, 0, s->cap * sizeof *s->flags);
	memset(s->gen, 0, s->cap * sizeof *s->gen);
	return gft_reader_rewind(((struct recording *)src)->reader, from_ns, err);
}

static int set_fields(struct gf_feed *src, const struct gf_fieldset *f, struct gf_err *err)
{
	return gf_sample_set_fields(&src->sample, f, err);
}

static int set_paths(struct gf_feed *src, const char *const *path, size_t n, struct gf_err *err)
{
	return gft_reader_set_paths(((struct recording *)src)->reader, path, n, err);
}

static void destroy(struct gf_feed *src)
{
	gft_reader_close(((struct recording *)src)->reader);
	gf_sample_deinit(&src->sample);
	free(src);
}

/* The usual time between two samples, where nobody has said it. */
static uint64_t interval_of(const struct gft_info *i)
{
	return i->interval_ns ? i->interval_ns : i->samples > 1 && i->last_ns > i->first_ns ? (i->last_ns - i->first_ns) / (i->samples - 1) :
	       1000000000u;
}

static void tell(const struct gft_info *i, const char *path, struct gf_feed_info *ret)
{
	snprintf(ret->name, sizeof ret->name, "%s", i->target);
	snprintf(ret->host, sizeof ret->host, "%.63s", i->hostname);
	snprintf(ret->origin, sizeof ret->origin, "%s", path);
	ret->target_kind = i->kind;
	ret->first_ns = i->first_ns;
	ret->last_ns = i->last_ns + (i->reboots ? (uint64_t)(i->last_wall_off_ns - i->wall_off_ns) : 0);
	ret->reboots = i->reboots;
	ret->wall_ns = i->wall_off_ns;
	ret->interval_ns = interval_of(i);
	ret->samples = i->samples;
	ret->has = i->has;
	memcpy(ret->path, i->path, sizeof ret->path);
	memcpy(ret->cut, i->cut, sizeof ret->cut);
	ret->budget_n = i->budget_n;
	ret->budget_window_ns = i->budget_window_ns;
}

int gft_feed_open(const char *path, struct gf_feed **ret, struct gf_err *err)
{
	static const struct gf_feed_ops ops = {
		.next = next, .rewind = rewind_to, .set_fields = set_fields, .set_paths = set_paths, .destroy = destroy,
	};
	struct recording *rec = calloc(1, sizeof *rec);
	int rc;

	if (!rec)
		return gf_err_set(err, ENOMEM, "out of memory");
	rec->src.ops = &ops;
	rc = gft_reader_open(path, &rec->reader, err);
	if (!rc) {
		tell(gft_reader_info(rec->reader), path, &rec->src.info);
		rc = gf_sample_init(&rec->src.sample, GF_MAX(gft_reader_info(rec->reader)->max_rows, 128u), err);
	}
	if (rc) {
		if (rec->reader)
			gft_reader_close(rec->reader);
		free(rec);
		return rc;
	}
	*ret = &rec->src;
	return 0;
}
