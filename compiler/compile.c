/* SPDX-License-Identifier: MIT
 *
 * The whole compiler: parse, sema, lower, verify.
 */
#include <errno.h>
#include <stdlib.h>

#include "compiler/compiler.h"
#include "compiler/sema.h"
#include "grammar/ast.h"

/* What leaves here runs with the right to kill: the verifier has the last word on our own images too. */
static int verified(struct gf_image_header *image, size_t size, struct gf_diags *diags)
{
	struct gf_err err = { "" };
	const struct gf_span nowhere = { 0 };
	int r = gf_verify(image, size, &err);

	if (r == 0)
		return 0;
	gf_diag_add(diags, GF_SEV_ERROR, "E199", nowhere, "this is a fault of gpufas: please report it with the policy",
		    "the compiled policy does not pass verification: %s", err.text);
	return -EINVAL;
}

static int compile(struct gf_ast *const *ast, const struct gf_source *src, size_t n,
		   const struct gf_compile_opts *opts, struct gf_diags *diags, struct gf_image_header **ret,
		   size_t *ret_size)
{
	struct gf_sema *sema = NULL;
	struct gf_image_header *image = NULL;
	size_t size = 0;
	int r = gf_sema(ast, n, src, opts, diags, &sema);

	if (r < 0)
		return r;
	r = gf_lower(sema, opts, diags, &image, &size);
	gf_sema_free(sema);
	if (r < 0)
		return r;
	r = diags->errors ? -EINVAL : verified(image, size, diags);
	if (r < 0) {
		free(image);
		return r;
	}
	*ret = image;
	*ret_size = size;
	return 0;
}

int gf_compile(const struct gf_source *src, size_t n, const struct gf_compile_opts *opts, struct gf_diags *diags,
	       struct gf_image_header **ret, size_t *ret_size)
{
	struct gf_ast **ast = calloc(n + 1, sizeof *ast);
	int r = ast ? 0 : -ENOMEM;

	if (r == 0 && n > UINT32_MAX)
		r = -EINVAL;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = gf_parse(&src[i], (uint32_t)i, diags, &ast[i]);
	if (r == 0)
		r = compile(ast, src, n, opts, diags, ret, ret_size);
	for (size_t i = 0; ast && i < n; i++)
		if (ast[i])
			gf_ast_free(ast[i]);
	free(ast);
	return r;
}
