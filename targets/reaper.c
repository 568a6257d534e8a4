/* SPDX-License-Identifier: MIT */
#include "targets/reaper.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *reaper_main(void *arg)
{
	struct gf_reaper *r = arg;

	pthread_mutex_lock(&r->lock);
	while (!r->stop) {
		if (r->tail == r->head) {
			pthread_cond_wait(&r->cond, &r->lock);
			continue;
		}
		int fd = r->fd[r->tail++ % GF_REAP_RING];
		pthread_mutex_unlock(&r->lock);
#ifdef SYS_process_mrelease
		/* Help only: what fails here the exit itself will do. */
		syscall(SYS_process_mrelease, fd, 0);
#endif
		close(fd);
		pthread_mutex_lock(&r->lock);
	}
	while (r->tail != r->head)
		close(r->fd[r->tail++ % GF_REAP_RING]);
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

void gf_reap(struct gf_reaper *r, int pidfd)
{
	int fd = fcntl(pidfd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return;
	pthread_mutex_lock(&r->lock);
	bool room = r->head - r->tail < GF_REAP_RING;
	if (room)
		r->fd[r->head++ % GF_REAP_RING] = fd;
	pthread_cond_signal(&r->cond);
	pthread_mutex_unlock(&r->lock);
	if (!room)
		close(fd);
}

void gf_reaper_init(struct gf_reaper *r)
{
	pthread_mutexattr_t attr;

	/* It is an ordinary thread: whoever has the lock must not be kept from
	 * giving it back by what runs between its priority and the actuator's. */
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&r->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	pthread_cond_init(&r->cond, NULL);
}

int gf_reaper_start(struct gf_reaper *r, const pthread_attr_t *attr)
{
	int rc = pthread_create(&r->thread, attr, reaper_main, r);

	r->started = !rc;
	return rc;
}

void gf_reaper_deinit(struct gf_reaper *r)
{
	if (r->started) {
		pthread_mutex_lock(&r->lock);
		r->stop = true;
		pthread_cond_signal(&r->cond);
		pthread_mutex_unlock(&r->lock);
		pthread_join(r->thread, NULL);
	}
	pthread_mutex_destroy(&r->lock);
	pthread_cond_destroy(&r->cond);
}
