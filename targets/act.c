// SPDX-License-Identifier: MIT
#include "targets/act.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "targets/actuator.h"
#include "targets/proc.h"

static ssize_t slurp(int dir, const char *name, char *buf, size_t size)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do
		n = read(fd, buf, size - 1);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		n = -errno;
	else
		buf[n] = 0;
	close(fd);
	return n;
}

static int open_proc(int32_t pid)
{
	char name[32];

	snprintf(name, sizeof name, "/proc/%d", pid);
	int dir = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return dir >= 0 ? dir : errno == ENOENT ? -ESRCH : -errno;
}

/* Whether NSpid's last number, the pid in the innermost namespace, is 1. Where it
 * cannot be read the answer is yes: such a process is left alone. */
static bool may_be_init(int dir)
{
	char buf[4096];
	unsigned long last = 1;

	if (slurp(dir, "status", buf, sizeof buf) < 0)
		return true;
	char *p = strstr(buf, "\nNSpid:");
	if (!p)
		return true;
	for (p += 7; *p == '\t' || *p == ' ';) {
		char *end;
		last = strtoul(p, &end, 10);
		if (end == p)
			break;
		p = end;
	}
	return last == 1;
}

static int check(const struct gf_verdict *v, int dir)
{
	struct gf_proc_stat st;
	char buf[2048];
	ssize_t n = slurp(dir, "stat", buf, sizeof buf);

	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	int r = gf_proc_stat_parse(buf, (size_t)n, &st);
	if (r)
		return r;
	if (st.pid != v->pid || st.start_ticks != v->start_ns / GF_TICK_NS)
		return -ESTALE;
	if (st.flags & GF_PF_KTHREAD)
		return -EPERM;
	if ((st.state == 'Z' || st.state == 'X') && st.threads <= 1)
		return -ESRCH;
	return may_be_init(dir) ? -EPERM : 0;
}

/*
 * The pidfd comes first, the start time after it. A pid passes from older
 * processes to younger ones only: if /proc now shows the process that the sample
 * has seen, the pidfd, taken in between, is that process's too.
 */
int gf_act_prepare(const struct gf_verdict *v, int *ret_pidfd)
{
	if (v->pid <= 0)
		return -EINVAL;
	if (v->action != GF_ACT_SIGNAL && v->action != GF_ACT_RENICE)
		return -EOPNOTSUPP;
	if (v->action == GF_ACT_SIGNAL && (v->arg < 1 || v->arg > SIGRTMAX))
		return -EINVAL;
	if (v->pid == 1 || v->pid == getpid())
		return -EPERM;
	int pidfd = (int)syscall(SYS_pidfd_open, v->pid, 0);
	if (pidfd < 0)
		/* The number is a thread's now, and no process's: EINVAL, later ENOENT. */
		return errno == EINVAL || errno == ENOENT ? -ESTALE : -errno;
	int dir = open_proc(v->pid);
	int r = dir < 0 ? dir : check(v, dir);
	if (dir >= 0)
		close(dir);
	if (r) {
		close(pidfd);
		return r;
	}
	*ret_pidfd = pidfd;
	return 0;
}

static int renice_thread(const struct gf_verdict *v, int tid)
{
	errno = 0;
	int nice = getpriority(PRIO_PROCESS, (id_t)tid);
	if (nice == -1 && errno)
		return -errno;
	int64_t to = (int64_t)nice + v->arg;
	nice = (int)GF_MAX(-20, GF_MIN(19, to));
	return setpriority(PRIO_PROCESS, (id_t)tid, nice) ? -errno : 0;
}

/* On Linux a nice value is a thread's. Each thread's moves by the same amount, and
 * threads started later inherit it. There is no pidfd way to do this: a thread that
 * ends between being listed and being reniced, and whose number is given out again
 * in that moment, would be taken for the old one. */
static int renice(const struct gf_verdict *v, int pidfd)
{
	char name[48];
	int done = 0, r = 0;

	snprintf(name, sizeof name, "/proc/%d/task", v->pid);
	DIR *d = opendir(name);
	if (!d)
		return errno == ENOENT ? -ESRCH : -errno;
	/* Still the process that was checked, or the directory is another's. */
	if (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) && errno == ESRCH) {
		closedir(d);
		return -ESRCH;
	}
	for (struct dirent *e; (e = readdir(d));) {
		int tid = atoi(e->d_name);
		if (tid <= 0)
			continue;
		int t = renice_thread(v, tid);
		if (!t)
			done++;
		else if (t != -ESRCH)
			r = t;
	}
	closedir(d);
	return r ? r : done ? 0 : -ESRCH;
}

int gf_act_send(const struct gf_verdict *v, int pidfd)
{
	bool observe = v->flags & GF_VERDICT_OBSERVE;
	int sig = v->action == GF_ACT_SIGNAL && !observe ? v->arg : 0;

	if (v->action == GF_ACT_RENICE && !observe)
		return renice(v, pidfd);
	/* Signal 0: permission and presence, and nothing else. */
	return syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) ? -errno : 0;
}

bool gf_act_is_lethal(const struct gf_verdict *v)
{
	return gf_verdict_is_lethal(v);
}

int gf_act(const struct gf_verdict *v, int *ret_pidfd)
{
	int pidfd = -1;
	int r = gf_act_prepare(v, &pidfd);

	if (!r)
		r = gf_act_send(v, pidfd);
	if (!r && ret_pidfd)
		*ret_pidfd = pidfd;
	else if (ret_pidfd)
		*ret_pidfd = -1;
	if (pidfd >= 0 && (r || !ret_pidfd))
		close(pidfd);
	return r;
}

/* Where cgroup v2 is mounted with its root in view. */
static int cgroup_root(char *ret, size_t size)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[4096], root[1024], point[1024], type[64];
	int r = -ENOENT;

	if (!f)
		return -errno;
	while (r && fgets(line, sizeof line, f)) {
		char *dash = strstr(line, " - ");
		if (!dash || sscanf(dash, " - %63s", type) != 1 || strcmp(type, "cgroup2"))
			continue;
		if (sscanf(line, "%*s %*s %*s %1023s %1023s", root, point) != 2 || strcmp(root, "/"))
			continue;
		if (strlen(point) < size) {
			strcpy(ret, point);
			r = 0;
		}
	}
	fclose(f);
	return r;
}

int gf_cgroup_of(int32_t pid, char *path, size_t size)
{
	char buf[16384];
	int dir = open_proc(pid);

	if (dir < 0)
		return dir;
	ssize_t n = slurp(dir, "cgroup", buf, sizeof buf);
	close(dir);
	if (n < 0)
		return n == -ENOENT ? -ESRCH : (int)n;
	char *p = !strncmp(buf, "0::", 3) ? buf : strstr(buf, "\n0::");
	if (!p)
		return -ENOENT;
	p = strchr(p, '/');
	if (!p)
		return -ENOENT;
	p[strcspn(p, "\n")] = 0;
	if (!strcmp(p, "/") || strstr(p, ".."))
		return -ENOENT;
	if (strlen(p) >= size)
		return -ENAMETOOLONG;
	strcpy(path, p);
	return 0;
}

static bool has_children(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	bool found = false;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return true;
	}
	for (struct dirent *e; !found && (e = readdir(d));)
		found = e->d_type == DT_DIR && e->d_name[0] != '.';
	closedir(d);
	return found;
}

static bool only_these(int dir, const int32_t *pids, size_t n)
{
	int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
	size_t seen = 0;
	int pid;

	if (!f) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (fscanf(f, "%d", &pid) == 1) {
		size_t i = 0;
		while (i < n && pids[i] != pid)
			i++;
		if (i == n) {
			fclose(f);
			return false;
		}
		seen++;
	}
	bool ok = !ferror(f) && seen > 0 && seen == n;
	fclose(f);
	return ok;
}

/* Had one of them exited, its number could be another's by now, and the cgroup with
 * that number in it not the one that was meant. */
static bool all_here(const int *pidfds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (pidfds[i] >= 0 && syscall(SYS_pidfd_send_signal, pidfds[i], 0, NULL, 0) && errno == ESRCH)
			return false;
	return true;
}

int gf_cgroup_kill(const char *path, const int32_t *pids, const int *pidfds, size_t fds, size_t n)
{
	char full[4096 + 1024], root[1024];
	int r = cgroup_root(root, sizeof root);

	if (r)
		return r;
	snprintf(full, sizeof full, "%s%s", root, path);
	int dir = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	r = -EBUSY; /* others are in it, or below it */
	int fd = openat(dir, "cgroup.kill", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		r = -errno; /* before 5.14 */
	else if (!has_children(dir) && only_these(dir, pids, n) && all_here(pidfds, fds))
		r = write(fd, "1", 1) == 1 ? 0 : -errno;
	if (fd >= 0)
		close(fd);
	close(dir);
	return r;
}
