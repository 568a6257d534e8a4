// SPDX-License-Identifier: MIT
/*
 * The BTF reader against pahole, which reads BTF with code of its own and prints C with offsets in comments: the members
 * of the three structs that most is read from.
 */
#include <stdbool.h>
#include <stdio.h>

#include "tests/unit/btf_kit.h"

static struct gf_btf *ours;

static bool word(char c)
{
	return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* `name` of a declaration such as "struct list_head   tasks;", "char comm[16];", "int x:1;", "void (*f)(int);". */
static bool declared(const char *line, const char *end, char *name, size_t n)
{
	const char *star = memmem(line, (size_t)(end - line), "(*", 2), *s = end;
	size_t len = 0;

	if (star) {
		s = star + 2;
	} else {
		const char *stop = memchr(line, ';', (size_t)(end - line));
		const char *cut = memchr(line, '[', (size_t)(end - line));
		s = stop ? stop : end;
		/* a bit field's width, an array's length */
		if (cut && cut < s)
			s = cut;
		cut = memchr(line, ':', (size_t)(s - line));
		s = cut ? cut : s;
		while (s > line && !word(s[-1]) && s[-1] != '}')
			s--;
		end = s;
		while (s > line && word(s[-1]))
			s--;
	}
	for (; len + 1 < n && s + len < end && word(s[len]); len++)
		name[len] = s[len];
	name[len] = 0;
	return len > 0;
}

/* One struct's comments: "offset[: bit] size". Members of structs that are named here and now (`struct { ... } x;`) go by
 * x's name, which only comes behind them: they are left to libbpf's test. */
struct seen {
	char name[128];
	unsigned off, bit, size;
	bool bits;
};

static size_t read_struct(FILE *f, struct seen *v, size_t cap)
{
	char line[1024];
	size_t n = 0, open[32] = { 0 };
	unsigned depth = 0;

	while (fgets(line, sizeof line, f)) {
		char *comment = strstr(line, "/*"), *brace = strpbrk(line, "{}");
		struct seen s = { .bits = false };
		bool closes = brace && *brace == '}' && (!comment || brace < comment);

		if (brace && *brace == '{' && (!comment || brace < comment)) {
			assert_true(depth + 1 < 32);
			open[++depth] = n;
			continue;
		}
		if (closes && depth && --depth == 0)
			break;
		if (!comment || depth == 0)
			continue;
		int got = sscanf(comment, "/* %u: %u %u */", &s.off, &s.bit, &s.size);
		s.bits = got == 3;
		if (!s.bits && sscanf(comment, "/* %u %u */", &s.off, &s.size) != 2)
			continue;
		if (closes) {
			/* "} name;" or "} __attribute__((...));", or nothing */
			char *after = brace + 1, *attr = strstr(after, "__attribute__");
			if (!declared(after, attr ? attr : comment, s.name, sizeof s.name))
				continue;
			n = open[depth + 1];
		} else {
			char *attr = strstr(line, "__attribute__");
			if (!declared(line, attr ? attr : comment, s.name, sizeof s.name))
				continue;
		}
		assert_true(n < cap);
		v[n++] = s;
	}
	return n;
}

static unsigned compare(const char *path, const char *name)
{
	static struct seen v[1000];
	char command[600];

	snprintf(command, sizeof command, "pahole -F btf -C %s '%s' 2>/dev/null", name, path);
	FILE *f = popen(command, "r");
	assert_non_null(f);
	size_t n = read_struct(f, v, sizeof v / sizeof *v);
	while (fgetc(f) != EOF)
		;
	pclose(f);
	for (size_t i = 0; i < n; i++) {
		struct gf_btf_member m;
		if (gf_btf_member(ours, name, v[i].name, &m))
			fail_msg("%s: %s.%s is not found", path, name, v[i].name);
		if (v[i].bits ? m.off * 8 + m.bit != v[i].off * 8 + v[i].bit || !m.bits : m.off != v[i].off || m.size != v[i].size || m.bits)
			fail_msg("%s: %s.%s: at %u, bit %u, %u bytes, %u bits; pahole says %u, bit %u, %u bytes", path, name, v[i].name,
				 m.off, m.bit, m.size, m.bits, v[i].off, v[i].bit, v[i].size);
	}
	return (unsigned)n;
}

static void one_kernel(const char *path)
{
	static const char *const names[] = { "task_struct", "signal_struct", "mm_struct" };
	struct bytes raw = slurp(path);
	struct gf_err err = { "" };

	assert_non_null(raw.p);
	if (gf_btf_create(raw.p, raw.n, &ours, &err))
		fail_msg("%s: %s", path, err.text);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		unsigned n = compare(path, names[i]);
		printf("# %s: struct %s: %u members\n", path, names[i], n);
		assert_true(n > 30);
	}
	gf_btf_free(ours);
	free(raw.p);
}

static void test_pahole(void **state)
{
	(void)state;
	if (system("command -v pahole >/dev/null 2>&1")) {
		printf("# there is no pahole here (package dwarves)\n");
		skip();
	}
	if (!each_kernel(one_kernel)) {
		printf("# no " RUNNING_KERNEL " here\n");
		skip();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_pahole) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
