/* SPDX-License-Identifier: MIT
 *
 * simulate --html: one page, without a script and without anything from elsewhere. What a mark in a chart leads to is shown by
 * the page's address (:target), so that it works by keyboard, and in print all of it is there.
 */
#include "ctl/sim_chart.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/eventjson.h"

static const char style[] =
	"*{box-sizing:border-box}html{color-scheme:light dark;background:var(--bg);color:var(--fg);font:15px/1.45 system-ui,sans-serif}"
	"body{max-width:1100px;margin:0 auto;padding:1.2rem}h1{font-size:1.5rem;margin:.2em 0}h2{font-size:1.2rem;margin:1.6em 0 .5em;border-bottom:1px solid var(--grid);padding-bottom:.2em}"
	"h3{font-size:1rem;margin:1.3em 0 .4em}p{margin:.3em 0}.dim,small{color:var(--dim)}a{color:var(--line)}svg{width:100%;height:auto;display:block;overflow:visible}"
	"figure{margin:.6em 0 1em}@media screen and (max-width:700px){figure{overflow-x:auto}figure svg{min-width:800px}.wide td:last-child{min-width:15em}}.tiles{display:flex;flex-wrap:wrap;gap:.7em;margin:.8em 0}.tile{background:var(--panel);border:1px solid var(--grid);border-radius:6px;padding:.5em .9em;min-width:8em}"
	".tile b{display:block;font-size:1.35rem}table{border-collapse:collapse;width:100%;font-size:.92em}th{text-align:left;color:var(--dim);font-weight:600}"
	"td,th{padding:.25em .7em .25em 0;border-bottom:1px solid var(--grid);vertical-align:top}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
	".wide{overflow-x:auto}code{font:.93em ui-monospace,monospace}.true{color:var(--bad);font-weight:600}.warn{color:var(--warn)}.bar{display:inline-block;width:6em;height:.7em;border:1px solid var(--grid);background:var(--bg);vertical-align:middle}"
	".bar i{display:block;height:100%;background:var(--line)}.ex{display:none}.ex:target{display:block;position:fixed;inset:auto 0 0 0;max-height:62vh;overflow:auto;background:var(--panel);border-top:3px solid var(--line);padding:1em max(1em,calc(50vw - 540px));z-index:2;box-shadow:0 -6px 24px #0005}"
	".ex nav{float:right}.ex nav a{margin-left:1em}:focus-visible{outline:2px solid var(--line);outline-offset:2px}.del{color:var(--bad)}.add{color:var(--line)}"
	"ul{margin:.3em 0;padding-left:1.3em}.skip{position:absolute;left:-99em}.skip:focus{left:1em;top:1em;background:var(--bg);padding:.4em}"
	"@media print{:root{--bg:#fff;--fg:#000;--dim:#444;--grid:#ccc;--panel:#fff}body{max-width:none;padding:0}.ex,.ex:target{display:block;position:static;max-height:none;box-shadow:none;border:1px solid #999;margin:.6em 0;padding:.6em;break-inside:avoid}.ex nav,.skip{display:none}figure,tr{break-inside:avoid}a{color:inherit;text-decoration:none}}";

static void tile(FILE *f, const char *value, const char *what)
{
	fprintf(f, "<div class=\"tile\"><b>");
	sim_put(f, value);
	fprintf(f, "</b>");
	sim_put(f, what);
	fprintf(f, "</div>");
}

static const char *span(uint64_t ns, char *buf, size_t n)
{
	if (ns)
		return gf_show_span((double)ns / 1e9, buf, n);
	snprintf(buf, n, "0s");
	return buf;
}

static void tiles(FILE *f, const struct sim *s, const struct sim_policy *p)
{
	char text[64], what[200];

	fprintf(f, "<div class=\"tiles\">");
	snprintf(text, sizeof text, "%llu", (unsigned long long)p->out.actions);
	tile(f, text, "actions");
	snprintf(text, sizeof text, "%zu", p->out.victims);
	tile(f, text, "victims");
	snprintf(what, sizeof what, "under pressure (%.120s)", s->pressure_text);
	tile(f, span(p->out.pressure_ns, text, sizeof text), what);
	if (s->opts.model.acts)
		tile(f, gf_show_size(p->out.said.freed, text, sizeof text), "came back");
	fprintf(f, "</div>\n");
}

static void charts(FILE *f, const struct sim *s, size_t p)
{
	const struct sim_charts *c = s->policy[p].charts;

	fprintf(f, "<h3>Over time</h3><p class=\"dim\">Each mark is something done: follow it (click, or Tab and Enter) to see why. Dashed grey: as recorded. "
		   "Dashed orange: what a rule compares with.</p>\n");
	for (size_t i = 0; i < c->lines; i++) {
		fprintf(f, "<figure>");
		sim_svg_line(f, s, p, &c->line[i], false);
		fprintf(f, "</figure>");
	}
	if (c->lanes) {
		fprintf(f, "<h3>Processes</h3><p class=\"dim\">Resident memory, each to the scale of the largest; red: those that something was done to.</p><figure>");
		sim_svg_lanes(f, s, p);
		fprintf(f, "</figure>\n");
	}
}

static void events(FILE *f, const struct sim *s, size_t p)
{
	const struct sim_policy *pol = &s->policy[p];
	char off[32], clock[32], text[1024];

	fprintf(f, "<h3 id=\"p%zuevents\">What it would have done</h3>", p);
	if (!pol->out.events) {
		fprintf(f, "<p>Nothing.</p>");
		return;
	}
	fprintf(f, "<div class=\"wide\"><table><thead><tr><th class=\"n\">When<th class=\"n\">Clock<th>What</tr></thead><tbody>");
	for (size_t i = 0; i < pol->out.events; i++) {
		const struct gf_event *ev = &pol->out.event[i];
		gf_event_sentence(ev, pol->img, text, sizeof text);
		fprintf(f, "<tr><td class=\"n\">%s<td class=\"n\">%s<td><a href=\"#p%zue%llu\">", sim_offset(&pol->out, ev->now_ns, off, sizeof off),
			sim_clock(ev->wall_ns, false, clock, sizeof clock), p, (unsigned long long)ev->seq);
		sim_put(f, text);
		fprintf(f, "</a></tr>\n");
	}
	fprintf(f, "</tbody></table></div>");
	if (pol->out.events_lost)
		fprintf(f, "<p class=\"warn\">%llu more are left out.</p>", (unsigned long long)pol->out.events_lost);
}

static void rule_row(FILE *f, const struct sim *s, const struct sim_policy *p, uint32_t i)
{
	const struct gf_rule *rule = &GF_SEC(struct gf_rule, p->img, GF_SEC_RULE)[i];
	const struct gf_outcome_rule *r = &p->out.rule[i];
	double close = fmin(fmax(r->close, 0), 1);
	char text[512], off[32];
	int kept = sim_kept_by(p, i);

	fprintf(f, "<tr><td><b>");
	sim_put(f, gf_image_str(p->img, rule->name));
	fprintf(f, "</b><br><code>");
	sim_put(f, gf_image_str(p->img, rule->text));
	fprintf(f, "</code><td class=\"n\">%llu%s<td class=\"n\">%s<td>", (unsigned long long)r->actions, r->observed ? " (observed)" : "",
		span(r->true_ns, text, sizeof text));
	if (!sim_judged(s, p, i)) {
		fprintf(f, "<span class=\"warn\">not judged: the recording lacks ");
		sim_put(f, sim_lacks(s, p, i, text, sizeof text));
		fprintf(f, "</span></tr>\n");
		return;
	}
	if (r->close == r->close) {
		fprintf(f, "<span class=\"bar\"><i style=\"width:%.0f%%\"></i></span> %.0f%% at %s", floor(100 * close), floor(100 * close),
			sim_offset(&p->out, r->close_ns, off, sizeof off));
		if (r->close_pid) {
			fprintf(f, " by <bdi>");
			sim_putf(f, "%.15s", r->close_comm);
			fprintf(f, "</bdi> (pid %d)", r->close_pid);
		}
		if (kept >= 0) {
			fprintf(f, "<br><span class=\"dim\">kept by ");
			sim_put(f, sim_term_text(p, &r->term[kept], text, sizeof text));
			fprintf(f, "</span>");
		}
	}
	for (uint8_t k = 1; k < 8; k++)
		if (r->held[k])
			fprintf(f, "<br><span class=\"warn\">held back %llu times: %s</span>", (unsigned long long)r->held[k], gf_held_back_name(k));
	if (r->no_victims)
		fprintf(f, "<br><span class=\"warn\">nobody to act on, %llu times</span>", (unsigned long long)r->no_victims);
	fprintf(f, "</tr>\n");
}

static void rules(FILE *f, const struct sim *s, const struct sim_policy *p)
{
	fprintf(f, "<h3>Rules</h3><div class=\"wide\"><table><thead><tr><th>Rule<th class=\"n\">Actions<th class=\"n\">True for<th>Nearest while not true</tr></thead><tbody>");
	for (uint32_t i = 0; i < p->out.rules; i++)
		rule_row(f, s, p, i);
	fprintf(f, "</tbody></table></div>");
}

static void terms(FILE *f, const struct sim_policy *p, const struct gf_event *ev)
{
	char text[512];

	if (!ev->terms)
		return;
	fprintf(f, "<h3>What the rule saw</h3><table><tbody>");
	for (uint32_t i = 0; i < GF_MIN(ev->terms, GF_EVENT_TERMS); i++) {
		const struct gf_event_term *t = &ev->term[i];
		fprintf(f, "<tr><td class=\"%s\">%s<td><code>", gf_tri_name(t->truth), gf_tri_name(t->truth));
		sim_put(f, gf_image_str(p->img, GF_SEC(struct gf_term, p->img, GF_SEC_TERM)[t->term].text));
		fprintf(f, "</code><td>");
		sim_put(f, sim_term_text(p, t, text, sizeof text));
		fprintf(f, "</tr>");
	}
	fprintf(f, "</tbody></table>");
}

static const char *str(const json_t *o, const char *key)
{
	return gf_js_str(o, key);
}

static void ranks(FILE *f, const json_t *j)
{
	const json_t *list = json_object_get(j, "ranks"), *c = json_object_get(j, "counts"), *r;
	size_t i;

	if (!json_array_size(list))
		return;
	fprintf(f, "<h3>Candidates</h3><div class=\"wide\"><table><thead><tr><th class=\"n\">Pid<th>Name<th class=\"n\">Uid<th class=\"n\">Rank<th>Class<th>Why</tr></thead><tbody>");
	json_array_foreach(list, i, r) {
		fprintf(f, "<tr><td class=\"n\">%lld<td><bdi>", gf_js_int(r, "pid"));
		sim_put(f, str(r, "comm"));
		fprintf(f, "</bdi><td class=\"n\">");
		if (json_is_integer(json_object_get(r, "uid"))) /* which an import may not know */
			fprintf(f, "%lld", gf_js_int(r, "uid"));
		fprintf(f, "<td class=\"n\">");
		sim_put(f, str(r, "key_text"));
		fprintf(f, "<td>");
		sim_put(f, str(r, "class"));
		fprintf(f, "<td%s>", strcmp(str(r, "why"), "chosen") ? "" : " class=\"true\"");
		sim_put(f, str(r, "why"));
		if (*str(r, "by"))
			sim_putf(f, ", by %s", str(r, "by"));
		fprintf(f, "</tr>");
	}
	fprintf(f, "</tbody></table></div><p class=\"dim\">Of %lld candidate%s: %lld may never be touched, %lld protected, %lld left out by where, %lld another rule's, %lld chosen, %lld reached in all.</p>",
		gf_js_int(c, "candidates"), gf_js_int(c, "candidates") == 1 ? "" : "s", gf_js_int(c, "never"), gf_js_int(c, "protected"), gf_js_int(c, "where"), gf_js_int(c, "condemned"),
		gf_js_int(c, "chosen"), gf_js_int(c, "members"));
}

static void explanation(FILE *f, const struct sim *s, size_t p, size_t i)
{
	const struct sim_policy *pol = &s->policy[p];
	const struct gf_outcome *o = &pol->out;
	const struct gf_event *ev = &o->event[i];
	struct gf_jbuf b = { 0 };
	char text[1024], off[32];
	json_t *j;

	gf_event_json(ev, pol->img, s->info->name, false, &b);
	j = b.failed ? NULL : json_loadb(b.p, b.n, 0, NULL);
	fprintf(f, "<article class=\"ex\" id=\"p%zue%llu\"><nav>", p, (unsigned long long)ev->seq);
	if (i)
		fprintf(f, "<a href=\"#p%zue%llu\">earlier</a>", p, (unsigned long long)o->event[i - 1].seq);
	if (i + 1 < o->events)
		fprintf(f, "<a href=\"#p%zue%llu\">later</a>", p, (unsigned long long)o->event[i + 1].seq);
	fprintf(f, "<a href=\"#-\">close</a></nav><h3>%s: ", sim_offset(o, ev->now_ns, off, sizeof off));
	sim_put(f, str(j, "rule"));
	fprintf(f, "</h3><p>");
	sim_put(f, gf_event_sentence(ev, pol->img, text, sizeof text));
	fprintf(f, "</p>");
	if (*str(j, "step")) {
		fprintf(f, "<p class=\"dim\"><code>");
		sim_put(f, str(j, "step"));
		fprintf(f, "</code>%s</p>", ev->observed ? " (only observed)" : "");
	}
	terms(f, pol, ev);
	ranks(f, j);
	fprintf(f, "</article>\n");
	json_decref(j);
	gf_jbuf_deinit(&b);
}

static void diffs(FILE *f, const struct sim *s)
{
	const struct sim_policy *a = &s->policy[0];

	for (size_t i = 1; i < s->policies; i++) {
		size_t n, same;
		struct sim_change *v = sim_diff(a, &s->policy[i], &n, &same);
		fprintf(f, "<h2>Differences: <bdi>");
		sim_put(f, a->name);
		fprintf(f, "</bdi> and <bdi>");
		sim_put(f, s->policy[i].name);
		fprintf(f, "</bdi></h2><p>%zu actions the same, %zu different.</p><div class=\"wide\"><table><tbody>", same, n);
		for (size_t k = 0; v && k < n; k++) {
			const struct sim_policy *p = v[k].side ? &s->policy[i] : a;
			char off[32], text[1024];
			fprintf(f, "<tr class=\"%s\"><td>%s<td class=\"n\">%s<td>", v[k].side ? "add" : "del", v[k].side ? "+" : "&minus;",
				sim_offset(&a->out, v[k].ev->now_ns, off, sizeof off));
			sim_put(f, gf_event_sentence(v[k].ev, p->img, text, sizeof text));
			fprintf(f, "</tr>");
		}
		fprintf(f, "</tbody></table></div>");
		free(v);
	}
}

static void head(FILE *f, const struct sim *s)
{
	const struct gf_outcome *o = &s->policy[0].out;
	char a[64], b[64];

	fprintf(f, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
		   "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"><title>");
	sim_putf(f, "gpufas: %s simulated", s->info->name);
	fprintf(f, "</title><style>%s%s</style></head><body><a class=\"skip\" href=\"#p0events\">to what it would have done</a><header><h1>", sim_svg_style, style);
	sim_putf(f, "What would have been done on %s", s->info->name);
	fprintf(f, "</h1><p>");
	sim_putf(f, "%s: %s", s->info->origin, gf_show_span((double)(o->last_ns - o->first_ns) / 1e9, a, sizeof a));
	sim_putf(f, ", %llu sample%s of up to %u process%s", (unsigned long long)o->ticks, o->ticks == 1 ? "" : "s", o->most_tasks, o->most_tasks == 1 ? "" : "es");
	if (o->first_wall_ns)
		sim_putf(f, ", from %s", sim_clock(o->first_wall_ns, true, b, sizeof b));
	fprintf(f, "</p>");
	for (int i = 0; i < 2; i++) {
		const char *bad = i ? o->damage : s->info->cut;
		if (!*bad)
			continue;
		fprintf(f, "<p class=\"warn\">");
		sim_put(f, bad);
		fprintf(f, "</p>");
	}
	fprintf(f, "</header>\n");
}

static void write_page(FILE *f, const struct sim *s)
{
	head(f, s);
	for (size_t p = 0; p < s->policies; p++) {
		fprintf(f, "<main><h2>Policy <bdi>");
		sim_put(f, s->policy[p].name);
		fprintf(f, "</bdi></h2>");
		tiles(f, s, &s->policy[p]);
		charts(f, s, p);
		events(f, s, p);
		rules(f, s, &s->policy[p]);
		fprintf(f, "</main>\n");
	}
	diffs(f, s);
	fprintf(f, "<h2>What is assumed</h2><ul>");
	for (size_t i = 0; i < s->policy[0].assumes; i++) {
		fprintf(f, "<li>");
		sim_put(f, s->policy[0].assumed[i]);
	}
	fprintf(f, "</ul>\n");
	for (size_t p = 0; p < s->policies; p++)
		for (size_t i = 0; i < s->policy[p].out.events; i++)
			explanation(f, s, p, i);
	fprintf(f, "</body></html>\n");
}

int sim_write_html(const struct sim *s, const char *path)
{
	struct gf_err err = { "" };
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	int rc;

	if (!f)
		return gf_ctl_fail(GF_EXIT_NO, "out of memory");
	write_page(f, s);
	if (fclose(f)) {
		free(text);
		return gf_ctl_fail(GF_EXIT_NO, "out of memory");
	}
	rc = gf_ctl_write_file(path, text, n, &err);
	free(text);
	return rc ? gf_ctl_fail(GF_EXIT_NO, "%s", err.text) : 0;
}
