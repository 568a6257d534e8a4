/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compiler/source.h"

#define SOURCE_MAX (4u << 20)

/* Reads fd to its end; the size that stat gives is no promise (pipes, /proc). */
static int read_all(int fd, const char *path, char **ret_text, size_t *ret_len, struct gf_err *err)
{
	size_t cap = 64 << 10, len = 0;
	char *text = malloc(cap);
	if (!text)
		return gf_err_set(err, ENOMEM, "%s: out of memory", path);
	for (;;) {
		ssize_t got = read(fd, text + len, cap - len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			int e = errno;
			free(text);
			return gf_err_set(err, e, "%s: cannot be read: %s", path, strerror(e));
		}
		if (!got)
			break;
		len += (size_t)got;
		if (len > SOURCE_MAX) {
			free(text);
			return gf_err_set(err, EFBIG, "%s: is larger than 4 MiB; split it into several files", path);
		}
		if (len == cap) {
			char *more = realloc(text, cap * 2);
			if (!more) {
				free(text);
				return gf_err_set(err, ENOMEM, "%s: out of memory", path);
			}
			text = more;
			cap *= 2;
		}
	}
	/* What Windows' editors put first is no text, and would move the first line's columns. */
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		memmove(text, text + 3, len -= 3);
	*ret_text = text;
	*ret_len = len;
	return 0;
}

int gf_source_read(const char *path, struct gf_source *ret, struct gf_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		int e = errno;
		return gf_err_set(err, e, "%s: cannot be opened: %s", path, strerror(e));
	}
	struct stat st;
	if (!fstat(fd, &st) && S_ISDIR(st.st_mode)) {
		close(fd);
		return gf_err_set(err, EISDIR, "%s: is a directory; name a file", path);
	}
	char *text = NULL, *name = NULL;
	size_t len = 0;
	int rc = read_all(fd, path, &text, &len, err);
	close(fd);
	if (rc)
		return rc;
	name = strdup(path);
	if (!name) {
		free(text);
		return gf_err_set(err, ENOMEM, "%s: out of memory", path);
	}
	*ret = (struct gf_source){ .name = name, .text = text, .len = len };
	return 0;
}

void gf_source_free(struct gf_source *s)
{
	free((char *)s->name);
	free((char *)s->text);
	*s = (struct gf_source){ 0 };
}

void gf_source_locate(const struct gf_source *s, uint32_t off, uint32_t *ret_line, uint32_t *ret_col)
{
	uint32_t line = 1, start = 0;
	size_t end = off < s->len ? off : s->len;
	const char *at = s->text;
	while (at && (at = memchr(s->text + start, '\n', end - start))) {
		start = (uint32_t)(at - s->text) + 1;
		line++;
	}
	*ret_line = line;
	*ret_col = (uint32_t)end - start + 1;
}
