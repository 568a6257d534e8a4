/* SPDX-License-Identifier: MIT
 *
 * A signal is begun with: by a store into a thread, or by a block on a CPU's list of work for the kernel's own sender.
 * Of gpu/delivery.h, which includes this.
 */
#ifndef GPUFAS_DELIVERY_BEGIN_H
#define GPUFAS_DELIVERY_BEGIN_H

/* ---- store ---- */

/*
 * Whether what was seen at since_ns still holds: that the thread is the victim's. Its memory can be another process' only after it has exited,
 * been reaped, a grace period has passed and a fork has got it, which takes milliseconds. But who looks may be switched out between look and store: a GPU without MPS
 * gives a process' kernels slices of milliseconds, a CPU as long as it likes.
 */
GF_INLINE int gf_delivery_fresh(uint64_t since_ns)
{
	return gf_now_ns() - since_ns < GF_DELIVERY_FRESH_NS;
}

/* The flag alone: 1, 0 (NEED_RESCHED is set, or what was seen is too old: not now), -1 (not there). */
GF_APART int gf_delivery_flag(const struct gf_pseudo_plain *p, uint64_t thread, uint64_t since_ns)
{
	uint64_t flags = thread + p->m[M_TASK_TI_FLAGS];
	uint32_t at = p->tif_sigpending / 8u, bit = 1u << p->tif_sigpending % 8u;
	uint32_t not_now = p->tif_resched / 8u == at ? 1u << p->tif_resched % 8u : 0;
	uint8_t *w = gf_ps_at(p, flags, 8);

	if (!w)
		return -1;
	if (!gf_delivery_fresh(since_ns))
		return 0;
	if (p->atomics) {
		gf_ps_or64(w, 1ull << p->tif_sigpending);
		return 1;
	}
	for (uint32_t i = 0; i < GF_DELIVERY_SPINS; i++) {
		uint32_t b = (uint32_t)gf_load(w + at, 1);
		if (b & not_now)
			continue;
		if (!gf_delivery_fresh(since_ns))
			return 0;
		if (!(b & bit))
			gf_ps_put(w + at, 1, b | bit);
		return 1;
	}
	return 0;
}

/* Both: 1, 0 (half: the pending bit is there), -1, -2 (what was seen at since_ns is too old, and nothing was stored). */
GF_APART int gf_delivery_store(struct gf_pseudo_ctx *c, struct gf_delivery *d, uint64_t since_ns)
{
	const struct gf_pseudo_plain *p = c->p;
	uint32_t bit = (uint32_t)d->sig - 1;
	uint8_t *w = gf_ps_at(p, d->thread + p->m[M_TASK_PENDING], 8);

	if (!w)
		return -1;
	uint32_t b = p->atomics ? 0 : (uint32_t)gf_load(w + bit / 8, 1);
	if (!gf_delivery_fresh(since_ns))
		return -2;
	if (p->atomics)
		gf_ps_or64(w, 1ull << bit);
	else {
		if (!(b >> bit % 8 & 1))
			gf_ps_put(w + bit / 8, 1, b | 1u << bit % 8);
	}
	gf_ps_fence();
	int r = gf_delivery_flag(p, d->thread, since_ns);
	if (r < 0)
		return -1;
	d->half = !r;
	gf_delivery_tried(c, d);
	return r;
}

GF_APART void gf_delivery_begin_irq(struct gf_pseudo_ctx *c, struct gf_delivery *d);

GF_APART void gf_delivery_begin_store(struct gf_pseudo_ctx *c, struct gf_delivery *d)
{
	struct gf_pseudo_thread t;
	int stored = -2;

	for (uint32_t i = 0; i < GF_DELIVERY_LOOKS && stored == -2; i++) {
		uint64_t since = gf_now_ns();
		uint8_t r = gf_ps_same(c->p, &d->victim);

		if (r) {
			gf_delivery_refuse(d, r);
			return;
		}
		/* The thread, too: its memory may be another process' once it has exited. */
		int there = gf_ps_thread_there(c->p, &d->victim, d->thread, d->sig, &t);
		/* It has taken a stop signal since it was chosen: see gf_delivery_road(). */
		if (there && t.stopping && gf_ps_has(c->p, PART_SEND)) {
			d->thread = 0;
			d->how = c->p->atomics ? GF_HOW_IRQ_WORK : GF_HOW_GPU_IRQ_WORK;
			gf_delivery_begin_irq(c, d);
			return;
		}
		stored = there ? gf_delivery_store(c, d, since) : -1;
	}
	if (stored < 0) {
		gf_delivery_refuse(d, GF_REF_TORN);
		return;
	}
	d->how = c->p->atomics ? GF_HOW_STORE : GF_HOW_GPU_STORE;
	d->became = GF_BECAME_PENDING;
	d->phase = GF_PHASE_STORED;
}

/* ---- irq_work ---- */

/* A block of one's own, filled for a signal to the victim; GF_NONE: none is free, or its struct pid cannot be held. */
GF_APART uint32_t gf_ps_block_signal(struct gf_pseudo_ctx *c, const struct gf_pseudo_victim *v, int sig)
{
	uint32_t i = c->p->atomics ? gf_ps_claim(c->p, c->next, PSEUDO_CLAIM) : c->pool ? gf_ps_pool_take(c->p, c->pool) : GF_NONE;

	return i != GF_NONE && gf_ps_fill_signal(c->p, i, v, sig) ? i : GF_NONE;
}

GF_APART int gf_ps_work_put(struct gf_pseudo_ctx *c, struct gf_pseudo_work *w, uint8_t *want)
{
	w->cpu = gf_ps_cpu(c->p, w->cpus, &w->idle);
	if (w->cpu == GF_NONE || !gf_ps_queue(c->p, w->block, w->cpu))
		return 0;
	w->look_ns = c->now_ns;
	if (w->idle)
		*want |= GF_WANT_KICK;
	return 1;
}

/* Queues a filled block. False: there is no CPU; the block is cancelled. */
GF_APART int gf_ps_work_start(struct gf_pseudo_ctx *c, struct gf_pseudo_work *w, uint32_t block, uint8_t *want)
{
	w->look_ns = w->kick_ns = w->cpus = 0;
	w->idle = w->reserved = 0;
	w->block = block;
	if (gf_ps_work_put(c, w, want))
		return 1;
	gf_ps_block_cancel(c->p, block);
	w->block = GF_NONE;
	return 0;
}

/* The others, one after the other; after a lap from the start. */
GF_APART void gf_ps_work_move(struct gf_pseudo_ctx *c, struct gf_pseudo_work *w, uint8_t *want)
{
	uint32_t idle;

	w->look_ns = c->now_ns;
	if (!c->p->atomics) {
		*want |= GF_WANT_MOVE;
		return;
	}
	if (w->cpu < 64)
		w->cpus |= 1ull << w->cpu;
	if (gf_ps_cpu(c->p, w->cpus, &idle) == GF_NONE)
		w->cpus = 0;
	if (!gf_ps_unqueue(c->p, w->block, w->cpu))
		return; /* it has just been taken, or others are before it: it stays where it is */
	if (!gf_ps_work_put(c, w, want)) {
		w->cpus = 0;
		gf_ps_queue(c->p, w->block, w->cpu == GF_NONE ? 0 : w->cpu);
	}
}

/* True: it has run, and its block is let go of. Else, in time, moves it to another CPU and wants another kick. */
GF_APART int gf_ps_work_done(struct gf_pseudo_ctx *c, struct gf_pseudo_work *w, uint8_t *want)
{
	if (gf_ps_drained(c->p, w->block)) {
		gf_ps_block_done(c->p, w->block);
		return 1;
	}
	if (gf_delivery_age(c, w->look_ns) >= GF_DELIVERY_MOVE_NS)
		gf_ps_work_move(c, w, want);
	else if (w->kick_ns && w->idle && gf_delivery_age(c, w->kick_ns) >= GF_DELIVERY_KICK_NS)
		*want |= GF_WANT_KICK;
	return 0;
}

/* True: taken back, it will never run. */
GF_APART int gf_ps_work_stop(const struct gf_pseudo_plain *p, struct gf_pseudo_work *w)
{
	if (!gf_ps_unqueue(p, w->block, w->cpu))
		return 0;
	gf_ps_block_cancel(p, w->block);
	w->block = GF_NONE;
	return 1;
}

GF_APART void gf_delivery_begin_irq(struct gf_pseudo_ctx *c, struct gf_delivery *d)
{
	uint32_t idle = 0, block = GF_NONE;
	uint8_t r;

	/* Without atomic operations every list may be in use just now: that is no reason to take a block. */
	if ((c->p->atomics && !c->shy) || gf_ps_cpu(c->p, 0, &idle) != GF_NONE) {
		if (c->shy && idle)
			d->want |= GF_WANT_HOST;
		else
			block = gf_ps_block_signal(c, &d->victim, d->sig);
	}
	r = gf_ps_same(c->p, &d->victim);
	if (r) {
		if (block != GF_NONE)
			gf_ps_block_cancel(c->p, block);
		gf_delivery_refuse(d, r);
		return;
	}
	int queued = block != GF_NONE && gf_ps_work_start(c, &d->work, block, &d->want);
	if (block != GF_NONE && !queued && c->p->atomics) {
		gf_delivery_refuse(d, GF_REF_NO_CPU);
		return;
	}
	if (!queued) { /* all are in use, for as long as a few hundred ticks */
		d->phase = d->thread ? GF_PHASE_STORED : GF_PHASE_WAITING;
		if (!d->look_ns)
			d->look_ns = c->now_ns;
		return;
	}
	d->block = block;
	gf_delivery_tried(c, d);
	d->how = c->p->atomics ? GF_HOW_IRQ_WORK : GF_HOW_GPU_IRQ_WORK;
	d->became = GF_BECAME_PENDING;
	d->phase = GF_PHASE_QUEUED;
}

/* ---- begin ---- */

GF_APART void gf_delivery_begin_signal(struct gf_pseudo_ctx *c, struct gf_delivery *d)
{
	struct gf_pseudo_choice choice;
	enum gf_pseudo_road road = GF_ROAD_AUTO;
	uint8_t r = d->sig < 1 || d->sig > 64 ? (uint8_t)GF_REF_NO_ROAD : gf_delivery_ignored(c->p, &d->victim, d->sig);

	if (!r)
		r = gf_delivery_choose(c->p, d, &choice);
	if (!r)
		road = gf_delivery_road(c->p, d, &choice);
	if (r || road == GF_ROAD_AUTO) {
		gf_delivery_refuse(d, r ? r : (uint8_t)GF_REF_NO_ROAD);
		return;
	}
	d->thread = road == GF_ROAD_IRQ_WORK ? 0 : choice.best.task;
	d->how = road == GF_ROAD_IRQ_WORK ? (c->p->atomics ? GF_HOW_IRQ_WORK : GF_HOW_GPU_IRQ_WORK)
					  : (c->p->atomics ? GF_HOW_STORE : GF_HOW_GPU_STORE);
	if (d->observe) {
		d->phase = GF_PHASE_OVER;
		return;
	}
	if (road == GF_ROAD_IRQ_WORK) {
		gf_delivery_begin_irq(c, d);
		return;
	}
	gf_delivery_begin_store(c, d);
	if (d->phase == GF_PHASE_STORED && choice.rank == GF_RANK_ASLEEP)
		d->want |= GF_WANT_WAKE;
}

/* Nothing is known yet. lethal: whether the process is meant to end. */
GF_APART void gf_delivery_init(struct gf_delivery *d, const struct gf_verdict *v, enum gf_pseudo_road road, int lethal)
{
	d->victim.task = d->victim.signal = d->victim.pid_struct = d->victim.start = 0;
	d->victim.pid = v->pid;
	d->victim.reserved = 0;
	d->thread = d->begun_ns = d->look_ns = 0;
	d->work.look_ns = d->work.kick_ns = d->work.cpus = 0;
	d->work.block = d->block = d->exit_us = d->taken_us = GF_NONE;
	d->work.cpu = d->work.idle = d->work.reserved = 0;
	d->sig = v->action == GF_ACT_SIGNAL ? v->arg : 0;
	d->action = v->action;
	d->road = (uint8_t)road;
	d->phase = GF_PHASE_WAITING;
	d->lethal = lethal != 0;
	d->how = GF_HOW_STORE;
	d->became = GF_BECAME_UNSEEN;
	d->tries = 0;
	d->why = GF_REF_NONE;
	d->observe = (v->flags & GF_VERDICT_OBSERVE) != 0;
	d->wakes = d->want = d->half = 0;
}

#endif
