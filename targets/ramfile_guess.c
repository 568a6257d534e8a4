// SPDX-License-Identifier: MIT
/*
 * How a raw file of more than 2 GiB is laid out in guest physical memory, when nobody says: machines leave a hole for
 * devices below 4 GiB and go on behind it. Where the hole starts, the kernel in there decides: under the right layout
 * its memory ends where the layout does. A kernel can be found under a wrong one, too, if it lies below all holes.
 */
#include <errno.h>
#include <inttypes.h>

#include "targets/kernel_scan.h"
#include "targets/ramfile_int.h"

#define HIGH (4ull << 30)
#define MIB (1ull << 20)
#define PAGE 4096u

/* QEMU: hw/i386/pc_q35.c and pc_piix.c; Firecracker and Cloud Hypervisor: 3.25 and 3 GiB. Memory without a hole is
 * that of a small guest, or was written address by address. */
static const uint64_t holes[] = { 2048 * MIB, 3072 * MIB, UINT64_MAX, 3328 * MIB, 2816 * MIB, 3584 * MIB };
#define HOLES (sizeof holes / sizeof *holes)

struct guess {
	struct gf_ramfile *f; /* all of the file mapped; its layout is what is tried */
	uint64_t size;
	bool fits;
	/* By a kernel found under a layout that does not fit: */
	uint64_t says; /* where memory ends; 0: none found */
	uint64_t note; /* where in the file its VMCOREINFO is, or ~0 */
};

/* Where memory ends for the kernel (arch/x86/kernel/setup.c: e820__end_of_ram_pfn), or 0. */
static uint64_t memory_end(const struct gf_kernel *k)
{
	uint64_t va, pfn;

	return gf_kernel_sym(k, "max_pfn", &va) == 0 && gf_kmem_load(&k->mem, va, 8, &pfn) == 0 && pfn < 1ull << 40 ? pfn * PAGE : 0;
}

/* The file stays mapped as it is: mapping and unmapping gigabytes for each layout would take longer than looking. */
static void lay_out(struct guess *g, uint64_t hole)
{
	uint64_t low = GF_MIN(g->size, hole);
	struct gf_ramfile *f = g->f;

	f->piece[0] = (struct gf_ram_piece){ 0, low, 0 };
	f->piece[1] = (struct gf_ram_piece){ HIGH, g->size - low, low };
	f->ram.n = low < g->size ? 2 : 1;
	for (uint32_t i = 0; i < 2; i++) {
		f->in[i] = 0;
		f->ram.seg[i] = (struct gf_ram_seg){ f->piece[i].gpa, f->piece[i].size, f->file[0].map + f->piece[i].off };
	}
}

/* Looks for a kernel: by VMCOREINFO only, by the one that was found before, or by all means. */
enum how { QUICK, AGAIN, ALL };

static uint64_t file_to_gpa(uint64_t off, uint64_t hole)
{
	return off < hole ? off : off - hole + HIGH;
}

static int try_hole(struct guess *g, uint64_t hole, enum how how, struct gf_err *err)
{
	uint64_t note = how == AGAIN ? file_to_gpa(g->note, hole) : UINT64_MAX;
	uint64_t end, high = g->size - GF_MIN(g->size, hole);
	struct gf_kernel *k;
	int r;

	lay_out(g, hole);
	r = how == ALL ? gf_kernel_find(g->f, &k, err) : gf_kernel_find_quick(g->f, note, &k, err);
	if (r)
		return r;
	end = memory_end(k);
	note = k->vmcoreinfo_gpa;
	gf_kernel_free(k);
	/* The last pages below a hole are the firmware's, so that memory without a part above ends a little earlier. */
	g->fits = high ? end == HIGH + high : end <= g->size && end + 64 * MIB > g->size;
	if (g->fits)
		return 0;
	g->says = end;
	g->note = note != UINT64_MAX && note >= HIGH && hole < HIGH ? note - HIGH + hole : note;
	return gf_err_set(err, EINVAL, "%s: where its %" PRIu64 " MiB lie in the guest's memory is not clear (Linux there says that memory "
			  "ends at 0x%" PRIx64 "): give the layout as GPA:SIZE@OFFSET,...", gf_ramfile_what(g->f), (uint64_t)(g->size / MIB), end);
}

/* Under each usual layout: 0, or the error of the most usual one. */
static int try_all(struct guess *g, enum how how, struct gf_err *err)
{
	int r = -ENODATA, x = -ENODATA;

	for (size_t i = 0; i < HOLES && !g->fits && !g->says && x != -ENOMEM; i++) {
		struct gf_err e = { "" };

		if (holes[i] >= g->size && holes[i] != UINT64_MAX)
			continue;
		x = try_hole(g, holes[i], how, &e);
		if (i == 0 || x == -ENOMEM) {
			r = x;
			if (err)
				*err = e;
		}
	}
	return r;
}

int gf_ramfile_guess(int fd, const char *what, uint64_t size, bool writable, struct gf_ramfile **ret, struct gf_err *err)
{
	struct gf_ram_piece whole = { .size = size - size % PAGE };
	struct guess g = { .size = whole.size };
	int r = gf_ramfile_map(fd, what, &whole, 1, writable, &g.f, err);

	if (r)
		return r;
	r = try_all(&g, QUICK, err);
	if (!g.fits && !g.says && r != -ENOMEM)
		r = try_all(&g, ALL, err);
	/* The kernel knows where memory ends, so how much of it there is above 4 GiB: the rest is below. */
	if (!g.fits && g.says && (g.says <= HIGH || g.size - (g.says - HIGH) <= HIGH))
		r = try_hole(&g, g.says > HIGH ? g.size - (g.says - HIGH) : UINT64_MAX, g.note == UINT64_MAX ? ALL : AGAIN, err);
	if (g.fits)
		*ret = g.f;
	else
		gf_ramfile_close(g.f);
	return g.fits ? 0 : r;
}
