/* SPDX-License-Identifier: MIT
 *
 * For tests of the BTF reader: kernels' BTF from files, a generator with a seed that is printed, bytes with an
 * inaccessible page behind them.
 */
#ifndef TESTS_UNIT_BTF_KIT_H
#define TESTS_UNIT_BTF_KIT_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "targets/btf.h"

#define KIT __attribute__((unused)) static
#define RUNNING_KERNEL "/sys/kernel/btf/vmlinux"

/* ---- random numbers --------------------------------------------------------- */

static uint64_t seed, rng;

/* GF_SEED repeats a run. */
KIT void rng_init(void)
{
	const char *env = getenv("GF_SEED");

	seed = env ? strtoull(env, NULL, 10) : (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32;
	rng = seed * 0x9e3779b97f4a7c15ull + 1;
	printf("# seed %" PRIu64 " (GF_SEED=%" PRIu64 " repeats it)\n", seed, seed);
}

KIT uint32_t rnd(uint32_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return below ? (uint32_t)((rng >> 16) % below) : 0;
}

/* ---- files ------------------------------------------------------------------ */

struct bytes {
	uint8_t *p;
	size_t n;
};

/* A whole file; p NULL if it cannot be read. */
KIT struct bytes slurp(const char *path)
{
	struct bytes b = { NULL, 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;

	if (fd < 0)
		return b;
	b.p = malloc(GF_BTF_MAX);
	while (b.p && b.n < GF_BTF_MAX && (n = read(fd, b.p + b.n, GF_BTF_MAX - b.n)) > 0)
		b.n += (size_t)n;
	close(fd);
	return b;
}

/* Calls fn for the running kernel's BTF and for those that GF_BTF_FILES names (separated by blanks). Returns how many. */
KIT int each_kernel(void (*fn)(const char *path))
{
	char *list = strdup(getenv("GF_BTF_FILES") ? getenv("GF_BTF_FILES") : ""), *rest = list, *word;
	int n = 0;

	if (!access(RUNNING_KERNEL, R_OK)) {
		fn(RUNNING_KERNEL);
		n++;
	}
	while ((word = strsep(&rest, " "))) {
		if (*word) {
			fn(word);
			n++;
		}
	}
	free(list);
	return n;
}

/* ---- bytes before a page that nobody may touch --------------------------------- */

struct guarded {
	uint8_t *map, *p;
	size_t room, map_len;
};

KIT void guarded_init(struct guarded *g, size_t room)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), data = (room + page - 1) / page * page;

	g->room = room;
	g->map_len = data + page;
	g->map = mmap(NULL, g->map_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(g->map != MAP_FAILED);
	assert_int_equal(mprotect(g->map + data, page, PROT_NONE), 0);
	g->p = g->map + data;
}

/* n bytes that end where the page starts. */
KIT uint8_t *guarded_put(struct guarded *g, const void *data, size_t n)
{
	assert_true(n <= g->room);
	if (n)
		memcpy(g->p - n, data, n);
	return g->p - n;
}

KIT void guarded_deinit(struct guarded *g)
{
	munmap(g->map, g->map_len);
}

#endif
