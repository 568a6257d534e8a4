/* SPDX-License-Identifier: MIT
 *
 * gf_ps_still_there(): the kernel is known by 64 bytes of its banner, which may lie on two pages that are mapped to memory that is not one piece.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gpu/pseudo.h"

#define PAGE_OFFSET 0xffff888000000000ull
#define PGD 0x1000u
#define DIRECT 0x2000u
#define PUD 0x3000u
#define PMD 0x4000u
#define PTE 0x5000u
#define FIRST 0x6000u /* pages of the kernel's image: at GF_KERNEL_MAP + 0x6000 ... */
#define SECOND 0x9000u /* ... and what follows it there */

static uint8_t memory[0x10000] __attribute__((aligned(4096)));

static void entry(uint32_t table, uint64_t va, uint32_t shift, uint64_t e)
{
	memcpy(memory + table + (va >> shift & 511) * 8, &e, 8);
}

static void put(struct gf_kmem *k, struct gf_pseudo_plain *p, uint32_t at)
{
	static const char text[] = "Linux version 6.1.0 (made up) (as long as a banner is, and more)";
	uint64_t va = GF_KERNEL_MAP + FIRST + at;

	memset(memory, 0, sizeof memory);
	memset(k, 0, sizeof *k);
	memset(p, 0, sizeof *p);
	*k = (struct gf_kmem){ .ram = { .n = 1 }, .pgd = { PGD }, .levels = 4, .page_offset = PAGE_OFFSET };
	k->ram.seg[0].gpa = 0;
	k->ram.seg[0].size = sizeof memory;
	k->ram.seg[0].p = memory;
	entry(PGD, PAGE_OFFSET, 39, DIRECT | 3);
	entry(DIRECT, PAGE_OFFSET, 30, GF_PTE_PSE | 3);
	entry(PGD, va, 39, PUD | 3);
	entry(PUD, va, 30, PMD | 3);
	entry(PMD, va, 21, PTE | 3);
	entry(PTE, GF_KERNEL_MAP + FIRST, 12, FIRST | 3);
	entry(PTE, GF_KERNEL_MAP + FIRST + 4096, 12, SECOND | 3);
	for (uint32_t i = 0; i < 64; i++)
		memory[at + i < 4096 ? FIRST + at + i : SECOND + at + i - 4096] = (uint8_t)text[i];
	memcpy(p->banner, text, 64);
	p->banner_va = va;
	p->mem = k;
}

static void banner_on_two_pages(void **state)
{
	static const uint32_t at[] = { 0, 100, 4032, 4033, 4090, 4095 };
	struct gf_pseudo_plain p;
	struct gf_kmem k;

	(void)state;
	for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
		put(&k, &p, at[i]);
		assert_true(gf_ps_still_there(&p));
		/* another kernel: its last byte differs, its page is not mapped, or its first page is elsewhere */
		memory[at[i] + 63 < 4096 ? FIRST + at[i] + 63 : SECOND + at[i] + 63 - 4096] ^= 1;
		assert_false(gf_ps_still_there(&p));
		put(&k, &p, at[i]);
		entry(PTE, GF_KERNEL_MAP + FIRST + 4096, 12, 0);
		assert_int_equal(gf_ps_still_there(&p), at[i] + 64 <= 4096);
		put(&k, &p, at[i]);
		entry(PTE, GF_KERNEL_MAP + FIRST, 12, SECOND | 3);
		assert_false(gf_ps_still_there(&p));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(banner_on_two_pages) };

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
