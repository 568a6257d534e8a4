/* SPDX-License-Identifier: MIT
 *
 * Programs that `run HOOK` starts.
 */
#ifndef GPUFAS_DAEMON_HOOKS_H
#define GPUFAS_DAEMON_HOOKS_H

#include "daemon/config.h"

#define GF_HOOK_TIMEOUT_S 30
#define GF_HOOK_RUNNING 4

struct gf_hooks;

/* What a hook is told, as environment: GPUFAS_RULE, GPUFAS_EVENT, GPUFAS_PID,
 * GPUFAS_COMM, GPUFAS_UID, GPUFAS_TARGET, GPUFAS_TEXT. PATH is the usual one;
 * nothing else is passed on. */
struct gf_hook_facts {
	const char *rule, *comm, *target, *text;
	uint64_t event;
	int32_t pid; /* 0: no process */
	uint32_t uid;
};

/* A thread that starts at most GF_HOOK_RUNNING programs at a time, in order, and
 * kills a hook's process group after timeout_s. What became of each goes to the log. */
int gf_hooks_create(const struct gf_config *c, unsigned timeout_s, struct gf_hooks **ret, struct gf_err *err);
void gf_hooks_destroy(struct gf_hooks *h); /* kills what still runs */
/* Programs from now on. -ENOMEM: the old ones stay. */
int gf_hooks_configure(struct gf_hooks *h, const struct gf_config *c);
/* Never blocks. -ENOENT: no such hook; -ENOBUFS: 64 are waiting; -ENOMEM. */
int gf_hooks_run(struct gf_hooks *h, const char *name, const struct gf_hook_facts *facts);

#endif
