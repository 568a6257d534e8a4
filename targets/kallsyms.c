// SPDX-License-Identifier: MIT
/*
 * Names are strings of token numbers, each behind its length; addresses are 32-bit offsets. What an offset is
 * relative to has changed over time and with the configuration, and nothing in memory says which it is: the way
 * of reading is taken by which `_stext` comes out right and everything else plausible.
 */
#include "targets/kallsyms.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SYMS_MAX (1u << 20)
#define POOL_MAX (256u << 20)
#define NAME_MAX_LEN 1023u /* KSYM_NAME_LEN is 512 (128 before 6.1) */
#define TOKENS 256u
#define TABLE_MAX 65536u /* indices have 16 bits */
#define CHUNK 4096u
#define IMAGE_MAX (2ull << 30) /* from GF_KERNEL_MAP to the end of the address space */

enum way { WAY_PERCPU, WAY_BASE, WAY_PLACE, WAYS };

static const char *const way_text[WAYS] = {
	[WAY_PERCPU] = "offsets from the base, negative; per-CPU ones absolute",
	[WAY_BASE] = "offsets from the base",
	[WAY_PLACE] = "offsets from where they stand",
};

struct gf_kallsyms {
	uint32_t n;
	enum way way;
	char encoding[96];
	char *pool;          /* type, name, NUL of each */
	uint32_t *at;        /* in pool */
	uint64_t *va;
	uint32_t *by_va;     /* in order of va; NULL: they are */
	uint32_t *hash;      /* index + 1, 0: free */
	uint32_t hash_mask;
};

struct tokens {
	char text[TABLE_MAX + 1];
	uint16_t index[TOKENS];
	uint64_t end; /* va behind the table */
};

/* Reads bytes one after the other. */
struct reader {
	const struct gf_kmem *k;
	uint64_t va;
	uint32_t pos, len;
	bool bad;
	uint8_t buf[CHUNK];
};

static uint8_t next_byte(struct reader *r)
{
	if (r->pos == r->len) {
		r->va += r->len;
		r->len = (uint32_t)(CHUNK - r->va % CHUNK);
		r->pos = 0;
		if (gf_kmem_read(r->k, r->va, r->buf, r->len)) {
			r->bad = true;
			memset(r->buf, 0, r->len);
		}
	}
	return r->buf[r->pos++];
}

/* 256 strings of visible characters, each ended by NUL. */
static int read_tokens(const struct gf_kmem *k, uint64_t va, struct tokens *t)
{
	struct reader *r = calloc(1, sizeof *r);
	uint32_t n = 0;

	if (!r)
		return -ENOMEM;
	r->k = k;
	r->va = va;
	for (uint32_t i = 0; i < TOKENS && !r->bad; i++) {
		uint8_t c;

		t->index[i] = (uint16_t)n;
		while ((c = next_byte(r)) && !r->bad && n < TABLE_MAX - 1)
			t->text[n++] = c > ' ' && c != 0x7f ? (char)c : '?';
		t->text[n++] = 0;
		if (c || n >= TABLE_MAX)
			r->bad = true;
	}
	t->end = va + n;
	bool bad = r->bad;
	free(r);
	return bad ? -EBADMSG : 0;
}

/* The index must say what the table itself says. */
static bool index_agrees(const struct gf_kmem *k, uint64_t va, const struct tokens *t)
{
	uint16_t index[TOKENS];

	return gf_kmem_read(k, va, index, sizeof index) == 0 && !memcmp(index, t->index, sizeof index);
}

static bool pool_grow(struct gf_kallsyms *s, size_t *cap, size_t need)
{
	char *p;

	if (need <= *cap)
		return true;
	if (need > POOL_MAX)
		return false;
	*cap = GF_MAX(need, GF_MIN(*cap * 2, (size_t)POOL_MAX));
	p = realloc(s->pool, *cap);
	if (p)
		s->pool = p;
	return p != NULL;
}

static bool is_type(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '?' || c == '-';
}

/* One name into buf with its type in front: its length, or 0. */
static uint32_t expand(struct reader *r, const struct tokens *t, bool big, char buf[NAME_MAX_LEN + 1])
{
	uint32_t len = next_byte(r), n = 0;

	if (big && len & 0x80)
		len = (len & 0x7f) | (uint32_t)next_byte(r) << 7;
	if (!len)
		return 0;
	while (len--) {
		const char *p = t->text + t->index[next_byte(r)];

		for (; *p; p++) {
			if (n == NAME_MAX_LEN)
				return 0;
			buf[n++] = *p;
		}
	}
	buf[n] = 0;
	return r->bad || n < 2 || !is_type(buf[0]) ? 0 : n;
}

/* All names into the pool: 0, or -EBADMSG with how many were good. */
static int read_names(const struct gf_kmem *k, uint64_t va, const struct tokens *t, bool big, struct gf_kallsyms *s, uint32_t *ret_good)
{
	struct reader *r = calloc(1, sizeof *r);
	size_t cap = (size_t)s->n * 24 + NAME_MAX_LEN, used = 0;
	int ret = 0;

	free(s->pool);
	s->pool = malloc(cap);
	*ret_good = 0;
	if (!r || !s->pool) {
		free(r);
		return -ENOMEM;
	}
	r->k = k;
	r->va = va;
	for (uint32_t i = 0; i < s->n && !ret; i++) {
		char buf[NAME_MAX_LEN + 1];
		uint32_t len = expand(r, t, big, buf);

		if (!len)
			ret = -EBADMSG;
		else if (!pool_grow(s, &cap, used + len + 1))
			ret = -ENOMEM;
		else {
			memcpy(s->pool + used, buf, len + 1);
			s->at[i] = (uint32_t)used;
			used += len + 1;
			*ret_good = i + 1;
		}
	}
	free(r);
	return ret;
}

static uint64_t address(enum way way, uint64_t base, uint64_t place, int32_t off)
{
	switch (way) {
	case WAY_PERCPU: return off >= 0 ? (uint64_t)off : base - 1 - (uint64_t)(int64_t)off;
	case WAY_BASE: return base + (uint32_t)off;
	default: return place + (uint64_t)(int64_t)off;
	}
}

/* How many of the addresses are where a kernel's symbols can be, and do not go back: of a wrong way of reading
 * next to none are. */
static bool plausible(const uint64_t *va, uint32_t n)
{
	uint32_t good = 0, order = 0;

	for (uint32_t i = 0; i < n; i++) {
		bool in = va[i] >= GF_KERNEL_MAP && va[i] - GF_KERNEL_MAP < IMAGE_MAX;

		good += in || va[i] < (64u << 20); /* per-CPU symbols count from 0 */
		order += i == 0 || va[i] >= va[i - 1];
	}
	return good >= n - n / 50 && order >= n - n / 50;
}

static uint32_t hash_of(const char *s)
{
	uint32_t h = 2166136261u;

	for (; *s; s++)
		h = (h ^ (uint8_t)*s) * 16777619u;
	return h ^ h >> 15;
}

/* A name that stands more than once is found by its first place. Names chosen to collide do not get more time than
 * others: -EBADMSG. */
static int index_names(struct gf_kallsyms *s)
{
	uint64_t probes = 64ull * s->n;
	uint32_t size = 16;

	while (size < s->n * 2)
		size *= 2;
	s->hash_mask = size - 1;
	s->hash = calloc(size, sizeof *s->hash);
	if (!s->hash)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->n; i++) {
		uint32_t h = hash_of(s->pool + s->at[i] + 1) & s->hash_mask;

		while (s->hash[h] && strcmp(s->pool + s->at[s->hash[h] - 1] + 1, s->pool + s->at[i] + 1)) {
			h = (h + 1) & s->hash_mask;
			if (!probes--)
				return -EBADMSG;
		}
		if (!s->hash[h])
			s->hash[h] = i + 1;
	}
	return 0;
}

static int index_of(const struct gf_kallsyms *s, const char *name, uint32_t *ret)
{
	for (uint32_t h = hash_of(name) & s->hash_mask; s->hash[h]; h = (h + 1) & s->hash_mask)
		if (!strcmp(s->pool + s->at[s->hash[h] - 1] + 1, name)) {
			*ret = s->hash[h] - 1;
			return 0;
		}
	return -ENOENT;
}

/* Where nobody says what _stext is: the banner is where its symbol says. */
static bool banner_agrees(const struct gf_kmem *k, const struct gf_kallsyms *s)
{
	static const char start[] = "Linux version ";
	char text[sizeof start - 1];
	uint32_t i;

	return index_of(s, "linux_banner", &i) || (gf_kmem_read(k, s->va[i], text, sizeof text) == 0 && !memcmp(text, start, sizeof text));
}

static void decode(const int32_t *off, enum way way, const struct gf_kallsyms_at *at, uint64_t base, uint64_t *va, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		va[i] = address(way, base, at->offsets + 4ull * i, off[i]);
}

static int by_address(const void *a, const void *b, void *arg)
{
	const uint64_t *va = arg;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	if (va[x] != va[y])
		return va[x] < va[y] ? -1 : 1;
	return x < y ? -1 : x > y;
}

static int index_addresses(struct gf_kallsyms *s)
{
	s->by_va = malloc(s->n * sizeof *s->by_va);
	if (!s->by_va)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->n; i++)
		s->by_va[i] = i;
	qsort_r(s->by_va, s->n, sizeof *s->by_va, by_address, s->va);
	return 0;
}

/* Takes the way of reading under which _stext comes out right. */
static int read_addresses(const struct gf_kmem *k, const struct gf_kallsyms_at *at, struct gf_kallsyms *s, struct gf_err *err)
{
	int32_t *off = malloc(s->n * sizeof *off);
	uint64_t base = 0;
	uint32_t stext;
	bool have_base = at->relative_base && gf_kmem_load(k, at->relative_base, 8, &base) == 0, found = false;
	int r = off ? 0 : -ENOMEM;

	if (!r && gf_kmem_read(k, at->offsets, off, s->n * sizeof *off))
		r = gf_err_set(err, EBADMSG, "the kernel's symbol table leads out of memory: its offsets are not all there");
	if (!r && index_of(s, "_stext", &stext))
		r = gf_err_set(err, EBADMSG, "the kernel's symbol table has no _stext: it is not one, or was written over");
	for (enum way way = 0; !r && !found && way < WAYS; way++) {
		uint64_t va = address(way, base, at->offsets + 4ull * stext, off[stext]);

		if ((way != WAY_PLACE && !have_base) || (at->stext && va != at->stext) || va < GF_KERNEL_MAP)
			continue;
		decode(off, way, at, base, s->va, s->n);
		s->way = way;
		found = plausible(s->va, s->n) && (at->stext || banner_agrees(k, s));
	}
	if (!r && !found)
		r = gf_err_set(err, ENOTSUP, "the kernel's symbol table is of a kind that is not known: %u names, but no way to read its "
			       "addresses gives _stext", s->n);
	free(off);
	return r;
}

static int alloc_tables(struct gf_kallsyms *s, uint64_t n, struct gf_err *err)
{
	if (n < 2 || n > SYMS_MAX)
		return gf_err_set(err, EBADMSG, "the kernel's symbol table says it has %llu symbols, which cannot be", (unsigned long long)n);
	s->n = (uint32_t)n;
	s->at = malloc(s->n * sizeof *s->at);
	s->va = malloc(s->n * sizeof *s->va);
	return s->at && s->va ? 0 : -ENOMEM;
}

static int read_all(const struct gf_kmem *k, const struct gf_kallsyms_at *at, struct tokens *t, struct gf_kallsyms *s, struct gf_err *err)
{
	uint64_t n = 0, index;
	uint32_t good = 0;
	bool big = true;
	int r;

	if (!at->names || !at->num_syms || !at->token_table || !at->offsets)
		return gf_err_set(err, ENOTSUP, "where the kernel's symbol table is, is not known");
	if (gf_kmem_load(k, at->num_syms, 4, &n))
		return gf_err_set(err, EBADMSG, "the kernel's symbol table is not where it is said to be");
	r = alloc_tables(s, n, err);
	if (!r)
		r = read_tokens(k, at->token_table, t);
	if (r)
		return r == -EBADMSG && s->n ? gf_err_set(err, EBADMSG, "the kernel's table of name parts is not 256 strings") : r;
	index = at->token_index ? at->token_index : (t->end + 7) & ~7ull;
	if (!index_agrees(k, index, t))
		return gf_err_set(err, EBADMSG, "the kernel's table of name parts and its index do not agree");
	r = read_names(k, at->names, t, true, s, &good);
	if (r == -EBADMSG) { /* before 6.1 (73bbb94466fd) a length had one byte */
		big = false;
		r = read_names(k, at->names, t, false, s, &good);
	}
	if (r == -EBADMSG)
		return gf_err_set(err, EBADMSG, "the kernel's symbol names end after %u of %u", good, s->n);
	if (!r)
		r = index_names(s);
	if (r == -EBADMSG)
		return gf_err_set(err, EBADMSG, "the kernel's symbol names are not names of symbols");
	if (!r)
		r = read_addresses(k, at, s, err);
	if (!r)
		r = index_addresses(s);
	snprintf(s->encoding, sizeof s->encoding, "%s%s", way_text[s->way], big ? "" : "; short names");
	return r;
}

int gf_kallsyms_read(const struct gf_kmem *k, const struct gf_kallsyms_at *at, struct gf_kallsyms **ret, struct gf_err *err)
{
	struct gf_kallsyms *s = calloc(1, sizeof *s);
	struct tokens *t = calloc(1, sizeof *t);
	int r = s && t ? read_all(k, at, t, s, err) : -ENOMEM;

	free(t);
	if (r == -ENOMEM)
		gf_err_set(err, ENOMEM, "no memory for the kernel's symbol table");
	if (r)
		gf_kallsyms_free(s);
	else
		*ret = s;
	return r;
}

void gf_kallsyms_free(struct gf_kallsyms *s)
{
	if (!s)
		return;
	free(s->pool);
	free(s->at);
	free(s->va);
	free(s->by_va);
	free(s->hash);
	free(s);
}

int gf_kallsyms_find(const struct gf_kallsyms *s, const char *name, uint64_t *ret_va)
{
	uint32_t i;

	if (index_of(s, name, &i))
		return -ENOENT;
	*ret_va = s->va[i];
	return 0;
}

size_t gf_kallsyms_count(const struct gf_kallsyms *s)
{
	return s->n;
}

const char *gf_kallsyms_name(const struct gf_kallsyms *s, size_t i, uint64_t *ret_va, char *ret_type)
{
	*ret_va = s->va[i];
	*ret_type = s->pool[s->at[i]];
	return s->pool + s->at[i] + 1;
}

/* How many symbols are at or before va. */
static uint32_t up_to(const struct gf_kallsyms *s, uint64_t va)
{
	uint32_t lo = 0, hi = s->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (s->va[s->by_va[mid]] <= va)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const char *gf_kallsyms_at_va(const struct gf_kallsyms *s, uint64_t va, uint64_t *ret_off)
{
	uint32_t i = up_to(s, va);

	if (!i)
		return NULL;
	while (i > 1 && s->va[s->by_va[i - 2]] == s->va[s->by_va[i - 1]]) /* of aliases the first */
		i--;
	*ret_off = va - s->va[s->by_va[i - 1]];
	return s->pool + s->at[s->by_va[i - 1]] + 1;
}

uint64_t gf_kallsyms_size(const struct gf_kallsyms *s, uint64_t va)
{
	uint32_t i = up_to(s, va);

	return i < s->n ? s->va[s->by_va[i]] - va : 0;
}

const char *gf_kallsyms_encoding(const struct gf_kallsyms *s)
{
	return s->encoding;
}
