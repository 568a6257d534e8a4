// SPDX-License-Identifier: Dual MIT/GPL
/*
 * What is never touched, whatever the mailbox says: it is memory that others may have damaged. And how much may be
 * done at all: armed or not, and the budget. Kept here, out of the shared memory's reach.
 */
#include "module.h"

#include <linux/pid.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>

#define BUDGET 10u
#define BUDGET_NS 10000000000ull

static struct pid __rcu *opener; /* only compared */
static u32 armed;
static atomic_t left = ATOMIC_INIT(BUDGET);
static u32 budget = BUDGET;
static u64 budget_ns = BUDGET_NS;
static atomic64_t refill_at;

/* The process that has the device open; consumes the reference. NULL: none. */
void gpufas_guard_set_opener(struct pid *pid)
{
	struct pid *old = rcu_replace_pointer(opener, pid, true);

	if (old) {
		synchronize_rcu();
		put_pid(old);
	}
}

static bool is_self(struct task_struct *leader, const struct gpufas_control *c)
{
	struct pid *self = rcu_dereference(opener);
	u32 n = min(READ_ONCE(c->protects), GPUFAS_PROTECT), i;

	if (self && (task_tgid(leader) == self || task_tgid(rcu_dereference(leader->real_parent)) == self))
		return true;
	for (i = 0; i < n; i++)
		if (READ_ONCE(c->protect[i]) == leader->tgid)
			return true;
	return false;
}

/* GPUFAS_WHY_NONE when the process may be touched. Under RCU. start_ns: its identity. */
enum gpufas_why gpufas_guard(struct task_struct *leader, u64 start_ns, const struct gpufas_control *c)
{
	struct signal_struct *sig = leader->signal;

	if (leader->start_boottime != start_ns)
		return GPUFAS_WHY_IDENTITY;
	if (leader->tgid <= 1 || READ_ONCE(sig->flags) & SIGNAL_UNKILLABLE)
		return GPUFAS_WHY_INIT;
	if (READ_ONCE(leader->flags) & PF_KTHREAD)
		return GPUFAS_WHY_KTHREAD;
	if (is_self(leader, c))
		return GPUFAS_WHY_SELF;
	if (!atomic_read(&sig->live) || (READ_ONCE(leader->exit_state) && READ_ONCE(sig->nr_threads) <= 1))
		return GPUFAS_WHY_EXITING;
	return GPUFAS_WHY_NONE;
}

/* count 0, ns 0: as before. */
void gpufas_guard_arm(u32 flags, u32 count, u64 ns)
{
	WRITE_ONCE(armed, 0);
	if (count) {
		WRITE_ONCE(budget, count);
		WRITE_ONCE(budget_ns, ns);
		atomic64_set(&refill_at, 0);
	}
	smp_wmb();
	WRITE_ONCE(armed, flags);
}

u32 gpufas_guard_armed(void)
{
	return READ_ONCE(armed);
}

/* One verdict off the budget; observing, whether there is one left. */
bool gpufas_guard_spend(u64 now_ns, bool observe)
{
	s64 until = atomic64_read(&refill_at);

	if (now_ns >= (u64)until &&
	    atomic64_cmpxchg(&refill_at, until, now_ns + READ_ONCE(budget_ns)) == until)
		atomic_set(&left, READ_ONCE(budget));
	if (observe)
		return atomic_read(&left) > 0;
	return atomic_dec_if_positive(&left) >= 0;
}

void gpufas_guard_budget(u64 *ret_left, u64 *ret_until_ns)
{
	*ret_left = max(atomic_read(&left), 0);
	*ret_until_ns = atomic64_read(&refill_at);
}
