/* SPDX-License-Identifier: MIT
 *
 * The syntax tree: what was written, with places. No names are looked up here.
 */
#ifndef GPUFAS_AST_H
#define GPUFAS_AST_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler/source.h"

enum gf_unit {
	GF_UNIT_NONE,
	GF_UNIT_BYTES, /* value is in bytes */
	GF_UNIT_TIME,  /* value is in ns */
	GF_UNIT_PCT,   /* value is 80 for 80% */
};

enum gf_expr_kind {
	GF_EX_NUMBER,  /* num, unit, per_sec; text = as written */
	GF_EX_STRING,  /* text (unescaped) */
	GF_EX_REGEX,   /* text (between the slashes, \/ made /) */
	GF_EX_NAME,    /* text: a field, host field (dots) or let */
	GF_EX_PATH,    /* text: "task->mm->map_count" */
	GF_EX_BOOL,    /* true, false: num 1 or 0 */
	GF_EX_NOT,     /* arg[0] */
	GF_EX_NEG,     /* arg[0] */
	GF_EX_AND, GF_EX_OR,
	GF_EX_LT, GF_EX_LE, GF_EX_GT, GF_EX_GE, GF_EX_EQ, GF_EX_NE,
	GF_EX_TILDE,   /* arg[0] ~ arg[1] (STRING: glob, REGEX) */
	GF_EX_BETWEEN, /* arg[0] between arg[1] and arg[2], inclusive */
	GF_EX_IN,      /* arg[0] in (arg[1] ...) */
	GF_EX_ADD, GF_EX_SUB, GF_EX_MUL, GF_EX_DIV,
	GF_EX_CALL,    /* text: rate, delta, avg, max, min, held, tree, ancestor, parent, any, available, count, sum ... ; args;
			* where: "F where C" / "where C" forms; at most one condition */
};

/* Levels of one expression's tree: deeper is a syntax error. */
#define GF_AST_MAX_DEPTH 1000

struct gf_expr {
	enum gf_expr_kind kind;
	struct gf_span span;
	struct gf_span op_span; /* the operator or function name */
	struct gf_expr **arg;
	uint32_t args;
	struct gf_expr *where;  /* of a call, or NULL */
	const char *text;       /* NUL-terminated, owned by the tree's arena */
	uint32_t text_len;      /* a string may hold NUL only as an error; kept for printing */
	double num;
	enum gf_unit unit;
	bool per_sec;           /* number was followed by /s (or /min: num already divided by 60) */
	bool bad;               /* a number that could not be read, which has been said: nothing more is to be said of it */
	bool paren;             /* was in parentheses (fmt drops redundant ones by precedence) */
	bool postfix;           /* a CALL of held that was written "A for D" before and/or: `if cpu > 95% for 30s and nice < 10` */
	uint32_t depth;         /* 1 for a leaf; never over GF_AST_MAX_DEPTH, so that recursion is bounded */
};

enum gf_for_kind { GF_FOR_NONE, GF_FOR_TIME, GF_FOR_PERIODS, GF_FOR_TIMES };

struct gf_for {
	enum gf_for_kind kind;
	struct gf_span span;
	double count;      /* PERIODS, TIMES */
	double ns;         /* TIME: D; TIMES: within D */
	const char *text;  /* durations as written */
};

struct gf_selector {
	struct gf_span span;
	uint8_t pick;      /* enum gf_pick */
	uint8_t group;     /* enum gf_group */
	uint32_t n;        /* 1 unless given */
	bool each;         /* EACH was written "each", not "it" */
	bool n_given;
	double n_value;    /* as written, for range errors */
	struct gf_span n_span;
	struct gf_expr *by;
	struct gf_expr *where;
};

struct gf_step_ast {
	struct gf_span span;
	bool after_given;
	double after_ns;
	const char *after_text;  /* as written: "5s" */
	struct gf_span after_span;
	uint8_t action;          /* enum gf_action */
	struct gf_span action_span;
	const char *name;        /* SIGNAL: as written; RUN: hook; LIMIT: what */
	struct gf_span name_span;
	int signal;              /* SIGNAL: number, 0 if the name is not known */
	double amount;           /* RENICE: +10 */
	struct gf_expr *value;   /* LIMIT; NULL: restore */
	bool restore;            /* LIMIT that was written "restore": back to what it was */
	const char *text;        /* NOTIFY: the template */
	struct gf_span text_span;
	bool has_selector;
	struct gf_selector sel;
};

/* cooldown, limit, settle, priority, observe, notify, allow: each at most once
 * (allow, notify: as often as wanted, the last notify wins with an error). */
struct gf_clauses {
	bool cooldown, limit, settle, priority, observe, notify;
	struct gf_span cooldown_span, limit_span, settle_span, priority_span, observe_span, notify_span;
	double cooldown_ns, limit_n, limit_ns, settle_ns, priority_v;
	const char *cooldown_text, *limit_text, *settle_text; /* durations as written */
	const char *notify_text;
	const char **allow; /* warning codes silenced here */
	struct gf_span *allow_span;
	uint32_t allows;
	uint32_t allow_cap;
};

enum gf_stmt_kind { GF_ST_LET, GF_ST_PROTECT, GF_ST_UNPROTECT, GF_ST_PREFER, GF_ST_AVOID, GF_ST_RULE };

struct gf_stmt {
	enum gf_stmt_kind kind;
	struct gf_span span;
	struct gf_stmt *next;
	/* LET, RULE */
	const char *name;        /* NULL for an anonymous rule */
	struct gf_span name_span;
	const char *title;       /* RULE, or NULL */
	/* LET: value; classes and RULE: condition */
	struct gf_expr *expr;
	/* RULE */
	struct gf_for hold;
	struct gf_expr *until;
	struct gf_step_ast *step;
	uint32_t steps;
	struct gf_clauses clauses;
};

struct gf_comment {
	struct gf_span span; /* '#' to the end of the line */
};

/* One file's tree. All memory belongs to it. */
struct gf_ast {
	struct gf_stmt *first;
	struct gf_comment *comment; /* in order */
	uint32_t comments;
	uint32_t comment_cap;
	void *arena;
};

/* Text to tree. Syntax errors go to diags (several a run: the parser resumes at
 * the next statement, and at the next `then`); the tree then holds what could be
 * read. src_index goes into spans. 0, or -ENOMEM; look at diags->errors. */
int gf_parse(const struct gf_source *src, uint32_t src_index, struct gf_diags *diags, struct gf_ast **ret);
void gf_ast_free(struct gf_ast *ast);
void *gf_ast_alloc(struct gf_ast *ast, size_t size); /* zeroed, lives as long as the tree; NULL when out of memory */

/* Number of a signal's name with or without SIG, any case ("SIGRTMIN+3" too), or 0. */
int gf_signal_number(const char *name);
/* "SIGKILL"; NULL for a number that is none. Static storage. */
const char *gf_signal_name(int signo);
/* Names for "did you mean". */
const char *const *gf_signal_names(size_t *ret_n);

/* Canonical text of an expression, as fmt prints it; malloc'ed, NULL when out of memory. */
char *gf_expr_text(const struct gf_expr *e);
char *gf_step_text(const struct gf_step_ast *s);

#endif
