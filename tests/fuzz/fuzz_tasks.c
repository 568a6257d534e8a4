/* SPDX-License-Identifier: MIT
 *
 * A guest's tasks: whatever lists, trees and pointers say, a look at all of them ends, reads nothing outside and keeps
 * to the table. The input is changes to a made-up kernel, of eight bytes each: which word (three bytes), what kind of
 * thing goes there (one), and which (four).
 */
#include <stdlib.h>
#include <string.h>

#include "targets/vm_int.h"
#include "tests/helpers/fakekernel.h"

#define CHANGES 256u
#define ROWS 128u
#define LOOKS 3 /* strings are asked for in one, and may be read in the next */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct gf_target_ops ops = {
	.kind = "vm", .sample = gf_vm_sample, .set_fields = gf_vm_set_fields, .set_paths = gf_vm_set_paths,
	.describe = gf_vm_describe, .destroy = gf_vm_unmake,
};

static struct fake *made_up(void)
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

static uint64_t thing(struct fake *f, uint8_t kind, uint32_t v)
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct gf_fieldset all = { ~0ull >> (64 - GF_HF_COUNT), ~0ull >> (64 - GF_TF_COUNT), (1u << GF_SF_COUNT) - 1, 0 };
	static struct fake *f;
	uint64_t at[CHANGES], was[CHANGES];
	struct gf_err err = { "" };
	struct gf_vm *vm;
	unsigned n = 0;

	if (!f)
		f = made_up();
	if (gf_vm_make(&(struct gf_vm_opts){ .name = "g", .max_tasks = ROWS }, &ops, &vm, &err))
		abort();
	gf_vm_publish(vm, fake_guest(f));
	if (gf_target_set_fields(&vm->t, &all, &err))
		abort();
	for (; size >= 8 && n < CHANGES; size -= 8, data += 8, n++) {
		uint32_t word = (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16, v;

		memcpy(&v, data + 4, 4);
		at[n] = FAKE_DIRECT + (uint64_t)word * 8 % f->next;
		was[n] = r64(f, at[n]);
		w64(f, at[n], thing(f, data[3], v));
	}
	for (int i = 0; i < LOOKS; i++) {
		err.text[0] = 0;
		if ((gf_target_sample(&vm->t, &err) && !err.text[0]) || vm->t.sample.live > ROWS || vm->t.sample.rows > vm->t.sample.cap)
			abort();
	}
	while (n--)
		w64(f, at[n], was[n]);
	/* Nothing was lost by it: as it was, all are seen. */
	if (gf_target_sample(&vm->t, &err) || vm->t.sample.live != 42)
		abort();
	gf_target_destroy(&vm->t);
	return 0;
}
