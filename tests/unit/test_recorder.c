/* SPDX-License-Identifier: MIT
 *
 * The recorder of ticks: what was decided on goes into files that say whose columns these are, also of a policy that is in force no more when it
 * is written, and what a device took has the fields that the device had. What is missing is seen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/compiler.h"
#include "daemon/daemon.h"
#include "daemon/recorder.h"
#include "daemon/taskjson.h"
#include "targets/vm_int.h"
#include "tests/unit/policytext.h"

#define SEC 1000000000ull
#define MAPS "task->mm->map_count"
#define VM "task->mm->total_vm"
#define OTHERS 12 /* policies, more than a daemon remembers */

struct rig {
	struct gf_config config;
	struct gf_config_target target;
	struct gf_daemon daemon;
	struct gf_watch w;
	struct gf_recorder *r;
	struct gf_sample s;
	char dir[40];
	glob_t found;
};

static void begin(struct rig *g)
{
	static const struct gf_target_ops ops = {
		.kind = "vm", .sample = gf_vm_sample, .set_fields = gf_vm_set_fields, .set_paths = gf_vm_set_paths,
		.describe = gf_vm_describe, .destroy = gf_vm_unmake,
	};
	const struct gf_engine_opts o = { .period_ns = 3600 * SEC, .budget_n = 1, .budget_window_ns = SEC };
	struct gf_fieldset all = gf_fields_of(GF_TARGET_VM);
	struct gf_err err = { "" };
	struct gf_vm *vm;

	memset(g, 0, sizeof *g);
	strcpy(g->dir, "/tmp/gpufas-recorder-XXXXXX");
	assert_non_null(mkdtemp(g->dir));
	g->config = (struct gf_config){
		.recorder_dir = g->dir, .recorder_ticks = true, .recorder_size = 64u << 20, .recorder_interval_ns = 3600 * SEC, .budget_n = 1,
		.budget_window_ns = SEC,
	};
	g->target.kind = GF_TARGET_VM;
	g->target.max_tasks = 256;
	g->w = (struct gf_watch){ .daemon = &g->daemon, .config = &g->target, .name = "g", .period_ns = 3600 * SEC, .policy = policy_of_text("rule a if " MAPS " > 1 then SIGTERM it\n", SEC) };
	g->daemon = (struct gf_daemon){ .config = &g->config, .watch = &g->w, .watches = 1 };
	assert_int_equal(gf_policies_create(&g->w.policies), 0);
	gf_policies_add(g->w.policies, g->w.policy);
	if (gf_vm_make(&(struct gf_vm_opts){ .name = "g", .max_tasks = 256 }, &ops, &vm, &err))
		fail_msg("%s", err.text);
	g->w.target = &vm->t;
	if (gf_engine_create(g->w.target, g->w.policy->img, &o, &g->w.engine, &err) || gf_recorder_create(&g->daemon, &g->r, &err))
		fail_msg("%s", err.text);
	all.paths = 2;
	assert_int_equal(gf_sample_init(&g->s, 256, &err), 0);
	assert_int_equal(gf_sample_set_fields(&g->s, &all, &err), 0);
	g->s.rows = g->s.live = 1;
	g->s.flags[0] = GF_ROW_VALID;
	g->s.pid[0] = 7;
	g->s.parent[0] = GF_NONE;
}

/* A tick of image p, with these in the columns of kernel paths. */
static void tick(struct rig *g, const struct gf_policy *p, uint64_t seq, double path0, double path1, const struct gf_fieldset *has)
{
	g->s.seq = seq;
	g->s.now_ns = seq * SEC;
	g->s.col[GF_TF_COUNT][0] = path0;
	g->s.col[GF_TF_COUNT + 1][0] = path1;
	assert_true(gf_tape_put(g->w.tape, &g->s, 0, p->img->fp, has));
}

static uint64_t first_of(const char *path)
{
	struct gft_reader *r;
	uint64_t ns;

	assert_int_equal(gft_reader_open(path, &r, NULL), 0);
	ns = gft_reader_info(r)->first_ns;
	gft_reader_close(r);
	return ns;
}

static int by_age(const void *a, const void *b)
{
	uint64_t x = first_of(*(char *const *)a), y = first_of(*(char *const *)b);

	return x < y ? -1 : x > y;
}

/* All is written; its files, by their age. */
static void written(struct rig *g, size_t files)
{
	char all[64];

	gf_recorder_destroy(g->r);
	g->r = NULL;
	snprintf(all, sizeof all, "%s/*.gft", g->dir);
	glob(all, 0, NULL, &g->found);
	assert_int_equal(g->found.gl_pathc, files);
	qsort(g->found.gl_pathv, files, sizeof *g->found.gl_pathv, by_age);
}

static void end(struct rig *g)
{
	char cmd[80];

	gf_engine_destroy(g->w.engine);
	gf_tape_destroy(g->w.tape);
	gf_target_destroy(g->w.target);
	gf_policies_destroy(g->w.policies);
	gf_policy_put(g->w.policy);
	gf_sample_deinit(&g->s);
	globfree(&g->found);
	snprintf(cmd, sizeof cmd, "rm -r %s", g->dir);
	assert_int_equal(system(cmd), 0);
}

struct read {
	struct gft_reader *r;
	struct gf_sample s;
};

static void open_file(struct rig *g, size_t i, struct read *ret)
{
	static const char *const path[] = { MAPS, VM };
	struct gf_fieldset f = gf_fields_of(GF_TARGET_VM);
	struct gf_err err = { "" };

	f.paths = 2;
	if (gft_reader_open(g->found.gl_pathv[i], &ret->r, &err) || gft_reader_set_paths(ret->r, path, 2, &err) ||
	    gf_sample_init(&ret->s, 128, &err) || gf_sample_set_fields(&ret->s, &f, &err))
		fail_msg("%s", err.text);
}

static void close_file(struct read *f)
{
	gft_reader_close(f->r);
	gf_sample_deinit(&f->s);
}

/* What the next sample has of MAPS and VM; unknown: it has not. */
static void next_is(struct read *f, uint64_t seq, double maps, double vm)
{
	struct gf_err err = { "" };

	if (gft_reader_next(f->r, &f->s, &err))
		fail_msg("%s", err.text);
	assert_int_equal(f->s.seq, seq);
	assert_true(gf_is_unknown(maps) ? gf_is_unknown(f->s.col[GF_TF_COUNT][0]) : f->s.col[GF_TF_COUNT][0] == maps);
	assert_true(gf_is_unknown(vm) ? gf_is_unknown(f->s.col[GF_TF_COUNT + 1][0]) : f->s.col[GF_TF_COUNT + 1][0] == vm);
}

/* Samples that wait while policies come and go, more of them than the daemon remembers. */
static void forgotten(void **state)
{
	struct gf_policy *b, *other;
	char text[80];
	struct read f;
	struct rig g;

	(void)state;
	begin(&g);
	tick(&g, g.w.policy, 1, 10, 0, NULL);
	b = policy_of_text("rule b if " VM " > 100 and " MAPS " > 1 then SIGTERM it\n", SEC);
	gf_policies_add(g.w.policies, b);
	assert_int_equal(gf_recorder_expect(g.r, 0, b), 0);
	tick(&g, g.w.policy, 2, 11, 0, NULL);
	tick(&g, b, 3, 200, 12, NULL);
	for (int i = 0; i < OTHERS; i++) {
		snprintf(text, sizeof text, "rule o%d if rss > %dMiB then SIGTERM it\n", i, 10 + i);
		other = policy_of_text(text, SEC);
		gf_policies_add(g.w.policies, other);
		assert_int_equal(gf_recorder_expect(g.r, 0, other), 0);
		gf_policy_put(other);
	}
	assert_null(gf_policies_find(g.w.policies, b->img->fp));
	written(&g, 2);
	open_file(&g, 0, &f);
	assert_int_equal(gft_reader_info(f.r)->has.paths, 1);
	next_is(&f, 1, 10, gf_unknown());
	next_is(&f, 2, 11, gf_unknown());
	close_file(&f);
	open_file(&g, 1, &f);
	assert_int_equal(gft_reader_info(f.r)->has.paths, 2);
	next_is(&f, 3, 12, 200);
	close_file(&f);
	gf_policy_put(b);
	end(&g);
}

/* A device takes over, and has what the policy reads; then the CPU again. */
static void by_device(void **state)
{
	const struct gf_fieldset some = { .task = GF_BIT(GF_TF_RSS), .paths = 1 };
	struct read f;
	struct rig g;

	(void)state;
	begin(&g);
	tick(&g, g.w.policy, 1, 10, 0, NULL);
	g.s.col[GF_TF_RSS][0] = 4096;
	tick(&g, g.w.policy, 100, 11, 0, &some);
	tick(&g, g.w.policy, 101, 12, 0, &some);
	tick(&g, g.w.policy, 102, 13, 0, NULL);
	written(&g, 3);
	open_file(&g, 1, &f);
	assert_int_equal(gft_reader_info(f.r)->has.task, some.task);
	assert_int_equal(gft_reader_info(f.r)->has.host, 0);
	assert_int_equal(gft_reader_info(f.r)->has.str, 0);
	assert_non_null(strstr(gft_reader_info(f.r)->road, "ticks of the GPU"));
	next_is(&f, 100, 11, gf_unknown()); /* who counts is another: nothing is missing before it */
	assert_true(f.s.col[GF_TF_RSS][0] == 4096);
	next_is(&f, 101, 12, gf_unknown());
	assert_int_equal(gft_reader_next(f.r, &f.s, NULL), -ENODATA);
	close_file(&f);
	open_file(&g, 2, &f);
	assert_int_not_equal(gft_reader_info(f.r)->has.host, 0);
	close_file(&f);
	end(&g);
}

/* A few ticks that are missing are no matter; over more of them nothing has held. */
static void missing(void **state)
{
	struct gf_err err = { "" };
	struct read f;
	struct rig g;

	(void)state;
	begin(&g);
	tick(&g, g.w.policy, 1, 10, 0, NULL);
	tick(&g, g.w.policy, 4, 11, 0, NULL);
	tick(&g, g.w.policy, 30, 12, 0, NULL);
	tick(&g, g.w.policy, 31, 13, 0, NULL);
	written(&g, 1);
	open_file(&g, 0, &f);
	next_is(&f, 1, 10, gf_unknown());
	next_is(&f, 4, 11, gf_unknown());
	assert_int_equal(gft_reader_next(f.r, &f.s, &err), -EAGAIN);
	assert_non_null(strstr(err.text, "25 ticks are missing"));
	assert_true(f.s.now_ns > 4 * SEC && f.s.now_ns < 30 * SEC);
	next_is(&f, 30, 12, gf_unknown());
	next_is(&f, 31, 13, gf_unknown());
	close_file(&f);
	end(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forgotten),
		cmocka_unit_test(by_device),
		cmocka_unit_test(missing),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
