// SPDX-License-Identifier: MIT
/*
 * ramsample RAM-FILE [TICKS [PERIOD-MS [KERNEL-PATH...]]]: samples the guest whose memory is in a file, all fields, and prints
 * the last sample: host fields as "H name value", processes as "T pid field=value ...". For comparing by hand and by test.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "targets/vm_int.h"

static const char *const hf_name[] = {
#define GF_HOST(id, name, ...) name,
#include "gpufas/fields.def"
};
static const char *const tf_name[] = {
#define GF_TASK(id, name, ...) name,
#include "gpufas/fields.def"
};
static const char *const sf_name[] = {
#define GF_TSTR(id, name, ...) name,
#include "gpufas/fields.def"
};

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void say(void *arg, int level, const char *text)
{
	(void)arg;
	fprintf(stderr, "<%d>%s\n", level, text);
}

static void print_row(const struct gf_sample *s, uint32_t i, char **path, uint32_t paths)
{
	printf("T %d flags=%u gen=%u start=%llu", s->pid[i], s->flags[i], s->gen[i], (unsigned long long)s->start_ns[i]);
	for (int f = 0; f < GF_TF_COUNT; f++)
		if (s->col[f])
			printf(" %s=%.17g", tf_name[f], s->col[f][i]);
	for (uint32_t f = 0; f < paths; f++)
		printf(" %s=%.17g", path[f], s->col[GF_TF_COUNT + f][i]);
	for (int f = 0; f < GF_SF_COUNT; f++)
		if (s->str[f])
			printf(" %s=[%.*s]", sf_name[f], s->str[f][i].ver ? (int)s->str[f][i].len : 1, s->str[f][i].ver ? s->str[f][i].p : "?");
	putchar('\n');
}

int main(int argc, char **argv)
{
	static const struct gf_target_ops ops = {
		.kind = "vm", .sample = gf_vm_sample, .set_fields = gf_vm_set_fields, .set_paths = gf_vm_set_paths,
		.describe = gf_vm_describe, .destroy = gf_vm_unmake,
	};
	struct gf_fieldset all = { ~0ull >> (64 - GF_HF_COUNT), ~0ull >> (64 - GF_TF_COUNT), (1u << GF_SF_COUNT) - 1,
				    argc > 4 ? (uint32_t)argc - 4 : 0 };
	int ticks = argc > 2 ? atoi(argv[2]) : 1, failed = 0;
	unsigned period = argc > 3 ? (unsigned)atoi(argv[3]) * 1000 : 0;
	struct gf_err err = { "" };
	struct gf_ramfile *ram;
	struct gf_guest *g;
	struct gf_vm *vm;
	double took = 0, best = 1e9;

	if (argc < 2 || gf_ramfile_open(argv[1], NULL, 0, false, &ram, &err) || gf_guest_create(ram, false, &g, &err) ||
	    gf_vm_make(&(struct gf_vm_opts){ .name = "guest", .say = say }, &ops, &vm, &err)) {
		fprintf(stderr, "ramsample: %s\n", err.text);
		return 1;
	}
	gf_vm_set_state(vm, 0, "Linux %s", g->kernel->release);
	gf_vm_publish(vm, g);
	if (gf_target_set_paths(&vm->t, (const char *const *)(void *)(argv + 4), all.paths, &err) || gf_target_set_fields(&vm->t, &all, &err)) {
		fprintf(stderr, "ramsample: %s\n", err.text);
		return 1;
	}
	for (int i = 0; i < ticks; i++) {
		double t = seconds();
		if (gf_target_sample(&vm->t, &err)) {
			failed++;
			fprintf(stderr, "tick %d: %s\n", i, err.text);
		}
		t = seconds() - t;
		took += t;
		best = t < best ? t : best;
		if (period && i < ticks - 1)
			usleep(period);
	}
	const struct gf_sample *s = &vm->t.sample;
	unsigned torn = 0;
	printf("S now %llu rows %u live %u dropped %u\n", (unsigned long long)s->now_ns, s->rows, s->live, s->dropped);
	for (int i = 0; i < GF_HF_COUNT; i++)
		printf("H %s %.17g\n", hf_name[i], s->host[i]);
	for (uint32_t i = 0; i < s->rows; i++)
		if (s->flags[i]) {
			torn += !!(s->flags[i] & GF_ROW_TORN);
			print_row(s, i, argv + 4, all.paths);
		}
	fprintf(stderr, "%d ticks, %d failed, %u live, %u torn; mean %.3f ms, best %.3f ms\n", ticks, failed, s->live, torn,
		took / ticks * 1e3, best * 1e3);
	gf_target_destroy(&vm->t);
	return 0;
}
