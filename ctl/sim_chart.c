// SPDX-License-Identifier: MIT
#include "ctl/sim_chart.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/explain.h"

#define TOP 8u /* processes of a sample that get a lane */

static void clear(double *v)
{
	for (uint32_t i = 0; i < CHART_SLOTS; i++)
		v[i] = gf_unknown();
}

static struct sim_line *line_named(struct sim_charts *c, const char *name, bool nearest, uint8_t dim)
{
	const struct gf_field_info *f = gf_field_find(name);
	struct sim_line *l;

	for (size_t i = 0; i < c->lines; i++)
		if (!strcmp(c->line[i].name, name) && c->line[i].nearest == nearest)
			return &c->line[i];
	if (c->lines == CHART_LINES)
		return NULL;
	l = &c->line[c->lines++];
	snprintf(l->name, sizeof l->name, "%s", name);
	l->nearest = nearest;
	l->dim = dim;
	l->host = f && f->scope == GF_SCOPE_HOST && !f->derived && !f->str ? f->id : GF_NONE;
	clear(l->lo);
	clear(l->hi);
	clear(l->recorded);
	return l;
}

/* A line for each thing that conditions compare with a number, and with it what each rule compares it with. */
static void add_terms(struct sim_charts *c, uint32_t rule)
{
	const struct gf_rule *r = &GF_SEC(struct gf_rule, c->img, GF_SEC_RULE)[rule];

	for (uint32_t i = 0; i < r->terms && i < GF_EVENT_TERMS; i++) {
		const struct gf_term *t = &GF_SEC(struct gf_term, c->img, GF_SEC_TERM)[r->term + i];
		const char *text = gf_image_str(c->img, t->text), *op;
		struct sim_limit *lim;
		struct sim_line *l;
		size_t op_len = 0;
		char left[128];
		if (t->values != 2 || t->str || !(op = gf_explain_operator(text, &op_len)))
			continue;
		snprintf(left, sizeof left, "%.*s", (int)(op - text), text);
		l = line_named(c, left, t->scope == GF_SCOPE_TASK, t->dim);
		if (!l || l->limits == CHART_LIMITS)
			continue;
		lim = &l->limit[l->limits++];
		lim->rule = rule;
		lim->term = i;
		snprintf(lim->op, sizeof lim->op, "%.*s", (int)GF_MIN(op_len - 2, 3u), op + 1);
		clear(lim->at);
	}
}

int sim_charts_make(struct sim_policy *p, const struct gf_feed_info *info, uint64_t from_ns, uint64_t to_ns, struct gf_fieldset *ret_also)
{
	struct sim_charts *c = calloc(1, sizeof *c);

	p->charts = c;
	if (c) {
		c->line = calloc(CHART_LINES, sizeof *c->line);
		c->lane = calloc(CHART_LANES, sizeof *c->lane);
	}
	if (!c || !c->line || !c->lane)
		return gf_ctl_fail(GF_EXIT_NO, "out of memory");
	c->img = p->img;
	c->from_ns = from_ns ? from_ns : info->first_ns;
	c->to_ns = to_ns ? to_ns : info->last_ns > c->from_ns ? info->last_ns :
		c->from_ns + (info->last_ns ? GF_MAX(info->interval_ns, 1000000000u) : 3600000000000ull);
	c->slots = CHART_SLOTS;
	if (info->interval_ns && (c->to_ns - c->from_ns) / info->interval_ns + 1 < CHART_SLOTS)
		c->slots = (uint32_t)((c->to_ns - c->from_ns) / info->interval_ns) + 1;
	if (info->has.host >> GF_HF_MEM_AVAILABLE & 1)
		line_named(c, "mem.available", false, GF_DIM_BYTES);
	for (uint32_t i = 0; i < p->img->sec[GF_SEC_RULE].count; i++)
		add_terms(c, i);
	ret_also->host |= info->has.host & (GF_BIT(GF_HF_MEM_AVAILABLE) | GF_BIT(GF_HF_MEM_TOTAL));
	ret_also->task |= info->has.task & GF_BIT(GF_TF_RSS);
	return 0;
}

static void span(double *lo, double *hi, double v)
{
	if (gf_is_unknown(v) || isinf(v))
		return;
	*lo = gf_is_unknown(*lo) ? v : fmin(*lo, v);
	*hi = gf_is_unknown(*hi) ? v : fmax(*hi, v);
}

static void take_line(struct sim_line *l, uint32_t slot, const struct gf_run_tick *t, const struct gf_sample *recorded)
{
	double v = gf_unknown();

	for (size_t i = 0; i < l->limits; i++) {
		const struct gf_rule_view *view = &t->view[l->limit[i].rule];
		if (l->limit[i].term >= view->terms)
			continue;
		l->limit[i].at[slot] = view->term[l->limit[i].term].right;
		if (gf_is_unknown(v))
			v = view->term[l->limit[i].term].left;
	}
	if (l->host != GF_NONE) {
		v = t->sample->host[l->host];
		if (!gf_is_unknown(recorded->host[l->host]))
			l->recorded[slot] = recorded->host[l->host];
	}
	span(&l->lo[slot], &l->hi[slot], v);
}

static bool grow(struct sim_charts *c, uint32_t rows)
{
	uint32_t *a, *b;

	if (rows <= c->rows)
		return true;
	rows = (rows + 1023) / 1024 * 1024;
	a = realloc(c->row_lane, rows * sizeof *a);
	c->row_lane = a ? a : c->row_lane;
	b = realloc(c->row_gen, rows * sizeof *b);
	c->row_gen = b ? b : c->row_gen;
	if (!a || !b)
		return false;
	memset(a + c->rows, 0, (rows - c->rows) * sizeof *a);
	memset(b + c->rows, 0, (rows - c->rows) * sizeof *b);
	c->rows = rows;
	return true;
}

static struct sim_lane *lane_of(struct sim_charts *c, const struct gf_sample *s, uint32_t row, bool make)
{
	struct sim_lane *l;

	if (row >= c->rows)
		return NULL;
	if (c->row_lane[row] && c->row_gen[row] == s->gen[row])
		return &c->lane[c->row_lane[row] - 1];
	if (!make || c->lanes == CHART_LANES || !s->flags[row])
		return NULL;
	l = &c->lane[c->lanes++];
	l->pid = s->pid[row];
	l->start_ns = s->start_ns[row];
	memcpy(l->comm, s->comm[row], GF_COMM_LEN);
	clear(l->rss);
	c->row_lane[row] = (uint32_t)c->lanes;
	c->row_gen[row] = s->gen[row];
	return l;
}

static void take_lanes(struct sim_charts *c, uint32_t slot, const struct gf_run_tick *t)
{
	const struct gf_sample *s = t->sample;
	const double *rss = s->col[GF_TF_RSS];
	uint32_t top[TOP], n = 0;

	if (!rss || !grow(c, s->rows))
		return;
	for (uint32_t i = 0; i < s->rows; i++) {
		uint32_t k;
		if (!(s->flags[i] & GF_ROW_VALID) || gf_is_unknown(rss[i]) || (n == TOP && rss[i] <= rss[top[n - 1]]))
			continue;
		k = n < TOP ? n++ : n - 1;
		for (; k && rss[i] > rss[top[k - 1]]; k--)
			top[k] = top[k - 1];
		top[k] = i;
	}
	for (uint32_t k = 0; k < n; k++)
		lane_of(c, s, top[k], true);
	for (size_t i = 0; i < t->verdicts; i++) {
		struct sim_lane *l = t->verdict[i].pid && t->verdict[i].row < s->rows ? lane_of(c, s, t->verdict[i].row, true) : NULL;
		if (l)
			l->victim = true;
	}
	for (uint32_t i = 0; i < s->rows; i++) {
		struct sim_lane *l = s->flags[i] & GF_ROW_VALID ? lane_of(c, s, i, false) : NULL;
		if (!l || gf_is_unknown(rss[i]))
			continue;
		l->rss[slot] = gf_is_unknown(l->rss[slot]) ? rss[i] : fmax(l->rss[slot], rss[i]);
		l->most = fmax(l->most, rss[i]);
	}
}

void sim_charts_take(struct sim_charts *c, const struct gf_run_tick *t, const struct gf_sample *recorded)
{
	double share = t->now_ns <= c->from_ns ? 0 : (double)(t->now_ns - c->from_ns) / (double)(c->to_ns - c->from_ns + 1);
	uint32_t slot = (uint32_t)fmin(share * c->slots, c->slots - 1);

	for (size_t i = 0; i < c->lines; i++)
		take_line(&c->line[i], slot, t, recorded);
	take_lanes(c, slot, t);
}

static int by_size(const void *x, const void *y)
{
	const struct sim_lane *a = *(const struct sim_lane *const *)x, *b = *(const struct sim_lane *const *)y;

	if (a->victim != b->victim)
		return a->victim ? -1 : 1;
	if (a->most != b->most)
		return a->most > b->most ? -1 : 1;
	return a->pid < b->pid ? -1 : a->pid > b->pid;
}

size_t sim_lanes_shown(const struct sim_charts *c, const struct sim_lane *ret[CHART_SHOWN])
{
	const struct sim_lane *all[CHART_LANES];

	for (size_t i = 0; i < c->lanes; i++)
		all[i] = &c->lane[i];
	qsort(all, c->lanes, sizeof(const struct sim_lane *), by_size);
	for (size_t i = 0; i < GF_MIN(c->lanes, CHART_SHOWN); i++)
		ret[i] = all[i];
	return GF_MIN(c->lanes, CHART_SHOWN);
}

void sim_charts_free(struct sim_charts *c)
{
	if (!c)
		return;
	free(c->line);
	free(c->lane);
	free(c->row_lane);
	free(c->row_gen);
	free(c);
}
