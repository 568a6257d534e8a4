// SPDX-License-Identifier: MIT
/*
 * guestd TTY: runs inside a guest and does what it is told over a serial port, a line a
 * command, so that tests outside can compare what they see with what the guest's own
 * kernel says. Static; shares no code with what is tested.
 *
 *   spawn KIND[:N] [CGROUP]   "pid P"; KIND below; N threads (mem, grow, pages: MiB; forks, sleepers: processes);
 *                             h-KIND: every signal has a handler
 *   kill PID SIGNAL           "ok 0"
 *   reap 0|1                  whether the dead are waited for
 *   table [PID]               "| pid ppid state threads start utime stime rss euid comm" a process, then "ok N"
 *   symbols                   "ok COUNT SUM": of /proc/kallsyms without modules (see fnv() and add_symbol())
 *   read PATH                 "| line"..., then "ok 0"
 *   write PATH TEXT           "ok 0" or "ok -errno"
 *   mkdir PATH                "ok 0" or "ok -errno"
 *   load PATH ARGS            a kernel module: "ok 0" or "ok -errno"
 *   unload NAME               the same
 *   log                       what the kernel has said since the last time, of level "warning" and worse: as read
 *   off                       switches the machine off
 *
 * Unasked: "sig PID N" (a handler ran), "killed P N", "exited P N", "stopped P N", "continued P 0", "cont P",
 * "eagain P" (fork was refused), "ready P N" (sleepers: all are there).
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static int tty, kmsg, events[2];

static void put(const char *p, size_t n)
{
	while (n) {
		ssize_t w = write(tty, p, n);
		if (w <= 0)
			_exit(9);
		p += w;
		n -= (size_t)w;
	}
}

__attribute__((format(printf, 1, 2)))
static void answer(const char *fmt, ...)
{
	char b[4200];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(b, sizeof b, fmt, ap);
	va_end(ap);
	put(b, (size_t)n < sizeof b ? (size_t)n : sizeof b - 1);
}

/* ---- what is spawned ----------------------------------------------------------- */

/* From children; async-signal-safe enough: one write of less than PIPE_BUF. */
static void tell(const char *what, int a)
{
	char b[64];
	int n = snprintf(b, sizeof b, "%s %d %d\n", what, getpid(), a);

	if (write(events[1], b, (size_t)n) != n)
		_exit(9);
}

static void on_signal(int sig)
{
	tell("sig", sig);
}

static void *spin(void *arg)
{
	for (;;)
		__asm__ volatile("" ::: "memory");
	return arg;
}

static void *doze(void *arg)
{
	for (;;)
		nanosleep(&(struct timespec){ .tv_sec = 1000 }, NULL);
	return arg;
}

static void threads(int n, void *(*fn)(void *))
{
	pthread_attr_t a;
	pthread_t t;

	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 65536);
	for (int i = 1; i < n; i++)
		if (pthread_create(&t, &a, fn, NULL))
			tell("failed", errno);
	fn(NULL);
}

static void k_spin(int n) { threads(n, spin); }
static void k_sleep(int n) { threads(n, doze); }
static void k_poll(int n) { for (;; n++) poll(NULL, 0, -1); }

static void k_nice(int n)
{
	setpriority(PRIO_PROCESS, 0, 19);
	threads(n, spin);
}

static void k_fifo(int n)
{
	if (sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){ .sched_priority = 10 }))
		tell("failed", errno);
	threads(n, spin);
}

static void k_futex(int n)
{
	for (;;)
		syscall(SYS_futex, &n, FUTEX_WAIT, n, NULL, NULL, 0);
}

/* The parent of a vfork that lasts: it waits killably. */
static void k_vfork(int n)
{
	(void)n;
	if (!vfork()) {
		nanosleep(&(struct timespec){ .tv_sec = 1000 }, NULL);
		_exit(0);
	}
	for (;;)
		pause();
}

static void k_stopped(int n)
{
	for (;; n++) {
		raise(SIGSTOP);
		tell("cont", 0);
	}
}

static void k_block(int n)
{
	sigset_t s;

	sigfillset(&s);
	pthread_sigmask(SIG_SETMASK, &s, NULL);
	threads(n, doze);
}

static void k_ignore(int n)
{
	for (int s = 1; s < 65; s++)
		signal(s, SIG_IGN);
	threads(n, doze);
}

static void k_traced(int n)
{
	ptrace(PTRACE_TRACEME, 0, 0, 0);
	threads(n, doze);
}

static void k_zombie(int n) { _exit(n); }

static void touch_mib(void)
{
	char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p != MAP_FAILED)
		memset(p, 1, 1 << 20);
}

static void k_mem(int mib)
{
	for (int i = 0; i < mib; i++) {
		touch_mib();
		usleep(5000);
	}
	doze(NULL);
}

static unsigned long available_percent(void)
{
	char line[128];
	unsigned long total = 1, free = 0, v;
	FILE *f = fopen("/proc/meminfo", "r");

	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, "MemTotal: %lu", &v) == 1)
			total = v;
		if (sscanf(line, "MemAvailable: %lu", &v) == 1)
			free = v;
	}
	if (f)
		fclose(f);
	return free * 100 / total;
}

/* As mem, but where a quarter of the machine's memory is left it goes on by 4 MiB a second: whoever watches has the time. */
static void k_grow(int mib)
{
	for (int i = 0; i < mib; i++) {
		touch_mib();
		usleep(i % 4 || available_percent() > 25 ? 5000 : 1000000);
	}
	doze(NULL);
}

/* Has so many, and takes a page and gives it back, for ever. */
static void k_pages(int mib)
{
	for (int i = 0; i < mib; i++)
		touch_mib();
	for (;;) {
		char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p != MAP_FAILED) {
			*p = 1;
			munmap(p, 4096);
		}
		usleep(5000);
	}
}

/* n at a time, which end at once; "eagain" when the kernel refuses. */
static void k_forks(int n)
{
	for (int live = 0;;) {
		pid_t p = fork();
		if (!p)
			_exit(0);
		if (p > 0)
			live++;
		else
			tell("eagain", errno);
		if (p < 0 || live >= n)
			while (waitpid(-1, NULL, p < 0 ? WNOHANG : 0) > 0 && --live >= n)
				;
		usleep(p < 0 ? 100000 : 200);
	}
}

/* A tree that doubles until there are n: a fork bomb with an end. */
static void k_bomb(int n)
{
	for (; n > 1; n /= 2)
		fork();
	threads(1, doze);
}

static void k_sleepers(int n)
{
	for (int i = 1; i < n; i++)
		if (!fork())
			doze(NULL);
	tell("ready", n);
	doze(NULL);
}

static const struct kind {
	const char *name;
	void (*run)(int n);
} kinds[] = {
	{ "spin", k_spin }, { "nice", k_nice }, { "fifo", k_fifo }, { "sleep", k_sleep }, { "poll", k_poll }, { "futex", k_futex },
	{ "vfork", k_vfork }, { "stopped", k_stopped }, { "block", k_block }, { "ignore", k_ignore }, { "traced", k_traced },
	{ "zombie", k_zombie }, { "mem", k_mem }, { "grow", k_grow }, { "pages", k_pages }, { "forks", k_forks }, { "bomb", k_bomb }, { "sleepers", k_sleepers },
};

static void child(char *mode, const char *cgroup)
{
	char *colon = strchr(mode, ':'), path[200];
	int n = colon ? atoi(colon + 1) : 1;

	if (colon)
		*colon = 0;
	munlockall();
	sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){ 0 });
	if (cgroup) {
		snprintf(path, sizeof path, "/sys/fs/cgroup/%s/cgroup.procs", cgroup);
		int fd = open(path, O_WRONLY);
		if (fd < 0 || write(fd, "0", 1) != 1)
			tell("failed", errno);
		close(fd);
	}
	if (!strncmp(mode, "h-", 2)) {
		struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
		mode += 2;
		for (int s = 1; s < 65; s++)
			sigaction(s, &sa, NULL);
	}
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (!strcmp(kinds[i].name, mode)) {
			char name[16];
			snprintf(name, sizeof name, "t-%.13s", mode);
			syscall(SYS_prctl, 15 /* PR_SET_NAME */, name);
			kinds[i].run(n);
		}
	_exit(77);
}

/* ---- what is told --------------------------------------------------------------- */

static void one_process(const char *pid)
{
	char path[320], b[4096], *p;
	unsigned long long utime, stime, start;
	int ppid, thr;
	long rss;
	unsigned euid = ~0u;
	char state;

	snprintf(path, sizeof path, "/proc/%s/stat", pid);
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, b, sizeof b - 1);
	close(fd);
	if (n <= 0)
		return;
	b[n] = 0;
	char *open_ = strchr(b, '('), *close_ = strrchr(b, ')');
	if (!open_ || !close_ || sscanf(close_ + 2, "%c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %d %*d %llu %*u %ld",
					&state, &ppid, &utime, &stime, &thr, &start, &rss) != 7)
		return;
	*close_ = 0;
	char comm[64];
	snprintf(comm, sizeof comm, "%s", open_ + 1);
	snprintf(path, sizeof path, "/proc/%s/status", pid);
	fd = open(path, O_RDONLY);
	n = fd < 0 ? -1 : read(fd, b, sizeof b - 1);
	close(fd);
	if (n > 0 && (b[n] = 0, p = strstr(b, "\nUid:")))
		sscanf(p + 5, "%*u %u", &euid);
	answer("| %s %d %c %d %llu %llu %llu %ld %u %s\n", pid, ppid, state, thr, start, utime, stime, rss, euid, comm);
}

static void table(void)
{
	DIR *d = opendir("/proc");
	int n = 0;

	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9') {
			one_process(e->d_name);
			/* Nothing is above guestd: of thousands it leaves time to the guest, or RCU's own threads starve. */
			if (++n % 32 == 0)
				usleep(2000);
		}
	closedir(d);
	answer("ok %d\n", n);
}

static uint64_t fnv(const char *s, uint64_t h)
{
	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211ull;
	return h;
}

/* The sum does not depend on the order. */
static void symbols(void)
{
	FILE *f = fopen("/proc/kallsyms", "r");
	char line[1024], name[600], type;
	unsigned long long va;
	uint64_t sum = 0;
	unsigned long n = 0;

	while (f && fgets(line, sizeof line, f)) {
		if (strchr(line, '[') || sscanf(line, "%llx %c %599s", &va, &type, name) != 3)
			continue;
		char text[700];
		snprintf(text, sizeof text, "%llx %s", va, name);
		sum += fnv(text, 14695981039346656037ull);
		n++;
	}
	if (f)
		fclose(f);
	answer("ok %lu %llu\n", n, (unsigned long long)sum);
}

static void show(const char *path)
{
	FILE *f = fopen(path, "r");
	char line[4096];

	while (f && fgets(line, sizeof line, f))
		answer("| %.*s\n", (int)strcspn(line, "\n"), line);
	if (f)
		fclose(f);
	answer("ok %d\n", f ? 0 : -errno);
}

static void store(char *arg)
{
	char *text = strchr(arg, ' ');
	int r = -EINVAL;

	if (text) {
		*text++ = 0;
		int fd = open(arg, O_WRONLY);
		r = fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
		close(fd);
	}
	answer("ok %d\n", r);
}

static void load(char *arg)
{
	char *args = strchr(arg, ' ');
	int fd, r;

	if (args)
		*args++ = 0;
	fd = open(arg, O_RDONLY | O_CLOEXEC);
	r = fd < 0 || syscall(SYS_finit_module, fd, args ? args : "", 0) ? -errno : 0;
	if (fd >= 0)
		close(fd);
	answer("ok %d\n", r);
}

static void kernel_log(void)
{
	char b[8192];
	ssize_t n;

	while ((n = read(kmsg, b, sizeof b - 1)) > 0 || (n < 0 && errno == EPIPE)) {
		if (n < 0)
			continue;
		b[n] = 0;
		char *text = strchr(b, ';');
		if (text && (atoi(b) & 7) <= 4)
			answer("| %.*s\n", (int)strcspn(text + 1, "\n"), text + 1);
	}
	answer("ok 0\n");
}

static void command(char *line, int *reap)
{
	int pid, sig;

	if (!strncmp(line, "spawn ", 6)) {
		char *cgroup = strchr(line + 6, ' ');
		if (cgroup)
			*cgroup++ = 0;
		pid = fork();
		if (!pid)
			child(line + 6, cgroup);
		answer("pid %d\n", pid);
	} else if (sscanf(line, "kill %d %d", &pid, &sig) == 2) {
		answer("ok %d\n", kill(pid, sig) ? -errno : 0);
	} else if (sscanf(line, "reap %d", reap) == 1) {
		answer("ok 0\n");
	} else if (sscanf(line, "table %d", &pid) == 1) {
		char name[16];
		snprintf(name, sizeof name, "%d", pid);
		one_process(name);
		answer("ok 1\n");
	} else if (!strcmp(line, "table")) {
		table();
	} else if (!strcmp(line, "symbols")) {
		symbols();
	} else if (!strncmp(line, "read ", 5)) {
		show(line + 5);
	} else if (!strncmp(line, "write ", 6)) {
		store(line + 6);
	} else if (!strncmp(line, "mkdir ", 6)) {
		answer("ok %d\n", mkdir(line + 6, 0755) ? -errno : 0);
	} else if (!strncmp(line, "load ", 5)) {
		load(line + 5);
	} else if (!strncmp(line, "unload ", 7)) {
		answer("ok %d\n", syscall(SYS_delete_module, line + 7, O_NONBLOCK) ? -errno : 0);
	} else if (!strcmp(line, "log")) {
		kernel_log();
	} else if (!strcmp(line, "off")) {
		sync();
		reboot(RB_POWER_OFF);
	} else {
		answer("ok -22\n");
	}
}

static void news(int reap)
{
	char b[4096];
	ssize_t n = read(events[0], b, sizeof b);
	pid_t p;
	int st;

	if (n > 0)
		put(b, (size_t)n);
	while (reap && (p = waitpid(-1, &st, WNOHANG | WUNTRACED | WCONTINUED)) > 0)
		answer("%s %d %d\n", WIFSIGNALED(st) ? "killed" : WIFEXITED(st) ? "exited" : WIFCONTINUED(st) ? "continued" : "stopped", p,
		       WIFSIGNALED(st) ? WTERMSIG(st) : WIFEXITED(st) ? WEXITSTATUS(st) : WIFSTOPPED(st) ? WSTOPSIG(st) : 0);
}

int main(int argc, char **argv)
{
	struct termios t;
	char line[512], c;
	size_t n = 0;
	int reap = 1;

	tty = argc > 1 ? open(argv[1], O_RDWR | O_NOCTTY) : -1;
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	if (tty < 0 || tcgetattr(tty, &t) || pipe(events))
		return 1;
	cfmakeraw(&t);
	tcsetattr(tty, TCSANOW, &t);
	fcntl(events[0], F_SETFL, O_NONBLOCK);
	/* it has to go on when everything else is kept from running */
	mlockall(MCL_CURRENT | MCL_FUTURE);
	sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){ .sched_priority = 90 });
	answer("ready\n");
	for (;;) {
		struct pollfd f[2] = { { tty, POLLIN, 0 }, { events[0], POLLIN, 0 } };
		poll(f, 2, 2);
		news(reap);
		if (!(f[0].revents & POLLIN) || read(tty, &c, 1) != 1)
			continue;
		if (c != '\n') {
			if (n < sizeof line - 1)
				line[n++] = c;
			continue;
		}
		line[n] = 0;
		n = 0;
		command(line, &reap);
	}
}
