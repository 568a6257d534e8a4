/* SPDX-License-Identifier: MIT
 *
 * semacheck [-t host|vm|image|trace] [-p PERIOD_NS] [-k HOOK]... [-m] [-n] FILE...
 *
 * Parses and checks policies without making an image, and prints what the
 * compiler says. 0 without errors, 1 with, 2 usage. -m: kernel paths are resolved, in a
 * kernel that has only what is in `members` below. -n: a host that is not sampled by the kernel module.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/sema.h"

#define FILES_MAX 16

static int target_of(const char *s)
{
	static const char *const name[] = { "host", "vm", "image", "trace" };

	for (int i = 0; i < 4; i++)
		if (strcmp(s, name[i]) == 0)
			return i;
	return -1;
}

/* As targets/btf.h does it: members by name, the wrong one's place, and the nearest. */
static int resolve(void *arg, const char *path, size_t *ret_at, size_t *ret_len, struct gf_err *err)
{
	static const char *const members[] = { "mm", "signal", "map_count", "rlim", "rlim_cur" };
	static const size_t n = sizeof members / sizeof members[0];
	const char *s = path + strlen("task");

	(void)arg;
	while (*s) {
		char word[64];
		size_t i = 0;

		s += strspn(s, "->.[]0123456789");
		size_t len = strcspn(s, "->.[");

		snprintf(word, sizeof word, "%.*s", (int)len, s);
		while (i < n && strcmp(members[i], word) != 0)
			i++;
		if (len && i == n) {
			const char *near = gf_nearest(word, members, n);

			*ret_at = (size_t)(s - path);
			*ret_len = len;
			return gf_err_set(err, EINVAL, "there is no member %s%s%s%s", word, near ? "; did you mean \"" : "",
					  near ? near : "", near ? "\"?" : "");
		}
		s += len;
	}
	return 0;
}

static int check(struct gf_source *src, size_t n, const struct gf_compile_opts *opts)
{
	struct gf_diags diags = { .limit = 100 };
	struct gf_ast *ast[FILES_MAX] = { NULL };
	struct gf_sema *sema = NULL;
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = gf_parse(&src[i], (uint32_t)i, &diags, &ast[i]);
	if (r == 0)
		r = gf_sema(ast, n, src, opts, &diags, &sema);
	gf_diags_print(&diags, src, n, stdout, false);
	/* The result and the diagnostics must agree. */
	if ((r == 0) != (sema != NULL) || (r == -EINVAL) != (diags.errors > 0)) {
		printf("gf_sema: %d with %zu errors\n", r, diags.errors);
		r = -EPROTO;
	}
	gf_sema_free(sema);
	for (size_t i = 0; i < n; i++)
		if (ast[i])
			gf_ast_free(ast[i]);
	gf_diags_deinit(&diags);
	return r == 0 ? 0 : r == -EPROTO ? 2 : 1;
}

int main(int argc, char **argv)
{
	const char *hook[FILES_MAX];
	struct gf_compile_opts opts = { .target = GF_TARGET_HOST };
	struct gf_source src[FILES_MAX];
	struct gf_err err = { "" };
	size_t n = 0;
	int opt, target = 0;

	while ((opt = getopt(argc, argv, "t:p:k:mn")) != -1) {
		if (opt == 't')
			target = target_of(optarg);
		else if (opt == 'p')
			opts.period_ns = strtoull(optarg, NULL, 10);
		else if (opt == 'n')
			opts.no_module = true;
		else if (opt == 'm')
			opts.path = resolve;
		else if (opt == 'k' && opts.hook_count < FILES_MAX)
			hook[opts.hook_count++] = optarg;
		else
			return 2;
	}
	if (target < 0 || optind == argc || argc - optind > FILES_MAX)
		return 2;
	opts.target = (enum gf_target_kind)target;
	opts.hooks = opts.hook_count ? hook : NULL;
	for (int i = optind; i < argc; i++) {
		if (gf_source_read(argv[i], &src[n], &err) < 0) {
			fprintf(stderr, "%s\n", err.text);
			return 2;
		}
		n++;
	}
	int r = check(src, n, &opts);

	for (size_t i = 0; i < n; i++)
		gf_source_free(&src[i]);
	return r;
}
