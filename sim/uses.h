/* SPDX-License-Identifier: MIT
 *
 * What a rule reads, out of its image.
 */
#ifndef GPUFAS_SIM_USES_H
#define GPUFAS_SIM_USES_H

#include "gpufas/bytecode.h"
#include "gpufas/err.h"

struct gf_uses {
	struct gf_fieldset fields;
	uint32_t path; /* 1 << kernel path */
};

/* img is verified. Adds to ret what the condition (with its gate) reads, and what the selectors do. -ENOMEM. */
int gf_uses_condition(const struct gf_image_header *img, uint32_t rule, struct gf_uses *ret);
int gf_uses_selectors(const struct gf_image_header *img, uint32_t rule, struct gf_uses *ret);
/* Names of what is in want and not in has: "anon, psi.memory.some.avg10"; "" when nothing is. Returns buf. */
const char *gf_uses_lacks(const struct gf_image_header *img, const struct gf_uses *want, const struct gf_fieldset *has,
			  const char *const *paths, char *buf, size_t n);

#endif
