// SPDX-License-Identifier: MIT
#include "targets/qmp_int.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CHUNK 65536u
#define SKIP_MAX 1024u

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* 1: ready. 0: the time is up. */
static int wait_for(int fd, short what, int64_t deadline)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = what };
		int64_t left = deadline - now_ms();
		int r = poll(&p, 1, left > 0 ? (int)left : 0);

		if (r > 0)
			return 1;
		if (r == 0 && left <= 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
	}
}

static int broken(struct gf_qmp *q, int errnum, struct gf_err *err, const char *why)
{
	q->broken = true;
	return gf_err_set(err, errnum, "QMP socket %s: %s", q->path, why);
}

/* Room for a chunk behind q->end; a line does not grow beyond the cap. */
static int make_room(struct gf_qmp *q, struct gf_err *err)
{
	size_t used = q->end - q->start, size;
	char *p;

	if (q->start) {
		memmove(q->buf, q->buf + q->start, used);
		q->seen -= q->start;
		q->end = used;
		q->start = 0;
	}
	if (q->size - q->end >= CHUNK)
		return 0;
	if (used >= GF_QMP_LINE_MAX)
		return broken(q, EPROTO, err, "the peer sends a line without end: this is no QEMU monitor");
	size = q->size ? q->size * 2 : 2 * CHUNK;
	p = realloc(q->buf, size);
	if (!p)
		return broken(q, ENOMEM, err, "no memory");
	q->buf = p;
	q->size = size;
	return 0;
}

/* The next line, whose bytes are valid until the next call. *ret NULL and 0: the time is up, nothing is lost. */
static int next_line(struct gf_qmp *q, int64_t deadline, char **ret, size_t *ret_len, struct gf_err *err)
{
	*ret = NULL;
	for (;;) {
		char *nl = q->end > q->seen ? memchr(q->buf + q->seen, '\n', q->end - q->seen) : NULL;
		ssize_t n;
		int r;

		if (nl) {
			*ret = q->buf + q->start;
			*ret_len = (size_t)(nl - *ret);
			q->start = q->seen = (size_t)(nl - q->buf) + 1;
			return 0;
		}
		q->seen = q->end;
		r = make_room(q, err);
		if (r)
			return r;
		r = wait_for(q->fd, POLLIN, deadline);
		if (r <= 0)
			return r < 0 ? broken(q, -r, err, strerror(-r)) : 0;
		n = recv(q->fd, q->buf + q->end, q->size - q->end, MSG_DONTWAIT);
		if (n > 0)
			q->end += (size_t)n;
		else if (n == 0)
			return broken(q, EPIPE, err, "QEMU has closed the connection");
		else if (errno != EAGAIN && errno != EINTR)
			return broken(q, errno == ECONNRESET ? EPIPE : errno, err, strerror(errno));
	}
}

/* The next JSON object. *ret NULL and 0: the time is up. */
static int next_object(struct gf_qmp *q, int64_t deadline, json_t **ret, struct gf_err *err)
{
	char *line;
	size_t len = 0;
	int r;

	*ret = NULL;
	do {
		r = next_line(q, deadline, &line, &len, err);
		if (r || !line)
			return r;
		while (len && (line[len - 1] == '\r' || line[len - 1] == ' '))
			len--;
		/* A peer that sends nothing but newlines must not hold us. */
		if (!len && now_ms() >= deadline)
			return 0;
	} while (!len);
	*ret = json_loadb(line, len, 0, NULL);
	if (!json_is_object(*ret)) {
		json_decref(*ret);
		*ret = NULL;
		return broken(q, EPROTO, err, "the peer does not speak QMP: give the socket of -qmp, not of a human monitor or a serial port");
	}
	return 0;
}

static enum gf_qmp_event event_of(json_t *o)
{
	static const struct {
		const char *name;
		enum gf_qmp_event ev;
	} names[] = {
		{ "RESET", GF_QMP_RESET }, { "SHUTDOWN", GF_QMP_SHUTDOWN }, { "STOP", GF_QMP_STOP }, { "RESUME", GF_QMP_RESUME },
		{ "SUSPEND", GF_QMP_SUSPEND }, { "WAKEUP", GF_QMP_WAKEUP }, { "GUEST_PANICKED", GF_QMP_PANICKED },
	};
	const char *name = json_string_value(json_object_get(o, "event"));
	const char *status = json_string_value(json_object_get(json_object_get(o, "data"), "status"));

	for (size_t i = 0; name && i < sizeof names / sizeof *names; i++)
		if (!strcmp(name, names[i].name))
			return names[i].ev;
	return name && status && !strcmp(name, "MIGRATION") && !strcmp(status, "completed") ? GF_QMP_MIGRATED : GF_QMP_NONE;
}

/* The last ones are kept: what a guest is comes from them. */
static void queue(struct gf_qmp *q, enum gf_qmp_event ev)
{
	if (ev == GF_QMP_NONE)
		return;
	if (q->events == GF_QMP_EVENTS)
		memmove(q->event, q->event + 1, --q->events);
	q->event[q->events++] = (uint8_t)ev;
}

static int send_all(struct gf_qmp *q, const char *s, size_t len, int64_t deadline, struct gf_err *err)
{
	while (len) {
		ssize_t n;
		int r = wait_for(q->fd, POLLOUT, deadline);

		if (r <= 0)
			return r < 0 ? broken(q, -r, err, strerror(-r)) : broken(q, ETIMEDOUT, err, "QEMU takes no command");
		n = send(q->fd, s, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return broken(q, EPIPE, err, "QEMU has closed the connection");
		if (n > 0) {
			s += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int send_command(struct gf_qmp *q, const char *name, json_t *args, int64_t deadline, struct gf_err *err)
{
	json_t *o = json_pack("{s:s, s:I}", "execute", name, "id", (json_int_t)++q->last_id);
	char *s = NULL;
	int r;

	if (o && args)
		json_object_set(o, "arguments", args);
	if (o)
		s = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (!s)
		return broken(q, ENOMEM, err, "no memory");
	r = send_all(q, s, strlen(s), deadline, err);
	if (!r)
		r = send_all(q, "\r\n", 2, deadline, err);
	free(s);
	return r;
}

void gf_qmp_copy(char *to, size_t n, const char *from)
{
	size_t i = 0;

	for (; from && from[i] && i < n - 1; i++)
		to[i] = from[i] >= ' ' && from[i] < 0x7f ? from[i] : '?';
	to[i] = 0;
}

/* Events on the way are kept for gf_qmp_next; replies to commands that were given up are none of ours. */
static int wait_reply(struct gf_qmp *q, const char *name, int64_t deadline, json_t **ret, struct gf_err *err)
{
	for (;;) {
		json_t *o, *e;
		int r = next_object(q, deadline, &o, err);

		if (!r && !o)
			r = gf_err_set(err, ETIMEDOUT, "QMP socket %s: QEMU does not answer %s within %d ms: it hangs", q->path, name,
				       q->timeout_ms);
		if (r) {
			q->broken = true;
			return r;
		}
		if (json_object_get(o, "event")) {
			queue(q, event_of(o));
			json_decref(o);
			if (now_ms() < deadline)
				continue;
			q->broken = true;
			return gf_err_set(err, ETIMEDOUT, "QMP socket %s: events, but no answer to %s within %d ms", q->path, name, q->timeout_ms);
		}
		e = json_object_get(o, "error");
		if (json_integer_value(json_object_get(o, "id")) != (json_int_t)q->last_id) {
			json_decref(o);
			return broken(q, EPROTO, err, "an answer to a question that was not asked");
		}
		if (e) {
			char why[200];

			gf_qmp_copy(why, sizeof why, json_string_value(json_object_get(e, "desc")));
			r = gf_err_set(err, EREMOTEIO, "QEMU refuses %s: %s", name, *why ? why : "(no reason given)");
			json_decref(o);
			return r;
		}
		*ret = json_incref(json_object_get(o, "return"));
		json_decref(o);
		return *ret ? 0 : broken(q, EPROTO, err, "an answer that is neither \"return\" nor \"error\"");
	}
}

int gf_qmp_command(struct gf_qmp *q, const char *name, json_t *args, json_t **ret, struct gf_err *err)
{
	int64_t deadline = now_ms() + q->timeout_ms;
	json_t *answer = NULL;
	int r;

	r = q->broken ? gf_err_set(err, EPIPE, "QMP socket %s: the connection is gone", q->path) :
			send_command(q, name, args, deadline, err);
	json_decref(args);
	if (!r)
		r = wait_reply(q, name, deadline, &answer, err);
	if (r)
		return r;
	if (ret)
		*ret = answer;
	else
		json_decref(answer);
	return 0;
}

int gf_qmp_hmp(struct gf_qmp *q, const char *line, char **ret, struct gf_err *err)
{
	json_t *o;
	char *s;
	int r = gf_qmp_command(q, "human-monitor-command", json_pack("{s:s}", "command-line", line), &o, err);

	if (r)
		return r;
	s = json_is_string(o) ? strdup(json_string_value(o)) : NULL;
	r = s ? 0 : gf_err_set(err, json_is_string(o) ? ENOMEM : EPROTO, "QMP socket %s: no text in the answer to \"%s\"", q->path, line);
	json_decref(o);
	if (!r)
		*ret = s;
	return r;
}

static int greet(struct gf_qmp *q, struct gf_err *err)
{
	json_t *o;
	int r = next_object(q, now_ms() + q->timeout_ms, &o, err);

	if (r)
		return r;
	if (!o)
		return gf_err_set(err, EBUSY, "QMP socket %s: no greeting within %d ms. QEMU serves one client a monitor, and this one has another "
				  "(libvirt, or the gpufasd that watches it), or QEMU hangs. Give gpufas a monitor of its own: -qmp unix:/run/gpufas-NAME.qmp,server=on,wait=off",
				  q->path, q->timeout_ms);
	r = json_is_object(json_object_get(o, "QMP")) ? 0 :
		broken(q, EPROTO, err, "the peer does not greet as a QEMU monitor does");
	json_decref(o);
	return r ? r : gf_qmp_command(q, "qmp_capabilities", NULL, NULL, err);
}

int gf_qmp_open(int fd, const char *path, int timeout_ms, struct gf_qmp **ret, struct gf_err *err)
{
	struct ucred c = { 0 };
	socklen_t len = sizeof c;
	struct gf_qmp *q = calloc(1, sizeof *q);
	int r;

	if (!q) {
		close(fd);
		return gf_err_set(err, ENOMEM, "no memory");
	}
	q->fd = fd;
	q->timeout_ms = timeout_ms;
	snprintf(q->path, sizeof q->path, "%s", path);
	q->uid = (uid_t)-1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &len) == 0) {
		q->pid = c.pid;
		q->uid = c.uid;
	}
	r = greet(q, err);
	if (r)
		gf_qmp_close(q);
	else
		*ret = q;
	return r;
}

static int connect_error(const char *path, int e, struct gf_err *err)
{
	switch (e) {
	case ENOENT:
		return gf_err_set(err, e, "there is no QMP socket %s: the virtual machine is not running, or QEMU lacks "
				  "-qmp unix:%s,server=on,wait=off", path, path);
	case ECONNREFUSED:
		return gf_err_set(err, e, "nobody listens on QMP socket %s: the virtual machine is not running", path);
	case EACCES:
	case EPERM:
		return gf_err_set(err, EACCES, "QMP socket %s: permission denied: run as root or as QEMU's user", path);
	case EAGAIN:
		return gf_err_set(err, EBUSY, "QMP socket %s: QEMU serves one client a monitor, and others are waiting already. Give gpufas a monitor "
				  "of its own: -qmp unix:/run/gpufas-NAME.qmp,server=on,wait=off", path);
	default:
		return gf_err_set(err, e, "QMP socket %s: %s", path, strerror(e));
	}
}

int gf_qmp_connect(const char *path, int timeout_ms, struct gf_qmp **ret, struct gf_err *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	char found[sizeof sa.sun_path];
	int fd;

	if (!strncmp(path, GF_QMP_LIBVIRT, sizeof GF_QMP_LIBVIRT - 1)) {
		int r = gf_qmp_libvirt(GF_QMP_LIBVIRT_DIR, path + sizeof GF_QMP_LIBVIRT - 1, found, sizeof found, err);

		if (r)
			return r;
		path = found;
	}
	if (strlen(path) >= sizeof sa.sun_path)
		return gf_err_set(err, ENAMETOOLONG, "QMP socket %s: longer than the %zu bytes that a socket's name can have", path,
				  sizeof sa.sun_path - 1);
	strcpy(sa.sun_path, path);
	/* Non-blocking: connect() would wait for as long as QEMU's backlog is full. */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return gf_err_set(err, errno, "cannot make a socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0) {
		int e = errno;

		close(fd);
		return connect_error(path, e, err);
	}
	return gf_qmp_open(fd, path, timeout_ms, ret, err);
}

void gf_qmp_close(struct gf_qmp *q)
{
	if (!q)
		return;
	close(q->fd);
	free(q->buf);
	free(q);
}

int gf_qmp_fd(const struct gf_qmp *q)
{
	return q->fd;
}

pid_t gf_qmp_pid(const struct gf_qmp *q)
{
	return q->pid;
}

enum gf_qmp_event gf_qmp_next(struct gf_qmp *q, int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;
	unsigned skipped = 0;

	if (q->events) {
		enum gf_qmp_event ev = q->event[0];

		memmove(q->event, q->event + 1, --q->events);
		return ev;
	}
	while (!q->broken) {
		enum gf_qmp_event ev;
		json_t *o;

		if (next_object(q, deadline, &o, NULL))
			break;
		if (!o)
			return GF_QMP_NONE;
		ev = event_of(o);
		json_decref(o);
		if (ev != GF_QMP_NONE)
			return ev;
		/* What has been read already would not make the socket readable again. */
		if (++skipped >= SKIP_MAX && now_ms() >= deadline)
			return GF_QMP_NONE;
	}
	return GF_QMP_GONE;
}

int gf_qmp_nmi(struct gf_qmp *q, struct gf_err *err)
{
	return gf_qmp_command(q, "inject-nmi", NULL, NULL, err);
}

int gf_qmp_reset(struct gf_qmp *q, struct gf_err *err)
{
	return gf_qmp_command(q, "system_reset", NULL, NULL, err);
}
