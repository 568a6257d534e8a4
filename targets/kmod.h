/* SPDX-License-Identifier: MIT
 *
 * The kernel module on this machine: opens /dev/gpufas, maps its region, and does so again when it has
 * gone and come back.
 *
 * Threads. A keeper opens, maps and unmaps; only it waits for the module. The engine's thread looks at the region between
 * gf_kmod_enter() and gf_kmod_leave() and waits for nothing. Who delivers takes a lock that the keeper also takes before it unmaps.
 */
#ifndef GPUFAS_KMOD_H
#define GPUFAS_KMOD_H

#include <stdbool.h>
#include <stddef.h>

#include "gpu/mail.h"
#include "gpufas/err.h"
#include "gpufas/event.h"

struct gf_kmod;

/* How a region comes about and ends; tests have their own. */
struct gf_kmod_dev {
	/* 0: ret_map (len bytes) is the region, ret_fd what it is held by. -errno with a sentence. */
	int (*open)(void *arg, uint32_t rows, uint32_t want, uint64_t period_ns, int *ret_fd, uint8_t **ret_map, uint64_t *ret_len, struct gf_err *err);
	int (*arm)(void *arg, int fd, uint32_t flags);  /* GPUFAS_ARM_*; -errno */
	int (*kick)(void *arg, int fd);                 /* the module looks into its mailbox: 0, -errno */
	void (*close)(void *arg, int fd, uint8_t *map, uint64_t len);
	void *arg;
};

struct gf_kmod_opts {
	const char *path;        /* NULL: /dev/gpufas */
	const struct gf_kmod_dev *dev; /* NULL: the device; copied */
	uint32_t rows;
	uint64_t period_ns;
	const int32_t *self_pids;/* never to be touched, beside this process and its children */
	size_t self_count;
	bool deliver;            /* verdicts go by it, too */
	bool check_pids;         /* false: the table need not hold this process (tests) */
	/* News (there, gone), one sentence; level as syslog's. The keeper's thread. */
	void (*say)(void *arg, int level, const char *text);
	void *say_arg;
};

/* Tries to open it once before it returns: whether it is there then, gf_kmod_up() says. -ENOMEM. Copies opts. */
int gf_kmod_create(const struct gf_kmod_opts *o, struct gf_kmod **ret, struct gf_err *err);
void gf_kmod_destroy(struct gf_kmod *k);

bool gf_kmod_up(struct gf_kmod *k);
bool gf_kmod_present(struct gf_kmod *k); /* there is one, be it of use or not */
/* Whether it is there, in a few words: "kmod", or why not. Any thread. Returns buf. */
const char *gf_kmod_why(struct gf_kmod *k, char *buf, size_t n);

/* The region as it is now, or NULL; it stays mapped until leave. One thread only. */
const struct gf_region *gf_kmod_enter(struct gf_kmod *k);
void gf_kmod_leave(struct gf_kmod *k);
/* The region for a device that looks at it, and writes into the second half of its mailbox, by itself; NULL: there is none, it is held, or just in use (to be asked again).
 * It stays mapped until it is let go of, which is due as soon as gf_kmod_holds() says false. */
const struct gf_region *gf_kmod_hold(struct gf_kmod *k);
bool gf_kmod_holds(struct gf_kmod *k, const struct gf_region *r);
void gf_kmod_let_go(struct gf_kmod *k);
/* What was read cannot be, or the table stands: the keeper closes it and opens it anew. The thread of enter. */
void gf_kmod_suspect(struct gf_kmod *k, const char *why);
void gf_kmod_want(struct gf_kmod *k, uint32_t want); /* enum gf_rec_have. Any thread */

/* What the module may do: GPUFAS_ARM_ACT and so on; 0 while only observing. Any thread. */
void gf_kmod_arm(struct gf_kmod *k, uint32_t flags);
bool gf_kmod_delivers(struct gf_kmod *k); /* it is there, and armed to act */

/* What has become of a verdict that was sent by it. */
struct gf_kmod_result {
	bool done;      /* false: it never came to it (not there, no room, no answer): by another road, if there is one */
	int error;      /* 0, -errno */
	uint8_t why;    /* enum gf_refused */
	bool exited;    /* it is gone already */
};

/* Signals and last resorts: sends those of n verdicts whose skip is 0, has the module look, and takes its answers. Waits for up to a fifth of a
 * second where there are none; then they are taken back. */
void gf_kmod_deliver(struct gf_kmod *k, const struct gf_verdict *v, const int *skip, size_t n, struct gf_kmod_result *ret);
/* One signal by hand, on the caller's thread: v->start_ns to the clock tick, exact afterwards. Waits until it is answered and, of one that
 * ends processes, a moment for the end. 0; or -errno with a sentence's end, and nothing was done (but where that says that it may have been). */
int gf_kmod_act(struct gf_kmod *k, struct gf_verdict *v, struct gf_event_member *ret, struct gf_err *err);
bool gf_kmod_can(const struct gf_verdict *v); /* whether that is something for the mailbox at all */
/* v as the module wants it, without seq and check. */
void gf_kmod_verdict(const struct gf_verdict *v, uint64_t deadline_ns, struct gpufas_verdict *ret);
/* enum gf_refused of enum gpufas_why; GF_REF_NO_ROAD for what is not known. */
uint8_t gf_kmod_refused(uint16_t why);

#endif
