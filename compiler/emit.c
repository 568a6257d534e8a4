/* SPDX-License-Identifier: MIT */
#include "compiler/emit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compiler.h"

uint64_t gf_hash_mix(uint64_t h, uint64_t v)
{
	h ^= v + 0x9e3779b97f4a7c15ull + (h << 6) + (h >> 2);
	h *= 0xbf58476d1ce4e5b9ull;
	h ^= h >> 27;
	h *= 0x94d049bb133111ebull;
	return h ^ h >> 31;
}

uint64_t gf_hash_str(uint64_t h, const char *s)
{
	size_t n = s ? strlen(s) : 0, i = 0;
	for (; i + 8 <= n; i += 8) {
		uint64_t w;
		memcpy(&w, s + i, 8);
		h = gf_hash_mix(h, w);
	}
	uint64_t w = 0;
	if (n > i)
		memcpy(&w, s + i, n - i);
	return gf_hash_mix(gf_hash_mix(h, w), n);
}

static struct gf_hmap_slot *slot_of(const struct gf_hmap *m, uint64_t key)
{
	uint32_t i = (uint32_t)(key ^ key >> 32);
	while (m->slot[i & (m->cap - 1)].used && m->slot[i & (m->cap - 1)].key != key)
		i++;
	return &m->slot[i & (m->cap - 1)];
}

bool gf_hmap_get(const struct gf_hmap *m, uint64_t key, uint32_t *ret)
{
	const struct gf_hmap_slot *s = m->cap ? slot_of(m, key) : NULL;
	if (!s || !s->used)
		return false;
	*ret = s->value;
	return true;
}

int gf_hmap_put(struct gf_hmap *m, uint64_t key, uint32_t value)
{
	if ((m->n + 1) * 2 > m->cap) {
		struct gf_hmap bigger = { .cap = m->cap ? m->cap * 2 : 64, .n = m->n };
		bigger.slot = calloc(bigger.cap, sizeof *bigger.slot);
		if (!bigger.slot)
			return -ENOMEM;
		for (uint32_t i = 0; i < m->cap; i++)
			if (m->slot[i].used)
				*slot_of(&bigger, m->slot[i].key) = m->slot[i];
		free(m->slot);
		*m = bigger;
	}
	struct gf_hmap_slot *s = slot_of(m, key);
	m->n += !s->used;
	*s = (struct gf_hmap_slot){ key, value, 1 };
	return 0;
}

void gf_hmap_deinit(struct gf_hmap *m)
{
	free(m->slot);
	*m = (struct gf_hmap){ 0 };
}

void gf_emit_init(struct gf_emit *e)
{
	uint32_t off;
	*e = (struct gf_emit){ 0 };
	gf_emit_bytes(e, GF_SEC_STR, 1, 1, &off); /* offset 0 is "" */
}

void gf_emit_deinit(struct gf_emit *e)
{
	for (int k = 0; k < GF_SEC_COUNT; k++)
		free(e->sec[k].p);
	gf_hmap_deinit(&e->strings);
	gf_hmap_deinit(&e->consts);
}

/* Room for n more elements; NULL when there is none to be had. */
static uint8_t *reserve(struct gf_emit *e, enum gf_section k, uint32_t n)
{
	struct gf_emit_sec *s = &e->sec[k];
	uint32_t size = gf_section_info[k].size;
	if (n > gf_section_info[k].max || s->n > gf_section_info[k].max - n) {
		e->full = 1 + (int)k;
		return NULL;
	}
	if (s->n + n > s->cap) {
		uint32_t cap = s->cap ? s->cap : 64;
		while (cap < s->n + n)
			cap *= 2;
		uint8_t *p = realloc(s->p, (size_t)cap * size);
		if (!p) {
			e->oom = true;
			return NULL;
		}
		s->p = p;
		s->cap = cap;
	}
	uint8_t *at = s->p + (size_t)s->n * size;
	memset(at, 0, (size_t)n * size);
	s->n += n;
	return at;
}

void *gf_emit_add(struct gf_emit *e, enum gf_section k, uint32_t *ret_index)
{
	uint8_t *at = reserve(e, k, 1);
	GF_STATIC_ASSERT(sizeof e->scratch >= sizeof(struct gf_rule), "scratch");
	*ret_index = at ? e->sec[k].n - 1 : 0;
	return at ? (void *)at : e->scratch;
}

void *gf_emit_at(struct gf_emit *e, enum gf_section k, uint32_t i)
{
	return i < e->sec[k].n ? (void *)(e->sec[k].p + (size_t)i * gf_section_info[k].size) : e->scratch;
}

void *gf_emit_bytes(struct gf_emit *e, enum gf_section k, uint32_t n, uint32_t align, uint32_t *ret_off)
{
	uint32_t pad = (align - e->sec[k].n % align) % align;
	uint8_t *at = reserve(e, k, pad + n);
	*ret_off = at ? e->sec[k].n - n : 0;
	return at ? at + pad : NULL;
}

uint32_t gf_emit_str(struct gf_emit *e, const char *s)
{
	uint32_t off = 0;
	if (!s || !*s)
		return 0;
	/* A second string with the same hash gets the next key. */
	uint64_t key = gf_hash_str(1, s);
	for (; gf_hmap_get(&e->strings, key, &off); key++)
		if (!strcmp((const char *)e->sec[GF_SEC_STR].p + off, s))
			return off;
	size_t n = strlen(s) + 1;
	char *at = n < GF_MAX_IMAGE ? gf_emit_bytes(e, GF_SEC_STR, (uint32_t)n, 1, &off) : NULL;
	if (!at)
		return 0;
	memcpy(at, s, n);
	if (gf_hmap_put(&e->strings, key, off) < 0)
		e->oom = true;
	return off;
}

uint32_t gf_emit_const(struct gf_emit *e, double v)
{
	uint64_t bits;
	uint32_t i = 0;
	if (gf_is_unknown(v))
		v = gf_unknown();
	memcpy(&bits, &v, sizeof bits);
	if (gf_hmap_get(&e->consts, bits, &i))
		return i;
	double *d = gf_emit_add(e, GF_SEC_CONST, &i);
	*d = v;
	if (gf_hmap_put(&e->consts, bits, i) < 0)
		e->oom = true;
	return i;
}

static size_t aligned(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

int gf_emit_image(struct gf_emit *e, struct gf_image_header **ret, size_t *ret_size)
{
	size_t size = aligned(sizeof **ret);
	if (e->oom)
		return -ENOMEM;
	if (e->full)
		return -E2BIG;
	for (int k = 0; k < GF_SEC_COUNT; k++)
		size += aligned((size_t)e->sec[k].n * gf_section_info[k].size);
	if (size > GF_MAX_IMAGE)
		return -E2BIG;
	struct gf_image_header *h = calloc(1, size);
	if (!h)
		return -ENOMEM;
	*h = (struct gf_image_header){
		.magic = GF_IMAGE_MAGIC, .version = GF_IMAGE_VERSION, .size = (uint32_t)size,
		.fp = e->fp, .target = e->target, .tick_progs = e->tick_progs, .fields = e->fields,
	};
	size_t off = aligned(sizeof *h);
	for (int k = 0; k < GF_SEC_COUNT; k++) {
		size_t n = (size_t)e->sec[k].n * gf_section_info[k].size;
		h->sec[k] = (struct gf_secref){ (uint32_t)off, e->sec[k].n };
		if (n)
			memcpy((uint8_t *)h + off, e->sec[k].p, n);
		off += aligned(n);
	}
	h->checksum = gf_image_checksum(h);
	*ret = h;
	*ret_size = size;
	return 0;
}
