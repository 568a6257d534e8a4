/* SPDX-License-Identifier: MIT */
#include "daemon/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/outbox.h"
#include "gpufas/hd.h"

struct gf_audit {
	struct gf_audit_opts opts;
	char *path;
	struct gf_outbox *box;
	/* the outbox's thread only */
	int fd;
	uint64_t size;
	dev_t dev;
	ino_t ino;
	time_t looked, retry_at;
	unsigned wait_s;
	bool dirty;
	/* shared */
	pthread_mutex_t lock;
	char error[512];
	uint64_t lost;
};

static time_t seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

static void let_go(struct gf_audit *a)
{
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
}

/* Writing has failed: count the line, tell once, try again later. */
static void fail(struct gf_audit *a, const char *what, int errnum)
{
	char text[512];

	let_go(a);
	a->wait_s = a->wait_s ? GF_MIN(2 * a->wait_s, 30u) : 1;
	a->retry_at = seconds() + a->wait_s;
	snprintf(text, sizeof text, "the audit file %s cannot be %s: %s", a->path, what, strerror(errnum));
	pthread_mutex_lock(&a->lock);
	bool first = !a->error[0];
	memcpy(a->error, text, sizeof text);
	uint64_t lost = a->lost;
	pthread_mutex_unlock(&a->lock);
	if (first && a->opts.trouble)
		a->opts.trouble(a->opts.arg, text, lost);
}

static void recovered(struct gf_audit *a)
{
	a->wait_s = 0;
	pthread_mutex_lock(&a->lock);
	bool was = a->error[0];
	a->error[0] = 0;
	uint64_t lost = a->lost;
	pthread_mutex_unlock(&a->lock);
	if (was && a->opts.trouble)
		a->opts.trouble(a->opts.arg, NULL, lost);
}

static int open_file(struct gf_audit *a)
{
	struct stat st;
	char *slash = strrchr(a->path, '/');

	if (slash && slash != a->path) {
		*slash = 0;
		mkdir(a->path, 0750); /* one level: a whole missing path is a mistake to hear about */
		*slash = '/';
	}
	/* O_NONBLOCK: a pipe in the file's place must not hold us; regular files ignore it */
	int fd = open(a->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return -ENOTSUP;
	}
	a->fd = fd;
	a->size = (uint64_t)st.st_size;
	a->dev = st.st_dev;
	a->ino = st.st_ino;
	a->looked = seconds();
	/* a line that a crash or a power cut left unfinished gets its end */
	char last;
	if (a->size && pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n' && write(fd, "\n", 1) == 1)
		a->size++;
	return 0;
}

/* Someone else (logrotate, an operator) may have moved or removed the file. */
static void look_again(struct gf_audit *a)
{
	struct stat st;
	time_t now = seconds();

	if (a->fd < 0 || now == a->looked)
		return;
	a->looked = now;
	if (stat(a->path, &st) || st.st_dev != a->dev || st.st_ino != a->ino)
		let_go(a);
	else
		a->size = (uint64_t)st.st_size;
}

static int rotate(struct gf_audit *a)
{
	char from[4200], to[4200];

	let_go(a);
	if (!a->opts.keep)
		return unlink(a->path) && errno != ENOENT ? -errno : 0;
	for (uint32_t i = a->opts.keep; i > 0; i--) {
		snprintf(to, sizeof to, "%s.%u", a->path, i);
		if (i > 1)
			snprintf(from, sizeof from, "%s.%u", a->path, i - 1);
		else
			snprintf(from, sizeof from, "%s", a->path);
		if (rename(from, to) && errno != ENOENT)
			return -errno;
	}
	return 0;
}

static void lose(struct gf_audit *a)
{
	pthread_mutex_lock(&a->lock);
	a->lost++;
	pthread_mutex_unlock(&a->lock);
}

static void write_line(void *arg, const char *line, size_t n)
{
	struct gf_audit *a = arg;
	int r = 0;

	if (a->fd < 0 && a->wait_s && seconds() < a->retry_at) {
		lose(a);
		return;
	}
	look_again(a);
	if (a->fd < 0)
		r = open_file(a);
	if (!r && a->size && a->size + n > a->opts.max_size) {
		r = rotate(a);
		if (!r)
			r = open_file(a);
	}
	if (r) {
		lose(a);
		fail(a, r == -ENOTSUP ? "used, it is not a regular file" : "opened", -r);
		return;
	}
	ssize_t w = write(a->fd, line, n);
	if (w == (ssize_t)n) {
		a->size += n;
		a->dirty = true;
		recovered(a);
		return;
	}
	int e = w < 0 ? errno : ENOSPC;
	if (w > 0 && ftruncate(a->fd, (off_t)a->size)) {
		/* half a line stays; open_file() will end it */
	}
	lose(a);
	fail(a, "written", e);
}

static void sync_file(void *arg)
{
	struct gf_audit *a = arg;

	if (a->fd >= 0 && a->dirty && fdatasync(a->fd) && errno != EINVAL && errno != EROFS)
		fail(a, "synced", errno);
	a->dirty = false;
}

int gf_audit_create(const struct gf_audit_opts *opts, struct gf_audit **ret, struct gf_err *err)
{
	struct gf_audit *a = calloc(1, sizeof *a);

	if (!a)
		return gf_err_set(err, ENOMEM, "out of memory");
	a->opts = *opts;
	a->fd = -1;
	a->path = strdup(opts->path);
	pthread_mutex_init(&a->lock, NULL);
	struct gf_outbox_opts o = {
		.name = "gpufasd-audit", .max_bytes = 4u << 20, .write = write_line, .idle = sync_file, .arg = a,
	};
	int r = a->path ? gf_outbox_create(&o, &a->box, err) : gf_err_set(err, ENOMEM, "out of memory");
	if (r) {
		free(a->path);
		free(a);
		return r;
	}
	*ret = a;
	return 0;
}

void gf_audit_destroy(struct gf_audit *a)
{
	if (!a)
		return;
	if (gf_outbox_destroy(a->box)) {
		a->opts.trouble = NULL; /* a disk still has the thread: leave it what it uses, and let it be quiet */
		return;
	}
	let_go(a);
	pthread_mutex_destroy(&a->lock);
	free(a->path);
	free(a);
}

void gf_audit_put(struct gf_audit *a, const char *line, size_t n)
{
	char *l = malloc(n + 1);

	if (!l) {
		lose(a);
		return;
	}
	memcpy(l, line, n);
	l[n] = '\n';
	gf_outbox_put(a->box, l, n + 1); /* counts what it loses */
	free(l);
}

bool gf_audit_settled(struct gf_audit *a)
{
	return gf_outbox_settled(a->box);
}

uint64_t gf_audit_lost(struct gf_audit *a)
{
	pthread_mutex_lock(&a->lock);
	uint64_t n = a->lost;
	pthread_mutex_unlock(&a->lock);
	return n + gf_outbox_lost(a->box);
}

const char *gf_audit_error(struct gf_audit *a, char *buf, size_t n)
{
	pthread_mutex_lock(&a->lock);
	snprintf(buf, n, "%s", a->error);
	pthread_mutex_unlock(&a->lock);
	if (!*buf && gf_outbox_lost(a->box))
		snprintf(buf, n, "the disk of the audit file is too slow: %llu events were not written",
			 (unsigned long long)gf_outbox_lost(a->box));
	return buf;
}
