// SPDX-License-Identifier: MIT
/*
 * A quiet pause: every thread gets the bit that makes it park in the freezer's trap
 * (JOBCTL_TRAP_FREEZE), as the cgroup freezer would set it, and sleepers are woken so that they get there. Its parent
 * is not told, and SIGKILL still kills it. Letting go clears the bits and wakes the threads.
 */
#include <time.h>

#include "targets/pseudo_int.h"

#define TRAP_FREEZE (1ull << 23)
#define INTERRUPTIBLE 1u
#define PARK_NS 2000000000ull
#define AGAIN_NS 20000000ull

struct parade {
	struct gf_pseudo *p;
	const struct gf_pseudo_kick *kick;
	bool freeze, wake;
	uint32_t left; /* threads that are not there yet */
};

static bool trapped(const struct gf_pseudo *p, const struct gf_pseudo_thread *t, bool *ret_set)
{
	uint64_t jobctl = 0, flags = 0;

	pseudo_member(p, t->task, M_TASK_JOBCTL, &jobctl);
	pseudo_member(p, t->task, M_TASK_TI_FLAGS, &flags);
	*ret_set = jobctl & TRAP_FREEZE;
	/* Whoever is in the trap has cleared the flag; who sleeps elsewhere has not seen it. Who is stopped or
	 * uninterruptible gets there when that ends. */
	return *ret_set && !t->on_cpu && t->state && (!(t->state & INTERRUPTIBLE) || !(flags >> p->tif_sigpending & 1));
}

static bool freeze_one(void *arg, const struct gf_pseudo_thread *t)
{
	struct parade *a = arg;
	bool set;

	if (trapped(a->p, t, &set))
		return true;
	a->left++;
	if (!set || a->wake) {
		pseudo_or(a->p, t->task + a->p->m[M_TASK_JOBCTL], TRAP_FREEZE);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		pseudo_or(a->p, t->task + a->p->m[M_TASK_TI_FLAGS], 1ull << a->p->tif_sigpending);
	}
	if (a->wake && t->state & INTERRUPTIBLE && !t->on_cpu && pseudo_has(a->p, PART_WAKE))
		pseudo_wake(a->p, t->task, a->kick);
	return true;
}

static bool thaw_one(void *arg, const struct gf_pseudo_thread *t)
{
	struct parade *a = arg;
	uint64_t jobctl = 0;

	if (!pseudo_member(a->p, t->task, M_TASK_JOBCTL, &jobctl) || (!(jobctl & TRAP_FREEZE) && !a->wake))
		return true;
	a->left += !!(jobctl & TRAP_FREEZE);
	pseudo_and(a->p, t->task + a->p->m[M_TASK_JOBCTL], ~TRAP_FREEZE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (t->state & INTERRUPTIBLE)
		pseudo_wake(a->p, t->task, a->kick);
	return true;
}

/* Its cgroup is frozen by the guest itself. */
static bool by_cgroup(const struct gf_pseudo *p, const struct gf_pseudo_victim *v)
{
	uint64_t cset, cgrp, frozen;

	return pseudo_has(p, PART_CGROUP) && pseudo_member(p, v->task, M_TASK_CGROUPS, &cset) && pseudo_member(p, cset, M_CS_DFL, &cgrp)
	       && pseudo_member(p, cgrp, M_CGRP_FROZEN, &frozen) && frozen;
}

/* False: there is no room. */
static bool remember(struct gf_pseudo *p, const struct gf_pseudo_victim *v, bool frozen)
{
	uint32_t at = FROZEN_MAX;

	pthread_mutex_lock(&p->lock);
	for (uint32_t i = 0; i < FROZEN_MAX; i++) {
		if (p->frozen[i].pid == v->pid && p->frozen[i].start == v->start) {
			at = i;
			break;
		}
		if (!p->frozen[i].pid && at == FROZEN_MAX)
			at = i;
	}
	/* Those that were killed in their sleep are still here. */
	for (uint32_t i = 0; i < FROZEN_MAX && at == FROZEN_MAX; i++)
		if (pseudo_is_past(p, p->frozen[i].pid, p->frozen[i].start))
			at = i;
	if (at < FROZEN_MAX)
		p->frozen[at] = frozen ? (struct pseudo_frozen){ v->start, v->pid } : (struct pseudo_frozen){ 0 };
	pthread_mutex_unlock(&p->lock);
	return at < FROZEN_MAX;
}

static uint8_t walk(struct gf_pseudo *p, struct gf_delivery *d, const struct gf_pseudo_kick *kick, bool wake, uint32_t *ret_left)
{
	struct parade a = { .p = p, .kick = kick, .freeze = d->action == GF_ACT_FREEZE, .wake = wake };
	uint8_t r = pseudo_threads(p, &d->victim, 0, a.freeze ? freeze_one : thaw_one, &a);

	*ret_left = a.left;
	return r;
}

void pseudo_freeze(struct gf_pseudo *p, struct gf_delivery *d, const struct gf_pseudo_kick *kick)
{
	bool freeze = d->action == GF_ACT_FREEZE;
	uint32_t left;
	uint8_t r;

	/* Who cannot be woken cannot be let go either. */
	if (!pseudo_has(p, PART_FREEZE) || !pseudo_has(p, PART_WAKE) || (!freeze && by_cgroup(p, &d->victim))) {
		pseudo_refuse(d, GF_REF_NO_ROAD);
		return;
	}
	if (d->observe) {
		d->phase = GF_PHASE_OVER;
		return;
	}
	r = pseudo_same(p, &d->victim);
	if (r) {
		pseudo_refuse(d, r);
		return;
	}
	/* What could not be let go at the end is not frozen. */
	if (!remember(p, &d->victim, freeze) && freeze) {
		pseudo_refuse(d, GF_REF_NO_ROOM);
		return;
	}
	d->begun_ns = d->look_ns = pseudo_now();
	d->tries = 1;
	r = walk(p, d, kick, true, &left);
	if (r) { /* a torn list: it is walked again */
		walk(p, d, kick, true, &left);
	}
	d->became = GF_BECAME_PENDING;
	d->phase = GF_PHASE_PARKING;
}

void pseudo_parking(struct gf_pseudo *p, struct gf_delivery *d, const struct gf_pseudo_kick *kick)
{
	uint64_t now = pseudo_now();
	bool again = now - d->look_ns >= AGAIN_NS;
	uint32_t left = 1;

	/* Wakes are not repeated while some are on their way: they hold blocks. */
	uint32_t wakes = pseudo_wakes(p, kick);
	uint8_t r = walk(p, d, kick, again && !wakes && d->action == GF_ACT_FREEZE, &left);
	if (again) {
		d->look_ns = now;
		d->tries = (uint8_t)GF_MIN(d->tries + 1, 255);
	}
	if (!r && !left && (d->action == GF_ACT_FREEZE || !wakes)) {
		d->became = GF_BECAME_DELIVERED;
		d->taken_us = (uint32_t)((now - d->begun_ns) / 1000);
		d->phase = GF_PHASE_OVER;
	} else if (now - d->begun_ns >= PARK_NS && !wakes)
		d->phase = GF_PHASE_OVER; /* pending: the bits are there, and act when the thread looks */
}

unsigned gf_pseudo_undo(struct gf_pseudo *p, const struct gf_pseudo_kick *kick)
{
	const struct timespec pause = { 0, 200000 };
	uint64_t end = pseudo_now() + 2000000000ull;
	unsigned failed = 0;

	for (uint32_t i = 0; i < LIMITS_MAX; i++) {
		pthread_mutex_lock(&p->lock);
		struct pseudo_old o = p->old[i];
		p->old[i].limit = 0;
		pthread_mutex_unlock(&p->lock);
		if (o.limit)
			failed += !pseudo_limit_undo(p, &o);
	}
	for (uint32_t i = 0; i < FROZEN_MAX; i++) {
		struct pseudo_frozen f = p->frozen[i];
		struct gf_verdict v = { .pid = f.pid, .start_ns = f.start, .action = GF_ACT_THAW };
		struct gf_delivery d;
		if (!f.pid)
			continue;
		gf_pseudo_begin(p, &v, GF_ROAD_AUTO, kick, &d);
		while (!gf_delivery_over(&d) && pseudo_now() < end) {
			gf_pseudo_poll(p, &d, kick);
			if (!gf_delivery_over(&d))
				nanosleep(&pause, NULL);
		}
		failed += d.became == GF_BECAME_PENDING || (d.became == GF_BECAME_REFUSED && d.why != GF_REF_GONE && d.why != GF_REF_EXITING);
		p->frozen[i].pid = 0;
	}
	return failed;
}
