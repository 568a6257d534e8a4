/* SPDX-License-Identifier: MIT */
#include "daemon/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "daemon/control_int.h"

#define MAX_DEPTH 16
#define FOLLOW_BYTES (128u << 10) /* events taken out for a client ahead of its reading */

struct gf_client {
	struct gf_control *ctl;
	int fd; /* -1: free place */
	uint64_t id;
	uid_t uid;
	char *in;
	size_t in_n, in_cap, scanned;
	struct gf_jbuf out;
	size_t out_done;
	bool eof, dead, closing, deferred, follow;
	uint64_t pos;
	char *rule; /* the filter's */
	struct gf_reporter_filter filter;
	int64_t active_ms;
};

struct gf_control {
	struct gf_control_opts opts;
	char *path;
	struct gf_listener listener;
	struct gf_client client[GF_CTL_MAX_CLIENTS];
	uint64_t next_id;
	int64_t accept_after_ms; /* out of descriptors: leave the queue alone until then */
};

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- answers ------------------------------------------------------------------ */

static void begin(struct gf_client *c, bool ok)
{
	struct gf_jbuf *b = &c->out;

	b->comma = false;
	gf_jbuf_open(b, '{');
	gf_jbuf_kint(b, "v", GF_CTL_VERSION);
	gf_jbuf_kbool(b, "ok", ok);
}

static void end(struct gf_client *c)
{
	gf_jbuf_close(&c->out, '}');
	gf_jbuf_raw(&c->out, "\n", 1);
	c->deferred = false;
	c->active_ms = now_ms();
	if (c->out.failed)
		c->dead = true; /* half an answer would be read as something else */
}

void gf_client_answer(struct gf_client *c, struct gf_jbuf *data)
{
	if (data->failed || !data->n) {
		gf_jbuf_deinit(data);
		gf_client_fail(c, NULL, "the daemon has not enough memory for this answer");
		return;
	}
	begin(c, true);
	gf_jbuf_key(&c->out, "data");
	gf_jbuf_json(&c->out, data->p, data->n);
	gf_jbuf_deinit(data);
	end(c);
}

void gf_client_fail(struct gf_client *c, const char *diags, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	begin(c, false);
	gf_jbuf_kstr(&c->out, "error", text);
	if (diags) {
		gf_jbuf_key(&c->out, "diags");
		gf_jbuf_json(&c->out, diags, strlen(diags));
	}
	end(c);
}

uint64_t gf_client_defer(struct gf_client *c)
{
	c->deferred = true;
	return c->id;
}

struct gf_client *gf_control_client(struct gf_control *s, uint64_t id)
{
	for (int i = 0; i < GF_CTL_MAX_CLIENTS; i++)
		if (s->client[i].fd >= 0 && !s->client[i].dead && s->client[i].id == id)
			return &s->client[i];
	return NULL;
}

int gf_client_follow(struct gf_client *c, uint64_t pos, const struct gf_reporter_filter *f)
{
	char *rule = f && f->rule ? strdup(f->rule) : NULL;

	if (f && f->rule && !rule)
		return -ENOMEM;
	free(c->rule);
	c->rule = rule;
	c->filter = (struct gf_reporter_filter){ .rule = rule, .target = f ? f->target : -1 };
	c->pos = pos;
	c->follow = true;
	return 0;
}

uid_t gf_client_uid(const struct gf_client *c)
{
	return c->uid;
}

bool gf_client_privileged(const struct gf_client *c)
{
	return c->uid == 0 || c->uid == geteuid();
}

size_t gf_control_waiting(const struct gf_control *s)
{
	size_t n = 0;
	for (int i = 0; i < GF_CTL_MAX_CLIENTS; i++)
		if (s->client[i].fd >= 0)
			n += s->client[i].out.n - s->client[i].out_done;
	return n;
}

/* ---- requests ----------------------------------------------------------------- */

/* The JSON reader recurses: look at the depth before. */
static bool too_deep(const char *s, size_t n)
{
	int depth = 0;
	bool str = false;

	for (size_t i = 0; i < n; i++) {
		if (str) {
			if (s[i] == '\\')
				i++;
			else if (s[i] == '"')
				str = false;
		} else if (s[i] == '"') {
			str = true;
		} else if (s[i] == '{' || s[i] == '[') {
			if (++depth > MAX_DEPTH)
				return true;
		} else if (s[i] == '}' || s[i] == ']') {
			depth--;
		}
	}
	return false;
}

static void request(struct gf_client *c, const char *line, size_t n)
{
	json_error_t je;
	json_t *v, *cmd;

	if (too_deep(line, n)) {
		gf_client_fail(c, NULL, "the request is nested more than %d deep", MAX_DEPTH);
		return;
	}
	json_t *rq = json_loadb(line, n, JSON_REJECT_DUPLICATES, &je);
	if (!rq) {
		gf_client_fail(c, NULL, "the request is not JSON: %s", je.text);
		return;
	}
	v = json_object_get(rq, "v");
	cmd = json_object_get(rq, "cmd");
	if (!json_is_object(rq))
		gf_client_fail(c, NULL, "a request is a JSON object, such as {\"v\":1,\"cmd\":\"status\"}");
	else if (!json_is_integer(v))
		gf_client_fail(c, NULL, "the request lacks its version, \"v\":%d", GF_CTL_VERSION);
	else if (json_integer_value(v) != GF_CTL_VERSION)
		gf_client_fail(c, NULL, "the request is of version %lld, this daemon speaks version %d: "
			       "client and daemon are of different releases", (long long)json_integer_value(v), GF_CTL_VERSION);
	else if (!json_is_string(cmd))
		gf_client_fail(c, NULL, "the request lacks \"cmd\"");
	else
		c->ctl->opts.handle(c->ctl->opts.arg, c, json_string_value(cmd), rq);
	json_decref(rq);
}

/* Next whole line of what has been read; false: there is none. */
static bool one_line(struct gf_client *c)
{
	char *nl = c->in_n > c->scanned ? memchr(c->in + c->scanned, '\n', c->in_n - c->scanned) : NULL;

	if (!nl) {
		c->scanned = c->in_n;
		if (c->in_n >= GF_CTL_MAX_LINE) {
			gf_client_fail(c, NULL, "a request may have at most %u bytes", GF_CTL_MAX_LINE);
			c->closing = true;
			c->in_n = c->scanned = 0;
			return true;
		}
		if (c->eof && c->in_n) { /* a last line without its end is still one */
			size_t n = c->in_n;
			c->in_n = c->scanned = 0;
			request(c, c->in, n);
			return true;
		}
		return false;
	}
	size_t n = (size_t)(nl - c->in), text = n && nl[-1] == '\r' ? n - 1 : n;
	if (text)
		request(c, c->in, text);
	c->in_n -= n + 1;
	c->scanned = 0;
	memmove(c->in, c->in + n + 1, c->in_n);
	if (!c->in_n) { /* do not sit on a large buffer */
		free(c->in);
		c->in = NULL;
		c->in_cap = 0;
	}
	return true;
}

/* ---- reading and writing -------------------------------------------------------- */

static void drop(struct gf_client *c)
{
	close(c->fd);
	free(c->in);
	free(c->rule);
	gf_jbuf_deinit(&c->out);
	*c = (struct gf_client){ .ctl = c->ctl, .fd = -1 };
}

static void read_some(struct gf_client *c)
{
	while (!c->eof && c->in_n < GF_CTL_MAX_LINE) {
		if (c->in_n == c->in_cap) {
			size_t cap = c->in_cap ? GF_MIN(c->in_cap * 2, (size_t)GF_CTL_MAX_LINE) : 4096;
			char *p = realloc(c->in, cap);
			if (!p) {
				c->dead = true;
				return;
			}
			c->in = p;
			c->in_cap = cap;
		}
		ssize_t n = recv(c->fd, c->in + c->in_n, c->in_cap - c->in_n, MSG_DONTWAIT);
		if (n > 0) {
			c->in_n += (size_t)n;
			c->active_ms = now_ms();
		} else if (n == 0) {
			c->eof = true;
		} else {
			if (errno != EAGAIN && errno != EINTR)
				c->dead = true;
			return;
		}
	}
}

static void flush(struct gf_client *c)
{
	while (c->out_done < c->out.n) {
		ssize_t n = send(c->fd, c->out.p + c->out_done, c->out.n - c->out_done, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0) {
			if (errno != EAGAIN && errno != EINTR)
				c->dead = true;
			return;
		}
		c->out_done += (size_t)n;
		c->active_ms = now_ms();
	}
	c->out_done = 0;
	c->out.n = 0;
	if (c->out.cap > (64u << 10))
		gf_jbuf_deinit(&c->out);
}

static bool put_event(void *arg, const char *json, size_t n)
{
	struct gf_client *c = arg;
	struct gf_jbuf *b = &c->out;

	if (b->n >= FOLLOW_BYTES)
		return false;
	b->comma = false;
	gf_jbuf_open(b, '{');
	gf_jbuf_kint(b, "v", GF_CTL_VERSION);
	gf_jbuf_key(b, "event");
	gf_jbuf_json(b, json, n);
	gf_jbuf_close(b, '}');
	gf_jbuf_raw(b, "\n", 1);
	return !b->failed;
}

static void follow(struct gf_client *c)
{
	struct gf_reporter *r = c->ctl->opts.reporter;
	uint64_t lost = 0, pos = c->pos;

	if (!r)
		return;
	/* first how many are gone, then, as one line before them, the rest */
	gf_reporter_read(r, pos, NULL, 0, put_event, c, &lost);
	if (lost) {
		struct gf_jbuf *b = &c->out;
		b->comma = false;
		gf_jbuf_open(b, '{');
		gf_jbuf_kint(b, "v", GF_CTL_VERSION);
		gf_jbuf_kuint(b, "lost", lost);
		gf_jbuf_close(b, '}');
		gf_jbuf_raw(b, "\n", 1);
		c->pos = pos += lost;
	}
	c->pos = gf_reporter_read(r, pos, &c->filter, GF_REPORTER_KEPT, put_event, c, NULL);
	if (c->out.failed)
		c->dead = true;
}

/* Moves a client on as far as it goes without waiting. One answer at a time: who
 * does not read gets no further ones, and costs no more than one. */
static void pump(struct gf_client *c)
{
	for (;;) {
		flush(c);
		if (c->dead || c->out.n)
			break;
		if (c->closing || (c->follow && c->eof)) {
			c->dead = true;
			break;
		}
		if (c->deferred)
			break;
		if (c->follow) {
			follow(c);
			if (!c->out.n)
				break;
			continue;
		}
		if (!one_line(c)) {
			if (c->eof)
				c->dead = true;
			break;
		}
	}
	if (c->dead)
		drop(c);
}

static void refuse(int fd, const char *why)
{
	struct gf_client c = { .fd = fd };

	gf_client_fail(&c, NULL, "%s", why);
	if (!c.out.failed && send(fd, c.out.p, c.out.n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		gf_log(LOG_DEBUG, "a refused client has gone already");
	gf_jbuf_deinit(&c.out);
	close(fd);
}

static void take_connections(struct gf_control *s)
{
	uid_t uid;

	for (int i = 0; i < 16; i++) {
		int fd = accept4(s->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), k = 0;
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
				s->accept_after_ms = now_ms() + 1000; /* or poll() would return at once, for ever */
			return;
		}
		if (!gf_listener_admits(&s->listener, fd, &uid)) {
			refuse(fd, "permission denied: only root and the members of the control socket's group may ask");
			continue;
		}
		while (k < GF_CTL_MAX_CLIENTS && s->client[k].fd >= 0)
			k++;
		if (k == GF_CTL_MAX_CLIENTS) {
			refuse(fd, "too many clients are connected; try again");
			continue;
		}
		s->client[k] = (struct gf_client){ .ctl = s, .fd = fd, .id = ++s->next_id, .uid = uid, .active_ms = now_ms() };
	}
}

/* ---- for the loop ----------------------------------------------------------------- */

size_t gf_control_prepare(struct gf_control *s, struct pollfd *p)
{
	size_t n = 0;

	p[n++] = (struct pollfd){ .fd = now_ms() >= s->accept_after_ms ? s->listener.fd : -1, .events = POLLIN };
	p[n++] = (struct pollfd){ .fd = s->opts.reporter ? gf_reporter_fd(s->opts.reporter) : -1, .events = POLLIN };
	/* only those that are there: poll() refuses more entries than descriptors are allowed */
	for (int i = 0; i < GF_CTL_MAX_CLIENTS; i++) {
		struct gf_client *c = &s->client[i];
		short ev = 0;
		if (c->fd < 0)
			continue;
		if (c->out.n)
			ev |= POLLOUT;
		else if (!c->eof && c->in_n < GF_CTL_MAX_LINE)
			ev |= POLLIN;
		p[n++] = (struct pollfd){ .fd = c->fd, .events = ev };
	}
	return n;
}

/* When this client has had its time; -1: never. */
static int64_t deadline(const struct gf_control *s, const struct gf_client *c)
{
	if (c->fd < 0 || c->deferred)
		return -1;
	if (c->out.n)
		return c->active_ms + (s->opts.stuck_ms ? s->opts.stuck_ms : 30000);
	return c->follow ? -1 : c->active_ms + (s->opts.idle_ms ? s->opts.idle_ms : 120000);
}

int gf_control_timeout(struct gf_control *s)
{
	int64_t now = now_ms(), least = s->accept_after_ms > now ? s->accept_after_ms : INT64_MAX;

	for (int i = 0; i < GF_CTL_MAX_CLIENTS; i++) {
		int64_t d = deadline(s, &s->client[i]);
		if (d >= 0)
			least = GF_MIN(least, d);
	}
	return least == INT64_MAX ? -1 : least <= now ? 0 : (int)GF_MIN(least - now, 3600000);
}

void gf_control_run(struct gf_control *s, const struct pollfd *p, size_t n)
{
	uint64_t count;
	int64_t now = now_ms();

	if (n > 1 && p[1].revents & POLLIN && read(p[1].fd, &count, sizeof count) < 0 && errno != EAGAIN)
		gf_log(LOG_ERR, "the reporter's eventfd: %s", strerror(errno));
	for (size_t i = 2, k = 0; i < n; i++, k++) {
		while (k < GF_CTL_MAX_CLIENTS && s->client[k].fd != p[i].fd)
			k++; /* the same order; who has gone meanwhile is passed over */
		if (k == GF_CTL_MAX_CLIENTS)
			break;
		struct gf_client *c = &s->client[k];
		if (p[i].revents & (POLLERR | POLLHUP | POLLNVAL)) {
			/* gone altogether: what it asked last is moot */
			read_some(c);
			c->eof = true;
			if (c->deferred || c->out.n || c->follow)
				c->dead = true;
		} else if (p[i].revents & POLLIN) {
			read_some(c);
		}
	}
	for (int i = 0; i < GF_CTL_MAX_CLIENTS; i++) {
		struct gf_client *c = &s->client[i];
		if (c->fd < 0)
			continue;
		pump(c);
		int64_t d = deadline(s, c);
		if (d >= 0 && now >= d)
			drop(c);
	}
	if (n && p[0].revents & POLLIN)
		take_connections(s);
}

int gf_control_create(const struct gf_control_opts *opts, struct gf_control **ret, struct gf_err *err)
{
	struct gf_control *s = calloc(1, sizeof *s);

	if (!s)
		return gf_err_set(err, ENOMEM, "out of memory");
	s->opts = *opts;
	for (int i = 0; i < GF_CTL_MAX_CLIENTS; i++)
		s->client[i] = (struct gf_client){ .ctl = s, .fd = -1 };
	s->path = strdup(opts->path);
	int r = s->path ? gf_listener_open(opts, &s->listener, err) : gf_err_set(err, ENOMEM, "out of memory");
	if (r) {
		free(s->path);
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void gf_control_destroy(struct gf_control *s)
{
	if (!s)
		return;
	for (int i = 0; i < GF_CTL_MAX_CLIENTS; i++)
		if (s->client[i].fd >= 0) {
			flush(&s->client[i]);
			drop(&s->client[i]);
		}
	gf_listener_close(&s->listener, s->path);
	free(s->path);
	free(s);
}
