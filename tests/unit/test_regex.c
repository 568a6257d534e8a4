/* SPDX-License-Identifier: MIT
 *
 * Automata against the C library's regexec (REG_EXTENDED, C locale) and fnmatch
 * on generated patterns and strings, plus limits and error places.
 */
#include <errno.h>
#include <fnmatch.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "compiler/sema.h"

static uint64_t rng;
static uint64_t seed;

static uint32_t rnd(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 32) % n;
}

static bool run(const struct gf_automaton *a, const char *s, size_t len)
{
	uint32_t st = 0;
	for (size_t i = 0; i < len; i++)
		st = a->trans[st * a->classes + a->class_of[(unsigned char)s[i]]];
	return a->accept[st];
}

static void compile(const char *pattern, struct gf_automaton *ret)
{
	struct gf_err err = { "" };
	size_t at = 0;
	int r = gf_regex_compile(pattern, strlen(pattern), ret, &at, &err);
	if (r < 0)
		fail_msg("seed %llu: /%s/ at %zu: %s", (unsigned long long)seed, pattern, at, err.text);
}

static bool matches(const char *pattern, const char *s)
{
	struct gf_automaton a;
	compile(pattern, &a);
	bool yes = run(&a, s, strlen(s));
	gf_automaton_deinit(&a);
	return yes;
}

struct buf {
	char p[400];
	size_t n;
};

static void put(struct buf *b, const char *s)
{
	size_t n = strlen(s);
	assert_true(b->n + n < sizeof b->p);
	memcpy(b->p + b->n, s, n + 1);
	b->n += n;
}

static const char *const atoms[] = {
	"a", "b", "c", "ab", ".", "[ab]", "[^a]", "[a-c]", "[]a]", "[^]b-]", "[-a]", "[[:alpha:]]", "[^[:digit:]c]",
	"[[:punct:]b]", "[[.-.]]", "[[=a=]b]", "\\.", "\\*", "\\\\", "[\\]", "\\w", "\\S", "1", "()", " ", "\xc3\xa4",
};

static void gen_alt(struct buf *b, int depth, bool anchors);

static void gen_piece(struct buf *b, int depth, bool anchors)
{
	static const char *const ops[] = { "*", "?", "**", "+", "+?", "{2}", "{1,2}", "{0,2}", "{2,}", "{,2}", "{0}" };
	if (anchors && !rnd(8)) {
		put(b, rnd(2) ? "^" : "$");
		return;
	}
	if (depth > 0 && !rnd(3)) {
		put(b, "(");
		gen_alt(b, depth - 1, anchors);
		put(b, ")");
	} else {
		put(b, atoms[rnd(sizeof atoms / sizeof *atoms)]);
	}
	/* glibc loses anchors where it copies the body of + and {}. */
	if (!rnd(3))
		put(b, ops[rnd(anchors ? 3 : sizeof ops / sizeof *ops)]);
}

static void gen_alt(struct buf *b, int depth, bool anchors)
{
	do {
		for (uint32_t n = rnd(4); n > 0; n--)
			gen_piece(b, depth, anchors);
	} while (!rnd(3) && b->n < 60 && (put(b, "|"), true));
}

/* Newlines only without anchors: glibc lets '$' pass before one in the middle
 * of a string even where REG_NEWLINE is not asked for. */
static void gen_string(struct buf *b, bool newlines)
{
	static const char *const parts[] = { "a", "b", "c", "a", "b", "1", ".", "*", "\\", "-", "]", " ", "_", "\xc3\xa4", "Z", "\n" };
	b->n = 0;
	b->p[0] = '\0';
	for (uint32_t n = rnd(9); n > 0; n--)
		put(b, parts[rnd((uint32_t)(sizeof parts / sizeof *parts) - !newlines)]);
}

static void against_regexec(bool anchors, int patterns)
{
	int compared = 0, positive = 0, too_big = 0;
	struct gf_err err;
	size_t at;
	for (int i = 0; i < patterns; i++) {
		struct buf p = { .n = 0 };
		struct gf_automaton a;
		regex_t re;
		gen_alt(&p, 3, anchors);
		if (!anchors && !rnd(3)) {
			struct buf q = { .n = 0 };
			put(&q, "^(");
			put(&q, p.p);
			put(&q, rnd(2) ? ")$" : ")");
			p = q;
		}
		assert_int_equal(regcomp(&re, p.p, REG_EXTENDED | REG_NOSUB), 0);
		int r = gf_regex_compile(p.p, p.n, &a, &at, &err);
		if (r == -E2BIG && !anchors && ++too_big < patterns / 100) {
			regfree(&re);
			continue;
		}
		if (r < 0)
			fail_msg("seed %llu: /%s/ at %zu: %s", (unsigned long long)seed, p.p, at, err.text);
		for (int k = 0; k < 40; k++) {
			struct buf s;
			gen_string(&s, !anchors);
			bool want = regexec(&re, s.p, 0, NULL, 0) == 0, got = run(&a, s.p, s.n);
			if (want != got)
				fail_msg("seed %llu: /%s/ on \"%s\": regexec says %d, we %d", (unsigned long long)seed, p.p, s.p, want, got);
			compared++;
			positive += want;
		}
		gf_automaton_deinit(&a);
		regfree(&re);
	}
	print_message("# seed %llu: %d comparisons, %d matched\n", (unsigned long long)seed, compared, positive);
	assert_true(positive > compared / 20 && positive < compared - compared / 20);
}

static void test_against_regexec(void **state)
{
	(void)state;
	against_regexec(false, 1500);
}

static void test_against_regexec_anchors(void **state)
{
	(void)state;
	against_regexec(true, 1500);
}

static void test_anchors_in_repeats(void **state)
{
	(void)state;
	assert_true(matches("(^a|b){2}", "ab"));
	assert_false(matches("(^a|b){2}$", "ba"));
	assert_true(matches("(a$|b)+c?$", "bba"));
	assert_false(matches("(a$|b){3}", "aba"));
	assert_true(matches("^(()$)+", ""));
	assert_false(matches("x(()^a)+", "xa"));
	assert_false(matches("a(^b)+", "ab"));
	assert_true(matches("a(^b)*", "a"));
}

static void test_against_fnmatch(void **state)
{
	static const char *const parts[] = { "a", "b", "*", "?", "[ab]", "[!a]", "[a-c]", "\\*", "\\a", ".", "(", "+", "|", "^", "$", "{", "}",
					     "[]b]", "[!]a]", "[\\]b]", "[^]", "[a^]", "[-b]", "[[]", "[a.]", "\\\\", "[\\\\a]" };
	static const char *const bits[] = { "a", "b", "c", "*", ".", "(", "+", "|", "^", "$", "{", "}", "]", "[", "\\", "-" };
	(void)state;
	for (int i = 0; i < 2000; i++) {
		struct buf g = { .n = 0 }, s;
		struct gf_automaton a;
		for (uint32_t n = rnd(6); n > 0; n--)
			put(&g, parts[rnd(sizeof parts / sizeof *parts)]);
		char *re = gf_glob_to_regex(g.p, g.n);
		assert_non_null(re);
		compile(re, &a);
		for (int k = 0; k < 40; k++) {
			s.n = 0;
			s.p[0] = '\0';
			for (uint32_t n = rnd(7); n > 0; n--)
				put(&s, bits[rnd(sizeof bits / sizeof *bits)]);
			bool want = fnmatch(g.p, s.p, 0) == 0, got = run(&a, s.p, s.n);
			if (want != got)
				fail_msg("seed %llu: glob \"%s\" as /%s/ on \"%s\": fnmatch says %d, we %d", (unsigned long long)seed, g.p, re, s.p, want, got);
		}
		gf_automaton_deinit(&a);
		free(re);
	}
}

static void test_set(void **state)
{
	static const char *const v[] = { "sshd", "tmux: server", "a.b", "(sd-pam)", "c++", "x|y", "^", "[kworker/0:1]", "a\\b", "" };
	size_t len[10];
	(void)state;
	for (int i = 0; i < 10; i++)
		len[i] = strlen(v[i]);
	char *re = gf_set_to_regex(v, len, 9);
	for (int i = 0; i < 9; i++)
		assert_true(matches(re, v[i]));
	assert_false(matches(re, ""));
	assert_false(matches(re, "axb"));
	assert_false(matches(re, "sshd "));
	assert_false(matches(re, "x"));
	free(re);
	re = gf_set_to_regex(v, len, 10);
	assert_true(matches(re, ""));
	free(re);
	struct gf_automaton a;
	re = gf_set_to_regex(v, len, 0);
	compile(re, &a);
	assert_true(gf_automaton_matches_none(&a));
	gf_automaton_deinit(&a);
	free(re);
}

static void test_minimal(void **state)
{
	/* The number of states of the minimal automaton, worked out by hand. */
	static const struct { const char *re; int states, classes; } t[] = {
		{ ".*", 1, 1 }, { "", 1, 1 }, { "a*", 1, 1 }, { "a.^", 1, 1 }, { "abc", 4, 4 }, { "^a$", 3, 2 }, { "a|aa|aaa", 2, 2 },
		{ "^(a|b)(a|b)$", 4, 2 }, { "^(ab|cb)$", 4, 3 }, { "^[a-z]*$", 2, 2 }, { "x$", 2, 2 },
	};
	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct gf_automaton a;
		compile(t[i].re, &a);
		if (a.states != t[i].states || a.classes != t[i].classes)
			fail_msg("/%s/: %u states, %u classes, not %d, %d", t[i].re, a.states, a.classes, t[i].states, t[i].classes);
		gf_automaton_deinit(&a);
	}
	struct gf_automaton a;
	compile("^.*(x|)$", &a);
	assert_true(gf_automaton_matches_all(&a));
	gf_automaton_deinit(&a);
	compile("b^a", &a);
	assert_true(gf_automaton_matches_none(&a));
	gf_automaton_deinit(&a);
}

static void test_errors(void **state)
{
	static const struct { const char *re; int at; const char *says; } t[] = {
		{ "ab(c", 2, "never closed" }, { "a)", 1, "without" }, { "a[bc", 1, "never closed" }, { "a[[:alpah:]]", 2, "character class" },
		{ "*a", 0, "nothing to repeat" }, { "a|+", 2, "nothing to repeat" }, { "(?i)x", 0, "have no (?" }, { "a{", 1, "how often" },
		{ "a{2,1}", 1, "smaller" }, { "a{300}", 1, "255" }, { "\\d+", 0, "[0-9]" }, { "(a)\\1", 3, "back ref" }, { "x\\", 1, "at the end" },
		{ "[b-a]", 1, "backwards" }, { "\\bfoo", 0, "boundar" }, { "[\xc3\xa4]", 1, "ASCII" }, { "^*", 1, "nothing to repeat" },
		{ "\\q", 0, "escape" }, { "[a-c-e]", 4, "after a range" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct gf_automaton a;
		struct gf_err err = { "" };
		size_t at = 999;
		assert_int_equal(gf_regex_compile(t[i].re, strlen(t[i].re), &a, &at, &err), -EINVAL);
		if ((int)at != t[i].at || !strstr(err.text, t[i].says))
			fail_msg("/%s/ at %zu: %s", t[i].re, at, err.text);
	}
}

/* Patterns that blow up one of the stages: each must end with an error, soon. */
static void test_limits(void **state)
{
	struct gf_automaton a;
	struct gf_err err;
	size_t at;
	char *deep = malloc(70001), *p;
	static const char *const t[] = {
		"a.{20}b.{20}c", "(a|b)*a(a|b){16}", "((a{255}){255}){255}", "((((){255}){255}){255}){255}", "(x+x+)+y{255}.{255}z",
		"(.*a){20}b{200}(c|.{30})*$",
	};
	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		clock_t begin = clock();
		int r = gf_regex_compile(t[i], strlen(t[i]), &a, &at, &err);
		print_message("# /%s/: %d, %ld ms\n", t[i], r, (long)((clock() - begin) * 1000 / CLOCKS_PER_SEC));
		if (r == 0)
			gf_automaton_deinit(&a);
		else
			assert_int_equal(r, -E2BIG);
	}
	memset(deep, '(', 70000);
	deep[70000] = '\0';
	assert_int_equal(gf_regex_compile(deep, 30000, &a, &at, &err), -EINVAL);
	assert_int_equal(gf_regex_compile(deep, 70000, &a, &at, &err), -E2BIG);
	deep[0] = 'a';
	memset(deep + 1, '*', 30000);
	assert_int_equal(gf_regex_compile(deep, 30000, &a, &at, &err), -EINVAL);
	free(deep);
	/* The limits do not get in the way of long but simple patterns. */
	p = malloc(3001);
	for (int i = 0; i < 3000; i++)
		p[i] = (char)(i % 25 ? 'a' + i % 25 : 'a' + i % 26);
	p[3000] = '\0';
	compile(p, &a);
	assert_int_equal(a.states, 3001);
	assert_true(run(&a, p, 3000));
	gf_automaton_deinit(&a);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_regexec), cmocka_unit_test(test_against_regexec_anchors),
		cmocka_unit_test(test_anchors_in_repeats),
		cmocka_unit_test(test_against_fnmatch), cmocka_unit_test(test_set), cmocka_unit_test(test_minimal),
		cmocka_unit_test(test_errors), cmocka_unit_test(test_limits),
	};
	const char *env = getenv("GF_SEED");
	seed = env ? strtoull(env, NULL, 10) : (uint64_t)time(NULL);
	rng = seed * 0x9e3779b97f4a7c15ull + 1;
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
