/* SPDX-License-Identifier: MIT
 *
 * Between kmod.c (keeper), kmod_mail.c (delivery) and kmod_dev.c (the device itself).
 */
#ifndef GPUFAS_KMOD_INT_H
#define GPUFAS_KMOD_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "targets/kmod.h"

struct gf_kmod {
	struct gf_kmod_opts o;
	struct gf_kmod_dev dev;
	int32_t *self;
	pthread_t thread;
	bool started;
	int wake_fd;
	atomic_bool end, suspect, absent;
	_Atomic(const char *) why_suspect; /* of text that stays */
	_Atomic(struct gf_region *) region;   /* the current one, or NULL */
	_Atomic(struct gf_region *) looking;  /* the engine's thread looks at it */
	_Atomic(struct gf_region *) held;     /* a device looks at it by itself */
	_Atomic uint32_t want, arm, armed;
	_Atomic uint64_t beat;
	pthread_mutex_t lock;  /* what is below */
	char why[256];         /* "" while it is there */
	int fd;
	uint8_t *map;
	uint64_t len;
	struct gf_mail mail;
	char said[256];        /* keeper's: the last sentence */
};

/* The device; arg is its path. */
extern const struct gf_kmod_dev gf_kmod_device;

#endif
