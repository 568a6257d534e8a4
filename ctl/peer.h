/* SPDX-License-Identifier: MIT
 *
 * The client's end of the control socket. Trusts nothing that comes back.
 */
#ifndef GPUFAS_CTL_PEER_H
#define GPUFAS_CTL_PEER_H

#include <jansson.h>
#include <stdbool.h>

#include "ctl/ctl.h"
#include "gpufas/err.h"

#define GF_PEER_TIMEOUT_MS 5000
#define GF_PEER_MAX_ANSWER (256u << 20) /* bytes of one answer: 30,000 processes are about 10 MiB */

struct gf_peer {
	const char *path; /* borrowed */
	char *buf;
	size_t len, cap;
	size_t scanned; /* bytes of buf known to hold no newline */
	int fd;         /* -1: not connected */
};

/* Connects. err says how to mend what is wrong: how to start the daemon, which
 * group to join. -errno. Close with gf_peer_close in any case. */
int gf_peer_open(struct gf_peer *c, const char *path, struct gf_err *err);
void gf_peer_close(struct gf_peer *c);

/* Sends {"v":1,"cmd":cmd, ...members}; members is stolen, may be NULL. -errno. */
int gf_peer_send(struct gf_peer *c, const char *cmd, json_t *members, struct gf_err *err);

/* The next line of the daemon's, parsed, version checked. timeout_ms: -1 for
 * ever, 0 only what is there. -EAGAIN (timeout 0), -ETIMEDOUT, -ECONNRESET (the
 * daemon closed), -EBADMSG (no answer of this protocol), -EINTR, -errno. */
int gf_peer_recv(struct gf_peer *c, int timeout_ms, json_t **ret, struct gf_err *err);

/* One request, one answer. *ret: the whole answer, its "ok" a boolean. */
int gf_peer_call(struct gf_peer *c, const char *cmd, json_t *members, json_t **ret, struct gf_err *err);

/* The same for a command: connects, asks, prints what is wrong. Returns an exit
 * code; on GF_EXIT_OK *ret is the answer's data. On GF_EXIT_NO *ret_diags (may be
 * NULL) is the answer's "diags" or NULL. The caller decrefs both. */
int gf_ctl_call(struct gf_ctl *ctl, const char *cmd, json_t *members, json_t **ret, json_t **ret_diags);

#endif
