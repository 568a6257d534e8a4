/* SPDX-License-Identifier: MIT
 *
 * A second policy beside the one in force: on the same samples, in observe mode, by an engine of its own whose ticks follow
 * those of the first on the same thread, when what that one wants done is on its way. What the two would do is compared as it
 * happens.
 *
 * Where a GPU samples a guest by itself there is no table on the host. There the shadow is *apart*: its engine has a view of the
 * guest of its own and a thread of its own, with the same period; the device knows nothing of it. What the policy in force does is
 * then learnt from its events. Of whom that one ended before the shadow looked again nothing can be said: such differences are `unseen`.
 */
#ifndef GPUFAS_DAEMON_SHADOW_H
#define GPUFAS_DAEMON_SHADOW_H

#include "daemon/config.h"
#include "daemon/jbuf.h"
#include "daemon/policy.h"
#include "gpu/engine.h"

#define GF_SHADOW_KEPT 16u
#define GF_SHADOW_WITHIN_NS 10000000000ull /* the same act on the same process, so much earlier or later, is no difference */

struct gf_watch;
struct gf_shadow;

struct gf_shadow_difference {
	bool shadow;        /* the shadow alone would have; else the policy in force alone did */
	bool unseen;        /* its process had gone when the shadow, which samples by itself, looked next */
	struct gf_event ev;
};

struct gf_shadow_stats {
	uint64_t ticks, missed; /* missed: a reload was just exchanging it */
	uint64_t actions, active_actions; /* of the shadow, of the policy in force, while both were evaluated */
	uint64_t agreed, only_shadow, only_active;
	uint64_t unseen;    /* of only_active */
	uint64_t lost;      /* actions of the policy in force for which there was no room */
	uint64_t eval_avg_ns, total_avg_ns;
	bool apart;         /* on samples of its own */
	bool stale;
	char sample_error[160];
	uint32_t kept;      /* of last[], the newest at (only_shadow + only_active - 1) % GF_SHADOW_KEPT */
	struct gf_shadow_difference last[GF_SHADOW_KEPT];
};

/* For a watch with a target; there is no engine yet. -ENOMEM. */
int gf_shadow_create(struct gf_watch *w, struct gf_shadow **ret);
void gf_shadow_destroy(struct gf_shadow *s); /* when the watch's engine does not tick any more */
/* With the watch's engine: those that are apart have threads. Before and after that there are none. */
int gf_shadow_start(struct gf_shadow *s, struct gf_err *err);
void gf_shadow_stop(struct gf_shadow *s);
/* gf_engine_opts.after; arg is the shadow. */
void gf_shadow_tick(void *shadow, int rc, const struct gf_event *ev, uint32_t n);
/* Events of the watch's engine, as the reporter has taken them. s may be NULL. */
void gf_shadow_saw(struct gf_shadow *s, const struct gf_event *ev, size_t n);
/* p in place of what there was (NULL: none), while the engine ticks or not. active: the one in force. On an error there is none, and status says why. */
int gf_shadow_set(struct gf_shadow *s, struct gf_policy *active, struct gf_policy *p, struct gf_err *err);

/* What the configuration says of n targets: ret[i] is NULL where there is no shadow. All or none, as gf_policy_load_all(). */
int gf_shadow_load(const struct gf_config *c, const struct gf_config_target *t, size_t n, struct gf_target *const *target,
		   struct gf_policy **ret, struct gf_policy_report *rep);

/* Whether there is one; what it has found so far. */
bool gf_shadow_stats(struct gf_shadow *s, struct gf_shadow_stats *ret);
/* "shadow":{...} of a target in status; null where there is none. */
void gf_shadow_json(struct gf_shadow *s, struct gf_jbuf *b);

#endif
