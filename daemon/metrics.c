/* SPDX-License-Identifier: MIT
 *
 * Prometheus text exposition, format 0.0.4. By hand: it is lines of text, and
 * the client libraries bring servers and registries that nobody needs here.
 */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/daemon.h"
#include "daemon/eventjson.h"

__attribute__((format(printf, 2, 3)))
static void put(struct gf_jbuf *b, const char *fmt, ...)
{
	char t[1024];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(t, sizeof t, fmt, ap);
	va_end(ap);
	if (n > 0)
		gf_jbuf_raw(b, t, GF_MIN((size_t)n, sizeof t - 1));
}

static void head(struct gf_jbuf *b, const char *name, const char *type, const char *help)
{
	put(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value: backslash, quote and newline are escaped, what is not UTF-8 made visible. */
static void label(struct gf_jbuf *b, char before, const char *key, const char *value)
{
	char safe[512];

	put(b, "%c%s=\"", before, key);
	for (const char *s = gf_safe_text(value, strlen(value), safe, sizeof safe); *s; s++) {
		if (*s == '\\' || *s == '"')
			gf_jbuf_raw(b, "\\", 1);
		gf_jbuf_raw(b, s, 1);
	}
	gf_jbuf_raw(b, "\"", 1);
}

static void number(struct gf_jbuf *b, double v)
{
	if (isnan(v))
		put(b, " NaN\n");
	else if (isinf(v))
		put(b, v > 0 ? " +Inf\n" : " -Inf\n");
	else
		put(b, " %.17g\n", v);
}

static void simple(struct gf_jbuf *b, const char *name, const char *type, const char *help, double v)
{
	head(b, name, type, help);
	put(b, "%s", name);
	number(b, v);
}

static void rules(struct gf_daemon *d, struct gf_jbuf *b)
{
	uint64_t fp = 0;
	struct gf_rule_view *v = calloc(GF_MAX_RULES, sizeof *v);
	size_t n = v ? gf_engine_rules(d->engine, v, GF_MAX_RULES, &fp) : 0;
	struct gf_policy *p = n ? gf_policies_find(d->policies, fp) : NULL;

	if (p) {
		const struct gf_rule *r = GF_SEC(struct gf_rule, p->img, GF_SEC_RULE);
		n = GF_MIN(n, (size_t)p->rules);
		head(b, "gpufas_rule_true", "gauge", "1 while the rule's condition is true, 0 while it is not, NaN while that is not known.");
		for (size_t i = 0; i < n; i++) {
			put(b, "gpufas_rule_true");
			label(b, '{', "rule", gf_image_str(p->img, r[i].name));
			put(b, "}");
			number(b, v[i].truth == GF_UNKNOWN ? NAN : v[i].truth == GF_TRUE);
		}
		head(b, "gpufas_rule_closeness", "gauge", "How near the rule is to firing, 0 to 1; NaN while that is not known.");
		for (size_t i = 0; i < n; i++) {
			put(b, "gpufas_rule_closeness");
			label(b, '{', "rule", gf_image_str(p->img, r[i].name));
			put(b, "}");
			number(b, v[i].close);
		}
	}
	gf_policy_put(p);
	free(v);
}

static void one_action(void *arg, const struct gf_action_count *c)
{
	struct gf_jbuf *b = arg;

	put(b, "gpufas_actions_total");
	label(b, '{', "rule", c->rule);
	label(b, ',', "action", c->action);
	put(b, "}");
	number(b, (double)c->n);
}

static void events(struct gf_daemon *d, const struct gf_engine_stats *st, struct gf_jbuf *b)
{
	struct gf_reporter_stats rs;

	gf_reporter_stats(d->reporter, &rs);
	head(b, "gpufas_actions_total", "counter", "Steps taken, by rule and action; not those that were only observed.");
	gf_reporter_actions(d->reporter, one_action, b);
	head(b, "gpufas_held_back_total", "counter", "Times that a rule was true and might not act, by reason.");
	for (uint8_t i = GF_HB_COOLDOWN; i <= GF_HB_BUSY; i++) {
		put(b, "gpufas_held_back_total");
		label(b, '{', "reason", gf_held_back_name(i));
		put(b, "} %llu\n", (unsigned long long)rs.held_back[i]);
	}
	head(b, "gpufas_events_total", "counter", "Events, by kind.");
	for (uint8_t i = 0; i <= GF_EV_DAEMON; i++) {
		put(b, "gpufas_events_total");
		label(b, '{', "kind", gf_event_kind_name(i));
		put(b, "} %llu\n", (unsigned long long)rs.kinds[i]);
	}
	simple(b, "gpufas_events_lost_total", "counter", "Events that a full queue did not take.", (double)(rs.lost + st->events_dropped));
	simple(b, "gpufas_verdicts_lost_total", "counter", "Actions that a full queue did not take.", (double)st->verdicts_dropped);
	simple(b, "gpufas_audit_lost_total", "counter", "Events that are missing in the audit file.", d->audit ? (double)gf_audit_lost(d->audit) : 0);
	char text[512] = "";
	simple(b, "gpufas_audit_failing", "gauge", "1 while the audit file cannot be written.", d->audit && *gf_audit_error(d->audit, text, sizeof text));
}

void gf_daemon_metrics(struct gf_daemon *d, struct gf_jbuf *b)
{
	struct gf_engine_stats st;

	gf_engine_stats(d->engine, &st);
	head(b, "gpufas_build_info", "gauge", "1, with the version and the engine as labels.");
	put(b, "gpufas_build_info");
	label(b, '{', "version", GF_VERSION);
	label(b, ',', "engine", "cpu");
	label(b, ',', "road", d->target->road);
	put(b, "} 1\n");
	simple(b, "gpufas_observe", "gauge", "1 in observe mode: nothing is acted on.", d->observe);
	simple(b, "gpufas_ticks_total", "counter", "Periods evaluated.", (double)st.ticks);
	simple(b, "gpufas_missed_ticks_total", "counter", "Periods without a tick.", (double)st.missed);
	simple(b, "gpufas_overruns_total", "counter", "Ticks that took longer than the period.", (double)st.overruns);
	simple(b, "gpufas_sample_errors_total", "counter", "Samples that failed.", (double)st.sample_errors);
	head(b, "gpufas_tick_seconds", "gauge", "Time that a tick takes, running average, by part; max: the longest since the start.");
	put(b, "gpufas_tick_seconds{part=\"sample\"} %.9g\n", (double)st.sample_avg_ns / 1e9);
	put(b, "gpufas_tick_seconds{part=\"evaluate\"} %.9g\n", (double)st.eval_avg_ns / 1e9);
	put(b, "gpufas_tick_seconds{part=\"total\"} %.9g\n", (double)st.total_avg_ns / 1e9);
	put(b, "gpufas_tick_seconds{part=\"max\"} %.9g\n", (double)st.total_max_ns / 1e9);
	simple(b, "gpufas_period_seconds", "gauge", "The period as configured.", (double)d->config->period_ns / 1e9);
	simple(b, "gpufas_tasks", "gauge", "Processes in the last sample.", st.live);
	simple(b, "gpufas_tasks_dropped", "gauge", "Processes that found no room in the table (max-tasks).", st.dropped);
	simple(b, "gpufas_rules", "gauge", "Rules in force.", d->policy->rules);
	rules(d, b);
	events(d, &st, b);
	simple(b, "gpufas_budget_used", "gauge", "Actions inside the budget's window.", st.budget_used);
	simple(b, "gpufas_budget_limit", "gauge", "Actions that the budget allows in its window.", st.budget_n);
	head(b, "gpufas_reloads_total", "counter", "Reloads, by result.");
	put(b, "gpufas_reloads_total{result=\"ok\"} %llu\n", (unsigned long long)d->reloads_ok);
	put(b, "gpufas_reloads_total{result=\"error\"} %llu\n", (unsigned long long)d->reloads_failed);
	simple(b, "gpufas_resident_memory_bytes", "gauge", "Resident memory of the daemon.", (double)gf_daemon_rss());
}
