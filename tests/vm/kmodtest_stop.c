// SPDX-License-Identifier: MIT
/*
 * CPUs that are lost while they sample or deliver: the others go on. takeover SECONDS; spin.ko does the losing. We run on one CPU, which is
 * never lost, and watch the region from there.
 */
#include "kmodtest.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CPUS 8
#define LOGGED 4096

struct seen {
	unsigned n;                 /* tables */
	struct { uint64_t at_ns; uint32_t cpu; } table[LOGGED];
	uint64_t beat[CPUS], beat_seen[CPUS];
	uint64_t from[CPUS], to[CPUS]; /* the longest time in which this CPU did not beat */
	unsigned back, host_back;   /* shown, and older than what had been shown */
	unsigned hosts;             /* host fields that were new */
	uint64_t host_at;
	uint64_t host_seen[LOGGED];
	uint64_t pass, first_ns;
};

static struct seen seen;

static const struct gpufas_cpu *cpu(const struct kt *k, unsigned i)
{
	return (const struct gpufas_cpu *)(void *)(k->mem + k->h->cpu_off) + i;
}

static void look_at_table(const struct kt *k, uint64_t now)
{
	uint32_t i = __atomic_load_n(&k->h->latest, __ATOMIC_ACQUIRE);
	struct gpufas_table t;

	if (i >= GPUFAS_TABLES)
		return;
	const struct gpufas_table *from = (const void *)(k->mem + k->h->table_off[i]);
	uint64_t seq = __atomic_load_n(&from->seq, __ATOMIC_ACQUIRE);
	t = *from;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (seq & 1 || __atomic_load_n(&from->seq, __ATOMIC_RELAXED) != seq || t.pass == seen.pass)
		return;
	seen.back += t.pass < seen.pass || t.first_ns < seen.first_ns;
	seen.pass = t.pass;
	seen.first_ns = t.first_ns;
	if (seen.n < LOGGED) {
		seen.table[seen.n].at_ns = now;
		seen.table[seen.n++].cpu = t.last_cpu;
	}
}

static void look_at_host(const struct kt *k, uint64_t now)
{
	const struct gpufas_host *h = (const void *)(k->mem + k->h->host_off);
	uint64_t seq = __atomic_load_n(&h->seq, __ATOMIC_ACQUIRE), at = h->at_ns;

	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (seq & 1 || __atomic_load_n(&h->seq, __ATOMIC_RELAXED) != seq || at == seen.host_at)
		return;
	seen.host_back += at < seen.host_at;
	seen.host_at = at;
	if (seen.hosts < LOGGED)
		seen.host_seen[seen.hosts++] = now;
}

static void look_at_cpus(const struct kt *k, uint64_t now, bool last)
{
	for (unsigned i = 0; i < k->h->cpus && i < CPUS; i++) {
		uint64_t beat = cpu(k, i)->beats;
		if (beat == seen.beat[i] && !last)
			continue;
		if (seen.beat_seen[i] && now - seen.beat_seen[i] > seen.to[i] - seen.from[i]) {
			seen.from[i] = seen.beat_seen[i];
			seen.to[i] = now;
		}
		seen.beat[i] = beat;
		seen.beat_seen[i] = now;
	}
}

static void watch(const struct kt *k, uint64_t ns)
{
	uint64_t until = kt_boot_ns() + ns, now = 0;

	memset(&seen, 0, sizeof seen);
	while ((now = kt_boot_ns()) < until) {
		look_at_cpus(k, now, false);
		look_at_table(k, now);
		look_at_host(k, now);
		usleep(200);
	}
	look_at_cpus(k, now, true);
}

static void stay_on(unsigned n)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(n, &set);
	sched_setaffinity(0, sizeof set, &set);
}

/* The CPU that most passes are ended by. */
static unsigned sampling_cpu(const struct kt *k)
{
	unsigned by[CPUS] = { 0 }, most = 0;

	watch(k, 1500000000u);
	for (unsigned i = 0; i < seen.n; i++)
		if (seen.table[i].cpu < CPUS)
			by[seen.table[i].cpu]++;
	for (unsigned i = 0; i < CPUS; i++)
		if (by[i] > by[most])
			most = i;
	return most;
}

/* insmod may itself wait for the CPU that is lost, spinning: elsewhere than we are. */
static pid_t insmod(unsigned victim, const char *a, const char *b, const char *c, unsigned seconds)
{
	unsigned on = 0, here = (unsigned)sched_getcpu();
	char for_s[32];
	pid_t pid;

	snprintf(for_s, sizeof for_s, "seconds=%u", seconds);
	pid = fork();
	if (!pid) {
		while (on == here || on == victim)
			on++;
		stay_on(on);
		execl("/bin/insmod", "insmod", "/lib/spin.ko", for_s, a, b, c, (char *)NULL);
		_exit(127);
	}
	return pid;
}

/* Which CPUs were lost, a bit each. */
static unsigned long gone(pid_t insmod_pid)
{
	unsigned long cpus = 0;
	int status = -1;
	FILE *f;

	waitpid(insmod_pid, &status, 0);
	f = fopen("/sys/module/spin/parameters/stopped", "r");
	if (status || !f || fscanf(f, "%lu", &cpus) != 1)
		cpus = 0;
	if (f)
		fclose(f);
	if (system("/bin/rmmod spin"))
		cpus = 0;
	return cpus;
}

/* What was seen while all of `cpus` stood: tables, by whom, and the longest time from one to the next. */
static unsigned meanwhile(unsigned long cpus, unsigned long *ret_by, uint64_t *ret_gap, unsigned *ret_hosts)
{
	uint64_t from = 0, to = UINT64_MAX, last;
	unsigned n = 0;

	for (unsigned i = 0; i < CPUS; i++)
		if (cpus >> i & 1) {
			from = seen.from[i] > from ? seen.from[i] : from;
			to = seen.to[i] < to ? seen.to[i] : to;
		}
	*ret_by = 0;
	*ret_gap = 0;
	*ret_hosts = 0;
	last = from;
	for (unsigned i = 0; i < seen.n; i++) {
		uint64_t at = seen.table[i].at_ns;
		if (at <= from || at >= to)
			continue;
		n++;
		*ret_by |= 1ul << seen.table[i].cpu;
		*ret_gap = at - last > *ret_gap ? at - last : *ret_gap;
		last = at;
	}
	for (unsigned i = 0; i < seen.hosts; i++)
		*ret_hosts += seen.host_seen[i] > from && seen.host_seen[i] < to;
	return n;
}

static void judge(struct kt *k, const char *what, unsigned long cpus, unsigned want_cpus, const struct gpufas_counters *before, unsigned least_lost)
{
	unsigned long by;
	uint64_t gap;
	unsigned hosts, n = meanwhile(cpus, &by, &gap, &hosts);
	uint64_t takeovers = k->h->count.takeovers - before->takeovers, lost = k->h->count.lost - before->lost;
	unsigned one = (unsigned)__builtin_ctzl(cpus | 1ul << (CPUS - 1));

	printf("# %s: CPUs %#lx stood for %llu ms; meanwhile %u tables by CPUs %#lx, %u times host fields; from table to table %llu ms at most; "
	       "taken over %llu, given up %llu\n", what, cpus, (unsigned long long)(seen.to[one] - seen.from[one]) / 1000000, n, by, hosts,
	       (unsigned long long)gap / 1000000, (unsigned long long)takeovers, (unsigned long long)lost);
	kt_ok((unsigned)__builtin_popcountl(cpus) == want_cpus, "%s: %u CPU%s lost", what, want_cpus, want_cpus > 1 ? "s are" : " is");
	kt_ok(n >= 2 && !(by & cpus), "%s: tables go on, made by others", what);
	kt_ok(hosts >= 2 && !seen.host_back, "%s: host fields go on", what);
	kt_ok(!seen.back, "%s: what is shown never grows older", what);
	kt_ok(lost >= least_lost && (least_lost || !lost), "%s: %s", what, least_lost ? "the pass that was stopped is given up" : "no pass is given up");
	/* They are back: all beat, and the next passes are as ever. */
	uint64_t beats[CPUS];
	bool all = true;
	for (unsigned i = 0; i < k->h->cpus && i < CPUS; i++)
		beats[i] = cpu(k, i)->beats;
	for (int tries = 0; tries < 50; tries++) {
		usleep(100000);
		all = true;
		for (unsigned i = 0; i < k->h->cpus && i < CPUS; i++)
			all &= cpu(k, i)->beats > beats[i];
		if (all)
			break;
	}
	struct gf_task_rec r;
	kt_ok(all && kt_record(k, getpid(), &r) && r.have & GF_REC_RSS, "%s: afterwards all is as before", what);
}

static void stopped_at(struct kt *k, const char *what, const char *function, unsigned times, unsigned seconds)
{
	struct gpufas_counters before = k->h->count;
	char at[64], n[32], spare[32];

	snprintf(at, sizeof at, "at=%s", function);
	snprintf(n, sizeof n, "times=%u", times);
	snprintf(spare, sizeof spare, "spare=%d", sched_getcpu());
	pid_t pid = insmod(CPUS, at, n, spare, seconds);
	watch(k, (seconds + 1) * 1000000000ull);
	judge(k, what, gone(pid), times, &before, 1);
}

static void locked_up(struct kt *k, const char *what, bool irqs, unsigned seconds)
{
	struct gpufas_counters before;
	unsigned victim;
	char only[32];

	stay_on(0);
	victim = sampling_cpu(k);
	stay_on(victim ? 0 : 1);
	before = k->h->count;
	snprintf(only, sizeof only, "only=%u", victim);
	pid_t pid = insmod(victim, only, irqs ? "irqs=1" : "irqs=0", "spare=-1", seconds);
	watch(k, (seconds + 1) * 1000000000ull);
	if (irqs) {
		judge(k, what, gone(pid), 1, &before, 0);
	} else {
		unsigned long was = gone(pid);
		printf("# %s: CPU %u beat all the time but for %llu ms; %u tables in %u s\n", what, victim,
		       (unsigned long long)(seen.to[victim] - seen.from[victim]) / 1000000, seen.n, seconds + 1);
		kt_ok(was == 1ul << victim && seen.to[victim] - seen.from[victim] < seconds * 500000000ull && seen.n >= 5 && !seen.back,
		      "%s: a CPU that takes interrupts goes on by itself", what);
	}
}

/* A CPU is stopped where it comes to `function` with a verdict in slot 0: its number; how many were sent until another CPU than ours took one. */
static uint64_t lose_in_mail(struct kt *k, const char *function, unsigned seconds, struct gpufas_verdict *v, uint64_t *ret_sent)
{
	const struct gpufas_answer *a = (const void *)(k->mem + k->h->answer_off);
	char at[64], spare[32];
	bool stuck = false;
	uint64_t seq = 0;
	int status = -1;

	snprintf(at, sizeof at, "at=%s", function);
	snprintf(spare, sizeof spare, "spare=%d", sched_getcpu());
	pid_t pid = insmod(CPUS, at, "times=1", spare, seconds);
	waitpid(pid, &status, 0); /* nobody comes there before the first verdict */
	*ret_sent = 0;
	for (int i = 0; i < 100 && !stuck; i++) {
		v->seq = 0;
		v->deadline_ns = kt_boot_ns() + 30000000000u;
		seq = kt_put(k, 0, v);
		++*ret_sent;
		usleep(150000);
		stuck = __atomic_load_n(&a[0].seq, __ATOMIC_ACQUIRE) != seq;
	}
	kt_ok(!status && stuck, "mailbox: a CPU is lost in %s", function);
	return seq;
}

/* As a reader does that has waited long enough. True: the module has begun with it. */
static bool take_back(struct kt *k, uint64_t seq)
{
	struct gpufas_verdict *v = (void *)(k->mem + k->h->verdict_off);
	const struct gpufas_answer *a = (const void *)(k->mem + k->h->answer_off);

	__atomic_store_n(&v[0].check, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&a[0].taken, __ATOMIC_RELAXED) == seq;
}

/* The CPU has read the verdict and will come back to carry it out: it was taken back meanwhile, and is not. */
static void taken_back(struct kt *k, unsigned seconds)
{
	struct gpufas_verdict v = kt_verdict(k, getppid(), GPUFAS_SIGNAL, SIGCONT);
	struct gpufas_answer a;
	uint64_t sent, seq;

	v.flags = GPUFAS_OBSERVE;
	seq = lose_in_mail(k, "has_to_wait", seconds, &v, &sent);
	kt_ok(!take_back(k, seq), "mailbox: it had not begun with what is taken back");
	bool there = kt_answer(k, 0, seq, &a);
	kt_ok(there && a.state == GPUFAS_REFUSED && a.why == GPUFAS_WHY_WITHDRAWN, "mailbox: and does not do it when it comes back (%u, %u)", a.state, a.why);
	kt_ok(!system("/bin/rmmod spin"), "mailbox: and all is as before");
}

/* A CPU that stops in the middle of a verdict keeps that slot, and no other. */
static void stopped_in_mail(struct kt *k, unsigned seconds)
{
	struct gpufas_counters before = k->h->count;
	struct gpufas_verdict v = kt_verdict(k, getppid(), GPUFAS_SIGNAL, SIGCONT);
	const struct gpufas_answer *a = (const void *)(k->mem + k->h->answer_off);
	struct gpufas_answer other;
	uint64_t seq, sent;

	v.flags = GPUFAS_OBSERVE;
	seq = lose_in_mail(k, "gpufas_guard", seconds, &v, &sent);
	kt_ok(take_back(k, seq), "mailbox: it is seen that it has begun with it");
	v.pid = getpid(); /* one about the same process would wait */
	v.start_ns = kt_verdict(k, v.pid, GPUFAS_SIGNAL, SIGCONT).start_ns;
	v.seq = 0;
	uint64_t next = kt_put(k, 1, &v), from = kt_boot_ns();
	sent++;
	bool good = kt_answer(k, 1, next, &other);
	uint64_t took = kt_boot_ns() - from;
	bool still = a[0].seq != seq;
	kt_ok(good && other.state == GPUFAS_REFUSED && other.why == GPUFAS_WHY_SELF && still, "mailbox: the other slots go on (%llu us)", (unsigned long long)took / 1000);
	int r = ioctl(k->fd, GPUFAS_IOC_KICK), e = errno;
	if (a[0].seq != seq)
		kt_ok(r && e == EAGAIN, "mailbox: a kick does not wait for it");
	kt_ok(kt_answer(k, 0, seq, &other) && other.state == GPUFAS_OBSERVED, "mailbox: it is answered when the CPU is back");
	ioctl(k->fd, GPUFAS_IOC_PASS);
	kt_ok(k->h->count.taken - before.taken == sent && k->h->count.observed - before.observed == sent - 1, "mailbox: each is taken once (%llu)",
	      (unsigned long long)sent);
	kt_ok(!system("/bin/rmmod spin"), "mailbox: and all is as before");
}

int kt_takeover(unsigned seconds)
{
	struct kt k;

	kt_nursery();
	/* So many that a pass is many slices: a CPU may be lost between two of them. */
	for (int i = 0; i < 150; i++)
		kt_spawn(KT_SLEEPER);
	kt_open(&k, 0);
	kt_arm(&k, GPUFAS_ARM_ACT, 1000, 1000000000u);
	locked_up(&k, "interrupts off", true, seconds);
	locked_up(&k, "preemption off", false, seconds);
	stay_on(0);
	stopped_at(&k, "in a slice", "gpufas_record", 1, seconds);
	stopped_at(&k, "before a table is shown", "gpufas_publish", 1, seconds);
	stopped_at(&k, "in host fields", "gpufas_mailbox_count", 1, seconds);
	stopped_at(&k, "two in slices", "gpufas_record", 2, 2 * seconds);
	stopped_in_mail(&k, seconds);
	taken_back(&k, seconds);
	kt_close(&k);
	return 0;
}
