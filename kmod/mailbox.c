// SPDX-License-Identifier: Dual MIT/GPL
/*
 * The mailbox. Every CPU's timer looks at all slots. What has been taken is remembered here and not in the shared
 * memory, so that each verdict is acted on once, whatever is written there later.
 *
 * A signal goes out by kill_pid(), as from the kernel itself: siglock is taken with interrupts off everywhere, and
 * the kernel's own posix_timer_fn() takes it in this context, too; the victim is woken as by kill(2). A nice value is set by
 * set_user_nice(), whose run queue lock is taken in this context by every wakeup. Not so a scheduling class:
 * __sched_setscheduler() has a BUG_ON() against being called from an interrupt.
 */
#include "module.h"

#include <linux/panic.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/rcupdate.h>
#include <linux/reboot.h>
#include <linux/sched/prio.h>
#include <linux/sched/signal.h>
#include <linux/signal.h>
#include <linux/timekeeping.h>

#define FOLLOW_NS 60000000000ull /* how long an exit is waited for */
#define RENICE_THREADS 256
#define LOOK_EVERY 16 /* slots, from one look at the clock to the next */

struct slot {
	atomic_t busy; /* a CPU is at it: others leave it to that one */
	pid_t pid;     /* followed until it is gone; 0: none */
	pid_t deed;    /* somebody is just being acted on; 0: nobody */
	u64 done;      /* greatest seq taken */
	u64 garbled;   /* last seq whose check was wrong */
	u64 start_ns;
	u64 until_ns;
};

enum looked { NOTHING, TOOK, BUSY, WAITS };

static struct slot slots[GPUFAS_SLOTS];
static unsigned int first; /* where the next look begins: the one before may have had no time for all */
static atomic64_t mail_seq, taken, sent, observed, refused, exited, garbled;

void gpufas_mailbox_reset(struct gpufas_region *r)
{
	atomic64_t *const counts[] = { &mail_seq, &taken, &sent, &observed, &refused, &exited, &garbled };
	int i;

	memset(slots, 0, sizeof(slots));
	first = 0;
	for (i = 0; i < ARRAY_SIZE(counts); i++)
		atomic64_set(counts[i], 0);
}

void gpufas_mailbox_count(struct gpufas_counters *c)
{
	c->taken = atomic64_read(&taken);
	c->sent = atomic64_read(&sent);
	c->observed = atomic64_read(&observed);
	c->refused = atomic64_read(&refused);
	c->exited = atomic64_read(&exited);
	c->garbled = atomic64_read(&garbled);
}

static void note_seq(struct gpufas_region *r, u64 seq)
{
	s64 old = atomic64_read(&mail_seq);

	while ((u64)old < seq && !atomic64_try_cmpxchg(&mail_seq, &old, seq))
		;
	WRITE_ONCE(r->header->mail_seq, (u64)atomic64_read(&mail_seq));
}

/* By pid, in the initial namespace; the leader. Under RCU. */
static struct task_struct *find(pid_t pid)
{
	struct pid *p = pid > 0 ? find_pid_ns(pid, &init_pid_ns) : NULL;

	return p ? pid_task(p, PIDTYPE_TGID) : NULL;
}

static bool ends_processes(int sig)
{
	return !(sigmask(sig) & (SIG_KERNEL_STOP_MASK | SIG_KERNEL_IGNORE_MASK));
}

static bool well_formed(const struct gpufas_verdict *v)
{
	if (v->reserved0 || v->reserved1 || v->flags & ~GPUFAS_OBSERVE)
		return false;
	switch (v->action) {
	case GPUFAS_SIGNAL:
		return v->arg >= 1 && v->arg < SIGRTMIN && v->pid > 0;
	case GPUFAS_RENICE:
		return v->arg >= -39 && v->arg <= 39 && v->pid > 0;
	case GPUFAS_PANIC:
	case GPUFAS_RESTART:
		return !v->arg && !v->pid && !v->start_ns;
	}
	return false;
}

static void renice(struct task_struct *leader, int by)
{
	struct task_struct *t;

	for_each_thread(leader, t)
		set_user_nice(t, clamp(task_nice(t) + by, MIN_NICE, MAX_NICE));
}

static enum gpufas_why act_on(struct gpufas_region *r, const struct gpufas_verdict *v, u64 now, int *ret_error)
{
	bool observe = v->flags & GPUFAS_OBSERVE;
	struct task_struct *leader = find(v->pid);
	enum gpufas_why why;

	if (!leader)
		return GPUFAS_WHY_GONE;
	why = gpufas_guard(leader, v->start_ns, r->control);
	if (why)
		return why;
	if (v->action == GPUFAS_RENICE && READ_ONCE(leader->signal->nr_threads) > RENICE_THREADS)
		return GPUFAS_WHY_NO_ROAD;
	if (!gpufas_guard_spend(now, observe))
		return GPUFAS_WHY_BUDGET;
	if (observe)
		return GPUFAS_WHY_NONE;
	if (v->action == GPUFAS_RENICE) {
		renice(leader, v->arg);
		return GPUFAS_WHY_NONE;
	}
	/* The leader's struct pid: should another thread exec() meanwhile, it is that thread's from then on. */
	*ret_error = kill_pid(task_tgid(leader), v->arg, 1);
	if (*ret_error == -ESRCH)
		return GPUFAS_WHY_GONE;
	return *ret_error ? GPUFAS_WHY_FAILED : GPUFAS_WHY_NONE;
}

/* Whether it may be done. The deed itself comes after the answer has been written: nothing comes after it. */
static enum gpufas_why last_resort(const struct gpufas_verdict *v, u64 now)
{
	u32 flag = v->action == GPUFAS_PANIC ? GPUFAS_ARM_PANIC : GPUFAS_ARM_RESTART;

	if (!gpufas_last_resorts() || !(gpufas_guard_armed() & flag))
		return GPUFAS_WHY_FORBIDDEN;
	return gpufas_guard_spend(now, v->flags & GPUFAS_OBSERVE) ? GPUFAS_WHY_NONE : GPUFAS_WHY_BUDGET;
}

static enum gpufas_why decide(struct gpufas_region *r, const struct gpufas_verdict *v, u64 now, int *ret_error)
{
	if (!well_formed(v))
		return GPUFAS_WHY_BAD;
	if (!(v->flags & GPUFAS_OBSERVE) && !(gpufas_guard_armed() & GPUFAS_ARM_ACT))
		return GPUFAS_WHY_DISARMED;
	if (v->deadline_ns < now || v->deadline_ns - now > GPUFAS_DEADLINE_MAX_NS)
		return GPUFAS_WHY_DEADLINE;
	if (v->action == GPUFAS_PANIC || v->action == GPUFAS_RESTART)
		return last_resort(v, now);
	return act_on(r, v, now, ret_error);
}

static void answer(struct gpufas_answer *a, const struct gpufas_verdict *v, enum gpufas_why why, int error, u64 at_ns)
{
	u16 state = why ? GPUFAS_REFUSED : v->flags & GPUFAS_OBSERVE ? GPUFAS_OBSERVED : GPUFAS_SENT;

	WRITE_ONCE(a->seq, 0);
	smp_wmb();
	a->cookie = v->cookie;
	a->at_ns = at_ns;
	a->exit_ns = 0;
	a->pid = v->pid;
	a->error = error;
	WRITE_ONCE(a->state, state);
	a->why = why;
	a->cpu = raw_smp_processor_id();
	smp_wmb();
	WRITE_ONCE(a->seq, v->seq);
	atomic64_inc(why ? &refused : state == GPUFAS_SENT ? &sent : &observed);
}

/* False: it has been taken back. Who does so stores first and then looks at `taken`: one of us sees what the other has written. */
static bool begin(struct gpufas_answer *a, const struct gpufas_verdict *from, const struct gpufas_verdict *v)
{
	WRITE_ONCE(a->taken, v->seq);
	smp_mb();
	return READ_ONCE(from->check) == v->check && READ_ONCE(from->seq) == v->seq;
}

static void take(struct gpufas_region *r, struct slot *s, int i, const struct gpufas_verdict *v)
{
	enum gpufas_why why = GPUFAS_WHY_WITHDRAWN;
	int error = 0;
	u64 now;

	WRITE_ONCE(s->deed, v->pid);
	smp_store_release(&s->done, v->seq);
	s->pid = 0;
	note_seq(r, v->seq);
	atomic64_inc(&taken);
	if (begin(&r->answer[i], &r->verdict[i], v)) {
		now = ktime_get_boot_fast_ns();
		why = decide(r, v, now, &error);
	}
	answer(&r->answer[i], v, why, error, ktime_get_boot_fast_ns());
	smp_store_release(&s->deed, 0);
	if (why || v->flags & GPUFAS_OBSERVE)
		return;
	if (v->action == GPUFAS_SIGNAL && ends_processes(v->arg)) {
		s->start_ns = v->start_ns;
		s->until_ns = now + FOLLOW_NS;
		s->pid = v->pid;
	}
	if (v->action == GPUFAS_PANIC)
		panic("gpufas: asked for by the reader of its region");
	if (v->action == GPUFAS_RESTART)
		emergency_restart();
}

static void follow(struct slot *s, struct gpufas_answer *a)
{
	struct task_struct *leader = find(s->pid);
	u64 now = ktime_get_boot_fast_ns();

	if (leader && leader->start_boottime == s->start_ns && atomic_read(&leader->signal->live)) {
		if (now > s->until_ns)
			s->pid = 0;
		return;
	}
	s->pid = 0;
	WRITE_ONCE(a->exit_ns, now);
	smp_wmb();
	WRITE_ONCE(a->state, GPUFAS_EXITED);
	atomic64_inc(&exited);
}

/* A copy that is whole: v->seq as it was before and after. What is half written is left for the next look. */
static bool copy_verdict(const struct gpufas_verdict *from, u64 seq, struct gpufas_verdict *v)
{
	smp_rmb();
	*v = *(const volatile struct gpufas_verdict *)from;
	smp_rmb();
	return v->seq == seq && READ_ONCE(from->seq) == seq;
}

/* Whether what slot j holds is to be done before v: an older verdict about the same process, waiting or in some CPU's hand. */
static bool goes_before(struct gpufas_region *r, int j, const struct gpufas_verdict *v)
{
	const struct gpufas_verdict *from = &r->verdict[j];
	u64 seq = READ_ONCE(from->seq);
	struct gpufas_verdict other;

	/* `deed` is stored before `done`: who sees this one as taken sees that one, too, until it is answered. */
	if (seq > smp_load_acquire(&slots[j].done))
		return seq < v->seq && copy_verdict(from, seq, &other) && other.pid == v->pid && other.check == gpufas_check(r->instance, &other);
	return READ_ONCE(slots[j].deed) == v->pid;
}

static noinline bool has_to_wait(struct gpufas_region *r, int i, const struct gpufas_verdict *v)
{
	int j;

	for (j = 0; v->pid > 0 && j < GPUFAS_SLOTS; j++)
		if (j != i && goes_before(r, j, v))
			return true;
	return false;
}

/* What is new in slot i, which is the caller's. */
static enum looked open_one(struct gpufas_region *r, struct slot *s, int i, u64 seq)
{
	struct gpufas_verdict v;

	if (seq <= s->done || !copy_verdict(&r->verdict[i], seq, &v))
		return NOTHING;
	if (v.check == gpufas_check(r->instance, &v)) {
		if (has_to_wait(r, i, &v))
			return WAITS;
		take(r, s, i, &v);
		return TOOK;
	}
	if (s->garbled != seq) {
		s->garbled = seq;
		atomic64_inc(&garbled);
	}
	return NOTHING;
}

static enum looked look_at(struct gpufas_region *r, int i)
{
	struct slot *s = &slots[i];
	u64 seq = READ_ONCE(r->verdict[i].seq);
	enum looked what;

	if (seq <= READ_ONCE(s->done) && !READ_ONCE(s->pid))
		return atomic_read(&s->busy) ? BUSY : NOTHING; /* taken, but perhaps not answered yet */
	if (atomic_cmpxchg_acquire(&s->busy, 0, 1))
		return BUSY;
	if (s->pid)
		follow(s, &r->answer[i]);
	what = open_one(r, s, i, seq);
	atomic_set_release(&s->busy, 0);
	return what;
}

/* All slots once. False: there was no time for all. n[]: how often which was met. */
static bool look_round(struct gpufas_region *r, unsigned int most, u64 end, unsigned int *n)
{
	unsigned int from = READ_ONCE(first) % GPUFAS_SLOTS, k;
	enum looked what = NOTHING;

	for (k = 0; k < GPUFAS_SLOTS; k++) {
		if (n[TOOK] >= most || ((what == TOOK || k % LOOK_EVERY == LOOK_EVERY - 1) && ktime_get_mono_fast_ns() >= end)) {
			WRITE_ONCE(first, (from + k) % GPUFAS_SLOTS);
			return false;
		}
		what = look_at(r, (from + k) % GPUFAS_SLOTS);
		n[what]++;
	}
	return true;
}

bool gpufas_mailbox_poll(struct gpufas_region *r, unsigned int most, u64 end)
{
	unsigned int n[WAITS + 1] = {}, before;
	bool all;

	rcu_read_lock();
	/* Who had to wait for an older one may have been met before it. */
	do {
		before = n[TOOK];
		n[BUSY] = n[WAITS] = 0;
		all = look_round(r, most, end, n);
	} while (all && n[WAITS] && n[TOOK] > before);
	rcu_read_unlock();
	return all && !n[BUSY] && !n[WAITS];
}
