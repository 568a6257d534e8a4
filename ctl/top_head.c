/* SPDX-License-Identifier: MIT
 *
 * The head of top's screen: the daemon in a line, the host in three.
 */
#include "ctl/top.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "ctl/explain.h"

static enum gf_look share_look(double share)
{
	return share >= 0.9 ? GF_LOOK_BAD : share >= 0.7 ? GF_LOOK_WARN : GF_LOOK_GOOD;
}

/* "Mem [||||      ]  45% text". */
static void bar(struct gf_canvas *c, int row, int width, const char *name, double share, const char *text)
{
	char buf[128], pct[16];
	int w = width - 6 - 1 - 5 - (int)strlen(text) - 2, col;

	w = w > 40 ? 40 : w < 8 ? 8 : w;
	col = gf_canvas_put(c, row, 1, GF_LOOK_HEAD, "%-4s", name);
	col = gf_canvas_put(c, row, col, GF_LOOK_PLAIN, "[");
	col = gf_canvas_put(c, row, col, share_look(share), "%s", gf_explain_bar(share, w, buf, sizeof buf));
	col = gf_canvas_put(c, row, col, GF_LOOK_PLAIN, "]");
	if (isnan(share))
		snprintf(pct, sizeof pct, "   -");
	else
		snprintf(pct, sizeof pct, "%3.0f%%", fmin(share, 9.99) * 100);
	gf_canvas_put(c, row, col, GF_LOOK_PLAIN, "%s %s", pct, text);
}

static void memory_bars(const struct gf_top *t, struct gf_canvas *c, int width)
{
	double total = gf_top_host(t, "mem.total"), avail = gf_top_host(t, "mem.available");
	double stotal = gf_top_host(t, "swap.total"), sfree = gf_top_host(t, "swap.free");
	double sused = gf_top_host(t, "swap.used");
	char a[24], b[24], text[64];

	if (isnan(avail) || isnan(total))
		snprintf(text, sizeof text, "not sampled");
	else
		snprintf(text, sizeof text, "%s of %s left", gf_show_cell(avail, GF_DIM_BYTES, a, sizeof a),
			 gf_show_cell(total, GF_DIM_BYTES, b, sizeof b));
	bar(c, 1, width, "Mem", total > 0 ? 1 - avail / total : (double)NAN, text);
	if (isnan(sused))
		sused = stotal - sfree;
	if (stotal == 0)
		snprintf(text, sizeof text, "no swap");
	else if (isnan(sused) || isnan(stotal))
		snprintf(text, sizeof text, "not sampled");
	else
		snprintf(text, sizeof text, "%s of %s used", gf_show_cell(sused, GF_DIM_BYTES, a, sizeof a),
			 gf_show_cell(stotal, GF_DIM_BYTES, b, sizeof b));
	bar(c, 2, width, "Swap", stotal > 0 ? sused / stotal : stotal == 0 ? 0 : (double)NAN, text);
}

/* Share of all CPUs: the daemon's, or the sum over processes where it samples none. */
static double cpu_share(const struct gf_top *t)
{
	double busy = gf_top_host(t, "cpu.busy"), cpus = gf_top_host(t, "cpu.count"), sum = 0;

	if (!isnan(busy))
		return busy / 100;
	if (!isnan(t->busy))
		return fmin(t->busy, 1);
	if (!(cpus > 0))
		return (double)NAN;
	for (size_t i = 0; i < t->tasks; i++)
		if (!isnan(t->task[i].v[GF_TC_CPU]))
			sum += t->task[i].v[GF_TC_CPU];
	return fmin(sum / 100 / cpus, 1);
}

static const char *pct(double v, char *buf, size_t n)
{
	if (isnan(v))
		snprintf(buf, n, "-");
	else
		snprintf(buf, n, "%.1f%%", v);
	return buf;
}

static const char *num2(double v, char *buf, size_t n)
{
	if (isnan(v))
		snprintf(buf, n, "-");
	else
		snprintf(buf, n, "%.2f", v);
	return buf;
}

void gf_top_draw_host(const struct gf_top *t, struct gf_canvas *c)
{
	const json_t *tg = gf_top_target(t), *own = json_object_get(tg, "budget");
	const json_t *budget = own ? own : json_object_get(t->answer[GF_TA_STATUS], "budget");
	int half = c->cols / 2, col;
	double cpus = gf_top_host(t, "cpu.count"), running = gf_top_host(t, "tasks.running");
	char a[24], b[24], d[24], text[64];
	long long used = gf_js_int(budget, "used"), of = gf_js_int(budget, "of"), lost;

	memory_bars(t, c, half);
	if (isnan(cpus))
		snprintf(text, sizeof text, "%s", "");
	else
		snprintf(text, sizeof text, "of %.0f CPU%s", cpus, cpus == 1 ? "" : "s");
	bar(c, 3, half, "CPU", cpu_share(t), text);

	col = gf_canvas_put(c, 1, half, GF_LOOK_HEAD, "Waiting ");
	gf_canvas_put(c, 1, col, GF_LOOK_PLAIN, "cpu %s  memory %s  io %s", pct(gf_top_host(t, "psi.cpu.some.avg10"), a, sizeof a),
		      pct(gf_top_host(t, "psi.memory.some.avg10"), b, sizeof b), pct(gf_top_host(t, "psi.io.some.avg10"), d, sizeof d));
	col = gf_canvas_put(c, 2, half, GF_LOOK_HEAD, "Load    ");
	col = gf_canvas_put(c, 2, col, GF_LOOK_PLAIN, "%s %s %s", num2(gf_top_host(t, "load.1"), a, sizeof a),
			    num2(gf_top_host(t, "load.5"), b, sizeof b), num2(gf_top_host(t, "load.15"), d, sizeof d));
	col = gf_canvas_put(c, 2, col + 2, GF_LOOK_PLAIN, "%lld tasks", gf_js_int(tg, "tasks"));
	if (!isnan(running) && c->cols >= 90)
		gf_canvas_put(c, 2, col, GF_LOOK_PLAIN, ", %.0f running", running);
	col = gf_canvas_put(c, 3, half, GF_LOOK_HEAD, "Actions ");
	col = gf_canvas_put(c, 3, col, used >= of && of > 0 ? GF_LOOK_BAD : GF_LOOK_PLAIN, "%lld of %lld in %s", used, of,
			    gf_show_window(gf_js_num(budget, "window_s"), a, sizeof a));
	lost = gf_js_int(json_object_get(t->answer[GF_TA_STATUS], "events"), "lost");
	if (lost > 0)
		gf_canvas_put(c, 3, col, GF_LOOK_BAD, ", %lld events lost", lost);
	else if (*gf_js_str(json_object_get(t->answer[GF_TA_STATUS], "policy"), "last_reload_error"))
		gf_canvas_put(c, 3, col, GF_LOOK_BAD, ", reload failed");
}

static const char *micros(double us, char *buf, size_t n)
{
	if (isnan(us))
		snprintf(buf, n, "-");
	else if (us < 1000)
		snprintf(buf, n, "%.0fus", us);
	else
		snprintf(buf, n, "%.1fms", us / 1000);
	return buf;
}

void gf_top_draw_title(const struct gf_top *t, struct gf_canvas *c)
{
	const json_t *s = t->answer[GF_TA_STATUS], *tg = gf_top_target(t);
	const json_t *own = json_object_get(tg, "period_ns") ? tg : s; /* the target's mode and period, or the daemon's */
	bool observe = !strcmp(gf_js_str(own, "mode"), "observe");
	long long missed = gf_js_int(tg, "missed");
	char a[24], b[24], d[24], name[64], clock[16] = "";
	time_t now = time(NULL);
	struct tm tm;
	int col;

	c->invert = 1;
	gf_canvas_blank(c, 0, 0);
	col = gf_canvas_put(c, 0, 1, GF_LOOK_HEAD, "gpufas");
	/* how a guest is watched is a sentence, and status has it */
	bool host = !strcmp(gf_js_str(tg, "kind"), "host") && *gf_js_str(tg, "road");
	col = gf_canvas_put(c, 0, col + 1, GF_LOOK_PLAIN, "%s%s%s", gf_show_safe(gf_js_str(tg, "name"), name, sizeof name),
			    host ? " by " : ", ", gf_js_str(tg, host ? "road" : "kind"));
	col = gf_canvas_put(c, 0, col + 2, observe || t->gone ? GF_LOOK_WARN : GF_LOOK_GOOD, "%s",
			    t->gone ? "NO DAEMON" : gf_js_bool(tg, "stale") ? "STALE DATA" : observe ? "OBSERVING" : "ENFORCING");
	col = gf_canvas_put(c, 0, col + 2, GF_LOOK_PLAIN, "every %s", gf_show_span(gf_js_num(own, "period_ns") / 1e9, a, sizeof a));
	col = gf_canvas_put(c, 0, col + 2, GF_LOOK_PLAIN, "tick %s max %s", micros(gf_js_num(tg, "total_us"), b, sizeof b),
			    micros(gf_js_num(tg, "total_max_us"), d, sizeof d));
	col = gf_canvas_put(c, 0, col + 2, missed > 0 ? GF_LOOK_BAD : GF_LOOK_PLAIN, "%lld missed", missed < 0 ? 0 : missed);
	if (localtime_r(&now, &tm))
		strftime(clock, sizeof clock, "%H:%M:%S", &tm);
	if (col + 11 < c->cols)
		gf_canvas_put(c, 0, c->cols - 9, GF_LOOK_PLAIN, "%s", t->paused ? " PAUSED" : clock);
	c->invert = 0;
}
