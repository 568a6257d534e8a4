/* SPDX-License-Identifier: MIT */
#include "ctl/explain.h"

#include <math.h>
#include <string.h>

static const char *micros(double us, char *buf, size_t n)
{
	if (isnan(us))
		snprintf(buf, n, "-");
	else if (us < 1000)
		snprintf(buf, n, "%.0f us", us);
	else if (us < 1e6)
		snprintf(buf, n, "%.1f ms", us / 1e3);
	else
		snprintf(buf, n, "%.1f s", us / 1e6);
	return buf;
}

static void add_policy(const json_t *p, const char *head, bool list, struct gf_lines *out)
{
	const json_t *files = json_object_get(p, "files");
	char when[64];

	gf_lines_add(out, GF_LOOK_PLAIN, "  %-9s%lld rule%s from %zu file%s, loaded %s", head, gf_js_int(p, "rules"),
		     gf_js_int(p, "rules") == 1 ? "" : "s",
		     json_array_size(files), json_array_size(files) == 1 ? "" : "s",
		     gf_show_time(gf_js_str(p, "loaded_at"), true, when, sizeof when));
	for (size_t i = 0; list && i < json_array_size(files); i++)
		if (json_string_value(json_array_get(files, i)))
			gf_lines_add(out, GF_LOOK_DIM, "  %-9s%s", "", json_string_value(json_array_get(files, i)));
}

static void add_budget(const json_t *budget, const char *head, struct gf_lines *out)
{
	char a[32];

	if (json_is_object(budget))
		gf_lines_add(out, gf_js_num(budget, "used") >= gf_js_num(budget, "of") ? GF_LOOK_BAD : GF_LOOK_PLAIN,
			     "  %-9s%lld of %lld actions used in the last %s", head, gf_js_int(budget, "used"),
			     gf_js_int(budget, "of"), gf_show_window(gf_js_num(budget, "window_s"), a, sizeof a));
}

/* "gpu 0 (NVIDIA H100), persistent, 4 x 256 threads", or "cpu". */
static const char *engine_text(const json_t *e, char *buf, size_t n)
{
	char name[128];

	if (strcmp(gf_js_str(e, "kind"), "gpu") || !*gf_js_str(e, "name"))
		snprintf(buf, n, "%s", gf_show_safe(gf_js_str(e, "kind"), name, sizeof name));
	else
		snprintf(buf, n, "gpu %lld (%s), %.16s, %lld x %lld threads", gf_js_int(e, "device"), gf_show_safe(gf_js_str(e, "name"), name, sizeof name),
			 gf_js_str(e, "mode"), gf_js_int(e, "blocks"), gf_js_int(e, "threads"));
	return buf;
}

/* Why a target's engine is not where it was to be, or that it was not. */
static void add_engine_why(const json_t *e, struct gf_lines *out)
{
	long long takeovers = gf_js_int(e, "takeovers");
	bool back = !strcmp(gf_js_str(e, "kind"), "gpu"), lost = takeovers > 0 && !back;

	if (lost)
		gf_lines_add(out, GF_LOOK_BAD, "  %-9sthe CPU took over from the GPU", "");
	else if (takeovers > 0)
		gf_lines_add(out, GF_LOOK_PLAIN, "  %-9sused again; the CPU had taken over %lld time%s", "", takeovers, takeovers == 1 ? "" : "s");
	if (*gf_js_str(e, "why"))
		gf_lines_add(out, lost ? GF_LOOK_BAD : GF_LOOK_WARN, "  %-9s%s", "", gf_js_str(e, "why"));
}

/* What runs the ticks: one line where it is the same for all targets. True: it is. */
static bool add_engine(const json_t *s, struct gf_lines *out)
{
	const json_t *engine = json_object_get(s, "engine"), *targets = json_object_get(s, "targets"), *t;
	const json_t *first = json_object_get(json_array_get(targets, 0), "engine");
	char text[256], other[256], a[32];
	bool alike = true, why = true;
	size_t i, gpus = 0;

	engine_text(json_is_object(first) ? first : engine, text, sizeof text); /* an older daemon has one for all */
	json_array_foreach(targets, i, t) {
		const json_t *e = json_object_get(t, "engine");
		alike &= !json_is_object(e) || !strcmp(text, engine_text(e, other, sizeof other));
		why &= !json_is_object(e) || (!strcmp(gf_js_str(first, "why"), gf_js_str(e, "why")) &&
					      gf_js_int(first, "takeovers") == gf_js_int(e, "takeovers"));
		gpus += !strcmp(gf_js_str(e, "kind"), "gpu");
	}
	if (!alike)
		snprintf(text, sizeof text, "%zu of %zu targets on a GPU", gpus, json_array_size(targets));
	gf_lines_add(out, GF_LOOK_PLAIN, "  %-9s%s, a tick every %s%s%s", "engine", text,
		     gf_show_span(gf_js_num(s, "period_ns") / 1e9, a, sizeof a),
		     gf_js_bool(engine, "rt") ? "" : ", NOT real-time", gf_js_bool(engine, "mlocked") ? "" : ", memory NOT locked");
	if (*gf_js_str(engine, "why"))
		gf_lines_add(out, GF_LOOK_PLAIN, "  %-9s%s", "", gf_js_str(engine, "why"));
	if (alike && why)
		add_engine_why(first, out);
	json_array_foreach(json_object_get(engine, "shared"), i, t)
		gf_lines_add(out, GF_LOOK_WARN, "  %-9sGPU %lld is %s", "", gf_js_int(t, "device"), gf_js_str(t, "text"));
	return alike && why;
}

/* What the policy beside the one in force would have done otherwise: the sum, and the last of it. */
static void add_shadow(const json_t *s, struct gf_lines *out)
{
	const json_t *list = json_object_get(s, "differences"), *files = json_object_get(s, "files");
	size_t n = json_array_size(list);

	if (!json_is_object(s))
		return;
	if (*gf_js_str(s, "why_not")) {
		gf_lines_add(out, GF_LOOK_WARN, "  %-9sNOT evaluated: %s", "shadow", gf_js_str(s, "why_not"));
		return;
	}
	gf_lines_add(out, GF_LOOK_PLAIN, "  %-9s%lld rules from %s%s: %lld actions as the policy in force, %lld alone, %lld not", "shadow", gf_js_int(s, "rules"),
		     json_string_value(json_array_get(files, 0)) ? json_string_value(json_array_get(files, 0)) : "?",
		     json_array_size(files) > 1 ? ", ..." : "", gf_js_int(s, "agreed"), gf_js_int(s, "only_shadow"), gf_js_int(s, "only_active"));
	gf_lines_add(out, GF_LOOK_PLAIN, "  %-9s%s", "", gf_js_str(s, "how"));
	if (gf_js_bool(s, "stale") && strcmp(gf_js_str(s, "samples"), "same"))
		gf_lines_add(out, GF_LOOK_BAD, "  %-9sthe shadow is STALE: %s", "", gf_js_str(s, "sample_error"));
	if (gf_js_int(s, "unseen") > 0)
		gf_lines_add(out, GF_LOOK_PLAIN, "  %-9sof %lld of those not done the process had gone before the shadow looked again", "", gf_js_int(s, "unseen"));
	if (gf_js_int(s, "lost") > 0)
		gf_lines_add(out, GF_LOOK_WARN, "  %-9s%lld actions of the policy in force came too fast to be compared", "", gf_js_int(s, "lost"));
	for (size_t i = n > 5 ? n - 5 : 0; i < n; i++) {
		const json_t *d = json_array_get(list, i);
		gf_lines_add(out, GF_LOOK_WARN, "  %-9s%s: %s%s", "", strcmp(gf_js_str(d, "only"), "shadow") ? "only in force" : "only shadow  ",
			     gf_js_str(d, "sentence"), gf_js_bool(d, "unseen") ? " (gone before the shadow looked)" : "");
	}
}

/* many: what the daemon has one of for each target is said here. same_engine: what runs it has been said. */
static void add_target(const json_t *t, bool many, bool same_engine, struct gf_lines *out)
{
	char on[256];
	char a[32], b[32], c[32], d[32];
	long long missed = gf_js_int(t, "missed"), overruns = gf_js_int(t, "overruns");
	bool observe = !strcmp(gf_js_str(t, "mode"), "observe"), host = !strcmp(gf_js_str(t, "kind"), "host");

	const char *module = gf_js_str(t, "module"), *delivery = gf_js_str(t, "delivery");

	gf_lines_add(out, GF_LOOK_PLAIN, "  %-9s%s (%s%s%s%s%s): %lld tasks", "target", gf_js_str(t, "name"), gf_js_str(t, "kind"),
		     !*gf_js_str(t, "road") ? "" : host ? " by " : "; ", gf_js_str(t, "road"), *delivery ? ", delivery by " : "", delivery,
		     gf_js_int(t, "tasks"));
	if (*module && strcmp(module, "samples") && strcmp(module, "not to be used"))
		gf_lines_add(out, GF_LOOK_PLAIN, "  %-9skernel module: %s", "", module);
	if (json_is_true(json_object_get(t, "alone")))
		gf_lines_add(out, GF_LOOK_PLAIN, "  %-9sthe GPU samples, decides%s by the kernel module: also while this machine runs no user space", "",
			     !strcmp(delivery, "kmod") ? " and delivers" : "");
	if (*gf_js_str(t, "not_alone_why"))
		gf_lines_add(out, GF_LOOK_WARN, "  %-9s%s", "", gf_js_str(t, "not_alone_why"));
	if (many) {
		gf_lines_add(out, observe ? GF_LOOK_WARN : GF_LOOK_PLAIN, "  %-9s%s mode, a tick every %s", "",
			     gf_js_str(t, "mode"), gf_show_span(gf_js_num(t, "period_ns") / 1e9, a, sizeof a));
		add_policy(json_object_get(t, "policy"), "", true, out);
		add_budget(json_object_get(t, "budget"), "", out);
	}
	add_shadow(json_object_get(t, "shadow"), out);
	if (!same_engine) {
		gf_lines_add(out, GF_LOOK_PLAIN, "  %-9son %s", "", engine_text(json_object_get(t, "engine"), on, sizeof on));
		add_engine_why(json_object_get(t, "engine"), out);
	}
	gf_lines_add(out, GF_LOOK_PLAIN, "  %-9s%s a tick: %s sampling, %s evaluating; longest %s", "",
		     micros(gf_js_num(t, "total_us"), a, sizeof a), micros(gf_js_num(t, "sample_us"), b, sizeof b),
		     micros(gf_js_num(t, "eval_us"), c, sizeof c), micros(gf_js_num(t, "total_max_us"), d, sizeof d));
	if (gf_js_bool(t, "stale"))
		gf_lines_add(out, GF_LOOK_BAD, "  %-9sSTALE: no rule acts on this; %s", "", gf_js_str(t, "sample_error"));
	gf_lines_add(out, missed > 0 ? GF_LOOK_WARN : GF_LOOK_PLAIN, "  %-9s%lld ticks, %lld missed, %lld over the period", "",
		     gf_js_int(t, "ticks"), missed < 0 ? 0 : missed, overruns < 0 ? 0 : overruns);
}

/* many: rules say which target they are for, by "target". */
static void add_rules(const json_t *rules, bool many, struct gf_lines *out)
{
	size_t i;
	const json_t *r;

	if (!json_array_size(rules))
		return;
	gf_lines_add(out, GF_LOOK_PLAIN, "%s", "");
	gf_lines_add(out, GF_LOOK_HEAD, "  %s%-24s %-8s %-9s %-6s %6s  %s", many ? "TARGET           " : "", "RULE", "NOW", "PHASE", "CLOSE", "FIRED", "LAST");
	json_array_foreach(rules, i, r) {
		double close = gf_js_num(r, "closeness"), ago = gf_js_num(r, "last_ago_s");
		char pct[16], last[32], target[80] = "";
		if (many)
			snprintf(target, sizeof target, "%-16s ", gf_js_str(r, "target"));
		if (isnan(close))
			snprintf(pct, sizeof pct, "-");
		else
			snprintf(pct, sizeof pct, "%d%%", (int)floor(fmin(fmax(close, 0), 1) * 100));
		gf_lines_add(out, gf_explain_truth_look(gf_js_str(r, "truth")), "  %s%-24s %-8s %-9s %-6s %6lld  %s%s", target, gf_js_str(r, "name"),
			     gf_js_str(r, "truth"), gf_js_str(r, "phase"), pct, gf_js_int(r, "fired") < 0 ? 0 : gf_js_int(r, "fired"),
			     isnan(ago) ? "never" : gf_show_span(ago, last, sizeof last), isnan(ago) ? "" : " ago");
	}
}

/* Where the last hours are, and how far back they go. */
static void add_recorder(const json_t *r, struct gf_lines *out)
{
	const char *bad = "", *oldest = NULL;
	double bytes = 0, lost = 0;
	char a[32], b[32], t[64];
	const json_t *v;
	size_t i;

	if (!*gf_js_str(r, "directory"))
		return;
	json_array_foreach(json_object_get(r, "targets"), i, v) {
		const char *o = gf_js_str(v, "oldest");
		bytes += gf_js_num(v, "bytes");
		lost += json_is_number(json_object_get(v, "lost")) ? gf_js_num(v, "lost") : 0; /* an older daemon has none */
		bad = *bad ? bad : gf_js_str(v, "error");
		if (*o && (!oldest || strcmp(o, oldest) < 0))
			oldest = o;
	}
	gf_lines_add(out, *bad ? GF_LOOK_BAD : GF_LOOK_PLAIN, "  %-9s%s of %s in %s%s%s%s%s", "recorder", gf_show_size(bytes, a, sizeof a),
		     gf_show_size(gf_js_num(r, "size"), b, sizeof b), gf_js_str(r, "directory"), oldest ? ", since " : "",
		     oldest ? gf_show_time(oldest, true, t, sizeof t) : "", *bad ? ": " : "", bad);
	if (lost > 0)
		gf_lines_add(out, GF_LOOK_BAD, "  %-9s%.0f ticks are not in its recordings: they came faster than they could be written, or the disk was full", "", lost);
}

void gf_explain_status(const json_t *s, const json_t *rules, struct gf_lines *out)
{
	const json_t *budget = json_object_get(s, "budget");
	const json_t *events = json_object_get(s, "events"), *targets = json_object_get(s, "targets");
	const json_t *policy = json_object_get(s, "policy");
	bool observe = !strcmp(gf_js_str(s, "mode"), "observe"), many = json_array_size(targets) > 1;
	char a[32], b[32];
	size_t i;
	const json_t *t;

	gf_lines_add(out, GF_LOOK_HEAD, "gpufasd %s, pid %lld, up %s", gf_js_str(s, "version"), gf_js_int(s, "pid"),
		     gf_show_span(gf_js_num(s, "uptime_s"), a, sizeof a));
	gf_lines_add(out, observe ? GF_LOOK_WARN : GF_LOOK_PLAIN, "  %-9s%s", "mode",
		     observe ? "observe: rules report what they would do and do nothing" : gf_js_str(s, "mode"));
	bool same_engine = add_engine(s, out);
	if (!many)
		add_policy(policy, "policy", true, out);
	if (*gf_js_str(policy, "last_reload_error"))
		gf_lines_add(out, GF_LOOK_BAD, "  %-9sthe last reload failed: %s (`gpufasctl reload` shows it)", many ? "policy" : "",
			     gf_js_str(policy, "last_reload_error"));
	json_array_foreach(targets, i, t)
		add_target(t, many, same_engine, out);
	if (!many)
		add_budget(budget, "budget", out);
	if (json_is_object(events)) {
		const char *audit = gf_js_str(events, "audit"), *bad = gf_js_str(events, "audit_error");
		gf_lines_add(out, gf_js_int(events, "lost") > 0 || *bad ? GF_LOOK_BAD : GF_LOOK_PLAIN,
			     "  %-9s%lld kept, %lld lost; audit file %s%s%s", "events", gf_js_int(events, "queued"),
			     gf_js_int(events, "lost"), *audit ? audit : "none", *bad ? ": " : "", bad);
	}
	add_recorder(json_object_get(s, "recorder"), out);
	gf_lines_add(out, GF_LOOK_PLAIN, "  %-9s%s", "memory", gf_show_size(gf_js_num(s, "rss_bytes"), b, sizeof b));
	add_rules(rules, many, out);
}
