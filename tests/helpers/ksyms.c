// SPDX-License-Identifier: MIT
/* ksyms RAM: count and checksum of all symbols of the kernel in a RAM file, as guestd's "symbols" of the guest's own. */
#include <stdio.h>

#include "targets/kallsyms.h"
#include "targets/kernel.h"

static uint64_t fnv(const char *s)
{
	uint64_t h = 14695981039346656037ull;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211ull;
	return h;
}

int main(int argc, char **argv)
{
	struct gf_ramfile *f;
	struct gf_kernel *k;
	struct gf_err err = { "" };
	uint64_t sum = 0;

	if (argc != 2) {
		fputs("usage: ksyms RAM\n", stderr);
		return 2;
	}
	if (gf_ramfile_open(argv[1], NULL, 0, false, &f, &err) || gf_kernel_find(f, &k, &err)) {
		fprintf(stderr, "ksyms: %s\n", err.text);
		return 1;
	}
	size_t n = gf_kallsyms_count(k->syms);
	for (size_t i = 0; i < n; i++) {
		char text[700];
		uint64_t va;
		char type;
		const char *name = gf_kallsyms_name(k->syms, i, &va, &type);

		snprintf(text, sizeof text, "%llx %s", (unsigned long long)va, name);
		sum += fnv(text);
	}
	printf("%zu %llu\n", n, (unsigned long long)sum);
	gf_kernel_free(k);
	gf_ramfile_close(f);
	return 0;
}
