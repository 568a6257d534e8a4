// SPDX-License-Identifier: MIT
#include "targets/kernel.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "targets/kallsyms.h"
#include "targets/kernel_scan.h"
#include "targets/vmcoreinfo.h"

#define TRIES 64u /* notes looked at: every boot that memory has seen may have left one */
#define PAGE 4096u
#define HIGH (4ull << 30)
#define KERNELS 8u /* page tables of different kernels looked at */

/* How far it went with what looked like a kernel. */
enum far { FAR_NOTHING, FAR_FOREIGN, FAR_STALE, FAR_TABLES, FAR_SYMBOLS, FAR_BANNER, FAR_MAP };

struct search {
	const struct gf_ramfile *f;
	struct gf_kernel *found;
	enum far far;
	int error; /* of who came furthest, with its sentence */
	struct gf_err err;
};

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
	uint64_t va, end, start = k->mem.levels == 5 ? 0xff11000000000000ull : 0xffff888000000000ull;

	if (gf_kernel_sym(k, "page_offset_base", &va) == 0 && gf_kmem_load(&k->mem, va, 8, &start))
		return gf_err_set(err, EBADMSG, "page_offset_base of Linux %s cannot be read: its page tables and symbols contradict each other",
				  k->release);
	if (!is_direct_map(&k->mem, start, k->mem.pgd))
		return gf_err_set(err, EBADMSG, "Linux %s has no direct map at 0x%" PRIx64 ": it has just started, or the layout of memory that "
				  "was given is not this machine's", k->release, start);
	k->mem.page_offset = start;
	k->mem.direct_size = highest(&k->mem.ram);
	/* What is above the kernel's memory (firmware in a dump) is not in its map. */
	if (gf_kernel_sym(k, "max_pfn", &va) == 0 && gf_kmem_load(&k->mem, va, 8, &end) == 0 && end && end < k->mem.direct_size / PAGE)
		k->mem.direct_size = end * PAGE;
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
		return gf_err_set(err, ENODATA, "where the banner of Linux %s should be, there is something else: another boot has written "
				  "over it, and has not come far yet", k->release);
	const char *rel = k->banner + sizeof start - 1;
	size_t len = strcspn(rel, " ");
	if (k->release[0] && (strlen(k->release) != len || strncmp(rel, k->release, len)))
		return gf_err_set(err, EBADMSG, "VMCOREINFO is of Linux %s, but the kernel's banner says %.*s", k->release, (int)GF_MIN(len, 100u), rel);
	snprintf(k->release, sizeof k->release, "%.*s", (int)len, rel);
	return 0;
}

/* What comes after page tables and symbols. */
static int read_kernel(struct gf_kernel *k, enum far *ret_far, struct gf_err *err)
{
	int r;

	*ret_far = FAR_SYMBOLS;
	r = read_banner(k, err);
	if (r)
		return r;
	*ret_far = FAR_BANNER;
	if (sym_range(k, "_text", "_end", &k->mem.image, &k->mem.image_end)) {
		k->mem.image = k->mem.image_end = 0; /* then the tables are walked: no harm */
		note(k, "The symbol table has no _text or _end.");
	}
	r = find_direct_map(k, err);
	if (r)
		return r;
	*ret_far = FAR_MAP;
	return read_btf(k, err);
}

/* Where the tables of symbols are, VMCOREINFO says since 6.0 (f09bddbd8661). */
static int read_symbols(struct gf_kernel *k, const struct gf_vmcoreinfo *v, struct gf_err *err)
{
	struct gf_kallsyms_at at = { .names = v->names, .num_syms = v->num_syms, .token_table = v->token_table,
				     .token_index = v->token_index, .offsets = v->offsets, .relative_base = v->relative_base,
				     .stext = v->stext };

	if (v->names && v->num_syms && v->token_table && v->offsets)
		return gf_kallsyms_read(&k->mem, &at, &k->syms, err);
	return gf_kallsyms_search(&k->mem, v->stext, &k->syms, err);
}

static int try_note(struct gf_kernel *k, const struct gf_vmcoreinfo *v, enum far *ret_far, struct gf_err *err)
{
	int r;

	*ret_far = FAR_FOREIGN;
	if (v->foreign)
		return gf_err_set(err, ENOTSUP, "this is the memory of a Linux %s for another architecture: only x86-64 is understood", v->release);
	k->mem.levels = v->levels;
	k->mem.phys_base = v->phys_base;
	k->mem.pgd.v = v->swapper_pg_dir - GF_KERNEL_MAP + v->phys_base;
	*ret_far = FAR_STALE;
	if (v->sme_mask)
		return gf_err_set(err, ENOTSUP, "the memory of Linux %s is encrypted (SME): it can only be looked at with that off (mem_encrypt=off)",
				  v->release);
	if (!tables_agree(&k->mem, v->swapper_pg_dir, v->stext))
		return gf_err_set(err, ENODATA, "what Linux %s says of itself at guest address 0x%" PRIx64 " does not agree with its page tables: "
				  "it is from an earlier boot and the next has not come far yet, or the layout of memory is not this machine's",
				  v->release, v->gpa);
	k->vmcoreinfo_gpa = v->gpa;
	k->kaslr = v->kaslr;
	snprintf(k->release, sizeof k->release, "%s", v->release);
	snprintf(k->found_by, sizeof k->found_by, v->gpa == UINT64_MAX ? "VMCOREINFO in the core's notes" : "VMCOREINFO");
	*ret_far = FAR_TABLES;
	r = read_symbols(k, v, err);
	return r ? r : read_kernel(k, ret_far, err);
}

/* The tables found may be a process's. The kernel's own, and how many levels they have, follow from its symbols. */
static int settle_tables(struct gf_kernel *k, struct gf_err *err)
{
	static const char *const names[] = { "init_top_pgt", "swapper_pg_dir", "init_level4_pgt" };
	uint64_t va;

	if (gf_kernel_sym_any(k, names, 3, &va))
		return gf_err_set(err, EBADMSG, "the kernel's symbol table does not name its page tables");
	k->mem.pgd.v = va - GF_KERNEL_MAP + k->mem.phys_base;
	for (k->mem.levels = 4; k->mem.levels <= 5; k->mem.levels++) {
		struct gf_err ignored;

		if (tables_agree(&k->mem, va, 0) && find_direct_map(k, &ignored) == 0)
			return 0;
	}
	return gf_err_set(err, EBADMSG, "the kernel's page tables and its symbols contradict each other: it is still booting, or is not as it was built");
}

static int try_tables(struct gf_kernel *k, const struct gf_scan_tables *t, enum far *ret_far, struct gf_err *err)
{
	int r;

	k->mem.levels = t->levels;
	k->mem.phys_base = t->phys_base;
	k->mem.pgd = t->pgd;
	snprintf(k->found_by, sizeof k->found_by, "its page tables");
	*ret_far = FAR_TABLES;
	r = gf_kallsyms_search(&k->mem, 0, &k->syms, err);
	if (!r)
		r = settle_tables(k, err);
	return r ? r : read_kernel(k, ret_far, err);
}

/* What the clock on the wall says in there, seconds, or 0. */
static uint64_t wall_time(const struct gf_kernel *k)
{
	struct gf_btf_member m;
	uint64_t va, s, off = 8; /* tk_core is a sequence counter and the timekeeper, without a name for the whole */

	if (gf_kernel_sym(k, "tk_core", &va) == 0) {
		if (gf_btf_member(k->btf, "timekeeper", "xtime_sec", &m))
			return 0;
	} else if (gf_kernel_sym(k, "timekeeper_data", &va) == 0) { /* since 6.18 */
		off = 0;
		if (gf_btf_member(k->btf, "tk_data", "timekeeper.xtime_sec", &m))
			return 0;
	} else {
		return 0;
	}
	return gf_kmem_load(&k->mem, va + off + m.off, 8, &s) ? 0 : s;
}

/* A reboot does not clear memory: of two kernels that are whole the later one runs. */
static void keep_later(struct search *s, struct gf_kernel *k)
{
	if (s->found && wall_time(k) <= wall_time(s->found)) {
		gf_kernel_free(k);
		return;
	}
	gf_kernel_free(s->found);
	s->found = k;
}

static int check_runs(const struct gf_kernel *k, uint64_t cr3, struct gf_err *err)
{
	if (!cr3 || gf_kernel_runs(k, cr3))
		return 0;
	return gf_err_set(err, ENODATA, "Linux %s is in memory, but does not run: it is from an earlier boot, and the next has not come far yet",
			  k->release);
}

/* One that may be a kernel. The error of who came furthest is the one to tell. */
static int attempt(struct search *s, const struct gf_vmcoreinfo *v, const struct gf_scan_tables *t)
{
	struct gf_kernel *k = calloc(1, sizeof *k);
	enum far far = FAR_NOTHING;
	struct gf_err e = { "no memory" };
	int r = -ENOMEM;

	if (k) {
		k->mem.ram = *gf_ramfile_ram(s->f);
		k->kaslr = k->vmcoreinfo_gpa = UINT64_MAX;
		r = v ? try_note(k, v, &far, &e) : try_tables(k, t, &far, &e);
		if (!r) {
			r = check_runs(k, gf_ramfile_cr3(s->f), &e);
			far = r ? FAR_STALE : far;
		}
	}
	if (!r) {
		keep_later(s, k);
		return 0;
	}
	gf_kernel_free(k);
	if (far > s->far || r == -ENOMEM) {
		s->far = far;
		s->error = r;
		s->err = e;
	}
	return r;
}

static void notes_from(struct search *s, uint64_t from, uint64_t end, bool first)
{
	struct gf_vmcoreinfo_pos pos = { .gpa = from };
	struct gf_vmcoreinfo v;

	for (unsigned i = 0; i < TRIES && gf_vmcoreinfo_next(s->f, &pos, end, &v) == 0; i++)
		if (attempt(s, &v, NULL) == 0 && first)
			return;
}

static void by_notes(struct search *s)
{
	struct gf_vmcoreinfo v;
	size_t len;
	const char *text = gf_ramfile_vmcoreinfo(s->f, &len);

	/* A core's own note is of the kernel that it was made of. */
	if (text && gf_vmcoreinfo_parse(text, len, &v) == 0 && attempt(s, &v, NULL) == 0)
		return;
	/* The first kernel that the CPU's own tables confirm will do; else it takes all to know which is the latest. It is
	 * in the first pages of the zone that Linux allocates from first: above 4 GiB where there is such memory. */
	if (gf_ramfile_cr3(s->f)) {
		notes_from(s, HIGH, UINT64_MAX, true);
		if (!s->found)
			notes_from(s, 0, HIGH, true);
	} else {
		notes_from(s, 0, UINT64_MAX, false);
	}
}

static void by_tables(struct search *s)
{
	struct gf_scan_tables t;
	uint64_t gpa = 0, seen[KERNELS];
	unsigned n = 0;

	while (n < KERNELS && gf_scan_tables_next(s->f, &gpa, &t) == 0) {
		unsigned i = 0;

		while (i < n && seen[i] != t.pmd.v)
			i++;
		if (i < n)
			continue;
		seen[n++] = t.pmd.v;
		attempt(s, NULL, &t);
	}
}

static int find(struct search *s, struct gf_err *err)
{
	by_notes(s);
	if (!s->found && s->far < FAR_SYMBOLS)
		by_tables(s);
	if (!s->found && s->far == FAR_NOTHING)
		return gf_scan_why_not(s->f, err);
	return 0;
}

/* What was found, or the error of what came furthest. */
static int finish(struct search *s, uint64_t start, struct gf_kernel **ret, struct gf_err *err)
{
	if (!s->found) {
		if (err)
			*err = s->err;
		return s->error;
	}
	if (!gf_kernel_started(s->found))
		note(s->found, "It is still booting: look again when it runs.");
	s->found->took_ns = now_ns() - start;
	*ret = s->found;
	return 0;
}

int gf_kernel_find(const struct gf_ramfile *f, struct gf_kernel **ret, struct gf_err *err)
{
	uint64_t start = now_ns();
	struct search s = { .f = f, .error = -ENODATA };
	int r = find(&s, err);

	return r ? r : finish(&s, start, ret, err);
}

int gf_kernel_find_quick(const struct gf_ramfile *f, uint64_t note, struct gf_kernel **ret, struct gf_err *err)
{
	uint64_t start = now_ns();
	struct search s = { .f = f, .error = -ENODATA };

	if (note == UINT64_MAX)
		by_notes(&s);
	else
		notes_from(&s, note, note + 1, true);
	return finish(&s, start, ret, err);
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

int gf_kernel_runs(const struct gf_kernel *k, uint64_t cr3)
{
	uint64_t va, left;
	struct gf_gpa at, own;

	if (gf_kernel_sym(k, "linux_banner", &va) || gf_pt_walk(&k->mem.ram, k->mem.pgd, k->mem.levels, va, &own, &left))
		return -ENOENT;
	/* Those that a process runs on with page table isolation (bit 12) map next to nothing of the kernel; the full
	 * ones lie beside them. */
	for (uint64_t bit = 0; bit <= 0x1000; bit += 0x1000) {
		struct gf_gpa pgd = { cr3 & GF_PTE_ADDR & ~bit };

		if (gf_pt_walk(&k->mem.ram, pgd, k->mem.levels, va, &at, &left) == 0 && at.v == own.v)
			return 1;
	}
	return 0;
}

/* A kernel that does not say is taken as it is. */
bool gf_kernel_started(const struct gf_kernel *k)
{
	uint64_t va, now;
	int64_t running;

	return gf_btf_enum(k->btf, "SYSTEM_RUNNING", &running) || gf_kernel_sym(k, "system_state", &va) ||
	       gf_kmem_load(&k->mem, va, 4, &now) || (int64_t)now >= running;
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
