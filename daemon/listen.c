/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/control_int.h"

static int make_dir(const char *path, struct gf_err *err)
{
	char dir[sizeof(struct sockaddr_un)];
	char *slash;

	snprintf(dir, sizeof dir, "%s", path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return 0;
	*slash = 0;
	mode_t old = umask(022);
	int r = mkdir(dir, 0755) && errno != EEXIST ? errno : 0;
	umask(old);
	return r ? gf_err_set(err, r, "cannot make the directory %s for the control socket: %s; choose another with --socket",
			      dir, strerror(r)) : 0;
}

/* Two daemons that start at the same moment both find a dead socket: the lock decides. */
static int take_lock(const char *path, int *ret, struct gf_err *err)
{
	char name[sizeof(struct sockaddr_un) + 8];

	snprintf(name, sizeof name, "%s.lock", path);
	int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return gf_err_set(err, errno, "cannot open %s: %s; run as root, or choose another socket with --socket",
				  name, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		close(fd);
		return gf_err_set(err, EADDRINUSE, "another gpufasd is running with the control socket %s; "
				  "stop it, or choose another with --socket", path);
	}
	*ret = fd;
	return 0;
}

static int clear_stale(const struct sockaddr_un *at, struct gf_err *err)
{
	struct stat st;

	if (lstat(at->sun_path, &st))
		return errno == ENOENT ? 0 : gf_err_set(err, errno, "cannot look at %s: %s", at->sun_path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return gf_err_set(err, EEXIST, "%s is there and is not a socket; remove it, or choose another with --socket", at->sun_path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return gf_err_set(err, errno, "cannot make a socket: %s", strerror(errno));
	int r = connect(fd, (const struct sockaddr *)at, sizeof *at) ? errno : 0;
	close(fd);
	if (!r || r == EAGAIN || r == EINPROGRESS)
		return gf_err_set(err, EADDRINUSE, "something is listening on %s already; stop it, or choose another socket with --socket", at->sun_path);
	if (unlink(at->sun_path) && errno != ENOENT)
		return gf_err_set(err, errno, "cannot remove the dead socket %s: %s", at->sun_path, strerror(errno));
	return 0;
}

static void find_group(const struct gf_control_opts *opts, struct gf_listener *l)
{
	char buf[4096];
	struct group g, *found = NULL;

	l->gid = (gid_t)-1;
	if (!*opts->group)
		return;
	if (!getgrnam_r(opts->group, &g, buf, sizeof buf, &found) && found)
		l->gid = found->gr_gid;
	else
		gf_log(LOG_WARNING, "there is no group \"%s\": only root may use the control socket", opts->group);
}

int gf_listener_open(const struct gf_control_opts *opts, struct gf_listener *ret, struct gf_err *err)
{
	struct gf_listener l = { .fd = -1, .lock = -1 };
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct stat st;
	int r;

	if (!*opts->path || strlen(opts->path) >= sizeof at.sun_path)
		return gf_err_set(err, ENAMETOOLONG, "the control socket's path must have 1 to %zu bytes", sizeof at.sun_path - 1);
	strcpy(at.sun_path, opts->path);
	r = make_dir(opts->path, err);
	if (!r)
		r = take_lock(opts->path, &l.lock, err);
	if (!r)
		r = clear_stale(&at, err);
	if (r)
		goto out;
	find_group(opts, &l);
	l.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t old = umask(0177); /* nobody gets in before owner and mode are right */
	if (l.fd < 0 || bind(l.fd, (struct sockaddr *)&at, sizeof at))
		r = gf_err_set(err, errno, "cannot make the control socket %s: %s", opts->path, strerror(errno));
	umask(old);
	if (r)
		goto out;
	bool mine = l.gid == (gid_t)-1 || !chown(opts->path, (uid_t)-1, l.gid);
	if (!mine) {
		gf_log(LOG_WARNING, "cannot give the control socket to the group \"%s\": %s", opts->group, strerror(errno));
		l.gid = (gid_t)-1;
	}
	if (chmod(opts->path, l.gid == (gid_t)-1 ? opts->mode & 0700 : opts->mode) || stat(opts->path, &st) ||
	    listen(l.fd, 128)) {
		r = gf_err_set(err, errno, "cannot set up the control socket %s: %s", opts->path, strerror(errno));
		unlink(opts->path);
		goto out;
	}
	l.dev = st.st_dev;
	l.ino = st.st_ino;
	*ret = l;
	return 0;
out:
	if (l.fd >= 0)
		close(l.fd);
	if (l.lock >= 0)
		close(l.lock);
	return r;
}

void gf_listener_close(struct gf_listener *l, const char *path)
{
	struct stat st;

	if (!stat(path, &st) && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(path);
	close(l->fd);
	close(l->lock);
}

bool gf_listener_admits(const struct gf_listener *l, int fd, uid_t *ret_uid)
{
	struct ucred who;
	gid_t *groups;
	socklen_t n = sizeof who;
	bool in = false;

	*ret_uid = (uid_t)-1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n))
		return false;
	*ret_uid = who.uid;
	if (who.uid == 0 || who.uid == geteuid())
		return true;
	if (l->gid == (gid_t)-1)
		return false;
	if (who.gid == l->gid)
		return true;
	n = 0;
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &n) || errno != ERANGE || !n)
		return false;
	groups = malloc(n);
	if (groups && !getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &n))
		for (size_t i = 0; i < n / sizeof *groups; i++)
			in |= groups[i] == l->gid;
	free(groups);
	return in;
}
