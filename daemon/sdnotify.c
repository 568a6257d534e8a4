/* SPDX-License-Identifier: MIT */
#include "daemon/sdnotify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int open_socket(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	size_t n = strlen(path);

	if ((*path != '/' && *path != '@') || n < 2 || n >= sizeof at.sun_path)
		return -1;
	memcpy(at.sun_path, path, n);
	if (*path == '@')
		at.sun_path[0] = 0; /* abstract namespace: the length counts, there is no NUL at the end */
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (*path == '/'));
	if (fd >= 0 && connect(fd, (struct sockaddr *)&at, len)) {
		close(fd);
		return -1;
	}
	return fd;
}

void gf_notify_init(struct gf_notify *n)
{
	const char *path = getenv("NOTIFY_SOCKET"), *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

	*n = (struct gf_notify){ .fd = path ? open_socket(path) : -1 };
	if (n->fd >= 0 && usec && (!pid || strtol(pid, NULL, 10) == getpid())) {
		unsigned long long us = strtoull(usec, NULL, 10);
		n->watchdog_ns = us < 3600000000ull * 1000 ? us * 1000 : 0;
	}
	unsetenv("NOTIFY_SOCKET"); /* hooks have no business with it */
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

void gf_notify_deinit(struct gf_notify *n)
{
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
}

void gf_notify(const struct gf_notify *n, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	if (n->fd < 0)
		return;
	va_start(ap, fmt);
	int len = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (len < 0)
		return;
	if ((size_t)len >= sizeof text)
		len = sizeof text - 1;
	/* a manager too busy to take it gets the next one */
	if (send(n->fd, text, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
}

void gf_notify_reloading(const struct gf_notify *n)
{
	gf_notify(n, "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=reloading the policy", (unsigned long long)(now_ns() / 1000));
}

void gf_notify_heartbeat(struct gf_notify *n, uint64_t last_tick_ns)
{
	if (n->fd < 0 || !n->watchdog_ns || last_tick_ns == n->last_tick_ns)
		return;
	uint64_t now = now_ns();
	if (n->last_ping_ns && now - n->last_ping_ns < n->watchdog_ns / 2)
		return;
	gf_notify(n, "WATCHDOG=1");
	n->last_ping_ns = now;
	n->last_tick_ns = last_tick_ns;
}

int gf_notify_timeout(const struct gf_notify *n)
{
	if (n->fd < 0 || !n->watchdog_ns)
		return -1;
	uint64_t due = n->last_ping_ns + n->watchdog_ns / 2, now = now_ns();
	/* overdue: the heartbeat stood still when we looked; look again soon, not at once */
	uint64_t soon = n->watchdog_ns / 20 / 1000000 + 1;
	return due > now ? (int)((due - now) / 1000000) + 1 : (int)soon;
}
