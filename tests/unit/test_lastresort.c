/* SPDX-License-Identifier: MIT
 *
 * A last resort is allowed or not, and is not done before the event that explains it is in the audit file.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/daemon.h"

static char path[] = "/tmp/gf-last-XXXXXX";
static int fd, given, done;

/* The action's event comes into the ring when `given` says so. */
static size_t take(void *arg, struct gf_event *buf, size_t n)
{
	(void)arg, (void)n;
	if (__atomic_load_n(&given, __ATOMIC_SEQ_CST) != 1)
		return 0;
	__atomic_store_n(&given, 2, __ATOMIC_SEQ_CST);
	memset(buf, 0, sizeof *buf);
	buf->seq = 4242;
	buf->kind = GF_EV_ACTION;
	return 1;
}

static int in_file(const char *what)
{
	char text[65536];
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;

	if (f)
		fclose(f);
	text[n] = 0;
	return strstr(text, what) != NULL;
}

static void *later(void *arg)
{
	uint64_t one = 1;

	usleep(200000);
	/* nothing was on record until now, and so nothing may have been done */
	*(int *)arg = __atomic_load_n(&done, __ATOMIC_SEQ_CST) == 0;
	__atomic_store_n(&given, 1, __ATOMIC_SEQ_CST);
	assert_int_equal(write(fd, &one, sizeof one), sizeof one);
	return NULL;
}

static void test_gate(void **state)
{
	struct gf_daemon d = { 0 };
	struct gf_watch w = { .daemon = &d, .name = "one" };
	struct gf_verdict v = { .event = 4242, .action = GF_ACT_PANIC, .flags = 0 };
	struct gf_audit_opts a = { .path = path, .max_size = 1 << 20 };
	struct gf_err err;
	pthread_t t;
	int waited = 0;

	(void)state;
	close(mkstemp(path));
	fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_int_equal(gf_policies_create(&w.policies), 0);
	assert_int_equal(gf_audit_create(&a, &d.audit, &err), 0);
	struct gf_reporter_source s = { .take = take, .fd = fd, .policies = w.policies, .target = "one" };
	struct gf_reporter_opts o = { .source = &s, .sources = 1, .audit = d.audit };
	assert_int_equal(gf_reporter_create(&o, &d.reporter, &err), 0);

	assert_int_equal(gf_watch_last_resort(&w, &v), GF_REF_NOT_ALLOWED);
	w.last_resorts = 1u << GF_ACT_RESTART;
	assert_int_equal(gf_watch_last_resort(&w, &v), GF_REF_NOT_ALLOWED);
	v.flags = GF_VERDICT_OBSERVE;
	assert_int_equal(gf_watch_last_resort(&w, &v), GF_REF_NONE); /* for nothing will be done */
	assert_false(in_file("4242"));
	v.flags = 0;
	w.last_resorts = 1u << GF_ACT_PANIC;
	assert_int_equal(pthread_create(&t, NULL, later, &waited), 0);
	assert_int_equal(gf_watch_last_resort(&w, &v), GF_REF_NONE);
	__atomic_store_n(&done, 1, __ATOMIC_SEQ_CST);
	assert_true(in_file("\"seq\":4242"));
	pthread_join(t, NULL);
	assert_true(waited);

	/* a record that never comes does not keep it for ever */
	v.event = 4243;
	assert_int_equal(gf_watch_last_resort(&w, &v), GF_REF_NONE);
	gf_reporter_stop(d.reporter);
	gf_audit_destroy(d.audit);
	gf_reporter_destroy(d.reporter);
	gf_policies_destroy(w.policies);
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_gate) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
