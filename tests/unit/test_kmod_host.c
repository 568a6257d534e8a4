// SPDX-License-Identifier: MIT
/*
 * The host target and the kernel module, which is played: it goes by the module where that is there, and by another road without it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/kmodplay.h"

static uint32_t row_of(const struct gf_target *t, int32_t pid)
{
	for (uint32_t i = 0; i < t->sample.rows; i++)
		if (t->sample.flags[i] && t->sample.pid[i] == pid)
			return i;
	return GF_NONE;
}

static void wait_for(const uint32_t *what, uint32_t n)
{
	for (int i = 0; i < 60000 && __atomic_load_n(what, __ATOMIC_SEQ_CST) < n; i++)
		usleep(1000);
	assert_true(__atomic_load_n(what, __ATOMIC_SEQ_CST) >= n);
}

static bool by_module(struct gf_target *t)
{
	char text[512];

	gf_target_sample(t, NULL);
	return !strcmp(gf_target_describe(t, text, sizeof text), "kmod");
}

static void comes_to(struct gf_target *t, bool module, struct module *m, const struct gf_task_rec *rec, uint32_t n)
{
	bool is = false;

	for (int i = 0; i < 6000 && !is; i++) {
		if (rec)
			fake_pass(&m->f, rec, n);
		is = by_module(t) == module;
		usleep(10000);
	}
	assert_true(is);
}

static void test_host_road(void **state)
{
	struct gf_task_rec rec[2] = { fake_rec(1, 5, "init"), fake_rec(4100000, 100, "made-up") };
	struct module m = { .absent = false };
	struct gf_err err = { "" };
	char text[512];

	(void)state;
	fake_make(&m.f, 77);
	m.f.host->have = GF_BIT(GPUFAS_H_MEM_FREE);
	m.f.host->v[GPUFAS_H_MEM_FREE] = 12345;
	struct gf_target *t = host_by(&m, GF_SAMPLER_AUTO, &err);
	assert_non_null(t);
	assert_string_equal(gf_host_delivers(t), "pidfd"); /* not armed yet */
	gf_kmod_arm(gf_host_kmod(t), GPUFAS_ARM_ACT | GPUFAS_ARM_PANIC);
	assert_int_equal(m.armed, GPUFAS_ARM_ACT); /* without what the module does not allow */
	assert_string_equal(gf_host_delivers(t), "kmod");

	/* no table yet: by the other road, which does not know who is made up */
	assert_int_equal(gf_target_sample(t, &err), 0);
	assert_int_equal(row_of(t, 4100000), GF_NONE);
	assert_true(row_of(t, getpid()) != GF_NONE);
	fake_pass(&m.f, rec, 2);
	assert_int_equal(gf_target_sample(t, &err), 0);
	uint32_t row = row_of(t, 4100000);
	assert_true(row != GF_NONE && t->sample.live == 2);
	assert_string_equal(gf_target_describe(t, text, sizeof text), "kmod");
	assert_true(t->sample.col[GF_TF_RSS][row] == 1024 * 4096.0);
	assert_true(t->sample.host[GF_HF_MEM_FREE] == 12345);
	assert_true(t->sample.host[GF_HF_MEM_TOTAL] > 1e6); /* /proc's */
	assert_true(t->sample.host[GF_HF_OS_STALLED] >= 0);
	uint64_t now = t->sample.now_ns;
	assert_int_equal(gf_target_sample(t, &err), 0);
	assert_true(t->sample.now_ns > now); /* the same table: time goes on all the same */

	/* torn: nobody is fit to be acted on, and no other road is taken for it */
	fake_table(&m.f, 0)->seq++;
	assert_int_equal(gf_target_sample(t, &err), -EAGAIN);
	assert_true(t->sample.flags[row_of(t, 4100000)] & GF_ROW_TORN);
	fake_table(&m.f, 0)->seq++;
	assert_int_equal(gf_target_sample(t, &err), 0);
	assert_false(t->sample.flags[row_of(t, 4100000)] & GF_ROW_TORN);
	/* a record that cannot be makes the table damaged, not one process fewer */
	rec[1].pid = -1;
	fake_pass(&m.f, rec, 2);
	assert_int_equal(gf_target_sample(t, &err), -EAGAIN);
	rec[1].pid = 4100000;

	/* given up: at once by the other road; it is said, closed, and taken again when it is there again */
	fake_pass(&m.f, rec, 2);
	m.absent = true;
	m.f.h->state = GPUFAS_DEAD;
	assert_int_equal(gf_target_sample(t, &err), 0);
	assert_int_equal(row_of(t, 4100000), GF_NONE);
	assert_true(gf_is_unknown(t->sample.host[GF_HF_OS_STALLED]));
	wait_for(&m.closed, 1);
	assert_string_equal(gf_host_delivers(t), "pidfd");
	/* it is looked for anew after that */
	for (int i = 0; i < 2000 && strcmp(gf_host_module(t, text, sizeof text), "no /dev/gpufas: the kernel module is not loaded"); i++)
		usleep(10000);
	assert_string_equal(gf_host_module(t, text, sizeof text), "no /dev/gpufas: the kernel module is not loaded");
	m.f.h->state = GPUFAS_SAMPLING;
	m.f.h->instance = 78;
	__atomic_store_n(&m.absent, false, __ATOMIC_SEQ_CST);
	comes_to(t, true, &m, rec, 2);
	assert_true(row_of(t, 4100000) != GF_NONE);
	assert_string_equal(gf_host_delivers(t), "kmod"); /* armed as before */
	/* it stands: its table gets old */
	m.absent = true;
	comes_to(t, false, &m, NULL, 0);
	gf_target_destroy(t);
	assert_int_equal(m.opened, m.closed);
	assert_non_null(strstr(m.said, "the kernel module is there: it samples, and delivers\n"));
	assert_non_null(strstr(m.said, "not used any more: it has given its region up"));
	assert_non_null(strstr(m.said, "not used any more: its table has not been written for a while"));
	free(m.f.p);
}

static void test_only_module(void **state)
{
	struct module m = { .absent = true };
	struct gf_err err = { "" };

	(void)state;
	fake_make(&m.f, 77);
	assert_null(host_by(&m, GF_SAMPLER_KMOD, &err));
	assert_string_equal(err.text, "no /dev/gpufas: the kernel module is not loaded; \"sampler: auto\" does without it");
	m.absent = false;
	struct gf_target *t = host_by(&m, GF_SAMPLER_KMOD, &err);
	assert_non_null(t);
	/* and by no other road */
	assert_int_equal(gf_target_sample(t, &err), -ENODEV);
	gf_target_destroy(t);
	/* who only looks does not take it away from whoever watches */
	struct gf_host_opts looks = { .sampler = GF_SAMPLER_KMOD, .max_tasks = 1024, .kmod = &(struct gf_kmod_dev){ m_open, m_arm, m_kick, m_close, &m } };
	uint32_t opened = m.opened;
	assert_int_equal(gf_host_create(&looks, &t, &err), 0);
	assert_int_equal(gf_target_sample(t, &err), 0);
	assert_null(gf_host_kmod(t));
	assert_int_equal(m.opened, opened);
	gf_target_destroy(t);
	/* of another build: said */
	m.f.h->version = 9;
	t = host_by(&m, GF_SAMPLER_AUTO, &err);
	assert_non_null(t);
	assert_non_null(strstr(m.said, "the kernel module is not used: its region is of no use: it is of another version"));
	gf_target_destroy(t);
	free(m.f.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_host_road), cmocka_unit_test(test_only_module),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
