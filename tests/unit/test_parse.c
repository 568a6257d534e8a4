/* SPDX-License-Identifier: MIT
 *
 * Text to tree: what each form becomes, numbers and units, signals (against the
 * shell's own list), places, and that no bytes are too strange.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gpufas/bytecode.h"
#include "grammar/ast.h"

struct parsed {
	struct gf_source src;
	struct gf_diags diags;
	struct gf_ast *ast;
};

static struct parsed parse_bytes(const char *text, size_t len)
{
	struct parsed p = { .src = { .name = "t", .text = text, .len = len } };
	assert_int_equal(gf_parse(&p.src, 0, &p.diags, &p.ast), 0);
	return p;
}

static void done(struct parsed *p)
{
	gf_ast_free(p->ast);
	gf_diags_deinit(&p->diags);
}

static struct parsed parse(const char *text)
{
	struct parsed p = parse_bytes(text, strlen(text));
	if (p.diags.errors)
		gf_diags_print(&p.diags, &p.src, 1, stderr, false);
	assert_int_equal(p.diags.errors, 0);
	return p;
}

/* The codes of what is wrong with text, in order, with spaces between. */
static void expect_codes(const char *text, const char *want)
{
	struct parsed p = parse_bytes(text, strlen(text));
	char got[512] = "";
	for (size_t i = 0; i < p.diags.n; i++)
		snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i ? " " : "", p.diags.v[i].code);
	if (strcmp(got, want))
		gf_diags_print(&p.diags, &p.src, 1, stderr, false);
	assert_string_equal(got, want);
	done(&p);
}

static void test_numbers(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		double num;
		enum gf_unit unit;
		bool rate;
	} v[] = {
		{ "0", 0, GF_UNIT_NONE, false },
		{ "1_000_000", 1e6, GF_UNIT_NONE, false },
		{ "2.5", 2.5, GF_UNIT_NONE, false },
		{ "80%", 80, GF_UNIT_PCT, false },
		{ "7B", 7, GF_UNIT_BYTES, false },
		{ "1KiB", 1024, GF_UNIT_BYTES, false },
		{ "1.5MiB", 1572864, GF_UNIT_BYTES, false },
		{ "2GiB", 2147483648.0, GF_UNIT_BYTES, false },
		{ "1TiB", 1099511627776.0, GF_UNIT_BYTES, false },
		{ "1kB", 1000, GF_UNIT_BYTES, false },
		{ "3MB", 3e6, GF_UNIT_BYTES, false },
		{ "3GB", 3e9, GF_UNIT_BYTES, false },
		{ "3TB", 3e12, GF_UNIT_BYTES, false },
		{ "1K", 1024, GF_UNIT_BYTES, false },
		{ "1M", 1048576, GF_UNIT_BYTES, false },
		{ "1G", 1073741824, GF_UNIT_BYTES, false },
		{ "1T", 1099511627776.0, GF_UNIT_BYTES, false },
		{ "5ns", 5, GF_UNIT_TIME, false },
		{ "5us", 5e3, GF_UNIT_TIME, false },
		{ "5ms", 5e6, GF_UNIT_TIME, false },
		{ "0.5s", 5e8, GF_UNIT_TIME, false },
		{ "5min", 300e9, GF_UNIT_TIME, false },
		{ "2h", 7200e9, GF_UNIT_TIME, false },
		{ "1d", 86400e9, GF_UNIT_TIME, false },
		{ "500/s", 500, GF_UNIT_NONE, true },
		{ "30/min", 0.5, GF_UNIT_NONE, true },
		{ "10MiB/s", 10485760, GF_UNIT_BYTES, true },
		{ "60MiB/min", 1048576, GF_UNIT_BYTES, true },
	};
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		char text[64];
		snprintf(text, sizeof text, "let a = %s", v[i].text);
		struct parsed p = parse(text);
		const struct gf_expr *e = p.ast->first->expr;
		assert_int_equal(e->kind, GF_EX_NUMBER);
		assert_true(e->num == v[i].num);
		assert_int_equal(e->unit, v[i].unit);
		assert_int_equal(e->per_sec, v[i].rate);
		assert_string_equal(e->text, v[i].text);
		done(&p);
	}
}

static void test_bad_numbers(void **state)
{
	(void)state;
	expect_codes("let a = 5m", "E011");
	expect_codes("let a = 5sec", "E010");
	expect_codes("let a = 5mib", "E010");
	expect_codes("let a = 0x10", "E010");
	expect_codes("let a = 1.2.3", "E009");
	expect_codes("let a = 1_", "E009");
	expect_codes("let a = 1__0", "E009");
	expect_codes("let a = 99999999999999999999", "E012");
	expect_codes("let a = 9999999999TiB", "E012");
	expect_codes("let a = 400000d", "E012");
	expect_codes("let a = 5s/s", "E021");
	expect_codes("let a = 5%/min", "E021");
	expect_codes("if a for 5 then log", "E014");
	expect_codes("if a for 5MiB then log", "E014");
	expect_codes("if a for 2.5 periods then log", "E019");
	expect_codes("if a for 0 times within 5s then log", "E019");
	expect_codes("if a then log largest 0", "E019");
	expect_codes("if a then log largest 2s", "E019");
	expect_codes("if a then log limit 3 per 5", "E014");
	expect_codes("if a then log priority 1.5", "E019");
	char text[700] = "let a = ";
	memset(text + 8, '9', 600);
	expect_codes(text, "E012");
}

static void test_quotients(void **state)
{
	(void)state;
	/* a slash makes a rate only when a unit of time ends there */
	static const char *const v[] = { "10/state", "10 / s", "10/min(rss, 5s)", "10/s.x", "10/(s)", "10/sx" };
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		char text[64];
		snprintf(text, sizeof text, "let a = %s", v[i]);
		struct parsed p = parse(text);
		assert_int_equal(p.ast->first->expr->kind, GF_EX_DIV);
		assert_false(p.ast->first->expr->arg[0]->per_sec);
		done(&p);
	}
}

static void test_precedence(void **state)
{
	(void)state;
	struct parsed p = parse("let x = a or not b and c < d + e * -f / g");
	const struct gf_expr *e = p.ast->first->expr;
	assert_int_equal(e->kind, GF_EX_OR);
	e = e->arg[1];
	assert_int_equal(e->kind, GF_EX_AND);
	assert_int_equal(e->arg[0]->kind, GF_EX_NOT);
	e = e->arg[1];
	assert_int_equal(e->kind, GF_EX_LT);
	e = e->arg[1];
	assert_int_equal(e->kind, GF_EX_ADD);
	e = e->arg[1];
	assert_int_equal(e->kind, GF_EX_DIV);
	assert_int_equal(e->arg[0]->kind, GF_EX_MUL);
	assert_int_equal(e->arg[0]->arg[1]->kind, GF_EX_NEG);
	done(&p);
	p = parse("let x = a between 1 and 2 and b");
	assert_int_equal(p.ast->first->expr->kind, GF_EX_AND);
	assert_int_equal(p.ast->first->expr->arg[0]->kind, GF_EX_BETWEEN);
	done(&p);
	p = parse("let x = a - b - c");
	assert_int_equal(p.ast->first->expr->arg[0]->kind, GF_EX_SUB);
	done(&p);
	expect_codes("let x = a < b < c", "E001");
}

static void test_leaves(void **state)
{
	(void)state;
	struct parsed p = parse("let x = task->signal->rlim[7].rlim_cur > 5");
	assert_int_equal(p.ast->first->expr->arg[0]->kind, GF_EX_PATH);
	assert_string_equal(p.ast->first->expr->arg[0]->text, "task->signal->rlim[7].rlim_cur");
	done(&p);
	p = parse("let x = comm ~ /a\\/b[\\\\]/ or comm == \"q\\\"\\\\\\t\\x41é\"");
	const struct gf_expr *e = p.ast->first->expr;
	assert_int_equal(e->arg[0]->arg[1]->kind, GF_EX_REGEX);
	assert_string_equal(e->arg[0]->arg[1]->text, "a/b[\\\\]");
	assert_string_equal(e->arg[1]->arg[1]->text, "q\"\\\tAé");
	done(&p);
	p = parse("let x = comm in (\"a\", \"b\", \"c\")");
	assert_int_equal(p.ast->first->expr->kind, GF_EX_IN);
	assert_int_equal(p.ast->first->expr->args, 4);
	done(&p);
	p = parse("let x = sum(rss where uid > 5) + count(where true) + f()");
	e = p.ast->first->expr->arg[0]->arg[0];
	assert_int_equal(e->kind, GF_EX_CALL);
	assert_string_equal(e->text, "sum");
	assert_int_equal(e->args, 1);
	assert_int_equal(e->where->kind, GF_EX_GT);
	done(&p);
}

/* Words that are keywords elsewhere, where a value or a name stands. */
static void test_soft_words(void **state)
{
	(void)state;
	static const char *const v[] = { "for", "periods", "times", "within", "until", "after", "cooldown", "limit", "per",
					 "settle", "priority", "observe", "notify", "allow", "freeze", "thaw", "renice",
					 "log", "run", "reset", "nmi", "panic", "restart", "tree", "pgrp", "session", "cgroup", "user", "of",
					 "it", "each", "largest", "smallest", "oldest", "newest", "by" };
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		char text[512];
		snprintf(text, sizeof text,
			 "let %1$s = %1$s + %1$s(%1$s) rule %1$s if %1$s > 5 and %1$s for 5s until %1$s "
			 "then SIGKILL %2$s of largest 3 by %1$s where %1$s then run %1$s it then limit %1$s %1$s it limit 3 per 5s",
			 v[i], "cgroup");
		struct parsed p = parse(text);
		assert_string_equal(p.ast->first->name, v[i]);
		struct gf_stmt *rule = p.ast->first->next;
		assert_non_null(rule);
		assert_string_equal(rule->name, v[i]);
		assert_int_equal(rule->steps, 3);
		assert_true(rule->clauses.limit);
		done(&p);
	}
}

static void test_rule(void **state)
{
	(void)state;
	struct parsed p = parse("rule low-memory \"a title\"\n if mem.available < 5% for 2s until mem.available > 10%\n"
				" then after 1s SIGTERM tree of newest 3 by rss where not browser\n then renice -5\n"
				" notify \"n\" allow W001, W002 priority -7 cooldown 30s limit 3 per 10min settle 1s observe");
	const struct gf_stmt *s = p.ast->first;
	assert_int_equal(s->kind, GF_ST_RULE);
	assert_string_equal(s->name, "low-memory");
	assert_string_equal(s->title, "a title");
	assert_int_equal(s->hold.kind, GF_FOR_TIME);
	assert_true(s->hold.ns == 2e9);
	assert_int_equal(s->until->kind, GF_EX_GT);
	assert_int_equal(s->steps, 2);
	const struct gf_step_ast *t = &s->step[0];
	assert_true(t->after_given && t->after_ns == 1e9);
	assert_int_equal(t->action, GF_ACT_SIGNAL);
	assert_int_equal(t->signal, SIGTERM);
	assert_int_equal(t->sel.group, GF_GROUP_TREE);
	assert_int_equal(t->sel.pick, GF_PICK_NEWEST);
	assert_int_equal(t->sel.n, 3);
	assert_int_equal(t->sel.by->kind, GF_EX_NAME);
	assert_int_equal(t->sel.where->kind, GF_EX_NOT);
	assert_int_equal(s->step[1].action, GF_ACT_RENICE);
	assert_true(s->step[1].amount == -5);
	assert_false(s->step[1].has_selector);
	const struct gf_clauses *c = &s->clauses;
	assert_true(c->cooldown && c->cooldown_ns == 30e9);
	assert_true(c->limit && c->limit_n == 3 && c->limit_ns == 600e9);
	assert_true(c->settle && c->settle_ns == 1e9);
	assert_true(c->priority && c->priority_v == -7);
	assert_true(c->observe && c->notify);
	assert_int_equal(c->allows, 2);
	assert_string_equal(c->allow[1], "W002");
	done(&p);
}

static void test_holds(void **state)
{
	(void)state;
	struct parsed p = parse("if a 3 times within 10s then log if a for 3 times within 10s then log if a for 4 periods then log");
	const struct gf_stmt *s = p.ast->first;
	assert_int_equal(s->hold.kind, GF_FOR_TIMES);
	assert_true(s->hold.count == 3 && s->hold.ns == 10e9);
	assert_int_equal(s->next->hold.kind, GF_FOR_TIMES);
	assert_int_equal(s->next->next->hold.kind, GF_FOR_PERIODS);
	assert_true(s->next->next->hold.count == 4);
	done(&p);
	/* in the middle of a condition: all before it is held */
	p = parse("if a or b for 30s and c for 5s then log");
	s = p.ast->first;
	assert_int_equal(s->hold.kind, GF_FOR_TIME);
	assert_int_equal(s->expr->kind, GF_EX_AND);
	const struct gf_expr *held = s->expr->arg[0];
	assert_int_equal(held->kind, GF_EX_CALL);
	assert_string_equal(held->text, "held");
	assert_true(held->postfix);
	assert_int_equal(held->args, 2);
	assert_int_equal(held->arg[0]->kind, GF_EX_OR);
	assert_true(held->arg[1]->num == 30e9);
	done(&p);
}

/* The shell's list is the oracle: every name, every number, with and without SIG. */
static void test_signals(void **state)
{
	(void)state;
	FILE *sh = popen("bash -c 'for i in $(seq 1 64); do n=$(kill -l $i 2>/dev/null) && echo $i $n; done'", "r");
	assert_non_null(sh);
	int number, seen = 0;
	char name[32];
	while (fscanf(sh, "%d %31s", &number, name) == 2) {
		if (number == 32 || number == 33) /* the C library's own */
			continue;
		seen++;
		char full[40], lower[40];
		snprintf(full, sizeof full, "SIG%s", name);
		for (size_t i = 0; i <= strlen(full); i++)
			lower[i] = (char)(full[i] >= 'A' && full[i] <= 'Z' ? full[i] + 32 : full[i]);
		assert_int_equal(gf_signal_number(name), number);
		assert_int_equal(gf_signal_number(full), number);
		assert_int_equal(gf_signal_number(lower), number);
		assert_int_equal(gf_signal_number(lower + 3), number);
		assert_string_equal(gf_signal_name(number), full);
	}
	assert_int_equal(pclose(sh), 0);
	assert_int_equal(seen, 62);
	static const char *const none[] = { "", "SIG", "SIGKIL", "KILLED", "SIGRTMIN+31", "SIGRTMIN-1", "SIGRTMAX+1",
					    "RTMIN+", "RTMIN+x", "SIGRTMIN+999999999999", "9", "SIGSIGKILL" };
	for (size_t i = 0; i < sizeof none / sizeof *none; i++)
		assert_int_equal(gf_signal_number(none[i]), 0);
	assert_null(gf_signal_name(0));
	assert_null(gf_signal_name(32));
	assert_null(gf_signal_name(65));
	assert_null(gf_signal_name(-1));
	struct parsed p = parse("if a then sigrtmin+3 it then RTMAX - 1 it");
	assert_int_equal(p.ast->first->step[0].signal, SIGRTMIN + 3);
	assert_int_equal(p.ast->first->step[1].signal, SIGRTMAX - 1);
	done(&p);
}

static void test_recovery(void **state)
{
	(void)state;
	/* several errors in one run, and what is between them is read */
	static const char text[] = "let = 5\nlet good = 1\nif a > then log\nif good then log then frob it then log\nlet also = 2 +\n";
	struct parsed p = parse_bytes(text, sizeof text - 1);
	assert_int_equal(p.diags.errors, 4);
	const struct gf_stmt *s = p.ast->first;
	assert_string_equal(s->name, "good");
	assert_int_equal(s->next->kind, GF_ST_RULE);
	assert_int_equal(s->next->steps, 3);
	assert_int_equal(s->next->step[1].signal, 0);
	assert_null(s->next->next);
	done(&p);
	expect_codes("if a then SIGKIL it cooldwon 5s if b theen log", "E013 E001 E001");
	expect_codes("if a && b || ! c then log", "E017 E017 E017");
	expect_codes("if a then log cooldown 5s cooldown 6s then log", "E015 E016");
	expect_codes("if a then log allow 5", "E001");
	expect_codes("if a then log allow E001", "E020");
	expect_codes("if mm->x > 5 then log", "E018");
	expect_codes("if task-> x > 5 then log", "E018");
	expect_codes("let a = \"open\nlet b = \"bad \\q\"", "E003 E005");
	expect_codes("let a = b ~ /open\nlet c = d ~ /open\\", "E004 E004");
	expect_codes("let a = 'x' @ $ ? let b = 1", "E002 E002 E002 E002");
	expect_codes("if a then", "E001");
	expect_codes("rule", "E001");
	expect_codes("then log", "E001");
}

static void test_bytes(void **state)
{
	(void)state;
	static const char text[] = "let a = 1\0\0 let b = \"\xff\" # \xc3\xa9 \xc0\x80";
	struct parsed p = parse_bytes(text, sizeof text - 1);
	assert_int_equal(p.diags.errors, 3);
	assert_string_equal(p.diags.v[0].code, "E007");
	assert_int_equal(p.diags.v[0].span.start, 9);
	assert_int_equal(p.diags.v[0].span.end, 11);
	assert_string_equal(p.diags.v[1].code, "E006");
	assert_string_equal(p.diags.v[2].code, "E006");
	done(&p);
	expect_codes("let a = 1 é", "E002");
	expect_codes("let a = \"\x01\"", "E007");
	expect_codes("rule a if comm ~ /a\x01/ then log it", "E007");
	expect_codes("rule a if comm ~ /a\\\x7f/ then log it", "E007");
	expect_codes("\x01\x02 let a = 1", "E007");
	p = parse_bytes("", 0);
	assert_int_equal(p.diags.errors, 0);
	assert_null(p.ast->first);
	done(&p);
	for (int c = 0; c < 256; c++) { /* every byte alone, and inside of a rule */
		char one[] = { (char)c }, in[32];
		p = parse_bytes(one, 1);
		done(&p);
		int n = snprintf(in, sizeof in, "if a %c b then log", c);
		assert_true(n > 0);
		p = parse_bytes(in, (size_t)n);
		done(&p);
	}
}

static char *repeat(const char *head, const char *s, size_t n, const char *tail)
{
	size_t len = strlen(s), at = strlen(head);
	char *ret = malloc(at + len * n + strlen(tail) + 1);
	assert_non_null(ret);
	memcpy(ret, head, at);
	for (size_t i = 0; i < n; i++, at += len)
		memcpy(ret + at, s, len);
	strcpy(ret + at, tail);
	return ret;
}

static uint32_t true_depth(const struct gf_expr *e)
{
	uint32_t max = e->where ? true_depth(e->where) : 0;
	for (uint32_t i = 0; i < e->args; i++) {
		uint32_t d = true_depth(e->arg[i]);
		max = d > max ? d : max;
	}
	return max + 1;
}

/* However deep or long: an error once, and a tree that is safe to walk. */
static void test_depth(void **state)
{
	(void)state;
	static const struct {
		const char *head, *unit, *tail;
		bool ok_few; /* 150 of them are fine */
	} v[] = {
		{ "let a = ", "(", "", false },	       { "let a = ", "not ", "b", true }, { "let a = ", "- ", "b", true },
		{ "let a = ", "f(", "", false },       { "let a = b", " + b", "", true }, { "let a = b", " or b", "", true },
		{ "let a = b", " and b < 1", "", true }, { "if a", " for 5s and b", " then log", true },
		{ "let a = ", "not (- (", "", false },
	};
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		char *few = repeat(v[i].head, v[i].unit, 150, v[i].tail);
		char *many = repeat(v[i].head, v[i].unit, 40000, v[i].tail);
		struct parsed p = parse_bytes(few, strlen(few));
		if (v[i].ok_few)
			assert_int_equal(p.diags.errors, 0);
		done(&p);
		p = parse_bytes(many, strlen(many));
		assert_int_equal(p.diags.errors, 1);
		assert_string_equal(p.diags.v[0].code, "E008");
		for (const struct gf_stmt *s = p.ast->first; s; s = s->next)
			assert_in_range(true_depth(s->expr), 1, GF_AST_MAX_DEPTH);
		done(&p);
		free(few);
		free(many);
	}
	/* each alone within its limit, together more than the parser's stack */
	char *nots = repeat("", "not ", 150, "(");
	char *mixed = repeat("let a = ", nots, 150, "");
	struct parsed m = parse_bytes(mixed, strlen(mixed));
	assert_int_equal(m.diags.errors, 1);
	assert_string_equal(m.diags.v[0].code, "E008");
	done(&m);
	free(nots);
	free(mixed);
	char *rules = repeat("", "if a > 5 then log cooldown 5s\n", 5000, "");
	struct parsed p = parse(rules);
	done(&p);
	free(rules);
}

static void test_spans(void **state)
{
	(void)state;
	const char *text = "rule r\n  if aa < bb + 1\n  then after 5s KILL largest 2";
	struct parsed p = parse(text);
	const struct gf_stmt *s = p.ast->first;
	assert_int_equal(s->span.start, 0);
	assert_int_equal(s->span.end, strlen(text));
	assert_memory_equal(text + s->name_span.start, "r\n", 2);
	assert_memory_equal(text + s->expr->span.start, "aa < bb + 1", s->expr->span.end - s->expr->span.start);
	assert_int_equal(s->expr->op_span.end - s->expr->op_span.start, 1);
	assert_int_equal(text[s->expr->op_span.start], '<');
	const struct gf_step_ast *t = &s->step[0];
	assert_memory_equal(text + t->after_span.start, "5s", 2);
	assert_memory_equal(text + t->name_span.start, "KILL", 4);
	assert_memory_equal(text + t->sel.span.start, "largest 2", 9);
	assert_memory_equal(text + t->sel.n_span.start, "2", 1);
	done(&p);
}

int main(void)
{
	cmocka_set_message_output(CM_OUTPUT_TAP);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),	  cmocka_unit_test(test_bad_numbers), cmocka_unit_test(test_quotients),
		cmocka_unit_test(test_precedence), cmocka_unit_test(test_leaves),     cmocka_unit_test(test_soft_words),
		cmocka_unit_test(test_rule),	  cmocka_unit_test(test_holds),	      cmocka_unit_test(test_signals),
		cmocka_unit_test(test_recovery),  cmocka_unit_test(test_bytes),	      cmocka_unit_test(test_depth),
		cmocka_unit_test(test_spans),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
