/* SPDX-License-Identifier: MIT
 *
 * Pseudo-signals without a guest: decoding of real functions' bytes (Debian's 6.1.192 and
 * 6.12.117 cloud kernels) and of tampered ones; judging, storing and queueing in a memory built by hand. What a real
 * kernel does with it is tested in guests.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/fakeguest.h"

/* ---- decoding ---- */

static const uint8_t wake_61[] = { 0xe8, 0xab, 0x41, 0xfc, 0xff, 0x53, 0x48, 0x89, 0xfb, 0xf0, 0x80, 0x0f, 0x04, 0x83, 0xce, 0x01, 0xe8, 0x3b,
	0xd2, 0x02, 0x00, 0x85, 0xc0, 0x74, 0x06, 0x5b, 0xe9, 0x51, 0xa9, 0xd5, 0x00, 0x48, 0x89, 0xdf, 0x5b, 0xe9, 0xa8, 0x35, 0x02, 0x00 };
static const uint8_t wake_612[] = { 0xf3, 0x0f, 0x1e, 0xfa, 0xe8, 0xf7, 0x6e, 0xfb, 0xff, 0x53, 0x48, 0x89, 0xfb, 0xf0, 0x80, 0x0f, 0x04, 0x83,
	0xce, 0x01, 0xe8, 0x37, 0xb8, 0x03, 0x00, 0x85, 0xc0, 0x74, 0x06, 0x5b, 0xe9, 0x5d, 0xa0, 0xbc, 0x00, 0x48, 0x89, 0xdf, 0x5b, 0xe9 };
static const uint8_t calc_61[] = { 0xe8, 0x8b, 0x45, 0xfc, 0xff, 0x53, 0x65, 0x48, 0x8b, 0x1c, 0x25, 0x80, 0xfb, 0x01, 0x00, 0x48, 0x8b, 0xbb,
	0x08, 0x0c, 0x00, 0x00, 0xe8, 0x15, 0x14, 0x97, 0x00, 0xf0, 0x80, 0x0b, 0x04, 0xe8, 0x5c, 0xe9, 0xff, 0xff, 0x48, 0x8b, 0xbb };
static const uint8_t recalc_61[] = { 0xe8, 0x0b, 0x5c, 0xfc, 0xff, 0x65, 0x48, 0x8b, 0x3c, 0x25, 0x80, 0xfb, 0x01, 0x00, 0x48, 0xf7, 0x87, 0x18,
	0x09, 0x00, 0x00, 0x00, 0x00, 0x9a, 0x00, 0x75, 0x40, 0x48, 0x8b, 0x87, 0x10, 0x0c, 0x00, 0x00, 0x48, 0xf7, 0xd0, 0x48, 0x89, 0xc2,
	0x48, 0x23, 0x97, 0x38, 0x0c, 0x00, 0x00, 0x75, 0x2a, 0x48, 0x8b, 0x97, 0x00, 0x0c, 0x00, 0x00, 0x48, 0x23, 0x42, 0x50, 0x75, 0x1d,
	0xf6, 0x87, 0x29, 0x09, 0x00, 0x00, 0x01, 0x75, 0x14, 0x66, 0x90, 0x65, 0x48, 0x8b, 0x04, 0x25, 0x80, 0xfb, 0x01, 0x00, 0xf0, 0x80,
	0x20, 0xfb, 0xe9, 0x75, 0xc3, 0xd5, 0x00, 0xf0, 0x80, 0x0f, 0x04, 0xe9, 0x6c, 0xc3, 0xd5, 0x00 };
static const uint8_t recalc_612[] = { 0xf3, 0x0f, 0x1e, 0xfa, 0xe8, 0x67, 0x8d, 0xfb, 0xff, 0x53, 0x65, 0x48, 0x8b, 0x1d, 0x6e, 0xd2, 0xf5, 0x7e,
	0x48, 0xf7, 0x83, 0x28, 0x09, 0x00, 0x00, 0x00, 0x00, 0x9a, 0x00, 0x75, 0x38, 0x48, 0x8b, 0x83, 0x10, 0x0c, 0x00, 0x00, 0x48, 0xf7,
	0xd0, 0x48, 0x89, 0xc2, 0x48, 0x23, 0x93, 0x38, 0x0c, 0x00, 0x00, 0x75, 0x22, 0x48, 0x8b, 0x93, 0x00, 0x0c, 0x00, 0x00, 0x48, 0x23,
	0x42, 0x50, 0x75, 0x15, 0xf6, 0x83, 0x39, 0x09, 0x00, 0x00, 0x01, 0x75, 0x0c, 0x66, 0x90, 0xf0, 0x80, 0x23, 0xfb, 0x5b, 0xe9, 0x99,
	0xbe, 0xbc, 0x00, 0xf0, 0x80, 0x0b, 0x04, 0x5b, 0xe9, 0x8f, 0xbe, 0xbc, 0x00 };
static const uint8_t timer_61[] = { 0xe8, 0x2b, 0xb2, 0xf1, 0xff, 0x41, 0x55, 0x41, 0x54, 0x4c, 0x8d, 0x67, 0xa8, 0x55, 0x53, 0x48, 0x89, 0xfb,
	0x4c, 0x89, 0xe7, 0xe8, 0x76, 0x7b, 0x8c, 0x00, 0xc7, 0x43, 0xc0, 0x00, 0x00, 0x00, 0x00 };
static const uint8_t timer_612[] = { 0xf3, 0x0f, 0x1e, 0xfa, 0xe8, 0xc7, 0x91, 0xed, 0xff, 0x41, 0x55, 0x41, 0x54, 0x4c, 0x8d, 0x67, 0xa8, 0x55,
	0x53, 0x48, 0x89, 0xfb, 0x4c, 0x89, 0xe7 };
static const uint8_t waker_61[] = { 0xe8, 0xab, 0x77, 0xf2, 0xff, 0x48, 0x8b, 0x7f, 0x28, 0xe9, 0xf2, 0xfe, 0xf8, 0xff };
static const uint8_t waker_612[] = { 0xf3, 0x0f, 0x1e, 0xfa, 0xe8, 0xd7, 0x78, 0xee, 0xff, 0x48, 0x8b, 0x7f, 0x28, 0xe9, 0x4e, 0xc1, 0xf6, 0xff };

static void test_real_code(void **state)
{
	uint32_t off, mask;
	int32_t d;

	(void)state;
	assert_int_equal(pseudo_decode_or(wake_61, sizeof wake_61), 2);
	assert_int_equal(pseudo_decode_or(wake_612, sizeof wake_612), 2);
	assert_int_equal(pseudo_decode_or(calc_61, sizeof calc_61), 2);
	assert_int_equal(pseudo_decode_or(recalc_61, sizeof recalc_61), 2);
	assert_int_equal(pseudo_decode_and(recalc_61, sizeof recalc_61), 2);
	assert_int_equal(pseudo_decode_or(recalc_612, sizeof recalc_612), 2);
	assert_int_equal(pseudo_decode_and(recalc_612, sizeof recalc_612), 2);
	assert_true(pseudo_decode_test(recalc_61, sizeof recalc_61, &off, &mask));
	assert_int_equal(off, 0x918);
	assert_int_equal(mask, 0x9a0000);
	assert_true(pseudo_decode_test(recalc_612, sizeof recalc_612, &off, &mask));
	assert_int_equal(off, 0x928);
	assert_true(pseudo_decode_lea(timer_61, sizeof timer_61, &d) && d == -0x58);
	assert_true(pseudo_decode_lea(timer_612, sizeof timer_612, &d) && d == -0x58);
	assert_true(pseudo_decode_load(waker_61, sizeof waker_61, &d) && d == 0x28);
	assert_true(pseudo_decode_load(waker_612, sizeof waker_612, &d) && d == 0x28);
}

/* Copies, changes one byte, decodes. */
static int tampered_or(const uint8_t *code, size_t n, size_t at, uint8_t byte)
{
	uint8_t buf[256];

	memcpy(buf, code, n);
	buf[at] = byte;
	return pseudo_decode_or(buf, n);
}

static void test_tampered_code(void **state)
{
	uint8_t two[] = { 0xf0, 0x80, 0x0f, 0x04, 0x90, 0xf0, 0x80, 0x0b, 0x02 };
	uint8_t off1[] = { 0xf0, 0x80, 0x4f, 0x01, 0x04 }; /* lock orb $4, 1(%rdi): bit 10 */
	uint32_t off, mask;
	int32_t d;

	(void)state;
	assert_int_equal(tampered_or(wake_61, sizeof wake_61, 12, 0x06), -1); /* two bits */
	assert_int_equal(tampered_or(wake_61, sizeof wake_61, 12, 0x00), -1);
	assert_int_equal(tampered_or(wake_61, sizeof wake_61, 9, 0x3e), 2);   /* as patched on one CPU */
	assert_int_equal(tampered_or(wake_61, sizeof wake_61, 9, 0x90), -1);  /* no lock */
	assert_int_equal(tampered_or(wake_61, sizeof wake_61, 11, 0x27), -1); /* and, not or */
	assert_int_equal(tampered_or(wake_61, sizeof wake_61, 11, 0x0c), -1); /* through a SIB byte */
	assert_int_equal(tampered_or(wake_61, sizeof wake_61, 11, 0x0d), -1); /* relative to rip */
	assert_int_equal(tampered_or(wake_61, sizeof wake_61, 11, 0x8f), -1); /* 32-bit displacement */
	assert_int_equal(tampered_or(wake_61, sizeof wake_61, 12, 0x02), 1);  /* 6.18's bit */
	assert_int_equal(pseudo_decode_or(two, sizeof two), -1);              /* contradicts itself */
	assert_int_equal(pseudo_decode_or(off1, sizeof off1), 10);
	off1[3] = 4;
	assert_int_equal(pseudo_decode_or(off1, sizeof off1), -1);
	assert_false(pseudo_decode_test(wake_61, sizeof wake_61, &off, &mask));
	assert_false(pseudo_decode_lea(wake_61, sizeof wake_61, &d));
	assert_false(pseudo_decode_load(timer_61, 9, &d));
}

static void test_cut_code(void **state)
{
	uint32_t off, mask;
	int32_t d;

	(void)state;
	for (size_t n = 0; n < sizeof wake_61; n++) {
		uint8_t *p = malloc(n ? n : 1); /* so that a byte too many is seen by the sanitizer */
		memcpy(p, wake_61, n);
		assert_int_equal(pseudo_decode_or(p, n), n >= 13 ? 2 : -1);
		free(p);
	}
	for (size_t n = 0; n < sizeof recalc_61; n++) {
		uint8_t *p = malloc(n ? n : 1);
		memcpy(p, recalc_61, n);
		assert_int_equal(pseudo_decode_test(p, n, &off, &mask), n >= 25);
		pseudo_decode_and(p, n);
		pseudo_decode_lea(p, n, &d);
		pseudo_decode_load(p, n, &d);
		free(p);
	}
}

static void begin(struct fake *f, int sig, uint64_t start, struct gf_delivery *d)
{
	struct gf_verdict v = { .pid = 77, .start_ns = start, .action = GF_ACT_SIGNAL, .arg = sig };

	gf_pseudo_begin(&f->p, &v, GF_ROAD_AUTO, NULL, d);
}

static void refused(struct fake *f, int sig, uint64_t start, int why)
{
	struct gf_delivery d;
	uint8_t *before = malloc(SIZE);

	memcpy(before, f->mem, SIZE);
	begin(f, sig, start, &d);
	assert_int_equal(d.became, GF_BECAME_REFUSED);
	assert_int_equal(d.why, why);
	assert_int_equal(d.tries, 0);
	assert_memory_equal(before, f->mem, SIZE);
	free(before);
}

static void test_refusals(void **state)
{
	struct fake *f = *state;
	uint64_t start = 5000000000ull;

	refused(f, 9, start + 10000000, GF_REF_IDENTITY);
	put_member(f, SIGNAL, M_SIG_FLAGS, 0x40);
	refused(f, 9, start, GF_REF_INIT);
	put_member(f, SIGNAL, M_SIG_FLAGS, 4);
	refused(f, 9, start, GF_REF_EXITING);
	put_member(f, SIGNAL, M_SIG_FLAGS, 0);
	put_member(f, TASK, M_TASK_FLAGS, 0x200000);
	refused(f, 9, start, GF_REF_KTHREAD);
	put_member(f, TASK, M_TASK_FLAGS, 0x10);
	refused(f, 9, start, GF_REF_KTHREAD);
	put_member(f, TASK, M_TASK_FLAGS, 4);
	put_member(f, TASK + 0x1000, M_TASK_FLAGS, 4);
	refused(f, 9, start, GF_REF_EXITING);
	put_member(f, TASK, M_TASK_FLAGS, 0);
	put_member(f, TASK + 0x1000, M_TASK_FLAGS, 0);
	put_member(f, TASK + 0x1000, M_TASK_PTRACE, 1);
	refused(f, 9, start, GF_REF_TRACED);
	put_member(f, TASK + 0x1000, M_TASK_PTRACE, 0);
	poke(f, HAND + 32 * (SIGTERM - 1), 1, 8);
	refused(f, SIGTERM, start, GF_REF_IGNORED);
	refused(f, SIGCHLD, start, GF_REF_IGNORED);
	put_member(f, TASK, M_TASK_BLOCKED, ~0ull);
	put_member(f, TASK + 0x1000, M_TASK_BLOCKED, ~0ull);
	refused(f, SIGUSR1, start, GF_REF_BLOCKED);
	refused(f, 0, start, GF_REF_NO_ROAD);
	refused(f, 65, start, GF_REF_NO_ROAD);
	f->p.writable = false;
	refused(f, 9, start, GF_REF_READ_ONLY);
}

static void test_gone(void **state)
{
	struct fake *f = *state;

	put_member(f, TASK, M_TASK_EXIT_STATE, 32);
	put_member(f, SIGNAL, M_SIG_NR_THREADS, 1);
	refused(f, 9, 0, GF_REF_GONE);
	put_member(f, PIDS, M_PID_TGID, 0);
	refused(f, 9, 5, GF_REF_GONE);
	poke(f, NODE + 0x800 + f->p.m[M_XN_SLOTS] + 8 * (77 & 63), 0, 8);
	refused(f, 9, 0, GF_REF_GONE);
}

static void test_lies(void **state)
{
	struct fake *f = *state;
	uint64_t node = f->p.m[M_TASK_THREAD_NODE];

	/* a cycle that does not lead back to the head */
	poke(f, TASK + 0x1000 + node, va(TASK + node), 8);
	refused(f, 9, 0, GF_REF_TORN);
	poke(f, TASK + 0x1000 + node, 0x1234, 8);
	refused(f, 9, 0, GF_REF_TORN);
	/* into the middle of nowhere, and out of memory */
	poke(f, TASK + 0x1000 + node, va(SIZE - 8) + node, 8);
	refused(f, 9, 0, GF_REF_TORN);
	put_member(f, TASK, M_TASK_PID, 78);
	refused(f, 9, 0, GF_REF_TORN);
	/* a tree of numbers that is its own child */
	poke(f, NODE + f->p.m[M_XN_SLOTS] + 8, va(NODE) + 2, 8);
	refused(f, 9, 0, GF_REF_GONE);
	put_member(f, NODE, M_XN_SHIFT, 255);
	refused(f, 9, 0, GF_REF_GONE);
}

static void test_store(void **state)
{
	struct fake *f = *state;
	struct gf_delivery d;
	uint64_t second = TASK + 0x1000;

	/* the second is on a CPU: it is the one */
	put_member(f, second, M_TASK_ON_CPU, 1);
	begin(f, 9, 5000000000ull, &d);
	assert_int_equal(d.how, GF_HOW_STORE);
	assert_int_equal(d.became, GF_BECAME_PENDING);
	assert_int_equal(peek(f, second + f->p.m[M_TASK_PENDING], 8), 0x100);
	assert_int_equal(peek(f, second + f->p.m[M_TASK_TI_FLAGS], 8), 4);
	assert_int_equal(peek(f, TASK + f->p.m[M_TASK_PENDING], 8), 0);
	assert_int_equal(peek(f, SIGNAL + f->p.m[M_SIG_SHARED], 8), 0);
	assert_int_equal(peek(f, SIGNAL + f->p.m[M_SIG_FLAGS], 4), 0);
	gf_pseudo_poll(&f->p, &d, NULL);
	assert_int_equal(d.became, GF_BECAME_PENDING);
	/* the kernel takes it, the process goes */
	put_member(f, second, M_TASK_PENDING, 0);
	gf_pseudo_poll(&f->p, &d, NULL);
	assert_int_equal(d.became, GF_BECAME_DELIVERED);
	assert_false(gf_delivery_over(&d));
	put_member(f, TASK, M_TASK_EXIT_STATE, 32);
	gf_pseudo_poll(&f->p, &d, NULL);
	assert_false(gf_delivery_over(&d)); /* the leader alone */
	put_member(f, SIGNAL, M_SIG_NR_THREADS, 1);
	gf_pseudo_poll(&f->p, &d, NULL);
	assert_true(gf_delivery_over(&d));
	assert_int_not_equal(d.exit_us, GF_NONE);
}

/* The thread that was stored into leaves by itself: that is no kill. */
static void test_thread_leaves(void **state)
{
	struct fake *f = *state;
	uint64_t second = TASK + 0x1000;
	struct gf_delivery d;

	put_member(f, second, M_TASK_ON_CPU, 1);
	begin(f, 9, 5000000000ull, &d);
	assert_int_equal(d.thread, va(second));
	put_member(f, second, M_TASK_EXIT_STATE, 16);
	gf_pseudo_poll(&f->p, &d, NULL);
	assert_int_equal(d.became, GF_BECAME_PENDING);
	assert_int_equal(d.thread, va(TASK));
	assert_int_equal(d.tries, 2);
	assert_int_equal(peek(f, TASK + f->p.m[M_TASK_PENDING], 8), 0x100);
	/* Where the group exits it has been taken. */
	put_member(f, SIGNAL, M_SIG_FLAGS, 4);
	put_member(f, TASK, M_TASK_EXIT_STATE, 16);
	gf_pseudo_poll(&f->p, &d, NULL);
	assert_int_equal(d.became, GF_BECAME_DELIVERED);
}

static void test_send(void **state)
{
	struct fake *f = *state;
	struct gf_delivery d, e;
	uint64_t b = 0x20000, head = PERCPU + LAZY;

	put_member(f, TASK, M_TASK_STATE, 1);
	put_member(f, TASK + 0x1000, M_TASK_STATE, 0x2001);
	begin(f, SIGTERM, 5000000000ull, &d);
	assert_int_equal(d.how, GF_HOW_IRQ_WORK);
	assert_int_equal(d.became, GF_BECAME_PENDING);
	assert_int_equal(peek(f, head, 8), va(b + 120));
	assert_int_equal(peek(f, b + 120, 8), 0);
	assert_int_equal(peek(f, b + 128, 4), 3);
	assert_int_equal(peek(f, b + 136, 8), f->p.s[S_SENDER]);
	assert_int_equal(peek(f, b + 104, 8), va(PIDS));
	assert_int_equal(peek(f, b + 112, 8), va(b + 256));
	assert_int_equal(peek(f, b + 256, 8), va(b + 256));
	assert_int_equal(peek(f, b + 256 + 24, 4), SIGTERM);
	assert_int_equal((int32_t)peek(f, b + 256 + 32, 4), -2);
	assert_int_equal(peek(f, PIDS + f->p.m[M_PID_COUNT], 4), 2);
	assert_int_equal(peek(f, TASK + f->p.m[M_TASK_PENDING], 8), 0);
	/* another goes before it, and can be taken back; ours cannot, while it is not the first */
	begin(f, SIGUSR1, 0, &e);
	assert_int_equal(peek(f, head, 8), va(b + BLOCK + 120));
	gf_pseudo_end(&f->p, &e);
	assert_int_equal(peek(f, head, 8), va(b + 120));
	assert_int_equal(peek(f, PIDS + f->p.m[M_PID_COUNT], 4), 2);
	/* the CPU drains, the kernel queues, the process takes */
	poke(f, head, 0, 8);
	poke(f, b + 128, 0, 4);
	poke(f, b + 256 + 44, 0, 4);
	poke(f, b + 256, va(0x200), 8);
	gf_pseudo_poll(&f->p, &d, NULL);
	assert_int_equal(peek(f, PIDS + f->p.m[M_PID_COUNT], 4), 1);
	gf_pseudo_poll(&f->p, &d, NULL);
	assert_int_equal(d.became, GF_BECAME_PENDING);
	poke(f, b + 256, va(b + 256), 8);
	gf_pseudo_poll(&f->p, &d, NULL);
	assert_int_equal(d.became, GF_BECAME_DELIVERED);
}

/* What can still be reached from the guest is not taken again, nor what was claimed a moment ago. */
static void test_blocks(void **state)
{
	struct fake *f = *state;
	struct gf_pseudo_victim v = { .task = va(TASK), .signal = va(SIGNAL), .pid_struct = va(PIDS), .pid = 77 };
	bool seen[8] = { false };

	for (int i = 0; i < 8; i++) {
		uint32_t b = pseudo_block_signal(&f->p, &v, SIGTERM);
		assert_true(b < 8 && !seen[b]);
		seen[b] = true;
	}
	assert_int_equal(pseudo_block_signal(&f->p, &v, SIGTERM), GF_NONE);
	poke(f, 0x150200, 900000, 8); /* time alone does not do */
	assert_int_equal(pseudo_block_signal(&f->p, &v, SIGTERM), GF_NONE);
	poke(f, 0x20000 + 3 * BLOCK + 128, 0, 4); /* drained */
	poke(f, 0x20000 + 4 * BLOCK + 128, 0, 4); /* drained, but its signal is queued still */
	poke(f, 0x20000 + 4 * BLOCK + 256, va(0x200), 8);
	assert_int_equal(pseudo_block_signal(&f->p, &v, SIGTERM), 3);
	assert_int_equal(pseudo_block_signal(&f->p, &v, SIGTERM), GF_NONE);
	/* no reference where there is none left to take */
	put_member(f, PIDS, M_PID_COUNT, 0);
	poke(f, 0x150200, 9000000, 8);
	poke(f, 0x20000 + 3 * BLOCK + 128, 0, 4);
	assert_int_equal(pseudo_block_signal(&f->p, &v, SIGTERM), GF_NONE);
	assert_int_equal(peek(f, PIDS + f->p.m[M_PID_COUNT], 4), 0);
}

/* Without the kernel's sender: stored, and the sleeper woken. */
static void test_wake(void **state)
{
	struct fake *f = *state;
	struct gf_delivery d;
	uint64_t b = 0x20000, head = PERCPU + LAZY, second = TASK + 0x1000;

	pseudo_turn_off(&f->p, PART_SEND, "another sender");
	f->p.s[S_WAKER] = 0xffffffff81001000ull;
	put_member(f, TASK, M_TASK_STATE, 2);
	put_member(f, second, M_TASK_STATE, 0x102); /* killable */
	refused(f, SIGTERM, 0, GF_REF_NO_ROAD);
	begin(f, SIGKILL, 0, &d);
	assert_int_equal(d.how, GF_HOW_STORE);
	assert_int_equal(peek(f, second + f->p.m[M_TASK_PENDING], 8), 0x100);
	assert_int_equal(peek(f, head, 8), va(b + 128));
	assert_int_equal(peek(f, b + 128 + 8, 4), 3);
	assert_int_equal(peek(f, b + 128 + 16, 8), f->p.s[S_WAKER]);
	assert_int_equal(peek(f, b + 128 + 40, 8), va(second));
	assert_int_equal(peek(f, second + f->p.m[M_TASK_USAGE], 4), 3);
	poke(f, b + 128 + 8, 0, 4);
	assert_int_equal(pseudo_wakes(&f->p, NULL), 0);
	assert_int_equal(peek(f, second + f->p.m[M_TASK_USAGE], 4), 2);
}

static void limit(struct fake *f, double to, int became)
{
	struct gf_verdict v = { .pid = 77, .action = GF_ACT_LIMIT, .limit = GF_LIMIT_RLIMIT + 7, .amount = to };
	struct gf_delivery d;

	gf_pseudo_begin(&f->p, &v, GF_ROAD_AUTO, NULL, &d);
	assert_int_equal(d.became, became);
}

/* What was there before is put back at the end, but not over what somebody in the guest has set since. */
static void test_limit_undo(void **state)
{
	struct fake *f = *state;
	uint64_t soft = SIGNAL + 0x800 + 7 * 16, hard = soft + 8;

	f->p.m[M_SIG_RLIM] = 0x800;
	poke(f, soft, 1024, 8);
	poke(f, hard, 4096, 8);
	limit(f, -1, GF_BECAME_REFUSED); /* it is not ours to lift */
	limit(f, 100, GF_BECAME_DELIVERED);
	limit(f, 50, GF_BECAME_DELIVERED);
	assert_int_equal(peek(f, hard, 8), 50);
	put_member(f, TASK, M_TASK_PTRACE, 1); /* traced by now */
	assert_int_equal(gf_pseudo_undo(&f->p, NULL), 0);
	assert_int_equal(peek(f, soft, 8), 1024);
	assert_int_equal(peek(f, hard, 8), 4096);
	put_member(f, TASK, M_TASK_PTRACE, 0);
	limit(f, 100, GF_BECAME_DELIVERED);
	poke(f, hard, 555, 8);
	assert_int_equal(gf_pseudo_undo(&f->p, NULL), 0);
	assert_int_equal(peek(f, hard, 8), 555);
	/* What cannot be read is not taken for gone. */
	limit(f, 100, GF_BECAME_DELIVERED);
	poke(f, TASK + 0x1000 + f->p.m[M_TASK_THREAD_NODE], 0x1234, 8);
	assert_int_equal(gf_pseudo_undo(&f->p, NULL), 1);
}

/* What has to be undone outlives the attachment, but not the kernel. */
static void test_inherit(void **state)
{
	struct fake *f = *state;
	uint64_t hard = SIGNAL + 0x800 + 7 * 16 + 8;
	struct gf_pseudo_records *r;
	struct pseudo_old none[LIMITS_MAX] = { 0 };

	f->p.m[M_SIG_RLIM] = 0x800;
	poke(f, hard, 4096, 8);
	assert_null(gf_pseudo_records(&f->p));
	limit(f, 100, GF_BECAME_DELIVERED);
	r = gf_pseudo_records(&f->p);
	assert_non_null(r);
	memset(f->p.old, 0, sizeof f->p.old);
	f->k.mem.phys_base = 0x1000000;
	gf_pseudo_inherit(&f->p, r);
	assert_memory_equal(f->p.old, none, sizeof none);
	f->k.mem.phys_base = 0;
	gf_pseudo_inherit(&f->p, r);
	free(r);
	assert_int_equal(gf_pseudo_undo(&f->p, NULL), 0);
	assert_int_equal(peek(f, hard, 8), 4096);
}

/* Processes that were killed while frozen make room. */
static void test_freeze_room(void **state)
{
	struct fake *f = *state;
	struct gf_verdict v = { .pid = 77, .action = GF_ACT_FREEZE };
	struct gf_delivery d;
	bool known = false;

	f->p.s[S_WAKER] = 0xffffffff81001000ull;
	for (uint32_t i = 0; i < FROZEN_MAX; i++)
		f->p.frozen[i] = (struct pseudo_frozen){ 1000, 100000 + (int32_t)i };
	gf_pseudo_begin(&f->p, &v, GF_ROAD_AUTO, NULL, &d);
	assert_int_equal(d.became, GF_BECAME_PENDING);
	for (uint32_t i = 0; i < FROZEN_MAX; i++)
		known |= f->p.frozen[i].pid == 77;
	assert_true(known);
}

/* All blocks in use: nothing is stored, and it goes on when one is free. */
static void test_no_block(void **state)
{
	struct fake *f = *state;
	struct gf_pseudo_victim v = { .task = va(TASK), .signal = va(SIGNAL), .pid_struct = va(PIDS), .pid = 77 };
	struct gf_delivery d;

	put_member(f, TASK, M_TASK_STATE, 1);
	put_member(f, TASK + 0x1000, M_TASK_STATE, 1);
	for (int i = 0; i < 8; i++)
		pseudo_block_signal(&f->p, &v, SIGTERM);
	begin(f, SIGKILL, 0, &d);
	assert_int_equal(d.phase, GF_PHASE_WAITING);
	assert_int_equal(d.tries, 0);
	assert_int_equal(peek(f, PERCPU + LAZY, 8), 0);
	gf_pseudo_poll(&f->p, &d, NULL);
	assert_int_equal(d.phase, GF_PHASE_WAITING);
	/* given up before there was one: that is said */
	struct gf_delivery e = d;
	e.look_ns -= 11000000000ull;
	gf_pseudo_poll(&f->p, &e, NULL);
	assert_int_equal(e.became, GF_BECAME_REFUSED);
	assert_int_equal(e.why, GF_REF_NO_CPU);
	poke(f, 0x150200, 900000, 8);
	poke(f, 0x20000 + 3 * BLOCK + 128, 0, 4);
	gf_pseudo_poll(&f->p, &d, NULL);
	assert_int_equal(d.phase, GF_PHASE_QUEUED);
	assert_int_equal(d.became, GF_BECAME_PENDING);
	assert_int_equal(peek(f, PERCPU + LAZY, 8), va(0x20000 + 3 * BLOCK + 120));
}

static void test_roads_off(void **state)
{
	struct fake *f = *state;

	pseudo_turn_off(&f->p, PART_SEND, "the kernel is %s", "odd");
	assert_string_equal(gf_pseudo_irq_work_off(&f->p), "the kernel is odd");
	assert_string_equal(gf_pseudo_store_off(&f->p), "");
	put_member(f, TASK, M_TASK_STATE, 2);
	put_member(f, TASK + 0x1000, M_TASK_STATE, 2);
	refused(f, 9, 0, GF_REF_NO_ROAD); /* no wake brings an uninterruptible sleeper to look */
	put_member(f, TASK, M_TASK_STATE, 1);
	refused(f, SIGCONT, 0, GF_REF_NO_ROAD);
	pseudo_turn_off(&f->p, PART_WAKE, "no wakes either");
	refused(f, 9, 0, GF_REF_NO_ROAD);
	pseudo_turn_off(&f->p, PART_TASK, "no tasks");
	assert_string_equal(gf_pseudo_store_off(&f->p), "no tasks");
	put_member(f, TASK, M_TASK_STATE, 0);
	refused(f, 9, 0, GF_REF_NO_ROAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_real_code),
		cmocka_unit_test(test_tampered_code),
		cmocka_unit_test(test_cut_code),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_store, setup, teardown),
		cmocka_unit_test_setup_teardown(test_thread_leaves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_send, setup, teardown),
		cmocka_unit_test_setup_teardown(test_blocks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wake, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit_undo, setup, teardown),
		cmocka_unit_test_setup_teardown(test_inherit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_freeze_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_block, setup, teardown),
		cmocka_unit_test_setup_teardown(test_roads_off, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
