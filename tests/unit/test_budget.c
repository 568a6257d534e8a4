// SPDX-License-Identifier: MIT
/*
 * What a guest can make a sample cost: threads and descriptors come out of a budget, half of which is for those to whom their share of the first half was
 * not enough.
 */
#include "tests/unit/samplers.h"

#include <time.h>
#include <unistd.h>

static const uint32_t some[GF_RSS_PARTS] = { [GF_RSS_FILE] = 100, [GF_RSS_ANON] = 200, [GF_RSS_SWAP] = 30, [GF_RSS_SHMEM] = 4 };
static struct fake *crowd(uint32_t processes)
{
	struct fake *f = fake_new(32u << 20, seed, 0);

	fake_process(f, 1, "init", some);
	fake_process(f, 2, "kthreadd", NULL);
	for (uint32_t i = 0; i < processes; i++)
		fake_process(f, 10 + 3 * i, "many", some);
	return f;
}

/* One who has 41 threads among many who have one; the second half of the budget, which is his alone, is `enough`, or one less. Then that field is unknown. */
static void second_half(uint64_t task, int field, uint32_t enough)
{
	struct fake *f = crowd(20);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_second_half),
	};
	const char *s = getenv("SEED");

	seed = s ? strtoull(s, NULL, 10) : (uint64_t)time(NULL) * 1000 + (uint64_t)getpid() % 1000;
	printf("# SEED=%llu\n", (unsigned long long)seed);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
