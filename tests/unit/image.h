/* SPDX-License-Identifier: MIT
 *
 * Memory with a kernel in it, made by hand: page tables, VMCOREINFO, kallsyms, BTF. Just so much of each that a
 * kernel is found, in every form that kernels come in.
 */
#ifndef TESTS_UNIT_IMAGE_H
#define TESTS_UNIT_IMAGE_H

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gpu/kmem.h"
#include "targets/ramfile.h"
#include "tests/unit/btf_make.h"

#define IMG_LEN (8ull << 20)
#define IMG_HIGH (4ull << 30)
#define IMG_SYMS 8192u
#define IMG_RODATA 0x200000u /* offsets in the image */
#define IMG_TABLES 0x210000u
#define IMG_BTF 0x500000u
#define IMG_DATA 0x600000u
#define IMG_STEXT 0x1000u
#define IMG_RELEASE "6.1.0-1-test"

enum img_way { IMG_PERCPU, IMG_BASE, IMG_PLACE };

struct img_opts {
	uint64_t size;         /* bytes of memory */
	uint64_t split;        /* where the hole below 4 GiB starts; 0: none */
	uint64_t phys, kaslr, page_offset;
	uint32_t levels;       /* 4, 5 */
	uint32_t direct_shift; /* pages of the direct map: 12, 21, 30 */
	bool image_4k;         /* the image in small pages */
	enum img_way way;
	bool old_order, seqs, short_names;
	bool no_note, bare_note; /* bare: without kallsyms' addresses, as before 6.0 */
	bool no_btf, no_offset_base;
	uint32_t fillers;      /* symbols with no meaning */
	uint64_t wall;         /* seconds since 1970 */
	const char *release;
};

static const struct img_opts img_default = {
	.size = 64 << 20, .phys = 16 << 20, .kaslr = 0x1f200000, .page_offset = 0xffff888040000000, .levels = 4, .direct_shift = 21,
	.fillers = 1500, .wall = 1700000000, .release = IMG_RELEASE,
};

struct img_sym {
	char name[700];
	char type;
	uint64_t va;
};

struct img {
	struct img_opts o;
	int fd;
	uint8_t *mem;     /* the whole file */
	uint64_t pool;    /* next free gpa for page tables */
	uint64_t start;   /* va of the image */
	uint64_t pgd;     /* gpa */
	uint64_t note;    /* gpa */
	struct img_sym *sym;
	uint32_t syms;
	/* va of kallsyms' tables */
	uint64_t names, num_syms, markers, token_table, token_index, offsets, relative_base;
};

KIT uint64_t img_off(const struct img *m, uint64_t gpa)
{
	return m->o.split && gpa >= IMG_HIGH ? gpa - IMG_HIGH + m->o.split : gpa;
}

KIT uint8_t *img_at(const struct img *m, uint64_t gpa)
{
	assert(img_off(m, gpa) < m->o.size);
	return m->mem + img_off(m, gpa);
}

/* va of the image */
KIT uint8_t *img_va(const struct img *m, uint64_t va)
{
	return img_at(m, va - m->start + m->o.phys);
}

KIT void img_w64(const struct img *m, uint64_t va, uint64_t v)
{
	memcpy(img_va(m, va), &v, 8);
}

/* The table behind entry i of the table at gpa, made where there is none. */
KIT uint64_t img_table(struct img *m, uint64_t table, uint64_t i)
{
	uint64_t *e = (uint64_t *)(void *)img_at(m, table) + i;

	if (!*e) {
		*e = m->pool | 0x67;
		m->pool += 4096;
	}
	return *e & GF_PTE_ADDR;
}

KIT void img_map(struct img *m, uint64_t va, uint64_t gpa, uint32_t shift)
{
	uint64_t table = m->pgd;
	uint32_t level = m->o.levels;

	for (; 12 + 9 * (level - 1) > shift; level--)
		table = img_table(m, table, va >> (12 + 9 * (level - 1)) & 511);
	((uint64_t *)(void *)img_at(m, table))[va >> shift & 511] = gpa | (shift == 12 ? 0x163 : 0x1e3);
}

KIT void img_sym(struct img *m, const char *name, char type, uint64_t va)
{
	struct img_sym *s = &m->sym[m->syms++];

	assert(m->syms <= IMG_SYMS && strlen(name) < sizeof s->name);
	strcpy(s->name, name);
	s->type = type;
	s->va = va;
}

KIT uint64_t img_sym_va(const struct img *m, const char *name)
{
	for (uint32_t i = 0; i < m->syms; i++)
		if (!strcmp(m->sym[i].name, name))
			return m->sym[i].va;
	return 0;
}

KIT int img_by_va(const void *a, const void *b)
{
	const struct img_sym *x = a, *y = b;

	return x->va < y->va ? -1 : x->va > y->va;
}

/* ---- kallsyms ---------------------------------------------------------------------- */

struct img_out {
	uint8_t *p;
	size_t n;
};

KIT void img_align(struct img_out *o)
{
	while (o->n % 8)
		o->p[o->n++] = 0;
}

KIT void img_put(struct img_out *o, const void *p, size_t n)
{
	memcpy(o->p + o->n, p, n);
	o->n += n;
}

/* Visible characters stand for themselves, other numbers for two or more. */
KIT void img_tokens(char tok[256][8])
{
	static const char *const pairs[] = { "__", "_s", "er", "fi", "ll", "in", "re", "t_", "st", "00", "01", "10", "fil", "ler" };

	for (unsigned i = 0, k = 0; i < 256; i++) {
		if (i > ' ' && i < 127)
			snprintf(tok[i], 8, "%c", (int)i);
		else if (k < sizeof pairs / sizeof *pairs)
			snprintf(tok[i], 8, "%s", pairs[k++]);
		else
			snprintf(tok[i], 8, "q%uz", i);
	}
}

KIT size_t img_compress(const char *s, char tok[256][8], uint8_t *out)
{
	size_t n = 0;

	while (*s) {
		unsigned best = (uint8_t)*s;

		for (unsigned i = 0; i < 256; i++)
			if (strlen(tok[i]) > strlen(tok[best]) && !strncmp(s, tok[i], strlen(tok[i])))
				best = i;
		out[n++] = (uint8_t)best;
		s += strlen(tok[best]);
	}
	return n;
}

KIT void img_names(struct img *m, struct img_out *o, uint64_t va, char tok[256][8])
{
	uint32_t *marker = calloc(m->syms / 256 + 2, 4), zero = 0;
	size_t start;

	img_align(o);
	m->num_syms = va + o->n;
	img_put(o, &m->syms, 4);
	img_align(o);
	m->names = va + o->n;
	start = o->n;
	for (uint32_t i = 0; i < m->syms; i++) {
		char text[720];
		uint8_t code[720];
		size_t n;

		if (i % 256 == 0)
			marker[i / 256] = (uint32_t)(o->n - start);
		snprintf(text, sizeof text, "%c%s", m->sym[i].type, m->sym[i].name);
		n = img_compress(text, tok, code);
		if (n < 128 || m->o.short_names) {
			assert(n < 256);
			o->p[o->n++] = (uint8_t)n;
		} else {
			o->p[o->n++] = (uint8_t)(n & 0x7f) | 0x80;
			o->p[o->n++] = (uint8_t)(n >> 7);
		}
		img_put(o, code, n);
	}
	img_align(o);
	m->markers = va + o->n;
	img_put(o, marker, 4 * ((m->syms + 255) / 256));
	img_align(o);
	if (m->o.seqs)
		for (uint32_t i = 0; i < m->syms; i++)
			img_put(o, &(uint32_t){ i * 0x010101 ^ zero }, 3);
	free(marker);
}

KIT void img_token_tables(struct img *m, struct img_out *o, uint64_t va, char tok[256][8])
{
	uint16_t index[256];
	size_t start;

	img_align(o);
	m->token_table = va + o->n;
	start = o->n;
	for (unsigned i = 0; i < 256; i++) {
		index[i] = (uint16_t)(o->n - start);
		img_put(o, tok[i], strlen(tok[i]) + 1);
	}
	img_align(o);
	m->token_index = va + o->n;
	img_put(o, index, sizeof index);
}

KIT void img_offsets(struct img *m, struct img_out *o, uint64_t va)
{
	uint64_t base = m->start;

	img_align(o);
	m->offsets = va + o->n;
	for (uint32_t i = 0; i < m->syms; i++) {
		uint64_t a = m->sym[i].va;
		uint32_t off;

		if (m->o.way == IMG_PLACE)
			off = (uint32_t)(a - (m->offsets + 4 * i));
		else if (m->o.way == IMG_BASE)
			off = (uint32_t)(a - base);
		else
			off = a < base ? (uint32_t)a : (uint32_t)(base - 1 - a);
		img_put(o, &off, 4);
	}
	img_align(o);
	m->relative_base = m->o.way == IMG_PLACE ? 0 : va + o->n;
	if (m->relative_base)
		img_put(o, &base, 8);
}

KIT void img_kallsyms(struct img *m)
{
	struct img_out o = { .p = img_va(m, m->start + IMG_TABLES) };
	uint64_t va = m->start + IMG_TABLES;
	char tok[256][8];

	img_tokens(tok);
	qsort(m->sym, m->syms, sizeof *m->sym, img_by_va);
	if (m->o.old_order)
		img_offsets(m, &o, va);
	img_names(m, &o, va, tok);
	img_token_tables(m, &o, va, tok);
	if (!m->o.old_order)
		img_offsets(m, &o, va);
	assert(o.n < IMG_BTF - IMG_TABLES);
}

/* ---- the rest ------------------------------------------------------------------------ */

KIT void img_btf(struct img *m)
{
	struct maker *b = with_int();

	type(b, "long long", BTF_KIND_INT, 0, 8);
	word(b, 64);
	type(b, "timekeeper", BTF_KIND_STRUCT, 1, 128);
	member(b, "xtime_sec", 2, 16 * 8);
	make(b);
	memcpy(img_va(m, m->start + IMG_BTF), b->out.p, b->out.n);
	if (!m->o.no_btf) {
		img_sym(m, "__start_BTF", 'R', m->start + IMG_BTF);
		img_sym(m, "__stop_BTF", 'R', m->start + IMG_BTF + b->out.n);
	}
	drop(b);
}

KIT void img_symbols(struct img *m)
{
	uint64_t s = m->start, d = s + IMG_DATA;
	char name[700];

	img_sym(m, "_text", 'T', s);
	img_sym(m, "_stext", 'T', s + IMG_STEXT);
	img_sym(m, "linux_banner", 'D', s + IMG_RODATA);
	img_sym(m, "init_top_pgt", 'D', d);
	img_sym(m, "swapper_pg_dir", 'D', d);
	if (!m->o.no_offset_base)
		img_sym(m, "page_offset_base", 'D', d + 0x10000);
	img_sym(m, "max_pfn", 'B', d + 0x10008);
	img_sym(m, "tk_core", 'd', d + 0x10040);
	img_sym(m, "_end", 'B', s + IMG_LEN);
	if (m->o.way == IMG_PERCPU) {
		img_sym(m, "fixed_percpu_data", 'A', 0);
		img_sym(m, "current_task", 'A', 0x1a2c0);
	}
	for (uint32_t i = 0; i < m->o.fillers; i++) {
		snprintf(name, sizeof name, "filler_%04u", i);
		img_sym(m, name, 't', s + IMG_STEXT + 64 + 16ull * i);
	}
	memset(name, 0, sizeof name);
	memset(name, 'L', m->o.short_names ? 200 : 500); /* longer than one byte of length says since 6.1 */
	img_sym(m, name, 't', s + IMG_STEXT + 32);
}

KIT size_t img_note_text(const struct img *m, char *buf, size_t n)
{
	int len = snprintf(buf, n, "OSRELEASE=%s\nBUILD-ID=0123456789abcdef\nPAGESIZE=4096\nSYMBOL(init_uts_ns)=%llx\nSYMBOL(swapper_pg_dir)=%llx\n"
			   "SYMBOL(_stext)=%llx\nNUMBER(phys_base)=%lld\nNUMBER(pgtable_l5_enabled)=%d\nKERNELOFFSET=%llx\n", m->o.release,
			   (unsigned long long)m->start, (unsigned long long)m->start + IMG_DATA, (unsigned long long)m->start + IMG_STEXT,
			   (long long)(m->o.phys - (m->start - GF_KERNEL_MAP)), m->o.levels == 5, (unsigned long long)m->o.kaslr);

	if (!m->o.bare_note) {
		len += snprintf(buf + len, n - (size_t)len, "SYMBOL(kallsyms_names)=%llx\nSYMBOL(kallsyms_num_syms)=%llx\nSYMBOL(kallsyms_token_table)=%llx\n"
				"SYMBOL(kallsyms_token_index)=%llx\nSYMBOL(kallsyms_offsets)=%llx\n", (unsigned long long)m->names,
				(unsigned long long)m->num_syms, (unsigned long long)m->token_table, (unsigned long long)m->token_index,
				(unsigned long long)m->offsets);
		if (m->relative_base)
			len += snprintf(buf + len, n - (size_t)len, "SYMBOL(kallsyms_relative_base)=%llx\n", (unsigned long long)m->relative_base);
	}
	return (size_t)len;
}

/* A note at gpa with this text. */
KIT void img_note(struct img *m, uint64_t gpa, const char *text, size_t len)
{
	uint32_t head[3] = { 11, (uint32_t)len, 0 };

	memcpy(img_at(m, gpa), head, sizeof head);
	memcpy(img_at(m, gpa) + 12, "VMCOREINFO\0", 12);
	memcpy(img_at(m, gpa) + 24, text, len);
}

KIT uint64_t img_end(const struct img *m)
{
	return m->o.split ? IMG_HIGH + m->o.size - m->o.split : m->o.size;
}

/* A kernel as o says into m's memory. Several may go into one, where they do not overlap. */
KIT void img_build(struct img *m)
{
	uint64_t step = 1ull << m->o.direct_shift;
	char text[4096];

	m->start = GF_KERNEL_MAP + 0x1000000 + m->o.kaslr;
	m->pgd = m->o.phys + IMG_DATA;
	m->pool = m->o.phys + IMG_LEN;
	m->syms = 0;
	for (uint64_t at = 0; at < IMG_LEN; at += m->o.image_4k ? 4096 : 2 << 20)
		img_map(m, m->start + at, m->o.phys + at, m->o.image_4k ? 12 : 21);
	/* Two pieces of it are enough where it takes a table for each two MiB. */
	for (uint64_t at = 0; at < img_end(m); at += step)
		if (m->o.direct_shift > 12 || at < 2 << 20 || (at >= m->o.phys && at < m->o.phys + IMG_LEN))
			img_map(m, m->o.page_offset + at, at, m->o.direct_shift);
	snprintf((char *)img_va(m, m->start + IMG_RODATA), 200, "Linux version %s (builder@host) (gcc 12) #1 SMP Test\n", m->o.release);
	img_w64(m, m->start + IMG_DATA + 0x10000, m->o.page_offset);
	img_w64(m, m->start + IMG_DATA + 0x10008, img_end(m) / 4096);
	img_w64(m, m->start + IMG_DATA + 0x10040 + 8 + 16, m->o.wall);
	img_symbols(m);
	img_btf(m);
	img_kallsyms(m);
	m->note = m->pool;
	m->pool += 8192;
	if (!m->o.no_note)
		img_note(m, m->note, text, img_note_text(m, text, sizeof text));
}

KIT struct img *img_create(const struct img_opts *o)
{
	struct img *m = calloc(1, sizeof *m);

	m->o = *o;
	m->fd = memfd_create("image", MFD_CLOEXEC);
	assert(m->fd >= 0 && ftruncate(m->fd, (off_t)o->size) == 0);
	m->mem = mmap(NULL, o->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, m->fd, 0);
	assert(m->mem != MAP_FAILED);
	m->sym = calloc(IMG_SYMS, sizeof *m->sym);
	img_build(m);
	return m;
}

KIT void img_destroy(struct img *m)
{
	munmap(m->mem, m->o.size);
	close(m->fd);
	free(m->sym);
	free(m);
}

/* The layout as pieces; returns how many. */
KIT size_t img_pieces(const struct img *m, struct gf_ram_piece p[2])
{
	p[0] = (struct gf_ram_piece){ 0, m->o.split ? m->o.split : m->o.size, 0 };
	p[1] = (struct gf_ram_piece){ IMG_HIGH, m->o.size - m->o.split, m->o.split };
	return m->o.split ? 2 : 1;
}

KIT struct gf_ramfile *img_open(const struct img *m)
{
	struct gf_ram_piece p[2];
	struct gf_ramfile *f;
	struct gf_err err = { "" };
	size_t n = img_pieces(m, p);

	if (gf_ramfile_map(m->fd, "image", p, n, false, &f, &err)) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	return f;
}

#endif
