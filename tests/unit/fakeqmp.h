/* SPDX-License-Identifier: MIT
 *
 * A QEMU monitor of our own, for test_qmp and test_vmkeep: a thread that serves one client after the other on a socket in a
 * directory of its own. What it says to a command comes from a table: the first entry whose words are in the line.
 * "#" in an answer stands for the command's id. Words that are not in the table are refused as QEMU would.
 */
#ifndef GPUFAS_TEST_FAKEQMP_H
#define GPUFAS_TEST_FAKEQMP_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FAKE_GREETING "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, \"package\": \"\"}, \"capabilities\": [\"oob\"]}}\r\n"
#define FAKE_CLOSE "(close)"   /* as an answer: the connection ends */
#define FAKE_SILENT "(silent)" /* no answer */

struct fake_answer {
	const char *words, *answer;
};

struct fakeqmp {
	char dir[64], path[96];
	const char *greeting;
	const struct fake_answer *table;
	int listener, stop[2];
	_Atomic int client;    /* for events; -1 */
	_Atomic unsigned clients;
	pthread_t thread;
	pthread_mutex_t lock;
	char seen[16384];      /* all lines that came, under the lock */
};

static inline void fake_send(int fd, const char *s, size_t n)
{
	while (n) {
		ssize_t k = send(fd, s, n, MSG_NOSIGNAL);

		if (k <= 0)
			return;
		s += k;
		n -= (size_t)k;
	}
}

static inline bool fake_answer(struct fakeqmp *f, int fd, const char *line)
{
	const char *text = "{\"id\": #, \"error\": {\"class\": \"CommandNotFound\", \"desc\": \"The command has not been found\"}}\r\n";
	const char *at = strstr(line, "\"id\":"), *p;
	char id[24];

	snprintf(id, sizeof id, "%ld", at ? atol(at + 5) : -1l);
	if (strstr(line, "qmp_capabilities"))
		text = "{\"return\": {}, \"id\": #}\r\n";
	for (const struct fake_answer *a = f->table; a && a->words; a++)
		if (strstr(line, a->words)) {
			text = a->answer;
			break;
		}
	if (!strcmp(text, FAKE_SILENT))
		return true;
	while ((p = strchr(text, '#'))) {
		fake_send(fd, text, (size_t)(p - text));
		fake_send(fd, id, strlen(id));
		text = p + 1;
	}
	p = strstr(text, FAKE_CLOSE);
	fake_send(fd, text, p ? (size_t)(p - text) : strlen(text));
	return !p;
}

static inline void fake_serve(struct fakeqmp *f, int fd)
{
	char buf[65536];
	size_t n = 0;

	for (;;) {
		struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .fd = f->stop[0], .events = POLLIN } };
		char *nl;
		ssize_t k;

		if (poll(p, 2, -1) <= 0 || p[1].revents)
			return;
		k = recv(fd, buf + n, sizeof buf - 1 - n, 0);
		if (k <= 0)
			return;
		n += (size_t)k;
		buf[n] = 0;
		while ((nl = strchr(buf, '\n'))) {
			*nl = 0;
			pthread_mutex_lock(&f->lock);
			if (strlen(f->seen) + (size_t)(nl - buf) + 2 < sizeof f->seen)
				strcat(strcat(f->seen, buf), "\n");
			pthread_mutex_unlock(&f->lock);
			if (!fake_answer(f, fd, buf))
				return;
			n -= (size_t)(nl + 1 - buf);
			memmove(buf, nl + 1, n + 1);
		}
	}
}

static inline void *fake_monitor(void *arg)
{
	struct fakeqmp *f = arg;

	for (;;) {
		struct pollfd p[2] = { { .fd = f->listener, .events = POLLIN }, { .fd = f->stop[0], .events = POLLIN } };
		int fd;

		if (poll(p, 2, -1) <= 0 || p[1].revents)
			return NULL;
		fd = accept(f->listener, NULL, NULL);
		if (fd < 0)
			continue;
		fake_send(fd, f->greeting, strlen(f->greeting));
		atomic_store(&f->client, fd);
		atomic_fetch_add(&f->clients, 1);
		fake_serve(f, fd);
		atomic_store(&f->client, -1);
		close(fd);
	}
}

/* serve false: nobody ever accepts. */
static inline void fake_start(struct fakeqmp *f, const struct fake_answer *table, const char *greeting, bool serve)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	memset(f, 0, sizeof *f);
	strcpy(f->dir, "/tmp/gpufas-qmp.XXXXXX");
	if (!mkdtemp(f->dir))
		abort();
	snprintf(f->path, sizeof f->path, "%s/qmp", f->dir);
	strcpy(sa.sun_path, f->path);
	f->table = table;
	f->greeting = greeting ? greeting : FAKE_GREETING;
	f->client = -1;
	pthread_mutex_init(&f->lock, NULL);
	f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(f->listener, (struct sockaddr *)&sa, sizeof sa) < 0 || listen(f->listener, 4) < 0 || pipe(f->stop) < 0)
		abort();
	if (serve && pthread_create(&f->thread, NULL, fake_monitor, f))
		abort();
	if (!serve)
		f->thread = 0;
}

static inline void fake_stop(struct fakeqmp *f)
{
	if (write(f->stop[1], "x", 1) != 1)
		abort();
	if (f->thread)
		pthread_join(f->thread, NULL);
	close(f->listener);
	close(f->stop[0]);
	close(f->stop[1]);
	unlink(f->path);
	rmdir(f->dir);
	pthread_mutex_destroy(&f->lock);
}

static inline bool fake_saw(struct fakeqmp *f, const char *words)
{
	bool r;

	pthread_mutex_lock(&f->lock);
	r = strstr(f->seen, words) != NULL;
	pthread_mutex_unlock(&f->lock);
	return r;
}

#endif
