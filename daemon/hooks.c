/* SPDX-License-Identifier: MIT */
#include "daemon/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/jbuf.h"
#include "daemon/outbox.h"

#define MAX_WAITING 64

struct job {
	struct job *next;
	char *name;
	struct gf_strlist argv, env;
};

struct running {
	struct job *job; /* NULL: free place */
	pid_t pid;
	int pidfd;
	int64_t started_ms;
	bool killed;
};

struct gf_hooks {
	pthread_t thread;
	pthread_mutex_t lock;
	int wake;
	unsigned timeout_s;
	bool stop;
	struct gf_config_hook *hook;
	size_t hooks;
	struct job *head, **tail;
	size_t waiting;
	struct running run[GF_HOOK_RUNNING]; /* the thread's own */
};

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void job_free(struct job *j)
{
	if (!j)
		return;
	free(j->name);
	gf_strlist_deinit(&j->argv);
	gf_strlist_deinit(&j->env);
	free(j);
}

static void free_hooks(struct gf_config_hook *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(v[i].name);
		gf_strlist_deinit(&v[i].argv);
	}
	free(v);
}

int gf_hooks_configure(struct gf_hooks *h, const struct gf_config *c)
{
	struct gf_config_hook *v = calloc(c->hooks + 1, sizeof *v);
	bool bad = !v;

	for (size_t i = 0; i < c->hooks && !bad; i++) {
		v[i].name = strdup(c->hook[i].name);
		bad = !v[i].name;
		for (size_t k = 0; k < c->hook[i].argv.n && !bad; k++)
			bad = gf_strlist_add(&v[i].argv, c->hook[i].argv.v[k]) < 0;
	}
	if (bad) {
		if (v)
			free_hooks(v, c->hooks);
		return -ENOMEM;
	}
	pthread_mutex_lock(&h->lock);
	struct gf_config_hook *old = h->hook;
	size_t old_n = h->hooks;
	h->hook = v;
	h->hooks = c->hooks;
	pthread_mutex_unlock(&h->lock);
	free_hooks(old, old_n);
	return 0;
}

/* The hook gets nothing of the daemon's but its output: own process group, no
 * signals blocked, no shield against the OOM killer. */
static int start(struct job *j, pid_t *ret)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t none, all;
	char path[64];

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&at);
	posix_spawnattr_setflags(&at, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&at, 0);
	posix_spawnattr_setsigmask(&at, &none);
	posix_spawnattr_setsigdefault(&at, &all);
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&fa, STDERR_FILENO, STDOUT_FILENO);
	int r = posix_spawn(ret, j->argv.v[0], &fa, &at, j->argv.v, j->env.v);
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&at);
	if (r)
		return -r;
	snprintf(path, sizeof path, "/proc/%d/oom_score_adj", *ret);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (write(fd, "0", 1) != 1)
			gf_log(LOG_DEBUG, "hook %s keeps the daemon's OOM score", j->name);
		close(fd);
	}
	return 0;
}

static struct job *next_job(struct gf_hooks *h)
{
	pthread_mutex_lock(&h->lock);
	struct job *j = h->stop ? NULL : h->head;
	if (j) {
		h->head = j->next;
		if (!h->head)
			h->tail = &h->head;
		h->waiting--;
	}
	pthread_mutex_unlock(&h->lock);
	return j;
}

static void start_some(struct gf_hooks *h)
{
	for (int i = 0; i < GF_HOOK_RUNNING; i++) {
		struct running *k = &h->run[i];
		while (!k->job) {
			struct job *j = next_job(h);
			if (!j)
				return;
			int r = start(j, &k->pid);
			if (r) {
				gf_log(LOG_ERR, "hook %s: cannot start %s: %s", j->name, j->argv.v[0], strerror(-r));
				job_free(j);
				continue;
			}
			k->job = j;
			k->started_ms = now_ms();
			k->killed = false;
			k->pidfd = (int)syscall(SYS_pidfd_open, k->pid, 0);
		}
	}
}

static void report(const struct running *k, int status, unsigned timeout_s)
{
	const char *name = k->job->name;
	double s = (double)(now_ms() - k->started_ms) / 1000;

	if (k->killed)
		gf_log(LOG_ERR, "hook %s: killed, it had not ended after %u s", name, timeout_s);
	else if (WIFSIGNALED(status))
		gf_log(LOG_ERR, "hook %s: died from signal %d after %.1f s", name, WTERMSIG(status), s);
	else if (WEXITSTATUS(status))
		gf_log(LOG_WARNING, "hook %s: exit status %d after %.1f s", name, WEXITSTATUS(status), s);
	else
		gf_log(LOG_INFO, "hook %s: done after %.1f s", name, s);
}

static void look_after(struct gf_hooks *h, bool stop)
{
	for (int i = 0; i < GF_HOOK_RUNNING; i++) {
		struct running *k = &h->run[i];
		int status;
		if (!k->job)
			continue;
		if (!k->killed && (stop || now_ms() - k->started_ms >= (int64_t)h->timeout_s * 1000)) {
			k->killed = true;
			kill(-k->pid, SIGKILL); /* its group; it is unwaited-for, so the number is still its own */
		}
		pid_t got = waitpid(k->pid, &status, WNOHANG);
		/* stopping: a second for it to die; one that a disk holds is left to init */
		for (int tries = 0; stop && !got && tries < 100; tries++) {
			nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
			got = waitpid(k->pid, &status, WNOHANG);
		}
		if (got != k->pid && !stop)
			continue;
		if (got != k->pid)
			status = 0;
		report(k, status, h->timeout_s);
		if (k->pidfd >= 0)
			close(k->pidfd);
		job_free(k->job);
		*k = (struct running){ 0 };
	}
}

static void *hooks_thread(void *arg)
{
	struct gf_hooks *h = arg;
	bool stop = false;
	uint64_t n;

	while (!stop) {
		struct pollfd p[1 + GF_HOOK_RUNNING] = { { .fd = h->wake, .events = POLLIN } };
		int64_t wait = -1;
		start_some(h);
		for (int i = 0; i < GF_HOOK_RUNNING; i++) {
			struct running *k = &h->run[i];
			p[i + 1] = (struct pollfd){ .fd = k->job ? k->pidfd : -1, .events = POLLIN };
			if (!k->job)
				continue;
			int64_t left = k->killed || k->pidfd < 0 ? 200 :
				GF_MAX(k->started_ms + (int64_t)h->timeout_s * 1000 - now_ms(), 0) + 1;
			wait = wait < 0 ? left : GF_MIN(wait, left);
		}
		poll(p, 1 + GF_HOOK_RUNNING, (int)wait);
		if (p[0].revents && read(h->wake, &n, sizeof n) < 0 && errno != EAGAIN)
			break;
		pthread_mutex_lock(&h->lock);
		stop = h->stop;
		pthread_mutex_unlock(&h->lock);
		look_after(h, stop);
	}
	return NULL;
}

int gf_hooks_create(const struct gf_config *c, unsigned timeout_s, struct gf_hooks **ret, struct gf_err *err)
{
	struct gf_hooks *h = calloc(1, sizeof *h);

	if (!h)
		return gf_err_set(err, ENOMEM, "out of memory");
	h->tail = &h->head;
	h->timeout_s = timeout_s;
	pthread_mutex_init(&h->lock, NULL);
	h->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r = h->wake < 0 ? gf_err_set(err, errno, "cannot make an eventfd: %s", strerror(errno)) : gf_hooks_configure(h, c);
	if (!r)
		r = gf_thread_start(&h->thread, "gpufasd-hooks", hooks_thread, h, err);
	if (r) {
		if (h->wake >= 0)
			close(h->wake);
		free_hooks(h->hook, h->hooks);
		free(h);
		return r;
	}
	*ret = h;
	return 0;
}

static void wake(struct gf_hooks *h)
{
	uint64_t one = 1;
	if (write(h->wake, &one, sizeof one) < 0)
		return; /* the counter is full: it is awake */
}

void gf_hooks_destroy(struct gf_hooks *h)
{
	if (!h)
		return;
	pthread_mutex_lock(&h->lock);
	h->stop = true;
	pthread_mutex_unlock(&h->lock);
	wake(h);
	pthread_join(h->thread, NULL);
	while (h->head) {
		struct job *j = h->head;
		h->head = j->next;
		job_free(j);
	}
	free_hooks(h->hook, h->hooks);
	close(h->wake);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

static int describe(struct job *j, const struct gf_hook_facts *f)
{
	int r = gf_strlist_addf(&j->env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");

	r |= gf_strlist_addf(&j->env, "GPUFAS_RULE=%s", f->rule);
	r |= gf_strlist_addf(&j->env, "GPUFAS_EVENT=%llu", (unsigned long long)f->event);
	r |= gf_strlist_addf(&j->env, "GPUFAS_TARGET=%s", f->target);
	r |= gf_strlist_addf(&j->env, "GPUFAS_TEXT=%s", f->text);
	if (f->pid > 0) {
		char comm[128];
		r |= gf_strlist_addf(&j->env, "GPUFAS_PID=%d", f->pid);
		r |= gf_strlist_addf(&j->env, "GPUFAS_UID=%u", f->uid);
		r |= gf_strlist_addf(&j->env, "GPUFAS_COMM=%s", gf_safe_text(f->comm, strnlen(f->comm, 16), comm, sizeof comm));
	}
	return r ? -ENOMEM : 0;
}

int gf_hooks_run(struct gf_hooks *h, const char *name, const struct gf_hook_facts *facts)
{
	struct job *j = calloc(1, sizeof *j);
	int r = j ? describe(j, facts) : -ENOMEM;

	if (!r && !(j->name = strdup(name)))
		r = -ENOMEM;
	pthread_mutex_lock(&h->lock);
	if (!r && h->waiting >= MAX_WAITING)
		r = -ENOBUFS;
	size_t i = 0;
	while (!r && i < h->hooks && strcmp(h->hook[i].name, name))
		i++;
	if (!r && i == h->hooks)
		r = -ENOENT;
	for (size_t k = 0; !r && k < h->hook[i].argv.n; k++)
		r = gf_strlist_add(&j->argv, h->hook[i].argv.v[k]);
	if (!r) {
		*h->tail = j;
		h->tail = &j->next;
		h->waiting++;
	}
	pthread_mutex_unlock(&h->lock);
	if (r)
		job_free(j);
	else
		wake(h);
	return r;
}
