/* SPDX-License-Identifier: MIT
 *
 * Memory that is given out piece by piece and given back all at once: trees and
 * what is found out about them.
 */
#ifndef GPUFAS_ARENA_H
#define GPUFAS_ARENA_H

#include <stddef.h>

/* size bytes, zeroed, aligned for anything; NULL: no memory. *arena is NULL before the first. */
void *gf_arena_alloc(void **arena, size_t size);
/* Gives back all of it; *arena is NULL again. */
void gf_arena_free(void **arena);

#endif
