// SPDX-License-Identifier: MIT
#include "targets/kernel.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "targets/kallsyms.h"
#include "targets/vmcoreinfo.h"

#define TRIES 64u /* notes looked at: every boot that memory has seen may have left one */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

__attribute__((format(printf, 2, 3)))
static void note(struct gf_kernel *k, const char *fmt, ...)
{
	size_t n = strlen(k->notes);
	va_list ap;

	va_start(ap, fmt);
	if (n && n < sizeof k->notes - 1)
		k->notes[n++] = ' ';
	vsnprintf(k->notes + n, sizeof k->notes - n, fmt, ap);
	va_end(ap);
}

/* Whether the page tables at k->mem.pgd are those of an image at phys_base: they map themselves, and _stext, there. */
static bool tables_agree(const struct gf_kmem *m, uint64_t pgd_va, uint64_t stext)
{
	struct gf_gpa gpa;
	uint64_t left;

	if (gf_pt_walk(&m->ram, m->pgd, m->levels, pgd_va, &gpa, &left) || gpa.v != m->pgd.v)
		return false;
	return !stext || (gf_pt_walk(&m->ram, m->pgd, m->levels, stext, &gpa, &left) == 0 &&
			  gpa.v == stext - GF_KERNEL_MAP + m->phys_base);
}

static uint64_t highest(const struct gf_ram *r)
{
	uint64_t end = 0;

	for (uint32_t i = 0; i < r->n; i++)
		end = GF_MAX(end, r->seg[i].gpa + r->seg[i].size);
	return end;
}

static bool is_direct_map(const struct gf_kmem *m, uint64_t page_offset, struct gf_gpa probe)
{
	struct gf_gpa gpa;
	uint64_t left;

	return page_offset >> 63 && page_offset % (1u << 30) == 0 &&
	       gf_pt_walk(&m->ram, m->pgd, m->levels, page_offset + probe.v, &gpa, &left) == 0 && gpa.v == probe.v;
}

/* Where the direct map starts is a variable of kernels that move it (CONFIG_DYNAMIC_MEMORY_LAYOUT), else a constant. */
static int find_direct_map(struct gf_kernel *k, struct gf_err *err)
{
	uint64_t va, start = k->mem.levels == 5 ? 0xff11000000000000ull : 0xffff888000000000ull;

	if (gf_kernel_sym(k, "page_offset_base", &va) == 0 && gf_kmem_load(&k->mem, va, 8, &start))
		return gf_err_set(err, EBADMSG, "page_offset_base of Linux %s cannot be read: its page tables and symbols contradict each other",
				  k->release);
	if (!is_direct_map(&k->mem, start, k->mem.pgd))
		return gf_err_set(err, EBADMSG, "Linux %s has no direct map at 0x%" PRIx64 ": it has just started, or the layout of memory that "
				  "was given is not this machine's", k->release, start);
	k->mem.page_offset = start;
	k->mem.direct_size = highest(&k->mem.ram);
	return 0;
}

static int sym_range(const struct gf_kernel *k, const char *from, const char *to, uint64_t *ret_from, uint64_t *ret_to)
{
	uint64_t a, b;

	if (gf_kernel_sym(k, from, &a) || gf_kernel_sym(k, to, &b) || b <= a)
		return -ENOENT;
	*ret_from = a;
	*ret_to = b;
	return 0;
}

static int read_btf(struct gf_kernel *k, struct gf_err *err)
{
	uint64_t from, to;
	void *data;
	int r;

	if (sym_range(k, "__start_BTF", "__stop_BTF", &from, &to))
		return gf_err_set(err, ENOTSUP, "Linux %s carries no type information: it was built without CONFIG_DEBUG_INFO_BTF, which "
				  "Debian's kernels have", k->release);
	if (to - from > GF_BTF_MAX)
		return gf_err_set(err, EBADMSG, "Linux %s says that its type information has %" PRIu64 " bytes, which cannot be", k->release,
				  to - from);
	data = malloc((size_t)(to - from));
	if (!data)
		return gf_err_set(err, ENOMEM, "no memory for the type information of Linux %s", k->release);
	r = gf_kmem_read(&k->mem, from, data, to - from) ?
		    gf_err_set(err, EBADMSG, "the type information of Linux %s is not all in memory", k->release) :
		    gf_btf_create(data, (size_t)(to - from), &k->btf, err);
	free(data);
	return r;
}

/* linux_banner, up to the end of its line. */
static int read_banner(struct gf_kernel *k, struct gf_err *err)
{
	static const char start[] = "Linux version ";
	uint64_t va;
	size_t n = 0;

	if (gf_kernel_sym(k, "linux_banner", &va))
		return gf_err_set(err, EBADMSG, "the kernel's symbol table has no linux_banner");
	while (n < sizeof k->banner - 1) {
		char c;

		if (gf_kmem_read(&k->mem, va + n, &c, 1) || !c || c == '\n')
			break;
		k->banner[n++] = c >= ' ' && c < 0x7f ? c : '?';
	}
	k->banner[n] = 0;
	if (strncmp(k->banner, start, sizeof start - 1))
		return gf_err_set(err, EBADMSG, "where the banner of Linux %s should be, there is something else: another kernel has started "
				  "over it", k->release);
	const char *rel = k->banner + sizeof start - 1;
	size_t len = strcspn(rel, " ");
	if (k->release[0] && (strlen(k->release) != len || strncmp(rel, k->release, len)))
		return gf_err_set(err, EBADMSG, "VMCOREINFO is of Linux %s, but the kernel's banner says %.*s", k->release, (int)GF_MIN(len, 100u), rel);
	snprintf(k->release, sizeof k->release, "%.*s", (int)len, rel);
	return 0;
}

/* What comes after the page tables and the addresses of kallsyms' tables. */
static int read_kernel(struct gf_kernel *k, const struct gf_kallsyms_at *at, struct gf_err *err)
{
	int r = gf_kallsyms_read(&k->mem, at, &k->syms, err);

	if (!r)
		r = read_banner(k, err);
	if (!r && sym_range(k, "_text", "_end", &k->mem.image, &k->mem.image_end)) {
		k->mem.image = k->mem.image_end = 0; /* then the tables are walked: no harm */
		note(k, "The symbol table has no _text or _end.");
	}
	if (!r)
		r = find_direct_map(k, err);
	if (!r)
		r = read_btf(k, err);
	return r;
}

static int try_note(struct gf_kernel *k, const struct gf_vmcoreinfo *v, struct gf_err *err)
{
	struct gf_kallsyms_at at = { .names = v->names, .num_syms = v->num_syms, .token_table = v->token_table,
				     .token_index = v->token_index, .offsets = v->offsets, .relative_base = v->relative_base,
				     .stext = v->stext };

	k->mem.levels = v->levels;
	k->mem.phys_base = v->phys_base;
	k->mem.pgd.v = v->swapper_pg_dir - GF_KERNEL_MAP + v->phys_base;
	if (v->sme_mask)
		return gf_err_set(err, ENOTSUP, "the memory of Linux %s is encrypted (SME): it can only be looked at with that off (mem_encrypt=off)",
				  v->release);
	if (!tables_agree(&k->mem, v->swapper_pg_dir, v->stext))
		return gf_err_set(err, EBADMSG, "what Linux %s says of itself at guest address 0x%" PRIx64 " does not agree with its page tables: "
				  "it is left over from an earlier boot, or the layout of memory is not this machine's", v->release, v->gpa);
	k->vmcoreinfo_gpa = v->gpa;
	k->kaslr = v->kaslr;
	snprintf(k->release, sizeof k->release, "%s", v->release);
	snprintf(k->found_by, sizeof k->found_by, v->gpa == UINT64_MAX ? "VMCOREINFO in the core's notes" : "VMCOREINFO");
	return read_kernel(k, &at, err);
}

static void clear(struct gf_kernel *k, const struct gf_ramfile *f)
{
	gf_kallsyms_free(k->syms);
	gf_btf_free(k->btf);
	memset(k, 0, sizeof *k);
	k->mem.ram = *gf_ramfile_ram(f);
	k->kaslr = k->vmcoreinfo_gpa = UINT64_MAX;
}

static int find(struct gf_kernel *k, const struct gf_ramfile *f, struct gf_err *err)
{
	struct gf_vmcoreinfo v;
	uint64_t gpa = 0;
	size_t len;
	const char *text = gf_ramfile_vmcoreinfo(f, &len);
	int r = gf_err_set(err, ENODATA, "there is no Linux in %s, or it is still booting", gf_ramfile_what(f));

	clear(k, f);
	if (text && gf_vmcoreinfo_parse(text, len, &v) == 0) {
		r = try_note(k, &v, err);
		if (!r)
			return 0;
	}
	for (unsigned i = 0; i < TRIES && gf_vmcoreinfo_next(f, &gpa, &v) == 0; i++) {
		clear(k, f);
		r = try_note(k, &v, err);
		if (!r)
			return 0;
	}
	return r;
}

int gf_kernel_find(const struct gf_ramfile *f, struct gf_kernel **ret, struct gf_err *err)
{
	uint64_t start = now_ns();
	struct gf_kernel *k = calloc(1, sizeof *k);
	int r = k ? find(k, f, err) : gf_err_set(err, ENOMEM, "no memory");

	if (r) {
		gf_kernel_free(k);
		return r;
	}
	k->took_ns = now_ns() - start;
	*ret = k;
	return 0;
}

void gf_kernel_free(struct gf_kernel *k)
{
	if (!k)
		return;
	gf_kallsyms_free(k->syms);
	gf_btf_free(k->btf);
	free(k);
}

bool gf_kernel_still_there(const struct gf_kernel *k)
{
	struct gf_gpa gpa;
	uint64_t left, va;
	char banner[64];

	/* The walk goes through the tables on purpose: a later kernel has others. */
	if (gf_kernel_sym(k, "linux_banner", &va) || gf_pt_walk(&k->mem.ram, k->mem.pgd, k->mem.levels, va, &gpa, &left) ||
	    gpa.v != va - GF_KERNEL_MAP + k->mem.phys_base || !is_direct_map(&k->mem, k->mem.page_offset, k->mem.pgd))
		return false;
	return gf_kmem_read(&k->mem, va, banner, sizeof banner) == 0 && !memcmp(banner, k->banner, GF_MIN(sizeof banner, strlen(k->banner)));
}

int gf_kernel_sym(const struct gf_kernel *k, const char *name, uint64_t *ret_va)
{
	return k->syms ? gf_kallsyms_find(k->syms, name, ret_va) : -ENOENT;
}

int gf_kernel_sym_any(const struct gf_kernel *k, const char *const *names, size_t n, uint64_t *ret_va)
{
	for (size_t i = 0; i < n; i++)
		if (gf_kernel_sym(k, names[i], ret_va) == 0)
			return 0;
	return -ENOENT;
}
