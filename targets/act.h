/* SPDX-License-Identifier: MIT
 *
 * One action on one process, in two halves, so that many can be made ready
 * before the first is sent. Private to the actuator.
 */
#ifndef GPUFAS_ACT_H
#define GPUFAS_ACT_H

#include <stdbool.h>

#include "gpufas/event.h"

/* All checks of gf_act. ret_pidfd: the checked process, the caller's. */
int gf_act_prepare(const struct gf_verdict *v, int *ret_pidfd);
/* The last call; with GF_VERDICT_OBSERVE only whether it would be permitted. */
int gf_act_send(const struct gf_verdict *v, int pidfd);
/* Whether the signal is meant to end the process, so that its exit is awaited. */
bool gf_act_is_lethal(const struct gf_verdict *v);

/* Kills a v2 cgroup at once, if exactly the n pids listed are in it, and nothing
 * below it, and all of the fds pidfds (those that are not -1) still live: then the
 * pids are theirs. path is relative to the v2 mount. 0, or -errno: nothing was done. */
int gf_cgroup_kill(const char *path, const int32_t *pids, const int *pidfds, size_t fds, size_t n);
/* The v2 cgroup of a process: 0, -ENOENT when it is in none but the root. */
int gf_cgroup_of(int32_t pid, char *path, size_t size);

#endif
