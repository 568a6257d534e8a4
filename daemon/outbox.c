/* SPDX-License-Identifier: MIT */
#include "daemon/outbox.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct line {
	struct line *next;
	size_t n;
	char text[];
};

struct gf_outbox {
	struct gf_outbox_opts opts;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct line *head, **tail;
	size_t bytes;
	uint64_t lines, lost;
	bool stop, busy; /* busy: lines have been taken that idle() has not been told of */
};

/* Stacks are locked with everything else (mlockall by the engine): 8 MiB each,
 * the default, would be most of the daemon's memory. */
#define STACK_BYTES (256u << 10)

int gf_thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *arg, struct gf_err *err)
{
	pthread_attr_t attr;
	sigset_t all, old;

	pthread_attr_init(&attr);
#if !defined(__SANITIZE_ADDRESS__)
	pthread_attr_setstacksize(&attr, STACK_BYTES);
#endif
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	int r = pthread_create(ret, &attr, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (r)
		return gf_err_set(err, r, "cannot start the thread \"%s\": %s", name, strerror(r));
	pthread_setname_np(*ret, name);
	return 0;
}

void gf_thread_end(pthread_t thread, pthread_mutex_t *lock, pthread_cond_t *cond, bool *stop)
{
	pthread_mutex_lock(lock);
	*stop = true;
	pthread_cond_broadcast(cond);
	pthread_mutex_unlock(lock);
	pthread_join(thread, NULL);
}

void gf_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

static void *run(void *p)
{
	struct gf_outbox *o = p;

	pthread_mutex_lock(&o->lock);
	for (;;) {
		bool wrote = false;
		while (o->head) {
			struct line *l = o->head;
			o->busy = true;
			o->head = l->next;
			if (!o->head)
				o->tail = &o->head;
			pthread_mutex_unlock(&o->lock);
			o->opts.write(o->opts.arg, l->text, l->n);
			pthread_mutex_lock(&o->lock);
			o->bytes -= l->n;
			o->lines--;
			free(l);
			wrote = true;
		}
		if (wrote && o->opts.idle) {
			pthread_mutex_unlock(&o->lock);
			o->opts.idle(o->opts.arg);
			pthread_mutex_lock(&o->lock);
			o->busy = o->head != NULL;
			continue; /* something may have come meanwhile */
		}
		o->busy = false;
		if (o->stop)
			break;
		pthread_cond_wait(&o->more, &o->lock);
	}
	pthread_mutex_unlock(&o->lock);
	return NULL;
}

int gf_outbox_create(const struct gf_outbox_opts *opts, struct gf_outbox **ret, struct gf_err *err)
{
	struct gf_outbox *o = calloc(1, sizeof *o);

	if (!o)
		return gf_err_set(err, ENOMEM, "out of memory");
	o->opts = *opts;
	o->tail = &o->head;
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->more, NULL);
	int r = gf_thread_start(&o->thread, opts->name, run, o, err);
	if (r) {
		free(o);
		return r;
	}
	*ret = o;
	return 0;
}

int gf_outbox_put(struct gf_outbox *o, const char *line, size_t n)
{
	int r = 0;
	struct line *l = malloc(sizeof *l + n);

	if (l) {
		l->next = NULL;
		l->n = n;
		memcpy(l->text, line, n);
	}
	pthread_mutex_lock(&o->lock);
	if (!l) {
		o->lost++;
		r = -ENOMEM;
	} else if (o->bytes + n > o->opts.max_bytes) {
		o->lost++;
		r = -ENOBUFS;
	} else {
		*o->tail = l;
		o->tail = &l->next;
		o->bytes += n;
		o->lines++;
		l = NULL;
		pthread_cond_signal(&o->more);
	}
	pthread_mutex_unlock(&o->lock);
	free(l);
	return r;
}

uint64_t gf_outbox_lost(struct gf_outbox *o)
{
	pthread_mutex_lock(&o->lock);
	uint64_t n = o->lost;
	pthread_mutex_unlock(&o->lock);
	return n;
}

uint64_t gf_outbox_queued(struct gf_outbox *o)
{
	pthread_mutex_lock(&o->lock);
	uint64_t n = o->lines;
	pthread_mutex_unlock(&o->lock);
	return n;
}

int gf_outbox_destroy(struct gf_outbox *o)
{
	struct timespec until;

	if (!o)
		return 0;
	pthread_mutex_lock(&o->lock);
	o->stop = true;
	pthread_cond_signal(&o->more);
	pthread_mutex_unlock(&o->lock);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 2;
	if (pthread_timedjoin_np(o->thread, NULL, &until))
		return -ETIMEDOUT;
	pthread_mutex_destroy(&o->lock);
	pthread_cond_destroy(&o->more);
	free(o);
	return 0;
}

bool gf_outbox_settled(struct gf_outbox *o)
{
	pthread_mutex_lock(&o->lock);
	bool settled = !o->head && !o->busy;
	pthread_mutex_unlock(&o->lock);
	return settled;
}
