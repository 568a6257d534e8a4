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

/* One value a target. */
#define EACH(d, b, name_, type, help, value) do { \
	head(b, name_, type, help); \
	for (size_t i_ = 0; i_ < (d)->watches; i_++) { \
		const struct gf_watch *w = &(d)->watch[i_]; \
		const struct gf_engine_stats *st = &all[i_]; \
		(void)st, (void)w; \
		put(b, "%s", name_); \
		label(b, '{', "target", w->name); \
		put(b, "}"); \
		number(b, (double)(value)); \
	} \
} while (0)

/* What one target's rules look like now. */
struct rules {
	struct gf_rule_view *v;
	size_t n;
	struct gf_policy *p; /* that they belong to; NULL: none */
};

static void rules_get(const struct gf_watch *w, struct rules *ret)
{
	uint64_t fp = 0;

	*ret = (struct rules){ .v = calloc(GF_MAX_RULES, sizeof *ret->v) };
	if (!ret->v)
		return;
	ret->n = gf_engine_rules(w->engine, ret->v, GF_MAX_RULES, &fp);
	ret->p = ret->n ? gf_policies_find(w->policies, fp) : NULL;
	ret->n = ret->p ? GF_MIN(ret->n, (size_t)ret->p->rules) : 0;
	struct gf_rule_view *fit = realloc(ret->v, (ret->n + 1) * sizeof *fit);
	ret->v = fit ? fit : ret->v;
}

static void rule_lines(struct gf_daemon *d, const struct rules *r, const char *name, bool truth, struct gf_jbuf *b)
{
	for (size_t k = 0; k < d->watches; k++) {
		const struct gf_rule *rule = r[k].p ? GF_SEC(struct gf_rule, r[k].p->img, GF_SEC_RULE) : NULL;
		for (size_t i = 0; i < r[k].n; i++) {
			const struct gf_rule_view *v = &r[k].v[i];
			put(b, "%s", name);
			label(b, '{', "rule", gf_image_str(r[k].p->img, rule[i].name));
			label(b, ',', "target", d->watch[k].name);
			put(b, "}");
			number(b, !truth ? v->close : v->truth == GF_UNKNOWN ? NAN : v->truth == GF_TRUE);
		}
	}
}

static void rules(struct gf_daemon *d, struct gf_jbuf *b)
{
	struct rules *r = calloc(d->watches, sizeof *r);

	if (!r) {
		b->failed = true;
		return;
	}
	for (size_t i = 0; i < d->watches; i++)
		rules_get(&d->watch[i], &r[i]);
	head(b, "gpufas_rule_true", "gauge", "1 while the rule's condition is true, 0 while it is not, NaN while that is not known.");
	rule_lines(d, r, "gpufas_rule_true", true, b);
	head(b, "gpufas_rule_closeness", "gauge", "How near the rule is to firing, 0 to 1; NaN while that is not known.");
	rule_lines(d, r, "gpufas_rule_closeness", false, b);
	for (size_t i = 0; i < d->watches; i++) {
		gf_policy_put(r[i].p);
		free(r[i].v);
	}
	free(r);
}

struct lines {
	struct gf_daemon *d;
	struct gf_jbuf *b;
};

static void one_action(void *arg, const struct gf_action_count *c)
{
	const struct lines *l = arg;

	put(l->b, "gpufas_actions_total");
	label(l->b, '{', "rule", c->rule);
	label(l->b, ',', "action", c->action);
	if (c->target < l->d->watches)
		label(l->b, ',', "target", l->d->watch[c->target].name);
	put(l->b, "}");
	number(l->b, (double)c->n);
}

static void event_kinds(struct gf_daemon *d, struct gf_jbuf *b)
{
	struct gf_reporter_stats rs;

	head(b, "gpufas_events_total", "counter", "Events, by kind.");
	for (uint32_t k = 0; k < d->watches; k++) {
		gf_reporter_stats(d->reporter, k, &rs);
		for (uint8_t i = 0; i < GF_EV_DAEMON; i++) {
			put(b, "gpufas_events_total");
			label(b, '{', "kind", gf_event_kind_name(i));
			label(b, ',', "target", d->watch[k].name);
			put(b, "} %llu\n", (unsigned long long)rs.kinds[i]);
		}
	}
	gf_reporter_stats(d->reporter, GF_NONE, &rs); /* whatever target they are about, or none */
	put(b, "gpufas_events_total");
	label(b, '{', "kind", gf_event_kind_name(GF_EV_DAEMON));
	put(b, "} %llu\n", (unsigned long long)rs.kinds[GF_EV_DAEMON]);
}

static void events(struct gf_daemon *d, const struct gf_engine_stats *all, struct gf_jbuf *b)
{
	struct gf_reporter_stats rs;
	struct lines l = { d, b };
	char text[512] = "";
	uint64_t lost = 0;

	head(b, "gpufas_actions_total", "counter", "Steps taken, by rule and action; not those that were only observed.");
	gf_reporter_actions(d->reporter, one_action, &l);
	head(b, "gpufas_held_back_total", "counter", "Times that a rule was true and might not act, by reason.");
	for (uint32_t k = 0; k < d->watches; k++) {
		gf_reporter_stats(d->reporter, k, &rs);
		for (uint8_t i = GF_HB_COOLDOWN; i <= GF_HB_BUSY; i++) {
			put(b, "gpufas_held_back_total");
			label(b, '{', "reason", gf_held_back_name(i));
			label(b, ',', "target", d->watch[k].name);
			put(b, "} %llu\n", (unsigned long long)rs.held_back[i]);
		}
	}
	event_kinds(d, b);
	for (size_t i = 0; i < d->watches; i++)
		lost += all[i].events_dropped;
	gf_reporter_stats(d->reporter, GF_NONE, &rs);
	simple(b, "gpufas_events_lost_total", "counter", "Events that a full queue did not take.", (double)(rs.lost + lost));
	EACH(d, b, "gpufas_verdicts_lost_total", "counter", "Actions that a full queue did not take.", st->verdicts_dropped);
	simple(b, "gpufas_audit_lost_total", "counter", "Events that are missing in the audit file.", d->audit ? (double)gf_audit_lost(d->audit) : 0);
	simple(b, "gpufas_audit_failing", "gauge", "1 while the audit file cannot be written.", d->audit && *gf_audit_error(d->audit, text, sizeof text));
}

static void tick_times(struct gf_daemon *d, const struct gf_engine_stats *all, struct gf_jbuf *b)
{
	head(b, "gpufas_tick_seconds", "gauge", "Time that a tick takes, running average, by part; max: the longest since the start.");
	for (size_t i = 0; i < d->watches; i++) {
		const struct { const char *part; uint64_t ns; } v[] = {
			{ "sample", all[i].sample_avg_ns }, { "evaluate", all[i].eval_avg_ns },
			{ "total", all[i].total_avg_ns }, { "max", all[i].total_max_ns },
		};
		for (size_t k = 0; k < sizeof v / sizeof *v; k++) {
			put(b, "gpufas_tick_seconds");
			label(b, '{', "part", v[k].part);
			label(b, ',', "target", d->watch[i].name);
			put(b, "} %.9g\n", (double)v[k].ns / 1e9);
		}
	}
}

/* Of targets that have a shadow policy. */
static void shadows(struct gf_daemon *d, struct gf_jbuf *b)
{
	static const struct { const char *name, *help; } what[] = {
		{ "gpufas_shadow_ticks_total", "Periods that the shadow policy was evaluated in, since the last reload." },
		{ "gpufas_shadow_actions_total", "What the shadow policy would have done, since the last reload." },
		{ "gpufas_shadow_agreed_total", "Actions that both policies came to within 10 s of each other, since the last reload." },
		{ "gpufas_shadow_only_shadow_total", "Actions of the shadow policy alone, since the last reload." },
		{ "gpufas_shadow_only_active_total", "Actions of the policy in force alone, since the last reload." },
		{ "gpufas_shadow_unseen_total", "Of those, on processes that had gone before the shadow, which samples by itself, looked again." },
	};
	struct gf_shadow_stats *st = calloc(d->watches + 1, sizeof *st);
	bool *is = calloc(d->watches + 1, sizeof *is), any = false;

	for (size_t i = 0; st && is && i < d->watches; i++)
		any |= is[i] = gf_shadow_stats(d->watch[i].shadow, &st[i]);
	for (size_t k = 0; any && k < sizeof what / sizeof *what; k++) {
		head(b, what[k].name, "counter", what[k].help);
		for (size_t i = 0; i < d->watches; i++) {
			const uint64_t v[] = { st[i].ticks, st[i].actions, st[i].agreed, st[i].only_shadow, st[i].only_active, st[i].unseen };
			if (!is[i])
				continue;
			put(b, "%s", what[k].name);
			label(b, '{', "target", d->watch[i].name);
			put(b, "}");
			number(b, (double)v[k]);
		}
	}
	b->failed |= !st || !is;
	free(st);
	free(is);
}

static void targets(struct gf_daemon *d, const struct gf_engine_stats *all, struct gf_jbuf *b)
{
	char road[512];

	head(b, "gpufas_target_info", "gauge", "1, with the target's kind and how it is sampled as labels.");
	for (size_t i = 0; i < d->watches; i++) {
		const struct gf_watch *w = &d->watch[i];
		put(b, "gpufas_target_info");
		label(b, '{', "target", w->name);
		label(b, ',', "kind", gf_config_kind(w->config->kind));
		label(b, ',', "road", gf_target_describe(w->target, road, sizeof road));
		put(b, "} 1\n");
	}
	EACH(d, b, "gpufas_observe", "gauge", "1 in observe mode: nothing is acted on.", w->observe);
	EACH(d, b, "gpufas_stale", "gauge", "1 while the target cannot be sampled: no rule acts on it.", st->stale);
	EACH(d, b, "gpufas_ticks_total", "counter", "Periods evaluated.", st->ticks);
	EACH(d, b, "gpufas_missed_ticks_total", "counter", "Periods without a tick.", st->missed);
	EACH(d, b, "gpufas_overruns_total", "counter", "Ticks that took longer than the period.", st->overruns);
	EACH(d, b, "gpufas_sample_errors_total", "counter", "Samples that failed.", st->sample_errors);
	tick_times(d, all, b);
	EACH(d, b, "gpufas_period_seconds", "gauge", "The period as configured.", (double)w->period_ns / 1e9);
	EACH(d, b, "gpufas_tasks", "gauge", "Processes in the last sample.", st->live);
	EACH(d, b, "gpufas_tasks_dropped", "gauge", "Processes that found no room in the table (max-tasks).", st->dropped);
	EACH(d, b, "gpufas_rules", "gauge", "Rules in force.", w->policy->rules);
	shadows(d, b);
}

static void recorder(struct gf_daemon *d, const struct gf_engine_stats *all, struct gf_jbuf *b)
{
	struct gf_recorder_stats s;

	if (!d->recorder)
		return;
	EACH(d, b, "gpufas_recorder_bytes", "gauge", "Size of the recorder's files.", (gf_recorder_stats(d->recorder, i_, &s), s.ring.bytes));
	EACH(d, b, "gpufas_recorder_samples_total", "counter", "Samples that were recorded.",
	     (gf_recorder_stats(d->recorder, i_, &s), s.ring.samples));
	EACH(d, b, "gpufas_recorder_failed_total", "counter", "Samples that could not be taken or written.",
	     (gf_recorder_stats(d->recorder, i_, &s), s.failed));
	EACH(d, b, "gpufas_recorder_lost_total", "counter", "Samples of ticks that there was no room for.",
	     (gf_recorder_stats(d->recorder, i_, &s), s.lost));
	EACH(d, b, "gpufas_recorder_oldest_seconds", "gauge", "When the oldest recording that is kept was begun, seconds since 1970; 0: none.",
	     (gf_recorder_stats(d->recorder, i_, &s), (double)s.ring.oldest_ns / 1e9));
	simple(b, "gpufas_recorder_limit_bytes", "gauge", "Size that the recorder's files together may have.", (double)d->config->recorder_size);
}

static void engines(struct gf_daemon *d, const struct gf_engine_stats *all, struct gf_jbuf *b)
{
	char text[512];
	uint64_t seen = 0;

	head(b, "gpufas_engine_info", "gauge", "1, with what runs the target's ticks now as labels.");
	for (size_t i = 0; i < d->watches; i++) {
		put(b, "gpufas_engine_info");
		label(b, '{', "target", d->watch[i].name);
		label(b, ',', "engine", gf_engine_kind_name(all[i].kind));
		if (all[i].kind == GF_ENGINE_GPU) {
			snprintf(text, sizeof text, "%u", all[i].gpu_device);
			label(b, ',', "device", text);
			label(b, ',', "name", all[i].gpu_name);
			label(b, ',', "mode", gf_gpu_mode_name(all[i].gpu_mode));
		}
		put(b, "} 1\n");
	}
	EACH(d, b, "gpufas_engine_takeovers_total", "counter", "Times that the CPU took over from a GPU.", st->takeovers);
	head(b, "gpufas_gpu_shared", "gauge", "1 while the watchdog's kernels take turns with other processes' on this device.");
	for (size_t i = 0; i < d->watches; i++) {
		uint32_t device = all[i].gpu_device;
		if (all[i].kind != GF_ENGINE_GPU || device >= GF_GPU_DEVICES || seen & 1ull << device)
			continue;
		seen |= 1ull << device;
		put(b, "gpufas_gpu_shared{device=\"%u\"} %d\n", device, *gf_gpus_neighbours(d->gpus, device, text, sizeof text) != 0);
	}
}

void gf_daemon_metrics(struct gf_daemon *d, struct gf_jbuf *b)
{
	struct gf_engine_stats *all = calloc(d->watches, sizeof *all);
	size_t gpus = 0;

	if (!all) {
		b->failed = true;
		return;
	}
	for (size_t i = 0; i < d->watches; i++)
		gf_engine_stats(d->watch[i].engine, &all[i]);
	head(b, "gpufas_build_info", "gauge", "1, with the version and the engine as labels.");
	put(b, "gpufas_build_info");
	label(b, '{', "version", GF_VERSION);
	for (size_t i = 0; i < d->watches; i++)
		gpus += all[i].kind == GF_ENGINE_GPU;
	label(b, ',', "engine", !gpus ? "cpu" : gpus == d->watches ? "gpu" : "mixed");
	put(b, "} 1\n");
	targets(d, all, b);
	engines(d, all, b);
	rules(d, b);
	events(d, all, b);
	recorder(d, all, b);
	EACH(d, b, "gpufas_budget_used", "gauge", "Actions inside the budget's window.", st->budget_used);
	EACH(d, b, "gpufas_budget_limit", "gauge", "Actions that the budget allows in its window.", st->budget_n);
	head(b, "gpufas_reloads_total", "counter", "Reloads, by result.");
	put(b, "gpufas_reloads_total{result=\"ok\"} %llu\n", (unsigned long long)d->reloads_ok);
	put(b, "gpufas_reloads_total{result=\"error\"} %llu\n", (unsigned long long)d->reloads_failed);
	simple(b, "gpufas_resident_memory_bytes", "gauge", "Resident memory of the daemon.", (double)gf_daemon_rss());
	free(all);
}
