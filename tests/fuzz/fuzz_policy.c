/* SPDX-License-Identifier: MIT
 *
 * Policy text: whatever it is, the compiler answers with an image that the
 * verifier passes, or with at least one error that can be printed. What parses has
 * a canonical form that is a fixed point.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compiler.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static FILE *sink;

static void check_fmt(const struct gf_source *src)
{
	struct gf_diags d = { 0 };
	char *one = NULL, *two = NULL;
	size_t n1, n2;

	if (!gf_fmt(src, &d, &one, &n1)) {
		struct gf_source again = { .name = "formatted", .text = one, .len = n1 };
		struct gf_diags d2 = { 0 };

		assert(!gf_fmt(&again, &d2, &two, &n2));
		assert(n1 == n2 && !memcmp(one, two, n1));
		gf_diags_deinit(&d2);
	}
	free(one);
	free(two);
	gf_diags_deinit(&d);
}

/* A kernel that has some members and not others, and says where with no great care. */
static int resolve(void *arg, const char *path, size_t *ret_at, size_t *ret_len, struct gf_err *err)
{
	size_t len = strlen(path);

	(void)arg;
	if (path[len - 1] % 3)
		return 0;
	*ret_at = len - (unsigned char)path[len - 1] % 5;
	*ret_len = (unsigned char)path[len - 1] % 7;
	return gf_err_set(err, EINVAL, "there is no %s%s", path, path[len - 1] % 2 ? "; try another" : "");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gf_source src = { .name = "fuzz.policy", .text = (const char *)data, .len = size };
	/* For each kind of target, by the text's length: what a mutation finds for one it finds for the others. */
	struct gf_compile_opts opts = { .target = size % 4 == 3 ? GF_TARGET_IMAGE : size % 4 ? GF_TARGET_VM : GF_TARGET_HOST,
					.path = size % 4 == 2 ? resolve : NULL };
	struct gf_image_header *image = NULL;
	struct gf_diags d = { 0 };
	size_t image_size = 0;

	if (!sink)
		sink = fopen("/dev/null", "w");
	int r = gf_compile(&src, 1, &opts, &d, &image, &image_size);
	if (!r) {
		struct gf_err err = { "" };
		assert(!d.errors);
		assert(!gf_verify(image, image_size, &err));
		gf_disasm(image, sink);
	} else if (r == -EINVAL) {
		assert(d.errors);
		for (size_t i = 0; i < d.n; i++) /* a fault of the compiler's own */
			assert(strcmp(d.v[i].code, "E199") != 0);
	} else {
		assert(r == -ENOMEM);
	}
	gf_diags_print(&d, &src, 1, sink, false);
	gf_diags_json(&d, &src, 1, sink);
	gf_diags_deinit(&d);
	free(image);
	check_fmt(&src);
	return 0;
}
