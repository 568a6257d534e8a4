/* SPDX-License-Identifier: MIT
 *
 * An image out of text; a text with an error fails the test. After cmocka.h.
 */
#ifndef GPUFAS_TEST_IMAGETEXT_H
#define GPUFAS_TEST_IMAGETEXT_H

#include "compiler/compiler.h"

#include <string.h>

static inline struct gf_image_header *image_of_text(const char *text, enum gf_target_kind kind, uint64_t period_ns, size_t *ret_size)
{
	const struct gf_compile_opts co = { .target = kind, .period_ns = period_ns, .warnings_off = true };
	const struct gf_source src = { .name = "p", .text = text, .len = strlen(text) };
	struct gf_image_header *img = NULL;
	struct gf_diags diags = { .limit = 20 };
	size_t size;

	if (gf_compile(&src, 1, &co, &diags, &img, ret_size ? ret_size : &size))
		fail_msg("%s: %s", text, diags.n ? diags.v[0].message : "?");
	gf_diags_deinit(&diags);
	return img;
}

#endif
