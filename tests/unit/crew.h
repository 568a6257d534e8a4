/* SPDX-License-Identifier: MIT
 *
 * Helper processes for the samplers' tests, each odd in its own way: many threads,
 * much memory, open files, an odd name, writing, a session of its own, a leader that
 * has left, stopped, dead.
 */
#ifndef GPUFAS_TESTS_CREW_H
#define GPUFAS_TESTS_CREW_H

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1u << 20)

static volatile unsigned long sink;

static void burn(unsigned long n)
{
	for (unsigned long i = 0; i < n; i++)
		sink += i * i;
}

static void *burn_and_end(void *arg)
{
	burn(20000000);
	return arg;
}

static atomic_int burnt;

static void *burn_and_stay(void *arg)
{
	burn(10000000);
	atomic_fetch_add(&burnt, 1);
	for (;;)
		pause();
	return arg;
}

static void be_threaded(void)
{
	pthread_t t[3], s;

	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, burn_and_end, NULL);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < 2; i++)
		pthread_create(&s, NULL, burn_and_stay, NULL);
	while (atomic_load(&burnt) < 2)
		usleep(1000);
}

static void touch(int flags, int fd, size_t size)
{
	char *p = mmap(NULL, size, PROT_READ | (fd < 0 ? PROT_WRITE : 0), flags, fd, 0);

	for (size_t i = 0; p != MAP_FAILED && i < size; i += 4096)
		sink += fd < 0 ? (unsigned long)(p[i] = 1) : (unsigned long)p[i];
}

static void be_large(void)
{
	touch(MAP_PRIVATE | MAP_ANONYMOUS, -1, 24 * MIB);
	touch(MAP_SHARED | MAP_ANONYMOUS, -1, 9 * MIB);
	touch(MAP_PRIVATE, open("/proc/self/exe", O_RDONLY), 65536);
}

static void be_open(void)
{
	for (int i = 0; i < 700; i++)
		(void)!dup(0);
	close(20);
}

static void be_odd(void)
{
	struct sched_param p = { 0 };

	prctl(PR_SET_NAME, "a) R 1\n(b c");
	setpgid(0, 0);
	(void)!nice(6);
	sched_setscheduler(0, SCHED_BATCH, &p);
	FILE *f = fopen("/proc/self/oom_score_adj", "w");
	if (f) {
		fputs("-1000", f);
		fclose(f);
	}
	(void)!setgid(65533);
	(void)!setuid(65534);
}

static void be_writing(void)
{
	static char buf[MIB];
	char name[] = "/var/tmp/gf-io-XXXXXX";
	int fd = mkstemp(name);

	unlink(name);
	for (int i = 0; fd >= 0 && i < 8; i++)
		(void)!write(fd, buf, sizeof buf);
	fsync(fd);
	FILE *f = fopen("/proc/self/oom_score_adj", "w");
	if (f) {
		fputs("300", f);
		fclose(f);
	}
}

static void be_session(void)
{
	setsid();
	if (!fork()) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
}

static int ready_fd;

static void *tell_and_stay(void *arg)
{
	usleep(100000); /* until the leader is gone */
	(void)!write(ready_fd, "x", 1);
	for (;;)
		pause();
	return arg;
}

static void be_leaderless(void)
{
	pthread_t t;

	touch(MAP_PRIVATE | MAP_ANONYMOUS, -1, 5 * MIB);
	pthread_create(&t, NULL, tell_and_stay, NULL);
	pthread_exit(NULL);
}

static void be_stopped(void)
{
	(void)!write(ready_fd, "x", 1);
	for (;;)
		raise(SIGSTOP);
}

static void be_dead(void)
{
	(void)!write(ready_fd, "x", 1);
	_exit(0);
}

enum { THREADED, LARGE, OPEN, ODD, WRITING, SESSION, LEADERLESS, STOPPED, DEAD, HELPERS };

static void (*const what[HELPERS])(void) = {
	be_threaded, be_large, be_open, be_odd, be_writing, be_session, be_leaderless, be_stopped, be_dead,
};

#endif
