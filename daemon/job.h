/* SPDX-License-Identifier: MIT
 *
 * What may take long for one target (a signal into a guest, a look at its kernel's types) on a thread of the
 * target's own: control and watchdog never wait for it, and no target for another.
 */
#ifndef GPUFAS_DAEMON_JOB_H
#define GPUFAS_DAEMON_JOB_H

#include <stdbool.h>

#include "gpufas/err.h"

struct gf_worker;

/* Every job begins with this. */
struct gf_job {
	struct gf_job *next;
	void (*run)(struct gf_job *j);           /* on the worker's thread */
	/* On the thread that calls gf_worker_done or gf_worker_destroy; frees it. ran: false where the daemon ends first. */
	void (*done)(struct gf_job *j, bool ran);
};

/* done_fd: an eventfd (borrowed) that becomes readable when a job is done. The thread starts with the first job. */
int gf_worker_create(int done_fd, struct gf_worker **ret, struct gf_err *err);
/* Waits for the job under way; those that wait are not run. All of them are done. */
void gf_worker_destroy(struct gf_worker *w);
/* Takes the job. -EBUSY: too many wait; then, and on other errors, it is still the caller's. */
int gf_worker_put(struct gf_worker *w, struct gf_job *j, struct gf_err *err);
/* Calls done() of what has been run. */
void gf_worker_done(struct gf_worker *w);

#endif
