/* SPDX-License-Identifier: MIT */
#include "daemon/job.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/outbox.h"

#define MAX_WAITING 64u

struct queue {
	struct gf_job *head, **tail;
};

struct gf_worker {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int done_fd;
	bool started, stop;
	unsigned n; /* that wait */
	struct queue wait, done;
};

static void put(struct queue *q, struct gf_job *j)
{
	j->next = NULL;
	*q->tail = j;
	q->tail = &j->next;
}

static struct gf_job *take(struct queue *q)
{
	struct gf_job *j = q->head;

	if (j)
		q->head = j->next;
	if (!q->head)
		q->tail = &q->head;
	return j;
}

static void *worker_thread(void *arg)
{
	struct gf_worker *w = arg;
	uint64_t one = 1;

	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		struct gf_job *j = take(&w->wait);
		if (!j) {
			pthread_cond_wait(&w->cond, &w->lock);
			continue;
		}
		w->n--;
		pthread_mutex_unlock(&w->lock);
		j->run(j);
		pthread_mutex_lock(&w->lock);
		put(&w->done, j);
		if (write(w->done_fd, &one, sizeof one) < 0)
			continue; /* the counter is full: whoever reads is awake */
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

int gf_worker_create(int done_fd, struct gf_worker **ret, struct gf_err *err)
{
	struct gf_worker *w = calloc(1, sizeof *w);

	if (!w)
		return gf_err_set(err, ENOMEM, "out of memory");
	w->done_fd = done_fd;
	w->wait.tail = &w->wait.head;
	w->done.tail = &w->done.head;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->cond, NULL);
	*ret = w;
	return 0;
}

int gf_worker_put(struct gf_worker *w, struct gf_job *j, struct gf_err *err)
{
	int r = 0;

	if (!w->started && (r = gf_thread_start(&w->thread, "gpufasd-job", worker_thread, w, err)))
		return r;
	w->started = true;
	pthread_mutex_lock(&w->lock);
	if (w->n == MAX_WAITING) {
		r = gf_err_set(err, EBUSY, "too many requests for this target are waiting; try again");
	} else {
		put(&w->wait, j);
		w->n++;
		pthread_cond_signal(&w->cond);
	}
	pthread_mutex_unlock(&w->lock);
	return r;
}

static void done_all(struct gf_worker *w, struct queue *q, bool ran)
{
	struct gf_job *j;

	for (;;) {
		pthread_mutex_lock(&w->lock);
		j = take(q);
		pthread_mutex_unlock(&w->lock);
		if (!j)
			return;
		j->done(j, ran);
	}
}

void gf_worker_done(struct gf_worker *w)
{
	done_all(w, &w->done, true);
}

void gf_worker_destroy(struct gf_worker *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->cond);
	pthread_mutex_unlock(&w->lock);
	if (w->started)
		pthread_join(w->thread, NULL);
	done_all(w, &w->done, true);
	done_all(w, &w->wait, false);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->cond);
	free(w);
}
