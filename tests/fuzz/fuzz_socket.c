/* SPDX-License-Identifier: MIT
 *
 * Socket messages, to a whole daemon in this process: the input is what one
 * client sends before it closes its side. Whatever that is, the client is answered
 * line by line in JSON, or dropped, and the daemon answers the next client.
 * The daemon runs with --observe, which no message can undo: no signal is sent.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/daemon.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct gf_daemon daemon_;
static char dir[64], path[96];

static void write_file(const char *name, const char *text)
{
	char p[160];

	snprintf(p, sizeof p, "%s/%s", dir, name);
	FILE *f = fopen(p, "we");
	if (!f || fputs(text, f) < 0 || fclose(f))
		abort();
}

static void clean(void)
{
	static const char *const files[] = { "control.sock", "control.sock.lock", "gpufas.yaml", "p/x.policy", "p", "" };
	char p[160];

	gf_daemon_stop(&daemon_);
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		snprintf(p, sizeof p, "%s/%s", dir, files[i]);
		remove(p);
	}
}

static void start(void)
{
	char text[1024], config[128];
	struct gf_err err = { "" };

	strcpy(dir, "/tmp/gpufas-fuzz.XXXXXX");
	if (!mkdtemp(dir))
		abort();
	snprintf(path, sizeof path, "%s/control.sock", dir);
	snprintf(config, sizeof config, "%s/p", dir);
	mkdir(config, 0700);
	write_file("p/x.policy", "rule one if mem.available < 1% for 5s then SIGTERM largest cooldown 1min\n"
				 "rule two if comm == \"no-such-name\" and rss > 1TiB then SIGKILL it cooldown 1min\n");
	snprintf(text, sizeof text,
		 "period: 100ms\nmode: observe\nengine:\n  realtime: no\n  mlock: no\n"
		 "targets:\n  - name: here\n    kind: host\n    sampler: proc\n    max-tasks: 1024\n"
		 "policy:\n  directories: [%s/p]\naudit:\n  path: no\n"
		 "control:\n  socket: %s\n  group: \"\"\n  mode: 0600\nlog:\n  level: error\n  journal: no\n", dir, path);
	write_file("gpufas.yaml", text);
	snprintf(config, sizeof config, "%s/gpufas.yaml", dir);
	daemon_ = (struct gf_daemon){ .reload_fd = -1, .notify = { .fd = -1 } };
	daemon_.options = (struct gf_options){ .config_path = strdup(config), .observe = true, .engine = -1 };
	gf_log_setup(LOG_ERR, GF_LOG_JOURNAL_NO);
	struct gf_policy_report rep = { 0 };
	if (gf_daemon_read_config(&daemon_.options, &daemon_.config, &rep)) {
		fprintf(stderr, "fuzz_socket: %s%s\n", rep.text ? rep.text : "", rep.err.text);
		abort();
	}
	gf_policy_report_deinit(&rep);
	if (gf_daemon_start(&daemon_, &err)) {
		fprintf(stderr, "fuzz_socket: the daemon does not start: %s\n", err.text);
		abort();
	}
	atexit(clean);
}

/* One turn of the daemon's main loop, waiting at most ms. */
static void turn(int ms)
{
	struct pollfd p[GF_CTL_MAX_CLIENTS + 3];
	size_t n = gf_control_prepare(daemon_.control, p);

	p[n] = (struct pollfd){ .fd = daemon_.reload_fd, .events = POLLIN };
	if (poll(p, n + 1, ms) < 0)
		return;
	gf_control_run(daemon_.control, p, n);
	if (p[n].revents)
		gf_daemon_reload_done(&daemon_);
	gf_daemon_ps_done(&daemon_);
	gf_daemon_later_due(&daemon_);
}

static int dial(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	strcpy(at.sun_path, path);
	assert(fd >= 0 && !connect(fd, (struct sockaddr *)&at, sizeof at));
	return fd;
}

/* Every line that the daemon says must be JSON: read and looked at as it comes. */
struct answer {
	char *p;
	size_t n, cap;
};

static void look(struct answer *a)
{
	char *nl;

	while (a->n && (nl = memchr(a->p, '\n', a->n))) {
		size_t len = (size_t)(nl - a->p);
		json_t *j = json_loadb(a->p, len, 0, NULL);
		assert(j && json_is_object(j));
		json_decref(j);
		a->n -= len + 1;
		memmove(a->p, nl + 1, a->n);
	}
}

/* Sends, closes its side, and reads until the daemon closes too. Bounded. */
static void talk(const uint8_t *data, size_t size)
{
	struct answer a = { 0 };
	size_t sent = 0;
	bool shut = false;
	int fd = dial();

	for (int i = 0; i < 2000; i++) {
		if (sent < size) {
			ssize_t n = send(fd, data + sent, size - sent, MSG_NOSIGNAL);
			if (n > 0)
				sent += (size_t)n;
			else if (n < 0 && errno != EAGAIN)
				sent = size;
		}
		if (sent == size && !shut) {
			shutdown(fd, SHUT_WR);
			shut = true;
		}
		turn(i < 20 ? 0 : 1);
		if (a.n == a.cap) {
			a.cap = a.cap ? 2 * a.cap : 65536;
			a.p = realloc(a.p, a.cap);
			assert(a.p);
		}
		ssize_t n = recv(fd, a.p + a.n, a.cap - a.n, 0);
		if (n > 0) {
			a.n += (size_t)n;
			look(&a);
		} else if (n == 0 || errno != EAGAIN) {
			break;
		}
	}
	assert(!a.n || a.n < a.cap);
	free(a.p);
	close(fd);
	turn(0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char ping[] = "{\"v\":1,\"cmd\":\"ping\"}\n";
	char buf[512] = "";
	ssize_t n = 0;

	if (!daemon_.control)
		start();
	talk(data, size);
	int fd = dial();
	assert(send(fd, ping, sizeof ping - 1, MSG_NOSIGNAL) == (ssize_t)sizeof ping - 1);
	for (int i = 0; i < 2000 && n <= 0; i++) {
		turn(1);
		n = recv(fd, buf, sizeof buf - 1, 0);
	}
	assert(n > 0 && strstr(buf, "\"ok\":true"));
	close(fd);
	turn(0);
	assert(daemon_.observe);
	return 0;
}
