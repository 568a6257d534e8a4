// SPDX-License-Identifier: MIT
/*
 * Figures. bench sample TASKS SECONDS PERIOD_MS...: what sampling costs; bench mail ROUNDS POLL_US: from a verdict's
 * store to the signal, and to the process's end as wait(2) sees it.
 */
#include "kmodtest.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void at_period(struct kt *k, unsigned period_ms, unsigned seconds)
{
	k->c->period_ns = period_ms * 1000000ull;
	sleep(1);
	struct gpufas_counters a = k->h->count, b;
	uint64_t from = kt_boot_ns();
	sleep(seconds);
	b = k->h->count;
	uint64_t took = kt_boot_ns() - from;
	struct gpufas_table t;
	free(kt_table(k, &t));
	uint64_t passes = b.passes - a.passes, work = b.slice_ns - a.slice_ns;
	printf("# %u processes, period %u ms: ", t.count, period_ms);
	if (passes)
		printf("%.2f us a process, pass %.2f ms of work in %.1f ms, ", (double)work / 1e3 / (double)passes / t.count, (double)work / 1e6 / (double)passes,
		       (double)b.pass_span_ns / 1e6);
	printf("%.1f passes/s, %llu slices, of %.0f us at most, interrupts of %.0f us at most (since the start), %.2f %% of a CPU\n",
	       (double)passes * 1e9 / (double)took, (unsigned long long)(b.slices - a.slices), (double)b.slice_max_ns / 1e3, (double)b.irq_max_ns / 1e3,
	       100.0 * (double)(b.irq_ns - a.irq_ns) / (double)took);
	fflush(stdout);
}

static void sample(struct kt *k, unsigned tasks, unsigned seconds, char **period)
{
	for (unsigned i = 0; i < tasks; i++)
		kt_spawn(KT_SLEEPER);
	kt_open(k, 16384);
	k->c->want = GF_REC_RSS | GF_REC_SWAP | GF_REC_CPU | GF_REC_VSZ | GF_REC_ADJ | GF_REC_STAT | GF_REC_UID | GF_REC_IDS;
	for (; *period; period++)
		at_period(k, (unsigned)atoi(*period), seconds);
	kt_close(k);
}

static void mail(struct kt *k, unsigned rounds, unsigned poll_us)
{
	uint64_t *sent = calloc(rounds, sizeof *sent), *gone = calloc(rounds, sizeof *gone);
	struct gpufas_answer a;

	kt_open(k, 0);
	k->c->poll_ns = poll_us * 1000ull;
	kt_arm(k, GPUFAS_ARM_ACT, 1000, 100000000u);
	usleep(200000);
	for (unsigned i = 0; i < rounds; i++) {
		pid_t pid = kt_spawn(i % 2 ? KT_HOG : KT_SLEEPER);
		struct gpufas_verdict v = kt_verdict(k, pid, GPUFAS_SIGNAL, SIGKILL);
		usleep((useconds_t)(rand() % 20000));
		uint64_t from = kt_boot_ns(), seq = kt_put(k, i % GPUFAS_SLOTS, &v);
		if (!kt_answer(k, i % GPUFAS_SLOTS, seq, &a) || a.why)
			printf("not ok answer %u\n", a.why);
		kt_wait(pid);
		sent[i] = a.at_ns - from;
		gone[i] = kt_boot_ns() - from;
	}
	qsort(sent, rounds, sizeof *sent, by_value);
	qsort(gone, rounds, sizeof *gone, by_value);
	printf("# mailbox looked at every %u us: from the store to the signal p50 %.2f ms, p99 %.2f ms; to waitpid's return (polled every 10 ms) p50 %.1f ms, p99 %.1f ms (%u rounds)\n",
	       poll_us, (double)sent[rounds / 2] / 1e6, (double)sent[rounds * 99 / 100] / 1e6, (double)gone[rounds / 2] / 1e6,
	       (double)gone[rounds * 99 / 100] / 1e6, rounds);
	kt_close(k);
	free(sent);
	free(gone);
}

/* What one interrupt takes, all of it: slices, their ends, and a mailbox that is never empty. For a guest whose clock counts instructions: with
 * another one it may not have been run meanwhile. */
int kt_bound(unsigned tasks, unsigned seconds)
{
	struct gpufas_answer a;
	uint64_t seq[32], until, slice;
	unsigned sent = 0;
	struct kt k;

	kt_nursery();
	pid_t p = kt_spawn(KT_SLEEPER);
	for (unsigned i = 0; i < tasks; i++)
		kt_spawn(KT_SLEEPER);
	kt_open(&k, 0);
	k.c->want = GF_REC_RSS | GF_REC_SWAP | GF_REC_CPU | GF_REC_VSZ | GF_REC_ADJ | GF_REC_STAT | GF_REC_UID | GF_REC_IDS;
	k.c->period_ns = 10000000;
	kt_arm(&k, GPUFAS_ARM_ACT, 1000, 100000000u);
	slice = k.h->slice_ns;
	for (until = kt_boot_ns() + seconds * 1000000000ull; kt_boot_ns() < until;) {
		for (unsigned i = 0; i < KT_COUNT(seq); i++) {
			struct gpufas_verdict v = kt_verdict(&k, p, GPUFAS_SIGNAL, SIGCONT);
			seq[i] = kt_put(&k, i, &v);
		}
		for (unsigned i = 0; i < KT_COUNT(seq); i++)
			sent += kt_answer(&k, i, seq[i], &a) && a.state == GPUFAS_SENT;
	}
	ioctl(k.fd, GPUFAS_IOC_PASS);
	struct gpufas_counters c = k.h->count;
	kt_ok(c.irq_max_ns && c.irq_max_ns <= slice && c.slice_max_ns <= slice, "no interrupt takes longer than %llu us: %llu us at most, slices %llu us",
	      (unsigned long long)slice / 1000, (unsigned long long)c.irq_max_ns / 1000, (unsigned long long)c.slice_max_ns / 1000);
	kt_ok(sent && c.passes > 10, "meanwhile %u signals and %llu passes, of %llu slices", sent, (unsigned long long)c.passes, (unsigned long long)c.slices);
	kt_close(&k);
	return 0;
}

int kt_bench(int argc, char **argv)
{
	struct kt k;

	kt_nursery();
	if (argc >= 4 && !strcmp(argv[0], "sample"))
		sample(&k, (unsigned)atoi(argv[1]), (unsigned)atoi(argv[2]), argv + 3);
	else if (argc == 3 && !strcmp(argv[0], "mail"))
		mail(&k, (unsigned)atoi(argv[1]), (unsigned)atoi(argv[2]));
	else
		return 2;
	return 0;
}
