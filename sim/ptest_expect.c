/* SPDX-License-Identifier: MIT
 *
 * What a test expects.
 */
#include "sim/ptest_int.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "gpufas/event.h"
#include "grammar/ast.h"

/* "12s", or "10s..12s". */
static void take_at(struct gf_cfg *x, const struct gf_ynode *n)
{
	struct gf_ptest_expect *e = gf_ptest_reader(x)->e;
	const char *s = gf_cfg_text(x, n, "at");
	const char *dots = s ? strstr(s, "..") : NULL;
	char *first = NULL;
	struct gf_err err;
	int r;

	if (!s)
		return;
	e->at_span = n->span;
	first = strndup(s, dots ? (size_t)(dots - s) : strlen(s));
	if (!first) {
		x->nomem = true;
		return;
	}
	while (*first && isspace((unsigned char)first[strlen(first) - 1]))
		first[strlen(first) - 1] = 0;
	r = gf_ptest_duration(first, &e->from_ns, &err);
	e->to_ns = e->from_ns;
	if (!r && dots)
		r = gf_ptest_duration(dots + 2 + strspn(dots + 2, " "), &e->to_ns, &err);
	free(first);
	if (r)
		gf_cfg_error(x, n, "write 12s, or a range: 10s..12s", "at: %s", err.text);
	else if (e->to_ns < e->from_ns)
		gf_cfg_error(x, n, NULL, "this range ends before it begins");
}

static void take_rule(struct gf_cfg *x, const struct gf_ynode *n)
{
	struct gf_ptest_expect *e = gf_ptest_reader(x)->e;
	const char *s = gf_cfg_text(x, n, "rule");

	if (s)
		gf_cfg_set(x, &e->rule, s);
	e->rule_span = n->span;
}

static void take_action(struct gf_cfg *x, const struct gf_ynode *n)
{
	struct gf_ptest_expect *e = gf_ptest_reader(x)->e;
	const char *s = gf_cfg_text(x, n, "action");
	int sig = s ? gf_signal_number(s) : 0;

	if (!s || (e->action && !strcmp(s, "signal")))
		return;
	gf_cfg_set(x, &e->action, sig > 0 ? gf_signal_name(sig) : s);
	e->action_span = n->span;
}

static void take_signal(struct gf_cfg *x, const struct gf_ynode *n)
{
	struct gf_ptest_expect *e = gf_ptest_reader(x)->e;
	const char *s = gf_cfg_text(x, n, "signal");
	int sig = s ? gf_signal_number(s) : 0;
	size_t count;

	if (!s)
		return;
	if (sig <= 0) {
		const char *const *names = gf_signal_names(&count);
		const char *near = gf_nearest(s, names, count);
		char hint[80] = "";
		if (near)
			snprintf(hint, sizeof hint, "did you mean \"%s\"?", near);
		gf_cfg_error(x, n, hint, "there is no signal \"%s\"", s);
		return;
	}
	const char *name = gf_signal_name(sig);
	if (e->action && strcmp(e->action, "signal") && strcmp(e->action, name))
		gf_cfg_error(x, n, NULL, "action says %s, and signal %s", e->action, name);
	gf_cfg_set(x, &e->action, name);
	e->action_span = n->span;
}

static void take_pid(struct gf_cfg *x, const struct gf_ynode *n)
{
	struct gf_ptest_expect *e = gf_ptest_reader(x)->e;
	uint64_t v;

	e->pid_span = n->span;
	if (gf_cfg_integer(x, n, "pid", 1, 4194304, &v))
		e->pid = (int32_t)v;
}

static void take_task(struct gf_cfg *x, const struct gf_ynode *n)
{
	struct gf_ptest_expect *e = gf_ptest_reader(x)->e;
	const char *s = gf_cfg_text(x, n, "task");

	e->pid_span = n->span;
	if (s)
		gf_cfg_set(x, &e->task, s);
}

static void take_processes(struct gf_cfg *x, const struct gf_ynode *n)
{
	uint64_t v;

	if (gf_cfg_integer(x, n, "processes", 1, GF_PTEST_TASKS, &v))
		gf_ptest_reader(x)->e->processes = (uint32_t)v;
}

static void take_is(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const char *const words[] = { "false", "unknown", "true" };
	struct gf_ptest_expect *e = gf_ptest_reader(x)->e;
	int i = gf_cfg_choice(x, n, "is", words, 3);

	e->want = GF_WANT_TRUTH;
	if (i >= 0)
		e->truth = (uint8_t)(i == 0 ? GF_FALSE : i == 1 ? GF_UNKNOWN : GF_TRUE);
}

static void take_because(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const char *const words[] = { "cooldown", "limit", "settle", "budget", "no victim" };
	static const int why[] = { GF_HB_COOLDOWN, GF_HB_LIMIT, GF_HB_SETTLE, GF_HB_BUDGET, -1 };
	struct gf_ptest_expect *e = gf_ptest_reader(x)->e;
	int i = gf_cfg_choice(x, n, "because", words, 5);

	e->want = GF_WANT_HELD;
	if (i >= 0)
		e->because = why[i];
}

static void take_text(struct gf_cfg *x, const struct gf_ynode *n)
{
	const char *s = gf_cfg_text(x, n, "text");

	if (s)
		gf_cfg_set(x, &gf_ptest_reader(x)->e->text, s);
}

static void take_observed(struct gf_cfg *x, const struct gf_ynode *n)
{
	bool on;

	if (gf_ptest_flag(x, n, "observed", &on))
		gf_ptest_reader(x)->e->observed = on;
}

static void take_one(struct gf_cfg *x, const struct gf_ynode *n, bool none)
{
	static const struct gf_cfg_key keys[] = {
		{ "at", take_at }, { "rule", take_rule }, { "action", take_action }, { "signal", take_signal }, { "pid", take_pid },
		{ "task", take_task }, { "processes", take_processes }, { "is", take_is }, { "because", take_because },
		{ "text", take_text }, { "observed", take_observed },
	};
	struct gf_ptest_reader *r = gf_ptest_reader(x);
	struct gf_ptest_expect *e = gf_ptest_grow(x, none ? &r->c->none : &r->c->expect, none ? &r->c->nones : &r->c->expects, sizeof *e);

	if (!e)
		return;
	*e = (struct gf_ptest_expect){ .span = n->span, .to_ns = GF_PTEST_NEVER, .observed = -1, .rule_no = GF_NONE };
	r->e = e;
	GF_PTEST_WALK(x, n, none ? "expect_none" : "expect", keys);
	/* the end of a map is where the next thing begins: show where it begins */
	e->span.end = e->span.start + 1;
	if (n->kind != GF_Y_MAP)
		return;
	if (e->pid && e->task)
		gf_cfg_error(x, n, NULL, "a pid or a task, not both");
	if (e->want != GF_WANT_ACTION && (e->action || e->pid || e->task || e->processes || e->text || e->observed >= 0))
		gf_cfg_error(x, n, "\"is\" and \"because\" are about a rule, \"action\" is what it does",
			     "an entry with \"%s\" has at and rule, and nothing else", e->want == GF_WANT_TRUTH ? "is" : "because");
	if (e->want != GF_WANT_ACTION && !e->rule)
		gf_cfg_error(x, n, NULL, "which rule? an entry with \"%s\" needs its name", e->want == GF_WANT_TRUTH ? "is" : "because");
	if (!none && !e->at_span.end)
		gf_cfg_error(x, n, "at: 12s, or a range: 10s..12s", "when? an expectation needs \"at\"");
	else if (!none && e->want == GF_WANT_ACTION && !e->rule && !e->action && !e->pid && !e->task)
		gf_cfg_error(x, n, NULL, "what? an expectation needs a rule, an action, a pid or a task");
}

void gf_ptest_expects(struct gf_cfg *x, const struct gf_ynode *n, bool none)
{
	if (n->kind == GF_Y_NULL)
		return;
	if (n->kind != GF_Y_SEQ) {
		gf_cfg_error(x, n, none ? "- {rule: low-memory}" : "- {at: 12s, rule: low-memory, action: SIGTERM, task: hog}", "%s must be a list",
			     none ? "expect_none" : "expect");
		return;
	}
	for (const struct gf_ynode *k = n->kid; k && !x->nomem; k = k->next)
		take_one(x, k, none);
}
