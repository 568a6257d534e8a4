/* SPDX-License-Identifier: MIT
 *
 * One signal into a target, from the choice of its road to what became of it: the same on the host (targets/pseudo_do.c) and
 * on the device (gpu/deliver.h). What only a host can do, a kick or a wake, is said in `want`.
 *
 * Store: the pending bit of one thread, then a fence, then TIF_SIGPENDING. Pending first, because recalc_sigpending()
 * clears the flag where nothing is pending. The kernel changes these words under locks of its own and partly without atomics: then
 * ours can be lost, never its, and it is stored again. Never anything else: a forged NEED_RESCHED wedges its victim for good.
 *
 * Without atomic operations the byte in which the bit lies is read and stored. What a CPU changes in that byte in between, 2 to 3 us
 * on a GPU, is undone: another of the eight signals to this very thread that are pending there; NOTIFY_RESUME, without which
 * work that waits for the return to user mode waits for the next such return that has it. NEED_RESCHED, if it is in that byte, is
 * waited for to be clear, for some microseconds and then a tick at a time; lost in the gap it comes back with the guest's next tick.
 */
#ifndef GPUFAS_DELIVERY_H
#define GPUFAS_DELIVERY_H

#include <errno.h>

#include "gpu/now.h"
#include "gpu/irqwork.h"

#define GF_SIG_KILL 9
#define GF_SIG_CHLD 17
#define GF_SIG_CONT 18
#define GF_SIG_STOP 19
#define GF_SIG_URG 23
#define GF_SIG_WINCH 28

#define GF_DELIVERY_AGAIN_NS 1000000ull   /* stores are repeated at most this often */
#define GF_DELIVERY_ASLEEP_NS 2000000ull  /* a thread that sleeps on a stored signal for this long is woken */
#define GF_DELIVERY_WAKES 8u              /* times */
#define GF_DELIVERY_QUEUE_NS 10000000000ull
#define GF_DELIVERY_MOVE_NS 100000000ull  /* a CPU that has not drained in this time does not tick */
#define GF_DELIVERY_KICK_NS 20000000ull
#define GF_DELIVERY_FRESH_NS 200000ull    /* for so long what was seen of a thread is what it is (gf_delivery_fresh) */
#define GF_DELIVERY_LOOKS 16u             /* until one is followed by its store in time */
#define GF_DELIVERY_SPINS 64u             /* looks at a NEED_RESCHED that is set, in one go: 0.1 ms on a GPU */

/* WAKE: stored into a sleeper, which is then woken: where the kernel's sender cannot be used. */
enum gf_pseudo_road { GF_ROAD_AUTO, GF_ROAD_STORE, GF_ROAD_IRQ_WORK, GF_ROAD_WAKE };

enum gf_pseudo_phase {
	GF_PHASE_WAITING, /* for a free block or list: nothing is stored yet */
	GF_PHASE_STORED,  /* waiting for the task to look */
	GF_PHASE_QUEUED,  /* waiting for a CPU to drain its list */
	GF_PHASE_SENT,    /* the kernel has the signal */
	GF_PHASE_PARKING, /* freeze: waiting for all threads */
	GF_PHASE_TAKEN,   /* done but for the exit, where one is meant */
	GF_PHASE_OVER,
};

enum gf_pseudo_want {
	GF_WANT_KICK = 1, /* work.cpu, which idles */
	GF_WANT_WAKE = 2, /* `thread`, which sleeps on what is stored */
	GF_WANT_MOVE = 4, /* its CPU does not drain, and without atomic operations nothing is taken off a list */
	GF_WANT_HOST = 8, /* all CPUs whose lists are empty idle */
};

/* An irq_work on its way. */
struct gf_pseudo_work {
	uint64_t look_ns, kick_ns; /* last change of CPU, last kick; 0: never */
	uint64_t cpus;             /* tried, a bit each of the first 64 */
	uint32_t block, cpu;       /* block GF_NONE: none */
	uint32_t idle;
	uint32_t reserved;
};

struct gf_delivery {
	struct gf_pseudo_victim victim;
	uint64_t thread;     /* stored into */
	uint64_t begun_ns, look_ns; /* first store, last store or wake: of the clock that is handed in, CLOCK_MONOTONIC on the host */
	struct gf_pseudo_work work;
	uint32_t block;      /* of a signal that was sent; GF_NONE */
	uint32_t exit_us;    /* GF_NONE: not seen */
	uint32_t taken_us;   /* from the first store to its being taken, as far as seen; GF_NONE */
	int32_t sig;
	uint8_t action, road, phase, lethal;
	uint8_t how, became, tries, why;
	uint8_t observe;
	uint8_t wakes;       /* of a thread that went to sleep on a stored signal */
	uint8_t want;        /* enum gf_pseudo_want; who has done it clears it */
	uint8_t half;        /* the pending bit is stored, the flag is not yet */
};

/* What a step works with. */
struct gf_pseudo_ctx {
	const struct gf_pseudo_plain *p;
	struct gf_pseudo_pool *pool; /* without atomic operations; else NULL */
	uint32_t *next;              /* with: where to look for a free block */
	uint64_t now_ns;
	uint8_t shy;                 /* a CPU that idles is left to the host, which can kick it */
};

/* enum gf_refused: -errno for struct gf_event_member */
GF_APART int gf_delivery_errno(uint8_t why)
{
	switch (why) {
	case GF_REF_NONE: return 0;
	case GF_REF_GONE: case GF_REF_EXITING: case GF_REF_REBOOTED: return -ESRCH;
	case GF_REF_IDENTITY: return -ESTALE;
	case GF_REF_INIT: case GF_REF_KTHREAD: case GF_REF_TRACED: case GF_REF_SELF: return -EPERM;
	case GF_REF_NOT_ALLOWED: return -EACCES;
	case GF_REF_LATE: return -ETIMEDOUT;
	case GF_REF_READ_ONLY: return -EROFS;
	case GF_REF_NO_ROAD: return -EOPNOTSUPP;
	case GF_REF_NO_GUEST: return -ENODEV;
	case GF_REF_TORN: return -EAGAIN;
	case GF_REF_NO_ROOM: return -ENOSPC;
	case GF_REF_NO_CPU: case GF_REF_PAUSED: case GF_REF_BUDGET: return -EBUSY;
	default: return -EINVAL;
	}
}

/* What is said of it. */
GF_APART void gf_delivery_member(const struct gf_verdict *v, const struct gf_delivery *d, struct gf_event_member *ret)
{
	/* Given up before there was a block for it: nothing was stored. */
	int never = d->phase == GF_PHASE_WAITING;
	uint8_t why = never ? (uint8_t)GF_REF_NO_CPU : d->became == GF_BECAME_REFUSED ? d->why : (uint8_t)GF_REF_NONE;

	ret->start_ns = v->start_ns ? v->start_ns : d->victim.start;
	ret->pid = v->pid;
	ret->error = gf_delivery_errno(why);
	ret->exit_us = d->exit_us;
	ret->how = d->how;
	ret->became = never ? (uint8_t)GF_BECAME_REFUSED : d->became;
	ret->tries = d->tries;
	ret->why = why;
}

GF_INLINE void gf_delivery_refuse(struct gf_delivery *d, uint8_t why)
{
	d->became = GF_BECAME_REFUSED;
	d->why = why;
	d->phase = GF_PHASE_OVER;
}

/* Whether all is known that there is to know. */
GF_INLINE int gf_delivery_over(const struct gf_delivery *d)
{
	return d->phase == GF_PHASE_OVER;
}

GF_INLINE uint32_t gf_delivery_since_us(const struct gf_pseudo_ctx *c, const struct gf_delivery *d)
{
	uint64_t us = c->now_ns > d->begun_ns ? (c->now_ns - d->begun_ns) / 1000 : 0;

	return (uint32_t)GF_MIN(us, (uint64_t)GF_NONE - 1);
}

GF_INLINE uint64_t gf_delivery_age(const struct gf_pseudo_ctx *c, uint64_t since)
{
	return c->now_ns > since ? c->now_ns - since : 0;
}

GF_INLINE void gf_delivery_tried(struct gf_pseudo_ctx *c, struct gf_delivery *d)
{
	d->look_ns = c->now_ns;
	if (!d->begun_ns)
		d->begun_ns = c->now_ns;
	d->tries = (uint8_t)GF_MIN(d->tries + 1, 255);
}

/* ---- choosing ---- */

#define GF_STATE_INTERRUPTIBLE 1u
#define GF_STATE_UNINTERRUPTIBLE 2u
#define GF_STATE_WAKEKILL 0x100u

enum gf_pseudo_rank { GF_RANK_NONE, GF_RANK_ASLEEP, GF_RANK_READY, GF_RANK_ON_CPU };

struct gf_pseudo_choice {
	struct gf_pseudo_thread best;
	int rank;
	uint32_t open; /* threads that do not block it */
};

/* A sleeper is one that a wake brings to look at the signal. */
GF_INLINE int gf_pseudo_rank(const struct gf_pseudo_thread *t, int sig)
{
	if (t->blocked || t->traced)
		return GF_RANK_NONE;
	if (!t->state)
		return t->on_cpu ? GF_RANK_ON_CPU : t->runnable ? GF_RANK_READY : GF_RANK_NONE;
	return t->state & GF_STATE_INTERRUPTIBLE
	       || (sig == GF_SIG_KILL && t->state & GF_STATE_WAKEKILL && t->state & GF_STATE_UNINTERRUPTIBLE) ? GF_RANK_ASLEEP : GF_RANK_NONE;
}

GF_APART uint8_t gf_delivery_choose(const struct gf_pseudo_plain *p, const struct gf_delivery *d, struct gf_pseudo_choice *c)
{
	struct gf_pseudo_thread t;
	struct gf_pseudo_walk w;
	int r = -1;

	for (int i = 0; i < 4 && r < 0; i++) {
		t.task = 0;
		c->rank = GF_RANK_NONE;
		c->open = 0;
		c->best.task = 0;
		gf_ps_threads(p, &d->victim, &w);
		while (c->rank < GF_RANK_ON_CPU && (r = gf_ps_thread_next(p, &w, d->sig, &t)) > 0) {
			int rank = gf_pseudo_rank(&t, d->sig);
			c->open += !t.blocked;
			if (rank > c->rank) {
				c->best = t;
				c->rank = rank;
			}
		}
		/* The walk may have been long since it passed this one; not if it was the last. */
		if (r >= 0 && c->rank && t.task != c->best.task && !gf_ps_thread_there(p, &d->victim, c->best.task, d->sig, &t))
			r = -1;
	}
	if (r < 0)
		return GF_REF_TORN;
	return !c->open && d->sig != GF_SIG_KILL && d->sig != GF_SIG_STOP && d->sig != GF_SIG_CONT ? GF_REF_BLOCKED : GF_REF_NONE;
}

/* 0, or why it would come to nothing. */
GF_APART uint8_t gf_delivery_ignored(const struct gf_pseudo_plain *p, const struct gf_pseudo_victim *v, int sig)
{
	uint64_t hand, handler;

	if (sig == GF_SIG_KILL || sig == GF_SIG_STOP)
		return GF_REF_NONE;
	if (!gf_ps_member(p, v->task, M_TASK_SIGHAND, &hand) || !hand
	    || !gf_ps_get(p, hand + p->m[M_HAND_ACTION] + (uint64_t)(sig - 1) * p->action_size + p->m[M_HAND_HANDLER], 8, &handler))
		return GF_REF_TORN;
	if (sig == GF_SIG_CONT)
		return GF_REF_NONE; /* it continues whatever its handler */
	return handler == 1 || (!handler && (sig == GF_SIG_CHLD || sig == GF_SIG_URG || sig == GF_SIG_WINCH)) ? GF_REF_IGNORED : GF_REF_NONE;
}

/* Whether a bit can be stored into thread_info.flags: without atomic operations the one that must not be stored has to be known. */
GF_INLINE int gf_pseudo_can_store(const struct gf_pseudo_plain *p)
{
	return gf_ps_has(p, PART_STORE) && (p->atomics || p->tif_resched != GF_RESCHED_UNKNOWN);
}

/* Which road a signal takes to a group in this state. A CONT works when it is generated: stored it would be nothing. A thread on its way to stop itself
 * looks at its signals once more in schedule(), and dies with JOBCTL_STOPPED still set, of which the kernel complains: only its own sender clears that. */
GF_APART enum gf_pseudo_road gf_delivery_road(const struct gf_pseudo_plain *p, const struct gf_delivery *d,
							  const struct gf_pseudo_choice *c)
{
	int store = gf_pseudo_can_store(p) && d->sig != GF_SIG_CONT, send = gf_ps_has(p, PART_SEND);
	int wake = store && gf_ps_has(p, PART_WAKE) && c->rank >= GF_RANK_ASLEEP;

	store = store && c->rank >= GF_RANK_READY && !(c->best.stopping && send);
	switch (d->road) {
	case GF_ROAD_STORE: return store ? GF_ROAD_STORE : GF_ROAD_AUTO;
	case GF_ROAD_IRQ_WORK: return send ? GF_ROAD_IRQ_WORK : GF_ROAD_AUTO;
	case GF_ROAD_WAKE: return wake ? GF_ROAD_WAKE : GF_ROAD_AUTO;
	default: return store ? GF_ROAD_STORE : send ? GF_ROAD_IRQ_WORK : wake ? GF_ROAD_WAKE : GF_ROAD_AUTO;
	}
}

#include "gpu/delivery_begin.h"

/* ---- poll ---- */

GF_APART void gf_delivery_taken(struct gf_pseudo_ctx *c, struct gf_delivery *d)
{
	d->became = GF_BECAME_DELIVERED;
	d->phase = d->lethal ? GF_PHASE_TAKEN : GF_PHASE_OVER;
	if (d->taken_us == GF_NONE)
		d->taken_us = gf_delivery_since_us(c, d);
}

/* Another thread of the group, or another road. */
GF_APART void gf_delivery_redo(struct gf_pseudo_ctx *c, struct gf_delivery *d)
{
	uint64_t thread = d->thread;
	uint8_t phase = d->phase, tries = d->tries;

	if (d->tries >= 32)
		return;
	gf_delivery_begin_signal(c, d);
	if (d->became != GF_BECAME_REFUSED)
		return;
	/* Something is in the guest already: that it cannot be done again is no refusal. */
	d->became = GF_BECAME_PENDING;
	d->why = GF_REF_NONE;
	d->phase = phase;
	d->thread = thread;
	d->tries = (uint8_t)(tries + 1);
}

/* It went to sleep between our look and our store, or sleeps uninterruptibly. The kernel's sender
 * wakes whom it has to; of a signal that is pending already, the sleeper is only woken. */
GF_APART void gf_delivery_asleep(struct gf_pseudo_ctx *c, struct gf_delivery *d, const struct gf_pseudo_thread *t)
{
	if (gf_delivery_age(c, d->look_ns) < GF_DELIVERY_ASLEEP_NS * (1 + d->wakes * 8u) || d->wakes >= GF_DELIVERY_WAKES)
		return;
	d->wakes++;
	d->look_ns = c->now_ns;
	if (d->sig == GF_SIG_KILL && gf_ps_has(c->p, PART_SEND))
		gf_delivery_begin_irq(c, d);
	else if (gf_pseudo_rank(t, d->sig) == GF_RANK_ASLEEP && gf_ps_has(c->p, PART_WAKE))
		d->want |= GF_WANT_WAKE;
	if (d->became == GF_BECAME_REFUSED) { /* no CPU: what is stored stays */
		d->became = GF_BECAME_PENDING;
		d->phase = GF_PHASE_STORED;
		d->why = GF_REF_NONE;
	}
}

GF_APART void gf_delivery_poll_stored(struct gf_pseudo_ctx *c, struct gf_delivery *d)
{
	const struct gf_pseudo_plain *p = c->p;
	struct gf_pseudo_thread t;
	uint64_t pending, flags, since = gf_now_ns();

	if (gf_ps_group_exits(p, &d->victim)) {
		gf_delivery_taken(c, d);
		return;
	}
	if (!gf_ps_thread_there(p, &d->victim, d->thread, d->sig, &t)) {
		/* Either it has taken SIGKILL, and the group's flag says so by now; or it left by itself, and what was
		 * stored is lost with it. */
		if (gf_ps_group_exits(p, &d->victim))
			gf_delivery_taken(c, d);
		else
			gf_delivery_redo(c, d);
		return;
	}
	if (!gf_ps_member(p, d->thread, M_TASK_PENDING, &pending) || !gf_ps_member(p, d->thread, M_TASK_TI_FLAGS, &flags))
		return;
	if (!(pending >> (d->sig - 1) & 1)) {
		gf_delivery_taken(c, d);
		return;
	}
	/* The identity again, right before: without atomic operations a store into what has become another's is not merely one bit. */
	if (!(flags >> p->tif_sigpending & 1) && !t.blocked && (d->half || gf_delivery_age(c, d->look_ns) >= GF_DELIVERY_AGAIN_NS)
	    && (p->atomics || !gf_ps_same(p, &d->victim)))
		gf_delivery_store(c, d, since);
	if (t.state && !t.on_cpu)
		gf_delivery_asleep(c, d, &t);
}

GF_APART void gf_delivery_poll_queued(struct gf_pseudo_ctx *c, struct gf_delivery *d)
{
	if (gf_ps_work_done(c, &d->work, &d->want)) {
		d->phase = GF_PHASE_SENT;
		return;
	}
	if (gf_delivery_age(c, d->begun_ns) < GF_DELIVERY_QUEUE_NS || !gf_ps_work_stop(c->p, &d->work))
		return;
	if (d->thread) { /* what was stored first is still there */
		d->phase = GF_PHASE_STORED;
		d->how = GF_HOW_STORE;
		return;
	}
	gf_delivery_refuse(d, GF_REF_NO_CPU);
}

GF_APART void gf_delivery_poll_sent(struct gf_pseudo_ctx *c, struct gf_delivery *d)
{
	enum gf_pseudo_sent s = gf_ps_block_sent(c->p, d->block);

	if (s == PSEUDO_TAKEN || gf_ps_group_exits(c->p, &d->victim)) {
		gf_delivery_taken(c, d);
		return;
	}
	if (s == PSEUDO_QUEUED)
		return;
	/* The kernel did not queue it. CONT acts all the same; else it was ignored by then. */
	if (d->sig == GF_SIG_CONT)
		gf_delivery_taken(c, d);
	else
		gf_delivery_refuse(d, GF_REF_IGNORED);
}

/* Looks what has become of it, and does again what has to be. Of a freeze only whether its victim is gone. */
GF_APART void gf_delivery_poll(struct gf_pseudo_ctx *c, struct gf_delivery *d)
{
	if (d->phase == GF_PHASE_OVER)
		return;
	int gone = gf_ps_gone(c->p, &d->victim);
	if (gone && d->begun_ns && d->exit_us == GF_NONE)
		d->exit_us = gf_delivery_since_us(c, d);
	if (d->phase == GF_PHASE_QUEUED)
		gf_delivery_poll_queued(c, d); /* the list has the block, whatever has become of the process */
	else if (gone && d->phase == GF_PHASE_WAITING)
		gf_delivery_refuse(d, GF_REF_GONE);
	else if (gone) {
		d->became = d->lethal || d->became == GF_BECAME_DELIVERED ? GF_BECAME_DELIVERED : GF_BECAME_LOST;
		d->phase = GF_PHASE_OVER;
	} else if (d->phase == GF_PHASE_WAITING && gf_delivery_age(c, d->look_ns) >= GF_DELIVERY_QUEUE_NS)
		gf_delivery_refuse(d, GF_REF_NO_CPU);
	else if (d->phase == GF_PHASE_WAITING)
		gf_delivery_begin_irq(c, d);
	else if (d->phase == GF_PHASE_STORED)
		gf_delivery_poll_stored(c, d);
	else if (d->phase == GF_PHASE_SENT)
		gf_delivery_poll_sent(c, d);
}

#endif
