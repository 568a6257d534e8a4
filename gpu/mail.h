/* SPDX-License-Identifier: MIT
 *
 * The module's mailbox, as a writer uses it: plain stores, the number last. Host and device. A slot has one writer: the first half of them is
 * the host's, the second that of a device that delivers by itself (gf_mail_half).
 */
#ifndef GPUFAS_GPU_MAIL_H
#define GPUFAS_GPU_MAIL_H

#include "gpu/region.h"
#include "gpufas/event.h"

#define GF_MAIL_SLOTS GPUFAS_SLOTS /* that are used, of those that there are */

/* One writer's view of it: what is under way is known here, and not read from where others write. */
struct gf_mail {
	const struct gf_region *r;
	uint64_t seq;  /* the last that was used; 0: none may be */
	uint32_t first, n; /* slots [first, n) are ours */
	struct gf_mail_slot {
		uint64_t seq; /* 0: free */
		uint64_t deadline_ns;
	} slot[GF_MAIL_SLOTS];
};

GF_INLINE void gf_mail_init(struct gf_mail *m, const struct gf_region *r)
{
	uint64_t seq = gf_region_word(r, GF_REGION_HEAD(mail_seq));

	m->r = r;
	m->first = 0;
	m->n = GF_MIN(r->slots, GF_MAIL_SLOTS);
	for (uint32_t i = 0; i < m->n; i++) {
		uint64_t s = gf_region_word(r, r->verdict + (uint64_t)i * r->verdict_step);

		seq = GF_MAX(seq, s);
		m->slot[i].seq = m->slot[i].deadline_ns = 0;
	}
	/* The module takes what is greater than it has had. Numbers of another instance are not to be met here: who asks for the answer to one of those
	 * would get another's. */
	seq = GF_MAX(seq, (r->instance & 0xffffffffu) << 24 | 1);
	m->seq = seq < 1ull << 62 ? seq : 0;
}

/* Before anything is sent: only the first half of the slots, or the second. */
GF_INLINE void gf_mail_half(struct gf_mail *m, int second)
{
	if (second)
		m->first = m->n / 2;
	else
		m->n = GF_MAX(m->n / 2, 1u);
}

/* The number that the module has begun with in this slot, the one that it has answered. */
GF_INLINE uint64_t gf_mail_taken(const struct gf_mail *m, uint32_t slot)
{
	return gf_region_word(m->r, m->r->answer + (uint64_t)slot * m->r->answer_step + offsetof(struct gpufas_answer, taken));
}

GF_INLINE uint64_t gf_mail_answered(const struct gf_mail *m, uint32_t slot)
{
	return gf_region_word(m->r, m->r->answer + (uint64_t)slot * m->r->answer_step);
}

/* A slot that is free; or, where none is, one whose verdict is void and in no CPU's hand, and who follows it sees no end. m->n: none. */
GF_INLINE uint32_t gf_mail_slot(const struct gf_mail *m, uint64_t now_ns)
{
	uint32_t i = m->first;

	while (i < m->n && m->slot[i].seq)
		i++;
	if (i < m->n)
		return i;
	for (i = m->first; i < m->n; i++)
		if (now_ns >= m->slot[i].deadline_ns + 1000000000u &&
		    (gf_mail_taken(m, i) != m->slot[i].seq || gf_mail_answered(m, i) == m->slot[i].seq))
			return i;
	return i;
}

/* Sends v, whose seq and check are filled in here. now_ns: of the clock that deadlines are of. A slot, or -EAGAIN: all are under way;
 * -EBADMSG: the mailbox is of no use. */
GF_INLINE int gf_mail_post(struct gf_mail *m, struct gpufas_verdict *v, uint64_t now_ns)
{
	const uint64_t *w = (const uint64_t *)(const void *)v;
	uint32_t i;

	if (!m->seq || m->seq >= 1ull << 62)
		return -EBADMSG;
	i = gf_mail_slot(m, now_ns);
	if (i >= m->n)
		return -EAGAIN;
	uint8_t *p = gf_region_at(m->r, m->r->verdict + (uint64_t)i * m->r->verdict_step, sizeof *v);
	if (!p)
		return -EBADMSG;
	v->reserved0 = 0;
	v->reserved1 = 0;
	do {
		v->seq = ++m->seq;
		v->check = gpufas_check(m->r->instance, v);
	} while (!v->check); /* that is one that was taken back */
	for (uint32_t k = 1; k < sizeof *v / 8; k++)
		gf_store64(p + 8 * k, w[k]);
	GF_STORE_FENCE();
	gf_store64(p, v->seq);
	GF_STORE_FENCE();
	m->slot[i].seq = v->seq;
	m->slot[i].deadline_ns = v->deadline_ns;
	return (int)i;
}

/* 1: the answer to the verdict in this slot is there. It may change once more, from SENT to EXITED. */
GF_INLINE int gf_mail_answer(const struct gf_mail *m, uint32_t slot, uint64_t seq, struct gpufas_answer *ret)
{
	uint64_t off = m->r->answer + (uint64_t)slot * m->r->answer_step;

	if (gf_region_word(m->r, off) != seq)
		return 0;
	GF_LOAD_FENCE();
	if (gf_region_copy(m->r, off, ret, sizeof *ret))
		return 0;
	GF_LOAD_FENCE();
	return gf_region_word(m->r, off) == seq && ret->state > GPUFAS_NONE && ret->state <= GPUFAS_REFUSED;
}

/* The verdict in this slot is of no interest any more. One that was never answered is left where it is as long as there are others: a CPU may have
 * stopped on the way to it, and nothing else would be taken from there. */
GF_INLINE void gf_mail_free(struct gf_mail *m, uint32_t slot, uint64_t seq)
{
	if (slot < m->n && m->slot[slot].seq == seq && gf_mail_answered(m, slot) == seq)
		m->slot[slot].seq = 0;
}

/* No answer has come: the verdict is taken back. 0: it was not carried out and will not be. 1: the module has begun with it: its answer is
 * there, or comes. To be called again is allowed. */
GF_INLINE int gf_mail_void(struct gf_mail *m, uint32_t slot, uint64_t seq)
{
	uint64_t off = m->r->verdict + (uint64_t)slot * m->r->verdict_step + offsetof(struct gpufas_verdict, check);
	uint8_t *p = gf_region_at(m->r, off, 8);

	if (!p || slot >= m->n || m->slot[slot].seq != seq)
		return 0; /* another one is there since, which was not put there before this one was void */
	gf_store64(p, 0);
	GF_FULL_FENCE();
	return gf_mail_taken(m, slot) == seq;
}

/* Taken back too late, and never answered: its CPU is lost in the middle of it. Whether it may be done by another road all the same. */
GF_INLINE int gf_mail_twice(const struct gf_verdict *v)
{
	return v->action == GF_ACT_SIGNAL && v->arg == 9; /* killed twice is killed once; another signal would be another signal */
}

/* ---- verdicts of the engine as the module wants them ---- */

/* Whether that is something for the mailbox at all. Real-time signals are queued: not in hard interrupts. */
GF_INLINE int gf_mail_can(const struct gf_verdict *v)
{
	if (v->action == GF_ACT_PANIC || v->action == GF_ACT_RESTART)
		return 1;
	return v->action == GF_ACT_SIGNAL && v->pid > 0 && v->arg > 0 && v->arg < 32;
}

/* All but seq and check. */
GF_INLINE void gf_mail_verdict(const struct gf_verdict *v, uint64_t deadline_ns, struct gpufas_verdict *ret)
{
	int last = v->action != GF_ACT_SIGNAL;

	ret->seq = ret->check = 0;
	ret->start_ns = last ? 0 : v->start_ns;
	ret->deadline_ns = deadline_ns;
	ret->cookie = v->event;
	ret->pid = last ? 0 : v->pid;
	ret->arg = last ? 0 : v->arg;
	ret->action = (uint16_t)(v->action == GF_ACT_PANIC ? GPUFAS_PANIC : v->action == GF_ACT_RESTART ? GPUFAS_RESTART : GPUFAS_SIGNAL);
	ret->flags = v->flags & GF_VERDICT_OBSERVE ? GPUFAS_OBSERVE : 0;
	ret->reserved0 = 0;
	ret->reserved1 = 0;
}

/* enum gf_refused of enum gpufas_why. */
GF_INLINE uint8_t gf_mail_refused(uint16_t why)
{
	switch (why) {
	case GPUFAS_WHY_DEADLINE: return GF_REF_LATE;
	case GPUFAS_WHY_BUDGET: return GF_REF_BUDGET;
	case GPUFAS_WHY_GONE: return GF_REF_GONE;
	case GPUFAS_WHY_IDENTITY: return GF_REF_IDENTITY;
	case GPUFAS_WHY_INIT: return GF_REF_INIT;
	case GPUFAS_WHY_KTHREAD: return GF_REF_KTHREAD;
	case GPUFAS_WHY_SELF: return GF_REF_SELF;
	case GPUFAS_WHY_EXITING: return GF_REF_EXITING;
	case GPUFAS_WHY_FORBIDDEN: return GF_REF_NOT_ALLOWED;
	default: return GF_REF_NO_ROAD;
	}
}

/* A refusal of the mailbox and not of the deed: nothing was done, and another road may be taken. */
GF_INLINE int gf_mail_elsewhere(uint16_t why)
{
	return why == GPUFAS_WHY_DISARMED || why == GPUFAS_WHY_DEADLINE || why == GPUFAS_WHY_NO_ROAD || why == GPUFAS_WHY_BUDGET || why == GPUFAS_WHY_BAD ||
	       why == GPUFAS_WHY_WITHDRAWN;
}

#endif
