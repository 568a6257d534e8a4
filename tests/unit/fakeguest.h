/* SPDX-License-Identifier: MIT
 *
 * A kernel's data made up: one process of two threads (pid 77), one CPU, eight blocks.
 */
#ifndef GPUFAS_FAKEGUEST_H
#define GPUFAS_FAKEGUEST_H

#include <stdlib.h>
#include <string.h>

#include "targets/pseudo_int.h"

/* ---- a memory built by hand: 2 MiB at the direct map, members one after the other ---- */

#define OFFSET 0xffff888000000000ull
#define SIZE (2u << 20)
#define NS 0x100000u     /* pid_namespace */
#define NODE 0x101000u
#define PIDS 0x102000u   /* struct pid of 77 */
#define SIGNAL 0x103000u
#define HAND 0x104000u
#define TASK 0x110000u   /* and one each 0x1000 */
#define PERCPU 0x140000u
#define LAZY 0x10u

struct fake {
	struct gf_kernel k;
	struct gf_pseudo p;
	uint8_t *mem;
};

static uint64_t va(uint64_t gpa)
{
	return OFFSET + gpa;
}

static inline void poke(struct fake *f, uint64_t gpa, uint64_t v, size_t n)
{
	memcpy(f->mem + gpa, &v, n);
}

static inline uint64_t peek(struct fake *f, uint64_t gpa, size_t n)
{
	uint64_t v = 0;

	memcpy(&v, f->mem + gpa, n);
	return v;
}

static void put_member(struct fake *f, uint64_t base, int m, uint64_t v)
{
	poke(f, base + f->p.m[m], v, f->p.msize[m]);
}

static void layout(struct gf_pseudo *p)
{
	static const uint8_t size[M_COUNT] = {
#define X(id, type, path, size, parts) size <= 8 ? size : 255,
		PSEUDO_MEMBERS(X)
#undef X
	};

	for (int i = 0; i < M_COUNT; i++) {
		p->m[i] = 16u * (uint32_t)i;
		p->msize[i] = size[i] ? size[i] : 4;
	}
	/* of one block, as kernels have them */
	p->m[M_KIT_LOCK] = 32;
	p->m[M_KIT_PID] = 104;
	p->m[M_KIT_SIGQ] = 112;
	p->m[M_KIT_TIMER] = 120;
	p->m[M_IRQW_NODE] = 0;
	p->m[M_IRQW_FLAGS] = 8;
	p->m[M_IRQW_FUNC] = 16;
	p->m[M_PT_TASK] = 40;
	p->m[M_SQ_LIST] = 0;
	p->m[M_SQ_FLAGS] = 16;
	p->m[M_SQ_SIGNO] = 24;
	p->m[M_SQ_CODE] = 32;
	p->m[M_SQ_OVERRUN] = 44;
	p->m[M_HAND_ACTION] = 0;
	p->m[M_HAND_HANDLER] = 0;
	p->action_size = 32;
	p->slots = 64;
	p->tif_sigpending = 2;
}

static void add_thread(struct fake *f, int i, uint64_t next)
{
	uint64_t t = TASK + 0x1000u * (uint64_t)i;

	put_member(f, t, M_TASK_PID, 77 + (uint64_t)i);
	put_member(f, t, M_TASK_TGID, 77);
	put_member(f, t, M_TASK_START, 5000000000ull);
	put_member(f, t, M_TASK_SIGNAL, va(SIGNAL));
	put_member(f, t, M_TASK_SIGHAND, va(HAND));
	put_member(f, t, M_TASK_ON_RQ, 1);
	put_member(f, t, M_TASK_USAGE, 2);
	put_member(f, t, M_TASK_THREAD_PID, va(i ? PIDS + 0x800u : PIDS));
	poke(f, t + f->p.m[M_TASK_THREAD_NODE], next, 8);
}

static int setup(void **state)
{
	struct fake *f = calloc(1, sizeof *f);

	f->mem = aligned_alloc(4096, SIZE);
	memset(f->mem, 0, SIZE);
	f->k.mem.ram = (struct gf_ram){ .n = 1, .writable = 1, .seg = { { 0, SIZE, f->mem } } };
	f->k.mem.page_offset = OFFSET;
	f->k.mem.direct_size = SIZE;
	f->p.k = &f->k;
	f->p.mem = &f->k.mem;
	f->p.atomics = 1;
	f->p.writable = true;
	pthread_mutex_init(&f->p.lock, NULL);
	layout(&f->p);
	f->p.s[S_INIT_PID_NS] = va(NS);
	put_member(f, NS, M_PIDNS_HEAD, va(NODE) + 2);
	put_member(f, NODE, M_XN_SHIFT, 6);
	poke(f, NODE + f->p.m[M_XN_SLOTS] + 8 * (77 >> 6), va(NODE + 0x800) + 2, 8);
	put_member(f, NODE + 0x800, M_XN_SHIFT, 0);
	poke(f, NODE + 0x800 + f->p.m[M_XN_SLOTS] + 8 * (77 & 63), va(PIDS), 8);
	put_member(f, PIDS, M_PID_COUNT, 1);
	put_member(f, PIDS, M_PID_TGID, va(TASK + f->p.m[M_TASK_LINK_TGID]));
	put_member(f, SIGNAL, M_SIG_NR_THREADS, 2);
	uint64_t node = f->p.m[M_TASK_THREAD_NODE], head = va(SIGNAL + f->p.m[M_SIG_THREADS]);
	poke(f, SIGNAL + f->p.m[M_SIG_THREADS], va(TASK + node), 8);
	add_thread(f, 0, va(TASK + 0x1000 + node));
	add_thread(f, 1, head);
	/* a CPU, and blocks */
	f->p.s[S_PER_CPU] = va(0x150000);
	poke(f, 0x150000, va(PERCPU), 8);
	f->p.s[S_ONLINE] = va(0x150100);
	poke(f, 0x150100, 1, 8);
	f->p.s[S_LAZY] = LAZY;
	f->p.s[S_RUNQUEUES] = 0x1000;
	f->p.s[S_HRTIMERS] = 0x2000;
	put_member(f, PERCPU + 0x1000, M_RQ_CURR, 1);
	f->p.s[S_JIFFIES] = va(0x150200);
	poke(f, 0x150200, 1000, 8);
	f->p.s[S_SENDER] = 0xffffffff81000000ull;
	for (uint32_t i = 0; i < 8; i++)
		f->p.block[f->p.blocks++] = va(0x20000 + i * BLOCK);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fake *f = *state;

	pthread_mutex_destroy(&f->p.lock);
	free(f->mem);
	free(f);
	return 0;
}

#endif
