/* SPDX-License-Identifier: MIT
 *
 * BTF of a guest's kernel: whatever bytes are there, the reader stays inside of them, and every question about what it
 * took ends with an answer that can be followed. The first line of an input is a path, the rest BTF.
 */
#include <stdlib.h>
#include <string.h>

#include "targets/btf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void each(void *arg, const char *name, const char *type, const struct gf_btf_member *m)
{
	/* Both are strings: strlen would see it if not. */
	*(size_t *)arg += strlen(name) + strlen(type) + m->size;
}

static void ask(const struct gf_btf *b, const char *path)
{
	struct gf_kpath k;
	struct gf_btf_member m;
	struct gf_err err;
	size_t at = 0, len = 0, sum = 0;
	int64_t v;

	if (!gf_btf_path(b, path, &k, &at, &len, &err)) {
		if (k.hops > GF_KPATH_HOPS || (k.size != 1 && k.size != 2 && k.size != 4 && k.size != 8) ||
		    (k.bits && k.bit + k.bits > k.size * 8))
			abort();
	} else if (at > strlen(path) || len > strlen(path) - at || !*err.text) {
		abort();
	}
	gf_btf_list(b, path, each, &sum, &err);
	gf_btf_list(b, "task", each, &sum, &err);
	if (!gf_btf_member(b, "task_struct", path, &m) && m.bits && m.bit + m.bits > m.size * 8)
		abort();
	gf_btf_size(b, gf_btf_type(b, path));
	gf_btf_var(b, path);
	gf_btf_enum(b, path, &v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *line = memchr(data, '\n', size);
	struct gf_err err;
	struct gf_btf *b;
	char path[256];

	if (!line || line - data >= (ptrdiff_t)sizeof path)
		return 0;
	memcpy(path, data, (size_t)(line - data));
	path[line - data] = 0;
	size -= (size_t)(line + 1 - data);
	/* A block of exactly this size: reading past it is seen. */
	void *copy = malloc(size ? size : 1);
	memcpy(copy, line + 1, size);
	if (!gf_btf_create(copy, size, &b, &err)) {
		ask(b, path);
		ask(b, "task->a->b[1].c");
		gf_btf_free(b);
	}
	free(copy);
	return 0;
}
