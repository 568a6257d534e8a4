/* SPDX-License-Identifier: MIT
 *
 * A fork bomb: every process of it makes others, for ever. For guests only, whose end is the worst that can
 * come of it; even so there are never more than --limit forks in all, and alarms end it.
 */
#include "tests/helpers/hog.h"

#include <sys/mman.h>
#include <sys/wait.h>

int main(int argc, char **argv)
{
	struct hog h = { .comm = "forkbomb", .limit = 1000, .rate = 10, .seconds = 30 };
	hog_start(&h, argc, argv, 30000);
	uint32_t *forks = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (forks == MAP_FAILED) {
		perror("forkbomb: mmap");
		return 1;
	}
	printf("ready %d\n", getpid());
	for (;;) {
		if (__atomic_fetch_add(forks, 1, __ATOMIC_RELAXED) >= h.limit) {
			__atomic_store_n(forks, (uint32_t)h.limit, __ATOMIC_RELAXED);
		} else if (!fork()) {
			alarm(h.seconds); /* is not inherited */
		}
		/* each makes --rate a second, so that there are twice as many after 1/rate */
		hog_sleep_ns(1000000000u / h.rate);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}
