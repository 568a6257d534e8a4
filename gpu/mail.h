/* SPDX-License-Identifier: MIT
 *
 * The module's mailbox, as a writer uses it: plain stores, the number last. Host and device. A slot has one writer: where a device
 * delivers by itself the first half of them is the host's, the second the device's (gf_mail_half).
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
	m->seq = seq < 1ull << 62 ? seq : 0;
	if (!m->seq && seq < 1ull << 62)
		m->seq = 1; /* the module takes what is greater than it has had */
}

/* Before anything is sent: only the first half of the slots, or the second. */
GF_INLINE void gf_mail_half(struct gf_mail *m, int second)
{
	if (second)
		m->first = m->n / 2;
	else
		m->n = GF_MAX(m->n / 2, 1u);
}

/* Sends v, whose seq and check are filled in here. now_ns: of the clock that deadlines are of. A slot, or -EAGAIN: all are under way;
 * -EBADMSG: the mailbox is of no use. */
GF_INLINE int gf_mail_post(struct gf_mail *m, struct gpufas_verdict *v, uint64_t now_ns)
{
	const uint64_t *w = (const uint64_t *)(const void *)v;
	uint32_t i = m->first;

	if (!m->seq || m->seq >= 1ull << 62)
		return -EBADMSG;
	/* One whose deadline is well past is void, whatever becomes of it. */
	while (i < m->n && m->slot[i].seq && now_ns < m->slot[i].deadline_ns + 1000000000u)
		i++;
	if (i == m->n)
		return -EAGAIN;
	uint8_t *p = gf_region_at(m->r, m->r->verdict + (uint64_t)i * m->r->verdict_step, sizeof *v);
	if (!p)
		return -EBADMSG;
	v->seq = ++m->seq;
	v->reserved0 = 0;
	v->reserved1 = 0;
	v->check = gpufas_check(m->r->instance, v);
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

/* The verdict in this slot is of no interest any more. */
GF_INLINE void gf_mail_free(struct gf_mail *m, uint32_t slot, uint64_t seq)
{
	if (slot < m->n && m->slot[slot].seq == seq)
		m->slot[slot].seq = 0;
}

/* No answer has come: the verdict is to be void. What the module has taken by then it may still answer: look once more before
 * it is done by another road. */
GF_INLINE void gf_mail_void(struct gf_mail *m, uint32_t slot, uint64_t seq)
{
	uint64_t off = m->r->verdict + (uint64_t)slot * m->r->verdict_step + offsetof(struct gpufas_verdict, check);
	uint8_t *p = gf_region_at(m->r, off, 8);

	if (p && slot < m->n && m->slot[slot].seq == seq)
		gf_store64(p, ~gf_load(p, 8));
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
	return why == GPUFAS_WHY_DISARMED || why == GPUFAS_WHY_DEADLINE || why == GPUFAS_WHY_NO_ROAD || why == GPUFAS_WHY_BUDGET || why == GPUFAS_WHY_BAD;
}

#endif
