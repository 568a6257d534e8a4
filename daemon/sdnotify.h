/* SPDX-License-Identifier: MIT
 *
 * sd_notify(3) and its watchdog, by hand: a datagram to $NOTIFY_SOCKET is all
 * that it is, and a library for it would be linked into a process that must not
 * fail.
 */
#ifndef GPUFAS_DAEMON_SDNOTIFY_H
#define GPUFAS_DAEMON_SDNOTIFY_H

#include <stdbool.h>
#include <stdint.h>

struct gf_notify {
	int fd;                /* -1: nobody wants to know */
	uint64_t watchdog_ns;  /* how often a sign of life is wanted at least; 0: never */
	uint64_t last_ping_ns; /* CLOCK_MONOTONIC */
	uint64_t last_tick_ns; /* heartbeat that went with the last ping */
};

/* From NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, which are then removed from
 * the environment. Never fails: at worst nothing is sent. */
void gf_notify_init(struct gf_notify *n);
void gf_notify_deinit(struct gf_notify *n);

/* Sends lines "KEY=VALUE" separated by newlines. */
__attribute__((format(printf, 2, 3)))
void gf_notify(const struct gf_notify *n, const char *fmt, ...);
/* RELOADING=1 with the MONOTONIC_USEC that systemd's Type=notify-reload wants. */
void gf_notify_reloading(const struct gf_notify *n);

/* WATCHDOG=1, when half of the interval is over and the engine's heartbeat (the
 * monotonic time of its last tick) has advanced since the last one: a daemon
 * whose ticks stand still lets systemd's watchdog run out. */
void gf_notify_heartbeat(struct gf_notify *n, uint64_t last_tick_ns);
/* Milliseconds until gf_notify_heartbeat wants to be called, -1: never. */
int gf_notify_timeout(const struct gf_notify *n);

#endif
