// SPDX-License-Identifier: MIT
/*
 * What a guest can make a sample cost. Whatever it says of how many CPUs it has, the look at their parts of page counters comes out of the budget that
 * threads and descriptors come out of; and who is given all that he needs loses nothing by it.
 */
#include "tests/unit/samplers.h"

#include <time.h>
#include <unistd.h>

static const uint32_t some[GF_RSS_PARTS] = { [GF_RSS_FILE] = 100, [GF_RSS_ANON] = 200, [GF_RSS_SWAP] = 30, [GF_RSS_SHMEM] = 4 };
static const struct gf_fieldset sizes = { 0, GF_BIT(GF_TF_RSS) | GF_BIT(GF_TF_ANON) | GF_BIT(GF_TF_SWAP) | GF_BIT(GF_TF_THREADS), 0, 0 };

/* The kernel says that it has n CPUs. Beyond the first two they have these two's memory. */
static void say_cpus(struct fake *f, uint32_t n)
{
	struct gf_layout *l = &f->l;

	l->max_cpus = 2048;
	l->per_cpu_offset = fake_alloc(f, 8ull * n);
	l->cpu_online = fake_alloc(f, l->max_cpus / 8);
	l->cpu_possible = fake_alloc(f, l->max_cpus / 8);
	for (uint32_t i = 0; i < n; i++) {
		w64(f, l->per_cpu_offset + 8ull * i, FAKE_VMALLOC + i % FAKE_CPUS * 4096);
		w8(f, l->cpu_online + i / 8, (uint8_t)(1u << i % 8 | *fake_at(f, l->cpu_online + i / 8)));
		w8(f, l->cpu_possible + i / 8, (uint8_t)(1u << i % 8 | *fake_at(f, l->cpu_possible + i / 8)));
	}
}

static struct fake *crowd(uint32_t processes, uint32_t cpus)
{
	struct fake *f = fake_new(32u << 20, seed, 0);

	fake_process(f, 1, "init", some);
	fake_process(f, 2, "kthreadd", NULL);
	for (uint32_t i = 0; i < processes; i++)
		fake_process(f, 10 + 3 * i, "many", some);
	say_cpus(f, cpus);
	return f;
}

/* The sum of what fake_mm has put there: 3 on even CPUs, -8 on odd ones; the word is 5 more. */
static double parts(uint32_t cpus)
{
	return 5 + (cpus + 1) / 2 * 3.0 - cpus / 2 * 8.0;
}

/* ---- one process -------------------------------------------------------------- */

static void one(uint32_t cpus, int apart)
{
	struct fake *f = crowd(1, cpus);
	struct fake_task g = fake_process(f, 9, "one", (const uint32_t[]){ 100000, 200000, 30000, 40000 });
	uint32_t cost = (cpus + 3) / 4 * (apart ? GF_RSS_PARTS : 1);
	struct gf_cpus c;
	struct gf_task_ctx x = { .k = &f->k->mem, .l = &f->l, .cpus = &c, .want = GF_REC_RSS };
	struct gf_task_rec r;

	/* As kernels have them that make room for each counter by itself: the fourth's is somewhere else. */
	if (apart)
		w64(f, g.mm + f->l.mm.rss_cpu[3], 2048);
	assert_int_equal(gf_cpus_read(&f->k->mem, &f->l, &c), 0);
	assert_int_equal(c.n, cpus);
	x.budget = cost;
	memset(&r, 0, sizeof r);
	gf_read_mm(&x, g.mm, &r);
	assert_true(r.have & GF_REC_RSS);
	assert_int_equal(x.budget, 0);
	assert_int_equal(x.starved, 0);
	assert_true((double)r.anon == 200000 + parts(cpus));
	x.budget = cost - 1;
	memset(&r, 0, sizeof r);
	gf_read_mm(&x, g.mm, &r);
	assert_false(r.have & GF_REC_RSS);
	assert_int_equal(x.starved, 1);
	fake_free(f);
}

static void test_cost(void **state)
{
	static const uint32_t cpus[] = { 1, 2, 4, 5, 64, 191, GF_CPUS_MAX };

	for (uint32_t i = 0; i < sizeof cpus / sizeof *cpus; i++) {
		one(cpus[i], 0);
		one(cpus[i], 1);
	}
	(void)state;
}

/* ---- all of them --------------------------------------------------------------- */

static uint32_t known(const struct gf_sample *s)
{
	uint32_t n = 0;

	for (uint32_t row = 0; row < s->rows; row++)
		n += s->flags[row] && s->pid[row] > 2 && !gf_is_unknown(s->col[GF_TF_RSS][row]);
	return n;
}

/* Half of the budget to all, the other half to those to whom that was not enough: whose memory is looked at must have been paid for out of these. With
 * teams, what is fetched beside the walk and what is fetched late are looks of their own. */
static void test_hostile(void **state)
{
	static const uint32_t budgets[] = { 400, 4096, 20000, 100000 };

	for (uint32_t i = 0; i < sizeof budgets / sizeof *budgets; i++) {
		struct fake *f = crowd(300, GF_CPUS_MAX);
		struct bench b;

		bench_init(&b, f, 512, &sizes);
		for (uint32_t k = 0; k < SIMS; k++)
			b.sim[k].v.budget = budgets[i];
		for (uint32_t t = 0; t < 4; t++) {
			assert_int_equal(tick(&b, false), 0);
			for (uint32_t k = 0; k < SIMS; k++) {
				assert_int_equal(b.sim[k].s.live, 302);
				assert_true(known(&b.sim[k].s) * GF_CPUS_MAX / 4 <= budgets[i]);
			}
			/* Nobody has enough, or all do. */
			assert_int_equal(known(&b.sim[0].s), budgets[i] < 2 * 302 * GF_CPUS_MAX / 4 ? 0 : 300);
		}
		bench_done(&b);
		fake_free(f);
	}
	(void)state;
}

/* One who has 41 threads among many who have one; the second half of the budget, which is his alone, is `enough`, or one less. Then that field is unknown. */
static void second_half(uint64_t task, int field, uint32_t enough)
{
	struct fake *f = crowd(20, 64);
	struct fake_task g = fake_process(f, 9, "threads", some);
	const struct gf_fieldset fields = { 0, task, 0, 0 };
	struct bench b;

	for (uint32_t i = 0; i < 40; i++)
		fake_thread(f, &g, 5000 + i, 9);
	bench_init(&b, f, 128, &fields);
	for (uint32_t less = 0; less < 2; less++) {
		for (uint32_t k = 0; k < SIMS; k++)
			b.sim[k].v.budget = 2 * (enough - less);
		for (uint32_t t = 0; t < 3; t++) {
			const struct gf_sample *s = &b.sim[0].s;

			assert_int_equal(tick(&b, false), 0);
			for (uint32_t row = 0; row < s->rows; row++)
				if (s->flags[row] && s->pid[row] == 9)
					assert_int_equal(gf_is_unknown(s->col[field][row]), less);
		}
	}
	bench_done(&b);
	fake_free(f);
}

static void test_second_half(void **state)
{
	(void)state;
	second_half(GF_BIT(GF_TF_CPUTIME), GF_TF_CPUTIME, 41);
}

/* Threads and CPUs come out of one purse. */
static void test_one_purse(void **state)
{
	(void)state;
	second_half(GF_BIT(GF_TF_CPUTIME) | GF_BIT(GF_TF_RSS), GF_TF_RSS, 41 + 64 / 4);
}

/* The budget that everybody has is enough for large machines: the same figures by all, the right ones, and nobody goes without. */
static void test_good(void **state)
{
	static const uint32_t cpus[] = { 2, 64, 192, GF_CPUS_MAX };

	for (uint32_t i = 0; i < sizeof cpus / sizeof *cpus; i++) {
		struct fake *f = crowd(500, cpus[i]);
		struct bench b;

		bench_init(&b, f, 1024, &sizes);
		for (uint32_t t = 0; t < 3; t++) {
			assert_int_equal(tick(&b, true), 0);
			for (uint32_t k = 0; k < SIMS; k++) {
				const struct gf_sample *s = &b.sim[k].s;

				assert_int_equal(known(s), 500);
				for (uint32_t row = 0; row < s->rows; row++)
					if (s->flags[row] && s->pid[row] > 2)
						assert_true(s->col[GF_TF_ANON][row] == GF_MAX(200 + parts(cpus[i]), 0.0) * 4096);
			}
		}
		assert_true(b.sim[3].v.fetched >= 500);
		bench_done(&b);
		fake_free(f);
	}
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cost), cmocka_unit_test(test_hostile), cmocka_unit_test(test_second_half), cmocka_unit_test(test_one_purse), cmocka_unit_test(test_good),
	};
	const char *s = getenv("SEED");

	seed = s ? strtoull(s, NULL, 10) : (uint64_t)time(NULL) * 1000 + (uint64_t)getpid() % 1000;
	printf("# SEED=%llu\n", (unsigned long long)seed);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
