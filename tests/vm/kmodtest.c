// SPDX-License-Identifier: MIT
/*
 * kmodtest COMMAND: the kernel module's user, for tests and figures. In a guest; static.
 *   ioctls procs mailbox refusals mem hotmem  tests
 *   takeover SECONDS                   CPUs are lost for so long, each in another way
 *   fuzz SEED ROUNDS                   random control pages, mailboxes, ioctls and mappings
 *   hold SECONDS [kill]                opens, starts, maps, arms; then makes passes (and sends verdicts) until it is over
 *   stay BUDGET                        opens, arms so that the module goes on without it, and ends
 *   gap                                until SIGTERM; then tells the longest time, in ms, in which it did not run
 *   thrash MIB SECONDS                 touches so much memory again and again
 *   bound TASKS SECONDS                how long interrupts take; by a clock that counts instructions
 *   bench ...
 */
#include "kmodtest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int bad;

void kt_ok(bool good, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("%s ", good ? "ok" : "not ok");
	vprintf(fmt, ap);
	putchar('\n');
	fflush(stdout);
	va_end(ap);
	bad |= !good;
}

static void fail(const char *what)
{
	printf("not ok %s: %s\n", what, strerror(errno));
	exit(1);
}

uint64_t kt_boot_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void kt_open(struct kt *k, uint32_t rows)
{
	memset(k, 0, sizeof *k);
	k->fd = open(GPUFAS_DEVICE, O_RDWR | O_CLOEXEC);
	if (k->fd < 0)
		fail("open " GPUFAS_DEVICE);
	k->s = (struct gpufas_start){ .size = sizeof k->s, .version = GPUFAS_VERSION, .rows = rows, .want = ~0u };
	if (ioctl(k->fd, GPUFAS_IOC_START, &k->s))
		fail("GPUFAS_IOC_START");
	k->mem = mmap(NULL, k->s.region_size, PROT_READ | PROT_WRITE, MAP_SHARED, k->fd, 0);
	if (k->mem == MAP_FAILED)
		fail("mmap");
	k->h = (struct gpufas_header *)(void *)k->mem;
	k->c = (struct gpufas_control *)(void *)(k->mem + k->h->control_off);
	k->next_seq = k->h->mail_seq + 1;
}

void kt_close(struct kt *k)
{
	munmap(k->mem, k->s.region_size);
	close(k->fd);
}

int kt_arm(struct kt *k, uint32_t flags, uint32_t budget, uint64_t budget_ns)
{
	struct gpufas_arm a = { .size = sizeof a, .flags = flags, .budget = budget, .budget_ns = budget_ns };

	return ioctl(k->fd, GPUFAS_IOC_ARM, &a);
}

struct gf_task_rec *kt_table(struct kt *k, struct gpufas_table *ret)
{
	struct gf_task_rec *to = malloc((size_t)k->h->rows * sizeof *to);

	for (;;) {
		uint32_t i = __atomic_load_n(&k->h->latest, __ATOMIC_ACQUIRE);
		if (i >= GPUFAS_TABLES)
			continue;
		const struct gpufas_table *t = (const void *)(k->mem + k->h->table_off[i]);
		uint64_t seq = __atomic_load_n(&t->seq, __ATOMIC_ACQUIRE);
		if (seq & 1)
			continue;
		*ret = *t;
		memcpy(to, t + 1, (size_t)ret->count * sizeof *to);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&t->seq, __ATOMIC_RELAXED) == seq)
			return to;
	}
}

bool kt_record(struct kt *k, pid_t pid, struct gf_task_rec *r)
{
	struct gpufas_table t;
	bool found = false;

	if (ioctl(k->fd, GPUFAS_IOC_PASS))
		fail("GPUFAS_IOC_PASS");
	struct gf_task_rec *rec = kt_table(k, &t);
	for (uint32_t i = 0; i < t.count && !found; i++)
		if (rec[i].pid == pid) {
			*r = rec[i];
			found = true;
		}
	free(rec);
	return found;
}

struct gpufas_verdict kt_verdict(struct kt *k, pid_t pid, int action, int arg)
{
	struct gf_task_rec r = { 0 };

	if (pid)
		kt_record(k, pid, &r);
	return (struct gpufas_verdict){ .start_ns = r.start_ns, .deadline_ns = kt_boot_ns() + 30000000000u, .cookie = 0xc0ffee,
					.pid = pid, .arg = arg, .action = (uint16_t)action };
}

uint64_t kt_put(struct kt *k, unsigned i, struct gpufas_verdict *v)
{
	struct gpufas_verdict *to = (struct gpufas_verdict *)(void *)(k->mem + k->h->verdict_off) + i;
	uint64_t seq = v->seq ? v->seq : k->next_seq++;

	v->seq = seq;
	v->check = gpufas_check(k->s.instance, v);
	uint64_t old = to->seq;
	*to = *v;
	to->seq = old;
	__atomic_store_n(&to->seq, seq, __ATOMIC_RELEASE);
	return seq;
}

bool kt_answer(struct kt *k, unsigned i, uint64_t seq, struct gpufas_answer *a)
{
	const struct gpufas_answer *from = (const struct gpufas_answer *)(void *)(k->mem + k->h->answer_off) + i;

	for (int n = 0; n < 2000; n++) {
		if (__atomic_load_n(&from->seq, __ATOMIC_ACQUIRE) == seq) {
			*a = *from;
			return true;
		}
		usleep(5000);
	}
	memset(a, 0, sizeof *a);
	return false;
}

/* ---- the nursery ---- */

static int nursery = -1;
struct order {
	enum kt_kind kind; /* KT_KINDS: wait for pid */
	pid_t pid;
};

static void on_term(int sig)
{
	(void)sig;
	_exit(42);
}

static void *idle(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void grow_up(enum kt_kind kind, int ready)
{
	pthread_t t;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (kind == KT_HANDLER)
		signal(SIGTERM, on_term);
	for (int i = 0; kind == KT_THREADS && i < 15; i++)
		pthread_create(&t, NULL, idle, NULL);
	if (kind == KT_FIFO) {
		struct sched_param p = { .sched_priority = 20 };
		sched_setscheduler(0, SCHED_FIFO, &p);
	}
	if (write(ready, "", 1) != 1 || kind == KT_ZOMBIE)
		_exit(0);
	if (kind == KT_STOPPED)
		raise(SIGSTOP);
	for (;;)
		if (kind != KT_HOG && kind != KT_FIFO)
			pause();
}

static int raise_one(enum kt_kind kind)
{
	int ready[2];
	char c;

	if (pipe(ready))
		return -1;
	pid_t pid = fork();
	if (!pid)
		grow_up(kind, ready[1]);
	if (read(ready[0], &c, 1) != 1)
		pid = -1;
	close(ready[0]);
	close(ready[1]);
	if (kind == KT_STOPPED)
		waitpid(pid, NULL, WUNTRACED);
	if (kind == KT_ZOMBIE)
		waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT);
	return pid;
}

static int wait_soon(pid_t pid)
{
	int status;

	for (int n = 0; n < 1000; n++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		usleep(10000);
	}
	return -1;
}

void kt_nursery(void)
{
	int s[2];
	struct order o;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s))
		fail("socketpair");
	pid_t pid = fork();
	if (pid) {
		/* The parent is the nursery, and the child the one who opens: so the nursery's children are not the opener's. */
		close(s[1]);
		while (read(s[0], &o, sizeof o) == (ssize_t)sizeof o) {
			int r = o.kind == KT_KINDS ? wait_soon(o.pid) : raise_one(o.kind);
			if (write(s[0], &r, sizeof r) != (ssize_t)sizeof r)
				break;
		}
		int status = 0;
		waitpid(pid, &status, 0);
		exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
	}
	close(s[0]);
	nursery = s[1];
}

static int ask(struct order o)
{
	int r;

	if (write(nursery, &o, sizeof o) != (ssize_t)sizeof o || read(nursery, &r, sizeof r) != (ssize_t)sizeof r)
		fail("nursery");
	return r;
}

pid_t kt_spawn(enum kt_kind kind)
{
	return ask((struct order){ .kind = kind });
}

int kt_wait(pid_t pid)
{
	return ask((struct order){ .kind = KT_KINDS, .pid = pid });
}

void kt_end(pid_t pid)
{
	kill(pid, SIGKILL);
	kt_wait(pid);
}

/* ---- commands for scripts ---- */

static int hold(int seconds, bool killing)
{
	struct kt k;
	uint64_t until = kt_boot_ns() + (uint64_t)seconds * 1000000000u;
	struct gpufas_answer a;

	kt_open(&k, 0);
	kt_arm(&k, GPUFAS_ARM_ACT, 1000, 1000000000u);
	puts("held");
	fflush(stdout);
	for (unsigned i = 0; kt_boot_ns() < until; i++) {
		if (ioctl(k.fd, GPUFAS_IOC_PASS))
			return 1;
		if (killing) {
			struct gpufas_verdict v = kt_verdict(&k, 1, GPUFAS_SIGNAL, SIGKILL);
			uint64_t seq = kt_put(&k, i % GPUFAS_SLOTS, &v);
			ioctl(k.fd, GPUFAS_IOC_KICK);
			if (!kt_answer(&k, i % GPUFAS_SLOTS, seq, &a) || a.why != GPUFAS_WHY_INIT)
				return 1;
		}
	}
	return 0;
}

static int stay(unsigned budget)
{
	struct kt k;

	kt_open(&k, 0);
	k.c->want = ~0u;
	if (kt_arm(&k, GPUFAS_ARM_ACT | GPUFAS_ARM_STAY, budget, 1000000000u))
		fail("GPUFAS_IOC_ARM");
	kt_close(&k);
	return 0;
}

/* How long user space did not run: the longest time from one wake-up to the next, told at SIGTERM. */
static volatile sig_atomic_t told;

static void tell(int sig)
{
	(void)sig;
	told = 1;
}

static int gap(void)
{
	uint64_t last = kt_boot_ns(), longest = 0;

	signal(SIGTERM, tell);
	while (!told) {
		usleep(20000);
		uint64_t now = kt_boot_ns();
		if (now - last > longest)
			longest = now - last;
		last = now;
	}
	printf("%llu\n", (unsigned long long)(longest / 1000000));
	return 0;
}

/* Takes more than there is, and touches it without end: what it has is swapped out and in. */
static int thrash(size_t mib, unsigned seconds)
{
	size_t n = mib << 20;
	uint64_t until = kt_boot_ns() + seconds * 1000000000ull;
	char *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		fail("mmap");
	for (size_t i = 0; i & 0xfffff || kt_boot_ns() < until; i += 4096)
		p[i % n]++;
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "ioctls"))
		return kt_ioctls() | bad;
	if (!strcmp(what, "mem"))
		return kt_mem() | bad;
	if (!strcmp(what, "hotmem"))
		return kt_hotmem() | bad;
	if (!strcmp(what, "takeover") && argc > 2)
		return kt_takeover((unsigned)atoi(argv[2])) | bad;
	if (!strcmp(what, "procs"))
		return kt_procs() | bad;
	if (!strcmp(what, "mailbox"))
		return kt_mailbox() | bad;
	if (!strcmp(what, "refusals"))
		return kt_refusals() | bad;
	if (!strcmp(what, "fuzz") && argc > 3)
		return kt_fuzz((unsigned)atoi(argv[2]), (unsigned)atoi(argv[3])) | bad;
	if (!strcmp(what, "hold") && argc > 2)
		return hold(atoi(argv[2]), argc > 3);
	if (!strcmp(what, "stay") && argc > 2)
		return stay((unsigned)atoi(argv[2]));
	if (!strcmp(what, "gap"))
		return gap();
	if (!strcmp(what, "thrash") && argc > 3)
		return thrash((size_t)atoi(argv[2]), (unsigned)atoi(argv[3]));
	if (!strcmp(what, "bound") && argc > 3)
		return kt_bound((unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]));
	if (!strcmp(what, "bench"))
		return kt_bench(argc - 2, argv + 2);
	fprintf(stderr, "usage: kmodtest ioctls|procs|mailbox|refusals|mem|hotmem|takeover SECONDS|fuzz SEED ROUNDS|hold SECONDS [kill]|stay BUDGET|gap|thrash MIB SECONDS|bound TASKS SECONDS|bench ...\n");
	return 2;
}
