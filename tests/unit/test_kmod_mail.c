// SPDX-License-Identifier: MIT
/*
 * The kernel module's mailbox, the module being played: what is posted and answered, the host's actuator and signals by hand that go
 * through it, and a guest's.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "targets/actuator.h"
#include "targets/assist.h"
#include "targets/proc.h"
#include "tests/unit/kmodplay.h"
#include "tests/unit/rig.h"

static void test_mail(void **state)
{
	struct gpufas_verdict v = { .pid = 5, .deadline_ns = 100 };
	struct gpufas_answer a;
	struct fake_region f;
	struct gf_region r;
	struct gf_mail m;
	uint64_t seq[FAKE_SLOTS];

	(void)state;
	fake_make(&f, 77);
	fake_take(&f, &r);
	f.h->mail_seq = 40;
	f.verdict[3].seq = 44;
	gf_mail_init(&m, &r);
	for (uint32_t i = 0; i < FAKE_SLOTS; i++) {
		assert_int_equal(gf_mail_post(&m, &v, 1), (int)i);
		seq[i] = v.seq;
		assert_true(v.seq > 44 && (!i || v.seq > seq[i - 1]));
		assert_int_equal(f.verdict[i].seq, v.seq);
		assert_true(f.verdict[i].check == gpufas_check(77, &f.verdict[i]));
		assert_true(f.verdict[i].check != gpufas_check(78, &f.verdict[i]));
	}
	assert_int_equal(gf_mail_post(&m, &v, 1), -EAGAIN);
	assert_int_equal(gf_mail_answer(&m, 2, seq[2], &a), 0);
	fake_answer(&f, 2, GPUFAS_SENT, 0);
	assert_int_equal(gf_mail_answer(&m, 2, seq[2], &a), 1);
	assert_int_equal(a.state, GPUFAS_SENT);
	f.answer[2].state = 99; /* no such */
	assert_int_equal(gf_mail_answer(&m, 2, seq[2], &a), 0);
	gf_mail_free(&m, 2, seq[2]);
	assert_int_equal(gf_mail_post(&m, &v, 1), 2);
	/* those that are void for a second make room */
	assert_int_equal(gf_mail_post(&m, &v, 101), -EAGAIN);
	assert_int_equal(gf_mail_post(&m, &v, 1000000200), 0);
	/* no number is left that is greater: nothing is sent */
	f.h->mail_seq = ~0ull;
	gf_mail_init(&m, &r);
	assert_int_equal(gf_mail_post(&m, &v, 1), -EBADMSG);
	free(f.p);
}

/* One verdict on a process, and the first that is said of it. */
static struct gf_event_member act(struct rig *r, pid_t pid, int sig, uint8_t flags)
{
	struct gf_verdict v = verdict(pid, sig);

	v.flags = flags;
	pthread_mutex_lock(&r->lock);
	r->events = 0;
	pthread_mutex_unlock(&r->lock);
	rig_put(r, &v, 1);
	assert_true(rig_said(r, 1));
	return r->event[0].u.member[0];
}

static void rig_by_module(struct rig *r, struct gf_target *t, bool only)
{
	struct gf_actuator_opts o = { .kmod = gf_host_kmod(t), .only_kmod = only };

	rig_begin(r, &o);
}

static void test_delivery(void **state)
{
	struct module m = { .absent = false };
	struct gf_err err = { "" };
	struct gf_event_member got;
	struct rig r;
	int status;

	(void)state;
	fake_make(&m.f, 77);
	struct gf_target *t = host_by(&m, GF_SAMPLER_AUTO, &err);
	assert_non_null(t);
	pid_t pid = sleeper(), other = sleeper();
	rig_by_module(&r, t, false);
	/* not armed: as if it were not there */
	got = act(&r, other, SIGCONT, 0);
	assert_int_equal(got.how, GF_HOW_CALL);
	assert_int_equal(m.taken, 0);
	gf_kmod_arm(gf_host_kmod(t), GPUFAS_ARM_ACT);
	got = act(&r, pid, SIGKILL, GF_VERDICT_OBSERVE);
	assert_int_equal(m.taken, 1);
	assert_int_equal(m.last.flags, GPUFAS_OBSERVE);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	got = act(&r, pid, SIGKILL, 0);
	assert_int_equal(got.how, GF_HOW_MODULE);
	assert_int_equal(got.error, 0);
	assert_true(got.exit_us != GF_NONE);
	assert_int_equal(m.last.pid, pid);
	assert_int_equal(m.last.arg, SIGKILL);
	assert_int_equal(m.last.cookie, 7);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* real-time signals are queued: not in an interrupt */
	uint32_t taken = m.taken;
	got = act(&r, other, 0 + SIGCONT, 0);
	assert_int_equal(m.taken, taken + 1);
	assert_false(gf_kmod_can(&(struct gf_verdict){ .action = GF_ACT_SIGNAL, .pid = 5, .arg = 34 }));
	/* refused: its word is the last */
	m.play = PLAY_REFUSE;
	m.why = GPUFAS_WHY_INIT;
	got = act(&r, other, SIGKILL, 0);
	assert_int_equal(got.became, GF_BECAME_REFUSED);
	assert_int_equal(got.why, GF_REF_INIT);
	assert_int_equal(got.error, -EPERM);
	assert_int_equal(waitpid(other, &status, WNOHANG), 0);
	/* it may not, all at once: by the other road */
	m.why = GPUFAS_WHY_DISARMED;
	got = act(&r, other, SIGCONT, 0);
	assert_int_equal(got.how, GF_HOW_CALL);
	assert_int_equal(got.error, 0);
	/* it says nothing: void, then by the other road */
	m.play = PLAY_SILENT;
	got = act(&r, other, SIGKILL, 0);
	assert_int_equal(got.how, GF_HOW_CALL);
	assert_int_equal(waitpid(other, &status, 0), other);
	rig_end(&r);
	gf_target_destroy(t);

	/* by no other road */
	m.f.h->instance = 79;
	m.play = PLAY_REFUSE;
	m.why = GPUFAS_WHY_DISARMED;
	other = sleeper();
	t = host_by(&m, GF_SAMPLER_AUTO, &err);
	gf_kmod_arm(gf_host_kmod(t), GPUFAS_ARM_ACT);
	rig_by_module(&r, t, true);
	got = act(&r, other, SIGKILL, 0);
	assert_int_equal(got.became, GF_BECAME_REFUSED);
	assert_int_equal(waitpid(other, &status, WNOHANG), 0);
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	rig_end(&r);
	gf_target_destroy(t);
	assert_int_equal(m.garbled, 0);
	free(m.f.p);
}

/* gpufasctl signal --road mailbox: by the module and by nothing else. */
static void test_by_hand(void **state)
{
	struct module m = { .absent = true };
	struct gf_err err = { "" };
	struct gf_event_member got;
	int status;

	(void)state;
	fake_make(&m.f, 77);
	struct gf_target *t = host_by(&m, GF_SAMPLER_AUTO, &err);
	assert_non_null(t);
	struct gf_kmod *k = gf_host_kmod(t);
	pid_t pid = sleeper();
	struct gf_task_rec rec = fake_rec(pid, 77 * GF_TICK_NS + 4711, "x");
	struct gf_verdict v = { .pid = pid, .start_ns = 77 * GF_TICK_NS, .action = GF_ACT_SIGNAL, .arg = SIGTERM };
#define HAND(code, sentence) do { \
		struct gf_verdict it = v; \
		assert_int_equal(gf_kmod_act(k, &it, &got, &err), code); \
		assert_int_equal(got.error, code); \
		assert_string_equal(err.text, sentence); \
		err.text[0] = 0; \
	} while (0)
	HAND(-ENODEV, "no /dev/gpufas: the kernel module is not loaded");
	gf_target_destroy(t);
	m.absent = false;
	t = host_by(&m, GF_SAMPLER_AUTO, &err);
	k = gf_host_kmod(t);
	err.text[0] = 0;
	HAND(-EACCES, "the kernel module only samples here (\"delivery: auto\" in gpufas.yaml has it deliver)");
	gf_kmod_arm(k, GPUFAS_ARM_ACT);
	fake_pass(&m.f, &(struct gf_task_rec){ .pid = 0 }, 1);
	HAND(-ENOENT, "it is in no table of the kernel module's");
	assert_int_equal(m.taken, 0);
	fake_pass(&m.f, &rec, 1);
	v.start_ns += GF_TICK_NS;
	HAND(-ESTALE, "another process has the pid now");
	v.start_ns -= GF_TICK_NS;
	v.arg = 40;
	HAND(-EOPNOTSUPP, "by the mailbox go only signals 1 to 31");
	v.arg = SIGCONT;
	HAND(0, "");
	assert_int_equal(got.how, GF_HOW_MODULE);
	assert_int_equal(got.became, GF_BECAME_DELIVERED);
	assert_true(m.last.start_ns == rec.start_ns); /* to the nanosecond */
	m.play = PLAY_REFUSE;
	m.why = GPUFAS_WHY_KTHREAD;
	HAND(-EPERM, "it is a kernel thread");
	m.why = GPUFAS_WHY_DISARMED;
	HAND(-EACCES, "the kernel module is not armed");
	m.play = PLAY_SILENT;
	HAND(-ETIMEDOUT, "the kernel module does not look into its mailbox");
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	m.play = PLAY_DO;
	v.arg = SIGTERM;
	HAND(0, "");
	assert_int_equal(waitpid(pid, &status, 0), pid);
#undef HAND
	gf_target_destroy(t);
	free(m.f.p);
}

/* ---- in a guest's memory ------------------------------------------------------------------ */

static void test_assist_mail(void **state)
{
	struct gf_verdict v = { .event = 9, .pid = 4711, .start_ns = 100, .action = GF_ACT_SIGNAL, .arg = SIGKILL };
	static struct gf_assist assist = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct gf_guest guest = { .assist = &assist };
	struct gf_delivery d;
	struct fake_region f;
	struct gf_region r;
	uint64_t seq = 0;

	(void)state;
	fake_make(&f, 77);
	f.h->now_ns = 1000;
	fake_take(&f, &r);
	/* no module */
	assert_int_equal(gf_assist_send(&guest, &v, &seq), -ENODEV);
	atomic_store(&assist.region, &r);
#define SEND() (memset(&d, 0, sizeof d), d.exit_us = GF_NONE, gf_assist_send(&guest, &v, &seq))
#define POLL(slot, age) gf_assist_poll(&guest, &v, (uint32_t)(slot), seq, age, &d)
	int slot = SEND();
	assert_true(slot >= 0);
	assert_int_equal(f.verdict[slot].pid, 4711);
	assert_true(f.verdict[slot].check == gpufas_check(77, &f.verdict[slot]));
	assert_int_equal(f.verdict[slot].deadline_ns, 1000 + 500000000);
	assert_int_equal(POLL(slot, 1000000), 0);
	assert_int_equal(d.phase, 0);
	fake_answer(&f, (uint32_t)slot, GPUFAS_SENT, 0);
	assert_int_equal(POLL(slot, 2000000), 0);
	assert_int_equal(d.phase, GF_PHASE_TAKEN);
	assert_int_equal(d.became, GF_BECAME_DELIVERED);
	assert_int_equal(d.how, GF_HOW_MODULE);
	assert_int_equal(POLL(slot, 1000000000), 0); /* sent is sent, however long its end takes */
	fake_answer(&f, (uint32_t)slot, GPUFAS_EXITED, 0);
	assert_int_equal(POLL(slot, 5000000), 0);
	assert_true(gf_delivery_over(&d));
	assert_int_equal(d.exit_us, 5000);
	/* refused for good, and refused so that another road may do it */
	slot = SEND();
	fake_answer(&f, (uint32_t)slot, GPUFAS_REFUSED, GPUFAS_WHY_KTHREAD);
	assert_int_equal(POLL(slot, 1), 0);
	assert_int_equal(d.became, GF_BECAME_REFUSED);
	assert_int_equal(d.why, GF_REF_KTHREAD);
	slot = SEND();
	fake_answer(&f, (uint32_t)slot, GPUFAS_REFUSED, GPUFAS_WHY_DISARMED);
	assert_int_equal(POLL(slot, 1), -ENODEV);
	slot = SEND();
	fake_answer(&f, (uint32_t)slot, GPUFAS_REFUSED, 999); /* no such reason */
	assert_int_equal(POLL(slot, 1), 0);
	assert_int_equal(d.became, GF_BECAME_REFUSED);
	/* no answer: void, and so not done twice */
	slot = SEND();
	assert_int_equal(POLL(slot, 400000000), -ENODEV);
	assert_true(f.verdict[slot].check != gpufas_check(77, &f.verdict[slot]));
	/* the region goes while one is under way */
	slot = SEND();
	f.h->state = GPUFAS_DEAD;
	assert_int_equal(POLL(slot, 1), -ENODEV);
	assert_int_equal(SEND(), -ENODEV);
	f.h->state = GPUFAS_SAMPLING;
	/* what is not for it */
	v.arg = 40;
	assert_int_equal(SEND(), -ENODEV);
	v.action = GF_ACT_FREEZE;
	assert_int_equal(SEND(), -ENODEV);
#undef SEND
#undef POLL
	free(f.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mail), cmocka_unit_test(test_delivery), cmocka_unit_test(test_by_hand), cmocka_unit_test(test_assist_mail),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
