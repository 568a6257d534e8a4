/* SPDX-License-Identifier: MIT */
#include "daemon/log.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/outbox.h"

static _Atomic int max_level = LOG_INFO;
static bool with_level;
static struct gf_outbox *outbox;

/* systemd.exec(5): device and inode of the stream, in decimal, joined by a colon. */
static bool stderr_is_journal(void)
{
	const char *e = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return e && sscanf(e, "%llu:%llu", &dev, &ino) == 2 && !fstat(STDERR_FILENO, &st) &&
	       st.st_dev == (dev_t)dev && st.st_ino == (ino_t)ino;
}

void gf_log_setup(int level, enum gf_log_journal journal)
{
	max_level = level;
	with_level = journal == GF_LOG_JOURNAL_YES || (journal == GF_LOG_JOURNAL_AUTO && stderr_is_journal());
}

void gf_log_set_level(int level)
{
	max_level = level;
}

static void write_out(void *arg, const char *line, size_t n)
{
	(void)arg;
	while (n) {
		ssize_t w = write(STDERR_FILENO, line, n);
		if (w < 0 && errno == EAGAIN) {
			/* someone shares the terminal with us and made it non-blocking */
			struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
			if (poll(&p, 1, -1) < 0 && errno != EINTR)
				return;
			continue;
		}
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return; /* nobody is there to be told */
		line += w;
		n -= (size_t)w;
	}
}

int gf_log_start(struct gf_err *err)
{
	struct gf_outbox_opts o = { .name = "gpufasd-log", .max_bytes = 1u << 20, .write = write_out };
	return gf_outbox_create(&o, &outbox, err);
}

void gf_log_stop(void)
{
	struct gf_outbox *o = outbox;
	outbox = NULL;
	gf_outbox_destroy(o);
}

uint64_t gf_log_lost(void)
{
	return outbox ? gf_outbox_lost(outbox) : 0;
}

void gf_log(int level, const char *fmt, ...)
{
	char text[8192], line[sizeof text + 8];
	va_list ap;

	if (level > max_level)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	for (char *save = NULL, *s = strtok_r(text, "\n", &save); s; s = strtok_r(NULL, "\n", &save)) {
		int n = with_level ? snprintf(line, sizeof line, "<%d>%s\n", level, s) :
				     snprintf(line, sizeof line, "%s\n", s);
		if (outbox)
			gf_outbox_put(outbox, line, (size_t)n);
		else
			write_out(NULL, line, (size_t)n);
	}
}
