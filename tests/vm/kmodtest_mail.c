// SPDX-License-Identifier: MIT
/*
 * The mailbox: what is done, what is refused, and that each is done once.
 */
#include "kmodtest.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
	enum kt_kind kind;
	const char *name;
} killed[] = {
	{ KT_HOG, "a running process" }, { KT_SLEEPER, "a sleeping process" }, { KT_STOPPED, "a stopped process" },
	{ KT_THREADS, "sixteen threads" },
};

static bool until_gone(struct kt *k, unsigned i, uint64_t seq, struct gpufas_answer *a)
{
	for (int n = 0; n < 1000; n++) {
		if (!kt_answer(k, i, seq, a))
			return false;
		if (a->state == GPUFAS_EXITED)
			return true;
		usleep(10000);
	}
	return false;
}

static void kill_one(struct kt *k, unsigned i, bool kick)
{
	pid_t pid = kt_spawn(killed[i].kind);
	struct gpufas_verdict v = kt_verdict(k, pid, GPUFAS_SIGNAL, SIGKILL);
	struct gpufas_answer a;
	uint64_t seq = kt_put(k, i, &v);

	if (kick)
		ioctl(k->fd, GPUFAS_IOC_KICK);
	int status = kt_wait(pid);
	kt_ok(status >= 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s is killed%s", killed[i].name, kick ? ", by a kick" : "");
	kt_ok(until_gone(k, i, seq, &a) && a.cookie == 0xc0ffee && a.exit_ns >= a.at_ns && a.pid == pid, "%s: its exit is seen", killed[i].name);
	printf("# sent to seen gone: %llu us\n", (unsigned long long)(a.exit_ns - a.at_ns) / 1000);
}

static bool send(struct kt *k, pid_t pid, int action, int arg, struct gpufas_answer *a)
{
	struct gpufas_verdict v = kt_verdict(k, pid, action, arg);
	uint64_t seq = kt_put(k, 9, &v);

	return kt_answer(k, 9, seq, a) && (a->state == GPUFAS_SENT || a->state == GPUFAS_EXITED) && !a->error;
}

static char state_of(struct kt *k, pid_t pid, char want)
{
	struct gf_task_rec r = { 0 };

	for (int n = 0; n < 500 && r.state != want; n++) {
		kt_record(k, pid, &r);
		usleep(10000);
	}
	return (char)r.state;
}

static void others(struct kt *k)
{
	struct gpufas_answer a;
	pid_t p = kt_spawn(KT_HANDLER);

	kt_ok(send(k, p, GPUFAS_SIGNAL, SIGTERM, &a), "SIGTERM is sent");
	int status = kt_wait(p);
	kt_ok(status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 42, "and the handler runs");
	p = kt_spawn(KT_SLEEPER);
	kt_ok(send(k, p, GPUFAS_SIGNAL, SIGSTOP, &a) && state_of(k, p, 'T') == 'T', "SIGSTOP stops a sleeper");
	kt_ok(send(k, p, GPUFAS_SIGNAL, SIGCONT, &a) && state_of(k, p, 'S') == 'S', "SIGCONT lets it go on");
	kt_end(p);
	p = kt_spawn(KT_THREADS);
	kt_ok(send(k, p, GPUFAS_RENICE, 7, &a), "renice");
	int nice = getpriority(PRIO_PROCESS, (id_t)p), last = getpriority(PRIO_PROCESS, (id_t)p + 15);
	kt_ok(nice == 7 && last == 7, "every thread has the new nice value (%d, %d)", nice, last);
	kt_ok(send(k, p, GPUFAS_RENICE, 39, &a) && getpriority(PRIO_PROCESS, (id_t)p) == 19, "nice does not grow past 19");
	kt_end(p);
}

/* One verdict, looked at by all CPUs' timers and by kicks, written anew with the same seq: once. */
static void once(struct kt *k)
{
	struct gpufas_answer a;
	pid_t p = kt_spawn(KT_SLEEPER);
	struct gpufas_verdict v = kt_verdict(k, p, GPUFAS_RENICE, 1);
	uint64_t seq = kt_put(k, 11, &v);

	for (int n = 0; n < 50; n++) {
		ioctl(k->fd, GPUFAS_IOC_KICK);
		kt_put(k, 11, &v);
	}
	usleep(200000);
	kt_ok(kt_answer(k, 11, seq, &a) && getpriority(PRIO_PROCESS, (id_t)p) == 1, "each verdict is carried out once");
	v.seq = seq - 1;
	kt_put(k, 11, &v);
	ioctl(k->fd, GPUFAS_IOC_KICK);
	kt_ok(getpriority(PRIO_PROCESS, (id_t)p) == 1, "an older one is not carried out");
	kt_ok(k->h->mail_seq >= seq, "the header tells the greatest number taken");
	kt_end(p);
}

/* Two about one process, of which the newer is met first: in the order of their numbers. Nobody but the kick looks in between, but by chance. */
static void in_order(struct kt *k)
{
	struct gpufas_answer first, second;
	unsigned upside_down = 0, stays = 0;
	pid_t p = kt_spawn(KT_SLEEPER);

	k->c->period_ns = GPUFAS_PERIOD_MAX_NS;
	k->c->poll_ns = GPUFAS_POLL_MAX_NS;
	usleep(300000);
	for (unsigned i = 0; i < 5; i++) {
		struct gpufas_verdict stop = kt_verdict(k, p, GPUFAS_SIGNAL, SIGSTOP), go = kt_verdict(k, p, GPUFAS_SIGNAL, SIGCONT);
		uint64_t a = kt_put(k, 14, &stop), b = kt_put(k, 12, &go);
		ioctl(k->fd, GPUFAS_IOC_KICK);
		bool both = kt_answer(k, 14, a, &first) && kt_answer(k, 12, b, &second) && first.state == GPUFAS_SENT && second.state == GPUFAS_SENT;
		upside_down += !both || first.at_ns > second.at_ns;
		stays += state_of(k, p, 'S') != 'S';
	}
	k->c->period_ns = k->c->poll_ns = 0;
	kt_ok(!upside_down && !stays, "an older verdict about a process comes before a newer one (%u not, stopped at the end %u)", upside_down, stays);
	kt_end(p);
}

/* Taken back before anybody has looked at it. */
static void withdrawn(struct kt *k)
{
	struct gpufas_verdict *box = (struct gpufas_verdict *)(void *)(k->mem + k->h->verdict_off);
	const struct gpufas_answer *a = (const struct gpufas_answer *)(void *)(k->mem + k->h->answer_off);
	pid_t p = kt_spawn(KT_SLEEPER);
	struct gpufas_verdict v = kt_verdict(k, p, GPUFAS_RENICE, 1);
	uint64_t seq = kt_put(k, 13, &v);

	box[13].check = 0;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	bool begun = a[13].taken == seq;
	ioctl(k->fd, GPUFAS_IOC_KICK);
	usleep(50000);
	kt_ok((getpriority(PRIO_PROCESS, (id_t)p) == 1) == (begun && a[13].state == GPUFAS_SENT), "what is taken back is not done%s", begun ? ", but had begun" : "");
	v.seq = 0;
	seq = kt_put(k, 13, &v);
	ioctl(k->fd, GPUFAS_IOC_KICK);
	kt_ok(a[13].taken == seq && a[13].seq == seq, "what is done is marked as begun with");
	kt_end(p);
}

int kt_mailbox(void)
{
	struct kt k;

	kt_nursery();
	kt_open(&k, 0);
	kt_arm(&k, GPUFAS_ARM_ACT, 1000, 1000000000u);
	for (unsigned i = 0; i < KT_COUNT(killed); i++) {
		kill_one(&k, i, false);
		kill_one(&k, i, true);
	}
	others(&k);
	once(&k);
	in_order(&k);
	withdrawn(&k);
	kt_close(&k);
	return 0;
}

/* ---- refusals ---- */

static void refused(struct kt *k, struct gpufas_verdict v, enum gpufas_why why, const char *what)
{
	struct gpufas_answer a;
	uint64_t seq = kt_put(k, 20, &v);

	ioctl(k->fd, GPUFAS_IOC_KICK);
	bool good = kt_answer(k, 20, seq, &a) && a.state == GPUFAS_REFUSED && a.why == why;
	if (!good)
		printf("# state %u, why %u, error %d; wanted %u\n", a.state, a.why, a.error, (unsigned)why);
	kt_ok(good, "refused: %s", what);
}

static struct gpufas_verdict changed(struct gpufas_verdict v, int action, int arg)
{
	v.action = (uint16_t)action;
	v.arg = arg;
	return v;
}

static void who(struct kt *k)
{
	struct gpufas_verdict v;
	pid_t own = fork();

	if (!own)
		for (;;)
			pause();
	refused(k, kt_verdict(k, 1, GPUFAS_SIGNAL, SIGKILL), GPUFAS_WHY_INIT, "pid 1");
	refused(k, kt_verdict(k, 2, GPUFAS_SIGNAL, SIGKILL), GPUFAS_WHY_KTHREAD, "a kernel thread");
	refused(k, kt_verdict(k, getpid(), GPUFAS_SIGNAL, SIGKILL), GPUFAS_WHY_SELF, "the opener");
	refused(k, kt_verdict(k, own, GPUFAS_SIGNAL, SIGKILL), GPUFAS_WHY_SELF, "the opener's child");
	kill(own, SIGKILL);
	waitpid(own, NULL, 0);
	pid_t p = kt_spawn(KT_THREADS);
	k->c->protects = 2;
	k->c->protect[1] = p;
	refused(k, kt_verdict(k, p, GPUFAS_SIGNAL, SIGKILL), GPUFAS_WHY_SELF, "whom the reader protects");
	k->c->protects = 0xffffffff; /* damaged: no further than there is room */
	refused(k, kt_verdict(k, p, GPUFAS_SIGNAL, SIGKILL), GPUFAS_WHY_SELF, "the same, the number damaged");
	k->c->protects = 0;
	v = kt_verdict(k, p, GPUFAS_SIGNAL, SIGKILL);
	v.pid = p + 15;
	refused(k, v, GPUFAS_WHY_GONE, "a thread that is no process");
	v.pid = p;
	v.start_ns++;
	refused(k, v, GPUFAS_WHY_IDENTITY, "a recycled identity");
	kt_end(p);
	refused(k, v, GPUFAS_WHY_GONE, "who is gone");
	p = kt_spawn(KT_ZOMBIE);
	refused(k, kt_verdict(k, p, GPUFAS_SIGNAL, SIGKILL), GPUFAS_WHY_EXITING, "a zombie");
	kt_end(p);
}

static void words(struct kt *k, pid_t p)
{
	struct gpufas_verdict v = kt_verdict(k, p, GPUFAS_SIGNAL, SIGKILL), w = v;

	refused(k, changed(v, 77, 0), GPUFAS_WHY_BAD, "an action that there is not");
	refused(k, changed(v, GPUFAS_SIGNAL, 0), GPUFAS_WHY_BAD, "signal 0");
	refused(k, changed(v, GPUFAS_SIGNAL, 64), GPUFAS_WHY_BAD, "a real-time signal");
	refused(k, changed(v, GPUFAS_SIGNAL, -9), GPUFAS_WHY_BAD, "signal -9");
	refused(k, changed(v, GPUFAS_RENICE, 1000), GPUFAS_WHY_BAD, "a nice value of 1000 more");
	w.flags = 0x8000;
	refused(k, w, GPUFAS_WHY_BAD, "a flag that there is not");
	w = v;
	w.reserved1 = 1;
	refused(k, w, GPUFAS_WHY_BAD, "a reserved word");
	w = v;
	w.pid = -1;
	refused(k, w, GPUFAS_WHY_BAD, "pid -1");
	w = v;
	w.deadline_ns = kt_boot_ns() - 1000000;
	refused(k, w, GPUFAS_WHY_DEADLINE, "too late");
	w.deadline_ns = 0;
	refused(k, w, GPUFAS_WHY_DEADLINE, "no deadline");
	w.deadline_ns = kt_boot_ns() + 2 * GPUFAS_DEADLINE_MAX_NS;
	refused(k, w, GPUFAS_WHY_DEADLINE, "a deadline two minutes ahead");
	w = (struct gpufas_verdict){ .action = GPUFAS_PANIC, .deadline_ns = v.deadline_ns };
	refused(k, w, GPUFAS_WHY_FORBIDDEN, "a panic without the parameter");
	w.action = GPUFAS_RESTART;
	refused(k, w, GPUFAS_WHY_FORBIDDEN, "a restart without the parameter");
	w.pid = p;
	refused(k, w, GPUFAS_WHY_BAD, "a restart of a process");
}

static void garbled(struct kt *k, pid_t p)
{
	struct gpufas_verdict v = kt_verdict(k, p, GPUFAS_SIGNAL, SIGKILL);
	struct gpufas_verdict *to = (struct gpufas_verdict *)(void *)(k->mem + k->h->verdict_off) + 21;
	const struct gpufas_answer *a = (const struct gpufas_answer *)(void *)(k->mem + k->h->answer_off) + 21;
	struct gpufas_answer an;

	v.seq = k->next_seq++;
	v.check = gpufas_check(k->s.instance + 1, &v);
	*to = v;
	ioctl(k->fd, GPUFAS_IOC_KICK);
	ioctl(k->fd, GPUFAS_IOC_PASS);
	kt_ok(a->seq != v.seq && k->h->count.garbled, "another instance's verdict is not taken");
	v.check = gpufas_check(k->s.instance, &v);
	v.pid ^= 1;
	*to = v;
	ioctl(k->fd, GPUFAS_IOC_KICK);
	kt_ok(a->seq != v.seq, "a verdict with a flipped bit is not taken");
	v.pid ^= 1;
	v.flags = GPUFAS_OBSERVE;
	v.check = gpufas_check(k->s.instance, &v);
	*to = v;
	ioctl(k->fd, GPUFAS_IOC_KICK);
	kt_ok(kt_answer(k, 21, v.seq, &an) && an.state == GPUFAS_OBSERVED && !kill(p, 0), "set right it is; observing does nothing");
}

static void budget(struct kt *k)
{
	struct gpufas_answer a;
	pid_t p = kt_spawn(KT_SLEEPER);
	unsigned sent = 0, short_of = 0;

	kt_arm(k, GPUFAS_ARM_ACT, 3, 3600000000000u);
	for (unsigned i = 0; i < 6; i++) {
		struct gpufas_verdict v = kt_verdict(k, p, GPUFAS_RENICE, 1);
		uint64_t seq = kt_put(k, 30 + i, &v);
		if (!kt_answer(k, 30 + i, seq, &a))
			continue;
		sent += a.state == GPUFAS_SENT;
		short_of += a.why == GPUFAS_WHY_BUDGET;
	}
	kt_ok(sent == 3 && short_of == 3 && getpriority(PRIO_PROCESS, (id_t)p) == 3, "no more than the budget (%u done, %u refused)", sent, short_of);
	kt_end(p);
}

int kt_refusals(void)
{
	struct kt k;

	kt_nursery();
	kt_open(&k, 0);
	pid_t p = kt_spawn(KT_SLEEPER);
	refused(&k, kt_verdict(&k, p, GPUFAS_SIGNAL, SIGKILL), GPUFAS_WHY_DISARMED, "not armed");
	kt_arm(&k, GPUFAS_ARM_ACT, 1000, 1000000000u);
	who(&k);
	words(&k, p);
	garbled(&k, p);
	budget(&k);
	kt_arm(&k, 0, 0, 0);
	refused(&k, kt_verdict(&k, p, GPUFAS_SIGNAL, SIGKILL), GPUFAS_WHY_DISARMED, "disarmed again");
	kt_ok(!kill(p, 0), "and who was to be killed by all of these lives");
	kt_end(p);
	kt_close(&k);
	return 0;
}
