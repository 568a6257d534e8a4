/* SPDX-License-Identifier: MIT
 *
 * The tree's memory, and the makers of its nodes.
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/arena.h"
#include "grammar/parser.h"

void *gf_ast_alloc(struct gf_ast *ast, size_t size)
{
	return gf_arena_alloc(&ast->arena, size);
}

void gf_ast_free(struct gf_ast *ast)
{
	if (ast)
		gf_arena_free(&ast->arena);
	free(ast);
}

void *gf_parser_alloc(struct gf_parser *p, size_t size)
{
	void *ret = gf_ast_alloc(p->ast, size);
	if (!ret)
		p->oom = true;
	return ret;
}

char *gf_parser_text(struct gf_parser *p, const char *s, size_t n)
{
	char *ret = gf_parser_alloc(p, n + 1);
	if (ret)
		memcpy(ret, s, n);
	return ret;
}

struct gf_diag *gf_parser_error(struct gf_parser *p, const char *code, struct gf_span at, const char *hint,
				const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	struct gf_diag *d = gf_diag_addv(p->diags, GF_SEV_ERROR, code, at, hint, fmt, ap);
	va_end(ap);
	return d;
}

/* ---- expressions --------------------------------------------------------- */

static struct gf_expr *make(struct gf_parser *p, enum gf_expr_kind kind, struct gf_span at, struct gf_span op)
{
	struct gf_expr *e = gf_parser_alloc(p, sizeof *e);
	if (!e)
		return NULL;
	e->kind = kind;
	e->span = at;
	e->op_span = op;
	e->depth = 1;
	return e;
}

/* Takes the arguments' depth; past the limit the node becomes a leaf, so that
 * whoever walks the tree needs no limit of their own. */
static void set_depth(struct gf_parser *p, struct gf_expr *e)
{
	uint32_t max = e->where ? e->where->depth : 0;
	for (uint32_t i = 0; i < e->args; i++)
		if (e->arg[i]->depth > max)
			max = e->arg[i]->depth;
	e->depth = max + 1;
	if (e->depth <= GF_AST_MAX_DEPTH)
		return;
	if (!p->deep)
		gf_parser_error(p, "E008", e->op_span, "name parts of it with let", "this expression has too many parts");
	p->deep = true;
	e->kind = GF_EX_BOOL;
	e->text = "false";
	e->text_len = 5;
	e->args = 0;
	e->arg = NULL;
	e->where = NULL;
	e->depth = 1;
}

struct gf_expr *gf_make_leaf(struct gf_parser *p, enum gf_expr_kind kind, struct gf_lexeme t, struct gf_span at)
{
	struct gf_expr *e = t.text ? make(p, kind, at, at) : NULL;
	if (!e)
		return NULL;
	e->text = t.text;
	e->text_len = t.len;
	if (kind == GF_EX_BOOL)
		e->num = *t.text == 't';
	return e;
}

struct gf_expr *gf_make_path(struct gf_parser *p, struct gf_lexeme t, struct gf_span at)
{
	if (t.text && strncmp(t.text, "task->", 6))
		gf_parser_error(p, "E018", at, "write task->mm->map_count, for example", "a kernel path begins with task->");
	else if (t.len >= GF_PATH_TEXT)
		gf_parser_error(p, "E018", at, NULL, "a kernel path is at most %u characters long", GF_PATH_TEXT - 1);
	return gf_make_leaf(p, GF_EX_PATH, t, at);
}

struct gf_expr *gf_make_op(struct gf_parser *p, enum gf_expr_kind kind, struct gf_span at, struct gf_span op,
			   struct gf_expr *a, struct gf_expr *b, struct gf_expr *c)
{
	uint32_t n = kind == GF_EX_NOT || kind == GF_EX_NEG ? 1 : kind == GF_EX_BETWEEN ? 3 : 2;
	if (!a || (n > 1 && !b) || (n > 2 && !c))
		return NULL;
	struct gf_expr *e = make(p, kind, at, op);
	struct gf_expr **arg = gf_parser_alloc(p, n * sizeof *arg);
	if (!e || !arg)
		return NULL;
	arg[0] = a;
	if (n > 1)
		arg[1] = b;
	if (n > 2)
		arg[2] = c;
	e->arg = arg;
	e->args = n;
	set_depth(p, e);
	return e;
}

struct gf_args *gf_make_args(struct gf_parser *p, struct gf_args *list, struct gf_expr *e)
{
	if (!list)
		list = gf_parser_alloc(p, sizeof *list);
	if (!list || !e)
		return list;
	if (list->n == list->cap) {
		uint32_t cap = list->cap ? list->cap * 2 : 4;
		struct gf_expr **v = gf_parser_alloc(p, cap * sizeof *v);
		if (!v)
			return NULL;
		if (list->n)
			memcpy(v, list->v, list->n * sizeof *v);
		list->v = v;
		list->cap = cap;
	}
	list->v[list->n++] = e;
	return list;
}

struct gf_expr *gf_make_list_op(struct gf_parser *p, enum gf_expr_kind kind, struct gf_span at, struct gf_span op,
				struct gf_expr *first, struct gf_args *list, const char *name)
{
	uint32_t lead = first ? 1 : 0, n = (list ? list->n : 0) + lead;
	struct gf_expr *e = make(p, kind, at, op);
	struct gf_expr **arg = gf_parser_alloc(p, (n ? n : 1) * sizeof *arg);
	if (!e || !arg)
		return NULL;
	if (first)
		arg[0] = first;
	if (list && list->n)
		memcpy(arg + lead, list->v, list->n * sizeof *arg);
	e->arg = arg;
	e->args = n;
	e->where = list ? list->where : NULL;
	e->text = name;
	e->text_len = name ? (uint32_t)strlen(name) : 0;
	set_depth(p, e);
	return e;
}

/* ---- numbers with a purpose ---------------------------------------------- */

/* Is there a unit behind a blank? */
static bool unit_behind(const struct gf_parser *p, const struct gf_expr *e)
{
	const char *s = p->src->text + e->span.end, *end = p->src->text + p->src->len;
	char word[12];
	size_t n = 0;

	while (s < end && (*s == ' ' || *s == '\t'))
		s++;
	while (s + n < end && isalpha((unsigned char)s[n]) && n + 1 < sizeof word) {
		word[n] = s[n];
		n++;
	}
	word[n] = 0;
	return n && gf_lex_unit_meant(word);
}

double gf_need_time(struct gf_parser *p, const struct gf_expr *e, const char *what)
{
	if (!e || (e->unit == GF_UNIT_TIME && !e->per_sec))
		return e ? e->num : 0;
	if (e->bad)
		return 1e9;
	char hint[160];
	if (e->unit == GF_UNIT_NONE && unit_behind(p, e))
		return 1e9; /* the unit is the mistake: it will be told of where it stands */
	if (e->unit == GF_UNIT_NONE && !e->per_sec)
		snprintf(hint, sizeof hint, "write %.40ss if seconds are meant", e->text);
	else
		snprintf(hint, sizeof hint, "units of time are ns, us, ms, s, min, h and d");
	gf_parser_error(p, "E014", e->span, hint, "\"%s\" needs a duration such as 5s", what);
	return 1e9;
}

double gf_need_whole(struct gf_parser *p, const struct gf_expr *e, double lo, const char *what)
{
	if (!e || e->bad)
		return lo;
	if (e->unit == GF_UNIT_NONE && !e->per_sec && e->num == floor(e->num) && e->num >= lo && e->num <= 4294967295.0)
		return e->num;
	if (lo > 0)
		gf_parser_error(p, "E019", e->span, NULL, "%s needs a whole number, at least %.0f, without a unit", what, lo);
	else
		gf_parser_error(p, "E019", e->span, NULL, "%s needs a whole number without a unit", what);
	return lo;
}

/* ---- steps --------------------------------------------------------------- */

struct gf_step_ast *gf_make_step(struct gf_parser *p, enum gf_action action, struct gf_span word)
{
	struct gf_step_ast *s = gf_parser_alloc(p, sizeof *s);
	if (!s)
		return NULL;
	s->action = (uint8_t)action;
	s->action_span = word;
	s->span = word;
	return s;
}

struct gf_step_ast *gf_make_signal(struct gf_parser *p, struct gf_span word)
{
	struct gf_step_ast *s = gf_make_step(p, GF_ACT_SIGNAL, word);
	char *name = gf_parser_alloc(p, word.end - word.start + 1);
	if (!s || !name)
		return NULL;
	size_t n = 0;
	for (uint32_t i = word.start; i < word.end; i++)
		if (p->src->text[i] > ' ')
			name[n++] = p->src->text[i];
	s->name = name;
	s->name_span = word;
	s->signal = gf_signal_number(name);
	if (s->signal)
		return s;

	char hint[128] = "signals are those that kill -l lists; actions: log, notify, run, renice, freeze, thaw, limit, restore";
	/* `kill -9`: what a shell takes */
	const char *digits = name + (!strncasecmp(name, "kill-", 5) ? 5 : !strncasecmp(name, "sig", 3) ? 3 : n);
	if (*digits && !digits[strspn(digits, "0123456789")] && gf_signal_name(atoi(digits))) {
		snprintf(hint, sizeof hint, "did you mean \"%s\"?", gf_signal_name(atoi(digits)));
		gf_parser_error(p, "E013", word, hint, "signals have names here, not numbers");
		return s;
	}

	static const char *const actions[] = { "freeze", "thaw", "limit", "renice", "log",
					       "notify", "run",  "reset", "nmi", "restore", "panic", "restart" };
	static const char *const others[][2] = {
		{ "reboot", "restart" }, { "crash", "panic" }, { "bug", "panic" }, { "wait", "after" }, { "sleep", "after" }, { "nice", "renice" },
		{ "pause", "freeze" }, { "mail", "notify" }, { "email", "notify" }, { "exec", "run" }, { "terminate", "SIGTERM" },
	};
	size_t signals;
	const char *const *names = gf_signal_names(&signals);
	const char *near = NULL;
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (!strcasecmp(name, others[i][0]))
			near = others[i][1];
	if (!near)
		near = gf_nearest(name, actions, sizeof actions / sizeof *actions);
	if (!near)
		near = gf_nearest(name, names, signals);
	const char *unit = gf_lex_unit_meant(name), *src = p->src->text;
	uint32_t from = word.start;
	while (unit && from && (strchr(" ._", src[from - 1]) || isdigit((unsigned char)src[from - 1])) && src[from - 1])
		from--;
	while (from < word.start && src[from] == ' ')
		from++;
	if (unit && from < word.start) /* after 5 min SIGKILL */
		snprintf(hint, sizeof hint, "write %.*s%s, without a space", (int)strspn(src + from, "._0123456789"), src + from, unit);
	else if (near)
		snprintf(hint, sizeof hint, "did you mean \"%s\"?", near);
	gf_parser_error(p, "E013", word, hint, "no such action or signal: \"%.60s\"", name);
	return s;
}

struct gf_step_ast *gf_step_select(struct gf_step_ast *s, struct gf_selector *sel)
{
	if (s && sel) {
		s->has_selector = true;
		s->sel = *sel;
	}
	return s;
}

struct gf_selector *gf_make_selector(struct gf_parser *p, enum gf_pick pick, const struct gf_expr *n)
{
	struct gf_selector *s = gf_parser_alloc(p, sizeof *s);
	if (!s)
		return NULL;
	s->pick = (uint8_t)pick;
	s->n = 1;
	s->n_value = 1;
	if (n) {
		s->n_given = true;
		s->n_span = n->span;
		s->n_value = gf_need_whole(p, n, 1, "how many to pick");
		s->n = (uint32_t)s->n_value;
	}
	return s;
}

/* ---- rules --------------------------------------------------------------- */

struct gf_tail *gf_make_tail(struct gf_parser *p)
{
	return gf_parser_alloc(p, sizeof(struct gf_tail));
}

void gf_tail_step(struct gf_parser *p, struct gf_tail *t, struct gf_step_ast *s, struct gf_span at)
{
	if (!t || !s)
		return;
	if (t->clause_seen)
		gf_diag_note(gf_parser_error(p, "E016", at, "move it up", "steps stand before the rule's clauses"),
			     t->last_clause, "this clause is before it");
	if (t->steps == t->step_cap) {
		uint32_t cap = t->step_cap ? t->step_cap * 2 : 2;
		struct gf_step_ast *v = gf_parser_alloc(p, cap * sizeof *v);
		if (!v)
			return;
		if (t->steps)
			memcpy(v, t->step, t->steps * sizeof *v);
		t->step = v;
		t->step_cap = cap;
	}
	t->step[t->steps++] = *s;
}

static void allow(struct gf_parser *p, struct gf_clauses *c, const char *code, struct gf_span at)
{
	if (c->allows == c->allow_cap) {
		uint32_t cap = c->allow_cap ? c->allow_cap * 2 : 4;
		const char **v = gf_parser_alloc(p, cap * sizeof *v);
		struct gf_span *spans = gf_parser_alloc(p, cap * sizeof *spans);
		if (!v || !spans)
			return;
		if (c->allows) {
			memcpy(v, c->allow, c->allows * sizeof *v);
			memcpy(spans, c->allow_span, c->allows * sizeof *spans);
		}
		c->allow = v;
		c->allow_span = spans;
		c->allow_cap = cap;
	}
	c->allow[c->allows] = code;
	c->allow_span[c->allows++] = at;
}

void gf_clauses_allow(struct gf_parser *p, struct gf_clauses *c, const char *code, struct gf_span at)
{
	if (!c || !code)
		return;
	if (strlen(code) == 4 && code[0] == 'W' && strspn(code + 1, "0123456789") == 3)
		allow(p, c, code, at);
	else
		gf_parser_error(p, "E020", at, "write W001, for example", "\"%.40s\" is not the number of a warning", code);
}

/* Once only: says so when the clause was there already. */
static bool first(struct gf_parser *p, bool *had, struct gf_span *where, struct gf_span at, const char *what)
{
	if (*had) {
		gf_diag_note(gf_parser_error(p, "E015", at, "keep one of them", "%s is given twice", what), *where,
			     "given here first");
		return false;
	}
	*had = true;
	*where = at;
	return true;
}

void gf_tail_clauses(struct gf_parser *p, struct gf_tail *t, struct gf_clauses *c, struct gf_span at)
{
	if (!t || !c)
		return;
	struct gf_clauses *k = &t->clauses;
	t->clause_seen = true;
	t->last_clause = at;
	if (c->cooldown && first(p, &k->cooldown, &k->cooldown_span, at, "cooldown")) {
		k->cooldown_ns = c->cooldown_ns;
		k->cooldown_text = c->cooldown_text;
	}
	if (c->limit && first(p, &k->limit, &k->limit_span, at, "limit")) {
		k->limit_n = c->limit_n;
		k->limit_ns = c->limit_ns;
		k->limit_text = c->limit_text;
	}
	if (c->settle && first(p, &k->settle, &k->settle_span, at, "settle")) {
		k->settle_ns = c->settle_ns;
		k->settle_text = c->settle_text;
	}
	if (c->priority && first(p, &k->priority, &k->priority_span, at, "priority"))
		k->priority_v = c->priority_v;
	if (c->observe)
		first(p, &k->observe, &k->observe_span, at, "observe");
	if (c->notify && first(p, &k->notify, &k->notify_span, at, "notify"))
		k->notify_text = c->notify_text;
	for (uint32_t i = 0; i < c->allows; i++) {
		bool known = false;
		for (uint32_t j = 0; j < k->allows && !known; j++)
			known = !strcmp(k->allow[j], c->allow[i]);
		if (known)
			gf_parser_error(p, "E015", c->allow_span[i], "delete it", "%.40s is allowed twice", c->allow[i]);
		else
			allow(p, k, c->allow[i], c->allow_span[i]);
	}
}

struct gf_stmt *gf_make_stmt(struct gf_parser *p, enum gf_stmt_kind kind, struct gf_span at, struct gf_expr *e)
{
	struct gf_stmt *s = e ? gf_parser_alloc(p, sizeof *s) : NULL;
	if (!s)
		return NULL;
	s->kind = kind;
	s->span = at;
	s->expr = e;
	return s;
}

struct gf_stmt *gf_make_rule(struct gf_parser *p, struct gf_span at, struct gf_expr *cond, struct gf_for hold,
			     struct gf_expr *until, struct gf_tail *t)
{
	struct gf_stmt *s = t ? gf_make_stmt(p, GF_ST_RULE, at, cond) : NULL;
	if (!s)
		return NULL;
	s->hold = hold;
	s->until = until;
	s->step = t->step;
	s->steps = t->steps;
	s->clauses = t->clauses;
	return s;
}

void gf_stmt_append(struct gf_parser *p, struct gf_stmt *s)
{
	if (!s)
		return;
	*p->tail = s;
	p->tail = &s->next;
}
