/* SPDX-License-Identifier: MIT
 *
 * Takes the memory of those who were killed (process_mrelease), which can take as long as it is large: by a thread aside.
 */
#ifndef GPUFAS_REAPER_H
#define GPUFAS_REAPER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define GF_REAP_RING 256u

struct gf_reaper {
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int fd[GF_REAP_RING];
	uint32_t head, tail;
	bool stop;
};

void gf_reaper_init(struct gf_reaper *r);
int gf_reaper_start(struct gf_reaper *r, const pthread_attr_t *attr); /* as pthread_create() */
/* pidfd stays the caller's. Where too many wait, or it is not started, nobody helps. */
void gf_reap(struct gf_reaper *r, int pidfd);
void gf_reaper_deinit(struct gf_reaper *r);

#endif
