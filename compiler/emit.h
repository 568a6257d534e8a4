/* SPDX-License-Identifier: MIT
 *
 * An image in the making: sections that grow, strings and constants kept once.
 *
 * Memory running out sets `oom` and nothing else: every call still returns
 * something that may be written to, and gf_emit_image() then fails.
 */
#ifndef GPUFAS_EMIT_H
#define GPUFAS_EMIT_H

#include <stdbool.h>
#include <stddef.h>

#include "compiler/image.h"

/* 64-bit keys to numbers; open addressing. */
struct gf_hmap {
	struct gf_hmap_slot { uint64_t key; uint32_t value; uint32_t used; } *slot;
	uint32_t n, cap;
};

bool gf_hmap_get(const struct gf_hmap *m, uint64_t key, uint32_t *ret);
int gf_hmap_put(struct gf_hmap *m, uint64_t key, uint32_t value); /* 0 or -ENOMEM */
void gf_hmap_deinit(struct gf_hmap *m);

uint64_t gf_hash_mix(uint64_t h, uint64_t v);
uint64_t gf_hash_str(uint64_t h, const char *s); /* NULL as "" */

struct gf_emit {
	struct gf_emit_sec {
		uint8_t *p;
		uint32_t n, cap;
	} sec[GF_SEC_COUNT];
	struct gf_hmap strings, consts;
	struct gf_fieldset fields;
	uint64_t fp;
	uint32_t target, tick_progs;
	bool oom;
	int full; /* 1 + a section that went over its limit, or 0 */
	uint64_t scratch[16]; /* what is written to when memory has run out */
};

void gf_emit_init(struct gf_emit *e);
void gf_emit_deinit(struct gf_emit *e);
/* A zeroed element at a section's end; valid until the next one is added. */
void *gf_emit_add(struct gf_emit *e, enum gf_section k, uint32_t *ret_index);
void *gf_emit_at(struct gf_emit *e, enum gf_section k, uint32_t i);
/* n zeroed bytes of DFADATA or STR, at an offset that is a multiple of align. */
void *gf_emit_bytes(struct gf_emit *e, enum gf_section k, uint32_t n, uint32_t align, uint32_t *ret_off);
uint32_t gf_emit_str(struct gf_emit *e, const char *s); /* NULL as "" */
uint32_t gf_emit_const(struct gf_emit *e, double v);
/* Lays it out. malloc'ed. -ENOMEM, -E2BIG. */
int gf_emit_image(struct gf_emit *e, struct gf_image_header **ret, size_t *ret_size);

#endif
