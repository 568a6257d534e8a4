/* SPDX-License-Identifier: MIT
 *
 * What control.c (connections) and listen.c (the socket's file) share.
 */
#ifndef GPUFAS_DAEMON_CONTROL_INT_H
#define GPUFAS_DAEMON_CONTROL_INT_H

#include "daemon/control.h"

struct gf_listener {
	int fd, lock;
	dev_t dev; /* of the socket's file, so that no other's is removed */
	ino_t ino;
	gid_t gid; /* members may connect; (gid_t)-1: none */
};

int gf_listener_open(const struct gf_control_opts *opts, struct gf_listener *ret, struct gf_err *err);
void gf_listener_close(struct gf_listener *l, const char *path);
/* Uid 0, the daemon's own, or a member of the group. ret_uid is set either way. */
bool gf_listener_admits(const struct gf_listener *l, int fd, uid_t *ret_uid);

#endif
