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

/* The targets that are watched, with what the new configuration says of their policies: one that it
 * does not have any more (until the restart that this takes) keeps the files that it has. */
static void targets_to_be(const struct gf_reload *r, struct gf_config_target *ret)
{
	for (size_t i = 0; i < r->watches; i++) {
		const struct gf_config_target *now = r->watch[i].config, *next = gf_config_target(r->config, now->name);
		ret[i] = *now; /* borrows everything */
		if (!next || next->kind != now->kind)
			continue;
		ret[i].own_policy = next->own_policy;
		ret[i].dirs = next->dirs;
		ret[i].files = next->files;
		ret[i].own_shadow = next->own_shadow;
		ret[i].shadow_dirs = next->shadow_dirs;
		ret[i].shadow_files = next->shadow_files;
	}
}

static int load_new(struct gf_reload *r)
{
	struct gf_config_target *t = calloc(r->watches, sizeof *t);
	struct gf_target **target = calloc(r->watches, sizeof *target);

	if (!t || !target) {
		free(t);
		free(target);
		return gf_err_set(&r->report.err, ENOMEM, "out of memory");
	}
	targets_to_be(r, t);
	for (size_t i = 0; i < r->watches; i++)
		target[i] = r->watch[i].lost ? NULL : r->watch[i].target;
	/* the compiler's advice must be about the period in force, not about one that waits for a restart */
	uint64_t period_ns = r->config->period_ns;
	r->config->period_ns = r->now->period_ns;
	int e = gf_policy_load_all(r->config, t, r->watches, &r->options->policy, target, r->policy, &r->report);
	if (!e)
		e = gf_shadow_load(r->config, t, r->watches, target, r->shadow, &r->report);
	r->config->period_ns = period_ns;
	free(t);
	free(target);
	return e;
}

/* The policy that was in force before, in force again: nothing of it can be wrong, but the engine may not tick. */
static void swap_back(const struct gf_watch *w, struct gf_policy *from)
{
	struct gf_err err = { "" };

	gf_recorder_expect(w->daemon->recorder, w->index, w->policy); /* it has had room for it */
	if (!gf_engine_swap(w->engine, w->policy->img, &err)) {
		gf_policies_add(w->policies, w->policy); /* the newest again: it must be the last to be forgotten */
		return;
	}
	gf_policy_get(from); /* the engine has it, for good */
	gf_log(LOG_ERR, "target %s does not take its old policy back, and keeps the new one: %s", w->name, err.text);
}

static int swap_all(struct gf_reload *r)
{
	size_t i;
	int e = 0;

	for (i = 0; i < r->watches && !e; i++) {
		const struct gf_watch *w = &r->watch[i];
		r->kept[i] = kept_rules(w->policy, r->policy[i]);
		/* before the swap: its first events may come before the swap has returned */
		gf_policies_add(w->policies, r->policy[i]);
		if (gf_recorder_expect(w->daemon->recorder, i, r->policy[i]))
			gf_log(LOG_WARNING, "target %s: out of memory: some of its policy's kernel paths are not recorded", w->name);
		e = gf_engine_swap(w->engine, r->policy[i]->img, &r->report.err);
	}
	if (!e)
		return 0;
	const struct gf_watch *bad = &r->watch[--i];
	struct gf_err why = r->report.err;
	gf_policies_add(bad->policies, bad->policy);
	if (!why.text[0])
		gf_err_set(&why, -e, "the engine does not take the policy: %s", strerror(-e));
	if (r->watches > 1)
		gf_err_set(&r->report.err, -e, "target %s: %.300s", bad->name, why.text);
	else
		r->report.err = why;
	while (i-- > 0)
		swap_back(&r->watch[i], r->policy[i]);
	return e;
}

/* Nothing that could not be done without: what goes wrong is said, and the reload has succeeded. */
static void exchange_shadows(struct gf_reload *r)
{
	for (size_t i = 0; i < r->watches; i++) {
		struct gf_err err = { "" };
		char text[400];
		if (!gf_shadow_set(r->watch[i].shadow, r->policy[i], r->shadow[i], &err))
			continue;
		snprintf(text, sizeof text, "target %s: the shadow policy is not evaluated: %.300s", r->watch[i].name, err.text);
		if (gf_strlist_add(&r->report.notes, text))
			gf_log(LOG_ERR, "out of memory");
	}
}

/* A reload is what tries a GPU again: who asked for it is told that this came to nothing. */
static void note_gpus(struct gf_reload *r)
{
	struct gf_engine_stats st;
	char text[400];

	for (size_t i = 0; i < r->watches; i++) {
		gf_engine_stats(r->watch[i].engine, &st);
		if (st.kind == GF_ENGINE_GPU || !st.takeovers || !*st.why)
			continue;
		snprintf(text, sizeof text, "target %s: %.300s", r->watch[i].name, st.why);
		if (gf_strlist_add(&r->report.notes, text))
			gf_log(LOG_ERR, "out of memory");
	}
}

static int work(struct gf_reload *r)
{
	int e = gf_daemon_read_config(r->options, &r->config, &r->report);

	if (!e)
		e = load_new(r);
	if (!e && (e = gf_hooks_configure(r->hooks, r->config)))
		gf_err_set(&r->report.err, -e, "out of memory");
	if (e)
		return e;
	e = swap_all(r);
	if (!e) {
		exchange_shadows(r);
		note_gpus(r);
	}
	if (e && gf_hooks_configure(r->hooks, r->now))
		gf_log(LOG_ERR, "out of memory: hooks are those of the new configuration");
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

static void release(struct gf_reload *r)
{
	for (size_t i = 0; i < r->watches && r->policy; i++)
		gf_policy_put(r->policy[i]);
	for (size_t i = 0; i < r->watches && r->shadow; i++)
		gf_policy_put(r->shadow[i]);
	free(r->policy);
	free(r->shadow);
	free(r->kept);
	gf_config_free(r->config);
	gf_policy_report_deinit(&r->report);
	free(r);
}

static struct gf_reload *new_reload(struct gf_daemon *d)
{
	struct gf_reload *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	*r = (struct gf_reload){
		.options = &d->options, .now = d->config, .watch = d->watch, .watches = d->watches,
		.hooks = d->hooks, .done_fd = d->reload_fd,
		.policy = calloc(d->watches, sizeof *r->policy), .kept = calloc(d->watches, sizeof *r->kept),
		.shadow = calloc(d->watches, sizeof *r->shadow),
	};
	if (r->policy && r->kept && r->shadow)
		return r;
	release(r);
	return NULL;
}

static void begin(struct gf_daemon *d)
{
	struct gf_reload *r = new_reload(d);
	struct gf_err err = { "out of memory" };

	gf_notify_reloading(&d->notify);
	if (r) {
		d->reload = r;
		if (!gf_thread_start(&d->reload_thread, "gpufasd-reload", reload_thread, r, &err))
			return;
		release(r);
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

static uint32_t all_kept(const struct gf_reload *r)
{
	uint32_t n = 0;

	for (size_t i = 0; i < r->watches; i++)
		n += r->kept[i];
	return n;
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
		gf_jbuf_kuint(&b, "rules", gf_watches_rules(d));
		gf_jbuf_kuint(&b, "kept", all_kept(r));
		gf_jbuf_key(&b, "warnings");
		warnings_json(&r->report, &b);
		gf_jbuf_close(&b, '}');
		gf_client_answer(c, &b);
	}
	d->reload_clients = 0;
}

/* A mode that has been written anew holds; one that stands as it stood leaves what a command has set. */
static void adopt_modes(struct gf_daemon *d, struct gf_config *n)
{
	struct gf_config *c = d->config;

	for (size_t i = 0; i < d->watches; i++) {
		struct gf_config_target *now = &c->target[i];
		const struct gf_config_target *next = gf_config_target(n, now->name);
		bool was = gf_config_target_observe(c, now);
		struct gf_config_target as_new = *now;
		if (next && next->kind == now->kind)
			as_new.mode = next->mode;
		bool is = gf_config_target_observe(n, &as_new);
		now->mode = as_new.mode;
		now->own_last = next ? next->own_last : now->own_last;
		now->last_resorts = next ? next->last_resorts : now->last_resorts;
		__atomic_store_n(&d->watch[i].last_resorts, gf_config_target_last_resorts(n, now), __ATOMIC_RELAXED);
		gf_watch_arm(&d->watch[i]);
		if (is == was || d->options.observe || now->kind == GF_TARGET_IMAGE)
			continue;
		gf_watch_observe(&d->watch[i], is);
		gf_reporter_say_of(d->reporter, (uint32_t)i, LOG_NOTICE, "mode is %s now", is ? "observe" : "enforce");
	}
	if (n->observe != c->observe && !d->options.observe)
		d->observe = n->observe;
}

/* The target's lists of policy files, exchanged: what is freed with the other is not needed any more. */
static void exchange_files(struct gf_config_target *a, struct gf_config_target *b)
{
	struct gf_strlist dirs = a->dirs, files = a->files;

	a->own_policy = b->own_policy;
	a->dirs = b->dirs;
	a->files = b->files;
	b->dirs = dirs;
	b->files = files;
	dirs = a->shadow_dirs;
	files = a->shadow_files;
	a->own_shadow = b->own_shadow;
	a->shadow_dirs = b->shadow_dirs;
	a->shadow_files = b->shadow_files;
	b->shadow_dirs = dirs;
	b->shadow_files = files;
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
	adopt_modes(d, n);
	c->observe = n->observe;
	c->last_resorts = n->last_resorts;
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
	dirs = c->shadow_dirs;
	files = c->shadow_files;
	c->shadow_dirs = n->shadow_dirs;
	c->shadow_files = n->shadow_files;
	n->shadow_dirs = dirs;
	n->shadow_files = files;
	n->hook = hook;
	n->hooks = hooks;
	for (size_t i = 0; i < c->targets; i++)
		for (size_t k = 0; k < n->targets; k++)
			if (!strcmp(c->target[i].name, n->target[k].name) && c->target[i].kind == n->target[k].kind)
				exchange_files(&c->target[i], &n->target[k]);
}

static void adopt_policies(struct gf_daemon *d, const struct gf_reload *r)
{
	for (size_t i = 0; i < d->watches; i++) {
		gf_policy_put(d->watch[i].policy);
		d->watch[i].policy = gf_policy_get(r->policy[i]);
	}
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
		gf_notify(&d->notify, "READY=1\nSTATUS=%u rules; the last reload failed: %s", gf_watches_rules(d), r->report.err.text);
	} else {
		d->reloads_ok++;
		d->last_reload_error[0] = 0;
		adopt_config(d, r);
		adopt_policies(d, r);
		uint32_t rules = gf_watches_rules(d);
		gf_reporter_say(d->reporter, "reloaded: %u rule%s, %u of them unchanged", rules, rules == 1 ? "" : "s", all_kept(r));
		gf_notify(&d->notify, "READY=1\nSTATUS=%u rules, %s mode", rules, gf_watches_observe(d) ? "observe" : "enforce");
	}
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
	if (!d->reload->error)
		adopt_policies(d, d->reload);
	release(d->reload);
	d->reload = NULL;
}
