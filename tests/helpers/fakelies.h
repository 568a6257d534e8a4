/* SPDX-License-Identifier: MIT
 *
 * A made-up kernel (fakekernel.h) that has been lied in: what fuzz_tasks makes of its input. Changes are eight bytes each:
 * which word (three bytes), what kind of thing goes there (one), and which (four).
 */
#ifndef GPUFAS_TESTS_FAKELIES_H
#define GPUFAS_TESTS_FAKELIES_H

#include "tests/helpers/fakekernel.h"

#define LIES 256u

struct lies {
	uint64_t at[LIES], was[LIES];
	uint32_t n;
};

/* 42 processes. */
static inline struct fake *lies_kernel(void)
{
	static const uint32_t some[GF_RSS_PARTS] = { [GF_RSS_FILE] = 100, [GF_RSS_ANON] = 200, [GF_RSS_SWAP] = 30, [GF_RSS_SHMEM] = 4 };
	struct fake *f = fake_new(8u << 20, 1, 0);

	fake_process(f, 1, "init", some);
	fake_process(f, 2, "kthreadd", NULL);
	for (uint32_t i = 0; i < 40; i++) {
		struct fake_task g = fake_process(f, 100 + i * 37, "t", i % 5 ? some : NULL);

		for (uint32_t j = 0; j < i % 4; j++)
			fake_thread(f, &g, 5000 + i * 4 + j, 100 + i * 37);
		w64(f, g.task + f->l.task.cgroups, fake_css(f, fake_kernfs(f, fake_kernfs(f, f->root_kn, "s"), "t")));
	}
	return f;
}

static inline uint64_t lies_thing(struct fake *f, uint8_t kind, uint32_t v)
{
	static const uint64_t odd[] = { 0, ~0ull, 1, 0xffff888000000001ull, FAKE_DIRECT + (8u << 20) - 8, FAKE_DIRECT + (8u << 20),
					0x00007fff12345678ull, FAKE_VMALLOC + 0xff8, 0xdead000000000100ull, 1ull << 63 };
	uint64_t word = FAKE_DIRECT + v % f->next / 8 * 8;

	switch (kind % 5) {
	case 0: return v;
	case 1: return (uint64_t)v << 32 | v;
	case 2: return odd[v % (sizeof odd / sizeof *odd)];
	case 3: return word;             /* a pointer to something */
	default: return r64(f, word);    /* a pointer that something else has */
	}
}

static inline void lies_tell(struct fake *f, struct lies *l, const uint8_t *data, size_t size)
{
	for (l->n = 0; size >= 8 && l->n < LIES; size -= 8, data += 8, l->n++) {
		uint32_t word = (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16, v;

		memcpy(&v, data + 4, 4);
		l->at[l->n] = FAKE_DIRECT + (uint64_t)word * 8 % f->next;
		l->was[l->n] = r64(f, l->at[l->n]);
		w64(f, l->at[l->n], lies_thing(f, data[3], v));
	}
}

static inline void lies_undo(struct fake *f, struct lies *l)
{
	while (l->n) {
		l->n--;
		w64(f, l->at[l->n], l->was[l->n]);
	}
}

#endif
