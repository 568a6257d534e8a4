/* SPDX-License-Identifier: MIT
 *
 * Takes --limit MiB at --rate MiB a second and then writes to its pages in a random
 * order for as long as it lives: where they do not fit, it waits for its own pages.
 */
#include "tests/helpers/hog.h"

#include <sys/mman.h>

#define MIB (1u << 20)
#define PAGE 4096u

int main(int argc, char **argv)
{
	struct hog h = { .comm = "thrasher", .limit = 64, .rate = 64, .seconds = 60 };
	hog_start(&h, argc, argv, 2048);

	size_t pages = (size_t)h.limit * (MIB / PAGE);
	char *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		fprintf(stderr, "thrasher: cannot map %zu MiB: %s\n", pages / (MIB / PAGE), strerror(errno));
		return 1;
	}
	madvise(p, pages * PAGE, MADV_NOHUGEPAGE);
	printf("ready %d\n", getpid());
	for (size_t i = 0; i < pages; i++) {
		p[i * PAGE] = 1;
		if (i % (MIB / PAGE) == 0)
			hog_sleep_ns(1000000000u / h.rate);
	}
	printf("full %d\n", getpid());
	for (uint64_t x = 88172645463325252u;;) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[x % pages * PAGE]++;
	}
}
