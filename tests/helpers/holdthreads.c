/* SPDX-License-Identifier: MIT
 *
 * holdthreads PID NAME: stops all threads of a process but those that are called NAME, one by one (as a debugger does), says "held", and
 * lets them go when it is ended. SIGSTOP would stop all of them.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static int is_called(const char *pid, const char *tid, const char *name)
{
	char path[600], comm[64] = "";
	FILE *f;

	snprintf(path, sizeof path, "/proc/%s/task/%s/comm", pid, tid);
	f = fopen(path, "r");
	if (!f || !fgets(comm, sizeof comm, f))
		comm[0] = 0;
	if (f)
		fclose(f);
	comm[strcspn(comm, "\n")] = 0;
	return !strcmp(comm, name);
}

static int hold(pid_t tid)
{
	int st;

	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) || ptrace(PTRACE_INTERRUPT, tid, NULL, NULL))
		return -1;
	return waitpid(tid, &st, __WALL) == tid && WIFSTOPPED(st) ? 0 : -1;
}

int main(int argc, char **argv)
{
	char path[64];
	struct dirent *e;
	int n = 0;
	DIR *d;

	if (argc != 3) {
		fprintf(stderr, "usage: holdthreads PID NAME\n");
		return 2;
	}
	snprintf(path, sizeof path, "/proc/%.20s/task", argv[1]);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.' || is_called(argv[1], e->d_name, argv[2]))
			continue;
		if (hold((pid_t)atoi(e->d_name))) {
			perror(e->d_name);
			return 1;
		}
		n++;
	}
	if (!n) {
		fprintf(stderr, "%s has no such threads\n", argv[1]);
		return 1;
	}
	printf("held %d\n", n);
	fflush(stdout);
	pause(); /* who ends lets go */
	return 0;
}
