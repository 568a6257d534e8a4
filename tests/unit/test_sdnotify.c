/* SPDX-License-Identifier: MIT
 *
 * sd_notify by hand: what arrives at a socket of systemd's kind, and that a
 * heartbeat that stands still is not passed on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/sdnotify.h"

/* A socket of the given name, "@" for the abstract namespace. */
static int receiver(const char *name)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	strcpy(at.sun_path, name);
	if (*name == '@')
		at.sun_path[0] = 0;
	assert_int_equal(bind(fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))), 0);
	return fd;
}

static const char *heard(int fd)
{
	static char buf[2048];
	ssize_t n = recv(fd, buf, sizeof buf - 1, 0);

	if (n < 0)
		return NULL;
	buf[n] = 0;
	return buf;
}

static void test_messages(void **state)
{
	char name[2][64];
	struct gf_notify n;

	(void)state;
	snprintf(name[0], sizeof name[0], "/tmp/gpufas-notify.%d", getpid());
	snprintf(name[1], sizeof name[1], "@gpufas-notify.%d", getpid());
	for (int i = 0; i < 2; i++) {
		int fd = receiver(name[i]);
		setenv("NOTIFY_SOCKET", name[i], 1);
		gf_notify_init(&n);
		assert_null(getenv("NOTIFY_SOCKET")); /* not for hooks */
		gf_notify(&n, "READY=1\nSTATUS=%d rules", 3);
		assert_string_equal(heard(fd), "READY=1\nSTATUS=3 rules");
		gf_notify_reloading(&n);
		unsigned long long us;
		assert_int_equal(sscanf(heard(fd), "RELOADING=1\nMONOTONIC_USEC=%llu\n", &us), 1);
		struct timespec t;
		clock_gettime(CLOCK_MONOTONIC, &t);
		assert_true(us > 0 && us <= (unsigned long long)t.tv_sec * 1000000 + (unsigned long long)t.tv_nsec / 1000);
		assert_int_equal(gf_notify_timeout(&n), -1); /* no watchdog was asked for */
		gf_notify_heartbeat(&n, 5);
		assert_null(heard(fd));
		gf_notify_deinit(&n);
		close(fd);
		if (i == 0)
			unlink(name[i]);
	}
}

static void test_nobody(void **state)
{
	static const char *const names[] = { "", "relative", "/no/such/socket", "@" };
	struct gf_notify n;

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		setenv("NOTIFY_SOCKET", names[i], 1);
		gf_notify_init(&n);
		assert_int_equal(n.fd, -1);
		gf_notify(&n, "READY=1");
		gf_notify_deinit(&n);
	}
}

static void test_heartbeat(void **state)
{
	char name[64], pid[16];
	struct gf_notify n;

	(void)state;
	snprintf(name, sizeof name, "@gpufas-notify.%d", getpid());
	snprintf(pid, sizeof pid, "%d", getpid());
	int fd = receiver(name);
	setenv("NOTIFY_SOCKET", name, 1);
	setenv("WATCHDOG_USEC", "20000", 1);
	setenv("WATCHDOG_PID", pid, 1);
	gf_notify_init(&n);
	assert_int_equal(n.watchdog_ns, 20000000);
	gf_notify_heartbeat(&n, 0);
	assert_null(heard(fd)); /* no tick yet */
	gf_notify_heartbeat(&n, 100);
	assert_string_equal(heard(fd), "WATCHDOG=1");
	/* half of the interval over, and the ticks stand still */
	nanosleep(&(struct timespec){ .tv_nsec = 30000000 }, NULL);
	gf_notify_heartbeat(&n, 100);
	assert_null(heard(fd));
	assert_true(gf_notify_timeout(&n) > 0); /* overdue, but no busy loop */
	gf_notify_heartbeat(&n, 101);
	assert_string_equal(heard(fd), "WATCHDOG=1");
	gf_notify_deinit(&n);
	/* meant for another process */
	setenv("NOTIFY_SOCKET", name, 1);
	setenv("WATCHDOG_USEC", "20000", 1);
	setenv("WATCHDOG_PID", "1", 1);
	gf_notify_init(&n);
	assert_int_equal(n.watchdog_ns, 0);
	gf_notify_deinit(&n);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages), cmocka_unit_test(test_nobody), cmocka_unit_test(test_heartbeat),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
