// SPDX-License-Identifier: MIT
/* Sampling from memory that is made up: right where it is right, and bounded where it lies. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gpu/hostfields.h"
#include "gpu/path.h"
#include "targets/vm_int.h"
#include "tests/helpers/fakekernel.h"

static const struct gf_target_ops ops = {
	.kind = "vm", .sample = gf_vm_sample, .set_fields = gf_vm_set_fields, .set_paths = gf_vm_set_paths,
	.describe = gf_vm_describe, .destroy = gf_vm_unmake,
};
static const struct gf_fieldset all = {
	~0ull >> (64 - GF_HF_COUNT), ~0ull >> (64 - GF_TF_COUNT), (1u << GF_SF_COUNT) - 1, 0,
};
static const uint32_t some[GF_RSS_PARTS] = { [GF_RSS_FILE] = 100, [GF_RSS_ANON] = 200, [GF_RSS_SWAP] = 30, [GF_RSS_SHMEM] = 4 };

static struct gf_vm *make_vm(struct fake *f, uint32_t max_tasks)
{
	struct gf_err err = { "" };
	struct gf_vm *vm;

	assert_int_equal(gf_vm_make(&(struct gf_vm_opts){ .name = "g", .max_tasks = max_tasks }, &ops, &vm, &err), 0);
	gf_vm_publish(vm, fake_guest(f));
	assert_int_equal(gf_target_set_fields(&vm->t, &all, &err), 0);
	return vm;
}

static uint32_t row_of(const struct gf_vm *vm, int32_t pid)
{
	const struct gf_sample *s = &vm->t.sample;

	for (uint32_t i = 0; i < s->rows; i++)
		if (s->flags[i] && s->pid[i] == pid)
			return i;
	return GF_NONE;
}

static double col(const struct gf_vm *vm, int32_t pid, int field)
{
	uint32_t row = row_of(vm, pid);

	assert_int_not_equal(row, GF_NONE);
	return vm->t.sample.col[field][row];
}

static void assert_string(const struct gf_vm *vm, int32_t pid, int field, const char *want)
{
	uint32_t row = row_of(vm, pid);

	assert_int_not_equal(row, GF_NONE);
	const struct gf_strref *s = &vm->t.sample.str[field][row];
	assert_true(s->ver);
	assert_int_equal(s->len, strlen(want));
	assert_memory_equal(s->p, want, s->len);
}

static struct fake *new_fake(void)
{
	struct fake *f = fake_new(8u << 20, 42, 0);

	fake_process(f, 1, "init", some);
	fake_process(f, 2, "kthreadd", NULL);
	return f;
}

static void done(struct gf_vm *vm, struct fake *f)
{
	gf_target_destroy(&vm->t);
	fake_free(f);
}

/* ---- what is right ---------------------------------------------------------- */

static void test_columns(void **state)
{
	struct fake *f = new_fake();
	struct fake_task g = fake_process(f, 700000, "worker", some);
	const struct gf_layout_task *o = &f->l.task;

	for (uint32_t i = 1; i <= 3; i++)
		fake_thread(f, &g, 700000 + i, 700000);
	w32(f, g.task + o->static_prio, 115);
	w16(f, g.signal + f->l.signal.oom_score_adj, (uint16_t)-1000);
	w32(f, g.task + o->self_exec_id, 3);
	struct gf_vm *vm = make_vm(f, 128);
	assert_int_equal(gf_target_sample(&vm->t, NULL), 0);
	const struct gf_sample *s = &vm->t.sample;
	assert_int_equal(s->live, 3);
	assert_int_equal(s->flags[row_of(vm, 1)], GF_ROW_VALID | GF_ROW_INIT);
	assert_int_equal(s->flags[row_of(vm, 2)], GF_ROW_VALID | GF_ROW_KTHREAD);
	assert_int_equal(s->flags[row_of(vm, 700000)], GF_ROW_VALID | GF_ROW_OOM_IMMUNE);
	assert_int_equal(s->parent[row_of(vm, 700000)], row_of(vm, 1));
	assert_int_equal(s->uid[row_of(vm, 700000)], 1000);
	assert_string(vm, 700000, GF_SF_COMM, "worker");
	/* Each counter: the word, which is 5 more, and -5 in the CPUs' parts. */
	assert_true(col(vm, 700000, GF_TF_RSS) == 304 * 4096.0);
	assert_true(col(vm, 700000, GF_TF_ANON) == 200 * 4096.0);
	assert_true(col(vm, 700000, GF_TF_SWAP) == 30 * 4096.0);
	assert_true(col(vm, 700000, GF_TF_VSZ) == 404 * 4096.0);
	assert_true(col(vm, 700000, GF_TF_THREADS) == 4);
	assert_true(col(vm, 700000, GF_TF_CPUTIME) == 4 * 1000000 + 500);
	assert_true(col(vm, 700000, GF_TF_UTIME) + col(vm, 700000, GF_TF_STIME) == 4 * 1000000 + 500);
	assert_true(col(vm, 700000, GF_TF_STIME) == 1000125);
	assert_true(col(vm, 700000, GF_TF_MINFLT) == 40);
	assert_true(col(vm, 700000, GF_TF_FDS) == 4);
	assert_true(col(vm, 700000, GF_TF_NICE) == -5);
	assert_true(col(vm, 700000, GF_TF_PRIO) == 20);
	assert_true(col(vm, 700000, GF_TF_STATE) == 'S');
	assert_true(col(vm, 700000, GF_TF_PPID) == 1);
	assert_true(col(vm, 700000, GF_TF_PGRP) == 700000);
	assert_true(col(vm, 700000, GF_TF_OOM_SCORE_ADJ) == -1000);
	assert_true(col(vm, 700000, GF_TF_OOM_SCORE) == 0);
	assert_true(col(vm, 1, GF_TF_CHILDREN) == 2);
	assert_true(col(vm, 700000, GF_TF_AGE) == 5000000000000.0 - 1000700000.0);
	assert_true(col(vm, 2, GF_TF_RSS) == 0);
	assert_true(s->host[GF_HF_TASKS_COUNT] == 3);
	assert_true(s->host[GF_HF_CPU_COUNT] == 2);
	assert_true(s->now_ns == 5000000000000ull);
	done(vm, f);
	(void)state;
}

static void test_atomic_counters(void **state)
{
	struct fake *f = new_fake();

	f->l.mm.rss_kind = GF_RSS_ATOMIC;
	struct gf_vm *vm = make_vm(f, 128);
	assert_int_equal(gf_target_sample(&vm->t, NULL), 0);
	assert_true(col(vm, 1, GF_TF_RSS) == (304 + 15) * 4096.0);
	assert_true(col(vm, 1, GF_TF_SHMEM) == 9 * 4096.0);
	done(vm, f);
	(void)state;
}

static void test_dead_leader(void **state)
{
	struct fake *f = new_fake();
	struct fake_task g = fake_process(f, 50, "half", some), z = fake_process(f, 51, "zombie", NULL);

	fake_thread(f, &g, 60, 50);
	w32(f, g.task + f->l.task.flags, GF_PF_EXITING);
	w32(f, g.task + f->l.task.exit_state, 0x20);
	w64(f, g.task + f->l.task.mm, 0);
	w32(f, z.task + f->l.task.flags, GF_PF_EXITING);
	w32(f, z.task + f->l.task.exit_state, 0x20);
	w32(f, z.signal + f->l.signal.live, 0);
	struct gf_vm *vm = make_vm(f, 128);
	assert_int_equal(gf_target_sample(&vm->t, NULL), 0);
	/* Its threads live: a process, with the memory that they have. */
	assert_int_equal(vm->t.sample.flags[row_of(vm, 50)], GF_ROW_VALID);
	assert_true(col(vm, 50, GF_TF_STATE) == 'Z');
	assert_true(col(vm, 50, GF_TF_RSS) == 304 * 4096.0);
	assert_int_equal(vm->t.sample.flags[row_of(vm, 51)], GF_ROW_VALID | GF_ROW_EXITING);
	assert_true(col(vm, 51, GF_TF_RSS) == 0);
	done(vm, f);
	(void)state;
}

static void test_strings(void **state)
{
	struct fake *f = new_fake();
	struct fake_task g = fake_process(f, 9, "sshd", some);
	uint64_t slice = fake_kernfs(f, f->root_kn, "system.slice"), usr = fake_dentry(f, f->root_dentry, "usr"), mounted = fake_alloc(f, 0x100);
	uint64_t fs_root = fake_dentry(f, 0, "/"), file = fake_alloc(f, 0x80);
	const struct gf_layout_path *o = &f->l.path;
	char name[] = "x";

	w64(f, g.task + f->l.task.cgroups, fake_css(f, fake_kernfs(f, slice, "ssh.service")));
	w64(f, g.mm + f->l.mm.pgd, fake_user(f, "sshd\0-D\0-p 22\0\0", 15));
	w64(f, g.mm + f->l.mm.arg_start, 4u << 20);
	w64(f, g.mm + f->l.mm.arg_end, (4u << 20) + 15);
	/* /usr is a file system of its own. */
	w64(f, mounted + o->mount_parent, f->mount);
	w64(f, mounted + o->mount_point, usr);
	w64(f, mounted + o->mount_vfs + o->vfs_root, fs_root);
	w64(f, file + o->file_path + o->path_mnt, mounted + o->mount_vfs);
	w64(f, file + o->file_path + o->path_dentry, fake_dentry(f, fake_dentry(f, fs_root, "sbin"), "sshd"));
	w64(f, g.mm + f->l.mm.exe_file, file);
	struct gf_vm *vm = make_vm(f, 128);
	assert_int_equal(gf_target_sample(&vm->t, NULL), 0);
	assert_string(vm, 9, GF_SF_CGROUP, "/system.slice/ssh.service");
	assert_string(vm, 9, GF_SF_EXE, "/usr/sbin/sshd");
	assert_string(vm, 9, GF_SF_CMDLINE, "sshd -D -p 22");
	assert_string(vm, 1, GF_SF_CGROUP, "/");
	assert_string(vm, 2, GF_SF_CMDLINE, "");
	uint32_t ver = vm->t.sample.str[GF_SF_CGROUP][row_of(vm, 9)].ver, exe = vm->t.sample.str[GF_SF_EXE][row_of(vm, 9)].ver;
	assert_int_equal(gf_target_sample(&vm->t, NULL), 0);
	assert_int_equal(vm->t.sample.str[GF_SF_CGROUP][row_of(vm, 9)].ver, ver);
	/* Moved: read again. Another program: exe and cmdline. */
	w64(f, g.task + f->l.task.cgroups, fake_css(f, slice));
	w32(f, g.task + f->l.task.self_exec_id, 2);
	w64(f, file + o->file_path + o->path_dentry, fake_dentry(f, fs_root, name));
	assert_int_equal(gf_target_sample(&vm->t, NULL), 0);
	assert_string(vm, 9, GF_SF_CGROUP, "/system.slice");
	assert_string(vm, 9, GF_SF_EXE, "/usr/x");
	assert_int_not_equal(vm->t.sample.str[GF_SF_EXE][row_of(vm, 9)].ver, exe);
	done(vm, f);
	(void)state;
}

static void test_thousands(void **state)
{
	const uint32_t n = 5000;
	struct fake *f = fake_new(128u << 20, 7, 0);
	uint8_t *used = calloc(1, GF_PID_LIMIT);
	uint32_t made = 1;

	fake_process(f, 1, "init", some);
	used[0] = used[1] = 1;
	while (made < n) {
		uint32_t pid = 1 + (uint32_t)(fake_rand(f) % (GF_PID_LIMIT - 1));
		if (made % 2)
			pid = pid % 8192 + 1; /* crowded leaves, too */
		if (used[pid])
			continue;
		used[pid] = 1;
		fake_process(f, pid, "p", made % 7 ? some : NULL);
		made++;
	}
	struct gf_vm *vm = make_vm(f, 8192);
	assert_int_equal(gf_target_sample(&vm->t, NULL), 0);
	assert_int_equal(vm->t.sample.live, n);
	assert_int_equal(vm->t.sample.dropped, 0);
	for (uint32_t i = 0; i < vm->t.sample.rows; i++) {
		assert_true(used[vm->t.sample.pid[i]]);
		assert_false(vm->t.sample.flags[i] & GF_ROW_TORN);
	}
	gf_target_destroy(&vm->t);
	/* A table that is too small says how many it lacks. */
	vm = make_vm(f, 1024);
	assert_int_equal(gf_target_sample(&vm->t, NULL), 0);
	assert_int_equal(vm->t.sample.live, 1024);
	assert_int_equal(vm->t.sample.dropped, n - 1024);
	free(used);
	done(vm, f);
	(void)state;
}

/* ---- what is torn, or lies -------------------------------------------------- */

static void test_empty(void **state)
{
	struct fake *f = fake_new(1u << 20, 1, 0);
	struct gf_vm *vm = make_vm(f, 128);
	struct gf_err err = { "" };

	assert_int_equal(gf_target_sample(&vm->t, &err), -EBADMSG);
	assert_int_equal(vm->t.sample.live, 0);
	gf_target_destroy(&vm->t);
	/* Processes, but not the first. */
	fake_process(f, 1, "init", some);
	fake_process(f, 77, "x", some);
	w64(f, r64(f, f->l.init_pid_ns + f->l.xa.head) - 2 + f->l.xa.slots, 0);
	vm = make_vm(f, 128);
	assert_int_equal(gf_target_sample(&vm->t, &err), -EBADMSG);
	done(vm, f);
	(void)state;
}

static void test_torn(void **state)
{
	struct fake *f = new_fake();
	struct fake_task busy = fake_process(f, 10, "busy", some), gone = fake_process(f, 11, "gone", some),
			 other = fake_process(f, 12, "other", some), cycle = fake_process(f, 13, "cycle", some);

	/* A thread is dying just now, for ever. */
	w32(f, busy.signal + f->l.signal.stats_seq, 3);
	/* Its pid leads to a task that has another by now. */
	w64(f, gone.task + f->l.task.thread_pid, 0);
	w64(f, other.task + f->l.task.group_leader, busy.task);
	/* Pids that are none, where the tree has them. */
	fake_tree_put(f, 20, FAKE_DIRECT + f->size);
	fake_tree_put(f, 21, 0x1000);
	fake_tree_put(f, 22, busy.mm);
	/* Threads in a ring that does not come back to the head. */
	uint64_t t = fake_thread(f, &cycle, 14, 13);
	w64(f, t + f->l.task.thread_node, t + f->l.task.thread_node);
	struct gf_vm *vm = make_vm(f, 128);
	assert_int_equal(gf_target_sample(&vm->t, NULL), 0);
	assert_true(vm->t.sample.flags[row_of(vm, 10)] & GF_ROW_TORN);
	assert_true(gf_is_unknown(col(vm, 10, GF_TF_CPUTIME)));
	assert_true(col(vm, 10, GF_TF_RSS) == 304 * 4096.0);
	assert_int_equal(row_of(vm, 11), GF_NONE);
	assert_int_equal(row_of(vm, 12), GF_NONE);
	assert_true(vm->t.sample.flags[row_of(vm, 13)] & GF_ROW_TORN);
	assert_false(vm->t.sample.flags[row_of(vm, 1)] & GF_ROW_TORN);
	/* It has come to itself: the same row, whole. */
	w32(f, busy.signal + f->l.signal.stats_seq, 4);
	assert_int_equal(gf_target_sample(&vm->t, NULL), 0);
	assert_false(vm->t.sample.flags[row_of(vm, 10)] & GF_ROW_TORN);
	assert_true(col(vm, 10, GF_TF_CPUTIME) == 1000500);
	done(vm, f);
	(void)state;
}

/* A tree that leads back into itself, and one whose nodes are not its own: the pass fails and nobody is freed. */
static void test_tree(void **state)
{
	struct fake *f = new_fake();
	uint64_t head = f->l.init_pid_ns + f->l.xa.head, root = r64(f, head) - 2, slots = f->l.xa.slots;
	struct gf_err err = { "" };

	fake_process(f, 100000, "far", some);
	struct gf_vm *vm = make_vm(f, 128);
	assert_int_equal(gf_target_sample(&vm->t, NULL), 0);
	uint32_t row = row_of(vm, 100000), gen = vm->t.sample.gen[row];
	uint64_t far = r64(f, root + slots), bad[] = { root + 2, 0xffff888000001002ull, 0x1002, ~1ull, (256u << 2 | 2), head };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		w64(f, root + slots + 8, bad[i]);
		assert_int_equal(gf_target_sample(&vm->t, &err), -EAGAIN);
		assert_int_equal(row_of(vm, 100000), row);
		assert_true(vm->t.sample.flags[row] & GF_ROW_TORN);
	}
	w64(f, root + slots + 8, 0);
	/* Every slot of the first leaf's parent leads to the same leaf. */
	uint64_t mid = far - 2;
	for (uint32_t i = 1; i < 64 && i != 100000 >> 12; i++)
		w64(f, mid + slots + 8 * i, r64(f, mid + slots));
	assert_int_equal(gf_target_sample(&vm->t, NULL), 0);
	assert_int_equal(vm->t.sample.gen[row], gen);
	assert_int_equal(vm->t.sample.live, 3);
	done(vm, f);
	(void)state;
}

static void test_string_cycles(void **state)
{
	struct fake *f = new_fake();
	struct fake_task g = fake_process(f, 9, "x", some);
	uint64_t a = fake_kernfs(f, f->root_kn, "a"), d = fake_dentry(f, f->root_dentry, "d"), file = fake_alloc(f, 0x80);
	const struct gf_layout_path *o = &f->l.path;
	char buf[4096];
	uint32_t len = 0;

	w64(f, a + o->kn_parent, a);
	w64(f, g.task + f->l.task.cgroups, fake_css(f, a));
	uint64_t e = fake_dentry(f, d, "e");
	w64(f, d + o->dentry_parent, e);
	w64(f, file + o->file_path + o->path_mnt, f->mount + o->mount_vfs);
	w64(f, file + o->file_path + o->path_dentry, d);
	w64(f, g.mm + f->l.mm.exe_file, file);
	w64(f, g.mm + f->l.mm.arg_start, 0x1000);
	w64(f, g.mm + f->l.mm.arg_end, ~0ull);
	struct gf_vm *vm = make_vm(f, 128);
	assert_int_equal(gf_target_sample(&vm->t, NULL), 0);
	for (int i = GF_SF_EXE; i <= GF_SF_CGROUP; i++)
		assert_int_equal(vm->t.sample.str[i][row_of(vm, 9)].ver, 0);
	/* A name without an end, and a path of more than its buffer. */
	memset(fake_at(f, r64(f, a + o->kn_name)), 'n', 300);
	w64(f, a + o->kn_parent, f->root_kn);
	assert_int_equal(gf_kernfs_path(&f->k->mem, &f->l, a, buf, sizeof buf, &len), -1);
	uint64_t deep = f->root_kn;
	for (int i = 0; i < 100; i++)
		deep = fake_kernfs(f, deep, "0123456789012345678901234567890123456789");
	assert_int_equal(gf_kernfs_path(&f->k->mem, &f->l, deep, buf, 4095, &len), -1);
	assert_int_equal(gf_kernfs_path(&f->k->mem, &f->l, deep, buf, 4100 > sizeof buf ? sizeof buf : 4100, &len), -1);
	done(vm, f);
	(void)state;
}

/* Any word of memory may be anything: it ends, it stays inside (SAN=1 sees to that), and whoever is not
 * concerned is still there. */
static void test_wild(void **state)
{
	struct fake *f = new_fake();
	const uint64_t kinds[] = { 0, ~0ull, 1, 0x1234, 0xffff888000000001ull, FAKE_DIRECT + (8u << 20) - 8, FAKE_DIRECT + (8u << 20),
				   0x00007fff12345678ull, 0xffffc90000000ff8ull, 0xdead000000000100ull, 1ull << 63 };
	struct gf_err err;
	uint32_t whole = 0, seen = 0;

	for (uint32_t i = 0; i < 40; i++) {
		struct fake_task g = fake_process(f, 100 + i * 37, "t", i % 5 ? some : NULL);
		for (uint32_t j = 0; j < i % 4; j++)
			fake_thread(f, &g, 5000 + i * 4 + j, 100 + i * 37);
		w64(f, g.task + f->l.task.cgroups, fake_css(f, fake_kernfs(f, fake_kernfs(f, f->root_kn, "s"), "t")));
	}
	uint64_t used = f->next;
	uint8_t *saved = malloc(used);
	memcpy(saved, f->ram, used);
	struct gf_vm *vm = make_vm(f, 128);
	for (int round = 0; round < 3000; round++) {
		uint32_t n = 1u << fake_rand(f) % 8;
		for (uint32_t i = 0; i < n; i++) {
			uint64_t at = fake_rand(f) % used / 8 * 8, v = fake_rand(f);
			uint64_t r = fake_rand(f) % 4;
			if (r == 0)
				v = kinds[v % (sizeof kinds / sizeof *kinds)];
			else if (r == 1)
				v = FAKE_DIRECT + v % used / 8 * 8;
			else if (r == 2)
				v = r64(f, FAKE_DIRECT + v % used / 8 * 8);
			/* Memory of zeros is not looked at: what matters is what something points to. */
			for (int look = 0; look < 16 && !r64(f, FAKE_DIRECT + at); look++)
				at = fake_rand(f) % used / 8 * 8;
			w64(f, FAKE_DIRECT + at, v);
		}
		err.text[0] = 0;
		int e = gf_target_sample(&vm->t, &err);
		whole += !e;
		seen += vm->t.sample.live;
		assert_true(!e || err.text[0]);
		assert_true(vm->t.sample.live <= 128);
		if (round % 3 == 2)
			memcpy(f->ram, saved, used);
	}
	memcpy(f->ram, saved, used);
	assert_int_equal(gf_target_sample(&vm->t, &err), 0);
	assert_int_equal(vm->t.sample.live, 42);
	assert_true(whole > 300 && seen > 3000 * 20);
	free(saved);
	done(vm, f);
	(void)state;
}

/* ---- guests that come and go ------------------------------------------------ */

static void test_guests(void **state)
{
	struct fake *f = new_fake(), *h = new_fake();
	struct gf_vm *vm = make_vm(f, 128);
	struct gf_err err = { "" };
	struct gf_guest *g;

	fake_process(f, 5, "old", some);
	fake_clock(h, 9000000000ull);
	fake_process(h, 5, "new", some);
	assert_int_equal(gf_target_sample(&vm->t, NULL), 0);
	uint32_t gen = vm->t.sample.gen[row_of(vm, 5)];
	g = gf_vm_guest(&vm->t, &err);
	assert_non_null(g);
	assert_int_equal(g->boot, 1);
	gf_vm_publish(vm, fake_guest(h));
	assert_false(gf_vm_reap(vm)); /* we still have it */
	gf_guest_put(g);
	atomic_store(&vm->sampling, g);
	assert_false(gf_vm_reap(vm)); /* the engine still looks at it */
	atomic_store(&vm->sampling, NULL);
	assert_true(gf_vm_reap(vm));
	/* The same pid and start time, yet another process. */
	assert_int_equal(gf_target_sample(&vm->t, NULL), 0);
	assert_int_not_equal(vm->t.sample.gen[row_of(vm, 5)], gen);
	assert_true(vm->t.sample.now_ns == 9000000000ull);
	assert_string(vm, 5, GF_SF_COMM, "new");
	/* What was decided on before is not for it. */
	struct gf_verdict v = { .pid = 5, .action = GF_ACT_SIGNAL, .arg = 9, .epoch = 1 };
	struct gf_event_member m;
	assert_int_equal(vm->t.sample.epoch, 2);
	assert_int_equal(gf_vm_act(&vm->t, &v, GF_HAND_AUTO, 0, &m, NULL), -ESRCH);
	assert_int_equal(m.why, GF_REF_REBOOTED);
	v.epoch = 2;
	gf_vm_act(&vm->t, &v, GF_HAND_AUTO, 0, &m, NULL);
	assert_int_not_equal(m.why, GF_REF_REBOOTED);
	v.action = GF_ACT_RESET;
	v.epoch = 1;
	assert_int_equal(gf_vm_act(&vm->t, &v, GF_HAND_AUTO, 0, &m, NULL), -ESRCH);
	/* Paused, then gone: no sample, nobody fit to be acted on. */
	atomic_store(&vm->paused, true);
	assert_int_equal(gf_target_sample(&vm->t, &err), -EAGAIN);
	assert_true(vm->t.sample.flags[row_of(vm, 5)] & GF_ROW_TORN);
	atomic_store(&vm->paused, false);
	assert_int_equal(gf_target_sample(&vm->t, NULL), 0);
	gf_vm_set_state(vm, ENOLINK, "QEMU is not running");
	gf_vm_retire(vm);
	assert_true(gf_vm_reap(vm));
	assert_int_equal(gf_target_sample(&vm->t, &err), -ENOLINK);
	assert_string_equal(err.text, "QEMU is not running");
	assert_null(gf_vm_guest(&vm->t, &err));
	assert_true(gf_is_unknown(vm->t.sample.host[GF_HF_MEM_TOTAL]));
	fake_free(h);
	done(vm, f);
	(void)state;
}

static void test_clock(void **state)
{
	struct gf_clock c = { 0 };
	struct gf_clock_now n = { .boot_ns = 1000, .jiffies = 1 };
	uint64_t stalled;

	assert_int_equal(gf_clock_tick(&c, 500, &n, 0, &stalled), 1000);
	assert_int_equal(stalled, 0);
	/* It stands: time goes on, and it is said for how long. */
	assert_int_equal(gf_clock_tick(&c, 700, &n, 0, &stalled), 1200);
	assert_int_equal(stalled, 200);
	assert_int_equal(gf_clock_tick(&c, 900, &n, 1, &stalled), 1400);
	assert_int_equal(stalled, 0); /* it idles */
	/* Behind: never back. Ahead: forward, and on from there. */
	n.boot_ns = 1100;
	assert_int_equal(gf_clock_tick(&c, 950, &n, 0, &stalled), 1450);
	n.boot_ns = 5000;
	assert_int_equal(gf_clock_tick(&c, 1000, &n, 0, &stalled), 5000);
	assert_int_equal(gf_clock_tick(&c, 1100, &n, 0, &stalled), 5100);
	/* Only its jiffies move. */
	n.jiffies = 2;
	assert_int_equal(gf_clock_tick(&c, 1200, &n, 0, &stalled), 5200);
	assert_int_equal(stalled, 0);
	gf_clock_resume(&c, 9000);
	assert_int_equal(gf_clock_tick(&c, 9100, &n, 0, &stalled), 5300);
	assert_int_equal(stalled, 100);
	(void)state;
}

static void test_clock_read(void **state)
{
	struct fake *f = new_fake();
	struct gf_clock_now n;

	w64(f, f->l.clock.timekeeper + 24, 1000);
	gf_clock_read(&f->k->mem, &f->l, &n);
	assert_true(n.mono_ns == 5000000000000ull && n.boot_ns == n.mono_ns + 1000);
	w32(f, f->l.clock.seq, 1); /* in the middle of an update, for ever */
	gf_clock_read(&f->k->mem, &f->l, &n);
	assert_true(n.boot_ns == 5000000001000ull);
	w32(f, f->l.clock.timekeeper + 16, 64);
	gf_clock_read(&f->k->mem, &f->l, &n);
	assert_true(n.boot_ns == 0);
	fake_free(f);
	(void)state;
}

/* ---- host fields ------------------------------------------------------------ */

static void test_available(void **state)
{
	struct fake *f = new_fake();
	struct gf_layout_host *o = &f->l.host;
	const int64_t pages[GF_NS_COUNT] = { [GF_NS_ACTIVE_FILE] = 1000, [GF_NS_INACTIVE_FILE] = 500, [GF_NS_SLAB_RECLAIMABLE] = 300,
					     [GF_NS_SLAB_UNRECLAIMABLE] = 70, [GF_NS_FILE_PAGES] = 1700, [GF_NS_FILE_DIRTY] = 9,
					     [GF_NS_MISC_RECLAIMABLE] = 20, [GF_NS_SWAPCACHE] = 11 };
	struct gf_cpus c = { 0 };
	struct gf_host_state s = { 0 };
	double h[GF_HF_COUNT];

	o->node_stat = fake_alloc(f, 512);
	o->zone_stat = fake_alloc(f, 512);
	for (uint32_t i = 0; i < GF_NS_COUNT; i++) {
		o->ns[i] = i + 3;
		w64(f, o->node_stat + 8 * (i + 3), (uint64_t)pages[i]);
	}
	o->free_pages = 0;
	w64(f, o->zone_stat, 10000);
	o->totalreserve = fake_alloc(f, 64);
	w64(f, o->totalreserve, 700);
	/* Two nodes, of which one is there, with two zones. */
	o->node_data = fake_alloc(f, 64);
	o->node_online = fake_alloc(f, 64);
	o->max_nodes = 64;
	o->zones_off = 64;
	o->zones = 2;
	o->zone_size = 128;
	o->zone_wmark_low = 8;
	o->zone_boost = 32;
	uint64_t node = fake_alloc(f, 512);
	w64(f, o->node_online, 2);
	w64(f, o->node_data + 8, node);
	w64(f, node + 64 + 8, 100);
	w64(f, node + 64 + 128 + 8, 30);
	w64(f, node + 64 + 128 + 32, 5);
	assert_int_equal(gf_cpus_read(&f->k->mem, &f->l, &c), 0);
	gf_host_fields_walk(&f->k->mem, &f->l, &c, &s, GF_HF_MEM, 1, 1, h);
	/* 10000 - 700 + (1500 - 135) + (320 - 135) */
	assert_true(h[GF_HF_MEM_AVAILABLE] == 10850 * 4096.0);
	assert_true(h[GF_HF_MEM_SLAB] == 370 * 4096.0);
	assert_true(h[GF_HF_MEM_DIRTY] == 9 * 4096.0);
	assert_true(h[GF_HF_MEM_TOTAL] == 250000 * 4096.0);
	assert_true(gf_is_unknown(h[GF_HF_MEM_CACHED])); /* no block devices known */
	/* Block devices' own pages are not cached files; a ring of them that never ends is unknown. */
	uint64_t sb = fake_alloc(f, 64), inode[2], mapping = fake_alloc(f, 64);
	o->blockdev_super = fake_alloc(f, 64);
	o->sb_inodes = 16;
	o->inode_sb_list = 32;
	o->inode_mapping = 8;
	o->mapping_nrpages = 0;
	w64(f, o->blockdev_super, sb);
	w64(f, mapping, 40);
	fake_list(f, sb + 16);
	for (int i = 0; i < 2; i++) {
		inode[i] = fake_alloc(f, 64);
		w64(f, inode[i] + 8, mapping);
		fake_list_add(f, sb + 16, inode[i] + 32);
	}
	assert_int_equal(gf_hf_cached(&(struct gf_host_mem){ &f->k->mem, NULL, 0, 0 }, &f->l), 1700 - 11 - 80);
	w64(f, inode[1] + 32, inode[0] + 32);
	assert_int_equal(gf_hf_cached(&(struct gf_host_mem){ &f->k->mem, NULL, 0, 0 }, &f->l), -1);
	fake_free(f);
	(void)state;
}

static void test_psi(void **state)
{
	struct fake *f = new_fake();
	struct gf_layout_host *o = &f->l.host;
	struct gf_host_state s = { .idle = 1 };
	double h[GF_HF_COUNT];

	o->psi = fake_alloc(f, 256);
	o->psi_updated = 0;
	for (uint32_t i = 0; i < GF_PSI_STATES; i++)
		o->psi_avg[i] = 8 + 24 * i;
	w64(f, o->psi, 77);
	w64(f, o->psi + 8 + 24 * 3, 50 * 2048); /* memory, full, 10 s */
	for (int i = 0; i < GF_HF_COUNT; i++)
		h[i] = gf_unknown();
	gf_hf_psi(&(struct gf_host_mem){ &f->k->mem, NULL, 0, 0 }, &f->l, &s, 1000000000, h);
	assert_true(h[GF_HF_PSI_MEM_FULL_10] == 50);
	assert_true(h[GF_HF_PSI_CPU_FULL_10] == 0);
	/* It idles, and has not looked for 20 s: nine periods, e^(-18/10) of it is left. */
	gf_hf_psi(&(struct gf_host_mem){ &f->k->mem, NULL, 0, 0 }, &f->l, &s, 21000000000ull, h);
	assert_true(h[GF_HF_PSI_MEM_FULL_10] > 8 && h[GF_HF_PSI_MEM_FULL_10] < 8.5);
	/* It does not idle: what it said last stands. */
	s.idle = 0;
	gf_hf_psi(&(struct gf_host_mem){ &f->k->mem, NULL, 0, 0 }, &f->l, &s, 21000000000ull, h);
	assert_true(h[GF_HF_PSI_MEM_FULL_10] == 50);
	/* Switched off. */
	o->psi_disabled = fake_alloc(f, 64);
	w32(f, o->psi_disabled, 1);
	h[GF_HF_PSI_MEM_FULL_10] = gf_unknown();
	gf_hf_psi(&(struct gf_host_mem){ &f->k->mem, NULL, 0, 0 }, &f->l, &s, 21000000000ull, h);
	assert_true(gf_is_unknown(h[GF_HF_PSI_MEM_FULL_10]));
	fake_free(f);
	(void)state;
}

static void test_idle(void **state)
{
	struct fake *f = new_fake();
	struct gf_layout_host *o = &f->l.host;
	struct gf_cpus c = { 0 };

	o->runqueues = 64; /* per-CPU: in the page of each */
	fake_vpage(f);
	o->rq_running = 0;
	o->rq_curr = 8;
	o->rq_idle = 16;
	assert_int_equal(gf_cpus_read(&f->k->mem, &f->l, &c), 0);
	assert_int_equal(c.online, 2);
	for (uint32_t i = 0; i < FAKE_CPUS; i++) {
		uint8_t *rq = fake_vat(f, FAKE_VMALLOC + i * 4096 + 64);
		memset(rq, 0, 24);
		rq[8] = rq[16] = 5;
	}
	assert_int_equal(gf_cpus_idle(&f->k->mem, &f->l, &c), 1);
	*fake_vat(f, FAKE_VMALLOC + 4096 + 64) = 1;
	assert_int_equal(gf_cpus_idle(&f->k->mem, &f->l, &c), 0);
	assert_true(gf_hf_cpus(&f->k->mem, &c, o->runqueues, o->rq_running, 4, 1) == 1);
	/* That CPU goes offline. */
	w64(f, f->l.cpu_online, 1);
	assert_int_equal(gf_cpus_read(&f->k->mem, &f->l, &c), 0);
	assert_int_equal(gf_cpus_idle(&f->k->mem, &f->l, &c), 1);
	w64(f, f->l.cpu_online, 0);
	assert_int_equal(gf_cpus_read(&f->k->mem, &f->l, &c), -1);
	fake_free(f);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns), cmocka_unit_test(test_atomic_counters), cmocka_unit_test(test_dead_leader),
		cmocka_unit_test(test_strings), cmocka_unit_test(test_thousands), cmocka_unit_test(test_empty), cmocka_unit_test(test_torn),
		cmocka_unit_test(test_tree), cmocka_unit_test(test_string_cycles), cmocka_unit_test(test_wild), cmocka_unit_test(test_guests),
		cmocka_unit_test(test_clock), cmocka_unit_test(test_clock_read), cmocka_unit_test(test_available), cmocka_unit_test(test_psi),
		cmocka_unit_test(test_idle),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
