/* SPDX-License-Identifier: MIT
 *
 * kallsyms: every encoding, with and without being told where the tables are; look-ups; tables that lie.
 */
#include "targets/kallsyms.h"
#include "tests/unit/image.h"

static struct gf_err err;

static void mem_of(const struct img *m, struct gf_kmem *k)
{
	memset(k, 0, sizeof *k);
	k->ram.n = 1;
	k->ram.seg[0] = (struct gf_ram_seg){ 0, m->o.size, m->mem };
	k->pgd.v = m->pgd;
	k->levels = m->o.levels;
	k->phys_base = m->o.phys - (m->start - GF_KERNEL_MAP);
}

static struct gf_kallsyms_at at_of(const struct img *m)
{
	return (struct gf_kallsyms_at){ .names = m->names, .num_syms = m->num_syms, .token_table = m->token_table, .token_index = m->token_index,
					.offsets = m->offsets, .relative_base = m->relative_base, .stext = m->start + IMG_STEXT };
}

/* All of them, in order, with type and address. */
static void same(const struct img *m, const struct gf_kallsyms *s)
{
	assert_int_equal(gf_kallsyms_count(s), m->syms);
	for (uint32_t i = 0; i < m->syms; i++) {
		uint64_t va;
		char type;

		assert_string_equal(gf_kallsyms_name(s, i, &va, &type), m->sym[i].name);
		assert_int_equal(va, m->sym[i].va);
		assert_int_equal(type, m->sym[i].type);
	}
}

static void read_it(const struct img_opts *o, const char *encoding)
{
	struct img *m = img_create(o);
	struct gf_kmem k;
	struct gf_kallsyms *s;
	struct gf_kallsyms_at at = at_of(m);

	mem_of(m, &k);
	if (gf_kallsyms_read(&k, &at, &s, &err))
		fail_msg("%s", err.text);
	same(m, s);
	assert_non_null(strstr(gf_kallsyms_encoding(s), encoding));
	gf_kallsyms_free(s);
	/* What can be done without: the index, and what _stext is. */
	at.token_index = at.stext = 0;
	assert_int_equal(gf_kallsyms_read(&k, &at, &s, &err), 0);
	same(m, s);
	gf_kallsyms_free(s);
	if (!o->short_names) { /* names of more than 127 parts were not possible then: 128 characters were all */
		for (int told = 0; told < 2; told++) {
			if (gf_kallsyms_search(&k, told ? m->start + IMG_STEXT : 0, &s, &err))
				fail_msg("%s", err.text);
			same(m, s);
			gf_kallsyms_free(s);
		}
	}
	img_destroy(m);
}

static void every_encoding(void **state)
{
	static const char *const text[] = { "per-CPU ones absolute", "offsets from the base", "offsets from where they stand" };

	(void)state;
	for (enum img_way way = IMG_PERCPU; way <= IMG_PLACE; way++)
		for (unsigned bits = 0; bits < 8; bits++) {
			struct img_opts o = img_default;

			o.way = way;
			o.old_order = bits & 1;
			o.seqs = bits & 2;
			o.short_names = bits & 4;
			if (way == IMG_PLACE && o.old_order)
				continue; /* never were together */
			read_it(&o, text[way]);
		}
}

static void few_and_many(void **state)
{
	static const uint32_t n[] = { 250, 256, 500, 501, 502, 503, 504, 505, 1010, 1011, 5000 };

	(void)state;
	for (unsigned i = 0; i < sizeof n / sizeof *n; i++)
		for (int old = 0; old < 2; old++) {
			struct img_opts o = img_default;

			o.fillers = n[i];
			o.old_order = old;
			o.seqs = old;
			read_it(&o, "per-CPU");
		}
}

static void look_ups(void **state)
{
	struct img *m = img_create(&img_default);
	struct gf_kallsyms_at at = at_of(m);
	struct gf_kallsyms *s;
	struct gf_kmem k;
	uint64_t va, off, stext = m->start + IMG_STEXT;

	(void)state;
	mem_of(m, &k);
	assert_int_equal(gf_kallsyms_read(&k, &at, &s, &err), 0);
	for (uint32_t i = 0; i < m->syms; i++) {
		assert_int_equal(gf_kallsyms_find(s, m->sym[i].name, &va), 0);
		assert_int_equal(va, m->sym[i].va);
	}
	va = 5;
	assert_int_equal(gf_kallsyms_find(s, "filler_", &va), -ENOENT);
	assert_int_equal(gf_kallsyms_find(s, "", &va), -ENOENT);
	assert_int_equal(va, 5);
	assert_string_equal(gf_kallsyms_at_va(s, stext + 64 + 16 * 7 + 3, &off), "filler_0007");
	assert_int_equal(off, 3);
	assert_int_equal(gf_kallsyms_size(s, stext + 64 + 16 * 7), 16);
	assert_int_equal(gf_kallsyms_size(s, stext + 64 + 16 * 7 + 3), 13);
	assert_string_equal(gf_kallsyms_at_va(s, m->start, &off), "_text");
	assert_string_equal(gf_kallsyms_at_va(s, UINT64_MAX, &off), "_end");
	assert_int_equal(gf_kallsyms_size(s, UINT64_MAX), 0);
	assert_string_equal(gf_kallsyms_at_va(s, 0, &off), "fixed_percpu_data");
	gf_kallsyms_free(s);
	img_destroy(m);
}

/* Of two with one name the first; names of no length, of no type, without end. */
static int spoiled(void (*spoil)(struct img *m, struct gf_kallsyms_at *at))
{
	struct img *m = img_create(&img_default);
	struct gf_kallsyms_at at = at_of(m);
	struct gf_kallsyms *s;
	struct gf_kmem k;
	int r;

	mem_of(m, &k);
	spoil(m, &at);
	memset(&err, 0, sizeof err);
	r = gf_kallsyms_read(&k, &at, &s, &err);
	if (!r)
		gf_kallsyms_free(s);
	else
		assert_true(*err.text);
	img_destroy(m);
	return r;
}

static void too_many(struct img *m, struct gf_kallsyms_at *at)
{
	(void)at;
	memcpy(img_va(m, m->num_syms), "\xff\xff\xff\xff", 4);
}

static void a_few_more(struct img *m, struct gf_kallsyms_at *at)
{
	uint32_t n = m->syms + 1000;

	(void)at;
	memcpy(img_va(m, m->num_syms), &n, 4);
}

static void none(struct img *m, struct gf_kallsyms_at *at)
{
	(void)at;
	memset(img_va(m, m->num_syms), 0, 4);
}

static void endless_token(struct img *m, struct gf_kallsyms_at *at)
{
	(void)at;
	memset(img_va(m, m->token_table), 'a', 0x100000);
}

static void other_index(struct img *m, struct gf_kallsyms_at *at)
{
	(void)at;
	img_va(m, m->token_index)[100] ^= 1;
}

static void zero_length(struct img *m, struct gf_kallsyms_at *at)
{
	(void)at;
	*img_va(m, m->names) = 0;
}

static void endless_name(struct img *m, struct gf_kallsyms_at *at)
{
	(void)at;
	memset(img_va(m, m->names), 0xff, 20000);
}

static void wrong_stext(struct img *m, struct gf_kallsyms_at *at)
{
	(void)m;
	at->stext += 16;
}

static void offsets_outside(struct img *m, struct gf_kallsyms_at *at)
{
	at->offsets = m->start + IMG_LEN - 8;
}

static void nowhere(struct img *m, struct gf_kallsyms_at *at)
{
	(void)m;
	at->names = 0x1000;
}

static void wild(struct img *m, struct gf_kallsyms_at *at)
{
	(void)m;
	at->token_table = UINT64_MAX - 3;
}

static void lies(void **state)
{
	(void)state;
	assert_int_equal(spoiled(too_many), -EBADMSG);
	assert_int_equal(spoiled(a_few_more), -EBADMSG);
	assert_int_equal(spoiled(none), -EBADMSG);
	assert_int_equal(spoiled(endless_token), -EBADMSG);
	assert_int_equal(spoiled(other_index), -EBADMSG);
	assert_int_equal(spoiled(zero_length), -EBADMSG);
	assert_int_equal(spoiled(endless_name), -EBADMSG);
	assert_int_equal(spoiled(wrong_stext), -ENOTSUP);
	assert_int_equal(spoiled(offsets_outside), -EBADMSG);
	assert_int_equal(spoiled(nowhere), -EBADMSG);
	assert_int_equal(spoiled(wild), -EBADMSG);
}

/* Memory full of what looks like tables takes no longer than it may. */
static void look_alikes(void **state)
{
	struct img_opts o = img_default;
	struct img *m;
	struct gf_kallsyms *s;
	struct gf_kmem k;

	(void)state;
	o.fillers = 5000;
	m = img_create(&o);
	mem_of(m, &k);
	/* The index again and again, each with a token table and no names; markers everywhere. */
	for (uint64_t off = IMG_BTF; off + 0x4000 < IMG_DATA; off += 0x4000)
		memcpy(img_va(m, m->start + off), img_va(m, m->token_table), m->token_index + 512 - m->token_table);
	for (uint64_t off = 0x2000; off < IMG_RODATA; off += 4)
		memcpy(img_va(m, m->start + off), &(uint32_t){ off % 0x1000 ? (uint32_t)(off % 0x1000) * 256 : 0 }, 4);
	assert_int_equal(gf_kallsyms_search(&k, 0, &s, &err), 0);
	same(m, s);
	gf_kallsyms_free(s);
	memset(img_va(m, m->names), 0, 64);
	assert_int_equal(gf_kallsyms_search(&k, 0, &s, &err), -ENOTSUP);
	img_destroy(m);
}

static void noise(void **state)
{
	struct img_opts o = img_default;
	struct img *m;
	uint8_t *keep;
	struct gf_kmem k;
	unsigned n = getenv("GF_ROUNDS") ? (unsigned)atoi(getenv("GF_ROUNDS")) : 2000;

	(void)state;
	o.fillers = 300;
	m = img_create(&o);
	mem_of(m, &k);
	keep = malloc(65536);
	memcpy(keep, img_va(m, m->start + IMG_TABLES), 65536);
	for (unsigned i = 0; i < n; i++) {
		struct gf_kallsyms_at at = at_of(m);
		struct gf_kallsyms *s;
		uint64_t *word = &at.names + rnd(7);

		for (unsigned j = rnd(8); j; j--)
			img_va(m, m->start + IMG_TABLES)[rnd(rnd(2) ? 65536 : 6000)] ^= (uint8_t)(1u << rnd(8));
		if (rnd(3) == 0)
			*word += rnd(2) ? rnd(64) : (uint64_t)rnd(UINT32_MAX) << 32;
		if (gf_kallsyms_read(&k, &at, &s, &err) == 0) {
			uint64_t va, off;
			char type;

			for (size_t j = 0; j < gf_kallsyms_count(s); j++) {
				const char *name = gf_kallsyms_name(s, j, &va, &type);

				assert_true(strlen(name) > 0 && gf_kallsyms_find(s, name, &off) == 0);
			}
			gf_kallsyms_at_va(s, va, &off);
			gf_kallsyms_free(s);
		}
		memcpy(img_va(m, m->start + IMG_TABLES), keep, 65536);
	}
	free(keep);
	img_destroy(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_encoding), cmocka_unit_test(few_and_many), cmocka_unit_test(look_ups),
		cmocka_unit_test(lies), cmocka_unit_test(look_alikes), cmocka_unit_test(noise),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	rng_init();
	return cmocka_run_group_tests_name("kallsyms", tests, NULL, NULL);
}
