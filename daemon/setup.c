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

int gf_daemon_read_config(const struct gf_options *o, struct gf_config **ret, struct gf_policy_report *rep)
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

/* Verdicts on processes go on to the actuator. log, notify and run are complete
 * with their event: the reporter does them. */
static size_t verdicts(void *arg, struct gf_verdict *buf, size_t n)
{
	size_t got, kept;

	do {
		got = gf_engine_verdicts(arg, buf, n);
		kept = 0;
		for (size_t i = 0; i < got; i++)
			if (buf[i].action != GF_ACT_LOG && buf[i].action != GF_ACT_NOTIFY && buf[i].action != GF_ACT_RUN)
				buf[kept++] = buf[i];
	} while (got && !kept); /* 0 means "no more" to the actuator */
	return kept;
}

static size_t engine_events(void *arg, struct gf_event *buf, size_t n)
{
	return gf_engine_events(arg, buf, n);
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
	struct gf_reporter_opts o = {
		.source = engine_events, .source_arg = d->engine, .source_fd = gf_engine_event_fd(d->engine),
		.policies = d->policies, .hooks = d->hooks, .audit = d->audit, .target = c->target_name,
	};
	if (!r)
		r = gf_reporter_create(&o, &rep, err);
	if (!r)
		__atomic_store_n(&d->reporter, rep, __ATOMIC_RELEASE);
	return r;
}

static int start_engine(struct gf_daemon *d, struct gf_err *err)
{
	struct gf_config *c = d->config;
	struct gf_host_opts h = { .sampler = c->sampler, .max_tasks = c->max_tasks };
	struct gf_engine_opts o = {
		.period_ns = c->period_ns, .observe = d->observe, .budget_n = c->budget_n,
		.budget_window_ns = c->budget_window_ns, .rt_priority = c->rt_priority, .mlock = c->mlock,
	};
	int r;

	d->engine_why = "as configured";
	if (c->engine == GF_ENGINE_GPU)
		return gf_err_set(err, ENOTSUP, "the GPU engine is not in this build; use --engine auto or --engine cpu");
	if (c->engine == GF_ENGINE_AUTO)
		d->engine_why = "auto: the GPU engine is not in this build";
	r = gf_host_create(&h, &d->target, err);
	if (r)
		return r;
	snprintf(d->target->name, sizeof d->target->name, "%s", c->target_name);
	o.max_tasks = d->target->sample.cap ? d->target->sample.cap : c->max_tasks;
	return gf_engine_create(d->target, d->policy->img, &o, &d->engine, err);
}

/* One below the engine: signals may wait for a tick, no tick for signals. Where
 * that is not permitted an ordinary thread is better than none, as for the engine. */
static int start_actuator(struct gf_daemon *d, struct gf_err *err)
{
	struct gf_actuator_opts a = { .rt_priority = d->config->rt_priority ? d->config->rt_priority - 1 : 0 };
	int fd = gf_engine_verdict_fd(d->engine);
	int r = gf_actuator_create(&a, fd, verdicts, d->engine, gf_reporter_sink, d->reporter, &d->actuator, err);

	if (r != -EPERM || !a.rt_priority)
		return r;
	gf_log(LOG_WARNING, "signals are sent from an ordinary thread: %s", err->text);
	a.rt_priority = 0;
	return gf_actuator_create(&a, fd, verdicts, d->engine, gf_reporter_sink, d->reporter, &d->actuator, err);
}

static int start_control(struct gf_daemon *d, struct gf_err *err)
{
	struct gf_control_opts o = {
		.path = d->options.socket ? d->options.socket : d->config->socket, .group = d->config->group,
		.mode = d->config->socket_mode, .handle = gf_daemon_command, .arg = d, .reporter = d->reporter,
	};
	return gf_control_create(&o, &d->control, err);
}

static int load_policy(struct gf_daemon *d, struct gf_err *err)
{
	struct gf_policy_report rep = { 0 };
	int r = gf_policy_load(d->config, &d->options.policy, &d->policy, &rep);

	if (rep.text)
		gf_log(r ? LOG_ERR : LOG_WARNING, "%s", rep.text);
	for (size_t i = 0; i < rep.notes.n; i++)
		gf_log(LOG_WARNING, "%s", rep.notes.v[i]);
	if (r)
		*err = rep.err;
	gf_policy_report_deinit(&rep);
	if (r)
		return r;
	if (!d->policy->rules)
		gf_log(LOG_WARNING, "the policy has no rules: nothing will be done");
	r = gf_policies_create(&d->policies);
	if (r)
		return gf_err_set(err, -r, "out of memory");
	gf_policies_add(d->policies, d->policy);
	return 0;
}

int gf_daemon_start(struct gf_daemon *d, struct gf_err *err)
{
	int r;

	d->started_ns = gf_daemon_clock(CLOCK_MONOTONIC);
	d->observe = d->config->observe || d->options.observe;
	shield();
	d->reload_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->reload_fd < 0)
		return gf_err_set(err, errno, "cannot make an eventfd: %s", strerror(errno));
	r = gf_log_start(err); /* before there are threads that log */
	if (!r)
		r = load_policy(d, err);
	if (!r)
		r = start_engine(d, err);
	if (!r)
		r = start_reporter(d, err);
	/* before anything can act: a second daemon must not act beside the first */
	if (!r)
		r = start_control(d, err);
	if (!r)
		r = start_actuator(d, err);
	if (!r)
		r = gf_engine_start(d->engine, err);
	if (r)
		return r;
	gf_reporter_say(d->reporter, "gpufasd " GF_VERSION " started: %u rule%s, %s mode, period %g ms, sampling by %s",
			d->policy->rules, d->policy->rules == 1 ? "" : "s", d->observe ? "observe" : "enforce", (double)d->config->period_ns / 1e6, d->target->road);
	return 0;
}

void gf_daemon_stop(struct gf_daemon *d)
{
	gf_daemon_reload_wait(d);
	while (d->laters)
		json_decref(d->later[--d->laters].request);
	gf_control_destroy(d->control);
	if (d->engine)
		gf_engine_stop(d->engine);
	bool had_started = d->actuator;
	gf_actuator_destroy(d->actuator); /* its last verdicts are still in the engine */
	if (had_started)
		gf_reporter_say(d->reporter, "gpufasd stopped");
	gf_reporter_stop(d->reporter);
	gf_hooks_destroy(d->hooks);
	gf_audit_destroy(d->audit); /* may still have something to say */
	gf_reporter_destroy(d->reporter);
	gf_log_stop();
	gf_engine_destroy(d->engine);
	gf_target_destroy(d->target);
	gf_view_free(d->view);
	gf_policies_destroy(d->policies);
	gf_policy_put(d->policy);
	if (d->reload_fd >= 0)
		close(d->reload_fd);
}
