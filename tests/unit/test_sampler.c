// SPDX-License-Identifier: MIT
/*
 * A guest's sampler by teams of lanes: what they make of memory is what the CPU's one lane makes of it, bit for bit.
 * SEED=N repeats a run, ROUNDS=N makes it longer.
 */
#include "tests/unit/samplers.h"

#include <dirent.h>
#include <time.h>
#include <unistd.h>

#include "targets/ramfile.h"
#include "tests/helpers/fakelies.h"
#include "tests/helpers/fakelife.h"

static uint32_t rounds;

/* ---- tests ------------------------------------------------------------------ */

static void one_life(uint32_t cap, const struct gf_fieldset *fields, uint32_t ticks, uint32_t budget)
{
	struct life w;
	struct bench b;
	uint32_t seen = 0, fetched = 0;

	life_init(&w, seed);
	bench_init(&b, w.f, cap, fields);
	b.g.paths = fields->paths;
	for (uint32_t i = 0; i < fields->paths; i++)
		b.g.kpath[i] = (struct gf_kpath){ .hop = { w.f->l.task.mm }, .hops = i % 2, .off = 8 * i, .size = 8 };
	for (uint32_t i = 0; budget && i < SIMS; i++)
		b.sim[i].v.budget = budget;
	for (uint32_t i = 0; i < SIMS; i++) {
		b.sim[i].v.table.pass = 0u - 1 - (uint32_t)(seed % 8); /* numbers of passes begin again, soon */
		for (uint32_t k = 0; k < GF_GO_COUNT; k++)
			for (uint32_t row = 0; row < b.sim[i].v.cap; row++)
				b.sim[i].v.kept.at[k][row] = 16; /* where there was another guest */
	}
	for (uint32_t i = 0; i < ticks; i++) {
		live(&w);
		if (i % 13 == 12) {
			for (uint32_t k = 0; k < 2; k++) /* nobody comes or goes: rows need not be looked through */
				assert_int_equal(tick(&b, !budget), 0);
			publish(&b); /* rebooted: the same processes, yet others */
		}
		if (i % 17 == 16) {
			for (uint32_t k = 0; k < SIMS; k++)
				gf_sampler_stale(&b.sim[k].v, b.sim[k].crew ? b.sim[k].crew->team : NULL, 1);
			atomic_store(&b.vm->paused, true);
			gf_target_sample(&b.vm->t, NULL);
			atomic_store(&b.vm->paused, false);
			for (uint32_t k = 0; k < SIMS; k++)
				compare(&b.vm->t.sample, &b.sim[k].s, b.ver, b.sim[k].ver, lanes_of[k]);
		}
		assert_int_equal(tick(&b, !budget), 0);
		seen += b.sim[0].s.live;
		assert_int_equal(b.sim[2].v.fetched, b.sim[3].v.fetched);
		fetched += b.sim[3].v.fetched;
	}
	assert_true(seen > ticks);
	/* Most by words that were fetched together. */
	if (!budget)
		assert_true(fetched > seen / 3);
	bench_done(&b);
	fake_free(w.f);
}

static void run_life(uint32_t cap, const struct gf_fieldset *fields, uint32_t ticks, uint32_t budget)
{
	for (uint32_t i = 0; i < rounds; i++, seed++)
		one_life(cap, fields, ticks, budget);
}

static void test_lives(void **state)
{
	run_life(1024, &all, 40, 0);
	(void)state;
}

/* More processes than rows. */
static void test_full_table(void **state)
{
	run_life(128, &all, 40, 0);
	(void)state;
}

static void test_few_fields(void **state)
{
	const struct gf_fieldset few = { GF_BIT(GF_HF_MEM_AVAILABLE), GF_BIT(GF_TF_RSS) | GF_BIT(GF_TF_AGE), 1u << GF_SF_CGROUP, 3 };

	run_life(512, &few, 20, 0);
	(void)state;
}

/* Threads cost more than is to be had. */
static void test_starved(void **state)
{
	const struct gf_fieldset f = { all.host, all.task, all.str, 2 };

	run_life(1024, &f, 20, 900);
	(void)state;
}

/* One process at several places of the tree, and two of one name. */
static void test_twice(void **state)
{
	static const uint32_t some[GF_RSS_PARTS] = { 100, 200, 30, 4 };
	struct fake *f = fake_new(8u << 20, seed, 0);
	struct fake_task g, h, c;
	struct bench b;

	fake_process(f, 1, "init", some);
	g = fake_process(f, 9, "one", some);
	h = fake_process(f, 10, "other", some);
	bench_init(&b, f, 128, &all);
	assert_int_equal(tick(&b, true), 0);
	fake_tree_put(f, 300, g.pid);
	fake_tree_put(f, 301, fake_process(f, 302, "new", some).pid);
	assert_int_equal(tick(&b, true), 0);
	assert_int_equal(b.sim[3].s.live, 4);
	w32(f, h.task + f->l.task.pid, 9);
	w32(f, h.task + f->l.task.tgid, 9);
	w64(f, h.task + f->l.task.start_boottime, r64(f, g.task + f->l.task.start_boottime));
	for (int i = 0; i < 3; i++)
		assert_int_equal(tick(&b, true), 0);
	assert_int_equal(b.sim[3].s.live, 3);
	/* Nor does one take another's row that comes before it in the tree. */
	c = fake_process(f, 5, "claims", some);
	w32(f, c.task + f->l.task.pid, 9);
	w32(f, c.task + f->l.task.tgid, 9);
	w64(f, c.task + f->l.task.start_boottime, r64(f, g.task + f->l.task.start_boottime));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(tick(&b, true), 0);
		assert_int_equal(b.sim[3].s.live, 3);
		for (uint32_t row = 0; row < b.sim[3].s.rows; row++)
			assert_true(b.sim[3].s.pid[row] != 9 || !strcmp(b.sim[3].s.comm[row], "one"));
	}
	bench_done(&b);
	fake_free(f);
	(void)state;
}

/* The command line of `pid`, of each of the samplers, which agree. */
static const struct gf_strref *cmdline_of(struct bench *b, int32_t pid)
{
	const struct gf_sample *s = &b->sim[SIMS - 1].s;

	for (uint32_t row = 0; row < s->rows; row++)
		if (s->pid[row] == pid)
			return &s->str[GF_SF_CMDLINE][row];
	fail_msg("no row of %d", pid);
	return NULL;
}

/* In the middle of an exec there is new memory without arguments: that is no command line. Who has none for good is believed after a while. */
static void test_half_exec(void **state)
{
	static const uint32_t some[GF_RSS_PARTS] = { 100, 200, 30, 4 };
	struct fake *f = fake_new(8u << 20, seed, 0);
	const uint32_t second = (uint32_t)(GF_STR_RETRY_NS / STEP) + 2;
	struct fake_task g;
	struct bench b;
	uint32_t n;

	fake_process(f, 1, "init", some);
	for (uint32_t pid = 9; pid < 11; pid++) {
		g = fake_process(f, pid, "execs", some);
		w64(f, g.mm + f->l.mm.pgd, fake_user(f, "sshd\0-D", 8));
		w64(f, g.mm + f->l.mm.arg_start, 4u << 20);
		w64(f, g.mm + f->l.mm.arg_end, 4u << 20);
	}
	bench_init(&b, f, 128, &all);
	for (n = 0; n < second; n++) {
		assert_int_equal(tick(&b, true), 0);
		assert_int_equal(cmdline_of(&b, 10)->ver, 0);
	}
	w64(f, g.mm + f->l.mm.arg_end, (4u << 20) + 8); /* it goes on */
	for (n = 0; n < second; n++)
		assert_int_equal(tick(&b, true), 0);
	assert_true(cmdline_of(&b, 10)->ver);
	assert_memory_equal(cmdline_of(&b, 10)->p, "sshd -D", 7);
	assert_int_equal(cmdline_of(&b, 9)->ver, 0);
	for (n = 0; n < GF_STR_RETRIES * second && !cmdline_of(&b, 9)->ver; n++)
		assert_int_equal(tick(&b, true), 0);
	assert_true(cmdline_of(&b, 9)->ver);
	assert_int_equal(cmdline_of(&b, 9)->len, 0);
	assert_true(n > (GF_STR_RETRIES - 3) * (second - 2));
	bench_done(&b);
	fake_free(f);
	(void)state;
}

/* Any word of memory may be anything. */
static void test_wild(void **state)
{
	struct fake *f = lies_kernel();
	uint64_t used = f->next;
	uint8_t *saved = malloc(used), data[8 * 64];
	struct lies lies;
	struct bench b;

	f->seed = seed;
	memcpy(saved, f->ram, used);
	bench_init(&b, f, 128, &all);
	for (uint32_t round = 0; round < 60 * rounds; round++) {
		uint32_t n = 1u << fake_rand(f) % 7;

		for (uint32_t i = 0; i < n * 8; i++)
			data[i] = (uint8_t)fake_rand(f);
		lies_tell(f, &lies, data, n * 8);
		tick(&b, true);
		if (round % 3 == 2)
			memcpy(f->ram, saved, used);
	}
	memcpy(f->ram, saved, used);
	assert_int_equal(tick(&b, true), 0);
	assert_int_equal(b.sim[2].s.live, 42);
	free(saved);
	bench_done(&b);
	fake_free(f);
	(void)state;
}

/* What the fuzzer has kept. */
static void test_corpus(void **state)
{
	struct fake *f = lies_kernel();
	DIR *d = opendir("tests/fuzz/corpus/tasks");
	struct dirent *e;
	struct bench b;
	uint32_t files = 0;

	if (!d)
		skip();
	bench_init(&b, f, 128, &all);
	while ((e = readdir(d)) && files < 40) {
		char path[400];
		uint8_t data[8 * LIES];
		struct lies lies;
		FILE *in;

		snprintf(path, sizeof path, "tests/fuzz/corpus/tasks/%s", e->d_name);
		if (e->d_name[0] == '.' || !(in = fopen(path, "r")))
			continue;
		files++;
		lies_tell(f, &lies, data, fread(data, 1, sizeof data, in));
		fclose(in);
		tick(&b, true);
		lies_undo(f, &lies);
	}
	closedir(d);
	assert_int_equal(tick(&b, true), 0);
	assert_int_equal(b.sim[2].s.live, 42);
	bench_done(&b);
	fake_free(f);
	(void)state;
}

/* Strings of which there is no room for all: some are unknown, none is another's, and what is given back is given out again. */
static void test_text_pool(void **state)
{
	struct gf_textpool p = { 0 };
	char *got[2 * 40];
	uint32_t n = 0;

	for (uint32_t i = 0; i < GF_TEXT_CLASSES; i++) {
		struct gf_text_class *c = &p.c[i];
		c->size = gf_text_class_size(i);
		c->n = gf_text_class_n(i, 16);
		c->mem = calloc(c->n, c->size);
		c->free = calloc(c->n, sizeof *c->free);
		c->back = calloc(c->n, sizeof *c->back);
	}
	for (int round = 0; round < 50; round++) {
		uint32_t room = p.c[0].n + p.c[1].n - n;

		for (uint32_t i = 0; i < room; i++) {
			got[n] = gf_text_take(&p, 200);
			assert_non_null(got[n]);
			for (uint32_t j = 0; j < n; j++)
				assert_ptr_not_equal(got[j], got[n]);
			n++;
		}
		assert_null(gf_text_take(&p, 200));
		for (uint32_t i = (uint32_t)round % 7; i < n; i++) {
			gf_text_give(&p, got[i]);
			got[i--] = got[--n];
			if (n < 5 || (round * 7 + (int)n) % 5 == 0)
				break;
		}
		assert_null(gf_text_take(&p, 200)); /* not before it is settled */
		gf_text_settle(&p);
	}
	assert_null(gf_text_take(&p, GF_TEXT_MAX + 1));
	for (uint32_t i = 0; i < GF_TEXT_CLASSES; i++) {
		free(p.c[i].mem);
		free(p.c[i].free);
		free(p.c[i].back);
	}
	(void)state;
}

/* GF_RAM names a real guest's memory, which stands still (tests/vm/same.t). */
static void test_guest(void **state)
{
	const char *path = getenv("GF_RAM"), *least = getenv("GF_LEAST");
	struct gf_kernel k = { 0 };
	struct gf_err err = { "" };
	struct gf_ramfile *ram;
	struct gf_guest *g;
	struct gf_fieldset fields = all;
	struct fake f = { 0 };
	struct bench b;

	(void)state;
	if (!path)
		skip();
	if (gf_ramfile_open(path, NULL, 0, false, &ram, &err) || gf_guest_create(ram, false, &g, &err))
		fail_msg("%s", err.text);
	k.mem = g->kernel->mem;
	f.k = &k;
	f.l = g->layout;
	/* Bitmaps are no words of a process; session 0, in which a guest without a login is, lies in the kernel's image and is read the long way. */
	fields.task &= ~(GF_BIT(GF_TF_FDS) | GF_BIT(GF_TF_PGRP) | GF_BIT(GF_TF_SESSION));
	bench_init(&b, &f, 4096, &fields);
	for (int i = 0; i < 8; i++)
		assert_int_equal(tick(&b, true), 0);
	print_message("# %u processes, %u of them gathered by words (%u)\n", b.sim[2].s.live, b.sim[2].v.fetched, b.sim[2].v.gather.bad ? 0 : b.sim[2].v.gather.n);
	assert_true(b.sim[2].s.live >= (least ? strtoul(least, NULL, 10) : 1));
	assert_true(b.sim[2].v.fetched > b.sim[2].s.live / 4); /* not kernel threads: their credentials are in the image */
	bench_done(&b);
	gf_guest_put(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_pool),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_half_exec),
		cmocka_unit_test(test_lives),
		cmocka_unit_test(test_full_table),
		cmocka_unit_test(test_few_fields),
		cmocka_unit_test(test_starved),
		cmocka_unit_test(test_wild),
		cmocka_unit_test(test_corpus),
		cmocka_unit_test(test_guest),
	};
	const char *s = getenv("SEED"), *r = getenv("ROUNDS");

	seed = s ? strtoull(s, NULL, 10) : (uint64_t)time(NULL) * 1000 + (uint64_t)getpid() % 1000;
	rounds = r ? (uint32_t)strtoul(r, NULL, 10) : 1;
	printf("# SEED=%llu\n", (unsigned long long)seed);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
