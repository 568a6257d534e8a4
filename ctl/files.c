/* SPDX-License-Identifier: MIT */
#include "ctl/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/grow.h"

#define MAX_STDIN (4u << 20) /* as gf_source_read */

static int add(struct gf_files *s, const struct gf_source *src)
{
	if (!gf_grow(&s->src, &s->cap, s->n + 1, sizeof *s->src))
		return -ENOMEM;
	s->src[s->n++] = *src;
	return 0;
}

/* Makes what gf_source_free() frees: name and text of its own. */
static int read_stdin(struct gf_source *ret, struct gf_err *err)
{
	char *text = NULL;
	size_t len = 0, cap = 0;

	for (;;) {
		ssize_t n;
		if (!gf_grow(&text, &cap, len + 4096, 1)) {
			free(text);
			return gf_err_set(err, ENOMEM, "out of memory");
		}
		n = read(STDIN_FILENO, text + len, cap - len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			free(text);
			return gf_err_set(err, errno, "standard input: %s", strerror(errno));
		}
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > MAX_STDIN) {
			free(text);
			return gf_err_set(err, EFBIG, "standard input: longer than the 4 MiB that a policy may have");
		}
	}
	text[len] = 0;
	*ret = (struct gf_source){ .name = strdup("<stdin>"), .text = text, .len = len };
	return 0;
}

static int read_one(struct gf_files *s, const char *path)
{
	struct gf_err err = { "" };
	struct gf_source src = { 0 };
	const char *end = strrchr(path, '.');

	/* its every line would be an error */
	if (end && (!strcmp(end, ".yaml") || !strcmp(end, ".yml")))
		return gf_ctl_fail(GF_EXIT_NO, "%s: is no policy; a configuration is checked by `gpufasd --check-config -c FILE`, "
				   "tests of policies are run by `gpufasctl test FILE`", path);
	int rc = strcmp(path, "-") ? gf_source_read(path, &src, &err) : read_stdin(&src, &err);

	if (!rc && add(s, &src)) {
		gf_source_free(&src);
		rc = gf_err_set(&err, ENOMEM, "out of memory");
	}
	if (!rc)
		return GF_EXIT_OK;
	if (*err.text)
		return gf_ctl_fail(GF_EXIT_NO, "%s", err.text);
	return gf_ctl_fail(GF_EXIT_NO, "%s: %s", path, strerror(-rc));
}

static int is_policy(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return d->d_name[0] != '.' && n > 7 && !strcmp(d->d_name + n - 7, ".policy");
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_dir(struct gf_files *s, const char *dir)
{
	struct dirent **list;
	int n = scandir(dir, &list, is_policy, by_bytes), rc = GF_EXIT_OK;
	size_t len = strlen(dir);

	if (n < 0) {
		return gf_ctl_fail(GF_EXIT_NO, "%s: %s", dir, strerror(errno));
	}
	while (len > 1 && dir[len - 1] == '/')
		len--;
	for (int i = 0; i < n; i++) {
		char path[4096];
		int k = snprintf(path, sizeof path, "%.*s%s%s", (int)len, dir, dir[len - 1] == '/' ? "" : "/", list[i]->d_name);
		if (k < (int)sizeof path && read_one(s, path))
			rc = GF_EXIT_NO;
		free(list[i]);
	}
	free(list);
	if (!n) {
		return gf_ctl_fail(GF_EXIT_NO, "%s: no *.policy file in this directory", dir);
	}
	return rc;
}

int gf_files_read(char **arg, int n, bool dirs, struct gf_files *ret)
{
	int rc = GF_EXIT_OK;

	memset(ret, 0, sizeof *ret);
	for (int i = 0; i < n; i++) {
		struct stat st;
		bool dir = strcmp(arg[i], "-") && !stat(arg[i], &st) && S_ISDIR(st.st_mode);
		if (dir && !dirs)
			rc = gf_ctl_fail(GF_EXIT_NO, "%s: is a directory; name the files", arg[i]);
		else if (dir ? read_dir(ret, arg[i]) : read_one(ret, arg[i]))
			rc = GF_EXIT_NO;
	}
	return rc;
}

void gf_files_deinit(struct gf_files *s)
{
	for (size_t i = 0; i < s->n; i++)
		gf_source_free(&s->src[i]);
	free(s->src);
	memset(s, 0, sizeof *s);
}

int gf_ctl_target_kind(const struct gf_ctl *ctl, enum gf_target_kind *ret)
{
	static const char *const names[GF_TARGET_COUNT] = { "host", "vm", "image", "trace" };
	const char *want = ctl->val[GF_O_TARGET];

	*ret = GF_TARGET_HOST;
	if (!want)
		return 0;
	for (int i = 0; i < GF_TARGET_COUNT; i++)
		if (!strcmp(names[i], want)) {
			*ret = (enum gf_target_kind)i;
			return 0;
		}
	return gf_ctl_misuse(ctl, "--target is host, vm, image or trace, not `%s`", want);
}

static int write_all(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n) {
		ssize_t k = write(fd, at, n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		at += k;
		n -= (size_t)k;
	}
	return 0;
}

/* Through a temporary file beside it, so that a full disk leaves the old one. */
static int replace(const char *path, const void *p, size_t n, mode_t mode, struct gf_err *err)
{
	char tmp[4096];
	int fd, rc;

	if (snprintf(tmp, sizeof tmp, "%s.XXXXXX", path) >= (int)sizeof tmp)
		return gf_err_set(err, ENAMETOOLONG, "%s: %s", path, strerror(ENAMETOOLONG));
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		return gf_err_set(err, errno, "%s: %s", path, strerror(errno));
	rc = write_all(fd, p, n);
	if (!rc && (fchmod(fd, mode) || fsync(fd)))
		rc = -errno;
	if (close(fd) && !rc)
		rc = -errno;
	if (!rc && rename(tmp, path))
		rc = -errno;
	if (rc) {
		unlink(tmp);
		return gf_err_set(err, -rc, "%s: %s", path, strerror(-rc));
	}
	return 0;
}

int gf_ctl_write_file(const char *path, const void *p, size_t n, struct gf_err *err)
{
	struct stat st;
	char real[4096];
	mode_t mask;
	int fd, rc;

	if (!strcmp(path, "-")) {
		rc = write_all(STDOUT_FILENO, p, n);
		return rc ? gf_err_set(err, -rc, "standard output: %s", strerror(-rc)) : 0;
	}
	if (!stat(path, &st)) {
		if (S_ISREG(st.st_mode)) /* behind a symbolic link, too: the link stays one */
			return replace(realpath(path, real) ? real : path, p, n, st.st_mode & 07777, err);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			return gf_err_set(err, errno, "%s: %s", path, strerror(errno));
		rc = write_all(fd, p, n);
		close(fd);
		return rc ? gf_err_set(err, -rc, "%s: %s", path, strerror(-rc)) : 0;
	}
	mask = umask(0);
	umask(mask);
	return replace(path, p, n, 0666 & ~mask, err);
}
