/* SPDX-License-Identifier: MIT
 *
 * What sema makes of policies, node by node; its sentences are in tests/golden/sema.
 */
#include <errno.h>
#include <math.h>
#include <pwd.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "compiler/sema.h"

/* Some headers hide it; the kernel's number. */
#ifndef SCHED_DEADLINE
#define SCHED_DEADLINE 6
#endif

struct result {
	struct gf_source src;
	struct gf_diags diags;
	struct gf_ast *ast;
	struct gf_sema *sema;
	int r;
};

static const struct gf_compile_opts host = { .target = GF_TARGET_HOST };

static void sema_len(struct result *t, const char *text, size_t len, const struct gf_compile_opts *opts)
{
	*t = (struct result){ .src = { .name = "t", .text = text, .len = len } };
	t->r = gf_parse(&t->src, 0, &t->diags, &t->ast);
	assert_int_equal(t->r, 0);
	t->r = gf_sema(&t->ast, 1, &t->src, opts, &t->diags, &t->sema);
	/* a result and no error, or errors and no result */
	assert_true(t->r == 0 || t->r == -EINVAL);
	assert_int_equal(t->r == 0, t->sema != NULL);
	assert_int_equal(t->r == -EINVAL, t->diags.errors > 0);
}

static void sema(struct result *t, const char *text)
{
	sema_len(t, text, strlen(text), &host);
	if (t->r)
		gf_diags_print(&t->diags, &t->src, 1, stderr, false);
	assert_int_equal(t->r, 0);
}

static void done(struct result *t)
{
	gf_sema_free(t->sema);
	gf_ast_free(t->ast);
	gf_diags_deinit(&t->diags);
}

static const struct gf_node *cond(const struct result *t, uint32_t rule)
{
	assert_true(rule < t->sema->rules);
	return t->sema->rule[rule].cond;
}

static void is_const(const struct gf_node *n, double v)
{
	assert_int_equal(n->kind, GF_N_CONST);
	assert_true(fabs(n->num - v) <= 1e-12 * fabs(v));
}

static void is_host(const struct gf_node *n, uint32_t id)
{
	assert_int_equal(n->kind, GF_N_HOST);
	assert_int_equal(n->id, id);
}

static void has_text(const struct gf_node *n, const char *want)
{
	char *text = gf_expr_text(n->expr);

	assert_non_null(text);
	assert_string_equal(text, want);
	free(text);
}

static void percent_of_memory(void **state)
{
	struct result t;
	const struct gf_node *n;

	(void)state;
	sema(&t, "if rss > 80% then log it");
	n = cond(&t, 0);
	assert_int_equal(n->kind, GF_N_GT);
	assert_true(n->term);
	assert_int_equal(n->kid[0]->kind, GF_N_TASK);
	assert_int_equal(n->kid[0]->id, GF_TF_RSS);
	assert_int_equal(n->kid[0]->dim, GF_DIM_BYTES);
	assert_int_equal(n->kid[1]->kind, GF_N_MUL);
	assert_int_equal(n->kid[1]->dim, GF_DIM_BYTES);
	is_const(n->kid[1]->kid[0], 0.8);
	is_host(n->kid[1]->kid[1], GF_HF_MEM_TOTAL);
	assert_int_equal(n->scope, GF_SCOPE_TASK);
	assert_true(t.sema->rule[0].task);
	done(&t);
}

/* Without swap the share is unknown: nothing fires, `<=` neither. */
static void percent_of_swap(void **state)
{
	struct result t;
	const struct gf_node *n;

	(void)state;
	sema(&t, "if 10% >= swap.free then log");
	n = cond(&t, 0);
	assert_int_equal(n->kind, GF_N_GE);
	is_const(n->kid[0], 10);
	n = n->kid[1];
	assert_int_equal(n->kind, GF_N_MUL);
	assert_int_equal(n->dim, GF_DIM_PCT);
	is_const(n->kid[1], 100);
	assert_int_equal(n->kid[0]->kind, GF_N_DIV);
	is_host(n->kid[0]->kid[0], GF_HF_SWAP_FREE);
	is_host(n->kid[0]->kid[1], GF_HF_SWAP_TOTAL);
	assert_false(t.sema->rule[0].task);
	done(&t);
}

static void derived_fields(void **state)
{
	struct result t;
	const struct gf_node *n;

	(void)state;
	sema(&t, "if cpu.busy > 90% then log\nif cpu > 150% then log it\nif tasks.rate > 500/s then log\n"
		 "if rate(utime, 5s) > 80% then log it");
	n = cond(&t, 0)->kid[0];
	assert_int_equal(n->kind, GF_N_DIV);
	assert_int_equal(n->dim, GF_DIM_PCT);
	is_host(n->kid[1], GF_HF_CPU_COUNT);
	n = n->kid[0];
	assert_int_equal(n->kind, GF_N_MUL);
	is_const(n->kid[1], 1e-7); /* ns a second, in percent */
	n = n->kid[0];
	assert_int_equal(n->kind, GF_N_HIST);
	assert_int_equal(n->id, GF_STAT_RATE);
	assert_int_equal(n->window_ns, 1000000000);
	is_host(n->kid[0], GF_HF_CPU_BUSYTIME);
	is_const(cond(&t, 0)->kid[1], 90);

	n = cond(&t, 1)->kid[0];
	assert_int_equal(n->kind, GF_N_MUL);
	assert_int_equal(n->kid[0]->kid[0]->id, GF_TF_CPUTIME);
	assert_int_equal(n->scope, GF_SCOPE_TASK);

	n = cond(&t, 2)->kid[0];
	assert_int_equal(n->kind, GF_N_HIST);
	assert_int_equal(n->dim, GF_DIM_RATE);

	n = cond(&t, 3)->kid[0];
	assert_int_equal(n->kind, GF_N_MUL);
	assert_int_equal(n->dim, GF_DIM_PCT);
	assert_int_equal(n->kid[0]->window_ns, 5000000000ull);
	done(&t);
}

static void units(void **state)
{
	struct result t;

	(void)state;
	sema(&t, "if rate(rss, 5s) > 10MiB then log it\nif rate(rss, 5s) * 10s > 5MiB then log it\n"
		 "if delta(rss, 10s) / 10s > 5MiB/s then log it\nif age > 1min + 30s then log it\n"
		 "if rss / mem.total > 25% then log it");
	is_const(cond(&t, 0)->kid[1], 10 * 1048576.0);
	assert_int_equal(cond(&t, 0)->kid[0]->dim, GF_DIM_BYTERATE);
	/* bytes a second times ns, times 1e-9 */
	assert_int_equal(cond(&t, 1)->kid[0]->dim, GF_DIM_BYTES);
	is_const(cond(&t, 1)->kid[0]->kid[1], 1e-9);
	assert_int_equal(cond(&t, 2)->kid[0]->dim, GF_DIM_BYTERATE);
	is_const(cond(&t, 2)->kid[0]->kid[1], 1e9);
	is_const(cond(&t, 3)->kid[1], 90e9);
	is_const(cond(&t, 4)->kid[1], 0.25);
	done(&t);
}

static void names_that_are_numbers(void **state)
{
	static const struct { const char *name; int number; } policy[] = {
		{ "other", SCHED_OTHER }, { "fifo", SCHED_FIFO }, { "rr", SCHED_RR },
		{ "batch", SCHED_BATCH }, { "idle", SCHED_IDLE }, { "deadline", SCHED_DEADLINE },
	};
	struct result t;
	char text[200];

	(void)state;
	for (size_t i = 0; i < sizeof policy / sizeof policy[0]; i++) {
		snprintf(text, sizeof text, "if policy == \"%s\" then log it", policy[i].name);
		sema(&t, text);
		is_const(cond(&t, 0)->kid[1], policy[i].number);
		done(&t);
	}
	sema(&t, "if state == \"t\" then log it\nif uid != \"root\" then log it\nif uid in (1, \"root\") then log it");
	is_const(cond(&t, 0)->kid[1], 't');
	assert_int_equal(cond(&t, 1)->kind, GF_N_NE);
	is_const(cond(&t, 1)->kid[1], getpwnam("root")->pw_uid);
	/* a list is one leaf */
	assert_int_equal(cond(&t, 2)->kind, GF_N_OR);
	assert_true(cond(&t, 2)->term);
	assert_false(cond(&t, 2)->kid[0]->term);
	done(&t);
}

static bool matches(const struct gf_node *n, const char *s)
{
	struct gf_automaton a;
	struct gf_err err;
	size_t at, q = 0;

	assert_int_equal(n->kind, GF_N_MATCH);
	assert_int_equal(gf_regex_compile(n->pattern, strlen(n->pattern), &a, &at, &err), 0);
	for (; *s; s++)
		q = a.trans[q * a.classes + a.class_of[(unsigned char)*s]];
	bool r = a.accept[q];

	gf_automaton_deinit(&a);
	return r;
}

static void texts(void **state)
{
	struct result t;

	(void)state;
	sema(&t, "if comm == \"a.b\" then log it\nif comm != \"sshd\" then log it\n"
		 "if comm in (\"sshd\", \"a(b\") then log it\nif comm ~ \"chrom*\" then log it\n"
		 "if exe ~ /^\\/usr\\// then log it\nif \"sshd\" == comm then log it");
	assert_true(matches(cond(&t, 0), "a.b"));
	assert_false(matches(cond(&t, 0), "axb"));
	assert_false(matches(cond(&t, 0), "a.bc"));
	/* the leaf of != is what it denies */
	assert_int_equal(cond(&t, 1)->kind, GF_N_NOT);
	assert_true(cond(&t, 1)->kid[0]->term);
	assert_true(matches(cond(&t, 1)->kid[0], "sshd"));
	has_text(cond(&t, 1)->kid[0], "comm == \"sshd\"");
	assert_true(matches(cond(&t, 2), "a(b"));
	assert_true(matches(cond(&t, 2), "sshd"));
	assert_false(matches(cond(&t, 2), "ssh"));
	assert_true(matches(cond(&t, 3), "chromium"));
	assert_false(matches(cond(&t, 3), "xchrom"));
	assert_int_equal(cond(&t, 4)->id, GF_SF_EXE);
	assert_true(matches(cond(&t, 4), "/usr/bin/x"));
	assert_true(matches(cond(&t, 5), "sshd"));
	done(&t);
}

static void lets(void **state)
{
	struct result t;
	const struct gf_node *n;

	(void)state;
	sema(&t, "if hog and age > 1min then log it\nlet hog = rss > big\nlet big = half * 2\nlet half = 1GiB");
	n = cond(&t, 0);
	assert_int_equal(n->kind, GF_N_AND);
	is_const(n->kid[0]->kid[1], 2 * 1073741824.0);
	/* reports show what was compared, not the let's name */
	has_text(n->kid[0], "rss > 1GiB * 2");
	done(&t);
}

static void between(void **state)
{
	struct result t;
	const struct gf_node *n;

	(void)state;
	sema(&t, "if mem.free between 10% and 20% then log\nif age between 0s and 5s then log it");
	n = cond(&t, 0);
	assert_int_equal(n->kind, GF_N_AND);
	assert_int_equal(n->kid[0]->kind, GF_N_GE);
	assert_int_equal(n->kid[1]->kind, GF_N_LE);
	assert_true(n->kid[0]->term && n->kid[1]->term);
	has_text(n->kid[1], "mem.free <= 20%");
	assert_int_equal(cond(&t, 1)->kind, GF_N_LE);
	done(&t);
}

static void over_tasks(void **state)
{
	struct result t;
	const struct gf_node *n;

	(void)state;
	sema(&t, "if count() > 5 and count(where age < 1s) > 5 and sum(rss) > 5GiB then log\n"
		 "if max(rss where uid == 0) > 5GiB then log\nif max(rss, 1min) > 5GiB then log it\n"
		 "if tree(rss) > 5GiB and parent(comm == \"a\") and ancestor(uid == 0) then log it\n"
		 "if any(comm == \"a\") then log\nif held(cpu > 90%, 10s) then log it\n"
		 "if avg(rss where uid == 0) > 1GiB then log\nif available(exe) then log it");
	n = cond(&t, 0)->kid[0]->kid[0]->kid[0];
	assert_int_equal(n->kind, GF_N_AGG);
	assert_int_equal(n->id, GF_AGG_COUNT);
	assert_null(n->kid[0]);
	assert_null(n->kid[1]);
	assert_int_equal(cond(&t, 0)->scope, GF_SCOPE_HOST);
	n = cond(&t, 0)->kid[0]->kid[1]->kid[0];
	assert_non_null(n->kid[0]);
	n = cond(&t, 1)->kid[0];
	assert_int_equal(n->id, GF_AGG_MAX);
	assert_int_equal(n->kid[1]->id, GF_TF_RSS);
	assert_int_equal(n->scope, GF_SCOPE_HOST);
	n = cond(&t, 2)->kid[0];
	assert_int_equal(n->kind, GF_N_HIST);
	assert_int_equal(n->id, GF_STAT_MAX);
	assert_int_equal(n->scope, GF_SCOPE_TASK);
	assert_int_equal(cond(&t, 3)->kid[0]->kid[0]->kid[0]->kind, GF_N_TREE);
	assert_int_equal(cond(&t, 3)->kid[0]->kid[1]->kind, GF_N_PARENT);
	assert_int_equal(cond(&t, 3)->kid[1]->kind, GF_N_ANCESTOR);
	assert_int_equal(cond(&t, 4)->kind, GF_N_ANYCOL);
	assert_int_equal(cond(&t, 4)->scope, GF_SCOPE_HOST);
	assert_int_equal(cond(&t, 5)->kind, GF_N_HELD);
	assert_int_equal(cond(&t, 5)->window_ns, 10000000000ull);
	assert_int_equal(cond(&t, 6)->kid[0]->kind, GF_N_DIV);
	assert_int_equal(cond(&t, 7)->kind, GF_N_KNOWN);
	assert_true(matches(cond(&t, 7)->kid[0]->kid[0], "anything"));
	done(&t);
}

static void hashes(void **state)
{
	static const char *const same[][2] = {
		{ "rss > 1GiB", "rss > 1024MiB" },
		{ "rss > 80%", "rss > 2 * 40%" },
		{ "comm == \"a\"", "comm in (\"a\")" },
		{ "avg(rss, 60s) > 1GiB", "avg(rss, 1min) > 1GiB" },
		{ "not (not rss > 1GiB)", "rss > 1GiB" },
	};
	static const char *const other[][2] = {
		{ "rss > 1GiB", "rss > 2GiB" },	  { "rss > 1GiB", "rss >= 1GiB" },
		{ "rss > 1GiB", "anon > 1GiB" },  { "rss > 1GiB", "mem.free > 1GiB" },
		{ "comm == \"a\"", "comm == \"b\"" }, { "comm == \"/a\"", "exe == \"/a\"" },
		{ "avg(rss, 1min) > 1GiB", "avg(rss, 2min) > 1GiB" },
		{ "avg(rss, 1min) > 1GiB", "max(rss, 1min) > 1GiB" },
		{ "held(rss > 1GiB, 1s)", "held(rss > 1GiB, 2s)" },
		{ "swap > 10%", "swap > 20%" },	  { "mem.free - swap.free > 1GiB", "swap.free - mem.free > 1GiB" },
		{ "parent(uid == 0)", "ancestor(uid == 0)" },
	};
	struct result a, b;
	char text[2][200];

	(void)state;
	for (size_t i = 0; i < sizeof same / sizeof same[0] + sizeof other / sizeof other[0]; i++) {
		size_t k = i < sizeof same / sizeof same[0] ? 0 : sizeof same / sizeof same[0];
		const char *const *pair = k ? other[i - k] : same[i];

		snprintf(text[0], sizeof text[0], "if %s then log", pair[0]);
		snprintf(text[1], sizeof text[1], "if %s then log", pair[1]);
		sema(&a, text[0]);
		sema(&b, text[1]);
		if ((cond(&a, 0)->hash == cond(&b, 0)->hash) != !k)
			fail_msg("%s, %s", pair[0], pair[1]);
		done(&a);
		done(&b);
	}
}

static void rules(void **state)
{
	struct result t;
	const struct gf_sema_rule *r;

	(void)state;
	sema(&t, "if rss > 1GiB then SIGTERM largest then after 5s SIGKILL cooldown 1min\n"
		 "rule b \"title\" if load.1 > 5 for 3 periods then log then renice +5 newest 3 where uid >= 1000\n"
		 "  priority 5 limit 3 per 1h settle 1s observe\n"
		 "rule c if load.1 > 6 3 times within 1min until load.1 < 2 then log priority -1\n"
		 "rule d if load.1 > 7 then run hook tree of smallest by anon where uid == 0 priority 5\n"
		 "rule e if load.1 > 8 then SIGSTOP each where rss > 1GiB\n");
	assert_int_equal(t.sema->rules, 5);
	r = &t.sema->rule[0];
	assert_string_equal(r->name, "b");
	assert_string_equal(r->title, "title");
	assert_int_equal(r->priority, 5);
	assert_int_equal(r->hold, GF_FOR_PERIODS);
	assert_int_equal(r->hold_count, 3);
	assert_int_equal(r->limit_n, 3);
	assert_int_equal(r->limit_ns, 3600000000000ull);
	assert_int_equal(r->settle_ns, 1000000000);
	assert_true(r->observe);
	assert_int_equal(r->step[0].pick, GF_PICK_NONE);
	assert_int_equal(r->step[1].pick, GF_PICK_NEWEST);
	assert_int_equal(r->step[1].n, 3);
	assert_int_equal(r->step[1].arg, 5);
	assert_null(r->step[1].key);
	assert_non_null(r->step[1].where);
	r = &t.sema->rule[1]; /* equal priority: order of the text */
	assert_string_equal(r->name, "d");
	assert_int_equal(r->step[0].action, GF_ACT_RUN);
	assert_int_equal(r->step[0].group, GF_GROUP_TREE);
	assert_int_equal(r->step[0].key->id, GF_TF_ANON);
	r = &t.sema->rule[2];
	assert_string_equal(r->name, "t:1"); /* without a name: where it stands */
	assert_int_equal(r->settle_ns, 10000000000ull);
	assert_int_equal(r->cooldown_ns, 60000000000ull);
	assert_int_equal(r->step[0].arg, SIGTERM);
	assert_int_equal(r->step[0].n, 1);
	assert_int_equal(r->step[0].key->kind, GF_N_TASK);
	assert_int_equal(r->step[0].key->id, GF_TF_RSS);
	assert_int_equal(r->step[1].pick, GF_PICK_SAME);
	assert_int_equal(r->step[1].arg, SIGKILL);
	assert_int_equal(r->step[1].after_ns, 5000000000ull);
	assert_true(r->task);
	r = &t.sema->rule[3];
	assert_string_equal(r->name, "e");
	assert_int_equal(r->step[0].n, GF_MAX_PICK);
	assert_false(r->task);
	r = &t.sema->rule[4];
	assert_string_equal(r->name, "c");
	assert_int_equal(r->hold, GF_FOR_TIMES);
	assert_int_equal(r->hold_count, 3);
	assert_int_equal(r->hold_ns, 60000000000ull);
	assert_non_null(r->until);
	done(&t);
}

static void until_of_a_task(void **state)
{
	struct result t;

	(void)state;
	sema(&t, "if load.1 > 5 until cpu < 10% then log");
	assert_int_equal(cond(&t, 0)->scope, GF_SCOPE_HOST);
	assert_true(t.sema->rule[0].task);
	done(&t);
}

static void classes(void **state)
{
	struct result t;

	(void)state;
	sema(&t, "protect comm == \"a\"\nunprotect oom_score_adj == -1000\nprefer rss > 1GiB\navoid uid < 1000");
	assert_int_equal(t.sema->classes, 4);
	for (uint8_t i = 0; i < 4; i++)
		assert_int_equal(t.sema->klass[i].kind, GF_CLASS_PROTECT + i);
	done(&t);
}

static void templates(void **state)
{
	struct result t;
	const struct gf_sema_note *n;

	(void)state;
	sema(&t, "let twice = rss * 2\n"
		 "if rss > 1GiB then log it notify \"{{x}} {comm} (pid {pid}){twice} end\"\n"
		 "if rss > 2GiB then log it notify \"plain\"\nif rss > 3GiB then log it notify \"{comm}\"");
	assert_int_equal(t.sema->rule[0].notes, 4);
	n = t.sema->rule[0].note;
	assert_string_equal(n[0].text, "{x} ");
	assert_int_equal(n[0].str, GF_SF_COMM + 1);
	assert_null(n[0].value);
	assert_string_equal(n[1].text, " (pid ");
	assert_int_equal(n[1].value->id, GF_TF_PID);
	assert_string_equal(n[2].text, ")");
	assert_int_equal(n[2].value->kind, GF_N_MUL);
	assert_string_equal(n[3].text, " end");
	assert_null(n[3].value);
	assert_int_equal(n[3].str, 0);
	assert_int_equal(t.sema->rule[1].notes, 1);
	assert_string_equal(t.sema->rule[1].note[0].text, "plain");
	assert_int_equal(t.sema->rule[2].notes, 1);
	done(&t);
}

/* available() of what a target never gives folds, and with it what it guards; a rule that can never be
 * true for a target is none of its rules. */
static void targets(void **state)
{
	static const char text[] = "if available(os.stalled) and os.stalled > 5s then log\n"
				   "if load.1 > 5 or (available(os.stalled) and os.stalled > 5s) then log";
	const struct gf_compile_opts vm = { .target = GF_TARGET_VM }, plain = { .target = GF_TARGET_HOST, .no_module = true };
	struct result t;

	(void)state;
	sema_len(&t, text, strlen(text), &plain);
	assert_int_equal(t.r, 0);
	assert_int_equal(t.sema->rules, 1);
	assert_int_equal(cond(&t, 0)->kind, GF_N_GT);
	done(&t);
	sema_len(&t, text, strlen(text), &vm);
	assert_int_equal(t.r, 0);
	assert_int_equal(cond(&t, 0)->kind, GF_N_AND);
	assert_int_equal(cond(&t, 0)->kid[0]->kind, GF_N_KNOWN);
	done(&t);
}

static void kinds_of_target(void **state)
{
	static const char text[] = "let guest = target.kind in (\"vm\", \"image\")\n"
				   "rule a if guest and rss > 1GiB then log it notify \"{task->mm->map_count}\"\n"
				   "rule b if target.kind == \"host\" and rss > 2GiB then renice +5 it\n"
				   "rule c if rss > 3GiB or guest and task->mm->map_count > 5 then log it";
	static const struct { enum gf_target_kind target; const char *rules; enum gf_node_kind c; } want[] = {
		{ GF_TARGET_HOST, "bc", GF_N_GT }, { GF_TARGET_VM, "ac", GF_N_OR },
		{ GF_TARGET_IMAGE, "ac", GF_N_OR }, { GF_TARGET_TRACE, "c", GF_N_GT },
	};
	struct result t;

	(void)state;
	for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
		const struct gf_compile_opts opts = { .target = want[i].target };

		sema_len(&t, text, strlen(text), &opts);
		assert_int_equal(t.r, 0);
		assert_int_equal(t.sema->rules, strlen(want[i].rules));
		for (uint32_t k = 0; k < t.sema->rules; k++)
			assert_int_equal(t.sema->rule[k].name[0], want[i].rules[k]);
		assert_int_equal(cond(&t, t.sema->rules - 1)->kind, want[i].c);
		done(&t);
	}
}

static void paths_are_numbers(void **state)
{
	const struct gf_compile_opts vm = { .target = GF_TARGET_VM };
	static const char text[] = "if rate(task->mm->map_count, 5s) > 10/s then log it\n"
				   "if task->mm->map_count > 5 then log it\nif task->mm->mmap_base > 5 then log it";
	struct result t;

	(void)state;
	sema_len(&t, text, strlen(text), &vm);
	assert_int_equal(t.r, 0);
	assert_int_equal(cond(&t, 0)->kid[0]->kind, GF_N_HIST);
	assert_int_equal(cond(&t, 0)->kid[0]->dim, GF_DIM_RATE);
	const struct gf_node *a = cond(&t, 0)->kid[0]->kid[0], *b = cond(&t, 1)->kid[0], *c = cond(&t, 2)->kid[0];

	assert_int_equal(a->kind, GF_N_PATH);
	assert_int_equal(a->scope, GF_SCOPE_TASK);
	assert_int_equal(a->dim, GF_DIM_NUM);
	assert_true(a->hash == b->hash && a->hash != c->hash); /* by the text, not by the place */
	done(&t);
}

static void path_texts(void **state)
{
	static const char *const good[] = { "task->mm", "task->a.b[0]->c[12][3].d_1", "task->_x", "task->a[PIDTYPE_TGID].b" };
	static const char *const bad[] = { "", "task", "task->", "task.mm", "tasks->mm", "task->9", "task->a[", "task->a[]",
					   "task->a[1x]", "task->a[x y]", "task->a[1", "task->a..b", "task->a-b", "task->a->", "task->a ",
					   "task->a\n", "task->a[-1]", "task-> a", "mm->task" };
	char text[GF_PATH_TEXT + 8] = "task->";

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		assert_true(gf_path_ok(good[i]));
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (gf_path_ok(bad[i]))
			fail_msg("%s", bad[i]);
	memset(text + 6, 'x', GF_PATH_TEXT - 7);
	assert_true(gf_path_ok(text));
	text[GF_PATH_TEXT - 1] = 'x';
	assert_false(gf_path_ok(text));
}

static void limits(void **state)
{
	(void)state;
	for (int k = GF_LIMIT_NONE + 1; k < GF_LIMIT_COUNT; k++) {
		const struct gf_limit_info *l = gf_limit_info((enum gf_limit_kind)k);

		assert_int_equal(gf_limit_find(l->name), k); /* each has a name of its own */
		assert_true(l->lo < l->hi && l->by > 0);
		assert_true(!l->of_memory || l->dim == GF_DIM_BYTES);
	}
	assert_int_equal(gf_limit_find(""), GF_LIMIT_NONE);
	assert_int_equal(gf_limit_find("memory"), GF_LIMIT_NONE);
	/* In the order of the numbers that setrlimit(2) takes. */
	assert_string_equal(gf_limit_info(GF_LIMIT_RLIMIT + RLIMIT_CPU)->name, "rlimit.cpu");
	assert_string_equal(gf_limit_info(GF_LIMIT_RLIMIT + RLIMIT_AS)->name, "rlimit.as");
	assert_string_equal(gf_limit_info(GF_LIMIT_RLIMIT + RLIMIT_NOFILE)->name, "rlimit.nofile");
	assert_string_equal(gf_limit_info(GF_LIMIT_RLIMIT + RLIMIT_RTTIME)->name, "rlimit.rttime");
	assert_string_equal(gf_limit_info(GF_LIMIT_RLIMIT + RLIMIT_MSGQUEUE)->name, "rlimit.msgqueue");
}

static void silenced(void **state)
{
	static const char bare[] = "if rss > 1GiB then SIGKILL it";
	const struct gf_compile_opts off = { .target = GF_TARGET_HOST, .warnings_off = true };
	struct result t;

	(void)state;
	sema(&t, bare);
	assert_int_equal(t.diags.warnings, 1);
	done(&t);
	sema(&t, "if rss > 1GiB then SIGKILL it allow W002");
	assert_int_equal(t.diags.warnings, 0);
	done(&t);
	sema_len(&t, bare, strlen(bare), &off);
	assert_int_equal(t.diags.warnings, 0);
	done(&t);
}

/* Texts that break off anywhere, and texts with a byte gone: an answer, never a crash. */
static void broken_texts(void **state)
{
	static const char text[] =
		"let b = comm ~ /^(c|f)/\nprotect b and age < 1min\nprefer b\n"
		"rule low \"m\" if mem.available < 5% for 2s until mem.available > 10%\n"
		"then SIGTERM largest by anon where not b or rate(rss, 5s) > 10MiB then after 5s SIGKILL\n"
		"cooldown 30s limit 3 per 10min notify \"{comm} {{ {pid}\"\n"
		"rule f if tasks.rate > 500/s or count(where age < 1s) > 2000 then SIGSTOP tree of newest where "
		"children > 50 and uid in (\"root\", 5) and held(cpu > 5%, 1s) and max(rss) between 1GiB and 2GiB";
	struct result t;
	char buf[sizeof text];

	(void)state;
	for (size_t i = 0; i < sizeof text; i++) {
		sema_len(&t, text, i, &host);
		done(&t);
	}
	for (size_t i = 0; i + 1 < sizeof text; i++) {
		memcpy(buf, text, i);
		memcpy(buf + i, text + i + 1, sizeof text - i - 1);
		sema_len(&t, buf, sizeof text - 2, &host);
		done(&t);
	}
}

/* All the way: an image that the verifier passes, or none and a reason. */
static void whole_compiler(void **state)
{
	static const struct { const char *text; bool good; } policy[] = {
		{ "if rss > 80% then SIGKILL largest", true },
		{ "protect uptime < 5min\nif swap.free < 10% and cpu > 90% for 5s then SIGSTOP it notify \"{comm}\"", true },
		{ "", true },
		{ "if rss > 5s then log it", false },
		{ "if rss >", false },
		{ "if rss > 1GiB then SIGKILL it\nif", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof policy / sizeof policy[0]; i++) {
		struct gf_source src = { .name = "t", .text = policy[i].text, .len = strlen(policy[i].text) };
		struct gf_image_header *image = NULL;
		struct gf_diags diags = { 0 };
		struct gf_err err = { "" };
		size_t size = 0;
		int r = gf_compile(&src, 1, &host, &diags, &image, &size);

		assert_int_equal(r, policy[i].good ? 0 : -EINVAL);
		assert_int_equal(policy[i].good, image != NULL);
		assert_int_equal(policy[i].good, diags.errors == 0);
		if (image)
			assert_int_equal(gf_verify(image, size, &err), 0);
		free(image);
		gf_diags_deinit(&diags);
	}
}

static void field_table(void **state)
{
	size_t n, host_fields = 0, task_fields = 0, texts_n = 0, derived = 0;
	const struct gf_field_info *f = gf_fields(&n);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		assert_ptr_equal(gf_field_find(f[i].name), &f[i]); /* no name twice */
		assert_true(f[i].doc[0] && f[i].sources[0]);
		assert_true(f[i].lo <= f[i].hi);
		/* the language's rule: host fields have a dot; uptime is the one without */
		assert_int_equal(strchr(f[i].name, '.') != NULL || !strcmp(f[i].name, "uptime"),
				 f[i].scope == GF_SCOPE_HOST);
		derived += f[i].derived;
		texts_n += f[i].str;
		host_fields += !f[i].derived && f[i].scope == GF_SCOPE_HOST;
		task_fields += !f[i].derived && !f[i].str && f[i].scope == GF_SCOPE_TASK;
	}
	assert_int_equal(host_fields, GF_HF_COUNT);
	assert_int_equal(task_fields, GF_TF_COUNT);
	assert_int_equal(texts_n, GF_SF_COUNT);
	assert_int_equal(derived, GF_DF_COUNT);
	assert_null(gf_field_find("nothing"));
	assert_null(gf_field_find(""));
}

static void values(void **state)
{
	static const struct { double v; enum gf_dim dim; const char *text; } want[] = {
		{ 0, GF_DIM_BYTES, "0 B" }, { 512, GF_DIM_BYTES, "512 B" }, { 1536, GF_DIM_BYTES, "1.5 KiB" },
		{ 1.5 * 1073741824, GF_DIM_BYTES, "1.5 GiB" }, { 1048575, GF_DIM_BYTES, "1.0 MiB" },
		{ 12 * 1048576, GF_DIM_BYTERATE, "12.0 MiB/s" }, { -2048, GF_DIM_BYTES, "-2.0 KiB" },
		{ 2.5e9, GF_DIM_TIME, "2.5 s" }, { 3780e9, GF_DIM_TIME, "1 h 3 min" }, { 3600e9, GF_DIM_TIME, "1 h" },
		{ 59.99e9, GF_DIM_TIME, "1 min" }, { 90e9, GF_DIM_TIME, "1 min 30 s" }, { 90000e9, GF_DIM_TIME, "1 d 1 h" },
		{ 5e6, GF_DIM_TIME, "5.0 ms" }, { 0, GF_DIM_TIME, "0 s" }, { 250, GF_DIM_TIME, "250 ns" },
		{ 87, GF_DIM_PCT, "87.0 %" }, { 42, GF_DIM_NUM, "42" }, { 0.125, GF_DIM_NUM, "0.12" },
		{ 500, GF_DIM_RATE, "500/s" }, { 'D', GF_DIM_ENUM_STATE, "D" }, { SCHED_FIFO, GF_DIM_ENUM_SCHED, "fifo" },
		{ SCHED_IDLE, GF_DIM_ENUM_SCHED, "idle" }, { 4, GF_DIM_ENUM_SCHED, "4" }, { 1000, GF_DIM_UID, "1000" },
		{ 1, GF_DIM_BOOL, "true" }, { 1e300, GF_DIM_NUM, "1e+300" }, { NAN, GF_DIM_BYTES, "unknown" },
		{ INFINITY, GF_DIM_TIME, "infinite" },
	};
	char buf[64], small[4];

	(void)state;
	for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
		assert_string_equal(gf_value_text(want[i].v, want[i].dim, buf, sizeof buf), want[i].text);
	assert_string_equal(gf_value_text(1.5 * 1073741824, GF_DIM_BYTES, small, sizeof small), "1.5");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(percent_of_memory), cmocka_unit_test(percent_of_swap),
		cmocka_unit_test(derived_fields),    cmocka_unit_test(units),
		cmocka_unit_test(names_that_are_numbers), cmocka_unit_test(texts),
		cmocka_unit_test(lets),		     cmocka_unit_test(between),
		cmocka_unit_test(over_tasks),	     cmocka_unit_test(hashes),
		cmocka_unit_test(rules),	     cmocka_unit_test(until_of_a_task),
		cmocka_unit_test(classes),	     cmocka_unit_test(templates),
		cmocka_unit_test(targets),	     cmocka_unit_test(kinds_of_target),
		cmocka_unit_test(paths_are_numbers),  cmocka_unit_test(path_texts),
		cmocka_unit_test(limits),	     cmocka_unit_test(silenced),
		cmocka_unit_test(broken_texts),	     cmocka_unit_test(whole_compiler),
		cmocka_unit_test(field_table),
		cmocka_unit_test(values),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
