/* SPDX-License-Identifier: MIT
 *
 * Says what the parser says of a file, and no more; or formats it.
 *   syntax [--fmt] FILE
 */
#include <stdlib.h>
#include <string.h>

#include "compiler/compiler.h"
#include "grammar/ast.h"

int main(int argc, char **argv)
{
	bool fmt = argc == 3 && !strcmp(argv[1], "--fmt");
	if (argc != 2 + fmt) {
		fprintf(stderr, "usage: syntax [--fmt] FILE\n");
		return 2;
	}
	struct gf_source src;
	struct gf_err err;
	if (gf_source_read(argv[1 + fmt], &src, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 2;
	}
	struct gf_diags diags = { 0 };
	if (fmt) {
		char *text;
		size_t n;
		if (!gf_fmt(&src, &diags, &text, &n)) {
			fwrite(text, 1, n, stdout);
			free(text);
		}
	} else {
		struct gf_ast *ast;
		if (!gf_parse(&src, 0, &diags, &ast))
			gf_ast_free(ast);
	}
	gf_diags_print(&diags, &src, 1, stdout, false);
	int ret = diags.errors ? 1 : 0;
	gf_diags_deinit(&diags);
	gf_source_free(&src);
	return ret;
}
