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

static uint64_t moved(uint64_t t, uint64_t by)
{
	return t ? t + by : 0;
}

/* A block of the device's is counted as one of ours when it is let go of: of what pins its struct pid one is taken off then,
 * which leaves enough. */
void gf_pseudo_take_over(struct gf_pseudo *p, const struct gf_deliver_result *offer, const struct gf_pseudo_kick *kick, struct gf_delivery *d)
{
	uint64_t by = pseudo_now() - offer->now_ns;

	if (!offer->begun) {
		gf_pseudo_begin(p, &offer->verdict, GF_ROAD_AUTO, kick, d);
		return;
	}
	*d = offer->delivery;
	d->begun_ns = moved(d->begun_ns, by);
	d->look_ns = moved(d->look_ns, by);
	d->work.look_ns = moved(d->work.look_ns, by);
	d->work.kick_ns = 0;
	grant(p, d, kick);
}

/* A thread in which the signal is pending, or 0. */
static uint64_t pending_in(const struct gf_pseudo *p, const struct gf_pseudo_victim *v, int sig)
{
	struct gf_pseudo_thread t;
	struct gf_pseudo_walk w;
	uint64_t pending;

	gf_ps_threads(&p->plain, v, &w);
	while (gf_ps_thread_next(&p->plain, &w, sig, &t) > 0)
		if (pseudo_member(p, t.task, M_TASK_PENDING, &pending) && pending >> (sig - 1) & 1)
			return t.task;
	return 0;
}

/* A device's block with that signal for that process, used or on its way; GF_NONE. */
static uint32_t block_of(const struct gf_pseudo *p, const struct gf_pseudo_victim *v, int sig)
{
	uint64_t word, pid, signo;

	for (uint32_t i = 0; pseudo_has(p, PART_SEND) && i < p->blocks; i++)
		if (pseudo_get(p, p->block[i], 8, &word) && word >> 32 == PSEUDO_ASIDE_CLAIM
		    && pseudo_get(p, p->block[i] + p->m[M_KIT_PID], 8, &pid) && pid == v->pid_struct
		    && pseudo_get(p, p->block[i] + PSEUDO_BLOCK_SIGQ + p->m[M_SQ_SIGNO], 4, &signo) && (int)signo == sig)
			return i;
	return GF_NONE;
}

void gf_pseudo_resume(struct gf_pseudo *p, const struct gf_verdict *v, const struct gf_pseudo_kick *kick, struct gf_delivery *d)
{
	uint64_t shared = 0;
	uint8_t r;

	gf_delivery_init(d, v, GF_ROAD_AUTO, gf_act_is_lethal(v));
	if (v->action != GF_ACT_SIGNAL || d->observe || !pseudo_has(p, PART_TASK)) {
		gf_pseudo_begin(p, v, GF_ROAD_AUTO, kick, d);
		return;
	}
	r = pseudo_find(p, v->pid, v->start_ns, &d->victim);
	d->begun_ns = d->look_ns = pseudo_now();
	d->how = GF_HOW_GPU_STORE;
	if (r && r != GF_REF_EXITING) {
		/* Who has gone has what was meant for it. */
		if (d->lethal && (r == GF_REF_GONE || r == GF_REF_IDENTITY)) {
			d->became = GF_BECAME_DELIVERED;
			d->phase = GF_PHASE_OVER;
		} else
			pseudo_refuse(d, r);
		return;
	}
	d->became = GF_BECAME_PENDING;
	d->tries = 1;
	d->thread = pending_in(p, &d->victim, d->sig);
	pseudo_member(p, d->victim.signal, M_SIG_SHARED, &shared);
	uint32_t block = d->sig >= 1 && d->sig <= 64 ? block_of(p, &d->victim, d->sig) : GF_NONE;
	if (r == GF_REF_EXITING)
		d->phase = GF_PHASE_TAKEN;
	else if (block != GF_NONE) {
		d->how = GF_HOW_GPU_IRQ_WORK;
		d->block = d->work.block = block;
		d->work.cpu = GF_NONE; /* whose list it is on is not known */
		d->work.look_ns = d->look_ns;
		d->phase = gf_ps_drained(&p->plain, block) ? GF_PHASE_SENT : GF_PHASE_QUEUED;
	} else if (d->thread)
		d->phase = GF_PHASE_STORED;
	else if (shared >> (d->sig - 1) & 1)
		d->phase = GF_PHASE_TAKEN;
	else if (d->sig == GF_SIG_KILL || d->sig == GF_SIG_STOP || d->sig == GF_SIG_CONT)
		gf_pseudo_begin(p, v, GF_ROAD_AUTO, kick, d); /* twice does no harm */
	else { /* taken by now, or never stored: it is not sent twice */
		d->became = GF_BECAME_UNSEEN;
		d->phase = GF_PHASE_OVER;
	}
}

void gf_pseudo_end(struct gf_pseudo *p, struct gf_delivery *d)
{
	if (d->phase == GF_PHASE_QUEUED && !gf_ps_drained(&p->plain, d->work.block))
		gf_ps_work_stop(&p->plain, &d->work);
	else if (d->phase == GF_PHASE_QUEUED)
		gf_ps_block_done(&p->plain, d->work.block);
	d->phase = GF_PHASE_OVER;
}
