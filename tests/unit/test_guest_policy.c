/* SPDX-License-Identifier: MIT
 *
 * What policies for guests do: kernel paths in conditions, limits with their amounts,
 * and that what was done is undone whatever becomes of the rule.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "targets/btf.h"
#include "tests/unit/imagetext.h"
#include "tests/unit/world.h"

static void begin_vm(struct world *w, const char *policy)
{
	begin_for(w, policy, 60, GF_TARGET_VM);
}

/* Value of the path, by its text as the target was given it. */
static double *at_path(struct world *w, const char *text, uint32_t row)
{
	for (size_t k = 0; k < w->f->paths; k++)
		if (strcmp(w->f->path[k], text) == 0)
			return &w->f->t.sample.col[GF_TF_COUNT + k][row];
	fail_msg("the target was not told of %s", text);
	return NULL;
}

#define MAPS "task->mm->map_count"
#define RLIM "task->signal->rlim[7].rlim_cur"

static struct gf_image_header *compiled(const char *policy)
{
	return image_of_text(policy, GF_TARGET_VM, S, NULL);
}

static void a_path_is_a_field(void **state)
{
	struct world w;

	(void)state;
	begin_vm(&w, "if " MAPS " > 60000 and " RLIM " < 100 and " MAPS " < 70000 then SIGTERM largest by " MAPS);
	assert_int_equal(w.f->paths, 2);
	assert_int_equal(w.f->paths_set, 1);
	assert_int_equal(w.f->fields.paths, 2);
	for (uint32_t i = 0; i < 3; i++) {
		task(&w, i, i == 0 ? "a" : i == 1 ? "b" : "c", MiB);
		*at_path(&w, RLIM, i) = 50;
	}
	QUIET(&w, 2); /* unknown: nobody has so many */
	*at_path(&w, MAPS, 0) = 60001;
	*at_path(&w, MAPS, 1) = 60002;
	*at_path(&w, MAPS, 2) = 80000;
	EXPECT(&w, "TERM b");
	gone(&w, 1);
	*at_path(&w, RLIM, 0) = gf_unknown();
	QUIET(&w, 2);
	*at_path(&w, RLIM, 0) = 99;
	EXPECT(&w, "TERM a");
	end(&w);
}

static void paths_over_time_and_tasks(void **state)
{
	struct world w;

	(void)state;
	begin_vm(&w, "if rate(" MAPS ", 2s) > 10/s then SIGTERM it\n"
		     "if sum(" MAPS " where available(" MAPS ")) > 1000 then SIGUSR1 newest\n"
		     "if tree(" MAPS ") > 900 then log oldest notify \"{" MAPS "} of {comm}\"");
	task(&w, 0, "a", MiB);
	task(&w, 1, "b", MiB);
	for (int i = 0; i < 4; i++) {
		*at_path(&w, MAPS, 0) = 100 + 5 * i;
		QUIET(&w, 1);
	}
	*at_path(&w, MAPS, 0) = 150;
	EXPECT(&w, "TERM a");
	gone(&w, 0);
	*at_path(&w, MAPS, 1) = 950;
	EXPECT(&w, "LOG b");
	assert_int_equal(event_of(&w, GF_EV_ACTION)->notes, 2);
	assert_true(event_of(&w, GF_EV_ACTION)->note[0] == 950);
	assert_true(event_of(&w, GF_EV_ACTION)->term[0].left == 950);
	*at_path(&w, MAPS, 1) = 1001;
	EXPECT(&w, "USR1 b");
	end(&w);
}

/* A reload that names the same number of other paths, or the same ones in another order. */
static void a_reload_moves_paths(void **state)
{
	struct gf_image_header *next, *first;
	struct world w;

	(void)state;
	begin_vm(&w, "rule keep if rate(" MAPS ", 2s) > 10/s then SIGTERM it");
	task(&w, 0, "a", MiB);
	for (int i = 0; i < 3; i++) {
		*at_path(&w, MAPS, 0) = 100 * i;
		if (i < 2)
			QUIET(&w, 1);
	}
	first = w.img;
	next = compiled("if " RLIM " > 5 then SIGUSR1 it\nrule keep if rate(" MAPS ", 2s) > 10/s then SIGTERM it");
	assert_int_equal(gf_engine_swap(w.e, next, NULL), 0);
	w.img = next;
	assert_int_equal(w.f->paths, 2);
	assert_int_equal(w.f->paths_set, 2);
	*at_path(&w, MAPS, 0) = 200;
	*at_path(&w, RLIM, 0) = 1;
	EXPECT(&w, "TERM a"); /* the window was kept, though the column is another one */
	free(first);

	/* As many, but others: the columns' set is the same, and the target is told. */
	first = w.img;
	next = compiled("if task->prio > 5 then SIGUSR2 it\nif task->flags > 5 then SIGUSR1 it");
	assert_int_equal(gf_engine_swap(w.e, next, NULL), 0);
	w.img = next;
	free(first);
	assert_int_equal(w.f->paths_set, 3);
	*at_path(&w, "task->prio", 0) = 1;
	*at_path(&w, "task->flags", 0) = 6;
	EXPECT(&w, "USR1 a");

	/* The same again: nothing to tell. */
	first = w.img;
	next = compiled("if task->prio > 6 then SIGUSR2 it\nif task->flags > 5 then SIGUSR1 it");
	assert_int_equal(gf_engine_swap(w.e, next, NULL), 0);
	w.img = next;
	free(first);
	assert_int_equal(w.f->paths_set, 3);

	/* A target that cannot: the old policy, with its paths, stays in force. */
	next = compiled("if task->foo > 6 then SIGUSR2 it");
	w.f->fail_paths = 1;
	assert_int_equal(gf_engine_swap(w.e, next, NULL), -EIO);
	free(next);
	w.f->fail_paths = 0;
	w.f->fail_fields = 1;
	next = compiled("if task->foo > 6 then SIGUSR2 it");
	assert_int_equal(gf_engine_swap(w.e, next, NULL), -EIO);
	free(next);
	assert_int_equal(w.f->paths, 2);
	assert_string_equal(w.f->path[0], "task->prio");
	w.f->fail_fields = 0;
	end(&w);
}

/* The image is for a target in memory, the target is none. */
static void a_host_has_no_paths(void **state)
{
	struct gf_image_header *img = compiled("if " MAPS " > 5 then SIGTERM it");
	struct gf_engine_opts o = { .period_ns = S, .budget_n = 5, .budget_window_ns = S };
	struct fake *f = fake_new(256);
	struct gf_target_ops ops = *f->t.ops;
	struct gf_engine *e = NULL;
	struct gf_err err = { "" };

	(void)state;
	ops.set_paths = NULL;
	f->t.ops = &ops;
	assert_int_equal(gf_engine_create(&f->t, img, &o, &e, &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "no kernel memory"));
	gf_target_destroy(&f->t);
	free(img);
}

static void so_many_paths_and_no_more(void **state)
{
	(void)state;
	for (unsigned n = GF_MAX_PATHS; n <= GF_MAX_PATHS + 1; n++) {
		const struct gf_compile_opts co = { .target = GF_TARGET_VM };
		struct gf_image_header *img = NULL;
		struct gf_diags diags = { .limit = 20 };
		char text[4096] = "";
		size_t size, at = 0;

		for (unsigned i = 0; i < n; i++)
			at += (size_t)snprintf(text + at, sizeof text - at, "if task->m%u > 5 and task->m%u > 6 then log it\n", i, i / 2);
		const struct gf_source src = { .name = "p", .text = text, .len = at };

		assert_int_equal(gf_compile(&src, 1, &co, &diags, &img, &size), n > GF_MAX_PATHS ? -EINVAL : 0);
		if (img)
			assert_int_equal(img->fields.paths, GF_MAX_PATHS);
		else
			assert_string_equal(diags.v[diags.n - 1].code, "E205");
		free(img);
		gf_diags_deinit(&diags);
	}
}

static void amounts(void **state)
{
	struct world w;

	(void)state;
	begin_vm(&w, "if rss > 500MiB then limit memory.max 10% it then limit rlimit.as rss * 2 then limit cpu.max cpu / 2\n"
		     "  then limit rlimit.nofile unlimited then limit rlimit.cpu age * 2");
	task(&w, 0, "a", 600 * MiB);
	/* cpu is not known yet: nothing may be set by it */
	EXPECT(&w, "LIMIT memory.max 1.04858e+08 a, LIMIT rlimit.as 1.25829e+09 a, LIMIT cpu.max nan a, "
		   "LIMIT rlimit.nofile inf a, LIMIT rlimit.cpu 120 a");
	end(&w);

	/* Of each victim its own; less than nothing is not a limit, and not a restore either. */
	begin_vm(&w, "if rss > 500MiB then limit rlimit.as rss - 550MiB it");
	task(&w, 0, "a", 600 * MiB);
	task(&w, 1, "b", 520 * MiB);
	EXPECT(&w, "LIMIT rlimit.as nan b, LIMIT rlimit.as 5.24288e+07 a");
	end(&w);

	/* What mem.total is of is not known. */
	begin_vm(&w, "if age > 5s then limit memory.high 10% it");
	host(&w, "mem.total", gf_unknown());
	task(&w, 0, "a", 600 * MiB);
	EXPECT(&w, "LIMIT memory.high nan a");
	end(&w);
}

static void undone_in_time(void **state)
{
	struct world w;

	(void)state;
	begin_vm(&w, "if rss > 500MiB then freeze it then limit cpu.max 50% then after 3s restore cpu.max then thaw cooldown 1h");
	task(&w, 0, "a", 600 * MiB);
	EXPECT(&w, "FREEZE a, LIMIT cpu.max 0.5 a");
	set(&w, 0, "rss", 0); /* it is undone though the condition is over */
	QUIET(&w, 2);
	EXPECT(&w, "LIMIT cpu.max -1 a, THAW a");
	QUIET(&w, 3);
	end(&w);
}

static void undone_in_any_case(void **state)
{
	struct gf_image_header *next, *first;
	struct world w;

	(void)state;
	/* Observing has begun in between. */
	begin_vm(&w, "if rss > 500MiB then limit cpu.max 50% it then after 3s restore cpu.max then SIGKILL cooldown 1h");
	task(&w, 0, "a", 600 * MiB);
	EXPECT(&w, "LIMIT cpu.max 0.5 a");
	gf_engine_set_observe(w.e, true);
	QUIET(&w, 2);
	EXPECT(&w, "LIMIT cpu.max -1 a, KILL a (observed)");
	end(&w);

	/* Samples fail. */
	begin_vm(&w, "if rss > 500MiB then freeze it then limit pids.max 5 then after 3s restore pids.max then thaw cooldown 1h");
	task(&w, 0, "a", 600 * MiB);
	EXPECT(&w, "FREEZE a, LIMIT pids.max 5 a");
	w.f->t.sample.flags[0] |= GF_ROW_TORN;
	QUIET(&w, 2);
	EXPECT(&w, "LIMIT pids.max -1 a, THAW a");
	end(&w);

	/* The rule is gone. A limit that is none of the past is not set then. */
	begin_vm(&w, "if rss > 500MiB then limit cpu.max 50% it then after 1h limit pids.max 5 then restore cpu.max cooldown 1h");
	task(&w, 0, "a", 600 * MiB);
	EXPECT(&w, "LIMIT cpu.max 0.5 a");
	first = w.img;
	next = compiled("if rss > 900MiB then log");
	assert_int_equal(gf_engine_swap(w.e, next, NULL), 0);
	w.img = next;
	EXPECT(&w, "LIMIT cpu.max -1 a");
	QUIET(&w, 2);
	free(first);
	end(&w);
}

/* As the compiler is used with a kernel at hand. */
static int by_btf(void *arg, const char *path, size_t *ret_at, size_t *ret_len, struct gf_err *err)
{
	struct gf_kpath p;

	return gf_btf_path(arg, path, &p, ret_at, ret_len, err);
}

static void *file(const char *path, size_t *ret_n)
{
	FILE *f = fopen(path, "rb");
	uint8_t *p = f ? malloc(GF_BTF_MAX) : NULL;

	*ret_n = p ? fread(p, 1, GF_BTF_MAX, f) : 0;
	if (f)
		fclose(f);
	return p;
}

static void paths_by_this_kernels_btf(void **state)
{
	static const struct { const char *policy, *says, *at; } want[] = {
		{ "if " MAPS " > 60000 and " RLIM " < 5 then log it", NULL, NULL },
		{ "if task->mm->map_cont > 60000 then log it", "no member `map_cont`", "map_cont" },
		{ "if task->mm > 60000 then log it", "not a number", "mm" },
		{ "if task->signal->rlim[16].rlim_cur > 5 then log it", "out of range", "[16]" },
		{ "if available(task->no_such) and task->no_such > 5 or " MAPS " > 5 then log it", NULL, NULL },
		{ "if rss > 1GiB then log it notify \"{task->no_such}\"", "no member `no_such`", "no_such" },
	};
	struct gf_btf *btf = NULL;
	struct gf_err err = { "" };
	size_t n, size;
	void *raw = file("/sys/kernel/btf/vmlinux", &n);

	(void)state;
	if (!n) {
		free(raw);
		skip(); /* this kernel has none */
	}
	if (gf_btf_create(raw, n, &btf, &err))
		fail_msg("%s", err.text);
	free(raw);
	for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
		const struct gf_compile_opts co = { .target = GF_TARGET_VM, .path = by_btf, .path_arg = btf };
		const struct gf_source src = { .name = "p", .text = want[i].policy, .len = strlen(want[i].policy) };
		struct gf_image_header *img = NULL;
		struct gf_diags diags = { .limit = 20 };
		int r = gf_compile(&src, 1, &co, &diags, &img, &size);

		if (!want[i].says ? r : r != -EINVAL || !strstr(diags.v[0].message, want[i].says) ||
					 strncmp(src.text + diags.v[0].span.start, want[i].at, strlen(want[i].at)))
			fail_msg("%s: %d, %s", want[i].policy, r, diags.n ? diags.v[0].message : "");
		free(img);
		gf_diags_deinit(&diags);
	}
	gf_btf_free(btf);
}

static void of_the_machine(void **state)
{
	struct world w;

	(void)state;
	begin_vm(&w, "if os.stalled > 30s then nmi then after 5s reset cooldown 10min");
	QUIET(&w, 2);
	host(&w, "os.stalled", 31e9);
	EXPECT(&w, "NMI");
	QUIET(&w, 4);
	EXPECT(&w, "RESET");
	QUIET(&w, 5);
	end(&w);

	/* It has come round, or nobody knows: it is not reset for what it was. */
	for (int i = 0; i < 2; i++) {
		begin_vm(&w, "if os.stalled > 30s then nmi then after 3s reset then notify \"x\" cooldown 10min");
		host(&w, "os.stalled", 31e9);
		EXPECT(&w, "NMI");
		QUIET(&w, 1);
		host(&w, "os.stalled", i ? gf_unknown() : 0);
		QUIET(&w, 1);
		EXPECT(&w, "NOTIFY");
		assert_non_null(event_of(&w, GF_EV_SKIPPED));
		end(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_is_a_field), cmocka_unit_test(paths_over_time_and_tasks),
		cmocka_unit_test(a_reload_moves_paths), cmocka_unit_test(a_host_has_no_paths),
		cmocka_unit_test(so_many_paths_and_no_more), cmocka_unit_test(amounts), cmocka_unit_test(undone_in_time),
		cmocka_unit_test(undone_in_any_case), cmocka_unit_test(of_the_machine),
		cmocka_unit_test(paths_by_this_kernels_btf),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
