/* SPDX-License-Identifier: MIT
 *
 * Finding a kernel in memory made by hand: every form of page tables, notes and symbol tables; what is not a kernel,
 * or no longer one; and memory that lies.
 */
#include "targets/kernel.h"
#include "targets/kallsyms.h"
#include "tests/unit/image.h"

static struct gf_err err;

static struct gf_kernel *found(const struct img *m, struct gf_ramfile **ret_f)
{
	struct gf_ramfile *f = img_open(m);
	struct gf_kernel *k = NULL;
	int r = gf_kernel_find(f, &k, &err);

	if (r)
		fail_msg("%d: %s (%u levels, %s order, %s)", r, err.text, m->o.levels, m->o.old_order ? "old" : "new",
			 m->o.no_note ? "no note" : m->o.bare_note ? "bare note" : "note");
	*ret_f = f;
	return k;
}

/* The error with which a kernel is not found. */
static int missed(const struct img *m, uint64_t cr3)
{
	struct gf_ramfile *f = img_open(m);
	struct gf_kernel *k = NULL;
	int r;

	gf_ramfile_set_cr3(f, cr3);
	memset(&err, 0, sizeof err);
	r = gf_kernel_find(f, &k, &err);
	if (!r)
		gf_kernel_free(k);
	else
		assert_true(*err.text);
	gf_ramfile_close(f);
	return r;
}

static void check(const struct img_opts *o)
{
	struct img *m = img_create(o);
	struct gf_ramfile *f;
	struct gf_kernel *k = found(m, &f);
	struct gf_gpa gpa;
	uint64_t left, va;

	assert_int_equal(k->mem.levels, o->levels);
	assert_int_equal(k->mem.pgd.v, m->pgd);
	assert_int_equal(k->mem.phys_base, o->phys - (m->start - GF_KERNEL_MAP));
	assert_int_equal(k->mem.page_offset, o->page_offset);
	assert_int_equal(k->mem.direct_size, img_end(m));
	assert_int_equal(k->mem.image, m->start);
	assert_int_equal(k->mem.image_end, m->start + IMG_LEN);
	assert_int_equal(k->kaslr, o->no_note ? UINT64_MAX : o->kaslr);
	assert_int_equal(k->vmcoreinfo_gpa, o->no_note ? UINT64_MAX : m->note);
	assert_string_equal(k->release, o->release);
	assert_string_equal(k->notes, "");
	assert_int_equal(gf_kallsyms_count(k->syms), m->syms);
	assert_int_equal(gf_kernel_sym(k, "filler_0007", &va), 0);
	assert_int_equal(va, img_sym_va(m, "filler_0007"));
	assert_true(gf_kernel_still_there(k));
	assert_int_equal(gf_pt_walk(&k->mem.ram, k->mem.pgd, k->mem.levels, o->page_offset + o->phys + 12345, &gpa, &left), 0);
	assert_int_equal(gpa.v, o->phys + 12345);
	memset(img_va(m, m->start + IMG_RODATA), 0, 20);
	assert_false(gf_kernel_still_there(k));
	gf_kernel_free(k);
	gf_ramfile_close(f);
	img_destroy(m);
}

static void every_page_table(void **state)
{
	static const uint32_t shifts[] = { 12, 21, 30 };

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		for (uint32_t levels = 4; levels <= 5; levels++)
			for (int small = 0; small < 2; small++) {
				struct img_opts o = img_default;

				o.levels = levels;
				o.direct_shift = shifts[i];
				o.image_4k = small;
				o.page_offset = levels == 5 ? 0xff2b380a00000000 : o.page_offset;
				check(&o);
			}
}

/* Without CONFIG_RANDOMIZE_MEMORY the direct map is where it always was. */
static void direct_map_by_constant(void **state)
{
	struct img_opts o = img_default;

	(void)state;
	o.no_offset_base = true;
	o.page_offset = 0xffff888000000000;
	check(&o);
	o.levels = 5;
	o.page_offset = 0xff11000000000000;
	check(&o);
}

static void without_note(void **state)
{
	struct img_opts o = img_default;

	(void)state;
	for (uint32_t levels = 4; levels <= 5; levels++)
		for (int old = 0; old < 2; old++) {
			o.levels = levels;
			o.page_offset = levels == 5 ? 0xff2b380a00000000 : 0xffff888040000000;
			o.old_order = old;
			o.no_note = true;
			o.bare_note = false;
			check(&o);
			o.no_note = false;
			o.bare_note = true;
			check(&o);
		}
}

static void decoys(void **state)
{
	struct img *m = img_create(&img_default);
	struct gf_ramfile *f;
	struct gf_kernel *k;
	char text[4096], other[4096];
	size_t n = img_note_text(m, text, sizeof text);

	(void)state;
	/* Between pages; of other tables; without end; of nothing. */
	img_note(m, 0x3000 + 512, text, n);
	memcpy(other, text, n);
	memcpy(strstr(other, "swapper_pg_dir)=") + 16, "ffffffff82345000", 16);
	img_note(m, 0x4000, other, n);
	img_note(m, 0x5000, text, n);
	memcpy(img_at(m, 0x5004), "\xff\xff\xff\xff", 4);
	img_note(m, m->o.size - 4096, text, n - 1);
	memset(img_at(m, m->o.size - 4096) + 24, 'x', 4072);
	k = found(m, &f);
	assert_int_equal(k->vmcoreinfo_gpa, m->note);
	gf_kernel_free(k);
	gf_ramfile_close(f);
	img_destroy(m);
}

/* A reboot does not clear memory: the kernel whose clock is ahead runs. */
static void later_kernel(void **state)
{
	(void)state;
	for (int first = 0; first < 2; first++) {
		struct img *m = img_create(&img_default);
		struct gf_ramfile *f;
		struct gf_kernel *k;
		uint64_t old_pgd = m->pgd;

		m->o.phys = 40 << 20;
		m->o.kaslr = 0x2000000;
		m->o.page_offset += 1ull << 39;
		m->o.wall = first ? m->o.wall - 100 : m->o.wall + 100;
		img_build(m);
		k = found(m, &f);
		assert_int_equal(k->mem.pgd.v, first ? old_pgd : m->pgd);
		gf_kernel_free(k);
		/* CR3 says more than a clock. */
		gf_ramfile_set_cr3(f, (first ? m->pgd : old_pgd) | 0x18);
		assert_int_equal(gf_kernel_find(f, &k, &err), 0);
		assert_int_equal(k->mem.pgd.v, first ? m->pgd : old_pgd);
		gf_kernel_free(k);
		gf_ramfile_close(f);
		img_destroy(m);
	}
}

static void left_over(void **state)
{
	struct img *m = img_create(&img_default);

	(void)state;
	/* Only tables that map something else are in use. */
	assert_int_equal(missed(m, 0x2000), -ENODATA);
	assert_non_null(strstr(err.text, "does not run"));
	memset(img_va(m, m->start + IMG_DATA), 0, 4096);
	assert_int_equal(missed(m, 0), -ENODATA);
	assert_non_null(strstr(err.text, "earlier boot"));
	img_destroy(m);
}

static void not_a_kernel(void **state)
{
	struct img *m = img_create(&img_default);
	char text[4096];

	(void)state;
	memset(m->mem, 0, m->o.size);
	m->mem[0x1000] = 1;
	assert_int_equal(missed(m, 0), -ENODATA);
	assert_non_null(strstr(err.text, "no Linux"));
	strcpy((char *)m->mem + 0x123456, "Linux version 6.9.1 (x@y)");
	assert_int_equal(missed(m, 0), -ENODATA);
	assert_non_null(strstr(err.text, "Linux 6.9.1"));
	assert_non_null(strstr(err.text, "booting"));
	memcpy(m->mem + 0x200000 + 56, "ARM\x64", 4);
	assert_int_equal(missed(m, 0), -ENOTSUP);
	assert_non_null(strstr(err.text, "arm64"));
	snprintf(text, sizeof text, "OSRELEASE=6.1.0-arm64\nSYMBOL(swapper_pg_dir)=ffff800009aa0000\n");
	img_note(m, 0x6000, text, strlen(text));
	assert_int_equal(missed(m, 0), -ENOTSUP);
	assert_non_null(strstr(err.text, "6.1.0-arm64"));
	img_destroy(m);
}

static void lacks_something(void **state)
{
	struct img_opts o = img_default;
	struct img *m;

	(void)state;
	o.no_btf = true;
	m = img_create(&o);
	assert_int_equal(missed(m, 0), -ENOTSUP);
	assert_non_null(strstr(err.text, "CONFIG_DEBUG_INFO_BTF"));
	img_destroy(m);
	m = img_create(&img_default);
	memset(img_va(m, m->start + IMG_BTF), 0, 64);
	assert_int_equal(missed(m, 0), -EBADMSG);
	img_destroy(m);
	o = img_default;
	o.bare_note = true;
	m = img_create(&o);
	memset(img_va(m, m->token_table), 0xff, 64);
	assert_int_equal(missed(m, 0), -ENOTSUP);
	assert_non_null(strstr(err.text, "CONFIG_KALLSYMS"));
	img_destroy(m);
}

static void guess(uint64_t size, uint64_t split, uint64_t phys, bool note)
{
	struct img_opts o = img_default;
	struct gf_ramfile *f;
	struct gf_kernel *k;
	struct img *m;
	char path[64];

	o.size = size;
	o.split = split;
	o.phys = phys;
	o.direct_shift = 30;
	o.no_note = !note;
	m = img_create(&o);
	snprintf(path, sizeof path, "/proc/self/fd/%d", m->fd);
	if (gf_ramfile_open(path, NULL, 0, false, &f, &err))
		fail_msg("%s", err.text);
	assert_int_equal(gf_ramfile_ram(f)->n, split ? 2 : 1);
	assert_int_equal(gf_ramfile_ram(f)->seg[0].size, split ? split : size);
	assert_int_equal(gf_kernel_find(f, &k, &err), 0);
	gf_kernel_free(k);
	gf_ramfile_close(f);
	img_destroy(m);
}

static void guessed_layout(void **state)
{
	(void)state;
	for (int note = 0; note < 2; note++) {
		guess(5ull << 30, 2ull << 30, 16 << 20, note);
		guess(5ull << 30, 3ull << 30, 16 << 20, note);
		guess(5ull << 30, 3ull << 30, 2500ull << 20, note); /* not there under q35's layout */
		guess(5ull << 30, 3ull << 30, 5ull << 30, note);    /* above 4 GiB */
		guess(5ull << 30, 2560ull << 20, 16 << 20, note);   /* nobody's */
		guess(3ull << 30, 0, 16 << 20, note);
	}
}

static void unclear_layout(void **state)
{
	struct img_opts o = img_default;
	struct gf_ramfile *f;
	struct img *m;
	char path[64];

	(void)state;
	o.size = 3ull << 30;
	m = img_create(&o);
	img_w64(m, m->start + IMG_DATA + 0x10008, 0x12345); /* max_pfn of no layout */
	snprintf(path, sizeof path, "/proc/self/fd/%d", m->fd);
	assert_int_equal(gf_ramfile_open(path, NULL, 0, false, &f, &err), -EINVAL);
	assert_non_null(strstr(err.text, "GPA:SIZE@OFFSET"));
	memset(img_at(m, m->note), 0, 4096);
	memset(img_at(m, m->pgd), 0, 4096);
	assert_int_equal(gf_ramfile_open(path, NULL, 0, false, &f, &err), -ENODATA);
	img_destroy(m);
}

/* Tables that lead back to themselves, everywhere: every walk ends. */
static void cycles(void **state)
{
	struct img *m = img_create(&img_default);
	uint64_t *e = (uint64_t *)(void *)img_at(m, m->pgd);

	(void)state;
	for (unsigned i = 0; i < 512; i++)
		e[i] = m->pgd | 0x67;
	assert_int_not_equal(missed(m, 0), 0);
	for (uint64_t gpa = 0; gpa < m->o.size; gpa += 4096) {
		e = (uint64_t *)(void *)img_at(m, gpa);
		for (unsigned i = 0; i < 512; i++)
			e[i] = gpa | 0xe7;
	}
	assert_int_not_equal(missed(m, 0), 0);
	img_destroy(m);
}

/* Bits that flip where it counts. Whatever comes out, it comes out, and reads nothing outside. */
static void bit_flips(void **state)
{
	struct img_opts o = img_default;
	unsigned hits = 0, n = getenv("GF_ROUNDS") ? (unsigned)atoi(getenv("GF_ROUNDS")) : 3000;

	(void)state;
	o.fillers = 300;
	o.size = 32 << 20;
	for (unsigned round = 0; round < 4; round++) {
		o.levels = 4 + (round & 1);
		o.page_offset = round & 1 ? 0xff2b380a00000000 : 0xffff888040000000;
		o.old_order = round >> 1;
		o.no_note = round == 3;
		o.bare_note = round == 2;

		struct img *m = img_create(&o);
		const struct { uint64_t gpa, len; } place[] = {
			{ m->note, 1024 }, { o.phys + IMG_TABLES, 40000 }, { o.phys + IMG_TABLES, 512 }, { o.phys + IMG_DATA, 4096 },
			{ o.phys + IMG_LEN, m->pool - o.phys - IMG_LEN }, { o.phys + IMG_DATA + 0x10000, 128 }, { o.phys + IMG_BTF, 200 },
			{ o.phys + m->token_table - m->start, 2048 }, { o.phys + m->markers - m->start, 64 },
			{ o.phys + m->num_syms - m->start, 16 },
		};
		for (unsigned i = 0; i < n / 4; i++) {
			uint8_t *at[4], was[4];
			unsigned flips = 1 + rnd(4);

			for (unsigned k = 0; k < flips; k++) {
				unsigned p = rnd(sizeof place / sizeof *place);

				at[k] = img_at(m, place[p].gpa + rnd((uint32_t)place[p].len));
				was[k] = *at[k];
				*at[k] = (uint8_t)(rnd(4) ? *at[k] ^ 1u << rnd(8) : rnd(256));
			}
			hits += missed(m, 0) == 0;
			while (flips--)
				*at[flips] = was[flips];
		}
		assert_int_equal(missed(m, 0), 0);
		img_destroy(m);
	}
	printf("# %u of %u damaged kernels were found all the same\n", hits, n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_page_table), cmocka_unit_test(direct_map_by_constant), cmocka_unit_test(without_note),
		cmocka_unit_test(decoys), cmocka_unit_test(later_kernel), cmocka_unit_test(left_over), cmocka_unit_test(not_a_kernel),
		cmocka_unit_test(lacks_something), cmocka_unit_test(guessed_layout), cmocka_unit_test(unclear_layout),
		cmocka_unit_test(cycles), cmocka_unit_test(bit_flips),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	rng_init();
	return cmocka_run_group_tests_name("kernel", tests, NULL, NULL);
}
