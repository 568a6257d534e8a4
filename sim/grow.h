/* SPDX-License-Identifier: MIT
 *
 * Arrays that grow.
 */
#ifndef GPUFAS_SIM_GROW_H
#define GPUFAS_SIM_GROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

/* Room for n entries of `size` bytes in the malloc'ed array that *array points to. False: out of memory, and all is as it was. */
static inline bool gf_grow(void *array, size_t *cap, size_t n, size_t size)
{
	void **p = array, *q;
	size_t to = *cap ? *cap : 64;

	if (n <= *cap)
		return true;
	while (to < n)
		to *= 2;
	q = realloc(*p, to * size);
	if (!q)
		return false;
	*p = q;
	*cap = to;
	return true;
}

#endif
