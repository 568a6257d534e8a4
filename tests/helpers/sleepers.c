/* SPDX-License-Identifier: MIT
 *
 * sleepers N [SECONDS]: N sleeping processes, as small as a process can be (they
 * share this one's memory until they write), with names of their own. Prints "ready
 * MADE" and waits. They end with this process, by its process group, by their alarm,
 * or when it is killed: none can stay behind.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define MAX_SECONDS 600

__attribute__((noreturn)) static void sleeper(pid_t parent, unsigned seconds, long n)
{
	char name[16];

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(0);
	snprintf(name, sizeof name, "sleeper-%ld", n);
	prctl(PR_SET_NAME, name, 0, 0, 0);
	alarm(seconds);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 0, made = 0;
	long seconds = argc > 2 ? atol(argv[2]) : 120;
	pid_t self = getpid();

	if (n < 1 || n > 32000 || seconds < 1 || seconds > MAX_SECONDS) {
		fprintf(stderr, "usage: sleepers N [SECONDS]   (N to 32000, SECONDS to %d)\n", MAX_SECONDS);
		return 2;
	}
	setpgid(0, 0);
	prctl(PR_SET_NAME, "sleepers", 0, 0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
	for (; made < n; made++) {
		pid_t p = fork();
		if (p < 0) {
			fprintf(stderr, "sleepers: fork after %ld: %s\n", made, strerror(errno));
			break;
		}
		if (!p)
			sleeper(self, (unsigned)seconds, made);
	}
	printf("ready %ld\n", made);
	fflush(stdout);
	alarm((unsigned)seconds);
	for (;;)
		pause();
}
