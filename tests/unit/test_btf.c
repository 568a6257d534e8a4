// SPDX-License-Identifier: MIT
/*
 * The BTF reader against other readers of the same bytes: libbpf for every member of every struct, every enumerator
 * and random paths; pahole for three structs. On the running kernel's BTF and on files that GF_BTF_FILES names.
 */
#include <stdio.h>

#include "tests/unit/btf_kit.h"

#include <bpf/btf.h>

/* What both have read of one kernel. */
static const char *file;
static struct bytes raw;
static struct gf_btf *ours;
static struct btf *theirs;

static void load(const char *path)
{
	struct gf_err err = { "" };

	file = path;
	raw = slurp(path);
	assert_non_null(raw.p);
	if (gf_btf_create(raw.p, raw.n, &ours, &err))
		fail_msg("%s: %s", path, err.text);
	theirs = btf__new(raw.p, (uint32_t)raw.n);
	assert_non_null(theirs);
	assert_int_equal(gf_btf_types(ours), btf__type_cnt(theirs) - 1);
}

static void unload(void)
{
	gf_btf_free(ours);
	btf__free(theirs);
	free(raw.p);
}

static const char *name_of(uint32_t off)
{
	return btf__name_by_offset(theirs, off);
}

/* As libbpf sees it, modifiers and typedefs removed. */
static uint32_t bare(uint32_t id)
{
	const struct btf_type *t = btf__type_by_id(theirs, id);

	while (btf_is_mod(t) || btf_is_typedef(t)) {
		id = t->type;
		t = btf__type_by_id(theirs, id);
	}
	return id;
}

static bool is_struct(uint32_t id)
{
	return btf_is_composite(btf__type_by_id(theirs, bare(id)));
}

static uint32_t size_of(uint32_t id)
{
	int64_t n = btf__resolve_size(theirs, id);

	return n < 0 ? 0 : (uint32_t)n;
}

static bool is_number(uint32_t id)
{
	const struct btf_type *t = btf__type_by_id(theirs, bare(id));
	uint32_t n = size_of(id);

	return (btf_is_int(t) || btf_is_any_enum(t)) && (n == 1 || n == 2 || n == 4 || n == 8);
}

static bool is_signed(uint32_t id)
{
	const struct btf_type *t = btf__type_by_id(theirs, bare(id));

	return btf_is_int(t) ? btf_int_encoding(t) & BTF_INT_SIGNED : btf_is_any_enum(t) && btf_kflag(t);
}

/* ---- every member --------------------------------------------------------------- */

static unsigned compared, bit_fields;

static void compare_place(const char *what, const struct gf_btf_member *m, uint32_t id, uint64_t bit_off, uint32_t bits)
{
	const struct btf_type *t = btf__type_by_id(theirs, bare(id));

	if ((uint64_t)m->off * 8 + m->bit != bit_off || m->bits != bits)
		fail_msg("%s: %s: at %u+%u, %u bits; libbpf says %" PRIu64 " bits, %u", file, what, m->off, m->bit, m->bits,
			 bit_off, bits);
	if (m->type != bare(id))
		fail_msg("%s: %s: type %u; libbpf says %u", file, what, m->type, bare(id));
	if (!bits && m->size != size_of(id))
		fail_msg("%s: %s: %u bytes; libbpf says %u", file, what, m->size, size_of(id));
	/* a bit field lies inside of what is loaded for it */
	if (bits && (m->bit + m->bits > m->size * 8 || (m->size & (m->size - 1)) || m->size > 8))
		fail_msg("%s: %s: bits %u to %u in %u bytes", file, what, m->bit, m->bit + m->bits, m->size);
	if (m->is_pointer != btf_is_ptr(t) || m->is_number != is_number(id) || m->is_signed != is_signed(id))
		fail_msg("%s: %s: pointer %u, number %u, signed %u", file, what, m->is_pointer, m->is_number, m->is_signed);
	if (m->elem != (btf_is_array(t) ? size_of(btf_array(t)->type) : 0))
		fail_msg("%s: %s: elements of %u bytes", file, what, m->elem);
}

static void compare_members(const char *in, uint32_t id, uint64_t base)
{
	const struct btf_type *t = btf__type_by_id(theirs, bare(id));
	const struct btf_member *m = btf_members(t);

	for (uint32_t i = 0; i < btf_vlen(t); i++) {
		const char *name = name_of(m[i].name_off);
		uint64_t at = base + btf_member_bit_offset(t, i);
		struct gf_btf_member got;
		char what[256];

		if (!*name) {
			if (is_struct(m[i].type))
				compare_members(in, m[i].type, at);
			continue;
		}
		snprintf(what, sizeof what, "%s.%s", in, name);
		int r = gf_btf_member(ours, in, name, &got);
		if (r)
			fail_msg("%s: %s: %s", file, what, strerror(-r));
		compare_place(what, &got, m[i].type, at, btf_member_bitfield_size(t, i));
		compared++;
		bit_fields += btf_member_bitfield_size(t, i) != 0;
	}
}

static void members_of(const char *path)
{
	unsigned structs = 0, twins = 0;

	load(path);
	compared = bit_fields = 0;
	for (uint32_t id = 1; id < btf__type_cnt(theirs); id++) {
		const struct btf_type *t = btf__type_by_id(theirs, id);
		const char *name = name_of(t->name_off);
		if (!btf_is_composite(t) || !*name)
			continue;
		/* two files of the kernel may use one name for two structs: the first is had */
		if (gf_btf_type(ours, name) != id) {
			assert_true(gf_btf_type(ours, name) < id);
			twins++;
			continue;
		}
		assert_int_equal(gf_btf_size(ours, id), t->size);
		compare_members(name, id, 0);
		structs++;
	}
	printf("# %s: %u structs, %u members, %u of them bit fields; %u structs whose name another has\n", path, structs,
	       compared, bit_fields, twins);
	assert_true(structs > 1000 && compared > 10000 && bit_fields > 100 && twins < structs / 4);
	unload();
}

static void test_members(void **state)
{
	(void)state;
	if (!each_kernel(members_of)) {
		printf("# no " RUNNING_KERNEL " here\n");
		skip();
	}
}

/* ---- names -------------------------------------------------------------------- */

static unsigned compare_enumerators(const struct btf_type *t)
{
	for (uint32_t k = 0; k < btf_vlen(t); k++) {
		const struct btf_enum *e = &btf_enum(t)[k];
		const struct btf_enum64 *e64 = &btf_enum64(t)[k];
		const char *name = name_of(btf_is_enum64(t) ? e64->name_off : e->name_off);
		int64_t want = btf_is_enum64(t) ? (int64_t)btf_enum64_value(e64) :
			       btf_kflag(t)     ? e->val :
						  (int64_t)(uint32_t)e->val;
		int64_t got = 0;

		assert_int_equal(gf_btf_enum(ours, name, &got), 0);
		/* another enum may have had it first, with another value */
		if (got == want)
			compared++;
	}
	return btf_vlen(t);
}

static void names_of(const char *path)
{
	unsigned enumerators = 0, vars = 0;

	load(path);
	compared = 0;
	for (uint32_t id = 1; id < btf__type_cnt(theirs); id++) {
		const struct btf_type *t = btf__type_by_id(theirs, id);
		const char *name = name_of(t->name_off);
		uint32_t got;

		assert_int_equal(gf_btf_size(ours, id), btf_is_fwd(t) || btf_is_func(t) || btf_is_var(t) || btf_is_datasec(t) ||
								 btf_is_decl_tag(t) ? 0 : size_of(id));
		if (btf_is_typedef(t) || btf_is_int(t)) {
			got = gf_btf_type(ours, name);
			assert_true(got && got <= gf_btf_types(ours));
			assert_string_equal(name_of(btf__type_by_id(theirs, got)->name_off), name);
		}
		if (btf_is_any_enum(t))
			enumerators += compare_enumerators(t);
		if (btf_is_var(t)) {
			assert_int_not_equal(gf_btf_var(ours, name), 0);
			vars++;
		}
	}
	printf("# %s: %u enumerators, %u variables\n", path, enumerators, vars);
	assert_true(enumerators > 1000 && compared > enumerators / 10 * 9);
	assert_int_equal(gf_btf_type(ours, "no_such_struct"), 0);
	assert_int_equal(gf_btf_type(ours, ""), 0);
	assert_int_equal(gf_btf_var(ours, "task_struct"), 0);
	assert_int_equal(gf_btf_size(ours, 0), 0);
	assert_int_equal(gf_btf_size(ours, UINT32_MAX), 0);
	int64_t v;
	assert_int_equal(gf_btf_enum(ours, "task_struct", &v), -ENOENT);
	unload();
}

static void test_names(void **state)
{
	(void)state;
	if (!each_kernel(names_of))
		skip();
}

/* ---- random paths ----------------------------------------------------------------- */

struct trip {
	char path[2048];
	struct gf_kpath want; /* hop, hops, off, bit, bits */
	uint64_t bit_off;
	uint32_t bits, type;
	bool too_far, dead;
};

/* A random named member of struct id, anonymous ones looked into. False: it has none. */
static bool pick_member(struct trip *t, uint32_t id)
{
	for (int depth = 0; depth < 10; depth++) {
		const struct btf_type *s = btf__type_by_id(theirs, bare(id));
		if (!btf_is_composite(s) || !btf_vlen(s))
			return false;
		uint32_t i = rnd(btf_vlen(s));
		const struct btf_member *m = &btf_members(s)[i];
		const char *name = name_of(m->name_off);
		t->bit_off += btf_member_bit_offset(s, i);
		t->bits = btf_member_bitfield_size(s, i);
		t->type = m->type;
		if (*name) {
			strncat(t->path, name, sizeof t->path - strlen(t->path) - 1);
			return true;
		}
		id = m->type;
	}
	return false;
}

static void add(struct trip *t, const char *s)
{
	strncat(t->path, s, sizeof t->path - strlen(t->path) - 1);
}

/* On from where t stands, if it can: true. */
static bool go_on(struct trip *t)
{
	uint32_t id = bare(t->type);
	const struct btf_type *b = btf__type_by_id(theirs, id);
	char index[32];

	if (btf_is_composite(b) && btf_vlen(b)) {
		add(t, ".");
		t->dead = !pick_member(t, id);
	} else if (btf_is_array(b) && btf_array(b)->nelems) {
		uint32_t i = rnd(btf_array(b)->nelems);
		snprintf(index, sizeof index, "[%u]", i);
		add(t, index);
		t->type = btf_array(b)->type;
		t->bit_off += 8ull * i * size_of(t->type);
	} else if (btf_is_ptr(b) && is_struct(b->type) && btf_vlen(btf__type_by_id(theirs, bare(b->type)))) {
		/* memory that is not simply the kernel's is refused; have no opinion here */
		if (btf_is_type_tag(btf__type_by_id(theirs, b->type)))
			return false;
		add(t, "->");
		if (t->want.hops == GF_KPATH_HOPS)
			t->too_far = true;
		else
			t->want.hop[t->want.hops++] = (uint32_t)(t->bit_off / 8);
		t->bit_off = 0;
		t->dead = !pick_member(t, b->type);
	} else {
		return false;
	}
	return !t->dead && !t->too_far;
}

/* Pointers to other than the kernel's own memory, which are refused on the way. */
static unsigned foreign;

static void check_trip(const struct trip *t)
{
	struct gf_kpath got;
	struct gf_err err = { "" };
	size_t at = 0, len = 0;
	int r = gf_btf_path(ours, t->path, &got, &at, &len, &err);

	if (t->too_far || !is_number(t->type)) {
		if (r != -EINVAL || !*err.text || at + len > strlen(t->path))
			fail_msg("seed %" PRIu64 ": %s: %s: %d, \"%s\"", seed, file, t->path, r, err.text);
		return;
	}
	if (r && (strstr(err.text, "is a per-CPU pointer") || strstr(err.text, "(__user)"))) {
		foreign++;
		return;
	}
	if (r)
		fail_msg("seed %" PRIu64 ": %s: %s: %s", seed, file, t->path, err.text);
	if (got.hops != t->want.hops || memcmp(got.hop, t->want.hop, got.hops * sizeof *got.hop) ||
	    (uint64_t)got.off * 8 + got.bit != t->bit_off || got.bits != t->bits ||
	    (!got.bits && got.size != size_of(t->type)) || got.is_signed != is_signed(t->type))
		fail_msg("seed %" PRIu64 ": %s: %s: %u hops, at %u+%u, size %u, bits %u", seed, file, t->path, got.hops, got.off,
			 got.bit, got.size, got.bits);
	compared++;
}

static void paths_of(const char *path)
{
	uint32_t task, deepest = 0, refused = 0;

	load(path);
	compared = foreign = 0;
	task = (uint32_t)btf__find_by_name_kind(theirs, "task_struct", BTF_KIND_STRUCT);
	for (int i = 0; i < 20000; i++) {
		struct trip t = { .path = "task->", .type = task };
		uint32_t steps = 1 + rnd(20);
		if (!pick_member(&t, task))
			continue;
		while (steps-- && go_on(&t))
			;
		if (t.dead)
			continue;
		check_trip(&t);
		refused += t.too_far || !is_number(t.type);
		deepest = t.want.hops > deepest ? t.want.hops : deepest;
	}
	printf("# %s: seed %" PRIu64 ": %u paths to numbers, up to %u pointers deep, %u refused, %u through per-CPU or __user ones\n", path, seed,
	       compared, deepest, refused, foreign);
	assert_true(foreign < compared / 10);
	assert_true(compared > 1000 && refused > 1000 && deepest == GF_KPATH_HOPS);
	unload();
}

static void test_paths(void **state)
{
	(void)state;
	if (!each_kernel(paths_of))
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_paths),
	};

	rng_init();
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
