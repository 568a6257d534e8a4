/* SPDX-License-Identifier: MIT
 *
 * gpufasd: command line, signals, the loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "gpu/dev.h"
#include "gpufas/control.h"

/* Whose devices they are: this machine's, or those that tests make. */
#ifndef GF_DEV
#define GF_DEV gf_dev_cuda
#endif

static void usage(FILE *f)
{
	fputs("usage: gpufasd [options]\n"
	      "  -c, --config FILE      configuration (" GF_CONFIG_PATH ")\n"
	      "      --observe          report what would be done, do nothing\n"
	      "      --engine KIND      auto, cpu or gpu\n"
	      "      --check-config     check configuration and policies, and exit\n"
	      "      --json             say what --check-config has found as JSON\n"
	      "      --socket PATH      control socket (" GF_CTL_SOCKET ", or $" GF_CTL_SOCKET_ENV ")\n"
	      "      --policy FILE      this policy instead of the configured ones; may be repeated\n"
	      "  -V, --version\n"
	      "  -h, --help\n"
	      "Signals: SIGHUP reloads, SIGTERM and SIGINT stop.\n", f);
}

static int engine_kind(const char *s)
{
	static const char *const names[] = { [GF_ENGINE_CPU] = "cpu", [GF_ENGINE_AUTO] = "auto", [GF_ENGINE_GPU] = "gpu" };

	for (int i = 0; i < 3; i++)
		if (!strcmp(names[i], s))
			return i;
	return -1;
}

/* 0, or the status to exit with + 1. */
static int command_line(int argc, char **argv, struct gf_options *o)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' }, { "observe", no_argument, NULL, 'o' },
		{ "engine", required_argument, NULL, 'e' }, { "check-config", no_argument, NULL, 'k' },
		{ "json", no_argument, NULL, 'j' },
		{ "socket", required_argument, NULL, 's' }, { "policy", required_argument, NULL, 'p' },
		{ "version", no_argument, NULL, 'V' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	int opt;

	o->engine = -1;
	o->socket = getenv(GF_CTL_SOCKET_ENV);
	if (o->socket && !*o->socket)
		o->socket = NULL;
	while ((opt = getopt_long(argc, argv, "c:Vh", longs, NULL)) != -1)
		switch (opt) {
		case 'c':
			o->config_path = optarg;
			break;
		case 'o':
			o->observe = true;
			break;
		case 'e':
			o->engine = engine_kind(optarg);
			if (o->engine < 0) {
				fprintf(stderr, "gpufasd: --engine is auto, cpu or gpu, not \"%s\"\n", optarg);
				return 3;
			}
			break;
		case 'k':
			o->check = true;
			break;
		case 'j':
			o->json = true;
			break;
		case 's':
			o->socket = optarg;
			break;
		case 'p':
			if (gf_strlist_add(&o->policy, optarg))
				return 2;
			break;
		case 'V':
			puts("gpufasd " GF_VERSION);
			return 1;
		case 'h':
			usage(stdout);
			return 1;
		default:
			usage(stderr);
			return 3;
		}
	if (optind < argc) {
		fprintf(stderr, "gpufasd: \"%s\" is not an option; a configuration is named by -c FILE\n", argv[optind]);
		usage(stderr);
		return 3;
	}
	if (o->json && !o->check) {
		fprintf(stderr, "gpufasd: --json is for --check-config\n");
		return 3;
	}
	return 0;
}

static int read_config(const struct gf_options *o, struct gf_config **ret)
{
	struct gf_policy_report rep = { 0 };
	int r = gf_daemon_read_config(o, ret, &rep);

	if (!r) {
		gf_log_setup((*ret)->log_level, (*ret)->journal);
	}
	if (rep.text)
		gf_log(LOG_ERR, "%s", rep.text);
	for (size_t i = 0; i < rep.notes.n; i++)
		gf_log(LOG_NOTICE, "%s", rep.notes.v[i]);
	if (r)
		gf_log(LOG_ERR, "gpufasd: %s", rep.err.text[0] ? rep.err.text : strerror(-r));
	gf_policy_report_deinit(&rep);
	return r;
}

/* The earliest of two timeouts in ms, -1 being never. */
static int earlier(int a, int b)
{
	return a < 0 ? b : b < 0 ? a : GF_MIN(a, b);
}

/* As old as that of the engine whose heart has not beaten for longest. */
static void heartbeat(struct gf_daemon *d)
{
	struct gf_engine_stats st;
	uint64_t oldest = UINT64_MAX;

	if (!d->notify.watchdog_ns)
		return;
	for (size_t i = 0; i < d->watches; i++) {
		gf_engine_stats(d->watch[i].engine, &st);
		/* With a period that is long beside the watchdog's patience, an engine that
		 * sleeps until its next tick is well too. */
		uint64_t now = gf_daemon_clock(CLOCK_MONOTONIC), period = d->watch[i].period_ns;
		bool asleep = period > d->notify.watchdog_ns / 4 && now - st.last_tick_ns < period + d->notify.watchdog_ns / 2;
		oldest = GF_MIN(oldest, asleep && st.last_tick_ns ? now : st.last_tick_ns);
	}
	gf_notify_heartbeat(&d->notify, oldest);
}

/* True: stop. */
static bool take_signals(struct gf_daemon *d, int fd)
{
	struct signalfd_siginfo si;
	bool stop = false;

	while (read(fd, &si, sizeof si) == sizeof si) {
		if (si.ssi_signo == SIGHUP)
			gf_daemon_reload(d, 0);
		else
			stop = true;
	}
	return stop;
}

static void loop(struct gf_daemon *d, int signals)
{
	struct pollfd p[3 + 2 + GF_CTL_MAX_CLIENTS];
	bool stop = false;

	while (!stop) {
		heartbeat(d);
		p[0] = (struct pollfd){ .fd = signals, .events = POLLIN };
		p[1] = (struct pollfd){ .fd = d->reload_fd, .events = POLLIN };
		p[2] = (struct pollfd){ .fd = d->ps_fd, .events = POLLIN };
		size_t n = gf_control_prepare(d->control, p + 3);
		int wait = earlier(earlier(gf_control_timeout(d->control), gf_notify_timeout(&d->notify)), gf_daemon_later_timeout(d));
		if (poll(p, (nfds_t)(n + 3), wait) < 0) {
			/* ENOMEM, say: the very time when nobody may go home */
			for (size_t i = 0; i < n + 3; i++)
				p[i].revents = 0;
			if (errno != EINTR)
				nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
			p[0].revents = POLLIN; /* does not block, and a SIGTERM is heard */
		}
		if (p[0].revents)
			stop = take_signals(d, signals);
		if (p[1].revents)
			gf_daemon_reload_done(d);
		if (p[2].revents)
			gf_daemon_ps_done(d);
		gf_daemon_later_due(d);
		gf_control_run(d->control, p + 3, n);
	}
}

/* Signals come through a descriptor, to this thread alone. */
static int block_signals(void)
{
	sigset_t s;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error of write() like others */
	sigemptyset(&s);
	sigaddset(&s, SIGHUP);
	sigaddset(&s, SIGTERM);
	sigaddset(&s, SIGINT);
	sigprocmask(SIG_BLOCK, &s, NULL);
	return signalfd(-1, &s, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int run(struct gf_daemon *d)
{
	struct gf_err err = { 0 };
	int signals = block_signals();

	if (signals < 0) {
		gf_log(LOG_ERR, "gpufasd: cannot make a signalfd: %s", strerror(errno));
		return -errno;
	}
	gf_notify_init(&d->notify);
	int r = gf_daemon_start(d, &err);
	if (r) {
		gf_log(LOG_ERR, "gpufasd: %s", err.text[0] ? err.text : strerror(-r));
		gf_notify(&d->notify, "STATUS=cannot start: %s\nERRNO=%d", err.text, -r);
	} else {
		gf_notify(&d->notify, "READY=1\nSTATUS=%u rules, %s mode", gf_watches_rules(d), gf_watches_observe(d) ? "observe" : "enforce");
		loop(d, signals);
		gf_notify(&d->notify, "STOPPING=1\nSTATUS=stopping");
	}
	gf_daemon_stop(d);
	gf_notify_deinit(&d->notify);
	close(signals);
	return r;
}

/* Started with stdin, stdout or stderr closed: what is opened next must not get their
 * numbers, or log lines would go into the audit file or to a client. */
static void keep_standard_fds(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			_exit(1);
}

int main(int argc, char **argv)
{
	struct gf_daemon d = { .reload_fd = -1, .ps_fd = -1, .notify = { .fd = -1 } };

	keep_standard_fds();
	gf_dev_backend = &GF_DEV;
	int r = command_line(argc, argv, &d.options);

	if (r)
		return r - 1;
	gf_log_setup(LOG_INFO, GF_LOG_JOURNAL_AUTO);
	if (d.options.check)
		r = gf_daemon_check(&d.options);
	else if (!(r = read_config(&d.options, &d.config)))
		r = run(&d);
	gf_config_free(d.config);
	gf_strlist_deinit(&d.options.policy);
	return r ? 1 : 0;
}
