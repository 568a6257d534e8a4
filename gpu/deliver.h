/* SPDX-License-Identifier: MIT
 *
 * Deliveries that a device carries out by itself: its leader begins and follows them, every tick, and says what became of
 * each. What a host can do and a device cannot is offered to the host. Fixed size, plain data, in device memory.
 *
 * Offering. Nothing is lost and nothing done twice, though neither side has atomic operations on the other's memory. An
 * offer is a result of kind GF_DELIVER_OFFER with a slot and a ticket. Each word of struct gf_deliver_hand, which both see, has one
 * writer. The host takes by writing the ticket into took[slot], a fence, then reading offer[slot]. The device takes an offer
 * back by writing REVOKING there, a fence, then reading took[slot]: of the two at least one sees what the other has written, and
 * where the device sees the ticket the offer is the host's; what it decides it writes into offer[slot], and a host that has read
 * REVOKING waits for that.
 *
 * A host that has not taken an offer in GF_DELIVER_ANSWER_NS is taken for dead or late: a signal is then sent by what the device
 * has (onto the list of a CPU that idles, which nobody kicks; it drains at its next timer interrupt), the rest stays offered
 * for as long as victims are followed.
 */
#ifndef GPUFAS_DELIVER_H
#define GPUFAS_DELIVER_H

#include "gpu/delivery.h"

#define GF_DELIVER_MAX 1024u     /* at a time */
#define GF_DELIVER_WAITING 2048u /* until there is room */
#define GF_DELIVER_RESULTS 2048u /* until they are fetched */
#define GF_DELIVER_LOOKS 64u     /* in a tick: each several dependent reads */
#define GF_DELIVER_WALK (8 * PSEUDO_THREADS) /* threads looked at in a tick, or those of one delivery, which alone may take as many */
#define GF_DELIVER_ANSWER_NS 50000000ull
#define GF_DELIVER_RENEW_NS 100000000ull /* between two looks at the clock for blocks' sake: they age in minutes */

enum gf_deliver_kind {
	GF_DELIVER_TOLD,  /* what has become of it; more may come */
	GF_DELIVER_LAST,  /* the same, and no more will come */
	GF_DELIVER_OFFER, /* to the host: `delivery` is how far it is */
	GF_DELIVER_OFFER_GONE, /* there was nobody to take it back from: it is the host's from now on (no struct gf_deliver_hand) */
};

struct gf_deliver_result {
	uint64_t event;
	uint32_t rule;
	uint8_t step, observed;
	uint8_t kind;           /* enum gf_deliver_kind */
	uint8_t begun;          /* OFFER: something has been stored */
	uint32_t slot, ticket;  /* OFFER */
	uint64_t now_ns;        /* of the clock that times in `delivery` are of */
	struct gf_event_member member;
	struct gf_verdict verdict;
	struct gf_delivery delivery;
};

enum gf_hand_state { GF_HAND_OFFERED = 1, GF_HAND_REVOKING, GF_HAND_HOST, GF_HAND_DEVICE };

struct gf_deliver_hand {
	uint32_t offer[GF_DELIVER_MAX]; /* written by the device: ticket * 8 + enum gf_hand_state */
	uint32_t took[GF_DELIVER_MAX];  /* written by the host: ticket */
};

struct gf_deliver_entry {
	struct gf_verdict v;
	struct gf_delivery d;
	uint64_t begun_ns, looked_ns, offered_ns;
	uint64_t boot;
	uint32_t ticket;
	uint8_t used, told, offered, alone; /* alone: the host has not answered */
};

struct gf_deliverer {
	uint64_t tell_ns, follow_ns;      /* as of struct gf_actuator_opts */
	struct gf_deliver_hand *hand;     /* NULL: an offer is the host's at once */
	struct gf_pseudo_pool pool;       /* set aside by the host */
	uint32_t next_block;              /* with atomic operations */
	uint32_t used, turn;              /* entries; where the next looks begin */
	uint32_t top;                     /* none above is used */
	uint32_t ticket;
	uint32_t waiting, first_waiting;  /* verdicts that wait for an entry */
	uint32_t results, first_result;
	uint64_t renewed_ns;
	uint64_t walked_ns;               /* the tick that `walked` is of */
	uint32_t walked, reserved;        /* struct gf_pseudo_plain's, where a device delivers */
	uint64_t full;                    /* how many could not even wait */
	uint64_t alone;                   /* offers that the host has not answered */
	struct gf_deliver_entry entry[GF_DELIVER_MAX];
	struct gf_verdict wait[GF_DELIVER_WAITING];
	struct gf_deliver_result result[GF_DELIVER_RESULTS];
};

/* It is in a module's mailbox, and gpu/deliver_mail.h's. */
GF_INLINE int gf_deliver_by_mail(const struct gf_deliver_entry *e)
{
	return e->d.how == GF_HOW_MODULE;
}

/* The guest as it is in this tick. */
struct gf_deliver_guest {
	const struct gf_pseudo_plain *p; /* NULL: there is none */
	uint64_t boot;                   /* which one it is: not two have the same number */
	uint32_t paused;                 /* its CPUs do not run: nothing is stored */
	const uint64_t *stop;            /* NULL, or a word of the host's: from stop_from on who delivers has been given up, and acts no more */
	uint64_t stop_from;
	/* By row, of the sample that this tick was decided on: where its process was seen; NULL: nobody knows. A hint (gpu/victim.h). */
	const uint64_t *task, *pid_struct;
	const uint32_t *pass;            /* of which pass that is, */
	uint32_t of_pass, rows;          /* if it is this one */
};

GF_INLINE int gf_deliver_given_up(const struct gf_deliver_guest *g)
{
	if (!g->stop)
		return 0;
#if defined(__CUDA_ARCH__)
	return *(const volatile uint64_t *)g->stop >= g->stop_from;
#else
	return __atomic_load_n(g->stop, __ATOMIC_ACQUIRE) >= g->stop_from;
#endif
}

enum gf_deliver_begun {
	GF_BEGUN,
	GF_BEGUN_WAITS, /* for an entry */
	GF_HAND_OVER,   /* it is offered to the host */
	GF_BEGUN_FULL,  /* not taken: to be tried again in the next tick */
};

/* All zero but these. */
GF_INLINE void gf_deliver_init(struct gf_deliverer *v, uint64_t tell_ns, uint64_t follow_ns, struct gf_deliver_hand *hand,
			       const struct gf_pseudo_pool *pool)
{
	v->tell_ns = tell_ns ? tell_ns : 1000000000ull;
	v->follow_ns = follow_ns ? follow_ns : 30000000000ull;
	v->hand = hand;
	if (pool)
		v->pool = *pool;
}

/* Why nothing may be stored now, or 0: as gf_vm_storable. */
GF_APART uint8_t gf_deliver_storable(const struct gf_deliver_guest *g)
{
	if (!g->p || !gf_ps_still_there(g->p))
		return GF_REF_NO_GUEST;
	/* Saved, or copied to another host: what is stored may be in the copy in part. */
	return g->paused ? (uint8_t)GF_REF_PAUSED : (uint8_t)GF_REF_NONE;
}

/* ---- offers ---- */

GF_INLINE uint32_t gf_hand_load(const uint32_t *w)
{
	return *(const volatile uint32_t *)w;
}

/* Device: 1, it is the device's again; 0: the host has it. */
GF_APART int gf_hand_revoke(struct gf_deliver_hand *h, uint32_t slot, uint32_t ticket)
{
	gf_ps_put((uint8_t *)&h->offer[slot], 4, ticket * 8u + GF_HAND_REVOKING);
	gf_ps_fence();
	int mine = gf_hand_load(&h->took[slot]) != ticket;
	gf_ps_put((uint8_t *)&h->offer[slot], 4, ticket * 8u + (mine ? GF_HAND_DEVICE : GF_HAND_HOST));
	return mine;
}

/* Host: 1, it is the host's; 0: the device has taken it back; -1: to be asked again, soon. */
GF_APART int gf_hand_take(struct gf_deliver_hand *h, uint32_t slot, uint32_t ticket)
{
	gf_ps_put((uint8_t *)&h->took[slot], 4, ticket);
	gf_ps_fence();
	uint32_t o = gf_hand_load(&h->offer[slot]);
	if (o / 8u != ticket)
		return 0;
	return o % 8u == GF_HAND_OFFERED || o % 8u == GF_HAND_HOST ? 1 : o % 8u == GF_HAND_REVOKING ? -1 : 0;
}

/* ---- results ---- */

GF_INLINE int gf_deliver_room(const struct gf_deliverer *v)
{
	return v->results < GF_DELIVER_RESULTS;
}

GF_APART struct gf_deliver_result *gf_deliver_put(struct gf_deliverer *v, const struct gf_deliver_entry *e, uint8_t kind,
							     uint64_t now_ns)
{
	struct gf_deliver_result *r = &v->result[(v->first_result + v->results) % GF_DELIVER_RESULTS];

	v->results++;
	r->event = e->v.event;
	r->rule = e->v.rule;
	r->step = e->v.step;
	r->observed = (e->v.flags & GF_VERDICT_OBSERVE) != 0;
	r->kind = kind;
	r->begun = e->d.tries != 0;
	r->slot = (uint32_t)(e - v->entry);
	r->ticket = e->ticket;
	r->now_ns = now_ns;
	r->verdict = e->v;
	r->delivery = e->d;
	gf_delivery_member(&e->v, &e->d, &r->member);
	return r;
}

/* The oldest result: 1, or 0, there is none. NULL: only whether. */
GF_APART int gf_deliver_result(struct gf_deliverer *v, struct gf_deliver_result *ret)
{
	if (!v->results)
		return 0;
	if (ret) {
		*ret = v->result[v->first_result];
		v->first_result = (v->first_result + 1) % GF_DELIVER_RESULTS;
		v->results--;
	}
	return 1;
}

GF_INLINE void gf_deliver_forget(struct gf_deliverer *v, struct gf_deliver_entry *e)
{
	e->used = 0;
	v->used--;
	while (v->top && !v->entry[v->top - 1].used)
		v->top--;
}

GF_APART void gf_deliver_last(struct gf_deliverer *v, struct gf_deliver_entry *e, uint64_t now_ns)
{
	gf_deliver_put(v, e, GF_DELIVER_LAST, now_ns);
	gf_deliver_forget(v, e);
}

/* To the host. Without a struct gf_deliver_hand it is the host's from now on. */
GF_APART void gf_deliver_offer(struct gf_deliverer *v, struct gf_deliver_entry *e, uint64_t now_ns)
{
	e->ticket = v->ticket = (v->ticket + 1) & 0x1fffffff ? (v->ticket + 1) & 0x1fffffff : 1;
	gf_deliver_put(v, e, v->hand ? GF_DELIVER_OFFER : GF_DELIVER_OFFER_GONE, now_ns);
	if (!v->hand) {
		gf_deliver_forget(v, e);
		return;
	}
	e->offered = 1;
	e->offered_ns = now_ns;
	gf_ps_put((uint8_t *)&v->hand->offer[e - v->entry], 4, e->ticket * 8u + GF_HAND_OFFERED);
	gf_ps_fence();
}

/* ---- begin ---- */

GF_APART void gf_deliver_ctx(struct gf_deliverer *v, const struct gf_deliver_guest *g, const struct gf_deliver_entry *e,
					uint64_t now_ns, struct gf_pseudo_ctx *c)
{
	c->p = g->p;
	c->pool = &v->pool;
	c->next = &v->next_block;
	c->now_ns = now_ns;
	c->shy = !e->alone;
}

/* Refusals that a host with atomic operations may not meet. */
GF_INLINE int gf_deliver_host_could(const struct gf_delivery *d)
{
	return d->became == GF_BECAME_REFUSED && (d->why == GF_REF_NO_ROAD || d->why == GF_REF_NO_CPU);
}

GF_INLINE struct gf_pseudo_hint gf_deliver_hint(const struct gf_deliver_guest *g, uint32_t row)
{
	const struct gf_pseudo_hint none = { 0, 0 };

	if (!g->task || row >= g->rows)
		return none;
	/* Side by side. */
	uint32_t pass = g->pass[row];
	const struct gf_pseudo_hint h = { g->task[row], g->pid_struct[row] };

	return pass == g->of_pass ? h : none;
}

/* Finds, judges and stores. */
GF_APART void gf_deliver_start(struct gf_deliverer *v, const struct gf_deliver_guest *g, uint8_t storable,
					  struct gf_deliver_entry *e, uint64_t now_ns)
{
	const struct gf_pseudo_hint hint = gf_deliver_hint(g, e->v.row);
	struct gf_pseudo_ctx c;
	uint8_t r = storable;

	gf_deliver_ctx(v, g, e, now_ns, &c);
	gf_delivery_init(&e->d, &e->v, GF_ROAD_AUTO, gf_verdict_is_lethal(&e->v));
	e->d.how = GF_HOW_GPU_STORE;
	/* Pids and start times may well be those of the boot before. */
	if (g->p && e->v.epoch && e->v.epoch != (uint32_t)g->boot)
		r = GF_REF_REBOOTED;
	if (!r && !g->p->writable && !e->d.observe)
		r = GF_REF_READ_ONLY;
	if (!r)
		r = gf_ps_has(g->p, PART_TASK) ? gf_ps_find(g->p, e->v.pid, e->v.start_ns, &hint, &e->d.victim) : (uint8_t)GF_REF_NO_ROAD;
	if (r)
		gf_delivery_refuse(&e->d, r);
	else if (e->v.action == GF_ACT_SIGNAL)
		gf_delivery_begin_signal(&c, &e->d);
	else
		gf_delivery_refuse(&e->d, GF_REF_NO_ROAD);
}

/* A later step goes to the same process: what becomes of it now is that one's result. */
GF_APART void gf_deliver_supersede(struct gf_deliverer *v, const struct gf_verdict *verdict, uint64_t now_ns)
{
	for (uint32_t i = 0, left = v->used; left && i < GF_DELIVER_MAX; i++) {
		struct gf_deliver_entry *e = &v->entry[i];
		if (!e->used)
			continue;
		left--;
		if (e->v.pid != verdict->pid || e->v.start_ns != verdict->start_ns || !gf_deliver_room(v))
			continue;
		/* What the host has taken it tells itself. */
		if (e->offered && !gf_hand_revoke(v->hand, i, e->ticket))
			gf_deliver_forget(v, e);
		else
			gf_deliver_last(v, e, now_ns);
	}
}

/* Started: to the host, over, or to be followed. */
GF_APART enum gf_deliver_begun gf_deliver_started(struct gf_deliverer *v, struct gf_deliver_entry *e, uint64_t now_ns)
{
	if (e->d.want || (gf_deliver_host_could(&e->d) && !e->d.observe)) {
		gf_deliver_offer(v, e, now_ns);
		return GF_HAND_OVER;
	}
	if (gf_delivery_over(&e->d))
		gf_deliver_last(v, e, now_ns);
	return GF_BEGUN;
}

/* How many threads a group has the guest alone says: deliveries to large ones are begun and looked at for so long, the others in the next tick. */
GF_INLINE int gf_deliver_tired(struct gf_deliverer *v, uint64_t now_ns)
{
	if (v->walked_ns != now_ns) {
		v->walked_ns = now_ns;
		v->walked = 0;
	}
	return v->walked >= GF_DELIVER_WALK;
}

/* Begins a verdict where there is room for it: BEGUN_WAITS, there is none. */
GF_APART enum gf_deliver_begun gf_deliver_place(struct gf_deliverer *v, const struct gf_deliver_guest *g, uint8_t storable,
							   const struct gf_verdict *verdict, uint64_t now_ns)
{
	struct gf_deliver_entry *e = NULL;

	/* Two at the most are said of it here, and one of each that it takes the place of. */
	if (!gf_deliver_tired(v, now_ns) && v->used < GF_DELIVER_MAX && v->results + 4 <= GF_DELIVER_RESULTS) {
		if (!(verdict->flags & GF_VERDICT_OBSERVE))
			gf_deliver_supersede(v, verdict, now_ns);
		for (uint32_t i = 0; i < GF_DELIVER_MAX && !e; i++)
			if (!v->entry[i].used)
				e = &v->entry[i];
	}
	if (!e || !gf_deliver_room(v))
		return GF_BEGUN_WAITS;
	e->v = *verdict;
	e->used = 1;
	e->told = e->offered = e->alone = 0;
	e->ticket = 0;
	e->begun_ns = e->looked_ns = now_ns;
	e->offered_ns = 0;
	e->boot = g->boot;
	v->used++;
	v->top = GF_MAX(v->top, (uint32_t)(e - v->entry) + 1);
	gf_deliver_start(v, g, storable, e, now_ns);
	return gf_deliver_started(v, e, now_ns);
}

/* Takes a verdict. storable: gf_deliver_storable of this tick. Who came before begins before: of two to one process the later one has the last word. */
GF_APART enum gf_deliver_begun gf_deliver_begin(struct gf_deliverer *v, const struct gf_deliver_guest *g, uint8_t storable,
							   const struct gf_verdict *verdict, uint64_t now_ns)
{
	enum gf_deliver_begun r = v->waiting ? GF_BEGUN_WAITS : gf_deliver_place(v, g, storable, verdict, now_ns);

	if (r != GF_BEGUN_WAITS)
		return r;
	if (v->waiting == GF_DELIVER_WAITING) {
		v->full++;
		return GF_BEGUN_FULL;
	}
	v->wait[(v->first_waiting + v->waiting++) % GF_DELIVER_WAITING] = *verdict;
	return GF_BEGUN_WAITS;
}

/* ---- follow ---- */

/* How soon one is looked at again: often while it is new. */
GF_INLINE uint64_t gf_deliver_pace(uint64_t age)
{
	return age < 200000000ull ? 0 : age < 2000000000ull ? 5000000ull : 50000000ull;
}

/* Offered: true, it is still, or it is the host's. */
GF_APART int gf_deliver_offered(struct gf_deliverer *v, const struct gf_deliver_guest *g, uint8_t storable,
					   struct gf_deliver_entry *e, uint64_t now_ns)
{
	uint32_t slot = (uint32_t)(e - v->entry);
	uint64_t age = now_ns - e->offered_ns;

	if (gf_hand_load(&v->hand->took[slot]) == e->ticket) {
		gf_deliver_forget(v, e);
		return 1;
	}
	/* Only signals can be sent from here; the others wait for the host for as long as anybody is followed. */
	if (age < GF_DELIVER_ANSWER_NS || (e->v.action != GF_ACT_SIGNAL && now_ns - e->begun_ns < v->follow_ns))
		return 1;
	if (!gf_hand_revoke(v->hand, slot, e->ticket)) {
		gf_deliver_forget(v, e);
		return 1;
	}
	v->alone++;
	e->offered = 0;
	e->alone = 1;
	e->d.want = 0;
	if (gf_delivery_over(&e->d) && e->v.action == GF_ACT_SIGNAL)
		gf_deliver_start(v, g, storable, e, now_ns);
	return 0;
}

/* True: nothing more will be said of it. */
GF_APART void gf_deliver_follow_one(struct gf_deliverer *v, const struct gf_deliver_guest *g, uint8_t storable,
					       struct gf_deliver_entry *e, uint64_t now_ns)
{
	uint64_t age = now_ns - e->begun_ns;
	uint8_t was = e->d.became;
	struct gf_pseudo_ctx c;

	if (e->offered && gf_deliver_offered(v, g, storable, e, now_ns))
		return;
	if (!g->p || g->boot != e->boot) {
		e->d.became = e->d.became == GF_BECAME_REFUSED ? (uint8_t)GF_BECAME_REFUSED : (uint8_t)GF_BECAME_LOST;
		e->d.phase = GF_PHASE_OVER;
	} else if (!storable) {
		gf_deliver_ctx(v, g, e, now_ns, &c);
		gf_delivery_poll(&c, &e->d);
		/* Who has not answered is asked again after a second: what is wanted may have been done without. */
		if (e->d.want && (!e->alone || now_ns - e->offered_ns > 1000000000ull) && !gf_delivery_over(&e->d)) {
			gf_deliver_offer(v, e, now_ns);
			return;
		}
		e->d.want = 0;
	}
	if (gf_delivery_over(&e->d)) {
		gf_deliver_last(v, e, now_ns);
		return;
	}
	if (age < v->tell_ns || (e->d.phase == GF_PHASE_WAITING && age < v->follow_ns))
		return;
	if (age >= v->follow_ns)
		gf_deliver_last(v, e, now_ns);
	else if (!e->told || (e->d.became != was && e->d.became == GF_BECAME_DELIVERED)) {
		/* What has been said to wait and has been taken since is news. */
		gf_deliver_put(v, e, GF_DELIVER_TOLD, now_ns);
		e->told = 1;
	}
}

/* Every tick: looks at some of them, each in turn, does again what has to be, and begins what waits. */
GF_APART void gf_deliver_follow(struct gf_deliverer *v, const struct gf_deliver_guest *g, uint8_t storable, uint64_t now_ns)
{
	uint32_t looks = 0, seen = 0, all = v->used, at = v->turn;

	if (g->p && !storable && v->pool.n && !g->p->atomics && now_ns - v->renewed_ns >= GF_DELIVER_RENEW_NS) {
		gf_ps_pool_renew(g->p, &v->pool);
		v->renewed_ns = now_ns;
	}
	for (uint32_t k = 0; v->top && k < GF_DELIVER_MAX && seen < all && looks < GF_DELIVER_LOOKS && gf_deliver_room(v) && !gf_deliver_tired(v, now_ns); k++) {
		struct gf_deliver_entry *e;
		at = at < v->top ? at : 0;
		e = &v->entry[at++];
		if (!e->used)
			continue;
		seen++;
		if (gf_deliver_by_mail(e))
			continue;
		if (now_ns - e->looked_ns < gf_deliver_pace(now_ns - e->begun_ns) && !e->offered)
			continue;
		/* A look at a group of many threads is long: that it goes on is to be seen, and whether it may. */
		if (g->p)
			gf_pulse(g->p->pulse);
		if (gf_deliver_given_up(g))
			return;
		looks++;
		e->looked_ns = now_ns;
		gf_deliver_follow_one(v, g, storable, e, now_ns);
	}
	v->turn = at;
	for (uint32_t n = 0; v->waiting && v->used < GF_DELIVER_MAX && v->results + 4 <= GF_DELIVER_RESULTS && n < GF_DELIVER_LOOKS && !gf_deliver_tired(v, now_ns); n++) {
		uint32_t first = v->first_waiting;
		struct gf_verdict next = v->wait[first];
		if (gf_deliver_given_up(g))
			return;
		v->first_waiting = (first + 1) % GF_DELIVER_WAITING;
		v->waiting--;
		if (gf_deliver_place(v, g, storable, &next, now_ns) == GF_BEGUN_WAITS) {
			v->first_waiting = first; /* it stays the first */
			v->waiting++;
			return;
		}
	}
}

#endif
