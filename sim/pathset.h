/* SPDX-License-Identifier: MIT
 *
 * Kernel paths, each once, in an order that stays: they are columns.
 */
#ifndef GPUFAS_SIM_PATHSET_H
#define GPUFAS_SIM_PATHSET_H

#include <stdbool.h>

#include "gpufas/bytecode.h"

struct gf_pathset {
	char *v[GF_MAX_PATHS]; /* malloc'ed */
	uint32_t n;
};

/* Adds one that is not in it yet. -E2BIG: there are GF_MAX_PATHS already; -ENOMEM. */
int gf_pathset_add(struct gf_pathset *s, const char *path);
int gf_pathset_add_all(struct gf_pathset *s, const char *const *path, uint32_t n); /* as many as there is room for; the first error */
int gf_pathset_add_image(struct gf_pathset *s, const struct gf_image_header *img); /* that a verified image reads */
/* Its place, GF_NONE: not in it. */
uint32_t gf_pathset_find(const struct gf_pathset *s, const char *path);
/* The same ones in the same order. */
bool gf_pathset_same(const struct gf_pathset *a, const struct gf_pathset *b);
void gf_pathset_deinit(struct gf_pathset *s);

static inline const char *const *gf_pathset_v(const struct gf_pathset *s)
{
	return (const char *const *)s->v;
}

#endif
