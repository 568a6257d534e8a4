/* SPDX-License-Identifier: MIT
 *
 * The control socket: connections, lines, who may ask. What the commands mean
 * is commands.c's. Everything here is for one thread, and none of it blocks.
 */
#ifndef GPUFAS_DAEMON_CONTROL_H
#define GPUFAS_DAEMON_CONTROL_H

#include <jansson.h>
#include <poll.h>
#include <sys/types.h>

#include "daemon/jbuf.h"
#include "daemon/reporter.h"
#include "gpufas/control.h"
#include "gpufas/err.h"

struct gf_control;
struct gf_client;

/* A well-formed request of the right version. Must answer, fail, defer or follow. */
typedef void (*gf_control_handler)(void *arg, struct gf_client *c, const char *cmd, json_t *request);

struct gf_control_opts {
	const char *path;
	const char *group;     /* "" : none; one that does not exist: none, with a warning in the log */
	mode_t mode;
	gf_control_handler handle;
	void *arg;
	struct gf_reporter *reporter; /* for those who follow; may be NULL */
	int stuck_ms, idle_ms; /* 0: 30 s without reading, 120 s without asking */
};

/* Makes the directory (0755, one level) and the socket. A socket that nobody
 * listens on any more is replaced. -EADDRINUSE: another daemon has it. */
int gf_control_create(const struct gf_control_opts *opts, struct gf_control **ret, struct gf_err *err);
void gf_control_destroy(struct gf_control *s);

/* Descriptors to poll; at most GF_CTL_MAX_CLIENTS + 2 of them. */
size_t gf_control_prepare(struct gf_control *s, struct pollfd *p);
/* Milliseconds until something is due, -1: nothing. */
int gf_control_timeout(struct gf_control *s);
/* After poll: takes connections, reads, runs commands, writes. */
void gf_control_run(struct gf_control *s, const struct pollfd *p, size_t n);

/* Answers. data: the value of "data", consumed. */
void gf_client_answer(struct gf_client *c, struct gf_jbuf *data);
/* diags: a JSON array or NULL. */
__attribute__((format(printf, 3, 4)))
void gf_client_fail(struct gf_client *c, const char *diags, const char *fmt, ...);
/* The answer comes later: returns a number to find the client by, if it is still there. */
uint64_t gf_client_defer(struct gf_client *c);
struct gf_client *gf_control_client(struct gf_control *s, uint64_t id); /* or NULL */
/* Sends events after the reporter's position pos from now on, those that the filter (or NULL) lets through. -ENOMEM. */
int gf_client_follow(struct gf_client *c, uint64_t pos, const struct gf_reporter_filter *f);

uid_t gf_client_uid(const struct gf_client *c);
/* May it change things: uid 0 or the daemon's own. */
bool gf_client_privileged(const struct gf_client *c);
/* Bytes that wait for all clients together. */
size_t gf_control_waiting(const struct gf_control *s);

#endif
