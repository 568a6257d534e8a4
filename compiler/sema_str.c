/* SPDX-License-Identifier: MIT
 *
 * Texts: names of tasks, patterns, and names that stand for numbers.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

#include "compiler/sema_int.h"
#include "gpufas/sample.h"

#define COMM_MAX (GF_COMM_LEN - 1)

static const char *keep(struct gf_sema_ctx *c, char *s)
{
	if (!s) {
		c->oom = true;
		return NULL;
	}
	size_t n = strlen(s) + 1;
	char *r = gf_sema_alloc(c, n);

	if (r)
		memcpy(r, s, n);
	free(s);
	return r;
}

/* Can the automaton accept anything of at most n bytes? */
static bool accepts_short(const struct gf_automaton *a, unsigned n)
{
	uint8_t *at = calloc(2, a->states);

	if (!at)
		return true;
	uint8_t *cur = at, *next = at + a->states;
	bool found = a->accept[0];

	cur[0] = 1;
	for (unsigned step = 0; step < n && !found; step++) {
		memset(next, 0, a->states);
		for (size_t s = 0; s < a->states; s++) {
			if (!cur[s])
				continue;
			for (size_t k = 0; k < a->classes; k++) {
				uint16_t t = a->trans[s * a->classes + k];

				next[t] = 1;
				found |= a->accept[t];
			}
		}
		uint8_t *swap = cur;

		cur = next;
		next = swap;
	}
	free(at);
	return found;
}

/* What is known of a pattern. The same few patterns come again and again: each is compiled once. */
static const struct gf_pattern *pattern_facts(struct gf_sema_ctx *c, const char *pattern, size_t len)
{
	struct gf_pattern *p = gf_names_get(&c->patterns, pattern);
	struct gf_automaton a = { 0 };

	if (p)
		return p;
	p = gf_sema_alloc(c, sizeof *p);
	if (!p)
		return NULL;
	p->result = gf_regex_compile(pattern, len, &a, &p->at, &p->err);
	if (p->result == -ENOMEM || gf_names_put(&c->patterns, pattern, p) < 0)
		c->oom = true;
	if (p->result == 0) {
		p->all = gf_automaton_matches_all(&a);
		p->none = gf_automaton_matches_none(&a);
		p->too_long = !p->none && !accepts_short(&a, COMM_MAX);
		gf_automaton_deinit(&a);
	}
	return c->oom ? NULL : p;
}

static bool pattern_ok(struct gf_sema_ctx *c, const struct gf_expr *e, const struct gf_expr *pat,
		       const struct gf_field_info *f, const char *pattern)
{
	const struct gf_pattern *p = pattern_facts(c, pattern, strlen(pattern));
	bool regex = pat->kind == GF_EX_REGEX;
	const char *what = regex ? "regular expression" : "pattern";

	if (!p)
		return false;
	if (p->result < 0) {
		bool big = p->result == -E2BIG;

		gf_sema_error(c, "E065", regex && !big ? gf_sema_inside(c, pat->span, p->at, 1) : pat->span,
			      big ? "make it shorter, or match with several" : NULL, "%s", p->err.text);
		return false;
	}
	if (p->all) {
		gf_sema_error(c, "E066", pat->span, "leave the comparison out, or say more precisely what is meant",
			      "this %s matches every %s", what, f->name);
		return false;
	}
	if (p->none) {
		gf_sema_error(c, "E067", pat->span, NULL, "this %s matches nothing", what);
		return false;
	}
	if (f->id == GF_SF_COMM && p->too_long) {
		gf_sema_error(c, "E068", e->span, "match cmdline or exe instead",
			      "this %s never matches: comm has at most %u bytes", what, COMM_MAX);
		return false;
	}
	return true;
}

/* A literal that the field can be equal to? differs: it is asked whether it is not. */
static bool literal_ok(struct gf_sema_ctx *c, const struct gf_expr *s, const struct gf_field_info *f, bool differs)
{
	if (strlen(s->text) != s->text_len)
		return false; /* a NUL: the lexer has said so */
	if (f->id == GF_SF_COMM && s->text_len > COMM_MAX) {
		gf_sema_error(c, "E068", s->span,
			      gf_sema_printf(c, "the kernel cuts it to \"%.*s\"; or compare cmdline or exe",
					     (int)COMM_MAX, gf_sema_quoted(c, s->text)),
			      "comm is never equal to this: it has at most %u bytes", COMM_MAX);
		return false;
	}
	if ((f->id == GF_SF_EXE || f->id == GF_SF_CGROUP) && s->text[0] != '/') {
		gf_sema_error(c, "E068", s->span,
			      gf_sema_printf(c, "write the whole path, or a pattern: %s ~ \"*/%s\"", f->name,
					     gf_sema_quoted(c, s->text)),
			      "%s is never equal to this: it is a path and begins with a slash", f->name);
		return false;
	}
	if (strchr(s->text, '*'))
		gf_sema_warn(c, "W018", s->span,
			     gf_sema_printf(c, "%s%s ~ \"%s\" compares with a pattern", differs ? "not " : "", f->name, gf_sema_quoted(c, s->text)),
			     "a star stands for itself here: no %s is equal to this that has none", f->name);
	return true;
}

static void need_field(struct gf_sema_ctx *c, struct gf_node *n, const struct gf_field_info *f)
{
	size_t count, i = (size_t)(f - gf_fields(&count));

	if (!gf_sema_has_field(c, f))
		gf_sn(n)->need[i / 64] |= 1ull << (i % 64);
}

static struct gf_node *match(struct gf_sema_ctx *c, const struct gf_expr *e, const struct gf_field_info *f,
			     const char *pattern)
{
	struct gf_node *n = pattern ? gf_node_match(c, gf_sema_expand(c, e), f->id, pattern) : NULL;

	if (!n)
		return NULL;
	n->span = e->span;
	need_field(c, n, f);
	return n;
}

/* A match of exactly these texts. They are kept: what they exclude and imply can be told. */
static struct gf_node *match_texts(struct gf_sema_ctx *c, const struct gf_expr *e, const struct gf_field_info *f,
				   const char *const *text, const size_t *len, uint32_t n)
{
	struct gf_node *m = match(c, e, f, keep(c, gf_set_to_regex(text, len, n)));
	const char **copy = m ? gf_sema_alloc(c, n * sizeof *copy) : NULL;

	if (!copy)
		return NULL;
	memcpy(copy, text, n * sizeof *copy);
	gf_sn(m)->text = copy;
	gf_sn(m)->texts = n;
	gf_sn(m)->text_of = (uint8_t)(1u << f->id);
	return m;
}

/* f == "text" and f != "text". The leaf of != is the equality that it denies, so that reports show it truly. */
struct gf_node *gf_sema_string_test(struct gf_sema_ctx *c, const struct gf_expr *e,
				    const struct gf_field_info *f, const struct gf_expr *rhs)
{
	const char *name = f->name;

	if (e->kind != GF_EX_EQ && e->kind != GF_EX_NE) {
		gf_sema_error(c, "E061", e->op_span, "use ==, !=, ~ or in", "%s is a text: texts have no order", name);
		return NULL;
	}
	if (rhs->kind == GF_EX_REGEX) {
		gf_sema_error(c, "E064", rhs->span, gf_sema_printf(c, "%s ~ %s", name, gf_sema_text(c, rhs)),
			      "a regular expression is matched with ~");
		return NULL;
	}
	if (rhs->kind != GF_EX_STRING) {
		const char *hint = gf_sema_string_field(rhs) ? NULL :
				   rhs->kind == GF_EX_NAME   ? gf_sema_printf(c, "%s %s \"%s\"?", name, e->kind == GF_EX_NE ? "!=" : "==", rhs->text) :
							       "put the text in double quotes";
		gf_sema_error(c, "E060", rhs->span, hint, "%s is a text: it is compared with a text in quotes", name);
		return NULL;
	}
	if (!literal_ok(c, rhs, f, e->kind == GF_EX_NE))
		return NULL;
	const char *text = rhs->text;
	size_t len = rhs->text_len;

	if (e->kind == GF_EX_EQ)
		return match_texts(c, e, f, &text, &len, 1);
	struct gf_expr *eq = gf_sema_clone_op(c, e, GF_EX_EQ, e->arg[0], e->arg[1]);
	struct gf_node *n = eq ? match_texts(c, eq, f, &text, &len, 1) : NULL;

	return n ? gf_node_make(c, e, GF_N_NOT, 0, n, NULL) : NULL;
}

struct gf_node *gf_sema_string_in(struct gf_sema_ctx *c, const struct gf_expr *e, const struct gf_field_info *f)
{
	uint32_t n = e->args - 1;
	const char **text = gf_sema_alloc(c, (n + 1) * sizeof *text);
	size_t *len = gf_sema_alloc(c, (n + 1) * sizeof *len);
	struct gf_names seen = { 0 };
	bool bad = false;

	if (!text || !len)
		return NULL;
	for (uint32_t i = 0; i < n; i++) {
		const struct gf_expr *s = e->arg[i + 1];

		if (!s) {
			bad = true;
			continue;
		}
		if (s->kind != GF_EX_STRING) {
			gf_sema_error(c, s->kind == GF_EX_REGEX ? "E064" : "E060", s->span,
				      s->kind == GF_EX_REGEX ? gf_sema_printf(c, "%s ~ /.../ or %s in (...)", f->name,
									      f->name) :
							       "put the text in double quotes",
				      "a list for %s holds texts in quotes", f->name);
			bad = true;
			continue;
		}
		if (!literal_ok(c, s, f, false)) {
			bad = true;
			continue;
		}
		if (gf_names_get(&seen, s->text))
			gf_sema_warn(c, "W006", s->span, "delete it", "%s is in the list twice", gf_sema_text(c, s));
		else if (gf_names_put(&seen, s->text, (void *)s) < 0)
			c->oom = true;
		text[i] = s->text;
		len[i] = s->text_len;
	}
	gf_names_deinit(&seen);
	return bad || c->oom ? NULL : match_texts(c, e, f, text, len, n);
}

/* A glob that was meant as a regular expression: "^sshd", "java.*", "(a|b)". */
static bool looks_like_regex(const char *s)
{
	size_t n = strlen(s);

	return s[0] == '^' || (n && s[n - 1] == '$') || strstr(s, ".*") || strstr(s, ".+") ||
	       (strchr(s, '(') && strchr(s, '|') && strchr(s, ')'));
}

struct gf_node *gf_sema_tilde(struct gf_sema_ctx *c, const struct gf_expr *e)
{
	const struct gf_expr *pat = e->arg[1];
	const struct gf_field_info *f = gf_sema_string_field(e->arg[0]);
	const char *pattern;

	if (!e->arg[0] || !pat)
		return NULL;
	if (!f) {
		struct gf_node *x = gf_sema_number(c, e->arg[0]);

		if (x)
			gf_sema_error(c, "E064", e->arg[0]->span,
				      gf_dim_is_plain(x->dim) ? "numbers are compared with <, <=, ==, !=, >=, >" :
								"use ==, != or in",
				      "~ matches texts (comm, exe, cmdline, cgroup), and %s is a %s",
				      gf_sema_text(c, e->arg[0]), gf_dim_name(x->dim));
		return NULL;
	}
	if (pat->kind != GF_EX_STRING && pat->kind != GF_EX_REGEX) {
		gf_sema_error(c, "E064", pat->span, gf_sema_printf(c, "%s ~ \"chrom*\" or %s ~ /^chrom/", f->name, f->name),
			      "~ is followed by a pattern: \"...\" or /.../");
		return NULL;
	}
	if (strlen(pat->text) != pat->text_len)
		return NULL;
	if (pat->kind == GF_EX_STRING && looks_like_regex(pat->text))
		gf_sema_warn(c, "W011", pat->span, gf_sema_printf(c, "%s ~ /%s/", f->name, gf_sema_quoted(c, pat->text)),
			     "in quotes this is a glob, in which only *, ? and [ ] are special");
	pattern = pat->kind == GF_EX_REGEX ? pat->text : keep(c, gf_glob_to_regex(pat->text, pat->text_len));
	if (!pattern || !pattern_ok(c, e, pat, f, pattern))
		return NULL;
	return match(c, e, f, pattern);
}

struct named {
	const char *name;
	double value;
};

static const struct named states[] = {
	{ "R", 'R' }, { "S", 'S' }, { "D", 'D' }, { "T", 'T' }, { "t", 't' }, { "Z", 'Z' }, { "X", 'X' }, { "I", 'I' },
};

/* SCHED_* of the kernel's uapi */
static const struct named policies[] = {
	{ "other", 0 }, { "fifo", 1 }, { "rr", 2 }, { "batch", 3 }, { "idle", 5 }, { "deadline", 6 }, { "ext", 7 },
};

static struct gf_node *from_list(struct gf_sema_ctx *c, const struct gf_expr *str, const struct gf_node *with,
				 const struct named *list, size_t n, const char *values)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i].name, str->text) == 0)
			return gf_node_const(c, str, list[i].value, with->dim);
	gf_sema_error(c, "E062", str->span, gf_sema_printf(c, "one of %s", values), "there is no %s \"%s\"",
		      gf_dim_name(with->dim), gf_sema_quoted(c, str->text));
	return NULL;
}

/* Number of a user or group of this machine. 1: found, 0: there is none. */
static int look_up(const char *name, bool group, double *ret)
{
	const size_t size = 64u << 10;
	char *buf = malloc(size);
	struct passwd pw, *pwp = NULL;
	struct group gr, *grp = NULL;
	int found = 0;

	if (!buf)
		return -ENOMEM;
	if (!group && getpwnam_r(name, &pw, buf, size, &pwp) == 0 && pwp) {
		*ret = pwp->pw_uid;
		found = 1;
	}
	if (group && getgrnam_r(name, &gr, buf, size, &grp) == 0 && grp) {
		*ret = grp->gr_gid;
		found = 1;
	}
	free(buf);
	return found;
}

struct gf_node *gf_sema_named_value(struct gf_sema_ctx *c, const struct gf_expr *str, const struct gf_node *with,
				    const struct gf_expr *with_expr)
{
	bool group = with->dim == GF_DIM_GID;
	double id = 0;

	if (with->dim == GF_DIM_ENUM_STATE)
		return from_list(c, str, with, states, sizeof states / sizeof states[0],
				 "\"R\" \"S\" \"D\" \"T\" \"t\" \"Z\" \"X\" \"I\"");
	if (with->dim == GF_DIM_ENUM_SCHED)
		return from_list(c, str, with, policies, sizeof policies / sizeof policies[0],
				 "\"other\" \"fifo\" \"rr\" \"batch\" \"idle\" \"deadline\" \"ext\"");
	if (with->dim != GF_DIM_UID && !group) {
		gf_sema_error(c, "E060", str->span, "numbers and their units are written without quotes",
			      "%s is a %s and cannot be compared with a text", gf_sema_text(c, with_expr),
			      gf_dim_name(with->dim));
		return NULL;
	}
	if (c->opts->target != GF_TARGET_HOST) {
		gf_sema_error(c, "E107", str->span, "write its number",
			      "the %s names of a %s target are not known here", group ? "group" : "user",
			      gf_sema_target_name(c));
		return NULL;
	}
	int found = look_up(str->text, group, &id);

	if (found < 0)
		c->oom = true;
	if (found == 0)
		gf_sema_error(c, "E063", str->span,
			      gf_sema_printf(c, "`getent %s` lists them; a number works without a name",
					     group ? "group" : "passwd"),
			      "this machine has no %s named \"%s\"", group ? "group" : "user",
			      gf_sema_quoted(c, str->text));
	return found == 1 ? gf_node_const(c, str, id, with->dim) : NULL;
}
