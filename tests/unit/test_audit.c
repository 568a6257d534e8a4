/* SPDX-License-Identifier: MIT
 *
 * The audit file: whole lines, limited size, and what happens when it cannot be
 * written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/audit.h"

static char dir[64];
static _Atomic int bad, mended;

static void trouble(void *arg, const char *text, uint64_t lost)
{
	(void)arg;
	(void)lost;
	if (text)
		bad++;
	else
		mended++;
}

static struct gf_audit *begin(uint64_t max, uint32_t keep, char *path)
{
	struct gf_audit_opts o = { .path = path, .max_size = max, .keep = keep, .trouble = trouble };
	struct gf_audit *a;

	bad = mended = 0;
	assert_int_equal(gf_audit_create(&o, &a, NULL), 0);
	return a;
}

static int setup(void **state)
{
	static char path[96];

	strcpy(dir, "/tmp/gpufas-audit.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof path, "%s/a.jsonl", dir);
	*state = path;
	return 0;
}

static int teardown(void **state)
{
	char cmd[128];

	(void)state;
	snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
	return system(cmd);
}

/* Lines of a file that are exactly "line <n>", n from `first` on; -1 if one is not. */
static int lines(const char *path, int first)
{
	char t[64], want[64];
	int n = 0;
	FILE *f = fopen(path, "re");

	if (!f)
		return 0;
	while (fgets(t, sizeof t, f)) {
		snprintf(want, sizeof want, "line %d\n", first + n++);
		if (strcmp(t, want)) {
			n = -1;
			break;
		}
	}
	fclose(f);
	return n;
}

static void put(struct gf_audit *a, int n)
{
	char t[64];
	gf_audit_put(a, t, (size_t)snprintf(t, sizeof t, "line %d", n));
}

static void test_appends(void **state)
{
	struct gf_audit *a = begin(1 << 20, 2, *state);
	struct stat st;

	for (int i = 0; i < 100; i++)
		put(a, i);
	gf_audit_destroy(a);
	a = begin(1 << 20, 2, *state);
	for (int i = 100; i < 150; i++)
		put(a, i);
	gf_audit_destroy(a);
	assert_int_equal(lines(*state, 0), 150);
	assert_int_equal(bad, 0);
	assert_int_equal(stat(*state, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_rotates(void **state)
{
	struct gf_audit *a = begin(100, 2, *state);
	char p[128];
	struct stat st;

	/* "line 10\n" is 8 bytes: 12 a file */
	for (int i = 10; i < 10 + 12 * 4 + 3; i++)
		put(a, i);
	gf_audit_destroy(a);
	assert_int_equal(lines(*state, 10 + 48), 3);
	snprintf(p, sizeof p, "%s.1", (char *)*state);
	assert_int_equal(lines(p, 10 + 36), 12);
	snprintf(p, sizeof p, "%s.2", (char *)*state);
	assert_int_equal(lines(p, 10 + 24), 12);
	snprintf(p, sizeof p, "%s.3", (char *)*state);
	assert_int_not_equal(stat(p, &st), 0);
}

static void test_keeps_none(void **state)
{
	struct gf_audit *a = begin(100, 0, *state);
	char p[128];
	struct stat st;

	for (int i = 10; i < 10 + 12 + 5; i++)
		put(a, i);
	gf_audit_destroy(a);
	assert_int_equal(lines(*state, 22), 5);
	snprintf(p, sizeof p, "%s.1", (char *)*state);
	assert_int_not_equal(stat(p, &st), 0);
}

/* A crash left half a line. */
static void test_mends_half_line(void **state)
{
	FILE *f = fopen(*state, "we");
	char t[64] = "";

	fputs("{\"half", f);
	fclose(f);
	struct gf_audit *a = begin(1 << 20, 1, *state);
	put(a, 1);
	gf_audit_destroy(a);
	f = fopen(*state, "re");
	assert_true(fread(t, 1, sizeof t - 1, f) > 0);
	fclose(f);
	assert_string_equal(t, "{\"half\nline 1\n");
}

/* As a full disk: write() stops in the middle of a line. */
static void test_full(void **state)
{
	struct rlimit old, lim;
	char text[512];

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	lim = (struct rlimit){ 43, old.rlim_max };
	struct gf_audit *a = begin(1 << 20, 1, *state);
	setrlimit(RLIMIT_FSIZE, &lim);
	for (int i = 10; i < 30; i++)
		put(a, i);
	while (!bad)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	while (gf_audit_lost(a) < 15)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(lines(*state, 10), 5); /* 40 bytes; the half line is taken back */
	assert_int_equal(bad, 1);
	assert_int_equal(gf_audit_lost(a), 15);
	assert_non_null(strstr(gf_audit_error(a, text, sizeof text), "cannot be written"));
	/* it comes back by itself once there is room */
	for (int i = 0; i < 5000 && !mended; i++) {
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
		put(a, 15);
		if (mended)
			break;
	}
	assert_int_equal(mended, 1);
	assert_string_equal(gf_audit_error(a, text, sizeof text), "");
	gf_audit_destroy(a);
}

static void test_unusable(void **state)
{
	char path[128], text[512];

	(void)state;
	snprintf(path, sizeof path, "%s/no/such/dir/a", dir);
	struct gf_audit *a = begin(1 << 20, 1, path);
	for (int i = 0; i < 10; i++)
		put(a, i);
	while (gf_audit_lost(a) < 10)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	assert_int_equal(bad, 1);
	assert_non_null(strstr(gf_audit_error(a, text, sizeof text), "No such file"));
	gf_audit_destroy(a);

	/* a pipe without a reader would hold up whoever opens it */
	snprintf(path, sizeof path, "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	a = begin(1 << 20, 1, path);
	put(a, 1);
	while (!gf_audit_lost(a))
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	assert_non_null(strstr(gf_audit_error(a, text, sizeof text), "not a regular file"));
	gf_audit_destroy(a);

	/* somebody's link is not followed */
	snprintf(path, sizeof path, "%s/link", dir);
	snprintf(text, sizeof text, "%s/aim", dir);
	assert_int_equal(symlink(text, path), 0);
	a = begin(1 << 20, 1, path);
	put(a, 1);
	while (!gf_audit_lost(a))
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	assert_int_not_equal(access(text, F_OK), 0);
	gf_audit_destroy(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_appends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rotates, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keeps_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mends_half_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unusable, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
