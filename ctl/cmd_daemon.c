/* SPDX-License-Identifier: MIT
 *
 * status, reload, observe, signal, metrics: one question to the daemon each.
 */
#include "ctl/ctl.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/peer.h"
#include "ctl/explain.h"

static void print_lines(struct gf_lines *l, const struct gf_ctl *ctl)
{
	gf_lines_print(l, stdout, ctl->colour);
	gf_lines_deinit(l);
}

/* The rules of all targets as one list; of many each with the name of its target. */
static int all_rules(struct gf_ctl *ctl, const json_t *status, json_t **ret)
{
	const json_t *targets = json_object_get(status, "targets"), *t;
	json_t *all = json_array(), *data, *rule;
	bool many = json_array_size(targets) > 1;
	size_t i, k;

	json_array_foreach(targets, i, t) {
		const char *name = gf_js_str(t, "name");
		int rc = gf_ctl_call(ctl, "rules", many ? json_pack("{s:s}", "target", name) : NULL, &data, NULL);
		if (rc) {
			json_decref(all);
			return rc;
		}
		json_array_foreach(json_object_get(data, "rules"), k, rule) {
			if (many && json_is_object(rule))
				json_object_set_new(rule, "target", json_string(name));
			json_array_append(all, rule);
		}
		json_decref(data);
	}
	*ret = all;
	return 0;
}

int gf_cmd_status(struct gf_ctl *ctl)
{
	json_t *status, *rules;
	int rc = gf_ctl_call(ctl, "status", NULL, &status, NULL);

	if (rc)
		return rc;
	rc = all_rules(ctl, status, &rules);
	if (rc) {
		json_decref(status);
		return rc;
	}
	if (ctl->json) {
		json_object_set(status, "rules", rules);
		gf_ctl_json(status, false);
	} else {
		struct gf_lines l = { 0 };
		gf_explain_status(status, rules, &l);
		print_lines(&l, ctl);
	}
	json_decref(status);
	json_decref(rules);
	return GF_EXIT_OK;
}

/* A diagnostic as the daemon sends it, in the compiler's own form; without its line, which only the daemon may be able to read. */
static void add_diag(const json_t *d, struct gf_lines *out)
{
	bool error = strcmp(gf_js_str(d, "severity"), "warning") != 0;

	if (json_is_string(d)) {
		gf_lines_add(out, GF_LOOK_WARN, "%s", json_string_value(d));
		return;
	}
	gf_lines_add(out, error ? GF_LOOK_BAD : GF_LOOK_WARN, "%s:%lld:%lld: %s: %s [%s]", gf_js_str(d, "file"), gf_js_int(d, "line"),
		     gf_js_int(d, "col"), error ? "error" : "warning", gf_js_str(d, "message"), gf_js_str(d, "code"));
	if (*gf_js_str(d, "hint"))
		gf_lines_add(out, GF_LOOK_PLAIN, "    hint: %s", gf_js_str(d, "hint"));
}

static uint32_t offset_of(const struct gf_source *s, long long line, long long col)
{
	size_t at = 0;

	for (; line > 1 && at < s->len; at++)
		line -= s->text[at] == '\n';
	at += col > 1 ? (size_t)col - 1 : 0;
	return (uint32_t)(at < s->len ? at : s->len);
}

/* With the line and a caret, where we can read what the daemon has read. */
static bool print_with_source(const json_t *d, FILE *out, bool colour)
{
	const char *file = gf_js_str(d, "file"), *hint = gf_js_str(d, "hint");
	struct gf_source src = { 0 };
	struct gf_diags one = { 0 };
	struct gf_err err;

	/* a relative name is one of the daemon's directory */
	if (*file != '/' || gf_js_int(d, "line") < 1 || gf_source_read(file, &src, &err))
		return false;
	struct gf_span at = { 0, offset_of(&src, gf_js_int(d, "line"), gf_js_int(d, "col")),
			      offset_of(&src, gf_js_int(d, "end_line"), gf_js_int(d, "end_col")) };
	gf_diag_add(&one, strcmp(gf_js_str(d, "severity"), "warning") ? GF_SEV_ERROR : GF_SEV_WARNING, gf_js_str(d, "code"), at,
		    *hint ? hint : NULL, "%s", gf_js_str(d, "message"));
	gf_diags_print(&one, &src, 1, out, colour);
	gf_diags_deinit(&one);
	gf_source_free(&src);
	return true;
}

static void print_diags(const json_t *diags, FILE *out, bool colour)
{
	size_t i;
	const json_t *d;

	json_array_foreach(diags, i, d) {
		struct gf_lines l = { 0 };
		if (json_is_object(d) && print_with_source(d, out, colour))
			continue;
		add_diag(d, &l);
		gf_lines_print(&l, out, colour);
		gf_lines_deinit(&l);
	}
}

int gf_cmd_reload(struct gf_ctl *ctl)
{
	json_t *data = NULL, *diags = NULL;
	int rc = gf_ctl_call(ctl, "reload", NULL, &data, &diags);

	if (ctl->json && (data || diags)) {
		json_t *out = data ? json_incref(data) : json_pack("{s:O}", "diags", diags);
		json_object_set_new(out, "ok", json_boolean(data != NULL));
		gf_ctl_json(out, false);
		json_decref(out);
	} else if (data) {
		print_diags(json_object_get(data, "warnings"), stderr, ctl->colour);
		printf("reloaded: %lld rule%s, %lld of them unchanged with their state kept\n", gf_js_int(data, "rules"),
		       gf_js_int(data, "rules") == 1 ? "" : "s", gf_js_int(data, "kept"));
	} else if (diags) {
		print_diags(diags, stderr, ctl->colour);
	}
	json_decref(data);
	json_decref(diags);
	return rc;
}

int gf_cmd_observe(struct gf_ctl *ctl)
{
	bool on = !strcmp(ctl->arg[0], "on");
	const char *name = ctl->val[GF_O_TARGET];
	json_t *data, *t;
	size_t i;
	int rc;

	if (!on && strcmp(ctl->arg[0], "off"))
		return gf_ctl_misuse(ctl, "observe is on or off, not `%s`", ctl->arg[0]);
	rc = gf_ctl_call(ctl, "observe", json_pack("{s:b, s:s*}", "on", on, "target", name), &data, NULL);
	if (rc)
		return rc;
	if (ctl->json)
		gf_ctl_json(data, true);
	else if (gf_js_bool(data, "observe"))
		printf("observe mode is on%s%s: rules report what they would do and do nothing\n", name ? " for " : "", name ? name : "");
	else
		printf("observe mode is off%s%s: rules act\n", name ? " for " : "", name ? name : "");
	json_array_foreach(json_object_get(data, "targets"), i, t)
		if (!ctl->json && !on && !name && gf_js_bool(t, "observe"))
			printf("  but %s goes on observing, as its own mode says\n", gf_js_str(t, "name"));
	json_decref(data);
	return GF_EXIT_OK;
}

/* A signal as `kill -l` lists it, with or without SIG, or its number, as "SIGTERM".
 * Real-time ones as SIGRTMIN+n or SIGRTMAX-n. false: none of that. */
static bool signal_name(const char *s, char *buf, size_t n)
{
	const char *bare = strncasecmp(s, "SIG", 3) ? s : s + 3;
	int base = 0, at = 0, plus = 0;
	double num;

	if (gf_ctl_number(s, 1, 64, &num) && num == (int)num) {
		if ((int)num >= SIGRTMIN) {
			snprintf(buf, n, (int)num == SIGRTMIN ? "SIGRTMIN" : "SIGRTMIN+%d", (int)num - SIGRTMIN);
			return (int)num <= SIGRTMAX;
		}
		if (!sigabbrev_np((int)num))
			return false;
		snprintf(buf, n, "SIG%s", sigabbrev_np((int)num));
		return true;
	}
	if (!strncasecmp(bare, "RTMIN", 5) || !strncasecmp(bare, "RTMAX", 5)) {
		base = strncasecmp(bare, "RTMIN", 5) ? SIGRTMAX : SIGRTMIN;
		if (bare[5] && (sscanf(bare + 5, "%d%n", &plus, &at) != 1 || bare[5 + at]))
			return false;
		if (base + plus < SIGRTMIN || base + plus > SIGRTMAX)
			return false;
		snprintf(buf, n, plus ? "SIG%.5s%+d" : "SIG%.5s", base == SIGRTMIN ? "RTMIN" : "RTMAX", plus);
		return true;
	}
	for (int i = 1; i < SIGRTMIN; i++)
		if (sigabbrev_np(i) && !strcasecmp(bare, sigabbrev_np(i))) {
			snprintf(buf, n, "SIG%s", sigabbrev_np(i));
			return true;
		}
	return false;
}

static int no_signal(const struct gf_ctl *ctl, const char *word)
{
	const char *names[80], *near;
	char up[32];
	size_t n = 0, i;

	for (int s = 1; s < SIGRTMIN && n < 80; s++)
		if (sigabbrev_np(s))
			names[n++] = sigabbrev_np(s);
	if (!strncasecmp(word, "SIG", 3))
		word += 3;
	for (i = 0; word[i] && i + 1 < sizeof up; i++)
		up[i] = (char)(word[i] >= 'a' && word[i] <= 'z' ? word[i] - 32 : word[i]);
	up[i] = 0;
	near = gf_nearest(up, names, n);
	if (near)
		return gf_ctl_misuse(ctl, "there is no signal `%s`; did you mean SIG%s?", word, near);
	return gf_ctl_misuse(ctl, "there is no signal `%s` (`kill -l` lists them)", word);
}

int gf_cmd_signal(struct gf_ctl *ctl)
{
	static const char *const roads[] = { "auto", "call", "mailbox", "store", "irq-work" };
	const char *road = ctl->val[GF_O_ROAD], *near;
	char sig[32], text[256];
	double pid;
	json_t *data, *rq;
	size_t i = 0;
	int rc;

	if (!gf_ctl_number(ctl->arg[1], 1, 4194304, &pid) || pid != (int)pid)
		return gf_ctl_misuse(ctl, "`%s` is not a process id", ctl->arg[1]);
	if (!signal_name(ctl->arg[2], sig, sizeof sig))
		return no_signal(ctl, ctl->arg[2]);
	while (road && i < 5 && strcmp(road, roads[i]))
		i++;
	if (i == 5) {
		near = gf_nearest(road, roads, 5);
		return gf_ctl_misuse(ctl, "there is no road `%s`%s%s%s: auto, call, mailbox, store or irq-work", road, near ? "; did you mean " : "", near ? near : "",
				     near ? "?" : "");
	}
	rq = json_pack("{s:s, s:i, s:s}", "target", ctl->arg[0], "pid", (int)pid, "signal", sig);
	if (road)
		json_object_set_new(rq, "road", json_string(road));
	rc = gf_ctl_call(ctl, "signal", rq, &data, NULL);
	if (rc)
		return rc;
	if (ctl->json)
		gf_ctl_json(data, true);
	else
		printf("%s %s to pid %d of %s%s%s\n", *gf_js_str(data, "result") ? gf_js_str(data, "result") : "sent", sig, (int)pid, ctl->arg[0],
		       *gf_js_str(data, "text") ? ": " : "", gf_show_safe(gf_js_str(data, "text"), text, sizeof text));
	json_decref(data);
	return GF_EXIT_OK;
}

int gf_cmd_metrics(struct gf_ctl *ctl)
{
	json_t *data;
	int rc = gf_ctl_call(ctl, "metrics", NULL, &data, NULL);

	if (rc)
		return rc;
	if (ctl->json)
		gf_ctl_json(data, false);
	else
		fputs(gf_js_str(data, "text"), stdout);
	json_decref(data);
	return GF_EXIT_OK;
}
