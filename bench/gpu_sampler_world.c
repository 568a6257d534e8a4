// SPDX-License-Identifier: MIT
/* Objects lie anywhere in `size` bytes, as in a guest that has run for a while; every 20th process has three more threads. */
#define _GNU_SOURCE
#define FAKE_CPUS 8u
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/gpu_sampler_world.h"
#include "tests/helpers/fakekernel.h"

int world_make(struct world *w, uint64_t size, uint32_t processes)
{
	static const uint32_t pages[GF_RSS_PARTS] = { 100, 200, 30, 4 };
	uint32_t scatter = (uint32_t)(size / 8 * 7 / (processes * 6) * 2 / 64 * 64);
	struct fake *f = fake_new(size, 7, GF_MIN(scatter, 200000u));
	int fd = memfd_create("world", MFD_CLOEXEC);

	/* Per-CPU variables of the kernel's own are in the direct map, those of processes are not. */
	fake_host(f, fake_alloc(f, (FAKE_CPUS + 1) * 4096) - FAKE_VMALLOC);
	f->l.host.zones = 4;
	fake_process(f, 1, "init", pages);
	for (uint32_t i = 1; i < processes; i++) {
		f->cred = fake_alloc(f, 64); /* each has its own */
		struct fake_task g = fake_process(f, 300 + i * 3, "process", i % 10 ? pages : NULL);

		for (uint32_t k = 0; i % 20 == 1 && k < 3; k++)
			fake_thread(f, &g, 300 + i * 3 + 1, 300 + i * 3);
	}
	w->p = fd < 0 || ftruncate(fd, (off_t)size) ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (w->p == MAP_FAILED) {
		perror("memory");
		return -1;
	}
	memset(w->p, 0, size);
	memcpy(w->p, f->ram, f->next);
	w->size = size;
	w->mem = f->k->mem;
	w->mem.ram.seg[0].p = w->p;
	w->layout = f->l;
	fake_free(f);
	return 0;
}
