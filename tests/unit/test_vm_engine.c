/* SPDX-License-Identifier: MIT
 *
 * An actuator of a guest whose engine delivers by itself: its results, its offers, and its end.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "gpu/deliver.h"
#include "targets/vm.h"
#include "tests/unit/rig.h"

struct world {
	struct rig r; /* without an actuator of its own */
	struct gf_target *vm;
	struct gf_vm_actuator *a;
	int result_fd;
	struct gf_deliver_result result[8];
	size_t results;
};

static size_t results(void *arg, struct gf_deliver_result *buf, size_t n)
{
	struct world *w = arg;

	pthread_mutex_lock(&w->r.lock);
	n = GF_MIN(n, w->results);
	memcpy(buf, w->result, n * sizeof *buf);
	w->results = 0;
	pthread_mutex_unlock(&w->r.lock);
	return n;
}

static int setup(void **state)
{
	const struct gf_vm_opts o = { .name = "gone", .ram_file = "/nonexistent/ram", .max_tasks = 64 };
	const struct gf_actuator_opts ao = { .follow = 16 };
	struct world *w = calloc(1, sizeof *w);
	struct gf_err err;

	rig_init(&w->r);
	w->result_fd = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(gf_vm_create(&o, &w->vm, &err), 0);
	assert_int_equal(gf_vm_actuator_create(&ao, w->vm, w->r.fd, rig_source, &w->r, rig_sink, &w->r, &w->a, &err), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	gf_vm_actuator_destroy(w->a);
	w->vm->ops->destroy(w->vm);
	rig_end(&w->r);
	close(w->result_fd);
	free(w);
	return 0;
}

static struct gf_verdict of(int pid, uint64_t event)
{
	return (struct gf_verdict){ .event = event, .pid = pid, .start_ns = 5, .action = GF_ACT_SIGNAL, .arg = SIGKILL,
				    .flags = GF_VERDICT_DONE_BY_ENGINE };
}

static struct gf_deliver_result said(int pid, uint64_t event, uint8_t kind)
{
	return (struct gf_deliver_result){ .event = event, .kind = kind, .verdict = of(pid, event), .slot = 3, .ticket = 4,
					   .member = { .pid = pid, .start_ns = 5, .exit_us = 700, .how = GF_HOW_GPU_STORE,
						       .became = GF_BECAME_DELIVERED, .tries = 2 } };
}

/* Two members of one event are told together, as the engine said them; nothing is done a second time. */
static void test_results(void **state)
{
	struct world *w = *state;
	const struct gf_vm_engine e = { w->result_fd, results, w, NULL };

	gf_vm_actuator_engine(w->a, &e);
	pthread_mutex_lock(&w->r.lock);
	for (int i = 0; i < 2; i++) {
		w->r.queue[w->r.queued++] = of(70 + i, 9);
		w->result[w->results++] = said(70 + i, 9, GF_DELIVER_LAST);
	}
	pthread_mutex_unlock(&w->r.lock);
	rig_ring(w->r.fd);
	rig_ring(w->result_fd);
	assert_true(rig_said(&w->r, 1));
	assert_int_equal(w->r.event[0].kind, GF_EV_RESULT);
	assert_int_equal(w->r.event[0].about, 9);
	assert_int_equal(w->r.event[0].count, 2);
	assert_int_equal(w->r.event[0].u.member[0].how, GF_HOW_GPU_STORE);
	assert_int_equal(w->r.event[0].u.member[0].exit_us, 700);
	usleep(20000);
	assert_int_equal(w->r.events, 1);
}

/* Of an offer that the device has taken back nothing is done; one that stands is carried out here, where there is no guest. */
static void test_offers(void **state)
{
	struct world *w = *state;
	struct gf_deliver_hand *hand = calloc(1, sizeof *hand);
	const struct gf_vm_engine e = { w->result_fd, results, w, hand };

	gf_vm_actuator_engine(w->a, &e);
	hand->offer[3] = 4 * 8 + GF_HAND_DEVICE;
	pthread_mutex_lock(&w->r.lock);
	w->result[w->results++] = said(70, 9, GF_DELIVER_OFFER);
	pthread_mutex_unlock(&w->r.lock);
	rig_ring(w->result_fd);
	usleep(50000);
	assert_int_equal(w->r.events, 0);
	hand->offer[3] = 4 * 8 + GF_HAND_OFFERED;
	pthread_mutex_lock(&w->r.lock);
	w->result[w->results++] = said(70, 9, GF_DELIVER_OFFER);
	pthread_mutex_unlock(&w->r.lock);
	rig_ring(w->result_fd);
	assert_true(rig_said(&w->r, 1));
	assert_int_equal(hand->took[3], 4);
	assert_int_equal(w->r.event[0].u.member[0].became, GF_BECAME_REFUSED);
	assert_int_equal(w->r.event[0].u.member[0].why, GF_REF_NO_GUEST);
	gf_vm_actuator_engine(w->a, NULL);
	free(hand);
}

/* The device has begun to take an offer back and does not say for long whose it is: nobody loses it, whatever it says then. */
static void test_undecided(void **state)
{
	struct world *w = *state;
	struct gf_deliver_hand *hand = calloc(1, sizeof *hand);
	const struct gf_vm_engine e = { w->result_fd, results, w, hand };

	gf_vm_actuator_engine(w->a, &e);
	for (int i = 0; i < 2; i++) {
		hand->took[3] = 0;
		__atomic_store_n(&hand->offer[3], 4 * 8 + GF_HAND_REVOKING, __ATOMIC_SEQ_CST);
		pthread_mutex_lock(&w->r.lock);
		w->result[w->results++] = said(70, 9 + (uint64_t)i, GF_DELIVER_OFFER);
		pthread_mutex_unlock(&w->r.lock);
		rig_ring(w->result_fd);
		for (int k = 0; k < 5000 && __atomic_load_n(&hand->took[3], __ATOMIC_SEQ_CST) != 4; k++)
			usleep(1000);
		usleep(150000);
		assert_int_equal(w->r.events, 0);
		__atomic_store_n(&hand->offer[3], 4 * 8 + (i ? GF_HAND_HOST : GF_HAND_DEVICE), __ATOMIC_SEQ_CST);
		if (i)
			assert_true(rig_said(&w->r, 1));
		usleep(20000);
		assert_int_equal(w->r.events, i);
	}
	assert_int_equal(w->r.event[0].about, 10);
	gf_vm_actuator_engine(w->a, NULL);
	free(hand);
}

/* The engine is lost: what it was to tell is told from here. */
static void test_lost(void **state)
{
	struct world *w = *state;

	pthread_mutex_lock(&w->r.lock);
	w->r.queue[w->r.queued++] = of(70, 9);
	pthread_mutex_unlock(&w->r.lock);
	rig_ring(w->r.fd);
	assert_true(rig_said(&w->r, 1));
	assert_int_equal(w->r.event[0].about, 9);
	assert_int_equal(w->r.event[0].u.member[0].became, GF_BECAME_LOST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_results, setup, teardown),
		cmocka_unit_test_setup_teardown(test_offers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_undecided, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
