/* SPDX-License-Identifier: MIT
 *
 * An engine's thread, started and stopped, and whose turn it is. Made it is in engine_make.c, policies are replaced in engine_swap.c.
 *
 * Target, state and image have one owner at a time, by e->turn: the engine from
 * the beginning of a tick to its end, a caller (who holds e->mutex) in between,
 * taken and given with compare-and-swap (acquire) and store (release). A caller
 * waits for its turn, a tick only ever for a caller that began in good time: one
 * that sees the next tick near lets it pass first.
 */
#include "gpu/engine_cpu.h"
#include "targets/target.h"

#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#define NAP_NS 50000ull
#define SLICE_NS (SEC_NS / 4)  /* a long period is slept in slices, so that stop is not waited for */
#define TURN_TIMEOUT_NS (5 * SEC_NS)
#define REST_NS 1000000ull     /* see gf_engine_rest */
#define STACK_TOUCHED 65536u
#define PATIENCE_NS SEC_NS     /* after this a caller takes its turn even if a tick is near */

static void nap(void)
{
	struct timespec ts = { 0, (long)NAP_NS };

	nanosleep(&ts, NULL);
}

static int turn_try(struct gf_engine *e, int whose)
{
	int free_turn = TURN_FREE;

	return __atomic_compare_exchange_n(&e->turn, &free_turn, whose, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

void gf_engine_turn_give(struct gf_engine *e)
{
	__atomic_store_n(&e->turn, TURN_FREE, __ATOMIC_RELEASE);
}

int gf_engine_turn_caller(struct gf_engine *e, struct gf_err *err)
{
	uint64_t begun = gf_engine_clock(CLOCK_MONOTONIC), now = begun;

	if (!e->running)
		return turn_try(e, TURN_CALLER) ? 0 : -EBUSY;
	for (; now - begun < TURN_TIMEOUT_NS; nap(), now = gf_engine_clock(CLOCK_MONOTONIC)) {
		uint64_t next = __atomic_load_n(&e->next_ns, __ATOMIC_RELAXED);
		int near = next < now + e->opts.period_ns / 2;

		if ((!near || now - begun > PATIENCE_NS) && turn_try(e, TURN_CALLER))
			return 0;
	}
	return gf_err_set(err, ETIMEDOUT, "the engine has not finished a tick for 5 s; look for ticks that take longer than the period");
}

/* In slices, so that stop is not waited for; or until one of p[n] can be read: true. Should such a descriptor be closed meanwhile, and another
 * one have its number, a look too early is all that comes of it. */
static bool sleep_until(const struct gf_engine *e, uint64_t at, struct pollfd *p, nfds_t n)
{
	for (;;) {
		uint64_t now = gf_engine_clock(CLOCK_MONOTONIC), to = GF_MIN(at, now + SLICE_NS), left = to - now;
		const struct timespec end = { (time_t)(to / SEC_NS), (long)(to % SEC_NS) }, rest = { 0, (long)left };

		if (now >= at || __atomic_load_n(&e->stop, __ATOMIC_RELAXED))
			return false;
		if (!n)
			clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL); /* (nearer to its time than a poll) */
		else if (ppoll(p, n, &rest, NULL) > 0)
			return true;
	}
}

/* The machine slept: what was true before and is true now was not seen between. */
static void look_for_suspend(struct gf_engine *e)
{
	int64_t s = (int64_t)(gf_engine_clock(CLOCK_BOOTTIME) - gf_engine_clock(CLOCK_MONOTONIC));

	if (s - e->suspended_ns > (int64_t)SEC_NS)
		e->in.gap = 1;
	e->suspended_ns = s;
}

/* The least pause between the end of a tick and the next: a fifth of the time goes
 * to others whatever ticks take, at least 1 ms or, where the period is short, a
 * fifth of it. A real-time thread that is always late would otherwise hold its core
 * for ever, and with it those who have to mend things. */
uint64_t gf_engine_rest(uint64_t period_ns, uint64_t took_ns)
{
	return GF_MAX(GF_MIN(period_ns / 5, REST_NS), took_ns / 4);
}

/* Pages of the stack are there before they are needed. */
static __attribute__((noinline)) void touch_stack(void)
{
	volatile uint8_t b[STACK_TOUCHED];

	for (size_t i = 0; i < sizeof b; i += 4096)
		b[i] = 0;
}

static void *engine_main(void *arg)
{
	struct gf_engine *e = arg;
	uint64_t period = e->opts.period_ns, next = gf_engine_clock(CLOCK_MONOTONIC), now, wake;
	struct pollfd watched[GF_GPU_WATCHED];
	nfds_t n;

	prctl(PR_SET_NAME, "gpufas-engine");
	if (e->opts.mlock)
		touch_stack();
	e->suspended_ns = (int64_t)(gf_engine_clock(CLOCK_BOOTTIME) - next);
	while (!__atomic_load_n(&e->stop, __ATOMIC_RELAXED)) {
		while (!turn_try(e, TURN_TICK))
			nap();
		now = gf_engine_clock(CLOCK_MONOTONIC);
		if (gf_gpu_paces(e)) {
			look_for_suspend(e);
			gf_engine_report_missed(e, now);
			gf_engine_tick_now(e);
			next = gf_engine_clock(CLOCK_MONOTONIC) + gf_gpu_pace(e);
			n = gf_gpu_watch(e, watched);
			__atomic_store_n(&e->next_ns, next + period, __ATOMIC_RELAXED); /* a caller finds its turn at any time */
			gf_engine_turn_give(e);
			e->look = sleep_until(e, next, watched, n);
			continue;
		}
		if (now - next >= period) {
			e->now.missed += (now - next) / period;
			next += (now - next) / period * period;
		}
		e->now.late += now - next > period / 10;
		look_for_suspend(e);
		gf_engine_report_missed(e, now);
		gf_engine_tick_now(e);
		next += period;
		wake = gf_engine_clock(CLOCK_MONOTONIC);
		wake = GF_MAX(next, wake + gf_engine_rest(period, wake - now));
		__atomic_store_n(&e->next_ns, wake, __ATOMIC_RELAXED);
		gf_engine_turn_give(e);
		sleep_until(e, wake, NULL, 0);
	}
	return NULL;
}

static void note(struct gf_engine *e, const char *what, int errnum)
{
	size_t n = strlen(e->now.note);

	snprintf(e->now.note + n, sizeof e->now.note - n, "%s%s: %s", n ? "; " : "", what, strerror(errnum));
}

static void touch(void *p, size_t size)
{
	volatile uint8_t *b = p;

	for (size_t i = 0; i < size; i += 4096)
		b[i] = b[i];
}

/* The ways out of a tick must not have to wait for memory when it is short. */
static void touch_buffers(struct gf_engine *e)
{
	touch(e->out.events, (ENGINE_STAGED + 1) * sizeof *e->out.events);
	touch(e->out.verdicts, ENGINE_ACTS * sizeof *e->out.verdicts);
	touch(e->events.slot, (size_t)e->events.cap * e->events.size);
	touch(e->verdicts.slot, (size_t)e->verdicts.cap * e->verdicts.size);
}

/* With CAP_IPC_LOCK RLIMIT_MEMLOCK does not count. */
static bool may_lock(void)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return !syscall(SYS_capget, &h, d) && (d[CAP_TO_INDEX(CAP_IPC_LOCK)].effective & CAP_TO_MASK(CAP_IPC_LOCK));
}

/* Locks what the process has, as it is touched: locking at once would make every
 * unused row cost memory. */
static void lock_memory(struct gf_engine *e)
{
	struct rlimit lim = { RLIM_INFINITY, RLIM_INFINITY };

	/* With a finite limit MCL_FUTURE would make later allocations fail. */
	if (setrlimit(RLIMIT_MEMLOCK, &lim) && !may_lock() &&
	    (getrlimit(RLIMIT_MEMLOCK, &lim) || lim.rlim_cur != RLIM_INFINITY)) {
		note(e, "memory not locked: CAP_IPC_LOCK or LimitMEMLOCK=infinity is needed", EPERM);
		return;
	}
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
		note(e, "memory not locked", errno);
	else
		e->now.mlocked = true;
}

int gf_engine_start(struct gf_engine *e, struct gf_err *err)
{
	struct sched_param sp = { .sched_priority = e->opts.rt_priority };
	pthread_attr_t attr;
	int rc;

	pthread_mutex_lock(&e->mutex);
	if (e->running) {
		pthread_mutex_unlock(&e->mutex);
		return gf_err_set(err, EALREADY, "the engine runs already");
	}
	e->now.note[0] = 0;
	e->now.rt = e->now.mlocked = false;
	if (e->opts.mlock) {
		lock_memory(e);
		touch_buffers(e);
	}
	if (e->gpu)
		gf_gpu_start(e, NULL);
	__atomic_store_n(&e->stop, 0, __ATOMIC_RELAXED);
	pthread_attr_init(&attr);
	rc = EPERM;
	if (e->opts.rt_priority > 0) {
		pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
		pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
		pthread_attr_setschedparam(&attr, &sp);
		e->now.rt = true;
		rc = pthread_create(&e->thread, &attr, engine_main, e);
		if (rc) {
			e->now.rt = false;
			note(e, "not real-time", rc);
		}
	}
	if (rc)
		rc = pthread_create(&e->thread, NULL, engine_main, e);
	pthread_attr_destroy(&attr);
	e->running = !rc;
	pthread_mutex_unlock(&e->mutex);
	return rc ? gf_err_set(err, rc, "the engine's thread cannot be started: %s", strerror(rc)) : 0;
}

void gf_engine_stop(struct gf_engine *e)
{
	pthread_mutex_lock(&e->mutex);
	if (e->running) {
		__atomic_store_n(&e->stop, 1, __ATOMIC_RELAXED);
		pthread_join(e->thread, NULL);
		e->running = false;
		gf_gpu_stop(e);
		gf_engine_release(e, NULL, 0);
	}
	pthread_mutex_unlock(&e->mutex);
}

int gf_engine_tick(struct gf_engine *e, struct gf_err *err)
{
	int rc;

	if (!turn_try(e, TURN_TICK))
		return gf_err_set(err, EBUSY, "the engine is in a tick");
	rc = gf_engine_tick_now(e);
	if (rc && err)
		*err = e->err;
	gf_engine_turn_give(e);
	return rc;
}
