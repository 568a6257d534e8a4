/* SPDX-License-Identifier: MIT
 *
 * Events and verdicts as a number: two runs that have the same one said and did the same, in the same order, to the last bit. What no two
 * runs have in common (times of day) is left out; all unknown numbers are the same.
 */
#ifndef GPUFAS_SIM_DIGEST_H
#define GPUFAS_SIM_DIGEST_H

#include "gpufas/event.h"

GF_INLINE uint64_t gf_digest_word(uint64_t h, uint64_t x)
{
	h ^= x;
	h *= 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

GF_INLINE uint64_t gf_digest_number(uint64_t h, double v)
{
	union { uint64_t u; double d; } x;

	x.d = v;
	return gf_digest_word(h, v != v ? 0x7ff8000000000000ull : x.u);
}

GF_INLINE uint64_t gf_digest_bytes(uint64_t h, const char *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		h = gf_digest_word(h, (uint8_t)p[i]);
	return h;
}

static GF_HD __attribute__((noinline, unused)) uint64_t gf_digest_event(uint64_t h, const struct gf_event *ev)
{
	h = gf_digest_word(h, ev->seq);
	h = gf_digest_word(h, ev->now_ns);
	h = gf_digest_word(h, ev->image_fp);
	h = gf_digest_word(h, ev->about);
	h = gf_digest_word(h, ev->kind | (uint64_t)ev->held_back << 8 | (uint64_t)ev->observed << 16 | (uint64_t)ev->step << 24 | (uint64_t)ev->rule << 32);
	h = gf_digest_word(h, (uint32_t)ev->pid | (uint64_t)ev->uid << 32);
	h = gf_digest_word(h, ev->row | (uint64_t)ev->target << 32);
	h = gf_digest_word(h, ev->start_ns);
	h = gf_digest_bytes(h, ev->comm, GF_COMM_LEN);
	h = gf_digest_word(h, ev->candidates | (uint64_t)ev->never << 32);
	h = gf_digest_word(h, ev->protect | (uint64_t)ev->where << 32);
	h = gf_digest_word(h, ev->condemned | (uint64_t)ev->chosen << 32);
	h = gf_digest_word(h, ev->members | (uint64_t)ev->count << 32);
	h = gf_digest_word(h, ev->terms | (uint64_t)ev->ranks << 8 | (uint64_t)ev->notes << 16);
	for (uint32_t i = 0; i < ev->terms && i < GF_EVENT_TERMS; i++) {
		h = gf_digest_number(h, ev->term[i].left);
		h = gf_digest_number(h, ev->term[i].right);
		h = gf_digest_word(h, ev->term[i].term | (uint64_t)ev->term[i].truth << 32);
	}
	for (uint32_t i = 0; i < ev->ranks && i < GF_EVENT_RANKS; i++) {
		const struct gf_event_rank *r = &ev->u.rank[i];
		h = gf_digest_number(h, r->key);
		h = gf_digest_word(h, r->start_ns);
		h = gf_digest_word(h, (uint32_t)r->pid | (uint64_t)r->uid << 32);
		h = gf_digest_bytes(h, r->comm, GF_COMM_LEN);
		h = gf_digest_word(h, r->why | (uint64_t)r->klass << 8 | (uint64_t)r->by << 32);
	}
	for (uint32_t i = 0; i < ev->notes && i < GF_EVENT_NOTES; i++)
		h = gf_digest_number(h, ev->note[i]);
	return ev->notes ? gf_digest_bytes(h, ev->text, GF_EVENT_TEXT) : h;
}

static GF_HD __attribute__((noinline, unused)) uint64_t gf_digest_verdict(uint64_t h, const struct gf_verdict *v)
{
	h = gf_digest_word(h, v->event);
	h = gf_digest_word(h, v->start_ns);
	h = gf_digest_word(h, (uint32_t)v->pid | (uint64_t)v->row << 32);
	h = gf_digest_word(h, v->gen | (uint64_t)v->rule << 32);
	h = gf_digest_word(h, v->step | (uint64_t)v->action << 8 | (uint64_t)v->group << 16 | (uint64_t)v->flags << 24 | (uint64_t)(uint32_t)v->arg << 32);
	h = gf_digest_word(h, v->limit | (uint64_t)v->epoch << 32);
	return gf_digest_number(h, v->amount);
}

#endif
