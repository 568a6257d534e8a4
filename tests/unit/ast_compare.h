/* SPDX-License-Identifier: MIT
 *
 * A tree as text that shows everything but places and parentheses: two texts mean
 * the same if this is the same. It shares nothing with the printer under test.
 */
#ifndef GPUFAS_TEST_AST_COMPARE_H
#define GPUFAS_TEST_AST_COMPARE_H

#include <stdio.h>
#include <stdlib.h>

#include "grammar/ast.h"

static inline void dump_bytes(FILE *out, const char *s, size_t n)
{
	fputc('<', out);
	for (size_t i = 0; s && i < n; i++)
		fprintf(out, "%02x", (unsigned char)s[i]);
	fputc('>', out);
}

static inline void dump_text(FILE *out, const char *s)
{
	size_t n = 0;
	while (s && s[n])
		n++;
	dump_bytes(out, s, n);
}

static inline void dump_expr(FILE *out, const struct gf_expr *e)
{
	if (!e) {
		fprintf(out, "-");
		return;
	}
	fprintf(out, "(%d %a %d %d %d ", (int)e->kind, e->num, (int)e->unit, e->per_sec, e->postfix);
	dump_bytes(out, e->text, e->text_len);
	for (uint32_t i = 0; i < e->args; i++)
		dump_expr(out, e->arg[i]);
	fprintf(out, "|");
	dump_expr(out, e->where);
	fprintf(out, ")");
}

static inline void dump_stmt(FILE *out, const struct gf_stmt *s)
{
	fprintf(out, "%d ", (int)s->kind);
	dump_text(out, s->name);
	dump_text(out, s->title);
	dump_expr(out, s->expr);
	fprintf(out, " for %d %a %a until ", (int)s->hold.kind, s->hold.count, s->hold.ns);
	dump_expr(out, s->until);
	for (uint32_t i = 0; i < s->steps; i++) {
		const struct gf_step_ast *t = &s->step[i];
		fprintf(out, "\n  %d %a %d %d %a ", t->after_given, t->after_ns, t->action, t->signal, t->amount);
		if (t->action) /* a signal may be written in several ways */
			dump_text(out, t->name);
		dump_text(out, t->text);
		dump_expr(out, t->value);
		fprintf(out, " sel %d %d %d %u %d ", t->has_selector, t->sel.pick, t->sel.group, t->sel.n, t->sel.n_given);
		dump_expr(out, t->sel.by);
		dump_expr(out, t->sel.where);
	}
	const struct gf_clauses *c = &s->clauses;
	fprintf(out, "\n  %d %a %d %a %a %d %a %d %a %d %d ", c->cooldown, c->cooldown_ns, c->limit, c->limit_n, c->limit_ns,
		c->settle, c->settle_ns, c->priority, c->priority_v, c->observe, c->notify);
	dump_text(out, c->notify_text);
	for (uint32_t i = 0; i < c->allows; i++)
		dump_text(out, c->allow[i]);
	fprintf(out, "\n");
}

/* malloc'ed */
static inline char *dump_ast(const struct gf_ast *ast)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	for (const struct gf_stmt *s = ast->first; s; s = s->next)
		dump_stmt(out, s);
	fclose(out);
	return text;
}

#endif
