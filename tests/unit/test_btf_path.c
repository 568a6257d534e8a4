// SPDX-License-Identifier: MIT
/*
 * Kernel paths: what is said of those that lead nowhere, what may follow one, and types of every kind. The BTF is written by
 * libbpf, so that writer and reader are strangers to each other.
 */
#include <stdio.h>

#include "tests/unit/btf_kit.h"

#include <bpf/btf.h>

static struct gf_btf *ours;

/* Ids of types that much is made of. */
static int t_int, t_ulong, t_char, t_s8, t_ptr_task;

static void member(struct btf *w, const char *name, int type, uint32_t bit_off, uint32_t bits)
{
	assert_int_equal(btf__add_field(w, name, type, bit_off, bits), 0);
}


/* In an order that BTF allows: what a member refers to may come later, so that ids have to be known ahead. */
static struct btf *small_kernel(void)
{
	struct btf *w = btf__new_empty();
	int task, mm, list, arr_char, arr2, flex, anon, in_anon, fn, fwd, en, en64, kuid, wide, dbl, old, old_int, rss;

	assert_non_null(w);
	t_int = btf__add_int(w, "int", 4, BTF_INT_SIGNED);
	t_ulong = btf__add_int(w, "long unsigned int", 8, 0);
	t_char = btf__add_int(w, "char", 1, BTF_INT_CHAR);
	t_s8 = btf__add_int(w, "signed char", 1, BTF_INT_SIGNED);
	int t_bool = btf__add_int(w, "_Bool", 1, BTF_INT_BOOL);
	wide = btf__add_int(w, "__int128", 16, BTF_INT_SIGNED);
	dbl = btf__add_float(w, "double", 8);
	arr_char = btf__add_array(w, t_int, t_char, 16);
	arr2 = btf__add_array(w, t_int, btf__add_array(w, t_int, t_int, 3), 2);
	flex = btf__add_array(w, t_int, t_int, 0);
	fwd = btf__add_fwd(w, "secret", BTF_FWD_STRUCT);
	fn = btf__add_func_proto(w, 0);
	btf__add_func_param(w, "x", t_int);
	en = btf__add_enum(w, "state", 4);
	btf__add_enum_value(w, "NEGATIVE", -1);
	btf__add_enum_value(w, "TWO", 2);
	en64 = btf__add_enum64(w, "big", 8, false);
	btf__add_enum64_value(w, "HUGE_ONE", 0x123456789abcdef0ull);
	kuid = btf__add_struct(w, "", 4);
	member(w, "val", t_int, 0, 0);
	kuid = btf__add_typedef(w, "kuid_t", kuid);
	/* the old way to write a bit field: an int of fewer bits, no kind_flag */
	old_int = btf__add_int(w, "unsigned int", 4, 0);
	((uint32_t *)(uintptr_t)(btf__type_by_id(w, (uint32_t)old_int) + 1))[0] = 5u | 3u << 16;
	old = btf__add_struct(w, "old_bits", 8);
	member(w, "five", old_int, 32, 0);
	rss = btf__add_struct(w, "rss", 8);
	member(w, "count", t_ulong, 0, 0);
	in_anon = btf__add_struct(w, "", 16);
	member(w, "deep", t_ulong, 0, 0);
	member(w, "deeper", t_int, 64, 0);
	anon = btf__add_union(w, "", 16);
	member(w, "", in_anon, 0, 0);
	member(w, "flat", t_ulong, 0, 0);
	list = btf__add_struct(w, "list_head", 8);
	int ptr_list = btf__add_ptr(w, list);
	int three_rss = btf__add_array(w, t_int, rss, 3);
	mm = btf__add_struct(w, "mm_struct", 32);
	member(w, "map_count", t_int, 0, 0);
	member(w, "mm_count", t_int, 32, 0);
	member(w, "rss_stat", three_rss, 64, 0);
	int ptr_mm = btf__add_ptr(w, btf__add_const(w, mm));
	task = btf__add_typedef(w, "task_t", 0); /* its target is set when there is one */
	t_ptr_task = btf__add_ptr(w, task);
	int ptr_fwd = btf__add_ptr(w, fwd), ptr_fn = btf__add_ptr(w, fn), ptr_void = btf__add_ptr(w, 0);
	int ptr_int = btf__add_ptr(w, btf__add_const(w, t_int)), ptr_ptr = btf__add_ptr(w, ptr_int);
	int percpu = btf__add_ptr(w, btf__add_type_tag(w, "percpu", mm)), user = btf__add_ptr(w, btf__add_type_tag(w, "user", mm));
	int rcu = btf__add_ptr(w, btf__add_type_tag(w, "rcu", mm)), io = btf__add_ptr(w, btf__add_type_tag(w, "iomem", mm));
	int st = btf__add_struct(w, "task_struct", 320);
	((struct btf_type *)(uintptr_t)btf__type_by_id(w, (uint32_t)task))->type = (uint32_t)st;
	member(w, "mm", ptr_mm, 0, 0);
	member(w, "", anon, 64, 0);
	member(w, "comm", arr_char, 192, 0);
	member(w, "grid", arr2, 320, 0);
	member(w, "one", t_int, 512, 1);
	member(w, "three", t_int, 513, 3);
	member(w, "packed", t_ulong, 560, 30);
	member(w, "parent", t_ptr_task, 640, 0);
	member(w, "secret", ptr_fwd, 704, 0);
	member(w, "call", ptr_fn, 768, 0);
	member(w, "stack", ptr_void, 832, 0);
	member(w, "number", ptr_int, 896, 0);
	member(w, "numbers", ptr_ptr, 960, 0);
	member(w, "each_cpu", percpu, 1024, 0);
	member(w, "own", user, 1088, 0);
	member(w, "careful", rcu, 1152, 0);
	member(w, "device", io, 1216, 0);
	member(w, "uid", kuid, 1280, 0);
	member(w, "state", en, 1312, 0);
	member(w, "big", en64, 1344, 0);
	member(w, "is", t_bool, 1408, 0);
	member(w, "tiny", t_s8, 1416, 0);
	member(w, "wide", wide, 1536, 0);
	member(w, "real", dbl, 1664, 0);
	member(w, "old", old, 1728, 0);
	member(w, "list", ptr_list, 1792, 0);
	member(w, "rseq", ptr_list, 1856, 0);
	member(w, "rest", flex, 1920, 0);
	btf__add_var(w, "a_variable", BTF_VAR_GLOBAL_ALLOCATED, st);
	return w;
}

static int setup(void **state)
{
	struct btf *w = small_kernel();
	struct gf_err err = { "" };
	uint32_t n;
	const void *raw = btf__raw_data(w, &n);

	(void)state;
	assert_non_null(raw);
	if (gf_btf_create(raw, n, &ours, &err))
		fail_msg("%s", err.text);
	btf__free(w);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	gf_btf_free(ours);
	return 0;
}

/* ---- paths that lead to numbers ----------------------------------------------------- */

static void leads(const char *path, uint32_t hops, uint32_t off, uint32_t size, bool sign, uint32_t bit, uint32_t bits)
{
	struct gf_kpath k;
	struct gf_err err = { "" };

	memset(&k, 0xee, sizeof k);
	if (gf_btf_path(ours, path, &k, NULL, NULL, &err))
		fail_msg("%s: %s", path, err.text);
	if (k.hops != hops || k.off != off || k.size != size || k.is_signed != sign || k.bit != bit || k.bits != bits || k.reserved)
		fail_msg("%s: %u hops, off %u, size %u, signed %u, bits %u+%u", path, k.hops, k.off, k.size, k.is_signed, k.bit, k.bits);
	for (uint32_t i = k.hops; i < GF_KPATH_HOPS; i++)
		assert_int_equal(k.hop[i], 0);
}

static void test_numbers(void **state)
{
	(void)state;
	leads("task->mm->map_count", 1, 0, 4, true, 0, 0);
	leads("task->mm->rss_stat[2].count", 1, 24, 8, false, 0, 0);
	leads("task->mm->rss_stat[TWO].count", 1, 24, 8, false, 0, 0);
	leads("task->deep", 0, 8, 8, false, 0, 0);
	leads("task->deeper", 0, 16, 4, true, 0, 0);
	leads("task->flat", 0, 8, 8, false, 0, 0);
	leads("task->comm[15]", 0, 39, 1, false, 0, 0);
	leads("task->grid[1][2]", 0, 60, 4, true, 0, 0);
	leads("task->one", 0, 64, 4, true, 0, 1);
	leads("task->three", 0, 64, 4, true, 1, 3);
	/* bits 560 to 589: not in one aligned 8 bytes of 512 to 575; 70 to 73 hold them all */
	leads("task->packed", 0, 70, 4, false, 0, 30);
	leads("task->uid.val", 0, 160, 4, true, 0, 0);
	leads("task->state", 0, 164, 4, true, 0, 0);
	leads("task->big", 0, 168, 8, false, 0, 0);
	leads("task->is", 0, 176, 1, false, 0, 0);
	leads("task->tiny", 0, 177, 1, true, 0, 0);
	leads("task->old.five", 0, 220, 4, false, 3, 5);
	leads("task->careful->map_count", 1, 0, 4, true, 0, 0);
	leads("task->parent->parent->parent->parent->parent->parent->parent->parent->tiny", 8, 177, 1, true, 0, 0);
}

/* What a kpath loads, on memory that is what it is made for. */
static void test_follow(void **state)
{
	static _Alignas(8) uint8_t mem[320];
	struct gf_kpath k;
	uint64_t v;

	(void)state;
	memset(mem, 0xff, sizeof mem);
	/* packed: 30 bits from bit 560 on */
	v = 0x2aaaaaaa;
	memcpy(mem + 70, &v, 4);
	assert_int_equal(gf_btf_path(ours, "task->packed", &k, NULL, NULL, NULL), 0);
	uint64_t got = 0;
	memcpy(&got, mem + k.off, k.size);
	got = got >> k.bit & ((1ull << k.bits) - 1);
	assert_int_equal(got, 0x2aaaaaaa);
}

/* ---- and those that do not -------------------------------------------------------------- */

static void says(const char *path, const char *want, const char *part)
{
	struct gf_kpath k;
	struct gf_err err = { "" };
	size_t at = 999, len = 999;
	int r = gf_btf_path(ours, path, &k, &at, &len, &err);

	if (r != -EINVAL || strcmp(err.text, want))
		fail_msg("%s: %d\n got: %s\nwant: %s", path, r, err.text, want);
	if (at + len > strlen(path) || strncmp(path + at, part, len) || strlen(part) != len)
		fail_msg("%s: points at \"%.*s\", not at \"%s\"", path, (int)len, path + at, part);
}

static void test_sentences(void **state)
{
	(void)state;
	says("", "a kernel path starts with `task->`, not with ``", "");
	says("tusk->mm", "a kernel path starts with `task->`, not with `tusk`", "tusk");
	says("task", "`task` is a pointer to struct task_struct, not a number: go on with `->` and a member", "task");
	says("task.mm", "`task` is a pointer (struct task_struct *): write `->` behind it instead of `.`", ".");
	says("task->", "a member's name is missing after `task->`", "");
	says("task->mm->", "a member's name is missing after `task->mm->`", "");
	says("task->mm", "`task->mm` is a pointer to const struct mm_struct, not a number: go on with `->` and a member", "mm");
	says("task->mm.map_count", "`task->mm` is a pointer (const struct mm_struct *): write `->` instead of `.`", ".");
	says("task->uid->val", "`task->uid` is a kuid_t, not a pointer to one: write `.` instead of `->`", "->");
	says("task->uid", "`task->uid` is of type kuid_t, a struct, not a number: go on with `.` and `val`", "uid");
	says("task->old", "`task->old` is a struct old_bits, not a number: go on with `.` and `five`", "old");
	says("task->mm->map_cuont", "struct mm_struct has no member `map_cuont`; did you mean `map_count` or `mm_count`?", "map_cuont");
	says("task->map_count", "struct task_struct has no member `map_count`; did you mean `task->mm->map_count`?", "map_count");
	says("task->uid.value", "kuid_t has no member `value`; it has `val`", "value");
	says("task->parnet->mm", "struct task_struct has no member `parnet`; did you mean `parent`?", "parnet");
	says("task->zzzzzz", "struct task_struct has no member `zzzzzz`", "zzzzzz");
	says("task->comm", "`task->comm` is an array (char[16]): go on with an index, [0] to [15]", "comm");
	says("task->grid[1]", "`task->grid[1]` is an array (int[3]): go on with an index, [0] to [2]", "[1]");
	says("task->comm[16]", "`task->comm` has 16 elements, [0] to [15]: 16 is out of range", "[16]");
	says("task->comm[NEGATIVE]", "`task->comm` has 16 elements, [0] to [15]: -1 is out of range", "[NEGATIVE]");
	says("task->comm[NONE]", "`NONE` is no index: a number or one of the kernel's enumerators is", "[NONE]");
	says("task->comm[]", "`` is no index: a number or one of the kernel's enumerators is", "[]");
	says("task->comm[3", "a `]` is missing after `[3`", "[3");
	says("task->comm.x", "`task->comm` is an array (char[16]): go on with an index, [0] to [15]", ".");
	says("task->rest[0]", "the kernel does not say how many elements `task->rest` has: it cannot be indexed", "[0]");
	says("task->rest", "`task->rest` is an array (int[]) whose length the kernel does not say: it cannot be indexed", "rest");
	says("task->tiny[0]", "`task->tiny` is no array (signed char): it takes no index", "[0]");
	says("task->tiny.x", "`task->tiny` has no members that `.` could name: it is of type signed char", ".");
	says("task->deep x", "` ` does not belong in a kernel path: after `task->deep` come `->`, `.` or `[`", " ");
	says("task->deep-x", "`-` does not belong in a kernel path: after `task->deep` come `->`, `.` or `[`", "-");
	says("task->secret->x", "`task->secret` is a pointer to struct secret, of which the kernel does not say what is in it", "->");
	says("task->call", "`task->call` is a pointer to a function: there is no number in it to compare", "call");
	says("task->stack", "`task->stack` is a pointer to anything (void *): where it leads cannot be read", "stack");
	says("task->number", "`task->number` is a pointer to const int; a path follows only pointers to structs and unions", "number");
	says("task->numbers->x", "`task->numbers` is a pointer to const int *; a path follows only pointers to structs and unions", "->");
	says("task->each_cpu->map_count", "`task->each_cpu` is a per-CPU pointer: every CPU has a value of its own, and a path reads one",
	     "->");
	says("task->own->map_count", "`task->own` points into the process's own memory (__user); a path reads the kernel's", "->");
	says("task->rseq->x", "`task->rseq` points into the process's own memory (__user); a path reads the kernel's", "->");
	says("task->device", "`task->device` points to a device's registers (__iomem), which a path does not read", "device");
	says("task->wide", "`task->wide` is a number of 16 bytes (__int128); 1, 2, 4 and 8 can be read", "wide");
	says("task->real", "`task->real` is a floating point number (double), which the kernel does not use for counts", "real");
	says("task->parent->parent->parent->parent->parent->parent->parent->parent->parent->tiny",
	     "`task->parent->parent->parent->parent->parent->parent->parent->parent->parent` follows 8 pointers already; a path may "
	     "follow 8 at most", "->");
	/* nobody need take the sentence, or the place */
	struct gf_kpath k;
	assert_int_equal(gf_btf_path(ours, "task->nothing", &k, NULL, NULL, NULL), -EINVAL);
}

static void test_members(void **state)
{
	struct gf_btf_member m;
	int64_t v = 0;

	(void)state;
	assert_int_equal(gf_btf_member(ours, "task_struct", "grid[1][1]", &m), 0);
	assert_int_equal(m.off, 56);
	assert_int_equal(gf_btf_member(ours, "task_t", "old.five", &m), 0);
	assert_int_equal(m.off * 8 + m.bit, 220 * 8 + 3);
	assert_int_equal(gf_btf_member(ours, "mm_struct", "rss_stat", &m), 0);
	assert_int_equal(m.size, 24);
	assert_int_equal(m.elem, 8);
	assert_int_equal(gf_btf_member(ours, "task_struct", "mm", &m), 0);
	assert_true(m.is_pointer && m.size == 8 && !m.is_number && m.next == GF_BTF_ARROW);
	/* not through pointers; not at all */
	assert_int_equal(gf_btf_member(ours, "task_struct", "mm->map_count", &m), -EINVAL);
	assert_int_equal(gf_btf_member(ours, "task_struct", "mm.map_count", &m), -EINVAL);
	assert_int_equal(gf_btf_member(ours, "task_struct", "comm[16]", &m), -EINVAL);
	assert_int_equal(gf_btf_member(ours, "task_struct", "", &m), -EINVAL);
	assert_int_equal(gf_btf_member(ours, "task_struct", "nothing", &m), -ENOENT);
	assert_int_equal(gf_btf_member(ours, "nothing", "mm", &m), -ENOENT);
	assert_int_equal(gf_btf_member(ours, "secret", "mm", &m), -ENOENT);
	assert_int_equal(gf_btf_enum(ours, "HUGE_ONE", &v), 0);
	assert_true(v == 0x123456789abcdef0ll);
	assert_int_equal(gf_btf_enum(ours, "NEGATIVE", &v), 0);
	assert_int_equal(v, -1);
	assert_int_equal(gf_btf_size(ours, gf_btf_var(ours, "a_variable")), 320);
	assert_int_equal(gf_btf_var(ours, "another"), 0);
}

/* ---- listings ------------------------------------------------------------------------------ */

struct text {
	char s[4096];
};

static void note(void *arg, const char *name, const char *type, const struct gf_btf_member *m)
{
	static const char *const next[] = { "", ".", "->", "[" };
	struct text *t = arg;
	size_t n = strlen(t->s);

	snprintf(t->s + n, sizeof t->s - n, "%u %s (%s)%s%s\n", m->off, name, type, m->is_number ? " number" : "", next[m->next]);
}

static void lists(const char *path, const char *want_prefix, const char *want)
{
	struct text t = { "" };
	struct gf_err err = { "" };
	char prefix[200] = "";

	if (gf_btf_complete(ours, path, prefix, sizeof prefix, note, &t, &err))
		fail_msg("%s: %s", path, err.text);
	assert_string_equal(prefix, want_prefix);
	assert_string_equal(t.s, want);
}

static void test_lists(void **state)
{
	const char *mm = "0 map_count (int) number\n4 mm_count (int) number\n8 rss_stat (struct rss[3])[\n";

	(void)state;
	lists("task->mm", "task->mm->", mm);
	lists("task->mm->", "task->mm->", mm);
	lists("task->mm->m", "task->mm->", "0 map_count (int) number\n4 mm_count (int) number\n");
	lists("task->mm->map_count", "task->mm->", "0 map_count (int) number\n");
	lists("task->mm->rss_stat", "task->mm->rss_stat", "0 [0..2] (struct rss).\n");
	lists("task->mm->rss_stat[1]", "task->mm->rss_stat[1].", "0 count (unsigned long) number\n");
	lists("task->comm[3]", "task->comm", "27 [3] (char) number\n");
	lists("task->t", "task->", "64 three (int : 3) number\n177 tiny (signed char) number\n");
	lists("task->deep", "task->", "8 deep (unsigned long) number\n");
}

static void test_list_errors(void **state)
{
	struct text a = { "" };
	struct gf_err err = { "" };
	char prefix[200];

	(void)state;
	assert_int_equal(gf_btf_list(ours, "task->tiny", note, &a, &err), -EINVAL);
	assert_string_equal(err.text, "`task->tiny` is a number (signed char): it is used as it is, and nothing follows it");
	assert_int_equal(gf_btf_list(ours, "task->call", note, &a, &err), -EINVAL);
	assert_string_equal(err.text, "`task->call` is a pointer to a function: there is no number in it to compare");
	assert_int_equal(gf_btf_complete(ours, "task->each_cpu", prefix, sizeof prefix, note, &a, &err), -EINVAL);
	assert_int_equal(gf_btf_complete(ours, "task->zzz", prefix, sizeof prefix, note, &a, &err), -EINVAL);
	assert_string_equal(err.text, "struct task_struct has no member `zzz`");
	assert_int_equal(gf_btf_complete(ours, "task->mm.m", prefix, sizeof prefix, note, &a, &err), -EINVAL);
	assert_int_equal(gf_btf_complete(ours, "ta", prefix, sizeof prefix, note, &a, &err), -EINVAL);
	assert_string_equal(a.s, "");
	/* all of task_struct: pointers that lead nowhere are there, and lead nowhere */
	assert_int_equal(gf_btf_list(ours, "task", note, &a, &err), 0);
	assert_non_null(strstr(a.s, "96 call (void (*)(int))\n"));
	assert_non_null(strstr(a.s, "120 numbers (const int **)\n"));
	assert_non_null(strstr(a.s, "128 each_cpu (__percpu struct mm_struct *)\n"));
	assert_non_null(strstr(a.s, "144 careful (__rcu struct mm_struct *)->\n"));
	assert_non_null(strstr(a.s, "40 grid (int[2][3])[\n"));
	assert_non_null(strstr(a.s, "80 parent (task_t *)->\n"));
	assert_non_null(strstr(a.s, "16 deeper (int) number\n24 comm (char[16])[\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers), cmocka_unit_test(test_follow),  cmocka_unit_test(test_sentences),
		cmocka_unit_test(test_members), cmocka_unit_test(test_lists), cmocka_unit_test(test_list_errors),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, setup, teardown);
}
