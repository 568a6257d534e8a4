// SPDX-License-Identifier: MIT
/*
 * Limits, by storing the words that the kernel reads: of the victim's cgroup and of its
 * resource limits. What was there before is kept until it is put back; a cgroup is known by its serial number and its place
 * in the controller's table of ids, so that nothing is ever put back into memory that has become something else.
 */
#include <math.h>
#include <string.h>
#include <sys/resource.h>

#include "targets/pseudo_int.h"

#define CSS_ONLINE 2u
#define MIN_QUOTA 1000000ull /* ns a period, as the kernel has it */
#define NSEC 1000000000ull

struct words {
	uint64_t va[2];
	uint32_t n;
};

/* The state of controller `kind` of the task's own cgroup. Where the controller is not enabled for that,
 * the state is an ancestor's, and a limit would be one for others, too. */
uint8_t pseudo_css(const struct gf_pseudo *p, uint64_t task, int kind, uint64_t *ret_css)
{
	uint64_t cset, css, cgrp, dfl, root, dfl_root, parent, flags;

	if (!pseudo_member(p, task, M_TASK_CGROUPS, &cset) || !cset || !pseudo_get(p, cset + p->m[M_CS_SUBSYS] + 8ull * p->cgrp_id[kind], 8, &css)
	    || !css || !pseudo_member(p, cset, M_CS_DFL, &dfl) || !pseudo_member(p, css, M_CSS_CGROUP, &cgrp)
	    || !pseudo_member(p, css, M_CSS_PARENT, &parent) || !pseudo_member(p, css, M_CSS_FLAGS, &flags)
	    || !pseudo_member(p, cgrp, M_CGRP_ROOT, &root) || !pseudo_member(p, dfl, M_CGRP_ROOT, &dfl_root))
		return GF_REF_TORN;
	if (!parent || !(flags & CSS_ONLINE))
		return GF_REF_NO_ROAD;
	if (cgrp != dfl && root == dfl_root)
		return GF_REF_NO_ROAD;
	*ret_css = css;
	return GF_REF_NONE;
}

static bool css_still(const struct gf_pseudo *p, uint64_t css, uint64_t serial)
{
	uint64_t ss, id, now, flags;

	return pseudo_member(p, css, M_CSS_SS, &ss) && pseudo_member(p, css, M_CSS_ID, &id) && ss
	       && pseudo_idr(p, ss + p->m[M_SS_IDR], ss + p->m[M_SS_BASE], id) == css && pseudo_member(p, css, M_CSS_SERIAL, &now)
	       && now == serial && pseudo_member(p, css, M_CSS_FLAGS, &flags) && flags & CSS_ONLINE;
}

static int kind_of(uint8_t limit)
{
	return limit == GF_LIMIT_PIDS_MAX ? CGRP_PIDS : limit == GF_LIMIT_CPU_MAX ? CGRP_CPU : CGRP_MEMORY;
}

static unsigned part_of(uint8_t limit)
{
	if (limit >= GF_LIMIT_RLIMIT)
		return limit == GF_LIMIT_RLIMIT_CPU ? PART_RLIMIT_CPU : PART_RLIMIT;
	return limit == GF_LIMIT_PIDS_MAX ? PART_PIDS : limit == GF_LIMIT_CPU_MAX ? PART_CPU : PART_MEMORY;
}

static struct words words_of(const struct gf_pseudo *p, uint8_t limit, uint64_t at)
{
	switch (limit) {
	case GF_LIMIT_MEMORY_MAX: return (struct words){ { at - p->m[M_MEMCG_CSS] + p->m[M_MEMCG_MAX] }, 1 };
	case GF_LIMIT_MEMORY_HIGH: return (struct words){ { at - p->m[M_MEMCG_CSS] + p->m[M_MEMCG_HIGH] }, 1 };
	case GF_LIMIT_PIDS_MAX: return (struct words){ { at - p->m[M_PIDS_CSS] + p->m[M_PIDS_LIMIT] }, 1 };
	case GF_LIMIT_CPU_MAX: return (struct words){ { at - p->m[M_TG_CSS] + p->m[M_TG_QUOTA] }, 1 };
	default: {
		uint64_t va = at + p->m[M_SIG_RLIM] + (uint64_t)(limit - GF_LIMIT_RLIMIT) * 16;
		return (struct words){ { va, va + 8 }, 2 };
	}
	}
}

/* To the kernel's own units; false: it cannot be set to that. */
static bool value_of(const struct gf_pseudo *p, uint8_t limit, uint64_t at, double amount, uint64_t now, uint64_t *ret)
{
	uint64_t period;

	if (amount < 0 || isnan(amount))
		return false;
	if (limit == GF_LIMIT_CPU_MAX) {
		/* From "max" the kernel would not notice; to "max" the throttled would not be let go. */
		if (now == UINT64_MAX || isinf(amount) || !pseudo_get(p, at - p->m[M_TG_CSS] + p->m[M_TG_PERIOD], 8, &period)
		    || period < 1000000 || period > NSEC || amount > 8192)
			return false;
		*ret = (uint64_t)GF_MAX(amount * (double)period, (double)MIN_QUOTA);
		return true;
	}
	if (limit == GF_LIMIT_MEMORY_MAX || limit == GF_LIMIT_MEMORY_HIGH)
		*ret = isinf(amount) || amount >= 0x1p62 ? INT64_MAX / 4096 : (uint64_t)amount / 4096;
	else if (limit == GF_LIMIT_PIDS_MAX)
		*ret = isinf(amount) || amount >= 4194305 ? 4194305 : (uint64_t)amount; /* PIDS_MAX: PID_MAX_LIMIT + 1 */
	else
		*ret = isinf(amount) || amount >= 0x1p63 ? UINT64_MAX : (uint64_t)amount;
	return true;
}

struct sum { const struct gf_pseudo *p; uint64_t u, s, r; };

static bool add_times(void *arg, const struct gf_pseudo_thread *t)
{
	struct sum *a = arg;
	uint64_t u = 0, s = 0, r = 0;

	pseudo_member(a->p, t->task, M_TASK_UTIME, &u);
	pseudo_member(a->p, t->task, M_TASK_STIME, &s);
	pseudo_member(a->p, t->task, M_TASK_RUNTIME, &r);
	a->u += u;
	a->s += s;
	a->r += r;
	return true;
}

/* RLIMIT_CPU is looked at when the group's clock passes the next event: the clock is started, as
 * thread_group_start_cputime() would, and the event brought forward. */
static void start_clock(const struct gf_pseudo *p, const struct gf_pseudo_victim *v, uint64_t seconds)
{
	uint64_t sig = v->signal, on = 0, next = 0, now;
	struct sum a = { .p = p };

	pseudo_member(p, sig, M_SIG_CPU_ACTIVE, &on);
	if (!on) {
		pseudo_member(p, sig, M_SIG_UTIME, &a.u);
		pseudo_member(p, sig, M_SIG_STIME, &a.s);
		pseudo_member(p, sig, M_SIG_RUNTIME, &a.r);
		if (pseudo_threads(p, v, 0, add_times, &a))
			return;
		if (pseudo_member(p, sig, M_SIG_CPU_U, &now) && now < a.u)
			pseudo_set(p, sig + p->m[M_SIG_CPU_U], 8, a.u);
		if (pseudo_member(p, sig, M_SIG_CPU_S, &now) && now < a.s)
			pseudo_set(p, sig + p->m[M_SIG_CPU_S], 8, a.s);
		if (pseudo_member(p, sig, M_SIG_CPU_R, &now) && now < a.r)
			pseudo_set(p, sig + p->m[M_SIG_CPU_R], 8, a.r);
	}
	if (pseudo_member(p, sig, M_SIG_CPU_NEXT, &next) && (seconds > UINT64_MAX / NSEC ? UINT64_MAX : seconds * NSEC) < next)
		pseudo_set(p, sig + p->m[M_SIG_CPU_NEXT], 8, seconds * NSEC);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	pseudo_set(p, sig + p->m[M_SIG_CPU_ACTIVE], 4, 1);
}

static bool past(const struct gf_pseudo *p, const struct pseudo_old *o)
{
	return o->limit >= GF_LIMIT_RLIMIT ? pseudo_is_past(p, o->pid, o->serial) : !css_still(p, o->at, o->serial);
}

/* The old words, kept once a thing and limit. False: no room. */
static bool remember(struct gf_pseudo *p, const struct pseudo_old *o)
{
	struct pseudo_old *free_at = NULL;
	bool known = false;

	pthread_mutex_lock(&p->lock);
	for (uint32_t i = 0; i < LIMITS_MAX && !known; i++) {
		struct pseudo_old *e = &p->old[i];
		known = e->limit == o->limit && e->at == o->at && e->serial == o->serial;
		if (known)
			memcpy(e->set, o->set, sizeof e->set);
		if (!e->limit && !free_at)
			free_at = e;
	}
	for (uint32_t i = 0; i < LIMITS_MAX && !known && !free_at; i++)
		if (past(p, &p->old[i]))
			free_at = &p->old[i];
	if (!known && free_at)
		*free_at = *o;
	pthread_mutex_unlock(&p->lock);
	return known || free_at;
}

static bool forget(struct gf_pseudo *p, uint8_t limit, uint64_t at, uint64_t serial, struct pseudo_old *ret)
{
	bool found = false;

	pthread_mutex_lock(&p->lock);
	for (uint32_t i = 0; i < LIMITS_MAX && !found; i++) {
		struct pseudo_old *e = &p->old[i];
		found = e->limit == limit && e->at == at && e->serial == serial;
		if (found) {
			*ret = *e;
			e->limit = 0;
		}
	}
	pthread_mutex_unlock(&p->lock);
	return found;
}

static bool put(const struct gf_pseudo *p, const struct words *w, const uint64_t *v)
{
	uint64_t now;

	for (uint32_t i = 0; i < w->n; i++)
		if (!pseudo_set(p, w->va[i], 8, v[i]) || !pseudo_get(p, w->va[i], 8, &now) || now != v[i])
			return false;
	return true;
}

bool pseudo_limit_undo(struct gf_pseudo *p, const struct pseudo_old *o)
{
	struct gf_pseudo_victim v;
	uint64_t at = o->at, now;

	if (past(p, o))
		return true; /* it is gone, and its limits with it */
	if (o->limit >= GF_LIMIT_RLIMIT) {
		uint8_t r = pseudo_find(p, o->pid, o->serial, &v);
		if (r && r != GF_REF_TRACED)
			return false;
		at = v.signal;
	}
	struct words w = words_of(p, o->limit, at);
	/* The last word only: the kernel itself moves a soft RLIMIT_CPU on. */
	if (!pseudo_get(p, w.va[w.n - 1], 8, &now))
		return false;
	if (now != o->set[w.n - 1])
		return true; /* somebody in the guest has set it since: theirs holds */
	return put(p, &w, o->old);
}

void pseudo_limit(struct gf_pseudo *p, const struct gf_verdict *v, struct gf_delivery *d)
{
	struct pseudo_old old = { .limit = v->limit, .pid = v->pid };
	uint64_t at = d->victim.signal, set[2] = { 0 };
	bool of_cgroup = v->limit < GF_LIMIT_RLIMIT;
	uint8_t r = GF_REF_NONE;

	d->how = GF_HOW_LIMIT;
	if (isnan(v->amount))
		r = GF_REF_TORN; /* it could not be computed from the sample */
	else if (!v->limit || v->limit >= GF_LIMIT_COUNT || !pseudo_has(p, part_of(v->limit)))
		r = GF_REF_NO_ROAD;
	else if (of_cgroup)
		r = pseudo_css(p, d->victim.task, kind_of(v->limit), &at);
	if (r) {
		pseudo_refuse(d, r);
		return;
	}
	struct words w = words_of(p, v->limit, at);
	old.at = at;
	old.serial = d->victim.start;
	bool ok = (!of_cgroup || pseudo_member(p, at, M_CSS_SERIAL, &old.serial)) && (!of_cgroup || css_still(p, at, old.serial));
	for (uint32_t i = 0; i < w.n; i++)
		ok = ok && pseudo_get(p, w.va[i], 8, &old.old[i]);
	if (!ok) {
		pseudo_refuse(d, GF_REF_TORN);
		return;
	}
	bool undo = v->amount < 0;
	if (!undo && !value_of(p, v->limit, at, v->amount, old.old[0], &set[0])) {
		pseudo_refuse(d, GF_REF_NO_ROAD);
		return;
	}
	set[1] = set[0];
	memcpy(old.set, set, sizeof old.set);
	d->phase = GF_PHASE_OVER;
	if (d->observe)
		return;
	r = pseudo_same(p, &d->victim);
	if (r || (undo ? !forget(p, v->limit, at, old.serial, &old) : !remember(p, &old))) {
		pseudo_refuse(d, r ? r : undo ? GF_REF_NOT_OURS : GF_REF_NO_ROOM);
		return;
	}
	d->begun_ns = pseudo_now();
	d->tries = 1;
	d->became = put(p, &w, undo ? old.old : set) ? GF_BECAME_DELIVERED : GF_BECAME_PENDING;
	if (v->limit == GF_LIMIT_RLIMIT_CPU && !undo && !isinf(v->amount)) {
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		start_clock(p, &d->victim, set[0]);
	}
}
