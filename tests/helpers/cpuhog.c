/* SPDX-License-Identifier: MIT
 *
 * Spins on one CPU. RLIMIT_CPU ends it even where the alarm does not.
 */
#include "tests/helpers/hog.h"

int main(int argc, char **argv)
{
	struct hog h = { .comm = "cpuhog", .limit = 1, .rate = 1, .seconds = 30 };
	hog_start(&h, argc, argv, 1);

	struct rlimit r = { .rlim_cur = h.seconds + 1, .rlim_max = h.seconds + 2 };
	setrlimit(RLIMIT_CPU, &r);
	printf("ready %d\n", getpid());
	for (volatile uint64_t i = 0;; i++)
		;
}
