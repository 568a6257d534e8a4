/* SPDX-License-Identifier: MIT
 *
 * Takes memory, --rate MiB a second up to --limit MiB, and keeps it. With --leave KIB it takes none while no more than that is
 * available on the machine, and goes on when more is.
 */
#include "tests/helpers/hog.h"

#include <sys/mman.h>

#define MIB (1u << 20)
#define STEPS_PER_S 20u

/* What may be taken, of n bytes. */
static size_t may(size_t n, uint64_t leave_kib)
{
	char line[128];
	unsigned long long kib = 0;
	FILE *f = leave_kib ? fopen("/proc/meminfo", "re") : NULL;

	if (!f)
		return n;
	while (fgets(line, sizeof line, f) && sscanf(line, "MemAvailable: %llu", &kib) != 1)
		;
	fclose(f);
	return kib <= leave_kib ? 0 : (kib - leave_kib) * 1024 < n ? (size_t)(kib - leave_kib) * 1024 : n;
}

int main(int argc, char **argv)
{
	struct hog h = { .comm = "memhog", .limit = 64, .rate = 64, .seconds = 60 };
	hog_start(&h, argc, argv, 2048);

#ifndef __SANITIZE_ADDRESS__ /* whose own memory would not fit */
	/* The limit holds even if the arithmetic below were wrong. */
	struct rlimit r = { .rlim_cur = (h.limit + 64) * MIB, .rlim_max = (h.limit + 64) * MIB };
	setrlimit(RLIMIT_DATA, &r);
#endif

	size_t size = (size_t)h.limit * MIB, have = 0;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		fprintf(stderr, "memhog: cannot map %zu MiB: %s\n", size / MIB, strerror(errno));
		return 1;
	}
	size_t step = (size_t)h.rate * MIB / STEPS_PER_S;
	if (!step)
		step = 4096;
	printf("ready %d\n", getpid());
	while (have < size) {
		size_t n = may(size - have < step ? size - have : step, h.leave);
		memset(p + have, 0x5a, n);
		have += n;
		hog_sleep_ns(1000000000u / STEPS_PER_S);
	}
	printf("full %d\n", getpid());
	hog_stay();
}
