/* SPDX-License-Identifier: MIT
 *
 * Inside the shadow: shadow.c (its engine, and what that looks at), shadow_compare.c (what both would do), shadow_json.c.
 */
#ifndef GPUFAS_DAEMON_SHADOW_INT_H
#define GPUFAS_DAEMON_SHADOW_INT_H

#include <pthread.h>

#include "daemon/daemon.h"

#define GF_SHADOW_PENDING 64u
#define GF_SHADOW_SEEN 64u /* actions of the policy in force on their way here, where a device ticks */

/* Something that one of the two did and the other has not done, or not yet. */
struct gf_shadow_deed {
	bool shadow, unseen; /* unseen: its process had gone when the shadow looked next */
	uint8_t action;
	int32_t arg;
	struct gf_event ev;
};

struct gf_shadow {
	struct gf_target mirror;  /* shows what the watch's target has sampled */
	struct gf_watch *watch;
	bool stale;
	/* Of the ticking thread, which only tries it, or of who exchanges the policy. */
	pthread_mutex_t turn;
	struct gf_engine *engine; /* NULL: there is none */
	struct gf_target *own;    /* its engine samples by itself, on a thread of its own; NULL: it looks at the mirror, behind the watch's ticks */
	bool started;             /* engines with threads of their own may run */
	struct gf_policy *policy, *active;
	uint64_t seq;             /* its events are numbered by themselves */
	struct gf_shadow_deed *pending; /* [GF_SHADOW_PENDING] */
	size_t pendings;
	uint64_t told;            /* the last event of the policy in force that has been looked at */
	struct gf_shadow_stats now;
	uint64_t skipped;         /* ticks that found the turn taken: the ticking thread's own */
	/* Between the reporter, which takes events out of the watch's engine, and the ticking thread. */
	pthread_mutex_t saw_lock;
	bool wants;               /* atomic: there is a policy */
	struct gf_event *saw;     /* [GF_SHADOW_SEEN] */
	size_t saws;
	uint64_t saw_lost;
	/* What others see; the ticking thread only tries it. */
	pthread_mutex_t lock;
	struct gf_shadow_stats shown;
	struct gf_policy *shown_policy;
	char why[256];            /* why there is none though one is configured */
};

/* What the shadow's engine and that of the policy in force (n events that are at hand) have said by this sample. shadow_compare.c */
void gf_shadow_compare(struct gf_shadow *s, const struct gf_sample *sample, const struct gf_event *active, uint32_t n);
void gf_shadow_publish(struct gf_shadow *s);

#endif
