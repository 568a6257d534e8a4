/* SPDX-License-Identifier: MIT
 *
 * New policy for old, while everything runs. A thread of its own reads, compiles
 * and verifies, and waits for the engine's swap between two ticks; whatever goes
 * wrong there, the policy in force stays.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/outbox.h"

static int by_fp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

/* Rules that both have. */
static uint32_t kept_rules(const struct gf_policy *a, const struct gf_policy *b)
{
	const struct gf_rule *ra = GF_SEC(struct gf_rule, a->img, GF_SEC_RULE);
	const struct gf_rule *rb = GF_SEC(struct gf_rule, b->img, GF_SEC_RULE);
	uint64_t *fp = calloc(a->rules + 1, sizeof *fp);
	uint32_t n = 0;

	for (uint32_t i = 0; fp && i < a->rules; i++)
		fp[i] = ra[i].fp;
	if (fp)
		qsort(fp, a->rules, sizeof *fp, by_fp);
	for (uint32_t i = 0; fp && i < b->rules; i++)
		n += bsearch(&rb[i].fp, fp, a->rules, sizeof *fp, by_fp) != NULL;
	free(fp);
	return n;
}

static int work(struct gf_reload *r)
{
	int e = gf_daemon_read_config(r->options, &r->config, &r->report);

	if (!e) {
		/* the compiler's advice must be about the period in force, not about one that waits for a restart */
		uint64_t period_ns = r->config->period_ns;
		r->config->period_ns = r->now->period_ns;
		e = gf_policy_load(r->config, &r->options->policy, &r->policy, &r->report);
		r->config->period_ns = period_ns;
	}
	if (!e && (e = gf_hooks_configure(r->hooks, r->config)))
		gf_err_set(&r->report.err, -e, "out of memory");
	if (e)
		return e;
	r->kept = kept_rules(r->old, r->policy);
	/* before the swap: its first events may come before the swap has returned */
	gf_policies_add(r->policies, r->policy);
	e = gf_engine_swap(r->engine, r->policy->img, &r->report.err);
	if (e) {
		gf_policies_add(r->policies, r->old); /* the newest again: it must be the last to be forgotten */
		if (gf_hooks_configure(r->hooks, r->now))
			gf_log(LOG_ERR, "out of memory: hooks are those of the new configuration");
		if (!r->report.err.text[0])
			gf_err_set(&r->report.err, -e, "the engine does not take the policy: %s", strerror(-e));
	}
	return e;
}

static void *reload_thread(void *arg)
{
	struct gf_reload *r = arg;
	uint64_t one = 1;

	r->error = work(r);
	if (write(r->done_fd, &one, sizeof one) < 0)
		gf_log(LOG_ERR, "the reload's eventfd: %s", strerror(errno));
	return NULL;
}

static void begin(struct gf_daemon *d)
{
	struct gf_reload *r = calloc(1, sizeof *r);
	struct gf_err err = { "out of memory" };

	gf_notify_reloading(&d->notify);
	if (r) {
		*r = (struct gf_reload){
			.options = &d->options, .now = d->config, .engine = d->engine, .policies = d->policies,
			.hooks = d->hooks, .old = d->policy, .done_fd = d->reload_fd,
		};
		d->reload = r;
		if (!gf_thread_start(&d->reload_thread, "gpufasd-reload", reload_thread, r, &err))
			return;
		free(r);
		d->reload = NULL;
	}
	gf_reporter_say(d->reporter, "reload failed: %s", err.text);
	gf_notify(&d->notify, "READY=1\nSTATUS=reload failed: %s", err.text);
	for (size_t i = 0; i < d->reload_clients; i++) {
		struct gf_client *c = gf_control_client(d->control, d->reload_client[i]);
		if (c)
			gf_client_fail(c, NULL, "%s", err.text);
	}
	d->reload_clients = 0;
}

void gf_daemon_reload(struct gf_daemon *d, uint64_t client)
{
	bool running = d->reload != NULL;
	uint64_t *list = running ? d->again_client : d->reload_client;
	size_t *n = running ? &d->again_clients : &d->reload_clients;

	/* who asks while one runs may have changed files that it has read already */
	d->reload_again |= running;
	if (client && *n == GF_CTL_MAX_CLIENTS)
		gf_client_fail(gf_control_client(d->control, client), NULL, "too many reloads are waiting");
	else if (client)
		list[(*n)++] = client;
	if (!running)
		begin(d);
}

static void warnings_json(const struct gf_policy_report *rep, struct gf_jbuf *b)
{
	json_t *v = rep->diags_json ? json_loads(rep->diags_json, 0, NULL) : NULL;
	size_t i;
	json_t *one;
	char text[1024];

	gf_jbuf_open(b, '[');
	json_array_foreach(v, i, one) {
		const char *file = "", *message = "";
		int line = 0, col = 0;
		json_unpack(one, "{s?s s?i s?i s?s}", "file", &file, "line", &line, "col", &col, "message", &message);
		snprintf(text, sizeof text, "%s:%d:%d: %s", file, line, col, message);
		gf_jbuf_str(b, text);
	}
	json_decref(v);
	for (i = 0; i < rep->notes.n; i++)
		gf_jbuf_str(b, rep->notes.v[i]);
	gf_jbuf_close(b, ']');
}

static void answer(struct gf_daemon *d, const struct gf_reload *r)
{
	for (size_t i = 0; i < d->reload_clients; i++) {
		struct gf_client *c = gf_control_client(d->control, d->reload_client[i]);
		struct gf_jbuf b = { 0 };
		if (!c)
			continue;
		if (r->error) {
			gf_client_fail(c, r->report.diags_json, "%s; the old policy stays in force", r->report.err.text);
			continue;
		}
		gf_jbuf_open(&b, '{');
		gf_jbuf_kuint(&b, "rules", r->policy->rules);
		gf_jbuf_kuint(&b, "kept", r->kept);
		gf_jbuf_key(&b, "warnings");
		warnings_json(&r->report, &b);
		gf_jbuf_close(&b, '}');
		gf_client_answer(c, &b);
	}
	d->reload_clients = 0;
}

/* What of the new configuration can be had without a restart. The rest of it is
 * kept as it is in force, so that the next reload compares with the truth. */
static void adopt_config(struct gf_daemon *d, struct gf_reload *r)
{
	struct gf_config *c = d->config, *n = r->config;
	char list[256];

	gf_config_restart_needed(c, n, list, sizeof list);
	if (*list) {
		char text[400];
		snprintf(text, sizeof text, "gpufas.yaml: changes of %s take effect only after a restart", list);
		gf_log(LOG_WARNING, "%s", text);
		if (gf_strlist_add(&r->report.notes, text))
			gf_log(LOG_ERR, "out of memory");
	}
	if (n->observe != c->observe && !d->options.observe) {
		d->observe = n->observe;
		gf_engine_set_observe(d->engine, n->observe);
		gf_reporter_say(d->reporter, "mode is %s now", n->observe ? "observe" : "enforce");
	}
	c->observe = n->observe;
	c->log_level = n->log_level;
	gf_log_set_level(n->log_level);
	struct gf_strlist dirs = c->dirs, files = c->files;
	struct gf_config_hook *hook = c->hook;
	size_t hooks = c->hooks;
	c->dirs = n->dirs;
	c->files = n->files;
	c->hook = n->hook;
	c->hooks = n->hooks;
	c->builtin = n->builtin;
	n->dirs = dirs;
	n->files = files;
	n->hook = hook;
	n->hooks = hooks;
}

static void finish(struct gf_daemon *d, struct gf_reload *r)
{
	if (r->report.text)
		gf_log(r->error ? LOG_ERR : LOG_WARNING, "%s", r->report.text);
	for (size_t i = 0; i < r->report.notes.n; i++)
		gf_log(LOG_WARNING, "%s", r->report.notes.v[i]);
	if (r->error) {
		d->reloads_failed++;
		snprintf(d->last_reload_error, sizeof d->last_reload_error, "%s", r->report.err.text);
		gf_reporter_say(d->reporter, "reload failed, the old policy stays in force: %.180s", r->report.err.text);
		gf_notify(&d->notify, "READY=1\nSTATUS=%u rules; the last reload failed: %s", d->policy->rules, r->report.err.text);
	} else {
		d->reloads_ok++;
		d->last_reload_error[0] = 0;
		adopt_config(d, r);
		gf_policy_put(d->policy);
		d->policy = gf_policy_get(r->policy);
		gf_reporter_say(d->reporter, "reloaded: %u rule%s, %u of them unchanged", d->policy->rules, d->policy->rules == 1 ? "" : "s", r->kept);
		gf_notify(&d->notify, "READY=1\nSTATUS=%u rules, %s mode", d->policy->rules, d->observe ? "observe" : "enforce");
	}
}

static void release(struct gf_reload *r)
{
	gf_policy_put(r->policy);
	gf_config_free(r->config);
	gf_policy_report_deinit(&r->report);
	free(r);
}

void gf_daemon_reload_done(struct gf_daemon *d)
{
	struct gf_reload *r = d->reload;
	uint64_t n;

	if (read(d->reload_fd, &n, sizeof n) < 0 || !r)
		return;
	pthread_join(d->reload_thread, NULL);
	d->reload = NULL;
	finish(d, r);
	answer(d, r);
	release(r);
	if (!d->reload_again)
		return;
	d->reload_again = false;
	memcpy(d->reload_client, d->again_client, d->again_clients * sizeof *d->again_client);
	d->reload_clients = d->again_clients;
	d->again_clients = 0;
	begin(d);
}

void gf_daemon_reload_wait(struct gf_daemon *d)
{
	d->reload_again = false;
	if (!d->reload)
		return;
	pthread_join(d->reload_thread, NULL);
	if (!d->reload->error) {
		gf_policy_put(d->policy);
		d->policy = gf_policy_get(d->reload->policy);
	}
	release(d->reload);
	d->reload = NULL;
}
