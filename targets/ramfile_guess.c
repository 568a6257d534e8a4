// SPDX-License-Identifier: MIT
/*
 * How a raw file of more than 2 GiB is laid out in guest physical memory, when nobody says: machines leave a hole for
 * devices below 4 GiB and go on behind it. Where the hole starts, the kernel in there decides: under the right layout
 * its memory ends where the layout does. A kernel can be found under a wrong one, too, if it lies below all holes.
 */
#include <errno.h>
#include <inttypes.h>

#include "targets/kernel.h"
#include "targets/ramfile_int.h"

#define HIGH (4ull << 30)
#define MIB (1ull << 20)
#define PAGE 4096u

/* QEMU: hw/i386/pc_q35.c and pc_piix.c; Firecracker and Cloud Hypervisor: 3.25 and 3 GiB. Memory without a hole is
 * that of a small guest, or was written address by address. */
static const uint64_t holes[] = { 2048 * MIB, 3072 * MIB, UINT64_MAX, 3328 * MIB, 2816 * MIB, 3584 * MIB };
#define HOLES (sizeof holes / sizeof *holes)

struct guess {
	int fd;
	const char *what;
	uint64_t size;
	bool writable;
	struct gf_ramfile *f; /* what fits */
	uint64_t says;        /* where memory ends by a kernel found under a layout that does not fit; 0: none */
};

/* Where memory ends for the kernel (arch/x86/kernel/setup.c: e820__end_of_ram_pfn), or 0. */
static uint64_t memory_end(const struct gf_kernel *k)
{
	uint64_t va, pfn;

	return gf_kernel_sym(k, "max_pfn", &va) == 0 && gf_kmem_load(&k->mem, va, 8, &pfn) == 0 && pfn < 1ull << 40 ? pfn * PAGE : 0;
}

static int try_hole(struct guess *g, uint64_t hole, struct gf_err *err)
{
	struct gf_ram_piece p[2] = { { 0, GF_MIN(g->size, hole), 0 }, { HIGH, 0, hole } };
	struct gf_kernel *k;
	struct gf_ramfile *f;
	uint64_t end;
	int r;

	p[1].size = g->size - p[0].size;
	r = gf_ramfile_map(g->fd, g->what, p, p[1].size ? 2 : 1, g->writable, &f, err);
	if (r)
		return r;
	r = gf_kernel_find(f, &k, err);
	if (!r) {
		end = memory_end(k);
		gf_kernel_free(k);
		/* The last pages below a hole are the firmware's, so that memory without a part above ends a little earlier. */
		if (p[1].size ? end == HIGH + p[1].size : end <= p[0].size && end + 64 * MIB > p[0].size) {
			g->f = f;
			return 0;
		}
		g->says = end;
		r = gf_err_set(err, EINVAL, "%s: where its %" PRIu64 " MiB lie in the guest's memory is not clear (Linux there says that memory "
			       "ends at 0x%" PRIx64 "): give the layout as GPA:SIZE@OFFSET,...", g->what, (uint64_t)(g->size / MIB), end);
	}
	gf_ramfile_close(f);
	return r;
}

int gf_ramfile_guess(int fd, const char *what, uint64_t size, bool writable, struct gf_ramfile **ret, struct gf_err *err)
{
	struct guess g = { .fd = fd, .what = what, .size = size - size % PAGE, .writable = writable };
	int r = -ENODATA, x = -ENODATA;

	for (size_t i = 0; i < HOLES && !g.f && !g.says && x != -ENOMEM && x != -EACCES; i++) {
		struct gf_err e = { "" };

		if (holes[i] >= g.size && holes[i] != UINT64_MAX)
			continue;
		x = try_hole(&g, holes[i], &e);
		if (i == 0 || x == -ENOMEM) { /* of the most usual layout */
			r = x;
			if (err)
				*err = e;
		}
	}
	/* The kernel knows where memory ends, so how much of it there is above 4 GiB: the rest is below. */
	if (!g.f && g.says)
		r = try_hole(&g, g.says > HIGH && g.says - HIGH < g.size ? g.size - (g.says - HIGH) : UINT64_MAX, err);
	if (!g.f)
		return r;
	*ret = g.f;
	return 0;
}
