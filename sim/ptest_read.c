/* SPDX-License-Identifier: MIT
 *
 * A test file: its head, its tests, and what they are to be like.
 */
#include "sim/ptest_int.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "grammar/parser.h"

void gf_ptest_says(struct gf_cfg *x, struct gf_span span, const char *hint, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	gf_diag_addv(x->diags, GF_SEV_ERROR, "C004", span, hint, fmt, ap);
	va_end(ap);
}

struct gf_span gf_ptest_part(const struct gf_ynode *n, size_t at, size_t len)
{
	struct gf_span s = n->span;
	size_t quote = n->plain ? 0 : 1, text = n->text ? strlen(n->text) : 0;

	if (s.end - s.start != text + 2 * quote)
		return s; /* escapes, or several lines */
	s.start += (uint32_t)(quote + GF_MIN(at, text));
	s.end = s.start + (uint32_t)(len ? len : 1);
	return s;
}

void *gf_ptest_grow(struct gf_cfg *x, void *v, size_t *n, size_t size)
{
	void **at = v;
	char *p = realloc(*at, (*n + 1) * size);

	if (!p) {
		x->nomem = true;
		return NULL;
	}
	*at = p;
	memset(p + *n * size, 0, size);
	return p + (*n)++ * size;
}

void gf_ptest_walk(struct gf_cfg *x, const struct gf_ynode *n, const char *what, const struct gf_cfg_key *keys, size_t count)
{
	static const char *const habits[][2] = {
		{ "rule_files", "policy_files" }, { "evaluation_interval", "interval" }, { "input_series", "tasks" },
		{ "alert_rule_test", "expect" }, { "promql_expr_test", "expect" }, { "exp_alerts", "expect" },
		{ "eval_time", "at" }, { "alertname", "rule" }, { "group_eval_order", NULL }, { "external_labels", NULL },
	};
	enum { HABITS = sizeof habits / sizeof *habits };

	const char *names[32];

	if (n->kind != GF_Y_MAP) {
		gf_cfg_walk(x, n, what, keys, count);
		return;
	}
	for (size_t i = 0; i < count; i++)
		names[i] = keys[i].name;
	for (const struct gf_ynode *k = n->kid; k; k = k->next) {
		size_t i = 0, h = 0;
		while (i < count && strcmp(keys[i].name, k->key->text))
			i++;
		while (h < HABITS && strcmp(habits[h][0], k->key->text))
			h++;
		if (i < count) {
			keys[i].take(x, k);
		} else if (h < HABITS) {
			char hint[100];
			snprintf(hint, sizeof hint, "what promtool calls %s is %s here", habits[h][0], habits[h][1] ? habits[h][1] : "not needed");
			gf_cfg_error(x, k->key, hint, "unknown key \"%s\" in %s", k->key->text, what);
		} else {
			gf_cfg_unknown_key(x, k, what, names, count);
		}
	}
}

int gf_ptest_duration(const char *text, uint64_t *ret_ns, struct gf_err *err)
{
	const char *s = text;
	double sum = 0, factor;

	if (!strcmp(text, "0")) {
		*ret_ns = 0;
		return 0;
	}
	while (*s) {
		size_t n = strspn(s, "0123456789."), u = strspn(s + n, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ%");
		char unit[16], *end;
		enum gf_unit kind;
		double v = n ? strtod(s, &end) : 0;
		if (!n || end != s + n)
			return gf_err_set(err, EINVAL, "\"%s\" is not a duration such as 90s or 1min30s", text);
		snprintf(unit, sizeof unit, "%.*s", (int)u, s + n);
		if (!u)
			return gf_err_set(err, EINVAL, "\"%s\" lacks its unit; write for example %gs", text, v);
		if (!strcmp(unit, "m"))
			return gf_err_set(err, EINVAL, "\"%s\": minutes are \"min\"", text);
		if (!gf_lex_unit(unit, &kind, &factor) || kind != GF_UNIT_TIME)
			return gf_err_set(err, EINVAL, "unknown unit \"%s\" in \"%s\"; durations: ns us ms s min h d", unit, text);
		sum += v * factor;
		s += n + u;
	}
	if (s == text || sum > 9e17)
		return gf_err_set(err, EINVAL, "\"%s\" is %s", text, s == text ? "empty: a duration is needed" : "too long");
	*ret_ns = (uint64_t)(sum + 0.5);
	return 0;
}

bool gf_ptest_time(struct gf_cfg *x, const struct gf_ynode *n, const char *what, uint64_t *ret)
{
	const char *s = gf_cfg_text(x, n, what);
	struct gf_err err;

	if (!s)
		return false;
	if (!gf_ptest_duration(s, ret, &err))
		return true;
	gf_cfg_error(x, n, NULL, "%s: %s", what, err.text);
	return false;
}

bool gf_ptest_flag(struct gf_cfg *x, const struct gf_ynode *n, const char *what, bool *ret)
{
	static const char *const words[] = { "no", "yes", "false", "true", "off", "on" };
	int i = gf_cfg_choice(x, n, what, words, 6);

	if (i >= 0)
		*ret = i & 1;
	return i >= 0;
}

/* ---- policies ------------------------------------------------------------------ */

static char *resolve(const struct gf_ptest_reader *r, const char *path)
{
	char *s;

	if (*path == '/' || !strcmp(r->f->dir, "."))
		return strdup(path);
	return asprintf(&s, "%s/%s", r->f->dir, path) < 0 ? NULL : s;
}

static void add_glob(struct gf_cfg *x, const struct gf_ynode *n, const char *pattern)
{
	struct gf_ptest_reader *r = gf_ptest_reader(x);
	glob_t g;
	int rc = glob(pattern, 0, NULL, &g);

	if (rc == GLOB_NOSPACE) {
		x->nomem = true;
		return;
	}
	if (rc)
		gf_cfg_error(x, n, "paths are relative to the test file", "there is no policy file %s", pattern);
	for (size_t i = 0; !rc && i < g.gl_pathc; i++)
		x->nomem |= gf_strlist_add(&r->f->policy, g.gl_pathv[i]) != 0;
	globfree(&g);
}

static void take_policies(struct gf_cfg *x, const struct gf_ynode *n)
{
	struct gf_ptest_reader *r = gf_ptest_reader(x);

	r->f->policy_span = n->key->span;
	if (n->kind != GF_Y_SEQ || !n->kid) {
		gf_cfg_error(x, n->kind == GF_Y_NULL ? n->key : n, "write [../my.policy]", "policy_files must be a list of policies");
		return;
	}
	for (const struct gf_ynode *k = n->kid; k; k = k->next) {
		const char *s = gf_cfg_text(x, k, "a policy file");
		char *path = s ? resolve(r, s) : NULL, *all = NULL;
		struct stat st;
		if (!path)
			continue;
		if (!stat(path, &st) && S_ISDIR(st.st_mode) && asprintf(&all, "%s/*.policy", path) >= 0) {
			free(path);
			path = all;
		}
		add_glob(x, k, path);
		free(path);
	}
}

/* ---- what the file or a test may say -------------------------------------------- */

static void take_interval(struct gf_cfg *x, const struct gf_ynode *n)
{
	uint64_t v;

	if (!gf_ptest_time(x, n, "interval", &v))
		return;
	if (v < 1000000 || v > 3600000000000ull)
		gf_cfg_error(x, n, NULL, "interval must be from 1ms to 1h");
	else
		gf_ptest_reader(x)->c->interval_ns = v;
}

static void take_target(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const char *const words[] = { "host", "vm", "image", "trace" };
	int i = gf_cfg_choice(x, n, "target", words, 4);

	if (i >= 0)
		gf_ptest_reader(x)->c->target = (enum gf_target_kind)i;
}

static void take_counterfactual(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_ptest_flag(x, n, "counterfactual", &gf_ptest_reader(x)->c->counterfactual);
}

static void take_children(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const char *const words[] = { "go", "stay" };
	int i = gf_cfg_choice(x, n, "children", words, 2);

	if (i >= 0)
		gf_ptest_reader(x)->c->children_stay = i == 1;
}

static void take_strict(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_ptest_flag(x, n, "strict", &gf_ptest_reader(x)->c->strict);
}

static void take_observe(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_ptest_flag(x, n, "observe", &gf_ptest_reader(x)->c->observe);
}

static void take_actions(struct gf_cfg *x, const struct gf_ynode *n)
{
	uint64_t v;

	if (gf_cfg_integer(x, n, "budget.actions", 0, 256, &v))
		gf_ptest_reader(x)->c->budget_n = (uint32_t)v;
}

static void take_per(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_cfg_duration(x, n, "budget.per", 1000000000ull, 86400000000000ull, "from 1s to 1d", &gf_ptest_reader(x)->c->budget_ns);
}

static void take_budget(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const struct gf_cfg_key keys[] = { { "actions", take_actions }, { "per", take_per } };

	GF_PTEST_WALK(x, n, "budget", keys);
}

static void take_name(struct gf_cfg *x, const struct gf_ynode *n)
{
	const char *s = gf_cfg_text(x, n, "a test's name");

	if (s)
		gf_cfg_set(x, &gf_ptest_reader(x)->c->name, s);
}

static void take_for(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_ptest_time(x, n, "for", &gf_ptest_reader(x)->c->for_ns);
}

static void take_recording(struct gf_cfg *x, const struct gf_ynode *n)
{
	struct gf_ptest_reader *r = gf_ptest_reader(x);
	const char *s = gf_cfg_text(x, n, "recording");

	if (!s)
		return;
	r->c->recording_span = n->span;
	free(r->c->recording);
	r->c->recording = resolve(r, s);
	x->nomem |= !r->c->recording;
	if (r->c->recording && access(r->c->recording, R_OK))
		gf_cfg_error(x, n, "paths are relative to the test file", "there is no recording %s", r->c->recording);
}

static void take_expect(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_ptest_reader(x)->c->has_expect = true;
	gf_ptest_expects(x, n, false);
}

static void take_none(struct gf_cfg *x, const struct gf_ynode *n)
{
	gf_ptest_reader(x)->c->has_none = true;
	gf_ptest_expects(x, n, true);
}

/* What does not hold together, once all of a test is known. */
static void check_case(struct gf_cfg *x, const struct gf_ynode *n)
{
	struct gf_ptest_case *c = gf_ptest_reader(x)->c;

	if (!c->name)
		gf_cfg_error(x, n, "- name: what it shows", "a test needs a name");
	if (!c->has_expect && !c->has_none)
		gf_cfg_error(x, n, "write \"expect: []\" if nothing is to happen", "a test needs expect or expect_none");
	if (c->recording && (c->tasks || c->host_span.end))
		gf_ptest_says(x, c->recording_span, "leave tasks and host out", "a test has a recording, or tasks and host of its own");
	if (c->interval_ns && c->for_ns % c->interval_ns)
		gf_cfg_error(x, n, NULL, "\"for\" is no whole number of intervals");
	gf_ptest_task_check(x, c);
	for (size_t i = 0; i < c->expects + c->nones && c->interval_ns && !c->recording; i++) {
		struct gf_ptest_expect *e = i < c->expects ? &c->expect[i] : &c->none[i - c->expects];
		char hint[120];
		if (!e->at_span.end || e->from_ns != e->to_ns || e->from_ns % c->interval_ns == 0)
			continue;
		uint64_t at = e->from_ns / c->interval_ns * c->interval_ns;
		snprintf(hint, sizeof hint, "write %gs or %gs, or a range: %gs..%gs", (double)at / 1e9, (double)(at + c->interval_ns) / 1e9,
			 (double)at / 1e9, (double)(at + c->interval_ns) / 1e9);
		gf_ptest_says(x, e->at_span, hint, "there is no sample at that time: the interval is %gs", (double)c->interval_ns / 1e9);
	}
	if (gf_ptest_ticks(c) > GF_PTEST_TICKS)
		gf_cfg_error(x, n, "use a longer interval", "this test has more than %llu samples", GF_PTEST_TICKS);
}

static void take_case(struct gf_cfg *x, const struct gf_ynode *n)
{
	static const struct gf_cfg_key keys[] = {
		{ "name", take_name }, { "interval", take_interval }, { "target", take_target }, { "host", gf_ptest_host },
		{ "tasks", gf_ptest_tasks }, { "recording", take_recording }, { "for", take_for }, { "expect", take_expect },
		{ "expect_none", take_none }, { "counterfactual", take_counterfactual }, { "children", take_children },
		{ "strict", take_strict }, { "observe", take_observe }, { "budget", take_budget },
	};
	struct gf_ptest_reader *r = gf_ptest_reader(x);
	struct gf_ptest_case *c;

	if (n->kind != GF_Y_MAP) {
		gf_cfg_error(x, n, "- name: …", "a test must be a map of keys and values");
		return;
	}
	c = gf_ptest_grow(x, &r->f->test, &r->f->tests, sizeof *c);
	if (!c)
		return;
	*c = r->preset;
	c->span = n->span;
	r->c = c;
	/* its interval is known before its times are looked at, wherever it stands */
	GF_PTEST_WALK(x, n, "a test", keys);
	check_case(x, n);
	r->c = &r->preset;
}

static void take_tests(struct gf_cfg *x, const struct gf_ynode *n)
{
	(void)x;
	(void)n; /* after everything else: the file's own keys hold for all tests */
}

int gf_ptest_parse(const struct gf_source *src, struct gf_diags *diags, struct gf_ptest_file *ret)
{
	static const struct gf_cfg_key keys[] = {
		{ "policy_files", take_policies }, { "interval", take_interval }, { "target", take_target },
		{ "counterfactual", take_counterfactual }, { "children", take_children }, { "strict", take_strict }, { "observe", take_observe },
		{ "budget", take_budget }, { "tests", take_tests },
	};
	struct gf_ptest_file f = { .src = *src };
	struct gf_ptest_reader r = {
		.x = { .diags = diags }, .f = &f,
		.preset = { .interval_ns = 1000000000, .uptime_ns = 30 * 86400000000000ull, .counterfactual = true, .strict = true, .budget_n = 10,
			    .budget_ns = 60000000000ull },
	};
	const char *slash = strrchr(src->name, '/');
	struct gf_ynode *root;
	int rc = gf_ytree_parse(src, diags, &root);

	if (rc)
		return rc;
	f.dir = slash ? strndup(src->name, slash == src->name ? 1 : (size_t)(slash - src->name)) : strdup(".");
	r.x.nomem = !f.dir;
	r.c = &r.preset;
	if (!r.x.nomem && root->kind != GF_Y_MAP)
		gf_cfg_error(&r.x, root, "policy_files: […]", "a test file has policy_files and tests");
	else if (!r.x.nomem)
		GF_PTEST_WALK(&r.x, root, "the test file", keys);
	const struct gf_ynode *tests = NULL;
	for (const struct gf_ynode *k = root->kind == GF_Y_MAP ? root->kid : NULL; k; k = k->next)
		if (!strcmp(k->key->text, "tests"))
			tests = k;
	if (root->kind == GF_Y_MAP && !f.policy_span.end)
		gf_cfg_error(&r.x, root, "policy_files: [../my.policy]", "policy_files is missing");
	if (root->kind == GF_Y_MAP && !tests)
		gf_cfg_error(&r.x, root, "tests:", "tests are missing");
	if (tests && tests->kind != GF_Y_SEQ)
		gf_cfg_error(&r.x, tests->kind == GF_Y_NULL ? tests->key : tests, "- name: …", "tests must be a list");
	for (const struct gf_ynode *k = tests && tests->kind == GF_Y_SEQ ? tests->kid : NULL; k && !r.x.nomem; k = k->next)
		take_case(&r.x, k);
	gf_ytree_free(root);
	rc = r.x.nomem ? -ENOMEM : diags->errors ? -EINVAL : 0;
	if (rc)
		gf_ptest_free(&f);
	else
		*ret = f;
	return rc;
}

static void expect_deinit(struct gf_ptest_expect *e)
{
	free(e->rule);
	free(e->action);
	free(e->task);
	free(e->text);
}

void gf_ptest_free(struct gf_ptest_file *f)
{
	for (size_t i = 0; i < f->tests; i++) {
		struct gf_ptest_case *c = &f->test[i];
		for (size_t k = 0; k < GF_HF_COUNT; k++)
			gf_series_deinit(&c->host[k]);
		for (size_t k = 0; k < GF_DF_COUNT; k++)
			gf_series_deinit(&c->drv[k]);
		for (size_t k = 0; k < c->tasks; k++)
			gf_ptest_task_deinit(&c->task[k]);
		for (size_t k = 0; k < c->expects; k++)
			expect_deinit(&c->expect[k]);
		for (size_t k = 0; k < c->nones; k++)
			expect_deinit(&c->none[k]);
		free(c->task);
		free(c->expect);
		free(c->none);
		free(c->name);
		free(c->recording);
	}
	free(f->test);
	free(f->dir);
	gf_strlist_deinit(&f->policy);
	*f = (struct gf_ptest_file){ 0 };
}

static void longest(uint64_t *n, const struct gf_series *s, uint64_t from)
{
	*n = GF_MAX(*n, s->len ? from + s->len - 1 : 0);
}

uint64_t gf_ptest_ticks(const struct gf_ptest_case *c)
{
	uint64_t n = 0, step = c->interval_ns ? c->interval_ns : 1;

	if (c->for_ns)
		return c->for_ns / step + 1;
	for (size_t k = 0; k < GF_HF_COUNT; k++)
		longest(&n, &c->host[k], 0);
	for (size_t k = 0; k < GF_DF_COUNT; k++)
		longest(&n, &c->drv[k], 0);
	for (size_t i = 0; i < c->tasks; i++) {
		const struct gf_ptest_task *t = &c->task[i];
		uint64_t from = (t->starts_ns + step - 1) / step;
		for (size_t k = 0; k < GF_TF_COUNT; k++)
			longest(&n, &t->col[k], from);
		for (size_t k = 0; k < t->paths; k++)
			longest(&n, &t->path[k].series, from);
		longest(&n, &t->cpu, from);
		if (t->ends_ns != GF_PTEST_NEVER)
			n = GF_MAX(n, t->ends_ns / step);
		n = GF_MAX(n, (t->starts_ns + (t->count - 1) * t->every_ns) / step);
	}
	for (size_t i = 0; i < c->expects + c->nones; i++) {
		const struct gf_ptest_expect *e = i < c->expects ? &c->expect[i] : &c->none[i - c->expects];
		if (e->to_ns != GF_PTEST_NEVER)
			n = GF_MAX(n, (e->to_ns + step - 1) / step);
	}
	return n + 1;
}
