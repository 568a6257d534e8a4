// SPDX-License-Identifier: MIT
/*
 * One delivery, from the choice of its road to what became of it.
 *
 * Store: the pending bit of one thread, then a fence, then TIF_SIGPENDING, both by atomic
 * operations. Pending first, because recalc_sigpending() clears the flag where nothing is pending. The kernel
 * changes these words under locks of its own and partly without atomics: then ours can be lost, never
 * its, and it is stored again. Never anything else: a forged NEED_RESCHED wedges its victim for good.
 */
#include "targets/pseudo_do.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "targets/act.h"
#include "targets/pseudo_int.h"

#define AGAIN_NS 1000000ull    /* stores are repeated at most this often */
#define ASLEEP_NS 2000000ull   /* a thread that sleeps on a stored signal for this long is woken */
#define WAKES 8                /* times */
#define QUEUE_NS 10000000000ull
#define SIGNAL_GROUP_EXIT 0x4u

GF_STATIC_ASSERT(sizeof(struct pseudo_work) == sizeof(((struct gf_delivery *)0)->work), "gf_delivery.work");

static struct pseudo_work *work_of(struct gf_delivery *d)
{
	return (struct pseudo_work *)(void *)d->work;
}

uint64_t pseudo_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int gf_refused_errno(uint8_t why)
{
	switch (why) {
	case GF_REF_NONE: return 0;
	case GF_REF_GONE: case GF_REF_EXITING: case GF_REF_REBOOTED: return -ESRCH;
	case GF_REF_IDENTITY: return -ESTALE;
	case GF_REF_INIT: case GF_REF_KTHREAD: case GF_REF_TRACED: return -EPERM;
	case GF_REF_READ_ONLY: return -EROFS;
	case GF_REF_NO_ROAD: return -EOPNOTSUPP;
	case GF_REF_NO_GUEST: return -ENODEV;
	case GF_REF_TORN: return -EAGAIN;
	case GF_REF_NO_ROOM: return -ENOSPC;
	case GF_REF_NO_CPU: case GF_REF_PAUSED: return -EBUSY;
	default: return -EINVAL;
	}
}

void pseudo_refuse(struct gf_delivery *d, uint8_t why)
{
	d->became = GF_BECAME_REFUSED;
	d->why = why;
	d->phase = GF_PHASE_OVER;
}

static uint32_t since_us(const struct gf_delivery *d)
{
	uint64_t us = (pseudo_now() - d->begun_ns) / 1000;

	return (uint32_t)GF_MIN(us, (uint64_t)GF_NONE - 1);
}

/* ---- choosing ---- */

#define INTERRUPTIBLE 1u
#define WAKEKILL 0x100u

enum { RANK_NONE, RANK_ASLEEP, RANK_READY, RANK_ON_CPU };

struct choice {
	struct pseudo_thread best;
	int rank;
	int sig;
	uint32_t open; /* threads that do not block it */
};

/* A sleeper is one that a wake brings to look at the signal. */
static int rank_of(const struct pseudo_thread *t, int sig)
{
	if (t->blocked || t->traced)
		return RANK_NONE;
	if (!t->state)
		return t->on_cpu ? RANK_ON_CPU : t->runnable ? RANK_READY : RANK_NONE;
	return t->state & INTERRUPTIBLE || (sig == SIGKILL && t->state & WAKEKILL && t->state & 2) ? RANK_ASLEEP : RANK_NONE;
}

static bool choose(void *arg, const struct pseudo_thread *t)
{
	struct choice *c = arg;
	int rank = rank_of(t, c->sig);

	c->open += !t->blocked;
	if (rank > c->rank) {
		c->best = *t;
		c->rank = rank;
	}
	return c->rank < RANK_ON_CPU;
}

/* Still one of the victim's threads, not exiting. */
static bool thread_there(const struct gf_pseudo *p, const struct gf_delivery *d, uint64_t task, struct pseudo_thread *t)
{
	uint64_t owner;

	return pseudo_member(p, task, M_TASK_SIGNAL, &owner) && owner == d->victim.signal
	       && pseudo_thread_read(p, task, d->sig, t) && !t->exit_state && !(t->flags & 4);
}

static uint8_t choose_thread(const struct gf_pseudo *p, const struct gf_delivery *d, struct choice *c)
{
	struct pseudo_thread t;
	uint8_t r = GF_REF_TORN;

	for (int i = 0; i < 4 && r == GF_REF_TORN; i++) {
		*c = (struct choice){ .sig = d->sig };
		r = pseudo_threads(p, &d->victim, d->sig, choose, c);
		/* The walk may have been long since it passed this one. */
		if (!r && c->rank && !thread_there(p, d, c->best.task, &t))
			r = GF_REF_TORN;
	}
	if (!r && !c->open && d->sig != SIGKILL && d->sig != SIGSTOP && d->sig != SIGCONT)
		r = GF_REF_BLOCKED;
	return r;
}

static bool ignored(const struct gf_pseudo *p, const struct gf_pseudo_victim *v, int sig, uint8_t *ret_why)
{
	uint64_t hand, handler;

	*ret_why = GF_REF_IGNORED;
	if (sig == SIGKILL || sig == SIGSTOP)
		return false;
	if (!pseudo_member(p, v->task, M_TASK_SIGHAND, &hand) || !hand
	    || !pseudo_get(p, hand + p->m[M_HAND_ACTION] + (uint64_t)(sig - 1) * p->action_size + p->m[M_HAND_HANDLER], 8, &handler)) {
		*ret_why = GF_REF_TORN;
		return true;
	}
	if (sig == SIGCONT)
		return false; /* it continues whatever its handler */
	return handler == 1 || (!handler && (sig == SIGCHLD || sig == SIGURG || sig == SIGWINCH));
}

/* ---- store ---- */

static bool store(struct gf_pseudo *p, struct gf_delivery *d)
{
	if (!pseudo_or(p, d->thread + p->m[M_TASK_PENDING], 1ull << (d->sig - 1)))
		return false;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!pseudo_or(p, d->thread + p->m[M_TASK_TI_FLAGS], 1ull << p->tif_sigpending))
		return false;
	d->look_ns = pseudo_now();
	if (!d->begun_ns)
		d->begun_ns = d->look_ns;
	d->tries = (uint8_t)GF_MIN(d->tries + 1, 255);
	return true;
}

static void begin_store(struct gf_pseudo *p, struct gf_delivery *d)
{
	uint8_t r = pseudo_same(p, &d->victim);
	struct pseudo_thread t;

	if (r) {
		pseudo_refuse(d, r);
		return;
	}
	/* The thread, too: its memory may be another process' once it has exited. */
	if (!thread_there(p, d, d->thread, &t) || !store(p, d)) {
		pseudo_refuse(d, GF_REF_TORN);
		return;
	}
	d->how = GF_HOW_STORE;
	d->became = GF_BECAME_PENDING;
	d->phase = GF_PHASE_STORED;
}

/* ---- irq_work ---- */

static void begin_irq(struct gf_pseudo *p, struct gf_delivery *d, const struct gf_pseudo_kick *kick)
{
	uint32_t block = pseudo_block_signal(p, &d->victim, d->sig);
	uint8_t r = pseudo_same(p, &d->victim);

	if (r) {
		if (block != GF_NONE)
			pseudo_block_cancel(p, block);
		pseudo_refuse(d, r);
		return;
	}
	if (block == GF_NONE) { /* all are in use, for as long as a few hundred ticks */
		d->phase = d->thread ? GF_PHASE_STORED : GF_PHASE_WAITING;
		if (!d->look_ns)
			d->look_ns = pseudo_now();
		return;
	}
	if (!pseudo_work_start(p, work_of(d), block, kick)) {
		pseudo_refuse(d, GF_REF_NO_CPU);
		return;
	}
	d->block = block;
	if (!d->begun_ns)
		d->begun_ns = work_of(d)->look_ns;
	d->tries = (uint8_t)GF_MIN(d->tries + 1, 255);
	d->how = GF_HOW_IRQ_WORK;
	d->became = GF_BECAME_PENDING;
	d->phase = GF_PHASE_QUEUED;
}

/* ---- begin ---- */

/* Which road a signal takes to a group in this state. A CONT works when it is generated: stored it would be nothing. */
static enum gf_pseudo_road road_of(const struct gf_pseudo *p, const struct gf_delivery *d, const struct choice *c)
{
	bool store = pseudo_has(p, PART_STORE) && d->sig != SIGCONT, send = pseudo_has(p, PART_SEND);
	bool wake = store && pseudo_has(p, PART_WAKE) && c->rank >= RANK_ASLEEP;

	store = store && c->rank >= RANK_READY;
	switch ((enum gf_pseudo_road)d->road) {
	case GF_ROAD_STORE: return store ? GF_ROAD_STORE : GF_ROAD_AUTO;
	case GF_ROAD_IRQ_WORK: return send ? GF_ROAD_IRQ_WORK : GF_ROAD_AUTO;
	case GF_ROAD_WAKE: return wake ? GF_ROAD_WAKE : GF_ROAD_AUTO;
	default: return store ? GF_ROAD_STORE : send ? GF_ROAD_IRQ_WORK : wake ? GF_ROAD_WAKE : GF_ROAD_AUTO;
	}
}

static void begin_signal(struct gf_pseudo *p, struct gf_delivery *d, const struct gf_pseudo_kick *kick)
{
	struct choice c;
	uint8_t r;

	if (d->sig < 1 || d->sig > 64) {
		pseudo_refuse(d, GF_REF_NO_ROAD);
		return;
	}
	if (ignored(p, &d->victim, d->sig, &r)) {
		pseudo_refuse(d, r);
		return;
	}
	r = choose_thread(p, d, &c);
	enum gf_pseudo_road road = r ? GF_ROAD_AUTO : road_of(p, d, &c);
	if (r || road == GF_ROAD_AUTO) {
		pseudo_refuse(d, r ? r : GF_REF_NO_ROAD);
		return;
	}
	d->thread = road == GF_ROAD_IRQ_WORK ? 0 : c.best.task;
	d->how = road == GF_ROAD_IRQ_WORK ? GF_HOW_IRQ_WORK : GF_HOW_STORE;
	if (d->observe) {
		d->phase = GF_PHASE_OVER;
		return;
	}
	if (road == GF_ROAD_IRQ_WORK) {
		begin_irq(p, d, kick);
		return;
	}
	begin_store(p, d);
	if (d->phase == GF_PHASE_STORED && c.rank == RANK_ASLEEP)
		pseudo_wake(p, d->thread, kick);
}

void gf_pseudo_begin(struct gf_pseudo *p, const struct gf_verdict *v, enum gf_pseudo_road road,
		     const struct gf_pseudo_kick *kick, struct gf_delivery *d)
{
	*d = (struct gf_delivery){
		.victim.pid = v->pid, .block = GF_NONE, .exit_us = GF_NONE, .taken_us = GF_NONE, .action = v->action, .road = (uint8_t)road,
		.sig = v->action == GF_ACT_SIGNAL ? v->arg : 0, .lethal = gf_act_is_lethal(v), .how = GF_HOW_STORE,
		.observe = v->flags & GF_VERDICT_OBSERVE,
	};
	work_of(d)->block = GF_NONE;
	if (!p->writable && !d->observe) {
		pseudo_refuse(d, GF_REF_READ_ONLY);
		return;
	}
	uint8_t r = pseudo_has(p, PART_TASK) ? pseudo_find(p, v->pid, v->start_ns, &d->victim) : GF_REF_NO_ROAD;
	if (r)
		pseudo_refuse(d, r);
	else if (v->action == GF_ACT_SIGNAL)
		begin_signal(p, d, kick);
	else if (v->action == GF_ACT_FREEZE || v->action == GF_ACT_THAW)
		pseudo_freeze(p, d, kick);
	else if (v->action == GF_ACT_LIMIT)
		pseudo_limit(p, v, d);
	else
		pseudo_refuse(d, GF_REF_NO_ROAD);
}

/* ---- poll ---- */

static void taken(struct gf_delivery *d)
{
	d->became = GF_BECAME_DELIVERED;
	d->phase = d->lethal ? GF_PHASE_TAKEN : GF_PHASE_OVER;
	if (d->taken_us == GF_NONE)
		d->taken_us = since_us(d);
}

/* Another thread of the group, or another road. */
static void redo(struct gf_pseudo *p, struct gf_delivery *d, const struct gf_pseudo_kick *kick)
{
	struct gf_delivery was = *d;

	if (d->tries >= 32)
		return;
	begin_signal(p, d, kick);
	if (d->became != GF_BECAME_REFUSED)
		return;
	/* Something is in the guest already: that it cannot be done again is no refusal. */
	d->became = GF_BECAME_PENDING;
	d->why = GF_REF_NONE;
	d->phase = was.phase;
	d->thread = was.thread;
	d->tries = (uint8_t)(was.tries + 1);
}

static bool group_exits(const struct gf_pseudo *p, const struct gf_delivery *d)
{
	uint64_t flags;

	return pseudo_member(p, d->victim.signal, M_SIG_FLAGS, &flags) && flags & SIGNAL_GROUP_EXIT;
}

/* It went to sleep between our look and our store, or sleeps uninterruptibly. The kernel's sender
 * wakes whom it has to; of a signal that is pending already, the sleeper is only woken. */
static void asleep(struct gf_pseudo *p, struct gf_delivery *d, const struct pseudo_thread *t, const struct gf_pseudo_kick *kick)
{
	if (pseudo_now() - d->look_ns < ASLEEP_NS * (1 + d->wakes * 8u) || d->wakes >= WAKES)
		return;
	d->wakes++;
	d->look_ns = pseudo_now();
	if (d->sig == SIGKILL && pseudo_has(p, PART_SEND))
		begin_irq(p, d, kick);
	else if (rank_of(t, d->sig) == RANK_ASLEEP && pseudo_has(p, PART_WAKE))
		pseudo_wake(p, d->thread, kick);
	if (d->became == GF_BECAME_REFUSED) { /* no CPU: what is stored stays */
		d->became = GF_BECAME_PENDING;
		d->phase = GF_PHASE_STORED;
		d->why = GF_REF_NONE;
	}
}

static void poll_stored(struct gf_pseudo *p, struct gf_delivery *d, const struct gf_pseudo_kick *kick)
{
	struct pseudo_thread t;
	uint64_t pending, flags;

	if (group_exits(p, d)) {
		taken(d);
		return;
	}
	if (!thread_there(p, d, d->thread, &t)) {
		/* Either it has taken SIGKILL, and the group's flag says so by now; or it left by itself, and what was
		 * stored is lost with it. */
		if (group_exits(p, d))
			taken(d);
		else
			redo(p, d, kick);
		return;
	}
	if (!pseudo_member(p, d->thread, M_TASK_PENDING, &pending) || !pseudo_member(p, d->thread, M_TASK_TI_FLAGS, &flags))
		return;
	if (!(pending >> (d->sig - 1) & 1)) {
		taken(d);
		return;
	}
	if (!(flags >> p->tif_sigpending & 1) && !t.blocked && pseudo_now() - d->look_ns >= AGAIN_NS)
		store(p, d);
	if (t.state && !t.on_cpu)
		asleep(p, d, &t, kick);
}

static void poll_queued(struct gf_pseudo *p, struct gf_delivery *d, const struct gf_pseudo_kick *kick)
{
	if (pseudo_work_done(p, work_of(d), kick)) {
		d->phase = GF_PHASE_SENT;
		return;
	}
	if (pseudo_now() - d->begun_ns < QUEUE_NS || !pseudo_work_stop(p, work_of(d)))
		return;
	if (d->thread) { /* what was stored first is still there */
		d->phase = GF_PHASE_STORED;
		d->how = GF_HOW_STORE;
		return;
	}
	pseudo_refuse(d, GF_REF_NO_CPU);
}

static void poll_sent(struct gf_pseudo *p, struct gf_delivery *d)
{
	enum pseudo_sent s = pseudo_block_sent(p, d->block);

	if (s == PSEUDO_TAKEN || group_exits(p, d)) {
		taken(d);
		return;
	}
	if (s == PSEUDO_QUEUED)
		return;
	/* The kernel did not queue it. CONT acts all the same; else it was ignored by then. */
	if (d->sig == SIGCONT)
		taken(d);
	else
		pseudo_refuse(d, GF_REF_IGNORED);
}

bool gf_pseudo_poll(struct gf_pseudo *p, struct gf_delivery *d, const struct gf_pseudo_kick *kick)
{
	uint8_t phase = d->phase, became = d->became;

	if (d->phase == GF_PHASE_OVER)
		return false;
	bool gone = pseudo_gone(p, &d->victim);
	if (gone && d->begun_ns && d->exit_us == GF_NONE)
		d->exit_us = since_us(d);
	if (d->phase == GF_PHASE_QUEUED)
		poll_queued(p, d, kick); /* the list has the block, whatever has become of the process */
	else if (gone && d->phase == GF_PHASE_WAITING)
		pseudo_refuse(d, GF_REF_GONE);
	else if (gone) {
		d->became = d->lethal || d->became == GF_BECAME_DELIVERED ? GF_BECAME_DELIVERED : GF_BECAME_LOST;
		d->phase = GF_PHASE_OVER;
	} else if (d->phase == GF_PHASE_WAITING && pseudo_now() - d->look_ns >= QUEUE_NS)
		pseudo_refuse(d, GF_REF_NO_CPU);
	else if (d->phase == GF_PHASE_WAITING)
		begin_irq(p, d, kick);
	else if (d->phase == GF_PHASE_STORED)
		poll_stored(p, d, kick);
	else if (d->phase == GF_PHASE_SENT)
		poll_sent(p, d);
	else if (d->phase == GF_PHASE_PARKING)
		pseudo_parking(p, d, kick);
	return d->phase != phase || d->became != became;
}

void gf_pseudo_end(struct gf_pseudo *p, struct gf_delivery *d)
{
	if (d->phase == GF_PHASE_QUEUED && !pseudo_drained(p, work_of(d)->block))
		pseudo_work_stop(p, work_of(d));
	else if (d->phase == GF_PHASE_QUEUED)
		pseudo_block_done(p, work_of(d)->block);
	d->phase = GF_PHASE_OVER;
}
