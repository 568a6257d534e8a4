/* SPDX-License-Identifier: MIT */
#include "ctl/explain.h"

#include <math.h>
#include <string.h>

static const char *or_dash(const char *s)
{
	return *s ? s : "-";
}

enum gf_look gf_explain_truth_look(const char *truth)
{
	if (!strcmp(truth, "true"))
		return GF_LOOK_BAD;
	return strcmp(truth, "unknown") ? GF_LOOK_PLAIN : GF_LOOK_DIM;
}

const char *gf_explain_bar(double share, int width, char *buf, size_t n)
{
	int full, i;

	if (width >= (int)n)
		width = (int)n - 1;
	full = isnan(share) ? 0 : (int)lround(fmin(fmax(share, 0), 1) * width);
	/* Full only when it is: 99 % is not there yet. */
	if (full == width && share < 1 && width > 0)
		full = width - 1;
	for (i = 0; i < width; i++)
		buf[i] = isnan(share) ? '.' : i < full ? '|' : ' ';
	buf[i] = 0;
	return buf;
}

const char *gf_explain_operator(const char *text, size_t *ret_len)
{
	static const char *const ops[] = { " <= ", " >= ", " == ", " != ", " < ", " > " };
	const char *found = NULL;

	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
		const char *at = strstr(text, ops[i]);
		if (!at)
			continue;
		if (found || strstr(at + 1, ops[i]))
			return NULL;
		found = at;
		*ret_len = strlen(ops[i]);
	}
	return found;
}

const char *gf_explain_term(const json_t *t, char *buf, size_t n)
{
	const char *text = gf_js_str(t, "text"), *l = gf_js_str(t, "left_text"), *r = gf_js_str(t, "right_text");
	size_t op_len = 0;
	const char *op = gf_explain_operator(text, &op_len);

	if (!*l && !*r)
		snprintf(buf, n, "%s", text);
	else if (!strcmp(l, "unknown") && (!*r || !strcmp(r, "unknown")))
		snprintf(buf, n, "%s: not known", text);
	else if (op && *r)
		snprintf(buf, n, "%.*s %s vs %.*s %s", (int)(op - text), text, *l ? l : "unknown", (int)op_len - 2, op + 1, r);
	else if (op)
		snprintf(buf, n, "%.*s %s vs %s", (int)(op - text), text, l, op + 1);
	else
		snprintf(buf, n, "%s: %s%s%s", text, *l ? l : "unknown", *r ? " vs " : "", r);
	return buf;
}

const json_t *gf_explain_decisive(const json_t *rule)
{
	const json_t *terms = json_object_get(rule, "terms");
	const json_t *first_unknown = NULL;
	/* Of an "or" that holds, a part that holds. */
	const char *want = strcmp(gf_js_str(rule, "truth"), "true") ? "false" : "true";

	for (size_t i = 0; i < json_array_size(terms); i++) {
		const json_t *t = json_array_get(terms, i);
		if (!strcmp(gf_js_str(t, "truth"), want))
			return t;
		if (!first_unknown && !strcmp(gf_js_str(t, "truth"), "unknown"))
			first_unknown = t;
	}
	return first_unknown ? first_unknown : json_array_get(terms, 0);
}

static enum gf_look event_look(const json_t *e)
{
	const char *kind = gf_js_str(e, "kind");

	if (!strcmp(kind, "action"))
		return gf_js_bool(e, "observed") ? GF_LOOK_WARN : GF_LOOK_BAD;
	if (!strcmp(kind, "no-victim") || !strcmp(kind, "held-back") || !strcmp(kind, "missed") || !strcmp(kind, "rule-on"))
		return GF_LOOK_WARN;
	return GF_LOOK_PLAIN;
}

void gf_explain_event_line(const json_t *e, struct gf_lines *out)
{
	char when[64];

	gf_lines_add(out, event_look(e), "%s  #%lld  %s", gf_show_time(gf_js_str(e, "time"), true, when, sizeof when),
		     gf_js_int(e, "seq"), *gf_js_str(e, "sentence") ? gf_js_str(e, "sentence") : gf_js_str(e, "kind"));
}

static void add_terms(const json_t *terms, struct gf_lines *out)
{
	char buf[512];

	for (size_t i = 0; i < json_array_size(terms); i++) {
		const json_t *t = json_array_get(terms, i);
		const char *truth = gf_js_str(t, "truth");
		gf_lines_add(out, gf_explain_truth_look(truth), "  %-8s %s", or_dash(truth), gf_js_str(t, "text"));
		if (*gf_js_str(t, "left_text") || *gf_js_str(t, "right_text"))
			gf_lines_add(out, GF_LOOK_DIM, "           %s", gf_explain_term(t, buf, sizeof buf));
	}
}

static const char *why_text(const char *why)
{
	static const struct { const char *why, *text; } t[] = {
		{ "chosen", "chosen" },
		{ "ranked-lower", "not chosen: ranked lower" },
		{ "avoided", "not chosen: in class avoid, and others were enough" },
		{ "not-preferred", "not chosen: a preferred one came first" },
		{ "pid1", "never touched: pid 1 or a container's init" },
		{ "kthread", "never touched: kernel thread" },
		{ "self", "never touched: the daemon or its helper" },
		{ "exiting", "never touched: exiting already" },
		{ "torn", "never touched: read while it changed" },
		{ "oom-immune", "protected: oom_score_adj is -1000" },
		{ "protected", "protected" },
		{ "where", "not chosen: where does not hold" },
		{ "condemned", "not chosen: another rule's victim" },
		{ "key-unknown", "not chosen: its rank is not known" },
	};

	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		if (!strcmp(t[i].why, why))
			return t[i].text;
	return why;
}

static void add_ranks(const json_t *ranks, struct gf_lines *out)
{
	if (!json_array_size(ranks))
		return;
	gf_lines_add(out, GF_LOOK_PLAIN, "%s", "");
	gf_lines_add(out, GF_LOOK_HEAD, "Candidates");
	gf_lines_add(out, GF_LOOK_DIM, "  %7s %-15s %-10s %10s  %-9s %s", "PID", "COMM", "USER", "RANK", "CLASS", "WHY");
	for (size_t i = 0; i < json_array_size(ranks); i++) {
		const json_t *r = json_array_get(ranks, i);
		const char *by = gf_js_str(r, "by"), *why = gf_js_str(r, "why");
		char user[40];
		gf_lines_add(out, strcmp(why, "chosen") ? GF_LOOK_PLAIN : GF_LOOK_BAD, "  %7lld %-15s %-10s %10s  %-9s %s%s%s",
			     gf_js_int(r, "pid"), gf_js_str(r, "comm"),
			     gf_show_user(gf_js_num(r, "uid"), user, sizeof user), or_dash(gf_js_str(r, "key_text")),
			     gf_js_str(r, "class"), why_text(why), *by ? ", by " : "", by);
	}
}

static void add_counts(const json_t *c, struct gf_lines *out)
{
	static const struct { const char *key, *text; } part[] = {
		{ "never", "may never be touched" }, { "protected", "protected" }, { "where", "left out by where" },
		{ "condemned", "another rule's" }, { "chosen", "chosen" }, { "members", "reached with its group" },
	};
	char buf[400];
	size_t at;

	if (!json_is_object(c))
		return;
	at = (size_t)snprintf(buf, sizeof buf, "  of %lld candidate%s", gf_js_int(c, "candidates"), gf_js_int(c, "candidates") == 1 ? "" : "s");
	for (size_t i = 0; i < sizeof part / sizeof *part; i++)
		if (gf_js_int(c, part[i].key) > 0 && at < sizeof buf)
			at += (size_t)snprintf(buf + at, sizeof buf - at, "%s %lld %s", i ? "," : ":",
					       gf_js_int(c, part[i].key), part[i].text);
	gf_lines_add(out, GF_LOOK_PLAIN, "%s", buf);
}

void gf_explain_choice(const json_t *e, struct gf_lines *out)
{
	add_ranks(json_object_get(e, "ranks"), out);
	add_counts(json_object_get(e, "counts"), out);
}

/* "; store, delivered, 2 tries": how it went into a target's memory. */
static const char *delivery(const json_t *o, char *buf, size_t n)
{
	long long tries = gf_js_int(o, "tries");

	buf[0] = 0;
	if (*gf_js_str(o, "how"))
		snprintf(buf, n, "; %.32s, %.32s, %lld %s", gf_js_str(o, "how"), gf_js_str(o, "became"), tries, tries == 1 ? "try" : "tries");
	return buf;
}

static void add_members(const json_t *m, struct gf_lines *out)
{
	if (!json_array_size(m))
		return;
	gf_lines_add(out, GF_LOOK_PLAIN, "%s", "");
	gf_lines_add(out, GF_LOOK_HEAD, "What became of it");
	for (size_t i = 0; i < json_array_size(m); i++) {
		const json_t *o = json_array_get(m, i);
		const char *error = gf_js_str(o, "error");
		double us = gf_js_num(o, "exit_us");
		char span[32], how[96];
		if (*error)
			gf_lines_add(out, GF_LOOK_WARN, "  %7lld not reached: %s", gf_js_int(o, "pid"), error);
		else if (isnan(us))
			gf_lines_add(out, GF_LOOK_PLAIN, "  %7lld reached; has not ended%s", gf_js_int(o, "pid"), delivery(o, how, sizeof how));
		else
			gf_lines_add(out, GF_LOOK_PLAIN, "  %7lld ended after %s%s", gf_js_int(o, "pid"),
				     gf_show_span(us / 1e6, span, sizeof span), delivery(o, how, sizeof how));
	}
}

void gf_explain_event(const json_t *e, struct gf_lines *out)
{
	char when[64], buf[64];
	double us = gf_js_num(e, "decide_us");

	gf_lines_add(out, GF_LOOK_HEAD, "Event #%lld, %s", gf_js_int(e, "seq"),
		     gf_show_time(gf_js_str(e, "time"), true, when, sizeof when));
	gf_lines_add(out, event_look(e), "  %s", gf_js_str(e, "sentence"));
	gf_lines_add(out, GF_LOOK_PLAIN, "%s", "");
	gf_lines_add(out, GF_LOOK_PLAIN, "  kind     %s%s", or_dash(gf_js_str(e, "kind")),
		     gf_js_bool(e, "observed") ? " (observed only: nothing was done)" : "");
	if (*gf_js_str(e, "target"))
		gf_lines_add(out, GF_LOOK_PLAIN, "  target   %s", gf_js_str(e, "target"));
	if (*gf_js_str(e, "rule"))
		gf_lines_add(out, GF_LOOK_PLAIN, "  rule     %s", gf_js_str(e, "rule"));
	if (*gf_js_str(e, "step"))
		gf_lines_add(out, GF_LOOK_PLAIN, "  step     %s", gf_js_str(e, "step"));
	if (gf_js_int(e, "pid") > 0)
		gf_lines_add(out, GF_LOOK_PLAIN, "  process  %lld %s, user %s", gf_js_int(e, "pid"), gf_js_str(e, "comm"),
			     gf_show_user(gf_js_num(e, "uid"), buf, sizeof buf));
	if (*gf_js_str(e, "held_back"))
		gf_lines_add(out, GF_LOOK_WARN, "  held back by %s", gf_js_str(e, "held_back"));
	if (gf_js_int(e, "about") > 0)
		gf_lines_add(out, GF_LOOK_PLAIN, "  about    event #%lld", gf_js_int(e, "about"));
	if (*gf_js_str(e, "notify"))
		gf_lines_add(out, GF_LOOK_PLAIN, "  notify   %s", gf_js_str(e, "notify"));
	if (us >= 0)
		gf_lines_add(out, GF_LOOK_PLAIN, "  decided  %s after the sample was taken", gf_show_span(us / 1e6, buf, sizeof buf));
	if (json_array_size(json_object_get(e, "terms"))) {
		gf_lines_add(out, GF_LOOK_PLAIN, "%s", "");
		gf_lines_add(out, GF_LOOK_HEAD, "What the rule saw");
		add_terms(json_object_get(e, "terms"), out);
	}
	gf_explain_choice(e, out);
	add_members(json_object_get(e, "members"), out);
}

static const char *phase_text(const char *phase)
{
	if (!strcmp(phase, "idle"))
		return "idle: watching";
	if (!strcmp(phase, "steps"))
		return "steps: between two of its steps";
	if (!strcmp(phase, "settle"))
		return "settle: waits for its victims to be gone";
	if (!strcmp(phase, "cooldown"))
		return "cooldown: has acted and rests";
	return phase;
}

static void rule_state(const json_t *r, struct gf_lines *out)
{
	const json_t *closest = json_object_get(r, "closest"), *term = gf_explain_decisive(r);
	double close = gf_js_num(r, "closeness"), ago = gf_js_num(r, "last_ago_s"), due = gf_js_num(r, "due_in_s");
	const char *truth = gf_js_str(r, "truth");
	char bar[24], buf[512];

	gf_lines_add(out, gf_explain_truth_look(truth), "  now      %s%s", or_dash(truth),
		     gf_js_int(r, "true_rows") > 1 ? ", for several processes" : "");
	gf_lines_add(out, GF_LOOK_PLAIN, "  phase    %s%s%s", phase_text(or_dash(gf_js_str(r, "phase"))),
		     due >= 0 ? "; next in " : "", due >= 0 ? gf_show_span(due, buf, sizeof buf) : "");
	if (isnan(close))
		gf_lines_add(out, GF_LOOK_PLAIN, "  close    not known");
	else
		gf_lines_add(out, GF_LOOK_PLAIN, "  close    [%s] %d%%", gf_explain_bar(close, 20, bar, sizeof bar),
			     (int)floor(fmin(fmax(close, 0), 1) * 100));
	if (json_is_object(closest))
		gf_lines_add(out, GF_LOOK_PLAIN, "  nearest  %s (pid %lld)", gf_js_str(closest, "comm"), gf_js_int(closest, "pid"));
	if (term && !strcmp(truth, "true"))
		gf_lines_add(out, GF_LOOK_WARN, "  because  %s", gf_explain_term(term, buf, sizeof buf));
	else if (term && strcmp(gf_js_str(term, "truth"), "true"))
		gf_lines_add(out, GF_LOOK_WARN, "  kept from firing by %s", gf_explain_term(term, buf, sizeof buf));
	else if (term && !strcmp(gf_js_str(r, "phase"), "idle"))
		gf_lines_add(out, GF_LOOK_WARN, "  all terms hold; not yet for long enough");
	gf_lines_add(out, GF_LOOK_PLAIN, "  fired    %lld time%s%s%s%s", gf_js_int(r, "fired") < 0 ? 0 : gf_js_int(r, "fired"),
		     gf_js_int(r, "fired") == 1 ? "" : "s", ago >= 0 ? ", last " : "",
		     ago >= 0 ? gf_show_span(ago, buf, sizeof buf) : "", ago >= 0 ? " ago" : "");
}

void gf_explain_rule(const json_t *r, const json_t *events, struct gf_lines *out)
{
	const json_t *steps = json_object_get(r, "steps"), *terms = json_object_get(r, "terms");
	const char *title = gf_js_str(r, "title");

	gf_lines_add(out, GF_LOOK_HEAD, "Rule %s%s%s%s", gf_js_str(r, "name"), *title ? " \"" : "", title, *title ? "\"" : "");
	if (*gf_js_str(r, "file"))
		gf_lines_add(out, GF_LOOK_DIM, "  %s:%lld", gf_js_str(r, "file"), gf_js_int(r, "line"));
	gf_lines_add(out, GF_LOOK_PLAIN, "  if %s", gf_js_str(r, "text"));
	for (size_t i = 0; i < json_array_size(steps); i++) {
		const char *s = json_string_value(json_array_get(steps, i));
		if (s)
			gf_lines_add(out, GF_LOOK_PLAIN, "  %s%s", strncmp(s, "then", 4) ? "then " : "", s);
	}
	gf_lines_add(out, GF_LOOK_PLAIN, "%s", "");
	rule_state(r, out);
	if (json_array_size(terms)) {
		gf_lines_add(out, GF_LOOK_PLAIN, "%s", "");
		gf_lines_add(out, GF_LOOK_HEAD, "Terms");
		add_terms(terms, out);
	}
	if (events) {
		gf_lines_add(out, GF_LOOK_PLAIN, "%s", "");
		gf_lines_add(out, GF_LOOK_HEAD, "Last events");
		for (size_t i = 0; i < json_array_size(events); i++)
			gf_explain_event_line(json_array_get(events, i), out);
		if (!json_array_size(events))
			gf_lines_add(out, GF_LOOK_DIM, "  none");
	}
}
