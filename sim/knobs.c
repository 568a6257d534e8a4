// SPDX-License-Identifier: MIT
#include "sim/knobs.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "grammar/ast.h"

struct finder {
	const struct gf_source *src;
	struct gf_knobs *to;
	const char *rule; /* or let */
	int rc;
};

static bool taken(const struct gf_knobs *k, const char *name)
{
	for (size_t i = 0; i < k->n; i++)
		if (!strcmp(k->v[i].name, name))
			return true;
	return false;
}

static void add(struct finder *f, const char *what, struct gf_span span)
{
	struct gf_knobs *k = f->to;
	struct gf_knob *v;
	char name[140];

	if (f->rc || span.end <= span.start || span.end - span.start >= sizeof v->text)
		return;
	if (k->n == k->cap) {
		size_t cap = k->cap ? 2 * k->cap : 32;
		v = realloc(k->v, cap * sizeof *v);
		if (!v) {
			f->rc = -ENOMEM;
			return;
		}
		k->v = v;
		k->cap = cap;
	}
	snprintf(name, sizeof name, "%.64s%s%.72s", f->rule, *what ? "." : "", what);
	v = &k->v[k->n];
	memset(v, 0, sizeof *v);
	snprintf(v->name, sizeof v->name, "%s", name);
	for (int i = 2; taken(k, v->name); i++)
		snprintf(v->name, sizeof v->name, "%s#%d", name, i);
	v->span = span;
	snprintf(v->text, sizeof v->text, "%.*s", (int)(span.end - span.start), f->src[span.src].text + span.start);
	k->n++;
}

/* The first place of text inside a span; empty when it is not there. */
static struct gf_span inside(const struct finder *f, struct gf_span in, const char *text)
{
	const char *from = f->src[in.src].text + in.start, *at = text && *text ? memmem(from, in.end - in.start, text, strlen(text)) : NULL;

	if (!at)
		return (struct gf_span){ in.src, in.start, in.start };
	in.start += (uint32_t)(at - from);
	in.end = in.start + (uint32_t)strlen(text);
	return in;
}

/* The first whole number inside a span. */
static struct gf_span digits(const struct finder *f, struct gf_span in)
{
	const char *t = f->src[in.src].text;
	uint32_t end;

	while (in.start < in.end && !isdigit((unsigned char)t[in.start]))
		in.start++;
	for (end = in.start; end < in.end && (isdigit((unsigned char)t[end]) || t[end] == '.');)
		end++;
	in.end = end;
	return in;
}

static bool is_number(const struct gf_expr *e)
{
	return e->kind == GF_EX_NUMBER || (e->kind == GF_EX_NEG && e->arg[0]->kind == GF_EX_NUMBER);
}

/* What a number stands beside, without blanks: "mem.available", "rate(rss,5s)". */
static void beside(const struct gf_expr *e, const char *prefix, char *buf, size_t n)
{
	char *text = gf_expr_text(e);
	size_t at;

	snprintf(buf, n, "%s", prefix);
	at = strlen(buf);
	for (const char *p = text ? text : "?"; *p && at + 1 < n; p++)
		if (*p != ' ')
			buf[at++] = *p;
	buf[at] = 0;
	free(text);
}

static void walk(struct finder *f, const struct gf_expr *e, const char *prefix)
{
	char name[128];

	if (!e || f->rc)
		return;
	if (e->kind >= GF_EX_LT && e->kind <= GF_EX_NE && is_number(e->arg[0]) != is_number(e->arg[1])) {
		const struct gf_expr *number = e->arg[is_number(e->arg[0]) ? 0 : 1], *other = e->arg[is_number(e->arg[0]) ? 1 : 0];
		walk(f, other, prefix);
		beside(other, prefix, name, sizeof name);
		add(f, name, number->span);
		return;
	}
	if (e->kind == GF_EX_BETWEEN) {
		beside(e->arg[0], prefix, name, sizeof name);
		walk(f, e->arg[0], prefix);
		for (uint32_t i = 1; i < 3; i++)
			if (is_number(e->arg[i]))
				add(f, name, e->arg[i]->span);
		return;
	}
	if (e->kind == GF_EX_NUMBER) {
		snprintf(name, sizeof name, "%snumber", prefix);
		add(f, name, e->span);
		return;
	}
	for (uint32_t i = 0; i < e->args; i++) {
		bool window = e->kind == GF_EX_CALL && i && e->arg[i]->kind == GF_EX_NUMBER;
		snprintf(name, sizeof name, "%s%s", prefix, e->postfix ? "for" : "window");
		if (window)
			add(f, name, e->arg[i]->span);
		else
			walk(f, e->arg[i], prefix);
	}
	walk(f, e->where, prefix);
}

static void steps(struct finder *f, const struct gf_stmt *st)
{
	for (uint32_t i = 0; i < st->steps; i++) {
		const struct gf_step_ast *s = &st->step[i];
		if (s->after_given)
			add(f, "after", inside(f, s->after_span, s->after_text));
		if (s->sel.n_given)
			add(f, "victims", digits(f, s->sel.n_span));
		walk(f, s->value, "limit-to.");
		walk(f, s->sel.by, "by.");
		walk(f, s->sel.where, "where.");
	}
}

static void rule(struct finder *f, const struct gf_stmt *st)
{
	const struct gf_for *h = &st->hold;
	const struct gf_clauses *c = &st->clauses;

	walk(f, st->expr, "");
	if (h->kind == GF_FOR_TIME)
		add(f, "for", inside(f, h->span, h->text));
	if (h->kind == GF_FOR_PERIODS)
		add(f, "for", digits(f, h->span));
	if (h->kind == GF_FOR_TIMES) {
		add(f, "times", digits(f, h->span));
		add(f, "within", inside(f, h->span, h->text));
	}
	walk(f, st->until, "until.");
	steps(f, st);
	if (c->cooldown)
		add(f, "cooldown", inside(f, c->cooldown_span, c->cooldown_text));
	if (c->settle)
		add(f, "settle", inside(f, c->settle_span, c->settle_text));
	if (c->limit) {
		struct gf_span n = digits(f, c->limit_span), rest = c->limit_span;
		add(f, "limit", n);
		rest.start = n.end;
		add(f, "per", inside(f, rest, c->limit_text));
	}
	if (c->priority)
		add(f, "priority", digits(f, c->priority_span));
}

static void file(struct finder *f, uint32_t number)
{
	struct gf_diags diags = { .limit = 1 };
	struct gf_ast *ast = NULL;
	char anonymous[128];
	uint32_t line, col;

	f->rc = gf_parse(&f->src[number], number, &diags, &ast);
	for (const struct gf_stmt *st = ast && !diags.errors ? ast->first : NULL; st && !f->rc; st = st->next) {
		if (st->kind == GF_ST_LET) {
			f->rule = st->name;
			if (st->expr && is_number(st->expr))
				add(f, "", st->expr->span);
			else
				walk(f, st->expr, "");
		} else if (st->kind == GF_ST_RULE) {
			gf_source_locate(&f->src[number], st->span.start, &line, &col);
			snprintf(anonymous, sizeof anonymous, "%.100s:%u", f->src[number].name, line);
			f->rule = st->name ? st->name : anonymous;
			rule(f, st);
		}
	}
	gf_ast_free(ast);
	gf_diags_deinit(&diags);
}

int gf_knobs_find(const struct gf_source *src, size_t n, struct gf_knobs *ret)
{
	struct finder f = { .src = src, .to = ret };

	memset(ret, 0, sizeof *ret);
	for (size_t i = 0; i < n && !f.rc; i++)
		file(&f, (uint32_t)i);
	if (f.rc)
		gf_knobs_deinit(ret);
	return f.rc;
}

void gf_knobs_deinit(struct gf_knobs *k)
{
	free(k->v);
	memset(k, 0, sizeof *k);
}

/* ---- by name ---------------------------------------------------------------------- */

static void list(const struct gf_knobs *k, const char *prefix, char *buf, size_t n)
{
	size_t at = 0, len = strlen(prefix);

	buf[0] = 0;
	for (size_t i = 0; i < k->n && at + 4 < n; i++)
		if (!strncmp(k->v[i].name, prefix, len))
			at += (size_t)snprintf(buf + at, n - at, "%s%s", at ? ", " : "", k->v[i].name);
	if (at + 4 >= n && n > 4)
		memcpy(buf + n - 4, "...", 4);
}

/* NAME.threshold: the number of the condition, if it is one only. */
static int threshold(const struct gf_knobs *k, const char *name, size_t len, const struct gf_knob **ret, struct gf_err *err)
{
	static const char *const others[] = { "for", "times", "within", "after", "cooldown", "settle", "limit", "per", "priority",
					      "victims", "window" };
	const struct gf_knob *found = NULL;
	char which[300] = "";
	size_t n = 0;

	for (size_t i = 0; i < k->n; i++) {
		const char *rest = k->v[i].name + len;
		bool other = strncmp(k->v[i].name, name, len) || *rest != '.' || !strncmp(rest, ".until.", 7) ||
			     !strncmp(rest, ".where.", 7) || !strncmp(rest, ".by.", 4) || !strncmp(rest, ".limit-to.", 10);
		for (size_t o = 0; !other && o < sizeof others / sizeof *others; o++) {
			size_t l = strlen(others[o]);
			other = !strncmp(rest + 1, others[o], l) && (!rest[1 + l] || rest[1 + l] == '#');
		}
		if (other)
			continue;
		found = &k->v[i];
		if (n++ < 5)
			snprintf(which + strlen(which), sizeof which - strlen(which), "%s%.50s", n > 1 ? ", " : "", k->v[i].name);
	}
	if (n > 1)
		return gf_err_set(err, EINVAL, "%s could be any of: %s", name, which);
	if (!n)
		return -ENOENT;
	*ret = found;
	return 0;
}

/* "; did you mean X?" or nothing. Names that begin with a known rule are compared with that rule's only. */
static void meant(const struct gf_knobs *k, const char *name, const char *prefix, char *buf, size_t n)
{
	const char **names = calloc(k->n + 2, sizeof *names), *near = NULL;
	char alias[200];
	size_t count = 0;

	buf[0] = 0;
	snprintf(alias, sizeof alias, "%.180sthreshold", prefix);
	for (size_t i = 0; names && i < k->n; i++)
		if (!strncmp(k->v[i].name, prefix, strlen(prefix)))
			names[count++] = k->v[i].name;
	if (names && *prefix && count)
		names[count++] = alias;
	if (names)
		near = gf_nearest(name, names, count);
	if (near)
		snprintf(buf, n, "; did you mean %s?", near);
	free(names);
}

int gf_knob_named(const struct gf_knobs *k, const char *name, const struct gf_knob **ret, struct gf_err *err)
{
	const char *dot = strrchr(name, '.');
	char all[300], near[200], prefix[200];
	int rc;

	for (size_t i = 0; i < k->n; i++)
		if (!strcmp(k->v[i].name, name)) {
			*ret = &k->v[i];
			return 0;
		}
	if (dot && !strcmp(dot, ".threshold")) {
		rc = threshold(k, name, (size_t)(dot - name), ret, err);
		if (rc != -ENOENT)
			return rc;
	}
	snprintf(prefix, sizeof prefix, "%.*s", (int)(dot ? dot - name + 1 : 0), name);
	meant(k, name, prefix, near, sizeof near);
	if (!*near)
		meant(k, name, "", near, sizeof near);
	list(k, prefix, all, sizeof all);
	if (!*all)
		list(k, "", all, sizeof all);
	return k->n ? gf_err_set(err, EINVAL, "the policy has no number \"%.60s\"%s%s%s", name, near, *near ? " There are: " : "; there are: ", all)
		    : gf_err_set(err, EINVAL, "the policy has no number that could be changed");
}

bool gf_knob_is_threshold(const struct gf_knobs *k, const struct gf_knob *v)
{
	const struct gf_knob *found = NULL;
	size_t len = 0;

	/* The rule's name may have dots of its own: each is tried. */
	for (const char *p = strchr(v->name, '.'); p; p = strchr(p + 1, '.')) {
		len = (size_t)(p - v->name);
		if (!threshold(k, v->name, len, &found, NULL) && found == v)
			return true;
	}
	return false;
}
