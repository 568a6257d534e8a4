/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/source.h"
#include "daemon/daemon.h"
#include "daemon/eventjson.h"

typedef void (*command)(struct gf_daemon *d, struct gf_client *c, json_t *rq);

/* Optional members of a request: of the right type or not there. */
bool gf_request_str(struct gf_client *c, json_t *rq, const char *key, const char **ret)
{
	json_t *v = json_object_get(rq, key);

	if (v && !json_is_string(v) && !json_is_null(v)) {
		gf_client_fail(c, NULL, "\"%s\" must be a string", key);
		return false;
	}
	if (v && json_is_string(v))
		*ret = json_string_value(v);
	return true;
}

bool gf_request_int(struct gf_client *c, json_t *rq, const char *key, int64_t lo, int64_t hi, int64_t *ret)
{
	json_t *v = json_object_get(rq, key);

	if (!v || json_is_null(v))
		return true;
	if (!json_is_integer(v) || json_integer_value(v) < lo || json_integer_value(v) > hi) {
		gf_client_fail(c, NULL, "\"%s\" must be a whole number from %lld to %lld", key, (long long)lo, (long long)hi);
		return false;
	}
	*ret = json_integer_value(v);
	return true;
}

static bool get_bool(struct gf_client *c, json_t *rq, const char *key, bool *ret)
{
	json_t *v = json_object_get(rq, key);

	if (!v || json_is_null(v))
		return true;
	if (!json_is_boolean(v)) {
		gf_client_fail(c, NULL, "\"%s\" must be true or false", key);
		return false;
	}
	*ret = json_is_true(v);
	return true;
}

/* The target that a request names, or the first; NULL with the answer given. */
struct gf_watch *gf_request_target(struct gf_daemon *d, struct gf_client *c, json_t *rq)
{
	const char *name = NULL, *names[GF_CONFIG_MAX_TARGETS];
	char list[512] = "";
	size_t o = 0;

	if (!gf_request_str(c, rq, "target", &name))
		return NULL;
	struct gf_watch *w = gf_watch_find(d, name);
	if (w)
		return w;
	for (size_t i = 0; i < d->watches; i++) {
		names[i] = d->watch[i].name;
		if (o < sizeof list)
			o += (size_t)snprintf(list + o, sizeof list - o, "%s\"%s\"", i ? ", " : "", names[i]);
	}
	const char *near = gf_nearest(name, names, d->watches);
	if (near && d->watches > 1)
		gf_client_fail(c, NULL, "there is no target \"%s\"; did you mean \"%s\"?", name, near);
	else
		gf_client_fail(c, NULL, "there is no target \"%s\"; the daemon watches %s", name, list);
	return NULL;
}

/* Whether the request names one. */
static bool names_target(json_t *rq)
{
	return json_is_string(json_object_get(rq, "target"));
}

static void fail_rule(const struct gf_watch *w, struct gf_client *c, const char *rule)
{
	const struct gf_image_header *img = w->policy->img;
	const struct gf_rule *r = GF_SEC(struct gf_rule, img, GF_SEC_RULE);
	uint32_t n = img->sec[GF_SEC_RULE].count;
	const char **names = calloc(n + 1, sizeof *names);
	char of[80] = "";

	for (uint32_t i = 0; names && i < n; i++)
		names[i] = gf_image_str(img, r[i].name);
	if (w->daemon->watches > 1)
		snprintf(of, sizeof of, " for target %s", w->name);
	const char *near = names ? gf_nearest(rule, names, n) : NULL;
	if (near)
		gf_client_fail(c, NULL, "there is no rule \"%s\"%s; did you mean \"%s\"?", rule, of, near);
	else
		gf_client_fail(c, NULL, "there is no rule \"%s\"%s", rule, of);
	free(names);
}

static void cmd_ping(struct gf_daemon *d, struct gf_client *c, json_t *rq)
{
	struct gf_jbuf b = { 0 };

	(void)d;
	(void)rq;
	gf_jbuf_open(&b, '{');
	gf_jbuf_kint(&b, "pid", getpid());
	gf_jbuf_kstr(&b, "version", GF_VERSION);
	gf_jbuf_close(&b, '}');
	gf_client_answer(c, &b);
}

static void cmd_status(struct gf_daemon *d, struct gf_client *c, json_t *rq)
{
	struct gf_jbuf b = { 0 };

	(void)rq;
	gf_daemon_status_json(d, &b);
	gf_client_answer(c, &b);
}

static void cmd_rules(struct gf_daemon *d, struct gf_client *c, json_t *rq)
{
	struct gf_watch *w = gf_request_target(d, c, rq);
	struct gf_jbuf b = { 0 };

	if (!w)
		return;
	gf_jbuf_open(&b, '{');
	gf_jbuf_kstr(&b, "target", w->name);
	gf_jbuf_key(&b, "rules");
	gf_watch_rules_json(w, NULL, &b);
	gf_jbuf_close(&b, '}');
	gf_client_answer(c, &b);
}

static void cmd_ps(struct gf_daemon *d, struct gf_client *c, json_t *rq)
{
	struct gf_watch *w = gf_request_target(d, c, rq);

	json_t *paths = json_object_get(rq, "paths");

	if (w && paths && !json_is_array(paths))
		gf_client_fail(c, NULL, "\"paths\" is a list of kernel paths");
	else if (w)
		gf_watch_ps(w, c, paths);
}

static bool put_event(void *arg, const char *json, size_t n)
{
	gf_jbuf_json(arg, json, n);
	return true;
}

static void cmd_events(struct gf_daemon *d, struct gf_client *c, json_t *rq)
{
	int64_t last = 20, since = -1;
	struct gf_reporter_filter f = { .target = -1 };
	struct gf_watch *w = NULL;
	bool follow = false;
	struct gf_jbuf b = { 0 };

	if (!gf_request_int(c, rq, "last", 0, 1000000, &last) || !gf_request_int(c, rq, "since_seq", 0, INT64_MAX, &since) ||
	    !get_bool(c, rq, "follow", &follow) || !gf_request_str(c, rq, "rule", &f.rule) || !(w = gf_request_target(d, c, rq)))
		return;
	if (names_target(rq))
		f.target = (int)w->index;
	uint64_t pos = since >= 0 ? gf_reporter_since(d->reporter, (uint64_t)since) :
		gf_reporter_last(d->reporter, (size_t)last, &f);
	gf_jbuf_open(&b, '{');
	gf_jbuf_key(&b, "events");
	gf_jbuf_open(&b, '[');
	pos = gf_reporter_read(d->reporter, pos, &f, GF_REPORTER_KEPT, put_event, &b, NULL);
	gf_jbuf_close(&b, ']');
	gf_jbuf_close(&b, '}');
	if (follow && gf_client_follow(c, pos, &f)) {
		gf_jbuf_deinit(&b);
		gf_client_fail(c, NULL, "the daemon is out of memory");
		return;
	}
	gf_client_answer(c, &b);
}

static void cmd_explain(struct gf_daemon *d, struct gf_client *c, json_t *rq)
{
	int64_t seq = 0;
	const char *rule = NULL;
	struct gf_jbuf b = { 0 }, r = { 0 };
	struct gf_watch *w = gf_request_target(d, c, rq);

	if (!w || !gf_request_int(c, rq, "event", 1, INT64_MAX, &seq) || !gf_request_str(c, rq, "rule", &rule))
		return;
	if (!seq == !rule) {
		gf_client_fail(c, NULL, "explain wants either \"event\" or \"rule\"");
		return;
	}
	/* a rule that no target was named for: the first target that has it */
	for (size_t i = 0; rule && !names_target(rq) && i < d->watches; i++)
		if (gf_policy_has(d->watch[i].policy, rule)) {
			w = &d->watch[i];
			break;
		}
	gf_jbuf_open(&b, '{');
	if (rule)
		gf_jbuf_kstr(&b, "target", w->name);
	gf_jbuf_key(&b, seq ? "event" : "rule");
	bool found = seq ? gf_reporter_find(d->reporter, (uint64_t)seq, &b) : gf_watch_rules_json(w, rule, &r) > 0;
	if (found && !seq) /* an array of one */
		gf_jbuf_json(&b, r.p + 1, r.n - 2);
	b.failed |= r.failed;
	gf_jbuf_deinit(&r);
	gf_jbuf_close(&b, '}');
	if (found) {
		gf_client_answer(c, &b);
		return;
	}
	gf_jbuf_deinit(&b);
	if (rule)
		fail_rule(w, c, rule);
	else
		gf_client_fail(c, NULL, "event %lld is not kept; the last %u events are%s%s", (long long)seq, GF_REPORTER_KEPT,
			       d->audit ? ", older ones may be in " : "", d->audit ? d->config->audit_path : "");
}

static void cmd_metrics(struct gf_daemon *d, struct gf_client *c, json_t *rq)
{
	struct gf_jbuf b = { 0 }, text = { 0 };

	(void)rq;
	gf_daemon_metrics(d, &text);
	gf_jbuf_open(&b, '{');
	gf_jbuf_key(&b, "text");
	gf_jbuf_strn(&b, text.p, text.n);
	gf_jbuf_close(&b, '}');
	b.failed |= text.failed;
	gf_jbuf_deinit(&text);
	gf_client_answer(c, &b);
}

static void cmd_reload(struct gf_daemon *d, struct gf_client *c, json_t *rq)
{
	(void)rq;
	gf_daemon_reload(d, gf_client_defer(c));
}

static void observe_json(const struct gf_daemon *d, bool on, struct gf_jbuf *b)
{
	gf_jbuf_open(b, '{');
	gf_jbuf_kbool(b, "observe", on);
	if (d->watches > 1) {
		gf_jbuf_key(b, "targets");
		gf_jbuf_open(b, '[');
		for (size_t i = 0; i < d->watches; i++) {
			gf_jbuf_open(b, '{');
			gf_jbuf_kstr(b, "name", d->watch[i].name);
			gf_jbuf_kbool(b, "observe", d->watch[i].observe);
			gf_jbuf_close(b, '}');
		}
		gf_jbuf_close(b, ']');
	}
	gf_jbuf_close(b, '}');
}

/* Which targets a switch is for: the one that is named; else all, but that acting is not switched on for
 * one whose own mode in gpufas.yaml is observe: that wants its name. */
static bool switches(const struct gf_watch *w, const struct gf_watch *named, bool on)
{
	if (named)
		return w == named;
	return on || w->config->mode != GF_MODE_OBSERVE;
}

static void cmd_observe(struct gf_daemon *d, struct gf_client *c, json_t *rq)
{
	struct gf_watch *named = gf_request_target(d, c, rq);
	bool on = d->observe;
	struct gf_jbuf b = { 0 };

	if (!named)
		return;
	if (!names_target(rq))
		named = NULL;
	if (!json_object_get(rq, "on")) {
		gf_client_fail(c, NULL, "observe wants \"on\": true or false");
		return;
	}
	if (!get_bool(c, rq, "on", &on))
		return;
	if (!on && d->options.observe) {
		gf_client_fail(c, NULL, "the daemon was started with --observe, and stays so");
		return;
	}
	if (!on && named && named->config->kind == GF_TARGET_IMAGE) {
		gf_client_fail(c, NULL, "\"%s\" is an image: it is never acted on", named->name);
		return;
	}
	for (size_t i = 0; i < d->watches; i++) {
		struct gf_watch *w = &d->watch[i];
		if (w->observe == on || !switches(w, named, on))
			continue;
		gf_reporter_say_of(d->reporter, w->index, LOG_NOTICE, "%s by uid %u over the control socket",
				   on ? "observe mode switched on" : "observe mode switched off, so that rules act,", gf_client_uid(c));
		gf_watch_observe(w, on);
	}
	if (!named)
		d->observe = on;
	observe_json(d, on, &b);
	gf_client_answer(c, &b);
}

/* Views are computed only while somebody looks. Who asks after a quiet time waits
 * for the next tick rather than being told "unknown". True: put off. */
static bool wait_for_views(struct gf_daemon *d, struct gf_client *c, json_t *rq)
{
	uint64_t now = gf_daemon_clock(CLOCK_MONOTONIC), due = 0, fp;
	const char *name = json_string_value(json_object_get(rq, "target"));

	for (size_t i = 0; i < d->watches; i++) {
		struct gf_watch *w = &d->watch[i];
		if (name && strcmp(w->name, name))
			continue;
		bool fresh = w->views_asked_ns && now - w->views_asked_ns < 4000000000u;
		gf_engine_rules(w->engine, NULL, 0, &fp);
		if (!fresh)
			w->views_fresh_ns = now + GF_MIN(w->period_ns, 1000000000u) + 30000000u;
		w->views_asked_ns = now;
		due = GF_MAX(due, w->views_fresh_ns);
	}
	/* no room to wait: they came, asked and went */
	if (due <= now || d->laters == GF_CTL_MAX_CLIENTS)
		return false;
	d->later[d->laters++] = (struct gf_later){ gf_client_defer(c), due, json_incref(rq) };
	return true;
}

static void cmd_fields(struct gf_daemon *d, struct gf_client *c, json_t *rq)
{
	struct gf_watch *w = gf_request_target(d, c, rq);
	const char *path = NULL;

	if (w && gf_request_str(c, rq, "path", &path))
		gf_watch_fields(w, c, path);
}

static void run_command(struct gf_daemon *d, struct gf_client *c, const char *cmd, json_t *rq, bool may_wait)
{
	static const struct {
		const char *name;
		bool privileged, views;
		command run;
	} table[] = {
		{ "ping", false, false, cmd_ping }, { "status", false, false, cmd_status },
		{ "rules", false, true, cmd_rules }, { "ps", false, false, cmd_ps },
		{ "events", false, false, cmd_events }, { "explain", false, true, cmd_explain },
		{ "metrics", false, true, cmd_metrics }, { "fields", false, false, cmd_fields }, { "reload", true, false, cmd_reload },
		{ "observe", true, false, cmd_observe }, { "signal", true, false, gf_daemon_signal },
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		if (strcmp(table[i].name, cmd))
			continue;
		if (table[i].privileged && !gf_client_privileged(c))
			gf_client_fail(c, NULL, "permission denied: only root may %s", cmd);
		else if (!table[i].views || !may_wait || !wait_for_views(d, c, rq))
			table[i].run(d, c, rq);
		return;
	}
	char safe[80];
	gf_client_fail(c, NULL, "unknown command \"%s\"", gf_safe_text(cmd, strlen(cmd), safe, sizeof safe));
}

void gf_daemon_command(void *arg, struct gf_client *c, const char *cmd, json_t *rq)
{
	run_command(arg, c, cmd, rq, true);
}

void gf_daemon_later_due(struct gf_daemon *d)
{
	uint64_t now = gf_daemon_clock(CLOCK_MONOTONIC);
	size_t kept = 0;

	for (size_t i = 0; i < d->laters; i++) {
		struct gf_later l = d->later[i];
		if (l.due_ns > now) {
			d->later[kept++] = l;
			continue;
		}
		struct gf_client *c = gf_control_client(d->control, l.client);
		if (c)
			run_command(d, c, json_string_value(json_object_get(l.request, "cmd")), l.request, false);
		json_decref(l.request);
	}
	d->laters = kept;
}

int gf_daemon_later_timeout(struct gf_daemon *d)
{
	uint64_t now = gf_daemon_clock(CLOCK_MONOTONIC), due = UINT64_MAX;

	for (size_t i = 0; i < d->laters; i++)
		due = GF_MIN(due, d->later[i].due_ns);
	if (!d->laters)
		return -1;
	return due <= now ? 0 : (int)((due - now) / 1000000) + 1;
}
