// SPDX-License-Identifier: MIT
/*
 * Delivery by the kernel module's mailbox: verdicts of rules, many at a time, and signals by hand.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "gpu/delivery.h"
#include "targets/act.h"
#include "targets/kmod_int.h"
#include "targets/proc.h"
#include "targets/vm.h"

#define DEADLINE_NS 200000000ull
#define BEGUN_NS 500000000ull /* for one that it has begun with */
#define SENT_AT_ONCE 64u
#define LOOKS 8u            /* by hand: at tables, for a process that is not in one yet */
#define LOOK_NS 30000000u   /* between two */
#define FOLLOW_NS 300000000ull /* by hand: how long an end is waited for */

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

bool gf_kmod_can(const struct gf_verdict *v)
{
	return gf_mail_can(v);
}

void gf_kmod_verdict(const struct gf_verdict *v, uint64_t deadline_ns, struct gpufas_verdict *ret)
{
	gf_mail_verdict(v, deadline_ns, ret);
}

uint8_t gf_kmod_refused(uint16_t why)
{
	return gf_mail_refused(why);
}

static void result(const struct gpufas_answer *a, struct gf_kmod_result *ret)
{
	*ret = (struct gf_kmod_result){ .done = true, .exited = a->state == GPUFAS_EXITED };
	if (a->state != GPUFAS_REFUSED)
		return;
	/* The module was not asked in time, or is disarmed: nothing was done, and another road may be taken. */
	ret->done = !gf_mail_elsewhere(a->why);
	ret->why = gf_kmod_refused(a->why);
	ret->error = a->why == GPUFAS_WHY_FAILED && a->error < 0 && a->error > -4096 ? a->error : 0;
}

/* Under the lock: those of [0, n) that were posted and have their answers. How many have none yet. */
static size_t collect(struct gf_kmod *k, size_t n, int32_t *slot, const uint64_t *seq, struct gf_kmod_result *ret)
{
	struct gpufas_answer a;
	size_t left = 0;

	for (size_t i = 0; i < n; i++) {
		if (slot[i] < 0)
			continue;
		if (!gf_mail_answer(&k->mail, (uint32_t)slot[i], seq[i], &a)) {
			left++;
			continue;
		}
		result(&a, &ret[i]);
		gf_mail_free(&k->mail, (uint32_t)slot[i], seq[i]);
		slot[i] = -1;
	}
	return left;
}

/* Takes those back that have no answer. What it had not begun with goes by another road, and so does a kill that does not come to its end; of
 * another signal it is not known whether it was sent. */
static void take_back(struct gf_kmod *k, const struct gf_verdict *v, size_t n, int32_t *slot, const uint64_t *seq, struct gf_kmod_result *ret)
{
	const struct timespec pause = { 0, 500000 };
	uint64_t until = clock_ns(CLOCK_BOOTTIME) + BEGUN_NS;

	for (size_t i = 0; i < n; i++)
		if (slot[i] >= 0 && !gf_mail_void(&k->mail, (uint32_t)slot[i], seq[i]))
			slot[i] = -1;
	while (collect(k, n, slot, seq, ret) && clock_ns(CLOCK_BOOTTIME) < until)
		nanosleep(&pause, NULL);
	for (size_t i = 0; i < n; i++)
		if (slot[i] >= 0 && !gf_mail_twice(&v[i]))
			ret[i] = (struct gf_kmod_result){ .done = true, .error = -ETIMEDOUT };
}

static void some(struct gf_kmod *k, const struct gf_verdict *v, const int *skip, size_t n, struct gf_kmod_result *ret)
{
	const struct timespec pause = { 0, 500000 };
	uint64_t seq[SENT_AT_ONCE], deadline = clock_ns(CLOCK_BOOTTIME) + DEADLINE_NS;
	int32_t slot[SENT_AT_ONCE];
	struct gpufas_verdict m;
	size_t left = 0;

	for (size_t i = 0; i < n; i++) {
		gf_kmod_verdict(&v[i], deadline, &m);
		slot[i] = !skip[i] && gf_kmod_can(&v[i]) ? gf_mail_post(&k->mail, &m, clock_ns(CLOCK_BOOTTIME)) : -1;
		seq[i] = m.seq;
		left += slot[i] >= 0;
	}
	if (left)
		k->dev.kick(k->dev.arg, k->fd); /* where it cannot be, its own timers look soon */
	/* A little longer than they are valid. */
	while ((left = collect(k, n, slot, seq, ret)) && clock_ns(CLOCK_BOOTTIME) < deadline + DEADLINE_NS / 10)
		nanosleep(&pause, NULL);
	if (!left)
		return;
	take_back(k, v, n, slot, seq, ret);
	gf_kmod_suspect(k, "it does not look into its mailbox");
}

void gf_kmod_deliver(struct gf_kmod *k, const struct gf_verdict *v, const int *skip, size_t n, struct gf_kmod_result *ret)
{
	memset(ret, 0, n * sizeof *ret);
	pthread_mutex_lock(&k->lock);
	for (size_t i = 0, to; i < n && gf_kmod_delivers(k); i = to) {
		to = GF_MIN(n, i + SENT_AT_ONCE);
		some(k, v + i, skip + i, to - i, ret + i);
	}
	pthread_mutex_unlock(&k->lock);
}

/* ---- by hand ---------------------------------------------------------------------------- */

/* What a process that began at that tick is known by to the module: its exact start. -ENOENT: no table has it; -ESTALE: another
 * one has the pid. */
static int identity(struct gf_kmod *k, int32_t pid, uint64_t *start_ns)
{
	const struct timespec pause = { 0, LOOK_NS };
	const struct gf_region *r;
	struct gf_task_rec rec;
	int q = -ENODEV;

	for (uint32_t i = 0; i < LOOKS; i++) {
		if (i)
			nanosleep(&pause, NULL);
		pthread_mutex_lock(&k->lock);
		r = atomic_load(&k->region);
		q = r ? gf_region_find(r, pid, &rec) : -ENODEV;
		pthread_mutex_unlock(&k->lock);
		if (q != -ENOENT && q != -EAGAIN)
			break;
	}
	if (!q && rec.start_ns / GF_TICK_NS != *start_ns / GF_TICK_NS)
		q = -ESTALE;
	if (!q)
		*start_ns = rec.start_ns;
	return q;
}

struct hand {
	uint32_t slot;
	uint64_t seq, instance;
	struct gpufas_answer a;
};

static int post(struct gf_kmod *k, const struct gf_verdict *v, uint64_t deadline, struct hand *h, struct gf_err *err)
{
	struct gpufas_verdict out;
	int slot = -ENODEV;

	gf_kmod_verdict(v, deadline, &out);
	pthread_mutex_lock(&k->lock);
	if (gf_kmod_delivers(k)) {
		slot = gf_mail_post(&k->mail, &out, clock_ns(CLOCK_BOOTTIME));
		h->instance = k->mail.r->instance;
	}
	if (slot >= 0)
		k->dev.kick(k->dev.arg, k->fd); /* where it cannot be, its own timers look soon */
	pthread_mutex_unlock(&k->lock);
	if (slot < 0)
		return gf_err_set(err, -slot, "the kernel module%s", slot == -EAGAIN ? "'s mailbox is full" : slot == -ENODEV ? " has just gone" : "'s mailbox is of no use");
	h->slot = (uint32_t)slot;
	h->seq = out.seq;
	return 0;
}

/* Held only to look: rules deliver meanwhile, and the region may go. free: nothing more is wanted of it. */
static bool answered(struct gf_kmod *k, struct hand *h, bool free)
{
	bool there = false;

	pthread_mutex_lock(&k->lock);
	if (atomic_load(&k->region) && k->mail.r->instance == h->instance) {
		there = gf_mail_answer(&k->mail, h->slot, h->seq, &h->a);
		if (free)
			gf_mail_free(&k->mail, h->slot, h->seq);
	}
	pthread_mutex_unlock(&k->lock);
	return there;
}

/* It was not answered: 0, nothing was done, and will not be; 1, the module has begun with it. */
static int withdrawn(struct gf_kmod *k, const struct hand *h)
{
	int begun = 1;

	pthread_mutex_lock(&k->lock);
	if (atomic_load(&k->region) && k->mail.r->instance == h->instance)
		begun = gf_mail_void(&k->mail, h->slot, h->seq);
	pthread_mutex_unlock(&k->lock);
	return begun;
}

static int refusal(const struct gpufas_answer *a, struct gf_err *err)
{
	int e = a->error < 0 && a->error > -4096 ? -a->error : EIO;
	uint8_t why = gf_kmod_refused(a->why);

	if (a->why == GPUFAS_WHY_FAILED)
		return gf_err_set(err, e, "%s", strerror(e));
	if (a->why == GPUFAS_WHY_DISARMED)
		return gf_err_set(err, EACCES, "the kernel module is not armed");
	return gf_err_set(err, -gf_delivery_errno(why), "%s", gf_refused_text(why));
}

static int by_hand(struct gf_kmod *k, const struct gf_verdict *v, struct gf_event_member *m, struct gf_err *err)
{
	const struct timespec pause = { 0, 500000 };
	uint64_t deadline = clock_ns(CLOCK_BOOTTIME) + DEADLINE_NS, until = deadline + FOLLOW_NS;
	struct hand h = { .slot = 0 };
	int q = post(k, v, deadline, &h, err);

	if (q)
		return q;
	while (!answered(k, &h, false)) {
		uint64_t now = clock_ns(CLOCK_BOOTTIME);
		if (now > deadline + DEADLINE_NS / 10 && !withdrawn(k, &h))
			return gf_err_set(err, ETIMEDOUT, "the kernel module does not look into its mailbox");
		if (now > deadline + BEGUN_NS)
			return gf_err_set(err, ETIMEDOUT, "the kernel module has begun with it, and does not come to an end: it may have been sent");
		nanosleep(&pause, NULL);
	}
	m->became = GF_BECAME_DELIVERED;
	while (h.a.state == GPUFAS_SENT && gf_act_is_lethal(v) && clock_ns(CLOCK_BOOTTIME) < until && answered(k, &h, false))
		nanosleep(&pause, NULL);
	answered(k, &h, true);
	if (h.a.state == GPUFAS_EXITED)
		m->exit_us = (uint32_t)GF_MIN((h.a.exit_ns - h.a.at_ns) / 1000, (uint64_t)GF_NONE - 1);
	return h.a.state == GPUFAS_REFUSED ? refusal(&h.a, err) : 0;
}

int gf_kmod_act(struct gf_kmod *k, struct gf_verdict *v, struct gf_event_member *ret, struct gf_err *err)
{
	char why[256];
	int q;

	*ret = (struct gf_event_member){ .pid = v->pid, .exit_us = GF_NONE, .how = GF_HOW_MODULE, .became = GF_BECAME_UNSEEN, .tries = 1 };
	if (!gf_kmod_can(v))
		q = gf_err_set(err, EOPNOTSUPP, "by the mailbox go only signals 1 to 31");
	else if (!gf_kmod_up(k))
		q = gf_err_set(err, ENODEV, "%s", gf_kmod_why(k, why, sizeof why));
	else if (!gf_kmod_delivers(k))
		q = gf_err_set(err, EACCES, "the kernel module only samples here (\"delivery: auto\" in gpufas.yaml has it deliver)");
	else if ((q = identity(k, v->pid, &v->start_ns)))
		gf_err_set(err, -q, q == -ESTALE ? "another process has the pid now" : q == -ENOENT ? "it is in no table of the kernel module's" :
			   "the kernel module has no whole table just now");
	else
		q = by_hand(k, v, ret, err);
	ret->error = q;
	return q;
}
