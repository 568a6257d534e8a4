/* SPDX-License-Identifier: MIT
 *
 * fmt: the form itself, that it changes no meaning, loses no comment and is
 * idempotent; on texts by hand and on texts made at random (GPUFAS_SEED repeats a run).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "compiler/compiler.h"
#include "tests/unit/ast_compare.h"

static struct gf_source source(const char *text)
{
	return (struct gf_source){ .name = "t", .text = text, .len = strlen(text) };
}

/* Formats, or fails the test with what the compiler says. */
static char *format(const char *text)
{
	struct gf_source src = source(text);
	struct gf_diags diags = { 0 };
	char *ret = NULL;
	size_t len = 0;
	int rc = gf_fmt(&src, &diags, &ret, &len);
	if (rc) {
		gf_diags_print(&diags, &src, 1, stderr, false);
		print_error("does not format:\n%s\n", text);
	}
	assert_int_equal(rc, 0);
	assert_int_equal(strlen(ret), len);
	gf_diags_deinit(&diags);
	return ret;
}

static void expect(const char *text, const char *want)
{
	char *got = format(text);
	assert_string_equal(got, want);
	free(got);
}

static char *dump_of(const char *text, uint32_t *ret_comments)
{
	struct gf_source src = source(text);
	struct gf_diags diags = { 0 };
	struct gf_ast *ast;
	assert_int_equal(gf_parse(&src, 0, &diags, &ast), 0);
	if (diags.errors)
		gf_diags_print(&diags, &src, 1, stderr, false);
	assert_int_equal(diags.errors, 0);
	char *ret = dump_ast(ast);
	*ret_comments = ast->comments;
	gf_ast_free(ast);
	gf_diags_deinit(&diags);
	return ret;
}

/* What must hold of any text. */
static void check_laws(const char *text)
{
	uint32_t before, after;
	char *once = format(text), *twice = format(once);
	char *a = dump_of(text, &before), *b = dump_of(once, &after);
	if (strcmp(once, twice) || strcmp(a, b) || before != after)
		print_error("---- text\n%s\n---- formatted\n%s\n---- again\n%s\n", text, once, twice);
	assert_string_equal(once, twice);
	assert_string_equal(a, b);
	assert_int_equal(before, after);
	free(once);
	free(twice);
	free(a);
	free(b);
}

static void test_form(void **state)
{
	(void)state;
	expect("", "");
	expect("\n\n # only\n\n\n\n", "# only\n");
	expect("if rss>80% then kill largest", "if rss > 80% then SIGKILL largest\n");
	expect("if a then TERM it; if b then KILL it;", "if a then SIGTERM it\nif b then SIGKILL it\n");
	expect("let x=(1+2)*3", "let x = (1 + 2) * 3\n");
	expect("rule r \"t\" if a for 3 periods until b then sigstop it then after 5s sigcont notify \"n\" observe "
	       "limit 1 per 1h cooldown 30s allow W003 allow W001",
	       "rule r \"t\"\n  if a for 3 periods until b\n  then SIGSTOP it\n  then after 5s SIGCONT\n"
	       "  cooldown 30s  limit 1 per 1h  observe\n  notify \"n\"\n  allow W003, W001\n");
	expect("if a 3 times within 10s then log", "if a for 3 times within 10s then log\n");
	expect("if cpu > 95% for 30s and nice < 10 then SIGSTOP it",
	       "if cpu > 95% for 30s and nice < 10 then SIGSTOP it\n");
	expect("if a\r\nthen log # c\r\n", "if a then log # c\n");
	expect("\xef\xbb\xbfif a then log", "if a then log\n");
	expect("let a = 1\n\n\n\nlet b = 2\nlet c = 3", "let a = 1\n\nlet b = 2\nlet c = 3\n");
}

static void test_parentheses(void **state)
{
	(void)state;
	static const char *const v[][2] = {
		{ "(a and b) or c", "a and b or c" },
		{ "a and (b or c)", "a and (b or c)" },
		{ "a and (b and c)", "a and (b and c)" },
		{ "(a and b) and c", "a and b and c" },
		{ "not (a and b)", "not (a and b)" },
		{ "not (a < b)", "not a < b" },
		{ "(not a) and b", "not a and b" },
		{ "x - (y - z)", "x - (y - z)" },
		{ "(x - y) - z", "x - y - z" },
		{ "(x + y) * z", "(x + y) * z" },
		{ "x + (y * z)", "x + y * z" },
		{ "-(x + y)", "-(x + y)" },
		{ "-(-x)", "-(-x)" },
		{ "((((x))))", "x" },
		{ "(a < b) == c", "(a < b) == c" },
		{ "x not in (1, 2)", "not x in (1, 2)" },
		{ "x between (1) and (2 + 3)", "x between 1 and 2 + 3" },
		{ "f(where (a or b))", "f(where a or b)" },
		{ "sum((rss) where x)", "sum(rss where x)" },
		{ "10/(s)", "10 / s" },
		{ "x ~ /a\\/b\\\\/", "x ~ /a\\/b\\\\/" },
		{ "\"\\x41\\t\\xff\\\"\\\\\" == x", "\"A\\t\\xff\\\"\\\\\" == x" },
	};
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		char text[256], want[256];
		snprintf(text, sizeof text, "let v = %s", v[i][0]);
		snprintf(want, sizeof want, "let v = %s\n", v[i][1]);
		expect(text, want);
		check_laws(text);
	}
}

static void test_comments(void **state)
{
	(void)state;
	expect("# a\n\n# b\nlet x = 1 # t\n# c", "# a\n\n# b\nlet x = 1 # t\n# c\n");
	/* one behind words stays behind them, and keeps the rule apart */
	expect("if a # why\nthen log", "if a # why\n  then log\n");
	expect("rule r\n# if\nif a # x\nand b # y\nthen log # z\n# cl\ncooldown 5s # w\n",
	       "rule r\n  # if\n  if a # x\n      and b # y\n  then log # z\n  # cl\n  cooldown 5s # w\n");
	/* a clause commented out stays with its rule, a remark at the margin with what follows */
	expect("rule r\n  if a then log\n  # cooldown 5s\n# next\nlet b = 1\n",
	       "rule r\n  if a\n  then log\n  # cooldown 5s\n# next\nlet b = 1\n");
	/* two behind one line: the first goes above */
	expect("let x = f(a, # one\n b) # two\n", "# one\nlet x = f(a, b) # two\n");
	expect("rule r if a then log cooldown 5s # c\nlimit 1 per 5s # l\n",
	       "rule r\n  if a\n  then log\n  cooldown 5s # c\n  limit 1 per 5s # l\n");
}

static void test_long(void **state)
{
	(void)state;
	char text[4096] = "if a0 > 1";
	for (int i = 1; i < 20; i++)
		sprintf(text + strlen(text), " or field%d > %d", i, i);
	strcat(text, " for 5s then log");
	char *got = format(text);
	assert_non_null(strstr(got, "if a0 > 1\n    or field1 > 1\n"));
	assert_non_null(strstr(got, "\n    for 5s\n  then log\n"));
	free(got);
	check_laws(text);
}

static void test_refuses(void **state)
{
	(void)state;
	struct gf_source src = source("if a theen log");
	struct gf_diags diags = { 0 };
	char *ret = NULL;
	size_t len;
	assert_int_equal(gf_fmt(&src, &diags, &ret, &len), -EINVAL);
	assert_null(ret);
	assert_int_equal(diags.errors, 1);
	gf_diags_deinit(&diags);
}

/* ---- texts at random ----------------------------------------------------- */

static uint64_t rng;
static uint32_t dice(uint32_t n)
{
	rng = rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(rng >> 33) % n;
}

struct gen {
	char v[1 << 16];
	size_t n;
};

static void put(struct gen *g, const char *s)
{
	size_t n = strlen(s);
	if (g->n + n + 1 < sizeof g->v) {
		memcpy(g->v + g->n, s, n + 1);
		g->n += n;
	}
}

/* A word, and what may stand between two words. */
static void word(struct gen *g, const char *s)
{
	static const char *const comments[] = { "# c\n", "#\n", "## two # c  \n", "\n  # own\n", "\n# margin\n\n\n" };
	put(g, s);
	switch (dice(20)) {
	case 0:
		put(g, "\n");
		break;
	case 1:
		put(g, "\t\n \n");
		break;
	case 2:
		put(g, dice(4) ? " " : comments[dice(5)]);
		break;
	default:
		put(g, " ");
	}
}

#define PICK(...) ((const char *const[]){ __VA_ARGS__ })[dice(sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))]

static void gen_expr(struct gen *g, int depth);

static void gen_leaf(struct gen *g)
{
	switch (dice(6)) {
	case 0:
		word(g, PICK("5", "1_000", "80%", "1.5GiB", "10MiB/s", "500/s", "30/min", "5s", "3min", "20K"));
		break;
	case 1:
		word(g, PICK("\"ssh\"", "\"\\x01\\n\\\"\"", "\"tmux: server\"", "\"# no comment\"", "\"é\\\\\""));
		break;
	case 2:
		word(g, PICK("task->mm->map_count", "task->signal->rlim[7].rlim_cur", "true", "false"));
		break;
	default:
		word(g, PICK("rss", "mem.available", "cgroup", "session", "user", "limit", "psi.cpu.some.avg10", "load.1",
			     "largest", "for", "notify", "x_1", "it", "tree"));
	}
}

static void gen_list(struct gen *g, int depth, const char *end)
{
	for (uint32_t i = 0, n = 1 + dice(3); i < n; i++) {
		if (i)
			word(g, ",");
		gen_expr(g, depth - 1);
	}
	word(g, end);
}

/* Everything but leaves and calls in parentheses, and often more of them than needed:
 * which ones are is for fmt to know. */
static void gen_expr(struct gen *g, int depth)
{
	if (depth <= 0) {
		gen_leaf(g);
		return;
	}
	bool paren = dice(3) != 0;
	switch (dice(8)) {
	case 0:
		word(g, "(");
		gen_expr(g, depth - 1);
		word(g, ")");
		break;
	case 1:
		paren = true;
		word(g, "(");
		word(g, PICK("not", "-", "- -", "not not"));
		word(g, "(");
		gen_expr(g, depth - 1);
		word(g, ")");
		word(g, ")");
		break;
	case 2:
		word(g, PICK("rate", "count", "tree", "min", "session", "held"));
		word(g, "(");
		switch (dice(3)) {
		case 0:
			word(g, "where");
			gen_expr(g, depth - 1);
			word(g, ")");
			break;
		case 1:
			gen_leaf(g);
			word(g, "where");
			gen_expr(g, depth - 1);
			word(g, ")");
			break;
		default:
			gen_list(g, depth, ")");
		}
		break;
	case 3:
		word(g, "(");
		gen_leaf(g);
		word(g, PICK("~ /a\\/b/", "~ /^(a|b\\\\)$/", "~ /#/", "~ \"g*\"", "in (1, 2)", "not in (\"a\")",
			     "between 1 and 2", "not between x and y"));
		word(g, ")");
		break;
	default:
		if (paren)
			word(g, "(");
		if (paren)
			gen_expr(g, depth - 1);
		else
			gen_leaf(g);
		word(g, paren ? PICK("and", "or", "+", "-", "*", "/ ") : PICK("and", "or", "+"));
		if (dice(2) && paren) {
			word(g, "(");
			gen_expr(g, depth - 1);
			word(g, ")");
		} else {
			gen_leaf(g);
		}
		if (paren)
			word(g, ")");
	}
}

static void gen_selector(struct gen *g)
{
	if (dice(3) == 0)
		word(g, PICK("tree of", "pgrp of", "session of", "cgroup of", "user of"));
	word(g, PICK("it", "each", "largest", "smallest 3", "oldest", "newest 2"));
	bool where_first = dice(2);
	for (int i = 0; i < 2; i++) {
		if (dice(3))
			continue;
		word(g, (i == 0) == where_first ? "where" : "by");
		gen_expr(g, 2);
	}
}

static void gen_step(struct gen *g)
{
	word(g, "then");
	if (dice(3) == 0)
		word(g, PICK("after 5s", "after 1.5min", "after 0s"));
	const char *verb = PICK("SIGKILL", "kill", "SIGRTMIN+3", "rtmax - 2", "Cont", "freeze", "thaw", "log", "reset", "nmi", "panic", "restart",
				"notify \"x {pid} \\\"\"", "run my-hook.sh", "renice +10", "renice -5", "renice 3",
				"limit memory.max 5 * (1 + rss)");
	word(g, verb);
	if (strcmp(verb, "reset") && strcmp(verb, "nmi") && strcmp(verb, "panic") && strcmp(verb, "restart") && strncmp(verb, "notify", 6) && dice(4))
		gen_selector(g);
}

static void gen_rule(struct gen *g)
{
	if (dice(2)) {
		word(g, PICK("rule low-memory", "rule limit", "rule a.b", "rule X9"));
		if (dice(2))
			word(g, PICK("\"a title\"", "\"\\\"\"", "\"\""));
	}
	word(g, "if");
	gen_expr(g, (int)dice(5));
	if (dice(5) == 0) {
		word(g, PICK("for 5s and", "for 2min or"));
		gen_leaf(g);
	}
	if (dice(2))
		word(g, PICK("for 5s", "for 3 periods", "for 2 times within 1min", "4 times within 3s"));
	if (dice(3) == 0) {
		word(g, "until");
		gen_expr(g, 2);
	}
	for (uint32_t i = 0, n = 1 + dice(3); i < n; i++)
		gen_step(g);
	static const char *const clauses[] = { "cooldown 30s", "limit 3 per 10min", "settle 1s", "priority -3", "observe",
					       "notify \"{comm}\"", "allow W001", "allow W002, W003" };
	uint32_t start = dice(8), count = dice(9);
	for (uint32_t i = 0; i < count; i++)
		word(g, clauses[(start + i * 3) % 8]);
}

static void test_random(void **state)
{
	(void)state;
	const char *env = getenv("GPUFAS_SEED");
	uint64_t seed = env ? strtoull(env, NULL, 0) : (uint64_t)time(NULL);
	print_message("# GPUFAS_SEED=%llu\n", (unsigned long long)seed);
	static struct gen g;
	for (int round = 0; round < 1500; round++) {
		rng = seed + (uint64_t)round * UINT64_C(0x9e3779b97f4a7c15);
		g.n = 0;
		for (uint32_t i = 0, n = dice(5); i < n; i++) {
			switch (dice(4)) {
			case 0:
				word(&g, PICK("let a =", "let cgroup =", "let for ="));
				gen_expr(&g, (int)dice(5));
				break;
			case 1:
				word(&g, PICK("protect", "unprotect", "prefer", "avoid"));
				gen_expr(&g, (int)dice(5));
				break;
			default:
				gen_rule(&g);
			}
			if (dice(4) == 0)
				word(&g, ";");
		}
		assert_true(g.n < sizeof g.v - 100);
		g.v[g.n] = 0;
		check_laws(g.v);
	}
}

int main(void)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_form),	cmocka_unit_test(test_parentheses), cmocka_unit_test(test_comments),
		cmocka_unit_test(test_long),	cmocka_unit_test(test_refuses),	    cmocka_unit_test(test_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
