/* SPDX-License-Identifier: MIT
 *
 * What a device delivers by itself, in a memory built by hand: with plain stores only (no atomic operations), and with them; what it
 * offers to the host, and both ends of an offer. What a real kernel does with it is tested in guests.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <time.h>

#include <cmocka.h>

/* Something happens in the guest at one of the looks at the clock, of which there is one between the choice of a thread and the store into it. */
static void (*at_clock)(void *arg);
static void *at_clock_arg;

static int clock_looked_at(clockid_t id, struct timespec *t)
{
	if (at_clock)
		at_clock(at_clock_arg);
	return clock_gettime(id, t);
}

#define clock_gettime clock_looked_at
#include "gpu/now.h"
#undef clock_gettime

#include "gpu/deliver.h"
#include "tests/unit/fakeguest.h"

#define START 5000000000ull
#define SECOND (TASK + 0x1000u)
#define HEAD (PERCPU + LAZY)
#define MS 1000000ull

struct dev {
	struct fake *f;
	struct gf_deliverer *v;
	struct gf_pseudo_plain plain;
	struct gf_deliver_hand hand;
	struct gf_deliver_guest g;
	struct gf_deliver_result r;
	uint64_t now;
};

static int dev_setup(void **state)
{
	struct dev *d = calloc(1, sizeof *d);
	struct gf_pseudo_pool pool;
	void *f;

	setup(&f);
	d->f = f;
	d->f->p.tif_resched = 3;
	gf_pseudo_set_aside(&d->f->p, &pool);
	assert_int_equal(pool.n, 4);
	gf_pseudo_plain(&d->f->p, &d->plain);
	assert_null(d->plain.mem);
	d->plain.mem = &d->f->k.mem;
	d->v = calloc(1, sizeof *d->v);
	gf_deliver_init(d->v, 0, 0, &d->hand, &pool);
	d->g = (struct gf_deliver_guest){ .p = &d->plain, .boot = 7 };
	d->now = 1000 * MS;
	*state = d;
	return 0;
}

static int dev_teardown(void **state)
{
	struct dev *d = *state;
	void *f = d->f;

	teardown(&f);
	free(d->v);
	free(d);
	return 0;
}

static enum gf_deliver_begun give(struct dev *d, int sig, uint64_t event)
{
	struct gf_verdict v = { .event = event, .pid = 77, .start_ns = START, .action = GF_ACT_SIGNAL, .arg = sig };

	return gf_deliver_begin(d->v, &d->g, 0, &v, d->now);
}

/* A tick later. True: something was said. */
static bool tick(struct dev *d, uint64_t ns)
{
	d->now += ns;
	gf_deliver_follow(d->v, &d->g, 0, d->now);
	return gf_deliver_result(d->v, &d->r);
}

static uint64_t member(struct dev *d, uint64_t base, int m)
{
	return peek(d->f, base + d->f->p.m[m], d->f->p.msize[m]);
}

static void asleep(struct dev *d)
{
	put_member(d->f, TASK, M_TASK_STATE, 1);
	put_member(d->f, SECOND, M_TASK_STATE, 1);
}

static void all_idle(struct dev *d)
{
	put_member(d->f, PERCPU + 0x1000, M_RQ_CURR, 5);
	put_member(d->f, PERCPU + 0x1000, M_RQ_IDLE, 5);
}

/* Bits that others have in the same bytes stay. */
static void test_store(void **state)
{
	struct dev *d = *state;

	put_member(d->f, SECOND, M_TASK_ON_CPU, 1);
	put_member(d->f, SECOND, M_TASK_TI_FLAGS, 0x8002);
	put_member(d->f, SECOND, M_TASK_PENDING, 0x8001000000000200ull);
	assert_int_equal(give(d, 9, 1), GF_BEGUN);
	assert_int_equal(member(d, SECOND, M_TASK_PENDING), 0x8001000000000300ull);
	assert_int_equal(member(d, SECOND, M_TASK_TI_FLAGS), 0x8006);
	assert_int_equal(member(d, SIGNAL, M_SIG_FLAGS), 0);
	assert_false(tick(d, MS));
	/* the flag is lost: again */
	put_member(d->f, SECOND, M_TASK_TI_FLAGS, 0x8002);
	assert_false(tick(d, MS));
	assert_int_equal(member(d, SECOND, M_TASK_TI_FLAGS), 0x8006);
	put_member(d->f, SIGNAL, M_SIG_FLAGS, 4);
	assert_false(tick(d, MS));
	put_member(d->f, TASK, M_TASK_EXIT_STATE, 32);
	put_member(d->f, SIGNAL, M_SIG_NR_THREADS, 1);
	assert_true(tick(d, MS));
	assert_int_equal(d->r.kind, GF_DELIVER_LAST);
	assert_int_equal(d->r.event, 1);
	assert_int_equal(d->r.member.how, GF_HOW_GPU_STORE);
	assert_int_equal(d->r.member.became, GF_BECAME_DELIVERED);
	assert_int_equal(d->r.member.tries, 2);
	assert_int_equal(d->r.member.exit_us, 4000);
	assert_int_equal(d->v->used, 0);
}

/* NEED_RESCHED is never stored: the flag waits until it is clear. */
static void test_resched(void **state)
{
	struct dev *d = *state;

	put_member(d->f, TASK, M_TASK_TI_FLAGS, 0x8);
	put_member(d->f, TASK, M_TASK_ON_CPU, 1);
	assert_int_equal(give(d, 9, 1), GF_BEGUN);
	assert_int_equal(member(d, TASK, M_TASK_PENDING), 0x100);
	for (int i = 0; i < 5; i++) {
		assert_false(tick(d, MS));
		assert_int_equal(member(d, TASK, M_TASK_TI_FLAGS), 0x8);
	}
	put_member(d->f, TASK, M_TASK_TI_FLAGS, 0);
	assert_false(tick(d, 1000));
	assert_int_equal(member(d, TASK, M_TASK_TI_FLAGS), 4);
	/* in another byte it is nobody's concern */
	d->plain.tif_resched = 11;
	put_member(d->f, TASK, M_TASK_TI_FLAGS, 0x800);
	assert_false(tick(d, MS));
	assert_int_equal(member(d, TASK, M_TASK_TI_FLAGS), 0x804);
}

/* Which bit it is is not known: nothing is stored into threads. */
static void test_resched_unknown(void **state)
{
	struct dev *d = *state;

	d->plain.tif_resched = GF_RESCHED_UNKNOWN;
	d->plain.parts_off |= PART_SEND;
	assert_int_equal(give(d, 9, 1), GF_HAND_OVER);
	assert_int_equal(member(d, TASK, M_TASK_PENDING), 0);
	assert_true(gf_deliver_result(d->v, &d->r));
	assert_int_equal(d->r.kind, GF_DELIVER_OFFER);
	assert_false(d->r.begun);
	/* nobody takes it: what there is is said */
	assert_true(tick(d, 60 * MS));
	assert_int_equal(d->r.kind, GF_DELIVER_LAST);
	assert_int_equal(d->r.member.why, GF_REF_NO_ROAD);
	assert_int_equal(member(d, TASK, M_TASK_TI_FLAGS), 0);
	d->plain.atomics = 1;
	assert_int_equal(give(d, 9, 2), GF_BEGUN);
	assert_int_equal(member(d, TASK, M_TASK_TI_FLAGS), 4);
}

static void test_send(void **state)
{
	struct dev *d = *state;
	uint64_t b;

	asleep(d);
	assert_int_equal(give(d, SIGTERM, 1), GF_BEGUN);
	b = d->plain.block[d->v->pool.block[0]] - OFFSET;
	assert_int_equal(peek(d->f, HEAD, 8), va(b + 120));
	assert_int_equal(peek(d->f, b + 120, 8), 0);
	assert_int_equal(peek(d->f, b + 128, 4), 3);
	assert_int_equal(peek(d->f, b + 104, 8), va(PIDS));
	assert_int_equal(peek(d->f, b + 256 + 24, 4), SIGTERM);
	assert_int_equal(peek(d->f, b, 8) >> 32, PSEUDO_ASIDE_CLAIM);
	/* pinned, once, for good */
	assert_int_equal(member(d, PIDS, M_PID_COUNT), 1 + PSEUDO_PIN);
	assert_false(tick(d, MS));
	poke(d->f, HEAD, 0, 8);
	poke(d->f, b + 128, 0, 4);
	poke(d->f, b + 256 + 44, 0, 4);
	assert_false(tick(d, MS));
	assert_false(tick(d, MS));
	assert_int_equal(member(d, PIDS, M_PID_COUNT), 1 + PSEUDO_PIN);
	put_member(d->f, TASK, M_TASK_EXIT_STATE, 32);
	put_member(d->f, SIGNAL, M_SIG_NR_THREADS, 1);
	assert_true(tick(d, MS));
	assert_int_equal(d->r.member.how, GF_HOW_GPU_IRQ_WORK);
	assert_int_equal(d->r.member.became, GF_BECAME_DELIVERED);
}

/* A thread that has taken a stop signal, and is about to stop itself, is reached by the kernel's own sender; without that, by a store. */
static void test_stopping(void **state)
{
	static const uint8_t bit[] = { 16, 17, 18, 26 };
	struct dev *d = *state;
	struct gf_pseudo_thread t;

	for (uint32_t i = 0; i < 32; i++) {
		put_member(d->f, SECOND, M_TASK_JOBCTL, 1ull << i);
		memset(&t, 0, sizeof t);
		assert_true(gf_ps_thread_read(&d->plain, va(SECOND), va(SIGNAL), 9, &t));
		assert_int_equal(t.stopping != 0, memchr(bit, (int)i, sizeof bit) != NULL);
	}
	put_member(d->f, SECOND, M_TASK_JOBCTL, 1ull << 17);
	put_member(d->f, SECOND, M_TASK_ON_CPU, 1);
	assert_int_equal(give(d, 9, 1), GF_BEGUN);
	assert_int_equal(member(d, SECOND, M_TASK_PENDING), 0);
	assert_int_equal(member(d, SECOND, M_TASK_TI_FLAGS), 0);
	assert_int_not_equal(peek(d->f, HEAD, 8), 0);
	for (int i = 0; i < 3; i++) /* nor later */
		assert_false(tick(d, MS));
	assert_int_equal(member(d, SECOND, M_TASK_PENDING), 0);
	/* there is no other */
	poke(d->f, HEAD, 0, 8);
	d->plain.parts_off |= PART_SEND;
	assert_int_equal(give(d, SIGTERM, 2), GF_BEGUN);
	assert_int_equal(member(d, SECOND, M_TASK_PENDING), 1ull << (SIGTERM - 1));
	assert_int_equal(member(d, SECOND, M_TASK_TI_FLAGS), 4);
}

static void stop_is_taken(void *arg)
{
	struct dev *d = arg;

	put_member(d->f, SECOND, M_TASK_JOBCTL, 1ull << 17);
	at_clock = NULL;
}

/* One that takes it after it has been chosen: nothing is stored into it either, but where a store is all that there is. */
static void test_stops_after_choice(void **state)
{
	struct dev *d = *state;

	for (uint32_t sender = 0; sender < 2; sender++) {
		put_member(d->f, SECOND, M_TASK_JOBCTL, 0);
		put_member(d->f, SECOND, M_TASK_ON_CPU, 1);
		d->plain.parts_off = sender ? 0 : PART_SEND;
		at_clock = stop_is_taken;
		at_clock_arg = d;
		assert_int_equal(give(d, sender ? SIGTERM : 9, sender + 1), GF_BEGUN);
		assert_null(at_clock); /* it has happened */
		assert_int_equal(member(d, SECOND, M_TASK_PENDING), sender ? 0 : 0x100);
		assert_int_equal(member(d, SECOND, M_TASK_TI_FLAGS), sender ? 0 : 4);
		assert_int_equal(peek(d->f, HEAD, 8) != 0, sender);
		for (int i = 0; i < 3; i++)
			tick(d, MS);
		assert_int_equal(member(d, SECOND, M_TASK_PENDING), sender ? 0 : 0x100);
		put_member(d->f, SECOND, M_TASK_PENDING, 0);
		put_member(d->f, SECOND, M_TASK_TI_FLAGS, 0);
	}
}

/* A head that is not empty is never written, nor is a block taken while it waits; then it goes on. */
static void test_head_in_use(void **state)
{
	struct dev *d = *state;

	asleep(d);
	poke(d->f, HEAD, va(0x300), 8);
	assert_int_equal(give(d, 9, 1), GF_BEGUN);
	for (int i = 0; i < 3; i++)
		assert_false(tick(d, MS));
	assert_int_equal(peek(d->f, HEAD, 8), va(0x300));
	assert_int_equal(member(d, PIDS, M_PID_COUNT), 1);
	poke(d->f, HEAD, 0, 8);
	assert_false(tick(d, MS));
	assert_int_not_equal(peek(d->f, HEAD, 8), 0);
}

/* Blocks: the device's are nobody else's, until they have not been renewed for long. */
static void test_blocks(void **state)
{
	struct dev *d = *state;
	struct gf_pseudo_victim v = { .task = va(TASK), .signal = va(SIGNAL), .pid_struct = va(PIDS), .pid = 77 };
	struct gf_pseudo_pool *pool = &d->v->pool;
	uint32_t theirs = 0;

	while (pseudo_block_signal(&d->f->p, &v, SIGTERM) != GF_NONE)
		theirs++;
	assert_int_equal(theirs, 4);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(gf_ps_pool_take(&d->plain, pool), pool->block[i]);
	assert_int_equal(gf_ps_pool_take(&d->plain, pool), GF_NONE); /* used a moment ago */
	poke(d->f, 0x150200, 1000 + PSEUDO_REUSE, 8);
	poke(d->f, 0x20000 + pool->block[0] * BLOCK + 256, va(0x200), 8); /* its signal is queued still */
	poke(d->f, 0x20000 + pool->block[1] * BLOCK + 128, 3, 4);         /* not drained */
	assert_int_equal(gf_ps_pool_take(&d->plain, pool), pool->block[2]);
}

/* What was set aside and never used can be taken by anybody when it has been given back for long enough. */
static void test_blocks_unused(void **state)
{
	struct dev *d = *state;
	struct gf_pseudo_victim v = { .task = va(TASK), .signal = va(SIGNAL), .pid_struct = va(PIDS), .pid = 77 };
	uint32_t n = 0;

	gf_pseudo_give_back(&d->f->p, &d->v->pool);
	poke(d->f, 0x150200, 1000 + PSEUDO_REUSE, 8);
	while (pseudo_block_signal(&d->f->p, &v, SIGTERM) != GF_NONE)
		n++;
	assert_int_equal(n, 8);
}

static void test_blocks_age(void **state)
{
	struct dev *d = *state;
	struct gf_pseudo_pool *pool = &d->v->pool;
	uint32_t b = pool->block[1];

	/* renewed: it stays the device's */
	poke(d->f, 0x150200, 1000 + PSEUDO_ASIDE - 1, 8);
	gf_ps_pool_renew(&d->plain, pool);
	assert_int_equal(pool->n, 4);
	assert_int_equal((uint32_t)peek(d->f, 0x20000 + b * BLOCK, 8), 1000 + PSEUDO_ASIDE - 1);
	/* another has one by now */
	poke(d->f, 0x20000 + b * BLOCK, PSEUDO_CLAIM << 32 | 5, 8);
	poke(d->f, 0x150200, 1000 + 2 * PSEUDO_ASIDE - 2, 8);
	gf_ps_pool_renew(&d->plain, pool);
	assert_int_equal(pool->n, 3);
	/* given back: they age as others' */
	gf_pseudo_give_back(&d->f->p, pool);
	for (uint32_t i = 0; i < pool->n; i++)
		assert_int_equal(peek(d->f, 0x20000 + pool->block[i] * BLOCK, 8) >> 32, PSEUDO_CLAIM);
}

/* No reference where there is none left, nor to what is no longer in the tree of numbers. */
static void test_pin(void **state)
{
	struct dev *d = *state;
	struct gf_pseudo_victim v = { .pid_struct = va(PIDS), .pid = 77 };

	put_member(d->f, PIDS, M_PID_COUNT, 0);
	assert_false(gf_ps_pin(&d->plain, &v));
	assert_int_equal(member(d, PIDS, M_PID_COUNT), 0);
	put_member(d->f, PIDS, M_PID_COUNT, 3);
	assert_true(gf_ps_pin(&d->plain, &v));
	assert_true(gf_ps_pin(&d->plain, &v));
	assert_int_equal(member(d, PIDS, M_PID_COUNT), 3 + PSEUDO_PIN);
	put_member(d->f, PIDS, M_PID_COUNT, 3);
	v.pid = 78;
	assert_false(gf_ps_pin(&d->plain, &v));
	assert_int_equal(member(d, PIDS, M_PID_COUNT), 3);
}

/* All CPUs idle: the host can kick them. Who does not answer in time is not waited for, and cannot take it any more. */
static void test_offer(void **state)
{
	struct dev *d = *state;
	struct gf_delivery h;

	asleep(d);
	all_idle(d);
	assert_int_equal(give(d, 9, 1), GF_HAND_OVER);
	assert_int_equal(peek(d->f, HEAD, 8), 0);
	assert_true(gf_deliver_result(d->v, &d->r));
	assert_false(tick(d, 40 * MS));
	assert_int_equal(gf_hand_take(&d->hand, d->r.slot, d->r.ticket), 1);
	gf_pseudo_take_over(&d->f->p, &d->r, NULL, &h);
	assert_int_equal(h.phase, GF_PHASE_QUEUED);
	assert_int_equal(h.how, GF_HOW_IRQ_WORK);
	assert_false(tick(d, 40 * MS));
	assert_int_equal(d->v->used, 0);
	assert_int_equal(d->v->alone, 0);
	/* nobody answers */
	poke(d->f, HEAD, 0, 8);
	assert_int_equal(give(d, 9, 2), GF_HAND_OVER);
	assert_true(gf_deliver_result(d->v, &d->r));
	assert_false(tick(d, 60 * MS));
	assert_int_not_equal(peek(d->f, HEAD, 8), 0);
	assert_int_equal(d->v->alone, 1);
	assert_int_equal(gf_hand_take(&d->hand, d->r.slot, d->r.ticket), 0);
}

/* Both at once: the device has begun to take it back, and has seen the host. */
static void test_offer_race(void **state)
{
	struct dev *d = *state;

	d->hand.offer[5] = 9 * 8 + GF_HAND_OFFERED;
	d->hand.took[5] = 9;
	assert_false(gf_hand_revoke(&d->hand, 5, 9));
	assert_int_equal(gf_hand_take(&d->hand, 5, 9), 1);
	d->hand.offer[5] = 10 * 8 + GF_HAND_REVOKING;
	assert_int_equal(gf_hand_take(&d->hand, 5, 10), -1);
	d->hand.took[5] = 9;
	assert_true(gf_hand_revoke(&d->hand, 5, 10));
	assert_int_equal(gf_hand_take(&d->hand, 5, 10), 0);
	assert_int_equal(gf_hand_take(&d->hand, 5, 9), 0);
}

/* What is not a signal is the host's. */
static void test_not_a_signal(void **state)
{
	struct dev *d = *state;
	struct gf_verdict v = { .pid = 77, .start_ns = START, .action = GF_ACT_FREEZE };

	assert_int_equal(gf_deliver_begin(d->v, &d->g, 0, &v, d->now), GF_HAND_OVER);
	assert_true(gf_deliver_result(d->v, &d->r));
	assert_int_equal(d->r.verdict.action, GF_ACT_FREEZE);
	assert_false(tick(d, 1000 * MS)); /* it waits */
	assert_int_equal(d->v->used, 1);
	d->v->hand = NULL; /* without offers that can be taken back it is the host's at once */
	gf_deliver_forget(d->v, &d->v->entry[0]);
	assert_int_equal(gf_deliver_begin(d->v, &d->g, 0, &v, d->now), GF_HAND_OVER);
	assert_true(gf_deliver_result(d->v, &d->r));
	assert_int_equal(d->r.kind, GF_DELIVER_OFFER_GONE);
	assert_int_equal(d->v->used, 0);
}

static void refused(struct dev *d, int sig, int why)
{
	uint8_t *before = malloc(SIZE);

	memcpy(before, d->f->mem, SIZE);
	assert_int_equal(give(d, sig, 1), GF_BEGUN);
	assert_true(gf_deliver_result(d->v, &d->r));
	assert_int_equal(d->r.kind, GF_DELIVER_LAST);
	assert_int_equal(d->r.member.became, GF_BECAME_REFUSED);
	assert_int_equal(d->r.member.why, why);
	assert_memory_equal(before, d->f->mem, SIZE);
	free(before);
}

static void test_refusals(void **state)
{
	struct dev *d = *state;
	struct fake *f = d->f;

	put_member(f, SIGNAL, M_SIG_FLAGS, 0x40);
	refused(d, 9, GF_REF_INIT);
	put_member(f, SIGNAL, M_SIG_FLAGS, 4);
	refused(d, 9, GF_REF_EXITING);
	put_member(f, SIGNAL, M_SIG_FLAGS, 0);
	put_member(f, TASK, M_TASK_FLAGS, 0x200000);
	refused(d, 9, GF_REF_KTHREAD);
	put_member(f, TASK, M_TASK_FLAGS, 0);
	put_member(f, SECOND, M_TASK_PTRACE, 1);
	refused(d, 9, GF_REF_TRACED);
	put_member(f, SECOND, M_TASK_PTRACE, 0);
	poke(f, HAND + 32 * (SIGTERM - 1), 1, 8);
	refused(d, SIGTERM, GF_REF_IGNORED);
	put_member(f, TASK, M_TASK_BLOCKED, ~0ull);
	put_member(f, SECOND, M_TASK_BLOCKED, ~0ull);
	refused(d, SIGUSR1, GF_REF_BLOCKED);
	d->plain.writable = 0;
	refused(d, 9, GF_REF_READ_ONLY);
	d->plain.writable = 1;
	put_member(f, TASK, M_TASK_START, START + 20 * MS);
	refused(d, 9, GF_REF_IDENTITY);
	poke(f, NODE + 0x800 + f->p.m[M_XN_SLOTS] + 8 * (77 & 63), 0, 8);
	refused(d, 9, GF_REF_GONE);
}

/* Paused, replaced by another boot, gone: nothing is stored, not even again. */
static void test_not_storable(void **state)
{
	struct dev *d = *state;
	struct gf_verdict v = { .pid = 77, .start_ns = START, .action = GF_ACT_SIGNAL, .arg = 9 };

	d->f->k.mem.pgd.v = 0; /* no page tables lead to a banner */
	assert_int_equal(gf_deliver_storable(&d->g), GF_REF_NO_GUEST);
	gf_deliver_begin(d->v, &d->g, GF_REF_PAUSED, &v, d->now);
	assert_true(gf_deliver_result(d->v, &d->r));
	assert_int_equal(d->r.member.why, GF_REF_PAUSED);
	v.epoch = 6;
	gf_deliver_begin(d->v, &d->g, 0, &v, d->now);
	assert_true(gf_deliver_result(d->v, &d->r));
	assert_int_equal(d->r.member.why, GF_REF_REBOOTED);
	assert_int_equal(member(d, TASK, M_TASK_PENDING), 0);
	assert_int_equal(give(d, 9, 1), GF_BEGUN);
	put_member(d->f, TASK, M_TASK_TI_FLAGS, 0);
	d->now += 10 * MS;
	gf_deliver_follow(d->v, &d->g, GF_REF_PAUSED, d->now);
	assert_int_equal(member(d, TASK, M_TASK_TI_FLAGS), 0);
	d->g.boot = 8;
	assert_true(tick(d, MS));
	assert_int_equal(d->r.member.became, GF_BECAME_LOST);
	d->g.p = NULL;
	assert_int_equal(gf_deliver_storable(&d->g), GF_REF_NO_GUEST);
}

/* Threads in a ring that does not lead back to the group: one delivery is as long as it may be, and few are begun in a tick; then the others. */
static void test_ring_of_threads(void **state)
{
	struct dev *d = *state;
	uint64_t node = d->f->p.m[M_TASK_THREAD_NODE];
	uint32_t begun = 0, most = 0, worst = 0;

	d->plain.walked = &d->v->walked;
	poke(d->f, SECOND + node, va(SECOND + node), 8);
	for (uint32_t i = 0; i < 10; i++) {
		enum gf_deliver_begun r = give(d, i % 2 ? SIGTERM : 9, i + 1);
		assert_true(r == GF_BEGUN || r == GF_BEGUN_WAITS);
		begun += r == GF_BEGUN;
	}
	assert_in_range(begun, 1, 9);
	assert_in_range(d->v->waiting, 1, 9);
	for (int ticks = 0; ticks < 20; ticks++) {
		most = GF_MAX(most, d->v->walked);
		begun = d->v->waiting;
		tick(d, MS);
		assert_true(!begun || d->v->waiting < begun);
		worst = GF_MAX(worst, d->v->walked);
	}
	assert_true(worst > 0);
	assert_int_equal(d->v->waiting, 0);
	/* as much as one may take beyond what a tick may */
	assert_true(most < 2 * GF_DELIVER_WALK && worst < 2 * GF_DELIVER_WALK);
	/* one of a few threads is not hindered by it */
	poke(d->f, SECOND + node, va(SIGNAL + d->f->p.m[M_SIG_THREADS]), 8);
	tick(d, MS);
	put_member(d->f, SECOND, M_TASK_ON_CPU, 1);
	assert_int_equal(give(d, 9, 99), GF_BEGUN);
	assert_int_equal(member(d, SECOND, M_TASK_PENDING), 0x100);
	assert_int_equal(d->v->walked, 0);
}

/* Who came first begins first, also where he had to wait: of two to one process the later one has the last word. */
static void test_waits_in_order(void **state)
{
	struct dev *d = *state;

	d->plain.walked = &d->v->walked;
	put_member(d->f, SECOND, M_TASK_ON_CPU, 1);
	d->v->walked_ns = d->now;
	d->v->walked = GF_DELIVER_WALK; /* this tick can begin no more */
	assert_int_equal(give(d, SIGTERM, 1), GF_BEGUN_WAITS);
	d->now += MS;
	assert_int_equal(give(d, SIGKILL, 2), GF_BEGUN_WAITS);
	assert_true(tick(d, 0));
	assert_int_equal(d->r.event, 1);
	assert_int_equal(d->r.kind, GF_DELIVER_LAST);
	assert_false(gf_deliver_result(d->v, &d->r));
	assert_int_equal(d->v->waiting, 0);
	assert_int_equal(d->v->used, 1);
	assert_int_equal(d->v->entry[d->v->top - 1].v.arg, SIGKILL);
	/* nobody waits any more: the next one need not */
	assert_int_equal(give(d, SIGKILL, 3), GF_BEGUN);
}

/* A later one to the same process takes the place of the first; observing stores nothing. */
static void test_later(void **state)
{
	struct dev *d = *state;
	struct gf_verdict v = { .event = 3, .pid = 77, .start_ns = START, .action = GF_ACT_SIGNAL, .arg = 15, .flags = GF_VERDICT_OBSERVE };

	gf_deliver_begin(d->v, &d->g, 0, &v, d->now);
	assert_true(gf_deliver_result(d->v, &d->r));
	assert_true(d->r.observed && !d->r.member.tries);
	assert_int_equal(member(d, TASK, M_TASK_PENDING), 0);
	assert_int_equal(give(d, SIGTERM, 1), GF_BEGUN);
	assert_int_equal(give(d, SIGKILL, 2), GF_BEGUN);
	assert_true(gf_deliver_result(d->v, &d->r));
	assert_int_equal(d->r.event, 1);
	assert_int_equal(d->r.member.became, GF_BECAME_PENDING);
	assert_int_equal(d->v->used, 1);
	/* after a second it is said that it waits, after thirty no more is */
	assert_true(tick(d, 1000 * MS));
	assert_int_equal(d->r.kind, GF_DELIVER_TOLD);
	assert_false(tick(d, 1000 * MS));
	assert_true(tick(d, 30000 * MS));
	assert_int_equal(d->r.kind, GF_DELIVER_LAST);
	assert_int_equal(d->v->used, 0);
}

/* More than there is room for: they wait, none is lost, and who cannot even wait is told so. */
static void test_full(void **state)
{
	struct dev *d = *state;
	struct gf_verdict v = { .pid = 77, .start_ns = 0, .action = GF_ACT_FREEZE };
	uint32_t n = 0, said = 0;

	for (int r = GF_BEGUN; r != GF_BEGUN_FULL; n++) {
		v.event = n;
		v.start_ns = START + n; /* none takes another's place */
		r = gf_deliver_begin(d->v, &d->g, 0, &v, d->now);
		assert_int_equal(r, n < GF_DELIVER_MAX ? GF_HAND_OVER : n < GF_DELIVER_MAX + GF_DELIVER_WAITING ? GF_BEGUN_WAITS : GF_BEGUN_FULL);
	}
	n--;
	assert_int_equal(n, GF_DELIVER_MAX + GF_DELIVER_WAITING);
	for (int i = 0; i < 2000 && said < n; i++) {
		while (gf_deliver_result(d->v, &d->r)) {
			assert_int_equal(d->r.event, said);
			said++;
			assert_int_equal(gf_hand_take(&d->hand, d->r.slot, d->r.ticket), 1);
		}
		d->now += MS;
		gf_deliver_follow(d->v, &d->g, 0, d->now);
	}
	assert_int_equal(said, n);
	assert_int_equal(d->v->waiting, 0);
	for (int i = 0; i < 100 && d->v->used; i++)
		assert_false(tick(d, MS));
	assert_int_equal(d->v->used, 0);
	assert_int_equal(d->v->top, 0);
}

/* The device is lost: what can be seen of what it did decides. */
static void test_resume(void **state)
{
	struct dev *d = *state;
	struct gf_verdict v = { .pid = 77, .start_ns = START, .action = GF_ACT_SIGNAL, .arg = SIGTERM };
	struct gf_delivery h;

	gf_pseudo_resume(&d->f->p, &v, NULL, &h); /* there is no trace of it: not sent twice */
	assert_int_equal(h.became, GF_BECAME_UNSEEN);
	assert_int_equal(member(d, TASK, M_TASK_PENDING), 0);
	v.arg = SIGKILL;
	gf_pseudo_resume(&d->f->p, &v, NULL, &h);
	assert_int_equal(h.phase, GF_PHASE_STORED);
	assert_int_equal(member(d, TASK, M_TASK_PENDING), 0x100);
	v.arg = SIGTERM;
	put_member(d->f, SECOND, M_TASK_PENDING, 1ull << (SIGTERM - 1));
	gf_pseudo_resume(&d->f->p, &v, NULL, &h);
	assert_int_equal(h.phase, GF_PHASE_STORED);
	assert_int_equal(h.thread, va(SECOND));
	put_member(d->f, SECOND, M_TASK_PENDING, 0);
	asleep(d);
	assert_int_equal(give(d, SIGTERM, 1), GF_BEGUN);
	gf_pseudo_resume(&d->f->p, &v, NULL, &h);
	assert_int_equal(h.phase, GF_PHASE_QUEUED);
	put_member(d->f, TASK, M_TASK_EXIT_STATE, 32);
	put_member(d->f, SIGNAL, M_SIG_NR_THREADS, 1);
	gf_pseudo_resume(&d->f->p, &v, NULL, &h);
	assert_int_equal(h.became, GF_BECAME_DELIVERED);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, dev_setup, dev_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_store), T(test_resched), T(test_resched_unknown), T(test_send), T(test_stopping), T(test_stops_after_choice), T(test_head_in_use), T(test_blocks), T(test_blocks_unused), T(test_blocks_age),
		T(test_pin), T(test_offer), T(test_offer_race), T(test_not_a_signal), T(test_refusals), T(test_not_storable), T(test_later), T(test_ring_of_threads), T(test_waits_in_order),
		T(test_full), T(test_resume),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
