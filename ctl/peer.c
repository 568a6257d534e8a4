/* SPDX-License-Identifier: MIT */
#include "ctl/peer.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "ctl/text.h"
#include "gpufas/control.h"

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Milliseconds left until end for poll(); end < 0: for ever. */
static int left_ms(int64_t end)
{
	int64_t left = end - now_ms();

	return end < 0 ? -1 : left > 0 ? (int)left : 0;
}

static int say_unreachable(const char *path, int errnum, struct gf_err *err)
{
	struct stat st;
	struct group *gr = NULL;

	switch (errnum) {
	case ENOENT:
		return gf_err_set(err, errnum, "gpufasd is not running (there is no socket %s); start it: systemctl start gpufasd", path);
	case ECONNREFUSED:
		return gf_err_set(err, errnum, "gpufasd is not running (nobody listens at %s); start it: systemctl start gpufasd", path);
	case ENOTSOCK:
	case EPROTOTYPE:
		return gf_err_set(err, errnum, "%s is not the socket of gpufasd", path);
	case EACCES:
	case EPERM:
		/* Unreadable when the directory is closed too: then it is the usual group. */
		if (!stat(path, &st) && st.st_gid != 0)
			gr = getgrgid(st.st_gid);
		return gf_err_set(err, errnum,
				  "you may not use %s; join group %s (sudo usermod -aG %s $USER, then log in again) or use sudo",
				  path, gr ? gr->gr_name : GF_CTL_GROUP, gr ? gr->gr_name : GF_CTL_GROUP);
	default:
		return gf_err_set(err, errnum, "gpufasd cannot be reached at %s: %s", path, strerror(errnum));
	}
}

int gf_peer_open(struct gf_peer *c, const char *path, struct gf_err *err)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int64_t end = now_ms() + GF_PEER_TIMEOUT_MS;

	memset(c, 0, sizeof *c);
	c->fd = -1;
	c->path = path;
	if (strlen(path) >= sizeof a.sun_path)
		return gf_err_set(err, ENAMETOOLONG, "the socket's path is longer than the %zu bytes a socket can have: %s",
				  sizeof a.sun_path - 1, path);
	memcpy(a.sun_path, path, strlen(path) + 1);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		return gf_err_set(err, errno, "no socket: %s", strerror(errno));
	while (connect(c->fd, (struct sockaddr *)&a, sizeof a) < 0) {
		int e = errno;
		/* EAGAIN: its queue of clients is full. It accepts soon, or is stuck. */
		if ((e == EAGAIN || e == EINTR) && now_ms() < end) {
			poll(NULL, 0, 20);
			continue;
		}
		gf_peer_close(c);
		if (e == EAGAIN)
			return gf_err_set(err, ETIMEDOUT, "gpufasd at %s accepts no connection (is it stuck? systemctl status gpufasd)", path);
		return say_unreachable(path, e, err);
	}
	return 0;
}

void gf_peer_close(struct gf_peer *c)
{
	if (c->fd >= 0)
		close(c->fd);
	free(c->buf);
	c->fd = -1;
	c->buf = NULL;
	c->len = c->cap = c->scanned = 0;
}

int gf_peer_send(struct gf_peer *c, const char *cmd, json_t *members, struct gf_err *err)
{
	json_t *req = members ? members : json_object();
	int64_t end = now_ms() + GF_PEER_TIMEOUT_MS;
	char *text;
	size_t len, at = 0;
	int rc = 0;

	json_object_set_new(req, "v", json_integer(GF_CTL_VERSION));
	json_object_set_new(req, "cmd", json_string(cmd));
	text = json_dumps(req, JSON_COMPACT);
	json_decref(req);
	if (!text)
		return gf_err_set(err, ENOMEM, "out of memory");
	len = strlen(text);
	text[len++] = '\n'; /* in place of the terminator */
	while (!rc && at < len) {
		ssize_t n = send(c->fd, text + at, len - at, MSG_NOSIGNAL);
		if (n >= 0) {
			at += (size_t)n;
		} else if (errno == EAGAIN) {
			struct pollfd p = { c->fd, POLLOUT, 0 };
			if (poll(&p, 1, left_ms(end)) == 0)
				rc = gf_err_set(err, ETIMEDOUT, "gpufasd takes no request for %d s", GF_PEER_TIMEOUT_MS / 1000);
		} else if (errno != EINTR) {
			rc = gf_err_set(err, errno, "gpufasd went away");
		}
	}
	free(text);
	return rc;
}

/* Reads what is there. 0, -EAGAIN, -ECONNRESET, -errno. */
static int fill(struct gf_peer *c, struct gf_err *err)
{
	ssize_t n;

	if (c->cap - c->len < 65536) {
		size_t cap = c->cap ? 2 * c->cap : 131072;
		char *buf = cap > 2 * (size_t)GF_PEER_MAX_ANSWER ? NULL : realloc(c->buf, cap);
		if (!buf)
			return gf_err_set(err, EBADMSG, "gpufasd sends an answer without end");
		c->buf = buf;
		c->cap = cap;
	}
	n = recv(c->fd, c->buf + c->len, c->cap - c->len, MSG_DONTWAIT);
	if (n > 0) {
		c->len += (size_t)n;
		return 0;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return -EAGAIN;
	return gf_err_set(err, ECONNRESET, c->len ? "gpufasd went away in the middle of its answer"
					       : "gpufasd closed the connection without an answer");
}

/* The first line in buf, if there is a whole one. 0, -EAGAIN, -EBADMSG. */
static int take_line(struct gf_peer *c, json_t **ret, struct gf_err *err)
{
	char *nl = c->len > c->scanned ? memchr(c->buf + c->scanned, '\n', c->len - c->scanned) : NULL;
	json_error_t je;
	json_t *j;
	size_t len;

	c->scanned = c->len;
	if (!nl) {
		if (c->len > GF_PEER_MAX_ANSWER)
			return gf_err_set(err, EBADMSG, "gpufasd sends an answer without end");
		return -EAGAIN;
	}
	len = (size_t)(nl - c->buf);
	j = json_loadb(c->buf, len, 0, &je);
	c->len -= len + 1;
	memmove(c->buf, nl + 1, c->len);
	c->scanned = 0;
	if (!json_is_object(j)) {
		json_decref(j);
		return gf_err_set(err, EBADMSG, "what listens at %s does not answer as gpufasd does", c->path);
	}
	if (gf_js_int(j, "v") != GF_CTL_VERSION) {
		long long v = gf_js_int(j, "v");
		json_decref(j);
		if (v < 0)
			return gf_err_set(err, EBADMSG, "what listens at %s does not answer as gpufasd does", c->path);
		return gf_err_set(err, EBADMSG, "gpufasd speaks version %lld of the protocol, this gpufasctl version %d; install both from one release",
				  v, GF_CTL_VERSION);
	}
	*ret = j;
	return 0;
}

int gf_peer_recv(struct gf_peer *c, int timeout_ms, json_t **ret, struct gf_err *err)
{
	int64_t end = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;

	for (;;) {
		struct pollfd p = { c->fd, POLLIN, 0 };
		int rc = take_line(c, ret, err);
		if (rc != -EAGAIN)
			return rc;
		rc = fill(c, err);
		if (!rc)
			continue;
		if (rc != -EAGAIN)
			return rc;
		if (timeout_ms == 0)
			return -EAGAIN;
		rc = poll(&p, 1, left_ms(end));
		if (rc < 0)
			return gf_err_set(err, errno, "%s", strerror(errno));
		if (rc == 0)
			return gf_err_set(err, ETIMEDOUT, "gpufasd has not answered for %d s (is it stuck? systemctl status gpufasd)",
					  timeout_ms / 1000);
	}
}

int gf_peer_call(struct gf_peer *c, const char *cmd, json_t *members, json_t **ret, struct gf_err *err)
{
	json_t *ans;
	int rc = gf_peer_send(c, cmd, members, err);

	/* A daemon that refuses may have closed at once: its reason is still to be read. */
	if (rc && rc != -EPIPE && rc != -ECONNRESET)
		return rc;
	rc = gf_peer_recv(c, GF_PEER_TIMEOUT_MS, &ans, err);
	if (rc)
		return rc;
	if (!json_is_boolean(json_object_get(ans, "ok")) ||
	    (gf_js_bool(ans, "ok") && !json_is_object(json_object_get(ans, "data")))) {
		json_decref(ans);
		return gf_err_set(err, EBADMSG, "what listens at %s does not answer as gpufasd does", c->path);
	}
	*ret = ans;
	return 0;
}

int gf_ctl_call(struct gf_ctl *ctl, const char *cmd, json_t *members, json_t **ret, json_t **ret_diags)
{
	struct gf_peer c;
	struct gf_err err = { "" };
	json_t *ans = NULL;
	char buf[512];
	int rc;

	if (ret_diags)
		*ret_diags = NULL;
	rc = gf_peer_open(&c, ctl->socket, &err);
	if (rc)
		json_decref(members);
	else
		rc = gf_peer_call(&c, cmd, members, &ans, &err);
	gf_peer_close(&c);
	if (rc)
		return gf_ctl_fail(GF_EXIT_UNREACHABLE, "%s", gf_show_safe(err.text, buf, sizeof buf));
	if (gf_js_bool(ans, "ok")) {
		*ret = json_incref(json_object_get(ans, "data"));
		json_decref(ans);
		return GF_EXIT_OK;
	}
	if (ret_diags)
		*ret_diags = json_incref(json_object_get(ans, "diags"));
	if (*gf_js_str(ans, "error"))
		gf_ctl_fail(GF_EXIT_NO, "%s", gf_show_safe(gf_js_str(ans, "error"), buf, sizeof buf));
	else
		gf_ctl_fail(GF_EXIT_NO, "gpufasd refused, and gave no reason");
	json_decref(ans);
	return GF_EXIT_NO;
}
