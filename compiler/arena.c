/* SPDX-License-Identifier: MIT */
#include <stdint.h>
#include <stdlib.h>

#include "compiler/arena.h"

struct chunk {
	struct chunk *next;
	size_t used, size;
	_Alignas(max_align_t) unsigned char mem[];
};

void *gf_arena_alloc(void **arena, size_t size)
{
	struct chunk *c = *arena;
	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + 15) & ~(size_t)15;
	if (!c || c->size - c->used < size) {
		size_t want = size > (16 << 10) ? size : 64 << 10;
		struct chunk *fresh = calloc(1, sizeof *fresh + want);
		if (!fresh)
			return NULL;
		fresh->size = want;
		/* a large piece has a chunk of its own behind the one in use */
		if (c && want == size) {
			fresh->next = c->next;
			c->next = fresh;
		} else {
			fresh->next = c;
			*arena = fresh;
		}
		c = fresh;
	}
	void *ret = c->mem + c->used;
	c->used += size;
	return ret;
}

void gf_arena_free(void **arena)
{
	for (struct chunk *c = *arena, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	*arena = NULL;
}
