// SPDX-License-Identifier: MIT
#include "sim/reel.h"

#include <stdlib.h>
#include <string.h>

#include "sim/digest.h"
#include "sim/grow.h"
#include "sim/model.h"
#include "targets/target.h"

#define FRAME_SIZE (64u << 20)
#define FRAME_TICKS 256u
#define ALIGN 64u

/* Who makes frames, one after the other: all of them at once, or window by window in passes. */
struct gf_reel_maker {
	struct gf_reel *r;
	struct gf_feed *feed;
	struct gf_reel_opts o;
	struct gf_reel_frame *f; /* at hand */
	uint64_t last_ns;
	uint32_t epoch;
	int32_t good;            /* in the frame at hand */
	uint64_t stamp;          /* of what has come into it */
	bool again;              /* a pass: frames are to be as they were */
	bool ended;
};

/* Room in the frame; its offset, 0 only for what a frame begins with. */
static int take(struct gf_reel_frame *f, size_t n, uint64_t *ret)
{
	size_t at = (f->size + ALIGN - 1) / ALIGN * ALIGN, want = at + n;

	if (want > f->room) {
		size_t room = GF_MAX(f->room * 2, want + (1u << 20));
		uint8_t *p = realloc(f->base, room);
		if (!p)
			return -ENOMEM;
		f->base = p;
		f->room = room;
	}
	f->size = want;
	*ret = at;
	return 0;
}

/* An array of the sample; the one of `was` once more where it is the same. */
static int put(struct gf_reel_frame *f, const void *p, size_t n, uint64_t was, bool may, uint64_t *ret)
{
	if (may && was && !memcmp(f->base + was, p, n)) {
		*ret = was;
		return 0;
	}
	if (take(f, n, ret))
		return -ENOMEM;
	memcpy(f->base + *ret, p, n);
	return 0;
}

static int note_refs(struct gf_reel_frame *f, uint64_t at, uint32_t n)
{
	if (!gf_grow(&f->refs, &f->ref_cap, f->ref_n + 1u, sizeof *f->refs))
		return -ENOMEM;
	f->refs[f->ref_n++] = (struct gf_reel_refs){ at, n };
	return 0;
}

/* Where the texts of a column are the same as those of the tick before, which has at least as many rows. */
static bool same_texts(const struct gf_reel_frame *f, const struct gf_sample *s, uint32_t field, uint64_t was, uint32_t n)
{
	const struct gf_strref *a = (const struct gf_strref *)(const void *)(f->base + was);

	for (uint32_t i = 0; i < n; i++) {
		uint32_t ver = i < s->rows ? s->str[field][i].ver : 0;
		if (a[i].ver != ver)
			return false;
	}
	return true;
}

/* Texts, with offsets for pointers until the frame is done. Text of a version that the tick before had is where that has it. */
static int put_texts(struct gf_reel_frame *f, const struct gf_sample *s, uint32_t field, uint64_t was, uint32_t was_n, uint32_t n, uint64_t *ret)
{
	uint64_t at;

	if (was && was_n >= n && same_texts(f, s, field, was, n)) {
		*ret = was;
		return 0;
	}
	if (take(f, n * sizeof(struct gf_strref), ret) || note_refs(f, *ret, n))
		return -ENOMEM;
	memset(f->base + *ret, 0, n * sizeof(struct gf_strref));
	for (uint32_t i = 0; i < s->rows; i++) {
		const struct gf_strref *from = &s->str[field][i];
		struct gf_strref to = { NULL, from->len, from->ver };
		if (!from->ver)
			continue;
		if (was && i < was_n && ((struct gf_strref *)(void *)(f->base + was))[i].ver == from->ver) {
			to = ((struct gf_strref *)(void *)(f->base + was))[i];
		} else {
			if (take(f, from->len + 1u, &at))
				return -ENOMEM;
			memcpy(f->base + at, from->p, from->len);
			f->base[at + from->len] = 0;
			to.p = (const char *)(uintptr_t)at;
		}
		((struct gf_strref *)(void *)(f->base + *ret))[i] = to;
	}
	return 0;
}

/* Pointers for offsets. */
static void finish(struct gf_reel_frame *f)
{
	for (uint32_t k = 0; k < f->ref_n; k++) {
		struct gf_strref *v = (struct gf_strref *)(void *)(f->base + f->refs[k].at);
		for (uint32_t i = 0; i < f->refs[k].n; i++)
			if (v[i].ver)
				v[i].p = (const char *)f->base + (uintptr_t)v[i].p;
	}
}

/* All rows of a column in a buffer that has `up` of them: what the sample does not have is empty. */
#define ARRAY(field, size, may) put(f, s->field, (size_t)up * (size), was ? was->field : 0, (may) && was->up >= up, &t.field)

static int put_tables(struct gf_reel_maker *m, const struct gf_sample *s, const struct gf_reel_tick *was_at)
{
	struct gf_reel_frame *f = m->f;
	struct gf_reel_tick copy = { 0 }, *was = was_at ? &copy : NULL, t = f->tick[f->ticks];
	uint32_t up = GF_MIN((s->rows + 127) / 128 * 128, s->cap);
	int rc;

	if (was_at)
		copy = *was_at;
	t.up = up;
	rc = ARRAY(flags, 1, was);
	rc = rc ? rc : ARRAY(gen, 4, was);
	rc = rc ? rc : ARRAY(parent, 4, was);
	rc = rc ? rc : ARRAY(uid, 4, was);
	rc = rc ? rc : ARRAY(pid, 4, was);
	rc = rc ? rc : ARRAY(start_ns, 8, was);
	rc = rc ? rc : ARRAY(comm, GF_COMM_LEN, was);
	for (uint32_t c = 0; c < GF_COLS && !rc; c++)
		if (s->col[c])
			rc = put(f, s->col[c], (size_t)up * 8, was ? was->col[c] : 0, was && was->up >= up, &t.col[c]);
	for (uint32_t c = 0; c < GF_SF_COUNT && !rc; c++)
		if (s->str[c])
			rc = put_texts(f, s, c, was ? was->str[c] : 0, was ? was->up : 0, up, &t.str[c]);
	f->tick[f->ticks] = t;
	if (up > m->r->cap) /* others may be looking at it in a later pass, where it is not so */
		m->r->cap = up;
	return rc;
}

/* A tick's tables as a sample. */
static void sample_of(const struct gf_reel_frame *f, const struct gf_reel_tick *t, struct gf_sample *s)
{
	gf_reel_bind(t, f->base, t->up, s);
	memcpy(s->host, t->host, sizeof s->host);
}

static void frame_drop(struct gf_reel_frame *f)
{
	free(f->base);
	free(f->tick);
	free(f->refs);
	f->base = NULL;
	f->tick = NULL;
	f->refs = NULL;
}

/* A frame without ticks, the i-th. */
static int new_frame(struct gf_reel_maker *m, size_t i)
{
	struct gf_reel *r = m->r;
	struct gf_reel_frame *f;
	uint32_t ticks = m->o.frame_ticks ? m->o.frame_ticks : FRAME_TICKS;
	uint64_t begins;

	if (i == r->frames_cap) {
		size_t cap = r->frames_cap ? 2 * r->frames_cap : 16;
		f = realloc(r->frame, cap * sizeof *f);
		if (!f)
			return -ENOMEM;
		r->frame = f;
		r->frames_cap = cap;
	}
	f = &r->frame[i];
	if (m->again)
		frame_drop(f);
	memset(f, 0, sizeof *f);
	if (i >= r->frames)
		r->frames = i + 1;
	f->tick = calloc(ticks + 1, sizeof *f->tick);
	if (!f->tick)
		return -ENOMEM;
	m->f = f;
	/* It is there also where no tick comes into it, or none that is good: who copies frames need not ask. */
	if (take(f, ALIGN, &begins))
		return -ENOMEM;
	memset(f->base, 0, ALIGN);
	return 0;
}

/* The frame after the one at hand, which is done: what its first ticks refer to is carried over. */
static int next_frame(struct gf_reel_maker *m, size_t i)
{
	struct gf_reel_tick last = { 0 };
	struct gf_sample s = { 0 };
	int rc;

	if (m->good >= 0) {
		last = m->r->frame[i - 1].tick[m->good];
		sample_of(&m->r->frame[i - 1], &last, &s);
	}
	rc = new_frame(m, i);
	if (rc || m->good < 0)
		return rc;
	memset(last.col, 0, sizeof last.col);
	memset(last.str, 0, sizeof last.str);
	last.carried = 1;
	last.good = 0;
	last.before = -1;
	m->f->tick[0] = last;
	rc = put_tables(m, &s, NULL);
	m->f->ticks = m->f->first = 1;
	m->good = 0;
	return rc;
}

static int take_tick(struct gf_reel_maker *m, int failed)
{
	const struct gf_sample *s = &m->feed->sample;
	struct gf_reel_frame *f = m->f;
	struct gf_reel_tick *t = &f->tick[f->ticks];
	int rc = 0;

	t->now_ns = s->now_ns;
	t->wall_ns = m->feed->wall_ns;
	t->seq = s->seq;
	t->stale = failed != 0;
	t->good = m->good;
	t->before = -1;
	if (!failed) {
		t->rows = s->rows;
		t->live = s->live;
		t->dropped = s->dropped;
		t->epoch = s->epoch;
		memcpy(t->host, s->host, sizeof t->host);
		t->reset = m->epoch != s->epoch || s->now_ns < m->last_ns;
		t->before = t->reset ? -1 : m->good;
		t->dt_ns = m->last_ns && s->now_ns > m->last_ns ? s->now_ns - m->last_ns : 0;
		gf_model_keep(t->dt_ns, t->keep);
		rc = put_tables(m, s, m->good >= 0 ? &f->tick[m->good] : NULL);
		t->good = m->good = (int32_t)f->ticks;
		m->epoch = s->epoch;
		m->last_ns = s->now_ns;
	}
	m->stamp = gf_digest_word(gf_digest_word(m->stamp, m->feed->stamp), s->now_ns ^ (uint64_t)failed << 32);
	f->ticks++;
	if (!m->again)
		m->r->ticks++;
	return rc;
}

/* Ticks into the frame at hand until it is full, or as it was in the pass before. */
static int fill(struct gf_reel_maker *m, const struct gf_reel_plan *as, struct gf_err *err)
{
	const struct gf_reel_opts *o = &m->o;
	struct gf_reel_frame *f = m->f;
	size_t most = o->frame_size ? o->frame_size : FRAME_SIZE;
	uint32_t ticks = o->frame_ticks ? o->frame_ticks : FRAME_TICKS;
	int rc = 0, r;

	m->stamp = 0;
	while (!rc && (as ? f->ticks < as->ticks : f->ticks == f->first || (f->size < most && f->ticks - f->first < ticks))) {
		r = gf_feed_next(m->feed, err);
		if (r == -EBADMSG && m->r->ticks) {
			if (!m->again)
				snprintf(m->r->damage, sizeof m->r->damage, "%.255s", err && *err->text ? err->text : "damaged");
			r = -ENODATA;
		}
		if (r == -ENODATA || ((!r || r == -EAGAIN) && o->to_ns && m->feed->sample.now_ns > o->to_ns)) {
			m->ended = true;
			break;
		}
		if (r && r != -EAGAIN)
			return r;
		rc = take_tick(m, r);
		if (o->progress && !m->again)
			o->progress(o->progress_arg, (double)m->r->ticks);
	}
	if (rc)
		return gf_err_set(err, ENOMEM, "out of memory for the recording");
	if (as && (m->ended || f->size > as->size || f->first != as->first || m->stamp != as->stamp))
		return gf_err_set(err, ESTALE, "the recording is being changed while it is read: run it over a copy, or when it is done");
	finish(f);
	return 0;
}

/* From the beginning. */
static int begin(struct gf_reel_maker *m, struct gf_err *err)
{
	int rc = 0;

	m->good = -1;
	m->last_ns = 0;
	m->epoch = 0;
	m->ended = false;
	m->f = NULL;
	if (m->o.fields.paths)
		rc = gf_feed_set_paths(m->feed, m->r->path, m->o.fields.paths, err);
	if (!rc)
		rc = gf_feed_set_fields(m->feed, &m->r->fields, err);
	return rc ? rc : gf_feed_rewind(m->feed, m->o.from_ns, err);
}

static int note_plan(struct gf_reel *r, size_t i)
{
	struct gf_reel_plan *p = realloc(r->plan, r->frames_cap * sizeof *p);

	if (!p)
		return -ENOMEM;
	r->plan = p;
	p[i] = (struct gf_reel_plan){ r->frame[i].size, r->frame[i].ticks, r->frame[i].first, r->maker->stamp };
	return 0;
}

/* All of it; where that is too much, all is looked at and nothing kept. */
static int read_all(struct gf_reel_maker *m, struct gf_err *err)
{
	struct gf_reel *r = m->r;
	int rc = begin(m, err);

	for (size_t i = 0; !rc && !m->ended; i++) {
		if (next_frame(m, i))
			return gf_err_set(err, ENOMEM, "out of memory for the recording");
		rc = fill(m, NULL, err);
		if (!rc && note_plan(r, i))
			rc = gf_err_set(err, ENOMEM, "out of memory for the recording");
		r->size += m->f->size;
		if (m->o.most && r->size > m->o.most)
			r->windows = true;
		for (size_t k = r->dropped; r->windows && k < i; k++)
			frame_drop(&r->frame[k]);
		r->dropped = r->windows ? i : 0;
	}
	if (!rc && r->windows)
		frame_drop(m->f);
	r->ready = r->windows ? 0 : r->frames;
	return rc;
}

int gf_reel_make(struct gf_feed *feed, const struct gf_reel_opts *opts, struct gf_reel **ret, struct gf_err *err)
{
	struct gf_reel *r = calloc(1, sizeof *r);
	struct gf_reel_maker *m = calloc(1, sizeof *m);
	int rc;

	if (!r || !m) {
		free(r);
		free(m);
		return gf_err_set(err, ENOMEM, "out of memory for the recording");
	}
	r->maker = m;
	r->info = feed->info;
	r->cap = 128;
	r->fields = opts->fields;
	r->fields.task |= GF_MODEL_NEEDS & feed->info.has.task;
	m->r = r;
	m->feed = feed;
	m->o = *opts;
	for (uint32_t i = 0; i < opts->fields.paths && i < GF_MAX_PATHS; i++)
		r->path[i] = opts->path[i];
	rc = read_all(m, err);
	if (rc)
		gf_reel_free(r);
	else
		*ret = r;
	return rc;
}

void gf_reel_free(struct gf_reel *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->frames; i++)
		frame_drop(&r->frame[i]);
	free(r->frame);
	free(r->plan);
	free(r->maker);
	free(r);
}

void gf_reel_map(const struct gf_reel *r, const char *const *path, uint32_t n, uint8_t *ret_map)
{
	for (uint32_t k = 0; k < n; k++) {
		ret_map[k] = GF_REEL_NOWHERE;
		for (uint32_t i = 0; i < r->fields.paths; i++)
			if (!strcmp(r->path[i], path[k]))
				ret_map[k] = (uint8_t)i;
	}
}

int gf_reel_begin(struct gf_reel *r, struct gf_err *err)
{
	for (size_t i = 0; i < r->frames; i++)
		frame_drop(&r->frame[i]);
	r->maker->again = true;
	r->ready = 0;
	return begin(r->maker, err);
}

int gf_reel_read(struct gf_reel *r, size_t i, struct gf_err *err)
{
	return next_frame(r->maker, i) ? gf_err_set(err, ENOMEM, "out of memory for the recording") : fill(r->maker, &r->plan[i], err);
}

void gf_reel_drop(struct gf_reel *r, size_t i)
{
	frame_drop(&r->frame[i]);
}

/* ---- as a feed ----------------------------------------------------------------------- */

struct reel_feed {
	struct gf_feed f;
	const struct gf_reel *r;
	struct gf_fieldset want;
	uint8_t map[GF_MAX_PATHS]; /* of want.paths kernel paths */
	size_t frame;
	uint32_t tick;
};

static void show(struct reel_feed *x, const struct gf_reel_frame *f, const struct gf_reel_tick *t)
{
	struct gf_sample *s = &x->f.sample;

	sample_of(f, t, s);
	gf_reel_paths(t, f->base, x->map, x->want.paths, s);
	gf_reel_want(s, x->want.task, x->want.str);
}

static int reel_next(struct gf_feed *f, struct gf_err *err)
{
	struct reel_feed *x = (struct reel_feed *)f;
	const struct gf_reel *r = x->r;
	const struct gf_reel_frame *fr;
	const struct gf_reel_tick *t;

	while (x->frame < r->frames && x->tick >= r->plan[x->frame].ticks) {
		x->frame++;
		x->tick = x->frame < r->frames ? r->plan[x->frame].first : 0;
	}
	if (x->frame == r->frames)
		return *r->damage ? gf_err_set(err, EBADMSG, "%s", r->damage) : -ENODATA;
	if (x->frame >= __atomic_load_n(&r->ready, __ATOMIC_ACQUIRE))
		return -EINPROGRESS;
	fr = &r->frame[x->frame];
	/* What the frame before showed may be gone: this one has it, too. */
	if (r->windows && fr->first && x->tick == fr->first)
		show(x, fr, &fr->tick[0]);
	t = &fr->tick[x->tick++];
	f->sample.now_ns = t->now_ns;
	f->sample.seq = t->seq;
	f->wall_ns = t->wall_ns;
	if (t->stale)
		return gf_err_set(err, EAGAIN, "sampling failed");
	show(x, fr, t);
	return 0;
}

static int reel_rewind(struct gf_feed *f, uint64_t from_ns, struct gf_err *err)
{
	struct reel_feed *x = (struct reel_feed *)f;

	(void)from_ns; /* it begins where it was read from */
	(void)err;
	x->frame = 0;
	x->tick = x->r->frames ? x->r->plan[0].first : 0;
	return 0;
}

static int reel_set_fields(struct gf_feed *f, const struct gf_fieldset *want, struct gf_err *err)
{
	struct reel_feed *x = (struct reel_feed *)f;
	const struct gf_fieldset *has = &x->r->fields;

	if (want->task & ~has->task || want->str & ~has->str || want->paths > GF_MAX_PATHS)
		return gf_err_set(err, EINVAL, "the recording was not read for these fields");
	x->want = *want;
	return 0;
}

static int reel_set_paths(struct gf_feed *f, const char *const *path, size_t n, struct gf_err *err)
{
	struct reel_feed *x = (struct reel_feed *)f;

	if (n > GF_MAX_PATHS)
		return gf_err_set(err, EINVAL, "more than %u kernel paths", GF_MAX_PATHS);
	gf_reel_map(x->r, path, (uint32_t)n, x->map);
	return 0;
}

static void reel_destroy(struct gf_feed *f)
{
	free(f);
}

int gf_reel_feed(const struct gf_reel *r, struct gf_feed **ret, struct gf_err *err)
{
	static const struct gf_feed_ops ops = {
		.next = reel_next, .rewind = reel_rewind, .set_fields = reel_set_fields, .set_paths = reel_set_paths, .destroy = reel_destroy,
	};
	struct reel_feed *x = calloc(1, sizeof *x);

	if (!x)
		return gf_err_set(err, ENOMEM, "out of memory for the recording");
	x->f.ops = &ops;
	x->f.info = r->info;
	x->f.sample.cap = r->cap;
	x->r = r;
	reel_rewind(&x->f, 0, NULL);
	*ret = &x->f;
	return 0;
}
