// SPDX-License-Identifier: MIT
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "targets/table.h"
#include "targets/target.h"

struct fixture {
	struct gf_sample s;
	struct gf_table t;
	unsigned freed;
};

static void count_free(void *arg, uint32_t row)
{
	struct fixture *f = arg;

	assert_true(f->s.flags[row] & GF_ROW_VALID);
	f->freed++;
}

static int setup(void **state)
{
	struct gf_fieldset fields = { .task = GF_BIT(GF_TF_CHILDREN) | GF_BIT(GF_TF_RSS), .str = 1u << GF_SF_COMM };
	struct fixture *f = calloc(1, sizeof *f);

	assert_int_equal(gf_sample_init(&f->s, 200, NULL), 0);
	assert_int_equal(gf_sample_set_fields(&f->s, &fields, NULL), 0);
	assert_int_equal(gf_table_init(&f->t, &f->s, NULL), 0);
	f->t.on_free = count_free;
	f->t.on_free_arg = f;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	gf_table_deinit(&f->t);
	gf_sample_deinit(&f->s);
	free(f);
	return 0;
}

static uint32_t see(struct fixture *f, int32_t pid, uint64_t start, int32_t ppid)
{
	bool fresh;

	return gf_table_row(&f->t, pid, start, ppid, &fresh);
}

static void test_capacity(void **state)
{
	struct fixture *f = *state;
	struct gf_sample s;
	struct gf_err err;

	assert_int_equal(f->s.cap, 256);
	assert_int_equal(gf_sample_init(&s, 0, &err), -EINVAL);
	assert_string_not_equal(err.text, "");
	gf_table_begin(&f->t);
	for (int i = 0; i < 300; i++)
		assert_int_equal(see(f, i + 1, 5, 0), i < 256 ? (uint32_t)i : GF_NONE);
	gf_table_commit(&f->t);
	assert_int_equal(f->s.live, 256);
	assert_int_equal(f->s.dropped, 44);
	assert_int_equal(f->s.rows, 256);
}

static void test_rows_are_stable(void **state)
{
	struct fixture *f = *state;

	gf_table_begin(&f->t);
	for (int i = 0; i < 10; i++)
		see(f, 100 + i, 7, 0);
	gf_table_commit(&f->t);
	/* 3 and 5 go; the rest stay where they are; newcomers take the lowest. */
	gf_table_begin(&f->t);
	for (int i = 0; i < 10; i++)
		if (i != 3 && i != 5)
			assert_int_equal(see(f, 100 + i, 7, 0), i);
	gf_table_commit(&f->t);
	assert_int_equal(f->freed, 2);
	assert_int_equal(f->s.live, 8);
	assert_int_equal(f->s.rows, 10);
	assert_int_equal(f->s.flags[3], 0);
	assert_true(gf_is_unknown(f->s.col[GF_TF_RSS][3]));
	uint32_t gen3 = f->s.gen[3], gen5 = f->s.gen[5], gen4 = f->s.gen[4];
	gf_table_begin(&f->t);
	assert_int_equal(see(f, 900, 8, 0), 3);
	assert_int_equal(see(f, 901, 8, 0), 5);
	assert_int_equal(see(f, 902, 8, 0), 10);
	for (int i = 0; i < 10; i++)
		if (i != 3 && i != 5)
			see(f, 100 + i, 7, 0);
	gf_table_commit(&f->t);
	assert_int_not_equal(f->s.gen[3], gen3);
	assert_int_not_equal(f->s.gen[5], gen5);
	assert_int_equal(f->s.gen[4], gen4);
}

static void test_recycled_pid(void **state)
{
	struct fixture *f = *state;

	gf_table_begin(&f->t);
	uint32_t old = see(f, 50, 1000, 0);
	uint32_t gen = f->s.gen[old];
	gf_table_commit(&f->t);
	gf_table_begin(&f->t);
	uint32_t new = see(f, 50, 2000, 0);
	assert_int_not_equal(new, old);
	gf_table_commit(&f->t);
	assert_int_equal(gf_table_find(&f->t, 50, 1000), GF_NONE);
	assert_int_equal(gf_table_find(&f->t, 50, 2000), new);
	gf_table_begin(&f->t);
	see(f, 50, 2000, 0);
	assert_int_equal(see(f, 51, 3000, 0), old); /* the freed row, to another */
	assert_int_not_equal(f->s.gen[old], gen);
	gf_table_commit(&f->t);
}

static void test_short_pass_frees_nothing(void **state)
{
	struct fixture *f = *state;

	gf_table_begin(&f->t);
	see(f, 1, 1, 0);
	see(f, 2, 1, 1);
	gf_table_commit(&f->t);
	gf_table_begin(&f->t);
	see(f, 1, 1, 0);
	gf_table_abort(&f->t);
	assert_int_equal(f->freed, 0);
	assert_int_equal(f->s.live, 2);
	for (uint32_t i = 0; i < 2; i++)
		assert_true(f->s.flags[i] & GF_ROW_TORN);
	gf_table_begin(&f->t);
	see(f, 1, 1, 0);
	see(f, 2, 1, 1);
	gf_table_commit(&f->t);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(f->s.flags[i], GF_ROW_VALID);
}

static void test_parents(void **state)
{
	struct fixture *f = *state;

	gf_table_begin(&f->t);
	uint32_t root = see(f, 1, 10, 0), a = see(f, 20, 100, 1), b = see(f, 21, 110, 20), c = see(f, 22, 120, 20);
	uint32_t odd = see(f, 30, 50, 22); /* older than what has its parent's pid now */
	uint32_t lost = see(f, 31, 60, 999);
	gf_table_commit(&f->t);
	assert_int_equal(f->s.parent[root], GF_NONE);
	assert_int_equal(f->s.parent[a], root);
	assert_int_equal(f->s.parent[b], a);
	assert_int_equal(f->s.parent[c], a);
	assert_int_equal(f->s.parent[odd], GF_NONE);
	assert_int_equal(f->s.parent[lost], GF_NONE);
	assert_float_equal(f->s.col[GF_TF_CHILDREN][a], 2, 0);
	assert_float_equal(f->s.col[GF_TF_CHILDREN][c], 0, 0);
}

static void test_comm_versions(void **state)
{
	struct fixture *f = *state;
	struct gf_strref *ref = f->s.str[GF_SF_COMM];

	gf_table_begin(&f->t);
	uint32_t a = see(f, 5, 1, 0), b = see(f, 6, 1, 0);
	gf_table_comm(&f->t, a, "one", 16);
	gf_table_comm(&f->t, b, "one", 16);
	uint32_t va = ref[a].ver;
	assert_int_not_equal(va, 0);
	assert_int_not_equal(va, ref[b].ver);
	gf_table_comm(&f->t, a, "one", 16);
	assert_int_equal(ref[a].ver, va);
	gf_table_comm(&f->t, a, "sixteen-and-more-bytes", 22);
	assert_int_not_equal(ref[a].ver, va);
	assert_int_equal(ref[a].len, 15);
	assert_string_equal(ref[a].p, "sixteen-and-mor");
	gf_table_comm(&f->t, a, "", 0);
	assert_int_equal(ref[a].len, 0);
	assert_int_not_equal(ref[a].ver, 0);
}

/* Against a table that is nothing but a list: same answers for any history. */
static void test_random_histories(void **state)
{
	struct fixture *f = *state;
	struct { int32_t pid; uint64_t start; uint32_t row; bool seen; } is[256];
	size_t n = 0;

	srand(12345);
	for (int pass = 1; pass < 400; pass++) {
		gf_table_begin(&f->t);
		for (size_t i = 0; i < n; i++) {
			is[i].seen = rand() % 4;
			if (is[i].seen)
				assert_int_equal(see(f, is[i].pid, is[i].start, 0), is[i].row);
		}
		for (int k = rand() % 60; k > 0 && n < 250; k--) {
			int32_t pid = 1 + rand() % 300;
			size_t i = 0;
			while (i < n && !(is[i].pid == pid && is[i].seen))
				i++;
			if (i < n)
				continue; /* one living process a pid */
			is[n].pid = pid;
			is[n].start = (uint64_t)pass;
			is[n].seen = true;
			is[n].row = see(f, pid, (uint64_t)pass, 0);
			assert_int_not_equal(is[n].row, GF_NONE);
			for (i = 0; i < n; i++)
				assert_int_not_equal(is[i].row, is[n].row);
			n++;
		}
		gf_table_commit(&f->t);
		size_t kept = 0;
		for (size_t i = 0; i < n; i++) {
			if (is[i].seen)
				is[kept++] = is[i];
			else
				assert_int_equal(gf_table_find(&f->t, is[i].pid, is[i].start), GF_NONE);
		}
		n = kept;
		assert_int_equal(f->s.live, n);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(gf_table_find(&f->t, is[i].pid, is[i].start), is[i].row);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_capacity, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rows_are_stable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_recycled_pid, setup, teardown),
		cmocka_unit_test_setup_teardown(test_short_pass_frees_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_parents, setup, teardown),
		cmocka_unit_test_setup_teardown(test_comm_versions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random_histories, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
