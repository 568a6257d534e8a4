/* SPDX-License-Identifier: MIT
 *
 * The CPU engine as a thread: ticks, swaps, rings, and what a tick may not do:
 * allocate, or make a system call that could block.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gpu/engine.h"
#include "tests/unit/kit.h"

/* ---- counting allocations -------------------------------------------------- */

#if !defined(__SANITIZE_ADDRESS__)
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t m);
extern void *__libc_realloc(void *p, size_t n);
extern void __libc_free(void *p);
void *malloc(size_t n);
void *calloc(size_t n, size_t m);
void *realloc(void *p, size_t n);
void free(void *p);

static __thread volatile int counting;
static volatile unsigned allocations; /* volatile: the compiler knows that malloc() changes no variable */

void *malloc(size_t n)
{
	allocations += (unsigned)counting;
	return __libc_malloc(n);
}

void *calloc(size_t n, size_t m)
{
	allocations += (unsigned)counting;
	return __libc_calloc(n, m);
}

void *realloc(void *p, size_t n)
{
	allocations += (unsigned)counting;
	return __libc_realloc(p, n);
}

void free(void *p)
{
	allocations += (unsigned)counting;
	__libc_free(p);
}
#endif

/* ---- an image and its engine ----------------------------------------------- */

static struct kit k;

/* Kills the largest while memory is low; holds and a history on the way. */
static struct gf_image_header *make_image(uint64_t fp, uint32_t extra_field)
{
	struct gf_err err = { "" };
	struct gf_image_header *img;
	struct gf_rule *r;
	struct gf_step *s;
	uint32_t h, x;

	kit_init(&k);
	k.e.fp = fp;
	x = hist(&k, GF_SCOPE_TASK, GF_STAT_RATE, S, 8);
	sink(&k, number_of(&k, GF_TF_RSS), GF_SINK_HIST, x);
	h = hold(&k, GF_SCOPE_HOST, GF_HOLD_PERIODS, 3);
	ldh(&k, 0, GF_HF_MEM_AVAILABLE);
	ldk(&k, 1, 5);
	op(&k, GF_OP_LT, 0, 0, 1, 0);
	op(&k, GF_OP_HELD, 0, 0, 0, h);
	r = rule(&k, 0, prog(&k, GF_SCOPE_HOST, 1, 0, 0, 0));
	r->settle_ns = 10 * MS;
	s = step(&k, r, GF_ACT_SIGNAL, SIGTERM, GF_PICK_LARGEST, 0);
	s->key = number_of(&k, GF_TF_RSS);
	s->group = GF_GROUP_TREE;
	step(&k, r, GF_ACT_SIGNAL, SIGCONT, GF_PICK_SAME, 3600 * S);
	k.e.fields.task |= GF_BIT(extra_field);
	img = kit_image(&k, &err);
	if (!img)
		fail_msg("verifier: %s", err.text);
	return img;
}

static struct fake *make_tasks(void)
{
	struct fake *f = fake_new(1024);

	for (uint32_t i = 0; i < 600; i++)
		fake_task(f, i);
	f->t.sample.host[GF_HF_MEM_AVAILABLE] = 1;
	return f;
}

static struct gf_engine *make_engine(struct fake *f, const struct gf_image_header *img, uint64_t period)
{
	struct gf_engine_opts o = { .period_ns = period, .budget_n = 1000, .budget_window_ns = S };
	struct gf_engine *e = NULL;
	struct gf_err err = { "" };

	if (gf_engine_create(&f->t, img, &o, &e, &err))
		fail_msg("%s", err.text);
	for (uint32_t i = 0; i < 600; i++)
		f->t.sample.col[GF_TF_RSS][i] = i;
	return e;
}

static uint64_t ticks(struct gf_engine *e)
{
	struct gf_engine_stats st;

	gf_engine_stats(e, &st);
	return st.ticks;
}

static void wait_ticks(struct gf_engine *e, uint64_t n)
{
	uint64_t from = ticks(e);

	for (int i = 0; i < 20000 && ticks(e) < from + n; i++)
		usleep(1000);
	assert_true(ticks(e) >= from + n);
}

/* ---- tests ----------------------------------------------------------------- */

static void bad_options(void **state)
{
	struct gf_image_header *img = make_image(1, GF_TF_UID);
	struct fake *f = make_tasks();
	struct gf_engine_opts o = { .period_ns = 999999 };
	struct gf_engine *e = NULL;
	struct gf_err err = { "" };

	(void)state;
	assert_int_equal(gf_engine_create(&f->t, img, &o, &e, &err), -EINVAL);
	assert_string_not_equal(err.text, "");
	o.period_ns = MS;
	o.budget_n = 100000;
	assert_int_equal(gf_engine_create(&f->t, img, &o, &e, &err), -EINVAL);
	o.budget_n = 1; /* in no time */
	assert_int_equal(gf_engine_create(&f->t, img, &o, &e, &err), -EINVAL);
	o.budget_window_ns = S;
	f->fail_fields = 1;
	assert_int_equal(gf_engine_create(&f->t, img, &o, &e, &err), -EIO);
	gf_target_destroy(&f->t);
	free(img);
}

static void tick_allocates_nothing(void **state)
{
#if defined(__SANITIZE_ADDRESS__)
	(void)state;
	skip();
#else
	struct gf_image_header *img = make_image(1, GF_TF_UID);
	struct fake *f = make_tasks();
	struct gf_engine *e = make_engine(f, img, MS);
	struct gf_rule_view v;
	void *volatile p;

	(void)state;
	gf_engine_rules(e, &v, 1, NULL);
	allocations = 0;
	counting = 1;
	for (int i = 0; i < 200; i++)
		gf_engine_tick(e, NULL);
	counting = 0;
	assert_int_equal(allocations, 0);
	counting = 1;
	p = malloc(1); /* and the counter counts */
	free(p);
	counting = 0;
	assert_int_equal(allocations, 2);
	gf_engine_destroy(e);
	gf_target_destroy(&f->t);
	free(img);
#endif
}

/* The only system calls of a tick: write() to an eventfd and, where the vdso has
 * no clock, clock_gettime(). Any other kills the child. */
static void tick_does_not_block(void **state)
{
#if defined(__SANITIZE_ADDRESS__) || !defined(__x86_64__)
	(void)state;
	skip();
#else
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_gettime, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog fp = { sizeof code / sizeof *code, code };
	struct gf_image_header *img = make_image(1, GF_TF_UID);
	struct fake *f = make_tasks();
	struct gf_engine *e = make_engine(f, img, MS);
	int status = 0;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &fp))
			_exit(77);
		for (int i = 0; i < 300; i++)
			gf_engine_tick(e, NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	gf_engine_destroy(e);
	gf_target_destroy(&f->t);
	free(img);
#endif
}

static void thread_ticks_and_wakes(void **state)
{
	struct gf_image_header *img = make_image(1, GF_TF_UID);
	struct fake *f = make_tasks();
	struct gf_engine *e = make_engine(f, img, 2 * MS);
	struct pollfd p = { gf_engine_verdict_fd(e), POLLIN, 0 };
	struct gf_verdict v[8];
	struct gf_event ev[8];
	struct gf_engine_stats st;

	(void)state;
	assert_int_equal(gf_engine_start(e, NULL), 0);
	assert_int_equal(gf_engine_start(e, NULL), -EALREADY);
	assert_int_equal(poll(&p, 1, 20000), 1);
	assert_int_equal(gf_engine_verdicts(e, v, 8), 1);
	assert_int_equal(v[0].pid, 699);
	p.fd = gf_engine_event_fd(e);
	assert_int_equal(poll(&p, 1, 20000), 1);
	/* What is left behind keeps the descriptor readable. */
	do /* a busy machine may have missed a tick or two by now */
		assert_int_equal(gf_engine_events(e, ev, 1), 1);
	while (ev[0].kind == GF_EV_MISSED);
	assert_int_equal(ev[0].kind, GF_EV_RULE_ON);
	assert_true(ev[0].wall_ns > 0);
	assert_int_equal(poll(&p, 1, 20000), 1);
	do
		assert_int_equal(gf_engine_events(e, ev, 1), 1);
	while (ev[0].kind == GF_EV_MISSED);
	assert_int_equal(ev[0].kind, GF_EV_ACTION);
	assert_int_equal(ev[0].seq, v[0].event);
	wait_ticks(e, 5);
	gf_engine_stats(e, &st);
	assert_int_equal(st.live, 600);
	assert_int_equal(st.image_fp, 1);
	assert_int_equal(st.actions, 1);
	gf_engine_stop(e);
	assert_int_equal(gf_engine_start(e, NULL), 0); /* and again */
	wait_ticks(e, 2);
	gf_engine_destroy(e);
	gf_target_destroy(&f->t);
	free(img);
}

/* A swap while running: rule state is kept, so the victim is not signalled twice;
 * the old image may be freed at once. */
static void swap_keeps_state(void **state)
{
	struct fake *f = make_tasks();
	struct gf_image_header *img = make_image(1, GF_TF_UID), *next;
	struct gf_engine *e = make_engine(f, img, 2 * MS);
	struct gf_engine_stats st;
	struct gf_rule_view view;
	struct gf_verdict v[64];
	uint64_t fp = 0;
	size_t n = 0;

	(void)state;
	assert_int_equal(gf_engine_start(e, NULL), 0);
	wait_ticks(e, 5);
	for (uint64_t i = 2; i < 40; i++) {
		next = make_image(i, i % 2 ? GF_TF_UID : GF_TF_GID);
		assert_int_equal(gf_engine_swap(e, next, NULL), 0);
		memset(img, 0xa5, img->size);
		free(img);
		img = next;
		assert_int_equal(gf_engine_rules(e, &view, 1, &fp), 1);
		assert_int_equal(fp, i);
		wait_ticks(e, 1);
	}
	n = gf_engine_verdicts(e, v, 64);
	assert_int_equal(n, 1);
	gf_engine_stats(e, &st);
	assert_int_equal(st.reloads, 38);
	assert_int_equal(st.image_fp, 39);
	gf_engine_rules(e, &view, 1, NULL);
	gf_engine_destroy(e);
	gf_target_destroy(&f->t);
	free(img);
}

/* A target that refuses the new fields: the old policy stays in force. */
static void swap_fails_cleanly(void **state)
{
	struct fake *f = make_tasks();
	struct gf_image_header *img = make_image(1, GF_TF_UID), *next = make_image(2, GF_TF_GID);
	struct gf_engine *e = make_engine(f, img, 2 * MS);
	struct gf_engine_stats st;
	struct gf_err err = { "" };

	(void)state;
	assert_int_equal(gf_engine_start(e, NULL), 0);
	f->fail_fields = 1;
	assert_int_equal(gf_engine_swap(e, next, &err), -EIO);
	assert_string_not_equal(err.text, "");
	free(next);
	wait_ticks(e, 3);
	gf_engine_stats(e, &st);
	assert_int_equal(st.image_fp, 1);
	assert_int_equal(st.reloads, 0);
	gf_engine_destroy(e);
	gf_target_destroy(&f->t);
	free(img);
}

/* A rule that is removed lets its stopped victims go on. */
static void removed_rule_lets_go(void **state)
{
	struct fake *f = make_tasks();
	struct gf_image_header *img = make_image(1, GF_TF_UID), *next;
	struct gf_engine *e = make_engine(f, img, 2 * MS);
	struct gf_verdict v[8];
	struct gf_err err = { "" };

	(void)state;
	for (int i = 0; i < 4; i++)
		gf_engine_tick(e, NULL);
	assert_int_equal(gf_engine_verdicts(e, v, 8), 1);
	kit_init(&k);
	next = kit_image(&k, &err);
	assert_non_null(next);
	assert_int_equal(gf_engine_swap(e, next, NULL), 0);
	assert_int_equal(gf_engine_verdicts(e, v, 8), 1);
	assert_int_equal(v[0].pid, 699);
	assert_int_equal(v[0].arg, SIGCONT);
	gf_engine_tick(e, NULL);
	gf_engine_destroy(e);
	gf_target_destroy(&f->t);
	free(next);
	free(img);
}

/* Nobody reads: entries are lost and counted, ticks go on. */
static void full_rings_lose_and_count(void **state)
{
	struct fake *f = fake_new(256);
	struct gf_engine_opts o = { .period_ns = 2 * MS };
	struct gf_image_header *img;
	struct gf_engine *e = NULL;
	struct gf_engine_stats st;
	struct gf_event ev[16];
	struct gf_rule *r;
	size_t got = 0, n;

	(void)state;
	kit_init(&k);
	r = rule(&k, 0, host_lt(&k, GF_HF_MEM_AVAILABLE, 5)); /* log, log, log */
	r->settle_ns = 0;
	step(&k, r, GF_ACT_LOG, 0, GF_PICK_NONE, 0);
	img = kit_image(&k, NULL);
	assert_non_null(img);
	assert_int_equal(gf_engine_create(&f->t, img, &o, &e, NULL), 0);
	f->t.sample.host[GF_HF_MEM_AVAILABLE] = 1;
	for (int i = 0; i < 6000; i++)
		gf_engine_tick(e, NULL);
	gf_engine_stats(e, &st);
	assert_int_equal(st.ticks, 6000);
	assert_true(st.events_dropped > 0);
	while ((n = gf_engine_events(e, ev, 16)))
		got += n;
	assert_int_equal(got, 1024);
	gf_engine_destroy(e);
	gf_target_destroy(&f->t);
	free(img);
}

/* ---- a share for others ---------------------------------------------------------- */

static struct {
	uint64_t end[64], begin[64]; /* of ticks, CLOCK_MONOTONIC; begin[0] is not used */
	int n;
} slow;

static uint64_t mono(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * S + (uint64_t)ts.tv_nsec;
}

/* Takes three periods, working. */
static int slow_sample(struct gf_target *t, struct gf_err *err)
{
	uint64_t from = mono(), now;

	(void)err;
	while ((now = mono()) < from + 15 * MS)
		;
	if (slow.n < 64) {
		slow.begin[slow.n] = from;
		slow.end[slow.n] = now;
		__atomic_store_n(&slow.n, slow.n + 1, __ATOMIC_RELEASE);
	}
	t->sample.now_ns += S;
	t->sample.seq++;
	return 0;
}

/* Ticks that always take longer than the period leave the core alone for a while
 * after each, however late they are; and a swap comes in between. */
static void overruns_leave_a_share(void **state)
{
	static struct gf_target_ops ops;
	struct fake *f = make_tasks();
	struct gf_image_header *img = make_image(1, GF_TF_UID), *next = make_image(2, GF_TF_UID);
	struct gf_engine *e = make_engine(f, img, 5 * MS);
	struct gf_engine_stats st;

	(void)state;
	ops = *f->t.ops;
	ops.sample = slow_sample;
	f->t.ops = &ops;
	assert_int_equal(gf_engine_start(e, NULL), 0);
	assert_int_equal(gf_engine_swap(e, next, NULL), 0);
	for (int i = 0; i < 20000 && __atomic_load_n(&slow.n, __ATOMIC_ACQUIRE) < 12; i++)
		usleep(1000);
	gf_engine_stop(e);
	assert_true(slow.n >= 12);
	for (int i = 1; i < slow.n; i++)
		assert_true(slow.begin[i] - slow.end[i - 1] >= (slow.end[i - 1] - slow.begin[i - 1]) / 4);
	gf_engine_stats(e, &st);
	assert_true(st.overruns >= 11);
	assert_true(st.missed >= 11);
	gf_engine_destroy(e);
	gf_target_destroy(&f->t);
	free(img);
	free(next);
}

/* Whoever swaps while a real-time engine runs is as it was afterwards. */
static void swap_gives_priority_back(void **state)
{
	struct fake *f = make_tasks();
	struct gf_image_header *img = make_image(1, GF_TF_UID), *next = make_image(2, GF_TF_GID);
	struct gf_engine_opts o = { .period_ns = 5 * MS, .rt_priority = 1 };
	struct gf_engine *e = NULL;
	struct gf_engine_stats st;
	int was = sched_getscheduler(0);

	(void)state;
	assert_int_equal(gf_engine_create(&f->t, img, &o, &e, NULL), 0);
	assert_int_equal(gf_engine_start(e, NULL), 0);
	wait_ticks(e, 2);
	assert_int_equal(gf_engine_swap(e, next, NULL), 0);
	assert_int_equal(sched_getscheduler(0), was);
	f->fail_fields = 1;
	assert_int_equal(gf_engine_swap(e, img, NULL), -EIO);
	assert_int_equal(sched_getscheduler(0), was);
	gf_engine_stop(e);
	gf_engine_stats(e, &st);
	if (!st.rt)
		print_message("# without real time: %s\n", st.note);
	gf_engine_destroy(e);
	gf_target_destroy(&f->t);
	free(img);
	free(next);
}

/* CAP_IPC_LOCK is enough to lock memory, whatever RLIMIT_MEMLOCK says. */
static void memory_is_locked_with_the_capability(void **state)
{
#if defined(__SANITIZE_ADDRESS__)
	(void)state;
	skip();
#else
	struct rlimit lim = { 65536, 65536 };
	int status = 0;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
		struct __user_cap_data_struct d[2] = { 0 };
		struct gf_engine_opts o = { .period_ns = 2 * MS, .mlock = true };
		struct gf_image_header *img = make_image(1, GF_TF_UID);
		struct gf_engine_stats st = { 0 };
		struct gf_engine *e = NULL;

		if (syscall(SYS_capget, &h, d) || !(d[0].effective & 1u << CAP_IPC_LOCK))
			_exit(77);
		/* Not able to raise the limit again, as in many containers. */
		d[0].effective &= ~(1u << CAP_SYS_RESOURCE);
		if (setrlimit(RLIMIT_MEMLOCK, &lim) || syscall(SYS_capset, &h, d))
			_exit(77);
		if (gf_engine_create(&make_tasks()->t, img, &o, &e, NULL) || gf_engine_start(e, NULL))
			_exit(1);
		for (int i = 0; i < 20000 && st.ticks < 3; i++, usleep(1000))
			gf_engine_stats(e, &st);
		_exit(st.ticks >= 3 && st.mlocked && !st.note[0] ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_options), cmocka_unit_test(tick_allocates_nothing),
		cmocka_unit_test(tick_does_not_block), cmocka_unit_test(thread_ticks_and_wakes),
		cmocka_unit_test(swap_keeps_state), cmocka_unit_test(swap_fails_cleanly),
		cmocka_unit_test(removed_rule_lets_go), cmocka_unit_test(full_rings_lose_and_count),
		cmocka_unit_test(overruns_leave_a_share), cmocka_unit_test(swap_gives_priority_back),
		cmocka_unit_test(memory_is_locked_with_the_capability),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
