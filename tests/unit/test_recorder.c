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
#include <fcntl.h>
#include <glob.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
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

static uint64_t interval_ns = 3600 * SEC; /* between two looks of the recorder's thread: by itself it writes at its end */
static uint32_t disk_kib;                 /* of a disk of its own; 0: /tmp */
static uint32_t began, over;              /* what was said of the disk */

void __wrap_gf_reporter_say_of(struct gf_reporter *r, uint32_t target, int level, const char *fmt, ...);

void __wrap_gf_reporter_say_of(struct gf_reporter *r, uint32_t target, int level, const char *fmt, ...)
{
	(void)r;
	(void)target;
	(void)level;
	__atomic_add_fetch(strstr(fmt, "nothing is recorded") ? &began : &over, 1, __ATOMIC_RELAXED);
}

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
	if (disk_kib) {
		char size[32];
		snprintf(size, sizeof size, "size=%uk", disk_kib);
		assert_int_equal(mount("small", g->dir, "tmpfs", 0, size), 0);
	}
	g->config = (struct gf_config){
		.recorder_dir = g->dir, .recorder_ticks = true, .recorder_size = 64u << 20, .recorder_interval_ns = interval_ns, .budget_n = 1,
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
	if (disk_kib)
		umount2(g->dir, MNT_DETACH);
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

static void tell(const char *path, const char *fmt, unsigned n)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return;
	fprintf(f, fmt, n);
	fclose(f);
}

/* Mounts of our own, which end with us. False: we may not. */
static bool own_mounts(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (unshare(CLONE_NEWNS)) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
			return false;
		tell("/proc/self/setgroups", "deny", 0);
		tell("/proc/self/uid_map", "0 %u 1", uid);
		tell("/proc/self/gid_map", "0 %u 1", gid);
	}
	return !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static struct gf_recorder_stats stats_of(struct rig *g)
{
	struct gf_recorder_stats st;

	gf_recorder_stats(g->r, 0, &st);
	return st;
}

/* A tick, and what became of it: true, it is written. */
static bool put_tick(struct rig *g, uint64_t seq)
{
	struct gf_recorder_stats was = stats_of(g), st = was;

	tick(g, g->w.policy, seq, (double)seq, 0, NULL);
	for (int i = 0; i < 20000 && st.failed == was.failed && st.ring.samples == was.ring.samples; i++, st = stats_of(g))
		usleep(1000);
	assert_true(st.failed != was.failed || st.ring.samples != was.ring.samples);
	return st.failed == was.failed;
}

/* What is on a disk that is full for a while is whole, and says that something is missing in between; then it goes on. */
static void full_disk(void **state)
{
	enum { REFUSED = 9 };
	uint64_t seq = 0, last = 0, next;
	uint8_t junk[4096] = { 1 };
	struct gf_err err = { "" };
	struct gf_recorder_stats st;
	char path[64], why[64];
	struct read f;
	struct rig g;
	int fd;

	(void)state;
	if (!own_mounts()) {
		print_message("# no mounts of our own\n");
		skip();
	}
	disk_kib = 512;
	interval_ns = SEC / 100;
	began = over = 0;
	begin(&g);
	while (seq < 3)
		assert_true(put_tick(&g, ++seq));
	snprintf(path, sizeof path, "%s/junk", g.dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	while (write(fd, junk, sizeof junk) > 0)
		;
	/* the page that the file has begun has room for some */
	do {
		last = seq++;
		assert_true(seq < 1000);
	} while (put_tick(&g, seq));
	for (int i = 1; i < REFUSED; i++)
		assert_false(put_tick(&g, ++seq));
	st = stats_of(&g);
	assert_non_null(strstr(st.error, "No space left"));
	assert_int_equal(st.lost, REFUSED);
	assert_int_equal(began, 1);
	assert_int_equal(over, 0);
	close(fd);
	assert_int_equal(unlink(path), 0);
	next = seq + 1;
	for (int i = 0; i < 3; i++)
		assert_true(put_tick(&g, ++seq));
	st = stats_of(&g);
	assert_string_equal(st.error, "");
	assert_int_equal(st.lost, REFUSED);
	assert_int_equal(began, 1);
	assert_int_equal(over, 1);
	written(&g, 1);
	open_file(&g, 0, &f);
	for (uint64_t s = 1; s <= last; s++)
		next_is(&f, s, (double)s, gf_unknown());
	assert_int_equal(gft_reader_next(f.r, &f.s, &err), -EAGAIN);
	snprintf(why, sizeof why, "%d ticks are missing", REFUSED);
	assert_non_null(strstr(err.text, why));
	for (; next <= seq; next++)
		next_is(&f, next, (double)next, gf_unknown());
	assert_int_equal(gft_reader_next(f.r, &f.s, NULL), -ENODATA);
	close_file(&f);
	end(&g);
	disk_kib = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forgotten),
		cmocka_unit_test(by_device),
		cmocka_unit_test(missing),
		cmocka_unit_test(full_disk), /* the last: mounts are ours from then on */
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
