// SPDX-License-Identifier: MIT
#include "sim/chain.h"

#include <stdlib.h>
#include <string.h>

#include "sim/gft.h"
#include "targets/target.h"

struct chain {
	struct gf_feed f;
	struct gf_feed **of;
	size_t n, at;
	uint32_t *gen;      /* [cap] of whoever was in the row last */
	int32_t *pid;
	uint64_t *start;
	uint32_t rows;
	uint64_t seq, last_wall;
	bool hole;          /* told of the hole before the sample at hand */
	bool kept;          /* a sample was read and has not been handed over */
};

/* Rows that are written, of a table in which `rows` were in use before. */
static uint32_t rows_of(const struct gf_sample *to, const struct gf_sample *from, uint32_t rows)
{
	return GF_MIN((GF_MAX(from->rows, rows) + 127) / 128 * 128, to->cap);
}

void gf_sample_copy_those(struct gf_sample *to, const struct gf_sample *from, uint32_t rows)
{
	uint32_t n = rows_of(to, from, rows), have = GF_MIN(n, from->cap);

	to->now_ns = from->now_ns;
	to->seq = from->seq;
	to->rows = from->rows;
	to->live = from->live;
	to->dropped = from->dropped;
	to->epoch = from->epoch;
	memcpy(to->flags, from->flags, have * sizeof *to->flags);
	memset(to->flags + have, 0, n - have);
	memcpy(to->gen, from->gen, have * sizeof *to->gen);
	memcpy(to->pid, from->pid, have * sizeof *to->pid);
	memcpy(to->start_ns, from->start_ns, have * sizeof *to->start_ns);
	memcpy(to->parent, from->parent, have * sizeof *to->parent);
	memcpy(to->comm, from->comm, have * sizeof *to->comm);
	memcpy(to->uid, from->uid, have * sizeof *to->uid);
	for (uint32_t c = 0; c < GF_COLS; c++) {
		if (!to->col[c] || !from->col[c])
			continue;
		memcpy(to->col[c], from->col[c], have * sizeof *to->col[c]);
		for (uint32_t i = have; i < n; i++)
			to->col[c][i] = gf_unknown();
	}
	for (uint32_t c = 0; c < GF_SF_COUNT; c++) {
		if (!to->str[c] || !from->str[c])
			continue;
		memcpy(to->str[c], from->str[c], have * sizeof *to->str[c]);
		memset(to->str[c] + have, 0, (n - have) * sizeof *to->str[c]);
	}
	memcpy(to->host, from->host, sizeof to->host);
}

void gf_sample_copy(struct gf_sample *to, const struct gf_sample *from, uint32_t rows)
{
	uint32_t n = rows_of(to, from, rows);

	gf_sample_copy_those(to, from, rows);
	for (uint32_t c = 0; c < GF_COLS; c++)
		for (uint32_t i = 0; to->col[c] && !from->col[c] && i < n; i++)
			to->col[c][i] = gf_unknown();
	for (uint32_t c = 0; c < GF_SF_COUNT; c++)
		if (to->str[c] && !from->str[c])
			memset(to->str[c], 0, n * sizeof *to->str[c]);
}

/* Numbers of identities and strings are each recording's own: here they are the chain's. */
static void renumber(struct chain *c)
{
	struct gf_sample *s = &c->f.sample;

	for (uint32_t i = 0; i < GF_MAX(s->rows, c->rows); i++) {
		bool there = i < s->rows && s->flags[i] & GF_ROW_VALID;
		if (there && (c->pid[i] != s->pid[i] || c->start[i] != s->start_ns[i])) {
			c->gen[i]++;
			c->pid[i] = s->pid[i];
			c->start[i] = s->start_ns[i];
		} else if (!there) {
			c->pid[i] = 0;
		}
		s->gen[i] = c->gen[i];
	}
	for (uint32_t k = 0; k < GF_SF_COUNT; k++)
		for (uint32_t i = 0; s->str[k] && i < s->rows; i++)
			if (s->str[k][i].ver)
				s->str[k][i].ver = s->str[k][i].ver * (uint32_t)c->n + (uint32_t)c->at;
}

static bool after_hole(const struct chain *c)
{
	const struct gf_feed *f = c->of[c->at];
	uint64_t most = 5 * (f->info.interval_ns ? f->info.interval_ns : 1000000000u);

	return c->at && c->last_wall && f->wall_ns > c->last_wall + most && f->wall_ns - c->last_wall < UINT64_MAX / 2;
}

static int chain_next(struct gf_feed *f, struct gf_err *err)
{
	struct chain *c = (struct chain *)f;
	struct gf_feed *of;
	int rc = 0;

	if (!c->kept) {
		while ((rc = gf_feed_next(c->of[c->at], err)) == -ENODATA && c->at + 1 < c->n) {
			c->at++;
			c->hole = false;
		}
		if (rc && rc != -EAGAIN)
			return rc;
	}
	of = c->of[c->at];
	f->wall_ns = of->wall_ns;
	f->stamp = of->stamp;
	f->sample.seq = ++c->seq;
	f->sample.now_ns = of->sample.now_ns;
	if (!rc && !c->hole && after_hole(c)) {
		c->hole = c->kept = true;
		f->sample.now_ns--; /* just before the sample that follows */
		return gf_err_set(err, EAGAIN, "nothing was recorded for a while");
	}
	c->kept = false;
	c->hole = true;
	c->last_wall = of->wall_ns;
	if (rc)
		return rc;
	gf_sample_copy(&f->sample, &of->sample, c->rows);
	f->sample.seq = c->seq;
	renumber(c);
	c->rows = f->sample.rows;
	return 0;
}

static int chain_rewind(struct gf_feed *f, uint64_t from_ns, struct gf_err *err)
{
	struct chain *c = (struct chain *)f;
	int rc = 0;

	c->at = 0;
	while (from_ns && c->at + 1 < c->n && c->of[c->at]->info.last_ns && c->of[c->at]->info.last_ns < from_ns)
		c->at++;
	for (size_t i = c->at; i < c->n && !rc; i++)
		rc = gf_feed_rewind(c->of[i], i == c->at ? from_ns : 0, err);
	memset(c->gen, 0, f->sample.cap * sizeof *c->gen);
	memset(c->pid, 0, f->sample.cap * sizeof *c->pid);
	memset(f->sample.flags, 0, f->sample.cap);
	c->seq = c->last_wall = 0;
	c->rows = 0;
	c->hole = true;
	c->kept = false;
	return rc;
}

static int chain_set_fields(struct gf_feed *f, const struct gf_fieldset *want, struct gf_err *err)
{
	struct chain *c = (struct chain *)f;
	int rc = gf_sample_set_fields(&f->sample, want, err);

	for (size_t i = 0; i < c->n && !rc; i++)
		rc = gf_feed_set_fields(c->of[i], want, err);
	return rc;
}

static int chain_set_paths(struct gf_feed *f, const char *const *path, size_t n, struct gf_err *err)
{
	struct chain *c = (struct chain *)f;
	int rc = 0;

	for (size_t i = 0; i < c->n && !rc; i++)
		rc = gf_feed_set_paths(c->of[i], path, n, err);
	return rc;
}

static void chain_destroy(struct gf_feed *f)
{
	struct chain *c = (struct chain *)f;

	for (size_t i = 0; i < c->n; i++)
		gf_feed_destroy(c->of[i]);
	free(c->of);
	free(c->gen);
	free(c->pid);
	free(c->start);
	gf_sample_deinit(&f->sample);
	free(c);
}

/* As many as there is room for; who asks for another gets nothing, and is told. */
static void add_paths(struct gf_feed_info *in, const struct gf_feed_info *x)
{
	for (uint32_t k = 0; k < x->has.paths; k++) {
		uint32_t i = 0;
		while (i < in->has.paths && strcmp(in->path[i], x->path[k]))
			i++;
		if (i == in->has.paths && i < GF_MAX_PATHS)
			in->path[in->has.paths++] = x->path[k];
	}
}

/* Fields that one of them lacks are unknown there: what all together give is what any gives. */
static void tell(struct chain *c)
{
	struct gf_feed_info *in = &c->f.info;

	*in = c->of[0]->info;
	for (size_t i = 1; i < c->n; i++) {
		const struct gf_feed_info *x = &c->of[i]->info;
		add_paths(in, x);
		in->has.host |= x->has.host;
		in->has.task |= x->has.task;
		in->has.str |= x->has.str;
		if (x->reboots || x->first_ns < in->last_ns)
			in->reboots = true;
		in->last_ns = GF_MAX(in->last_ns, x->last_ns + (in->reboots && in->wall_ns && x->wall_ns ? (uint64_t)(x->wall_ns - in->wall_ns) : 0));
		in->samples = in->samples && x->samples ? in->samples + x->samples : 0;
		if (!*in->cut)
			memcpy(in->cut, x->cut, sizeof in->cut);
	}
	snprintf(in->origin, sizeof in->origin, "%.200s and %zu more", c->of[0]->info.origin, c->n - 1);
}

static int in_order(const struct chain *c, struct gf_err *err)
{
	for (size_t i = 1; i < c->n; i++) {
		const struct gf_feed_info *a = &c->of[i - 1]->info, *b = &c->of[i]->info;
		if (strcmp(a->name, b->name) || a->target_kind != b->target_kind)
			return gf_err_set(err, EINVAL, "%.120s is of target %s, %.120s of %s: replay them one by one", a->origin, a->name, b->origin, b->name);
		if (a->wall_ns && b->wall_ns && (int64_t)b->first_ns + b->wall_ns < (int64_t)GF_MAX(a->first_ns, a->last_ns) + a->wall_ns)
			return gf_err_set(err, EINVAL, "%.120s begins before %.120s ends: name recordings in the order of time", b->origin, a->origin);
	}
	return 0;
}

static int make(struct chain *c, struct gf_err *err)
{
	uint32_t cap = 0;
	int rc = in_order(c, err);

	for (size_t i = 0; i < c->n; i++)
		cap = GF_MAX(cap, c->of[i]->sample.cap);
	if (!rc)
		rc = gf_sample_init(&c->f.sample, cap, err);
	if (rc)
		return rc;
	cap = c->f.sample.cap;
	c->gen = calloc(cap, sizeof *c->gen);
	c->pid = calloc(cap, sizeof *c->pid);
	c->start = calloc(cap, sizeof *c->start);
	if (!c->gen || !c->pid || !c->start)
		return gf_err_set(err, ENOMEM, "out of memory");
	tell(c);
	return 0;
}

int gf_chain_open(const char *const *path, size_t n, struct gf_feed **ret, struct gf_err *err)
{
	static const struct gf_feed_ops ops = {
		.next = chain_next, .rewind = chain_rewind, .set_fields = chain_set_fields, .set_paths = chain_set_paths, .destroy = chain_destroy,
	};
	struct chain *c;
	int rc = 0;

	if (n == 1)
		return gft_feed_open(path[0], ret, err);
	c = calloc(1, sizeof *c);
	if (!c)
		return gf_err_set(err, ENOMEM, "out of memory");
	c->f.ops = &ops;
	c->of = calloc(n, sizeof(struct gf_feed *));
	if (!c->of)
		rc = gf_err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < n && !rc; i++) {
		rc = gft_feed_open(path[i], &c->of[i], err);
		c->n += !rc;
	}
	if (!rc)
		rc = make(c, err);
	if (rc) {
		chain_destroy(&c->f);
		return rc;
	}
	*ret = &c->f;
	return 0;
}
