/* SPDX-License-Identifier: MIT
 *
 * The host's side of the GPU engine: what one engine has on its device, handing samples over, taking back what the
 * ticks said, reloads, and the way back to the CPU.
 *
 * The engine's thread (engine_run.c) stays who it is: it keeps the period, samples, and passes on events and verdicts. Only
 * between a sample and its events it waits for the device instead of running the tick itself. So a device that
 * does not answer costs one tick its time, and the CPU goes on with that same tick: a takeover.
 *
 * Everything the device says is numbered by the device. Events get the process's numbers here, in the order in
 * which they come; whoever refers to an event is translated.
 */
#include "gpu/engine_gpu.h"

#include "targets/vm_int.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define STRINGS (8u << 20)    /* bytes of strings of all rows */
#define PAST 16384u           /* events whose numbers are remembered */
#define RULES_LEAST 512u      /* views and states of so many rules find room, whatever the first policy has */
#define LIFE_NS SEC_NS        /* a device that has not answered for so long, or for 10 periods, is given up */
#define QUICK 200u            /* looks at the answer before the thread naps between them */
#define NAP_NS 20000
#define LOOK_NS 5000000ull    /* after so long without an answer the device is asked whether it runs */
#define TRIES 3u               /* reloads that try a GPU again which was given up */
#define START_NS (10 * SEC_NS)
#define SLICE (256ull << 20)  /* a fifth of a second to register; between two of them others have their turn */

const struct gf_dev_ops *gf_dev_backend;

/* ---- memory -------------------------------------------------------------------- */

static void *take(void *arg, size_t size)
{
	struct gf_gpu_host *h = arg;
	void *p = h->ops->alloc(h->dev, size);

	if (p)
		h->taken += size;
	return p;
}

static void give(void *arg, void *p)
{
	struct gf_gpu_host *h = arg;

	h->ops->free(h->dev, p);
}

static size_t mapped_layout(struct gf_gpu_host *h, uint32_t cap, void *base)
{
	size_t at = 0, kept = sizeof *h->kept[0] + h->rules_room * sizeof(struct gf_rule_state);
	uint8_t *p;

	GF_GPU_TAKE(struct gf_gpu_in *, h->in, 1);
	GF_GPU_TAKE(struct gf_gpu_out *, h->out, 1);
	GF_GPU_TAKE(struct gf_gpu_table *, h->table, 1);
	GF_GPU_TAKE(char *, h->strings, STRINGS + 8);
	GF_GPU_TAKE(struct gf_event *, h->events, GF_GPU_EVENTS);
	GF_GPU_TAKE(struct gf_verdict *, h->verdicts, GF_GPU_VERDICTS);
	GF_GPU_TAKE(struct gf_rule_view *, h->views_at, h->rules_room);
	for (int i = 0; i < 3; i++) {
		GF_GPU_TAKE(uint8_t *, p, kept);
		h->kept[i] = (struct gf_gpu_kept *)(void *)p;
	}
	if (h->own || h->module) {
		GF_GPU_TAKE(struct gf_deliver_result *, h->results, GF_GPU_RESULTS);
		GF_GPU_TAKE(struct gf_deliver_hand *, h->hand, 1);
	}
	if (h->own)
		return at;
	GF_GPU_TAKE(uint8_t *, p, gf_gpu_rows_layout(&h->rows, cap, NULL));
	gf_gpu_rows_layout(&h->rows, cap, p);
	return at;
}

static size_t fixed_layout(struct gf_gpu *g, uint32_t cap, bool own, void *base)
{
	size_t at = (sizeof *g + 63) / 64 * 64;
	uint8_t *p;

	GF_GPU_TAKE(char *, g->strings, STRINGS + 8);
	GF_GPU_TAKE(struct gf_rule_state *, g->kept_last, g->rules_room);
	GF_GPU_TAKE(struct gf_event *, g->tick_out.events, GF_GPU_STAGED + 1);
	GF_GPU_TAKE(struct gf_verdict *, g->tick_out.verdicts, GF_GPU_ACTS);
	if (own)
		return at; /* the sampler has its own */
	GF_GPU_TAKE(uint8_t *, p, gf_gpu_sample_layout(&g->all, cap, NULL));
	gf_gpu_sample_layout(&g->all, cap, p);
	return at;
}

/* What of the mapped memory the device sees where. */
static void mapped_addresses(const struct gf_gpu_host *h, struct gf_gpu *g, uint32_t cap, void *device)
{
	struct gf_gpu_host o = *h;

	mapped_layout(&o, cap, device);
	g->in = o.in;
	g->out = o.out;
	g->table = o.table;
	g->rows = o.rows;
	g->strings_in = o.strings;
	g->events = o.events;
	g->verdicts = o.verdicts;
	g->views = o.views_at;
	g->results = o.results;
	g->kept[0] = o.kept[0];
	g->kept[1] = o.kept[1];
	g->kept[2] = o.kept[2];
}

/* ---- a policy on the device ------------------------------------------------------- */

static size_t round64(size_t n)
{
	return (n + 63) / 64 * 64;
}

/* A mirror's sizes are its image's. It has one of its own: a device that does not end keeps its mirror, while the
 * daemon loads other policies and frees those that it had. */
static int mirror_make(struct gf_gpu_host *h, const struct gf_image_header *img, uint32_t cap, struct gf_state **ret)
{
	struct gf_image_header *own = malloc(img->size);
	int rc;

	if (!own)
		return -ENOMEM;
	memcpy(own, img, img->size);
	rc = gf_state_create_at(own, cap, &h->place, ret, NULL);
	if (rc)
		free(own);
	return rc;
}

static void mirror_drop(struct gf_state *mirror)
{
	const struct gf_image_header *own;

	if (!mirror)
		return;
	own = mirror->img;
	gf_state_destroy(mirror);
	free((void *)(uintptr_t)own);
}

static void next_drop(struct gf_gpu_next *n)
{
	if (!n)
		return;
	if (n->lost) {
		free(n);
		return;
	}
	mirror_drop(n->mirror);
	n->host->ops->free(n->host->dev, n->block);
	n->host->ops->free(n->host->dev, n->guest);
	free(n);
}

static int next_make(struct gf_gpu_host *h, const struct gf_image_header *img, uint32_t cap, const struct gf_adoption *plan,
		     struct gf_gpu_next **ret, struct gf_err *err)
{
	struct gf_gpu_next *n = calloc(1, sizeof *n);
	size_t image = round64(img->size), head, numbers = plan ? sizeof *plan + plan->numbers * sizeof *plan->hold : 0;
	uint8_t *buf = NULL, *at;
	int rc;

	if (!n)
		return gf_err_set(err, ENOMEM, "out of memory for the new policy");
	n->host = h;
	n->img = img;
	rc = mirror_make(h, img, cap, &n->mirror);
	if (rc) {
		free(n);
		return gf_err_set(err, -rc, "the GPU has no memory for the state of %u rules over %u tasks", img->sec[GF_SEC_RULE].count, cap);
	}
	head = round64(gf_state_flatten(n->mirror, NULL, NULL, NULL));
	n->block = take(h, image + head + numbers);
	buf = calloc(1, image + head + numbers);
	if (!n->block || !buf) {
		rc = gf_err_set(err, ENOMEM, "the GPU has no memory for the policy");
	} else {
		at = n->block;
		memcpy(buf, img, img->size);
		n->st = (struct gf_state *)(void *)(at + image);
		gf_state_flatten(n->mirror, (const struct gf_image_header *)(const void *)at, n->st, buf + image);
		if (plan) {
			struct gf_adoption *p = (struct gf_adoption *)(void *)(buf + image + head);
			uint32_t *first = (uint32_t *)(void *)(at + image + head + sizeof *p);
			memcpy(p, plan, numbers);
			p->hold = first + (plan->hold - plan->hold);
			p->hist = first + (plan->hist - plan->hold);
			p->rule = first + (plan->rule - plan->hold);
			p->match = first + (plan->match - plan->hold);
			n->plan = (const struct gf_adoption *)(const void *)(at + image + head);
		}
		rc = h->ops->copy_in(h->dev, n->block, buf, image + head + numbers, err);
	}
	free(buf);
	if (rc) {
		next_drop(n);
		return rc;
	}
	*ret = n;
	return 0;
}

/* ---- words ------------------------------------------------------------------------ */

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
	int rc = h->ops->launch(h->dev, h->gpu, e->now.gpu_blocks, e->now.gpu_threads, ticks, &h->run, err);

	if (!rc) {
		h->launches++;
		h->persistent = !ticks;
		h->heart_ns = gf_engine_clock(CLOCK_MONOTONIC); /* it has been resting: it has that long for its first beat */
	}
	return rc;
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
	return GF_MAX(e->gpu ? e->gpu->life_ns : LIFE_NS, 10 * e->opts.period_ns);
}

/* ---- what rules know, from the device to e->st -------------------------------------- */

uint64_t gf_gpu_our_number(const struct gf_gpu_host *h, uint64_t theirs)
{
	const uint64_t *p = h->past[theirs % PAST];

	return theirs && p[0] == theirs ? p[1] : 0;
}

static void index_rows(struct gf_gpu_host *h, const struct gf_sample *s)
{
	memset(h->index, 0, (h->index_mask + 1) * sizeof *h->index);
	for (uint32_t row = 0; row < s->rows; row++) {
		uint32_t i = (uint32_t)s->pid[row] * 2654435761u;
		if (!(s->flags[row] & GF_ROW_VALID))
			continue;
		while (h->index[i & h->index_mask])
			i++;
		h->index[i & h->index_mask] = row + 1;
	}
}

static uint32_t find_row(const struct gf_gpu_host *h, const struct gf_sample *s, int32_t pid, uint64_t start_ns)
{
	for (uint32_t i = (uint32_t)pid * 2654435761u; h->index[i & h->index_mask]; i++) {
		uint32_t row = h->index[i & h->index_mask] - 1;
		if (s->pid[row] == pid && s->start_ns[row] == start_ns)
			return row;
	}
	return GF_NONE;
}

/* kept: number of what is kept; 0: nothing is. which: of the buffers. */
static void import(struct gf_engine *e, struct gf_gpu_host *h, uint64_t kept, uint32_t which)
{
	const struct gf_sample *s = &e->target->sample;
	const struct gf_gpu_kept *k = h->kept[which];
	struct gf_state *st = e->st;
	uint32_t rules = st->img->sec[GF_SEC_RULE].count;

	if (!kept || k->image_fp != st->img->fp || k->rules != rules)
		return;
	index_rows(h, s);
	for (uint32_t r = 0; r < rules; r++) {
		st->rule[r] = k->rule[r];
		st->rule[r].action = gf_gpu_our_number(h, st->rule[r].action);
		st->rule[r].victims = 0;
	}
	for (uint32_t i = 0; i < k->victims && i < GF_GPU_VICTIMS; i++) {
		uint32_t row = find_row(h, s, k->victim[i].pid, k->victim[i].start_ns), r = k->victim[i].rule;
		if (row != GF_NONE && r < rules && st->rule[r].victims < GF_MIN(GF_STATE_VICTIMS, st->cap))
			st->victim[r][st->rule[r].victims++] = (struct gf_victim){ row, s->gen[row] };
	}
	memcpy(st->budget_at, k->budget_at, sizeof k->budget_at);
	st->budget_head = k->budget_head;
	st->budget_n = k->budget_n;
	for (uint32_t i = 0; i < k->killed && i < GF_GPU_KILLED; i++) {
		uint32_t row = find_row(h, s, k->dead[i].pid, k->dead[i].start_ns);
		if (row == GF_NONE)
			continue;
		st->killed_ns[row] = k->dead[i].at_ns;
		st->killed_gen[row] = s->gen[row];
	}
	st->now_ns = k->now_ns;
}

static void import_last(struct gf_engine *e, struct gf_gpu_host *h)
{
	uint64_t kept = gf_gpu_read(&h->out->kept);

	import(e, h, kept, (uint32_t)kept & 1);
}

/* ---- giving it up ------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3)))
static void tell_event(struct gf_engine *e, const char *fmt, ...)
{
	struct gf_event *ev;
	va_list ap;

	if (e->out.events_n >= e->out.events_cap)
		return;
	ev = &e->out.events[e->out.events_n++];
	memset(ev, 0, sizeof *ev);
	ev->seq = gf_event_seq();
	ev->kind = GF_EV_DAEMON;
	ev->rule = ev->row = GF_NONE;
	ev->target = e->in.target;
	ev->image_fp = e->st->img->fp;
	ev->now_ns = e->target->sample.now_ns;
	ev->step = LOG_ERR;
	va_start(ap, fmt);
	vsnprintf(ev->text, sizeof ev->text, fmt, ap);
	va_end(ap);
}

void gf_gpu_take_over(struct gf_engine *e, const struct gf_err *why)
{
	struct gf_gpu_host *h = e->gpu;
	bool own = gf_gpu_own(e);
	struct gf_err err;

	/* Should it come back to life, or be launched once more by a neighbour whose guest goes away just now, it acts no more. */
	gf_gpu_tell(&h->in->stop, UINT64_MAX);
	bool lives = gf_engine_clock(CLOCK_MONOTONIC) - h->heart_ns < h->life_ns;
	pthread_mutex_lock(&h->lock);
	h->persistent = false;
	if (own)
		lives = lives && !gf_gpu_ended(h, h->life_ns / 5, &err);
	pthread_mutex_unlock(&h->lock);
	if (own && lives) {
		/* What it had to say before it ended. */
		while (!gf_gpu_collect(e, h))
			gf_engine_flush(e);
		gf_engine_flush(e);
		gf_gpu_pass_results(h);
	}
	gf_gpu_connect(h, false);
	/* A guest's memory is let go of if nothing reaches it any more. */
	if (own) {
		gf_gpu_guest_gone(h, !lives);
		gf_target_sample(e->target, NULL);
	}
	import_last(e, h);
	e->gpu_past = h;
	__atomic_store_n(&e->gpu, NULL, __ATOMIC_RELEASE);
	e->now.alone = false;
	e->now.takeovers++;
	snprintf(e->now.why, sizeof e->now.why, "the GPU was given up: %.120s; %s", why->text,
		 e->now.takeovers > TRIES ? "restart gpufasd to use it again" : "the next reload tries it again");
	tell_event(e, "GPU %u (%.30s) was given up: %.110s. The CPU goes on; what holds \"for\" or \"over\" a time begins anew",
		   e->now.gpu_device, e->now.gpu_name, why->text);
}

/* ---- ticks --------------------------------------------------------------------------- */

/* false: there is no room at the end. */
static bool put_string(struct gf_gpu_host *h, const struct gf_strref *ref, struct gf_gpu_sent *to)
{
	if (ref->len > STRINGS - h->strings_used)
		return false;
	memcpy(h->strings + h->strings_used, ref->p, ref->len);
	to->ver = ref->ver;
	to->off = h->strings_used;
	to->len = ref->len;
	h->strings_used += ref->len;
	return true;
}

static bool pack_new(struct gf_gpu_host *h, const struct gf_sample *s, uint32_t up)
{
	bool fit = true;

	for (uint32_t f = 0; f < GF_SF_COUNT; f++) {
		for (uint32_t row = 0; s->str[f] && row < up; row++) {
			const struct gf_strref *ref = &s->str[f][row];
			struct gf_gpu_sent *to = &h->sent[f][row];
			struct gf_gpu_str *str = &h->rows.str[f][row];
			if (!ref->ver)
				to->ver = 0;
			else if (to->ver != ref->ver && !put_string(h, ref, to)) {
				to->ver = 0;
				fit = false;
			}
			*str = (struct gf_gpu_str){ .off = to->off, .len = to->len, .ver = to->ver };
		}
	}
	return fit;
}

/* Nobody reads them now: when there is no room all are packed anew. */
static void pack_strings(struct gf_gpu_host *h, const struct gf_sample *s, uint32_t up)
{
	uint32_t from = h->strings_used;

	if (!pack_new(h, s, up)) {
		from = h->strings_used = 0;
		for (uint32_t f = 0; f < GF_SF_COUNT; f++)
			memset(h->sent[f], 0, s->cap * sizeof *h->sent[f]);
		pack_new(h, s, up); /* what does not fit now is not known */
	}
	h->table->strings_from = from;
	h->table->strings_to = h->strings_used;
}

static void pack(struct gf_gpu_host *h, const struct gf_sample *s)
{
	const struct gf_gpu_rows *r = &h->rows;
	uint32_t rows = gf_rows_up(s);
	size_t n = GF_MAX(rows, h->up);

	memcpy(r->flags, s->flags, n);
	memcpy(r->gen, s->gen, n * 4);
	memcpy(r->parent, s->parent, n * 4);
	memcpy(r->uid, s->uid, n * 4);
	memcpy(r->pid, s->pid, n * 4);
	memcpy(r->start_ns, s->start_ns, n * 8);
	memcpy(r->comm, s->comm, n * GF_COMM_LEN);
	for (uint32_t k = 0; k < GF_COLS; k++)
		if (s->col[k])
			memcpy(r->col[k], s->col[k], n * 8);
	pack_strings(h, s, (uint32_t)n);
	h->up = rows;
}

void gf_gpu_hand_table(struct gf_engine *e, struct gf_gpu_host *h, bool failed, bool views)
{
	const struct gf_sample *s = &e->target->sample;
	struct gf_gpu_table *t = h->table;

	t->now_ns = s->now_ns;
	t->seq = s->seq;
	t->rows = s->rows;
	t->live = s->live;
	t->dropped = s->dropped;
	t->epoch = s->epoch;
	t->failed = failed;
	t->observe = e->in.observe;
	t->gap = e->in.gap;
	t->views = views;
	t->verdicts_cap = e->out.verdicts_cap;
	memcpy(t->host, s->host, sizeof t->host);
	if (!failed)
		pack(h, s);
	gf_gpu_tell(&h->in->table, ++h->tables);
}

/* What was said, as if it had been here. Verdicts only when all events are there that they refer to: their number is read first. */
bool gf_gpu_collect(struct gf_engine *e, struct gf_gpu_host *h)
{
	struct gf_tick_out *out = &e->out;
	uint64_t verdicts = gf_gpu_read(&h->out->verdicts_head), events = gf_gpu_read(&h->out->events_head), at;

	for (at = h->in->events_tail; at != events && out->events_n < out->events_cap; at++) {
		struct gf_event *ev = &out->events[out->events_n++];
		uint64_t *past;
		*ev = h->events[at % GF_GPU_EVENTS];
		past = h->past[ev->seq % PAST];
		past[0] = ev->seq;
		past[1] = gf_event_seq();
		ev->seq = past[1];
		ev->about = gf_gpu_our_number(h, ev->about);
	}
	gf_gpu_tell(&h->in->events_tail, at);
	if (at != events)
		return false;
	for (at = h->in->verdicts_tail; at != verdicts && out->verdicts_n < ENGINE_ACTS; at++) {
		struct gf_verdict *v = &out->verdicts[out->verdicts_n++];
		*v = h->verdicts[at % GF_GPU_VERDICTS];
		v->event = gf_gpu_our_number(h, v->event);
	}
	gf_gpu_tell(&h->in->verdicts_tail, at);
	out->actions += h->out->actions - h->actions;
	h->actions = h->out->actions;
	out->events_lost = h->lost_before + (uint32_t)h->out->events_lost;
	out->verdicts_lost = h->lost_verdicts_before + (uint32_t)h->out->verdicts_lost;
	h->budget_used = h->out->budget_used;
	return at == verdicts;
}

int gf_gpu_tick(struct gf_engine *e, bool failed, bool views, bool *ret_stale)
{
	struct gf_gpu_host *h = e->gpu;
	struct gf_err err = { "" };
	int rc = 0;

	pthread_mutex_lock(&h->lock);
	if (!h->persistent)
		rc = gf_gpu_ended(h, gf_gpu_patience(e), &err);
	if (!rc) {
		gf_gpu_hand_table(e, h, failed, views);
		if (!h->persistent)
			rc = gf_gpu_launch(h, e, 1, &err);
	}
	if (!rc)
		rc = gf_gpu_answered(h, &h->out->table, h->tables, gf_gpu_patience(e), &err);
	pthread_mutex_unlock(&h->lock);
	if (rc) {
		gf_gpu_collect(e, h);
		gf_gpu_take_over(e, &err);
		return rc;
	}
	gf_gpu_collect(e, h);
	*ret_stale = h->out->stale;
	if (h->module && h->persistent && gf_gpu_ring_look(e, h, &err)) {
		gf_gpu_take_over(e, &err);
		return 0; /* this tick was run */
	}
	if (views && !failed) {
		e->views_at = gf_engine_clock(CLOCK_MONOTONIC);
		gf_seq_publish(&e->views.seq, e->views.shown, h->views_at, e->views.n * sizeof *h->views_at);
	}
	return 0;
}

uint32_t gf_gpu_budget_used(const struct gf_engine *e)
{
	return e->gpu->budget_used;
}

/* ---- swaps ---------------------------------------------------------------------------- */

int gf_gpu_prepare(struct gf_engine *e, const struct gf_image_header *img, const struct gf_adoption *plan, struct gf_gpu_next **ret,
		   struct gf_err *err)
{
	struct gf_gpu_host *h = __atomic_load_n(&e->gpu, __ATOMIC_ACQUIRE);
	struct gf_err why = { "" };

	(void)err;
	*ret = NULL;
	if (!h)
		return 0;
	/* The policy counts for more than who runs it: what the device has no room for the CPU takes on. */
	if (img->sec[GF_SEC_RULE].count > h->rules_room)
		gf_err_set(&why, ENOSPC, "more rules than it has room for");
	else if (!next_make(h, img, e->st->cap, plan, ret, &why))
		(*ret)->mine = (struct gf_adoption *)(uintptr_t)plan;
	return 0;
}

static int command(struct gf_engine *e, struct gf_gpu_host *h, struct gf_gpu_next *n, struct gf_err *err)
{
	int rc;

	pthread_mutex_lock(&h->lock);
	rc = h->persistent ? 0 : gf_gpu_ended(h, START_NS, err);
	h->in->adopt_state = n->st;
	h->in->adopt_plan = n->plan;
	if (n->guest)
		h->in->guest_at = n->guest;
	gf_gpu_tell(&h->in->adopt, ++h->adoptions);
	if (!rc && !h->persistent)
		rc = gf_gpu_launch(h, e, GF_GPU_COMMANDS_ONLY, err);
	if (!rc)
		rc = gf_gpu_answered(h, &h->out->adopt, h->adoptions, gf_gpu_patience(e), err);
	pthread_mutex_unlock(&h->lock);
	return rc;
}

static int adopt(struct gf_engine *e, struct gf_gpu_host *h, struct gf_gpu_next *n, struct gf_err *err)
{
	struct gf_gpu_next old = { .mirror = h->mirror, .block = h->block };
	int rc = 0;

	if (h->seat && h->seat->ready)
		rc = h->seat->guest ? gf_gpu_guest_block(h, h->seat->guest, n->img, &n->guest, err) : gf_gpu_ring_block(h, &n->guest, err);
	if (!rc)
		rc = command(e, h, n, err);
	if (rc)
		return rc;
	if (h->mirror && n->mine)
		gf_state_adopt(n->mirror, h->mirror, n->mine);
	if (n->guest) {
		old.guest = h->seat->block;
		h->seat->block = n->guest;
		n->guest = old.guest;
	}
	h->img = n->img;
	h->mirror = n->mirror;
	h->st = n->st;
	h->block = n->block;
	n->mirror = old.mirror;
	n->block = old.block;
	return 0;
}

int gf_gpu_adopt(struct gf_engine *e, struct gf_gpu_next *next)
{
	struct gf_gpu_host *h = e->gpu;
	struct gf_err err = { "" };
	int rc = next ? adopt(e, h, next, &err) : gf_err_set(&err, ENOMEM, "it has no room for the new policy");

	if (rc) {
		if (next)
			next->lost = true;
		gf_gpu_take_over(e, &err);
		return rc;
	}
	if (gf_gpu_own(e))
		gf_target_sample(e->target, NULL); /* for the rows of those that rules have stopped */
	/* Ticks go on meanwhile: this buffer is written again only by the next adoption. */
	if (gf_gpu_read(&h->out->adopt_kept) == h->adoptions)
		import(e, h, h->adoptions, GF_GPU_KEPT_ADOPTED);
	return 0;
}

void gf_gpu_drop(struct gf_engine *e, struct gf_gpu_next *next)
{
	(void)e;
	next_drop(next);
}

static void host_free(struct gf_gpu_host *h);

/* What the CPU knows of rules, to the device: phases, limits, the budget. Victims stay behind (rows of its own table may be others): who was
 * stopped has been let go. Nothing runs on the device just now. */
static int export(struct gf_engine *e, struct gf_gpu_host *h, struct gf_err *err)
{
	uint32_t rules = e->st->img->sec[GF_SEC_RULE].count, ring[2] = { e->st->budget_head, e->st->budget_n };
	struct gf_rule_state *rs = calloc(rules + 1, sizeof *rs);
	int rc = rs ? 0 : gf_err_set(err, ENOMEM, "out of memory");

	for (uint32_t k = 0; !rc && k < rules; k++) {
		rs[k] = e->st->rule[k];
		rs[k].victims = 0;
		rs[k].action = 0; /* its events have other numbers */
		if (rs[k].phase == GF_PHASE_STEPS)
			rs[k].phase = GF_PHASE_SETTLE;
	}
	if (!rc && rules)
		rc = h->ops->copy_in(h->dev, h->mirror->rule, rs, rules * sizeof *rs, err);
	if (!rc)
		rc = h->ops->copy_in(h->dev, h->mirror->budget_at, e->st->budget_at, GF_BUDGET_MAX * sizeof *e->st->budget_at, err);
	if (!rc)
		rc = h->ops->copy_in(h->dev, &h->st->budget_head, ring, sizeof ring, err);
	free(rs);
	return rc;
}

static int again(struct gf_engine *e, struct gf_err *err)
{
	struct gf_gpu_host *past = e->gpu_past;
	int rc = 0;

	if (past->run) {
		rc = past->ops->poll(past->run, err);
		if (!rc)
			return gf_err_set(err, EBUSY, "its kernel has not ended");
		if (rc < 0)
			return rc;
	}
	rc = gf_gpu_create(e, err);
	if (rc)
		return rc;
	e->gpu->actuator = past->actuator;
	e->gpu->host_actuator = past->host_actuator;
	e->gpu->lost_before = e->out.events_lost;
	e->gpu->lost_verdicts_before = e->out.verdicts_lost;
	gf_engine_release(e, NULL, 0);
	rc = export(e, e->gpu, err);
	if (rc) {
		host_free(e->gpu);
		e->gpu = NULL;
		return rc;
	}
	host_free(past);
	e->gpu_past = NULL;
	return e->running ? gf_gpu_start(e, err) : 0;
}

void gf_gpu_retry(struct gf_engine *e)
{
	uint32_t takeovers = e->now.takeovers;
	struct gf_err err = { "" };

	if (e->gpu || !e->gpu_past || e->now.takeovers > TRIES)
		return;
	if (!again(e, &err)) {
		e->now.why[0] = '\0';
		tell_event(e, "GPU %u (%.30s) is used again; what holds \"for\" or \"over\" a time begins anew", e->now.gpu_device, e->now.gpu_name);
	} else if (takeovers == e->now.takeovers) { /* else it was given up once more, which has been told */
		e->now.takeovers++;
		snprintf(e->now.why, sizeof e->now.why, "the GPU was given up and could not be had again: %.90s; restart gpufasd to use it again", err.text);
	}
}

/* ---- life ------------------------------------------------------------------------------- */

int gf_gpu_start(struct gf_engine *e, struct gf_err *err)
{
	struct gf_gpu_host *h = e->gpu;
	struct gf_err why = { "" };
	int rc;

	if (e->opts.gpu.mode == GF_GPU_LAUNCH)
		return 0;
	pthread_mutex_lock(&h->lock);
	rc = gf_gpu_ended(h, START_NS, &why);
	if (!rc)
		rc = gf_gpu_launch(h, e, 0, &why);
	h->heart_ns = gf_engine_clock(CLOCK_MONOTONIC);
	pthread_mutex_unlock(&h->lock);
	gf_gpu_connect(h, true);
	if (rc) {
		gf_gpu_take_over(e, &why);
		if (err)
			*err = why;
	}
	return rc;
}

void gf_gpu_stop(struct gf_engine *e)
{
	struct gf_gpu_host *h = e->gpu;
	bool own = e->gpu && gf_gpu_own(e);
	struct gf_err err;
	int rc;

	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	gf_gpu_tell(&h->in->stop, h->launches);
	rc = gf_gpu_ended(h, gf_gpu_patience(e), &err);
	h->persistent = false;
	pthread_mutex_unlock(&h->lock);
	if (rc) {
		gf_gpu_take_over(e, &err);
		return;
	}
	while (!gf_gpu_collect(e, h))
		gf_engine_flush(e);
	if (own)
		gf_gpu_pass_results(h);
	gf_gpu_profile_write(h, e);
	gf_gpu_connect(h, false);
	gf_gpu_guest_gone(h, false);
	if (own)
		gf_target_sample(e->target, NULL);
	import_last(e, h);
}

/* Engines on each device; under the lock. */
static pthread_mutex_t spread_lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t spread[GF_GPU_DEVICES];

static void spread_add(int device, int n)
{
	pthread_mutex_lock(&spread_lock);
	spread[device] += (uint32_t)n;
	pthread_mutex_unlock(&spread_lock);
}

static void host_free(struct gf_gpu_host *h)
{
	struct gf_err err;

	if (!h)
		return;
	/* What a kernel that does not end can reach has to stay. */
	if (h->run) {
		int rc;
		pthread_mutex_lock(&h->lock);
		h->persistent = false;
		gf_gpu_tell(&h->in->stop, UINT64_MAX);
		rc = gf_gpu_ended(h, SEC_NS / 10, &err);
		if (rc == -EIO) {
			h->ops->forget(h->run); /* a device that has failed runs nothing */
			h->run = NULL;
			rc = 0;
		}
		pthread_mutex_unlock(&h->lock);
		if (rc)
			return;
	}
	gf_gpu_guest_gone(h, false);
	gf_gpu_guest_memory(NULL, h, NULL, NULL);
	mirror_drop(h->mirror);
	h->ops->free(h->dev, h->block);
	h->ops->free(h->dev, h->fixed);
	gf_gpu_profile_free(h);
	if (h->pinned)
		h->ops->unpin(h->dev, h->pinned);
	if (h->counted) {
		spread_add(h->device, -1);
		gf_gpu_fleet_leave(h);
	}
	h->ops->close(h->dev);
	for (uint32_t f = 0; f < GF_SF_COUNT; f++)
		free(h->sent[f]);
	pthread_mutex_destroy(&h->lock);
	free(h->past);
	free(h->index);
	free(h);
}

void gf_gpu_destroy(struct gf_engine *e)
{
	host_free(e->gpu);
	host_free(e->gpu_past);
	e->gpu = e->gpu_past = NULL;
}

/* Everything that lasts as long as the engine. */
static int make_memory(struct gf_engine *e, struct gf_gpu_host *h, struct gf_err *err)
{
	uint32_t cap = e->st->cap, size = 256;
	bool sampler = h->own || h->module;
	struct gf_gpu g;
	void *device = NULL;
	size_t fixed;

	while (size < 2 * cap)
		size *= 2;
	h->index_mask = size - 1;
	h->index = calloc(size, sizeof *h->index);
	h->past = calloc(PAST, sizeof *h->past);
	for (uint32_t f = 0; f < GF_SF_COUNT; f++)
		if (!(h->sent[f] = calloc(cap, sizeof *h->sent[f])))
			return gf_err_set(err, ENOMEM, "out of memory for the engine");
	if (!h->index || !h->past)
		return gf_err_set(err, ENOMEM, "out of memory for the engine");
	h->rules_room = GF_MIN(GF_MAX(RULES_LEAST, 2 * e->st->img->sec[GF_SEC_RULE].count), GF_MAX_RULES);
	memset(&g, 0, sizeof g);
	g.rules_room = h->rules_room;
	fixed = fixed_layout(&g, cap, sampler, NULL);
	h->fixed = take(h, fixed);
	h->pinned = h->ops->pin(h->dev, mapped_layout(h, cap, NULL), &device);
	if (!h->fixed || !h->pinned)
		return gf_err_set(err, ENOMEM, "the GPU has no memory for a table of %u tasks", cap);
	mapped_layout(h, cap, h->pinned);
	fixed_layout(&g, cap, sampler, h->fixed);
	mapped_addresses(h, &g, cap, device);
	h->gpu = h->fixed;
	g.period_ns = e->opts.period_ns;
	g.team.ctx = h->gpu;
	if (sampler) {
		struct gf_gpu_host o = *h;
		int rc;
		mapped_layout(&o, cap, device);
		h->hand_device = o.hand;
		h->pulse_device = &o.out->pulse;
		rc = gf_gpu_guest_memory(e, h, &g, err);
		if (rc)
			return rc;
		g.by_ring = h->module != NULL;
	}
	gf_gpu_profile_make(h, &g);
	g.team.blocks = e->now.gpu_blocks;
	g.team.cluster = h->clusters && e->now.gpu_blocks > 1 && e->now.gpu_blocks <= GF_DEV_CLUSTER;
	g.team.lanes = e->now.gpu_blocks * e->now.gpu_threads;
	g.sample = g.all;
	memset(g.sample.col, 0, sizeof g.sample.col); /* until an image wants them */
	memset(g.sample.str, 0, sizeof g.sample.str);
	g.seq = 1;
	g.tick_in = e->in;
	g.tick_out.events_cap = GF_GPU_STAGED;
	g.tick_out.verdicts_cap = GF_GPU_ACTS;
	g.tick_out.seq = &h->gpu->seq;
	return h->ops->copy_in(h->dev, h->gpu, &g, sizeof g, err);
}

static int make(struct gf_engine *e, struct gf_gpu_host *h, struct gf_err *err)
{
	struct gf_gpu_next *n = NULL;
	int rc = make_memory(e, h, err);

	if (!rc)
		rc = next_make(h, e->st->img, e->st->cap, NULL, &n, err);
	/* The first kernel: that it can be run, and what it is to begin with. */
	if (!rc)
		rc = adopt(e, h, n, err);
	if (!rc)
		rc = gf_gpu_ended(h, START_NS, err);
	if (h->run && rc)
		return rc; /* it may still be reading: everything stays */
	next_drop(n);
	return rc;
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

static int open_device(struct gf_engine *e, struct gf_gpu_host *h, struct gf_err *err)
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
	h->clusters = d.clusters;
	h->slice = d.slice ? d.slice : SLICE;
	h->life_ns = d.life_ns ? d.life_ns : LIFE_NS;
	h->atomics = d.host_atomics;
	f->gpu_device = (uint32_t)h->device;
	snprintf(f->gpu_name, sizeof f->gpu_name, "%.63s", d.name);
	f->gpu_mode = o->mode;
	/* Measured: beyond four blocks of 512 lanes gathering tasks gains little, and every lane is one that others lack. */
	f->gpu_threads = o->threads ? o->threads : 512;
	f->gpu_blocks = o->blocks ? o->blocks : e->st->cap >= 4096 && d.cooperative ? 4 : 1;
	if (f->gpu_blocks > d.multiprocessors || !d.cooperative)
		f->gpu_blocks = 1;
	return h->ops->open(h->device, &h->dev, err);
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

int gf_gpu_create(struct gf_engine *e, struct gf_err *err)
{
	struct gf_gpu_host *h = calloc(1, sizeof *h);
	struct gf_err why = { "" };
	int rc;

	if (!h)
		return gf_err_set(err, ENOMEM, "out of memory for the engine");
	h->place = (struct gf_state_place){ take, give, h };
	pthread_mutex_init(&h->lock, NULL);
	h->own = e->target->target_kind == GF_TARGET_VM && e->target->ops->sample == gf_vm_sample;
	/* A kernel that is launched for each tick needs the host anyway. */
	h->module = e->opts.gpu.mode == GF_GPU_LAUNCH ? NULL : gf_host_kmod(e->target);
	rc = open_device(e, h, &why);
	if (!rc) {
		rc = make(e, h, &why);
		if (rc)
			host_free(h);
	} else {
		free(h);
	}
	if (rc) {
		snprintf(e->now.why, sizeof e->now.why, "%.190s", why.text);
		return gf_err_set(err, -rc, "the GPU cannot be used: %s", why.text);
	}
	spread_add(h->device, 1);
	h->engine = e;
	gf_gpu_fleet_join(h);
	h->counted = true;
	e->gpu = h;
	return 0;
}
