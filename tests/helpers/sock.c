/* SPDX-License-Identifier: MIT
 *
 * The other end of sockets, for scripts:
 *   sock ask PATH TEXT      sends TEXT and a newline, prints answers until the daemon closes
 *   sock deaf PATH TEXT     sends TEXT over and over and never reads; until it is killed
 *   sock notify PATH        is $NOTIFY_SOCKET: prints what it is told, "ready" first
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int ask(int fd, const char *text)
{
	char buf[65536];
	ssize_t n;

	if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0 || send(fd, "\n", 1, MSG_NOSIGNAL) < 0)
		return 1;
	shutdown(fd, SHUT_WR);
	while ((n = read(fd, buf, sizeof buf)) > 0)
		fwrite(buf, 1, (size_t)n, stdout);
	return 0;
}

static int deaf(int fd, const char *text)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int sent = 0;

	while (poll(&p, 1, -1) > 0 && !(p.revents & (POLLHUP | POLLERR)))
		if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0 || send(fd, "\n", 1, MSG_NOSIGNAL) < 0)
			break;
		else if (++sent == 3) {
			puts("sent");
			fflush(stdout);
		}
	puts("closed");
	return 0;
}

static int notify(int fd)
{
	char buf[4096];
	ssize_t n;

	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("ready");
	while ((n = recv(fd, buf, sizeof buf - 1, 0)) > 0) {
		buf[n] = 0;
		puts(buf);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	if (argc < 3 || strlen(argv[2]) >= sizeof at.sun_path)
		return 2;
	strcpy(at.sun_path, argv[2]);
	int dgram = !strcmp(argv[1], "notify");
	int fd = socket(AF_UNIX, dgram ? SOCK_DGRAM : SOCK_STREAM, 0);
	if (dgram ? bind(fd, (struct sockaddr *)&at, sizeof at) : connect(fd, (struct sockaddr *)&at, sizeof at)) {
		perror(argv[2]);
		return 3;
	}
	if (dgram)
		return notify(fd);
	return argc < 4 ? 2 : !strcmp(argv[1], "deaf") ? deaf(fd, argv[3]) : ask(fd, argv[3]);
}
