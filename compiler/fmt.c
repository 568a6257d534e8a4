/* SPDX-License-Identifier: MIT
 *
 * One canonical form for any policy.
 *
 * - A statement begins at the margin, one blank line at most before it.
 * - An anonymous rule without comments inside is one line if it fits in 100 columns.
 * - Any other rule is `rule NAME "title"`, then indented by two (an anonymous one
 *   begins with its `if`): the condition, each `then` on a line of its own, then
 *   cooldown, limit, settle, priority and observe on one line, two spaces apart,
 *   then notify, then allow.
 * - A condition that does not fit, or has comments inside, is broken before its
 *   outermost `and`s or `or`s.
 * - A comment at the end of a line stays at the end of the line that its words are
 *   now on; a second one there pushes the first above the line. One on a line of
 *   its own stays above the words that followed it.
 *
 * Where a comment ends up may change what fits beside what, so the text is laid
 * out until it no longer changes: that makes the form idempotent by construction.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compiler.h"
#include "grammar/parser.h"

#define COLUMNS 100
#define ROUNDS 16

struct fline {
	unsigned indent;
	struct gf_text text;
	struct gf_text before;   /* whole lines of comments */
	struct gf_span trailing; /* a comment, if has_trailing */
	bool has_trailing;
};

/* Words of the source from start on are on line. */
struct mark {
	uint32_t start;
	size_t line;
};

struct block {
	struct fline *line;
	size_t lines, line_cap;
	struct mark *mark;
	size_t marks, mark_cap;
	struct gf_text after;
	bool oom;
};

struct fmt {
	const struct gf_source *src;
	const struct gf_ast *ast;
	uint32_t comment;  /* the next one to place */
	uint32_t item_end; /* source offset behind what was printed last */
	struct gf_text out;
	bool oom;
};

/* ---- blocks -------------------------------------------------------------- */

static struct gf_text *new_line(struct block *b, unsigned indent)
{
	static struct gf_text nowhere = { .oom = true };
	if (b->lines == b->line_cap) {
		size_t cap = b->line_cap ? b->line_cap * 2 : 8;
		struct fline *v = realloc(b->line, cap * sizeof *v);
		if (!v) {
			b->oom = true;
			return &nowhere;
		}
		b->line = v;
		b->line_cap = cap;
	}
	b->line[b->lines] = (struct fline){ .indent = indent };
	return &b->line[b->lines++].text;
}

static void add_mark(struct block *b, uint32_t start)
{
	if (b->marks == b->mark_cap) {
		size_t cap = b->mark_cap ? b->mark_cap * 2 : 8;
		struct mark *v = realloc(b->mark, cap * sizeof *v);
		if (!v) {
			b->oom = true;
			return;
		}
		b->mark = v;
		b->mark_cap = cap;
	}
	b->mark[b->marks++] = (struct mark){ start, b->lines - 1 };
}

static void block_deinit(struct block *b)
{
	for (size_t i = 0; i < b->lines; i++) {
		gf_text_deinit(&b->line[i].text);
		gf_text_deinit(&b->line[i].before);
	}
	free(b->line);
	free(b->mark);
	gf_text_deinit(&b->after);
}

static size_t columns(const struct gf_text *t)
{
	size_t n = 0;
	for (size_t i = 0; i < t->n; i++)
		n += ((unsigned char)t->v[i] & 0xc0) != 0x80;
	return n;
}

static bool comment_between(const struct fmt *f, uint32_t from, uint32_t to)
{
	/* comments are in order */
	uint32_t lo = 0, hi = f->ast->comments;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (f->ast->comment[mid].span.start < from)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < f->ast->comments && f->ast->comment[lo].span.start < to;
}

/* ---- statements to lines ------------------------------------------------- */

/* The operands of the outermost chain of e, broken one a line, each with its operator. */
static void write_chain(struct block *b, const struct gf_expr *e, enum gf_expr_kind kind, unsigned indent,
			struct gf_text *first)
{
	/* chains lean to the left, as deep as they are long */
	const struct gf_expr *chain[GF_AST_MAX_DEPTH];
	size_t n = 0;
	while (e->kind == kind && n < GF_AST_MAX_DEPTH) {
		chain[n++] = e;
		e = e->arg[0];
	}
	gf_expr_write(first, e, (enum gf_level)(kind == GF_EX_OR ? GF_LV_OR : GF_LV_AND));
	while (n) {
		e = chain[--n];
		struct gf_text *t = new_line(b, indent);
		add_mark(b, e->op_span.start);
		gf_text_printf(t, kind == GF_EX_OR ? "or " : "and ");
		gf_expr_write(t, e->arg[1], (enum gf_level)(gf_expr_level(e) + 1));
	}
}

/* intro, expression and tail (either "" or " for …"): on one line, or broken. */
static void write_condition(const struct fmt *f, struct block *b, const char *intro, const struct gf_expr *e,
			    const struct gf_text *tail, uint32_t tail_start, unsigned indent)
{
	struct gf_text *t = new_line(b, indent);
	gf_text_printf(t, "%s", intro);
	size_t lead = t->n;
	gf_expr_write(t, e, GF_LV_OR);
	uint32_t end = tail->n ? tail_start + 1 : e->span.end;
	bool fits = columns(t) + indent + (tail->n ? columns(tail) + 1 : 0) <= COLUMNS;
	bool broken = !fits || comment_between(f, e->span.start, end);
	bool chain = e->kind == GF_EX_AND || e->kind == GF_EX_OR;
	if (broken && chain) {
		t->n = lead;
		write_chain(b, e, e->kind, indent + 4, t);
	}
	if (!tail->n)
		return;
	if (!broken) {
		gf_text_add(t, " ", 1);
		gf_text_add(t, tail->v, tail->n);
	} else {
		t = new_line(b, indent + 4);
		add_mark(b, tail_start);
		gf_text_add(t, tail->v, tail->n);
	}
	if (!broken)
		add_mark(b, tail_start);
}

static uint32_t write_hold(const struct gf_stmt *s, struct gf_text *t)
{
	gf_hold_write(t, &s->hold);
	if (s->until) {
		gf_text_printf(t, t->n ? " until " : "until ");
		gf_expr_write(t, s->until, GF_LV_OR);
	}
	return s->hold.kind != GF_FOR_NONE ? s->hold.span.start : s->until ? s->until->span.start : 0;
}

/* The clauses that share a line; a comment among them gives each its own. */
static void write_timing(const struct fmt *f, struct block *b, const struct gf_clauses *c, unsigned indent)
{
	struct {
		bool given;
		const struct gf_span *span;
		char text[128];
	} v[] = {
		{ c->cooldown, &c->cooldown_span, "" }, { c->limit, &c->limit_span, "" },
		{ c->settle, &c->settle_span, "" },	{ c->priority, &c->priority_span, "" },
		{ c->observe, &c->observe_span, "" },
	};
	uint32_t from = UINT32_MAX, to = 0;
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		if (!v[i].given)
			continue;
		from = v[i].span->start < from ? v[i].span->start : from;
		to = v[i].span->end > to ? v[i].span->end : to;
	}
	bool apart = comment_between(f, from, to);
	struct gf_text *t = NULL;
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		if (!v[i].given)
			continue;
		if (!t || apart)
			t = new_line(b, indent);
		else
			gf_text_add(t, "  ", 2);
		add_mark(b, v[i].span->start);
		if (i == 0)
			gf_text_printf(t, "cooldown %s", c->cooldown_text);
		else if (i == 1)
			gf_text_printf(t, "limit %.0f per %s", c->limit_n, c->limit_text);
		else if (i == 2)
			gf_text_printf(t, "settle %s", c->settle_text);
		else if (i == 3)
			gf_text_printf(t, "priority %.0f", c->priority_v);
		else
			gf_text_printf(t, "observe");
	}
}

static void write_clauses(const struct fmt *f, struct block *b, const struct gf_clauses *c, unsigned indent)
{
	write_timing(f, b, c, indent);
	if (c->notify) {
		struct gf_text *t = new_line(b, indent);
		add_mark(b, c->notify_span.start);
		gf_text_printf(t, "notify ");
		gf_text_quote(t, c->notify_text, strlen(c->notify_text));
	}
	for (uint32_t i = 0; i < c->allows; i++) {
		struct gf_text *t = i ? &b->line[b->lines - 1].text : new_line(b, indent);
		add_mark(b, c->allow_span[i].start);
		gf_text_printf(t, "%s %s", i ? "," : "allow", c->allow[i]);
	}
}

static void write_rule(const struct fmt *f, struct block *b, const struct gf_stmt *s)
{
	unsigned indent = 0;
	if (s->name) {
		struct gf_text *t = new_line(b, 0);
		add_mark(b, s->span.start);
		gf_text_printf(t, "rule %s", s->name);
		if (s->title) {
			gf_text_add(t, " ", 1);
			gf_text_quote(t, s->title, strlen(s->title));
		}
		indent = 2;
	}
	struct gf_text hold = { 0 };
	uint32_t hold_start = write_hold(s, &hold);
	size_t first = b->lines;
	write_condition(f, b, "if ", s->expr, &hold, hold_start, indent);
	/* its mark belongs before those that it has made; order does not matter, place() looks at all */
	size_t last = b->lines;
	b->lines = first + 1;
	add_mark(b, s->name ? s->expr->span.start : s->span.start);
	b->lines = last;
	b->oom |= hold.oom;
	gf_text_deinit(&hold);
	for (uint32_t i = 0; i < s->steps; i++) {
		struct gf_text *t = new_line(b, 2);
		add_mark(b, s->step[i].span.start);
		gf_text_printf(t, "then ");
		gf_step_write(t, &s->step[i]);
	}
	write_clauses(f, b, &s->clauses, 2);
}

/* Joins the block's lines into one if that is allowed and fits. */
static void join(struct block *b)
{
	struct gf_text t = { 0 };
	for (size_t i = 0; i < b->lines; i++) {
		if (i)
			gf_text_add(&t, " ", 1);
		/* clauses on one line stand two spaces apart only there */
		const struct gf_text *x = &b->line[i].text;
		if (x->v)
			gf_text_add(&t, x->v, x->n);
	}
	if (columns(&t) > COLUMNS || t.oom) {
		b->oom |= t.oom;
		gf_text_deinit(&t);
		return;
	}
	for (size_t i = 0; i < b->lines; i++)
		gf_text_deinit(&b->line[i].text);
	b->line[0].text = t;
	b->lines = 1;
	for (size_t i = 0; i < b->marks; i++)
		b->mark[i].line = 0;
}

static void write_statement(const struct fmt *f, struct block *b, const struct gf_stmt *s)
{
	static const char *const intro[] = { [GF_ST_PROTECT] = "protect ", [GF_ST_UNPROTECT] = "unprotect ",
					     [GF_ST_PREFER] = "prefer ", [GF_ST_AVOID] = "avoid " };
	struct gf_text none = { 0 };
	if (s->kind == GF_ST_RULE) {
		write_rule(f, b, s);
		if (!s->name && !b->oom && !comment_between(f, s->span.start, s->span.end))
			join(b);
		return;
	}
	if (s->kind == GF_ST_LET) {
		struct gf_text let = { 0 };
		gf_text_printf(&let, "let %s = ", s->name);
		if (!let.oom)
			write_condition(f, b, let.v, s->expr, &none, 0, 0);
		b->oom |= let.oom;
		gf_text_deinit(&let);
	} else {
		write_condition(f, b, intro[s->kind], s->expr, &none, 0, 0);
	}
	size_t last = b->lines;
	b->lines = last ? 1 : 0;
	add_mark(b, s->span.start);
	b->lines = last;
}

/* ---- comments ------------------------------------------------------------ */

static bool alone_on_line(const struct gf_source *src, uint32_t at)
{
	while (at && (src->text[at - 1] == ' ' || src->text[at - 1] == '\t' || src->text[at - 1] == '\r' ||
		      src->text[at - 1] == ';'))
		at--;
	return !at || src->text[at - 1] == '\n' ||
	       (at == 3 && !memcmp(src->text, "\xef\xbb\xbf", 3));
}

static unsigned newlines(const struct gf_source *src, uint32_t from, uint32_t to)
{
	unsigned n = 0;
	for (uint32_t i = from; i < to; i++)
		n += src->text[i] == '\n';
	return n;
}

static void indent_to(struct gf_text *t, unsigned n)
{
	while (n--)
		gf_text_add(t, " ", 1);
}

static void add_comment_line(const struct fmt *f, struct gf_text *t, unsigned indent, struct gf_span c)
{
	indent_to(t, indent);
	gf_text_add(t, f->src->text + c.start, c.end - c.start);
	gf_text_add(t, "\n", 1);
}

/* Gives a comment of the statement's inside, or behind its last word, to one of its lines. */
static void place(const struct fmt *f, struct block *b, struct gf_span c)
{
	bool alone = alone_on_line(f->src, c.start);
	const struct mark *at = NULL;
	for (size_t i = 0; i < b->marks; i++) {
		const struct mark *m = &b->mark[i];
		if (alone ? m->start > c.start && (!at || m->start < at->start) :
			    m->start <= c.start && (!at || m->start >= at->start))
			at = m;
	}
	if (!at && alone) {
		add_comment_line(f, &b->after, b->lines ? b->line[b->lines - 1].indent : 0, c);
		return;
	}
	struct fline *l = &b->line[at ? at->line : 0];
	if (alone) {
		add_comment_line(f, &l->before, l->indent, c);
		return;
	}
	if (l->has_trailing)
		add_comment_line(f, &l->before, l->indent, l->trailing);
	l->has_trailing = true;
	l->trailing = c;
}

/* A comment on its own line right below a rule, indented as the rule's lines are
 * (a clause commented out), is the rule's. */
static bool belongs_below(const struct fmt *f, const struct block *b, const struct gf_stmt *s, struct gf_span c,
			  uint32_t end)
{
	return s->kind == GF_ST_RULE && b->lines > 1 && c.start && alone_on_line(f->src, c.start) &&
	       (f->src->text[c.start - 1] == ' ' || f->src->text[c.start - 1] == '\t') &&
	       newlines(f->src, end, c.start) == 1;
}

static void place_comments(struct fmt *f, struct block *b, const struct gf_stmt *s)
{
	uint32_t end = s->span.end;
	uint32_t limit = s->next ? s->next->span.start : UINT32_MAX;
	while (f->comment < f->ast->comments) {
		struct gf_span c = f->ast->comment[f->comment].span;
		if (c.start >= limit)
			break;
		bool inside = c.start < s->span.end;
		bool beside = !inside && !newlines(f->src, end, c.start);
		if (!inside && !beside && !belongs_below(f, b, s, c, end))
			break;
		if (inside || beside)
			place(f, b, c);
		else
			add_comment_line(f, &b->after, 2, c);
		end = c.end > end ? c.end : end;
		f->comment++;
	}
	f->item_end = end;
}

/* ---- the whole ----------------------------------------------------------- */

/* A blank line before the next item where the source has one or more. */
static void gap(struct fmt *f, uint32_t start)
{
	if (f->out.n && newlines(f->src, f->item_end, start) > 1)
		gf_text_add(&f->out, "\n", 1);
}

static void leading_comments(struct fmt *f, uint32_t before)
{
	while (f->comment < f->ast->comments && f->ast->comment[f->comment].span.start < before) {
		struct gf_span c = f->ast->comment[f->comment++].span;
		gap(f, c.start);
		add_comment_line(f, &f->out, 0, c);
		f->item_end = c.end;
	}
}

static void emit(struct fmt *f, const struct block *b)
{
	for (size_t i = 0; i < b->lines; i++) {
		const struct fline *l = &b->line[i];
		if (l->text.oom || l->before.oom) {
			f->oom = true;
			return;
		}
		gf_text_add(&f->out, l->before.v ? l->before.v : "", l->before.n);
		indent_to(&f->out, l->indent);
		gf_text_add(&f->out, l->text.v ? l->text.v : "", l->text.n);
		if (l->has_trailing) {
			gf_text_add(&f->out, " ", 1);
			gf_text_add(&f->out, f->src->text + l->trailing.start, l->trailing.end - l->trailing.start);
		}
		gf_text_add(&f->out, "\n", 1);
	}
	gf_text_add(&f->out, b->after.v ? b->after.v : "", b->after.n);
	f->oom |= b->oom || b->after.oom;
}

/* One round: 0, -EINVAL, -ENOMEM. */
static int layout(const struct gf_source *src, struct gf_diags *diags, struct gf_text *ret)
{
	struct gf_ast *ast;
	size_t errors = diags->errors;
	int rc = gf_parse(src, 0, diags, &ast);
	if (rc)
		return rc;
	if (diags->errors > errors) {
		gf_ast_free(ast);
		return -EINVAL;
	}
	struct fmt f = { .src = src, .ast = ast };
	for (const struct gf_stmt *s = ast->first; s && !f.oom; s = s->next) {
		leading_comments(&f, s->span.start);
		gap(&f, s->span.start);
		struct block b = { 0 };
		write_statement(&f, &b, s);
		if (!b.oom)
			place_comments(&f, &b, s);
		emit(&f, &b);
		f.oom |= b.oom;
		block_deinit(&b);
	}
	leading_comments(&f, UINT32_MAX);
	gf_ast_free(ast);
	if (f.oom || f.out.oom) {
		gf_text_deinit(&f.out);
		return -ENOMEM;
	}
	*ret = f.out;
	return 0;
}

int gf_fmt(const struct gf_source *src, struct gf_diags *diags, char **ret, size_t *ret_len)
{
	struct gf_text text = { 0 };
	int rc = layout(src, diags, &text);
	if (rc)
		return rc;
	for (int i = 0; i < ROUNDS; i++) {
		struct gf_source again = { .name = src->name, .text = text.v ? text.v : "", .len = text.n };
		struct gf_text next = { 0 };
		rc = layout(&again, diags, &next);
		if (rc) {
			gf_text_deinit(&text);
			return rc;
		}
		bool same = next.n == text.n && (!text.n || !memcmp(next.v, text.v, text.n));
		gf_text_deinit(&text);
		text = next;
		if (same)
			break;
	}
	if (!text.v)
		gf_text_add(&text, "", 0);
	if (!text.v)
		return -ENOMEM;
	*ret = text.v;
	*ret_len = text.n;
	return 0;
}
