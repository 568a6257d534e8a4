/* SPDX-License-Identifier: MIT
 *
 * What the lexer, the grammar and the makers of nodes share; nobody else's business.
 */
#ifndef GPUFAS_PARSER_H
#define GPUFAS_PARSER_H

#include "gpufas/bytecode.h"
#include "grammar/ast.h"

struct gf_text;

/* A token's or list's piece of text. */
struct gf_lexeme {
	const char *text; /* NUL-terminated, in the arena */
	uint32_t len;
};

struct gf_args {
	struct gf_expr **v;
	uint32_t n, cap;
	struct gf_expr *where;
};

/* What follows a condition: steps and clauses, in the order written. */
struct gf_tail {
	struct gf_step_ast *step;
	uint32_t steps, step_cap;
	struct gf_clauses clauses;
	bool clause_seen;
	struct gf_span last_clause;
};

struct gf_parser {
	const struct gf_source *src;
	uint32_t index;
	struct gf_diags *diags;
	struct gf_ast *ast;
	struct gf_stmt **tail;
	uint32_t pos;       /* of the lexer */
	uint32_t parens;    /* open now */
	uint32_t prefixes;  /* `not` and `-` in a row */
	bool bracket;       /* a set was begun with [ */
	bool deep;          /* "too deeply nested" was said */
	bool oom;
	struct gf_expr *last_number;
	int before_token, last_token; /* the two tokens read last */
	struct gf_span before, last;
};

/* All of these return NULL only when out of memory, having set p->oom. */
void *gf_parser_alloc(struct gf_parser *p, size_t size);
char *gf_parser_text(struct gf_parser *p, const char *s, size_t n);
__attribute__((format(printf, 5, 6)))
struct gf_diag *gf_parser_error(struct gf_parser *p, const char *code, struct gf_span at, const char *hint,
				const char *fmt, ...);

/* Token texts to values; what is wrong is reported, and a usable value given anyway. */
struct gf_expr *gf_lex_number(struct gf_parser *p, const char *s, size_t n, struct gf_span at);
struct gf_lexeme gf_lex_string(struct gf_parser *p, const char *s, size_t n, struct gf_span at);
struct gf_lexeme gf_lex_regex(struct gf_parser *p, const char *s, size_t n, struct gf_span at);
/* Says of the whole text what no token can: bad UTF-8, NULs. False: it is no text to look for tokens in. */
bool gf_lex_check_bytes(struct gf_parser *p);
/* What a unit stands for; false: it is none. The nearest one to what is none, or NULL. */
bool gf_lex_unit(const char *s, enum gf_unit *ret, double *ret_factor);
const char *gf_lex_near_unit(const char *unit);
/* The unit that this is: by its name, in other letters (gb), or as people call it (seconds). Or NULL. */
const char *gf_lex_unit_meant(const char *s);
/* A % that belongs to no number. */
void gf_lex_stray_percent(struct gf_parser *p, struct gf_span at);

/* Where a word stands that cannot stand there. */
enum gf_hint_place {
	GF_HINT_SELECTOR = 1, GF_HINT_OPERATOR = 2, GF_HINT_STATEMENT = 4, GF_HINT_TAIL = 8, GF_HINT_TITLE = 16, GF_HINT_HOLD = 32,
};
/* What a word is called here that other tools or English have for it; false: nothing is known. The second
 * also takes words that are nearly one. */
bool gf_hint_word(struct gf_text *t, unsigned place, const char *word);
bool gf_hint_near_word(struct gf_text *t, unsigned place, const char *word);
/* The same of a word, or what begins with a comma, behind a number. */
bool gf_hint_number(struct gf_text *t, const struct gf_parser *p, struct gf_span at, const char *word);

struct gf_expr *gf_make_leaf(struct gf_parser *p, enum gf_expr_kind kind, struct gf_lexeme t, struct gf_span at);
struct gf_expr *gf_make_op(struct gf_parser *p, enum gf_expr_kind kind, struct gf_span at, struct gf_span op,
			   struct gf_expr *a, struct gf_expr *b, struct gf_expr *c);
struct gf_expr *gf_make_list_op(struct gf_parser *p, enum gf_expr_kind kind, struct gf_span at, struct gf_span op,
				struct gf_expr *first, struct gf_args *list, const char *name);
struct gf_args *gf_make_args(struct gf_parser *p, struct gf_args *list, struct gf_expr *e);
struct gf_expr *gf_make_path(struct gf_parser *p, struct gf_lexeme t, struct gf_span at);

struct gf_tail *gf_make_tail(struct gf_parser *p);
void gf_tail_step(struct gf_parser *p, struct gf_tail *t, struct gf_step_ast *s, struct gf_span at);
/* Adds one code of `allow`. c may be NULL. */
void gf_clauses_allow(struct gf_parser *p, struct gf_clauses *c, const char *code, struct gf_span at);
void gf_tail_clauses(struct gf_parser *p, struct gf_tail *t, struct gf_clauses *c, struct gf_span at);
struct gf_stmt *gf_make_stmt(struct gf_parser *p, enum gf_stmt_kind kind, struct gf_span at, struct gf_expr *e);
struct gf_stmt *gf_make_rule(struct gf_parser *p, struct gf_span at, struct gf_expr *cond, struct gf_for hold,
			     struct gf_expr *until, struct gf_tail *t);
void gf_stmt_append(struct gf_parser *p, struct gf_stmt *s);

struct gf_step_ast *gf_make_step(struct gf_parser *p, enum gf_action action, struct gf_span word);
/* A signal by the text of a span ("SIGRTMIN + 3" too). */
struct gf_step_ast *gf_make_signal(struct gf_parser *p, struct gf_span word);
struct gf_step_ast *gf_step_select(struct gf_step_ast *s, struct gf_selector *sel);
struct gf_selector *gf_make_selector(struct gf_parser *p, enum gf_pick pick, const struct gf_expr *n);

/* Value of a number that must be a duration (ns), or a whole number from lo up; what
 * names what it is for. */
double gf_need_time(struct gf_parser *p, const struct gf_expr *e, const char *what);
double gf_need_whole(struct gf_parser *p, const struct gf_expr *e, double lo, const char *what);

/* Growable output text. After a failed allocation further writes do nothing. */
struct gf_text {
	char *v;
	size_t n, cap;
	bool oom;
};
void gf_text_add(struct gf_text *t, const char *s, size_t n);
__attribute__((format(printf, 2, 3)))
void gf_text_printf(struct gf_text *t, const char *fmt, ...);
void gf_text_quote(struct gf_text *t, const char *s, size_t n);
void gf_text_deinit(struct gf_text *t);

/* Binding strength of an expression's outermost operator; grows inwards. */
enum gf_level { GF_LV_OR, GF_LV_AND, GF_LV_NOT, GF_LV_CMP, GF_LV_ADD, GF_LV_MUL, GF_LV_NEG, GF_LV_LEAF };
enum gf_level gf_expr_level(const struct gf_expr *e);
/* Writes e, in parentheses when it binds less than min. */
void gf_expr_write(struct gf_text *t, const struct gf_expr *e, enum gf_level min);
void gf_step_write(struct gf_text *t, const struct gf_step_ast *s);
void gf_hold_write(struct gf_text *t, const struct gf_for *h);

/* Bytes of the valid UTF-8 sequence at s (n at hand), or 0. */
size_t gf_utf8_len(const char *s, size_t n);

#endif
