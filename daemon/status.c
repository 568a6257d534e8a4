/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/eventjson.h"
#include "daemon/taskjson.h"
#include "targets/vm.h"

/* Without the memory of guests, which is mapped, shared, and theirs. */
uint64_t gf_daemon_rss(void)
{
	unsigned long long kib, sum = 0;
	char line[256];
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "RssAnon: %llu", &kib) == 1 || sscanf(line, "RssFile: %llu", &kib) == 1)
			sum += kib;
	if (f)
		fclose(f);
	return sum << 10;
}

/* Devices of ours that others use as well. */
static void neighbours_json(const struct gf_daemon *d, const struct gf_engine_stats *st, struct gf_jbuf *b)
{
	uint64_t seen = 0;
	char text[512];

	gf_jbuf_key(b, "shared");
	gf_jbuf_open(b, '[');
	for (size_t i = 0; i < d->watches; i++) {
		uint32_t device = st[i].gpu_device;
		if (st[i].kind != GF_ENGINE_GPU || device >= GF_GPU_DEVICES || seen & 1ull << device)
			continue;
		seen |= 1ull << device;
		if (!*gf_gpus_neighbours(d->gpus, device, text, sizeof text))
			continue;
		gf_jbuf_open(b, '{');
		gf_jbuf_kuint(b, "device", device);
		gf_jbuf_kstr(b, "text", text);
		gf_jbuf_close(b, '}');
	}
	gf_jbuf_close(b, ']');
}

/* Of all engines together: what is not so for one is not so. */
static void engine_json(const struct gf_daemon *d, const struct gf_engine_stats *st, struct gf_jbuf *b)
{
	const char *note = "";
	bool rt = true, mlocked = true;
	uint32_t gpus = 0, takeovers = 0;
	char why[768];

	for (size_t i = 0; i < d->watches; i++) {
		rt &= st[i].rt || !gf_engine_needs_host(&st[i]);
		gpus += st[i].kind == GF_ENGINE_GPU;
		takeovers += st[i].takeovers;
		mlocked &= st[i].mlocked;
		note = *note ? note : st[i].note;
	}
	snprintf(why, sizeof why, "%s%s%s", d->engine_why, *d->engine_why && *note ? "; " : "", note);
	gf_jbuf_key(b, "engine");
	gf_jbuf_open(b, '{');
	gf_jbuf_kstr(b, "kind", !gpus ? "cpu" : gpus == d->watches ? "gpu" : "mixed");
	gf_jbuf_kstr(b, "why", why);
	gf_jbuf_kbool(b, "rt", rt);
	gf_jbuf_kbool(b, "mlocked", mlocked);
	gf_jbuf_kuint(b, "takeovers", takeovers);
	neighbours_json(d, st, b);
	gf_jbuf_close(b, '}');
}

static void policy_json(const struct gf_policy *p, const char *last_error, struct gf_jbuf *b)
{
	char t[64];

	gf_jbuf_key(b, "policy");
	gf_jbuf_open(b, '{');
	gf_jbuf_key(b, "files");
	gf_jbuf_open(b, '[');
	for (size_t i = 0; i < p->files.n; i++)
		gf_jbuf_str(b, p->files.v[i]);
	gf_jbuf_close(b, ']');
	gf_jbuf_kuint(b, "rules", p->rules);
	snprintf(t, sizeof t, "%016llx", (unsigned long long)p->img->fp);
	gf_jbuf_kstr(b, "fp", t);
	gf_jbuf_kstr(b, "loaded_at", gf_time_text(p->loaded_wall_ns, t, sizeof t));
	if (last_error)
		gf_jbuf_kstr(b, "last_reload_error", last_error);
	gf_jbuf_close(b, '}');
}

static void budget_json(const struct gf_daemon *d, const struct gf_engine_stats *st, struct gf_jbuf *b)
{
	gf_jbuf_key(b, "budget");
	gf_jbuf_open(b, '{');
	gf_jbuf_kuint(b, "used", st->budget_used);
	gf_jbuf_kuint(b, "of", st->budget_n);
	gf_jbuf_knum(b, "window_s", (double)d->config->budget_window_ns / 1e9);
	gf_jbuf_close(b, '}');
}

static void ticks_json(const struct gf_engine_stats *st, struct gf_jbuf *b)
{
	gf_jbuf_kuint(b, "tasks", st->live);
	gf_jbuf_kuint(b, "rows", st->rows);
	gf_jbuf_kuint(b, "dropped", st->dropped);
	gf_jbuf_kuint(b, "ticks", st->ticks);
	gf_jbuf_kuint(b, "missed", st->missed);
	gf_jbuf_kuint(b, "late", st->late);
	gf_jbuf_kuint(b, "overruns", st->overruns);
	gf_jbuf_kbool(b, "stale", st->stale);
	gf_jbuf_kuint(b, "sample_errors", st->sample_errors);
	gf_jbuf_kstr(b, "sample_error", st->sample_error);
	gf_jbuf_knum(b, "sample_us", (double)st->sample_avg_ns / 1e3);
	gf_jbuf_knum(b, "eval_us", (double)st->eval_avg_ns / 1e3);
	gf_jbuf_knum(b, "total_us", (double)st->total_avg_ns / 1e3);
	gf_jbuf_knum(b, "total_max_us", (double)st->total_max_ns / 1e3);
	gf_jbuf_knum(b, "last_sample_us", (double)st->sample_ns / 1e3);
	gf_jbuf_knum(b, "last_eval_us", (double)st->eval_ns / 1e3);
	gf_jbuf_knum(b, "last_total_us", (double)st->total_ns / 1e3);
	gf_jbuf_key(b, "host");
	gf_host_json(st->host, b);
}

/* Whether there is a kernel to look at, and which. */
static void guest_json(const struct gf_watch *w, struct gf_jbuf *b)
{
	struct gf_guest *g = w->lost ? NULL : gf_vm_guest(w->target, NULL);
	bool samples = false, delivers = false;

	gf_jbuf_kstr(b, "state", g ? "attached" : "waiting");
	gf_jbuf_kstr(b, "release", g ? g->kernel->release : "");
	/* Without one the target may be none of a guest's: a dump that could not be opened. */
	if (g)
		gf_vm_by_module(w->target, &samples, &delivers);
	gf_jbuf_kstr(b, "sampled_by", !g ? "" : samples ? "module" : "outside");
	gf_jbuf_kstr(b, "delivered_by", !g ? "" : delivers ? "module" : "outside");
	if (g)
		gf_guest_put(g);
}

static void target_json(const struct gf_watch *w, const struct gf_engine_stats *st, struct gf_jbuf *b)
{
	char road[512];

	gf_jbuf_open(b, '{');
	gf_jbuf_kstr(b, "name", w->name);
	gf_jbuf_kstr(b, "kind", w->target->ops->kind);
	gf_jbuf_kstr(b, "road", gf_target_describe(w->target, road, sizeof road));
	gf_jbuf_kstr(b, "mode", w->observe ? "observe" : "enforce");
	if (w->config->kind != GF_TARGET_HOST)
		guest_json(w, b);
	gf_jbuf_kuint(b, "period_ns", w->period_ns);
	gf_jbuf_key(b, "engine");
	gf_engine_json(st, b);
	if (w->config->kind == GF_TARGET_HOST) {
		gf_jbuf_kstr(b, "delivery", gf_host_delivers(w->target));
		gf_jbuf_kstr(b, "module", gf_host_module(w->target, road, sizeof road));
		/* Whether the GPU needs no thread of ours for that. */
		gf_jbuf_kbool(b, "alone", st->alone);
		gf_jbuf_kstr(b, "not_alone_why", st->ring_why);
	}
	policy_json(w->policy, NULL, b);
	budget_json(w->daemon, st, b);
	ticks_json(st, b);
	gf_shadow_json(w->shadow, b);
	gf_jbuf_close(b, '}');
}

static void events_json(const struct gf_daemon *d, const struct gf_engine_stats *st, struct gf_jbuf *b)
{
	struct gf_reporter_stats rs;
	uint64_t lost = 0, verdicts_lost = 0;
	char text[512] = "";

	gf_reporter_stats(d->reporter, GF_NONE, &rs);
	for (size_t i = 0; i < d->watches; i++) {
		lost += st[i].events_dropped;
		verdicts_lost += st[i].verdicts_dropped;
	}
	gf_jbuf_key(b, "events");
	gf_jbuf_open(b, '{');
	gf_jbuf_kuint(b, "total", rs.events);
	gf_jbuf_kuint(b, "queued", rs.queued);
	gf_jbuf_kuint(b, "lost", rs.lost + lost);
	gf_jbuf_kuint(b, "verdicts_lost", verdicts_lost);
	gf_jbuf_kstr(b, "audit", d->audit ? d->config->audit_path : "");
	gf_jbuf_kstr(b, "audit_error", d->audit ? gf_audit_error(d->audit, text, sizeof text) : "");
	gf_jbuf_kuint(b, "audit_lost", d->audit ? gf_audit_lost(d->audit) : 0);
	gf_jbuf_kuint(b, "log_lost", gf_log_lost());
	gf_jbuf_close(b, '}');
}

void gf_daemon_status_json(struct gf_daemon *d, struct gf_jbuf *b)
{
	struct gf_engine_stats *st = calloc(d->watches, sizeof *st);

	if (!st) {
		b->failed = true;
		return;
	}
	for (size_t i = 0; i < d->watches; i++)
		gf_engine_stats(d->watch[i].engine, &st[i]);
	gf_jbuf_open(b, '{');
	gf_jbuf_kstr(b, "version", GF_VERSION);
	gf_jbuf_kint(b, "pid", getpid());
	gf_jbuf_knum(b, "uptime_s", (double)(gf_daemon_clock(CLOCK_MONOTONIC) - d->started_ns) / 1e9);
	gf_jbuf_kstr(b, "mode", gf_watches_observe(d) ? "observe" : "enforce");
	gf_jbuf_kuint(b, "period_ns", d->config->period_ns);
	engine_json(d, st, b);
	policy_json(d->watch->policy, d->last_reload_error, b);
	budget_json(d, st, b);
	gf_jbuf_key(b, "targets");
	gf_jbuf_open(b, '[');
	for (size_t i = 0; i < d->watches; i++)
		target_json(&d->watch[i], &st[i], b);
	gf_jbuf_close(b, ']');
	events_json(d, st, b);
	gf_recorder_json(d, b);
	gf_jbuf_kuint(b, "rss_bytes", gf_daemon_rss());
	gf_jbuf_close(b, '}');
	free(st);
}

uint32_t gf_watch_rules_json(struct gf_watch *w, const char *only, struct gf_jbuf *b)
{
	uint64_t fp = 0;
	struct gf_engine_stats st;
	struct gf_rule_view *v = calloc(GF_MAX_RULES, sizeof *v);
	uint32_t said = 0;

	gf_engine_stats(w->engine, &st);
	gf_jbuf_open(b, '[');
	size_t n = v ? gf_engine_rules(w->engine, v, GF_MAX_RULES, &fp) : 0;
	/* a reload may have been between two looks: only views and names of one image go together */
	struct gf_policy *p = n ? gf_policies_find(w->policies, fp) : NULL;
	for (uint32_t i = 0; p && i < GF_MIN(n, (size_t)p->rules); i++) {
		const char *name = gf_image_str(p->img, GF_SEC(struct gf_rule, p->img, GF_SEC_RULE)[i].name);
		if (only && strcmp(only, name))
			continue;
		gf_rule_json(&v[i], i, p->img, st.now_ns, b);
		said++;
	}
	gf_jbuf_close(b, ']');
	b->failed |= !v;
	gf_policy_put(p);
	free(v);
	return said;
}
