/* SPDX-License-Identifier: MIT
 *
 * An actuator between verdicts that a test puts in and what is said of them; processes that verdicts are on. After cmocka.h.
 */
#ifndef GPUFAS_TEST_RIG_H
#define GPUFAS_TEST_RIG_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "targets/actuator.h"
#include "targets/proc.h"

#define RIG_MOST 64u

struct rig {
	struct gf_actuator *a; /* rig_begin */
	int fd;                /* readable when there are verdicts */
	pthread_mutex_t lock;
	struct gf_verdict queue[RIG_MOST];
	size_t queued;
	struct gf_event event[2 * RIG_MOST];
	size_t events;
};

static inline size_t rig_source(void *arg, struct gf_verdict *buf, size_t n)
{
	struct rig *r = arg;

	pthread_mutex_lock(&r->lock);
	n = GF_MIN(n, r->queued);
	memcpy(buf, r->queue, n * sizeof *buf);
	memmove(r->queue, r->queue + n, (r->queued - n) * sizeof *buf);
	r->queued -= n;
	pthread_mutex_unlock(&r->lock);
	return n;
}

static inline void rig_sink(void *arg, const struct gf_event *ev)
{
	struct rig *r = arg;

	pthread_mutex_lock(&r->lock);
	if (r->events < 2 * RIG_MOST)
		r->event[r->events++] = *ev;
	pthread_mutex_unlock(&r->lock);
}

static inline void rig_ring(int fd)
{
	uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof one), sizeof one);
}

/* The queue, without an actuator. */
static inline void rig_init(struct rig *r)
{
	memset(r, 0, sizeof *r);
	pthread_mutex_init(&r->lock, NULL);
	r->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

static inline void rig_begin(struct rig *r, const struct gf_actuator_opts *o)
{
	rig_init(r);
	assert_int_equal(gf_actuator_create(o, r->fd, rig_source, r, rig_sink, r, &r->a, NULL), 0);
}

static inline void rig_end(struct rig *r)
{
	if (r->a)
		gf_actuator_destroy(r->a);
	close(r->fd);
}

/* All of one event. */
static inline void rig_put(struct rig *r, struct gf_verdict *v, size_t n)
{
	v[0].flags |= GF_VERDICT_LEAD;
	v[n - 1].flags |= GF_VERDICT_LAST;
	pthread_mutex_lock(&r->lock);
	memcpy(r->queue, v, n * sizeof *v);
	r->queued = n;
	pthread_mutex_unlock(&r->lock);
	rig_ring(r->fd);
}

static inline bool rig_said(struct rig *r, size_t n)
{
	for (int i = 0; i < 20000; i++) {
		pthread_mutex_lock(&r->lock);
		bool there = r->events >= n;
		pthread_mutex_unlock(&r->lock);
		if (there)
			return true;
		usleep(1000);
	}
	return false;
}

static inline int stat_of(pid_t pid, struct gf_proc_stat *ret)
{
	char name[64], buf[2048];

	snprintf(name, sizeof name, "/proc/%d/stat", pid);
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, buf, sizeof buf);
	close(fd);
	return n < 0 ? -errno : gf_proc_stat_parse(buf, (size_t)n, ret);
}

static inline struct gf_verdict verdict(pid_t pid, int sig)
{
	struct gf_proc_stat st = { 0 };

	stat_of(pid, &st);
	return (struct gf_verdict){ .event = 7, .pid = pid, .start_ns = st.start_ticks * GF_TICK_NS + 1234567,
				    .action = GF_ACT_SIGNAL, .arg = sig };
}

static inline pid_t sleeper(void)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	assert_true(pid > 0);
	return pid;
}

/* ---- of results --------------------------------------------------------------- */

static inline void rig_up_telling(struct rig *r, uint32_t follow, uint64_t follow_ns, uint64_t tell_ns)
{
	struct gf_actuator_opts o = { .follow = follow, .follow_ns = follow_ns, .tell_ns = tell_ns, .target_index = 3 };

	rig_begin(r, &o);
}

static inline void rig_up(struct rig *r, uint32_t follow, uint64_t follow_ns)
{
	rig_up_telling(r, follow, follow_ns, 0);
}

/* Waits until n members have been reported; how many of them have exited. */
static inline size_t members(struct rig *r, size_t n, size_t *ret_failed)
{
	size_t seen = 0, gone = 0, failed = 0;

	for (int tries = 0; tries < 20000 && seen < n; tries++) {
		seen = gone = failed = 0;
		pthread_mutex_lock(&r->lock);
		for (size_t i = 0; i < r->events; i++) {
			const struct gf_event *e = &r->event[i];
			assert_int_equal(e->kind, GF_EV_RESULT);
			assert_int_equal(e->target, 3);
			assert_int_equal(e->about, 7);
			assert_in_range(e->count, 1, GF_EVENT_MEMBERS);
			for (uint32_t m = 0; m < e->count; m++) {
				seen++;
				gone += e->u.member[m].exit_us != GF_NONE;
				failed += e->u.member[m].error != 0;
			}
		}
		pthread_mutex_unlock(&r->lock);
		usleep(1000);
	}
	assert_int_equal(seen, n);
	if (ret_failed)
		*ret_failed = failed;
	return gone;
}

/* ---- processes ---------------------------------------------------------------- */

static inline bool alive(pid_t pid)
{
	struct gf_proc_stat st;

	return !stat_of(pid, &st) && st.state != 'Z' && st.state != 'X';
}

static inline void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static inline int died_of(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

#endif
