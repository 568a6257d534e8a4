/* SPDX-License-Identifier: MIT
 *
 * Where a process is said to be, by a sampler or by an earlier look: true hints spare the tree of numbers, and false ones, of whatever
 * kind, come to nothing. And what is looked at again between a choice and a store.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "gpu/deliver.h"
#include "tests/unit/fakeguest.h"

#define START 5000000000ull
#define SECOND (TASK + 0x1000u)
#define OTHER (TASK + 0x2000u)   /* another process' */
#define OTHER_PID (PIDS + 0x400u)
#define OTHER_SIGNAL (SIGNAL + 0x800u)
#define THREAD_PID (PIDS + 0x800u)
#define HEAD (PERCPU + LAZY)
#define PAGE 0x1000u

struct world {
	struct fake *f;
	struct gf_deliverer *v;
	struct gf_pseudo_plain plain;
	struct gf_deliver_guest g;
	struct gf_deliver_result r;
	uint64_t task[4], pid_struct[4];
	uint32_t pass[4];
};

/* A second process, 78, of one thread; row 1 is the first's. */
static void add_other(struct world *w)
{
	struct fake *f = w->f;

	put_member(f, OTHER, M_TASK_PID, 78);
	put_member(f, OTHER, M_TASK_TGID, 78);
	put_member(f, OTHER, M_TASK_START, START);
	put_member(f, OTHER, M_TASK_SIGNAL, va(OTHER_SIGNAL));
	put_member(f, OTHER, M_TASK_SIGHAND, va(HAND));
	put_member(f, OTHER, M_TASK_ON_RQ, 1);
	put_member(f, OTHER, M_TASK_ON_CPU, 1);
	put_member(f, OTHER, M_TASK_THREAD_PID, va(OTHER_PID));
	put_member(f, OTHER_PID, M_PID_TGID, va(OTHER + f->p.m[M_TASK_LINK_TGID]));
	poke(f, OTHER + f->p.m[M_TASK_THREAD_NODE], va(OTHER_SIGNAL + f->p.m[M_SIG_THREADS]), 8);
	poke(f, OTHER_SIGNAL + f->p.m[M_SIG_THREADS], va(OTHER + f->p.m[M_TASK_THREAD_NODE]), 8);
	poke(f, NODE + 0x800 + f->p.m[M_XN_SLOTS] + 8 * (78 & 63), va(OTHER_PID), 8);
}

static int world_setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	struct gf_pseudo_pool pool;
	void *f;

	setup(&f);
	w->f = f;
	w->f->p.tif_resched = 3;
	gf_pseudo_set_aside(&w->f->p, &pool);
	gf_pseudo_plain(&w->f->p, &w->plain);
	w->plain.mem = &w->f->k.mem;
	w->v = calloc(1, sizeof *w->v);
	gf_deliver_init(w->v, 0, 0, NULL, &pool);
	add_other(w);
	put_member(w->f, TASK, M_TASK_ON_CPU, 1);
	for (int i = 0; i < 4; i++)
		w->pass[i] = 9;
	w->task[1] = va(TASK);
	w->pid_struct[1] = va(PIDS);
	w->g = (struct gf_deliver_guest){ .p = &w->plain, .boot = 7, .task = w->task, .pid_struct = w->pid_struct, .pass = w->pass, .of_pass = 9, .rows = 4 };
	*state = w;
	return 0;
}

static int world_teardown(void **state)
{
	struct world *w = *state;
	void *f = w->f;

	teardown(&f);
	free(w->v);
	free(w);
	return 0;
}

static uint64_t member(struct world *w, uint64_t base, int m)
{
	return peek(w->f, base + w->f->p.m[m], w->f->p.msize[m]);
}

/* No tree: whoever is found all the same was found by the hint. */
static void no_tree(struct world *w)
{
	put_member(w->f, NS, M_PIDNS_HEAD, 0);
}

static void kill_77(struct world *w)
{
	struct gf_verdict v = { .event = 1, .pid = 77, .start_ns = START, .row = 1, .action = GF_ACT_SIGNAL, .arg = SIGKILL };

	assert_int_equal(gf_deliver_begin(w->v, &w->g, 0, &v, 1000000000), GF_BEGUN);
}

static int refused(struct world *w)
{
	assert_true(gf_deliver_result(w->v, &w->r));
	assert_int_equal(w->r.member.became, GF_BECAME_REFUSED);
	return w->r.member.why;
}

static void test_hint(void **state)
{
	struct world *w = *state;

	no_tree(w);
	kill_77(w);
	assert_int_equal(member(w, TASK, M_TASK_PENDING), 0x100);
	assert_int_equal(member(w, TASK, M_TASK_TI_FLAGS), 4);
	/* it is followed without the tree, too */
	put_member(w->f, TASK, M_TASK_TI_FLAGS, 0);
	gf_deliver_follow(w->v, &w->g, 0, 1002000000);
	assert_int_equal(member(w, TASK, M_TASK_TI_FLAGS), 4);
}

/* Without one, or with one of another pass, row or kernel, the tree is asked. */
static void test_no_hint(void **state)
{
	struct world *w = *state;

	no_tree(w);
	w->pass[1] = 8;
	kill_77(w);
	assert_int_equal(refused(w), GF_REF_GONE);
	w->pass[1] = 9;
	w->g.rows = 1;
	kill_77(w);
	assert_int_equal(refused(w), GF_REF_GONE);
	w->g.rows = 4;
	w->plain.msize[M_TASK_THREAD_PID] = 0; /* a kernel that has no such member */
	kill_77(w);
	assert_int_equal(refused(w), GF_REF_GONE);
	assert_int_equal(member(w, TASK, M_TASK_PENDING), 0);
	w->plain.msize[M_TASK_THREAD_PID] = 8;
	w->g.task = NULL;
	put_member(w->f, NS, M_PIDNS_HEAD, va(NODE) + 2);
	kill_77(w);
	assert_int_equal(member(w, TASK, M_TASK_PENDING), 0x100);
}

/* Each thing that it has to say of itself: one that is otherwise, and there is nobody. */
static void test_lies(void **state)
{
	static const struct {
		uint64_t at;
		int m;
		uint64_t v;
	} lie[] = {
		{ TASK, M_TASK_PID, 79 },
		{ TASK, M_TASK_TGID, 76 },                 /* a thread of another */
		{ TASK, M_TASK_START, START + 20000000 },  /* the memory is another's by now */
		{ TASK, M_TASK_SIGNAL, 0 },                /* reaped */
		{ TASK, M_TASK_THREAD_PID, 0 },            /* unhashed */
		{ TASK, M_TASK_THREAD_PID, OFFSET + THREAD_PID },
		{ PIDS, M_PID_TGID, 0 },
		{ PIDS, M_PID_TGID, OFFSET + OTHER },
	};
	struct world *w = *state;

	no_tree(w);
	for (size_t i = 0; i < sizeof lie / sizeof *lie; i++) {
		uint64_t was = member(w, lie[i].at, lie[i].m);
		put_member(w->f, lie[i].at, lie[i].m, lie[i].v);
		kill_77(w);
		if (refused(w) != GF_REF_GONE)
			fail_msg("lie %zu: refused for %u", i, w->r.member.why);
		assert_int_equal(member(w, TASK, M_TASK_PENDING), 0);
		put_member(w->f, lie[i].at, lie[i].m, was);
	}
	kill_77(w);
	assert_int_equal(member(w, TASK, M_TASK_PENDING), 0x100);
}

/* To another process, to no memory, to nothing that is an object: whom the tree names is reached, and nobody else. */
static void test_elsewhere(void **state)
{
	static const uint64_t hint[][2] = {
		{ OFFSET + OTHER, OFFSET + OTHER_PID }, { OFFSET + OTHER, OFFSET + PIDS },     { OFFSET + TASK, OFFSET + OTHER_PID },
		{ OFFSET + SECOND, OFFSET + PIDS },     { OFFSET + SIZE, OFFSET + PIDS },      { OFFSET + TASK, OFFSET + SIZE - 4 },
		{ OFFSET + TASK + 4, OFFSET + PIDS },   { OFFSET + TASK, OFFSET + PIDS + 1 },  { 1, 1 }, { ~0ull, ~0ull },
	};
	struct world *w = *state;
	uint8_t before[PAGE], *other = w->f->mem + OTHER;

	memcpy(before, other, PAGE);
	for (size_t i = 0; i < sizeof hint / sizeof *hint; i++) {
		w->task[1] = hint[i][0];
		w->pid_struct[1] = hint[i][1];
		kill_77(w);
		assert_int_equal(member(w, TASK, M_TASK_PENDING), 0x100);
		assert_memory_equal(before, other, PAGE);
		assert_int_equal(member(w, SECOND, M_TASK_PENDING), 0);
		put_member(w->f, TASK, M_TASK_PENDING, 0);
		put_member(w->f, TASK, M_TASK_TI_FLAGS, 0);
	}
}

/* de_thread(): the second thread has become the leader, or is about to. */
static void exchange(struct world *w)
{
	struct fake *f = w->f;

	put_member(f, SECOND, M_TASK_START, START);
	put_member(f, SECOND, M_TASK_THREAD_PID, va(PIDS));
	put_member(f, SECOND, M_TASK_PID, 77);
	put_member(f, TASK, M_TASK_THREAD_PID, va(THREAD_PID));
	put_member(f, TASK, M_TASK_PID, 78);
}

static void transfer(struct world *w)
{
	put_member(w->f, PIDS, M_PID_TGID, va(SECOND + w->f->p.m[M_TASK_LINK_TGID]));
}

static void leave(struct world *w)
{
	struct fake *f = w->f;

	put_member(f, TASK, M_TASK_THREAD_PID, 0);
	put_member(f, TASK, M_TASK_EXIT_STATE, 16);
	put_member(f, TASK, M_TASK_SIGNAL, 0);
	poke(f, SIGNAL + f->p.m[M_SIG_THREADS], va(SECOND + f->p.m[M_TASK_THREAD_NODE]), 8);
}

static void test_exec(void **state)
{
	struct world *w = *state;

	exchange(w);
	kill_77(w);
	assert_int_equal(refused(w), GF_REF_TORN);
	assert_int_equal(member(w, TASK, M_TASK_PENDING) | member(w, SECOND, M_TASK_PENDING), 0);
	transfer(w);
	leave(w);
	kill_77(w);
	assert_int_equal(member(w, TASK, M_TASK_PENDING), 0);
	assert_int_equal(member(w, SECOND, M_TASK_PENDING), 0x100);
}

/* ---- between choice and store ---- */

static void chosen(struct world *w, struct gf_pseudo_ctx *c, struct gf_delivery *d)
{
	const struct gf_verdict v = { .pid = 77, .start_ns = START, .action = GF_ACT_SIGNAL, .arg = SIGKILL };
	const struct gf_pseudo_hint hint = { va(TASK), va(PIDS) };
	struct gf_pseudo_choice choice;

	memset(c, 0, sizeof *c);
	c->p = &w->plain;
	c->pool = &w->v->pool;
	c->now_ns = 1000000000;
	gf_delivery_init(d, &v, GF_ROAD_AUTO, 1);
	assert_int_equal(gf_ps_find(&w->plain, 77, START, &hint, &d->victim), GF_REF_NONE);
	assert_int_equal(gf_delivery_choose(&w->plain, d, &choice), GF_REF_NONE);
	assert_int_equal(gf_delivery_road(&w->plain, d, &choice), GF_ROAD_STORE);
	d->thread = choice.best.task;
	assert_int_equal(d->thread, va(TASK));
}

/* A thread that has taken a stop signal since it was chosen is sent to by the kernel; where that is off, stored into. */
static void test_stop_meanwhile(void **state)
{
	struct world *w = *state;
	struct gf_pseudo_ctx c;
	struct gf_delivery d;

	chosen(w, &c, &d);
	put_member(w->f, TASK, M_TASK_JOBCTL, 1ull << 17);
	gf_delivery_begin_store(&c, &d);
	assert_int_equal(d.phase, GF_PHASE_QUEUED);
	assert_int_equal(d.how, GF_HOW_GPU_IRQ_WORK);
	assert_int_equal(d.thread, 0);
	assert_int_equal(member(w, TASK, M_TASK_PENDING), 0);
	assert_int_equal(member(w, TASK, M_TASK_TI_FLAGS), 0);
	assert_int_not_equal(peek(w->f, HEAD, 8), 0);
	assert_int_equal(member(w, PIDS, M_PID_COUNT), 1 + PSEUDO_PIN);
	poke(w->f, HEAD, 0, 8);
	put_member(w->f, TASK, M_TASK_JOBCTL, 0);
	chosen(w, &c, &d);
	put_member(w->f, TASK, M_TASK_JOBCTL, 1ull << 17);
	w->plain.parts_off |= PART_SEND;
	gf_delivery_begin_store(&c, &d);
	assert_int_equal(d.phase, GF_PHASE_STORED);
	assert_int_equal(member(w, TASK, M_TASK_PENDING), 0x100);
	assert_int_equal(peek(w->f, HEAD, 8), 0);
}

/* What was seen too long ago is nothing to store by. */
static void test_late(void **state)
{
	struct world *w = *state;
	struct gf_pseudo_ctx c;
	struct gf_delivery d;

	chosen(w, &c, &d);
	assert_int_equal(gf_delivery_store(&c, &d, gf_now_ns() - GF_DELIVERY_FRESH_NS), -2);
	assert_int_equal(member(w, TASK, M_TASK_PENDING), 0);
	assert_int_equal(member(w, TASK, M_TASK_TI_FLAGS), 0);
	/* the flag alone: it comes when the thread has been looked at once more */
	assert_int_equal(gf_delivery_flag(&w->plain, d.thread, gf_now_ns() - GF_DELIVERY_FRESH_NS), 0);
	assert_int_equal(member(w, TASK, M_TASK_TI_FLAGS), 0);
	gf_delivery_begin_store(&c, &d);
	assert_int_equal(d.phase, GF_PHASE_STORED);
	assert_int_equal(member(w, TASK, M_TASK_PENDING), 0x100);
}

static void refuses(struct world *w, int why, void (*meanwhile)(struct world *))
{
	struct gf_pseudo_ctx c;
	struct gf_delivery d;

	chosen(w, &c, &d);
	meanwhile(w);
	gf_delivery_begin_store(&c, &d);
	assert_int_equal(d.became, GF_BECAME_REFUSED);
	assert_int_equal(d.why, why);
	assert_int_equal(member(w, TASK, M_TASK_PENDING) | member(w, SECOND, M_TASK_PENDING), 0);
	assert_int_equal(peek(w->f, HEAD, 8), 0);
}

static void execs(struct world *w)
{
	exchange(w);
	transfer(w);
	leave(w);
}

static void test_exec_meanwhile(void **state)
{
	refuses(*state, GF_REF_GONE, execs);
}

static void exits(struct world *w)
{
	put_member(w->f, SIGNAL, M_SIG_FLAGS, 4);
}

static void test_exit_meanwhile(void **state)
{
	refuses(*state, GF_REF_EXITING, exits);
}

/* Reaped; the number, the struct pid and the memory are another's, whose start time is another. */
static void another(struct world *w)
{
	put_member(w->f, TASK, M_TASK_START, START + 1);
}

static void test_another_meanwhile(void **state)
{
	refuses(*state, GF_REF_GONE, another);
}

static void thread_exits(struct world *w)
{
	put_member(w->f, TASK, M_TASK_FLAGS, 4);
}

static void test_thread_meanwhile(void **state)
{
	refuses(*state, GF_REF_TORN, thread_exits);
}

/* ---- the tree ---- */

/* A node that says another level than its place would have it is believed what it says. */
static void test_levels(void **state)
{
	struct world *w = *state;
	struct fake *f = w->f;
	uint64_t slots = f->p.m[M_XN_SLOTS];

	assert_int_equal(gf_ps_find_pid(&w->plain, 77), va(PIDS));
	assert_int_equal(gf_ps_find_pid(&w->plain, 78), va(OTHER_PID));
	assert_int_equal(gf_ps_find_pid(&w->plain, 79), 0);
	put_member(f, NODE, M_XN_SHIFT, 12);
	poke(f, NODE + slots, va(NODE + 0x800) + 2, 8); /* 77 >> 12 is 0 */
	assert_int_equal(gf_ps_find_pid(&w->plain, 77), va(PIDS)); /* level 0 where 6 was to be */
	put_member(f, NODE + 0x800, M_XN_SHIFT, 6);
	poke(f, NODE + 0x800 + slots + 8 * (77 >> 6), va(NODE + 0x800) + 2, 8); /* leads to itself */
	assert_int_equal(gf_ps_find_pid(&w->plain, 77), 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_hint), T(test_no_hint), T(test_lies), T(test_elsewhere), T(test_exec), T(test_late), T(test_stop_meanwhile), T(test_exec_meanwhile),
		T(test_exit_meanwhile), T(test_another_meanwhile), T(test_thread_meanwhile), T(test_levels),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
