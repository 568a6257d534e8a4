/* SPDX-License-Identifier: MIT
 *
 * Makes children, --rate a second up to --limit alive at a time; they sleep and
 * bear the same name. RLIMIT_NPROC is not used: it counts a user's other processes.
 * Children end with the parent and by their own alarm.
 */
#include "tests/helpers/hog.h"

int main(int argc, char **argv)
{
	struct hog h = { .comm = "forker", .limit = 50, .rate = 100, .seconds = 30 };
	hog_start(&h, argc, argv, 30000);

	pid_t self = getpid();
	uint64_t from = hog_now_ns();
	printf("ready %d\n", self);
	for (uint64_t n = 0; n < h.limit; n++) {
		pid_t p = fork();
		if (p < 0) {
			fprintf(stderr, "forker: fork after %llu children: %s\n", (unsigned long long)n, strerror(errno));
			break;
		}
		if (!p) {
			prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
			if (getppid() != self)
				_exit(0);
			alarm(h.seconds);
			hog_stay();
		}
		/* By the clock, not from fork to fork: what a fork takes is not added. */
		uint64_t due = from + (n + 1) * 1000000000u / h.rate, now = hog_now_ns();
		if (now < due)
			hog_sleep_ns(due - now);
	}
	printf("full %d\n", self);
	hog_stay();
}
