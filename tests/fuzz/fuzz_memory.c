/* SPDX-License-Identifier: MIT
 *
 * A guest's memory: whatever is in it, looking for a kernel ends, and reads nothing outside. The first byte chooses
 * one of a few kernels made by hand; the rest are changes to it of eight bytes each: where (a part of it, an offset),
 * how many bytes and which. What is left over is a VMCOREINFO text.
 */
#include "tests/unit/image.h"

#include "targets/kallsyms.h"
#include "targets/kernel.h"
#include "targets/vmcoreinfo.h"

#define CHANGES 64u
#define KINDS 8u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct img *made[KINDS];

static struct img *image_of(uint8_t kind)
{
	struct img_opts o = img_default;

	kind %= KINDS;
	if (made[kind])
		return made[kind];
	o.size = 32 << 20;
	o.fillers = 300;
	o.levels = 4 + (kind & 1);
	o.page_offset = kind & 1 ? 0xff2b380a00000000 : 0xffff888040000000;
	o.old_order = kind & 2;
	o.seqs = kind & 2;
	o.no_note = kind & 4;
	o.bare_note = kind == 3;
	o.direct_shift = kind & 2 ? 30 : 21;
	return made[kind] = img_create(&o);
}

/* A place in the image that a change can go to. */
static uint8_t *place(const struct img *m, const uint8_t *c)
{
	const struct { uint64_t gpa, len; } part[] = {
		{ m->note, 1024 }, { m->o.phys + IMG_DATA, 4096 }, { m->o.phys + IMG_LEN, m->pool - m->o.phys - IMG_LEN },
		{ m->o.phys + IMG_DATA + 0x10000, 128 }, { m->o.phys + m->token_table - m->start, 3000 },
		{ m->o.phys + m->markers - m->start, 64 }, { m->o.phys + m->num_syms - m->start, 4096 },
		{ m->o.phys + m->offsets - m->start, 2048 }, { m->o.phys + IMG_BTF, 256 }, { m->o.phys + IMG_RODATA, 128 },
		{ m->o.phys + IMG_RODATA, IMG_LEN - IMG_RODATA }, { 0, m->o.size },
	};
	unsigned p = c[0] % (sizeof part / sizeof *part);
	uint32_t off = (uint32_t)c[1] | (uint32_t)c[2] << 8 | (uint32_t)c[3] << 16;

	return img_at(m, part[p].gpa + off % (part[p].len - 8));
}

static void use(const struct gf_kernel *k)
{
	uint64_t va, off, sum = 0;
	char type;

	for (size_t i = 0; i < gf_kallsyms_count(k->syms); i += 7) {
		const char *name = gf_kallsyms_name(k->syms, i, &va, &type);

		sum += strlen(name) + (gf_kernel_sym(k, name, &va) != 0);
		gf_kallsyms_at_va(k->syms, va, &off);
		gf_kmem_load(&k->mem, va & ~7ull, 8, &off);
	}
	gf_kernel_still_there(k);
	if (strlen(k->banner) >= sizeof k->banner || strlen(k->release) >= sizeof k->release || !*k->release || sum == 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gf_vmcoreinfo v;
	struct gf_err err;
	struct gf_ramfile *f;
	struct gf_kernel *k;
	struct img *m;
	uint8_t *at[CHANGES], was[CHANGES][4];
	unsigned n = 0;

	if (!size)
		return 0;
	m = image_of(*data++);
	size--;
	for (; size >= 8 && n < CHANGES; size -= 8, data += 8, n++) {
		at[n] = place(m, data);
		memcpy(was[n], at[n], 4);
		for (unsigned i = 0; i < (data[0] >> 6) + 1u; i++)
			at[n][i] = data[4 + i];
	}
	/* A block of exactly this size: reading past it is seen. */
	char *text = malloc(size ? size : 1);
	memcpy(text, data, size);
	gf_vmcoreinfo_parse(text, size, &v);
	free(text);
	f = img_open(m);
	if (gf_kernel_find(f, &k, &err) == 0) {
		use(k);
		gf_kernel_free(k);
	} else if (!*err.text) {
		abort();
	}
	gf_ramfile_close(f);
	while (n--)
		memcpy(at[n], was[n], 4);
	return 0;
}
