/* SPDX-License-Identifier: MIT
 *
 * simulate --svg, and the pictures of the page.
 */
#include "ctl/sim_chart.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/eventjson.h"

#define W 1000.0
#define LEFT 160.0 /* names of processes fit, with pids of seven digits */
#define RIGHT 12.0
#define TOP 16.0
#define PLOT 120.0
#define AXIS 20.0
#define LANE 18.0

/* Colours by name, so that the page and the reader's scheme choose them. */
const char sim_svg_style[] =
	":root{--bg:#fff;--fg:#1c2430;--dim:#5c6675;--grid:#e3e7ec;--line:#1565c0;--area:#1565c022;--rec:#8a94a3;--bad:#c62828;--warn:#b26a00;--lane:#90a4ae;--victim:#e57373;--panel:#f6f8fa}"
	"@media(prefers-color-scheme:dark){:root{--bg:#12161c;--fg:#e6e9ee;--dim:#9aa5b3;--grid:#2a323d;--line:#64b5f6;--area:#64b5f622;--rec:#6b7685;--bad:#ff8a80;--warn:#ffb74d;--lane:#546e7a;--victim:#e57373;--panel:#1a2029}}"
	"svg text{fill:var(--dim);font:11px system-ui,sans-serif}svg .t{fill:var(--fg);font-weight:600;font-size:12px}"
	".grid{stroke:var(--grid);fill:none}.line{stroke:var(--line);stroke-width:1.6;fill:none;stroke-linejoin:round;stroke-linecap:round}.area{fill:var(--area)}"
	".rec{stroke:var(--rec);stroke-width:1.2;stroke-dasharray:4 3;fill:none}.lim{stroke:var(--warn);stroke-width:1.2;stroke-dasharray:7 3;fill:none}"
	"svg .limt{fill:var(--warn)}.mark line{stroke:var(--bad);stroke-width:1.2}.mark path{fill:var(--bad)}.obs line{stroke:var(--warn)}.obs path{fill:var(--warn)}"
	"a:focus .hit,a:hover .hit{fill:var(--bad);fill-opacity:.15}.hit{fill:transparent}.many line{stroke-opacity:.2}.lane{fill:var(--lane)}.vict{fill:var(--victim)}"
	"a:focus{outline:none}a:focus-visible path{stroke:var(--fg);stroke-width:2}";

void sim_put(FILE *f, const char *text)
{
	char safe[4096];

	gf_safe_text(text, strlen(text), safe, sizeof safe);
	for (const char *p = safe; *p; p++) {
		switch (*p) {
		case '&': fputs("&amp;", f); break;
		case '<': fputs("&lt;", f); break;
		case '>': fputs("&gt;", f); break;
		case '"': fputs("&quot;", f); break;
		case '\'': fputs("&#39;", f); break;
		default: fputc(*p, f);
		}
	}
}

void sim_putf(FILE *f, const char *fmt, ...)
{
	char text[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	sim_put(f, text);
}

/* A round number of at least v: 1, 2 or 5 times a power of ten, of 2 for sizes. */
static double round_up(double v, uint8_t dim)
{
	bool bytes = dim == GF_DIM_BYTES || dim == GF_DIM_CNT_BYTES || dim == GF_DIM_BYTERATE;
	double unit = bytes ? pow(1024, floor(log(v) / log(1024))) : 1, x, p;

	if (!(v > 0) || isinf(v))
		return 1;
	x = v / unit;
	p = pow(10, floor(log10(x)));
	for (double m = 1; m <= 10; m = m == 2 ? 2.5 : m == 2.5 ? 4 : m == 4 ? 5 : m == 5 ? 8 : m == 8 ? 10 : m + 1)
		if (m * p >= x * 0.999)
			return m * p * unit;
	return 10 * p * unit;
}

static double x_of(const struct sim_charts *c, double slot)
{
	return LEFT + (W - LEFT - RIGHT) * (slot + 0.5) / c->slots;
}

static double x_at(const struct sim_charts *c, uint64_t now_ns)
{
	double share = now_ns <= c->from_ns ? 0 : (double)(now_ns - c->from_ns) / (double)(c->to_ns - c->from_ns + 1);

	return x_of(c, fmin(floor(share * c->slots), c->slots - 1));
}

static double y_of(double v, double top)
{
	return TOP + PLOT * (1 - fmin(fmax(v / top, 0), 1));
}

static void path(FILE *f, const struct sim_charts *c, const double *v, double top, const char *class)
{
	bool pen = false;
	uint32_t gap = 0;

	fprintf(f, "<path class=\"%s\" d=\"", class);
	for (uint32_t i = 0; i < c->slots; i++) {
		if (gf_is_unknown(v[i]) || isinf(v[i])) {
			pen = pen && ++gap < 3;
			continue;
		}
		fprintf(f, pen ? "L%.1f %.1f" : "M%.1f %.1fh.1", x_of(c, i), y_of(v[i], top)); /* one by itself is a dot */
		pen = true;
		gap = 0;
	}
	fprintf(f, "\"/>");
}

/* Between what was least and what was most in each slot, down to nothing: the area under the line. */
static void area(FILE *f, const struct sim_charts *c, const double *v, double top)
{
	uint32_t i = 0;

	fprintf(f, "<path class=\"area\" d=\"");
	while (i < c->slots) {
		uint32_t from;
		for (; i < c->slots && gf_is_unknown(v[i]); i++)
			;
		if ((from = i) == c->slots)
			break;
		fprintf(f, "M%.1f %.1f", x_of(c, from), TOP + PLOT);
		for (; i < c->slots && !gf_is_unknown(v[i]); i++)
			fprintf(f, "L%.1f %.1f", x_of(c, i), y_of(v[i], top));
		fprintf(f, "L%.1f %.1fZ", x_of(c, i - 1), TOP + PLOT);
	}
	fprintf(f, "\"/>");
}

static void time_axis(FILE *f, const struct sim_charts *c, double height)
{
	static const double steps[] = { 0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400, 604800 };
	double len = (double)(c->to_ns - c->from_ns) / 1e9, step = steps[0];
	struct gf_outcome zero = { .first_ns = c->from_ns };
	char text[32];

	for (size_t i = 0; i < sizeof steps / sizeof *steps && len / step > 8; i++)
		step = steps[i];
	for (double t = 0; t <= len && len > 0; t += step) {
		double x = LEFT + (W - LEFT - RIGHT) * t / len;
		sim_offset(&zero, c->from_ns + (uint64_t)llround(t * 1e9), text, sizeof text);
		fprintf(f, "<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>", x, TOP, height - AXIS, x,
			height - 5, t > 0 ? text : "0");
	}
}

#define NEAR 8.0 /* marks are a mark's width apart: those that are nearer are one */
#define MANY 40u

/* Something that was done, as a mark that leads to why; n: it stands for so many. */
static void mark(FILE *f, const struct sim *s, size_t p, const struct gf_event *ev, size_t n, double x, double from, double to)
{
	char text[1024];

	gf_event_sentence(ev, s->policy[p].img, text, sizeof text);
	fprintf(f, "<a class=\"mark%s\" href=\"#p%zue%llu\"><title>", ev->observed ? " obs" : "", p, (unsigned long long)ev->seq);
	if (n > 1)
		fprintf(f, "%zu from here on, first ", n);
	sim_put(f, text);
	fprintf(f, "</title><rect class=\"hit\" x=\"%.1f\" y=\"0\" width=\"14\" height=\"%.1f\"/><line x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
		   "<path d=\"M%.1f %.1fh9l-4.5 9z\"/></a>",
		x - 7, to, x, x, from, to, x - 4.5, from + 2);
}

static bool is_of(const struct gf_event *ev, const struct sim_lane *l)
{
	return ev->kind == GF_EV_ACTION && (!l || (ev->pid == l->pid && ev->start_ns == l->start_ns));
}

/* What was done, to a process where l is one, beginning with event i: how many are one mark, and the event after them. */
static size_t together(const struct sim *s, size_t p, const struct sim_lane *l, size_t i, size_t *ret_next)
{
	const struct gf_outcome *o = &s->policy[p].out;
	double x = x_at(s->policy[p].charts, o->event[i].now_ns);
	size_t n = 0;

	for (; i < o->events && x_at(s->policy[p].charts, o->event[i].now_ns) < x + NEAR; i++)
		n += is_of(&o->event[i], l);
	*ret_next = i;
	return n;
}

static void marks(FILE *f, const struct sim *s, size_t p, const struct sim_lane *l, double from, double to)
{
	const struct gf_outcome *o = &s->policy[p].out;
	size_t all = 0, next;

	for (size_t i = 0; i < o->events; i = next) {
		next = i + 1;
		if (is_of(&o->event[i], l))
			all += together(s, p, l, i, &next) > 0;
	}
	fprintf(f, all > MANY ? "<g class=\"many\">" : "<g>");
	for (size_t i = 0; i < o->events; i = next) {
		next = i + 1;
		if (!is_of(&o->event[i], l))
			continue;
		size_t n = together(s, p, l, i, &next);
		mark(f, s, p, &o->event[i], n, x_at(s->policy[p].charts, o->event[i].now_ns), from, to);
	}
	fprintf(f, "</g>");
}

static double most(const struct sim_charts *c, const struct sim_line *l)
{
	double top = 0, lim = 0;

	for (uint32_t i = 0; i < c->slots; i++) {
		top = fmax(top, gf_is_unknown(l->hi[i]) ? 0 : l->hi[i]);
		top = fmax(top, gf_is_unknown(l->recorded[i]) ? 0 : l->recorded[i]);
		for (size_t k = 0; k < l->limits; k++)
			if (!gf_is_unknown(l->limit[k].at[i]) && !isinf(l->limit[k].at[i]))
				lim = fmax(lim, l->limit[k].at[i]);
	}
	/* A limit far above everything is drawn at the edge, not at the cost of the line. */
	return round_up(fmax(top, fmin(lim * 1.1, fmax(top * 4, 1e-9))), l->dim);
}

static bool differs(const struct sim_charts *c, const struct sim_line *l)
{
	for (uint32_t i = 0; i < c->slots; i++)
		if (!gf_is_unknown(l->recorded[i]) && !gf_is_unknown(l->hi[i]) &&
		    (l->recorded[i] > l->hi[i] * 1.001 + 1e-9 || l->recorded[i] < l->lo[i] * 0.999 - 1e-9))
			return true;
	return false;
}

static void limits(FILE *f, const struct sim_policy *p, const struct sim_line *l, double top)
{
	const struct sim_charts *c = p->charts;
	double last_y = -100;

	for (size_t k = 0; k < l->limits; k++) {
		const struct sim_limit *lim = &l->limit[k];
		double y = -1;
		for (uint32_t i = 0; i < c->slots; i++)
			if (!gf_is_unknown(lim->at[i]))
				y = y_of(lim->at[i], top);
		if (y < 0)
			continue;
		path(f, c, lim->at, top, "lim");
		if (fabs(y - last_y) < 12)
			y = last_y + 12;
		last_y = y;
		fprintf(f, "<text class=\"limt\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">", W - RIGHT - 4, y - 3);
		sim_putf(f, "%s: %s", gf_image_str(p->img, GF_SEC(struct gf_rule, p->img, GF_SEC_RULE)[lim->rule].name), lim->op);
		fprintf(f, "</text>");
	}
}

void sim_svg_line(FILE *f, const struct sim *s, size_t p, const struct sim_line *l, bool alone)
{
	const struct sim_policy *pol = &s->policy[p];
	const struct sim_charts *c = pol->charts;
	double top = most(c, l), height = TOP + PLOT + AXIS;
	bool any = false;
	char v[64];

	for (uint32_t i = 0; i < c->slots; i++)
		any |= !gf_is_unknown(l->hi[i]);

	fprintf(f, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" role=\"group\" aria-label=\"", W, height + 16);
	sim_putf(f, "%s over time", l->name);
	fprintf(f, "\">");
	if (alone)
		fprintf(f, "<style>%s</style><rect width=\"%.0f\" height=\"%.0f\" style=\"fill:var(--bg)\"/>", sim_svg_style, W, height + 16);
	fprintf(f, "<text class=\"t\" x=\"0\" y=\"11\">");
	sim_putf(f, "%s%s", l->name, l->nearest ? " (of the nearest process)" : "");
	fprintf(f, "</text><g transform=\"translate(0 16)\">");
	if (!any)
		fprintf(f, "<text x=\"%.0f\" y=\"%.0f\">not known at any time: the recording does not have it</text>", LEFT + 10, TOP + PLOT / 2 - 4);
	for (int i = 0; i <= 2 && any; i++) {
		double y = TOP + PLOT * i / 2;
		gf_value_text(top * (2 - i) / 2, (enum gf_dim)l->dim, v, sizeof v);
		fprintf(f, "<path class=\"grid\" d=\"M%.0f %.1fH%.0f\"/><text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">", LEFT, y, W - RIGHT, LEFT - 6, y + 4);
		sim_put(f, v);
		fprintf(f, "</text>");
	}
	time_axis(f, c, height);
	area(f, c, l->hi, top);
	if (differs(c, l))
		path(f, c, l->recorded, top, "rec");
	path(f, c, l->lo, top, "line");
	path(f, c, l->hi, top, "line");
	limits(f, pol, l, top);
	marks(f, s, p, NULL, TOP - 10, height - AXIS);
	fprintf(f, "</g></svg>\n");
}

static void lane(FILE *f, const struct sim *s, size_t p, const struct sim_lane *l, double y, double most_rss)
{
	const struct sim_charts *c = s->policy[p].charts;
	double w = (W - LEFT - RIGHT) / c->slots;
	uint32_t i = 0;

	fprintf(f, "<g transform=\"translate(0 %.1f)\"><text x=\"%.0f\" y=\"12\" text-anchor=\"end\">", y, LEFT - 6);
	sim_putf(f, "%.15s %d", l->comm, l->pid);
	fprintf(f, "</text><path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/><path class=\"%s\" d=\"", LEFT, LANE - 2, W - RIGHT, l->victim ? "vict" : "lane");
	while (i < c->slots) {
		uint32_t from;
		for (; i < c->slots && gf_is_unknown(l->rss[i]); i++)
			;
		if ((from = i) == c->slots)
			break;
		fprintf(f, "M%.1f %.1f", LEFT + w * from, LANE - 2);
		for (; i < c->slots && !gf_is_unknown(l->rss[i]); i++)
			fprintf(f, "L%.1f %.1f", LEFT + w * (i + 0.5), LANE - 2 - fmax((LANE - 4) * l->rss[i] / most_rss, 1));
		fprintf(f, "L%.1f %.1fZ", LEFT + w * i, LANE - 2);
	}
	fprintf(f, "\"/>");
	marks(f, s, p, l, 0, LANE - 2);
	fprintf(f, "</g>");
}

void sim_svg_lanes(FILE *f, const struct sim *s, size_t p)
{
	const struct sim_lane *shown[CHART_SHOWN];
	size_t n = sim_lanes_shown(s->policy[p].charts, shown);
	double most_rss = 1;

	for (size_t i = 0; i < n; i++)
		most_rss = fmax(most_rss, shown[i]->most);
	fprintf(f, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" role=\"group\" aria-label=\"resident memory of processes over time\">", W,
		LANE * (double)n + 4);
	for (size_t i = 0; i < n; i++)
		lane(f, s, p, shown[i], LANE * (double)i, most_rss);
	fprintf(f, "</svg>\n");
}

static const struct sim_line *chart_named(const struct sim *s, const char *name)
{
	const struct sim_charts *c = s->policy[0].charts;
	const char *names[CHART_LINES], *near;
	char all[512] = "";

	if (!c->lines)
		return NULL;
	if (!name)
		return &c->line[0];
	for (size_t i = 0; i < c->lines; i++) {
		if (!strcmp(c->line[i].name, name))
			return &c->line[i];
		names[i] = c->line[i].name;
		snprintf(all + strlen(all), sizeof all - strlen(all), "%s%.80s", i ? ", " : "", names[i]);
	}
	near = gf_nearest(name, names, c->lines);
	gf_ctl_misuse(s->ctl, "there is no chart \"%s\"%s%s%s; there are: %s", name, near ? "; did you mean " : "", near ? near : "", near ? "?" : "", all);
	return NULL;
}

int sim_write_svg(const struct sim *s, const char *path_to, const char *chart)
{
	const struct sim_line *l = chart_named(s, chart);
	struct gf_err err = { "" };
	char *text = NULL;
	size_t n = 0;
	FILE *f;
	int rc;

	if (!l)
		return chart && s->policy[0].charts->lines ? GF_EXIT_USAGE : gf_ctl_fail(GF_EXIT_NO, "there is nothing to draw: no rule compares a number, and the recording has no mem.available");
	f = open_memstream(&text, &n);
	if (!f)
		return gf_ctl_fail(GF_EXIT_NO, "out of memory");
	sim_svg_line(f, s, 0, l, true);
	fclose(f);
	rc = gf_ctl_write_file(path_to, text, n, &err);
	free(text);
	return rc ? gf_ctl_fail(GF_EXIT_NO, "%s", err.text) : 0;
}
