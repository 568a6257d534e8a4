/* SPDX-License-Identifier: MIT
 *
 * Many policies on a device. They go in batches, as many as there is memory for. Of a batch everything is in two blocks: what is made
 * here (the policies' descriptions, their states' heads, images), and what begins as zero (tables). Images of a sweep differ in a few numbers: a
 * section that is the same as the first image's is there once.
 */
#define GF_SWEPT_DATA_ONLY
#include "sim/swept.h"

#include "sim/many_int.h"

#include <stdlib.h>
#include <string.h>

#define ALIGN 64u
#define VICTIMS 1024u
#define VERDICTS 8192u /* of one tick, as the CPU's engine has them */

static size_t up(size_t n)
{
	return (n + ALIGN - 1) / ALIGN * ALIGN;
}

/* Tables one after the other, at addresses of a device. */
struct bump {
	uintptr_t base;
	size_t at;
};

static void *bump_take(void *arg, size_t n)
{
	struct bump *b = arg;
	void *p = (void *)(b->base + b->at);

	b->at += up(n);
	return p;
}

static void bump_give(void *arg, void *p)
{
	(void)arg;
	(void)p;
}

/* ---- images ---------------------------------------------------------------------------- */

static size_t element(int sec)
{
	static const uint8_t size[GF_SEC_COUNT] = {
		[GF_SEC_CODE] = sizeof(struct gf_insn), [GF_SEC_CONST] = 8, [GF_SEC_PROG] = sizeof(struct gf_prog),
		[GF_SEC_AGG] = sizeof(struct gf_agg), [GF_SEC_COL] = sizeof(struct gf_col), [GF_SEC_HIST] = sizeof(struct gf_hist),
		[GF_SEC_HOLD] = sizeof(struct gf_hold), [GF_SEC_MATCH] = sizeof(struct gf_match), [GF_SEC_DFA] = sizeof(struct gf_dfa),
		[GF_SEC_DFADATA] = 1, [GF_SEC_CLASS] = sizeof(struct gf_class), [GF_SEC_RULE] = sizeof(struct gf_rule),
		[GF_SEC_STEP] = sizeof(struct gf_step), [GF_SEC_TERM] = sizeof(struct gf_term), [GF_SEC_NOTE] = sizeof(struct gf_note),
		[GF_SEC_PATH] = sizeof(struct gf_path), [GF_SEC_STR] = 1,
	};

	return size[sec];
}

/* A device reads no strings, so they count as the same. */
static bool same_section(const struct gf_image_header *a, const struct gf_image_header *b, int k)
{
	return k == GF_SEC_STR || (a->sec[k].count == b->sec[k].count && !memcmp(gf_image_sec(a, k), gf_image_sec(b, k), a->sec[k].count * element(k)));
}

static size_t image_size(const struct gf_image_header *img, const struct gf_image_header *base)
{
	size_t n = up(sizeof *img);

	for (int k = 0; k < GF_SEC_COUNT; k++)
		if (!same_section(img, base, k))
			n += up(img->sec[k].count * element(k));
	return n;
}

/* Into the head at `at`; the first image is at base_at, behind it. */
static void image_put(uint8_t *head, size_t at, const struct gf_image_header *img, const struct gf_image_header *base, size_t base_at)
{
	struct gf_image_header *to = (struct gf_image_header *)(void *)(head + at);
	size_t o = up(sizeof *img);

	*to = *img;
	for (int k = 0; k < GF_SEC_COUNT; k++) {
		size_t n = img->sec[k].count * element(k);
		if (same_section(img, base, k)) {
			to->sec[k].off = (uint32_t)(base_at - at + base->sec[k].off);
			continue;
		}
		to->sec[k].off = (uint32_t)o;
		memcpy(head + at + o, gf_image_sec(img, k), n);
		o += up(n);
	}
}

/* ---- one policy --------------------------------------------------------------------------- */

/* What one takes: in the head beside its struct gf_swept, and of tables. */
struct sizes {
	size_t state, pstate, image, tables;
};

static struct gf_fieldset shown_fields(const struct gf_batch *b, const struct gf_image_header *img)
{
	const struct gf_outcome_opts *o = &b->m->opts->outcome;
	struct gf_fieldset f = img->fields;

	f.host |= o->also.host | o->run.also.host;
	f.task |= o->also.task | o->run.also.task;
	f.str |= o->also.str | o->run.also.str;
	if (!o->pressure)
		return f;
	f.host |= o->pressure->fields.host;
	f.task |= o->pressure->fields.task;
	f.str |= o->pressure->fields.str;
	return f;
}

/* Pressure that is of the host alone needs no rows. */
static bool host_only(const struct gf_image_header *img)
{
	const struct gf_prog *p = GF_SEC(struct gf_prog, img, GF_SEC_PROG);

	for (uint32_t k = 0; k < img->sec[GF_SEC_PROG].count; k++)
		if (p[k].scope == GF_SCOPE_TASK)
			return false;
	return !img->sec[GF_SEC_MATCH].count && !(GF_SEC(struct gf_rule, img, GF_SEC_RULE)->flags & GF_RULE_TASK);
}

static uint32_t verdict_room(const struct gf_batch *b)
{
	return GF_MIN(VERDICTS, GF_MAX(1024u, 2 * b->m->reel->cap));
}

static void own_layout(struct gf_batch *b, const struct gf_fieldset *f, struct gf_sample *s, struct bump *t)
{
	uint32_t cap = b->m->reel->cap;

	s->cap = cap;
	s->flags = bump_take(t, cap);
	s->gen = bump_take(t, cap * 4);
	s->parent = bump_take(t, cap * 4);
	s->uid = bump_take(t, cap * 4);
	s->pid = bump_take(t, cap * 4);
	s->start_ns = bump_take(t, cap * 8);
	s->comm = bump_take(t, cap * GF_COMM_LEN);
	for (uint32_t c = 0; c < GF_COLS; c++)
		if (c < GF_TF_COUNT ? f->task >> c & 1 : c - GF_TF_COUNT < f->paths)
			s->col[c] = bump_take(t, cap * 8);
	for (uint32_t c = 0; c < GF_SF_COUNT; c++)
		if (f->str >> c & 1)
			s->str[c] = bump_take(t, cap * sizeof(struct gf_strref));
}

static void model_make(struct gf_batch *b, const struct gf_image_header *img, const struct gf_fieldset *f, struct gf_mcore *m, struct bump *t)
{
	void *at;

	m->opts = b->m->opts->outcome.model;
	m->task_has = f->task | (GF_MODEL_NEEDS & b->m->reel->info.has.task);
	m->host_wants = f->host;
	at = bump_take(t, gf_mcore_layout(m, b->m->reel->cap, gf_mcore_stops(img), NULL));
	gf_mcore_layout(m, b->m->reel->cap, gf_mcore_stops(img), at);
}

/* A state, flat, of which tables are at t; returns its size, or 0. at NULL: only that. */
static size_t state_put(const struct gf_image_header *img, const struct gf_image_header *img_dev, uint32_t cap, struct bump *t, void *dev, void *at)
{
	struct gf_state_place place = { bump_take, bump_give, t };
	struct gf_state *st;
	size_t n;

	if (gf_state_create_at(img, cap, &place, &st, NULL))
		return 0;
	n = gf_state_flatten(st, img_dev, dev, at);
	gf_state_destroy(st);
	return up(n);
}

/* An address where only sizes are asked for: nothing is there, and nobody looks. */
#define NOWHERE ((uint8_t *)(uintptr_t)4096)

/* Makes one at swept (of which the device's address is dev), its state's head and image at `at` in the head; or, head NULL, finds
 * out how large it is. -ENOMEM. */
static int make_one(struct gf_batch *b, size_t k, struct gf_swept *v, struct gf_swept *dev, size_t at, size_t rules_at, size_t what_at, struct bump *t, struct sizes *z)
{
	const struct gf_image_header *img = b->m->img[b->of[k]], *press = b->m->opts->outcome.pressure, *base = b->m->img[b->of[0]];
	const struct gf_outcome_opts *o = &b->m->opts->outcome;
	struct gf_fieldset f = shown_fields(b, img);
	uint8_t *h = b->head, *d = b->head_dev ? b->head_dev : NOWHERE;
	size_t image_at, state_at = at, pstate_at, begun = t->at;
	uint32_t pcap = press && !host_only(press) ? b->m->reel->cap : GF_ROW_BLOCK;

	memset(v, 0, sizeof *v);
	z->image = image_size(img, base);
	image_at = at;
	state_at = at + z->image;
	z->state = state_put(img, (void *)(d + image_at), b->m->reel->cap, t, d + state_at, h ? h + state_at : NULL);
	pstate_at = state_at + z->state;
	z->pstate = press ? state_put(press, (void *)(d + b->pressure_at), pcap, t, d + pstate_at, h ? h + pstate_at : NULL) : 0;
	if (!z->state || (press && !z->pstate))
		return -ENOMEM;
	if (h)
		image_put(h, image_at, img, base, b->image_at);
	v->st = (void *)(d + state_at);
	v->pst = press ? (void *)(d + pstate_at) : NULL;
	v->pressure_host = press && host_only(press);
	v->team.lanes = v->team.blocks = 1;
	v->team.ctx = dev;
	v->task = f.task;
	v->str = f.str;
	v->paths = GF_MIN(f.paths, GF_MAX_PATHS);
	for (uint32_t i = 0; i < v->paths; i++) {
		const char *text = gf_image_path(img, i);
		gf_reel_map(b->m->reel, &text, 1, &v->path[i]);
	}
	own_layout(b, &f, &v->own, t);
	v->bare.cap = GF_ROW_BLOCK;
	v->now.cap = b->m->reel->cap;
	model_make(b, img, &f, &v->core, t);
	v->core.in = &dev->truth;
	v->core.out = &dev->own;
	v->core.opts.what_if = (const void *)(d + what_at);
	gf_run_budget(&o->run, &b->m->reel->info, &v->in.budget_n, &v->in.budget_window_ns);
	v->in.observe = o->run.observe;
	v->pin.observe = 1;
	v->out.events = bump_take(t, (GF_SWEPT_STAGED + 1) * sizeof *v->out.events);
	v->out.events_cap = GF_SWEPT_STAGED;
	v->out.verdicts_cap = verdict_room(b);
	v->out.verdicts = bump_take(t, v->out.verdicts_cap * sizeof *v->out.verdicts);
	v->out.seq = &dev->seq;
	v->pout.events = bump_take(t, 9 * sizeof *v->pout.events);
	v->pout.events_cap = 8;
	v->pout.verdicts_cap = 64;
	v->pout.verdicts = bump_take(t, v->pout.verdicts_cap * sizeof *v->pout.verdicts);
	v->pout.seq = &dev->pseq;
	v->seq = v->pseq = 1;
	v->rule = (void *)(d + rules_at);
	v->victims_room = VICTIMS;
	v->victim = bump_take(t, VICTIMS * sizeof *v->victim);
	v->event_room = b->m->opts->events;
	v->event = bump_take(t, v->event_room * sizeof *v->event);
	v->most_ns = 3 * (b->m->reel->info.interval_ns ? b->m->reel->info.interval_ns : 1000000000u);
	z->tables = t->at - begun;
	return 0;
}

static uint32_t rules_of(const struct gf_batch *b, size_t k)
{
	return b->m->img[b->of[k]]->sec[GF_SEC_RULE].count;
}

static size_t swept_stride(void)
{
	return up(sizeof(struct gf_swept));
}

/* ---- a batch ------------------------------------------------------------------------------- */

/* Sums of sizes for the first m runs from b->done on. */
static int measure(struct gf_batch *b, size_t m, size_t *ret_rules)
{
	struct gf_swept *scratch = malloc(sizeof *scratch);
	struct bump t = { ALIGN, 0 };
	size_t rules = 0, rest = 0;
	struct sizes z;
	int rc = scratch ? 0 : -ENOMEM;

	b->head = b->head_dev = NULL;
	for (size_t k = b->done; k < b->done + m && !rc; k++) {
		rc = make_one(b, k, scratch, (void *)NOWHERE, 0, 0, 0, &t, &z);
		rest += z.image + z.state + z.pstate;
		rules += up(rules_of(b, k) * sizeof(struct gf_swept_rule));
	}
	free(scratch);
	b->table_size = t.at + ALIGN;
	b->head_size = m * swept_stride() + rules + rest + up(b->m->opts->outcome.model.what_ifs * sizeof(struct gf_what_if) + 8) +
		       up(b->m->img[b->of[0]]->size) + up(b->m->opts->outcome.pressure ? b->m->opts->outcome.pressure->size : 8);
	*ret_rules = rules;
	return rc;
}

/* The head's contents, for its place on the device. */
static int fill(struct gf_batch *b, size_t m, size_t rules)
{
	const struct gf_outcome_opts *o = &b->m->opts->outcome;
	const struct gf_image_header *base = b->m->img[b->of[0]];
	struct bump t = { (uintptr_t)b->table_dev, 0 };
	size_t rules_at = m * swept_stride(), at = rules_at + rules, what_at;
	int rc = 0;

	/* images point to the first one by a distance, which is forward: that comes last */
	b->image_at = b->head_size - up(base->size) - up(o->pressure ? o->pressure->size : 8);
	b->pressure_at = b->image_at + up(base->size);
	what_at = b->image_at - up(o->model.what_ifs * sizeof(struct gf_what_if) + 8);
	memcpy(b->head + b->image_at, base, base->size);
	if (o->pressure)
		memcpy(b->head + b->pressure_at, o->pressure, o->pressure->size);
	if (o->model.what_ifs)
		memcpy(b->head + what_at, o->model.what_if, o->model.what_ifs * sizeof(struct gf_what_if));
	for (size_t k = 0; k < m && !rc; k++) {
		struct sizes z;
		size_t v = k * swept_stride();
		rc = make_one(b, b->done + k, (void *)(b->head + v), (void *)(b->head_dev + v), at, rules_at, what_at, &t, &z);
		at += z.image + z.state + z.pstate;
		rules_at += up(rules_of(b, b->done + k) * sizeof(struct gf_swept_rule));
	}
	return rc;
}

void gf_batch_drop(struct gf_batch *b)
{
	if (b->head_dev)
		b->ops->free(b->dev, b->head_dev);
	if (b->table_dev)
		b->ops->free(b->dev, b->table_dev);
	free(b->head);
	b->head = b->head_dev = b->table_dev = NULL;
}

int gf_batch_make(struct gf_batch *b, size_t most, struct gf_err *err)
{
	int rc;

	for (size_t n = most; n; n /= 2) {
		rc = measure(b, n, &b->rules_size);
		if (rc)
			return gf_err_set(err, ENOMEM, "out of memory for a sweep's states");
		if (b->head_size > UINT32_MAX) /* distances are of 32 bits */
			continue;
		b->head_dev = b->ops->alloc(b->dev, b->head_size);
		b->table_dev = b->head_dev ? b->ops->alloc(b->dev, b->table_size) : NULL;
		b->head = b->table_dev ? calloc(1, b->head_size) : NULL;
		if (!b->head) {
			gf_batch_drop(b);
			continue;
		}
		rc = fill(b, n, b->rules_size);
		if (!rc)
			rc = b->ops->copy_in(b->dev, b->head_dev, b->head, b->head_size, err);
		b->runs = n;
		return rc == -ENOMEM ? gf_err_set(err, ENOMEM, "out of memory for a sweep's states") : rc;
	}
	return gf_err_set(err, ENOMEM, "it has no memory for a single run (%llu MiB)", (unsigned long long)((b->head_size + b->table_size) >> 20));
}

/* ---- frames --------------------------------------------------------------------------------- */

static size_t ticks_size(uint32_t ticks)
{
	return up(ticks * sizeof(struct gf_reel_tick));
}

/* A frame as the device is to have it: ticks, then tables, pointers being its own. */
static void stage(const struct gf_reel_frame *f, uint8_t *stage_at, const uint8_t *frame_dev)
{
	uint8_t *to = stage_at + ticks_size(f->ticks);
	const char *dev = (const char *)frame_dev + ticks_size(f->ticks);

	memcpy(stage_at, f->tick, f->ticks * sizeof *f->tick);
	memcpy(to, f->base, f->size);
	for (uint32_t k = 0; k < f->ref_n; k++) {
		struct gf_strref *v = (struct gf_strref *)(void *)(to + f->refs[k].at);
		for (uint32_t i = 0; i < f->refs[k].n; i++)
			if (v[i].ver)
				v[i].p = dev + (v[i].p - (const char *)f->base);
	}
}

int gf_batch_send(struct gf_batch *b, size_t i, uint32_t at, struct gf_err *err)
{
	const struct gf_reel_frame *f = &b->m->reel->frame[i];

	stage(f, b->stage[at], b->frame_dev[at]);
	return b->ops->send(b->dev, b->frame_dev[at], b->stage[at], ticks_size(f->ticks) + f->size, err);
}

/* Lanes of one run: all that the device has, among as many as there are, in whole warps. */
static uint32_t lanes_of(const struct gf_batch *b)
{
	uint32_t each = (uint32_t)(b->info.lanes / b->runs) / 32 * 32, rows = (b->m->reel->cap + 31) / 32 * 32;

	return GF_MAX(32u, GF_MIN(GF_MIN(each, rows), 256u));
}

int gf_batch_start(struct gf_batch *b, size_t i, uint32_t at, struct gf_err *err)
{
	const struct gf_reel_plan *p = &b->m->reel->plan[i];
	uint32_t lanes = lanes_of(b);

	b->lanes = lanes;
	return b->ops->start(b->dev, (void *)b->head_dev, swept_stride(), (uint32_t)b->runs, lanes, b->frame_dev[at] + ticks_size(p->ticks),
			     (void *)b->frame_dev[at], p->first, p->ticks, err);
}

int gf_batch_frames(struct gf_batch *b, struct gf_err *err)
{
	const struct gf_reel *r = b->m->reel;
	uint32_t two = r->frames > 1 ? 2 : 1;

	for (size_t i = 0; i < r->frames; i++)
		b->frame_size = GF_MAX(b->frame_size, ticks_size(r->plan[i].ticks) + up(r->plan[i].size));
	for (uint32_t k = 0; k < two; k++) {
		b->stage[k] = b->ops->stage_alloc(b->dev, b->frame_size);
		b->frame_dev[k] = b->stage[k] ? b->ops->alloc(b->dev, b->frame_size) : NULL;
		if (!b->frame_dev[k])
			return gf_err_set(err, ENOMEM, "it has no memory for %llu MiB of the recording", (unsigned long long)(two * b->frame_size >> 20));
	}
	return 0;
}

/* ---- results -------------------------------------------------------------------------------- */

static void rules_out(const struct gf_swept_rule *from, struct gf_outcome *o)
{
	for (size_t k = 0; k < o->rules; k++) {
		const struct gf_swept_rule *r = &from[k];
		struct gf_outcome_rule *to = &o->rule[k];
		to->actions = r->actions;
		to->steps = r->steps;
		to->no_victims = r->no_victims;
		memcpy(to->held, r->held, sizeof to->held);
		to->observed = r->observed;
		to->first_ns = r->first_ns;
		to->last_ns = r->last_ns;
		to->true_ns = r->true_ns;
		to->was_true = r->was_true != 0;
		to->ticks_true = r->ticks_true;
		to->ticks_unknown = r->ticks_unknown;
		to->ticks = r->ticks;
		to->close = gf_unknown();
	}
}

static void said_out(const struct gf_batch *b, const struct gf_mcore *m, struct gf_model_said *to)
{
	uint64_t has = b->m->reel->info.has.task;

	*to = m->said;
	to->cpu_ns += m->cpu_saved;
	to->by_rss = !(has & GF_BIT(GF_TF_ANON)) && has & GF_BIT(GF_TF_RSS);
	to->no_memory = !(has & (GF_BIT(GF_TF_ANON) | GF_BIT(GF_TF_RSS)));
	to->no_cpu = !(has & GF_BIT(GF_TF_CPUTIME));
}

static int lists_out(struct gf_batch *b, const struct gf_swept *v, struct gf_outcome *o, struct gf_err *err)
{
	struct gf_swept_victim *x = v->victims ? malloc(v->victims * sizeof *x) : NULL;
	int rc = 0;

	o->victim = calloc(v->victims + 1, sizeof *o->victim);
	o->event = calloc(v->events + 1, sizeof *o->event);
	if ((v->victims && !x) || !o->victim || !o->event)
		rc = gf_err_set(err, ENOMEM, "out of memory");
	if (!rc && v->victims)
		rc = b->ops->copy_out(b->dev, x, v->victim, v->victims * sizeof *x, err);
	if (!rc && v->events)
		rc = b->ops->copy_out(b->dev, o->event, v->event, v->events * sizeof *o->event, err);
	for (uint32_t i = 0; i < v->victims && !rc; i++) {
		o->victim[i].pid = x[i].pid;
		o->victim[i].start_ns = x[i].start_ns;
		memcpy(o->victim[i].comm, x[i].comm, GF_COMM_LEN);
	}
	o->victims = o->victims_cap = rc ? 0 : v->victims;
	o->events = o->events_cap = rc ? 0 : v->events;
	free(x);
	return rc;
}

static int one_out(struct gf_batch *b, const struct gf_swept *v, size_t k, struct gf_err *err)
{
	struct gf_outcome *o = &b->m->out[k];
	int rc;

	o->rules = b->m->img[k]->sec[GF_SEC_RULE].count;
	o->rule = calloc(o->rules + 1, sizeof *o->rule);
	if (!o->rule)
		return gf_err_set(err, ENOMEM, "out of memory");
	rules_out((const void *)(b->head + ((const uint8_t *)v->rule - b->head_dev)), o);
	rc = lists_out(b, v, o, err);
	o->events_lost = v->events_n - v->events;
	o->actions = v->actions;
	o->ticks = v->ticks;
	o->stale = v->stale;
	o->first_ns = v->first_ns;
	o->first_wall_ns = v->first_wall_ns;
	o->last_ns = v->last_ns;
	o->last_wall_ns = v->last_wall_ns;
	o->most_tasks = v->most_tasks;
	o->pressure_ns = v->pressure_ns;
	o->digest = v->digest;
	said_out(b, &v->core, &o->said);
	if (!v->ended)
		memcpy(o->damage, b->m->reel->damage, sizeof o->damage);
	for (uint32_t i = 0; i < o->events; i++) {
		o->event[i].decide_ns = 0;
		o->event[i].wall_ns = 0;
	}
	return rc;
}

int gf_batch_results(struct gf_batch *b, struct gf_err *err)
{
	int rc = b->ops->copy_out(b->dev, b->head, b->head_dev, b->runs * swept_stride() + b->rules_size, err);

	for (size_t k = 0; k < b->runs && !rc; k++) {
		const struct gf_swept *v = (const void *)(b->head + k * swept_stride());
		size_t of = b->of[b->done + k];
		if (v->inexact) {
			b->m->todo[of] = GF_RUN_INEXACT;
			continue;
		}
		rc = one_out(b, v, of, err);
		if (!rc)
			b->m->todo[of] = GF_RUN_DONE;
		else
			gf_outcome_deinit(&b->m->out[of]);
	}
	return rc;
}

void gf_batch_close(struct gf_batch *b)
{
	if (!b->dev)
		return;
	gf_batch_drop(b);
	for (uint32_t k = 0; k < 2; k++) {
		if (b->frame_dev[k])
			b->ops->free(b->dev, b->frame_dev[k]);
		if (b->stage[k])
			b->ops->stage_free(b->dev, b->stage[k]);
	}
	b->ops->close(b->dev);
	b->dev = NULL;
}
