/* SPDX-License-Identifier: MIT
 *
 * Leaks file descriptors, --rate a second up to --limit.
 */
#include "tests/helpers/hog.h"

#include <fcntl.h>

int main(int argc, char **argv)
{
	struct hog h = { .comm = "leaker", .limit = 500, .rate = 500, .seconds = 30 };
	hog_start(&h, argc, argv, 100000);

	struct rlimit r;
	if (!getrlimit(RLIMIT_NOFILE, &r)) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
	printf("ready %d\n", getpid());
	for (uint64_t n = 0; n < h.limit; n++) {
		if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0) {
			fprintf(stderr, "leaker: open after %llu descriptors: %s\n", (unsigned long long)n, strerror(errno));
			break;
		}
		if (h.rate <= 1000)
			hog_sleep_ns(1000000000u / h.rate);
	}
	printf("full %d\n", getpid());
	hog_stay();
}
