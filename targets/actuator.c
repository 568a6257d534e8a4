// SPDX-License-Identifier: MIT
#include "targets/actuator.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "gpu/deliver.h"
#include "targets/act.h"
#include "targets/kmod.h"
#include "targets/reaper.h"
#include "targets/results.h"
#include "targets/vm.h"

#define BATCH 1024u      /* verdicts carried out together */
#define ROUND 64         /* epoll events a call */
#define SPARE_FDS 64u    /* never used up by following */
#define STACK (256u << 10)
#define TAG_VERDICT UINT64_MAX
#define TAG_STOP (UINT64_MAX - 1)
#define TAG_ENGINE (UINT64_MAX - 2)
#define RESULTS 64u

struct victim {
	int pidfd; /* -1: slot free */
	struct gf_verdict v;
	uint64_t sent_ns; /* CLOCK_MONOTONIC */
	bool told;        /* that it is still there */
	uint8_t how;      /* enum gf_how */
};

struct gf_actuator {
	struct gf_actuator_opts o;
	int verdict_fd, epoll_fd, stop_fd;
	gf_verdict_source source;
	void *source_arg;
	pthread_t thread;
	bool started;
	struct victim *victim;
	uint32_t victims; /* in use */
	uint32_t lowest;  /* no free slot before it */
	struct gf_verdict batch[BATCH];
	int batch_fd[BATCH];
	int batch_error[BATCH];
	int32_t batch_pid[BATCH];
	uint8_t batch_how[BATCH], batch_why[BATCH]; /* enum gf_how, enum gf_refused */
	struct gf_kmod_result by_module[BATCH];
	struct gf_results results;
	pthread_mutex_t engine_lock; /* what is below; held while results are taken */
	struct gf_vm_engine engine;  /* results NULL: there is none */
	struct gf_deliver_result result[RESULTS];
	struct gf_verdict left[RESULTS]; /* what the engine has left to us */
	int sysrq; /* opened at the start: when it is wanted, opening may not work any more; -1 */
	struct gf_reaper reaper;
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A process whose fate is known. */
static struct gf_event_member member(const struct gf_verdict *v, uint8_t how, int error, uint32_t exit_us)
{
	return (struct gf_event_member){
		.start_ns = v->start_ns, .pid = v->pid, .error = error, .exit_us = exit_us, .how = how, .tries = how != GF_HOW_CALL,
	};
}

static void report(struct gf_actuator *a, const struct gf_verdict *v, uint8_t how, int error, uint32_t exit_us)
{
	const struct gf_event_member m = member(v, how, error, exit_us);

	gf_results_add(&a->results, v, &m);
}

/* ---- following -------------------------------------------------------------- */

static void forget(struct gf_actuator *a, uint32_t slot)
{
	/* By hand: while the reaper holds its duplicate, closing this one would leave it
	 * in the set, where it would be reported without end, for whoever has the slot. */
	epoll_ctl(a->epoll_fd, EPOLL_CTL_DEL, a->victim[slot].pidfd, NULL);
	close(a->victim[slot].pidfd);
	a->victim[slot].pidfd = -1;
	a->victims--;
	a->lowest = GF_MIN(a->lowest, slot);
}

/* The one waited for longest makes room. What has become of it is not known, but
 * the signals of today go before the curiosity of yesterday. */
static void forget_oldest(struct gf_actuator *a)
{
	uint32_t old = GF_NONE;

	for (uint32_t i = 0; i < a->o.follow; i++)
		if (a->victim[i].pidfd >= 0 && (old == GF_NONE || a->victim[i].sent_ns < a->victim[old].sent_ns))
			old = i;
	if (old == GF_NONE)
		return;
	if (!a->victim[old].told)
		report(a, &a->victim[old].v, a->victim[old].how, 0, GF_NONE);
	forget(a, old);
}

/* A later step goes to the same process: what becomes of it now is that one's result. */
static void supersede(struct gf_actuator *a, const struct gf_verdict *v)
{
	for (uint32_t i = 0, left = a->victims; left; i++) {
		struct victim *w = &a->victim[i];
		if (w->pidfd < 0)
			continue;
		left--;
		if (w->v.pid != v->pid || w->v.start_ns != v->start_ns)
			continue;
		if (!w->told)
			report(a, &w->v, w->how, 0, GF_NONE);
		forget(a, i);
	}
}

/* Takes pidfd over. False: cannot be followed (closed). */
static bool follow(struct gf_actuator *a, const struct gf_verdict *v, uint8_t how, int pidfd, uint64_t sent)
{
	uint32_t i = a->lowest;

	while (i < a->o.follow && a->victim[i].pidfd >= 0)
		i++;
	a->lowest = i;
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = i };
	if (i == a->o.follow || epoll_ctl(a->epoll_fd, EPOLL_CTL_ADD, pidfd, &e)) {
		close(pidfd);
		return false;
	}
	a->victim[i] = (struct victim){ .pidfd = pidfd, .v = *v, .sent_ns = sent, .how = how };
	a->victims++;
	return true;
}

static void exit_seen(struct gf_actuator *a, uint64_t slot)
{
	if (slot >= a->o.follow || a->victim[slot].pidfd < 0)
		return;
	struct victim *w = &a->victim[slot];
	uint64_t us = (now_ns(CLOCK_MONOTONIC) - w->sent_ns) / 1000;
	report(a, &w->v, w->how, 0, (uint32_t)GF_MIN(us, (uint64_t)GF_NONE - 1));
	forget(a, (uint32_t)slot);
}

/* Reports those that are still there after a while, and lets go of those whose time is up; how long until the next, in ms, -1: none. */
static int give_up(struct gf_actuator *a)
{
	uint64_t now = now_ns(CLOCK_MONOTONIC), next = UINT64_MAX;

	if (!a->victims)
		return -1;
	for (uint32_t i = 0; i < a->o.follow; i++) {
		struct victim *w = &a->victim[i];
		if (w->pidfd < 0)
			continue;
		uint64_t end = w->sent_ns + a->o.follow_ns;
		uint64_t due = w->told ? end : GF_MIN(end, w->sent_ns + a->o.tell_ns);
		if (due > now) {
			next = GF_MIN(next, due);
			continue;
		}
		/* It may have left since epoll was last asked. */
		struct pollfd p = { .fd = w->pidfd, .events = POLLIN };
		if (poll(&p, 1, 0) > 0) {
			exit_seen(a, i);
			continue;
		}
		if (!w->told)
			report(a, &w->v, w->how, 0, GF_NONE);
		w->told = true;
		if (end > now)
			next = GF_MIN(next, end);
		else
			forget(a, i);
	}
	if (next == UINT64_MAX)
		return -1;
	return (int)GF_MIN((next - now) / 1000000 + 1, 3600000u);
}

/* ---- sending ---------------------------------------------------------------- */

/* SIGKILL to all of a cgroup: through cgroup.kill no fork can slip away. [from, to)
 * is the whole of one event. True when done. */
static bool kill_cgroup(struct gf_actuator *a, uint32_t from, uint32_t to)
{
	const struct gf_verdict *v = &a->batch[from];
	char path[4096];
	size_t n = 0;

	if (v->group != GF_GROUP_CGROUP || v->action != GF_ACT_SIGNAL || v->arg != SIGKILL ||
	    v->flags & GF_VERDICT_OBSERVE || !(v->flags & GF_VERDICT_LEAD) || !(a->batch[to - 1].flags & GF_VERDICT_LAST))
		return false;
	for (uint32_t i = from; i < to; i++) {
		/* Any that may not be touched, or is another by now: one by one. */
		if (a->batch_error[i] && a->batch_error[i] != -ESRCH)
			return false;
		if (!a->batch_error[i])
			a->batch_pid[n++] = a->batch[i].pid;
	}
	if (!n || gf_cgroup_of(a->batch_pid[0], path, sizeof path))
		return false;
	return !gf_cgroup_kill(path, a->batch_pid, a->batch_fd + from, to - from, n);
}

static void settle(struct gf_actuator *a, uint32_t i, uint64_t sent)
{
	const struct gf_verdict *v = &a->batch[i];
	int fd = a->batch_fd[i];
	bool lethal = !a->batch_error[i] && gf_act_is_lethal(v) && !(v->flags & GF_VERDICT_OBSERVE);

	if (lethal && v->arg == SIGKILL)
		gf_reap(&a->reaper, fd);
	if (lethal && follow(a, v, a->batch_how[i], fd, sent))
		return;
	if (!lethal && fd >= 0)
		close(fd);
	struct gf_event_member m = member(v, a->batch_how[i], a->batch_error[i], GF_NONE);
	if (a->batch_why[i]) {
		m.became = GF_BECAME_REFUSED;
		m.why = a->batch_why[i];
		m.tries = 0;
	}
	gf_results_add(&a->results, v, &m);
}

/* By the kernel module what it can do, and has done; the rest by a call. */
static void send_event(struct gf_actuator *a, uint32_t from, uint32_t to)
{
	bool asked = false;

	for (uint32_t i = from; a->o.kmod && i < to && !asked; i++)
		asked = !a->batch_error[i] && gf_kmod_can(&a->batch[i]);
	asked = asked && gf_kmod_delivers(a->o.kmod);
	if (asked)
		gf_kmod_deliver(a->o.kmod, a->batch + from, a->batch_error + from, to - from, a->by_module);
	for (uint32_t i = from; i < to; i++) {
		const struct gf_kmod_result *m = &a->by_module[i - from];

		if (a->batch_error[i])
			continue;
		if (asked && gf_kmod_can(&a->batch[i]) && m->done) {
			a->batch_how[i] = GF_HOW_MODULE;
			a->batch_why[i] = m->why;
			a->batch_error[i] = m->error ? m->error : gf_delivery_errno(m->why);
		} else if (a->o.only_kmod && gf_kmod_can(&a->batch[i])) {
			a->batch_how[i] = GF_HOW_MODULE;
			a->batch_why[i] = asked && m->why ? m->why : (uint8_t)GF_REF_NO_ROAD;
			a->batch_error[i] = gf_delivery_errno(a->batch_why[i]);
		} else {
			a->batch_error[i] = gf_act_send(&a->batch[i], a->batch_fd[i]);
		}
	}
}

/* All are made ready, then all are sent, then they are followed: nothing that can
 * wait stands between two signals of a group. */
static void carry_out(struct gf_actuator *a, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		a->batch_fd[i] = -1;
		a->batch_how[i] = GF_HOW_CALL;
		a->batch_why[i] = GF_REF_NONE;
		int r = gf_act_prepare(&a->batch[i], &a->batch_fd[i]);
		for (int try = 0; (r == -EMFILE || r == -ENFILE) && try < 8 && a->victims; try++) {
			forget_oldest(a);
			r = gf_act_prepare(&a->batch[i], &a->batch_fd[i]);
		}
		a->batch_error[i] = r;
		if (!r && gf_act_is_lethal(&a->batch[i]) && !(a->batch[i].flags & GF_VERDICT_OBSERVE))
			supersede(a, &a->batch[i]);
	}
	uint64_t sent = now_ns(CLOCK_MONOTONIC);
	for (uint32_t from = 0, to; from < n; from = to) {
		for (to = from + 1; to < n && a->batch[to].event == a->batch[from].event; to++)
			;
		if (kill_cgroup(a, from, to))
			continue;
		send_event(a, from, to);
	}
	for (uint32_t i = 0; i < n; i++)
		settle(a, i, sent);
	gf_results_flush(&a->results);
}

/* Panic and restart have no process. What comes back is that it was refused, or did not work. */
static void last_resort(struct gf_actuator *a, const struct gf_verdict *v)
{
	struct gf_event_member r = { .start_ns = v->start_ns, .pid = v->pid, .exit_us = GF_NONE, .how = GF_HOW_SYSRQ };
	const char *key = v->action == GF_ACT_PANIC ? "c" : "b"; /* Documentation/admin-guide/sysrq.rst */
	uint8_t why = GF_REF_NONE;

	if (v->action != GF_ACT_PANIC && v->action != GF_ACT_RESTART)
		why = GF_REF_NO_ROAD;
	else
		why = a->o.last_resort ? a->o.last_resort(a->o.last_arg, v) : (uint8_t)GF_REF_NOT_ALLOWED;
	if (why) {
		r.became = GF_BECAME_REFUSED;
		r.why = why;
		r.error = gf_delivery_errno(why);
	} else if (!(v->flags & GF_VERDICT_OBSERVE)) {
		const int none = 0;
		struct gf_kmod_result m = { .done = false };
		r.tries = 1;
		if (a->o.kmod && gf_kmod_delivers(a->o.kmod))
			gf_kmod_deliver(a->o.kmod, v, &none, 1, &m);
		if (m.done && !m.why && !m.error)
			r.how = GF_HOW_MODULE; /* and here nobody comes by any more */
		else if (a->o.only_kmod)
			r.error = gf_delivery_errno(m.why ? m.why : (uint8_t)GF_REF_NO_ROAD);
		else
			r.error = a->sysrq < 0 ? -EOPNOTSUPP : write(a->sysrq, key, 1) == 1 ? 0 : -errno;
	}
	gf_results_add(&a->results, v, &r);
	gf_results_flush(&a->results);
}

static void take_verdicts(struct gf_actuator *a)
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
			if (a->batch[i].flags & GF_VERDICT_DONE_BY_ENGINE)
				continue; /* its results come */
			else if (a->batch[i].pid > 0)
				a->batch[keep++] = a->batch[i];
			else if (gf_action_last_resort(a->batch[i].action))
				last_resort(a, &a->batch[i]);
		carry_out(a, keep);
	} while (n == BATCH);
}

/* ---- what the engine's device delivers ---- */

static void take_results(struct gf_actuator *a)
{
	size_t n = RESULTS, left;

	while (n == RESULTS) {
		left = 0;
		pthread_mutex_lock(&a->engine_lock);
		n = a->engine.results ? a->engine.results(a->engine.arg, a->result, RESULTS) : 0;
		for (size_t i = 0; i < n; i++) {
			if (a->result[i].kind == GF_DELIVER_TOLD || a->result[i].kind == GF_DELIVER_LAST)
				gf_results_add(&a->results, &a->result[i].verdict, &a->result[i].member);
			else
				a->left[left++] = a->result[i].verdict;
		}
		pthread_mutex_unlock(&a->engine_lock);
		for (size_t i = 0; i < left; i++) {
			a->left[i].flags &= (uint8_t)~GF_VERDICT_DONE_BY_ENGINE;
			if (a->left[i].pid <= 0) {
				last_resort(a, &a->left[i]);
				continue;
			}
			a->batch[0] = a->left[i];
			carry_out(a, 1);
		}
	}
}

/* Not by a thread of ours only: the descriptor may have gone. */
void gf_actuator_engine(struct gf_actuator *a, const struct gf_vm_engine *e)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = TAG_ENGINE };

	pthread_mutex_lock(&a->engine_lock);
	if (a->engine.results)
		epoll_ctl(a->epoll_fd, EPOLL_CTL_DEL, a->engine.fd, NULL);
	a->engine = e ? *e : (struct gf_vm_engine){ .fd = -1 };
	if (e)
		epoll_ctl(a->epoll_fd, EPOLL_CTL_ADD, e->fd, &ev);
	pthread_mutex_unlock(&a->engine_lock);
}

static void *actuator_main(void *arg)
{
	struct gf_actuator *a = arg;
	struct epoll_event e[ROUND];
	bool stop = false;

	while (!stop) {
		int wait = give_up(a);
		gf_results_flush(&a->results);
		int n = epoll_wait(a->epoll_fd, e, ROUND, wait);
		bool verdicts = false, results = false;
		for (int i = 0; i < n; i++) {
			if (e[i].data.u64 == TAG_VERDICT)
				verdicts = true;
			else if (e[i].data.u64 == TAG_STOP)
				stop = true;
			else if (e[i].data.u64 == TAG_ENGINE)
				results = true;
			else
				exit_seen(a, e[i].data.u64);
		}
		if (verdicts)
			take_verdicts(a);
		if (results)
			take_results(a);
		gf_results_flush(&a->results);
	}
	return NULL;
}

/* ---- life ------------------------------------------------------------------- */

/* A descriptor for each one followed; the hard limit is as far as one may go. */
static void raise_limit(struct gf_actuator *a)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l))
		return;
	if (l.rlim_cur < l.rlim_max) {
		struct rlimit up = { l.rlim_max, l.rlim_max };
		if (!setrlimit(RLIMIT_NOFILE, &up))
			l = up;
	}
	uint64_t room = l.rlim_cur > 4 * SPARE_FDS ? (l.rlim_cur - SPARE_FDS) / 2 : 16;
	a->o.follow = (uint32_t)GF_MIN((uint64_t)a->o.follow, room);
}

static int start_thread(struct gf_actuator *a, struct gf_err *err)
{
	struct sched_param p = { .sched_priority = a->o.rt_priority };
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attr, SCHED_OTHER);
	int r = gf_reaper_start(&a->reaper, &attr);
	if (!r && a->o.rt_priority) {
		pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
		pthread_attr_setschedparam(&attr, &p);
	}
	if (!r)
		r = pthread_create(&a->thread, &attr, actuator_main, a);
	a->started = !r;
	pthread_attr_destroy(&attr);
	if (r == EPERM)
		return gf_err_set(err, r, "real-time priority %d is not permitted: run as root or set it to 0", a->o.rt_priority);
	return r ? gf_err_set(err, r, "cannot start the actuator's thread: %s", strerror(r)) : 0;
}

static int watch(struct gf_actuator *a, int fd, uint64_t tag)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = tag };

	return epoll_ctl(a->epoll_fd, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

/* verdict_fd should not block when read (an eventfd with EFD_NONBLOCK). It stays
 * the caller's and must outlive the actuator. */
int gf_actuator_create(const struct gf_actuator_opts *opts, int verdict_fd, gf_verdict_source source,
		       void *source_arg, gf_event_sink sink, void *sink_arg,
		       struct gf_actuator **ret, struct gf_err *err)
{
	struct gf_actuator *a = calloc(1, sizeof *a);

	if (!a)
		return gf_err_set(err, ENOMEM, "no memory for the actuator");
	a->o = *opts;
	if (!a->o.follow)
		a->o.follow = 4096;
	if (!a->o.follow_ns)
		a->o.follow_ns = 30000000000ull;
	if (!a->o.tell_ns)
		a->o.tell_ns = 1000000000ull;
	raise_limit(a);
	a->verdict_fd = verdict_fd;
	a->source = source;
	a->source_arg = source_arg;
	a->results.sink = sink;
	a->results.sink_arg = sink_arg;
	a->results.target_index = a->o.target_index;
	gf_reaper_init(&a->reaper);
	pthread_mutex_init(&a->engine_lock, NULL);
	a->engine.fd = -1;
	a->sysrq = open(a->o.sysrq ? a->o.sysrq : "/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);
	a->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	a->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	a->victim = calloc(a->o.follow, sizeof *a->victim);
	int r = a->epoll_fd < 0 || a->stop_fd < 0 ? -errno : 0;
	if (!r && !a->victim)
		r = -ENOMEM;
	for (uint32_t i = 0; !r && i < a->o.follow; i++)
		a->victim[i].pidfd = -1;
	if (!r)
		r = watch(a, verdict_fd, TAG_VERDICT);
	if (!r)
		r = watch(a, a->stop_fd, TAG_STOP);
	if (r)
		gf_err_set(err, -r, "cannot set the actuator up: %s", strerror(-r));
	else
		r = start_thread(a, err);
	if (r) {
		gf_actuator_destroy(a);
		return r;
	}
	*ret = a;
	return 0;
}

void gf_actuator_destroy(struct gf_actuator *a)
{
	uint64_t one = 1;

	if (!a)
		return;
	if (a->started && write(a->stop_fd, &one, sizeof one) == sizeof one)
		pthread_join(a->thread, NULL);
	gf_reaper_deinit(&a->reaper);
	for (uint32_t i = 0; a->victim && i < a->o.follow; i++)
		if (a->victim[i].pidfd >= 0)
			close(a->victim[i].pidfd);
	if (a->epoll_fd >= 0)
		close(a->epoll_fd);
	if (a->stop_fd >= 0)
		close(a->stop_fd);
	if (a->sysrq >= 0)
		close(a->sysrq);
	pthread_mutex_destroy(&a->engine_lock);
	free(a->victim);
	free(a);
}
