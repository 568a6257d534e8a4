// SPDX-License-Identifier: MIT
/* Time of one sample, by both samplers, over N processes of our own (default
 * 10,000) and whatever else runs: bench_sample [N [passes]] */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "targets/target.h"
#include "tests/helpers/crowd.h"

#define BIT(x) GF_BIT(GF_TF_##x)

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static int run(const char *sampler, const char *what, const struct gf_fieldset *f, int passes)
{
	struct gf_host_opts o = { .sampler = *sampler == 'b' ? GF_SAMPLER_BPF : GF_SAMPLER_PROC, .max_tasks = 65536 };
	double *ms = calloc((size_t)passes, sizeof *ms), birth = 0;
	struct gf_target *t = NULL;
	struct gf_err err = { "" };

	if (!ms || gf_host_create(&o, &t, &err) || gf_target_set_fields(t, f, &err)) {
		printf("%-5s %-28s %s\n", sampler, what, err.text);
		gf_target_destroy(t);
		free(ms);
		return 1;
	}
	for (int i = -1; i < passes; i++) {
		double start = now_ms();
		if (gf_target_sample(t, &err)) {
			printf("%-5s %-28s %s\n", sampler, what, err.text);
			break;
		}
		*(i < 0 ? &birth : &ms[i]) = now_ms() - start;
	}
	qsort(ms, (size_t)passes, sizeof *ms, by_size);
	double median = ms[passes / 2];
	printf("%-5s %-28s %8u %10.2f %10.2f %10.2f %9.2f\n", sampler, what, t->sample.live, birth, ms[0], median,
	       median * 1e3 / t->sample.live);
	gf_target_destroy(t);
	free(ms);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct { const char *name; struct gf_fieldset f; } set[] = {
		{ "identity only", { 0 } },
		{ "rss, cputime, age", { .task = BIT(RSS) | BIT(CPUTIME) | BIT(AGE) } },
		{ "memory, cpu, faults, io, fds", { .task = BIT(RSS) | BIT(ANON) | BIT(SWAP) | BIT(CPUTIME) | BIT(MAJFLT) |
							     BIT(READ_BYTES) | BIT(FDS) | BIT(OOM_SCORE) } },
		{ "all fields, strings", { ~0ull, ~0ull, ~0u, 0 } },
	};
	uint32_t n = crowd_limit(argc > 1 ? (uint32_t)atoi(argv[1]) : 10000);
	int passes = argc > 2 ? atoi(argv[2]) : 15;
	struct crowd c;

	if (passes < 1 || crowd_start(&c, n)) {
		fprintf(stderr, "usage: bench_sample [processes [passes]]\n");
		return 2;
	}
	printf("%-5s %-28s %8s %10s %10s %10s %9s\n", "road", "fields", "tasks", "first ms", "least ms", "median ms", "us/task");
	for (int b = 1; b >= 0; b--)
		for (size_t i = 0; i < sizeof set / sizeof *set; i++)
			run(b ? "bpf" : "proc", set[i].name, &set[i].f, passes);
	crowd_end(&c);
	return 0;
}
