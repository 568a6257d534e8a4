/* SPDX-License-Identifier: MIT
 *
 * A thread that does slow writing for others: whoever has a line puts it here
 * and goes on; only this thread waits for a disk, a pipe or a terminal.
 */
#ifndef GPUFAS_DAEMON_OUTBOX_H
#define GPUFAS_DAEMON_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>

#include "gpufas/err.h"

struct gf_outbox;

struct gf_outbox_opts {
	const char *name;       /* thread's name, at most 15 bytes */
	size_t max_bytes;       /* waiting at a time; what comes on top is lost and counted */
	void (*write)(void *arg, const char *line, size_t n); /* on the outbox's thread */
	void (*idle)(void *arg); /* the queue has just been emptied; may be NULL */
	void *arg;
};

int gf_outbox_create(const struct gf_outbox_opts *opts, struct gf_outbox **ret, struct gf_err *err);
/* Copies the line. Never waits for the writing. 0, -ENOBUFS (full), -ENOMEM. */
int gf_outbox_put(struct gf_outbox *o, const char *line, size_t n);
uint64_t gf_outbox_lost(struct gf_outbox *o);
uint64_t gf_outbox_queued(struct gf_outbox *o);
/* Nothing waits, nothing is being written, and idle() has been through since the last line. */
bool gf_outbox_settled(struct gf_outbox *o);
/* Gives the thread up to two seconds to write what waits. A thread that a disk
 * holds is left behind (and its memory with it): stopping must not hang. Returns
 * 0, or -ETIMEDOUT when it was left: `arg` must then stay valid. */
int gf_outbox_destroy(struct gf_outbox *o);

/* A thread with all signals blocked and a stack that fits into a locked memory budget. */
int gf_thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *arg, struct gf_err *err);
/* Ends one that looks at *stop whenever it is woken. */
void gf_thread_end(pthread_t thread, pthread_mutex_t *lock, pthread_cond_t *cond, bool *stop);
void gf_cond_init(pthread_cond_t *cond); /* its times are CLOCK_MONOTONIC's */

#endif
