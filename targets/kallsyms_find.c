// SPDX-License-Identifier: MIT
/*
 * kallsyms' tables by their shape. What stands out is the index of the token table: 256 ascending 16-bit numbers,
 * from 0 on, that are where 256 strings right before them start. From there the others follow, as scripts/kallsyms.c
 * writes them, each aligned to 8:
 *
 *   before 6.4 (404bad70fcf7)   offsets base num_syms names markers [seqs] token_table token_index
 *   since                       num_syms names markers token_table token_index offsets [base] seqs
 *
 * markers: where every 256th name starts. seqs: three bytes a symbol, 6.2 and some 6.1.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "targets/kallsyms.h"

#define TOKENS 256u
#define TOKEN_LEN 512u
#define INDEX_HITS 256u  /* that look like an index at first */
#define READS 16u        /* tries to read what looks like all the tables */
#define SYMS_MAX (1u << 20)
#define NAME_LEN 1024u
#define IMAGE_MAX (1ull << 30)
#define LARGE (2ull << 20)

#define LOADS (200ull << 20) /* a real kernel takes about a million; memory made to look like tables must not take minutes */

/* The kernel's image: one piece of memory, seen through its addresses. */
struct view {
	uint64_t va, len;
	const uint8_t *p;
	uint64_t loads; /* left */
};

static uint64_t align8(uint64_t v)
{
	return (v + 7) & ~7ull;
}

static uint64_t get(struct view *v, uint64_t off, uint32_t size)
{
	if (off > v->len || size > v->len - off || !v->loads)
		return 0;
	v->loads--;
	return gf_load(v->p + off, size);
}

static bool mapped(const struct gf_kmem *k, uint64_t va)
{
	struct gf_gpa gpa;
	uint64_t left;

	return gf_pt_walk(&k->ram, k->pgd, k->levels, va, &gpa, &left) == 0 && gpa.v == va - GF_KERNEL_MAP + k->phys_base;
}

/* From the first to the last large page of which anything is mapped. The image has holes (what is freed after boot is
 * unmapped), but lies in one piece of memory. */
static bool image_view(const struct gf_kmem *k, struct view *ret)
{
	uint64_t lo = 0, hi = 0;

	for (uint64_t va = GF_KERNEL_MAP; va < GF_KERNEL_MAP + IMAGE_MAX; va += LARGE)
		if (mapped(k, va) || mapped(k, va + LARGE / 2) || mapped(k, va + LARGE - 4096)) {
			lo = lo ? lo : va;
			hi = va + LARGE;
		}
	for (; lo < hi; hi -= LARGE) { /* memory may end within the last */
		struct gf_gpa gpa = { lo - GF_KERNEL_MAP + k->phys_base };

		ret->p = gf_ram_at(&k->ram, gpa, hi - lo);
		ret->va = lo;
		ret->len = hi - lo;
		ret->loads = LOADS;
		if (ret->p)
			return true;
	}
	return false;
}

static bool is_index(struct view *v, uint64_t off)
{
	uint64_t last = 0;

	if (off + TOKENS * 2 > v->len)
		return false;
	for (uint32_t i = 1; i < TOKENS; i++) {
		uint64_t x = get(v, off + i * 2, 2);

		if (x < last + 2 || x > last + TOKEN_LEN)
			return false;
		last = x;
	}
	return true;
}

/* The table whose index is at off: 0 if there is none. */
static uint64_t table_before(struct view *v, uint64_t off)
{
	uint64_t last = get(v, off + (TOKENS - 1) * 2, 2);

	for (uint64_t len = 2; len < TOKEN_LEN; len++) { /* of the last token */
		uint64_t size = align8(last + len), t = off - size;
		uint32_t i = 1;

		if (size > off || get(v, t + last + len - 1, 1))
			continue;
		while (i < TOKENS && !get(v, t + get(v, off + i * 2, 2) - 1, 1))
			i++;
		/* Letters that symbols are made of stand for themselves. */
		if (i == TOKENS && get(v, t + get(v, off + 'a' * 2, 2), 1) == 'a' && get(v, t + get(v, off + '_' * 2, 2), 1) == '_')
			return t;
	}
	return 0;
}

static uint64_t skip_name(struct view *v, uint64_t off)
{
	uint64_t len = get(v, off, 1);

	return len & 0x80 ? off + 2 + ((len & 0x7f) | get(v, off + 1, 1) << 7) : off + 1 + len;
}

/* Whether names start at off: the 257th is where the second marker says. */
static bool names_start(struct view *v, uint64_t off, uint64_t markers)
{
	uint64_t at = off;

	for (uint32_t i = 0; i < 256; i++) {
		at = skip_name(v, at);
		if (at > v->len)
			return false;
	}
	return at == off + get(v, markers + 4, 4);
}

/* Entries of the marker table at off: as long as they go up like starts of names do. */
static uint32_t count_markers(struct view *v, uint64_t off, uint64_t end)
{
	uint64_t last = 0;
	uint32_t n = 1;

	if (get(v, off, 4))
		return 0;
	while (off + n * 4ull + 4 <= end && n < SYMS_MAX / 256) {
		uint64_t m = get(v, off + n * 4ull, 4);

		if (m < last + 2 * 256 || m > last + 256ull * NAME_LEN)
			break;
		last = m;
		n++;
	}
	return n < 2 ? 0 : n;
}

/* Names and their number, with n markers at `markers`. The names end where the markers start. */
static bool names_before(struct view *v, uint64_t markers, uint32_t n, uint64_t *ret_names, uint64_t *ret_num)
{
	uint64_t last = get(v, markers + (n - 1) * 4ull, 4), reach = last + 256ull * NAME_LEN;

	for (uint64_t back = align8(last); back <= reach && back + 8 <= markers && v->loads; back += 8) {
		uint64_t num = get(v, markers - back - 8, 4);

		if (num > (n - 1) * 256ull && num <= n * 256ull && !get(v, markers - back - 4, 4) &&
		    names_start(v, markers - back, markers)) {
			*ret_names = markers - back;
			*ret_num = num;
			return true;
		}
	}
	return false;
}

/* Markers lie before the token table, with or without seqs in between. */
static bool names_of(struct view *v, uint64_t table, uint64_t *ret_names, uint64_t *ret_num, uint64_t *ret_markers)
{
	uint64_t reach = 3ull * SYMS_MAX + SYMS_MAX / 64;

	for (uint64_t back = 8; back <= reach && back <= table && v->loads; back += 8) {
		uint64_t off = table - back, gap;
		uint32_t most;

		if (get(v, off, 4) || get(v, off + 4, 4) < 2 * 256)
			continue;
		most = count_markers(v, off, table);
		for (uint32_t n = most; n >= 2 && n + 4 > most; n--) { /* seqs may look like a few more */
			if (!names_before(v, off, n, ret_names, ret_num))
				continue;
			gap = table - off - align8(n * 4ull);
			if ((gap == 0 || gap == align8(3 * *ret_num)) && (*ret_num + 255) / 256 == n) {
				*ret_markers = off;
				return true;
			}
		}
	}
	return false;
}

static int read_orders(const struct gf_kmem *k, struct view *v, struct gf_kallsyms_at *at, uint64_t index, uint64_t num_at,
		       uint64_t num, struct gf_kallsyms **ret, struct gf_err *err)
{
	int r;

	at->offsets = v->va + index + TOKENS * 2;
	at->relative_base = at->offsets + align8(num * 4);
	r = gf_kallsyms_read(k, at, ret, err);
	if (r == -ENOMEM || r == 0 || num_at < 8 + align8(num * 4))
		return r;
	at->relative_base = v->va + num_at - 8;
	at->offsets = at->relative_base - align8(num * 4);
	return gf_kallsyms_read(k, at, ret, err);
}

int gf_kallsyms_search(const struct gf_kmem *k, uint64_t stext, struct gf_kallsyms **ret, struct gf_err *err)
{
	struct view v;
	uint32_t hits = 0, reads = 0;
	int r = gf_err_set(err, ENOTSUP, "the kernel has no symbol table (CONFIG_KALLSYMS), or one of a kind that is not known");

	if (!image_view(k, &v))
		return gf_err_set(err, EBADMSG, "the kernel's page tables do not map its image");
	for (uint64_t off = 0; off + TOKENS * 2 <= v.len && hits < INDEX_HITS && reads < READS && v.loads; off += 8) {
		struct gf_kallsyms_at at = { .stext = stext };
		uint64_t first = gf_load(v.p + off, 8), table, names, num, markers;

		/* 0 and three small ascending numbers */
		if ((first & 0xffff) || !(first >> 16 & 0xffff) || (first >> 32 & 0xffff) <= (first >> 16 & 0xffff) || !is_index(&v, off))
			continue;
		hits++;
		table = table_before(&v, off);
		if (!table || !names_of(&v, table, &names, &num, &markers))
			continue;
		reads++;
		at.names = v.va + names;
		at.num_syms = v.va + names - 8;
		at.markers = v.va + markers;
		at.token_table = v.va + table;
		at.token_index = v.va + off;
		r = read_orders(k, &v, &at, off, names - 8, num, ret, err);
		if (r == 0 || r == -ENOMEM)
			return r;
	}
	return r;
}
