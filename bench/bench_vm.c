// SPDX-License-Identifier: MIT
/*
 * Time of one look at a guest's memory on one core: bench_vm [RAM-FILE]. Without a file: a made-up guest of 2,000
 * processes, a quarter of them with four threads, whose structures lie scattered over half a GiB, as in a guest
 * that has run for long.
 */
#include <stdio.h>
#include <time.h>

#include "targets/vm_int.h"
#include "tests/helpers/fakekernel.h"

#define T(x) GF_BIT(GF_TF_##x)
#define H(x) GF_BIT(GF_HF_##x)
#define PASSES 200

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

static struct gf_guest *made_up(struct fake **ret)
{
	static const uint32_t pages[GF_RSS_PARTS] = { 100, 200, 0, 4 };
	struct fake *f = fake_new(512u << 20, 1, 64u << 10);

	for (uint32_t i = 0; i < 20; i++)
		fake_kernfs(f, f->root_kn, "slice");
	for (uint32_t i = 1; i <= 2000; i++) {
		struct fake_task g = fake_process(f, i * 5, i == 1 ? "init" : "process", i % 10 ? pages : NULL);
		if (i == 1) { /* pid 1, not 5 */
			w32(f, g.task + f->l.task.pid, 1);
			w32(f, g.task + f->l.task.tgid, 1);
			f->init = g.task;
		}
		if (i % 16 == 0)
			w64(f, g.task + f->l.task.cgroups, fake_css(f, fake_kernfs(f, f->root_kn, "session.scope")));
		for (uint32_t j = 1; i % 4 == 0 && j < 4; j++)
			fake_thread(f, &g, i * 5 + j, i * 5);
	}
	*ret = f;
	return fake_guest(f);
}

static int run(struct gf_vm *vm, const char *what, const struct gf_fieldset *f, double limit)
{
	double ms[PASSES], birth = 0;
	struct gf_err err = { "" };
	char name[80];

	if (gf_target_set_fields(&vm->t, f, &err)) {
		printf("%s: %s\n", what, err.text);
		return 1;
	}
	for (int i = -1; i < PASSES; i++) {
		double start = now_ms();
		if (gf_target_sample(&vm->t, &err)) {
			printf("%s: %s\n", what, err.text);
			return 1;
		}
		*(i < 0 ? &birth : &ms[i]) = now_ms() - start;
	}
	qsort(ms, PASSES, sizeof *ms, by_size);
	snprintf(name, sizeof name, "guest of %u processes, %s", vm->t.sample.live, what);
	double median = ms[PASSES / 2];
	if (limit > 0)
		printf("%-58s %10.3f %-8s at most %-8.0f %s\n", name, median, "ms", limit, median <= limit ? "met" : "MISSED");
	else
		printf("%-58s %10.3f %-8s first pass %.3f\n", name, median, "ms", birth);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct gf_target_ops ops = {
		.kind = "vm", .sample = gf_vm_sample, .set_fields = gf_vm_set_fields, .describe = gf_vm_describe, .destroy = gf_vm_unmake,
	};
	const struct gf_fieldset ten = {
		H(MEM_TOTAL) | H(MEM_AVAILABLE) | H(LOAD_1) | H(CPU_BUSYTIME) | H(CPU_COUNT) | H(TASKS_COUNT) | H(PSI_MEM_FULL_10) | H(OS_STALLED),
		T(RSS) | T(ANON) | T(CPUTIME) | T(STATE) | T(AGE) | T(UID) | T(THREADS) | T(NICE) | T(OOM_SCORE_ADJ) | T(CHILDREN),
		1u << GF_SF_COMM | 1u << GF_SF_CGROUP, 0,
	};
	const struct gf_fieldset all = { ~0ull >> (64 - GF_HF_COUNT), ~0ull >> (64 - GF_TF_COUNT), (1u << GF_SF_COUNT) - 1, 0 };
	struct gf_err err = { "" };
	struct fake *f = NULL;
	struct gf_ramfile *ram;
	struct gf_guest *g = NULL;
	struct gf_vm *vm;
	int r = 0;

	if (argc > 1)
		r = gf_ramfile_open(argv[1], NULL, 0, false, &ram, &err) || gf_guest_create(ram, false, &g, &err);
	else
		g = made_up(&f);
	if (r || gf_vm_make(&(struct gf_vm_opts){ .name = "guest" }, &ops, &vm, &err)) {
		fprintf(stderr, "bench_vm: %s\n", err.text);
		return 1;
	}
	gf_vm_publish(vm, g);
	r = run(vm, "what ten rules read", &ten, argc > 1 ? 0 : 4) | run(vm, "all fields", &all, 0);
	gf_target_destroy(&vm->t);
	if (f)
		fake_free(f);
	return r;
}
