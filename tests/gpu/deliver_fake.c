// SPDX-License-Identifier: MIT
/*
 * The made-up kernel of tests/unit/fakeguest.h, for deliver.cu, which is C++.
 */
#include "tests/gpu/deliver_fake.h"
#include "tests/unit/fakeguest.h"

static struct fake *now;

uint8_t *deliver_fake(int asleep, uint32_t *ret_size, struct gf_pseudo_plain *ret, struct gf_pseudo_pool *ret_pool, struct gf_kmem *ret_mem)
{
	void *f;

	setup(&f);
	now = f;
	now->p.tif_resched = 3;
	gf_pseudo_set_aside(&now->p, ret_pool);
	gf_pseudo_plain(&now->p, ret);
	*ret_mem = now->k.mem;
	put_member(now, TASK, M_TASK_STATE, asleep);
	put_member(now, TASK + 0x1000, M_TASK_STATE, asleep);
	put_member(now, TASK, M_TASK_ON_CPU, !asleep);
	put_member(now, TASK, M_TASK_TI_FLAGS, 0x8002);
	*ret_size = SIZE;
	return now->mem;
}

void deliver_fake_free(void)
{
	void *f = now;

	teardown(&f);
}

void deliver_fake_resched(int on)
{
	put_member(now, TASK, M_TASK_TI_FLAGS, on ? 0x800a : 0x8002);
}

void deliver_fake_exit(void)
{
	put_member(now, SIGNAL, M_SIG_FLAGS, 4);
	put_member(now, TASK, M_TASK_EXIT_STATE, 32);
	put_member(now, SIGNAL, M_SIG_NR_THREADS, 1);
}

uint64_t deliver_fake_pending(void)
{
	return peek(now, TASK + now->p.m[M_TASK_PENDING], 8);
}

uint64_t deliver_fake_flags(void)
{
	return peek(now, TASK + now->p.m[M_TASK_TI_FLAGS], 8);
}

uint64_t deliver_fake_head(void)
{
	return peek(now, PERCPU + LAZY, 8);
}

uint32_t deliver_fake_count(void)
{
	return (uint32_t)peek(now, PIDS + now->p.m[M_PID_COUNT], 4);
}
