/* SPDX-License-Identifier: MIT
 *
 * Where all events come together: numbered, put into words, kept for a while,
 * handed to the log, the audit file, hooks and clients.
 */
#ifndef GPUFAS_DAEMON_REPORTER_H
#define GPUFAS_DAEMON_REPORTER_H

#include "daemon/audit.h"
#include "daemon/hooks.h"
#include "daemon/jbuf.h"
#include "daemon/policy.h"
#include "gpu/engine.h"

#define GF_REPORTER_KEPT 1024u

struct gf_reporter;

/* One target. */
struct gf_reporter_source {
	/* Where its engine's events come from: as gf_engine_events; fd readable when there are some (-1: none). */
	size_t (*take)(void *arg, struct gf_event *buf, size_t n);
	void *arg;
	int fd;
	struct gf_policies *policies;
	const char *target;     /* borrowed */
};

struct gf_reporter_opts {
	const struct gf_reporter_source *source; /* copied; an event's `target` is the number of its source, */
	size_t sources;                          /* or any beyond: the daemon as a whole */
	struct gf_hooks *hooks; /* may be NULL; so may audit */
	struct gf_audit *audit;
};

struct gf_action_count {
	char *rule, *action;
	uint32_t target;
	uint64_t n;
};

struct gf_reporter_stats {
	uint64_t events;   /* so far */
	uint64_t lost;     /* that found the way to here full */
	uint64_t kinds[GF_EV_DAEMON + 1];
	uint64_t held_back[GF_HB_BUSY + 1];
	uint64_t queued;   /* held here: not yet reported, or kept for clients */
};

/* Starts the thread. It waits for nothing but its sources: writing is the log's
 * and the audit's threads' business. */
int gf_reporter_create(const struct gf_reporter_opts *opts, struct gf_reporter **ret, struct gf_err *err);
/* Takes what is still in the sources, then ends the thread; what comes later is
 * taken and goes nowhere, so that audit and actuator may be stopped after it. */
void gf_reporter_stop(struct gf_reporter *r);
void gf_reporter_destroy(struct gf_reporter *r);

/* For the actuator (gf_event_sink): copies the event; never blocks. Any thread. */
void gf_reporter_sink(void *reporter, const struct gf_event *ev);
/* A DAEMON event with this sentence; it also goes to the log. Any thread. */
__attribute__((format(printf, 2, 3)))
void gf_reporter_say(struct gf_reporter *r, const char *fmt, ...);
/* The same about one target, and with a level of syslog. */
__attribute__((format(printf, 4, 5)))
void gf_reporter_say_of(struct gf_reporter *r, uint32_t target, int level, const char *fmt, ...);

/* Readable when there is a new event; for who follows. */
int gf_reporter_fd(struct gf_reporter *r);

/* Which events; NULL: all. */
struct gf_reporter_filter {
	const char *rule; /* NULL: of all */
	int target;       /* number of its source, -1: of all */
};

/* Events as JSON objects, in the order of their arrival, each handed to put();
 * those after position pos, at most `max`, that the filter lets through. Returns the
 * position to go on from; ret_lost (may be NULL): how many after pos are not kept
 * any more. put() returning false ends the walk before that event counts. put
 * must not call the reporter. */
typedef bool (*gf_reporter_put)(void *arg, const char *json, size_t n);
uint64_t gf_reporter_read(struct gf_reporter *r, uint64_t pos, const struct gf_reporter_filter *f, size_t max,
			  gf_reporter_put put, void *arg, uint64_t *ret_lost);
/* Position so that the last n events (of those that the filter lets through) follow. */
uint64_t gf_reporter_last(struct gf_reporter *r, size_t n, const struct gf_reporter_filter *f);
/* Position so that the events kept with numbers over seq follow. */
uint64_t gf_reporter_since(struct gf_reporter *r, uint64_t seq);
/* Appends the event with this number to b; false: it is not kept (any more). */
bool gf_reporter_find(struct gf_reporter *r, uint64_t seq, struct gf_jbuf *b);

/* target: those of one; (uint32_t)-1: of all together. */
void gf_reporter_stats(struct gf_reporter *r, uint32_t target, struct gf_reporter_stats *ret);
/* Calls fn for each (rule, action) that has been taken. */
void gf_reporter_actions(struct gf_reporter *r, void (*fn)(void *arg, const struct gf_action_count *c), void *arg);

#endif
