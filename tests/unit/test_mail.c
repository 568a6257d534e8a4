// SPDX-License-Identifier: MIT
/*
 * The mailbox as its writers use it (gpu/mail.h), host and device: which slot, which number, and that nothing is done twice when an answer
 * does not come. The module is played by the test.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <unistd.h>

#include <cmocka.h>

#include "gpu/deliver_mail.h"
#include "targets/assist.h"
#include "targets/kmod.h"
#include "tests/helpers/fakeregion.h"

#define MS 1000000ull

static void region(struct fake_region *f, struct gf_region *r, uint64_t instance)
{
	fake_make(f, instance);
	*r = (struct gf_region){ .spans = 1 };
	r->span[0] = (struct gf_region_span){ f->p, 0, f->len };
	assert_int_equal(gf_region_take(r, f->h), GF_RB_NONE);
}

static bool valid(const struct fake_region *f, uint32_t slot)
{
	return f->verdict[slot].check == gpufas_check(f->h->instance, &f->verdict[slot]);
}

/* A CPU of the module has it in hand, and has not answered. */
static void in_hand(struct fake_region *f, uint32_t slot)
{
	__atomic_store_n(&f->answer[slot].taken, f->verdict[slot].seq, __ATOMIC_SEQ_CST);
}

/* ---- slots and numbers ---- */

static void numbers_of_instances_differ(void **state)
{
	struct gpufas_verdict v = { .pid = 5, .deadline_ns = 100 };
	struct fake_region a, b;
	struct gf_region ra, rb;
	struct gf_mail m;
	uint64_t seq;

	(void)state;
	region(&a, &ra, 0xdead00000001);
	region(&b, &rb, 0xdead00000002);
	a.h->mail_seq = b.h->mail_seq = 7;
	gf_mail_init(&m, &ra);
	for (int i = 0; i < 8; i++)
		assert_true(gf_mail_post(&m, &v, 1) >= 0);
	seq = v.seq;
	assert_true(seq > 7);
	gf_mail_init(&m, &rb);
	assert_int_equal(gf_mail_post(&m, &v, 1), 0);
	assert_true(v.seq > seq || v.seq < seq - 8);
	/* whatever the instance is, there are numbers enough */
	b.h->instance = rb.instance = ~0ull;
	gf_mail_init(&m, &rb);
	assert_true(gf_mail_post(&m, &v, 1) >= 0);
	assert_true(v.seq < 1ull << 57);
	free(a.p);
	free(b.p);
}

static void slots_in_use_are_left(void **state)
{
	struct gpufas_verdict v = { .pid = 5, .deadline_ns = 100 };
	const uint64_t later = 100 + 1000 * MS;
	struct fake_region f;
	struct gf_region r;
	struct gf_mail m;
	uint64_t seq[3];

	(void)state;
	region(&f, &r, 77);
	gf_mail_init(&m, &r);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(gf_mail_post(&m, &v, 1), (int)i);
		seq[i] = v.seq;
	}
	/* whose end is followed, and whose deadline is long past: there are others */
	fake_answer(&f, 0, GPUFAS_SENT, 0);
	assert_int_equal(gf_mail_post(&m, &v, later), 3);
	/* given up without an answer: others first */
	gf_mail_free(&m, 1, seq[1]);
	assert_int_equal(gf_mail_post(&m, &v, later), 4);
	/* answered and given up: that one */
	fake_answer(&f, 2, GPUFAS_SENT, 0);
	gf_mail_free(&m, 2, seq[2]);
	v.deadline_ns = 10 * later;
	assert_int_equal(gf_mail_post(&m, &v, later), 2);
	for (uint32_t i = 5; i < FAKE_SLOTS; i++)
		assert_int_equal(gf_mail_post(&m, &v, later), (int)i);
	/* none is left: one that is void, but none that a CPU has in hand */
	in_hand(&f, 1);
	assert_int_equal(gf_mail_post(&m, &v, later - 1), -EAGAIN);
	assert_int_equal(gf_mail_post(&m, &v, later), 0);
	assert_int_equal(gf_mail_post(&m, &v, later), 3);
	assert_int_equal(gf_mail_post(&m, &v, later), 4);
	assert_int_equal(gf_mail_post(&m, &v, later), -EAGAIN);
	fake_answer(&f, 1, GPUFAS_SENT, 0);
	assert_int_equal(gf_mail_post(&m, &v, later), 1);
	free(f.p);
}

/* ---- taking back ---- */

static void takes_back(void **state)
{
	struct gpufas_verdict v = { .pid = 5, .deadline_ns = 100 };
	struct fake_region f;
	struct gf_region r;
	struct gf_mail m;

	(void)state;
	region(&f, &r, 77);
	gf_mail_init(&m, &r);
	assert_int_equal(gf_mail_post(&m, &v, 1), 0);
	assert_true(valid(&f, 0));
	/* again and again: it does not come to life */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(gf_mail_void(&m, 0, v.seq), 0);
		assert_false(valid(&f, 0));
	}
	assert_int_equal(gf_mail_post(&m, &v, 1), 1);
	in_hand(&f, 1);
	assert_int_equal(gf_mail_void(&m, 1, v.seq), 1);
	assert_int_equal(gf_mail_void(&m, 1, v.seq), 1);
	/* not ours */
	assert_int_equal(gf_mail_void(&m, 1, v.seq - 1), 0);
	assert_int_equal(gf_mail_void(&m, m.n, v.seq), 0);
	assert_true(gf_mail_elsewhere(GPUFAS_WHY_WITHDRAWN));
	free(f.p);
}

#define ROUNDS 20000u

struct race {
	struct fake_region f;
	struct gf_region r;
	uint64_t go, done; /* rounds that are begun and ended by the module */
	uint64_t acted;    /* the last number that it acted on */
};

/* Looks once a round, as kmod/mailbox.c does. */
static void *module_thread(void *arg)
{
	struct race *x = arg;
	struct gpufas_verdict *v = &x->f.verdict[0], mine;

	for (uint64_t i = 1; i <= ROUNDS; i++) {
		while (__atomic_load_n(&x->go, __ATOMIC_ACQUIRE) < i)
			;
		for (uint64_t k = 0; k < i * 7 % 50; k++)
			__asm__ volatile("" ::: "memory");
		mine = *(volatile struct gpufas_verdict *)v;
		if (mine.check == gpufas_check(x->r.instance, &mine)) {
			__atomic_store_n(&x->f.answer[0].taken, mine.seq, __ATOMIC_RELAXED);
			__atomic_thread_fence(__ATOMIC_SEQ_CST);
			if (__atomic_load_n(&v->check, __ATOMIC_RELAXED) == mine.check)
				x->acted = mine.seq;
			fake_answer(&x->f, 0, x->acted == mine.seq ? GPUFAS_SENT : GPUFAS_REFUSED, GPUFAS_WHY_WITHDRAWN);
		}
		__atomic_store_n(&x->done, i, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* Whoever took back and was told that it had not begun: it has not, and does not. */
static void never_twice(void **state)
{
	struct gpufas_verdict v = { .pid = 5, .deadline_ns = ~0ull >> 2 };
	static struct race x;
	uint32_t late = 0, both = 0;
	struct gf_mail m;
	pthread_t t;

	(void)state;
	region(&x.f, &x.r, 77);
	gf_mail_init(&m, &x.r);
	assert_int_equal(pthread_create(&t, NULL, module_thread, &x), 0);
	for (uint64_t i = 1; i <= ROUNDS; i++) {
		m.slot[0].seq = 0;
		assert_int_equal(gf_mail_post(&m, &v, 1), 0);
		__atomic_store_n(&x.go, i, __ATOMIC_RELEASE);
		for (uint64_t k = 0; k < i * 13 % 200; k++)
			__asm__ volatile("" ::: "memory");
		int begun = gf_mail_void(&m, 0, v.seq);
		late += begun != 0;
		while (__atomic_load_n(&x.done, __ATOMIC_ACQUIRE) < i)
			;
		both += !begun && x.acted == v.seq;
	}
	pthread_join(t, NULL);
	print_message("# of %u taken back %u had been begun with\n", ROUNDS, late);
	assert_int_equal(both, 0);
	free(x.f.p);
}

/* ---- a guest's mailbox, from the host ---- */

struct guest {
	struct gf_assist assist;
	struct gf_guest g;
	struct fake_region f;
	struct gf_region r;
	struct gf_verdict v;
	uint64_t seq;
	int slot;
	struct gf_delivery d;
};

static void guest_make(struct guest *x, int sig)
{
	memset(x, 0, sizeof *x);
	pthread_mutex_init(&x->assist.lock, NULL);
	x->g.assist = &x->assist;
	x->v = (struct gf_verdict){ .event = 9, .pid = 4711, .start_ns = 100, .action = GF_ACT_SIGNAL, .arg = sig };
	region(&x->f, &x->r, 77);
	x->f.h->now_ns = 1000;
	atomic_store(&x->assist.region, &x->r);
}

static int guest_send(struct guest *x)
{
	memset(&x->d, 0, sizeof x->d);
	x->d.exit_us = GF_NONE;
	return x->slot = gf_assist_send(&x->g, &x->v, &x->seq);
}

static int guest_poll(struct guest *x, uint64_t age)
{
	return gf_assist_poll(&x->g, &x->v, (uint32_t)x->slot, x->seq, age, &x->d);
}

static void guest_begun_is_not_done_again(void **state)
{
	struct guest x;

	(void)state;
	guest_make(&x, SIGTERM);
	assert_true(guest_send(&x) >= 0);
	in_hand(&x.f, (uint32_t)x.slot);
	assert_int_equal(guest_poll(&x, 400 * MS), 0);
	assert_int_equal(guest_poll(&x, 60000 * MS), 0);
	assert_false(gf_delivery_over(&x.d));
	fake_answer(&x.f, (uint32_t)x.slot, GPUFAS_SENT, 0);
	assert_int_equal(guest_poll(&x, 60001 * MS), 0);
	assert_int_equal(x.d.became, GF_BECAME_DELIVERED);
	/* it saw in time that it was taken back */
	assert_true(guest_send(&x) >= 0);
	in_hand(&x.f, (uint32_t)x.slot);
	assert_int_equal(guest_poll(&x, 400 * MS), 0);
	fake_answer(&x.f, (uint32_t)x.slot, GPUFAS_REFUSED, GPUFAS_WHY_WITHDRAWN);
	assert_int_equal(guest_poll(&x, 401 * MS), -ENODEV);
	/* who is to be killed does not wait for ever for a CPU that is lost */
	x.v.arg = SIGKILL;
	assert_true(guest_send(&x) >= 0);
	in_hand(&x.f, (uint32_t)x.slot);
	assert_int_equal(guest_poll(&x, 400 * MS), 0);
	assert_int_equal(guest_poll(&x, 2100 * MS), -ENODEV);
	free(x.f.p);
}

/* Another module is there, in whose mailbox the same slot has been used just as often. */
static void guest_of_another_instance(void **state)
{
	struct fake_region f;
	struct gf_region r;
	struct guest x;
	uint64_t seq;

	(void)state;
	guest_make(&x, SIGKILL);
	assert_true(guest_send(&x) >= 0);
	region(&f, &r, 78);
	f.h->now_ns = 1000;
	atomic_store(&x.assist.region, &r);
	assert_int_equal(gf_assist_send(&x.g, &x.v, &seq), x.slot);
	fake_answer(&f, (uint32_t)x.slot, GPUFAS_SENT, 0);
	assert_int_equal(guest_poll(&x, 10 * MS), 0);
	assert_int_equal(x.d.became, 0);
	free(f.p);
	free(x.f.p);
}

static void *sender(void *arg)
{
	guest_send(arg);
	return NULL;
}

/* The region is given up while who sends waits for the lock: nothing is stored any more. */
static void guest_gone_meanwhile(void **state)
{
	struct guest x;
	pthread_t t;

	(void)state;
	guest_make(&x, SIGKILL);
	pthread_mutex_lock(&x.assist.lock);
	assert_int_equal(pthread_create(&t, NULL, sender, &x), 0);
	usleep(100000);
	x.f.h->state = GPUFAS_DEAD;
	pthread_mutex_unlock(&x.assist.lock);
	pthread_join(t, NULL);
	assert_int_equal(x.slot, -ENODEV);
	assert_int_equal(x.f.verdict[0].seq, 0);
	free(x.f.p);
}

/* The second half is a device's, whether one is there yet or not. */
static void guest_has_its_half(void **state)
{
	struct guest x;

	(void)state;
	guest_make(&x, SIGKILL);
	for (uint32_t i = 0; i < FAKE_SLOTS / 2; i++)
		assert_int_equal(guest_send(&x), (int)i);
	assert_int_equal(guest_send(&x), -EAGAIN);
	free(x.f.p);
}

/* ---- a device ---- */

static void device_begun_is_not_done_again(void **state)
{
	struct gf_verdict v = { .event = 9, .pid = 4711, .start_ns = 100, .action = GF_ACT_SIGNAL, .arg = SIGTERM };
	struct gf_deliverer *d = calloc(1, sizeof *d);
	struct gf_deliver_result got;
	struct fake_region f;
	struct gf_region r;
	struct gf_mail m;
	uint64_t now = 1000 * MS;

	(void)state;
	region(&f, &r, 77);
	f.h->armed = GPUFAS_ARM_ACT;
	f.h->now_ns = 1000;
	gf_mail_init(&m, &r);
	gf_mail_half(&m, 1);
	gf_deliver_init(d, 0, 0, NULL, NULL);
	/* not begun with: the host's */
	assert_int_equal(gf_dm_begin(d, &m, &v, now), 1);
	assert_true(valid(&f, FAKE_SLOTS / 2));
	gf_dm_follow(d, &m, NULL, 0, now + 500 * MS);
	assert_int_equal(gf_deliver_result(d, &got), 0);
	gf_dm_follow(d, &m, NULL, 0, now + 700 * MS);
	assert_int_equal(gf_deliver_result(d, &got), 1);
	assert_int_equal(got.kind, GF_DELIVER_OFFER_GONE);
	assert_false(valid(&f, FAKE_SLOTS / 2));
	/* begun with: nobody's but its own */
	assert_int_equal(gf_dm_begin(d, &m, &v, now), 1);
	in_hand(&f, FAKE_SLOTS / 2 + 1);
	for (uint64_t ms = 700; ms < 5000; ms += 100)
		gf_dm_follow(d, &m, NULL, 0, now + ms * MS);
	while (gf_deliver_result(d, &got))
		assert_int_equal(got.kind, GF_DELIVER_TOLD);
	fake_answer(&f, FAKE_SLOTS / 2 + 1, GPUFAS_EXITED, 0);
	gf_dm_follow(d, &m, NULL, 0, now + 5000 * MS);
	assert_int_equal(gf_deliver_result(d, &got), 1);
	assert_int_equal(got.kind, GF_DELIVER_LAST);
	assert_int_equal(got.member.became, GF_BECAME_DELIVERED);
	/* but who is to be killed */
	v.arg = SIGKILL;
	assert_int_equal(gf_dm_begin(d, &m, &v, now), 1);
	in_hand(&f, FAKE_SLOTS / 2 + 1);
	gf_dm_follow(d, &m, NULL, 0, now + 700 * MS);
	assert_int_equal(gf_deliver_result(d, &got), 0);
	gf_dm_follow(d, &m, NULL, 0, now + 2100 * MS);
	while (gf_deliver_result(d, &got))
		;
	assert_int_equal(got.kind, GF_DELIVER_OFFER_GONE);
	free(f.p);
	free(d);
}

/* ---- the machine itself ---- */

static bool hand;

static int m_open(void *arg, uint32_t rows, uint32_t want, uint64_t period_ns, int *ret_fd, uint8_t **ret_map, uint64_t *ret_len, struct gf_err *err)
{
	struct fake_region *f = arg;

	(void)rows, (void)want, (void)period_ns, (void)err;
	*ret_fd = 1000;
	*ret_map = f->p;
	*ret_len = f->len;
	return 0;
}

static int m_arm(void *arg, int fd, uint32_t flags)
{
	(void)arg, (void)fd, (void)flags;
	return 0;
}

/* It begins with all that it finds, if with any, and comes to no end. */
static int m_kick(void *arg, int fd)
{
	struct fake_region *f = arg;

	(void)fd;
	for (uint32_t i = 0; i < FAKE_SLOTS && hand; i++)
		in_hand(f, i);
	return 0;
}

static void m_close(void *arg, int fd, uint8_t *map, uint64_t len)
{
	(void)arg, (void)fd, (void)map, (void)len;
}

static void host_begun_is_not_done_again(void **state)
{
	struct gf_verdict v[2] = { { .event = 9, .pid = 4711, .start_ns = 100, .action = GF_ACT_SIGNAL, .arg = SIGTERM },
				   { .event = 9, .pid = 4712, .start_ns = 100, .action = GF_ACT_SIGNAL, .arg = SIGKILL } };
	const int skip[2] = { 0, 0 };
	struct gf_kmod_result got[2];
	struct fake_region f;
	struct gf_region r;
	struct gf_kmod_dev dev = { .open = m_open, .arm = m_arm, .kick = m_kick, .close = m_close, .arg = &f };
	struct gf_kmod_opts o = { .dev = &dev, .rows = FAKE_ROWS, .period_ns = 100 * MS, .deliver = true };
	struct gf_err err;
	struct gf_kmod *k;

	(void)state;
	region(&f, &r, 77);
	assert_int_equal(gf_kmod_create(&o, &k, &err), 0);
	gf_kmod_arm(k, GPUFAS_ARM_ACT);
	/* it has not begun: by the other road, both */
	hand = false;
	gf_kmod_deliver(k, v, skip, 2, got);
	assert_false(got[0].done || got[1].done);
	assert_false(valid(&f, 0) || valid(&f, 1));
	for (int i = 0; i < 2000 && !gf_kmod_delivers(k); i++)
		usleep(1000);
	/* it has: only the kill */
	hand = true;
	gf_kmod_deliver(k, v, skip, 2, got);
	assert_true(got[0].done);
	assert_int_equal(got[0].error, -ETIMEDOUT);
	assert_false(got[1].done);
	gf_kmod_destroy(k);
	free(f.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_of_instances_differ), cmocka_unit_test(slots_in_use_are_left), cmocka_unit_test(takes_back),
		cmocka_unit_test(never_twice), cmocka_unit_test(guest_begun_is_not_done_again), cmocka_unit_test(guest_of_another_instance),
		cmocka_unit_test(guest_gone_meanwhile), cmocka_unit_test(guest_has_its_half), cmocka_unit_test(device_begun_is_not_done_again),
		cmocka_unit_test(host_begun_is_not_done_again),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
