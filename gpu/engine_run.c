/* SPDX-License-Identifier: MIT
 *
 * The CPU engine's life: made, started, swapped, stopped; its thread and the
 * callers' side of everything.
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

static void turn_give(struct gf_engine *e)
{
	__atomic_store_n(&e->turn, TURN_FREE, __ATOMIC_RELEASE);
}

/* A caller's turn, early in the pause between two ticks if it can be had. */
static int turn_caller(struct gf_engine *e, struct gf_err *err)
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

static void sleep_until(struct gf_engine *e, uint64_t at)
{
	for (;;) {
		uint64_t now = gf_engine_clock(CLOCK_MONOTONIC), to = GF_MIN(at, now + SLICE_NS);
		struct timespec ts = { (time_t)(to / SEC_NS), (long)(to % SEC_NS) };

		if (now >= at || __atomic_load_n(&e->stop, __ATOMIC_RELAXED))
			return;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
	}
}

/* The same, but at the most SLICE_NS, and until fd can be read: true. Should it be closed meanwhile, and another one have its number, a
 * look too early is all that comes of it. */
static bool sleep_or(const struct gf_engine *e, uint64_t at, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN }; /* (one below zero is none) */
	uint64_t now = gf_engine_clock(CLOCK_MONOTONIC), left = at > now ? GF_MIN(at - now, SLICE_NS) : 0;
	struct timespec ts = { 0, (long)left };

	return !__atomic_load_n(&e->stop, __ATOMIC_RELAXED) && ppoll(&p, 1, &ts, NULL) > 0;
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
	int watch;

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
			watch = gf_gpu_watch(e);
			__atomic_store_n(&e->next_ns, next + period, __ATOMIC_RELAXED); /* a caller finds its turn at any time */
			turn_give(e);
			e->look = sleep_or(e, next, watch);
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
		turn_give(e);
		sleep_until(e, wake);
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

static int check_opts(const struct gf_target *target, const struct gf_engine_opts *o, struct gf_err *err)
{
	if (o->period_ns < 1000000)
		return gf_err_set(err, EINVAL, "the period is %llu ns; 1 ms is the shortest",
				  (unsigned long long)o->period_ns);
	if (o->budget_n > GF_BUDGET_MAX)
		return gf_err_set(err, EINVAL, "the budget is %u actions; %u is the most that is counted", o->budget_n,
				  GF_BUDGET_MAX);
	if (o->budget_n && (!o->budget_window_ns || o->budget_window_ns > GF_MAX_NS))
		return gf_err_set(err, EINVAL, "a budget of %u actions in %llu ns is none; name a time it is for",
				  o->budget_n, (unsigned long long)o->budget_window_ns);
	if (!target->sample.cap)
		return gf_err_set(err, EINVAL, "target %s has no table of tasks", target->name);
	return 0;
}

static int make_buffers(struct gf_engine *e)
{
	void *regs = NULL;

	if (posix_memalign(&regs, 64, sizeof *e->regs))
		return -ENOMEM;
	memset(regs, 0, sizeof *e->regs);
	e->regs = regs;
	e->out.events = calloc(ENGINE_STAGED + 1, sizeof *e->out.events);
	e->out.verdicts = calloc(ENGINE_ACTS, sizeof *e->out.verdicts);
	e->out.events_cap = ENGINE_STAGED;
	e->out.verdicts_cap = ENGINE_ACTS;
	e->out.seq = e->opts.event_seq ? e->opts.event_seq : gf_engine_seq_word();
	if (!e->out.events || !e->out.verdicts || gf_ring_init(&e->events, ENGINE_EVENTS, sizeof(struct gf_event)) ||
	    gf_ring_init(&e->verdicts, ENGINE_VERDICTS, sizeof(struct gf_verdict)))
		return -ENOMEM;
	return 0;
}

/* What an image reads, to the target: first where its kernel paths lead, then which fields are wanted. */
static int set_fields(struct gf_engine *e, const struct gf_image_header *img, struct gf_err *err)
{
	struct gf_target *target = e->target;
	struct gf_fieldset all = img->fields;
	const char *text[GF_MAX_PATHS];
	uint32_t n = img->fields.paths;
	int rc;

	for (uint32_t i = 0; i < n; i++)
		text[i] = gf_image_path(img, i);
	rc = n || target->ops->set_paths ? gf_target_set_paths(target, text, n, err) : 0;
	all.host |= e->also.host;
	all.task |= e->also.task;
	all.str |= e->also.str;
	return rc ? rc : gf_target_set_fields(target, &all, err);
}

static bool same_paths(const struct gf_image_header *a, const struct gf_image_header *b)
{
	for (uint32_t i = 0; i < a->fields.paths && i < b->fields.paths; i++)
		if (strcmp(gf_image_path(a, i), gf_image_path(b, i)))
			return false;
	return a->fields.paths == b->fields.paths;
}

/* The GPU where one is wanted. With "auto" it is no error that there is none: the engine says why. */
static int choose(struct gf_engine *e, struct gf_err *err)
{
	int rc;

	if (e->opts.kind == GF_ENGINE_CPU)
		return 0;
	rc = gf_gpu_create(e, err);
	return e->opts.kind == GF_ENGINE_GPU ? rc : 0;
}

int gf_engine_create(struct gf_target *target, const struct gf_image_header *image,
		     const struct gf_engine_opts *opts, struct gf_engine **ret, struct gf_err *err)
{
	struct gf_engine *e;
	int rc = check_opts(target, opts, err);

	if (rc)
		return rc;
	e = calloc(1, sizeof *e);
	if (!e)
		return gf_err_set(err, ENOMEM, "out of memory for the engine");
	e->target = target;
	e->opts = *opts;
	e->observe = opts->observe;
	e->in.budget_n = opts->budget_n;
	e->in.budget_window_ns = opts->budget_window_ns;
	e->in.target = opts->target_index;
	pthread_mutex_init(&e->mutex, NULL);
	if (make_buffers(e) || gf_engine_views_make(image, &e->views)) {
		rc = gf_err_set(err, ENOMEM, "out of memory for the engine");
		goto fail;
	}
	rc = set_fields(e, image, err);
	if (!rc)
		rc = gf_state_create(image, target->sample.cap, &e->st, err);
	if (!rc)
		rc = choose(e, err);
	if (rc)
		goto fail;
	gf_engine_publish_stats(e);
	*ret = e;
	return 0;
fail:
	gf_engine_destroy(e);
	return rc;
}

void gf_engine_destroy(struct gf_engine *e)
{
	if (!e)
		return;
	gf_engine_stop(e);
	gf_gpu_destroy(e);
	gf_ring_deinit(&e->events);
	gf_ring_deinit(&e->verdicts);
	gf_state_destroy(e->st);
	free(e->views.shown);
	free(e->views.work);
	free(e->out.events);
	free(e->out.verdicts);
	free(e->regs);
	pthread_mutex_destroy(&e->mutex);
	free(e);
}

/* The new state's memory is faulted in here, not in the tick after the swap. Returns
 * how many rows it is good for. */
static uint32_t fault_before(struct gf_engine *e, struct gf_state *st)
{
	struct gf_engine_stats now;
	uint32_t rows;

	if (!e->opts.mlock)
		return 0;
	gf_engine_stats(e, &now);
	rows = GF_MIN(now.rows + ENGINE_FAULT_AHEAD, st->cap);
	gf_state_prefault(st, 0, rows);
	return rows;
}

/* Between two ticks: the new fields, then the new state with what it takes over. */
static int swap_now(struct gf_engine *e, struct gf_state *st, const struct gf_adoption *plan, uint32_t faulted,
		    struct gf_gpu_next *next, struct gf_err *err)
{
	const struct gf_image_header *from = e->st->img, *to = st->img;
	bool was_gpu = e->gpu;
	int rc = 0;

	if (memcmp(&from->fields, &to->fields, sizeof from->fields) || !same_paths(from, to)) {
		rc = set_fields(e, to, err);
		if (rc) {
			set_fields(e, from, NULL);
			return rc;
		}
	}
	if (e->gpu)
		gf_gpu_adopt(e, next); /* with it e->st knows what the device knew of the old rules */
	gf_engine_release(e, plan, to->sec[GF_SEC_RULE].count);
	gf_state_adopt(st, e->st, plan);
	e->st = st;
	e->faulted = GF_MIN(faulted, e->faulted); /* tables taken over: as far as they were */
	e->views_at = 0;
	e->now.reloads++;
	if (!was_gpu) /* not one that this reload itself has cost */
		gf_gpu_retry(e);
	gf_engine_publish_stats(e);
	return 0;
}

/* A caller that has its turn runs at the engine's priority, or whatever else wants
 * the core would make the engine wait for it. */
struct priority {
	struct sched_param p;
	int policy;
	bool raised;
};

static void priority_raise(const struct gf_engine *e, struct priority *was)
{
	struct sched_param p = { .sched_priority = e->opts.rt_priority };

	was->raised = e->running && e->now.rt && !pthread_getschedparam(pthread_self(), &was->policy, &was->p) &&
		      was->policy != SCHED_FIFO && !pthread_setschedparam(pthread_self(), SCHED_FIFO, &p);
}

static void priority_back(const struct priority *was)
{
	if (was->raised)
		pthread_setschedparam(pthread_self(), was->policy, &was->p);
}

int gf_engine_also(struct gf_engine *e, const struct gf_fieldset *f, struct gf_err *err)
{
	struct gf_fieldset was;
	int rc;

	pthread_mutex_lock(&e->mutex);
	rc = turn_caller(e, err);
	if (!rc) {
		was = e->also;
		e->also = *f;
		rc = set_fields(e, e->st->img, err);
		if (rc) {
			e->also = was;
			set_fields(e, e->st->img, NULL);
		}
		turn_give(e);
	}
	pthread_mutex_unlock(&e->mutex);
	return rc;
}

int gf_engine_swap(struct gf_engine *e, const struct gf_image_header *image, struct gf_err *err)
{
	struct engine_views views = { 0 }, old_views;
	struct gf_adoption *plan = NULL;
	struct gf_state *st = NULL, *old;
	struct priority was = { .raised = false };
	struct gf_gpu_next *next = NULL;
	uint32_t faulted = 0;
	int rc;

	pthread_mutex_lock(&e->mutex);
	old = e->st;
	rc = gf_state_create(image, old->cap, &st, err);
	if (!rc && (gf_state_plan(old->img, image, &plan) || gf_engine_views_make(image, &views)))
		rc = gf_err_set(err, ENOMEM, "out of memory for the new policy");
	if (!rc && e->gpu)
		rc = gf_gpu_prepare(e, image, plan, &next, err);
	if (!rc && !e->gpu)
		faulted = fault_before(e, st);
	if (!rc) {
		priority_raise(e, &was);
		rc = turn_caller(e, err);
	}
	if (!rc) {
		rc = swap_now(e, st, plan, faulted, next, err);
		if (!rc) {
			old_views = e->views;
			e->views = views;
			views = old_views;
			st = old;
		}
		turn_give(e);
	}
	priority_back(&was);
	gf_gpu_drop(e, next);
	gf_state_destroy(st);
	free(plan);
	free(views.shown);
	free(views.work);
	pthread_mutex_unlock(&e->mutex);
	return rc;
}

void gf_engine_set_observe(struct gf_engine *e, bool observe)
{
	__atomic_store_n(&e->observe, observe, __ATOMIC_RELAXED);
}

int gf_engine_tick(struct gf_engine *e, struct gf_err *err)
{
	int rc;

	if (!turn_try(e, TURN_TICK))
		return gf_err_set(err, EBUSY, "the engine is in a tick");
	rc = gf_engine_tick_now(e);
	if (rc && err)
		*err = e->err;
	turn_give(e);
	return rc;
}

size_t gf_engine_events(struct gf_engine *e, struct gf_event *buf, size_t n)
{
	return gf_ring_take(&e->events, buf, n);
}

int gf_engine_event_fd(struct gf_engine *e)
{
	return e->events.fd;
}

size_t gf_engine_verdicts(struct gf_engine *e, struct gf_verdict *buf, size_t n)
{
	return gf_ring_take(&e->verdicts, buf, n);
}

int gf_engine_verdict_fd(struct gf_engine *e)
{
	return e->verdicts.fd;
}

void gf_engine_stats(const struct gf_engine *e, struct gf_engine_stats *ret)
{
	gf_seq_read(&e->shown_seq, ret, &e->shown, sizeof *ret);
}

size_t gf_engine_rules(struct gf_engine *e, struct gf_rule_view *buf, size_t n, uint64_t *ret_fp)
{
	size_t rules;

	__atomic_store_n(&e->asked_at, gf_engine_clock(CLOCK_MONOTONIC), __ATOMIC_RELAXED);
	/* A swap replaces the views; the engine itself is not held up by the mutex. */
	pthread_mutex_lock(&e->mutex);
	rules = e->views.n;
	gf_seq_read(&e->views.seq, buf, e->views.shown, GF_MIN(n, rules) * sizeof *buf);
	if (ret_fp)
		*ret_fp = e->views.fp;
	pthread_mutex_unlock(&e->mutex);
	return rules;
}
