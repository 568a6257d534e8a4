// SPDX-License-Identifier: MIT
/*
 * Deliveries by the host: gpu/delivery.h, with kicks and wakes; freezing and limits.
 */
#include "targets/pseudo_do.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "targets/act.h"
#include "targets/pseudo_int.h"

uint64_t pseudo_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int gf_refused_errno(uint8_t why)
{
	return gf_delivery_errno(why);
}

void pseudo_refuse(struct gf_delivery *d, uint8_t why)
{
	gf_delivery_refuse(d, why);
}

/* What only the host can do. */
static void grant(struct gf_pseudo *p, struct gf_delivery *d, const struct gf_pseudo_kick *kick)
{
	uint8_t want = d->want;

	d->want = 0;
	if (want & GF_WANT_WAKE)
		pseudo_wake(p, d->thread, kick);
	if (want & GF_WANT_KICK)
		pseudo_kick(&d->work, kick);
}

void gf_pseudo_begin(struct gf_pseudo *p, const struct gf_verdict *v, enum gf_pseudo_road road,
		     const struct gf_pseudo_kick *kick, struct gf_delivery *d)
{
	struct gf_pseudo_ctx c = pseudo_ctx(p);

	gf_delivery_init(d, v, road, gf_act_is_lethal(v));
	if (!p->writable && !d->observe) {
		pseudo_refuse(d, GF_REF_READ_ONLY);
		return;
	}
	uint8_t r = pseudo_has(p, PART_TASK) ? pseudo_find(p, v->pid, v->start_ns, &d->victim) : GF_REF_NO_ROAD;
	if (r)
		pseudo_refuse(d, r);
	else if (v->action == GF_ACT_SIGNAL)
		gf_delivery_begin_signal(&c, d);
	else if (v->action == GF_ACT_FREEZE || v->action == GF_ACT_THAW)
		pseudo_freeze(p, d, kick);
	else if (v->action == GF_ACT_LIMIT)
		pseudo_limit(p, v, d);
	else
		pseudo_refuse(d, GF_REF_NO_ROAD);
	grant(p, d, kick);
}

bool gf_pseudo_poll(struct gf_pseudo *p, struct gf_delivery *d, const struct gf_pseudo_kick *kick)
{
	struct gf_pseudo_ctx c = pseudo_ctx(p);
	uint8_t phase = d->phase, became = d->became;

	gf_delivery_poll(&c, d);
	if (d->phase == GF_PHASE_PARKING)
		pseudo_parking(p, d, kick);
	grant(p, d, kick);
	return d->phase != phase || d->became != became;
}

void gf_pseudo_end(struct gf_pseudo *p, struct gf_delivery *d)
{
	if (d->phase == GF_PHASE_QUEUED && !gf_ps_drained(&p->plain, d->work.block))
		gf_ps_work_stop(&p->plain, &d->work);
	else if (d->phase == GF_PHASE_QUEUED)
		gf_ps_block_done(&p->plain, d->work.block);
	d->phase = GF_PHASE_OVER;
}
