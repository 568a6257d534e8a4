// SPDX-License-Identifier: MIT
/*
 * BTF that lies: every way to contradict itself that the format has, thousands of mutations of a real kernel's, and
 * structures made to be expensive. None may be read past its end, or take long.
 */
#include <stdio.h>

#include "tests/unit/btf_make.h"

/* ---- what is refused ------------------------------------------------------------ */

/* What is made is refused with a sentence that has `word` in it; or, NULL, taken. */
static void expect(struct maker *m, const char *say)
{
	struct gf_btf *b = NULL;
	struct gf_err err = { "" };

	if (!m->out.p)
		make(m);
	int r = gf_btf_create(m->out.p, m->out.n, &b, &err);
	if (!say && r)
		fail_msg("refused: %s", err.text);
	if (say && (r != -EBADMSG || !strstr(err.text, say)))
		fail_msg("expected \"%s\": %d, \"%s\"", say, r, err.text);
	gf_btf_free(b);
	drop(m);
}

static void test_header(void **state)
{
	struct maker *m = with_int();
	struct gf_btf *b;
	struct gf_err err;

	(void)state;
	expect(m, NULL);
	m = mk();
	m->h.magic = 0x9feb;
	expect(m, "big-endian");
	m = mk();
	m->h.magic = 0x1234;
	expect(m, "no BTF");
	m = mk();
	m->h.version = 2;
	expect(m, "version 2");
	m = mk();
	m->h.hdr_len = 20;
	expect(m, "header says");
	m = mk();
	m->h.hdr_len = 4000;
	expect(m, "header says");
	m = with_int();
	make(m);
	m->out.n--;
	expect(m, "cut short");
	m = with_int();
	make(m);
	((struct btf_header *)(void *)m->out.p)->type_len = 0xfffffffc;
	expect(m, "cut short");
	m = with_int();
	make(m);
	((struct btf_header *)(void *)m->out.p)->str_off = 0xffffffff;
	expect(m, "cut short");
	m = with_int();
	m->s[0] = 'x';
	expect(m, "NUL");
	m = with_int();
	m->s[m->chars - 1] = 'x';
	expect(m, "NUL");
	m = mk();
	m->chars = 0;
	expect(m, "no names");
	assert_int_equal(gf_btf_create("", 0, &b, &err), -EBADMSG);
	assert_int_equal(gf_btf_create("\x9f\xeb\x01", 3, &b, &err), -EBADMSG);
	/* without an err, too */
	assert_int_equal(gf_btf_create("", 0, &b, NULL), -EBADMSG);
	uint8_t *big = calloc(1, GF_BTF_MAX + 1);
	memcpy(big, "\x9f\xeb\x01", 3);
	assert_int_equal(gf_btf_create(big, GF_BTF_MAX + 1, &b, &err), -EBADMSG);
	free(big);
}

/* ---- types that contradict themselves ---------------------------------------------- */

static void one(uint32_t kind, uint32_t vlen, uint32_t v, size_t words, const uint32_t *more, const char *say)
{
	struct maker *m = with_int();

	type(m, "x", kind, vlen, v);
	for (size_t i = 0; i < words; i++)
		word(m, more[i]);
	expect(m, say);
}

#define ONE(kind, vlen, v, say, ...) \
	one(BTF_KIND_##kind, vlen, v, sizeof((uint32_t[]){ __VA_ARGS__ }) / 4, (uint32_t[]){ __VA_ARGS__ }, say)
#define BAD "contradicts itself"

static void test_types(void **state)
{
	(void)state;
	/* one of each kind that is well */
	ONE(INT, 0, 16, NULL, 128);
	ONE(ARRAY, 0, 0, NULL, 1, 1, 5);
	ONE(STRUCT, 1, 4, NULL, 0, 1, 0);
	ONE(UNION, 1, 4, NULL, 0, 1, 0);
	ONE(ENUM, 1, 4, NULL, 1, 7);
	ONE(ENUM64, 1, 8, NULL, 1, 7, 7);
	ONE(FUNC_PROTO, 2, 0, NULL, 0, 1, 0, 0);
	ONE(VAR, 0, 1, NULL, 1);
	ONE(DATASEC, 1, 4, NULL, 1, 0, 4);
	ONE(DECL_TAG, 0, 1, NULL, 0xffffffff);
	one(BTF_KIND_PTR, 0, 0, 0, NULL, NULL);
	one(BTF_KIND_FWD, 0, 0, 0, NULL, NULL);
	one(BTF_KIND_FLOAT, 0, 8, 0, NULL, NULL);
	one(BTF_KIND_TYPE_TAG, 0, 1, 0, NULL, NULL);
	one(BTF_KIND_FUNC, 0, 1, 0, NULL, NULL);
	/* kinds that there are not */
	one(0, 0, 0, 0, NULL, "kind 0");
	one(20, 0, 0, 0, NULL, "kind 20");
	one(31, 0, 0, 0, NULL, "kind 31");
	/* what follows is not all there */
	one(BTF_KIND_INT, 0, 4, 0, NULL, "behind its end");
	ONE(ARRAY, 0, 0, "behind its end", 1, 1);
	ONE(STRUCT, 2, 4, "behind its end", 0, 1, 0);
	ONE(STRUCT, 0xffff, 4, "behind its end", 0, 1, 0);
	ONE(ENUM64, 1, 8, "behind its end", 1, 7);
	ONE(TYPEDEF, 0, 1, "cut short", 1);
	/* ids and names out of range, sizes */
	one(BTF_KIND_PTR, 0, 3, 0, NULL, BAD);
	one(BTF_KIND_TYPEDEF, 0, 0x7fffffff, 0, NULL, BAD);
	one(BTF_KIND_FUNC, 0, 3, 0, NULL, BAD);
	ONE(VAR, 0, 3, BAD, 0);
	ONE(DECL_TAG, 0, 3, BAD, 0);
	ONE(ARRAY, 0, 0, BAD, 3, 1, 5);
	ONE(ARRAY, 0, 0, BAD, 1, 3, 5);
	ONE(STRUCT, 1, 4, BAD, 0, 3, 0);
	ONE(STRUCT, 1, 4, BAD, 0, 0, 0);
	ONE(STRUCT, 1, 4, BAD, 1000, 1, 0);
	ONE(ENUM, 1, 4, BAD, 1000, 7);
	ONE(ENUM, 1, 16, BAD, 1, 7);
	ONE(ENUM64, 1, 8, BAD, 0xffffffff, 7, 7);
	ONE(FUNC_PROTO, 1, 0, BAD, 0, 3);
	ONE(FUNC_PROTO, 1, 3, BAD, 0, 1);
	ONE(DATASEC, 1, 4, BAD, 3, 0, 4);
	ONE(INT, 0, 0, BAD, 0);
	ONE(INT, 0, 4, BAD, 33);
	ONE(INT, 0, 17, BAD, 32);
	/* arrays of more than there can be */
	ONE(ARRAY, 0, 0, "larger than 4 GiB", 1, 1, 0x40000000);
	struct maker *m = with_int();
	type(m, "", BTF_KIND_ARRAY, 0, 0);
	word(m, 3), word(m, 1), word(m, 0x10000);
	type(m, "", BTF_KIND_ARRAY, 0, 0);
	word(m, 1), word(m, 1), word(m, 0x10000);
	expect(m, "4 GiB");
}

static void test_cycles(void **state)
{
	static const uint32_t kinds[] = { BTF_KIND_TYPEDEF, BTF_KIND_CONST, BTF_KIND_VOLATILE, BTF_KIND_RESTRICT, BTF_KIND_TYPE_TAG };
	struct maker *m;
	struct gf_btf *b;
	struct gf_btf_member got;

	(void)state;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		one(kinds[i], 0, 2, 0, NULL, "never ends");
	ONE(ARRAY, 0, 0, "never ends", 2, 1, 1);
	/* long, but no circle: far longer than any compiler makes is refused as well */
	m = with_int();
	for (uint32_t i = 1; i < 60; i++)
		type(m, "", BTF_KIND_CONST, 0, i);
	expect(m, NULL);
	m = with_int();
	for (uint32_t i = 1; i < 70; i++)
		type(m, "", BTF_KIND_CONST, 0, i);
	expect(m, "never ends");
	/* A struct in itself, without a name, ends; and through pointers it is well. */
	m = with_int();
	type(m, "task_struct", BTF_KIND_STRUCT, 2, 8);
	member(m, "", 2, 0);
	member(m, "me", 3, 0);
	type(m, "", BTF_KIND_PTR, 0, 2);
	make(m);
	assert_int_equal(gf_btf_create(m->out.p, m->out.n, &b, NULL), 0);
	assert_int_equal(gf_btf_member(b, "task_struct", "nothing", &got), -ENOENT);
	assert_int_equal(gf_btf_member(b, "task_struct", "me", &got), 0);
	gf_btf_free(b);
	drop(m);
}

/* ---- made to be expensive ------------------------------------------------------------ */

static void count(void *arg, const char *name, const char *t, const struct gf_btf_member *m)
{
	(void)name, (void)t, (void)m;
	++*(unsigned *)arg;
}

static void test_expensive(void **state)
{
	struct maker *m = with_int();
	struct gf_btf *b;
	struct gf_btf_member got;
	struct gf_kpath k;
	struct gf_err err = { "" };
	unsigned n = 0;

	(void)state;
	/* Thirty structs, each with a hundred of the next and none with a name: 100^30 members. */
	for (uint32_t i = 0; i < 30; i++) {
		type(m, i ? "" : "task_struct", BTF_KIND_STRUCT, 100, 1u << 28);
		for (uint32_t k2 = 0; k2 < 100; k2++)
			member(m, i == 29 ? "leaf" : "", i == 29 ? 1 : i + 3, 0);
	}
	make(m);
	assert_int_equal(gf_btf_create(m->out.p, m->out.n, &b, &err), 0);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(gf_btf_member(b, "task_struct", "other", &got), -ENOENT);
		assert_int_equal(gf_btf_path(b, "task->other", &k, NULL, NULL, &err), -EINVAL);
		assert_int_equal(gf_btf_list(b, "task", count, &n, &err), 0);
	}
	gf_btf_free(b);
	drop(m);
}

/* As many types as there may be, and one more. */
static void test_too_many(void **state)
{
	size_t n = sizeof(struct btf_header) + 12ull * (BTF_MAX_TYPE + 1) + 1;
	struct btf_header h = { .magic = BTF_MAGIC, .version = BTF_VERSION, .hdr_len = sizeof h, .type_len = 12 * BTF_MAX_TYPE,
				.str_off = 12 * (BTF_MAX_TYPE + 1), .str_len = 1 };
	uint8_t *p = calloc(1, n);
	struct gf_btf *b = NULL;
	struct gf_err err = { "" };

	(void)state;
	assert_non_null(p);
	for (uint32_t i = 0; i <= BTF_MAX_TYPE; i++)
		p[sizeof h + 12ull * i + 7] = BTF_KIND_PTR;
	memcpy(p, &h, sizeof h);
	assert_int_equal(gf_btf_create(p, n, &b, &err), 0);
	assert_int_equal(gf_btf_types(b), BTF_MAX_TYPE);
	gf_btf_free(b);
	h.type_len += 12;
	memcpy(p, &h, sizeof h);
	assert_int_equal(gf_btf_create(p, n, &b, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "more types"));
	free(p);
}

static void test_names_unfit(void **state)
{
	struct maker *m = with_int();
	struct gf_btf *b;
	struct gf_kpath k;
	struct gf_err err = { "" };
	char lengthy[5001];

	(void)state;
	memset(lengthy, 'a', 5000);
	lengthy[5000] = 0;
	type(m, "task_struct", BTF_KIND_STRUCT, 3, 16);
	member(m, lengthy, 1, 0);
	member(m, "\033[2Jx\xff", 1, 32);
	member(m, "far", 1, 16 * 8);
	make(m);
	assert_int_equal(gf_btf_create(m->out.p, m->out.n, &b, &err), 0);
	/* what goes to a terminal is printable */
	assert_int_equal(gf_btf_path(b, "task->?[2Jxy", &k, NULL, NULL, &err), -EINVAL);
	assert_int_equal(gf_btf_path(b, "task->xxx", &k, NULL, NULL, &err), -EINVAL);
	assert_null(strchr(err.text, '\033'));
	assert_int_equal(gf_btf_path(b, "task->aaaa", &k, NULL, NULL, &err), -EINVAL);
	assert_true(strlen(err.text) < sizeof err.text);
	/* a member outside of its struct is never read */
	assert_int_equal(gf_btf_path(b, "task->far", &k, NULL, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.text, "outside"));
	gf_btf_free(b);
	drop(m);
}

/* ---- mutations ------------------------------------------------------------------------- */

/* Everything that may be asked, of whatever was taken. */
static void ask_everything(const struct gf_btf *b)
{
	static const char *const paths[] = {
		"task->mm->map_count", "task->signal->rlim[7].rlim_cur", "task->comm[3]", "task->se.sum_exec_runtime", "task->in_iowait",
		"task->signal->nr_threads", "task->cred->uid.val", "task->mm->rss_stat[1].count", "task->parent->parent->pid",
		"task->no_such", "task->mm->mapcount", "task->mm", "task->comm", "task->signal->rlim",
	};
	static const char *const types[] = { "task_struct", "mm_struct", "signal_struct", "pid", "cred", "list_head", "pid_t" };
	struct gf_btf_member m;
	struct gf_kpath k;
	struct gf_err err;
	unsigned n = 0;
	size_t at, len;
	int64_t v;

	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		if (!gf_btf_path(b, paths[i], &k, &at, &len, &err)) {
			assert_true(k.hops <= GF_KPATH_HOPS && (k.size == 1 || k.size == 2 || k.size == 4 || k.size == 8));
			assert_true(!k.bits || k.bit + k.bits <= k.size * 8);
		}
		gf_btf_list(b, paths[i], count, &n, &err);
	}
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		gf_btf_size(b, gf_btf_type(b, types[i]));
		gf_btf_var(b, types[i]);
		gf_btf_enum(b, types[i], &v);
		gf_btf_member(b, types[i], "pid", &m);
		gf_btf_member(b, types[i], "next", &m);
	}
	gf_btf_list(b, "task", count, &n, &err);
}

static void mutate(uint8_t *p, size_t n)
{
	uint32_t times = 1 + rnd(8);

	while (times--) {
		size_t at = rnd(4) ? rnd((uint32_t)n) : rnd(64), word_at = at & ~3ull;
		uint32_t w;
		if (word_at + 4 > n || at >= n)
			continue;
		memcpy(&w, p + word_at, 4);
		switch (rnd(6)) {
		case 0: p[at] = (uint8_t)rnd(256); continue;
		case 1: p[at] ^= (uint8_t)(1u << rnd(8)); continue;
		case 2: w = rnd(2) ? UINT32_MAX : 0x7fffffffu + rnd(2); break;
		case 3: w += rnd(2) ? 1 : UINT32_MAX; break;
		case 4: w = rnd(4000); break;
		case 5: memcpy(&w, p + (rnd((uint32_t)(n / 4 - 1)) & ~3u), 4); break;
		}
		memcpy(p + word_at, &w, 4);
	}
}

static void test_mutations(void **state)
{
	struct bytes raw = slurp(RUNNING_KERNEL);
	struct guarded g;
	unsigned taken = 0, rounds = 20000;

	(void)state;
	if (!raw.p) {
		printf("# no " RUNNING_KERNEL " here\n");
		skip();
	}
	struct maker *m = cut_down(&raw);
	struct gf_btf *b;
	struct gf_err err = { "" };
	struct gf_kpath k;
	uint8_t *bad = malloc(m->out.n);

	guarded_init(&g, m->out.n);
	if (gf_btf_create(m->out.p, m->out.n, &b, &err) || gf_btf_path(b, "task->mm->map_count", &k, NULL, NULL, &err))
		fail_msg("%s", err.text);
	printf("# seed %" PRIu64 ": %zu bytes, %u types\n", seed, m->out.n, gf_btf_types(b));
	gf_btf_free(b);
	for (unsigned i = 0; i < rounds; i++) {
		size_t n = rnd(8) ? m->out.n : rnd((uint32_t)m->out.n);
		memcpy(bad, m->out.p, m->out.n);
		mutate(bad, m->out.n);
		err.text[0] = 0;
		int r = gf_btf_create(guarded_put(&g, bad, n), n, &b, &err);
		if (r) {
			assert_int_equal(r, -EBADMSG);
			assert_int_not_equal(err.text[0], 0);
			continue;
		}
		taken++;
		ask_everything(b);
		gf_btf_free(b);
	}
	printf("# seed %" PRIu64 ": %u mutations, %u taken\n", seed, rounds, taken);
	assert_true(taken > 100 && taken < rounds);
	guarded_deinit(&g);
	free(bad);
	drop(m);
	free(raw.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_cycles),
		cmocka_unit_test(test_expensive),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_names_unfit),
		cmocka_unit_test(test_mutations),
	};

	rng_init();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
