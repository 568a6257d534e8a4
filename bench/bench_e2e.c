/* SPDX-License-Identifier: MIT
 *
 * The whole of a tick over this machine's processes, compiling, and reloading.
 * Prints a figure a line with its limit beside it: name, value, unit, limit, yes or no.
 *
 *   bench_e2e tick | rest | policy [RULES [quiet]]
 * bench/bench.sh makes the 10,000 processes for the first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "compiler/compiler.h"
#include "gpu/engine.h"
#include "targets/target.h"

#define WARM 5
#define TICKS 41
#define MAX_TASKS 16384u

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* One row of the table; limit < 0: a figure without a goal. */
static void row(const char *name, double v, const char *unit, double limit, bool at_least)
{
	char goal[48] = "", ok[8] = "";

	if (limit >= 0) {
		snprintf(goal, sizeof goal, "%s %g %s", at_least ? "at least" : "at most", limit, unit);
		snprintf(ok, sizeof ok, "%s", (at_least ? v >= limit : v <= limit) ? "met" : "MISSED");
	}
	printf("%-58s %10.3f %-8s %-18s %s\n", name, v, unit, goal, ok);
	fflush(stdout);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof *v, compare);
	return v[n / 2];
}

/* What operators' rules look like, with other numbers in each: sizes, rates, names,
 * holds. One rule in a hundred is true all the time, so that a victim is selected. */
static bool lean; /* only what /proc/PID/stat holds, as earlyoom's scan does with its own files */

static bool selects = true; /* one rule in a hundred is true */

static char *policy(size_t rules, unsigned seed)
{
	size_t len = 0;
	char *text = NULL;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		abort();
	fprintf(f, "protect comm in (\"sshd\", \"systemd\")\n%s", lean ? "" : "avoid uid < 1000\n");
	for (size_t i = 0; i < rules; i++) {
		unsigned k = seed + (unsigned)i;
		fprintf(f, "rule r%zu ", i);
		switch (i % 5) {
		case 0:
			if (i % 100 == 0 && selects)
				fprintf(f, "if tasks.count > %u then SIGTERM largest by rss where age > 1ms settle 1ms cooldown 1ms observe\n", k % 3 + 1);
			else
				fprintf(f, "if rss > %uGiB for 2s then SIGTERM largest cooldown 30s\n", 40 + k % 500);
			break;
		case 1:
			fprintf(f, "if cpu > %u%% and nice < 10 for 30s then SIGSTOP it then after 5s SIGCONT cooldown 10s\n", 300 + k % 97);
			break;
		case 2:
			fprintf(f, "if comm ~ \"job-%u-*\" and %s > %uMiB then SIGTERM it cooldown 1min\n", k % 10, lean ? "vsz" : "anon", 300 + k);
			break;
		case 3:
			fprintf(f, "if threads > %u and age > 1min and %s then SIGKILL largest by threads cooldown 1min\n", 3000 + k,
				lean ? "nice >= 0" : "uid >= 1000");
			break;
		default:
			fprintf(f, "if mem.available < %u%% and rss > %uMiB for 1s then SIGKILL largest cooldown 10s\n", 1 + k % 3, 900 + k);
			break;
		}
	}
	fclose(f);
	return text;
}

static struct gf_image_header *compile(const char *text, double *ret_ms)
{
	struct gf_source src = { .name = "bench.policy", .text = text, .len = strlen(text) };
	struct gf_compile_opts opts = { .target = GF_TARGET_HOST, .warnings_off = true };
	struct gf_image_header *image = NULL;
	struct gf_diags d = { 0 };
	size_t size;
	uint64_t t = now_ns();

	if (gf_compile(&src, 1, &opts, &d, &image, &size)) {
		gf_diags_print(&d, &src, 1, stderr, false);
		exit(1);
	}
	if (ret_ms)
		*ret_ms = (double)(now_ns() - t) / 1e6;
	gf_diags_deinit(&d);
	return image;
}

static void bench_compile(void)
{
	char *text = policy(1000, 1);
	double ms[9];

	for (size_t i = 0; i < 9; i++)
		free(compile(text, &ms[i]));
	row("compile 1,000 rules", median(ms, 9), "ms", 100, false);
	free(text);
}

static const struct gf_engine_opts observe_opts = {
	.period_ns = 100000000u, .observe = true, .max_tasks = MAX_TASKS,
	.budget_n = 256, .budget_window_ns = 1000000000u,
};

static void drain(struct gf_engine *e)
{
	static struct gf_event ev[64];
	static struct gf_verdict v[256];

	while (gf_engine_events(e, ev, 64) == 64)
		;
	while (gf_engine_verdicts(e, v, 256) == 256)
		;
}

struct times {
	double sample, eval, total; /* medians, ms; eval with what follows it */
	uint32_t live;
};

static int measure(struct gf_target *t, size_t rules, struct times *ret, struct gf_err *err)
{
	double sample[TICKS], eval[TICKS], total[TICKS];
	char *text = policy(rules, 1);
	struct gf_image_header *image = compile(text, NULL);
	struct gf_engine_stats s = { 0 };
	struct gf_engine *e = NULL;
	int r = gf_engine_create(t, image, &observe_opts, &e, err);

	for (int i = 0; !r && i < WARM + TICKS; i++) {
		r = gf_engine_tick(e, err);
		gf_engine_stats(e, &s);
		drain(e);
		if (i < WARM)
			continue;
		sample[i - WARM] = (double)s.sample_ns / 1e6;
		eval[i - WARM] = (double)s.eval_ns / 1e6;
		total[i - WARM] = (double)s.total_ns / 1e6;
	}
	if (!r)
		*ret = (struct times){ median(sample, TICKS), median(eval, TICKS), median(total, TICKS), s.live };
	gf_engine_destroy(e);
	free(image);
	free(text);
	return r;
}

/* Twice over the same target: with a rule that selects in every tick, and with none
 * that is true. The difference is what selecting, guarding and reporting take. */
static int bench_tick(enum gf_host_sampler sampler, size_t rules)
{
	bool bpf = sampler == GF_SAMPLER_BPF;
	const char *road = bpf ? "BPF" : lean ? "/proc, sizes, names, times" : "/proc";
	struct gf_host_opts ho = { .sampler = sampler, .max_tasks = MAX_TASKS };
	struct gf_target *t = NULL;
	struct gf_err err = { "" };
	struct times with, without;
	char name[96];
	int r = gf_host_create(&ho, &t, &err);

	if (r) {
		printf("%-58s not measured: %s\n", road, err.text);
		return r;
	}
	selects = true;
	r = measure(t, rules, &with, &err);
	selects = false;
	if (!r)
		r = measure(t, rules, &without, &err);
	selects = true;
	gf_target_destroy(t);
	if (r) {
		fprintf(stderr, "bench_e2e: %s\n", err.text);
		return r;
	}
	snprintf(name, sizeof name, "%s: sample + %zu rules + select, %u processes", road, rules, with.live);
	row(name, with.total, "ms", bpf ? 20 : -1, false);
	snprintf(name, sizeof name, "%s:   a process", road);
	row(name, with.total * 1e6 / (with.live ? with.live : 1), "ns", -1, false);
	snprintf(name, sizeof name, "%s:   of it sampling", road);
	row(name, with.sample, "ms", -1, false);
	snprintf(name, sizeof name, "%s:   of it evaluating", road);
	row(name, without.eval, "ms", -1, false);
	snprintf(name, sizeof name, "%s:   of it selecting, guarding, reporting", road);
	row(name, GF_MAX(with.eval - without.eval, 0.0), "ms", -1, false);
	printf("# %s total_ms %.3f\n", road, with.total);
	return 0;
}

/* A hundred reloads of 100 rules while the engine ticks every 10 ms. */
static void bench_reload(size_t rules)
{
	struct gf_host_opts ho = { .sampler = GF_SAMPLER_AUTO, .max_tasks = 4096 };
	struct gf_engine_opts eo = observe_opts;
	char *text[2] = { policy(rules, 1), policy(rules, 50) };
	struct gf_image_header *image[2] = { compile(text[0], NULL), compile(text[1], NULL) };
	struct gf_engine_stats before, after;
	struct gf_target *t = NULL;
	struct gf_engine *e = NULL;
	struct gf_err err = { "" };
	double ms[100];

	eo.period_ns = 10000000u;
	eo.rt_priority = 50;
	eo.max_tasks = 4096;
	if (gf_host_create(&ho, &t, &err) || gf_engine_create(t, image[0], &eo, &e, &err) || gf_engine_start(e, &err)) {
		printf("%-58s not measured: %s\n", "reload", err.text);
		goto out;
	}
	nanosleep(&(struct timespec){ .tv_nsec = 300000000 }, NULL);
	gf_engine_stats(e, &before);
	for (size_t i = 0; i < 100; i++) {
		uint64_t from = now_ns();
		if (gf_engine_swap(e, image[(i + 1) % 2], &err)) {
			fprintf(stderr, "bench_e2e: %s\n", err.text);
			goto out;
		}
		ms[i] = (double)(now_ns() - from) / 1e6;
		drain(e);
		nanosleep(&(struct timespec){ .tv_nsec = 7000000 }, NULL);
	}
	gf_engine_stats(e, &after);
	row("reload at a 10 ms period: ticks", (double)(after.ticks - before.ticks), "", -1, false);
	row("reload at a 10 ms period: ticks missed in 100 reloads", (double)(after.missed - before.missed), "", 0, false);
	row("reload: from the request to the old policy's release", median(ms, 100), "ms", -1, false);
out:
	gf_engine_destroy(e);
	gf_target_destroy(t);
	for (int i = 0; i < 2; i++) {
		free(image[i]);
		free(text[i]);
	}
}

static int bench_all(size_t rules)
{
	int r = bench_tick(GF_SAMPLER_BPF, rules);

	lean = true;
	r |= bench_tick(GF_SAMPLER_PROC, rules);
	lean = false;
	r |= bench_tick(GF_SAMPLER_PROC, rules);
	return r ? 1 : 0;
}

int main(int argc, char **argv)
{
	size_t rules = 100;

	if (argc > 1 && !strcmp(argv[1], "policy")) {
		selects = argc < 4;
		char *text = policy(argc > 2 ? (size_t)atol(argv[2]) : 100, 1);
		fputs(text, stdout);
		free(text);
		return 0;
	}
	if (argc > 1 && !strcmp(argv[1], "tick"))
		return bench_all(rules);
	if (argc > 1 && !strcmp(argv[1], "rest")) {
		bench_compile();
		bench_reload(rules);
		return 0;
	}
	fprintf(stderr, "usage: bench_e2e tick | rest | policy [RULES [quiet]]\n");
	return 2;
}
