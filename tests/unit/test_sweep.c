/* SPDX-License-Identifier: MIT
 *
 * sim/many.c: sweeps by a device against gf_outcome_run() on the CPU, over made-up recordings of machines in which processes come, grow,
 * fork and go, with random policies: the same tables, events and digests. Which device: the emulated one, or where this is built for
 * it (tests/gpu/) the GPU.
 *   GF_SEED=N    another start (printed)          GF_CASES=N   so many recordings (default 8, or 150 on a GPU)
 */
#include <time.h>

#include "tests/unit/sweep_kit.h"

#ifndef GF_TEST_DEV
#define KIND GF_MANY_EMU
#define CASES 8u
#define RUNS 10u
#define EMULATED 1
#else
#define KIND GF_MANY_GPU
#define CASES 150u
#define RUNS 48u
#define EMULATED 0
#endif

#define EVENTS 256u

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *s = getenv(name);

	return s && *s ? strtoull(s, NULL, 0) : otherwise;
}
/* ---- policies -------------------------------------------------------------------- */

static const char *one_of(const char *const *v, uint32_t n)
{
	return v[rnd(n)];
}
#define ANY(...) one_of((const char *const[]){ __VA_ARGS__ }, sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

/* One of two dozen shapes of a rule, with numbers in it. */
static size_t rule_text(char *to, size_t n, uint32_t k, const uint32_t *num)
{
	char cond[256], step[256];

	switch (num[0] % 10) {
	case 0: snprintf(cond, sizeof cond, "mem.available < %u%%", 5 + num[1] % 60); break;
	case 1: snprintf(cond, sizeof cond, "rss > %uMiB", 20 + num[1] % 300); break;
	case 2: snprintf(cond, sizeof cond, "rate(rss, 3s) > %uMiB/s and comm ~ \"*e*\"", num[1] % 30); break;
	case 3: snprintf(cond, sizeof cond, "count(where comm == \"worker\") > %u", num[1] % 12); break;
	case 4: snprintf(cond, sizeof cond, "swap.free < %u%% or load.1 > %u", 30 + num[1] % 60, num[2] % 12); break;
	case 5: snprintf(cond, sizeof cond, "tasks.count > %u and children > %u", num[1] % 200, num[2] % 3); break;
	case 6: snprintf(cond, sizeof cond, "tree(rss) > %uMiB", 50 + num[1] % 900); break;
	case 7: snprintf(cond, sizeof cond, "psi.memory.full.avg10 > %u%%", num[1] % 60); break;
	case 8: snprintf(cond, sizeof cond, "sum(rss where uid == %u) > %uMiB", 1000 + num[2] % 3, 200 + num[1] % 2000); break;
	default: snprintf(cond, sizeof cond, "cpu > %u%% and age > %us", num[1] % 90, num[2] % 20); break;
	}
	switch (num[3] % 9) {
	case 0: snprintf(step, sizeof step, "SIGKILL largest"); break;
	case 1: snprintf(step, sizeof step, "SIGTERM largest where not comm ~ \"post*\" then after %us SIGKILL", num[4] % 6); break;
	case 2: snprintf(step, sizeof step, "SIGSTOP newest then after %us SIGCONT", 1 + num[4] % 9); break;
	case 3: snprintf(step, sizeof step, "SIGKILL %u largest by swap", 1 + num[4] % 4); break;
	case 4: snprintf(step, sizeof step, "renice +%u largest", 1 + num[4] % 15); break;
	case 5: snprintf(step, sizeof step, "SIGKILL tree of oldest where comm != \"init\""); break;
	case 6: snprintf(step, sizeof step, "log"); break;
	case 7: snprintf(step, sizeof step, "notify \"{comm} has {rss}\" then SIGTERM smallest"); break;
	default: snprintf(step, sizeof step, "SIGSTOP largest then after %us SIGKILL", num[4] % 7); break;
	}
	return (size_t)snprintf(to, n, "rule r%u if %s%s%s then %s cooldown %us%s\n", k, cond, num[5] % 3 ? "" : " for 2s",
				num[5] % 5 ? "" : " until mem.available > 70%", step, num[6] % 20, num[6] % 4 ? "" : " limit 2 per 1min");
}

#define RULES 4u
#define NUMS 7u

static size_t policies(struct gf_image_header **img, size_t n, bool wild, uint32_t *refused)
{
	uint32_t num[RULES][NUMS], rules = 1 + rnd(RULES);
	size_t made = 0;

	for (uint32_t r = 0; r < RULES; r++)
		for (uint32_t k = 0; k < NUMS; k++)
			num[r][k] = rnd(10000);
	for (size_t i = 0; i < 4 * n && made < n; i++) {
		char text[4096];
		size_t at = rnd(2) ? (size_t)snprintf(text, sizeof text, "protect comm == \"sshd\"\nprefer comm == \"leaker\"\n") : 0;
		for (uint32_t r = 0; r < rules; r++) {
			for (uint32_t k = wild ? 0 : 1; k < NUMS; k++)
				if (k != 3 && rnd(2))
					num[r][k] = rnd(10000);
			if (wild && !rnd(3))
				num[r][3] = rnd(10000);
			at += rule_text(text + at, sizeof text - at, r, num[r]);
		}
		text[at] = 0;
		img[made] = compile(text, false);
		if (img[made])
			made++;
		else
			++*refused;
	}
	return made;
}

/* ---- by chance --------------------------------------------------------------------------- */

/* What has been seen in all cases, so that it is known that the comparison was of something. */
static struct {
	uint64_t runs, ticks, actions, victims, events, pressure, ended_with, unborn, stopped, continued, reniced, again, batches, windows, devices;
} seen;

static void random_opts(struct gf_many_opts *o, struct gf_what_if *w, const struct gf_image_header *pressure)
{
	memset(o, 0, sizeof *o);
	o->kind = KIND;
	o->events = EVENTS;
	o->frame = rnd(2) ? 1 + rnd(400000) : 0;
	o->memory = rnd(3) ? 0 : 1 + rnd(300000); /* it goes by in windows */
	o->outcome.pressure = pressure;
	o->outcome.model = (struct gf_model_opts){
		.acts = rnd(8) != 0, .kill_ns = rnd(2) ? 0 : rnd(4) * SEC, .term_ns = rnd(5) * SEC, .term_never = !rnd(6), .children_stay = !rnd(3),
		.psi_unknown = !rnd(3), .what_if = w, .what_ifs = rnd(3) ? 0 : 1,
	};
	*w = (struct gf_what_if){ GF_HF_MEM_TOTAL, GF_WHAT_IF_TIMES, 0.5 };
	o->outcome.run.observe = !rnd(10);
	if (!rnd(3)) {
		o->outcome.run.budget_n = 1 + rnd(5);
		o->outcome.run.budget_window_ns = 20 * SEC;
	}
	if (!rnd(5))
		o->outcome.run.to_ns = (1000 + rnd(40)) * SEC;
}

static void look(const struct gf_outcome *o)
{
	seen.runs++;
	seen.ticks += o->ticks;
	seen.actions += o->actions;
	seen.victims += o->victims;
	seen.events += o->events;
	seen.pressure += o->pressure_ns != 0;
	seen.ended_with += o->said.ended_with;
	seen.unborn += o->said.unborn;
	seen.stopped += o->said.stopped;
	seen.continued += o->said.continued;
	seen.reniced += o->said.reniced;
}

static void one_case(uint64_t seed, uint32_t *refused)
{
	struct gf_image_header *img[RUNS], *pressure;
	struct gf_outcome dev[RUNS], cpu;
	struct gf_many_opts o;
	struct gf_outcome_opts oo;
	struct gf_many_did did;
	struct gf_what_if w;
	struct gf_err err = { "" };
	struct machine m;
	size_t n;

	rng = seed * 0x9e3779b97f4a7c15ull | 1;
	rnd(2);
	machine_make(&m, seed);
	n = policies(img, RUNS, !rnd(3), refused);
	pressure = compile(ANY("rule p if mem.available < 30% then log", "rule p if rss > 100MiB then log", "rule p if psi.memory.full.avg10 > 20% for 2s then log"), true);
	random_opts(&o, &w, rnd(6) ? pressure : NULL);
	gf_sweep_emu_opts = (struct gf_sweep_emu_opts){ .lanes = 1 + rnd(3), .devices = 1 + rnd(3) };
	if (EMULATED && !rnd(4))
		o.kind = GF_MANY_CPU;
	if (!EMULATED) /* all cards, or the first one */
		o.devices = rnd(2);
	if (gf_many_run(&m.f, (const struct gf_image_header *const *)img, n, &o, dev, &did, &err))
		fail_msg("seed %llu: %s", (unsigned long long)seed, err.text);
	assert_true(did.gpu || !n || o.kind == GF_MANY_CPU);
	assert_string_equal(did.why, "");
	seen.windows += did.windows;
	seen.devices += did.devices > 1;
	seen.again += did.again;
	seen.batches += did.batches;
	oo = o.outcome;
	oo.table = true;
	oo.table_events = EVENTS;
	for (size_t k = 0; k < n; k++) {
		/* The reference reads the recording as it is, without a reel. */
		if (gf_outcome_run(&m.f, img[k], &oo, &cpu, &err))
			fail_msg("seed %llu: %s", (unsigned long long)seed, err.text);
		same(&cpu, &dev[k], seed, k);
		look(&cpu);
		gf_outcome_deinit(&cpu);
		gf_outcome_deinit(&dev[k]);
		free(img[k]);
	}
	free(pressure);
	machine_unmake(&m);
}

static void same_as_cpu(void **state)
{
	uint64_t seed = number("GF_SEED", (uint64_t)time(NULL)), cases = number("GF_CASES", getenv("GF_TEST_SMALL") ? 4 : CASES);
	uint32_t refused = 0;

	(void)state;
	printf("# GF_SEED=%llu, %llu recordings\n", (unsigned long long)seed, (unsigned long long)cases);
	for (uint64_t n = 0; n < cases; n++)
		one_case(seed + n, &refused);
	printf("# %llu runs, %llu ticks, %llu actions, %llu victims, %llu events: all the same; %llu runs by the CPU after all, %u policies refused\n",
	       (unsigned long long)seen.runs, (unsigned long long)seen.ticks, (unsigned long long)seen.actions, (unsigned long long)seen.victims,
	       (unsigned long long)seen.events, (unsigned long long)seen.again, refused);
	printf("# %llu recordings in windows, %llu by several devices\n", (unsigned long long)seen.windows, (unsigned long long)seen.devices);
	printf("# %llu ended with parents, %llu unborn, %llu stopped, %llu went on, %llu reniced, %llu runs under pressure\n", (unsigned long long)seen.ended_with,
	       (unsigned long long)seen.unborn, (unsigned long long)seen.stopped, (unsigned long long)seen.continued, (unsigned long long)seen.reniced,
	       (unsigned long long)seen.pressure);
	assert_true(seen.runs > seen.again && seen.actions && seen.victims && seen.events);
}
/* ---- by hand ------------------------------------------------------------------------------ */

/* Nothing at all is in the range that is asked for; there are samples, but none that is good. */
static void recordings_without_samples(void **state)
{
	(void)state;
	for (int k = 0; k < 3; k++) {
		struct gf_many_opts o = { .kind = KIND, .events = 100, .frame = k == 2 ? 1 : 0, .outcome.model.acts = true };
		struct gf_outcome_opts oo;
		struct gf_outcome dev[1], cpu;
		struct gf_many_did did;
		struct gf_err err = { "" };
		struct machine m;
		const struct gf_image_header *img = compile("rule low if mem.available < 90% then SIGKILL largest cooldown 5s", true);
		rng = 4711;
		machine_make(&m, 7);
		m.odd = k ? 100 : 0;
		o.outcome.run.to_ns = k ? 0 : 1000 * SEC;
		oo = o.outcome;
		oo.table = true;
		oo.table_events = 100;
		if (gf_many_run(&m.f, &img, 1, &o, dev, &did, &err))
			fail_msg("%d: %s", k, err.text);
		assert_true(did.gpu && !did.again);
		assert_int_equal(gf_outcome_run(&m.f, img, &oo, &cpu, &err), 0);
		assert_true(k ? cpu.stale && cpu.stale == cpu.ticks : !cpu.ticks);
		same(&cpu, &dev[0], 7, (size_t)k);
		gf_outcome_deinit(&cpu);
		gf_outcome_deinit(&dev[0]);
		free((void *)(uintptr_t)img);
		machine_unmake(&m);
	}
}

static void threads_are_the_same(void **state)
{
	struct gf_many_opts o = { .kind = GF_MANY_CPU, .threads = 1, .events = 100, .outcome.model.acts = true };
	struct gf_outcome a[SWEPT], b[SWEPT];
	struct gf_many_did did;
	uint64_t actions = 0;

	(void)state;
	sweep(&o, a, &did, 0);
	o.threads = 5;
	o.memory = 1u << 30;
	sweep(&o, b, &did, 0);
	assert_string_equal(did.engine, "5 CPUs");
	compare(a, b);
	assert_false(did.windows);
	/* In windows: it takes more memory than it may. Of the runs, too, there is room for as many as there are threads only. */
	o.memory = 1;
	for (uint64_t frame = 1; frame < 1000000; frame *= 30) {
		o.frame = frame;
		for (o.threads = 1; o.threads < 8; o.threads += 2) {
			sweep(&o, b, &did, 0);
			assert_true(did.windows);
			assert_string_equal(did.why, "");
			compare(a, b);
		}
	}
	for (uint32_t k = 0; k < SWEPT; k++) {
		actions += a[k].actions;
		gf_outcome_deinit(&a[k]);
	}
	assert_true(actions > 0);
}

/* Each policy reads other kernel paths, in an order of its own, and one that the recording lacks: columns are of all of them together. */
static void kernel_paths_of_all(void **state)
{
	static const char *const path[] = { "task->flags", "task->nothing", "task->mm->map_count", "task->prio" };
	const struct gf_image_header *img[SWEPT];
	struct gf_outcome want[SWEPT], got[SWEPT];
	uint64_t actions = 0, unknown = 0;
	struct gf_err err = { "" };
	struct gf_many_did did;
	struct machine m;

	(void)state;
	rng = 815;
	machine_make(&m, 12);
	m.f.info.has.paths = MACHINE_PATHS;
	memcpy(m.f.info.path, machine_path, sizeof machine_path);
	for (uint32_t k = 0; k < SWEPT; k++) {
		char text[400];
		snprintf(text, sizeof text, "rule a if %s > %u then SIGKILL largest where %s > 20 cooldown 5s\nrule b if %s > 97 for 2s then log", path[k % 4],
			 60 + 3 * k, path[(k * 3 + k / 4 + 1) % 4], path[(k + 1 + k / 4) % 4]);
		img[k] = compile_for(GF_TARGET_VM, text, true);
		assert_true(img[k]->fields.paths >= 2);
	}
	for (int how = 0; how < 4; how++) {
		struct gf_many_opts o = { .kind = how < 2 ? GF_MANY_CPU : KIND, .threads = 3, .events = 100, .frame = 30000, .memory = how % 2 ? 1 : 0, .outcome.model.acts = true };
		struct gf_outcome_opts oo = o.outcome;
		oo.table = true;
		oo.table_events = 100;
		if (gf_many_run(&m.f, img, SWEPT, &o, got, &did, &err))
			fail_msg("%d: %s", how, err.text);
		assert_string_equal(did.why, "");
		assert_int_equal(did.windows, how % 2);
		assert_true(how < 2 ? !strcmp(did.engine, "3 CPUs") : did.gpu && !did.again);
		for (uint32_t k = 0; k < SWEPT; k++) {
			assert_int_equal(gf_outcome_run(&m.f, img[k], &oo, &want[k], &err), 0);
			same(&want[k], &got[k], 12, k);
			actions += want[k].actions;
			unknown += want[k].rule[0].ticks_unknown + want[k].rule[1].ticks_unknown;
			gf_outcome_deinit(&want[k]);
			gf_outcome_deinit(&got[k]);
		}
	}
	assert_true(actions > 0 && unknown > 0);
	for (uint32_t k = 0; k < SWEPT; k++)
		free((void *)(uintptr_t)img[k]);
	machine_unmake(&m);
}

/* The clock goes back with another boot: times in what came of it go on. */
static void another_boot_is_later(void **state)
{
	struct gf_outcome_opts o = { .model.acts = true, .run.budget_n = 200, .run.budget_window_ns = 60 * SEC };
	const struct gf_image_header *img = compile("rule low if tasks.count > 0 then log cooldown 1s", true);
	struct gf_outcome out;
	struct gf_err err = { "" };
	struct machine m;
	uint64_t last = 0;

	(void)state;
	for (int backs = 0; backs < 2; backs++) {
		rng = 4711;
		machine_make(&m, 7);
		m.odd = 0;
		m.ticks = 40;
		m.back = backs ? 20 : 0;
		m.back_by = 900 * SEC;
		assert_int_equal(gf_outcome_run(&m.f, img, &o, &out, &err), 0);
		if (out.ticks != 40 || out.events < 3 || out.last_ns < out.first_ns + 20 * SEC || out.last_ns > out.first_ns + 80 * SEC)
			fail_msg("%d: %llu ticks, %zu events, %.3f s", backs, (unsigned long long)out.ticks, out.events, (double)(out.last_ns - out.first_ns) / 1e9);
		last = 0;
		for (size_t k = 0; k < out.events; k++) {
			assert_true(out.event[k].now_ns >= last && out.event[k].now_ns <= out.last_ns);
			last = out.event[k].now_ns;
		}
		assert_true(last > out.first_ns && out.rule[0].last_ns <= last);
		gf_outcome_deinit(&out);
		machine_unmake(&m);
	}
	free((void *)(uintptr_t)img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_as_cpu), cmocka_unit_test(recordings_without_samples), cmocka_unit_test(threads_are_the_same), cmocka_unit_test(kernel_paths_of_all),
		cmocka_unit_test(another_boot_is_later),
	};

#if !EMULATED
	struct gf_sweep_dev_info info;
	struct gf_sweep_dev *d;
	struct gf_err err = { "" };

	gf_sweep_backend = &gf_sweep_gpu;
	if (gf_sweep_gpu.open(0, &d, &info, &err)) {
		printf("1..0 # SKIP %s\n", err.text);
		return 0;
	}
	printf("# %s\n", info.name);
	gf_sweep_gpu.close(d);
#endif
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
