/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/source.h"
#include "daemon/daemon.h"
#include "daemon/eventjson.h"
#include "grammar/ast.h" /* signals by name */

typedef void (*command)(struct gf_daemon *d, struct gf_client *c, json_t *rq);

/* Optional members of a request: of the right type or not there. */
static bool get_str(struct gf_client *c, json_t *rq, const char *key, const char **ret)
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

static bool get_int(struct gf_client *c, json_t *rq, const char *key, int64_t lo, int64_t hi, int64_t *ret)
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

static bool target_ok(struct gf_daemon *d, struct gf_client *c, json_t *rq)
{
	const char *name = NULL;

	if (!get_str(c, rq, "target", &name))
		return false;
	if (!name || !strcmp(name, d->config->target_name))
		return true;
	gf_client_fail(c, NULL, "there is no target \"%s\"; the daemon watches \"%s\"", name, d->config->target_name);
	return false;
}

static void fail_rule(struct gf_daemon *d, struct gf_client *c, const char *rule)
{
	const struct gf_image_header *img = d->policy->img;
	const struct gf_rule *r = GF_SEC(struct gf_rule, img, GF_SEC_RULE);
	uint32_t n = img->sec[GF_SEC_RULE].count;
	const char **names = calloc(n + 1, sizeof *names);

	for (uint32_t i = 0; names && i < n; i++)
		names[i] = gf_image_str(img, r[i].name);
	const char *near = names ? gf_nearest(rule, names, n) : NULL;
	if (near)
		gf_client_fail(c, NULL, "there is no rule \"%s\"; did you mean \"%s\"?", rule, near);
	else
		gf_client_fail(c, NULL, "there is no rule \"%s\"", rule);
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
	struct gf_jbuf b = { 0 };

	(void)rq;
	gf_jbuf_open(&b, '{');
	gf_jbuf_key(&b, "rules");
	gf_daemon_rules_json(d, NULL, &b);
	gf_jbuf_close(&b, '}');
	gf_client_answer(c, &b);
}

static void cmd_ps(struct gf_daemon *d, struct gf_client *c, json_t *rq)
{
	if (target_ok(d, c, rq))
		gf_daemon_ps(d, c);
}

static bool put_event(void *arg, const char *json, size_t n)
{
	gf_jbuf_json(arg, json, n);
	return true;
}

static void cmd_events(struct gf_daemon *d, struct gf_client *c, json_t *rq)
{
	int64_t last = 20, since = -1;
	const char *rule = NULL;
	bool follow = false;
	struct gf_jbuf b = { 0 };

	if (!get_int(c, rq, "last", 0, 1000000, &last) || !get_int(c, rq, "since_seq", 0, INT64_MAX, &since) ||
	    !get_bool(c, rq, "follow", &follow) || !get_str(c, rq, "rule", &rule))
		return;
	uint64_t pos = since >= 0 ? gf_reporter_since(d->reporter, (uint64_t)since) :
		gf_reporter_last(d->reporter, (size_t)last, rule);
	gf_jbuf_open(&b, '{');
	gf_jbuf_key(&b, "events");
	gf_jbuf_open(&b, '[');
	pos = gf_reporter_read(d->reporter, pos, rule, GF_REPORTER_KEPT, put_event, &b, NULL);
	gf_jbuf_close(&b, ']');
	gf_jbuf_close(&b, '}');
	if (follow && gf_client_follow(c, pos, rule)) {
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

	if (!get_int(c, rq, "event", 1, INT64_MAX, &seq) || !get_str(c, rq, "rule", &rule))
		return;
	if (!seq == !rule) {
		gf_client_fail(c, NULL, "explain wants either \"event\" or \"rule\"");
		return;
	}
	gf_jbuf_open(&b, '{');
	gf_jbuf_key(&b, seq ? "event" : "rule");
	bool found = seq ? gf_reporter_find(d->reporter, (uint64_t)seq, &b) : gf_daemon_rules_json(d, rule, &r) > 0;
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
		fail_rule(d, c, rule);
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

static void cmd_observe(struct gf_daemon *d, struct gf_client *c, json_t *rq)
{
	bool on = d->observe;
	struct gf_jbuf b = { 0 };

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
	if (on != d->observe)
		gf_reporter_say(d->reporter, "%s by uid %u over the control socket",
				on ? "observe mode switched on" : "observe mode switched off, so that rules act,", gf_client_uid(c));
	d->observe = on;
	gf_engine_set_observe(d->engine, on);
	gf_jbuf_open(&b, '{');
	gf_jbuf_kbool(&b, "observe", on);
	gf_jbuf_close(&b, '}');
	gf_client_answer(c, &b);
}

/* Identity of a process as /proc shows it: start time in clock ticks since boot. -ESRCH. */
static int start_of(int32_t pid, uint64_t *ret_ns, char *comm, size_t n)
{
	char path[64], buf[1024];
	unsigned long long ticks;

	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return -ESRCH;
	size_t len = fread(buf, 1, sizeof buf - 1, f);
	fclose(f);
	buf[len] = 0;
	char *open = strchr(buf, '('), *close = strrchr(buf, ')');
	if (!open || !close || close < open)
		return -ESRCH;
	/* state is field 3, starttime field 22 */
	if (sscanf(close + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &ticks) != 1)
		return -ESRCH;
	*ret_ns = ticks * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
	gf_safe_text(open + 1, (size_t)(close - open - 1), comm, n);
	return 0;
}

static void cmd_signal(struct gf_daemon *d, struct gf_client *c, json_t *rq)
{
	struct gf_verdict v = { .action = GF_ACT_SIGNAL, .rule = GF_NONE, .row = GF_NONE };
	int64_t pid = 0;
	const char *sig = NULL;
	char name[32], comm[80] = "";
	struct gf_jbuf b = { 0 };

	if (!target_ok(d, c, rq) || !get_int(c, rq, "pid", 1, 4194304, &pid) || !get_str(c, rq, "signal", &sig))
		return;
	if (!pid || !sig) {
		gf_client_fail(c, NULL, "signal wants \"pid\" and \"signal\"");
		return;
	}
	v.pid = (int32_t)pid;
	char *end = NULL;
	long number = *sig >= '0' && *sig <= '9' ? strtol(sig, &end, 10) : 0;
	v.arg = !end ? gf_signal_number(sig) : *end || number > 64 ? 0 : (int)number;
	if (!v.arg || !gf_signal_name(v.arg)) {
		gf_client_fail(c, NULL, "there is no signal \"%s\"", sig);
		return;
	}
	gf_signal_text(v.arg, name, sizeof name);
	if (d->observe) {
		gf_client_fail(c, NULL, "the daemon is in observe mode: it sends no signals");
		return;
	}
	int r = start_of(v.pid, &v.start_ns, comm, sizeof comm);
	if (!r)
		r = gf_act(&v, NULL);
	if (r) {
		gf_client_fail(c, NULL, "%s is not sent to pid %d: %s", name, v.pid,
			       r == -ESRCH ? "there is no such process" : r == -ESTALE ? "another process has the pid now" :
			       r == -EPERM ? "this process may never be touched, or not by the daemon" : strerror(-r));
		return;
	}
	gf_reporter_say(d->reporter, "%s sent to %s (pid %d) for uid %u over the control socket", name, comm, v.pid, gf_client_uid(c));
	gf_jbuf_open(&b, '{');
	gf_jbuf_kint(&b, "pid", v.pid);
	gf_jbuf_kstr(&b, "signal", name);
	gf_jbuf_kstr(&b, "result", "sent");
	gf_jbuf_close(&b, '}');
	gf_client_answer(c, &b);
}

/* Views are computed only while somebody looks. Who asks after a quiet time waits
 * for the next tick rather than being told "unknown". True: put off. */
static bool wait_for_views(struct gf_daemon *d, struct gf_client *c, json_t *rq)
{
	uint64_t now = gf_daemon_clock(CLOCK_MONOTONIC), fp;
	bool fresh = d->views_asked_ns && now - d->views_asked_ns < 4000000000u;

	gf_engine_rules(d->engine, NULL, 0, &fp);
	d->views_asked_ns = now;
	/* all who wait, wait for the same moment; no room to wait: they came, asked and went */
	if ((fresh && !d->laters) || d->laters == GF_CTL_MAX_CLIENTS)
		return false;
	uint64_t due = d->laters ? d->later[0].due_ns : now + GF_MIN(d->config->period_ns, 1000000000u) + 30000000u;
	d->later[d->laters++] = (struct gf_later){ gf_client_defer(c), due, json_incref(rq) };
	return true;
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
		{ "metrics", false, true, cmd_metrics }, { "reload", true, false, cmd_reload },
		{ "observe", true, false, cmd_observe }, { "signal", true, false, cmd_signal },
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
	if (!d->laters || gf_daemon_clock(CLOCK_MONOTONIC) < d->later[0].due_ns)
		return;
	for (size_t i = 0; i < d->laters; i++) {
		struct gf_client *c = gf_control_client(d->control, d->later[i].client);
		if (c)
			run_command(d, c, json_string_value(json_object_get(d->later[i].request, "cmd")), d->later[i].request, false);
		json_decref(d->later[i].request);
	}
	d->laters = 0;
}

int gf_daemon_later_timeout(struct gf_daemon *d)
{
	uint64_t now = gf_daemon_clock(CLOCK_MONOTONIC);

	if (!d->laters)
		return -1;
	return d->later[0].due_ns <= now ? 0 : (int)((d->later[0].due_ns - now) / 1000000) + 1;
}
