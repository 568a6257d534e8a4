// SPDX-License-Identifier: MIT
#include "targets/strpool.h"

#include <stdlib.h>
#include <string.h>

#define CLASSES 3

static const uint32_t class_size[CLASSES] = { 128, 512, GF_STRPOOL_MAX };
static const uint32_t class_share[CLASSES] = { 1, 4, 64 }; /* one for this many strings */

struct class {
	char *mem;
	uint32_t *free; /* slots not given out */
	uint32_t n, nfree;
};

struct gf_strpool {
	struct class c[CLASSES];
};

struct gf_strpool *gf_strpool_create(uint32_t n)
{
	struct gf_strpool *p = calloc(1, sizeof *p);

	for (int i = 0; p && i < CLASSES; i++) {
		struct class *c = &p->c[i];
		c->n = n / class_share[i] + 16;
		c->mem = calloc(c->n, class_size[i]);
		c->free = calloc(c->n, sizeof *c->free);
		if (!c->mem || !c->free) {
			gf_strpool_destroy(p);
			return NULL;
		}
		while (c->nfree < c->n) {
			c->free[c->nfree] = c->n - 1 - c->nfree;
			c->nfree++;
		}
	}
	return p;
}

void gf_strpool_destroy(struct gf_strpool *p)
{
	for (int i = 0; p && i < CLASSES; i++) {
		free(p->c[i].mem);
		free(p->c[i].free);
	}
	free(p);
}

const char *gf_strpool_put(struct gf_strpool *p, const char *text, uint32_t len)
{
	for (int i = 0; i < CLASSES; i++) {
		struct class *c = &p->c[i];
		if (len > class_size[i] || !c->nfree)
			continue;
		char *s = c->mem + (size_t)c->free[--c->nfree] * class_size[i];
		memcpy(s, text, len);
		return s;
	}
	return NULL;
}

void gf_strpool_drop(struct gf_strpool *p, const char *s)
{
	for (int i = 0; i < CLASSES; i++) {
		struct class *c = &p->c[i];
		if (s >= c->mem && s < c->mem + (size_t)c->n * class_size[i])
			c->free[c->nfree++] = (uint32_t)((size_t)(s - c->mem) / class_size[i]);
	}
}
