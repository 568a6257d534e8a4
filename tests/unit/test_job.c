/* SPDX-License-Identifier: MIT
 *
 * Jobs on a thread of their own: in order, each done once, whatever ends first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "daemon/job.h"

struct work {
	struct gf_job job;
	int number;
	bool hold; /* waits at the gate */
};

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static int ran[256], rans, finished[256], finisheds, dropped;
static pthread_t worker;

static void run(struct gf_job *j)
{
	struct work *w = (struct work *)j;

	worker = pthread_self();
	if (w->hold) {
		pthread_mutex_lock(&gate);
		pthread_mutex_unlock(&gate);
	}
	ran[rans++] = w->number;
}

static void done(struct gf_job *j, bool has_run)
{
	if (has_run)
		finished[finisheds++] = ((struct work *)j)->number;
	else
		dropped++;
}

static int start(void **state)
{
	static int fd;

	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rans = finisheds = dropped = 0;
	*state = &fd;
	return fd < 0;
}

static int end(void **state)
{
	return close(*(int *)*state);
}

static void in_order(void **state)
{
	struct gf_worker *w;
	struct gf_err err;
	struct work v[40];
	struct pollfd p = { .fd = *(int *)*state, .events = POLLIN };
	uint64_t n;

	assert_int_equal(gf_worker_create(p.fd, &w, &err), 0);
	for (int i = 0; i < 40; i++) {
		v[i] = (struct work){ .job = { .run = run, .done = done }, .number = i };
		assert_int_equal(gf_worker_put(w, &v[i].job, &err), 0);
	}
	while (finisheds < 40) {
		assert_int_equal(poll(&p, 1, 60000), 1);
		assert_int_equal(read(p.fd, &n, sizeof n), sizeof n);
		gf_worker_done(w);
	}
	for (int i = 0; i < 40; i++) {
		assert_int_equal(ran[i], i);
		assert_int_equal(finished[i], i);
	}
	assert_false(pthread_equal(worker, pthread_self()));
	gf_worker_destroy(w);
	assert_int_equal(finisheds, 40);
	assert_int_equal(dropped, 0);
}

static void never_used(void **state)
{
	struct gf_worker *w;
	struct gf_err err;

	assert_int_equal(gf_worker_create(*(int *)*state, &w, &err), 0);
	gf_worker_done(w);
	gf_worker_destroy(w);
	gf_worker_destroy(NULL);
}

struct ending {
	struct gf_worker *w;
};

static void *destroy(void *arg)
{
	gf_worker_destroy(((struct ending *)arg)->w);
	return NULL;
}

/* One is under way, sixty-four wait, and no more; then the daemon ends. */
static void full_and_ended(void **state)
{
	struct ending e;
	struct gf_err err = { "" };
	struct work v[70];
	pthread_t t;
	int taken = 0, r = 0;

	assert_int_equal(gf_worker_create(*(int *)*state, &e.w, &err), 0);
	pthread_mutex_lock(&gate);
	for (int i = 0; i < 70 && !r; i++) {
		v[i] = (struct work){ .job = { .run = run, .done = done }, .number = i, .hold = true };
		r = gf_worker_put(e.w, &v[i].job, &err);
		taken += !r;
	}
	assert_int_equal(r, -EBUSY);
	assert_in_range(taken, 64, 65); /* the first may not have begun when the last came */
	assert_non_null(strstr(err.text, "too many"));
	assert_int_equal(pthread_create(&t, NULL, destroy, &e), 0);
	pthread_mutex_unlock(&gate);
	pthread_join(t, NULL);
	assert_int_equal(finisheds + dropped, taken);
	assert_int_equal(rans, finisheds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(in_order, start, end), cmocka_unit_test_setup_teardown(never_used, start, end),
		cmocka_unit_test_setup_teardown(full_and_ended, start, end),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
