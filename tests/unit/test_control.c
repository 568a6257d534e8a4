/* SPDX-License-Identifier: MIT
 *
 * The control socket: framing, limits, clients that misbehave. The commands are
 * stand-ins; what real ones answer is tests/daemon's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/control.h"

static char dir[64], path[96];
static struct gf_control *ctl;
static struct gf_reporter *reporter;
static struct gf_policies *policies;
static uint64_t waiting;

static void handle(void *arg, struct gf_client *c, const char *cmd, json_t *rq)
{
	struct gf_jbuf b = { 0 };

	(void)arg;
	if (!strcmp(cmd, "later")) {
		waiting = gf_client_defer(c);
	} else if (!strcmp(cmd, "follow")) {
		assert_int_equal(gf_client_follow(c, (uint64_t)json_integer_value(json_object_get(rq, "pos")), NULL), 0);
		gf_jbuf_str(&b, "following");
		gf_client_answer(c, &b);
	} else if (!strcmp(cmd, "big")) {
		gf_jbuf_open(&b, '[');
		for (int i = 0; i < 200000; i++)
			gf_jbuf_int(&b, i);
		gf_jbuf_close(&b, ']');
		gf_client_answer(c, &b);
	} else {
		gf_jbuf_str(&b, cmd);
		gf_client_answer(c, &b);
	}
}

static int setup(void **state)
{
	struct gf_reporter_source from = { .fd = -1, .target = "t" };
	struct gf_reporter_opts r = { .source = &from, .sources = 1 };
	struct gf_err err = { "" };

	(void)state;
	strcpy(dir, "/tmp/gpufas-ctl.XXXXXX");
	if (!mkdtemp(dir) || gf_policies_create(&policies))
		return -1;
	from.policies = policies;
	if (gf_reporter_create(&r, &reporter, &err))
		return -1;
	snprintf(path, sizeof path, "%s/run/c.sock", dir);
	struct gf_control_opts o = {
		.path = path, .group = "", .mode = 0660, .handle = handle, .reporter = reporter, .stuck_ms = 300, .idle_ms = 100000,
	};
	if (gf_control_create(&o, &ctl, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	char cmd[128];

	(void)state;
	gf_control_destroy(ctl);
	gf_reporter_destroy(reporter);
	gf_policies_destroy(policies);
	snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
	return system(cmd);
}

static void turn(int ms)
{
	struct pollfd p[GF_CTL_MAX_CLIENTS + 2];
	size_t n = gf_control_prepare(ctl, p);
	poll(p, n, ms);
	gf_control_run(ctl, p, n);
}

static int dial(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(at.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
	turn(100);
	return fd;
}

static void say(int fd, const char *s)
{
	for (size_t n = strlen(s); n;) {
		ssize_t w = send(fd, s, n, MSG_NOSIGNAL);
		if (w < 0 && errno != EAGAIN)
			return;
		if (w > 0) {
			s += w;
			n -= (size_t)w;
		}
		turn(0);
	}
}

/* One answer as JSON, or NULL when the daemon has closed (or says nothing for `tries` turns). */
static json_t *hear(int fd, int tries)
{
	static char buf[4 << 20];
	size_t n = 0;

	while (tries) {
		turn(2);
		ssize_t r = recv(fd, buf + n, 1, 0);
		while (r == 1 && buf[n++] != '\n')
			r = recv(fd, buf + n, 1, 0);
		if (n && buf[n - 1] == '\n')
			return json_loadb(buf, n, 0, NULL);
		if (r == 0)
			return NULL;
		if (r < 0)
			tries--;
	}
	return NULL;
}

static void expect_error(int fd, const char *request, const char *part)
{
	say(fd, request);
	json_t *j = hear(fd, 500);
	assert_non_null(j);
	assert_int_equal(json_integer_value(json_object_get(j, "v")), 1);
	assert_true(json_is_false(json_object_get(j, "ok")));
	const char *e = json_string_value(json_object_get(j, "error"));
	if (!strstr(e, part))
		fail_msg("\"%s\" is not in \"%s\"", part, e);
	json_decref(j);
}

static void expect_data(int fd, const char *request, const char *want)
{
	if (request)
		say(fd, request);
	json_t *j = hear(fd, 500);
	assert_non_null(j);
	assert_true(json_is_true(json_object_get(j, "ok")));
	assert_string_equal(json_string_value(json_object_get(j, "data")), want);
	json_decref(j);
}

static void test_requests(void **state)
{
	int fd = dial();

	(void)state;
	expect_data(fd, "{\"v\":1,\"cmd\":\"ping\"}\n", "ping");
	expect_data(fd, "\r\n{\"v\":1,\"cmd\":\"crlf\"}\r\n", "crlf");
	/* several in one write, one in several */
	say(fd, "{\"v\":1,\"cmd\":\"a\"}\n{\"v\":1,\"cmd\":\"b\"}\n{\"v\":1,");
	expect_data(fd, NULL, "a");
	expect_data(fd, NULL, "b");
	expect_data(fd, "\"cmd\":\"c\"}\n", "c");
	/* without a newline, then end of file */
	say(fd, "{\"v\":1,\"cmd\":\"last\"}");
	shutdown(fd, SHUT_WR);
	expect_data(fd, NULL, "last");
	assert_null(hear(fd, 500));
	close(fd);
}

static void test_garbage(void **state)
{
	int fd = dial();
	char *big = malloc(GF_CTL_MAX_LINE + 16);

	(void)state;
	expect_error(fd, "hello\n", "not JSON");
	expect_error(fd, "[1]\n", "JSON object");
	expect_error(fd, "{\"v\":1,\"v\":1,\"cmd\":\"x\"}\n", "duplicate");
	expect_error(fd, "{\"cmd\":\"x\"}\n", "lacks its version");
	expect_error(fd, "{\"v\":2,\"cmd\":\"x\"}\n", "speaks version 1");
	expect_error(fd, "{\"v\":1}\n", "lacks \"cmd\"");
	expect_error(fd, "{\"v\":1,\"cmd\":7}\n", "lacks \"cmd\"");
	expect_error(fd, "{\"v\":1,\"cmd\":\"a\\u0000b\"}\n", "not JSON");
	expect_error(fd, "{\"v\":1,\"cmd\":\"\xff\"}\n", "not JSON");
	expect_error(fd, "{\"v\":1,\"cmd\":\"x\"} trailing\n", "not JSON");
	memset(big, '[', 100000);
	strcpy(big + 100000, "\n");
	expect_error(fd, big, "nested");
	expect_data(fd, "{\"v\":1,\"cmd\":\"still here\"}\n", "still here");
	memset(big, 'x', GF_CTL_MAX_LINE + 1);
	big[GF_CTL_MAX_LINE + 1] = 0;
	expect_error(fd, big, "at most 1048576 bytes");
	assert_null(hear(fd, 500)); /* where its next request begins cannot be known */
	free(big);
	close(fd);
}

static void test_deferred(void **state)
{
	int fd = dial(), other = dial();
	struct gf_jbuf b = { 0 };

	(void)state;
	say(fd, "{\"v\":1,\"cmd\":\"later\"}\n{\"v\":1,\"cmd\":\"after\"}\n");
	expect_data(other, "{\"v\":1,\"cmd\":\"other\"}\n", "other");
	assert_null(hear(fd, 5));
	gf_jbuf_str(&b, "late");
	gf_client_answer(gf_control_client(ctl, waiting), &b);
	expect_data(fd, NULL, "late");
	expect_data(fd, NULL, "after");
	/* one that goes away while it waits is not found any more */
	say(fd, "{\"v\":1,\"cmd\":\"later\"}\n");
	close(fd);
	for (int i = 0; i < 10; i++)
		turn(1);
	assert_null(gf_control_client(ctl, waiting));
	close(other);
}

static void test_never_reads(void **state)
{
	int fd = dial(), other = dial();

	(void)state;
	/* far more answers than a socket holds: the daemon must stop at the first */
	for (int i = 0; i < 50; i++)
		say(fd, "{\"v\":1,\"cmd\":\"big\"}\n");
	for (int i = 0; i < 20; i++)
		turn(1);
	assert_true(gf_control_waiting(ctl) < (2u << 20));
	expect_data(other, "{\"v\":1,\"cmd\":\"other\"}\n", "other");
	/* and is dropped after stuck_ms */
	for (int i = 0; i < 2000 && gf_control_waiting(ctl); i++)
		turn(1);
	assert_int_equal(gf_control_waiting(ctl), 0);
	close(fd);
	close(other);
}

static void test_follow(void **state)
{
	int fd = dial();
	json_t *j;

	(void)state;
	expect_data(fd, "{\"v\":1,\"cmd\":\"follow\",\"pos\":0}\n", "following");
	gf_reporter_say(reporter, "tab\tand \xff bad byte");
	j = hear(fd, 500);
	assert_non_null(j);
	const char *s = json_string_value(json_object_get(json_object_get(j, "event"), "sentence"));
	assert_string_equal(s, "tab\\x09and \\xff bad byte");
	json_decref(j);
	/* more than are kept: the follower hears how many it has missed. Said in
	 * portions that the reporter's inbox can hold, while the client is not served. */
	struct gf_reporter_stats st;
	gf_reporter_stats(reporter, GF_NONE, &st);
	for (uint64_t i = 0; i < GF_REPORTER_KEPT + 76; i += 100) {
		for (uint64_t k = i; k < i + 100; k++)
			gf_reporter_say(reporter, "event %llu", (unsigned long long)k);
		uint64_t want = st.events + i + 100;
		struct gf_reporter_stats now = st;
		while (now.events < want) {
			nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
			gf_reporter_stats(reporter, GF_NONE, &now);
		}
	}
	j = hear(fd, 500);
	assert_non_null(j);
	assert_int_equal(json_integer_value(json_object_get(j, "lost")), 1100 - GF_REPORTER_KEPT);
	json_decref(j);
	for (unsigned i = 1100 - GF_REPORTER_KEPT; i < 1100; i++) {
		char want[32];
		snprintf(want, sizeof want, "event %u", i);
		j = hear(fd, 500);
		assert_non_null(j);
		assert_string_equal(json_string_value(json_object_get(json_object_get(j, "event"), "sentence")), want);
		json_decref(j);
	}
	close(fd);
}

static void test_too_many(void **state)
{
	int fd[GF_CTL_MAX_CLIENTS];

	(void)state;
	for (int i = 0; i < GF_CTL_MAX_CLIENTS; i++)
		fd[i] = dial();
	for (int i = 0; i < 10; i++)
		turn(0);
	int one = dial();
	json_t *j = hear(one, 500);
	assert_non_null(strstr(json_string_value(json_object_get(j, "error")), "too many clients"));
	json_decref(j);
	close(one);
	close(fd[7]);
	for (int i = 0; i < 10; i++)
		turn(1);
	one = dial();
	expect_data(one, "{\"v\":1,\"cmd\":\"room\"}\n", "room");
	close(one);
	for (int i = 0; i < GF_CTL_MAX_CLIENTS; i++)
		if (i != 7)
			close(fd[i]);
}

static void test_socket_file(void **state)
{
	struct gf_control_opts o = { .path = path, .group = "", .mode = 0660, .handle = handle };
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct gf_control *second;
	struct gf_err err;
	struct stat st;
	char p[128];

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600); /* no group: nobody else */
	snprintf(p, sizeof p, "%s/run", dir);
	assert_int_equal(stat(p, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
	assert_int_equal(gf_control_create(&o, &second, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "another gpufasd is running"));
	/* a dead socket is replaced */
	snprintf(p, sizeof p, "%s/dead", dir);
	strcpy(at.sun_path, p);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
	close(fd);
	o.path = p;
	assert_int_equal(gf_control_create(&o, &second, &err), 0);
	gf_control_destroy(second);
	assert_int_not_equal(stat(p, &st), 0);
	/* a live one of somebody else's is not, nor a plain file */
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(gf_control_create(&o, &second, &err), -EADDRINUSE);
	close(fd);
	unlink(p);
	close(open(p, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(gf_control_create(&o, &second, &err), -EEXIST);
	assert_int_equal(stat(p, &st), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_requests), T(test_garbage), T(test_deferred), T(test_never_reads), T(test_follow), T(test_too_many),
		T(test_socket_file),
	};

	gf_log_setup(LOG_ERR, GF_LOG_JOURNAL_NO);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
