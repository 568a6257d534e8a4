/* SPDX-License-Identifier: MIT
 *
 * What the hogs share: their options, and the promise that none of them can hurt
 * the machine. Every hog has a name of its own (so that a policy can be limited to
 * it), a greatest size, and a time after which SIGALRM ends it, whatever happens.
 */
#ifndef GPUFAS_HOG_H
#define GPUFAS_HOG_H

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define HOG_MAX_SECONDS 600

struct hog {
	const char *comm;
	uint64_t limit;   /* MiB, descriptors or children: what the hog's usage says */
	uint64_t rate;    /* the same a second */
	uint64_t leave;   /* memhog: KiB that it leaves to the others; 0: it does not look */
	unsigned seconds; /* lifetime */
	bool deaf;        /* ignores SIGTERM */
};

/* A number in [1, max], or the end of the program with a sentence. */
static inline uint64_t hog_number(const char *what, const char *text, uint64_t max)
{
	char *end;
	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);

	if (errno || *end || end == text || v < 1 || v > max) {
		fprintf(stderr, "%s must be a number from 1 to %llu, not \"%s\"\n", what, (unsigned long long)max, text);
		exit(2);
	}
	return v;
}

/* Parses --comm --limit --leave --rate --seconds --deaf into h (which holds the defaults),
 * sets the name, the alarm and the end with the parent. */
static inline void hog_start(struct hog *h, int argc, char **argv, uint64_t max_limit)
{
	static const struct option opts[] = {
		{ "comm", required_argument, NULL, 'c' },    { "limit", required_argument, NULL, 'l' },
		{ "rate", required_argument, NULL, 'r' },    { "seconds", required_argument, NULL, 's' },
		{ "leave", required_argument, NULL, 'a' },   { "deaf", no_argument, NULL, 'd' },
		{ NULL, 0, NULL, 0 },
	};
	pid_t parent = getppid();
	int o;

	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		switch (o) {
		case 'c': h->comm = optarg; break;
		case 'l': h->limit = hog_number("--limit", optarg, max_limit); break;
		case 'r': h->rate = hog_number("--rate", optarg, max_limit); break;
		case 's': h->seconds = (unsigned)hog_number("--seconds", optarg, HOG_MAX_SECONDS); break;
		case 'a': h->leave = hog_number("--leave", optarg, UINT32_MAX); break;
		case 'd': h->deaf = true; break;
		default: exit(2);
		}
	}
	prctl(PR_SET_NAME, h->comm, 0, 0, 0);
	/* A test that dies takes its hogs along. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		exit(1);
	/* Never the kernel's last choice: were the bounds wrong, the hog goes first. */
	FILE *f = fopen("/proc/self/oom_score_adj", "we");
	if (f) {
		fputs("1000", f);
		fclose(f);
	}
	if (h->deaf)
		signal(SIGTERM, SIG_IGN);
	alarm(h->seconds);
	setvbuf(stdout, NULL, _IOLBF, 0);
}

static inline void hog_sleep_ns(uint64_t ns)
{
	struct timespec t = { .tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u) };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

static inline uint64_t hog_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Waits for the end: the alarm, or a signal. */
__attribute__((noreturn)) static inline void hog_stay(void)
{
	for (;;)
		pause();
}

#endif
