/* SPDX-License-Identifier: MIT
 *
 * Verdicts that a device has carried out by a kernel module: put into the module's mailbox by plain stores, looked after in later ticks,
 * told to the host as what gpu/deliver.h does by itself. The module of the machine itself: what the mailbox does not take is the host's at once; of
 * what it took and did not do the host is told, and does it if it can. The module of a guest: in both cases the device does it from outside.
 */
#ifndef GPUFAS_DELIVER_MAIL_H
#define GPUFAS_DELIVER_MAIL_H

#include "gpu/deliver.h"
#include "gpu/mail.h"

#define GF_DM_VALID_NS 500000000ull  /* of the module's clock */
#define GF_DM_ANSWER_NS 600000000ull /* of ours: then it is taken back */
#define GF_DM_LOST_NS 2000000000ull  /* and then whoever had it in hand is taken for lost */

GF_INLINE uint64_t gf_dm_now(const struct gf_mail *m)
{
	return gf_region_word(m->r, GF_REGION_HEAD(now_ns));
}

/* Whether the module would carry it out now. */
GF_INLINE int gf_dm_may(const struct gf_mail *m, const struct gf_verdict *v)
{
	uint32_t armed = gf_region_half(m->r, GF_REGION_HEAD(armed));
	uint32_t need = v->action == GF_ACT_PANIC ? GPUFAS_ARM_PANIC : v->action == GF_ACT_RESTART ? GPUFAS_ARM_RESTART : GPUFAS_ARM_ACT;

	return gf_mail_can(v) && gf_region_alive(m->r) && (v->flags & GF_VERDICT_OBSERVE || (armed & need && armed & GPUFAS_ARM_ACT));
}

/* 1: it is in the mailbox; 0: it is the host's. */
GF_APART int gf_dm_begin(struct gf_deliverer *v, struct gf_mail *m, const struct gf_verdict *verdict, uint64_t now_ns)
{
	const struct gf_delivery none = { 0 };
	struct gf_deliver_entry *e = NULL;
	struct gpufas_verdict out;
	uint64_t boot = gf_dm_now(m);
	int slot;

	if (!gf_dm_may(m, verdict) || v->used == GF_DELIVER_MAX || v->results + 4 > GF_DELIVER_RESULTS)
		return 0;
	for (uint32_t i = 0; i < GF_DELIVER_MAX && !e; i++)
		if (!v->entry[i].used)
			e = &v->entry[i];
	if (!e)
		return 0;
	gf_mail_verdict(verdict, boot + GF_DM_VALID_NS, &out);
	slot = gf_mail_post(m, &out, boot);
	if (slot < 0)
		return 0;
	e->v = *verdict;
	e->d = none;
	e->d.how = GF_HOW_MODULE;
	e->d.phase = GF_PHASE_STORED;
	e->d.exit_us = e->d.taken_us = GF_NONE;
	e->d.observe = (verdict->flags & GF_VERDICT_OBSERVE) != 0;
	e->used = 1;
	e->told = e->offered = e->alone = 0;
	e->begun_ns = e->looked_ns = now_ns;
	e->ticket = (uint32_t)slot;
	e->boot = out.seq;
	v->used++;
	v->top = GF_MAX(v->top, (uint32_t)(e - v->entry) + 1);
	return 1;
}

/* What the answer says: 1, the host is to do it. */
GF_INLINE int gf_dm_answered(struct gf_deliver_entry *e, const struct gpufas_answer *a, uint64_t age)
{
	struct gf_delivery *d = &e->d;

	if (a->state == GPUFAS_REFUSED) {
		if (gf_mail_elsewhere(a->why))
			return 1;
		gf_delivery_refuse(d, gf_mail_refused(a->why));
		return 0;
	}
	d->tries = !d->observe;
	d->became = d->observe ? GF_BECAME_UNSEEN : GF_BECAME_DELIVERED;
	d->phase = GF_PHASE_TAKEN;
	if (a->state == GPUFAS_EXITED)
		d->exit_us = (uint32_t)GF_MIN(age / 1000, (uint64_t)GF_NONE - 1);
	if (a->state == GPUFAS_EXITED || d->observe || !gf_verdict_is_lethal(&e->v))
		d->phase = GF_PHASE_OVER;
	return 0;
}

/* The mailbox has not done it, and will not. g: the guest whose it is; NULL: it is this machine's. */
GF_APART void gf_dm_elsewhere(struct gf_deliverer *v, struct gf_mail *m, const struct gf_deliver_guest *g, uint8_t storable, struct gf_deliver_entry *e,
			      uint64_t now_ns)
{
	gf_mail_free(m, e->ticket, e->boot);
	if (!g) {
		gf_deliver_put(v, e, GF_DELIVER_OFFER_GONE, now_ns);
		gf_deliver_forget(v, e);
		return;
	}
	e->boot = g->boot;
	e->ticket = 0;
	e->alone = 0;
	gf_deliver_start(v, g, storable, e, now_ns);
	gf_deliver_started(v, e, now_ns);
}

GF_APART void gf_dm_follow_one(struct gf_deliverer *v, struct gf_mail *m, const struct gf_deliver_guest *g, uint8_t storable, struct gf_deliver_entry *e,
			       uint64_t now_ns)
{
	uint64_t age = now_ns - e->begun_ns;
	struct gpufas_answer a;
	int elsewhere = 0;

	if (gf_mail_answer(m, e->ticket, e->boot, &a)) {
		elsewhere = gf_dm_answered(e, &a, age);
	} else if (e->d.phase == GF_PHASE_STORED && age > GF_DM_ANSWER_NS) {
		elsewhere = !gf_mail_void(m, e->ticket, e->boot) || (age > GF_DM_LOST_NS && gf_mail_twice(&e->v));
	}
	if (elsewhere) {
		gf_dm_elsewhere(v, m, g, storable, e, now_ns);
	} else if (gf_delivery_over(&e->d) || age >= v->follow_ns) {
		gf_mail_free(m, e->ticket, e->boot);
		gf_deliver_last(v, e, now_ns);
	} else if (age >= v->tell_ns && !e->told) {
		gf_deliver_put(v, e, GF_DELIVER_TOLD, now_ns);
		e->told = 1;
	}
}

/* Every tick. g, storable: as gf_dm_elsewhere. */
GF_APART void gf_dm_follow(struct gf_deliverer *v, struct gf_mail *m, const struct gf_deliver_guest *g, uint8_t storable, uint64_t now_ns)
{
	for (uint32_t i = 0, left = v->used; left && i < v->top && gf_deliver_room(v); i++) {
		struct gf_deliver_entry *e = &v->entry[i];
		if (!e->used)
			continue;
		left--;
		/* A guest that stands has no time to answer in, and nothing may be stored into it. */
		if (g && storable && gf_deliver_by_mail(e)) {
			e->begun_ns += now_ns - e->looked_ns;
			e->looked_ns = now_ns;
			continue;
		}
		if (!gf_deliver_by_mail(e) || now_ns - e->looked_ns < gf_deliver_pace(now_ns - e->begun_ns))
			continue;
		e->looked_ns = now_ns;
		gf_dm_follow_one(v, m, g, storable, e, now_ns);
	}
}

/* 1: something is still followed by mail: there was no room to tell of it. */
GF_INLINE int gf_dm_left(const struct gf_deliverer *v)
{
	for (uint32_t i = 0; v->used && i < v->top; i++)
		if (v->entry[i].used && gf_deliver_by_mail(&v->entry[i]))
			return 1;
	return 0;
}

/* The mailbox is no more: what was under way has come to nothing that could be seen. */
GF_APART void gf_dm_lost(struct gf_deliverer *v, uint64_t now_ns)
{
	for (uint32_t i = 0; v->used && i < GF_DELIVER_MAX && gf_deliver_room(v); i++) {
		struct gf_deliver_entry *e = &v->entry[i];
		if (!e->used || !gf_deliver_by_mail(e))
			continue;
		e->d.became = GF_BECAME_LOST;
		e->d.phase = GF_PHASE_OVER;
		gf_deliver_last(v, e, now_ns);
	}
}

/* A guest's module is gone, and the guest is not: what it has taken is told as far as it was seen, the rest is done from outside. */
GF_APART void gf_dm_gone(struct gf_deliverer *v, struct gf_mail *m, const struct gf_deliver_guest *g, uint8_t storable, uint64_t now_ns)
{
	for (uint32_t i = 0; v->used && i < GF_DELIVER_MAX && gf_deliver_room(v); i++) {
		struct gf_deliver_entry *e = &v->entry[i];
		if (!e->used || !gf_deliver_by_mail(e))
			continue;
		if (e->d.phase == GF_PHASE_STORED)
			gf_dm_elsewhere(v, m, g, storable, e, now_ns);
		else
			gf_deliver_last(v, e, now_ns);
	}
}

#endif
