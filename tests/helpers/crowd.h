/* SPDX-License-Identifier: MIT
 *
 * Thousands of sleeping processes, cheaply: they share their maker's memory.
 */
#ifndef GPUFAS_CROWD_H
#define GPUFAS_CROWD_H

#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct crowd {
	pid_t keeper; /* their parent, a child of the caller */
	int hold;     /* closed: they end */
	uint32_t count;
};

static int crowd_sleep(void *arg)
{
	(void)arg;
	for (;;)
		syscall(SYS_pause);
	return 0;
}

static void crowd_keep(uint32_t n, int ready, int hold)
{
	const size_t stack = 4096;
	uint32_t made = 0;
	char c;

	setpgid(0, 0);
	prctl(PR_SET_NAME, "crowd");
	char *mem = mmap(NULL, n * stack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	while (mem != MAP_FAILED && made < n &&
	       clone(crowd_sleep, mem + (made + 1) * stack, CLONE_VM | SIGCHLD, NULL) > 0)
		made++;
	/* Ends the others, who have the default action, and not this one. */
	signal(SIGUSR1, SIG_IGN);
	if (write(ready, &made, sizeof made) == sizeof made)
		while (read(hold, &c, 1) > 0)
			;
	kill(0, SIGUSR1);
	while (made && wait(NULL) > 0)
		;
	_exit(0);
}

/* How many there are to be had without taking the machine's last pids. */
static inline uint32_t crowd_limit(uint32_t want)
{
	unsigned pid_max = 32768;
	double total = 0, avail = 0;
	char line[128];
	FILE *f = fopen("/proc/sys/kernel/pid_max", "re");

	if (f) {
		if (fscanf(f, "%u", &pid_max) != 1)
			pid_max = 32768;
		fclose(f);
	}
	f = fopen("/proc/meminfo", "re");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "MemAvailable: %lf", &avail) == 1)
			total = avail / 1024;
	if (f)
		fclose(f);
	uint32_t most = pid_max / 3 * 2;
	if (total / 2 < most * 0.04) /* some 40 KiB each */
		most = (uint32_t)(total / 2 / 0.04);
	return want < most ? want : most;
}

static inline int crowd_start(struct crowd *c, uint32_t n)
{
	int ready[2], hold[2];

	if (pipe(ready) || pipe(hold))
		return -1;
	c->keeper = fork();
	if (!c->keeper) {
		close(ready[0]);
		close(hold[1]);
		crowd_keep(n, ready[1], hold[0]);
	}
	close(ready[1]);
	close(hold[0]);
	c->hold = hold[1];
	if (c->keeper < 0 || read(ready[0], &c->count, sizeof c->count) != sizeof c->count)
		c->count = 0;
	close(ready[0]);
	return c->keeper < 0 ? -1 : 0;
}

static inline void crowd_end(struct crowd *c)
{
	close(c->hold);
	waitpid(c->keeper, NULL, 0);
}

#endif
