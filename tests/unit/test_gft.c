/* SPDX-License-Identifier: MIT
 *
 * Recordings: what was written is what is read, bit by bit.
 */
#include "tests/unit/gft_kit.h"

#include <signal.h>
#include <sys/wait.h>

#include "daemon/taskjson.h"

static void round_trip(uint64_t seed, unsigned steps, uint32_t key_every)
{
	struct world w, again;
	struct gf_sample s;
	struct gf_err err = { "" };

	seed0 = seed;
	world_init(&w, seed);
	world_init(&again, seed);
	table_for(&s, &w.has);
	struct gft_writer *o = writer("round.gft", &w.has, key_every);
	for (unsigned i = 0; i < steps; i++) {
		world_step(&w);
		append(o, &w.s);
	}
	assert_int_equal(gft_writer_finish(o, &err), 0);
	struct gft_reader *r = reader("round.gft");
	const struct gft_info *info = gft_reader_info(r);
	assert_true(info->indexed);
	assert_string_equal(info->cut, "");
	assert_int_equal(info->samples, steps);
	assert_int_equal(info->keys, (steps + key_every - 1) / key_every);
	assert_true(info->wall_off_ns == 1234567890123456789ll);
	assert_memory_equal(&info->has, &w.has, sizeof w.has);
	for (unsigned i = 0; i < steps; i++) {
		world_step(&again);
		if (gft_reader_next(r, &s, &err))
			fail_msg("sample %u: %s (seed %llu)", i, err.text, (unsigned long long)seed);
		assert_sample(&s, &again.s, &w.has, true);
	}
	assert_int_equal(info->last_ns, s.now_ns);
	assert_int_equal(gft_reader_next(r, &s, &err), -ENODATA);
	gft_reader_close(r);
	gf_sample_deinit(&s);
	world_deinit(&w);
	world_deinit(&again);
}

static void test_round_trip(void **state)
{
	uint64_t seed = fresh_seed();

	(void)state;
	printf("# GFT_SEED=%llu\n", (unsigned long long)seed);
	for (unsigned i = 0; i < 60; i++)
		round_trip(seed + i * 7919, 1 + i * 2, 1 + i % 13);
}

/* A table with other columns than the recording's: those it lacks are unknown, those nobody wants are not missed. */
static void test_other_columns(void **state)
{
	struct gf_fieldset has = { .host = GF_BIT(GF_HF_MEM_FREE), .task = GF_BIT(GF_TF_RSS), .str = 1u << GF_SF_COMM | 1u << GF_SF_EXE };
	struct gf_fieldset want = { .host = GF_BIT(GF_HF_MEM_FREE), .task = GF_BIT(GF_TF_SWAP) | GF_BIT(GF_TF_RSS), .str = 1u << GF_SF_CGROUP, .paths = 1 };
	struct world w;
	struct gf_sample s;
	struct gf_err err;

	(void)state;
	world_init(&w, 5);
	w.has = has;
	assert_int_equal(gf_sample_set_fields(&w.s, &has, NULL), 0);
	table_for(&s, &want);
	struct gft_writer *o = writer("cols.gft", &has, 4);
	for (int i = 0; i < 10; i++) {
		world_step(&w);
		append(o, &w.s);
	}
	gft_writer_finish(o, NULL);
	struct gft_reader *r = reader("cols.gft");
	assert_memory_equal(&gft_reader_info(r)->has, &has, sizeof has);
	for (int i = 0; i < 10; i++)
		assert_int_equal(gft_reader_next(r, &s, &err), 0);
	for (uint32_t i = 0; i < s.rows; i++) {
		assert_number(s.col[GF_TF_RSS][i], s.flags[i] ? w.s.col[GF_TF_RSS][i] : gf_unknown(), "column", GF_TF_RSS, i);
		assert_true(gf_is_unknown(s.col[GF_TF_SWAP][i]) && gf_is_unknown(s.col[GF_TF_COUNT][i]));
		assert_int_equal(s.str[GF_SF_CGROUP][i].ver, 0);
	}
	gft_reader_close(r);
	gf_sample_deinit(&s);
	world_deinit(&w);
}

static void test_rewind(void **state)
{
	enum { STEPS = 50 };
	uint64_t at[STEPS];
	struct world w;
	struct gf_sample s;
	struct gf_err err;

	(void)state;
	world_init(&w, 99);
	table_for(&s, &w.has);
	struct gft_writer *o = writer("rewind.gft", &w.has, 7);
	for (int i = 0; i < STEPS; i++) {
		world_step(&w);
		at[i] = w.s.now_ns;
		append(o, &w.s);
	}
	gft_writer_finish(o, NULL);
	struct gft_reader *r = reader("rewind.gft");
	assert_true(!gft_reader_info(r)->reboots && gft_reader_info(r)->last_wall_off_ns == gft_reader_info(r)->wall_off_ns);
	for (int i = STEPS - 1; i >= 0; i--) {
		assert_int_equal(gft_reader_rewind(r, at[i], &err), 0);
		assert_int_equal(gft_reader_next(r, &s, &err), 0);
		assert_true(s.now_ns == at[i]);
		assert_int_equal(gft_reader_rewind(r, at[i] - 1, &err), 0);
		assert_int_equal(gft_reader_next(r, &s, &err), 0);
		assert_true(s.now_ns == at[i] || (i && at[i - 1] == at[i] - 1));
	}
	assert_int_equal(gft_reader_rewind(r, at[STEPS - 1] + 1, &err), 0);
	assert_int_equal(gft_reader_next(r, &s, &err), -ENODATA);
	assert_int_equal(gft_reader_rewind(r, 0, &err), 0);
	assert_int_equal(gft_reader_next(r, &s, &err), 0);
	assert_true(s.now_ns == at[0]);
	gft_reader_close(r);
	gf_sample_deinit(&s);
	world_deinit(&w);
}

/* Another boot of a guest: its clock begins anew, and so do its processes, whatever their pids. */
static void test_reboot(void **state)
{
	struct gf_fieldset has = { .str = 1u << GF_SF_COMM };
	struct gf_sample s, t;
	struct gf_err err = { "" };

	(void)state;
	table_for(&s, &has);
	table_for(&t, &has);
	s.epoch = 1;
	s.rows = s.live = 1;
	s.flags[0] = GF_ROW_VALID;
	s.pid[0] = 1;
	s.now_ns = 50 * S;
	struct gft_writer *o = writer("boot.gft", &has, 100);
	append(o, &s);
	s.epoch = 2;
	s.now_ns = 3 * S;
	append(o, &s);
	s.now_ns = 4 * S;
	append(o, &s);
	gft_writer_finish(o, NULL);
	struct gft_reader *r = reader("boot.gft");
	assert_int_equal(gft_reader_info(r)->keys, 2);
	assert_true(gft_reader_info(r)->reboots);
	assert_int_equal(gft_reader_next(r, &t, &err), 0);
	uint32_t gen = t.gen[0];
	assert_int_equal(gft_reader_next(r, &t, &err), 0);
	assert_int_not_equal(t.gen[0], gen);
	assert_true(t.now_ns == 3 * S && t.epoch == 2);
	gen = t.gen[0];
	assert_int_equal(gft_reader_next(r, &t, &err), 0);
	assert_int_equal(t.gen[0], gen);
	gft_reader_close(r);
	gf_sample_deinit(&s);
	gf_sample_deinit(&t);
}

/* Kernel paths by their texts, in whatever order they are wanted; a sample that failed fails again. */
static void test_paths_and_failures(void **state)
{
	static const char *const paths[] = { "task->mm->map_count", "task->flags" };
	static const char *const wanted[] = { "task->nothing", "task->flags", "task->mm->map_count" };
	struct gf_fieldset has = { .paths = 2 }, want = { .paths = 3 };
	struct gft_writer_opts o = {
		.target = "t", .has = has, .path = paths, .replace = true, .budget_n = 7, .budget_window_ns = 5 * S,
	};
	struct gf_sample s, t;
	struct gf_err err = { "" };
	struct gft_writer *w;

	(void)state;
	table_for(&s, &has);
	table_for(&t, &want);
	s.rows = s.live = 1;
	s.flags[0] = GF_ROW_VALID;
	s.pid[0] = 9;
	s.now_ns = 5 * S;
	s.col[GF_TF_COUNT][0] = 65;
	s.col[GF_TF_COUNT + 1][0] = 4194304;
	assert_int_equal(gft_writer_create(path("paths.gft"), &o, &w, &err), 0);
	assert_int_equal(gft_writer_failed(w, 4 * S, 1, "not yet", &err), 0);
	append(w, &s);
	assert_int_equal(gft_writer_failed(w, 6 * S, 77, "the guest is gone", &err), 0);
	s.now_ns = 7 * S;
	append(w, &s);
	gft_writer_finish(w, NULL);
	struct gft_reader *r = reader("paths.gft");
	const struct gft_info *info = gft_reader_info(r);
	assert_true(info->indexed && info->samples == 2 && info->has.paths == 2 && info->budget_n == 7 && info->budget_window_ns == 5 * S);
	assert_string_equal(info->path[1], "task->flags");
	assert_int_equal(gft_reader_set_paths(r, wanted, 3, &err), 0);
	assert_int_equal(gft_reader_next(r, &t, &err), 0);
	assert_true(gf_is_unknown(t.col[GF_TF_COUNT][0]));
	assert_true(t.col[GF_TF_COUNT + 1][0] == 4194304 && t.col[GF_TF_COUNT + 2][0] == 65);
	assert_int_equal(gft_reader_next(r, &t, &err), -EAGAIN);
	assert_string_equal(err.text, "the guest is gone");
	assert_true(t.now_ns == 6 * S && t.seq == 77);
	assert_int_equal(gft_reader_next(r, &t, &err), 0);
	assert_true(t.now_ns == 7 * S && t.gen[0] == 1);
	assert_int_equal(gft_reader_next(r, &t, &err), -ENODATA);
	gft_reader_close(r);
	gf_sample_deinit(&s);
	gf_sample_deinit(&t);
}

static void test_read_while_written(void **state)
{
	struct world w;
	struct gf_sample s;
	struct gf_err err = { "" };
	struct gft_reader *r = NULL;

	(void)state;
	world_init(&w, 4711);
	table_for(&s, &w.has);
	struct gft_writer *o = writer("live.gft", &w.has, 5);
	for (int i = 0; i < 23; i++) {
		world_step(&w);
		append(o, &w.s);
		if (!r)
			r = reader("live.gft");
		assert_int_equal(gft_reader_next(r, &s, &err), 0);
		assert_sample(&s, &w.s, &w.has, true);
		assert_int_equal(gft_reader_next(r, &s, &err), -ENODATA);
	}
	assert_false(gft_reader_info(r)->indexed);
	gft_writer_finish(o, NULL);
	assert_int_equal(gft_reader_next(r, &s, &err), -ENODATA);
	gft_reader_close(r);
	gf_sample_deinit(&s);
	world_deinit(&w);
}

/* This machine, with two hundred that sleep, as they do: what a process and a sample cost. */
static void test_size_of_steady_tasks(void **state)
{
	enum { SLEEPERS = 200, SAMPLES = 40 };
	struct gf_host_opts o = { .sampler = GF_SAMPLER_AUTO, .max_tasks = 8192 };
	struct gf_fieldset has = gf_fields_of(GF_TARGET_HOST);
	struct gft_writer_stats first = { 0 }, last;
	struct gf_err err = { "" };
	struct gf_target *t;
	pid_t kid[SLEEPERS];

	(void)state;
	for (int i = 0; i < SLEEPERS; i++) {
		kid[i] = fork();
		if (!kid[i]) {
			for (;;)
				pause();
		}
	}
	if (gf_host_create(&o, &t, &err) || gf_target_set_fields(t, &has, &err))
		fail_msg("%s", err.text);
	struct gft_writer *w = writer("steady.gft", &has, 1000);
	for (int i = 0; i < SAMPLES; i++) {
		if (gf_target_sample(t, &err))
			fail_msg("%s", err.text);
		append(w, &t->sample);
		if (i == SAMPLES / 4) /* command lines come a little later */
			gft_writer_stats(w, &first);
		nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
	}
	gft_writer_stats(w, &last);
	double each = (double)(last.bytes - first.bytes) / (double)(last.rows - first.rows);
	double key = (double)first.bytes / (double)t->sample.live;
	printf("# %u tasks by %s, %zu fields: %.2f bytes a task and sample, %.1f in a key block; every %u samples: %.2f\n", t->sample.live,
	       t->road, (size_t)(__builtin_popcountll(has.task) + __builtin_popcount(has.str)), each, key, GFT_KEY_EVERY, each + key / GFT_KEY_EVERY);
	assert_true(each + key / GFT_KEY_EVERY <= 3);
	gft_writer_finish(w, NULL);
	gf_target_destroy(t);
	for (int i = 0; i < SLEEPERS; i++)
		kill(kid[i], SIGKILL);
	for (int i = 0; i < SLEEPERS; i++)
		waitpid(kid[i], NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_other_columns), cmocka_unit_test(test_rewind),
		cmocka_unit_test(test_reboot), cmocka_unit_test(test_paths_and_failures), cmocka_unit_test(test_read_while_written),
		cmocka_unit_test(test_size_of_steady_tasks),
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
