/* SPDX-License-Identifier: MIT
 *
 * sim/model.c over a feed that is made up.
 */
#include "tests/unit/madefeed.h"

static void test_kill(void **state)
{
	struct made m;
	struct gf_feed *f;
	struct gf_model_said said;

	(void)state;
	make(&m, family, 6);
	f = model(&m, (struct gf_model_opts){ 0 });
	next(f, 5);
	assert_true(there(f, 10));
	/* untouched it is as in truth */
	assert_true(host(f, GF_HF_MEM_AVAILABLE) == m.f.sample.host[GF_HF_MEM_AVAILABLE]);
	act(f, 10, GF_ACT_SIGNAL, SIGKILL);
	next(f, 1);
	assert_false(there(f, 10));
	assert_false(there(f, 11));
	assert_true(there(f, 20));
	/* tick 6: 10 has 160 MiB in truth, 11 has 20 */
	assert_true(host(f, GF_HF_MEM_AVAILABLE) == m.f.sample.host[GF_HF_MEM_AVAILABLE] + 180 * MIB);
	assert_true(host(f, GF_HF_MEM_FREE) == m.f.sample.host[GF_HF_MEM_FREE] + 180 * MIB);
	assert_true(host(f, GF_HF_TASKS_COUNT) == 2);
	assert_true(host(f, GF_HF_TASKS_THREADS) == 4);
	assert_true(host(f, GF_HF_TASKS_RUNNING) == 2);
	/* CPU time from the sample before it died on: half a second */
	assert_true(host(f, GF_HF_CPU_BUSYTIME) == m.f.sample.host[GF_HF_CPU_BUSYTIME] - 0.5e9);
	next(f, 4);
	/* those started later never are, nor theirs */
	assert_false(there(f, 12));
	assert_false(there(f, 13));
	assert_true(host(f, GF_HF_TASKS_FORKS) == m.f.sample.host[GF_HF_TASKS_FORKS] - 2);
	assert_true(host(f, GF_HF_LOAD_1) < 3 && host(f, GF_HF_LOAD_1) > 2.8);
	next(f, 25);
	/* it has ended in truth, too: its memory is not given back twice, what it did not compute stays saved */
	assert_true(host(f, GF_HF_MEM_AVAILABLE) == m.f.sample.host[GF_HF_MEM_AVAILABLE]);
	assert_true(host(f, GF_HF_CPU_BUSYTIME) < m.f.sample.host[GF_HF_CPU_BUSYTIME]);
	gf_model_said(f, &said);
	assert_int_equal(said.killed, 1);
	assert_int_equal(said.ended_with, 1);
	assert_int_equal(said.unborn, 2);
	assert_true(said.freed == 180 * MIB);
	gf_feed_destroy(f);
	unmake(&m);
}

static void test_children_stay(void **state)
{
	struct made m;
	struct gf_feed *f;
	uint32_t row;

	(void)state;
	f = five_after(&m, (struct gf_model_opts){ .children_stay = true });
	row = row_of(f, 11);
	assert_int_not_equal(row, GF_NONE);
	assert_int_equal(f->sample.parent[row], row_of(f, 1));
	assert_true(f->sample.col[GF_TF_PPID][row] == 1);
	assert_false(there(f, 12));
	/* init has 20 and, adopted, 11 */
	assert_true(f->sample.col[GF_TF_CHILDREN][row_of(f, 1)] == 2);
	gf_feed_destroy(f);
	unmake(&m);
}

static void test_term(void **state)
{
	struct made m;
	struct gf_feed *f;

	(void)state;
	make(&m, family, 6);
	f = model(&m, (struct gf_model_opts){ .term_ns = 3 * SEC });
	next(f, 5);
	act(f, 10, GF_ACT_SIGNAL, SIGTERM);
	act(f, 20, GF_ACT_SIGNAL, SIGHUP); /* what becomes of that nobody knows */
	next(f, 2);
	assert_true(there(f, 10));
	next(f, 1);
	assert_false(there(f, 10));
	assert_true(there(f, 20));
	gf_feed_destroy(f);
	f = model(&m, (struct gf_model_opts){ .term_never = true });
	next(f, 5);
	act(f, 10, GF_ACT_SIGNAL, SIGTERM);
	next(f, 10);
	assert_true(there(f, 10));
	act(f, 10, GF_ACT_SIGNAL, SIGKILL);
	next(f, 1);
	assert_false(there(f, 10));
	gf_feed_destroy(f);
	unmake(&m);
}

static void test_stop(void **state)
{
	struct made m;
	struct gf_feed *f;
	uint32_t row;
	double then, cpu;

	(void)state;
	make(&m, family, 6);
	f = model(&m, (struct gf_model_opts){ .term_ns = SEC });
	next(f, 5);
	row = row_of(f, 10);
	then = f->sample.col[GF_TF_ANON][row];
	cpu = f->sample.col[GF_TF_CPUTIME][row];
	act(f, 10, GF_ACT_SIGNAL, SIGSTOP);
	next(f, 5);
	assert_true(f->sample.col[GF_TF_ANON][row] == then);
	assert_true(f->sample.col[GF_TF_CPUTIME][row] == cpu);
	assert_true(f->sample.col[GF_TF_STATE][row] == 'T');
	/* it would have grown by 50 MiB; its child of tick 8, which has one of its own, was not started */
	assert_true(host(f, GF_HF_MEM_AVAILABLE) == m.f.sample.host[GF_HF_MEM_AVAILABLE] + 85 * MIB);
	assert_true(host(f, GF_HF_CPU_BUSYTIME) == m.f.sample.host[GF_HF_CPU_BUSYTIME] - 2.5e9);
	assert_false(there(f, 12));
	assert_true(there(f, 11));
	act(f, 10, GF_ACT_SIGNAL, SIGCONT);
	next(f, 2);
	/* it goes on where it was */
	assert_true(f->sample.col[GF_TF_ANON][row] == then + 20 * MIB);
	assert_true(f->sample.col[GF_TF_CPUTIME][row] == cpu + 1e9);
	/* a signal waits for a process that is stopped */
	act(f, 10, GF_ACT_FREEZE, 0);
	act(f, 10, GF_ACT_SIGNAL, SIGTERM);
	next(f, 4);
	assert_true(there(f, 10));
	act(f, 10, GF_ACT_THAW, 0);
	next(f, 1);
	assert_false(there(f, 10));
	gf_feed_destroy(f);
	unmake(&m);
}

static void test_others(void **state)
{
	const struct gf_what_if w[] = { { GF_HF_MEM_TOTAL, GF_WHAT_IF_IS, 2000 * MIB } };
	struct made m;
	struct gf_feed *f;
	struct gf_model_said said;

	(void)state;
	make(&m, family, 6);
	f = model(&m, (struct gf_model_opts){ .psi_unknown = true, .what_if = w, .what_ifs = 1 });
	next(f, 5);
	assert_true(host(f, GF_HF_MEM_TOTAL) == 2000 * MIB);
	assert_true(host(f, GF_HF_MEM_AVAILABLE) == m.f.sample.host[GF_HF_MEM_AVAILABLE] + 1000 * MIB);
	assert_true(host(f, GF_HF_PSI_MEM_FULL_10) == 7);
	act(f, 20, GF_ACT_RENICE, 15);
	act(f, 20, GF_ACT_RENICE, 15);
	act(f, 20, GF_ACT_LIMIT, 0);
	act(f, 10, GF_ACT_SIGNAL, SIGKILL);
	next(f, 1);
	assert_true(f->sample.col[GF_TF_NICE][row_of(f, 20)] == 19);
	assert_true(gf_is_unknown(host(f, GF_HF_PSI_MEM_FULL_10)));
	gf_model_said(f, &said);
	assert_int_equal(said.limits, 1);
	assert_int_equal(said.reniced, 2);
	/* after a reset nothing is known */
	gf_model_act(f, &(struct gf_verdict){ .action = GF_ACT_RESET });
	assert_int_equal(gf_feed_next(f, NULL), -ENODATA);
	/* and rewound all is as before */
	assert_int_equal(gf_feed_rewind(f, 0, NULL), 0);
	next(f, 6);
	assert_true(there(f, 10));
	assert_true(f->sample.col[GF_TF_NICE][row_of(f, 20)] == 0);
	gf_feed_destroy(f);
	unmake(&m);
}

/* Nothing that comes later puts an exit off, and each process has ended by one thing. */
static void test_killed_again(void **state)
{
	struct made m;
	struct gf_feed *f;
	struct gf_model_said said;

	(void)state;
	make(&m, family, 6);
	f = model(&m, (struct gf_model_opts){ .kill_ns = 3 * SEC, .term_ns = 2 * SEC });
	next(f, 5);
	act(f, 10, GF_ACT_SIGNAL, SIGKILL);
	act(f, 20, GF_ACT_SIGNAL, SIGTERM);
	next(f, 1);
	act(f, 20, GF_ACT_SIGNAL, SIGKILL); /* it would be gone later by that */
	next(f, 1);
	act(f, 10, GF_ACT_SIGNAL, SIGKILL);
	assert_false(there(f, 20));
	next(f, 1);
	assert_false(there(f, 10));
	gf_model_said(f, &said);
	assert_int_equal(said.killed, 1);
	assert_int_equal(said.ended, 1);
	gf_feed_destroy(f);
	/* who is stopped is not ended by the first, but by the second */
	f = model(&m, (struct gf_model_opts){ .term_ns = SEC });
	next(f, 5);
	act(f, 20, GF_ACT_SIGNAL, SIGSTOP);
	act(f, 20, GF_ACT_SIGNAL, SIGTERM);
	next(f, 3);
	assert_true(there(f, 20));
	act(f, 20, GF_ACT_SIGNAL, SIGKILL);
	next(f, 1);
	assert_false(there(f, 20));
	gf_model_said(f, &said);
	assert_int_equal(said.killed, 1);
	assert_int_equal(said.ended, 0);
	gf_feed_destroy(f);
	/* nice beyond its ends is not kept in mind */
	f = model(&m, (struct gf_model_opts){ 0 });
	next(f, 5);
	act(f, 20, GF_ACT_RENICE, 15);
	act(f, 20, GF_ACT_RENICE, 15);
	act(f, 20, GF_ACT_RENICE, -5);
	next(f, 1);
	assert_true(f->sample.col[GF_TF_NICE][row_of(f, 20)] == 14);
	gf_feed_destroy(f);
	unmake(&m);
}

/* Another boot: counters begin anew, so nothing of the boot before is taken off them; what was saved is remembered. */
static void test_reboot(void **state)
{
	struct made m;
	struct gf_feed *f;
	struct gf_model_said said;

	(void)state;
	f = five_after(&m, (struct gf_model_opts){ 0 });
	gf_model_said(f, &said);
	assert_true(said.cpu_ns == 2.5e9);
	assert_true(host(f, GF_HF_CPU_BUSYTIME) == m.f.sample.host[GF_HF_CPU_BUSYTIME] - 2.5e9);
	m.f.sample.epoch++;
	next(f, 1);
	assert_true(there(f, 10));
	assert_true(host(f, GF_HF_CPU_BUSYTIME) == m.f.sample.host[GF_HF_CPU_BUSYTIME]);
	assert_true(host(f, GF_HF_TASKS_FORKS) == m.f.sample.host[GF_HF_TASKS_FORKS]);
	assert_true(host(f, GF_HF_LOAD_1) == 3);
	act(f, 10, GF_ACT_SIGNAL, SIGKILL);
	next(f, 1);
	assert_true(host(f, GF_HF_CPU_BUSYTIME) == m.f.sample.host[GF_HF_CPU_BUSYTIME] - 0.5e9);
	gf_model_said(f, &said);
	assert_true(said.cpu_ns == 3e9);
	gf_feed_destroy(f);
	unmake(&m);
}

static void test_what_if(void **state)
{
	static const struct { const char *text, *says; } bad[] = {
		{ "mem.totl=8GiB", "did you mean mem.total?" }, { "rss=1GiB", "a field of processes" }, { "mem.total", "FIELD=VALUE" },
		{ "mem.total=lots", "a size, such as 8GiB" }, { "cpu.busy=5", "worked out from cpu.busytime" }, { "mem.total=*-2", "0 or more" },
		{ "uptime=5GiB", "a time" },
	};
	struct gf_what_if w;
	struct gf_err err;

	(void)state;
	assert_int_equal(gf_what_if_parse("mem.total=8GiB", &w, &err), 0);
	assert_true(w.field == GF_HF_MEM_TOTAL && w.how == GF_WHAT_IF_IS && w.by == 8192 * MIB);
	assert_int_equal(gf_what_if_parse("mem.total=*0.5", &w, &err), 0);
	assert_true(w.how == GF_WHAT_IF_TIMES && w.by == 0.5);
	assert_int_equal(gf_what_if_parse("swap.free=-512MiB", &w, &err), 0);
	assert_true(w.how == GF_WHAT_IF_PLUS && w.by == -512 * MIB);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(gf_what_if_parse(bad[i].text, &w, &err), -EINVAL);
		if (!strstr(err.text, bad[i].says))
			fail_msg("%s: %s", bad[i].text, err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kill),	    cmocka_unit_test(test_children_stay), cmocka_unit_test(test_term),	 cmocka_unit_test(test_stop),
		cmocka_unit_test(test_killed_again), cmocka_unit_test(test_reboot),	  cmocka_unit_test(test_others), cmocka_unit_test(test_what_if),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
