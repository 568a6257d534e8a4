/* SPDX-License-Identifier: MIT
 *
 * What differs between a test and what happened: what was expected with "-", what was done with "+", and why.
 */
#include <math.h>
#include <string.h>

#include "ctl/explain.h"
#include "ctl/test.h"
#include "daemon/eventjson.h"

static uint32_t line_of(const struct gf_source *src, struct gf_span span)
{
	uint32_t line, col;

	gf_source_locate(src, span.start, &line, &col);
	return line;
}

static const char *time_text(uint64_t ns, char *buf, size_t n)
{
	snprintf(buf, n, "%gs", (double)ns / 1e9);
	return buf;
}

/* What b holds, as JSON; empties it. */
static json_t *loaded(struct gf_jbuf *b)
{
	json_t *j = b->failed ? NULL : json_loadb(b->p, b->n, 0, NULL);

	gf_jbuf_deinit(b);
	return j;
}

static json_t *event_json(const struct gf_event *ev, const struct gf_image_header *img)
{
	struct gf_jbuf b = { 0 };

	gf_event_json(ev, img, NULL, false, &b);
	return loaded(&b);
}

static json_t *view_json(const struct gf_ptest_miss *m, const struct gf_image_header *img)
{
	struct gf_jbuf b = { 0 };

	gf_rule_json(&m->view, m->e->rule_no, img, m->view.last_ns, &b);
	return loaded(&b);
}

/* The label of a process in the test, or NULL. */
static const char *label_of(const struct gf_ptest_case *c, int32_t pid)
{
	for (size_t i = 0; i < c->tasks; i++)
		if (pid >= c->task[i].pid && pid < c->task[i].pid + (int32_t)c->task[i].count)
			return c->task[i].label;
	return NULL;
}

static const char *because_text(int because)
{
	return because < 0 ? "no victim" : gf_held_back_name((uint8_t)because);
}

/* "low-memory: SIGTERM to hog (pid 1001)" of an expectation. */
static void want_text(const struct gf_ptest_case *c, const struct gf_ptest_expect *e, char *buf, size_t n)
{
	const char *label = e->task ? e->task : e->pid ? label_of(c, e->pid) : NULL;
	size_t o;

	if (e->want == GF_WANT_TRUTH) {
		snprintf(buf, n, "%s is %s", e->rule, gf_tri_name(e->truth));
		return;
	}
	if (e->want == GF_WANT_HELD) {
		snprintf(buf, n, "%s is held back by %s", e->rule, because_text(e->because));
		return;
	}
	o = (size_t)snprintf(buf, n, "%s: %s", e->rule ? e->rule : "any rule", e->action ? e->action : "some action");
	if (o < n && e->pid_from && e->pid_from == e->pid_to)
		o += (size_t)snprintf(buf + o, n - o, " to %s%s(pid %d)", label ? label : "", label ? " " : "", e->pid_from);
	else if (o < n && e->pid_from)
		o += (size_t)snprintf(buf + o, n - o, " to %s", label ? label : "?");
	if (o < n && e->processes)
		o += (size_t)snprintf(buf + o, n - o, ", %u process%s", e->processes, e->processes == 1 ? "" : "es");
	if (o < n && e->observed >= 0)
		o += (size_t)snprintf(buf + o, n - o, ", %s", e->observed ? "observed only" : "really done");
	if (o < n && e->text)
		snprintf(buf + o, n - o, ", saying \"%s\"", e->text);
}

static void got_text(const struct gf_ptest_case *c, const struct gf_ptest_got *g, const struct gf_image_header *img, char *buf, size_t n)
{
	const char *label = g->pid ? label_of(c, g->pid) : NULL;
	size_t o = (size_t)snprintf(buf, n, "%s: %s", gf_event_rule(&g->ev, img), g->action);

	if (o < n && g->pid)
		o += (size_t)snprintf(buf + o, n - o, " to %s (pid %d)", label ? label : g->comm, g->pid);
	if (o < n && g->processes > 1)
		o += (size_t)snprintf(buf + o, n - o, " and its group, %u processes in all", g->processes);
	if (o < n && g->ev.observed)
		snprintf(buf + o, n - o, ", observed only");
}

static void indent(const struct gf_lines *in, struct gf_lines *out)
{
	for (size_t i = 0; i < in->n; i++)
		if (*in->v[i].text)
			gf_lines_add(out, in->v[i].look, "          %s", in->v[i].text);
}

/* Each term on one line, with its values. */
static void add_terms(const json_t *terms, struct gf_lines *out)
{
	char buf[512];

	for (size_t i = 0; i < json_array_size(terms); i++) {
		const json_t *t = json_array_get(terms, i);
		gf_lines_add(out, gf_explain_truth_look(gf_js_str(t, "truth")), "  %-8s %s", gf_js_str(t, "truth"), gf_explain_term(t, buf, sizeof buf));
	}
}

/* Why something was done: the terms with their values, and who else there was. */
static void explain_got(const struct gf_ptest_got *g, const struct gf_image_header *img, struct gf_lines *out)
{
	struct gf_lines l = { 0 };
	json_t *j = event_json(&g->ev, img);
	char text[600];

	add_terms(json_object_get(j, "terms"), &l);
	if (json_array_size(json_object_get(j, "ranks")))
		gf_explain_choice(j, &l);
	if (*gf_event_notify(&g->ev, img, text, sizeof text))
		gf_lines_add(&l, GF_LOOK_PLAIN, "  says     %s", text);
	indent(&l, out);
	gf_lines_deinit(&l);
	json_decref(j);
}

static bool all_true(const json_t *terms)
{
	for (size_t i = 0; i < json_array_size(terms); i++)
		if (strcmp(gf_js_str(json_array_get(terms, i), "truth"), "true"))
			return false;
	return json_array_size(terms) > 0;
}

/* Why a rule did not do it: how it was then. */
static void explain_miss(const struct gf_ptest_miss *m, const struct gf_image_header *img, struct gf_lines *out)
{
	static const char *const phases[] = { "", ", and it was between two of its steps", ", and it waited for its victims to be gone (settle)",
					      ", and it rested from what it did before (cooldown)" };
	struct gf_lines l = { 0 };
	json_t *j;
	char at[32];

	if (!m->has_view)
		return;
	j = view_json(m, img);
	gf_lines_add(out, GF_LOOK_PLAIN, "          at %s the rule was %s%s%s", time_text(m->at_ns, at, sizeof at), gf_tri_name(m->view.truth),
		     m->view.truth == GF_FALSE && all_true(json_object_get(j, "terms")) ? ": its condition was true, but not for long enough yet" : "",
		     m->view.phase < 4 ? phases[m->view.phase] : "");
	add_terms(json_object_get(j, "terms"), &l);
	indent(&l, out);
	gf_lines_deinit(&l);
	json_decref(j);
}

static void add_miss(const struct gf_source *src, const struct gf_ptest_case *c, const struct gf_ptest_miss *m, const struct gf_image_header *img,
		     struct gf_lines *out)
{
	char from[32], to[32], text[300], near[300];
	const struct gf_ptest_expect *e = m->e;

	want_text(c, e, text, sizeof text);
	if (m->none) {
		gf_lines_add(out, GF_LOOK_BAD, "      + at %-8s %s", time_text(m->at_ns, from, sizeof from), text);
		gf_lines_add(out, GF_LOOK_DIM, "          forbidden by expect_none, %s:%u", src->name, line_of(src, e->span));
		explain_miss(m, img, out);
		return;
	}
	time_text(e->from_ns, from, sizeof from);
	if (e->to_ns != e->from_ns)
		snprintf(from + strlen(from), sizeof from - strlen(from), "..%.12s", time_text(e->to_ns, to, sizeof to));
	gf_lines_add(out, GF_LOOK_WARN, "      - at %-8s %s", from, text);
	gf_lines_add(out, GF_LOOK_DIM, "          expected by %s:%u", src->name, line_of(src, e->span));
	if (m->processes)
		gf_lines_add(out, GF_LOOK_PLAIN, "          it was done, and reached %u process%s", m->processes, m->processes == 1 ? "" : "es");
	if (m->near) {
		got_text(c, m->near, img, near, sizeof near);
		gf_lines_add(out, GF_LOOK_PLAIN, "          instead, at %s: %s", time_text(m->near->at_ns, to, sizeof to), near);
	}
	if (!m->processes && !(m->near && m->near->at_ns >= e->from_ns && m->near->at_ns <= e->to_ns))
		explain_miss(m, img, out);
}

static bool wrong(const struct gf_ptest_case *c, const struct gf_ptest_got *g)
{
	return g->forbidden || (c->has_expect && c->strict && !g->expected);
}

void gf_test_report(const struct gf_source *src, const struct gf_ptest_case *c, const struct gf_ptest_outcome *o,
		    const struct gf_image_header *img, struct gf_lines *out)
{
	char at[32], text[300];

	if (o->error[0])
		gf_lines_add(out, GF_LOOK_BAD, "      it could not be run to its end: %s", o->error);
	for (size_t i = 0; i < o->misses; i++)
		add_miss(src, c, &o->miss[i], img, out);
	for (size_t i = 0; i < o->gots; i++) {
		const struct gf_ptest_got *g = &o->got[i];
		if (!wrong(c, g))
			continue;
		got_text(c, g, img, text, sizeof text);
		gf_lines_add(out, GF_LOOK_BAD, "      + at %-8s %s", time_text(g->at_ns, at, sizeof at), text);
		if (g->forbidden)
			gf_lines_add(out, GF_LOOK_DIM, "          forbidden by expect_none, %s:%u", src->name, line_of(src, g->forbidden->span));
		else
			gf_lines_add(out, GF_LOOK_DIM, "          not expected");
		explain_got(g, img, out);
	}
}

static json_t *report_text(const struct gf_lines *l)
{
	json_t *a = json_array();

	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(a, json_string_nocheck(l->v[i].text));
	return a;
}

static void set_near(json_t *j, const struct gf_ptest_case *c, const struct gf_ptest_miss *m, const struct gf_image_header *img)
{
	char text[300];

	if (m->near) {
		got_text(c, m->near, img, text, sizeof text);
		json_object_set_new(j, "instead", json_string(text));
	}
	if (m->has_view)
		json_object_set_new(j, "rule", view_json(m, img));
}

static json_t *spans_json(const struct gf_ptest_outcome *o, const struct gf_image_header *img)
{
	const struct gf_rule *rule = GF_SEC(struct gf_rule, img, GF_SEC_RULE);
	json_t *a = json_array();

	for (size_t i = 0; i < o->spans; i++)
		json_array_append_new(a, json_pack("{s:s, s:f, s:f, s:I}", "rule", gf_image_str(img, rule[o->span[i].rule].name), "from_s",
						   (double)o->span[i].from_ns / 1e9, "to_s", (double)o->span[i].to_ns / 1e9, "rows",
						   (json_int_t)o->span[i].rows));
	return a;
}

json_t *gf_test_json(const struct gf_source *src, const struct gf_ptest_case *c, const struct gf_ptest_outcome *o,
		     const struct gf_image_header *img, const struct gf_lines *report)
{
	json_t *miss = json_array(), *done = json_array();
	char text[300];

	for (size_t i = 0; i < o->misses; i++) {
		json_t *j;
		want_text(c, o->miss[i].e, text, sizeof text);
		j = json_pack("{s:s, s:I, s:f, s:b}", "what", text, "line", (json_int_t)line_of(src, o->miss[i].e->span), "at_s",
			      (double)o->miss[i].at_ns / 1e9, "forbidden", o->miss[i].none);
		set_near(j, c, &o->miss[i], img);
		json_array_append_new(miss, j);
	}
	for (size_t i = 0; i < o->gots; i++) {
		const struct gf_ptest_got *g = &o->got[i];
		json_t *j;
		got_text(c, g, img, text, sizeof text);
		j = json_pack("{s:s, s:f, s:s, s:s, s:i, s:s, s:i, s:b, s:b}", "what", text, "at_s", (double)g->at_ns / 1e9, "rule",
			      gf_event_rule(&g->ev, img), "action", g->action, "pid", g->pid, "comm", g->comm, "processes", (int)g->processes,
			      "observed", g->ev.observed != 0, "ok", !wrong(c, g));
		if (wrong(c, g))
			json_object_set_new(j, "event", event_json(&g->ev, img));
		json_array_append_new(done, j);
	}
	return json_pack("{s:s, s:I, s:b, s:f, s:I, s:o, s:o, s:o, s:o}", "name", c->name, "line", (json_int_t)line_of(src, c->span), "ok", !o->failed,
			 "seconds", o->seconds, "samples", (json_int_t)o->ticks, "missing", miss, "actions", done, "true", spans_json(o, img), "report", report_text(report));
}
