// SPDX-License-Identifier: MIT
/*
 * spoil RAM-FILE SEED WORDS [KEEP]: stores hostile words into the structures that a look at the processes of the guest in this
 * file follows (a copy: no guest survives it): nodes of the pids' tree, struct pid, task_struct, signal_struct, mm_struct. Every KEEPth
 * process (default 4) is left as it is. Prints "spoilt WORDS words of N processes".
 */
#include <stdio.h>
#include <stdlib.h>

#include "gpu/walk.h"
#include "targets/layout.h"

#define PLACES 65536u

static struct gf_kernel *kernel;
static struct gf_layout layout;
static struct { uint64_t va; uint32_t span; } place[PLACES];
static uint32_t places, processes;
static uint64_t state;

static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	return state ^= state << 17;
}

static void add(uint64_t va, uint32_t span)
{
	if (places < PLACES && va && !(va & 7)) {
		place[places].va = va;
		place[places++].span = span;
	}
}

static void walk(unsigned keep)
{
	struct gf_xa_iter it;
	uint64_t p, v;

	gf_xa_begin(&kernel->mem, &layout, &it, 1u << 22);
	while (gf_xa_next(&kernel->mem, &layout, &it, &p)) {
		uint64_t t = gf_pid_leader(&kernel->mem, &layout, p);
		if (!t || !~t || processes++ % keep == 0)
			continue;
		add(p, layout.pid.span);
		add(t, layout.task.span);
		if (!gf_kmem_load(&kernel->mem, t + layout.task.signal, 8, &v))
			add(v, layout.signal.span);
		if (!gf_kmem_load(&kernel->mem, t + layout.task.mm, 8, &v))
			add(v, layout.mm.span);
		if (next() % 16 == 0 && it.depth) /* a whole branch may go with it */
			add(it.node[it.depth - 1], layout.xa.span);
	}
}

static uint64_t hostile(void)
{
	uint64_t top = kernel->mem.page_offset + kernel->mem.direct_size, other = place[next() % places].va;
	const uint64_t odd[] = { 0, 1, ~0ull, 1ull << 63, 0x00007fff12345678ull, 0xdead000000000100ull, kernel->mem.page_offset,
				 top - 8, top, top - 4096, kernel->mem.image, kernel->mem.image_end - 8 };

	switch (next() % 6) {
	case 0: return next();
	case 1: return other;                       /* something of another kind, or of another process: loops */
	case 2: return other + next() % 64;         /* not where it begins */
	case 3: return other | 2;                   /* as if it were a node of the tree */
	case 4: return kernel->mem.page_offset + next() % kernel->mem.direct_size;
	default: return odd[next() % (sizeof odd / sizeof *odd)];
	}
}

int main(int argc, char **argv)
{
	struct gf_err err = { "" };
	struct gf_ramfile *ram;
	unsigned long words = argc > 3 ? strtoul(argv[3], NULL, 10) : 0, done = 0;

	if (argc < 4)
		return 2;
	if (gf_ramfile_open(argv[1], NULL, 0, true, &ram, &err) || gf_kernel_find(ram, &kernel, &err) || gf_layout_fill(kernel, &layout, &err)) {
		fprintf(stderr, "spoil: %s\n", err.text);
		return 1;
	}
	state = strtoull(argv[2], NULL, 10) * 0x9e3779b97f4a7c15ull + 1;
	walk(argc > 4 ? (unsigned)atoi(argv[4]) : 4);
	for (unsigned long i = 0; places && i < words; i++) {
		uint32_t k = (uint32_t)(next() % places);
		struct gf_gva a = { place[k].va + next() % (place[k].span / 8) * 8 };
		uint8_t *p = gf_kmem_at(&kernel->mem, a, 8);
		if (!p)
			continue;
		*(volatile uint64_t *)(void *)p = hostile();
		done++;
	}
	printf("spoilt %lu words of %u processes\n", done, processes);
	return 0;
}
