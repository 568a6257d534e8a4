/* SPDX-License-Identifier: MIT
 *
 * Hooks: run, told what they must know, ended when they do not end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/hooks.h"

static char dir[64];

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/gpufas-hooks.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char cmd[128];

	(void)state;
	snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
	return system(cmd);
}

static struct gf_hooks *begin(unsigned timeout_s, const char *script)
{
	struct gf_config *c;
	struct gf_hooks *h;
	char text[2048];
	struct gf_source src = { "x", text, 0 };
	struct gf_diags d = { 0 };

	src.len = (size_t)snprintf(text, sizeof text, "hooks: {h: [/bin/sh, -c, '%s', name, %s], lost: [/no/such/program]}\n", script, dir);
	assert_int_equal(gf_config_parse(&src, &d, &c), 0);
	assert_int_equal(gf_hooks_create(c, timeout_s, &h, NULL), 0);
	gf_config_free(c);
	return h;
}

static const struct gf_hook_facts facts = {
	.rule = "low", .comm = "a\nb\x1b", .target = "box", .text = "a sentence; $(not run)", .event = 9, .pid = 77, .uid = 5,
};

/* Waits for a file to be there and whole (hooks rename it into place). */
static const char *wait_file(const char *name)
{
	static char text[1024];
	char path[128];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	for (int i = 0; i < 12000; i++) {
		FILE *f = fopen(path, "re");
		if (f) {
			text[fread(text, 1, sizeof text - 1, f)] = 0;
			fclose(f);
			return text;
		}
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	}
	fail_msg("%s never came", path);
	return NULL;
}

static void test_facts(void **state)
{
	struct gf_hooks *h = begin(30, "env | grep ^GPUFAS | sort > $1/new; mv $1/new $1/out");

	(void)state;
	setenv("GPUFAS_SECRET", "of the daemon", 1);
	assert_int_equal(gf_hooks_run(h, "h", &facts), 0);
	assert_string_equal(wait_file("out"), "GPUFAS_COMM=a\\x0ab\\x1b\nGPUFAS_EVENT=9\nGPUFAS_PID=77\nGPUFAS_RULE=low\n"
					      "GPUFAS_TARGET=box\nGPUFAS_TEXT=a sentence; $(not run)\nGPUFAS_UID=5\n");
	assert_int_equal(gf_hooks_run(h, "nope", &facts), -ENOENT);
	assert_int_equal(gf_hooks_run(h, "lost", &facts), 0); /* cannot be started: the log says so, the rest goes on */
	gf_hooks_destroy(h);
}

/* A hook that never ends is killed with what it has started, and the next ones come. */
static void test_timeout(void **state)
{
	struct gf_hooks *h = begin(1, "if test ! -e $1/pid; then sleep 300 & echo $! > $1/new; mv $1/new $1/pid; wait; "
				      "else : > $1/second; fi");

	(void)state;
	assert_int_equal(gf_hooks_run(h, "h", &facts), 0);
	int child = atoi(wait_file("pid"));
	assert_true(child > 1);
	assert_int_equal(gf_hooks_run(h, "h", &facts), 0);
	wait_file("second");
	char path[64], line[256];
	bool dead = false;
	snprintf(path, sizeof path, "/proc/%d/stat", child);
	for (int i = 0; i < 12000 && !dead; i++) {
		FILE *f = fopen(path, "re");
		dead = !f || !fgets(line, sizeof line, f) || strstr(line, ") Z");
		if (f)
			fclose(f);
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	}
	assert_true(dead);
	gf_hooks_destroy(h);
}

/* Four at a time, the others wait, more than 64 waiting are refused; stopping ends all. */
static void test_many(void **state)
{
	struct gf_hooks *h = begin(300, "mktemp $1/run.XXXXXX >/dev/null; sleep 300");
	int r = 0, taken = 0;
	char cmd[160];

	(void)state;
	while (taken < 200 && !(r = gf_hooks_run(h, "h", &facts)))
		taken++;
	assert_int_equal(r, -ENOBUFS);
	assert_in_range(taken, 64, 68);
	snprintf(cmd, sizeof cmd, "for i in $(seq 600); do test $(ls %s | wc -l) = 4 && exit 0; sleep 0.1; done; exit 1", dir);
	assert_int_equal(system(cmd), 0);
	gf_hooks_destroy(h);
	snprintf(cmd, sizeof cmd, "test $(ls %s | wc -l) = 4", dir);
	assert_int_equal(system(cmd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_facts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timeout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};

	gf_log_setup(-1, GF_LOG_JOURNAL_NO); /* what goes wrong here is meant to */
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
