/* SPDX-License-Identifier: MIT
 *
 * The GPU engine's host side: a sample to the device, and what a tick over it said back. Strings go over once.
 *
 * Everything the device says is numbered by the device. Events get the process's numbers here, in the order in
 * which they come; whoever refers to an event is translated.
 */
#include "gpu/engine_gpu.h"

#include <string.h>

uint64_t gf_gpu_our_number(const struct gf_gpu_host *h, uint64_t theirs)
{
	const uint64_t *p = h->past[theirs % GF_GPU_PAST];

	return theirs && p[0] == theirs ? p[1] : 0;
}

/* false: there is no room at the end. */
static bool put_string(struct gf_gpu_host *h, const struct gf_strref *ref, struct gf_gpu_sent *to)
{
	if (ref->len > GF_GPU_STRINGS - h->strings_used)
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

/* What was said, as if it had been here. Verdicts only when all events are there that they refer to: their number is read first. What their ring has no
 * room for stays with the device, whose rules then wait. */
bool gf_gpu_collect(struct gf_engine *e, struct gf_gpu_host *h)
{
	struct gf_tick_out *out = &e->out;
	uint64_t verdicts = gf_gpu_read(&h->out->verdicts_head), events = gf_gpu_read(&h->out->events_head), at, actions;
	uint32_t room = GF_MIN(ENGINE_ACTS, gf_ring_room(&e->verdicts));

	for (at = h->in->events_tail; at != events && out->events_n < out->events_cap; at++) {
		struct gf_event *ev = &out->events[out->events_n++];
		uint64_t *past;
		*ev = h->events[at % GF_GPU_EVENTS];
		past = h->past[ev->seq % GF_GPU_PAST];
		past[0] = ev->seq;
		past[1] = gf_event_seq();
		ev->seq = past[1];
		ev->about = gf_gpu_our_number(h, ev->about);
	}
	gf_gpu_tell(&h->in->events_tail, at);
	if (at != events)
		return false;
	for (at = h->in->verdicts_tail; at != verdicts && out->verdicts_n < room; at++) {
		struct gf_verdict *v = &out->verdicts[out->verdicts_n++];
		*v = h->verdicts[at % GF_GPU_VERDICTS];
		v->event = gf_gpu_our_number(h, v->event);
	}
	gf_gpu_tell(&h->in->verdicts_tail, at);
	actions = gf_gpu_read(&h->out->actions); /* once: the device goes on counting */
	out->actions += actions - h->actions;
	h->actions = actions;
	out->events_lost = h->lost_before + (uint32_t)h->out->events_lost;
	out->verdicts_lost = h->lost_verdicts_before + (uint32_t)h->out->verdicts_lost;
	h->budget_used = h->out->budget_used;
	return at == verdicts || !room;
}

void gf_gpu_collect_last(struct gf_engine *e, struct gf_gpu_host *h)
{
	uint64_t head = gf_gpu_read(&h->out->verdicts_head), at;

	while (!gf_gpu_collect(e, h))
		gf_engine_flush(e);
	gf_engine_flush(e);
	for (at = h->in->verdicts_tail; at != head; at++)
		gf_ring_lose(&e->verdicts);
	gf_gpu_tell(&h->in->verdicts_tail, head);
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
	if (!failed && gf_gpu_reshape(e, h, e->target->sample.live, gf_engine_clock(CLOCK_MONOTONIC), &err)) {
		gf_gpu_take_over(e, &err);
		return 0; /* this tick was run */
	}
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
