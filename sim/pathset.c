/* SPDX-License-Identifier: MIT */
#include "sim/pathset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

uint32_t gf_pathset_find(const struct gf_pathset *s, const char *path)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (!strcmp(s->v[i], path))
			return i;
	return GF_NONE;
}

int gf_pathset_add(struct gf_pathset *s, const char *path)
{
	if (gf_pathset_find(s, path) != GF_NONE)
		return 0;
	if (s->n == GF_MAX_PATHS)
		return -E2BIG;
	s->v[s->n] = strdup(path);
	if (!s->v[s->n])
		return -ENOMEM;
	s->n++;
	return 0;
}

int gf_pathset_add_all(struct gf_pathset *s, const char *const *path, uint32_t n)
{
	int rc = 0;

	for (uint32_t i = 0; i < n; i++) {
		int e = gf_pathset_add(s, path[i]);
		rc = rc ? rc : e;
	}
	return rc;
}

int gf_pathset_add_image(struct gf_pathset *s, const struct gf_image_header *img)
{
	int rc = 0;

	for (uint32_t i = 0; i < img->fields.paths; i++) {
		int e = gf_pathset_add(s, gf_image_path(img, i));
		rc = rc ? rc : e;
	}
	return rc;
}

bool gf_pathset_same(const struct gf_pathset *a, const struct gf_pathset *b)
{
	if (a->n != b->n)
		return false;
	for (uint32_t i = 0; i < a->n; i++)
		if (strcmp(a->v[i], b->v[i]))
			return false;
	return true;
}

void gf_pathset_deinit(struct gf_pathset *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		free(s->v[i]);
	memset(s, 0, sizeof *s);
}
