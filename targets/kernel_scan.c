// SPDX-License-Identifier: MIT
#include "targets/kernel_scan.h"

#include <errno.h>
#include <string.h>

#define PAGE 4096u
#define LARGE (2ull << 20)
#define IMAGE_PAGES 3u /* large pages that even a small kernel has */
#define TEXT_MAX (1ull << 30) /* bytes looked at for a message */

static bool entry(const struct gf_ram *ram, uint64_t table, uint32_t i, uint64_t *ret)
{
	struct gf_gpa at = { (table & GF_PTE_ADDR) + i * 8 };
	const uint8_t *p = gf_ram_at(ram, at, 8);

	if (!p)
		return false;
	*ret = gf_load(p, 8);
	return *ret & GF_PTE_PRESENT;
}

static bool table_entry(const struct gf_ram *ram, uint64_t table, uint32_t i, uint64_t *ret)
{
	return entry(ram, table, i, ret) && !(*ret & GF_PTE_PSE);
}

/* Large pages in a row, all at the same distance from their addresses: a kernel's image. */
static bool maps_image(const struct gf_ram *ram, uint64_t pmd, uint64_t *ret_base)
{
	uint64_t base = 0;
	uint32_t n = 0;

	for (uint32_t i = 0; i < 512; i++) {
		uint64_t e, b;

		if (!entry(ram, pmd, i, &e) || !(e & GF_PTE_PSE))
			continue;
		b = (e & GF_PTE_ADDR & ~(LARGE - 1)) - i * LARGE;
		if (n && b != base)
			return false;
		base = b;
		n++;
	}
	*ret_base = base;
	return n >= IMAGE_PAGES;
}

/* GF_KERNEL_MAP is entry 511 of the top, 511 of each between, 510 of the last but one. */
static bool is_top(const struct gf_ram *ram, uint64_t table, struct gf_scan_tables *ret)
{
	uint64_t e = table, pmd;

	for (uint32_t levels = 4; levels <= 5; levels++) {
		if (!table_entry(ram, e, 511, &e))
			return false;
		if (table_entry(ram, e, 510, &pmd) && maps_image(ram, pmd, &ret->phys_base)) {
			ret->pgd.v = table;
			ret->levels = levels;
			ret->pmd.v = pmd & GF_PTE_ADDR;
			return true;
		}
	}
	return false;
}

int gf_scan_tables_next(const struct gf_ramfile *f, uint64_t *gpa, struct gf_scan_tables *ret)
{
	const struct gf_ram *ram = gf_ramfile_ram(f);
	struct gf_ram_piece d;

	while (gf_ramfile_next(f, *gpa, &d)) {
		uint64_t start = d.gpa & ~(uint64_t)(PAGE - 1), end = d.gpa + d.size;

		for (; start < end; start += PAGE) {
			if (!is_top(ram, start, ret))
				continue;
			*gpa = start + PAGE;
			return 0;
		}
		*gpa = start;
	}
	return -ENOENT;
}

/* Calls fn for pieces of at most 2 MiB that hold data, until it returns true or enough was seen. */
static bool each_data(const struct gf_ramfile *f, bool (*fn)(void *arg, const uint8_t *p, size_t len), void *arg)
{
	uint64_t gpa = 0, seen = 0;
	struct gf_ram_piece d;

	while (seen < TEXT_MAX && gf_ramfile_next(f, gpa, &d)) {
		uint64_t len = GF_MIN(d.size, LARGE - d.gpa % LARGE);
		struct gf_gpa at = { d.gpa };
		const uint8_t *p = gf_ram_at(gf_ramfile_ram(f), at, len);

		if (p && fn(arg, p, len))
			return true;
		gpa = d.gpa + len;
		seen += len;
	}
	return false;
}

/* Documentation/arch/arm64/booting.rst, Documentation/arch/riscv/boot-image-header.rst: 64 KiB or more aligned. */
static bool foreign_image(void *arg, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i + 64 <= len; i += PAGE) {
		if (!memcmp(p + i + 56, "ARM\x64", 4))
			*(const char **)arg = "arm64";
		else if (!memcmp(p + i + 48, "RISCV\0\0\0", 8) && !memcmp(p + i + 56, "RSC\x05", 4))
			*(const char **)arg = "RISC-V";
		else
			continue;
		return true;
	}
	return false;
}

/* The banner, not a format string for it or a mention of it. */
static bool banner(void *arg, const uint8_t *p, size_t len)
{
	static const char start[] = "Linux version ";
	const uint8_t *at = p;

	while ((at = memmem(at, len - (size_t)(at - p), start, sizeof start - 1))) {
		const uint8_t *ver = at + sizeof start - 1;
		size_t n = 0, left = len - (size_t)(ver - p);
		char *out = arg;

		while (n < left && n < 63 && ver[n] > ' ' && ver[n] < 0x7f) {
			out[n] = (char)ver[n];
			n++;
		}
		out[n] = 0;
		if (n > 3 && out[0] >= '2' && out[0] <= '9' && out[1] == '.' && n < left && ver[n] == ' ')
			return true;
		at = ver;
	}
	return false;
}

int gf_scan_why_not(const struct gf_ramfile *f, struct gf_err *err)
{
	const char *what = gf_ramfile_what(f), *arch = NULL;
	char version[64];

	if (each_data(f, foreign_image, &arch))
		return gf_err_set(err, ENOTSUP, "%s holds an %s kernel: only x86-64 Linux is understood", what, arch);
	if (each_data(f, banner, version))
		return gf_err_set(err, ENODATA, "%s holds a Linux %s, but not its page tables and symbols: it is still booting; if it is not, "
				  "the layout of memory is not this machine's, or it is not for x86-64, or built without CONFIG_KALLSYMS", what, version);
	return gf_err_set(err, ENODATA, "there is no Linux in %s: it has not started yet, or it is another system or the wrong file", what);
}
