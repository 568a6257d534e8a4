// SPDX-License-Identifier: MIT
/*
 * The actuator of a vm target: takes verdicts, stores, watches the guest's memory until it is known what became
 * of each, and tells. A thread of its own; it never waits for the guest, and the guest is held only
 * while it is looked at, so that one that goes away can be unmapped.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "gpu/deliver.h"
#include "targets/act.h"
#include "targets/assist.h"
#include "targets/results.h"
#include "targets/vm.h"
#include "targets/vm_deliver.h"
#include "targets/vm_int.h"

#define BATCH 1024u
#define RESULTS 64u
#define ASKED 64u             /* offers that the device is taking back, undecided */
#define ASK_NS 1000000ull     /* between two looks at them */
#define STACK (256u << 10)
#define TOGETHER_NS 20000000ull /* results of a group are collected for so long */

struct victim {
	struct gf_verdict v;
	struct gf_delivery d;
	uint64_t boot;     /* of the guest that it is in */
	uint64_t begun_ns; /* CLOCK_MONOTONIC */
	bool told;
	bool used;
	int32_t slot; /* in the guest's module's mailbox, and its number; -1: not by it */
	uint64_t seq;
	bool engines; /* the engine delivers it: its results are awaited */
};

struct gf_vm_actuator {
	struct gf_actuator_opts o;
	struct gf_target *vm;
	int verdict_fd, stop_fd;
	int engine_fd; /* the engine has changed */
	gf_verdict_source source;
	void *source_arg;
	pthread_t thread;
	bool started;
	struct victim *victim;
	uint32_t victims; /* in use */
	struct gf_verdict batch[BATCH];
	struct gf_results results;
	pthread_mutex_t engine_lock; /* what is below; held while its results are taken */
	struct gf_vm_engine engine;  /* results NULL: there is none */
	struct gf_deliver_result result[RESULTS];
	/* The device had begun to take these back when they were taken: whose they are it has yet to say. */
	struct gf_deliver_result asked[ASKED];
	uint32_t asks;
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- results ---- */

/* A group's members end one after the other within milliseconds: they are told together. Who ends alone is told
 * at once. Returns how long what is left may wait, UINT64_MAX: nothing is left. */
static uint64_t flush_due(struct gf_vm_actuator *a, uint64_t now)
{
	if (!a->results.n)
		return UINT64_MAX;
	if (a->victims && now - a->results.first_ns < TOGETHER_NS)
		return TOGETHER_NS - (now - a->results.first_ns);
	gf_results_flush(&a->results);
	return UINT64_MAX;
}

static void tell(struct gf_vm_actuator *a, struct victim *w)
{
	struct gf_event_member m;

	gf_vm_deliver_member(&w->v, &w->d, &m);
	gf_results_add(&a->results, &w->v, &m);
	w->told = true;
}

/* ---- following ---- */

static void forget(struct gf_vm_actuator *a, struct victim *w, struct gf_guest *g)
{
	if (!w->engines && w->slot < 0 && g && g->pseudo && g->boot == w->boot && !gf_delivery_over(&w->d) && !gf_vm_storable(a->vm, g))
		gf_pseudo_end(g->pseudo, &w->d);
	w->used = false;
	a->victims--;
}

/* A later step goes to the same process: what becomes of it now is that one's result. */
static void supersede(struct gf_vm_actuator *a, const struct gf_verdict *v, struct gf_guest *g)
{
	for (uint32_t i = 0, left = a->victims; left && i < a->o.follow; i++) {
		struct victim *w = &a->victim[i];
		if (!w->used)
			continue;
		left--;
		if (w->v.pid != v->pid || w->v.start_ns != v->start_ns)
			continue;
		if (!w->told && !w->engines)
			tell(a, w);
		forget(a, w, g);
	}
}

static struct victim *slot(struct gf_vm_actuator *a, struct gf_guest *g)
{
	struct victim *old = NULL;

	for (uint32_t i = 0; i < a->o.follow; i++) {
		struct victim *w = &a->victim[i];
		if (!w->used)
			return w;
		if (!old || w->begun_ns < old->begun_ns)
			old = w;
	}
	/* The one waited for longest makes room. */
	if (!old->told && !old->engines)
		tell(a, old);
	forget(a, old, g);
	return old;
}

/* To the module in the guest, where there is one and it is something for it. Whether the guest is there and may be written to is asked as
 * before any store. */
static bool by_module(struct gf_vm_actuator *a, struct victim *w, struct gf_guest *g)
{
	w->slot = gf_vm_deliver_module(a->vm, g, &w->v, &w->seq, &w->d);
	return w->slot >= 0;
}

static void carry_out(struct gf_vm_actuator *a, uint32_t n)
{
	struct gf_err err;
	struct gf_guest *g = gf_vm_guest(a->vm, &err);

	for (uint32_t i = 0; i < n; i++) {
		const struct gf_verdict *v = &a->batch[i];
		struct gf_event_member m;
		struct victim *w;
		if (gf_vm_deliver_is_qmp(v)) {
			uint8_t why = a->o.last_resort ? a->o.last_resort(a->o.last_arg, v) : (uint8_t)GF_REF_NOT_ALLOWED;
			if (why)
				m = (struct gf_event_member){ .error = gf_delivery_errno(why), .exit_us = GF_NONE, .how = GF_HOW_QMP,
							      .became = GF_BECAME_REFUSED, .why = why };
			else
				gf_vm_deliver_qmp(a->vm, v, &m);
			gf_results_add(&a->results, v, &m);
			continue;
		}
		if (!(v->flags & GF_VERDICT_OBSERVE))
			supersede(a, v, g);
		w = slot(a, g);
		*w = (struct victim){ .v = *v, .boot = g ? g->boot : 0, .begun_ns = now_ns(CLOCK_MONOTONIC), .used = true, .slot = -1 };
		a->victims++;
		if (v->flags & GF_VERDICT_DONE_BY_ENGINE) {
			w->engines = true;
			gf_delivery_init(&w->d, v, GF_ROAD_AUTO, gf_act_is_lethal(v));
			continue;
		}
		if (by_module(a, w, g))
			continue;
		gf_vm_deliver_begin(a->vm, g, v, GF_ROAD_AUTO, &w->d);
		if (!gf_delivery_over(&w->d))
			continue;
		tell(a, w);
		forget(a, w, g);
	}
	if (g)
		gf_guest_put(g);
}

static void take_verdicts(struct gf_vm_actuator *a)
{
	uint64_t count;
	uint32_t n;

	if (read(a->verdict_fd, &count, sizeof count) < 0 && errno != EAGAIN)
		return;
	do {
		uint32_t keep = 0;
		n = (uint32_t)a->source(a->source_arg, a->batch, BATCH);
		/* Log, notify and run have no process; they are the daemon's own. */
		for (uint32_t i = 0; i < n; i++)
			if (a->batch[i].pid > 0 || gf_vm_deliver_is_qmp(&a->batch[i]))
				a->batch[keep++] = a->batch[i];
		if (keep)
			carry_out(a, keep);
	} while (n == BATCH);
}

/* ---- what the engine delivers ---- */

static struct victim *of_result(struct gf_vm_actuator *a, const struct gf_deliver_result *r)
{
	for (uint32_t i = 0, left = a->victims; left && i < a->o.follow; i++) {
		struct victim *w = &a->victim[i];
		if (!w->used)
			continue;
		left--;
		if (w->engines && w->v.event == r->event && w->v.pid == r->verdict.pid && w->v.step == r->step)
			return w;
	}
	return NULL;
}

/* An offer that the device is just taking back it decides on within microseconds, most often: 1 ours, 0 the device's, -1 not decided. */
static int take_offer(struct gf_vm_actuator *a, const struct gf_deliver_result *r)
{
	const struct timespec pause = { 0, 20000 };
	int took = 1;

	if (r->kind == GF_DELIVER_OFFER && a->engine.hand)
		for (uint32_t i = 0; i < 10 && (took = gf_hand_take(a->engine.hand, r->slot, r->ticket)) < 0; i++)
			nanosleep(&pause, NULL);
	return took;
}

static void take_over(struct gf_vm_actuator *a, const struct gf_deliver_result *r, struct victim *w, struct gf_guest *g)
{
	struct gf_pseudo_kick kick = { gf_vm_deliver_kick, a->vm };

	if (!w) {
		w = slot(a, g);
		*w = (struct victim){ .v = r->verdict, .boot = g ? g->boot : 0, .begun_ns = now_ns(CLOCK_MONOTONIC), .used = true, .slot = -1 };
		a->victims++;
	}
	w->engines = false;
	if (!r->begun || !g || !g->pseudo || g->boot != w->boot)
		gf_vm_deliver_begin(a->vm, g, &r->verdict, GF_ROAD_AUTO, &w->d);
	else if (gf_vm_storable(a->vm, g))
		w->d = r->delivery; /* looked at when the guest goes on */
	else
		gf_pseudo_take_over(g->pseudo, r, &kick, &w->d);
	if (!gf_delivery_over(&w->d))
		return;
	tell(a, w);
	forget(a, w, g);
}

static void take_offered(struct gf_vm_actuator *a, const struct gf_deliver_result *r, struct victim *w, struct gf_guest *g)
{
	int took = a->engine.results ? take_offer(a, r) : 1;

	/* Never dropped: the device may have seen that we took it, and will not come back to it. It takes back one at a time. */
	if (took < 0 && a->asks < ASKED)
		a->asked[a->asks++] = *r;
	else if (took)
		take_over(a, r, w, g);
}

static void take_result(struct gf_vm_actuator *a, const struct gf_deliver_result *r, struct gf_guest *g)
{
	struct victim *w = of_result(a, r);

	if (r->kind == GF_DELIVER_TOLD || r->kind == GF_DELIVER_LAST)
		gf_results_add(&a->results, &r->verdict, &r->member);
	else
		take_offered(a, r, w, g);
	if (r->kind == GF_DELIVER_LAST && w)
		forget(a, w, g);
}

/* Offers of which it was not decided whose they are. The device is lost: it decides nothing any more, and they are ours. */
static void ask_again(struct gf_vm_actuator *a)
{
	struct gf_err err;
	struct gf_guest *g = a->asks ? gf_vm_guest(a->vm, &err) : NULL;
	uint32_t n = a->asks;

	a->asks = 0; /* those still undecided are put back */
	for (uint32_t i = 0; i < n; i++) {
		const struct gf_deliver_result r = a->asked[i];
		struct victim *w = of_result(a, &r);
		if (w || a->engine.results) /* else follow() has gone on with it */
			take_offered(a, &r, w, g);
	}
	if (g)
		gf_guest_put(g);
}

/* Verdicts are taken after results and looked at before them: so each result finds its own. */
static void take_results(struct gf_vm_actuator *a)
{
	struct gf_err err;
	size_t n = RESULTS;

	pthread_mutex_lock(&a->engine_lock);
	ask_again(a);
	pthread_mutex_unlock(&a->engine_lock);
	while (n == RESULTS) {
		pthread_mutex_lock(&a->engine_lock);
		n = a->engine.results ? a->engine.results(a->engine.arg, a->result, RESULTS) : 0;
		if (n)
			take_verdicts(a);
		struct gf_guest *g = n ? gf_vm_guest(a->vm, &err) : NULL;
		for (size_t i = 0; i < n; i++)
			take_result(a, &a->result[i], g);
		if (g)
			gf_guest_put(g);
		pthread_mutex_unlock(&a->engine_lock);
	}
}

/* It has been lost: what it had under way is looked for in the guest. */
static void resume(struct gf_vm_actuator *a, struct victim *w, struct gf_guest *g)
{
	struct gf_pseudo_kick kick = { gf_vm_deliver_kick, a->vm };

	w->engines = false;
	if (g && g->pseudo && g->boot == w->boot)
		gf_pseudo_resume(g->pseudo, &w->v, &kick, &w->d);
}

/* How soon one is looked at again: often while it is new. */
static uint64_t pace(uint64_t age)
{
	return age < 20000000ull ? 100000ull : age < 200000000ull ? 1000000ull : age < 2000000000ull ? 5000000ull : 50000000ull;
}

/* True: nothing more will be said of it. */
static bool follow(struct gf_vm_actuator *a, struct victim *w, struct gf_guest *g, bool look, bool lost, uint64_t now)
{
	struct gf_pseudo_kick kick = { gf_vm_deliver_kick, a->vm };
	uint64_t age = now - w->begun_ns;
	uint8_t was = w->d.became;

	if (w->engines && (!lost || !look) && g && g->boot == w->boot)
		return false;
	if (w->engines)
		resume(a, w, g);
	if (!g || g->boot != w->boot) {
		w->d.became = GF_BECAME_LOST;
		w->d.phase = GF_PHASE_OVER;
	} else if (look && w->slot >= 0) {
		if (gf_assist_poll(g, &w->v, (uint32_t)w->slot, w->seq, age, &w->d)) {
			w->slot = -1; /* it has not, and will not: from outside */
			gf_vm_deliver_begin(a->vm, g, &w->v, GF_ROAD_AUTO, &w->d);
		}
	} else if (look)
		gf_pseudo_poll(g->pseudo, &w->d, &kick);
	if (gf_delivery_over(&w->d)) {
		tell(a, w);
		return true;
	}
	if (age < a->o.tell_ns || (w->d.phase == GF_PHASE_WAITING && age < a->o.follow_ns))
		return false;
	/* What has been said to wait and has been taken since is news. */
	if (!w->told || (w->d.became != was && w->d.became == GF_BECAME_DELIVERED))
		tell(a, w);
	return age >= a->o.follow_ns;
}

/* Looks at all of them; how long until the next look, UINT64_MAX: none. */
static uint64_t follow_all(struct gf_vm_actuator *a)
{
	uint64_t now = now_ns(CLOCK_MONOTONIC), next = UINT64_MAX;
	struct gf_err err;

	if (!a->victims)
		return flush_due(a, now);
	struct gf_guest *g = gf_vm_guest(a->vm, &err);
	if (g && !g->pseudo) {
		gf_guest_put(g);
		g = NULL;
	}
	pthread_mutex_lock(&a->engine_lock);
	bool lost = !a->engine.results, ask = a->engine.fd < 0;
	pthread_mutex_unlock(&a->engine_lock);
	for (uint32_t i = 0, left = a->victims; left && i < a->o.follow; i++) {
		struct victim *w = &a->victim[i];
		if (!w->used)
			continue;
		left--;
		/* Looking means storing again, too: not while it is paused, nor where another kernel may be by now. Asked for each: they may be many. */
		bool look = g && !gf_vm_storable(a->vm, g);
		if (follow(a, w, g, look, lost, now))
			forget(a, w, g);
		else if (!w->engines)
			next = GF_MIN(next, pace(now - w->begun_ns));
		else if (ask || lost)
			next = GF_MIN(next, 1000000ull);
	}
	if (g)
		gf_guest_put(g);
	uint64_t flush = flush_due(a, now);
	return GF_MIN(next, flush);
}

void gf_vm_actuator_engine(struct gf_vm_actuator *a, const struct gf_vm_engine *e)
{
	uint64_t one = 1;
	ssize_t n;

	pthread_mutex_lock(&a->engine_lock);
	a->engine = e ? *e : (struct gf_vm_engine){ .fd = -1 };
	pthread_mutex_unlock(&a->engine_lock);
	n = write(a->engine_fd, &one, sizeof one);
	(void)n;
}

static int results_fd(struct gf_vm_actuator *a)
{
	pthread_mutex_lock(&a->engine_lock);
	int fd = a->engine.results ? a->engine.fd : -1;
	pthread_mutex_unlock(&a->engine_lock);
	return fd;
}

static void *actuator_main(void *arg)
{
	struct gf_vm_actuator *a = arg;
	uint64_t count;

	for (;;) {
		struct pollfd fd[4] = { { .fd = a->verdict_fd, .events = POLLIN }, { .fd = a->stop_fd, .events = POLLIN },
					{ .fd = a->engine_fd, .events = POLLIN }, { .fd = results_fd(a), .events = POLLIN } };
		take_results(a);
		uint64_t wait = follow_all(a);
		if (a->asks)
			wait = GF_MIN(wait, ASK_NS);
		struct timespec t = { (time_t)(wait / 1000000000u), (long)(wait % 1000000000u) };
		if ((ppoll(fd, 4, wait == UINT64_MAX ? NULL : &t, NULL) < 0 && errno != EINTR) || fd[1].revents) {
			gf_results_flush(&a->results);
			return NULL;
		}
		if (fd[2].revents && read(a->engine_fd, &count, sizeof count) < 0 && errno != EAGAIN)
			return NULL;
		if (fd[3].revents && read(fd[3].fd, &count, sizeof count) < 0 && errno != EAGAIN && errno != EBADF)
			return NULL;
		if (fd[0].revents)
			take_verdicts(a);
	}
}

/* ---- life ---- */

static int start_thread(struct gf_vm_actuator *a, struct gf_err *err)
{
	struct sched_param p = { .sched_priority = a->o.rt_priority };
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attr, a->o.rt_priority ? SCHED_FIFO : SCHED_OTHER);
	pthread_attr_setschedparam(&attr, &p);
	int r = pthread_create(&a->thread, &attr, actuator_main, a);
	pthread_attr_destroy(&attr);
	a->started = !r;
	if (r == EPERM)
		return gf_err_set(err, r, "real-time priority %d is not permitted: run as root or set it to 0", a->o.rt_priority);
	return r ? gf_err_set(err, r, "cannot start the actuator's thread: %s", strerror(r)) : 0;
}

/* verdict_fd should not block when read; it stays the caller's and must outlive the actuator, as must vm. */
int gf_vm_actuator_create(const struct gf_actuator_opts *opts, struct gf_target *vm, int verdict_fd, gf_verdict_source source,
			  void *source_arg, gf_event_sink sink, void *sink_arg, struct gf_vm_actuator **ret, struct gf_err *err)
{
	struct gf_vm_actuator *a = calloc(1, sizeof *a);

	if (!a)
		return gf_err_set(err, ENOMEM, "no memory for the actuator");
	a->o = *opts;
	a->o.follow = a->o.follow ? a->o.follow : 4096;
	a->o.follow_ns = a->o.follow_ns ? a->o.follow_ns : 30000000000ull;
	a->o.tell_ns = a->o.tell_ns ? a->o.tell_ns : 1000000000ull;
	a->vm = vm;
	a->verdict_fd = verdict_fd;
	a->source = source;
	a->source_arg = source_arg;
	a->results.sink = sink;
	a->results.sink_arg = sink_arg;
	a->results.target_index = a->o.target_index;
	a->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	a->engine_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	a->engine.fd = -1;
	pthread_mutex_init(&a->engine_lock, NULL);
	a->victim = calloc(a->o.follow, sizeof *a->victim);
	int r = a->stop_fd < 0 || a->engine_fd < 0 ? -errno : !a->victim ? -ENOMEM : 0;
	if (r)
		gf_err_set(err, -r, "cannot set the actuator up: %s", strerror(-r));
	else
		r = start_thread(a, err);
	if (r) {
		gf_vm_actuator_destroy(a);
		return r;
	}
	*ret = a;
	return 0;
}

/* Nobody would lift later what was frozen and limited: it is lifted now. */
static void undo(struct gf_vm_actuator *a)
{
	struct gf_pseudo_kick kick = { gf_vm_deliver_kick, a->vm };
	struct gf_err err;
	struct gf_guest *g = gf_vm_guest(a->vm, &err);

	if (!g)
		return;
	if (g->pseudo && gf_kernel_still_there(g->kernel)) {
		for (uint32_t i = 0; i < a->o.follow; i++)
			if (a->victim[i].used)
				forget(a, &a->victim[i], g);
		unsigned failed = gf_pseudo_undo(g->pseudo, &kick);
		if (failed)
			gf_vm_say((struct gf_vm *)(void *)a->vm, LOG_WARNING, "%u that were frozen or limited could not be let go: "
				  "look for them in the guest", failed);
	}
	gf_guest_put(g);
}

void gf_vm_actuator_destroy(struct gf_vm_actuator *a)
{
	uint64_t one = 1;

	if (!a)
		return;
	if (a->started && write(a->stop_fd, &one, sizeof one) == sizeof one) {
		pthread_join(a->thread, NULL);
		undo(a);
	}
	if (a->stop_fd >= 0)
		close(a->stop_fd);
	if (a->engine_fd >= 0)
		close(a->engine_fd);
	pthread_mutex_destroy(&a->engine_lock);
	free(a->victim);
	free(a);
}
