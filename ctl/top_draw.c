/* SPDX-License-Identifier: MIT
 *
 * top's screen, drawn anew each time from what is known.
 */
#include "ctl/top.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/explain.h"
#include "ctl/top_help.h"

static int min_int(int a, int b)
{
	return a < b ? a : b;
}

static int max_int(int a, int b)
{
	return a > b ? a : b;
}

/* Keeps the selected line inside the list and the window over it. */
static void scroll(struct gf_top_list *l, size_t n, int height)
{
	size_t h = (size_t)max_int(height, 1);

	l->height = height;
	if (l->sel >= n)
		l->sel = n ? n - 1 : 0;
	if (l->sel < l->first)
		l->first = l->sel;
	if (l->sel >= l->first + h)
		l->first = l->sel - h + 1;
	if (l->first + h > n)
		l->first = n > h ? n - h : 0;
}

/* "── Rules (3) ────". The focused panel's is bold. */
static void panel_title(struct gf_canvas *c, int row, bool focus, const char *text)
{
	const char *dash = MB_CUR_MAX > 1 ? "\xe2\x94\x80" : "-";
	int col = 0;

	while (col < 2)
		col = gf_canvas_put(c, row, col, GF_LOOK_DIM, "%s", dash);
	col = gf_canvas_put(c, row, col, focus ? GF_LOOK_HEAD : GF_LOOK_DIM, " %s%s ", focus ? "*" : "", text);
	while (col < c->cols)
		col = gf_canvas_put(c, row, col, GF_LOOK_DIM, "%s", dash);
}

static void nearest_text(const json_t *r, char *buf, size_t n)
{
	const json_t *near = json_object_get(r, "closest"), *term = gf_explain_decisive(r);
	char what[512], comm[80];
	bool held = term && !strcmp(gf_js_str(term, "truth"), "true") && strcmp(gf_js_str(r, "truth"), "true") &&
		    !strcmp(gf_js_str(r, "phase"), "idle");
	size_t at = 0;

	buf[0] = 0;
	if (json_is_object(near))
		at = (size_t)snprintf(buf, n, "%s %lld: ", gf_show_safe(gf_js_str(near, "comm"), comm, sizeof comm), gf_js_int(near, "pid"));
	if (term && at < n)
		snprintf(buf + at, n - at, "%s%s", gf_explain_term(term, what, sizeof what), held ? " (not for long enough yet)" : "");
}

static enum gf_look close_look(double close, const char *truth)
{
	return !strcmp(truth, "true") || close >= 1 ? GF_LOOK_BAD : close >= 0.8 ? GF_LOOK_WARN : GF_LOOK_GOOD;
}

static void rule_row(const json_t *r, struct gf_canvas *c, int row)
{
	double close = gf_js_num(r, "closeness"), ago = gf_js_num(r, "last_ago_s");
	const char *truth = gf_js_str(r, "truth"), *phase = gf_js_str(r, "phase");
	bool wide = c->cols >= 100;
	long long fired = gf_js_int(r, "fired");
	char text[700], b[24];
	int col;

	gf_canvas_blank(c, row, 0);
	col = gf_canvas_field(c, row, 1, wide ? 22 : 16, 0, GF_LOOK_PLAIN, gf_js_str(r, "name")) + 1;
	if (wide) {
		col = gf_canvas_field(c, row, col, 7, 0, gf_explain_truth_look(truth), truth) + 1;
		col = gf_canvas_field(c, row, col, 8, 0, strcmp(phase, "idle") ? GF_LOOK_WARN : GF_LOOK_PLAIN, phase) + 1;
	} else {
		bool idle = !strcmp(phase, "idle");
		col = gf_canvas_field(c, row, col, 8, 0, idle ? gf_explain_truth_look(truth) : GF_LOOK_WARN, idle ? truth : phase) + 1;
	}
	col = gf_canvas_put(c, row, col, GF_LOOK_PLAIN, "[");
	col = gf_canvas_put(c, row, col, close_look(close, truth), "%s", gf_explain_bar(close, 8, text, sizeof text));
	if (isnan(close))
		snprintf(b, sizeof b, "] -");
	else
		snprintf(b, sizeof b, "]%3.0f%%", floor(fmin(fmax(close, 0), 1) * 100));
	col = gf_canvas_field(c, row, col, 5, 0, GF_LOOK_PLAIN, b) + 1;
	snprintf(b, sizeof b, "%lld", fired < 0 ? 0 : fired);
	col = gf_canvas_field(c, row, col, 5, 1, GF_LOOK_PLAIN, b) + 1;
	col = gf_canvas_field(c, row, col, 7, 1, GF_LOOK_PLAIN, isnan(ago) ? "never" : gf_show_span(ago, b, sizeof b)) + 1;
	nearest_text(r, text, sizeof text);
	gf_canvas_put(c, row, col, GF_LOOK_PLAIN, "%s", text);
}

/* Returns the row below the panel. */
static int rules_panel(struct gf_top *t, struct gf_canvas *c, int row, int height)
{
	const json_t *rules = gf_top_rules(t), *sel;
	size_t n = json_array_size(rules);
	struct gf_top_list *l = &t->list[GF_TP_RULES];
	bool wide = c->cols >= 100, focus = t->focus == GF_TP_RULES;
	char text[800];

	scroll(l, n, height);
	if ((size_t)height < n)
		snprintf(text, sizeof text, "Rules (%zu to %zu of %zu)", l->first + 1, l->first + (size_t)height, n);
	else
		snprintf(text, sizeof text, "Rules (%zu)", n);
	panel_title(c, row++, focus, text);
	if (wide)
		gf_canvas_put(c, row++, 1, GF_LOOK_HEAD, "%-22s %-7s %-8s %-14s %5s %7s %s", "RULE", "TRUTH", "PHASE", "CLOSENESS",
			      "FIRED", "LAST", "WHAT DECIDES");
	else
		gf_canvas_put(c, row++, 1, GF_LOOK_HEAD, "%-16s %-8s %-14s %5s %7s %s", "RULE", "STATE", "CLOSENESS", "FIRED",
			      "LAST", "WHAT DECIDES");
	for (int i = 0; i < height; i++, row++) {
		size_t at = l->first + (size_t)i;
		if (at >= n) {
			if (!n && !i)
				gf_canvas_put(c, row, 1, GF_LOOK_DIM, "no rules: the policy is empty");
			continue;
		}
		c->invert = focus && at == l->sel;
		rule_row(json_array_get(rules, at), c, row);
		c->invert = 0;
	}
	/* The selected rule's in full, for where the column was too narrow. */
	sel = json_array_get(rules, l->sel);
	if (focus && sel) {
		nearest_text(sel, text, sizeof text);
		gf_canvas_put(c, row, 1, GF_LOOK_DIM, "%s", text);
		row++;
	}
	return row;
}

static const char *task_cell(const struct gf_top_task *k, enum gf_top_column col, char *buf, size_t n)
{
	static const enum gf_dim dim[GF_TC_COUNT] = {
		[GF_TC_CPU] = GF_DIM_PCT, [GF_TC_RSS] = GF_DIM_BYTES, [GF_TC_SWAP] = GF_DIM_BYTES,
		[GF_TC_TIME] = GF_DIM_TIME, [GF_TC_AGE] = GF_DIM_TIME,
	};

	switch (col) {
	case GF_TC_USER:
		return k->user;
	case GF_TC_COMM:
		return k->comm;
	case GF_TC_STATE:
		snprintf(buf, n, "%c", k->state);
		return buf;
	case GF_TC_PID:
		snprintf(buf, n, "%.0f", k->v[col]);
		return buf;
	default:
		return gf_show_cell(k->v[col], dim[col], buf, n);
	}
}

static enum gf_look task_look(const struct gf_top_task *k, enum gf_top_column col)
{
	if (col == GF_TC_STATE)
		return k->state == 'R' ? GF_LOOK_GOOD : k->state == 'D' ? GF_LOOK_WARN : k->state == 'Z' ? GF_LOOK_BAD : GF_LOOK_PLAIN;
	if (isnan(k->v[col]) && col != GF_TC_COMM && col != GF_TC_USER)
		return GF_LOOK_DIM;
	return GF_LOOK_PLAIN;
}

/* A wide screen has room to spare for names. */
static int column_width(const struct gf_canvas *c, int i)
{
	if (i == GF_TC_COMM && c->cols > 100)
		return 24;
	return gf_top_columns[i].width;
}

static void tasks_head(const struct gf_top *t, struct gf_canvas *c, int row)
{
	int col = 1;

	for (int i = 0; i < GF_TC_COUNT && col < c->cols; i++) {
		char head[24];
		bool here = t->sort == (enum gf_top_column)i;
		int w = column_width(c, i);
		if (col + w > c->cols)
			break;
		snprintf(head, sizeof head, "%s", gf_top_columns[i].title);
		c->invert = here;
		gf_canvas_field(c, row, col, w, gf_top_columns[i].right, GF_LOOK_HEAD, head);
		c->invert = 0;
		col += w + 1;
	}
	if (c->cols - col >= 16)
		gf_canvas_put(c, row, col, GF_LOOK_HEAD, "COMMAND");
}

static void task_row(const struct gf_top_task *k, struct gf_canvas *c, int row)
{
	char buf[64];
	int col = 1;

	gf_canvas_blank(c, row, 0);
	for (int i = 0; i < GF_TC_COUNT && col < c->cols; i++) {
		int w = column_width(c, i);
		if (col + w > c->cols)
			break;
		gf_canvas_field(c, row, col, w, gf_top_columns[i].right, task_look(k, (enum gf_top_column)i),
				task_cell(k, (enum gf_top_column)i, buf, sizeof buf));
		col += w + 1;
	}
	if (c->cols - col >= 16)
		gf_canvas_put(c, row, col, GF_LOOK_DIM, "%s", k->cmdline);
}

static void tasks_panel(struct gf_top *t, struct gf_canvas *c, int row, int height)
{
	struct gf_top_list *l = &t->list[GF_TP_TASKS];
	bool focus = t->focus == GF_TP_TASKS;
	char text[200];
	size_t n = (size_t)snprintf(text, sizeof text, "Tasks (%zu", t->tasks);

	if (*t->filter)
		n += (size_t)snprintf(text + n, sizeof text - n, ", %zu match \"%s\"", t->views, t->filter);
	if (t->no_kthreads)
		n += (size_t)snprintf(text + n, sizeof text - n, ", no kernel threads");
	snprintf(text + n, sizeof text - n, ", by %s%s)", gf_top_columns[t->sort].title, t->reverse ? " reversed" : "");
	scroll(l, t->views, height - 2);
	panel_title(c, row++, focus, text);
	tasks_head(t, c, row++);
	for (int i = 0; i < height - 2; i++) {
		size_t at = l->first + (size_t)i;
		if (at >= t->views)
			break;
		c->invert = focus && at == l->sel;
		task_row(&t->task[t->view[at]], c, row + i);
		c->invert = 0;
	}
}

static void events_panel(struct gf_top *t, struct gf_canvas *c, int row, int height)
{
	const json_t *events = gf_top_events(t);
	size_t n = json_array_size(events);
	struct gf_top_list *l = &t->list[GF_TP_EVENTS];
	bool focus = t->focus == GF_TP_EVENTS;
	struct gf_lines lines = { 0 };
	char text[64];

	scroll(l, n, height - 1);
	snprintf(text, sizeof text, "Events (%zu, newest first)", n);
	panel_title(c, row++, focus, text);
	if (!n)
		gf_canvas_put(c, row, 1, GF_LOOK_DIM, "no events yet");
	for (size_t i = 0; i < (size_t)max_int(height - 1, 0) && l->first + i < n; i++)
		gf_explain_event_line(json_array_get(events, n - 1 - (l->first + i)), &lines);
	for (size_t i = 0; i < lines.n; i++, row++) {
		/* Today's events need no date. */
		const char *s = strlen(lines.v[i].text) > 11 && lines.v[i].text[10] == ' ' ? lines.v[i].text + 11 : lines.v[i].text;
		c->invert = focus && l->first + i == l->sel;
		if (c->invert)
			gf_canvas_blank(c, row, 0);
		gf_canvas_put(c, row, 1, lines.v[i].look, "%s", s);
		c->invert = 0;
	}
	gf_lines_deinit(&lines);
}

static void viewer_lines(const struct gf_top *t, struct gf_lines *out)
{
	const json_t *list = t->viewer == GF_TV_RULE ? gf_top_rules(t) : gf_top_events(t), *events = gf_top_events(t), *o, *e;
	size_t i, j;

	if (t->viewer == GF_TV_HELP) {
		gf_top_help(out);
		return;
	}
	json_array_foreach(list, i, o) {
		if (t->viewer == GF_TV_EVENT && gf_js_int(o, "seq") == atoll(t->viewed)) {
			gf_explain_event(o, out);
			return;
		}
		if (t->viewer == GF_TV_RULE && !strcmp(gf_js_str(o, "name"), t->viewed)) {
			json_t *own = json_array();
			json_array_foreach(events, j, e)
				if (!strcmp(gf_js_str(e, "rule"), t->viewed))
					json_array_append(own, (json_t *)(uintptr_t)e);
			gf_explain_rule(o, own, out);
			json_decref(own);
			return;
		}
	}
	gf_lines_add(out, GF_LOOK_WARN, t->viewer == GF_TV_RULE ? "Rule %s is no longer in the policy." : "Event #%s is no longer kept.", t->viewed);
}

static void viewer(struct gf_top *t, struct gf_canvas *c, int row, int height)
{
	struct gf_lines raw = { 0 }, l = { 0 };

	viewer_lines(t, &raw);
	gf_lines_wrap(&raw, c->cols - 2, &l);
	gf_lines_deinit(&raw);
	t->page.height = height;
	if (t->page.first + (size_t)height > l.n)
		t->page.first = l.n > (size_t)height ? l.n - (size_t)height : 0;
	for (int i = 0; i < height && t->page.first + (size_t)i < l.n; i++)
		gf_canvas_put(c, row + i, 1, l.v[t->page.first + (size_t)i].look, "%s", l.v[t->page.first + (size_t)i].text);
	gf_lines_deinit(&l);
}

static void footer(const struct gf_top *t, struct gf_canvas *c)
{
	int row = c->rows - 1;

	c->invert = 1;
	gf_canvas_blank(c, row, 0);
	if (t->typing)
		gf_canvas_put(c, row, 1, GF_LOOK_PLAIN, "Show tasks whose name contains, or whose user or pid is: %s_", t->filter);
	else if (t->gone && t->answer[0])
		gf_canvas_put(c, row, 1, GF_LOOK_BAD, "daemon gone, retrying: %s", t->trouble);
	else if (*t->trouble && t->answer[0])
		gf_canvas_put(c, row, 1, GF_LOOK_BAD, "%s", t->trouble);
	else if (t->viewer)
		gf_canvas_put(c, row, 1, GF_LOOK_PLAIN, "up/down scroll   Esc back   q quit");
	else if (c->cols >= 100)
		gf_canvas_put(c, row, 1, GF_LOOK_PLAIN, "Tab panel  Enter explain  e %s  MPTNS <> sort  r reverse  / filter  space pause  h help  q quit",
			      t->lower == GF_TP_TASKS ? "events" : "tasks");
	else
		gf_canvas_put(c, row, 1, GF_LOOK_PLAIN, "Tab panel  Enter explain  e %s  M P T N S sort  / filter  h help  q quit",
			      t->lower == GF_TP_TASKS ? "events" : "tasks");
	c->invert = 0;
}

/* Before the first answer. */
static void waiting(const struct gf_top *t, struct gf_canvas *c)
{
	struct gf_lines raw = { 0 }, l = { 0 };

	gf_lines_add(&raw, GF_LOOK_PLAIN, t->gone ? "Waiting for gpufasd." : "Asking gpufasd...");
	gf_lines_add(&raw, GF_LOOK_WARN, "%s", t->trouble);
	gf_lines_wrap(&raw, c->cols - 4, &l);
	for (size_t i = 0; i < l.n; i++)
		gf_canvas_put(c, 1 + (int)i, 2, l.v[i].look, "%s", l.v[i].text);
	gf_lines_deinit(&raw);
	gf_lines_deinit(&l);
}

void gf_top_draw(struct gf_top *t, struct gf_canvas *c)
{
	int body, rules, row;

	gf_canvas_clear(c);
	if (c->rows < 14 || c->cols < 60) {
		gf_canvas_put(c, 0, 0, GF_LOOK_PLAIN, "This window is too small:");
		gf_canvas_put(c, 1, 0, GF_LOOK_PLAIN, "%dx%d, and 60x14 is needed.", c->cols, c->rows);
		return;
	}
	if (!t->answer[GF_TA_STATUS]) {
		waiting(t, c);
		footer(t, c);
		return;
	}
	gf_top_draw_title(t, c);
	if (t->viewer) {
		viewer(t, c, 2, c->rows - 3);
		footer(t, c);
		return;
	}
	gf_top_draw_host(t, c);
	/* 4 lines above, 1 below; the rules get what they need up to two fifths of the rest. */
	body = c->rows - 5;
	rules = min_int((int)json_array_size(gf_top_rules(t)), max_int(2, body * 2 / 5 - 2));
	row = rules_panel(t, c, 4, max_int(rules, 1));
	if (t->lower == GF_TP_TASKS)
		tasks_panel(t, c, row, c->rows - 1 - row);
	else
		events_panel(t, c, row, c->rows - 1 - row);
	footer(t, c);
}
