/* SPDX-License-Identifier: MIT
 *
 * fakesock SOCKET DIR: a daemon made of files, for tests of the control client.
 *
 * For a request {"cmd":"X"} the first of these decides:
 *   DIR/X.stall  nothing is ever answered
 *   DIR/X.raw    its bytes are sent as they are and the connection is closed
 *   DIR/X.json   sent as one line ({"v":1,"ok":true,"data":...} is its own business)
 * and without any an error answer is sent. After an answer to a request with
 * "follow":true the lines of DIR/follow.jsonl are sent and the connection is held
 * until DIR/drop exists (removed, connection closed). Each request's line is
 * appended to DIR/log. Serves each client in a child of its own; ends with its parent.
 */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char *dir;

static void path_of(const char *cmd, const char *ext, char *buf, size_t n)
{
	snprintf(buf, n, "%s/%s%s", dir, cmd, ext);
}

static void send_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
		if (k <= 0)
			_exit(0);
		p += k;
		n -= (size_t)k;
	}
}

static void send_raw(int fd, const char *path)
{
	char buf[65536];
	size_t n;
	FILE *f = fopen(path, "re");

	while (f && (n = fread(buf, 1, sizeof buf, f)) > 0)
		send_all(fd, buf, n);
	if (f)
		fclose(f);
}

static void follow(int fd)
{
	char path[512], drop[512];

	path_of("follow", ".jsonl", path, sizeof path);
	path_of("drop", "", drop, sizeof drop);
	send_raw(fd, path);
	while (access(drop, F_OK))
		usleep(20000);
	unlink(drop);
	_exit(0);
}

static void answer(int fd, const json_t *q)
{
	const char *cmd = json_string_value(json_object_get(q, "cmd"));
	char path[512];
	json_t *j;
	char *s;

	if (!cmd || strchr(cmd, '/'))
		_exit(0);
	path_of(cmd, ".stall", path, sizeof path);
	while (!access(path, F_OK))
		usleep(20000);
	path_of(cmd, ".raw", path, sizeof path);
	if (!access(path, F_OK)) {
		send_raw(fd, path);
		_exit(0);
	}
	path_of(cmd, ".json", path, sizeof path);
	j = json_load_file(path, 0, NULL);
	if (!j)
		j = json_pack("{s:i, s:b, s:s+}", "v", 1, "ok", 0, "error", "there is no answer for ", cmd);
	s = json_dumps(j, JSON_COMPACT);
	if (!s)
		_exit(1);
	send_all(fd, s, strlen(s));
	send_all(fd, "\n", 1);
	free(s);
	json_decref(j);
	if (json_is_true(json_object_get(q, "follow")))
		follow(fd);
}

static void serve(int fd)
{
	FILE *in = fdopen(fd, "re");
	char *line = NULL, log[512];
	size_t cap = 0;
	ssize_t n;

	path_of("log", "", log, sizeof log);
	while (in && (n = getline(&line, &cap, in)) > 0) {
		json_t *q = json_loadb(line, (size_t)n, 0, NULL);
		FILE *f = fopen(log, "ae");
		if (f) {
			fwrite(line, 1, (size_t)n, f);
			fclose(f);
		}
		if (!q)
			break;
		answer(fd, q);
		json_decref(q);
	}
	free(line);
	_exit(0);
}

int main(int argc, char **argv)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int s;

	if (argc != 3 || strlen(argv[1]) >= sizeof a.sun_path - 1) {
		fprintf(stderr, "usage: fakesock SOCKET DIR\n");
		return 2;
	}
	dir = argv[2];
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGCHLD, SIG_IGN);
	memcpy(a.sun_path, argv[1], strlen(argv[1]) + 1);
	/* Under its name it is to be seen only when it listens. */
	strcat(a.sun_path, "+");
	unlink(a.sun_path);
	s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s < 0 || bind(s, (struct sockaddr *)&a, sizeof a) || listen(s, 16) || rename(a.sun_path, argv[1])) {
		perror("fakesock");
		return 1;
	}
	for (;;) {
		int fd = accept(s, NULL, NULL);
		if (fd < 0 && errno != EINTR)
			return 1;
		if (fd < 0)
			continue;
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close(s);
			serve(fd);
		}
		close(fd);
	}
}
