/* SPDX-License-Identifier: MIT
 *
 * gfc [-o OUT.gfb] [-q] [-t TARGET] FILE...: compiles, prints diagnostics to stderr
 * and the disassembly to stdout (-q: does not). gfc -d IMAGE.gfb: verifies and
 * disassembles. Exit code 1 when there are errors. For tests that should not
 * depend on gpufasctl.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/compiler.h"

static int disassemble(const char *path)
{
	struct gf_image_header *image;
	struct gf_err err = { "" };
	if (gf_image_read(path, &image, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	gf_disasm(image, stdout);
	free(image);
	return 0;
}

static int write_out(const char *path, const void *p, size_t n)
{
	FILE *f = fopen(path, "wb");
	if (!f || fwrite(p, 1, n, f) != n || fclose(f) != 0) {
		perror(path);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const char *const targets[] = { "host", "vm", "image", "trace" };
	struct gf_compile_opts opts = { .target = GF_TARGET_HOST };
	struct gf_image_header *image = NULL;
	struct gf_diags diags = { 0 };
	struct gf_err err = { "" };
	const char *out = NULL;
	bool quiet = false;
	size_t n = 0, size = 0;
	int c, rc = 0;
	while ((c = getopt(argc, argv, "d:o:qt:")) != -1) {
		if (c == 'd')
			return disassemble(optarg);
		else if (c == 'o')
			out = optarg;
		else if (c == 'q')
			quiet = true;
		else if (c != 't')
			return 2;
		for (int k = 0; c == 't' && k < 4; k++)
			if (!strcmp(optarg, targets[k]))
				opts.target = (enum gf_target_kind)k;
	}
	struct gf_source *src = calloc((size_t)(argc - optind) + 1, sizeof *src);
	if (!src)
		return 2;
	for (int i = optind; i < argc; i++) {
		if (gf_source_read(argv[i], &src[n], &err) < 0) {
			fprintf(stderr, "%s\n", err.text);
			return 1;
		}
		n++;
	}
	int r = gf_compile(src, n, &opts, &diags, &image, &size);
	gf_diags_print(&diags, src, n, stderr, false);
	if (r == 0 && out)
		rc = write_out(out, image, size);
	if (r == 0 && !quiet)
		gf_disasm(image, stdout);
	if (r < 0)
		rc = 1;
	free(image);
	gf_diags_deinit(&diags);
	for (size_t i = 0; i < n; i++)
		gf_source_free(&src[i]);
	free(src);
	return rc;
}
