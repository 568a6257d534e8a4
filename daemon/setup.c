/* SPDX-License-Identifier: MIT
 *
 * Start and stop: which part after which.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/daemon.h"

uint64_t gf_daemon_clock(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int read_file(const struct gf_options *o, struct gf_config **ret, struct gf_policy_report *rep)
{
	const char *path = o->config_path ? o->config_path : GF_CONFIG_PATH;
	struct gf_source src = { 0 };
	struct gf_diags diags = { 0 };
	size_t len;
	int r;

	if (!o->config_path && access(path, F_OK) && errno == ENOENT) {
		char note[256];
		snprintf(note, sizeof note, "there is no %s: everything is as built in", path);
		r = gf_strlist_add(&rep->notes, note);
		return r ? r : gf_config_default(ret);
	}
	r = gf_source_read(path, &src, &rep->err);
	if (r)
		return r;
	r = gf_config_parse(&src, &diags, ret);
	if (r == -EINVAL) {
		gf_err_set(&rep->err, EINVAL, "the configuration %s has %zu error%s", path, diags.errors, diags.errors == 1 ? "" : "s");
		FILE *f = open_memstream(&rep->text, &len);
		if (f) {
			gf_diags_print(&diags, &src, 1, f, false);
			fclose(f);
		}
		f = open_memstream(&rep->diags_json, &len);
		if (f) {
			gf_diags_json(&diags, &src, 1, f);
			fclose(f);
			while (len && rep->diags_json[len - 1] == '\n')
				rep->diags_json[--len] = 0;
		}
	} else if (r) {
		gf_err_set(&rep->err, -r, "cannot read %s: %s", path, strerror(-r));
	}
	gf_diags_deinit(&diags);
	gf_source_free(&src);
	return r;
}

int gf_daemon_read_config(const struct gf_options *o, struct gf_config **ret, struct gf_policy_report *rep)
{
	int r = read_file(o, ret, rep);

	/* at every reload too: what the command line says is no change of the file */
	if (!r && o->engine >= 0)
		(*ret)->engine = (enum gf_engine_kind)o->engine;
	return r;
}

/* The OOM killer should take the hog, not the one who hunts it. */
static void shield(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "-900", 4) != 4)
		gf_log(LOG_DEBUG, "the OOM score stays as it is: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
#if !defined(__SANITIZE_ADDRESS__)
	prctl(PR_SET_DUMPABLE, 0); /* command lines of others do not belong into a core file */
#endif
	umask(077);
	/* an arena a thread is memory for speed that is not needed here */
	mallopt(M_ARENA_MAX, 2);
	/* fixed, or one large answer makes glibc keep all later ones instead of giving them back */
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
	mallopt(M_TRIM_THRESHOLD, 256 << 10);
}

static void audit_trouble(void *arg, const char *text, uint64_t lost)
{
	struct gf_daemon *d = arg;
	/* the audit is made first: it may fail before the reporter is there to hear of it */
	struct gf_reporter *r = __atomic_load_n(&d->reporter, __ATOMIC_ACQUIRE);

	if (!r)
		gf_log(LOG_ERR, "%s", text ? text : "the audit file is written again");
	else if (text)
		gf_reporter_say(r, "%s", text);
	else
		gf_reporter_say(r, "the audit file is written again; %llu events are missing in it", (unsigned long long)lost);
}

static int start_reporter(struct gf_daemon *d, struct gf_err *err)
{
	struct gf_config *c = d->config;
	struct gf_reporter *rep = NULL;
	struct gf_audit_opts a = {
		.path = c->audit_path, .max_size = c->audit_max_size, .keep = c->audit_keep, .trouble = audit_trouble, .arg = d,
	};
	int r = gf_hooks_create(c, GF_HOOK_TIMEOUT_S, &d->hooks, err);

	if (!r && *c->audit_path)
		r = gf_audit_create(&a, &d->audit, err);
	struct gf_reporter_source *v = calloc(d->watches + 1, sizeof *v);
	if (!r && !v)
		r = gf_err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < d->watches && !r; i++)
		v[i] = gf_watch_source(&d->watch[i]);
	struct gf_reporter_opts o = { .source = v, .sources = d->watches, .hooks = d->hooks, .audit = d->audit };
	if (!r)
		r = gf_reporter_create(&o, &rep, err);
	free(v);
	if (!r)
		__atomic_store_n(&d->reporter, rep, __ATOMIC_RELEASE);
	return r;
}

static int choose_engine(struct gf_daemon *d, struct gf_err *err)
{
	int r = gf_gpus_choose_here(d->config, &d->engine_kind, d->engine_why, sizeof d->engine_why, err);

	if (!r && d->engine_kind == GF_ENGINE_CPU && d->config->engine == GF_ENGINE_AUTO)
		gf_log(LOG_INFO, "ticks run on the CPU; %s", d->engine_why);
	else if (!r && d->engine_kind != GF_ENGINE_CPU && *d->engine_why)
		gf_log(LOG_WARNING, "%s", d->engine_why);
	return r;
}

static int start_control(struct gf_daemon *d, struct gf_err *err)
{
	struct gf_control_opts o = {
		.path = d->options.socket ? d->options.socket : d->config->socket, .group = d->config->group,
		.mode = d->config->socket_mode, .handle = gf_daemon_command, .arg = d, .reporter = d->reporter,
	};
	return gf_control_create(&o, &d->control, err);
}

/* ", on GPU 0 (NVIDIA H100)"; where no engine can be on one, nothing. A target that stays on the CPU says why. */
static const char *say_place(struct gf_daemon *d, const struct gf_watch *w, char *buf, size_t n)
{
	struct gf_engine_stats st;
	char place[100];

	buf[0] = 0;
	if (d->engine_kind == GF_ENGINE_CPU)
		return buf;
	gf_engine_stats(w->engine, &st);
	snprintf(buf, n, ", on %s", gf_engine_place(&st, place, sizeof place));
	if (st.kind == GF_ENGINE_CPU && *st.why)
		gf_reporter_say_of(d->reporter, w->index, LOG_WARNING, "ticks run on the CPU: %s", st.why);
	return buf;
}

static void say_started(struct gf_daemon *d)
{
	const struct gf_watch *w = d->watch;
	uint32_t rules = gf_watches_rules(d);
	char on[128], road[512];
	const char *mode = gf_watches_observe(d) ? "observe" : "enforce";

	if (d->watches == 1) {
		gf_reporter_say(d->reporter, "gpufasd " GF_VERSION " started: %u rule%s, %s mode, period %g ms, sampling by %s%s",
				rules, rules == 1 ? "" : "s", mode, (double)w->period_ns / 1e6, gf_target_describe(w->target, road, sizeof road), say_place(d, w, on, sizeof on));
		return;
	}
	gf_reporter_say(d->reporter, "gpufasd " GF_VERSION " started: %zu targets, %s mode", d->watches, mode);
	for (size_t i = 0; i < d->watches; i++, w++)
		gf_reporter_say_of(d->reporter, w->index, LOG_NOTICE, "watched as %s %s: %u rule%s, %s mode, period %g ms%s%s%s",
				   w->config->kind == GF_TARGET_IMAGE ? "an" : "a", gf_config_kind(w->config->kind), w->policy->rules,
				   w->policy->rules == 1 ? "" : "s", w->observe ? "observe" : "enforce", (double)w->period_ns / 1e6,
				   w->config->kind == GF_TARGET_HOST ? ", sampling by " : "", w->config->kind == GF_TARGET_HOST ? gf_target_describe(w->target, road, sizeof road) : "",
				   say_place(d, w, on, sizeof on));
}

int gf_daemon_start(struct gf_daemon *d, struct gf_err *err)
{
	int r;

	d->started_ns = gf_daemon_clock(CLOCK_MONOTONIC);
	d->observe = d->config->observe || d->options.observe;
	shield();
	d->reload_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	d->ps_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->reload_fd < 0 || d->ps_fd < 0)
		return gf_err_set(err, errno, "cannot make an eventfd: %s", strerror(errno));
	r = gf_log_start(err); /* before there are threads that log */
	if (!r)
		r = choose_engine(d, err);
	if (!r)
		r = gf_watches_create(d, err);
	if (!r)
		r = start_reporter(d, err);
	/* before anything can act: a second daemon must not act beside the first */
	if (!r)
		r = start_control(d, err);
	if (!r) /* the first tick is recorded, too */
		r = gf_recorder_create(d, &d->recorder, err);
	if (!r)
		r = gf_watches_start(d, err);
	if (!r)
		gf_recorder_start(d->recorder);
	if (!r && d->engine_kind != GF_ENGINE_CPU)
		r = gf_gpus_create(d, &d->gpus, err);
	d->running = !r;
	if (!r)
		say_started(d);
	return r;
}

void gf_daemon_stop(struct gf_daemon *d)
{
	gf_daemon_reload_wait(d);
	while (d->laters)
		json_decref(d->later[--d->laters].request);
	if (d->control)
		gf_watches_end_jobs(d);
	gf_gpus_destroy(d->gpus);
	gf_control_destroy(d->control);
	gf_watches_stop(d);
	gf_recorder_destroy(d->recorder); /* with the last tick */
	d->recorder = NULL;
	if (d->running)
		gf_reporter_say(d->reporter, "gpufasd stopped");
	gf_reporter_stop(d->reporter);
	gf_hooks_destroy(d->hooks);
	gf_audit_destroy(d->audit); /* may still have something to say */
	gf_watches_destroy(d); /* so have guests' keepers, until they have ended */
	gf_reporter_destroy(d->reporter);
	gf_log_stop();
	if (d->reload_fd >= 0)
		close(d->reload_fd);
	if (d->ps_fd >= 0)
		close(d->ps_fd);
}
