/* SPDX-License-Identifier: MIT
 *
 * Room for strings of rows, laid out once: a tick must not allocate. A short string lies in its row's own slot; a long one in
 * a slot of a pool, as long as there is one.
 *
 * In a job lanes only take slots and name those that they give back; between jobs the leader settles
 * what can be taken next. So one counter that is added to is all they share. All zeros: nothing is taken.
 */
#ifndef GPUFAS_TEXTPOOL_H
#define GPUFAS_TEXTPOOL_H

#include "gpu/team.h"

#define GF_TEXT_MAX   4096u /* bytes of the longest string */
#define GF_TEXT_SHORT 128u  /* bytes of a row's own slot */
#define GF_TEXT_CLASSES 2u

struct gf_text_class {
	char *mem;
	uint32_t *free; /* slots that were given back */
	uint32_t *back; /* slots given back since gf_text_settle */
	uint32_t size, n;
	uint32_t nfree, nback;
	uint32_t begun; /* slots from here on have never been taken */
	uint32_t taken; /* since gf_text_settle */
};

struct gf_textpool {
	struct gf_text_class c[GF_TEXT_CLASSES];
};

/* For about `rows` strings, most of them short. */
GF_INLINE uint32_t gf_text_class_size(uint32_t i)
{
	return i ? GF_TEXT_MAX : 512u;
}

GF_INLINE uint32_t gf_text_class_n(uint32_t i, uint32_t rows)
{
	return rows / (i ? 64u : 4u) + 16;
}

/* Room for len bytes, or NULL: full. Any lane. */
GF_INLINE char *gf_text_take(struct gf_textpool *p, uint32_t len)
{
	for (uint32_t i = 0; i < GF_TEXT_CLASSES; i++) {
		struct gf_text_class *c = &p->c[i];
		uint32_t at;

		if (!c->mem || len > c->size || c->nfree + (c->n - c->begun) == 0)
			continue;
		at = gf_team_add(&c->taken, 1);
		if (at < c->nfree)
			at = c->free[c->nfree - 1 - at];
		else if (at - c->nfree < c->n - c->begun)
			at = c->begun + (at - c->nfree);
		else
			continue;
		return c->mem + (size_t)at * c->size;
	}
	return NULL;
}

/* p may be a row's own slot: then there is nothing to do. Any lane; p is not given to others before gf_text_settle. */
GF_INLINE void gf_text_give(struct gf_textpool *pool, const char *p)
{
	for (uint32_t i = 0; i < GF_TEXT_CLASSES; i++) {
		struct gf_text_class *c = &pool->c[i];
		uint64_t off = (uint64_t)(uintptr_t)p - (uint64_t)(uintptr_t)c->mem;

		if (c->mem && off < (uint64_t)c->n * c->size)
			c->back[gf_team_add(&c->nback, 1)] = (uint32_t)(off / c->size);
	}
}

/* Leader, between jobs. */
GF_INLINE void gf_text_settle(struct gf_textpool *p)
{
	for (uint32_t i = 0; i < GF_TEXT_CLASSES; i++) {
		struct gf_text_class *c = &p->c[i];
		uint32_t old = GF_MIN(c->taken, c->nfree);

		c->begun += GF_MIN(c->taken - old, c->n - c->begun);
		c->nfree -= old;
		for (uint32_t j = 0; j < c->nback; j++)
			c->free[c->nfree++] = c->back[j];
		c->taken = c->nback = 0;
	}
}

#endif
